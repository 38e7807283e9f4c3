"""What must hold between the values of calendars, tick tables and circuit breaker levels.

As `fixgw.config_checks`, it reads the plain document: values that mean nothing by themselves are told by the models.
"""

from collections.abc import Iterator, Mapping
from datetime import time
from decimal import Decimal
from typing import Any, Final

from fixgw.config_checks import entries, find
from fixgw.strict_yaml import Document, Path, Problem

_NAMED: Final = (  # section, and the key by which it is used
    ("calendars", "calendar"),
    ("protections", "protection"),
    ("tick_tables", "tick_table"),
)


def cross_check(document: Document) -> list[Problem]:
    """Everything that does not fit together, in no order."""
    return [*_disordered_days(document), *_disordered_ticks(document), *_disordered_levels(document)]


def doubts(document: Document) -> list[Problem]:
    """What is allowed and probably not meant."""
    return [
        Problem(document.mark((*path, "name")), (*path, "name"), "is used by no instrument")
        for section, key in _NAMED
        for path, entry in entries(document, section)
        if isinstance(entry.get("name"), str) and entry["name"] not in _used(document, key)
    ]


def _used(document: Document, key: str) -> set[Any]:
    return {item.value for item in (*find(document, f"venue.{key}"), *find(document, f"instruments.*.{key}"))}


def _disordered_days(document: Document) -> Iterator[Problem]:
    """A trading day goes from `rolls_at` to `rolls_at`: its phases are written down in that order."""
    rolls_at = 0
    for item in find(document, "venue.trading_day.rolls_at"):
        rolls_at = _second(item.value) or 0
    for path, calendar in entries(document, "calendars"):
        special = calendar.get("special_days")
        days: dict[Path, Any] = {(*path, "phases"): calendar.get("phases")}
        if isinstance(special, dict):
            days |= {(*path, "special_days", day): timetable for day, timetable in special.items()}
        for here, timetable in days.items():
            if isinstance(timetable, dict):
                yield from _disordered(document, here, timetable, rolls_at)


def _disordered(document: Document, path: Path, timetable: Mapping[str, Any], rolls_at: int) -> Iterator[Problem]:
    before, last = "", -1
    for text in timetable:
        second = _second(text)
        if second is None:
            continue
        second = (second - rolls_at) % 86_400
        if second <= last:
            here = (*path, text)
            yield Problem(
                document.key_mark(here), here, f"stands after {before}, which is not earlier in the trading day"
            )
        else:
            before, last = text, second


def _second(text: object) -> int | None:
    """Of the day; None for what is no time."""
    try:
        at = time.fromisoformat(text) if isinstance(text, str) and ":" in text else None
    except ValueError:
        at = None
    return None if at is None else at.hour * 3600 + at.minute * 60 + at.second


def _disordered_ticks(document: Document) -> Iterator[Problem]:
    for path, _ in entries(document, "tick_tables"):
        last = None
        for item in find(document, f"tick_tables.{path[-1]}.rows.*.from_price"):
            if not _is_number(item.value):
                continue
            if last is not None and item.value <= last:
                text = f"{item.value} stands after {last}: rows go up, and no price stands twice"
                yield Problem(item.mark, item.path, text)
            last = item.value


def _disordered_levels(document: Document) -> Iterator[Problem]:
    last = None
    for key in ("level_1", "level_2", "level_3"):
        for item in find(document, f"venue.circuit_breaker.{key}"):
            if not _is_number(item.value):
                continue
            if last is not None and item.value >= last:
                text = f"{item.value} is not below the level before it, {last}: an index falls through them in turn"
                yield Problem(item.mark, item.path, text)
            last = item.value


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)
