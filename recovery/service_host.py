"""A replica's service on a TCP listener: many askers, each with its own connection, none of whom can disturb another.

- A connection is a pump (`recovery.pump`) and one task that answers its requests, one after the other. What goes wrong
  in either ends that connection, and nothing else; also our own mistakes in answering, which are logged: a question
  changes nothing in the replica, so they leave no damage behind.
- Strangers are few. When there is one too many, the oldest is closed and not the newest turned away: a login takes one
  round trip, so whoever holds the key gets in between connections that only sit there.
- A peer that does not read is given up by the pump. A snapshot is read and sent chunk by chunk, so it is never in
  memory as a whole, and only a few are sent at a time.

How a read sees committed state only, on every role:

- On a backup what is applied is what is committed, and the answer is made from it.
- A primary applies before the commit. The answer is made at once, from the state after transaction T, the last applied,
  and held until T is committed by this very primary, in the same epoch: that state has then become history, and the
  answer is true. If the role or the epoch changes first, the answer is thrown away: T may be another transaction now.
- A deposed primary that has not yet compared what it applied refuses; others know better.
- A question whose answer takes long (the state machine says which) is answered by a forked child, which has the state
  after T as the answers made here have it; the replica goes on meanwhile, and the same conditions release the answer.
  One child at a time: each is a copy of the process.
"""

import logging
import os
from pathlib import Path
from typing import Protocol

import trio

from recovery.alarm import now_ns
from recovery.forked import MAX_RESULT_BYTES, Child, WorkFailed
from recovery.frames import LinkError
from recovery.member import Role
from recovery.pump import Pump
from recovery.service import NONCE_BYTES, ServiceServer
from recovery.service_frames import (
    CHUNK_BYTES,
    MAX_ANSWER_BYTES,
    Answer,
    AskPosition,
    AskSnapshot,
    BeginOperating,
    Chunk,
    Operate,
    Operated,
    Operating,
    Position,
    Read,
    Refused,
    Reply,
    Request,
    SnapshotHead,
    Taken,
    TakeSnapshot,
)

MAX_CONNECTIONS = 128
"""That are logged in: peers, gateways, operators."""
MAX_STRANGERS = 64
"""That are not yet."""
MAX_SNAPSHOTS = 2
"""Sent at a time: more only make all of them slower."""
COMMIT_SECONDS = 5
"""How long a read waits for the commit: many failovers' time, after which the asker is told to look elsewhere."""

_log = logging.getLogger(__name__)


class Unavailable(Exception):
    """What was asked for cannot be given now, or not by this replica; the text goes to the asker."""


class Served(Protocol):
    """The replica behind the service."""

    @property
    def shard_id(self) -> int: ...

    @property
    def replica_id(self) -> int: ...

    @property
    def applied_tx(self) -> int:
        """The last transaction in the state that `read` answers from; on a primary it may be above the commit."""

    def position(self) -> Position: ...

    async def wait_committed(self, tx: int) -> None:
        """Until the commit here has reached `tx`; for ever, when it does not."""

    def read(self, request: bytes) -> bytes:
        """The answer from the present state, which it does not change."""

    def is_long(self, request: bytes) -> bool:
        """Whether `read` takes too long for the task that serves everybody."""

    @property
    def long_reads(self) -> trio.Lock:
        """Held while a child reads."""

    def newest_snapshot(self) -> Path | None:
        """`<tx>.snapshot`, complete."""

    async def take_snapshot(self) -> int:
        """Make one; its tx. Raises Unavailable."""

    async def begin_operating(self) -> Operating:
        """Let the asker be the operator from here on. Raises Unavailable."""

    async def operate(self, request: Operate) -> Operated | Operating:
        """Sequence a command of the operator's, once, and wait until it is committed. Raises Unavailable."""


async def read_committed(served: Served, min_tx: int, request: bytes) -> Answer:
    """Answer from a committed state that holds `min_tx`. Raises Unavailable."""
    await _wait_committed(served, min_tx)
    if not served.is_long(request):
        before, tx = _shown(served, min_tx)
        answer = served.read(request)
        if len(answer) > MAX_ANSWER_BYTES:
            raise Unavailable(f"the answer has {len(answer)} bytes, and {MAX_ANSWER_BYTES} are the most: ask for less")
    else:
        async with served.long_reads:
            before, tx = _shown(served, min_tx)
            answer = await _read_in_child(served, request)
    if tx > before.commit_tx:
        await _wait_committed(served, tx)
        after = served.position()
        if (after.role, after.epoch) != (before.role, before.epoch) or after.commit_tx < tx:
            raise Unavailable(f"transaction {tx} was not committed by the primary of epoch {before.epoch}")
    return Answer(tx, answer)


def _shown(served: Served, min_tx: int) -> tuple[Position, int]:
    """The position, and the last transaction in the state: both until the next checkpoint. Raises Unavailable."""
    before = served.position()
    if before.commit_tx < min_tx:
        raise Unavailable(f"transaction {min_tx} is not committed here yet, only {before.commit_tx}")
    tx = served.applied_tx
    if tx > before.commit_tx and before.role is not Role.PRIMARY:
        raise Unavailable(f"transactions {before.commit_tx + 1} to {tx} were applied here by a deposed primary")
    return before, tx


async def _read_in_child(served: Served, request: bytes) -> bytes:
    """The answer from the state at the call: the fork comes before the first checkpoint. Raises Unavailable."""

    def work() -> bytes:
        answer = served.read(request)
        if len(answer) > MAX_RESULT_BYTES:
            raise ValueError(f"it has {len(answer)} bytes, and {MAX_RESULT_BYTES} are the most of a long one")
        return answer

    try:
        return await Child(work).result()
    except (WorkFailed, OSError) as error:
        raise Unavailable(f"the answer was not made: {error}") from error


