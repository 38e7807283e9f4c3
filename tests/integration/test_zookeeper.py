"""The coordinator on a real ZooKeeper, whose servers are killed and paused.

`trio.fail_after` in here says how long a thing may take at the very most; it is far more than it takes.
"""

import logging
import subprocess
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing
from kazoo.exceptions import NoNodeError

from recovery import zookeeper as zookeeper_module
from recovery import zookeeper_client
from recovery.coordinator import Address, CoordinatorUnavailable, Record, raise_epoch
from recovery.zookeeper import TlsFiles, ZooKeeperSettings, open_zookeeper
from recovery.zookeeper_client import ANSWER_SECONDS, STOP_SECONDS
from tests.zookeeper import start_ensemble

pytestmark = pytest.mark.interop  # ZooKeeper must be there where CI=true

PATIENCE = 20


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """One server. A test that kills or pauses it leaves it running."""
    ensemble = start_ensemble(tmp_path_factory.mktemp("lone"))
    try:
        trio.run(ensemble.wait_serving)
        yield ensemble
    finally:
        ensemble.kill()


@pytest.fixture
def settings(lone, request):
    return ZooKeeperSettings(lone.hosts, f"/{request.node.name.partition('[')[0]}", "fixgw", "secret")


@pytest.fixture
def patient(monkeypatch):
    """A server that keeps its disk waiting for a second has not failed, where no failure is the test's matter."""
    monkeypatch.setattr(zookeeper_client, "ANSWER_SECONDS", float(PATIENCE))


async def raise_patiently(coordinator, owner):
    """The epoch, however often it takes; each try has its own deadline."""
    with trio.fail_after(PATIENCE):
        while True:
            try:
                with trio.fail_after(2 * ANSWER_SECONDS + 1):
                    epoch = await raise_epoch(coordinator, owner, 0)
                if epoch is not None:
                    return epoch
            except CoordinatorUnavailable:
                await trio.lowlevel.checkpoint()


async def ask(zookeeper, method, *arguments):
    (answer,) = await zookeeper.client.ask(lambda kazoo: getattr(kazoo, method)(*arguments))
    return answer


async def wait_for(zookeeper, wanted, method, *arguments):
    with trio.fail_after(PATIENCE):
        while not wanted(await ask(zookeeper, method, *arguments)):  # noqa: ASYNC110 - another process changes it
            await trio.sleep(0.02)


@pytest.mark.usefixtures("patient")
async def test_each_epoch_is_given_to_one_replica_only(settings):
    given = []

    async def contend(coordinator, owner):
        for _ in range(15):
            epoch = await raise_epoch(coordinator, owner, 0)
            if epoch is not None:
                given.append((epoch, owner))

    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(open_zookeeper(settings)) for _ in range(3)]
        async with trio.open_nursery() as nursery:
            for owner in range(1, 10):
                nursery.start_soon(contend, processes[owner % 3].shard(1), owner)
        record, version = await processes[0].shard(1).read()
        assert (await processes[1].shard(2).read()) == (Record(), 0)
    epochs = sorted(epoch for epoch, _ in given)
    assert epochs == list(range(1, len(epochs) + 1))
    assert (record.epoch, record.owner) == max(given)
    assert version == len(epochs)


@pytest.mark.usefixtures("patient")
async def test_a_read_is_never_older_than_a_write_before_it(settings):
    async with open_zookeeper(settings) as one, open_zookeeper(settings) as other:
        for epoch in range(1, 20):
            assert await one.shard(1).write(Record(epoch=epoch), epoch - 1)
            record, version = await other.shard(1).read()
            assert (record.epoch, version) == (epoch, epoch)
        assert not await other.shard(1).write(Record(epoch=1), 0)
        assert not await other.shard(1).write(Record(epoch=1), 5)
        assert not await other.shard(2).write(Record(epoch=1), 1)


