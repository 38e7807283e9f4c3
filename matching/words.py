"""A command or an event in words, one line of them: for logs, and for people who run a market.

    SchedulePhase(1, 1, …)  →  schedule phase: instrument ALPHA, phase pre_open, at 2026-11-22 07:00:00 UTC

What a field is called says how its number is written. What is empty is left out.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final

from msgspec import Struct

from matching.codes import CancelReason, OrdStatus, OrdType, Phase, SelfMatch, Side, TimeInForce, TradingState
from matching.ids import PRICE_SCALE

_NANOSECONDS: Final = 1_000_000_000
_LEVEL_SCALE: Final = 100_000_000

_ENUMS: Final[dict[str, type[IntEnum]]] = {
    "side": Side,
    "ord_type": OrdType,
    "time_in_force": TimeInForce,
    "ord_status": OrdStatus,
    "phase": Phase,
    "state": TradingState,
    "self_match": SelfMatch,
}
_PRICES: Final = ("tick_size", "max_value", "peg_offset", "reference", "upper", "lower")
_TIMES: Final = ("at", "midnight", "expires_at", "expire_at", "timestamp")
_SPANS: Final = ("pause", "reopening")
_SHARES: Final = ("static_band", "dynamic_band", "fat_finger")
_YES_OR_NO: Final = ("cancel_on_disconnect", "blocked")


def in_words(message: Struct, symbol: Callable[[int], str] = str) -> str:
    """`symbol` says what an instrument is called."""
    fields = ((name, getattr(message, name)) for name in message.__struct_fields__)
    told = ", ".join(_field(message, name, value, symbol) for name, value in fields if value not in (None, b""))
    name = " ".join(re.findall("[A-Z][a-z]*", type(message).__name__)).lower()
    return f"{name}: {told}" if told else name


def _field(message: Struct, name: str, value: Any, symbol: Callable[[int], str]) -> str:
    if name == "instrument_id":
        return f"instrument {symbol(value)}" if value else "all instruments"
    if name == "reason" and isinstance(value, int):
        return f"reason {_reason(message, value)}"
    return f"{name.replace('_', ' ')} {_value(name, value, symbol)}"


def _reason(message: Struct, value: int) -> str:
    canceled = type(message).__name__ == "OrderCanceled"
    return _name(CancelReason, value) if canceled else str(value)


def _value(name: str, value: Any, symbol: Callable[[int], str]) -> str:
    if isinstance(value, Struct):
        return f"({in_words(value, symbol)})"
    if isinstance(value, bytes):
        return value.decode("latin-1").encode("unicode_escape").decode("ascii").strip()
    if not isinstance(value, int):
        return str(value)
    if name in _ENUMS:
        return _name(_ENUMS[name], value)
    if name in _PRICES or name.endswith("price"):
        return _decimal(value, PRICE_SCALE, 2)
    if name in _SHARES:
        return f"{_decimal(value, 100, 0)} %"
    if name.startswith("level_"):
        return _decimal(value, _LEVEL_SCALE, 2)
    if name in _TIMES:
        return _time(value) if value else "never"
    if name in _SPANS:
        return f"{_decimal(value, _NANOSECONDS, 0)} s"
    if name in _YES_OR_NO:
        return "yes" if value else "no"
    return str(value)


def _name(codes: type[IntEnum], value: int) -> str:
    return codes(value).name.lower() if value in codes._value2member_map_ else f"code {value}"


def _decimal(value: int, scale: int, least: int) -> str:
    """`value` by `scale`, with as many decimals as it has, and `least` at least."""
    whole, rest = divmod(abs(value), scale)
    decimals = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0").ljust(least, "0")
    return ("-" if value < 0 else "") + (f"{whole}.{decimals}" if decimals else str(whole))


def _time(ns: int) -> str:
    """To the second; what no calendar has, as a number."""
    try:
        return f"{datetime.fromtimestamp(ns // _NANOSECONDS, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return str(ns)
