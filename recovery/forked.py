"""Work on a picture of this process: a forked child has the whole state as it is now, and the parent goes on.

For what takes seconds and must see one moment, a snapshot above all. The kernel copies only the pages that either of
them changes. The child does nothing but its work: it touches no socket, no lock, no event loop, and leaves by
`os._exit`. It dies with its parent, whose files' locks it would otherwise keep from the parent's next life.
"""

import ctypes
import gc
import os
import signal
from collections.abc import Callable

import trio

NICENESS = 10
"""Nobody waits for the work, but for the processor many do."""
MAX_RESULT_BYTES = 4000
"""A pipe takes so much at once."""

_DONE, _FAILED = b"+", b"-"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class WorkFailed(Exception):
    """The child has not done its work; the text says why."""


class Child:
    """A copy of this process as it was at the fork, doing `work`; what that returns is at most MAX_RESULT_BYTES."""

    def __init__(self, work: Callable[[], bytes]) -> None:
        self._reader, writer = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _be_child(work, parent, writer)
        os.close(writer)

    async def result(self) -> bytes:
        """What the work returned; when nobody waits for it any more, the child is ended. Raises WorkFailed."""
        try:
            await self._ended()
            told = os.read(self._reader, 1 + MAX_RESULT_BYTES)  # it has ended: what it said is all there
        finally:
            os.close(self._reader)
        if told[:1] != _DONE:
            raise WorkFailed(told[1:].decode(errors="replace") or "the child that should do it was killed")
        return told[1:]

    async def _ended(self) -> None:
        try:
            await _end(self._pid)
        except BaseException:
            os.kill(self._pid, signal.SIGKILL)
            # Beside all else: to die takes the processor, too, of which a child gets little. On a busy machine one of
            # 300 MB has taken ten seconds for it, and a parent that waits does not send its heartbeats.
            trio.lowlevel.spawn_system_task(_end, self._pid)
            raise


async def _end(pid: int) -> None:
    """Until the process has ended; then the kernel may forget it."""
    descriptor = os.pidfd_open(pid)
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
    os.waitpid(pid, 0)  # noqa: ASYNC222 - it has ended


def _close_inherited(writer: int) -> None:
    """A connection that the parent closes meanwhile must end, and a lock that it gives back must be free."""
    os.closerange(3, writer)
    os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))


def _be_child(work: Callable[[], bytes], parent: int, writer: int) -> None:
    """Never returns."""
    told = _FAILED
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            _close_inherited(writer)
            gc.disable()  # a collection would touch, and so copy, every page
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
            told = _DONE + work()
    except BaseException as error:
        told = _FAILED + f"{type(error).__name__}: {error}".encode()
    finally:
        os.write(writer, told[: 1 + MAX_RESULT_BYTES])
        os._exit(0)
