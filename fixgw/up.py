"""The composition root: which parts make an exchange, from one configuration.

Each role is one function that serves until it is canceled. `run` starts one of them as a process of its own, `up` all
of them in this one: the same code, the same sockets, the same journals. Only here do the packages meet.
"""

import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache, partial
from typing import Final
from zoneinfo import ZoneInfo

import trio

import matching.host
from fixgw import market
from fixgw.acceptor import Acceptor
from fixgw.conditions import TradingDays
from fixgw.config import Config
from fixgw.config import Gateway as GatewaySettings
from fixgw.config import Publisher as PublisherSettings
from fixgw.coordinators import CoordinatorOf, open_coordinators
from fixgw.entries import EntryError
from fixgw.gateway import Gateway
from fixgw.interface import interface_of
from fixgw.ledger import Ledger, run_ledger
from fixgw.link_key import link_key
from fixgw.logon import Identity
from fixgw.overview import next_steps, table
from fixgw.phases import NextOpening
from fixgw.reports import DIALECTS
from fixgw.router import Router, Seat
from fixgw.session import Session
from fixgw.throttle import TokenBucket
from fixgw.translate import TradedInstrument
from marketdata.publisher import Channel, ChannelPublisher, run_publisher
from matching.commands import SchedulePhase
from matching.host import ShardHost, ShardSettings
from matching.operations import Market, next_opening
from recovery.coordinator import RecordLost, ReplicaSetDiffers
from recovery.history import ReplicaDiverged, StateLost
from recovery.journal import open_journal
from recovery.journal_reader import JournalCorrupted, JournalError
from recovery.link import LinkForked
from recovery.multicast import Destination
from recovery.node import ReplicaAddresses, ReplicaConfig
from recovery.record import StreamError
from recovery.retransmission_server import ServedStream, ServerConfig, ServerNode, run_retransmitter
from recovery.settings import SettingsDiffer
from recovery.snapshot import SnapshotDamaged

_log: Final = logging.getLogger(__name__)

#: Instruments that are asked about in the same second.
_OPENINGS_KEPT: Final = 1024
#: Objects allocated, net, between two looks for garbage in cycles: some hundred orders under way, and then some.
GC_ALLOCATIONS: Final = 20_000
#: Of a shard, whose orders stay and are in no cycle when they go: it looks at few at a time, which takes a millisecond
#: or two, and at none twice, for there may be a million of them.
SHARD_GC_ALLOCATIONS: Final = 5_000

#: How long a thread that has done its work (a disk's, ZooKeeper's) waits for the interpreter while the process is busy.
#: Python's own 5 ms, two or three times for each sync, would be most of what a sync takes.
SWITCH_SECONDS: Final = 0.000_5

#: Of a role's process, where it is permitted (CAP_SYS_NICE). Shards have ten times the share of a process that wants
#: all it gets, gateways three times: brokers wait for both, and for nobody else.
NICENESS: Final = {"shard": -10, "gateway": -5}

#: The market is quiet when nothing has moved for so long: several heartbeats, so that every gap has been seen.
QUIET_SECONDS: Final = 0.3
_POLL_SECONDS: Final = 0.02

#: What a role may end with that is for the operator to mend, not a bug: told in a line, without a traceback.
FAILURES: Final = (
    OSError,
    JournalError,
    StreamError,
    ReplicaDiverged,
    ReplicaSetDiffers,
    RecordLost,
    SettingsDiffer,
    StateLost,
    SnapshotDamaged,
    LinkForked,
    EntryError,
)
#: Of them, those whose text cannot say what to do, for it depends on whose files they are.
IN_HANDBOOK: Final = (JournalCorrupted, ReplicaDiverged)
HANDBOOK: Final = "conf/README.md"


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


# --- roles ------------------------------------------------------------------------------------------------------------


