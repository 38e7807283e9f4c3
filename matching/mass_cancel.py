"""Many orders canceled at once: at a mass cancel request, for a session that is gone, by the kill switch.

    OrderCanceled      of each order, by order id
    MassCancelDone     to who asked for a mass cancel

A request from a session is about its participant's own orders; one from the operator (session 0) about anybody's. It is
rejected when it names nobody, or a session that is not that participant's (TERMS_MISMATCH), UNKNOWN_INSTRUMENT or
UNSUPPORTED_SIDE. An order belongs to the session that entered it, or last replaced it. Cancels are taken in every
phase. All this is work, a `Cancellation`: what one transaction may not say, or look at, goes on at the next `Continue`,
which may find none. When it is done, pegged orders may meet that could not before.
"""

from typing import Final

from matching.codes import CancelReason, RejectReason
from matching.commands import MassCancel
from matching.events import Event, MassCancelDone, MassCancelRejected, OrderTerms
from matching.order import Order
from matching.state import NOBODY, Cancellation, State
from matching.stops import stir_all
from matching.trade import BUY, SELL, cancel

#: Orders that one transaction looks at: a millisecond's worth, where a lost gateway may have had a million.
MAX_LOOKED_AT: Final = 4096


def mass_cancel(state: State, command: MassCancel, session_id: int, events: list[Event]) -> None:
    """Reject a mass cancel request, or make it the next work."""
    reason = _fault(state, command, session_id)
    if reason:
        events.append(
            MassCancelRejected(
                command.participant_id,
                session_id,
                _next_seq(state, command.participant_id, session_id),
                command.cl_ord_id,
                command.target_session_id,
                command.instrument_id,
                command.side,
                reason,
            )
        )
        return
    work = Cancellation(
        int(CancelReason.MASS_CANCEL if session_id else CancelReason.OPERATOR),
        command.participant_id,
        [command.target_session_id] if command.target_session_id else [],
        command.instrument_id,
        command.side,
        session_id,
        command.cl_ord_id,
    )
    state.work.insert(0, work)


def _fault(state: State, command: MassCancel, session_id: int) -> int:
    """The first RejectReason that holds against a request, or 0."""
    if command.instrument_id and command.instrument_id not in state.instruments.by_id:
        return RejectReason.UNKNOWN_INSTRUMENT
    if command.side not in (0, BUY, SELL):
        return RejectReason.UNSUPPORTED_SIDE
    target, participant_id = command.target_session_id, command.participant_id
    if session_id and not participant_id:
        return RejectReason.TERMS_MISMATCH  # everybody's orders are the operator's to cancel
    if target == session_id:
        return 0  # the asker's own, although it may be new here
    if target and participant_id and state.find_session(target, participant_id) is None:
        definition = state.definitions.get(target)
        if definition is None or definition.participant_id != participant_id:
            return RejectReason.TERMS_MISMATCH
    return 0


def go_on_canceling(state: State, work: Cancellation, events: list[Event]) -> None:
    """Cancel as many of the orders as one transaction may say, or as there are among those that it may look at."""
    orders, last_id = _next_orders(state, work)
    room = state.max_events - (work.asked_by != NOBODY)
    for order in orders:
        if len(events) >= room:
            work.after = order.terms.order_id - 1
            state.work.insert(0, work)
            return
        events.append(cancel(state, order, work.reason))
        work.canceled += 1
    if last_id < state.last_order_id:
        work.after = last_id
        state.work.insert(0, work)
        return
    if work.asked_by != NOBODY:
        events.append(_done(state, work))
    if work.canceled:
        stir_all(state)


def _done(state: State, work: Cancellation) -> MassCancelDone:
    return MassCancelDone(
        work.participant_id,
        work.asked_by,
        _next_seq(state, work.participant_id, work.asked_by),
        work.cl_ord_id,
        work.session_ids[0] if work.session_ids else 0,
        work.instrument_id,
        work.side,
        work.canceled,
    )


def _next_seq(state: State, participant_id: int, session_id: int) -> int:
    """The number of an event for who asked; what the operator is told has none."""
    if not session_id:
        return 0
    participant = state.session(session_id, participant_id).participant
    participant.seq += 1
    return participant.seq


def _next_orders(state: State, work: Cancellation) -> tuple[list[Order], int]:
    """Orders to cancel, by order id; and the order id up to which these are all.

    Where more rest than may be looked at, the day's orders are walked: they stand by order id.
    """
    lost, after = frozenset(work.session_ids), work.after
    owners = state.participants
    if work.participant_id:
        owners = {number: owners[number] for number in (work.participant_id,) if number in owners}
    if sum(owner.order_count() for owner in owners.values()) <= MAX_LOOKED_AT:
        resting = (order for owner in owners.values() for order in owner.orders())
        found = [each for each in resting if each.terms.order_id > after and _is_meant(each.terms, work, lost)]
        return sorted(found, key=_order_id), state.last_order_id
    looked_at = state.terms_after(after, MAX_LOOKED_AT)
    rests = (state.resting(each) for each in looked_at if _is_meant(each, work, lost))
    last_id = looked_at[-1].order_id if len(looked_at) == MAX_LOOKED_AT else state.last_order_id
    return [order for order in rests if order is not None], last_id


def _is_meant(terms: OrderTerms, work: Cancellation, lost: frozenset[int]) -> bool:
    return (
        (not lost or terms.session_id in lost)
        and work.participant_id in (0, terms.participant_id)
        and work.instrument_id in (0, terms.instrument_id)
        and work.side in (0, terms.side)
    )


def _order_id(order: Order) -> int:
    return order.terms.order_id
