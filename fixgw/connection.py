"""A TCP connection that is written to without waiting.

The gateway handles a batch (everything the kernel had from one peer) in one go, and what comes of it goes to many
peers. It must never wait for one of them: `send` hands the kernel what it takes at once and keeps the rest, and a task
of the connection's own sends that when the peer reads again. A peer that stops reading loses its connection once
MAX_BACKLOG_BYTES are waiting for it; FIX gives it everything again when it comes back.

Plain non-blocking sockets rather than trio's streams: a batch costs one readiness wait, and the common send none.
"""

import contextlib
import errno
import os
import socket
from typing import Final

import trio

#: A wake-up reads this much at most; 16 KiB are some 75 orders, a few milliseconds. After a pause all brokers have more
#: to say at once, and between two wake-ups what the disk and the shards have done is noticed.
RECEIVE_BYTES: Final = 16_384

#: Some 30,000 ExecutionReports, or several seconds of a session's busiest traffic.
MAX_BACKLOG_BYTES: Final = 8 << 20

#: What the writer's task gives the kernel at a time.
_SEND_BYTES: Final = 1 << 18


#: No delay for small messages; and a peer whose machine died without a word is given up after a minute, even where a
#: session wants no heartbeats (HeartBtInt(108)=0).
_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)


class PeerGone(Exception):
    """The peer closed or reset the connection, or has not read for too long; the text says which."""


class Connection:
    """One connected socket. `run_writer` must run beside whoever uses it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        for level, option, value in _OPTIONS:
            sock.setsockopt(level, option, value)
        self._socket = sock
        self._backlog = bytearray()
        self._wake = trio.Event()
        #: Nothing is sent any more but what waits.
        self.finishing = False
        #: Happens when `finishing` begins.
        self.finished = trio.Event()
        self.closed = False

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait for the peer to read."""
        return len(self._backlog)

    async def receive(self) -> bytes:
        """What the peer sent, at least one byte. Raises PeerGone."""
        while True:
            if self.closed:
                raise PeerGone("closed by this side")
            try:
                await trio.lowlevel.wait_readable(self._socket)
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except trio.ClosedResourceError:
                raise PeerGone("closed by this side") from None
            except OSError as error:
                raise PeerGone(f"the connection failed: {error.strerror}") from None
            if not data:
                raise PeerGone("the peer closed the connection")
            return data

    def send(self, data: bytes) -> None:
        """Send now what the kernel takes, the rest when the peer reads. A slow or gone peer is closed."""
        if self.closed or self.finishing:
            return
        sent = 0
        if not self._backlog:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
            if sent == len(data):
                return
        self._backlog += data[sent:]
        if len(self._backlog) > MAX_BACKLOG_BYTES:
            self.close()
        else:
            self._wake.set()

    def finish(self) -> None:
        """Send what waits, then no more: the peer reads to the end. `close` is still to be called.

        A close while the peer's bytes are unread would make the kernel throw away what the peer has not read yet.
        """
        self.finishing = True
        self.finished.set()
        if not self._backlog and not self.closed:
            self._shut_down()

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close at once. May be called again."""
        if self.closed:
            return
        self.closed = True
        self._backlog.clear()
        self._wake.set()
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()

    async def run_writer(self) -> None:
        """Send what waits whenever the peer reads; returns when the connection is closed."""
        while not self.closed:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._backlog and not self.closed:
                await self._send_some()
            if self.finishing and not self.closed:
                self._shut_down()

    async def _send_some(self) -> None:
        try:
            await trio.lowlevel.wait_writable(self._socket)
            sent = self._socket.send(self._backlog[:_SEND_BYTES])
        except (BlockingIOError, trio.ClosedResourceError):
            return
        except OSError:
            self.close()
            return
        del self._backlog[:sent]


async def connect(host: str, port: int) -> Connection:
    """Connect to a numeric address or a name. Raises OSError."""
    family, kind, protocol, _, address = (await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        error = sock.connect_ex(address)
        if error == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, f"cannot connect to {host}:{port}: {os.strerror(error)}")
    except BaseException:
        sock.close()
        raise
    return Connection(sock)


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A non-blocking listening socket. Raises OSError, whose text names the address."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    return sock


#: What accept() may fail with for a moment: the peer went away, or this process is out of room.
_PASSING: Final = {errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM}
_OUT_OF_ROOM_SECONDS: Final = 0.1


async def accept(listener: socket.socket) -> tuple[Connection, str]:
    """The next connection and its peer's IP address. Out of file descriptors is waited out, not fatal."""
    while True:
        await trio.lowlevel.wait_readable(listener)
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno not in _PASSING:
                raise
            await trio.sleep(_OUT_OF_ROOM_SECONDS)
            continue
        return Connection(sock), str(address[0])
