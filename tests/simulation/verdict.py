"""What must hold when everything is healed and settled: one history, one state, and every call answered from it."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matching.shard import Shard
from matching.wire import decode_event
from recovery.command_log import entry_epoch
from recovery.execution import Execution
from recovery.record import FIRST, NOOP, CommandHeader, parse
from recovery.replica import Replica
from tests.simulation.accounts import Books
from tests.simulation.linear import first_unlinearizable
from tests.simulation.witness import Answered, Violation
from tests.simulation.workload import SHARD

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

ALL = 1 << 40


def judge(cluster: "Cluster") -> None:
    """Raises Violation."""
    stream = cluster.servers[0].store.messages(1, ALL)
    if cluster.mode == "quorum" and stream != cluster.witness.truth:
        raise Violation("what was released is not what is kept")
    for server in cluster.servers:
        if server.store.messages(1, ALL) != stream:
            raise Violation(f"server {server.address} keeps another stream")
    again = _Again(cluster, stream)
    _judge_replicas(cluster, stream, again.execution)
    for reader in cluster.listeners:
        if reader.reader.position != again.execution.sequencer.position:
            raise Violation("a reader has come to another chain")
    _judge_commands(cluster, stream)
    if cluster.mode == "quorum":
        again.judge_reads(cluster.witness.reads)
        if cluster.workload.registers:
            unjust = first_unlinearizable(cluster.witness.calls.ended, b"")
            if unjust is not None:
                raise Violation(f"what was answered of register {unjust} is not what one register would have answered")
    if isinstance(again.execution.state_machine, Shard):
        _judge_books(again.execution.state_machine, stream)


class _Again:
    """The whole history applied once more by a machine that was no part of the run: the same bytes must come of it."""

    def __init__(self, cluster: "Cluster", stream: Sequence[bytes]) -> None:
        self.execution = Execution(SHARD, cluster.workload.make_state_machine())
        asked = {read.question for read in cluster.witness.reads}
        self._seen: dict[tuple[bytes, bytes], list[int]] = {}
        """(question, answer) → each tx after which it would have been given, ascending."""
        self._note(asked)
        for seq, data in enumerate(stream, 1):
            message = parse(SHARD, seq, data)
            if message.flags & FIRST:
                self.execution.apply(message.kind, bytes(message.body))
                self._note(asked)
        if self.execution.store.messages(1, ALL) != stream:
            raise Violation("the commands, applied again, make other messages")

    def _note(self, asked: set[bytes]) -> None:
        for question in asked:
            answer = self.execution.state_machine.read(question)
            self._seen.setdefault((question, answer), []).append(self.execution.last_tx)

    def judge_reads(self, reads: Sequence[Answered]) -> None:
        """Each was answered from what was committed, and not from before what had ended when it began."""
        ended: list[Answered] = []
        least: list[int] = []  # the tx that reads which begin later must have reached, beside each of `ended`
        latest = 0
        for read in reads:
            before = bisect_right(ended, read.began, key=lambda each: each.ended)
            floor = max(read.invoked_tx, least[before - 1] if before else 0)
            fitting = [tx for tx in self._seen.get((read.question, read.answer), []) if tx <= read.commit_tx]
            if not fitting:
                raise Violation(f"a read was answered {read.answer!r}, which no committed transaction left behind")
            if fitting[-1] < floor:
                raise Violation(f"a read was answered from tx {fitting[-1]}, after tx {floor} was known")
            latest = max(latest, next(tx for tx in fitting if tx >= floor))
            ended.append(read)
            least.append(latest)


def _judge_replicas(cluster: "Cluster", stream: Sequence[bytes], again: Execution) -> None:
    first = cluster.members[0].replica
    for host in cluster.members:
        replica = host.replica
        store = replica.store
        if store.messages(store.first_seq, ALL) != stream[store.first_seq - 1 :]:
            raise Violation(f"R{host.replica_id} has another stream than was released")
        if _entries(replica, first) != _entries(first, replica):
            raise Violation(f"R{host.replica_id} has another log than R{cluster.members[0].replica_id}")
        if replica.execution.state_machine.digest() != again.state_machine.digest():
            raise Violation(f"R{host.replica_id} has another state than its commands make")
        if _fields(replica.execution.sources) != _fields(again.sources):
            raise Violation(f"R{host.replica_id} has another table of sources than its commands make")
        epochs = [entry_epoch(entry) for entry in _entries(replica, replica)]
        if epochs != sorted(epochs):
            raise Violation(f"epochs of R{host.replica_id}'s log go down")


def _fields(thing: object) -> dict[str, object]:
    """All that an object consists of: one of a compiled class has no `__dict__`."""
    return {name: getattr(thing, name) for name in getattr(thing, "__mypyc_attrs__", None) or vars(thing)}


def _entries(replica: Replica, other: Replica) -> list[bytes]:
    """Those of a replica's log that the other's log may have too."""
    log = replica.stable.log
    base = max(log.base.tx, other.stable.log.base.tx)
    return [log.entry(tx) for tx in range(base + 1, log.last_tx + 1)]


def _judge_commands(cluster: "Cluster", stream: Sequence[bytes]) -> None:
    """Every command took effect once, in its source's order."""
    numbers: dict[int, int] = {}
    sessions: dict[int, int] = {}
    for seq, data in enumerate(stream, 1):
        message = parse(SHARD, seq, data)
        if not message.flags & FIRST:
            continue
        header = CommandHeader.unpack_from(message.body)
        source = header.source_id
        if not header.source_seq:
            continue
        if header.source_seq != numbers.get(source, 0) + 1:
            raise Violation(f"source {source}: {header.source_seq} after {numbers.get(source, 0)}")
        numbers[source] = header.source_seq
        if message.kind != NOOP:
            if header.session_seq <= sessions.get(source, 0):
                raise Violation(f"session {source}: message {header.session_seq} took effect twice")
            sessions[source] = header.session_seq
    for gateway in cluster.gateways:
        if sessions.get(gateway.source_id, 0) != gateway.wanted:
            raise Violation(f"gateway {gateway.source_id}: {sessions.get(gateway.source_id)} of {gateway.wanted}")


def _judge_books(shard: Shard, stream: Sequence[bytes]) -> None:
    books = Books()
    for seq, data in enumerate(stream, 1):
        message = parse(SHARD, seq, data)
        if not message.flags & FIRST:
            books.enter(decode_event(message.kind, bytes(message.body)))
    books.close(shard.engine.orders())
