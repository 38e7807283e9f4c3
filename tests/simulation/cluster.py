"""Whole clusters in one thread, from a seed: the real cores on a made-up network, clock, disk and coordinator.

    world.py      virtual time, chance, the network          faults.py    what goes wrong, drawn from the seed
    cluster.py    what a run is made of                      witness.py   what must hold while it runs
    hosts.py      a replica's process                        verdict.py   what must hold in the end
    disk.py       its journal and snapshots                  linear.py    could one machine have answered so?
    snapshots.py  taking, fetching, pruning                  accounts.py  the simulated exchange's books
    service.py    quorum reads, both ends                    workload.py, tape.py   what the shard computes
    gateway.py, server.py, coordinator.py                    mutants.py   the protocol broken on purpose
    runs.py, __main__.py   seeds, one or many                schedule.py  replicas driven by hand

Which invariant is asserted where (async: only I3, I4, I5, I6, I9; a released tail may be lost there, and is told):

| | | |
|---|---|---|
| I1 | committed prefixes agree, epochs of entries too | verdict: all logs; the stream against what was released |
| I2 | nothing acknowledged is lost | witness: on a majority of disks when first released; verdict: stream, gateways |
| I3 | each command once | verdict: `_judge_commands` |
| I4 | in its source's order | verdict: `_judge_commands` |
| I5 | equal bytes and states, made again, from snapshots too | verdict: `_Again`, `_judge_replicas`; the cores' chain |
| I6 | one primary an epoch; promise, completion and commit never go back | witness: `observe` |
| I7 | acknowledged before forwarded is before in the log | witness: `acknowledged`; verdict: `linear.py` |
| I8 | reads: committed, and not older than what had ended | verdict: `judge_reads`, `linear.py` |
| I9 | healed, all is answered and equal within 12 s | `Cluster.settled` |
| I10 | nothing above the commit is released | witness: `released` |
| I11 | readers see each number once, whole transactions, without holes | witness: `released` |
| I12 | nothing of a deposed primary is taken by who heard a later one | witness: `check_stale` (those sent: `stale`) |
| I13 | shares and cash have two sides | accounts.py, in the runs with the real exchange (one in ten) |
| I14 | retransmitted is the original, and committed | witness: `check_retransmitted` |

Not simulated: a record of the journal half written (the real journal cuts it, so here it is not there), a flipped bit
in a journal, more than a minority of replicas that forget at a time, a source that never comes back.
"""

from collections.abc import Callable
from typing import NamedTuple

from recovery.execution import StateMachine
from recovery.history import Mode
from recovery.quorum import majority
from recovery.replica import Replica, Role
from recovery.retransmitter import Retransmitter
from recovery.stable import Durability
from tests.simulation.coordinator import CoordinatorFake
from tests.simulation.gateway import GatewayHost
from tests.simulation.hosts import COMMAND_GROUP, ReplicaHost
from tests.simulation.server import ServerHost
from tests.simulation.service import ReaderHost
from tests.simulation.verdict import judge
from tests.simulation.witness import Violation, Witness
from tests.simulation.workload import TapeWork, Workload
from tests.simulation.world import MILLI, SECOND, Network, Node, Weather, World

TIME_TO_SETTLE = 12 * SECOND
"""After everything is healed: by then all is answered and equal. Links' silence (3 s) and back-offs are in it."""


class Shape(NamedTuple):
    """What a run is made of; `mutants.py` replaces the classes."""

    replicas: int = 3
    mode: Mode = "quorum"
    durability: Durability = "disk"
    gateways: int = 2
    servers: int = 2
    commands: int = 520
    """Of all gateways together."""
    readers: int = 3
    snapshots: bool = True
    filtered: bool = True
    """Whether replicas hear nothing of what only advances the commit, see `recovery.socket_filter`."""
    workload: Callable[[], Workload] = TapeWork
    replica_class: type[Replica] = Replica
    retransmitter_class: type[Retransmitter] = Retransmitter
    drifting: Callable[[int, StateMachine], StateMachine] = lambda _, machine: machine
    """Given the how-many-th state machine of the run, makes another of it."""


class Cluster:
    """Everything of one run."""

    def __init__(self, world: World, shape: Shape) -> None:
        self.world = world
        self.shape = shape
        self.mode = shape.mode
        self.durability = shape.durability
        self.workload = shape.workload()
        self.witness = Witness(self)
        self.network = Network(world, Weather())
        self.coordinator = CoordinatorFake(self)
        self.replica_ids = list(range(1, shape.replicas + 1))
        self.server_ids = list(range(201, 201 + shape.servers))
        self.healed = False
        self.forks = 0
        self.snapshot_every = world.rng.choice((0, 23, 60, 150)) if shape.snapshots else 0
        self.pace = world.rng.choice(((2 * MILLI, 20 * MILLI), (10 * MILLI, 60 * MILLI), (20 * MILLI, 90 * MILLI)))
        """From one turn of a gateway to its next: a short burst, or commands over all the time with faults."""
        self._made = 0
        self.replicas = [ReplicaHost(self, replica_id) for replica_id in self.replica_ids]
        self.servers = [ServerHost(self, address) for address in self.server_ids]
        commands = -(-shape.commands // shape.gateways)
        self.gateways = [GatewayHost(self, 101 + index, commands) for index in range(shape.gateways)]
        self.readers = [ReaderHost(self, 301 + index) for index in range(shape.readers)]
        nodes: list[Node] = [*self.replicas, *self.servers, *self.gateways, *self.readers]
        self.network.nodes = {node.address: node for node in nodes}
        self.members = self.replicas
        """Those that are to agree in the end; see `lose_for_good`."""
        self.listeners: list[ServerHost | GatewayHost] = [*self.servers, *self.gateways]
        self.network.groups[COMMAND_GROUP] = [each for each in self.network.nodes if each < 301]
        for replica in self.replicas:
            replica.start()

    def make_state_machine(self) -> StateMachine:
        self._made += 1
        return self.shape.drifting(self._made, self.workload.make_state_machine())

    def leading(self) -> ReplicaHost | None:
        """The primary of the latest epoch, whatever it believes."""
        leaders = [host for host in self.replicas if host.alive and host.replica.role is Role.PRIMARY]
        return max(leaders, key=lambda host: host.replica.epoch, default=None)

    def servers_for(self, address: int) -> list[int]:
        """Whom to ask for what was missed: the servers, and the replicas as a last resort."""
        return [server for server in (*self.server_ids, *self.replica_ids) if server != address]

    def forked(self, address: int, who: str) -> None:
        self.forks += 1
        self.world.tell("%s has released what is not history", who)
        self.witness.forked(address, who)

    # The end

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
        return all(host.reader.position.next_seq == next_seq for host in self.listeners)

    def run_to_the_end(self) -> None:
        """Heal everything, wait until all is answered, and compare."""
        self.heal()
        self.world.run_until(self.world.now + TIME_TO_SETTLE, self.settled)
        if not self.settled():
            raise Violation(f"not settled {TIME_TO_SETTLE // SECOND} s after everything is healed: {self.state()}")
        judge(self)

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
        self.coordinator.calm()
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
        return f"{replicas} {gateways} readers {readers} of {len(self.witness.truth)}"
