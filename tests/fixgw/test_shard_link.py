"""The link to a shard whose replicas come, go, hang and follow each other, on real sockets in this process."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
import trio

from fixgw.shard_link import ShardLink
from recovery.coordinator import Address, CoordinatorUnavailable, Record
from recovery.link import NONCE_BYTES, LinkClient, LinkServer, Login

KEY = bytes(32)
PATIENCE = 10.0


class Replica:
    """One replica's end of links. It accepts while it leads, hangs while it hangs, and rejects otherwise."""

    def __init__(self, replica_id: int) -> None:
        self.replica_id = replica_id
        self.leads = False
        self.hangs = False
        self.logins = 0
        self.asked = trio.Event()
        self.accepted = trio.Event()
        #: What came at its end of a link, in pieces.
        self.pieces = 0
        self.address = ("", 0)
        self._scope = trio.CancelScope()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.address = listener.socket.getsockname()
        await trio.serve_listeners(self._serve, [listener], task_status=task_status)  # type: ignore[arg-type]

    async def _serve(self, stream: trio.SocketStream) -> None:
        with trio.CancelScope() as self._scope, suppress(trio.BrokenResourceError):
            server = LinkServer(1, {1: KEY}, bytes(NONCE_BYTES), time.time_ns())
            self.asked.set()
            if self.hangs:
                await trio.sleep_forever()
            await stream.send_all(server.data_to_send())
            while data := await stream.receive_some():
                self.pieces += 1
                for event in server.receive_data(data, time.time_ns()):
                    if isinstance(event, Login):
                        self._answer(server)
                await stream.send_all(server.data_to_send())
                if server.closed:
                    break
        await trio.aclose_forcefully(stream)

    def _answer(self, server: LinkServer) -> None:
        if self.leads:
            self.logins += 1
            server.accept(0, time.time_ns())
            self.accepted.set()
        else:
            server.reject(f"replica {self.replica_id} is a backup", time.time_ns())

    def drop(self) -> None:
        """The connection breaks."""
        self.accepted = trio.Event()
        self._scope.cancel()


class Board:
    """A coordinator of one shard, in memory."""

    def __init__(self) -> None:
        self.record = Record()
        self.version = 0
        self.available = True
        self.hangs = False
        self._changed = trio.Event()

    def say(self, epoch: int, owner: int, address: tuple[str, int] | None = None) -> None:
        replicas = {str(owner): Address(*address)} if address is not None else {}
        self.record = Record(epoch, owner, replicas)
        self.version += 1
        self._changed.set()
        self._changed = trio.Event()

    async def read(self) -> tuple[Record, int]:
        if self.hangs:
            await trio.sleep_forever()
        if not self.available:
            raise CoordinatorUnavailable("no majority of its servers")
        return self.record, self.version

    async def write(self, record: Record, version: int) -> bool:
        raise AssertionError("a gateway only reads")

    async def wait_changed(self, version: int) -> None:
        while version == self.version:
            await self._changed.wait()


class Stage:
    """Three replicas, the coordinator, and a gateway's link that has not been started yet."""

    def __init__(self, replicas: list[Replica]) -> None:
        self.replicas = {each.replica_id: each for each in replicas}
        self.board = Board()
        self.told: list[str] = []
        self.client = LinkClient(1, 1, 1, KEY)
        self.link = ShardLink(
            "s1",
            self.client,
            {replica_id: each.address for replica_id, each in self.replicas.items()},
            self.board,
            opened=lambda: self.told.append("opened"),
            lost=lambda: self.told.append("lost"),
            flush=self.flush,
        )

    def flush(self) -> None:
        data = self.client.data_to_send()
        if data and self.link.peer is not None:
            self.link.peer.send(data)

    def lead(self, replica_id: int) -> None:
        for each in self.replicas.values():
            each.leads = each.replica_id == replica_id

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE):
            while not condition():
                await trio.testing.wait_all_tasks_blocked(0.001)

    async def linked_to(self, replica_id: int) -> None:
        with trio.fail_after(PATIENCE):
            await self.replicas[replica_id].accepted.wait()
        await self.until(lambda: self.client.open)


@pytest.fixture
async def stage(nursery: trio.Nursery) -> AsyncIterator[Stage]:
    replicas = [Replica(replica_id) for replica_id in (1, 2, 3)]
    for each in replicas:
        await nursery.start(each.run)
    yield Stage(replicas)
    nursery.cancel_scope.cancel()


async def test_the_coordinators_owner_is_linked_to(stage: Stage, nursery: trio.Nursery) -> None:
    stage.lead(3)
    stage.board.say(4, 3)
    nursery.start_soon(stage.link.run)
    await stage.linked_to(3)
    assert stage.told == ["opened"]
    assert stage.link.linked.is_set()


@pytest.mark.parametrize("trouble", ["wrong", "unavailable", "hung"])
async def test_the_primary_is_found_whatever_the_coordinator_says(
    stage: Stage, nursery: trio.Nursery, trouble: str
) -> None:
    stage.lead(2)
    stage.board.say(4, 1)
    stage.board.available = trouble != "unavailable"
    stage.board.hangs = trouble == "hung"
    nursery.start_soon(stage.link.run)
    await stage.linked_to(2)