@pytest.mark.usefixtures("patient")
async def test_who_waits_is_woken_by_the_change_and_not_by_looking(settings, monkeypatch):
    monkeypatch.setattr(zookeeper_module, "POLL_SECONDS", 10 * PATIENCE)
    async with open_zookeeper(settings) as one, open_zookeeper(settings) as other:
        _, version = await one.shard(1).read()
        for _ in range(3):  # the first makes the znode
            with trio.fail_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(one.shard(1).wait_changed, version)
                    nursery.start_soon(one.shard(1).wait_changed, version)
                    await trio.testing.wait_all_tasks_blocked(0.05)
                    await raise_epoch(other.shard(1), 1, 0)
            _, version = await one.shard(1).read()


@pytest.mark.parametrize(("username", "password"), [("", ""), ("fixgw", "guessed"), ("other", "secret")])
@pytest.mark.usefixtures("patient")
async def test_without_the_password_nothing_is_read_or_written(settings, username, password):
    stranger = ZooKeeperSettings(settings.hosts, settings.root, username, password)
    async with open_zookeeper(settings) as ours, open_zookeeper(stranger) as theirs:
        await raise_epoch(ours.shard(1), 1, 0)
        found = await ours.shard(1).read()
        for attempt in (
            theirs.shard(1).read(),
            theirs.shard(1).write(Record(epoch=9), found[1]),
            theirs.shard(2).write(Record(epoch=9), 0),
        ):
            with pytest.raises(CoordinatorUnavailable, match="may not do this; is the password the one"):
                await attempt
        assert await ours.shard(1).read() == found


@pytest.mark.usefixtures("patient")
async def test_a_registration_lasts_as_long_as_its_process_and_is_taken_over_by_the_next_life(settings):
    path = f"{settings.root}/shards/1/replicas/2"
    async with open_zookeeper(settings) as watching:
        async with open_zookeeper(settings) as former, open_zookeeper(settings) as next_life:
            await former.shard(1).register(2, Address("10.0.0.1", 7001))
            await wait_for(watching, lambda found: not isinstance(found, NoNodeError), "get_async", path)
            await next_life.shard(1).register(2, Address("10.0.0.2", 7001))
            wanted = b'["10.0.0.2",7001]'
            await wait_for(
                watching, lambda found: not isinstance(found, NoNodeError) and found[0] == wanted, "get_async", path
            )
        await wait_for(watching, lambda found: isinstance(found, NoNodeError), "get_async", path)


async def test_a_start_without_zookeeper_waits_for_nothing_and_a_restart_is_survived(lone, settings, monkeypatch):
    monkeypatch.setattr(zookeeper_module, "REGISTER_SECONDS", 0.05)
    (server,) = lone.servers
    server.kill()
    async with open_zookeeper(settings) as zookeeper:
        coordinator = zookeeper.shard(1)
        await coordinator.register(2, Address("10.0.0.1", 7001))
        with trio.fail_after(ANSWER_SECONDS + 2), pytest.raises(CoordinatorUnavailable, match=server.address):
            await coordinator.read()
        server.start()
        assert await raise_patiently(coordinator, 2) >= 1
        _, version = await coordinator.read()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(coordinator.wait_changed, version)
            server.kill()
            server.start()
            await raise_patiently(coordinator, 2)
        path = f"{settings.root}/shards/1/replicas/2"
        await wait_for(zookeeper, lambda found: not isinstance(found, NoNodeError), "get_async", path)


async def test_a_hung_server_keeps_nobody_beyond_the_deadline(lone, settings):
    (server,) = lone.servers
    failures = []

    async def ask_and_fail(coordinator):
        for _ in range(3):
            with pytest.raises(CoordinatorUnavailable) as failure:
                await coordinator.read()
            failures.append(str(failure.value))

    async with open_zookeeper(settings) as zookeeper:
        assert await raise_patiently(zookeeper.shard(1), 1) == 1
        with server.paused(), trio.fail_after(3 * ANSWER_SECONDS + 3):
            async with trio.open_nursery() as nursery:
                for shard in range(1, 6):
                    nursery.start_soon(ask_and_fail, zookeeper.shard(shard))
        assert len(failures) == 15
        assert "did not answer within 1 s (connected)" in failures[0]
        assert await raise_patiently(zookeeper.shard(1), 1) == 2


