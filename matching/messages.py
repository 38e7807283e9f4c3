"""The exchange's own language: commands go into a shard's engine, events come out of it.

Commands are imperative, events are past tense. Both are immutable values; the byte layouts stand in `wire.py` in the
same order. Prices are integers in 1/10,000, quantities are integers, times are nanoseconds since the Unix epoch (UTC).

A command arrives with three things that are not in it: its timestamp, its source and its FIX session; they stand in
the header of the message that carries it. All events of one transaction happen at their command's timestamp.

Events carry everything their readers need, so gateways and feeds keep no order state. What a participant asked for is
one immutable `OrderTerms`, made when the order is accepted or replaced and shared by every event about it; what has
happened since (`cum_qty`, `leaves_qty`, `cum_notional`) stands beside it. `participant_seq` counts the events of one
participant on this shard from 1 without a hole: whoever holds 1..n holds everything.

| event | to the participant | to the public (ITCH 5.0) |
|---|---|---|
| `DayStarted` | | S 'O', in a new session |
| `InstrumentListed` | | R, H, Y |
| `SystemEventOccurred` | | S |
| `TradingStateChanged` | | H |
| `OrderAccepted` | ExecutionReport New | nothing: it is not on the book yet |
| `OrderRejected` | ExecutionReport Rejected | |
| `OrderBooked` | | A or F |
| `OrderExecuted` | ExecutionReport Trade, to both sides | E; C at another price than displayed; P when hidden |
| `OrderReduced` | ExecutionReport Replaced | X, if it took quantity away |
| `OrderReplaced`, new `order_ref` | ExecutionReport Replaced | U |
| `OrderReplaced`, `order_ref` 0 (it goes on to trade) | ExecutionReport Replaced | D, then E/C, then A/F for the rest |
| `OrderCanceled`, `OrderExpired` | ExecutionReport Canceled, Expired | D, if it was on the book |
| `CancelRejected` | OrderCancelReject | |
| `CommandRefused` | | |
| `DayEnded` | | S 'C' was said before it |
"""

from enum import IntEnum

from msgspec import Struct


class Side(IntEnum):
    """Side(54)."""

    BUY = 1
    SELL = 2


class OrdType(IntEnum):
    """OrdType(40)."""

    MARKET = 1
    LIMIT = 2


class TimeInForce(IntEnum):
    """TimeInForce(59): until the day's end, immediate or cancel, fill or kill."""

    DAY = 0
    IOC = 3
    FOK = 4


class TradingState(IntEnum):
    """The code of ITCH 5.0's Stock Trading Action (section 4.2.2) as a byte."""

    TRADING = ord("T")
    HALTED = ord("H")


class SystemEventCode(IntEnum):
    """The code of ITCH 5.0's System Event (section 4.1) as a byte; 'O' is said by `DayStarted`."""

    START_OF_SYSTEM_HOURS = ord("S")
    START_OF_MARKET_HOURS = ord("Q")
    END_OF_MARKET_HOURS = ord("M")
    END_OF_SYSTEM_HOURS = ord("E")
    END_OF_MESSAGES = ord("C")


class OrdStatus(IntEnum):
    """OrdStatus(39) of an order that a cancel or replace request named, as a byte."""

    NEW = ord("0")
    PARTIALLY_FILLED = ord("1")
    FILLED = ord("2")
    CANCELED = ord("4")
    REPLACED = ord("5")
    REJECTED = ord("8")
    EXPIRED = ord("C")


class RejectReason(IntEnum):
    """Why an order, a cancel or a replace was refused. Numbers are for ever: they stand in journals."""

    UNKNOWN_INSTRUMENT = 1
    MARKET_CLOSED = 2
    INSTRUMENT_HALTED = 3
    DUPLICATE_CL_ORD_ID = 4
    PRICE_NOT_ON_TICK = 5
    PRICE_OUT_OF_RANGE = 6
    QUANTITY_NOT_ON_LOT = 7
    QUANTITY_OUT_OF_RANGE = 8
    UNSUPPORTED_SIDE = 9
    UNSUPPORTED_ORD_TYPE = 10
    UNSUPPORTED_TIME_IN_FORCE = 11
    #: The command's `expires_at` had passed when the shard numbered it.
    COMMAND_EXPIRED = 12
    #: The order existed and is filled, canceled, replaced or expired.
    TOO_LATE = 13
    UNKNOWN_ORDER = 14
    #: Side(54), Symbol(55), OrdType(40) or TimeInForce(59) of a request differ from its order's.
    TERMS_MISMATCH = 15
    #: A replace asked for no more than has been executed already.
    QUANTITY_ALREADY_EXECUTED = 16


