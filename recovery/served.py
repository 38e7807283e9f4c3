"""A running replica as its service shows it (`recovery.service_host`)."""

from pathlib import Path
from typing import TYPE_CHECKING

import trio

from recovery import snapshot_files
from recovery.links import NotPrimary
from recovery.operated import Outcome, find
from recovery.primary import Primary
from recovery.service_frames import Operate, Operated, Operating, Position
from recovery.service_host import COMMIT_SECONDS, Unavailable
from recovery.sources import OPERATOR_SOURCE, Verdict

if TYPE_CHECKING:
    from recovery.node import ReplicaNode


class ServedReplica:
    """What may be asked of a replica; nothing but a command of the operator's changes what the shard is."""

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

    async def begin_operating(self) -> Operating:
        """The number is as good as the commands that follow it: it is given when it is committed."""
        try:
            primary = await self._node.settle()
        except NotPrimary as error:
            raise Unavailable(str(error)) from error
        incarnation = primary.sources.incarnation(OPERATOR_SOURCE) + 1
        last = primary.open_source(OPERATOR_SOURCE, incarnation, self._node.stamp())
        assert last is not None, "a later incarnation than any"
        self._node.flush()
        await self._committed(primary, primary.last_tx)
        return Operating(incarnation, last)

    async def operate(self, request: Operate) -> Operated | Operating:
        """A repeated one is not sequenced again: what came of it is looked for."""
        node = self._node
        try:
            primary = await node.settle()
            seq: int | None = primary.next_seq
            tx = primary.last_tx + 1
            incarnation, source_seq, continued_by, kind, body = request
            numbers = (OPERATOR_SOURCE, incarnation, source_seq, 0, 0)
            verdict = primary.submit(*numbers, kind, body, node.stamp())
            if verdict is Verdict.TAKE:
                node.on_operated(tx, kind, body)
            else:
                seq = find(primary.store, request)
            node.flush()
            if seq is None:
                return self._not_taken(primary, verdict)
            outcome = Outcome(seq, continued_by)
            await self._finish(primary, outcome)
        except NotPrimary as error:
            raise Unavailable(str(error)) from error
        await self._committed(primary, outcome.last_tx)
        return outcome.operated()

    def _not_taken(self, primary: Primary, verdict: Verdict) -> Operated | Operating:
        if verdict is Verdict.REPEATED:
            return Operated(0, 0, ())
        sources = primary.sources
        return Operating(sources.incarnation(OPERATOR_SOURCE), sources.last_source_seq(OPERATOR_SOURCE))

    async def _finish(self, primary: Primary, outcome: Outcome) -> None:
        """Until all that the command made to be done is done. Raises NotPrimary."""
        while True:
            pending = primary.pending
            if outcome.read(primary.store):
                await trio.lowlevel.checkpoint()
            elif outcome.ended or not pending:
                return
            else:
                await self._node.settle()

    async def _committed(self, primary: Primary, tx: int) -> None:
        """By this very primary: under another one the transaction `tx` may be another one. Raises Unavailable."""
        node = self._node
        epoch = primary.epoch
        with trio.move_on_after(COMMIT_SECONDS):
            await node.wait_committed(tx)
        replica = node.replica
        if replica.primary is not primary or replica.epoch != epoch or replica.commit_tx < tx:
            raise Unavailable(f"transaction {tx} was not committed by the primary of epoch {epoch}")
