"""The messages of a shard's stream: how one is written, checked and read, and how a transaction is numbered.

A stream is a numbered sequence of byte strings. A *message* is one of them; a *transaction* is one command and all its
events, and nothing else. Two numbers run side by side and never restart: `tx` counts transactions, `seq` counts
messages; both begin at 1. All integers are big-endian.

    message                                      FIRST message's body
    ──────────────────────────────────────       ──────────────────────────────────────────────
    length   u16  bytes after this field         tx            u64  number of the transaction
    kind     u8                                  timestamp     u64  ns since the epoch, UTC
    flags    u8   FIRST = 1, END = 2             source_id     u16  who sent the command
    body     …                                   incarnation   u32  which life of that source
    [digest] u32  on END messages only           source_seq    u64  its number there
    crc32c   u32                                 session_id    u32  the FIX session, 0 = none
                                                 session_seq   u64  run << 32 | MsgSeqNum(34)
                                                 command       …    the command's own body

The rules:

- The checksum covers shard u16, seq u64, kind, flags, body and digest. Shard and seq are not in the message; the
  packet says them. So a message that strays to another stream or another number does not check.
- The bytes of a message depend on the log of commands alone: not on who sends it, when, in which packet or epoch.
- The chained digest starts at 0 before seq 1 and takes in the four checksum bytes of each message in turn. (Not the
  whole message: a CRC run over data followed by its own CRC arrives at a constant, and would forget the data.) The
  digest of an END message is the chain over all messages before it.
- kinds 0–15 belong to this package, 16–95 are the exchange's commands, 96–255 its events: opaque here.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, NamedTuple

import msgspec

from recovery.checksum import crc32c, crc32c_extend

FIRST: Final = 1
END: Final = 2

NOOP: Final = 0
"""A command refused as a duplicate: it takes its numbers and changes nothing."""
OPEN_SOURCE: Final = 1
"""A source begins a new incarnation: commands of lower ones are refused from here on."""
FIRST_OPAQUE_KIND: Final = 16

MAX_PACKET_BYTES: Final = 1400
"""What passes every Ethernet path, tunnels included, without fragmentation (1,500 less 100 for headers)."""
PACKET_HEADER_BYTES: Final = 32
MAX_MESSAGE_BYTES: Final = MAX_PACKET_BYTES - PACKET_HEADER_BYTES
"""The whole message, length field included: any message fits a packet alone."""

_HEAD = Struct(">HBB")
COMMAND_HEADER = Struct(">QQHIQIQ")
"""tx, timestamp, source_id, incarnation, source_seq, session_id, session_seq: what a `CommandHeader` holds."""
pack_command_header: Final = COMMAND_HEADER.pack
unpack_command_header: Final = COMMAND_HEADER.unpack_from

_from_bytes: Final = int.from_bytes
_unpack_head: Final = _HEAD.unpack_from
_pack_head: Final = _HEAD.pack
_pack_name: Final = Struct(">HQ").pack
_pack_named_head: Final = Struct(">HQBB").pack
_pack_u32: Final = Struct(">I").pack
_unpack_u32: Final = Struct(">I").unpack_from
_unpack_tx: Final = Struct(">Q").unpack_from
_unpack_chain: Final = Struct(">I4s").unpack_from
"""The digest that ends a message, and its checksum as bytes."""

DIGEST_BYTES: Final = 4
COMMAND_HEADER_BYTES: Final = COMMAND_HEADER.size
MAX_EVENT_BYTES: Final = MAX_MESSAGE_BYTES - _HEAD.size - 4 - 4
"""The body of an event: what is left beside head, digest and checksum."""
MAX_COMMAND_BYTES: Final = MAX_EVENT_BYTES - COMMAND_HEADER_BYTES
"""The command's own body, after the command header."""
MIN_MESSAGE_BYTES: Final = _HEAD.size + 4
_COVERED_HEAD_BYTES: Final = 12
"""Shard, seq, kind and flags, before the body in what a checksum covers."""
_LEAST_LENGTHS: Final = [6, 6 + COMMAND_HEADER_BYTES, 6 + DIGEST_BYTES, 6 + COMMAND_HEADER_BYTES + DIGEST_BYTES]
"""What a message's length field says at least, by FIRST and END of its flags."""
_TOO_LONG = "a message larger than a packet: the state machine broke its bound"


class StreamError(Exception):
    """What came from a stream is not what a stream may carry. The base of every such fault."""


