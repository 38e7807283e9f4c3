"""The process of a replica in a simulated cluster: around the real core, what a host does."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from recovery.frames import LinkError
from recovery.link import Command, LinkServer, Login
from recovery.packet import PACKET_MAGIC, REQUEST_MAGIC
from recovery.replica import SERVERS, STREAM, Replica, Role
from recovery.retransmitter import Retransmitter
from recovery.sources import Verdict
from tests.simulation.disk import Disk
from tests.simulation.service import Service
from tests.simulation.snapshots import Snapshots
from tests.simulation.workload import SHARD
from tests.simulation.world import MILLI, Connection

if TYPE_CHECKING:
    from recovery.primary import Primary
    from tests.simulation.cluster import Cluster

COMMAND_GROUP = 1
PACKET = PACKET_MAGIC.to_bytes(2, "big")
REQUEST = REQUEST_MAGIC.to_bytes(2, "big")
#: At most so long after a datagram has come is it read, with all others that have come by then.
WAKE_UP = MILLI // 2
KEYS = dict.fromkeys(range(101, 110), b"a key of the simulation")


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
        self.deaths = 0
        self.clock_offset = 0
        self.sync_delay = (200_000, MILLI)
        self.crash_after: int | None = None
        """Datagrams that still leave before the process dies."""
        self.replica: Replica = self.make_replica()
        self.snapshots = Snapshots(self)
        self.service = Service(self)
        self.retransmitter = Retransmitter({SHARD: self.replica})
        self.links: dict[Connection, LinkServer] = {}
        self._backlog: deque[tuple[Connection, Login | Command]] = deque()
        self._operated: Primary | None = None
        self._due: deque[tuple[int, bytes]] = deque()
        self._inbox: list[tuple[int, bytes]] = []
        self._heard: list[bytes] = []
        self._base = 0
        self._lost_disk = False
        self._syncing = False
        self._wake_at = -1

    def make_replica(self) -> Replica:
        cluster = self.cluster
        return cluster.shape.replica_class(
            SHARD,
            self.replica_id,
            cluster.replica_ids,
            cluster.make_state_machine,
            mode=cluster.mode,
            durability=cluster.durability,
            draw=self.world.rng.randrange,
            snapshot_every=cluster.snapshot_every,
            load_snapshot=lambda tx: next(iter(self.disk.whole(tx)), None),
        )

    # Life and death

    def start(self) -> None:
        if self.alive:
            return
        self.life += 1
        self._lost_disk, self.disk.lost = self.disk.lost, False
        self.disk.opened()
        self._base = self.disk.written
        self.snapshots = Snapshots(self)
        self.service = Service(self)
        self.replica = self.snapshots.restored()
        self.retransmitter = Retransmitter({SHARD: self.replica})
        self._syncing = self.paused = False
        self._wake_at = -1
        self.crash_after = None
        self.alive = True
        self.world.tell("R%d starts, epoch %d, last tx %d", self.replica_id, self.replica.epoch, self.replica.last_tx)
        self.flush()

    def start_replica(self, replica: Replica) -> None:
        forgot = self._lost_disk or (self.cluster.durability == "memory" and self.life > 1)
        highest_epoch = self.cluster.coordinator.epoch if self._lost_disk else 0
        next_number = self.disk.written + 1
        replica.start(self.world.now, forgot=forgot, highest_epoch=highest_epoch, next_number=next_number)

    def die(self, *, power: bool = False) -> None:
        if not self.alive:
            return
        self.world.tell("R%d %s, %s", self.replica_id, "loses power" if power else "is killed", self.replica.role.value)
        self.alive = False
        self.deaths += 1
        self.life += 1
        if power:
            self.disk.cut_power()
        self._inbox.clear()
        self._heard.clear()
        self._drop_links()

    def pause(self, duration: int) -> None:
        if self.alive and not self.paused:
            self.world.tell(
                "R%d (%s) stands still for %d ms", self.replica_id, self.replica.role.value, duration // MILLI
            )
            self.paused = True
            self.later(duration, self._resume)

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

    def later(self, delay: int, action: Callable[[], None]) -> None:
        life = self.life
        self.world.after(delay, lambda: action() if self.life == life and self.alive else None)

    # Datagrams, time

    def receive(self, source: int, data: bytes) -> None:
        if not self.alive or (self.cluster.shape.filtered and _only_advances_the_commit(data)):
            return
        if self.paused:
            if len(self._inbox) < 2000:
                self._inbox.append((source, data))
            return
        if data[:2] == REQUEST:
            for answer in self.retransmitter.receive_request(data, ("", source), self.world.now):
                self.cluster.witness.check_retransmitted(answer)
                self.cluster.network.send(self.replica_id, source, answer)
            return
        self._heard.append(data)
        if len(self._heard) == 1:
            self.later(self.world.between(0, WAKE_UP), self._read)

    def _read(self) -> None:
        """A process that wakes up takes all that has come by then."""
        if self._heard and not self.paused:
            heard, self._heard = self._heard, []
            self.replica.receive_datagrams(heard, self.world.now)
            self.flush()

    def _ring(self) -> None:
        if self.paused or not self.alive:
            return
        self._read()
        if not self.alive:
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
        self.snapshots.look_after(replica)
        self._write(replica)
        witness = self.cluster.witness
        for target, data in replica.datagrams_to_send(now):
            if self.crash_after is not None:
                self.crash_after -= 1
                if self.crash_after < 0:
                    witness.observe(self)  # what it has said already may tell of a commit
                    self.die(power=self.world.chance(0.5))
                    return
            if target == STREAM:
                witness.said(replica.epoch)
                self.cluster.network.multicast(self.replica_id, COMMAND_GROUP, data)
            elif target == SERVERS:
                for server in self.cluster.server_ids:
                    self.cluster.network.send(self.replica_id, server, data)
            else:
                self.cluster.network.send(self.replica_id, target, data)
        above = replica.epoch_to_raise()
        if above is not None:
            self.world.tell("R%d asks for an epoch above %d", self.replica_id, above)
            life = self.life
            self.cluster.coordinator.raise_epoch(above, lambda epoch: self._raised(epoch, life))
        for connection, link in self.links.items():
            connection.send(self.replica_id, link.data_to_send())
        witness.observe(self)
        self.service.go_on(replica)
        wake_at = max(replica.next_deadline(), now + 1)
        if self._wake_at < 0 or wake_at < self._wake_at:
            self._wake_at = wake_at
            self.later(wake_at - now, self._ring)

    def _raised(self, epoch: int | None, life: int) -> None:
        if self.life != life or not self.alive:
            return
        if self.paused:
            self.later(10 * MILLI, lambda: self._raised(epoch, life))
            return
        if epoch is None:
            self.replica.epoch_not_raised(self.world.now)
        else:
            self.replica.epoch_raised(epoch, self.world.now)
        self.flush()

    def _write(self, replica: Replica) -> None:
        self.disk.write(replica.records_to_write())
        wanted = self.cluster.durability == "disk" or replica.needs_sync
        if wanted and not self._syncing and self.disk.synced < self.disk.written:
            self._syncing = True
            number = self.disk.written
            self.later(self.world.between(*self.sync_delay), lambda: self._synced(number))

    def _synced(self, number: int) -> None:
        self.disk.sync(number)
        self._syncing = False
        if self.paused:
            self.later(5 * MILLI, lambda: self._synced(number))
            return
        self.replica.synced(number - self._base, self.world.now)
        self.flush()

    # Links

    def accept(self, connection: Connection) -> bool:
        """A gateway connects; only a primary takes it."""
        if not self.alive or self.paused or self.replica.role is not Role.PRIMARY:
            return False
        self.links[connection] = LinkServer(SHARD, KEYS, self.world.rng.randbytes(32), self.world.now)
        self.later(0, self.flush)
        return True

    def link_received(self, connection: Connection, data: bytes) -> None:
        if not self.alive or connection not in self.links:
            connection.close()
            return
        if self.paused:
            self.later(20 * MILLI, lambda: self.link_received(connection, data))
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
        if primary is not self._operated:
            self._operated = primary
            self._due = deque(self.cluster.workload.due(primary.state_machine))
        while True:
            if primary.pending:
                primary.work(stamp)
            if self._due and primary.ready:
                primary.command(*self._due.popleft(), max(stamp, 0))
                continue
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


def _only_advances_the_commit(data: bytes) -> bool:
    """As the filter of `recovery.socket_filter` sees it: of a packet, no flag and no message."""
    return data[:2] == PACKET and not data[3] and data[6:8] == b"\0\0"
