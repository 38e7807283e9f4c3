"""Asking replicas over loopback: quorum reads and snapshots, with replicas that are dead, hung, wrong or behind."""

import threading
from collections.abc import Mapping

import pytest
import trio
import trio.testing

from recovery import service_client
from recovery.command_log import Point
from recovery.member import Role
from recovery.multicast import Address
from recovery.query import NoQuorum
from recovery.service_client import (
    SnapshotUnavailable,
    fetch_snapshot,
    positions,
    quorum_answer,
    quorum_read,
)
from recovery.service_frames import Answer
from recovery.service_host import Service, Unavailable
from recovery.snapshot import check_snapshot, decode_snapshot, encode_snapshot
from tests.recovery.served import FakeReplica, encoded

KEY = b"the venue's key"
PLENTY = 20
"""Seconds a read may take that is expected to succeed: it takes milliseconds."""
SHORT = 1
"""Seconds for one that cannot succeed and takes all of them: in these whoever can answer, a refusal too, must."""


class Shard:
    """Three replicas with their services on sockets: 1 the primary, 2 and 3 its backups, all at transaction 7."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.replicas = {number: FakeReplica(number, 7) for number in (1, 2, 3)}
        self.replicas[1].role = Role.PRIMARY
        self.services = {number: Service(replica, KEY) for number, replica in self.replicas.items()}
        self.controls: dict[int, Address] = {}
        self._nursery = nursery
        self._scopes: dict[int, trio.CancelScope] = {}

    async def start(self, number: int) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.controls[number] = listener.socket.getsockname()
        await self._nursery.start(self._serve, number, listener)

    async def _serve(self, number: int, listener: trio.SocketListener, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope() as self._scopes[number]:
            task_status.started()
            await self.services[number].run([listener])

    async def kill(self, number: int) -> None:
        self._scopes[number].cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def hang(self, number: int) -> None:
        """As a process that is stopped: the kernel takes connections and bytes, and nobody answers."""
        await self.kill(number)
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.controls[number] = listener.socket.getsockname()
        self._nursery.start_soon(self._hold, listener)

    async def _hold(self, listener: trio.SocketListener) -> None:
        async with listener:
            await trio.sleep_forever()

    async def read(self, timeout: float = PLENTY, controls: Mapping[int, Address] | None = None) -> Answer:
        return await quorum_answer(1, controls or self.controls, KEY, b"book", timeout=timeout)


@pytest.fixture
async def shard(nursery) -> Shard:
    shard = Shard(nursery)
    for number in shard.replicas:
        await shard.start(number)
    return shard


async def test_a_backup_answers_and_no_connection_is_left(shard):
    shard.replicas[1].read = None  # the primary is not asked
    assert await shard.read() == Answer(7, b"7 book")
    assert await quorum_read(1, shard.controls, KEY, b"book", timeout=PLENTY) == b"7 book"
    with trio.fail_after(PLENTY):
        while any(service._known for service in shard.services.values()):
            await trio.lowlevel.checkpoint()


async def test_the_answer_waits_for_what_a_majority_may_have_acknowledged(shard, nursery):
    shard.replicas[3].safe_tx = 9
    await shard.kill(1)
    answers = []

    async def read() -> None:
        answers.append(await shard.read())

    nursery.start_soon(read)
    with trio.fail_after(PLENTY):
        while shard.replicas[2].waiting != [9]:
            await trio.lowlevel.checkpoint()
        assert answers == []
        shard.replicas[2].commit(9)
        while not answers:
            await trio.lowlevel.checkpoint()
    assert answers == [Answer(9, b"9 book")]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("how", [Shard.kill, Shard.hang])
async def test_one_replica_that_is_gone_or_hangs_is_not_missed(shard, how, number):
    await how(shard, number)
    assert await shard.read() == Answer(7, b"7 book")


async def test_who_does_not_commit_is_left_for_another_after_a_while(shard):
    for number in (1, 3):
        shard.replicas[number].commit(8)
    shard.replicas[2].safe_tx = 8  # a backup that no longer hears how far the commit is
    shard.replicas[3].role = Role.FENCED
    assert await shard.read() == Answer(8, b"8 book")
    assert set(shard.replicas[2].waiting) <= {8}


async def test_two_of_three_gone_is_no_quorum_and_says_who(shard):
    await shard.kill(2)
    await shard.kill(3)
    with pytest.raises(NoQuorum) as failure:
        await shard.read(SHORT)
    assert str(failure.value).startswith(f"no answer from 2 of 3 replicas within {SHORT} s; ")
    assert "replicas 2 and 3: Connection refused" in str(failure.value)


async def test_a_shard_of_which_nothing_runs_is_told_soon_and_in_few_words(shard):
    for number in (1, 2, 3):
        await shard.kill(number)
    with trio.fail_after(PLENTY), pytest.raises(NoQuorum) as failure:
        await shard.read(2 * PLENTY)
    assert str(failure.value) == "no replica is running; replicas 1, 2 and 3: Connection refused"


async def test_one_replica_under_two_names_does_not_count_twice(shard):
    controls = {1: shard.controls[1], 2: shard.controls[1], 3: ("127.0.0.1", 1)}
    with pytest.raises(NoQuorum, match="replica 2: replica 1, not replica 2: the addresses are mixed up"):
        await shard.read(SHORT, controls)


async def test_a_wrong_key_is_told(shard):
    with pytest.raises(NoQuorum, match="login refused: the asker does not hold the venue's key"):
        await quorum_read(1, shard.controls, b"another", b"book", timeout=SHORT)


async def test_replicas_that_recover_do_not_make_a_quorum(shard):
    for number in (2, 3):
        shard.replicas[number].recovering = True
    with pytest.raises(NoQuorum, match="replicas 2 and 3: recovering what may be forgotten"):
        await shard.read(SHORT)


async def test_positions_of_whoever_answers(shard):
    await shard.kill(2)
    found = await positions(1, shard.controls, KEY, timeout=PLENTY)
    assert found == {1: shard.replicas[1].position(), 2: "Connection refused", 3: shard.replicas[3].position()}
    await shard.hang(3)
    assert (await positions(1, shard.controls, KEY, timeout=0.1))[3] == "no answer within 0.1 s"


# Snapshots


def snapshot(tmp_path, replica: FakeReplica, tx: int) -> bytes:
    directory = tmp_path / str(replica.replica_id)
    directory.mkdir()
    replica.snapshot = directory / f"{tx}.snapshot"
    replica.snapshot.write_bytes(encoded(tx, f"of {replica.replica_id} at {tx} ".encode() * 100_000))
    return replica.snapshot.read_bytes()


async def fetch(shard: Shard, min_tx: int) -> bytes:
    data, point = await fetch_snapshot(list(shard.controls.values()), KEY, 1, min_tx)
    assert point == check_snapshot(data, 1)
    return data


async def test_a_snapshot_comes_from_a_backup_if_one_has_it(shard, tmp_path):
    snapshot(tmp_path, shard.replicas[1], 6)
    wanted = snapshot(tmp_path, shard.replicas[3], 5)
    assert await fetch(shard, 5) == wanted


async def test_the_primarys_is_taken_if_no_backups_is_new_enough(shard, tmp_path):
    wanted = snapshot(tmp_path, shard.replicas[1], 6)
    snapshot(tmp_path, shard.replicas[3], 5)
    assert await fetch(shard, 6) == wanted


async def test_a_backup_makes_one_when_nobody_has_it(shard, tmp_path):
    snapshot(tmp_path, shard.replicas[1], 6)
    snapshot(tmp_path, shard.replicas[2], 5)
    assert await fetch(shard, 7) == encoded(7, b"state")


def spoilt(replica: FakeReplica) -> None:
    """A bit of its file flips."""
    assert replica.snapshot is not None
    data = bytearray(replica.snapshot.read_bytes())
    data[len(data) // 2] ^= 1
    replica.snapshot.write_bytes(data)


async def test_a_damaged_snapshot_is_as_good_as_none_and_another_replica_is_asked(shard, tmp_path):
    snapshot(tmp_path, shard.replicas[2], 6)
    wanted = snapshot(tmp_path, shard.replicas[3], 5)
    spoilt(shard.replicas[2])
    assert await fetch(shard, 5) == wanted
    await shard.kill(3)
    assert await fetch(shard, 5) == encoded(7, b"state"), "a whole one is made"


async def test_a_snapshot_of_another_shard_or_tx_than_was_said_is_refused(shard, tmp_path):
    for number in (2, 3):
        snapshot(tmp_path, shard.replicas[number], 6)
    assert shard.replicas[2].snapshot is not None
    shard.replicas[2].snapshot.write_bytes(encoded(5, b"state"))
    other = decode_snapshot(encoded(6, b"state"))._replace(shard_id=2)
    assert shard.replicas[3].snapshot is not None
    shard.replicas[3].snapshot.write_bytes(encode_snapshot(other))

    async def full() -> int:
        raise Unavailable("the disk is full")

    for number in (2, 3):
        shard.replicas[number].take_snapshot = full
    with pytest.raises(SnapshotUnavailable) as failure:
        await fetch(shard, 6)
    assert all(why in str(failure.value) for why in ("it is of transaction 5", "it is of shard 2, not 1"))


async def test_a_snapshot_is_checked_while_the_loop_goes_on(shard, tmp_path, monkeypatch):
    threads: list[threading.Thread] = []
    checked = service_client.check_snapshot

    def check(data: bytes, shard_id: int) -> Point:
        threads.append(threading.current_thread())
        return checked(data, shard_id)

    monkeypatch.setattr(service_client, "check_snapshot", check)
    snapshot(tmp_path, shard.replicas[3], 5)
    await fetch(shard, 5)
    assert len(threads) == 1
    assert threading.main_thread() not in threads


async def test_no_snapshot_says_why_of_each(shard):
    async def full() -> int:
        raise Unavailable("the disk is full")

    await shard.kill(3)
    shard.replicas[2].take_snapshot = full
    with pytest.raises(SnapshotUnavailable) as failure:
        await fetch(shard, 7)
    text = str(failure.value)
    assert text.startswith("shard 1: no snapshot of transaction 7 or later: ")
    assert all(why in text for why in ("Connection refused", "there is no snapshot here", "the disk is full"))
