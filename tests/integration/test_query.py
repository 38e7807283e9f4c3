"""`fixgw query` on a venue of three replicas a shard: what brokers hold, also with one of them killed, not with two."""

import json
import subprocess
import sys
from typing import Any

import trio

from tests.integration.fix_broker import Broker
from tests.venue import ROOT, Venue, running


async def query(venue: Venue, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """As an operator types it."""
    command = [sys.executable, "-m", "fixgw", "query", str(venue.file), *arguments]
    return await trio.run_process(command, cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False)


async def rows(venue: Venue, *arguments: str) -> list[dict[str, Any]]:
    """Of all shards that were asked."""
    done = await query(venue, *arguments, "--json", "--timeout", "10")
    assert done.returncode == 0, done.stderr.decode()
    return [row for shard in json.loads(done.stdout)["shards"] for row in shard["rows"]]


async def hold_and_trade(broker: Broker) -> None:
    """A sell of 300 that has traded 100 with another of the same broker's orders, a buy, and one on the other shard."""
    await broker.wait_until(lambda: broker.logged_on, "its first Logon")
    broker.new_order("ALPHA", b"2", 300, 10_025)
    await broker.wait_answered()
    broker.new_order("ALPHA", b"1", 100, 10_025)
    broker.new_order("ALPHA", b"1", 50, 10_000)
    broker.new_order("GAMMA", b"1", 70, 5_000)
    await broker.wait_answered()
    await broker.wait_until(lambda: len(broker.open) == 3, "its fills")


async def check_orders(venue: Venue, broker: Broker) -> None:
    """What is read is what the broker holds."""
    orders = await rows(venue, "orders", "--participant", "FIRM1")
    assert {str(row["order_id"]).encode(): row["leaves_qty"] for row in orders} == {
        order_id: order.leaves for order_id, order in broker.open.items()
    }


async def check_trades(venue: Venue) -> None:
    fills = await rows(venue, "fills", "--participant", "FIRM1")
    told = [(row["side"], row["liquidity"], row["price"], row["quantity"]) for row in fills]
    assert told == [("SELL", "ADDED", "100.25", 100), ("BUY", "REMOVED", "100.25", 100)]
    (level,) = await rows(venue, "book", "ALPHA")
    assert (level["bid"], level["bid_qty"], level["ask"], level["ask_qty"]) == ("100.00", 50, "100.25", 200)


async def test_what_brokers_hold_is_read_while_a_majority_lives(tmp_path):
    venue = Venue(tmp_path / "venue", replicas=3)
    broker = Broker(venue.fix_port, "BROKER1", venue.comp_id, venue.password, "FIX.4.4")
    with running(venue, feed=False, retransmitter=False):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(broker.run)
            await hold_and_trade(broker)
            async with trio.open_nursery() as asking:
                asking.start_soon(check_orders, venue, broker)
                asking.start_soon(check_trades, venue)

            primary = venue.owner("s1")
            venue.kill("shard", primary)
            await check_orders(venue, broker)  # at once: the question waits for the failover

            backup = next(name for name in venue.shards["s1"] if name not in (primary, venue.owner("s1")))
            venue.kill("shard", backup)
            refused = await query(venue, "orders", "--participant", "FIRM1", "--timeout", "1")
            assert (refused.returncode, refused.stdout) == (1, b"")
            assert b"fixgw: shard s1 has no quorum: no answer from 2 of 3 replicas" in refused.stderr
            (digest,) = await rows(venue, "digest", "--shard", "s2")
            assert digest["open_orders"] == 1
            assert (await query(venue, "position")).returncode == 1
            nursery.cancel_scope.cancel()
