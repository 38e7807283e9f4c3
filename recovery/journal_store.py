"""A stream's messages kept in a journal: a day of them, the latest in memory, the rest by a sparse index.

    record kind 1: first_seq u64 · epoch u32 · digest u32 (the chain after it) · whole messages

One record is what one wake-up released, so it ends with a transaction, and its last fields are where a reader that is
restarted goes on: `position` and `epoch`. The ends of all records are its `past`.
"""

from bisect import bisect_right
from collections.abc import Sequence
from struct import Struct

from recovery.journal import Journal
from recovery.past import Past
from recovery.record import Position, split
from recovery.segment import MAX_PAYLOAD_BYTES
from recovery.store import MemoryStore, take

MESSAGES_RECORD = 1
TAIL_BYTES = 16 * 1024 * 1024
"""Kept in memory: most requests are for what was sent a moment ago."""
_COPY_RECORDS = 64
"""Written at once when a journal is copied."""
_INDEX_MESSAGES = 1024
"""Every so many messages their record is remembered."""

_HEAD = Struct(">QII")


class JournalStore:
    """A MessageStore over a journal, which must be fresh from `open_journal`: this replays it."""

    def __init__(self, journal: Journal) -> None:
        self.position = Position()
        self.past = Past()
        self.epoch = 0
        self.first_seq = 1
        self.next_seq = 1
        self._journal = journal
        self._tail = MemoryStore(TAIL_BYTES)
        self._seqs: list[int] = []
        self._numbers: list[int] = []
        for number, _, payload in journal.replay():
            first_seq, self.epoch, digest = _HEAD.unpack_from(payload)
            if not self._numbers:
                self.first_seq = self.next_seq = first_seq
                self._tail = MemoryStore(TAIL_BYTES, first_seq)
            assert first_seq == self.next_seq, f"journal record {number} begins at {first_seq}, not {self.next_seq}"
            self._keep(number, split(payload, _HEAD.size))
            self.position = Position(self.next_seq, digest)
            self.past.remember(self.position)

    def append(self, messages: Sequence[bytes], epoch: int, digest: int) -> None:
        """Messages that end a transaction, with the epoch they were proven in and the chain after them.

        They are in the journal's batch: commit it.
        """
        size = sum(map(len, messages))
        assert size + _HEAD.size <= MAX_PAYLOAD_BYTES
        payload = _HEAD.pack(self.next_seq, epoch, digest) + b"".join(messages)
        self._keep(self._journal.append(MESSAGES_RECORD, payload), messages)
        self.position, self.epoch = Position(self.next_seq, digest), epoch

    def _keep(self, number: int, messages: Sequence[bytes]) -> None:
        if not self._seqs or self.next_seq >= self._seqs[-1] + _INDEX_MESSAGES:
            self._seqs.append(self.next_seq)
            self._numbers.append(number)
        self._tail.append(messages)
        self.next_seq += len(messages)

    def copy_below(self, fork: Position, journal: Journal) -> None:
        """Write what lies below `fork`, where a transaction ended, to an empty journal, a few records at a time.

        What is copied is written by now, and this store's own journal may be closed.
        """
        copy = JournalStore(journal)
        for number, kind, payload in self._journal.read_from(self._numbers[0] if self._numbers else 1):
            if kind != MESSAGES_RECORD:
                continue
            first_seq, epoch, digest = _HEAD.unpack_from(payload)
            if first_seq >= fork.next_seq:
                break
            messages = split(payload, _HEAD.size)
            if first_seq + len(messages) > fork.next_seq:
                del messages[fork.next_seq - first_seq :]
                digest = fork.digest
            copy.append(messages, epoch, digest)
            if number % _COPY_RECORDS == 0:
                journal.write_nowait()
        assert copy.position == fork, f"{copy.position} is kept below the fork at {fork}"

    def messages(self, first_seq: int, max_bytes: int) -> list[bytes]:
        if first_seq >= self._tail.first_seq:
            return self._tail.messages(first_seq, max_bytes)
        index = bisect_right(self._seqs, first_seq) - 1
        if index < 0:
            return []
        found: list[bytes] = []
        size = 0
        for _, kind, payload in self._journal.read_from(self._numbers[index]):
            if kind != MESSAGES_RECORD:
                continue
            batch_seq = _HEAD.unpack_from(payload)[0]
            batch = split(payload, _HEAD.size)[max(first_seq - batch_seq, 0) :]
            found += batch
            size += sum(map(len, batch))
            if size >= max_bytes:
                break
        return take(found, max_bytes)
