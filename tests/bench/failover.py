"""Primaries of three replicas killed and paused under load: how long brokers wait for the next one, and all is well.

    ./run bench failover

Three replicas, quorum, durability disk, a ZooKeeper ensemble of three, 2,000 orders a second offered. After all blows
the account is made as the tests make it (`tests.integration.market`): an order lost, doubled or told in another way
than the feed tells it ends the run with an AssertionError, so a figure stands for a run in which nothing was.
"""

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
KILLS_OF_BOTH = 5
#: Between two blows.
CALM_SECONDS = 1.0

Blow = Callable[[Replicated, Ensemble], Awaitable[float]]


async def _kill(market: Replicated, _: Ensemble) -> float:
    return await kill_primary(market)


async def _pause(market: Replicated, _: Ensemble) -> float:
    return await pause_primary(market)


async def strike(blow: Blow, times: int) -> tuple[list[float], int]:
    """(The outages in seconds, packets of deposed primaries that were heard): all other checks have passed."""
    outages = []
    with tempfile.TemporaryDirectory() as directory:
        async with open_ensemble(Path(directory) / "zookeeper", 3) as ensemble:
            coordinator = {"kind": "zookeeper", "hosts": list(ensemble.hosts), "root": "/fixgw"}
            venue = one_shard(Path(directory) / "venue", coordinator=coordinator)
            tap = StreamTap(venue)
            async with open_replicated(venue) as market, trio.open_nursery() as nursery:
                await nursery.start(tap.run)
                async with market.trading():
                    for _ in range(times):
                        outages.append(await blow(market, ensemble))
                        print(f"    {len(outages)}: {outages[-1] * 1e3:.0f} ms", flush=True)
                        await trio.sleep(CALM_SECONDS)
                await market.come_to_rest()
                assert [broker.logons for broker in market.brokers] == [1, 1, 1]
                market.check(Path(directory) / "recordings")
                nursery.cancel_scope.cancel()
    return outages, tap.stale


def figures() -> list[Figure]:
    """Outages, from the blow to the first acknowledgement of what was sent after it."""
    found = []
    blows: tuple[tuple[str, Blow, int], ...] = (
        ("kill", _kill, KILLS),
        ("pause", _pause, PAUSES),
        ("kill_with_zookeeper", kill_both, KILLS_OF_BOTH),
    )
    for name, blow, times in blows:
        outages, stale = trio.run(strike, blow, times)
        conditions = (
            f"{machine()}; {times} blows, {OFFERED} orders/s offered by 3 sessions; 3 replicas, quorum, disk, 3 "
            f"ZooKeepers, feed, retransmitter, brokers: all on 2 cores; {stale} packets of deposed primaries heard"
        )
        found += [
            Figure(f"failover.{name}.p50_ms", statistics.median(outages) * 1e3, "ms", conditions),
            Figure(f"failover.{name}.max_ms", max(outages) * 1e3, "ms", conditions),
        ]
    return found
