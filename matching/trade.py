"""The match, and how an order comes to rest and is gone.

An incoming order trades with the best-priced resting order, the earliest first among equals, at the resting order's
price, until it is filled or nothing within its price is left. What remains of a Day limit order is booked; what remains
of any other is canceled with the reason.

`trade` is that and nothing else, for a plain order and a book in which all is displayed: most orders go through it, and
it costs little. Where pegged orders, reserves, price bands or self-match prevention may come in between, `incoming`
does the same with more care. It also goes on with an order that would trade more often than one transaction may say.
"""

from typing import Final

from matching.book import BookSide, join, leave, unlink
from matching.codes import CancelReason, OrdStatus, OrdType, Side, TimeInForce
from matching.constructors import closed_order, order_booked, order_canceled, order_executed, trade_of
from matching.events import Event, OrderBooked, OrderCanceled, OrderTerms
from matching.instruments import Instrument
from matching.order import Boxed, Order
from matching.outcomes import FILLED, Entry, Trade
from matching.state import Cascade, Session, State, Sweep

# Plain numbers: looking at an enumeration's member costs more than the comparison it is for.
BUY: Final = int(Side.BUY)
SELL: Final = int(Side.SELL)
MARKET: Final = int(OrdType.MARKET)
LIMIT: Final = int(OrdType.LIMIT)
DAY: Final = int(TimeInForce.DAY)
IOC: Final = int(TimeInForce.IOC)
FOK: Final = int(TimeInForce.FOK)
GOOD_TILL_DATE: Final = int(TimeInForce.GOOD_TILL_DATE)

CANCELED: Final = int(OrdStatus.CANCELED)
EXPIRED: Final = int(OrdStatus.EXPIRED)

FILL_OR_KILL: Final = int(CancelReason.FILL_OR_KILL)
IMMEDIATE_OR_CANCEL: Final = int(CancelReason.IMMEDIATE_OR_CANCEL)
MARKET_REMAINDER: Final = int(CancelReason.MARKET_REMAINDER)


def trade(
    state: State, events: list[Event], instrument: Instrument, session: Session, side: BookSide, lowest: int,
    terms: OrderTerms, leaves_qty: int, timestamp: Boxed,
) -> None:  # fmt: skip
    """Let the order that was accepted last trade, then rest or be canceled. `lowest`: the last rank it agrees with."""
    opposite, level = side.opposite, side.opposite.best
    assert level is not None, "there is somebody to trade with"
    first_price, resting, participant, accepted = level.price, level.first, session.participant, state.accepted
    match_number: Boxed = state.last_match_number
    seq, trades = participant.seq, participant.trades
    cum_qty, cum_notional, first_id = 0, 0, state.last_order_id + 1 - len(accepted)
    for _ in range(state.max_events - 1 - len(events)):  # one is left for what becomes of the rest
        assert resting is not None
        price, resting_leaves = level.price, resting.displayed_qty
        at: int = price
        quantity = resting_leaves if resting_leaves < leaves_qty else leaves_qty
        traded_qty: Boxed = quantity
        notional, resting_leaves = at * quantity, resting_leaves - quantity
        resting_cum: Boxed = resting.cum_qty + quantity
        resting_notional: Boxed = resting.cum_notional + notional
        leaves_qty, cum_qty, cum_notional = leaves_qty - quantity, cum_qty + quantity, cum_notional + notional
        match_number += 1
        resting_terms, resting_session = resting.terms, resting.session
        resting_participant = resting_session.participant
        traded = trade_of(match_number, timestamp, price, traded_qty, resting_terms, terms)
        trades.append(traded)
        if resting_participant is participant:
            seq = resting_seq = seq + 1
        else:
            resting_participant.seq = resting_seq = resting_participant.seq + 1
            resting_participant.trades.append(traded)
        seq += 1
        events.append(order_executed(
            match_number, price, traded_qty, resting_terms, resting.order_ref, resting_seq, resting_cum, resting_leaves,
            resting_notional, terms, seq, cum_qty, leaves_qty, cum_notional,
        ))  # fmt: skip
        if resting_leaves:
            level.quantity, resting.displayed_qty = level.quantity - quantity, resting_leaves
            resting.cum_qty, resting.cum_notional = resting_cum, resting_notional
            break
        del resting_session.orders[resting.cl_ord_id]
        entry: Entry = closed_order(resting_terms, FILLED, resting_cum, resting_notional) if resting.cum_qty else traded
        resting_id: int = resting.order_id
        if resting_id >= first_id:  # as `State.remember`, without the call
            accepted[resting_id - first_id] = entry
        else:
            state.carried[resting_id] = entry
        level.first = resting = resting.behind
        if resting is not None:
            level.quantity, resting.ahead = level.quantity - quantity, None
        else:
            level.last = None
            level = opposite.close_best(level)
            if level is None or level.rank < lowest:
                break
            resting = level.first
        if not leaves_qty:
            break
    state.last_match_number, participant.seq = match_number, seq
    if leaves_qty and level is not None and level.rank >= lowest:
        state.work.insert(0, Sweep(session, terms, terms.price, leaves_qty, cum_qty, cum_notional, first_price, price))
        return
    instrument.last_price = price
    if leaves_qty:
        events.append(settle(state, session, side, terms, leaves_qty, cum_qty, cum_notional))
    else:
        accepted[-1] = closed_order(terms, FILLED, cum_qty, cum_notional) if cum_qty != quantity else traded
    if instrument.stops.bids.best is not None or instrument.stops.asks.best is not None:
        stir(state, instrument, first_price, price)


