"""A gateway of a simulated cluster: forwards commands over a link, and sees them come by on the stream."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from recovery.frames import LinkError
from recovery.link import Command, LinkClient, LinkForked
from recovery.reader import Reader, StreamForked
from recovery.record import END, FIRST, NOOP, CommandHeader, Message, Position, remake
from tests.simulation.hosts import KEYS
from tests.simulation.workload import SHARD
from tests.simulation.world import MILLI, Connection

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


class Kept(NamedTuple):
    """What a gateway's journal holds."""

    next_source_seq: int
    unseen: tuple[Command, ...]
    position: Position
    epoch: int
    session_seq: int


class GatewayHost:
    """One gateway with one session: `wanted` messages of it are to be executed, each once."""

    def __init__(self, cluster: "Cluster", source_id: int, wanted: int) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.source_id = self.address = source_id
        self.wanted = wanted
        self.alive = True
        self.incarnation = 0
        self.session_seq = 0
        """Of the last message forwarded."""
        self.acknowledged = 0
        """The highest session_seq seen to come by."""
        self.pace = cluster.pace
        self._journal = Kept(1, (), Position(), 0, 0)
        self._unseen: dict[int, Command] = {}
        self._connection: Connection | None = None
        self._target = 0
        self._wake_at = -1
        self._life = 0
        self._invoked: dict[int, int] = {}  # session_seq → the highest tx acknowledged to anybody when it was forwarded
        self._begin(self._journal)

    def _begin(self, kept: Kept) -> None:
        self.incarnation += 1
        self._life += 1
        self.session_seq = kept.session_seq
        self.client = LinkClient(
            SHARD,
            self.source_id,
            self.incarnation,
            KEYS[self.source_id],
            next_source_seq=kept.next_source_seq,
            unseen=kept.unseen,
        )
        self._unseen = {command.source_seq: command for command in kept.unseen}
        servers = self.cluster.servers_for(self.source_id)
        self.reader = Reader(SHARD, kept.position, len(servers), epoch=kept.epoch)
        self._wake_at = -1
        self._connection = None
        self._later(self.world.between(0, 20 * MILLI), self._connect)
        self._later(300 * MILLI, self._keep_alive)
        self._later(self.world.between(*self.pace), self._trade)

    def _later(self, delay: int, action: Callable[[], None]) -> None:
        life = self._life
        self.world.after(delay, lambda: action() if self._life == life and self.alive else None)

    @property
    def done(self) -> bool:
        return self.session_seq >= self.wanted and not self._unseen

    # Life and death

    def die(self, *, lose_tail: bool) -> None:
        """The process ends; it starts again later from its journal, of which the end may be lost."""
        if not self.alive:
            return
        self.world.tell("G%d is killed%s", self.source_id, ", the end of its journal is lost" if lose_tail else "")
        if not lose_tail:
            self._write_journal()
        self.alive = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def restart(self) -> None:
        if not self.alive:
            self.alive = True
            self._begin(self._journal)

    def _write_journal(self) -> None:
        self._journal = Kept(
            self.client.next_source_seq,
            tuple(self._unseen.values()),
            self.reader.position,
            self.reader.proven_epoch,
            self.session_seq,
        )

    # Commands

    def _trade(self) -> None:
        """Forward a few messages, and again a little later."""
        for _ in range(self.world.rng.randint(1, 4)):
            if self.session_seq < self.wanted and self.client.room > 0 and len(self._unseen) < 200:
                self._forward()
        if self.world.chance(0.05):
            self._write_journal()
        self._say()
        if self.session_seq < self.wanted or not self.cluster.healed:
            self._later(self.world.between(*self.pace), self._trade)

    def _forward(self) -> None:
        cluster = self.cluster
        self.session_seq += 1
        kind, body = cluster.workload.command(self.world.rng, self.source_id, self.session_seq)
        self._invoked.setdefault(self.session_seq, cluster.witness.acknowledged_tx)
        cluster.witness.forwarded(self.source_id, self.session_seq)
        seq = self.client.forward(self.source_id, self.session_seq, kind, body, self.world.now)
        self._unseen[seq] = Command(seq, self.source_id, self.session_seq, kind, body)

    # The link

    def _connect(self) -> None:
        if self._connection is not None:
            return
        hosts = self.cluster.replicas
        self._target = (self._target + 1) % len(hosts)
        host = hosts[self._target]
        paths = ((self.source_id, host.replica_id), (host.replica_id, self.source_id))
        connection = Connection(
            self.cluster.network,
            (self.source_id, host.replica_id),
            {
                self.source_id: lambda data: self._link_received(connection, data),
                host.replica_id: lambda data: host.link_received(connection, data),
            },
            {
                self.source_id: lambda: self._link_broken(connection),
                host.replica_id: lambda: host.link_broken(connection),
            },
        )
        if any(path in self.cluster.network.blocked for path in paths) or not host.accept(connection):
            self._later(10 * MILLI, self._connect)
            return
        self._connection = connection
        self.client.connected(self.world.rng.randbytes(32), self.world.now)

    def _link_received(self, connection: Connection, data: bytes) -> None:
        if connection is not self._connection or not self.alive:
            return
        try:
            self.client.receive_data(data, self.world.now)
        except LinkError:
            connection.close()
        except LinkForked:
            self.cluster.forked(self.address, f"gateway {self.source_id}'s link")
            self._start_over()
        self._say()

    def _link_broken(self, connection: Connection) -> None:
        if connection is self._connection:
            self._connection = None
            self.client.disconnected()
            if self.alive:
                self._later(self.world.between(0, 10 * MILLI), self._connect)

    def _keep_alive(self) -> None:
        try:
            self.client.handle_deadline(self.world.now)
        except LinkError:
            if self._connection is not None:
                self._connection.close()
        self._say()
        self._later(300 * MILLI, self._keep_alive)

    def _say(self) -> None:
        if self._connection is not None:
            self._connection.send(self.source_id, self.client.data_to_send())

    def _start_over(self) -> None:
        """A fork (mode "async"): the past is another one. What is not seen to have come by in it is forwarded again."""
        self.acknowledged = 0
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._begin(Kept(1, (), Position(), 0, 0))

    # The stream

    def receive(self, source: int, data: bytes) -> None:
        if not self.alive:
            return
        position, epoch = self.reader.position, self.reader.epoch
        try:
            released = self.reader.receive_datagram(data, self.world.now)
        except StreamForked:
            self.cluster.forked(self.address, f"gateway {self.source_id}")
            self._start_over()
            return
        self.cluster.witness.check_stale(data, epoch, released)
        if self.reader.epoch != epoch and self._connection is not None:
            self._connection.close()  # a primary of a lower epoch is a primary no more
        if released:
            self._released(released, position.digest)
        self._send()

    def _released(self, released: list[Message], digest: int) -> None:
        data, _ = remake(SHARD, released, digest)
        self.cluster.witness.released(self.source_id, released, data)
        for index, message in enumerate(released):
            if message.flags & FIRST:
                header = CommandHeader.unpack_from(message.body)
                if header.source_id == self.source_id and header.source_seq:
                    self._came_by(message.kind, header, [] if message.flags & END else released[index + 1 : index + 2])

    def _came_by(self, kind: int, header: CommandHeader, events: list[Message]) -> None:
        """`events`: the first one, if there is any."""
        self.client.seen(header.source_seq)
        self._unseen = {seq: command for seq, command in self._unseen.items() if seq > header.source_seq}
        if kind != NOOP and header.session_seq > self.acknowledged:
            self.acknowledged = header.session_seq
            self.cluster.witness.acknowledged(header, self._invoked.get(header.session_seq, 0), events)

    def _ring(self) -> None:
        self._wake_at = -1
        self.reader.handle_deadline(self.world.now)
        self._send()

    def _send(self) -> None:
        servers = self.cluster.servers_for(self.source_id)
        for index, request in self.reader.datagrams_to_send():
            self.cluster.network.send(self.source_id, servers[index], request)
        deadline = self.reader.next_deadline()
        if deadline is not None and (self._wake_at < 0 or deadline < self._wake_at):
            self._wake_at = max(deadline, self.world.now + 1)
            self._later(self._wake_at - self.world.now, self._ring)
