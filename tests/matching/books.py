"""What a reader of the events alone knows: a book built from the public ones, accounts from the participants'.

Written from the events' description, not from the engine: it shares no code with it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from matching.engine import Engine
from matching.events import (
    CancelRejected,
    Event,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderTerms,
)

BUY = 1


@dataclass
class Account:
    """One order's figures as its trades say them."""

    order_qty: int
    cum_qty: int = 0
    cum_notional: int = 0
    #: Given back by cancels, expiries and replaces.
    canceled_qty: int = 0


@dataclass
class Ledger:
    accounts: dict[int, Account] = field(default_factory=dict)
    #: order_ref → [order_id, side, price, quantity, instrument_id], in the order in which they joined.
    displayed: dict[int, list[int]] = field(default_factory=dict)
    seqs: dict[int, int] = field(default_factory=dict)
    match_number: int = 1 << 48
    order_ref: int = 1 << 48

    def number(self, participant_id: int, seq: int) -> None:
        """A participant's events are numbered without a hole."""
        assert seq == self.seqs.get(participant_id, 0) + 1
        self.seqs[participant_id] = seq

    def figures(self, terms: OrderTerms, cum_qty: int, leaves_qty: int, cum_notional: int) -> None:
        account = self.accounts[terms.order_id]
        assert (account.cum_qty, account.cum_notional) == (cum_qty, cum_notional)
        assert terms.order_qty == cum_qty + leaves_qty
        assert account.order_qty == terms.order_qty

    def book(self, order_ref: int, order_id: int, instrument_id: int, side: int, price: int, quantity: int) -> None:
        assert order_ref > self.order_ref, "order references only grow"
        assert quantity > 0
        self.order_ref = order_ref
        self.displayed[order_ref] = [order_id, side, price, quantity, instrument_id]
        there = [shown for shown in self.displayed.values() if shown[4] == instrument_id]
        bids = [shown[2] for shown in there if shown[1] == BUY]
        asks = [shown[2] for shown in there if shown[1] != BUY]
        assert not bids or not asks or max(bids) < min(asks), "the book is crossed"

    def take(self, event: Event) -> None:
        match event:
            case OrderAccepted(terms, seq):
                self.number(terms.participant_id, seq)
                assert terms.order_id not in self.accounts
                self.accounts[terms.order_id] = Account(terms.order_qty)
            case OrderRejected(terms, seq, _):
                self.number(terms.participant_id, seq)
                assert terms.order_id == 0
            case OrderBooked(ref, order_id, _, instrument_id, side, price, quantity):
                account = self.accounts[order_id]
                assert quantity == account.order_qty - account.cum_qty
                self.book(ref, order_id, instrument_id, side, price, quantity)
            case OrderExecuted():
                self.execute(event)
            case OrderReduced(terms, _, ref, canceled, seq, cum, leaves, notional):
                self.number(terms.participant_id, seq)
                self.displayed[ref][3] -= canceled
                self.accounts[terms.order_id].order_qty -= canceled
                self.figures(terms, cum, leaves, notional)
                assert self.displayed[ref][3] == leaves > 0
            case OrderReplaced(terms, _, orig_ref, ref, seq, cum, leaves, notional):
                self.number(terms.participant_id, seq)
                del self.displayed[orig_ref]
                self.accounts[terms.order_id].order_qty = terms.order_qty
                self.figures(terms, cum, leaves, notional)
                if ref:
                    self.book(ref, terms.order_id, terms.instrument_id, terms.side, terms.price, leaves)
            case OrderCanceled(terms, _, ref, quantity, _, seq, cum, notional) | OrderExpired(
                terms, ref, quantity, seq, cum, notional
            ):
                self.end(terms, ref, quantity, seq, cum, notional)
            case CancelRejected():
                self.number(event.participant_id, event.participant_seq)

    def execute(self, event: OrderExecuted) -> None:
        assert event.match_number == self.match_number + 1
        self.match_number += 1
        self.number(event.resting.participant_id, event.resting_participant_seq)
        self.number(event.incoming.participant_id, event.incoming_participant_seq)
        for terms in (event.resting, event.incoming):
            account = self.accounts[terms.order_id]
            account.cum_qty += event.quantity
            account.cum_notional += event.price * event.quantity
        self.figures(event.resting, event.resting_cum_qty, event.resting_leaves_qty, event.resting_cum_notional)
        self.figures(event.incoming, event.incoming_cum_qty, event.incoming_leaves_qty, event.incoming_cum_notional)
        shown = self.displayed[event.resting_order_ref]
        assert shown[0] == event.resting.order_id
        assert shown[2] == event.price
        assert 0 < event.quantity <= shown[3]
        shown[3] -= event.quantity
        assert shown[3] == event.resting_leaves_qty
        if not shown[3]:
            del self.displayed[event.resting_order_ref]

    def end(self, terms: OrderTerms, ref: int, quantity: int, seq: int, cum: int, notional: int) -> None:
        self.number(terms.participant_id, seq)
        account = self.accounts[terms.order_id]
        assert quantity > 0
        self.figures(terms, cum, quantity, notional)
        account.canceled_qty = quantity
        if ref:
            assert self.displayed.pop(ref)[3] == quantity

    def check(self, engine: Engine) -> None:
        """Nothing but what the events said rests, and every quantity is accounted for."""
        resting = {order.order_ref: order for order in engine.orders()}
        assert {ref: [shown[0], shown[3]] for ref, shown in self.displayed.items()} == {
            ref: [order.terms.order_id, order.leaves_qty] for ref, order in resting.items()
        }
        for order_id in self.accounts:
            order = engine.order(order_id)
            assert order is resting.get(0 if order is None else order.order_ref), (
                "an order that is gone can still be found"
            )
        leaves = {order.terms.order_id: order.leaves_qty for order in resting.values()}
        for order_id, account in self.accounts.items():
            assert account.order_qty == account.cum_qty + account.canceled_qty + leaves.get(order_id, 0)
        for instrument in engine.instruments():
            for side in (instrument.book.bids, instrument.book.asks):
                for level in side.queues():
                    assert level.quantity == sum(order.leaves_qty for order in side.orders() if order.level is level)


def ledger_of(events: Iterable[Event]) -> Ledger:
    """A ledger that has taken these events. Fails at the first that contradicts those before it."""
    ledger = Ledger()
    for event in events:
        ledger.take(event)
    return ledger
