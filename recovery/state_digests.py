"""The digests of the replicas' states at the same transactions, and what follows when they are not one.

The chain proves the messages, transaction by transaction; it says nothing of a part of the state that has not shown
yet. So replicas that take a snapshot of the same transaction tell each other the digest of the state in it. The same
transaction is one of the same epoch: in mode "async" a log may fork, and the other branch has other states, rightly.

Who is wrong is decided when a majority of all replicas has spoken: those whose digest fewer have. When two are against
each other (three replicas, of which the primary takes no snapshots) nobody can know, and both going on is worse than
one: the one with the higher replica id stops, so that the venue goes on and a person looks at it.
"""

from collections import Counter

from recovery.command_log import Point
from recovery.quorum import majority

MAX_KEPT = 4
"""Transactions whose digests are remembered: a slow replica is that many snapshots late at most."""


class StateDigests:
    """What replicas have said, by transaction."""

    def __init__(self, replica_id: int, replica_count: int) -> None:
        self._replica_id = replica_id
        self._replica_count = replica_count
        self._said: dict[Point, dict[int, int]] = {}  # where → replica → digest

    def say(self, replica_id: int, point: Point, digest: int) -> str | None:
        """A replica has said it (or we). What is wrong when it is we who must stop; else None."""
        said = self._said.setdefault(point, {})
        said[replica_id] = digest
        while len(self._said) > MAX_KEPT:
            del self._said[min(self._said, key=lambda each: (each.epoch, each.tx))]  # of a branch that is left, first
        ours = said.get(self._replica_id)
        if ours is None or len(said) < majority(self._replica_count) or self._wins(said, ours):
            return None
        others = ", ".join(f"replica {each}: {theirs:#x}" for each, theirs in sorted(said.items()))
        return f"other states after tx {point.tx}: {others}; rebuild this replica, and have the others checked"

    def _wins(self, said: dict[int, int], ours: int) -> bool:
        counts = Counter(said.values())
        return ours == max(counts, key=lambda digest: (counts[digest], -min(r for r in said if said[r] == digest)))
