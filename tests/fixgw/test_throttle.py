"""The token bucket against counting on one's fingers."""

from hypothesis import given
from hypothesis import strategies as st

from fixgw.throttle import TokenBucket
from fixgw.timestamps import SECOND


def test_a_burst_passes_then_one_per_interval() -> None:
    bucket = TokenBucket(rate=10, burst=3, now=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(SECOND // 10 - 1)
    assert bucket.take(SECOND // 10)
    assert not bucket.take(SECOND // 10)


def test_silence_earns_a_burst_and_no_more() -> None:
    bucket = TokenBucket(rate=1000, burst=2, now=0)
    assert [bucket.take(3600 * SECOND) for _ in range(3)] == [True, True, False]


def test_nothing_is_lost_to_rounding() -> None:
    """Three a second, asked a thousand times a second and a little slower, for ten seconds."""
    bucket = TokenBucket(rate=3, burst=2, now=0)
    passed = sum(bucket.take(i * 1_000_007) for i in range(10_001))
    assert passed == 2 + 30


def test_a_clock_that_is_set_back_brings_nothing_and_goes_on_from_there() -> None:
    bucket = TokenBucket(rate=1, burst=1, now=3600 * SECOND)
    assert bucket.take(3600 * SECOND)
    assert not bucket.take(0)
    assert not bucket.take(SECOND - 1)
    assert bucket.take(SECOND)


@given(st.integers(1, 10**6), st.integers(1, 100), st.lists(st.integers(0, 10 * SECOND), max_size=60))
def test_never_more_than_burst_and_rate_allow(rate: int, burst: int, pauses: list[int]) -> None:
    bucket = TokenBucket(rate, burst, now=0)
    now = passed = 0
    for pause in pauses:
        now += pause
        passed += bucket.take(now)
        assert passed * SECOND <= burst * SECOND + now * rate
