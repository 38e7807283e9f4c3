"""What a replica's host does about snapshots: takes them when due, fetches and installs those of peers, prunes.

A replica that starts from a snapshot cannot make the messages before it again, so a retransmission server must have
them. Between two real snapshots lie minutes; here it is milliseconds, so one that no server has come to is left out.
"""

from typing import TYPE_CHECKING

from recovery.command_log import Point
from recovery.replayed_log import LogIncomplete
from recovery.replica import Replica
from recovery.snapshot import SnapshotDamaged, decode_snapshot, encode_snapshot
from tests.simulation.world import MILLI

if TYPE_CHECKING:
    from tests.simulation.hosts import ReplicaHost

FETCH_TIMEOUT = 300 * MILLI


class Snapshots:
    """Of one life of a replica's process."""

    def __init__(self, host: "ReplicaHost") -> None:
        self.host = host
        self.world = host.world
        self.disk = host.disk
        self._saving = False
        self._fetching = 0  # how many fetches were begun
        self._fetch_ends = -1

    def restored(self) -> Replica:
        """A replica as the disk makes it: of a snapshot that is whole and fits the journal, the older of two first."""
        whole = self.disk.whole()
        for snapshot in [*whole[1:2], *whole[:1], *whole[2:], None]:
            replica = self.host.make_replica()
            try:
                if snapshot is not None:
                    replica.restore(snapshot)
                for number, (kind, payload) in enumerate(self.disk.records, self.disk.first_number):
                    replica.replay(kind, payload, number)
                self.host.start_replica(replica)
            except (LogIncomplete, SnapshotDamaged) as error:
                self.world.tell("R%d cannot start from %s: %s", self.host.replica_id, snapshot and snapshot.tx, error)
            else:
                return replica
        raise AssertionError(f"R{self.host.replica_id}: no snapshot on its disk fits its journal")

    def look_after(self, replica: Replica) -> None:
        """After each batch."""
        void = replica.snapshots_void_above()
        if void is not None:
            for tx in [tx for tx in self.disk.snapshots if tx > void]:
                del self.disk.snapshots[tx]
        alone = self.host.cluster.snapshot_every and not replica.peers and self.world.chance(0.005)
        if alone or replica.snapshot_due is not None:
            self._take(replica)
        wanted = replica.snapshot_wanted()
        offered = replica.snapshot_offered() if wanted is None else None
        if (wanted or offered) and not self._saving and self.world.now >= self._fetch_ends:
            self._fetch(wanted or offered or 0)
        if replica.needed_number > self.disk.first_number and self.world.chance(0.05):
            self.disk.prune(replica.needed_number)

    def _take(self, replica: Replica) -> None:
        """A forked child makes the file while the replica goes on."""
        snapshot = replica.snapshot()
        if snapshot is None:
            return
        point = replica.snapshot_begun()
        if self._saving:
            return
        if snapshot.position.next_seq > max(server.reader.position.next_seq for server in self.host.cluster.servers):
            return
        data = encode_snapshot(snapshot)
        self.host.cluster.witness.snapshots += 1
        self._saving = True

        def save() -> None:
            self.disk.save(snapshot.tx, data)
            self.host.later(self.world.between(0, 3 * MILLI), note)

        def note() -> None:
            self._saving = False
            self.host.replica.snapshot_saved(point, snapshot.digest)
            self.host.flush()

        self.host.later(self.world.between(MILLI, 40 * MILLI), save)

    # From a peer

    def _fetch(self, least_tx: int) -> None:
        self._fetching += 1
        self._fetch_ends = self.world.now + FETCH_TIMEOUT
        attempt = self._fetching
        peer = self.world.rng.choice([host for host in self.host.cluster.replicas if host is not self.host])
        network = self.host.cluster.network
        here, there = self.host.address, peer.address

        def give() -> None:
            # Of damaged ones the real client lets a backup make another; here that is one which is whole.
            whole = [snapshot.tx for snapshot in peer.disk.whole() if snapshot.tx >= least_tx]
            if peer.alive and not peer.paused and whole:
                data = peer.disk.snapshots[whole[0]]
                network.carry(there, here, lambda: self._fetched(attempt, data))

        network.carry(here, there, give)

    def _fetched(self, attempt: int, data: bytes) -> None:
        host = self.host
        if host.snapshots is not self or not host.alive or host.paused or attempt != self._fetching or self._saving:
            return
        self._fetch_ends = -1
        try:
            snapshot = decode_snapshot(data)
        except SnapshotDamaged:
            return
        replica = host.replica
        wanted, offered = replica.snapshot_wanted(), replica.snapshot_offered()
        if wanted is not None and snapshot.tx >= wanted:
            self.disk.save(snapshot.tx, data)
            if replica.install(snapshot, self.world.now):
                host.cluster.witness.installed += 1
                self.world.tell("R%d goes on from a snapshot of tx %d", host.replica_id, snapshot.tx)
        elif offered is not None and offered <= snapshot.tx <= replica.commit_tx:
            self.disk.save(snapshot.tx, data)
            replica.snapshot_saved(Point(snapshot.tx, snapshot.epoch))
        host.flush()
