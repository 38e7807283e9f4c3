"""Runs one end of a link on a TCP connection: bytes in, bytes out, the timer; and a client's end over all of them.

Three tasks per connection, of which the first that ends (the peer closed, an error, a deadline) ends all; then what is
left to be said (why it was refused, say) is sent, briefly, and the connection is closed. The first error is raised as
itself.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from recovery.alarm import Alarm, now_ns
from recovery.frames import LinkError
from recovery.link import NONCE_BYTES, LinkClient
from recovery.multicast import Address

RECEIVE_BYTES = 65_536
SEND_TIMEOUT = 3.0
"""Seconds that a peer may leave a send unread before it is given up."""
LAST_WORDS_TIMEOUT = 0.5
MIN_RECONNECT_DELAY, MAX_RECONNECT_DELAY = 0.05, 1.0
"""Seconds between attempts, doubling: short, for a restarted primary is back in a moment."""

_log = logging.getLogger(__name__)


class LinkEnd(Protocol):
    """What `LinkServer` and `LinkClient` have in common."""

    def data_to_send(self) -> bytes: ...

    def next_deadline(self) -> int | None: ...

    def handle_deadline(self, now: int) -> None: ...


class Pump:
    """Runs `link` on `stream`, which is closed in the end. `received(data, now)` takes what comes."""

    def __init__(
        self, link: LinkEnd, stream: trio.abc.Stream, received: Callable[[bytes, int], Awaitable[None]]
    ) -> None:
        self._link = link
        self._stream = stream
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
            self._failure = self._failure or error
        self._scope.cancel()

    async def _read(self) -> None:
        self.wake()  # a server speaks first
        while data := await self._stream.receive_some(RECEIVE_BYTES):
            await self._received(bytes(data), now_ns())
            self.wake()

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


class ClientLink:
    """Keeps a LinkClient connected to wherever its primary is."""

    def __init__(self, client: LinkClient, address: Callable[[], Address]) -> None:
        self.client = client
        self.opened = trio.Event()
        """Set when the link is open for the first time."""
        self._address = address
        self._pump: Pump | None = None

    def flush(self) -> None:
        """Send what was forwarded. Plain: once per batch, when the batch is in the journal."""
        if self._pump is not None:
            self._pump.wake()

    async def run(self) -> None:
        """Connect, and again whenever the link is lost, until cancelled. Raises LinkForked."""
        delay = MIN_RECONNECT_DELAY
        while True:
            try:
                host, port = self._address()
                stream = await trio.open_tcp_stream(host, port)
                await self._run_connection(stream)
            except (OSError, LinkError) as error:
                _log.warning("link to shard %d: %s", self.client.shard_id, error)
            if self.client.open:
                delay = MIN_RECONNECT_DELAY
            self.client.disconnected()
            await trio.sleep(delay)
            delay = min(delay * 2, MAX_RECONNECT_DELAY)

    async def _run_connection(self, stream: trio.SocketStream) -> None:
        self.client.connected(os.urandom(NONCE_BYTES), now_ns())
        self._pump = Pump(self.client, stream, self._received)
        try:
            await self._pump.run()
        finally:
            self._pump = None

    async def _received(self, data: bytes, now: int) -> None:
        self.client.receive_data(data, now)
        if self.client.open:
            self.opened.set()
