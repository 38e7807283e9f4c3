"""What a gateway writes down: the entries of its journal.

One journal per gateway, one record per batch. A record is atomic (one checksum covers it), so whatever a batch did
is there whole after a crash or not at all: the numbers of the sessions it touched, the commands it forwarded, the
messages it said, and how far it has read every shard's stream. Nothing leaves the process before its record is
written; hence no report is lost, none is sent twice under a new number, and no order is forwarded twice.

A record's payload is a row of entries, big-endian:

| entry | type u8 | fields |
|---|---|---|
| `Incarnation` | 1 | incarnation u32: the gateway process began |
| `SessionNumbers` | 2 | session_id u32, run u32, next_in_seq u32, next_out_seq u32 |
| `Forwarded` | 3 | shard_id u16, source_seq u64, session_id u32, session_seq u64, kind u8, length u16, body |
| `Outbound` | 4 | session_id u32, run u32, msg_seq_num u32, length u32, the raw FIX message |
| `StreamPosition` | 7 | shard_id u16, next_seq u64, digest, epoch u32, seen_source_seq, handled_seq, match_number u64 |
| `StreamFork` | 8 | shard_id u16, fork_seq u64, match_number u64: what was sent of later events and trades is void |
| `PhaseHeard` | 9 | shard_id u16, instrument_id u32, phase u8: 255 is one of several |

Types 5 and 6 are the last two as they were before they had a match number, which is 0 then.
"""

from collections.abc import Iterator
from struct import Struct
from struct import error as LayoutError  # noqa: N812
from typing import Final, NamedTuple

INCARNATION: Final = 1
SESSION_NUMBERS: Final = 2
FORWARDED: Final = 3
OUTBOUND: Final = 4
OLD_STREAM_POSITION: Final = 5
OLD_STREAM_FORK: Final = 6
STREAM_POSITION: Final = 7
STREAM_FORK: Final = 8
PHASE_HEARD: Final = 9

_INCARNATION: Final = Struct(">BI")
_SESSION_NUMBERS: Final = Struct(">BIIII")
_FORWARDED: Final = Struct(">BHQIQBH")
_OUTBOUND: Final = Struct(">BIIII")
_OLD_STREAM_POSITION: Final = Struct(">BHQIIQQ")
_OLD_STREAM_FORK: Final = Struct(">BHQ")
_STREAM_POSITION: Final = Struct(">BHQIIQQQ")
_STREAM_FORK: Final = Struct(">BHQQ")
_PHASE_HEARD: Final = Struct(">BHIB")

_NOT_KNOWN: Final = 255


class EntryError(ValueError):
    """A journal record of a gateway that is not a row of entries: written by another program, or by a later one."""


class Incarnation(NamedTuple):
    incarnation: int

    def encode(self) -> bytes:
        return _INCARNATION.pack(INCARNATION, *self)


class SessionNumbers(NamedTuple):
    session_id: int
    run: int
    next_in_seq: int
    next_out_seq: int

    def encode(self) -> bytes:
        return encode_session_numbers(*self)


class Forwarded(NamedTuple):
    """A command that was given to a shard's link, and the FIX message it came from (`session_seq`)."""

    shard_id: int
    source_seq: int
    session_id: int
    session_seq: int
    kind: int
    body: bytes

    def encode(self) -> bytes:
        return encode_forwarded(*self)


class Outbound(NamedTuple):
    """An application message as it was first sent; what a ResendRequest(2) gets again."""

    session_id: int
    run: int
    msg_seq_num: int
    message: bytes

    def encode(self) -> bytes:
        return encode_outbound(*self)


class StreamPosition(NamedTuple):
    """How far a shard's stream was read: it is read again from `next_seq`, where its chained digest is known, and what
    is below `handled_seq`, which may be more, is passed over then."""

    shard_id: int
    next_seq: int
    digest: int
    #: In which what was read is known to be the stream's own history (`recovery.reader`).
    epoch: int
    seen_source_seq: int
    handled_seq: int
    #: Of the last trade below `next_seq`.
    match_number: int = 0

    def encode(self) -> bytes:
        return encode_stream_position(*self)


class StreamFork(NamedTuple):
    """The shard has lost what it had released from here on, and the sessions concerned are told (`forks`)."""

    shard_id: int
    fork_seq: int
    #: Of the last trade before it.
    match_number: int = 0

    def encode(self) -> bytes:
        return _STREAM_FORK.pack(STREAM_FORK, *self)


