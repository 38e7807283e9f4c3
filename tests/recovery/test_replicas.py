"""Three replicas of a shard on real sockets and files, on one loop: who leads, what survives, who is told what."""

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from recovery import node, snapshot_files
from recovery.alarm import now_ns
from recovery.coordinator import FileCoordinator, RecordLost, raise_epoch
from recovery.link import LinkClient
from recovery.multicast import Destination, open_receiver
from recovery.node import JournalLost, ReplicaAddresses, ReplicaConfig, ReplicaNode, run_replica
from recovery.reader import Reader
from recovery.record import FIRST, CommandHeader, Message
from recovery.replica import ReplicaDiverged, Role
from recovery.service_host import Unavailable
from recovery.snapshots import ReplicaUnusable
from recovery.stable import Durability
from recovery.stream import read_stream
from recovery.view_change import Phase
from tests.recovery.adder import ADD, Adder
from tests.recovery.client_link import ClientLink
from tests.venue import free_ports

GROUP = "239.77.3.1"
KEYS = {7: b"key of 7"}
#: Seconds after which what a group of replicas, snapshots and all, has not done it will not do.
PATIENCE = 30.0


class Group:
    """The replicas 1, 2, … of shard 1."""

    def __init__(
        self, directory: Path, nursery: trio.Nursery, count: int, durability: Durability, snapshot_every: int = 0
    ) -> None:
        links = free_ports(count)
        controls, *others = (free_ports(count + 1) for _ in range(2))
        port = others[0][count]
        self.stream = (GROUP, port)
        self.replicas = {
            number: ReplicaAddresses(
                ("127.0.0.1", links[number - 1]),
                ("127.0.0.1", controls[number - 1]),
                ("127.0.0.1", others[0][number - 1]),
                self.stream,
            )
            for number in range(1, count + 1)
        }
        self.nodes: dict[int, ReplicaNode] = {}
        self._directory = directory
        self._nursery = nursery
        self._durability = durability
        self._snapshot_every = snapshot_every
        self._scopes: dict[int, trio.CancelScope] = {}
        self._ended: dict[int, trio.Event] = {}

    def config(self, number: int) -> ReplicaConfig:
        return ReplicaConfig(
            1,
            number,
            self.replicas,
            self._directory / f"replica-{number}",
            "quorum",
            self._durability,
            KEYS,
            b"a key",
            Destination((self.stream,)),
            self._snapshot_every,
        )

    def coordinator(self) -> FileCoordinator:
        return FileCoordinator(self._directory / "coordinator.json")

    def lose_record(self) -> bytes:
        """What was in it. Under its lock: a write that has read it, and waits for the disk, would bring it back."""
        record = self._directory / "coordinator.json"
        with record.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kept = record.read_bytes()
            record.unlink()
        return kept

    async def start(self, number: int, machine: Callable[[], Adder] = Adder) -> None:
        config, coordinator = self.config(number), self.coordinator()

        ended = self._ended[number] = trio.Event()

        async def run(task_status: trio.TaskStatus[ReplicaNode]) -> None:
            try:
                with trio.CancelScope() as self._scopes[number]:
                    await run_replica(config, coordinator, machine, task_status=task_status)
            finally:
                ended.set()

        self.nodes[number] = await self._nursery.start(run)

    async def stop(self, number: int) -> None:
        self._scopes[number].cancel()
        with trio.fail_after(PATIENCE):
            await self._ended[number].wait()
        del self.nodes[number]

    async def leader(self) -> int:
        """The number of the one that leads."""
        with trio.fail_after(PATIENCE):
            while True:
                leaders = [number for number, node in self.nodes.items() if node.replica.role is Role.PRIMARY]
                if leaders:
                    return leaders[-1]
                await trio.sleep(0.01)

    async def settled(self) -> int:
        """The epoch in which all are complete: nobody wants another one any more."""
        with trio.fail_after(PATIENCE):
            while True:
                complete = {node.replica.stable.safe_complete for node in self.nodes.values()}
                if len(complete) == 1 and 0 not in complete:
                    return complete.pop()
                await trio.sleep(0.01)

    def digests(self) -> set[int]:
        """Of what each replica has made of the commands that it has applied."""
        return {node.replica.execution.state_machine.digest() for node in self.nodes.values()}

    def link(self, client: LinkClient) -> ClientLink:
        """One that goes through the replicas until one takes it."""
        turn = [0]

        def address() -> tuple[str, int]:
            turn[0] += 1
            return self.replicas[turn[0] % len(self.replicas) + 1].link

        return ClientLink(client, address)