async def run_shard(
    config: Config,
    name: str,
    coordinator_of: CoordinatorOf | None = None,
    task_status: trio.TaskStatus[ShardHost] = trio.TASK_STATUS_IGNORED,
) -> None:
    """One replica of a shard, or the shard, if it is alone."""
    shard, replica_id = config.replica(name)
    key = link_key(config.venue.link_key_file)
    replica = ReplicaConfig(
        shard.id,
        replica_id,
        {number: ReplicaAddresses(*member) for number, member in shard.members.items()},
        config.directory("shard", name),
        shard.mode,
        shard.durability,
        {gateway.source_id: key for gateway in config.gateways},
        key,
        Destination(shard.stream, interface_of(config)),
        shard.snapshot_every,
        tuple(each.address for each in config.retransmitters if shard.name in each.shards),
    )
    async with _coordinators(config, coordinator_of) as opened:
        settings = ShardSettings(replica, _market(config, shard.name))
        await matching.host.run_shard(settings, opened(shard.id), task_status=task_status)


def _market(config: Config, shard: str) -> Market:
    day = config.venue.trading_day
    return Market(
        market.instruments(config, shard),
        ZoneInfo(day.time_zone),
        day.rolls_at,
        market.sessions(config),
        market.participants(config),
        market.rules(config, shard),
        list(market.ticks(config, shard)),
        market.reference_prices(config, shard),
        market.calendars(config, shard),
        market.circuit_breaker(config),
    )


def _coordinators(
    config: Config, opened: CoordinatorOf | None
) -> contextlib.AbstractAsyncContextManager[CoordinatorOf]:
    """A process opens its own; roles that share a process share them."""
    return open_coordinators(config) if opened is None else contextlib.nullcontext(opened)


async def run_retransmitting(
    config: Config, name: str, task_status: trio.TaskStatus[ServerNode] = trio.TASK_STATUS_IGNORED
) -> None:
    """One retransmission server, for some shards."""
    settings = config.retransmitter(name)
    directory = config.directory("retransmitter", name)
    streams = []
    for shard_name in settings.shards:
        others = tuple(each for each in config.retransmit_servers(shard_name) if each != settings.address)
        address = config.stream_address(settings, shard_name)
        streams.append(ServedStream(config.shard(shard_name).id, address, directory / shard_name, others))
    server = ServerConfig(tuple(streams), settings.address, interface_of(config))
    await run_retransmitter(server, task_status=task_status)


async def run_gateway(
    config: Config,
    name: str,
    coordinator_of: CoordinatorOf | None = None,
    task_status: trio.TaskStatus[Gateway] = trio.TASK_STATUS_IGNORED,
) -> None:
    """One FIX gateway."""
    settings = config.gateway(name)
    async with _coordinators(config, coordinator_of) as opened:
        with open_journal(config.directory("gateway", name), sync=settings.sync) as journal:
            gateway = Gateway(config, name, journal, make_router(config, settings), opened)
            async with trio.open_nursery() as nursery:
                await nursery.start(gateway.run)
                await nursery.start(Acceptor(gateway).run, *settings.fix)
                task_status.started(gateway)


def make_router(config: Config, settings: GatewaySettings) -> Router:
    """The core of a gateway, as the configuration wants it."""
    seats = []
    for session in config.sessions_of(settings.name):
        version = session.begin_string.encode()
        identity = Identity(version, config.venue.comp_id.encode(), session.sender_comp_id.encode())
        limit = session.rate_limit
        seats.append(
            Seat(
                session.id,
                config.participant(session.participant).id,
                Session(identity),
                DIALECTS[version],
                TokenBucket(limit.orders_per_second, limit.burst, 0),
                TokenBucket(limit.orders_per_second, limit.burst, 0),
                session.cancel_on_disconnect,
            )
        )
    tables = {each.id: config.tick_table_of(each) for each in config.instruments}
    ticks = {
        number: tuple((row.from_price, row.tick_size) for row in table.rows) if table is not None else ()
        for number, table in tables.items()
    }
    instruments = [
        TradedInstrument(
            each.id, each.symbol.encode(), config.shard(each.shard).id, each.tick_size, each.lot_size, ticks[each.id]
        )
        for each in config.instruments
    ]
    key = link_key(config.venue.link_key_file)
    day = config.venue.trading_day
    days = TradingDays(ZoneInfo(day.time_zone), day.rolls_at)
    shard_ids = [shard.id for shard in config.shards]
    return Router(settings.source_id, key, seats, instruments, shard_ids, days, _openings(config))


