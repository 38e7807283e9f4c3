"""Sees everything of a run, and says so when it is not what was promised: the invariants while a run goes on.

Written against what leaves the cores, not against how they work. Which invariant stands where is said in
`tests/simulation/cluster.py`.
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from recovery import packet
from recovery.control import is_control
from recovery.packet import RETRANSMITTED
from recovery.quorum import majority
from recovery.record import END, FIRST, PACKET_HEADER_BYTES, CommandHeader, Message, split
from recovery.replica import Role
from tests.simulation.linear import Calls, Read, Swap
from tests.simulation.workload import register_of, value_before, value_of

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.hosts import ReplicaHost


class Violation(AssertionError):
    """An invariant does not hold."""


class Answered:
    """A read that ended: what was known when it began, what it was answered, and what was committed when it ended."""

    def __init__(self, question: bytes, invoked_tx: int, order: int) -> None:
        self.question = question
        self.invoked_tx = invoked_tx
        """The highest tx acknowledged to anybody when it began."""
        self.began = order
        self.ended = 0
        self.answer = b""
        self.commit_tx = 0


class Witness:
    """Of one run; what is called by the hosts raises Violation."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.acknowledged_tx = 0
        self.elections = 0
        self.commit_tx = 0
        self.commit_seq = 0
        """The highest that any primary has said."""
        self.truth: list[bytes] = []
        """The bytes of each message number, as first released."""
        self.calls = Calls()
        self.reads: list[Answered] = []
        self.snapshots = 0
        self.installed = 0
        self.stale = 0
        """Packets of the stream that left a primary after a later one had begun."""
        self._order = 0
        self._latest_epoch = 0
        self._next: dict[int, int] = {}
        self._primaries: dict[int, int] = {}
        self._marks: dict[int, tuple[int, int]] = {}
        self._commits: dict[int, tuple[int, int]] = {}

    # Replicas

    def observe(self, host: "ReplicaHost") -> None:
        """After each batch of a replica."""
        replica = host.replica
        stable = replica.stable
        marks = (stable.safe_promise, stable.safe_complete)
        before = self._marks.get(host.replica_id, (0, 0))
        if marks != before:
            if marks[0] < before[0] or marks[1] < before[1]:
                raise Violation(f"R{host.replica_id} went back from {before} to {marks}")
            self._marks[host.replica_id] = marks
        if self.cluster.mode == "quorum":
            known_tx = max(replica.history.committed_tx, replica.commit_tx)
            life, commit_tx = self._commits.get(host.replica_id, (0, 0))
            if life == host.life and known_tx < commit_tx:
                raise Violation(f"R{host.replica_id}'s commit went back from {commit_tx} to {known_tx}")
            self._commits[host.replica_id] = (host.life, known_tx)
        if replica.role is Role.PRIMARY:
            self._observe_primary(host)
        # One that is deposed by what came right behind an acknowledgement has committed, too.
        execution = replica.execution
        if (replica.role is Role.PRIMARY or self.cluster.mode == "quorum") and execution.commit_tx > self.commit_tx:
            self.commit_tx, self.commit_seq = execution.commit_tx, execution.commit_seq

    def _observe_primary(self, host: "ReplicaHost") -> None:
        replica = host.replica
        owner = self._primaries.setdefault(replica.epoch, host.replica_id)
        if owner != host.replica_id:
            raise Violation(f"epoch {replica.epoch} has two primaries: R{owner} and R{host.replica_id}")
        if replica.epoch > self._latest_epoch:
            self._latest_epoch = replica.epoch
            self.elections += 1
            self.world.tell("R%d leads epoch %d from tx %d", host.replica_id, replica.epoch, replica.last_tx)

    def forget_marks(self, replica_id: int) -> None:
        """Its disk is lost: it may begin anew."""
        self._marks.pop(replica_id, None)

    def said(self, replica_epoch: int) -> None:
        """A primary says something to everybody."""
        self.stale += replica_epoch < self._latest_epoch

    # Readers

    def forked(self, address: int, who: str) -> None:
        if self.cluster.mode == "quorum":
            raise Violation(f"{who}: a fork in mode quorum")
        self._next.pop(address, None)

    def check_stale(self, data: bytes, epoch_before: int, released: Sequence[Message]) -> None:
        """A reader that had heard `epoch_before` has taken a datagram."""
        if released and packet.parse_packet(data).epoch < epoch_before:
            raise Violation(f"a reader in epoch {epoch_before} took a packet of a deposed primary")

    def released(self, reader: int, messages: Sequence[Message], data: list[bytes]) -> None:
        """A reader released these messages; `data` are their bytes."""
        first_seq = messages[0].seq
        if self.cluster.mode == "async":
            return
        expected = self._next.get(reader)
        if expected is not None and first_seq > expected:
            raise Violation(f"{reader} released {first_seq} after {expected - 1}")
        last_seq = messages[-1].seq
        if last_seq > self.commit_seq:
            raise Violation(f"{reader} released {last_seq}, the commit is {self.commit_seq}")
        self._next[reader] = last_seq + 1
        truth = self.truth
        for message, each in zip(messages, data, strict=True):
            index = message.seq - 1
            if index < len(truth):
                if truth[index] != each:
                    raise Violation(f"{reader} released other bytes under seq {message.seq}")
            else:
                assert index == len(truth)
                truth.append(each)
                if message.flags & FIRST:
                    self._check_held(message)
        if not messages[-1].flags & END:
            raise Violation(f"{reader} released half a transaction")

    def _check_held(self, message: Message) -> None:
        """Released is committed: a majority has it where a power cut cannot reach."""
        if self.cluster.durability != "disk":
            return
        header = CommandHeader.unpack_from(message.body)
        replicas = self.cluster.replicas
        holding = sum(host.disk.holds(header.tx, message.body) for host in replicas)
        if holding < majority(len(replicas)):
            raise Violation(f"tx {header.tx} was released, and {holding} disks hold it")

    def check_retransmitted(self, datagram: bytes) -> None:
        """Called for every answer of a retransmitter: nothing above the commit, and the original bytes."""
        header = packet.parse_packet(datagram)
        assert header.flags & RETRANSMITTED
        assert not is_control(datagram)
        if self.cluster.mode == "async":
            return
        if header.first_seq + header.message_count - 1 > self.commit_seq:
            raise Violation(f"a retransmitter told {header.first_seq}…, the commit is {self.commit_seq}")
        for seq, data in enumerate(split(datagram, PACKET_HEADER_BYTES), header.first_seq):
            if seq <= len(self.truth) and self.truth[seq - 1] != data:
                raise Violation(f"a retransmitter told other bytes under seq {seq}")

    # Calls

    def forwarded(self, source_id: int, session_seq: int) -> None:
        """A gateway forwards a command, perhaps again."""
        if self.cluster.workload.registers:
            value = value_of(source_id, session_seq)
            self.calls.begin(value, register_of(session_seq), Swap(value))

    def acknowledged(self, header: CommandHeader, invoked_tx: int, events: Sequence[Message]) -> None:
        """A gateway saw its command come by; `invoked_tx` is what was acknowledged when it was forwarded."""
        if self.cluster.mode == "quorum":
            if header.tx <= invoked_tx:
                raise Violation(f"tx {header.tx} was forwarded after {invoked_tx} was acknowledged")
            if self.cluster.workload.registers:
                self.calls.end(value_of(header.source_id, header.session_seq), value_before(events))
        self.acknowledged_tx = max(self.acknowledged_tx, header.tx)

    def read_began(self, reader: Hashable, question: bytes) -> Answered:
        self._order += 1
        if self.cluster.workload.registers:
            self.calls.begin(reader, question[0], Read())
        return Answered(question, self.acknowledged_tx, self._order)

    def read_ended(self, reader: Hashable, read: Answered, answer: bytes) -> None:
        self._order += 1
        read.ended, read.answer, read.commit_tx = self._order, answer, self.commit_tx
        self.reads.append(read)
        if self.cluster.workload.registers:
            self.calls.end(reader, answer.split(b"|", 1)[1])
