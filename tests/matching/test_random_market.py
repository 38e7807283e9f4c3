"""Long random days: nothing raises, nothing depends on where transactions end, nobody's numbers have a hole."""

from functools import cache
from typing import get_args

import pytest

from matching.codes import CancelReason, RejectReason
from matching.commands import Continue
from matching.engine import Engine
from matching.events import (
    CancelRejected,
    Event,
    MassCancelRejected,
    OrderCanceled,
    OrderRejected,
    OrderTerms,
)
from matching.state import MAX_EVENTS_PER_TRANSACTION
from matching.wire import decode_event, encode
from tests.matching.random_market import Call, RandomMarket

SEEDS = range(20)


@cache
def calls_of(seed: int) -> list[Call]:
    return RandomMarket(seed, levels=1 + seed % 6).days(3, 120)


def told(engine: Engine, calls: list[Call], max_events: int) -> list[list[Event]]:
    """What is said to each call, in however many transactions."""
    said: list[list[Event]] = []
    for command, now, session_id in calls:
        events = engine.apply(command, now, session_id)
        continued = 0
        while engine.pending:
            part = engine.apply(Continue(), now, 0)
            assert len(part) <= max_events
            events += part
            continued += 1
            assert continued < 1_000, f"no end of {engine._state.work}"
        said.append(events)
    return said


@cache
def whole(seed: int) -> list[list[Event]]:
    """What is said where a transaction may be as long as it likes."""
    return told(Engine(1, 1_000_000), calls_of(seed), 1_000_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_where_transactions_end_changes_nothing_that_is_said(seed: int) -> None:
    for max_events in (7, 13, 128):
        for call, parts, events in zip(
            calls_of(seed), told(Engine(1, max_events), calls_of(seed), max_events), whole(seed), strict=True
        ):
            assert parts == events, call


@pytest.mark.parametrize("seed", SEEDS)
def test_each_event_comes_back_from_its_bytes(seed: int) -> None:
    for events in whole(seed):
        for event in events:
            assert decode_event(*encode(event)) == event


def numbers(event: Event) -> list[tuple[int, int]]:
    """(participant_id, participant_seq) that an event says, in the order in which they count."""
    found: list[tuple[int, int]] = []
    terms: OrderTerms | None = None
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, OrderTerms):
            terms = value
        elif name.endswith("participant_seq") and value:
            owner = terms.participant_id if terms is not None else getattr(event, "participant_id", 0)
            found.append((owner, value))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_each_participants_events_are_numbered_without_a_hole(seed: int) -> None:
    last: dict[int, int] = {}
    for events in whole(seed):
        for event in events:
            for participant_id, seq in numbers(event):
                assert seq == last.get(participant_id, 0) + 1, event
                last[participant_id] = seq
    assert last, "participants were told something"


def test_an_instrument_that_is_taken_for_calm_is() -> None:
    times = 0
    for seed in SEEDS:
        engine = Engine(1)
        for call in calls_of(seed):
            told(engine, [call], MAX_EVENTS_PER_TRANSACTION)
            for instrument in engine.instruments():
                if instrument.calm:
                    times += 1
                    instrument.look()
                    assert instrument.calm, call
    assert times > 1_000


def test_everything_happens_in_some_of_these_days() -> None:
    events = [event for seed in SEEDS for said in whole(seed) for event in said]
    assert {type(event) for event in events} == set(get_args(Event))
    canceled = {event.reason for event in events if isinstance(event, OrderCanceled)}
    assert canceled == {int(reason) for reason in CancelReason}
    rejected = {
        event.reason for event in events if isinstance(event, OrderRejected | CancelRejected | MassCancelRejected)
    }
    assert rejected == {int(reason) for reason in RejectReason}
