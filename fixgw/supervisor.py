"""An exchange as processes: each role its own, started, watched, started again, and ended in a sensible order.

- What a process prints comes out of here line by line, with its name in front. Who reads our output slowly loses lines,
  and holds up nobody: a full pipe would stop the exchange.
- A process that ends is started again (`fixgw.restarts` says when), and each time that is said.
- SIGINT or SIGTERM ends the gateways first, so that nothing new comes in, then who reads the shards, then the shards.
  Each kind has STOP_SECONDS, then SIGKILL. A second signal does not wait.
- If this process is killed, its children see the end of their standard input, whose other end only we hold, and end
  themselves (``fixgw run --supervised``). A pipe rather than PR_SET_PDEATHSIG: that one fires at the end of a thread.
- Children have process groups of their own: Ctrl-C at a terminal reaches us alone, and the order above is kept.
"""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import trio

from fixgw.config import Config
from fixgw.overview import next_steps, table
from fixgw.restarts import SECOND, WRONG_CONFIGURATION, Restarts

#: For each kind of process, from SIGTERM to SIGKILL. A gateway writes its journal, a replica syncs its own.
STOP_SECONDS: Final = 5.0
#: Gateways wait so long for the others, so that brokers find the shards there.
START_SECONDS: Final = 15.0
#: Forked children of a process that ended may hold its output open; nobody waits for them.
LAST_WORDS_SECONDS: Final = 0.5

MAX_LINE_BYTES: Final = 64 * 1024
#: Lines that wait to be printed; beyond it they are lost, and counted.
MAX_LINES: Final = 10_000

STOP_ORDER: Final = (("gateway",), ("publisher", "ledger", "retransmitter"), ("shard",))


class Process(Protocol):
    """What is needed of a process that runs."""

    @property
    def pid(self) -> int: ...

    @property
    def stdin(self) -> trio.abc.SendStream | None: ...

    @property
    def stdout(self) -> trio.abc.ReceiveStream | None: ...

    async def wait(self) -> int: ...

    def send_signal(self, signal: signal.Signals | int) -> None: ...


Spawn = Callable[[str, str], Awaitable[Process]]


class Child:
    """One process, over all its lives."""

    def __init__(self, role: str, name: str) -> None:
        self.role = role
        self.name = name
        self.restarts = Restarts()
        self.process: Process | None = None
        #: It has served once.
        self.ready = trio.Event()
        #: It will not be started again.
        self.done = trio.Event()
        self.code = 0

    def __str__(self) -> str:
        return f"{self.role} {self.name}"

    def send_signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)


class Supervisor:
    """Keeps the processes (role, name) running until `stop`; `tell` prints a line and never waits."""

    def __init__(self, names: Iterable[tuple[str, str]], spawn: Spawn, tell: Callable[[str], None]) -> None:
        self.children = [Child(role, name) for role, name in names]
        self._spawn = spawn
        self._tell = tell
        self._stopping = trio.Event()

    async def run(self) -> bool:
        """Until `stop` has ended them all; whether all of them ended well."""
        try:
            async with trio.open_nursery() as nursery:
                others = [child for child in self.children if child.role != "gateway"]
                for child in others:
                    nursery.start_soon(self._keep, child)
                with trio.move_on_after(START_SECONDS):
                    await self._all_ready(others)
                for child in self.children:
                    if child not in others:
                        nursery.start_soon(self._keep, child)
        finally:
            self.kill()
        return all(child.code == 0 for child in self.children)

    async def wait_ready(self) -> None:
        """Until each process has served once."""
        for child in self.children:
            await child.ready.wait()

    async def _all_ready(self, children: Sequence[Child]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_stopping, nursery.cancel_scope)
            for child in children:
                await child.ready.wait()
            nursery.cancel_scope.cancel()

    async def _end_when_stopping(self, scope: trio.CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    async def stop(self) -> None:
        """End all of them, in order."""
        self._stopping.set()
        for roles in STOP_ORDER:
            going = [child for child in self.children if child.role in roles and not child.done.is_set()]
            for child in going:
                child.send_signal(signal.SIGTERM)
            with trio.move_on_after(STOP_SECONDS):
                for child in going:
                    await child.done.wait()
            for child in going:
                if not child.done.is_set():
                    self._tell(f"fixgw | {child} has not ended {STOP_SECONDS:g} s after SIGTERM: killed")
                    child.send_signal(signal.SIGKILL)
                await child.done.wait()

    def kill(self) -> None:
        """End all of them, now."""
        self._stopping.set()
        for child in self.children:
            child.send_signal(signal.SIGKILL)

    async def _keep(self, child: Child) -> None:
        while not self._stopping.is_set():
            child.code = await self._live(child)
            pause = child.restarts.ended(child.code, _now())
            if self._stopping.is_set():
                break
            self._tell(f"fixgw | {child} {_how_it_ended(child)}; it is started again {_when(pause)}")
            with trio.move_on_after(pause / SECOND):
                await self._stopping.wait()
        child.done.set()

    async def _live(self, child: Child) -> int:
        """One life: its exit code."""
        try:
            process = await self._spawn(child.role, child.name)
        except OSError as error:
            self._tell(f"fixgw | {child} cannot be started: {error}")
            return 1
        self._tell(f"fixgw | {child} is process {process.pid}")
        child.process = process
        code: int | None = None
        try:
            if self._stopping.is_set():
                process.send_signal(signal.SIGTERM)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forward, child, process.stdout)
                code = await process.wait()
                nursery.cancel_scope.deadline = trio.current_time() + LAST_WORDS_SECONDS
        finally:
            if code is None:
                process.send_signal(signal.SIGKILL)  # we were canceled, and nobody else will: it is forgotten here
            child.process = None
            if process.stdin is not None:
                await trio.aclose_forcefully(process.stdin)
        return code

    async def _forward(self, child: Child, output: trio.abc.ReceiveStream | None) -> None:
        """Its lines, until its output ends."""
        assert output is not None
        rest = b""
        async with output:
            while data := await output.receive_some(MAX_LINE_BYTES):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > MAX_LINE_BYTES:
                    lines.append(rest)
                    rest = b""
                for line in lines:
                    self._heard(child, line.decode(errors="replace"))
        if rest:
            self._heard(child, rest.decode(errors="replace"))

    def _heard(self, child: Child, line: str) -> None:
        self._tell(f"{child} | {line}")
        if line == f"{child} is ready":
            child.restarts.served(_now())
            child.ready.set()


