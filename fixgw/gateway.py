"""The gateway as a process: journal, shards and clock around the router; `acceptor` is its side to the brokers.

Theory of operation. Whatever wakes the process (bytes of a broker, a datagram of a shard, a timer) is handled whole by
the router, synchronously; then `flush` takes the batch, writes its record to the journal, and only then sends what the
batch wants sent. With `sync: write` all of that happens in the task that was woken, without a single wait. With
`sync: disk` the batches queue for one task that writes everything there is, waits for the disk once, and releases
everything in order: that is group commit.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

import trio

from fixgw.answering import QUESTION_SECONDS, Answering
from fixgw.config import Config
from fixgw.connection import Connection
from fixgw.delivery import Delivery
from fixgw.forks import VoidReportSearch, news
from fixgw.history import portions
from fixgw.interface import interface_of
from fixgw.router import Batch, Router
from fixgw.shard_link import ShardLink
from fixgw.shard_state import PAUSE_ALONE
from recovery.alarm import now_ns
from recovery.coordinator import Coordinator
from recovery.journal import Journal
from recovery.multicast import open_receiver
from recovery.reader import Reader, StreamForked
from recovery.record import Message, Position
from recovery.service_client import quorum_read
from recovery.stream import read_stream

_log: Final = logging.getLogger("fixgw.gateway")

BATCH_RECORD: Final = 1

#: A broker that comes back asks for everything it missed; this much of it waits for the socket at a time.
RESEND_BACKLOG_BYTES: Final = 1 << 20

#: In one record, of 10 KB each.
NEWS_AT_ONCE: Final = 32

#: Questions to shards at a time, over all sessions: each is a connection to every replica.
MAX_QUESTIONS: Final = 16

#: Sessions' timers count whole seconds; nobody notices a tenth.
TICK_SECONDS: Final = 0.1

#: Batches that may wait for the disk before brokers are kept waiting: a disk that answers each millisecond never gets
#: there, one that hangs for a second does.
MAX_WAITING: Final = 1_000

#: How long to wait for the links of all shards before brokers may log on, so that none is refused for our haste.
FIRST_LINKS_SECONDS: Final = 2.0


class Outgoing(NamedTuple):
    """A batch, and the connections there were when it was made: what it says is not for the ones that follow them."""

    number: int
    batch: Batch
    #: What goes out: commands first.
    sends: list[tuple[Connection, bytes]]
    closes: list[tuple[Connection, str]]


class Gateway:
    """One running gateway: the router, and everything it needs of the world."""

    def __init__(
        self,
        config: Config,
        name: str,
        journal: Journal,
        router: Router,
        coordinator_of: Callable[[int], Coordinator],
    ) -> None:
        self.config = config
        self.settings = config.gateway(name)
        self.router = router
        #: session_id → the connection it is logged on over.
        self.connections: dict[int, Connection] = {}
        self._journal = journal
        self._coordinator_of = coordinator_of
        self._links: dict[int, ShardLink] = {}
        self._answering = Answering(self, self._ask)
        self._questions = trio.CapacityLimiter(MAX_QUESTIONS)
        #: session_id → its run, and the number below which all of it is written down.
        self._written: dict[int, tuple[int, int]] = {}
        #: session_id → the batch in which its open resend was asked for.
        self._resends: dict[int, int] = {}
        #: Sessions of whose used numbers the operator was told.
        self._told_used_numbers: set[int] = set()
        self._to_resend = trio.Event()
        self._batch_number = 0
        self._to_disk = self.settings.sync == "disk"
        #: Batches that wait for the disk.
        self._waiting: deque[Outgoing] = deque()
        self._wake = trio.Event()
        self._room = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take up where the journal ends, then read streams and keep links until canceled.

        Raises what makes it impossible to go on: JournalFailed, StreamDiverged, LinkForked.
        """
        for record in self._journal.replay():
            self.router.restore(record.number, record.payload)
        self.router.begin(self.now())
        for session_id, seat in self.router.seats.items():
            self._written[session_id] = seat.session.run, seat.session.next_out_seq
        self._links = {shard.id: self._make_link(shard.name) for shard in self.config.shards}
        async with trio.open_nursery() as nursery:
            if self._to_disk:
                nursery.start_soon(self._commit_groups)
            await nursery.start(self._answering.run)
            self.flush()
            await self._journal.commit()  # a shard hears of this life's number in the login, which waits for no batch
            for shard in self.config.shards:
                delivery = Delivery(partial(self._deliver, shard.id))
                nursery.start_soon(delivery.run)
                await nursery.start(self._read_stream, shard.name, delivery)
                nursery.start_soon(self._links[shard.id].run)
            nursery.start_soon(self._tick)
            nursery.start_soon(self._go_on_resending)
            with trio.move_on_after(FIRST_LINKS_SECONDS):
                for link in self._links.values():
                    await link.linked.wait()
            task_status.started()

    def now(self) -> int:
        """The wall clock's time, for the router, whose own clock is brought up to date with it."""
        self.router.clock.time = now_ns()
        return time.time_ns()

    def leave(self) -> None:
        """Tell the shards that this process is about to end because it was asked to."""
        for link in self._links.values():
            link.leave()

    # --- batches ------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write down what came of the last input, and let it out."""
        batch = self.router.take_batch()
        if batch.record:
            self.router.written(self._journal.append(BATCH_RECORD, batch.record), batch)
        outgoing = self._address(batch)
        if self._to_disk:
            self._waiting.append(outgoing)
            self._wake.set()
            return
        if batch.record:
            self._journal.write_nowait()
        self._release(outgoing)

    def _address(self, batch: Batch) -> Outgoing:
        connections, seats = self.connections, self.router.seats
        self._batch_number += 1
        for session_id in batch.next_out_seqs:
            if seats[session_id].session.resend_wanted() is not None:
                self._resends.setdefault(session_id, self._batch_number)
        sends: list[tuple[Connection, bytes]] = []
        for shard_id, data in batch.commands:
            if (link := self._links[shard_id].peer) is not None:
                sends.append((link, data))
        for session_id, data in batch.sends:
            if (peer := connections.get(session_id)) is not None:
                sends.append((peer, data))
        closes: list[tuple[Connection, str]] = []
        for session_id, reason in batch.closes:
            peer = connections.get(session_id)
            if peer is not None and not peer.finishing:
                closes.append((peer, f"{seats[session_id].session.identity.target_comp_id.decode()}: {reason}"))
        return Outgoing(self._batch_number, batch, sends, closes)

    async def wait_room(self) -> None:
        """Until the disk has caught up so far that a peer's next messages may be taken. Mostly at once."""
        while len(self._waiting) >= MAX_WAITING:
            await self._room.wait()

    async def _commit_groups(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._waiting:
                count = len(self._waiting)
                await self._journal.commit()
                for _ in range(count):
                    self._release(self._waiting.popleft())
                self._room.set()
                self._room = trio.Event()

    def _release(self, outgoing: Outgoing) -> None:
        """The batch is written down: let it out."""
        _, batch, sends, closes = outgoing
        for shard_id, source_seq in batch.forwarded.items():
            self.router.shards[shard_id].link.written(source_seq)
        for peer, data in sends:
            peer.send(data)
        for peer, reason in closes:
            _log.info("the connection ends: %s", reason)
            peer.finish()
        for inquiry in batch.inquiries:
            self._answering.take(inquiry)
        self._written.update(batch.next_out_seqs)
        if self._resends:
            self._to_resend.set()

    def _pump_resends(self) -> bool:
        """Give each peer that asked to have messages again the next piece of them, if that was asked for in a batch
        that is released, and unless it has not read the last of it. False: nobody could be given anything.
        """
        now = self.now()
        released = self._waiting[0].number - 1 if self._waiting else self._batch_number
        moved = False
        for session_id in [each for each, number in self._resends.items() if number <= released]:
            seat = self.router.seats[session_id]
            peer = self.connections.get(session_id)
            run, below = self._written[session_id]
            if peer is not None and not peer.closed and peer.backlog_bytes < RESEND_BACKLOG_BYTES:
                data = self.router.resend(seat, below, self._read_record, now) if run == seat.session.run else b""
                if data:
                    peer.send(data)
                    moved = True
            if seat.session.resend_wanted() is None:
                del self._resends[session_id]
        return moved

    async def _go_on_resending(self) -> None:
        """A piece takes some milliseconds; between two of them everybody else gets a turn."""
        while True:
            await self._to_resend.wait()
            self._to_resend = trio.Event()
            while self._pump_resends():
                await trio.lowlevel.checkpoint()

    def left(self, session_id: int) -> None:
        """The connection that the session was logged on over is gone."""
        del self.connections[session_id]
        self._resends.pop(session_id, None)
        seat = self.router.seats[session_id]
        self.router.left(seat, self.now())
        if seat.cancel_on_disconnect:
            self.flush()

    def _read_record(self, number: int) -> bytes:
        return self._journal.read(number).payload

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            self.router.handle_deadline(self.now())
            self.flush()
            if self._resends:
                self._to_resend.set()

    # --- shards -------------------------------------------------------------------------------------------------------

    async def _read_stream(self, shard_name: str, delivery: Delivery, task_status: trio.TaskStatus[None]) -> None:
        shard = self.config.shard(shard_name)
        servers = self.config.retransmit_servers(shard_name)
        state = self.router.shards[shard.id]
        reader = Reader(shard.id, state.position, len(servers), epoch=state.epoch, past=state.past)

        def deliver(messages: list[Message]) -> None:
            delivery.give(messages, reader.position, reader.proven_epoch)

        address = self.config.stream_address(self.settings, shard_name)
        interface = interface_of(self.config)
        with open_receiver(address, interface) as receiver, open_receiver((interface, 0)) as requests:
            task_status.started()
            while True:
                try:
                    heard_epoch = self._links[shard.id].heard_epoch
                    await read_stream(
                        reader, receiver, requests, servers, deliver, heard_epoch, ready=delivery.wait_taken
                    )
                except StreamForked as forked:
                    _log.error("shard %s: %s", shard_name, forked)
                    await delivery.wait_taken()
                    await self._tell_fork(shard.id, reader, forked.fork)

    def _deliver(self, shard_id: int, messages: Sequence[Message], position: Position | None, epoch: int) -> None:
        """A portion of what a shard's reader has released, which has proven it in this epoch."""
        self.router.shards[shard_id].epoch = epoch
        self.router.deliver(shard_id, messages, position, self.now())
        self.flush()
        if self.router.used_numbers:
            self._tell_used_numbers()
        if position is not None and (reports := self.router.status_reports(shard_id)):
            for portion in portions(reports):
                self.router.tell(portion, self.now())
                self.flush()

    def _tell_used_numbers(self) -> None:
        """Once of each session in a life: it may send much before somebody reads this."""
        for session_id in self.router.used_numbers - self._told_used_numbers:
            self._told_used_numbers.add(session_id)
            _log.error(
                "session %s: the market has had its numbers before: has this gateway lost its journal? Its broker must "
                "log on with ResetSeqNumFlag(141)=Y",
                self.router.seats[session_id].session.identity.target_comp_id.decode(),
            )

    async def _tell_fork(self, shard_id: int, reader: Reader, fork: Position | None) -> None:
        """Tell every session which of its reports are void, and have the stream read on from the fork."""
        assert fork is not None, "the reader has a past"
        await self._journal.commit()  # what was said is found there

        def read(first: int, count: int) -> Iterator[bytes]:
            return (record.payload for record in islice(self._journal.read_from(first), count))

        last_trade = self.router.last_trade(shard_id, fork)
        search = VoidReportSearch(read, self._journal.next_number, shard_id, fork.next_seq, last_trade)
        while search.read_block():
            await trio.lowlevel.checkpoint()  # what was sent last may be far back, and others trade
        void = search.found()
        _log.error("%d reports to %d sessions are void", sum(map(len, void.values())), len(void))
        told = list(news(void))
        reader.go_back()
        while told:
            self.router.tell(told[:NEWS_AT_ONCE], self.now())
            del told[:NEWS_AT_ONCE]
            if told:
                self.flush()
        self.router.forked(shard_id, reader.position, reader.proven_epoch)
        self.flush()

    def _make_link(self, shard_name: str) -> ShardLink:
        shard = self.config.shard(shard_name)
        router = self.router
        if len(shard.members) == 1:
            router.shards[shard.id].pause = PAUSE_ALONE

        def lost() -> None:
            router.link_lost(shard.id, self.now())

        return ShardLink(
            shard_name,
            router.shards[shard.id].link,
            {replica: member.link for replica, member in shard.members.items()},
            self._coordinator_of(shard.id),
            opened=lambda: router.link_opened(shard.id),
            lost=lost,
            flush=self.flush,
        )

    async def _ask(self, shard_id: int, query: bytes) -> bytes:
        """What a majority of the shard's replicas answers. Raises NoQuorum."""
        shard = next(each for each in self.config.shards if each.id == shard_id)
        controls = {replica: member.control for replica, member in shard.members.items()}
        async with self._questions:
            return await quorum_read(shard_id, controls, self.router.link_key, query, timeout=QUESTION_SECONDS)
