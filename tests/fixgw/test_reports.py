"""Events become reports: what each version says, and that QuickFIX's own dictionaries find nothing wrong with it."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixgw.fields import Refused
from fixgw.reports import DIALECTS, Report, Reporter, cancel_rejection, format_average, format_price, rejection
from fixgw.translate import TradedInstrument
from matching.codes import CancelReason, OrdStatus, RejectReason
from matching.events import (
    CancelRejected,
    Event,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderTerms,
)

#: 2026-11-21 10:00:00.123 UTC.
NOW = 1_795_255_200_123_000_000
NEW, OLD = 4, 2
INSTRUMENTS = {1: TradedInstrument(1, b"ALPHA", 7, 500, 10)}


def terms(session_id: int = NEW, **changes: int | bytes) -> OrderTerms:
    fields: dict[str, int | bytes] = {
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
    return [
        OrderAccepted(order, 1),
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
    assert len(reports) == 11
    for report in reports:
        header = b"35=%b\x0134=2\x0149=FIXGW\x0152=20261121-10:00:00.123\x0156=BROKER\x01" % report.msg_type
        body = header + report.body
        text = begin + b"9=%d\x01" % len(body) + body
        message = quickfix.Message((text + b"10=%03d\x01" % (sum(text) & 255)).decode(), dictionary, True)
        dictionary.validate(message)
