"""Primary, links, stream and retransmission servers on real sockets, on one loop."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
import trio

from recovery import packet
from recovery.coordinator import FileCoordinator
from recovery.frames import LinkError
from recovery.journal import JournalFailed, Sync
from recovery.link import LinkClient
from recovery.links import MAX_STRANGERS
from recovery.multicast import Address, Destination, drain, open_receiver, send_to
from recovery.node import ReplicaAddresses, ReplicaConfig, ReplicaNode, run_replica
from recovery.packet import Request
from recovery.reader import Reader
from recovery.record import FIRST, OPEN_SOURCE, CommandHeader, Message
from recovery.retransmission_server import ServedStream, ServerConfig, ServerNode, run_retransmitter
from recovery.stream import read_stream
from tests.recovery.adder import ADD, COUNTDOWN, STEP, STEPPED, Adder
from tests.recovery.client_link import ClientLink
from tests.venue import free_ports

GROUP = "239.77.2.1"
KEYS = {7: b"key of 7", 8: b"key of 8"}
LOCAL = ("127.0.0.1", 0)


def free_address() -> Address:
    """For a server: its UDP port's number must be free for TCP, too."""
    return ("127.0.0.1", *free_ports(1))


@pytest.fixture
def port() -> int:
    with open_receiver((GROUP, 0)) as receiver:
        return int(receiver.getsockname()[1])


@asynccontextmanager
async def running(node_path: Path, port: int, sync: Sync = "write") -> AsyncIterator[ReplicaNode]:
    destination = Destination(((GROUP, port),))
    addresses = ReplicaAddresses(LOCAL, free_address(), free_address(), (GROUP, port))
    config = ReplicaConfig(
        1,
        1,
        {1: addresses},
        node_path,
        "quorum",
        "disk" if sync == "disk" else "memory",
        KEYS,
        b"a key",
        destination,
    )
    coordinator = FileCoordinator(node_path.with_suffix(".coordinator"))
    async with trio.open_nursery() as nursery:
        yield await nursery.start(run_replica, config, coordinator, Adder)
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.lowlevel.checkpoint()


