"""Asking replicas over TCP: one question, a quorum read, a snapshot.

A quorum read (`recovery.query` says whom to ask what, and why the answer is right) keeps one connection to each replica
for as long as it takes; a connection on which an answer is still due when the replica is to be asked something else is
closed, and a new one made: an answer nobody waits for must not be taken for another.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from recovery.alarm import Alarm, now_ns
from recovery.command_log import Point
from recovery.frames import LinkError
from recovery.member import Role
from recovery.multicast import Address
from recovery.query import Ask, NoQuorum, QuorumRead, TooLong
from recovery.service import NONCE_BYTES, ServiceClient
from recovery.service_frames import (
    Answer,
    AskPosition,
    AskSnapshot,
    Chunk,
    Operated,
    Operating,
    Position,
    Refused,
    Reply,
    Request,
    SnapshotHead,
    Taken,
    TakeSnapshot,
)
from recovery.snapshot import SnapshotDamaged, check_snapshot

RECEIVE_BYTES = 262_144
CONNECT_SECONDS = 2
"""For a connection and its login: a replica on the venue's network that needs longer is of no use."""
SNAPSHOT_SILENCE_SECONDS = 5
"""Without a byte of a snapshot, after which another replica is asked."""
TAKE_SECONDS = 60
"""For a replica to make a snapshot."""

__all__ = [
    "Connection",
    "NoQuorum",
    "SnapshotUnavailable",
    "TooLong",
    "connected",
    "expect",
    "fetch_snapshot",
    "positions",
    "quorum_answer",
    "quorum_read",
]


_R = TypeVar("_R", Position, SnapshotHead, Chunk, Taken, Operating, Operated)


class SnapshotUnavailable(Exception):
    """No replica has given a snapshot that is new enough; the text says why of each."""


class NobodyThere(LinkError):
    """No process listens at the replica's address."""


class Connection:
    """To one replica. `connect` makes it."""

    def __init__(self, core: ServiceClient, stream: trio.abc.Stream) -> None:
        self._core = core
        self._stream = stream
        self._replies: list[Reply] = []

    async def ask(self, request: Request) -> Reply:
        """The answer, or the head of a snapshot. Raises LinkError."""
        self._core.ask(request)
        return await self.next_reply()

    async def next_reply(self) -> Reply:
        """Raises LinkError."""
        try:
            while not self._replies:
                if to_send := self._core.data_to_send():
                    await self._stream.send_all(to_send)
                    continue
                data = await self._stream.receive_some(RECEIVE_BYTES)
                if not data:
                    raise LinkError("the replica closed the connection")
                self._replies += self._core.receive_data(bytes(data))
        except trio.BrokenResourceError as error:
            raise LinkError(f"connection lost: {error}") from error
        return self._replies.pop(0)

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)


async def connect(shard_id: int, replica_id: int | None, address: Address, key: bytes) -> Connection:
    """The login is done with the first question. Raises LinkError, NobodyThere where it is that."""
    try:
        with trio.fail_after(CONNECT_SECONDS):
            stream = await trio.open_tcp_stream(address[0], address[1])
    except trio.TooSlowError as error:
        raise LinkError(f"no connection within {CONNECT_SECONDS} s") from error
    except OSError as error:
        cause = _cause(error)
        kind = NobodyThere if isinstance(cause, ConnectionRefusedError) else LinkError
        raise kind(_reason(cause)) from error
    return Connection(ServiceClient(shard_id, replica_id, key, os.urandom(NONCE_BYTES)), stream)


def _cause(error: BaseException) -> BaseException:
    """What the kernel raised: trio tells it below a sentence of its own, and several in a group."""
    while error.__cause__ is not None or isinstance(error, BaseExceptionGroup):
        error = error.__cause__ or error.exceptions[0]  # type: ignore[attr-defined]
    return error


def _reason(error: BaseException) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno is not None else str(error)


@asynccontextmanager
async def connected(shard_id: int, replica_id: int | None, address: Address, key: bytes) -> AsyncIterator[Connection]:
    """A connection that is closed after the block. Raises LinkError."""
    connection = await connect(shard_id, replica_id, address, key)
    try:
        yield connection
    finally:
        with trio.CancelScope(shield=True):
            await connection.close()


# Quorum reads


async def quorum_read(
    shard_id: int, controls: Mapping[int, Address], key: bytes, request: bytes, *, timeout: float
) -> bytes:
    """What `request` is answered from committed state that has everything acknowledged before. Raises NoQuorum.

    `controls`: where each of the shard's replicas has its service, all of them, running or not.
    """
    return (await quorum_answer(shard_id, controls, key, request, timeout=timeout)).answer


async def quorum_answer(
    shard_id: int, controls: Mapping[int, Address], key: bytes, request: bytes, *, timeout: float
) -> Answer:
    """As `quorum_read`, with the transaction after which the state is that was asked."""
    core = QuorumRead(list(controls), request, now_ns(), int(timeout * 1e9))
    return await _Reading(core, shard_id, controls, key).run()


