"""The process around a primary: its journal, its links, its stream, and answers to those whom no retransmitter answers.

One batch is one wake-up of one link: everything the kernel has from it is submitted without a checkpoint, then one
journal write, then the packets. With sync="write" the batch is committed by that write, and its packets carry the
commit. With sync="disk" the packets go out at once, uncommitted, while a committer task has the journal synced;
commits that come meanwhile share the next sync, and an empty packet tells the readers. Either way nothing above the
commit is acted upon by anybody.

A link that breaks the protocol, sends a gap, or is an old life of a gateway is told why and closed, and disturbs nobody
else. A disk that fails stops the process: JournalFailed comes out of `run_primary`.
"""

import logging
import os
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import trio

from recovery.alarm import Alarm, now_ns
from recovery.clock import StampClock
from recovery.execution import StateMachine
from recovery.frames import LinkError
from recovery.journal import Journal, JournalFailed, Sync, open_journal
from recovery.link import NONCE_BYTES, Command, LinkServer, Login
from recovery.multicast import Address, Destination, Sender, open_receiver
from recovery.primary import MAX_UNCOMMITTED, Primary
from recovery.pump import Pump
from recovery.retransmission_server import answer_requests
from recovery.retransmitter import Retransmitter
from recovery.sources import Verdict

MAX_LINKS = 256
"""Gateways, and operators' tools."""
MAX_STRANGERS = 32
"""Connections that have not logged in: each has 3 s for it."""
MAX_UNSENT = 4096
"""Datagrams waiting for room in the send buffer; beyond it the oldest are dropped, and readers ask for them."""

_log = logging.getLogger(__name__)


class PrimaryConfig(NamedTuple):
    """Where a shard's primary lives. A port of 0 takes any; the node says which."""

    shard_id: int
    journal: Path
    sync: Sync
    keys: Mapping[int, bytes]
    """source_id → the key it logs in with."""
    stream: Destination
    link_address: Address
    request_address: Address


