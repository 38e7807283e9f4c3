"""CancelOrder and ReplaceOrder: requests about an order that rests.

A request names its order by OrigClOrdID(41), the ClOrdID its session last gave the order; where the session never used
that one, by OrderID(37), which finds any order of the same participant. A request is refused with the first reason that
holds, in this order, and then the order is as it was:

    COMMAND_EXPIRED             its `expires_at` has passed
    UNKNOWN_ORDER
    TOO_LATE                    the order is filled, canceled, expired, or goes by a newer ClOrdID since a replace
    DUPLICATE_CL_ORD_ID         the session has used the request's own ClOrdID today
    TERMS_MISMATCH              it names another instrument or side (a replace: or type, or time in force)

and a replace besides

    INSTRUMENT_HALTED
    PRICE_OUT_OF_RANGE … QUANTITY_NOT_ON_LOT    as for a new order
    QUANTITY_ALREADY_EXECUTED   the new quantity, which counts what was executed, leaves nothing open

A replace at the same price for no more than before keeps the order's place: it is *reduced*. Any other loses it: the
order leaves its queue and comes in again, under the same order id, as if it were new. An order that another session of
its participant replaced belongs to that session from then on.
"""

from typing import Final

from matching.entry import figures_fault
from matching.instruments import TRADING
from matching.messages import (
    CancelOrder,
    CancelReason,
    CancelRejected,
    Event,
    OrderCanceled,
    OrderReduced,
    OrderReplaced,
    OrderTerms,
    OrdStatus,
    RejectReason,
    ReplaceOrder,
)
from matching.order import Order
from matching.state import STATUS_BITS, STATUS_MASK, State
from matching.trade import BUY, CANCELED, close, reach, trade

NEW: Final = int(OrdStatus.NEW)
PARTIALLY_FILLED: Final = int(OrdStatus.PARTIALLY_FILLED)
REPLACED: Final = int(OrdStatus.REPLACED)
REJECTED: Final = int(OrdStatus.REJECTED)
REQUESTED: Final = int(CancelReason.REQUESTED)

#: CxlRejResponseTo(434).
TO_CANCEL: Final = 1
TO_REPLACE: Final = 2


def cancel_order(state: State, command: CancelOrder, timestamp: int, session_id: int) -> list[Event]:
    """The events of a cancel request."""
    cl_ord_ids = state.cl_ord_ids.get(session_id)
    if cl_ord_ids is None:
        cl_ord_ids = state.cl_ord_ids[session_id] = {}
    order = cl_ord_ids.get(command.orig_cl_ord_id) or _by_order_id(state, command)
    reason = _fault(command, cl_ord_ids, order, timestamp)
    if reason:
        return _rejected(state, command, session_id, TO_CANCEL, order, reason)
    assert isinstance(order, Order)
    order.level.side.remove(order)
    close(state, order, CANCELED)
    terms = order.terms
    cl_ord_id = command.cl_ord_id
    cl_ord_ids[cl_ord_id] = terms.order_id << STATUS_BITS | CANCELED
    seqs = state.participant_seqs
    seqs[terms.participant_id] = seq = seqs[terms.participant_id] + 1
    leaves_qty = order.leaves_qty
    return [
        OrderCanceled(terms, cl_ord_id, order.order_ref, leaves_qty, REQUESTED, seq, order.cum_qty, order.cum_notional)
    ]


def replace_order(state: State, command: ReplaceOrder, timestamp: int, session_id: int) -> list[Event]:
    """The events of a cancel/replace request."""
    cl_ord_ids = state.cl_ord_ids.get(session_id)
    if cl_ord_ids is None:
        cl_ord_ids = state.cl_ord_ids[session_id] = {}
    order = cl_ord_ids.get(command.orig_cl_ord_id) or _by_order_id(state, command)
    reason = _fault(command, cl_ord_ids, order, timestamp) or _replace_fault(state, command, order)
    if reason:
        return _rejected(state, command, session_id, TO_REPLACE, order, reason)
    assert isinstance(order, Order)
    old = order.terms
    state.cl_ord_ids[old.session_id][old.cl_ord_id] = old.order_id << STATUS_BITS | REPLACED
    seqs = state.participant_seqs
    seqs[old.participant_id] = seq = seqs[old.participant_id] + 1
    terms = OrderTerms(
        old.order_id,
        old.participant_id,
        session_id,
        old.instrument_id,
        old.side,
        old.ord_type,
        old.time_in_force,
        command.price,
        command.quantity,
        command.cl_ord_id,
        command.account,
    )
    if terms.price == old.price and terms.order_qty <= old.order_qty:
        cl_ord_ids[terms.cl_ord_id] = order
        return [_reduced(order, terms, seq)]
    return _requeued(state, order, terms, seq)


