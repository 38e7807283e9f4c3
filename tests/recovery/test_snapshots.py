import threading
from pathlib import Path

import pytest
import trio

from recovery import snapshot_files, snapshots
from recovery.command_log import COMMAND_RECORD, PROMISE_RECORD, Point, make_entry
from recovery.record import pack_command_header
from recovery.replica import Replica, Role
from recovery.snapshot import Snapshot, check_snapshot, decode_snapshot, encode_snapshot, take
from recovery.snapshots import ReplicaUnusable, SnapshotKeeper, started_replica
from tests.recovery.adder import Adder, Shard
from tests.recovery.test_follower import backups, started


def made() -> Replica:
    return Replica(1, 1, [1, 2, 3], Adder, mode="quorum", durability="disk", draw=lambda _: 0)


def entry(tx: int) -> bytes:
    return make_entry(1, 0, 16, pack_command_header(tx, 0, 1, 1, tx, 0, 0))


def test_a_journal_of_which_no_log_can_be_made_is_told_to_the_operator_once(tmp_path):
    directory = tmp_path / "shard-s1.1" / "snapshots"
    shard = Shard()
    for number in (1, 2):
        shard.add(number)
        shard.say()
        snapshot = take(shard.primary.execution, 1)
        snapshot_files.save(directory, encode_snapshot(snapshot), snapshot.tx)
    promise = (7, PROMISE_RECORD, bytes(4))
    records = [promise, (8, COMMAND_RECORD, entry(1)), (9, COMMAND_RECORD, entry(3))]
    with pytest.raises(ReplicaUnusable) as caught:
        started_replica(directory, records, made, lambda replica: None)
    text = "record 9: the journal has the entry 3 where the log ends with 1. Rebuild it from the other replicas"
    assert str(caught.value) == f"{directory.parent}: {text}"
    started = started_replica(directory, [promise], made, lambda replica: replica.start(0))
    assert started.last_tx == snapshot.tx - 1, "the older one is preferred"


class _Journal:
    """One of which nothing is asked but to let go."""

    async def commit(self) -> None: ...

    async def prune(self, number: int) -> None: ...


def keeper(replica: Replica, directory: Path) -> SnapshotKeeper:
    return SnapshotKeeper(replica, _Journal(), directory, {2: ("127.0.0.1", 1)}, b"key", lambda: None)


def giving(monkeypatch, data: bytes) -> list[threading.Thread]:
    """The peers have this snapshot. Gives the threads in which it is decoded."""
    threads: list[threading.Thread] = []

    async def fetch(*_: object) -> tuple[bytes, Point]:
        return data, check_snapshot(data, 1)

    def decode(data: bytes) -> Snapshot:
        threads.append(threading.current_thread())
        return decode_snapshot(data)

    monkeypatch.setattr(snapshots, "fetch_snapshot", fetch)
    monkeypatch.setattr(snapshots, "decode_snapshot", decode)
    return threads


async def test_a_primary_keeps_a_copy_of_a_peers_and_does_not_look_into_it(tmp_path, monkeypatch):
    cluster = started(every=10)
    cluster.add(12)
    leader = cluster.leader
    data = cluster.files[backups(cluster)[0]][10]
    threads = giving(monkeypatch, data)
    await keeper(leader, tmp_path)._fetch()
    assert leader.stable.points == [Point(10, leader.epoch)]
    assert snapshot_files.load(snapshot_files.snapshot_path(tmp_path, 10)) == decode_snapshot(data)
    assert threads == []


async def test_who_goes_on_from_a_peers_decodes_it_in_a_thread(tmp_path, monkeypatch):
    cluster = started(every=10)
    cluster.add(35)
    leader = cluster.leader
    for tx in (20, 30):
        leader.snapshot_saved(Point(tx, leader.epoch))
    gone, other = backups(cluster)
    replica = cluster.restart(gone, empty=True)
    cluster.run(300_000_000)
    threads = giving(monkeypatch, cluster.files[other][30])
    await keeper(replica, tmp_path)._fetch()
    assert replica.commit_tx == 30
    assert len(threads) == 1
    assert threading.main_thread() not in threads


async def test_files_that_cannot_be_deleted_are_logged_and_the_replica_goes_on(tmp_path, monkeypatch, nursery, caplog):
    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    cluster = started(every=10, mode="async")
    cluster.add(12)
    leader = cluster.leader
    data = cluster.files[backups(cluster)[0]][10]
    giving(monkeypatch, data)
    leader.snapshot_saved(Point(10, leader.epoch + 1))
    assert leader.snapshots_are_void
    monkeypatch.setattr(snapshot_files, "drop_above", fail)
    running = keeper(leader, tmp_path)
    running.look()
    nursery.start_soon(running.run)
    with trio.fail_after(5):
        while not leader.stable.points:
            await trio.lowlevel.checkpoint()
    assert "snapshots above tx 9 stay: [Errno 30] Read-only file system" in caplog.text
    nursery.cancel_scope.cancel()


async def test_a_peers_snapshot_that_is_unusable_and_cannot_be_deleted_is_tried_again(
    tmp_path, monkeypatch, autojump_clock, caplog
):
    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    cluster = started(every=10)
    cluster.add(35)
    leader = cluster.leader
    for tx in (20, 30):
        leader.snapshot_saved(Point(tx, leader.epoch))
    gone, other = backups(cluster)
    replica = cluster.restart(gone, empty=True)
    cluster.run(300_000_000)
    giving(monkeypatch, encode_snapshot(decode_snapshot(cluster.files[other][30])._replace(state=b"none")))
    monkeypatch.setattr(snapshot_files, "drop", fail)
    await keeper(replica, tmp_path)._fetch()
    assert "no snapshot of tx 20 or later: [Errno 30]" in caplog.text
    assert replica.snapshot_wanted() == 20


class _Due:
    """A replica of which a snapshot is due: what is asked of it, in order."""

    shard_id = 1
    role = Role.BACKUP
    snapshots_are_void = False

    def __init__(self) -> None:
        self.snapshot_due: int | None = 200
        self.asked: list[str] = []

    @property
    def can_snapshot(self) -> bool:
        self.asked.append("can it be taken?")
        return False

    def snapshot_begun(self) -> None:
        self.asked.append("go on")
        self.snapshot_due = None

    def nothing(self) -> None: ...

    snapshots_void_above = snapshot_wanted = snapshot_offered = nothing


async def test_batches_that_end_while_a_snapshot_begins_do_not_leave_it_out(tmp_path, nursery):
    """Or it would be of a later transaction than the other replicas', and nobody could compare them."""
    for _ in range(20):  # in which of two tasks comes first chance has a part
        replica = _Due()
        running = keeper(replica, tmp_path)
        nursery.start_soon(running.run)
        with trio.fail_after(5):
            while not replica.asked:
                running.look()
                await trio.lowlevel.checkpoint()
        assert replica.asked == ["can it be taken?", "go on"]
    nursery.cancel_scope.cancel()
