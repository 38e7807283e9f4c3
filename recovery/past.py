"""Where a reader has stood, and the search for the last of these places that is still history.

In mode "async", and wherever less is made safe than is lost, what a reader has released may turn out not to be history.
To go on, it must know from where: the last end of a transaction at which its own chain is the stream's. It keeps the
ends it has passed, the latest all and older ones ever more thinly, in bounded memory; and finds the place by going back
in steps that double, and halving the last one: a place is history if the chain there is the one that the next message
of the stream says. The steps, because that message must be had from somebody: replicas keep the latest, while what is
older may be kept by nobody but servers that look for the fork as well, and answer nothing meanwhile.

What is thinned out makes the answer earlier than the truth, never later: then some of what was released comes again.
"""

from bisect import bisect_right
from collections.abc import Iterable

from recovery.record import Position

MAX_ENDS = 16_384
"""A tail that only its readers had heard is milliseconds long: every end of the last second or so is there."""


def _seq(end: Position) -> int:
    return end.next_seq


class Past:
    """Ends of transactions, in order; `ends` are those of an earlier life."""

    def __init__(self, ends: Iterable[Position] = ()) -> None:
        self._ends: list[Position] = []
        for end in ends:
            self.remember(end)

    def remember(self, end: Position) -> None:
        """The reader stands at `end`, beyond all before it."""
        ends = self._ends
        ends.append(end)
        if len(ends) >= MAX_ENDS:
            ends[: MAX_ENDS // 2] = ends[: MAX_ENDS // 2 : 2]

    def up_to(self, seq: int) -> list[Position]:
        """The ends before message `seq`."""
        return self._ends[: bisect_right(self._ends, seq, key=_seq)]

    def cut(self, seq: int) -> None:
        """From message `seq` on, this was not history."""
        del self._ends[bisect_right(self._ends, seq, key=_seq) :]


class ForkSearch:
    """Which of `ends` is the last one that is history. The beginning of the stream always is."""

    def __init__(self, ends: Iterable[Position]) -> None:
        self._ends = [Position(), *ends]
        self._good = 0
        self._bad = len(self._ends)
        self._step = 1
        """How far back next; 0 once a place is known to be history."""
        self._probe = self._bad - 1
        """Most forks are where the epoch began, so the latest is tried first."""

    @property
    def found(self) -> bool:
        return self._bad - self._good == 1

    @property
    def probe(self) -> Position:
        """To be tried next; once it is `found`, the place."""
        return self._ends[self._probe]

    def tell(self, *, history: bool) -> None:
        """Whether `probe` is history."""
        if history:
            self._good = self._probe
            self._step = 0
        else:
            self._bad = self._probe
            self._step *= 2
        if self._step and self._bad > self._step:
            self._probe = self._bad - self._step
        else:
            self._probe = self._good if self.found else (self._good + self._bad) // 2
