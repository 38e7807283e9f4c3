"""What a benchmark gives: figures with their names, units and conditions."""

import platform
import time
from typing import NamedTuple


class Figure(NamedTuple):
    name: str
    value: float
    unit: str
    conditions: str


def machine() -> str:
    """The part of the conditions that every figure shares.

    Virtual machines are not the same speed from one minute to the next: a million turns of an empty loop, timed now,
    tell in which kind of minute a figure was measured.
    """
    begin = time.perf_counter()
    for _ in range(1_000_000):
        pass
    turns = (time.perf_counter() - begin) * 1e3
    return f"CPython {platform.python_version()}, {platform.machine()}; a million empty loop turns took {turns:.0f} ms"
