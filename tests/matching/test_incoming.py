"""Incoming orders beside reserves and bands, with a minimum quantity, and market orders whose rest stays."""

import pytest

from matching.book import MAX_LOOKED_AT
from matching.codes import Phase
from matching.commands import Conditions, DefineParticipant, DefineRules, SetPhase
from matching.events import OrderExecuted
from tests.matching.sitting import ATC, BUY, DAY, GFA, GTC, IOC, OPG, SELL, Sitting
from tests.matching.told import FOK, LEFTOVER, opened, told

SHOWS_2, SHOWS_4 = Conditions(display_qty=2), Conditions(display_qty=4)


# --- reserves ---------------------------------------------------------------------------------------------------------


def test_a_reserve_shows_its_next_part_at_the_end_of_the_queue() -> None:
    sitting = opened()
    assert told(sitting.order(SELL, 10, 100, conditions=SHOWS_4)) == [("booked", 1, 4, 100)]
    sitting.order(SELL, 3, 100)
    assert told(sitting.order(BUY, 9, 100)) == [
        ("trade", b"o1", b"o3", 4, 100),
        ("booked", 1, 4, 100),
        ("trade", b"o2", b"o3", 3, 100),
        ("trade", b"o1", b"o3", 2, 100),
    ]
    assert told(sitting.order(BUY, 4, 100)) == [
        ("trade", b"o1", b"o4", 2, 100),
        ("booked", 1, 2, 100),
        ("trade", b"o1", b"o4", 2, 100),
    ]
    assert sitting.engine.book(1).is_empty()
    assert sitting.engine.book(1).asks.hidden == 0


def test_each_part_of_a_reserve_has_its_own_order_reference() -> None:
    sitting = opened()
    sitting.order(SELL, 6, 100, conditions=SHOWS_2)
    events = [event for event in sitting.order(BUY, 6, 100) if isinstance(event, OrderExecuted)]
    assert [event.resting_order_ref & 0xFFFF for event in events] == [1, 2, 3]
    assert [event.resting_leaves_qty for event in events] == [4, 2, 0]


def test_what_a_reserve_hides_fills_a_fok() -> None:
    sitting = opened()
    sitting.order(SELL, 6, 100, conditions=SHOWS_2)
    assert told(sitting.order(BUY, 7, 100, FOK)) == [("canceled", b"o2", 7, "FILL_OR_KILL")]
    assert told(sitting.order(BUY, 6, 100, FOK))[-1] == ("trade", b"o1", b"o3", 2, 100)


@pytest.mark.parametrize("restored", [False, True])
def test_reserves_are_swept_the_same_however_small_the_transactions_are(restored: bool) -> None:
    def swept(sitting: Sitting) -> list[object]:
        for price in (100, 101, 102):
            sitting.order(SELL, 9, price, conditions=SHOWS_2)
            sitting.order(SELL, 3, price)
        return list(told(sitting.order(BUY, 40, 102)))

    assert swept(opened(7, restored)) == swept(opened())


# --- minimum quantity -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time_in_force", [DAY, GTC, IOC])
def test_an_order_executes_its_minimum_quantity_at_once_or_nothing(time_in_force: int) -> None:
    sitting = opened()
    sitting.order(SELL, 3, 100)
    sitting.order(SELL, 3, 101)
    wants = Conditions(min_qty=4)
    assert told(sitting.order(BUY, 9, 100, time_in_force, wants)) == [("canceled", b"o3", 9, "MINIMUM_QUANTITY")]
    assert told(sitting.order(BUY, 9, 101, time_in_force, wants))[:2] == [
        ("trade", b"o1", b"o4", 3, 100),
        ("trade", b"o2", b"o4", 3, 101),
    ]


# --- market with leftover as limit ------------------------------------------------------------------------------------


def test_the_rest_of_a_market_order_rests_at_the_price_of_its_last_trade() -> None:
    sitting = opened()
    sitting.order(SELL, 3, 100)
    sitting.order(SELL, 3, 101)
    events = told(sitting.order(BUY, 9, ord_type=LEFTOVER))
    assert events[-1] == ("booked", 3, 3, 101)
    assert told(sitting.order(SELL, 1, 101)) == [("trade", b"o3", b"o4", 1, 101)]


def test_a_market_order_that_trades_with_nobody_leaves_nothing() -> None:
    assert told(opened().order(BUY, 9, ord_type=LEFTOVER)) == [("canceled", b"o1", 9, "MARKET_REMAINDER")]


# --- bands ------------------------------------------------------------------------------------------------------------


def banded(pause: int) -> Sitting:
    """The last sale was at 100, trades may be from 98 to 102; offers of 1 at 102 and 103."""
    sitting = opened()
    sitting.order(SELL, 1, 100)
    sitting.order(BUY, 1, 100)
    sitting(DefineRules(1, 0, 200, 0, 0, 0, pause, 0))
    sitting.order(SELL, 1, 102)
    sitting.order(SELL, 1, 103)
    return sitting


