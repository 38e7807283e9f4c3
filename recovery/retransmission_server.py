"""Retransmission servers on sockets: the answering loop, and a whole server that reads, keeps and answers.

A server is a reader like any other: it keeps in a journal what its reader releases, so it never has anything above the
commit, and fills its own gaps from the other servers; one with an empty journal has the whole day from them. It serves
under the epoch in which its history is proven.

When the end of what it has kept turns out not to be history, it puts the journal aside, for whoever wants to know what
was lost, and goes on by itself with a copy of what lies below the fork: it may be alone in having that, for replicas
keep what their snapshots do not hold. The copy is made beside, and is whole before the journal is moved: what is there
without a journal was to take its place when the machine died.
"""

import logging
import shutil
import socket
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import trio

from recovery.alarm import now_ns
from recovery.catch_up import LongAnswers
from recovery.journal import Journal, Sync, open_journal
from recovery.journal_store import JournalStore
from recovery.multicast import Address, drain_with_addresses, open_receiver, send_to
from recovery.reader import Reader, StreamForked
from recovery.record import END, Message, Position, remake
from recovery.retransmitter import Retransmitter
from recovery.stream import read_stream

BATCH_MESSAGES = 512
"""In one journal record at most, and the rest of their transaction: a record stays far below its limit."""


_SYNC: Sync = "write"
FORKED_KEPT = 2
"""Journals put aside, per stream: the latest."""

_log = logging.getLogger(__name__)


async def answer_requests(
    retransmitter: Retransmitter,
    requests: socket.socket,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    *,
    over_tcp: bool = True,
) -> None:
    """Answer until cancelled, over UDP and, on the same address, over TCP.

    Not `over_tcp` is for who serves something else at that port: long ranges are then had in pieces, or elsewhere.
    A checkpoint after every answer: one may take a quarter of a millisecond.
    """
    async with trio.open_nursery() as nursery:
        if over_tcp:
            await nursery.start(LongAnswers(retransmitter).serve, requests.getsockname())
        task_status.started()
        while True:
            await trio.lowlevel.wait_readable(requests)
            for data, address in drain_with_addresses(requests):
                send_to(requests, retransmitter.receive_request(data, address, now_ns()), address)
                for text in retransmitter.other_versions.take_untold():
                    _log.error("a request: %s", text)
                await trio.lowlevel.checkpoint()


class KeptStream:
    """One shard's stream as a server keeps it. `reader`: one that goes on from where the journal ends, after a fork."""

    def __init__(self, shard_id: int, journal: Journal, server_count: int, reader: Reader | None = None) -> None:
        self.shard_id = shard_id
        store = self.store = JournalStore(journal)
        self.reader = reader or Reader(shard_id, store.position, server_count, epoch=store.epoch, past=store.past)
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
    """The present ones: a stream that forked is replaced."""
    request_address: Address


class _Keeper:
    """Keeps one stream, over its forks. `stack` closes the journal that is open."""

    def __init__(self, stream: ServedStream, streams: dict[int, KeptStream]) -> None:
        self.stack = ExitStack()
        self._stream = stream
        self._streams = streams
        anew = _anew(stream.journal)
        if anew.exists() and not stream.journal.exists():
            anew.rename(stream.journal)
        streams[stream.shard_id] = self._open()

    def _open(self, reader: Reader | None = None) -> KeptStream:
        shard_id, _, directory, servers = self._stream
        # What a dead machine loses of it, the other servers have.
        journal = self.stack.enter_context(open_journal(directory, sync=_SYNC))
        return KeptStream(shard_id, journal, len(servers), reader)

    async def run(self, receiver: socket.socket, asking: socket.socket) -> None:
        stream = self._stream
        while True:
            kept = self._streams[stream.shard_id]
            try:
                await read_stream(kept.reader, receiver, asking, stream.servers, kept.keep)
            except StreamForked as forked:
                fork = forked.fork
                assert fork is not None, "the reader has a past"
                _log.error("shard %d: %s", stream.shard_id, forked)
                # In a thread, for it may be a day that is copied. Meanwhile nothing is answered: nothing is proven.
                self._streams[stream.shard_id] = await trio.to_thread.run_sync(self._replace, kept, fork)
                kept.reader.go_back()

    def _replace(self, kept: KeptStream, fork: Position) -> KeptStream:
        """Put the journal aside, and begin one with what lies below the fork."""
        directory = self._stream.journal
        self.stack.close()
        anew = _anew(directory)
        if anew.exists():
            shutil.rmtree(anew)
        with open_journal(anew, sync="disk") as journal:  # and the machine may die before others have it
            kept.store.copy_below(fork, journal)
        aside = _put_aside(directory)
        anew.rename(directory)
        _log.error(
            "shard %d: what was kept is in %s; it begins anew with the messages below %d",
            self._stream.shard_id,
            aside,
            fork.next_seq,
        )
        return self._open(kept.reader)


def _anew(directory: Path) -> Path:
    """Where what takes a journal's place is made."""
    return directory.with_name(f"{directory.name}.anew")


def _put_aside(directory: Path) -> Path:
    """Rename a journal whose stream has forked; of those before it the latest are kept."""
    aside = sorted(directory.parent.glob(f"{directory.name}.forked-*"))
    for old in aside[: len(aside) + 1 - FORKED_KEPT]:
        shutil.rmtree(old)
    number = int(aside[-1].name.rpartition("-")[2]) + 1 if aside else 1
    return directory.rename(directory.with_name(f"{directory.name}.forked-{number:06}"))


async def run_retransmitter(
    config: ServerConfig, *, task_status: trio.TaskStatus[ServerNode] = trio.TASK_STATUS_IGNORED
) -> None:
    """Be a retransmission server until cancelled.

    Raises JournalCorrupted or JournalLocked before it has started; JournalFailed or StreamDiverged (in a group) after.
    """
    with ExitStack() as stack:
        streams: dict[int, KeptStream] = {}
        keepers = []
        for stream in config.streams:
            keeper = _Keeper(stream, streams)
            stack.enter_context(keeper.stack)
            keepers.append(keeper)
        retransmitter = Retransmitter(streams)
        requests = stack.enter_context(closing(open_receiver(config.request_address)))
        async with trio.open_nursery() as nursery:
            for stream, keeper in zip(config.streams, keepers, strict=True):
                receiver = stack.enter_context(closing(open_receiver(stream.address, config.interface)))
                asking = stack.enter_context(closing(open_receiver((config.request_address[0], 0))))
                nursery.start_soon(keeper.run, receiver, asking)
            await nursery.start(answer_requests, retransmitter, requests)
            task_status.started(ServerNode(retransmitter, streams, requests.getsockname()))
