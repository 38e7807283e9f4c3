"""Retransmission servers on sockets: the answering loop, and a whole server that reads, keeps and answers.

A server is a reader like any other: it keeps in a journal what its reader releases, so it never has anything above the
commit, and fills its own gaps from the other servers. It serves under the epoch in which its history is proven.
"""

import socket
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import trio

from recovery.alarm import now_ns
from recovery.journal import Journal, Sync, open_journal
from recovery.journal_store import JournalStore
from recovery.multicast import Address, drain_with_addresses, open_receiver, send_to
from recovery.reader import Reader
from recovery.record import END, Message, remake
from recovery.retransmitter import Kept, Retransmitter
from recovery.stream import read_stream

BATCH_MESSAGES = 512
"""In one journal record at most, and the rest of their transaction: a record stays far below its limit."""


async def answer_requests(retransmitter: Retransmitter, requests: socket.socket) -> None:
    """Answer until cancelled. A checkpoint after every answer: one may take a quarter of a millisecond."""
    while True:
        await trio.lowlevel.wait_readable(requests)
        for data, address in drain_with_addresses(requests):
            send_to(requests, retransmitter.receive_request(data, address, now_ns()), address)
            await trio.lowlevel.checkpoint()


class KeptStream:
    """One shard's stream as a server keeps it."""

    def __init__(self, shard_id: int, journal: Journal, server_count: int) -> None:
        self.shard_id = shard_id
        self.store = JournalStore(journal)
        self.reader = Reader(shard_id, self.store.position, server_count, epoch=self.store.epoch)
        self._journal = journal

    @property
    def proven_epoch(self) -> int:
        return self.reader.proven_epoch

    @property
    def commit_seq(self) -> int:
        """Everything kept was released, and so committed."""
        return self.store.next_seq - 1

    def keep(self, messages: list[Message]) -> None:
        """Write down what the reader released."""
        epoch = self.reader.proven_epoch
        begin = 0
        for index, message in enumerate(messages, 1):
            if message.flags & END and (index - begin >= BATCH_MESSAGES or index == len(messages)):
                data, digest = remake(self.shard_id, messages[begin:index], self.store.position.digest)
                self.store.append(data, epoch, digest)
                begin = index
        self._journal.write_nowait()


class ServedStream(NamedTuple):
    """A shard's stream that a server keeps: where it is heard, where it is kept, who else can be asked for it."""

    shard_id: int
    address: Address
    journal: Path
    servers: tuple[Address, ...]


class ServerConfig(NamedTuple):
    streams: tuple[ServedStream, ...]
    request_address: Address
    interface: str = "127.0.0.1"


class ServerNode(NamedTuple):
    """A running server, as `run_retransmitter` gives it to its starter."""

    retransmitter: Retransmitter
    streams: dict[int, KeptStream]
    request_address: Address


async def run_retransmitter(
    config: ServerConfig, *, task_status: trio.TaskStatus[ServerNode] = trio.TASK_STATUS_IGNORED
) -> None:
    """Be a retransmission server until cancelled.

    Raises JournalCorrupted or JournalLocked before it has started; JournalFailed, StreamForked or StreamDiverged (in a
    group) after. A server whose stream has forked has to be rebuilt: delete its journal, it collects the day again.
    """
    sync: Sync = "write"  # what a dead machine loses of it, the other servers have
    with ExitStack() as stack:
        kept: dict[int, KeptStream] = {}
        for stream in config.streams:
            journal = stack.enter_context(open_journal(stream.journal, sync=sync))
            kept[stream.shard_id] = KeptStream(stream.shard_id, journal, len(stream.servers))
        shards: dict[int, Kept] = dict(kept)
        retransmitter = Retransmitter(shards)
        requests = stack.enter_context(closing(open_receiver(config.request_address)))
        async with trio.open_nursery() as nursery:
            for stream in config.streams:
                receiver = stack.enter_context(closing(open_receiver(stream.address, config.interface)))
                asking = stack.enter_context(closing(open_receiver((config.request_address[0], 0))))
                mine = kept[stream.shard_id]
                nursery.start_soon(read_stream, mine.reader, receiver, asking, stream.servers, mine.keep)
            nursery.start_soon(answer_requests, retransmitter, requests)
            task_status.started(ServerNode(retransmitter, kept, requests.getsockname()))
