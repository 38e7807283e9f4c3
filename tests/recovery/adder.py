"""A state machine small enough to be right by looking at it, and the streams that tests make with it."""

from collections.abc import Iterable, Sequence

from recovery.checksum import crc32c
from recovery.command_log import entry_epoch, entry_tx, read_entry
from recovery.primary import Primary

ADD = 16  # body: text of a number; event TOTAL
COUNTDOWN = 17  # body: text of a number; sequences as many STEPs, one after the other
STEP = 18
TOTAL = 96
STEPPED = 97


class Adder:
    """Adds numbers. An ADD gives two events, TOTAL and an echo of the command; what is no number gives TOTAL alone."""

    def __init__(self) -> None:
        self.total = 0
        self.steps = 0

    def apply(
        self, kind: int, body: bytes, timestamp: int, tx: int, source_id: int, session_id: int
    ) -> list[tuple[int, bytes]]:
        if kind == STEP:
            self.steps -= 1
            return [(STEPPED, b"%d" % self.steps)]
        if not body.isdigit():
            return [(TOTAL, b"%d" % self.total)]
        if kind == COUNTDOWN:
            self.steps += int(body)
            return []
        self.total += int(body)
        return [(TOTAL, b"%d" % self.total), (TOTAL, b"tx %d from %d: %b" % (tx, source_id, body))]

    def continuation(self) -> tuple[int, bytes] | None:
        return (STEP, b"") if self.steps else None

    def digest(self) -> int:
        return crc32c(b"%d %d" % (self.total, self.steps))

    def snapshot(self) -> bytes:
        return b"%d %d" % (self.total, self.steps)

    def restore(self, data: bytes) -> None:
        total, steps = data.split()
        self.total, self.steps = int(total), int(steps)

    def read(self, request: bytes) -> bytes:
        return b"%b: %d" % (request, self.total)

    def is_long(self, request: bytes) -> bool:
        return False


def replay(primary: Primary, journal: Iterable[bytes]) -> None:
    """Apply the entries of a journal; all of them are committed."""
    for entry in journal:
        _, kind, command = read_entry(entry)
        primary.execution.apply(kind, command)
        primary.execution.commit(entry_tx(entry))


def next_epoch(journal: Sequence[bytes]) -> int:
    """Above all that the entries are of."""
    return entry_epoch(journal[-1]) + 1 if journal else 1


class Shard:
    """A started primary whose journal is a list of entries, with the datagrams it has said."""

    def __init__(self, shard_id: int = 1, journal: list[bytes] | None = None, now: int = 0) -> None:
        self.journal = journal if journal is not None else []
        self.primary = Primary(shard_id, Adder())
        replay(self.primary, self.journal)
        self.primary.lead(next_epoch(self.journal), now)
        self.next_source_seq = self.primary.sources.last_source_seq(7) + 1
        self.primary.open_source(7, self.primary.sources.incarnation(7) + 1, now)
        self.flush()

    def add(self, number: int, now: int = 0) -> None:
        incarnation = self.primary.sources.incarnation(7)
        self.primary.submit(7, incarnation, self.next_source_seq, 0, 0, ADD, b"%d" % number, now)
        self.next_source_seq += 1

    def flush(self) -> None:
        self.journal += self.primary.take_entries()

    def say(self, commit: bool = True) -> list[bytes]:
        """End a batch: journal it, commit it (or hold that back), and give the datagrams."""
        self.flush()
        if commit:
            self.primary.committed(self.primary.last_tx)
        return self.primary.datagrams_to_send()

    def heartbeat(self) -> list[bytes]:
        self.primary.handle_deadline(self.primary.next_deadline())
        return self.primary.datagrams_to_send()
