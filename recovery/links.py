"""The links of a shard on sockets: gateways log in to the primary and bring their commands.

One batch is one wake-up of one link: everything the kernel has from it is submitted without a checkpoint, then the node
writes and sends once. A link that breaks the protocol, sends a gap, or is an old life of a gateway is told why and
closed, and disturbs nobody else. A replica that is not the primary says so, and who is.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import trio

from recovery.alarm import now_ns
from recovery.frames import LinkError
from recovery.history import ReplicaDiverged, StateLost
from recovery.intake import submit_some
from recovery.journal import JournalFailed
from recovery.link import NONCE_BYTES, LinkServer, Login
from recovery.primary import Primary
from recovery.pump import Pump

MAX_LINKS = 256
"""Gateways, and operators' tools."""
MAX_BATCH = 32
"""Commands between two flushes: after a failover a gateway brings all that has piled up at once, and the first of it
waits for an acknowledgement and a sync, which come to our notice after two flushes each: so these are some ms apart."""
MAX_STRANGERS = 32
"""Connections that have not logged in: each has 3 s for it."""

_log = logging.getLogger(__name__)


class NotPrimary(LinkError):
    """This replica does not lead, or not any more; the text says who may."""


class Host(Protocol):
    """What links need of the process around them."""

    def leading(self) -> Primary:
        """Raises NotPrimary."""

    async def settle(self) -> Primary:
        """The primary, once it takes a command. Raises NotPrimary."""

    def stamp(self) -> int:
        """Now, for a command: ns since the epoch."""

    def flush(self) -> None:
        """End a batch."""


class Links:
    """All links of one replica."""

    def __init__(self, host: Host, shard_id: int, keys: Mapping[int, bytes]) -> None:
        self.host = host
        self.shard_id = shard_id
        self._keys = keys
        self._strangers = 0
        self._pumps: dict[int, Pump] = {}  # source_id → its link
        self._lost_at: dict[int, int] = {}  # source_id → when its link was lost
        self._leaving: set[int] = set()  # those who said, over their last link, that they go
        self._leading = False
        self._held_since: int | None = None
        self.busy = 0
        """Links that have more to submit at once, and so end a batch soon: who has only a commit to say may leave it to
        them."""

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Around a checkpoint between two batches of one link."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection. Nothing that comes over it gets further than here.

        What ends the replica does: a batch ends with the work of the whole process, which may fail on any link.
        """
        if self._strangers >= MAX_STRANGERS or len(self._pumps) >= MAX_LINKS:
            _log.warning("shard %d: too many links", self.shard_id)
            await trio.aclose_forcefully(stream)
            return
        link = _Link(self, LinkServer(self.shard_id, self._keys, os.urandom(NONCE_BYTES), now_ns()), stream)
        self._strangers += 1
        try:
            await link.pump.run()
        except (JournalFailed, ReplicaDiverged, StateLost, AssertionError):
            raise
        except NotPrimary as error:
            _log.info("shard %d: link of %s: %s", self.shard_id, link.who, error)
        except LinkError as error:
            _log.warning("shard %d: link of %s: %s", self.shard_id, link.who, error)
        except Exception:
            _log.exception("shard %d: link of %s", self.shard_id, link.who)
        finally:
            if link.source_id is None:
                self._strangers -= 1
            elif self._pumps.get(link.source_id) is link.pump:
                del self._pumps[link.source_id]
                if self._leading:
                    self._lost_at[link.source_id] = now_ns()
                    if link.leaving:
                        self._leaving.add(link.source_id)

    def logged_in(self, source_id: int, pump: Pump) -> None:
        """A source has one link; a newer one ends the older."""
        self._strangers -= 1
        self._lost_at.pop(source_id, None)
        self._leaving.discard(source_id)
        if source_id in self._pumps:
            self._pumps[source_id].stop()
        self._pumps[source_id] = pump

    # Of the primary's sources

    def begin_leading(self, now: int) -> None:
        """The sources that were linked to a predecessor have from now on the time to come here."""
        self._leading = True
        sources = self.host.leading().sources
        self._lost_at = {source_id: now for source_id in self._keys if sources.incarnation(source_id)}
        self._held_since = None

    def end_leading(self) -> None:
        """Nobody's commands are taken here any more."""
        self._leading = False
        for pump in self._pumps.values():
            pump.stop()
        self._lost_at.clear()
        self._leaving.clear()

    def hold(self, now: int) -> None:
        """The primary takes no command, nor a login, until `release`. Again: as once."""
        if self._held_since is None:
            self._held_since = now

    def release(self, now: int) -> None:
        """The time since `hold` is not counted: nobody could have come."""
        if self._held_since is not None:
            held = now - self._held_since
            self._lost_at = {source_id: min(since + held, now) for source_id, since in self._lost_at.items()}
            self._held_since = None

    def take_lost(self, grace: int, now: int) -> int | None:
        """A source without a link for longer than `grace` ns, each once per loss; None: no other is."""
        lost = next((source_id for source_id, since in self._lost_at.items() if now - since > grace), None)
        if lost is not None:
            del self._lost_at[lost]
        return lost

    def has_left(self, source_id: int) -> bool:
        """Whether a source without a link had said that it goes."""
        return source_id in self._leaving


class _Link:
    """One gateway's connection: its core and pump, and what is done with what comes."""

    def __init__(self, links: Links, core: LinkServer, stream: trio.SocketStream) -> None:
        self.source_id: int | None = None
        self._links = links
        self._host = links.host
        self._core = core
        self.pump = Pump(core, stream, self._received)

    @property
    def who(self) -> str:
        """For the log."""
        return "a stranger" if self.source_id is None else f"source {self.source_id}"

    @property
    def leaving(self) -> bool:
        return self._core.leaving

    async def _received(self, data: bytes, now: int) -> None:
        self._core.stop_reading()
        try:
            await self._take(data, now)
        finally:
            self._core.read_on(now_ns())

    async def _take(self, data: bytes, now: int) -> None:
        """One batch; and then until the primary takes another."""
        host, core = self._host, self._core
        try:
            events = core.receive_data(data, now)
            taken = 0
            while taken < len(events):
                event = events[taken]
                if isinstance(event, Login):
                    await self._log_in(event, now)
                    taken += 1
                    continue
                primary = host.leading()
                if not primary.ready:
                    primary = await host.settle()
                assert core.login is not None
                taken = submit_some(primary, core.login, events, taken, taken + MAX_BATCH, host.stamp)
                if taken < len(events):
                    host.flush()  # so that backups and disks have work while we do the rest
                    with self._links.going_on():
                        await trio.lowlevel.checkpoint()  # and what they acknowledge is committed meanwhile
        except LinkError as error:
            if not core.closed:
                core.refuse(str(error), now)
            raise
        finally:
            host.flush()
        if self.source_id is not None and not host.leading().ready:
            await host.settle()

    async def _log_in(self, login: Login, now: int) -> None:
        try:
            primary = await self._host.settle()
        except NotPrimary as error:
            self._core.reject(str(error), now)
            raise
        last = primary.open_source(login.source_id, login.incarnation, self._host.stamp())
        if last is None:
            raise LinkError(f"incarnation {login.incarnation} is over")
        self.source_id = login.source_id
        self._links.logged_in(login.source_id, self.pump)
        self._core.accept(last, now)
