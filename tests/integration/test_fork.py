"""The primary of an asynchronous shard dies with a tail that only its readers had: who was told untruth is told so."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from fixgw.forks import MAX_LINES
from marketdata.feed import session_in_epoch
from matching.events import OrderExecuted
from matching.ids import COUNTER_MASK
from matching.wire import KINDS
from recovery.member import Role
from tests.integration.failover import Replicated, one_shard, open_replicated
from tests.integration.fork_broker import ForkBroker
from tests.integration.market import feed_lines, feed_servers, judged_books, kept_of, stream_of_journal
from tests.integration.test_query import rows
from tests.venue import Venue

SYMBOLS = ("ALPHA", "BETA")
_OF_SHARD = re.compile(rb"1(?:F\d+)?-(T?)(\d+)[A-Z]?")


def asynchronous(directory: Path) -> Venue:
    # With durability memory a restarted replica has no vote: two of them could not lead without the third.
    return one_shard(directory, mode="async", durability="disk")


async def trade(market: Replicated, brokers: list[ForkBroker], seed: int, count: int, *symbols: str) -> None:
    """So many requests of each, all answered, and what was said of them heard on both lines."""
    async with trio.open_nursery() as nursery:
        for broker in brokers:
            nursery.start_soon(partial(broker.trade, seed, count, symbols=symbols or SYMBOLS))
    for broker in brokers:
        await broker.wait_answered()
    await market.wait(market._balanced, "both sides of every trade")
    await market.wait(market.lines_agree, "both lines to say the same")


async def restart_gateway(market: Replicated) -> None:
    market.venue.kill("gateway", "g1")
    await market.start("gateway", "g1")
    for broker in market.brokers:
        await broker.wait_until(lambda broker=broker: broker.logons == 2, "its second Logon")


async def start_shard(market: Replicated, *numbers: int) -> None:
    async with trio.open_nursery() as nursery:
        for number in numbers:
            nursery.start_soon(market.start, "shard", market.name(number))


def exec_ids_above(broker: ForkBroker, history: list[bytes]) -> set[bytes]:
    """What it holds of the shard's events and trades above these messages."""
    above = {b"": len(history), b"T": last_trade(history) & COUNTER_MASK}
    found = ((exec_id, _OF_SHARD.fullmatch(exec_id)) for exec_id in broker.exec_ids)
    return {exec_id for exec_id, named in found if named is not None and int(named[2]) > above[named[1]]}


def last_trade(history: list[bytes]) -> int:
    """Its match number: the first field of an `OrderExecuted`, behind the message's length, kind and flags."""
    trades = [message for message in history if message[2] == KINDS[OrderExecuted]]
    return int.from_bytes(trades[-1][4:12], "big")


