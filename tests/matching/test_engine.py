"""The engine's bounds, its ids and what it holds on to. What orders do to each other stands in the scenarios."""

import gc
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest

from matching import mass_cancel
from matching.codes import RefusalReason
from matching.commands import (
    CancelOrder,
    CancelSession,
    Command,
    Continue,
    DefineInstrument,
    DefineSession,
    EndDay,
    NewOrder,
    ReplaceOrder,
    SetTradingState,
    SourceLost,
    StartDay,
)
from matching.engine import Engine
from matching.events import (
    CommandRefused,
    Event,
    InstrumentListed,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderReplaced,
)
from matching.ids import MAX_PRICE, MAX_QUANTITY, shard_of
from matching.order import Order
from matching.outcomes import Entry
from matching.state import MAX_EVENTS_PER_TRANSACTION
from tests.matching.books import ledger_of

BUY, SELL = 1, 2


def opened(shard_id: int = 1, max_events: int = MAX_EVENTS_PER_TRANSACTION) -> Engine:
    engine = Engine(shard_id, max_events)
    engine.apply(DefineInstrument(1, b"ACME", 100, 1, 100), 0, 0)
    engine.apply(StartDay(20250101, b"S250101001", 0), 0, 0)
    return engine


def order(cl_ord_id: str, side: int, price: int, quantity: int, time_in_force: int = 0) -> NewOrder:
    return NewOrder(1, 1, side, 2, time_in_force, price, quantity, 0, cl_ord_id.encode(), b"")


def transactions(engine: Engine, command: Command, session_id: int) -> Iterator[list[Event]]:
    """A command's events and those of each continuation."""
    yield engine.apply(command, 0, session_id)
    while engine.pending:
        yield engine.apply(Continue(), 0, 0)


def asks(engine: Engine, count: int) -> list[Event]:
    """Sell orders of 1 at ten prices."""
    return [
        event
        for number in range(count)
        for event in engine.apply(order(f"s{number}", SELL, 1_000_000 + number % 10 * 100, 1), 0, 1)
    ]


# --- bounds -----------------------------------------------------------------------------------------------------------


def sweep(engine: Engine) -> tuple[Command, int]:
    asks(engine, 300)
    return order("b", BUY, 1_001_000, 301), 1


def replaced_into_a_sweep(engine: Engine) -> tuple[Command, int]:
    asks(engine, 300)
    engine.apply(order("b", BUY, 990_000, 280), 0, 1)
    return ReplaceOrder(1, 1, BUY, 2, 0, 1_001_000, 290, 0, 0, b"c", b"b", b""), 1


def fill_or_kill(engine: Engine) -> tuple[Command, int]:
    asks(engine, 300)
    return order("b", BUY, 1_001_000, 300, time_in_force=4), 1


def immediate_or_cancel(engine: Engine) -> tuple[Command, int]:
    asks(engine, 300)
    return order("b", BUY, 1_000_500, 300, time_in_force=3), 1


def lost_gateway(engine: Engine) -> tuple[Command, int]:
    engine.apply(DefineSession(1, 1, 7, 1), 0, 0)
    asks(engine, 300)
    return SourceLost(7), 0


def end_of_day(engine: Engine) -> tuple[Command, int]:
    asks(engine, 1_000)
    return EndDay(20250101), 0


def start_of_day(engine: Engine) -> tuple[Command, int]:
    for number in range(2, 300):
        engine.apply(DefineInstrument(number, b"S%d" % number, 1, 1, 1), 0, 0)
    engine.apply(EndDay(20250101), 0, 0)
    return StartDay(20250102, b"S250102001", 0), 0


LARGE = [sweep, replaced_into_a_sweep, fill_or_kill, immediate_or_cancel, lost_gateway, end_of_day, start_of_day]


