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

from matching.book import unlink
from matching.codes import CancelReason, OrdStatus, RejectReason
from matching.commands import CancelOrder, ReplaceOrder
from matching.entry import figures_fault
from matching.events import (
    CancelRejected,
    Event,
    OrderCanceled,
    OrderReduced,
    OrderReplaced,
    OrderTerms,
)
from matching.instruments import TRADING
from matching.order import Order
from matching.state import ClosedOrder, Entry, Session, State
from matching.trade import CANCELED, close, rest, trade

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
    participant_id = command.participant_id
    session = state.sessions.get(session_id)
    if session is None or session.participant_id != participant_id:
        session = state.session(session_id, participant_id)
    participant = session.participant
    participant.seq = seq = participant.seq + 1
    order = session.cl_ord_ids.get(command.orig_cl_ord_id) or participant.orders.get(command.order_id)
    cl_ord_id = command.cl_ord_id
    reason = _fault(session, order, cl_ord_id, command.instrument_id, command.side, command.expires_at, timestamp)
    if reason:
        return [_rejected(command, session_id, seq, TO_CANCEL, order, reason)]
    assert isinstance(order, Order)
    session.cl_ord_ids[cl_ord_id] = close(order, CANCELED)
    return [
        OrderCanceled(
            order.terms,
            cl_ord_id,
            order.order_ref,
            order.leaves_qty,
            REQUESTED,
            seq,
            order.cum_qty,
            order.cum_notional,
        )
    ]


def replace_order(state: State, command: ReplaceOrder, timestamp: int, session_id: int) -> list[Event]:
    """The events of a cancel/replace request."""
    participant_id = command.participant_id
    session = state.sessions.get(session_id)
    if session is None or session.participant_id != participant_id:
        session = state.session(session_id, participant_id)
    participant = session.participant
    participant.seq = seq = participant.seq + 1
    order = session.cl_ord_ids.get(command.orig_cl_ord_id) or participant.orders.get(command.order_id)
    cl_ord_id = command.cl_ord_id
    reason = _fault(
        session, order, cl_ord_id, command.instrument_id, command.side, command.expires_at, timestamp
    ) or _replace_fault(state, command, order)
    if reason:
        return [_rejected(command, session_id, seq, TO_REPLACE, order, reason)]
    assert isinstance(order, Order)
    old = order.terms
    terms = OrderTerms(
        old.order_id,
        participant_id,
        session_id,
        old.instrument_id,
        old.side,
        old.ord_type,
        old.time_in_force,
        command.price,
        command.quantity,
        cl_ord_id,
        command.account,
    )
    order.session.cl_ord_ids[old.cl_ord_id] = old.order_id
    state.revise(terms)
    if terms.price == old.price and terms.order_qty <= old.order_qty:
        return [_reduced(order, session, terms, seq)]
    return _requeued(state, order, session, terms, seq, timestamp)


def _reduced(order: Order, session: Session, terms: OrderTerms, seq: int) -> OrderReduced:
    """The order stays where it is and takes its new terms."""
    orig_cl_ord_id = order.terms.cl_ord_id
    canceled_qty = order.terms.order_qty - terms.order_qty
    order.displayed_qty = leaves_qty = order.displayed_qty - canceled_qty
    order.level.quantity -= canceled_qty
    order.terms = terms
    order.session = session
    session.cl_ord_ids[terms.cl_ord_id] = order
    return OrderReduced(
        terms, orig_cl_ord_id, order.order_ref, canceled_qty, seq, order.cum_qty, leaves_qty, order.cum_notional
    )


def _requeued(state: State, order: Order, session: Session, terms: OrderTerms, seq: int, timestamp: int) -> list[Event]:
    """The order leaves its queue and comes in again: at the end of one, or by trading first."""
    side = order.level.side
    unlink(order)
    cum_qty = order.cum_qty
    cum_notional = order.cum_notional
    leaves_qty = terms.order_qty - cum_qty
    best = side.opposite.best
    trades = best is not None and best.rank + side.sign * terms.price >= 0
    order_ref = 0 if trades else rest(state, session, side, terms, leaves_qty, cum_qty, cum_notional)
    replaced = OrderReplaced(
        terms, order.terms.cl_ord_id, order.order_ref, order_ref, seq, cum_qty, leaves_qty, cum_notional
    )
    events: list[Event] = [replaced]
    if trades:
        del session.participant.orders[terms.order_id]
        trade(state, events, session, side, terms, leaves_qty, cum_qty, cum_notional, timestamp)
    return events


def _fault(
    session: Session,
    order: Entry | None,
    cl_ord_id: bytes,
    instrument_id: int,
    side: int,
    expires_at: int,
    timestamp: int,
) -> int:
    """The first RejectReason that holds against any request, or 0: then the order rests."""
    if expires_at and expires_at < timestamp:
        return RejectReason.COMMAND_EXPIRED
    if order is None:
        return RejectReason.UNKNOWN_ORDER
    if not isinstance(order, Order):
        return RejectReason.TOO_LATE
    if cl_ord_id in session.cl_ord_ids:
        return RejectReason.DUPLICATE_CL_ORD_ID
    terms = order.terms
    if instrument_id != terms.instrument_id or side != terms.side:
        return RejectReason.TERMS_MISMATCH
    return 0


def _replace_fault(state: State, command: ReplaceOrder, order: Entry | None) -> int:
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
    command: CancelOrder | ReplaceOrder,
    session_id: int,
    seq: int,
    response_to: int,
    order: Entry | None,
    reason: int,
) -> CancelRejected:
    """The refusal, with the OrderID and OrdStatus of the order it names; FIX calls an unknown order's Rejected."""
    if order is None:
        order_id, ord_status = 0, REJECTED
    elif isinstance(order, int):
        order_id, ord_status = order, REPLACED
    elif isinstance(order, ClosedOrder):
        order_id, ord_status = order.terms.order_id, order.status
    else:
        order_id, ord_status = order.terms.order_id, PARTIALLY_FILLED if order.cum_qty else NEW
    return CancelRejected(
        command.participant_id,
        session_id,
        seq,
        order_id,
        command.cl_ord_id,
        command.orig_cl_ord_id,
        response_to,
        reason,
        ord_status,
    )
