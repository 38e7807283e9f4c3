"""A replicated venue under load: its primaries are killed, paused or cut off, and the account must come out even.

What `Market` knows of a venue of lone shards, for one whose shards are replica sets. `outage` is the figure brokers
care about: from the blow to the first report of a new primary.
"""

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from recovery.history import Mode
from recovery.member import Role
from recovery.multicast import drain, open_receiver
from recovery.packet import parse_packet
from recovery.service_client import positions
from recovery.service_frames import Position
from tests.integration.feed_tap import FeedTap
from tests.integration.fix_broker import Broker
from tests.integration.market import SESSIONS, Market, address, feed_lines, kept_of, stream_of_journal
from tests.venue import Venue

#: Requests a second, offered by all brokers together.
OFFERED = 2_000
#: The same where nothing is measured: a machine half as fast as ours keeps up, and what was said is soon gone through.
OFFERED_GENTLY = 1_000
#: Longer than this no outage may be; a test that has seen it fails.
PATIENCE_SECONDS = 10.0
SYMBOLS = ("ALPHA", "BETA")


class Replicated(Market):
    """A running venue of one shard with replicas."""

    shard = "s1"

    @property
    def members(self) -> dict[int, Any]:
        """By id, what the configuration says of each replica."""
        (shard,) = self.venue.config["shards"]
        return {each["id"]: each for each in shard["replicas"]}

    def name(self, replica: int) -> str:
        return f"{self.shard}.{replica}"

    @property
    def mode(self) -> Mode:
        mode: Mode = self.venue.config["shards"][0]["replication"]["mode"]
        return mode

    def directory(self, replica: int) -> Path:
        return self.venue.directory / "var" / f"shard-{self.name(replica)}"

    def key(self) -> bytes:
        return bytes.fromhex((self.venue.directory / "var" / "link.key").read_text())

    async def positions(self, seconds: float = 1.0) -> dict[int, Position]:
        """What the replicas that answer say of themselves."""
        controls = {number: address(member["control"]) for number, member in self.members.items()}
        found = await positions(1, controls, self.key(), timeout=seconds)
        return {number: each for number, each in found.items() if isinstance(each, Position)}

    async def position(self, replica: int) -> Position:
        """What one replica says of itself: as soon as it does, for a busy machine may keep it from that."""
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                found = await self.positions()
                if replica in found:
                    return found[replica]

    async def leader(self) -> tuple[int, int]:
        """(epoch, replica) of who leads."""
        primary = await self.primary()
        return (await self.position(primary)).epoch, primary

    async def primary(self) -> int:
        """The replica that leads in the highest epoch."""
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                leading = [each for each in (await self.positions()).values() if each.role is Role.PRIMARY]
                if leading:
                    return max(leading, key=lambda each: each.epoch).replica_id
                await trio.sleep(0.05)

    async def all_follow(self, seconds: float = 30.0) -> None:
        """Until every replica leads or follows, in one epoch."""
        with trio.fail_after(seconds):
            while True:
                found = list((await self.positions()).values())
                settled = {each.role for each in found} <= {Role.PRIMARY, Role.BACKUP}
                if len(found) == len(self.members) and settled and len({each.epoch for each in found}) == 1:
                    return
                await trio.sleep(0.05)

    def acknowledged(self) -> list[tuple[float, float]]:
        """When what an engine answered was sent, and when the answer came: the latest of all brokers, in no order."""
        return [each for broker in self.brokers for each in broker.acknowledged]

    async def outage(self, blow: Callable[[], Awaitable[None]]) -> float:
        """Seconds from a blow to the primary until what was sent after it is acknowledged: by its successor."""
        begin = time.monotonic()
        await blow()
        struck = time.monotonic()
        answered: list[float] = []

        def over() -> bool:
            answered[:] = [told for sent, told in self.acknowledged() if sent > struck]
            return bool(answered)

        await self.wait(over, "a new primary's reports", PATIENCE_SECONDS)
        return min(answered) - begin

    @asynccontextmanager
    async def trading(self, offered: int = OFFERED) -> AsyncIterator[None]:
        """Brokers offer so many requests a second while the block runs."""
        rate = offered / len(self.brokers)
        async with trio.open_nursery() as nursery:
            for broker in self.brokers:
                nursery.start_soon(partial(broker.trade, 1, window=5_000, rate=rate, symbols=SYMBOLS))
            before = len(self.acknowledged())
            await self.wait(lambda: len(self.acknowledged()) > before + 200, "trading to begin")
            yield
            nursery.cancel_scope.cancel()

    async def come_to_rest(self) -> None:
        """As Market's; all replicas then hold the same, and the retransmitter has all of it."""
        for broker in self.brokers:
            await broker.wait_until(lambda broker=broker: broker.logged_on, "a session")
            await broker.wait_answered()
        await self.wait(self._balanced, f"both sides of every trade: {[broker.traded for broker in self.brokers]}")
        await self.wait(self.lines_agree, "both lines to say the same")
        await self.all_follow()
        with trio.fail_after(PATIENCE_SECONDS):
            while len({(await self.position(number)).commit_tx for number in self.members}) > 1:  # noqa: ASYNC110
                await trio.sleep(0.05)
        for number in self.members:
            said = stream_of_journal(self.directory(number), 1, self.mode)
            assert said == self.streams.setdefault(self.shard, said), f"replica {number} has another history"
        await self.wait(self._all_kept, "the retransmitter to have everything")

    def check(self, directory: Path) -> dict[str, Any]:
        """As Market's. `come_to_rest` has compared the replicas."""
        kept = kept_of(self.venue, self.shard)
        assert kept == self.streams[self.shard]
        return super().check(directory)


