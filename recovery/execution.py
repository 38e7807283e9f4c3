"""What a shard has become: the state machine, the tables of sources, and the stream as far as commands are applied.

The one way a command takes effect, whoever asks: a primary that sequences it, a backup that hears it is committed, a
replay of the journal, a new primary that finishes the transaction its predecessor died in. So the messages are the same
bytes in every case.

What is applied may be ahead of what is committed (a primary's always is, by a bounded window); it cannot be taken back,
only thrown away: whoever has applied what turns out not to be history makes a new Execution and applies the log again.
"""

from bisect import bisect_right
from typing import Protocol

from recovery.packet import EpochStart
from recovery.record import COMMAND_HEADER_BYTES, FIRST_OPAQUE_KIND, Position, Sequencer, unpack_command_header
from recovery.sources import Sources
from recovery.store import MemoryStore

MAX_STORE_BYTES = 256 * 1024 * 1024
"""Kept for readers that find no retransmitter: the last resort, so memory and not disk."""


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

    def snapshot(self) -> bytes:
        """The complete state: the same bytes on every replica that has applied the same commands."""

    def restore(self, data: bytes) -> None:
        """Become, from nothing, what `snapshot` was taken of. Raises ValueError on bytes that are no state."""

    def read(self, request: bytes) -> bytes:
        """Answer a question about the state; changes nothing, never raises."""

    def is_long(self, request: bytes) -> bool:
        """Whether to answer it takes too long to be done between two batches. Looks at the request alone."""


class Execution:
    """One shard's state and stream up to `last_tx`, from its first command on, or from a snapshot (`next_tx` …)."""

    def __init__(
        self,
        shard_id: int,
        state_machine: StateMachine,
        next_tx: int = 1,
        position: Position = Position(),  # noqa: B008
        sources: Sources | None = None,
        last_timestamp: int = 0,
    ) -> None:
        self.shard_id = shard_id
        self.state_machine = state_machine
        self.sources = sources or Sources()
        self.sequencer = Sequencer(shard_id, next_tx, position)
        self.store = MemoryStore(MAX_STORE_BYTES, position.next_seq)
        self.last_timestamp = last_timestamp
        self.commit_tx = next_tx - 1
        self.commit_seq = position.next_seq - 1
        self.uncommitted: list[int] = []
        """The ENDs of the transactions that are applied above the commit: of commit_tx + 1 and so on."""

    @property
    def last_tx(self) -> int:
        return self.sequencer.next_tx - 1

    def here(self) -> EpochStart:
        """Where an epoch that began now would begin."""
        return EpochStart(self.last_tx, *self.sequencer.position)

    def apply(self, kind: int, command: bytes) -> list[bytes]:
        """The messages of the next transaction. `command` is header and body."""
        tx, timestamp, source_id, incarnation, source_seq, session_id, session_seq = unpack_command_header(command)
        body = command[COMMAND_HEADER_BYTES:]
        return self.apply_parts(
            kind, command, body, tx, timestamp, source_id, incarnation, source_seq, session_id, session_seq
        )

    def apply_parts(
        self,
        kind: int,
        command: bytes,
        body: bytes,
        tx: int,
        timestamp: int,
        source_id: int,
        incarnation: int,
        source_seq: int,
        session_id: int,
        session_seq: int,
    ) -> list[bytes]:
        """As `apply`, for who knows what `command` is made of."""
        events: list[tuple[int, bytes]] = []
        if kind >= FIRST_OPAQUE_KIND:
            try:
                events = self.state_machine.apply(kind, body, timestamp, tx, source_id, session_id)
            except Exception as error:
                raise AssertionError(f"tx {tx}, kind {kind}: {error!r}") from error
        self.sources.apply(kind, source_id, incarnation, source_seq, session_id, session_seq)
        self.last_timestamp = timestamp
        sequencer = self.sequencer
        messages = sequencer.messages(kind, command, events)
        self.store.append(messages)
        self.uncommitted.append(sequencer.next_seq - 1)
        return messages

    def commit(self, tx: int) -> None:
        """The transactions up to `tx` are committed, as far as they are applied."""
        self._commit(min(tx - self.commit_tx, len(self.uncommitted)))

    def commit_through(self, seq: int) -> None:
        """The messages up to `seq` are committed, as far as they are made."""
        self._commit(bisect_right(self.uncommitted, seq))

    def _commit(self, count: int) -> None:
        """So many transactions more."""
        if count > 0:
            uncommitted = self.uncommitted
            self.commit_tx += count
            self.commit_seq = uncommitted[count - 1]
            del uncommitted[:count]

    def tail(self) -> list[bytes]:
        """The messages above the commit, which a new primary sends again."""
        count = self.sequencer.next_seq - 1 - self.commit_seq
        tail = self.store.messages(self.commit_seq + 1, MAX_STORE_BYTES) if count else []
        assert len(tail) == count, "the window of uncommitted transactions fits the store"
        return tail
