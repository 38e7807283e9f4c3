"""The coordinator on a ZooKeeper in memory, whose answers can be kept back; tests/integration has a real one."""

import logging
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from kazoo.exceptions import BadVersionError, ConnectionLoss, NodeExistsError, NoNodeError
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import KazooState
from kazoo.retry import ForceRetryError, KazooRetry

from recovery import zookeeper_client
from recovery.coordinator import Address, CoordinatorUnavailable, Record, announce, raise_epoch
from recovery.zookeeper import POLL_SECONDS, TlsFiles, ZooKeeper, ZooKeeperSettings, open_zookeeper
from recovery.zookeeper_client import ANSWER_SECONDS, PAUSE_SECONDS, RECONNECTED_SECONDS

SETTINGS = ZooKeeperSettings(("127.0.0.1:1",), "/venue")
PATH = "/venue/shards/1"


class Znodes:
    """What the servers hold: path → data, version, owner."""

    def __init__(self):
        self.nodes = {}

    def get(self, path):
        if path not in self.nodes:
            raise NoNodeError
        data, version, owner = self.nodes[path]
        return data, SimpleNamespace(version=version, ephemeralOwner=owner)

    def set(self, path, data, version=-1):
        _, stat = self.get(path)
        if version not in (-1, stat.version):
            raise BadVersionError
        self.nodes[path] = data, stat.version + 1, stat.ephemeralOwner

    def create(self, path, data=b"", owner=0):
        if path in self.nodes:
            raise NodeExistsError
        parent = path.rpartition("/")[0]
        if parent:
            self.nodes.setdefault(parent, (b"", 0, 0))
        self.nodes[path] = data, 0, owner

    def delete(self, path, version=-1):
        del self.nodes[path]


class Kazoo:
    """As much of kazoo's client as is used, without threads. While it is `hung`, requests are kept back."""

    def __init__(self, znodes, handler, options):
        self.znodes, self.handler, self.options = znodes, handler, options
        self.client_id = (1, b"")
        self.hung = False
        self.kept_back = []
        self.watches = []
        self.started = self.stopped = False

    def add_listener(self, listener):
        self.listener = listener

    def start_async(self):
        self.started = True
        self.listener(KazooState.CONNECTED)

    def stop(self):
        self.stopped = True

    def close(self):
        assert self.stopped

    def _later(self, do, *arguments):
        result = self.handler.async_result()

        def answer():
            try:
                result.set(do(*arguments))
            except Exception as error:
                result.set_exception(error)

        if self.hung:
            self.kept_back.append(answer)
        else:
            answer()
        return result

    def get_async(self, path):
        return self._later(self.znodes.get, path)

    def set_async(self, path, data, version=-1):
        return self._later(self.znodes.set, path, data, version)

    def delete_async(self, path, version):
        return self._later(self.znodes.delete, path, version)

    def create_async(self, path, data=b"", makepath=False, ephemeral=False):
        assert makepath
        return self._later(self.znodes.create, path, data, self.client_id[0] if ephemeral else 0)

    def exists_async(self, path, watch):
        self.watches.append(watch)
        return self._later(lambda: self.znodes.get(path)[1] if path in self.znodes.nodes else None)


@pytest.fixture
def znodes():
    return Znodes()


@pytest.fixture
def clients(monkeypatch, znodes):
    """Every kazoo client that was made."""
    made = []

    def make(*, handler, **options):
        made.append(Kazoo(znodes, handler, options))
        return made[-1]

    monkeypatch.setattr(zookeeper_client, "KazooClient", make)
    return made


@pytest.fixture
async def zookeeper(clients):
    """Connected already, and nobody sees to it that it stays so."""
    made = ZooKeeper(SETTINGS)
    clients[0].start_async()
    return made


@pytest.fixture
def kazoo(zookeeper, clients):
    return clients[0]


async def test_the_first_epoch_makes_the_znode_and_the_next_ones_count_its_version(zookeeper, znodes):
    coordinator = zookeeper.shard(1)
    assert await coordinator.read() == (Record(), 0)
    assert await raise_epoch(coordinator, 2, 0) == 1
    assert await raise_epoch(coordinator, 3, 6) == 7
    await announce(coordinator, 3, 7)
    assert await coordinator.read() == (Record(epoch=7, owner=3, serving=True), 3)
    assert b'"epoch":7' in znodes.get(PATH)[0]


