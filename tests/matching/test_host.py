"""A shard as a process: its days go by the clock that stamps commands."""

import logging
from collections.abc import Callable
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import trio
import trio.testing

from matching import host
from matching.codes import OrdType, Phase, Side, TimeInForce
from matching.commands import DefineInstrument, DefineRules, DefineSession, NewOrder
from matching.host import ShardSettings, run_shard
from matching.operations import Market
from matching.wire import encode
from recovery import frames, node, primary
from recovery.alarm import now_ns
from recovery.coordinator import FileCoordinator
from recovery.journal import Journal
from recovery.link import LinkClient
from recovery.multicast import Destination, open_receiver
from recovery.node import ReplicaAddresses, ReplicaConfig
from tests.recovery.client_link import ClientLink
from tests.venue import free_ports

ACME = DefineInstrument(1, b"ACME", 100, 1, 100)
MARKET = Market([ACME], ZoneInfo("UTC"), time(0))
LOCAL = ("127.0.0.1", 0)
HOUR = 3_600_000_000_000
NOON = 1_795_348_800_000_000_000  # 2026-11-22 12:00 UTC


class Clock:
    """A wall clock and a monotonic one, in the place of the module `time`."""

    def __init__(self) -> None:
        self.wall = NOON
        self.passed = 0

    def time_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.passed

    def pass_(self, ns: int) -> None:
        self.wall += ns
        self.passed += ns


async def test_what_a_shard_is_told_at_its_start_stands_in_its_log_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rules = DefineRules(1, 500, 0, 0, 0, 0, 0, 0)
    with open_receiver(("127.0.0.1", 0)) as listener:
        here = ReplicaAddresses(LOCAL, LOCAL, LOCAL, LOCAL)
        stream = Destination((listener.getsockname(),))
        replica = ReplicaConfig(1, 1, {1: here}, tmp_path / "s1", "quorum", "memory", {}, b"", stream)
        settings = ShardSettings(replica, MARKET._replace(rules=[rules]))
        async with trio.open_nursery() as nursery:
            await nursery.start(run_shard, settings, FileCoordinator(tmp_path / "s1.json"))
            nursery.cancel_scope.cancel()
    lines = [each.message for each in caplog.records if each.name == "matching.host"]
    assert lines[:2] == [
        "shard 1: define instrument: instrument 1, symbol ACME, tick size 0.01, lot size 1, round lot size 100",
        "shard 1: define rules: instrument ACME, static band 5 %, dynamic band 0 %, fat finger 0 %, max quantity 0, "
        "max value 0.00, pause 0 s, reopening 0 s",
    ]
    assert lines[2].startswith("shard 1: start day: day 20")


async def test_a_day_ends_when_its_time_has_passed_and_not_when_the_clock_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr(node, "time", clock)
    monkeypatch.setattr(host, "CHECK_SECONDS", 0.01)
    with open_receiver(("127.0.0.1", 0)) as listener:
        stream = Destination((listener.getsockname(),))
        here = ReplicaAddresses(LOCAL, LOCAL, LOCAL, LOCAL)
        replica = ReplicaConfig(1, 1, {1: here}, tmp_path / "s1", "quorum", "memory", {}, b"", stream)
        coordinator = FileCoordinator(tmp_path / "s1.json")
        async with trio.open_nursery() as nursery:
            shard = await nursery.start(run_shard, ShardSettings(replica, MARKET), coordinator)
            assert shard.engine.last_day == 20261122
            clock.wall += 24 * HOUR
            with trio.fail_after(5):
                while "the clock jumped" not in caplog.text:
                    await trio.lowlevel.checkpoint()
            await trio.sleep(0.1)
            assert shard.engine.last_day == 20261122
            assert [each.levelno for each in caplog.records if "the clock jumped" in each.message] == [logging.ERROR]
            clock.wall -= 24 * HOUR
            for _ in range(13 * 3600 * 2):
                clock.pass_(500_000_000)
                shard.node.stamps.now()
            with trio.fail_after(5):
                while shard.engine.last_day != 20261123 or not shard.engine.day_is_open:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()


