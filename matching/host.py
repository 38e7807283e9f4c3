"""A shard as a process: the engine behind a primary, and the operator's part of running it.

The only module of this package that knows `recovery`. Everything hard is there; what is left here is to say what the
configuration asks for: instruments and days become commands in the shard's own stream, at the start and whenever the
day rolls over.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import time as WallTime  # noqa: N812
from functools import partial
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import trio

from matching.commands import DefineInstrument, DefineSession, SourceLost
from matching.engine import Engine
from matching.operations import TradingDay, due_commands, trading_day
from matching.shard import Shard
from matching.wire import encode
from recovery.alarm import now_ns
from recovery.coordinator import Coordinator
from recovery.links import NotPrimary
from recovery.node import ReplicaConfig, ReplicaNode, run_replica

_log: Final = logging.getLogger(__name__)

#: A day begins at most this late.
CHECK_SECONDS: Final = 1

#: Nanoseconds without a link after which a gateway counts as lost: more than a failover, or its own restart, takes.
LINK_GRACE: Final = 5_000_000_000

NS_PER_SECOND: Final = 1_000_000_000


class ShardSettings(NamedTuple):
    """What a shard is to trade, and when."""

    replica: ReplicaConfig
    instruments: Sequence[DefineInstrument]
    time_zone: ZoneInfo
    #: When one trading day ends and the next begins, local time.
    rolls_at: WallTime
    sessions: Sequence[DefineSession] = ()


class ShardHost(NamedTuple):
    """A running replica of a shard, for those in the same process that look at it."""

    shard_id: int
    node: ReplicaNode

    @property
    def engine(self) -> Engine:
        """As far as this replica has applied; another object after it was rebuilt."""
        shard = self.node.replica.execution.state_machine
        assert isinstance(shard, Shard)
        return shard.engine

    @property
    def next_seq(self) -> int:
        """The number of the stream's next message, as far as this replica has applied."""
        return self.node.replica.execution.sequencer.next_seq


async def run_shard(
    settings: ShardSettings,
    coordinator: Coordinator,
    task_status: trio.TaskStatus[ShardHost] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be a replica of a shard until canceled, and its operator while it leads.

    A shard that is alone is ready when the day's instruments are listed. Raises what `run_replica` raises.
    """
    shard_id = settings.replica.shard_id
    async with trio.open_nursery() as nursery:
        node: ReplicaNode = await nursery.start(run_replica, settings.replica, coordinator, partial(Shard, shard_id))
        host = ShardHost(shard_id, node)
        operated: object = None
        started = False
        while True:
            leading = node.replica.primary
            if leading is not None and (leading is not operated or _today(settings, node).day > host.engine.last_day):
                with suppress(NotPrimary):
                    await _operate(settings, host)
                    operated = leading
            with suppress(NotPrimary):
                await _tell_lost_sources(host)
            if not started:
                started = True
                task_status.started(host)
            with trio.move_on_after(CHECK_SECONDS):
                await node.wait_role_change()


def _today(settings: ShardSettings, node: ReplicaNode) -> TradingDay:
    """By the clock that stamps commands: a day cannot be ended twice, so a wall clock that jumps must not end it."""
    refused = node.stamps.refused
    now = node.stamps.now()
    if node.stamps.refused > refused:
        _log.error(
            "shard %d: the clock jumped by %d s; that is refused until it is back, or this process is restarted",
            settings.replica.shard_id,
            node.stamps.jump // NS_PER_SECOND,
        )
    return trading_day(now, settings.time_zone, settings.rolls_at)


async def _operate(settings: ShardSettings, host: ShardHost) -> None:
    """Sequence whatever the engine lacks of what the configuration and the calendar want. Raises NotPrimary."""
    shard_id, node = host.shard_id, host.node
    await node.settle()
    today = _today(settings, node)
    commands = due_commands(host.engine, shard_id, settings.instruments, today, settings.sessions)
    for command in commands:
        _log.info("shard %d: %s", shard_id, command)
        await node.command(*encode(command))
    for definition in settings.instruments:
        if host.engine.definition(definition.instrument_id) != definition:
            _log.warning("shard %d: %s is refused while the day is open; it is tried again then", shard_id, definition)


async def _tell_lost_sources(host: ShardHost) -> None:
    """Sequence that gateways are gone whose links stay away. Raises NotPrimary.

    A shard that could take nothing for a while may have kept them from coming: it is asked when it takes commands again
    who is still away, and each is sequenced before anybody else can come.
    """
    node = host.node
    while True:
        await node.settle()
        source_id = node.links.take_lost(LINK_GRACE, now_ns())
        if source_id is None:
            return
        _log.error("shard %d: the gateway with source_id %d is lost: it has no link", host.shard_id, source_id)
        await node.command(*encode(SourceLost(source_id)))
