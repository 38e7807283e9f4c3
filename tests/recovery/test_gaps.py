"""Asking for what was missed: whom, when, and when not yet."""

from recovery.gaps import FIRST_TIMEOUT, GRACE, MAX_LEARNED, MAX_TIMEOUT, REQUEST_MESSAGES, Ask, Gaps

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


def one_gap(server_count: int, now: int = 0) -> Gaps:
    """1 … 4 is missing, and asked for at the end of the grace."""
    gaps = Gaps(server_count)
    gaps.add(1, 4, now)
    assert gaps.asks(now + GRACE, 10_000) == [Ask(0, 1, 4)]
    return gaps


def ask_until(gaps: Gaps, now: int, server: int) -> int:
    """Nobody answers until `server` is asked: when that is."""
    while True:
        due = gaps.next_deadline(10_000)
        assert due is not None
        now = max(now, due)
        if server in [ask.server for ask in gaps.asks(now, 10_000)]:
            return now


def test_the_one_server_that_has_it_is_found_at_once_behind_silent_ones():
    assert ask_until(one_gap(5), 0, server=4) == GRACE + 4 * FIRST_TIMEOUT


def test_a_server_that_answered_is_asked_first_from_then_on():
    gaps = one_gap(5)
    now = ask_until(gaps, 0, server=3)
    gaps.fill(1, 4, True, now + 1)
    for first in range(10, 10_000, 1000):
        gaps.add(first, first + 5, now)
        now += GRACE
        assert gaps.asks(now, 20_000) == [Ask(3, first, 6)]
        gaps.fill(first, first + 5, True, now + 1)


def test_all_are_asked_again_with_twice_the_wait_until_a_round_takes_a_second():
    gaps = one_gap(4)
    times = [GRACE]
    servers = [0]
    for _ in range(35):
        now = gaps.next_deadline(10_000)
        assert now is not None
        (ask,) = gaps.asks(now, 10_000)
        times.append(now)
        servers.append(ask.server)
    assert servers == [0, 1, 2, 3] * 9
    rounds = [after - before for before, after in zip(times[::4], times[4::4], strict=False)]
    assert rounds == [40 * MS, 80 * MS, 160 * MS, 320 * MS, 640 * MS, *[MAX_TIMEOUT] * 3]


def test_an_outage_is_not_learned_as_the_time_that_an_answer_takes():
    gaps = one_gap(2)
    now = ask_until(gaps, 30_000 * MS, server=1)
    gaps.fill(1, 4, True, now)
    gaps.add(10, 12, now)
    assert gaps.asks(now + GRACE, 10_000) == [Ask(1, 10, 3)]
    assert gaps.next_deadline(10_000) == now + GRACE + MAX_LEARNED


def test_who_has_nothing_of_it_is_not_waited_for_and_no_storm_comes_of_it():
    gaps = one_gap(3)
    for server in (1, 2):
        gaps.refuse(1, GRACE)
        assert gaps.asks(GRACE, 10_000) == [Ask(server, 1, 4)]
    # All have been asked: more such words, late and repeated ones too, change nothing before the time is over.
    for _ in range(10):
        gaps.refuse(1, GRACE)
        assert gaps.asks(GRACE + FIRST_TIMEOUT - 1, 10_000) == []
    assert gaps.asks(GRACE + FIRST_TIMEOUT, 10_000) == [Ask(0, 1, 4)]
    gaps.refuse(1, GRACE + FIRST_TIMEOUT)
    assert gaps.asks(GRACE + FIRST_TIMEOUT, 10_000) == [Ask(1, 1, 4)]
    assert gaps.timeouts == 1


def test_a_refusal_of_what_was_not_asked_for_is_nothing():
    gaps = Gaps(3)
    gaps.refuse(1, 0)
    gaps.add(1, 4, 0)
    gaps.refuse(1, 0)
    assert gaps.next_deadline(10_000) == GRACE
    gaps = one_gap(3)
    for first in (2, 4, 5, 2**64 - 1):
        gaps.refuse(first, GRACE)
    assert gaps.next_deadline(10_000) == GRACE + FIRST_TIMEOUT


def test_the_rest_of_an_answer_cut_short_is_asked_of_who_answered():
    gaps = one_gap(3)
    now = ask_until(gaps, 0, server=2)
    gaps.fill(1, 2, True, now)
    due = gaps.next_deadline(10_000)
    assert due is not None
    assert gaps.asks(due, 10_000) == [Ask(2, 3, 2)]
