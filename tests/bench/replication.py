"""What replicas cost: a shard of three against a lone one, a replica that comes back, and a large snapshot.

    ./run bench replication

What is compared: two venues of real processes run side by side and are loaded in turn, so that both see the same
minutes of the machine. One's shard is alone, and an order is acknowledged when it is in that one journal (`sync: write`
or `disk`); the other's has three replicas in mode quorum, and an order is acknowledged when two of them have it (with
durability `memory`: handed to their journals; `disk`: through fdatasync). The gateways are set alike. What quorum
commit adds to a round trip is the difference of the two medians of a pair of runs; the median of those is the figure.

CPU time is the kernel's account of each process. At 2,000 orders a second nearly every order is a batch of its own, so
a wake-up's price is in the figure; at saturation a batch has many.

Coming back: a replica whose files were removed takes the whole history from the others, one that was away the second
half. `.snapshot`: the same with snapshots, which replace the history where they are made.
"""

import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from matching.codes import OrdType, Side, TimeInForce
from matching.commands import NewOrder
from matching.shard import Shard
from matching.wire import encode
from recovery.execution import Execution
from recovery.member import Role
from recovery.service_client import positions
from recovery.service_frames import Position
from recovery.snapshot import encode_snapshot, restore_execution, take
from recovery.snapshot_files import load, save
from tests.bench.e2e import LoadProcess, cpu_seconds
from tests.bench.figures import Figure, machine
from tests.bench.flows import MID, OPENING, TICK
from tests.integration.failover import one_shard
from tests.venue import Venue, running

RATE = 2_000
OFFERED = 6_000
WINDOW = 1_000
SATURATED = 30_000
PAIRS = 5
WARM_UP = 4_000

HISTORY = 200_000
SNAPSHOT_EVERY = 50_000
FOLLOW_SECONDS = 120
POLL_SECONDS = 0.1
"""How exactly it is known when a replica has come back: each question costs those who are asked 2 ms."""

RESTING = 1_000_000
LEVELS = 1_000


class Run(NamedTuple):
    """One run of the load against one venue."""

    p50_us: float
    orders_per_s: float
    primary_cpu_us: float
    """Per order."""
    backup_cpu_us: float
    """Per order, the mean of the backups; 0 where there is none."""


class OtherPrimaryError(Exception):
    """Another replica leads than when the run began: the CPU time of "the primary" would be nobody's."""