async def test_a_coordinator_that_is_back_is_heard_again(
    stage: Stage, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fixgw.shard_link.ASK_AGAIN_SECONDS", 0.001)
    newcomer = Replica(9)
    newcomer.leads = True
    await nursery.start(newcomer.run)
    stage.board.available = False
    nursery.start_soon(stage.link.run)
    with trio.fail_after(PATIENCE):
        for each in stage.replicas.values():
            await each.asked.wait()
    stage.board.say(5, 9, newcomer.address)
    stage.board.available = True
    with trio.fail_after(PATIENCE):
        await newcomer.accepted.wait()


async def test_a_lost_link_is_opened_again_with_whoever_leads_then(stage: Stage, nursery: trio.Nursery) -> None:
    stage.lead(1)
    nursery.start_soon(stage.link.run)
    await stage.linked_to(1)
    stage.lead(2)
    stage.replicas[1].drop()
    await stage.linked_to(2)
    assert stage.told[:3] == ["opened", "lost", "opened"]  # our replicas say no heartbeats: it may be lost again


async def test_a_replica_that_hangs_is_left_for_the_one_that_leads(stage: Stage, nursery: trio.Nursery) -> None:
    stage.replicas[1].hangs = True
    stage.board.say(4, 1)
    stage.lead(3)
    nursery.start_soon(stage.link.run)
    await stage.linked_to(3)
    assert stage.replicas[1].asked.is_set()


async def test_a_higher_epoch_on_the_stream_drops_the_link_to_a_host_that_says_nothing(
    stage: Stage, nursery: trio.Nursery
) -> None:
    stage.lead(1)
    stage.board.say(4, 1)
    nursery.start_soon(stage.link.run)
    await stage.linked_to(1)
    stage.link.heard_epoch(4, 0)
    stage.lead(2)
    stage.board.say(5, 2)
    await trio.testing.wait_all_tasks_blocked(0.001)
    assert stage.told == ["opened"], "the link was dropped before anybody served the new epoch"
    stage.link.heard_epoch(5, 0)
    await stage.linked_to(2)
    assert stage.told[:3] == ["opened", "lost", "opened"]  # our replicas say no heartbeats: it may be lost again


async def test_who_says_on_the_stream_that_it_leads_is_linked_to_whatever_the_coordinator_says(
    stage: Stage, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fixgw.primaries.FIRST_PATIENCE", int(1e12))
    monkeypatch.setattr("fixgw.primaries.LAST_PATIENCE", int(1e12))
    stage.lead(1)
    stage.board.say(4, 1)
    nursery.start_soon(stage.link.run)
    await stage.linked_to(1)
    for each in (1, 2):
        stage.replicas[each].hangs = True
    stage.lead(3)
    stage.link.heard_epoch(5, 3)
    await stage.linked_to(3)


async def test_the_owners_own_higher_epoch_leaves_the_link(stage: Stage, nursery: trio.Nursery) -> None:
    stage.lead(1)
    stage.board.say(4, 1)
    nursery.start_soon(stage.link.run)
    await stage.linked_to(1)
    stage.board.say(5, 1)
    await trio.testing.wait_all_tasks_blocked(0.001)
    stage.link.heard_epoch(5, 0)
    await trio.testing.wait_all_tasks_blocked(0.001)
    assert stage.replicas[1].logins == 1


async def test_a_hanging_attempt_ends_when_the_coordinator_names_another(
    stage: Stage, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fixgw.primaries.FIRST_PATIENCE", int(1e12))
    monkeypatch.setattr("fixgw.primaries.LAST_PATIENCE", int(1e12))
    for each in stage.replicas.values():
        each.hangs = True
    stage.board.say(4, 1)
    nursery.start_soon(stage.link.run)
    with trio.fail_after(PATIENCE):
        await stage.replicas[1].asked.wait()
    stage.replicas[3].hangs = False
    stage.lead(3)
    stage.board.say(5, 3)
    await stage.linked_to(3)


@pytest.mark.parametrize("step", [-3600, 3600], ids=["set back", "set ahead"])
async def test_a_wall_clock_that_is_set_neither_ends_nor_silences_the_link(
    stage: Stage, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock, step: int
) -> None:
    stage.lead(1)
    nursery.start_soon(stage.link.run)
    await stage.linked_to(1)
    monkeypatch.setattr(time, "time_ns", lambda: time.clock_gettime_ns(time.CLOCK_REALTIME) + step * 1_000_000_000)
    heard = stage.replicas[1].pieces
    for _ in range(2):  # the replica, which stands still, is patient for three seconds
        mock_clock.jump(1.0)
        heard += 1
        for _ in range(1000):
            if stage.replicas[1].pieces >= heard:
                break
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert stage.replicas[1].pieces == heard, "a heartbeat each second"
    assert stage.told == ["opened"]
