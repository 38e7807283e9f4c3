"""The resting orders of one instrument: two sides, each in price-time priority.

    levels   rank → PriceLevel          finds the queue of a price without a search
    ranks    the ranks in order         only touched when a level appears or empties
    best     the level to trade with    at hand

A *rank* makes one code serve both sides: it is the price for bids and the negative price for asks, so a higher rank is
a better price, and an incoming order reaches a level exactly if `level.rank >= reach(...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sortedcontainers import SortedList

from matching.ids import MAX_PRICE
from matching.order import Order, PriceLevel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matching.messages import OrderTerms

#: A rank below that of every price: a market order reaches every level.
REACHES_ALL: Final = -MAX_PRICE - 1


class BookSide:
    """The bids or the asks of one instrument."""

    __slots__ = ("best", "levels", "ranks", "sign")

    def __init__(self, sign: int) -> None:
        #: 1 for bids, -1 for asks.
        self.sign: int = sign
        self.levels: dict[int, PriceLevel] = {}
        self.ranks = SortedList()
        self.best: PriceLevel | None = None

    def add(self, order: Order, price: int) -> None:
        """Put an order at the end of its price's queue."""
        rank = self.sign * price
        level = self.levels.get(rank)
        if level is None:
            level = PriceLevel()
            level.side = self
            level.price = price
            level.rank = rank
            level.quantity = order.leaves_qty
            level.first = order
            order.ahead = None
            self.levels[rank] = level
            self.ranks.add(rank)
            if self.best is None or rank > self.best.rank:
                self.best = level
        else:
            last = level.last
            assert last is not None
            last.behind = order
            order.ahead = last
            level.quantity += order.leaves_qty
        level.last = order
        order.behind = None
        order.level = level

    def remove(self, order: Order) -> None:
        """Take an order out of its queue, wherever it stands."""
        level = order.level
        ahead = order.ahead
        behind = order.behind
        level.quantity -= order.leaves_qty
        if ahead is not None:
            ahead.behind = behind
        else:
            level.first = behind
        if behind is not None:
            behind.ahead = ahead
        else:
            level.last = ahead
            if ahead is None:
                self.close(level)

    def close(self, level: PriceLevel) -> None:
        """Drop a level that has become empty."""
        del self.levels[level.rank]
        if level is self.best:
            self.ranks.pop()
            self.best = self.levels[self.ranks[-1]] if self.levels else None
        else:
            self.ranks.remove(level.rank)

    def can_fill(self, quantity: int, reach: int) -> bool:
        """Whether this much rests at ranks of at least `reach`. Adds up levels, not orders."""
        for rank in reversed(self.ranks):
            if rank < reach:
                return False
            quantity -= self.levels[rank].quantity
            if quantity <= 0:
                return True
        return False

    def queues(self) -> Iterator[PriceLevel]:
        """The levels, best first. For tools and tests."""
        for rank in reversed(self.ranks):
            yield self.levels[rank]

    def orders(self) -> Iterator[Order]:
        """The orders in price-time priority. For tools and tests."""
        for level in self.queues():
            order = level.first
            while order is not None:
                yield order
                order = order.behind

    def depth(self, count: int | None = None) -> list[tuple[int, int, int]]:
        """(price, quantity, number of orders) of the best `count` levels, or of all. For tools and tests."""
        rows: list[tuple[int, int, int]] = []
        for level in self.queues():
            if count is not None and len(rows) >= count:
                break
            orders = 0
            order = level.first
            while order is not None:
                orders += 1
                order = order.behind
            rows.append((level.price, level.quantity, orders))
        return rows


class OrderBook:
    """Both sides of one instrument."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(1)
        self.asks = BookSide(-1)

    @property
    def best_bid(self) -> int | None:
        """The highest price somebody pays, or None."""
        return None if self.bids.best is None else self.bids.best.price

    @property
    def best_ask(self) -> int | None:
        """The lowest price somebody takes, or None."""
        return None if self.asks.best is None else self.asks.best.price

    def is_empty(self) -> bool:
        """Whether no order rests on either side."""
        return self.bids.best is None and self.asks.best is None


def rest(side: BookSide, terms: OrderTerms, order_ref: int, leaves_qty: int, cum_qty: int, cum_notional: int) -> Order:
    """Make what is left of an order a resting one, last in the queue of its price."""
    order = Order()
    order.terms = terms
    order.order_ref = order_ref
    order.leaves_qty = leaves_qty
    order.cum_qty = cum_qty
    order.cum_notional = cum_notional
    side.add(order, terms.price)
    return order
