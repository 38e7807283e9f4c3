"""Mass cancels and the kill switch: whose orders go, in which order, and who is told what."""

import pytest

from matching import mass_cancel
from matching.codes import CancelReason, Peg, RefusalReason, RejectReason
from matching.commands import (
    CancelOrder,
    CancelSession,
    Command,
    Conditions,
    DefineSession,
    MassCancel,
    ReplaceOrder,
    SetEntryBlock,
    SetPhase,
)
from matching.engine import Engine
from matching.events import (
    CancelRejected,
    CommandRefused,
    EntryBlockChanged,
    Event,
    MassCancelDone,
    MassCancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExecuted,
    OrderRejected,
)
from tests.matching.market import ATC, BUY, MARKET, PEGGED, PRICE, SELL, STOP, open_names, opened, order, say


def full() -> Engine:
    """Orders of every kind, of participant 1 in sessions 10 and 11 and of participant 2."""
    engine = opened()
    order(engine, "bid", BUY, 5)
    order(engine, "ask", SELL, 5, PRICE + 100)
    order(engine, "other", BUY, 5, session_id=11, instrument_id=2)
    order(engine, "stop", BUY, 5, 0, ord_type=STOP, conditions=Conditions(stop_price=PRICE + 500))
    order(engine, "late", SELL, 5, 0, session_id=11, ord_type=MARKET, time_in_force=ATC)
    order(engine, "peg", BUY, 5, 0, ord_type=PEGGED, conditions=Conditions(peg=Peg.PRIMARY))
    order(engine, "theirs", BUY, 5, who=2)
    return engine


def canceled(events: list[Event]) -> list[str]:
    return [each.terms.cl_ord_id.decode() for each in events if isinstance(each, OrderCanceled)]


@pytest.mark.parametrize(
    ("target", "instrument_id", "side", "gone"),
    [
        (0, 0, 0, ["bid", "ask", "other", "stop", "late", "peg"]),
        (10, 0, 0, ["bid", "ask", "stop", "peg"]),
        (11, 0, 0, ["other", "late"]),
        (0, 1, 0, ["bid", "ask", "stop", "late", "peg"]),
        (0, 2, 0, ["other"]),
        (0, 0, SELL, ["ask", "late"]),
        (10, 1, BUY, ["bid", "stop", "peg"]),
        (11, 2, SELL, []),
    ],
)
def test_a_session_cancels_its_participants_orders_by_session_instrument_and_side(
    target: int, instrument_id: int, side: int, gone: list[str]
) -> None:
    engine = full()
    before = set(open_names(engine))
    *events, done = say(engine, MassCancel(1, target, instrument_id, side, b"mc"), 11)
    assert canceled(events) == gone
    assert len(events) == len(gone)
    assert all(isinstance(each, OrderCanceled) and each.reason == CancelReason.MASS_CANCEL for each in events)
    assert isinstance(done, MassCancelDone)
    assert (done.participant_id, done.session_id, done.cl_ord_id, done.canceled) == (1, 11, b"mc", len(gone))
    assert (done.target_session_id, done.instrument_id, done.side) == (target, instrument_id, side)
    seqs = [each.participant_seq for each in events if isinstance(each, OrderCanceled)]
    assert [*seqs, done.participant_seq] == list(range(7, 8 + len(gone))), "one number each, without a hole"
    assert set(open_names(engine)) == before - set(gone)


def test_the_operator_cancels_anybodys_orders_and_is_told_without_a_number() -> None:
    engine = full()
    *events, done = say(engine, MassCancel(0, 0, 1, BUY, b""))
    assert canceled(events) == ["bid", "stop", "peg", "theirs"]
    assert {each.reason for each in events if isinstance(each, OrderCanceled)} == {CancelReason.OPERATOR}
    assert done == MassCancelDone(0, 0, 0, b"", 0, 1, BUY, 4)
    *_, done = say(engine, MassCancel(2, 0, 0, 0, b"x"))
    assert done == MassCancelDone(2, 0, 0, b"x", 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (MassCancel(1, 20, 0, 0, b"mc"), RejectReason.TERMS_MISMATCH),
        (MassCancel(1, 12, 0, 0, b"mc"), RejectReason.TERMS_MISMATCH),
        (MassCancel(1, 0, 3, 0, b"mc"), RejectReason.UNKNOWN_INSTRUMENT),
        (MassCancel(1, 0, 0, 3, b"mc"), RejectReason.UNSUPPORTED_SIDE),
    ],
)
def test_a_request_that_names_what_is_not_there_is_rejected(command: MassCancel, reason: RejectReason) -> None:
    engine = full()
    where = command.target_session_id, command.instrument_id, command.side
    assert say(engine, command, 10) == [MassCancelRejected(1, 10, 7, b"mc", *where, reason)]
    assert len(open_names(engine)) == 7
    assert say(engine, command) == [MassCancelRejected(1, 0, 0, b"mc", *where, reason)]


def test_a_session_that_names_nobody_does_not_cancel_everybodys_orders() -> None:
    engine = full()
    rejected = MassCancelRejected(0, 10, 1, b"mc", 0, 0, 0, RejectReason.TERMS_MISMATCH)
    assert say(engine, MassCancel(0, 0, 0, 0, b"mc"), 10) == [rejected]
    assert len(open_names(engine)) == 7


def test_a_session_that_was_defined_and_never_came_is_the_participants() -> None:
    engine = full()
    say(engine, DefineSession(12, 1, 1, 0))
    assert say(engine, MassCancel(1, 12, 0, 0, b"mc"), 10) == [MassCancelDone(1, 10, 7, b"mc", 12, 0, 0, 0)]


