"""A thread that waits for the disk while trio goes on.

`trio.to_thread` would do, for any blocking call: it finds a thread, asks a limiter and copies a context for each. A
shard and a gateway with `sync: disk` wait for fdatasync a thousand times a second, and there the way to the thread and
back took longer than the disk. Here it is one write to an eventfd each way, a quarter of the time.
"""

import os
import threading
from collections.abc import Callable

import trio


class DiskThread:
    """Does one call at a time. The thread begins with the first."""

    def __init__(self) -> None:
        self._asked = os.eventfd(0, os.EFD_CLOEXEC)
        self._done = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._call: Callable[[], None] | None = None
        self._error: Exception | None = None
        self._closing = False
        self._thread: threading.Thread | None = None

    async def run(self, call: Callable[[], None]) -> None:
        """Wait for the call to end, canceled or not: it cannot be stopped. Raises what it raises."""
        assert self._call is None, "one call at a time"
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="disk", daemon=True)
            self._thread.start()
        self._call = call
        os.eventfd_write(self._asked, 1)
        with trio.CancelScope(shield=True):
            await trio.lowlevel.wait_readable(self._done)
        os.eventfd_read(self._done)
        self._call = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _work(self) -> None:
        while True:
            try:
                os.eventfd_read(self._asked)
            except InterruptedError:  # a signal came to this thread: Python reads no eventfd again by itself
                continue
            if self._closing:
                return
            assert self._call is not None
            try:
                self._call()
            except Exception as error:  # whatever it is, `run` raises it
                self._error = error
            os.eventfd_write(self._done, 1)

    def close(self) -> None:
        """End the thread, when the call that may be under way has ended. Once more is nothing."""
        if self._closing:
            return
        self._closing = True
        if self._thread is not None:
            os.eventfd_write(self._asked, 1)
            self._thread.join()
        os.close(self._asked)
        os.close(self._done)
