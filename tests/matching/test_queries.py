"""Questions and answers: what an order, a day's trades and a book look like to who asks, and that nothing breaks it."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching import answers, queries
from matching.codes import OrdStatus, Phase
from matching.commands import (
    CancelOrder,
    Continue,
    DefineInstrument,
    EndDay,
    NewOrder,
    ReplaceOrder,
    StartDay,
)
from matching.engine import Engine
from matching.events import Event, OrderExecuted
from matching.order import Order
from matching.outcomes import Entry
from matching.queries import (
    MAX_ITEMS,
    BookDepth,
    BookFound,
    DigestFound,
    Fill,
    Fills,
    FillsFound,
    Level,
    OpenOrders,
    OrderByClOrdId,
    OrderById,
    OrderFound,
    OrdersFound,
    OrderStatus,
    QueryError,
    QueryRefused,
    StateDigest,
    decode_answer,
    decode_query,
    encode,
)
from matching.shard import Shard

BUY, SELL = 1, 2
PRICE = 1_000_000
FIRST = 1 << 48


def opened(max_events: int = 128) -> Engine:
    engine = Engine(1, max_events)
    engine.apply(DefineInstrument(1, b"ACME", 100, 1, 100), 0, 0)
    engine.apply(StartDay(20250101, b"S250101001", 0), 0, 0)
    return engine


def enter(
    engine: Engine,
    cl_ord_id: bytes,
    side: int,
    quantity: int,
    *,
    price: int = PRICE,
    time_in_force: int = 0,
    who: int = 1,
    now: int = 0,
) -> list[Event]:
    command = NewOrder(who, 1, side, 2, time_in_force, price, quantity, 0, cl_ord_id, b"ACC")
    return engine.apply(command, now, who * 10)


def order(engine: Engine, cl_ord_id: bytes, session_id: int = 10) -> OrderStatus | None:
    found = engine.answer(OrderByClOrdId(session_id, cl_ord_id))
    assert isinstance(found, OrderFound)
    return found.order


def told(engine: Engine, cl_ord_id: bytes, session_id: int = 10) -> tuple[str, int, int, int]:
    """(OrdStatus, leaves, cum, notional) of an order that is found."""
    found = order(engine, cl_ord_id, session_id)
    assert found is not None
    assert engine.answer(OrderById(found.terms.order_id)) == OrderFound(found)
    return OrdStatus(found.ord_status).name, found.leaves_qty, found.cum_qty, found.cum_notional


# --- one order --------------------------------------------------------------------------------------------------------


def test_an_order_is_told_at_every_stage_of_its_life() -> None:
    engine = opened()
    enter(engine, b"a", BUY, 10)
    assert told(engine, b"a") == ("NEW", 10, 0, 0)
    enter(engine, b"b", SELL, 4, who=2)
    assert told(engine, b"a") == ("PARTIALLY_FILLED", 6, 4, 4 * PRICE)
    assert told(engine, b"b", 20) == ("FILLED", 0, 4, 4 * PRICE)
    engine.apply(CancelOrder(1, 1, BUY, 0, 0, b"c", b"a"), 0, 10)
    assert told(engine, b"a") == ("CANCELED", 0, 4, 4 * PRICE)
    assert told(engine, b"c") == told(engine, b"a")


def test_a_resting_order_that_is_filled_and_one_that_expires_are_told() -> None:
    engine = opened()
    enter(engine, b"a", BUY, 4)
    enter(engine, b"b", SELL, 4, who=2)
    enter(engine, b"d", BUY, 7, price=PRICE - 100)
    engine.apply(EndDay(20250101), 0, 0)
    assert told(engine, b"a") == ("FILLED", 0, 4, 4 * PRICE)
    assert told(engine, b"d") == ("EXPIRED", 0, 0, 0)
    found = order(engine, b"d")
    assert found is not None
    assert (found.terms.order_qty, found.terms.account) == (7, b"ACC")


def test_what_an_order_could_not_execute_at_once_is_told_as_canceled() -> None:
    engine = opened()
    enter(engine, b"a", BUY, 4)
    enter(engine, b"b", SELL, 9, time_in_force=3, who=2)
    assert told(engine, b"b", 20) == ("CANCELED", 0, 4, 4 * PRICE)


def test_a_replaced_order_is_found_by_each_of_its_names_in_whichever_session() -> None:
    engine = opened()
    enter(engine, b"a", BUY, 10)
    engine.apply(ReplaceOrder(1, 1, BUY, 2, 0, PRICE, 8, FIRST | 1, 0, b"b", b"?", b""), 0, 11)
    assert told(engine, b"a", 10) == told(engine, b"b", 11) == ("NEW", 8, 0, 0)
    engine.apply(CancelOrder(1, 1, BUY, 0, 0, b"c", b"b"), 0, 11)
    assert told(engine, b"a", 10) == told(engine, b"b", 11) == told(engine, b"c", 11) == ("CANCELED", 0, 0, 0)


def test_an_order_between_two_transactions_is_told_as_it_is() -> None:
    engine = opened(max_events=8)
    for number in range(9):
        enter(engine, b"a%d" % number, SELL, 1)
    enter(engine, b"b", BUY, 20, who=2)
    assert engine.pending
    assert told(engine, b"b", 20) == ("PARTIALLY_FILLED", 14, 6, 6 * PRICE)
    found = engine.answer(OpenOrders(2))
    assert isinstance(found, OrdersFound)
    assert [each.terms.cl_ord_id for each in found.orders] == [b"b"]


def test_an_order_nobody_knows_is_not_found_nor_is_one_of_yesterday() -> None:
    engine = opened()
    enter(engine, b"a", BUY, 10)
    assert order(engine, b"z") is None
    assert order(engine, b"a", 77) is None
    assert engine.answer(OrderById(FIRST | 99)) == OrderFound(None)
    engine.apply(EndDay(20250101), 0, 0)
    assert order(engine, b"a") is not None
    engine.apply(StartDay(20250102, b"S250102001", 0), 0, 0)
    assert order(engine, b"a") is None
    assert engine.answer(OrderById(FIRST | 1)) == OrderFound(None)


def test_the_order_of_a_session_that_now_has_another_participant_is_still_told() -> None:
    engine = opened()
    enter(engine, b"a", BUY, 4)
    enter(engine, b"b", SELL, 4, who=2)
    engine.apply(NewOrder(3, 1, BUY, 2, 0, PRICE, 1, 0, b"z", b""), 0, 10)
    found = engine.answer(OrderById(FIRST | 1))
    assert isinstance(found, OrderFound)
    assert found.order is not None
    assert found.order.ord_status == OrdStatus.FILLED


# --- many -------------------------------------------------------------------------------------------------------------


class _Looked(list[Entry]):
    """The day's orders, counting who looks."""

    count = 0

    def __getitem__(self, place: Any) -> Any:
        self.count += 1
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[Entry]:
        raise AssertionError("nobody looks at all orders of a day")


