"""What goes into a shard's engine: commands, imperative and immutable.

The byte layouts stand in `wire.py` in the same order, the codes in `codes.py`. Prices are integers in 1/10,000,
quantities are integers, times are nanoseconds since the Unix epoch (UTC).

A command arrives with three things that are not in it: its timestamp, its source and its FIX session; they stand in
the header of the message that carries it.
"""

from msgspec import Struct


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
    """Halt or resume an instrument, or let it only quote; resumed, it trades again after a re-opening auction."""

    instrument_id: int
    state: int
    #: ITCH 5.0 reason code, at most 4 ASCII characters.
    reason: bytes


class Conditions(Struct, frozen=True, gc=False, array_like=True):
    """What few orders ask for besides side, price and quantity. An order that asks for none of it has none."""

    #: StopPx(99), of the types STOP and STOP_LIMIT; else 0.
    stop_price: int = 0
    #: The most that is displayed: MaxFloor(111) or DisplayQty(1138). 0: all of it.
    display_qty: int = 0
    #: MinQty(110): what must be executed at once, or nothing is. 0: any quantity.
    min_qty: int = 0
    #: `ExecInst`.
    exec_inst: int = 0
    #: `Peg`, of the type PEGGED; else 0.
    peg: int = 0
    #: PegOffsetValue(211), signed: what is added to the price that it follows.
    peg_offset: int = 0
    #: ExpireTime(126) or the end of ExpireDate(432) of a GOOD_TILL_DATE order, ns since the epoch; else 0.
    expire_at: int = 0


class NewOrder(Struct, frozen=True, gc=False):
    """NewOrderSingle(35=D)."""

    participant_id: int
    instrument_id: int
    side: int
    ord_type: int
    time_in_force: int
    #: 0 for an order without a limit.
    price: int
    quantity: int
    #: Refused if the shard numbers it later than this; 0: never.
    expires_at: int
    cl_ord_id: bytes
    account: bytes
    conditions: Conditions | None = None


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
    conditions: Conditions | None = None


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


class DefineParticipant(Struct, frozen=True, gc=False, array_like=True):
    """Say how a firm's orders meet those of its own group."""

    participant_id: int
    #: Firms with one number do not trade with each other; 0: the firm alone.
    self_match_group: int
    #: `SelfMatch`.
    self_match: int


class DefineRules(Struct, frozen=True, gc=False, array_like=True):
    """Protect an instrument's prices. A 0 switches a protection off; bands are in 1/10,000 of what they surround."""

    instrument_id: int
    #: Around the reference price: that of the last auction, or what the operator set.
    static_band: int
    #: Around the price of the last trade before the incoming order.
    dynamic_band: int
    #: A limit further from the reference price is refused.
    fat_finger: int
    max_quantity: int
    #: Of price × quantity.
    max_value: int
    #: How long a volatility auction takes, and how long one after a halt, ns.
    pause: int
    reopening: int


class DefineTick(Struct, frozen=True, gc=False, array_like=True):
    """A row of an instrument's tick-size table: from this price on, prices are multiples of this."""

    instrument_id: int
    #: Above 0: below the first row the instrument's own tick size holds.
    from_price: int
    #: 0: the row is gone.
    tick_size: int


class SetReferencePrice(Struct, frozen=True, gc=False):
    """Set what static bands, fat-finger limits and uncrosses refer to; the next auction's price replaces it."""

    instrument_id: int
    price: int


class SchedulePhase(Struct, frozen=True, gc=False, array_like=True):
    """Say when a phase is to begin. All that is due before the next `StartDay` belongs to the day that is open."""

    #: 0: all of the shard.
    instrument_id: int
    phase: int
    #: ns since the epoch.
    at: int


class SetPhase(Struct, frozen=True, gc=False):
    """Begin a phase now. An auction that is left ends in its uncross."""

    #: 0: all of the shard.
    instrument_id: int
    phase: int
    #: ITCH 5.0 reason code, at most 4 ASCII characters.
    reason: bytes


class Advance(Struct, frozen=True, gc=False):
    """Do what is due at this command's timestamp; if nothing is, nothing happens."""


class MassCancel(Struct, frozen=True, gc=False):
    """OrderMassCancelRequest(35=q) on one shard; from the operator (session 0), anybody's orders."""

    #: 0, from the operator: everybody.
    participant_id: int
    #: 0: all sessions of the participant.
    target_session_id: int
    #: 0: all.
    instrument_id: int
    #: 0: both.
    side: int
    cl_ord_id: bytes


class SetEntryBlock(Struct, frozen=True, gc=False):
    """The kill switch: refuse all new orders and replaces and cancel what is open; or lift that."""

    participant_id: int
    #: 0: all of the participant's.
    session_id: int
    #: 1 or 0.
    blocked: int


class BustTrade(Struct, frozen=True, gc=False):
    """Undo a trade of the day. Its quantity does not come back to the orders."""

    match_number: int


class SetCircuitBreaker(Struct, frozen=True, gc=False):
    """Say the market-wide circuit breaker's levels of the day: ITCH 5.0 Decline Level Message, prices in 1/10^8."""

    level_1: int
    level_2: int
    level_3: int


class BreachCircuitBreaker(Struct, frozen=True, gc=False):
    """A level was reached: every instrument is halted."""

    #: 1, 2 or 3.
    level: int


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
    | DefineParticipant
    | DefineRules
    | DefineTick
    | SetReferencePrice
    | SchedulePhase
    | SetPhase
    | Advance
    | MassCancel
    | SetEntryBlock
    | BustTrade
    | SetCircuitBreaker
    | BreachCircuitBreaker
)
