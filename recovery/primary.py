"""The primary of a shard: commands in, transactions out.

It numbers and stamps each command once, applies it, and makes the messages of its transaction; it owns its epoch's
outbox. It does no I/O: the host writes what it `take_entries()` to the journal, tells `committed(tx)` when that is as
safe as was asked for, and sends `datagrams_to_send()`.

It is the primary's role of a replica (`recovery.replica`), which gives it what is applied already and an epoch that a
majority has promised. Its entries are `recovery.command_log`'s.

The rules:

- Stamps never go back: max(last stamp, clock).
- After each command, whatever the state machine must do next (`continuation`) is sequenced before anything else is
  taken; at most MAX_CONTINUATIONS at a time, so that no step stalls heartbeats. While some is left, `ready` is false
  and the host calls `work`.
- At most MAX_UNCOMMITTED transactions wait for their commit; beyond, `ready` is false and the host stops reading links.
- A state machine that raises has a bug, and its state is anybody's guess: AssertionError, and the process must stop.
"""

from recovery.command_log import make_entry
from recovery.execution import Execution, StateMachine
from recovery.outbox import Outbox
from recovery.record import NOOP, OPEN_SOURCE, pack_command_header
from recovery.sources import TAKE, Sources, Verdict
from recovery.store import MemoryStore

MAX_CONTINUATIONS = 64
"""Transactions made in one go: some milliseconds."""
MAX_UNCOMMITTED = 4096
"""Transactions whose commit is awaited: several slow disk writes' worth, and what a new primary sends again."""


class Primary:
    """The primary of one shard: `lead`, then `submit`."""

    def __init__(self, shard_id: int, state_machine: StateMachine, execution: Execution | None = None) -> None:
        self.shard_id = shard_id
        self.execution = execution or Execution(shard_id, state_machine)
        self.epoch = 0
        self.pending = False
        """A continuation waits: call `work`."""
        self._sequencer = self.execution.sequencer
        self._uncommitted = self.execution.uncommitted
        self._outbox: Outbox | None = None
        self._entries: list[bytes] = []

    @property
    def state_machine(self) -> StateMachine:
        return self.execution.state_machine

    @property
    def sources(self) -> Sources:
        return self.execution.sources

    @property
    def store(self) -> MemoryStore:
        return self.execution.store

    @property
    def last_timestamp(self) -> int:
        return self.execution.last_timestamp

    def lead(self, epoch: int, now: int, owner: int = 0) -> None:
        """Go on from what is applied, in an epoch that is ours alone; what is not committed is sent again.

        `owner`: which replica we are, for the heartbeats.
        """
        execution = self.execution
        self.epoch = epoch
        self._outbox = Outbox(self.shard_id, epoch, execution.here(), now=now, owner=owner, tail=execution.tail())
        self.pending = execution.state_machine.continuation() is not None

    # Commands

    @property
    def ready(self) -> bool:
        """Whether a command may be submitted now."""
        return not self.pending and len(self._uncommitted) < MAX_UNCOMMITTED

    @property
    def uncommitted(self) -> int:
        """How many transactions wait for their commit."""
        return len(self._uncommitted)

    @property
    def last_tx(self) -> int:
        return self._sequencer.next_tx - 1

    @property
    def next_seq(self) -> int:
        return self._sequencer.next_seq

    @property
    def commit_seq(self) -> int:
        return self.outbox.commit_seq

    @property
    def proven_epoch(self) -> int:
        """What is kept in `store` is history by definition: this primary makes it."""
        return self.epoch

    @property
    def outbox(self) -> Outbox:
        assert self._outbox is not None, "it does not lead"
        return self._outbox

    def open_source(self, source_id: int, incarnation: int, now: int) -> int | None:
        """A source logs in: gives its last source_seq, or None when a later incarnation of it has been here."""
        current = self.sources.incarnation(source_id)
        if incarnation < current:
            return None
        if incarnation > current:
            assert self.ready
            self._sequence(OPEN_SOURCE, source_id, incarnation, 0, 0, 0, b"", now)
        return self.sources.last_source_seq(source_id)

    def submit(
        self,
        source_id: int,
        incarnation: int,
        source_seq: int,
        session_id: int,
        session_seq: int,
        kind: int,
        body: bytes,
        now: int,
    ) -> Verdict:
        """A command from a source, stamped with `now` (ns, wall clock). Sequenced on TAKE and DUPLICATE only."""
        assert self.ready
        verdict = self.sources.check(source_id, incarnation, source_seq, session_id, session_seq)
        if verdict is TAKE:
            self._sequence(kind, source_id, incarnation, source_seq, session_id, session_seq, body, now)
            self.work(now)
        elif verdict is Verdict.DUPLICATE:
            self._sequence(NOOP, source_id, incarnation, source_seq, session_id, session_seq, b"", now)
        return verdict

    def command(self, kind: int, body: bytes, now: int) -> None:
        """A command of the shard's own (its operator, its timers): source 0, not numbered, so it must be idempotent."""
        assert self.ready
        self._sequence(kind, 0, 0, 0, 0, 0, body, now)
        self.work(now)

    def work(self, now: int) -> None:
        """Sequence what the state machine must do next, a bounded part of it."""
        for _ in range(MAX_CONTINUATIONS):
            continuation = self.state_machine.continuation()
            if continuation is None:
                self.pending = False
                return
            self._sequence(continuation[0], 0, 0, 0, 0, 0, continuation[1], now)
        self.pending = self.state_machine.continuation() is not None

    def _sequence(
        self,
        kind: int,
        source_id: int,
        incarnation: int,
        source_seq: int,
        session_id: int,
        session_seq: int,
        body: bytes,
        now: int,
    ) -> None:
        """Number, stamp, apply; leaves the entry and the messages to be taken."""
        sequencer, execution = self._sequencer, self.execution
        timestamp = max(now, execution.last_timestamp)
        tx = sequencer.next_tx
        command = pack_command_header(tx, timestamp, source_id, incarnation, source_seq, session_id, session_seq) + body
        entry = make_entry(self.epoch, sequencer.digest, kind, command)
        messages = execution.apply_parts(
            kind, command, body, tx, timestamp, source_id, incarnation, source_seq, session_id, session_seq
        )
        self.outbox.append(messages)
        self._entries.append(entry)  # not before it is known to work, or no restart would

    # Output

    def take_entries(self) -> list[bytes]:
        """For the log, in order: what was sequenced since the last call."""
        entries, self._entries = self._entries, []
        return entries

    def committed(self, tx: int) -> None:
        """The entries up to the transaction `tx` are as safe as they have to be."""
        execution = self.execution
        execution.commit(tx)
        self.outbox.commit(execution.commit_seq)

    def datagrams_to_send(self) -> list[bytes]:
        return self.outbox.datagrams_to_send()

    def next_deadline(self) -> int:
        """When the next heartbeat is due; ns on the clock that `start` was given."""
        return self.outbox.next_deadline()

    def handle_deadline(self, now: int, unanswered: int = 0) -> None:
        """`unanswered`: ns since a majority of the replicas last answered."""
        self.outbox.handle_deadline(now, unanswered)