async def _wait_committed(served: Served, tx: int) -> None:
    """Or until it is not worth waiting any longer."""
    if served.position().commit_tx < tx:
        with trio.move_on_after(COMMIT_SECONDS):
            await served.wait_committed(tx)


class Service:
    """Serves one replica to whoever holds the venue's `key`."""

    def __init__(self, served: Served, key: bytes) -> None:
        self.served = served
        self.snapshots = 0
        """Being sent."""
        self.taking = trio.Lock()
        self._key = key
        self._strangers: dict[_Connection, None] = {}  # the oldest first
        self._known: set[_Connection] = set()

    async def run(self, listeners: list[trio.SocketListener]) -> None:
        """Until cancelled."""
        await trio.serve_listeners(self.serve, listeners)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """One connection, until it ends. Raises nothing."""
        connection = _Connection(self, self._key, stream)
        if len(self._strangers) >= MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.pump.stop()
        self._strangers[connection] = None
        try:
            await connection.run()
        except LinkError as error:
            _log.info("shard %d: service: %s", self.served.shard_id, error)
        except Exception:
            _log.exception("shard %d: service", self.served.shard_id)
        finally:
            self._strangers.pop(connection, None)
            self._known.discard(connection)

    def logged_in(self, connection: "_Connection") -> None:
        """No stranger any more. Raises LinkError when there are too many of them."""
        if connection in self._known:
            return
        if len(self._known) >= MAX_CONNECTIONS:
            raise LinkError(f"{MAX_CONNECTIONS} connections are the most")
        self._strangers.pop(connection, None)
        self._known.add(connection)


class _Connection:
    """One asker's."""

    def __init__(self, service: Service, key: bytes, stream: trio.abc.Stream) -> None:
        served = service.served
        self._service = service
        self._served = served
        self._core = ServiceServer(served.shard_id, served.replica_id, key, os.urandom(NONCE_BYTES), now_ns())
        self.pump = Pump(self, stream, self._received)
        self._requests, self._to_answer = trio.open_memory_channel[Request](1)
        self._drained = trio.Event()

    async def run(self) -> None:
        """Raises LinkError."""
        failure = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answer_all)
            try:
                await self.pump.run()
            except Exception as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _received(self, data: bytes, now: int) -> None:
        request = self._core.receive_data(data, now)
        if self._core.logged_in:
            try:
                self._service.logged_in(self)
            except LinkError as error:
                self._core.end(str(error))
                raise
        if request is not None:
            self._requests.send_nowait(request)  # there is room: the core takes one at a time

    # As the pump's link

    @property
    def has_data_to_send(self) -> bool:
        return self._core.has_data_to_send

    def data_to_send(self) -> bytes:
        self._drained.set()
        self._drained = trio.Event()
        return self._core.data_to_send()

    def next_deadline(self) -> int | None:
        return self._core.next_deadline()

    def handle_deadline(self, now: int) -> None:
        self._core.handle_deadline(now)

    # Answers

    async def _answer_all(self) -> None:
        try:
            async for request in self._to_answer:
                await trio.sleep(self._core.pause(now_ns()) / 1e9)
                try:
                    await self._answer(request)
                except Unavailable as refusal:
                    self._reply(Refused(str(refusal)))
        except Exception as error:
            _log.exception("shard %d: service: a request was not answered", self._served.shard_id)
            self._core.end(f"the request could not be answered: {error!r}")
            self.pump.stop()

    def _reply(self, reply: Reply) -> None:
        self._core.reply(reply, now_ns())
        self.pump.wake()

    async def _answer(self, request: Request) -> None:
        match request:
            case AskPosition():
                self._reply(self._served.position())
            case Read(min_tx, query):
                self._reply(await read_committed(self._served, min_tx, query))
            case AskSnapshot(min_tx):
                await self._answer_snapshot(min_tx)
            case TakeSnapshot():
                async with self._service.taking:
                    self._reply(Taken(await self._served.take_snapshot()))
            case BeginOperating():
                self._reply(await self._served.begin_operating())
            case Operate():
                self._reply(await self._served.operate(request))

    async def _answer_snapshot(self, min_tx: int) -> None:
        path = self._served.newest_snapshot()
        if path is None:
            raise Unavailable("there is no snapshot here")
        if int(path.stem) < min_tx:
            raise Unavailable(f"the newest snapshot here is of transaction {int(path.stem)}, before {min_tx}")
        if self._service.snapshots >= MAX_SNAPSHOTS:
            raise Unavailable(f"{MAX_SNAPSHOTS} snapshots are being sent already: ask another replica")
        self._service.snapshots += 1
        try:
            await self._send_snapshot(path)
        except OSError as error:
            raise LinkError(f"{path}: {error}") from error
        finally:
            self._service.snapshots -= 1

    async def _send_snapshot(self, path: Path) -> None:
        """Raises LinkError when the file ends before its time."""
        async with await trio.open_file(path, "rb") as file:
            rest = os.fstat(file.fileno()).st_size
            self._reply(SnapshotHead(int(path.stem), rest))
            while rest:
                data = await file.read(min(rest, CHUNK_BYTES))
                if not data:
                    raise LinkError(f"{path} ends {rest} bytes early")
                rest -= len(data)
                drained = self._drained
                self._reply(Chunk(data))
                await drained.wait()  # one chunk is being sent, so the next may be read