@pytest.mark.parametrize("large", LARGE)
def test_no_transaction_is_larger_than_its_bound(large: Callable[[Engine], tuple[Command, int]]) -> None:
    engine = opened()
    parts = list(transactions(engine, *large(engine)))
    assert len(parts) >= 2
    assert all(0 < len(part) <= MAX_EVENTS_PER_TRANSACTION for part in parts)


@pytest.mark.parametrize("large", LARGE)
@pytest.mark.parametrize("bound", [7, 8, 50, MAX_EVENTS_PER_TRANSACTION])
def test_splitting_changes_nothing_but_the_cuts(large: Callable[[Engine], tuple[Command, int]], bound: int) -> None:
    whole, split = opened(max_events=100_000), opened(max_events=bound)
    for engine in (whole, split):
        command, session_id = large(engine)
    said = list(transactions(whole, command, session_id))
    assert len(said) == 1
    parts = list(transactions(split, command, session_id))
    assert len(parts) > 1
    assert list(chain.from_iterable(parts)) == said[0]
    assert split.digest() == whole.digest()


class Looked(list[Entry]):
    """The day's orders, counting those that somebody looks at."""

    count = 0

    def __getitem__(self, places: Any) -> Any:
        found = super().__getitem__(places)
        self.count += len(found) if isinstance(places, slice) else 1
        return found

    def __iter__(self) -> Iterator[Entry]:
        raise AssertionError("nobody looks at all orders of a day")


class ManyOrders(dict[bytes, Order]):
    def values(self) -> Any:
        raise AssertionError("nobody looks at all orders of a firm that has many")

    items = values


def test_a_lost_gateway_is_dealt_with_in_transactions_that_look_at_few_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = opened(), opened()
    for engine in (few, many):
        engine.apply(DefineSession(1, 1, 7, 1), 0, 0)
        engine.apply(DefineSession(2, 1, 7, 0), 0, 0)
        for number in range(90):
            stays = number < 30 or number % 3 == 0
            engine.apply(order(f"o{number}", BUY, 100 * (1 + number % 5), 1), 0, 2 if stays else 1)
        engine.apply(CancelOrder(1, 1, BUY, 0, 0, b"c", b"o31"), 0, 1)
    whole = list(transactions(few, SourceLost(7), 0))
    assert [len(part) for part in whole] == [39]
    monkeypatch.setattr(mass_cancel, "MAX_LOOKED_AT", 20)
    accepted = many._state.accepted = Looked(many._state.accepted)
    for session in many._state.participants[1].sessions.values():
        session.orders = ManyOrders(session.orders)
    parts = []
    for part in transactions(many, SourceLost(7), 0):
        assert accepted.count <= 20
        accepted.count = 0
        parts.append(part)
    assert [len(part) for part in parts] == [0, 5, 14, 13, 7]
    assert list(chain.from_iterable(parts)) == whole[0]


def test_an_order_that_just_fits_its_transaction_needs_no_continuation() -> None:
    engine = opened(max_events=8)
    asks(engine, 6)
    events = engine.apply(order("b", BUY, 1_001_000, 7), 0, 1)
    assert len(events) == 8
    assert isinstance(events[-1], OrderBooked)
    assert not engine.pending


def test_while_work_is_pending_every_other_command_is_refused() -> None:
    engine = opened(max_events=8)
    engine.apply(*_with_time(sweep(engine)))
    assert engine.pending
    before = engine.digest()
    others: list[tuple[Command, int, int]] = [
        (order("x", BUY, 1_000_000, 1), 1, 20),
        (CancelOrder(1, 1, SELL, 0, 0, b"x", b"s299"), 1, 21),
        (ReplaceOrder(1, 1, SELL, 2, 0, 1_000_900, 1, 0, 0, b"x", b"s299", b""), 1, 22),
        (StartDay(20250102, b"S", 0), 0, 16),
        (EndDay(20250101), 0, 17),
        (DefineInstrument(2, b"OTHR", 1, 1, 1), 0, 18),
        (SetTradingState(1, ord("H"), b""), 0, 19),
        (DefineSession(1, 1, 1, 1), 0, 24),
        (SourceLost(1), 0, 25),
        (CancelSession(1), 0, 26),
    ]
    for command, session_id, kind in others:
        assert engine.apply(command, 0, session_id) == [CommandRefused(kind, RefusalReason.OTHER_WORK_PENDING)]
    assert engine.digest() == before


