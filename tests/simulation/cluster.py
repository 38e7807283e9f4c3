"""A whole cluster from a seed, and what must hold of it: replicas, servers, gateways, network, disks, coordinator.

While it runs, on every step: one primary per epoch; promises, completions and commits never go back, over restarts
neither; what a reader releases is what every other reader releases under that number, follows on what it released
before, and (durability "disk") would survive a power cut on a majority of disks; no retransmitter tells anything above
the commit; a command acknowledged before another is forwarded has the lower tx. In the end: everything forwarded has
come by, once, in its gateway's order; all replicas have one log, one state, one stream, and it is what was released.

In mode "async" a released tail may be lost, and then whoever had released it is told: histories are compared by what
each reader holds in the end.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from recovery import packet
from recovery.command_log import ENTRY_PLACE, entry_epoch
from recovery.control import is_control
from recovery.execution import StateMachine
from recovery.history import Mode
from recovery.packet import RETRANSMITTED
from recovery.quorum import majority
from recovery.record import END, FIRST, NOOP, PACKET_HEADER_BYTES, CommandHeader, Message, parse, split
from recovery.replica import Replica, Role
from recovery.retransmitter import Retransmitter
from recovery.stable import Durability
from tests.simulation.gateway import GatewayHost
from tests.simulation.hosts import COMMAND_GROUP, SHARD, CoordinatorFake, ReplicaHost, ServerHost
from tests.simulation.tape import Tape
from tests.simulation.world import MILLI, SECOND, Network, Weather, World

TIME_TO_SETTLE = 12 * SECOND
"""After everything is healed: by then all is answered and equal. Links' silence (3 s) and back-offs are in it."""


class Violation(AssertionError):
    """An invariant does not hold."""


class Shape(NamedTuple):
    """What a run is made of; `mutants.py` replaces the classes."""

    replicas: int = 3
    mode: Mode = "quorum"
    durability: Durability = "disk"
    gateways: int = 2
    servers: int = 2
    commands: int = 260
    replica_class: type[Replica] = Replica
    retransmitter_class: type[Retransmitter] = Retransmitter
    state_machines: Callable[[int], StateMachine] = lambda _: Tape()


