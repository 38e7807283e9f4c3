"""A trade undone: what both orders have left of it, what is told, and what is no trade that could be undone."""

import pytest

from matching.codes import OrdStatus, Phase, RefusalReason
from matching.commands import BustTrade, CancelOrder, EndDay, SetPhase, StartDay
from matching.engine import Engine
from matching.events import AuctionExecuted, CommandRefused, OrderExecuted, TradeBusted
from matching.queries import Fills, FillsFound, OrderByClOrdId, OrderFound, OrderStatus
from tests.matching.market import BUY, PRICE, SELL, opened, order, say


def status(engine: Engine, session_id: int, name: bytes) -> OrderStatus:
    found = engine.answer(OrderByClOrdId(session_id, name))
    assert isinstance(found, OrderFound)
    assert found.order is not None
    return found.order


def traded(engine: Engine) -> OrderExecuted:
    order(engine, "ask", SELL, 5, who=2)
    executed = order(engine, "bid", BUY, 8)[1]
    assert isinstance(executed, OrderExecuted)
    return executed


@pytest.mark.parametrize("seller", [1, 2])
def test_both_sides_lose_what_they_executed_and_nothing_comes_back(seller: int) -> None:
    engine = opened()
    order(engine, "ask", SELL, 5, who=seller)
    sale = order(engine, "bid", BUY, 8)[1]
    assert isinstance(sale, OrderExecuted)
    [busted] = say(engine, BustTrade(sale.match_number))
    bought, sold = sale.incoming_participant_seq, sale.resting_participant_seq
    seqs = (bought + 1, bought + 2) if seller == 1 else (bought + 1, sold + 1)
    assert busted == TradeBusted(
        sale.match_number, PRICE, 5, sale.incoming, seqs[0], 0, 3, 0, sale.resting, seqs[1], 0, 0, 0
    )
    bid, ask = status(engine, 10, b"bid"), status(engine, seller * 10, b"ask")
    assert (bid.ord_status, bid.leaves_qty, bid.cum_qty, bid.cum_notional) == (OrdStatus.NEW, 3, 0, 0)
    assert (ask.ord_status, ask.leaves_qty, ask.cum_qty, ask.cum_notional) == (OrdStatus.CANCELED, 0, 0, 0)


def test_an_order_keeps_the_trades_that_stand() -> None:
    engine = opened()
    order(engine, "one", SELL, 2, PRICE, who=2)
    order(engine, "two", SELL, 3, PRICE + 50, who=2)
    _, first, second, *_ = order(engine, "bid", BUY, 5, PRICE + 50)
    assert isinstance(first, OrderExecuted)
    assert isinstance(second, OrderExecuted)
    assert status(engine, 10, b"bid").ord_status == OrdStatus.FILLED
    say(engine, BustTrade(second.match_number))
    bid = status(engine, 10, b"bid")
    assert (bid.ord_status, bid.cum_qty, bid.cum_notional) == (OrdStatus.CANCELED, 2, 2 * PRICE)


def test_the_status_is_told_under_each_name_of_the_order() -> None:
    engine = opened()
    sale = traded(engine)
    say(engine, CancelOrder(1, 1, BUY, 0, 0, b"c", b"bid"), 10)
    say(engine, BustTrade(sale.match_number))
    assert status(engine, 10, b"c") == status(engine, 10, b"bid")
    assert status(engine, 10, b"c").cum_qty == 0


def test_fills_are_told_as_busted() -> None:
    engine = opened()
    sale = traded(engine)
    say(engine, BustTrade(sale.match_number))
    for participant_id in (1, 2):
        found = engine.answer(Fills(participant_id))
        assert isinstance(found, FillsFound)
        assert [(each.match_number, each.busted) for each in found.fills] == [(sale.match_number, True)]


def test_the_trade_of_an_auction_is_undone_the_same_way() -> None:
    engine = opened()
    say(engine, SetPhase(1, Phase.CLOSING_AUCTION, b""))
    order(engine, "bid", BUY, 5)
    order(engine, "ask", SELL, 5, who=2)
    [sale] = [each for each in say(engine, SetPhase(1, Phase.CONTINUOUS, b"")) if isinstance(each, AuctionExecuted)]
    [busted] = say(engine, BustTrade(sale.match_number))
    assert isinstance(busted, TradeBusted)
    assert (busted.buy, busted.sell) == (sale.buy, sale.sell)
    assert (busted.buy_cum_qty, busted.buy_leaves_qty, busted.sell_cum_qty, busted.sell_leaves_qty) == (0, 0, 0, 0)
    found = engine.answer(Fills(1))
    assert isinstance(found, FillsFound)
    assert [(each.auction, each.busted) for each in found.fills] == [(True, True)]


def test_what_is_no_trade_of_the_day_is_refused() -> None:
    engine = opened()
    sale = traded(engine)
    unknown = [CommandRefused(36, RefusalReason.UNKNOWN_TRADE)]
    assert say(engine, BustTrade(0)) == unknown
    assert say(engine, BustTrade(sale.match_number + 1)) == unknown
    say(engine, BustTrade(sale.match_number))
    assert say(engine, BustTrade(sale.match_number)) == [CommandRefused(36, RefusalReason.ALREADY_BUSTED)]
    say(engine, EndDay(1))
    assert say(engine, BustTrade(sale.match_number)) == [CommandRefused(36, RefusalReason.DAY_NOT_OPEN)]
    say(engine, StartDay(2, b"S", 0))
    assert say(engine, BustTrade(sale.match_number)) == unknown
