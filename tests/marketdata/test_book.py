"""Books built from messages: drawn tapes, contradictions, and a naive book as the judge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata import itch
from marketdata.book import BookBuilder, BookError, BookSnapshot, Collar, Indicative, Level, Phase, Print

AAPL, MSFT = 1, 2


def directory(locate: int, symbol: str) -> itch.StockDirectory:
    return itch.StockDirectory(
        locate, 0, 0, itch.alpha(symbol), b"Q", b"N", 100, b"N", b"C", b"Z ", b"P", b"N", b"N", b"1", b"N", 0, b"N"
    )


def add(reference: int, side: str, shares: int, price: int, locate: int = AAPL) -> itch.AddOrder:
    return itch.AddOrder(locate, 0, 0, reference, side.encode(), shares, b"AAPL    ", price)


def built(*messages: itch.Message) -> BookBuilder:
    builder = BookBuilder()
    for message in (directory(AAPL, "AAPL"), directory(MSFT, "MSFT"), *messages):
        builder.receive_message(message)
    return builder


TAPE = (
    add(1, "B", 300, 99_0000),
    add(2, "B", 200, 100_0000),
    add(3, "B", 100, 100_0000),
    add(4, "S", 500, 101_0000),
    itch.AddOrderWithMPID(AAPL, 0, 0, 5, b"S", 50, b"AAPL    ", 102_0000, b"FIRM"),
)


def test_levels_are_best_first() -> None:
    book = built(*TAPE).by_symbol("AAPL")
    assert book.depth(5) == (
        (Level(100_0000, 300, 2), Level(99_0000, 300, 1)),
        (Level(101_0000, 500, 1), Level(102_0000, 50, 1)),
    )
    assert book.depth(1) == ((Level(100_0000, 300, 2),), (Level(101_0000, 500, 1),))
    assert (book.best_bid, book.best_ask) == (Level(100_0000, 300, 2), Level(101_0000, 500, 1))


def test_an_empty_book() -> None:
    book = built().by_symbol("MSFT")
    assert (book.best_bid, book.best_ask, book.last_trade) == (None, None, None)
    assert book.snapshot() == BookSnapshot("MSFT", (), (), ())


def test_an_execution_takes_shares_and_prints_the_orders_price() -> None:
    book = built(*TAPE, itch.OrderExecuted(AAPL, 0, 77, 2, 150, 9)).by_symbol("AAPL")
    assert book.best_bid == Level(100_0000, 150, 2)
    assert book.last_trade == Print(9, 100_0000, 150, 77)


def test_the_last_share_takes_the_order_and_the_last_order_the_level() -> None:
    book = built(*TAPE, itch.OrderExecuted(AAPL, 0, 0, 4, 500, 9)).by_symbol("AAPL")
    assert book.best_ask == Level(102_0000, 50, 1)
    assert 4 not in book.orders


def test_an_execution_with_price_prints_its_own_price_if_it_prints() -> None:
    executed = itch.OrderExecutedWithPrice(AAPL, 0, 5, 4, 100, 9, b"Y", 100_5000)
    silent = itch.OrderExecutedWithPrice(AAPL, 0, 6, 4, 100, 10, b"N", 100_6000)
    book = built(*TAPE, executed, silent).by_symbol("AAPL")
    assert (book.best_ask, book.last_trade, book.trades, book.volume) == (
        Level(101_0000, 300, 1),
        Print(9, 100_5000, 100, 5),
        1,
        100,
    )


def test_cancel_delete_replace() -> None:
    book = built(
        *TAPE,
        itch.OrderCancel(AAPL, 0, 0, 2, 50),
        itch.OrderDelete(AAPL, 0, 0, 1),
        itch.OrderReplace(AAPL, 0, 0, 4, 6, 80, 100_5000),
    ).by_symbol("AAPL")
    assert book.snapshot() == BookSnapshot(
        "AAPL",
        (Level(100_0000, 250, 2),),
        (Level(100_5000, 80, 1), Level(102_0000, 50, 1)),
        (
            (2, b"B", 150, 100_0000),
            (3, b"B", 100, 100_0000),
            (5, b"S", 50, 102_0000),
            (6, b"S", 80, 100_5000),
        ),
    )


def test_trades_beside_the_displayed_book() -> None:
    builder = built(
        itch.Trade(AAPL, 0, 1, 0, b"B", 10, b"AAPL    ", 100_0000, 1),
        itch.CrossTrade(AAPL, 0, 2, 1000, b"AAPL    ", 101_0000, 2, b"O"),
        itch.CrossTrade(AAPL, 0, 3, 0, b"AAPL    ", 0, 3, b"C"),
        itch.BrokenTrade(AAPL, 0, 4, 1),
    )
    book = builder.by_symbol("AAPL")
    assert (book.trades, book.volume, book.broken_trades) == (2, 1000, 1)
    assert book.last_trade == Print(2, 101_0000, 1000, 2)


def test_an_auction_is_a_crossed_book_that_one_message_prints() -> None:
    noii = itch.NetOrderImbalance(AAPL, 0, 1, 100, 50, b"B", b"AAPL    ", 0, 100_5000, 100_0000, b"O", b"L")
    collar = itch.LULDAuctionCollar(AAPL, 0, 1, b"AAPL    ", 100_0000, 105_0000, 95_0000, 0)
    builder = built(
        itch.StockTradingAction(AAPL, 0, 0, b"AAPL    ", b"Q", b" ", b"    "),
        add(1, "B", 150, 101_0000),
        add(2, "S", 100, 100_0000),
        collar,
        noii,
    )
    book = builder.by_symbol("AAPL")
    assert (book.best_bid, book.best_ask) == (Level(101_0000, 150, 1), Level(100_0000, 100, 1))
    assert book.indicative == Indicative(100, 50, b"B", 0, 100_5000, 100_0000, b"O")
    assert book.collar == Collar(100_0000, 105_0000, 95_0000, 0)
    for reference in (1, 2):
        builder.receive_message(itch.OrderExecutedWithPrice(AAPL, 0, 2, reference, 100, 7, b"N", 100_5000))
    assert (book.trades, book.volume, book.last_trade) == (0, 0, None)
    builder.receive_message(itch.CrossTrade(AAPL, 0, 2, 130, b"AAPL    ", 100_5000, 8, b"O"))
    assert (book.trades, book.volume) == (1, 130)
    assert builder.by_symbol("AAPL").indicative is None
    assert book.last_trade == Print(8, 100_5000, 130, 2)
    assert book.snapshot().bids == (Level(101_0000, 50, 1),)
    builder.receive_message(itch.StockTradingAction(AAPL, 0, 2, b"AAPL    ", b"T", b" ", b"    "))
    assert builder.by_symbol("AAPL").collar is None


def test_a_broken_trade_of_an_auction_counts_once() -> None:
    builder = built(add(1, "B", 150, 101_0000), add(2, "S", 100, 100_0000))
    for reference in (1, 2):
        builder.receive_message(itch.OrderExecutedWithPrice(AAPL, 0, 2, reference, 100, 7, b"N", 100_5000))
    builder.receive_message(itch.CrossTrade(AAPL, 0, 2, 130, b"AAPL    ", 100_5000, 9, b"O"))
    builder.receive_message(itch.BrokenTrade(AAPL, 0, 3, 7))
    builder.receive_message(itch.BrokenTrade(AAPL, 0, 3, 8))  # between orders that were not displayed
    book = builder.by_symbol("AAPL")
    assert (book.volume, book.broken_trades) == (30, 2)


def test_a_halt_ends_what_is_known_of_an_auction() -> None:
    noii = itch.NetOrderImbalance(AAPL, 0, 1, 100, 50, b"B", b"AAPL    ", 0, 100_5000, 100_0000, b"O", b"L")
    halt = itch.StockTradingAction(AAPL, 0, 0, b"AAPL    ", b"H", b" ", b"T1  ")
    assert built(noii, halt).by_symbol("AAPL").indicative is None


def test_the_circuit_breaker() -> None:
    builder = built(itch.MWCBDeclineLevel(0, 0, 0, 93, 87, 80), itch.MWCBStatus(0, 0, 0, b"1"))
    assert (builder.decline_levels, builder.breached_level) == ((93, 87, 80), b"1")


def test_states_of_the_day_and_of_the_stock() -> None:
    builder = built(
        itch.SystemEvent(0, 0, 0, b"Q"),
        itch.StockTradingAction(AAPL, 0, 0, b"AAPL    ", b"H", b" ", b"T1  "),
        itch.RegSHORestriction(AAPL, 0, 0, b"AAPL    ", b"0"),
    )
    assert builder.phase is Phase.START_OF_MARKET_HOURS
    assert builder.by_symbol("AAPL").trading_state == b"H"
    assert builder.messages == 5


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (itch.OrderExecuted(AAPL, 0, 0, 99, 1, 1), "no order 99 rests"),
        (itch.OrderExecuted(AAPL, 0, 0, 1, 301, 1), "which has 300"),
        (itch.OrderExecutedWithPrice(AAPL, 0, 0, 99, 1, 1, b"Y", 1), "no order 99 rests"),
        (itch.OrderCancel(AAPL, 0, 0, 1, 0), "0 shares leave"),
        (itch.OrderCancel(MSFT, 0, 0, 1, 1), "MSFT: no order 1 rests"),
        (itch.OrderDelete(AAPL, 0, 0, 99), "no order 99 rests"),
        (itch.OrderReplace(AAPL, 0, 0, 99, 100, 1, 1), "no order 99 rests"),
        (itch.OrderReplace(AAPL, 0, 0, 1, 2, 1, 1), "cannot become"),
        (itch.OrderReplace(AAPL, 0, 0, 1, 6, 0, 1), "cannot become"),
        (add(1, "B", 1, 1), "rests already"),
        (add(6, "B", 0, 1), "0 shares"),
        (add(6, "X", 1, 1), "side b'X'"),
        (add(6, "B", 1, 1, locate=3), "stock locate 3"),
        (directory(AAPL, "AAPLE"), "was AAPL, now AAPLE"),
        (itch.SystemEvent(0, 0, 0, b"Z"), "system event code"),
        (itch.CrossTrade(3, 0, 0, 5, b"AAPL    ", 1, 2, b"O"), "stock locate 3"),
    ],
)
def test_a_contradiction_is_an_error_and_changes_nothing(message: itch.Message, what: str) -> None:
    builder = built(*TAPE)
    before = builder.snapshot()
    with pytest.raises(BookError, match=what):
        builder.receive_message(message)
    assert builder.snapshot() == before
    assert builder.messages == 7


def test_an_unlisted_symbol() -> None:
    with pytest.raises(KeyError):
        built().by_symbol("IBM")


steps = st.lists(
    st.tuples(
        st.sampled_from("AAAXEDU"),
        st.integers(0, 9),
        st.sampled_from([b"B", b"S"]),
        st.integers(1, 5),
        st.integers(1, 6),
    ),
    max_size=60,
)


@given(steps)
def test_the_book_is_what_a_naive_book_says(steps: list[tuple[str, int, bytes, int, int]]) -> None:
    """The naive book is a dict of orders; levels are counted anew from it."""
    builder = built()
    orders: dict[int, tuple[bytes, int, int]] = {}
    for number, (kind, which, side, shares, price) in enumerate(steps, 1):
        reference = sorted(orders)[which % len(orders)] if orders else 0
        message: itch.Message
        if kind == "A" or not orders:
            message = add(number, side.decode(), shares, price)
            orders[number] = (side, shares, price)
        else:
            old_side, left, old_price = orders.pop(reference)
            executed = min(shares, left)
            if left > executed and kind in "XE":
                orders[reference] = (old_side, left - executed, old_price)
            if kind == "D":
                message = itch.OrderDelete(AAPL, 0, 0, reference)
            elif kind == "U":
                message = itch.OrderReplace(AAPL, 0, 0, reference, number, shares, price)
                orders[number] = (old_side, shares, price)
            elif kind == "X":
                message = itch.OrderCancel(AAPL, 0, 0, reference, executed)
            else:
                message = itch.OrderExecuted(AAPL, 0, 0, reference, executed, number)
        builder.receive_message(message)
    book = builder.by_symbol("AAPL")
    assert {ref: (o.side, o.shares, o.price) for ref, o in book.orders.items()} == orders
    for side, ours in ((b"B", book.snapshot().bids), (b"S", book.snapshot().asks)):
        prices = sorted({p for s, _, p in orders.values() if s == side}, reverse=side == b"B")
        shares_at = [[q for s, q, p in orders.values() if (s, p) == (side, price)] for price in prices]
        assert list(ours) == [Level(p, sum(q), len(q)) for p, q in zip(prices, shares_at, strict=True)]
