"""Majorities: how many replicas are one, and how far one has got."""

from collections.abc import Iterable


def majority(replica_count: int) -> int:
    """Any two sets of this many replicas have one in common."""
    return replica_count // 2 + 1


def held_by_majority(positions: Iterable[int], replica_count: int) -> int:
    """The highest position that a majority has reached; `positions` are of some of the replicas, the rest are at 0.

    of 1, 2, 3, 5 replicas     at 7      at 7 4     at 7 4 9     at 7 4 9 2
    it is                      7         4          7            4
    """
    highest = sorted(positions, reverse=True)
    needed = majority(replica_count)
    return highest[needed - 1] if len(highest) >= needed else 0
