"""What a reader has missed, and the asking for it.

A gap is a range of numbers known to exist and not received. The rules of asking:

- nothing is asked for within a grace of 2 ms: most holes are datagrams that overtook one another;
- nothing above the commit is asked for, since no server would answer;
- a gap has one request outstanding, of the server that answered last; an answer that does not come is asked for after
  10 ms, or twice the time that the last answer took if that is more (asking a busy server twice keeps it busy), of a
  server that was not asked for it yet; who says that it has nothing of it (`refuse`) is not waited for;
- only when all were asked in vain, it begins again, with twice the wait, until a round of all takes a second: so one
  server that has it is found at once, though all others are silent, and servers that say no cause no storm;
- long gaps are cut into requests of at most REQUEST_MESSAGES, the earliest first, MAX_OUTSTANDING of them in flight,
  and the next goes out as soon as one is answered: so catching up runs at the speed of the server, not of a timer;
- an answer may be shorter than its request (MAX_ANSWER_DATAGRAMS): when that many datagrams have come, the rest is
  asked for at once;
- a server answers in the order it is asked, so an answer puts off the time-outs of what it was asked later: those are
  in its queue, or in our own buffer behind this one. Not of what it was asked before: that answer is lost.
"""

from bisect import bisect_left
from typing import NamedTuple

from recovery.packet import MAX_ANSWER_DATAGRAMS

GRACE = 2_000_000
"""ns. Longer than reordering on a switched network, much shorter than a person or a heartbeat notices."""
FIRST_TIMEOUT = 10_000_000
"""ns. Many times a round trip on a local network, so that a busy server is not asked twice for the same."""
MAX_TIMEOUT = 1_000_000_000
"""ns. For a round of all servers, at least: when none has it yet, ask gently."""
MAX_LEARNED = 100_000_000
"""ns. A first answer that took longer says how long nobody had it, and not how busy a server is."""
REQUEST_MESSAGES = 512
"""With messages of up to 85 bytes, a full answer."""
MAX_OUTSTANDING = 8
"""Eight full answers are 360 kB: no receive buffer that we set overflows."""


class Ask(NamedTuple):
    """One request to be made: `message_count` messages from `first_seq`, of the server with this index."""

    server: int
    first_seq: int
    message_count: int


class Gap:
    """The numbers first … last are missing; `due` is when they may be asked for (again).

    `tried` has a bit for each server that was asked in this round, of which `rounds` have been in vain.
    """

    __slots__ = (
        *("answered", "asked_at", "asked", "due", "first", "first_asked_at", "last", "refused", "rounds"),
        *("server", "tried"),
    )

    def __init__(self, first: int, last: int, due: int) -> None:
        self.first = first
        self.last = last
        self.due = due
        self.asked = self.refused = False
        self.answered = 0
        self.first_asked_at = self.asked_at = 0
        self.server = self.tried = self.rounds = 0


def _last(gap: Gap) -> int:
    return gap.last


class Gaps:
    """The gaps of one stream: disjoint, in order. Truth is false when nothing is missing."""

    def __init__(self, server_count: int) -> None:
        self._gaps: list[Gap] = []
        self._server_count = server_count
        self._all = (1 << server_count) - 1
        self._server = 0  # the one that answered last
        self._timeout = FIRST_TIMEOUT
        self.found = 0
        self.filled = 0
        self.asked = 0
        self.timeouts = 0

    def __bool__(self) -> bool:
        return bool(self._gaps)

    def clear(self) -> None:
        self._gaps.clear()

    def add(self, first: int, last: int, now: int) -> None:
        """first … last, beyond everything known so far, is missing."""
        if self._gaps:
            tail = self._gaps[-1]
            if tail.last == first - 1 and not tail.asked:
                tail.last = last
                return
        self.found += 1
        self._gaps.append(Gap(first, last, now + GRACE))

    def fill(self, first: int, last: int, answer: bool, now: int) -> None:
        """first … last came; `answer` when on request."""
        gaps = self._gaps
        index = bisect_left(gaps, first, key=_last)
        while index < len(gaps) and gaps[index].first <= last:
            gap = gaps[index]
            if answer and gap.asked:
                self._answer_came(gap, now)
            if gap.first < first:
                # The numbers before these were lost or overtaken: wait no longer for them than a grace.
                gaps.insert(index, Gap(gap.first, first - 1, min(gap.due, now + GRACE)))
                index += 1
            if gap.last <= last:
                del gaps[index]
                self.filled += 1
                continue
            gap.first = last + 1
            if answer and gap.asked:
                self._progress(gap, now)
            index += 1

    def _answer_came(self, answered: Gap, now: int) -> None:
        """The server took so long; and what it was asked no earlier than this is still to come."""
        self._server = answered.server
        if not answered.answered:
            self._timeout = min(max(2 * (now - answered.first_asked_at), FIRST_TIMEOUT), MAX_LEARNED)
        due = now + self._timeout
        for gap in self._gaps[:MAX_OUTSTANDING]:
            if gap.asked and gap.server == answered.server and gap.asked_at >= answered.asked_at:
                gap.due = max(gap.due, due)

    def _progress(self, gap: Gap, now: int) -> None:
        """Part of an answer came: the rest is on its way, or has to be asked for if the answer was at its limit."""
        gap.answered += 1
        gap.tried = gap.rounds = 0
        gap.due = now + self._timeout
        if gap.answered >= MAX_ANSWER_DATAGRAMS:
            gap.asked = False
            gap.due = now

    def refuse(self, first: int, now: int) -> None:
        """The server that was asked for what begins with `first` has nothing of it: on to the next, if one is left."""
        index = bisect_left(self._gaps, first, key=_last)
        if index == len(self._gaps):
            return
        gap = self._gaps[index]
        if gap.asked and gap.first == first and gap.tried != self._all:
            gap.refused = True
            gap.due = now

    def asks(self, now: int, commit_seq: int) -> list[Ask]:
        """The requests that are due."""
        asks = []
        gaps = self._gaps
        for index in range(MAX_OUTSTANDING):
            if index >= len(gaps) or gaps[index].first > commit_seq:
                break
            gap = gaps[index]
            if gap.due > now:
                continue
            last = min(gap.first + REQUEST_MESSAGES - 1, commit_seq)
            if last < gap.last:
                gaps.insert(index + 1, Gap(last + 1, gap.last, gap.due))
                gap.last = last
            asks.append(self._ask(gap, now))
        return asks

    def _ask(self, gap: Gap, now: int) -> Ask:
        if not gap.asked:
            gap.tried = gap.rounds = 0
            gap.first_asked_at = now
        elif not gap.refused:
            self.timeouts += 1
        if gap.tried == self._all:
            gap.tried = 0
            gap.rounds += 1
        gap.server = self._server
        while gap.tried >> gap.server & 1:
            gap.server = (gap.server + 1) % self._server_count
        gap.tried |= 1 << gap.server
        gap.asked_at = now
        gap.due = now + max(min(self._timeout << min(gap.rounds, 10), MAX_TIMEOUT // self._server_count), self._timeout)
        gap.asked = True
        gap.refused = False
        gap.answered = 0
        self.asked += 1
        return Ask(gap.server, gap.first, gap.last - gap.first + 1)

    def next_deadline(self, commit_seq: int) -> int | None:
        """When the next request is due, ns; None when nothing can be asked for."""
        deadlines = [gap.due for gap in self._gaps[:MAX_OUTSTANDING] if gap.first <= commit_seq]
        return min(deadlines, default=None)
