"""Which reports a fork makes void, and what is said of them."""

from collections.abc import Iterable

import pytest

from fixgw import forks, tags
from fixgw.entries import Entry, Outbound, StreamFork, StreamPosition
from fixgw.forks import VoidReport, VoidReports, VoidReportSearch, news
from matching.ids import COUNTER_MASK, first_id
from tests.fixgw.fork_in_memory import SHARD, lose_end, make_readers, tell_fork, void_reports
from tests.fixgw.venue_in_memory import Venue


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

    def void(self, fork_seq: int, match_number: int = 0) -> VoidReports:
        return void_reports(self.read, len(self.payloads) + 1, fork_seq, match_number)


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


def test_trades_are_void_above_the_last_one_before_the_fork(journal: Journal) -> None:
    last = first_id(SHARD) + 7
    for number in range(last - 1, last + 3):
        exec_id = b"%d-T%dS" % (SHARD, number & COUNTER_MASK)
        journal.write(report(1, exec_id, b"of trade"), StreamPosition(SHARD, 11, 0, 1, 0, 11, number))
    lost = [VoidReport(b"1-T9S", b"of trade"), VoidReport(b"1-T10S", b"of trade")]
    assert journal.void(11, last) == {1: lost}
    journal.write(StreamFork(SHARD, 11, last))
    assert journal.void(11, last) == {}
    assert journal.void(11, last - 1) == {1: [VoidReport(b"1-T8S", b"of trade")]}


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


def test_a_long_search_keeps_only_what_it_finds_and_stops_after_each_block(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shard was quiet while another one traded."""
    monkeypatch.setattr(forks, "BLOCK_RECORDS", 10)
    kept = len(journal.payloads)
    for seq in range(1, 501):
        journal.trade(seq, 1, shard_id=2)
    search = VoidReportSearch(journal.read, len(journal.payloads) + 1, SHARD, 9, 0)
    blocks = 1
    while search.read_block():
        blocks += 1
        assert journal.records_read <= 10 * blocks
        assert search.found() == {}
    assert blocks == 51
    assert journal.records_read == kept + 500
    assert search.found() == {1: [VoidReport(b"1-10B", b"order10")], 2: [VoidReport(b"1-9B", b"order9")]}


def test_behind_a_fork_at_or_below_this_one_nothing_is_looked_for(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "BLOCK_RECORDS", 2)
    journal.write(StreamFork(SHARD, 6))
    assert journal.void(7) == {}
    assert journal.records_read == 2


def test_a_session_is_told_by_news_with_a_line_for_each_report_the_latest_first() -> None:
    void = {2: [VoidReport(b"1-8B", b"a"), VoidReport(b"1-9S", b"b")], 1: [VoidReport(b"1-8S", b"c")]}
    first, second = news(void)
    assert (first.session_id, first.msg_type) == (1, b"B")
    assert second.body.split(b"\x01") == [
        b"148=Reports are void: the market has lost what they told, and goes on without it",
        b"33=2",
        b"58=ExecID(17) 1-9S of ClOrdID(11) b is void",
        b"58=ExecID(17) 1-8B of ClOrdID(11) a is void",
        b"",
    ]


def test_a_news_has_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "MAX_LINES", 4)
    void = {1: [VoidReport(b"1-%d" % n, b"x") for n in range(10)]}
    bodies = [report.body for report in news(void)]
    assert [body.count(b"\x0158=") for body in bodies] == [4, 4, 2]
    assert [body.split(b"\x01")[1] for body in bodies] == [b"33=4", b"33=4", b"33=2"]
    assert [b"1-9 " in body for body in bodies] == [True, False, False]


# A whole fork: the shard comes back without the end of its journal


def exec_ids(venue: Venue, comp_id: str) -> list[str]:
    reports = venue.brokers[comp_id].reports()
    return [fields[tags.ExecID].decode() for fields in reports if tags.ExecID in fields]


def heard_news(venue: Venue, comp_id: str) -> list[str]:
    heard, venue.brokers[comp_id].heard = venue.brokers[comp_id].heard, []
    return [message.raw.decode() for message in heard if message.msg_type == b"B"]


@pytest.fixture
def venue() -> Venue:
    venue = Venue()
    make_readers(venue)
    venue.wait(0.1)
    for comp_id in ("AMBER", "BIRCH"):
        venue.connect(comp_id)
    venue.wait(0.1)
    return venue


def test_brokers_are_told_which_reports_are_void_once_and_trade_on(venue: Venue) -> None:
    amber, birch = venue.brokers["AMBER"], venue.brokers["BIRCH"]
    amber.order("a1", "buy", 5, "100")
    venue.settle()
    amber.order("a2", "buy", 5, "101")
    venue.settle()
    birch.order("b1", "sell", 5, "101")
    venue.settle()
    before, after = exec_ids(venue, "AMBER"), exec_ids(venue, "BIRCH")
    assert len(before) == 3
    for comp_id in ("AMBER", "BIRCH"):
        venue.brokers[comp_id].take()

    lose_end(venue, entries=2)
    assert sorted(tell_fork(venue)) == sorted(before[1:] + after)
    [told] = heard_news(venue, "AMBER")
    assert [exec_id in told for exec_id in before] == [False, True, True]
    assert all(exec_id in told for exec_id in after) is False
    assert len(heard_news(venue, "BIRCH")) == 1

    # The orders are gone, and their numbers are used up; a1 is still there to trade with.
    birch.order("b2", "sell", 5, "100")
    venue.wait(0.1)
    assert [fields[tags.ClOrdID] for fields in amber.reports()[-1:]] == [b"a1"]
    assert [fields[tags.ClOrdID] for fields in birch.reports()[-1:]] == [b"b2"]
    again = exec_ids(venue, "AMBER")[-1]
    assert again.startswith("1F1-"), "a number that was given before, and another ExecID"

    # Another life of the gateway knows that it was told, and where the stream goes on.
    position = venue.router.shards[SHARD].position
    venue.kill_gateway()
    venue.settle()
    venue.start_gateway()
    make_readers(venue)
    assert venue.router.shards[SHARD].position == position
    venue.wait(0.1)
    for comp_id in ("AMBER", "BIRCH"):
        venue.connect(comp_id)
        venue.wait(0.1)
        assert heard_news(venue, comp_id) == []


def test_a_fork_between_two_lives_of_the_gateway_is_told_too(venue: Venue) -> None:
    amber = venue.brokers["AMBER"]
    for number in range(4):
        amber.order(f"a{number}", "buy", 5, "100")
        venue.settle()
    sent = exec_ids(venue, "AMBER")
    for state, reader in zip(venue.router.shards.values(), venue.gateway.readers.values(), strict=True):
        state.epoch = reader.proven_epoch
    amber.order("a4", "buy", 5, "100")
    venue.settle()
    venue.kill_gateway()
    lose_end(venue, entries=2)
    venue.stream[SHARD].clear()
    venue.start_gateway()
    make_readers(venue)
    venue.now += 1_000_000_000
    venue.tick()
    lost = tell_fork(venue)
    assert lost[:1] == sent[3:]
    assert len(lost) == 2
