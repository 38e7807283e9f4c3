"""`fixgw up --processes`: the exchange trades on, whichever of its processes is killed, and all of them end with it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from fixgw.restarts import WRONG_CONFIGURATION
from tests.integration.fix_broker import Broker
from tests.integration.market import SESSIONS
from tests.venue import ROOT, START_SECONDS, Venue

NO_FEED = {"feed": {"channels": [], "publishers": []}}
REQUESTS = 200


class Supervised:
    """A supervisor that runs, and what it has printed."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = trio.Event()

    async def read(self) -> None:
        rest = b""
        assert self.process.stdout is not None
        async with self.process.stdout as stdout:
            async for data in stdout:
                *lines, rest = (rest + data).split(b"\n")
                self.lines += [line.decode() for line in lines]
                self._changed.set()
                self._changed = trio.Event()

    async def told(self, pattern: str, count: int = 1, seconds: float = START_SECONDS) -> list[re.Match[str]]:
        """All lines so far that match, once there are so many."""
        with trio.move_on_after(seconds):
            while len(found := [match for line in self.lines if (match := re.search(pattern, line))]) < count:
                await self._changed.wait()
            return found
        raise AssertionError(f"waited {seconds} s for {count} × {pattern!r}:\n" + "\n".join(self.lines))

    async def pid(self, title: str, life: int = 1) -> int:
        """The process of this title, in its first or a later life."""
        return int((await self.told(rf"^fixgw \| {re.escape(title)} is process (\d+)$", life))[life - 1][1])

    def titles(self) -> set[str]:
        return {match[1] for line in self.lines if (match := re.match(r"fixgw \| (.*) is process", line))}


@asynccontextmanager
async def supervised(venue: Venue) -> AsyncIterator[Supervised]:
    command = [sys.executable, "-m", "fixgw", "up", "--processes", str(venue.file)]
    process = await trio.lowlevel.open_process(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with trio.open_nursery() as nursery:
        made = Supervised(process)
        nursery.start_soon(made.read)
        try:
            yield made
        finally:
            process.kill()  # and with it end those whom it has started, if a test left any
            with trio.CancelScope(shield=True):
                await process.wait()


async def end_of(pid: int) -> None:
    """Until a process that is nobody's child of ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def trade_through(venue: Venue, blow: Callable[[], Awaitable[None]]) -> list[Broker]:
    """Brokers trade before, during and after `blow`, and have each request answered once."""
    brokers = [Broker(venue.fix_port, sender, venue.comp_id, venue.password, version) for sender, version in SESSIONS]

    async def answered(more: int) -> None:
        wanted = brokers[0].answers.total() + more
        await brokers[0].wait_until(lambda: brokers[0].answers.total() >= wanted, f"{more} answers")

    async with trio.open_nursery() as connected:
        for broker in brokers:
            connected.start_soon(broker.run)
        async with trio.open_nursery() as trading:
            for broker in brokers:
                trading.start_soon(broker.trade, 1)
            await answered(REQUESTS)
            await blow()
            await answered(REQUESTS)
            trading.cancel_scope.cancel()
        for broker in brokers:
            await broker.wait_answered()
            broker.check_answers()
        connected.cancel_scope.cancel()
    return brokers


async def test_a_primary_that_is_killed_is_replaced_and_comes_back_as_a_backup(tmp_path):
    venue = Venue(tmp_path / "venue", replicas=3, mode="quorum", durability="memory", overrides=NO_FEED)
    async with supervised(venue) as supervisor:
        await supervisor.told(r"^gateway g1 \| gateway g1 is ready$")
        await supervisor.told(r"^In another terminal")
        killed = venue.owner("s1")
        pid = await supervisor.pid(f"shard {killed}")

        async def blow():
            os.kill(pid, signal.SIGKILL)

        brokers = await trade_through(venue, blow)
        await supervisor.told(rf"^fixgw \| shard {killed} was ended by SIGKILL; it is started again at once$")
        await supervisor.told(rf"^shard {killed} \| .* backup, epoch [2-9]")
        assert await supervisor.pid(f"shard {killed}", life=2) != pid
        assert venue.owner("s1") not in ("", killed)
        assert [broker.logons for broker in brokers] == [1, 1, 1]
        pids = [await supervisor.pid(title) for title in supervisor.titles() - {f"shard {killed}"}]
        assert len(pids) == 7, "the other replicas of two shards, a retransmitter, a gateway"
        supervisor.process.terminate()
        with trio.fail_after(START_SECONDS):
            assert await supervisor.process.wait() == 0
        with trio.fail_after(1):
            for pid in pids:
                await end_of(pid)


async def test_a_wrong_configuration_is_told_and_nobody_outlives_the_supervisor(tmp_path):
    venue = Venue(tmp_path / "venue", overrides=NO_FEED | {"retransmitters": []})
    async with supervised(venue) as supervisor:
        await supervisor.told(r"^In another terminal")
        pids = [await supervisor.pid(title) for title in ("shard s1", "shard s2")]
        venue.file.write_text(venue.file.read_text().replace("source_id: 1", "source_id: x"))
        os.kill(await supervisor.pid("gateway g1"), signal.SIGKILL)
        await supervisor.told(r"^gateway g1 \| .*source_id: should be a valid integer, not x$")
        await supervisor.told(
            r"^fixgw \| gateway g1 cannot run: the configuration is wrong; it is started again in 30 s$"
        )
        assert supervisor.process.returncode is None
        supervisor.process.kill()
        with trio.fail_after(START_SECONDS):
            for pid in pids:
                await end_of(pid)


async def test_a_file_with_errors_starts_nothing(tmp_path):
    venue = Venue(tmp_path / "venue", overrides={"instruments": 3})
    async with supervised(venue) as supervisor:
        assert await supervisor.process.wait() == WRONG_CONFIGURATION
    assert not supervisor.titles()
