"""Datagrams: packets of messages, heartbeats, and requests for what was missed.

The same packet carries a message the first time and when it is asked for again. All integers are big-endian; every
checksum is CRC-32C over the datagram with the checksum field zero. Magic, version and checksum are where they are in
every version, so that another one is told from noise (`recovery.versions`).

    packet (32 bytes, then the messages)         request (24 bytes)
    ──────────────────────────────────────       ──────────────────────────────────────
    magic       u16  0x4658 'FX'                 magic      u16  0x4652 'FR'
    version     u8   2                           version    u8   2
    flags       u8   see below                   flags      u8   0
    shard_id    u16                              shard_id   u16
    count       u16  messages that follow        count      u16  messages wanted, at least 1
    epoch       u32                              epoch      u32  lowest that may answer, 0 = any
    first_seq   u64  number of the first         first_seq  u64
    commit_seq  u64  an END; 0 = nothing yet     crc32c     u32
    crc32c      u32

    heartbeat (count 0, first_seq = the next to be sent; after the header, 24 bytes)
    ──────────────────────────────────────
    tx          u64  where this epoch began: the last transaction before it
    seq         u64  the first message number of the epoch
    digest      u32  the chain at seq
    owner       u16  the replica that the epoch belongs to; 0 = not told
    unanswered  u16  ms since a majority last answered the primary; 65,535 = that or more

Flags: HEARTBEAT = 1, RETRANSMITTED = 2. A packet with count 0 and no HEARTBEAT flag only advances the commit. The epoch
lives here and nowhere else: the messages inside are the same bytes whoever sends them.

Over TCP the same request, whose count is not looked at, has all that follows for an answer: packets as above, each
after its length u16; then the server closes.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from recovery.checksum import crc32c, crc32c_extend
from recovery.record import MAX_PACKET_BYTES, PACKET_HEADER_BYTES, StreamError
from recovery.versions import VERSION, OtherVersion

PACKET_MAGIC: Final = 0x4658
REQUEST_MAGIC = 0x4652

HEARTBEAT = 1
RETRANSMITTED = 2

MAX_ANSWER_DATAGRAMS = 32
"""The most datagrams one request is answered by: a burst of 44 kB, which any receive buffer holds many of."""

_HEADER = Struct(">HBBHHIQQI")
_EPOCH_START = Struct(">QQI")
_PRIMARY = Struct(">HH")
_REQUEST = Struct(">HBBHHIQI")
_LENGTH = Struct(">H")
_pack_head: Final = Struct(">HBBHHIQQ").pack
"""A packet's header up to the checksum."""
_pack_checksum: Final = Struct(">I").pack
_unpack_header: Final = _HEADER.unpack_from
_ZERO = bytes(4)
_MILLISECOND = 1_000_000
_MAX_UNANSWERED = 0xFFFF
_CHECKSUM_AT = PACKET_HEADER_BYTES - 4

REQUEST_BYTES = _REQUEST.size
HEARTBEAT_BYTES = PACKET_HEADER_BYTES + _EPOCH_START.size + _PRIMARY.size


class GarbledPacket(StreamError):
    """A datagram that is no packet (or request) of this protocol, or whose checksum is wrong."""


class PacketHeader(NamedTuple):
    """What a packet says ahead of its messages."""

    shard_id: int
    epoch: int
    flags: int
    message_count: int
    first_seq: int
    commit_seq: int


class EpochStart(NamedTuple):
    """Where an epoch began: the last transaction before it, its first message number, and the chain there."""

    tx: int = 0
    seq: int = 1
    digest: int = 0

    def __str__(self) -> str:
        return f"seq {self.seq} after transaction {self.tx}, chain {self.digest:#010x}"


class Request(NamedTuple):
    """A reader's wish to have `count` messages from `first_seq` again."""

    shard_id: int
    epoch: int
    first_seq: int
    message_count: int


def make_packet(header: PacketHeader, payload: bytes = b"") -> bytes:
    """The datagram of `header` and the messages (or what a heartbeat says) that `payload` is."""
    return _make_packet(*header, payload)


def _make_packet(
    shard_id: int, epoch: int, flags: int, count: int, first_seq: int, commit_seq: int, payload: bytes
) -> bytes:
    head = _pack_head(PACKET_MAGIC, VERSION, flags, shard_id, count, epoch, first_seq, commit_seq)
    return head + _pack_checksum(crc32c_extend(crc32c(head + _ZERO), payload)) + payload


def parse_packet(data: bytes) -> PacketHeader:
    """The header of a checked packet; its messages begin at PACKET_HEADER_BYTES. Raises GarbledPacket, OtherVersion."""
    if len(data) < PACKET_HEADER_BYTES:
        raise GarbledPacket(f"{len(data)} bytes are no packet")
    magic, version, flags, shard_id, count, epoch, first_seq, commit_seq, checksum = _unpack_header(data)
    if magic != PACKET_MAGIC:
        raise GarbledPacket(f"magic {magic:#06x} is not ours")
    covered = crc32c_extend(crc32c(data[:_CHECKSUM_AT] + _ZERO), data[PACKET_HEADER_BYTES:])
    if covered != checksum:
        raise GarbledPacket("wrong packet checksum")
    if version != VERSION:
        raise OtherVersion(version, "the stream")
    if flags & HEARTBEAT and (count or len(data) != HEARTBEAT_BYTES):
        raise GarbledPacket("a heartbeat of the wrong size")
    return PacketHeader(shard_id, epoch, flags, count, first_seq, commit_seq)


