"""Commands and events that hypothesis draws: anything the wire can carry, and what is likely to make sense."""

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from matching import wire
from matching.codes import OrdType, Peg, Phase, TimeInForce
from matching.commands import (
    Advance,
    BreachCircuitBreaker,
    BustTrade,
    CancelOrder,
    CancelSession,
    Command,
    Conditions,
    Continue,
    DefineInstrument,
    DefineParticipant,
    DefineRules,
    DefineSession,
    DefineTick,
    EndDay,
    MassCancel,
    NewOrder,
    ReplaceOrder,
    SchedulePhase,
    SetCircuitBreaker,
    SetEntryBlock,
    SetPhase,
    SetReferencePrice,
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

SECOND = 1_000_000_000

_known = st.builds
_ids = st.integers(1, 12).map(lambda number: b"x%d" % number)
_participant, _instrument = st.integers(1, 3), st.integers(1, 3)
_session = st.sampled_from([0, 0, 10, 11, 20, 30])
_order_id = st.integers(0, 6).map(lambda n: n | 1 << 48)
_price = st.integers(0, 6).map(lambda step: step * 50)
_quantity = st.integers(0, 6)
_side = st.sampled_from([1, 1, 1, 2, 2, 2, 3])
_expiry = st.sampled_from([0, 0, 0, 0, 0, 5, 4 * SECOND])
#: Half seconds, so that schedules, auctions and dates come due between the commands.
_time = st.integers(0, 24).map(lambda halves: halves * SECOND // 2)
_phase = st.sampled_from([int(phase) for phase in Phase] + [10])
_call_phase = st.sampled_from([1, 2, 2, 4, 7, 8, 9])
_reason = st.sampled_from([b"", b"T1"])

_types = st.sampled_from([int(each) for each in OrdType] + [2] * 6 + [1, 7])
_times_in_force = st.sampled_from([int(each) for each in TimeInForce] + [0] * 4 + [1, 1, 5])
_shape = _side, _types, _times_in_force

#: Every field of it likely to be wrong or right, as an order of its kind would have it.
_conditions = st.one_of(
    st.none(),
    st.none(),
    _known(Conditions, stop_price=_price, expire_at=_time),
    _known(Conditions, display_qty=_quantity, expire_at=_time),
    _known(Conditions, min_qty=_quantity, exec_inst=st.sampled_from([0, 6, 7])),
    _known(Conditions, peg=st.sampled_from(b"RPM"), peg_offset=st.integers(-2, 2).map(lambda step: step * 50)),
    _known(
        Conditions,
        _price,
        _quantity,
        _quantity,
        st.sampled_from([0, 0, 6]),
        st.sampled_from(b"\0\0RPMx"),
        st.integers(-2, 2).map(lambda step: step * 25),
        _time,
    ),
)


def _sound(ord_type: OrdType, time_in_force: TimeInForce, price: Any, **conditions: Any) -> st.SearchStrategy[Command]:
    """New orders of one kind that nothing speaks against but the moment."""
    return _known(
        NewOrder,
        _participant,
        st.integers(1, 2),
        st.integers(1, 2),
        st.just(int(ord_type)),
        st.just(int(time_in_force)),
        price,
        st.integers(1, 6),
        st.just(0),
        _ids,
        st.just(b""),
        _known(Conditions, **conditions) if conditions else st.none(),
    )


_NONE, _LIMIT = st.just(0), st.integers(1, 6).map(lambda step: step * 50)
_PEGS = st.sampled_from([int(each) for each in Peg if each])
_OFFSETS = st.integers(-1, 1).map(lambda step: step * 50)

sound_order: st.SearchStrategy[Command] = st.one_of(
    *[_sound(OrdType.LIMIT, TimeInForce.DAY, _LIMIT)] * 5,
    *[_sound(OrdType.LIMIT, each, _LIMIT) for each in TimeInForce if each is not TimeInForce.GOOD_TILL_DATE],
    *[_sound(OrdType.MARKET, each, _NONE) for each in (TimeInForce.DAY, TimeInForce.IOC, TimeInForce.GOOD_FOR_AUCTION)],
    _sound(OrdType.LIMIT, TimeInForce.GOOD_TILL_DATE, _LIMIT, expire_at=st.integers(4, 40).map(lambda n: n * SECOND)),
    _sound(OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT, TimeInForce.GOOD_TILL_CANCEL, _NONE),
    _sound(OrdType.STOP, TimeInForce.DAY, _NONE, stop_price=_LIMIT),
    _sound(OrdType.STOP, TimeInForce.GOOD_TILL_CANCEL, _NONE, stop_price=_LIMIT),
    _sound(OrdType.STOP_LIMIT, TimeInForce.DAY, _LIMIT, stop_price=_LIMIT),
    _sound(OrdType.STOP_LIMIT, TimeInForce.FOK, _LIMIT, stop_price=_LIMIT),
    _sound(OrdType.LIMIT, TimeInForce.DAY, _LIMIT, display_qty=st.integers(1, 2)),
    _sound(OrdType.LIMIT, TimeInForce.GOOD_TILL_CANCEL, _LIMIT, display_qty=st.integers(1, 2)),
    _sound(OrdType.LIMIT, TimeInForce.DAY, _LIMIT, min_qty=st.integers(1, 4)),
    _sound(OrdType.LIMIT, TimeInForce.DAY, _LIMIT, exec_inst=st.just(6)),
    _sound(OrdType.PEGGED, TimeInForce.DAY, _NONE, peg=_PEGS),
    _sound(OrdType.PEGGED, TimeInForce.GOOD_TILL_CANCEL, _NONE, peg=_PEGS),
    _sound(OrdType.PEGGED, TimeInForce.DAY, st.one_of(_NONE, _LIMIT), peg=st.sampled_from(b"RP"), peg_offset=_OFFSETS),
)

any_order: st.SearchStrategy[Command] = _known(
    NewOrder, _participant, _instrument, *_shape, _price, _quantity, _expiry, _ids, st.just(b""), _conditions
)

request: st.SearchStrategy[Command] = st.one_of(
    _known(CancelOrder, _participant, _instrument, _side, _order_id, _expiry, _ids, _ids),
    _known(
        ReplaceOrder,
        _participant,
        st.integers(1, 2),
        *_shape,
        _price,
        _quantity,
        _order_id,
        _expiry,
        _ids,
        _ids,
        st.just(b""),
        _conditions,
    ),
    _known(MassCancel, st.integers(0, 3), _session, st.sampled_from([0, 0, 1, 2, 4]), st.integers(0, 3), _ids),
)

operation: st.SearchStrategy[Command] = st.one_of(
    _known(StartDay, st.integers(1, 4), st.just(b"S000000001"), st.just(0)),
    _known(StartDay, st.integers(2, 4), st.just(b"S000000001"), st.just(0)),
    _known(EndDay, st.integers(1, 3)),
    _known(EndDay, st.integers(1, 3)),
    _known(
        DefineInstrument, _instrument, st.sampled_from([b"A", b"B"]), st.sampled_from([1, 50]), st.just(1), st.just(1)
    ),
    _known(SetTradingState, _instrument, st.sampled_from(b"THQPX"), _reason),
    _known(DefineSession, st.sampled_from([10, 11, 20, 21]), _participant, st.integers(1, 2), st.integers(0, 2)),
    _known(SourceLost, st.integers(1, 2)),
    _known(CancelSession, st.sampled_from([10, 11, 20])),
    _known(SetEntryBlock, st.integers(0, 3), _session, st.sampled_from([0, 0, 0, 1, 2])),
    _known(BustTrade, st.integers(0, 6).map(lambda n: n | 1 << 48)),
    _known(DefineParticipant, st.integers(0, 3), st.sampled_from([0, 0, 5]), st.integers(0, 5)),
    _known(
        DefineRules,
        _instrument,
        st.sampled_from([0, 0, 2_000, 10_001]),
        st.sampled_from([0, 0, 2_000, 5_000]),
        st.sampled_from([0, 0, 5_000]),
        st.sampled_from([0, 0, 5]),
        st.sampled_from([0, 0, 1_000]),
        st.sampled_from([0, SECOND, 2 * SECOND]),
        st.sampled_from([0, 0, SECOND]),
    ),
    _known(DefineTick, _instrument, st.integers(0, 4).map(lambda step: step * 100), st.sampled_from([0, 50, 100])),
    _known(SetReferencePrice, _instrument, _price),
    _known(SetCircuitBreaker, st.sampled_from([3, 30]), st.just(2), st.just(1)),
    _known(BreachCircuitBreaker, st.integers(0, 4)),
    st.just(Continue()),
)

#: What moves the market from phase to phase.
timing: st.SearchStrategy[Command] = st.one_of(
    _known(SetPhase, st.integers(0, 3), _phase, _reason),
    _known(SetPhase, st.integers(0, 2), _call_phase, _reason),
    _known(SetPhase, st.integers(0, 2), st.just(int(Phase.CONTINUOUS)), _reason),
    _known(SetPhase, st.integers(0, 2), st.just(int(Phase.CONTINUOUS)), _reason),
    _known(SchedulePhase, st.integers(0, 3), _phase, _time),
    st.just(Advance()),
    st.just(Advance()),
    st.just(Advance()),
)

#: Commands about few participants, instruments, days and ClOrdIDs, so that they meet each other.
likely_command: st.SearchStrategy[Command] = st.one_of(
    sound_order, sound_order, sound_order, any_order, request, operation, timing
)
