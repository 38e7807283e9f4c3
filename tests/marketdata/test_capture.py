"""BinaryFILE records, and their reading by an independent parser."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itch.parser import MessageParser

from marketdata import capture, itch

DAY = [
    itch.encode(itch.SystemEvent(0, 0, 1, b"O")),
    itch.encode(itch.AddOrder(1, 0, 2, 77, b"B", 100, b"AAPL    ", 1_000_000)),
    itch.encode(itch.OrderDelete(1, 0, 3, 77)),
]


@given(st.lists(st.binary(min_size=1, max_size=300)))
def test_round_trip(messages: list[bytes]) -> None:
    file = io.BytesIO()
    capture.write_messages(file, messages)
    file.seek(0)
    assert list(capture.read_messages(file)) == messages


def test_an_independent_reader_reads_our_file() -> None:
    file = io.BytesIO()
    capture.write_messages(file, DAY)
    parsed = MessageParser().parse_stream(file.getvalue())
    assert [message.to_bytes() for message in parsed] == DAY


def test_an_end_marker_is_read_but_never_written() -> None:
    assert list(capture.read_messages(io.BytesIO(b"\x00\x01a\x00\x00\x00\x01b"))) == [b"a"]
    with pytest.raises(AssertionError):
        capture.encode_record(b"")


@pytest.mark.parametrize("tail", [b"\x00", b"\x00\x02", b"\x00\x02x"])
def test_a_file_that_ends_within_a_record_says_where(tail: bytes) -> None:
    messages = capture.read_messages(io.BytesIO(capture.encode_record(b"whole") + tail))
    assert next(messages) == b"whole"
    with pytest.raises(capture.CaptureError) as caught:
        next(messages)
    assert caught.value.offset == 7
