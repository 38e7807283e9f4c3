"""What a replica's host answers to readers, and the readers: `recovery.query` decides whom they ask what.

The rules of an answer are those of `recovery.service_host`: made of a state that holds min_tx, and told when that is
committed. A primary has always applied more than is committed; so its answer waits, and is dropped if it is deposed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from recovery.query import Ask, QuorumRead
from recovery.replica import Replica, Role
from recovery.service_frames import Answer, AskPosition, Position, Read, Refused
from tests.simulation.world import MILLI, SECOND

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.hosts import ReplicaHost
    from tests.simulation.witness import Answered

COMMIT_PATIENCE = SECOND
READ_TIMEOUT = 4 * SECOND

Told = Callable[[object], None]


class _Held(NamedTuple):
    """An answer that waits for its transaction's commit."""

    answer: Answer
    epoch: int


class _Pending(NamedTuple):
    read: Read
    tell: Told
    until: int
    held: _Held | None


class Service:
    """Of one life of a replica's process."""

    def __init__(self, host: "ReplicaHost") -> None:
        self.host = host
        self._pending: list[_Pending] = []

    def asked(self, request: AskPosition | Read, tell: Told) -> None:
        replica = self.host.replica
        if isinstance(request, AskPosition):
            tell(position_of(replica))
        else:
            self._pending.append(_Pending(request, tell, self.host.world.now + COMMIT_PATIENCE, None))
            self.go_on(replica)

    def go_on(self, replica: Replica) -> None:
        """After each batch: what can be answered now?"""
        if self._pending:
            self._pending = [still for each in self._pending if (still := self._step(each, replica)) is not None]

    def _step(self, pending: _Pending, replica: Replica) -> _Pending | None:
        if self.host.world.now > pending.until:
            pending.tell(Refused("not committed in time"))
            return None
        if pending.held is None:
            if not may_answer(replica, pending.read.min_tx):
                return pending
            execution = replica.execution
            if execution.last_tx > replica.commit_tx and replica.role is not Role.PRIMARY:
                pending.tell(Refused("applied by a deposed primary"))
                return None
            answer = Answer(execution.last_tx, execution.state_machine.read(pending.read.request))
            pending = pending._replace(held=_Held(answer, replica.epoch))
        assert pending.held is not None
        if may_answer(replica, pending.held.answer.tx):
            pending.tell(pending.held.answer)
            return None
        if replica.role is not Role.PRIMARY or replica.epoch != pending.held.epoch:
            pending.tell(Refused("deposed"))
            return None
        return pending


def may_answer(replica: Replica, tx: int) -> bool:
    return replica.commit_tx >= tx


def position_of(replica: Replica) -> Position:
    stable = replica.stable
    recovering = stable.safe_complete < stable.recovering_epoch
    place = (replica.epoch, stable.safe_complete, stable.safe_tx, recovering)
    return Position(*place, replica.commit_tx, replica.role, replica.replica_id)


class ReaderHost:
    """Somebody who asks, again and again, one question at a time."""

    def __init__(self, cluster: "Cluster", address: int) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.address = address
        self.unanswered = 0
        self._asked = 0
        self._core: QuorumRead | None = None
        self._read: Answered | None = None
        self.world.after(self.world.between(0, 300 * MILLI), self._begin)

    def receive(self, source: int, data: bytes) -> None:
        """It is not spoken to in datagrams."""

    def _begin(self) -> None:
        if self.cluster.healed and self.world.chance(0.5):
            return
        self._asked += 1
        question = self.world.rng.choice(self.cluster.workload.questions)
        self._read = self.cluster.witness.read_began((self.address, self._asked), question)
        self._core = QuorumRead(self.cluster.replica_ids, question, self.world.now, READ_TIMEOUT)
        self._go_on(self._core)

    def _go_on(self, core: QuorumRead) -> None:
        if core is not self._core:
            return
        for ask in core.asks():
            self._ask(core, ask)
        if core.answer is None and core.failure is None:
            deadline = core.next_deadline()
            assert deadline is not None
            self.world.after(max(deadline - self.world.now, 1), lambda: self._ring(core))
            return
        assert self._read is not None
        if core.answer is not None:
            self.cluster.witness.read_ended((self.address, self._asked), self._read, core.answer.answer)
        else:
            self.unanswered += 1
        self._core = None
        self.world.after(self.world.between(0, 150 * MILLI), self._begin)

    def _ring(self, core: QuorumRead) -> None:
        deadline = core.next_deadline() if core is self._core else None
        if deadline is not None and deadline <= self.world.now:
            core.handle_deadline(self.world.now)
            self._go_on(core)

    def _ask(self, core: QuorumRead, ask: Ask) -> None:
        """Over a connection: nothing is lost but everything, and then it takes its time to be noticed, or is not."""
        network, host = self.cluster.network, self.cluster.replicas[ask.replica_id - 1]

        def tell(reply: object) -> None:
            network.carry(host.address, self.address, lambda: replied(reply))

        def replied(reply: object) -> None:
            if core is self._core:
                core.replied(ask, reply, self.world.now)
                self._go_on(core)

        def asked() -> None:
            if not host.alive:
                network.carry(host.address, self.address, failed)
            elif host.paused:
                self.world.after(50 * MILLI, asked)
            else:
                host.service.asked(ask.request, tell)

        def failed() -> None:
            if core is self._core:
                core.failed(ask, "no connection", self.world.now)
                self._go_on(core)

        network.carry(self.address, host.address, asked)
