"""What the public is told: events of a shard in, ITCH 5.0 messages out.

The idea: the feed is a pure function of the committed stream. Whoever translates the same events from a `DayStarted` on
makes the same bytes, so two publishers need not know of each other. All a translator remembers is the day's midnight
and the instruments' symbols, and both are said by the events of the day itself.

| event | ITCH 5.0 |
|---|---|
| `DayStarted` | S 'O' |
| `InstrumentListed` | R, H, Y '0' |
| `SystemEventOccurred` | S |
| `TradingStateChanged` | H |
| `OrderBooked` | A; F where the participant's orders are attributed |
| `OrderExecuted` | E; C where the price is not the resting order's displayed one; P where that is not displayed |
| `AuctionExecuted` | C, not printable, for each side that is displayed |
| `CrossExecuted` | Q: it prints the auction's trades together |
| `OrderReduced`, `OrderRestated` | X; nothing when no displayed quantity was taken away |
| `OrderReplaced` | U; D when it left the book: `OrderBooked` tells what comes back; nothing if it was not displayed |
| `OrderCanceled`, `OrderExpired` | D, if the order was displayed |
| `TradeBusted` | B |
| `ImbalancePublished` | I |
| `CollarSet` | J |
| `CircuitBreakerSet`, `CircuitBreakerBreached` | V, W |
| all others | nothing: they are between the exchange and one participant |

What is not displayed has no reference number: `order_ref` 0 in its events. Stop orders, pegged orders, market orders
and orders for an auction alone never are; of a reserve order the displayed part is.

`timestamp` in a message is nanoseconds since the day's midnight, which `DayStarted` says: this module knows no time
zone. All events of a transaction have their command's timestamp. A stamp outside of the field's 48 bits (three days)
shows as its nearest end: a wrong midnight must not stop the feed.

Source: "Nasdaq TotalView-ITCH 5.0" sections 4.1 to 4.7.
"""

from typing import TYPE_CHECKING, Any, Final

from marketdata import itch
from matching import codes, events, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BUY: Final = b"B"
SELL: Final = b"S"
PRINTABLE: Final = b"Y"
#: The cross prints it; whoever counts this one, too, counts it twice.
NOT_PRINTABLE: Final = b"N"
_SIDES: Final = {int(codes.Side.BUY): BUY, int(codes.Side.SELL): SELL}

#: Wire kinds of the events that have a row in the table above; the feed leaves all others undecoded.
PUBLIC_KINDS: Final = frozenset(
    wire.KINDS[event]
    for event in (
        events.DayStarted,
        events.InstrumentListed,
        events.SystemEventOccurred,
        events.TradingStateChanged,
        events.OrderBooked,
        events.OrderExecuted,
        events.OrderReduced,
        events.OrderReplaced,
        events.OrderCanceled,
        events.OrderExpired,
        events.OrderRestated,
        events.AuctionExecuted,
        events.CrossExecuted,
        events.ImbalancePublished,
        events.CollarSet,
        events.TradeBusted,
        events.CircuitBreakerSet,
        events.CircuitBreakerBreached,
    )
)

#: Price Variation Indicator (section 4.7) by whole per cent: of 10 and more it is one letter for every ten.
_VARIATIONS: Final = b"L123456789" + b"A" * 10 + b"B" * 10
_FROM_30_PER_CENT: Final = b"C"
_NO_VARIATION: Final = b" "


def price_variation(near_price: int, reference_price: int) -> bytes:
    """How far an auction's price would be from the reference price, as a code; a space where one of them is missing."""
    if near_price == 0 or reference_price == 0:
        return _NO_VARIATION
    per_cent = abs(near_price - reference_price) * 100 // reference_price
    return _VARIATIONS[per_cent : per_cent + 1] or _FROM_30_PER_CENT


