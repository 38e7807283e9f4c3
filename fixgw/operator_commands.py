"""``fixgw operate``: which command an operator's words are, for which shards, and its events in words."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple

from fixgw.config import Config
from fixgw.config_shards import Shard
from fixgw.market import PHASES
from fixgw.reports import format_price
from matching import events
from matching.codes import CancelReason, Phase, RefusalReason, RejectReason, RestatementReason, Side, TradingState
from matching.commands import (
    BreachCircuitBreaker,
    BustTrade,
    Command,
    MassCancel,
    SetCircuitBreaker,
    SetEntryBlock,
    SetPhase,
    SetReferencePrice,
    SetTradingState,
)
from matching.ids import shard_of
from matching.words import in_words

OPERATED_PHASES: Final[Mapping[str, int]] = {
    **dict(PHASES.items()),
    "halted": Phase.HALTED,
    "reopening_auction": Phase.REOPENING_AUCTION,
}
"""What an operator may begin by hand."""

MAX_REASON: Final = 4

REFUSALS: Final[Mapping[int, str]] = {
    RefusalReason.UNKNOWN_KIND: "the shard runs another release, which does not know this command",
    RefusalReason.UNDECODABLE: "the shard runs another release, which reads this command otherwise",
    RefusalReason.DAY_NOT_OPEN: "no trading day is open",
    RefusalReason.UNKNOWN_INSTRUMENT: "the shard does not list the instrument: was the file changed since it started?",
    RefusalReason.BAD_TRADING_STATE: "no such trading state",
    RefusalReason.BAD_PARTICIPANT: "no such participant",
    RefusalReason.BAD_PRICE: "the price is above what the feed can say",
    RefusalReason.BAD_PHASE: "no such phase",
    RefusalReason.UNKNOWN_TRADE: "the day has no trade with this match number",
    RefusalReason.ALREADY_BUSTED: "the trade is busted already",
    RefusalReason.BAD_LEVEL: "levels go down from the first to the third, and a breach is of 1, 2 or 3",
}


class Task(NamedTuple):
    """What one shard is to do."""

    shard: Shard
    command: Command


def plan(config: Config, options: argparse.Namespace) -> list[Task]:
    """One command for each shard that is concerned. Raises LookupError, ValueError: the words make no sense."""
    return _PLANS[options.what](config, options)


def _state(state: TradingState, config: Config, options: argparse.Namespace) -> list[Task]:
    instrument = config.instrument(options.symbol)
    command = SetTradingState(instrument.id, state, _reason(options.reason))
    return [Task(config.shard(instrument.shard), command)]


def _phase(config: Config, options: argparse.Namespace) -> list[Task]:
    if options.phase not in OPERATED_PHASES:
        raise ValueError(f"no phase is called {options.phase!r}; there are: {', '.join(OPERATED_PHASES)}")
    phase, reason = OPERATED_PHASES[options.phase], _reason(options.reason)
    if options.symbol == "all":
        return _everywhere(config, SetPhase(0, phase, reason))
    instrument = config.instrument(options.symbol)
    return [Task(config.shard(instrument.shard), SetPhase(instrument.id, phase, reason))]


def _reason(text: str) -> bytes:
    if len(text) > MAX_REASON or not text.isascii() or not text.isprintable():
        raise ValueError(f"a reason is a code of ITCH, at most {MAX_REASON} printable ASCII characters, not {text!r}")
    return text.encode()


def _cancel(config: Config, options: argparse.Namespace) -> list[Task]:
    named = (options.participant, options.session, options.symbol, options.side)
    if options.all == any(named):
        raise ValueError("say whose or which orders are to be canceled, or --all for every order there is")
    participant_id = session_id = instrument_id = 0
    shards = config.shards
    if options.session:
        session = config.session(options.session)
        if options.participant not in (None, session.participant):
            raise ValueError(f"session {options.session} is of {session.participant}, not of {options.participant}")
        participant_id, session_id = config.participant(session.participant).id, session.id
    elif options.participant:
        participant_id = config.participant(options.participant).id
    if options.symbol:
        instrument = config.instrument(options.symbol)
        instrument_id, shards = instrument.id, (config.shard(instrument.shard),)
    side = Side[options.side.upper()] if options.side else 0
    command = MassCancel(participant_id, session_id, instrument_id, side, b"")
    return [Task(shard, command) for shard in shards]


def _block(blocked: int, config: Config, options: argparse.Namespace) -> list[Task]:
    participant, session_id = config.participant(options.participant), 0
    if options.session:
        session = config.session(options.session)
        if session.participant != participant.name:
            raise ValueError(f"session {options.session} is of {session.participant}, not of {participant.name}")
        session_id = session.id
    return _everywhere(config, SetEntryBlock(participant.id, session_id, blocked))


def _bust(config: Config, options: argparse.Namespace) -> list[Task]:
    shards = {shard.id: shard for shard in config.shards}
    number = shard_of(options.match)
    if number not in shards:
        raise LookupError(f"trade {options.match} would be of shard {number}, which there is not")
    return [Task(shards[number], BustTrade(options.match))]


def _reference_price(config: Config, options: argparse.Namespace) -> list[Task]:
    instrument = config.instrument(options.symbol)
    return [Task(config.shard(instrument.shard), SetReferencePrice(instrument.id, options.price))]


def _breaker(config: Config, options: argparse.Namespace) -> list[Task]:
    return _everywhere(config, BreachCircuitBreaker(options.level))


def _breaker_levels(config: Config, options: argparse.Namespace) -> list[Task]:
    return _everywhere(config, SetCircuitBreaker(*options.levels))


def _everywhere(config: Config, command: Command) -> list[Task]:
    return [Task(shard, command) for shard in config.shards]


_PLANS: Final[Mapping[str, Callable[[Config, argparse.Namespace], list[Task]]]] = {
    "halt": partial(_state, TradingState.HALTED),
    "resume": partial(_state, TradingState.TRADING),
    "quote-only": partial(_state, TradingState.QUOTATION_ONLY),
    "phase": _phase,
    "cancel": _cancel,
    "block": partial(_block, 1),
    "unblock": partial(_block, 0),
    "bust": _bust,
    "reference-price": _reference_price,
    "breaker": _breaker,
    "breaker-levels": _breaker_levels,
}


# --- what came of it --------------------------------------------------------------------------------------------------


def refusal(told: Iterable[events.Event]) -> str | None:
    """Why the shard refused the command; None: it is done."""
    for event in told:
        if isinstance(event, events.CommandRefused):
            return REFUSALS.get(event.reason) or _name(RefusalReason, event.reason)
        if isinstance(event, events.MassCancelRejected):
            return _name(RejectReason, event.reason)
    return None


def _name(
    codes: type[RefusalReason | RejectReason | CancelReason | RestatementReason | Phase | TradingState], code: int
) -> str:
    return codes(code).name.lower().replace("_", " ") if code in codes._value2member_map_ else f"code {code}"


def _level(level: int) -> str:
    """Of the circuit breaker, from 1/10^8."""
    return f"{Decimal(level).scaleb(-8).normalize():f}"


#: Whether the block was a session's → what is told when it is lifted. Orders are taken again when there is no other.
_LIFTED: Final = {
    False: "the firm's block is lifted, not those of its sessions if there are any",
    True: "the session's block is lifted, not the firm's if there is one",
}


class Teller:
    """Says events in words; ids as the configuration calls them."""

    def __init__(self, config: Config) -> None:
        self._symbols = {each.id: each.symbol for each in config.instruments}
        self._participants = {each.id: each.name for each in config.participants}
        self._sessions = {each.id: each.sender_comp_id for each in config.sessions}

    def tell(self, event: events.Event) -> str:
        match event:
            case events.PhaseChanged(instrument_id, phase):
                return f"{self._symbol(instrument_id)}: {_name(Phase, phase)}"
            case events.TradingStateChanged(instrument_id, state, code):
                because = f", reason {code.decode('ascii', 'replace').rstrip()}" if code.rstrip() else ""
                return f"{self._symbol(instrument_id)}: the public sees {_name(TradingState, state)}{because}"
            case events.OrderCanceled():
                return (
                    f"{self._order(event.terms)}: {event.canceled_qty} canceled ({_name(CancelReason, event.reason)})"
                )
            case events.OrderTriggered():
                return f"{self._order(event.terms)}: its stop price was reached"
            case events.OrderRestated():
                return f"{self._order(event.terms)}: {event.leaves_qty} open ({_name(RestatementReason, event.reason)})"
            case events.OrderBooked():
                shown = f"{event.quantity} at {format_price(event.price).decode()}"
                return f"{self._symbol(event.instrument_id)}: order {event.order_id} displays {shown}"
            case events.MassCancelDone():
                return f"{event.canceled} order{'' if event.canceled == 1 else 's'} canceled"
            case events.EntryBlockChanged(participant_id, session_id, blocked):
                whose = self._participants.get(participant_id, f"firm {participant_id}")
                where = f" at {self._sessions.get(session_id, session_id)}" if session_id else ""
                return f"{whose}{where}: {'orders are refused' if blocked else _LIFTED[bool(session_id)]}"
            case events.TradeBusted():
                traded = f"{event.quantity} at {format_price(event.price).decode()}"
                return f"trade {event.match_number}: {traded} is undone; {self._sides(event.buy, event.sell)}"
            case events.CrossExecuted(instrument_id, _, price, quantity):
                traded = f"{quantity} at {format_price(price).decode()}" if quantity else "nothing"
                return f"{self._symbol(instrument_id)}: the auction traded {traded}"
            case events.AuctionExecuted():
                traded = f"{event.quantity} at {format_price(event.price).decode()}"
                return f"trade {event.match_number}: {traded}; {self._sides(event.buy, event.sell)}"
            case events.OrderExecuted():
                traded = f"{event.quantity} at {format_price(event.price).decode()}"
                buys = event.incoming.side == Side.BUY
                sides = (event.incoming, event.resting) if buys else (event.resting, event.incoming)
                return f"trade {event.match_number}: {traded}; {self._sides(*sides)}"
            case events.CollarSet():
                lower, upper = (format_price(each).decode() for each in (event.lower_price, event.upper_price))
                return f"{self._symbol(event.instrument_id)}: the auction is to end from {lower} to {upper}"
            case events.CircuitBreakerSet():
                levels = ", ".join(map(_level, (event.level_1, event.level_2, event.level_3)))
                return f"the circuit breaker's levels are {levels}"
            case events.CircuitBreakerBreached(level):
                return f"the circuit breaker is breached at level {level}"
            case _:
                return in_words(event, self._symbol_of)

    def _symbol_of(self, instrument_id: int) -> str:
        return self._symbols.get(instrument_id, str(instrument_id))

    def _symbol(self, instrument_id: int) -> str:
        return self._symbols.get(instrument_id, f"instrument {instrument_id}")

    def _whose(self, terms: events.OrderTerms) -> str:
        return self._participants.get(terms.participant_id, f"firm {terms.participant_id}")

    def _order(self, terms: events.OrderTerms) -> str:
        return f"{self._symbol(terms.instrument_id)}: order {terms.order_id} of {self._whose(terms)}"

    def _sides(self, buy: events.OrderTerms, sell: events.OrderTerms) -> str:
        bought, sold = self._whose(buy), self._whose(sell)
        return f"bought by {bought}, order {buy.order_id}, sold by {sold}, order {sell.order_id}"
