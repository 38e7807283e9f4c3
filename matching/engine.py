"""The matching engine of one shard: a function of its state and a command.

    events = engine.apply(command, timestamp, session_id)

Same state, same command, same events, on every replica: the engine reads no clock and no configuration, and what it
must know comes as commands. It refuses, it never raises: whatever command decodes gets at least its refusal (an
operator's command may have nothing to say). One call gives at most `MAX_EVENTS_PER_TRANSACTION` events; what is left
then is `pending`, is drained by `Continue`, and nothing else is taken before.

Theory of the code: `state` is everything remembered; `entry`, `amend` and `mass_cancel` are what the participants'
commands mean, `day`, `phases`, `advance`, `protection`, `circuit`, `sessions` and `bust` the operators'; `trade` and
`uncross` are the match itself, `snapshot` writes the state down, `answers` tells about it. This module only chooses
between them.
"""

from collections.abc import Iterator
from typing import Final

from matching.advance import advance, next_due, schedule_phase
from matching.amend import cancel_order, replace_order
from matching.answers import answer
from matching.book import OrderBook
from matching.bust import bust_trade
from matching.circuit import breach_circuit_breaker, set_circuit_breaker
from matching.codes import RefusalReason
from matching.commands import (
    Advance,
    BreachCircuitBreaker,
    BustTrade,
    CancelOrder,
    CancelSession,
    Command,
    Continue,
    DefineInstrument,
    DefineParticipant,
    DefineRules,
    DefineSession,
    DefineTick,
    EndDay,
    MassCancel,
    NewOrder,
    ReplaceOrder,
    SchedulePhase,
    SetCircuitBreaker,
    SetEntryBlock,
    SetPhase,
    SetReferencePrice,
    SetTradingState,
    SourceLost,
    StartDay,
)
from matching.day import define_instrument, do_work, end_day, start_day
from matching.entry import enter_order
from matching.events import CommandRefused, Event
from matching.ids import COUNTER_MASK
from matching.instruments import Instrument
from matching.mass_cancel import mass_cancel
from matching.order import Order
from matching.phases import set_phase, set_trading_state
from matching.protection import define_rules, define_tick, set_reference_price
from matching.queries import Answer, Query
from matching.sessions import cancel_session, define_participant, define_session, set_entry_block, source_lost
from matching.snapshot import digest, restore, snapshot
from matching.state import MAX_EVENTS_PER_TRANSACTION, State
from matching.wire import KINDS

#: Classes that are looked at for every command; for compiled code constants, as in `constructors`.
NEW_ORDER: Final[type[NewOrder]] = NewOrder
CANCEL_ORDER: Final[type[CancelOrder]] = CancelOrder
REPLACE_ORDER: Final[type[ReplaceOrder]] = ReplaceOrder


