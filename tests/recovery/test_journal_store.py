from recovery import journal_store
from recovery.journal import open_journal
from recovery.journal_store import JournalStore
from recovery.record import Position

MESSAGE = (6 + 2).to_bytes(2, "big") + b"\x10\x00"


def message(n: int) -> bytes:
    return MESSAGE + n.to_bytes(2, "big") + b"crc!"


def test_a_day_of_messages_is_answered_from_memory_and_from_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_store, "TAIL_BYTES", 2000)
    with open_journal(tmp_path, sync="write") as journal:
        store = JournalStore(journal)
        assert (store.position, store.epoch, store.next_seq) == (Position(), 0, 1)
        assert store.messages(1, 100) == []
        for n in range(1, 6000, 3):
            store.append([message(n), message(n + 1), message(n + 2)], 4, n * 7)
        journal.write_nowait()
        assert store._tail.first_seq > 5900
        check(store)
    with open_journal(tmp_path, sync="write") as journal:
        store = JournalStore(journal)
        assert (store.position, store.epoch) == (Position(6001, 5998 * 7), 4)
        check(store)
        store.append([message(6001)], 5, 1)
        journal.write_nowait()
        assert store.messages(6000, 1000) == [message(6000), message(6001)]


def test_a_copy_ends_where_the_stream_forked(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_store, "_COPY_RECORDS", 2)
    with open_journal(tmp_path / "kept", sync="write") as journal:
        store = JournalStore(journal)
        for n in range(1, 30, 3):
            store.append([message(n), message(n + 1), message(n + 2)], n, n * 7)
    for fork in (Position(), Position(4, 7), Position(15, 99), Position(22, 19 * 7), Position(31, 28 * 7)):
        directory = tmp_path / str(fork.next_seq)
        with open_journal(directory, sync="write") as journal:
            store.copy_below(fork, journal)
        with open_journal(directory, sync="write") as journal:
            copy = JournalStore(journal)
            assert copy.position == fork
            assert copy.messages(1, 10**6) == [message(n) for n in range(1, fork.next_seq)]
            assert copy.epoch == max([n for n in range(1, 30, 3) if n < fork.next_seq], default=0)
            assert copy.past.up_to(99)[-1:] == ([fork] if fork.next_seq > 1 else [])


def check(store: JournalStore) -> None:
    assert (store.first_seq, store.next_seq) == (1, 6001)
    for first in (1, 2, 3, 1024, 1025, 1026, 3000, 5990, 6000):
        assert store.messages(first, 55) == [message(n) for n in range(first, min(first + 5, 6001))]
    assert store.messages(5, 1) == [message(5)]
    assert store.messages(1, 10**6) == [message(n) for n in range(1, 6001)]
    assert store.messages(0, 100) == []
    assert store.messages(6001, 100) == []