class _Orders(dict[bytes, Order]):
    def values(self) -> Any:
        raise AssertionError("nobody looks at all orders of a firm that has many")


def test_a_page_of_a_firm_with_many_orders_looks_at_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_ITEMS", 5)
    monkeypatch.setattr(answers, "_MAX_SORTED", 10)
    monkeypatch.setattr(answers, "_MAX_LOOKED_AT", 20)
    engine = opened()
    for number in range(40):
        enter(engine, b"o%d" % number, BUY, 1, who=2)
    for number in range(30):
        enter(engine, b"a%d" % number, BUY, 1, price=PRICE - number % 7 * 100)
        enter(engine, b"p%d" % number, BUY, 1, who=2)
    engine.apply(CancelOrder(1, 1, BUY, 0, 0, b"c", b"a3"), 0, 10)
    participant = engine._state.participants[1]
    live = sorted(each.terms.order_id for each in participant.orders())
    assert len(live) == participant.order_count() == 29
    for session in participant.sessions.values():
        session.orders = _Orders(session.orders)
    accepted = engine._state.accepted = _Looked(engine._state.accepted)
    ids: list[int] = []
    pages = []
    after = 0
    while True:
        accepted.count = 0
        page = engine.answer(OpenOrders(1, after))
        assert isinstance(page, OrdersFound)
        assert accepted.count <= 20
        assert decode_answer(encode(page)) == page
        pages.append(len(page.orders))
        ids += [each.terms.order_id for each in page.orders]
        if not page.more:
            break
        after = page.next_after()
    assert ids == live
    assert pages[:3] == [0, 0, 5]


