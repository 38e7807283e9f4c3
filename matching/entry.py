"""NewOrder: accepted and traded, or rejected with the first reason that holds, in this order.

    COMMAND_EXPIRED          its `expires_at` has passed
    MARKET_CLOSED            no day is open
    UNKNOWN_INSTRUMENT
    INSTRUMENT_HALTED, NOT_IN_THIS_PHASE    the instrument's phase takes no orders
    ENTRY_BLOCKED            the participant, or its session, may enter nothing
    DUPLICATE_CL_ORD_ID      the session has used this ClOrdID today
    UNSUPPORTED_SIDE, UNSUPPORTED_ORD_TYPE, UNSUPPORTED_TIME_IN_FORCE
    NOT_IN_THIS_PHASE        the instrument's phase does not take such an order
    PRICE_OUT_OF_RANGE       a limit is 1..MAX_PRICE; a pegged order may have one, a market or stop order has 0
    PRICE_NOT_ON_TICK
    QUANTITY_OUT_OF_RANGE    1..MAX_QUANTITY
    QUANTITY_NOT_ON_LOT
    UNSUPPORTED_INSTRUCTION … BAD_EXPIRE_TIME             see `conditions`
    QUANTITY_ABOVE_MAXIMUM … PRICE_FAR_FROM_REFERENCE     see `protection`
    WOULD_TRADE              it is post-only

A rejected order leaves nothing behind but its `participant_seq`; its ClOrdID may be used again.

A *plain* order is a market or limit order for the day, or at once, that asks for nothing else, in continuous trading.
Most orders are plain limit orders with which nothing is wrong: `enter_order` sees that by one look at each figure, and
calls nobody. Every other order goes through `_enter_with_care`, which also finds the reason to reject one.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import astuple

from matching.admission import admit
from matching.book import MARKET_RANK
from matching.codes import RejectReason
from matching.commands import Conditions, NewOrder, ReplaceOrder
from matching.conditions import NO_CONDITIONS, PEGGED, POST_ONLY, conditions_fault, kind_fault
from matching.constructors import order_accepted, order_booked, order_terms
from matching.events import Event, OrderAccepted, OrderRejected, OrderTerms
from matching.ids import MAX_PRICE, MAX_QUANTITY
from matching.incoming import STOP_LIMIT, come_in, side_of, would_trade
from matching.instruments import CONTINUOUS, HALTED, Instrument
from matching.order import Boxed
from matching.phases import TAKES_ORDERS
from matching.protection import order_fault
from matching.state import Session, State, Sweep
from matching.trade import BUY, DAY, FOK, IOC, LIMIT, MARKET, SELL, rest, settle, trade

#: All fields of the command at once: one after the other they cost compiled code several times as much.
_fields: Final[
    Callable[[NewOrder], tuple[int, Boxed, int, int, int, Boxed, Boxed, int, bytes, bytes, Conditions | None]]
] = astuple

#: They need a price.
_LIMITED: Final = (LIMIT, STOP_LIMIT)

#: A number up to it is compared by the interpreter itself. Higher prices and quantities are seldom.
MANY: Final = (1 << 30) - 1


def enter_order(state: State, command: NewOrder, timestamp: int, session_id: int) -> list[Event]:
    """The events of a new order."""
    (
        participant_id, instrument_id, side, ord_type, time_in_force, limit, order_qty, expires_at, cl_ord_id, account,
        conditions,
    ) = _fields(command)  # fmt: skip
    price: int = limit
    quantity: int = order_qty
    order_id: Boxed = state.last_order_id + 1
    # What is not certain to be plain and right goes another way.
    try:
        session, instrument = state.sessions[session_id], state.instruments.by_id[instrument_id]
    except KeyError:
        return _enter_with_care(state, command, timestamp, session_id)
    if (
        session.participant_id != participant_id
        or not instrument.calm
        or ord_type != LIMIT
        or (time_in_force != DAY and time_in_force != IOC)
        or conditions is not None
        or (side != BUY and side != SELL)
        or price <= 0
        or price > MANY
        or price % instrument.tick_size
        or quantity <= 0
        or quantity > MANY
        or quantity % instrument.lot_size
        or session.blocked
        or (expires_at and expires_at < timestamp)
        or not session.cl_ord_ids.add(cl_ord_id, order_id)
    ):
        return _enter_with_care(state, command, timestamp, session_id)
    participant = session.participant
    participant.seq = seq = participant.seq + 1
    state.last_order_id = order_id
    terms = order_terms(
        order_id, participant_id, session_id, instrument_id, side, ord_type, time_in_force, limit, order_qty, cl_ord_id,
        account,
    )  # fmt: skip
    state.accepted.append(terms)
    if side == BUY:
        own = instrument.book.bids
        rank = price
    else:
        own = instrument.book.asks
        rank = -price
    best = own.opposite.best
    if best is None or best.rank + rank < 0:
        if time_in_force == DAY:
            order_ref = rest(state, session, own, rank, limit, terms, order_id, cl_ord_id, quantity, 0, 0)
            booked = order_booked(order_ref, order_id, participant_id, instrument_id, side, limit, order_qty)
            return [order_accepted(terms, seq), booked]
        return [order_accepted(terms, seq), settle(state, session, own, terms, quantity, 0, 0)]
    events: list[Event] = [order_accepted(terms, seq)]
    if own.opposite.hidden or instrument.banded or participant.avoided_group:
        come_in(state, events, instrument, Sweep(session, terms, price, quantity, 0, 0), 0, timestamp)
    else:
        trade(state, events, instrument, session, own, -rank, terms, quantity, timestamp)
    return events


def _enter_with_care(state: State, command: NewOrder, timestamp: int, session_id: int) -> list[Event]:
    """The events of a new order with which something may be wrong, or that may ask for anything."""
    session = state.session(session_id, command.participant_id)
    participant = session.participant
    participant.seq = seq = participant.seq + 1
    instrument = state.instruments.by_id.get(command.instrument_id)
    reason = _fault(state, session, instrument, command, timestamp)
    if reason:
        return [OrderRejected(_terms(command, session_id, 0), seq, reason)]
    assert instrument is not None
    state.last_order_id += 1
    terms = _terms(command, session_id, state.last_order_id)
    state.accepted.append(terms)
    session.cl_ord_ids.add(terms.cl_ord_id, terms.order_id)
    events: list[Event] = [OrderAccepted(terms, seq)]
    instrument.look()
    if instrument.phase != CONTINUOUS or not _is_plain(terms) or not instrument.pegs.is_empty():
        min_qty = 0 if terms.conditions is None else terms.conditions.min_qty
        sweep = Sweep(session, terms, terms.price, terms.order_qty, 0, 0)
        admit(state, events, instrument, sweep, min_qty, timestamp)
        return events
    own = side_of(instrument, terms.side)
    opposite = own.opposite
    best = opposite.best
    rank = own.sign * terms.price if terms.ord_type == LIMIT else MARKET_RANK
    meets = best is not None and best.rank + rank >= 0
    if meets and (opposite.hidden or instrument.banded or participant.avoided_group):
        sweep = Sweep(session, terms, terms.price, terms.order_qty, 0, 0)
        come_in(state, events, instrument, sweep, 0, timestamp)
        return events
    if not meets or (terms.time_in_force == FOK and not opposite.can_fill(terms.order_qty, rank)):
        events.append(settle(state, session, own, terms, terms.order_qty, 0, 0))
    else:
        trade(state, events, instrument, session, own, -rank, terms, terms.order_qty, timestamp)
    return events


def _terms(command: NewOrder, session_id: int, order_id: int) -> OrderTerms:
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
        command.conditions,
    )


def _is_plain(terms: OrderTerms) -> bool:
    return terms.conditions is None and terms.ord_type in (LIMIT, MARKET) and terms.time_in_force in (DAY, IOC, FOK)


# --- what speaks against an order -------------------------------------------------------------------------------------


def _fault(state: State, session: Session, instrument: Instrument | None, command: NewOrder, timestamp: int) -> int:
    """The first RejectReason that holds against a new order, or 0."""
    if command.expires_at and command.expires_at < timestamp:
        return RejectReason.COMMAND_EXPIRED
    if not state.day:
        return RejectReason.MARKET_CLOSED
    if instrument is None:
        return RejectReason.UNKNOWN_INSTRUMENT
    reason = phase_fault(instrument)
    if reason:
        return reason
    if session.blocked:
        return RejectReason.ENTRY_BLOCKED
    if session.cl_ord_ids.get(command.cl_ord_id) is not None:
        return RejectReason.DUPLICATE_CL_ORD_ID
    if command.side != BUY and command.side != SELL:
        return RejectReason.UNSUPPORTED_SIDE
    return (
        kind_fault(instrument, command)
        or figures_fault(instrument, command.ord_type, command.price, command.quantity)
        or wish_fault(instrument, command, timestamp)
    )


def phase_fault(instrument: Instrument) -> int:
    """The RejectReason of an instrument that takes no orders, or 0."""
    if TAKES_ORDERS[instrument.phase]:
        return 0
    return RejectReason.INSTRUMENT_HALTED if instrument.phase == HALTED else RejectReason.NOT_IN_THIS_PHASE


def figures_fault(instrument: Instrument, ord_type: int, price: int, quantity: int) -> int:
    """The first RejectReason that speaks against a price or quantity on this instrument, or 0."""
    if ord_type == LIMIT or ord_type in _LIMITED or (price and ord_type == PEGGED):
        if not 0 < price <= MAX_PRICE:
            return RejectReason.PRICE_OUT_OF_RANGE
        if price % (instrument.tick_at(price) if instrument.ticks else instrument.tick_size):
            return RejectReason.PRICE_NOT_ON_TICK
    elif price:
        return RejectReason.PRICE_OUT_OF_RANGE
    if not 0 < quantity <= MAX_QUANTITY:
        return RejectReason.QUANTITY_OUT_OF_RANGE
    if quantity % instrument.lot_size:
        return RejectReason.QUANTITY_NOT_ON_LOT
    return 0


def wish_fault(instrument: Instrument, command: NewOrder | ReplaceOrder, timestamp: int) -> int:
    """The first RejectReason that holds against an order's conditions, size or price, or 0."""
    reason = conditions_fault(instrument, command, timestamp)
    if not reason and instrument.protected:
        reason = order_fault(instrument, command.price, command.quantity)
    if reason:
        return reason
    post_only = (command.conditions or NO_CONDITIONS).exec_inst == POST_ONLY
    if not post_only or instrument.phase != CONTINUOUS:
        return 0
    trades = would_trade(instrument, side_of(instrument, command.side), command.price)
    return RejectReason.WOULD_TRADE if trades else 0