class CancelReason(IntEnum):
    """Why the rest of an order was canceled."""

    REQUESTED = 1
    #: What an IOC order could not execute at once.
    IMMEDIATE_OR_CANCEL = 2
    #: A FOK order that could not be filled whole.
    FILL_OR_KILL = 3
    #: A market order never rests.
    MARKET_REMAINDER = 4
    #: The gateway of the order's session was lost, and the session wants its orders canceled then.
    SOURCE_LOST = 5
    #: The order's session was disconnected, and wants its orders canceled then.
    SESSION_LOST = 6


class RefusalReason(IntEnum):
    """Why a command was refused before it meant anything to an order."""

    UNKNOWN_KIND = 1
    UNDECODABLE = 2
    DAY_NOT_LATER = 3
    DAY_OPEN = 4
    DAY_NOT_OPEN = 5
    UNKNOWN_INSTRUMENT = 6
    BAD_INSTRUMENT = 7
    #: An instrument with resting orders keeps its tick and lot size; a symbol keeps its id, and over a day its symbol.
    INSTRUMENT_IN_USE = 8
    BAD_TRADING_STATE = 9
    NOTHING_TO_CONTINUE = 10
    OTHER_WORK_PENDING = 11
    #: Operators' commands are refused from a FIX session.
    NOT_AN_OPERATOR = 12
    #: The feed session is not one to ten printable ASCII characters.
    BAD_FEED_SESSION = 13
    #: Session 0 is the operators', and `cancel_on_disconnect` is 0 or 1.
    BAD_SESSION = 14


# --- commands ---------------------------------------------------------------------------------------------------------


class StartDay(Struct, frozen=True, gc=False):
    """Open a trading day: list every instrument, then trade."""

    #: yyyymmdd, later than every day before.
    day: int
    #: The MoldUDP64 session of the day's feed, 10 ASCII characters.
    feed_session: bytes
    #: The day's local midnight; ITCH timestamps count from it.
    midnight: int


class EndDay(Struct, frozen=True, gc=False):
    """Close the trading day: Day orders expire."""

    day: int


class DefineInstrument(Struct, frozen=True, gc=False, array_like=True):
    """List an instrument on this shard, or change one that has no resting orders."""

    instrument_id: int
    symbol: bytes
    #: Limit prices are multiples of it.
    tick_size: int
    #: Quantities are multiples of it.
    lot_size: int
    #: What ITCH calls the Round Lot Size; for display.
    round_lot_size: int


class SetTradingState(Struct, frozen=True, gc=False):
    """Halt or resume an instrument. Halted: cancels only."""

    instrument_id: int
    state: int
    #: ITCH 5.0 reason code, at most 4 ASCII characters.
    reason: bytes


class NewOrder(Struct, frozen=True, gc=False):
    """NewOrderSingle(35=D)."""

    participant_id: int
    instrument_id: int
    side: int
    ord_type: int
    time_in_force: int
    #: 0 for a market order.
    price: int
    quantity: int
    #: Refused if the shard numbers it later than this; 0: never.
    expires_at: int
    cl_ord_id: bytes
    account: bytes


class CancelOrder(Struct, frozen=True, gc=False):
    """OrderCancelRequest(35=F)."""

    participant_id: int
    instrument_id: int
    side: int
    #: OrderID(37) if the request had one, else 0; it finds the order where `orig_cl_ord_id` does not.
    order_id: int
    expires_at: int
    cl_ord_id: bytes
    orig_cl_ord_id: bytes


class ReplaceOrder(Struct, frozen=True, gc=False):
    """OrderCancelReplaceRequest(35=G). `quantity` is the new OrderQty(38): what was executed already counts."""

    participant_id: int
    instrument_id: int
    side: int
    ord_type: int
    time_in_force: int
    price: int
    quantity: int
    order_id: int
    expires_at: int
    cl_ord_id: bytes
    orig_cl_ord_id: bytes
    account: bytes


class Continue(Struct, frozen=True, gc=False):
    """Go on with work that was too large for one transaction; nothing else is taken before it is done."""


class DefineSession(Struct, frozen=True, gc=False, array_like=True):
    """Say where a FIX session comes from, and what becomes of its orders when it is gone."""

    session_id: int
    participant_id: int
    #: Its gateway.
    source_id: int
    #: 1: its orders are canceled when its gateway or its connection is lost. 0: they stay.
    cancel_on_disconnect: int


class SourceLost(Struct, frozen=True, gc=False):
    """A gateway is gone: cancel the orders of its sessions that want it. Again, it finds nothing left to cancel."""

    source_id: int


class CancelSession(Struct, frozen=True, gc=False):
    """A session is gone and its gateway is not: cancel its orders, if it wants that."""

    session_id: int


Command = (
    StartDay
    | EndDay
    | DefineInstrument
    | SetTradingState
    | NewOrder
    | CancelOrder
    | ReplaceOrder
    | Continue
    | DefineSession
    | SourceLost
    | CancelSession
)


