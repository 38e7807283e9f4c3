"""The ladder of prices, as long as no other test makes it."""

from random import Random

from matching.book import MAX_NEAR, BookSide, join
from matching.order import Order


def order() -> Order:
    made = Order()
    made.displayed_qty = 1
    made.hidden_qty = 0
    return made


def told(side: BookSide) -> list[int]:
    return [level.rank for level in side.queues()]


def test_a_side_of_more_levels_than_a_plain_list_is_for_stays_in_order() -> None:
    random = Random(1)
    side = BookSide(1)
    ranks: set[int] = set()

    def grow(count: int) -> None:
        while len(ranks) < count:
            rank = random.randrange(1, 10 * MAX_NEAR)
            if rank not in ranks:
                ranks.add(rank)
                join(order(), side, rank, rank)

    def shrink(count: int, drawn: list[int]) -> None:
        for rank in drawn[: len(ranks) - count]:
            ranks.remove(rank)
            side.close(side.levels[rank])

    grow(2 * MAX_NEAR)
    assert told(side) == sorted(ranks, reverse=True)
    shrink(MAX_NEAR, random.sample(sorted(ranks), len(ranks)))  # from anywhere
    assert told(side) == sorted(ranks, reverse=True)
    grow(2 * MAX_NEAR)
    below = [side.below(rank) for rank in sorted(ranks)]
    assert [None if level is None else level.rank for level in below] == [None, *sorted(ranks)[:-1]]
    shrink(10, sorted(ranks, reverse=True))  # the best first, as trades do
    assert told(side) == sorted(ranks, reverse=True)
    grow(100)
    shrink(0, sorted(ranks, reverse=True))
    assert side.best is None
    assert not side.near
    assert not side.far
