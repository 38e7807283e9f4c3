"""The log of commands: what a shard is made from, and the journal's records of it.

An *entry* is one command with its place: the same bytes in the journal, in memory and between replicas.

    entry                                        journal's record kinds
    ──────────────────────────────────────       ─────────────────────────────────────────────────────────────
    epoch    u32  in which it was sequenced      1 COMMAND   an entry
    chain    u32  the digest before its FIRST    2 EPOCH     epoch u32 · tx u64 · seq u64 · digest u32
    kind     u8                                  3 PROMISE   epoch u32
    header   42   as in a FIRST message          4 COMPLETE  epoch u32
    body     …                                   5 CUT       tx u64: the entries above it are no more
                                                 6 RECOVER   epoch u32: no vote before complete in it
                                                 7 SNAPSHOT  tx u64 · epoch u32 (of the entry tx) · promised u32 ·
                                                             complete u32 · recovering u32: a snapshot of tx is safe
                                                 8 COMMITTED tx u64: the entries up to it are committed
                                                 9 BEGIN     as SNAPSHOT; and there is no entry but those in it

The rules:

- tx of the entries is 1, 2, 3, … without holes; their epochs never go down from one to the next.
- A log may begin later, above its *base*: what it had up to there is in a snapshot, and committed. Of the entry at the
  base only the epoch is known. (A log from the beginning has the base tx 0, epoch 0.) Nothing at or below it is cut.
- A SNAPSHOT or BEGIN record says all that the records before it said beside the log, so that those may go.
- One primary makes the entries of an epoch, each once. And a log is only ever changed by cutting its end and appending
  what follows in the log of an epoch. So two logs that have the same epoch at a tx are the same up to there: that one
  comparison is what matching two logs takes (`last_at_or_below`).
- The chain in an entry is what its primary had made up to there. A replica whose own differs makes other bytes.
"""

from bisect import bisect_right
from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple

from recovery.record import COMMAND_HEADER_BYTES, MAX_COMMAND_BYTES

COMMAND_RECORD: Final = 1
EPOCH_RECORD = 2
PROMISE_RECORD = 3
COMPLETE_RECORD = 4
CUT_RECORD = 5
RECOVER_RECORD = 6
SNAPSHOT_RECORD = 7
COMMITTED_RECORD = 8
BEGIN_RECORD = 9

ENTRY_PLACE = Struct(">IIB")
MAX_ENTRY_BYTES = ENTRY_PLACE.size + COMMAND_HEADER_BYTES + MAX_COMMAND_BYTES

_ENTRY_HEAD = Struct(">IIBQ")
"""Of an entry: epoch, chain, kind, tx."""
_ENTRY = Struct(">IIBQQHIQIQ")
unpack_entry: Final = _ENTRY.unpack_from
"""Of an entry all but the body: epoch, chain, kind, and what a `CommandHeader` holds."""
ENTRY_PLACE_BYTES: Final = ENTRY_PLACE.size
ENTRY_HEADER_BYTES: Final = _ENTRY.size
_U32 = Struct(">I")
_U64 = Struct(">Q")
_pack_place: Final = ENTRY_PLACE.pack
_unpack_place: Final = ENTRY_PLACE.unpack_from


def make_entry(epoch: int, chain: int, kind: int, command: bytes) -> bytes:
    """`command` is header and body."""
    return _pack_place(epoch, chain, kind) + command


def entry_epoch(entry: bytes) -> int:
    return int(_U32.unpack_from(entry)[0])


def entry_tx(entry: bytes) -> int:
    return int(_U64.unpack_from(entry, ENTRY_PLACE.size)[0])


def read_entry(entry: bytes) -> tuple[int, int, bytes]:
    """(chain before it, kind, command: header and body)."""
    _, chain, kind = _unpack_place(entry)
    return chain, kind, entry[ENTRY_PLACE.size :]


class Point(NamedTuple):
    """A place in a log: two logs that have the same epoch at a tx are the same up to there."""

    tx: int
    epoch: int


ORIGIN = Point(0, 0)


class CommandLog:
    """The entries of one shard, above `base`, as one replica has them."""

    def __init__(self, base: Point = ORIGIN, entries: Iterable[bytes] = ()) -> None:
        self.base = base
        self.last_tx, self.last_epoch = base
        self._entries: list[bytes] = []
        for entry in entries:
            self.append(entry)

    def epoch_at(self, tx: int) -> int:
        """The epoch of the entry `tx`, which is not below the base."""
        base = self.base
        assert tx >= base.tx, f"the log begins above {base.tx}; {tx} is in a snapshot"
        return entry_epoch(self._entries[tx - base.tx - 1]) if tx > base.tx else base.epoch

    def has(self, point: Point) -> bool:
        """Whether the log is known to agree at this place, and so up to there."""
        return self.base.tx <= point.tx <= self.last_tx and self.epoch_at(point.tx) == point.epoch

    def entry(self, tx: int) -> bytes:
        assert tx > self.base.tx, f"the log begins above {self.base.tx}; {tx} is in a snapshot"
        return self._entries[tx - self.base.tx - 1]

    def append(self, entry: bytes) -> None:
        epoch, _, _, tx = _ENTRY_HEAD.unpack_from(entry)
        assert tx == self.last_tx + 1, f"entry {tx} after {self.last_tx}"
        assert epoch >= self.last_epoch, "epochs of a log never go down"
        self._entries.append(entry)
        self.last_tx, self.last_epoch = tx, epoch

    def extend(self, entries: list[bytes]) -> None:
        """As `append` of each."""
        last_tx, last_epoch = self.last_tx, self.last_epoch
        for entry in entries:
            epoch, _, _, tx = _ENTRY_HEAD.unpack_from(entry)
            assert tx == last_tx + 1, f"entry {tx} after {last_tx}"
            assert epoch >= last_epoch, "epochs of a log never go down"
            last_tx, last_epoch = tx, epoch
        self._entries += entries
        self.last_tx, self.last_epoch = last_tx, last_epoch

    def cut(self, tx: int) -> None:
        """Forget the entries above `tx`."""
        assert self.base.tx <= tx <= self.last_tx, f"cut to {tx} of {self.base.tx}…{self.last_tx}"
        del self._entries[tx - self.base.tx :]
        self.last_tx, self.last_epoch = tx, self.epoch_at(tx)

    def drop(self, tx: int) -> None:
        """Forget the entries up to `tx`, which is the base from now on: they are in a snapshot."""
        base = Point(tx, self.epoch_at(tx))
        del self._entries[: tx - self.base.tx]
        self.base = base

    def begin_at(self, base: Point) -> None:
        """Forget everything: the log begins above `base`, of which there is a snapshot (or which is the origin)."""
        self.base = base
        self.last_tx, self.last_epoch = base
        self._entries.clear()

    def last_at_or_below(self, epoch: int, tx: int) -> int:
        """The last tx, at most `tx`, whose entry is of this epoch or a lower one; the base's when none above it is."""
        base_tx = self.base.tx
        if tx <= base_tx:
            return base_tx
        return base_tx + bisect_right(self._entries, epoch, hi=min(tx, self.last_tx) - base_tx, key=entry_epoch)

    def entries_after(self, tx: int, max_bytes: int) -> list[bytes]:
        """The entries from tx + 1 on, at least one if there is one, while they and two bytes each fit `max_bytes`."""
        assert tx >= self.base.tx
        taken: list[bytes] = []
        for index in range(tx - self.base.tx, len(self._entries)):
            entry = self._entries[index]
            max_bytes -= len(entry) + 2
            if max_bytes < 0 and taken:
                break
            taken.append(entry)
        return taken
