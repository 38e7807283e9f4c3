"""Event by event, which rows a ledger has of it; then a day of an engine, of which participants have all numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching import events, ledger, wire
from matching.codes import CancelReason, OrdStatus, OrdType, RejectReason, RestatementReason, Side, TimeInForce
from matching.commands import Conditions
from matching.events import OrderTerms
from matching.ledger import Row
from tests.marketdata.stream import AAPL, MSFT, ShardStream

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
CASES = {
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
    empty = Row(*(b"" if "cl_ord_id" in name or name == "account" else 0 for name in Row._fields))
    conditions = terms.conditions or Conditions()
    common = {name: getattr(terms, name) for name in OrderTerms.__struct_fields__ if name in Row._fields}
    common |= {name: getattr(conditions, name) for name in Conditions.__struct_fields__}
    return empty._replace(**{"liquidity": "", **common, **fields})


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


orders = st.lists(
    st.tuples(st.sampled_from([AAPL, MSFT]), st.sampled_from(list(Side)), st.integers(1, 400), st.integers(995, 1005)),
    max_size=40,
)


@given(orders)
def test_participants_have_all_their_numbers_and_both_sides_of_every_trade(
    orders: list[tuple[int, Side, int, int]],
) -> None:
    stream = ShardStream()
    stream.start_day()
    for number, (instrument_id, side, quantity, price) in enumerate(orders):
        stream.enter(side, quantity, price * 1000, instrument_id=instrument_id)
        resting = next(iter(stream.engine.orders()), None)
        if number % 5 == 4 and resting is not None:
            stream.cancel(resting.terms)
    rows = [
        row
        for released, _ in stream.released()
        for message in released
        if message.kind in ledger.LEDGER_KINDS
        for row in ledger.rows(wire.decode_event(message.kind, message.body))
    ]
    numbers: dict[int, list[int]] = {}
    for row in rows:
        numbers.setdefault(row.participant_id, []).append(row.participant_seq)
    for told in numbers.values():
        assert told == list(range(1, len(told) + 1))
    last = {row.order_id: row for row in rows if row.event in ledger.OF_ORDERS}
    open_orders = {order.terms.order_id: (order.leaves_qty, order.cum_qty) for order in stream.engine.orders()}
    assert {order_id: (row.leaves_qty, row.cum_qty) for order_id, row in last.items() if row.leaves_qty} == open_orders
