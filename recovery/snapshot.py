"""A snapshot: what a shard has become at one transaction, as bytes that any replica of it can go on from.

It is taken of committed history only, so it never has to be taken back, and whoever lacks the beginning of the log may
start from it. All integers are big-endian; a file is one header and two sections.

    header                                              section
    ─────────────────────────────────────────────       ─────────────────────────────────────────────────
    magic           8 bytes  'FXSNAP01'                 length    u64  of the bytes
    version         u16      2                          checksum  u32  CRC-32C of length and bytes
    shard_id        u16                                 bytes     …
    epoch           u32      of the entry tx
    tx              u64      the last it contains       section 1  sources: count u32, each source_id u16 ·
    next_seq        u64      of the stream                         incarnation u32 · source_seq u64; sessions: count
    chain           u32      before next_seq                       u32, each session_id u32 · session_seq u64
    last_timestamp  u64                                 section 2  the state machine's own bytes
    digest          u64      CRC-32C of section 2's bytes
    checksum        u32      of the header before it

Every byte is under a checksum, so a flipped bit is found. A state machine makes the same bytes of the same state, so
their digest is the state's: replicas compare it (`state_digests`), and what is restored is made into bytes once more
and must have it again, so a state machine that does not read all that it has written is found, too.
"""

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from recovery.checksum import crc32c, crc32c_extend
from recovery.command_log import Point
from recovery.execution import Execution, StateMachine
from recovery.record import Position
from recovery.sources import Sources

PIECE_BYTES = 1 << 20
"""Checked in one go, so that a thread that checks hundreds of megabytes keeps no other from running."""
MAGIC = b"FXSNAP01"
VERSION = 2

_HEADER = Struct(">8sHHIQQIQQ")
_SECTION = Struct(">QI")
_LENGTH = Struct(">Q")
_U32 = Struct(">I")
_SOURCE = Struct(">HIQ")
_SESSION = Struct(">IQ")
_HEADER_BYTES = _HEADER.size + _U32.size


class SnapshotDamaged(Exception):
    """These bytes are no snapshot, or no longer the one that was taken. Use an older one, or one of another replica."""


class Snapshot(NamedTuple):
    """A shard after the transaction `tx`."""

    shard_id: int
    tx: int
    epoch: int
    """Of the entry `tx` of the log."""
    position: Position
    last_timestamp: int
    sources: tuple[tuple[int, int, int], ...]
    """(source_id, incarnation, source_seq)."""
    sessions: tuple[tuple[int, int], ...]
    """(session_id, session_seq)."""
    digest: int
    """Of the state."""
    state: bytes


def take(execution: Execution, tx_epoch: int) -> Snapshot:
    """Of an execution that has applied nothing above its commit; `tx_epoch` is the epoch of its last entry."""
    assert execution.last_tx == execution.commit_tx, "a snapshot holds committed history and nothing else"
    sources, sessions = execution.sources.tables()
    place = (execution.shard_id, execution.last_tx, tx_epoch, execution.sequencer.position, execution.last_timestamp)
    state = execution.state_machine.snapshot()
    return Snapshot(*place, sources, sessions, crc32c(state), state)


