"""A shard as a process: the engine behind a primary, and the operator's part of running it.

The only module of this package that knows `recovery`. Everything hard is there; what is left here is to say what the
configuration asks for: instruments, rules and days become commands in the shard's own stream, at the start and whenever
the day rolls over. And to be the engine's clock: what it says is due at a time is told it, by `Advance`, when the time
has come.
"""

import logging
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

import trio

from matching.commands import Advance, Command, SourceLost
from matching.engine import Engine
from matching.operations import Market, TradingDay, due_commands
from matching.shard import Shard
from matching.wire import WireError, decode_command, encode
from matching.words import in_words
from recovery.alarm import Alarm, now_ns
from recovery.coordinator import Coordinator
from recovery.links import NotPrimary
from recovery.node import ReplicaConfig, ReplicaNode, run_replica

_log: Final = logging.getLogger(__name__)

#: A day begins at most this late.
CHECK_SECONDS: Final = 1

#: Nanoseconds without a link after which a gateway counts as lost: more than a failover, or its own restart, takes.
LINK_GRACE: Final = 5_000_000_000

NS_PER_SECOND: Final = 1_000_000_000

_ADVANCE: Final = encode(Advance())


class ShardSettings(NamedTuple):
    """What a shard is to trade, and which replica of it this is."""

    replica: ReplicaConfig
    market: Market


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
        node.on_operated = partial(_tell_operated, host)
        nursery.start_soon(_Timekeeper(host).run)
        operator = _Operator(settings.market, host)
        started = False
        while True:
            with suppress(NotPrimary):
                await operator.look()
            with suppress(NotPrimary):
                await _tell_lost_sources(host)
            if not started:
                started = True
                task_status.started(host)
            with trio.move_on_after(CHECK_SECONDS):
                await node.wait_role_change()


class _Operator:
    """Sees to it that a shard which this replica leads is as the configuration and the calendar want it."""

    def __init__(self, market: Market, host: ShardHost) -> None:
        self._market = market
        self._host = host
        self._operated: object = None
        """The primary for which all was seen to."""
        self._jumps = 0
        """Of the clock, that were told."""

    async def look(self) -> None:
        """Raises NotPrimary."""
        leading = self._host.node.replica.primary
        if leading is not None and (leading is not self._operated or self._today().day > self._host.engine.last_day):
            await self._operate()
            self._operated = leading

    def _today(self) -> TradingDay:
        """By the clock that stamps commands: a day cannot be ended twice, so a clock that jumps must not end it."""
        stamps = self._host.node.stamps
        now = stamps.now()
        if stamps.refused > self._jumps:
            self._jumps = stamps.refused
            _log.error(
                "shard %d: the clock jumped by %d s; that is refused until it is back, or this process is restarted",
                self._host.shard_id,
                stamps.jump // NS_PER_SECOND,
            )
        return self._market.day(now)

    async def _operate(self) -> None:
        """Sequence whatever the engine lacks. Raises NotPrimary."""
        host = self._host
        await host.node.settle()
        today = self._today()
        for command in due_commands(host.engine, host.shard_id, self._market, today):
            _log.info("shard %d: %s", host.shard_id, _words(host, command))
            await host.node.command(*encode(command))
        for command in due_commands(host.engine, host.shard_id, self._market, today):
            text = "shard %d: refused now, and tried again when a day begins: %s"
            _log.warning(text, host.shard_id, _words(host, command))


class _Timekeeper:
    """Tells the engine of a shard that this replica leads when something is due."""

    def __init__(self, host: ShardHost) -> None:
        self._host = host
        self._alarm = Alarm(self._deadline, self._ring)
        self._due: int | None = None
        """On the clock that stamps commands; and when that is on the alarm's clock."""
        self._rings_at: int | None = None
        self._told = trio.Event()
        self._telling = False

    def _deadline(self) -> int | None:
        """After every batch: so the clocks are read only when another time is due."""
        node = self._host.node
        due = None if self._telling or node.replica.primary is None else self._host.engine.next_due()
        if due != self._due:
            self._due = due
            self._rings_at = None if due is None else now_ns() + max(due - node.stamp(), 0)
        return self._rings_at

    def _ring(self, _now: int) -> None:
        due, self._due, self._rings_at = self._due, None, None
        if due is not None and self._host.node.stamp() >= due:  # or the clocks have drifted apart: it is set again
            self._telling = True
            self._told.set()

    async def run(self) -> None:
        self._host.node.on_batch = self._alarm.moved
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._alarm.run)
            while True:
                await self._told.wait()
                self._told = trio.Event()
                with suppress(NotPrimary):
                    await self._advance()
                self._telling = False
                self._alarm.moved()

    async def _advance(self) -> None:
        """One `Advance`, with all the work that it makes. Raises NotPrimary."""
        host = self._host
        due = host.engine.next_due()
        await host.node.command(*_ADVANCE)
        if due is not None and host.engine.next_due() == due <= host.node.replica.execution.last_timestamp:
            _log.error("shard %d: what was due at %d is due still", host.shard_id, due)
            await trio.sleep(CHECK_SECONDS)


def _tell_operated(host: ShardHost, tx: int, kind: int, body: bytes) -> None:
    try:
        command = _words(host, decode_command(kind, body))
    except WireError as error:
        command = f"kind {kind}, {error}"
    _log.info("shard %d: transaction %d is an operator's: %s", host.shard_id, tx, command)


def _words(host: ShardHost, command: Command) -> str:
    """With instruments by their symbols, as far as they are listed."""

    def symbol(instrument_id: int) -> str:
        definition = host.engine.definition(instrument_id)
        return str(instrument_id) if definition is None else definition.symbol.decode()

    return in_words(command, symbol)


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
        left = node.links.has_left(source_id)
        what = "has ended as it was asked to" if left else "is lost: it has no link"
        level = logging.INFO if left else logging.ERROR
        _log.log(level, "shard %d: the gateway with source_id %d %s", host.shard_id, source_id, what)
        await node.command(*encode(SourceLost(source_id)))
