"""What comes out of a shard's engine: events, past tense and immutable.

The byte layouts stand in `wire.py` in the same order, the codes in `codes.py`. Prices are integers in 1/10,000,
quantities are integers. All events of one transaction happen at their command's timestamp.

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
| `OrderTriggered` | ExecutionReport Triggered | nothing: it goes on as an incoming order |
| `OrderRestated` | ExecutionReport Restated | X, if it took displayed quantity away |
| `OrderReduced` | ExecutionReport Replaced | X, if it took displayed quantity away |
| `OrderReplaced`, new `order_ref` | ExecutionReport Replaced | U |
| `OrderReplaced`, `order_ref` 0 (it goes on to trade) | ExecutionReport Replaced | D, then E/C, then A/F for the rest |
| `OrderCanceled`, `OrderExpired` | ExecutionReport Canceled, Expired | D, if it was on the book |
| `CancelRejected` | OrderCancelReject | |
| `CommandRefused` | | |
| `AuctionExecuted` | ExecutionReport Trade, to both sides | C, not printable, for each displayed side |
| `CrossExecuted` | | Q |
| `ImbalancePublished` | | I |
| `CollarSet` | | J |
| `MassCancelDone`, `MassCancelRejected` | OrderMassCancelReport | |
| `TradeBusted` | ExecutionReport Trade Cancel, to both sides | B |
| `PhaseChanged` | | nothing: `TradingStateChanged` says what the public sees |
| `EntryBlockChanged` | | |
| `CircuitBreakerSet`, `CircuitBreakerBreached` | | V, W |
| `DayEnded` | | S 'C' was said before it |
"""

from msgspec import Struct

from matching.commands import Conditions


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
    conditions: Conditions | None = None


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
    """What rests displayed on the book, after matching, after a refill, or when a new day begins. Public: the
    participant knows it from the other events."""

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


class PhaseChanged(Struct, frozen=True, gc=False):
    instrument_id: int
    phase: int


class OrderTriggered(Struct, frozen=True, gc=False):
    """A stop order was elected: from here on it is a market or limit order that has just come in."""

    terms: OrderTerms
    participant_seq: int
    cum_qty: int
    leaves_qty: int
    cum_notional: int


class OrderRestated(Struct, frozen=True, gc=False):
    """An order is other than its participant left it, and nobody asked for that."""

    terms: OrderTerms
    #: 0: not displayed.
    order_ref: int
    #: Taken away from the displayed quantity.
    canceled_qty: int
    #: `RestatementReason`.
    reason: int
    participant_seq: int
    cum_qty: int
    leaves_qty: int
    cum_notional: int


class AuctionExecuted(Struct, frozen=True, gc=False):
    """A trade of an uncross: both sides were waiting, all at one price.

    Figures are as after this trade. The buyer's `participant_seq` comes before the seller's.
    """

    match_number: int
    price: int
    quantity: int
    buy: OrderTerms
    #: 0: not displayed.
    buy_order_ref: int
    buy_participant_seq: int
    buy_cum_qty: int
    buy_leaves_qty: int
    buy_cum_notional: int
    sell: OrderTerms
    sell_order_ref: int
    sell_participant_seq: int
    sell_cum_qty: int
    sell_leaves_qty: int
    sell_cum_notional: int


class CrossExecuted(Struct, frozen=True, gc=False):
    """An auction is over: all its trades together. Quantity and price are 0 where nothing met."""

    instrument_id: int
    match_number: int
    price: int
    quantity: int
    #: `CrossType`.
    cross_type: int


class ImbalancePublished(Struct, frozen=True, gc=False):
    """What an auction would do now: ITCH 5.0, Net Order Imbalance Indicator (section 4.7)."""

    instrument_id: int
    #: What would trade at the near price.
    paired_qty: int
    #: What would stay open there on the side of the direction.
    imbalance_qty: int
    #: `ImbalanceDirection`.
    direction: int
    #: Where the orders for auctions alone would trade with each other; 0: nowhere.
    far_price: int
    #: Where all orders would trade; 0: nowhere.
    near_price: int
    reference_price: int
    cross_type: int


class CollarSet(Struct, frozen=True, gc=False):
    """The prices between which a volatility auction may end: ITCH 5.0, LULD Auction Collar (section 4.2.7)."""

    instrument_id: int
    reference_price: int
    upper_price: int
    lower_price: int
    #: How often the auction was extended.
    extension: int


class MassCancelDone(Struct, frozen=True, gc=False):
    """All that a mass cancel request named is canceled on this shard."""

    participant_id: int
    session_id: int
    participant_seq: int
    cl_ord_id: bytes
    target_session_id: int
    instrument_id: int
    side: int
    #: How many orders that were.
    canceled: int


class MassCancelRejected(Struct, frozen=True, gc=False):
    participant_id: int
    session_id: int
    participant_seq: int
    cl_ord_id: bytes
    target_session_id: int
    instrument_id: int
    side: int
    #: `RejectReason`.
    reason: int


class TradeBusted(Struct, frozen=True, gc=False):
    """A trade is undone. Figures are the orders' as after that; the buyer's `participant_seq` comes before the
    seller's."""

    match_number: int
    price: int
    quantity: int
    #: As they are now, or were last.
    buy: OrderTerms
    buy_participant_seq: int
    buy_cum_qty: int
    buy_leaves_qty: int
    buy_cum_notional: int
    sell: OrderTerms
    sell_participant_seq: int
    sell_cum_qty: int
    sell_leaves_qty: int
    sell_cum_notional: int


class EntryBlockChanged(Struct, frozen=True, gc=False):
    participant_id: int
    #: 0: all of the participant's.
    session_id: int
    blocked: int


class CircuitBreakerSet(Struct, frozen=True, gc=False):
    """ITCH 5.0, MWCB Decline Level Message (section 4.2.5.1): prices in 1/10^8."""

    level_1: int
    level_2: int
    level_3: int


class CircuitBreakerBreached(Struct, frozen=True, gc=False):
    """ITCH 5.0, MWCB Status Message (section 4.2.5.2)."""

    level: int


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
    | PhaseChanged
    | OrderTriggered
    | OrderRestated
    | AuctionExecuted
    | CrossExecuted
    | ImbalancePublished
    | CollarSet
    | MassCancelDone
    | MassCancelRejected
    | TradeBusted
    | EntryBlockChanged
    | CircuitBreakerSet
    | CircuitBreakerBreached
)
