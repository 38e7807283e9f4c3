"""The service on streams in memory: what askers get, and what bad ones cannot do to others."""

import logging
import os
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery.frames import LinkError
from recovery.member import Role
from recovery.service import ServiceClient
from recovery.service_client import Connection
from recovery.service_frames import (
    CHUNK_BYTES,
    Answer,
    AskPosition,
    AskSnapshot,
    Chunk,
    Read,
    Refused,
    SnapshotHead,
    Taken,
    TakeSnapshot,
)
from recovery.service_host import COMMIT_SECONDS, MAX_CONNECTIONS, MAX_SNAPSHOTS, MAX_STRANGERS, Service
from tests.recovery.served import FakeReplica, encoded

KEY = b"the venue's key"


class Host:
    """A service in this task tree; `connect` gives an asker, `stranger` bare bytes."""

    def __init__(self, nursery: trio.Nursery, replica: FakeReplica) -> None:
        self.replica = replica
        self.service = Service(replica, KEY)
        self._nursery = nursery

    def stranger(self) -> trio.StapledStream:
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.service.serve, theirs)
        return ours

    def connect(self, key: bytes = KEY) -> Connection:
        return Connection(ServiceClient(1, self.replica.replica_id, key, b"c" * 32), self.stranger())


@pytest.fixture
async def host(nursery) -> Host:
    return Host(nursery, FakeReplica(tx=7))


async def asking(nursery: trio.Nursery, connection: Connection, request, answers: list) -> None:
    """Ask without waiting for the answer, which goes to `answers`."""

    async def ask() -> None:
        answers.append(await connection.ask(request))

    nursery.start_soon(ask)
    await trio.testing.wait_all_tasks_blocked()


async def test_position_and_read(host):
    asker = host.connect()
    assert await asker.ask(AskPosition()) == host.replica.position()
    assert await asker.ask(Read(7, b"book")) == Answer(7, b"7 book")
    assert host.replica.waiting == []


async def test_a_read_waits_for_the_commit(host, nursery):
    answers = []
    await asking(nursery, host.connect(), Read(9, b"book"), answers)
    host.replica.commit(8)
    await trio.testing.wait_all_tasks_blocked()
    assert answers == []
    host.replica.commit(9)
    await trio.testing.wait_all_tasks_blocked()
    assert answers == [Answer(9, b"9 book")]


async def test_a_commit_that_does_not_come_is_told(host, autojump_clock):
    asker = host.connect()
    before = trio.current_time()
    refused = await asker.ask(Read(9, b"book"))
    assert refused == Refused("transaction 9 is not committed here yet, only 7")
    assert trio.current_time() - before == pytest.approx(COMMIT_SECONDS)
    assert await asker.ask(Read(7, b"book")) == Answer(7, b"7 book")


class TestPrimary:
    """It applies before the commit, and tells nothing of that."""

    @pytest.fixture
    def primary(self, host) -> FakeReplica:
        host.replica.role = Role.PRIMARY
        host.replica.applied_tx = 9
        return host.replica

    async def test_an_answer_is_held_until_what_it_shows_is_committed(self, host, primary, nursery):
        answers = []
        await asking(nursery, host.connect(), Read(7, b"book"), answers)
        primary.applied_tx = 12  # what comes later is in no answer that is made already
        primary.commit(8)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        primary.commit(9)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [Answer(9, b"9 book")]

    @pytest.mark.parametrize("change", ["epoch", "role"])
    async def test_what_another_primary_commits_releases_no_answer(self, host, primary, nursery, change):
        answers = []
        await asking(nursery, host.connect(), Read(7, b"book"), answers)
        if change == "epoch":
            primary.epoch += 1
        else:
            primary.role = Role.BACKUP
        primary.commit(9)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [Refused("transaction 9 was not committed by the primary of epoch 1")]

    async def test_an_answer_whose_state_is_never_committed_is_not_given(self, host, primary, autojump_clock):
        assert isinstance(await host.connect().ask(Read(7, b"book")), Refused)

    async def test_a_deposed_one_shows_nothing_of_what_it_had_applied(self, host, primary):
        primary.role = Role.CATCHING_UP
        refused = await host.connect().ask(Read(7, b"book"))
        assert refused == Refused("transactions 8 to 9 were applied here by a deposed primary")


