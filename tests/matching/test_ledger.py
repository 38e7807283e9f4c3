"""Event by event, which rows a ledger has of it; then days of an engine, of which it has all that the engine has."""

from typing import Any

import pytest

from matching import commands, events, ledger, queries, wire
from matching.codes import CancelReason, OrdStatus, OrdType, RejectReason, RestatementReason, Side, TimeInForce
from matching.commands import Conditions
from matching.engine import Engine
from matching.events import OrderTerms
from matching.ledger import Row
from tests.matching.random_market import PARTICIPANTS, RandomMarket

AAPL = 1

TERMS = OrderTerms(77, 7, 70, AAPL, Side.BUY, OrdType.LIMIT, TimeInForce.DAY, 100_0000, 500, b"C1", b"ACC")
OTHER = OrderTerms(78, 8, 80, AAPL, Side.SELL, OrdType.MARKET, TimeInForce.IOC, 0, 300, b"S1", b"")
STOP = OrderTerms(
    79,
    7,
    70,
    AAPL,
    Side.SELL,
    OrdType.STOP_LIMIT,
    TimeInForce.DAY,
    99_0000,
    500,
    b"C3",
    b"",
    Conditions(98_0000, 50, 0),
)

#: The event, its rows as (fields that are not 0 or empty and not the terms' own).
CASES: dict[str, tuple[events.Event, list[dict[str, object]]]] = {
    "order accepted": (
        events.OrderAccepted(TERMS, 3),
        [{"event": "NEW", "participant_seq": 3, "leaves_qty": 500, "ord_status": OrdStatus.NEW}],
    ),
    "order rejected": (
        events.OrderRejected(TERMS, 3, RejectReason.PRICE_NOT_ON_TICK),
        [
            {
                "event": "REJECTED",
                "participant_seq": 3,
                "ord_status": OrdStatus.REJECTED,
                "reason": RejectReason.PRICE_NOT_ON_TICK,
            }
        ],
    ),
    "order executed": (
        events.OrderExecuted(9, 100_0000, 300, TERMS, 5, 4, 300, 200, 1, OTHER, 6, 300, 0, 2),
        [
            {
                "event": "TRADE",
                "participant_seq": 4,
                "match_number": 9,
                "last_px": 100_0000,
                "last_qty": 300,
                "liquidity": "ADDED",
                "cum_qty": 300,
                "leaves_qty": 200,
                "cum_notional": 1,
                "ord_status": OrdStatus.PARTIALLY_FILLED,
            },
            {
                "part": 1,
                "event": "TRADE",
                "participant_seq": 6,
                "match_number": 9,
                "last_px": 100_0000,
                "last_qty": 300,
                "liquidity": "REMOVED",
                "cum_qty": 300,
                "cum_notional": 2,
                "ord_status": OrdStatus.FILLED,
            },
        ],
    ),
    "executed in an auction": (
        events.AuctionExecuted(9, 100_0000, 300, TERMS, 5, 4, 300, 200, 1, OTHER, 0, 6, 300, 0, 2),
        [
            {
                "event": "TRADE",
                "participant_seq": 4,
                "match_number": 9,
                "last_px": 100_0000,
                "last_qty": 300,
                "liquidity": "AUCTION",
                "cum_qty": 300,
                "leaves_qty": 200,
                "cum_notional": 1,
                "ord_status": OrdStatus.PARTIALLY_FILLED,
            },
            {
                "part": 1,
                "event": "TRADE",
                "participant_seq": 6,
                "match_number": 9,
                "last_px": 100_0000,
                "last_qty": 300,
                "liquidity": "AUCTION",
                "cum_qty": 300,
                "cum_notional": 2,
                "ord_status": OrdStatus.FILLED,
            },
        ],
    ),
    "trade busted": (
        events.TradeBusted(9, 100_0000, 300, TERMS, 4, 0, 200, 0, OTHER, 6, 0, 0, 0),
        [
            {
                "event": "TRADE_CANCEL",
                "participant_seq": 4,
                "match_number": 9,
                "last_px": 100_0000,
                "last_qty": 300,
                "leaves_qty": 200,
                "ord_status": OrdStatus.NEW,
            },
            {
                "part": 1,
                "event": "TRADE_CANCEL",
                "participant_seq": 6,
                "match_number": 9,
                "last_px": 100_0000,
                "last_qty": 300,
                "ord_status": OrdStatus.CANCELED,
            },
        ],
    ),
    "order triggered": (
        events.OrderTriggered(STOP, 3, 0, 500, 0),
        [{"event": "TRIGGERED", "participant_seq": 3, "leaves_qty": 500, "ord_status": OrdStatus.NEW}],
    ),
    "order restated": (
        events.OrderRestated(TERMS, 5, 100, RestatementReason.SELF_MATCH_DECREMENT, 3, 200, 200, 7),
        [
            {
                "event": "RESTATED",
                "participant_seq": 3,
                "cum_qty": 200,
                "leaves_qty": 200,
                "cum_notional": 7,
                "ord_status": OrdStatus.PARTIALLY_FILLED,
                "reason": RestatementReason.SELF_MATCH_DECREMENT,
            }
        ],
    ),
    "order reduced": (
        events.OrderReduced(TERMS, b"C0", 5, 100, 3, 0, 400, 0),
        [
            {
                "event": "REPLACED",
                "participant_seq": 3,
                "orig_cl_ord_id": b"C0",
                "leaves_qty": 400,
                "ord_status": OrdStatus.NEW,
            }
        ],
    ),
    "order replaced": (
        events.OrderReplaced(TERMS, b"C0", 5, 6, 3, 100, 400, 7),
        [
            {
                "event": "REPLACED",
                "participant_seq": 3,
                "orig_cl_ord_id": b"C0",
                "cum_qty": 100,
                "leaves_qty": 400,
                "cum_notional": 7,
                "ord_status": OrdStatus.PARTIALLY_FILLED,
            }
        ],
    ),
    "order canceled by its owner": (
        events.OrderCanceled(TERMS, b"C2", 5, 400, CancelReason.REQUESTED, 3, 100, 7),
        [
            {
                "event": "CANCELED",
                "participant_seq": 3,
                "cl_ord_id": b"C2",
                "orig_cl_ord_id": b"C1",
                "cum_qty": 100,
                "cum_notional": 7,
                "ord_status": OrdStatus.CANCELED,
                "reason": CancelReason.REQUESTED,
            }
        ],
    ),
    "order canceled unasked": (
        events.OrderCanceled(TERMS, b"C1", 5, 500, CancelReason.SESSION_LOST, 3, 0, 0),
        [
            {
                "event": "CANCELED",
                "participant_seq": 3,
                "ord_status": OrdStatus.CANCELED,
                "reason": CancelReason.SESSION_LOST,
            }
        ],
    ),
    "order expired": (
        events.OrderExpired(TERMS, 5, 400, 3, 100, 7),
        [
            {
                "event": "EXPIRED",
                "participant_seq": 3,
                "cum_qty": 100,
                "cum_notional": 7,
                "ord_status": OrdStatus.EXPIRED,
            }
        ],
    ),
    "operator's mass cancel": (events.MassCancelDone(7, 0, 0, b"", 0, 0, 0, 5), []),
    "day started": (events.DayStarted(20251121, b"251121A001", 0), []),
    "order booked": (events.OrderBooked(5, 77, 7, AAPL, 1, 1, 1), []),
}


