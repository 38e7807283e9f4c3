"""How long brokers wait when the primary goes: from its end to the first command acknowledged by another one."""

from collections.abc import Callable
from statistics import median

import pytest

from recovery.replica import Role
from tests.simulation.cluster import Cluster, Shape
from tests.simulation.hosts import ReplicaHost
from tests.simulation.world import MILLI, SECOND, Weather, World

SEEDS = range(4)


def primary_of(cluster: Cluster) -> ReplicaHost:
    leading = [host for host in cluster.replicas if host.alive and host.replica.role is Role.PRIMARY]
    return max(leading, key=lambda host: host.replica.epoch)


def trading(seed: int, **shape: object) -> Cluster:
    """A second of trading on a calm network, in whose middle a primary leads."""
    cluster = Cluster(World(seed), Shape(commands=100_000, **shape))  # type: ignore[arg-type]
    cluster.world.run_until(SECOND + seed * 7 * MILLI)
    assert cluster.witness.acknowledged_tx > 50
    return cluster


def kill(cluster: Cluster, host: ReplicaHost) -> None:
    host.die()


def block_out(cluster: Cluster, host: ReplicaHost) -> None:
    others = [node for node in cluster.network.nodes if node != host.replica_id]
    cluster.network.blocked.update((host.replica_id, other) for other in others)


def block_in(cluster: Cluster, host: ReplicaHost) -> None:
    others = [node for node in cluster.network.nodes if node != host.replica_id]
    cluster.network.blocked.update((other, host.replica_id) for other in others)


def cut_off(cluster: Cluster, host: ReplicaHost) -> None:
    block_in(cluster, host)
    block_out(cluster, host)


def stand_still(cluster: Cluster, host: ReplicaHost) -> None:
    host.pause(3 * SECOND)


def time_without(seed: int, end: Callable[[Cluster, ReplicaHost], None], **shape: object) -> int:
    cluster = trading(seed, **shape)
    host = primary_of(cluster)
    ended_at, last_tx = cluster.world.now, host.replica.last_tx
    end(cluster, host)
    cluster.world.run_until(ended_at + 3 * SECOND, lambda: cluster.witness.acknowledged_tx > last_tx)
    assert cluster.witness.acknowledged_tx > last_tx
    return cluster.world.now - ended_at


@pytest.mark.parametrize("end", [kill, cut_off, block_in, block_out, stand_still])
def test_another_primary_serves_within_a_second(end):
    times = sorted(time_without(seed, end) for seed in SEEDS)
    assert times[-1] < SECOND
    assert median(times) < 350 * MILLI


@pytest.mark.parametrize("replicas", [3, 5])
@pytest.mark.parametrize("end", [kill, block_in])
def test_a_deaf_primary_is_replaced_as_soon_as_a_dead_one_in_the_time_of_six_heartbeats(end, replicas):
    times = sorted(time_without(seed, end, replicas=replicas) for seed in SEEDS)
    assert times[-1] < 350 * MILLI
    assert median(times) < 300 * MILLI


@pytest.mark.parametrize("others_hear_each_other", [True, False])
def test_a_deaf_primary_without_a_better_one_costs_one_epoch_at_most(others_hear_each_other):
    """Who is heard by all and hears nobody is replaced once; where nobody could lead, no epoch is spent on trying."""
    cluster = trading(5)
    primary = primary_of(cluster)
    epoch = primary.replica.epoch
    block_in(cluster, primary)
    if not others_hear_each_other:
        one, other = (host.replica_id for host in cluster.replicas if host is not primary)
        cluster.network.blocked.update(((one, other), (other, one)))
    cluster.world.run_until(cluster.world.now + 5 * SECOND)
    assert cluster.coordinator.epoch == epoch + others_hear_each_other
    cluster.network.heal()
    cluster.world.run_until(cluster.world.now + SECOND)
    assert primary_of(cluster).replica.epoch <= epoch + 2
    before = cluster.witness.acknowledged_tx
    cluster.world.run_until(cluster.world.now + SECOND)
    assert cluster.witness.acknowledged_tx > before + 20


def test_a_cut_of_three_heartbeats_on_an_idle_shard_deposes_nobody():
    for seed in SEEDS:
        cluster = Cluster(World(seed), Shape(commands=60))
        cluster.world.run_until(2 * SECOND + seed * 7 * MILLI)
        epoch = cluster.coordinator.epoch
        cut_off(cluster, primary_of(cluster))
        cluster.world.run_until(cluster.world.now + 150 * MILLI)
        cluster.network.blocked.clear()
        cluster.world.run_until(cluster.world.now + 500 * MILLI)
        assert cluster.coordinator.epoch == epoch