def test_an_order_stops_at_a_band_and_joins_the_volatility_auction() -> None:
    sitting = banded(10**9)
    assert told(sitting.order(BUY, 3, 103)) == [
        ("trade", b"o3", b"o5", 1, 102),
        ("booked", 5, 2, 103),
        ("phase", "VOLATILITY_AUCTION"),
    ]


@pytest.mark.parametrize(("time_in_force", "price"), [(IOC, 103), (DAY, 0), (IOC, 0)])
def test_what_may_not_wait_is_canceled_at_a_band(time_in_force: int, price: int) -> None:
    events = told(banded(10**9).order(BUY, 3, price, time_in_force))
    assert events[1:] == [("canceled", b"o5", 2, "PRICE_BAND"), ("phase", "VOLATILITY_AUCTION")]


def test_without_a_pause_a_band_cancels_and_trading_goes_on() -> None:
    sitting = banded(0)
    assert told(sitting.order(BUY, 3, 103))[1:] == [("canceled", b"o5", 2, "PRICE_BAND")]
    assert sitting.phase() == Phase.CONTINUOUS


def test_only_what_is_inside_of_the_band_fills_a_fok_or_a_minimum_quantity() -> None:
    sitting = banded(10**9)
    assert told(sitting.order(BUY, 2, 103, FOK)) == [("canceled", b"o5", 2, "FILL_OR_KILL")]
    wants = Conditions(min_qty=2)
    assert told(sitting.order(BUY, 2, 103, conditions=wants)) == [("canceled", b"o6", 2, "MINIMUM_QUANTITY")]
    assert sitting.phase() == Phase.CONTINUOUS


def test_the_band_is_that_of_the_sale_before_the_order() -> None:
    sitting = banded(10**9)
    sitting.order(BUY, 1, 102)
    assert told(sitting.order(BUY, 1, 103)) == [("trade", b"o4", b"o6", 1, 103)]


# --- call phases and auctions -----------------------------------------------------------------------------------------


def test_in_a_call_phase_limits_rest_and_nothing_trades() -> None:
    sitting = opened()
    sitting(SetPhase(1, Phase.REOPENING_AUCTION, b""))
    assert told(sitting.order(BUY, 2, 101)) == [("booked", 1, 2, 101)]
    assert told(sitting.order(SELL, 9, 100, conditions=SHOWS_4)) == [("booked", 2, 4, 100)]
    assert told(sitting.order(SELL, 2)) == told(sitting.order(BUY, 2, ord_type=LEFTOVER)) == []
    bids, asks = sitting.engine.book(1).bids, sitting.engine.book(1).asks
    assert (bids.hidden, asks.hidden) == (2, 5 + 2)
    assert [level.price for level in asks.queues()] == [0, 100]


@pytest.mark.parametrize(
    ("time_in_force", "phases"),
    [
        (OPG, {"PRE_OPEN", "OPENING_AUCTION"}),
        (ATC, {"CLOSING_AUCTION"}),
        (GFA, {"PRE_OPEN", "OPENING_AUCTION", "CLOSING_AUCTION", "REOPENING_AUCTION", "VOLATILITY_AUCTION"}),
    ],
)
def test_an_order_for_an_auction_is_parked_until_it_begins(time_in_force: int, phases: set[str]) -> None:
    for phase in Phase:
        sitting = opened()
        sitting(SetPhase(1, phase, b""))
        events = told(sitting.order(BUY, 2, 100, time_in_force))
        instrument = sitting.engine.instruments()[0]
        joined, parked = instrument.book.bids.hidden, instrument.parked.hidden
        if phase.name in ("CLOSED", "POST_CLOSE", "HALTED") or (time_in_force == OPG and phase.name not in phases):
            assert events[0][0] == "rejected"
            assert joined == parked == 0
        else:
            assert events == []
            assert (joined, parked) == ((2, 0) if phase.name in phases else (0, 2))


# --- how far an order looks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("self_match", "step"), [(0, 1), (1, 0), (1, 1), (2, 0)])
def test_who_wants_a_quantity_at_once_looks_so_far_and_no_further(self_match: int, step: int) -> None:
    """At price levels or, where it may not trade with everybody, at orders; what is hidden in a queue is looked at
    once more."""
    sitting = opened()
    sitting(DefineParticipant(2, 0, self_match))
    for number in range(MAX_LOOKED_AT + 1):
        sitting.order(SELL, 1, 100 + step * number)
    price = 100 + step * MAX_LOOKED_AT
    least = Conditions(min_qty=MAX_LOOKED_AT + 1)
    too_many, enough = MAX_LOOKED_AT + 1, MAX_LOOKED_AT // 2
    assert told(sitting.order(BUY, too_many, price, FOK, participant_id=2))[-1][-1] == "FILL_OR_KILL"
    assert told(sitting.order(BUY, too_many, price, participant_id=2, conditions=least))[-1][-1] == "MINIMUM_QUANTITY"
    assert len(told(sitting.order(BUY, enough, price, FOK, participant_id=2))) == enough
