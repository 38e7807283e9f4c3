"""A retransmission server of a simulated cluster."""

from typing import TYPE_CHECKING

from recovery.past import Past
from recovery.reader import Reader, StreamForked
from recovery.record import Message, remake
from recovery.store import MemoryStore
from tests.simulation.hosts import REQUEST
from tests.simulation.workload import SHARD

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


class ServerHost:
    """A retransmission server: a reader that keeps what it releases. Its memory survives, as its journal would."""

    def __init__(self, cluster: "Cluster", address: int) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.address = address
        self.alive = True
        self.store = MemoryStore(1 << 30)
        self.reader = Reader(SHARD, server_count=len(cluster.servers_for(address)), past=Past())
        self.retransmitter = cluster.shape.retransmitter_class({SHARD: self})
        self._wake_at = -1

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
                self.cluster.witness.check_retransmitted(answer)
                self.cluster.network.send(self.address, source, answer)
            return
        position, epoch = self.reader.position, self.reader.epoch
        try:
            released = self.reader.receive_datagram(data, self.world.now)
        except StreamForked:
            self.cluster.forked(self.address, f"server {self.address}")
            self.reader.go_back()
            kept = self.store.messages(1, 1 << 30)[: self.reader.position.next_seq - 1]
            self.store = MemoryStore(1 << 30)
            self.store.append(kept)
            return
        self.cluster.witness.check_stale(data, epoch, released)
        if released:
            self._keep(released, position.digest)
        self._send()

    def _keep(self, released: list[Message], digest: int) -> None:
        data, _ = remake(SHARD, released, digest)
        self.cluster.witness.released(self.address, released, data)
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
