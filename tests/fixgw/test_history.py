"""What brokers ask about orders and trades, and what they are answered: requests, pages, refusals, bounds."""

import pytest

from fixgw import tags
from fixgw.answer import Answer
from fixgw.history import MAX_TOLD, MAX_TOLD_BYTES, portions
from fixgw.inquiries import INQUIRIES_PER_SECOND, INQUIRY_BURST, MAX_NAME_BYTES, MAX_OPEN, Inquiry
from fixgw.reports import DIALECTS, Report, Reporter
from fixgw.timestamps import SECOND
from matching import queries
from matching.events import OrderTerms
from matching.ids import first_id
from recovery.segment import MAX_PAYLOAD_BYTES
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.fixtalk import NOW
from tests.fixgw.venue_in_memory import INSTRUMENTS, Venue

V44 = DIALECTS[b"FIX.4.4"]
ASKED = "55=ALPHA|54=1|"


def trading(venue: Venue) -> tuple[Broker, Broker]:
    for comp_id in venue.brokers:
        venue.connect(comp_id)
    venue.settle()
    amber, birch = venue.brokers.values()
    return amber, birch


def told(venue: Venue, broker: Broker, msg_type: str, fields: str) -> list[str]:
    """What the broker is answered to one request."""
    venue.settle()
    broker.take()
    broker.send(msg_type, fields)
    venue.settle()
    return broker.take()


# --- one order --------------------------------------------------------------------------------------------------------


def test_the_status_of_an_order_through_its_life() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    amber.order("a1", "buy", 100, "10")
    assert told(venue, amber, "H", f"11=a1|{ASKED}790=q1|") == ["8 11=a1 150=I 39=0 151=100 14=0"]
    report = amber.reports()[-1]
    assert (report[tags.ExecID], report[tags.OrdStatusReqID]) == (b"0", b"q1")
    birch.order("b1", "sell", 60, "10")
    assert told(venue, amber, "H", f"11=a1|{ASKED}") == ["8 11=a1 150=I 39=1 151=40 14=60"]
    amber.replace("a2", "a1", "buy", 90, "10")
    assert told(venue, amber, "H", f"11=a2|{ASKED}") == ["8 11=a2 150=I 39=1 151=30 14=60"]
    amber.cancel("a3", "a2", "buy")
    assert told(venue, amber, "H", f"11=a2|{ASKED}") == ["8 11=a2 150=I 39=4 151=0 14=60"]
    assert amber.reports()[-1][tags.AvgPx] == b"10.00"


def test_a_status_in_fix_42_is_an_exec_trans_type() -> None:
    venue = Venue()
    _, birch = trading(venue)
    birch.order("b1", "sell", 60, "10")
    assert told(venue, birch, "H", "11=b1|55=ALPHA|54=2|") == ["8 11=b1 150=0 39=0 151=60 14=0"]
    report = birch.reports()[-1]
    assert (report[tags.ExecTransType], report[tags.ExecID]) == (b"3", b"0")


UNKNOWN = "58=ClOrdID(11) or OrderID(37) names no order of this session"


@pytest.mark.parametrize("asked", ["11=never|", "11=a-name-longer-than-twenty|", "11=b1|", "11=x|37=1|"])
def test_an_order_that_the_session_never_had_is_unknown(asked: str) -> None:
    venue = Venue()
    amber, birch = trading(venue)
    birch.order("b1", "sell", 60, "10")
    [answer] = told(venue, amber, "H", f"{asked}{ASKED}")
    assert answer.split()[2:4] == ["150=I", "39=8"]
    assert answer.endswith(UNKNOWN)


