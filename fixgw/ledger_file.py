"""The ledger on the disk: an SQLite database with the rows of `matching.ledger` and the place in each stream.

The idea: what was written and how far was read are one transaction, so a ledger that was killed goes on exactly where
it stands: no row is missing, none is there twice. A row is named by where it comes from, (shard, number of the message,
part), and written once, however often it is given.

* WAL: readers (`fixgw ledger`) see a whole transaction or none of it, and hinder nobody.
* `sync: write` is synchronous=NORMAL: after a crash of the machine the database is whole, and may lack its last
  transactions. They are read again from the streams, whose place is that of the same moment. `sync: disk` is FULL, a
  sync for each transaction: for who cannot be sure that somebody still keeps the streams by then.
* `ends` are places where the reader has stood, ever fewer the older they are: where to go back to after a fork.
* A fork takes rows away from the end; how many, and from where, stays in `forks`.

Integers of SQLite are signed: identifiers with the highest bit set are kept as negative ones (`stored`, `read_back`).
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

from matching.ledger import Row
from recovery.record import Position

FILE_NAME: Final = "ledger.sqlite"
_LOCK: Final = "lock"

#: Of the tables below: another number, another program.
SCHEMA_VERSION: Final = 1

#: Rows of `ends` that a shard has at most; then every second one of the older half goes.
MAX_ENDS: Final = 8192

_PRAGMAS: Final = {"write": "NORMAL", "disk": "FULL"}

#: Columns of `history` that are no field of `Row`.
_PLACE: Final = ("shard_id", "seq", "day", "timestamp")
COLUMNS: Final = (*_PLACE, *Row._fields)
_TEXTS: Final = frozenset({"cl_ord_id", "orig_cl_ord_id", "account", "event", "liquidity"})

_SCHEMA: Final = f"""
CREATE TABLE positions (
    shard_id INTEGER PRIMARY KEY, next_seq INTEGER NOT NULL, digest INTEGER NOT NULL, epoch INTEGER NOT NULL
);
CREATE TABLE ends (
    shard_id INTEGER NOT NULL, next_seq INTEGER NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY (shard_id, next_seq)
) WITHOUT ROWID;
CREATE TABLE days (
    shard_id INTEGER NOT NULL, seq INTEGER NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (shard_id, seq)
) WITHOUT ROWID;
CREATE TABLE forks (
    shard_id INTEGER NOT NULL, fork_seq INTEGER NOT NULL, end_seq INTEGER NOT NULL, epoch INTEGER NOT NULL,
    rows INTEGER NOT NULL
);
CREATE TABLE history (
    {", ".join(f"{name} {'TEXT' if name in _TEXTS else 'INTEGER'} NOT NULL" for name in COLUMNS)},
    PRIMARY KEY (shard_id, seq, part)
) WITHOUT ROWID;
CREATE UNIQUE INDEX told ON history (participant_id, shard_id, participant_seq);
CREATE INDEX of_days ON history (participant_id, day);
CREATE INDEX of_orders ON history (order_id);
CREATE INDEX of_trades ON history (match_number) WHERE match_number != 0;
PRAGMA user_version = {SCHEMA_VERSION};
"""

_INSERT: Final = (
    f"INSERT INTO history ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    "ON CONFLICT (shard_id, seq, part) DO NOTHING"
)
_THIN_OUT: Final = """
DELETE FROM ends WHERE shard_id = ?1 AND next_seq IN (
    SELECT next_seq FROM (
        SELECT next_seq, row_number() OVER (ORDER BY next_seq) AS number FROM ends WHERE shard_id = ?1
    ) WHERE number <= ?2 AND number % 2 = 0
)
"""

_SIGN: Final = 1 << 63
_MASK: Final = (1 << 64) - 1

Sync = Literal["write", "disk"]


class LedgerFailed(OSError):
    """The ledger cannot be written or read: the disk, or somebody else's file. The text says which."""


class Entry(NamedTuple):
    """A row, and where and when it comes from."""

    seq: int
    day: int
    #: Of its transaction, ns since the epoch.
    timestamp: int
    row: Row


class Batch(NamedTuple):
    """What was read of a shard's stream, up to a position that is the end of a transaction."""

    shard_id: int
    entries: Sequence[Entry]
    #: (seq, day) of the days that began.
    days: Sequence[tuple[int, int]]
    position: Position
    #: In which epoch the position is known to be history; 0: unknown.
    epoch: int


class Cut(NamedTuple):
    """The stream has forked: what was read beyond this position is not history."""

    shard_id: int
    position: Position
    epoch: int


class Place(NamedTuple):
    """Where to read on in a shard's stream."""

    position: Position
    epoch: int
    day: int
    ends: Sequence[Position]


def stored(value: int) -> int:
    """An unsigned number of 64 bits as SQLite's signed one."""
    return value - (1 << 64) if value >= _SIGN else value


def read_back(value: int) -> int:
    return value & _MASK