class Listener:
    """Reads the stream, tells the link what came by, keeps the sums that were told."""

    def __init__(self, group: Group, client: LinkClient) -> None:
        servers = [addresses.retransmit for addresses in group.replicas.values()]
        self.reader = Reader(1, server_count=len(servers))
        self.messages: list[Message] = []
        self._group, self._client, self._servers = group, client, servers

    def deliver(self, messages: list[Message]) -> None:
        self.messages += messages
        for message in messages:
            if message.flags & FIRST:
                header = CommandHeader.unpack_from(message.body)
                if header.source_id == self._client.source_id:
                    self._client.seen(header.source_seq)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with open_receiver(self._group.stream) as receiver, open_receiver(("127.0.0.1", 0)) as asking:
            task_status.started()
            await read_stream(self.reader, receiver, asking, self._servers, self.deliver)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await trio.sleep(0.005)


@pytest.mark.parametrize(("count", "durability"), [(3, "disk"), (3, "memory"), (5, "disk")])
async def test_leaders_die_and_nothing_is_lost_or_done_twice(tmp_path, nursery, count, durability):
    group = Group(tmp_path, nursery, count, durability)
    client = LinkClient(1, 7, 1, KEYS[7])
    listener = Listener(group, client)
    await nursery.start(listener.run)
    for number in group.replicas:
        await group.start(number)
    link = group.link(client)
    nursery.start_soon(link.run)
    sent = 0
    for _ in range(3):
        leader = await group.leader()
        for _ in range(100):
            await until(lambda: bool(client.room))
            client.forward(41, (sent := sent + 1), ADD, b"1", 0)
            if sent % 10 == 0:
                link.flush()
                await trio.sleep(0.001)
        await group.stop(leader)  # with commands under way
        await until(lambda: client.unseen == 0)
        await group.start(leader)
    seqs = [message.seq for message in listener.messages]
    assert seqs == list(range(1, len(seqs) + 1))
    assert listener.messages[-2].body == b"%d" % sent == b"300"
    # The last leader may have told all of it before it was stopped: then another must be found before all are equal.
    await until(lambda: listener.reader.epoch >= 4)
    await until(lambda: group.digests() == {digest_of(sent)})
    nursery.cancel_scope.cancel()


def digest_of(total: int) -> int:
    machine = Adder()
    machine.total = total
    return machine.digest()


async def test_a_replica_that_does_not_lead_says_who_does(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "memory")
    for number in group.replicas:
        await group.start(number)
    leader = await group.leader()
    backup = next(number for number in group.nodes if number != leader)
    await until(lambda: group.nodes[backup].replica.role is Role.BACKUP)
    client = LinkClient(1, 7, 1, KEYS[7])
    shell = ClientLink(client, lambda: group.replicas[backup].link)
    with pytest.raises(Exception, match=f"replica {backup} of shard 1 is backup: epoch 1 belongs to replica {leader}"):
        await shell._run_connection(await trio.open_tcp_stream(*group.replicas[backup].link))
    nursery.cancel_scope.cancel()


async def test_who_is_deposed_hears_its_successor(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "memory")
    for number in group.replicas:
        await group.start(number)
    epoch = await group.settled()
    deposed = await group.leader()
    successor = group.nodes[deposed % 3 + 1]
    with trio.fail_after(PATIENCE):
        while await group.settled() == epoch or group.nodes[deposed].replica.role is not Role.BACKUP:
            leads = group.nodes[deposed].replica.role is Role.PRIMARY
            if leads and successor.replica.role is Role.BACKUP and successor.replica.campaign is None:
                # Again, too: on a busy machine the next heartbeat, which ends it, may be quicker than the coordinator.
                successor.replica._begin_campaign(Phase.RAISING, now_ns())
                successor.flush()
            await trio.sleep(0.01)


