"""What operators do: days, instruments, trading states. And `Continue`, which drains what one transaction cannot hold.

    StartDay    DayStarted, InstrumentListed of each instrument, SystemEventOccurred S, Q
    EndDay      SystemEventOccurred M, OrderExpired of each resting order, SystemEventOccurred E, C, DayEnded

Both take the instruments by id; orders expire bids before asks, in price-time priority. The ClOrdIDs of a day are kept
after its end, so that a late cancel is told what became of its order, and forgotten when the next day starts; so are
closed orders and trades. Orders and trading states are told to the public only while a day is open; `InstrumentListed`
says them at its start.
"""

from typing import Final

from matching.codes import RefusalReason, SystemEventCode, TradingState
from matching.commands import DefineInstrument, EndDay, SetTradingState, StartDay
from matching.events import (
    DayEnded,
    DayStarted,
    Event,
    OrderExpired,
    SystemEventOccurred,
    TradingStateChanged,
)
from matching.ids import FEED_SESSION_LENGTH
from matching.instruments import CLOSED, CONTINUOUS, HALTED, QUOTE_ONLY
from matching.mass_cancel import go_on_canceling
from matching.renewal import renew
from matching.state import CLOSING_EVENTS, Cancellation, Expiry, Listing, Renewal, State, Sweep
from matching.trade import BUY, EXPIRED, close, trade

_PHASES: Final = {
    int(TradingState.TRADING): CONTINUOUS,
    int(TradingState.HALTED): HALTED,
    int(TradingState.QUOTATION_ONLY): QUOTE_ONLY,
}


def start_day(state: State, command: StartDay, events: list[Event]) -> int:
    """Open a day. Gives a RefusalReason, or 0."""
    if state.day:
        return RefusalReason.DAY_OPEN
    if command.day <= state.last_day:
        return RefusalReason.DAY_NOT_LATER
    name = command.feed_session
    if not 1 <= len(name) <= FEED_SESSION_LENGTH or not all(0x21 <= character <= 0x7E for character in name):
        return RefusalReason.BAD_FEED_SESSION
    state.day = state.last_day = command.day
    state.forget_day()
    events.append(DayStarted(command.day, command.feed_session, command.midnight))
    _list(state, Listing(state.instruments.sorted_ids()[::-1]), events)
    return 0


def end_day(state: State, command: EndDay, events: list[Event]) -> int:
    """Close the day. Gives a RefusalReason, or 0."""
    if not state.day or state.day != command.day:
        return RefusalReason.DAY_NOT_OPEN
    events.append(SystemEventOccurred(SystemEventCode.END_OF_MARKET_HOURS))
    _expire(state, Expiry(state.instruments.sorted_ids()[::-1]), events)
    return 0


def define_instrument(state: State, command: DefineInstrument, events: list[Event]) -> int:
    """List or change an instrument. Gives a RefusalReason, or 0."""
    listed = state.instruments.by_id.get(command.instrument_id)
    if state.day and listed is not None and listed.definition.symbol != command.symbol:
        return RefusalReason.INSTRUMENT_IN_USE  # the public knows the id by its symbol until the day ends
    reason = state.instruments.define(command)
    if not reason and state.day:
        instrument = state.instruments.by_id[command.instrument_id]
        if listed is None:
            instrument.phase = CONTINUOUS
        events.append(instrument.listed())
    return reason


def set_trading_state(state: State, command: SetTradingState, events: list[Event]) -> int:
    """Halt or resume an instrument. Gives a RefusalReason, or 0."""
    instrument = state.instruments.by_id.get(command.instrument_id)
    if instrument is None:
        return RefusalReason.UNKNOWN_INSTRUMENT
    phase = _PHASES.get(command.state)
    if phase is None:
        return RefusalReason.BAD_TRADING_STATE
    instrument.phase = phase
    if state.day:
        events.append(TradingStateChanged(command.instrument_id, command.state, command.reason))
    return 0


def go_on(state: State, events: list[Event], timestamp: int) -> int:
    """Do the next part of the pending work. Gives a RefusalReason, or 0."""
    if not state.work:
        return RefusalReason.NOTHING_TO_CONTINUE
    work = state.work.pop(0)
    if isinstance(work, Sweep):
        terms = work.terms
        book = state.instruments.by_id[terms.instrument_id].book
        side = book.bids if terms.side == BUY else book.asks
        trade(state, events, work.session, side, terms, work.leaves_qty, work.cum_qty, work.cum_notional, timestamp)
    elif isinstance(work, Listing):
        _list(state, work, events)
    elif isinstance(work, Renewal):
        renew(state, work, events)
    elif isinstance(work, Cancellation):
        go_on_canceling(state, work, events)
    else:
        _expire(state, work, events)
    return 0


def _list(state: State, work: Listing, events: list[Event]) -> None:
    while work.ids:
        if len(events) >= state.max_events - CLOSING_EVENTS:
            state.work.insert(0, work)
            return
        instrument = state.instruments.by_id[work.ids.pop()]
        if instrument.phase == CLOSED:
            instrument.phase = CONTINUOUS
        events.append(instrument.listed())
    events.append(SystemEventOccurred(SystemEventCode.START_OF_SYSTEM_HOURS))
    events.append(SystemEventOccurred(SystemEventCode.START_OF_MARKET_HOURS))
    renew(state, Renewal(state.instruments.sorted_ids()[::-1], 0), events)


def _expire(state: State, work: Expiry, events: list[Event]) -> None:
    while work.ids:
        book = state.instruments.by_id[work.ids[-1]].book
        level = book.bids.best or book.asks.best
        if level is None:
            instrument = state.instruments.by_id[work.ids.pop()]
            if instrument.phase != HALTED:
                instrument.phase = CLOSED
            continue
        if len(events) >= state.max_events - CLOSING_EVENTS:
            state.work.insert(0, work)
            return
        order = level.first
        assert order is not None
        close(order, EXPIRED)
        participant = order.session.participant
        participant.seq += 1
        events.append(
            OrderExpired(
                order.terms, order.order_ref, order.leaves_qty, participant.seq, order.cum_qty, order.cum_notional
            )
        )
    events.append(SystemEventOccurred(SystemEventCode.END_OF_SYSTEM_HOURS))
    events.append(SystemEventOccurred(SystemEventCode.END_OF_MESSAGES))
    events.append(DayEnded(state.day))
    state.day = 0
