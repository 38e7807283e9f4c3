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

from matching.book import MARKET_RANK
from matching.codes import RejectReason
from matching.commands import NewOrder
from matching.events import Event, OrderAccepted, OrderRejected, OrderTerms
from matching.ids import MAX_PRICE, MAX_QUANTITY
from matching.instruments import TRADING, Instrument
from matching.state import State
from matching.trade import BUY, DAY, FOK, IOC, LIMIT, MARKET, SELL, settle, trade


def enter_order(state: State, command: NewOrder, timestamp: int, session_id: int) -> list[Event]:
    """The events of a new order."""
    participant_id = command.participant_id
    session = state.sessions.get(session_id)
    if session is None or session.participant_id != participant_id:
        session = state.session(session_id, participant_id)
    session.participant.seq = seq = session.participant.seq + 1
    instrument = state.instruments.by_id.get(command.instrument_id)
    cl_ord_id = command.cl_ord_id
    side = command.side
    ord_type = command.ord_type
    time_in_force = command.time_in_force
    price = command.price
    quantity = command.quantity
    if command.expires_at and command.expires_at < timestamp:
        reason: int = RejectReason.COMMAND_EXPIRED
    elif not state.day:
        reason = RejectReason.MARKET_CLOSED
    elif instrument is None:
        reason = RejectReason.UNKNOWN_INSTRUMENT
    elif instrument.state != TRADING:
        reason = RejectReason.INSTRUMENT_HALTED
    elif cl_ord_id in session.cl_ord_ids:
        reason = RejectReason.DUPLICATE_CL_ORD_ID
    elif side != BUY and side != SELL:
        reason = RejectReason.UNSUPPORTED_SIDE
    elif ord_type != LIMIT and ord_type != MARKET:
        reason = RejectReason.UNSUPPORTED_ORD_TYPE
    elif time_in_force != DAY and time_in_force != IOC and time_in_force != FOK:
        reason = RejectReason.UNSUPPORTED_TIME_IN_FORCE
    else:
        reason = figures_fault(instrument, ord_type, price, quantity)
    if reason:
        return [_rejected(command, session_id, seq, reason)]
    assert instrument is not None
    state.last_order_id = order_id = state.last_order_id + 1
    terms = OrderTerms(
        order_id,
        participant_id,
        session_id,
        command.instrument_id,
        side,
        ord_type,
        time_in_force,
        price,
        quantity,
        cl_ord_id,
        command.account,
    )
    state.accepted.append(terms)
    own = instrument.book.bids if side == BUY else instrument.book.asks
    opposite = own.opposite
    best = opposite.best
    rank = own.sign * price if ord_type == LIMIT else MARKET_RANK
    if best is None or best.rank + rank < 0 or (time_in_force == FOK and not opposite.can_fill(quantity, rank)):
        return [OrderAccepted(terms, seq), settle(state, session, own, terms, quantity, 0, 0)]
    events: list[Event] = [OrderAccepted(terms, seq)]
    trade(state, events, session, own, terms, quantity, 0, 0, timestamp)
    return events


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


def _rejected(command: NewOrder, session_id: int, seq: int, reason: int) -> OrderRejected:
    terms = OrderTerms(
        0,
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
    return OrderRejected(terms, seq, reason)
