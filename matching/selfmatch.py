"""Self-match prevention: what happens instead of a trade where an incoming order meets one of its own group.

    CANCEL_INCOMING   what is left of the incoming order is canceled
    CANCEL_RESTING    the resting order is canceled, and the incoming one goes on
    CANCEL_BOTH       the resting order is canceled, then the incoming one
    DECREMENT         both lose what they would have traded; what has nothing left then is canceled

The incoming order's participant decides. Continuous trading only: an uncross has no incoming order.
"""

from typing import Final

from matching.book import take
from matching.codes import CancelReason, RestatementReason, SelfMatch
from matching.events import Event, OrderRestated
from matching.order import Order
from matching.state import State, Sweep
from matching.trade import cancel, cancel_rest, refill

CANCEL_INCOMING: Final = int(SelfMatch.CANCEL_INCOMING)
CANCEL_RESTING: Final = int(SelfMatch.CANCEL_RESTING)
DECREMENT: Final = int(SelfMatch.DECREMENT)

SELF_MATCH: Final = int(CancelReason.SELF_MATCH)
SELF_MATCH_DECREMENT: Final = int(RestatementReason.SELF_MATCH_DECREMENT)


def prevent(state: State, events: list[Event], sweep: Sweep, resting: Order) -> None:
    """Do to both what the incoming order's participant wants."""
    mode = sweep.session.participant.self_match
    if mode == DECREMENT:
        _decrement(state, events, sweep, resting)
        return
    if mode != CANCEL_INCOMING:
        events.append(cancel(state, resting, SELF_MATCH))
    if mode != CANCEL_RESTING:
        events.append(cancel_rest(state, sweep, SELF_MATCH))


def _decrement(state: State, events: list[Event], sweep: Sweep, resting: Order) -> None:
    """Both lose the smaller quantity; of a reserve, what is displayed counts."""
    quantity = min(resting.displayed_qty or resting.hidden_qty, sweep.leaves_qty)
    lives = quantity < resting.displayed_qty + resting.hidden_qty
    if lives:
        take(resting, quantity)
        events.append(_restated(resting, resting.order_ref, quantity))
    else:
        events.append(cancel(state, resting, SELF_MATCH))
    if quantity < sweep.leaves_qty:
        sweep.leaves_qty -= quantity
        events.append(_restated(sweep, 0, quantity))
    else:
        events.append(cancel_rest(state, sweep, SELF_MATCH))
    if lives and resting.order_ref and not resting.displayed_qty:
        events.append(refill(state, resting))


def _restated(order: Order | Sweep, order_ref: int, quantity: int) -> OrderRestated:
    participant = order.session.participant
    participant.seq += 1
    return OrderRestated(
        order.terms,
        order_ref,
        quantity,
        SELF_MATCH_DECREMENT,
        participant.seq,
        order.cum_qty,
        order.leaves_qty,
        order.cum_notional,
    )
