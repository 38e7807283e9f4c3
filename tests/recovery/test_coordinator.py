import fcntl
import os
from pathlib import Path

import pytest
import trio
import trio.testing

from recovery.coordinator import (
    Address,
    CoordinatorUnavailable,
    FileCoordinator,
    Record,
    RecordLost,
    ReplicaSetDiffers,
    announce,
    join,
    make_record,
    raise_epoch,
)


async def test_an_epoch_is_given_to_one_only(tmp_path):
    path = tmp_path / "shard1" / "epoch.json"
    given: list[tuple[int, int]] = []

    async def contend(owner: int) -> None:
        coordinator = FileCoordinator(path)
        for _ in range(20):
            epoch = await raise_epoch(coordinator, owner, 0)
            if epoch is not None:
                given.append((epoch, owner))

    async with trio.open_nursery() as nursery:
        for owner in (1, 2, 3):
            nursery.start_soon(contend, owner)
    epochs = [epoch for epoch, _ in given]
    assert sorted(epochs) == list(range(1, len(epochs) + 1))
    record, version = await FileCoordinator(path).read()
    assert (record.epoch, record.owner) == max(given)
    assert version == len(given)


async def test_an_epoch_is_above_what_was_promised(tmp_path):
    coordinator = FileCoordinator(tmp_path / "epoch.json")
    assert await raise_epoch(coordinator, 2, 7) == 8
    assert await raise_epoch(coordinator, 1, 3) == 9


class Behind(FileCoordinator):
    """One whose glances are of long ago."""

    async def glance(self):
        return Record(), 0


async def test_who_glances_at_an_old_record_gets_no_epoch(tmp_path):
    coordinator = Behind(tmp_path / "epoch.json")
    assert await raise_epoch(coordinator, 2, 0) == 1
    assert await raise_epoch(coordinator, 1, 1) is None
    assert await raise_epoch(coordinator, 1, 1, given_out=1) == 2  # it is known to be old, so it is read


async def test_a_record_that_is_behind_what_it_has_given_out_gives_out_nothing(tmp_path):
    path = tmp_path / "epoch.json"
    coordinator = FileCoordinator(path)
    assert await raise_epoch(coordinator, 2, 4, given_out=0) == 5
    path.unlink()
    with pytest.raises(RecordLost, match="replica 1 has promised epoch 5, and the coordinator has given out 0"):
        await raise_epoch(coordinator, 1, 5, given_out=5)
    assert not path.exists()


async def test_a_write_with_an_old_version_changes_nothing(tmp_path):
    coordinator = FileCoordinator(tmp_path / "epoch.json")
    _, version = await coordinator.read()
    assert await coordinator.write(Record(epoch=1, owner=1), version)
    assert not await coordinator.write(Record(epoch=1, owner=2), version)
    record, _ = await coordinator.read()
    assert record.owner == 1


async def test_only_the_owner_of_the_epoch_announces_itself(tmp_path):
    coordinator = FileCoordinator(tmp_path / "epoch.json")
    addresses = {1: Address("10.0.0.1", 7001), 2: Address("10.0.0.2", 7001)}
    assert await join(coordinator, 1, addresses, 0) == (False, 0)
    assert await raise_epoch(coordinator, 2, 0) == 1
    await announce(coordinator, 1, 1)
    record, _ = await coordinator.read()
    assert not record.serving
    await announce(coordinator, 2, 1)
    record, _ = await coordinator.read()
    assert record.serving
    assert record.replicas["2"] == addresses[2]
    assert await raise_epoch(coordinator, 1, 1) == 2
    record, _ = await coordinator.read()
    assert not record.serving
    assert record.replicas["1"] == addresses[1]


async def test_a_change_is_seen_by_who_waits(tmp_path):
    coordinator = FileCoordinator(tmp_path / "epoch.json")
    async with trio.open_nursery() as nursery:
        _, version = await coordinator.read()
        nursery.start_soon(coordinator.wait_changed, version)
        await raise_epoch(coordinator, 1, 0)


@pytest.fixture
def reads(monkeypatch):
    """What files held, at each time that one was read."""
    read_bytes, seen = Path.read_bytes, []

    def read(path):
        seen.append(read_bytes(path))
        return seen[-1]

    monkeypatch.setattr(Path, "read_bytes", read)
    return seen


