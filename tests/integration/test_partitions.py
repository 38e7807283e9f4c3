"""Hosts of a replicated venue are cut off under load, one way and both ways; what brokers were told stays true.

A few cases that follow each other in one venue are run always; all of them, each twice, with ./run test --full.
"""

from collections.abc import Awaitable, Callable

import pytest

from tests.integration.hosts import OFFERED, Hosts, open_hosts
from tests.integration.partitions import (
    cut_gateway_from_primary,
    cut_off_backup,
    cut_off_primary,
    deafen_primary_and_zookeeper,
)

pytestmark = pytest.mark.interop  # hosts and ZooKeeper must be there where CI=true


async def judged(directory, zookeeper_on, *cases: Callable[[Hosts], Awaitable[object]]):
    """All that brokers, the feed and the replicas say of a day with these cases is the same."""
    async with open_hosts(directory, zookeeper_on) as hosts:
        market = hosts.market
        async with market.trading(OFFERED):
            for case in cases:
                await case(hosts)
        await market.come_to_rest()
        assert [broker.logons for broker in market.brokers] == [1, 1, 1]
        market.check(directory / "recordings")


def primary(direction):
    async def case(hosts):
        outage, spoke_for = await cut_off_primary(hosts, direction)
        print(f"primary cut off {direction}: outage {outage:.3f} s; it spoke for {max(0.0, spoke_for):.3f} s")

    return case


def backup(direction):
    return lambda hosts: cut_off_backup(hosts, direction)


async def test_who_is_cut_off_is_replaced_or_missed_by_nobody_and_comes_back_as_a_backup(tmp_path):
    await judged(tmp_path, "own", backup("in"), primary("in"), primary("both"))


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["in", "out", "both"])
@pytest.mark.parametrize("role", [primary, backup])
async def test_each_cut_of_each_role(tmp_path, role, direction):
    await judged(tmp_path, "own", role(direction), role(direction))


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["out", "both"])
@pytest.mark.parametrize("role", [primary, backup])
async def test_hosts_that_have_a_zookeeper_too(tmp_path, role, direction):
    await judged(tmp_path, "replicas", role(direction), role(direction))


@pytest.mark.slow
async def test_a_deaf_host_with_a_zookeeper_too(tmp_path):
    await judged(tmp_path, "replicas", backup("in"), *[deafen_primary_and_zookeeper] * 3)


@pytest.mark.slow
async def test_a_gateway_that_only_the_primary_does_not_hear_refuses_until_it_does(tmp_path):
    await judged(tmp_path, "own", cut_gateway_from_primary)
