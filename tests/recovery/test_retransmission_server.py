"""Retransmission servers and long answers on real sockets: a day from scratch, forks, disks that fail, bad askers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from recovery import catch_up, packet, reader, record
from recovery.alarm import now_ns
from recovery.catch_up import LongAnswers
from recovery.journal import Journal, JournalFailed
from recovery.multicast import Address, Destination, Sender, drain_with_addresses, open_receiver, send_to
from recovery.packet import EpochStart, Request
from recovery.reader import Reader
from recovery.record import Message, Position
from recovery.retransmission_server import (
    FORKED_KEPT,
    ServedStream,
    ServerConfig,
    ServerNode,
    answer_requests,
    run_retransmitter,
)
from recovery.retransmitter import Drop, Retransmitter
from recovery.stream import read_stream
from tests.recovery.adder import Shard
from tests.recovery.history import History
from tests.venue import free_ports

GROUP = "239.77.2.3"
LOCAL = ("127.0.0.1", 0)


def free_address() -> Address:
    """For a server: its UDP port's number must be free for TCP, too."""
    return ("127.0.0.1", *free_ports(1))


@pytest.fixture
def port() -> int:
    with open_receiver((GROUP, 0)) as receiver:
        return int(receiver.getsockname()[1])


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.lowlevel.checkpoint()


class Source:
    """A shard that has said `count` transactions, 3 messages each; `say` says what is new to the group."""

    def __init__(self, port: int, count: int) -> None:
        self.shard = Shard()
        self.retransmitter = Retransmitter({1: self.shard.primary})
        self.sender = Sender(Destination(((GROUP, port),)))
        for number in range(count):
            self.shard.add(number)
            if self.shard.primary.uncommitted > 1000:
                self.shard.say()
        self.shard.say()

    @property
    def next_seq(self) -> int:
        return self.shard.primary.next_seq

    def say(self, number: int | None = None) -> None:
        if number is not None:
            self.shard.add(number)
        self.sender.send_nowait([*self.shard.say(), *self.shard.heartbeat()])

    def messages(self) -> list[bytes]:
        return self.shard.primary.store.messages(1, 10**9)


@pytest.fixture
def source(port, monkeypatch):
    monkeypatch.setattr(reader, "FAR_BEHIND", 1000)
    source = Source(port, 5000)
    with source.sender:
        yield source


@asynccontextmanager
async def answering(source: Source) -> AsyncIterator[Address]:
    """The shard itself as the server of last resort."""
    with closing(open_receiver(free_address())) as requests:
        async with trio.open_nursery() as nursery:
            await nursery.start(answer_requests, source.retransmitter, requests)
            yield requests.getsockname()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving(path: Path, port: int, servers: tuple[Address, ...]) -> AsyncIterator[ServerNode]:
    config = ServerConfig((ServedStream(1, (GROUP, port), path, servers),), free_address())
    async with trio.open_nursery() as nursery:
        yield await nursery.start(run_retransmitter, config)
        nursery.cancel_scope.cancel()


class Follower:
    """A reader that keeps all messages."""

    def __init__(self, port: int, servers: list[Address]) -> None:
        self.reader = Reader(1, server_count=len(servers))
        self.messages: list[Message] = []
        self._port = port
        self._servers = servers

    async def run(self, task_status=trio.TASK_STATUS_IGNORED) -> None:
        with closing(open_receiver((GROUP, self._port))) as receiver, closing(open_receiver(LOCAL)) as asking:
            task_status.started()
            await read_stream(self.reader, receiver, asking, self._servers, self.messages.extend)

    def is_at(self, source: Source) -> bool:
        return self.reader.position.next_seq == source.next_seq


