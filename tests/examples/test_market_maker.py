"""The market maker quotes both sides, moves its quotes, and leans against its position."""

from collections import Counter
from decimal import Decimal

import pytest
from broker import BUY, SELL, Listing, Order
from market_maker import Quoter

LISTING = Listing("ABCD", Decimal(100), Decimal("0.05"))


def quoter(**changes):
    return Quoter(LISTING, "seed", **{"spread": 4, "size": 500, "skew": 1000, **changes})


class Market:
    """Takes every order and keeps it; a test fills what it likes."""

    def __init__(self):
        self.orders = {}
        self.positions = Counter()
        self.asked = []

    async def new_order(self, symbol, side, quantity, price):
        name = f"o{len(self.asked)}"
        self.asked.append(("new", side, quantity, price))
        self.orders[name] = Order(name, symbol, side, quantity, price, quantity)

    async def replace(self, cl_ord_id, quantity, price):
        order = self.orders[cl_ord_id]
        self.asked.append(("replace", order.side, quantity, price))
        order.quantity, order.price, order.leaves_qty = quantity, price, quantity - order.cum_qty

    def order(self, side):
        (order,) = [order for order in self.orders.values() if order.side == side]
        return order


def test_the_spread_is_kept_and_the_walk_decides_where():
    prices = [quoter().prices(0) for _ in range(2)]
    assert prices[0] == prices[1]
    walking = quoter()
    seen = [walking.prices(0) for _ in range(50)]
    assert all(both[SELL] - both[BUY] == 4 * LISTING.tick for both in seen)
    assert len({both[BUY] for both in seen}) > 5


@pytest.mark.parametrize(("position", "ticks"), [(0, 0), (3000, -3), (-2000, 2)])
def test_a_position_moves_both_quotes_against_it(position, ticks):
    level, leaning = quoter().prices(0), quoter().prices(position)
    assert {side: leaning[side] - level[side] for side in (BUY, SELL)} == {
        BUY: ticks * LISTING.tick,
        SELL: ticks * LISTING.tick,
    }


async def test_it_quotes_both_sides_and_then_moves_them():
    market, maker = Market(), quoter()
    await maker.quote(market)
    assert [(kind, side, quantity) for kind, side, quantity, _ in market.asked] == [
        ("new", BUY, 500),
        ("new", SELL, 500),
    ]
    for _ in range(20):
        await maker.quote(market)
    assert {kind for kind, *_ in market.asked[2:]} == {"replace"}
    assert market.order(SELL).price - market.order(BUY).price == 4 * LISTING.tick


async def test_a_filled_quote_is_put_in_again_and_a_thin_one_filled_up():
    market, maker = Market(), quoter()
    await maker.quote(market)
    del market.orders["o0"]
    thin = market.order(SELL)
    thin.cum_qty, thin.leaves_qty = 400, 100
    await maker.quote(market)
    assert [(kind, side, quantity) for kind, side, quantity, _ in market.asked[2:]] == [
        ("new", BUY, 500),
        ("replace", SELL, 900),
    ]


async def test_a_quote_under_way_is_left_alone():
    market, maker = Market(), quoter()
    await maker.quote(market)
    for order in market.orders.values():
        order.pending = "request"
    for _ in range(10):
        await maker.quote(market)
    assert len(market.asked) == 2