def test_an_order_that_has_more_to_trade_stands_among_the_many(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = opened(8)
    for number in range(10):
        enter(engine, b"s%d" % number, SELL, 1, who=2)
        enter(engine, b"a%d" % number, BUY, 1, price=PRICE - 100)
    engine.apply(NewOrder(1, 1, BUY, 2, 0, PRICE, 20, 0, b"sweep", b""), 0, 10)
    assert engine.pending
    few = engine.answer(OpenOrders(1))
    monkeypatch.setattr(answers, "_MAX_SORTED", 1)
    assert engine.answer(OpenOrders(1)) == few
    assert isinstance(few, OrdersFound)
    assert len(few.orders) == 11


def test_open_orders_come_by_order_id_and_in_pages() -> None:
    engine = opened()
    for number in range(MAX_ITEMS + 5):
        enter(engine, b"a%d" % number, BUY, 1, price=PRICE - number % 7 * 100)
    enter(engine, b"other", BUY, 1, who=2)
    enter(engine, b"s", SELL, 1, who=2)  # takes the first of the best price
    first = engine.answer(OpenOrders(1))
    assert isinstance(first, OrdersFound)
    second = engine.answer(OpenOrders(1, first.orders[-1].terms.order_id))
    assert isinstance(second, OrdersFound)
    assert (len(first.orders), first.more, second.more) == (MAX_ITEMS, True, False)
    ids = [each.terms.order_id for each in first.orders + second.orders]
    assert ids == [FIRST | number for number in range(2, MAX_ITEMS + 6)]
    assert engine.answer(OpenOrders(9)) == OrdersFound([], False)


def test_fills_say_both_sides_of_a_trade_at_the_price_and_time_it_had() -> None:
    engine = opened()
    enter(engine, b"a", BUY, 10)
    enter(engine, b"b", SELL, 4, price=PRICE - 100, who=2, now=7)
    resting, incoming = (order(engine, name, session) for name, session in ((b"a", 10), (b"b", 20)))
    assert resting is not None
    assert incoming is not None
    first = FIRST | 1
    assert engine.answer(Fills(1)) == FillsFound([Fill(first, 7, PRICE, 4, resting.terms, True)], False)
    assert engine.answer(Fills(2)) == FillsFound([Fill(first, 7, PRICE, 4, incoming.terms, False)], False)
    assert engine.answer(Fills(3)) == FillsFound([], False)
    engine.apply(EndDay(20250101), 0, 0)
    assert engine.answer(Fills(1)) != FillsFound([], False)
    engine.apply(StartDay(20250102, b"S250102001", 0), 0, 0)
    assert engine.answer(Fills(1)) == FillsFound([], False)


def test_fills_that_a_continuation_makes_bear_its_time() -> None:
    engine = opened(max_events=8)
    for number in range(9):
        enter(engine, b"a%d" % number, SELL, 1)
    made = sum(isinstance(each, OrderExecuted) for each in enter(engine, b"b", BUY, 9, who=2, now=5))
    assert 0 < made < 9
    while engine.pending:
        engine.apply(Continue(), 6, 0)
    found = engine.answer(Fills(2))
    assert isinstance(found, FillsFound)
    assert [each.timestamp for each in found.fills] == [5] * made + [6] * (9 - made)


def test_a_trade_with_oneself_is_two_fills_that_no_page_parts() -> None:
    engine = opened()
    for number in range(MAX_ITEMS // 2 + 3):
        enter(engine, b"b%d" % number, BUY, 1)
        enter(engine, b"s%d" % number, SELL, 1)
    first = engine.answer(Fills(1))
    assert isinstance(first, FillsFound)
    second = engine.answer(Fills(1, first.fills[-1].match_number))
    assert isinstance(second, FillsFound)
    assert (len(first.fills), first.more, len(second.fills), second.more) == (MAX_ITEMS, True, 6, False)
    assert [(each.match_number, each.resting) for each in first.fills + second.fills] == [
        (FIRST | number, resting) for number in range(1, MAX_ITEMS // 2 + 4) for resting in (True, False)
    ]


def test_a_book_is_told_from_the_best_level_on_and_goes_on_behind_any() -> None:
    engine = opened()
    for number, price in enumerate([PRICE, PRICE - 100, PRICE - 300, PRICE - 100]):
        enter(engine, b"b%d" % number, BUY, 2, price=price)
        enter(engine, b"s%d" % number, SELL, 3, price=2 * PRICE + 100 - price)
    bids = [Level(PRICE, 2, 1), Level(PRICE - 100, 4, 2), Level(PRICE - 300, 2, 1)]
    asks = [Level(PRICE + 100, 3, 1), Level(PRICE + 200, 6, 2), Level(PRICE + 400, 3, 1)]
    assert engine.answer(BookDepth(1)) == BookFound(1, b"ACME", ord("T"), Phase.CONTINUOUS, bids, asks, False, False)
    two = engine.answer(BookDepth(1, 2))
    assert two == BookFound(1, b"ACME", ord("T"), Phase.CONTINUOUS, bids[:2], asks[:2], True, True)
    rest = engine.answer(BookDepth(1, 2, PRICE - 100, PRICE + 200))
    assert rest == BookFound(1, b"ACME", ord("T"), Phase.CONTINUOUS, bids[2:], asks[2:], False, False)
    assert engine.answer(BookDepth(1, 0)) == engine.answer(BookDepth(1, 1))
    assert isinstance(engine.answer(BookDepth(7)), QueryRefused)


def test_a_book_of_many_levels_is_cut() -> None:
    engine = opened()
    for number in range(MAX_ITEMS):
        enter(engine, b"b%d" % number, BUY, 1, price=PRICE - number * 100)
    found = engine.answer(BookDepth(1, 10 * MAX_ITEMS))
    assert isinstance(found, BookFound)
    assert (len(found.bids), found.more_bids, found.more_asks) == (MAX_ITEMS // 2, True, False)


def test_the_digest_is_told_with_where_the_shard_stands() -> None:
    engine = opened()
    enter(engine, b"a", BUY, 10)
    enter(engine, b"b", SELL, 4, who=2)
    assert engine.answer(StateDigest()) == DigestFound(engine.digest(), 20250101, 20250101, FIRST | 2, FIRST | 1, 1)


# --- bytes ------------------------------------------------------------------------------------------------------------

numbers = st.integers(0, (1 << 64) - 1)
any_query = st.one_of(
    st.builds(OpenOrders, numbers, numbers),
    st.builds(OrderById, numbers),
    st.builds(OrderByClOrdId, numbers, st.binary(max_size=30)),
    st.builds(Fills, numbers, numbers),
    st.builds(BookDepth, numbers, st.integers(-5, 1 << 60), numbers, numbers),
    st.just(StateDigest()),
)


@given(any_query)
def test_a_question_comes_back_from_its_bytes_and_gets_an_answer_that_does(query: queries.Query) -> None:
    assert decode_query(encode(query)) == query
    shard = Shard(1)
    before = shard.digest()
    answer = decode_answer(shard.read(encode(query)))
    assert answer == shard.engine.answer(query)
    assert shard.digest() == before


@given(st.binary(max_size=60))
def test_bytes_that_are_no_question_get_a_refusal(data: bytes) -> None:
    answer = decode_answer(Shard(1).read(data))
    try:
        decode_query(data)
    except QueryError:
        assert isinstance(answer, QueryRefused)
        assert answer.text.startswith(f"{len(data)} bytes are no question to a shard: ")


@pytest.mark.parametrize("data", [b"", b"\x80", encode(OrderById(1)), encode(OrderById(1))[:-1], b"\x91" * 100_000])
def test_bytes_that_are_no_answer_are_an_error_of_their_own(data: bytes) -> None:
    with pytest.raises(QueryError, match="no answer of a shard"):
        decode_answer(data)


def test_every_answer_comes_back_from_its_bytes() -> None:
    engine = opened()
    enter(engine, b"a", BUY, 10)
    enter(engine, b"b", SELL, 4, who=2)
    asked = [
        OpenOrders(1),
        OrderById(FIRST | 1),
        OrderByClOrdId(10, b"?"),
        Fills(2),
        BookDepth(1),
        BookDepth(2),
        StateDigest(),
    ]
    answers = [engine.answer(query) for query in asked]  # type: ignore[arg-type]
    assert {type(each) for each in answers} == set(queries.Answer.__args__)
    for answer in answers:
        assert decode_answer(encode(answer)) == answer


def test_only_the_digest_of_everything_takes_long() -> None:
    assert Shard(1).is_long(encode(StateDigest()))
    assert not Shard(1).is_long(encode(OpenOrders(1)))
    assert not Shard(1).is_long(b"no question")