async def test_a_write_with_another_version_than_the_present_one_changes_nothing(zookeeper):
    coordinator = zookeeper.shard(1)
    assert await coordinator.write(Record(epoch=1), 0)
    assert await coordinator.write(Record(epoch=2), 1)
    for version in (0, 1, 3):
        assert not await coordinator.write(Record(epoch=9), version)
    assert not await zookeeper.shard(2).write(Record(epoch=9), 1)
    assert await coordinator.read() == (Record(epoch=2), 2)


async def test_a_read_comes_after_a_write_that_a_majority_agrees_to(zookeeper, znodes):
    for count in (1, 2, 3):
        await zookeeper.shard(1).read()
        assert znodes.get("/venue/barrier")[1].version == count


async def test_a_glance_writes_nothing(zookeeper, znodes):
    coordinator = zookeeper.shard(1)
    assert await coordinator.glance() == (Record(), 0)
    assert await raise_epoch(coordinator, 2, 0) == 1
    record, version = await coordinator.glance()
    assert (record.epoch, record.owner, version) == (1, 2, 1)
    assert "/venue/barrier" not in znodes.nodes


async def test_a_znode_that_is_only_the_parent_of_registrations_holds_no_record(zookeeper, znodes):
    znodes.create(f"{PATH}/replicas")
    coordinator = zookeeper.shard(1)
    assert await coordinator.read() == (Record(), 1)
    assert await raise_epoch(coordinator, 2, 0) == 1


async def test_a_znode_that_holds_something_else_is_unavailable(zookeeper, znodes):
    znodes.create(PATH, b"not json")
    with pytest.raises(CoordinatorUnavailable, match="/venue/shards/1 does not hold a record"):
        await zookeeper.shard(1).read()


async def test_an_answer_that_does_not_come_is_waited_for_until_the_deadline(
    zookeeper, kazoo, autojump_clock, monkeypatch
):
    cut = []
    monkeypatch.setattr(kazoo.handler, "cut", cut.append)
    kazoo.handler.connection = "the hung one"
    kazoo.hung = True
    began = trio.current_time()
    with pytest.raises(CoordinatorUnavailable, match=r"\(127.0.0.1:1\) did not answer within 1 s \(connected\)"):
        await zookeeper.shard(1).read()
    assert trio.current_time() - began == ANSWER_SECONDS
    assert cut == ["the hung one"]


async def test_a_write_that_takes_place_after_its_deadline_does_no_harm(zookeeper, kazoo, autojump_clock):
    coordinator = zookeeper.shard(1)
    assert await coordinator.write(Record(epoch=1, owner=1), 0)
    kazoo.hung = True
    with pytest.raises(CoordinatorUnavailable):
        await coordinator.write(Record(epoch=2, owner=1), 1)
    with pytest.raises(CoordinatorUnavailable):
        await coordinator.write(Record(epoch=2, owner=2), 1)
    kazoo.hung = False
    for late in kazoo.kept_back:
        late()
    assert await coordinator.read() == (Record(epoch=2, owner=1), 2)
    assert await raise_epoch(coordinator, 2, 0) == 3


async def test_without_a_connection_nothing_is_asked(zookeeper, kazoo, znodes, autojump_clock):
    kazoo.listener(KazooState.SUSPENDED)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(CoordinatorUnavailable, match="not connected; no answer"):
        await zookeeper.shard(1).write(Record(), 0)
    assert not znodes.nodes
    async with trio.open_nursery() as nursery:
        nursery.start_soon(zookeeper.shard(1).write, Record(), 0)
        await trio.testing.wait_all_tasks_blocked()
        kazoo.listener(KazooState.CONNECTED)
    assert PATH in znodes.nodes


