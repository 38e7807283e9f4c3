"""What became of orders, remembered for the day: closed orders and trades."""

from msgspec import Struct

from matching.events import OrderTerms


class Trade(Struct, frozen=True, gc=False):
    """One trade, kept once and found with both its sides."""

    match_number: int
    #: Of the command that made it.
    timestamp: int
    price: int
    quantity: int
    resting: OrderTerms
    incoming: OrderTerms
    #: Whether it is an auction's: then `resting` is the buy order, `incoming` the sell order.
    auction: bool = False
    #: It was undone and counts no more.
    busted: bool = False


class ClosedOrder(Struct, gc=False):
    """What became of an order. It changes only if one of its trades is busted."""

    terms: OrderTerms
    #: FILLED, CANCELED or EXPIRED of `codes.OrdStatus`.
    status: int
    cum_qty: int
    cum_notional: int
