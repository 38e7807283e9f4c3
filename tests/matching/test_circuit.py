"""The market-wide circuit breaker."""

import pytest

from matching.codes import Phase, RefusalReason
from matching.commands import BreachCircuitBreaker, SetCircuitBreaker, SetPhase
from matching.events import (
    CircuitBreakerBreached,
    CircuitBreakerSet,
    CommandRefused,
    PhaseChanged,
    TradingStateChanged,
)
from tests.matching.sitting import Sitting, kinds


def test_its_levels_are_told() -> None:
    sitting = Sitting()
    sitting.start_day()
    assert sitting(SetCircuitBreaker(300, 200, 100)) == [CircuitBreakerSet(300, 200, 100)]


@pytest.mark.parametrize(
    "command",
    [
        SetCircuitBreaker(0, 0, 0),
        SetCircuitBreaker(300, 200, 0),
        SetCircuitBreaker(200, 200, 100),
        SetCircuitBreaker(100, 200, 300),
        BreachCircuitBreaker(0),
        BreachCircuitBreaker(4),
    ],
)
def test_levels_descend_and_are_three(command: SetCircuitBreaker | BreachCircuitBreaker) -> None:
    sitting = Sitting()
    sitting.start_day()
    (refusal,) = sitting(command)
    assert isinstance(refusal, CommandRefused)
    assert refusal.reason == RefusalReason.BAD_LEVEL


@pytest.mark.parametrize("command", [SetCircuitBreaker(300, 200, 100), BreachCircuitBreaker(1)])
def test_while_no_day_is_open_there_is_nobody_to_tell(command: SetCircuitBreaker | BreachCircuitBreaker) -> None:
    (refusal,) = Sitting()(command)
    assert isinstance(refusal, CommandRefused)
    assert refusal.reason == RefusalReason.DAY_NOT_OPEN


@pytest.mark.parametrize(("max_events", "restored"), [(128, False), (8, True)])
def test_a_breach_halts_every_instrument(max_events: int, restored: bool) -> None:
    sitting = Sitting(max_events, restored)
    for number in range(2, 10):
        sitting.define(number, b"S%d" % number)
    sitting.start_day()
    sitting(SetPhase(3, Phase.OPENING_AUCTION, b""))
    sitting(SetPhase(4, Phase.POST_CLOSE, b""))
    sitting(SetPhase(5, Phase.HALTED, b""))
    events = sitting(BreachCircuitBreaker(2))
    assert events[0] == CircuitBreakerBreached(2)
    assert [event for event in events if isinstance(event, PhaseChanged)] == [
        PhaseChanged(number, Phase.HALTED) for number in (1, 2, 3, 4, 6, 7, 8, 9)
    ]
    assert [event for event in events if isinstance(event, TradingStateChanged)] == [
        TradingStateChanged(number, ord("H"), b"MWC2")
        for number in (1, 2, 3, 6, 7, 8, 9)  # the public has seen 4 halted
    ]
    assert {sitting.phase(number) for number in range(1, 10)} == {Phase.HALTED}
    assert "CrossExecuted" not in kinds(events)