def row_of(terms: OrderTerms, fields: dict[str, object]) -> Row:
    """A row of an order, with its terms, and these fields of its own."""
    empty = Row._make(b"" if "cl_ord_id" in name or name == "account" else 0 for name in Row._fields)
    conditions = terms.conditions or Conditions()
    common = {name: getattr(terms, name) for name in OrderTerms.__struct_fields__ if name in Row._fields}
    common |= {name: getattr(conditions, name) for name in Conditions.__struct_fields__}
    values: dict[str, Any] = {"liquidity": "", **common, **fields}
    return empty._replace(**values)


@pytest.mark.parametrize("case", CASES)
def test_what_an_event_is_to_its_participants(case: str) -> None:
    event, expected = CASES[case]
    terms = [getattr(event, name) for name in ("terms", "resting", "incoming", "buy", "sell") if hasattr(event, name)]
    assert ledger.rows(event) == [row_of(*each) for each in zip(terms, expected, strict=True)] or not expected
    assert bool(ledger.rows(event)) == bool(expected)


def test_answers_that_are_about_no_order_have_a_row_of_no_figures() -> None:
    rejected = events.CancelRejected(7, 70, 3, 77, b"C2", b"C1", 1, RejectReason.TOO_LATE, OrdStatus.FILLED)
    (row,) = ledger.rows(rejected)
    assert (row.event, row.order_id, row.cl_ord_id, row.orig_cl_ord_id) == ("CANCEL_REJECTED", 77, b"C2", b"C1")
    assert (row.ord_status, row.reason, row.order_qty) == (OrdStatus.FILLED, RejectReason.TOO_LATE, 0)
    (row,) = ledger.rows(events.CancelRejected(7, 70, 3, 77, b"C2", b"C1", 2, 13, OrdStatus.FILLED))
    assert row.event == "REPLACE_REJECTED"
    (row,) = ledger.rows(events.MassCancelDone(7, 70, 3, b"M1", 0, AAPL, Side.BUY, 5))
    assert (row.event, row.participant_seq, row.cl_ord_id) == ("MASS_CANCELED", 3, b"M1")
    assert (row.order_id, row.instrument_id, row.side) == (0, AAPL, Side.BUY)
    (row,) = ledger.rows(events.MassCancelRejected(7, 70, 3, b"M1", 0, 9, 0, RejectReason.UNKNOWN_INSTRUMENT))
    assert (row.event, row.reason) == ("MASS_CANCEL_REJECTED", RejectReason.UNKNOWN_INSTRUMENT)