@pytest.mark.parametrize("max_events", [8, 128])
@pytest.mark.parametrize("looked_at", [3, 4096])
def test_many_orders_go_in_as_many_transactions_as_it_takes(
    monkeypatch: pytest.MonkeyPatch, max_events: int, looked_at: int
) -> None:
    monkeypatch.setattr(mass_cancel, "MAX_LOOKED_AT", looked_at)
    engine = opened(max_events)
    for number in range(40):
        order(engine, f"o{number}", BUY, 1, who=1 + number % 2)
    events = engine.apply(MassCancel(1, 0, 0, 0, b"mc"), 0, 10)
    assert len(events) <= max_events
    assert engine.pending == (max_events == 8 or looked_at == 3)
    events += say(engine, CancelSession(99))[1:] if not engine.pending else rest_of(engine)
    assert canceled(events) == [f"o{number}" for number in range(0, 40, 2)]
    assert isinstance(events[-1], MassCancelDone)
    assert events[-1].canceled == 20


def rest_of(engine: Engine) -> list[Event]:
    """What pending work has yet to say; whatever else is asked meanwhile is refused."""
    refused, *events = say(engine, MassCancel(2, 0, 0, 0, b"mc"), 20)
    assert refused == CommandRefused(34, RefusalReason.OTHER_WORK_PENDING)
    return events


def test_pegged_orders_meet_when_what_kept_them_apart_is_canceled() -> None:
    engine = opened()
    order(engine, "bid", BUY, 1, PRICE)
    order(engine, "low", BUY, 1, PRICE - 300, who=2)
    order(engine, "ask", SELL, 1, PRICE + 100, who=2)
    middle = Conditions(peg=Peg.MIDPOINT)
    order(engine, "above", SELL, 1, 0, who=2, ord_type=PEGGED, conditions=middle)
    limited = order(engine, "below", BUY, 1, PRICE, who=3, ord_type=PEGGED, conditions=middle)
    assert not any(isinstance(each, OrderExecuted) for each in limited), "it pays less than the middle"
    events = say(engine, MassCancel(1, 0, 0, 0, b"mc"), 10)
    [sale] = [each for each in events if isinstance(each, OrderExecuted)]
    assert (sale.price, sale.quantity) == (PRICE - 100, 1)
    assert isinstance(events[1], MassCancelDone), "who asked is told before others trade"


# --- the kill switch --------------------------------------------------------------------------------------------------


def test_a_blocked_participant_loses_its_orders_and_enters_none_until_it_is_lifted() -> None:
    engine = full()
    first, *events = say(engine, SetEntryBlock(1, 0, 1))
    assert first == EntryBlockChanged(1, 0, 1)
    assert canceled(events) == ["bid", "ask", "other", "stop", "late", "peg"]
    assert {each.reason for each in events if isinstance(each, OrderCanceled)} == {CancelReason.KILL_SWITCH}
    assert engine.blocks() == [(1, 0)]
    for session_id in (10, 11, 19):
        [rejected] = order(engine, "n", BUY, 1, session_id=session_id)
        assert isinstance(rejected, OrderRejected)
        assert rejected.reason == RejectReason.ENTRY_BLOCKED
    assert isinstance(order(engine, "n", BUY, 1, who=2)[0], OrderAccepted)
    assert say(engine, SetEntryBlock(1, 0, 0)) == [EntryBlockChanged(1, 0, 0)]
    assert isinstance(order(engine, "n", BUY, 1)[0], OrderAccepted)


def test_a_blocked_session_is_blocked_alone_and_each_block_is_lifted_by_itself() -> None:
    engine = full()
    assert canceled(say(engine, SetEntryBlock(1, 11, 1))) == ["other", "late"]
    say(engine, SetEntryBlock(1, 0, 1))
    say(engine, SetEntryBlock(1, 0, 0))
    assert isinstance(order(engine, "n", BUY, 1, session_id=10)[0], OrderAccepted)
    assert isinstance(order(engine, "n", BUY, 1, session_id=11)[0], OrderRejected)
    say(engine, SetEntryBlock(1, 11, 0))
    assert isinstance(order(engine, "n", BUY, 1, session_id=11)[0], OrderAccepted)


def test_who_is_blocked_may_cancel_and_not_replace() -> None:
    engine = full()
    engine._state.blocks.add((1, 0))  # without the cancels
    engine._state.sessions[10].blocked = True
    replace = ReplaceOrder(1, 1, BUY, 2, 0, PRICE, 4, 0, 0, b"r", b"bid", b"")
    [rejected] = say(engine, replace, 10)
    assert isinstance(rejected, CancelRejected)
    assert rejected.reason == RejectReason.ENTRY_BLOCKED
    assert canceled(say(engine, CancelOrder(1, 1, BUY, 0, 0, b"c", b"bid"), 10)) == ["bid"]


@pytest.mark.parametrize("command", [SetEntryBlock(0, 10, 1), SetEntryBlock(1, 0, 2)])
def test_a_block_that_makes_no_sense_is_refused(command: Command) -> None:
    engine = full()
    assert say(engine, command) == [CommandRefused(35, RefusalReason.BAD_PARTICIPANT)]
    assert len(open_names(engine)) == 7


def test_cancels_are_taken_in_every_phase() -> None:
    for phase in range(10):
        engine = full()
        say(engine, SetPhase(0, phase, b""))
        gone = canceled(say(engine, MassCancel(1, 0, 0, 0, b"mc"), 10))
        assert {"bid", "stop"} <= set(gone), phase