def test_by_its_order_id_an_order_is_told_to_its_own_firm_only() -> None:
    venue = Venue(shard_count=2)
    amber, birch = trading(venue)
    amber.order("a1", "buy", 100, "10", symbol="GAMMA")
    venue.settle()
    order_id = amber.reports()[-1][tags.OrderID].decode()
    for other in ("x", "a-name-longer-than-twenty"):
        assert told(venue, amber, "H", f"11={other}|37={order_id}|{ASKED}") == ["8 11=a1 150=I 39=0 151=100 14=0"]
    assert told(venue, birch, "H", f"11=x|37={order_id}|{ASKED}")[0].endswith(UNKNOWN)


# --- all open orders --------------------------------------------------------------------------------------------------


def test_all_open_orders_of_the_firm_on_all_shards_and_the_last_says_so() -> None:
    venue = Venue(shard_count=2)
    amber, birch = trading(venue)
    amber.order("a1", "buy", 10, "10")
    amber.order("a2", "sell", 10, "11")
    amber.order("a3", "buy", 10, "10", symbol="GAMMA")
    amber.order("a4", "buy", 10, "9")
    amber.cancel("a5", "a4", "buy")
    birch.order("b1", "buy", 10, "9")
    assert told(venue, amber, "AF", "584=m1|585=7|") == [
        "8 11=a1 150=I 39=0 151=10 14=0",
        "8 11=a2 150=I 39=0 151=10 14=0",
        "8 11=a3 150=I 39=0 151=10 14=0 912=Y",
    ]
    assert {report[tags.MassStatusReqID] for report in amber.reports()[-3:]} == {b"m1"}
    assert told(venue, amber, "AF", "584=m2|585=1|55=ALPHA|54=2|") == ["8 11=a2 150=I 39=0 151=10 14=0 912=Y"]
    assert told(venue, amber, "AF", "584=m3|585=7|55=GAMMA|54=2|") == [
        "8 150=I 39=8 151=0 14=0 103=5 912=Y 58=no open order is like that"
    ]


def test_a_stray_name_of_an_order_chooses_nothing_where_all_are_asked_for() -> None:
    """AF has no ClOrdID(11) and no OrderID(37); engines that send one with everything got no order at all."""
    venue = Venue(shard_count=2)
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "10")
    amber.order("a2", "buy", 10, "10", symbol="GAMMA")
    everything = ["8 11=a1 150=I 39=0 151=10 14=0", "8 11=a2 150=I 39=0 151=10 14=0 912=Y"]
    long_name = "x" * (MAX_NAME_BYTES + 1)
    for stray in (f"37={1 << 48 | 1}", "11=m1", f"11={long_name}"):
        assert told(venue, amber, "AF", f"{stray}|584=m|585=7|") == everything


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("584=m|585=1|", "j 380=0 58=MassStatusReqType(585) is neither 7 (all orders) nor 1 (of a security) with"),
        ("584=m|585=8|", "j 380=0 58=MassStatusReqType(585) is neither 7"),
        ("584=m|585=7|55=OMEGA|", "j 380=2 58=Symbol(55) OMEGA is not traded here"),
        ("584=m|585=9|", "3 373=5 58=Value is incorrect (out of range) for MassStatusReqType(585)"),
    ],
)
def test_a_mass_status_request_that_makes_no_sense(asked: str, answer: str) -> None:
    venue = Venue()
    amber, _ = trading(venue)
    [heard] = told(venue, amber, "AF", asked)
    assert heard.startswith(answer)


# --- trades -----------------------------------------------------------------------------------------------------------


