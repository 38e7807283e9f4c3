"""Sockets for a shard's stream: multicast where there is multicast, unicast to a list where there is not.

Plain non-blocking sockets and not trio's: a datagram sent costs 5 µs instead of 30, and one wake-up reads all that has
come. The only wait in sending is for room in the send buffer. Sending a datagram may fail for reasons that pass (no
route just now, an interface that is down): that is a datagram lost, which every reader here can cope with, so it is
counted and not raised.
"""

import errno
import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Self

import trio

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Some 3,000 full datagrams: a pause of 30 ms at 100,000 a second. net.core.rmem_max may make it less."""
SEND_BUFFER_BYTES = 1024 * 1024
MAX_DATAGRAM_BYTES = 65_536
DRAIN_DATAGRAMS = 64
"""Read in one wake-up at most: other tasks get their turn after a fraction of a millisecond."""

LOST_ERRNOS = frozenset(
    {
        errno.ECONNREFUSED,  # an earlier datagram met a closed port
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOBUFS,
        errno.EPERM,  # a packet filter
    }
)
NO_SUCH_ADDRESS = frozenset({errno.EINVAL, errno.EACCES})
"""An answer that goes to port 0 or to everybody."""
NOTHING_MORE = (BlockingIOError, ConnectionRefusedError)
"""What ends a drain: an empty buffer, or the echo of a request that met a closed port."""

Address = tuple[str, int]


class Destination(NamedTuple):
    """Where a stream is sent: one multicast group on an interface, or unicast addresses."""

    addresses: tuple[Address, ...]
    interface: str = "127.0.0.1"
    """The address of the interface that multicast leaves by."""
    ttl: int = 1


def is_multicast(host: str) -> bool:
    return ipaddress.ip_address(host).is_multicast


class Sender:
    """Sends datagrams to a destination. Use as a context manager."""

    def __init__(self, destination: Destination) -> None:
        assert destination.addresses, "a stream goes somewhere"
        self.lost = 0
        """Datagrams that the kernel would not send, each counted per address."""
        self._addresses = list(destination.addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if any(is_multicast(host) for host, _ in self._addresses):
            interface = socket.inet_aton(destination.interface)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, destination.ttl)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send_nowait(self, datagrams: Sequence[bytes]) -> int:
        """Send as many as there is room for; gives how many. One that is half sent to a list counts as sent."""
        sendto = self._socket.sendto
        addresses = self._addresses
        for index, data in enumerate(datagrams):
            for turn, address in enumerate(addresses):
                try:
                    sendto(data, address)
                except BlockingIOError:
                    if turn == 0:
                        return index
                    self.lost += len(addresses) - turn
                    break
                except OSError as error:
                    if error.errno not in LOST_ERRNOS:
                        raise
                    self.lost += 1
        if len(addresses) > 1:
            addresses.append(addresses.pop(0))  # nobody is always first
        return len(datagrams)

    async def wait_room(self) -> None:
        """Until the send buffer has room."""
        await trio.lowlevel.wait_writable(self._socket)


def open_receiver(address: Address, interface: str = "127.0.0.1") -> socket.socket:
    """A socket that hears what is sent to `address`: a group, joined on `interface`, or an address of this host.

    Raises OSError, whose text names the address.
    """
    host, port = address
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.setblocking(False)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if is_multicast(host):
            # Bound to the group and not to any address, so that other groups on the same port are not heard.
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            receiver.bind(address)
            membership = socket.inet_aton(host) + socket.inet_aton(interface)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        else:
            receiver.bind(address)
    except OSError as error:
        receiver.close()
        where = f"{host}:{port} on {interface}" if is_multicast(host) else f"{host}:{port}"
        raise OSError(error.errno, f"cannot hear UDP {where}: {error.strerror}") from None
    return receiver


def drain(receiver: socket.socket) -> list[bytes]:
    """What has come, at most DRAIN_DATAGRAMS of it."""
    datagrams: list[bytes] = []
    receive = receiver.recv
    try:
        while len(datagrams) < DRAIN_DATAGRAMS:
            datagrams.append(receive(MAX_DATAGRAM_BYTES))
    except NOTHING_MORE:
        pass
    return datagrams


def drain_with_addresses(receiver: socket.socket) -> list[tuple[bytes, Address]]:
    """What has come and from where, at most DRAIN_DATAGRAMS of it."""
    datagrams: list[tuple[bytes, Address]] = []
    with suppress(*NOTHING_MORE):
        datagrams.extend(receiver.recvfrom(MAX_DATAGRAM_BYTES) for _ in range(DRAIN_DATAGRAMS))
    return datagrams


def send_to(sender: socket.socket, datagrams: Sequence[bytes], address: Address) -> int:
    """Send what there is room for and no more: for answers and requests, which are asked for again. Gives how many.

    A request can claim to come from where nothing can be sent to, port 0 for one: its answer is lost like any other.
    """
    for index, data in enumerate(datagrams):
        try:
            sender.sendto(data, address)
        except BlockingIOError:
            return index
        except OSError as error:
            if error.errno not in LOST_ERRNOS | NO_SUCH_ADDRESS:
                raise
    return len(datagrams)
