"""Primaries of three replicas killed and paused under load: how long brokers wait for the next one, and all is well.

    ./run bench failover

Three replicas, quorum, durability disk, a ZooKeeper ensemble of three, 2,000 orders a second offered. A blow comes when
all replicas have the log: one that falls while another still catches up would be two failures. Beside each outage
stands what an order took just before: where two cores are too few for the load, orders wait without any failover, and
the outage contains that wait. After all blows the account is made as the tests make it (`tests.integration.market`): an
order lost, doubled or told in another way than the feed tells it ends the run with an AssertionError, so a figure
stands for a run in which nothing was.
"""

import gc
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from tests.bench.figures import Figure, machine
from tests.integration.failover import OFFERED, Replicated, StreamTap, one_shard, open_replicated
from tests.integration.test_failover import kill_primary, pause_primary
from tests.integration.test_failover_zookeeper import kill_both
from tests.zookeeper import Ensemble, open_ensemble

KILLS = 30
PAUSES = 20
KILLS_OF_BOTH = 18
BLOWS_A_VENUE = 6
#: Between two blows.
CALM_SECONDS = 1.0
#: Entries that the last replica may lack of the first one's log at a blow: what comes in a quarter of a second.
LEVEL_ENTRIES = OFFERED // 4
LEVEL_SECONDS = 60.0

Blow = Callable[[Replicated, Ensemble], Awaitable[float]]


async def _kill(market: Replicated, _: Ensemble) -> float:
    return await kill_primary(market)


async def _pause(market: Replicated, _: Ensemble) -> float:
    return await pause_primary(market)


async def all_level(market: Replicated) -> None:
    """Until every replica has the log, but for what has just come."""
    with trio.fail_after(LEVEL_SECONDS):
        while True:
            ends = [each.safe_tx for each in (await market.positions()).values()]
            if len(ends) == len(market.members) and max(ends) - min(ends) <= LEVEL_ENTRIES:
                return
            await trio.sleep(0.1)


def usual(market: Replicated) -> float:
    """Seconds that the latest orders took: the median of a second's."""
    answered = sorted(market.acknowledged(), key=lambda each: each[1])[-OFFERED:]
    return statistics.median(told - sent for sent, told in answered)


async def strike(blow: Blow, times: int) -> tuple[list[float], list[float], int]:
    """(The outages in seconds, what orders took before each, packets of deposed primaries that were heard).

    All other checks have passed.
    """
    gc.disable()  # the brokers' account grows to millions of objects: a look for cycles in them is a second's outage
    outages, before = [], []
    with tempfile.TemporaryDirectory() as directory:
        async with open_ensemble(Path(directory) / "zookeeper", 3) as ensemble:
            coordinator = {"kind": "zookeeper", "hosts": list(ensemble.hosts), "root": "/fixgw"}
            venue = one_shard(Path(directory) / "venue", coordinator=coordinator)
            tap = StreamTap(venue)
            async with open_replicated(venue) as market, trio.open_nursery() as nursery:
                await nursery.start(tap.run)
                async with market.trading():
                    for _ in range(times):
                        await all_level(market)
                        await trio.sleep(CALM_SECONDS)
                        before.append(usual(market))
                        outages.append(await blow(market, ensemble))
                        told = f"{outages[-1] * 1e3:.0f} ms; an order took {before[-1] * 1e3:.0f} ms before"
                        print(f"    {len(outages)}: {told}", flush=True)
                await market.come_to_rest()
                assert [broker.logons for broker in market.brokers] == [1, 1, 1]
                market.check(Path(directory) / "recordings")
                nursery.cancel_scope.cancel()
    gc.enable()
    return outages, before, tap.stale


def _strike_venues(blow: Blow, times: int) -> tuple[list[float], list[float], int]:
    """As `strike`, one venue after the other: a replica without snapshots replays its whole journal at each start."""
    outages: list[float] = []
    before: list[float] = []
    stale = 0
    while len(outages) < times:
        found = trio.run(strike, blow, min(BLOWS_A_VENUE, times - len(outages)))
        outages += found[0]
        before += found[1]
        stale += found[2]
    return outages, before, stale


def figures() -> list[Figure]:
    """Outages, from the blow to the first acknowledgement of what was sent after it."""
    found = []
    blows: tuple[tuple[str, Blow, int], ...] = (
        ("kill", _kill, KILLS),
        ("pause", _pause, PAUSES),
        ("kill_with_zookeeper", kill_both, KILLS_OF_BOTH),
    )
    for name, blow, times in blows:
        outages, before, stale = _strike_venues(blow, times)
        usually = f"{statistics.median(before) * 1e3:.0f} ms"
        conditions = (
            f"{machine()}; {times} blows, {OFFERED} orders/s offered by 3 sessions; 3 replicas, quorum, disk, 3 "
            f"ZooKeepers of their priority, feed, retransmitter, brokers: all on 2 cores; an order took {usually} "
            f"before a blow; {stale} packets of deposed primaries heard"
        )
        found += [
            Figure(f"failover.{name}.p50_ms", statistics.median(outages) * 1e3, "ms", conditions),
            Figure(f"failover.{name}.max_ms", max(outages) * 1e3, "ms", conditions),
        ]
    return found
