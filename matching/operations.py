"""What an operator's configuration asks of a shard, as commands.

The engine reads no configuration and no clock: what it must know comes as commands in its stream. Here the YAML's
instruments, rules, firms, sessions and trading day are compared with what the engine holds, and the difference is said
as commands. A shard that is as it should be gets none, so this may run at every start and every second.

Two things are said once and then belong to the market and the people who run it: an instrument's first reference price,
and the day's timetable with the levels of the circuit breaker. A calendar that was changed holds from the next day on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from matching.codes import Phase
from matching.commands import (
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
from matching.instruments import Instrument
from matching.phases import TAKES_ORDERS

_SECOND: Final = 1_000_000_000

#: Days in which an opening is looked for: more than any holidays have.
_DAYS_AHEAD: Final = 14

Timetable = Sequence[tuple[time, int]]
"""When phases begin, local time, in the order of the trading day. An empty one: closed all day."""

Calendar = Callable[[date], Timetable]
"""The timetable of the trading day that begins on a date."""


class TradingDay(NamedTuple):
    """A trading day bears the date on which it begins."""

    #: yyyymmdd.
    day: int
    #: Its date's local midnight, nanoseconds since the epoch.
    midnight: int


class Market(NamedTuple):
    """What a shard is to trade, when, and under which rules. What is left out is not there."""

    instruments: Sequence[DefineInstrument]
    time_zone: ZoneInfo
    #: When one trading day ends and the next begins, local time.
    rolls_at: time
    sessions: Sequence[DefineSession] = ()
    participants: Sequence[DefineParticipant] = ()
    #: An instrument without rules has none.
    rules: Sequence[DefineRules] = ()
    #: The rows of all tick-size tables.
    ticks: Sequence[DefineTick] = ()
    #: With which instruments begin that have never had one.
    reference_prices: Sequence[SetReferencePrice] = ()
    #: By instrument, 0 for all others. Without one an instrument trades all day.
    calendars: Mapping[int, Calendar] = {}
    #: With which each day begins.
    circuit_breaker: SetCircuitBreaker | None = None

    def day(self, now: int) -> TradingDay:
        """The day that is on at `now`."""
        return trading_day(now, self.time_zone, self.rolls_at)


def trading_day(now: int, zone: ZoneInfo, rolls_at: time) -> TradingDay:
    """The day that is on at `now`, where a day begins at `rolls_at` local time."""
    local = datetime.fromtimestamp(now // _SECOND, UTC).astimezone(zone)
    date = local.date()
    if local.time() < rolls_at:
        date -= timedelta(days=1)
    return TradingDay(date.year * 10_000 + date.month * 100 + date.day, _ns(date, time(), zone))


def _ns(date: date, at: time, zone: ZoneInfo) -> int:
    """Of a local time, ns since the epoch. One that the clocks skip is as much later; of one that comes twice, the
    first."""
    return int(datetime.combine(date, at, zone).timestamp()) * _SECOND


def feed_session(day: int, shard_id: int) -> bytes:
    """The MoldUDP64 session of a shard's feed on a day: yymmdd and the shard in hexadecimal, 10 characters."""
    return b"%06d%04X" % (day % 1_000_000, shard_id)


def due_commands(engine: Engine, shard_id: int, market: Market, today: TradingDay) -> list[Command]:
    """What is to be sequenced so that the engine is as `market` wants it, and today is open.

    In order. An instrument that is gone from the configuration stays as it is: delisting is a decision, not an
    omission; so does a session, whose orders may still rest. A day before the engine's own (the clock went back)
    changes nothing.
    """
    commands: list[Command] = [each for each in market.instruments if engine.definition(each.instrument_id) != each]
    commands += [each for each in market.sessions if engine.session(each.session_id) != each]
    commands += [each for each in market.participants if engine.participant(each.participant_id) != each]
    commands += _rule_commands(engine, market)
    if today.day > engine.last_day:
        if engine.day_is_open:
            commands.insert(0, EndDay(engine.last_day))
        commands += schedule(market, today)
        commands.append(StartDay(today.day, feed_session(today.day, shard_id), today.midnight))
    elif engine.day_is_open and today.day == engine.last_day:
        commands += _late_schedule(engine, market, today)
    if market.circuit_breaker is not None and (today.day > engine.last_day or _lacks_levels(engine)):
        commands.append(market.circuit_breaker)
    return commands


