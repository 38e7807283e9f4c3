"""Runs from seeds: the cluster's shape, its faults, and the end; one, or many on all processors."""

import multiprocessing
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

from tests.simulation.cluster import Cluster, Shape
from tests.simulation.faults import Swarm
from tests.simulation.workload import ExchangeWork
from tests.simulation.world import World

COMMANDS = 520
"""Of each run, by default; the gateways share them."""


class Result(NamedTuple):
    seed: int
    failure: str
    """Empty when every invariant held."""
    story: list[str]
    transactions: int
    elections: int
    deaths: int
    reads: int
    snapshots: int
    installed: int
    stale: int
    forks: int


def shape_of(seed: int, commands: int = COMMANDS) -> Shape:
    """Most runs are three replicas that sync to disk; the other kinds take turns."""
    shape = Shape(commands=commands)
    turn = seed % 10
    if turn == 2:
        return shape._replace(filtered=False)
    if turn == 3:
        return shape._replace(workload=ExchangeWork, replicas=5 if seed % 20 == 3 else 3)
    if turn == 4:
        return shape._replace(replicas=5)
    if turn == 5:
        return shape._replace(durability="memory")
    if turn == 6:
        return shape._replace(mode="async")
    if turn == 7:
        return shape._replace(replicas=2)
    if turn == 8:
        return shape._replace(replicas=1)
    if turn == 9:
        return shape._replace(replicas=5, durability="memory")
    return shape


def run_seed(seed: int, shape: Shape | None = None, *, commands: int = COMMANDS, tell: bool = False) -> Result:
    """One run. Whatever it raises is its failure: assertions inside the cores are invariants too."""
    world = World(seed, tell=tell)
    cluster = Cluster(world, shape or shape_of(seed, commands))
    failure = ""
    try:
        Swarm(cluster).run()
        if world.chance(0.3):
            cluster.lose_for_good()
        cluster.run_to_the_end()
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        world.tell("%s", cluster.state())
        world.tell("VIOLATION %s", failure)
    witness = cluster.witness
    last_tx = max(host.replica.last_tx for host in cluster.replicas)
    deaths = sum(host.deaths for host in cluster.replicas)
    counts = (len(witness.reads), witness.snapshots, witness.installed, witness.stale, cluster.forks)
    return Result(seed, failure, world.story or [], last_tx, witness.elections, deaths, *counts)


def run_seeds(seeds: Iterable[int], jobs: int, commands: int = COMMANDS) -> Iterator[Result]:
    """The results as they come, in the order of the seeds."""
    run = partial(run_seed, commands=commands)
    with nullcontext() if jobs == 1 else multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from map(run, seeds) if pool is None else pool.imap(run, seeds)