async def test_a_gateway_whose_link_stays_away_is_lost_and_the_shard_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(host, "LINK_GRACE", 50_000_000)
    with open_receiver(("127.0.0.1", 0)) as listener:
        stream = Destination((listener.getsockname(),))
        here = ReplicaAddresses(LOCAL, LOCAL, LOCAL, LOCAL)
        replica = ReplicaConfig(1, 1, {1: here}, tmp_path / "s1", "quorum", "memory", {7: b"key"}, b"", stream)
        settings = ShardSettings(replica, MARKET._replace(sessions=[DefineSession(41, 1, 7, 1)]))
        coordinator = FileCoordinator(tmp_path / "s1.json")
        async with trio.open_nursery() as nursery:
            shard = await nursery.start(run_shard, settings, coordinator)
            assert shard.engine.session(41) == DefineSession(41, 1, 7, 1)
            link = ClientLink(LinkClient(1, 7, 1, b"key"), lambda: shard.node.link_address)
            linked = trio.CancelScope()
            nursery.start_soon(_run_in, linked, link)
            with trio.fail_after(5):
                await link.opened.wait()
                _order(link)
                while not _resting(shard):
                    await trio.lowlevel.checkpoint()
            linked.cancel()
            with trio.fail_after(5):
                while _resting(shard):
                    await trio.lowlevel.checkpoint()
            tx = shard.node.replica.last_tx
            await trio.sleep(0.2)
            assert shard.node.replica.last_tx == tx
            assert len([each for each in caplog.records if "is lost: it has no link" in each.message]) == 1
            nursery.cancel_scope.cancel()


async def test_a_gateway_that_could_not_come_for_the_disks_sake_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(host, "LINK_GRACE", 400_000_000)
    monkeypatch.setattr(frames, "HEARTBEAT_INTERVAL", 20_000_000)  # which finds out that the peer is gone
    monkeypatch.setattr(primary, "MAX_UNCOMMITTED", 4)
    monkeypatch.setattr(node, "MAX_UNCOMMITTED", 4)
    goes = trio.Event()
    goes.set()
    commit = Journal.commit

    async def slow_commit(journal: Journal) -> None:
        await goes.wait()
        await commit(journal)

    monkeypatch.setattr(Journal, "commit", slow_commit)
    with open_receiver(("127.0.0.1", 0)) as listener:
        stream = Destination((listener.getsockname(),))
        here = ReplicaAddresses(LOCAL, LOCAL, LOCAL, LOCAL)
        replica = ReplicaConfig(1, 1, {1: here}, tmp_path / "s1", "quorum", "disk", {7: b"key"}, b"", stream)
        settings = ShardSettings(replica, MARKET._replace(sessions=[DefineSession(41, 1, 7, 1)]))
        async with trio.open_nursery() as nursery:
            shard = await nursery.start(run_shard, settings, FileCoordinator(tmp_path / "s1.json"))
            link = ClientLink(LinkClient(1, 7, 1, b"key"), lambda: shard.node.link_address)
            linked = trio.CancelScope()
            nursery.start_soon(_run_in, linked, link)
            with trio.fail_after(5):
                await link.opened.wait()
                goes = trio.Event()
                for number in range(1, 7):
                    _order(link, number)
                while shard.node.primary.ready:
                    await trio.lowlevel.checkpoint()
            linked.cancel()
            link.client.disconnected()
            nursery.start_soon(link.run)
            await trio.sleep(0.8)
            goes.set()
            with trio.fail_after(5):
                while len(list(shard.engine.orders())) < 6:
                    await trio.lowlevel.checkpoint()
            assert "is lost" not in caplog.text
            nursery.cancel_scope.cancel()


class TrioTime:
    """The module `time` by trio's clock, which tests set: the run begins at noon."""

    def time_ns(self) -> int:
        return NOON + now_ns()

    def monotonic_ns(self) -> int:
        return now_ns()


def at(seconds: int) -> time:
    return time(12, 0, seconds)


PHASES = [(at(0), Phase.PRE_OPEN), (at(10), Phase.OPENING_AUCTION), (at(20), Phase.CONTINUOUS)]


