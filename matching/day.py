"""Days and the instruments of a day. And `Continue`, which drains what one transaction cannot hold.

    StartDay    DayStarted, InstrumentListed of each instrument, SystemEventOccurred S, and Q if one of them trades;
                then what goes over into the new day
    EndDay      SystemEventOccurred M if there was a Q, OrderExpired of each order that ends with the day,
                SystemEventOccurred E, C, DayEnded

Both take the instruments by id; orders expire side by side, those of the book before those that wait, in price-time
priority. An instrument begins the day in the phase that its schedule wants by then, or in CONTINUOUS where it has none;
its phase ends with the day: it is CLOSED. Only HALTED it stays, until somebody resumes it. `DayStarted`, `DayEnded` and
`InstrumentListed` tell of that. Where orders that live on over the day's end agree with each other, as an auction that
never ended left them, the instrument begins in an OPENING_AUCTION, which ends at once. When all have gone over, stops
are held against the last sale and pegged orders meet, where there is trading.

The ClOrdIDs of a day are kept after its end, so that a late cancel is told what became of its order, and forgotten when
the next day starts; so are closed orders and trades. Orders and phases are told to the public only while a day is open.
"""

from typing import Final

from matching import advance, phases
from matching.auction import must_uncross
from matching.codes import RefusalReason, SystemEventCode
from matching.commands import DefineInstrument, EndDay, StartDay
from matching.events import DayEnded, DayStarted, Event, SystemEventOccurred
from matching.expiry import expire, expires_by
from matching.ids import FEED_SESSION_LENGTH
from matching.incoming import go_on_trading
from matching.instruments import CLOSED, CONTINUOUS, HALTED, OPENING_AUCTION, Instrument
from matching.mass_cancel import go_on_canceling
from matching.renewal import renew
from matching.state import (
    CLOSING_EVENTS,
    Advancing,
    Cancellation,
    Expiry,
    Joining,
    Listing,
    Moving,
    Renewal,
    State,
    Sweep,
    Uncross,
    Work,
)
from matching.stops import go_on_cascading
from matching.trade import stir
from matching.uncross import go_on_uncrossing
from matching.walk import first_order, next_order

#: Pieces of work that one transaction begins: each may look at some thousand orders and have nothing to say.
MAX_PIECES: Final = 16
#: Orders that one transaction looks at, most of which may live on.
MAX_LOOKED_AT: Final = 4096


# --- days and instruments ---------------------------------------------------------------------------------------------


def start_day(state: State, command: StartDay, events: list[Event], timestamp: int) -> int:
    """Open a day. Gives a RefusalReason, or 0."""
    if state.day:
        return RefusalReason.DAY_OPEN
    if command.day <= state.last_day:
        return RefusalReason.DAY_NOT_LATER
    name = command.feed_session
    if not 1 <= len(name) <= FEED_SESSION_LENGTH or not all(0x21 <= character <= 0x7E for character in name):
        return RefusalReason.BAD_FEED_SESSION
    state.day = state.last_day = command.day
    state.levels = ()
    state.forget_day()
    advance.skip_schedule(state, timestamp)
    events.append(DayStarted(command.day, command.feed_session, command.midnight))
    state.work.insert(0, Listing(state.instruments.sorted_ids()[::-1], timestamp))
    return 0


def end_day(state: State, command: EndDay, events: list[Event], timestamp: int) -> int:
    """Close the day. Gives a RefusalReason, or 0."""
    if not state.day or state.day != command.day:
        return RefusalReason.DAY_NOT_OPEN
    if state.market_is_open:
        state.market_is_open = False
        events.append(SystemEventOccurred(SystemEventCode.END_OF_MARKET_HOURS))
    state.work.insert(0, Expiry(state.instruments.sorted_ids()[::-1], timestamp))
    return 0


def define_instrument(state: State, command: DefineInstrument, events: list[Event], timestamp: int) -> int:
    """List or change an instrument. Gives a RefusalReason, or 0."""
    listed = state.instruments.by_id.get(command.instrument_id)
    if state.day and listed is not None and listed.definition.symbol != command.symbol:
        return RefusalReason.INSTRUMENT_IN_USE  # the public knows the id by its symbol until the day ends
    reason = state.instruments.define(command)
    if not reason and state.day:
        instrument = state.instruments.by_id[command.instrument_id]
        if listed is None:
            _begin_day(state, instrument, timestamp)
        events.append(instrument.listed())
        if instrument.phase == CONTINUOUS:
            phases.open_market(state, events)
    return reason


