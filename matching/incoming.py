"""An incoming order, where more may come between it and a trade than price and time.

    pegged orders    stand behind what is displayed at the same price; they have the prices that follow from the best
                     bid and ask when the order came in
    reserves         the next part comes into view when the displayed one is used up, last in the queue of its price
    self-match       happens instead of a trade, see `selfmatch`
    price bands      the order stops before a trade at a price outside of them. What may rest of it joins the volatility
                     auction that begins then; where the instrument has none, and of any other order, it is canceled

Before its first trade an order may want that a quantity is at hand: all of it (FOK), or MinQty(110). What counts is
what it could execute at once: within its price and the bands, hidden parts included, but none of its own group; where
such an order would stop or reduce it, counting ends. It looks at `MAX_LOOKED_AT` price levels or, if there is a group
with which it does not trade, levels and orders: what is behind these is not at hand.

An order that would trade more often than one transaction may say stands among the `work` as a `Sweep` and goes on,
unchanged, at the next `Continue`.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from matching.book import MARKET_RANK, MAX_LOOKED_AT, BookSide, take
from matching.codes import CancelReason, OrdType, TimeInForce
from matching.events import Event, OrderExecuted
from matching.instruments import Instrument
from matching.order import Order
from matching.outcomes import FILLED, Trade
from matching.pegs import best_prices, peg_price, pegs_within
from matching.phases import pause
from matching.protection import band
from matching.selfmatch import CANCEL_RESTING, prevent
from matching.state import State, Sweep
from matching.trade import (
    BUY,
    DAY,
    FOK,
    GOOD_TILL_DATE,
    IOC,
    LIMIT,
    book,
    cancel_rest,
    end,
    fill,
    hide,
    refill,
    stir,
)

#: What one meeting may say: two restatements and a refill; and what ends an order: its rest, a volatility auction.
ROOM: Final = 3 + 4

#: Above every rank: what an order without any price agrees with.
NOTHING: Final = MARKET_RANK + 1

STOP_LIMIT: Final = int(OrdType.STOP_LIMIT)
MARKET_WITH_LEFTOVER_AS_LIMIT: Final = int(OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT)
PEGGED: Final = int(OrdType.PEGGED)
GOOD_TILL_CANCEL: Final = int(TimeInForce.GOOD_TILL_CANCEL)


def side_of(instrument: Instrument, side: int) -> BookSide:
    """The side of the book that an order is for."""
    return instrument.book.bids if side == BUY else instrument.book.asks


def would_trade(instrument: Instrument, side: BookSide, price: int) -> bool:
    """Whether an order for this side with this limit would meet anybody now."""
    lowest = -side.sign * price
    best = side.opposite.best
    if best is not None and best.rank >= lowest:
        return True
    pegs = instrument.pegs.asks if side.sign > 0 else instrument.pegs.bids
    if pegs.best is None:
        return False
    best_bid, best_ask = best_prices(instrument)
    return bool(pegs_within(instrument, side.opposite, lowest, best_bid, best_ask))


def come_in(
    state: State, events: list[Event], instrument: Instrument, sweep: Sweep, min_qty: int, timestamp: int
) -> None:
    """Let an order trade what it can, then rest or be canceled. `min_qty`: what it must be able to execute."""
    sweep.best_bid, sweep.best_ask = best_prices(instrument)
    terms = sweep.terms
    if terms.ord_type == PEGGED:
        sweep.limit = peg_price(instrument, terms, sweep.best_bid, sweep.best_ask)
    reason = 0
    if min_qty and not is_at_hand(instrument, sweep, min_qty):
        reason = int(CancelReason.MINIMUM_QUANTITY)
    elif terms.time_in_force == FOK and not is_at_hand(instrument, sweep, sweep.leaves_qty):
        reason = int(CancelReason.FILL_OR_KILL)
    if reason:
        events.append(cancel_rest(state, sweep, reason))
        stir(state, instrument, 0, 0)
    else:
        go_on_trading(state, events, instrument, sweep, timestamp)


def go_on_trading(state: State, events: list[Event], instrument: Instrument, sweep: Sweep, timestamp: int) -> None:
    """Trade, as far as this transaction has room for it."""
    opposite = side_of(instrument, sweep.terms.side).opposite
    lowest = _lowest(sweep, opposite)
    lower, upper = band(instrument)
    pegs = pegs_within(instrument, opposite, lowest, sweep.best_bid, sweep.best_ask)
    met = 0
    stopped = False
    while sweep.leaves_qty:
        level = opposite.best
        rank = -NOTHING if level is None else level.rank
        resting = None if level is None else level.first
        is_peg = met < len(pegs) and pegs[met][0] > rank
        if is_peg:
            rank, resting = pegs[met]
        if resting is None or rank < lowest:
            break
        if len(events) > state.max_events - ROOM:
            state.work.insert(0, sweep)
            return
        price = opposite.sign * rank
        if not lower <= price <= upper:
            stopped = True
            break
        meet(state, events, sweep, resting, price, timestamp)
        met += is_peg  # one of the two has nothing left
    _finish(state, events, instrument, sweep, stopped, timestamp)


def _lowest(sweep: Sweep, opposite: BookSide) -> int:
    """The lowest rank of the other side with which an order agrees."""
    if sweep.limit:
        return opposite.sign * sweep.limit
    return NOTHING if sweep.terms.ord_type == PEGGED else -MARKET_RANK


# --- two that meet ----------------------------------------------------------------------------------------------------


def meet(state: State, events: list[Event], sweep: Sweep, resting: Order, price: int, timestamp: int) -> None:
    """Let an incoming order trade with a resting one, or not, if they are of one group."""
    group = sweep.session.participant.avoided_group
    if group and resting.session.participant.self_match_group == group:
        prevent(state, events, sweep, resting)
    else:
        _execute(state, events, sweep, resting, price, timestamp)


def _execute(state: State, events: list[Event], sweep: Sweep, resting: Order, price: int, timestamp: int) -> None:
    """One trade, and what becomes of both."""
    quantity = min(resting.displayed_qty or resting.hidden_qty, sweep.leaves_qty)
    take(resting, quantity)
    sweep.leaves_qty -= quantity
    notional = price * quantity
    resting.cum_qty += quantity
    resting.cum_notional += notional
    sweep.cum_qty += quantity
    sweep.cum_notional += notional
    sweep.first_price = sweep.first_price or price
    sweep.last_price = price
    state.last_match_number += 1
    traded = Trade(state.last_match_number, timestamp, price, quantity, resting.terms, sweep.terms)
    participant, resting_participant = sweep.session.participant, resting.session.participant
    participant.trades.append(traded)
    if resting_participant is not participant:
        resting_participant.trades.append(traded)
    resting_participant.seq = resting_seq = resting_participant.seq + 1
    participant.seq += 1
    events.append(
        OrderExecuted(
            state.last_match_number,
            price,
            quantity,
            resting.terms,
            resting.order_ref,
            resting_seq,
            resting.cum_qty,
            resting.leaves_qty,
            resting.cum_notional,
            sweep.terms,
            participant.seq,
            sweep.cum_qty,
            sweep.leaves_qty,
            sweep.cum_notional,
        )
    )
    if not resting.leaves_qty:
        fill(state, resting, traded)
    elif resting.order_ref and not resting.displayed_qty:
        events.append(refill(state, resting))
    if not sweep.leaves_qty:
        end(state, sweep, FILLED)
        if quantity == sweep.cum_qty:
            state.remember(sweep.terms.order_id, traded)


# --- what becomes of the rest -----------------------------------------------------------------------------------------


def _finish(
    state: State, events: list[Event], instrument: Instrument, sweep: Sweep, stopped: bool, timestamp: int
) -> None:
    """The order is done: it rests or is gone, and others see to what it has set off."""
    if sweep.last_price:
        instrument.last_price = sweep.last_price
    rules = instrument.rules
    pauses = stopped and rules is not None and rules.pause > 0
    if sweep.leaves_qty:
        _settle(state, events, instrument, sweep, stopped, pauses)
    stir(state, instrument, sweep.first_price, sweep.last_price)
    if pauses:
        pause(state, instrument, events, timestamp)


def _settle(
    state: State, events: list[Event], instrument: Instrument, sweep: Sweep, stopped: bool, pauses: bool
) -> None:
    """Book what may rest, cancel anything else."""
    terms = sweep.terms
    time_in_force = terms.time_in_force
    rests = time_in_force in (DAY, GOOD_TILL_CANCEL, GOOD_TILL_DATE)
    price = sweep.limit or sweep.last_price
    if stopped and not pauses:
        events.append(cancel_rest(state, sweep, int(CancelReason.PRICE_BAND)))
    elif rests and terms.ord_type == PEGGED:
        stand_pegged(state, instrument, sweep)
    elif rests and price and terms.ord_type in (LIMIT, STOP_LIMIT, MARKET_WITH_LEFTOVER_AS_LIMIT):
        events.append(book(state, sweep, side_of(instrument, terms.side), price))
    elif stopped:
        events.append(cancel_rest(state, sweep, int(CancelReason.PRICE_BAND)))
    elif time_in_force == IOC:
        events.append(cancel_rest(state, sweep, int(CancelReason.IMMEDIATE_OR_CANCEL)))
    elif time_in_force == FOK:
        events.append(cancel_rest(state, sweep, int(CancelReason.FILL_OR_KILL)))
    else:
        events.append(cancel_rest(state, sweep, int(CancelReason.MARKET_REMAINDER)))


def stand_pegged(state: State, instrument: Instrument, sweep: Sweep) -> None:
    """Let a pegged order wait for somebody to trade with."""
    pegs = instrument.pegs
    hide(state, sweep, pegs.bids if sweep.terms.side == BUY else pegs.asks, 0)
    instrument.calm = False


# --- what is at hand --------------------------------------------------------------------------------------------------


def is_at_hand(instrument: Instrument, sweep: Sweep, wanted: int) -> bool:
    """Whether an order could execute this much at once, as far as it may look."""
    for offered in islice(_offers(instrument, sweep), MAX_LOOKED_AT):
        wanted -= offered
        if wanted <= 0:
            return True
    return False


def _offers(instrument: Instrument, sweep: Sweep) -> Iterator[int]:
    """What an order could execute at once, piece by piece, up to one of its own group that would stop or reduce it. Of
    a queue all that is displayed comes before anything hidden."""
    participant = sweep.session.participant
    group = participant.avoided_group
    for first, last, quantity in _queues_in_reach(instrument, sweep):
        if not group:
            yield quantity
            continue
        hidden_qty = 0
        order = first
        while order is not None:
            if order.session.participant.self_match_group != group:
                hidden_qty += order.hidden_qty
                yield order.displayed_qty
            elif participant.self_match != CANCEL_RESTING:
                return
            else:
                yield 0
            order = None if order is last else order.behind
        yield hidden_qty


def _queues_in_reach(instrument: Instrument, sweep: Sweep) -> Iterator[tuple[Order | None, Order | None, int]]:
    """(first order, last order, quantity) at each price that an order may trade at, the best first. A pegged order is a
    queue of its own."""
    opposite = side_of(instrument, sweep.terms.side).opposite
    lowest = _lowest(sweep, opposite)
    lower, upper = band(instrument)
    pegs = pegs_within(instrument, opposite, lowest, sweep.best_bid, sweep.best_ask)
    met = 0
    levels = opposite.queues()
    level = next(levels, None)
    while True:
        rank = -NOTHING if level is None else level.rank
        is_peg = met < len(pegs) and pegs[met][0] > rank
        if is_peg:
            rank = pegs[met][0]
        if rank < lowest or not lower <= opposite.sign * rank <= upper:
            return
        if is_peg:
            order = pegs[met][1]
            met += 1
            yield order, order, order.leaves_qty
        else:
            assert level is not None, "its rank agrees"
            yield level.first, level.last, level.quantity + level.hidden
            level = next(levels, None)
