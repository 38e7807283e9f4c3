"""The resting orders of one instrument: two sides, each in price-time priority.

    best      the level to trade with, at hand
    near      the ranks of the levels behind it, ascending, so the next best is the last; touched only when a level
              opens or closes
    far       the ranks behind those, where there are too many for one plain list: on pages, each with a stretch of
              them, ascending. Order among the pages is asked for only where one begins, ends or comes near
    levels    rank → PriceLevel: the queue of a price without a search

A *rank* makes one code serve both sides: it is the price for bids and the negative price for asks. So a higher rank is
a better price, and a bid and an ask agree on a price exactly if the sum of their ranks is not negative.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice
from typing import TYPE_CHECKING, Final

from sortedcontainers import SortedList

from matching.ids import MAX_PRICE
from matching.order import Boxed, PriceLevel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matching.order import Order


#: The rank of a market order: it agrees with every price.
MARKET_RANK: Final = MAX_PRICE + 1

#: Levels and orders that an order looks at before it trades: a millisecond's worth or two.
MAX_LOOKED_AT: Final = 4_096
#: Up to so many levels a plain list is quicker than pages.
MAX_NEAR: Final = 256
#: Levels that go over from it to pages at a time.
MOVED: Final = 128
#: The ranks on a page agree in all but so many bits: 81 prices a cent apart, 8,192 at most.
PAGE_BITS: Final = 13

#: Constants for compiled code, as in `constructors`.
_insort: Final = insort
_bisect_left: Final = bisect_left


class BookSide:
    """The bids or the asks of one instrument."""

    __slots__ = ("best", "far", "hidden", "levels", "near", "opposite", "pages", "sign")

    #: The other side of the same book.
    opposite: BookSide

    def __init__(self, sign: int) -> None:
        #: Makes a rank of a price: 1 for bids, -1 for asks.
        self.sign: int = sign
        self.best: PriceLevel | None = None
        #: Sum over the levels: 0 says that there is nothing but what is displayed.
        self.hidden: int = 0
        #: Empty only if `far` is; every rank in it is higher than those in `far`.
        self.near: list[Boxed] = []
        #: Number of a page → the ranks on it, of which there are some.
        self.far: dict[int, list[Boxed]] = {}
        #: Their numbers.
        self.pages = SortedList()
        self.levels: dict[int, PriceLevel] = {}

    def open(self, key: Boxed, price: Boxed, order: Order) -> None:
        """A new level for an order. `key`: its rank."""
        rank: int = key
        order.level = level = PriceLevel()
        level.side = self
        level.price = price
        level.rank = rank
        level.key = key
        level.quantity = order.displayed_qty
        level.hidden = order.hidden_qty
        level.first = level.last = order
        self.levels[key] = level
        best = self.best
        if best is None:
            self.best = level
            return
        near = self.near
        if rank > best.rank:
            self.best = level
            near.append(best.key)
        elif self.far and rank < near[0]:
            self._put_far(key)
            return
        else:
            _insort(near, key)
        if len(near) > MAX_NEAR:
            for each in near[:MOVED]:
                self._put_far(each)
            del near[:MOVED]

    def _put_far(self, rank: Boxed) -> None:
        number = rank >> PAGE_BITS
        page = self.far.get(number)
        if page is None:
            self.far[number] = [rank]
            self.pages.add(number)
        else:
            _insort(page, rank)

    def _drop_far(self, rank: Boxed) -> None:
        number = rank >> PAGE_BITS
        page = self.far[number]
        if len(page) > 1:
            del page[_bisect_left(page, rank)]
        else:
            del self.far[number]
            self.pages.remove(number)

    def close(self, level: PriceLevel) -> None:
        """Drop a level that has lost its last order."""
        if level is self.best:
            self.close_best(level)
            return
        key = level.key
        near = self.near
        del self.levels[key]
        if key < near[0]:
            self._drop_far(key)
            return
        del near[_bisect_left(near, key)]
        if not near and self.far:
            self.near = self.far.pop(self.pages.pop())

    def close_best(self, level: PriceLevel) -> PriceLevel | None:
        """Drop the best level, which has lost its last order. Gives the one that is best now."""
        levels, near = self.levels, self.near
        del levels[level.key]
        if not near:
            self.best = None
            return None
        self.best = best = levels[near.pop()]
        if not near and self.far:
            self.near = self.far.pop(self.pages.pop())
        return best

    def can_fill(self, quantity: int, rank: int) -> bool:
        """Whether this much rests where an order of this rank agrees, on as many levels as it may look at."""
        for level in islice(self.queues(), MAX_LOOKED_AT):
            if level.rank + rank < 0:
                return False
            quantity -= level.quantity + level.hidden
            if quantity <= 0:
                return True
        return False

    def queues(self) -> Iterator[PriceLevel]:
        """The levels, best first."""
        if self.best is not None:
            yield self.best
        for rank in reversed(self.near):
            yield self.levels[rank]
        for number in reversed(self.pages):
            for rank in reversed(self.far[number]):
                yield self.levels[rank]

    def below(self, rank: int) -> PriceLevel | None:
        """The best of the levels behind a rank."""
        near = self.near
        place = bisect_left(near, rank)
        if place:
            return self.levels[near[place - 1]]
        number = rank >> PAGE_BITS
        page = self.far.get(number, [])
        place = bisect_left(page, rank)
        if not place:
            pages_before = self.pages.bisect_left(number)
            if not pages_before:
                return None
            page = self.far[self.pages[pages_before - 1]]
            place = len(page)
        return self.levels[page[place - 1]]

    def orders(self) -> Iterator[Order]:
        """The orders in price-time priority."""
        for level in self.queues():
            order = level.first
            while order is not None:
                yield order
                order = order.behind

    def depth(self, count: int | None = None, after: int = 0) -> list[tuple[int, int, int]]:
        """(price, quantity, number of orders) of the best `count` levels, or of all. `after`: of those behind this
        price. For tools, questions and tests."""
        rows: list[tuple[int, int, int]] = []
        for level in self.queues():
            if after and level.rank >= self.sign * after:
                continue
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
        self.bids.opposite = self.asks
        self.asks.opposite = self.bids

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


def join(order: Order, side: BookSide, rank: Boxed, price: Boxed) -> None:
    """Let an order stand last in the queue of a rank."""
    side.hidden += order.hidden_qty
    order.behind = None
    level = side.levels.get(rank)
    if level is None:
        order.ahead = None
        side.open(rank, price, order)
        return
    last = level.last
    assert last is not None, "a level has orders"
    order.ahead = last
    order.level = level
    level.last = last.behind = order
    level.quantity += order.displayed_qty
    level.hidden += order.hidden_qty


def take(order: Order, quantity: int) -> None:
    """Take quantity from an order where it stands: what is displayed first."""
    level = order.level
    displayed = min(quantity, order.displayed_qty)
    order.displayed_qty -= displayed
    level.quantity -= displayed
    hidden = quantity - displayed
    order.hidden_qty -= hidden
    level.hidden -= hidden
    level.side.hidden -= hidden


def unlink(order: Order) -> None:
    """Take an order out of its queue, wherever it stands."""
    level = order.level
    ahead = order.ahead
    behind = order.behind
    level.quantity -= order.displayed_qty
    if order.hidden_qty:
        level.hidden -= order.hidden_qty
        level.side.hidden -= order.hidden_qty
    if ahead is not None:
        ahead.behind = behind
    else:
        level.first = behind
    if behind is not None:
        behind.ahead = ahead
    else:
        level.last = ahead
        if ahead is None:
            level.side.close(level)


def leave(order: Order) -> None:
    """`unlink`, quicker where an order stands as most do: between two others, all of it in view."""
    ahead = order.ahead
    behind = order.behind
    if ahead is None or behind is None or order.hidden_qty:
        unlink(order)
    else:
        order.level.quantity -= order.displayed_qty
        ahead.behind = behind
        behind.ahead = ahead
