"""What the configuration wants of a shard's market, in the engine's language."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, time
from typing import Final

from fixgw.config import Config
from fixgw.config_market import Calendar, PhaseName, Protection, SelfMatchMode
from matching.codes import Phase, SelfMatch
from matching.commands import (
    DefineInstrument,
    DefineParticipant,
    DefineRules,
    DefineSession,
    DefineTick,
    SetCircuitBreaker,
    SetReferencePrice,
)

PHASES: Final[Mapping[PhaseName, int]] = {
    "closed": int(Phase.CLOSED),
    "pre_open": int(Phase.PRE_OPEN),
    "opening_auction": int(Phase.OPENING_AUCTION),
    "continuous": int(Phase.CONTINUOUS),
    "closing_auction": int(Phase.CLOSING_AUCTION),
    "post_close": int(Phase.POST_CLOSE),
    "quote_only": int(Phase.QUOTE_ONLY),
}

SELF_MATCHES: Final[Mapping[SelfMatchMode, int]] = {
    "allowed": int(SelfMatch.ALLOWED),
    "cancel_incoming": int(SelfMatch.CANCEL_INCOMING),
    "cancel_resting": int(SelfMatch.CANCEL_RESTING),
    "cancel_both": int(SelfMatch.CANCEL_BOTH),
    "decrement": int(SelfMatch.DECREMENT),
}


def instruments(config: Config, shard: str) -> list[DefineInstrument]:
    return [
        DefineInstrument(each.id, each.symbol.encode(), each.tick_size, each.lot_size, each.round_lot)
        for each in config.instruments_of(shard)
    ]


def sessions(config: Config) -> list[DefineSession]:
    return [
        DefineSession(
            each.id,
            config.participant(each.participant).id,
            config.gateway(each.gateway).source_id,
            int(each.cancel_on_disconnect),
        )
        for each in config.sessions
    ]


def participants(config: Config) -> list[DefineParticipant]:
    return [
        DefineParticipant(each.id, each.self_match.group or 0, SELF_MATCHES[each.self_match.mode])
        if each.self_match is not None
        else DefineParticipant(each.id, 0, SelfMatch.ALLOWED)
        for each in config.participants
    ]


def rules(config: Config, shard: str) -> list[DefineRules]:
    """Of the instruments that are protected."""
    found = ((each.id, config.protection_of(each)) for each in config.instruments_of(shard))
    return [_rules(number, protection) for number, protection in found if protection is not None]


def _rules(instrument_id: int, protection: Protection) -> DefineRules:
    return DefineRules(
        instrument_id,
        protection.static_band,
        protection.dynamic_band,
        protection.fat_finger,
        protection.max_quantity or 0,
        protection.max_value,
        protection.pause,
        protection.reopening,
    )


def ticks(config: Config, shard: str) -> Iterator[DefineTick]:
    """The rows of all tables, instrument by instrument."""
    for instrument in config.instruments_of(shard):
        table = config.tick_table_of(instrument)
        for row in table.rows if table is not None else ():
            yield DefineTick(instrument.id, row.from_price, row.tick_size)


def reference_prices(config: Config, shard: str) -> list[SetReferencePrice]:
    return [
        SetReferencePrice(each.id, each.reference_price)
        for each in config.instruments_of(shard)
        if each.reference_price is not None
    ]


def calendars(config: Config, shard: str) -> dict[int, Callable[[date], Sequence[tuple[time, int]]]]:
    """By instrument; 0 for those that have the venue's."""
    found = {}
    for instrument in config.instruments_of(shard):
        calendar = config.calendar_of(instrument)
        if calendar is not None:
            found[instrument.id if instrument.calendar else 0] = _timetable(calendar)
    return found


def _timetable(calendar: Calendar) -> Callable[[date], Sequence[tuple[time, int]]]:
    return lambda day: [(at, PHASES[phase]) for at, phase in calendar.phases_on(day).items()]


def circuit_breaker(config: Config) -> SetCircuitBreaker | None:
    levels = config.venue.circuit_breaker
    return None if levels is None else SetCircuitBreaker(levels.level_1, levels.level_2, levels.level_3)
