"""A venue of real processes, brokers that trade on it, and everything that must be true when it has come to rest."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import trio

from matching.shard import Shard
from recovery.history import History, Mode
from recovery.journal_reader import JournalReader
from recovery.record import split
from recovery.segment import MARK, Record
from tests.integration.feed_tap import Address, FeedTap
from tests.integration.fix_broker import PATIENCE, Broker, books
from tests.venue import ROOT, Venue, running

SESSIONS = (("BROKER1", "FIX.4.4"), ("BROKER2", "FIX.4.2"), ("BROKER3", "FIX.4.4"))
SHARDS = ("s1", "s2")
POLL_SECONDS = 0.02


def address(text: object) -> Address:
    host, _, port = str(text).rpartition(":")
    return host, int(port)


def example(name: str) -> ModuleType:
    """One of the example programs as a module."""
    spec = spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Market:
    """A running venue, its brokers, and a listener to both lines of its feed."""

    def __init__(self, venue: Venue, brokers: list[Broker], tap: FeedTap) -> None:
        self.venue = venue
        self.brokers = brokers
        self.tap = tap
        #: At rest: every message of each shard's stream.
        self.streams: dict[str, list[bytes]] = {}

    async def start(self, role: str, name: str) -> None:
        """Start a role while the brokers go on."""
        await trio.to_thread.run_sync(self.venue.start, role, name)

    async def wait(self, condition: Any, what: str, seconds: float = PATIENCE) -> None:
        """For what shows only when one looks. Raises AssertionError."""
        with trio.move_on_after(seconds):
            while not condition():  # noqa: ASYNC110 - other processes and threads set no events of ours
                await trio.sleep(POLL_SECONDS)
            return
        raise AssertionError(f"waited {seconds} s for {what}")

    async def come_to_rest(self) -> None:
        """Until every broker has its answers and both lines have said all there is."""
        for broker in self.brokers:
            await broker.wait_until(lambda broker=broker: broker.logged_on, "a session")
            await broker.wait_answered()
        # What the last answers brought to others, fills, was committed with them: all that is left is on the way.
        await self.wait(self._balanced, f"both sides of every trade: {[broker.traded for broker in self.brokers]}")
        await self.wait(self.lines_agree, "both lines to say the same")
        self.streams = {shard: stream_of(self.venue, shard) for shard in SHARDS}
        await self.wait(self._all_kept, "the retransmitter to have everything")

    def _all_kept(self) -> bool:
        return all(len(kept_of(self.venue, shard)) >= len(said) for shard, said in self.streams.items())

    def _balanced(self) -> bool:
        bought, sold = ({}, {})  # type: dict[str, int], dict[str, int]
        for broker in self.brokers:
            for (symbol, side), quantity in broker.traded.items():
                total = bought if side == b"1" else sold
                total[symbol] = total.get(symbol, 0) + quantity
        return bought == sold

    def lines_agree(self) -> bool:
        """Whether every line stands where the others stand, by messages or by heartbeats."""
        return all(end == self.tap.ends[session] for (_, session), end in self.tap.positions.items())

    def check(self, directory: Path) -> dict[str, Any]:
        """What must be true at rest; gives the judge's books. `directory` is for recordings."""
        for broker in self.brokers:
            broker.check_answers()
        for shard, said in self.streams.items():
            assert kept_of(self.venue, shard) == said
        assert self.tap.conflicts == []
        self.tap.fetch_missing(feed_servers(self.venue))
        judged = judged_books(self.tap.record(directory))
        held = books(self.brokers)
        empty: dict[str, list[list[int]]] = {"bids": [], "asks": []}
        for symbol, book in judged.items():
            assert {side: book[side] for side in ("bids", "asks")} == held.get(symbol, empty), symbol
            assert book["volume"] == sum(broker.traded[symbol, b"1"] for broker in self.brokers), symbol
        assert held.keys() <= judged.keys()
        return judged


def judged_books(files: Sequence[Path]) -> dict[str, Any]:
    """The books of all recordings together, by a reader that shares no code with the exchange."""
    judge = example("itch_judge")
    return {symbol: book for file in files for symbol, book in judge.read_books(file).items()}


def feed_lines(venue: Venue, only: str = "AB") -> list[Address]:
    feed: Any = venue.config["feed"]
    return [address(channel["lines"][line]) for line in only for channel in feed["channels"]]


def feed_servers(venue: Venue) -> list[Address]:
    feed: Any = venue.config["feed"]
    return [address(server) for publisher in feed["publishers"] for server in publisher["requests"].values()]


def records(directory: Path) -> Iterator[Record]:
    """What a journal holds, written or being written."""
    reader = JournalReader(directory)
    while batch := reader.poll():
        yield from (record for record in batch if record.kind != MARK)


def stream_of(venue: Venue, shard: str) -> list[bytes]:
    """Every message of a lone shard's stream, made again from its log of commands."""
    return stream_of_journal(venue.directory / "var" / f"shard-{shard}", int(shard[1:]))


def stream_of_journal(directory: Path, shard_id: int, mode: Mode = "quorum") -> list[bytes]:
    """Every message of a shard's stream, made again from one replica's journal, which is whole (no snapshots)."""
    history = History(shard_id, partial(Shard, shard_id), mode, "disk")
    for record in records(directory):
        history.stable.replay(record.kind, record.payload, record.number)
    history.stable.opened()
    while history.apply_committed(1 << 62, history.log.last_tx):
        pass
    return history.execution.store.messages(1, 1 << 40)


def kept_of(venue: Venue, shard: str) -> list[bytes]:
    """Every message that the retransmitter has written down of a shard's stream."""
    directory = venue.directory / "var" / "retransmitter-r1" / shard
    # Before the messages: the number of the first u64, epoch u32, digest u32.
    return [message for record in records(directory) for message in split(record.payload, 16)]


@asynccontextmanager
async def open_market(venue: Venue) -> AsyncIterator[Market]:
    """Start the venue and log the brokers on; at the end everything is stopped, which must go well."""
    brokers = [Broker(venue.fix_port, sender, venue.comp_id, venue.password, version) for sender, version in SESSIONS]
    with FeedTap(feed_lines(venue)) as tap, running(venue):
        async with trio.open_nursery() as nursery:
            for broker in brokers:
                nursery.start_soon(broker.run)
            for broker in brokers:
                await broker.wait_until(lambda broker=broker: broker.logged_on, "its first Logon")
            yield Market(venue, brokers, tap)
            nursery.cancel_scope.cancel()
