"""What is refused, and why: the reasons in their order, the first that holds is given."""

from matching.codes import ExecInst, OrdType, Peg, Phase, RejectReason, Side, TimeInForce
from matching.commands import NewOrder, ReplaceOrder
from matching.ids import MAX_PRICE, MAX_QUANTITY
from tests.matching.reference import trading
from tests.matching.reference.market import Market, terms_of
from tests.matching.reference.orders import CALL_PHASES, NO_CONDITIONS, RESTING, Instrument, Order

Reason = RejectReason
Tif = TimeInForce

#: Which times in force a type may have.
TIMES = {
    OrdType.LIMIT: set(Tif),
    OrdType.MARKET: {Tif.DAY, Tif.IOC, Tif.FOK, Tif.AT_THE_OPENING, Tif.AT_THE_CLOSE, Tif.GOOD_FOR_AUCTION},
    OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT: RESTING,
    OrdType.STOP: RESTING,
    OrdType.STOP_LIMIT: RESTING | {Tif.IOC, Tif.FOK},
    OrdType.PEGGED: RESTING,
}
STOPS = {OrdType.STOP, OrdType.STOP_LIMIT}


def new_order(market: Market, command: NewOrder, session_id: int) -> RejectReason | None:
    """Why a new order is refused; None: it is not."""
    instrument = market.instrument(command.instrument_id)
    if command.expires_at and market.now > command.expires_at:
        return Reason.COMMAND_EXPIRED
    if not market.day_is_open:
        return Reason.MARKET_CLOSED
    if instrument is None:
        return Reason.UNKNOWN_INSTRUMENT
    if reason := not_now(market, instrument, command, session_id):
        return reason
    if (session_id, command.cl_ord_id) in market.names:
        return Reason.DUPLICATE_CL_ORD_ID
    if command.side not in tuple(Side):
        return Reason.UNSUPPORTED_SIDE
    if command.ord_type not in tuple(OrdType):
        return Reason.UNSUPPORTED_ORD_TYPE
    if command.time_in_force not in TIMES[OrdType(command.ord_type)]:
        return Reason.UNSUPPORTED_TIME_IN_FORCE
    if not takes(instrument, command):
        return Reason.NOT_IN_THIS_PHASE
    order = Order(terms_of(command, 0, session_id), hidden=command.quantity)
    return (
        figures(instrument, command)
        or conditions(market, instrument, command)
        or protection(instrument, command)
        or passive(market, instrument, order)
    )


def replace(market: Market, command: ReplaceOrder, session_id: int, order: Order) -> RejectReason | None:
    """Why a replace of an open order is refused; None: it is not."""
    terms, instrument = order.terms, market.of(order)
    now, then = command.conditions or NO_CONDITIONS, order.wants
    same = (
        (command.instrument_id, command.side) == (terms.instrument_id, terms.side)
        and (command.ord_type, command.time_in_force) == (terms.ord_type, terms.time_in_force)
        and (now.exec_inst, now.peg) == (then.exec_inst, then.peg)
        and now.min_qty in (0, then.min_qty)
    )
    if not same:
        return Reason.TERMS_MISMATCH
    if reason := not_now(market, instrument, command, session_id):
        return reason
    if reason := figures(instrument, command, order.triggered):
        return reason
    if order.leaves + command.quantity - terms.order_qty <= 0:
        return Reason.QUANTITY_ALREADY_EXECUTED
    changed = Order(terms_of(command, 0, session_id), hidden=command.quantity, price=order.price)
    changed.triggered = order.triggered
    return (
        conditions(market, instrument, command)
        or protection(instrument, command)
        or passive(market, instrument, changed)
    )


def not_now(
    market: Market, instrument: Instrument, command: NewOrder | ReplaceOrder, session_id: int
) -> RejectReason | None:
    """Nobody's orders are taken, or not those of this participant or session."""
    if instrument.phase == Phase.HALTED:
        return Reason.INSTRUMENT_HALTED
    if instrument.phase != Phase.CONTINUOUS and instrument.phase not in CALL_PHASES:
        return Reason.NOT_IN_THIS_PHASE
    if {(command.participant_id, 0), (command.participant_id, session_id)} & market.blocked:
        return Reason.ENTRY_BLOCKED
    return None


