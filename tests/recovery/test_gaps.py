"""Asking for what was missed: whom, when, and when not yet."""

from recovery.gaps import FIRST_TIMEOUT, GRACE, REQUEST_MESSAGES, Gaps

MS = 1_000_000


def asked(gaps: Gaps, now: int) -> list[int]:
    """The first numbers of what is asked for at this moment."""
    return [ask.first_seq for ask in gaps.asks(now, 10_000)]


def three_requests() -> Gaps:
    """1, 513 and 1025 have been asked for at the end of the grace."""
    gaps = Gaps(1)
    gaps.add(1, 3 * REQUEST_MESSAGES, 0)
    assert asked(gaps, GRACE) == [1, 513, 1025]
    return gaps


def test_an_answer_puts_off_what_was_asked_with_or_after_it():
    gaps = three_requests()
    gaps.fill(1, 512, True, GRACE + 9 * MS)
    assert asked(gaps, GRACE + FIRST_TIMEOUT) == []
    # That answer took 9 ms, so the next is given twice as long from now.
    assert asked(gaps, GRACE + 27 * MS - 1) == []
    assert asked(gaps, GRACE + 27 * MS) == [513, 1025]


def test_an_answer_to_a_later_request_does_not_put_off_an_earlier_one():
    gaps = three_requests()
    gaps.add(2000, 2009, GRACE + 1 * MS)
    assert asked(gaps, 2 * GRACE + 1 * MS) == [2000]
    gaps.fill(2000, 2009, True, GRACE + 9 * MS)
    assert asked(gaps, GRACE + FIRST_TIMEOUT) == [1, 513, 1025]


def test_what_comes_on_the_stream_puts_nothing_off():
    gaps = three_requests()
    gaps.fill(1, 512, False, GRACE + 9 * MS)
    assert asked(gaps, GRACE + FIRST_TIMEOUT) == [513, 1025]


def test_a_quick_answer_brings_the_first_timeout_back():
    gaps = three_requests()
    gaps.fill(1, 512, True, GRACE + 9 * MS)
    gaps.add(2000, 2009, 20 * MS)
    assert asked(gaps, 22 * MS) == [2000]
    gaps.fill(2000, 2009, True, 23 * MS)
    gaps.fill(513, 1536, True, 24 * MS)
    gaps.add(3000, 3009, 30 * MS)
    assert asked(gaps, 32 * MS) == [3000]
    assert gaps.next_deadline(10_000) == 32 * MS + 44 * MS
    gaps.fill(3000, 3009, True, 33 * MS)
    gaps.add(4000, 4009, 40 * MS)
    assert asked(gaps, 42 * MS) == [4000]
    assert gaps.next_deadline(10_000) == 42 * MS + FIRST_TIMEOUT