async def test_a_server_with_an_empty_journal_has_the_day_from_the_others_while_it_goes_on(tmp_path, port, source):
    async with answering(source) as shard, serving(tmp_path / "first", port, (shard,)) as first:
        source.say()
        await until(lambda: first.streams[1].store.next_seq == source.next_seq)
        async with serving(tmp_path / "second", port, (first.request_address,)) as second:
            for number in range(200):
                source.say(number)
                await trio.lowlevel.checkpoint()
            await until(lambda: second.streams[1].store.next_seq == source.next_seq)
        assert second.streams[1].store.messages(1, 10**9) == source.messages()
        for server in (first, second):
            statistics = server.streams[1].reader.statistics()
            assert statistics.requests < 10, "the day did not come over TCP"
        assert first.retransmitter.answered >= 1


async def test_a_restarted_server_has_what_it_lacks_from_where_its_journal_ends(tmp_path, port, source):
    async with answering(source) as shard:
        async with serving(tmp_path / "server", port, (shard,)) as server:
            source.say()
            await until(lambda: server.streams[1].store.next_seq == source.next_seq)
        for number in range(3000):
            source.shard.add(number)
            source.shard.say()
        async with serving(tmp_path / "server", port, (shard,)) as server:
            source.say()
            await until(lambda: server.streams[1].store.next_seq == source.next_seq)
            assert server.streams[1].store.messages(1, 10**9) == source.messages()


async def test_the_next_server_is_asked_when_one_has_nothing(tmp_path, port, source, nursery):
    with closing(open_receiver(LOCAL)) as nobody:  # the port is there, and no TCP behind it
        async with answering(source) as shard, serving(tmp_path / "empty", port, ()) as empty:
            follower = Follower(port, [nobody.getsockname(), empty.request_address, shard])
            await nursery.start(follower.run)
            source.say()
            await until(lambda: follower.is_at(source))
            assert follower.reader.statistics().requests < 10
            nursery.cancel_scope.cancel()


async def test_without_a_server_that_answers_over_tcp_the_short_way_goes_on(port, source, nursery):
    with closing(open_receiver(LOCAL)) as requests:

        async def answer() -> None:
            while True:
                await trio.lowlevel.wait_readable(requests)
                for data, address in drain_with_addresses(requests):
                    send_to(requests, source.retransmitter.receive_request(data, address, now_ns()), address)

        nursery.start_soon(answer)
        follower = Follower(port, [requests.getsockname()])
        await nursery.start(follower.run)
        source.say()
        await until(lambda: follower.is_at(source))
        assert follower.reader.statistics().requests >= 15_001 // 512
        nursery.cancel_scope.cancel()


# Who asks wrongly, too much, or does not read


async def ask(address: Address, request: bytes) -> bytes:
    answer = b""
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(request)
        with trio.fail_after(5):
            while data := await stream.receive_some():
                answer += data
    return answer


def request(first_seq: int = 1, epoch: int = 1, shard_id: int = 1) -> bytes:
    return packet.make_request(Request(shard_id, epoch, first_seq, 1))


async def test_a_long_answer_is_all_that_follows_in_marked_packets(source):
    async with answering(source) as shard:
        packets, rest = packet.cut_packets(await ask(shard, request(first_seq=14_001)))
    headers = [packet.parse_packet(data) for data in packets]
    assert rest == b""
    assert {header[:3] for header in headers} == {(1, 1, packet.RETRANSMITTED)}
    assert headers[0].first_seq == 14_001
    assert headers[-1].first_seq + headers[-1].message_count == source.next_seq
    assert sum(header.message_count for header in headers) == 1001


async def test_a_long_answer_never_goes_above_the_commit(source):
    source.shard.add(1)
    source.shard.say(commit=False)
    async with answering(source) as shard:
        packets, _ = packet.cut_packets(await ask(shard, request(first_seq=15_000)))
        assert await ask(shard, request(first_seq=15_002)) == b""
    headers = [packet.parse_packet(data) for data in packets]
    assert headers[-1].first_seq + headers[-1].message_count - 1 == 15_001
    assert source.retransmitter.dropped[Drop.ABOVE_COMMIT] == 1