async def test_a_phase_begins_when_its_time_has_come_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(node, "time", TrioTime())
    with open_receiver(("127.0.0.1", 0)) as listener:
        here = ReplicaAddresses(LOCAL, LOCAL, LOCAL, LOCAL)
        stream = Destination((listener.getsockname(),))
        replica = ReplicaConfig(1, 1, {1: here}, tmp_path / "s1", "quorum", "memory", {}, b"", stream)
        settings = ShardSettings(replica, MARKET._replace(calendars={0: lambda _: PHASES}))
        async with trio.open_nursery() as nursery:
            shard = await nursery.start(run_shard, settings, FileCoordinator(tmp_path / "s1.json"))
            stamped = shard.node.replica.execution
            assert _phase(shard) == Phase.PRE_OPEN
            mock_clock.jump(9.999)
            await _idle()
            assert _phase(shard) == Phase.PRE_OPEN
            mock_clock.jump(0.002)
            await _until(lambda: _phase(shard) == Phase.OPENING_AUCTION)
            assert NOON + 10_000_000_000 <= stamped.last_timestamp < NOON + 10_002_000_000
            tx = shard.node.replica.last_tx
            mock_clock.jump(1.0)
            await _until(lambda: shard.node.replica.last_tx == tx + 1)  # the indicative price of a full second
            await _idle()
            assert shard.node.replica.last_tx == tx + 1
            nursery.cancel_scope.cancel()
        mock_clock.jump(20.0)
        async with trio.open_nursery() as nursery:  # another life of it: what was missed is done at once
            shard = await nursery.start(run_shard, settings, FileCoordinator(tmp_path / "s1.json"))
            await _until(lambda: _phase(shard) == Phase.CONTINUOUS)
            await _idle()
            tx = shard.node.replica.last_tx
            mock_clock.jump(3600.0)
            await _idle()
            assert shard.node.replica.last_tx == tx
            nursery.cancel_scope.cancel()


async def test_a_new_primary_does_at_once_what_came_due_while_nobody_led(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(node, "time", clock)
    ports = iter(free_ports(10))
    stream = ("239.77.4.1", next(ports))
    replicas = {
        number: ReplicaAddresses(*(("127.0.0.1", next(ports)) for _ in range(3)), stream) for number in (1, 2, 3)
    }
    market = MARKET._replace(calendars={0: lambda _: [(time(13), Phase.CONTINUOUS)]})
    shards: dict[int, host.ShardHost] = {}
    scopes: dict[int, trio.CancelScope] = {}

    async def run(number: int) -> None:
        directory = tmp_path / f"s1.{number}"
        replica = ReplicaConfig(1, number, replicas, directory, "quorum", "memory", {}, b"", Destination((stream,)))
        with trio.CancelScope() as scopes[number]:
            async with trio.open_nursery() as nursery:
                settings = ShardSettings(replica, market)
                shards[number] = await nursery.start(run_shard, settings, FileCoordinator(tmp_path / "s1.json"))
        del shards[number]

    def leaders() -> list[int]:
        return [number for number, shard in shards.items() if shard.node.replica.primary is not None]

    def phases() -> list[int]:
        return [_phase(shard) for shard in shards.values() if shard.engine.day_is_open]

    async def wait(condition: Callable[[], bool]) -> None:
        with trio.fail_after(20):
            while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        for number in replicas:
            nursery.start_soon(run, number)
        await wait(lambda: phases() == [Phase.CLOSED] * 3 and len(leaders()) == 1)
        scopes[leaders()[0]].cancel()
        clock.pass_(HOUR)
        await wait(lambda: phases() == [Phase.CONTINUOUS] * 2)
        nursery.cancel_scope.cancel()


def _phase(shard: host.ShardHost) -> int:
    (instrument,) = shard.engine.instruments()
    return instrument.phase


async def _idle() -> None:
    """Until nothing has anything to do at this time."""
    await trio.testing.wait_all_tasks_blocked(0.005)


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await trio.testing.wait_all_tasks_blocked()
    raise AssertionError("it does not come to that")


async def _run_in(scope: trio.CancelScope, link: ClientLink) -> None:
    with scope:
        await link.run()


def _order(link: ClientLink, number: int = 1) -> None:
    order = NewOrder(1, 1, Side.BUY, OrdType.LIMIT, TimeInForce.DAY, 1_000_000, 100, 0, b"A%d" % number, b"")
    link.client.forward(41, number, *encode(order), 0)
    link.flush()


def _resting(shard: host.ShardHost) -> int:
    return len(shard.engine.book(1).bids.depth())