def _with_time(call: tuple[Command, int]) -> tuple[Command, int, int]:
    return call[0], 0, call[1]


# --- operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (StartDay(20250102, b"S", 0), 16),
        (EndDay(20250101), 17),
        (DefineInstrument(2, b"OTHR", 1, 1, 1), 18),
        (SetTradingState(1, ord("H"), b""), 19),
        (Continue(), 23),
        (DefineSession(1, 1, 1, 1), 24),
        (SourceLost(1), 25),
        (CancelSession(7), 26),
    ],
)
def test_a_fix_session_is_no_operator(command: Command, kind: int) -> None:
    engine = opened()
    before = engine.digest()
    assert engine.apply(command, 0, 7) == [CommandRefused(kind, RefusalReason.NOT_AN_OPERATOR)]
    assert engine.digest() == before


@pytest.mark.parametrize(
    "definition",
    [
        DefineInstrument(0, b"OTHR", 1, 1, 1),
        DefineInstrument(0x10000, b"OTHR", 1, 1, 1),
        DefineInstrument(2, b"", 1, 1, 1),
        DefineInstrument(2, b"NINECHARS", 1, 1, 1),
        DefineInstrument(2, b"OT R", 1, 1, 1),
        DefineInstrument(2, b"\xc4CME", 1, 1, 1),
        DefineInstrument(2, b"OTHR", 0, 1, 1),
        DefineInstrument(2, b"OTHR", MAX_PRICE + 1, 1, 1),
        DefineInstrument(2, b"OTHR", 1, 0, 1),
        DefineInstrument(2, b"OTHR", 1, MAX_QUANTITY + 1, 1),
        DefineInstrument(2, b"OTHR", 1, 1, 0),
    ],
)
def test_an_instrument_that_no_order_could_ever_fit_is_refused(definition: DefineInstrument) -> None:
    engine = opened()
    assert engine.apply(definition, 0, 0) == [CommandRefused(18, RefusalReason.BAD_INSTRUMENT)]
    assert engine.definition(definition.instrument_id) is None


def test_a_symbol_that_was_given_up_between_days_may_be_given_again() -> None:
    engine = opened()
    refused = [CommandRefused(18, RefusalReason.INSTRUMENT_IN_USE)]
    assert engine.apply(DefineInstrument(1, b"NEWS", 100, 1, 100), 0, 0) == refused
    engine.apply(EndDay(20250101), 0, 0)
    assert engine.apply(DefineInstrument(1, b"NEWS", 100, 1, 100), 0, 0) == []
    assert engine.apply(DefineInstrument(2, b"ACME", 100, 1, 100), 0, 0) == []
    assert [instrument.definition.symbol for instrument in engine.instruments()] == [b"NEWS", b"ACME"]


@pytest.mark.parametrize("name", [b"", b"26112200011", b"2611 2200", b"26112\xff"])
def test_a_feed_session_that_no_feed_could_have_is_refused(name: bytes) -> None:
    engine = Engine(1)
    refused = [CommandRefused(16, RefusalReason.BAD_FEED_SESSION)]
    assert engine.apply(StartDay(20250101, name, 0), 0, 0) == refused
    assert not engine.day_is_open


def test_the_round_lot_may_change_while_orders_rest() -> None:
    engine = opened()
    engine.apply(order("a", BUY, 1_000_000, 1), 0, 1)
    assert engine.apply(DefineInstrument(1, b"ACME", 100, 1, 10), 0, 0) == [
        InstrumentListed(1, b"ACME", 100, 1, 10, ord("T"))
    ]


