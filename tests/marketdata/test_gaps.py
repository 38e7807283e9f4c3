"""The list of missing runs, against a set of missing numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from marketdata.gaps import MAX_OUTSTANDING, GapList

steps = st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 8)), max_size=60)


def runs(gaps: GapList) -> list[tuple[int, int]]:
    return [(gap.first, gap.last) for gap in gaps]


@given(steps)
def test_it_is_the_set_of_missing_numbers(steps: list[tuple[bool, int, int]]) -> None:
    gaps, missing, horizon = GapList(), set[int](), 1
    for grows, start, length in steps:
        if grows:
            first = horizon + start % 3
            horizon = first + length + 1
            gaps.add(first, horizon - 1, due=0)
            missing |= set(range(first, horizon))
        else:
            gaps.fill(start, start + length, now=0)
            missing -= set(range(start, start + length + 1))
        assert {n for first, last in runs(gaps) for n in range(first, last + 1)} == missing
        assert gaps.missing() == len(missing)
        assert all(a[1] + 1 < b[0] for a, b in pairwise(runs(gaps)))


def test_an_answer_makes_the_rest_due_at_once() -> None:
    gaps = GapList()
    assert gaps.add(1, 100, due=50)
    (gap,) = gaps.due(50)
    gap.attempts, gap.due = 1, 1000
    gaps.fill(1, 40, now=60)
    assert [(g.first, g.last, g.due, g.attempts) for g in gaps] == [(41, 100, 60, 0)]


def test_what_the_other_line_brings_does_not_cut_the_grace_short() -> None:
    gaps = GapList()
    gaps.add(1, 100, due=50)
    gaps.fill(1, 40, now=10)
    assert gaps.next_due() == 50


def test_only_the_first_gaps_are_asked_for() -> None:
    gaps = GapList()
    for n in range(20):
        gaps.add(10 * n + 1, 10 * n + 5, due=n)
    assert len(gaps.due(1000)) == MAX_OUTSTANDING
    assert not gaps.add(196, 200, due=999)
    assert runs(gaps)[-1] == (191, 200)