def test_the_fills_of_the_firm_each_from_its_own_side() -> None:
    venue = Venue(shard_count=2)
    amber, birch = trading(venue)
    amber.order("a1", "buy", 100, "10")
    birch.order("b1", "sell", 60, "10")
    birch.order("b2", "sell", 20, "10", symbol="GAMMA")
    venue.settle()
    amber.order("a2", "buy", 20, "10", symbol="GAMMA")
    first, second = first_id(1), first_id(2)
    assert told(venue, amber, "AD", "568=t1|569=0|") == [
        f"AE 571={first}B 11=a1 32=60 31=10.00",
        f"AE 571={second}B 11=a2 32=20 31=10.00 912=Y",
    ]
    assert amber.reports()[-1] == {
        35: b"AE", 571: b"%dB" % second, 568: b"t1", 912: b"Y", 570: b"N", 17: b"2-T1B", 880: b"%d" % second,
        55: b"GAMMA", 32: b"20", 31: b"10.00", 75: b"20261122", 60: b"20261122-09:30:00.000", 552: b"1", 54: b"1",
        37: amber.reports()[-1][37], 11: b"a2",
    }  # fmt: skip
    assert told(venue, amber, "AD", "568=t2|569=1|11=a1|") == [f"AE 571={first}B 11=a1 32=60 31=10.00 912=Y"]
    assert told(venue, amber, "AD", "568=t3|569=1|54=2|") == ["AQ 749=0 58=no fill is like that"]
    assert told(venue, amber, "AD", "568=t4|569=1|55=GAMMA|") == [f"AE 571={second}B 11=a2 32=20 31=10.00 912=Y"]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("568=t|569=2|", "AQ 749=8 58=TradeRequestType(569) is neither"),
        ("568=t|569=0|263=1|", "AQ 749=8 58=SubscriptionRequestType(263) must be 0"),
        ("568=t|569=0|55=OMEGA|", "AQ 749=1 58=Symbol(55) OMEGA is not traded here"),
        ("568=t|569=1|37=x|", "AQ 749=99 58=OrderID(37) x is not an order's number"),
        ("568=t|569=1|37=0|", "AQ 749=99 58=OrderID(37) 0 is not an order's number"),
    ],
)
def test_a_trade_request_that_makes_no_sense(asked: str, answer: str) -> None:
    venue = Venue()
    amber, _ = trading(venue)
    [heard] = told(venue, amber, "AD", asked)
    assert heard.startswith(answer)
    assert amber.reports()[-1][tags.TradeRequestStatus] == b"2"


def test_fix_42_has_neither_and_is_answered_all_the_same() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    birch.order("b1", "sell", 30, "10")
    amber.order("a1", "buy", 10, "10")
    assert told(venue, birch, "AF", "584=m|585=7|") == ["8 11=b1 150=1 39=1 151=20 14=10 912=Y"]
    assert birch.reports()[-1][tags.ExecTransType] == b"3"
    [fill] = told(venue, birch, "AD", "568=t|569=0|")
    assert fill.startswith("AE 571=")
    assert birch.reports()[-1][tags.ExecID] == birch.reports()[-3][tags.ExecID]


# --- no answer --------------------------------------------------------------------------------------------------------

NO_QUORUM = "58=not answered: no majority of the market's replicas can be asked now"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (("H", f"11=a1|{ASKED}"), "8 11=a1 150=I 39=8 151=0 14=0 103=99"),
        (("AF", "584=m|585=7|"), "j 380=4"),
        (("AD", "568=t|569=0|"), "AQ 749=99"),
    ],
)
def test_without_a_majority_the_broker_is_told_so(asked: tuple[str, str], answer: str) -> None:
    venue = Venue()
    amber, _ = trading(venue)
    venue.kill_shard(1)
    assert told(venue, amber, *asked) == [f"{answer} {NO_QUORUM}"]


def test_what_was_told_before_the_majority_was_gone_is_told_whole() -> None:
    venue = Venue(shard_count=2)
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "10")
    venue.settle()
    venue.kill_shard(2)
    assert told(venue, amber, "AF", "584=m|585=7|") == ["8 11=a1 150=I 39=0 151=10 14=0", f"j 380=4 {NO_QUORUM}"]


