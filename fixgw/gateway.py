"""The gateway as a process: journal, shards and clock around the router; `acceptor` is its side to the brokers.

Theory of operation. Whatever wakes the process (bytes of a broker, a datagram of a shard, a timer) is handled whole by
the router, synchronously; then `flush` takes the batch, writes its record to the journal, and only then sends what the
batch wants sent. With `sync: write` all of that happens in the task that was woken, without a single wait. With
`sync: disk` the batches queue for one task that writes everything there is, waits for the disk once, and releases
everything in order: that is group commit.
"""

import logging
import secrets
import time
from collections import deque
from typing import Final

import trio

from fixgw import connection as tcp
from fixgw.config import Config
from fixgw.connection import Connection, PeerGone
from fixgw.router import Batch, Router, Seat
from recovery.frames import LinkError
from recovery.journal import Journal
from recovery.link import NONCE_BYTES
from recovery.multicast import open_receiver
from recovery.reader import Reader
from recovery.record import Message
from recovery.stream import read_stream

_log: Final = logging.getLogger("fixgw.gateway")

BATCH_RECORD: Final = 1

#: A broker that comes back asks for everything it missed; this much of it waits for the socket at a time.
RESEND_BACKLOG_BYTES: Final = 1 << 20

#: Sessions' timers count whole seconds; nobody notices a tenth.
TICK_SECONDS: Final = 0.1

#: A lost link is tried again at once, then less and less often.
_FIRST_RETRY_SECONDS: Final = 0.02
_LAST_RETRY_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 2.0

#: A pause of a shard shorter than this is no reason to refuse an order: it waits for the link.
GRACE_SECONDS: Final = 5.0


class Gateway:
    """One running gateway: the router, and everything it needs of the world."""

    def __init__(self, config: Config, name: str, journal: Journal, router: Router) -> None:
        self.config = config
        self.settings = config.gateway(name)
        self.router = router
        #: session_id → the connection it is logged on over.
        self.connections: dict[int, Connection] = {}
        self._journal = journal
        self._links: dict[int, Connection] = {}
        #: session_id → numbers below it are written down.
        self._written: dict[int, int] = {}
        self._to_disk = self.settings.sync == "disk"
        #: Batches that wait for the disk.
        self._waiting: deque[Batch] = deque()
        self._wake = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take up where the journal ends, then read streams and keep links until canceled.

        Raises what makes it impossible to go on: JournalFailed, StreamForked, StreamDiverged, LinkForked.
        """
        for record in self._journal.replay():
            self.router.restore(record.number, record.payload)
        self.router.begin(time.time_ns())
        async with trio.open_nursery() as nursery:
            if self._to_disk:
                nursery.start_soon(self._commit_groups)
            self.flush()
            for shard in self.config.shards:
                await nursery.start(self._read_stream, shard.name)
                nursery.start_soon(self._keep_link, shard.name)
            nursery.start_soon(self._tick)
            task_status.started()

    # --- batches ------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write down what came of the last input, and let it out."""
        batch = self.router.take_batch()
        if batch.record:
            self.router.written(self._journal.append(BATCH_RECORD, batch.record), batch)
        if self._to_disk:
            self._waiting.append(batch)
            self._wake.set()
            return
        if batch.record:
            self._journal.write_nowait()
        self._release(batch)

    async def _commit_groups(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._waiting:
                count = len(self._waiting)
                await self._journal.commit()
                for _ in range(count):
                    self._release(self._waiting.popleft())

    def _release(self, batch: Batch) -> None:
        """The batch is written down: let it out."""
        for shard_id, data in batch.commands:
            link = self._links.get(shard_id)
            if link is not None:
                link.send(data)
        for session_id, data in batch.sends:
            peer = self.connections.get(session_id)
            if peer is not None:
                peer.send(data)
        for session_id, reason in batch.closes:
            peer = self.connections.get(session_id)
            if peer is not None:
                comp_id = self.router.seats[session_id].session.identity.target_comp_id.decode()
                _log.info("%s: the connection ends: %s", comp_id, reason)
                peer.finish()
        self._written.update(batch.next_out_seqs)
        for session_id in batch.next_out_seqs:
            self._pump_resend(self.router.seats[session_id])

    def _pump_resend(self, seat: Seat) -> None:
        """Give a peer more of what it asked to have again, unless it has not read the last of it."""
        peer = self.connections.get(seat.session_id)
        below = self._written.get(seat.session_id, seat.session.next_out_seq)
        while peer is not None and not peer.closed and peer.backlog_bytes < RESEND_BACKLOG_BYTES:
            data = self.router.resend(seat, below, self._read_record, time.time_ns())
            if not data:
                return
            peer.send(data)

    def _read_record(self, number: int) -> bytes:
        return self._journal.read(number).payload

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            self.router.handle_deadline(time.time_ns())
            self.flush()
            for session_id in self.connections:
                self._pump_resend(self.router.seats[session_id])

    # --- shards -------------------------------------------------------------------------------------------------------

    async def _read_stream(self, shard_name: str, task_status: trio.TaskStatus[None]) -> None:
        shard = self.config.shard(shard_name)
        servers = self.config.retransmit_servers(shard_name)
        reader = Reader(shard.id, self.router.shards[shard.id].position, len(servers))

        def deliver(messages: list[Message]) -> None:
            self.router.deliver(shard.id, messages, reader.position, time.time_ns())
            self.flush()

        address = self.config.stream_address(self.settings, shard_name)
        interface = str(self.config.venue.interface)
        with open_receiver(address, interface) as receiver, open_receiver((interface, 0)) as requests:
            task_status.started()
            await read_stream(reader, receiver, requests, servers, deliver)

    async def _keep_link(self, shard_name: str) -> None:
        """Keep a link to the shard's primary, for ever."""
        shard = self.config.shard(shard_name)
        link = self.router.shards[shard.id].link
        retry = _FIRST_RETRY_SECONDS
        lost_at = trio.current_time()
        while True:
            try:
                with trio.fail_after(_CONNECT_SECONDS):
                    peer = await tcp.connect(shard.link.host, shard.link.port)
                await self._run_link(shard.id, peer)
            except* (OSError, PeerGone, LinkError, trio.TooSlowError) as errors:
                if link.open:
                    lost_at, retry = trio.current_time(), _FIRST_RETRY_SECONDS
                link.disconnected()
                if retry in (_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS):
                    _log.warning("no link to shard %s: %s", shard_name, errors.exceptions[0] or "it does not answer")
            if trio.current_time() - lost_at > GRACE_SECONDS:
                self.router.link_lost(shard.id, "its matching engine does not answer")
            await trio.sleep(retry)
            retry = min(2 * retry, _LAST_RETRY_SECONDS)

    async def _run_link(self, shard_id: int, peer: Connection) -> None:
        """One connection to a primary, until it ends. Raises a group of PeerGone and LinkError."""
        link = self.router.shards[shard_id].link
        self._links[shard_id] = peer
        link.connected(secrets.token_bytes(NONCE_BYTES), time.time_ns())
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.run_writer)
                nursery.start_soon(self._link_timer, shard_id)
                while True:
                    link.receive_data(await peer.receive(), time.time_ns())
                    if link.open:
                        self.router.link_opened(shard_id)
                    self.flush()
        finally:
            del self._links[shard_id]
            peer.close()

    async def _link_timer(self, shard_id: int) -> None:
        link = self.router.shards[shard_id].link
        while (deadline := link.next_deadline()) is not None:
            await trio.sleep_until(trio.current_time() + (deadline - time.time_ns()) / 1e9)
            link.handle_deadline(time.time_ns())
            self.flush()
