"""Who may lead a shard: the epoch, raised by compare-and-set, and beside it what is only a hint.

The coordinator holds, for each shard, one `Record` and its version. Safety needs one thing of it: that an epoch is
given to one replica only. So `raise_epoch` reads, adds one and writes with the version that it has read; who finds
another version there was too late. Whether the answer comes late, twice or never, whether a write that seemed lost took
place after all: an epoch that nobody serves does no harm.

It is asked at a change of the primary and at no other time: losing sight of it stops nobody.

`FileCoordinator` is a locked file, for replicas on one machine; `recovery.zookeeper` is for more than one. Two machines
must not share the file over a network: locks and renames promise too little there.
"""

import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import trio

POLL_SECONDS = 0.05
"""How often a file is looked at by `wait_changed`: nobody's safety waits for it, only a gateway's reconnecting."""
LOCK_SECONDS = 1.0
"""A write takes milliseconds; a process that holds the lock for so long is paused, or the disk hangs."""
_RETRY_SECONDS = 0.005
_COARSE_NS = 1_000_000_000
"""Two files of one name whose times are not that far apart may bear the same: a kernel's tick is 10 ms at most, but
some file systems count whole seconds."""


class CoordinatorUnavailable(Exception):
    """No answer, or none in time. What was asked for may have been done nevertheless."""


class Address(NamedTuple):
    host: str
    port: int


class Record(msgspec.Struct, frozen=True):
    """What is kept of one shard."""

    epoch: int = 0
    owner: int = 0
    """The replica the epoch belongs to; 0 before the first."""
    replicas: dict[str, Address] = msgspec.field(default_factory=dict)
    """The shard's replicas: id → where its links are. Who is not in here has no vote."""
    joined: tuple[int, ...] = ()
    """Those of them that have begun a journal: one that is in here and finds none has lost it."""
    serving: bool = False
    """A hint: the owner has said that it serves."""


class ReplicaSetDiffers(Exception):
    """A replica's configuration and the coordinator disagree on who the shard's replicas are: none may serve."""


class RecordLost(Exception):
    """The coordinator's record is older than what a replica has promised: it would give out an epoch twice."""


class Coordinator(Protocol):
    """Of one shard. `read` and `write` may raise CoordinatorUnavailable, within a deadline of their own."""

    async def read(self) -> tuple[Record, int]:
        """The record and its version; never older than what was written before the call."""

    async def glance(self) -> tuple[Record, int]:
        """As `read` and quicker, but what it gives may be old: good for a write, which then changes nothing."""

    async def write(self, record: Record, version: int) -> bool:
        """Compare-and-set: False when the version has moved on."""

    async def wait_changed(self, version: int) -> None:
        """Until the version may be another one than `version`. Waits through an outage."""

    async def register(self, replica: int, address: Address) -> None:
        """Let it be seen that this replica's process lives, as long as it does: a hint for people. Never raises."""


async def raise_epoch(coordinator: Coordinator, owner: int, above: int, given_out: int = 0) -> int | None:
    """The epoch that is now `owner`'s alone, higher than `above`; None when another replica was faster.

    `given_out` is one that the coordinator is known to have given out. Raises CoordinatorUnavailable, RecordLost.
    """
    record, version = await coordinator.glance()
    if record.epoch < given_out:
        record, version = await coordinator.read()
        if record.epoch < given_out:
            raise _record_lost(owner, given_out, record.epoch)
    epoch = max(record.epoch, above) + 1
    raised = msgspec.structs.replace(record, epoch=epoch, owner=owner, serving=False)
    return epoch if await coordinator.write(raised, version) else None


async def announce(coordinator: Coordinator, owner: int, epoch: int) -> None:
    """Say that the owner of the epoch serves. Nothing happens when the epoch has moved on."""
    record, version = await coordinator.read()
    if (record.epoch, record.owner) == (epoch, owner):
        await coordinator.write(msgspec.structs.replace(record, serving=True), version)