class Follower:
    """A gateway in small: reads the stream, tells its link what came by, keeps all messages."""

    def __init__(self, port: int, servers: list[tuple[str, int]], link: LinkClient | None = None) -> None:
        self.reader = Reader(1, server_count=len(servers))
        self.messages: list[Message] = []
        self.link = link
        self.deliveries = 0
        self._port = port
        self._servers = servers
        self._news = trio.Event()

    def deliver(self, messages: list[Message]) -> None:
        self.messages += messages
        self.deliveries += 1
        for message in messages:
            if message.flags & FIRST and self.link is not None:
                header = CommandHeader.unpack_from(message.body)
                if header.source_id == self.link.source_id:
                    self.link.seen(header.source_seq)
        self._news.set()
        self._news = trio.Event()

    async def run(self, task_status=trio.TASK_STATUS_IGNORED) -> None:
        with closing(open_receiver((GROUP, self._port))) as receiver, closing(open_receiver(LOCAL)) as asking:
            task_status.started()
            await read_stream(self.reader, receiver, asking, self._servers, self.deliver)

    async def wait(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(10):
            while not condition():
                await self._news.wait()


async def linked(nursery: trio.Nursery, node: ReplicaNode, source_id: int = 7, incarnation: int = 1) -> ClientLink:
    link = ClientLink(LinkClient(1, source_id, incarnation, KEYS[source_id]), lambda: node.link_address)
    nursery.start_soon(link.run)
    with trio.fail_after(5):
        await link.opened.wait()
    return link


async def connect(client: LinkClient, node: ReplicaNode) -> None:
    """One connection, until it ends."""
    shell = ClientLink(client, lambda: node.link_address)
    await shell._run_connection(await trio.open_tcp_stream(*node.link_address))


@pytest.mark.parametrize("sync", ["write", "disk"])
async def test_commands_go_in_by_the_link_and_come_by_on_the_stream(tmp_path, port, nursery, sync):
    async with running(tmp_path, port, sync) as node:
        link = await linked(nursery, node)
        follower = Follower(port, [node.request_address], link.client)
        await nursery.start(follower.run)
        for n in range(200):
            link.client.forward(41, n + 1, ADD, b"%d" % n, 0)
            if n % 20 == 19:
                link.flush()
                await trio.lowlevel.checkpoint()
        await follower.wait(lambda: link.client.unseen == 0)
        await follower.wait(lambda: len(follower.messages) == 601)
        assert [m.seq for m in follower.messages] == list(range(1, 602))
        assert follower.messages[-2].body == b"%d" % sum(range(200))
        assert node.primary.uncommitted == 0
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("sync", ["write", "disk"])
async def test_a_restarted_primary_goes_on_and_nobody_loses_anything(tmp_path, port, nursery, sync):
    async with running(tmp_path, port, sync) as node:
        client = LinkClient(1, 7, 1, KEYS[7])
        address = [node.link_address]
        link = ClientLink(client, lambda: address[0])
        nursery.start_soon(link.run)
        follower = Follower(port, [node.request_address], client)
        await nursery.start(follower.run)
        with trio.fail_after(5):
            await link.opened.wait()
        for n in range(30):
            client.forward(41, n + 1, ADD, b"1", 0)
        link.flush()
        await follower.wait(lambda: client.unseen == 0)
    for n in range(30, 60):  # while the primary is away
        client.forward(41, n + 1, ADD, b"1", 0)
    assert client.unseen == 30
    async with running(tmp_path, port, sync) as node:
        address[0] = node.link_address
        await follower.wait(lambda: client.unseen == 0)
        await follower.wait(lambda: follower.messages[-2].body == b"60")
        assert follower.reader.epoch == node.primary.epoch == 2
        seqs = [m.seq for m in follower.messages]
        assert seqs == list(range(1, len(seqs) + 1))
        nursery.cancel_scope.cancel()


async def test_the_shards_own_commands_and_what_they_bring_about(tmp_path, port, nursery):
    async with running(tmp_path, port) as node:
        follower = Follower(port, [node.request_address])
        await nursery.start(follower.run)
        await node.command(COUNTDOWN, b"200")
        await node.command(ADD, b"5")
        await follower.wait(lambda: bool(follower.messages) and follower.messages[-1].kind != STEPPED)
        kinds = [m.kind for m in follower.messages]
        assert kinds[:401] == [COUNTDOWN] + [STEP, STEPPED] * 200
        nursery.cancel_scope.cancel()


async def test_bad_peers_are_told_and_disturb_nobody(tmp_path, port, nursery):
    async with running(tmp_path, port) as node:
        link = await linked(nursery, node)
        follower = Follower(port, [node.request_address], link.client)
        await nursery.start(follower.run)

        async def talk(data: bytes) -> bytes:
            stream = await trio.open_tcp_stream(*node.link_address)
            async with stream:
                await stream.send_all(data)
                answer = b""
                with trio.fail_after(5):
                    while chunk := await stream.receive_some(1000):
                        answer += chunk
                return answer

        assert b"frame of 65535 bytes" in await talk(b"\xff\xff\xff")
        assert b"frame type 3 from a gateway" in await talk(b"\0\1\3")
        assert b"command before the login" in await talk(b"\0\x17\5" + bytes(22))
        thief = LinkClient(1, 8, 1, b"a wrong key")
        with trio.fail_after(5), pytest.raises(LinkError, match="login refused"):
            await connect(thief, node)
        assert not thief.ready
        with closing(open_receiver(LOCAL)) as noise:
            send_to(noise, [b"", b"noise", bytes(24)], node.request_address)
        link.client.forward(0, 0, ADD, b"3", 0)
        link.flush()
        await follower.wait(lambda: link.client.unseen == 0)
        nursery.cancel_scope.cancel()


async def test_a_port_that_another_program_has_is_named(tmp_path, port):
    (taken,) = await trio.open_tcp_listeners(free_address()[1], host="127.0.0.1")
    async with taken:
        host, number = taken.socket.getsockname()
        addresses = ReplicaAddresses((host, number), free_address(), free_address(), (GROUP, port))
        destination = Destination(((GROUP, port),))
        config = ReplicaConfig(1, 1, {1: addresses}, tmp_path / "s", "quorum", "disk", KEYS, b"a key", destination)
        with pytest.raises(OSError, match=f"cannot listen on TCP {host}:{number}: Address already in use"):
            await run_replica(config, FileCoordinator(tmp_path / "c"), Adder)


async def test_strangers_are_bounded(tmp_path, port):
    async with running(tmp_path, port) as node:
        streams = [await trio.open_tcp_stream(*node.link_address) for _ in range(MAX_STRANGERS)]
        for stream in streams:
            assert len(await stream.receive_some(38)) == 38  # the challenge; a heartbeat may have followed
        extra = await trio.open_tcp_stream(*node.link_address)
        with trio.fail_after(5), suppress(trio.BrokenResourceError):
            assert await extra.receive_some(100) == b""
        for stream in [*streams, extra]:
            await stream.aclose()


async def test_a_gap_and_an_old_life_of_a_gateway_end_the_link(tmp_path, port, nursery):
    async with running(tmp_path, port) as node:
        link = await linked(nursery, node, incarnation=3)
        old = LinkClient(1, 7, 2, KEYS[7])
        with trio.fail_after(5), pytest.raises(LinkError, match="incarnation 2 is over"):
            await connect(old, node)
        link.client.next_source_seq = 5
        link.client.forward(0, 0, ADD, b"1", 0)
        link.flush()
        await until(lambda: not link.client.open)
        assert node.primary.sources.last_source_seq(7) == 0
        nursery.cancel_scope.cancel()


async def test_a_disk_that_fails_stops_the_primary(tmp_path, port, monkeypatch):
    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    async def fail() -> None:
        async with running(tmp_path, port) as node:
            monkeypatch.setattr(os, "pwrite", full)
            async with trio.open_nursery() as nursery:
                link = await linked(nursery, node)
                link.client.forward(0, 0, ADD, b"1", 0)
                await trio.sleep_forever()

    with trio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        await fail()
    assert caught.value.subgroup(JournalFailed) is not None


async def test_a_state_machine_that_fails_stops_the_primary_and_leaves_a_journal_that_replays(
    tmp_path, port, monkeypatch
):
    good = Adder.apply

    def apply(self: Adder, kind: int, body: bytes, *header: int) -> list[tuple[int, bytes]]:
        if body == b"13":
            self.total = -1
            raise KeyError("a bug")
        return good(self, kind, body, *header)

    async def fail() -> None:
        async with running(tmp_path, port) as node, trio.open_nursery() as nursery:
            link = await linked(nursery, node)
            for number in (b"1", b"13", b"2"):
                link.client.forward(0, 0, ADD, number, 0)
            link.flush()
            await trio.sleep_forever()

    monkeypatch.setattr(Adder, "apply", apply)
    with trio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        await fail()
    assert caught.value.subgroup(lambda error: "a bug" in str(error)) is not None
    monkeypatch.undo()
    async with running(tmp_path, port) as node:
        assert node.primary.state_machine.total == 1


# Retransmission


@asynccontextmanager
async def serving(path: Path, port: int, servers: tuple[tuple[str, int], ...]) -> AsyncIterator[ServerNode]:
    config = ServerConfig((ServedStream(1, (GROUP, port), path, servers),), free_address())
    async with trio.open_nursery() as nursery:
        yield await nursery.start(run_retransmitter, config)
        nursery.cancel_scope.cancel()


async def test_a_server_keeps_the_stream_and_a_late_joiner_has_it_from_there(tmp_path, port, nursery):
    async with (
        running(tmp_path / "shard", port) as node,
        serving(tmp_path / "server", port, (node.request_address,)) as server,
    ):
        link = await linked(nursery, node)
        for n in range(2000):
            link.client.forward(0, 0, ADD, b"%d" % n, 0)
        link.flush()
        late = Follower(port, [server.request_address])
        await nursery.start(late.run)
        await late.wait(lambda: len(late.messages) == 6001)
        assert [m.seq for m in late.messages] == list(range(1, 6002))
        kept = server.streams[1].store
        await until(lambda: kept.next_seq == 6002)  # the joiner may have had all of it from the shard
        assert kept.messages(1, 10**7) == node.primary.store.messages(1, 10**7)
        nursery.cancel_scope.cancel()


async def test_a_restarted_server_goes_on_and_fills_what_it_missed_from_another(tmp_path, port, nursery):
    async with running(tmp_path / "shard", port) as node:
        link = await linked(nursery, node)
        other = (node.request_address,)
        async with serving(tmp_path / "server", port, other) as server:
            for _ in range(100):
                link.client.forward(0, 0, ADD, b"1", 0)
            link.flush()
            await until(lambda: server.streams[1].store.next_seq == 302)
        for _ in range(100):  # while the server is away
            link.client.forward(0, 0, ADD, b"1", 0)
        link.flush()
        await until(lambda: node.primary.next_seq == 602)
        async with serving(tmp_path / "server", port, other) as server:
            assert server.streams[1].store.next_seq >= 302  # what it missed may have come already
            assert server.streams[1].proven_epoch == 1
            await until(lambda: server.streams[1].store.next_seq == 602)
            assert server.streams[1].store.messages(1, 10**6) == node.primary.store.messages(1, 10**6)
            assert server.streams[1].reader.statistics().gaps_found == 1
        nursery.cancel_scope.cancel()


async def test_a_server_answers_a_request_with_marked_packets(tmp_path, port, nursery):
    async with running(tmp_path / "shard", port) as node:
        with closing(open_receiver(LOCAL)) as asker:
            await node.command(ADD, b"1")
            send_to(asker, [packet.make_request(Request(1, 0, 2, 9))], node.request_address)
            with trio.fail_after(5):
                await trio.lowlevel.wait_readable(asker)
            (data,) = drain(asker)
            header = packet.parse_packet(data)
            assert header == packet.PacketHeader(1, 1, packet.RETRANSMITTED, 2, 2, 3)


async def test_the_first_message_of_a_source_opens_it(tmp_path, port, nursery):
    async with running(tmp_path, port) as node:
        await linked(nursery, node, incarnation=4)
        assert node.primary.sources.incarnation(7) == 4
        assert node.primary.store.messages(1, 100)[0][2] == OPEN_SOURCE
        nursery.cancel_scope.cancel()
