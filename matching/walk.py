"""The resting orders of an instrument one after the other, so that a walk may stop anywhere and go on.

Side by side, the book before whatever waits beside it, each side in price-time priority. Ask for the next order before
this one is taken away.
"""

from matching.book import BookSide
from matching.instruments import Instrument
from matching.order import Order


def first_order(instrument: Instrument) -> Order | None:
    """The one that comes first, or None when nothing rests."""
    return _first_of(instrument.sides(), 0)


def next_order(instrument: Instrument, order: Order) -> Order | None:
    """The one that comes after this one, or None."""
    if order.behind is not None:
        return order.behind
    side = order.level.side
    level = side.below(order.level.rank)
    if level is not None:
        return level.first
    sides = instrument.sides()
    for place, each in enumerate(sides):
        if each is side:
            return _first_of(sides, place + 1)
    raise AssertionError("the order rests on another instrument")


def _first_of(sides: list[BookSide], place: int) -> Order | None:
    for side in sides[place:]:
        if side.best is not None:
            return side.best.first
    return None
