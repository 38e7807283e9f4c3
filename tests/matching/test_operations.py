"""What the configuration and the calendar ask of a shard, as commands."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from matching.commands import DefineInstrument, DefineSession, EndDay, StartDay
from matching.engine import Engine
from matching.operations import TradingDay, due_commands, feed_session, trading_day

ACME = DefineInstrument(1, b"ACME", 100, 1, 100)
ZETA = DefineInstrument(2, b"ZETA", 100, 1, 100)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("now", "zone", "rolls_at", "day", "midnight"),
    [
        ("2026-11-22T00:00:00", "UTC", time(0), 20261122, "2026-11-22T00:00:00"),
        ("2026-11-22T23:59:59", "UTC", time(0), 20261122, "2026-11-22T00:00:00"),
        ("2026-11-22T03:00:00", "America/New_York", time(0), 20261121, "2026-11-21T05:00:00"),
        ("2026-11-22T16:59:59", "UTC", time(17), 20261121, "2026-11-21T00:00:00"),
        ("2026-11-22T17:00:00", "UTC", time(17), 20261122, "2026-11-22T00:00:00"),
        ("2026-03-29T12:00:00", "Europe/Berlin", time(0), 20260329, "2026-03-28T23:00:00"),  # clocks went forward
    ],
)
def test_a_day_bears_the_date_on_which_it_begins(now: str, zone: str, rolls_at: time, day: int, midnight: str) -> None:
    assert trading_day(ns(now), ZoneInfo(zone), rolls_at) == TradingDay(day, ns(midnight))


def test_the_feed_session_names_day_and_shard() -> None:
    assert feed_session(20261122, 1) == b"2611220001"
    assert feed_session(20261122, 0xFFFF) == b"261122FFFF"


def apply(engine: Engine, today: TradingDay, *instruments: DefineInstrument) -> list[object]:
    commands = due_commands(engine, engine.shard_id, instruments, today)
    for command in commands:
        engine.apply(command, 0, 0)
    return list(commands)


def test_a_new_shard_gets_its_instruments_and_its_day_and_then_nothing() -> None:
    engine = Engine(1)
    today = TradingDay(20261122, 5)
    assert apply(engine, today, ACME, ZETA) == [ACME, ZETA, StartDay(20261122, b"2611220001", 5)]
    assert apply(engine, today, ACME, ZETA) == []


def test_a_new_day_ends_the_old_one_first() -> None:
    engine = Engine(1)
    apply(engine, TradingDay(20261122, 5), ACME)
    assert apply(engine, TradingDay(20261123, 6), ACME, ZETA) == [
        EndDay(20261122),
        ZETA,
        StartDay(20261123, b"2611230001", 6),
    ]


def test_a_session_is_defined_when_the_engine_does_not_have_it_so() -> None:
    engine = Engine(1)
    today = TradingDay(20261122, 5)
    alice, bob = DefineSession(1, 1, 1, 1), DefineSession(2, 2, 1, 0)
    assert due_commands(engine, 1, [ACME], today, [alice, bob]) == [
        ACME,
        alice,
        bob,
        StartDay(20261122, b"2611220001", 5),
    ]
    for command in due_commands(engine, 1, [ACME], today, [alice, bob]):
        engine.apply(command, 0, 0)
    assert due_commands(engine, 1, [ACME], today, [alice, bob]) == []
    moved = DefineSession(2, 2, 3, 1)
    assert due_commands(engine, 1, [ACME], today, [moved]) == [moved]


def test_a_clock_that_went_back_changes_nothing() -> None:
    engine = Engine(1)
    apply(engine, TradingDay(20261122, 5), ACME)
    assert apply(engine, TradingDay(20261121, 4), ACME) == []
