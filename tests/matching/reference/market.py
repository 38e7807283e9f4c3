"""What the reference remembers, and how it tells what happens to an order."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from matching.codes import CancelReason, OrdStatus, RejectReason
from matching.commands import CancelOrder, DefineSession, NewOrder, ReplaceOrder
from matching.events import (
    CancelRejected,
    Event,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExpired,
    OrderRejected,
    OrderRestated,
    OrderTerms,
)
from tests.matching.reference.orders import BUY, Instrument, Order, Place


@dataclass
class Trade:
    """A trade of the day, as a bust must know it."""

    match_number: int
    price: int
    quantity: int
    buyer: Order
    seller: Order
    busted: bool = False


class Market:
    """One shard, for reading. It has no bounds: everything that a command leads to happens at once."""

    def __init__(self, shard_id: int = 1) -> None:
        self.first_id = shard_id << 48
        self.now = 0
        self.day = 0
        self.day_is_open = False
        #: System events of the day that were said.
        self.hours: list[str] = []
        self.instruments: list[Instrument] = []
        #: Every open order, the first entered first.
        self.orders: list[Order] = []
        #: Every order of the day and every open one, by order id.
        self.known: dict[int, Order] = {}
        #: By session and ClOrdID; a name that a replace took away stays, and is `former`.
        self.names: dict[tuple[int, bytes], Order] = {}
        self.former: set[tuple[int, bytes]] = set()
        self.trades: list[Trade] = []
        #: By instrument id, 0 for all: when which phase is to begin.
        self.schedule: dict[int, dict[int, int]] = {}
        self.sessions: dict[int, DefineSession] = {}
        #: participant → (the group of those with whom it does not trade, what happens instead).
        self.groups: dict[int, tuple[tuple[str, int], int]] = {}
        #: (participant, session) whose entry is blocked; session 0: the whole participant.
        self.blocked: set[tuple[int, int]] = set()
        self.counts: Counter[str] = Counter()
        self.seqs: Counter[int] = Counter()
        self.said: list[Event] = []

    # --- looking

    def instrument(self, instrument_id: int) -> Instrument | None:
        return next((one for one in self.instruments if one.instrument_id == instrument_id), None)

    def of(self, order: Order) -> Instrument:
        found = self.instrument(order.terms.instrument_id)
        assert found is not None
        return found

    def at(self, instrument: Instrument, place: Place, side: int) -> list[Order]:
        """The orders at a place, best price first, then the one that came first. Market orders have no price and are
        the best."""
        found = [
            order
            for order in self.orders
            if order.terms.instrument_id == instrument.instrument_id and order.place is place and order.side == side
        ]
        return sorted(found, key=lambda order: (rank(order), order.arrived))

    def best(self, instrument: Instrument, side: int) -> int:
        """The best displayed price of a side; 0: there is none."""
        return next((order.price for order in self.at(instrument, Place.BOOK, side) if order.displayed), 0)

    # --- counting

    def count(self, what: str) -> int:
        """The next order id, order reference, match number or place in a queue."""
        self.counts[what] += 1
        return self.first_id | self.counts[what]

    def seq(self, participant_id: int) -> int:
        self.seqs[participant_id] += 1
        return self.seqs[participant_id]

    # --- telling

    def say(self, event: Event) -> None:
        self.said.append(event)

    def accept(self, order: Order) -> None:
        self.orders.append(order)
        self.known[order.terms.order_id] = order
        self.names[order.terms.session_id, order.terms.cl_ord_id] = order
        self.say(OrderAccepted(order.terms, self.seq(order.terms.participant_id)))

    def reject(self, terms: OrderTerms, reason: RejectReason) -> None:
        self.say(OrderRejected(terms, self.seq(terms.participant_id), reason))

    def reject_request(
        self, request: CancelOrder | ReplaceOrder, session_id: int, order: Order | None, reason: RejectReason
    ) -> None:
        status = OrdStatus.REJECTED if order is None else order.live_status
        self.say(
            CancelRejected(
                request.participant_id,
                session_id,
                self.seq(request.participant_id),
                order.terms.order_id if order else 0,
                request.cl_ord_id,
                request.orig_cl_ord_id,
                2 if isinstance(request, ReplaceOrder) else 1,
                reason,
                status,
            )
        )

    def put(self, order: Order, place: Place, price: int = 0) -> None:
        """Give an order the last place in a queue, with nothing of it displayed."""
        order.place, order.price, order.arrived = place, price, self.count("place")
        order.hidden, order.displayed, order.order_ref = order.leaves, 0, 0

    def book(self, order: Order, price: int) -> None:
        """Put an order on the book and display of it what it wants to be displayed."""
        self.put(order, Place.BOOK, price)
        self.display(order)
        self.tell_booked(order)

    def display(self, order: Order) -> None:
        quantity = min(order.wants.display_qty or order.hidden, order.hidden)
        order.displayed, order.hidden = quantity, order.hidden - quantity
        order.order_ref = self.count("ref")

    def refill(self, order: Order) -> None:
        """What is displayed of a reserve is used up: the next part is, at the end of the queue."""
        if order.place is Place.BOOK and order.hidden and not order.displayed and order.order_ref:
            order.arrived = self.count("place")
            self.display(order)
            self.tell_booked(order)

    def tell_booked(self, order: Order) -> None:
        terms = order.terms
        self.say(
            OrderBooked(
                order.order_ref,
                terms.order_id,
                terms.participant_id,
                terms.instrument_id,
                terms.side,
                order.price,
                order.displayed,
            )
        )

    def close(self, order: Order, status: OrdStatus) -> None:
        self.orders.remove(order)
        order.canceled += order.leaves
        order.displayed = order.hidden = order.order_ref = 0
        order.place, order.status = Place.NOWHERE, status

    def cancel(self, order: Order, reason: CancelReason, cl_ord_id: bytes | None = None) -> None:
        """Cancel what is open; `cl_ord_id` is the request's, if somebody asked for it."""
        ref, quantity, terms = order.order_ref, order.leaves, order.terms
        self.close(order, OrdStatus.CANCELED)
        asked = terms.cl_ord_id if cl_ord_id is None else cl_ord_id
        seq = self.seq(terms.participant_id)
        self.say(OrderCanceled(terms, asked, ref, quantity, reason, seq, order.cum, order.notional))

    def cancel_all(self, orders: Iterable[Order], reason: CancelReason) -> int:
        """Cancel orders, the first entered first. How many that were."""
        found = sorted(orders, key=lambda order: order.terms.order_id)
        for order in found:
            self.cancel(order, reason)
        return len(found)

    def expire(self, order: Order) -> None:
        ref, quantity, terms = order.order_ref, order.leaves, order.terms
        self.close(order, OrdStatus.EXPIRED)
        self.say(OrderExpired(terms, ref, quantity, self.seq(terms.participant_id), order.cum, order.notional))

    def restate(self, order: Order, ref: int, quantity: int, reason: int) -> None:
        terms = order.terms
        seq = self.seq(terms.participant_id)
        self.say(OrderRestated(terms, ref, quantity, reason, seq, order.cum, order.leaves, order.notional))

    def taken(self, order: Order, quantity: int) -> int:
        """Take quantity from an order, what is displayed first. The reference under which that was displayed."""
        ref = order.order_ref if order.displayed else 0
        displayed = min(quantity, order.displayed)
        order.displayed -= displayed
        order.hidden -= quantity - displayed
        return ref

    def trade(self, price: int, quantity: int, *orders: Order) -> list[int]:
        """Two orders trade: their figures. The references under which they were displayed."""
        refs = []
        for order in orders:
            refs.append(self.taken(order, quantity))
            order.cum += quantity
            order.notional += price * quantity
            if not order.leaves:
                self.close(order, OrdStatus.FILLED)
        buyer, seller = sorted(orders, key=lambda order: order.side)
        assert buyer.side == BUY != seller.side
        number = self.count("match")
        self.trades.append(Trade(number, price, quantity, buyer, seller))
        return [number, *refs]


def rank(order: Order) -> int:
    """What a side's orders are sorted by: the best has the lowest. A stop order's is the price that elects it first."""
    if order.place is Place.STOP:
        return order.wants.stop_price if order.side == BUY else -order.wants.stop_price
    if not order.price:
        return -(1 << 62)
    return -order.price if order.side == BUY else order.price


def terms_of(command: NewOrder | ReplaceOrder, order_id: int, session_id: int) -> OrderTerms:
    """What a command asks for, as the events about it say it."""
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
