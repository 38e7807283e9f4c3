"""Event by event, what the public is told; then a day of an engine against the book a vendor builds from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata import itch, translate
from marketdata.book import BookBuilder
from marketdata.translate import Translator
from matching import codes, events, wire
from matching.codes import Side
from tests.marketdata.stream import AAPL, MIDNIGHT, MSFT, ShardStream

NOW = MIDNIGHT + 5
STOCK = b"AAPL    "


def terms(price: int = 100_0000, side: Side = Side.BUY) -> events.OrderTerms:
    return events.OrderTerms(77, 7, 70, AAPL, side, 2, 0, price, 500, b"C1", b"")


def executed(price: int, resting_order_ref: int, resting_price: int = 100_0000) -> events.OrderExecuted:
    return events.OrderExecuted(
        9, price, 300, terms(resting_price), resting_order_ref, 1, 300, 200, 0, terms(side=Side.SELL), 2, 300, 0, 0
    )


def auction_executed(buy_order_ref: int, sell_order_ref: int) -> events.AuctionExecuted:
    sell = terms(side=Side.SELL)
    return events.AuctionExecuted(
        9, 99_5000, 300, terms(), buy_order_ref, 1, 300, 200, 0, sell, sell_order_ref, 2, 300, 0, 0
    )


def translated(event: events.Event, translator: Translator | None = None) -> list[itch.Message]:
    """What a translator says that knows the day and AAPL."""
    translator = translator or Translator()
    translator.translate(events.DayStarted(20251121, b"251121A001", MIDNIGHT), MIDNIGHT)
    translator.translate(events.InstrumentListed(AAPL, b"AAPL", 100, 1, 100, ord("T")), MIDNIGHT)
    return [itch.decode(data) for data in translator.translate(event, NOW)]


CASES: dict[str, tuple[events.Event, list[itch.Message]]] = {
    "day started": (events.DayStarted(20251122, b"251122A001", MIDNIGHT), [itch.SystemEvent(0, 0, 5, b"O")]),
    "system event": (events.SystemEventOccurred(ord("Q")), [itch.SystemEvent(0, 0, 5, b"Q")]),
    "instrument listed": (
        events.InstrumentListed(MSFT, b"MSFT", 100, 100, 100, ord("H")),
        [
            itch.StockDirectory(
                MSFT, 0, 5, b"MSFT    ", b" ", b" ", 100, b"Y", b"C", b"Z ", b"P", b" ", b" ", b" ", b" ", 0, b"N"
            ),
            itch.StockTradingAction(MSFT, 0, 5, b"MSFT    ", b"H", b" ", b"    "),
            itch.RegSHORestriction(MSFT, 0, 5, b"MSFT    ", b"0"),
        ],
    ),
    "trading state changed": (
        events.TradingStateChanged(AAPL, ord("H"), b"T1"),
        [itch.StockTradingAction(AAPL, 0, 5, STOCK, b"H", b" ", b"T1  ")],
    ),
    "order accepted": (events.OrderAccepted(terms(), 1), []),
    "order rejected": (events.OrderRejected(terms(), 1, 1), []),
    "cancel rejected": (events.CancelRejected(7, 70, 1, 0, b"C2", b"C1", 1, 14, ord("8")), []),
    "command refused": (events.CommandRefused(20, 2), []),
    "day ended": (events.DayEnded(20251121), []),
    "order booked": (
        events.OrderBooked(5, 77, 7, AAPL, Side.BUY, 100_0000, 200),
        [itch.AddOrder(AAPL, 0, 5, 5, b"B", 200, STOCK, 100_0000)],
    ),
    "sell order booked": (
        events.OrderBooked(5, 77, 7, AAPL, Side.SELL, 100_0000, 200),
        [itch.AddOrder(AAPL, 0, 5, 5, b"S", 200, STOCK, 100_0000)],
    ),
    "executed at the displayed price": (executed(100_0000, 5), [itch.OrderExecuted(AAPL, 0, 5, 5, 300, 9)]),
    "executed at another price": (
        executed(99_5000, 5),
        [itch.OrderExecutedWithPrice(AAPL, 0, 5, 5, 300, 9, b"Y", 99_5000)],
    ),
    "executed against what is not displayed": (
        executed(100_0000, 0),
        [itch.Trade(AAPL, 0, 5, 0, b"B", 300, STOCK, 100_0000, 9)],
    ),
    "order reduced": (
        events.OrderReduced(terms(), b"C0", 5, 100, 3, 0, 400, 0),
        [itch.OrderCancel(AAPL, 0, 5, 5, 100)],
    ),
    "only the name of an order changed": (events.OrderReduced(terms(), b"C0", 5, 0, 3, 0, 500, 0), []),
    "order replaced": (
        events.OrderReplaced(terms(101_0000), b"C0", 5, 6, 3, 100, 400, 0),
        [itch.OrderReplace(AAPL, 0, 5, 5, 6, 400, 101_0000)],
    ),
    "order replaced and about to trade": (
        events.OrderReplaced(terms(101_0000), b"C0", 5, 0, 3, 100, 400, 0),
        [itch.OrderDelete(AAPL, 0, 5, 5)],
    ),
    "order canceled": (
        events.OrderCanceled(terms(), b"C2", 5, 200, 1, 3, 300, 0),
        [itch.OrderDelete(AAPL, 0, 5, 5)],
    ),
    "order canceled that was never booked": (events.OrderCanceled(terms(), b"C1", 0, 200, 2, 3, 300, 0), []),
    "order expired": (events.OrderExpired(terms(), 5, 200, 3, 300, 0), [itch.OrderDelete(AAPL, 0, 5, 5)]),
    "what rests of a market order executed": (
        executed(100_0000, 5, resting_price=0),
        [itch.OrderExecuted(AAPL, 0, 5, 5, 300, 9)],
    ),
    "order replaced that is not displayed": (events.OrderReplaced(terms(), b"C0", 0, 0, 3, 0, 500, 0), []),
    "order reduced that is not displayed": (events.OrderReduced(terms(), b"C0", 0, 100, 3, 0, 400, 0), []),
    "order triggered": (events.OrderTriggered(terms(), 1, 0, 500, 0), []),
    "order restated that lost displayed quantity": (
        events.OrderRestated(terms(), 5, 100, 5, 3, 0, 400, 0),
        [itch.OrderCancel(AAPL, 0, 5, 5, 100)],
    ),
    "order restated for a new day": (events.OrderRestated(terms(), 5, 0, 1, 3, 0, 500, 0), []),
    "order restated that is not displayed": (events.OrderRestated(terms(), 0, 100, 5, 3, 0, 400, 0), []),
    "executed in an auction, both displayed": (
        auction_executed(5, 6),
        [
            itch.OrderExecutedWithPrice(AAPL, 0, 5, 5, 300, 9, b"N", 99_5000),
            itch.OrderExecutedWithPrice(AAPL, 0, 5, 6, 300, 9, b"N", 99_5000),
        ],
    ),
    "executed in an auction, the seller displayed": (
        auction_executed(0, 6),
        [itch.OrderExecutedWithPrice(AAPL, 0, 5, 6, 300, 9, b"N", 99_5000)],
    ),
    "executed in an auction, neither displayed": (auction_executed(0, 0), []),
    "cross executed": (
        events.CrossExecuted(AAPL, 11, 99_5000, 1 << 33, ord("O")),
        [itch.CrossTrade(AAPL, 0, 5, 1 << 33, STOCK, 99_5000, 11, b"O")],
    ),
    "auction without a trade": (
        events.CrossExecuted(AAPL, 0, 0, 0, ord("C")),
        [itch.CrossTrade(AAPL, 0, 5, 0, STOCK, 0, 0, b"C")],
    ),
    "imbalance published": (
        events.ImbalancePublished(AAPL, 700, 300, ord("B"), 101_0000, 102_5000, 100_0000, ord("C")),
        [itch.NetOrderImbalance(AAPL, 0, 5, 700, 300, b"B", STOCK, 101_0000, 102_5000, 100_0000, b"C", b"2")],
    ),
    "imbalance published without a price": (
        events.ImbalancePublished(AAPL, 0, 0, ord("O"), 0, 0, 100_0000, ord("H")),
        [itch.NetOrderImbalance(AAPL, 0, 5, 0, 0, b"O", STOCK, 0, 0, 100_0000, b"H", b" ")],
    ),
    "collar set": (
        events.CollarSet(AAPL, 100_0000, 105_0000, 95_0000, 1),
        [itch.LULDAuctionCollar(AAPL, 0, 5, STOCK, 100_0000, 105_0000, 95_0000, 1)],
    ),
    "trade busted": (
        events.TradeBusted(9, 100_0000, 300, terms(), 3, 0, 200, 0, terms(side=Side.SELL), 4, 0, 0, 0),
        [itch.BrokenTrade(AAPL, 0, 5, 9)],
    ),
    "phase changed": (events.PhaseChanged(AAPL, 2), []),
    "mass cancel done": (events.MassCancelDone(7, 70, 3, b"M1", 70, 0, 0, 2), []),
    "mass cancel rejected": (events.MassCancelRejected(7, 70, 3, b"M1", 70, 9, 0, 1), []),
    "entry blocked": (events.EntryBlockChanged(7, 0, 1), []),
    "circuit breaker set": (
        events.CircuitBreakerSet(93 * 10**8, 87 * 10**8, 80 * 10**8),
        [itch.MWCBDeclineLevel(0, 0, 5, 93 * 10**8, 87 * 10**8, 80 * 10**8)],
    ),
    "circuit breaker breached": (events.CircuitBreakerBreached(2), [itch.MWCBStatus(0, 0, 5, b"2")]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_public_is_told(case: str) -> None:
    event, said = CASES[case]
    assert translated(event) == said


@pytest.mark.parametrize("case", CASES)
def test_events_the_feed_leaves_undecoded_say_nothing(case: str) -> None:
    event, said = CASES[case]
    assert wire.KINDS[type(event)] in translate.PUBLIC_KINDS or not said


def test_every_event_of_the_language_has_a_case() -> None:
    assert {wire.KINDS[type(event)] for event, _ in CASES.values()} == set(wire.KINDS.values()) - wire.COMMAND_KINDS


def test_an_attributed_order_shows_its_mpid() -> None:
    booked = events.OrderBooked(5, 77, 7, AAPL, Side.BUY, 100_0000, 200)
    assert translated(booked, Translator({7: b"FIRM"})) == [
        itch.AddOrderWithMPID(AAPL, 0, 5, 5, b"B", 200, STOCK, 100_0000, b"FIRM")
    ]
    assert translated(booked, Translator({8: b"FIRM"})) == [itch.AddOrder(AAPL, 0, 5, 5, b"B", 200, STOCK, 100_0000)]


@pytest.mark.parametrize(("stamp", "shown"), [(MIDNIGHT - 1, 0), (MIDNIGHT, 0), (1 << 62, itch.TIMESTAMP_MASK)])
def test_a_stamp_outside_of_the_day_shows_as_its_nearest_end(stamp: int, shown: int) -> None:
    translator = Translator()
    translator.translate(events.DayStarted(20251121, b"251121A001", MIDNIGHT), MIDNIGHT)
    (data,) = translator.translate(events.SystemEventOccurred(ord("Q")), stamp)
    assert itch.decode(data) == itch.SystemEvent(0, 0, shown, b"Q")


@pytest.mark.parametrize(
    ("near", "reference", "code"),
    [
        (100_9999, 100_0000, b"L"),
        (101_0000, 100_0000, b"1"),
        (98_0001, 100_0000, b"1"),
        (98_0000, 100_0000, b"2"),
        (109_9999, 100_0000, b"9"),
        (110_0000, 100_0000, b"A"),
        (80_0001, 100_0000, b"A"),
        (129_9999, 100_0000, b"B"),
        (130_0000, 100_0000, b"C"),
        (1_000_0000, 1, b"C"),
        (0, 100_0000, b" "),
        (100_0000, 0, b" "),
    ],
)
def test_price_variation_indicator(near: int, reference: int, code: bytes) -> None:
    assert translate.price_variation(near, reference) == code


actions = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "enter", "IOC", "cancel", "replace"]),
        st.sampled_from([AAPL, MSFT]),
        st.sampled_from(list(Side)),
        st.integers(1, 400),
        st.integers(995, 1005),
        st.integers(0, 1000),
    ),
    max_size=50,
)


@given(actions)
def test_the_vendors_book_is_the_engines(actions: list[tuple[str, int, Side, int, int, int]]) -> None:
    stream = ShardStream(max_events=7)  # so that sweeps and listings take several transactions
    stream.start_day()
    for action, instrument_id, side, quantity, price, which in actions:
        resting = [order.terms for order in stream.engine.orders()]
        chosen = resting[which % len(resting)] if resting else None
        if action == "cancel" and chosen is not None:
            stream.cancel(chosen)
        elif action == "replace" and chosen is not None:
            stream.replace(chosen, quantity, price * 1000)
        else:
            tif = codes.TimeInForce.IOC if action == "IOC" else codes.TimeInForce.DAY
            stream.enter(side, quantity, price * 1000, instrument_id=instrument_id, time_in_force=tif)
    translator, builder = Translator(), BookBuilder()
    for released, _ in stream.released():
        for message in released:
            if message.kind in translate.PUBLIC_KINDS:
                for data in translator.translate(wire.decode_event(message.kind, message.body), MIDNIGHT):
                    builder.receive_message(itch.decode(data))
    shown = {
        (locate, ref): (order.side, order.shares, order.price)
        for locate, book in builder.books.items()
        for ref, order in book.orders.items()
    }
    assert shown == {
        (o.terms.instrument_id, o.order_ref): (b"B" if o.terms.side == Side.BUY else b"S", o.leaves_qty, o.terms.price)
        for o in stream.engine.orders()
    }