def test_an_unknown_trading_state_is_refused() -> None:
    engine = opened()
    assert engine.apply(SetTradingState(1, ord("P"), b""), 0, 0) == [
        CommandRefused(19, RefusalReason.BAD_TRADING_STATE)
    ]


def test_what_a_tool_asks_about_the_day() -> None:
    engine = Engine(1)
    assert (engine.last_day, engine.day_is_open) == (0, False)
    engine.apply(StartDay(20250101, b"S", 0), 0, 0)
    assert (engine.last_day, engine.day_is_open) == (20250101, True)
    engine.apply(EndDay(20250101), 0, 0)
    assert (engine.last_day, engine.day_is_open) == (20250101, False)


# --- ids and figures --------------------------------------------------------------------------------------------------


def test_ids_carry_their_shard_and_count_on_over_days() -> None:
    engine = opened(shard_id=300)
    booked = [event for event in asks(engine, 2) if isinstance(event, OrderBooked)]
    engine.apply(EndDay(20250101), 0, 0)
    engine.apply(StartDay(20250102, b"S250102001", 0), 0, 0)
    booked += [event for event in asks(engine, 1) if isinstance(event, OrderBooked)]
    assert [event.order_id for event in booked] == [(300 << 48) + number for number in (1, 2, 3)]
    assert [event.order_ref for event in booked] == [(300 << 48) + number for number in (1, 2, 3)]
    assert shard_of(booked[0].order_id) == 300


def test_the_largest_order_there_is_trades_and_its_figures_fit_the_wire() -> None:
    engine = opened()
    engine.apply(order("a", SELL, MAX_PRICE, MAX_QUANTITY), 0, 1)
    trade = engine.apply(order("b", BUY, MAX_PRICE, MAX_QUANTITY), 0, 1)[-1]
    assert isinstance(trade, OrderExecuted)
    assert trade.incoming_cum_notional == MAX_PRICE * MAX_QUANTITY < 1 << 64


def test_the_book_as_tools_see_it() -> None:
    engine = opened()
    assert (engine.book(1).best_bid, engine.book(1).best_ask) == (None, None)
    for number, (side, price, quantity) in enumerate(
        [(BUY, 990_000, 5), (BUY, 1_000_000, 1), (BUY, 990_000, 7), (SELL, 1_010_000, 2), (SELL, 1_020_000, 3)]
    ):
        engine.apply(order(f"a{number}", side, price, quantity), 0, 1)
    book = engine.book(1)
    assert (book.best_bid, book.best_ask) == (1_000_000, 1_010_000)
    assert book.bids.depth() == [(1_000_000, 1, 1), (990_000, 12, 2)]
    assert book.asks.depth(1) == [(1_010_000, 2, 1)]
    assert [resting.terms.cl_ord_id for resting in engine.orders()] == [b"a1", b"a0", b"a2", b"a3", b"a4"]
    first = engine.order(1 << 48 | 1)
    assert first is not None
    assert first.terms.cl_ord_id == b"a0"
    assert engine.order(77) is None
    with pytest.raises(KeyError):
        engine.book(2)


def test_levels_open_and_close_at_both_ends_and_between() -> None:
    engine = opened()
    bids = engine.book(1).bids
    prices = [1_000_000, 1_000_200, 1_000_100, 999_900, 1_000_300]
    for number, price in enumerate(prices):
        engine.apply(order(f"a{number}", BUY, price, 1), 0, 1)
    assert [price for price, _, _ in bids.depth()] == sorted(prices, reverse=True)
    for number in (2, 4, 3, 1, 0):  # between, best, worst, best, last
        engine.apply(CancelOrder(1, 1, BUY, 0, 0, b"c%d" % number, b"a%d" % number), 0, 1)
        prices.remove(1_000_000 + [0, 200, 100, -100, 300][number])
        assert [price for price, _, _ in bids.depth()] == sorted(prices, reverse=True)
        assert engine.book(1).best_bid == max(prices, default=None)


