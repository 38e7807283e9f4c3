"""What happens by itself: the schedule's phases, ends of auctions, expiries, indicative prices.

The engine reads no clock. What is due stands in `State.due`, and `Advance` does what is due at its timestamp: what was
due first comes first, with all that follows from it, and of what is due at one time

    1. phases of the schedule, by their instrument
    2. auctions that end by themselves, by their instrument: a re-opening one; a volatility one, unless its price would
       be outside of its collar, then it is extended and the collar widened, up to three times
    3. orders that are good till that date, by their id; pegged orders may meet when all of them are gone
    4. indicative prices, of each auction that is still on once

`Advance` may come late: nobody led for a while. It does then what one in time would have done, in the same order, with
two exceptions. What begins now has its whole time from now on: an auction that is extended, or that a trade sets off.
And an indicative price is what would be if the auction ended now, so it is told when all else is done, and not made up
for: once for all the seconds that have gone by, and not at all of an auction that has ended.

An `Advance` when nothing is due does nothing; what is forgotten while a day is closed is not made up for.

The schedule of an instrument is what was said of it, or else what was said of all (instrument 0). It is kept until the
day ends, so saying it again changes nothing, and an entry whose time is not later than that of one that was done is
not done. A halted instrument stays halted: the phase is where it goes when it is resumed.
"""

from bisect import insort
from heapq import heappop
from typing import Final

from matching.auction import clearing_now, direction, far_price
from matching.codes import Phase, RefusalReason
from matching.commands import SchedulePhase
from matching.events import Event, ImbalancePublished
from matching.expiry import expire, expire_at
from matching.instruments import CLOSED, CONTINUOUS, HALTED, VOLATILITY_AUCTION, Instrument
from matching.phases import (
    AUCTIONS,
    CROSS_TYPES,
    EVENTS_PER_CHANGE,
    end_later,
    expect_indication,
    move,
    tell_collar,
)
from matching.state import DUE_AUCTION_END, DUE_EXPIRY, DUE_INDICATION, DUE_PHASE, Advancing, State
from matching.trade import stir

#: How often a volatility auction is extended: then it ends at whatever price there is.
MAX_EXTENSIONS: Final = 3
#: Reminders that one transaction looks at: some may have come to nothing.
MAX_LOOKED_AT: Final = 4096

_LAST_PHASE: Final = max(int(phase) for phase in Phase)


def schedule_phase(state: State, command: SchedulePhase) -> int:
    """Say when a phase is to begin. Gives a RefusalReason, or 0."""
    if command.phase > _LAST_PHASE:
        return RefusalReason.BAD_PHASE
    if command.instrument_id and command.instrument_id not in state.instruments.by_id:
        return RefusalReason.UNKNOWN_INSTRUMENT
    entries = state.schedule.setdefault(command.instrument_id, {})
    if command.at not in entries:
        state.remind(DUE_PHASE, command.at, command.instrument_id)
    entries[command.at] = command.phase
    return 0


def first_phase(state: State, instrument: Instrument, timestamp: int) -> int:
    """With which phase a day begins that begins now."""
    entries = _schedule(state, instrument)
    instrument.scheduled_at = 0
    instrument.scheduled_phase = CONTINUOUS
    if entries:
        instrument.scheduled_phase = CLOSED
        done = [at for at in entries if at <= timestamp]
        if done:
            instrument.scheduled_at = max(done)
            instrument.scheduled_phase = entries[instrument.scheduled_at]
    return instrument.scheduled_phase


def skip_schedule(state: State, timestamp: int) -> None:
    """A day begins: each instrument's first phase stands for all that was due before."""
    heap = state.due[DUE_PHASE]
    while heap and heap[0][0] <= timestamp:
        heappop(heap)


def next_due(state: State) -> int | None:
    """When `Advance` may have something to do; None while nothing is expected."""
    if not state.day:
        return None
    at: int | None = None
    for heap in state.due:  # asked after every batch, so not by `min` and a generator
        if heap and (at is None or heap[0][0] < at):
            at = heap[0][0]
    return at


def forget_due(state: State) -> None:
    """The day is over, and with it the schedule. Of orders that live on `State.carry` reminds again."""
    state.schedule = {}
    state.garbage.append(state.due[DUE_EXPIRY])
    state.due = [[], [], [], []]


