"""A running replica as its service shows it (`recovery.service_host`)."""

from pathlib import Path
from typing import TYPE_CHECKING

import trio

from recovery import snapshot_files
from recovery.service_frames import Position

if TYPE_CHECKING:
    from recovery.node import ReplicaNode


class ServedReplica:
    """What may be asked of a replica; nothing of it changes what the shard is."""

    def __init__(self, node: "ReplicaNode") -> None:
        self._node = node
        self.shard_id = node.config.shard_id
        self.replica_id = node.config.replica_id
        self.long_reads = trio.Lock()

    @property
    def applied_tx(self) -> int:
        """The last transaction in the state that `read` answers from."""
        return self._node.replica.execution.last_tx

    def position(self) -> Position:
        """What is safe of its log, and what it knows to be committed."""
        replica = self._node.replica
        stable = replica.stable
        recovering = stable.safe_complete < stable.recovering_epoch
        safe = (replica.epoch, stable.safe_complete, stable.safe_tx, recovering)
        return Position(*safe, replica.commit_tx, replica.role, self.replica_id)

    async def wait_committed(self, tx: int) -> None:
        await self._node.wait_committed(tx)

    def read(self, request: bytes) -> bytes:
        return self._node.replica.execution.state_machine.read(request)

    def is_long(self, request: bytes) -> bool:
        return self._node.replica.execution.state_machine.is_long(request)

    def newest_snapshot(self) -> Path | None:
        return snapshot_files.newest(self._node.snapshots.directory)

    async def take_snapshot(self) -> int:
        return await self._node.snapshots.take()
