"""The beginning and the end of a day: who expires, who lives on, and how an instrument begins."""

import pytest

from matching.codes import Phase
from matching.commands import Conditions, SetPhase
from matching.events import CrossExecuted, InstrumentListed, OrderBooked, OrderExpired, OrderRestated
from tests.matching.sitting import ATC, BUY, DAY, GFA, GTC, GTD, NOON, SECOND, SELL, STOP, Sitting, kinds

NIGHT = 43_200


def opened(max_events: int = 128, restored: bool = False) -> Sitting:
    sitting = Sitting(max_events, restored)
    sitting.start_day()
    return sitting


def test_who_expires_with_the_day_and_who_lives_on() -> None:
    sitting = opened()
    today, tomorrow = Conditions(expire_at=NOON + SECOND), Conditions(expire_at=NOON + 2 * NIGHT * SECOND)
    sitting.order(BUY, 1, 100, DAY)
    sitting.order(BUY, 1, 100, GTC)
    sitting.order(BUY, 1, 101, GTD, today)
    sitting.order(BUY, 1, 99, GTD, tomorrow)
    sitting.order(BUY, 1, 99, ATC)
    sitting.order(SELL, 1, 110, GFA)
    sitting.order(BUY, 1, 0, GTC, Conditions(stop_price=120), STOP)
    sitting.order(BUY, 1, 0, DAY, Conditions(stop_price=119), STOP)
    sitting.order(BUY, 1, 0, GTC, Conditions(peg=ord("R")), ord("P"))
    sitting.order(BUY, 1, 0, DAY, Conditions(peg=ord("R")), ord("P"))
    sitting.now += SECOND
    gone = [event.terms.cl_ord_id for event in sitting.end_day() if isinstance(event, OrderExpired)]
    assert gone == [b"o3", b"o1", b"o8", b"o5", b"o6", b"o10"]
    sitting.now += NIGHT * SECOND
    events = sitting.start_day()
    assert [event.terms.cl_ord_id for event in events if isinstance(event, OrderRestated)] == [
        b"o2",
        b"o4",
        b"o7",
        b"o9",
    ]
    assert [event.price for event in events if isinstance(event, OrderBooked)] == [100, 99]


def test_market_hours_are_told_if_anybody_trades() -> None:
    sitting = Sitting()
    sitting(SetPhase(1, Phase.HALTED, b""))
    assert kinds(sitting.start_day()) == ["DayStarted", "InstrumentListed", "SystemEventOccurred"]
    assert kinds(sitting.end_day()) == ["SystemEventOccurred", "SystemEventOccurred", "DayEnded"]


def test_an_instrument_that_is_listed_during_the_day_trades_at_once() -> None:
    sitting = opened()
    assert sitting.define(2, b"LATE") == [InstrumentListed(2, b"LATE", 1, 1, 100, ord("T"))]
    assert kinds(sitting.order(BUY, 1, 100, instrument_id=2)) == ["OrderAccepted", "OrderBooked"]


def test_the_first_instrument_that_is_listed_opens_the_market() -> None:
    sitting = opened()
    sitting.state("H")
    sitting.end_day()
    sitting.start_day()
    assert kinds(sitting.define(2, b"LATE")) == ["InstrumentListed", "SystemEventOccurred"]


@pytest.mark.parametrize(("max_events", "restored"), [(128, False), (8, True)])
def test_orders_that_agree_over_the_night_trade_before_anybody_else(max_events: int, restored: bool) -> None:
    sitting = opened(max_events, restored)
    sitting(SetPhase(1, Phase.CLOSING_AUCTION, b""))
    for price in (100, 101, 102):
        sitting.order(BUY, 5, price, GTC)
        sitting.order(SELL, 5, price, GTC)
    assert not any(isinstance(event, CrossExecuted) for event in sitting.end_day())
    events = sitting.start_day()
    assert isinstance(events[1], InstrumentListed)
    assert chr(events[1].state) == "Q"
    assert kinds(events[2:]) == [
        "SystemEventOccurred",
        *(["OrderBooked", "OrderRestated"] * 6),
        "AuctionExecuted",
        "AuctionExecuted",
        "CrossExecuted",
        "PhaseChanged",
        "TradingStateChanged",
        "SystemEventOccurred",
    ]
    (crossed,) = (event for event in events if isinstance(event, CrossExecuted))
    assert (crossed.price, crossed.quantity, chr(crossed.cross_type)) == (101, 10, "O")


@pytest.mark.parametrize("max_events", [7, 8, 30])
def test_a_day_ends_and_begins_in_parts(max_events: int) -> None:
    told = []
    for sitting in (Sitting(10_000), Sitting(max_events, restored=True)):
        for number in range(2, 12):
            sitting.define(number, b"S%d" % number)
        sitting.start_day()
        for number in range(60):
            sitting.order(BUY, 1, 100 - number % 4, (DAY, GTC)[number % 2], instrument_id=number % 11 + 1)
        told.append(sitting.end_day() + sitting.start_day() + sitting.end_day())
    assert told[1] == told[0]
