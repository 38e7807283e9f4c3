"""Orders that live over the day's end: what the new day says of them, and how they are found in it."""

from typing import Any

import pytest

from matching.codes import OrdStatus, Peg, RejectReason, RestatementReason
from matching.commands import CancelOrder, Conditions, Continue, EndDay, ReplaceOrder, StartDay
from matching.engine import Engine
from matching.events import (
    CancelRejected,
    Event,
    OrderBooked,
    OrderCanceled,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderRestated,
    SystemEventOccurred,
)
from matching.queries import (
    MAX_ITEMS,
    OpenOrders,
    OrderByClOrdId,
    OrderById,
    OrderFound,
    OrdersFound,
    QueryRefused,
)
from tests.matching.market import BUY, GTC, LIMIT, PEGGED, PRICE, SELL, STOP, open_names, opened, order, say

GTD = 6
#: More than are looked through for one question.
MANY = 4 * MAX_ITEMS + 1
LAST = b"%d" % (MANY - 1)


def over_night(max_events: int = 128) -> tuple[Engine, list[Event], list[Event]]:
    """A night with orders of every kind: the engine, what the evening and the morning said."""
    engine = opened(max_events)
    order(engine, "day", BUY, 1, PRICE - 100)
    order(engine, "behind", BUY, 3, PRICE - 50, time_in_force=GTC)
    order(engine, "first", BUY, 5, PRICE, time_in_force=GTC)
    order(engine, "second", BUY, 4, PRICE, who=2, time_in_force=GTD, conditions=Conditions(expire_at=1 << 60))
    order(engine, "due", BUY, 4, PRICE, who=2, time_in_force=GTD, conditions=Conditions(expire_at=1))
    order(engine, "some", SELL, 2, PRICE, who=2)
    order(engine, "iceberg", SELL, 9, PRICE + 50, time_in_force=GTC, conditions=Conditions(display_qty=2))
    order(
        engine,
        "stop",
        BUY,
        5,
        0,
        ord_type=STOP,
        time_in_force=GTC,
        conditions=Conditions(stop_price=PRICE + 500),
    )
    order(engine, "peg", SELL, 5, 0, who=2, ord_type=PEGGED, time_in_force=GTC, conditions=Conditions(peg=Peg.PRIMARY))
    order(engine, "beta", SELL, 1, PRICE, instrument_id=2, time_in_force=GTC)
    evening = say(engine, EndDay(1), now=10)
    return engine, evening, say(engine, StartDay(2, b"S000000002", 0), now=20)


LIVING = ["first", "second", "behind", "iceberg", "stop", "peg", "beta"]


def names(events: list[Event], kind: type) -> list[str]:
    found: list[Any] = [each for each in events if isinstance(each, kind)]
    return [each.terms.cl_ord_id.decode() for each in found]


@pytest.mark.parametrize("max_events", [7, 8, 128])
def test_what_is_good_till_canceled_or_a_later_date_lives_on_and_nothing_else(max_events: int) -> None:
    engine, evening, morning = over_night(max_events)
    assert sorted(names(evening, OrderExpired)) == ["day", "due"]
    assert open_names(engine) == sorted(LIVING)
    assert names(morning, OrderRestated) == LIVING
    booked = [(each.price, each.quantity) for each in morning if isinstance(each, OrderBooked)]
    assert booked == [(PRICE, 3), (PRICE, 4), (PRICE - 50, 3), (PRICE + 50, 2), (PRICE, 1)]


def test_the_new_day_tells_an_order_as_it_is() -> None:
    engine, _, morning = over_night()
    restated = next(each for each in morning if isinstance(each, OrderRestated))
    [resting] = [each for each in engine.orders() if each.terms.cl_ord_id == b"first"]
    assert restated == OrderRestated(
        resting.terms, resting.order_ref, 0, RestatementReason.GT_RENEWAL, restated.participant_seq, 2, 3, 2 * PRICE
    )
    at = morning.index(restated)
    assert morning[at - 1] == OrderBooked(resting.order_ref, resting.terms.order_id, 1, 1, BUY, PRICE, 3), (
        "under the reference that it had"
    )
    assert any(isinstance(each, SystemEventOccurred) for each in morning[:at]), "the feed's day has begun before it"


def test_a_carried_order_is_found_and_its_name_taken_while_those_that_ended_are_forgotten() -> None:
    engine, _, _ = over_night()
    [rejected] = order(engine, "first", BUY, 1)
    assert isinstance(rejected, OrderRejected)
    assert rejected.reason == RejectReason.DUPLICATE_CL_ORD_ID
    found = engine.answer(OrderByClOrdId(10, b"first"))
    assert isinstance(found, OrderFound)
    assert found.order is not None
    assert (found.order.ord_status, found.order.leaves_qty, found.order.cum_qty) == (OrdStatus.PARTIALLY_FILLED, 3, 2)
    assert engine.answer(OrderById(found.order.terms.order_id)) == found
    assert engine.answer(OrderByClOrdId(10, b"day")) == OrderFound(None)
    one = engine.answer(OpenOrders(1))
    assert isinstance(one, OrdersFound)
    assert [each.terms.cl_ord_id for each in one.orders] == [
        b"behind",
        b"first",
        b"iceberg",
        b"stop",
        b"beta",
    ]


