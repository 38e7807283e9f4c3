"""UTCTimestamp text against the standard library's calendar."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixgw.timestamps import SECOND, format_timestamp, is_timestamp, parse_timestamp

TIMES = st.integers(0, 4_000_000_000 * SECOND)


@given(TIMES)
def test_format_is_cut_to_the_millisecond(now: int) -> None:
    text = format_timestamp(now).decode()
    expected = datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%d-%H:%M:%S")
    assert text == f"{expected}.{now % SECOND // 1_000_000:03d}"


@given(TIMES)
def test_what_is_written_is_read(now: int) -> None:
    assert parse_timestamp(format_timestamp(now)) == now - now % 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds", "nanoseconds"),
    [
        (b"19700101-00:00:00", 0, 0),
        (b"20261122-09:30:00", 1_795_339_800, 0),
        (b"20261122-09:30:00.123", 1_795_339_800, 123_000_000),
        (b"20261122-09:30:00.123456", 1_795_339_800, 123_456_000),
        (b"20261122-09:30:00.123456789", 1_795_339_800, 123_456_789),
        (b"20240229-23:59:59", 1_709_251_199, 0),
        (b"20161231-23:59:60", 1_483_228_800, 0),
    ],
)
def test_parse(text: bytes, seconds: int, nanoseconds: int) -> None:
    assert parse_timestamp(text) == seconds * SECOND + nanoseconds
    assert is_timestamp(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"yesterday",
        b"20261122",
        b"2026-11-22T09:30:00",
        b"20261122 09:30:00",
        b"20261122-9:30:00",
        b"20261122-24:00:00",
        b"20261122-09:60:00",
        b"20261122-09:30:61",
        b"20261322-09:30:00",
        b"20250229-09:30:00",
        b"00000101-09:30:00",
        b"+2026112-09:30:00",
        b"20261122-+9:30:00",
        b"20261122-09:30:00.",
        b"20261122-09:30:00.1",
        b"20261122-09:30:00,123",
        b"20261122-09:30:00.12x",
        b"20261122-09:30:00.+12",
        b"20261122-09:30:00.1234567890",
    ],
)
def test_what_is_no_timestamp(text: bytes) -> None:
    assert parse_timestamp(text) is None
    assert not is_timestamp(text)


@given(st.binary(max_size=30))
def test_any_text_is_judged_the_same(text: bytes) -> None:
    assert is_timestamp(text) == (parse_timestamp(text) is not None)
