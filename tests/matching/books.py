"""What a reader of the events alone knows: a book built from the public ones, accounts from the participants'.

Written from the events' description, not from the engine: it shares no code with it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from matching.engine import Engine
from matching.events import (
    AuctionExecuted,
    CancelRejected,
    Event,
    InstrumentListed,
    MassCancelDone,
    MassCancelRejected,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderTerms,
    OrderTriggered,
    PhaseChanged,
    TradeBusted,
)
from matching.instruments import Instrument

BUY = 1
CONTINUOUS = 3
#: `RestatementReason`: the order goes over into a new day, under the same reference.
GT_RENEWAL = 1


@dataclass
class Account:
    """One order's figures as its trades say them: what was ordered is executed, open or gone."""

    order_qty: int
    leaves_qty: int
    cum_qty: int = 0
    cum_notional: int = 0
    #: Given back by cancels and expiries, or undone by busts.
    gone_qty: int = 0


@dataclass
class Shown:
    """What of an order is displayed."""

    order_id: int
    side: int
    price: int
    quantity: int
    instrument_id: int


@dataclass
class Ledger:
    accounts: dict[int, Account] = field(default_factory=dict)
    #: By order_ref, in the order in which they joined.
    displayed: dict[int, Shown] = field(default_factory=dict)
    phases: dict[int, int] = field(default_factory=dict)
    seqs: dict[int, int] = field(default_factory=dict)
    #: Sum of price × quantity of what was bought and of what was sold.
    notional: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    match_number: int = 1 << 48
    order_ref: int = 1 << 48

    # --- each kind of event

    def take(self, event: Event) -> None:
        match event:
            case OrderAccepted(terms, seq):
                self.number(terms.participant_id, seq)
                assert terms.order_id not in self.accounts
                self.accounts[terms.order_id] = Account(terms.order_qty, terms.order_qty)
            case OrderRejected(terms, seq, _):
                self.number(terms.participant_id, seq)
                assert terms.order_id == 0
            case OrderBooked():
                self.book(event)
            case OrderExecuted():
                self.execute(event)
            case AuctionExecuted():
                self.cross(event)
            case OrderReduced(terms, _, ref, displayed, seq, cum, leaves, notional):
                self.resize(terms, leaves)
                self.take_away(ref, displayed)
                self.figures(terms, seq, cum, leaves, notional)
                assert leaves > 0
            case OrderReplaced():
                self.replace(event)
            case OrderTriggered(terms, seq, cum, leaves, notional):
                self.figures(terms, seq, cum, leaves, notional)
            case OrderRestated():
                self.restate(event)
            case OrderCanceled(terms, _, ref, quantity, _, seq, cum, notional) | OrderExpired(
                terms, ref, quantity, seq, cum, notional
            ):
                self.end(terms, ref, quantity, seq, cum, notional)
            case TradeBusted():
                self.bust(event)
            case CancelRejected() | MassCancelDone() | MassCancelRejected():
                if event.session_id:
                    self.number(event.participant_id, event.participant_seq)
            case PhaseChanged(instrument_id, phase):
                self.phases[instrument_id] = phase
            case InstrumentListed(instrument_id):
                self.phases.pop(instrument_id, None)

    def number(self, participant_id: int, seq: int) -> None:
        """A participant's events are numbered without a hole."""
        assert seq == self.seqs.get(participant_id, 0) + 1
        self.seqs[participant_id] = seq

    def figures(self, terms: OrderTerms, seq: int, cum_qty: int, leaves_qty: int, cum_notional: int) -> None:
        """An event about an order: it is numbered, and says what is known of the order."""
        self.number(terms.participant_id, seq)
        account = self.accounts[terms.order_id]
        assert (account.cum_qty, account.cum_notional) == (cum_qty, cum_notional)
        assert account.leaves_qty == leaves_qty
        assert account.order_qty == terms.order_qty

    def resize(self, terms: OrderTerms, leaves: int) -> None:
        """A replace: what is open changes by as much as what was ordered."""
        account = self.accounts[terms.order_id]
        assert leaves - account.leaves_qty == terms.order_qty - account.order_qty
        account.order_qty, account.leaves_qty = terms.order_qty, leaves

    def book(self, event: OrderBooked) -> None:
        again = self.displayed.get(event.order_ref)
        if again is not None:  # a new day: the public is told of it anew
            assert event.quantity == again.quantity
            assert event.price == again.price
            return
        self.show(event.order_ref, event.order_id, event.instrument_id, event.side, event.price, event.quantity)

    def show(self, ref: int, order_id: int, instrument_id: int, side: int, price: int, quantity: int) -> None:
        assert ref > self.order_ref, "order references only grow"
        assert 0 < quantity <= self.accounts[order_id].leaves_qty
        assert all(shown.order_id != order_id for shown in self.displayed.values()), "it is displayed already"
        self.order_ref = ref
        self.displayed[ref] = Shown(order_id, side, price, quantity, instrument_id)

    def take_away(self, ref: int, quantity: int) -> None:
        """Part of what is displayed is gone."""
        if not ref:
            return
        shown = self.displayed[ref]
        assert 0 <= quantity <= shown.quantity
        shown.quantity -= quantity
        if not shown.quantity:
            del self.displayed[ref]

    def execute(self, event: OrderExecuted) -> None:
        self.trade(event.match_number, event.price, event.quantity, event.resting, event.incoming)
        ref, resting, incoming = event.resting_order_ref, event.resting, event.incoming
        self.figures(
            resting,
            event.resting_participant_seq,
            event.resting_cum_qty,
            event.resting_leaves_qty,
            event.resting_cum_notional,
        )
        self.figures(
            incoming,
            event.incoming_participant_seq,
            event.incoming_cum_qty,
            event.incoming_leaves_qty,
            event.incoming_cum_notional,
        )
        assert not ref or self.displayed[ref].order_id == resting.order_id
        assert not ref or self.displayed[ref].price == event.price
        self.take_away(ref, event.quantity)

    def cross(self, event: AuctionExecuted) -> None:
        self.trade(event.match_number, event.price, event.quantity, event.buy, event.sell)
        buy, sell = event.buy, event.sell
        self.figures(buy, event.buy_participant_seq, event.buy_cum_qty, event.buy_leaves_qty, event.buy_cum_notional)
        self.figures(
            sell, event.sell_participant_seq, event.sell_cum_qty, event.sell_leaves_qty, event.sell_cum_notional
        )
        for ref, terms in ((event.buy_order_ref, buy), (event.sell_order_ref, sell)):
            assert not ref or self.displayed[ref].order_id == terms.order_id
            self.take_away(ref, event.quantity)

    def trade(self, match_number: int, price: int, quantity: int, one: OrderTerms, other: OrderTerms) -> None:
        assert match_number > self.match_number
        assert quantity > 0
        assert price > 0
        assert one.side != other.side
        self.match_number = match_number
        for terms in (one, other):
            account = self.accounts[terms.order_id]
            account.cum_qty += quantity
            account.leaves_qty -= quantity
            account.cum_notional += price * quantity
            self.notional[terms.side] += price * quantity
            assert not terms.price or (price <= terms.price if terms.side == BUY else price >= terms.price)

    def replace(self, event: OrderReplaced) -> None:
        terms = event.terms
        self.resize(terms, event.leaves_qty)
        self.figures(terms, event.participant_seq, event.cum_qty, event.leaves_qty, event.cum_notional)
        if event.orig_order_ref:
            assert self.displayed.pop(event.orig_order_ref).order_id == terms.order_id
        if event.order_ref:
            price = terms.price
            self.show(event.order_ref, terms.order_id, terms.instrument_id, terms.side, price, event.leaves_qty)

    def restate(self, event: OrderRestated) -> None:
        account = self.accounts[event.terms.order_id]
        if event.reason != GT_RENEWAL:
            account.leaves_qty -= event.canceled_qty
            account.gone_qty += event.canceled_qty
            self.take_away(event.order_ref, event.canceled_qty)
        self.figures(event.terms, event.participant_seq, event.cum_qty, event.leaves_qty, event.cum_notional)

    def end(self, terms: OrderTerms, ref: int, quantity: int, seq: int, cum: int, notional: int) -> None:
        account = self.accounts[terms.order_id]
        assert quantity > 0
        self.figures(terms, seq, cum, quantity, notional)
        account.gone_qty += quantity
        account.leaves_qty = 0
        if ref:
            shown = self.displayed.pop(ref)
            assert shown.order_id == terms.order_id
            assert shown.quantity <= quantity
        assert all(shown.order_id != terms.order_id for shown in self.displayed.values())

    def bust(self, event: TradeBusted) -> None:
        for terms in (event.buy, event.sell):
            account = self.accounts[terms.order_id]
            account.cum_qty -= event.quantity
            account.gone_qty += event.quantity
            account.cum_notional -= event.price * event.quantity
            self.notional[terms.side] -= event.price * event.quantity
        self.figures(
            event.buy, event.buy_participant_seq, event.buy_cum_qty, event.buy_leaves_qty, event.buy_cum_notional
        )
        self.figures(
            event.sell, event.sell_participant_seq, event.sell_cum_qty, event.sell_leaves_qty, event.sell_cum_notional
        )

    # --- after a whole transaction, with its continuations

    def check(self, engine: Engine) -> None:
        """Nothing but what the events said is open, and every quantity is accounted for."""
        sides = [side for instrument in engine.instruments() for side in instrument.sides()]
        orders = {order.terms.order_id: order for side in sides for order in side.orders()}
        assert {order.order_ref: order.displayed_qty for order in orders.values() if order.order_ref} == {
            ref: shown.quantity for ref, shown in self.displayed.items()
        }
        for order_id, account in self.accounts.items():
            order = orders.get(order_id)
            assert engine.order(order_id) is order, "an order that is gone can still be found"
            assert account.leaves_qty == (order.leaves_qty if order else 0)
            assert account.order_qty == account.cum_qty + account.gone_qty + account.leaves_qty
            assert order is None or account.cum_qty == order.cum_qty
        assert set(orders) <= set(self.accounts)
        assert self.notional[1] == self.notional[2]
        for instrument in engine.instruments():
            self.check_book(instrument, engine.day_is_open and instrument.phase == CONTINUOUS)

    def check_book(self, instrument: Instrument, trades: bool) -> None:
        """In continuous trading the book is not crossed and all of it is displayed; queues are in order of arrival."""
        sides = instrument.book.bids, instrument.book.asks
        for side in (*sides, *instrument.sides()[2:]):
            for level in side.queues():
                queue = [order for order in side.orders() if order.level is level]
                assert level.quantity == sum(order.displayed_qty for order in queue)
                assert level.hidden == sum(order.hidden_qty for order in queue)
        for side in sides:
            for level in side.queues():
                refs = [order.order_ref for order in side.orders() if order.level is level and order.order_ref]
                assert all(ahead < behind for ahead, behind in pairwise(refs)), "who came first stands in front"
        if trades:
            bid, ask = instrument.book.best_bid, instrument.book.best_ask
            assert bid is None or ask is None or bid < ask, "the book is crossed"
            assert all(order.displayed_qty for side in sides for order in side.orders())


def ledger_of(events: Iterable[Event]) -> Ledger:
    """A ledger that has taken these events. Fails at the first that contradicts those before it."""
    ledger = Ledger()
    for event in events:
        ledger.take(event)
    return ledger
