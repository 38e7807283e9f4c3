"""A replica's log and what has been applied of it, whatever its role: appended to, compared, cut, applied again.

- `merge` makes the log what another one says, entry by entry, and keeps what is not contradicted: until an epoch is
  known to go another way, the old end of a log may be all that is left of what was acknowledged.
- `cut` throws the end away. If some of that was applied (a deposed primary applies before it is committed), the state
  is made anew from the log. What is known to be committed is never cut, but in mode "async".
- Each entry carries the chain before it, as its primary made it; applying compares.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from recovery.command_log import entry_epoch, make_entry, read_entry
from recovery.control import BATCH_ENTRY_BYTES, Batch, Pull
from recovery.execution import Execution, StateMachine
from recovery.heard import Heard
from recovery.stable import Durability, Stable

Mode = Literal["async", "quorum"]

MAX_APPLIED = 1024
"""Commands applied in one go: some ten milliseconds, so that catching up does not look like death."""


class ReplicaDiverged(Exception):
    """This replica makes other bytes from the same commands than its primary. It must stop."""


class History:
    """One replica's. `stable` is its durable part, `execution` what has been applied."""

    def __init__(
        self, shard_id: int, make_state_machine: Callable[[], StateMachine], mode: Mode, durability: Durability
    ) -> None:
        self.shard_id = shard_id
        self.mode = mode
        self.stable = Stable(durability)
        self.log = self.stable.log
        self.heard = Heard()
        self.execution = Execution(shard_id, make_state_machine())
        self.rebuilt = 0
        """How often something had been applied that was not history."""
        self._make_state_machine = make_state_machine

    # The log

    def take_heard(self, epoch: int) -> None:
        """Put what was heard of the primary of `epoch` into the log, as far as nothing is missing."""
        while (command := self.heard.take(self.log.last_tx + 1)) is not None:
            kind, chain, data = command
            self.stable.append(make_entry(epoch, chain, kind, data))

    def merge(self, batch: Batch) -> bool:
        """Make the log what the batch says, if they agree at batch.tx; the end of the log stays until contradicted."""
        log = self.log
        if batch.tx > log.last_tx or log.epoch_at(batch.tx) != batch.tx_epoch:
            return False
        for tx, entry in enumerate(batch.entries, batch.tx + 1):
            if tx <= log.last_tx:
                if log.epoch_at(tx) == entry_epoch(entry):
                    assert log.entry(tx) == entry, f"two entries {tx} of epoch {entry_epoch(entry)}"
                    continue
                self.cut(tx - 1)
            self.stable.append(entry)
        return True

    def probe(self, batch: Batch) -> int:
        """The last of our entries that may agree with a log that has batch.tx_epoch at batch.tx."""
        return self.log.last_at_or_below(batch.tx_epoch, batch.tx)

    def batches(self, sender: int, pull: Pull, start_tx: int, *, serving: bool, datagrams: int) -> Iterator[Batch]:
        """A part of our log, from where it agrees with the asker's or may agree."""
        log = self.log
        tx = log.last_at_or_below(pull.tx_epoch, pull.tx)
        for _ in range(datagrams):
            entries = log.entries_after(tx, BATCH_ENTRY_BYTES)
            place = (tx, log.epoch_at(tx), start_tx, log.last_tx, self.execution.commit_seq)
            yield Batch(sender, pull.epoch, *place, serving, entries)
            tx += len(entries)
            if tx == log.last_tx:
                return

    def cut(self, tx: int) -> None:
        """What the log has above `tx` is not history."""
        if tx == self.log.last_tx:
            return
        commit_tx = self.execution.commit_tx
        assert self.mode == "async" or tx >= commit_tx, f"cut to {tx}, committed {commit_tx}"
        self.stable.cut(tx)
        if self.execution.last_tx > tx:
            self._rebuild(min(commit_tx, tx))

    # What is applied

    def apply_committed(self, commit_seq: int, tx: int) -> bool:
        """Apply, of the entries up to `tx`, which are the primary's too, what the primary says is committed.

        A bounded part of it: gives whether some is left.
        """
        execution = self.execution
        last_tx = min(tx, execution.last_tx + MAX_APPLIED)
        while execution.last_tx < last_tx and execution.sequencer.next_seq <= commit_seq:
            self._apply_next()
        while execution.uncommitted and execution.uncommitted[0][1] <= commit_seq:
            execution.commit(execution.uncommitted[0][0])
        return execution.last_tx < tx and execution.sequencer.next_seq <= commit_seq

    def apply_all(self) -> None:
        """A new primary's: committed or not, it is what it goes on from."""
        while self.execution.last_tx < self.log.last_tx:
            self._apply_next()

    def _apply_next(self) -> None:
        execution = self.execution
        chain, kind, header, command = read_entry(self.log.entry(execution.last_tx + 1))
        if not self._same_chain(chain):
            ours = execution.sequencer.digest
            raise ReplicaDiverged(f"shard {self.shard_id} before tx {header.tx}: {ours:#010x}, primary {chain:#010x}")
        execution.apply(kind, header, command)

    def _same_chain(self, chain: int) -> bool:
        return chain == self.execution.sequencer.digest

    def _rebuild(self, tx: int) -> None:
        """Forget what was applied, and apply the log again up to `tx`, which is committed."""
        self.rebuilt += 1
        self.execution = Execution(self.shard_id, self._make_state_machine())
        while self.execution.last_tx < tx:
            self._apply_next()
            self.execution.commit(tx)
