import pytest

from recovery import snapshot_files
from recovery.snapshot import Snapshot, SnapshotDamaged, encode_snapshot, take
from tests.recovery.adder import Shard


def snapshots(*counts: int) -> list[Snapshot]:
    shard, taken = Shard(), []
    for count in counts:
        for number in range(count):
            shard.add(number)
        shard.say()
        taken.append(take(shard.primary.execution, 1))
    return taken


def save(directory, snapshot: Snapshot):
    return snapshot_files.save(directory, encode_snapshot(snapshot), snapshot.tx)


def test_the_newest_whole_one_is_found(tmp_path):
    directory = tmp_path / "snapshots"
    assert snapshot_files.newest(directory) is None
    assert list(snapshot_files.load_all(directory)) == []
    snapshot_files.prune(directory)
    first, second, third = snapshots(1, 2, 3)
    for each in (first, second, third):
        path = save(directory, each)
    assert snapshot_files.newest(directory) == path
    assert list(snapshot_files.load_all(directory)) == [third, second, first]
    assert snapshot_files.load_at_most(directory, third.tx - 1) == second
    path.write_bytes(path.read_bytes()[:-1])
    assert snapshot_files.load_at_most(directory, third.tx) == second
    with pytest.raises(SnapshotDamaged, match=f"{path.name}: at byte"):
        snapshot_files.load(path)


def test_two_are_kept_and_what_a_crash_left_is_not(tmp_path):
    for each in snapshots(1, 2, 3):
        save(tmp_path, each)
    (tmp_path / "00000000000000000099.unfinished").write_bytes(b"half a")
    snapshot_files.prune(tmp_path, keep=2)
    assert len(list(tmp_path.iterdir())) == len(snapshot_files.snapshot_txs(tmp_path)) == 2
    newest = snapshot_files.snapshot_txs(tmp_path)[-1]
    snapshot_files.drop_above(tmp_path, newest - 1)
    assert newest not in snapshot_files.snapshot_txs(tmp_path)


def test_a_save_that_fails_leaves_what_was_there(tmp_path):
    first, second = snapshots(1, 2)
    save(tmp_path, first)
    (tmp_path / f"{second.tx:020d}.unfinished").mkdir()
    with pytest.raises(IsADirectoryError):
        save(tmp_path, second)
    assert list(snapshot_files.load_all(tmp_path)) == [first]


def test_one_that_cannot_be_read_is_passed_over_like_a_damaged_one(tmp_path):
    first, second, third = snapshots(1, 2, 3)
    save(tmp_path, first)
    snapshot_files.snapshot_path(tmp_path, second.tx).mkdir()
    save(tmp_path, third)
    assert list(snapshot_files.load_all(tmp_path)) == [third, first]
    assert snapshot_files.load_at_most(tmp_path, second.tx) == first
    assert list(snapshot_files.load_for_start(tmp_path)) == [third, first]
    with pytest.raises(SnapshotDamaged, match=f"{second.tx}.snapshot: .*Is a directory"):
        snapshot_files.load(snapshot_files.snapshot_path(tmp_path, second.tx))
