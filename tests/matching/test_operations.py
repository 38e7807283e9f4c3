"""What the configuration and the calendar ask of a shard, as commands."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from matching.codes import Phase, SelfMatch
from matching.commands import (
    Advance,
    Command,
    DefineInstrument,
    DefineParticipant,
    DefineRules,
    DefineSession,
    DefineTick,
    EndDay,
    SchedulePhase,
    SetCircuitBreaker,
    SetPhase,
    SetReferencePrice,
    StartDay,
)
from matching.engine import Engine
from matching.operations import Market, TradingDay, due_commands, feed_session, next_opening, schedule, trading_day

ACME = DefineInstrument(1, b"ACME", 100, 1, 100)
ZETA = DefineInstrument(2, b"ZETA", 100, 1, 100)
UTC_MARKET = Market((), ZoneInfo("UTC"), time())


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


def apply(engine: Engine, today: TradingDay, market: Market) -> list[Command]:
    commands = due_commands(engine, engine.shard_id, market, today)
    for command in commands:
        engine.apply(command, 0, 0)
    return commands


def trading(*instruments: DefineInstrument, sessions: tuple[DefineSession, ...] = ()) -> Market:
    return UTC_MARKET._replace(instruments=instruments, sessions=sessions)


def test_a_new_shard_gets_its_instruments_and_its_day_and_then_nothing() -> None:
    engine = Engine(1)
    today = TradingDay(20261122, 5)
    assert apply(engine, today, trading(ACME, ZETA)) == [ACME, ZETA, StartDay(20261122, b"2611220001", 5)]
    assert apply(engine, today, trading(ACME, ZETA)) == []


def test_a_new_day_ends_the_old_one_first() -> None:
    engine = Engine(1)
    apply(engine, TradingDay(20261122, 5), trading(ACME))
    assert apply(engine, TradingDay(20261123, 6), trading(ACME, ZETA)) == [
        EndDay(20261122),
        ZETA,
        StartDay(20261123, b"2611230001", 6),
    ]


def test_a_session_is_defined_when_the_engine_does_not_have_it_so() -> None:
    engine = Engine(1)
    today = TradingDay(20261122, 5)
    alice, bob = DefineSession(1, 1, 1, 1), DefineSession(2, 2, 1, 0)
    assert apply(engine, today, trading(ACME, sessions=(alice, bob))) == [
        ACME,
        alice,
        bob,
        StartDay(20261122, b"2611220001", 5),
    ]
    assert apply(engine, today, trading(ACME, sessions=(alice, bob))) == []
    moved = DefineSession(2, 2, 3, 1)
    assert apply(engine, today, trading(ACME, sessions=(moved,))) == [moved]


RULES = DefineRules(1, 1000, 250, 0, 100_000, 0, 120_000_000_000, 60_000_000_000)
TICKS = (DefineTick(1, 100_000, 500), DefineTick(1, 500_000, 1000))
PRICE = SetReferencePrice(1, 125_000)
AMBER = DefineParticipant(1, 7, SelfMatch.CANCEL_RESTING)
RULED = trading(ACME)._replace(rules=[RULES], ticks=TICKS, reference_prices=[PRICE], participants=[AMBER])


def test_rules_ticks_prices_and_participants_are_said_before_the_day_begins_and_once() -> None:
    engine = Engine(1)
    today = TradingDay(20261122, 5)
    start = StartDay(20261122, b"2611220001", 5)
    assert apply(engine, today, RULED) == [ACME, AMBER, RULES, *TICKS, PRICE, start]
    assert apply(engine, today, RULED) == []


def test_what_is_gone_from_the_configuration_is_taken_back() -> None:
    engine = Engine(1)
    today = TradingDay(20261122, 5)
    apply(engine, today, RULED)
    other = DefineTick(1, 500_000, 2000)
    assert apply(engine, today, RULED._replace(rules=[], ticks=[other], participants=[DefineParticipant(1, 0, 0)])) == [
        DefineParticipant(1, 0, 0),
        DefineRules(1, 0, 0, 0, 0, 0, 0, 0),
        DefineTick(1, 100_000, 0),
        other,
    ]
    assert apply(engine, today, trading(ACME)._replace(ticks=[other])) == []


def test_a_reference_price_that_the_market_has_made_stays() -> None:
    engine = Engine(1)
    today = TradingDay(20261122, 5)
    apply(engine, today, RULED)
    assert apply(engine, today, RULED._replace(reference_prices=[SetReferencePrice(1, 99)])) == []


def test_each_day_begins_with_its_timetable_and_its_circuit_breaker() -> None:
    engine = Engine(1)
    levels = SetCircuitBreaker(3, 2, 1)
    market = trading(ACME)._replace(
        calendars={0: lambda _: [(time(9), Phase.CONTINUOUS), (time(17), Phase.CLOSED)]}, circuit_breaker=levels
    )
    for day in (22, 23):
        midnight = ns(f"2026-11-{day}T00:00:00")
        today = TradingDay(20261100 + day, midnight)
        commands = apply(engine, today, market)
        assert commands[-4:] == [
            SchedulePhase(0, Phase.CONTINUOUS, midnight + 9 * HOUR),
            SchedulePhase(0, Phase.CLOSED, midnight + 17 * HOUR),
            StartDay(today.day, feed_session(today.day, 1), midnight),
            levels,
        ]
        assert apply(engine, today, market) == []


HOUR = 3_600_000_000_000
LONDON = Market(
    (ACME,),
    ZoneInfo("Europe/London"),
    time(17, 30),
    calendars={
        0: lambda day: [(time(18), Phase.CLOSED), (time(8), Phase.CONTINUOUS)] if day != date(2026, 3, 30) else []
    },
)


@pytest.mark.parametrize(
    ("day", "begins"),
    [
        (20260328, ["2026-03-28T18:00:00", "2026-03-29T07:00:00"]),  # clocks went forward in the night
        (20260329, ["2026-03-29T17:00:00", "2026-03-30T07:00:00"]),
        (20260330, ["2026-03-30T16:30:00"]),  # a day off, closed from its beginning
        (20261024, ["2026-10-24T17:00:00", "2026-10-25T08:00:00"]),  # and back
    ],
)
def test_phases_begin_at_local_times_of_the_trading_day(day: int, begins: list[str]) -> None:
    found = schedule(LONDON, TradingDay(day, 0))
    assert [each.at for each in found] == [ns(text) for text in begins]
    assert [each.phase for each in found] == [Phase.CLOSED, Phase.CONTINUOUS][: len(begins)]


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-03-27T17:30:00", "2026-03-28T08:00:00"),
        ("2026-03-28T08:00:00", ""),
        ("2026-03-28T17:29:59", ""),
        ("2026-03-28T18:00:00", "2026-03-29T07:00:00"),
        ("2026-03-30T17:00:00", "2026-04-01T07:00:00"),  # over a day off
    ],
)
def test_the_next_opening_is_the_calendars(now: str, opens: str) -> None:
    opening = next_opening(LONDON, 1, ns(now))
    assert opening == (SchedulePhase(1, Phase.CONTINUOUS, ns(opens)) if opens else None)


def test_an_instrument_without_a_calendar_or_with_one_of_closed_days_has_no_opening() -> None:
    assert next_opening(UTC_MARKET, 1, 0) is None
    closed = UTC_MARKET._replace(calendars={0: lambda _: [(time(8), Phase.PRE_OPEN)], 1: lambda _: []})
    assert next_opening(closed, 1, 0) is None
    assert next_opening(closed, 2, 0) == SchedulePhase(2, Phase.PRE_OPEN, 8 * HOUR)


def test_a_time_that_the_clocks_skip_comes_before_those_after_it() -> None:
    skipped = [(time(0, 30), Phase.PRE_OPEN), (time(1, 30), Phase.OPENING_AUCTION), (time(2), Phase.CONTINUOUS)]
    market = LONDON._replace(rolls_at=time(), calendars={0: lambda _: skipped})
    assert [each.at for each in schedule(market, TradingDay(20260329, 0))] == [
        ns("2026-03-29T00:30:00"),
        ns("2026-03-29T01:30:00"),
        ns("2026-03-29T01:30:00"),
    ]


def test_a_clock_that_went_back_changes_nothing() -> None:
    engine = Engine(1)
    apply(engine, TradingDay(20261122, 5), trading(ACME))
    assert apply(engine, TradingDay(20261121, 4), trading(ACME)) == []


def test_levels_that_the_day_lacks_are_said_again_and_those_of_an_operator_stay() -> None:
    engine = Engine(1)
    today = TradingDay(20261122, 5)
    apply(engine, today, trading(ACME))
    levels = SetCircuitBreaker(3, 2, 1)
    market = trading(ACME)._replace(circuit_breaker=levels)
    assert apply(engine, today, market) == [levels]
    engine.apply(SetCircuitBreaker(6, 5, 4), 0, 0)
    assert apply(engine, today, market) == []


def test_an_instrument_that_is_new_on_an_open_day_goes_by_its_own_calendar() -> None:
    engine = Engine(1)
    midnight = ns("2026-11-22T00:00:00")
    today = TradingDay(20261122, midnight)
    apply(engine, today, trading(ACME))
    own = {2: lambda _: [(time(9), Phase.PRE_OPEN), (time(10), Phase.CONTINUOUS)]}
    market = trading(ACME, ZETA)._replace(calendars=own)
    assert apply(engine, today, market) == [
        ZETA,
        SetPhase(2, Phase.CLOSED, b""),
        SchedulePhase(2, Phase.PRE_OPEN, midnight + 9 * HOUR),
        SchedulePhase(2, Phase.CONTINUOUS, midnight + 10 * HOUR),
    ]
    assert apply(engine, today, market) == []
    assert [each.phase for each in engine.instruments()] == [Phase.CONTINUOUS, Phase.CLOSED]
    engine.apply(Advance(), midnight + 9 * HOUR, 0)
    assert [each.phase for each in engine.instruments()] == [Phase.CONTINUOUS, Phase.PRE_OPEN]
