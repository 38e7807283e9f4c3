"""FIX sessions: where they come from, and cancel on disconnect.

    DefineSession    says which gateway a session comes from and whether its orders are canceled when it is lost
    SourceLost       a gateway is lost: cancel the orders of its sessions that want it
    CancelSession    only a session's connection is lost: cancel its orders, if it wants that

All three are operators' commands and say nothing but the `OrderCanceled` of each order, by order id. An order belongs
to the session that entered it, or last replaced it. Halted instruments are no exception: cancels are always taken.
More orders than one transaction may say, or look at, become a `Cancellation` and go on at the next `Continue`, which
may find none. Repeated, the commands find nothing left to cancel; about a source or session that nobody defined they
say nothing.
"""

from collections.abc import Callable
from typing import Final

from matching.codes import CancelReason, RefusalReason
from matching.commands import CancelSession, DefineSession, SourceLost
from matching.events import Event, OrderCanceled
from matching.order import Order
from matching.state import Cancellation, State
from matching.trade import CANCELED, close

#: Orders that one transaction looks at: a millisecond's worth, where a lost gateway may have had a million.
MAX_LOOKED_AT: Final = 4096


def define_session(state: State, command: DefineSession) -> int:
    """Take over a session's definition. Gives a RefusalReason, or 0."""
    if command.session_id == 0 or command.cancel_on_disconnect > 1:
        return RefusalReason.BAD_SESSION
    state.definitions[command.session_id] = command
    return 0


def source_lost(state: State, command: SourceLost, events: list[Event]) -> int:
    """Cancel the orders that go with a gateway. Gives a RefusalReason, or 0: never anything else."""
    return _start(state, events, CancelReason.SOURCE_LOST, lambda each: each.source_id == command.source_id)


def cancel_session(state: State, command: CancelSession, events: list[Event]) -> int:
    """Cancel the orders that go with a session. Gives a RefusalReason, or 0: never anything else."""
    return _start(state, events, CancelReason.SESSION_LOST, lambda each: each.session_id == command.session_id)


def _start(state: State, events: list[Event], reason: int, is_lost: Callable[[DefineSession], bool]) -> int:
    lost = sorted(each.session_id for each in state.definitions.values() if each.cancel_on_disconnect and is_lost(each))
    go_on_canceling(state, Cancellation(int(reason), 0, lost), events)
    return 0


def go_on_canceling(state: State, work: Cancellation, events: list[Event]) -> None:
    """Cancel as many of the orders as one transaction may say, or as there are among those that it may look at."""
    orders, last_id = _next_orders(state, work)
    for order in orders:
        if len(events) >= state.max_events:
            work.after = order.terms.order_id - 1
            state.work.insert(0, work)
            return
        close(order, CANCELED)
        participant = order.session.participant
        participant.seq += 1
        terms = order.terms
        events.append(
            OrderCanceled(
                terms,
                terms.cl_ord_id,
                order.order_ref,
                order.leaves_qty,
                work.reason,
                participant.seq,
                order.cum_qty,
                order.cum_notional,
            )
        )
    if last_id < state.last_order_id:
        work.after = last_id
        state.work.insert(0, work)


def _next_orders(state: State, work: Cancellation) -> tuple[list[Order], int]:
    """Orders to cancel, by order id; and the order id up to which these are all.

    Where more rest than may be looked at, the day's orders are walked: they stand by order id.
    """
    lost, after = set(work.session_ids), work.after
    owners = {each.participant_id: each.participant for session_id, each in state.all_sessions() if session_id in lost}
    if sum(len(owner.orders) for owner in owners.values()) <= MAX_LOOKED_AT:
        resting = (order for owner in owners.values() for order in owner.orders.values())
        found = [each for each in resting if each.terms.session_id in lost and each.terms.order_id > after]
        return sorted(found, key=lambda each: each.terms.order_id), state.last_order_id
    before_first = state.last_order_id - len(state.accepted)
    first = max(after - before_first, 0)
    looked_at = state.accepted[first : first + MAX_LOOKED_AT]
    rests = (owners[each.participant_id].orders.get(each.order_id) for each in looked_at if each.session_id in lost)
    return [order for order in rests if order is not None], before_first + first + len(looked_at)
