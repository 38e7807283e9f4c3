"""FIX sessions: where they come from, and cancel on disconnect.

    DefineSession    says which gateway a session comes from and whether its orders are canceled when it is lost
    SourceLost       a gateway is lost: cancel the orders of its sessions that want it
    CancelSession    only a session's connection is lost: cancel its orders, if it wants that

All three are operators' commands and say nothing but the `OrderCanceled` of each order, by order id. An order belongs
to the session that entered it, or last replaced it. Halted instruments are no exception: cancels are always taken.
More orders than one transaction may say become a `Cancellation` and go on at the next `Continue`. Repeated, the
commands find nothing left to cancel; about a source or session that nobody defined they say nothing.
"""

from collections.abc import Callable

from matching.messages import (
    CancelReason,
    CancelSession,
    DefineSession,
    Event,
    OrderCanceled,
    RefusalReason,
    SourceLost,
)
from matching.state import Cancellation, State
from matching.trade import CANCELED, close


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
    lost = {each.session_id for each in state.definitions.values() if each.cancel_on_disconnect and is_lost(each)}
    owners = {each.participant_id: each.participant for session_id, each in state.all_sessions() if session_id in lost}
    found = sorted(
        (
            order_id
            for owner in owners.values()
            for order_id, order in owner.orders.items()
            if order.terms.session_id in lost
        ),
        reverse=True,
    )
    go_on_canceling(state, Cancellation(int(reason), found), events)
    return 0


def go_on_canceling(state: State, work: Cancellation, events: list[Event]) -> None:
    """Cancel as many of the orders as one transaction may say."""
    while work.ids:
        if len(events) >= state.max_events:
            state.work = work
            return
        order = state.order(work.ids.pop())
        assert order is not None, "nothing else is taken before these are canceled"
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
