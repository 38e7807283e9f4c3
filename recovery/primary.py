"""The primary of a shard: commands in, transactions out.

It numbers and stamps each command once, applies it, and makes the messages of its transaction; it owns the shard's
epoch, its at-most-once tables and its outbox. It does no I/O: the host (`recovery.node`) writes `records_to_write()`
to the journal, tells `committed(tx)` when they are as safe as was asked for, and sends `datagrams_to_send()`.

The log of commands is all that has to survive: `replay` feeds it back at a restart and makes the same messages, the
same state and the same tables again. Each record carries the chain before its transaction, so a state machine that
makes other bytes than it once did (a changed program) is found out at once, and not by its readers.

    record kinds                     payload
    ──────────────────────────────   ──────────────────────────────────────────────────────────────────────
    COMMAND_RECORD = 1               epoch u32 · chain before u32 · kind u8 · command header · command's body
    EPOCH_RECORD = 2                 epoch u32 · tx u64 · seq u64 · digest u32 (where it begins)

The rules:

- Stamps never go back: max(last stamp, clock).
- After each command, whatever the state machine must do next (`continuation`) is sequenced before anything else is
  taken; at most MAX_CONTINUATIONS at a time, so that no step stalls heartbeats. While some is left, `ready` is false
  and the host calls `work`.
- At most MAX_UNCOMMITTED transactions wait for their commit; beyond, `ready` is false and the host stops reading links.
- A state machine that raises has a bug, and its state is anybody's guess: AssertionError, and the process must stop.
- Each start is a new epoch, written down before its first packet is sent.
"""

from collections import deque
from struct import Struct
from typing import Protocol

from recovery.outbox import Outbox
from recovery.packet import EpochStart
from recovery.record import COMMAND_HEADER_BYTES, FIRST_OPAQUE_KIND, NOOP, OPEN_SOURCE, CommandHeader, Sequencer
from recovery.sources import Sources, Verdict
from recovery.store import MemoryStore

COMMAND_RECORD = 1
EPOCH_RECORD = 2

MAX_CONTINUATIONS = 64
"""Transactions made in one go: some milliseconds."""
MAX_UNCOMMITTED = 4096
"""Transactions whose commit is awaited: several slow disk writes' worth, and what a new primary sends again."""
MAX_STORE_BYTES = 256 * 1024 * 1024
"""Kept for readers that find no retransmitter: the last resort, so memory and not disk."""

_COMMAND = Struct(">IIB")
_EPOCH = Struct(">IQQI")


class ReplayDiverged(Exception):
    """The journal's log of commands does not make the messages it once made. Nothing may be served from it."""


class StateMachine(Protocol):
    """What a shard computes: a function of its commands, the same on every replica. It reads no clock."""

    def apply(
        self, kind: int, body: bytes, timestamp: int, tx: int, source_id: int, session_id: int
    ) -> list[tuple[int, bytes]]:
        """The events (kind, body) of one command. Never raises, whatever the bytes."""

    def continuation(self) -> tuple[int, bytes] | None:
        """A command (kind, body) that must be applied before any other; asking changes nothing."""

    def digest(self) -> int:
        """Of the state."""