class TestLong:
    """A question that takes long is answered by another process, from the state as it was when it was asked."""

    @pytest.fixture
    def gate(self, tmp_path) -> Path:
        """An answer takes until somebody writes here."""
        os.mkfifo(tmp_path / "gate")
        return tmp_path / "gate"

    @pytest.fixture
    def question(self, gate) -> bytes:
        return b"child %s" % bytes(gate)

    async def open(self, gate: Path) -> None:
        await trio.to_thread.run_sync(gate.write_bytes, b"go")

    async def test_the_replica_goes_on_meanwhile(self, host, nursery, gate, question):
        answers = []
        await asking(nursery, host.connect(), Read(7, question), answers)
        host.replica.commit(8)
        assert await host.connect().ask(Read(8, b"book")) == Answer(8, b"8 book")
        assert answers == []
        await self.open(gate)
        while not answers:
            await trio.lowlevel.checkpoint()
        assert answers == [Answer(7, b"7 " + question)]

    async def test_one_at_a_time(self, host, nursery, gate, question):
        answers = []
        await asking(nursery, host.connect(), Read(7, question), answers)
        await asking(nursery, host.connect(), Read(7, question), answers)
        host.replica.commit(8)
        for number in (1, 2):
            await self.open(gate)
            while len(answers) < number:
                await trio.lowlevel.checkpoint()
        assert answers == [Answer(7, b"7 " + question), Answer(8, b"8 " + question)]

    @pytest.mark.parametrize("change", ["", "epoch"])
    async def test_of_a_primary_it_is_held_until_its_own_commit(self, host, nursery, gate, question, change):
        replica = host.replica
        replica.role = Role.PRIMARY
        replica.applied_tx = 9
        answers = []
        await asking(nursery, host.connect(), Read(7, question), answers)
        await self.open(gate)
        while not replica.waiting:
            await trio.lowlevel.checkpoint()
        assert (answers, replica.waiting) == ([], [9])
        replica.epoch += bool(change)
        replica.commit(9)
        await trio.testing.wait_all_tasks_blocked()
        lost = Refused("transaction 9 was not committed by the primary of epoch 1")
        assert answers == [lost if change else Answer(9, b"9 " + question)]

    async def test_what_goes_wrong_is_told(self, host):
        asker = host.connect()
        refused = await asker.ask(Read(7, b"child nowhere/x"))
        assert isinstance(refused, Refused)
        assert "the answer was not made: FileNotFoundError" in refused.text
        refused = await asker.ask(Read(7, b"child too long"))
        assert isinstance(refused, Refused)
        assert "it has 5000 bytes" in refused.text
        assert await asker.ask(Read(7, b"book")) == Answer(7, b"7 book")


async def test_a_question_that_breaks_the_answering_ends_its_connection_alone(host, caplog):
    witness, asker = host.connect(), host.connect()
    await witness.ask(AskPosition())
    with caplog.at_level(logging.CRITICAL), pytest.raises(LinkError, match="could not be answered: ZeroDivisionError"):
        await asker.ask(Read(7, b"bug"))
    assert await witness.ask(Read(7, b"book")) == Answer(7, b"7 book")


async def test_an_answer_that_is_too_long_is_refused(host):
    asker = host.connect()
    refused = await asker.ask(Read(7, b"long"))
    assert isinstance(refused, Refused)
    assert "ask for less" in refused.text


async def test_a_connections_requests_are_paced(host, autojump_clock):
    asker, other = host.connect(), host.connect()
    before = trio.current_time()
    for _ in range(220):
        await asker.ask(AskPosition())
    assert trio.current_time() - before == pytest.approx(1, abs=0.01)
    await other.ask(AskPosition())
    assert trio.current_time() - before == pytest.approx(1, abs=0.01)


# Snapshots


async def chunks_of(asker: Connection, head: SnapshotHead) -> bytes:
    data = b""
    while len(data) < head.size:
        chunk = await asker.next_reply()
        assert isinstance(chunk, Chunk)
        data += chunk.data
    return data


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5])
async def test_a_snapshot_in_chunks(host, tmp_path, size):
    host.replica.snapshot = tmp_path / "00007.snapshot"
    host.replica.snapshot.write_bytes(bytes(index % 251 for index in range(size)))
    asker = host.connect()
    head = await asker.ask(AskSnapshot(5))
    assert head == SnapshotHead(7, size)
    assert await chunks_of(asker, head) == host.replica.snapshot.read_bytes()
    assert await asker.ask(AskPosition()) == host.replica.position()


async def test_a_snapshot_that_is_not_there_or_too_old(host, tmp_path):
    asker = host.connect()
    assert await asker.ask(AskSnapshot(5)) == Refused("there is no snapshot here")
    host.replica.snapshot = tmp_path / "4.snapshot"
    text = "the newest snapshot here is of transaction 4, before 5"
    assert await asker.ask(AskSnapshot(5)) == Refused(text)
    assert await asker.ask(TakeSnapshot()) == Taken(7)
    assert await asker.ask(AskSnapshot(5)) == SnapshotHead(7, len(encoded(7, b"state")))


