"""The phases of an instrument's day, and how it comes from one to the next.

    phase                    orders      they trade    the public sees    it ends in an uncross
    CLOSED                                             H
    PRE_OPEN                 are taken                 Q                  O
    OPENING_AUCTION          are taken                 Q                  O
    CONTINUOUS               are taken   at once       T
    CLOSING_AUCTION          are taken                 Q                  C
    POST_CLOSE                                         H
    HALTED                                             H
    REOPENING_AUCTION        are taken                 Q                  H
    VOLATILITY_AUCTION       are taken                 P                  H
    QUOTE_ONLY               are taken                 Q                  H

Any phase may follow any other. While no day is open an instrument is CLOSED, or HALTED until it is resumed. A phase in
which orders are collected, a *call phase*, is uncrossed when CONTINUOUS, POST_CLOSE or CLOSED follows it; so is a book
that a halt, or the night, kept as an auction had left it, before it trades again. Each change is told by
`PhaseChanged`, then by `TradingStateChanged` if the public sees another state.

Orders for an auction wait among the `parked` until a call phase begins with which they go; then they join it in the
order in which they came.
"""

from typing import Final

from matching.auction import must_uncross
from matching.book import MARKET_RANK, join, unlink
from matching.codes import CrossType, Phase, RefusalReason, SystemEventCode, TimeInForce, TradingState
from matching.commands import SetPhase, SetTradingState
from matching.events import CollarSet, Event, PhaseChanged, SystemEventOccurred, TradingStateChanged
from matching.instruments import (
    CLOSED,
    CLOSING_AUCTION,
    CONTINUOUS,
    HALTED,
    OPENING_AUCTION,
    POST_CLOSE,
    PRE_OPEN,
    QUOTE_ONLY,
    REOPENING_AUCTION,
    VOLATILITY_AUCTION,
    Instrument,
)
from matching.order import Order
from matching.protection import collar
from matching.state import DUE_AUCTION_END, DUE_INDICATION, Joining, Moving, State, Uncross
from matching.trade import stir

#: By phase: whether new orders and replaces are taken.
TAKES_ORDERS: Final = (False, True, True, True, True, False, False, True, True, True)
#: By phase: whether orders are collected, for an uncross.
CALL_PHASES: Final = (False, True, True, False, True, False, False, True, True, True)
#: By phase: whether it is an auction, of which an indicative price is told.
AUCTIONS: Final = (False, False, True, False, True, False, False, True, True, False)
#: By phase: what the uncross is called in which it ends.
CROSS_TYPES: Final = tuple(
    int(cross_type)
    for cross_type in (
        CrossType.OPENING,  # CLOSED: what the night kept
        CrossType.OPENING,  # PRE_OPEN
        CrossType.OPENING,  # OPENING_AUCTION
        CrossType.OPENING,  # CONTINUOUS has nothing to uncross
        CrossType.CLOSING,  # CLOSING_AUCTION
        CrossType.OPENING,  # POST_CLOSE
        CrossType.HALTED,  # HALTED
        CrossType.HALTED,  # REOPENING_AUCTION
        CrossType.HALTED,  # VOLATILITY_AUCTION
        CrossType.HALTED,  # QUOTE_ONLY
    )
)

#: ITCH's code of a pause because a price left its band: "LULD pause".
PAUSED: Final = b"LUDP"
NS_PER_SECOND: Final = 1_000_000_000
#: Events that a change of phase may have: PhaseChanged, TradingStateChanged, CollarSet, SystemEventOccurred.
EVENTS_PER_CHANGE: Final = 4
#: Parked orders that one transaction looks at: some milliseconds' worth.
MAX_LOOKED_AT: Final = 4096

AT_THE_OPENING: Final = int(TimeInForce.AT_THE_OPENING)
AT_THE_CLOSE: Final = int(TimeInForce.AT_THE_CLOSE)
GOOD_FOR_AUCTION: Final = int(TimeInForce.GOOD_FOR_AUCTION)

_PHASES: Final = frozenset(int(phase) for phase in Phase)
_T: Final = int(TradingState.TRADING)
_H: Final = int(TradingState.HALTED)
_Q: Final = int(TradingState.QUOTATION_ONLY)