def takes(instrument: Instrument, command: NewOrder) -> bool:
    """Whether the phase takes orders of this kind."""
    wants = command.conditions or NO_CONDITIONS
    if command.time_in_force == Tif.AT_THE_OPENING and instrument.phase not in (Phase.PRE_OPEN, Phase.OPENING_AUCTION):
        return False
    if instrument.phase == Phase.CONTINUOUS:
        return True
    at_once = command.time_in_force in (Tif.IOC, Tif.FOK) and command.ord_type not in STOPS
    return not at_once and not wants.min_qty and wants.exec_inst != ExecInst.POST_ONLY


def figures(instrument: Instrument, command: NewOrder | ReplaceOrder, was_elected: bool = False) -> RejectReason | None:
    """Price and quantity."""
    ord_type, price = command.ord_type, command.price
    if ord_type in (OrdType.LIMIT, OrdType.STOP_LIMIT) and not 0 < price <= MAX_PRICE:
        return Reason.PRICE_OUT_OF_RANGE
    if ord_type == OrdType.PEGGED and not 0 <= price <= MAX_PRICE:
        return Reason.PRICE_OUT_OF_RANGE
    if ord_type not in (OrdType.LIMIT, OrdType.STOP_LIMIT, OrdType.PEGGED) and price:
        return Reason.PRICE_OUT_OF_RANGE
    if price % instrument.tick_at(price):
        return Reason.PRICE_NOT_ON_TICK
    if not 1 <= command.quantity <= MAX_QUANTITY:
        return Reason.QUANTITY_OUT_OF_RANGE
    if command.quantity % instrument.lot_size:
        return Reason.QUANTITY_NOT_ON_LOT
    return None


def conditions(market: Market, instrument: Instrument, command: NewOrder | ReplaceOrder) -> RejectReason | None:
    """What an order asks for besides side, price and quantity."""
    wants = command.conditions or NO_CONDITIONS
    ord_type, time_in_force = command.ord_type, command.time_in_force
    limit_that_rests = ord_type == OrdType.LIMIT and time_in_force in RESTING
    if wants.exec_inst not in tuple(ExecInst) or (wants.exec_inst and not limit_that_rests):
        return Reason.UNSUPPORTED_INSTRUCTION
    stop = wants.stop_price
    if ord_type in STOPS:
        if not 0 < stop <= MAX_PRICE or stop % instrument.tick_at(stop):
            return Reason.BAD_STOP_PRICE
    elif stop:
        return Reason.BAD_STOP_PRICE
    display = wants.display_qty
    if display and (not limit_that_rests or wants.peg or display >= command.quantity or display % instrument.lot_size):
        return Reason.BAD_PEG if wants.peg else Reason.BAD_DISPLAY_QUANTITY
    least = wants.min_qty
    if least and (
        ord_type in STOPS | {OrdType.PEGGED}
        or time_in_force not in RESTING | {Tif.IOC}
        or least > command.quantity
        or least % instrument.lot_size
    ):
        return Reason.BAD_MINIMUM_QUANTITY
    if ord_type == OrdType.PEGGED:
        if wants.peg not in (Peg.PRIMARY, Peg.MARKET, Peg.MIDPOINT):
            return Reason.BAD_PEG
        if wants.peg == Peg.MIDPOINT and wants.peg_offset:
            return Reason.BAD_PEG
    elif wants.peg or wants.peg_offset:
        return Reason.BAD_PEG
    if time_in_force == Tif.GOOD_TILL_DATE:
        if wants.expire_at <= market.now:
            return Reason.BAD_EXPIRE_TIME
    elif wants.expire_at:
        return Reason.BAD_EXPIRE_TIME
    return None


def protection(instrument: Instrument, command: NewOrder | ReplaceOrder) -> RejectReason | None:
    """What nobody can have meant."""
    rules, reference = instrument.rules, instrument.reference
    if rules.max_quantity and command.quantity > rules.max_quantity:
        return Reason.QUANTITY_ABOVE_MAXIMUM
    if rules.max_value and (command.price or reference) * command.quantity > rules.max_value:
        return Reason.VALUE_ABOVE_MAXIMUM
    far = abs(command.price - reference) > reference * rules.fat_finger // 10_000
    if rules.fat_finger and reference and command.price and far:
        return Reason.PRICE_FAR_FROM_REFERENCE
    return None


def passive(market: Market, instrument: Instrument, order: Order) -> RejectReason | None:
    """A post-only order does not trade when it comes."""
    if order.wants.exec_inst != ExecInst.POST_ONLY or instrument.phase != Phase.CONTINUOUS:
        return None
    return Reason.WOULD_TRADE if trading.would_trade(market, instrument, order) else None
