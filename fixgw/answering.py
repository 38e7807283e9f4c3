"""Answers inquiries from quorum reads: one task for each session that has asked, in the order of its requests.

An inquiry is given to `take` when its message is written down. Its answer is told in portions, each a batch like any
other: written down, then sent; between two of them everybody else gets a turn, and a broker that does not read is
waited for. When the connection that asked is gone, the rest of its answers is too: who comes back asks again.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

import trio

from fixgw.connection import Connection
from fixgw.history import portions
from fixgw.inquiries import Inquiry
from fixgw.reports import Report
from fixgw.router import Router
from recovery.service_client import NoQuorum

_log: Final = logging.getLogger("fixgw.gateway")

#: How long a majority of a shard's replicas has for one question. A change of the primary fits in.
QUESTION_SECONDS: Final = 2.0

#: With so much waiting for the socket, an answer waits until the broker has read some of it, looking this often.
BACKLOG_BYTES: Final = 1 << 20
_LOOK_SECONDS: Final = 0.05

#: Asks a shard, by its id. Raises NoQuorum.
Ask = Callable[[int, bytes], Awaitable[bytes]]


class Shell(Protocol):
    """What answering needs of its gateway."""

    router: Router
    connections: dict[int, Connection]

    def now(self) -> int: ...

    def flush(self) -> None: ...

    async def wait_room(self) -> None: ...


class Answering:
    """The inquiries of one gateway that wait for their answers."""

    def __init__(self, gateway: Shell, ask: Ask) -> None:
        self._gateway = gateway
        self._ask = ask
        self._waiting: dict[int, deque[tuple[Inquiry, Connection | None]]] = {}
        self._nursery: trio.Nursery

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until canceled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def take(self, inquiry: Inquiry) -> None:
        """An inquiry whose message is written down."""
        session_id = inquiry.session_id
        asked = (inquiry, self._gateway.connections.get(session_id))
        waiting = self._waiting.get(session_id)
        if waiting is not None:
            waiting.append(asked)
        else:
            self._waiting[session_id] = deque([asked])
            self._nursery.start_soon(self._answer_all, session_id)

    async def _answer_all(self, session_id: int) -> None:
        waiting = self._waiting[session_id]
        while waiting:
            inquiry, connection = waiting.popleft()
            if connection is not None:
                await self._answer(inquiry, connection)
            self._gateway.router.inquiries.done(session_id)
        del self._waiting[session_id]

    async def _answer(self, inquiry: Inquiry, connection: Connection) -> None:
        answer = self._gateway.router.answer_of(inquiry)
        while (question := answer.question()) is not None:
            try:
                reply = await self._ask(*question)
                reports = answer.receive(reply, self._gateway.now())
            except NoQuorum as error:
                text = "an inquiry of session %d is not answered: shard %d: %s"
                _log.warning(text, inquiry.session_id, question[0], error)
                reports = answer.failed(self._gateway.now())
            for portion in portions(reports):
                if not await self._may_tell(inquiry, connection):
                    return
                self._tell(portion)
        watched = self._gateway.router.answered(answer)
        if watched:
            self._tell(watched)

    async def _may_tell(self, inquiry: Inquiry, connection: Connection) -> bool:
        """Wait until the broker has room for more. False: it is gone."""
        await trio.lowlevel.checkpoint()
        await self._gateway.wait_room()
        while connection.backlog_bytes > BACKLOG_BYTES and not connection.closed:  # noqa: ASYNC110 - nobody tells
            await trio.sleep(_LOOK_SECONDS)
        return self._gateway.connections.get(inquiry.session_id) is connection

    def _tell(self, reports: Iterable[Report]) -> None:
        self._gateway.router.tell(reports, self._gateway.now())
        self._gateway.flush()
