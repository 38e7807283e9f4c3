"""Whole clusters from seeds, and the proof that the simulation sees what is wrong."""

import random

import pytest

from tests.simulation.__main__ import main
from tests.simulation.cluster import Shape
from tests.simulation.mutants import MUTANTS, HiddenDrift, drifting
from tests.simulation.runs import run_seed

QUICK_SEEDS = range(10)
SLOW_SEEDS = range(20, 300)
FRESH_GROUPS = range(20)
SEEDS_OF_A_GROUP = 5

PLAIN = Shape(snapshots=False, readers=0)

# The seed that catches the mutant, to begin with; when the code has moved on, the search goes on from there. It costs a
# second a seed: then write down the one that was found.
FIRST_SEEDS = {
    "M1": (8, PLAIN),
    "M3": (3, PLAIN),
    "M4": (0, PLAIN),
    "M5": (35, PLAIN),
    "M6": (47, PLAIN),
    "M8": (0, PLAIN),
    "M10": (1, Shape()),
    "M12": (273, PLAIN),
    "M14": (5, Shape()),
    "regeneration off": (1, PLAIN),
    "retransmitter above commit": (3, PLAIN),
    "snapshot without registers": (1, Shape()),
    "snapshot without sessions": (35, Shape()),
    "snapshot without sources": (35, Shape()),
}
MAX_SEEDS = 60


@pytest.mark.parametrize("seed", QUICK_SEEDS)
def test_every_invariant_holds(seed):
    result = run_seed(seed)
    assert not result.failure
    assert result.transactions >= 500


@pytest.mark.parametrize("group", FRESH_GROUPS)
def test_every_invariant_holds_for_fresh_seeds(group):
    """Other ones each time; ./run simulate --seed tells the story of one that fails."""
    for seed in random.SystemRandom().sample(range(10_000, 1 << 32), SEEDS_OF_A_GROUP):
        failure = run_seed(seed).failure
        assert not failure, f"{failure}\n    ./run simulate --seed {seed}"


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
    first, shape = FIRST_SEEDS[name]
    with MUTANTS[name].applied():
        assert any(run_seed(seed, shape).failure for seed in range(first, first + MAX_SEEDS))


def test_a_replica_that_makes_other_bytes_stops():
    shape = Shape(drifting=drifting(5))  # the second replica's, in its first life
    diverged = "ReplicaDiverged: shard 1 before tx"
    seed = next(seed for seed in range(MAX_SEEDS) if run_seed(seed, shape).failure.startswith(diverged))
    with MUTANTS["digest not compared"].applied():
        failures = (run_seed(seed, shape).failure for seed in range(seed, seed + MAX_SEEDS))
        failure = next(filter(None, failures))
    assert "ReplicaDiverged" not in failure


def test_a_replica_with_another_state_stops_though_it_says_the_same():
    shape = Shape(drifting=drifting(5, HiddenDrift))
    failures = (run_seed(seed, shape).failure for seed in range(5, 5 + MAX_SEEDS))
    assert any(failure.startswith("ReplicaDiverged: shard 1: other states after tx") for failure in failures)


def test_processors_share_the_seeds(capsys):
    assert main(["--count", "2", "--commands", "40", "--jobs", "2"]) == 0
    assert "every invariant held" in capsys.readouterr().out


def test_a_story_ends_with_what_was_wrong(capsys):
    with MUTANTS["M8"].applied():
        assert main(["--seed", "0", "--commands", "40"]) == 1
    story = capsys.readouterr().out
    assert "R1 starts, epoch 0, last tx 0" in story
    assert "VIOLATION" in story


def test_every_mutant_has_its_test():
    from tests.simulation.test_schedules import SCHEDULES

    assert set(MUTANTS) == {*FIRST_SEEDS, *SCHEDULES, "digest not compared", "M9"}
