"""A client's end of a link over all its connections, as a gateway without a journal would run it."""

import os
from collections.abc import Callable

import trio

from recovery.alarm import now_ns
from recovery.frames import LinkError
from recovery.link import NONCE_BYTES, LinkClient
from recovery.multicast import Address
from recovery.pump import Pump

RECONNECT_DELAY = 0.05


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
        while True:
            try:
                host, port = self._address()
                stream = await trio.open_tcp_stream(host, port)
                await self._run_connection(stream)
            except (OSError, LinkError):
                pass  # the next attempt will do
            self.client.disconnected()
            await trio.sleep(RECONNECT_DELAY)

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
