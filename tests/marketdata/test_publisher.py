"""A publisher on real sockets, when the history of its shard changes: the day is said again under another name."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from ipaddress import ip_network

import pytest
import trio

from marketdata.moldudp64 import END_OF_SESSION, DownstreamPacket, decode_downstream, encode_request
from marketdata.publisher import Channel, run_publisher
from matching.codes import Side
from recovery import packet
from recovery.multicast import Address, Destination, Sender, drain, open_receiver, send_to
from recovery.packet import EpochStart
from recovery.record import Position, remake
from recovery.retransmission_server import answer_requests
from recovery.retransmitter import Retransmitter
from recovery.store import MemoryStore
from tests.marketdata.stream import SHARD_ID, ShardStream

GROUP = "239.77.2.4"
LOCAL = ("127.0.0.1", 0)
DAY = b"251121A001"


def free_port() -> int:
    with open_receiver(LOCAL) as receiver:
        return int(receiver.getsockname()[1])


class Venue:
    """A shard that says what it is told to say, in the epoch it is told; and serves all of it."""

    def __init__(self, sender: Sender) -> None:
        self.store = MemoryStore(1 << 24)
        self.proven_epoch = 1
        self._sender = sender
        self._start = EpochStart()

    @property
    def commit_seq(self) -> int:
        return self.store.next_seq - 1

    def say(self, stream: ShardStream) -> None:
        """All of the stream that was not said."""
        first_seq = self.store.next_seq
        for before, messages in stream.transactions:
            if before.next_seq >= first_seq:
                self.store.append(remake(SHARD_ID, messages, before.digest)[0])
        new = self.store.messages(first_seq, 1 << 24)
        packets = packet.pack_messages(SHARD_ID, self.proven_epoch, 0, first_seq, self.commit_seq, new)
        self._sender.send_nowait([*packets, self.heartbeat()])

    def heartbeat(self) -> bytes:
        return packet.make_heartbeat(SHARD_ID, self.proven_epoch, self.store.next_seq, self.commit_seq, self._start)

    def change_primary(self, end: Position) -> None:
        """The next epoch begins after what the new primary had; what lies beyond is lost."""
        kept = self.store.messages(1, 1 << 24)[: end.next_seq - 1]
        self.store = MemoryStore(1 << 24)
        self.store.append(kept)
        self.proven_epoch += 1
        self._start = EpochStart(0, *end)
        self._sender.send_nowait([self.heartbeat()])

    async def run(self) -> None:
        while True:
            await trio.sleep(0.05)
            self._sender.send_nowait([self.heartbeat()])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def sender(port: int) -> Iterator[Sender]:
    with Sender(Destination(((GROUP, port),))) as sender:
        yield sender


@asynccontextmanager
async def running(sender: Sender) -> AsyncIterator[tuple[Venue, Address]]:
    venue = Venue(sender)
    with closing(open_receiver(LOCAL)) as requests:
        async with trio.open_nursery() as nursery:
            await nursery.start(answer_requests, Retransmitter({SHARD_ID: venue}), requests)
            nursery.start_soon(venue.run)
            yield venue, requests.getsockname()
            nursery.cancel_scope.cancel()


class Vendor:
    """Hears one line, and asks its request server."""

    def __init__(self, port: int, server: Address, *, may_fork: bool = False) -> None:
        self.line = open_receiver(LOCAL)
        self.requests = ("127.0.0.1", free_port())
        networks = [ip_network("127.0.0.0/8")]
        address = self.line.getsockname()
        stream = (GROUP, port)
        self.channel = Channel(SHARD_ID, stream, [server], address, self.requests, networks, "127.0.0.1", {}, may_fork)
        self.heard: list[DownstreamPacket] = []

    async def publish(self, nursery: trio.Nursery) -> None:
        await nursery.start(run_publisher, [self.channel])

    async def hear(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(10):
            while not condition():
                await trio.lowlevel.wait_readable(self.line)
                self.heard += map(decode_downstream, drain(self.line))

    async def hear_session(self, session: bytes, next_number: int) -> None:
        """Until a heartbeat of this session says so many."""
        await self.hear(lambda: any(each[:3] == (session, next_number, 0) for each in self.heard))

    def hear_messages(self) -> list[bytes]:
        return [message for each in self.heard for message in each.messages]

    async def fetch(self, session: bytes, first: int, count: int) -> list[bytes]:
        with closing(open_receiver(LOCAL)) as asker:
            send_to(asker, [encode_request(session, first, count)], self.requests)
            with trio.fail_after(5):
                await trio.lowlevel.wait_readable(asker)
            [answer] = drain(asker)
        return decode_downstream(answer).messages


def trading_day() -> ShardStream:
    stream = ShardStream()
    stream.start_day()
    stream.enter(Side.BUY, 300, 100_0000)
    return stream


async def test_after_a_fork_the_day_is_told_anew_and_vendors_have_the_true_book(
    port: int, sender: Sender, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    lost, true = trading_day(), trading_day()
    common = true.sequencer.position
    lost.enter(Side.SELL, 200, 101_0000)
    true.enter(Side.SELL, 700, 102_0000)
    async with running(sender) as (venue, server):
        vendor = Vendor(port, server)
        with vendor.line:
            await vendor.publish(nursery)
            venue.say(lost)
            await vendor.hear_session(DAY, 12)
            venue.change_primary(common)
            venue.say(true)
            again = b"A21121A001"
            await vendor.hear_session(again, 12)
            assert (DAY, 12, END_OF_SESSION, []) in vendor.heard
            whole = await vendor.fetch(again, 1, 100)
            before = await vendor.fetch(DAY, 1, 100)
            assert whole[:10] == before[:10]
            assert (len(whole), len(before)) == (11, 11)
            assert whole[10] != before[10]
            assert "the day is said again" in caplog.text
            nursery.cancel_scope.cancel()


async def test_where_history_may_be_lost_all_publishers_agree_on_the_name_whether_they_saw_it_or_not(
    port: int, sender: Sender, nursery: trio.Nursery
) -> None:
    stream = trading_day()
    async with running(sender) as (venue, server):
        one, other = Vendor(port, server, may_fork=True), Vendor(port, server, may_fork=True)
        with one.line, other.line:
            await one.publish(nursery)
            venue.say(stream)
            await one.hear_session(DAY, 11)
            venue.change_primary(stream.sequencer.position)  # nothing was lost this time
            stream.enter(Side.SELL, 200, 101_0000)
            venue.say(stream)
            again = b"A21121A001"
            await one.hear_session(again, 12)
            await other.publish(nursery)
            await other.hear_session(again, 12)
            assert await one.fetch(again, 1, 100) == await other.fetch(again, 1, 100)
            assert not other.hear_messages()  # what was before it is for the request server
            nursery.cancel_scope.cancel()


async def test_where_history_may_be_lost_the_name_changes_in_a_quiet_market_too(
    port: int, sender: Sender, nursery: trio.Nursery
) -> None:
    stream = trading_day()
    async with running(sender) as (venue, server):
        vendor = Vendor(port, server, may_fork=True)
        with vendor.line:
            await vendor.publish(nursery)
            venue.say(stream)
            await vendor.hear_session(DAY, 11)
            venue.change_primary(stream.sequencer.position)
            again = b"A21121A001"
            await vendor.hear_session(again, 11)
            assert (DAY, 11, END_OF_SESSION, []) in vendor.heard
            assert await vendor.fetch(again, 1, 100) == await vendor.fetch(DAY, 1, 100)
            stream.enter(Side.SELL, 200, 101_0000)
            venue.say(stream)
            await vendor.hear(lambda: any(each.messages for each in vendor.heard))
            assert [each[:2] for each in vendor.heard if each.messages] == [(again, 11)]
            nursery.cancel_scope.cancel()


async def test_where_nothing_can_be_lost_the_session_goes_on_over_an_epoch(
    port: int, sender: Sender, nursery: trio.Nursery
) -> None:
    stream = trading_day()
    async with running(sender) as (venue, server):
        vendor = Vendor(port, server)
        with vendor.line:
            await vendor.publish(nursery)
            venue.say(stream)
            await vendor.hear_session(DAY, 11)
            venue.change_primary(stream.sequencer.position)
            stream.enter(Side.SELL, 200, 101_0000)
            venue.say(stream)
            await vendor.hear(lambda: len(vendor.hear_messages()) == 1)
            assert {each.session for each in vendor.heard} == {DAY}
            nursery.cancel_scope.cancel()
