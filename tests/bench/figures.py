"""What a benchmark gives: figures with their names, units and conditions."""

import platform
import sys
import time
from pathlib import Path
from typing import NamedTuple

from recovery import packet


class Figure(NamedTuple):
    name: str
    value: float
    unit: str
    conditions: str


def machine(modules: str = "") -> str:
    """The part of the conditions that every figure shares; `modules` as of `program`.

    Virtual machines are not the same speed from one minute to the next: a million turns of an empty loop, timed now,
    and how much of the processors their host kept from us since the last figure, tell in which kind of minute a figure
    was measured.
    """
    begin = time.perf_counter()
    for _ in range(1_000_000):
        pass
    turns = (time.perf_counter() - begin) * 1e3
    loop = f"a million empty loop turns took {turns:.0f} ms"
    return f"{program(modules)}, {platform.machine()}; {loop}, {_stolen():.0%} of busy time stolen"


def program(modules: str = "") -> str:
    """What runs: which Python, and whether it interprets our hot modules or has them as machine code.

    `modules` says so where that is not as in this process. Whose Python it is matters: a distribution's is built with
    a profile, which its own account of its build need not say; a version manager's mostly is not, and a quarter slower.
    """
    ours = "interpreted" if (packet.__file__ or "").endswith(".py") else "compiled modules"
    return f"CPython {platform.python_version()} of {sys.base_prefix}, {modules or ours}"


def _stolen() -> float:
    """The part of the time in which processors had work that the host gave to others, since this was asked last."""
    global _ticks
    before, _ticks = _ticks, _read_ticks()
    busy, stolen = (now - then for now, then in zip(_ticks, before, strict=True))
    return stolen / (busy + stolen) if busy + stolen else 0.0


def _read_ticks() -> tuple[int, int]:
    """(ticks of work, ticks stolen) of all processors since the start: proc_stat(5)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return user + nice + system + irq + softirq, steal


_ticks = _read_ticks()
