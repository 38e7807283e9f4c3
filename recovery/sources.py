"""At most once: the last command of every source and of every session, and what to make of the next one.

A gateway re-sends, after a reconnect, everything it has not seen come by; a gateway that lost the tail of its journal
may forward the same FIX message under a new number. Neither may take effect twice. Two tables decide, and both are a
pure function of the log of commands (a replica rebuilds them by replaying the headers):

    source_id   → incarnation, last source_seq
    session_id  → last session_seq

| the command says | verdict | what the primary does |
|---|---|---|
| incarnation below the stored one | FENCED | ends the link: an older life of that gateway is still talking |
| incarnation above the stored one | UNOPENED | ends the link: it has not logged in as that |
| source_seq ≤ last | REPEATED | drops it: it was taken before, its events are in the stream |
| source_seq > last + 1 | GAP | ends the link: something between was lost, the source must go back |
| source_seq = last + 1, session_seq ≤ last of that session | DUPLICATE | sequences a NOOP: the number is used up |
| otherwise | TAKE | sequences it |

session_seq 0 (or session 0) means: not said by a session, nothing to compare. source_seq never restarts, not over
incarnations either; source_seq 0 marks the primary's own commands, which are not in the tables.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from recovery.record import NOOP, OPEN_SOURCE

OPERATOR_SOURCE = 65_535
"""People: their commands come over a replica's service, and not over a link. No gateway has this number."""


class Verdict(Enum):
    TAKE = "take"
    REPEATED = "repeated"
    DUPLICATE = "duplicate"
    GAP = "gap"
    FENCED = "fenced"
    UNOPENED = "unopened"


TAKE: Final = Verdict.TAKE
"""By its own name: before Python 3.12 a member of an Enum is looked up ten times as slowly, and this one each time."""


class Sources:
    """The tables of one shard. `check` asks, `apply` tells; what `check` says holds until the next `apply`."""

    def __init__(self) -> None:
        self._sources: dict[int, tuple[int, int]] = {}
        self._sessions: dict[int, int] = {}

    def tables(self) -> tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int], ...]]:
        """(source_id, incarnation, source_seq) of all sources and (session_id, session_seq) of all sessions, by id."""
        sources = tuple((source_id, *last) for source_id, last in sorted(self._sources.items()))
        return sources, tuple(sorted(self._sessions.items()))

    @classmethod
    def restored(cls, sources: Iterable[tuple[int, int, int]], sessions: Iterable[tuple[int, int]]) -> "Sources":
        """What `tables` gave, again."""
        restored = cls()
        restored._sources = {source_id: (incarnation, seq) for source_id, incarnation, seq in sources}
        restored._sessions = dict(sessions)
        return restored

    def incarnation(self, source_id: int) -> int:
        """The one in force; 0 for a source never heard of."""
        return self._sources.get(source_id, (0, 0))[0]

    def last_source_seq(self, source_id: int) -> int:
        return self._sources.get(source_id, (0, 0))[1]

    def last_session_seq(self, session_id: int) -> int:
        return self._sessions.get(session_id, 0)

    def check(self, source_id: int, incarnation: int, source_seq: int, session_id: int, session_seq: int) -> Verdict:
        """What to make of a command with these numbers."""
        current, last = self._sources.get(source_id, (0, 0))
        if incarnation != current:
            return Verdict.FENCED if incarnation < current else Verdict.UNOPENED
        if source_seq != last + 1:
            return Verdict.REPEATED if source_seq <= last else Verdict.GAP
        if session_seq and session_id and session_seq <= self._sessions.get(session_id, 0):
            return Verdict.DUPLICATE
        return TAKE

    def apply(
        self, kind: int, source_id: int, incarnation: int, source_seq: int, session_id: int, session_seq: int
    ) -> None:
        """A command with these numbers was sequenced (now, or once and replayed)."""
        if kind == OPEN_SOURCE:
            current, last = self._sources.get(source_id, (0, 0))
            assert incarnation > current, f"source {source_id}: {incarnation} after {current}"
            self._sources[source_id] = (incarnation, last)
        elif source_seq:
            self._sources[source_id] = (incarnation, source_seq)
            if kind != NOOP and session_id and session_seq:
                self._sessions[session_id] = session_seq
