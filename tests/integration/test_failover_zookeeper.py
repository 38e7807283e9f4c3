"""A venue whose coordinator is a ZooKeeper ensemble of three: what trading notices when the ensemble is in trouble."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from recovery.member import Role
from tests.integration.failover import OFFERED_GENTLY, Replicated, one_shard, open_replicated
from tests.integration.test_failover import kill_primary
from tests.zookeeper import Ensemble, open_ensemble

#: Long enough for what ZooKeeper's trouble might do to show.
WHILE_SECONDS = 2.0


@asynccontextmanager
async def open_venue(directory: Path) -> AsyncIterator[tuple[Replicated, Ensemble]]:
    async with open_ensemble(directory / "zookeeper", 3) as ensemble:
        coordinator = {"kind": "zookeeper", "hosts": list(ensemble.hosts), "root": "/fixgw"}
        venue = one_shard(directory / "venue", coordinator=coordinator)
        async with open_replicated(venue) as market:
            yield market, ensemble


async def epochs(market: Replicated) -> set[int]:
    return {each.epoch for each in (await market.positions()).values()}


async def goes_on(market: Replicated) -> None:
    """Trading, for a while."""
    before = len(market.acknowledged())
    await trio.sleep(WHILE_SECONDS)
    assert len(market.acknowledged()) > before + 100


@pytest.mark.slow
async def test_trading_does_not_notice_what_happens_to_zookeeper(tmp_path):
    async with open_venue(tmp_path) as (market, ensemble):
        async with market.trading(OFFERED_GENTLY):
            epoch = await epochs(market)
            leader = await ensemble.leader()
            leader.kill()
            await goes_on(market)
            await ensemble.wait_serving()
            with (await ensemble.leader()).paused():
                await goes_on(market)
            ensemble.kill()
            await goes_on(market)
            assert await epochs(market) == epoch  # nobody was deposed
            await ensemble.wait_serving()
            await kill_primary(market)
        await market.come_to_rest()
        assert [broker.logons for broker in market.brokers] == [1, 1, 1]
        market.check(tmp_path / "recordings")


async def kill_both(market: Replicated, ensemble: Ensemble) -> float:
    """The primary and ZooKeeper's leader die together; gives the outage in seconds. Both are started again."""
    name = market.name(await market.primary())
    leader = await ensemble.leader()

    async def kill() -> None:
        leader.kill()
        market.venue.kill("shard", name)

    outage = await market.outage(kill)
    await ensemble.wait_serving()
    await market.start("shard", name)
    await market.all_follow()
    return outage


async def test_the_primary_and_zookeepers_leader_die_together(tmp_path):
    async with open_venue(tmp_path) as (market, ensemble):
        async with market.trading(OFFERED_GENTLY):
            await kill_both(market, ensemble)
        await market.come_to_rest()
        market.check(tmp_path / "recordings")


@pytest.mark.slow
async def test_a_primary_that_dies_while_zookeeper_is_down_has_a_successor_when_it_is_back(tmp_path):
    async with open_venue(tmp_path) as (market, ensemble):
        async with market.trading(OFFERED_GENTLY):
            ensemble.kill()
            name = market.name(await market.primary())
            market.venue.kill("shard", name)
            await trio.sleep(WHILE_SECONDS)
            assert Role.PRIMARY not in {each.role for each in (await market.positions()).values()}
            await ensemble.wait_serving()
            await market.start("shard", name)
            await market.all_follow()
        await market.come_to_rest()
        assert [broker.logons for broker in market.brokers] == [1, 1, 1]
        market.check(tmp_path / "recordings")
