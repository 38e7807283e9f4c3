"""How long trading stops when the primary's host is cut off: `python -m tests.bench.partitions --count N`.

From the cut to the first answer to a request that was made after it. Needs root, nftables, iproute2 and ZooKeeper.
Several venues one after the other: one keeps no snapshots, for its whole history is compared in the end, and a primary
that was cut off applies all of it anew. Until it has, it takes what the others need: so the next cut waits for that.
"""

import argparse
import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import trio

from tests.bench.figures import Figure, machine
from tests.integration.failover import Replicated, summary
from tests.integration.hosts import OFFERED, open_hosts
from tests.integration.partitions import cut_off_primary
from tests.netns import Direction

COUNT = 10
ROUNDS_A_VENUE = 2
#: Between two cuts, after all replicas have applied the same.
CALM_SECONDS = 1.0
#: Transactions that the last replica may have applied less than the first one: what comes in a quarter of a second.
LEVEL_TRANSACTIONS = OFFERED // 4
LEVEL_SECONDS = 60.0
#: By kind of cut: the outages, and how long the one cut off was still heard; seconds.
Outages = dict[Direction, list[tuple[float, float]]]
HOW: dict[Direction, str] = {"both": "both ways", "in": "hears nobody", "out": "is heard by nobody"}


def figures(count: int = COUNT) -> list[Figure]:
    found: Outages = {direction: [] for direction in HOW}
    gc.disable()  # as for kills: a look for cycles in the brokers' account is an outage of its own
    for done in range(0, count, ROUNDS_A_VENUE):
        with tempfile.TemporaryDirectory(prefix="partitions") as directory:
            trio.run(_measure, Path(directory), min(ROUNDS_A_VENUE, count - done), found)
    gc.enable()
    return list(_rows(found, count))


async def all_level(market: Replicated) -> None:
    """Until every replica has applied the log, but for what has just come."""
    with trio.fail_after(LEVEL_SECONDS):
        while True:
            applied = [each.commit_tx for each in (await market.positions()).values()]
            if len(applied) == len(market.members) and max(applied) - min(applied) <= LEVEL_TRANSACTIONS:
                return
            await trio.sleep(0.1)


async def _measure(directory: Path, rounds: int, found: Outages) -> None:
    """Cut a venue's primary off in each way so many times; then the account is made."""
    async with open_hosts(directory) as hosts:
        async with hosts.market.trading(OFFERED):
            for _ in range(rounds):
                for direction, each in found.items():
                    await all_level(hosts.market)
                    await trio.sleep(CALM_SECONDS)
                    each.append(await cut_off_primary(hosts, direction))
                    print(f"    {HOW[direction]}: {each[-1][0] * 1e3:.0f} ms", flush=True)
        await hosts.market.come_to_rest()
        hosts.market.check(directory / "recordings")


def _rows(found: Outages, count: int) -> Iterator[Figure]:
    about = f"{count} cuts, {OFFERED}/s offered, 3 replicas on 3 hosts, quorum, disk, 3 ZooKeepers; {machine()}"
    for direction, each in found.items():
        for name, milliseconds in summary([outage for outage, _ in each]):
            yield Figure(f"outage, {HOW[direction]}, {name}", milliseconds, "ms", about)
        spoke = max(spoke_for for _, spoke_for in each) * 1e3
        yield Figure(f"heard after it, {HOW[direction]}, max", max(0.0, spoke), "ms", about)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="cuts of each kind")
    for row in figures(parser.parse_args().count):
        print(f"{row.name:40} {row.value:10,.1f} {row.unit}  {row.conditions}", flush=True)