def _openings(config: Config) -> NextOpening:
    """By the calendars; the same second is asked about again and again."""
    markets = {each.id: _market(config, each.shard) for each in config.instruments}

    @lru_cache(_OPENINGS_KEPT)
    def opening(instrument_id: int, now: int) -> SchedulePhase | None:
        return next_opening(markets[instrument_id], instrument_id, now)

    return opening


async def run_publishing(
    config: Config, name: str, task_status: trio.TaskStatus[list[ChannelPublisher]] = trio.TASK_STATUS_IGNORED
) -> None:
    """One line of every channel."""
    await run_publisher(list(_channels(config, config.publisher(name))), task_status=task_status)


def _channels(config: Config, settings: PublisherSettings) -> Iterator[Channel]:
    for channel in config.feed.channels:
        line = channel.lines.get(settings.line)
        if line is not None:
            shard = config.shard(channel.shard)
            yield Channel(
                shard.id,
                config.stream_address(settings, channel.shard),
                config.retransmit_servers(channel.shard),
                line,
                settings.requests[channel.shard],
                settings.allow,
                interface_of(config),
                {each.id: each.mpid.encode().ljust(4) for each in config.participants if each.attributed},
                may_fork=shard.mode == "async",
            )


ROLES: Final[dict[str, Callable[..., Awaitable[None]]]] = {
    "shard": run_shard,
    "retransmitter": run_retransmitting,
    "gateway": run_gateway,
    "publisher": run_publishing,
    "ledger": run_ledger,
}


# --- one role, or all of them -----------------------------------------------------------------------------------------


class Exchange:
    """A whole exchange in this process; what its parts hold may be looked at, for summaries and tests."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.replicas: dict[str, list[ShardHost]] = {shard.name: [] for shard in config.shards}
        self.gateways: dict[str, Gateway] = {}
        self.publishers: dict[str, list[ChannelPublisher]] = {}
        self.ledgers: dict[str, Ledger] = {}

    def shard(self, name: str) -> ShardHost:
        """The replica of a shard that leads it, else the one that has come furthest."""
        return max(self.replicas[name], key=lambda host: (host.node.replica.primary is not None, host.next_seq))

    def books(self) -> dict[str, dict[str, list[list[int]]]]:
        """By symbol: bids and asks of the engines' books, best first, as [price in 1/10,000, quantity]."""
        books = {}
        for instrument in self.config.instruments:
            book = self.shard(instrument.shard).engine.book(instrument.id)
            books[instrument.symbol] = {
                "bids": [[price, quantity] for price, quantity, _ in book.bids.depth()],
                "asks": [[price, quantity] for price, quantity, _ in book.asks.depth()],
            }
        return books

    def trades(self) -> int:
        """How many trades there were."""
        return sum(self.shard(name).engine.trade_count for name in self.replicas)

    async def wait_quiet(self) -> None:
        """Until nothing moves any more and every reader has everything."""
        quiet_since, last = trio.current_time(), self._positions()
        while trio.current_time() - quiet_since < QUIET_SECONDS:
            await trio.sleep(_POLL_SECONDS)
            now = self._positions()
            if now != last or not self._everybody_is_there():
                quiet_since, last = trio.current_time(), now

    def _positions(self) -> dict[int, int]:
        """By shard: the number of the next message."""
        return {shard.id: self.shard(shard.name).next_seq for shard in self.config.shards}

    def _everybody_is_there(self) -> bool:
        ends = self._positions()
        readers = [
            (shard_id, shard.position.next_seq)
            for gateway in self.gateways.values()
            for shard_id, shard in gateway.router.shards.items()
        ]
        readers += [
            (channel.reader.shard_id, channel.reader.position.next_seq)
            for channels in self.publishers.values()
            for channel in channels
        ]
        readers += [place for ledger in self.ledgers.values() for place in ledger.next_seqs.items()]
        return all(next_seq == ends[shard_id] for shard_id, next_seq in readers)


