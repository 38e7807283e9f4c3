"""The shard over bytes: it takes whatever comes, always answers the same, and stays within its bounds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.codes import RefusalReason
from matching.commands import (
    CancelOrder,
    Command,
    Continue,
    DefineInstrument,
    MassCancel,
    NewOrder,
    ReplaceOrder,
    StartDay,
)
from matching.events import (
    CircuitBreakerBreached,
    CircuitBreakerSet,
    CommandRefused,
    EntryBlockChanged,
    Event,
    InstrumentListed,
)
from matching.shard import Shard
from matching.state import MAX_EVENTS_PER_TRANSACTION
from matching.wire import decode_event, encode
from tests.matching.books import ledger_of
from tests.matching.random_market import RandomMarket
from tests.matching.strategies import SECOND, any_command, likely_command

ROOT = Path(__file__).parents[2]

Calls = list[tuple[int, bytes, int, int]]


def play(shard: Shard, calls: Calls) -> list[tuple[int, bytes]]:
    """Apply (kind, body, timestamp, session_id) of each call, and the shard's own continuations as they come due."""
    said: list[tuple[int, bytes]] = []
    for kind, body, timestamp, session_id in calls:
        events = shard.apply(kind, body, timestamp, 1, 1, session_id)
        assert len(events) <= MAX_EVENTS_PER_TRANSACTION
        said += events
        while (continuation := shard.continuation()) is not None:
            events = shard.apply(*continuation, timestamp, 1, 0, 0)
            assert len(events) <= MAX_EVENTS_PER_TRANSACTION
            said += events
    return said


@given(st.lists(st.tuples(st.one_of(any_command, likely_command), st.integers(0, 10), st.integers(0, 3)), max_size=30))
def test_no_command_that_decodes_ever_raises(commands: list[tuple[Command, int, int]]) -> None:
    play(Shard(1), [(*encode(command), timestamp, session_id) for command, timestamp, session_id in commands])


@given(st.lists(st.tuples(likely_command, st.integers(0, SECOND), st.booleans()), min_size=20, max_size=80))
def test_what_is_said_never_contradicts_itself(commands: list[tuple[Command, int, bool]]) -> None:
    shard = Shard(1)
    opening: list[Command] = [
        DefineInstrument(1, b"A", 50, 1, 1),
        DefineInstrument(2, b"B", 50, 1, 1),
        StartDay(1, b"S", 0),
    ]
    calls = [(*encode(command), 0, 0) for command in opening]
    now = 0
    for command, later, second in commands:
        now += later
        ordered = isinstance(command, NewOrder | CancelOrder | ReplaceOrder | MassCancel)
        calls.append((*encode(command), now, command.participant_id * 10 + second if ordered else 0))
    events = [decode_event(*event) for event in play(shard, calls)]
    ledger_of(events).check(shard.engine)


@given(st.integers(0, 255), st.binary(max_size=200), st.integers(0, 3))
def test_no_bytes_ever_raise(kind: int, body: bytes, session_id: int) -> None:
    shard = Shard(1)
    play(shard, [(kind, body, 5, session_id)])


@pytest.mark.parametrize("kind", range(16))
def test_the_streams_own_kinds_mean_nothing_here(kind: int) -> None:
    shard = Shard(1)
    before = shard.digest()
    assert shard.apply(kind, b"whatever", 5, 1, 1, 0) == []
    assert shard.digest() == before


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (20, b"short", RefusalReason.UNDECODABLE),
        (23, b"?", RefusalReason.UNDECODABLE),
        (95, b"", RefusalReason.UNKNOWN_KIND),
        (102, b"", RefusalReason.UNKNOWN_KIND),
        (255, b"", RefusalReason.UNKNOWN_KIND),
    ],
)
def test_bytes_that_are_no_command_are_refused_by_an_event(kind: int, body: bytes, reason: int) -> None:
    assert Shard(1).apply(kind, body, 5, 1, 1, 0) == [encode(CommandRefused(kind, reason))]


def test_a_continuation_is_wanted_exactly_while_work_is_pending() -> None:
    shard = Shard(1)
    assert shard.continuation() is None
    for number in range(1, 201):
        shard.apply(*encode(DefineInstrument(number, b"S%d" % number, 1, 1, 1)), 0, 1, 1, 0)
    first = shard.apply(*encode(StartDay(1, b"S", 0)), 0, 1, 1, 0)
    assert shard.continuation() == encode(Continue())
    second = shard.apply(*encode(Continue()), 0, 1, 0, 0)
    assert shard.continuation() is None
    assert len(first) + len(second) == 1 + 200 + 2


def random_calls(seed: int, count: int) -> Calls:
    """Three random days of about so many commands."""
    calls = RandomMarket(seed).days(3, count)
    return [(*encode(command), now, session_id) for command, now, session_id in calls]


def spoken(seed: int, count: int) -> str:
    """Everything a shard says to random days, and its digest half way and at the end."""
    shard = Shard(1)
    calls = random_calls(seed, count)
    half = play(shard, calls[: len(calls) // 2])
    digests = [shard.digest()]
    rest = play(shard, calls[len(calls) // 2 :])
    digests.append(shard.digest())
    return "".join(f"{kind} {body.hex()}\n" for kind, body in half + rest) + f"{digests}\n"


def test_the_same_commands_give_the_same_bytes_whatever_the_hash_seed() -> None:
    program = "from tests.matching.test_shard import spoken; print(spoken(3, 800), end='')"
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "77")
    ]
    assert runs[0] == runs[1] == spoken(3, 800)
    assert runs[0].count("\n105 ") > 100, "the day should have seen trades"


def test_a_digest_tells_any_two_states_apart() -> None:
    seen = set()
    shard = Shard(1)
    for call in random_calls(5, 150):
        before = shard.digest()
        said = play(shard, [call])
        assert shard.digest() != before or not traces(said), "events without a trace in the digest"
        seen.add(shard.digest())
    assert len(seen) > 300


def traces(said: list[tuple[int, bytes]]) -> list[Event]:
    """Those events that leave something behind: not what the operator is told, nor what the public is told of a
    moment, or again."""
    events = [decode_event(*event) for event in said]
    passing = (CommandRefused, CircuitBreakerSet, CircuitBreakerBreached, EntryBlockChanged, InstrumentListed)
    return [each for each in events if not isinstance(each, passing) and getattr(each, "participant_seq", 1)]