async def test_an_answer_has_the_whole_deadline_however_late_the_connection_came(zookeeper, kazoo, autojump_clock):
    kazoo.listener(KazooState.SUSPENDED)
    await trio.testing.wait_all_tasks_blocked()
    kazoo.hung = True

    async def serve_at_last():
        await trio.sleep(0.9 * RECONNECTED_SECONDS)
        kazoo.listener(KazooState.CONNECTED)
        await trio.sleep(0.9 * ANSWER_SECONDS)
        for answer in kazoo.kept_back:
            answer()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_at_last)
        assert await zookeeper.shard(1).write(Record(epoch=1), 0)


async def test_an_attempt_to_connect_that_hangs_is_given_up(zookeeper, kazoo, autojump_clock, monkeypatch):
    cut = []
    monkeypatch.setattr(kazoo.handler, "cut", cut.append)
    kazoo.listener(KazooState.SUSPENDED)
    await trio.testing.wait_all_tasks_blocked()
    kazoo.handler.connection = "to a hung server"
    began = trio.current_time()
    with pytest.raises(CoordinatorUnavailable, match=r"did not answer within 1.5 s \(not connected"):
        await zookeeper.shard(1).read()
    assert trio.current_time() - began == RECONNECTED_SECONDS
    assert cut == ["to a hung server"]


async def test_however_long_the_servers_are_away_the_next_attempt_is_near(kazoo):
    slept = []
    retry = KazooRetry(sleep_func=slept.append, **kazoo.options["connection_retry"])

    def attempt():
        if len(slept) < 100:
            raise ForceRetryError

    retry(attempt)
    assert slept == [PAUSE_SECONDS] * 100


async def test_answers_of_two_sessions_are_not_put_together(zookeeper, kazoo):
    await zookeeper.shard(1).read()
    kazoo.hung = True

    async def answer_in_another_session():
        await trio.testing.wait_all_tasks_blocked()
        kazoo.client_id = (2, b"")
        for answer in kazoo.kept_back:
            answer()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_in_another_session)
        with pytest.raises(CoordinatorUnavailable, match="the session changed"):
            await zookeeper.shard(1).read()


async def test_a_connection_that_is_lost_leaves_the_outcome_open(zookeeper, kazoo, monkeypatch):
    def lose(*_arguments):
        raise ConnectionLoss

    monkeypatch.setattr(kazoo.znodes, "create", lose)
    with pytest.raises(CoordinatorUnavailable, match="ConnectionLoss; what was asked may be done nevertheless"):
        await zookeeper.shard(1).write(Record(), 0)