# --- events -----------------------------------------------------------------------------------------------------------


class OrderTerms(Struct, frozen=True, gc=False, array_like=True):
    """What a participant asked for: constant until a replace makes new ones."""

    #: OrderID(37), stable over the order's life; 0 in an `OrderRejected`.
    order_id: int
    participant_id: int
    session_id: int
    instrument_id: int
    side: int
    ord_type: int
    time_in_force: int
    price: int
    order_qty: int
    cl_ord_id: bytes
    account: bytes


class CommandRefused(Struct, frozen=True, gc=False):
    """A command that could not be decoded, or an operator's command that made no sense."""

    kind: int
    reason: int


class DayStarted(Struct, frozen=True, gc=False):
    day: int
    feed_session: bytes
    midnight: int


class DayEnded(Struct, frozen=True, gc=False):
    day: int


class InstrumentListed(Struct, frozen=True, gc=False):
    instrument_id: int
    symbol: bytes
    tick_size: int
    lot_size: int
    round_lot_size: int
    state: int


class SystemEventOccurred(Struct, frozen=True, gc=False):
    event_code: int


class TradingStateChanged(Struct, frozen=True, gc=False):
    instrument_id: int
    state: int
    reason: bytes


class OrderAccepted(Struct, frozen=True, gc=False):
    """The order is in; it executes, rests or is canceled in the events that follow."""

    terms: OrderTerms
    participant_seq: int


class OrderRejected(Struct, frozen=True, gc=False):
    terms: OrderTerms
    participant_seq: int
    reason: int


class OrderBooked(Struct, frozen=True, gc=False):
    """What rests on the book, after matching. Public: the participant knows it from the other events."""

    order_ref: int
    order_id: int
    participant_id: int
    instrument_id: int
    side: int
    price: int
    #: Displayed.
    quantity: int


class OrderExecuted(Struct, frozen=True, gc=False):
    """A trade between a resting and an incoming order, at the resting order's price.

    Figures are as after this trade. The resting side's `participant_seq` comes before the incoming side's.
    """

    match_number: int
    price: int
    quantity: int
    resting: OrderTerms
    #: 0: not displayed.
    resting_order_ref: int
    resting_participant_seq: int
    resting_cum_qty: int
    resting_leaves_qty: int
    #: Sum of price × quantity over the order's trades; AvgPx(6) is this by `cum_qty`.
    resting_cum_notional: int
    incoming: OrderTerms
    incoming_participant_seq: int
    incoming_cum_qty: int
    incoming_leaves_qty: int
    incoming_cum_notional: int


class OrderReduced(Struct, frozen=True, gc=False):
    """A replace that took open quantity away, or nothing: the order keeps its place and its `order_ref`.

    `canceled_qty` is 0 where only ClOrdID(11) or Account(1) are new: the participant is told, the public is not (ITCH X
    never cancels 0 shares).
    """

    terms: OrderTerms
    orig_cl_ord_id: bytes
    order_ref: int
    canceled_qty: int
    participant_seq: int
    cum_qty: int
    leaves_qty: int
    cum_notional: int


class OrderReplaced(Struct, frozen=True, gc=False):
    """A replace that lost priority. `order_ref` 0: it left the book to trade, and may be booked again."""

    terms: OrderTerms
    orig_cl_ord_id: bytes
    orig_order_ref: int
    order_ref: int
    participant_seq: int
    cum_qty: int
    leaves_qty: int
    cum_notional: int


class OrderCanceled(Struct, frozen=True, gc=False):
    """What was open is canceled."""

    terms: OrderTerms
    #: ClOrdID(11) of the request; the order's own where nobody asked.
    cl_ord_id: bytes
    #: 0: it was not on the book.
    order_ref: int
    canceled_qty: int
    reason: int
    participant_seq: int
    cum_qty: int
    cum_notional: int


class OrderExpired(Struct, frozen=True, gc=False):
    terms: OrderTerms
    order_ref: int
    expired_qty: int
    participant_seq: int
    cum_qty: int
    cum_notional: int


class CancelRejected(Struct, frozen=True, gc=False):
    """A cancel or replace request was refused; the order, if there is one, is as it was."""

    participant_id: int
    session_id: int
    participant_seq: int
    #: 0: unknown order.
    order_id: int
    cl_ord_id: bytes
    orig_cl_ord_id: bytes
    #: CxlRejResponseTo(434): 1 a cancel, 2 a replace.
    response_to: int
    reason: int
    ord_status: int


Event = (
    CommandRefused
    | DayStarted
    | DayEnded
    | InstrumentListed
    | SystemEventOccurred
    | TradingStateChanged
    | OrderAccepted
    | OrderRejected
    | OrderBooked
    | OrderExecuted
    | OrderReduced
    | OrderReplaced
    | OrderCanceled
    | OrderExpired
    | CancelRejected
)
