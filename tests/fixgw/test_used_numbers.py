"""A gateway that has lost its journal, and brokers who go on without ResetSeqNumFlag(141)=Y: all are answered."""

import pytest

from fixgw import tags
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.venue_in_memory import Venue

TEXT = (
    b"not taken: the market has had this MsgSeqNum(34) of yours before; log on with ResetSeqNumFlag(141)=Y, and ask "
    b"for your orders"
)


def with_an_order(**options: object) -> tuple[Venue, Broker]:
    """AMBER's order a1 rests, and other messages of hers have numbers, too."""
    venue = Venue(**options)  # type: ignore[arg-type]
    venue.settle()
    amber = venue.brokers["AMBER"]
    venue.connect("AMBER")
    venue.settle()
    for number in range(1, 5):
        amber.order(f"a{number}", "buy", 10, "10")
    venue.settle()
    return venue, amber


def lose_journal(venue: Venue) -> None:
    venue.kill_gateway()
    venue.settle()
    venue.gateway_records.clear()
    venue.start_gateway()
    venue.wait(0.1)
    for broker in venue.brokers.values():
        broker._exec_ids.clear()  # the same reports come again, under new numbers


def told(broker: Broker, since: int) -> list[tuple[bytes, ...]]:
    """MsgType, and of a BusinessMessageReject what it is about."""
    wanted = (tags.MsgType, tags.RefSeqNum, tags.RefMsgType, tags.BusinessRejectRefID, tags.BusinessRejectReason)
    found = (tuple(report[tag] for tag in wanted if tag in report) for report in broker.reports()[since:])
    return [each for each in found if each[0] == b"j"]


def begin_at_one(venue: Venue, broker: Broker) -> None:
    """As an engine does that has lost its store, too, and was not told to reset."""
    broker.next_out_seq = broker.next_in_seq = 1
    broker._sent.clear()
    broker.inbox.clear()
    venue.connect(broker.comp_id)
    venue.settle()


def test_requests_under_numbers_that_were_used_before_are_answered_and_the_operator_is_told() -> None:
    venue, amber = with_an_order()
    lose_journal(venue)
    begin_at_one(venue, amber)
    before = len(amber.reports())
    amber.order("b1", "buy", 20, "10")
    amber.cancel("c1", "a1", "buy")
    amber.replace("r1", "a2", "buy", 20, "10")
    venue.settle()
    assert told(amber, before) == [
        (b"j", b"3", b"D", b"b1", b"0"),
        (b"j", b"4", b"F", b"c1", b"0"),
        (b"j", b"5", b"G", b"r1", b"0"),
    ]
    assert {report[tags.Text] for report in amber.reports()[before:] if report[tags.MsgType] == b"j"} == {TEXT}
    assert venue.router.used_numbers == {amber.session_id}


def test_beyond_them_and_after_a_reset_requests_are_taken() -> None:
    venue, amber = with_an_order()
    lose_journal(venue)
    begin_at_one(venue, amber)
    before = len(amber.reports())
    for number in range(1, 6):
        amber.order(f"b{number}", "buy", 10, "10")
    venue.settle()
    assert len(told(amber, before)) == 3, "the fourth has a new number"
    venue.disconnect("AMBER")
    venue.connect("AMBER", "141=Y|")
    venue.settle()
    amber.order("c1", "buy", 10, "10")
    venue.settle()
    assert told(amber, 0) == []
    assert amber.reports()[-1][tags.ExecType] == b"0"


def test_a_message_that_is_sent_again_as_such_is_answered_by_its_first_reports_alone() -> None:
    venue, amber = with_an_order()
    lose_journal(venue)
    amber.next_in_seq = 1
    amber.inbox.clear()
    venue.connect("AMBER")
    venue.settle()
    amber.order("a5", "buy", 10, "10")
    venue.settle()
    assert told(amber, 0) == []
    assert venue.router.used_numbers == set()
    assert venue.router.shards[1].sent_again == set()
    accepted = [report[tags.ClOrdID] for report in amber.reports() if report.get(tags.ExecType) == b"0"]
    assert sorted(accepted) == [b"a1", b"a2", b"a3", b"a4", b"a5"]


@pytest.mark.parametrize("shard_count", [2])
def test_a_mass_cancel_is_answered_for_each_shard_that_had_its_number(shard_count: int) -> None:
    venue, amber = with_an_order(shard_count=shard_count)
    lose_journal(venue)
    begin_at_one(venue, amber)
    before = len(amber.reports())
    amber.send("q", "11=m1|530=7|60=NOW|")
    venue.settle()
    assert told(amber, before) == [(b"j", b"3", b"q", b"m1", b"0")], "shard 2 had no request of this number"
    assert any(report[tags.MsgType] == b"r" for report in amber.reports()[before:])
