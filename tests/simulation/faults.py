"""Faults drawn from the seed: which kinds a run has, how often, how bad. ("Swarm": a run has a few kinds, not all.)"""

from collections.abc import Callable

from tests.simulation.cluster import Cluster
from tests.simulation.world import MILLI, SECOND, Weather

DURATION = 6 * SECOND
"""Virtual time with faults, before everything is healed."""


class Swarm:
    """The faults of one run."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self._archive = cluster.server_ids[0]
        """With snapshots, replicas cannot make the stream's beginning again: somebody must be there who keeps it."""
        rng = self.world.rng
        kinds: list[Callable[[], None]] = [
            self._kill,
            self._cut_power,
            self._cut_all_power,
            self._pause,
            self._block_one_way,
            self._isolate,
            self._split,
            self._slow_node,
            self._slow_disk,
            self._trouble_coordinator,
            self._jump_clock,
            self._kill_gateway,
            self._silence_server,
            self._die_in_the_middle,
            self._lose_disk,
            self._fell_primary,
            self._change_in_trouble,
            self._damage_snapshot,
        ]
        if cluster.durability == "memory":
            kinds.remove(self._cut_all_power)
        self.kinds = [kind for kind in kinds if rng.random() < 0.4]
        cluster.network.weather = Weather(
            loss=rng.choice((0, 0, 0.01, 0.05, 0.2)),
            duplication=rng.choice((0, 0, 0.05)),
            jitter=rng.choice((50_000, 300_000, 3 * MILLI, 20 * MILLI)),
            stray=rng.choice((0, 0, 0.002, 0.01)),
        )
        self._gap = rng.choice((100, 300, 800)) * MILLI
        names = ", ".join(kind.__name__.strip("_").replace("_", " ") for kind in self.kinds)
        self.world.tell("weather %s; faults: %s", cluster.network.weather, names or "none")

    def run(self) -> None:
        if self.kinds:
            self._next()
        self.world.run_until(DURATION)

    def _next(self) -> None:
        if not self.cluster.healed:
            self.world.rng.choice(self.kinds)()
            self.world.after(int(self.world.rng.expovariate(1 / self._gap)), self._next)

    def _later(self, delay: int, action: Callable[[], None]) -> None:
        self.world.after(delay, lambda: None if self.cluster.healed else action())

    # Replicas

    def _may_forget(self) -> bool:
        """With memory only, no more may forget at a time than can be rebuilt: all others must be whole."""
        if self.cluster.durability == "disk":
            return True
        return all(host.alive and not host.replica.stable.recovering for host in self.cluster.replicas)

    def _kill(self) -> None:
        host = self.world.rng.choice(self.cluster.replicas)
        if self._may_forget():
            host.die()
            self._later(self.world.between(10 * MILLI, 2 * SECOND), host.start)

    def _cut_power(self) -> None:
        host = self.world.rng.choice(self.cluster.replicas)
        if self._may_forget():
            host.die(power=True)
            self._later(self.world.between(10 * MILLI, 2 * SECOND), host.start)

    def _cut_all_power(self) -> None:
        for host in self.cluster.replicas:
            host.die(power=True)
            self._later(self.world.between(10 * MILLI, SECOND), host.start)

    def _lose_disk(self) -> None:
        """A machine is replaced by an empty one, while all others are whole: more than that nobody promises."""
        cluster = self.cluster
        whole = all(host.alive and not host.replica.stable.recovering for host in cluster.replicas)
        if len(cluster.replicas) < 3 or not whole or not cluster.coordinator.epoch:
            return
        host = self.world.rng.choice(cluster.replicas)
        host.die(power=True)
        self.world.tell("the disk of R%d is lost", host.replica_id)
        host.disk.wipe()
        cluster.witness.forget_marks(host.replica_id)
        self._later(self.world.between(10 * MILLI, SECOND), host.start)

    def _die_in_the_middle(self) -> None:
        """Some datagrams later, perhaps between two of one transaction."""
        host = self.world.rng.choice(self.cluster.replicas)
        if host.alive and self._may_forget() and self.cluster.durability == "disk":
            host.crash_after = self.world.rng.randint(0, 20)
            self._later(self.world.between(300 * MILLI, 2 * SECOND), host.start)

    def _pause(self) -> None:
        self.world.rng.choice(self.cluster.replicas).pause(self.world.between(50 * MILLI, 3 * SECOND))

    def _slow_disk(self) -> None:
        host = self.world.rng.choice(self.cluster.replicas)
        host.sync_delay = (MILLI, self.world.rng.choice((20, 100, 400)) * MILLI)
        self._later(self.world.between(100 * MILLI, SECOND), lambda: setattr(host, "sync_delay", (MILLI // 5, MILLI)))

    def _jump_clock(self) -> None:
        self.world.rng.choice(self.cluster.replicas).clock_offset = self.world.between(-SECOND, SECOND)

    def _fell_primary(self) -> None:
        """It is killed, or stands still and believes to lead when it goes on."""
        host = self.cluster.leading()
        if host is None or self.world.chance(0.5):
            if host is not None:
                host.pause(self.world.between(200 * MILLI, 3 * SECOND))
        elif self._may_forget():
            host.die(power=self.world.chance(0.5))
            self._later(self.world.between(10 * MILLI, 2 * SECOND), host.start)

    def _change_in_trouble(self) -> None:
        """The primary has to change just when the coordinator is not well."""
        self._trouble_coordinator()
        self._fell_primary()

    def _damage_snapshot(self) -> None:
        """A replica starts again, and the newest of its snapshots has a flipped bit."""
        host = self.world.rng.choice(self.cluster.replicas)
        if self._may_forget() and host.alive:
            host.die()
            tx = host.disk.damage()
            if tx is not None:
                self.world.tell("the snapshot of tx %d of R%d is damaged", tx, host.replica_id)
            self._later(self.world.between(10 * MILLI, SECOND), host.start)

    # Network

    def _block(self, paths: list[tuple[int, int]]) -> None:
        blocked = self.cluster.network.blocked
        if self.cluster.snapshot_every:
            paths = [path for path in paths if self._archive not in path]
        self.world.tell("blocked: %s", paths if len(paths) < 6 else f"{len(paths)} paths")
        blocked.update(paths)
        self._later(self.world.between(100 * MILLI, 3 * SECOND), lambda: blocked.difference_update(paths))

    def _block_one_way(self) -> None:
        nodes = list(self.cluster.network.nodes)
        host = self.world.rng.choice(self.cluster.replica_ids)
        others = [node for node in nodes if node != host and self.world.chance(0.6)]
        deaf = self.world.chance(0.5)
        self._block([(other, host) if deaf else (host, other) for other in others])

    def _isolate(self) -> None:
        node = self.world.rng.choice(list(self.cluster.network.nodes))
        others = [other for other in self.cluster.network.nodes if other != node]
        self._block([(node, other) for other in others] + [(other, node) for other in others])

    def _split(self) -> None:
        nodes = list(self.cluster.network.nodes)
        left = [node for node in nodes if self.world.chance(0.5)]
        right = [node for node in nodes if node not in left]
        self._block([(a, b) for a in left for b in right] + [(b, a) for a in left for b in right])

    def _slow_node(self) -> None:
        node = self.world.rng.choice(list(self.cluster.network.nodes))
        slow = self.cluster.network.slow
        slow[node] = self.world.between(5 * MILLI, 150 * MILLI)
        self._later(self.world.between(200 * MILLI, 2 * SECOND), lambda: slow.update({node: 0}))

    # Others

    def _trouble_coordinator(self) -> None:
        coordinator = self.cluster.coordinator
        kind = self.world.rng.choice(("unreachable", "slow", "lost answers"))
        self.world.tell("coordinator: %s", kind)
        coordinator.reachable = kind != "unreachable"
        coordinator.delay = self.world.rng.choice((300, 1500)) * MILLI if kind == "slow" else 2 * MILLI
        coordinator.lose_answers = kind == "lost answers"
        self._later(self.world.between(200 * MILLI, 2 * SECOND), coordinator.calm)

    def _kill_gateway(self) -> None:
        gateway = self.world.rng.choice(self.cluster.gateways)
        gateway.die(lose_tail=self.world.chance(0.3))
        self._later(self.world.between(10 * MILLI, SECOND), gateway.restart)

    def _silence_server(self) -> None:
        server = self.world.rng.choice(self.cluster.servers[1:] or self.cluster.servers)
        server.alive = False
        self._later(self.world.between(100 * MILLI, 2 * SECOND), lambda: setattr(server, "alive", True))
