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
MAX_TEXT_BYTES = 4096

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class WorkFailed(Exception):
    """The child has not done its work; the text says why."""


async def run_forked(work: Callable[[], None]) -> None:
    """Run `work` in a child that is a copy of this process as it is at this call. Raises WorkFailed."""
    reader, writer = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _be_child(work, parent, writer)
    os.close(writer)
    try:
        await _wait(child)
        text = os.read(reader, MAX_TEXT_BYTES)  # it has ended: what it said is all there
    finally:
        os.close(reader)
    if text != b"done":
        raise WorkFailed(text.decode(errors="replace") or "the child that should do it was killed")


async def _wait(child: int) -> None:
    """Until it has ended; when nobody waits any more, it is ended."""
    descriptor = os.pidfd_open(child)
    try:
        await trio.lowlevel.wait_readable(descriptor)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.waitpid(child, 0)  # noqa: ASYNC222 - it has ended, or was killed just now
        os.close(descriptor)


def _be_child(work: Callable[[], None], parent: int, writer: int) -> None:
    """Never returns."""
    text = b"done"
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            gc.disable()  # a collection would touch, and so copy, every page
            os.nice(NICENESS)
            work()
    except BaseException as error:
        text = f"{type(error).__name__}: {error}".encode()[:MAX_TEXT_BYTES]
    finally:
        os.write(writer, text)
        os._exit(0)
