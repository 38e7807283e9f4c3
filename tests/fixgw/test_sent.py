"""Messages are found again by session and number, through what a journal would give back."""

from fixgw.entries import Outbound, SessionNumbers
from fixgw.sent import SentIndex


class Journal:
    """Records by number, and which were read."""

    def __init__(self) -> None:
        self.records: dict[int, bytes] = {}
        self.reads: list[int] = []

    def read(self, number: int) -> bytes:
        self.reads.append(number)
        return self.records[number]


def write(journal: Journal, index: SentIndex, number: int, row: list[Outbound]) -> None:
    payload = SessionNumbers(1, 1, 1, 1).encode()
    for entry in row:
        index.add(entry.session_id, entry.run, entry.msg_seq_num, number)
        payload += entry.encode()
    journal.records[number] = payload


def test_messages_of_a_range_and_the_holes_that_admin_messages_left() -> None:
    journal, index = Journal(), SentIndex()
    write(journal, index, 1, [Outbound(4, 1, 2, b"two"), Outbound(5, 1, 2, b"other"), Outbound(4, 1, 3, b"three")])
    write(journal, index, 2, [Outbound(4, 1, 7, b"seven"), Outbound(4, 1, 8, b"eight")])
    write(journal, index, 4, [Outbound(4, 1, 9, b"nine")])
    assert index.messages(4, 1, 1, 7, journal.read) == [(2, b"two"), (3, b"three"), (7, b"seven")]
    assert journal.reads == [1, 2]
    assert index.messages(4, 1, 8, 8, journal.read) == [(8, b"eight")]
    assert journal.reads == [1, 2, 2]
    assert index.messages(4, 1, 4, 6, journal.read) == []
    assert index.messages(4, 1, 9, 99, journal.read) == [(9, b"nine")]
    assert index.messages(5, 1, 1, 99, journal.read) == [(2, b"other")]
    assert index.messages(6, 1, 1, 99, journal.read) == []


def test_a_new_run_forgets_the_old_one() -> None:
    journal, index = Journal(), SentIndex()
    write(journal, index, 1, [Outbound(4, 1, 2, b"old")])
    write(journal, index, 2, [Outbound(4, 1, 3, b"old"), Outbound(4, 9, 2, b"new")])
    assert index.messages(4, 9, 1, 9, journal.read) == [(2, b"new")]
    assert index.messages(4, 1, 1, 9, journal.read) == []
