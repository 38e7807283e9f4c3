"""Listens to feed lines and writes down every MoldUDP64 packet, by the specification alone; asks for what was missed.

A message's number stands for its bytes: a number heard again, on whatever line and from whichever life of a publisher,
must bring the same bytes, and so it is checked as it is heard. Nothing of the exchange is imported.

Source: "MoldUDP64 Protocol Specification" V 1.00, sections 3 and 4.
"""

import contextlib
import select
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import NamedTuple, Self

HEADER = Struct(">10sQH")
END_OF_SESSION = 0xFFFF
RECEIVE_BUFFER = 4 << 20
ANSWER_SECONDS = 1.0

Address = tuple[str, int]


class Packet(NamedTuple):
    """A datagram as it came: on which line, and what it says."""

    line: Address
    data: bytes

    @property
    def header(self) -> tuple[bytes, int, int]:
        """(session, sequence number, message count)."""
        session, number, count = HEADER.unpack_from(self.data)
        return session, number, count

    def messages(self) -> list[bytes]:
        """The message blocks. Fails when they do not fill the datagram exactly."""
        _, _, count = self.header
        messages, at = [], HEADER.size
        for _ in range(0 if count == END_OF_SESSION else count):
            length = int.from_bytes(self.data[at : at + 2], "big")
            messages.append(self.data[at + 2 : at + 2 + length])
            at += 2 + length
        assert at == len(self.data), self
        return messages


def open_line(line: Address, here: str = "127.0.0.1") -> socket.socket:
    """`here`: our address on the network that carries the line."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.bind(line)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(line[0]) + socket.inet_aton(here))
    return sock


class FeedTap:
    """Use as a context manager; the lists may be read while it listens."""

    def __init__(self, lines: list[Address], here: str = "127.0.0.1") -> None:
        self.packets: list[Packet] = []
        #: session → number → message.
        self.sessions: defaultdict[bytes, dict[int, bytes]] = defaultdict(dict)
        #: The number of the session's next message, as far as was heard.
        self.ends: dict[bytes, int] = {}
        #: The same by (line, session), and the highest number that the line itself has said.
        self.positions: dict[tuple[Address, bytes], int] = {}
        self.said: dict[tuple[Address, bytes], int] = {}
        self.conflicts: list[str] = []
        self._sockets = {open_line(line, here): line for line in lines}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for sock in self._sockets:
            sock.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select(list(self._sockets), [], [], 0.1)
            for sock in ready:
                self._take(Packet(self._sockets[sock], sock.recv(65536)))

    def _take(self, packet: Packet) -> None:
        session, first, count = packet.header
        with self._changed:
            self.packets.append(packet)
            self._keep(session, first, packet.messages())
            end = first + (0 if count == END_OF_SESSION else count)
            self.ends[session] = max(self.ends.get(session, 1), end)
            at = packet.line, session
            self.positions[at] = max(self.positions.get(at, 1), end)
            if count not in (0, END_OF_SESSION):
                self.said[at] = max(self.said.get(at, 0), end - 1)
            self._changed.notify_all()

    def _keep(self, session: bytes, first: int, messages: list[bytes]) -> None:
        kept = self.sessions[session]
        for number, message in enumerate(messages, first):
            if kept.setdefault(number, message) != message:
                self.conflicts.append(f"{session!r} {number}: {kept[number].hex()} and {message.hex()}")

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        """Returns when `condition()` holds, looked at after every datagram. Raises AssertionError."""
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise AssertionError(f"the feed: waited {seconds} s for {what}; it stands at {self.ends}")

    def missing(self, session: bytes) -> list[int]:
        """Numbers that were never heard, below the end."""
        kept = self.sessions[session]
        return [number for number in range(1, self.ends.get(session, 1)) if number not in kept]

    def fetch_missing(self, servers: list[Address], seconds: float = 10.0) -> int:
        """Ask the request servers in turn until nothing is missing. Gives how many messages were fetched."""
        deadline = time.monotonic() + seconds
        fetched = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(ANSWER_SECONDS)
            for session in list(self.sessions):
                while missing := self.missing(session):
                    assert time.monotonic() < deadline, f"{session!r}: nobody has {missing[:5]}… of {self.ends}"
                    for server in servers:
                        sock.sendto(HEADER.pack(session, missing[0], min(len(missing), 1000)), server)
                    with contextlib.suppress(TimeoutError):  # one that comes to nothing is to be asked again
                        packet = Packet(("", 0), sock.recv(65536))
                        with self._changed:
                            self._keep(packet.header[0], packet.header[1], packet.messages())
                    fetched += len(missing) - len(self.missing(session))
        return fetched

    def record(self, directory: Path) -> list[Path]:
        """Every session as a BinaryFILE: two bytes of length before each message."""
        directory.mkdir(parents=True, exist_ok=True)
        files = []
        for session, kept in self.sessions.items():
            assert sorted(kept) == list(range(1, len(kept) + 1)), f"{session!r} has holes: {self.missing(session)}"
            file = directory / f"{session.decode().strip()}.itch"
            file.write_bytes(b"".join(len(kept[n]).to_bytes(2, "big") + kept[n] for n in sorted(kept)))
            files.append(file)
        return files
