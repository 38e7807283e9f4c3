#!/usr/bin/env python3
"""A market maker: a bid and an offer in every symbol, around a price that walks at random.

    FIXGW_PASSWORD=… python examples/market_maker.py --port 9001 --sender BIRCH1 --target FIXGW --username birch1 \\
        --symbol ALFA:100.00 --symbol DELTA:25.50 --spread 4 --size 500 --rate 50

Built on `broker.py`, whose options it shares. Each turn looks at one symbol: the walk makes a step, a quote that stands
elsewhere than it should is moved by OrderCancelReplaceRequest(35=G), and one that was filled is put in again. What it
has bought makes it bid lower and offer lower, and so brings the position back: one tick for each `--skew` shares.
"""

import random
import sys
from itertools import cycle
from typing import TYPE_CHECKING

from broker import BUY, SELL, Broker, Listing, Order, Pace, Walk, common_options, run

if TYPE_CHECKING:
    from decimal import Decimal


class Quoter:
    """Both quotes of one symbol. What they should be follows from the walk and the position."""

    def __init__(self, listing: Listing, seed: object, *, spread: int, size: int, skew: int) -> None:
        """`spread` is in ticks, `size` in shares, `skew` in shares of position that move the quotes by a tick."""
        self.symbol = listing.symbol
        self._walk = Walk(random.Random(f"{seed}/{self.symbol}"), listing)
        self._spread = spread
        self._size = size
        self._skew = skew

    def prices(self, position: int) -> "dict[str, Decimal]":
        """The next price of each side; the bid is below the offer by the spread."""
        middle = self._walk.step() - round(position / self._skew)
        bid = middle - self._spread // 2
        return {BUY: self._walk.price(bid), SELL: self._walk.price(bid + self._spread)}

    async def quote(self, broker: Broker) -> None:
        """Bring both sides to where they should be; at most one request for each."""
        prices = self.prices(broker.positions[self.symbol])
        for side, price in prices.items():
            standing = [order for order in broker.orders.values() if (order.symbol, order.side) == (self.symbol, side)]
            if not standing:
                await broker.new_order(self.symbol, side, self._size, price)
            elif not standing[0].pending and self._is_stale(standing[0], price):
                # OrderQty(38) counts what was executed already
                await broker.replace(standing[0].cl_ord_id, standing[0].cum_qty + self._size, price)

    def _is_stale(self, order: Order, price: "Decimal") -> bool:
        return order.price != price or order.leaves_qty < self._size // 2


def main() -> int:
    parser = common_options("Quote both sides of several symbols over FIX.")
    parser.add_argument("--spread", type=int, default=4, metavar="TICKS")
    parser.add_argument("--size", type=int, default=500, metavar="SHARES")
    parser.add_argument("--skew", type=int, default=1000, metavar="SHARES")
    options = parser.parse_args()
    terms = {"spread": options.spread, "size": options.size, "skew": options.skew}
    quoters = [Quoter(listing, options.seed, **terms) for listing in options.symbol]

    async def quote(broker: Broker) -> None:
        pace = Pace(options.rate, 2 * len(quoters))
        for quoter in cycle(quoters):
            await pace.turn(broker)
            await quoter.quote(broker)

    return run(options, quote)


if __name__ == "__main__":
    sys.exit(main())
