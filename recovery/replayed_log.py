"""A journal's records as they are read back: what they make of the log, and where it joins the snapshot that there is.

The beginning of a journal may be gone (`Journal.prune`), anywhere up to the record that is said to be needed
(`stable.Stable.needed_number`). A log grows at its end and is cut from its end, so the entries whose records are left
are its last ones, without a hole, whatever is gone; or none is left, and then its end may be unknown. The rules:

- COMMAND tx follows on the entry before it. Where no entry is left, it follows on the log's end, if that is known; else
  it is the first that is left.
- CUT tx leaves those up to `tx`, and makes the end known. Entries that were cut here may have followed on nothing.
- SNAPSHOT of a tx and an epoch says that the log has them, so what is left cannot contradict it; and says nothing about
  the end, for entries that are gone may reach further.
- BEGIN says the same, and that the log has nothing but what is in the snapshot: it makes the end known.

What breaks these rules was not written by `stable` in this order: records are missing, or of another journal. Then
nothing may be made of it (LogIncomplete); the checksums of the records have been looked at before.

Then the entries join the restored snapshot. It may be newer than the journal is: the snapshot was safe at once, and
what was written to the journal meanwhile went with the power. In mode "quorum" a snapshot holds what is committed, and
so wins (`trust_snapshot`); in mode "async" what is said may still turn out not to be history, and the journal wins.
"""

from struct import Struct
from typing import NamedTuple

from recovery.command_log import ORIGIN, CommandLog, Point, entry_epoch, entry_tx

SNAPSHOT_FIELDS = Struct(">QIIII")
"""tx, epoch, promised, complete, recovering."""


class LogIncomplete(Exception):
    """A journal and the snapshot do not make a log together. Try an older snapshot; else rebuild the replica."""


class Joined(NamedTuple):
    """What came out: the log, its snapshots from the oldest on, and whether the snapshot is newer than the journal."""

    log: CommandLog
    points: list[Point]
    ahead: bool


class ReplayedLog:
    """Entries first … last of a journal, and the places of which it says that there were snapshots."""

    def __init__(self) -> None:
        self.first_tx = 0  # 0 = no entry is left, and nothing is known of the end
        self.entries: list[bytes] = []
        self.points: list[Point] = []

    @property
    def last_tx(self) -> int:
        return self.first_tx - 1 + len(self.entries)

    def append(self, entry: bytes) -> None:
        tx = entry_tx(entry)
        if not self.first_tx:
            self.first_tx = tx
        if tx != self.last_tx + 1:
            raise LogIncomplete(f"the journal has the entry {tx} where the log ends with {self.last_tx}")
        if self.entries and entry_epoch(entry) < entry_epoch(self.entries[-1]):
            raise LogIncomplete(f"the journal has the entry {tx} of an epoch below that of the entry before it")
        self.entries.append(entry)

    def cut(self, tx: int) -> None:
        self.points = [point for point in self.points if point.tx <= tx]
        if not self.first_tx or tx < self.first_tx:
            self._end_at(tx)
        elif tx > self.last_tx:
            raise LogIncomplete(f"the journal cuts the log to {tx}, which ends with {self.last_tx}")
        else:
            del self.entries[tx - self.first_tx + 1 :]

    def snapshot(self, point: Point) -> None:
        if self.first_tx and point.tx >= self.first_tx - 1 and not self._may_have(point):
            raise LogIncomplete(f"the journal has a snapshot of tx {point.tx}, epoch {point.epoch}, and no such entry")
        self.points = [*(each for each in self.points if each.tx < point.tx), point]

    def begin(self, point: Point) -> None:
        self._end_at(point.tx)
        self.points = [point]

    def _end_at(self, tx: int) -> None:
        """No entry is left, and the log ends there."""
        self.first_tx = tx + 1
        self.entries = []

    def _may_have(self, point: Point) -> bool:
        """Whether what is left agrees at this place, as far as can be known."""
        first_tx, entries = self.first_tx, self.entries
        if point.tx == first_tx - 1:
            return not entries or entry_epoch(entries[0]) >= point.epoch
        return first_tx <= point.tx <= self.last_tx and entry_epoch(entries[point.tx - first_tx]) == point.epoch

    def join(self, snapshot: Point | None, *, trust_snapshot: bool) -> Joined:
        """The log, given the snapshot that was restored. Raises LogIncomplete."""
        first_tx = self.first_tx or 1
        if snapshot is None:
            if first_tx > 1:
                raise LogIncomplete(f"the journal begins with tx {first_tx}, and no snapshot reaches so far")
            return Joined(CommandLog(ORIGIN, self.entries), [], ahead=False)
        if snapshot.tx < first_tx - 1:
            raise LogIncomplete(f"the journal begins with tx {first_tx}, the snapshot ends with tx {snapshot.tx}")
        if not self.first_tx or not self._may_have(snapshot):
            if not trust_snapshot:
                raise LogIncomplete(f"tx {snapshot.tx} of epoch {snapshot.epoch} is in the snapshot and not in the log")
            return Joined(CommandLog(snapshot), [snapshot], ahead=True)
        return self._join_at(snapshot, first_tx)

    def _join_at(self, snapshot: Point, first_tx: int) -> Joined:
        known = [ORIGIN] if first_tx == 1 else []
        known += [point for point in self.points if first_tx - 1 <= point.tx < snapshot.tx]
        points = [*known, snapshot][-2:]
        base = points[0]
        log = CommandLog(base, self.entries[base.tx - first_tx + 1 :])
        return Joined(log, [point for point in points if point != ORIGIN], ahead=False)
