"""The protocol broken on purpose, one rule at a time: what the simulation and the scripted schedules have to see.

Each mutant replaces a few attributes of the real classes while a `with mutant.applied():` block runs. The names M1 …
M15 follow the protocol's own list of mistakes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from recovery import view_change
from recovery.control import Batch, Prepare, Promise
from recovery.execution import StateMachine
from recovery.history import History
from recovery.query import Ask, QuorumRead
from recovery.replica import Replica, Role
from recovery.service_frames import Position, Read
from recovery.sources import Sources, Verdict
from recovery.stable import Stable
from recovery.state_digests import StateDigests
from recovery.view_change import Campaign
from tests.simulation import service
from tests.simulation.tape import REGISTERS, Tape


class Mutant(NamedTuple):
    name: str
    what: str
    changes: tuple[tuple[object, str, Any], ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        with ExitStack() as stack:
            for target, attribute, value in self.changes:
                stack.enter_context(patch.object(target, attribute, value, create=True))
            yield


def _complete_at_once(self: Replica, batch: Batch, now: int) -> None:
    _step_batch(self, batch._replace(start_tx=0), now)


def _take_anything(self: Sources, source: int, incarnation: int, source_seq: int, session: int, seq: int) -> Verdict:
    verdict = _check(self, source, incarnation, source_seq, session, seq)
    return Verdict.TAKE if verdict in (Verdict.REPEATED, Verdict.DUPLICATE) else verdict


def _cut_to_commit(self: Replica, epoch: int, now: int) -> None:
    _become_catching_up(self, epoch, now)
    self.history.cut(min(self.last_tx, self.commit_tx))


def _count_every_ack(self: Replica, sender: int, _: int, tx: int, now: int) -> bool:
    return _step_ack(self, sender, self.epoch, tx, now)


def _promise_and_go_on(self: Replica, prepare: Prepare, now: int) -> None:
    if prepare.epoch > self.epoch:
        stable = self.stable
        promise = Promise(self.replica_id, prepare.epoch, stable.safe_complete, stable.safe_tx, False)
        self._tell([prepare.sender], promise)
    else:
        _step_prepare(self, prepare, now)


def _cut_without_marks(self: Stable, tx: int) -> None:
    synced, marks = self._synced_tx, [mark.last_tx for mark in self._marks]
    _stable_cut(self, tx)
    self._synced_tx = synced
    for mark, last_tx in zip(self._marks, marks, strict=True):
        mark.last_tx = last_tx


def _synced_forward(self: Stable, number: int) -> None:
    before = max([self._synced_tx, *(mark.last_tx for mark in self._marks if mark.number <= number)])
    _stable_synced(self, number)
    self._synced_tx = min(max(self._synced_tx, before), self.log.last_tx)


def _count_ourselves_at_once(self: Replica) -> int:
    safe, self.stable.safe_complete = self.stable.safe_complete, self.epoch
    try:
        return _committed_tx(self)
    finally:
        self.stable.safe_complete = safe


def _leave_out_the_last(self: Replica, now: int) -> None:
    if self.last_tx > max(self.commit_tx, self.execution.last_tx):
        self.stable.cut(self.last_tx - 1)
    _become_primary(self, now)


def _ask_who_believes(self: QuorumRead, replica_id: int, position: Position, now: int) -> None:
    if position.role is Role.PRIMARY and self._min_tx is None:
        self._positions[replica_id] = position
        self._min_tx, self._reading = 0, replica_id
        self._asks.append(Ask(replica_id, self._round, Read(0, self._request)))


def _highest_commit(self: QuorumRead, replica_id: int, position: Position, now: int) -> None:
    _position(self, replica_id, position._replace(complete_epoch=0, safe_tx=position.commit_tx), now)


def _tables_without_sessions(self: Sources) -> Any:
    return _tables(self)[0], ()


def _tables_without_sources(self: Sources) -> Any:
    return (), _tables(self)[1]


def _without_registers(self: Tape) -> bytes:
    registers, self.registers = self.registers, [b""] * REGISTERS
    data = _snapshot(self)
    self.registers = registers
    return data


def _told_above_commit(self: Replica) -> int:
    return self.execution.sequencer.next_seq - 1


_position = QuorumRead._position
_tables = Sources.tables
_snapshot = Tape.snapshot
_step_batch = Replica._step_batch
_step_ack = Replica._step_ack
_step_prepare = Replica._step_prepare
_become_catching_up = Replica.become_catching_up
_become_primary = Replica.become_primary
_committed_tx = Replica._committed_tx
_check = Sources.check
_stable_cut = Stable.cut
_stable_synced = Stable.synced

_promised = property(lambda self: self.promised_epoch, lambda self, value: None)
_appended = property(lambda self: self.log.last_tx)

MUTANTS = {
    mutant.name: mutant
    for mutant in (
        Mutant(
            "M1", "complete in an epoch before the log is caught up", ((Replica, "_step_batch", _complete_at_once),)
        ),
        Mutant("M2", "a promise is told before it is safe", ((Stable, "safe_promise", _promised),)),
        Mutant("M3", "one promise too few", ((view_change, "majority", lambda count: max(count // 2, 1)),)),
        Mutant("M4", "acknowledged before it is safe", ((Stable, "safe_tx", _appended),)),
        Mutant("M5", "a command that comes again is taken again", ((Sources, "check", _take_anything),)),
        Mutant(
            "M6",
            "the end of the log is cut at the first word of an epoch",
            ((Replica, "become_catching_up", _cut_to_commit),),
        ),
        Mutant("M7", "acknowledgements of older epochs count", ((Replica, "_step_ack", _count_every_ack),)),
        Mutant("M8", "committed before a majority has it", ((Replica, "_committed_tx", lambda self: self.last_tx),)),
        Mutant("M9", "who believes to lead is read from", ((QuorumRead, "_position", _ask_who_believes),)),
        Mutant("M10", "a read does not wait for the commit", ((service, "may_answer", lambda replica, tx: True),)),
        Mutant(
            "M11",
            "the longest log is taken for the best",
            ((Campaign, "_rank", lambda self, promise: (promise.last_tx, promise.sender)),),
        ),
        Mutant("M12", "who promised goes on serving the old epoch", ((Replica, "_step_prepare", _promise_and_go_on),)),
        Mutant(
            "M13",
            "what the primary does not have is kept",
            ((Replica, "_cut_unmatched", lambda self, matched: None),),
        ),
        Mutant(
            "old batch",
            "what an old answer of the primary does not have yet is cut",
            ((Replica, "_cut_unmatched", lambda self, matched: self.history.cut(matched)),),
        ),
        Mutant("M14", "a read waits for the highest commit only", ((QuorumRead, "_position", _highest_commit),)),
        Mutant(
            "unsafe completion",
            "a primary counts itself before it is safe that its log is complete in its epoch",
            ((Replica, "_committed_tx", _count_ourselves_at_once),),
        ),
        Mutant(
            "M15",
            "a sync that ends late counts for what stands there now",
            ((Stable, "cut", _cut_without_marks), (Stable, "synced", _synced_forward)),
        ),
        Mutant(
            "regeneration off",
            "a transaction of which only the command was heard is left out",
            ((Replica, "become_primary", _leave_out_the_last),),
        ),
        Mutant(
            "digest not compared",
            "other bytes and other states go unseen",
            (
                (History, "_same_chain", lambda self, chain: True),
                (StateDigests, "say", lambda self, replica_id, tx, digest: None),
            ),
        ),
        Mutant("snapshot without sessions", "of a source's sessions", ((Sources, "tables", _tables_without_sessions),)),
        Mutant("snapshot without sources", "of the sources", ((Sources, "tables", _tables_without_sources),)),
        Mutant(
            "snapshot without registers",
            "a field is not in the snapshot",
            ((Tape, "snapshot", _without_registers),),
        ),
        Mutant(
            "retransmitter above commit",
            "a retransmitter tells what is not committed",
            ((Replica, "commit_seq", property(_told_above_commit)),),
        ),
    )
}


class DriftingTape(Tape):
    """One replica whose program makes other bytes, from some command on."""

    def apply(
        self, kind: int, body: bytes, timestamp: int, tx: int, source_id: int, session_id: int
    ) -> list[tuple[int, bytes]]:
        events = super().apply(kind, body, timestamp, tx, source_id, session_id)
        return [*events, (99, b"drift")] if tx % 50 == 49 else events


class HiddenDrift(Tape):
    """One replica whose state is another one, from some command on, and does not show."""

    def apply(
        self, kind: int, body: bytes, timestamp: int, tx: int, source_id: int, session_id: int
    ) -> list[tuple[int, bytes]]:
        events = super().apply(kind, body, timestamp, tx, source_id, session_id)
        self.hidden += tx == 49
        return events

    hidden = 0

    def snapshot(self) -> bytes:
        return super().snapshot() + b"!" * self.hidden


def drifting(first: int, kind: type[Tape] = DriftingTape) -> Callable[[int, StateMachine], StateMachine]:
    """The `first`-th state machine that is made drifts."""
    return lambda count, machine: kind() if count == first else machine