def _lacks_levels(engine: Engine) -> bool:
    """Its predecessor was lost between the day's start and them."""
    return engine.day_is_open and not engine.levels


def _late_schedule(engine: Engine, market: Market, today: TradingDay) -> Iterator[Command]:
    """Of instruments with calendars of their own that were not there when the day began."""
    late = [number for number in market.calendars if number and engine.definition(number) is None]
    yield from (SetPhase(number, int(Phase.CLOSED), b"") for number in sorted(late))
    yield from (each for each in schedule(market, today) if each.instrument_id in late)


def _rule_commands(engine: Engine, market: Market) -> Iterator[Command]:
    """What the instruments lack besides their definitions."""
    known = {each.definition.instrument_id: each for each in engine.instruments()}
    rules = {each.instrument_id: each for each in market.rules}
    prices = {each.instrument_id: each for each in market.reference_prices}
    tables: dict[int, dict[int, DefineTick]] = {}
    for row in market.ticks:
        tables.setdefault(row.instrument_id, {})[row.from_price] = row
    for definition in market.instruments:
        instrument_id = definition.instrument_id
        instrument = known.get(instrument_id)  # None: it is not listed yet
        held = instrument.rules if instrument is not None else None
        wanted = rules.get(instrument_id)
        if wanted is None and held is not None:
            wanted = DefineRules(instrument_id, 0, 0, 0, 0, 0, 0, 0)
        if wanted is not None and wanted != held:
            yield wanted
        yield from _tick_commands(instrument_id, instrument, tables.get(instrument_id, {}))
        if instrument_id in prices and (instrument is None or not instrument.reference_price):
            yield prices[instrument_id]


def _tick_commands(
    instrument_id: int, instrument: Instrument | None, wanted: Mapping[int, DefineTick]
) -> Iterator[DefineTick]:
    rows = dict(instrument.ticks) if instrument is not None else {}
    for from_price in rows:  # first: a table has room for so many rows only
        if from_price not in wanted:
            yield DefineTick(instrument_id, from_price, 0)
    for from_price, row in wanted.items():
        if rows.get(from_price) != row.tick_size:
            yield row


def schedule(market: Market, today: TradingDay) -> list[SchedulePhase]:
    """When the phases of a day begin, as its calendars want it."""
    day = date(today.day // 10_000, today.day // 100 % 100, today.day % 100)
    begins = _ns(day, market.rolls_at, market.time_zone)
    commands = []
    for instrument_id, calendar in sorted(market.calendars.items()):
        at = begins
        for local, phase in calendar(day) or ((market.rolls_at, int(Phase.CLOSED)),):
            date_of_it = day if local >= market.rolls_at else day + timedelta(days=1)
            at = max(at, _ns(date_of_it, local, market.time_zone))  # phases keep their order when the clocks go forward
            commands.append(SchedulePhase(instrument_id, phase, at))
    return commands


def next_opening(market: Market, instrument_id: int, now: int) -> SchedulePhase | None:
    """The next phase that takes orders, where by its calendar the instrument is in none that does. None: it is in one,
    or it has no calendar, or no such phase begins in the next days."""
    calendars = market.calendars
    calendar = calendars.get(instrument_id, calendars.get(0))
    if calendar is None:
        return None
    alone = market._replace(calendars={instrument_id: calendar})
    day = market.day(now).day
    today = date(day // 10_000, day // 100 % 100, day % 100)
    is_open = False
    for ahead in range(_DAYS_AHEAD):
        each = today + timedelta(days=ahead)
        for begins in schedule(alone, TradingDay(each.year * 10_000 + each.month * 100 + each.day, 0)):
            if begins.at <= now:
                is_open = TAKES_ORDERS[begins.phase]
            elif is_open:
                return None
            elif TAKES_ORDERS[begins.phase]:
                return begins
    return None