def goes_with(time_in_force: int, phase: int) -> bool:
    """Whether an order that is for an auction takes part in the one that this phase collects for; else it is parked."""
    if time_in_force == AT_THE_OPENING:
        return phase in (PRE_OPEN, OPENING_AUCTION)
    if time_in_force == AT_THE_CLOSE:
        return phase == CLOSING_AUCTION
    assert time_in_force == GOOD_FOR_AUCTION, "the order is for an auction"
    return phase == PRE_OPEN or AUCTIONS[phase]


# --- operators' commands ----------------------------------------------------------------------------------------------


def set_phase(state: State, command: SetPhase) -> int:
    """Begin a phase, of one instrument or of all, as the next work. Gives a RefusalReason, or 0."""
    if command.phase not in _PHASES:
        return RefusalReason.BAD_PHASE
    by_id = state.instruments.by_id
    if command.instrument_id and command.instrument_id not in by_id:
        return RefusalReason.UNKNOWN_INSTRUMENT
    ids = [command.instrument_id] if command.instrument_id else state.instruments.sorted_ids()[::-1]
    for instrument_id in ids:
        by_id[instrument_id].scheduled_phase = CONTINUOUS  # the operator knows better than the schedule
    state.work.insert(0, Moving(ids, command.phase, command.reason))
    return 0


def set_trading_state(state: State, command: SetTradingState, events: list[Event], timestamp: int) -> int:
    """Halt or resume an instrument, or let it only quote. Gives a RefusalReason, or 0."""
    instrument = state.instruments.by_id.get(command.instrument_id)
    if instrument is None:
        return RefusalReason.UNKNOWN_INSTRUMENT
    if command.state == _H:
        move(state, instrument, HALTED, command.reason, events, timestamp)
    elif command.state == _Q:
        move(state, instrument, QUOTE_ONLY, command.reason, events, timestamp)
    elif command.state == _T:
        _resume(state, instrument, command.reason, events, timestamp)
    else:
        return RefusalReason.BAD_TRADING_STATE
    return 0


def _resume(state: State, instrument: Instrument, reason: bytes, events: list[Event], timestamp: int) -> None:
    """Trade again: in the phase of the schedule where that is another, or after an auction where there is one after
    halts."""
    before = instrument.phase
    scheduled = instrument.scheduled_phase
    rules = instrument.rules
    if before == HALTED and scheduled != CONTINUOUS and scheduled != HALTED:
        move(state, instrument, scheduled, reason, events, timestamp)
    elif before in (HALTED, QUOTE_ONLY) and rules is not None and rules.reopening and state.day:
        enter(state, instrument, REOPENING_AUCTION, reason, events, timestamp, rules.reopening)
    else:
        instrument.scheduled_phase = CONTINUOUS
        move(state, instrument, CONTINUOUS, reason, events, timestamp)


def go_on_moving(state: State, work: Moving, events: list[Event], timestamp: int) -> None:
    """Bring as many instruments into the phase as one transaction may say, or until something comes in between."""
    while work.ids:
        if len(events) > state.max_events - EVENTS_PER_CHANGE:
            state.work.insert(0, work)
            return
        waiting = len(state.work)
        move(state, state.instruments.by_id[work.ids.pop()], work.phase, work.reason, events, timestamp)
        if len(state.work) > waiting:  # that comes first
            state.work.insert(len(state.work) - waiting, work)
            return


# --- from one phase to the next ---------------------------------------------------------------------------------------


def needs_uncross(instrument: Instrument, phase: int) -> bool:
    """Whether an instrument is uncrossed before this phase begins."""
    if phase != CONTINUOUS and phase != POST_CLOSE and phase != CLOSED:
        return False
    if CALL_PHASES[instrument.phase]:
        return True
    return phase == CONTINUOUS and instrument.phase != CONTINUOUS and must_uncross(instrument)


def move(state: State, instrument: Instrument, phase: int, reason: bytes, events: list[Event], timestamp: int) -> None:
    """Bring an instrument into a phase; if an auction ends with that, it becomes the next work."""
    if phase == instrument.phase:
        return
    if not state.day:
        instrument.be_in(HALTED if phase == HALTED else CLOSED)  # by night it is nothing else
    elif needs_uncross(instrument, phase):
        cross_type = CROSS_TYPES[instrument.phase]
        state.work.insert(0, Uncross(instrument.definition.instrument_id, cross_type, phase, reason))
    else:
        enter(state, instrument, phase, reason, events, timestamp)


