"""What an incoming order does once it is accepted: trade with the other side, then rest or be canceled.

It trades with the best-priced resting order, the earliest first among equals, at the resting order's price, until it
is filled or nothing within its price is left. What remains of a Day limit order is booked; what remains of any other is
canceled with the reason. An order that would trade more often than one transaction may say becomes a `Sweep` and goes
on, unchanged, at the next `Continue`.
"""

from typing import Final

from matching.book import REACHES_ALL, rest
from matching.messages import (
    CancelReason,
    Event,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderTerms,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)
from matching.order import Order
from matching.state import STATUS_BITS, State, Sweep

# Plain numbers: looking at an enumeration's member costs more than the comparison it is for.
BUY: Final = int(Side.BUY)
SELL: Final = int(Side.SELL)
LIMIT: Final = int(OrdType.LIMIT)
DAY: Final = int(TimeInForce.DAY)
FOK: Final = int(TimeInForce.FOK)
IOC: Final = int(TimeInForce.IOC)
FILLED: Final = int(OrdStatus.FILLED)
CANCELED: Final = int(OrdStatus.CANCELED)


def reach(side: int, ord_type: int, price: int) -> int:
    """The lowest rank of the other side that an order trades with."""
    if ord_type != LIMIT:
        return REACHES_ALL
    return -price if side == BUY else price


def trade(
    state: State, events: list[Event], terms: OrderTerms, leaves_qty: int, cum_qty: int, cum_notional: int
) -> None:
    """Let an order that is on no book trade, then rest or be canceled. Events of it are appended."""
    side = terms.side
    book = state.instruments.by_id[terms.instrument_id].book
    opposite = book.asks if side == BUY else book.bids
    level = opposite.best
    lowest = reach(side, terms.ord_type, terms.price)
    if level is not None and level.rank >= lowest:
        participant_id = terms.participant_id
        seqs = state.participant_seqs
        while level is not None and level.rank >= lowest:
            if len(events) >= state.max_events - 1:  # one is left for what becomes of the rest
                state.work = Sweep(terms, leaves_qty, cum_qty, cum_notional)
                return
            resting = level.first
            assert resting is not None
            price = level.price
            resting_leaves = resting.leaves_qty
            quantity = resting_leaves if resting_leaves < leaves_qty else leaves_qty
            notional = price * quantity
            leaves_qty -= quantity
            cum_qty += quantity
            cum_notional += notional
            resting_leaves -= quantity
            resting_cum = resting.cum_qty + quantity
            resting_notional = resting.cum_notional + notional
            resting_terms = resting.terms
            seqs[resting_terms.participant_id] = resting_seq = seqs[resting_terms.participant_id] + 1
            seqs[participant_id] = seq = seqs[participant_id] + 1
            state.last_match_number = match_number = state.last_match_number + 1
            events.append(
                OrderExecuted(
                    match_number,
                    price,
                    quantity,
                    resting_terms,
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
                resting.leaves_qty = resting_leaves
                resting.cum_qty = resting_cum
                resting.cum_notional = resting_notional
                level.quantity -= quantity
            else:
                opposite.remove(resting)
                close(state, resting, FILLED)
            if not leaves_qty:
                entry = terms.order_id << STATUS_BITS | FILLED
                state.cl_ord_ids[terms.session_id][terms.cl_ord_id] = entry
                return
            level = opposite.best
    settle(state, events, terms, leaves_qty, cum_qty, cum_notional)


def settle(
    state: State, events: list[Event], terms: OrderTerms, leaves_qty: int, cum_qty: int, cum_notional: int
) -> None:
    """Book what remains of a Day limit order, cancel what remains of any other."""
    time_in_force = terms.time_in_force
    if terms.ord_type == LIMIT and time_in_force == DAY:
        side = terms.side
        order_id = terms.order_id
        book = state.instruments.by_id[terms.instrument_id].book
        state.last_order_ref = order_ref = state.last_order_ref + 1
        order = rest(book.bids if side == BUY else book.asks, terms, order_ref, leaves_qty, cum_qty, cum_notional)
        state.orders[order_id] = order
        state.cl_ord_ids[terms.session_id][terms.cl_ord_id] = order
        events.append(
            OrderBooked(order_ref, order_id, terms.participant_id, terms.instrument_id, side, terms.price, leaves_qty)
        )
        return
    if time_in_force == FOK:
        reason = CancelReason.FILL_OR_KILL
    elif time_in_force == IOC:
        reason = CancelReason.IMMEDIATE_OR_CANCEL
    else:
        reason = CancelReason.MARKET_REMAINDER
    seqs = state.participant_seqs
    seqs[terms.participant_id] = seq = seqs[terms.participant_id] + 1
    state.cl_ord_ids[terms.session_id][terms.cl_ord_id] = terms.order_id << STATUS_BITS | CANCELED
    events.append(OrderCanceled(terms, terms.cl_ord_id, 0, leaves_qty, reason, seq, cum_qty, cum_notional))


def close(state: State, order: Order, ord_status: int) -> None:
    """Forget an order that has left the book, except what became of it."""
    terms = order.terms
    del state.orders[terms.order_id]
    state.cl_ord_ids[terms.session_id][terms.cl_ord_id] = terms.order_id << STATUS_BITS | ord_status