def test_a_primary_that_one_of_two_backups_cannot_reach_is_deposed_by_nobody():
    cluster = trading(6)
    primary = primary_of(cluster)
    mute = next(host for host in cluster.replicas if host is not primary)
    block_out(cluster, mute)
    cluster.world.run_until(cluster.world.now + 2 * SECOND)
    assert primary_of(cluster) is primary
    assert cluster.coordinator.epoch == primary.replica.epoch


def test_backups_that_fall_asleep_together_do_not_take_their_primary_for_deaf():
    cluster = trading(7)
    primary = primary_of(cluster)
    epoch = primary.replica.epoch
    for _ in range(10):
        for host in cluster.replicas:
            if host is not primary:
                host.pause(190 * MILLI)
        cluster.world.run_until(cluster.world.now + 300 * MILLI)
    assert primary_of(cluster).replica.epoch == epoch


def test_disks_that_take_long_to_complete_an_epoch_do_not_make_its_primary_deaf():
    cluster = trading(8)
    cluster.network.weather = Weather(jitter=0)  # nothing overtakes, so that nobody need pull
    primary_of(cluster).die()
    cluster.world.run_until(cluster.world.now + SECOND, lambda: cluster.leading() is not None)
    epoch, before = primary_of(cluster).replica.epoch, cluster.witness.acknowledged_tx
    for host in cluster.replicas:
        host.sync_delay = (450 * MILLI, 450 * MILLI)
    cluster.world.run_until(cluster.world.now + 3 * SECOND)
    assert primary_of(cluster).replica.epoch == epoch
    assert cluster.witness.acknowledged_tx > before


@pytest.mark.parametrize("durability", ["memory", "disk"])
def test_losing_the_coordinator_stops_nobody(durability):
    cluster = trading(1, durability=durability)
    cluster.coordinator.reachable = False
    epoch, before = primary_of(cluster).replica.epoch, cluster.witness.acknowledged_tx
    cluster.world.run_until(cluster.world.now + 2 * SECOND)
    assert primary_of(cluster).replica.epoch == epoch
    assert cluster.witness.acknowledged_tx > before + 100


def test_one_deaf_backup_deposes_nobody():
    cluster = trading(2)
    primary = primary_of(cluster)
    deaf = next(host for host in cluster.replicas if host is not primary)
    block_in(cluster, deaf)
    cluster.world.run_until(cluster.world.now + 2 * SECOND)
    assert primary_of(cluster) is primary
    cluster.network.heal()
    cluster.world.run_until(cluster.world.now + SECOND)
    assert primary_of(cluster) is primary
    assert deaf.replica.role is Role.BACKUP
    assert deaf.replica.epoch == primary.replica.epoch


def test_without_a_majority_nothing_commits_and_with_it_all_goes_on():
    cluster = trading(3)
    primary = primary_of(cluster)
    backups = [host for host in cluster.replicas if host is not primary]
    for host in backups:
        host.die()
    cluster.world.run_until(cluster.world.now + 10 * MILLI)
    before = cluster.witness.acknowledged_tx
    cluster.world.run_until(cluster.world.now + 2 * SECOND)
    assert cluster.witness.acknowledged_tx == before
    backups[0].start()
    cluster.world.run_until(cluster.world.now + SECOND)
    assert cluster.witness.acknowledged_tx > before + 20


def test_a_replica_with_a_new_disk_votes_again_after_a_new_epoch():
    cluster = trading(4)
    lost = next(host for host in cluster.replicas if host.replica.role is Role.BACKUP)
    lost.die(power=True)
    lost.disk.wipe()
    cluster.witness.forget_marks(lost.replica_id)
    epoch = primary_of(cluster).replica.epoch
    lost.start()
    assert lost.replica.stable.recovering
    cluster.world.run_until(cluster.world.now + SECOND)
    assert not lost.replica.stable.recovering
    assert lost.replica.role is Role.BACKUP
    assert lost.replica.epoch > epoch
    other = next(h for h in cluster.replicas if h is not lost and h.replica.role is Role.BACKUP)
    other.die()
    before = cluster.witness.acknowledged_tx
    cluster.world.run_until(cluster.world.now + SECOND)
    assert cluster.witness.acknowledged_tx > before + 20