class Primary:
    """The primary of one shard without backups. `replay` the journal, `start`, then `submit`."""

    def __init__(self, shard_id: int, state_machine: StateMachine) -> None:
        self.shard_id = shard_id
        self.state_machine = state_machine
        self.sources = Sources()
        self.store = MemoryStore(MAX_STORE_BYTES)
        self.epoch = 0
        self.last_timestamp = 0
        self.pending = False
        """A continuation waits: call `work`."""
        self._sequencer = Sequencer(shard_id)
        self._outbox: Outbox | None = None
        self._records: list[tuple[int, bytes]] = []
        self._uncommitted: deque[tuple[int, int]] = deque()  # (tx, its END)

    # Restart

    def replay(self, kind: int, payload: bytes) -> None:
        """One record of the journal, in order. Raises ReplayDiverged."""
        if kind == EPOCH_RECORD:
            self.epoch, *start = _EPOCH.unpack(payload)
            self._check(EpochStart._make(start) == self._here(), f"epoch {self.epoch} began elsewhere: {start}")
            return
        self._check(kind == COMMAND_RECORD, f"record kind {kind} is unknown")
        _, digest, command_kind = _COMMAND.unpack_from(payload)
        header = CommandHeader.unpack_from(payload, _COMMAND.size)
        self._check(header.tx == self._sequencer.next_tx, f"tx {header.tx}, {self._sequencer.next_tx} expected")
        self._check(digest == self._sequencer.digest, f"tx {header.tx}: other messages before it than once")
        self._apply(command_kind, header, payload[_COMMAND.size :])

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise ReplayDiverged(f"shard {self.shard_id}: {what}")

    def _here(self) -> EpochStart:
        return EpochStart(self._sequencer.next_tx - 1, *self._sequencer.position)

    def start(self, now: int) -> None:
        """Begin the next epoch where the log ends; everything replayed is committed. `now` is for the heartbeats."""
        assert self._outbox is None, "a primary starts once"
        self.epoch += 1
        start = self._here()
        self._records.append((EPOCH_RECORD, _EPOCH.pack(self.epoch, *start)))
        self._outbox = Outbox(self.shard_id, self.epoch, start, now=now)
        self.pending = self.state_machine.continuation() is not None

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
        assert self._outbox is not None, "not started"
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
        if verdict is Verdict.TAKE:
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
        """Number, stamp, apply; leaves the record and the messages to be taken."""
        sequencer = self._sequencer
        tx = sequencer.next_tx
        timestamp = max(now, self.last_timestamp)
        header = CommandHeader(tx, timestamp, source_id, incarnation, source_seq, session_id, session_seq)
        command = header.pack() + body
        record = _COMMAND.pack(self.epoch, sequencer.digest, kind) + command
        self.outbox.append(self._apply(kind, header, command))
        self._records.append((COMMAND_RECORD, record))  # not before it is known to work, or no restart would
        self._uncommitted.append((tx, sequencer.next_seq - 1))

    def _apply(self, kind: int, header: CommandHeader, command: bytes) -> list[bytes]:
        """The one way a command takes effect, whether new or replayed. `command` is header and body."""
        events: list[tuple[int, bytes]] = []
        if kind >= FIRST_OPAQUE_KIND:
            body = command[COMMAND_HEADER_BYTES:]
            tx, timestamp, source_id, _, _, session_id, _ = header
            try:
                events = self.state_machine.apply(kind, body, timestamp, tx, source_id, session_id)
            except Exception as error:
                raise AssertionError(f"shard {self.shard_id}: tx {tx}, kind {kind}: {error!r}") from error
        self.sources.apply(kind, header)
        self.last_timestamp = header.timestamp
        messages = self._sequencer.messages(kind, command, events)
        self.store.append(messages)
        return messages

    # Output

    def records_to_write(self) -> list[tuple[int, bytes]]:
        """(kind, payload) for the journal, in order."""
        records, self._records = self._records, []
        return records

    def committed(self, tx: int) -> None:
        """The records up to the transaction `tx` are as safe as they have to be."""
        uncommitted = self._uncommitted
        end = 0
        while uncommitted and uncommitted[0][0] <= tx:
            end = uncommitted.popleft()[1]
        if end:
            self.outbox.commit(end)

    def datagrams_to_send(self) -> list[bytes]:
        return self.outbox.datagrams_to_send()

    def next_deadline(self) -> int:
        """When the next heartbeat is due; ns on the clock that `start` was given."""
        return self.outbox.next_deadline()

    def handle_deadline(self, now: int) -> None:
        self.outbox.handle_deadline(now)
