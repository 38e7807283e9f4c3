"""What a replica must not forget: its promise, the epoch it is complete in, and its log; and how safe each is by now.

Changes are made in memory at once and handed to the journal in order (`records_to_write`, which is one batch); later
the host says how far the journal is safe (`synced`). Nothing may be told to others before that: `safe_promise`,
`safe_complete` and `safe_tx` are what may.

- A sync that ends late says only that what was written then is safe, not that it is still part of the log: an entry
  that has been cut since is not counted (the marks of writes under way are lowered by `cut`).
- A snapshot is safe before it is spoken of here (`snapshot_saved`, `begin_at`), and makes safe what it contains. When
  there are two, the log goes on from the older one, its base.
- With durability "memory" an entry counts as safe once it is handed to the journal. Promises and completions are synced
  in either case: they are rare, and a forgotten promise cannot be repaired.

The records before `needed_number` may go, all of them or those up to any place: what is left makes the same again. Of

- the entries above the base,
- the SNAPSHOT or BEGIN records of the (at most two) snapshots that are kept,

it is the first one's record. There the promise, the completion and the recovery are in the record of a snapshot, and
whatever changed them later comes later. After BEGIN nothing before it is needed; after CUT nothing less than before,
since what is cut is above the base. The number moves once all that was written up to then is safe, the record that
stands for what goes included, and never back.
"""

from collections import deque
from struct import Struct, error
from typing import Literal

from recovery.command_log import (
    BEGIN_RECORD,
    COMMAND_RECORD,
    COMMITTED_RECORD,
    COMPLETE_RECORD,
    CUT_RECORD,
    ENTRY_PLACE,
    EPOCH_RECORD,
    ORIGIN,
    PROMISE_RECORD,
    RECOVER_RECORD,
    SNAPSHOT_RECORD,
    CommandLog,
    Point,
    entry_epoch,
    entry_tx,
)
from recovery.record import COMMAND_HEADER_BYTES
from recovery.replayed_log import SNAPSHOT_FIELDS, LogIncomplete, ReplayedLog

Durability = Literal["memory", "disk"]

COMMITTED_INTERVAL = 1024
"""Transactions between two notes of the commit: as many more a restarted replica has to be told."""
NUMBERED_INTERVAL = 1024
"""Entries between two whose record's number is remembered: what is kept beyond need, of a segment of 100,000s."""

_U32 = Struct(">I")
_U64 = Struct(">Q")


def first_record() -> tuple[int, bytes]:
    """What says only that there is a journal: nothing is committed yet."""
    return COMMITTED_RECORD, _U64.pack(0)


class _Mark:
    """What is safe when the records up to `number` are."""

    __slots__ = ("complete", "last_tx", "needed", "number", "promised")

    def __init__(self, number: int, promised: int, complete: int, last_tx: int, needed: int) -> None:
        self.number = number
        self.promised = promised
        self.complete = complete
        self.last_tx = last_tx
        self.needed = needed


