"""Coordinators as the configuration says: files that several processes share, or ZooKeeper with its secrets."""

from pathlib import Path

import pytest

from fixgw.config import load
from fixgw.config_shards import Coordination
from fixgw.coordinators import open_coordinators, zookeeper_settings
from recovery.coordinator import raise_epoch
from tests.venue import Venue


async def test_files_are_shared_by_all_who_read_the_same_configuration(tmp_path: Path) -> None:
    config = load(Venue(tmp_path / "venue", replicas=3).file)
    async with open_coordinators(config) as one, open_coordinators(config) as other:
        assert await raise_epoch(one(1), owner=2, above=0) == 1
        assert await raise_epoch(other(1), owner=3, above=0) == 2
        assert (await one(1).read())[0].owner == 3
        assert (await one(2).read())[0].epoch == 0, "another shard has epochs of its own"


def coordination(tmp_path: Path, **more: object) -> Coordination:
    section = {"kind": "zookeeper", "hosts": ["zoo1:2181", "zoo2:2181"], **more}
    return Coordination.model_validate(section, context={"directory": tmp_path})


def test_zookeeper_is_told_everything(tmp_path: Path) -> None:
    for name in ("ca.pem", "c.pem", "k.pem"):
        (tmp_path / name).write_text("x")
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("hunter2\n")
    settings = zookeeper_settings(
        coordination(
            tmp_path,
            root="/ex",
            username="u",
            password_file="secret",
            tls={"ca": "ca.pem", "certificate": "c.pem", "key": "k.pem"},
        )
    )
    assert settings.hosts == ("zoo1:2181", "zoo2:2181")
    assert (settings.root, settings.username, settings.password) == ("/ex", "u", "hunter2")
    assert settings.tls == (tmp_path / "ca.pem", tmp_path / "c.pem", tmp_path / "k.pem")


def test_a_secret_that_others_may_read_or_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o640)
    with pytest.raises(OSError, match="others may read ZooKeeper's password: chmod 600 it") as caught:
        zookeeper_settings(coordination(tmp_path, username="u", password_file="secret"))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(OSError, match="No such file"):
        zookeeper_settings(coordination(tmp_path, username="u", password_file="nothing"))
    with pytest.raises(OSError, match=r"No such file .*ca\.pem"):
        zookeeper_settings(coordination(tmp_path, tls={"ca": "ca.pem"}))