def settle(
    state: State,
    session: Session,
    side: BookSide,
    terms: OrderTerms,
    leaves_qty: int,
    cum_qty: int,
    cum_notional: int,
) -> OrderBooked | OrderCanceled:
    """What becomes of the rest: that of a Day limit order is booked, that of any other is canceled."""
    time_in_force, cl_ord_id = terms.time_in_force, terms.cl_ord_id
    if time_in_force == DAY and terms.ord_type == LIMIT:
        order_id, price = terms.order_id, terms.price
        rank = price if side.sign > 0 else -price
        return order_booked(
            rest(state, session, side, rank, price, terms, order_id, cl_ord_id, leaves_qty, cum_qty, cum_notional),
            order_id,
            terms.participant_id,
            terms.instrument_id,
            terms.side,
            price,
            leaves_qty,
        )
    if time_in_force == FOK:
        reason = FILL_OR_KILL
    elif time_in_force == IOC:
        reason = IMMEDIATE_OR_CANCEL
    else:
        reason = MARKET_REMAINDER
    conclude(state, terms, CANCELED, cum_qty, cum_notional)
    session.participant.seq = seq = session.participant.seq + 1
    return order_canceled(terms, cl_ord_id, 0, leaves_qty, reason, seq, cum_qty, cum_notional)


def rest(
    state: State,
    session: Session,
    side: BookSide,
    rank: Boxed,
    price: Boxed,
    terms: OrderTerms,
    order_id: Boxed,
    cl_ord_id: bytes,
    leaves_qty: int,
    cum_qty: int,
    cum_notional: int,
) -> Boxed:
    """Put what is left of an order, whose ClOrdID is in use already, on the book, last in the queue of its price. Gives
    its new `order_ref`. `rank`, `price`, `order_id`, `cl_ord_id`: the terms', who comes here has them at hand."""
    order_ref: Boxed
    state.last_order_ref = order_ref = state.last_order_ref + 1
    order = Order()
    order.terms = terms
    order.order_id = order_id
    order.cl_ord_id = cl_ord_id
    order.session = session
    order.order_ref = order_ref
    order.displayed_qty = leaves_qty
    order.hidden_qty = 0
    order.cum_qty = cum_qty
    order.cum_notional = cum_notional
    order.behind = None
    session.orders[cl_ord_id] = order
    level = side.levels.get(rank)
    if level is None:
        order.ahead = None
        side.open(rank, price, order)
        return order_ref
    last = level.last
    assert last is not None, "a level has orders"
    order.ahead = last
    order.level = level
    level.last = last.behind = order
    level.quantity += leaves_qty
    return order_ref


def place(
    session: Session,
    side: BookSide,
    rank: int,
    price: int,
    terms: OrderTerms,
    order_ref: int,
    displayed_qty: int,
    hidden_qty: int,
    cum_qty: int,
    cum_notional: int,
) -> Order:
    """Let an order stand last in any queue, with any part of it in view."""
    order = Order()
    order.terms = terms
    order.order_id = terms.order_id
    order.cl_ord_id = cl_ord_id = terms.cl_ord_id
    order.session = session
    order.order_ref = order_ref
    order.displayed_qty = displayed_qty
    order.hidden_qty = hidden_qty
    order.cum_qty = cum_qty
    order.cum_notional = cum_notional
    session.orders[cl_ord_id] = order
    join(order, side, rank, price)
    return order


def book(state: State, sweep: Sweep, side: BookSide, price: int) -> OrderBooked:
    """Put what is left of an order on the book, and into view of it what it wants to be seen."""
    state.last_order_ref = order_ref = state.last_order_ref + 1
    terms = sweep.terms
    displayed_qty = _displayed(terms, sweep.leaves_qty)
    _stand(state, sweep, side, side.sign * price, price, order_ref, displayed_qty)
    return _booked(order_ref, terms, price, displayed_qty)


