"""The one timer of a shell: a task that waits for the deadline of a core, which moves while it waits.

Time in the cores is ns as an integer; in trio it is seconds. `now_ns` is the one place where they meet: the run's own
clock, so that tests can drive it.
"""

import math
from collections.abc import Callable

import trio

_ROUNDING = 1_000
_NEVER = 1 << 63


def now_ns() -> int:
    """The run's monotonic clock, ns."""
    return int(trio.current_time() * 1e9)


class Alarm:
    """Calls `ring(now)` whenever `deadline()` has come. Say `moved()` after whatever may have made it earlier.

    One that was made later is looked at when the time is over that was waited for: to move trio's own timer costs 3 µs,
    and most deadlines move with every packet.
    """

    def __init__(self, deadline: Callable[[], int | None], ring: Callable[[int], None]) -> None:
        self._deadline = deadline
        self._ring = ring
        self._scope = trio.CancelScope()
        self._set_for = 0  # what `run` waits for, ns; 0: it looks by itself before it waits

    def moved(self) -> None:
        """Plain and cheap: to be called after every batch."""
        deadline = self._deadline()
        if deadline is not None and deadline < self._set_for:
            self._set_for = deadline
            self._scope.deadline = deadline / 1e9

    async def run(self) -> None:
        while True:
            deadline = self._deadline()
            seconds = math.inf if deadline is None else deadline / 1e9
            if seconds > trio.current_time():
                self._set_for = _NEVER if deadline is None else deadline
                with trio.CancelScope(deadline=seconds) as self._scope:
                    await trio.sleep_forever()
                self._set_for = 0
            else:  # a scope that is over before it begins does the same, for some 50 µs
                await trio.lowlevel.checkpoint()
            # The deadline may have moved without a word; and a float second is a little more or less than its ns.
            now, deadline = now_ns(), self._deadline()
            if deadline is not None and deadline <= now + _ROUNDING:
                self._ring(max(now, deadline))
