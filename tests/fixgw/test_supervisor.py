"""The supervisor over processes that are played: when they are started, told of, started again and ended."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing
from trio.testing import MockClock as Clock

from fixgw.restarts import FIRST_PAUSE, LAST_PAUSE, SECOND, WRONG_CONFIGURATION
from fixgw.supervisor import MAX_LINE_BYTES, MAX_LINES, START_SECONDS, STOP_SECONDS, Output, Supervisor

ROLES = [("shard", "s1.1"), ("shard", "s1.2"), ("retransmitter", "r1"), ("publisher", "A"), ("gateway", "g1")]


class Played:
    """A process of the cast."""

    def __init__(self, cast: "Cast", title: str, pid: int) -> None:
        self.title = title
        self.pid = pid
        self.stdin = None
        self._cast = cast
        self.say, self.stdout = trio.testing.memory_stream_one_way_pair()
        self._ended = trio.Event()
        self._code = 0

    async def wait(self) -> int:
        await self._ended.wait()
        return self._code

    def send_signal(self, number: int) -> None:
        self._cast.signals.append((self.title, signal.Signals(number).name))
        if number == signal.SIGKILL or self.title not in self._cast.deaf:
            self.end(0 if number == signal.SIGTERM else -number)

    def end(self, code: int) -> None:
        self._code = code
        self._ended.set()
        if self.title not in self._cast.survived:
            self.say.close()


class Cast:
    """Whom the supervisor starts, and what came of it."""

    def __init__(self) -> None:
        #: By title: the process that runs, or ran last.
        self.playing: dict[str, Played] = {}
        self.started: list[tuple[str, float]] = []
        self.signals: list[tuple[str, str]] = []
        self.told: list[str] = []
        #: Those that do not say that they are ready; that SIGTERM does not end; whose output outlives them.
        self.mute: set[str] = set()
        self.deaf: set[str] = set()
        self.survived: set[str] = set()
        self.broken: set[str] = set()
        self.supervisor = Supervisor(ROLES, self.spawn, self.tell)
        self._changed = trio.Event()
        self.result: bool | None = None

    def tell(self, line: str) -> None:
        self.told.append(line)
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def spawn(self, role: str, name: str) -> Played:
        title = f"{role} {name}"
        self.started.append((title, trio.current_time()))
        if title in self.broken:
            raise OSError("no such interpreter")
        process = self.playing[title] = Played(self, title, len(self.started))
        self._change()
        if title not in self.mute:
            await process.say.send_all(f"hello\n{title} is ready\n".encode())
        return process

    async def run(self) -> None:
        self.result = await self.supervisor.run()

    def starts(self, title: str) -> list[float]:
        return [at for each, at in self.started if each == title]

    def heard(self, text: str) -> bool:
        return any(text in line for line in self.told)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()


@pytest.fixture
def cast() -> Cast:
    return Cast()


@asynccontextmanager
async def running(cast: Cast) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cast.run)
        yield
        await cast.supervisor.stop()


async def test_everything_is_started_and_what_it_prints_bears_its_name(cast: Cast, autojump_clock: Clock) -> None:
    async with running(cast):
        await cast.supervisor.wait_ready()
        await cast.playing["shard s1.2"].say.send_all(b"one\ntw")
        await cast.playing["shard s1.2"].say.send_all(b"o\n\xff\nunfinished")
    *others, last = [title for title, _ in cast.started]
    assert sorted([*others, last]) == sorted(f"{role} {name}" for role, name in ROLES)
    assert last == "gateway g1"
    lines = [line for line in cast.told if line.startswith("shard s1.2 | ")]
    assert [line.partition(" | ")[2] for line in lines] == [
        "hello",
        "shard s1.2 is ready",
        "one",
        "two",
        "�",
        "unfinished",
    ]
    assert "fixgw | gateway g1 is process 5" in cast.told
    assert cast.result is True


async def test_a_line_without_end_is_cut(cast: Cast, autojump_clock: Clock) -> None:
    async with running(cast):
        await cast.supervisor.wait_ready()
        await cast.playing["shard s1.1"].say.send_all(b"x" * (3 * MAX_LINE_BYTES))
    assert max(len(line.partition(" | ")[2]) for line in cast.told) <= 2 * MAX_LINE_BYTES
    assert sum(line.count("x") for line in cast.told if line.startswith("shard s1.1 | x")) == 3 * MAX_LINE_BYTES


async def test_gateways_wait_for_the_others_but_not_for_ever(cast: Cast, autojump_clock: Clock) -> None:
    cast.mute = {"publisher A"}
    async with running(cast):
        await cast.until(lambda: bool(cast.starts("gateway g1")))
    assert cast.starts("gateway g1")[0] - cast.starts("publisher A")[0] == pytest.approx(START_SECONDS)


async def test_what_is_killed_is_started_again_at_once(cast: Cast, autojump_clock: Clock) -> None:
    async with running(cast):
        await cast.supervisor.wait_ready()
        before = trio.current_time()
        cast.playing["shard s1.1"].end(-signal.SIGKILL)
        await cast.until(lambda: len(cast.starts("shard s1.1")) == 2)
        assert cast.starts("shard s1.1")[1] == before
    assert "fixgw | shard s1.1 was ended by SIGKILL; it is started again at once" in cast.told
    assert all(len(cast.starts(f"{role} {name}")) == 1 for role, name in ROLES[1:])


async def test_a_signal_without_a_name_is_told_by_its_number(cast: Cast, autojump_clock: Clock) -> None:
    async with running(cast):
        await cast.supervisor.wait_ready()
        cast.playing["shard s1.1"].end(-(signal.SIGRTMIN + 1))
        await cast.until(lambda: len(cast.starts("shard s1.1")) == 2)
    assert cast.heard(f"shard s1.1 was ended by signal {signal.SIGRTMIN + 1}; it is started again")


async def test_a_supervisor_that_is_canceled_leaves_no_process(cast: Cast, autojump_clock: Clock) -> None:
    cast.deaf = {f"{role} {name}" for role, name in ROLES}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cast.run)
        await cast.supervisor.wait_ready()
        nursery.cancel_scope.cancel()
    assert {title for title, name in cast.signals if name == "SIGKILL"} == cast.deaf


async def test_what_ends_again_and_again_is_started_less_and_less_often_and_that_is_said(
    cast: Cast, autojump_clock: Clock
) -> None:
    async with running(cast):
        await cast.supervisor.wait_ready()
        cast.mute.add("shard s1.1")
        for count in range(1, 12):
            await cast.until(lambda count=count: len(cast.starts("shard s1.1")) == count)
            cast.playing["shard s1.1"].end(1)
    at = cast.starts("shard s1.1")
    pauses = [later - earlier for earlier, later in pairwise(at)]
    assert pauses[1] == pytest.approx(FIRST_PAUSE / SECOND)
    assert pauses[-1] == pytest.approx(LAST_PAUSE / SECOND)
    assert pauses == sorted(pauses)
    assert "fixgw | shard s1.1 ended with 1, 3 times in a row; it is started again in 1 s" in cast.told


async def test_a_wrong_configuration_is_named(cast: Cast, autojump_clock: Clock) -> None:
    async with running(cast):
        await cast.supervisor.wait_ready()
        cast.playing["gateway g1"].end(WRONG_CONFIGURATION)
        await cast.until(lambda: len(cast.starts("gateway g1")) == 2)
    assert "fixgw | gateway g1 cannot run: the configuration is wrong; it is started again in 30 s" in cast.told


async def test_what_cannot_even_be_started_is_told(cast: Cast, autojump_clock: Clock) -> None:
    cast.broken = {"publisher A"}
    async with running(cast):
        await cast.until(lambda: len(cast.starts("publisher A")) == 3)
        cast.broken = set()
        await cast.supervisor.wait_ready()
    assert cast.heard("fixgw | publisher A cannot be started: no such interpreter")
    assert cast.result is True


async def test_a_forked_child_that_holds_the_output_delays_no_restart(cast: Cast, autojump_clock: Clock) -> None:
    cast.survived = {"shard s1.1"}
    async with running(cast):
        await cast.supervisor.wait_ready()
        before = trio.current_time()
        cast.playing["shard s1.1"].end(-signal.SIGKILL)
        await cast.until(lambda: len(cast.starts("shard s1.1")) == 2)
        assert trio.current_time() - before < 1


async def test_the_end_goes_from_the_brokers_to_the_shards(cast: Cast, autojump_clock: Clock) -> None:
    async with running(cast):
        await cast.supervisor.wait_ready()
    titles = [title for title, name in cast.signals if name == "SIGTERM"]
    assert titles == ["gateway g1", "retransmitter r1", "publisher A", "shard s1.1", "shard s1.2"]
    assert cast.signals == [(title, "SIGTERM") for title in titles]
    assert cast.result is True


async def test_what_does_not_end_is_killed_and_the_rest_is_ended_in_order_all_the_same(
    cast: Cast, autojump_clock: Clock
) -> None:
    cast.deaf = {"gateway g1"}
    async with running(cast):
        await cast.supervisor.wait_ready()
        before = trio.current_time()
    assert trio.current_time() - before == pytest.approx(STOP_SECONDS)
    assert cast.signals[:3] == [("gateway g1", "SIGTERM"), ("gateway g1", "SIGKILL"), ("retransmitter r1", "SIGTERM")]
    assert cast.heard("gateway g1 has not ended 5 s after SIGTERM: killed")
    assert cast.result is False


async def test_nothing_is_started_again_at_the_end(cast: Cast, autojump_clock: Clock) -> None:
    async with running(cast):
        await cast.supervisor.wait_ready()
        cast.mute = {"shard s1.1"}
        for _ in range(3):
            count = len(cast.starts("shard s1.1"))
            cast.playing["shard s1.1"].end(1)
            await cast.until(lambda count=count: len(cast.starts("shard s1.1")) == count + 1)
        cast.playing["shard s1.1"].end(1)
        await trio.testing.wait_all_tasks_blocked()
        count = len(cast.started)
    assert len(cast.started) == count
    assert cast.result is False, "one of them ended badly and was not back yet"


async def test_an_end_while_gateways_still_wait_starts_none(cast: Cast, autojump_clock: Clock) -> None:
    cast.mute = {"shard s1.1"}
    async with running(cast):
        await cast.until(lambda: len(cast.started) == 4)
    assert not cast.starts("gateway g1")
    assert trio.current_time() < START_SECONDS


async def test_a_second_signal_waits_for_nobody(cast: Cast, autojump_clock: Clock) -> None:
    cast.deaf = {f"{role} {name}" for role, name in ROLES}
    async with running(cast):
        await cast.supervisor.wait_ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cast.supervisor.stop)
            await trio.testing.wait_all_tasks_blocked()
            cast.supervisor.kill()
    assert trio.current_time() < STOP_SECONDS
    assert {title for title, name in cast.signals if name == "SIGKILL"} == cast.deaf


async def test_output_that_nobody_reads_is_lost_and_counted() -> None:
    written: list[str] = []
    output = Output(written.append)
    for number in range(MAX_LINES + 5):
        output.tell(str(number))
    output.close()
    await output.run()
    lines = "".join(written).splitlines()
    assert lines[:2] == ["0", "1"]
    assert lines[MAX_LINES - 1] == str(MAX_LINES - 1)
    assert lines[MAX_LINES:] == ["fixgw | 5 lines are lost: they came faster than they were read"]
