"""CancelOrder and ReplaceOrder: requests about an order that rests, on the book or where it waits.

A request names its order by OrigClOrdID(41), the ClOrdID its session last gave the order; where the session never used
that one, by OrderID(37), which finds any order of the same participant. A request is refused with the first reason that
holds, in this order, and then the order is as it was:

    COMMAND_EXPIRED             its `expires_at` has passed
    UNKNOWN_ORDER
    TOO_LATE                    the order is filled, canceled, expired, or goes by a newer ClOrdID since a replace; its
                                status is told as it is, by whichever ClOrdID it was named
    MARKET_CLOSED               the order lives on, but no day is open
    DUPLICATE_CL_ORD_ID         the session has used the request's own ClOrdID today
    TERMS_MISMATCH              it names another instrument or side

and a replace besides

    TERMS_MISMATCH              it names another type, time in force, instruction, peg, or a new minimum quantity
    INSTRUMENT_HALTED, NOT_IN_THIS_PHASE, ENTRY_BLOCKED    as for a new order
    PRICE_OUT_OF_RANGE … QUANTITY_NOT_ON_LOT               as for a new order
    QUANTITY_ALREADY_EXECUTED   the new quantity, which counts what was executed or lost before, leaves nothing open
    UNSUPPORTED_INSTRUCTION … WOULD_TRADE                  as for a new order

A replace that changes nothing but the quantity, to no more than before, keeps the order's place: it is *reduced*, a
reserve in its hidden part first. Any other loses it: the order leaves its queue and comes in again, under the same
order id, as if it were new; a stop order that was elected stays what it has become. A minimum quantity is for the first
time that an order comes in only, so a replace may leave it out and keep the place. An order that another session of its
participant replaces belongs to that session from then on; the one that had it is told first, by `OrderRestated`.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import astuple, replace

from matching.admission import admit, arrive
from matching.book import leave
from matching.codes import CancelReason, OrdStatus, RejectReason, RestatementReason
from matching.commands import CancelOrder, Conditions, ReplaceOrder
from matching.conditions import NO_CONDITIONS
from matching.constructors import closed_order, order_canceled, order_reduced, order_replaced, order_terms
from matching.entry import figures_fault, phase_fault, wish_fault
from matching.events import (
    CancelRejected,
    Event,
    OrderReduced,
    OrderRestated,
    OrderTerms,
)
from matching.ids import MAX_PRICE, MAX_QUANTITY
from matching.incoming import would_trade
from matching.instruments import CONTINUOUS, Instrument
from matching.order import Boxed, Order
from matching.outcomes import ClosedOrder
from matching.state import Session, State, Sweep
from matching.trade import BUY, CANCELED, GOOD_TILL_DATE, LIMIT, SELL, rest, stir

NEW: Final = int(OrdStatus.NEW)
PARTIALLY_FILLED: Final = int(OrdStatus.PARTIALLY_FILLED)
REJECTED: Final = int(OrdStatus.REJECTED)
REQUESTED: Final = int(CancelReason.REQUESTED)
TAKEN_OVER: Final = int(RestatementReason.TAKEN_OVER)

#: All fields at once, see `entry`.
_cancel_fields: Final[Callable[[CancelOrder], tuple[int, Boxed, int, int, int, bytes, bytes]]] = astuple
_replace_fields: Final[
    Callable[
        [ReplaceOrder],
        tuple[int, Boxed, int, int, int, Boxed, Boxed, int, int, bytes, bytes, bytes, Conditions | None],
    ]
] = astuple
_terms_fields: Final[
    Callable[
        [OrderTerms],
        tuple[Boxed, Boxed, Boxed, Boxed, Boxed, int, int, int, int, bytes, bytes, Conditions | None],
    ]
] = astuple

#: What a request may name: a resting order, one that is closed, or by its id one that has got another ClOrdID since.
Named = Order | ClosedOrder | int

#: CxlRejResponseTo(434).
TO_CANCEL: Final = 1
TO_REPLACE: Final = 2


def cancel_order(state: State, command: CancelOrder, timestamp: int, session_id: int) -> list[Event]:
    """The events of a cancel request."""
    participant_id, instrument_id, side, order_id, expires_at, cl_ord_id, orig_cl_ord_id = _cancel_fields(command)
    session = state.sessions.get(session_id)
    if session is None or session.participant_id != participant_id:
        session = state.session(session_id, participant_id)
    participant = session.participant
    participant.seq = seq = participant.seq + 1
    orders = session.orders
    order = orders.get(orig_cl_ord_id)
    instrument = state.instruments.by_id.get(instrument_id)
    if (  # it is not certain that nothing is wrong
        order is None
        or instrument is None
        or order.level.side is not (instrument.book.bids if side == BUY else instrument.book.asks)
        or (side != BUY and side != SELL)
        or not state.day
        or (expires_at and expires_at < timestamp)
        or not session.cl_ord_ids.add(cl_ord_id, order.order_id)
    ):
        named: Named | None = _named(state, session, orig_cl_ord_id, order_id) if order is None else order
        reason = _fault(state, session, named, instrument_id, side, cl_ord_id, expires_at, timestamp)
        if reason:
            return [_rejected(state, command, session_id, seq, TO_CANCEL, named, reason)]
        assert isinstance(named, Order)
        order = named
        instrument = state.instruments.by_id[instrument_id]
        orders = order.session.orders
        orig_cl_ord_id = order.cl_ord_id
        session.cl_ord_ids.add(cl_ord_id, order.order_id)
    leave(order)
    terms, closed_id = order.terms, order.order_id
    cum_qty, cum_notional = order.cum_qty, order.cum_notional
    if cum_qty:
        state.remember(closed_id, closed_order(terms, CANCELED, cum_qty, cum_notional))
    del orders[orig_cl_ord_id]
    if instrument.pegs.bids.best is not None:
        stir(state, instrument, 0, 0)
    leaves_qty = order.displayed_qty + order.hidden_qty
    return [order_canceled(terms, cl_ord_id, order.order_ref, leaves_qty, REQUESTED, seq, cum_qty, cum_notional)]


def replace_order(state: State, command: ReplaceOrder, timestamp: int, session_id: int) -> list[Event]:
    """The events of a cancel/replace request."""
    (
        participant_id, instrument_id, side, ord_type, time_in_force, limit, order_qty, order_id, expires_at, cl_ord_id,
        orig_cl_ord_id, account, conditions,
    ) = _replace_fields(command)  # fmt: skip
    session = state.sessions.get(session_id)
    if session is None or session.participant_id != participant_id:
        session = state.session(session_id, participant_id)
    participant = session.participant
    participant.seq = seq = participant.seq + 1
    order = session.orders.get(orig_cl_ord_id)
    instrument = state.instruments.by_id.get(instrument_id)
    if (  # it is not certain that nothing is wrong
        order is None
        or instrument is None
        or order.level.side is not (instrument.book.bids if side == BUY else instrument.book.asks)
        or (side != BUY and side != SELL)
        or session.cl_ord_ids.get(cl_ord_id) is not None
        or not state.day
        or (expires_at and expires_at < timestamp)
    ):
        named: Named | None = _named(state, session, orig_cl_ord_id, order_id) if order is None else order
        reason = _fault(state, session, named, instrument_id, side, cl_ord_id, expires_at, timestamp)
        if reason:
            return [_rejected(state, command, session_id, seq, TO_REPLACE, named, reason)]
        assert isinstance(named, Order)
        order = named
        instrument = state.instruments.by_id[instrument_id]
    (
        id_, _, _, _, _, old_ord_type, old_time_in_force, old_price, old_qty, old_cl_ord_id, _, old_conditions,
    ) = _terms_fields(order.terms)  # fmt: skip
    price: int = limit
    quantity: int = order_qty
    more_qty = quantity - old_qty
    if (  # it is not certain that nothing is wrong
        not instrument.calm
        or ord_type != LIMIT
        or ord_type != old_ord_type
        or time_in_force != old_time_in_force
        or conditions is not None
        or old_conditions is not None
        or session.blocked
        or not 0 < price <= MAX_PRICE
        or price % instrument.tick_size
        or quantity > MAX_QUANTITY
        or quantity % instrument.lot_size
        or order.displayed_qty + order.hidden_qty + more_qty <= 0
    ):
        reason = _replace_fault(session, instrument, command, order, timestamp)
        if reason:
            return [_rejected(state, command, session_id, seq, TO_REPLACE, order, reason)]
    events: list[Event] = []
    if order.session is not session:
        events.append(_taken_over(order, seq))
        participant.seq = seq = seq + 1
    terms = order_terms(
        id_, participant_id, session_id, instrument_id, side, ord_type, time_in_force, limit, order_qty, cl_ord_id,
        account, conditions,
    )  # fmt: skip
    del order.session.orders[old_cl_ord_id]
    session.cl_ord_ids.add(cl_ord_id, id_)
    state.remember(id_, terms)
    if price == old_price and more_qty <= 0 and (conditions is old_conditions or _wants_the_same(order.terms, terms)):
        events.append(_reduced(order, session, terms, cl_ord_id, -more_qty, seq))
    else:
        _requeue(state, events, instrument, order, session, terms, price, more_qty, seq, timestamp)
    return events


def _taken_over(order: Order, seq: int) -> OrderRestated:
    """What the session is told that had the order."""
    figures = order.cum_qty, order.displayed_qty + order.hidden_qty, order.cum_notional
    return OrderRestated(order.terms, 0, 0, TAKEN_OVER, seq, *figures)


def _wants_the_same(old: OrderTerms, new: OrderTerms) -> bool:
    """Whether both ask for the same besides side, price and quantity. A minimum quantity has done its work and
    asks for nothing any more."""
    then, now = old.conditions or NO_CONDITIONS, new.conditions or NO_CONDITIONS
    return then == now or then == replace(now, min_qty=then.min_qty)


def _reduced(
    order: Order, session: Session, terms: OrderTerms, cl_ord_id: bytes, canceled_qty: int, seq: int
) -> OrderReduced:
    """The order stays where it is and takes its new terms. The public learns of what was displayed."""
    orig_cl_ord_id = order.cl_ord_id
    level = order.level
    if order.hidden_qty:
        hidden_qty = min(canceled_qty, order.hidden_qty)
        order.hidden_qty -= hidden_qty
        level.hidden -= hidden_qty
        level.side.hidden -= hidden_qty
        canceled_qty -= hidden_qty
    order.displayed_qty -= canceled_qty
    level.quantity -= canceled_qty
    order.terms = terms
    order.cl_ord_id = cl_ord_id
    order.session = session
    session.orders[cl_ord_id] = order
    leaves_qty = order.displayed_qty + order.hidden_qty
    return order_reduced(
        terms, orig_cl_ord_id, order.order_ref, canceled_qty, seq, order.cum_qty, leaves_qty, order.cum_notional
    )


def _requeue(
    state: State,
    events: list[Event],
    instrument: Instrument,
    order: Order,
    session: Session,
    terms: OrderTerms,
    price: int,
    more_qty: int,
    seq: int,
    timestamp: int,
) -> None:
    """The order leaves its queue and comes in again: at the end of one, or by trading first."""
    side = order.level.side
    leave(order)
    cum_qty = order.cum_qty
    cum_notional = order.cum_notional
    leaves_qty = order.displayed_qty + order.hidden_qty + more_qty
    order_ref = 0
    wants = terms.conditions
    # Of a reserve, `OrderReplaced` does not say how much is displayed; of what was left of a market order, the price.
    whole = order.order_ref and price and (wants is None or not wants.display_qty)
    if whole and not (instrument.phase == CONTINUOUS and would_trade(instrument, side, price)):
        rank = price if side.sign > 0 else -price
        order_id, cl_ord_id = terms.order_id, terms.cl_ord_id
        order_ref = rest(
            state, session, side, rank, price, terms, order_id, cl_ord_id, leaves_qty, cum_qty, cum_notional
        )
    replaced = order_replaced(
        terms, order.cl_ord_id, order.order_ref, order_ref, seq, cum_qty, leaves_qty, cum_notional
    )
    events.append(replaced)
    if order_ref:
        if wants is not None and terms.time_in_force == GOOD_TILL_DATE:
            state.remember_expiry(terms)
        if instrument.pegs.bids.best is not None:
            stir(state, instrument, 0, 0)
        return
    sweep = Sweep(session, terms, price, leaves_qty, cum_qty, cum_notional)
    if side is instrument.book.bids or side is instrument.book.asks:
        sweep.limit = price or order.level.price
        arrive(state, events, instrument, sweep, timestamp)
    else:
        admit(state, events, instrument, sweep, 0, timestamp)


def _named(state: State, session: Session, cl_ord_id: bytes, order_id: int) -> Named | None:
    """What a request names that names no ClOrdID of a resting order. The OrderID counts where nobody knows the ClOrdID:
    it may be that of an order of the same participant's other session."""
    named = session.cl_ord_ids.get(cl_ord_id)
    if named is not None:
        became = state.outcome(named)
        return named if isinstance(became, Order) else became  # it rests under another name
    order = state.order(order_id)
    return order if order is not None and order.session.participant is session.participant else None


