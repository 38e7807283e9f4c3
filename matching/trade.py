"""What an incoming order does once it is accepted: trade with the other side, then rest or be canceled.

It trades with the best-priced resting order, the earliest first among equals, at the resting order's price, until it
is filled or nothing within its price is left. What remains of a Day limit order is booked; what remains of any other is
canceled with the reason. An order that would trade more often than one transaction may say becomes a `Sweep` and goes
on, unchanged, at the next `Continue`.
"""

from typing import Final

from matching.book import MARKET_RANK, BookSide, join, unlink
from matching.codes import CancelReason, OrdStatus, OrdType, Side, TimeInForce
from matching.events import Event, OrderBooked, OrderCanceled, OrderExecuted, OrderTerms
from matching.order import Order
from matching.state import ClosedOrder, Session, State, Sweep, Trade

# Plain numbers: looking at an enumeration's member costs more than the comparison it is for.
BUY: Final = int(Side.BUY)
SELL: Final = int(Side.SELL)
MARKET: Final = int(OrdType.MARKET)
LIMIT: Final = int(OrdType.LIMIT)
DAY: Final = int(TimeInForce.DAY)
IOC: Final = int(TimeInForce.IOC)
FOK: Final = int(TimeInForce.FOK)

FILLED: Final = int(OrdStatus.FILLED)
CANCELED: Final = int(OrdStatus.CANCELED)
EXPIRED: Final = int(OrdStatus.EXPIRED)


def trade(
    state: State,
    events: list[Event],
    session: Session,
    side: BookSide,
    terms: OrderTerms,
    leaves_qty: int,
    cum_qty: int,
    cum_notional: int,
    timestamp: int,
) -> None:
    """Let an order that is on no book trade, then rest on its `side` or be canceled. Its events are appended."""
    opposite = side.opposite
    lowest = -side.sign * terms.price if terms.ord_type == LIMIT else -MARKET_RANK
    participant = session.participant
    level = opposite.best
    while level is not None and level.rank >= lowest:
        if len(events) >= state.max_events - 1:  # one is left for what becomes of the rest
            state.work.insert(0, Sweep(session, terms, leaves_qty, cum_qty, cum_notional))
            return
        resting = level.first
        assert resting is not None
        resting_leaves = resting.displayed_qty
        quantity = resting_leaves if resting_leaves < leaves_qty else leaves_qty
        price = level.price
        notional = price * quantity
        resting_leaves -= quantity
        resting.cum_qty = resting_cum = resting.cum_qty + quantity
        resting.cum_notional = resting_notional = resting.cum_notional + notional
        leaves_qty -= quantity
        cum_qty += quantity
        cum_notional += notional
        state.last_match_number = match_number = state.last_match_number + 1
        resting_participant = resting.session.participant
        resting_participant.seq = resting_seq = resting_participant.seq + 1
        participant.seq = seq = participant.seq + 1
        traded = Trade(match_number, timestamp, price, quantity, resting.terms, terms)
        participant.trades.append(traded)
        if resting_participant is not participant:
            resting_participant.trades.append(traded)
        events.append(
            OrderExecuted(
                match_number,
                price,
                quantity,
                resting.terms,
                resting.order_ref,
                resting_seq,
                resting_cum,
                resting_leaves,
                resting_notional,
                terms,
                seq,
                cum_qty,
                leaves_qty,
                cum_notional,
            )
        )
        if resting_leaves:
            resting.displayed_qty = resting_leaves
            level.quantity -= quantity
        else:
            close(resting, FILLED)
        if not leaves_qty:
            session.cl_ord_ids[terms.cl_ord_id] = ClosedOrder(terms, FILLED, cum_qty, cum_notional)
            break
        level = opposite.best
    if leaves_qty:
        events.append(settle(state, session, side, terms, leaves_qty, cum_qty, cum_notional))


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
    time_in_force = terms.time_in_force
    if time_in_force == DAY and terms.ord_type == LIMIT:
        return OrderBooked(
            rest(state, session, side, terms, leaves_qty, cum_qty, cum_notional),
            terms.order_id,
            terms.participant_id,
            terms.instrument_id,
            terms.side,
            terms.price,
            leaves_qty,
        )
    if time_in_force == FOK:
        reason = CancelReason.FILL_OR_KILL
    elif time_in_force == IOC:
        reason = CancelReason.IMMEDIATE_OR_CANCEL
    else:
        reason = CancelReason.MARKET_REMAINDER
    session.cl_ord_ids[terms.cl_ord_id] = ClosedOrder(terms, CANCELED, cum_qty, cum_notional)
    session.participant.seq = seq = session.participant.seq + 1
    return OrderCanceled(terms, terms.cl_ord_id, 0, leaves_qty, reason, seq, cum_qty, cum_notional)


def rest(
    state: State,
    session: Session,
    side: BookSide,
    terms: OrderTerms,
    leaves_qty: int,
    cum_qty: int,
    cum_notional: int,
) -> int:
    """Put what is left of an order on the book, last in the queue of its price. Gives its new `order_ref`."""
    state.last_order_ref = order_ref = state.last_order_ref + 1
    order = Order()
    order.terms = terms
    order.session = session
    order.order_ref = order_ref
    order.displayed_qty = leaves_qty
    order.hidden_qty = 0
    order.cum_qty = cum_qty
    order.cum_notional = cum_notional
    session.participant.orders[terms.order_id] = order
    session.cl_ord_ids[terms.cl_ord_id] = order
    price = terms.price
    rank = side.sign * price
    level = side.levels.get(rank)
    if level is None:
        level = side.open(rank, price)
    last = level.last
    if last is None:
        level.first = order
    else:
        last.behind = order
    order.ahead = last
    order.behind = None
    order.level = level
    level.last = order
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
    order.session = session
    order.order_ref = order_ref
    order.displayed_qty = displayed_qty
    order.hidden_qty = hidden_qty
    order.cum_qty = cum_qty
    order.cum_notional = cum_notional
    session.participant.orders[terms.order_id] = order
    session.cl_ord_ids[terms.cl_ord_id] = order
    join(order, side, rank, price)
    return order


def close(order: Order, status: int) -> ClosedOrder:
    """Take an order off the book and keep only what became of it."""
    unlink(order)
    session = order.session
    terms = order.terms
    del session.participant.orders[terms.order_id]
    closed = session.cl_ord_ids[terms.cl_ord_id] = ClosedOrder(terms, status, order.cum_qty, order.cum_notional)
    return closed
