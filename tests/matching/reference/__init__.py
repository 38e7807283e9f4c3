"""The whole market model, for reading: no levels, no links, no counters, no bounds; it looks at every order each time.

It is written from the market model (`matching/README.md`), not from the engine, and is the engine's oracle: the same
commands give the same events.

    orders.py     what an order and an instrument are
    market.py     what is remembered, and how it is told
    checks.py     what is refused
    requests.py   entering, canceling and replacing an order
    trading.py    continuous trading, stop orders, pegs, self-match prevention, price bands
    auction.py    the price of an auction and its trades
    phases.py     phases, what is due, days
    operator.py   definitions, halts, mass cancels, busts
"""

from collections.abc import Callable
from typing import Any

from matching.codes import RefusalReason
from matching.commands import (
    Advance,
    BreachCircuitBreaker,
    BustTrade,
    CancelOrder,
    CancelSession,
    Command,
    Continue,
    DefineInstrument,
    DefineParticipant,
    DefineRules,
    DefineSession,
    DefineTick,
    EndDay,
    MassCancel,
    NewOrder,
    ReplaceOrder,
    SchedulePhase,
    SetCircuitBreaker,
    SetEntryBlock,
    SetPhase,
    SetReferencePrice,
    SetTradingState,
    SourceLost,
    StartDay,
)
from matching.events import CommandRefused, Event
from matching.wire import KINDS
from tests.matching.reference import operator, phases, requests
from tests.matching.reference.market import Market
from tests.matching.reference.orders import Instrument, Order, Place

__all__ = ["Instrument", "Market", "Order", "Place", "apply"]

#: From a participant's session.
REQUESTS: dict[type, Callable[[Market, Any, int], None]] = {
    NewOrder: requests.new_order,
    CancelOrder: requests.cancel_order,
    ReplaceOrder: requests.replace_order,
    MassCancel: operator.mass_cancel,
}
OPERATORS: dict[type, Callable[[Market, Any], RefusalReason | None]] = {
    StartDay: operator.start_day,
    EndDay: operator.end_day,
    DefineInstrument: operator.define_instrument,
    DefineSession: operator.define_session,
    DefineParticipant: operator.define_participant,
    DefineRules: operator.define_rules,
    DefineTick: operator.define_tick,
    SetReferencePrice: operator.set_reference,
    SetTradingState: operator.set_trading_state,
    SetPhase: operator.set_phase,
    SchedulePhase: operator.schedule_phase,
    SetCircuitBreaker: operator.set_circuit_breaker,
    BreachCircuitBreaker: operator.breach_circuit_breaker,
    SourceLost: operator.source_lost,
    CancelSession: operator.cancel_session,
    SetEntryBlock: operator.set_entry_block,
    BustTrade: operator.bust_trade,
}


def apply(market: Market, command: Command, timestamp: int, session_id: int) -> list[Event]:
    """What a command leads to."""
    market.said, market.now = [], timestamp
    kind = type(command)
    if kind in REQUESTS:
        REQUESTS[kind](market, command, session_id)
    else:
        reason = administer(market, command, session_id)
        if reason:
            market.say(CommandRefused(KINDS[kind], reason))
    return market.said


def administer(market: Market, command: Command, session_id: int) -> RefusalReason | None:
    if isinstance(command, Continue):
        return RefusalReason.NOTHING_TO_CONTINUE
    if session_id:
        return RefusalReason.NOT_AN_OPERATOR
    if isinstance(command, Advance):
        phases.advance(market)
        return None
    return OPERATORS[type(command)](market, command)
