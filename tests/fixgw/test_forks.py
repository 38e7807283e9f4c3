"""Which reports a fork makes void, and what is said of them."""

from collections.abc import Iterable

import pytest

from fixgw import forks
from fixgw.entries import Entry, Outbound, StreamFork, StreamPosition
from fixgw.forks import VoidReport, VoidReports, news, void_reports

SHARD = 1


class Journal:
    """The records of a gateway, in memory."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.msg_seq_num = 0
        self.records_read = 0

    def write(self, *row: Entry) -> None:
        self.payloads.append(b"".join(entry.encode() for entry in row))

    def trade(self, seq: int, *session_ids: int, shard_id: int = SHARD) -> None:
        """A batch: a report to each of these sessions, and where the stream was read to."""
        reports = [report(session_id, b"%d-%dB" % (shard_id, seq), b"order%d" % seq) for session_id in session_ids]
        self.write(*reports, StreamPosition(shard_id, seq + 1, 0, 1, 0, seq + 1))

    def read(self, first: int, count: int) -> Iterable[bytes]:
        self.records_read += count
        return self.payloads[first - 1 : first - 1 + count]

    def void(self, fork_seq: int) -> VoidReports:
        return void_reports(self.read, len(self.payloads) + 1, SHARD, fork_seq)


def report(session_id: int, exec_id: bytes, cl_ord_id: bytes, msg_type: bytes = b"8") -> Outbound:
    fields = b"8=FIX.4.4\x019=9\x0135=%b\x0111=%b\x0137=1\x0117=%b\x0110=000\x01" % (msg_type, cl_ord_id, exec_id)
    return Outbound(session_id, 1, 1, fields)


@pytest.fixture
def journal() -> Journal:
    journal = Journal()
    for seq in range(1, 11):
        journal.trade(seq, 1 + seq % 2)
    return journal


def test_reports_from_the_fork_on_are_void_and_belong_to_who_holds_them(journal: Journal) -> None:
    assert journal.void(8) == {
        1: [VoidReport(b"1-8B", b"order8"), VoidReport(b"1-10B", b"order10")],
        2: [VoidReport(b"1-9B", b"order9")],
    }
    assert journal.void(11) == {}


def test_other_shards_other_messages_and_our_own_refusals_are_not(journal: Journal) -> None:
    journal.trade(20, 1, shard_id=2)
    journal.trade(20, 1, shard_id=11)
    journal.write(report(1, b"G1-20", b"refused"))
    journal.write(report(1, b"1-20", b"no ExecutionReport", msg_type=b"9"))
    assert journal.void(11) == {}


def test_what_was_told_to_be_void_is_not_told_again(journal: Journal) -> None:
    journal.write(StreamFork(SHARD, 6), StreamPosition(SHARD, 6, 0, 2, 0, 6))
    assert journal.void(5) == {2: [VoidReport(b"1-5B", b"order5")]}
    journal.trade(6, 2)
    journal.write(StreamFork(2, 1))  # another shard's
    assert journal.void(5) == {2: [VoidReport(b"1-5B", b"order5"), VoidReport(b"1-6B", b"order6")]}
    journal.write(StreamFork(SHARD, 5), StreamPosition(SHARD, 5, 0, 3, 0, 5))
    assert journal.void(2) == {
        1: [VoidReport(b"1-2B", b"order2"), VoidReport(b"1-4B", b"order4")],
        2: [VoidReport(b"1-3B", b"order3")],
    }


def test_the_journal_is_read_back_no_further_than_needed(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "BLOCK_RECORDS", 3)
    expected = {fork_seq: journal.void(fork_seq) for fork_seq in range(1, 11)}
    monkeypatch.setattr(forks, "BLOCK_RECORDS", 1000)
    assert expected == {fork_seq: journal.void(fork_seq) for fork_seq in range(1, 11)}
    monkeypatch.setattr(forks, "BLOCK_RECORDS", 3)
    journal.records_read = 0
    journal.void(9)
    assert journal.records_read == 3


def test_a_session_is_told_by_news_with_a_line_for_each_report() -> None:
    void = {2: [VoidReport(b"1-8B", b"a"), VoidReport(b"1-9S", b"b")], 1: [VoidReport(b"1-8S", b"c")]}
    first, second = news(void)
    assert (first.session_id, first.msg_type) == (1, b"B")
    assert second.body.split(b"\x01") == [
        b"148=Reports are void: the market has lost what they told, and goes on without it",
        b"33=2",
        b"58=ExecID(17) 1-8B of ClOrdID(11) a is void",
        b"58=ExecID(17) 1-9S of ClOrdID(11) b is void",
        b"",
    ]


def test_a_news_has_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "MAX_LINES", 4)
    void = {1: [VoidReport(b"1-%d" % n, b"x") for n in range(10)]}
    bodies = [report.body for report in news(void)]
    assert [body.count(b"\x0158=") for body in bodies] == [4, 4, 2]
    assert [body.split(b"\x01")[1] for body in bodies] == [b"33=4", b"33=4", b"33=2"]