def place(data: bytes) -> tuple[int, int] | None:
    """(shard_id, epoch) that a packet says, before its checksum is looked at; None when it is no packet."""
    if len(data) < PACKET_HEADER_BYTES:
        return None
    magic, _, _, shard_id, _, epoch, *_ = _unpack_header(data)
    return (shard_id, epoch) if magic == PACKET_MAGIC else None


def make_heartbeat(
    shard_id: int,
    epoch: int,
    next_seq: int,
    commit_seq: int,
    start: EpochStart,
    owner: int = 0,
    unanswered: int = 0,
) -> bytes:
    """The datagram that says: this epoch is alive, began there, and will send `next_seq` next.

    `owner` is the replica that leads it; `unanswered`: ns since a majority of the replicas last answered it.
    """
    header = PacketHeader(shard_id, epoch, HEARTBEAT, 0, next_seq, commit_seq)
    milliseconds = min(unanswered // _MILLISECOND, _MAX_UNANSWERED)
    return make_packet(header, _EPOCH_START.pack(*start) + _PRIMARY.pack(owner, milliseconds))


def epoch_start_of(heartbeat: bytes) -> EpochStart:
    """What a heartbeat, already checked, says of its epoch."""
    return EpochStart._make(_EPOCH_START.unpack_from(heartbeat, PACKET_HEADER_BYTES))


def primary_of(heartbeat: bytes) -> tuple[int, int]:
    """What a heartbeat, already checked, says of its primary: which replica it is (0: not told), and for how many ns no
    majority had answered it."""
    owner, milliseconds = _PRIMARY.unpack_from(heartbeat, PACKET_HEADER_BYTES + _EPOCH_START.size)
    return owner, milliseconds * _MILLISECOND


def pack_messages(
    shard_id: int,
    epoch: int,
    flags: int,
    first_seq: int,
    commit_seq: int,
    messages: Sequence[bytes],
    max_bytes: int = MAX_PACKET_BYTES,
) -> list[bytes]:
    """As few datagrams as hold `messages` in order, each of whole messages and at most `max_bytes`."""
    datagrams = []
    begin = 0
    room = most = max_bytes - PACKET_HEADER_BYTES
    for index, data in enumerate(messages):
        size = len(data)
        room -= size
        if room < 0 and index > begin:
            payload = b"".join(messages[begin:index])
            count, seq = index - begin, first_seq + begin
            datagrams.append(_make_packet(shard_id, epoch, flags, count, seq, commit_seq, payload))
            begin = index
            room = most - size
    if messages:
        payload = b"".join(messages[begin:])
        count, seq = len(messages) - begin, first_seq + begin
        datagrams.append(_make_packet(shard_id, epoch, flags, count, seq, commit_seq, payload))
    return datagrams


def make_request(request: Request) -> bytes:
    shard_id, epoch, first_seq, count = request
    fields = (REQUEST_MAGIC, VERSION, 0, shard_id, count, epoch, first_seq)
    return _REQUEST.pack(*fields, crc32c(_REQUEST.pack(*fields, 0)))


def parse_request(data: bytes) -> Request:
    """A checked request. Raises GarbledPacket, OtherVersion; a count of 0 is garbled too."""
    if len(data) != REQUEST_BYTES:
        raise GarbledPacket(f"{len(data)} bytes are no request")
    magic, version, flags, shard_id, count, epoch, first_seq, checksum = _REQUEST.unpack(data)
    if magic != REQUEST_MAGIC:
        raise GarbledPacket(f"magic {magic:#06x} is no request of ours")
    if crc32c(data[:-4] + _ZERO) != checksum:
        raise GarbledPacket("wrong request checksum")
    if version != VERSION:
        raise OtherVersion(version, "requests")
    if flags:
        raise GarbledPacket(f"flags {flags} of a request")
    if not count or not first_seq:
        raise GarbledPacket("a request for nothing")
    return Request(shard_id, epoch, first_seq, count)


def with_lengths(datagrams: Sequence[bytes]) -> bytes:
    """What TCP carries of these packets."""
    return b"".join(part for data in datagrams for part in (_LENGTH.pack(len(data)), data))


def cut_packets(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole packets at the head of what TCP gave, and the rest. Raises GarbledPacket."""
    datagrams = []
    offset, size = 0, len(data)
    while size - offset >= _LENGTH.size:
        start = offset + _LENGTH.size
        (length,) = _LENGTH.unpack_from(data, offset)
        if not PACKET_HEADER_BYTES <= length <= MAX_PACKET_BYTES:
            raise GarbledPacket(f"a packet of {length} bytes over TCP")
        if start + length > size:
            break
        offset = start + length
        datagrams.append(data[start:offset])
    return datagrams, data[offset:]
