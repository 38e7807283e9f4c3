"""One datagram in twenty is lost, everywhere: on the way to every reader of a stream, and on both lines to a vendor.

The relay that loses them is a process outside of everything it disturbs, and has its luck from a fixed seed. Each
reader has a relay link of its own, so that what one loses another has. The retransmitter loses as much as anybody, and
fills its own gaps from the shards.
"""

import contextlib
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator

import trio

from tests.integration.feed_tap import Address
from tests.integration.market import SHARDS, address, feed_lines, feed_servers, open_market
from tests.venue import ROOT, Venue, free_ports

LOSS = 0.05
REQUESTS_PER_BROKER = 1000
#: Requests of a broker under way: few, so that they come in many datagrams.
WINDOW = 5

_VENDOR_COUNT = re.compile(r"(s\d): ([\d,]+) messages")
_STATISTICS = re.compile(r"reading ends: .*gaps found (\d+), gaps filled (\d+), requests (\d+)")


def relay_streams(venue: Venue) -> dict[Address, Address]:
    """Have every reader hear every stream through a link of its own. Gives the links, output → input."""
    port = free_ports(1)[0]
    links: dict[Address, Address] = {}
    streams = {each["name"]: address(each["stream"]) for each in venue.config["shards"]}
    feed = venue.config["feed"]
    readers = [*venue.config["gateways"], *venue.config["retransmitters"], *feed["publishers"]]
    for reader in readers:
        reader["streams"] = {}
        for shard, stream in streams.items():
            output = (_group(stream, 100 + len(links)), port)
            links[output] = stream
            reader["streams"][shard] = "{}:{}".format(*output)
    venue.write()
    return links


def relay_lines(venue: Venue) -> dict[Address, Address]:
    """A link for each line of the feed."""
    port = free_ports(1)[0]
    lines = feed_lines(venue)
    return {(_group(line, 200 + number), port): line for number, line in enumerate(lines)}


def _group(beside: Address, last: int) -> str:
    return f"{beside[0].rpartition('.')[0]}.{last}"


class Relay:
    """The relay process and, once it has stopped, its counts by link."""

    def __init__(self, links: dict[Address, Address]) -> None:
        self._links = links
        self.counts: list[dict[str, int]] = []

    @contextlib.contextmanager
    def running(self) -> Iterator["Relay"]:
        command = [sys.executable, str(ROOT / "tests/integration/relay.py"), f"--loss={LOSS}", "--seed=1"]
        for output, source in self._links.items():
            command += ["--in", "{}:{}".format(*source), "--out", "{}:{}".format(*output)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                assert json.loads(process.stdout.readline()) == {"ready": True}
                yield self
                process.terminate()
                self.counts = json.loads(process.stdout.readline())
                assert process.wait(10) == 0
            finally:
                process.kill()


class Vendor:
    """The example vendor as a process, on lines that lose datagrams."""

    def __init__(self, venue: Venue, lines: dict[Address, Address], directory) -> None:
        servers = feed_servers(venue)
        self.recordings = directory / "vendor"
        self._json = directory / "vendor.json"
        self._command = [sys.executable, str(ROOT / "examples/vendor.py"), "--json", str(self._json)]
        self._command += ["--record", str(self.recordings)]
        outputs = list(lines)
        for number, shard in enumerate(SHARDS):
            ways = [*outputs[number :: len(SHARDS)], *servers[number :: len(SHARDS)]]
            self._command += ["--channel", ",".join([shard, *("{}:{}".format(*way) for way in ways)])]

    async def watch(self, wanted, task_status) -> None:
        """Run until the vendor shows as many messages as `wanted()` says, by shard; then end it in order."""
        process = await trio.lowlevel.open_process(self._command, stdout=subprocess.PIPE, cwd=ROOT)
        try:
            task_status.started()
            text = ""
            async for data in process.stdout:
                text += data.decode()
                seen = {name: int(count.replace(",", "")) for name, count in _VENDOR_COUNT.findall(text)}
                if seen == wanted():
                    break
            process.terminate()
            assert await process.wait() == 0
        finally:
            process.kill()

    def summary(self):
        return json.loads(self._json.read_text())


def gaps_of(log: str) -> list[tuple[int, ...]]:
    """(found, filled, requests) of every stream that a process has read."""
    return [tuple(map(int, found)) for found in _STATISTICS.findall(log)]


async def test_every_reader_ends_with_everything_in_order(tmp_path):
    venue = Venue(tmp_path / "venue")
    streams, lines = relay_streams(venue), relay_lines(venue)
    relay, vendor = Relay({**streams, **lines}), Vendor(venue, lines, tmp_path)
    traded_all = False
    with relay.running():
        async with open_market(venue) as market:

            def wanted():
                """What the feed has said by now; nothing can be wanted while it is still being said."""
                ends = {int(session[-4:]): end - 1 for session, end in market.tap.ends.items()}
                return {f"s{number}": ends[number] for number in ends} if traded_all else None

            with trio.fail_after(180):
                async with trio.open_nursery() as nursery:
                    await nursery.start(vendor.watch, wanted)
                    async with trio.open_nursery() as trading:
                        for broker in market.brokers:
                            trading.start_soon(broker.trade, 5, REQUESTS_PER_BROKER, WINDOW)
                    await market.come_to_rest()
                    traded_all = True
            judged = market.check(tmp_path / "recordings")
            recorded = sorted((tmp_path / "recordings").iterdir())
            watched = vendor.summary()

    # The vendor has every message, in order, and made the same books of them.
    assert [file.read_bytes() for file in sorted(vendor.recordings.iterdir())] == [
        each.read_bytes() for each in recorded
    ]
    for symbol, book in judged.items():
        assert {side: watched["symbols"][symbol][side] for side in ("bids", "asks")} == {
            side: book[side] for side in ("bids", "asks")
        }
    assert sum(map(len, market.streams.values())) > len(market.brokers) * REQUESTS_PER_BROKER

    # And all that although each of the links lost its share, and each reader found and filled gaps.
    for count in relay.counts:
        assert count["received"] > 150, count  # the less often a process has its turn, the more a datagram carries
        expected = LOSS * count["received"]
        assert count["dropped"] > 0, count
        assert abs(count["dropped"] - expected) < 5 * math.sqrt(expected), count  # of a Poisson distribution
    for role, name in (("gateway", "g1"), ("retransmitter", "r1"), ("publisher", "A"), ("publisher", "B")):
        gaps = gaps_of(venue.log(role, name))
        assert len(gaps) == len(SHARDS), venue.log(role, name)
        for found, filled, requests in gaps:
            assert filled >= found > 0  # a gap may be filled from its middle, in two pieces
            assert requests > 0
    for channel in watched["channels"].values():
        assert channel["gaps_found"] == channel["gaps_filled"] > 0
        assert channel["missing"] == channel["lost"] == 0
