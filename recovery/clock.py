"""The clock that stamps commands: follows the wall clock, but not where it jumps.

A stamp becomes part of the log and is obeyed by every replica, so a wall clock that is set an hour ahead for a second
would expire orders for good. The monotonic clock, which nobody sets, is the witness: the two may drift against each
other (the wall clock is being slewed), but a difference that changes by more than MAX_JUMP between two looks is a
jump. It is refused: stamps go on at the pace of the monotonic clock, until the wall clock has come back to where they
are or an operator restarts the primary. Never going back is not this clock's business: the primary stamps `max(last,
clock)`.
"""

from collections.abc import Callable

MAX_JUMP = 1_000_000_000
"""ns. Leap second smears and slewing stay far below between two commands; a mistaken date does not."""


class StampClock:
    """Stamps, ns since the epoch (UTC), from two clocks that give ns."""

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], int]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()
        self.refused = 0
        """How often a jump was refused; counts once per jump."""
        self.jump = 0
        """ns by which the wall clock is refused now; not 0 is an alarm."""

    def now(self) -> int:
        wall = self._wall()
        monotonic = self._monotonic()
        jump = wall - monotonic - self._offset
        if -MAX_JUMP <= jump <= MAX_JUMP:
            self._offset += jump
            self.jump = 0
            return wall
        if not self.jump:
            self.refused += 1
        self.jump = jump
        return monotonic + self._offset