@pytest.mark.parametrize(
    ("data", "drop"),
    [
        (b"x" * 24, Drop.GARBLED),
        (request(shard_id=2), Drop.UNKNOWN_SHARD),
        (request(epoch=2), Drop.LOWER_EPOCH),
        (request(first_seq=10**9), Drop.ABOVE_COMMIT),
    ],
)
async def test_what_is_not_answered_is_closed_without_a_word_and_counted(source, data, drop):
    async with answering(source) as shard:
        assert await ask(shard, data) == b""
    assert source.retransmitter.dropped[drop] == 1


async def test_askers_are_bounded_and_one_who_does_not_read_is_closed(source, monkeypatch, nursery):
    monkeypatch.setattr(catch_up, "MAX_ASKERS_PER_HOST", 2)
    monkeypatch.setattr(catch_up, "PATIENCE", 1.0)
    answers = LongAnswers(source.retransmitter)
    monkeypatch.setattr(source.retransmitter, "receive_long_request", lambda *_: Endless())
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listeners[0].socket.getsockname()
    nursery.start_soon(trio.serve_listeners, answers._serve_one, listeners)
    slow = [await trio.open_tcp_stream(*address) for _ in range(2)]
    for stream in slow:
        await stream.send_all(request())
    await until(lambda: answers.active == 2)
    assert await ask(address, b"") == b""
    assert answers.refused == 1
    await until(lambda: answers.active == 0)
    for stream in slow:
        await trio.aclose_forcefully(stream)
    nursery.cancel_scope.cancel()


class Endless:
    def next_piece(self) -> bytes:
        return bytes(1_000_000)


async def test_one_who_connects_and_says_nothing_is_closed(source, monkeypatch):
    monkeypatch.setattr(catch_up, "PATIENCE", 0.05)
    async with answering(source) as shard, await trio.open_tcp_stream(*shard) as stream:
        with trio.fail_after(5):
            assert await stream.receive_some() == b""


async def test_an_answer_ends_when_the_history_is_not_proven_any_more(source):
    answer = source.retransmitter.receive_long_request(request(), "127.0.0.1")
    assert answer is not None
    assert answer.next_piece()
    source.shard.primary.epoch = 2
    assert answer.next_piece() == b""


# Forks and disks


async def test_a_server_whose_stream_forked_goes_on_with_what_lies_below_by_itself(tmp_path, port, caplog):
    """As often as it happens; of the journals put aside the latest are kept. Nobody else has what lies below."""
    history = History()
    for number in range(3):
        history.add(b"common %d" % number)
    common = list(history.messages)
    start = EpochStart()
    with Sender(Destination(((GROUP, port),))) as sender:
        async with serving(tmp_path / "s1", port, ()) as server:
            for epoch in range(1, 5):
                lost = History(other=history)
                lost.add(b"lost in epoch %d" % epoch)
                commit = len(lost.messages)
                sender.send_nowait([lost.heartbeat(epoch, commit, start), *lost.packets(epoch, 1, commit, commit)])
                await until(lambda: server.streams[1].store.next_seq == 13)
                assert server.streams[1].store.messages(1, 10**6) == lost.messages
                start = history.start
                sender.send_nowait([history.heartbeat(epoch + 1, 9, start)])
                await until(lambda: server.streams[1].store.next_seq == 10)
                assert server.streams[1].proven_epoch == epoch + 1
                packets, _ = packet.cut_packets(await ask(server.request_address, request(epoch=epoch + 1)))
                assert kept_in(packets) == common
            history.add(b"what is true")
            sender.send_nowait([history.heartbeat(5, 12, start), *history.packets(5, 10, 12, 12)])
            await until(lambda: server.streams[1].store.messages(1, 10**6) == history.messages)
        async with serving(tmp_path / "s1", port, ()) as server:
            assert server.streams[1].store.messages(1, 10**6) == history.messages
            assert server.streams[1].proven_epoch == 5
    aside = sorted(path.name for path in tmp_path.iterdir())
    assert aside == ["s1", *(f"s1.forked-{number:06}" for number in range(5 - FORKED_KEPT, 5))]
    assert caplog.text.count("begins anew") == 4


def kept_in(packets: list[bytes]) -> list[bytes]:
    return [message for data in packets for message in record.split(data, record.PACKET_HEADER_BYTES)]


