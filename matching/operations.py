"""What an operator's configuration asks of a shard, as commands.

The engine reads no configuration and no clock: what it must know comes as commands in its stream. Here the YAML's
instruments, sessions and trading day are compared with what the engine holds, and the difference is said as commands.
A shard that is as it should be gets none, so this may run at every start and every second.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from matching.commands import Command, DefineInstrument, DefineSession, EndDay, StartDay
from matching.engine import Engine

_SECOND: Final = 1_000_000_000


class TradingDay(NamedTuple):
    """A trading day bears the date on which it begins."""

    #: yyyymmdd.
    day: int
    #: Its date's local midnight, nanoseconds since the epoch.
    midnight: int


def trading_day(now: int, zone: ZoneInfo, rolls_at: time) -> TradingDay:
    """The day that is on at `now`, where a day begins at `rolls_at` local time."""
    local = datetime.fromtimestamp(now // _SECOND, UTC).astimezone(zone)
    date = local.date()
    if local.time() < rolls_at:
        date -= timedelta(days=1)
    midnight = datetime.combine(date, time(), zone)
    return TradingDay(date.year * 10_000 + date.month * 100 + date.day, int(midnight.timestamp()) * _SECOND)


def feed_session(day: int, shard_id: int) -> bytes:
    """The MoldUDP64 session of a shard's feed on a day: yymmdd and the shard in hexadecimal, 10 characters."""
    return b"%06d%04X" % (day % 1_000_000, shard_id)


def due_commands(
    engine: Engine,
    shard_id: int,
    instruments: Sequence[DefineInstrument],
    today: TradingDay,
    sessions: Sequence[DefineSession] = (),
) -> list[Command]:
    """What is to be sequenced so that the engine lists these instruments, knows these sessions and trades today.

    In order. An instrument that is gone from the configuration stays as it is: delisting is a decision, not an
    omission; so does a session, whose orders may still rest. A day before the engine's own (the clock went back)
    changes nothing.
    """
    commands: list[Command] = [each for each in instruments if engine.definition(each.instrument_id) != each]
    commands += [each for each in sessions if engine.session(each.session_id) != each]
    if today.day > engine.last_day:
        if engine.day_is_open:
            commands.insert(0, EndDay(engine.last_day))
        commands.append(StartDay(today.day, feed_session(today.day, shard_id), today.midnight))
    return commands
