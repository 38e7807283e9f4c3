"""Clocks that nobody sets: how much time has passed, and in how much of it this process was there to listen. Pure.

*When* something was is told by the wall clock, `now`: SendingTime(52), a stamp, the end of an order. But that clock may
be set back or ahead, so *how long ago* it was is told by a `SteadyClock`.

A machine that freezes, and a process that is stopped or starved, hears nothing meanwhile; what it was told is still to
be read when it goes on. Whoever measures another's silence must not count that time, or it takes its own sleep for the
other's: so it measures by an `AwakeClock`, which stands still beyond `LONGEST_TICK` after each tick.
"""

from typing import Final

#: Between two ticks of a process that is awake (ns): a tick is due each tenth of a second, and may be late.
LONGEST_TICK: Final = 300_000_000


class SteadyClock:
    """`time` is ns of a monotonic clock: only the difference of two such times has a meaning. The owner of a core
    brings it up to date whenever it reads the wall clock for the core."""

    def __init__(self, time: int = 0) -> None:
        self.time = time


class AwakeClock:
    """Of a process that calls `tick` from a timer. Times are ns, by a clock that may be set back or ahead: what lies
    between two ticks counts from 0 to `LONGEST_TICK`, whatever that clock says."""

    def __init__(self) -> None:
        self._ticked_at = 0
        self._awake = 0

    def tick(self, now: int) -> None:
        """The timer is served."""
        self._awake = self.at(now)
        self._ticked_at = now

    def at(self, now: int) -> int:
        """The time by this clock, above 0: only the difference of two such times has a meaning."""
        return self._awake + min(max(now - self._ticked_at, 0), LONGEST_TICK)
