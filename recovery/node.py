"""The process around a replica: journal, coordinator, links, the shard's stream, and its peers' datagrams.

A shard alone is a replica set of one: the same process, which wins every election and is its own majority.

One batch is one wake-up: everything the kernel has of a link, of the stream or of the peers is handled without a
checkpoint, then `flush` writes the journal once and sends what the batch makes. What waits for the disk waits in a task
of its own (`_sync`): the packets go out at once, uncommitted, and syncs that are asked for meanwhile share the next
one. A lone shard with durability "memory" commits by the write alone: the process may die, the machine not.

A disk that fails stops the process (JournalFailed), and so does a replica that makes other bytes than its primary
(ReplicaDiverged): both come out of `run_replica`. A coordinator that does not answer stops nobody.
"""

import logging
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import trio

from recovery import snapshot_files
from recovery.alarm import Alarm, now_ns
from recovery.clock import StampClock
from recovery.coordinator import Address as PublishedAddress
from recovery.coordinator import Coordinator, CoordinatorUnavailable, RecordLost, announce, join, raise_epoch
from recovery.execution import StateMachine
from recovery.history import Mode
from recovery.journal import Journal, JournalFailed, open_journal
from recovery.journal_reader import JournalError
from recovery.links import Links, NotPrimary
from recovery.multicast import Address, Destination, Sender, drain, open_receiver, send_to
from recovery.primary import MAX_UNCOMMITTED, Primary
from recovery.pump import open_listeners
from recovery.replica import SERVERS, STREAM, Replica, ReplicaDiverged, Role
from recovery.retransmission_server import answer_requests
from recovery.retransmitter import Retransmitter
from recovery.served import ServedReplica
from recovery.service_host import Service
from recovery.snapshots import SnapshotKeeper, check_not_diverged, mark_diverged, started_replica
from recovery.socket_filter import hear_what_matters
from recovery.stable import Durability, first_record

MAX_UNSENT = 4096
"""Datagrams waiting for room in the send buffer; beyond it the oldest are dropped, and readers ask for them."""
MAX_UNSYNCED = 200_000
"""Records waiting for the disk: tens of seconds' worth. One that hangs for so long ends the replica."""
SLOW_SYNC = 1_000_000_000
"""ns after which a sync is worth a word."""
JOIN_RETRY_SECONDS = 0.5
SNAPSHOTS = "snapshots"
"""Where they are, in the replica's directory."""

_log = logging.getLogger(__name__)


class ReplicaAddresses(NamedTuple):
    """Where one replica of a shard is. A port of 0 takes any; the node says which."""

    link: Address
    """TCP: gateways bring commands."""
    control: Address
    """UDP: the other replicas. TCP: snapshots, queries, operators."""
    retransmit: Address
    stream: Address
    """UDP: where this replica hears the shard's stream."""


class ReplicaConfig(NamedTuple):
    """One replica of one shard."""

    shard_id: int
    replica_id: int
    replicas: Mapping[int, ReplicaAddresses]
    """All of the shard, this one included."""
    directory: Path
    mode: Mode
    durability: Durability
    keys: Mapping[int, bytes]
    """source_id → the key it logs in with."""
    key: bytes
    """By which peers and those who ask prove themselves."""
    stream: Destination
    snapshot_every: int = 0
    """Transactions between two snapshots; 0: none."""
    retransmitters: tuple[Address, ...] = ()
    """Whom a new primary asks for more than its log has, in mode "async"."""

    @property
    def here(self) -> ReplicaAddresses:
        return self.replicas[self.replica_id]

    @property
    def alone(self) -> bool:
        return len(self.replicas) == 1


class JournalLost(JournalError):
    """A shard's only journal is gone, and what was acknowledged with it: an operator must look at it."""


def _nothing(*_: object) -> None:
    pass


