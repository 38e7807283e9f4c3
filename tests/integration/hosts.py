"""A replicated venue whose every replica is a host of its own, which can be cut off.

    r1, r2, r3      a replica each
    gw              the gateway
    feed            the retransmitter and both publishers
    z1, z2, z3      ZooKeeper's servers; or they are on the replicas' hosts, and are cut off with them

Brokers and vendors are this process, on the same Ethernet. A host that is cut off has ZooKeeper no more than it has the
other replicas.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import trio

from recovery.member import Role
from tests import zookeeper
from tests.integration.failover import Replicated, one_shard, open_replicated
from tests.integration.feed_tap import open_line
from tests.integration.market import address
from tests.netns import Direction, Network
from tests.venue import Venue
from tests.zookeeper import Ensemble, Host, open_ensemble

#: Requests a second, offered by all brokers together.
OFFERED = 1_000
REPLICAS = {1: "r1", 2: "r2", 3: "r3"}
GATEWAY, FEED = "gw", "feed"
ZOOKEEPERS = ("z1", "z2", "z3")


def host_of(replica: int) -> str:
    return REPLICAS[replica]


def spread(venue: Venue, network: Network) -> None:
    """Give a venue of one shard's processes hosts, and write their addresses into its configuration."""
    config = venue.config
    venue.fix_host, venue.here = network.addresses[GATEWAY], network.here
    config["venue"]["interface"] = str(network.network)
    for each in config["sessions"] + config["feed"]["publishers"]:
        each["allow"] = [str(network.network)]

    def settle(role: str, name: str, host: str, owner: dict[str, str], keys: Sequence[str]) -> None:
        venue.hosts[role, name] = partial(network.command, host)
        for key in keys:
            owner[key] = f"{network.addresses[host]}:{address(owner[key])[1]}"

    for replica in config["shards"][0]["replicas"]:
        settle("shard", f"s1.{replica['id']}", host_of(replica["id"]), replica, ("link", "control", "retransmit"))
    settle("gateway", "g1", GATEWAY, config["gateways"][0], ("fix",))
    settle("retransmitter", "r1", FEED, config["retransmitters"][0], ("address",))
    for publisher in config["feed"]["publishers"]:
        settle("publisher", publisher["name"], FEED, publisher["requests"], ("s1",))
    venue.write()


class Voices:
    """Who says the shard's stream, and until when: by IP address, the time at which it was heard last."""

    def __init__(self, venue: Venue, network: Network) -> None:
        self.heard_at: dict[str, float] = {}
        self._socket = open_line(address(venue.config["shards"][0]["stream"]), network.here)
        self._socket.setblocking(False)

    async def listen(self) -> None:
        with self._socket:
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                try:
                    while True:
                        _, (host, _) = self._socket.recvfrom(65_536)
                        self.heard_at[host] = trio.current_time()
                except BlockingIOError:
                    pass


class Hosts:
    """The venue as it runs. `open_hosts` makes it."""

    def __init__(self, network: Network, ensemble: Ensemble, market: Replicated, voices: Voices) -> None:
        self.network = network
        self.ensemble = ensemble
        self.market = market
        self.voices = voices

    async def cut(self, replica: int, direction: Direction) -> None:
        """From now on this replica's host hears nobody, is heard by nobody, or both."""
        await trio.to_thread.run_sync(self.network.partition, host_of(replica), direction)

    async def cut_between(self, one: str, other: str) -> None:
        await trio.to_thread.run_sync(self.network.cut_between, one, other)

    async def heal(self, *hosts: str) -> None:
        await trio.to_thread.run_sync(self.network.heal, *hosts)

    async def comes_back(self, replica: int) -> None:
        """A replica's host is healed: the replica follows the epoch of that time, or one that came even later."""
        epoch, _ = await self.market.leader()
        await self.heal(host_of(replica))
        await self.market.all_follow()
        found = await self.market.position(replica)
        assert found.role is Role.BACKUP or found.epoch > epoch

    def refused(self) -> int:
        """Requests that were answered with a refusal."""
        return sum(sum(broker.refusals.values()) for broker in self.market.brokers)

    async def ask(self, requests: int) -> None:
        """Until brokers have made so many requests more, answered or not."""

        def made() -> int:
            return sum(len(broker.requests) for broker in self.market.brokers)

        wanted = made() + requests
        await self.market.wait(lambda: made() >= wanted, f"{requests} more requests")

    async def offer(self, requests: int) -> None:
        """Until brokers have made so many requests more, and have the answers to nearly all of them."""
        await self.ask(requests)
        brokers = self.market.brokers
        few = OFFERED // 5
        await self.market.wait(lambda: sum(len(broker.unanswered) for broker in brokers) < few, "few to be unanswered")


@asynccontextmanager
async def open_hosts(directory: Path, zookeeper_on: Literal["own", "replicas"] = "own") -> AsyncIterator[Hosts]:
    """Everything started, the brokers logged on; at the end everything is stopped, which must go well."""
    zookeeper.need_zookeeper()
    servers = ZOOKEEPERS if zookeeper_on == "own" else tuple(REPLICAS.values())
    more = ZOOKEEPERS if zookeeper_on == "own" else ()
    async with AsyncExitStack() as stack:
        network = stack.enter_context(Network(*REPLICAS.values(), GATEWAY, FEED, *more))
        places = [Host(network.addresses[host], partial(network.command, host)) for host in servers]
        ensemble = await stack.enter_async_context(open_ensemble(directory / "zookeeper", 3, places))
        venue = one_shard(directory / "venue", coordinator={"kind": "zookeeper", "hosts": list(ensemble.hosts)})
        spread(venue, network)
        market = await stack.enter_async_context(open_replicated(venue))
        voices = Voices(venue, network)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(voices.listen)
            yield Hosts(network, ensemble, market, voices)
            nursery.cancel_scope.cancel()
