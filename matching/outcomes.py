"""What became of orders, remembered for the day: closed orders and trades."""

from typing import Final

from msgspec import Struct

from matching.codes import OrdStatus
from matching.events import OrderTerms

CANCELED: Final = int(OrdStatus.CANCELED)
FILLED: Final = int(OrdStatus.FILLED)


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


#: An order of the day, as it is remembered under its id: its latest terms, or what became of it. Where it neither rests
#: nor is about to trade, terms alone say that it was canceled before it traded, as most are; of an order that a single
#: trade filled, that trade says all.
Entry = OrderTerms | ClosedOrder | Trade


def remembered(closed: ClosedOrder) -> Entry:
    """As a closed order is remembered."""
    return closed if closed.cum_qty or closed.status != CANCELED else closed.terms


def terms_of(order_id: int, entry: Entry) -> OrderTerms:
    """The latest terms of the order that is remembered so."""
    if isinstance(entry, Trade):
        return entry.resting if entry.resting.order_id == order_id else entry.incoming
    return entry.terms if isinstance(entry, ClosedOrder) else entry
