"""The books of the simulated exchange, kept from its stream alone: every share and every cent has two sides.

Kept by whoever reads the events, with nothing of the engine's: what an order is worth is what was accepted, less what
was traded, canceled and expired. So an event lost, doubled or made differently after a failover does not balance.
"""

from collections import defaultdict
from collections.abc import Iterable

from matching.codes import OrdType, Side
from matching.events import (
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderTerms,
)
from matching.order import Order


class Account:
    """One order, as its events tell it."""

    def __init__(self, terms: OrderTerms) -> None:
        self.terms = terms
        self.leaves_qty = terms.order_qty
        self.cum_qty = 0
        self.cum_notional = 0

    @property
    def figures(self) -> tuple[int, int, int]:
        return self.leaves_qty, self.cum_qty, self.cum_notional


class Books:
    """Fed with every event, in order; raises AssertionError where one does not balance."""

    def __init__(self) -> None:
        self.trades = 0
        self._open: dict[int, Account] = {}
        self._participant_seqs: dict[int, int] = defaultdict(int)
        self._positions: dict[tuple[int, int], int] = defaultdict(int)  # (participant, instrument) → shares
        self._cash: dict[int, int] = defaultdict(int)
        self._last_match_number = 0

    def enter(self, event: object) -> None:
        if isinstance(event, OrderExecuted):
            self._trade(event)
        elif isinstance(event, OrderRejected):
            self._number(event.terms.participant_id, event.participant_seq)
        elif isinstance(event, CancelRejected):
            self._number(event.participant_id, event.participant_seq)
        elif isinstance(event, OrderAccepted | OrderReduced | OrderReplaced | OrderCanceled | OrderExpired):
            self._number(event.terms.participant_id, event.participant_seq)
            self._change(event)

    def _number(self, participant_id: int, participant_seq: int) -> None:
        self._participant_seqs[participant_id] += 1
        expected = self._participant_seqs[participant_id]
        assert participant_seq == expected, f"participant {participant_id}: event {participant_seq}, not {expected}"

    def _change(self, event: OrderAccepted | OrderReduced | OrderReplaced | OrderCanceled | OrderExpired) -> None:
        terms = event.terms
        if isinstance(event, OrderAccepted):
            assert terms.order_id not in self._open, f"order {terms.order_id} is accepted twice"
            self._open[terms.order_id] = Account(terms)
            return
        account = self._open[terms.order_id]
        assert (event.cum_qty, event.cum_notional) == account.figures[1:], f"order {terms.order_id}: {event}"
        if isinstance(event, OrderCanceled | OrderExpired):
            gone = event.canceled_qty if isinstance(event, OrderCanceled) else event.expired_qty
            assert gone == account.leaves_qty, f"order {terms.order_id}: {gone} gone of {account.leaves_qty}"
            del self._open[terms.order_id]
            return
        if isinstance(event, OrderReduced):
            assert event.leaves_qty == account.leaves_qty - event.canceled_qty, f"order {terms.order_id}: {event}"
        assert event.leaves_qty == terms.order_qty - account.cum_qty, f"order {terms.order_id}: {event}"
        account.terms, account.leaves_qty = terms, event.leaves_qty

    def _trade(self, event: OrderExecuted) -> None:
        assert event.quantity > 0
        assert not self._last_match_number or event.match_number == self._last_match_number + 1, "a trade is missing"
        self._last_match_number = event.match_number
        self.trades += 1
        self._number(event.resting.participant_id, event.resting_participant_seq)
        self._number(event.incoming.participant_id, event.incoming_participant_seq)
        assert {event.resting.side, event.incoming.side} == {Side.BUY, Side.SELL}
        resting = event.resting_leaves_qty, event.resting_cum_qty, event.resting_cum_notional
        incoming = event.incoming_leaves_qty, event.incoming_cum_qty, event.incoming_cum_notional
        self._fill(event.resting, event.quantity, event.price, resting)
        self._fill(event.incoming, event.quantity, event.price, incoming)

    def _fill(self, terms: OrderTerms, quantity: int, price: int, figures: tuple[int, int, int]) -> None:
        account = self._open[terms.order_id]
        assert account.terms == terms, f"order {terms.order_id} trades on other terms than it has"
        sign = 1 if terms.side == Side.BUY else -1
        assert terms.ord_type == OrdType.MARKET or sign * price <= sign * terms.price, (
            f"order {terms.order_id}: {price}"
        )
        account.leaves_qty -= quantity
        account.cum_qty += quantity
        account.cum_notional += quantity * price
        assert account.figures == figures, f"order {terms.order_id}: {account.figures}, told {figures}"
        self._positions[terms.participant_id, terms.instrument_id] += sign * quantity
        self._cash[terms.participant_id] -= sign * quantity * price
        if not account.leaves_qty:
            del self._open[terms.order_id]

    def close(self, resting: Iterable[Order]) -> None:
        """In the end: what an engine holds is what is open here, and nothing was made or lost in trading."""
        held = {order.terms.order_id: (order.leaves_qty, order.cum_qty, order.cum_notional) for order in resting}
        told = {order_id: account.figures for order_id, account in self._open.items()}
        assert held == told, f"the engine holds {len(held)} orders, its events leave {len(told)}, and they differ"
        shares: dict[int, int] = defaultdict(int)
        for (_, instrument_id), position in self._positions.items():
            shares[instrument_id] += position
        assert not any(shares.values()), f"shares out of nothing: {dict(shares)}"
        assert sum(self._cash.values()) == 0, f"cash out of nothing: {dict(self._cash)}"
