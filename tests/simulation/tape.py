"""The shard of a simulated cluster: small, sensitive to every command and their order, with long transactions."""

from recovery.checksum import crc32c, crc32c_extend

WRITE = 16
"""body: number of events u8 · size of each, in units of 8 bytes u8 · number of continuations u8 · anything."""
CONTINUE = 17
WRITTEN = 96
CONTINUED = 97


class Tape:
    """Its state is the checksum of all it was told. Each event shows it, so no command can be lost or moved unseen."""

    def __init__(self) -> None:
        self.sum = 0
        self.steps = 0

    def apply(
        self, kind: int, body: bytes, timestamp: int, tx: int, source_id: int, session_id: int
    ) -> list[tuple[int, bytes]]:
        self.sum = crc32c_extend(self.sum, b"%d %d %d %d %b" % (kind, timestamp, tx, source_id, body))
        if kind == CONTINUE:
            self.steps -= 1
            return [(CONTINUED, b"%d %d" % (self.sum, self.steps))]
        events, size, steps = body[:3]
        self.steps += steps
        return [(WRITTEN, b"%d %d " % (self.sum, number) + bytes(8 * size)) for number in range(events)]

    def continuation(self) -> tuple[int, bytes] | None:
        return (CONTINUE, b"") if self.steps else None

    def digest(self) -> int:
        return crc32c(b"%d %d" % (self.sum, self.steps))
