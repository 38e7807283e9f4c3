"""What goes over into a new day: orders that are good till canceled, or till a date that is not yet due.

    each displayed order    OrderBooked, under the order reference it has, for the feed's new session
    each order              OrderRestated(GT_RENEWAL), to its owner
    one whose date has come since the day's end     OrderExpired, before anybody trades

By instrument, side by side, in price-time priority; what is not on the book comes after what is. With that an order's
ClOrdID is taken in the new day too, and its terms stand among those of the day.
"""

from matching.codes import RestatementReason
from matching.events import Event, OrderBooked, OrderRestated
from matching.expiry import expire, expire_at
from matching.order import Order
from matching.state import CLOSING_EVENTS, Renewal, State
from matching.walk import first_order, next_order


def renew(state: State, work: Renewal, events: list[Event], timestamp: int) -> None:
    """Carry over as many orders as one transaction may say."""
    while work.ids:
        instrument = state.instruments.by_id[work.ids[-1]]
        order = state.order(work.next_order_id) if work.next_order_id else first_order(instrument)
        while order is not None:
            if len(events) >= state.max_events - CLOSING_EVENTS:
                work.next_order_id = order.terms.order_id
                state.carried[work.next_order_id] = order.terms  # by its id it is to be found at once
                state.work.insert(0, work)
                return
            following = next_order(instrument, order)
            _renew(state, order, events)
            if 0 < expire_at(order) <= timestamp:
                expire(state, order, events)
            order = following
        work.ids.pop()
        work.next_order_id = 0


def _renew(state: State, order: Order, events: list[Event]) -> None:
    state.carry(order)
    terms = order.terms
    if order.order_ref:
        events.append(
            OrderBooked(
                order.order_ref,
                terms.order_id,
                terms.participant_id,
                terms.instrument_id,
                terms.side,
                order.level.price,
                order.displayed_qty,
            )
        )
    participant = order.session.participant
    participant.seq += 1
    events.append(
        OrderRestated(
            terms,
            order.order_ref,
            0,
            RestatementReason.GT_RENEWAL,
            participant.seq,
            order.cum_qty,
            order.leaves_qty,
            order.cum_notional,
        )
    )
