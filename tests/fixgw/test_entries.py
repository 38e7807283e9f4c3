"""A gateway's journal entries: what is written is read, and what was not written by us is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixgw import entries
from fixgw.entries import (
    Entry,
    EntryError,
    Forwarded,
    Incarnation,
    Outbound,
    PhaseHeard,
    SessionNumbers,
    StreamFork,
    StreamPosition,
)

U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
ENTRIES = st.one_of(
    st.builds(Incarnation, U32),
    st.builds(SessionNumbers, U32, U32, U32, U32),
    st.builds(Forwarded, U16, U64, U32, U64, st.integers(0, 255), st.binary(max_size=300)),
    st.builds(Outbound, U32, U32, U32, st.binary(max_size=300)),
    st.builds(StreamPosition, U16, U64, U32, U32, U64, U64, U64),
    st.builds(StreamFork, U16, U64, U64),
    st.builds(PhaseHeard, U16, U32, st.none() | st.integers(0, 254)),
)


@given(st.lists(ENTRIES))
def test_what_is_written_is_read(row: list[Entry]) -> None:
    payload = b"".join(entry.encode() for entry in row)
    assert list(entries.decode(payload)) == row


@given(st.lists(ENTRIES, min_size=1), st.data())
def test_a_record_cut_short_is_named(row: list[Entry], data: st.DataObject) -> None:
    last = row[-1].encode()
    cut = data.draw(st.integers(1, len(last) - 1))
    payload = b"".join(entry.encode() for entry in row[:-1]) + last[:cut]
    with pytest.raises(EntryError, match="entry"):
        list(entries.decode(payload))


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(EntryError, match="entry at offset 5 has the unknown type 99"):
        list(entries.decode(Incarnation(1).encode() + b"\x63"))


def test_positions_and_forks_of_journals_that_knew_no_trades() -> None:
    position = StreamPosition(1, 2, 3, 4, 5, 6)
    old_position = b"\x05" + position.encode()[1:-8]
    assert list(entries.decode(old_position + b"\x06" + StreamFork(1, 2).encode()[1:-8])) == [
        position,
        StreamFork(1, 2),
    ]
