"""Reading a journal's files: by number through a sparse index, and from another process while it is being written.

Readers need no lock. A writer fills a segment from the front and never changes what it has written, so a record that
checks is whole; one that does not check yet is being written, or torn, and is looked at again later.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from recovery import segment
from recovery.segment import SEGMENT_HEADER_BYTES, Record

SUFFIX = ".journal"
INDEX_RECORDS = 64
"""Every so many records their place is remembered: a read walks at most that far, and ten million cost 10 MB."""
_READ_BYTES = 256 * 1024


class JournalError(Exception):
    """The base of what can be wrong with a journal."""


class JournalCorrupted(JournalError):
    """What was safe once has been damaged since. Nothing may be served from this journal; rebuild it from elsewhere."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(f"{path} at byte {offset}: {reason}")
        self.path = path
        self.offset = offset
        self.reason = reason


def segment_path(directory: Path, first: int) -> Path:
    return directory / f"{first:020d}{SUFFIX}"


def segment_firsts(directory: Path) -> list[int]:
    """The first numbers of the segments there are, in order."""
    return sorted(int(path.stem) for path in directory.glob(f"*{SUFFIX}"))


class SegmentIndex:
    """One segment, and where some of its records are."""

    def __init__(self, path: Path, first: int) -> None:
        self.path = path
        self.first = first
        self._numbers = [first]
        self._offsets = [SEGMENT_HEADER_BYTES]

    def remember(self, number: int, offset: int) -> None:
        if number >= self._numbers[-1] + INDEX_RECORDS:
            self._numbers.append(number)
            self._offsets.append(offset)

    def read_from(self, number: int) -> Iterator[Record]:
        """The records from `number` on that are whole and good."""
        index = bisect_right(self._numbers, number) - 1
        for record, _ in read_records(self.path, self._offsets[index], self._numbers[index]):
            if record.number >= number:
                yield record


def read_records(path: Path, offset: int, number: int) -> Iterator[tuple[Record, int]]:
    """The good records of one segment from `offset` on, the first having `number`, each with where it ends."""
    with path.open("rb", buffering=0) as file:
        while True:
            file.seek(offset)
            data = file.read(_READ_BYTES)
            wanted = segment.size_at(data, 0)
            if wanted > len(data):
                data += file.read(wanted - len(data))
            end = 0
            for record, _, end in segment.find_records(data, 0, number):
                yield record, offset + end
                number = record.number + 1
            if not end:
                return
            offset += end


class JournalReader:
    """Follows a journal that another process writes, from `next_number` on."""

    def __init__(self, directory: Path | str, next_number: int = 1) -> None:
        self.next_number = next_number
        self._directory = Path(directory)
        self._first = 0  # the segment being read; 0 before it is found
        self._offset = 0
        self._at = 0  # number of the record at the offset

    def poll(self, max_records: int = 10_000) -> list[Record]:
        """The records written since, MARKs included, at most so many; [] when there is nothing new yet.

        Raises JournalCorrupted when a record is bad and a later segment shows that the writer is past it, or when the
        segment with next_number is gone.
        """
        records: list[Record] = []
        while len(records) < max_records and (self._first or self._find_first()):
            before = self._at
            path = segment_path(self._directory, self._first)
            for record, end in read_records(path, self._offset, self._at):
                self._offset, self._at = end, record.number + 1
                if record.number >= self.next_number:
                    records.append(record)
                    self.next_number = record.number + 1
                if len(records) >= max_records:
                    break
            if self._at == before and not self._advance():
                break
        return records

    def _find_first(self) -> bool:
        """Enter the segment in which next_number is, if there is one."""
        firsts = segment_firsts(self._directory)
        index = bisect_right(firsts, self.next_number) - 1
        if index >= 0:
            self._enter(firsts[index])
        elif firsts:
            raise JournalCorrupted(self._directory, 0, f"record {self.next_number} is gone, {firsts[0]} is first")
        return index >= 0

    def _enter(self, first: int) -> None:
        self._first = self._at = first
        self._offset = SEGMENT_HEADER_BYTES

    def _advance(self) -> bool:
        """No more records here: enter the next segment, if there is one."""
        if self._at != self._first and os.path.exists(segment_path(self._directory, self._at)):
            self._enter(self._at)
            return True
        last = segment_firsts(self._directory)[-1]
        path = segment_path(self._directory, self._first)
        if last > self._at and next(read_records(path, self._offset, self._at), None) is None:
            raise JournalCorrupted(path, self._offset, f"record {self._at} is bad, and segment {last} follows")
        return False