async def test_a_replica_whose_disk_is_lost_comes_back_with_all_of_it(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "disk")
    for number in group.replicas:
        await group.start(number)
    leader = await group.leader()
    for _ in range(50):
        await group.nodes[leader].command(ADD, b"2")
    lost = next(number for number in group.nodes if number != leader)
    await group.stop(lost)
    for file in (tmp_path / f"replica-{lost}").iterdir():
        file.unlink()
    await group.start(lost)
    await until(lambda: group.nodes[lost].replica.role in (Role.BACKUP, Role.PRIMARY))
    await until(lambda: group.nodes[lost].replica.commit_tx >= 50)
    assert group.nodes[lost].replica.execution.state_machine.digest() == digest_of(100)
    nursery.cancel_scope.cancel()


async def test_a_lone_shard_whose_journal_is_gone_does_not_begin_anew(tmp_path, nursery):
    group = Group(tmp_path, nursery, 1, "memory")
    await group.start(1)
    await group.stop(1)
    for file in (tmp_path / "replica-1").iterdir():
        file.unlink()

    async def start_again() -> None:
        async with trio.open_nursery() as inner:
            group._nursery = inner
            await group.start(1)

    with pytest.raises(ExceptionGroup) as caught:
        await start_again()
    assert caught.value.subgroup(JournalLost) is not None
    nursery.cancel_scope.cancel()


async def test_a_lone_shard_killed_before_it_could_write_its_first_promise_starts_again(tmp_path, nursery, monkeypatch):
    group = Group(tmp_path, nursery, 1, "memory")
    raised = trio.Event()

    async def raise_and_say_nothing(*arguments: Any) -> None:
        await raise_epoch(*arguments)
        raised.set()
        await trio.sleep_forever()

    monkeypatch.setattr(node, "raise_epoch", raise_and_say_nothing)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as life:
            life.start_soon(run_replica, group.config(1), group.coordinator(), Adder)
            await raised.wait()
            life.cancel_scope.cancel()
        monkeypatch.undo()
        await group.start(1)
    assert group.nodes[1].replica.epoch == 2
    nursery.cancel_scope.cancel()


async def test_snapshots_are_taken_together_and_what_lies_before_them_is_let_go(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "disk", snapshot_every=100)
    for number in group.replicas:
        await group.start(number)
    leader = await group.leader()
    for count, txs in ((150, [100]), (100, [100, 200])):
        for _ in range(count):
            await group.nodes[leader].command(ADD, b"1")
        for number in group.nodes:  # the primary has copies
            await until(lambda number=number, txs=txs: snapshots(tmp_path, number) == txs)
            await until(lambda number=number: not group.nodes[number].snapshots.busy)
    base = {number: node.replica.stable.log.base.tx for number, node in group.nodes.items()}
    assert base == dict.fromkeys(group.nodes, 100)
    await group.stop(leader)
    await group.start(leader)
    await until(lambda: group.nodes[leader].replica.role is Role.BACKUP)
    await until(lambda: group.nodes[leader].replica.execution.state_machine.digest() == digest_of(250))
    nursery.cancel_scope.cancel()


async def test_who_comes_back_to_a_log_that_has_gone_on_gets_a_snapshot(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "disk", snapshot_every=100)
    for number in group.replicas:
        await group.start(number)
    leader = await group.leader()
    away = next(number for number in group.nodes if number != leader)
    await group.nodes[leader].command(ADD, b"1")
    await group.stop(away)
    for tx in range(2, 351):
        await group.nodes[leader].command(ADD, b"1")
        if tx % 100 == 10 and tx > 100:
            for number in group.nodes:
                await until(lambda number=number, tx=tx: snapshots(tmp_path, number)[-1:] == [tx - 10])
            await until(lambda: not any(node.snapshots.busy for node in group.nodes.values()))
    await until(lambda: group.nodes[leader].replica.stable.log.base.tx == 200)
    await group.start(away)
    await until(lambda: group.nodes[away].replica.execution.state_machine.digest() == digest_of(350))
    assert group.nodes[away].replica.stable.log.base.tx >= 200
    nursery.cancel_scope.cancel()


async def test_a_snapshot_is_taken_when_asked_for_but_by_no_primary_with_backups(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "memory")
    for number in group.replicas:
        await group.start(number)
    leader = await group.leader()
    await group.nodes[leader].command(ADD, b"1")
    backup = next(number for number in group.nodes if number != leader)
    await until(lambda: group.nodes[backup].replica.commit_tx == 1)
    assert await group.nodes[backup].snapshots.take() == 1
    with pytest.raises(Unavailable, match="this replica is primary"):
        await group.nodes[leader].snapshots.take()
    nursery.cancel_scope.cancel()


