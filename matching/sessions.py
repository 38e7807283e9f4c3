"""Participants and their FIX sessions: whose orders do not meet, what a lost session means, who may enter nothing.

    DefineParticipant    says which firms' orders do not trade with this one's, and what happens instead
    DefineSession        says which gateway a session comes from and whether its orders are canceled when it is lost
    SourceLost           a gateway is lost: cancel the orders of its sessions that want it
    CancelSession        only a session's connection is lost: cancel its orders, if it wants that
    SetEntryBlock        the kill switch: EntryBlockChanged, and cancel what the blocked one has open

All are operators' commands; but for `EntryBlockChanged` they say nothing but the `OrderCanceled` of each order, see
`mass_cancel`. Repeated, they find nothing left to cancel; about a source or session that nobody defined they say
nothing. A block holds over days until it is lifted; one of a participant and one of its session are lifted each by
itself.
"""

from collections.abc import Callable
from typing import Final

from matching.codes import CancelReason, RefusalReason, SelfMatch
from matching.commands import CancelSession, DefineParticipant, DefineSession, SetEntryBlock, SourceLost
from matching.events import EntryBlockChanged, Event
from matching.state import Cancellation, State

_SELF_MATCHES: Final = frozenset(int(each) for each in SelfMatch)


def define_participant(state: State, command: DefineParticipant) -> int:
    """Take over how a firm's orders meet those of its own group. Gives a RefusalReason, or 0."""
    if command.participant_id == 0 or command.self_match not in _SELF_MATCHES:
        return RefusalReason.BAD_PARTICIPANT
    group = command.self_match_group or -command.participant_id
    state.participant(command.participant_id).avoid(group, command.self_match)
    return 0


def define_session(state: State, command: DefineSession) -> int:
    """Take over a session's definition. Gives a RefusalReason, or 0."""
    if command.session_id == 0 or command.cancel_on_disconnect > 1:
        return RefusalReason.BAD_SESSION
    state.definitions[command.session_id] = command
    return 0


def source_lost(state: State, command: SourceLost) -> int:
    """Cancel the orders that go with a gateway. Gives a RefusalReason, or 0: never anything else."""
    return _cancel_lost(state, CancelReason.SOURCE_LOST, lambda each: each.source_id == command.source_id)


def cancel_session(state: State, command: CancelSession) -> int:
    """Cancel the orders that go with a session. Gives a RefusalReason, or 0: never anything else."""
    return _cancel_lost(state, CancelReason.SESSION_LOST, lambda each: each.session_id == command.session_id)


def _cancel_lost(state: State, reason: int, is_lost: Callable[[DefineSession], bool]) -> int:
    lost = sorted(each.session_id for each in state.definitions.values() if each.cancel_on_disconnect and is_lost(each))
    if lost:
        state.work.insert(0, Cancellation(int(reason), 0, lost))
    return 0


def set_entry_block(state: State, command: SetEntryBlock, events: list[Event]) -> int:
    """Block a participant, or one of its sessions, or lift that. Gives a RefusalReason, or 0."""
    participant_id, session_id, blocked = command.participant_id, command.session_id, command.blocked
    if participant_id == 0 or blocked > 1:
        return RefusalReason.BAD_PARTICIPANT
    if blocked:
        state.blocks.add((participant_id, session_id))
    else:
        state.blocks.discard((participant_id, session_id))
    for each_id, session in state.all_sessions():
        if session.participant_id == participant_id:
            session.blocked = state.is_blocked(each_id, participant_id)
    events.append(EntryBlockChanged(participant_id, session_id, blocked))
    if blocked:
        meant = [session_id] if session_id else []
        state.work.insert(0, Cancellation(int(CancelReason.KILL_SWITCH), participant_id, meant))
    return 0
