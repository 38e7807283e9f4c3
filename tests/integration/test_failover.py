"""The primary of three replicas dies, hangs or loses its disk under load; what brokers were told stays true."""

import signal

import trio

from tests.integration.failover import Replicated, one_shard, open_replicated


async def test_primaries_killed_under_load_lose_nothing(tmp_path):
    async with open_replicated(one_shard(tmp_path / "venue")) as market:
        outages = []
        async with market.trading():
            for _ in range(2):
                primary = market.name(await market.primary())
                outages.append(await market.outage(lambda name=primary: kill(market, name)))
                await market.start("shard", primary)
                await market.all_follow()
                await trio.sleep(0.5)
        print("outages", outages)
        await market.come_to_rest()
        assert [broker.logons for broker in market.brokers] == [1, 1, 1]
        market.check(tmp_path / "recordings")


async def kill(market: Replicated, name: str) -> None:
    market.venue.kill("shard", name, signal.SIGKILL)