def restore_execution(snapshot: Snapshot, make_state_machine: Callable[[], StateMachine]) -> Execution:
    """What the snapshot was taken of. Raises SnapshotDamaged when that is not what comes out."""
    machine = make_state_machine()
    try:
        machine.restore(snapshot.state)
    except ValueError as error:
        raise SnapshotDamaged(f"state of tx {snapshot.tx}: {error}") from error
    if (digest := crc32c(machine.snapshot())) != snapshot.digest:
        raise SnapshotDamaged(
            f"state of tx {snapshot.tx} has the digest {digest:#x} where {snapshot.digest:#x} was taken: "
            "this program does not read all that was written"
        )
    sources = Sources.restored(snapshot.sources, snapshot.sessions)
    place = (snapshot.tx + 1, snapshot.position, sources, snapshot.last_timestamp)
    return Execution(snapshot.shard_id, machine, *place)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The bytes of its file."""
    place = (snapshot.shard_id, snapshot.epoch, snapshot.tx, *snapshot.position)
    header = _HEADER.pack(MAGIC, VERSION, *place, snapshot.last_timestamp, snapshot.digest)
    tables = [_U32.pack(len(snapshot.sources)), *(_SOURCE.pack(*each) for each in snapshot.sources)]
    tables += [_U32.pack(len(snapshot.sessions)), *(_SESSION.pack(*each) for each in snapshot.sessions)]
    parts = [header, _U32.pack(crc32c(header))]
    for section in (b"".join(tables), snapshot.state):
        parts += [_section_head(section), section]
    return b"".join(parts)


def _section_head(section: bytes) -> bytes:
    return _SECTION.pack(len(section), crc32c_extend(crc32c(_LENGTH.pack(len(section))), section))


def decode_snapshot(data: bytes) -> Snapshot:
    """Raises SnapshotDamaged, which says what is wrong, and at which byte."""
    shard_id, epoch, tx, next_seq, chain, last_timestamp, digest = _read_header(data)
    tables, state = _check_sections(data)
    place = (shard_id, tx, epoch, Position(next_seq, chain), last_timestamp)
    return Snapshot(*place, *_read_tables(data[tables]), digest, data[state])


def check_snapshot(data: bytes, shard_id: int) -> Point:
    """What it is a snapshot of, once it is known to be whole: without a copy of the state. Raises SnapshotDamaged."""
    found, epoch, tx, *_ = _read_header(data)
    if found != shard_id:
        raise SnapshotDamaged(f"it is of shard {found}, not {shard_id}")
    _check_sections(data)
    return Point(tx, epoch)


def _read_header(data: bytes) -> tuple[int, ...]:
    """From shard_id on."""
    if len(data) < _HEADER_BYTES:
        raise SnapshotDamaged(f"cut short at byte {len(data)}: the header alone has {_HEADER_BYTES}")
    magic, version, *fields = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise SnapshotDamaged("at byte 0: this is no snapshot")
    if crc32c(data[: _HEADER.size]) != _U32.unpack_from(data, _HEADER.size)[0]:
        raise SnapshotDamaged("at byte 0: the header's checksum is wrong")
    if version != VERSION:
        raise SnapshotDamaged(f"at byte 8: version {version}; this program reads version {VERSION}")
    return tuple(fields)


def _check_sections(data: bytes) -> tuple[slice, slice]:
    """Where the tables are, and the state."""
    tables = _check_section(data, _HEADER_BYTES, "tables of sources")
    state = _check_section(data, tables.stop, "state")
    if state.stop != len(data):
        raise SnapshotDamaged(f"at byte {state.stop}: {len(data) - state.stop} bytes after the end")
    return tables, state


def _check_section(data: bytes, offset: int, name: str) -> slice:
    start = offset + _SECTION.size
    if start > len(data):
        raise SnapshotDamaged(f"cut short at byte {len(data)}, before the {name}")
    length, checksum = _SECTION.unpack_from(data, offset)
    end = start + length
    if end > len(data):
        raise SnapshotDamaged(f"at byte {offset}: the {name} should have {length} bytes, {len(data) - start} are left")
    found = crc32c(_LENGTH.pack(length))
    for each in range(start, end, PIECE_BYTES):
        found = crc32c_extend(found, data[each : min(each + PIECE_BYTES, end)])
    if found != checksum:
        raise SnapshotDamaged(f"at byte {offset}: wrong checksum of the {name}, {length} bytes")
    return slice(start, end)


def _read_tables(data: bytes) -> tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int], ...]]:
    """Checked by their checksum: what is wrong in them was written so."""
    (count,) = _U32.unpack_from(data)
    middle = _U32.size + count * _SOURCE.size
    (session_count,) = _U32.unpack_from(data, middle)
    end = middle + _U32.size + session_count * _SESSION.size
    assert end == len(data), "a table of sources with another length than it says"
    sources = tuple(_SOURCE.iter_unpack(data[_U32.size : middle]))
    return sources, tuple(_SESSION.iter_unpack(data[middle + _U32.size :]))