def _reduced(order: Order, terms: OrderTerms, seq: int) -> OrderReduced:
    """The order stays where it is and takes its new terms."""
    canceled_qty = order.terms.order_qty - terms.order_qty
    orig_cl_ord_id = order.terms.cl_ord_id
    order.terms = terms
    order.leaves_qty -= canceled_qty
    order.level.quantity -= canceled_qty
    return OrderReduced(
        terms,
        orig_cl_ord_id,
        order.order_ref,
        canceled_qty,
        seq,
        order.cum_qty,
        order.leaves_qty,
        order.cum_notional,
    )


def _requeued(state: State, order: Order, terms: OrderTerms, seq: int) -> list[Event]:
    """The order leaves its queue and comes in again: at the end of one, or by trading first."""
    side = order.level.side
    side.remove(order)
    orig_cl_ord_id = order.terms.cl_ord_id
    orig_order_ref = order.order_ref
    cum_qty = order.cum_qty
    cum_notional = order.cum_notional
    leaves_qty = terms.order_qty - cum_qty
    book = state.instruments.by_id[terms.instrument_id].book
    best = book.asks.best if terms.side == BUY else book.bids.best
    trades = best is not None and best.rank >= reach(terms.side, terms.ord_type, terms.price)
    order_ref = 0
    if not trades:
        state.last_order_ref = order_ref = state.last_order_ref + 1
    replaced = OrderReplaced(terms, orig_cl_ord_id, orig_order_ref, order_ref, seq, cum_qty, leaves_qty, cum_notional)
    events: list[Event] = [replaced]
    if trades:
        del state.orders[terms.order_id]
        trade(state, events, terms, leaves_qty, cum_qty, cum_notional)
    else:
        state.cl_ord_ids[terms.session_id][terms.cl_ord_id] = order
        order.terms = terms
        order.order_ref = order_ref
        order.leaves_qty = leaves_qty
        side.add(order, terms.price)
    return events


def _by_order_id(state: State, command: CancelOrder | ReplaceOrder) -> Order | None:
    """The resting order with the request's OrderID, if it is the participant's own."""
    order = state.orders.get(command.order_id)
    if order is None or order.terms.participant_id != command.participant_id:
        return None
    return order


def _fault(
    command: CancelOrder | ReplaceOrder,
    cl_ord_ids: dict[bytes, Order | int],
    order: Order | int | None,
    timestamp: int,
) -> int:
    """The first RejectReason that holds against any request, or 0: then the order rests."""
    if 0 < command.expires_at < timestamp:
        return RejectReason.COMMAND_EXPIRED
    if order is None:
        return RejectReason.UNKNOWN_ORDER
    if isinstance(order, int):
        return RejectReason.TOO_LATE
    if command.cl_ord_id in cl_ord_ids:
        return RejectReason.DUPLICATE_CL_ORD_ID
    terms = order.terms
    if command.instrument_id != terms.instrument_id or command.side != terms.side:
        return RejectReason.TERMS_MISMATCH
    return 0


def _replace_fault(state: State, command: ReplaceOrder, order: Order | int | None) -> int:
    """The first RejectReason that holds against a replace of this resting order, or 0."""
    assert isinstance(order, Order)
    terms = order.terms
    if command.ord_type != terms.ord_type or command.time_in_force != terms.time_in_force:
        return RejectReason.TERMS_MISMATCH
    instrument = state.instruments.by_id[terms.instrument_id]
    if instrument.state != TRADING:
        return RejectReason.INSTRUMENT_HALTED
    reason = figures_fault(instrument, terms.ord_type, command.price, command.quantity)
    if reason:
        return reason
    return RejectReason.QUANTITY_ALREADY_EXECUTED if command.quantity <= order.cum_qty else 0


def _rejected(
    state: State,
    command: CancelOrder | ReplaceOrder,
    session_id: int,
    response_to: int,
    order: Order | int | None,
    reason: int,
) -> list[Event]:
    """The refusal, with the OrderID and OrdStatus of the order it names; FIX calls an unknown order's Rejected."""
    if order is None:
        order_id, ord_status = 0, REJECTED
    elif isinstance(order, int):
        order_id, ord_status = order >> STATUS_BITS, order & STATUS_MASK
    else:
        order_id, ord_status = order.terms.order_id, PARTIALLY_FILLED if order.cum_qty else NEW
    participant_id = command.participant_id
    seqs = state.participant_seqs
    seqs[participant_id] = seq = seqs.get(participant_id, 0) + 1
    return [
        CancelRejected(
            participant_id,
            session_id,
            seq,
            order_id,
            command.cl_ord_id,
            command.orig_cl_ord_id,
            response_to,
            reason,
            ord_status,
        )
    ]
