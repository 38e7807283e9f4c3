"""``fixgw query``: what a running exchange holds, read from a majority of each shard's replicas.

What is shown had happened, is committed, and holds everything that was acknowledged before the question
(`recovery.query` says why; in mode async, what that is worth). A question that concerns a participant goes to all
shards, each of which is a sequence of its own: there is no moment that two shards share. A long answer comes in pages,
each read at its own moment: nothing that was there all the time is missed or shown twice.

Only a complete answer is shown. If a shard has no quorum, that is told instead, and the exit code is 1.
"""

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import trio

from fixgw import query_tables
from fixgw.config import Config
from fixgw.config_shards import Shard
from fixgw.link_key import link_key
from fixgw.query_tables import Names, Row
from matching import queries
from matching.ids import shard_of
from recovery.multicast import Address
from recovery.quorum import majority
from recovery.service_client import NoQuorum, TooLong, positions, quorum_answer

_A = TypeVar("_A", queries.OrdersFound, queries.OrderFound, queries.FillsFound, queries.BookFound, queries.DigestFound)


class CannotTell(Exception):
    """Why there is no answer, and what to do."""


class Found(NamedTuple):
    """Of one shard."""

    shard: str
    tx: int
    """After this transaction the state was as the rows show it; of a long answer, the last page's."""
    rows: list[Row]
    about: str = ""
    told: bool = True
    """False: there is no quorum, and the rows show why."""


class Asker:
    """Asks the shards of one exchange."""

    def __init__(self, config: Config, timeout: float) -> None:
        self.config = config
        self.names = Names(config)
        self._timeout = timeout
        if not config.venue.link_key_file.exists():
            raise CannotTell(f"{config.venue.link_key_file}: there is no link key: no exchange has run from this file")
        self._key = link_key(config.venue.link_key_file)

    async def read(self, shard: Shard, question: queries.Query, kind: type[_A]) -> tuple[int, _A]:
        """One quorum read. Raises CannotTell."""
        try:
            found = await quorum_answer(
                shard.id, _controls(shard), self._key, queries.encode(question), timeout=self._timeout
            )
        except TooLong as error:
            raise CannotTell(f"shard {shard.name} has no answer yet: {error}: allow more by --timeout") from error
        except NoQuorum as error:
            raise CannotTell(f"shard {shard.name} has no quorum: {error}") from error
        try:
            answer = queries.decode_answer(found.answer)
        except queries.QueryError as error:
            raise CannotTell(f"shard {shard.name} runs another release: {error}") from error
        if not isinstance(answer, kind):
            text = answer.text if isinstance(answer, queries.QueryRefused) else f"a {type(answer).__name__} came"
            raise CannotTell(f"shard {shard.name} has no answer: {text}")
        return found.tx, answer

    async def orders(self, shard: Shard, participant_id: int) -> Found:
        rows: list[Row] = []
        after = 0
        while True:
            tx, page = await self.read(shard, queries.OpenOrders(participant_id, after), queries.OrdersFound)
            rows += [query_tables.order_row(self.names, order) for order in page.orders]
            if not page.more:
                return Found(shard.name, tx, rows)
            after = page.next_after()

    async def fills(self, shard: Shard, participant_id: int) -> Found:
        rows: list[Row] = []
        after = 0
        while True:
            tx, page = await self.read(shard, queries.Fills(participant_id, after), queries.FillsFound)
            rows += [query_tables.fill_row(self.names, fill) for fill in page.fills]
            if not page.more:
                return Found(shard.name, tx, rows)
            after = page.fills[-1].match_number

    async def order(self, shard: Shard, question: queries.OrderById | queries.OrderByClOrdId) -> Found:
        tx, found = await self.read(shard, question, queries.OrderFound)
        rows = [query_tables.order_row(self.names, found.order)] if found.order is not None else []
        return Found(shard.name, tx, rows)

    async def book(self, shard: Shard, instrument_id: int, levels: int) -> Found:
        tx, book = await self.read(shard, queries.BookDepth(instrument_id, levels), queries.BookFound)
        about = f"{book.symbol.decode()}: {query_tables.trading_state(book)}"
        return Found(shard.name, tx, query_tables.book_rows(book), about)

    async def digest(self, shard: Shard) -> Found:
        tx, found = await self.read(shard, queries.StateDigest(), queries.DigestFound)
        return Found(shard.name, tx, [query_tables.digest_row(found)])

    async def positions(self, shard: Shard) -> Found:
        """Of each replica; not a quorum read, since it is for seeing why there may be none."""
        found = await positions(shard.id, _controls(shard), self._key, timeout=self._timeout)
        rows = [query_tables.position_row(number, position) for number, position in found.items()]
        there = [position for position in found.values() if not isinstance(position, str)]
        voting = [position for position in there if not position.recovering]
        quorum = len(voting) >= majority(len(found))
        about = "" if quorum else f"shard {shard.name} has no quorum: {len(voting)} of {len(found)} replicas can vote"
        return Found(shard.name, max((position.commit_tx for position in there), default=0), rows, about, quorum)


