"""Runs a Reader on sockets: datagrams in, committed messages to a function, requests out.

All datagrams of one wake-up are handled without a checkpoint, and what they release is delivered as one list: whoever
consumes a stream can do its own work, one journal write, one send per peer, per list. A reader that is far behind has
what it lacks over TCP (`recovery.catch_up`).
"""

import logging
import socket
from collections.abc import Callable, Sequence

import trio

from recovery.alarm import Alarm, now_ns
from recovery.catch_up import CatchUp
from recovery.multicast import Address, drain, send_to
from recovery.reader import Reader
from recovery.record import Message

_log = logging.getLogger(__name__)


def _watch_epoch(reader: Reader, on_epoch: Callable[[int], None] | None) -> Callable[[], None]:
    """Looks whether the reader has heard a higher epoch, and tells."""
    epoch = reader.epoch

    def look() -> None:
        nonlocal epoch
        if reader.epoch != epoch:
            epoch = reader.epoch
            if on_epoch is not None:
                on_epoch(epoch)

    return look


async def read_stream(
    reader: Reader,
    receiver: socket.socket,
    request_socket: socket.socket,
    servers: Sequence[Address],
    deliver: Callable[[list[Message]], None],
    on_epoch: Callable[[int], None] | None = None,
) -> None:
    """Read until cancelled. Raises StreamForked or StreamDiverged, and whatever `deliver` raises.

    `receiver` hears the stream; requests leave by `request_socket`, to which the answers come. `servers` are the
    retransmitters, as many as the reader was told. `on_epoch` is told each higher epoch as soon as it is heard.
    """
    look_for_epoch = _watch_epoch(reader, on_epoch)
    failure: Exception | None = None

    def send_requests() -> None:
        for server, request in reader.datagrams_to_send():
            send_to(request_socket, [request], servers[server])

    def ring(now: int) -> None:
        # While we were busy the answer may have come: look before asking again.
        if receive(request_socket) and receive(receiver):
            reader.handle_deadline(now)
            send_requests()

    def read_batch(datagrams: list[bytes]) -> None:
        now = now_ns()
        released: list[Message] = []
        try:
            for data in datagrams:
                released += reader.receive_datagram(data, now)
        finally:  # what was released before a fork was found is as good as ever; and a fork shows a higher epoch
            look_for_epoch()
            if released:
                deliver(released)
        send_requests()
        alarm.moved()
        catch_up.look()

    def take(datagrams: Callable[[], list[bytes]]) -> bool:
        """False: reading has failed, and ends."""
        nonlocal failure
        if failure is not None:
            return False  # woken together with the one that failed: after a fork the reader is not to be fed
        try:
            read_batch(datagrams())
        except Exception as error:  # raised as itself once the other tasks have ended, and not in a group
            failure = error
            nursery.cancel_scope.cancel()
        return failure is None

    def receive(source: socket.socket) -> bool:
        return take(lambda: drain(source))

    async def read(source: socket.socket) -> None:
        await trio.lowlevel.wait_readable(source)
        while receive(source):
            await trio.lowlevel.wait_readable(source)

    alarm = Alarm(reader.next_deadline, ring)
    catch_up = CatchUp(reader, servers, lambda packets: take(lambda: packets), alarm.moved)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, request_socket)
            nursery.start_soon(read, receiver)
            nursery.start_soon(alarm.run)
            nursery.start_soon(catch_up.run)
    finally:
        _log.info("shard %d: %s", reader.shard_id, reader.statistics())
    if failure is not None:
        raise failure
