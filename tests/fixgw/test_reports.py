"""Events become reports: what each version says, and that QuickFIX's own dictionaries find nothing wrong with it."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixgw.fields import Refused
from fixgw.rejections import mass_cancel_rejection
from fixgw.reports import DIALECTS, Report, Reporter, cancel_rejection, format_average, format_price, rejection
from fixgw.translate import TradedInstrument
from matching.codes import CancelReason, ExecInst, OrdStatus, Peg, RejectReason, RestatementReason
from matching.commands import Conditions
from matching.events import (
    AuctionExecuted,
    CancelRejected,
    Event,
    MassCancelDone,
    MassCancelRejected,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderTerms,
    OrderTriggered,
    TradeBusted,
)
from matching.ids import first_id

#: 2026-11-21 10:00:00.123 UTC.
NOW = 1_795_255_200_123_000_000
NEW, OLD = 4, 2
INSTRUMENTS = {1: TradedInstrument(1, b"ALPHA", 7, 500, 10)}


def terms(session_id: int = NEW, **changes: int | bytes | Conditions) -> OrderTerms:
    fields: dict[str, int | bytes | Conditions] = {
        "order_id": 99,
        "participant_id": 1,
        "session_id": session_id,
        "instrument_id": 1,
        "side": 1,
        "ord_type": 2,
        "time_in_force": 0,
        "price": 1_002_500,
        "order_qty": 300,
        "cl_ord_id": b"o1",
        "account": b"acct",
    }
    return OrderTerms(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def reporter() -> Reporter:
    return Reporter(7, {NEW: DIALECTS[b"FIX.4.4"], OLD: DIALECTS[b"FIX.4.2"]}, INSTRUMENTS)


def shown(reports: list[Report]) -> list[str]:
    return [f"{each.session_id}:{each.msg_type.decode()}|{each.body.decode().replace(chr(1), '|')}" for each in reports]


TERMS = "1=acct|55=ALPHA|54=1|38=300|40=2|44=100.25|59=0|"
TIME = "60=20261121-10:00:00.123|"


def test_accepted(reporter: Reporter) -> None:
    event = OrderAccepted(terms(), 1)
    assert shown(reporter.reports(event, 42, NOW)) == [
        f"4:8|37=99|11=o1|17=7-42|150=0|39=0|{TERMS}151=300|14=0|6=0|{TIME}"
    ]


def test_accepted_in_42_says_exec_trans_type(reporter: Reporter) -> None:
    event = OrderAccepted(terms(OLD), 1)
    assert shown(reporter.reports(event, 42, NOW)) == [
        f"2:8|37=99|11=o1|17=7-42|20=0|150=0|39=0|{TERMS}151=300|14=0|6=0|{TIME}"
    ]


def test_a_trade_reports_to_both_sides_each_in_its_version(reporter: Reporter) -> None:
    resting = terms(OLD, side=2, order_id=98, cl_ord_id=b"s1")
    event = OrderExecuted(5, 1_002_500, 100, resting, 3, 1, 100, 200, 100_250_000, terms(), 2, 300, 0, 300_750_000)
    assert shown(reporter.reports(event, 43, NOW)) == [
        "2:8|37=98|11=s1|17=7-T5S|20=0|150=1|39=1|" + TERMS.replace("54=1", "54=2") + "32=100|31=100.25|"
        f"151=200|14=100|6=100.25|{TIME}",
        f"4:8|37=99|11=o1|17=7-T5B|150=F|39=2|{TERMS}32=100|31=100.25|527=5|151=0|14=300|6=100.25|{TIME}",
    ]


# The market model


def test_reports_repeat_what_an_order_asked_for(reporter: Reporter) -> None:
    asked = Conditions(95_000, 100, 50, ExecInst.POST_ONLY, Peg.PRIMARY, -100, NOW)
    event = OrderAccepted(terms(ord_type=80, time_in_force=66, price=0, account=b"", conditions=asked), 1)
    assert shown(reporter.reports(event, 42, NOW)) == [
        "4:8|37=99|11=o1|17=7-42|150=0|39=0|55=ALPHA|54=1|38=300|40=P|59=B|18=6 R|99=9.50|110=50|111=100|"
        f"126=20261121-10:00:00.123|211=-0.01|151=300|14=0|6=0|{TIME}"
    ]


@pytest.mark.parametrize(("session_id", "reason"), [(NEW, 99), (OLD, 4)])
def test_a_triggered_stop_is_restated(reporter: Reporter, session_id: int, reason: int) -> None:
    event = OrderTriggered(terms(session_id, ord_type=4, conditions=Conditions(stop_price=95_000)), 1, 0, 300, 0)
    [text] = shown(reporter.reports(event, 42, NOW))
    assert "|150=D|39=0|" in text
    assert f"|40=4|44=100.25|59=0|99=9.50|151=300|14=0|6=0|{TIME}378={reason}|58=StopPx(99) was reached" in text


@pytest.mark.parametrize("reason", list(RestatementReason))
def test_every_restatement_says_why(reporter: Reporter, reason: RestatementReason) -> None:
    [text] = shown(reporter.reports(OrderRestated(terms(), 3, 50, reason, 1, 100, 150, 100_250_000), 42, NOW))
    assert f"|150=D|39=1|{TERMS}151=150|14=100|6=100.25|{TIME}378={reason:d}|58=" in text


def test_an_auctions_trade_is_reported_as_any_other(reporter: Reporter) -> None:
    sell = terms(OLD, side=2, order_id=98, cl_ord_id=b"s1")
    event = AuctionExecuted(
        first_id(7) + 4, 1_002_500, 100, terms(), 0, 1, 300, 0, 300_750_000, sell, 3, 2, 100, 200, 100_250_000
    )
    assert [text.split("|55=")[0] for text in shown(reporter.reports(event, 43, NOW))] == [
        "4:8|37=99|11=o1|17=7-T5B|150=F|39=2|1=acct",
        "2:8|37=98|11=s1|17=7-T5S|20=0|150=1|39=1|1=acct",
    ]


@pytest.mark.parametrize(("leaves", "cum", "status"), [(200, 0, "0"), (100, 100, "1"), (0, 200, "4")])
def test_an_undone_trade_names_the_report_of_it(reporter: Reporter, leaves: int, cum: int, status: str) -> None:
    sell = terms(OLD, side=2, order_id=98, cl_ord_id=b"s1")
    trade = OrderExecuted(5, 1_002_500, 100, sell, 3, 1, 100, 200, 100_250_000, terms(), 2, 300, 0, 300_750_000)
    exec_ids = [text.split("|17=")[1].split("|")[0] for text in shown(reporter.reports(trade, 43, NOW))]
    bust = TradeBusted(5, 1_002_500, 100, terms(), 3, cum, leaves, cum, sell, 4, cum, leaves, cum)
    buyer, seller = shown(reporter.reports(bust, 50, NOW))
    assert f"|17=7-50B|150=H|39={status}|{TERMS}19={exec_ids[1]}|32=100|31=100.25|527=5|151={leaves}|14={cum}|" in buyer
    assert f"|17=7-50S|20=1|150={status}|39={status}|" in seller
    assert f"|59=0|19={exec_ids[0]}|32=100|31=100.25|151={leaves}|14={cum}|" in seller


def test_a_mass_cancel_is_answered(reporter: Reporter) -> None:
    done = MassCancelDone(1, NEW, 1, b"m1", 0, 0, 2, 17)
    of_symbol = MassCancelDone(1, OLD, 1, b"m2", OLD, 1, 0, 0)
    rejected = MassCancelRejected(1, NEW, 1, b"m3", 0, 1, 0, RejectReason.UNKNOWN_INSTRUMENT)
    assert [shown(reporter.reports(event, 60, NOW)) for event in (done, of_symbol, rejected)] == [
        [f"4:r|11=m1|37=7-60|530=7|531=7|533=17|54=2|{TIME}58=shard 7 of 7|"],
        [f"2:r|11=m2|37=7-60|530=1|531=1|533=0|55=ALPHA|{TIME}"],
        [f"4:r|11=m3|37=7-60|530=1|531=0|532=1|55=ALPHA|{TIME}58=Symbol(55) is not traded here|"],
    ]
    assert reporter.reports(MassCancelDone(1, 17, 1, b"m1", 0, 0, 2, 17), 60, NOW) == []
    assert reporter.reports(MassCancelDone(0, 0, 0, b"", 0, 0, 0, 17), 60, NOW) == []


def test_after_a_fork_numbers_that_were_given_before_have_another_name(reporter: Reporter) -> None:
    def exec_ids(match_number: int, seq: int) -> list[str]:
        trade = OrderExecuted(match_number, 1, 1, terms(side=2), 3, 1, 1, 2, 1, terms(), 2, 3, 0, 3)
        reports = [*reporter.reports(trade, seq, NOW), *reporter.reports(OrderAccepted(terms(), 1), seq + 1, NOW)]
        return [text.split("|17=")[1].split("|")[0] for text in shown(reports)]

    exec_ids(5, 40)
    assert exec_ids(6, 50) == ["7-T6S", "7-T6B", "7-51"]
    reporter.fork(45, reporter.trades.before(45))
    assert exec_ids(6, 48) == ["7F1-T6S", "7F1-T6B", "7F1-49"]
    assert reporter.trade_exec_id(5, 1) == b"7-T5B"
    reporter.fork(30, reporter.trades.before(30))
    assert exec_ids(1, 30) == ["7F1-T1S", "7F1-T1B", "7F1-31"]
    assert reporter.trade_exec_id(6, 1) == b"7F2-T6B"


def test_sessions_of_other_gateways_get_nothing_here(reporter: Reporter) -> None:
    other = terms(17)
    assert reporter.reports(OrderAccepted(other, 1), 1, NOW) == []
    event = OrderExecuted(5, 1, 100, other, 3, 1, 100, 200, 100, terms(), 2, 300, 0, 300)
    assert [report.session_id for report in reporter.reports(event, 43, NOW)] == [NEW]


def test_what_is_public_alone_is_no_report(reporter: Reporter) -> None:
    assert reporter.reports(OrderBooked(1, 99, 1, 1, 1, 1_002_500, 300), 44, NOW) == []


@pytest.mark.parametrize(("session_id", "untouched"), [(NEW, "39=0"), (OLD, "39=5")])
def test_replaced(reporter: Reporter, session_id: int, untouched: str) -> None:
    event = OrderReplaced(terms(session_id, cl_ord_id=b"r1"), b"o1", 1, 2, 5, 0, 300, 0)
    (text,) = shown(reporter.reports(event, 44, NOW))
    assert "|11=r1|41=o1|17=7-44|" in text
    assert "|150=5|" + untouched + "|" in text
    partly = OrderReduced(terms(session_id, cl_ord_id=b"r1"), b"o1", 1, 50, 5, 100, 150, 100_250_000)
    (text,) = shown(reporter.reports(partly, 44, NOW))
    assert "|150=5|39=1|" in text
    assert "|151=150|14=100|6=100.25|" in text


def test_canceled_on_request_and_by_the_venue(reporter: Reporter) -> None:
    requested = OrderCanceled(terms(), b"c1", 3, 200, CancelReason.REQUESTED, 5, 100, 100_250_000)
    (text,) = shown(reporter.reports(requested, 45, NOW))
    assert "|11=c1|41=o1|17=7-45|150=4|39=4|" in text
    assert "|151=0|14=100|6=100.25|" in text
    remainder = OrderCanceled(terms(), b"o1", 0, 200, CancelReason.IMMEDIATE_OR_CANCEL, 5, 0, 0)
    (text,) = shown(reporter.reports(remainder, 46, NOW))
    assert "|11=o1|17=7-46|" in text
    assert "58=Immediate or cancel" in text


@pytest.mark.parametrize("reason", [each for each in CancelReason if each != CancelReason.REQUESTED])
def test_every_cancel_that_nobody_requested_says_why(reporter: Reporter, reason: CancelReason) -> None:
    (text,) = shown(reporter.reports(OrderCanceled(terms(), b"o1", 3, 200, reason, 5, 0, 0), 46, NOW))
    assert "|150=4|39=4|" in text
    assert "|41=" not in text
    assert "|58=" in text


@pytest.mark.parametrize("reason", list(RejectReason))
def test_every_reason_has_a_text(reporter: Reporter, reason: RejectReason) -> None:
    (text,) = shown(reporter.reports(OrderRejected(terms(order_id=0), 1, reason), 47, NOW))
    assert text.startswith("4:8|37=NONE|11=o1|17=7-47|150=8|39=8|")
    assert "|58=" in text
    assert "{" not in text


def test_the_text_names_the_tick(reporter: Reporter) -> None:
    event = OrderRejected(terms(order_id=0), 1, RejectReason.PRICE_NOT_ON_TICK)
    assert "58=Price(44) is not a multiple of the tick size 0.05|" in shown(reporter.reports(event, 47, NOW))[0]


def test_the_tick_is_that_of_the_price() -> None:
    alpha = TradedInstrument(1, b"ALPHA", 7, 100, 1, ((10_000, 200), (500_000, 2_500)))
    assert [alpha.tick_at(price) for price in (1, 9_999, 10_000, 499_999, 500_000, 900_000)] == [
        100, 100, 200, 200, 2_500, 2_500,
    ]  # fmt: skip
    reporter = Reporter(7, {NEW: DIALECTS[b"FIX.4.4"]}, {1: alpha})
    event = OrderRejected(terms(order_id=0, price=600_100), 1, RejectReason.PRICE_NOT_ON_TICK)
    assert "of the tick size 0.25|" in shown(reporter.reports(event, 47, NOW))[0]


@given(st.integers(1, 2_000_000_000))
def test_a_formatted_price_is_the_price(price: int) -> None:
    whole, _, fraction = format_price(price).partition(b".")
    assert int(whole) * 10_000 + int(fraction.ljust(4, b"0")) == price


def test_an_average_that_is_no_whole_price_is_rounded_half_up() -> None:
    assert format_average(0, 0) == b"0"
    assert format_average(100 * 1_002_500, 100) == b"100.25"
    assert format_average(20_001, 3) == b"0.6667"
    assert format_average(20_000, 3) == b"0.66666667"


def _all_events(session_id: int) -> list[Event]:
    order = terms(session_id)
    asked = terms(session_id, ord_type=80, conditions=Conditions(95_000, 100, 50, 6, Peg.MIDPOINT, -100, NOW))
    return [
        OrderAccepted(asked, 1),
        OrderTriggered(order, 1, 0, 300, 0),
        OrderRestated(order, 3, 50, RestatementReason.GT_RENEWAL, 1, 100, 150, 100_250_000),
        OrderRestated(order, 3, 50, RestatementReason.SELF_MATCH_DECREMENT, 1, 100, 150, 100_250_000),
        AuctionExecuted(5, 1_002_500, 100, order, 3, 1, 100, 200, 100_250_000, order, 3, 2, 300, 0, 300_750_000),
        TradeBusted(5, 1_002_500, 100, order, 3, 0, 200, 0, order, 4, 100, 0, 100_250_000),
        OrderRejected(terms(session_id, order_id=0), 1, RejectReason.MARKET_CLOSED),
        OrderExecuted(5, 1_002_500, 100, order, 3, 1, 100, 200, 100_250_000, order, 2, 300, 0, 300_750_000),
        OrderReduced(order, b"o1", 1, 50, 5, 100, 150, 100_250_000),
        OrderReplaced(order, b"o1", 1, 2, 5, 0, 300, 0),
        OrderCanceled(order, b"c1", 3, 200, CancelReason.REQUESTED, 5, 100, 100_250_000),
        OrderExpired(order, 3, 200, 5, 100, 100_250_000),
        CancelRejected(1, session_id, 9, 0, b"c1", b"o9", 1, RejectReason.UNKNOWN_ORDER, OrdStatus.REJECTED),
    ]


@pytest.mark.interop
@pytest.mark.parametrize(("session_id", "version"), [(NEW, "FIX44"), (OLD, "FIX42")])
def test_quickfix_finds_every_report_well_formed(reporter: Reporter, session_id: int, version: str) -> None:
    quickfix = pytest.importorskip("quickfix") if sys.version_info >= (3, 12) else __import__("quickfix")
    dictionary = quickfix.DataDictionary(str(Path(sys.prefix) / "share" / "quickfix" / f"{version}.xml"))
    begin = f"8=FIX.{version[3]}.{version[4]}|".replace("|", "\x01").encode()
    refused = Refused(RejectReason.UNSUPPORTED_SIDE, "text")
    dialect = DIALECTS[begin[2:-1]]
    reports = [report for event in _all_events(session_id) for report in reporter.reports(event, 9, NOW)]
    reports.append(rejection(dialect, session_id, b"o1", b"55=ALPHA\x0154=1\x01", refused, b"g", NOW))
    reports.append(cancel_rejection(dialect, session_id, b"NONE", b"c1", b"o1", 2, OrdStatus.REJECTED, refused, NOW))
    if session_id == NEW:  # FIX.4.2 has no mass cancel
        reports += reporter.reports(MassCancelDone(1, NEW, 1, b"m1", 0, 0, 2, 17), 9, NOW)
        reports += reporter.reports(
            MassCancelRejected(1, NEW, 1, b"m1", 0, 1, 0, RejectReason.UNSUPPORTED_SIDE), 9, NOW
        )
        reports.append(mass_cancel_rejection(NEW, b"G1", b"11=m1\x01", b"7", refused, NOW))
    assert len(reports) == (21 if session_id == NEW else 18)
    for report in reports:
        header = b"35=%b\x0134=2\x0149=FIXGW\x0152=20261121-10:00:00.123\x0156=BROKER\x01" % report.msg_type
        body = header + report.body
        text = begin + b"9=%d\x01" % len(body) + body
        message = quickfix.Message((text + b"10=%03d\x01" % (sum(text) & 255)).decode(), dictionary, True)
        dictionary.validate(message)
