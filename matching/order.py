"""A resting order and the queue it stands in.

An `Order` exists only while it rests: on the book, or where it waits to come there (a stop for its price, an order for
an auction for its phase, a pegged order for somebody to meet). An incoming order that is executed at once never
becomes one. The orders at one price form a doubly linked queue through their own `ahead` and `behind`, so joining the
end and leaving from anywhere cost the same however long the queue is. An order that has left is part of no cycle:
reference counting alone returns its memory.

Neither class has an `__init__`: an order is made by `trade.rest` or `trade.place`, a level by `BookSide.open`, and
these set every field. In the interpreter that halves the cost of a new order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from matching.book import BookSide
    from matching.events import OrderTerms
    from matching.state import Session

#: An `int` that is handed on more often than it is reckoned with. Compiled code keeps an `int` outside of any object
#: and makes a new one each time that it is handed on: to an event, a list, a dictionary. Of a `Boxed` one it keeps the
#: object.
Boxed: TypeAlias = Any


class Order:
    """What rests of one order. Figures are totals over the order's life, replaces included."""

    __slots__ = (
        "ahead",
        "behind",
        "cl_ord_id",
        "cum_notional",
        "cum_qty",
        "displayed_qty",
        "hidden_qty",
        "level",
        "order_id",
        "order_ref",
        "session",
        "terms",
    )

    terms: OrderTerms
    #: These two are the terms', once more: to compiled code a field of its own classes is much nearer.
    order_id: Boxed
    cl_ord_id: bytes
    #: Whose ClOrdIDs it stands in.
    session: Session
    #: The ITCH order reference number under which the feed knows it; 0: nothing of it is displayed.
    order_ref: int
    #: What the public sees of it, and what comes into view when that is used up. Off the book all of it is hidden.
    displayed_qty: int
    hidden_qty: int
    cum_qty: int
    cum_notional: int
    level: PriceLevel
    #: The neighbours in the queue; `ahead` came earlier.
    ahead: Order | None
    behind: Order | None

    @property
    def leaves_qty(self) -> int:
        """What is open of it."""
        return self.displayed_qty + self.hidden_qty


class PriceLevel:
    """The orders at one price of one side, first come first served. It exists as long as it has an order."""

    __slots__ = ("first", "hidden", "key", "last", "price", "quantity", "rank", "side")

    side: BookSide
    price: Boxed
    #: The better a price, the higher its rank: the price itself for bids, its negative for asks.
    rank: int
    #: The rank as the object under which the side finds the level again.
    key: Boxed
    #: Sum of the orders' `displayed_qty`.
    quantity: int
    #: Sum of their `hidden_qty`.
    hidden: int
    first: Order | None
    last: Order | None