def test_a_request_that_was_not_answered_before_a_crash_is_not_answered_after_it() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.send("AF", "584=m|585=7|")
    venue.step("to_gateway", amber.session_id)
    assert len(venue.asked) == 1
    venue.restart_gateway()
    venue.connect("AMBER")
    venue.settle()
    assert amber.reports() == []
    assert told(venue, amber, "H", f"11=a|{ASKED}")[0].endswith(UNKNOWN)


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_so_many_wait_for_their_answers_and_no_more() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.take()
    for number in range(MAX_OPEN + 1):
        amber.send("AF", f"584=m{number}|585=7|")
    venue.step("to_gateway", amber.session_id)
    venue.step("to_broker", amber.session_id)
    assert amber.take() == [f"j 380=0 58={MAX_OPEN} inquiries of this session wait for their answers"]
    venue.settle()
    assert len(amber.take()) == MAX_OPEN
    assert told(venue, amber, "AF", "584=m|585=7|")[0].startswith("8 ")


def test_inquiries_have_a_rate_of_their_own() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    for _ in range(INQUIRY_BURST):
        assert told(venue, amber, "H", f"11=a|{ASKED}")[0].endswith(UNKNOWN)
    assert told(venue, amber, "H", f"11=a|{ASKED}")[0].endswith("58=rate limit of inquiries exceeded")
    venue.now += SECOND // INQUIRIES_PER_SECOND
    assert told(venue, amber, "H", f"11=a|{ASKED}")[0].endswith(UNKNOWN)


@pytest.mark.parametrize(
    ("msg_type", "asked", "tag"),
    [
        ("H", "11=a1|55=ALPHA|54=1|790=LONG|", "OrdStatusReqID(790)"),
        ("H", "11=LONG|55=ALPHA|54=1|", "ClOrdID(11)"),
        ("H", "11=a1|55=LONG|54=1|", "Symbol(55)"),
        ("AF", "584=LONG|585=7|", "MassStatusReqID(584)"),
        ("AF", "584=m|585=7|11=LONG|55=LONG|", "Symbol(55)"),
        ("AD", "568=LONG|569=0|", "TradeRequestID(568)"),
    ],
)
def test_what_is_too_long_to_be_repeated_is_declined_and_not_repeated(msg_type: str, asked: str, tag: str) -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "10")
    [heard] = told(venue, amber, msg_type, asked.replace("LONG", "n" * (MAX_NAME_BYTES + 1)))
    assert heard.endswith(f"58={tag} is longer than {MAX_NAME_BYTES} characters")
    assert all(b"n" * MAX_NAME_BYTES not in value for value in amber.reports()[-1].values())
    assert b"" not in amber.reports()[-1].values()
    [heard] = told(venue, amber, msg_type, asked.replace("LONG", "n" * MAX_NAME_BYTES))
    assert "is longer than" not in heard


def test_however_long_an_answer_and_its_requests_name_are_each_record_is_one_that_a_journal_takes() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    for number in range(1000):
        amber.send("D", f"11=a{number:019}|1={'x' * 16}|55=ALPHA|54=2|60=NOW|38=1|40=2|44=199999.55|")
    venue.settle()
    before = len(venue.gateway.batches)
    for name in ("m" * 7000, "m" * MAX_NAME_BYTES):
        amber.send("AF", f"584={name}|585=7|")
        venue.settle()
    records = [len(batch.record) for batch in venue.gateway.batches[before:]]
    assert sum(report.get(tags.MassStatusReqID) == name.encode() for report in amber.reports()) == 1000
    assert max(records) < MAX_PAYLOAD_BYTES / 2


