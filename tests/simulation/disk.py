"""A replica's disk: journal records in order, of which the first are safe from a power cut, and snapshots.

A record that is written in part is what the real journal cuts off at a restart, so here it is not there at all; a
snapshot's file is there whole or not at all, but may be damaged later.
"""

from recovery.command_log import BEGIN_RECORD, COMMAND_RECORD, CUT_RECORD, ENTRY_PLACE, entry_tx
from recovery.replayed_log import SNAPSHOT_FIELDS
from recovery.snapshot import Snapshot, SnapshotDamaged, decode_snapshot
from tests.simulation.world import World

KEPT_SNAPSHOTS = 2


class Disk:
    """Writes are cut off anywhere by a power cut; what was synced stays. A killed process loses nothing written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.records: list[tuple[int, bytes]] = []
        self.first_number = 1
        """Of `records`; those before it are pruned."""
        self.synced = 0
        """How many were ever written and are safe."""
        self.snapshots: dict[int, bytes] = {}
        self.lost = False
        """It was replaced by an empty one."""
        self._gone: list[dict[int, bytes]] = []  # what a lost disk held: it was there when it was acknowledged
        self._safe: dict[int, bytes] = {}  # tx → entry of the log as the synced records make it
        self._read_up_to = 0

    @property
    def written(self) -> int:
        """How many records were ever written."""
        return self.first_number - 1 + len(self.records)

    def write(self, records: list[tuple[int, bytes]]) -> None:
        self.records += records

    def sync(self, number: int) -> None:
        self.synced = max(self.synced, number)

    def prune(self, needed_number: int) -> None:
        """The records before this one may go; as many go as fill segments, which are of any size here."""
        self._read()
        count = self.world.between(0, needed_number - self.first_number + 1)
        del self.records[:count]
        self.first_number += count

    def cut_power(self) -> None:
        kept = self.world.rng.randint(self.synced, self.written)
        del self.records[kept - self.first_number + 1 :]

    def opened(self) -> None:
        """A process that starts has everything that is there synced before it goes on."""
        self.synced = self.written

    def wipe(self) -> None:
        self._read()
        self._gone.append(self._safe)
        self._safe = {}
        self.records = []
        self.snapshots = {}
        self.first_number = 1
        self.synced = self._read_up_to = 0
        self.lost = True

    def holds(self, tx: int, command: bytes) -> bool:
        """Whether this command would survive a power cut now (or did, until the disk was lost)."""
        self._read()
        if max(self.snapshots, default=0) >= tx:
            return True
        return any(log.get(tx, b"")[ENTRY_PLACE.size :] == command for log in (self._safe, *self._gone))

    def _read(self) -> None:
        """Take note of what has become safe."""
        safe = self._safe
        pruned = self.first_number - 1
        for kind, payload in self.records[self._read_up_to - pruned : self.synced - pruned]:
            if kind == COMMAND_RECORD:
                tx = entry_tx(payload)
                assert tx + 1 not in safe
                safe[tx] = payload
            elif kind == CUT_RECORD:
                self._keep(int.from_bytes(payload, "big"))
            elif kind == BEGIN_RECORD:
                self._keep(SNAPSHOT_FIELDS.unpack(payload)[0] - 1)
        self._read_up_to = self.synced

    def _keep(self, last_tx: int) -> None:
        for tx in [tx for tx in self._safe if tx > last_tx]:
            del self._safe[tx]

    # Snapshots

    def save(self, tx: int, data: bytes) -> None:
        self.snapshots[tx] = data
        for old in sorted(self.snapshots)[:-KEPT_SNAPSHOTS]:
            del self.snapshots[old]

    def whole(self, tx: int = 1 << 62) -> list[Snapshot]:
        """Those that can be read, of at most `tx`, the newest first."""
        found = []
        for each in sorted(self.snapshots, reverse=True):
            if each <= tx:
                try:
                    found.append(decode_snapshot(self.snapshots[each]))
                except SnapshotDamaged:
                    continue
        return found

    def damage(self) -> int | None:
        """A bit of the newest snapshot flips, if there is an older one that the journal goes on from, too: its tx."""
        whole = self.whole()
        if len(self.snapshots) < KEPT_SNAPSHOTS or len(whole) < KEPT_SNAPSHOTS or whole[1].tx < self._begun_tx():
            return None
        newest = max(self.snapshots)
        data = bytearray(self.snapshots[newest])
        data[self.world.rng.randrange(len(data))] ^= 1 << self.world.rng.randrange(8)
        self.snapshots[newest] = bytes(data)
        return newest

    def _begun_tx(self) -> int:
        """Where the log begins by what the journal says; below, it may lack what was acknowledged."""
        begun = (SNAPSHOT_FIELDS.unpack(payload)[0] for kind, payload in self.records if kind == BEGIN_RECORD)
        return max(begun, default=0)
