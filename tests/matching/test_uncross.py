"""The end of an auction: who trades with whom, and what becomes of the rest."""

import pytest

from matching.codes import CancelReason, Phase
from matching.commands import Conditions, Continue, DefineParticipant, SetPhase
from matching.events import AuctionExecuted, CrossExecuted, Event, OrderBooked, OrderCanceled
from tests.matching.sitting import ATC, BUY, DAY, GFA, GTC, MARKET, OPG, SELL, Sitting, kinds

LEFTOVER_AS_LIMIT = ord("K")
SHARD = 1 << 48


def called(max_events: int = 128, restored: bool = False) -> Sitting:
    """An opening auction in which nothing stands yet."""
    sitting = Sitting(max_events, restored)
    sitting.start_day()
    sitting(SetPhase(1, Phase.OPENING_AUCTION, b""))
    return sitting


def opening(sitting: Sitting) -> list[Event]:
    return sitting(SetPhase(1, Phase.CONTINUOUS, b""))


def trades(events: list[Event]) -> list[tuple[int, bytes, int, bytes, int]]:
    """(quantity, buyer and its order reference, seller and its) of each, references without the shard."""
    return [
        (
            event.quantity,
            event.buy.cl_ord_id,
            event.buy_order_ref & ~SHARD,
            event.sell.cl_ord_id,
            event.sell_order_ref & ~SHARD,
        )
        for event in events
        if isinstance(event, AuctionExecuted)
    ]


def cross(events: list[Event]) -> tuple[int, int]:
    (found,) = (event for event in events if isinstance(event, CrossExecuted))
    return found.price, found.quantity


def test_market_orders_first_then_price_then_time() -> None:
    sitting = called()
    sitting.order(BUY, 10, 101)
    sitting.order(BUY, 10, 102)
    sitting.order(BUY, 10, 101)
    sitting.order(BUY, 10)
    sitting.order(SELL, 35, 101)
    events = opening(sitting)
    assert trades(events) == [
        (10, b"o4", 0, b"o5", 4),
        (10, b"o2", 2, b"o5", 4),
        (10, b"o1", 1, b"o5", 4),
        (5, b"o3", 3, b"o5", 4),
    ]
    assert cross(events) == (101, 35)
    book = sitting.engine.book(1)
    assert [(order.order_ref & ~SHARD, order.leaves_qty) for order in book.bids.orders()] == [(3, 5)]


def test_every_trade_and_the_cross_have_numbers_and_figures() -> None:
    sitting = called()
    sitting.order(BUY, 10, 102, participant_id=1)
    sitting.order(SELL, 4, 101, participant_id=2)
    sitting.order(SELL, 4, 101, participant_id=1)
    first, second, crossed = opening(sitting)[:3]
    assert isinstance(first, AuctionExecuted)
    assert isinstance(second, AuctionExecuted)
    assert isinstance(crossed, CrossExecuted)
    assert [first.match_number, second.match_number, crossed.match_number] == [SHARD + 1, SHARD + 2, SHARD + 3]
    # The buyer is numbered before the seller, also where they are one participant.
    assert (first.buy_participant_seq, first.sell_participant_seq) == (3, 2)
    assert (second.buy_participant_seq, second.sell_participant_seq) == (4, 5)
    assert (second.buy_cum_qty, second.buy_leaves_qty, second.buy_cum_notional) == (8, 2, 8 * 102)
    assert (second.sell_cum_qty, second.sell_leaves_qty, second.sell_cum_notional) == (4, 0, 4 * 102)


def test_the_price_is_the_last_sales_and_the_reference() -> None:
    sitting = called()
    sitting.order(BUY, 10, 102)
    sitting.order(SELL, 10, 102)
    opening(sitting)
    instrument = sitting.engine.instruments()[0]
    assert (instrument.last_price, instrument.reference_price) == (102, 102)


def test_an_auction_in_which_nobody_meets_changes_no_price() -> None:
    sitting = called()
    sitting.order(BUY, 10, 102)
    sitting.order(SELL, 10, 102)
    opening(sitting)
    sitting(SetPhase(1, Phase.CLOSING_AUCTION, b""))
    sitting.order(BUY, 10, 90)
    events = sitting(SetPhase(1, Phase.CLOSED, b""))
    assert events[0] == CrossExecuted(1, 0, 0, 0, ord("C"))
    instrument = sitting.engine.instruments()[0]
    assert (instrument.last_price, instrument.reference_price) == (102, 102)


def test_what_is_left_of_orders_for_the_auction_is_canceled() -> None:
    sitting = called()
    sitting.order(BUY, 10, 90, OPG)
    sitting.order(BUY, 20, time_in_force=GFA)
    sitting.order(BUY, 10)
    sitting.order(SELL, 10, 110, OPG)
    sitting.order(SELL, 5, 100, GFA)
    sitting.order(BUY, 10, 91, DAY)
    canceled = [event for event in opening(sitting) if isinstance(event, OrderCanceled)]
    assert [(event.terms.cl_ord_id, event.canceled_qty, event.reason) for event in canceled] == [
        (b"o2", 5, CancelReason.AUCTION_REMAINDER),
        (b"o3", 10, CancelReason.MARKET_REMAINDER),
        (b"o1", 10, CancelReason.AUCTION_REMAINDER),
    ]
    assert [order.terms.cl_ord_id for order in sitting.engine.orders()] == [b"o6"]
    assert {event.order_ref for event in canceled} == {0}


def test_an_order_for_another_auction_waits_on() -> None:
    sitting = called()
    sitting.order(BUY, 10, 100, ATC)
    opening(sitting)
    assert [order.terms.cl_ord_id for order in sitting.engine.instruments()[0].parked.orders()] == [b"o1"]