def test_a_session_that_comes_with_another_participant_is_another_session() -> None:
    engine = opened()
    engine.apply(order("a", BUY, 1_000_000, 1), 0, 1)
    stranger = CancelOrder(2, 1, BUY, 0, 0, b"c", b"a")
    assert type(engine.apply(stranger, 0, 1)[0]).__name__ == "CancelRejected"
    assert len(list(engine.orders())) == 1


def test_one_order_through_all_that_can_become_of_it() -> None:
    engine = opened()
    events: list[Event] = []

    def say(command: Command, session_id: int = 1) -> Event:
        said = engine.apply(command, 0, session_id)
        events.extend(said)
        return said[-1]

    assert isinstance(say(order("a", BUY, 1_000_000, 10)), OrderBooked)
    assert isinstance(say(order("b", SELL, 1_000_000, 2)), OrderExecuted)
    assert isinstance(say(ReplaceOrder(1, 1, BUY, 2, 0, 1_000_000, 8, 0, 0, b"c", b"a", b"")), OrderReduced)
    assert isinstance(say(ReplaceOrder(1, 1, BUY, 2, 0, 1_000_100, 9, 0, 0, b"d", b"c", b"")), OrderReplaced)
    assert isinstance(say(CancelOrder(1, 1, BUY, 0, 0, b"e", b"d")), OrderCanceled)
    say(order("f", BUY, 1_000_000, 1))
    said = engine.apply(EndDay(20250101), 0, 0)
    assert isinstance(said[1], OrderExpired)
    ledger_of(events + said).check(engine)


# --- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("definition", [DefineSession(0, 1, 1, 1), DefineSession(1, 1, 1, 2)])
def test_a_session_that_cannot_be_is_refused(definition: DefineSession) -> None:
    engine = opened()
    assert engine.apply(definition, 0, 0) == [CommandRefused(24, RefusalReason.BAD_SESSION)]
    assert engine.session(definition.session_id) is None


def test_a_lost_gateway_takes_the_orders_of_a_session_whichever_participant_came_with_it() -> None:
    engine = opened()
    engine.apply(DefineSession(1, 1, 7, 1), 0, 0)
    engine.apply(order("a", BUY, 1_000_000, 1), 0, 1)
    engine.apply(NewOrder(2, 1, BUY, 2, 0, 1_000_000, 1, 0, b"a", b""), 0, 1)
    engine.apply(order("b", BUY, 1_000_000, 1), 0, 2)
    gone = [event for event in engine.apply(SourceLost(7), 0, 0) if isinstance(event, OrderCanceled)]
    assert [(event.terms.participant_id, event.terms.cl_ord_id) for event in gone] == [(1, b"a"), (2, b"a")]
    assert [resting.terms.cl_ord_id for resting in engine.orders()] == [b"b"]


def test_a_session_that_comes_back_to_its_participant_knows_its_cl_ord_ids() -> None:
    engine = opened()
    engine.apply(order("a", BUY, 1_000_000, 1), 0, 1)
    engine.apply(NewOrder(2, 1, BUY, 2, 0, 1_000_000, 1, 0, b"b", b""), 0, 1)
    assert isinstance(engine.apply(CancelOrder(1, 1, BUY, 0, 0, b"c", b"a"), 0, 1)[0], OrderCanceled)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_an_order_that_has_left_the_book_is_freed_without_a_collection() -> None:
    engine = opened()
    gc.collect()
    gc.disable()
    try:
        for round_ in range(3):
            for number in range(50):
                engine.apply(order(f"s{round_}.{number}", SELL, 1_000_000 + number % 5 * 100, 2), 0, 1)
            for number in range(20):
                cancel = CancelOrder(1, 1, SELL, 0, 0, b"c%d.%d" % (round_, number), b"s%d.%d" % (round_, number))
                engine.apply(cancel, 0, 1)
            engine.apply(order(f"b{round_}", BUY, 1_001_000, 1_000, time_in_force=3), 0, 1)
        assert list(engine.orders()) == []
        assert gc.collect() == 0
    finally:
        gc.enable()
