"""A market on one page: no levels, no links, no counters; it looks at every order each time. The engine's oracle.

It knows one instrument and the rules of price-time priority, and tells what happens as plain tuples.
"""

from dataclasses import dataclass

BUY, SELL = 1, 2
MARKET, LIMIT = 1, 2
DAY, IOC, FOK = 0, 3, 4
REMAINDER = {DAY: "MARKET_REMAINDER", IOC: "IMMEDIATE_OR_CANCEL", FOK: "FILL_OR_KILL"}


@dataclass
class Wish:
    cl_ord_id: str
    side: int
    price: int
    leaves: int
    cum: int = 0
    #: Counts the orders in the order in which they were entered.
    entered: int = 0


class Market:
    def __init__(self) -> None:
        #: Everything that rests, in the order in which it came.
        self.resting: list[Wish] = []

    def queue(self, side: int) -> list[Wish]:
        """A side by price; sorting keeps those of one price in the order in which they came."""
        orders = [order for order in self.resting if order.side == side]
        return sorted(orders, key=lambda order: -order.price if side == BUY else order.price)

    def agreeing(self, wish: Wish, ord_type: int) -> list[Wish]:
        """The other side's orders that this one may trade with, best first."""
        others = self.queue(BUY + SELL - wish.side)
        if ord_type == MARKET:
            return others
        return [
            other for other in others if (other.price <= wish.price if wish.side == BUY else other.price >= wish.price)
        ]

    def new(self, wish: Wish, ord_type: int, time_in_force: int) -> list[tuple[object, ...]]:
        offered = sum(other.leaves for other in self.agreeing(wish, ord_type))
        if time_in_force == FOK and offered < wish.leaves:
            return [("accepted", wish.cl_ord_id), ("canceled", wish.cl_ord_id, wish.leaves, "FILL_OR_KILL")]
        return [("accepted", wish.cl_ord_id), *self.trade(wish, ord_type, time_in_force)]

    def trade(self, wish: Wish, ord_type: int, time_in_force: int) -> list[tuple[object, ...]]:
        said: list[tuple[object, ...]] = []
        for other in self.agreeing(wish, ord_type):
            quantity = min(wish.leaves, other.leaves)
            if quantity:
                said.append(("executed", other.cl_ord_id, wish.cl_ord_id, other.price, quantity))
            for order in (wish, other):
                order.leaves -= quantity
                order.cum += quantity
        self.resting = [order for order in self.resting if order.leaves]
        if wish.leaves and ord_type == LIMIT and time_in_force == DAY:
            self.resting.append(wish)
            said.append(("booked", wish.cl_ord_id, wish.price, wish.leaves))
        elif wish.leaves:
            said.append(("canceled", wish.cl_ord_id, wish.leaves, REMAINDER[time_in_force]))
        return said

    def cancel(self, order: Wish) -> list[tuple[object, ...]]:
        self.resting.remove(order)
        return [("canceled", order.cl_ord_id, order.leaves, "REQUESTED")]

    def lost(self, side: int) -> list[tuple[object, ...]]:
        """Whoever buys, or sells, is gone, and with him his orders: the first that he entered first."""
        gone = sorted((order for order in self.resting if order.side == side), key=lambda order: order.entered)
        self.resting = [order for order in self.resting if order.side != side]
        return [("canceled", order.cl_ord_id, order.leaves, "SOURCE_LOST") for order in gone]

    def replace(self, order: Wish, cl_ord_id: str, price: int, quantity: int) -> list[tuple[object, ...]]:
        said: tuple[object, ...] = ("replaced", order.cl_ord_id, cl_ord_id)
        loses_place = price != order.price or quantity > order.cum + order.leaves
        order.cl_ord_id, order.price, order.leaves = cl_ord_id, price, quantity - order.cum
        if not loses_place:
            return [said]
        self.resting.remove(order)
        told = self.trade(order, LIMIT, DAY)
        return [said] if told == [("booked", cl_ord_id, price, order.leaves)] else [said, *told]