def pause(state: State, instrument: Instrument, events: list[Event], timestamp: int) -> None:
    """A trade would have been outside of its band: a volatility auction begins."""
    assert instrument.rules is not None, "rules say what a band is"
    enter(state, instrument, VOLATILITY_AUCTION, PAUSED, events, timestamp, instrument.rules.pause)


def enter(
    state: State,
    instrument: Instrument,
    phase: int,
    reason: bytes,
    events: list[Event],
    timestamp: int,
    duration: int = 0,
) -> None:
    """Be in a phase. `duration`: after which the auction that it is ends by itself; 0: it does not."""
    seen = instrument.state
    instrument.be_in(phase)
    instrument.ends_at = 0
    instrument.extension = 0
    instrument.collar = None
    instrument_id = instrument.definition.instrument_id
    events.append(PhaseChanged(instrument_id, phase))
    if instrument.state != seen:
        events.append(TradingStateChanged(instrument_id, instrument.state, reason))
    begin(state, instrument, events, timestamp, duration)


def begin(state: State, instrument: Instrument, events: list[Event], timestamp: int, duration: int = 0) -> None:
    """What an instrument does when its phase begins."""
    phase = instrument.phase
    instrument_id = instrument.definition.instrument_id
    if phase == CONTINUOUS:
        open_market(state, events)
        stir(state, instrument, instrument.last_price, instrument.last_price)
    if AUCTIONS[phase]:
        expect_indication(state, instrument, timestamp)
    if CALL_PHASES[phase] and instrument.parked.best is not None:
        state.work.insert(0, Joining(instrument_id, 0))
    if duration:
        end_later(state, instrument, timestamp + duration)
        if phase == VOLATILITY_AUCTION:
            tell_collar(instrument, events)


def open_market(state: State, events: list[Event]) -> None:
    """The first instrument of the day that trades opens the market."""
    if not state.market_is_open:
        state.market_is_open = True
        events.append(SystemEventOccurred(SystemEventCode.START_OF_MARKET_HOURS))


def expect_indication(state: State, instrument: Instrument, timestamp: int) -> None:
    """The next indicative price is told at the next full second."""
    instrument.indicates_at = at = (timestamp // NS_PER_SECOND + 1) * NS_PER_SECOND
    state.remind(DUE_INDICATION, at, instrument.definition.instrument_id)


def end_later(state: State, instrument: Instrument, at: int) -> None:
    """The auction ends by itself at this time."""
    instrument.ends_at = at
    state.remind(DUE_AUCTION_END, at, instrument.definition.instrument_id)


def tell_collar(instrument: Instrument, events: list[Event]) -> None:
    """Say between which prices the volatility auction may end; nothing where there is no band."""
    instrument.collar = found = collar(instrument, instrument.extension + 1)
    if found is not None:
        reference, lower, upper = found
        events.append(CollarSet(instrument.definition.instrument_id, reference, upper, lower, instrument.extension))


# --- those who waited -------------------------------------------------------------------------------------------------


def go_on_joining(state: State, work: Joining) -> None:
    """Let parked orders join the auction with which they go, as many as one transaction may look at."""
    instrument = state.instruments.by_id[work.instrument_id]
    queue = instrument.parked.best
    order = state.order(work.next_order_id) if work.next_order_id else None if queue is None else queue.first
    looked_at = 0
    while order is not None:
        if looked_at == MAX_LOOKED_AT:
            work.next_order_id = order.terms.order_id
            state.work.insert(0, work)
            return
        looked_at += 1
        behind = order.behind
        if goes_with(order.terms.time_in_force, instrument.phase):
            unlink(order)
            join_auction(instrument, order)
        order = behind


def join_auction(instrument: Instrument, order: Order) -> None:
    """An order that stands in no queue takes part in the auction, unseen."""
    terms = order.terms
    side = instrument.book.bids if terms.side == 1 else instrument.book.asks
    join(order, side, side.sign * terms.price if terms.price else MARKET_RANK, terms.price)
