"""The gateway's process: its journal before everything, its links, what a restart finds, what waits for the disk."""

import select
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from fixgw import gateway as module
from fixgw import tags
from fixgw.timestamps import SECOND, format_timestamp
from fixgw.up import run_gateway
from recovery.journal import Journal, JournalFailed
from tests.fixgw.venue_on_sockets import PATIENCE, Exchange, Peer, open_exchange


@pytest.fixture(params=["write", "disk"])
async def exchange(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Exchange]:
    async with open_exchange(tmp_path, sync=request.param) as exchange:
        yield exchange


@pytest.fixture
async def on_disk(tmp_path: Path) -> AsyncIterator[Exchange]:
    async with open_exchange(tmp_path, sync="disk") as exchange:
        yield exchange


async def logged_on(exchange: Exchange, *comp_ids: str) -> list[Peer]:
    peers = [exchange.peer(comp_id) for comp_id in comp_ids]
    for peer in peers:
        await peer.connect()
        await peer.log_on()
    return peers


class Disk:
    """Holds the gateway's commits back until it is told to let them go."""

    def __init__(self, exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits = 0
        self._journal = exchange.gateway._journal
        self._commit = self._journal.commit
        self._go = trio.Event()
        monkeypatch.setattr(self._journal, "commit", self._held)

    async def _held(self) -> None:
        await self._go.wait()
        self.commits += 1
        await self._commit()

    def let_go(self) -> None:
        self._go.set()


class Overheard:
    """The gateway's router, with something else in place of some of its methods: its own cannot be replaced where it
    is compiled."""

    def __init__(self, exchange: Exchange, monkeypatch: pytest.MonkeyPatch, **methods: Callable[..., Any]) -> None:
        self._router = exchange.gateway.router
        self.__dict__.update(methods)
        monkeypatch.setattr(exchange.gateway, "router", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)


class Clocks:
    """The gateway's clocks, in the test's hands: they stand still, and the wall clock can be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._wall, self._steady = module.time.time_ns(), module.now_ns()
        monkeypatch.setattr(module, "time", self)
        monkeypatch.setattr(module, "now_ns", lambda: self._steady)

    def time_ns(self) -> int:
        return self._wall

    def set_wall_clock(self, step: int) -> None:
        self._wall += step

    def go_on(self, seconds: float) -> None:
        self._wall += round(seconds * SECOND)
        self._steady += round(seconds * SECOND)


async def ticks(exchange: Exchange, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the gateway's timer has come and been dealt with so many times."""
    monkeypatch.setattr(module, "TICK_SECONDS", 0.001)
    handle_deadline = exchange.gateway.router.handle_deadline
    left = count + 1
    done = trio.Event()

    def counted(now: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()
        handle_deadline(now)

    Overheard(exchange, monkeypatch, handle_deadline=counted)
    with trio.fail_after(PATIENCE):
        await done.wait()


def has_heard(peer: Peer) -> bool:
    """Whether there is something to read on its connection."""
    return bool(select.select([peer.stream.socket], [], [], 0)[0])


async def test_a_gateway_that_starts_again_goes_on_where_it_was(exchange: Exchange) -> None:
    amber, birch = await logged_on(exchange, "BROKER1", "BROKER2")
    amber.broker.order("a1", "sell", 300, "100")
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    await amber.close()
    birch.broker.order("b1", "buy", 100, "100")
    await birch.until(lambda: len(birch.broker.reports()) == 2)
    await exchange.stop("g1")
    await birch.close()
    await exchange.start("g1")
    await birch.connect()
    await birch.log_on()
    birch.broker.order("b2", "buy", 100, "100")
    await birch.until(lambda: len(birch.broker.reports()) == 4)
    await amber.connect()
    await amber.log_on()
    await amber.until(lambda: len(amber.broker.reports()) == 3)
    assert [report[tags.CumQty] for report in amber.broker.reports()] == [b"0", b"100", b"200"]
    for peer in (amber, birch):
        await peer.trade(2)
        await peer.close()


async def test_a_gateway_that_lost_its_journal_says_whose_numbers_were_used_once_for_each_session(
    exchange: Exchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [amber] = await logged_on(exchange, "BROKER1")
    for number in range(4):
        amber.broker.order(f"a{number}", "sell", 1, "100")
    await amber.until(lambda: len(amber.broker.reports()) == 4)
    await amber.close()
    await exchange.stop("g1")
    exchange.config.directory("gateway", "g1").rename(tmp_path / "gone")
    await exchange.start("g1")
    [amber] = await logged_on(exchange, "BROKER1")
    for number in range(2):
        amber.broker.order(f"b{number}", "sell", 1, "100")
    await amber.until(lambda: [each[tags.MsgType] for each in amber.broker.reports()].count(b"j") == 2)
    told = [each.getMessage() for each in caplog.records if "has had its numbers before" in each.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("session BROKER1: ")
    await amber.close()


async def test_a_resend_goes_on_as_its_peer_reads(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESEND_BACKLOG_BYTES", 1)
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    amber, birch = await logged_on(exchange, "BROKER1", "BROKER2")
    amber.broker.order("a1", "sell", 2000, "100")
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    await amber.close()
    for number in range(600):
        birch.broker.order(f"b{number}", "buy", 1, "100")
    await birch.until(lambda: len(birch.broker.reports()) == 1200)
    await amber.connect(receive_buffer=4096)
    await amber.log_on()
    birch.broker.order("last", "buy", 1, "100")
    await birch.until(lambda: len(birch.broker.reports()) == 1202)
    await amber.until(lambda: len(amber.broker.reports()) == 602)
    await amber.trade()
    await amber.close()
    await birch.close()


async def test_everybody_else_gets_a_turn_between_two_pieces_of_a_resend(
    exchange: Exchange, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    amber, birch = await logged_on(exchange, "BROKER1", "BROKER2")
    amber.broker.order("a1", "sell", 2000, "100")
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    await amber.close()
    for number in range(600):
        birch.broker.order(f"b{number}", "buy", 1, "100")
    await birch.until(lambda: len(birch.broker.reports()) == 1200)
    resend, turns, pieces = exchange.gateway.router.resend, [0], []

    async def take_turns() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns[0] += 1

    def give_piece(*arguments: Any) -> bytes:
        data = resend(*arguments)
        if data:
            pieces.append(turns[0])
        return data

    Overheard(exchange, monkeypatch, resend=give_piece)
    nursery.start_soon(take_turns)
    await amber.connect()
    await amber.log_on()
    await amber.until(lambda: len(amber.broker.reports()) == 601)
    assert len(pieces) >= 3
    # Tasks of one round run in any order: two pieces may be given without a turn of another's, never three.
    assert all(piece < pieces[at + 2] for at, piece in enumerate(pieces[:-2]))


@pytest.mark.parametrize("step", [-3600 * SECOND, 3600 * SECOND], ids=["set back", "set ahead"])
async def test_a_wall_clock_that_is_set_ends_no_session_and_silences_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    async with open_exchange(tmp_path) as exchange:
        clocks = Clocks(monkeypatch)
        [amber] = await logged_on(exchange, "BROKER1")
        amber.broker.take()
        clocks.set_wall_clock(step)
        await ticks(exchange, 3, monkeypatch)
        assert not has_heard(amber), "30 s are not over, and it was given as long as any other to be heard"
        clocks.go_on(30)
        await amber.until(lambda: len(amber.broker.heard) == 1)
        assert amber.broker.heard[0].fields[tags.SendingTime] == format_timestamp(clocks.time_ns())
        assert amber.broker.take() == ["0"]
        clocks.go_on(6)
        await amber.until(lambda: len(amber.broker.heard) == 1)
        assert amber.broker.take() == ["1"]
        await amber.close()


async def test_an_order_for_a_shard_that_is_away_waits_for_it(exchange: Exchange) -> None:
    exchange.gateway.router.shards[1].pause = 60 * SECOND
    [amber] = await logged_on(exchange, "BROKER1")
    await exchange.stop("s1")
    amber.broker.order("a1", "buy", 1, "100")
    amber.broker.order("a2", "buy", 10, "100", symbol="GAMMA")
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    assert amber.broker.take()[1:] == ["8 11=a2 150=0 39=0 151=10 14=0"]
    await exchange.start("s1")
    await amber.until(lambda: len(amber.broker.reports()) == 2)
    assert amber.broker.take() == ["8 11=a1 150=0 39=0 151=1 14=0"]
    await amber.close()


async def test_who_wants_it_has_its_orders_canceled_when_its_connection_is_lost(tmp_path: Path) -> None:
    async with open_exchange(tmp_path, cancel_on_disconnect=["BROKER1"]) as exchange:
        amber, birch = await logged_on(exchange, "BROKER1", "BROKER3")
        amber.broker.order("a1", "sell", 10, "100")
        await amber.until(lambda: len(amber.broker.reports()) == 1)
        amber.broker.order("a2", "sell", 10, "100", symbol="GAMMA")
        await amber.until(lambda: len(amber.broker.reports()) == 2)
        await amber.close()
        session = exchange.gateway.router.seats[1].session
        with trio.fail_after(PATIENCE):
            while session.next_out_seq < 6:  # the Logon, two acceptances, two cancels
                await trio.testing.wait_all_tasks_blocked(0.001)
        birch.broker.order("b1", "buy", 10, "100", time_in_force=3)
        await birch.until(lambda: len(birch.broker.reports()) == 2)
        assert birch.broker.take()[-1].startswith("8 11=b1 150=4 39=4 ")
        await birch.close()


@pytest.mark.parametrize("sync", ["write", "disk"])
async def test_who_wants_it_has_its_orders_canceled_when_its_gateway_is_started_again(
    tmp_path: Path, sync: str
) -> None:
    async with open_exchange(tmp_path, sync=sync, cancel_on_disconnect=["BROKER1"]) as exchange:
        amber, birch = await logged_on(exchange, "BROKER1", "BROKER3")
        for peer, name in ((amber, "a1"), (birch, "b1")):
            peer.broker.order(name, "sell", 10, "100")
            await peer.until(lambda: len(peer.broker.reports()) == 1)  # noqa: B023
        await exchange.stop("g1")
        for peer in (amber, birch):
            await peer.read_to_end()
        await exchange.start("g1")
        await amber.connect()
        await amber.log_on()
        await amber.until(lambda: len(amber.broker.reports()) == 2)
        assert amber.broker.reports()[-1][tags.ExecType] == b"4"
        await birch.connect()
        await birch.log_on()
        birch.broker.cancel("b2", "b1", "sell")
        await birch.until(lambda: len(birch.broker.reports()) == 2)
        assert birch.broker.reports()[-1][tags.ClOrdID] == b"b2", "its order was there to be canceled by itself"
        assert birch.broker.reports()[-1][tags.ExecType] == b"4"
        await amber.close()
        await birch.close()


async def test_after_a_while_orders_for_a_lost_shard_are_refused_until_it_is_back(exchange: Exchange) -> None:
    [amber] = await logged_on(exchange, "BROKER1")
    exchange.gateway.router.shards[1].pause = 0
    await exchange.stop("s1")
    with trio.fail_after(PATIENCE):
        while not exchange.gateway.router.shards[1].lost_at:
            await trio.testing.wait_all_tasks_blocked(0.001)
    amber.broker.take()
    amber.broker.order("a1", "buy", 1, "100")
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    [refusal] = amber.broker.take()
    assert refusal.startswith("8 11=a1 150=8 39=8 151=0 14=0 103=99 58=the market pauses: shard 1 has no primary ")
    await exchange.start("s1")
    with trio.fail_after(PATIENCE):
        while exchange.gateway.router.shards[1].lost_at:
            await trio.testing.wait_all_tasks_blocked(0.001)
    await amber.trade()
    await amber.close()


async def test_brokers_may_log_on_to_a_gateway_without_shards_and_are_told(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_LINKS_SECONDS", 0.01)
    await exchange.stop("g1", "s1", "s2")
    await exchange.start("g1")
    [amber] = await logged_on(exchange, "BROKER1")
    amber.broker.take()
    amber.broker.order("a1", "buy", 1, "100")
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    assert amber.broker.take() == [
        "8 11=a1 150=8 39=8 151=0 14=0 103=99 58=the market is not reachable yet: this gateway has just started"
    ]
    await amber.close()


async def test_nothing_leaves_before_the_disk_has_it(on_disk: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    amber, birch = await logged_on(on_disk, "BROKER1", "BROKER2")
    amber.broker.take()
    disk = Disk(on_disk, monkeypatch)
    amber.broker.order("a1", "buy", 1, "100", symbol="OMEGA")
    await amber.flush()
    birch.broker.order("b1", "buy", 1, "100")
    await birch.flush()
    core = on_disk.gateway.router
    with trio.fail_after(PATIENCE):
        while core.shards[1].link.unseen == 0 or core.seats[1].session.next_out_seq == 2:
            await trio.testing.wait_all_tasks_blocked(0.001)
    await ticks(on_disk, 2, monkeypatch)
    assert not has_heard(amber), "a refusal was said before it was safe"
    assert core.shards[1].seen_source_seq == 0
    disk.let_go()
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    await birch.until(lambda: len(birch.broker.reports()) == 1)
    await amber.close()
    await birch.close()


async def test_batches_that_wait_share_one_commit(on_disk: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = await logged_on(on_disk, "BROKER1", "BROKER2", "BROKER3")
    disk = Disk(on_disk, monkeypatch)
    for turn in range(5):
        for peer in peers:
            session = on_disk.gateway.router.seats[peer.broker.session_id].session
            expected = session.next_in_seq + 1
            peer.broker.order(f"o{turn}", "buy", 1, "100", symbol="OMEGA")
            await peer.flush()
            with trio.fail_after(PATIENCE):
                while session.next_in_seq < expected:
                    await trio.testing.wait_all_tasks_blocked(0.001)
    disk.let_go()
    for peer in peers:
        await peer.until(lambda: len(peer.broker.reports()) == 5)  # noqa: B023
    assert disk.commits < 5
    for peer in peers:
        await peer.close()


async def test_brokers_are_kept_waiting_while_the_disk_hangs(
    on_disk: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    (amber,) = await logged_on(on_disk, "BROKER1")
    with trio.fail_after(PATIENCE):
        while on_disk.gateway._waiting:  # a commit that is under way would make room
            await trio.testing.wait_all_tasks_blocked(0.001)
    disk = Disk(on_disk, monkeypatch)
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    session = on_disk.gateway.router.seats[1].session
    expected = session.next_in_seq + 1
    for number in range(5):
        amber.broker.order(f"o{number}", "buy", 1, "100", symbol="OMEGA")
        await amber.flush()
        with trio.fail_after(PATIENCE):
            while session.next_in_seq < expected:
                await trio.testing.wait_all_tasks_blocked(0.001)
    await ticks(on_disk, 2, monkeypatch)
    assert session.next_in_seq == expected, "the second message was taken although the first waits for the disk"
    disk.let_go()
    await amber.until(lambda: len(amber.broker.reports()) == 5)
    await amber.close()


async def test_what_waits_for_the_disk_is_not_said_on_the_next_connection(
    on_disk: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    amber, birch = await logged_on(on_disk, "BROKER1", "BROKER2")
    disk = Disk(on_disk, monkeypatch)
    amber.broker.order("a1", "buy", 1, "100", symbol="OMEGA")
    await amber.flush()
    session = on_disk.gateway.router.seats[1].session
    with trio.fail_after(PATIENCE):
        while session.next_out_seq == 2:
            await trio.testing.wait_all_tasks_blocked(0.001)
    await amber.close()
    with trio.fail_after(PATIENCE):
        while on_disk.gateway.connections.keys() & {1}:
            await trio.testing.wait_all_tasks_blocked(0.001)
    await amber.connect()
    amber.broker.connect(amber.credentials)
    await amber.flush()
    with trio.fail_after(PATIENCE):
        while session.next_out_seq == 3:
            await trio.testing.wait_all_tasks_blocked(0.001)
    disk.let_go()
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    assert [line[0] for line in amber.broker.take()[-2:]] == ["8", "4"]
    await birch.trade()
    await amber.close()
    await birch.close()


async def test_a_resend_asked_for_with_the_logon_follows_its_answer(
    on_disk: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NextExpectedMsgSeqNum(789) opens the resend while the Logon's answer still waits for the disk."""
    [amber] = await logged_on(on_disk, "BROKER1")
    amber.broker.order("a1", "buy", 1, "100", symbol="OMEGA")
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    await amber.close()
    with trio.fail_after(PATIENCE):
        while on_disk.gateway.connections:
            await trio.testing.wait_all_tasks_blocked(0.001)
    disk = Disk(on_disk, monkeypatch)
    await amber.connect()
    amber.broker.connect(f"{amber.credentials}789=1|")
    await amber.flush()
    with trio.fail_after(PATIENCE):
        while not on_disk.gateway.connections:
            await trio.testing.wait_all_tasks_blocked(0.001)
    await ticks(on_disk, 2, monkeypatch)
    assert not has_heard(amber), "something was said before the Logon's answer"
    disk.let_go()
    await amber.until(lambda: amber.broker.logged_on)
    await amber.trade()
    await amber.close()


async def test_a_failing_disk_stops_the_process(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    await exchange.stop("g1")

    write = Journal._write

    def fail(self: Journal) -> None:
        if self.directory.name == "gateway-g1":
            raise JournalFailed("no space left on device")
        write(self)

    failed: BaseExceptionGroup[JournalFailed] | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(run_gateway, exchange.config, "g1")
            [amber] = await logged_on(exchange, "BROKER1")
            # Both streams have been heard: what is written next is the refusal.
            amber.broker.order("a1", "buy", 1, "100", symbol="ALPHA")
            amber.broker.order("a2", "buy", 10, "100", symbol="GAMMA")
            await amber.until(lambda: len(amber.broker.reports()) == 2)
            monkeypatch.setattr(Journal, "_write", fail)
            amber.broker.order("a3", "buy", 1, "100", symbol="OMEGA")
            await amber.flush()
            with trio.fail_after(PATIENCE):
                await trio.sleep_forever()
    except* JournalFailed as error:
        failed = error
    monkeypatch.undo()
    assert failed is not None
    assert await amber.read_to_end() == []


async def test_inquiries_are_answered_by_the_replicas(exchange: Exchange) -> None:
    amber, birch = await logged_on(exchange, "BROKER1", "BROKER3")
    amber.broker.order("a1", "sell", 300, "100")
    await amber.until(lambda: len(amber.broker.reports()) == 1)
    birch.broker.order("b1", "buy", 100, "100")
    await birch.until(lambda: len(birch.broker.reports()) == 2)
    await amber.until(lambda: len(amber.broker.reports()) == 2)
    amber.broker.take()
    amber.broker.send("H", "11=a1|55=ALPHA|54=2|790=q1|")
    amber.broker.send("AF", "584=m1|585=7|")
    amber.broker.send("AD", "568=t1|569=0|")
    await amber.until(lambda: len(amber.broker.reports()) == 5)
    told = amber.broker.take()
    assert told[:2] == ["8 11=a1 150=I 39=1 151=200 14=100", "8 11=a1 150=I 39=1 151=200 14=100 912=Y"]
    assert told[2].endswith("11=a1 32=100 31=100.00 912=Y")
    await amber.close()
    await birch.close()


async def test_so_many_questions_are_asked_at_a_time_and_no_more(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go = [], trio.Event()

    async def read(shard_id: int, *_: object, **__: object) -> bytes:
        asked.append(shard_id)
        await go.wait()
        return b""

    monkeypatch.setattr(module, "quorum_read", read)
    async with trio.open_nursery() as nursery:
        for _ in range(module.MAX_QUESTIONS + 1):
            nursery.start_soon(exchange.gateway._ask, 1, b"")
        with trio.fail_after(PATIENCE):
            while len(asked) < module.MAX_QUESTIONS:
                await trio.lowlevel.checkpoint()
            for _ in range(100):
                await trio.lowlevel.checkpoint()
        assert len(asked) == module.MAX_QUESTIONS
        go.set()
    assert len(asked) == module.MAX_QUESTIONS + 1