class Translator:
    """Translates the events of one shard, from a `DayStarted` on."""

    def __init__(self, attributions: "Mapping[int, bytes] | None" = None) -> None:
        """`attributions`: the four-byte MPID of each participant whose orders show it, by participant id.

        It is part of the function: every publisher of a channel must have the same.
        """
        self.attributions = dict(attributions or {})
        self.midnight = 0
        self._stocks: dict[int, bytes] = {}
        self._translations: dict[type, Callable[[Any, int], list[bytes]]] = {
            events.DayStarted: self._day_started,
            events.InstrumentListed: self._instrument_listed,
            events.SystemEventOccurred: self._system_event_occurred,
            events.TradingStateChanged: self._trading_state_changed,
            events.OrderBooked: self._order_booked,
            events.OrderExecuted: self._order_executed,
            events.OrderReduced: self._order_reduced,
            events.OrderReplaced: self._order_replaced,
            events.OrderCanceled: self._order_gone,
            events.OrderExpired: self._order_gone,
            events.OrderRestated: self._order_reduced,
            events.AuctionExecuted: self._auction_executed,
            events.CrossExecuted: self._cross_executed,
            events.ImbalancePublished: self._imbalance_published,
            events.CollarSet: self._collar_set,
            events.TradeBusted: self._trade_busted,
            events.CircuitBreakerSet: self._circuit_breaker_set,
            events.CircuitBreakerBreached: self._circuit_breaker_breached,
        }

    def translate(self, event: "events.Event", timestamp_ns: int) -> list[bytes]:
        """The messages that say `event` to the public; `timestamp_ns` is its command's, ns since the Unix epoch."""
        if type(event) is events.DayStarted:
            self.midnight = event.midnight
            self._stocks.clear()
        translation = self._translations.get(type(event))
        if translation is None:
            return []
        return translation(event, min(max(timestamp_ns - self.midnight, 0), itch.TIMESTAMP_MASK))

    def _day_started(self, _: "events.DayStarted", timestamp: int) -> list[bytes]:
        return [itch.encode(itch.SystemEvent(0, 0, timestamp, b"O"))]

    def _instrument_listed(self, event: "events.InstrumentListed", timestamp: int) -> list[bytes]:
        stock = self._stocks[event.instrument_id] = event.symbol.ljust(8)
        only_round_lots = event.lot_size > 1 and event.lot_size % event.round_lot_size == 0
        return [
            itch.encode(
                itch.StockDirectory(
                    stock_locate=event.instrument_id,
                    tracking_number=0,
                    timestamp=timestamp,
                    stock=stock,
                    market_category=b" ",
                    financial_status_indicator=b" ",
                    round_lot_size=event.round_lot_size,
                    round_lots_only=b"Y" if only_round_lots else b"N",
                    issue_classification=b"C",
                    issue_sub_type=b"Z ",
                    authenticity=b"P",
                    short_sale_threshold_indicator=b" ",
                    ipo_flag=b" ",
                    luld_reference_price_tier=b" ",
                    etp_flag=b" ",
                    etp_leverage_factor=0,
                    inverse_indicator=b"N",
                )
            ),
            self._trading_action(event.instrument_id, timestamp, event.state, b""),
            itch.encode(itch.RegSHORestriction(event.instrument_id, 0, timestamp, stock, b"0")),
        ]

    def _system_event_occurred(self, event: "events.SystemEventOccurred", timestamp: int) -> list[bytes]:
        return [itch.encode(itch.SystemEvent(0, 0, timestamp, bytes([event.event_code])))]

    def _trading_state_changed(self, event: "events.TradingStateChanged", timestamp: int) -> list[bytes]:
        return [self._trading_action(event.instrument_id, timestamp, event.state, event.reason)]

    def _trading_action(self, instrument_id: int, timestamp: int, state: int, reason: bytes) -> bytes:
        stock = self._stocks[instrument_id]
        action = itch.StockTradingAction(instrument_id, 0, timestamp, stock, bytes([state]), b" ", reason.ljust(4))
        return itch.encode(action)

    def _order_booked(self, event: "events.OrderBooked", timestamp: int) -> list[bytes]:
        return [
            self._add_order(
                event.instrument_id,
                timestamp,
                event.order_ref,
                event.participant_id,
                event.side,
                event.quantity,
                event.price,
            )
        ]

    def _add_order(
        self,
        instrument_id: int,
        timestamp: int,
        order_ref: int,
        participant_id: int,
        side: int,
        quantity: int,
        price: int,
    ) -> bytes:
        mpid = self.attributions.get(participant_id)
        stock = self._stocks[instrument_id]
        if mpid is None:
            return itch.encode_add_order(instrument_id, timestamp, order_ref, _SIDES[side], quantity, stock, price)
        return itch.encode_add_order_with_mpid(
            instrument_id, timestamp, order_ref, _SIDES[side], quantity, stock, price, mpid
        )

    def _order_executed(self, event: "events.OrderExecuted", timestamp: int) -> list[bytes]:
        instrument_id = event.resting.instrument_id
        order_ref, quantity, price, match_number = (
            event.resting_order_ref,
            event.quantity,
            event.price,
            event.match_number,
        )
        if order_ref == 0:
            # Section 4.5.1: the reference number is zero since 2010, and the side is always B since 2014.
            stock = self._stocks[instrument_id]
            return [itch.encode_trade(instrument_id, timestamp, 0, BUY, quantity, stock, price, match_number)]
        # What rests of a market order as a limit order has no price in its terms: it trades at the displayed one.
        if price == event.resting.price or event.resting.price == 0:
            return [itch.encode_order_executed(instrument_id, timestamp, order_ref, quantity, match_number)]
        return [
            itch.encode_order_executed_with_price(
                instrument_id, timestamp, order_ref, quantity, match_number, PRINTABLE, price
            )
        ]

    def _auction_executed(self, event: "events.AuctionExecuted", timestamp: int) -> list[bytes]:
        return [
            itch.encode_order_executed_with_price(
                event.buy.instrument_id,
                timestamp,
                order_ref,
                event.quantity,
                event.match_number,
                NOT_PRINTABLE,
                event.price,
            )
            for order_ref in (event.buy_order_ref, event.sell_order_ref)
            if order_ref
        ]

    def _cross_executed(self, event: "events.CrossExecuted", timestamp: int) -> list[bytes]:
        cross = itch.CrossTrade(
            stock_locate=event.instrument_id,
            tracking_number=0,
            timestamp=timestamp,
            cross_shares=event.quantity,
            stock=self._stocks[event.instrument_id],
            cross_price=event.price,
            match_number=event.match_number,
            cross_type=bytes([event.cross_type]),
        )
        return [itch.encode(cross)]

    def _order_reduced(self, event: "events.OrderReduced | events.OrderRestated", timestamp: int) -> list[bytes]:
        if event.canceled_qty == 0 or event.order_ref == 0:
            return []
        return [itch.encode_order_cancel(event.terms.instrument_id, timestamp, event.order_ref, event.canceled_qty)]

    def _order_replaced(self, event: "events.OrderReplaced", timestamp: int) -> list[bytes]:
        terms = event.terms
        if event.order_ref == 0:
            return self._delete(terms.instrument_id, timestamp, event.orig_order_ref)
        return [
            itch.encode_order_replace(
                terms.instrument_id, timestamp, event.orig_order_ref, event.order_ref, event.leaves_qty, terms.price
            )
        ]

    def _order_gone(self, event: "events.OrderCanceled | events.OrderExpired", timestamp: int) -> list[bytes]:
        return self._delete(event.terms.instrument_id, timestamp, event.order_ref)

    def _delete(self, instrument_id: int, timestamp: int, order_ref: int) -> list[bytes]:
        if order_ref == 0:
            return []
        return [itch.encode_order_delete(instrument_id, timestamp, order_ref)]

    def _trade_busted(self, event: "events.TradeBusted", timestamp: int) -> list[bytes]:
        return [itch.encode(itch.BrokenTrade(event.buy.instrument_id, 0, timestamp, event.match_number))]

    def _imbalance_published(self, event: "events.ImbalancePublished", timestamp: int) -> list[bytes]:
        imbalance = itch.NetOrderImbalance(
            stock_locate=event.instrument_id,
            tracking_number=0,
            timestamp=timestamp,
            paired_shares=event.paired_qty,
            imbalance_shares=event.imbalance_qty,
            imbalance_direction=bytes([event.direction]),
            stock=self._stocks[event.instrument_id],
            far_price=event.far_price,
            near_price=event.near_price,
            current_reference_price=event.reference_price,
            cross_type=bytes([event.cross_type]),
            price_variation_indicator=price_variation(event.near_price, event.reference_price),
        )
        return [itch.encode(imbalance)]

    def _collar_set(self, event: "events.CollarSet", timestamp: int) -> list[bytes]:
        collar = itch.LULDAuctionCollar(
            stock_locate=event.instrument_id,
            tracking_number=0,
            timestamp=timestamp,
            stock=self._stocks[event.instrument_id],
            auction_collar_reference_price=event.reference_price,
            upper_auction_collar_price=event.upper_price,
            lower_auction_collar_price=event.lower_price,
            auction_collar_extension=event.extension,
        )
        return [itch.encode(collar)]

    def _circuit_breaker_set(self, event: "events.CircuitBreakerSet", timestamp: int) -> list[bytes]:
        return [itch.encode(itch.MWCBDeclineLevel(0, 0, timestamp, event.level_1, event.level_2, event.level_3))]

    def _circuit_breaker_breached(self, event: "events.CircuitBreakerBreached", timestamp: int) -> list[bytes]:
        return [itch.encode(itch.MWCBStatus(0, 0, timestamp, b"%d" % event.level))]
