"""The end of orders that live until a time: those of the day, those for an auction, those that are good till a date."""

from typing import Final

from matching.codes import TimeInForce
from matching.events import Event, OrderExpired
from matching.order import Order
from matching.state import State
from matching.trade import EXPIRED, close

GOOD_TILL_CANCEL: Final = int(TimeInForce.GOOD_TILL_CANCEL)
GOOD_TILL_DATE: Final = int(TimeInForce.GOOD_TILL_DATE)


def expires_by(order: Order, timestamp: int) -> bool:
    """Whether the end of a day at this time is the end of the order."""
    terms = order.terms
    if terms.time_in_force == GOOD_TILL_CANCEL:
        return False
    return terms.time_in_force != GOOD_TILL_DATE or expire_at(order) <= timestamp


def expire_at(order: Order) -> int:
    """Until when an order is good; 0: no date ends it."""
    conditions = order.terms.conditions
    return 0 if conditions is None else conditions.expire_at


def expire(state: State, order: Order, events: list[Event]) -> None:
    """Take an order away whose time has come."""
    close(state, order, EXPIRED)
    participant = order.session.participant
    participant.seq += 1
    events.append(
        OrderExpired(order.terms, order.order_ref, order.leaves_qty, participant.seq, order.cum_qty, order.cum_notional)
    )
