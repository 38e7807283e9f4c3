"""Long ranges of a stream over TCP, both ends: how a reader that is far behind has a day's messages in seconds.

A server answers on the same address over TCP as over UDP. The asker sends one request; the server sends all it has up
to the commit as it is then, and closes; an asker that is still far behind by then asks again. What comes is packets
like any others, for the same reader. So nothing here has to be right for the stream to be: whatever goes wrong ends the
connection, and the next server is asked; when none answers, gaps are asked for over UDP as ever.

A server bounds what askers can take from it: so many connections, at once and from one host; so many bytes a second
each; and who does not read is closed.
"""

import errno
import logging
from collections import Counter
from collections.abc import Callable, Sequence

import trio

from recovery import packet
from recovery.alarm import now_ns
from recovery.multicast import Address
from recovery.packet import REQUEST_BYTES, GarbledPacket
from recovery.pump import open_listeners
from recovery.reader import Reader
from recovery.retransmitter import Retransmitter

MAX_ASKERS = 32
MAX_ASKERS_PER_HOST = 16
"""A host on which a whole exchange starts again has some ten readers."""
ANSWER_BYTES_PER_SECOND = 32 * 1024 * 1024
"""To one asker: some 400,000 messages, more than one takes."""
PATIENCE = 3.0
"""Seconds: for the request to come, for a piece to be read, for anything to come."""
CONNECT_PATIENCE = 1.0
RETRY_PAUSE = 2.0
"""Seconds after all servers were asked in vain; meanwhile gaps are asked for over UDP."""
_RECEIVE_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


# The server's end


class LongAnswers:
    """Serves long requests; `active` of them now."""

    def __init__(self, retransmitter: Retransmitter, bytes_per_second: int = ANSWER_BYTES_PER_SECOND) -> None:
        self.refused = 0
        """Connections beyond the bounds."""
        self._retransmitter = retransmitter
        self._bytes_per_second = bytes_per_second
        self._hosts: Counter[str] = Counter()

    @property
    def active(self) -> int:
        return self._hosts.total()

    async def serve(self, address: Address, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Where the port is taken by another program, there are long answers elsewhere only."""
        try:
            listeners = await open_listeners(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _log.error("no long ranges are served: %s", error.strerror)
            task_status.started()
            return
        task_status.started()
        await trio.serve_listeners(self._serve_one, listeners)

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        """Nothing that an asker does gets further than here."""
        async with stream:
            try:
                host: str = stream.socket.getpeername()[0]
            except OSError:  # gone already
                return
            if self.active >= MAX_ASKERS or self._hosts[host] >= MAX_ASKERS_PER_HOST:
                self.refused += 1
                return
            self._hosts[host] += 1
            try:
                await self._answer(stream, host)
            except (trio.BrokenResourceError, trio.TooSlowError):
                pass
            except Exception:
                _log.exception("a long answer to %s", host)
            finally:
                self._hosts[host] -= 1

    async def _answer(self, stream: trio.SocketStream, host: str) -> None:
        with trio.fail_after(PATIENCE):
            request = await _receive_request(stream)
        answer = self._retransmitter.receive_long_request(request, host)
        for text in self._retransmitter.other_versions.take_untold():
            _log.error("a long request: %s", text)
        if answer is None:
            return
        due = trio.current_time()
        while piece := answer.next_piece():
            with trio.fail_after(PATIENCE):
                await stream.send_all(piece)
            due = max(due, trio.current_time() - 1) + len(piece) / self._bytes_per_second
            await trio.sleep_until(due)


async def _receive_request(stream: trio.SocketStream) -> bytes:
    """What is cut short is garbled to whoever reads it."""
    request = b""
    while len(request) < REQUEST_BYTES and (data := await stream.receive_some(REQUEST_BYTES - len(request))):
        request += data
    return request


# The asker's end


class CatchUp:
    """Keeps `reader` from being far behind. `take` hands it packets (False: reading has ended); `ended` is told of the
    end of each answer, for then gaps are asked for again.
    """

    def __init__(
        self,
        reader: Reader,
        servers: Sequence[Address],
        take: Callable[[list[bytes]], bool],
        ended: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._servers = servers
        self._take = take
        self._ended = ended
        self._server = 0
        self._wanted = trio.Event()

    def look(self) -> None:
        """Plain and cheap: to be called after every batch."""
        if not self._reader.catching_up and self._reader.far_behind():
            self._wanted.set()

    async def run(self) -> None:
        reader = self._reader
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            while reader.far_behind():
                if not await self._ask_all():
                    await trio.sleep(RETRY_PAUSE)

    async def _ask_all(self) -> bool:
        """False when nobody had anything for us."""
        for _ in self._servers:
            before = self._reader.position
            await self._ask(self._servers[self._server])
            if self._reader.position != before:
                return True
            self._server = (self._server + 1) % len(self._servers)
        return False

    async def _ask(self, server: Address) -> None:
        reader = self._reader
        request = reader.begin_catch_up()
        began, first_seq = trio.current_time(), reader.position.next_seq
        try:
            with trio.fail_after(CONNECT_PATIENCE):
                stream = await trio.open_tcp_stream(*server)
            async with stream:
                await stream.send_all(request)
                await self._read_answer(stream)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, GarbledPacket) as error:
            _log.info("shard %d: no long range from %s:%d: %s", reader.shard_id, *server, error or "it does not answer")
        finally:
            reader.end_catch_up(now_ns())
            self._ended()
        count = reader.position.next_seq - first_seq
        if count > 0:
            seconds = trio.current_time() - began
            _log.info("shard %d: %d messages from %s:%d in %.2f s", reader.shard_id, count, *server, seconds)

    async def _read_answer(self, stream: trio.SocketStream) -> None:
        """Until it ends, or is of no more use: the epoch changed."""
        rest = b""
        while True:
            with trio.fail_after(PATIENCE):
                data = await stream.receive_some(_RECEIVE_BYTES)
            packets, rest = packet.cut_packets(rest + data)
            if not data or not self._take(packets) or not self._reader.catching_up:
                return
