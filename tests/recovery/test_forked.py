"""Work in a forked child: it sees one moment, tells how it went, and never outlives who wants it."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from recovery.forked import Child, WorkFailed
from tests.venue import ROOT


async def test_the_child_sees_the_moment_of_the_call_and_the_parent_goes_on(tmp_path: Path) -> None:
    state = [1]
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    def work() -> bytes:
        gate.read_bytes()  # until the parent has gone on
        return str(state).encode()

    child = Child(work)
    state.append(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, gate.write_bytes, b"go")
        assert await child.result() == b"[1]"


def killed() -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


async def test_what_goes_wrong_in_the_child_is_told() -> None:
    with pytest.raises(WorkFailed, match=r"FileNotFoundError: .* 'nowhere/x'"):
        await Child(lambda: Path("nowhere/x").read_bytes()).result()
    with pytest.raises(WorkFailed, match="was killed"):
        await Child(killed).result()


async def test_nobody_waits_any_more_so_the_child_is_gone(tmp_path: Path) -> None:
    number = tmp_path / "pid"

    def work() -> bytes:
        number.write_text(str(os.getpid()))
        signal.pause()
        return b""

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Child(work).result)
        with trio.fail_after(10):
            while not number.exists() or not number.read_text():  # noqa: ASYNC110 - another process sets no event
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    await gone(int(number.read_text()))


async def gone(pid: int) -> None:
    """Until a child has ended and its parent knows."""
    with trio.fail_after(10):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            await trio.sleep(0.001)


async def test_a_child_that_takes_its_time_to_die_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", lambda *call: killed.append(call))
        with trio.move_on_after(0):
            await Child(lambda: bytes(signal.sigtimedwait([], 60) or ())).result()
    ((pid, number),) = killed
    assert number == signal.SIGKILL
    os.kill(pid, 0)  # it lives: nobody has waited for its end
    os.kill(pid, number)
    await gone(pid)


PARENT = """
import os, signal, sys, trio
from recovery.forked import Child

def work():
    print(os.getpid(), flush=True)
    signal.pause()

trio.run(Child(work).result)
"""


def test_a_child_dies_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        gone = os.pidfd_open(child)
        parent.kill()
        assert select.select([gone], [], [], 10)[0]
        os.close(gone)