class PhaseHeard(NamedTuple):
    """The shard's stream said in which phase an instrument is, or (None) that it is in one of several."""

    shard_id: int
    instrument_id: int
    phase: int | None

    def encode(self) -> bytes:
        phase = self.phase if self.phase is not None else _NOT_KNOWN
        return _PHASE_HEARD.pack(PHASE_HEARD, self.shard_id, self.instrument_id, phase)


Entry = Incarnation | SessionNumbers | Forwarded | Outbound | StreamPosition | StreamFork | PhaseHeard


# The entries that every order makes, without the object.


def encode_session_numbers(session_id: int, run: int, next_in_seq: int, next_out_seq: int) -> bytes:
    """A `SessionNumbers` entry."""
    return _SESSION_NUMBERS.pack(SESSION_NUMBERS, session_id, run, next_in_seq, next_out_seq)


def encode_forwarded(
    shard_id: int, source_seq: int, session_id: int, session_seq: int, kind: int, body: bytes
) -> bytes:
    """A `Forwarded` entry."""
    return _FORWARDED.pack(FORWARDED, shard_id, source_seq, session_id, session_seq, kind, len(body)) + body


def encode_outbound(session_id: int, run: int, msg_seq_num: int, message: bytes) -> bytes:
    """An `Outbound` entry."""
    return _OUTBOUND.pack(OUTBOUND, session_id, run, msg_seq_num, len(message)) + message


def encode_stream_position(
    shard_id: int, next_seq: int, digest: int, epoch: int, seen_source_seq: int, handled_seq: int, match_number: int
) -> bytes:
    """A `StreamPosition` entry."""
    return _STREAM_POSITION.pack(
        STREAM_POSITION, shard_id, next_seq, digest, epoch, seen_source_seq, handled_seq, match_number
    )


def decode(payload: bytes) -> Iterator[Entry]:
    """The entries of a record. Raises EntryError."""
    offset = 0
    try:
        while offset < len(payload):
            entry, offset = _decode_one(payload, offset)
            yield entry
    except LayoutError as error:
        raise EntryError(f"entry at offset {offset} is cut short: {error}") from None


def _decode_one(payload: bytes, offset: int) -> tuple[Entry, int]:
    kind = payload[offset]
    if kind == SESSION_NUMBERS:
        return SessionNumbers(*_SESSION_NUMBERS.unpack_from(payload, offset)[1:]), offset + _SESSION_NUMBERS.size
    if kind == STREAM_POSITION:
        return StreamPosition(*_STREAM_POSITION.unpack_from(payload, offset)[1:]), offset + _STREAM_POSITION.size
    if kind == INCARNATION:
        return Incarnation(*_INCARNATION.unpack_from(payload, offset)[1:]), offset + _INCARNATION.size
    if kind == FORWARDED:
        _, shard_id, source_seq, session_id, session_seq, command, length = _FORWARDED.unpack_from(payload, offset)
        body, end = _body(payload, offset + _FORWARDED.size, length)
        return Forwarded(shard_id, source_seq, session_id, session_seq, command, body), end
    if kind == OUTBOUND:
        _, session_id, run, msg_seq_num, length = _OUTBOUND.unpack_from(payload, offset)
        body, end = _body(payload, offset + _OUTBOUND.size, length)
        return Outbound(session_id, run, msg_seq_num, body), end
    if kind == STREAM_FORK:
        return StreamFork(*_STREAM_FORK.unpack_from(payload, offset)[1:]), offset + _STREAM_FORK.size
    if kind == PHASE_HEARD:
        _, shard_id, instrument_id, phase = _PHASE_HEARD.unpack_from(payload, offset)
        heard = PhaseHeard(shard_id, instrument_id, phase if phase != _NOT_KNOWN else None)
        return heard, offset + _PHASE_HEARD.size
    if kind == OLD_STREAM_POSITION:
        old = _OLD_STREAM_POSITION
        return StreamPosition(*old.unpack_from(payload, offset)[1:]), offset + old.size
    if kind == OLD_STREAM_FORK:
        return StreamFork(*_OLD_STREAM_FORK.unpack_from(payload, offset)[1:]), offset + _OLD_STREAM_FORK.size
    raise EntryError(f"entry at offset {offset} has the unknown type {kind}")


def _body(payload: bytes, start: int, length: int) -> tuple[bytes, int]:
    end = start + length
    if end > len(payload):
        raise EntryError(f"entry body at offset {start} needs {length} bytes, {len(payload) - start} are there")
    return payload[start:end], end