def ledger_file(directory: Path) -> Path:
    return directory / FILE_NAME


class LedgerFile:
    """The one that writes. All of it blocks; one thread at a time. Made by `open_ledger`."""

    def __init__(self, file: Path, sync: Sync) -> None:
        """Raises LedgerFailed, sqlite3.Error."""
        self._file = file
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(sync)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, sync: Sync) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {_PRAGMAS[sync]}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
        elif version != SCHEMA_VERSION:
            raise LedgerFailed(f"{self._file}: is of version {version}, this program writes {SCHEMA_VERSION}")

    def close(self) -> None:
        self._db.close()

    def place(self, shard_id: int) -> Place:
        """Where the ledger stands in this shard's stream; before its beginning if it has none of it."""
        db = self._db
        found = db.execute("SELECT next_seq, digest, epoch FROM positions WHERE shard_id = ?", (shard_id,)).fetchone()
        if found is None:
            return Place(Position(), 0, 0, ())
        ends = db.execute("SELECT next_seq, digest FROM ends WHERE shard_id = ? ORDER BY next_seq", (shard_id,))
        return Place(Position(found[0], found[1]), found[2], self.day(shard_id), [Position(*end) for end in ends])

    def day(self, shard_id: int) -> int:
        """The day that began last; 0 before any."""
        latest = "SELECT day FROM days WHERE shard_id = ? ORDER BY seq DESC LIMIT 1"
        found = self._db.execute(latest, (shard_id,)).fetchone()
        return int(found[0]) if found is not None else 0

    def write(self, items: Iterable[Batch | Cut]) -> None:
        """All of it, in order, or nothing; each is taken when those before it are written. Raises LedgerFailed."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                for item in items:
                    if isinstance(item, Batch):
                        self._append(item)
                    else:
                        self._cut(item)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise LedgerFailed(f"{self._file}: {error}") from error

    def _append(self, batch: Batch) -> None:
        db, shard_id = self._db, batch.shard_id
        db.executemany("INSERT OR IGNORE INTO days VALUES (?, ?, ?)", ((shard_id, *day) for day in batch.days))
        db.executemany(_INSERT, (_values(shard_id, entry) for entry in batch.entries))
        db.execute("INSERT OR IGNORE INTO ends VALUES (?, ?, ?)", (shard_id, *batch.position))
        (count,) = db.execute("SELECT count(*) FROM ends WHERE shard_id = ?", (shard_id,)).fetchone()
        if count >= MAX_ENDS:
            db.execute(_THIN_OUT, (shard_id, MAX_ENDS // 2))
        self._stand(shard_id, batch.position, batch.epoch)

    def _cut(self, cut: Cut) -> None:
        db, (shard_id, position, epoch) = self._db, cut
        before = self.place(shard_id).position
        removed = db.execute(
            "DELETE FROM history WHERE shard_id = ? AND seq >= ?", (shard_id, position.next_seq)
        ).rowcount
        db.execute("DELETE FROM days WHERE shard_id = ? AND seq >= ?", (shard_id, position.next_seq))
        db.execute("DELETE FROM ends WHERE shard_id = ? AND next_seq > ?", (shard_id, position.next_seq))
        fork = (shard_id, position.next_seq, before.next_seq - 1, epoch, removed)
        db.execute("INSERT INTO forks VALUES (?, ?, ?, ?, ?)", fork)
        self._stand(shard_id, position, epoch)

    def _stand(self, shard_id: int, position: Position, epoch: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)", (shard_id, *position, epoch))


def _values(shard_id: int, entry: Entry) -> tuple[int | str, ...]:
    values = (
        value.decode("latin-1") if isinstance(value, bytes) else stored(value) if isinstance(value, int) else value
        for value in entry.row
    )
    return (shard_id, entry.seq, entry.day, stored(entry.timestamp), *values)


@contextmanager
def open_ledger(directory: Path, sync: Sync) -> Iterator[LedgerFile]:
    """The ledger in this directory, made if need be, locked while the block runs. Raises LedgerFailed, OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerFailed(f"{directory} is in use by another process") from None
        try:
            ledger = LedgerFile(ledger_file(directory), sync)
        except sqlite3.Error as error:
            raise LedgerFailed(f"{ledger_file(directory)}: {error}") from error
        try:
            yield ledger
        finally:
            ledger.close()
    finally:
        os.close(lock)


@contextmanager
def read_ledger(directory: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, at any time. Raises LedgerFailed."""
    file = ledger_file(directory)
    if not file.exists():
        raise LedgerFailed(f"{file}: there is no ledger: none has run from this file")
    try:
        db = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
        try:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version != SCHEMA_VERSION:
                raise LedgerFailed(f"{file}: is of version {version}, this program reads {SCHEMA_VERSION}")
            db.row_factory = sqlite3.Row
            yield db
        finally:
            db.close()
    except sqlite3.Error as error:
        raise LedgerFailed(f"{file}: {error}") from error