def test_a_reserve_takes_part_with_all_it_has() -> None:
    sitting = called()
    sitting.order(SELL, 100, 100, GTC, Conditions(display_qty=10))
    sitting.order(SELL, 10, 100)
    sitting.order(BUY, 95, 100)
    events = opening(sitting)
    assert trades(events) == [(10, b"o3", 3, b"o1", 1), (85, b"o3", 3, b"o1", 0)]
    # Its displayed part was used up: the next comes into view at the end of the queue.
    booked = [event for event in events if isinstance(event, OrderBooked)]
    assert [(event.order_ref & ~SHARD, event.quantity) for event in booked] == [(4, 5)]
    asks = sitting.engine.book(1).asks
    assert [(order.terms.cl_ord_id, order.displayed_qty, order.hidden_qty) for order in asks.orders()] == [
        (b"o2", 10, 0),
        (b"o1", 5, 0),
    ]
    assert asks.hidden == 0


def test_a_reserve_whose_displayed_part_is_not_used_up_keeps_its_place() -> None:
    sitting = called()
    sitting.order(SELL, 100, 100, GTC, Conditions(display_qty=10))
    sitting.order(SELL, 10, 100)
    sitting.order(BUY, 4, 100)
    assert not any(isinstance(event, OrderBooked) for event in opening(sitting))
    asks = sitting.engine.book(1).asks
    assert [(order.terms.cl_ord_id, order.displayed_qty, order.hidden_qty) for order in asks.orders()] == [
        (b"o1", 6, 90),
        (b"o2", 10, 0),
    ]


def test_what_a_market_order_with_leftover_as_limit_leaves_is_booked_if_it_traded() -> None:
    sitting = called()
    sitting.order(BUY, 10, ord_type=LEFTOVER_AS_LIMIT)
    sitting.order(SELL, 4, 100)
    events = opening(sitting)
    (booked,) = (event for event in events if isinstance(event, OrderBooked))
    assert (booked.price, booked.quantity) == (100, 6)
    assert sitting.engine.book(1).best_bid == 100


def test_and_canceled_if_it_did_not() -> None:
    sitting = called()
    sitting.order(BUY, 10, ord_type=LEFTOVER_AS_LIMIT)
    (canceled,) = (event for event in opening(sitting) if isinstance(event, OrderCanceled))
    assert canceled.reason == CancelReason.MARKET_REMAINDER


def test_self_match_prevention_does_not_hold_in_auctions() -> None:
    sitting = called()
    sitting(DefineParticipant(1, 0, 1))
    sitting.order(BUY, 10, 100)
    sitting.order(SELL, 10, 100)
    assert cross(opening(sitting)) == (100, 10)


def test_after_it_the_book_is_not_crossed() -> None:
    sitting = called()
    for price in range(90, 111):
        sitting.order(BUY, price % 7 + 1, price)
        sitting.order(SELL, price % 5 + 1, price)
    opening(sitting)
    book = sitting.engine.book(1)
    assert book.best_bid is not None
    assert book.best_ask is not None
    assert book.best_bid < book.best_ask


def crowd(max_events: int, restored: bool) -> Sitting:
    """An auction with everything that an uncross has to deal with, more than one transaction holds."""
    sitting = called(max_events, restored)
    for number in range(12):
        who = number % 3 + 1
        sitting.order(BUY, number + 1, 100 + number, GTC, participant_id=who)
        sitting.order(SELL, number + 2, 104 - number, GTC, participant_id=who)
        sitting.order(BUY, 3, 101, GFA, participant_id=who)
        sitting.order(SELL, 30, 112 + number, OPG, participant_id=who)
    sitting.order(SELL, 500, 100, GTC, Conditions(display_qty=2))
    sitting.order(BUY, 40, 103, GTC, Conditions(stop_price=100), ord_type=4)
    sitting.order(BUY, 40)
    sitting.order(SELL, 20, time_in_force=GFA)
    sitting.order(BUY, 20, ord_type=LEFTOVER_AS_LIMIT)
    return sitting


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("max_events", [7, 8, 20])
def test_an_uncross_says_the_same_in_parts(max_events: int, restored: bool) -> None:
    whole, parts = crowd(10_000, False), crowd(max_events, restored)
    before = whole.transactions, parts.transactions
    expected, events = opening(whole), opening(parts)
    assert whole.transactions == before[0] + 1
    assert parts.transactions > before[1] + len(events) // max_events
    assert events == expected
    assert set(kinds(events)) == {
        "AuctionExecuted",
        "CrossExecuted",
        "OrderBooked",
        "OrderCanceled",
        "OrderExecuted",
        "OrderTriggered",
        "PhaseChanged",
        "TradingStateChanged",
    }
    assert [order.order_ref for order in parts.engine.orders()] == [order.order_ref for order in whole.engine.orders()]


def test_nothing_else_is_taken_before_it_is_over() -> None:
    sitting = crowd(8, False)
    engine = sitting.engine
    engine.apply(SetPhase(1, Phase.CONTINUOUS, b""), sitting.now, 0)
    assert engine.pending
    assert kinds(sitting.engine.apply(SetPhase(1, Phase.HALTED, b""), sitting.now, 0)) == ["CommandRefused"]
    while engine.pending:
        assert engine.apply(Continue(), sitting.now, 0)


def test_a_market_order_is_no_limit_order() -> None:
    sitting = called()
    sitting.order(BUY, 10, ord_type=MARKET)
    sitting.order(SELL, 10, ord_type=MARKET)
    assert cross(opening(sitting)) == (0, 0)  # there is no reference price
