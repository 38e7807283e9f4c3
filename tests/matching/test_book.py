"""The ladder of prices, against a set that is sorted whenever it is asked."""

from hypothesis import given
from hypothesis import strategies as st

from matching.book import MAX_NEAR, MOVED, PAGE_BITS, BookSide, join, unlink
from matching.order import Order

#: Ranks on either side of 0, on some pages and on the edges of them.
RANKS = st.integers(-3 << PAGE_BITS, 3 << PAGE_BITS) | st.sampled_from(
    [page << PAGE_BITS | rank for page in (-1, 0, 1) for rank in (0, 1, (1 << PAGE_BITS) - 1)]
)
#: How far apart: all on one page, some on each, one on each.
STEPS = st.sampled_from([1, 7, 100, 1 << PAGE_BITS, (1 << PAGE_BITS) + 1])


class Ladder:
    """A side, and what is to stand on it."""

    def __init__(self) -> None:
        self.side = BookSide(1)
        self.orders: dict[int, Order] = {}

    def open(self, rank: int) -> None:
        if rank in self.orders:
            return
        order = self.orders[rank] = Order()
        order.displayed_qty = 1
        order.hidden_qty = 0
        join(order, self.side, rank, rank)

    def close(self, rank: int) -> None:
        unlink(self.orders.pop(rank))

    def check(self) -> None:
        ranks = sorted(self.orders, reverse=True)
        assert [level.rank for level in self.side.queues()] == ranks
        assert all(self.side.levels[level.key] is level for level in self.side.queues())
        assert (None if self.side.best is None else self.side.best.rank) == (ranks[0] if ranks else None)
        assert len(self.side.near) <= max(MAX_NEAR, 1 << PAGE_BITS)
        assert len(self.side.pages) == len(self.side.far)

    def check_below(self, rank: int) -> None:
        """Also from where no level is: a walk may go on from a level that has closed."""
        found = self.side.below(rank)
        best = self.side.best
        ranks = [each for each in self.orders if best is not None and each < min(rank, best.rank)]
        assert (None if found is None else found.rank) == max(ranks, default=None)


@given(st.data())
def test_a_side_stays_in_order_however_levels_open_and_close(data: st.DataObject) -> None:
    ladder = Ladder()
    for _ in range(data.draw(st.integers(1, 12))):
        what = data.draw(st.sampled_from(["open", "row", "row", "best", "worst", "random", "flip"]))
        ranks = sorted(ladder.orders, reverse=True)
        count = data.draw(st.integers(1, 2 * MAX_NEAR))
        if what == "open":
            ladder.open(data.draw(RANKS))
        elif what == "row":
            first, step = data.draw(RANKS), data.draw(STEPS) * data.draw(st.sampled_from([-1, 1]))
            for place in range(count):
                ladder.open(first + place * step)
        elif what == "best":
            for rank in ranks[:count]:
                ladder.close(rank)
        elif what == "worst":
            for rank in ranks[-count:]:
                ladder.close(rank)
        elif what == "random":
            for rank in data.draw(st.randoms()).sample(ranks, min(count, len(ranks))):
                ladder.close(rank)
        elif ranks:
            for _ in range(3):
                ladder.close(ranks[0])
                ladder.open(ranks[0])
        ladder.check()
        for rank in data.draw(st.lists(RANKS, max_size=3)) + ranks[:2] + ranks[-2:]:
            ladder.check_below(rank)


def test_a_row_of_levels_is_on_pages_and_comes_near_again_page_by_page() -> None:
    ladder = Ladder()
    for place in range(10 * MAX_NEAR):
        ladder.open(place * 100)
    side = ladder.side
    assert len(side.near) <= MAX_NEAR
    assert sum(map(len, side.far.values())) == 10 * MAX_NEAR - 1 - len(side.near)
    assert set(side.far) == {rank >> PAGE_BITS for page in side.far.values() for rank in page}
    for rank in sorted(ladder.orders, reverse=True):
        ladder.close(rank)
        if len(ladder.orders) % MOVED == 1:
            ladder.check()
    assert side.best is None
    assert not side.near
    assert not side.far
    assert not side.pages
    assert not side.levels