def snapshots(directory: Path, replica: int) -> list[int]:
    return snapshot_files.snapshot_txs(directory / f"replica-{replica}" / "snapshots")


class Wrong(Adder):
    """Makes other bytes than the others once it has heard of 13."""

    def apply(
        self, kind: int, body: bytes, timestamp: int, tx: int, source_id: int, session_id: int
    ) -> list[tuple[int, bytes]]:
        events = super().apply(kind, body, timestamp, tx, source_id, session_id)
        return [*events, *events] if body == b"13" else events


async def test_a_replica_that_makes_other_bytes_stops_and_does_not_start_again_by_itself(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "disk")
    await group.start(1)
    await group.start(2)
    leader = await group.leader()

    async def be_wrong() -> None:
        async with trio.open_nursery() as inner:
            group._nursery = inner
            await group.start(3, Wrong)
            await until(lambda: group.nodes[3].replica.role is Role.BACKUP)
            for number in (b"13", b"1", b"1"):
                await group.nodes[leader].command(ADD, number)

    with pytest.raises(ExceptionGroup) as caught:
        await be_wrong()
    assert caught.value.subgroup(ReplicaDiverged) is not None
    await group.nodes[leader].command(ADD, b"1")  # the others go on
    with pytest.raises(ReplicaUnusable, match=r"replica-3/diverged: shard 1 before tx \d: .*Rebuild this replica"):
        await run_replica(group.config(3), group.coordinator(), Adder)
    nursery.cancel_scope.cancel()


async def test_no_replica_goes_on_with_a_coordinator_that_has_lost_its_record(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "disk")
    for number in group.replicas:
        await group.start(number)
    await group.settled()
    leader = await group.leader()
    backup = next(number for number in group.nodes if number != leader)
    stable = group.nodes[backup].replica.stable
    await group.stop(backup)
    group.lose_record()
    lost = f"has promised epoch {stable.given_epoch}, and the coordinator has given out 0"

    async def go_on() -> None:
        with trio.move_on_after(PATIENCE):
            await run_replica(group.config(backup), group.coordinator(), Adder)
        pytest.fail(f"replica {backup} runs; the coordinator has {await group.coordinator().read()}")

    with pytest.raises(RecordLost, match=lost):
        await go_on()
    nursery.cancel_scope.cancel()


async def test_replicas_that_run_lead_no_epoch_of_a_coordinator_that_has_lost_its_record(tmp_path, nursery, caplog):
    group = Group(tmp_path, nursery, 3, "disk")
    for number in group.replicas:
        await group.start(number)
    record = tmp_path / "coordinator.json"
    epoch = await group.settled()
    leader = await group.leader()
    kept = group.lose_record()
    await group.nodes[leader].command(ADD, b"1")  # who leads goes on
    await group.stop(leader)
    await until(lambda: f"has promised epoch {epoch}, and the coordinator has given out 0" in caplog.text)
    assert not record.exists()
    record.write_bytes(kept)  # the operator
    assert await group.leader() != leader
    nursery.cancel_scope.cancel()


async def test_a_disk_that_hangs_ends_the_replica(tmp_path, nursery, monkeypatch):
    monkeypatch.setattr(node, "MAX_UNSYNCED", 10)
    group = Group(tmp_path, nursery, 1, "disk")
    hangs = threading.Event()
    good = os.fdatasync

    def fdatasync(fd: int) -> None:
        hangs.wait(PATIENCE)
        good(fd)

    async def hang() -> None:
        async with trio.open_nursery() as inner:
            group._nursery = inner
            await group.start(1)
            monkeypatch.setattr(os, "fdatasync", fdatasync)
            for _ in range(20):
                inner.start_soon(group.nodes[1].command, ADD, b"1")
            try:
                with trio.fail_after(PATIENCE):
                    await trio.sleep_forever()
            finally:
                hangs.set()

    with pytest.raises(ExceptionGroup) as caught:
        await hang()
    assert caught.value.subgroup(lambda error: "wait for a disk that hangs" in str(error)) is not None
    nursery.cancel_scope.cancel()