class PrimaryNode:
    """A running primary, as `run_primary` gives it to its starter."""

    def __init__(self, config: PrimaryConfig, primary: Primary, journal: Journal, sender: Sender) -> None:
        self.primary = primary
        self.retransmitter = Retransmitter({config.shard_id: primary})
        self.stamps = StampClock(time.time_ns, time.monotonic_ns)
        self.link_address = config.link_address
        self.request_address = config.request_address
        self._config = config
        self._journal = journal
        self._sender = sender
        self._unsent: list[bytes] = []
        self._room = trio.Event()
        self._to_commit = trio.Event()
        self._committed = trio.Event()
        self._alarm = Alarm(primary.next_deadline, self._heartbeat)
        self._strangers = 0
        self._links: dict[int, Pump] = {}  # source_id → its link

    async def command(self, kind: int, body: bytes) -> None:
        """Sequence a command of the shard's own (its operator's, its timers'), and send what it makes."""
        await self.settle()
        self.primary.command(kind, body, self.stamps.now())
        self.flush()
        await self.settle()

    def flush(self) -> None:
        """End a batch: journal, commit, stream."""
        for kind, payload in self.primary.records_to_write():
            self._journal.append(kind, payload)
        if self._journal.sync == "write":
            self._journal.write_nowait()
            self.primary.committed(self.primary.last_tx)
        else:
            self._to_commit.set()
        self._send()

    def _send(self) -> None:
        unsent = self._unsent
        unsent += self.primary.datagrams_to_send()
        del unsent[: self._sender.send_nowait(unsent)]
        if unsent:
            del unsent[:-MAX_UNSENT]
            self._room.set()

    async def settle(self) -> None:
        """Do what the state machine must do first; wait for commits while the window is full."""
        while not self.primary.ready:
            self.flush()
            if self.primary.uncommitted >= MAX_UNCOMMITTED:
                await self._committed.wait()
            elif self.primary.pending:
                self.primary.work(self.stamps.now())
                self.flush()
                await trio.lowlevel.checkpoint()

    # Tasks

    async def run(self, listeners: list[trio.SocketListener]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._alarm.run)
            nursery.start_soon(self._send_when_there_is_room)
            nursery.start_soon(self.settle)
            if self._journal.sync == "disk":
                nursery.start_soon(self._commit)
            await trio.serve_listeners(self._serve, listeners)

    async def _commit(self) -> None:
        while True:
            await self._to_commit.wait()
            self._to_commit = trio.Event()
            tx = self.primary.last_tx
            await self._journal.commit()
            self.primary.committed(tx)
            self._committed.set()
            self._committed = trio.Event()
            self._send()

    async def _send_when_there_is_room(self) -> None:
        while True:
            await self._room.wait()
            self._room = trio.Event()
            await self._sender.wait_room()
            self._send()

    def _heartbeat(self, now: int) -> None:
        self.primary.handle_deadline(now)
        self._send()

    # Links

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One link. Nothing that comes over it gets further than here, but for a failed disk."""
        if self._strangers >= MAX_STRANGERS or len(self._links) >= MAX_LINKS:
            _log.warning("shard %d: too many links", self.primary.shard_id)
            await trio.aclose_forcefully(stream)
            return
        link = _Link(self, stream)
        self._strangers += 1
        try:
            await link.pump.run()
        except (JournalFailed, AssertionError):
            raise
        except LinkError as error:
            _log.warning("shard %d: link of source %s: %s", self.primary.shard_id, link.source_id, error)
        except Exception:
            _log.exception("shard %d: link of source %s", self.primary.shard_id, link.source_id)
        finally:
            if link.source_id is None:
                self._strangers -= 1
            elif self._links.get(link.source_id) is link.pump:
                del self._links[link.source_id]

    def logged_in(self, source_id: int, pump: Pump) -> None:
        """A source has one link; a newer one ends the older."""
        self._strangers -= 1
        if source_id in self._links:
            self._links[source_id].stop()
        self._links[source_id] = pump

    async def submit(self, login: Login, command: Command) -> None:
        """Raises LinkError when this source may not go on from here."""
        if not self.primary.ready:
            await self.settle()
        source_seq, session_id, session_seq, kind, body = command
        verdict = self.primary.submit(
            login.source_id,
            login.incarnation,
            source_seq,
            session_id,
            session_seq,
            kind,
            body,
            self.stamps.now(),
        )
        if verdict is Verdict.GAP:
            last = self.primary.sources.last_source_seq(login.source_id)
            raise LinkError(f"command {source_seq}, but {last + 1} is next")
        if verdict is Verdict.FENCED or verdict is Verdict.UNOPENED:
            raise LinkError(f"incarnation {login.incarnation} is over")

    async def open_source(self, login: Login) -> int:
        """The last command taken from this source. Raises LinkError when a later life of it has been here."""
        await self.settle()
        last = self.primary.open_source(login.source_id, login.incarnation, self.stamps.now())
        if last is None:
            raise LinkError(f"incarnation {login.incarnation} is over")
        return last

    def link_core(self) -> LinkServer:
        return LinkServer(self._config.shard_id, self._config.keys, os.urandom(NONCE_BYTES), now_ns())


class _Link:
    """One gateway's connection: its core and pump, and what is done with what comes."""

    def __init__(self, node: PrimaryNode, stream: trio.SocketStream) -> None:
        self.source_id: int | None = None
        self._node = node
        self._core = node.link_core()
        self.pump = Pump(self._core, stream, self._received)

    async def _received(self, data: bytes, now: int) -> None:
        """One batch."""
        node = self._node
        try:
            for event in self._core.receive_data(data, now):
                if isinstance(event, Command):
                    assert self._core.login is not None
                    await node.submit(self._core.login, event)
                else:
                    await self._log_in(event, now)
            await node.settle()
        except LinkError as error:
            if not self._core.closed:
                self._core.refuse(str(error), now)
            raise
        finally:
            node.flush()

    async def _log_in(self, login: Login, now: int) -> None:
        last = await self._node.open_source(login)
        self.source_id = login.source_id
        self._node.logged_in(login.source_id, self.pump)
        self._core.accept(last, now)


async def run_primary(
    config: PrimaryConfig,
    state_machine: StateMachine,
    *,
    task_status: trio.TaskStatus[PrimaryNode] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be the primary of a shard until cancelled: replay the journal, begin an epoch, serve.

    Raises JournalCorrupted, ReplayDiverged or JournalLocked before it has started, JournalFailed (in a group) after.
    """
    with (
        open_journal(config.journal, sync=config.sync) as journal,
        Sender(config.stream) as sender,
        closing(open_receiver(config.request_address)) as requests,
    ):
        primary = Primary(config.shard_id, state_machine)
        for _, kind, payload in journal.replay():
            primary.replay(kind, payload)
        primary.start(now_ns())
        for kind, payload in primary.records_to_write():
            journal.append(kind, payload)
        await journal.commit()  # the epoch is written down before its first packet
        node = PrimaryNode(config, primary, journal, sender)
        listeners = await trio.open_tcp_listeners(config.link_address[1], host=config.link_address[0])
        node.link_address = listeners[0].socket.getsockname()[:2]
        node.request_address = requests.getsockname()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_requests, node.retransmitter, requests)
            nursery.start_soon(node.run, listeners)
            task_status.started(node)