async def run_exchange(config: Config, task_status: trio.TaskStatus[Exchange] = trio.TASK_STATUS_IGNORED) -> None:
    """Everything the configuration names, until canceled."""
    exchange = Exchange(config)
    async with open_coordinators(config) as opened, trio.open_nursery() as nursery:
        for shard in config.shards:
            for name in shard.processes:
                exchange.replicas[shard.name].append(await nursery.start(run_shard, config, name, opened))
        for retransmitter in config.retransmitters:
            await nursery.start(run_retransmitting, config, retransmitter.name)
        for publisher in config.feed.publishers:
            exchange.publishers[publisher.name] = await nursery.start(run_publishing, config, publisher.name)
        for ledger in config.ledgers:
            exchange.ledgers[ledger.name] = await nursery.start(run_ledger, config, ledger.name)
        for gateway in config.gateways:
            exchange.gateways[gateway.name] = await nursery.start(run_gateway, config, gateway.name, opened)
        task_status.started(exchange)


def up(config: Config) -> int:
    """Run the whole exchange in this process until SIGINT or SIGTERM. Returns the exit code."""
    return _serve(partial(run_exchange, config), f"{table(config)}\n\n{next_steps(config)}")


def run(config: Config, role: str, name: str, *, supervised: bool = False) -> int:
    """Run one role until SIGINT or SIGTERM, or `supervised` until the supervisor is gone. Returns the exit code."""
    nice = NICENESS.get(role)
    serving = partial(ROLES[role], config, name)
    return _serve(serving, f"{role} {name} is ready", nice=nice, supervised=supervised, keeps_orders=role == "shard")


def _serve(
    role: Callable[..., Awaitable[None]],
    ready: str,
    *,
    nice: int | None = None,
    supervised: bool = False,
    keeps_orders: bool = False,
) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    sys.setswitchinterval(SWITCH_SECONDS)
    failed = False

    async def main() -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                if supervised:
                    nursery.start_soon(_end_with_supervisor, nursery.cancel_scope)
                served = await nursery.start(role)
                settle_garbage_collector(keeps_orders=keeps_orders)
                if nice is not None:
                    _raise_priority(nice)
                print(ready, flush=True)
                async for _ in signals:
                    if isinstance(served, Gateway):
                        served.leave()
                    nursery.cancel_scope.cancel()
                    return

    try:
        trio.run(main)
    except* FAILURES as failures:
        failed = True
        for failure in leaves(failures):
            print(f"fixgw: {told(failure)}", file=sys.stderr)
    return 1 if failed else 0


def told(failure: BaseException) -> str:
    """Ours by the name that the operator's handbook knows it by; the system's say themselves what they are."""
    if isinstance(failure, OSError):
        return str(failure)
    help_at = f" ({HANDBOOK} says under this name what to do)" if isinstance(failure, IN_HANDBOOK) else ""
    return f"{type(failure).__name__}: {failure}{help_at}"


def _raise_priority(nice: int) -> None:
    """A primary that gets no processor for a fifth of a second is taken for dead: where we may, we go first.

    Not before we serve: a replica that replays its journal must not take the processor from those that trade. By then
    there are threads, of which each has a priority of its own: a disk's holds the interpreter, too.
    """
    with contextlib.suppress(PermissionError, ProcessLookupError):
        for thread in os.listdir("/proc/self/task"):
            os.setpriority(os.PRIO_PROCESS, int(thread), nice)


def settle_garbage_collector(*, keeps_orders: bool = False) -> None:
    """What is there now stays; what comes per order is in no cycle and dies by itself, so look for cycles seldom."""
    gc.collect()
    gc.freeze()
    if keeps_orders:
        gc.set_threshold(SHARD_GC_ALLOCATIONS, 1_000_000, 1_000_000)
    else:
        gc.set_threshold(GC_ALLOCATIONS, 20, 100)


async def _end_with_supervisor(scope: trio.CancelScope) -> None:
    """Nobody but the supervisor holds the other end of our standard input, and it says nothing there."""
    while True:
        await trio.lowlevel.wait_readable(sys.stdin)
        if not os.read(sys.stdin.fileno(), 4096):
            _log.error("the supervisor is gone: this process ends")
            scope.cancel()
            return
