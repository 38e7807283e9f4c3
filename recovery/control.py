"""What replicas say to each other: the datagrams of acknowledging, catching up, and changing the primary.

A header of 20 bytes, then the fields of its type. All integers are big-endian; the checksum is CRC-32C over the
datagram with this field zero.

    header                                       types and their fields
    ──────────────────────────────────────       ──────────────────────────────────────────────────────────────
    magic      u16  0x4643 'FC'                  1 CANVASS   I have not heard this epoch's primary; have you?
    version    u8   2                            2 SILENT    I have not either, or it is deaf
    type       u8                                3 REJECT    I have promised this epoch, and serve none below
    shard_id   u16                               4 PREPARE   this epoch is mine; promise it
    sender     u16  replica_id                   5 PROMISE   complete_epoch u32 · last_tx u64 · recovering u8
    epoch      u32                               6 PULL      tx u64 · tx_epoch u32
    checksum   u32                               7 BATCH     tx u64 · tx_epoch u32 · start_tx u64 · last_tx u64 ·
    settings   u8, u8                                        commit_seq u64 · base_tx u64 · serving u8 ·
    reserved   u16  0                                        entries: length u16 · entry
                                                 8 ACK       tx u64
                                                 9 WAIT      I have won this epoch, and am applying its log
                                                10 DIGEST    tx u64 · digest u64, of my state after tx
                                                11 LISTENING I hear you, and may not acknowledge yet

- settings: the sender's mode and durability (`recovery.settings`); 0: not told.
- PROMISE: complete_epoch is the last epoch whose log the sender had completely when that epoch began, last_tx the end
  of its durable log; recovering: it may have forgotten a part of what it once acknowledged.
- PULL: the sender's log ends with `tx`, of `tx_epoch`; it wants what follows. BATCH answers with what follows `tx` in
  the log of its own sender, being at most the tx that was named, and the last that may agree with it.
- BATCH: serving = 1 says it comes from the epoch's primary, and the epoch began after start_tx. The sender's log begins
  above base_tx: whoever has nothing that agrees with it there needs a snapshot of at least that.
- DIGEST: its epoch is the one of the entry `tx`, so it is of no other log that has forked before.

These datagrams are neither signed nor encrypted: replicas belong on a network of the venue's own.
"""

from struct import Struct
from typing import NamedTuple

from recovery.checksum import crc32c
from recovery.command_log import ENTRY_PLACE, MAX_ENTRY_BYTES
from recovery.record import COMMAND_HEADER_BYTES, StreamError
from recovery.settings import UNTOLD, Settings
from recovery.versions import VERSION, OtherVersion

CONTROL_MAGIC = 0x4643

_HEADER = Struct(">HBBHHIIBBH")
_SETTINGS = Struct(">16xBB")
_PROMISE = Struct(">IQB")
_PULL = Struct(">QI")
_BATCH = Struct(">QIQQQQB")
_ACK = Struct(">Q")
_ACK_MESSAGE = Struct(">6xHII4xQ")
"""Of a whole ACK: sender, epoch, checksum, tx."""
_DIGEST = Struct(">QQ")

_CHECKSUM = slice(12, 16)
_ZERO = bytes(4)
_ENTRY_HEAD = Struct(">H9xQ")
"""Of an entry in a BATCH: its length, and its tx."""
_MIN_ENTRY_BYTES = ENTRY_PLACE.size + COMMAND_HEADER_BYTES

MAX_CONTROL_BYTES = _HEADER.size + _BATCH.size + 2 + MAX_ENTRY_BYTES
"""A BATCH of the largest entry: 1,432 bytes, which fit an Ethernet frame; replicas have no tunnels between them."""
BATCH_ENTRY_BYTES = 2 + MAX_ENTRY_BYTES


class GarbledControl(StreamError):
    """A datagram that is no control message of this protocol, or whose checksum is wrong."""


class Canvass(NamedTuple):
    sender: int
    epoch: int


class Silent(NamedTuple):
    sender: int
    epoch: int


class Reject(NamedTuple):
    sender: int
    epoch: int


class Prepare(NamedTuple):
    sender: int
    epoch: int


class Promise(NamedTuple):
    sender: int
    epoch: int
    complete_epoch: int
    last_tx: int
    recovering: bool


class Pull(NamedTuple):
    sender: int
    epoch: int
    tx: int
    tx_epoch: int


class Batch(NamedTuple):
    sender: int
    epoch: int
    tx: int
    tx_epoch: int
    start_tx: int
    last_tx: int
    commit_seq: int
    base_tx: int
    serving: bool
    entries: list[bytes]


class Ack(NamedTuple):
    sender: int
    epoch: int
    tx: int


class Wait(NamedTuple):
    sender: int
    epoch: int


class Listening(NamedTuple):
    sender: int
    epoch: int


class StateDigest(NamedTuple):
    sender: int
    epoch: int
    """Of the entry `tx`: where two logs have the same, they are one."""
    tx: int
    digest: int


Control = Canvass | Silent | Reject | Prepare | Promise | Pull | Batch | Ack | Wait | StateDigest | Listening

_TYPES: tuple[type[Control], ...] = (
    Canvass,
    Silent,
    Reject,
    Prepare,
    Promise,
    Pull,
    Batch,
    Ack,
    Wait,
    StateDigest,
    Listening,
)
_TYPE_OF: dict[type[Control], int] = {kind: number for number, kind in enumerate(_TYPES, 1)}
_LAYOUTS: dict[type[Control], Struct] = {Promise: _PROMISE, Pull: _PULL, Ack: _ACK, StateDigest: _DIGEST}
_MAGIC = CONTROL_MAGIC.to_bytes(2, "big")


