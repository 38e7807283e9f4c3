"""The ledger's file: rows and the place in the stream together, whatever is given twice, cut off or interrupted."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixgw import ledger_file
from fixgw.ledger_file import (
    Batch,
    Cut,
    Entry,
    LedgerFailed,
    LedgerFile,
    Place,
    open_ledger,
    read_back,
    read_ledger,
    stored,
)
from matching import events, ledger
from recovery.record import Position

SHARD = 1


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LedgerFile]:
    with open_ledger(tmp_path, "write") as opened:
        yield opened


def entry(seq: int, day: int = 20251121, order_id: int = 77) -> Entry:
    terms = events.OrderTerms(order_id, 7, 70, 1, 1, 2, 0, 100_0000, 500, b"C%d" % seq, b"")
    (row,) = ledger.rows(events.OrderAccepted(terms, seq))
    return Entry(seq, day, 1_763_679_600_000_000_000 + seq, row)


def batch(first: int, end: int, *, days: tuple[tuple[int, int], ...] = (), shard_id: int = SHARD) -> Batch:
    return Batch(shard_id, [entry(seq) for seq in range(first, end)], days, Position(end, 1000 + end), 1)


def seqs(directory: Path) -> list[int]:
    with read_ledger(directory) as db:
        return [row["seq"] for row in db.execute("SELECT seq FROM history ORDER BY seq")]


def test_rows_and_place_are_back_after_a_restart(tmp_path: Path) -> None:
    with open_ledger(tmp_path, "disk") as file:
        assert file.place(SHARD) == Place(Position(), 0, 0, ())
        file.write([batch(1, 4, days=((1, 20251121),)), batch(4, 6)])
    with open_ledger(tmp_path, "disk") as file:
        ends = [Position(4, 1004), Position(6, 1006)]
        assert file.place(SHARD) == Place(Position(6, 1006), 1, 20251121, ends)
        assert file.place(2) == Place(Position(), 0, 0, ())
    assert seqs(tmp_path) == [1, 2, 3, 4, 5]


def test_what_is_given_twice_is_there_once(file: LedgerFile, tmp_path: Path) -> None:
    file.write([batch(1, 4)])
    file.write([batch(2, 6)])
    assert seqs(tmp_path) == [1, 2, 3, 4, 5]


def test_a_number_of_a_participant_is_never_there_twice(file: LedgerFile, tmp_path: Path) -> None:
    file.write([batch(1, 4)])
    other = entry(9)
    again = other._replace(row=other.row._replace(participant_seq=3))
    with pytest.raises(LedgerFailed, match="UNIQUE"):
        file.write([batch(4, 9), Batch(SHARD, [again], (), Position(10, 0), 1)])
    assert seqs(tmp_path) == [1, 2, 3]
    assert file.place(SHARD).position == Position(4, 1004)
    file.write([batch(4, 5)])
    assert seqs(tmp_path) == [1, 2, 3, 4]


def test_what_fails_while_it_is_made_is_not_written_by_half(file: LedgerFile, tmp_path: Path) -> None:
    def items() -> Iterator[Batch]:
        yield batch(1, 4)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        file.write(items())
    file.write([batch(1, 2)])
    assert seqs(tmp_path) == [1]


def test_a_fork_takes_away_what_lies_beyond_it_of_its_shard(file: LedgerFile, tmp_path: Path) -> None:
    file.write([batch(1, 4, days=((1, 20251121),)), batch(4, 8, days=((5, 20251122),))])
    other = Batch(2, [entry(50)._replace(row=entry(50).row._replace(part=1))], (), Position(51, 0), 1)
    file.write([other, Cut(SHARD, Position(4, 1004), 2)])
    assert seqs(tmp_path) == [1, 2, 3, 50]
    assert file.place(SHARD) == Place(Position(4, 1004), 2, 20251121, [Position(4, 1004)])
    with read_ledger(tmp_path) as db:
        (fork,) = db.execute("SELECT * FROM forks").fetchall()
    assert tuple(fork) == (SHARD, 4, 7, 2, 4)
    file.write([batch(4, 6)])
    assert seqs(tmp_path) == [1, 2, 3, 4, 5, 50]


def test_a_cut_and_what_follows_may_be_one_transaction(file: LedgerFile, tmp_path: Path) -> None:
    file.write([batch(1, 8), Cut(SHARD, Position(4, 1004), 2), batch(4, 5)])
    assert seqs(tmp_path) == [1, 2, 3, 4]


def test_places_to_go_back_to_get_fewer_the_older_they_are(file: LedgerFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_file, "MAX_ENDS", 16)
    for end in range(2, 102):
        file.write([Batch(SHARD, (), (), Position(end, end), 1)])
    ends = file.place(SHARD).ends
    assert len(ends) < 16
    assert [end.next_seq for end in ends[-8:]] == list(range(94, 102))
    assert ends[0].next_seq < 40


@pytest.mark.parametrize("number", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_every_unsigned_number_has_a_signed_one(number: int) -> None:
    assert -(1 << 63) <= stored(number) < 1 << 63
    assert read_back(stored(number)) == number


def test_the_greatest_identifiers_fit(file: LedgerFile, tmp_path: Path) -> None:
    file.write([Batch(SHARD, [entry(1, order_id=(1 << 64) - 1)], (), Position(2, 0xFFFF_FFFF), 1)])
    with read_ledger(tmp_path) as db:
        assert [read_back(row["order_id"]) for row in db.execute("SELECT order_id FROM history")] == [(1 << 64) - 1]


def test_one_process_writes(file: LedgerFile, tmp_path: Path) -> None:
    with pytest.raises(LedgerFailed, match="in use by another process"), open_ledger(tmp_path, "write"):
        pass


def test_readers_cannot_write_and_see_whole_transactions(file: LedgerFile, tmp_path: Path) -> None:
    file.write([batch(1, 4)])
    with read_ledger(tmp_path) as db:
        db.execute("BEGIN")
        before = db.execute("SELECT count(*) FROM history").fetchone()[0]
        file.write([batch(4, 6)])
        assert (before, db.execute("SELECT count(*) FROM history").fetchone()[0]) == (3, 3)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM history")
    assert len(seqs(tmp_path)) == 5


def test_a_ledger_that_is_not_there_or_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerFailed, match="there is no ledger"), read_ledger(tmp_path):
        pass
    with open_ledger(tmp_path, "write"):
        pass
    with sqlite3.connect(tmp_path / ledger_file.FILE_NAME) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerFailed, match="version 99, this program reads 1"), read_ledger(tmp_path):
        pass
    with pytest.raises(LedgerFailed, match="version 99, this program writes 1"), open_ledger(tmp_path, "write"):
        pass


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / ledger_file.FILE_NAME).write_bytes(b"something else" * 100)
    with pytest.raises(LedgerFailed, match="not a database"), open_ledger(tmp_path, "write"):
        pass
    with pytest.raises(LedgerFailed, match="not a database"), read_ledger(tmp_path):
        pass


@pytest.mark.parametrize(("sync", "level"), [("write", 1), ("disk", 2)])
def test_sync_says_what_a_transaction_waits_for(tmp_path: Path, sync: ledger_file.Sync, level: int) -> None:
    with open_ledger(tmp_path, sync) as file:
        assert file._db.execute("PRAGMA synchronous").fetchone() == (level,)
        assert file._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