class StreamTap:
    """Hears the shard's stream as any reader does, and counts what comes from below the highest epoch heard."""

    def __init__(self, venue: Venue) -> None:
        self.epoch = 0
        self.stale = 0
        self._address = address(venue.config["shards"][0]["stream"])

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with open_receiver(self._address) as receiver:
            task_status.started()
            while True:
                await trio.lowlevel.wait_readable(receiver)
                for data in drain(receiver):
                    epoch = parse_packet(data).epoch
                    self.epoch = max(self.epoch, epoch)
                    self.stale += epoch < self.epoch


def one_shard(directory: Path, **settings: Any) -> Venue:
    """A venue of one shard with three replicas, one retransmitter, one gateway, both lines of the feed."""
    venue = Venue(directory, **{"replicas": 3, "durability": "disk", "snapshot_every": 0, "sync": "disk"} | settings)
    config = venue.config
    config["shards"] = [shard for shard in config["shards"] if shard["name"] == "s1"]
    config["instruments"] = [each for each in config["instruments"] if each["shard"] == "s1"]
    config["retransmitters"][0]["shards"] = ["s1"]
    config["feed"]["channels"] = [each for each in config["feed"]["channels"] if each["shard"] == "s1"]
    for publisher in config["feed"]["publishers"]:
        del publisher["requests"]["s2"]
    del venue.shards["s2"]
    venue.write()
    return venue


@asynccontextmanager
async def open_replicated(venue: Venue, make_broker: type[Broker] = Broker) -> AsyncIterator[Replicated]:
    """Start the venue and log the brokers on; at the end everything is stopped, which must go well."""
    about = venue.comp_id, venue.password
    brokers = [make_broker(venue.fix_port, sender, *about, version, venue.fix_host) for sender, version in SESSIONS]
    with FeedTap(feed_lines(venue), venue.here) as tap:
        try:
            await trio.to_thread.run_sync(venue.start_all)
            async with trio.open_nursery() as nursery:
                for broker in brokers:
                    nursery.start_soon(broker.run)
                for broker in brokers:
                    await broker.wait_until(lambda broker=broker: broker.logged_on, "its first Logon")
                opened = Replicated(venue, brokers, tap)
                await opened.all_follow()
                yield opened
                nursery.cancel_scope.cancel()
        except BaseException:
            for role, name in list(venue.processes):
                venue.kill(role, name)
            raise
        await trio.to_thread.run_sync(venue.stop)


def summary(outages: list[float]) -> Iterator[tuple[str, float]]:
    """(name, milliseconds)."""
    yield "p50", statistics.median(outages) * 1e3
    yield "max", max(outages) * 1e3
