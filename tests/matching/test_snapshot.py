"""A snapshot is the whole state: what is restored from it is, says and does the same as what wrote it."""

import inspect
import struct
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching import book, cl_ord_ids, instruments, mass_cancel, order, outcomes, state
from matching.cl_ord_ids import ClOrdIds
from matching.commands import (
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
    SourceLost,
    StartDay,
)
from matching.engine import Engine
from matching.events import Event
from matching.shard import Shard
from matching.snapshot import _FIGURES, _WORKS, VERSION, _body
from tests.matching.graph import fields, graph
from tests.matching.strategies import SECOND, likely_command
from tests.matching.test_shard import play, random_calls

OPENING: list[Command] = [
    DefineInstrument(1, b"A", 50, 1, 1),
    DefineInstrument(2, b"B", 50, 1, 1),
    DefineSession(11, 1, 7, 1),
    DefineSession(20, 2, 7, 1),
    StartDay(1, b"S", 0),
]

#: (command, how much later than the last one, where it comes from, whether its work is finished before the next one).
said = st.lists(
    st.tuples(
        likely_command,
        st.sampled_from([0, 0, 1, SECOND // 2, SECOND, 3 * SECOND]),
        st.integers(0, 9),
        st.sampled_from([True, True, True, False]),
    ),
    max_size=60,
)
bounds = st.sampled_from([7, 8, 128])


def session_of(command: Command, origin: int) -> int:
    """Sessions 10, 11, 20, 21, … by participant; one time in ten a session that is another participant's too, or the
    operator's."""
    if not isinstance(command, NewOrder | CancelOrder | ReplaceOrder | MassCancel) or origin == 1:
        return 0
    return 10 if origin == 0 else command.participant_id * 10 + origin % 2


def tell(engine: Engine, said: list[Any], now: int = 0) -> tuple[list[Event], int]:
    """What an engine says to commands, and what time it is then."""
    events: list[Event] = []
    for command, later, origin, finishes in said:
        now += later
        events += engine.apply(command, now, session_of(command, origin))
        while finishes and engine.pending:
            events += engine.apply(Continue(), now, 0)
    return events, now


def engine_of(max_events: int) -> Engine:
    engine = Engine(1, max_events)
    for command in OPENING:
        engine.apply(command, 0, 0)
    return engine


def restored(engine: Engine, max_events: int) -> Engine:
    fresh = Engine(1, max_events)
    fresh.restore(engine.snapshot())
    return fresh


def same(one: Engine, other: Engine) -> None:
    assert graph(one._state) == graph(other._state)
    assert one.snapshot() == other.snapshot()
    assert one.digest() == other.digest()


@given(said, said, bounds)
def test_restored_at_any_point_an_engine_is_and_does_what_the_first_one_is_and_does(
    before: list[Any], after: list[Any], max_events: int
) -> None:
    first = engine_of(max_events)
    _, now = tell(first, before)
    copy = restored(first, max_events)
    same(first, copy)
    assert tell(first, after, now) == tell(copy, after, now)
    same(first, copy)
    same(copy, restored(copy, max_events))


@pytest.mark.parametrize("cut", range(0, 700, 41))
def test_days_that_were_cut_anywhere_end_in_the_same_bytes(cut: int) -> None:
    calls = random_calls(11, 200)
    first, second = Shard(1), Shard(1)
    play(first, calls[:cut])
    second.restore(first.snapshot())
    assert play(first, calls[cut:]) == play(second, calls[cut:])
    assert first.snapshot() == second.snapshot()
    assert first.digest() == second.digest()


def full(max_events: int = 8) -> Engine:
    """An engine that has orders, trades and closed orders."""
    engine = engine_of(max_events)
    fill(engine)
    return engine


def fill(engine: Engine) -> None:
    for number in range(20):
        engine.apply(NewOrder(1 + number % 2, 1, 2, 2, 0, 100, 1, 0, b"s%d" % number, b"ACC"), 3, 11)
    engine.apply(NewOrder(2, 1, 1, 2, 0, 100, 2, 0, b"b", b""), 4, 20)


def over_night(max_events: int = 8) -> Engine:
    """An engine that has something of everything, but work."""
    engine = engine_of(max_events)
    good_till_date = Conditions(expire_at=1 << 60)
    calls: list[Command] = [
        DefineRules(1, 500, 500, 500, 50, 10_000, SECOND, SECOND),
        DefineTick(1, 1_000, 100),
        NewOrder(3, 1, 1, 2, 6, 50, 2, 0, b"gtd", b"", good_till_date),
        EndDay(1),
        StartDay(2, b"S", 0),
        SchedulePhase(0, 4, 1 << 60),
        DefineParticipant(3, 7, 2),
        SetEntryBlock(4, 0, 1),
        SetCircuitBreaker(3, 2, 1),
    ]
    tell(engine, [(command, 0, 3, True) for command in calls])
    fill(engine)
    return engine


def sweep(engine: Engine) -> None:
    engine.apply(NewOrder(2, 1, 1, 2, 0, 100, 15, 0, b"c", b""), 5, 20)


def listing(engine: Engine) -> None:
    engine.apply(EndDay(1), 0, 0)
    while engine.pending:
        engine.apply(Continue(), 0, 0)
    for number in range(3, 12):
        engine.apply(DefineInstrument(number, b"I%d" % number, 1, 1, 1), 0, 0)
    engine.apply(StartDay(2, b"S", 0), 0, 0)


def expiry(engine: Engine) -> None:
    engine.apply(EndDay(1), 0, 0)


def source_lost(engine: Engine) -> None:
    engine.apply(SourceLost(7), 0, 0)


def session_lost(engine: Engine) -> None:
    engine.apply(CancelSession(11), 0, 0)


@pytest.mark.parametrize("begin", [sweep, listing, expiry, source_lost, session_lost])
def test_work_that_is_pending_goes_on_where_it_stood(begin: Any) -> None:
    first = full()
    begin(first)
    assert first.pending
    second = restored(first, 8)
    same(first, second)
    while first.pending:
        assert first.apply(Continue(), 9, 0) == second.apply(Continue(), 9, 0)
        same(first, second)


def test_who_looks_at_few_orders_at_a_time_goes_on_where_it_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = full(128)
    said = at_once.apply(SourceLost(7), 0, 0)
    assert not at_once.pending
    monkeypatch.setattr(mass_cancel, "MAX_LOOKED_AT", 3)
    first = full(128)
    told = first.apply(SourceLost(7), 0, 0)
    assert first.pending
    while first.pending:
        second = restored(first, 128)
        same(first, second)
        events = first.apply(Continue(), 9, 0)
        assert second.apply(Continue(), 9, 0) == events
        same(first, second)
        told += events
    assert told == said
    same(first, at_once)


# --- nothing is left out ----------------------------------------------------------------------------------------------


def test_each_field_of_the_state_is_one_that_the_snapshot_is_known_to_hold() -> None:
    """A new field fails here: let `snapshot` write and read it (or make it anew), then name it here."""
    modules = (state, outcomes, order, book, instruments, cl_ord_ids)
    classes = {
        cls
        for module in modules
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__
    }
    found = {cls.__name__: " ".join(fields(cls)) for cls in classes}
    assert found == {
        "Advancing": "left until",
        "BookSide": "best far hidden levels near opposite pages sign",
        "Cancellation": "after asked_by canceled cl_ord_id instrument_id participant_id reason session_ids side",
        "Cascade": "highest instrument_id lowest",
        "ClOrdIds": "others rows",
        "ClosedOrder": "terms status cum_qty cum_notional",
        "Expiry": "ids next_order_id until",
        "Instrument": "banded book calm collar definition elected ends_at extension indicates_at last_price lot_size "
        "parked pegs phase protected reference_price rules scheduled_at scheduled_phase stops tick_size ticks",
        "Instruments": "_ids by_id",
        "Joining": "instrument_id next_order_id",
        "Listing": "ids started_at",
        "Moving": "ids phase reason",
        "Order": "ahead behind cl_ord_id cum_notional cum_qty displayed_qty hidden_qty level order_id order_ref "
        "session terms",
        "OrderBook": "asks bids",
        "Participant": "avoided_group self_match self_match_group seq sessions trades",
        "PriceLevel": "first hidden key last price quantity rank side",
        "Renewal": "ids next_order_id",
        "Row": "highest names order_ids",
        "Session": "blocked cl_ord_ids orders participant participant_id",
        "State": "accepted blocks carried day definitions due former garbage instruments last_day last_match_number "
        "last_order_id last_order_ref levels market_is_open max_events participants schedule sessions work",
        "Sweep": "best_ask best_bid cum_notional cum_qty first_price last_price leaves_qty limit session terms",
        "Trade": "match_number timestamp price quantity resting incoming auction busted",
        "Uncross": "cross_type instrument_id open_qty phase price reason stage total",
    }


def test_each_field_of_work_is_written() -> None:
    written = {cls: {field.partition(":")[0] for field in written.split()} for cls, written in _WORKS.values()}
    assert written == {cls: set(fields(cls)) for cls in get_args(state.Work)}


def test_each_figure_of_an_instrument_is_in_the_digest() -> None:
    engine = over_night()
    for name in ("collar", "rules", "ticks", *_FIGURES):
        instrument = restored(engine, 8)._state.instruments.by_id[1]
        assert getattr(instrument, name) == getattr(engine._state.instruments.by_id[1], name)
        other = restored(engine, 8)
        changed: dict[str, Any] = {"collar": (3, 2, 4), "rules": None, "ticks": ()}
        setattr(other._state.instruments.by_id[1], name, changed.get(name, 7))
        assert other.digest() != engine.digest(), name


@pytest.mark.parametrize("field", [name for name in fields(state.State) if name not in ("max_events", "garbage")])
def test_a_state_that_lost_a_field_is_seen_to_differ(field: str) -> None:
    engine = over_night()
    sweep(engine)
    engine._state.session(11, 3)
    other = restored(engine, 8)
    setattr(other._state, field, getattr(Engine(1, 8)._state, field))
    assert graph(other._state) != graph(engine._state)
    if field not in ("accepted", "carried", "last_order_id", "participants"):  # without which others cannot be written
        assert other.digest() != engine.digest()


def test_an_order_that_has_more_to_trade_is_not_written_as_a_closed_one() -> None:
    """Its name stands among the ClOrdIDs all the same, with its id."""
    engine = full()
    sweep(engine)
    [work] = engine._state.sweeps()
    body = _body(engine._state)
    assert work.terms.order_id not in [body.terms[place].order_id for place in body.closed[0]]
    names, numbers = next(entries for session_id, _, entries in body.sessions if session_id == 20)
    assert numbers[names.index(b"c")] == work.terms.order_id


def test_trades_and_closed_orders_are_in_the_digest() -> None:
    engine = full()
    digests = {engine.digest()}
    for trader in engine._state.participants.values():
        trader.trades.pop()
    digests.add(engine.digest())
    engine._state.sessions[20].cl_ord_ids = ClOrdIds()
    digests.add(engine.digest())
    assert len(digests) == 3


def test_what_was_forgotten_is_freed_bit_by_bit_and_is_no_state() -> None:
    engine = full(128)
    engine.apply(EndDay(1), 0, 0)
    engine.apply(StartDay(2, b"S", 0), 0, 0)
    other = restored(engine, 128)
    garbage = engine._state.garbage
    assert sum(map(len, garbage)) > 30
    while garbage:
        before = sum(map(len, garbage))
        engine.apply(CancelSession(99), 0, 0)
        assert before - state.FREED_PER_COMMAND <= sum(map(len, garbage))
        same(engine, other)
    engine.apply(CancelSession(99), 0, 0)


# --- what is no snapshot ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"", "0 bytes that begin with b'' are no snapshot of an engine"),
        (b"FIXGWENG", "8 bytes that begin with b'FIXGWENG' are no snapshot"),
        (struct.pack(">8sHHI", b"FIXGWENX", VERSION, 1, 128), "b'FIXGWENX' are no snapshot"),
        (
            struct.pack(">8sHHI", b"FIXGWENG", VERSION + 1, 1, 128),
            f"version {VERSION + 1}, this engine reads ",
        ),
        (struct.pack(">8sHHI", b"FIXGWENG", VERSION, 2, 128), "is of shard 2, this is shard 1"),
        (struct.pack(">8sHHI", b"FIXGWENG", VERSION, 1, 64), "at most 64 events, this engine's 128"),
        (struct.pack(">8sHHI", b"FIXGWENG", VERSION, 1, 128), "the snapshot of shard 1 is damaged"),
        (struct.pack(">8sHHI", b"FIXGWENG", VERSION, 1, 128) + b"\xc0", "the snapshot of shard 1 is damaged"),
    ],
)
def test_bytes_that_are_no_snapshot_of_this_shard_are_refused_with_the_reason(header: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Shard(1).restore(header)


@given(st.data())
def test_whatever_is_done_to_a_snapshot_it_is_refused_or_restores_a_state(data: Any) -> None:
    engine = full()
    sweep(engine)
    whole = bytearray(engine.snapshot())
    shard = Engine(1, 8)
    before = graph(shard._state)
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(16, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))])
    try:
        shard.restore(cut)
    except ValueError:
        assert graph(shard._state) == before


def test_a_snapshot_that_was_cut_short_or_has_more_is_refused() -> None:
    whole = full(128).snapshot()
    for wrong in (whole[:-1], whole + b"\0"):
        with pytest.raises(ValueError, match="damaged"):
            Engine(1).restore(wrong)
