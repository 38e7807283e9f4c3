"""The engine against the market on one page: the same events and the same book after every command."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from matching.codes import CancelReason, RejectReason
from matching.commands import (
    CancelOrder,
    Command,
    Continue,
    DefineInstrument,
    DefineSession,
    EndDay,
    NewOrder,
    ReplaceOrder,
    SourceLost,
    StartDay,
)
from matching.engine import Engine
from matching.events import (
    CancelRejected,
    Event,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderReduced,
    OrderReplaced,
)
from tests.matching.books import ledger_of
from tests.matching.reference import BUY, DAY, FOK, IOC, LIMIT, MARKET, SELL, Market, Wish

PRICE = 1_000_000
TICK = 100

new = st.tuples(
    st.just("new"),
    st.sampled_from([BUY, SELL]),
    st.sampled_from([LIMIT] * 7 + [MARKET]),
    st.sampled_from([DAY] * 6 + [IOC, FOK]),
    st.integers(0, 4),
    st.integers(1, 9),
)
#: Which order a request names: one that rests, if `live` and if there is one, else any ClOrdID used or not yet used.
order = st.tuples(st.sampled_from([True] * 7 + [False]), st.integers(0, 60))
cancel = st.tuples(st.just("cancel"), order)
lost = st.tuples(st.just("lost"), st.sampled_from([BUY, SELL]))
replace = st.tuples(st.just("replace"), order, st.integers(0, 4), st.integers(1, 12))
#: By weight: `one_of` would draw as many cancels as orders, and books would stay empty.
play = st.sampled_from([new] * 7 + [cancel] + [replace] * 2 + [lost]).flatmap(lambda drawn: drawn)
plays = st.lists(play, min_size=30, max_size=80)


class Both:
    """The engine and the reference, given the same commands."""

    def __init__(self, max_events: int) -> None:
        self.engine = Engine(1, max_events)
        self.market = Market()
        self.wishes: dict[str, Wish] = {}
        #: ClOrdIDs of accepted cancels and of terms that a replace ended: known, but naming no order that lives.
        self.ended: set[str] = set()
        #: Buyers are participant 1 in session 1, sellers 2 in 2: which of them used a ClOrdID.
        self.sides: dict[str, int] = {}
        self.events: list[Event] = []
        self.apply(DefineInstrument(1, b"ACME", TICK, 1, 100), 0)
        self.apply(DefineSession(BUY, BUY, BUY, 1), 0)
        self.apply(DefineSession(SELL, SELL, SELL, 1), 0)
        self.apply(StartDay(20250101, b"S250101001", 0), 0)

    def apply(self, command: Command, session_id: int) -> list[Event]:
        """A command's events and those of its continuations."""
        events = self.engine.apply(command, 0, session_id)
        while self.engine.pending:
            events += self.engine.apply(Continue(), 0, 0)
        self.events += events
        return events

    def play(self, verb: str, *arguments: Any) -> None:
        cl_ord_id = f"x{len(self.sides) + 1}"
        said, expected = getattr(self, verb)(cl_ord_id, *arguments)
        assert [told for event in said for told in tell(event, self)] == expected
        assert self.book(BUY) == self.queue(self.engine.book(1).bids)
        assert self.book(SELL) == self.queue(self.engine.book(1).asks)

    def new(self, cl_ord_id: str, side: int, ord_type: int, time_in_force: int, step: int, quantity: int) -> Any:
        price = 0 if ord_type == MARKET else PRICE + step * TICK
        wish = self.wishes[cl_ord_id] = Wish(cl_ord_id, side, price, quantity, entered=len(self.sides))
        self.sides[cl_ord_id] = side
        command = NewOrder(side, 1, side, ord_type, time_in_force, price, quantity, 0, cl_ord_id.encode(), b"")
        return self.apply(command, side), self.market.new(wish, ord_type, time_in_force)

    def lost(self, _: str, side: int) -> Any:
        return self.apply(SourceLost(side), 0), self.market.lost(side)

    def named(self, order: tuple[bool, int]) -> str:
        live, index = order
        resting = self.market.resting
        return resting[index % len(resting)].cl_ord_id if live and resting else f"x{index}"

    def cancel(self, cl_ord_id: str, order: tuple[bool, int]) -> Any:
        orig = self.named(order)
        wish = self.wishes.get(orig)
        side = self.sides[cl_ord_id] = self.sides.get(orig, BUY)
        said = self.apply(CancelOrder(side, 1, side, 0, 0, cl_ord_id.encode(), orig.encode()), side)
        refusal = self.refusal(orig)
        if refusal or wish is None:
            return said, [refusal]
        self.ended.add(cl_ord_id)
        return said, self.market.cancel(wish)

    def replace(self, cl_ord_id: str, order: tuple[bool, int], step: int, quantity: int) -> Any:
        orig = self.named(order)
        wish = self.wishes.get(orig)
        side = self.sides[cl_ord_id] = self.sides.get(orig, BUY)
        price = PRICE + step * TICK
        ids = cl_ord_id.encode(), orig.encode()
        said = self.apply(ReplaceOrder(side, 1, side, LIMIT, DAY, price, quantity, 0, 0, *ids, b""), side)
        refusal = self.refusal(orig)
        if refusal or wish is None:
            return said, [refusal]
        if quantity <= wish.cum:
            return said, [("refused", "QUANTITY_ALREADY_EXECUTED")]
        self.wishes[cl_ord_id] = self.wishes.pop(orig)
        self.ended.add(orig)
        return said, self.market.replace(wish, cl_ord_id, price, quantity)

    def refusal(self, orig: str) -> tuple[str, str] | None:
        wish = self.wishes.get(orig)
        if wish is not None and wish in self.market.resting:
            return None
        known = wish is not None or orig in self.ended
        return ("refused", "TOO_LATE" if known else "UNKNOWN_ORDER")

    def book(self, side: int) -> list[tuple[str, int, int]]:
        return [(order.cl_ord_id, order.price, order.leaves) for order in self.market.queue(side)]

    def queue(self, side: Any) -> list[tuple[str, int, int]]:
        return [(order.terms.cl_ord_id.decode(), order.terms.price, order.leaves_qty) for order in side.orders()]


def tell(event: Event, both: Both) -> list[tuple[object, ...]]:
    """An event in the words of the reference."""
    match event:
        case OrderAccepted(terms):
            return [("accepted", terms.cl_ord_id.decode())]
        case OrderBooked(_, order_id, _, _, _, price, quantity):
            order = both.engine.order(order_id)
            assert order is not None
            return [("booked", order.terms.cl_ord_id.decode(), price, quantity)]
        case OrderExecuted():
            names = event.resting.cl_ord_id.decode(), event.incoming.cl_ord_id.decode()
            return [("executed", *names, event.price, event.quantity)]
        case OrderReduced(terms, orig) | OrderReplaced(terms, orig):
            return [("replaced", orig.decode(), terms.cl_ord_id.decode())]
        case OrderCanceled(terms, _, _, quantity, reason):
            return [("canceled", terms.cl_ord_id.decode(), quantity, CancelReason(reason).name)]
        case CancelRejected():
            return [("refused", RejectReason(event.reason).name)]
    raise AssertionError(event)


@given(plays, st.sampled_from([7, 8, 128]))
def test_the_engine_does_what_the_reference_does(commands: list[tuple[Any, ...]], max_events: int) -> None:
    both = Both(max_events)
    for command in commands:
        both.play(*command)
    ledger_of(both.events).check(both.engine)
    both.apply(EndDay(20250101), 0)
    assert list(both.engine.orders()) == []
    ledger_of(both.events).check(both.engine)
