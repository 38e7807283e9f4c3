"""The phases of an instrument's day: what begins when, and what that does to the orders."""

from matching.codes import OrdType, Phase, RestatementReason, SystemEventCode, TimeInForce, TradingState
from matching.commands import EndDay, StartDay
from matching.events import (
    CollarSet,
    DayEnded,
    DayStarted,
    InstrumentListed,
    PhaseChanged,
    SystemEventOccurred,
    TradingStateChanged,
)
from matching.ids import MAX_PRICE
from tests.matching.reference import auction, trading
from tests.matching.reference.market import Market
from tests.matching.reference.orders import (
    AUCTIONS,
    BUY,
    CALL_PHASES,
    CARRIED,
    FOR_AUCTIONS,
    SELL,
    Instrument,
    Order,
    Place,
)

SECOND = 1_000_000_000
#: How often a volatility auction is extended.
MAX_EXTENSIONS = 3
PUBLIC = {
    Phase.CONTINUOUS: TradingState.TRADING,
    Phase.VOLATILITY_AUCTION: TradingState.PAUSED,
    Phase.CLOSED: TradingState.HALTED,
    Phase.POST_CLOSE: TradingState.HALTED,
    Phase.HALTED: TradingState.HALTED,
}


def public(phase: int) -> int:
    """What the public is told of a phase."""
    return PUBLIC.get(Phase(phase), TradingState.QUOTATION_ONLY)


def goes_with(order: Order, phase: int) -> bool:
    """Whether an order for an auction is for the one of this phase."""
    match order.terms.time_in_force:
        case TimeInForce.AT_THE_OPENING:
            return phase in (Phase.PRE_OPEN, Phase.OPENING_AUCTION)
        case TimeInForce.AT_THE_CLOSE:
            return phase == Phase.CLOSING_AUCTION
        case TimeInForce.GOOD_FOR_AUCTION:
            return phase in AUCTIONS or phase == Phase.PRE_OPEN
    return True


def stand(market: Market, instrument: Instrument, order: Order) -> None:
    """Where an order waits while nothing trades, or for an auction."""
    if order.terms.time_in_force in FOR_AUCTIONS:
        join(market, order, goes_with(order, instrument.phase))
    elif order.ord_type in (OrdType.STOP, OrdType.STOP_LIMIT):
        market.put(order, Place.STOP)
    elif order.ord_type == OrdType.PEGGED:
        market.put(order, Place.PEG)
    elif order.ord_type == OrdType.LIMIT:
        market.book(order, order.terms.price)
    elif order.price:
        market.book(order, order.price)
    else:
        market.put(order, Place.BOOK)


def join(market: Market, order: Order, now: bool) -> None:
    """Hidden into the auction, or parked until it begins."""
    if now:
        market.put(order, Place.BOOK, order.terms.price)
    else:
        market.put(order, Place.PARKED)


def parked(market: Market, instrument: Instrument) -> list[Order]:
    found = [order for side in (BUY, SELL) for order in market.at(instrument, Place.PARKED, side)]
    return sorted(found, key=lambda order: order.arrived)


# --- one phase after the other


def change(market: Market, instrument: Instrument, phase: int, reason: bytes = b"", duration: int = 0) -> None:
    """Begin a phase; the auction that it ends is uncrossed. `duration`: after which the phase ends by itself, if it
    does."""
    if phase == instrument.phase:
        return
    if not market.day_is_open:
        instrument.phase = Phase.HALTED if phase == Phase.HALTED else Phase.CLOSED
        return
    before = instrument.phase
    leave_auction(market, instrument, phase)
    instrument.phase, instrument.extension = phase, 0
    instrument.ends_at = market.now + duration if duration else 0
    instrument.collar = None
    market.say(PhaseChanged(instrument.instrument_id, phase))
    if public(phase) != public(before):
        market.say(TradingStateChanged(instrument.instrument_id, public(phase), reason))
    begin(market, instrument)
    if phase == Phase.VOLATILITY_AUCTION and duration:
        collar(market, instrument)
    trading.settle(market, instrument)


def leave_auction(market: Market, instrument: Instrument, phase: int) -> None:
    before = Phase(instrument.phase)
    ends = before in CALL_PHASES and phase in (Phase.CONTINUOUS, Phase.POST_CLOSE, Phase.CLOSED)
    if ends or (phase == Phase.CONTINUOUS and auction.must_uncross(market, instrument)):
        auction.uncross(market, instrument, auction.CROSS_TYPES.get(before, auction.CrossType.OPENING))


