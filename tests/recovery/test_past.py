from hypothesis import given
from hypothesis import strategies as st

from recovery import past
from recovery.past import ForkSearch, Past
from recovery.record import Position


def end(seq: int) -> Position:
    return Position(seq, seq * 7)


def test_it_gives_the_ends_up_to_a_number_and_forgets_those_beyond_a_fork():
    kept = Past(map(end, (4, 7, 10)))
    kept.remember(end(13))
    assert kept.up_to(3) == []
    assert kept.up_to(10) == [end(4), end(7), end(10)]
    kept.cut(7)
    assert kept.up_to(99) == [end(4), end(7)]


def test_it_is_bounded_and_old_ends_are_thinned_before_late_ones(monkeypatch):
    monkeypatch.setattr(past, "MAX_ENDS", 16)
    kept = Past(map(end, range(1, 1001)))
    seqs = [each.next_seq for each in kept.up_to(1000)]
    assert len(seqs) < 16
    assert seqs[-4:] == [997, 998, 999, 1000]
    assert seqs == sorted(seqs)
    assert seqs[0] < 100


@given(st.integers(0, 200), st.data())
def test_the_search_finds_the_last_end_that_is_history(count, data):
    ends = [end(3 * n + 4) for n in range(count)]
    good = data.draw(st.integers(0, count))
    search = ForkSearch(ends)
    questions = 0
    far = max(count - good, 1)
    while not search.found:
        questions += 1
        assert search.probe in [Position(), *ends][-1 - 2 * far :], "further back than twice as far as the fork is"
        search.tell(history=search.probe == Position() or search.probe.next_seq <= 3 * good + 1)
    assert search.probe == [Position(), *ends][good]
    assert questions <= 2 * far.bit_length() + 1


def test_a_fork_where_the_epoch_began_is_found_at_the_first_question():
    search = ForkSearch([end(4), end(7), end(10)])
    assert search.probe == end(10)
    search.tell(history=True)
    assert search.found
    assert search.probe == end(10)
