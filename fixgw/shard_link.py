"""Keeps a gateway's link to one shard's primary, whichever replica that is.

Three tasks: one tries whom `primaries` says and runs the link, one reads what the coordinator knows, and the timer of
the link. The coordinator is asked beside the search, never ahead of it: while it hangs, the search goes on without its
word. What is news (the coordinator's record has changed, the stream shows a higher epoch) ends a pause at once, and an
attempt or a link that it makes pointless.
"""

import logging
import math
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import trio

from fixgw import connection as tcp
from fixgw.connection import Connection, PeerGone
from fixgw.primaries import Address, PrimarySearch
from recovery.alarm import now_ns
from recovery.coordinator import Coordinator, CoordinatorUnavailable
from recovery.frames import LinkError
from recovery.link import NONCE_BYTES, LinkClient

_log: Final = logging.getLogger("fixgw.gateway")

#: How soon a coordinator that has failed is asked again.
ASK_AGAIN_SECONDS: Final = 0.2

#: A shard that stays away is told of so often, and not at each attempt.
_TELL_SECONDS: Final = 5.0


class ShardLink:
    """The link to one shard. `opened` and `lost` are told of the login and of its end, `flush` after all input."""

    def __init__(
        self,
        name: str,
        link: LinkClient,
        members: Mapping[int, Address],
        coordinator: Coordinator,
        *,
        opened: Callable[[], None],
        lost: Callable[[], None],
        flush: Callable[[], None],
    ) -> None:
        self.name = name
        #: The connection of the link or of the attempt, while there is one.
        self.peer: Connection | None = None
        #: Happens when the first login is accepted.
        self.linked = trio.Event()
        self._link = link
        self._search = PrimarySearch(members, now_ns())
        self._coordinator = coordinator
        self._opened = opened
        self._lost = lost
        self._flush = flush
        self._scope = trio.CancelScope()
        self._dropped = ""
        self._news = trio.Event()
        self._told_at = -math.inf

    def heard_epoch(self, epoch: int, owner: int) -> None:
        """The shard's stream shows a higher epoch, or says whose it is; `owner` is 0 before."""
        if self._search.heard(epoch, owner, now_ns()):
            self._drop(f"epoch {epoch} is another replica's")
        self._news.set()

    async def run(self) -> None:
        """Search, and keep what is found, for ever. Raises LinkForked."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            while True:
                await self._try_next()

    # --- the coordinator's word ---------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        coordinator = self._coordinator
        while True:
            try:
                record, version = await coordinator.read()
                address = record.replicas.get(str(record.owner))
                if self._search.told(record.epoch, record.owner, address, now_ns()):
                    self._drop(f"epoch {record.epoch} belongs to replica {record.owner}")
                self._news.set()
                await coordinator.wait_changed(version)
            except CoordinatorUnavailable as error:
                _log.debug("shard %s: the coordinator is not available: %s", self.name, error)
                await trio.sleep(ASK_AGAIN_SECONDS)

    def _drop(self, reason: str) -> None:
        self._dropped = reason
        self._scope.cancel()

    def leave(self) -> None:
        """Say that this process is about to end because it was asked to."""
        if self.peer is not None and (data := self._link.leaving()):
            self.peer.send(data)

    # --- the link -----------------------------------------------------------------------------------------------------

    async def _try_next(self) -> None:
        replica, address, patience = self._search.next_attempt()
        self._news = trio.Event()
        self._dropped = ""
        try:
            with trio.CancelScope(deadline=trio.current_time() + patience / 1e9) as self._scope:
                await self._connect(replica, address)
            failure: object = self._dropped or "it does not answer"
        except* (OSError, PeerGone, LinkError) as errors:
            failure = errors.exceptions[0]
        was_open = self._link.open
        self._link.disconnected()
        if was_open:
            self._lost()
            self._told_at = -math.inf
        if trio.current_time() >= self._told_at + _TELL_SECONDS:
            self._told_at = trio.current_time()
            _log.warning("no link to shard %s: replica %d at %s:%d: %s", self.name, replica, *address, failure)
        pause = self._search.failed(now_ns()) / 1e9
        with trio.move_on_at(pause):
            await self._news.wait()
        await trio.lowlevel.checkpoint()

    async def _connect(self, replica: int, address: Address) -> None:
        """One connection, until it ends. Raises OSError, or a group of PeerGone and LinkError."""
        link = self._link
        peer = await tcp.connect(*address)
        self.peer = peer
        link.connected(secrets.token_bytes(NONCE_BYTES), now_ns())
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.run_writer)
                nursery.start_soon(self._run_timer)
                while True:
                    was_open = link.open
                    link.receive_data(await peer.receive(), now_ns())
                    if lost := link.take_lost():
                        _log.error("shard %s has lost our commands %d to %d", self.name, lost[0], lost[-1])
                    if link.open and not was_open:
                        self._accepted(replica)
                    if data := link.data_at_once():  # a batch may wait for the disk, and brokers for this
                        peer.send(data)
                    self._flush()
        finally:
            self.peer = None
            peer.close()

    def _accepted(self, replica: int) -> None:
        self._scope.deadline = math.inf
        self._search.opened(now_ns())
        self._opened()
        self.linked.set()
        _log.info("shard %s: linked to replica %d", self.name, replica)

    async def _run_timer(self) -> None:
        while (deadline := self._link.next_deadline()) is not None:
            await trio.sleep_until(deadline / 1e9)
            self._link.handle_deadline(max(now_ns(), deadline))
            self._flush()
