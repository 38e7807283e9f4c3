"""UTCTimestamp fields: `20261122-09:30:00.123` ↔ nanoseconds since the epoch.

FIX 4.4 Volume 1, "UTCTimestamp": YYYYMMDD-HH:MM:SS with, optionally, a fraction. We write milliseconds (what
every engine reads) and accept whole seconds, milli-, micro- and nanoseconds. Second 60 (a leap second) is
accepted and is the first instant of the next minute.

Within one second all stamps share their first 17 characters, so the calendar is worked out once per second and
remembered, and so is the text of a millisecond, in which a batch writes hundreds of stamps; the bound on what is
remembered is the bound on what a peer that sends nonsense can make us keep.
"""

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

SECOND: Final = 1_000_000_000
"""Nanoseconds in a second."""

MILLISECOND: Final = 1_000_000
"""Nanoseconds in a millisecond."""

EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()

#: Fraction digits allowed after the dot, and what one unit of each is in nanoseconds.
FRACTION_UNITS: Final = {3: 1_000_000, 6: 1_000, 9: 1}

#: Seconds, and milliseconds, remembered. Live traffic needs two or three; a resend of old messages a few more.
REMEMBERED_SECONDS: Final = 64


def format_timestamp(now: int) -> bytes:
    """`now` (ns since the epoch, UTC) as FIX text, cut to the millisecond."""
    return _format_millisecond(now // MILLISECOND)


def parse_timestamp(text: bytes) -> int | None:
    """Nanoseconds since the epoch, or None if `text` is not a UTCTimestamp."""
    second = _parse_second(text[:17])
    if second is None or len(text) == 17:
        return second
    fraction = text[18:]
    unit = FRACTION_UNITS.get(len(fraction))
    if unit is None or text[17] != 46 or not fraction.isdigit():  # 46 is the dot
        return None
    return second + int(fraction) * unit


def is_timestamp(text: bytes) -> bool:
    """Is `text` a UTCTimestamp?"""
    if _parse_second(text[:17]) is None:
        return False
    return len(text) == 17 or (len(text) - 18 in FRACTION_UNITS and text[17] == 46 and text[18:].isdigit())


@lru_cache(maxsize=REMEMBERED_SECONDS)
def _format_millisecond(millisecond: int) -> bytes:
    second, rest = divmod(millisecond, 1000)
    return b"%b.%03d" % (_format_second(second), rest)


@lru_cache(maxsize=REMEMBERED_SECONDS)
def _format_second(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%d-%H:%M:%S").encode()


@lru_cache(maxsize=REMEMBERED_SECONDS)
def _parse_second(text: bytes) -> int | None:
    """`YYYYMMDD-HH:MM:SS` in ns since the epoch. Digits are checked by hand: int() would take "+1" and "1_0"."""
    if len(text) != 17 or text[8] != 45 or text[11] != 58 or text[14] != 58:  # '-', ':', ':'
        return None
    digits = text[:8] + text[9:11] + text[12:14] + text[15:]
    if not digits.isdigit():
        return None
    hour, minute, second = int(text[9:11]), int(text[12:14]), int(text[15:])
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:8])).toordinal() - EPOCH_ORDINAL
    except ValueError:
        return None
    return ((day * 24 + hour) * 3600 + minute * 60 + second) * SECOND
