"""The market-wide circuit breaker: the operator says its levels, and that one was reached.

    SetCircuitBreaker       CircuitBreakerSet
    BreachCircuitBreaker    CircuitBreakerBreached, then every instrument is halted, with the reason MWC1, MWC2 or MWC3

The venue sees no index and decides nothing: both are announcements, and instruments are resumed one by one. They are
refused while no day is open, since there is nobody to tell.
"""

from matching.codes import RefusalReason
from matching.commands import BreachCircuitBreaker, SetCircuitBreaker
from matching.events import CircuitBreakerBreached, CircuitBreakerSet, Event
from matching.instruments import HALTED
from matching.state import Moving, State


def set_circuit_breaker(state: State, command: SetCircuitBreaker, events: list[Event]) -> int:
    """Say the levels of the day. Gives a RefusalReason, or 0."""
    if not command.level_1 > command.level_2 > command.level_3 > 0:
        return RefusalReason.BAD_LEVEL
    if not state.day:
        return RefusalReason.DAY_NOT_OPEN
    state.levels = (command.level_1, command.level_2, command.level_3)
    events.append(CircuitBreakerSet(*state.levels))
    return 0


def breach_circuit_breaker(state: State, command: BreachCircuitBreaker, events: list[Event]) -> int:
    """Say that a level was reached; to halt everything is the next work. Gives a RefusalReason, or 0."""
    if not 1 <= command.level <= 3:
        return RefusalReason.BAD_LEVEL
    if not state.day:
        return RefusalReason.DAY_NOT_OPEN
    events.append(CircuitBreakerBreached(command.level))
    state.work.insert(0, Moving(state.instruments.sorted_ids()[::-1], HALTED, b"MWC%d" % command.level))
    return 0