async def test_a_restarted_server_finds_the_fork_among_the_ends_of_its_records(tmp_path, port):
    history = History()
    history.add(b"common")
    lost = History(other=history)
    with Sender(Destination(((GROUP, port),))) as sender:
        async with serving(tmp_path / "s1", port, ()) as server:
            for data in (b"lost", b"lost as well"):
                commit = len(lost.messages)
                sender.send_nowait(
                    [lost.heartbeat(1, commit, EpochStart()), *lost.packets(1, commit - 2, commit, commit)]
                )
                await until(lambda: server.streams[1].store.next_seq == len(lost.messages) + 1)
                lost.add(data)
        async with serving(tmp_path / "s1", port, ()) as server:
            assert server.streams[1].store.next_seq == 7
            sender.send_nowait([history.heartbeat(2, 3, history.start)])
            await until(lambda: server.streams[1].proven_epoch == 2)
            assert server.streams[1].store.messages(1, 10**6) == history.messages


async def test_a_server_that_has_nothing_below_the_fork_begins_at_1(tmp_path, port):
    history, lost = History(), History()
    history.add(b"true")
    lost.add(b"lost")
    lost.add(b"lost as well")
    with Sender(Destination(((GROUP, port),))) as sender:
        async with serving(tmp_path / "s1", port, ()) as server:
            sender.send_nowait([lost.heartbeat(1, 6, EpochStart()), *lost.packets(1, 1, 6, 6)])
            await until(lambda: server.streams[1].store.next_seq == 7)
            sender.send_nowait([history.heartbeat(2, 3, history.start)])
            await until(lambda: server.streams[1].store.position == Position())
            sender.send_nowait(history.packets(2, 1, 3, 3))
            await until(lambda: server.streams[1].store.messages(1, 10**6) == history.messages)


async def test_a_machine_that_dies_between_two_journals_has_the_new_one(tmp_path, port, monkeypatch):
    history = History()
    history.add(b"common")
    lost = History(other=history)
    lost.add(b"lost")
    rename = Path.rename

    def die(path: Path, target: Path) -> Path:
        if path.name == "s1.anew":
            raise OSError("the machine dies")
        return rename(path, target)

    with Sender(Destination(((GROUP, port),))) as sender:
        with pytest.RaisesGroup(pytest.RaisesGroup(OSError)):
            async with serving(tmp_path / "s1", port, ()) as server:
                sender.send_nowait([lost.heartbeat(1, 6, EpochStart()), *lost.packets(1, 1, 6, 6)])
                await until(lambda: server.streams[1].store.next_seq == 7)
                monkeypatch.setattr(Path, "rename", die)
                sender.send_nowait([history.heartbeat(2, 3, history.start)])
                with trio.fail_after(10):
                    await trio.sleep_forever()
        monkeypatch.undo()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["s1.anew", "s1.forked-000001"]
        async with serving(tmp_path / "s1", port, ()) as server:
            assert server.streams[1].store.messages(1, 10**6) == history.messages
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s1", "s1.forked-000001"]


async def test_a_disk_that_fails_ends_its_server_and_no_other(tmp_path, port, source, monkeypatch):
    async with answering(source) as shard, serving(tmp_path / "good", port, (shard,)) as good:
        failed: BaseExceptionGroup[JournalFailed] | None = None
        write = Journal._write

        def fail(self: Journal) -> None:
            if self.directory.name == "bad":
                raise JournalFailed(f"{self.directory}: write: no space left on device")
            write(self)

        try:
            async with serving(tmp_path / "bad", port, (shard,)):
                monkeypatch.setattr(Journal, "_write", fail)
                source.say()
                with trio.fail_after(10):
                    await trio.sleep_forever()
        except* JournalFailed as error:
            failed = error
        assert failed is not None
        assert "bad: write: no space left on device" in str(failed.exceptions[0])
        source.say(1)
        await until(lambda: good.streams[1].store.next_seq == source.next_seq)
        monkeypatch.undo()