def test_portions_have_their_number_and_their_bytes() -> None:
    small, large, huge = (Report(1, b"8", bytes(size)) for size in (10, MAX_TOLD_BYTES // 2, 2 * MAX_TOLD_BYTES))
    assert [len(each) for each in portions([small] * (2 * MAX_TOLD + 1))] == [MAX_TOLD, MAX_TOLD, 1]
    assert [len(each) for each in portions([large] * 5)] == [2, 2, 1]
    assert [len(each) for each in portions([small, huge, small, small])] == [1, 1, 2]
    assert list(portions([])) == []
    assert 2 * MAX_TOLD_BYTES <= MAX_PAYLOAD_BYTES


# --- pages ------------------------------------------------------------------------------------------------------------


def inquiry(msg_type: bytes, **more: object) -> Inquiry:
    return Inquiry(msg_type, 9, 1, 5, (1, 2), b"m", b"7", **more)  # type: ignore[arg-type]


def order(order_id: int, participant_id: int = 5) -> queries.OrderStatus:
    terms = OrderTerms(order_id, participant_id, 1, 1, 1, 2, 0, 100_000, 10, b"a%d" % order_id, b"")
    return queries.OrderStatus(terms, ord("0"), 10, 0, 0)


def answer_to(asked: Inquiry) -> Answer:
    return Answer(asked, {1: Reporter(1, {}, {1: INSTRUMENTS["ALPHA"]})}, V44)


def shown(reports: list[Report]) -> list[tuple[bytes, bool]]:
    return [(report.body.split(b"11=")[1].split(b"\x01")[0], b"912=Y" in report.body) for report in reports]


@pytest.mark.parametrize("msg_type", [b"H", b"AF"])
def test_what_a_shard_refuses_while_a_day_begins_is_told_in_its_words_and_to_be_asked_again(msg_type: bytes) -> None:
    """It is not that the symbol is not traded yet, as a shard says when it is asked for the status of one."""
    answer = answer_to(inquiry(msg_type))
    [report] = answer.receive(queries.encode(queries.QueryRefused("a day begins")), NOW)
    assert b"58=not answered: a day begins\x01" in report.body
    assert (b"380=4\x01" if msg_type == b"AF" else b"103=99\x01") in report.body
    assert answer.question() is None


def test_what_the_shard_before_told_is_told_before_the_refusal() -> None:
    answer = answer_to(inquiry(b"AF"))
    assert answer.receive(queries.encode(queries.OrdersFound([order(1)], more=False)), NOW) == []
    told, refused = answer.receive(queries.encode(queries.QueryRefused("a day begins")), NOW)
    assert shown([told]) == [(b"a1", False)]
    assert b"58=not answered: a day begins\x01" in refused.body


def test_pages_go_on_after_the_last_row_and_the_last_row_waits_for_the_next_page() -> None:
    answer = answer_to(inquiry(b"AF"))

    def page(expected: tuple[int, int], *ids: int, more: bool) -> list[tuple[bytes, bool]]:
        shard_id, after = expected
        assert answer.question() == (shard_id, queries.encode(queries.OpenOrders(5, after)))
        return shown(answer.receive(queries.encode(queries.OrdersFound([order(each) for each in ids], more)), NOW))

    assert page((1, 0), 1, 2, more=True) == [(b"a1", False)]
    assert page((1, 2), 3, more=False) == [(b"a2", False)]
    assert page((2, 0), more=False) == [(b"a3", True)]
    assert answer.question() is None


def test_a_page_without_rows_says_itself_where_to_go_on() -> None:
    answer = answer_to(inquiry(b"AF"))
    none_yet = queries.OrdersFound([], more=True, after=16_000)
    assert answer.receive(queries.encode(none_yet), NOW) == []
    assert answer.question() == (1, queries.encode(queries.OpenOrders(5, 16_000)))


def test_rows_of_another_firm_are_never_told() -> None:
    answer = answer_to(inquiry(b"AF"))
    assert answer.receive(queries.encode(queries.OrdersFound([order(1, 6)], more=False)), NOW) == []
    [report] = answer.receive(queries.encode(queries.OrdersFound([order(2, 6)], more=False)), NOW)
    assert b"58=no open order is like that" in report.body


@pytest.mark.parametrize("reply", [b"", queries.encode(queries.QueryRefused("no"))])
def test_a_reply_that_is_none_ends_the_answer(reply: bytes) -> None:
    answer = answer_to(inquiry(b"AD"))
    [report] = answer.receive(reply, NOW)
    assert report.msg_type == b"AQ"
    assert answer.question() is None
