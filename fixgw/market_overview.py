"""What a configuration makes of the market on one day, in words: ``fixgw check --market``."""

from collections.abc import Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Final

from fixgw.config import Config, Instrument
from fixgw.config_market import Calendar, Protection
from fixgw.config_values import LEVEL_SCALE, PRICE_SCALE

_UNITS: Final = (  # of a protection: attribute, by what it is divided, unit
    ("static_band", 100, " %"),
    ("dynamic_band", 100, " %"),
    ("fat_finger", 100, " %"),
    ("max_quantity", 1, ""),
    ("max_value", PRICE_SCALE, ""),
    ("pause", 10**9, " s"),
    ("reopening", 10**9, " s"),
)


def overview(config: Config, day: date) -> str:
    """The rules of the trading day that begins on this date."""
    trading_day = config.venue.trading_day
    lines = [f"{day:%A} {day}, from {trading_day.rolls_at:%H:%M}, {trading_day.time_zone}:"]
    lines += [f"  calendar {each.name}: {_phases(each.phases_on(day))}" for each in config.calendars]
    lines += [f"  protection {each.name}: {', '.join(_limits(each)) or 'none'}" for each in config.protections]
    for table in config.tick_tables:
        rows = (
            f"{_number(row.tick_size, PRICE_SCALE)} from {_number(row.from_price, PRICE_SCALE)}" for row in table.rows
        )
        lines.append(f"  tick table {table.name}: {', '.join(rows)}")
    breaker = config.venue.circuit_breaker
    if breaker is not None:
        levels = (_number(level, LEVEL_SCALE) for level in (breaker.level_1, breaker.level_2, breaker.level_3))
        lines.append(f"  circuit breaker: {', '.join(levels)}")
    lines += [f"  {each.symbol}: {_named(config, each)}" for each in config.instruments]
    for firm in config.participants:
        if firm.self_match is not None:
            group = f" in group {firm.self_match.group}" if firm.self_match.group else ""
            lines.append(f"  {firm.name}: orders that would meet its own: {firm.self_match.mode}{group}")
    return "\n".join(lines)


def _phases(timetable: Mapping[time, str]) -> str:
    return ", ".join(f"{_clock(at)} {phase}" for at, phase in timetable.items()) or "closed all day"


def _clock(at: time) -> str:
    return at.isoformat("seconds" if at.second else "minutes")


def _limits(protection: Protection) -> Iterator[str]:
    for name, scale, unit in _UNITS:
        value = getattr(protection, name)
        if value:
            yield f"{name} {_number(value, scale)}{unit}"


def _number(value: int, scale: int) -> str:
    text = f"{Decimal(value) / scale:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _named(config: Config, instrument: Instrument) -> str:
    calendar: Calendar | None = config.calendar_of(instrument)
    protection, table = config.protection_of(instrument), config.tick_table_of(instrument)
    parts = [
        f"calendar {calendar.name}" if calendar is not None else "open all day",
        f"protection {protection.name}" if protection is not None else "not protected",
        f"tick table {table.name}" if table is not None else f"tick size {_number(instrument.tick_size, PRICE_SCALE)}",
    ]
    if instrument.reference_price is not None:
        parts.append(f"begins at {_number(instrument.reference_price, PRICE_SCALE)}")
    return ", ".join(parts)