class Stable:
    """One replica's durable state. First `restore` the snapshot, if any, and `replay` its journal; then `opened`."""

    def __init__(self, durability: Durability) -> None:
        self.log = CommandLog()
        self.promised_epoch = 0
        self.complete_epoch = 0
        self.safe_promise = 0
        self.safe_complete = 0
        self.needs_sync = False
        """The records given last must be synced whatever the durability is."""
        self.recovering_epoch = 0
        """Until complete in this epoch or a later one, the replica may have forgotten what it acknowledged."""
        self.committed_tx = 0
        """Known to be committed, as the journal notes it from time to time."""
        self.needed_number = 1
        """The journal's records before this one may go."""
        self._durability = durability
        self._synced_tx = 0
        self._records: list[tuple[int, bytes]] = []
        self._number = 0
        self._marks: deque[_Mark] = deque()
        self.points: list[Point] = []
        """Of the newest snapshots, two at most, the oldest first."""
        self._replayed: ReplayedLog | None = ReplayedLog()
        self._numbered: deque[tuple[int, int]] = deque()  # (tx, number of its record), some of them
        self._snapshots: dict[int, int] = {}  # tx → number of its SNAPSHOT or BEGIN record
        self._next_number = 1
        self._needed = 1

    @property
    def safe_tx(self) -> int:
        """The end of the log that may be acknowledged."""
        return self._synced_tx if self._durability == "disk" else self.log.last_tx

    # Restart

    def replay(self, kind: int, payload: bytes, number: int) -> None:
        """One record of the journal, in order; `number` is the journal's. Raises LogIncomplete."""
        replayed = self._replayed
        assert replayed is not None, "a journal is replayed before it is opened"
        try:
            self._replay(replayed, kind, payload, number)
        except error:
            raise LogIncomplete(f"record {number} of kind {kind} cannot have {len(payload)} bytes") from None
        except LogIncomplete as wrong:
            raise LogIncomplete(f"record {number}: {wrong}") from None

    def _replay(self, replayed: ReplayedLog, kind: int, payload: bytes, number: int) -> None:
        epoch = 0
        if kind == COMMAND_RECORD:
            if len(payload) < ENTRY_PLACE.size + COMMAND_HEADER_BYTES:
                raise LogIncomplete(f"an entry of {len(payload)} bytes")
            epoch = entry_epoch(payload)
            replayed.append(payload)
            self._remember(entry_tx(payload), number)
        elif kind == CUT_RECORD:
            (tx,) = _U64.unpack(payload)
            replayed.cut(tx)
            self.committed_tx = min(self.committed_tx, tx)
            self._forget_above(tx)
        elif kind in (SNAPSHOT_RECORD, BEGIN_RECORD):
            tx, point_epoch, epoch, self.complete_epoch, self.recovering_epoch = SNAPSHOT_FIELDS.unpack(payload)
            self.committed_tx = max(self.committed_tx, tx)
            if kind == BEGIN_RECORD:
                replayed.begin(Point(tx, point_epoch))
                self.committed_tx = tx
                self._forget_above(0)
            else:
                replayed.snapshot(Point(tx, point_epoch))
            self._snapshots[tx] = number
        elif kind == COMMITTED_RECORD:
            (self.committed_tx,) = _U64.unpack(payload)
        elif kind == RECOVER_RECORD:
            (epoch,) = _U32.unpack(payload)
            self.recovering_epoch = epoch
        elif kind in (EPOCH_RECORD, PROMISE_RECORD, COMPLETE_RECORD):
            (epoch,) = _U32.unpack_from(payload)
            if kind != PROMISE_RECORD:  # EPOCH: written by a primary that was alone, and so complete
                self.complete_epoch = epoch
        else:
            raise LogIncomplete(f"its kind {kind} is unknown to this program")
        self.promised_epoch = max(self.promised_epoch, epoch)

    def opened(self, snapshot: Point | None = None, *, trust_snapshot: bool = True, next_number: int = 1) -> None:
        """The journal is replayed, and all of it is safe; `next_number` is its next. Raises LogIncomplete."""
        assert self._replayed is not None
        self.log, self.points, ahead = self._replayed.join(snapshot, trust_snapshot=trust_snapshot)
        self._replayed = None
        self._next_number = next_number
        self._synced_tx = self.log.last_tx
        if snapshot is not None:
            self.promised_epoch = max(self.promised_epoch, snapshot.epoch)
            self.committed_tx = max(self.committed_tx, snapshot.tx)
        self.committed_tx = min(self.committed_tx, self.log.last_tx)
        self.safe_promise, self.safe_complete = self.promised_epoch, self.complete_epoch
        if snapshot is not None and ahead:
            self._begin(snapshot)
        elif snapshot is not None and snapshot.tx not in self._snapshots:  # saved, and then the power went
            self._write_snapshot(SNAPSHOT_RECORD, snapshot)

    # Changes

    def promise(self, epoch: int) -> None:
        assert epoch > self.promised_epoch, "promises never go back"
        self.promised_epoch = epoch
        self._write(PROMISE_RECORD, _U32.pack(epoch))
        self.needs_sync = True

    def recover(self, epoch: int) -> None:
        """Promise an epoch above all that was ever promised, and do not vote until complete in it or a later one."""
        assert epoch > self.promised_epoch
        self.promised_epoch = self.recovering_epoch = epoch
        self._write(RECOVER_RECORD, _U32.pack(epoch))
        self.needs_sync = True

    @property
    def given_epoch(self) -> int:
        """A lower bound of what the coordinator has given out: a forgetful replica's own promise need not be of it."""
        return self.promised_epoch if self.promised_epoch > self.recovering_epoch else self.complete_epoch

    @property
    def recovering(self) -> bool:
        return self.complete_epoch < self.recovering_epoch

    def complete(self, epoch: int) -> None:
        """The log holds everything that was in `epoch` when it began, and nothing else."""
        assert self.complete_epoch < epoch == self.promised_epoch, "completes what it has promised, once"
        self.complete_epoch = epoch
        self._write(COMPLETE_RECORD, _U32.pack(epoch))
        self.needs_sync = True

    def append(self, entry: bytes) -> None:
        self.log.append(entry)
        self._remember(self.log.last_tx, self._next_number)
        self._write(COMMAND_RECORD, entry)

    def extend(self, entries: list[bytes]) -> None:
        """As `append` of each; they are so few that it is enough to remember the first one's number."""
        if entries:
            self._remember(self.log.last_tx + 1, self._next_number)
            self.log.extend(entries)
            self._records += [(COMMAND_RECORD, entry) for entry in entries]
            self._next_number += len(entries)

    def cut(self, tx: int) -> None:
        self.log.cut(tx)
        self._synced_tx = min(self._synced_tx, tx)
        for mark in self._marks:
            mark.last_tx = min(mark.last_tx, tx)
        self.committed_tx = min(self.committed_tx, tx)
        self.points = [point for point in self.points if point.tx <= tx]
        self._forget_above(tx)
        self._write(CUT_RECORD, _U64.pack(tx))

    def committed(self, tx: int) -> None:
        """Note it, now and then: what is known to be committed may be applied at a restart before anybody says so."""
        assert tx <= self.log.last_tx
        if tx >= self.committed_tx + COMMITTED_INTERVAL:
            self.committed_tx = tx
            self._write(COMMITTED_RECORD, _U64.pack(tx))

    # Snapshots

    def snapshot_saved(self, tx: int) -> None:
        """A snapshot of `tx`, which the log has, is safe. What is in the one before it may go."""
        point = Point(tx, self.log.epoch_at(tx))
        if any(tx <= each.tx for each in self.points):
            return
        self.points = [*self.points, point][-2:]
        self._hold(point.tx)
        self._write_snapshot(SNAPSHOT_RECORD, point)
        if len(self.points) == 2:
            self._drop(self.points[0].tx)

    def begin_at(self, point: Point) -> None:
        """A snapshot of committed history that the log does not reach, or contradicts, is safe: go on from there."""
        assert not self.log.has(point)
        self.log.begin_at(point)
        self._synced_tx = point.tx
        for mark in self._marks:
            mark.last_tx = point.tx
        self.points = [point]
        self.committed_tx = point.tx
        self._begin(point)

    def begin_anew(self) -> None:
        """What was committed has turned out not to be history: only in mode "async", or when too much was lost."""
        self.log.begin_at(ORIGIN)
        self._synced_tx = self.committed_tx = 0
        for mark in self._marks:
            mark.last_tx = 0
        self.points = []
        self._forget_above(0)
        self._write(CUT_RECORD, _U64.pack(0))

    def _hold(self, tx: int) -> None:
        """The entries up to `tx` are safe in another way than by the journal."""
        self._synced_tx = max(self._synced_tx, tx)
        for mark in self._marks:
            mark.last_tx = max(mark.last_tx, tx)

    def _drop(self, tx: int) -> None:
        """What is above the base, which is now `tx`, and what stands for the snapshots is needed; nothing else is."""
        self.log.drop(tx)
        self._snapshots = {point.tx: self._snapshots[point.tx] for point in self.points}
        numbered = self._numbered
        while len(numbered) > 1 and numbered[1][0] <= tx + 1:
            numbered.popleft()
        if numbered and numbered[0][0] <= tx + 1:
            self._needed = max(self._needed, min(numbered[0][1], *self._snapshots.values()))

    def _begin(self, point: Point) -> None:
        """The log is what is in this snapshot: no record before is needed."""
        self._forget_above(0)
        self._needed = self._next_number
        self._write_snapshot(BEGIN_RECORD, point)

    def _write_snapshot(self, kind: int, point: Point) -> None:
        state = (self.promised_epoch, self.complete_epoch, self.recovering_epoch)
        self._snapshots[point.tx] = self._next_number
        self._write(kind, SNAPSHOT_FIELDS.pack(*point, *state))
        self.needs_sync = True

    # Numbers of records

    def _write(self, kind: int, payload: bytes) -> None:
        self._records.append((kind, payload))
        self._next_number += 1

    def _remember(self, tx: int, number: int) -> None:
        if not self._numbered or tx >= self._numbered[-1][0] + NUMBERED_INTERVAL:
            self._numbered.append((tx, number))

    def _forget_above(self, tx: int) -> None:
        while self._numbered and self._numbered[-1][0] > tx:
            self._numbered.pop()
        for each in [each for each in self._snapshots if each > tx]:
            del self._snapshots[each]

    # Safety

    def records_to_write(self) -> list[tuple[int, bytes]]:
        """(kind, payload) for the journal, in order: one batch."""
        records, self._records = self._records, []
        if records:
            self._number += len(records)
            if self._durability == "disk" or self.needs_sync:  # else nobody would ever take it away
                state = (self.promised_epoch, self.complete_epoch, self.log.last_tx, self._needed)
                self._marks.append(_Mark(self._number, *state))
        return records

    @property
    def written(self) -> int:
        """How many records were given to be written in this life."""
        return self._number

    def synced(self, number: int) -> None:
        """The first `number` records given in this life are safe."""
        assert number <= self._number
        marks = self._marks
        while marks and marks[0].number <= number:
            mark = marks.popleft()
            self.safe_promise, self.safe_complete = mark.promised, mark.complete
            self._synced_tx = mark.last_tx
            self.needed_number = mark.needed
        if not marks and not self._records:
            self.needs_sync = False