def _fault(
    state: State,
    session: Session,
    order: Named | None,
    instrument_id: int,
    side: int,
    cl_ord_id: bytes,
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
    if not state.day:
        return RejectReason.MARKET_CLOSED
    if session.cl_ord_ids.get(cl_ord_id) is not None:
        return RejectReason.DUPLICATE_CL_ORD_ID
    terms = order.terms
    if instrument_id != terms.instrument_id or side != terms.side:
        return RejectReason.TERMS_MISMATCH
    return 0


def _replace_fault(
    session: Session, instrument: Instrument, command: ReplaceOrder, order: Order, timestamp: int
) -> int:
    """The first RejectReason that holds against a replace of this resting order, or 0."""
    terms = order.terms
    if command.ord_type != terms.ord_type or command.time_in_force != terms.time_in_force:
        return RejectReason.TERMS_MISMATCH
    now, then = command.conditions or NO_CONDITIONS, terms.conditions or NO_CONDITIONS
    if now.exec_inst != then.exec_inst or now.peg != then.peg or now.min_qty not in (0, then.min_qty):
        return RejectReason.TERMS_MISMATCH
    reason = phase_fault(instrument)
    if reason:
        return reason
    if session.blocked:
        return RejectReason.ENTRY_BLOCKED
    reason = figures_fault(instrument, terms.ord_type, command.price, command.quantity)
    if reason:
        return reason
    if order.displayed_qty + order.hidden_qty + command.quantity <= terms.order_qty:
        return RejectReason.QUANTITY_ALREADY_EXECUTED
    return wish_fault(instrument, command, timestamp)


def _rejected(
    state: State,
    command: CancelOrder | ReplaceOrder,
    session_id: int,
    seq: int,
    response_to: int,
    order: Named | None,
    reason: int,
) -> CancelRejected:
    """The refusal, with the OrderID and OrdStatus of the order it names; FIX calls an unknown order's Rejected."""
    if isinstance(order, int):
        order = state.outcome(order)
    if order is None:
        order_id, ord_status = 0, REJECTED
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
