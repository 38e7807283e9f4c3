"""Inquiries and their answers: in order for each session, beside each other for all, and to nobody who is gone."""

from collections.abc import AsyncIterator

import pytest
import trio

from fixgw import answering as module
from fixgw import history
from fixgw.answering import Answering
from fixgw.connection import Connection
from recovery.query import NoQuorum
from tests.fixgw.venue_in_memory import Venue

PATIENCE = 10.0


class Line(Connection):
    """What answering sees of a broker's connection."""

    def __init__(self) -> None:
        self.closed = False
        self.waiting_bytes = 0

    @property
    def backlog_bytes(self) -> int:
        return self.waiting_bytes


class Gateway:
    """A gateway without its shell: the venue's router, and shards that answer when they are told to."""

    def __init__(self) -> None:
        self.venue = Venue()
        self.router = self.venue.router
        self.connections: dict[int, Connection] = {}
        for comp_id, broker in self.venue.brokers.items():
            self.venue.connect(comp_id)
            self.connections[broker.session_id] = Line()
        self.venue.settle()
        self.amber, self.birch = self.venue.brokers.values()
        self.answering = Answering(self, self.ask)
        self.asked: list[tuple[int, bytes]] = []
        self.go = trio.Event()
        self.quorum = True
        self.flushes = 0

    async def ask(self, shard_id: int, query: bytes) -> bytes:
        self.asked.append((shard_id, query))
        await self.go.wait()
        if not self.quorum:
            raise NoQuorum("1 of 3 replicas answers")
        return self.venue.machines[shard_id].read(query)

    def now(self) -> int:
        return self.venue.now

    def flush(self) -> None:
        self.flushes += 1
        self.venue.flush()
        self.venue.settle()

    async def wait_room(self) -> None:
        await trio.lowlevel.checkpoint()

    def inquire(self) -> None:
        """What the brokers have sent goes to answering, as a written batch does."""
        for broker in (self.amber, self.birch):
            broker.take()
            if self.venue.to_gateway[broker.session_id]:
                self.venue.step("to_gateway", broker.session_id)
        while self.venue.asked:
            self.answering.take(self.venue.asked.popleft())

    async def until(self, broker: str, count: int) -> list[str]:
        heard: list[str] = []
        with trio.fail_after(PATIENCE):
            while len(heard) < count:
                await trio.lowlevel.checkpoint()
                heard += self.venue.brokers[broker].take()
        return heard


@pytest.fixture
async def gateway(nursery: trio.Nursery) -> AsyncIterator[Gateway]:
    made = Gateway()
    made.amber.order("a1", "sell", 10, "10")
    made.amber.order("a2", "sell", 10, "11")
    made.venue.settle()
    await nursery.start(made.answering.run)
    yield made
    nursery.cancel_scope.cancel()


async def test_each_session_is_answered_in_order_and_one_does_not_wait_for_another(gateway: Gateway) -> None:
    gateway.amber.send("H", "11=a2|55=ALPHA|54=2|")
    gateway.amber.send("H", "11=a1|55=ALPHA|54=2|")
    gateway.birch.send("H", "11=b1|55=ALPHA|54=2|")
    gateway.inquire()
    await trio.testing.wait_all_tasks_blocked()
    assert len(gateway.asked) == 2, "one question of each session"
    gateway.go.set()
    assert [line.split()[1] for line in await gateway.until("AMBER", 2)] == ["11=a2", "11=a1"]
    await gateway.until("BIRCH", 1)


async def test_nobody_is_told_what_another_connection_asked(gateway: Gateway) -> None:
    gateway.amber.send("AF", "584=m|585=7|")
    gateway.amber.send("AF", "584=n|585=7|")
    gateway.inquire()
    await trio.testing.wait_all_tasks_blocked()
    gateway.connections[gateway.amber.session_id] = Line()
    gateway.go.set()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert gateway.flushes == 0
    gateway.amber.send("AF", "584=o|585=7|")
    gateway.inquire()
    assert len(await gateway.until("AMBER", 2)) == 2
    assert [report[584] for report in gateway.amber.reports()[-2:]] == [b"o", b"o"]


async def test_a_connection_that_is_gone_when_its_inquiry_is_written_is_not_answered(gateway: Gateway) -> None:
    gateway.amber.send("AF", "584=m|585=7|")
    del gateway.connections[gateway.amber.session_id]
    gateway.inquire()
    gateway.go.set()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert gateway.asked == []


async def test_a_long_answer_is_told_in_portions_as_its_broker_reads(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_TOLD", 1)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.001)
    line = gateway.connections[gateway.amber.session_id]
    assert isinstance(line, Line)
    line.waiting_bytes = module.BACKLOG_BYTES + 1
    gateway.amber.send("AF", "584=m|585=7|")
    gateway.inquire()
    gateway.go.set()
    with trio.fail_after(PATIENCE):
        while not gateway.asked:
            await trio.lowlevel.checkpoint()
    assert gateway.flushes == 0
    line.waiting_bytes = module.BACKLOG_BYTES
    assert len(await gateway.until("AMBER", 2)) == 2
    assert gateway.flushes == 2


async def test_without_a_quorum_the_broker_is_told(gateway: Gateway) -> None:
    gateway.quorum = False
    gateway.amber.send("AF", "584=m|585=7|")
    gateway.inquire()
    gateway.go.set()
    [heard] = await gateway.until("AMBER", 1)
    assert heard.startswith("j 380=4 58=not answered: ")
