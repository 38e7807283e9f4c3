"""The ledger as a process: shard streams in, rows of a database out (`ledger_file`).

It reads like any other reader, from where its database stands, and is asked by nobody: the engine knows nothing of it,
and a ledger that hangs or is gone holds up no order. What is delivered waits in a queue; one thread at a time makes
rows of it and writes them, a transaction for all that waits. The queue is bounded: where it is full, reading stops
until half of it is written, and then begins again behind what was accepted.

After a fork of a stream what lies beyond is taken away in its turn, and reading goes on from there.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import trio

from fixgw.config import Config
from fixgw.config import Ledger as LedgerSettings
from fixgw.config_shards import Shard
from fixgw.interface import interface_of
from fixgw.ledger_file import Batch, Cut, Entry, LedgerFile, Place, open_ledger
from matching import wire
from matching.events import DayStarted
from matching.ledger import LEDGER_KINDS, rows
from recovery.multicast import open_receiver
from recovery.past import Past
from recovery.reader import Reader, StreamForked
from recovery.record import FIRST, CommandHeader, Message, Position
from recovery.stream import read_stream

_log: Final = logging.getLogger(__name__)

#: Messages that wait to be written, of all shards: some 30 MB.
MAX_WAITING: Final = 65_536
#: Messages that one transaction takes: some tens of milliseconds.
MAX_AT_ONCE: Final = 4096
#: What comes within this time is written together: a transaction costs as much as some ten rows.
GATHER_SECONDS: Final = 0.02

_DAY_STARTED: Final = wire.KINDS[DayStarted]


class Delivered(NamedTuple):
    """Whole transactions of a shard's stream, as they came."""

    shard_id: int
    messages: Sequence[Message]
    position: Position
    epoch: int


class Behind(Exception):
    """There is no room for what was delivered."""


class Reading:
    """One life of a reader: puts into the queue what it releases, and knows up to where that was accepted."""

    def __init__(self, reader: Reader, accept: Callable[[Delivered], None]) -> None:
        self.position = reader.position
        self.epoch = reader.proven_epoch
        self._reader = reader
        self._accept = accept

    def deliver(self, messages: list[Message]) -> None:
        """Raises Behind."""
        reader = self._reader
        self._accept(Delivered(reader.shard_id, messages, reader.position, reader.proven_epoch))
        self.position = reader.position
        self.epoch = reader.proven_epoch


class Ledger:
    """Reads all shards and writes one file. `next_seqs` says how far it has written, by shard."""

    def __init__(self, config: Config, settings: LedgerSettings, file: LedgerFile) -> None:
        self.config = config
        self.settings = settings
        #: shard id → the number that is written next.
        self.next_seqs: dict[int, int] = {}
        self._file = file
        self._queue: deque[Delivered | Cut] = deque()
        #: Messages in the queue, or being written.
        self._waiting = 0
        self._news = trio.Event()
        self._room = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until canceled. Raises LedgerFailed, StreamDiverged."""
        places = {shard.id: await trio.to_thread.run_sync(self._file.place, shard.id) for shard in self.config.shards}
        self.next_seqs = {shard_id: place.position.next_seq for shard_id, place in places.items()}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            for shard in self.config.shards:
                await nursery.start(self._read, shard, places[shard.id])
            task_status.started()

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _read(self, shard: Shard, place: Place, task_status: trio.TaskStatus[None]) -> None:
        servers = self.config.retransmit_servers(shard.name)
        address, interface = self.config.stream_address(self.settings, shard.name), interface_of(self.config)
        past = Past(place.ends)
        reader = Reader(shard.id, place.position, len(servers), epoch=place.epoch, past=past)
        with open_receiver(address, interface) as receiver, open_receiver((interface, 0)) as requests:
            task_status.started()
            while True:
                reading = Reading(reader, self.accept)
                try:
                    await read_stream(reader, receiver, requests, servers, reading.deliver)
                except StreamForked as forked:
                    _log.error("shard %s: %s", shard.name, forked)
                    reader.go_back()
                    self._put(Cut(shard.id, reader.position, reader.proven_epoch))
                except Behind:
                    position, epoch = reading.position, reading.epoch
                    _log.warning("shard %s: the disk is behind; reading waits at seq %d", shard.name, position.next_seq)
                    past.cut(position.next_seq)
                    reader = Reader(shard.id, position, len(servers), epoch=epoch, past=past)
                    await self._wait_room()

    def accept(self, delivered: Delivered) -> None:
        """Have it written. Raises Behind."""
        if self._waiting >= MAX_WAITING:
            raise Behind
        self._waiting += len(delivered.messages)
        self._put(delivered)

    def _put(self, item: Delivered | Cut) -> None:
        self._queue.append(item)
        self._news.set()

    async def _wait_room(self) -> None:
        while self._waiting > MAX_WAITING // 2:
            await self._room.wait()

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            await trio.sleep(GATHER_SECONDS)
            self._news = trio.Event()
            while self._queue:
                items, count = self._take()
                await trio.to_thread.run_sync(self._file.write, map(self._rows_of, items))
                self.next_seqs.update((item.shard_id, item.position.next_seq) for item in items)
                self._waiting -= count
                self._room.set()
                self._room = trio.Event()

    def _take(self) -> tuple[list[Delivered | Cut], int]:
        """What goes into the next transaction, and how many messages that is."""
        items: list[Delivered | Cut] = []
        count = 0
        while self._queue and count < MAX_AT_ONCE:
            item = self._queue.popleft()
            items.append(item)
            count += len(item.messages) if isinstance(item, Delivered) else 0
        return items, count

    def _rows_of(self, item: Delivered | Cut) -> Batch | Cut:
        """In the writing thread, when all before it is written."""
        return batch(item, self._file.day(item.shard_id)) if isinstance(item, Delivered) else item


def batch(delivered: Delivered, day: int) -> Batch:
    """The rows of what was delivered; `day` is the one that began last before it."""
    days: list[tuple[int, int]] = []
    entries: list[Entry] = []
    timestamp = 0
    for message in delivered.messages:
        kind = message.kind
        if message.flags & FIRST:
            timestamp = CommandHeader.unpack_from(message.body).timestamp
        elif kind in LEDGER_KINDS:
            event = wire.decode_event(kind, message.body)
            entries += [Entry(message.seq, day, timestamp, row) for row in rows(event)]
        elif kind == _DAY_STARTED:
            started = wire.decode_event(kind, message.body)
            assert isinstance(started, DayStarted)
            day = started.day
            days.append((message.seq, day))
    return Batch(delivered.shard_id, entries, days, delivered.position, delivered.epoch)


async def run_ledger(
    config: Config, name: str, task_status: trio.TaskStatus[Ledger] = trio.TASK_STATUS_IGNORED
) -> None:
    """One ledger, of all shards, until canceled. Raises LedgerFailed, OSError, StreamDiverged."""
    settings = config.ledger(name)
    with open_ledger(config.directory("ledger", name), settings.sync) as file:
        ledger = Ledger(config, settings, file)
        async with trio.open_nursery() as nursery:
            await nursery.start(ledger.run)
            task_status.started(ledger)