class Cluster:
    """Everything of one run; `check` and what is called by the hosts raise Violation."""

    def __init__(self, world: World, shape: Shape) -> None:
        self.world = world
        self.shape = shape
        self.mode = shape.mode
        self.durability = shape.durability
        self.replica_class = shape.replica_class
        self.retransmitter_class = shape.retransmitter_class
        self.network = Network(world, Weather())
        self.coordinator = CoordinatorFake(self)
        self.replica_ids = list(range(1, shape.replicas + 1))
        self.server_ids = list(range(201, 201 + shape.servers))
        self.healed = False
        self.forks = 0
        self.acknowledged_tx = 0
        self.elections = 0
        self._latest_epoch = 0
        self._made = 0
        self._truth: list[bytes] = []  # the bytes of each message number, as first released
        self._next: dict[int, int] = {}
        self._primaries: dict[int, int] = {}
        self._marks: dict[int, tuple[int, int]] = {}
        self.commit_seq = 0
        self.replicas = [ReplicaHost(self, replica_id) for replica_id in self.replica_ids]
        self.servers = [ServerHost(self, address) for address in self.server_ids]
        self.gateways = [GatewayHost(self, 101 + index, shape.commands) for index in range(shape.gateways)]
        nodes: list[ReplicaHost | ServerHost | GatewayHost] = [*self.replicas, *self.servers, *self.gateways]
        self.network.nodes = {node.address: node for node in nodes}
        self.members = self.replicas
        """Those that are to agree in the end; see `lose_for_good`."""
        self.listeners: list[ServerHost | GatewayHost] = [*self.servers, *self.gateways]
        self.network.groups[COMMAND_GROUP] = list(self.network.nodes)
        for replica in self.replicas:
            replica.start()

    def make_state_machine(self) -> StateMachine:
        self._made += 1
        return self.shape.state_machines(self._made)

    def servers_for(self, address: int) -> list[int]:
        """Whom to ask for what was missed: the servers, and the replicas as a last resort."""
        return [server for server in (*self.server_ids, *self.replica_ids) if server != address]

    def forked(self, who: str) -> None:
        self.forks += 1
        self.world.tell("%s has released what is not history", who)
        if self.mode == "quorum":
            raise Violation(f"{who}: a fork in mode quorum")
        address = int("".join(character for character in who if character.isdigit()))
        self._next.pop(address, None)

    # On every step

    def observe(self, host: ReplicaHost) -> None:
        """After each batch of a replica."""
        replica = host.replica
        stable = replica.stable
        marks = (stable.safe_promise, stable.safe_complete)
        before = self._marks.get(host.replica_id, (0, 0))
        if any(now < then for now, then in zip(marks, before, strict=True)):
            raise Violation(f"R{host.replica_id} went back from {before} to {marks}")
        self._marks[host.replica_id] = marks
        if replica.role is Role.PRIMARY:
            owner = self._primaries.setdefault(replica.epoch, host.replica_id)
            if owner != host.replica_id:
                raise Violation(f"epoch {replica.epoch} has two primaries: R{owner} and R{host.replica_id}")
            if replica.epoch > self._latest_epoch:
                self._latest_epoch = replica.epoch
                self.elections += 1
                self.world.tell("R%d leads epoch %d from tx %d", host.replica_id, replica.epoch, replica.last_tx)
            self.commit_seq = max(self.commit_seq, replica.execution.commit_seq)

    def forget_marks(self, replica_id: int) -> None:
        """Its disk is lost: it may begin anew."""
        self._marks.pop(replica_id, None)

    def released(self, reader: int, messages: Sequence[Message], data: list[bytes]) -> None:
        """A reader released these messages; `data` are their bytes."""
        first_seq = messages[0].seq
        if self.mode == "async":
            return
        expected = self._next.get(reader)
        if expected is not None and first_seq > expected:
            raise Violation(f"{reader} released {first_seq} after {expected - 1}")
        self._next[reader] = messages[-1].seq + 1
        truth = self._truth
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
        if self.durability != "disk":
            return
        header = CommandHeader.unpack_from(message.body)
        entries = [
            host.replica.stable.log.entry(header.tx) for host in self.replicas if host.replica.last_tx >= header.tx
        ]
        entry = next((each for each in entries if each[ENTRY_PLACE.size :] == message.body), b"")
        holding = sum(host.disk.holds(header.tx, entry) for host in self.replicas)
        if holding < majority(len(self.replicas)):
            raise Violation(f"tx {header.tx} was released, and {holding} disks hold it")

    def acknowledged(self, header: CommandHeader, invoked_tx: int) -> None:
        """A gateway saw its command come by; `invoked_tx` is what was acknowledged when it was forwarded."""
        if self.mode == "quorum" and header.tx <= invoked_tx:
            raise Violation(f"tx {header.tx} was forwarded after {invoked_tx} was acknowledged")
        self.acknowledged_tx = max(self.acknowledged_tx, header.tx)

    def check_retransmitted(self, datagram: bytes) -> None:
        """Called for every answer of a retransmitter: nothing above the commit, and the original bytes."""
        header = packet.parse_packet(datagram)
        assert header.flags & RETRANSMITTED
        assert not is_control(datagram)
        if self.mode == "async":
            return
        if header.first_seq + header.message_count - 1 > self.commit_seq:
            raise Violation(f"a retransmitter told {header.first_seq}…, the commit is {self.commit_seq}")
        for seq, data in enumerate(split(datagram, PACKET_HEADER_BYTES), header.first_seq):
            if seq <= len(self._truth) and self._truth[seq - 1] != data:
                raise Violation(f"a retransmitter told other bytes under seq {seq}")

    # In the end

    def settled(self) -> bool:
        """All that was wanted has come by, and everybody has it."""
        if not all(gateway.done for gateway in self.gateways):
            return False
        leading = [host for host in self.members if host.alive and host.replica.role is Role.PRIMARY]
        if len(leading) != 1:
            return False
        primary = leading[0].replica
        for host in self.members:
            replica = host.replica
            if replica.role not in (Role.PRIMARY, Role.BACKUP) or replica.epoch != primary.epoch:
                return False
            if replica.commit_tx != primary.last_tx or replica.stable.safe_tx != primary.last_tx:
                return False
        next_seq = primary.execution.sequencer.next_seq
        readers = [host.reader for host in self.listeners]
        return all(reader.position.next_seq == next_seq for reader in readers)

    def run_to_the_end(self) -> None:
        """Heal everything, wait until all is answered, and compare."""
        self.heal()
        self.world.run_until(self.world.now + TIME_TO_SETTLE, self.settled)
        if not self.settled():
            raise Violation(f"not settled {TIME_TO_SETTLE // SECOND} s after everything is healed: {self.state()}")
        self.check()

    def lose_for_good(self) -> None:
        """Up to a minority never comes back. All others are whole, so nothing that was acknowledged may be missing."""
        count = self.world.rng.randint(0, len(self.replicas) - majority(len(self.replicas)))
        lost = self.world.rng.sample(self.replicas, count)
        others = [host for host in self.replicas if host not in lost]
        if self.durability == "disk" and not any(host.disk.lost or host.replica.stable.recovering for host in others):
            for host in lost:
                host.die(power=True)
                self.world.tell("R%d never comes back", host.replica_id)
            self.members = others

    def heal(self) -> None:
        self.world.tell("everything is healed")
        self.healed = True
        self.network.heal()
        self.coordinator.reachable, self.coordinator.lose_answers = True, False
        self.coordinator.delay = 2 * MILLI
        for host in self.members:
            host.sync_delay = (MILLI // 5, MILLI)
            host.clock_offset = 0
            host.crash_after = None
            host.start()
        for server in self.servers:
            server.alive = True
        for gateway in self.gateways:
            gateway.restart()

    def state(self) -> str:
        """In a line, for the story."""
        replicas = " ".join(
            f"R{host.replica_id}:{host.replica.role.value if host.alive else 'dead'},e{host.replica.epoch},"
            f"tx{host.replica.last_tx},c{host.replica.commit_tx}"
            for host in self.replicas
        )
        gateways = " ".join(f"G{each.source_id}:{each.session_seq}/{each.client.unseen}" for each in self.gateways)
        readers = " ".join(str(each.reader.position.next_seq) for each in self.listeners)
        return f"{replicas} {gateways} readers {readers} of {len(self._truth)}"

    def check(self) -> None:
        """All replicas are one, what they hold is what was released, and every command took effect once, in order."""
        first = self.members[0].replica
        count = first.execution.sequencer.next_seq - 1
        stream = first.store.messages(1, 1 << 40) if count else []
        for host in self.members:
            replica = host.replica
            log = replica.stable.log
            if replica.store.messages(1, 1 << 40) != stream:
                raise Violation(f"R{host.replica_id} has another stream than R{self.members[0].replica_id}")
            if [log.entry(tx) for tx in range(1, log.last_tx + 1)] != [
                first.stable.log.entry(tx) for tx in range(1, first.last_tx + 1)
            ]:
                raise Violation(f"R{host.replica_id} has another log than R{self.members[0].replica_id}")
            if replica.execution.state_machine.digest() != first.execution.state_machine.digest():
                raise Violation(f"R{host.replica_id} has another state than R{self.members[0].replica_id}")
        if self.mode == "quorum" and stream[: len(self._truth)] != self._truth:
            raise Violation("what was released is not what the replicas hold")
        for server in self.servers:
            if server.store.messages(1, 1 << 40) != stream:
                raise Violation(f"server {server.address} keeps another stream")
        for reader in self.listeners:
            if reader.reader.position != first.execution.sequencer.position:
                raise Violation("a reader has come to another chain")
        self._check_commands(stream)
        self._check_epochs(first)

    def _check_commands(self, stream: list[bytes]) -> None:
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
        for gateway in self.gateways:
            if sessions.get(gateway.source_id, 0) != gateway.wanted:
                raise Violation(f"gateway {gateway.source_id}: {sessions.get(gateway.source_id)} of {gateway.wanted}")

    def _check_epochs(self, replica: Replica) -> None:
        epochs = [entry_epoch(replica.stable.log.entry(tx)) for tx in range(1, replica.last_tx + 1)]
        if epochs != sorted(epochs):
            raise Violation("epochs of a log go down")
