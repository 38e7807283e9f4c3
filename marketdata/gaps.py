"""Which numbers of a stream are missing, and when to ask for each run of them.

A `GapList` is the complement of what a receiver holds: disjoint runs of missing numbers in rising order, every run with
the time at which it is to be asked for. Numbers go in at the end (`add`) and come out anywhere (`fill`), which may
shorten a run, remove it, or cut it in two.

Rules of asking:

* a run is first asked for when its grace is over: the other line often brings what one line lost or overtook;
* one request per run is outstanding. While it brings nothing, the time to the next one doubles up to a limit; as soon
  as it brings something, the rest of the run is due at once, so a long run is fetched answer by answer;
* only the first `MAX_OUTSTANDING` runs are asked for: the stream is delivered in order, so the later ones can wait.
"""

from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Runs asked for at a time. More would only race each other for the server's limit.
MAX_OUTSTANDING: Final = 8


class Gap:
    """The missing numbers `first` to `last`; to be asked for at `due` (ns), after `attempts` requests in vain."""

    __slots__ = ("attempts", "due", "first", "last")

    def __init__(self, first: int, last: int, due: int, attempts: int = 0) -> None:
        self.first = first
        self.last = last
        self.due = due
        self.attempts = attempts


def _last_of(gap: Gap) -> int:
    return gap.last


class GapList:
    """The runs of missing numbers, in order."""

    def __init__(self) -> None:
        self._gaps: list[Gap] = []

    def __len__(self) -> int:
        return len(self._gaps)

    def __iter__(self) -> "Iterator[Gap]":
        return iter(self._gaps)

    def missing(self) -> int:
        """How many numbers are missing."""
        return sum(gap.last - gap.first + 1 for gap in self._gaps)

    def add(self, first: int, last: int, due: int) -> bool:
        """The numbers `first` to `last`, above all that is known, are missing. True if that is a run of its own."""
        assert first <= last
        if self._gaps:
            end = self._gaps[-1]
            assert end.last < first
            if end.last == first - 1:
                end.last = last
                return False
        self._gaps.append(Gap(first, last, due))
        return True

    def fill(self, first: int, last: int, now: int) -> None:
        """The numbers `first` to `last` have come; those that were not missing change nothing."""
        gaps = self._gaps
        index = bisect_left(gaps, first, key=_last_of)
        while index < len(gaps) and gaps[index].first <= last:
            gap = gaps[index]
            if first > gap.first:
                if last < gap.last:
                    gaps.insert(index + 1, Gap(last + 1, gap.last, gap.due, gap.attempts))
                gap.last = first - 1
                index += 1
            elif last < gap.last:
                gap.first = last + 1
                if gap.attempts:
                    gap.attempts = 0
                    gap.due = now
                index += 1
            else:
                del gaps[index]

    def next_due(self) -> int | None:
        """The earliest time at which a run is to be asked for."""
        return min((gap.due for gap in islice(self._gaps, MAX_OUTSTANDING)), default=None)

    def due(self, now: int) -> list[Gap]:
        """The runs to be asked for now."""
        return [gap for gap in islice(self._gaps, MAX_OUTSTANDING) if gap.due <= now]
