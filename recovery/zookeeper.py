"""The coordinator of more than one machine: a znode per shard, in a ZooKeeper ensemble.

    <root>/shards/<shard>                      the Record, as JSON; its version is the znode's
    <root>/shards/<shard>/replicas/<replica>   ephemeral, a hint: this replica's process lives, and where its links are
    <root>/barrier                             written before each read of a record

- Only compare-and-set is relied upon. No lock, no election recipe, no session's expiry: safety must not hang on when
  somebody notices something.
- A server may be behind the others, and even a `sync` may be answered by a leader that has been deposed and does not
  know it. A replica that has lost its disk trusts in the epoch that it reads. So a read comes after a write of the same
  session, which a majority has to agree to. A glance does not: the compare-and-set that follows it fails if it was old.
- A watch wakes who waits for a change, and is lost with the connection; so the version is looked at every second too.
- An outage stops nobody: `wait_changed` and `register` wait through it, all else raises CoordinatorUnavailable in time.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from kazoo.protocol.states import WatchedEvent

from recovery.coordinator import Address, CoordinatorUnavailable, Record
from recovery.zookeeper_client import REFUSALS, TlsFiles, ZooKeeperClient, ZooKeeperSettings

__all__ = ["TlsFiles", "ZooKeeper", "ZooKeeperCoordinator", "ZooKeeperSettings", "open_zookeeper"]

POLL_SECONDS = 1.0
REGISTER_SECONDS = 2.0
"""How often it is looked whether our ephemeral znodes are there: a hint may be late."""

_log = logging.getLogger(__name__)


class ZooKeeperCoordinator:
    """Of one shard: a `Coordinator`.

    Version 0 is no znode yet, else it is the znode's plus one. The znode may be there without a record, as the parent
    of the registrations.
    """

    def __init__(self, zookeeper: "ZooKeeper", shard_id: int) -> None:
        self._zookeeper = zookeeper
        self._client = zookeeper.client
        self._barrier = f"{zookeeper.root}/barrier"
        self._path = f"{zookeeper.root}/shards/{shard_id}"
        self._changed = trio.Event()

    async def read(self) -> tuple[Record, int]:
        while True:
            written, found = await self._client.ask(
                lambda kazoo: kazoo.set_async(self._barrier, b""), lambda kazoo: kazoo.get_async(self._path)
            )
            if isinstance(written, REFUSALS):
                await self._client.ask(lambda kazoo: kazoo.create_async(self._barrier, makepath=True))
            else:
                return self._found(found)

    async def glance(self) -> tuple[Record, int]:
        """Without the barrier's write, which takes as long as all the rest of a change of the epoch."""
        (found,) = await self._client.ask(lambda kazoo: kazoo.get_async(self._path))
        return self._found(found)

    def _found(self, found: Any) -> tuple[Record, int]:
        if isinstance(found, REFUSALS):
            return Record(), 0
        data, stat = found
        return self._decode(data), stat.version + 1

    def _decode(self, data: bytes) -> Record:
        try:
            return msgspec.json.decode(data, type=Record) if data else Record()
        except msgspec.DecodeError as error:
            raise CoordinatorUnavailable(f"ZooKeeper: {self._path} does not hold a record: {error}") from error

    async def write(self, record: Record, version: int) -> bool:
        data = msgspec.json.encode(record)
        (answer,) = await self._client.ask(
            (lambda kazoo: kazoo.set_async(self._path, data, version=version - 1))
            if version
            else (lambda kazoo: kazoo.create_async(self._path, data, makepath=True))
        )
        return not isinstance(answer, REFUSALS)

    async def wait_changed(self, version: int) -> None:
        while True:
            changed = self._changed
            try:
                (stat,) = await self._client.ask(lambda kazoo: kazoo.exists_async(self._path, watch=self._woken))
            except CoordinatorUnavailable:
                await trio.sleep(POLL_SECONDS)
                continue
            if (stat.version + 1 if stat else 0) != version:
                return
            with trio.move_on_after(POLL_SECONDS):
                await changed.wait()

    def _woken(self, _event: WatchedEvent) -> None:
        """In a thread of kazoo's. One and the same function for every watch: kazoo keeps it once."""
        self._client.in_trio(self._wake)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def register(self, replica: int, address: Address) -> None:
        self._zookeeper.register(f"{self._path}/replicas/{replica}", msgspec.json.encode(address))


class ZooKeeper:
    """The one connection of a process, for all its shards. See `open_zookeeper`."""

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self.root = settings.root
        self.client = ZooKeeperClient(settings)
        self._registered: dict[str, bytes] = {}
        self._more = trio.Event()

    def shard(self, shard_id: int) -> ZooKeeperCoordinator:
        return ZooKeeperCoordinator(self, shard_id)

    def register(self, path: str, data: bytes) -> None:
        """Keep an ephemeral znode there from now on."""
        self._registered[path] = data
        self._more.set()

    async def keep_registered(self) -> None:
        """For ever: ephemeral znodes go with their session, and a session may end whenever the connection is lost."""
        while True:
            self._more = trio.Event()
            for path, data in list(self._registered.items()):
                try:
                    await self._put(path, data)
                except CoordinatorUnavailable as error:
                    _log.info("%s is not registered: %s", path, error)
            with trio.move_on_after(REGISTER_SECONDS if self._registered else float("inf")):
                await self._more.wait()

    async def _put(self, path: str, data: bytes) -> None:
        """Ours, with this content. What a former life has left there would go with its session: it is taken away."""
        (found,) = await self.client.ask(lambda kazoo: kazoo.get_async(path))
        if not isinstance(found, REFUSALS):
            known, stat = found
            if stat.ephemeralOwner == self.client.session_id and known == data:
                return
            await self.client.ask(lambda kazoo: kazoo.delete_async(path, stat.version))
        await self.client.ask(lambda kazoo: kazoo.create_async(path, data, ephemeral=True, makepath=True))


@asynccontextmanager
async def open_zookeeper(settings: ZooKeeperSettings) -> AsyncIterator[ZooKeeper]:
    """A connection that is looked for as long as this is open. It need not be there: opening does not wait for it."""
    zookeeper = ZooKeeper(settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(zookeeper.client.run)
        nursery.start_soon(zookeeper.keep_registered)
        yield zookeeper
        nursery.cancel_scope.cancel()
