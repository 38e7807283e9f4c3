"""Runs one end of a link on a TCP connection: bytes in, bytes out, the timer.

Three tasks per connection, of which the first that ends (the peer closed, an error, a deadline) ends all; then what is
left to be said (why it was refused, say) is sent, briefly, and the connection is closed. The first error is raised as
itself.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from recovery.alarm import Alarm, now_ns
from recovery.frames import LinkError
from recovery.multicast import Address

RECEIVE_BYTES = 65_536
SEND_TIMEOUT = 3.0
"""Seconds that a peer may leave a send unread before it is given up."""
LAST_WORDS_TIMEOUT = 0.5


class LinkEnd(Protocol):
    """What `LinkServer` and `LinkClient` have in common."""

    @property
    def has_data_to_send(self) -> bool: ...

    def data_to_send(self) -> bytes: ...

    def next_deadline(self) -> int | None:
        """What is received makes it no earlier, unless there is something to send then."""

    def handle_deadline(self, now: int) -> None: ...


class Pump:
    """Runs `link` on `stream`, which is closed in the end. `received(data, now)` takes what comes."""

    def __init__(
        self, link: LinkEnd, stream: trio.abc.Stream, received: Callable[[bytes, int], Awaitable[None]]
    ) -> None:
        self._link = link
        self._stream = stream
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) else None
        self._received = received
        self._alarm = Alarm(link.next_deadline, self._ring)
        self._something = trio.Event()
        self._scope = trio.CancelScope()
        self._failure: Exception | None = None

    def wake(self) -> None:
        """The link has something to send. Plain: to be called at the end of a batch."""
        self._something.set()

    def stop(self) -> None:
        self._scope.cancel()

    def _ring(self, now: int) -> None:
        self._link.handle_deadline(now)
        self.wake()

    async def run(self) -> None:
        """Until the peer closes. Raises LinkError, or whatever `received` raises."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for task in (self._read, self._send, self._alarm.run):
                        nursery.start_soon(self._guard, task)
            with trio.move_on_after(LAST_WORDS_TIMEOUT, shield=True):
                await self._say(self._link.data_to_send())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # last words to nobody
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)
        if self._failure is not None:
            raise self._failure

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """The first task that ends, ends all."""
        try:
            await task()
        except trio.BrokenResourceError as error:
            self._failure = self._failure or LinkError(f"connection lost: {error}")
        except Exception as error:
            if self._failure is None or isinstance(self._failure, LinkError):  # which says less than any other
                self._failure = error
        self._scope.cancel()

    async def _read(self) -> None:
        self.wake()  # a server speaks first
        while data := await self._receive():
            await self._received(data, now_ns())
            if self._link.has_data_to_send:  # most commands are answered by the stream alone: the other task may sleep
                self.wake()

    async def _receive(self) -> bytes:
        """What the peer says; b"" when it has closed. As `receive_some`, which on a socket tries first and waits then:
        mostly in vain, for half the price of a wake-up."""
        if self._socket is None:
            return bytes(await self._stream.receive_some(RECEIVE_BYTES))
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return os.read(self._socket.fileno(), RECEIVE_BYTES)
            except BlockingIOError:
                pass
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error

    async def _send(self) -> None:
        while True:
            await self._something.wait()
            self._something = trio.Event()
            await self._say(self._link.data_to_send())
            self._alarm.moved()

    async def _say(self, data: bytes) -> None:
        if not data:
            return
        # Shielded, for what is half sent when the link ends cannot be sent again, and may be the reason why it ends.
        with trio.move_on_after(SEND_TIMEOUT, shield=True) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            raise LinkError("the peer does not read")


async def open_listeners(address: Address) -> list[trio.SocketListener]:
    """Raises OSError, whose text names the address."""
    host, port = address
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on TCP {host}:{port}: {error.strerror}") from error
