"""A deposed primary that does not know it: what is asked of it alone is old, what is asked of a quorum is not."""

import pytest

from tests.simulation.cluster import Cluster, Shape
from tests.simulation.mutants import MUTANTS
from tests.simulation.witness import Violation
from tests.simulation.world import MILLI, SECOND, World


def read_beside_a_deposed_primary() -> Cluster:
    """The primary and a reader are cut off from the others, who go on; the reader asks all the time."""
    cluster = Cluster(World(1), Shape(commands=600, gateways=2, readers=2))
    world = cluster.world
    world.run_until(SECOND // 2)
    primary = cluster.leading()
    assert primary is not None
    reader = cluster.readers[0].address
    gateways = [gateway.address for gateway in cluster.gateways]
    blocked = cluster.network.blocked
    blocked |= {(gateway, primary.address) for gateway in gateways}
    world.run_until(world.now + 40 * MILLI)  # what it has taken is committed
    assert primary.replica.last_tx == primary.replica.commit_tx
    cut_off = {primary.address, reader}
    others = set(cluster.network.nodes) - cut_off
    blocked |= {(a, b) for a in cut_off for b in others} | {(b, a) for a in cut_off for b in others}
    world.run_until(world.now + 2 * SECOND)
    leading = cluster.leading()
    assert leading is not None
    assert leading is not primary
    cluster.run_to_the_end()
    return cluster


def test_a_quorum_read_is_never_old():
    cluster = read_beside_a_deposed_primary()
    assert len(cluster.witness.reads) > 20


def test_a_read_of_who_believes_to_lead_is_seen_to_be_old():
    with MUTANTS["M9"].applied(), pytest.raises(Violation, match="a read was answered from tx"):
        read_beside_a_deposed_primary()