def _now() -> int:
    return round(trio.current_time() * SECOND)


def _how_it_ended(child: Child) -> str:
    if child.code == WRONG_CONFIGURATION:
        return "cannot run: the configuration is wrong"
    how = f"was ended by {_signal_name(-child.code)}" if child.code < 0 else f"ended with {child.code}"
    return how if child.restarts.deaths == 1 else f"{how}, {child.restarts.deaths} times in a row"


def _signal_name(number: int) -> str:
    """Real-time signals have none, but for the first and the last."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _when(pause: int) -> str:
    return f"in {pause / SECOND:g} s" if pause else "at once"


class Output:
    """Lines for standard output, written by a thread, since writing may block."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lines, self._waiting = trio.open_memory_channel[str](MAX_LINES)
        self._lost = 0

    def tell(self, line: str) -> None:
        try:
            self._lines.send_nowait(line)
        except trio.WouldBlock:
            self._lost += 1

    def close(self) -> None:
        self._lines.close()

    async def run(self) -> None:
        """Until closed, and all of it is written."""
        async for line in self._waiting:
            batch = [line]
            try:
                while len(batch) < MAX_LINES:
                    batch.append(self._waiting.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                pass
            if self._lost:
                batch.append(f"fixgw | {self._lost} lines are lost: they came faster than they were read")
                self._lost = 0
            text = "".join(f"{each}\n" for each in batch)
            await trio.to_thread.run_sync(self._write, text, abandon_on_cancel=True)


def supervise(config: Config, file: Path) -> int:
    """Run every process of the exchange until SIGINT or SIGTERM. Returns the exit code."""
    return 0 if trio.run(_supervise, config, file.resolve()) else 1


async def _supervise(config: Config, file: Path) -> bool:
    output = Output(_print)
    supervisor = Supervisor(config.processes(), partial(_spawn, file), output.tell)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.run)
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as beside:
                beside.start_soon(_greet, config, supervisor, output)
                beside.start_soon(_obey, signals, supervisor, beside)
                well = await supervisor.run()
                beside.cancel_scope.cancel()
        output.close()
        nursery.cancel_scope.deadline = trio.current_time() + LAST_WORDS_SECONDS
    return well


async def _greet(config: Config, supervisor: Supervisor, output: Output) -> None:
    await supervisor.wait_ready()
    for line in f"{table(config)}\n\n{next_steps(config)}".splitlines():
        output.tell(line)


async def _obey(signals: AsyncIterator[int], supervisor: Supervisor, nursery: trio.Nursery) -> None:
    stopping = False
    async for _ in signals:
        if stopping:
            supervisor.kill()
        else:
            stopping = True
            nursery.start_soon(supervisor.stop)


async def _spawn(file: Path, role: str, name: str) -> Process:
    command = [sys.executable, "-m", "fixgw", "run", role, "--name", name, "--supervised", str(file)]
    return await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
    )


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        pass  # nobody reads us any more; the exchange goes on
