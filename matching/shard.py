"""The engine as a state machine over bytes: decode a command, apply it, encode its events.

This is the seam to `recovery`, which numbers commands, carries them, and replays them after a crash; it knows nothing
of what they mean. Kinds 0..15 are the stream's own and mean nothing here. Bytes that are no command are refused by an
event like any other mistake: they have consumed a number of the stream.
"""

from typing import Final

from matching.codes import RefusalReason
from matching.commands import Continue
from matching.engine import Engine
from matching.events import CommandRefused
from matching.queries import QueryError, QueryRefused, StateDigest, decode_query
from matching.queries import encode as encode_answer
from matching.wire import COMMAND_KINDS, WireError, decode_command, encode, encode_all

#: Kinds below it belong to the stream itself.
FIRST_COMMAND_KIND: Final = 16

_CONTINUE: Final = encode(Continue())


class Shard:
    """One shard's engine behind `recovery`'s StateMachine. `engine` may be read by tools."""

    __slots__ = ("engine",)

    def __init__(self, shard_id: int) -> None:
        self.engine = Engine(shard_id)

    def apply(
        self,
        kind: int,
        body: bytes,
        timestamp: int,
        tx: int,  # noqa: ARG002
        source_id: int,  # noqa: ARG002
        session_id: int,
    ) -> list[tuple[int, bytes]]:
        """The events of a command, each as (kind, body). Never raises, whatever the bytes are."""
        if kind < FIRST_COMMAND_KIND:
            return []
        try:
            command = decode_command(kind, body)
        except WireError:
            reason = RefusalReason.UNDECODABLE if kind in COMMAND_KINDS else RefusalReason.UNKNOWN_KIND
            return [encode(CommandRefused(kind, reason))]
        return encode_all(self.engine.apply(command, timestamp, session_id))

    def continuation(self) -> tuple[int, bytes] | None:
        """The command that must be sequenced before any other, if there is one."""
        return _CONTINUE if self.engine.pending else None

    def snapshot(self) -> bytes:
        """The engine's complete state."""
        return self.engine.snapshot()

    def restore(self, data: bytes) -> None:
        """Be the shard that wrote this snapshot. Raises ValueError on bytes that are none of this version and shard."""
        self.engine.restore(data)

    def read(self, request: bytes) -> bytes:
        """The answer to a question of `queries`. Changes nothing, and never raises, whatever the bytes are."""
        try:
            query = decode_query(request)
        except QueryError as error:
            return encode_answer(QueryRefused(str(error)))
        return encode_answer(self.engine.answer(query))

    def is_long(self, request: bytes) -> bool:
        """Whether the answer takes a look at everything: seconds, when there is much."""
        try:
            return isinstance(decode_query(request), StateDigest)
        except QueryError:
            return False

    def digest(self) -> int:
        """CRC-32C of the engine's complete state."""
        return self.engine.digest()
