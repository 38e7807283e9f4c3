"""A replica's snapshots as its process handles them: taken when due, fetched from peers, kept two deep.

- A backup takes one at each multiple of `snapshot_every` transactions, all backups at the same ones, so that they can
  compare the state. A forked child (`recovery.forked`) makes the file while the replica goes on.
- A replica whose log nobody can complete any more fetches a peer's, and goes on from it. A primary, which takes none
  itself while others do, fetches a copy too, so that its log and its journal may begin later.
- The journal before the older of the two is let go.

A snapshot that cannot be made or fetched is logged, and the next one may: the journal is what must not fail.
"""

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio

from recovery import snapshot_files
from recovery.alarm import now_ns
from recovery.forked import Child, WorkFailed
from recovery.history import ReplicaDiverged
from recovery.journal import Journal
from recovery.journal_reader import JournalError
from recovery.multicast import Address
from recovery.replayed_log import LogIncomplete
from recovery.replica import Replica, Role
from recovery.service_client import SnapshotUnavailable, fetch_snapshot
from recovery.service_host import Unavailable
from recovery.snapshot import Snapshot, SnapshotDamaged, decode_snapshot, encode_snapshot

RETRY_SECONDS = 0.5
"""Between two attempts to get a snapshot of a peer."""

_log = logging.getLogger(__name__)


DIVERGED = "diverged"
"""A file in a replica's directory that says that it made other bytes, or another state, than the others."""


class ReplicaUnusable(JournalError):
    """What is on a replica's disk makes no log, or not that of the others: rebuild it from them."""


def check_not_diverged(directory: Path) -> None:
    """Raises ReplicaUnusable when this replica has stopped because it and the others do not agree."""
    file = directory / DIVERGED
    if file.exists():
        raise ReplicaUnusable(
            f"{file}: {file.read_text().strip()}. Rebuild this replica from the others; or delete that file, if it is "
            "the others that were wrong"
        )


def mark_diverged(directory: Path, errors: BaseExceptionGroup[ReplicaDiverged]) -> None:
    """So that no supervisor lets this replica vote again before somebody has looked."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    (directory / DIVERGED).write_text(f"{error}\n")


def started_replica(
    directory: Path,
    records: Sequence[tuple[int, int, bytes]],
    make: Callable[[], Replica],
    start: Callable[[Replica], None],
) -> Replica:
    """A replica as its disk makes it: of a snapshot in `directory` that is whole and fits the journal, and the journal.

    The older of the newest two is preferred: what follows it is applied again, so that its messages are there for
    readers that were away, even if no retransmission server has them. `records`: (number, kind, payload) of the whole
    journal. Raises ReplicaUnusable.
    """
    failures = []
    for snapshot in (*snapshot_files.load_for_start(directory), None):
        replica = make()
        try:
            with without_garbage_collection():
                if snapshot is not None:
                    replica.restore(snapshot)
                for number, kind, payload in records:
                    replica.replay(kind, payload, number)
                start(replica)
        except (LogIncomplete, SnapshotDamaged) as error:
            failures.append(str(error))
        else:
            for failure in failures:
                _log.warning("%s: another snapshot is used: %s", directory, failure)
            return replica
    reasons = "; ".join(dict.fromkeys(failures))
    raise ReplicaUnusable(f"{directory.parent}: {reasons}. Rebuild it from the other replicas")


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """For a million objects at once, all of which stay: looking for cycles among them doubles the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Asked:
    """Somebody wants a snapshot made, and waits."""

    def __init__(self) -> None:
        self.tx = 0
        self.refusal = ""
        self.answered = trio.Event()