def _controls(shard: Shard) -> dict[int, Address]:
    return {number: member.control for number, member in shard.members.items()}


Ask = Callable[[Shard], Awaitable[Found]]


def _plan(asker: Asker, options: argparse.Namespace) -> tuple[Sequence[Shard], Ask]:
    """Which shards are asked what. Raises LookupError for a name that is not in the configuration."""
    config = asker.config
    match options.what:
        case "orders":
            participant_id = config.participant(options.participant).id
            return config.shards, lambda shard: asker.orders(shard, participant_id)
        case "fills":
            participant_id = config.participant(options.participant).id
            return config.shards, lambda shard: asker.fills(shard, participant_id)
        case "order":
            return _plan_order(asker, options)
        case "book":
            instruments = {each.symbol: each for each in config.instruments}
            if options.symbol not in instruments:
                raise LookupError(f"no instrument is called {options.symbol!r}; there are: {', '.join(instruments)}")
            instrument = instruments[options.symbol]
            return [config.shard(instrument.shard)], lambda shard: asker.book(shard, instrument.id, options.levels)
    shards = [config.shard(options.shard)] if options.shard else config.shards
    return shards, asker.digest if options.what == "digest" else asker.positions


def _plan_order(asker: Asker, options: argparse.Namespace) -> tuple[Sequence[Shard], Ask]:
    """By OrderID(37), which names its shard; or by a session's ClOrdID(11), which any shard may have."""
    config = asker.config
    if options.session is not None:
        sessions = {each.sender_comp_id: each.id for each in config.sessions}
        if options.session not in sessions:
            raise LookupError(f"no session is called {options.session!r}; there are: {', '.join(sessions)}")
        by_name = queries.OrderByClOrdId(sessions[options.session], options.id.encode())
        return config.shards, lambda shard: asker.order(shard, by_name)
    if not options.id.isdecimal():
        raise LookupError(f"{options.id!r} is no OrderID(37): for a ClOrdID(11) say --session, too")
    by_id = queries.OrderById(int(options.id))
    shards = [shard for shard in config.shards if shard.id == shard_of(by_id.order_id)]
    if not shards:
        raise LookupError(f"order {options.id} would be of shard {shard_of(by_id.order_id)}, which there is not")
    return shards, lambda shard: asker.order(shard, by_id)


async def _ask_all(shards: Sequence[Shard], ask: Ask) -> list[Found]:
    """All of them at once; in the order of the file. Raises CannotTell."""
    found: dict[str, Found] = {}
    failures: dict[str, str] = {}

    async def one(shard: Shard) -> None:
        try:
            found[shard.name] = await ask(shard)
        except CannotTell as failure:
            failures[shard.name] = str(failure)

    async with trio.open_nursery() as nursery:
        for shard in shards:
            nursery.start_soon(one, shard)
    if failures:
        raise CannotTell("\n".join(failures[shard.name] for shard in shards if shard.name in failures))
    return [found[shard.name] for shard in shards]


def as_json(config: Config, found: Sequence[Found]) -> str:
    """For programs: what `as_table` shows, with its types."""
    shards = [each._asdict() | {"mode": config.shard(each.shard).mode} for each in found]
    return json.dumps({"shards": shards}, indent=2)


def as_table(config: Config, found: Sequence[Found]) -> str:
    """For people: one table over all shards, and below it from when it is."""
    rows: list[Row] = [{"shard": each.shard, **row} for each in found for row in each.rows]
    lines = [query_tables.table(rows), "", *(each.about for each in found if each.about)]
    for each in found:
        if not (each.told or each.tx):
            continue  # nobody was there to say it
        text = f"{each.shard} as of transaction {each.tx}"
        if config.shard(each.shard).mode == "async":
            text += ", which may still be lost with its primary (mode async)"
        lines.append(text)
    return "\n".join(lines)


def query(config: Config, options: argparse.Namespace) -> int:
    """Ask, and print the answer. Returns the exit code."""
    try:
        asker = Asker(config, options.timeout)
        found = trio.run(partial(_ask_all, *_plan(asker, options)))
    except (CannotTell, LookupError, OSError) as error:
        for line in str(error).splitlines():
            print(f"fixgw: {line}", file=sys.stderr)
        return 1
    print(as_json(config, found) if options.json else as_table(config, found))
    return 0 if all(each.told for each in found) else 1
