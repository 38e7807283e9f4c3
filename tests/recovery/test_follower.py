"""Replicas that are behind: from a snapshot, from a backup, from their own disk; and a candidate with much to apply."""

import pytest

from recovery import follower
from recovery.command_log import COMMAND_RECORD, Point, entry_tx, make_entry, read_entry
from recovery.control import Batch, Control, Pull, StateDigest, Wait, is_control, make_control, parse_control
from recovery.history import MAX_APPLIED, ReplicaDiverged
from recovery.replayed_log import LogIncomplete
from recovery.replica import MAJORITY_TIMEOUT, MAX_CATCH_UP, STREAM, Replica, Role
from recovery.snapshot import Snapshot, SnapshotDamaged, decode_snapshot, encode_snapshot
from recovery.view_change import CAMPAIGN_TIMEOUT, Phase
from tests.recovery.adder import ADD, Adder

MILLI = 1_000_000


class Cluster:
    """Replicas 1 … n on a network that loses nothing, with disks that sync at once. `down` hear and say nothing."""

    def __init__(self, count: int = 3, every: int = 0, mode: str = "quorum") -> None:
        self.now = 0
        self.mode = mode
        self.every = every
        self.ids = range(1, count + 1)
        self.journals: dict[int, list[tuple[int, bytes]]] = {each: [] for each in self.ids}
        self.files: dict[int, dict[int, bytes]] = {each: {} for each in self.ids}
        self.down: set[int] = set()
        self.holding = False
        self.epoch = 0
        self.said: list[tuple[int, int, bytes]] = []
        self.told: list[tuple[int, int, bytes]] = []  # all that one replica said to another, whether it arrived or not
        self.replicas = {each: self.make(each) for each in self.ids}
        for replica in self.replicas.values():
            replica.start(self.now)

    def make(self, each: int) -> Replica:
        def load(tx: int) -> Snapshot | None:
            txs = [saved for saved in self.files[each] if saved <= tx]
            return decode_snapshot(self.files[each][max(txs)]) if txs else None

        options = {"mode": self.mode, "durability": "disk", "draw": lambda _: 0}
        return Replica(1, each, list(self.ids), Adder, snapshot_every=self.every, load_snapshot=load, **options)

    def restart(self, each: int, *, empty: bool = False) -> Replica:
        replica = self.make(each)
        if empty:
            self.journals[each], self.files[each] = [], {}
        elif self.files[each]:
            replica.restore(decode_snapshot(self.files[each][max(self.files[each])]))
        for number, (kind, payload) in enumerate(self.journals[each], 1):
            replica.replay(kind, payload, number)
        self.replicas[each] = replica
        replica.start(self.now, forgot=empty, highest_epoch=self.epoch if empty else 0)
        return replica

    def turn(self, each: int) -> None:
        """What a host does after each batch."""
        replica = self.replicas[each]
        tx = replica.snapshot_due
        if tx is not None and not self.holding:
            snapshot = replica.snapshot()
            assert snapshot is not None
            assert snapshot.tx == tx
            point = replica.snapshot_begun()
            assert point == (tx, snapshot.epoch)
            self.files[each][tx] = encode_snapshot(snapshot)
            replica.snapshot_saved(point, snapshot.digest)
        records = replica.records_to_write()
        self.journals[each] += records
        said = replica.datagrams_to_send(self.now)
        if records:
            replica.synced(replica.stable.written, self.now)
            said += replica.datagrams_to_send(self.now)
        for target, data in said:
            if target in self.ids:
                self.told.append((each, target, data))
            for other in self.ids if target == STREAM else [target]:
                if other != each and other in self.ids and not {each, other} & self.down:
                    self.said.append((each, other, data))
        above = replica.epoch_to_raise()
        if above is not None and each not in self.down:
            self.epoch = max(self.epoch, above) + 1
            replica.epoch_raised(self.epoch, self.now)

    def run(self, duration: int) -> None:
        end = self.now + duration
        while self.now < end:
            self.now += MILLI
            for each in self.ids:
                if self.replicas[each].next_deadline() <= self.now:
                    self.replicas[each].handle_deadline(self.now)
                self.turn(each)
            for _ in range(200):
                said, self.said = self.said, []
                for _, target, data in said:
                    self.replicas[target].receive_datagram(data, self.now)
                    self.turn(target)
                if not self.said:
                    break

    def told_by(self, each: int) -> list[tuple[int, Control]]:
        """(to whom, what), since `told` was cleared."""
        return [(target, parse_control(1, data)) for source, target, data in self.told if source == each]

    @property
    def leader(self) -> Replica:
        (leader,) = (each for each in self.replicas.values() if each.role is Role.PRIMARY)
        return leader

    def add(self, count: int) -> None:
        primary = self.leader.primary
        assert primary is not None
        for _ in range(count):
            primary.command(ADD, b"1", self.now)
        self.run(120 * MILLI)

    def settled(self) -> bool:
        return len({(each.last_tx, each.commit_tx) for each in self.replicas.values()}) == 1


