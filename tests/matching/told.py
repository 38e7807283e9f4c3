"""Events in few words, for tests of what orders do to each other: (what, which order, figures)."""

from matching.codes import CancelReason, Phase, RejectReason
from matching.commands import Conditions, NewOrder, ReplaceOrder
from matching.events import (
    CancelRejected,
    Event,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderTriggered,
    PhaseChanged,
)
from tests.matching.sitting import Sitting

STOP, STOP_LIMIT, LEFTOVER, PEGGED = 3, 4, ord("K"), ord("P")
FOK = 4


def opened(max_events: int = 128, restored: bool = False) -> Sitting:
    """A day has begun, and the instrument trades."""
    sitting = Sitting(max_events, restored)
    sitting.start_day()
    return sitting


def replace(
    sitting: Sitting,
    number: int,
    side: int,
    quantity: int,
    price: int = 0,
    conditions: Conditions | None = None,
    ord_type: int = 2,
    time_in_force: int = 0,
    participant_id: int = 1,
) -> list[Event]:
    """Replace the order that was entered as this number; it is named r and the number then."""
    old, new = b"o%d" % number, b"r%d" % number
    return sitting(
        ReplaceOrder(
            participant_id, 1, side, ord_type, time_in_force, price, quantity, 0, 0, new, old, b"", conditions
        ),
        participant_id,
    )


def told(events: list[Event]) -> list[tuple[object, ...]]:
    """What happened, but for what is accepted and for the public's states."""
    return [said for event in events if (said := _said(event))]


def _said(event: Event) -> tuple[object, ...]:
    match event:
        case OrderExecuted():
            return "trade", event.resting.cl_ord_id, event.incoming.cl_ord_id, event.quantity, event.price
        case OrderBooked():
            return "booked", event.order_id & 0xFFFF, event.quantity, event.price
        case OrderCanceled():
            return "canceled", event.terms.cl_ord_id, event.canceled_qty, CancelReason(event.reason).name
        case OrderTriggered():
            return "triggered", event.terms.cl_ord_id
        case OrderRestated():
            return "restated", event.terms.cl_ord_id, event.canceled_qty, event.leaves_qty
        case OrderRejected() | CancelRejected():
            return "rejected", RejectReason(event.reason).name
        case OrderReplaced():
            return "replaced", event.terms.cl_ord_id, event.order_ref & 0xFFFF, event.leaves_qty
        case OrderReduced():
            return "reduced", event.terms.cl_ord_id, event.canceled_qty, event.leaves_qty
        case PhaseChanged():
            return "phase", Phase(event.phase).name
    return ()


def new(side: int = 1, quantity: int = 10, price: int = 0, **fields: object) -> NewOrder:
    """A limit order that differs from a plain one in these fields."""
    plain = {
        "participant_id": 1,
        "instrument_id": 1,
        "side": side,
        "ord_type": 2,
        "time_in_force": 0,
        "price": price,
        "quantity": quantity,
        "expires_at": 0,
        "cl_ord_id": b"new",
        "account": b"",
    }
    return NewOrder(**(plain | fields))  # type: ignore[arg-type]
