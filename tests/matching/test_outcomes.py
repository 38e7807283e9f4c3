"""What is remembered of orders that are gone: by each name they had, whatever became of them."""

import pytest

from matching.codes import OrdStatus, Phase, RejectReason
from matching.commands import (
    BustTrade,
    CancelOrder,
    Command,
    Conditions,
    EndDay,
    NewOrder,
    ReplaceOrder,
    SetPhase,
    StartDay,
)
from matching.engine import Engine
from matching.events import CancelRejected, OrderCanceled, OrderExecuted
from matching.queries import OpenOrders, OrderByClOrdId, OrderById, OrderFound, OrdersFound
from tests.matching.graph import graph
from tests.matching.market import BUY, DAY, LIMIT, PRICE, SELL, opened, order, say

#: Of the first order.
ORDER_ID = 1 << 48 | 1


def cancel(name: str, orig: str, order_id: int = 0) -> CancelOrder:
    return CancelOrder(1, 1, BUY, order_id, 0, name.encode(), orig.encode())


def replace(name: str, orig: str, quantity: int = 8, price: int = PRICE) -> ReplaceOrder:
    return ReplaceOrder(1, 1, BUY, LIMIT, DAY, price, quantity, 0, 0, name.encode(), orig.encode(), b"")


def refused(engine: Engine, command: Command, session_id: int = 10) -> tuple[RejectReason, int, OrdStatus]:
    [event] = say(engine, command, session_id)
    assert isinstance(event, CancelRejected)
    return RejectReason(event.reason), event.order_id, OrdStatus(event.ord_status)


def known(engine: Engine, session_id: int, name: str) -> OrdStatus | None:
    found = engine.answer(OrderByClOrdId(session_id, name.encode()))
    assert isinstance(found, OrderFound)
    return None if found.order is None else OrdStatus(found.order.ord_status)


def restored(engine: Engine) -> Engine:
    other = Engine(1)
    other.restore(engine.snapshot())
    return other


def same_when_restored(engine: Engine) -> None:
    other = restored(engine)
    assert graph(other._state) == graph(engine._state)
    assert other.snapshot() == engine.snapshot()


@pytest.mark.parametrize(("side", "named"), [(BUY, 0), (BUY, SELL), (BUY, 3), (SELL, 0), (SELL, BUY), (SELL, 3)])
def test_a_request_names_the_side_of_its_order(side: int, named: int) -> None:
    """What is no side is not the order's either."""
    engine = opened()
    order(engine, "first", side, 10)
    requests: list[Command] = [
        CancelOrder(1, 1, named, 0, 0, b"x", b"first"),
        ReplaceOrder(1, 1, named, LIMIT, DAY, PRICE, 8, 0, 0, b"x", b"first", b""),
    ]
    for request in requests:
        assert refused(engine, request) == (RejectReason.TERMS_MISMATCH, ORDER_ID, OrdStatus.NEW)


def test_a_late_request_is_told_what_its_name_has_become() -> None:
    engine = opened()
    order(engine, "first", BUY, 10)
    say(engine, replace("second", "first"), 10)
    assert refused(engine, cancel("x", "first")) == (RejectReason.TOO_LATE, ORDER_ID, OrdStatus.NEW)
    [canceled] = say(engine, cancel("third", "second"), 10)
    assert isinstance(canceled, OrderCanceled)
    for name in ("first", "second", "third"):
        assert refused(engine, cancel("x", name)) == (RejectReason.TOO_LATE, ORDER_ID, OrdStatus.CANCELED)
    assert refused(engine, cancel("x", "x", ORDER_ID)) == (RejectReason.UNKNOWN_ORDER, 0, OrdStatus.REJECTED)
    assert [known(engine, 10, name) for name in ("first", "second", "third")] == [OrdStatus.CANCELED] * 3
    same_when_restored(engine)


@pytest.mark.parametrize("price", [PRICE, PRICE - 50])
def test_a_name_means_something_in_its_own_session_only(price: int) -> None:
    """The other session gives the order the name that it had in the first one."""
    engine = opened()
    order(engine, "name", BUY, 10)
    say(engine, ReplaceOrder(1, 1, BUY, LIMIT, DAY, price, 8, ORDER_ID, 0, b"name", b"unknown", b""), 11)
    assert refused(engine, cancel("x", "name")) == (RejectReason.TOO_LATE, ORDER_ID, OrdStatus.NEW)
    assert known(engine, 10, "name") == known(engine, 11, "name") == OrdStatus.NEW
    same_when_restored(engine)
    [canceled] = say(engine, cancel("y", "name"), 11)
    assert isinstance(canceled, OrderCanceled)
    assert refused(engine, cancel("x", "name")) == (RejectReason.TOO_LATE, ORDER_ID, OrdStatus.CANCELED)
    assert refused(engine, cancel("x", "name"), 11) == (RejectReason.TOO_LATE, ORDER_ID, OrdStatus.CANCELED)
    same_when_restored(engine)


