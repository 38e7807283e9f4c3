"""What a benchmark gives: figures with their names, units and conditions."""

import platform
from typing import NamedTuple


class Figure(NamedTuple):
    name: str
    value: float
    unit: str
    conditions: str


def machine() -> str:
    """The part of the conditions that every figure shares."""
    return f"CPython {platform.python_version()}, {platform.machine()}"
