"""MoldUDP64: numbered messages in datagrams, for one sender and any number of listeners.

The idea: a session is a numbered sequence of messages; a datagram holds some that follow each other and says the number
of the first. Whoever misses some sees it at the next datagram, and asks a request server for the range.

    downstream packet   session 10 · sequence_number u64 · message_count u16 · message blocks
    message block       message_length u16 · message
    request packet      session 10 · sequence_number u64 · requested_message_count u16        (exactly 20 bytes)

Rules:

* the first message of a session is number 1; numbers never restart within a session;
* `message_count` 0 is a heartbeat, 0xFFFF the end of session; both have no blocks, and their `sequence_number` is the
  next one to be sent, so that the loss of the very last messages is seen too;
* a heartbeat goes out after a second of silence; after the last message, end-of-session packets go out for a while
  instead of heartbeats, at least a minute, since none of them is acknowledged.

Source: "MoldUDP64 Protocol Specification" V 1.00. Where that text leaves it open: `session` is compared as ten opaque
bytes; the payload is at most 1,400 bytes by default, so that no path with an ordinary MTU fragments it (a fragment
lost is a datagram lost).
"""

from struct import Struct
from typing import Final, NamedTuple

SESSION_LENGTH: Final = 10
HEADER_LENGTH: Final = 20
LENGTH_LENGTH: Final = 2
#: Bytes of a datagram, header included. 1,500 of Ethernet less IP and UDP leave 1,472; tunnels take some of the rest.
MAX_PAYLOAD: Final = 1400
#: The longest message that fits one datagram alone.
MAX_MESSAGE_LENGTH: Final = MAX_PAYLOAD - HEADER_LENGTH - LENGTH_LENGTH
HEARTBEAT: Final = 0
END_OF_SESSION: Final = 0xFFFF
MAX_MESSAGE_COUNT: Final = 0xFFFE
MAX_SEQUENCE_NUMBER: Final = (1 << 64) - 1

#: Nanoseconds of silence after which a heartbeat goes out; specification section 2.3.
HEARTBEAT_INTERVAL: Final = 1_000_000_000
#: Nanoseconds for which a session's end is repeated.
END_OF_SESSION_DURATION: Final = 60_000_000_000

_HEADER: Final = Struct(">10sQH")
_LENGTH: Final = Struct(">H")
assert _HEADER.size == HEADER_LENGTH


class MoldUDP64Error(Exception):
    """A datagram that is no MoldUDP64 packet."""


class DownstreamPacket(NamedTuple):
    """`message_count` is the header's; `messages` is empty in a heartbeat and in an end of session."""

    session: bytes
    sequence_number: int
    message_count: int
    messages: list[bytes]


class RequestPacket(NamedTuple):
    """A listener asks for `message_count` messages from `sequence_number` on."""

    session: bytes
    sequence_number: int
    message_count: int


def session_name(text: str) -> bytes:
    """A session's name as it stands in the header: ASCII, padded with spaces on the right."""
    if not 0 < len(text) <= SESSION_LENGTH or not text.isascii() or not text.isprintable():
        raise MoldUDP64Error(f"session {text!r} was not 1 to {SESSION_LENGTH} printable ASCII characters")
    return text.encode("ascii").ljust(SESSION_LENGTH)


def encode_downstream(session: bytes, sequence_number: int, messages: list[bytes]) -> bytes:
    """A packet of messages; without any it is a heartbeat."""
    parts = [_HEADER.pack(session, sequence_number, len(messages))]
    for message in messages:
        parts.append(_LENGTH.pack(len(message)))
        parts.append(message)
    return b"".join(parts)


def encode_header(session: bytes, sequence_number: int, message_count: int) -> bytes:
    """The twenty bytes in front of message blocks; alone, a heartbeat, an end of session or a request."""
    return _HEADER.pack(session, sequence_number, message_count)


def decode_header(data: bytes) -> tuple[bytes, int, int]:
    """(session, sequence_number, message_count) of a downstream packet, its blocks not looked at.

    Raises `MoldUDP64Error` when it is too short or its numbers cannot be.
    """
    if len(data) < HEADER_LENGTH:
        raise MoldUDP64Error(f"downstream packet was {len(data)} bytes long, its header alone is {HEADER_LENGTH}")
    session, sequence_number, count = _HEADER.unpack_from(data)
    last = sequence_number + (count if count != END_OF_SESSION else 0) - 1
    if sequence_number == 0 or last > MAX_SEQUENCE_NUMBER:
        raise MoldUDP64Error(f"downstream packet held {count} messages from {sequence_number}")
    return session, sequence_number, count


def decode_blocks(data: bytes, count: int) -> list[bytes]:
    """The `count` messages of a downstream packet. Raises `MoldUDP64Error` unless they fill it to the byte."""
    messages: list[bytes] = []
    end = len(data)
    offset = HEADER_LENGTH
    for _ in range(0 if count == END_OF_SESSION else count):
        start = offset + LENGTH_LENGTH
        if start > end:
            raise MoldUDP64Error(f"downstream packet of {count} messages ended after {len(messages)}")
        offset = start + (data[offset] << 8 | data[offset + 1])
        if offset > end:
            raise MoldUDP64Error(f"downstream packet ended within message {len(messages) + 1} of {count}")
        messages.append(data[start:offset])
    if offset != end:
        raise MoldUDP64Error(f"downstream packet had {end - offset} bytes after its {count} messages")
    return messages


def decode_downstream(data: bytes) -> DownstreamPacket:
    """Raises `MoldUDP64Error`."""
    session, sequence_number, count = decode_header(data)
    return DownstreamPacket(session, sequence_number, count, decode_blocks(data, count))


