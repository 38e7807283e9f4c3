"""Hosts of a replicated venue under load are cut off, and what must be true of it each time.

The account is taken by the caller, when all is over: `Replicated.come_to_rest` and `check`.
"""

from collections.abc import Awaitable, Callable

import trio

from tests.integration.hosts import GATEWAY, OFFERED, Hosts, host_of
from tests.netns import Direction

#: Requests that brokers make while a replica is cut off: in that time a primary is missed, and deposed, several times.
MEANWHILE = 2 * OFFERED
ATTEMPTS = 5


async def cut_off_primary(hosts: Hosts, direction: Direction) -> tuple[float, float]:
    """Another takes over, and it comes back as a backup. Seconds: the outage, and until it was silent itself."""
    epoch, primary = await hosts.market.leader()
    begin = trio.current_time()
    outage = await hosts.market.outage(lambda: hosts.cut(primary, direction))
    await hosts.offer(OFFERED // 2)
    now_epoch, now_leads = await hosts.market.leader()
    assert now_leads != primary
    assert now_epoch > epoch
    spoke_until = await silent(hosts, primary)
    await hosts.comes_back(primary)
    await hosts.offer(OFFERED // 2)
    return outage, spoke_until - begin


async def deafen_primary_and_zookeeper(hosts: Hosts) -> None:
    """A primary hears nobody, and nor does a server of ZooKeeper's. The venue is back at the latest when they do.

    If that server leads ZooKeeper, the others go on hearing it propose itself, and elect nobody else: then no epoch is
    to be had, and no order is acknowledged.
    """
    epoch, primary = await hosts.market.leader()
    await hosts.cut(primary, "in")
    await hosts.ask(MEANWHILE)
    await silent(hosts, primary)
    await hosts.heal(host_of(primary))
    await hosts.offer(OFFERED // 2)
    await hosts.market.all_follow()
    assert (await hosts.market.leader())[0] > epoch


async def silent(hosts: Hosts, replica: int) -> float:
    """A replica that hears no majority says nothing on the stream. Gives when it was heard last."""
    host = hosts.network.addresses[host_of(replica)]
    heard_at = hosts.voices.heard_at[host]
    await hosts.ask(OFFERED // 2)
    assert hosts.voices.heard_at[host] == heard_at, "who hears no majority goes on saying the stream"
    return heard_at


async def cut_off_backup(hosts: Hosts, direction: Direction) -> None:
    """Trading goes on under the same primary, whatever the backup makes of what it hears, and also when it is back."""

    async def window() -> None:
        _, primary = await hosts.market.leader()
        backup = next(replica for replica in hosts.market.members if replica != primary)
        await hosts.cut(backup, direction)
        await hosts.offer(MEANWHILE)
        await hosts.comes_back(backup)
        await hosts.offer(OFFERED // 2)

    await nobody_is_deposed(hosts, window)


async def cut_gateway_from_primary(hosts: Hosts) -> None:
    """Nobody can trade, for only the primary takes orders, and nobody is deposed; then trading goes on."""

    async def window() -> None:
        _, primary = await hosts.market.leader()
        refused = hosts.refused()
        await hosts.cut_between(GATEWAY, host_of(primary))
        await hosts.market.wait(lambda: hosts.refused() > refused, "the gateway to refuse orders")
        await hosts.heal(GATEWAY, host_of(primary))
        await hosts.offer(OFFERED // 2)

    await nobody_is_deposed(hosts, window)


async def nobody_is_deposed(hosts: Hosts, window: Callable[[], Awaitable[None]]) -> None:
    """A busy machine may be late enough to cost a primary its epoch now and then; a fault costs it each time."""
    for _ in range(ATTEMPTS):
        before = await hosts.market.leader()
        await window()
        if await hosts.market.leader() == before:
            return
    raise AssertionError(f"the primary was deposed {ATTEMPTS} times out of {ATTEMPTS}")