@pytest.mark.usefixtures("patient")
async def test_closing_waits_for_no_hung_server(lone, settings, caplog):
    (server,) = lone.servers
    async with open_zookeeper(settings) as zookeeper:
        await zookeeper.shard(1).read()
        server.pause()
        leaving = trio.current_time()
    server.go_on()
    assert trio.current_time() - leaving < 2 * STOP_SECONDS + 5
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.slow
async def test_one_server_of_three_may_die_or_hang_and_all_may_come_back(tmp_path):
    ensemble = start_ensemble(tmp_path, 3)
    try:
        await ensemble.wait_serving()
        settings = ZooKeeperSettings(ensemble.hosts)
        async with open_zookeeper(settings) as one, open_zookeeper(settings) as other:
            epoch = await raise_patiently(one.shard(1), 1)
            (await ensemble.leader()).kill()
            assert await raise_patiently(one.shard(1), 1) > epoch
            assert await raise_patiently(other.shard(1), 2) > epoch
            await ensemble.wait_serving()
            leader = await ensemble.leader()
            follower = next(server for server in ensemble.servers if server is not leader)
            for server in (leader, follower):
                with server.paused():
                    epoch = await raise_patiently(one.shard(1), 1)
                    assert await raise_patiently(other.shard(1), 2) > epoch
                await ensemble.wait_serving()
            ensemble.kill()
            with trio.fail_after(ANSWER_SECONDS + 2), pytest.raises(CoordinatorUnavailable):
                await one.shard(1).read()
            await ensemble.wait_serving()
            epoch, owner = await raise_patiently(other.shard(1), 2), 2
            record, _ = await one.shard(1).read()
            assert (record.epoch, record.owner) == (epoch, owner)
    finally:
        ensemble.kill()


def make_certificates(directory):
    """An authority, and a server and a client that it vouches for."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    new_key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl("req", "-x509", *new_key, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "client"):
        openssl("req", *new_key[:3], "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (directory / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext")
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    (directory / "keys.pem").write_text((directory / "server.key").read_text() + (directory / "server.pem").read_text())


async def test_tls_both_ways_and_none_for_who_has_no_certificate(tmp_path):
    make_certificates(tmp_path)
    server_side = {
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "ssl.keyStore.location": str(tmp_path / "keys.pem"),
        "ssl.keyStore.type": "PEM",
        "ssl.trustStore.location": str(tmp_path / "ca.pem"),
        "ssl.trustStore.type": "PEM",
        "ssl.clientAuth": "need",
    }
    ensemble = start_ensemble(tmp_path, settings=server_side, secure=True)
    try:
        await ensemble.wait_serving()
        hosts = (ensemble.servers[0].secure_address,)
        ca, certificate, key = (tmp_path / name for name in ("ca.pem", "client.pem", "client.key"))
        for tls, told in [
            (None, "not answer"),
            (TlsFiles(ca), "not answer"),
            (TlsFiles(certificate, certificate, key), "certificate verify failed"),
        ]:
            async with open_zookeeper(ZooKeeperSettings(hosts, tls=tls)) as zookeeper:
                with pytest.raises(CoordinatorUnavailable, match=told):
                    await zookeeper.shard(1).read()
        async with open_zookeeper(ZooKeeperSettings(hosts, tls=TlsFiles(ca, certificate, key))) as zookeeper:
            for epoch in range(1, 30):
                assert await raise_patiently(zookeeper.shard(1), 1) == epoch
    finally:
        ensemble.kill()