def hide(state: State, sweep: Sweep, side: BookSide, rank: int, price: int = 0) -> None:
    """Let what is left of an order wait in a queue, unseen."""
    _stand(state, sweep, side, rank, price, 0, 0)


def _stand(
    state: State, sweep: Sweep, side: BookSide, rank: int, price: int, order_ref: int, displayed_qty: int
) -> None:
    terms = sweep.terms
    hidden_qty = sweep.leaves_qty - displayed_qty
    cum_qty, cum_notional = sweep.cum_qty, sweep.cum_notional
    place(sweep.session, side, rank, price, terms, order_ref, displayed_qty, hidden_qty, cum_qty, cum_notional)
    if terms.time_in_force == GOOD_TILL_DATE:
        state.remember_expiry(terms)


def refill(state: State, order: Order) -> OrderBooked:
    """Bring the next part of a reserve into view: under a new order reference, last in the queue of its price."""
    level = order.level
    side, rank, price = level.side, level.rank, level.price
    leaves_qty = order.displayed_qty + order.hidden_qty
    unlink(order)
    state.last_order_ref = order.order_ref = state.last_order_ref + 1
    order.displayed_qty = _displayed(order.terms, leaves_qty)
    order.hidden_qty = leaves_qty - order.displayed_qty
    join(order, side, rank, price)
    return _booked(order.order_ref, order.terms, price, order.displayed_qty)


def _displayed(terms: OrderTerms, leaves_qty: int) -> int:
    """How much of an open quantity is displayed."""
    conditions = terms.conditions
    if conditions is None or not conditions.display_qty:
        return leaves_qty
    return min(conditions.display_qty, leaves_qty)


def _booked(order_ref: int, terms: OrderTerms, price: int, quantity: int) -> OrderBooked:
    return order_booked(
        order_ref, terms.order_id, terms.participant_id, terms.instrument_id, terms.side, price, quantity
    )


def stir(state: State, instrument: Instrument, first_price: int, last_price: int) -> None:
    """See whether an order that is done has set anything off: stops by its sales, from the first to the last price (0:
    it made none), or pegged orders that may meet now. That is the next work then."""
    instrument_id = instrument.definition.instrument_id
    if first_price and not instrument.stops.is_empty():
        lowest, highest = min(first_price, last_price), max(first_price, last_price)
        state.work.insert(0, Cascade(instrument_id, lowest, highest))
        return
    pegs = instrument.pegs
    if instrument.elected.best is not None or (pegs.bids.best is not None and pegs.asks.best is not None):
        state.work.insert(0, Cascade(instrument_id, 0, 0))


def cancel(state: State, order: Order, reason: int) -> OrderCanceled:
    """Cancel an order that rests; nobody asked for it."""
    close(state, order, CANCELED)
    participant = order.session.participant
    participant.seq += 1
    terms = order.terms
    quantity = order.displayed_qty + order.hidden_qty
    ref, seq = order.order_ref, participant.seq
    return order_canceled(terms, terms.cl_ord_id, ref, quantity, reason, seq, order.cum_qty, order.cum_notional)


def cancel_rest(state: State, sweep: Sweep, reason: int) -> OrderCanceled:
    """Cancel what is left of an incoming order."""
    terms, quantity = sweep.terms, sweep.leaves_qty
    sweep.leaves_qty = 0
    end(state, sweep, CANCELED)
    participant = sweep.session.participant
    participant.seq += 1
    seq = participant.seq
    return order_canceled(terms, terms.cl_ord_id, 0, quantity, reason, seq, sweep.cum_qty, sweep.cum_notional)


def end(state: State, sweep: Sweep, status: int) -> None:
    """Keep of an incoming order only what became of it."""
    conclude(state, sweep.terms, status, sweep.cum_qty, sweep.cum_notional)


def conclude(state: State, terms: OrderTerms, status: int, cum_qty: int, cum_notional: int) -> None:
    """Keep of an order that does not rest only what became of it."""
    if cum_qty or status != CANCELED:
        state.remember(terms.order_id, closed_order(terms, status, cum_qty, cum_notional))


def fill(state: State, order: Order, traded: Trade) -> None:
    """Take an order off the book that this trade has filled."""
    order_id = close(state, order, FILLED)
    if traded.quantity == order.cum_qty:
        state.remember(order_id, traded)


def close(state: State, order: Order, status: int) -> int:
    """Take an order off the book and keep only what became of it. Gives its id."""
    leave(order)
    order_id: int = order.order_id
    del order.session.orders[order.cl_ord_id]
    if order.cum_qty or status != CANCELED:
        state.remember(order_id, closed_order(order.terms, status, order.cum_qty, order.cum_notional))
    return order_id
