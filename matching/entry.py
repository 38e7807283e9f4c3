"""NewOrder: accepted and traded, or rejected with the first reason that holds, in this order.

    COMMAND_EXPIRED          its `expires_at` has passed
    MARKET_CLOSED            no day is open
    UNKNOWN_INSTRUMENT
    INSTRUMENT_HALTED
    DUPLICATE_CL_ORD_ID      the session has used this ClOrdID today
    UNSUPPORTED_SIDE, UNSUPPORTED_ORD_TYPE, UNSUPPORTED_TIME_IN_FORCE
    PRICE_OUT_OF_RANGE       a limit price is 1..MAX_PRICE, a market order's is 0
    PRICE_NOT_ON_TICK
    QUANTITY_OUT_OF_RANGE    1..MAX_QUANTITY
    QUANTITY_NOT_ON_LOT

A rejected order leaves nothing behind but its `participant_seq`; its ClOrdID may be used again.
"""

from typing import Final

from matching.ids import MAX_PRICE, MAX_QUANTITY
from matching.instruments import TRADING, Instrument
from matching.messages import (
    Event,
    NewOrder,
    OrderAccepted,
    OrderRejected,
    OrderTerms,
    OrdType,
    RejectReason,
)
from matching.order import Order
from matching.state import State
from matching.trade import BUY, DAY, FOK, IOC, LIMIT, SELL, reach, settle, trade

MARKET: Final = int(OrdType.MARKET)


def enter_order(state: State, command: NewOrder, timestamp: int, session_id: int) -> list[Event]:
    """The events of a new order."""
    participant_id = command.participant_id
    seqs = state.participant_seqs
    seqs[participant_id] = seq = seqs.get(participant_id, 0) + 1
    cl_ord_ids = state.cl_ord_ids.get(session_id)
    if cl_ord_ids is None:
        cl_ord_ids = state.cl_ord_ids[session_id] = {}
    instrument = state.instruments.by_id.get(command.instrument_id)
    reason = _fault(state, instrument, cl_ord_ids, command, timestamp)
    if reason:
        return [OrderRejected(_terms(0, session_id, command), seq, reason)]
    assert instrument is not None
    state.last_order_id = order_id = state.last_order_id + 1
    terms = _terms(order_id, session_id, command)
    events: list[Event] = [OrderAccepted(terms, seq)]
    quantity = command.quantity
    if command.time_in_force == FOK:
        side = command.side
        opposite = instrument.book.asks if side == BUY else instrument.book.bids
        if not opposite.can_fill(quantity, reach(side, command.ord_type, command.price)):
            settle(state, events, terms, quantity, 0, 0)
            return events
    trade(state, events, terms, quantity, 0, 0)
    return events


def _terms(order_id: int, session_id: int, command: NewOrder) -> OrderTerms:
    return OrderTerms(
        order_id,
        command.participant_id,
        session_id,
        command.instrument_id,
        command.side,
        command.ord_type,
        command.time_in_force,
        command.price,
        command.quantity,
        command.cl_ord_id,
        command.account,
    )


def _fault(
    state: State,
    instrument: Instrument | None,
    cl_ord_ids: dict[bytes, Order | int],
    command: NewOrder,
    timestamp: int,
) -> int:
    """The first RejectReason that holds, or 0."""
    if 0 < command.expires_at < timestamp:
        return RejectReason.COMMAND_EXPIRED
    if not state.day:
        return RejectReason.MARKET_CLOSED
    if instrument is None:
        return RejectReason.UNKNOWN_INSTRUMENT
    if instrument.state != TRADING:
        return RejectReason.INSTRUMENT_HALTED
    if command.cl_ord_id in cl_ord_ids:
        return RejectReason.DUPLICATE_CL_ORD_ID
    side = command.side
    if side != BUY and side != SELL:
        return RejectReason.UNSUPPORTED_SIDE
    ord_type = command.ord_type
    if ord_type != LIMIT and ord_type != MARKET:
        return RejectReason.UNSUPPORTED_ORD_TYPE
    time_in_force = command.time_in_force
    if time_in_force != DAY and time_in_force != IOC and time_in_force != FOK:
        return RejectReason.UNSUPPORTED_TIME_IN_FORCE
    return figures_fault(instrument, ord_type, command.price, command.quantity)


def figures_fault(instrument: Instrument, ord_type: int, price: int, quantity: int) -> int:
    """The first RejectReason that speaks against a price or quantity on this instrument, or 0."""
    if ord_type == LIMIT:
        if not 0 < price <= MAX_PRICE:
            return RejectReason.PRICE_OUT_OF_RANGE
        if price % instrument.tick_size:
            return RejectReason.PRICE_NOT_ON_TICK
    elif price:
        return RejectReason.PRICE_OUT_OF_RANGE
    if not 0 < quantity <= MAX_QUANTITY:
        return RejectReason.QUANTITY_OUT_OF_RANGE
    if quantity % instrument.lot_size:
        return RejectReason.QUANTITY_NOT_ON_LOT
    return 0