def test_every_event_with_a_participants_number_has_rows() -> None:
    numbered = {
        kind
        for kind, (cls, _) in wire.LAYOUTS.items()
        if any(name.endswith("participant_seq") for name in cls.__struct_fields__)
    }
    assert numbered == ledger.LEDGER_KINDS


class Kept:
    """An engine, and a ledger of it."""

    def __init__(self) -> None:
        self.engine = Engine(1)
        self.rows: list[Row] = []
        self.today: list[Row] = []

    def apply(self, command: commands.Command, now: int, session_id: int) -> None:
        while True:
            for event in self.engine.apply(command, now, session_id):
                if isinstance(event, events.DayStarted):
                    self.today.clear()
                self.rows += ledger.rows(event)
                self.today += ledger.rows(event)
            if not self.engine.pending:
                return
            command, session_id = commands.Continue(), 0

    def orders(self) -> dict[int, Row]:
        """By order id, as it is now or as it ended."""
        return {row.order_id: row for row in self.rows if row.order_id and row.event in ledger.OF_ORDERS}

    def fills(self, participant_id: int) -> list[tuple[int, int, int, int, str, bool]]:
        """Of the day, by match number: order, price, quantity, how it came to be, and whether it was undone."""
        undone = {row.match_number for row in self.today if row.event == ledger.TRADE_CANCEL}
        return sorted(
            (row.match_number, row.order_id, row.last_px, row.last_qty, row.liquidity, row.match_number in undone)
            for row in self.today
            if row.event == ledger.TRADE and row.participant_id == participant_id
        )

    def fills_of_engine(self, participant_id: int) -> list[tuple[int, int, int, int, str, bool]]:
        found = self.engine.answer(queries.Fills(participant_id))
        assert isinstance(found, queries.FillsFound)
        assert not found.more
        return sorted(
            (
                fill.match_number,
                fill.terms.order_id,
                fill.price,
                fill.quantity,
                ledger.AUCTION if fill.auction else ledger.ADDED if fill.resting else ledger.REMOVED,
                fill.busted,
            )
            for fill in found.fills
        )

    def check(self) -> None:
        numbers: dict[int, list[int]] = {}
        for row in self.rows:
            numbers.setdefault(row.participant_id, []).append(row.participant_seq)
        for told in numbers.values():
            assert told == list(range(1, len(told) + 1))
        for participant_id in PARTICIPANTS:
            assert self.fills(participant_id) == self.fills_of_engine(participant_id)
        open_orders = {
            order.terms.order_id: (order.terms.cl_ord_id, order.leaves_qty, order.cum_qty, order.cum_notional)
            for participant_id in PARTICIPANTS
            for order in self.open_orders(participant_id)
        }
        assert open_orders == {
            order_id: (row.cl_ord_id, row.leaves_qty, row.cum_qty, row.cum_notional)
            for order_id, row in self.orders().items()
            if row.leaves_qty
        }

    def open_orders(self, participant_id: int) -> tuple[queries.OrderStatus, ...]:
        found = self.engine.answer(queries.OpenOrders(participant_id))
        assert isinstance(found, queries.OrdersFound)
        assert not found.more
        return tuple(found.orders)


@pytest.mark.parametrize("seed", range(4))
def test_through_everything_that_can_happen_the_ledger_has_what_the_engine_has(seed: int) -> None:
    kept = Kept()
    for number, (command, now, session_id) in enumerate(RandomMarket(seed).days(3, 150)):
        kept.apply(command, now, session_id)
        if number % 10 == 0 and kept.engine.day_is_open:
            kept.check()
    assert {row.event for row in kept.rows} >= {"NEW", "REJECTED", "TRADE", "CANCELED", "EXPIRED", "CANCEL_REJECTED"}