async def join(
    coordinator: Coordinator, replica: int, replicas: Mapping[int, Address], promised_epoch: int
) -> tuple[bool, int]:
    """Say that `replica`, one of `replicas`, begins or goes on: (whether it has been here before, the epoch then).

    Before it votes for the first time. Two replicas with different ideas of what a majority is must not both vote, so
    the first that joins says who the replicas are, and the others compare. `promised_epoch` is one that the coordinator
    has given out. Raises ReplicaSetDiffers, RecordLost.
    """
    named = {str(each): Address(*address) for each, address in sorted(replicas.items())}
    while True:
        record, version = await coordinator.read()
        if record.replicas and record.replicas.keys() != named.keys():
            known = ", ".join(record.replicas)
            raise ReplicaSetDiffers(
                f"replica {replica}: the replicas are {', '.join(named)} here, but {known} for the coordinator. A "
                "shard keeps those that it began with: start it with the configuration that names them"
            )
        if promised_epoch > record.epoch and len(named) > 1:
            raise _record_lost(replica, promised_epoch, record.epoch)
        here_before = replica in record.joined
        joined = record.joined if here_before else (*record.joined, replica)
        wanted = msgspec.structs.replace(record, replicas=named, joined=joined)
        if wanted == record or await coordinator.write(wanted, version):
            return here_before, record.epoch


def _record_lost(replica: int, promised_epoch: int, epoch: int) -> RecordLost:
    return RecordLost(
        f"replica {replica} has promised epoch {promised_epoch}, and the coordinator has given out {epoch}: its record "
        "is lost, or an old one. Stop all replicas of the shard, then bring the record back, or make one above all "
        "that they have promised (fixgw record)"
    )


async def make_record(coordinator: Coordinator, replicas: Mapping[int, Address], epoch: int) -> bool:
    """A record in the place of a lost one: `epoch` is at least all that was given out, and no replica runs.

    False when there is one of this epoch or a later one, or when it changes meanwhile.
    """
    record, version = await coordinator.read()
    if record.epoch >= epoch:
        return False
    named = {str(each): Address(*address) for each, address in sorted(replicas.items())}
    return await coordinator.write(Record(epoch, 0, named, tuple(sorted(replicas))), version)


class _Kept(msgspec.Struct):
    version: int
    record: Record


class FileCoordinator:
    """A file of JSON on one machine, changed under a lock and by renaming, so that it is whole at any time."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock = self._path.with_suffix(".lock")

    async def read(self) -> tuple[Record, int]:
        kept = self._read()
        return kept.record, kept.version

    async def glance(self) -> tuple[Record, int]:
        return await self.read()

    async def write(self, record: Record, version: int) -> bool:
        """The thread of a disk that hangs is left behind: it may write yet, as after any lost answer."""
        with trio.move_on_after(LOCK_SECONDS):
            while True:
                written = await trio.to_thread.run_sync(self._write, record, version, abandon_on_cancel=True)
                if written is not None:
                    return written
                await trio.sleep(_RETRY_SECONDS)
        raise CoordinatorUnavailable(f"{self._lock}: locked by another process, or not written, for {LOCK_SECONDS:g} s")

    async def wait_changed(self, version: int) -> None:
        """A file tells nobody: it is looked at, and read where it may be another than the one that was read last."""
        known = None
        while True:
            look = self._look()
            if look is None or look != known:
                try:
                    if self._read().version != version:
                        return
                except CoordinatorUnavailable:
                    look = None
            known = look
            await trio.sleep(POLL_SECONDS)

    async def register(self, replica: int, address: Address) -> None:
        """On one machine the processes can be seen."""

    def _look(self) -> tuple[int, int, int] | None:
        """What tells the file from the one that takes its place. None: there is none, or that may look the same, for
        the times of files are those of a coarse clock, and numbers of files are given again."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        if time.time_ns() - found.st_mtime_ns < _COARSE_NS:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return _Kept(0, Record())
        except (OSError, msgspec.DecodeError) as error:
            raise CoordinatorUnavailable(f"{self._path}: {error}") from error

    def _write(self, record: Record, version: int) -> bool | None:
        """Safe on disk before it is seen: an epoch once given out must not come back. None: somebody has the lock."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._read().version != version:
                    return False
                self._replace(msgspec.json.encode(_Kept(version + 1, record)))
                return True
            finally:
                os.close(lock)
        except BlockingIOError:
            return None
        except OSError as error:
            raise CoordinatorUnavailable(f"{self._path}: {error}") from error

    def _replace(self, data: bytes) -> None:
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
