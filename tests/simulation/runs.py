"""A run from a seed: the cluster's shape, its faults, and the end."""

from typing import NamedTuple

from tests.simulation.cluster import Cluster, Shape
from tests.simulation.faults import Swarm
from tests.simulation.world import World

MAX_STORY_LINES = 80


class Result(NamedTuple):
    seed: int
    failure: str
    """Empty when every invariant held."""
    transactions: int
    elections: int
    forks: int
    story: list[str]


def shape_of(seed: int) -> Shape:
    """Most runs are three replicas that sync to disk; the other kinds take turns."""
    turn = seed % 10
    if turn == 4:
        return Shape(replicas=5)
    if turn == 5:
        return Shape(durability="memory")
    if turn == 6:
        return Shape(mode="async")
    if turn == 7:
        return Shape(replicas=2)
    if turn == 8:
        return Shape(replicas=1)
    if turn == 9:
        return Shape(replicas=5, durability="memory")
    return Shape()


def run_seed(seed: int, shape: Shape | None = None, *, tell: bool = False) -> Result:
    """One run. Whatever it raises is its failure: assertions inside the cores are invariants too."""
    world = World(seed, tell=tell)
    cluster = Cluster(world, shape or shape_of(seed))
    failure = ""
    try:
        Swarm(cluster).run()
        if world.chance(0.3):
            cluster.lose_for_good()
        cluster.run_to_the_end()
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        world.tell("VIOLATION %s", failure)
        if tell and not isinstance(error, AssertionError):
            world.tell("in %s", error.__traceback__)
    last_tx = max(host.replica.last_tx for host in cluster.replicas)
    return Result(seed, failure, last_tx, cluster.witness.elections, cluster.forks, world.story or [])
