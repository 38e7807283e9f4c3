"""Where in a shard's stream its trades were: what a fork makes of their numbers.

An ExecID(17) of a trade is made of its match number, so that who undoes the trade can name it. A shard that has lost
the end of its stream gives match numbers again, so a gateway must know which it had heard of by the fork: those above
belong to other trades from there on. A stream forks at an end of a transaction that its reader remembers
(`recovery.past`), so it is enough to know the last trade before each of these.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from recovery.past import MAX_ENDS

#: Trades remembered before those are forgotten that no end needs.
_MAX_TRADES: Final = 4 * MAX_ENDS


class TradeNumbers:
    """Match numbers by the sequence numbers of their events, in order."""

    def __init__(self) -> None:
        self._seqs: list[int] = []
        self._numbers: list[int] = []

    def add(self, seq: int, match_number: int) -> None:
        """A trade, the last so far."""
        self._seqs.append(seq)
        self._numbers.append(match_number)

    @property
    def many(self) -> bool:
        """Whether it is worth while to `thin`."""
        return len(self._seqs) >= _MAX_TRADES

    def before(self, seq: int) -> int:
        """The last match number in the stream before `seq`, 0 if there is none."""
        at = bisect_left(self._seqs, seq)
        return self._numbers[at - 1] if at else 0

    def cut(self, seq: int) -> None:
        """From `seq` on, this was not history."""
        at = bisect_left(self._seqs, seq)
        del self._seqs[at:], self._numbers[at:]

    def thin(self, ends: Iterable[int]) -> None:
        """Forget what none of these ends needs: they are where the stream may fork."""
        needed = {bisect_left(self._seqs, end) - 1 for end in ends} | {len(self._seqs) - 1}
        kept = sorted(needed - {-1})
        self._seqs = [self._seqs[at] for at in kept]
        self._numbers = [self._numbers[at] for at in kept]