def advance(state: State, timestamp: int) -> int:
    """What is due at this time is the next work. Gives 0: it is never refused."""
    at = next_due(state)
    if at is not None and at <= timestamp:
        state.work.insert(0, Advancing(timestamp, []))
    return 0


def go_on_advancing(state: State, work: Advancing, events: list[Event], timestamp: int) -> None:
    """Do as much of what is due as one transaction may say or look at, or until something comes in between."""
    for _ in range(MAX_LOOKED_AT):
        kind = _next_kind(state, work.until)
        if kind < 0:
            return
        if len(events) > state.max_events - EVENTS_PER_CHANGE:
            break
        at, number = heappop(state.due[kind])
        waiting = len(state.work)
        if kind == DUE_PHASE:
            _do_schedule(state, at, number, events, timestamp)
        elif kind == DUE_AUCTION_END:
            _end_auction(state, state.instruments.by_id[number], at, events, timestamp)
        elif kind == DUE_EXPIRY:
            _expire(state, work, at, number, events)
        else:
            _indicate(state, state.instruments.by_id[number], at, events, timestamp)
        if len(state.work) > waiting:
            state.work.insert(len(state.work) - waiting, work)
            return
    state.work.insert(0, work)


def _next_kind(state: State, until: int) -> int:
    """The kind of what is to be done next, or -1."""
    found, earliest = -1, until + 1
    for kind in (DUE_PHASE, DUE_AUCTION_END, DUE_EXPIRY):
        heap = state.due[kind]
        if heap and heap[0][0] < earliest:
            found, earliest = kind, heap[0][0]
    if found >= 0:
        return found
    indications = state.due[DUE_INDICATION]
    return DUE_INDICATION if indications and indications[0][0] <= until else -1


def _schedule(state: State, instrument: Instrument) -> dict[int, int]:
    schedule = state.schedule
    return schedule.get(instrument.definition.instrument_id) or schedule.get(0) or {}


def _do_schedule(state: State, at: int, instrument_id: int, events: list[Event], timestamp: int) -> None:
    """Begin the phase of an entry of the schedule."""
    if instrument_id == 0:
        for each in state.instruments.sorted_ids():
            if each not in state.schedule:
                state.remind(DUE_PHASE, at, each)
        return
    instrument = state.instruments.by_id[instrument_id]
    phase = _schedule(state, instrument).get(at)
    if phase is None or at <= instrument.scheduled_at:
        return
    instrument.scheduled_at = at
    instrument.scheduled_phase = phase
    if instrument.phase != HALTED:
        move(state, instrument, phase, b"", events, timestamp)


def _end_auction(state: State, instrument: Instrument, at: int, events: list[Event], timestamp: int) -> None:
    """An auction's own time is over."""
    if instrument.ends_at != at:
        return
    if instrument.phase == VOLATILITY_AUCTION and instrument.extension < MAX_EXTENSIONS:
        price, collar, rules = clearing_now(instrument)[0], instrument.collar, instrument.rules
        if price and collar is not None and rules is not None and not collar[1] <= price <= collar[2]:
            instrument.extension += 1
            end_later(state, instrument, timestamp + rules.pause)
            tell_collar(instrument, events)
            return
    move(state, instrument, CONTINUOUS, b"", events, timestamp)


def _expire(state: State, work: Advancing, at: int, order_id: int, events: list[Event]) -> None:
    """An order's date has come, if it lives and has not got another one."""
    order = state.order(order_id)
    left = work.left
    if order is not None and expire_at(order) == at:
        expire(state, order, events)
        instrument_id = order.terms.instrument_id
        if instrument_id not in left:
            insort(left, instrument_id)
    dates = state.due[DUE_EXPIRY]
    if dates and dates[0][0] == at:
        return
    while left:  # not before: none whose date it is trades any more
        stir(state, state.instruments.by_id[left.pop()], 0, 0)


def _indicate(state: State, instrument: Instrument, at: int, events: list[Event], timestamp: int) -> None:
    """Say what an auction would do if it ended now."""
    if not AUCTIONS[instrument.phase] or instrument.indicates_at != at:
        return
    expect_indication(state, instrument, timestamp)
    price, buys, sells = clearing_now(instrument)
    events.append(
        ImbalancePublished(
            instrument.definition.instrument_id,
            min(buys, sells),
            abs(buys - sells),
            direction(price, buys, sells),
            far_price(instrument),
            price,
            instrument.reference_price,
            CROSS_TYPES[instrument.phase],
        )
    )
