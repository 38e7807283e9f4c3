"""A gateway and its shards on real sockets in this process, with brokers whose every byte a test can choose."""

import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from fixgw.config import load
from fixgw.timestamps import format_timestamp
from fixgw.up import ROLES
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.fixtalk import wire
from tests.venue import Venue

if TYPE_CHECKING:
    from fixgw.gateway import Gateway

#: What has not come by then will not come.
PATIENCE = 10.0


class Exchange:
    """Shards s1 and s2 and gateway g1 of a `Venue`, each a task that can be ended and started again."""

    def __init__(self, directory: Path, nursery: trio.Nursery, **options: Any) -> None:
        self.venue = Venue(directory, **options)
        self.config = load(self.venue.file)
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self._ended: dict[str, trio.Event] = {}
        self.streams: list[trio.SocketStream] = []
        self.gateway: Gateway

    async def start(self, *names: str) -> None:
        for name in names:
            part = await self._nursery.start(self._run, name)
            if name == "g1":
                self.gateway = part

    async def stop(self, *names: str) -> None:
        for name in names:
            self._scopes.pop(name).cancel()
            await self._ended[name].wait()

    async def _run(self, name: str, task_status: trio.TaskStatus[Any]) -> None:
        self._ended[name] = trio.Event()
        role = "gateway" if name == "g1" else "shard"
        try:
            with trio.CancelScope() as self._scopes[name]:
                await ROLES[role](self.config, name, task_status=task_status)
        finally:
            self._ended[name].set()

    def peer(self, comp_id: str) -> "Peer":
        return Peer(self, comp_id)


@asynccontextmanager
async def open_exchange(directory: Path, **options: Any) -> AsyncIterator[Exchange]:
    async with trio.open_nursery() as nursery:
        exchange = Exchange(directory, nursery, **options)
        await exchange.start("s1", "s2", "g1")
        try:
            yield exchange
        finally:
            for stream in exchange.streams:
                stream.socket.close()
        nursery.cancel_scope.cancel()


class Peer:
    """A broker on a TCP connection. Nothing is read but while a test waits for something."""

    def __init__(self, exchange: Exchange, comp_id: str) -> None:
        session = next(each for each in exchange.config.sessions if each.sender_comp_id == comp_id)
        self.exchange = exchange
        self._outgoing: list[bytes] = []
        self.broker = Broker(session.id, comp_id, session.begin_string, time.time_ns, self._outgoing.append)
        self.credentials = f"553={session.username}|554={exchange.venue.password}|"
        self.stream: trio.SocketStream
        self._orders = 0

    async def connect(self, source: str = "127.0.0.1", receive_buffer: int = 0) -> None:
        """A TCP connection and nothing more, from this address."""
        sock = trio.socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await sock.bind((source, 0))
        await sock.connect(("127.0.0.1", self.exchange.venue.fix_port))
        self.stream = trio.SocketStream(sock)
        self.exchange.streams.append(self.stream)

    async def log_on(self, extra: str = "") -> None:
        self.broker.connect(f"{self.credentials}{extra}")
        await self.until(lambda: self.broker.logged_on)

    async def close(self) -> None:
        await self.stream.aclose()
        self.broker.disconnected()

    async def flush(self) -> None:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        if data:
            await self.stream.send_all(data)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Send what is to be sent, and read until `condition` holds. Raises AssertionError at the end of the stream."""
        with trio.fail_after(PATIENCE):
            await self.flush()
            while not condition():
                data = await self.stream.receive_some()
                assert data, f"the gateway closed the connection after {self.broker.take()}"
                self.broker.receive(bytes(data))
                await self.flush()

    async def read_to_end(self) -> list[str]:
        """What the gateway still says before it closes the connection."""
        self.broker.take()
        with trio.fail_after(PATIENCE):
            try:
                while data := await self.stream.receive_some():
                    self.broker.receive(bytes(data))
            except trio.BrokenResourceError:
                pass
        await self.close()
        return self.broker.take()

    async def trade(self, count: int = 1) -> None:
        """So many orders, each answered."""
        for _ in range(count):
            self._orders += 1
            cl_ord_id = f"{self.broker.comp_id}-{self._orders}"
            self.broker.order(cl_ord_id, "buy" if self._orders % 2 else "sell", 1, "100")
            await self.until(lambda: any(each[11] == cl_ord_id.encode() for each in self.broker.reports()))  # noqa: B023

    def message(self, fields: str) -> bytes:
        """A message of this session: `fields` begin with 35 and 34; CompIDs and SendingTime are put in after them."""
        msg_type, number, rest = fields.split("|", 2)
        now = format_timestamp(time.time_ns()).decode()
        header = f"{msg_type}|{number}|49={self.broker.comp_id}|52={now}|56=FIXGW|"
        return wire(header + rest.replace("NOW", now), self.broker.version)
