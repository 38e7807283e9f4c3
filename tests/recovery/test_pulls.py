"""What a follower asks for, whom, and when it asks again."""

from recovery import follower
from recovery.command_log import make_entry
from recovery.control import Ack, Batch, Pull, is_control, make_control, parse_control
from recovery.member import MAX_BATCHES
from recovery.record import pack_command_header
from recovery.replica import Replica, Role
from tests.recovery.adder import ADD
from tests.recovery.test_follower import MILLI, Cluster, backups, started


def test_who_is_far_behind_asks_a_backup(monkeypatch):
    monkeypatch.setattr(follower, "FAR_BEHIND", 100)
    cluster = started()
    gone, other = backups(cluster)
    cluster.down = {gone}
    for _ in range(10):
        cluster.add(400)
    cluster.down = set()
    cluster.told.clear()
    cluster.run(300 * MILLI)
    assert cluster.settled()
    asked = [to for to, message in cluster.told_by(gone) if isinstance(message, Pull)]
    assert asked.count(other) > asked.count(cluster.leader.replica_id)


def test_a_backup_that_does_not_answer_costs_one_timeout(monkeypatch):
    monkeypatch.setattr(follower, "FAR_BEHIND", 100)
    cluster = started()
    gone, other = backups(cluster)
    cluster.down = {gone}
    for _ in range(10):
        cluster.add(400)
    cluster.down = {other}
    cluster.run(900 * MILLI)
    assert cluster.replicas[gone].last_tx == cluster.leader.last_tx


def behind(cluster: Cluster) -> tuple[Replica, list[bytes]]:
    """A backup that lacks much and asks the primary for it; and the answer, which has not come."""
    gone, _ = backups(cluster)
    cluster.down = {gone}
    for _ in range(10):
        cluster.add(400)
    cluster.down = set()
    follower, leader = cluster.replicas[gone], cluster.leader
    follower._pull(follower.last_tx, cluster.now)
    pulls(follower, cluster.now)
    leader.receive_datagram(make_control(1, Pull(gone, leader.epoch, follower.last_tx, leader.epoch)), cluster.now)
    answer = [data for target, data in leader.datagrams_to_send(cluster.now) if target == gone]
    assert len(answer) == MAX_BATCHES
    return follower, answer


def pulls(replica: Replica, now: int) -> int:
    """How many it sends now."""
    said = [data for _, data in replica.datagrams_to_send(now) if is_control(data)]
    return sum(isinstance(parse_control(1, data), Pull) for data in said)


def test_an_answer_that_comes_twice_is_followed_by_one_pull():
    cluster = started()
    replica, answer = behind(cluster)
    last_tx = replica.last_tx
    cluster.now += follower.PULL_TIMEOUT
    replica.handle_deadline(cluster.now)
    assert pulls(replica, cluster.now) == 1
    for data in answer:
        replica.receive_datagram(data, cluster.now)
        replica.receive_datagram(data, cluster.now)
    assert replica.last_tx > last_tx
    assert pulls(replica, cluster.now) == 1


def test_who_answers_late_is_given_more_time_and_who_answers_soon_less():
    cluster = started()
    replica, answer = behind(cluster)
    begin = cluster.now
    asked = []
    while cluster.now < begin + 150 * MILLI:
        cluster.now += MILLI
        replica.handle_deadline(cluster.now)
        asked += [(cluster.now - begin) // MILLI] * pulls(replica, cluster.now)
    assert asked == [10, 30, 70, 150]
    cluster.now += 3 * MILLI
    replica.receive_datagram(answer[0], cluster.now)
    cluster.now += follower.PULL_TIMEOUT
    replica.handle_deadline(cluster.now)
    assert pulls(replica, cluster.now) == 1


def test_what_comes_unasked_says_nothing_of_how_long_an_answer_takes():
    cluster = started()
    gone, _ = backups(cluster)
    replica, leader = cluster.replicas[gone], cluster.leader
    cluster.down = {gone}
    for _ in range(3):
        cluster.add(400)
    leader.receive_datagram(make_control(1, Ack(gone, leader.epoch, replica.last_tx)), cluster.now)
    (unasked,) = [data for target, data in leader.datagrams_to_send(cluster.now) if target == gone]
    replica.receive_datagram(unasked, cluster.now)
    assert 0 < replica.last_tx < leader.last_tx
    cluster.now += follower.PULL_TIMEOUT
    replica.handle_deadline(cluster.now)
    assert pulls(replica, cluster.now) == 1


def test_who_answers_all_in_one_datagram_is_given_less_time_again():
    cluster = started()
    gone, _ = backups(cluster)
    replica, leader = cluster.replicas[gone], cluster.leader
    cluster.down = {gone}
    cluster.add(3)
    replica._pull(replica.last_tx, cluster.now)
    for timeout in (10, 20, 40):
        cluster.now += timeout * MILLI
        replica.handle_deadline(cluster.now)
        assert pulls(replica, cluster.now) > 0
    leader.receive_datagram(make_control(1, Pull(gone, leader.epoch, replica.last_tx, leader.epoch)), cluster.now)
    (answer,) = [data for target, data in leader.datagrams_to_send(cluster.now) if target == gone]
    replica.receive_datagram(answer, cluster.now + MILLI)
    assert replica.last_tx == leader.last_tx
    replica._pull(replica.last_tx, cluster.now)
    pulls(replica, cluster.now)
    replica.handle_deadline(cluster.now + follower.PULL_TIMEOUT)
    assert pulls(replica, cluster.now) == 1


def test_an_old_word_of_the_primarys_does_not_end_the_search_for_its_end():
    cluster = Cluster()
    replica, now = cluster.replicas[3], cluster.now
    entries = [make_entry(1, 0, ADD, pack_command_header(tx, 0, 0, 0, 0, 0, 0) + b"1") for tx in range(1, 61)]
    said = Batch(1, 1, 0, 0, 50, 2 * follower.FAR_BEHIND, 0, 0, serving=True, entries=entries[:1])
    replica.receive_datagram(make_control(1, said), now)
    replica._pull(replica.last_tx, now)
    replica.receive_datagram(make_control(1, said._replace(last_tx=60)), now)
    for tx in range(1, 60, 20):
        relayed = Batch(2, 1, tx, 1, 0, 60, 0, 0, serving=False, entries=entries[tx : tx + 20])
        replica.receive_datagram(make_control(1, relayed), now)
    assert (replica.role, replica.last_tx) == (Role.CATCHING_UP, 60), "who gave the end of its log settles nothing"
    pulls(replica, now)
    replica.handle_deadline(now + follower.MAX_PULL_TIMEOUT)
    assert pulls(replica, now) == 1
