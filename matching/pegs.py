"""Pegged orders: they have no price of their own, they follow the best displayed prices.

    PRIMARY     the best price of its own side, plus its offset
    MARKET      the best price of the other side, plus its offset
    MIDPOINT    the middle of both, rounded down to 1/10,000

The first two are rounded to the tick, away from the other side, and stay a tick away from the other side's best price;
the middle may be off tick. A limit of the order's own bounds it. Where there is nothing to follow, a pegged order has
no price and does not trade.

They wait unseen, first come first served, and are looked at one by one whenever somebody might trade with them: so only
so many are taken.
"""

from typing import Final

from matching.book import BookSide
from matching.codes import Peg, Side
from matching.events import OrderTerms
from matching.ids import MAX_PRICE
from matching.instruments import Instrument
from matching.order import Order
from matching.protection import band

#: On one side of an instrument: to look at them takes about a millisecond.
MAX_PEGS: Final = 1_000

PRIMARY: Final = int(Peg.PRIMARY)
MIDPOINT: Final = int(Peg.MIDPOINT)
BUY: Final = int(Side.BUY)


def peg_price(instrument: Instrument, terms: OrderTerms, best_bid: int, best_ask: int) -> int:
    """Where a pegged order trades beside these displayed prices; 0: nowhere."""
    conditions = terms.conditions
    assert conditions is not None, "what it follows is one of the conditions"
    buys = terms.side == BUY
    if conditions.peg == MIDPOINT:
        if not best_bid or not best_ask:
            return 0
        price = (best_bid + best_ask) // 2
    else:
        own, other = (best_bid, best_ask) if buys else (best_ask, best_bid)
        followed = own if conditions.peg == PRIMARY else other
        if not followed:
            return 0
        price = _outside(instrument, followed + conditions.peg_offset, other, buys)
    limit = terms.price
    if limit:
        price = min(price, limit) if buys else max(price, limit)
    return price if 0 < price <= MAX_PRICE else 0


def _outside(instrument: Instrument, price: int, other: int, buys: bool) -> int:
    """A price on the tick, a tick away from the other side's best one."""
    tick = instrument.tick_at(price)
    if buys:
        price -= price % tick
        return min(price, other - instrument.tick_at(other)) if other else price
    price += -price % tick
    return max(price, other + instrument.tick_at(other)) if other else price


def pegs_within(
    instrument: Instrument, side: BookSide, lowest: int, best_bid: int, best_ask: int
) -> list[tuple[int, Order]]:
    """(rank, order) of the pegged orders on the book's other `side` that have at least this rank beside these displayed
    prices: the best first, the earliest first among equals."""
    pegs = instrument.pegs.bids if side.sign > 0 else instrument.pegs.asks
    if pegs.best is None:
        return []
    other = best_ask if side.sign > 0 else best_bid
    if other and lowest > side.sign * other:
        return []  # no pegged order ever goes beyond the other side's best price
    found: list[tuple[int, int, Order]] = []
    order = pegs.best.first
    while order is not None:
        price = peg_price(instrument, order.terms, best_bid, best_ask)
        rank = side.sign * price
        if price and rank >= lowest:
            found.append((-rank, len(found), order))
        order = order.behind
    found.sort()
    return [(-rank, order) for rank, _, order in found]


def best_prices(instrument: Instrument) -> tuple[int, int]:
    """The best bid and ask that are displayed, 0 where there is none. Of a book in continuous trading."""
    bid, ask = instrument.book.bids.best, instrument.book.asks.best
    return 0 if bid is None else bid.price, 0 if ask is None else ask.price


def crossing_pegs(instrument: Instrument) -> tuple[Order, Order, int] | None:
    """The best two pegged orders, if they agree: the one that came first, by its order id, the other one, and the price
    of the first. None also where a band forbids that they trade."""
    if instrument.pegs.bids.best is None or instrument.pegs.asks.best is None:
        return None
    best_bid, best_ask = best_prices(instrument)
    book = instrument.book
    buys = pegs_within(instrument, book.bids, 0, best_bid, best_ask)
    sells = pegs_within(instrument, book.asks, -MAX_PRICE, best_bid, best_ask)
    if not buys or not sells or buys[0][0] + sells[0][0] < 0:
        return None
    bid, buy = buys[0]
    ask, sell = -sells[0][0], sells[0][1]
    first, second, price = (buy, sell, bid) if buy.terms.order_id < sell.terms.order_id else (sell, buy, ask)
    lower, upper = band(instrument)
    return (first, second, price) if lower <= price <= upper else None


def is_full(instrument: Instrument, side: int) -> bool:
    """Whether no pegged order more is taken on this side."""
    pegs = instrument.pegs.bids if side == BUY else instrument.pegs.asks
    count = 0
    order = None if pegs.best is None else pegs.best.first
    while order is not None:
        count += 1
        order = order.behind
    return count >= MAX_PEGS
