"""An operator's commands on real replicas: done once, told, also over a failover and beside other operators."""

from collections.abc import Mapping

import pytest
import trio

from recovery import operating
from recovery.frames import LinkError
from recovery.member import Role
from recovery.multicast import Address
from recovery.operating import NotOperated, operate, take_snapshot
from recovery.service_client import Connection, connected, expect
from recovery.service_frames import BeginOperating, Operate, Operated, Operating, Reply, Request
from tests.recovery.adder import ADD, COUNTDOWN, STEP, STEPPED, TOTAL, Adder
from tests.recovery.test_replicas import Group, until

KEY = b"a key"


def controls(group: Group) -> Mapping[int, Address]:
    return {number: addresses.control for number, addresses in group.replicas.items()}


async def add(group: Group, number: int, timeout: float = 10) -> Operated:
    return await operate(1, controls(group), KEY, ADD, b"%d" % number, continued_by=STEP, timeout=timeout)


def totals(group: Group) -> set[int]:
    machines = [node.replica.execution.state_machine for node in group.nodes.values()]
    return {machine.total for machine in machines if isinstance(machine, Adder)}


@pytest.fixture
async def alone(tmp_path, nursery) -> Group:
    group = Group(tmp_path, nursery, 1, "memory")
    await group.start(1)
    return group


async def test_a_command_is_done_and_what_came_of_it_is_told(alone):
    seen = []
    alone.nodes[1].on_operated = lambda *command: seen.append(command)
    told = await add(alone, 5)
    assert told.events[0] == (TOTAL, b"5")
    assert (await add(alone, 6)).events[0] == (TOTAL, b"11")
    assert [command[1:] for command in seen] == [(ADD, b"5"), (ADD, b"6")]
    assert seen[0][0] == told.tx


async def test_it_waits_for_all_the_work_of_its_command(alone):
    told = await operate(1, controls(alone), KEY, COUNTDOWN, b"200", continued_by=STEP, timeout=10)
    assert told.left_out == 200 - 128
    assert told.events[-1] == (STEPPED, b"0")


class Losing:
    """A connection that is lost once, when the command has been taken and before the answer is read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ask(self, request: Request) -> Reply:
        reply = await self._connection.ask(request)
        if isinstance(request, Operate) and Losing.to_lose:
            Losing.to_lose -= 1
            raise LinkError("lost")
        return reply

    to_lose = 0


@pytest.fixture
def losing(monkeypatch) -> None:
    connect = operating.connected

    class Connected:
        def __init__(self, *where) -> None:
            self._context = connect(*where)

        async def __aenter__(self) -> Losing:
            return Losing(await self._context.__aenter__())

        async def __aexit__(self, *error) -> None:
            await self._context.__aexit__(*error)

    monkeypatch.setattr(operating, "connected", Connected)
    monkeypatch.setattr(Losing, "to_lose", 1)


async def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_done_twice(alone, losing):
    assert (await add(alone, 5)).events[0] == (TOTAL, b"5")
    assert totals(alone) == {5}


async def test_what_was_taken_long_ago_is_said_to_be(alone, losing, monkeypatch):
    monkeypatch.setattr("recovery.operated.MAX_SEARCHED", 0)
    assert await add(alone, 5) == Operated(0, 0, ())
    assert totals(alone) == {5}


async def test_two_operators_at_once_are_both_served(alone):
    async with trio.open_nursery() as nursery:
        for number in (1, 10, 100):
            nursery.start_soon(add, alone, number)
    assert totals(alone) == {111}


async def test_one_whose_number_was_taken_by_another_and_who_does_not_know_of_its_own_is_told_so(alone):
    async with connected(1, 1, controls(alone)[1], KEY) as ours, connected(1, 1, controls(alone)[1], KEY) as theirs:
        number = expect(Operating, await ours.ask(BeginOperating()))
        later = expect(Operating, await theirs.ask(BeginOperating()))
        assert later.incarnation == number.incarnation + 1
        await theirs.ask(Operate(later.incarnation, later.source_seq + 1, STEP, ADD, b"7"))
        refused = await ours.ask(Operate(number.incarnation, number.source_seq + 1, STEP, ADD, b"8"))
        assert refused == Operating(later.incarnation, later.source_seq + 1)
    assert totals(alone) == {7}


async def test_it_finds_the_new_primary_with_the_number_of_the_old_one(tmp_path, nursery, losing):
    group = Group(tmp_path, nursery, 3, "disk")
    for number in group.replicas:
        await group.start(number)
    leader = await group.leader()
    await until(lambda: sum(node.replica.role is Role.BACKUP for node in group.nodes.values()) == 2)
    answered: list[Operated] = []

    async def ask() -> None:
        answered.append(await add(group, 5, 20))

    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await until(lambda: not Losing.to_lose)
        await group.stop(leader)
    assert answered[0].events[0] == (TOTAL, b"5")
    await until(lambda: totals(group) == {5})
    assert (await add(group, 6)).events[0] == (TOTAL, b"11")


async def test_without_a_majority_it_is_said_that_it_may_happen_yet(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "memory")
    for number in group.replicas:
        await group.start(number)
    leader = await group.leader()
    for number in set(group.replicas) - {leader}:
        await group.stop(number)
    with pytest.raises(NotOperated, match=r"not confirmed within 0\.3 s") as told:
        await add(group, 5, 0.3)
    assert not told.value.sent, "not even a number was given"


async def test_a_snapshot_is_made_by_a_backup(tmp_path, nursery):
    group = Group(tmp_path, nursery, 3, "disk")
    for number in group.replicas:
        await group.start(number)
    leader = await group.leader()
    told = await add(group, 5)
    await until(lambda: {node.replica.commit_tx for node in group.nodes.values()} == {told.tx})
    replica_id, tx = await take_snapshot(1, controls(group), KEY, timeout=5)
    assert replica_id != leader
    assert tx == told.tx


async def test_where_nobody_is_there_is_no_snapshot(tmp_path, nursery):
    group = Group(tmp_path, nursery, 1, "memory")
    with pytest.raises(NotOperated, match="no replica has made a snapshot: replica 1: Connection refused"):
        await take_snapshot(1, controls(group), KEY, timeout=1)
