"""Runs a Reader on sockets: datagrams in, committed messages to a function, requests out.

All datagrams of one wake-up are handled without a checkpoint, and what they release is delivered as one list: whoever
consumes a stream can do its own work, one journal write, one send per peer, per list. A reader that is far behind has
what it lacks over TCP (`recovery.catch_up`).
"""

import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

import trio

from recovery.alarm import Alarm, now_ns
from recovery.catch_up import CatchUp
from recovery.multicast import Address, drain, send_to
from recovery.reader import Reader
from recovery.record import Message
from recovery.stall import Stall

STALL_LOOK_SECONDS = 1.0
"""Between two looks whether anything is waited for in vain."""

_log = logging.getLogger(__name__)


OnEpoch = Callable[[int, int], None]


async def _at_once() -> None:
    """Whoever deals with what is delivered as it comes."""


async def read_stream(
    reader: Reader,
    receiver: socket.socket,
    request_socket: socket.socket,
    servers: Sequence[Address],
    deliver: Callable[[list[Message]], None],
    on_epoch: OnEpoch | None = None,
    ready: Callable[[], Awaitable[None]] = _at_once,
) -> None:
    """Read until cancelled. Raises StreamForked or StreamDiverged, and whatever `deliver` raises.

    `receiver` hears the stream; requests leave by `request_socket`, to which the answers come. `servers` are the
    retransmitters, as many as the reader was told. `on_epoch` is told each higher epoch as soon as it is heard, and
    the replica that it belongs to, or 0, and again when that is heard. `ready` waits until what was delivered is dealt
    with: more may be delivered before, but what can wait in a socket does.
    """
    await _Reading(reader, receiver, request_socket, servers, deliver, on_epoch, ready).run()


class _Reading:
    """One run of `read_stream`."""

    def __init__(
        self,
        reader: Reader,
        receiver: socket.socket,
        request_socket: socket.socket,
        servers: Sequence[Address],
        deliver: Callable[[list[Message]], None],
        on_epoch: OnEpoch | None,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader = reader
        self._receiver = receiver
        self._request_socket = request_socket
        self._servers = servers
        self._deliver = deliver
        self._ready = ready
        self._on_epoch = on_epoch
        self._told_epoch, self._told_owner = reader.epoch, reader.owner
        self._alarm = Alarm(reader.next_deadline, self._ring)
        self._catch_up = CatchUp(reader, servers, self._take, self._alarm.moved)
        self._scope = trio.CancelScope()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Raises the first failure as itself, and not in a group."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read, self._request_socket)
                    nursery.start_soon(self._read, self._receiver)
                    nursery.start_soon(self._alarm.run)
                    nursery.start_soon(self._catch_up.run)
                    nursery.start_soon(self._watch)
        finally:
            _log.info("shard %d: reading ends: %s", self._reader.shard_id, self._reader.statistics())
        if self._failure is not None:
            raise self._failure

    async def _watch(self) -> None:
        reader, stall = self._reader, Stall()
        servers = ", ".join(f"{host}:{port}" for host, port in self._servers) or "nobody is there to be asked"
        while True:
            if told := stall.look(reader.next_seq, reader.commit_seq, now_ns()):
                level = logging.WARNING if stall.is_on else logging.INFO
                _log.log(level, "shard %d: %s%s", reader.shard_id, told, f" ({servers})" if stall.is_on else "")
            await trio.sleep(STALL_LOOK_SECONDS)

    async def _read(self, source: socket.socket) -> None:
        await trio.lowlevel.wait_readable(source)
        while self._take(source):
            await self._ready()
            await trio.lowlevel.wait_readable(source)

    def _ring(self, now: int) -> None:
        # While we were busy the answer may have come: look before asking again.
        if self._take(self._request_socket) and self._take(self._receiver):
            self._reader.handle_deadline(now)
            self._send_requests()

    def _take(self, datagrams: list[bytes] | socket.socket) -> bool:
        """These, or what a socket has. False: reading has failed, and ends."""
        if self._failure is not None:
            return False  # woken together with the one that failed: after a fork the reader is not to be fed
        try:
            self._read_batch(drain(datagrams) if isinstance(datagrams, socket.socket) else datagrams)
        except Exception as error:
            self._failure = error
            self._scope.cancel()
        return self._failure is None

    def _read_batch(self, datagrams: list[bytes]) -> None:
        reader = self._reader
        now = now_ns()
        released: list[Message] = []
        try:
            for data in datagrams:
                released += reader.receive_datagram(data, now)
        finally:  # what was released before a fork was found is as good as ever; and a fork shows a higher epoch
            if reader.epoch != self._told_epoch or reader.owner != self._told_owner:
                self._tell_epoch()
            for text in reader.other_versions.take_untold():
                _log.error("shard %d: %s", reader.shard_id, text)
            if released:
                self._deliver(released)
        self._send_requests()
        self._alarm.moved()
        self._catch_up.look()

    def _tell_epoch(self) -> None:
        """The reader has heard a higher epoch, or whose the present one is."""
        self._told_epoch, self._told_owner = self._reader.epoch, self._reader.owner
        if self._on_epoch is not None:
            self._on_epoch(self._told_epoch, self._told_owner)

    def _send_requests(self) -> None:
        for server, request in self._reader.datagrams_to_send():
            send_to(self._request_socket, [request], self._servers[server])
