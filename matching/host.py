"""A shard as a process: the engine behind a primary, and the operator's part of running it.

The only module of this package that knows `recovery`. Everything hard is there; what is left here is to say what the
configuration asks for: instruments and days become commands in the shard's own stream, at the start and whenever the
day rolls over.
"""

import logging
from collections.abc import Sequence
from datetime import time as WallTime  # noqa: N812
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import trio

from matching.engine import Engine
from matching.messages import DefineInstrument
from matching.operations import TradingDay, due_commands, trading_day
from matching.shard import Shard
from matching.wire import encode
from recovery.node import PrimaryConfig, PrimaryNode, run_primary

_log: Final = logging.getLogger(__name__)

#: A day begins at most this late.
CHECK_SECONDS: Final = 1

NS_PER_SECOND: Final = 1_000_000_000


class ShardSettings(NamedTuple):
    """What a shard is to trade, and when."""

    primary: PrimaryConfig
    instruments: Sequence[DefineInstrument]
    time_zone: ZoneInfo
    #: When one trading day ends and the next begins, local time.
    rolls_at: WallTime


class ShardHost(NamedTuple):
    """A running shard, for those in the same process that look at it."""

    shard_id: int
    engine: Engine
    node: PrimaryNode

    @property
    def next_seq(self) -> int:
        """The number of the stream's next message."""
        return self.node.primary.next_seq


async def run_shard(
    settings: ShardSettings, task_status: trio.TaskStatus[ShardHost] = trio.TASK_STATUS_IGNORED
) -> None:
    """Be the primary of a shard until canceled. It is ready when the day's instruments are listed.

    Raises what `recovery.node.run_primary` raises.
    """
    shard = Shard(settings.primary.shard_id)
    async with trio.open_nursery() as nursery:
        node: PrimaryNode = await nursery.start(run_primary, settings.primary, shard)
        await _operate(settings, shard.engine, node)
        task_status.started(ShardHost(settings.primary.shard_id, shard.engine, node))
        while True:
            await trio.sleep(CHECK_SECONDS)
            if _today(settings, node).day > shard.engine.last_day:
                await _operate(settings, shard.engine, node)


def _today(settings: ShardSettings, node: PrimaryNode) -> TradingDay:
    """By the clock that stamps commands: a day cannot be ended twice, so a wall clock that jumps must not end it."""
    refused = node.stamps.refused
    now = node.stamps.now()
    if node.stamps.refused > refused:
        _log.error(
            "shard %d: the clock jumped by %d s; that is refused until it is back, or this process is restarted",
            settings.primary.shard_id,
            node.stamps.jump // NS_PER_SECOND,
        )
    return trading_day(now, settings.time_zone, settings.rolls_at)


async def _operate(settings: ShardSettings, engine: Engine, node: PrimaryNode) -> None:
    """Sequence whatever the engine lacks of what the configuration and the calendar want."""
    shard_id = settings.primary.shard_id
    for command in due_commands(engine, shard_id, settings.instruments, _today(settings, node)):
        _log.info("shard %d: %s", shard_id, command)
        await node.command(*encode(command))
    for definition in settings.instruments:
        if engine.definition(definition.instrument_id) != definition:
            _log.warning("shard %d: %s is refused while the day is open; it is tried again then", shard_id, definition)
