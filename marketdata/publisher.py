"""One line of the feed as a process: shard streams in, ITCH in MoldUDP64 out, and the request servers beside it.

Per channel three sockets: the shard's stream comes in, the line goes out, requests are answered. A publisher keeps no
files: at its start it reads the day again from the retransmitters without saying it (`marketdata.feed`), and goes live
when it has caught up with what was committed at that moment. Lines A and B are two publishers that know nothing of one
another.

When the shard's stream has forked, or an epoch began that may have lost what was said (`Channel.may_fork`), the session
ends and the day is read and said again under the name that the epoch gives it.

Live data comes first: a wake-up answers a bounded number of requests, and a request that finds no room in the socket is
dropped, to be asked again.
"""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple

import trio

from marketdata.feed import Epoch, Feed
from marketdata.requests import RequestServer
from recovery.alarm import Alarm, now_ns
from recovery.multicast import (
    Address,
    Destination,
    Sender,
    drain_with_addresses,
    open_receiver,
    send_to,
)
from recovery.past import Past
from recovery.reader import Reader, StreamForked
from recovery.record import Message, Position
from recovery.stream import read_stream

_log: Final = logging.getLogger(__name__)

#: Datagrams that wait for room in the send buffer: some 6 MB.
MAX_UNSENT: Final = 4096


class Channel(NamedTuple):
    """One shard's feed on one line."""

    shard_id: int
    #: Where the shard's stream is heard.
    stream: Address
    #: Whom to ask for what was missed of it.
    servers: Sequence[Address]
    #: Where the line is sent: a multicast group or an address.
    line: Address
    #: Where MoldUDP64 requests are answered.
    requests: Address
    #: Who may ask.
    networks: Sequence[IPv4Network | IPv6Network]
    interface: str
    #: The four-byte MPID of each participant whose orders show it; the same for every publisher of the channel.
    attributions: Mapping[int, bytes]
    #: The shard replicates asynchronously: what it has released may be lost when an epoch begins.
    may_fork: bool = False


class _SaidAgain(Exception):
    """The feed has begun again: an epoch began within the day."""


class ChannelPublisher:
    """Publishes one channel. `feed` and `reader` may be looked at from outside."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.requests = RequestServer(channel.networks)
        self.feed = Feed(request_server=self.requests, attributions=channel.attributions, may_fork=channel.may_fork)
        self.reader = Reader(channel.shard_id, Position(), len(channel.servers), past=Past())
        self._position = self.reader.position
        #: Canceled when the feed has begun again without a message that showed it.
        self._reading = trio.CancelScope()
        #: What the send buffer had no room for.
        self._unsent: list[bytes] = []
        self._wants_room = trio.Event()
        #: The feed goes live when the reader has released up to here; None until it knows what is committed.
        self._live_from: int | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Publish until canceled. Raises OSError, StreamDiverged."""
        channel = self.channel
        with (
            open_receiver(channel.stream, channel.interface) as stream,
            open_receiver((channel.interface, 0)) as asking,
            open_receiver(channel.requests) as requests,
            Sender(Destination((channel.line,), channel.interface)) as line,
        ):
            alarm = Alarm(self.feed.next_deadline, lambda now: self._ring(now, line))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(alarm.run)
                nursery.start_soon(self._send_when_there_is_room, line)
                nursery.start_soon(self._answer, requests)
                task_status.started()
                while True:
                    try:
                        with trio.CancelScope() as self._reading:
                            await read_stream(self.reader, stream, asking, channel.servers, self._deliver(line, alarm))
                        raise _SaidAgain
                    except StreamForked as forked:
                        _log.error("shard %d: %s; the day is said again", channel.shard_id, forked)
                        self._begin_again(forked.fork)
                    except _SaidAgain:
                        _log.warning("shard %d: a new epoch within the day, which is said again", channel.shard_id)
                        self._read_from(self.feed.resume_position)

    def _begin_again(self, fork: Position | None) -> None:
        reader = self.reader
        assert fork is not None, "the reader has a past"
        first_seq = reader.start.seq if reader.start is not None else self._position.next_seq
        day = self.feed.resume_position
        self.feed.begin_again(Epoch(reader.epoch, first_seq), now_ns())
        self._read_from(day if day.next_seq <= fork.next_seq else Position())

    def _read_from(self, position: Position) -> None:
        """Read again, in the present epoch."""
        channel, epoch = self.channel, self.reader.epoch
        self.reader = Reader(channel.shard_id, position, len(channel.servers), epoch=epoch, past=Past())
        self._position = position
        self._live_from = None

    def _deliver(self, line: Sender, alarm: Alarm) -> Callable[[list[Message]], None]:
        def deliver(released: list[Message]) -> None:
            now = now_ns()
            if self._reading.cancel_called:
                return  # it is read again
            if self._epoch_began(now):
                self._send(line)
                raise _SaidAgain
            if self._live_from is None:
                self._live_from = self.reader.commit_seq
            self.feed.receive_messages(released, self._position, now)
            self._position = self.reader.position
            if not self.feed.live and self._position.next_seq > self._live_from:
                self.feed.go_live(now)
            self._send(line)
            alarm.moved()

        return deliver

    def _epoch_began(self, now: int) -> bool:
        """Whether the reader stands in an epoch that had the feed begin again."""
        reader = self.reader
        if not self.channel.may_fork or not reader.proven_epoch or reader.start is None:
            return False
        return self.feed.enter_epoch(Epoch(reader.epoch, reader.start.seq), now)

    def _ring(self, now: int, line: Sender) -> None:
        """A heartbeat is due. It names the session, which may be over, also in a quiet market."""
        if not self._reading.cancel_called and self._epoch_began(now):
            self._reading.cancel()
        self.feed.handle_deadline(now)
        self._send(line)

    def _send(self, line: Sender) -> None:
        """Send what the feed has to say. What finds no room goes later; beyond a bound it is lost like any datagram."""
        unsent = self._unsent
        unsent += self.feed.datagrams_to_send()
        del unsent[: line.send_nowait(unsent)]
        if unsent:
            del unsent[:-MAX_UNSENT]
            self._wants_room.set()

    async def _send_when_there_is_room(self, line: Sender) -> None:
        while True:
            await self._wants_room.wait()
            self._wants_room = trio.Event()
            await line.wait_room()
            self._send(line)

    async def _answer(self, requests: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(requests)
            now = now_ns()
            for data, address in drain_with_addresses(requests):
                answer = self.requests.receive_request(data, address[0], now)
                if answer is not None:
                    send_to(requests, [answer], address)
                await trio.lowlevel.checkpoint()  # live data comes first


async def run_publisher(
    channels: Sequence[Channel], task_status: trio.TaskStatus[list[ChannelPublisher]] = trio.TASK_STATUS_IGNORED
) -> None:
    """Publish these channels until canceled. Raises OSError, StreamDiverged."""
    publishers = [ChannelPublisher(channel) for channel in channels]
    async with trio.open_nursery() as nursery:
        for publisher in publishers:
            await nursery.start(publisher.run)
        task_status.started(publishers)