class _Reading:
    """Makes the asks of one quorum read."""

    def __init__(self, core: QuorumRead, shard_id: int, controls: Mapping[int, Address], key: bytes) -> None:
        self._core = core
        self._shard_id = shard_id
        self._controls = controls
        self._key = key
        self._alarm = Alarm(core.next_deadline, self._ring)
        self._idle: dict[int, Connection] = {}
        self._asking: dict[int, trio.CancelScope] = {}
        self._done = trio.Event()
        self._nursery: trio.Nursery

    async def run(self) -> Answer:
        """Raises NoQuorum."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._alarm.run)
                self._go_on()
                await self._done.wait()
                self._nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                for connection in self._idle.values():
                    await connection.close()
        if self._core.answer is None:
            assert self._core.failure is not None
            raise self._core.failure
        return self._core.answer

    def _ring(self, now: int) -> None:
        self._core.handle_deadline(now)
        self._go_on()

    def _go_on(self) -> None:
        """Do what the core says after whatever it was told."""
        for ask in self._core.asks():
            if ask.replica_id in self._asking:
                self._asking[ask.replica_id].cancel()
            scope = self._asking[ask.replica_id] = trio.CancelScope()
            self._nursery.start_soon(self._ask, ask, scope)
        if self._core.answer is not None or self._core.failure is not None:
            self._done.set()
        self._alarm.moved()

    async def _ask(self, ask: Ask, scope: trio.CancelScope) -> None:
        replica_id = ask.replica_id
        connection = self._idle.pop(replica_id, None)
        with scope:
            try:
                if connection is None:
                    connection = await connect(self._shard_id, replica_id, self._controls[replica_id], self._key)
                reply = await connection.ask(ask.request)
            except LinkError as error:
                self._core.failed(ask, str(error), now_ns(), absent=isinstance(error, NobodyThere))
            else:
                if self._asking.get(replica_id) is scope:
                    self._idle[replica_id], connection = connection, None
                self._core.replied(ask, reply, now_ns())
            finally:
                if connection is not None:
                    with trio.CancelScope(shield=True):
                        await connection.close()
        if self._asking.get(replica_id) is scope:
            del self._asking[replica_id]
            self._go_on()


# Positions, snapshots


async def positions(
    shard_id: int, controls: Mapping[int, Address], key: bytes, *, timeout: float
) -> dict[int, Position | str]:
    """How far each replica is, or why it does not say."""
    found: dict[int, Position | str] = {}

    async def ask(replica_id: int, address: Address) -> None:
        found[replica_id] = await _position(shard_id, replica_id, address, key, timeout)

    async with trio.open_nursery() as nursery:
        for replica_id, address in controls.items():
            nursery.start_soon(ask, replica_id, address)
    return dict(sorted(found.items()))


async def _position(
    shard_id: int, replica_id: int | None, address: Address, key: bytes, timeout: float
) -> Position | str:
    try:
        with trio.move_on_after(timeout):
            async with connected(shard_id, replica_id, address, key) as connection:
                return expect(Position, await connection.ask(AskPosition()))
    except LinkError as error:
        return str(error)
    return f"no answer within {timeout:g} s"


async def fetch_snapshot(addresses: Sequence[Address], key: bytes, shard_id: int, min_tx: int) -> tuple[bytes, Point]:
    """The newest snapshot of a replica that has a whole one of at least `min_tx`. Raises SnapshotUnavailable.

    Backups are asked before a primary, which has more to do. If none has one, a backup is asked to make it first.
    What comes is checked in a thread, for it may be large; what is damaged is as good as none, and the next is asked.
    """
    backups: list[Address] = []
    others: list[Address] = []
    reasons = []
    for address in addresses:
        position = await _position(shard_id, None, address, key, CONNECT_SECONDS)
        if isinstance(position, str):
            reasons.append(f"{_where(address)}: {position}")
        else:
            (backups if position.role is Role.BACKUP else others).append(address)
    for take, asked in ((False, [*backups, *others]), (True, backups)):
        for address in asked:
            try:
                pieces = await _fetch(shard_id, address, key, min_tx, take=take)
                return await trio.to_thread.run_sync(_checked, pieces, shard_id, min_tx)
            except (LinkError, SnapshotDamaged) as error:
                reasons.append(f"{_where(address)}: {error}")
    why = "; ".join(reasons) or "there is nobody to ask"
    raise SnapshotUnavailable(f"shard {shard_id}: no snapshot of transaction {min_tx} or later: {why}")


def _checked(pieces: list[bytes], shard_id: int, min_tx: int) -> tuple[bytes, Point]:
    """Raises SnapshotDamaged."""
    data = b"".join(pieces)
    point = check_snapshot(data, shard_id)
    if point.tx < min_tx:
        raise SnapshotDamaged(f"it is of transaction {point.tx}")
    return data, point


async def _fetch(shard_id: int, address: Address, key: bytes, min_tx: int, *, take: bool) -> list[bytes]:
    """In pieces. Raises LinkError."""
    try:
        async with connected(shard_id, None, address, key) as connection:
            if take:
                with trio.fail_after(TAKE_SECONDS):
                    expect(Taken, await connection.ask(TakeSnapshot()))
            with trio.fail_after(SNAPSHOT_SILENCE_SECONDS):
                head = expect(SnapshotHead, await connection.ask(AskSnapshot(min_tx)))
            pieces, missing = [], head.size
            while missing > 0:
                with trio.fail_after(SNAPSHOT_SILENCE_SECONDS):
                    pieces.append(expect(Chunk, await connection.next_reply()).data)
                missing -= len(pieces[-1])
            return pieces
    except trio.TooSlowError as error:
        raise LinkError("no answer in time") from error


def _where(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def expect(kind: type[_R], reply: Reply) -> _R:
    """The core has seen to it that the reply fits the question; what is left is a refusal. Raises LinkError."""
    if isinstance(reply, Refused):
        raise LinkError(reply.text)
    assert isinstance(reply, kind)
    return reply