def is_control(data: bytes) -> bool:
    return data[:2] == _MAGIC


def make_control(shard_id: int, message: Control, settings: Settings = UNTOLD) -> bytes:
    payload = b""
    if isinstance(message, Ack):
        payload = _ACK.pack(message.tx)
    elif isinstance(message, Promise):
        payload = _PROMISE.pack(*message[2:])
    elif isinstance(message, Pull):
        payload = _PULL.pack(*message[2:])
    elif isinstance(message, StateDigest):
        payload = _DIGEST.pack(message.tx, message.digest)
    elif isinstance(message, Batch):
        entries = [part for entry in message.entries for part in (len(entry).to_bytes(2, "big"), entry)]
        payload = _BATCH.pack(*message[2:9]) + b"".join(entries)
    fields = (CONTROL_MAGIC, VERSION, _TYPE_OF[type(message)], shard_id, message.sender, message.epoch)
    checksum = crc32c(_HEADER.pack(*fields, 0, *settings, 0) + payload)
    data = _HEADER.pack(*fields, checksum, *settings, 0) + payload
    assert len(data) <= MAX_CONTROL_BYTES
    return data


class AckReader:
    """Reads the acknowledgements of those replicas that are configured alike: most of what a primary hears."""

    def __init__(self, shard_id: int, settings: Settings) -> None:
        data = make_control(shard_id, Ack(0, 0, 0), settings)
        self._size = len(data)
        self._begins = data[:6]
        self._settings = data[16:20]

    def is_like(self, data: bytes) -> bool:
        """Whether it would be one, if its checksum is right."""
        return len(data) == self._size and data[16:20] == self._settings and data[:6] == self._begins

    def read(self, data: bytes) -> tuple[int, int, int]:
        """Sender, epoch and tx. Raises GarbledControl."""
        sender, epoch, checksum, tx = _ACK_MESSAGE.unpack(data)
        if crc32c(data[:12] + _ZERO + data[16:]) != checksum:
            raise GarbledControl("wrong checksum")
        return sender, epoch, tx

    def latest(self, datagrams: list[bytes]) -> list[bytes]:
        """Without the acknowledgements after which another one of the same replica and epoch has come."""
        kept: list[bytes] = []
        senders = set()
        for data in reversed(datagrams):
            if self.is_like(data):
                sender = data[:12]
                if sender in senders:
                    continue
                senders.add(sender)
            kept.append(data)
        kept.reverse()
        return kept


def told_settings(data: bytes) -> Settings:
    """Of the sender of a control message that was parsed."""
    return Settings._make(_SETTINGS.unpack_from(data))


def parse_control(shard_id: int, data: bytes) -> Control:
    """A checked control message of this shard. Raises GarbledControl, OtherVersion."""
    if len(data) < _HEADER.size:
        raise GarbledControl(f"{len(data)} bytes are no control message")
    magic, version, number, shard, sender, epoch, checksum, *_ = _HEADER.unpack_from(data)
    if magic != CONTROL_MAGIC:
        raise GarbledControl(f"magic {magic:#06x} is not ours")
    if crc32c(data[: _CHECKSUM.start] + bytes(4) + data[_CHECKSUM.stop :]) != checksum:
        raise GarbledControl("wrong checksum")
    if version != VERSION:
        raise OtherVersion(version, "the control messages", f"replica {sender}")
    if not 1 <= number <= len(_TYPES):
        raise GarbledControl(f"type {number} is not ours")
    if shard != shard_id:
        raise GarbledControl(f"shard {shard}, not {shard_id}")
    return _parse_fields(_TYPES[number - 1], sender, epoch, data[_HEADER.size :])


def _parse_fields(kind: type[Control], sender: int, epoch: int, payload: bytes) -> Control:
    if kind is Batch:
        return _parse_batch(sender, epoch, payload)
    layout = _LAYOUTS.get(kind)
    if len(payload) != (layout.size if layout else 0):
        raise GarbledControl(f"{kind.__name__} with {len(payload)} bytes of fields")
    if kind is Promise:
        complete_epoch, last_tx, recovering = _PROMISE.unpack(payload)
        return Promise(sender, epoch, complete_epoch, last_tx, bool(recovering))
    return kind._make((sender, epoch, *(layout.unpack(payload) if layout else ())))


def _parse_batch(sender: int, epoch: int, payload: bytes) -> Batch:
    if len(payload) < _BATCH.size:
        raise GarbledControl("a BATCH cut short")
    tx, tx_epoch, start_tx, last_tx, commit_seq, base_tx, serving = _BATCH.unpack_from(payload)
    entries: list[bytes] = []
    offset, size, next_tx = _BATCH.size, len(payload), tx + 1
    while offset < size:
        length, entry_tx = _ENTRY_HEAD.unpack_from(payload, offset) if size - offset > _MIN_ENTRY_BYTES else (0, 0)
        offset += 2 + length
        if offset > size or length < _MIN_ENTRY_BYTES or entry_tx != next_tx:
            raise GarbledControl("a BATCH with an entry cut short or out of place")
        entries.append(payload[offset - length : offset])
        next_tx += 1
    return Batch(sender, epoch, tx, tx_epoch, start_tx, last_tx, commit_seq, base_tx, bool(serving), entries)
