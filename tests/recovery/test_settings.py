"""Replicas of one shard that are not configured alike."""

import pytest

from recovery.control import Ack, Wait, make_control, told_settings
from recovery.replica import Replica, Role
from recovery.settings import UNTOLD, OthersSettings, SettingsDiffer, settings_of
from tests.recovery.adder import Adder
from tests.recovery.test_follower import MILLI, Cluster

OURS = settings_of("quorum", "disk")
OTHERS = [settings_of("async", "disk"), settings_of("quorum", "memory"), settings_of("async", "memory")]


def other_replica(cluster: Cluster, each: int, mode: str = "quorum", durability: str = "memory") -> Replica:
    replica = Replica(1, each, list(cluster.ids), Adder, mode=mode, durability=durability, draw=lambda _: 0)
    cluster.replicas[each] = replica
    replica.start(cluster.now)
    return replica


def test_a_control_message_says_its_senders_settings():
    assert told_settings(make_control(1, Wait(2, 1))) == UNTOLD
    assert [told_settings(make_control(1, Wait(2, 1), each)) for each in OTHERS] == OTHERS
    assert len({OURS, UNTOLD, *OTHERS}) == 5


def test_who_differs_is_told_once_and_who_does_not_tell_is_believed():
    others = OthersSettings(OURS)
    assert others.agree(2, OURS, leads=True)
    assert others.agree(2, UNTOLD, leads=True)
    for _ in range(2):
        assert not others.agree(2, OTHERS[0], leads=False)
        assert not others.agree(3, OTHERS[1], leads=False)
    assert others.take_untold() == [
        f"replica {text}: all of a shard must be configured alike"
        for text in (
            "2 has mode async and durability disk, this one mode quorum and durability disk",
            "3 has mode quorum and durability memory, this one mode quorum and durability disk",
        )
    ]
    assert others.take_untold() == []
    with pytest.raises(SettingsDiffer, match="it leads"):
        others.agree(2, OTHERS[0], leads=True)
    assert not others.agree(2, settings_of("quorum", "disk")._replace(mode=9), leads=False)
    assert "settings that this program does not know (9, 2)" in others.take_untold()[0]


@pytest.mark.parametrize(("mode", "durability"), [("async", "disk"), ("quorum", "memory")])
def test_a_replica_that_joins_others_of_other_settings_ends_and_the_others_go_on(mode, durability):
    cluster = Cluster()
    cluster.run(1000 * MILLI)
    odd = next(each for each in cluster.ids if cluster.replicas[each].role is not Role.PRIMARY)
    leader = cluster.leader
    other_replica(cluster, odd, mode, durability)
    with pytest.raises(SettingsDiffer, match=f"this one mode {mode} and durability {durability}"):
        cluster.run(1000 * MILLI)
    (text,) = leader.others_settings.take_untold()
    assert text.startswith(f"replica {odd} has mode {mode} and durability {durability}")
    cluster.down = {odd}
    cluster.said.clear()
    cluster.add(5)
    assert cluster.leader is leader
    assert leader.primary.uncommitted == 0


def test_the_odd_one_does_not_lead_and_its_acknowledgement_does_not_count():
    cluster = Cluster()
    other_replica(cluster, 1)
    cluster.down = {3}
    cluster.run(3000 * MILLI)
    assert [cluster.replicas[each].role for each in (1, 2)] == [Role.FENCED, Role.FENCED], "there are two ideas of safe"
    cluster.down = {1}
    cluster.run(3000 * MILLI)
    cluster.add(1)
    leader = cluster.leader
    tx = leader.last_tx
    cluster.down = {1, 2, 3} - {leader.replica_id}
    leader.primary.command(20, b"", cluster.now)
    leader.receive_datagram(make_control(1, Ack(1, leader.epoch, tx + 9), OTHERS[1]), cluster.now)
    assert leader.primary.uncommitted


def test_a_former_primary_that_comes_back_with_other_settings_ends_nobody():
    cluster = Cluster()
    cluster.run(1000 * MILLI)
    former = cluster.leader.replica_id
    rest, gone = (each for each in cluster.ids if each != former)
    assert cluster.replicas[rest].owner == former
    cluster.down = {gone}
    other_replica(cluster, former, "async", "disk")
    cluster.run(2000 * MILLI)
    assert cluster.replicas[rest].others_settings.take_untold()
    assert Role.PRIMARY not in {cluster.replicas[each].role for each in (rest, former)}


def test_one_that_has_promised_a_later_epoch_than_the_primarys_says_itself_what_is_wrong():
    """As each with durability "memory" has that starts again. It follows nobody, so nobody can tell it to end."""
    cluster = Cluster()
    cluster.run(1000 * MILLI)
    leader = cluster.leader
    odd = next(each for each in cluster.ids if each != leader.replica_id)
    replica = Replica(1, odd, list(cluster.ids), Adder, mode="quorum", durability="memory", draw=lambda _: 0)
    cluster.replicas[odd] = replica
    replica.start(cluster.now, forgot=True, highest_epoch=leader.epoch)
    cluster.run(1000 * MILLI)
    assert replica.role is Role.FENCED
    (text,) = replica.others_settings.take_untold()
    assert text.startswith(f"replica {leader.replica_id} has mode quorum and durability disk, this one mode quorum and")
    assert cluster.leader is leader
