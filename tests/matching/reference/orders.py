"""Orders and instruments of the reference: plain records in plain lists, looked at anew each time."""

from dataclasses import dataclass, field
from enum import Enum

from matching.codes import OrdStatus, OrdType, Phase, Side, TimeInForce
from matching.commands import Conditions, DefineRules
from matching.events import OrderTerms

BUY, SELL = Side.BUY, Side.SELL
NO_CONDITIONS = Conditions()

#: Orders are collected, and an uncross ends it.
CALL_PHASES = {
    Phase.PRE_OPEN,
    Phase.OPENING_AUCTION,
    Phase.CLOSING_AUCTION,
    Phase.REOPENING_AUCTION,
    Phase.VOLATILITY_AUCTION,
    Phase.QUOTE_ONLY,
}
#: An indicative price is published each second.
AUCTIONS = CALL_PHASES - {Phase.PRE_OPEN, Phase.QUOTE_ONLY}
FOR_AUCTIONS = {TimeInForce.AT_THE_OPENING, TimeInForce.AT_THE_CLOSE, TimeInForce.GOOD_FOR_AUCTION}
#: May stay on the book.
RESTING = {TimeInForce.DAY, TimeInForce.GOOD_TILL_CANCEL, TimeInForce.GOOD_TILL_DATE}
#: Go over the day's end.
CARRIED = {TimeInForce.GOOD_TILL_CANCEL, TimeInForce.GOOD_TILL_DATE}


class Place(Enum):
    """Where an open order is."""

    BOOK = "book"
    #: A stop order that waits for its price.
    STOP = "stop"
    #: A stop order that was elected and waits for those elected before it.
    ELECTED = "elected"
    #: An order for an auction that has not begun.
    PARKED = "parked"
    PEG = "peg"
    #: It is coming in and trades, or it is done.
    NOWHERE = ""


@dataclass(eq=False)
class Order:
    terms: OrderTerms
    #: Where it stands in time: the greater, the later. A new number each time it loses its place.
    arrived: int = 0
    place: Place = Place.NOWHERE
    displayed: int = 0
    hidden: int = 0
    #: 0: nothing of it is displayed.
    order_ref: int = 0
    #: Where it stands on the book; 0: a market order in an auction.
    price: int = 0
    cum: int = 0
    notional: int = 0
    #: What it did not execute and no longer can.
    canceled: int = 0
    #: What it had executed in trades that were undone.
    busted: int = 0
    status: OrdStatus = OrdStatus.NEW
    triggered: bool = False

    @property
    def leaves(self) -> int:
        return self.displayed + self.hidden

    @property
    def side(self) -> int:
        return self.terms.side

    @property
    def wants(self) -> Conditions:
        return self.terms.conditions or NO_CONDITIONS

    @property
    def ord_type(self) -> int:
        """What it is now: a stop order that was elected is a market or a limit order."""
        if self.triggered:
            return OrdType.MARKET if self.terms.ord_type == OrdType.STOP else OrdType.LIMIT
        return self.terms.ord_type

    @property
    def live_status(self) -> OrdStatus:
        if self.status != OrdStatus.NEW:
            return self.status
        return OrdStatus.PARTIALLY_FILLED if self.cum else OrdStatus.NEW


@dataclass(eq=False)
class Instrument:
    instrument_id: int
    symbol: bytes
    tick_size: int
    lot_size: int
    round_lot_size: int
    phase: int = Phase.CLOSED
    #: The last sale, of whatever day.
    last: int = 0
    reference: int = 0
    rules: DefineRules = field(default_factory=lambda: DefineRules(0, 0, 0, 0, 0, 0, 0, 0))
    #: from_price → tick size.
    ticks: dict[int, int] = field(default_factory=dict)
    #: Prices of the trades since stop orders were last looked at.
    sales: list[int] = field(default_factory=list)
    #: Stop orders that were elected and have not come in yet.
    elected: list[Order] = field(default_factory=list)
    #: When the auction ends by itself; 0: it does not.
    ends_at: int = 0
    #: How often the volatility auction was extended, and between which prices it may end.
    extension: int = 0
    collar: tuple[int, int, int] | None = None
    #: When the indicative price is published next.
    tells_at: int = 0
    #: The phase that the schedule began last, and when: a resume leads to it.
    due_phase: int = Phase.CONTINUOUS
    scheduled_at: int = 0

    def tick_at(self, price: int) -> int:
        rows = [from_price for from_price in self.ticks if from_price <= price]
        return self.ticks[max(rows)] if rows else self.tick_size


def opposite(side: int) -> int:
    return SELL if side == BUY else BUY
