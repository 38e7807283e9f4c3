"""One attempt of a replica to become the primary: whom it asked, what they said, and what follows from it.

    CANVASSING   does a majority miss the primary?            one deaf backup deposes nobody
    RAISING      the coordinator raises the epoch for us      compare-and-set: an epoch has one owner
    PREPARING    PREPARE to all; promises of a majority       nobody of them serves an older epoch any more
    FETCHING     the best log of those that promised          whatever was committed is in it
    LENGTHENING  has a server more of it?                     mode "async" only, see `recovery.tail`
    COMPLETING   our own log is that log; write it down       then the epoch begins

The best log is the one with the highest (complete epoch, last tx), and never just the longest: a log that was complete
in a later epoch holds all that was committed before it, a longer one of an older epoch may hold what never was.

A recovering replica may have forgotten something that it acknowledged, so its promise does not count towards a
majority. When all replicas are there, theirs is all that exists, and the best of it is taken.
"""

from enum import Enum
from typing import TYPE_CHECKING

from recovery.control import Promise
from recovery.quorum import majority

if TYPE_CHECKING:
    from recovery.tail import Tail

RESEND_INTERVAL = 20_000_000
"""ns between two attempts to be heard, while something is awaited."""
CANVASS_TIMEOUT = 60_000_000
"""ns to wait for a majority's word; then silence is waited for again."""
FIRST_TRY = 100_000_000
"""ns that who canvasses first has until it is heard of as a candidate: two that have the epoch raised at once hold each
other up. A coordinator takes tens of ms on a busy machine."""
RAISE_TIMEOUT = 2_000_000_000
"""ns to wait for the coordinator: its own failover takes half a second, and up to two where it gets no processor."""
CAMPAIGN_TIMEOUT = 400_000_000
"""ns to gather promises and the log; then another attempt, with another epoch, may have more luck."""


class Phase(Enum):
    CANVASSING = "canvassing"
    RAISING = "raising"
    PREPARING = "preparing"
    FETCHING = "fetching"
    LENGTHENING = "lengthening"
    COMPLETING = "completing"


_TIMEOUTS = {
    Phase.CANVASSING: CANVASS_TIMEOUT,
    Phase.RAISING: RAISE_TIMEOUT,
    Phase.PREPARING: CAMPAIGN_TIMEOUT,
}


class Campaign:
    """Begins by canvassing, by raising at once, or (when the epoch is ours) by preparing; phases only go forward."""

    def __init__(self, phase: Phase, epoch: int, replica_id: int, replica_count: int, now: int) -> None:
        self.phase = phase
        self.epoch = epoch
        """While canvassing or raising: the highest known. From PREPARING on: our own."""
        self.deadline = now + _TIMEOUTS[phase]
        self.resend_at = now
        self.best: Promise | None = None
        self.tail: Tail | None = None
        """While lengthening: what follows on the best log."""
        self._replica_id = replica_id
        self._replica_count = replica_count
        self._silent = {replica_id}
        self._promises: dict[int, Promise] = {}

    def silent(self, sender: int) -> bool:
        """A peer has not heard the primary either. Is it a majority now?"""
        self._silent.add(sender)
        return len(self._silent) >= majority(self._replica_count)

    def promised(self, promise: Promise) -> bool:
        """A replica has promised our epoch. Is it enough now?"""
        assert promise.epoch == self.epoch
        self._promises[promise.sender] = promise
        return self.has_majority()

    def has_majority(self) -> bool:
        promises = self._promises.values()
        voters = sum(not promise.recovering for promise in promises)
        return voters >= majority(self._replica_count) or len(promises) == self._replica_count

    def choose(self) -> Promise:
        """Whose log it is to be; our own where it is as good as any."""
        self.best = max(self._promises.values(), key=self._rank)
        return self.best

    def _rank(self, promise: Promise) -> tuple[int, int, bool]:
        return promise.complete_epoch, promise.last_tx, promise.sender == self._replica_id

    def advance(self, phase: Phase) -> None:
        order = list(Phase)
        assert order.index(phase) > order.index(self.phase), f"{self.phase} does not lead to {phase}"
        self.phase = phase
