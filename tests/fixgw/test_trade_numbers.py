"""What a fork makes of match numbers: the last trade before each place where the stream may fork."""

from hypothesis import given
from hypothesis import strategies as st

from fixgw.trade_numbers import TradeNumbers
from recovery.past import MAX_ENDS


def trades(*seqs: int) -> TradeNumbers:
    """The nth trade is event `seqs[n]`."""
    found = TradeNumbers()
    for number, seq in enumerate(seqs, 1):
        found.add(seq, number)
    return found


def test_the_last_trade_before_an_event() -> None:
    found = trades(5, 9, 12)
    assert [found.before(seq) for seq in (1, 5, 6, 9, 10, 12, 13, 99)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_was_no_history_is_forgotten() -> None:
    found = trades(5, 9, 12)
    found.cut(9)
    assert found.before(99) == 1
    found.add(9, 2)
    assert found.before(99) == 2


@given(st.sets(st.integers(1, 200)), st.sets(st.integers(1, 200)))
def test_thinned_out_it_says_the_same_of_every_end(seqs: set[int], ends: set[int]) -> None:
    found = trades(*sorted(seqs))
    later = max(seqs | ends, default=0) + 1
    expected = [found.before(end) for end in (*sorted(ends), later)]
    found.thin(sorted(ends))
    assert [found.before(end) for end in (*sorted(ends), later)] == expected
    assert len(found._seqs) <= len(ends) + 1


def test_there_are_many_only_after_a_while() -> None:
    found = trades(*range(1, 4 * MAX_ENDS))
    assert not found.many
    found.add(4 * MAX_ENDS, 1)
    assert found.many
