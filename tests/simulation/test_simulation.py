"""Whole clusters from seeds, and the proof that the simulation sees what is wrong."""

import pytest

from tests.simulation.cluster import Shape
from tests.simulation.mutants import MUTANTS, drifting
from tests.simulation.runs import run_seed

QUICK_SEEDS = range(20)
SLOW_SEEDS = range(20, 300)

# A seed that caught the mutant, to begin with; when the code has moved on, the search goes on from there.
FIRST_SEEDS = {
    "M1": 1,
    "M3": 11,
    "M4": 0,
    "M5": 6,
    "M6": 1,
    "M8": 0,
    "M12": 15,
    "regeneration off": 1,
    "retransmitter above commit": 0,
}
MAX_SEEDS = 60


@pytest.mark.parametrize("seed", QUICK_SEEDS)
def test_every_invariant_holds(seed):
    result = run_seed(seed)
    assert not result.failure
    assert result.transactions >= 500


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_every_invariant_holds_for_more_seeds(seed):
    assert not run_seed(seed).failure


def test_a_seed_is_one_run():
    first, second = (run_seed(3, tell=True) for _ in range(2))
    assert first == second
    assert first.story != run_seed(4, tell=True).story


@pytest.mark.parametrize("name", FIRST_SEEDS)
def test_a_seed_catches_the_mutant(name):
    first = FIRST_SEEDS[name]
    with MUTANTS[name].applied():
        assert any(run_seed(seed, Shape()).failure for seed in range(first, first + MAX_SEEDS))


def test_a_replica_that_makes_other_bytes_stops():
    shape = Shape(drifting=drifting(5))  # the second replica's, in its first life
    assert run_seed(0, shape).failure.startswith("ReplicaDiverged: shard 1 before tx")
    with MUTANTS["digest not compared"].applied():
        failure = run_seed(0, shape).failure
    assert failure
    assert "ReplicaDiverged" not in failure


def test_every_mutant_has_its_test():
    from tests.simulation.test_schedules import SCHEDULES

    assert set(MUTANTS) == {*FIRST_SEEDS, *SCHEDULES, "digest not compared"}