def _list(state: State, work: Listing, events: list[Event], timestamp: int) -> None:
    while work.ids:
        if len(events) >= state.max_events - CLOSING_EVENTS:
            state.work.insert(0, work)
            return
        instrument = state.instruments.by_id[work.ids.pop()]
        _begin_day(state, instrument, work.started_at)
        events.append(instrument.listed())
    events.append(SystemEventOccurred(SystemEventCode.START_OF_SYSTEM_HOURS))
    instruments = state.instruments
    ids = instruments.sorted_ids()[::-1]
    if any(instruments.by_id[each].phase == CONTINUOUS for each in ids):
        phases.open_market(state, events)
    crossed = [each for each in ids if _is_crossed(instruments.by_id[each])]
    if crossed:
        state.work.insert(0, Moving(crossed, CONTINUOUS, b""))
    for each in ids:
        instrument = instruments.by_id[each]
        if instrument.phase == CONTINUOUS:
            stir(state, instrument, instrument.last_price, instrument.last_price)
    renew(state, Renewal(ids, 0), events, timestamp)


def _begin_day(state: State, instrument: Instrument, timestamp: int) -> None:
    """Be in the first phase of the day."""
    phase = advance.first_phase(state, instrument, timestamp)
    if instrument.phase != HALTED:
        instrument.be_in(OPENING_AUCTION if phase == CONTINUOUS and must_uncross(instrument) else phase)
    if phases.AUCTIONS[instrument.phase]:
        phases.expect_indication(state, instrument, timestamp)


def _is_crossed(instrument: Instrument) -> bool:
    return instrument.phase == OPENING_AUCTION and instrument.scheduled_phase == CONTINUOUS


def _expire(state: State, work: Expiry, events: list[Event]) -> None:
    looked_at = 0
    while work.ids:
        instrument = state.instruments.by_id[work.ids[-1]]
        order = state.order(work.next_order_id) if work.next_order_id else first_order(instrument)
        while order is not None:
            if len(events) >= state.max_events - CLOSING_EVENTS or looked_at >= MAX_LOOKED_AT:
                work.next_order_id = order.terms.order_id
                state.work.insert(0, work)
                return
            looked_at += 1
            following = next_order(instrument, order)
            if expires_by(order, work.until):
                expire(state, order, events)
            order = following
        work.ids.pop()
        work.next_order_id = 0
        _end_phase(instrument)
    advance.forget_due(state)
    events.append(SystemEventOccurred(SystemEventCode.END_OF_SYSTEM_HOURS))
    events.append(SystemEventOccurred(SystemEventCode.END_OF_MESSAGES))
    events.append(DayEnded(state.day))
    state.day = 0


def _end_phase(instrument: Instrument) -> None:
    if instrument.phase != HALTED:
        instrument.be_in(CLOSED)
    instrument.ends_at = 0
    instrument.extension = 0
    instrument.collar = None
    instrument.indicates_at = 0
    instrument.scheduled_at = 0
    instrument.scheduled_phase = CONTINUOUS


# --- what one transaction cannot hold ---------------------------------------------------------------------------------


def do_work(state: State, events: list[Event], timestamp: int) -> None:
    """Do work until there is none, or this transaction has had enough: a piece that puts itself first again has."""
    for _ in range(MAX_PIECES):
        if not state.work or len(events) > state.max_events - phases.EVENTS_PER_CHANGE:
            return
        work = state.work.pop(0)
        _do_piece(state, work, events, timestamp)
        if state.work and state.work[0] is work:
            return


def _do_piece(state: State, work: Work, events: list[Event], timestamp: int) -> None:
    if isinstance(work, Listing):
        _list(state, work, events, timestamp)
    elif isinstance(work, Renewal):
        renew(state, work, events, timestamp)
    elif isinstance(work, Expiry):
        _expire(state, work, events)
    elif isinstance(work, Cancellation):
        go_on_canceling(state, work, events)
    elif isinstance(work, Moving):
        phases.go_on_moving(state, work, events, timestamp)
    elif isinstance(work, Uncross):
        go_on_uncrossing(state, work, events, timestamp)
    elif isinstance(work, Joining):
        phases.go_on_joining(state, work)
    elif isinstance(work, Advancing):
        advance.go_on_advancing(state, work, events, timestamp)
    elif isinstance(work, Sweep):
        go_on_trading(state, events, state.instruments.by_id[work.terms.instrument_id], work, timestamp)
    else:
        go_on_cascading(state, work, events, timestamp)