class GarbledMessage(StreamError):
    """A message is cut short, mislabelled, or its checksum is wrong."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message as its readers see it: `body` is without the digest; in a FIRST message the header begins it."""

    seq: int
    kind: int
    flags: int
    body: bytes


class CommandHeader(NamedTuple):
    """What a FIRST message says of its command, ahead of the command's own body."""

    tx: int
    timestamp: int
    source_id: int
    incarnation: int
    source_seq: int
    session_id: int
    session_seq: int

    @classmethod
    def unpack_from(cls, body: bytes, offset: int = 0) -> "CommandHeader":
        """Raises GarbledMessage when the body is shorter than a header."""
        if len(body) - offset < COMMAND_HEADER_BYTES:
            raise GarbledMessage(f"command header cut short: {len(body) - offset} of {COMMAND_HEADER_BYTES} bytes")
        return cls._make(COMMAND_HEADER.unpack_from(body, offset))


class Position(NamedTuple):
    """Where a reader goes on: the next number it wants, and the chained digest of all before it."""

    next_seq: int = 1
    digest: int = 0


Received = tuple[Message, bytes, int]
"""A message that checked, and what following the chain takes: its checksum bytes, and its digest field (0 if none)."""

HeardCommand = tuple[int, int, int, bytes]
"""Of a FIRST message: tx, seq, kind, and its body (command header and command)."""


def make(shard_id: int, seq: int, kind: int, flags: int, body: bytes, digest: int) -> bytes:
    """The bytes of one message. `digest` is the chain before it; it is written only when `flags` has END."""
    if flags & END:
        body += _pack_u32(digest)
    checksum = crc32c(_pack_named_head(shard_id, seq, kind, flags) + body)
    data = _pack_head(len(body) + 6, kind, flags) + body + _pack_u32(checksum)
    assert len(data) <= MAX_MESSAGE_BYTES, _TOO_LONG
    return data


def remake(shard_id: int, messages: Sequence[Message], digest: int) -> tuple[list[bytes], int]:
    """The bytes of messages that a reader gave, and the chain after them; `digest` is the chain before them."""
    made = []
    for seq, kind, flags, body in map(msgspec.structs.astuple, messages):
        data = make(shard_id, seq, kind, flags, body, digest)
        digest = crc32c_extend(digest, data[-4:])
        made.append(data)
    return made, digest


def chain(digest: int, data: bytes) -> int:
    """The chained digest after the message `data`, from the one before it."""
    return crc32c_extend(digest, data[-4:])


def parse(shard_id: int, seq: int, data: bytes) -> Message:
    """The one message that `data` is, checked. Raises GarbledMessage."""
    return parse_all(shard_id, seq, 1, data)[0][0]


def parse_all(shard_id: int, first_seq: int, count: int, data: bytes, offset: int = 0) -> list[Received]:
    """The `count` messages that fill `data` from `offset` to its end, all checked. Raises GarbledMessage."""
    size = len(data)
    messages = []
    for seq in range(first_seq, first_seq + count):
        if size - offset < MIN_MESSAGE_BYTES:
            raise GarbledMessage(f"seq {seq}: cut short")
        length, kind, flags = _unpack_head(data, offset)
        body = offset + 4
        offset += 2 + length
        body_end = offset - 4
        if offset > size or body_end < body:
            raise GarbledMessage(f"seq {seq}: length {length} is wrong")
        checksum = data[body_end:offset]
        covered = _pack_name(shard_id, seq) + data[body - 2 : body_end]
        if crc32c(covered) != _from_bytes(checksum, "big"):
            raise GarbledMessage(f"seq {seq}: wrong checksum")
        if flags & END:
            if body_end - body < DIGEST_BYTES:
                raise GarbledMessage(f"seq {seq}: no room for its digest")
            digest = _from_bytes(covered[-4:], "big")
            messages.append((Message(seq, kind, flags, covered[12:-4]), checksum, digest))
        else:
            messages.append((Message(seq, kind, flags, covered[12:]), checksum, 0))
    if offset != size:
        raise GarbledMessage(f"{size - offset} bytes after the last of {count} messages")
    return messages