def begin(market: Market, instrument: Instrument) -> None:
    """What a phase does when it begins."""
    expect_indication(market, instrument)
    if instrument.phase in CALL_PHASES:
        for order in parked(market, instrument):
            if goes_with(order, instrument.phase):
                join(market, order, True)
    if instrument.phase == Phase.CONTINUOUS:
        if "Q" not in market.hours:
            hour(market, "Q")
        instrument.sales = [instrument.last]


def expect_indication(market: Market, instrument: Instrument) -> None:
    """The next indicative price is told at the next full second."""
    instrument.tells_at = (market.now // SECOND + 1) * SECOND


def hour(market: Market, code: str) -> None:
    market.hours.append(code)
    market.say(SystemEventOccurred(SystemEventCode(ord(code))))


def pause(market: Market, instrument: Instrument) -> None:
    """A trade would have been outside of a price band: a volatility auction."""
    change(market, instrument, Phase.VOLATILITY_AUCTION, b"LUDP", instrument.rules.pause)


def collar(market: Market, instrument: Instrument) -> None:
    """Between which prices the auction may end: a band more for each extension."""
    rules = instrument.rules
    around, width = instrument.reference, rules.static_band
    if not around or not width:
        around, width = instrument.last, rules.dynamic_band
    instrument.collar = None
    if around and width:
        reach = around * width // 10_000 * (instrument.extension + 1)
        instrument.collar = around, min(around + reach, MAX_PRICE), max(around - reach, 0)
        market.say(CollarSet(instrument.instrument_id, *instrument.collar, instrument.extension))


def end_auction(market: Market, instrument: Instrument) -> None:
    """An auction's own time is over."""
    price = auction.price_now(market, instrument)
    may_extend = instrument.phase == Phase.VOLATILITY_AUCTION and instrument.extension < MAX_EXTENSIONS
    if may_extend and price and instrument.collar and not instrument.collar[2] <= price <= instrument.collar[1]:
        instrument.extension += 1
        instrument.ends_at = market.now + instrument.rules.pause
        collar(market, instrument)
        return
    change(market, instrument, Phase.CONTINUOUS)


def resume(market: Market, instrument: Instrument, reason: bytes) -> None:
    """After a halt or a quote-only period: to the phase that was due meanwhile, or to trading, by an auction if there
    is one after halts."""
    stopped = instrument.phase in (Phase.HALTED, Phase.QUOTE_ONLY)
    if instrument.phase == Phase.HALTED and instrument.due_phase not in (Phase.CONTINUOUS, Phase.HALTED):
        change(market, instrument, instrument.due_phase, reason)
    elif stopped and instrument.rules.reopening and market.day_is_open:
        change(market, instrument, Phase.REOPENING_AUCTION, reason, instrument.rules.reopening)
    else:
        instrument.due_phase = Phase.CONTINUOUS
        change(market, instrument, Phase.CONTINUOUS, reason)


# --- what is due


def advance(market: Market) -> None:
    """Do what is due, the earliest first and with all that follows from it; in the end say the indicative prices of the
    auctions that are on."""
    if not market.day_is_open:
        return
    while found := what_is_due(market):
        at, what, instrument_id = min(found)
        if what == "3 dates":
            expire_due(market, at)
            continue
        instrument = market.instrument(instrument_id)
        assert instrument is not None
        if what == "1 phase":
            begin_scheduled(market, instrument, at)
        else:
            end_auction(market, instrument)
    for instrument in market.instruments:
        if instrument.phase in AUCTIONS and instrument.tells_at <= market.now:
            expect_indication(market, instrument)
            auction.publish(market, instrument)


def what_is_due(market: Market) -> list[tuple[int, str, int]]:
    """When, what and of which instrument, 0 for all of them: sorted, that is the order in which it is done."""
    found = [(order.wants.expire_at, "3 dates", 0) for order in market.orders if order.wants.expire_at]
    for instrument in market.instruments:
        if instrument.ends_at:
            found.append((instrument.ends_at, "2 auction's end", instrument.instrument_id))
        to_come = [at for at in schedule_of(market, instrument) if at > instrument.scheduled_at]
        found += [(at, "1 phase", instrument.instrument_id) for at in to_come]
    return [each for each in found if each[0] <= market.now]


def begin_scheduled(market: Market, instrument: Instrument, at: int) -> None:
    """Begin the phase that the schedule has for this time, or remember it for the end of a halt."""
    instrument.scheduled_at, instrument.due_phase = at, schedule_of(market, instrument)[at]
    if instrument.phase != Phase.HALTED:
        change(market, instrument, instrument.due_phase)


def schedule_of(market: Market, instrument: Instrument) -> dict[int, int]:
    """What is said of one instrument replaces all that is said of all."""
    return market.schedule.get(instrument.instrument_id) or market.schedule.get(0, {})


def expire_due(market: Market, at: int) -> None:
    """End all orders of a date, the first entered first; then pegged orders meet that could not before."""
    due = [order for order in market.orders if order.wants.expire_at == at]
    for order in sorted(due, key=lambda order: order.terms.order_id):
        market.expire(order)
    for instrument in market.instruments:
        if any(order.terms.instrument_id == instrument.instrument_id for order in due):
            trading.settle(market, instrument)


# --- the day


def start_day(market: Market, command: StartDay) -> None:
    market.day, market.day_is_open, market.hours = command.day, True, []
    market.trades = []
    market.known = {order.terms.order_id: order for order in market.orders}
    market.names = {(order.terms.session_id, order.terms.cl_ord_id): order for order in market.orders}
    market.former = set()
    market.say(DayStarted(command.day, command.feed_session, command.midnight))
    crossed = []
    for instrument in market.instruments:
        phase = first_phase(market, instrument)
        if instrument.phase != Phase.HALTED:
            if phase == Phase.CONTINUOUS and auction.must_uncross(market, instrument):
                phase = Phase.OPENING_AUCTION
                crossed.append(instrument)
            instrument.phase = phase
        expect_indication(market, instrument)
        market.say(listed(instrument))
    hour(market, "S")
    if any(instrument.phase == Phase.CONTINUOUS for instrument in market.instruments):
        hour(market, "Q")
    for instrument in market.instruments:
        renew(market, instrument)
    for instrument in market.instruments:
        if instrument.phase == Phase.CONTINUOUS:
            instrument.sales = [instrument.last]
            trading.settle(market, instrument)
    for instrument in crossed:
        change(market, instrument, Phase.CONTINUOUS)


def first_phase(market: Market, instrument: Instrument) -> int:
    """The phase whose time it is when the day begins; without a schedule, trading."""
    schedule = schedule_of(market, instrument)
    begun = [at for at in schedule if at <= market.now]
    instrument.scheduled_at = max(begun, default=0)
    instrument.due_phase = Phase.CONTINUOUS
    if schedule:
        instrument.due_phase = schedule[max(begun)] if begun else Phase.CLOSED
    return instrument.due_phase


def listed(instrument: Instrument) -> InstrumentListed:
    return InstrumentListed(
        instrument.instrument_id,
        instrument.symbol,
        instrument.tick_size,
        instrument.lot_size,
        instrument.round_lot_size,
        public(instrument.phase),
    )


def renew(market: Market, instrument: Instrument) -> None:
    """Tell the public of the orders that were carried over, and their owners."""
    for order in in_order(market, instrument):
        if order.displayed:
            market.tell_booked(order)
        market.restate(order, order.order_ref, 0, RestatementReason.GT_RENEWAL)
        if 0 < order.wants.expire_at <= market.now:
            market.expire(order)


def end_day(market: Market, command: EndDay) -> None:
    if "Q" in market.hours and "M" not in market.hours:
        hour(market, "M")
    for instrument in market.instruments:
        for order in in_order(market, instrument):
            due = 0 < order.wants.expire_at <= market.now
            if order.terms.time_in_force not in CARRIED or due:
                market.expire(order)
        if instrument.phase != Phase.HALTED:
            instrument.phase = Phase.CLOSED
        instrument.ends_at = instrument.scheduled_at = 0
        instrument.due_phase = Phase.CONTINUOUS
    market.schedule.clear()
    hour(market, "E")
    hour(market, "C")
    market.day_is_open = False
    market.say(DayEnded(command.day))


def in_order(market: Market, instrument: Instrument) -> list[Order]:
    book, stops, pegs = (
        [order for side in (BUY, SELL) for order in market.at(instrument, place, side)]
        for place in (Place.BOOK, Place.STOP, Place.PEG)
    )
    return book + stops + parked(market, instrument) + pegs