class Rig:
    """One venue with its load, running."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.load = LoadProcess(venue)

    @property
    def primary(self) -> str:
        return self.venue.owner("s1")

    @property
    def backups(self) -> list[str]:
        return [name for name in self.venue.shards["s1"] if name != self.primary]

    def cpu_of(self, name: str) -> float:
        return cpu_seconds(self.venue.processes["shard", name].pid)

    def cpu(self) -> dict[str, float]:
        return {name: self.cpu_of(name) for name in self.venue.shards["s1"]}

    def run(self, orders: int, *, window: int = 0, rate: int = 0) -> Run:
        before, primary = self.cpu(), self.primary
        result = self.load.run(orders, window, rate=rate)
        after = self.cpu()
        if self.primary != primary:
            raise OtherPrimaryError(f"{primary} led no longer when the run ended")
        cpu = {name: (after[name] - before[name]) / orders * 1e6 for name in after}
        backups = statistics.mean([cpu[name] for name in self.backups] or [0.0])
        return Run(result["p50_us"], orders / result["seconds"], cpu[primary], backups)

    async def positions(self) -> dict[int, Position]:
        (shard,) = self.venue.config["shards"]
        controls = {}
        for each in shard["replicas"]:
            host, _, port = each["control"].rpartition(":")
            controls[each["id"]] = (host, int(port))
        key = bytes.fromhex((self.venue.directory / "var" / "link.key").read_text())
        found = await positions(shard["id"], controls, key, timeout=1.0)
        return {number: each for number, each in found.items() if isinstance(each, Position)}


@contextmanager
def rig(**settings: object) -> Iterator[Rig]:
    """A venue of one shard, without feed and retransmitter."""
    with tempfile.TemporaryDirectory() as directory:
        venue = one_shard(Path(directory), **settings)
        with running(venue, feed=False, retransmitter=False):
            made = Rig(venue)
            try:
                made.load.run(WARM_UP, 64)
                yield made
            finally:
                made.load.close()


# What quorum commit adds


def added(durability: str, sync: str) -> list[Figure]:
    """Three replicas against one, in pairs of runs."""
    with ExitStack() as stack:
        lone = stack.enter_context(rig(replicas=1, sync=sync))
        three = stack.enter_context(rig(replicas=3, durability=durability, sync=sync))
        offered, offered_again = _pairs(lone, three, OFFERED, rate=RATE)
        saturated, saturated_again = _pairs(lone, three, SATURATED, window=WINDOW)
        again = offered_again + saturated_again
        conditions = (
            f"{machine()}; {PAIRS} pairs of runs, medians; one FIX.4.4 session; every second order trades; a lone "
            f"shard with sync: {sync} against three replicas in mode quorum with durability {durability}, gateways "
            f"with sync: {sync}; all processes on one machine; {again} pairs made again: the primary changed"
        )
        prefix = f"replication.{durability}"
        figures = [
            Figure(
                f"{prefix}.adds_p50_us",
                round(statistics.median(b.p50_us - a.p50_us for a, b in offered), 1),
                "µs",
                f"{conditions}; {RATE} orders/s offered, {OFFERED} each; "
                f"p50 {_median([a.p50_us for a, _ in offered])} µs alone, {_median([b.p50_us for _, b in offered])} µs "
                "replicated",
            )
        ]
        suffix = "" if durability == "memory" else f".{durability}"
        figures += _cpu_figures(offered, suffix, f"{conditions}; {RATE} orders/s offered")
        figures += _cpu_figures(saturated, f"{suffix}.saturated", f"{conditions}; {WINDOW} orders in flight")
        rate = _median([b.orders_per_s for _, b in saturated])
        figures.append(Figure(f"{prefix}.orders_per_s", rate, "orders/s", f"{conditions}; {WINDOW} orders in flight"))
        return figures


def _pairs(lone: Rig, three: Rig, orders: int, *, window: int = 0, rate: int = 0) -> tuple[list[tuple[Run, Run]], int]:
    """The pairs of runs, and how many had to be made again: one core less than processes that want it is a machine on
    which a primary may be late for its heartbeats. Raises OtherPrimaryError when that is most of them."""
    pairs: list[tuple[Run, Run]] = []
    again = 0
    while len(pairs) < PAIRS:
        try:
            pairs.append((lone.run(orders, window=window, rate=rate), three.run(orders, window=window, rate=rate)))
        except OtherPrimaryError:
            again += 1
            if again > PAIRS:
                raise
    return pairs, again


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 1)


def _cpu_figures(pairs: list[tuple[Run, Run]], suffix: str, conditions: str) -> list[Figure]:
    """The primary's and a backup's CPU time per order, and what the primary's is more than a lone shard's."""
    of_primary = [b.primary_cpu_us for _, b in pairs]
    of_backup = [b.backup_cpu_us for _, b in pairs]
    adds = [b.primary_cpu_us - a.primary_cpu_us for a, b in pairs]
    return [
        Figure(f"replication.primary.cpu_us_per_order{suffix}", _median(of_primary), "µs", conditions),
        Figure(f"replication.primary.adds_cpu_us{suffix}", _median(adds), "µs", conditions),
        Figure(f"replication.backup.cpu_us_per_order{suffix}", _median(of_backup), "µs", conditions),
    ]


# Coming back


def catch_up(snapshot_every: int) -> list[Figure]:
    """A replica was away for half of the history; then it has lost its files."""
    suffix = ".snapshot" if snapshot_every else ""
    with rig(durability="memory", sync="write", snapshot_every=snapshot_every) as three:
        name = three.backups[-1]
        three.load.run(HISTORY // 2, WINDOW)
        three.venue.kill("shard", name)
        three.load.run(HISTORY // 2, WINDOW)
        away = _come_back(three, name, f"catchup.away{suffix}", HISTORY // 2)
        three.venue.kill("shard", name)
        shutil.rmtree(three.venue.directory / "var" / f"shard-{name}")
        return [*away, *_come_back(three, name, f"catchup{suffix}", HISTORY)]


def _come_back(three: Rig, name: str, label: str, orders: int) -> list[Figure]:
    """Start a replica, and wait until it has applied all that the primary had."""
    primary = three.primary
    cpu = three.cpu_of(primary)
    began = time.perf_counter()
    three.venue.start("shard", name)
    serving, cpu_serving = time.perf_counter(), three.cpu_of(name)
    trio.run(_follows, three, int(name.rpartition(".")[2]), int(primary.rpartition(".")[2]))
    seconds = time.perf_counter() - began
    records = 3 * orders  # the command, its acceptance, and a booking or a trade
    conditions = (
        f"{machine()}; {orders} orders of history, {records} messages, durability memory; from the start of its "
        f"process ({serving - began:.2f} s of it until it served) until it had applied all; nothing else was going on"
    )
    return [
        Figure(f"{label}.records_per_s", round(records / seconds), "records/s", conditions),
        Figure(f"{label}.seconds", round(seconds, 2), "s", conditions),
        Figure(
            f"{label}.replica_cpu_us",
            round((three.cpu_of(name) - cpu_serving) / orders * 1e6, 1),
            "µs",
            f"{conditions}; its CPU time per order from there on",
        ),
        Figure(f"{label}.primary_cpu_s", round(three.cpu_of(primary) - cpu, 2), "s", conditions),
    ]


async def _follows(three: Rig, replica_id: int, primary: int) -> None:
    """Until the replica is a backup that has applied what the primary has."""
    with trio.fail_after(FOLLOW_SECONDS):
        while True:
            found = await three.positions()
            here, there = found.get(replica_id), found.get(primary)
            if here and there and here.role is Role.BACKUP and here.commit_tx >= there.commit_tx:
                return
            await trio.sleep(POLL_SECONDS)


# A large snapshot


def million() -> list[Figure]:
    """A shard of so many resting orders: written as a backup's child does, and made again."""
    shard = _resting(RESTING)
    execution = Execution(1, shard, next_tx=RESTING + 1)
    gc.collect()
    gc.freeze()
    conditions = f"{machine()}; {RESTING:,} resting orders in {2 * LEVELS:,} levels; one process, CPU time and fsync"
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        data = encode_snapshot(take(execution, 1))
        encoded = time.perf_counter()
        path = save(Path(directory), data, RESTING)
        saved = time.perf_counter()
        restored = restore_execution(load(path), partial(Shard, 1))
        done = time.perf_counter()
    assert restored.state_machine.digest() == shard.digest()
    return [
        Figure("snapshot.million.seconds", round(saved - began, 2), "s", f"{conditions}; taken, encoded and saved"),
        Figure("snapshot.million.encode_seconds", round(encoded - began, 2), "s", conditions),
        Figure("snapshot.million.restore_seconds", round(done - saved, 2), "s", f"{conditions}; read and made again"),
        Figure("snapshot.million.bytes", len(data), "bytes", conditions),
    ]


def _resting(orders: int) -> Shard:
    """A shard on whose one book so many orders rest, of one participant."""
    shard = Shard(1)
    for command in OPENING:
        shard.apply(*encode(command), 0, 0, 0, 0)
    for number in range(orders):
        side = Side.BUY if number % 2 else Side.SELL
        away = (1 + number // 2 % LEVELS) * TICK
        price = MID - away if side is Side.BUY else MID + away
        terms = (int(side), int(OrdType.LIMIT), int(TimeInForce.DAY), price, 100, 0, b"%012d" % number, b"")
        shard.apply(*encode(NewOrder(1, 1, *terms)), 0, 0, 1, 1)
    return shard


def figures() -> list[Figure]:
    """All of it."""
    found = [*added("memory", "write"), *added("disk", "disk"), *catch_up(0)]
    return [*found, *catch_up(SNAPSHOT_EVERY), *million()]
