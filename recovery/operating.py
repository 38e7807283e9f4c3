"""Having a running shard do a command of the operator's, once: on whichever replica leads, also over a failover.

The rules:

- Every replica is asked where it stands, and who says that it is the primary gets the command. The answer comes when
  the command, and all that it made to be done, is committed.
- The primary gives a number first. A command is sent again under its number and is then not taken twice, by no primary.
- Another operator's command takes the number over. Then this one is given a new number if it surely was not taken: if
  it had never been sent, or if the last number in force is below its own.
- After `timeout` it is not known what becomes of a command that was sent, and that is what is said (`NotOperated`).
"""

import secrets
from collections.abc import Mapping

import trio

from recovery.frames import LinkError
from recovery.member import Role
from recovery.multicast import Address
from recovery.service_client import TAKE_SECONDS, Connection, connected, expect, positions
from recovery.service_frames import (
    AskPosition,
    BeginOperating,
    Operate,
    Operated,
    Operating,
    Position,
    Taken,
    TakeSnapshot,
)

RETRY_SECONDS = 0.05
"""Between two rounds through the replicas; a failover takes some tenths of a second."""


class NotOperated(Exception):
    """The command has no outcome; the text says why. `sent`: it may have taken effect, or may yet."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


async def operate(
    shard_id: int,
    controls: Mapping[int, Address],
    key: bytes,
    kind: int,
    body: bytes,
    *,
    continued_by: int,
    timeout: float,
) -> Operated:
    """What came of the command. `controls`: where the shard's replicas have their services. Raises NotOperated."""
    operating = _Operating(shard_id, key, kind, body, continued_by)
    with trio.move_on_after(timeout):
        while True:
            for replica_id, address in controls.items():
                operated = await operating.try_at(replica_id, address)
                if operated is not None:
                    return operated
            await trio.sleep(RETRY_SECONDS * (1 + secrets.randbelow(100) / 100))  # not in step with another operator
    why = "; ".join(operating.reasons.values()) or "no replica has answered"
    raise NotOperated(f"not confirmed within {timeout:g} s: {why}", sent=operating.sent)


class _Operating:
    """One command under way."""

    def __init__(self, shard_id: int, key: bytes, kind: int, body: bytes, continued_by: int) -> None:
        self.sent = False
        self.reasons: dict[int, str] = {}
        """By replica: why it did not do it."""
        self._shard_id = shard_id
        self._key = key
        self._command = (continued_by, kind, body)
        self._number: Operating | None = None

    async def try_at(self, replica_id: int, address: Address) -> Operated | None:
        """None: not here, not now, or not under this number. Raises NotOperated."""
        try:
            async with connected(self._shard_id, replica_id, address, self._key) as connection:
                position = expect(Position, await connection.ask(AskPosition()))
                if position.role is not Role.PRIMARY:
                    raise LinkError(f"it is {position.role.value}")
                return await self._operate(connection)
        except LinkError as error:
            self.reasons[replica_id] = f"replica {replica_id}: {error}"
            return None

    async def _operate(self, connection: Connection) -> Operated | None:
        if self._number is None:
            self._number = expect(Operating, await connection.ask(BeginOperating()))
        number = self._number
        sent_before, self.sent = self.sent, True
        request = Operate(number.incarnation, number.source_seq + 1, *self._command)
        reply = await connection.ask(request)
        if isinstance(reply, Operating):
            if sent_before and reply.source_seq > number.source_seq:
                raise NotOperated("another operator's command came in between", sent=True)
            self._number, self.sent = None, False
            return None
        return expect(Operated, reply)


async def take_snapshot(
    shard_id: int, controls: Mapping[int, Address], key: bytes, *, timeout: float
) -> tuple[int, int]:
    """Have a replica make a snapshot now: (which one, of which transaction). Raises NotOperated: nobody has."""
    found = await positions(shard_id, controls, key, timeout=timeout)
    reasons = {number: position for number, position in found.items() if isinstance(position, str)}
    there = {number: position.role for number, position in found.items() if not isinstance(position, str)}
    for number in sorted(there, key=lambda number: there[number] is not Role.BACKUP):
        try:
            async with connected(shard_id, number, controls[number], key) as connection:
                with trio.fail_after(max(timeout, TAKE_SECONDS)):
                    return number, expect(Taken, await connection.ask(TakeSnapshot())).tx
        except LinkError as error:
            reasons[number] = str(error)
        except trio.TooSlowError:
            reasons[number] = "no snapshot in time"
    why = "; ".join(f"replica {number}: {reason}" for number, reason in sorted(reasons.items()))
    raise NotOperated(f"no replica has made a snapshot: {why}", sent=False)