async def test_who_waits_for_a_change_is_woken_by_a_watch(zookeeper, kazoo):
    coordinator = zookeeper.shard(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(coordinator.wait_changed, 0)
        nursery.start_soon(coordinator.wait_changed, 0)
        await trio.testing.wait_all_tasks_blocked()
        assert len(set(kazoo.watches)) == 1
        await coordinator.write(Record(), 0)
        kazoo.watches[0](None)


async def test_who_waits_for_a_change_sees_it_without_a_watch_and_through_an_outage(zookeeper, kazoo, autojump_clock):
    coordinator = zookeeper.shard(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(coordinator.wait_changed, 0)
        await trio.sleep(3 * POLL_SECONDS)
        kazoo.hung = True
        await trio.sleep(5 * ANSWER_SECONDS)
        kazoo.hung = False
        await raise_epoch(zookeeper.shard(1), 1, 0)


async def test_a_registration_is_made_again_whenever_it_is_gone(zookeeper, kazoo, znodes, autojump_clock):
    path = f"{PATH}/replicas/2"
    znodes.create(path, b"of a former life", owner=99)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(zookeeper.keep_registered)
        await zookeeper.shard(1).register(2, Address("10.0.0.1", 7001))
        await trio.sleep(0.1)
        assert znodes.nodes[path] == (b'["10.0.0.1",7001]', 0, 1)
        znodes.delete(path)
        kazoo.hung = True
        await trio.sleep(10)
        kazoo.hung = False
        await trio.sleep(10)
        assert znodes.nodes[path] == (b'["10.0.0.1",7001]', 0, 1)
        nursery.cancel_scope.cancel()


async def test_a_client_whose_thread_ended_is_replaced(clients, monkeypatch, caplog):
    monkeypatch.setattr(zookeeper_client, "RESTART_SECONDS", 0)
    with caplog.at_level(logging.ERROR):
        async with open_zookeeper(SETTINGS) as zookeeper:
            await zookeeper.shard(1).write(Record(epoch=1), 0)

            def die():
                raise RuntimeError("xids do not match")

            first = clients[0]
            first.handler.spawn(die).join()
            while len(clients) == 1 or not clients[1].started:
                await trio.testing.wait_all_tasks_blocked()
            first.listener(KazooState.LOST)
            assert (await zookeeper.shard(1).read())[0].epoch == 1
            assert first.stopped
    assert clients[1].stopped
    assert "the ZooKeeper client ended (RuntimeError('xids do not match')); a new one is begun" in caplog.text


async def test_a_connection_that_comes_while_it_is_closed_is_not_told_as_lost(clients, monkeypatch, caplog):
    def connect_and_stop(kazoo):
        kazoo.stopped = True
        kazoo.listener(KazooState.CONNECTED)
        kazoo.listener(KazooState.LOST)

    monkeypatch.setattr(Kazoo, "start_async", lambda _kazoo: None)
    monkeypatch.setattr(Kazoo, "stop", connect_and_stop)
    with caplog.at_level(logging.INFO):
        async with open_zookeeper(SETTINGS):
            await trio.testing.wait_all_tasks_blocked()
    assert clients[0].stopped
    assert caplog.messages == []


async def test_a_thread_of_kazoos_may_outlive_the_run(clients):
    zookeeper = await trio.to_thread.run_sync(trio.run, make_and_leave)
    zookeeper.client.in_trio(print)


async def make_and_leave():
    return ZooKeeper(SETTINGS)


async def test_znodes_are_made_for_who_knows_the_password(clients):
    ZooKeeper(SETTINGS)
    ZooKeeper(ZooKeeperSettings(("127.0.0.1:1", "127.0.0.1:2"), username="fixgw", password="secret"))
    assert clients[0].options.keys().isdisjoint({"auth_data", "default_acl"})
    options = clients[1].options
    assert options["hosts"] == "127.0.0.1:1,127.0.0.1:2"
    assert options["auth_data"] == [("digest", "fixgw:secret")]
    (acl,) = options["default_acl"]
    assert (acl.perms, acl.id.scheme) == (31, "digest")
    assert acl.id.id.startswith("fixgw:")


async def test_the_password_is_not_told():
    assert "secret" not in repr(ZooKeeperSettings(("127.0.0.1:1",), username="fixgw", password="secret"))
    assert not logging.getLogger("recovery.zookeeper_client.kazoo").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize(
    ("hosts", "root", "told"),
    [
        ((), "/fixgw", "no hosts"),
        (("h:1",), "fixgw", "root 'fixgw' is no path"),
        (("h:1",), "/fixgw/", "root '/fixgw/' is no path"),
        (("h:1",), "/a//b", "root '/a//b' is no path"),
        (("h:1",), "/", "root '/' is no path"),
        (("h:1",), "", "root '' is no path"),
    ],
)
def test_settings_that_make_no_sense_are_refused(hosts, root, told):
    with pytest.raises(ValueError, match=told):
        ZooKeeperSettings(hosts, root)


async def test_tls_files_are_looked_at_before_anything_else(tmp_path):
    with pytest.raises(ValueError, match=r"zookeeper: tls: .*ca\.pem: .*No such file"):
        ZooKeeper(ZooKeeperSettings(("h:1",), tls=TlsFiles(tmp_path / "ca.pem")))


async def test_only_the_connection_that_was_silent_is_cut():
    handler = zookeeper_client._Handler(None, lambda: None)
    assert isinstance(handler, SequentialThreadingHandler)
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listener[0].socket.getsockname()
    silent = await trio.to_thread.run_sync(handler.create_connection, address, "127.0.0.1")
    present = await trio.to_thread.run_sync(handler.create_connection, address, "127.0.0.1")
    with silent, present:
        handler.cut(silent)
        handler.cut(None)
        present.send(b"still there")
        handler.cut(present)
        assert present.recv(1) == b""
    handler.cut(present)  # closed meanwhile
    await listener[0].aclose()
