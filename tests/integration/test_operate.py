"""People run a market: an auction by the calendar, a halt, a kill switch, a mass cancel, a bust, as all others see it.

Real processes, `fixgw operate` as it is typed, FIX brokers that keep their own account, a vendor who hears the feed.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from tests.integration.feed_tap import FeedTap
from tests.integration.fix_broker import PATIENCE, Broker, Fields
from tests.integration.market import POLL_SECONDS, feed_lines, feed_servers
from tests.venue import ROOT, Venue, running

SESSIONS = (("BROKER1", "FIX.4.4"), ("BROKER2", "FIX.4.4"))
BUY, SELL = b"1", b"2"
#: Seconds from the writing of the file until a symbol opens by its own calendar; a slow machine uses a later one.
OPENINGS = {"ALPHA": 10, "DELTA": 20, "OMEGA": 45, "SIGMA": 120}
#: That it takes at most to join the auction.
JOINING = 4


class Firm(Broker):
    """Counts what is undone beside what is done."""

    busted = 0

    def _account(self, report: Fields) -> None:
        if report[150] == b"H":
            assert report[17] not in self.exec_ids
            self.exec_ids.add(report[17])
            self.busted += int(report[32])
        else:
            super()._account(report)


class Floor:
    """A running venue, its firms, its vendor, and the operator's keyboard."""

    def __init__(self, venue: Venue, firms: list[Firm], tap: FeedTap, opens_at: dict[str, datetime]) -> None:
        self.venue = venue
        self.firms = firms
        self.tap = tap
        self._opens_at = opens_at

    def next_to_open(self) -> str:
        """The symbol whose auction can still be joined."""
        now = datetime.now(UTC)
        return next(symbol for symbol, at in self._opens_at.items() if at - now > timedelta(seconds=JOINING))

    async def type(self, command: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        line = [sys.executable, "-m", "fixgw", command, str(self.venue.file), *arguments]
        return await trio.run_process(line, cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False)

    async def operate(self, *arguments: str) -> list[str]:
        """What is printed."""
        done = await self.type("operate", *arguments)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout.decode().splitlines()

    async def match_numbers(self, participant: str, symbol: str) -> list[int]:
        done = await self.type("query", "fills", "--participant", participant, "--json")
        rows = [row for shard in json.loads(done.stdout)["shards"] for row in shard["rows"]]
        return [row["match_number"] for row in rows if row["symbol"] == symbol]

    def heard(self) -> list[bytes]:
        """Every ITCH message, of each shard in order."""
        return [message for kept in list(self.tap.sessions.values()) for _, message in sorted(kept.items())]

    def states(self, symbol: str) -> list[tuple[bytes, bytes]]:
        """What the vendor heard in Stock Trading Action messages: state and reason (ITCH 5.0, section 1.2.2)."""
        stock = symbol.encode().ljust(8)
        return [(m[19:20], m[21:25].rstrip()) for m in self.heard() if m[:1] == b"H" and m[11:19] == stock]

    async def hears(self, condition: Any, what: str) -> None:
        with trio.move_on_after(PATIENCE):
            while not condition():  # noqa: ASYNC110 - the tap is a thread
                await trio.sleep(POLL_SECONDS)
            return
        raise AssertionError(f"the vendor did not hear {what}: {self.heard()}")


def written(at: datetime) -> str:
    """As a timetable is written: without seconds where there are none."""
    return at.strftime("%H:%M:%S" if at.second else "%H:%M")


@contextmanager
def open_floor(directory: Path) -> Iterator[Floor]:
    """The symbols of OPENINGS are in their opening auctions; the others have no calendar."""
    venue = Venue(directory, sessions=SESSIONS)
    alpha = venue.config["instruments"][0]
    venue.config["instruments"] += [alpha | {"symbol": "OMEGA", "id": 5}, alpha | {"symbol": "SIGMA", "id": 6}]
    now = datetime.now(UTC).replace(microsecond=0)
    opens_at = {symbol: now + timedelta(seconds=seconds) for symbol, seconds in OPENINGS.items()}
    rolls_at = (now - timedelta(hours=12)).strftime("%H:%M")
    venue.config["venue"]["trading_day"]["rolls_at"] = rolls_at
    venue.config["calendars"] = [
        {"name": symbol, "phases": {rolls_at: "opening_auction", written(at): "continuous"}}
        for symbol, at in opens_at.items()
    ]
    for instrument in venue.config["instruments"]:
        if instrument["symbol"] in OPENINGS:
            instrument["calendar"] = instrument["symbol"]
    venue.write()
    firms = [Firm(venue.fix_port, sender, venue.comp_id, venue.password, version) for sender, version in SESSIONS]
    with FeedTap(feed_lines(venue, "A")) as tap, running(venue):
        yield Floor(venue, firms, tap, opens_at)


async def join_auction(floor: Floor) -> str:
    """Both firms have orders in a symbol's auction that will meet."""
    buyer, seller = floor.firms
    for firm in floor.firms:
        await firm.wait_until(lambda firm=firm: firm.logged_on, "its first Logon")
    symbol = floor.next_to_open()
    buyer.new_order(symbol, BUY, 300, 10_05)
    seller.new_order(symbol, SELL, 200, 9_95)
    for firm in floor.firms:
        await firm.wait_answered()
    return symbol


async def is_auctioned(floor: Floor, symbol: str) -> None:
    """The calendar opened it: both traded 200, at one price, and the vendor was told of a cross."""
    buyer, seller = floor.firms
    seconds = OPENINGS[symbol] + PATIENCE
    await buyer.wait_until(lambda: buyer.traded[symbol, BUY] == 200, "the auction", seconds)
    await seller.wait_until(lambda: seller.traded[symbol, SELL] == 200, "the auction")
    await floor.hears(lambda: (b"T", b"") in floor.states(symbol), "it trading")
    servers = feed_servers(floor.venue)
    await trio.to_thread.run_sync(floor.tap.fetch_missing, servers)  # what was said before the publisher was there
    assert [state for state, _ in floor.states(symbol)] == [b"Q", b"T"]
    stock = symbol.encode().ljust(8)
    (cross,) = [m for m in floor.heard() if m[:1] == b"Q" and m[19:27] == stock]  # Cross Trade, section 1.5.2
    assert (int.from_bytes(cross[11:19], "big"), cross[39:40]) == (200, b"O")
    assert 99_500 <= int.from_bytes(cross[27:31], "big") <= 100_500


async def halt_and_resume(floor: Floor) -> None:
    buyer, _ = floor.firms
    lines = await floor.operate("halt", "BETA", "--reason", "T1")
    assert lines[1:] == ["  BETA: halted", "  BETA: the public sees halted, reason T1"]
    refused = sum(buyer.refusals.values())
    buyer.new_order("BETA", BUY, 10, 19_00)
    await buyer.wait_answered()
    assert sum(buyer.refusals.values()) == refused + 1
    await floor.operate("resume", "BETA")
    buyer.new_order("BETA", BUY, 10, 19_00)
    await buyer.wait_answered()
    assert sum(buyer.refusals.values()) == refused + 1
    await floor.hears(lambda: (b"H", b"T1") in floor.states("BETA"), "the halt")
    await floor.hears(lambda: floor.states("BETA")[-1][0] == b"T", "its end")


async def kill_switch(floor: Floor, symbol: str) -> None:
    buyer, _ = floor.firms
    assert {order.symbol for order in buyer.open.values()} == {symbol, "GAMMA"}
    lines = await floor.operate("block", "FIRM1")
    assert lines[0] == "one command for each of 2 shards:"
    await buyer.wait_until(lambda: not buyer.open, "its orders canceled")
    refused = sum(buyer.refusals.values())
    buyer.new_order("GAMMA", BUY, 10, 20_00)
    await buyer.wait_answered()
    assert sum(buyer.refusals.values()) == refused + 1


async def mass_cancel(floor: Floor) -> None:
    buyer, seller = floor.firms
    buyer.new_order("BETA", BUY, 10, 20_00)
    buyer.new_order("GAMMA", BUY, 10, 20_00)
    seller.new_order("BETA", SELL, 10, 20_10)
    for firm in floor.firms:
        await firm.wait_answered()
    lines = await floor.operate("cancel", "--symbol", "BETA")
    assert lines[-1] == "  3 orders canceled"  # with the one that was sent after the halt
    await buyer.wait_until(lambda: "BETA" not in {order.symbol for order in buyer.open.values()}, "all canceled")
    await seller.wait_until(lambda: "BETA" not in {order.symbol for order in seller.open.values()}, "one canceled")


async def bust(floor: Floor) -> None:
    buyer, seller = floor.firms
    seller.new_order("BETA", SELL, 70, 20_00)
    await seller.wait_answered()
    buyer.new_order("BETA", BUY, 70, 20_00)
    await buyer.wait_until(lambda: buyer.traded["BETA", BUY] == 70, "its fill")
    await seller.wait_until(lambda: seller.traded["BETA", SELL] == 70, "its fill")
    (match_number,) = await floor.match_numbers("FIRM1", "BETA")
    await floor.operate("bust", str(match_number))
    for firm in floor.firms:
        await firm.wait_until(lambda firm=firm: firm.busted == 70, "its bust")
    await floor.hears(
        lambda: [int.from_bytes(m[11:19], "big") for m in floor.heard() if m[:1] == b"B"] == [match_number],
        "a Broken Trade message (section 1.6)",
    )


async def test_an_operator_runs_the_market(tmp_path):
    with open_floor(tmp_path / "venue") as floor:
        async with trio.open_nursery() as nursery:
            for firm in floor.firms:
                nursery.start_soon(firm.run)
            symbol = await join_auction(floor)
            await halt_and_resume(floor)
            await bust(floor)
            await mass_cancel(floor)
            await is_auctioned(floor, symbol)
            await kill_switch(floor, symbol)
            assert "is an operator's: set trading state: instrument BETA" in floor.venue.log("shard", "s1")
            nursery.cancel_scope.cancel()