async def test_a_file_that_nobody_changes_is_read_once_however_long_it_is_looked_at(tmp_path, reads, autojump_clock):
    path = tmp_path / "epoch.json"
    coordinator = FileCoordinator(path)
    coordinator._write(Record(epoch=1, owner=1), 0)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    reads.clear()
    with trio.move_on_after(60):
        await coordinator.wait_changed(1)
    assert len(reads) == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(coordinator.wait_changed, 1)
        await trio.sleep(60)
        coordinator._write(Record(epoch=2, owner=1), 1)
    assert len(reads) == 4, "twice more by who waits, once by who wrote"


@pytest.mark.parametrize("like", ["new", "to come"])
async def test_a_file_is_read_again_as_long_as_the_next_could_look_like_it(tmp_path, autojump_clock, like):
    """Another content in the same file, as long and of the same time: two more writes within a tick of the kernel's
    clock may look like that. It is one of the future when the wall clock was set back."""
    path = tmp_path / "epoch.json"
    coordinator = FileCoordinator(path)
    coordinator._write(Record(epoch=1, owner=1), 0)
    times = (path.stat().st_mtime_ns + (3600 * 10**9 if like == "to come" else 0),) * 2
    os.utime(path, ns=times)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(coordinator.wait_changed, 1)
            await trio.testing.wait_all_tasks_blocked()
            path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
            os.utime(path, ns=times)


async def test_who_waits_for_a_change_waits_through_an_outage(tmp_path):
    path = tmp_path / "epoch.json"
    coordinator = FileCoordinator(path)
    assert await raise_epoch(coordinator, 1, 0) == 1
    whole = path.read_bytes()
    async with trio.open_nursery() as nursery:
        path.write_bytes(b"not json")
        nursery.start_soon(coordinator.wait_changed, 1)
        await trio.testing.wait_all_tasks_blocked()
        path.write_bytes(whole)
        assert await raise_epoch(coordinator, 2, 0) == 2


async def test_a_lock_that_is_never_given_back_is_waited_for_in_vain_but_not_for_ever(tmp_path):
    path = tmp_path / "epoch.json"
    with path.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(CoordinatorUnavailable, match=r"epoch\.lock: locked by another process"):
            await raise_epoch(FileCoordinator(path), 1, 0)
    while (epoch := await raise_epoch(FileCoordinator(path), 1, 0)) is None:
        pass  # a thread that was left behind has written after all
    assert epoch in (1, 2)


async def test_what_cannot_be_read_is_unavailable(tmp_path):
    path = tmp_path / "epoch.json"
    path.write_bytes(b"not json")
    with pytest.raises(CoordinatorUnavailable, match=r"epoch\.json"):
        await FileCoordinator(path).read()


TWO = {1: Address("10.0.0.1", 7001), 2: Address("10.0.0.2", 7001)}


async def test_who_joins_is_remembered(tmp_path):
    coordinator = FileCoordinator(tmp_path / "epoch.json")
    assert await join(coordinator, 1, TWO, 0) == (False, 0)
    assert await raise_epoch(coordinator, 1, 0) == 1
    assert await join(coordinator, 2, TWO, 0) == (False, 1)
    assert await join(coordinator, 1, TWO, 1) == (True, 1)


async def test_replicas_that_disagree_on_who_they_are_do_not_serve(tmp_path):
    coordinator = FileCoordinator(tmp_path / "epoch.json")
    await join(coordinator, 1, TWO, 0)
    with pytest.raises(
        ReplicaSetDiffers, match=r"replicas are 1, 3 here, but 1, 2 for the coordinator\. A shard keeps"
    ):
        await join(coordinator, 3, {1: TWO[1], 3: TWO[2]}, 0)


async def test_a_lost_record_gives_out_no_epoch_twice_and_is_made_again_by_an_operator(tmp_path):
    coordinator = FileCoordinator(tmp_path / "epoch.json")
    with pytest.raises(RecordLost, match="replica 1 has promised epoch 7, and the coordinator has given out 0"):
        await join(coordinator, 1, TWO, 7)
    assert await make_record(coordinator, TWO, 7)
    assert not await make_record(coordinator, TWO, 7)
    assert await join(coordinator, 1, TWO, 7) == (True, 7)
    assert await raise_epoch(coordinator, 2, 5) == 8