def parse_commands(
    shard_id: int, first_seq: int, count: int, data: bytes, offset: int
) -> tuple[list[HeardCommand], list[tuple[int, int]]]:
    """What a log of commands takes of the `count` messages that fill `data` from `offset` to its end.

    The commands, checked; and where transactions end, (number of the next message, the chain before it). Events are
    walked over: `data` is of a packet whose own checksum was right, and nothing of them is kept. Raises GarbledMessage.
    """
    commands: list[HeardCommand] = []
    chains: list[tuple[int, int]] = []
    size = len(data)
    for seq in range(first_seq, first_seq + count):
        if size - offset < MIN_MESSAGE_BYTES:
            raise GarbledMessage(f"seq {seq}: cut short")
        length, kind, flags = _unpack_head(data, offset)
        head = offset + 2
        offset = head + length
        if offset > size or length < _LEAST_LENGTHS[flags & (FIRST | END)]:
            raise GarbledMessage(f"seq {seq}: length {length} is wrong")
        if flags & FIRST:
            covered = _pack_name(shard_id, seq) + data[head : offset - 4]
            if crc32c(covered) != _unpack_u32(data, offset - 4)[0]:
                raise GarbledMessage(f"seq {seq}: wrong checksum")
            command = covered[_COVERED_HEAD_BYTES:-DIGEST_BYTES] if flags & END else covered[_COVERED_HEAD_BYTES:]
            commands.append((_unpack_tx(command)[0], seq, kind, command))
        if flags & END:
            digest, checksum = _unpack_chain(data, offset - 8)
            chains.append((seq + 1, crc32c_extend(digest, checksum)))
    if offset != size:
        raise GarbledMessage(f"{size - offset} bytes after the last of {count} messages")
    return commands, chains


def split(data: bytes, offset: int = 0) -> list[bytes]:
    """Cut a buffer of whole messages into their bytes, unchecked. Raises GarbledMessage when the last is cut short."""
    messages = []
    size = len(data)
    while offset < size:
        end = offset + 2 + int.from_bytes(data[offset : offset + 2], "big")
        if end > size or end - offset < MIN_MESSAGE_BYTES:
            raise GarbledMessage(f"a message cut short at byte {offset} of {size}")
        messages.append(data[offset:end])
        offset = end
    return messages


_Packer = Callable[..., bytes]


class _Packers(dict[int, tuple[_Packer, _Packer]]):
    """Of a message, by the bytes of its body: what packs that which the checksum covers, and what packs the whole.

    One call of a packer costs less than joining the parts. Made when a length is first met: a stream has few.
    """

    def __init__(self, digest: str) -> None:
        super().__init__()
        self._digest = digest

    def __missing__(self, size: int) -> tuple[_Packer, _Packer]:
        assert size <= MAX_EVENT_BYTES, _TOO_LONG
        packers = Struct(f">HQBB{size}s{self._digest}").pack, Struct(f">HBB{size}s{self._digest}I").pack
        self[size] = packers
        return packers


class _ChecksumPackers(dict[int, _Packer]):
    """By how many they are: what packs checksums for the chain."""

    def __missing__(self, count: int) -> _Packer:
        packer = self[count] = Struct(f">{count}I").pack
        return packer


_PACKERS: Final = _Packers("")
_END_PACKERS: Final = _Packers("I")
_CHECKSUM_PACKERS: Final = _ChecksumPackers()


class Sequencer:
    """Numbers a shard's output: turns a command and its events into the messages of one transaction."""

    def __init__(self, shard_id: int, next_tx: int = 1, position: Position = Position()) -> None:  # noqa: B008
        self.shard_id = shard_id
        self.next_tx = next_tx
        self.next_seq, self.digest = position

    @property
    def position(self) -> Position:
        return Position(self.next_seq, self.digest)

    def messages(self, kind: int, command: bytes, events: Sequence[tuple[int, bytes]]) -> list[bytes]:
        """The next transaction: the command, packed header first, then each event (kind, body)."""
        # `make` and `chain`, spelled out; but the chain takes the checksums in at once, where it is asked for.
        shard_id, seq = self.shard_id, self.next_seq
        messages, checksums = [], []
        flags, body = FIRST, command
        for next_kind, next_body in events:
            size = len(body)
            pack_covered, pack_message = _PACKERS[size]
            checksum = crc32c(pack_covered(shard_id, seq, kind, flags, body))
            messages.append(pack_message(size + 6, kind, flags, body, checksum))
            checksums.append(checksum)
            flags, kind, body = 0, next_kind, next_body
            seq += 1
        digest = crc32c_extend(self.digest, _CHECKSUM_PACKERS[len(checksums)](*checksums))
        flags |= END
        size = len(body)
        pack_covered, pack_message = _END_PACKERS[size]
        checksum = crc32c(pack_covered(shard_id, seq, kind, flags, body, digest))
        messages.append(pack_message(size + 10, kind, flags, body, digest, checksum))
        self.next_tx += 1
        self.next_seq, self.digest = seq + 1, crc32c_extend(digest, _pack_u32(checksum))
        return messages
