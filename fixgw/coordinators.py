"""Where it is kept who leads each shard, opened as the configuration says: files on one machine, or ZooKeeper."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fixgw.config import Config
from fixgw.config_shards import Coordination
from recovery.coordinator import Coordinator, FileCoordinator
from recovery.zookeeper import open_zookeeper
from recovery.zookeeper_client import TlsFiles, ZooKeeperSettings

CoordinatorOf = Callable[[int], Coordinator]
"""shard_id → its coordinator."""


@asynccontextmanager
async def open_coordinators(config: Config) -> AsyncIterator[CoordinatorOf]:
    """The coordinators of all shards. ZooKeeper need not be there yet; its files must: OSError."""
    if config.coordinator.kind == "file":
        directory = config.venue.data / "coordinator"
        yield lambda shard_id: FileCoordinator(directory / f"shard-{shard_id}.json")
        return
    async with open_zookeeper(zookeeper_settings(config.coordinator)) as zookeeper:
        yield zookeeper.shard


def zookeeper_settings(coordination: Coordination) -> ZooKeeperSettings:
    """What the client needs to know. Raises OSError when a file cannot be used."""
    tls = None
    if coordination.tls is not None:
        tls = TlsFiles(coordination.tls.ca, coordination.tls.certificate, coordination.tls.key)
        for file in filter(None, tls):
            file.open("rb").close()  # now, and not as a warning each time that a connection is tried
    return ZooKeeperSettings(
        hosts=tuple(map(str, coordination.hosts)),
        root=coordination.root,
        username=coordination.username or "",
        password=_secret(coordination.password_file) if coordination.password_file is not None else "",
        tls=tls,
    )


def _secret(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise OSError(f"{path}: others may read ZooKeeper's password: chmod 600 it")
    return path.read_text().rstrip("\n")
