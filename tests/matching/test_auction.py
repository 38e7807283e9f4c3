"""The price of an auction, held against a definition that looks at every price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.auction import NO_PRICE, clearing, direction
from matching.codes import ImbalanceDirection

Ladder = list[tuple[int, int]]

_rows = st.dictionaries(st.integers(1, 12), st.integers(1, 5), max_size=6)
_market = st.integers(0, 4)


def ladder(rows: dict[int, int], market: int, best_first: int) -> Ladder:
    """A side, best first; `best_first`: -1 for bids."""
    return [(0, market)] * bool(market) + sorted(rows.items(), key=lambda row: best_first * row[0])


def bought(buys: Ladder, price: int) -> int:
    return sum(quantity for limit, quantity in buys if not limit or limit >= price)


def sold(sells: Ladder, price: int) -> int:
    return sum(quantity for limit, quantity in sells if not limit or limit <= price)


def by_definition(buys: Ladder, sells: Ladder, reference: int) -> tuple[int, int, int]:
    candidates = {price for price, _ in buys + sells if price} or {reference} - {0}
    found = [(price, bought(buys, price), sold(sells, price)) for price in sorted(candidates)]
    found = [each for each in found if min(each[1:])]
    if not found:
        return NO_PRICE
    most = max(min(demand, supply) for _, demand, supply in found)
    found = [each for each in found if min(each[1:]) == most]
    least = min(abs(demand - supply) for _, demand, supply in found)
    found = [each for each in found if abs(each[1] - each[2]) == least]
    if all(demand > supply for _, demand, supply in found) or not reference:
        if all(demand < supply for _, demand, supply in found):
            return found[0]
        return found[-1]
    if all(demand < supply for _, demand, supply in found):
        return found[0]
    return min(found, key=lambda each: (abs(each[0] - reference), -each[0]))


@given(_rows, _market, _rows, _market, st.integers(0, 14))
def test_the_price_is_the_one_that_the_rules_leave(
    bids: dict[int, int], market_buys: int, asks: dict[int, int], market_sells: int, reference: int
) -> None:
    buys, sells = ladder(bids, market_buys, -1), ladder(asks, market_sells, 1)
    assert clearing(buys, sells, reference) == by_definition(buys, sells, reference)


@given(_rows, _market, _rows, _market)
def test_at_no_price_whatever_more_would_trade(
    bids: dict[int, int], market_buys: int, asks: dict[int, int], market_sells: int
) -> None:
    buys, sells = ladder(bids, market_buys, -1), ladder(asks, market_sells, 1)
    if not bids and not asks:
        return  # then the reference price decides
    _, demand, supply = clearing(buys, sells, 0)
    assert min(demand, supply) == max(min(bought(buys, price), sold(sells, price)) for price in range(1, 14))


@given(_rows, _rows, st.integers(0, 14))
def test_what_lies_beyond_the_other_sides_best_price_changes_nothing(
    bids: dict[int, int], asks: dict[int, int], reference: int
) -> None:
    buys, sells = ladder(bids, 0, -1), ladder(asks, 0, 1)
    near_buys = [row for row in buys if sells and row[0] >= sells[0][0]]
    near_sells = [row for row in sells if buys and row[0] <= buys[0][0]]
    assert clearing(near_buys, near_sells, reference) == clearing(buys, sells, reference)


@pytest.mark.parametrize(
    ("buys", "sells", "reference", "price"),
    [
        pytest.param([], [], 100, 0, id="nobody"),
        pytest.param([(99, 5)], [(100, 5)], 100, 0, id="nobody agrees"),
        pytest.param([(102, 5), (101, 3)], [(100, 4), (101, 4)], 0, 101, id="1: the most is traded"),
        pytest.param([(103, 4), (101, 2)], [(100, 5), (103, 1)], 0, 101, id="2: the least is left over"),
        pytest.param([(102, 9)], [(100, 4)], 100, 102, id="3: buyers are left over"),
        pytest.param([(102, 4)], [(100, 9)], 102, 100, id="3: sellers are left over"),
        pytest.param([(102, 4)], [(100, 4)], 99, 100, id="4: nearest to the reference price"),
        pytest.param([(102, 4)], [(100, 4)], 101, 102, id="4: of two that are as near the higher"),
        pytest.param([(102, 4)], [(100, 4)], 0, 102, id="4: no reference price"),
        pytest.param([(0, 4)], [(0, 3)], 105, 105, id="market orders alone trade at the reference price"),
        pytest.param([(0, 4)], [(0, 3)], 0, 0, id="or not at all"),
        pytest.param([(0, 4)], [(100, 2), (103, 1)], 100, 103, id="a market order takes any price"),
    ],
)
def test_examples(buys: Ladder, sells: Ladder, reference: int, price: int) -> None:
    assert clearing(buys, sells, reference)[0] == price


@pytest.mark.parametrize(
    ("price", "buys", "sells", "code"),
    [
        (0, 0, 0, ImbalanceDirection.INSUFFICIENT),
        (100, 3, 3, ImbalanceDirection.NONE),
        (100, 4, 3, ImbalanceDirection.BUY),
        (100, 3, 4, ImbalanceDirection.SELL),
    ],
)
def test_who_is_left_over(price: int, buys: int, sells: int, code: int) -> None:
    assert direction(price, buys, sells) == code
