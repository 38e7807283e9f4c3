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
        self._next_seq = 0
        self._since = 0

    def look(self, next_seq: int, commit_seq: int, now: int) -> str:
        """What has begun or is over; mostly nothing. `next_seq`: the first number that has not come. What is
        committed goes up to `commit_seq`, as far as is known: in a new epoch nothing at first, which ends no wait."""
        if next_seq > self._next_seq:
            came, waited, was_on = self._next_seq, now - self._since, self.is_on
            self._next_seq, self._since, self.is_on = next_seq, now, False
            return f"goes on: message {came} came after {waited // 1_000_000_000} s" if was_on else ""
        if next_seq > commit_seq and not self.is_on:
            self._since = now
        if self.is_on or now < self._since + STALL:
            return ""
        self.is_on = True
        return f"nothing is passed on: messages {next_seq} to {commit_seq} are missing, and nobody gives them"
