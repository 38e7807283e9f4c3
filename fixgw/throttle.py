"""Message rates: a token bucket in integers.

A bucket holds up to `burst` tokens and gains `rate` of them a second; a message takes one. Tokens are counted in
billionths, which is what a nanosecond brings per token of rate: no division, so nothing is ever lost to rounding.
"""

from fixgw.timestamps import SECOND


class TokenBucket:
    """Lets `burst` messages pass at once and `rate` a second in the long run. Begins full."""

    def __init__(self, rate: int, burst: int, now: int) -> None:
        assert rate > 0, "a rate of 0 would never let anything pass again"
        assert burst > 0
        self._rate = rate
        self._full = burst * SECOND
        self._level = self._full
        self._filled = now  # when the level was true

    def take(self, now: int) -> bool:
        """May one more message pass at `now` (ns)? If so it is counted. A clock that is set back brings nothing and
        goes on from there."""
        if now != self._filled:
            self._level = min(self._full, self._level + max(now - self._filled, 0) * self._rate)
            self._filled = now
        if self._level < SECOND:
            return False
        self._level -= SECOND
        return True
