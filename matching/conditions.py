"""Which orders there are: types, times in force, and what an order may ask for besides side, price and quantity.

LIMIT                           every time in force
MARKET                          DAY, IOC, FOK, AT_THE_OPENING, AT_THE_CLOSE, GOOD_FOR_AUCTION
MARKET_WITH_LEFTOVER_AS_LIMIT   DAY, GOOD_TILL_CANCEL, GOOD_TILL_DATE
STOP                            the same
STOP_LIMIT                      the same, IOC, FOK; these two hold when it is elected
PEGGED                          the same as STOP; its price is a limit that it may have

UNSUPPORTED_INSTRUCTION    post-only is for a LIMIT order that may rest; there is no other instruction
BAD_STOP_PRICE             a stop price, in range and on tick, is for STOP and STOP_LIMIT, which need it
BAD_DISPLAY_QUANTITY       a displayed quantity is for a LIMIT order that may rest, less than its quantity, on lot
BAD_MINIMUM_QUANTITY       a minimum quantity is not for stop, pegged and FOK orders, nor for those for an auction; it
                           is not more than the quantity, and on lot
BAD_PEG                    what it follows is for PEGGED, which needs it and is never displayed; an offset is for
                           PRIMARY and MARKET; of pegged orders only so many wait on one side
BAD_EXPIRE_TIME            a time to come is for GOOD_TILL_DATE, which needs it
"""

from typing import Final

from matching.codes import ExecInst, OrdType, Peg, RejectReason, TimeInForce
from matching.commands import Conditions, NewOrder, ReplaceOrder
from matching.ids import MAX_PRICE
from matching.instruments import CONTINUOUS, OPENING_AUCTION, PRE_OPEN, Instrument
from matching.pegs import is_full

#: What an order has that asks for nothing.
NO_CONDITIONS: Final = Conditions()

LIMIT: Final = int(OrdType.LIMIT)
PEGGED: Final = int(OrdType.PEGGED)
POST_ONLY: Final = int(ExecInst.POST_ONLY)
FOK: Final = int(TimeInForce.FOK)
GOOD_TILL_DATE: Final = int(TimeInForce.GOOD_TILL_DATE)
AT_THE_OPENING: Final = int(TimeInForce.AT_THE_OPENING)

_RESTING: Final = (int(TimeInForce.DAY), int(TimeInForce.GOOD_TILL_CANCEL), GOOD_TILL_DATE)
_AT_ONCE: Final = (int(TimeInForce.IOC), FOK)
_FOR_AUCTIONS: Final = (AT_THE_OPENING, int(TimeInForce.AT_THE_CLOSE), int(TimeInForce.GOOD_FOR_AUCTION))
_STOPS: Final = (int(OrdType.STOP), int(OrdType.STOP_LIMIT))
_PEGS: Final = (int(Peg.PRIMARY), int(Peg.MARKET), int(Peg.MIDPOINT))
_MIDPOINT: Final = int(Peg.MIDPOINT)

#: By type: its times in force.
_TIMES: Final = {
    LIMIT: _RESTING + _AT_ONCE + _FOR_AUCTIONS,
    int(OrdType.MARKET): (int(TimeInForce.DAY), *_AT_ONCE, *_FOR_AUCTIONS),
    int(OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT): _RESTING,
    int(OrdType.STOP): _RESTING,
    int(OrdType.STOP_LIMIT): _RESTING + _AT_ONCE,
    PEGGED: _RESTING,
}


def kind_fault(instrument: Instrument, command: NewOrder) -> int:
    """The first RejectReason that holds against the type or time in force of a new order, or 0. Phases in which nothing
    trades take no order that must trade at once, or must not."""
    times = _TIMES.get(command.ord_type)
    time_in_force = command.time_in_force
    if times is None:
        return RejectReason.UNSUPPORTED_ORD_TYPE
    if time_in_force not in times:
        return RejectReason.UNSUPPORTED_TIME_IN_FORCE
    phase = instrument.phase
    if time_in_force == AT_THE_OPENING and phase != PRE_OPEN and phase != OPENING_AUCTION:
        return RejectReason.NOT_IN_THIS_PHASE
    if phase == CONTINUOUS:
        return 0
    conditions = command.conditions or NO_CONDITIONS
    at_once = time_in_force in _AT_ONCE and command.ord_type not in _STOPS
    if at_once or conditions.min_qty or conditions.exec_inst == POST_ONLY:
        return RejectReason.NOT_IN_THIS_PHASE
    return 0


def conditions_fault(instrument: Instrument, command: NewOrder | ReplaceOrder, timestamp: int) -> int:
    """The first RejectReason that holds against what an order asks for, or 0."""
    conditions = command.conditions or NO_CONDITIONS
    ord_type, time_in_force = command.ord_type, command.time_in_force
    rests = ord_type == LIMIT and time_in_force in _RESTING
    if conditions.exec_inst and (conditions.exec_inst != POST_ONLY or not rests):
        return RejectReason.UNSUPPORTED_INSTRUCTION
    if _is_bad_stop(instrument, ord_type, conditions.stop_price):
        return RejectReason.BAD_STOP_PRICE
    display_qty = conditions.display_qty
    if display_qty and conditions.peg:
        return RejectReason.BAD_PEG
    if display_qty and (not rests or display_qty >= command.quantity or display_qty % instrument.lot_size):
        return RejectReason.BAD_DISPLAY_QUANTITY
    if conditions.min_qty and _is_bad_minimum(instrument, command, conditions.min_qty):
        return RejectReason.BAD_MINIMUM_QUANTITY
    if _is_bad_peg(instrument, command, conditions):
        return RejectReason.BAD_PEG
    if conditions.expire_at <= timestamp if time_in_force == GOOD_TILL_DATE else conditions.expire_at:
        return RejectReason.BAD_EXPIRE_TIME
    return 0


def _is_bad_stop(instrument: Instrument, ord_type: int, stop_price: int) -> bool:
    if ord_type not in _STOPS:
        return stop_price != 0
    return not 0 < stop_price <= MAX_PRICE or stop_price % instrument.tick_at(stop_price) != 0


def _is_bad_minimum(instrument: Instrument, command: NewOrder | ReplaceOrder, min_qty: int) -> bool:
    time_in_force = command.time_in_force
    return (
        command.ord_type == PEGGED
        or command.ord_type in _STOPS
        or time_in_force == FOK
        or time_in_force in _FOR_AUCTIONS
        or min_qty > command.quantity
        or min_qty % instrument.lot_size != 0
    )


def _is_bad_peg(instrument: Instrument, command: NewOrder | ReplaceOrder, conditions: Conditions) -> bool:
    peg = conditions.peg
    if command.ord_type != PEGGED:
        return peg != 0 or conditions.peg_offset != 0
    if peg not in _PEGS or (peg == _MIDPOINT and conditions.peg_offset != 0):
        return True
    return isinstance(command, NewOrder) and is_full(instrument, command.side)