async def test_a_primary_says_that_it_takes_none(host):
    host.replica.role = Role.PRIMARY
    assert await host.connect().ask(TakeSnapshot()) == Refused("a primary takes none")


async def test_a_snapshot_file_that_cannot_be_read_ends_the_connection_alone(host, tmp_path, caplog):
    host.replica.snapshot = tmp_path / "7.snapshot"
    with caplog.at_level(logging.CRITICAL), pytest.raises(LinkError, match="No such file"):
        await host.connect().ask(AskSnapshot(5))
    assert host.service.snapshots == 0


async def test_few_snapshots_are_sent_at_a_time(host, nursery, tmp_path):
    host.replica.snapshot = tmp_path / "7.snapshot"
    host.replica.snapshot.write_bytes(bytes(40 * CHUNK_BYTES))
    slow = []
    for _ in range(MAX_SNAPSHOTS):
        ours, theirs = trio.testing.lockstep_stream_pair()  # holds nothing that was not read
        nursery.start_soon(host.service.serve, theirs)
        slow.append(Connection(ServiceClient(1, 1, KEY, b"c" * 32), ours))
        await slow[-1].ask(AskSnapshot(5))
    asker = host.connect()
    refused = Refused(f"{MAX_SNAPSHOTS} snapshots are being sent already: ask another replica")
    assert await asker.ask(AskSnapshot(5)) == refused
    await slow[0].close()
    with trio.fail_after(20):
        while host.service.snapshots == MAX_SNAPSHOTS:  # its file is closed in a thread
            await trio.lowlevel.checkpoint()
    assert isinstance(await asker.ask(AskSnapshot(5)), SnapshotHead)
    await slow[1].close()


# Bad peers


async def closed(stream: trio.StapledStream) -> bytes:
    """Everything up to the end of the stream."""
    data = b""
    while more := await stream.receive_some(65_536):
        data += more
    return data


async def test_strangers_have_three_seconds(host, autojump_clock):
    silent = host.stranger()
    before = trio.current_time()
    assert b"no login within 3 s" in await closed(silent)
    assert trio.current_time() - before == pytest.approx(3)


async def test_connections_that_only_sit_there_keep_nobody_out(host):
    crowd = [host.stranger()]
    await trio.testing.wait_all_tasks_blocked()
    crowd += [host.stranger() for _ in range(3 * MAX_STRANGERS)]
    await trio.testing.wait_all_tasks_blocked()
    assert await host.connect().ask(AskPosition()) == host.replica.position()
    assert len(host.service._strangers) <= MAX_STRANGERS
    assert await closed(crowd[0])


async def test_who_holds_the_key_is_bounded_too(host):
    askers = []
    for _ in range(MAX_CONNECTIONS):
        askers.append(host.connect())
        await askers[-1].ask(AskPosition())
    with pytest.raises(LinkError, match=f"{MAX_CONNECTIONS} connections are the most"):
        await host.connect().ask(AskPosition())
    await askers[0].close()
    await trio.testing.wait_all_tasks_blocked()
    assert await host.connect().ask(AskPosition()) == host.replica.position()


async def test_an_asker_that_leaves_while_its_read_waits_is_forgotten_at_once(host, autojump_clock, nursery):
    asker = host.connect()
    with trio.move_on_after(1):
        await asker.ask(Read(9, b"book"))
    assert len(host.service._known) == 1
    await asker.close()
    await trio.testing.wait_all_tasks_blocked()
    assert not host.service._known


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=6), st.booleans(), st.data())
def test_whatever_bytes_come_a_witness_is_served(chunks, logs_in, data):
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            host = Host(nursery, FakeReplica(tx=7))
            witness = host.connect()
            await witness.ask(AskPosition())
            bad = host.connect() if logs_in else None
            if bad is not None:
                await bad.ask(AskPosition())
            stream = host.stranger() if bad is None else bad._stream
            for chunk in chunks:
                whole = data.draw(st.integers(0, 20)).to_bytes(1, "big") + chunk
                framed = len(whole).to_bytes(4, "big") + whole if data.draw(st.booleans()) else chunk
                try:
                    await stream.send_all(framed)
                except trio.BrokenResourceError:
                    break
            await trio.testing.wait_all_tasks_blocked()
            assert await witness.ask(Read(7, b"book")) == Answer(7, b"7 book")
            nursery.cancel_scope.cancel()

    logging.disable(logging.CRITICAL)
    try:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        logging.disable(logging.NOTSET)