class Engine:
    """The engine of one shard. `max_events` is for tests: all replicas must have the same."""

    __slots__ = ("_state", "shard_id")

    def __init__(self, shard_id: int, max_events: int = MAX_EVENTS_PER_TRANSACTION) -> None:
        self.shard_id = shard_id
        self._state = State(shard_id, max_events)

    def apply(self, command: Command, timestamp: int, session_id: int) -> list[Event]:
        """Do what a command says and tell what happened.

        `timestamp`: ns since the epoch, when the shard numbered it. `session_id`: the FIX session it came from, 0 an
        operator's.
        """
        state = self._state
        if state.garbage:
            state.free_some()
        if state.work and not isinstance(command, Continue):
            return [_refused(command, RefusalReason.OTHER_WORK_PENDING)]
        if type(command) is NEW_ORDER:
            events = enter_order(state, command, timestamp, session_id)
        elif type(command) is CANCEL_ORDER:
            events = cancel_order(state, command, timestamp, session_id)
        elif type(command) is REPLACE_ORDER:
            events = replace_order(state, command, timestamp, session_id)
        else:
            return self._apply_other(command, timestamp, session_id)
        if state.work:
            do_work(state, events, timestamp)
        return events

    def _apply_other(self, command: Command, timestamp: int, session_id: int) -> list[Event]:
        """Do a command that is not about one order."""
        state = self._state
        events: list[Event] = []
        reason = 0
        if type(command) is MassCancel:
            mass_cancel(state, command, session_id, events)
        elif session_id != 0:
            reason = int(RefusalReason.NOT_AN_OPERATOR)
        else:
            reason = self._operate(command, events, timestamp)
        if reason:
            return [_refused(command, reason)]
        if state.work:
            do_work(state, events, timestamp)
        return events

    def _operate(self, command: Command, events: list[Event], timestamp: int) -> int:
        """Do an operator's command. Gives a RefusalReason, or 0."""
        state = self._state
        if isinstance(command, Continue):
            return 0 if state.work else RefusalReason.NOTHING_TO_CONTINUE
        if isinstance(command, StartDay):
            return start_day(state, command, events, timestamp)
        if isinstance(command, EndDay):
            return end_day(state, command, events, timestamp)
        if isinstance(command, DefineInstrument):
            return define_instrument(state, command, events, timestamp)
        if isinstance(command, DefineSession):
            return define_session(state, command)
        if isinstance(command, DefineParticipant):
            return define_participant(state, command)
        if isinstance(command, SetEntryBlock):
            return set_entry_block(state, command, events)
        if isinstance(command, BustTrade):
            return bust_trade(state, command, events)
        if isinstance(command, SourceLost):
            return source_lost(state, command)
        if isinstance(command, CancelSession):
            return cancel_session(state, command)
        return self._rule(command, events, timestamp)

    def _rule(self, command: Command, events: list[Event], timestamp: int) -> int:
        """Do an operator's command about phases or protections. Gives a RefusalReason, or 0."""
        state = self._state
        if isinstance(command, Advance):
            return advance(state, timestamp)
        if isinstance(command, SetTradingState):
            return set_trading_state(state, command, events, timestamp)
        if isinstance(command, SetPhase):
            return set_phase(state, command)
        if isinstance(command, SchedulePhase):
            return schedule_phase(state, command)
        if isinstance(command, DefineRules):
            return define_rules(state, command)
        if isinstance(command, DefineTick):
            return define_tick(state, command)
        if isinstance(command, SetReferencePrice):
            return set_reference_price(state, command)
        if isinstance(command, SetCircuitBreaker):
            return set_circuit_breaker(state, command, events)
        if isinstance(command, BreachCircuitBreaker):
            return breach_circuit_breaker(state, command, events)
        return RefusalReason.UNKNOWN_KIND

    @property
    def pending(self) -> bool:
        """Whether work is left that only `Continue` goes on with."""
        return bool(self._state.work)

    def next_due(self) -> int | None:
        """When `Advance` may have something to do, ns since the epoch; None while nothing is expected."""
        return next_due(self._state)

    @property
    def last_day(self) -> int:
        """The day that was started last, as yyyymmdd; 0 when none ever was."""
        return self._state.last_day

    @property
    def day_is_open(self) -> bool:
        """Whether orders are taken: the last day has not ended."""
        return self._state.day != 0

    def digest(self) -> int:
        """CRC-32C of the complete state; equal on replicas that applied the same commands. Reads everything."""
        return digest(self._state)

    def snapshot(self) -> bytes:
        """The complete state as bytes; the same for engines that applied the same commands."""
        return snapshot(self._state, self.shard_id)

    def restore(self, data: bytes) -> None:
        """Be the engine that wrote this snapshot. Raises ValueError, and stays as it was, when that cannot be."""
        self._state = restore(data, self.shard_id, self._state.max_events)

    def answer(self, query: Query) -> Answer:
        """The answer to a question; asking changes nothing."""
        return answer(self._state, query)

    # What follows is for tools and tests: it is not to be changed from outside.

    def instruments(self) -> list[Instrument]:
        """The instruments by id."""
        table = self._state.instruments
        return [table.by_id[instrument_id] for instrument_id in table.sorted_ids()]

    @property
    def trade_count(self) -> int:
        """How many trades this shard has made, ever."""
        return self._state.last_match_number & COUNTER_MASK

    def definition(self, instrument_id: int) -> DefineInstrument | None:
        """How an instrument is defined."""
        instrument = self._state.instruments.by_id.get(instrument_id)
        return None if instrument is None else instrument.definition

    @property
    def levels(self) -> tuple[int, ...]:
        """The circuit breaker's, as they were said today; empty: they were not."""
        return self._state.levels

    def session(self, session_id: int) -> DefineSession | None:
        """How a session is defined."""
        return self._state.definitions.get(session_id)

    def participant(self, participant_id: int) -> DefineParticipant:
        """How a participant's orders meet those of its own group; what nobody defined trades with everybody."""
        participant = self._state.participants.get(participant_id)
        if participant is None:
            return DefineParticipant(participant_id, 0, 0)
        return DefineParticipant(participant_id, max(participant.self_match_group, 0), participant.self_match)

    def blocks(self) -> list[tuple[int, int]]:
        """(participant_id, session_id) of all that may enter nothing, by id; session_id 0: the whole participant."""
        return sorted(self._state.blocks)

    def book(self, instrument_id: int) -> OrderBook:
        """The book of an instrument. Raises KeyError if there is none."""
        return self._state.instruments.by_id[instrument_id].book

    def order(self, order_id: int) -> Order | None:
        """The resting order with this id."""
        return self._state.order(order_id)

    def orders(self) -> Iterator[Order]:
        """All orders that rest anywhere: by instrument, side by side, in price-time priority; the book comes first."""
        for instrument in self.instruments():
            for side in instrument.sides():
                yield from side.orders()


def _refused(command: Command, reason: int) -> CommandRefused:
    return CommandRefused(KINDS[type(command)], reason)
