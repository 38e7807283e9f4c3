"""Connections on real sockets: nobody is waited for, and a peer that does not read loses its connection."""

import socket

import pytest
import trio
import trio.testing

from fixgw import connection
from fixgw.connection import MAX_BACKLOG_BYTES, Connection, PeerGone


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    listener = connection.listen("127.0.0.1", 0, 1)
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    listener.close()
    return ours, theirs


async def test_what_the_kernel_does_not_take_is_sent_when_the_peer_reads(
    pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    sender, peer = Connection(pair[0]), Connection(pair[1])
    nursery.start_soon(sender.run_writer)
    data = bytes(range(256)) * 20_000
    sender.send(data[:1000])
    sender.send(data[1000:])
    assert sender.backlog_bytes > 0
    received = bytearray()
    while len(received) < len(data):
        received += await peer.receive()
    assert received == data
    sender.close()
    with pytest.raises(PeerGone, match="the peer closed the connection"):
        await peer.receive()
    peer.close()


async def test_a_peer_that_does_not_read_is_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    sender = Connection(pair[0])
    chunk = bytes(1 << 20)
    sent = 0
    while not sender.closed:
        sender.send(chunk)
        sent += len(chunk)
        assert sent < 8 * MAX_BACKLOG_BYTES
    sender.send(b"nothing happens")
    pair[1].close()


async def test_finish_lets_the_peer_read_all(pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery) -> None:
    sender, peer = Connection(pair[0]), Connection(pair[1])
    nursery.start_soon(sender.run_writer)
    size = 6 << 20
    sender.send(bytes(size))
    sender.finish()
    received = 0
    while received < size:
        received += len(await peer.receive())
    with pytest.raises(PeerGone):
        await peer.receive()
    assert received == size
    sender.send(b"nothing happens")
    sender.close()
    peer.close()


async def test_a_receiver_is_woken_by_its_own_close(
    pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    receiver = Connection(pair[0])
    gone = trio.Event()

    async def receive() -> None:
        with pytest.raises(PeerGone, match="closed by this side"):
            await receiver.receive()
        gone.set()

    nursery.start_soon(receive)
    await trio.testing.wait_all_tasks_blocked()
    receiver.close()
    await gone.wait()
    pair[1].close()


def test_an_address_in_use_is_named() -> None:
    with connection.listen("127.0.0.1", 0, 1) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            connection.listen("127.0.0.1", port, 1)


async def test_connect_names_the_address_that_refuses() -> None:
    with connection.listen("127.0.0.1", 0, 1) as listener:
        port = listener.getsockname()[1]
        peer = await connection.connect("127.0.0.1", port)
        peer.close()
    with pytest.raises(OSError, match=f"cannot connect to 127.0.0.1:{port}"):
        await connection.connect("127.0.0.1", port)