def test_a_carried_order_is_replaced_and_canceled_like_any_other_and_then_told_as_closed() -> None:
    engine, _, _ = over_night()
    [reduced] = say(engine, ReplaceOrder(1, 1, BUY, LIMIT, GTC, PRICE, 4, 0, 0, b"r", b"first", b""), 10)
    assert isinstance(reduced, OrderReduced)
    assert (reduced.leaves_qty, reduced.cum_qty) == (2, 2)
    [canceled] = say(engine, CancelOrder(1, 1, BUY, 0, 0, b"c", b"r"), 10)
    assert isinstance(canceled, OrderCanceled)
    found = engine.answer(OrderById(canceled.terms.order_id))
    assert isinstance(found, OrderFound)
    assert found.order is not None
    assert (found.order.terms.cl_ord_id, found.order.ord_status) == (b"r", OrdStatus.CANCELED)
    say(engine, EndDay(2))
    say(engine, StartDay(3, b"S", 0))
    assert engine.answer(OrderById(canceled.terms.order_id)) == OrderFound(None)
    [unknown] = say(engine, CancelOrder(1, 1, BUY, 0, 0, b"c2", b"r"), 10)
    assert isinstance(unknown, CancelRejected)
    assert unknown.reason == RejectReason.UNKNOWN_ORDER


def test_while_the_day_begins_each_order_is_told_as_live() -> None:
    engine, _, _ = over_night(7)
    say(engine, EndDay(2), now=30)
    before = engine.answer(OpenOrders(1))
    engine.apply(StartDay(3, b"S", 0), 40, 0)
    steps = 0
    while engine.pending:
        assert engine.answer(OpenOrders(1)) == before
        assert isinstance(before, OrdersFound)
        for each in before.orders:
            assert engine.answer(OrderById(each.terms.order_id)) == OrderFound(each)
            assert engine.answer(OrderByClOrdId(10, each.terms.cl_ord_id)) == OrderFound(each)
        engine.apply(Continue(), 40, 0)
        steps += 1
    assert steps == 4, "the morning takes several transactions"


def test_while_a_day_begins_with_many_orders_nobody_looks_through_all_of_them() -> None:
    """A question stops the shard for as long as it takes: some are to be asked again when all are carried over."""
    engine = opened()
    for number in range(MANY):
        order(engine, f"{number}", BUY, 1, PRICE - 50 * (number // 250), time_in_force=GTC)
    first, last = (each.terms.order_id for each in (engine._state.sessions[10].orders[name] for name in (b"0", LAST)))
    say(engine, EndDay(1))
    engine.apply(StartDay(2, b"S", 0), 20, 0)
    assert engine.pending
    for question in (OrderById(last), OrderById(last + 1), OpenOrders(1)):
        answer = engine.answer(question)
        assert isinstance(answer, QueryRefused)
        assert "ask again" in answer.text
    assert cl_ord_id(engine, OrderById(first)) == b"0", "it is carried over already"
    assert cl_ord_id(engine, OrderByClOrdId(10, LAST)) == LAST
    assert engine.answer(OpenOrders(2)) == OrdersFound([], False)
    while engine.pending:
        engine.apply(Continue(), 20, 0)
    assert cl_ord_id(engine, OrderById(last)) == LAST
    assert engine.answer(OrderById(last + 1)) == OrderFound(None)
    page = engine.answer(OpenOrders(1))
    assert isinstance(page, OrdersFound)
    assert len(page.orders) == MAX_ITEMS


def cl_ord_id(engine: Engine, question: OrderById | OrderByClOrdId) -> bytes:
    """Of the order that is found."""
    found = engine.answer(question)
    assert isinstance(found, OrderFound)
    assert found.order is not None
    return found.order.terms.cl_ord_id


def test_order_ids_of_many_days_stand_in_one_order() -> None:
    engine = opened()
    for day in range(1, 5):
        for number in range(3):
            order(engine, f"{day}.{number}", BUY, 1, PRICE - 50 * number, time_in_force=GTC if number else 0)
        say(engine, EndDay(day))
        say(engine, StartDay(day + 1, b"S", 0))
    found = engine.answer(OpenOrders(1))
    assert isinstance(found, OrdersFound)
    assert [each.terms.cl_ord_id for each in found.orders] == [
        b"%d.%d" % (day, number) for day in range(1, 5) for number in (1, 2)
    ]
    first = found.orders[3].terms.order_id
    state = engine._state
    assert [each.order_id for each in state.terms_after(first, 2)] == [
        each.terms.order_id for each in found.orders[4:6]
    ]
    order(engine, "new", BUY, 1)
    assert [each.cl_ord_id for each in state.terms_after(found.orders[-2].terms.order_id, 5)] == [b"4.2", b"new"]
