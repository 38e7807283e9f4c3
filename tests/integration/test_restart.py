"""Processes are killed (-9) and started again under load: what was acknowledged is back, and nothing is there twice.

Each test ends with the same account (`Market.check`): every request has one answer; numbers of
every session go on without a hole or a repetition; what the brokers hold and have traded is what an independent reader
makes of the feed; a number of the feed was the same bytes whenever and wherever it was said; and what the retransmitter
keeps is what the shards' logs of commands make.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.market import Market, feed_lines, open_market
from tests.venue import ROOT, Venue, running

REQUESTS_BEFORE = 300
REQUESTS_AFTER = 300
#: Of a broker who comes once before and once after.
ORDERS = 40


async def trade_through(market: Market, crash) -> None:
    """Brokers trade before, during and after `crash`."""
    brokers = market.brokers

    def made() -> int:
        return sum(len(broker.requests) for broker in brokers)

    async with trio.open_nursery() as nursery:
        for broker in brokers:
            nursery.start_soon(broker.trade, 1)
        await market.wait(lambda: made() > REQUESTS_BEFORE, "trading before the crash")
        await crash()
        back = made()
        await market.wait(lambda: made() > back + REQUESTS_AFTER, "trading after the crash")
        nursery.cancel_scope.cancel()
    await market.come_to_rest()
    assert sum(sum(broker.traded.values()) for broker in brokers) > 0


@pytest.mark.parametrize("sync", ["disk", pytest.param("write", marks=pytest.mark.slow)])
async def test_a_shard_killed_under_load_has_every_acknowledged_order_back(tmp_path, sync):
    venue = Venue(tmp_path / "venue", sync=sync)
    async with open_market(venue) as market:

        async def crash():
            venue.kill("shard", "s1")
            await market.start("shard", "s1")

        await trade_through(market, crash)
        assert [broker.logons for broker in market.brokers] == [1, 1, 1]
        market.check(tmp_path / "recordings")


async def test_a_gateway_killed_under_load_goes_on_with_its_numbers(tmp_path):
    venue = Venue(tmp_path / "venue")
    async with open_market(venue) as market:

        async def crash():
            venue.kill("gateway", "g1")
            await market.start("gateway", "g1")

        await trade_through(market, crash)
        assert all(broker.logons == 2 for broker in market.brokers)
        market.check(tmp_path / "recordings")


@pytest.mark.slow
async def test_a_retransmitter_killed_under_load_catches_up_with_what_it_missed(tmp_path):
    venue = Venue(tmp_path / "venue")
    async with open_market(venue) as market:

        async def crash():
            venue.kill("retransmitter", "r1")
            answered = sum(len(broker.exec_ids) for broker in market.brokers)
            await market.wait(
                lambda: sum(len(broker.exec_ids) for broker in market.brokers) > answered + 200, "trading without it"
            )
            await market.start("retransmitter", "r1")

        await trade_through(market, crash)
        market.check(tmp_path / "recordings")


async def test_a_publisher_killed_continues_the_same_session_with_the_same_bytes(tmp_path):
    """Line A falls silent while B goes on; back again, A goes on where the session is, as B says it."""
    venue = Venue(tmp_path / "venue")
    async with open_market(venue) as market:
        line, _ = feed_lines(venue, "A")
        session, silent_from = b"", 0

        async def crash():
            nonlocal session, silent_from
            (session,) = [session for at, session in market.tap.said if at == line]
            venue.kill("publisher", "A")
            silent_from = market.tap.said[line, session]
            await market.wait(lambda: market.tap.ends[session] > silent_from + 100, "line B to go on alone")
            await market.start("publisher", "A")
            await market.wait(lambda: market.tap.said[line, session] > silent_from, "line A to say something again")

        await trade_through(market, crash)
        first_again = next(
            packet.header
            for packet in market.tap.packets
            if packet.line == line and packet.header[1] > silent_from + 1 and packet.header[2]
        )
        assert first_again[0] == session
        assert len(market.tap.sessions) == 2
        market.check(tmp_path / "recordings")


@pytest.mark.slow
async def test_everything_killed_at_once_comes_back(tmp_path):
    venue = Venue(tmp_path / "venue")
    async with open_market(venue) as market:

        async def crash():
            killed = list(venue.processes)
            for role, name in killed:
                venue.kill(role, name)
            async with trio.open_nursery() as nursery:
                for role, name in killed:
                    nursery.start_soon(market.start, role, name)

        await trade_through(market, crash)
        assert all(broker.logons == 2 for broker in market.brokers)
        assert len(market.tap.sessions) == 2
        market.check(tmp_path / "recordings")


async def test_a_gateway_whose_files_are_gone_serves_brokers_who_begin_anew(tmp_path):
    venue = Venue(tmp_path / "venue")
    with running(venue):
        before = await trade_as_a_newcomer(venue)
        venue.kill("gateway", "g1")
        (venue.directory / "var" / "gateway-g1").rename(tmp_path / "gone")
        venue.start("gateway", "g1")
        after = await trade_as_a_newcomer(venue)
        assert [told["unanswered"] for told in (before, after)] == [0, 0]
        assert after["acks"] == before["acks"] == ORDERS
        executed = json.loads(
            await run_python("-m", "fixgw", "query", venue.file, "fills", "--participant=FIRM1", "--json")
        )
        assert sum(len(shard["rows"]) for shard in executed["shards"]) == before["fills"] + after["fills"]


async def trade_as_a_newcomer(venue: Venue) -> dict[str, Any]:
    """With ResetSeqNumFlag(141)=Y; gives what the example broker was told."""
    session = ("--sender=BROKER1", "--username=broker1", f"--password={venue.password}", f"--target={venue.comp_id}")
    market = (f"--port={venue.fix_port}", "--symbol=ALPHA", f"--orders={ORDERS}", "--json")
    told: dict[str, Any] = json.loads(await run_python("examples/broker.py", *session, *market))
    return told


async def run_python(*arguments: str | Path) -> str:
    """What it prints."""
    done = await trio.run_process([sys.executable, *map(str, arguments)], cwd=ROOT, capture_stdout=True)
    return done.stdout.decode()
