"""The ledger of a venue of real processes: every fill of every broker, once, whatever is killed or lost on the way."""

import json
import re
import sys
from functools import partial
from typing import Any

import pytest
import trio

from fixgw.ledger_file import read_ledger
from matching.ids import COUNTER_MASK
from tests.integration.failover import open_replicated
from tests.integration.fix_broker import Broker
from tests.integration.fork_broker import ForkBroker
from tests.integration.market import Market, open_market
from tests.integration.test_fork import asynchronous, die_with_tail, go_on, start_shard, trading_into_the_pause
from tests.venue import ROOT, Venue

KILLS = 2
#: Of each broker, in requests a second: processes take seconds to start.
RATE = 100.0
LEDGERS = [{"name": "l1"}]
_EXEC_ID = re.compile(rb"(\d+)(?:F\d+)?-T(\d+)[BS]")

#: shard, number of the trade there, order, price, quantity, cum, leaves.
Fill = tuple[int, int, int, str, int, int, int]


def told_fills(broker: Broker, void: frozenset[bytes] = frozenset()) -> list[Fill]:
    """What a broker was told of its trades."""
    fills = []
    for report in broker.told.values():
        if report[35] == b"8" and report[150] in b"12F" and report[17] not in void:
            named = _EXEC_ID.fullmatch(report[17])
            assert named is not None
            figures = (int(report[tag]) for tag in (32, 14, 151))
            fills.append((int(named[1]), int(named[2]), int(report[37]), f"{float(report[31]):.2f}", *figures))
    return sorted(fills)


async def ledger_rows(venue: Venue, what: str, participant: str, *arguments: str) -> list[dict[str, Any]]:
    """What `fixgw ledger` prints."""
    command = [sys.executable, "-m", "fixgw", "ledger", str(venue.file), what, participant, "--json", *arguments]
    done = await trio.run_process(command, cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return list(json.loads(done.stdout)["rows"])


async def kept_fills(venue: Venue, participant: str) -> list[Fill]:
    """What the ledger has of a firm's trades."""
    shards = {shard["name"]: int(shard["id"]) for shard in venue.config["shards"]}
    return sorted(
        (
            shards[row["shard"]],
            row["match_number"] & COUNTER_MASK,
            row["order_id"],
            f"{float(row['last_px']):.2f}",
            row["last_qty"],
            row["cum_qty"],
            row["leaves_qty"],
        )
        for row in await ledger_rows(venue, "history", participant)
        if row["event"] == "TRADE"
    )


def written(venue: Venue) -> dict[int, int]:
    """By shard: the number of the last message that the ledger has seen."""
    with read_ledger(venue.directory / "var" / "ledger-l1") as db:
        return {row["shard_id"]: row["next_seq"] - 1 for row in db.execute("SELECT * FROM positions")}


async def check_ledger(market: Market) -> None:
    """It holds what each broker was told, and of the orders what the broker holds."""
    ends = {int(shard[1:]): len(said) for shard, said in market.streams.items()}
    await market.wait(lambda: written(market.venue) == ends, f"the ledger to have written {ends}")
    async with trio.open_nursery() as nursery:
        for number, broker in enumerate(market.brokers, start=1):
            nursery.start_soon(check_firm, market.venue, f"FIRM{number}", broker)


async def check_firm(venue: Venue, firm: str, broker: Broker) -> None:
    fills = await kept_fills(venue, firm)
    assert fills == told_fills(broker, frozenset(getattr(broker, "void", ())))
    assert fills
    shown = await ledger_rows(venue, "fills", firm)
    assert sum(row["quantity"] for row in shown) == sum(broker.traded.values())
    orders = await ledger_rows(venue, "orders", firm)
    assert len({row["order_id"] for row in orders}) == len(orders)
    assert {row["order_id"]: row["leaves_qty"] for row in orders if row["leaves_qty"]} == {
        int(order_id): order.leaves for order_id, order in broker.open.items()
    }


async def test_a_ledger_killed_again_and_again_under_load_has_every_fill_once(tmp_path):
    venue = Venue(tmp_path / "venue", overrides={"ledgers": LEDGERS})
    async with open_market(venue) as market:

        def told() -> int:
            return sum(len(broker.exec_ids) for broker in market.brokers)

        await market.start("ledger", "l1")
        async with trio.open_nursery() as nursery:
            for broker in market.brokers:
                nursery.start_soon(partial(broker.trade, 5, rate=RATE))
            for _ in range(KILLS):
                before = told()
                await market.wait(lambda before=before: told() > before + 200, "trading with it")
                venue.kill("ledger", "l1")
                before = told()
                await market.wait(lambda before=before: told() > before + 200, "trading without it")
                await market.start("ledger", "l1")
            nursery.cancel_scope.cancel()
        await market.come_to_rest()
        await check_ledger(market)
        market.check(tmp_path / "recordings")
        symbol = await ledger_rows(venue, "fills", "FIRM1", "--symbol", "ALPHA")
        assert {row["symbol"] for row in symbol} == {"ALPHA"}
        assert await ledger_rows(venue, "fills", "FIRM1", "--day", "1999-12-31") == []


@pytest.mark.slow
async def test_a_ledger_that_starts_late_reads_everything_from_the_beginning(tmp_path):
    venue = Venue(tmp_path / "venue", overrides={"ledgers": LEDGERS})
    async with open_market(venue) as market:
        async with trio.open_nursery() as nursery:
            for broker in market.brokers:
                nursery.start_soon(partial(broker.trade, 6, 200))
        await market.come_to_rest()
        await market.start("ledger", "l1")
        await check_ledger(market)


@pytest.mark.slow
@pytest.mark.parametrize("running", [True, False])
async def test_after_a_fork_the_ledger_has_what_is_history_and_nothing_else(tmp_path, running):
    venue = asynchronous(tmp_path / "venue")
    venue.config["ledgers"] = LEDGERS
    venue.write()
    async with open_replicated(venue, ForkBroker) as market:
        await market.start("ledger", "l1")
        pause, resume = (partial(each, "retransmitter", "r1") for each in (venue.pause, venue.resume))
        tail = await die_with_tail(market, pause)
        await market.wait(lambda: written(venue) == {1: len(tail.said)}, "the ledger to have the tail")
        if not running:
            venue.kill("ledger", "l1")
        market.directory(tail.lost).rename(tmp_path / "lost")
        async with trading_into_the_pause(market):
            await start_shard(market, *market.members.keys() - {tail.lost})
            await market.primary()
            resume()
            for broker in market.brokers[:2]:
                await broker.wait_until(lambda broker=broker: bool(broker.news), "News(35=B)")
        if not running:
            await market.start("ledger", "l1")
        await go_on(market, tail.lost)
        await check_ledger(market)
        with read_ledger(venue.directory / "var" / "ledger-l1") as db:
            (fork,) = db.execute("SELECT * FROM forks").fetchall()
        assert fork["end_seq"] == len(tail.said)
        assert fork["rows"] > 0