def started(count: int = 3, every: int = 0, mode: str = "quorum") -> Cluster:
    cluster = Cluster(count, every, mode)
    cluster.run(400 * MILLI)
    return cluster


def backups(cluster: Cluster) -> list[int]:
    return [each for each in cluster.ids if cluster.replicas[each].role is Role.BACKUP]


def test_all_backups_take_theirs_of_the_same_transactions_and_keep_the_log_above_the_older_of_two():
    cluster = started(every=10)
    for total in (7, 14, 21, 28, 35):
        cluster.add(7)
        for each in backups(cluster):
            replica = cluster.replicas[each]
            assert sorted(cluster.files[each]) == list(range(10, total + 1, 10))
            assert replica.stable.log.base.tx == max(total // 10 * 10 - 10, 0)
            assert replica.last_tx == replica.commit_tx == total
    leader = cluster.leader
    assert leader.snapshot() is None
    assert leader.snapshot_due is None
    assert leader.snapshot_offered() == 30
    assert leader.stable.log.base.tx == 0
    for tx in (20, 30):
        leader.snapshot_saved(Point(tx, leader.stable.log.epoch_at(tx)))
    assert leader.stable.log.base.tx == 20
    assert leader.snapshot_offered() is None


def test_applying_waits_for_the_snapshot_to_begin():
    cluster = started(every=10)
    cluster.holding = True
    cluster.add(25)
    for each in map(cluster.replicas.__getitem__, backups(cluster)):
        assert (each.last_tx, each.commit_tx, each.snapshot_due) == (25, 10, 10)
        assert each.next_deadline() > cluster.now  # it waits for its host, and not by turning
        each.snapshot_begun()
    cluster.run(20 * MILLI)
    for each in map(cluster.replicas.__getitem__, backups(cluster)):
        assert (each.commit_tx, each.snapshot_due) == (20, 20)
    assert cluster.leader.commit_tx == 25


def test_who_starts_empty_goes_on_from_a_snapshot_of_a_peer():
    cluster = started(every=10)
    cluster.add(35)
    leader = cluster.leader
    for tx in (20, 30):
        leader.snapshot_saved(Point(tx, leader.stable.log.epoch_at(tx)))
    gone, other = backups(cluster)
    replica = cluster.restart(gone, empty=True)
    cluster.run(300 * MILLI)
    assert replica.role is Role.CATCHING_UP
    wanted = replica.snapshot_wanted()
    assert wanted == 20
    data = cluster.files[other][30]
    cluster.files[gone][30] = data
    assert replica.install(decode_snapshot(data), cluster.now)
    assert replica.snapshot_wanted() is None
    assert not replica.install(decode_snapshot(data), cluster.now)
    cluster.run(200 * MILLI)
    assert replica.role is Role.BACKUP
    assert cluster.settled()
    assert replica.stable.log.base.tx == 30
    again = cluster.restart(gone)
    assert (again.last_tx, again.stable.log.base) == (replica.last_tx, replica.stable.log.base)
    cluster.run(300 * MILLI)
    assert cluster.settled()


def test_a_crash_between_the_file_and_the_journal_leaves_a_replica_that_starts_from_the_file():
    cluster = started(every=10)
    cluster.add(35)
    gone, other = backups(cluster)
    cluster.journals[gone] = cluster.journals[gone][:12]
    cluster.files[gone] = {30: cluster.files[other][30]}
    replica = cluster.restart(gone)
    assert (replica.commit_tx, replica.last_tx) == (30, 30)
    cluster.run(300 * MILLI)
    assert cluster.settled()
    assert cluster.restart(gone).commit_tx >= 30


def test_without_a_snapshot_that_fits_there_is_no_start():
    cluster = started(every=10)
    cluster.add(35)
    gone = backups(cluster)[0]
    first = next(
        number
        for number, (kind, payload) in enumerate(cluster.journals[gone])
        if kind == COMMAND_RECORD and entry_tx(payload) == 21
    )
    cluster.journals[gone] = cluster.journals[gone][first:]
    cluster.files[gone] = {10: cluster.files[gone][10]}
    with pytest.raises(LogIncomplete, match="begins with tx 21, the snapshot ends with tx 10"):
        cluster.restart(gone)


def test_a_snapshot_of_another_shard_is_refused():
    cluster = started(every=10)
    cluster.add(15)
    data = next(iter(cluster.files[backups(cluster)[0]].values()))
    with pytest.raises(SnapshotDamaged, match="the snapshot of tx 10 is of shard 1, not 2"):
        Replica(2, 1, [1, 2, 3], Adder, mode="quorum", durability="disk", draw=lambda _: 0).restore(
            decode_snapshot(data)
        )


def test_a_candidate_goes_on_from_a_snapshot_too():
    cluster = started(every=10)
    cluster.add(35)
    leader = cluster.leader
    for tx in (20, 30):
        leader.snapshot_saved(Point(tx, leader.stable.log.epoch_at(tx)))
    first, second = backups(cluster)
    cluster.down = {leader.replica_id}
    cluster.run(MILLI)
    late = cluster.restart(first)
    late.stable.begin_anew()  # all that it had is gone, but its promises are not
    late.history.execution = type(late.execution)(1, Adder())
    late.history.committed_tx = 0
    late._begin_campaign(Phase.RAISING, cluster.now)
    cluster.run(30 * MILLI)
    assert late.campaign is not None
    assert late.campaign.phase is Phase.FETCHING
    wanted = late.snapshot_wanted()
    assert wanted is not None
    data = cluster.files[second][30]
    assert late.install(decode_snapshot(data), cluster.now)
    cluster.run(100 * MILLI)
    assert late.role is Role.PRIMARY
    assert (late.last_tx, late.commit_tx) == (35, 35)


def test_a_primary_gives_a_bounded_part_between_two_heartbeats():
    cluster = started(count=2)
    cluster.add(4000)
    leader = cluster.leader
    (peer,) = leader.peers
    pull = make_control(1, Pull(peer, leader.epoch, 0, 0))
    for _ in range(20):
        leader.receive_datagram(pull, cluster.now)
    batches = [data for _, data in leader.datagrams_to_send(cluster.now) if is_control(data)]
    assert len(batches) == MAX_CATCH_UP
    leader.handle_deadline(leader.next_deadline())
    leader.receive_datagram(pull, cluster.now)
    assert any(is_control(data) for _, data in leader.datagrams_to_send(cluster.now))


def test_a_primary_whose_only_follower_fetches_what_it_lacks_stays_primary():
    cluster = started()
    leader = cluster.leader
    follower, gone = leader.peers
    cluster.down.update((follower, gone))
    pull = make_control(1, Pull(follower, leader.epoch, 0, 0))
    now = cluster.now
    for _ in range(8):  # it has much to fetch
        now += MAJORITY_TIMEOUT // 2
        leader.receive_datagram(pull, now)
        leader.handle_deadline(now)
        assert leader.role is Role.PRIMARY
    silent_since = now
    while leader.role is Role.PRIMARY:
        now = leader.next_deadline()
        leader.handle_deadline(now)
    assert MAJORITY_TIMEOUT < now - silent_since < 2 * MAJORITY_TIMEOUT


def test_a_candidate_with_much_to_apply_keeps_the_others_patient(monkeypatch):
    monkeypatch.setattr("recovery.stable.COMMITTED_INTERVAL", 1 << 30)
    cluster = started()
    for _ in range(4):
        cluster.add(MAX_APPLIED)
    for each in cluster.ids:
        cluster.restart(each)
    assert all(each.commit_tx == 0 for each in cluster.replicas.values())
    winner = cluster.replicas[1]

    class Slow(Adder):
        def apply(self, *command) -> list[tuple[int, bytes]]:
            cluster.now += 50 * MILLI // MAX_APPLIED
            return super().apply(*command)

    winner.execution.state_machine = Slow()
    cluster.told.clear()
    winner._begin_campaign(Phase.RAISING, cluster.now)
    cluster.run(400 * MILLI)
    assert winner.role is Role.PRIMARY
    waits = [to for to, message in cluster.told_by(1) if isinstance(message, Wait)]
    assert waits == [2, 3, 2, 3]  # after each part but the third: what is left then is applied in one go
    cluster.run(300 * MILLI)
    assert cluster.leader is winner
    assert cluster.settled()


def test_a_wait_of_the_owner_of_the_epoch_is_a_sign_of_life():
    cluster = started()
    leader = cluster.leader
    promised = cluster.replicas[backups(cluster)[0]]
    cluster.down = set(cluster.ids)
    candidate = backups(cluster)[1]
    promised._promise_epoch(9, candidate)
    promised.become_fenced(cluster.now)
    later = cluster.now + CAMPAIGN_TIMEOUT
    before = promised.next_deadline()
    promised.receive_datagram(make_control(1, Wait(leader.replica_id, 9)), later)
    assert promised.next_deadline() == before
    promised.receive_datagram(make_control(1, Wait(candidate, 9)), later)
    assert promised.next_deadline() > later


def test_another_state_after_the_same_transaction_stops_the_replica():
    cluster = started(every=10)
    first, second = backups(cluster)
    machine = cluster.replicas[second].execution.state_machine
    assert isinstance(machine, Adder)
    machine.snapshot = lambda: b"12 0"  # type: ignore[method-assign]
    with pytest.raises(ReplicaDiverged, match="other states after tx 10"):
        cluster.add(15)
    assert max(first, second) == second


def test_who_finds_that_it_has_diverged_does_not_lead():
    class Other(Adder):
        def apply(self, *command) -> list[tuple[int, bytes]]:
            return super().apply(*command)[:1]

    cluster = started()
    cluster.add(3)
    cluster.down = {cluster.leader.replica_id}
    winner = cluster.restart(backups(cluster)[0])
    assert winner.history.unapplied == 3
    winner.execution.state_machine = Other()
    winner._begin_campaign(Phase.RAISING, cluster.now)
    with pytest.raises(ReplicaDiverged):
        cluster.run(500 * MILLI)
    assert winner.role is Role.FENCED


def test_nothing_that_contradicts_committed_history_is_believed():
    cluster = started(every=10)
    cluster.add(35)
    replica = cluster.replicas[backups(cluster)[0]]
    log = replica.stable.log
    base = log.base
    for batch in (
        Batch(cluster.leader.replica_id, 9, base.tx - 3, 1, base.tx - 3, 40, 0, 0, True, []),
        Batch(cluster.leader.replica_id, 9, base.tx, base.epoch + 1, base.tx, 40, 0, 0, True, []),
        Batch(cluster.leader.replica_id, 9, base.tx - 3, base.epoch + 1, base.tx - 3, 40, 0, 0, True, []),
    ):
        assert replica.history.contradicts_base(batch)
        replica.receive_datagram(make_control(1, batch), cluster.now)
        assert (log.base, log.last_tx) == (base, 35)
    below = Batch(cluster.leader.replica_id, 1, base.tx - 3, 1, 0, 40, 0, 0, True, [])
    assert not replica.history.contradicts_base(below)
    assert replica.history.trim(below) is None


def test_a_deposed_primary_makes_its_state_anew_from_its_snapshot():
    cluster = started(every=10)
    cluster.add(35)
    deposed = cluster.leader
    cluster.files[deposed.replica_id] = {tx: cluster.files[backups(cluster)[0]][tx] for tx in (20, 30)}
    for tx in (20, 30):
        deposed.snapshot_saved(Point(tx, deposed.stable.log.epoch_at(tx)))
    cluster.down = {deposed.replica_id}
    primary = deposed.primary
    assert primary is not None
    primary.command(ADD, b"5", cluster.now)  # nobody hears it
    cluster.run(700 * MILLI)
    assert deposed.role is Role.FENCED
    leader = next(each for each in cluster.replicas.values() if each.role is Role.PRIMARY)
    assert leader.primary is not None
    leader.primary.command(ADD, b"6", cluster.now)
    cluster.down = set()
    cluster.run(300 * MILLI)
    assert deposed.history.rebuilt == 1
    assert cluster.settled()
    assert deposed.execution.state_machine.digest() == leader.execution.state_machine.digest()


def test_a_digest_is_told_a_few_times_and_then_no_more():
    cluster = started(every=10)
    cluster.add(12)
    cluster.run(500 * MILLI)
    replica = cluster.replicas[backups(cluster)[0]]
    assert replica._tellings == 0
    replica.snapshot_saved(replica.snapshot_begun(), 77)
    told = 0
    for _ in range(10):
        replica._tell_digest()
        told += sum(isinstance(parse_control(1, data), StateDigest) for _, data in replica._outgoing)
        replica._outgoing.clear()
    assert told == follower.TELLINGS * len(replica.peers)


def digests(replica: Replica) -> list[StateDigest]:
    """What it tells with the next heartbeat that it hears."""
    replica._outgoing.clear()
    replica._tell_digest()
    told = [parse_control(1, data) for _, data in replica._outgoing]
    return [message for message in told if isinstance(message, StateDigest)]


def test_states_of_a_log_that_has_forked_are_neither_compared_nor_told_nor_fetched():
    cluster = started(every=10, mode="async")
    cluster.add(12)
    first, second = map(cluster.replicas.__getitem__, backups(cluster))
    leader = cluster.leader
    (epoch, tx, digest) = next((told.epoch, told.tx, told.digest) for told in digests(first))
    assert (epoch, tx) == (leader.epoch, 10)
    assert leader.snapshot_offered() == 10
    other = StateDigest(second.replica_id, epoch + 1, 10, digest + 1)
    first.receive_datagram(make_control(1, other), cluster.now)
    leader.receive_datagram(make_control(1, other), cluster.now)
    assert leader.snapshot_offered() is None, "a snapshot of another branch"
    first.history.cut(9)
    assert digests(first) == []
    with pytest.raises(ReplicaDiverged):
        second.receive_datagram(make_control(1, other._replace(sender=first.replica_id, epoch=epoch)), cluster.now)


def test_a_snapshot_of_another_branch_is_void_also_if_the_log_has_come_to_its_tx_again():
    cluster = started(every=10, mode="async")
    cluster.holding = True
    cluster.add(10)
    replica = cluster.replicas[backups(cluster)[0]]
    log = replica.stable.log
    point = replica.snapshot_begun()
    assert point.tx == 10
    chain, kind, command = read_entry(log.entry(10))
    replica.history.cut(9)
    replica.stable.append(make_entry(point.epoch + 1, chain, kind, command))
    replica.history.apply_committed(1 << 40, 10)
    replica.history.apply_committed(1 << 40, 10)
    again = replica.snapshot_begun()  # left out: the other one is still being made
    assert again == (10, point.epoch + 1)
    replica.snapshot_saved(point, 77)
    assert replica.snapshots_void_above() == 9
    assert replica.stable.points == []
    replica.snapshot_saved(again)
    assert not replica.snapshots_are_void
    assert replica.stable.points == [again]


def test_a_copy_of_a_snapshot_of_another_branch_is_void():
    cluster = started(every=10, mode="async")
    cluster.add(12)
    leader = cluster.leader
    leader.snapshot_saved(Point(10, leader.epoch + 1))
    assert leader.snapshots_void_above() == 9
    assert leader.stable.points == []


def test_a_primary_that_was_held_up_hears_the_others_out_before_it_takes_them_for_gone():
    cluster = Cluster()
    cluster.run(1_000 * MILLI)
    primary = cluster.leader
    cluster.now += 5 * MAJORITY_TIMEOUT  # its process had no turn, and their answers wait to be read
    primary.handle_deadline(cluster.now)
    assert primary.role is Role.PRIMARY


@pytest.mark.parametrize("held_up", [0, 200 * MILLI])
def test_a_primary_whom_nobody_answers_falls_silent_also_if_it_is_held_up_again_and_again(held_up):
    cluster = Cluster()
    cluster.run(1_000 * MILLI)
    primary = cluster.leader
    rings = 0
    while primary.role is Role.PRIMARY:
        cluster.now = primary.next_deadline() + held_up
        primary.handle_deadline(cluster.now)
        rings += 1
    assert rings <= MAJORITY_TIMEOUT // (50 * MILLI) + 2
