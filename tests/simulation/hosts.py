"""The processes of a simulated cluster around the real cores: replicas, retransmission servers, the coordinator."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from recovery.frames import LinkError
from recovery.link import Command, LinkServer, Login
from recovery.packet import REQUEST_MAGIC
from recovery.reader import Reader, StreamForked
from recovery.record import Message, remake
from recovery.replica import STREAM, Replica, Role
from recovery.retransmitter import Retransmitter
from recovery.sources import Verdict
from recovery.store import MemoryStore
from tests.simulation.disk import Disk
from tests.simulation.world import MILLI, Connection

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

SHARD = 1
COMMAND_GROUP = 1
REQUEST = REQUEST_MAGIC.to_bytes(2, "big")
KEYS = dict.fromkeys(range(101, 110), b"a key of the simulation")


class CoordinatorFake:
    """The epoch of one shard, with a version; answers late, or never, even when the change was made."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster
        self.epoch = 0
        self.version = 0
        self.delay = 2 * MILLI
        self.reachable = True
        self.lose_answers = False

    def raise_epoch(self, above: int, answer: Callable[[int | None], None]) -> None:
        world = self.cluster.world

        def read() -> None:
            if not self.reachable:
                world.after(1000 * MILLI, lambda: answer(None))
                return
            epoch, version = max(self.epoch, above) + 1, self.version
            world.after(world.between(self.delay // 2, self.delay), lambda: write(epoch, version))

        def write(epoch: int, version: int) -> None:
            faster = version != self.version or not self.reachable
            if not faster:
                self.epoch, self.version = epoch, version + 1
            if self.lose_answers and world.chance(0.5):
                world.after(world.between(0, 3000 * MILLI), lambda: answer(None if faster else epoch))
            else:
                world.after(world.between(self.delay // 2, self.delay), lambda: answer(None if faster else epoch))

        world.after(world.between(self.delay // 2, self.delay), read)


class ReplicaHost:
    """The process of one replica: its core, its disk, its links."""

    def __init__(self, cluster: "Cluster", replica_id: int) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.replica_id = self.address = replica_id
        self.disk = Disk(self.world)
        self.alive = False
        self.paused = False
        self.starting = False
        self.life = 0
        self.clock_offset = 0
        self.sync_delay = (200_000, MILLI)
        self.crash_after: int | None = None
        """Datagrams that still leave before the process dies."""
        self.replica: Replica = self._make()
        self.retransmitter = Retransmitter({SHARD: self.replica})
        self.links: dict[Connection, LinkServer] = {}
        self._backlog: deque[tuple[Connection, Login | Command]] = deque()
        self._inbox: list[tuple[int, bytes]] = []
        self._base = 0
        self._syncing = False
        self._wake_at = -1

    def _make(self) -> Replica:
        cluster = self.cluster
        return cluster.replica_class(
            SHARD,
            self.replica_id,
            cluster.replica_ids,
            cluster.make_state_machine,
            mode=cluster.mode,
            durability=cluster.durability,
            draw=self.world.rng.randrange,
        )

    # Life and death

    def start(self) -> None:
        if self.alive:
            return
        self.life += 1
        self.replica = self._make()
        self.retransmitter = Retransmitter({SHARD: self.replica})
        for kind, payload in self.disk.records:
            self.replica.replay(kind, payload)
        lost_disk, self.disk.lost = self.disk.lost, False
        forgot = lost_disk or (self.cluster.durability == "memory" and self.life > 1)
        self.disk.opened()
        self._base = len(self.disk.records)
        self._syncing = self.paused = False
        self._wake_at = -1
        self.crash_after = None
        self.alive = True
        highest_epoch = self.cluster.coordinator.epoch if lost_disk else 0
        self.replica.start(self.world.now, forgot=forgot, highest_epoch=highest_epoch)
        self.world.tell("R%d starts, epoch %d, last tx %d", self.replica_id, self.replica.epoch, self.replica.last_tx)
        self.flush()

    def die(self, *, power: bool = False) -> None:
        if not self.alive:
            return
        self.world.tell("R%d %s, %s", self.replica_id, "loses power" if power else "is killed", self.replica.role.value)
        self.alive = False
        self.life += 1
        if power:
            self.disk.cut_power()
        self._inbox.clear()
        self._drop_links()

    def pause(self, duration: int) -> None:
        if self.alive and not self.paused:
            self.world.tell(
                "R%d (%s) stands still for %d ms", self.replica_id, self.replica.role.value, duration // MILLI
            )
            self.paused = True
            self._later(duration, self._resume)

    def _resume(self) -> None:
        self.paused = False
        self.world.tell("R%d goes on, %s", self.replica_id, self.replica.role.value)
        inbox, self._inbox = self._inbox, []
        # A process that wakes up may act on its timers before it reads what came meanwhile.
        if self.world.chance(0.5):
            self._ring()
        for source, data in inbox:
            self.receive(source, data)
        self._ring()

    def _later(self, delay: int, action: Callable[[], None]) -> None:
        life = self.life
        self.world.after(delay, lambda: action() if self.life == life and self.alive else None)

    # Datagrams, time

    def receive(self, source: int, data: bytes) -> None:
        if not self.alive:
            return
        if self.paused:
            if len(self._inbox) < 2000:
                self._inbox.append((source, data))
            return
        if data[:2] == REQUEST:
            for answer in self.retransmitter.receive_request(data, ("", source), self.world.now):
                self.cluster.check_retransmitted(answer)
                self.cluster.network.send(self.replica_id, source, answer)
            return
        self.replica.receive_datagram(data, self.world.now)
        self.flush()

    def _ring(self) -> None:
        if self.paused or not self.alive:
            return
        now = self.world.now
        self._wake_at = -1
        if self.replica.next_deadline() <= now:
            self.replica.handle_deadline(now)
        for connection, link in list(self.links.items()):
            try:
                link.handle_deadline(now)
            except LinkError:
                connection.close()
        self.flush()

    def flush(self) -> None:
        """What a host does after each batch: commands, journal, datagrams, coordinator, timer."""
        replica, now = self.replica, self.world.now
        self._serve(replica)
        self._write(replica)
        for target, data in replica.datagrams_to_send(now):
            if self.crash_after is not None:
                self.crash_after -= 1
                if self.crash_after < 0:
                    self.die(power=self.world.chance(0.5))
                    return
            if target == STREAM:
                self.cluster.network.multicast(self.replica_id, COMMAND_GROUP, data)
            else:
                self.cluster.network.send(self.replica_id, target, data)
        above = replica.epoch_to_raise()
        if above is not None:
            self.world.tell("R%d asks for an epoch above %d", self.replica_id, above)
            life = self.life
            self.cluster.coordinator.raise_epoch(above, lambda epoch: self._raised(epoch, life))
        for connection, link in self.links.items():
            connection.send(self.replica_id, link.data_to_send())
        self.cluster.observe(self)
        wake_at = max(replica.next_deadline(), now + 1)
        if self._wake_at < 0 or wake_at < self._wake_at:
            self._wake_at = wake_at
            self._later(wake_at - now, self._ring)

    def _raised(self, epoch: int | None, life: int) -> None:
        if self.life != life or not self.alive:
            return
        if self.paused:
            self._later(10 * MILLI, lambda: self._raised(epoch, life))
            return
        if epoch is None:
            self.replica.epoch_not_raised(self.world.now)
        else:
            self.replica.epoch_raised(epoch, self.world.now)
        self.flush()

    def _write(self, replica: Replica) -> None:
        self.disk.write(replica.records_to_write())
        wanted = self.cluster.durability == "disk" or replica.needs_sync
        if wanted and not self._syncing and self.disk.synced < len(self.disk.records):
            self._syncing = True
            number = len(self.disk.records)
            self._later(self.world.between(*self.sync_delay), lambda: self._synced(number))

    def _synced(self, number: int) -> None:
        self.disk.sync(number)
        self._syncing = False
        if self.paused:
            self._later(5 * MILLI, lambda: self._synced(number))
            return
        self.replica.synced(number - self._base, self.world.now)
        self.flush()

    # Links

    def accept(self, connection: Connection) -> bool:
        """A gateway connects; only a primary takes it."""
        if not self.alive or self.paused or self.replica.role is not Role.PRIMARY:
            return False
        self.links[connection] = LinkServer(SHARD, KEYS, self.world.rng.randbytes(32), self.world.now)
        self._later(0, self.flush)
        return True

    def link_received(self, connection: Connection, data: bytes) -> None:
        if not self.alive or connection not in self.links:
            connection.close()
            return
        if self.paused:
            self._later(20 * MILLI, lambda: self.link_received(connection, data))
            return
        try:
            events = self.links[connection].receive_data(data, self.world.now)
        except LinkError:
            connection.close()
            return
        self._backlog += [(connection, event) for event in events]
        self.flush()

    def link_broken(self, connection: Connection) -> None:
        self.links.pop(connection, None)

    def _drop_links(self) -> None:
        self._backlog.clear()
        for connection in list(self.links):
            connection.close()
        self.links.clear()

    def _serve(self, replica: Replica) -> None:
        """Submit what has come, while the primary takes it."""
        primary = replica.primary
        if primary is None:
            if self.links:
                self._drop_links()
            return
        stamp = self.world.now + self.clock_offset
        while True:
            if primary.pending:
                primary.work(stamp)
            if not self._backlog or not primary.ready:
                return
            connection, event = self._backlog.popleft()
            link = self.links.get(connection)
            if link is None or link.closed:
                continue
            if isinstance(event, Login):
                last = primary.open_source(event.source_id, event.incarnation, max(stamp, 0))
                if last is None:
                    link.reject("a later life has been here", self.world.now)
                else:
                    link.accept(last, self.world.now)
            else:
                assert link.login is not None
                verdict = primary.submit(link.login.source_id, link.login.incarnation, *event, max(stamp, 0))
                if verdict in (Verdict.GAP, Verdict.FENCED, Verdict.UNOPENED):
                    link.refuse(verdict.value, self.world.now)
                    connection.close()


class ServerHost:
    """A retransmission server: a reader that keeps what it releases. Its memory survives, as its journal would."""

    def __init__(self, cluster: "Cluster", address: int) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.address = address
        self.alive = True
        self.store = MemoryStore(1 << 30)
        self.reader = self._reader()
        self.retransmitter = cluster.retransmitter_class({SHARD: self})
        self._wake_at = -1

    def _reader(self) -> Reader:
        return Reader(SHARD, server_count=len(self.cluster.servers_for(self.address)))

    @property
    def proven_epoch(self) -> int:
        return self.reader.proven_epoch

    @property
    def commit_seq(self) -> int:
        return self.store.next_seq - 1

    def receive(self, source: int, data: bytes) -> None:
        if not self.alive:
            return
        if data[:2] == REQUEST:
            for answer in self.retransmitter.receive_request(data, ("", source), self.world.now):
                self.cluster.check_retransmitted(answer)
                self.cluster.network.send(self.address, source, answer)
            return
        position = self.reader.position
        try:
            released = self.reader.receive_datagram(data, self.world.now)
        except StreamForked:
            self.cluster.forked(f"server {self.address}")
            self.store = MemoryStore(1 << 30)
            self.reader = self._reader()
            return
        if released:
            self._keep(released, position.digest)
        self._send()

    def _keep(self, released: list[Message], digest: int) -> None:
        data, _ = remake(SHARD, released, digest)
        self.cluster.released(self.address, released, data)
        self.store.append(data)

    def _ring(self) -> None:
        self._wake_at = -1
        if self.alive:
            self.reader.handle_deadline(self.world.now)
            self._send()

    def _send(self) -> None:
        servers = self.cluster.servers_for(self.address)
        for index, request in self.reader.datagrams_to_send():
            self.cluster.network.send(self.address, servers[index], request)
        deadline = self.reader.next_deadline()
        if deadline is not None and (self._wake_at < 0 or deadline < self._wake_at):
            self._wake_at = max(deadline, self.world.now + 1)
            self.world.after(self._wake_at - self.world.now, self._ring)