def common(one: list[bytes], other: list[bytes]) -> int:
    """How many messages two histories begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


async def queried_book(venue: Venue, symbol: str) -> dict[str, list[list[int]]]:
    """As the judge draws it."""
    found = await rows(venue, "book", symbol, "--levels", "100")
    levels = {"bids": ("bid", "bid_qty"), "asks": ("ask", "ask_qty")}
    return {
        side: [[round(float(row[price]) * 10_000), row[quantity]] for row in found if row[price]]
        for side, (price, quantity) in levels.items()
    }


class Tail(NamedTuple):
    """What the primary said last, to readers only."""

    lost: int
    """The replica that said it, and is dead."""
    said: list[bytes]
    """All that it ever said."""
    told: dict[str, set[bytes]]
    """By broker, the ExecIDs of it."""
    session: bytes
    """In which it was said on the feed."""


async def die_with_tail(market: Replicated, before_it: Callable[[], None] = lambda: None) -> Tail:
    """Everybody trades ALPHA, two brokers BETA, also when the primary has no backups any more; then it dies."""
    first, second, third = market.brokers
    await trade(market, [first, second, third], 1, 60, "ALPHA")
    await trade(market, [first, second], 1, 60, "BETA")
    market.tap.fetch_missing(feed_servers(market.venue))  # of the last two sessions only can it be had
    lost = await market.primary()
    for number in market.members.keys() - {lost}:
        market.venue.kill("shard", market.name(number))
    before_it()
    before = {broker.sender: set(broker.exec_ids) for broker in market.brokers}
    await trade(market, [first, second], 2, 60, "BETA")
    told = {broker.sender: broker.exec_ids - before[broker.sender] for broker in market.brokers}
    assert [bool(told[broker.sender]) for broker in (first, second, third)] == [True, True, False]
    market.venue.kill("shard", market.name(lost))
    session = market.tap.packets[-1].header[0]
    return Tail(lost, stream_of_journal(market.directory(lost), 1, "async"), told, session)


@asynccontextmanager
async def trading_into_the_pause(market: Replicated) -> AsyncIterator[None]:
    """Ends when everything that was asked is asked; much of it is refused."""
    async with trio.open_nursery() as nursery:
        for broker in market.brokers:
            nursery.start_soon(partial(broker.trade, 3, 60, rate=20, symbols=SYMBOLS))
        yield


def kept_journals(market: Replicated) -> list[str]:
    return sorted(each.name for each in (market.venue.directory / "var" / "retransmitter-r1").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("disk", ["lost", "kept"])
async def test_a_tail_that_only_readers_heard_is_void_and_everybody_goes_on(tmp_path, disk):
    async with open_replicated(asynchronous(tmp_path / "venue"), ForkBroker) as market:
        first, second, third = market.brokers
        pause, resume = (partial(each, "retransmitter", "r1") for each in (market.venue.pause, market.venue.resume))
        tail = await die_with_tail(market, pause)
        if disk == "lost":
            market.directory(tail.lost).rename(tmp_path / "lost")
        async with trading_into_the_pause(market):
            await start_shard(market, *market.members.keys() - {tail.lost})
            await market.primary()
            resume()
            for broker in (first, second):
                await broker.wait_until(lambda broker=broker: bool(broker.news), "News(35=B)")
        await go_on(market, tail.lost)

        check_void(market, tail)
        assert third.news == []
        for broker in (first, second):
            assert len(broker.news) == -(-len(broker.void) // MAX_LINES)
            for number in broker.news:
                await broker.hear_again(number)
        await check_feed(market, tail.session, tmp_path / "recordings")
        assert kept_journals(market) == ["s1", "s1.forked-000001"]


@pytest.mark.slow
async def test_a_tail_that_a_retransmitter_heard_stays_and_nobody_is_told_of_anything(tmp_path):
    async with open_replicated(asynchronous(tmp_path / "venue"), ForkBroker) as market:
        tail = await die_with_tail(market)
        await market.wait(lambda: kept_of(market.venue, "s1") == tail.said, "the retransmitter to have the tail")
        market.directory(tail.lost).rename(tmp_path / "lost")
        async with trading_into_the_pause(market):
            await start_shard(market, *market.members.keys() - {tail.lost})
            await market.primary()
        await go_on(market, tail.lost)

        assert market.streams["s1"][: len(tail.said)] == tail.said
        assert [broker.news for broker in market.brokers] == [[], [], []]
        await check_feed(market, tail.session, tmp_path / "recordings")
        assert kept_journals(market) == ["s1"]


async def go_on(market: Replicated, lost: int) -> None:
    """Everybody trades on in the same sessions; the replica that was lost comes back, and the gateway another time."""
    await trade(market, market.brokers, 4, 60)
    assert [broker.logons for broker in market.brokers] == [1, 1, 1]
    await start_shard(market, lost)
    await restart_gateway(market)
    await market.come_to_rest()
    assert (await market.position(lost)).role is Role.BACKUP


def check_void(market: Replicated, tail: Tail) -> None:
    """Void is what brokers were told of the tail: all of it, and nothing else."""
    fork = common(tail.said, market.streams["s1"])
    assert fork < len(tail.said), "nothing was lost"
    for broker in market.brokers:
        assert broker.void == tail.told[broker.sender]
        assert broker.void <= exec_ids_above(broker, tail.said[:fork])


async def check_feed(market: Replicated, old_session: bytes, recordings: Path) -> None:
    """Both lines say one new session, from which a reader has the true books.

    There is one between: an epoch begins when the replica that was away comes back, and feeds remember nothing.
    """
    epoch = max(each.epoch for each in (await market.positions()).values())
    session = session_in_epoch(old_session, epoch)
    lines = set(feed_lines(market.venue))
    await market.wait(
        lambda: (
            {line for line, said in list(market.tap.positions) if said == session} == lines and market.lines_agree()
        ),
        "both lines to say the new session",
    )
    judged = market.check(recordings)
    assert judged == judged_books([recordings / f"{session.decode().strip()}.itch"])
    for symbol in SYMBOLS:
        book: dict[str, Any] = judged[symbol]
        assert await queried_book(market.venue, symbol) == {side: book[side] for side in ("bids", "asks")}
