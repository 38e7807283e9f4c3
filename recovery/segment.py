"""The journal's file format: records in segments, and how damage is told from a write that was cut off.

A journal is a directory of segments, each named by the number of its first record. A segment begins as zeros and is
filled from the front; numbers go up by one from record to record and over segments. All integers are big-endian.

    segment                                      record
    ──────────────────────────────────────       ───────────────────────────────────────────────────────
    magic   8 bytes  'FXJOURN1'                  length   u32  bytes after the checksum, at least 17
    first   u64      number of its first         checksum u32  CRC-32C of those bytes
    records …                                    kind     u8   0 = MARK, nobody's but the journal's own
    zeros   …                                    number   u64
                                                 synced   u64  highest number known safe when this was written
                                                 payload  …

`synced` is the witness. When a record is bad, either it was the last write, cut off by a crash, and nobody was told
that it is safe: then it is cut. Or it was safe once and has been damaged since: then the journal must not be used.
Pages reach the disk in any order, so good records may follow a bad one in either case. The rule: with b the number
that is missing, if any good record further on says synced ≥ b, it was safe, and the journal is corrupted; else all
from b on is cut. (What nothing was written after cannot be told apart; so a MARK is written at a clean end.)
"""

import re
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from recovery.checksum import crc32c

MAGIC = b"FXJOURN1"
MARK = 0

SEGMENT_BYTES = 32 * 1024 * 1024
"""Small enough to fill with zeros ahead in a fraction of a second, large enough that a day is some hundreds."""
MAX_PAYLOAD_BYTES = 1024 * 1024

_SEGMENT = Struct(">8sQ")
_RECORD = Struct(">IIBQQ")
_HEAD = Struct(">II")
_REST = Struct(">BQQ")

SEGMENT_HEADER_BYTES = _SEGMENT.size
RECORD_OVERHEAD_BYTES = _RECORD.size
_UNCOVERED = RECORD_OVERHEAD_BYTES - _REST.size  # length and checksum
_MAX_LENGTH = _REST.size + MAX_PAYLOAD_BYTES


class Record(NamedTuple):
    """One record of a journal."""

    number: int
    kind: int
    payload: bytes


class Found(NamedTuple):
    """A good record in a buffer, what it says was safe, and where it ends."""

    record: Record
    synced: int
    end: int


def make_segment_header(first: int) -> bytes:
    return _SEGMENT.pack(MAGIC, first)


def first_number(segment: bytes) -> int | None:
    """What a segment's header says; None when it is no such header."""
    if len(segment) < SEGMENT_HEADER_BYTES:
        return None
    magic, first = _SEGMENT.unpack_from(segment)
    return int(first) if magic == MAGIC else None


def make_record(kind: int, number: int, synced: int, payload: bytes) -> bytes:
    assert len(payload) <= MAX_PAYLOAD_BYTES
    rest = _REST.pack(kind, number, synced) + payload
    return _HEAD.pack(len(rest), crc32c(rest)) + rest


def make_records(records: list[tuple[int, bytes]], first: int, synced: int, most: int) -> list[bytes]:
    """Records of these kinds and payloads, numbered from `first` on. None is a MARK, or has more bytes than `most`."""
    made: list[bytes] = []
    for kind, payload in records:
        record = make_record(kind, first + len(made), synced, payload)
        assert kind != MARK
        assert len(record) <= most
        made.append(record)
    return made


def find_record(data: bytes, offset: int) -> Found | None:
    """The record at `offset`; None when there is none that is whole and good."""
    if len(data) - offset < RECORD_OVERHEAD_BYTES:
        return None
    length, checksum, kind, number, synced = _RECORD.unpack_from(data, offset)
    end = offset + _UNCOVERED + length
    if not _REST.size <= length <= _MAX_LENGTH or end > len(data):
        return None
    if crc32c(data[offset + _UNCOVERED : end]) != checksum:
        return None
    return Found(Record(number, kind, data[offset + RECORD_OVERHEAD_BYTES : end]), synced, end)


def find_records(data: bytes, offset: int, number: int) -> Iterator[Found]:
    """The records from `offset` on that are good and numbered from `number` on without a hole."""
    while (found := find_record(data, offset)) is not None and found.record.number == number:
        yield found
        number += 1
        offset = found.end


def size_at(data: bytes, offset: int) -> int:
    """How many bytes the record at `offset` says it has; 0 when it says nothing sensible."""
    if len(data) - offset < 4:
        return 0
    length = int.from_bytes(data[offset : offset + 4], "big")
    return _UNCOVERED + length if _REST.size <= length <= _MAX_LENGTH else 0


def highest_synced(data: bytes, offset: int, number: int) -> int:
    """The highest `synced` of any good record with at least this number, anywhere in data[offset:]; 0 if none.

    A bad record's length cannot be trusted, so every place is tried where a length and a number could stand: the length
    is below 2**21, and the number shares its upper bytes with the one that is missing, or is just above.
    """
    upper = {(number + ahead).to_bytes(8, "big")[:5] for ahead in (0, 2**24 - 1)}
    pattern = b"(?s)(?=\\x00[\\x00-\\x1f].{7}(?:" + b"|".join(map(re.escape, sorted(upper))) + b"))"
    highest = 0
    for match in re.finditer(pattern, data[offset:].rstrip(b"\0") + bytes(RECORD_OVERHEAD_BYTES)):
        found = find_record(data, offset + match.start())
        if found is not None and found.record.number >= number:
            highest = max(highest, found.synced)
    return highest
