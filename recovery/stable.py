"""What a replica must not forget: its promise, the epoch it is complete in, and its log; and how safe each is by now.

Changes are made in memory at once and handed to the journal in order (`records_to_write`, which is one batch); later
the host says how far the journal is safe (`synced`). Nothing may be told to others before that: `safe_promise`,
`safe_complete` and `safe_tx` are what may.

- A sync that ends late says only that what was written then is safe, not that it is still part of the log: an entry
  that has been cut since is not counted (the marks of writes under way are lowered by `cut`).
- With durability "memory" an entry counts as safe once it is handed to the journal. Promises and completions are synced
  in either case: they are rare, and a forgotten promise cannot be repaired.
"""

from collections import deque
from struct import Struct
from typing import Literal

from recovery.command_log import (
    COMMAND_RECORD,
    COMPLETE_RECORD,
    CUT_RECORD,
    EPOCH_RECORD,
    PROMISE_RECORD,
    RECOVER_RECORD,
    CommandLog,
    entry_epoch,
)

Durability = Literal["memory", "disk"]

_U32 = Struct(">I")
_U64 = Struct(">Q")


class _Mark:
    """What is safe when the records up to `number` are."""

    __slots__ = ("complete", "last_tx", "number", "promised")

    def __init__(self, number: int, promised: int, complete: int, last_tx: int) -> None:
        self.number = number
        self.promised = promised
        self.complete = complete
        self.last_tx = last_tx


class Stable:
    """One replica's durable state. First `replay` its journal, then `opened`."""

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
        self._durability = durability
        self._synced_tx = 0
        self._records: list[tuple[int, bytes]] = []
        self._number = 0
        self._marks: deque[_Mark] = deque()

    @property
    def safe_tx(self) -> int:
        """The end of the log that may be acknowledged."""
        return self._synced_tx if self._durability == "disk" else self.log.last_tx

    def replay(self, kind: int, payload: bytes) -> None:
        """One record of the journal, in order."""
        if kind == COMMAND_RECORD:
            self.log.append(payload)
            epoch = entry_epoch(payload)
            self.promised_epoch = max(self.promised_epoch, epoch)
        elif kind == CUT_RECORD:
            self.log.cut(*_U64.unpack(payload))
        elif kind == RECOVER_RECORD:
            (self.recovering_epoch,) = _U32.unpack(payload)
            self.promised_epoch = max(self.promised_epoch, self.recovering_epoch)
        else:
            assert kind in (EPOCH_RECORD, PROMISE_RECORD, COMPLETE_RECORD), f"record kind {kind} is unknown"
            (epoch,) = _U32.unpack_from(payload)
            self.promised_epoch = max(self.promised_epoch, epoch)
            if kind != PROMISE_RECORD:  # EPOCH: written by a primary that was alone, and so complete
                self.complete_epoch = epoch

    def opened(self) -> None:
        """The journal is replayed: all of it is safe."""
        self.safe_promise, self.safe_complete = self.promised_epoch, self.complete_epoch
        self._synced_tx = self.log.last_tx

    # Changes

    def promise(self, epoch: int) -> None:
        assert epoch > self.promised_epoch, "promises never go back"
        self.promised_epoch = epoch
        self._records.append((PROMISE_RECORD, _U32.pack(epoch)))
        self.needs_sync = True

    def recover(self, epoch: int) -> None:
        """Promise an epoch above all that was ever promised, and do not vote until complete in it or a later one."""
        assert epoch > self.promised_epoch
        self.promised_epoch = self.recovering_epoch = epoch
        self._records.append((RECOVER_RECORD, _U32.pack(epoch)))
        self.needs_sync = True

    @property
    def recovering(self) -> bool:
        return self.complete_epoch < self.recovering_epoch

    def complete(self, epoch: int) -> None:
        """The log holds everything that was in `epoch` when it began, and nothing else."""
        assert self.complete_epoch < epoch == self.promised_epoch, "completes what it has promised, once"
        self.complete_epoch = epoch
        self._records.append((COMPLETE_RECORD, _U32.pack(epoch)))
        self.needs_sync = True

    def append(self, entry: bytes) -> None:
        self.log.append(entry)
        self._records.append((COMMAND_RECORD, entry))

    def cut(self, tx: int) -> None:
        self.log.cut(tx)
        self._synced_tx = min(self._synced_tx, tx)
        for mark in self._marks:
            mark.last_tx = min(mark.last_tx, tx)
        self._records.append((CUT_RECORD, _U64.pack(tx)))

    # Safety

    def records_to_write(self) -> list[tuple[int, bytes]]:
        """(kind, payload) for the journal, in order: one batch."""
        records, self._records = self._records, []
        if records:
            self._number += len(records)
            if self._durability == "disk" or self.needs_sync:
                mark = _Mark(self._number, self.promised_epoch, self.complete_epoch, self.log.last_tx)
                self._marks.append(mark)
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
        if not marks and not self._records:
            self.needs_sync = False
