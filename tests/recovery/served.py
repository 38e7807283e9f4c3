"""A replica as its service sees it, whose state is a number: what was applied last."""

import os
from pathlib import Path

import trio

from recovery.member import Role
from recovery.record import Position as Place
from recovery.service_frames import Position
from recovery.service_host import Unavailable
from recovery.snapshot import Snapshot, encode_snapshot


def encoded(tx: int, state: bytes) -> bytes:
    """A snapshot."""
    return encode_snapshot(Snapshot(1, tx, 1, Place(2 * tx + 1, 0), 0, (), (), 0, state))


class FakeReplica:
    """Says what a test told it. `read` answers with the applied tx, and with the request."""

    shard_id = 1

    def __init__(self, replica_id: int = 1, tx: int = 0, role: Role = Role.BACKUP) -> None:
        self.replica_id = replica_id
        self.role = role
        self.epoch = self.complete_epoch = 1
        self.safe_tx = self.commit_tx = self.applied_tx = tx
        self.recovering = False
        self.snapshot: Path | None = None
        self.waiting: list[int] = []
        """The transactions that reads wait for, and have waited for."""
        self.long_reads = trio.Lock()
        self._process = os.getpid()
        self._moved = trio.Event()

    def position(self) -> Position:
        return Position(
            self.epoch,
            self.complete_epoch,
            self.safe_tx,
            self.recovering,
            self.commit_tx,
            self.role,
            self.replica_id,
        )

    def commit(self, tx: int) -> None:
        self.commit_tx = tx
        self.applied_tx = max(tx, self.applied_tx)
        self.safe_tx = max(tx, self.safe_tx)
        self._moved.set()
        self._moved = trio.Event()

    async def wait_committed(self, tx: int) -> None:
        self.waiting.append(tx)
        while self.commit_tx < tx:
            await self._moved.wait()

    def read(self, request: bytes) -> bytes:
        if request == b"bug":
            raise ZeroDivisionError
        if request == b"long":
            return bytes(2_000_000)
        if request == b"child too long":
            return bytes(5000)
        if request.startswith(b"child"):
            assert os.getpid() != self._process, "a long question is answered by another process"
            Path(request.split()[1].decode()).read_bytes()  # for as long as the test wants
        return b"%d %s" % (self.applied_tx, request)

    def is_long(self, request: bytes) -> bool:
        return request.startswith(b"child")

    def newest_snapshot(self) -> Path | None:
        return self.snapshot

    async def take_snapshot(self) -> int:
        if self.role is Role.PRIMARY:
            raise Unavailable("a primary takes none")
        assert self.snapshot is not None
        self.snapshot = self.snapshot.with_name(f"{self.commit_tx}.snapshot")
        self.snapshot.write_bytes(encoded(self.commit_tx, b"state"))
        return self.commit_tx
