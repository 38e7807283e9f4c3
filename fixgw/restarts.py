"""When a process that ended is started again: at once, then less and less often, until one serves for a while.

A replica that is gone is one that cannot vote, so the first death costs no pause. What dies again and again does so for
a reason that a restart does not mend (a disk, a port that is taken), and it must not cost the others the processor. A
configuration that is wrong is mended by a person: no hurry at all.
"""

from typing import Final

SECOND: Final = 1_000_000_000

FIRST_PAUSE: Final = SECOND // 2
LAST_PAUSE: Final = 30 * SECOND
#: Who has served for so long, dies for the first time again.
STEADY: Final = 20 * SECOND

#: What a process ends with that could not read its configuration, or is not in it (EX_CONFIG of sysexits.h).
WRONG_CONFIGURATION: Final = 78


class Restarts:
    """Of one process. Times are ns of any monotonic clock."""

    def __init__(self) -> None:
        self.deaths = 0
        """In a row: none of them served for long."""
        self._serving_since: int | None = None

    def served(self, now: int) -> None:
        """It says that it serves."""
        self._serving_since = now

    def ended(self, code: int, now: int) -> int:
        """How long to wait until it is started again, in ns."""
        since, self._serving_since = self._serving_since, None
        if since is not None and now - since >= STEADY:
            self.deaths = 0
        self.deaths += 1
        if code == WRONG_CONFIGURATION:
            return LAST_PAUSE
        if self.deaths == 1:
            return 0
        return min(FIRST_PAUSE << min(self.deaths - 2, 16), LAST_PAUSE)
