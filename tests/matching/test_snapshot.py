"""A snapshot is the whole state: what is restored from it is, says and does the same as what wrote it."""

import inspect
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from matching import book, instruments, mass_cancel, order, state
from matching.commands import (
    CancelSession,
    Command,
    Continue,
    DefineInstrument,
    DefineSession,
    EndDay,
    NewOrder,
    SourceLost,
    StartDay,
)
from matching.engine import Engine
from matching.shard import Shard
from matching.snapshot import VERSION
from tests.matching.graph import graph
from tests.matching.strategies import likely_command
from tests.matching.test_shard import play, random_calls

OPENING: list[Command] = [
    DefineInstrument(1, b"A", 50, 1, 1),
    DefineInstrument(2, b"B", 50, 1, 1),
    DefineSession(11, 1, 7, 1),
    DefineSession(20, 2, 7, 1),
    StartDay(1, b"S", 0),
]

#: (command, timestamp, whether it comes from the participant's second session, whether from another's).
said = st.lists(st.tuples(likely_command, st.integers(0, 10), st.booleans(), st.integers(0, 9)), max_size=60)
bounds = st.sampled_from([7, 8, 128])


def session_of(command: Command, second: bool, other: int) -> int:
    """Sessions 10, 11, 20, 21, … by participant; one time in ten a session that is another participant's too."""
    participant_id = getattr(command, "participant_id", 0)
    if not participant_id or isinstance(command, DefineSession):
        return 0
    return 10 if other == 0 else participant_id * 10 + second


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
    for command, now, second, other in before:
        first.apply(command, now, session_of(command, second, other))
    copy = restored(first, max_events)
    same(first, copy)
    for command, now, second, other in after:
        session_id = session_of(command, second, other)
        assert first.apply(command, now, session_id) == copy.apply(command, now, session_id)
    same(first, copy)
    same(copy, restored(copy, max_events))


@pytest.mark.parametrize("cut", range(0, 700, 41))
def test_a_day_that_was_cut_anywhere_ends_in_the_same_bytes(cut: int) -> None:
    calls = random_calls(11, 600)
    first, second = Shard(1), Shard(1)
    play(first, calls[:cut])
    second.restore(first.snapshot())
    assert play(first, calls[cut:]) == play(second, calls[cut:])
    assert first.snapshot() == second.snapshot()
    assert first.digest() == second.digest()


def full(max_events: int = 8) -> Engine:
    """An engine that has something of everything but work."""
    engine = engine_of(max_events)
    for number in range(20):
        engine.apply(NewOrder(1 + number % 2, 1, 2, 2, 0, 100, 1, 0, b"s%d" % number, b"ACC"), 3, 11)
    engine.apply(NewOrder(2, 1, 1, 2, 0, 100, 2, 0, b"b", b""), 4, 20)
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
    modules = (state, order, book, instruments)
    classes = {
        cls
        for module in modules
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__
    }
    found = {
        cls.__name__: " ".join(cls.__struct_fields__ if issubclass(cls, Struct) else sorted(cls.__slots__))  # type: ignore[attr-defined]
        for cls in classes
    }
    assert found == {
        "BookSide": "best levels opposite others sign",
        "Cancellation": "after reason session_ids",
        "ClosedOrder": "terms status cum_qty cum_notional",
        "Expiry": "ids",
        "Instrument": "book definition lot_size state tick_size",
        "Instruments": "_ids by_id",
        "Listing": "ids",
        "Order": "ahead behind cum_notional cum_qty leaves_qty level order_ref session terms",
        "OrderBook": "asks bids",
        "Participant": "avoided_group orders self_match self_match_group seq trades",
        "PriceLevel": "first last price quantity rank side",
        "Session": "blocked cl_ord_ids participant participant_id",
        "State": "accepted blocks day definitions former garbage instruments last_day last_match_number last_order_id "
        "last_order_ref max_events participants sessions work",
        "Sweep": "cum_notional cum_qty leaves_qty session terms",
        "Trade": "match_number timestamp price quantity resting incoming",
    }


@pytest.mark.parametrize("field", [name for name in state.State.__slots__ if name not in ("max_events", "garbage")])
def test_a_state_that_lost_a_field_is_seen_to_differ(field: str) -> None:
    engine = full()
    sweep(engine)
    engine.apply(NewOrder(3, 1, 1, 2, 0, 100, 1, 0, b"z", b""), 0, 11)
    engine._state.former[11, 3] = engine._state.sessions[11]
    engine._state.blocks.add((4, 0))
    other = restored(engine, 8)
    setattr(other._state, field, getattr(Engine(1, 8)._state, field))
    assert graph(other._state) != graph(engine._state)
    if field != "participants":  # without which the others cannot be written
        assert other.digest() != engine.digest()


def test_trades_and_closed_orders_are_in_the_digest() -> None:
    engine = full()
    digests = {engine.digest()}
    for trader in engine._state.participants.values():
        trader.trades.pop()
    digests.add(engine.digest())
    engine._state.sessions[20].cl_ord_ids.popitem()
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