class SnapshotKeeper:
    """Of one running replica. `flush` ends a batch of its process; `peers` are the other replicas' services."""

    def __init__(
        self,
        replica: Replica,
        journal: Journal,
        directory: Path,
        peers: Mapping[int, Address],
        key: bytes,
        flush: Callable[[], None],
    ) -> None:
        self.directory = directory
        self._replica = replica
        self._journal = journal
        self._peers = peers
        self._key = key
        self._flush = flush
        self.busy = False
        """One is being made, or fetched."""
        self._to_do = trio.Event()
        self._asked: list[_Asked] = []

    def look(self) -> None:
        """After each batch: is there anything to do? Plain and cheap."""
        replica = self._replica
        if replica.snapshot_due is not None:
            if self.busy:
                replica.snapshot_begun()  # left out: applying does not wait for the one before
            else:
                self._to_do.set()
        elif (
            replica.snapshot_wanted() is not None
            or replica.snapshot_offered() is not None
            or replica.snapshots_are_void
        ):
            self._to_do.set()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """From here on another one that is due is left out. No checkpoint: the one that begins here must not be."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    async def run(self) -> None:
        """One at a time. Raises JournalFailed, ReplicaDiverged."""
        while True:
            await self._to_do.wait()
            self._to_do = trio.Event()
            self._drop_void()
            if self._replica.snapshot_due is not None or self._asked:
                await self._take_as_asked()
            elif self._peers:
                await self._fetch()

    def _drop_void(self) -> None:
        """A file that cannot be deleted is no reason to stop: whoever uses it finds that it does not fit the log."""
        void = self._replica.snapshots_void_above()
        if void is None:
            return
        try:
            snapshot_files.drop_above(self.directory, void)
        except OSError as error:
            _log.error("shard %d: snapshots above tx %d stay: %s", self._replica.shard_id, void, error)

    async def take(self) -> int:
        """Have one made of what is applied then; gives its tx. Raises Unavailable."""
        asked = _Asked()
        self._asked.append(asked)
        self._to_do.set()
        await asked.answered.wait()
        if asked.refusal:
            raise Unavailable(asked.refusal)
        return asked.tx

    async def _take_as_asked(self) -> None:
        tx, refusal = 0, ""
        try:
            tx = await self._take()
        except Unavailable as error:
            refusal = str(error)
            _log.error("shard %d: no snapshot: %s", self._replica.shard_id, error)
        if self._replica.snapshot_due is not None:
            self._replica.snapshot_begun()  # left out this time: applying goes on
            self._flush()
        asked, self._asked = self._asked, []
        for each in asked:
            each.tx, each.refusal = tx, refusal
            each.answered.set()

    async def _take(self) -> int:
        """Its tx. Raises Unavailable, JournalFailed, ReplicaDiverged."""
        with self._at_work():
            replica = self._replica
            if not replica.can_snapshot:
                raise Unavailable(f"a snapshot cannot be taken here now: this replica is {replica.role.value}")
            tx = replica.commit_tx
            begin = now_ns()
            try:
                child = Child(self._save)
                point = replica.snapshot_begun()
                self._flush()
                digest = int.from_bytes(await child.result(), "big")
            except (WorkFailed, OSError) as error:
                raise Unavailable(f"the snapshot of tx {tx} was not made: {error}") from error
            _log.info("shard %d: snapshot of tx %d in %d ms", replica.shard_id, tx, (now_ns() - begin) // 1_000_000)
            replica.snapshot_saved(point, digest)
            await self._let_go()
            return tx

    def _save(self) -> bytes:
        """In the child. Gives the digest of the state."""
        snapshot = self._replica.snapshot()
        assert snapshot is not None
        snapshot_files.save(self.directory, encode_snapshot(snapshot), snapshot.tx)
        return snapshot.digest.to_bytes(8, "big")

    async def _let_go(self) -> None:
        """Of snapshots and journal, what is not needed any more."""
        self._flush()
        number = self._replica.needed_number
        await self._journal.commit()  # what stands for the beginning is safe before that goes
        await self._journal.prune(number)
        try:
            await trio.to_thread.run_sync(snapshot_files.prune, self.directory)
        except OSError as error:
            _log.error("shard %d: old snapshots stay: %s", self._replica.shard_id, error)

    async def _fetch(self) -> None:
        """A peer's, to go on from or to keep a copy of. What fails is tried again when it is still wanted."""
        replica = self._replica
        wanted, offered = replica.snapshot_wanted(), replica.snapshot_offered()
        least_tx = wanted if wanted is not None else offered
        if least_tx is None:
            return
        with self._at_work():
            try:
                data, point = await fetch_snapshot(list(self._peers.values()), self._key, replica.shard_id, least_tx)
                await trio.to_thread.run_sync(snapshot_files.save, self.directory, data, point.tx)
                # A primary keeps a copy. It must not look into hundreds of megabytes: its heartbeats would stop.
                leading = replica.role is Role.PRIMARY
                installed = not leading and self._install(await trio.to_thread.run_sync(decode_snapshot, data))
                if not installed and point.tx <= replica.commit_tx:
                    replica.snapshot_saved(point)
                _log.info("shard %d: a peer's snapshot of tx %d is here", replica.shard_id, point.tx)
                await self._let_go()
            except (SnapshotUnavailable, SnapshotDamaged, OSError) as error:
                _log.warning("shard %d: no snapshot of tx %d or later: %s", replica.shard_id, least_tx, error)
                await trio.sleep(RETRY_SECONDS)
        self._flush()

    def _install(self, snapshot: Snapshot) -> bool:
        """Raises SnapshotDamaged; then the file is gone again."""
        try:
            with without_garbage_collection():
                return self._replica.install(snapshot, now_ns())
        except SnapshotDamaged:
            snapshot_files.drop(self.directory, snapshot.tx)
            raise
