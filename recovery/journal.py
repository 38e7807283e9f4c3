"""An append-only file of numbered records that survives: the process (`sync="write"`) or the machine (`sync="disk"`).

`append` gives a record its number and buffers it; one `write_nowait` or `commit` then makes the whole batch safe,
which is what the hot path pays for: one pwrite for everything that came in one wake-up. With "disk", `commit` also
waits for fdatasync, in a thread; commits that come while one runs share the next. Segments are filled with zeros
ahead (also in a thread), so that an fdatasync has no file size to write and the disk being full shows early.

The rules (the format and the rule about damage are in `recovery.segment`):

- `replay` comes first: it gives every record, finds the end, cuts a torn tail, and opens the journal for appending.
- An error of the disk (EIO, ENOSPC, a short write) is JournalFailed, and stays so: what the kernel says after a failed
  fdatasync is not to be believed, so nothing is retried and the process must stop.
- `prune` deletes whole segments from the beginning. The oldest goes first, and its going is safe before the next one
  goes: so what a crash leaves is always a journal, which begins later or not yet so late.
- One process has a journal open for writing, by a lock on the directory; any may read it (`recovery.journal_reader`).
"""

import fcntl
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import trio

from recovery import segment
from recovery.disk_thread import DiskThread
from recovery.journal_reader import (
    INDEX_RECORDS,
    JournalCorrupted,
    JournalError,
    SegmentIndex,
    segment_firsts,
    segment_path,
)
from recovery.segment import MARK, SEGMENT_BYTES, SEGMENT_HEADER_BYTES, Record

Sync = Literal["write", "disk"]

_PREPARED = "prepared"
_LOCK = "lock"


class JournalFailed(JournalError):
    """The disk failed while writing. Stop the process."""


class JournalLocked(JournalError):
    """Another process has this journal open."""


@contextmanager
def open_journal(directory: Path | str, *, sync: Sync, segment_bytes: int = SEGMENT_BYTES) -> Iterator["Journal"]:
    """The journal in `directory`, made if need be, locked while the block runs. First `replay` it, to its end.

    Raises JournalLocked.
    """
    directory = Path(directory)
    if not directory.is_dir():
        directory.mkdir(parents=True)
        _sync_directory(directory.parent)
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalLocked(f"{directory} is in use by another process") from None
        journal = Journal(directory, sync, segment_bytes)
        try:
            yield journal
        finally:
            journal.close()
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # to close it is not enough while a forked child lives that has not done so
        os.close(lock)


