"""Commands and events that hypothesis draws: anything the wire can carry, and what is likely to make sense."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from matching import wire
from matching.commands import (
    CancelOrder,
    CancelSession,
    Command,
    Conditions,
    Continue,
    DefineInstrument,
    DefineSession,
    EndDay,
    NewOrder,
    ReplaceOrder,
    SetTradingState,
    SourceLost,
    StartDay,
)
from matching.events import OrderTerms

_WIDTHS = {"B": 8, "H": 16, "I": 32, "Q": 64}


def _values(code: str) -> st.SearchStrategy[Any]:
    if code.endswith("s"):
        # Text is padded with NUL, so it cannot end in one.
        return st.binary(max_size=int(code[:-1])).map(lambda text: text.rstrip(b"\0"))
    if code == "{conditions}":
        return st.none() | _of(Conditions, wire.CONDITIONS_LAYOUT)
    if code == "q":
        return st.integers(-(1 << 63), (1 << 63) - 1)
    return st.integers(0, (1 << _WIDTHS[code]) - 1)


def _of(cls: type[Struct], layout: str) -> st.SearchStrategy[Any]:
    """Any value of a class that its layout can carry."""
    codes = wire.codes(layout)
    terms = _of(OrderTerms, wire.TERMS_LAYOUT) if "{terms}" in codes else st.none()
    return st.builds(cls, *(terms if code == "{terms}" else _values(code) for code in codes))


def of_kind(kind: int) -> st.SearchStrategy[Any]:
    """Any command or event of a kind."""
    return _of(*wire.LAYOUTS[kind])


any_command = st.one_of([of_kind(kind) for kind in wire.LAYOUTS if kind < wire.FIRST_EVENT_KIND])

_ids = st.integers(1, 12).map(lambda number: b"x%d" % number)
_figures: tuple[st.SearchStrategy[int], ...] = (st.integers(0, 6).map(lambda step: step * 50), st.integers(0, 6))
_shape = st.integers(1, 3), st.integers(1, 3), st.sampled_from([0, 0, 0, 1, 3, 4])
_expiry = st.sampled_from([0, 0, 0, 5])


def _known(make: Callable[..., Command], *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Command]:
    return st.builds(make, *arguments)


_participant, _instrument, _order_id = (
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 6).map(lambda n: n | 1 << 48),
)

#: Commands about few participants, instruments, days and ClOrdIDs, so that they meet each other.
likely_command: st.SearchStrategy[Command] = st.one_of(
    _known(NewOrder, _participant, _instrument, *_shape, *_figures, _expiry, _ids, st.just(b"")),
    _known(NewOrder, _participant, _instrument, *_shape, *_figures, _expiry, _ids, st.just(b"")),
    _known(CancelOrder, _participant, _instrument, _shape[0], _order_id, _expiry, _ids, _ids),
    _known(ReplaceOrder, _participant, _instrument, *_shape, *_figures, _order_id, _expiry, _ids, _ids, st.just(b"")),
    st.builds(StartDay, st.integers(1, 4), st.just(b"S000000001"), st.just(0)),
    st.builds(EndDay, st.integers(1, 4)),
    st.builds(
        DefineInstrument, _instrument, st.sampled_from([b"A", b"B"]), st.sampled_from([1, 50]), st.just(1), st.just(1)
    ),
    st.builds(SetTradingState, _instrument, st.sampled_from(b"THX"), st.just(b"")),
    st.just(Continue()),
    st.builds(DefineSession, st.sampled_from([10, 11, 20, 21]), _participant, st.integers(1, 2), st.integers(0, 2)),
    st.one_of(st.builds(SourceLost, st.integers(1, 2)), st.builds(CancelSession, st.sampled_from([10, 11, 20]))),
)
