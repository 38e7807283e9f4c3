"""A replica's disk: records in order, of which the first `synced` are safe from a power cut."""

from recovery.command_log import COMMAND_RECORD, CUT_RECORD, entry_tx
from tests.simulation.world import World


class Disk:
    """Writes are cut off anywhere by a power cut; what was synced stays. A killed process loses nothing written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.records: list[tuple[int, bytes]] = []
        self.synced = 0
        self.lost = False
        """It was replaced by an empty one."""
        self._gone: list[bytes] = []  # what the disk held that was lost: it was there when it was acknowledged
        self._safe: list[bytes] = []  # the log as the synced records make it
        self._safe_records = 0

    def write(self, records: list[tuple[int, bytes]]) -> None:
        self.records += records

    def sync(self, number: int) -> None:
        self.synced = max(self.synced, number)

    def cut_power(self) -> None:
        kept = self.world.rng.randint(self.synced, len(self.records))
        del self.records[kept:]

    def opened(self) -> None:
        """A process that starts has everything that is there synced before it goes on."""
        self.synced = len(self.records)

    def wipe(self) -> None:
        self._read()
        self._gone = self._safe
        self.records = []
        self.synced = self._safe_records = 0
        self._safe = []
        self.lost = True

    def holds(self, tx: int, entry: bytes) -> bool:
        """Whether this entry would survive a power cut now (or did, until the disk was lost)."""
        self._read()
        return any(len(log) >= tx and log[tx - 1] == entry for log in (self._safe, self._gone))

    def _read(self) -> None:
        for kind, payload in self.records[self._safe_records : self.synced]:
            if kind == COMMAND_RECORD:
                assert entry_tx(payload) == len(self._safe) + 1
                self._safe.append(payload)
            elif kind == CUT_RECORD:
                del self._safe[int.from_bytes(payload, "big") :]
        self._safe_records = self.synced