class Journal:
    """Made by `open_journal`."""

    def __init__(self, directory: Path, sync: Sync, segment_bytes: int) -> None:
        self.directory = directory
        self.sync = sync
        self.next_number = 1
        """The number the next `append` gives."""
        self.synced_number = 0
        """All up to here are safe, as `sync` promises."""
        self._segment_bytes = segment_bytes
        self._segments: list[SegmentIndex] = []
        self._fd = -1
        self._end = 0
        self._batch: list[bytes] = []
        self._written_number = 0
        self._failed: JournalFailed | None = None
        self._sync_lock = trio.Lock()
        self._disk = DiskThread()
        self._dirty: list[int] = []  # file descriptors of full segments, to be synced and closed
        self._prepared: int | None = None  # file descriptor of the next segment, filled with zeros
        self._preparing = False
        self._closed = False
        self._reading: Iterator[Record] = iter(())  # where `read` was last, and the number that it gives next
        self._next_read = 0

    # Reading

    def replay(self) -> Iterator[Record]:
        """Every record from the first, MARKs left out. At its end the journal is open for `append`.

        Raises JournalCorrupted.
        """
        assert self._fd < 0, "a journal is replayed once"
        (self.directory / _PREPARED).unlink(missing_ok=True)
        firsts = segment_firsts(self.directory)
        if firsts:
            self.next_number = firsts[0]
        end = 0
        for index, first in enumerate(firsts):
            path = segment_path(self.directory, first)
            data = path.read_bytes()
            end = 0
            if first == self.next_number and segment.first_number(data) == first:
                current = SegmentIndex(path, first)
                self._segments.append(current)
                end = SEGMENT_HEADER_BYTES
                for record, _, after in segment.find_records(data, end, first):
                    current.remember(record.number, end)
                    end = after
                    self.next_number = record.number + 1
                    if record.kind != MARK:
                        yield record
            rest = data[end:].strip(b"\0")
            if rest or not end or (index + 1 < len(firsts) and firsts[index + 1] != self.next_number):
                self._judge(path, data, end, firsts[index + 1 :])
                self._cut(path, end, firsts[index + 1 :])
                break
        self._open_last(end)

    def _judge(self, path: Path, data: bytes, offset: int, later: list[int]) -> None:
        """Was the record that should be at `offset` safe once? Raises JournalCorrupted."""
        number = self.next_number
        evidence = segment.highest_synced(data, offset, number)
        for first in later:
            data = segment_path(self.directory, first).read_bytes()
            evidence = max(evidence, segment.highest_synced(data, 0, number))
        if evidence >= number:
            raise JournalCorrupted(path, offset, f"record {number} is damaged; it was safe, up to {evidence} was")

    def _cut(self, path: Path, offset: int, later: list[int]) -> None:
        """Undo a write that was cut off: nobody was told that it is safe."""
        for first in reversed(later):
            segment_path(self.directory, first).unlink()
        if offset == 0:
            path.unlink()
            return
        fd = os.open(path, os.O_RDWR)
        try:
            size = os.fstat(fd).st_size
            os.ftruncate(fd, offset)
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _open_last(self, end: int) -> None:
        self._written_number = self.next_number - 1
        if self._segments and end:
            self._fd = os.open(self._segments[-1].path, os.O_RDWR)
            self._end = end
            os.fsync(self._fd)
        elif self._segments:  # the last segment went with its torn header: go on in the one before, which is full
            self._fd = os.open(self._segments[-1].path, os.O_RDWR)
            self._end = os.fstat(self._fd).st_size
        else:
            self._rotate()
        self.synced_number = self._written_number

    def read_from(self, number: int) -> Iterator[Record]:
        """The written records from `number` on, MARKs included, until the end that is when it gets there."""
        index = bisect_right([item.first for item in self._segments], number) - 1
        while 0 <= index < len(self._segments) and number <= self._written_number:
            for record in self._segments[index].read_from(number):
                if record.number > self._written_number:
                    return
                yield record
                number = record.number + 1
            index += 1

    def read(self, number: int) -> Record:
        """One record. Raises KeyError when it is not there. One that is close behind the last one read costs little."""
        ahead = number - self._next_read
        for records in (self._reading, None) if 0 <= ahead < INDEX_RECORDS else (None,):
            self._reading = records if records is not None else self.read_from(number)
            for record in self._reading:
                self._next_read = record.number + 1
                if record.number == number:
                    return record
        raise KeyError(number)

    # Writing

    def append(self, kind: int, payload: bytes) -> int:
        """Number a record and buffer it. It is written by the next `write_nowait` or `commit`."""
        assert self._fd >= 0, "replay first"
        assert kind != MARK
        return self._append(kind, payload)

    def extend(self, records: list[tuple[int, bytes]]) -> None:
        """As `append` of each (kind, payload)."""
        assert self._fd >= 0, "replay first"
        most = self._segment_bytes - SEGMENT_HEADER_BYTES
        made = segment.make_records(records, self.next_number, self.synced_number, most)
        self._batch += made
        self.next_number += len(made)

    def _append(self, kind: int, payload: bytes) -> int:
        number = self.next_number
        record = segment.make_record(kind, number, self.synced_number, payload)
        assert len(record) + SEGMENT_HEADER_BYTES <= self._segment_bytes
        self._batch.append(record)
        self.next_number = number + 1
        return number

    def write_nowait(self) -> None:
        """Hand the batch to the kernel: with sync="write" it is safe from then on. Raises JournalFailed."""
        self._write()
        if self.sync == "write":
            self.synced_number = self._written_number

    async def commit(self) -> None:
        """Make everything appended so far safe. Raises JournalFailed."""
        self._write()
        if self.sync == "write":
            self.synced_number = self._written_number
            await trio.lowlevel.checkpoint()
            return
        number = self._written_number
        async with self._sync_lock:
            if self.synced_number >= number:
                return  # the one before took ours along
            self._check()
            number, dirty = self._written_number, [*self._dirty, self._fd]
            try:
                await self._disk.run(partial(self._fdatasync, dirty))
            except OSError as error:
                raise self._fail("fdatasync", error) from error
            for fd in dirty[:-1]:
                self._dirty.remove(fd)
                os.close(fd)
            self.synced_number = number
        if not self._preparing and self._prepared is None and self._end > self._segment_bytes // 2:
            self._preparing = True
            trio.lowlevel.spawn_system_task(self._prepare)

    def _fdatasync(self, fds: list[int]) -> None:
        for fd in fds:
            os.fdatasync(fd)
        if len(fds) > 1:
            _sync_directory(self.directory)

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _fail(self, what: str, error: object) -> JournalFailed:
        self._failed = JournalFailed(f"{self.directory}: {what}: {error}")
        return self._failed

    def _write(self) -> None:
        """One pwrite of the batch; one more for each end of a segment that it goes over."""
        self._check()
        batch, self._batch = self._batch, []
        while batch:
            data = b"".join(batch)
            if self._end + len(data) <= self._segment_bytes:
                self._put(data, len(batch))
                return
            count, data = self._fitting(batch)
            if count:
                self._put(data, count)
                del batch[:count]
            else:
                self._rotate()

    def _fitting(self, batch: list[bytes]) -> tuple[int, bytes]:
        """How many of the batch's records this segment has room for, and they."""
        room = self._segment_bytes - self._end
        count = 0
        for count, data in enumerate(batch):  # noqa: B007
            room -= len(data)
            if room < 0:
                break
        return count, b"".join(batch[:count])

    def _put(self, data: bytes, count: int) -> None:
        self._segments[-1].remember(self._written_number + 1, self._end)
        try:
            written = os.pwrite(self._fd, data, self._end)
        except OSError as error:
            raise self._fail("write", error) from error
        if written != len(data):
            raise self._fail("write", f"the disk took {written} of {len(data)} bytes: it is full")
        self._end += len(data)
        self._written_number += count

    # Segments

    def _rotate(self) -> None:
        """Go on in the next segment: the one prepared, or a sparse one when none is ready or needed."""
        first = self._written_number + 1
        path = segment_path(self.directory, first)
        try:
            fd = self._prepared
            if fd is None:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
                os.ftruncate(fd, self._segment_bytes)
            else:
                os.rename(self.directory / _PREPARED, path)
            os.pwrite(fd, segment.make_segment_header(first), 0)
        except OSError as error:
            raise self._fail("next segment", error) from error
        self._prepared = None
        if self._fd >= 0:
            if self.sync == "disk":
                self._dirty.append(self._fd)
            else:
                os.close(self._fd)
        elif self.sync == "disk":
            _sync_directory(self.directory)
        self._fd = fd
        self._end = SEGMENT_HEADER_BYTES
        self._segments.append(SegmentIndex(path, first))

    async def prune(self, number: int) -> None:
        """Delete the segments in which nothing is from `number` on, which is safe or the next. Raises JournalFailed."""
        assert number <= self.synced_number + 1, "what stands for the pruned records is safe first"
        self._check()
        segments = self._segments
        count = 0
        while count + 1 < len(segments) and segments[count + 1].first <= number:
            count += 1
        paths = [item.path for item in segments[:count]]
        del segments[:count]
        self._reading = iter(())
        try:
            await trio.to_thread.run_sync(_unlink_in_order, self.directory, paths)
        except OSError as error:
            raise self._fail("prune", error) from error

    async def _prepare(self) -> None:
        """Fill the next segment with zeros, ahead of need."""
        try:
            fd = await trio.to_thread.run_sync(self._fill)
        except OSError as error:
            self._fail("preparing a segment", error)  # the next append or commit says so
            return
        finally:
            self._preparing = False
        if self._closed:
            os.close(fd)
        else:
            self._prepared = fd

    def _fill(self) -> int:
        fd = os.open(self.directory / _PREPARED, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        zeros = bytes(1024 * 1024)
        left = self._segment_bytes
        while left:
            left -= os.write(fd, zeros[:left])
        os.fsync(fd)
        return fd

    def close(self) -> None:
        """Write what is left, and a MARK that says all before it is safe."""
        self._closed = True
        self._reading = iter(())
        try:
            if self._fd >= 0 and self._failed is None:
                self._write()
                for fd in [*self._dirty, self._fd] if self.sync == "disk" else []:
                    os.fdatasync(fd)
                self.synced_number = self._written_number
                self._append(MARK, b"")
                self._write()
        finally:
            self._disk.close()
            prepared = -1 if self._prepared is None else self._prepared
            for fd in (*self._dirty, self._fd, prepared):
                if fd >= 0:
                    os.close(fd)
            self._fd, self._prepared, self._dirty = -1, None, []


def _unlink_in_order(directory: Path, paths: list[Path]) -> None:
    for path in paths:
        path.unlink()
        _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    """A new or renamed file is safe when its directory is."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
