"""The shard of a simulated cluster: small, sensitive to every command and their order, with long transactions.

Beside its tape it has registers, so that what its callers are answered can be judged without knowing of transactions:
a WRITE puts a value into one, and its first event says what was there before.
"""

from struct import Struct, error

from recovery.checksum import crc32c, crc32c_extend

WRITE = 16
"""body: number of events u8 · size of each, in 8 bytes, u8 · number of continuations u8 · register u8 · value."""
CONTINUE = 17
WRITTEN = 96
CONTINUED = 97

REGISTERS = 6

_STATE = Struct(">II")


class Tape:
    """Its state is the checksum of all it was told. Each event shows it, so no command can be lost or moved unseen."""

    def __init__(self) -> None:
        self.sum = 0
        self.steps = 0
        self.registers = [b""] * REGISTERS

    def apply(
        self, kind: int, body: bytes, timestamp: int, tx: int, source_id: int, session_id: int
    ) -> list[tuple[int, bytes]]:
        self.sum = crc32c_extend(self.sum, b"%d %d %d %d %b" % (kind, timestamp, tx, source_id, body))
        if kind == CONTINUE:
            self.steps -= 1
            return [(CONTINUED, b"%d|%d" % (self.sum, self.steps))]
        events, size, steps, register = body[:4]
        self.steps += steps
        before = self.registers[register % REGISTERS]
        self.registers[register % REGISTERS] = body[4:]
        return [(WRITTEN, b"%d|%d|%b|" % (self.sum, number, before) + bytes(8 * size)) for number in range(events)]

    def continuation(self) -> tuple[int, bytes] | None:
        return (CONTINUE, b"") if self.steps else None

    def digest(self) -> int:
        return crc32c(self.snapshot())

    def read(self, request: bytes) -> bytes:
        """A register, named by one byte, and the checksum of the tape up to now."""
        return b"%d|%b" % (self.sum, self.registers[request[0] % REGISTERS])

    def is_long(self, request: bytes) -> bool:
        return False

    def snapshot(self) -> bytes:
        return _STATE.pack(self.sum, self.steps) + b"|".join(self.registers)

    def restore(self, data: bytes) -> None:
        try:
            self.sum, self.steps = _STATE.unpack_from(data)
        except error:
            raise ValueError("no tape") from None
        self.registers = data[_STATE.size :].split(b"|")
        if len(self.registers) != REGISTERS:
            raise ValueError(f"a tape has {REGISTERS} registers, not {len(self.registers)}")
