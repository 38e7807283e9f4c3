"""Whether a reader waits in vain for messages that are committed: nobody gives them. Pure.

A reader asks for what it misses for ever, in silence (`recovery.gaps`); an operator should hear of it, once, and once
when it is over.
"""

STALL = 5_000_000_000
"""ns without the next message, although it is committed: several rounds of requests to all servers."""


class Stall:
    """Of one reader. `look` now and then; what it gives is to be told."""

    def __init__(self) -> None:
        self.is_on = False
        self._missing = 0
        self._since = 0

    def look(self, missing: int, commit_seq: int, now: int) -> str:
        """What has begun or is over; mostly nothing. `missing`: the number waited for, or 0 where nothing is missing
        up to `commit_seq`."""
        if missing == self._missing:
            if not missing or self.is_on or now < self._since + STALL:
                return ""
            self.is_on = True
            return f"nothing is passed on: messages {missing} to {commit_seq} are missing, and nobody gives them"
        waited_for, waited = self._missing, now - self._since
        self._missing, self._since = missing, now
        if not self.is_on:
            return ""
        self.is_on = False
        return f"goes on: message {waited_for} came after {waited // 1_000_000_000} s"
