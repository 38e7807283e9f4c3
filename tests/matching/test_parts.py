"""However work is cut into transactions, and wherever a shard is restored between them, it says the same."""

import pytest

from matching.commands import Continue
from matching.engine import Engine
from matching.events import Event
from tests.matching.random_market import RandomMarket


def told(seed: int, max_events: int, restored: bool = False) -> list[list[Event]]:
    """What comes of each command of some random days; `restored`: of each transaction in an engine made for it."""
    engine = Engine(1, max_events)
    said: list[list[Event]] = []
    for command, now, session_id in RandomMarket(seed).days(3, 200):
        events = engine.apply(command, now, session_id)
        while engine.pending:
            if restored:
                before, engine = engine, Engine(1, max_events)
                engine.restore(before.snapshot())
                assert engine.digest() == before.digest()
            events += engine.apply(Continue(), now, 0)
        said.append(events)
    return said


@pytest.mark.parametrize("seed", range(4))
def test_random_days_in_small_transactions(seed: int) -> None:
    whole = told(seed, 1_000_000)
    assert sum(map(len, whole)) > 400
    assert told(seed, 7) == whole
    assert told(seed, 30) == whole


@pytest.mark.parametrize("seed", [4, 5])
def test_random_days_in_engines_that_were_restored_in_the_middle_of_their_work(seed: int) -> None:
    assert told(seed, 8, restored=True) == told(seed, 8)
