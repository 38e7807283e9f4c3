import struct

import pytest
import trio
import trio.testing

from recovery.alarm import now_ns
from recovery.frames import LinkError
from recovery.history import ReplicaDiverged, StateLost
from recovery.journal import JournalFailed
from recovery.link import LinkClient
from recovery.links import MAX_BATCH, Links, NotPrimary
from recovery.primary import MAX_UNCOMMITTED, Primary
from recovery.pump import Pump
from tests.recovery.adder import ADD, Adder


class FailingHost:
    """A process whose next batch ends with an error, whoever's link it is."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def leading(self) -> Primary:
        raise NotPrimary("a backup")

    async def settle(self) -> Primary:
        return self.leading()

    def stamp(self) -> int:
        return 0

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [JournalFailed("disk"), ReplicaDiverged("bytes"), StateLost("state"), AssertionError()]
)
async def test_what_ends_the_replica_comes_out_of_a_link(error):
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"x")
    with trio.fail_after(5), pytest.raises(type(error)) as caught:
        await Links(FailingHost(error), 1, {7: b"key"}).serve(ours)
    assert caught.value is error


async def test_another_error_ends_its_link_only(caplog):
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"x")
    with trio.fail_after(5):
        await Links(FailingHost(KeyError("a bug of a link")), 1, {7: b"key"}).serve(ours)
        while await theirs.receive_some():
            pass  # our first words, and then the end
    assert caplog.messages == ["shard 1: link of a stranger"]


class _TooLate:
    """The end of a link that is found to be over while what has come on it is handled."""

    over = False
    has_data_to_send = False

    def data_to_send(self) -> bytes:
        if self.over:
            raise LinkError("too late")
        return b""

    def next_deadline(self) -> None:
        return None

    def handle_deadline(self, now: int) -> None:
        pass


async def test_what_ends_the_replica_is_not_hidden_by_an_end_of_the_link_at_the_same_time():
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"x")
    link = _TooLate()

    async def received(data: bytes, now: int) -> None:
        link.over = True
        pump.wake()
        try:
            await trio.sleep_forever()
        finally:
            link.over = False
            raise ReplicaDiverged("bytes")

    pump = Pump(link, ours, received)
    with trio.fail_after(5), pytest.raises(ReplicaDiverged):
        await pump.run()


async def test_a_connection_that_its_peer_resets_is_a_link_that_ends():
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        peer = await trio.open_tcp_stream(*listener.socket.getsockname())
        stream = await listener.accept()
    said: list[bytes] = []

    async def received(data: bytes, now: int) -> None:
        said.append(data)
        peer.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
        await peer.aclose()  # which resets it, since it is not to linger

    await peer.send_all(b"x")
    with trio.fail_after(5), pytest.raises(LinkError, match="connection lost"):
        await Pump(_TooLate(), stream, received).run()
    assert said == [b"x"]


class SlowHost:
    """A primary whose disk takes its time: `commit` is what it brings about in the end."""

    def __init__(self) -> None:
        self.primary = Primary(1, Adder())
        self.primary.lead(1, 0)
        self._room = trio.Event()

    def leading(self) -> Primary:
        return self.primary

    async def settle(self) -> Primary:
        while not self.primary.ready:
            await self._room.wait()
        return self.primary

    def stamp(self) -> int:
        return 0

    def flush(self) -> None:
        self.primary.take_entries()

    def stall(self) -> None:
        while self.primary.uncommitted < MAX_UNCOMMITTED:
            self.primary.command(ADD, b"1", 0)

    def commit(self) -> None:
        self.primary.committed(self.primary.last_tx)
        self._room.set()
        self._room = trio.Event()


async def test_a_primary_that_commits_nothing_for_long_loses_no_link(nursery, autojump_clock):
    host = SlowHost()
    host.stall()
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(Links(host, 1, {7: b"key"}).serve, ours)
    client = LinkClient(1, 7, 1, b"key")
    client.connected(b"c" * 32, now_ns())

    async def received(data: bytes, now: int) -> None:
        client.receive_data(data, now)

    pump = Pump(client, theirs, received)
    nursery.start_soon(pump.run)  # which would raise, and end this test, if the link ended
    await trio.sleep(20)
    assert not client.open
    host.commit()
    await trio.sleep(0.1)
    assert client.open
    for number in range(2):
        host.stall()
        client.forward(0, 0, ADD, b"1", now_ns())
        pump.wake()
        await trio.sleep(20)
        assert host.primary.sources.last_source_seq(7) == number
        host.commit()
        await trio.sleep(0.1)
        assert host.primary.sources.last_source_seq(7) == number + 1
    nursery.cancel_scope.cancel()


def test_time_in_which_nobody_could_come_makes_no_source_lost():
    host = SlowHost()
    for source_id in (7, 8):
        assert host.primary.open_source(source_id, 1, 0) == 0
    host.commit()
    links = Links(host, 1, {7: b"key", 8: b"key", 9: b"never seen"})
    links.begin_leading(100)
    assert links.take_lost(50, 150) is None
    links.hold(130)
    links.hold(700)  # the next one who waits
    links.release(900)
    links.release(910)
    assert links.take_lost(50, 920) is None
    assert [links.take_lost(50, 921) for _ in range(3)] == [7, 8, None]


class CountingHost(SlowHost):
    """A primary that is told at the end of each batch, and looks whether its link goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.links = Links(self, 1, {7: b"key"})
        self.batches: list[int] = []

    def flush(self) -> None:
        if entries := self.primary.take_entries():
            self.batches.append(len(entries))

    async def watch(self) -> None:
        """What a task between two batches sees."""
        seen = 0
        while True:
            if len(self.batches) > seen:
                seen = len(self.batches)
                assert self.links.busy == (seen % 3 != 1)  # the login is a batch of its own, and the last ends the work
            await trio.lowlevel.checkpoint()


async def test_what_comes_at_once_is_some_batches_and_others_know_that_there_is_more(nursery):
    host = CountingHost()
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(host.links.serve, ours)
    client = LinkClient(1, 7, 1, b"key")
    client.connected(b"c" * 32, now_ns())
    with trio.fail_after(5):
        while not client.open:
            client.receive_data(bytes(await theirs.receive_some()), now_ns())
            await theirs.send_all(client.data_to_send())
        nursery.start_soon(host.watch)
        for number in range(2 * MAX_BATCH + 3):
            client.forward(0, 0, ADD, b"%d" % number, now_ns())
        await theirs.send_all(client.data_to_send())
        while host.primary.sources.last_source_seq(7) < 2 * MAX_BATCH + 3:
            await trio.lowlevel.checkpoint()
    assert host.batches == [1, MAX_BATCH, MAX_BATCH, 3]
    assert not host.links.busy
    nursery.cancel_scope.cancel()