class ReplicaNode:
    """A running replica, as `run_replica` gives it to its starter."""

    def __init__(self, config: ReplicaConfig, coordinator: Coordinator, replica: Replica, journal: Journal) -> None:
        self.config = config
        self.replica = replica
        self.stamps = StampClock(time.time_ns, time.monotonic_ns)
        self.stamp = self.stamps.now
        self.links = Links(self, config.shard_id, config.keys)
        self.link_address = config.here.link
        self.service_address = config.here.control
        self.request_address = config.here.retransmit
        services = {number: each.control for number, each in config.replicas.items() if number != config.replica_id}
        self.snapshots = SnapshotKeeper(
            replica, journal, config.directory / SNAPSHOTS, services, config.key, self.flush
        )
        #: For the owner: an operator's command was sequenced (tx, kind, body); and a batch has ended in which this
        #: replica may have sequenced something, or begun or ceased to lead.
        self.on_operated: Callable[[int, int, bytes], None] = _nothing
        self.on_batch: Callable[[], None] = _nothing
        self._coordinator = coordinator
        self._journal = journal
        self._sender: Sender
        self._control: socket.socket
        self._heard: socket.socket | None = None
        self._sources: tuple[socket.socket, ...] = ()
        self._peers = {number: addresses.control for number, addresses in config.replicas.items()}
        self._leading: Primary | None = None
        self._unsent: list[bytes] = []
        self._room = trio.Event()
        self._to_sync = trio.Event()
        self._to_raise = trio.Event()
        self._synced = 0  # records
        self._raise_above: int | None = None
        self._writes_at_once = config.durability == "memory" or config.mode == "async"
        self._committed = trio.lowlevel.ParkingLot()
        self._commit_tx = 0
        self._role = replica.role
        self._role_changed = trio.Event()
        self._alarm = Alarm(replica.next_deadline, self._ring)

    # What links and owners ask

    @property
    def primary(self) -> Primary:
        """Raises NotPrimary."""
        return self.leading()

    def leading(self) -> Primary:
        """The primary that this replica is. Raises NotPrimary, whose text says where to go."""
        if self.replica.primary is None:
            shard_id, replica_id, epoch = self.config.shard_id, self.config.replica_id, self.replica.epoch
            owner = self.replica.owner
            led = f"epoch {epoch} belongs to replica {owner}" if owner else f"nobody is known to lead epoch {epoch}"
            raise NotPrimary(f"replica {replica_id} of shard {shard_id} is {self.replica.role.value}: {led}")
        return self.replica.primary

    async def settle(self) -> Primary:
        """The primary, when it takes commands: what the state machine must do is done, the window has room."""
        while not (primary := self.leading()).ready:
            self.links.hold(now_ns())
            self.flush()
            if primary.uncommitted >= MAX_UNCOMMITTED:
                await self._committed.park()
            elif primary.pending:
                primary.work(self.stamp())
                self.flush()
                await trio.lowlevel.checkpoint()
        self.links.release(now_ns())
        return primary

    async def command(self, kind: int, body: bytes) -> None:
        """Sequence a command of the shard's own (its operator's, its timers'). Raises NotPrimary."""
        primary = await self.settle()
        primary.command(kind, body, self.stamp())
        self.flush()
        await self.settle()

    async def wait_committed(self, tx: int) -> None:
        """Until everything up to `tx` is committed and applied here."""
        while self.replica.commit_tx < tx:
            await self._committed.park()

    async def wait_role_change(self) -> None:
        await self._role_changed.wait()

    # Batches

    def flush(self) -> None:
        """End a batch: journal, stream, peers, coordinator, timer."""
        replica = self.replica
        records = replica.records_to_write()
        if records:
            self._journal.extend(records)
            if self._writes_at_once:
                self._journal.write_nowait()  # what is released with the packets outlives this process
        if replica.needs_sync or (records and self.config.durability == "disk"):
            self._sync_soon()
        self._send()
        above = replica.epoch_to_raise()
        if above is not None:
            self._raise_above = above
            self._to_raise.set()
        is_news = replica.role is not self._role or replica.primary is not self._leading
        if is_news:
            self._notice_role()
        if replica.commit_tx != self._commit_tx:
            self._commit_tx = replica.commit_tx
            if self._committed:
                self._committed.unpark_all()
        self.snapshots.look()
        self._alarm.moved()
        if records or is_news:
            self.on_batch()

    def _flush_soon(self) -> None:
        """As `flush`; but if a link goes on at once, its batch takes along what there is to say."""
        if not self.links.busy:
            self.flush()

    def _sync_soon(self) -> None:
        self._to_sync.set()
        if self.config.durability == "disk" and self.replica.stable.written - self._synced > MAX_UNSYNCED:
            raise JournalFailed(f"{self.config.directory}: {MAX_UNSYNCED} records wait for a disk that hangs")

    def _send(self) -> None:
        unsent = self._unsent
        for target, data in self.replica.datagrams_to_send(now_ns()):
            if target == STREAM:
                unsent.append(data)
            elif target == SERVERS:
                for server in self.config.retransmitters:
                    send_to(self._control, [data], server)
            else:
                send_to(self._control, [data], self._peers[target])
        if unsent:
            del unsent[: self._sender.send_nowait(unsent)]
            if unsent:
                del unsent[:-MAX_UNSENT]
                self._room.set()

    def _notice_role(self) -> None:
        """Tell those whom it concerns what this replica is now."""
        replica = self.replica
        if replica.primary is not self._leading:
            if self._leading is not None:
                self.links.end_leading()
            self._leading = replica.primary
            if self._leading is not None:
                self.links.begin_leading(now_ns())
            if self._heard is not None:
                hear_what_matters(self._heard, replica.epoch if self._leading is not None else 0)
        if replica.role is not self._role:
            self._log_role(replica.role)
            self._role = replica.role
            self._role_changed.set()
            self._role_changed = trio.Event()
            self._committed.unpark_all()

    def _log_role(self, role: Role) -> None:
        config, replica = self.config, self.replica
        level = logging.DEBUG if config.alone else logging.INFO
        place = config.shard_id, config.replica_id, role.value, replica.epoch, replica.last_tx
        _log.log(level, "shard %d replica %d: %s, epoch %d, tx %d", *place)

    def _ring(self, now: int) -> None:
        """What has come is read first: who was busy must not take that for the silence of others."""
        for source in self._sources:
            self._take(source, now)
        self.replica.handle_deadline(now)
        self.flush()

    # Tasks

    async def run(self, sender: Sender, control: socket.socket | None, heard: socket.socket | None) -> None:
        """`control` and `heard` (the stream) are None for a replica that is alone."""
        self._sender = sender
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._alarm.run)
            nursery.start_soon(self._send_when_there_is_room)
            nursery.start_soon(self._sync)
            nursery.start_soon(self._raise_epochs)
            nursery.start_soon(self._lead_on)
            nursery.start_soon(self.snapshots.run)
            if control is not None and heard is not None:
                self._control, self._heard = self._sources = control, heard
                hear_what_matters(heard)
                nursery.start_soon(self._receive, control)
                nursery.start_soon(self._receive, heard)
            self.flush()

    async def _receive(self, source: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(source)
            if self._take(source, now_ns()):
                self._flush_soon()

    def _take(self, source: socket.socket, now: int) -> bool:
        """Gives whether there was anything to be done about it: not for our own words, say."""
        replica = self.replica
        something = replica.receive_datagrams(drain(source), now)
        for text in (*replica.other_versions.take_untold(), *replica.others_settings.take_untold()):
            _log.error("shard %d replica %d: %s", self.config.shard_id, self.config.replica_id, text)
        return something

    async def _sync(self) -> None:
        """Group commit: whatever was written while the disk was busy is synced together."""
        while True:
            await self._to_sync.wait()
            self._to_sync = trio.Event()
            number = self.replica.stable.written
            begin = now_ns()
            await self._journal.commit()
            if now_ns() - begin > SLOW_SYNC:
                _log.warning("shard %d: the disk took %d ms", self.config.shard_id, (now_ns() - begin) // 1_000_000)
            self._synced = number
            self.replica.synced(number, now_ns())
            self._flush_soon()

    async def _send_when_there_is_room(self) -> None:
        while True:
            await self._room.wait()
            self._room = trio.Event()
            await self._sender.wait_room()
            self._send()

    async def _raise_epochs(self) -> None:
        """One question at a time; the replica gives up waiting by itself."""
        while True:
            await self._to_raise.wait()
            self._to_raise = trio.Event()
            above, self._raise_above = self._raise_above, None
            if above is None:
                continue
            epoch = None
            given_out = 0 if self.config.alone else self.replica.stable.given_epoch
            try:
                epoch = await raise_epoch(self._coordinator, self.config.replica_id, above, given_out)
            except CoordinatorUnavailable as error:
                _log.warning("shard %d: no epoch above %d: %s", self.config.shard_id, above, error)
            except RecordLost as error:  # who leads goes on, for a majority acknowledges; nobody else can
                _log.error("shard %d: no epoch above %d: %s", self.config.shard_id, above, error)
            if epoch is None:
                self.replica.epoch_not_raised(now_ns())
            else:
                self.replica.epoch_raised(epoch, now_ns())
            self.flush()

    async def _lead_on(self) -> None:
        """Beside leading: what a predecessor left half done is finished, and the coordinator is told who serves."""
        announced = 0
        while True:
            epoch = self.replica.epoch
            if self.replica.primary is None or epoch == announced:
                await self.wait_role_change()
                continue
            announced = epoch
            try:
                await self.settle()
                await announce(self._coordinator, self.config.replica_id, epoch)
            except NotPrimary:
                pass
            except CoordinatorUnavailable as error:
                _log.warning("shard %d: epoch %d is not announced: %s", self.config.shard_id, epoch, error)


async def _join(config: ReplicaConfig, coordinator: Coordinator, promised_epoch: int) -> tuple[bool, int]:
    """Whether the coordinator has known this replica before, and its epoch then.

    Raises CoordinatorUnavailable, ReplicaSetDiffers, RecordLost.
    """
    links = {number: PublishedAddress(*addresses.link) for number, addresses in config.replicas.items()}
    known = await join(coordinator, config.replica_id, links, promised_epoch)
    await coordinator.register(config.replica_id, links[config.replica_id])
    return known


async def _join_at_last(config: ReplicaConfig, coordinator: Coordinator, promised_epoch: int) -> tuple[bool, int]:
    """As `_join`, however long the coordinator is away."""
    while True:
        try:
            return await _join(config, coordinator, promised_epoch)
        except CoordinatorUnavailable as error:
            _log.warning("shard %d replica %d: %s", config.shard_id, config.replica_id, error)
            await trio.sleep(JOIN_RETRY_SECONDS)


async def _has_joined(config: ReplicaConfig, coordinator: Coordinator, promised_epoch: int) -> bool:
    """False: the coordinator is away. A replica with a journal needs none to go on."""
    try:
        await _join(config, coordinator, promised_epoch)
    except CoordinatorUnavailable as error:
        _log.warning("shard %d replica %d: %s", config.shard_id, config.replica_id, error)
        return False
    return True


async def _new_journal(config: ReplicaConfig, coordinator: Coordinator) -> tuple[bool, int]:
    """Of a replica without a journal: (whether it has lost it, the coordinator's epoch). Raises JournalLost."""
    here_before, epoch = await _join_at_last(config, coordinator, 0)
    if not here_before or not epoch:
        return False, 0
    if config.alone:
        raise JournalLost(
            f"{config.directory}: there is no journal, but shard {config.shard_id} has led {epoch} epochs. "
            "Bring its files back; or remove the coordinator's record of it, and what was traded is forgotten"
        )
    _log.warning("shard %d replica %d: no journal: all is fetched from the others", config.shard_id, config.replica_id)
    return True, epoch


def _make_replica(config: ReplicaConfig, make_state_machine: Callable[[], StateMachine]) -> Replica:
    return Replica(
        config.shard_id,
        config.replica_id,
        sorted(config.replicas),
        make_state_machine,
        mode=config.mode,
        durability=config.durability,
        draw=secrets.randbelow,
        snapshot_every=config.snapshot_every,
        load_snapshot=partial(snapshot_files.load_at_most, config.directory / SNAPSHOTS),
    )


async def run_replica(
    config: ReplicaConfig,
    coordinator: Coordinator,
    make_state_machine: Callable[[], StateMachine],
    *,
    task_status: trio.TaskStatus[ReplicaNode] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be a replica of a shard until cancelled: replay the journal, then follow, or lead.

    One that is alone has started when it leads, others at once. Raises JournalCorrupted, JournalLocked, JournalLost,
    ReplicaUnusable, ReplicaDiverged or ReplicaSetDiffers before it has started; JournalFailed, ReplicaDiverged or
    SettingsDiffer (in a group) after; RecordLost at either time.
    """
    check_not_diverged(config.directory)
    try:
        await _run_replica(config, coordinator, make_state_machine, task_status)
    except* ReplicaDiverged as errors:
        mark_diverged(config.directory, errors)
        raise


async def _run_replica(
    config: ReplicaConfig,
    coordinator: Coordinator,
    make_state_machine: Callable[[], StateMachine],
    task_status: trio.TaskStatus[ReplicaNode],
) -> None:
    here = config.here
    # A journal that is alone is the only copy: there, damage to what was only written is an error, too.
    sync: Literal["write", "disk"] = "write" if config.alone and config.durability == "memory" else "disk"
    with ExitStack() as stack:
        journal = stack.enter_context(open_journal(config.directory, sync=sync))
        records = list(journal.replay())
        is_new = not records
        forgot, highest_epoch = config.durability == "memory" and not config.alone and not is_new, 0
        if is_new:
            forgot, highest_epoch = await _new_journal(config, coordinator)
            if config.alone:  # or, killed between its first epoch and the promise of it, it would seem to have lost it
                journal.append(*first_record())
                await journal.commit()
        given_out = 0  # the highest epoch that the journal has of the coordinator's

        def start(replica: Replica) -> None:
            nonlocal given_out
            given_out = replica.stable.given_epoch
            replica.start(now_ns(), forgot=forgot, highest_epoch=highest_epoch, next_number=journal.next_number)

        snapshots = config.directory / SNAPSHOTS
        replica = started_replica(snapshots, records, partial(_make_replica, config, make_state_machine), start)
        del records
        joined = is_new or await _has_joined(config, coordinator, given_out)
        node = ReplicaNode(config, coordinator, replica, journal)
        sender = stack.enter_context(Sender(config.stream))
        requests = stack.enter_context(closing(open_receiver(here.retransmit)))
        control = heard = None
        if not config.alone:
            control = stack.enter_context(closing(open_receiver(here.control)))
            heard = stack.enter_context(closing(open_receiver(here.stream, config.stream.interface)))
        listeners = await open_listeners(here.link)
        service = await open_listeners(here.control)
        node.link_address = listeners[0].socket.getsockname()[:2]
        node.service_address = service[0].socket.getsockname()[:2]
        node.request_address = requests.getsockname()
        async with trio.open_nursery() as nursery:
            answer = partial(answer_requests, over_tcp=here.control != here.retransmit)
            nursery.start_soon(answer, Retransmitter({config.shard_id: replica}), requests)
            nursery.start_soon(trio.serve_listeners, node.links.serve, listeners)
            nursery.start_soon(Service(ServedReplica(node), config.key).run, service)
            nursery.start_soon(node.run, sender, control, heard)
            if not joined:
                nursery.start_soon(_join_at_last, config, coordinator, given_out)
            while config.alone and replica.primary is None:
                await node.wait_role_change()
            task_status.started(node)
