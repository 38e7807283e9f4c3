"""The price at which an auction ends: pure, a function of the orders that stand in it.

Candidates are all limit prices; the reference price if there is none. Of the candidates, one after the other rule
leaves

    1. those at which the most is traded
    2. of these, those at which the least is left over
    3. the highest, if at all of these buyers are left over; the lowest, if at all of these sellers are
    4. the one nearest to the reference price, where there is one; and of two the higher

A *ladder* is one side as (price, quantity), best first: market orders, which agree with every price, have the price 0.
Of a reserve order, all counts. Candidates beyond the other side's best price trade nothing, so a ladder may end there.
"""

from typing import Final

from matching.book import MARKET_RANK, BookSide
from matching.codes import ImbalanceDirection, TimeInForce
from matching.instruments import Instrument
from matching.order import Order

Ladder = list[tuple[int, int]]

#: Nothing would trade.
NO_PRICE: Final = (0, 0, 0)

_FOR_AUCTIONS: Final = frozenset(
    (int(TimeInForce.AT_THE_OPENING), int(TimeInForce.AT_THE_CLOSE), int(TimeInForce.GOOD_FOR_AUCTION))
)


def is_for_auction(time_in_force: int) -> bool:
    """Whether an order takes part in an auction and in nothing else."""
    return time_in_force in _FOR_AUCTIONS


def clearing(buys: Ladder, sells: Ladder, reference: int) -> tuple[int, int, int]:
    """(price, what is bought there, what is sold there); NO_PRICE if nothing would trade at any price."""
    prices = sorted({price for price, _ in buys if price} | {price for price, _ in sells if price})
    if not prices and reference:
        prices = [reference]
    demand = sum(quantity for _, quantity in buys)
    supply = 0
    worst_buy = len(buys) - 1
    next_sell = 0
    most = least = 0
    found: list[tuple[int, int]] = []
    for price in prices:
        while worst_buy >= 0 and 0 < buys[worst_buy][0] < price:
            demand -= buys[worst_buy][1]
            worst_buy -= 1
        while next_sell < len(sells) and sells[next_sell][0] <= price:
            supply += sells[next_sell][1]
            next_sell += 1
        volume = min(demand, supply)
        surplus = demand - supply
        if volume > most or (volume == most and abs(surplus) < least):
            most, least, found = volume, abs(surplus), []
        if volume and volume == most and abs(surplus) == least:
            found.append((price, surplus))
    return _chosen(found, reference, most) if found else NO_PRICE


def _chosen(found: list[tuple[int, int]], reference: int, volume: int) -> tuple[int, int, int]:
    """By market pressure, else by the reference price, among candidates, ascending, that are alike in volume and size
    of surplus."""
    price, surplus = found[-1]
    if all(left < 0 for _, left in found):
        price, surplus = found[0]
    elif reference and not all(left > 0 for _, left in found):
        price, surplus = min(found, key=lambda each: (abs(each[0] - reference), -each[0]))
    return price, volume + max(surplus, 0), volume + max(-surplus, 0)


def ladder(side: BookSide) -> Ladder:
    """A side as far as it can meet the other one."""
    opposite = side.opposite.best
    if opposite is None:
        return []
    rows: Ladder = []
    for level in side.queues():
        if level.rank + opposite.rank < 0:
            break
        rows.append((level.price, level.quantity + level.hidden))
    return rows


def auction_ladder(side: BookSide) -> Ladder:
    """Of a side, the orders that are for auctions alone."""
    rows: Ladder = []
    if side.hidden:
        for level in side.queues():
            if level.hidden:
                quantity = 0
                order = level.first
                while order is not None:
                    if order.terms.time_in_force in _FOR_AUCTIONS:
                        quantity += order.hidden_qty
                    order = order.behind
                if quantity:
                    rows.append((level.price, quantity))
    return rows


def clearing_now(instrument: Instrument) -> tuple[int, int, int]:
    """(price, what is bought there, what is sold there) if the auction ended now."""
    book = instrument.book
    return clearing(ladder(book.bids), ladder(book.asks), instrument.reference_price)


def far_price(instrument: Instrument) -> int:
    """Where the orders that are for auctions alone would trade with each other; 0: nowhere."""
    book = instrument.book
    return clearing(auction_ladder(book.bids), auction_ladder(book.asks), instrument.reference_price)[0]


def direction(price: int, buys: int, sells: int) -> int:
    """Who is left over at an indicative price: `ImbalanceDirection`."""
    if not price:
        return int(ImbalanceDirection.INSUFFICIENT)
    if buys == sells:
        return int(ImbalanceDirection.NONE)
    return int(ImbalanceDirection.BUY if buys > sells else ImbalanceDirection.SELL)


def unseen(side: BookSide, count: int) -> list[Order]:
    """The first orders of a side of which nothing is displayed: they are there for an auction."""
    found: list[Order] = []
    if side.hidden and count:
        for level in side.queues():
            if level.hidden:
                order = level.first
                while order is not None:
                    if not order.order_ref:
                        found.append(order)
                        if len(found) == count:
                            return found
                    order = order.behind
    return found


def must_uncross(instrument: Instrument) -> bool:
    """Whether the book is as an auction left it: orders agree and have not traded, or are there for an auction."""
    bids, asks = instrument.book.bids, instrument.book.asks
    if bids.best is not None and asks.best is not None and bids.best.rank + asks.best.rank >= 0:
        return True
    return bool(unseen(bids, 1) or unseen(asks, 1))


def is_market(order: Order) -> bool:
    """Whether an order on the book agrees with every price."""
    return order.level.rank == MARKET_RANK
