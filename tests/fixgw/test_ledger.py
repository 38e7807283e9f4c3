"""The ledger between the streams and its file: rows in the right day, a bounded queue, forks in their turn."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from fixgw import ledger as ledger_process
from fixgw.config import load
from fixgw.ledger import Behind, Delivered, Ledger, Reading, batch
from fixgw.ledger_file import Batch, Cut, LedgerFile, open_ledger
from matching.codes import Side
from matching.commands import EndDay
from recovery.reader import Reader
from recovery.record import Message, Position
from tests.marketdata.stream import SHARD_ID, ShardStream
from tests.venue import Venue


def two_days() -> ShardStream:
    stream = ShardStream()
    stream.start_day(20251121)
    stream.enter(Side.BUY, 100, 100_0000)
    stream.enter(Side.SELL, 40, 100_0000)
    stream.command(EndDay(20251121))
    stream.start_day(20251122, b"251122A001")
    stream.enter(Side.BUY, 100, 100_0000)
    return stream


def delivered(stream: ShardStream, first: int = 0, end: int | None = None) -> Delivered:
    """These transactions of it at once."""
    ends = [before for before, _ in stream.transactions[1:]] + [stream.sequencer.position]
    messages: list[Message] = [message for _, transaction in stream.transactions[first:end] for message in transaction]
    return Delivered(SHARD_ID, messages, ends[(len(ends) if end is None else end) - 1], 1)


def test_rows_stand_in_the_day_in_which_they_happened() -> None:
    stream = two_days()
    made = batch(delivered(stream), 0)
    assert [day for _, day in made.days] == [20251121, 20251122]
    assert {entry.day for entry in made.entries if entry.seq > made.days[1][0]} == {20251122}
    events = [(entry.row.event, entry.day) for entry in made.entries]
    assert events == [
        ("NEW", 20251121),
        ("NEW", 20251121),
        ("TRADE", 20251121),
        ("TRADE", 20251121),
        ("EXPIRED", 20251121),
        ("NEW", 20251122),
    ]
    stamps = [entry.timestamp for entry in made.entries]
    assert stamps == sorted(stamps)
    assert stamps[2] == stamps[3] < stamps[4]  # a trade is one moment for both


def test_a_day_goes_on_in_the_next_batch() -> None:
    stream = two_days()
    last = len(stream.transactions) - 1
    made = batch(delivered(stream, last), 20251122)
    assert [(entry.row.event, entry.day) for entry in made.entries] == [("NEW", 20251122)]
    assert made.days == []


class SlowFile:
    """Stands for the disk: writes when it may, and says what it was given."""

    def __init__(self) -> None:
        self.written: list[Batch | Cut] = []
        self.may_write = trio.Event()

    def place(self, shard_id: int) -> Any:
        raise NotImplementedError

    def day(self, shard_id: int) -> int:
        return 20251121

    def write(self, items: Iterator[Batch | Cut]) -> None:
        trio.from_thread.run(self.may_write.wait)
        self.written += items


@asynccontextmanager
async def writing(tmp_path: Path, file: Any) -> AsyncIterator[Ledger]:
    config = load(Venue(tmp_path / "venue", overrides={"ledgers": [{"name": "l1"}]}).file)
    made = Ledger(config, config.ledger("l1"), file)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made._write)
        yield made
        nursery.cancel_scope.cancel()


async def until_written(ledger: Ledger, position: Position) -> None:
    with trio.fail_after(10):
        while ledger.next_seqs.get(SHARD_ID) != position.next_seq:
            await ledger._room.wait()


async def test_what_waits_for_the_disk_is_bounded_and_is_written_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_process, "MAX_WAITING", 10)
    stream = two_days()
    file = SlowFile()
    async with writing(tmp_path, file) as ledger:
        accepted = 0
        while sum(len(transaction) for _, transaction in stream.transactions[:accepted]) < 10:
            ledger.accept(delivered(stream, accepted, accepted + 1))
            accepted += 1
        with pytest.raises(Behind):
            ledger.accept(delivered(stream, accepted, accepted + 1))
        assert 0 < accepted < len(stream.transactions)
        file.may_write.set()
        end = delivered(stream, 0, accepted).position
        await until_written(ledger, end)
        await ledger._wait_room()
        for at in range(accepted, len(stream.transactions)):
            ledger.accept(delivered(stream, at, at + 1))
            await until_written(ledger, delivered(stream, at, at + 1).position)
    positions = [item.position for item in file.written]
    assert positions == [delivered(stream, at, at + 1).position for at in range(len(stream.transactions))]


async def test_after_a_fork_the_day_is_the_one_that_is_left(tmp_path: Path) -> None:
    stream = two_days()
    with open_ledger(tmp_path, "write") as file:
        async with writing(tmp_path, file) as ledger:
            second_day = next(
                at for at, (before, _) in enumerate(stream.transactions) if before.next_seq >= fork_seq(stream)
            )
            fork = stream.transactions[second_day][0]
            ledger.accept(delivered(stream))
            ledger._put(Cut(SHARD_ID, fork, 2))
            await until_written(ledger, fork)
            check_day(file, 20251121)
            ledger.accept(delivered(stream, second_day))
            await until_written(ledger, stream.sequencer.position)
            check_day(file, 20251122)
            assert file.place(SHARD_ID).position == stream.sequencer.position


def fork_seq(stream: ShardStream) -> int:
    """Of the second day's beginning."""
    return batch(delivered(stream), 0).days[1][0] - 1


def check_day(file: LedgerFile, day: int) -> None:
    assert file.day(SHARD_ID) == day


def test_a_reading_knows_up_to_where_it_was_accepted() -> None:
    stream = two_days()
    reader = Reader(SHARD_ID)
    taken: list[Delivered] = []
    full = False

    def accept(each: Delivered) -> None:
        if full:
            raise Behind
        taken.append(each)

    reading = Reading(reader, accept)
    assert (reading.position, reading.epoch) == (Position(), 0)
    first = delivered(stream, 0, 2)
    reader.position = first.position
    reading.deliver(list(first.messages))
    assert taken[0].position == reading.position == first.position
    full = True
    reader.position = delivered(stream).position
    with pytest.raises(Behind):
        reading.deliver(list(delivered(stream, 2).messages))
    assert reading.position == first.position
