"""A replica's log and what has been applied of it, whatever its role: appended to, compared, cut, applied again.

- `merge` makes the log what another one says, entry by entry, and keeps what is not contradicted: until an epoch is
  known to go another way, the old end of a log may be all that is left of what was acknowledged.
- `cut` throws the end away. If some of that was applied (a deposed primary applies before it is committed), the state
  is made anew from a snapshot, or from nothing, and the log is applied again: in bounded parts, like any other time.
- Each entry carries the chain before it, as its primary made it; applying compares.
- A snapshot holds committed history and nothing else. So it may take the place of any log that does not reach it or
  contradicts it (`install`), and in mode "quorum" nothing that contradicts the log's base is believed, whoever says it:
  it is the word of a primary that does not know yet that it is one no more. Mode "async" promises less: there, what was
  committed may turn out not to be history, and then everything is forgotten (`begin_anew`).
- At each multiple of `snapshot_every` applying stops until the host has begun to take a snapshot, so that all replicas
  take theirs of the same transactions, and can compare the digests of their states.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from recovery.command_log import (
    ENTRY_HEADER_BYTES,
    ENTRY_PLACE_BYTES,
    ORIGIN,
    CommandLog,
    Point,
    entry_epoch,
    unpack_entry,
)
from recovery.control import BATCH_ENTRY_BYTES, Batch, Pull
from recovery.execution import Execution, StateMachine
from recovery.heard import Heard
from recovery.snapshot import Snapshot, SnapshotDamaged, restore_execution
from recovery.stable import Durability, Stable

Mode = Literal["async", "quorum"]
LoadSnapshot = Callable[[int], Snapshot | None]


def no_snapshot(_: int) -> Snapshot | None:
    """There is none."""
    return None


MAX_APPLIED = 64
"""Commands applied in one go: a few milliseconds. What is acknowledged meanwhile waits for as long, twice or three
times, and after a change of the primary brokers wait for that."""


class ReplicaDiverged(Exception):
    """This replica makes other bytes, or another state, from the same commands than the others. It must stop."""


class StateLost(Exception):
    """What was applied has to be made anew, and no snapshot here goes that far back. Start again, or rebuild."""


class History:
    """One replica's. `stable` is its durable part, `execution` what has been applied."""

    def __init__(
        self,
        shard_id: int,
        make_state_machine: Callable[[], StateMachine],
        mode: Mode,
        durability: Durability,
        snapshot_every: int = 0,
        load_snapshot: LoadSnapshot = no_snapshot,
    ) -> None:
        self.shard_id = shard_id
        self.mode = mode
        self.stable = Stable(durability)
        self.heard = Heard()
        self.execution = Execution(shard_id, make_state_machine())
        self.committed_tx = 0
        """Known to be committed; of that, `execution.commit_tx` is applied."""
        self.rebuilt = 0
        """How often something had been applied that was not history."""
        self._make_state_machine = make_state_machine
        self._snapshot_every = snapshot_every
        self._load_snapshot = load_snapshot
        self._begun_tx = 0  # of the latest snapshot begun
        self._restored: Point | None = None

    @property
    def log(self) -> CommandLog:
        return self.stable.log

    def restore(self, snapshot: Snapshot) -> None:
        """Before the journal is replayed. Raises SnapshotDamaged."""
        if snapshot.shard_id != self.shard_id:
            raise SnapshotDamaged(
                f"the snapshot of tx {snapshot.tx} is of shard {snapshot.shard_id}, not {self.shard_id}"
            )
        self.execution = restore_execution(snapshot, self._make_state_machine)
        self._restored = Point(snapshot.tx, snapshot.epoch)
        self._begun_tx = snapshot.tx

    def opened(self, next_number: int) -> None:
        """The journal is replayed: apply what is known to be committed. Raises LogIncomplete, ReplicaDiverged."""
        self.stable.opened(self._restored, trust_snapshot=self.mode == "quorum", next_number=next_number)
        self.committed_tx = max(self.stable.committed_tx, self.execution.commit_tx)
        while self.execution.last_tx < self.committed_tx:
            self._apply_next()
            self.execution.commit(self.committed_tx)

    # The log

    def take_heard(self, epoch: int) -> None:
        """Put what was heard of the primary of `epoch` into the log, as far as nothing is missing."""
        self.stable.extend(self.heard.take(self.log.last_tx + 1, epoch))

    def trim(self, batch: Batch) -> Batch | None:
        """The part of a batch that is not below our base; None when it ends there."""
        below = self.log.base.tx - batch.tx
        if below <= 0:
            return batch
        if below > len(batch.entries):
            return None
        tx_epoch = entry_epoch(batch.entries[below - 1])
        return batch._replace(tx=self.log.base.tx, tx_epoch=tx_epoch, entries=batch.entries[below:])

    def contradicts_base(self, batch: Batch) -> bool:
        """Whether the log that the batch is from is known to have another entry at our base, or none."""
        base = self.log.base
        below = base.tx - batch.tx
        if base == ORIGIN or below < 0:
            return False
        if batch.serving and batch.start_tx < base.tx and base.epoch < batch.epoch:
            return True  # its epoch began below, and ours at the base is older
        if below <= len(batch.entries):
            return base.epoch != (entry_epoch(batch.entries[below - 1]) if below else batch.tx_epoch)
        return base.epoch < (entry_epoch(batch.entries[-1]) if batch.entries else batch.tx_epoch)

    def merge(self, batch: Batch) -> bool:
        """Make the log what the batch says, if they agree at batch.tx; the end of the log stays until contradicted."""
        log = self.log
        if not log.has(Point(batch.tx, batch.tx_epoch)):
            return False
        known = 0
        for tx, entry in enumerate(batch.entries[: log.last_tx - batch.tx], batch.tx + 1):
            if log.epoch_at(tx) != entry_epoch(entry):
                self.cut(tx - 1)
                break
            assert log.entry(tx) == entry, f"two entries {tx} of epoch {entry_epoch(entry)}"
            known += 1
        self.stable.extend(batch.entries[known:])
        return True

    def probe(self, batch: Batch) -> int:
        """The last of our entries that may agree with a log that has batch.tx_epoch at batch.tx."""
        return self.log.last_at_or_below(batch.tx_epoch, batch.tx)

    def batches(self, sender: int, pull: Pull, start_tx: int, *, serving: bool, datagrams: int) -> Iterator[Batch]:
        """A part of our log, from where it agrees with the asker's or may agree."""
        log = self.log
        tx = log.last_at_or_below(pull.tx_epoch, pull.tx)
        for _ in range(datagrams):
            entries = log.entries_after(tx, BATCH_ENTRY_BYTES) if tx <= pull.tx or tx > log.base.tx else []
            place = (tx, log.epoch_at(tx), start_tx, log.last_tx, self.execution.commit_seq, log.base.tx)
            yield Batch(sender, pull.epoch, *place, serving, entries)
            tx += len(entries)
            if tx == log.last_tx or not entries:
                return

    def cut(self, tx: int) -> None:
        """What the log has above `tx` is not history."""
        if tx == self.log.last_tx:
            return
        self.note_commit()
        assert self.mode == "async" or tx >= self.committed_tx, f"cut to {tx}, committed {self.committed_tx}"
        self.stable.cut(tx)
        self.committed_tx = min(self.committed_tx, tx)
        self._begun_tx = min(self._begun_tx, tx)
        if self.execution.last_tx > tx:
            self._rebuild()

    def begin_anew(self) -> None:
        """What was committed here is not history: forget it (mode "async")."""
        assert self.mode == "async"
        self.stable.begin_anew()
        self.execution = Execution(self.shard_id, self._make_state_machine())
        self.committed_tx = self._begun_tx = 0
        self.rebuilt += 1

    # What is applied

    def apply_committed(self, commit_seq: int, tx: int) -> bool:
        """Apply, of the entries up to `tx`, which are the primary's too, what the primary says is committed.

        A bounded part of it: gives whether some is left that can be applied.
        """
        execution, sequencer = self.execution, self.execution.sequencer
        applied_tx = execution.last_tx
        last_tx = min(tx, applied_tx + MAX_APPLIED, self._next_stop())
        for _ in range(applied_tx, last_tx):
            if sequencer.next_seq > commit_seq:
                break
            self._apply_next()
        execution.commit_through(commit_seq)
        self.note_commit()
        return sequencer.next_seq <= commit_seq and execution.last_tx < min(tx, self._next_stop())

    def apply_some(self) -> bool:
        """A candidate's, committed or not: a bounded part. Gives whether what is left may be applied in one go."""
        for _ in range(min(MAX_APPLIED, self.unapplied - MAX_APPLIED)):
            self._apply_next()
        self.execution.commit(self.committed_tx)
        return self.unapplied <= MAX_APPLIED

    @property
    def unapplied(self) -> int:
        return self.log.last_tx - self.execution.last_tx

    def apply_all(self) -> None:
        """A new primary's: committed or not, it is what it goes on from."""
        assert self.unapplied <= MAX_APPLIED
        while self.unapplied:
            self._apply_next()
        self.execution.commit(self.committed_tx)

    def note_commit(self) -> None:
        self.committed_tx = max(self.committed_tx, self.execution.commit_tx)

    def _apply_next(self) -> None:
        execution = self.execution
        sequencer = execution.sequencer
        entry = self.stable.log.entry(sequencer.next_tx)
        (_, chain, kind, tx, timestamp, source_id, incarnation, source_seq, session_id, session_seq) = unpack_entry(
            entry
        )
        if not self._same_chain(chain):
            place = f"shard {self.shard_id} before tx {sequencer.next_tx}"
            raise ReplicaDiverged(f"{place}: {sequencer.digest:#010x}, primary {chain:#010x}")
        command, body = entry[ENTRY_PLACE_BYTES:], entry[ENTRY_HEADER_BYTES:]
        execution.apply_parts(
            kind, command, body, tx, timestamp, source_id, incarnation, source_seq, session_id, session_seq
        )

    def _same_chain(self, chain: int) -> bool:
        return chain == self.execution.sequencer.digest

    def _rebuild(self) -> None:
        """Forget what was applied: go on from a snapshot, or from nothing. The rest is applied as it is wanted."""
        self.rebuilt += 1
        snapshot = self._load_snapshot(self.committed_tx)
        if snapshot is not None and self.log.has(Point(snapshot.tx, snapshot.epoch)):
            self.execution = restore_execution(snapshot, self._make_state_machine)
        elif self.log.base == ORIGIN:
            self.execution = Execution(self.shard_id, self._make_state_machine())
        else:
            raise StateLost(
                f"shard {self.shard_id}: no whole snapshot from tx {self.log.base.tx} to {self.committed_tx}"
            )

    # Snapshots

    @property
    def snapshot_due(self) -> int | None:
        """The tx that a snapshot is to be taken of, now: applying waits for it."""
        execution, every = self.execution, self._snapshot_every
        tx = execution.last_tx
        return tx if every and tx % every == 0 and tx == execution.commit_tx and tx > self._begun_tx else None

    def _next_stop(self) -> int:
        """The last tx that may be applied before a snapshot is begun."""
        last_tx, every = self.execution.last_tx, self._snapshot_every
        if not every:
            return self.log.last_tx
        return last_tx if self.snapshot_due is not None else (last_tx // every + 1) * every

    def snapshot_begun(self) -> Point:
        """A snapshot of what is applied is being taken, or left out this time: go on."""
        self._begun_tx = self.execution.last_tx
        return Point(self._begun_tx, self.log.epoch_at(self._begun_tx))

    def install(self, snapshot: Snapshot) -> None:
        """Go on from another replica's snapshot, which is safe on our disk by now. Raises SnapshotDamaged."""
        self.note_commit()
        assert snapshot.tx > self.committed_tx
        point = Point(snapshot.tx, snapshot.epoch)
        keep = self.log.has(point)
        if not keep or self.execution.last_tx < point.tx:
            self.execution = restore_execution(snapshot, self._make_state_machine)
        else:
            self.execution.commit(point.tx)
        if keep:
            self.stable.snapshot_saved(point.tx)
        else:
            self.stable.begin_at(point)
        self.committed_tx = self._begun_tx = point.tx