def encode_request(session: bytes, sequence_number: int, message_count: int) -> bytes:
    """A request packet; `message_count` is 1 to `MAX_MESSAGE_COUNT`."""
    return _HEADER.pack(session, sequence_number, message_count)


def decode_request(data: bytes) -> RequestPacket:
    """Raises `MoldUDP64Error` unless it is exactly twenty bytes."""
    if len(data) != HEADER_LENGTH:
        raise MoldUDP64Error(f"request packet was {len(data)} bytes long, must be {HEADER_LENGTH}")
    return RequestPacket(*_HEADER.unpack(data))


class DownstreamSender:
    """Packs one numbered stream into datagrams; the owner sends what `datagrams_to_send` gives, in that order.

    Messages are collected until the owner says `flush` at the end of its batch, or until a datagram is full. Two
    senders that are given the same messages in the same batches make the same datagrams; in other batches, other
    datagrams with the same messages under the same numbers, which is all that listeners rely on.
    """

    def __init__(
        self,
        session: bytes,
        next_sequence_number: int = 1,
        *,
        now: int,
        max_payload: int = MAX_PAYLOAD,
        heartbeat_interval: int = HEARTBEAT_INTERVAL,
        end_of_session_duration: int = END_OF_SESSION_DURATION,
    ) -> None:
        """`session` is ten bytes; times are nanoseconds. The first heartbeat is due at once: it says we are here."""
        assert max_payload > HEADER_LENGTH + LENGTH_LENGTH
        self.max_payload = max_payload
        self.heartbeat_interval = heartbeat_interval
        self.end_of_session_duration = end_of_session_duration
        self._datagrams: list[bytes] = []
        self._ended: list[_EndedSession] = []
        self.ended = False
        self._begin(session, next_sequence_number, now)

    def _begin(self, session: bytes, next_sequence_number: int, now: int) -> None:
        assert len(session) == SESSION_LENGTH, f"session {session!r} is not {SESSION_LENGTH} bytes"
        assert next_sequence_number >= 1
        self.session = session
        self.next_sequence_number = next_sequence_number
        self._blocks: list[bytes] = []
        self._size = HEADER_LENGTH
        self._count = 0
        self._heartbeat_at = now

    def send_message(self, message: bytes) -> int:
        """Number one message and put it into the datagram being filled. Returns its sequence number."""
        assert not self.ended, "a session that has ended takes no messages"
        size = LENGTH_LENGTH + len(message)
        if self._size + size > self.max_payload:
            assert HEADER_LENGTH + size <= self.max_payload, f"a message of {len(message)} bytes fits no datagram"
            self._pack()
        self._blocks.append(_LENGTH.pack(len(message)))
        self._blocks.append(message)
        self._size += size
        self._count += 1
        sequence_number = self.next_sequence_number
        self.next_sequence_number = sequence_number + 1
        return sequence_number

    def skip_messages(self, count: int) -> None:
        """Number `count` messages without sending them: a restarted sender that finds its place again."""
        assert count >= 0
        assert self._count == 0, "flush before you skip"
        self.next_sequence_number += count

    def flush(self, now: int) -> None:
        """The batch is at its end: what has been collected goes out."""
        if self._count:
            self._pack()
        if self._datagrams:
            self._heartbeat_at = now + self.heartbeat_interval

    def _pack(self) -> None:
        header = _HEADER.pack(self.session, self.next_sequence_number - self._count, self._count)
        self._datagrams.append(header + b"".join(self._blocks))
        self._blocks.clear()
        self._size = HEADER_LENGTH
        self._count = 0

    def end_session(self, now: int) -> None:
        """No message follows. Says so at once, then every heartbeat interval for `end_of_session_duration`."""
        if self.ended:
            return
        self.flush(now)
        self.ended = True
        packet = _HEADER.pack(self.session, self.next_sequence_number, END_OF_SESSION)
        self._ended.append(_EndedSession(packet, now + self.end_of_session_duration, now))
        self.handle_deadline(now)

    def start_session(self, session: bytes, now: int, next_sequence_number: int = 1) -> None:
        """Begin a new session under another name; the old one ends, and goes on saying so beside it."""
        assert session != self.session, f"session {session!r} would number its messages twice"
        self.end_session(now)
        self.ended = False
        self._begin(session, next_sequence_number, now)

    def datagrams_to_send(self) -> list[bytes]:
        """What is to go out, in order; drained."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def next_deadline(self) -> int | None:
        """When `handle_deadline` is due, or None after the last end-of-session packet of an ended sender."""
        deadlines = [ended.due for ended in self._ended]
        if not self.ended:
            deadlines.append(self._heartbeat_at)
        return min(deadlines, default=None)

    def handle_deadline(self, now: int) -> None:
        """Send the heartbeat and the end-of-session packets that are due."""
        for ended in self._ended:
            if ended.due <= now:
                self._datagrams.append(ended.packet)
                ended.due = now + self.heartbeat_interval
        self._ended = [ended for ended in self._ended if ended.due <= ended.until]
        if not self.ended and self._heartbeat_at <= now:
            # What waits to be flushed has numbers already; a heartbeat may not promise it before it is sent.
            self._datagrams.append(_HEADER.pack(self.session, self.next_sequence_number - self._count, HEARTBEAT))
            self._heartbeat_at = now + self.heartbeat_interval


class _EndedSession:
    """A session whose end is being repeated: its packet, until when, and when next."""

    def __init__(self, packet: bytes, until: int, due: int) -> None:
        self.packet = packet
        self.until = until
        self.due = due