def test_the_order_id_finds_an_order_of_the_participants_own_alone() -> None:
    engine = opened()
    order(engine, "theirs", BUY, 10, who=2)
    assert refused(engine, cancel("x", "y", ORDER_ID)) == (RejectReason.UNKNOWN_ORDER, 0, OrdStatus.REJECTED)
    order(engine, "own", BUY, 10, session_id=12)
    [canceled] = say(engine, cancel("x", "y", ORDER_ID + 1), 10)
    assert isinstance(canceled, OrderCanceled)
    assert known(engine, 10, "x") == known(engine, 12, "own") == OrdStatus.CANCELED


@pytest.mark.parametrize("canceled", [True, False])
def test_an_order_that_lost_all_its_trades_is_as_one_that_never_traded(canceled: bool) -> None:
    engine = opened()
    order(engine, "bid", BUY, 5)
    executed = order(engine, "ask", SELL, 2 if canceled else 5, who=2)[1]
    assert isinstance(executed, OrderExecuted)
    if canceled:
        say(engine, cancel("c", "bid"), 10)
    same_when_restored(engine)
    say(engine, BustTrade(executed.match_number))
    assert known(engine, 10, "bid") == known(engine, 20, "ask") == OrdStatus.CANCELED
    same_when_restored(engine)


def test_an_order_filled_by_one_trade_after_another_was_busted_is_told_by_the_one_that_counts() -> None:
    engine = opened()
    order(engine, "bid", BUY, 10)
    executed = order(engine, "ask", SELL, 5, who=2)[1]
    assert isinstance(executed, OrderExecuted)
    say(engine, BustTrade(executed.match_number))
    order(engine, "rest", SELL, 5, who=2)
    assert known(engine, 10, "bid") == OrdStatus.FILLED
    same_when_restored(engine)


@pytest.mark.parametrize("auction", [True, False])
def test_an_order_that_several_trades_filled_is_told_with_all_of_them(auction: bool) -> None:
    """A reserve that one order takes part by part, or an order that meets two in an auction."""
    engine = opened()
    conditions = None
    if auction:
        say(engine, SetPhase(1, int(Phase.REOPENING_AUCTION), b""))
    else:
        conditions = Conditions(0, 2, 0, 0, 0, 0, 0)
    say(engine, NewOrder(1, 1, BUY, LIMIT, DAY, PRICE, 5, 0, b"bid", b"", conditions), 10)
    for name, quantity in (("ask", 2), ("rest", 3)) if auction else (("ask", 5),):
        order(engine, name, SELL, quantity, who=2)
    if auction:
        say(engine, SetPhase(1, int(Phase.CONTINUOUS), b""))
    for each in (engine, restored(engine)):
        found = each.answer(OrderById(ORDER_ID))
        assert isinstance(found, OrderFound)
        assert found.order is not None
        assert (found.order.ord_status, found.order.cum_qty) == (OrdStatus.FILLED, 5)
        assert found.order.cum_notional == 5 * PRICE
    same_when_restored(engine)


def test_what_expired_is_told_until_the_next_day_starts() -> None:
    engine = opened()
    order(engine, "bid", BUY, 5)
    say(engine, EndDay(1))
    assert known(engine, 10, "bid") == OrdStatus.EXPIRED
    assert refused(engine, cancel("x", "bid")) == (RejectReason.TOO_LATE, ORDER_ID, OrdStatus.EXPIRED)
    same_when_restored(engine)
    say(engine, StartDay(2, b"S000000002", 0))
    assert known(engine, 10, "bid") is None


def test_while_orders_are_carried_over_each_is_found() -> None:
    """By its id and by its name, those too whose turn has not come."""
    engine = opened(max_events=8)
    for number in range(20):
        say(engine, NewOrder(1, 1, BUY, LIMIT, 1, PRICE, 5, 0, b"o%d" % number, b""), 10)
    say(engine, EndDay(1))
    engine.apply(StartDay(2, b"S000000002", 0), 0, 0)
    assert engine.pending
    for number in range(20):
        found = engine.answer(OrderById(ORDER_ID + number))
        assert isinstance(found, OrderFound)
        assert found.order is not None
        assert known(engine, 10, f"o{number}") == OrdStatus.NEW
    page = engine.answer(OpenOrders(1))
    assert isinstance(page, OrdersFound)
    assert [each.terms.order_id for each in page.orders] == [ORDER_ID + number for number in range(20)]
