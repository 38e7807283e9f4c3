"""What whoever reads a stream is told beside its messages."""

import logging
from contextlib import closing

import pytest
import trio

from recovery import stall, stream
from recovery.multicast import Destination, Sender, open_receiver
from recovery.packet import EpochStart
from recovery.past import Past
from recovery.reader import Reader, StreamForked
from recovery.record import Position
from recovery.stream import read_stream
from tests.recovery.history import History, feed

LOCAL = ("127.0.0.1", 0)


async def test_a_fork_shows_a_higher_epoch_and_what_was_released_before_it_is_delivered():
    common = History()
    common.add(b"common")
    lost = History(other=common)
    lost.add(b"lost")
    commit = len(lost.messages)
    epochs: list[tuple[int, int]] = []
    delivered: list[object] = []
    with closing(open_receiver(LOCAL)) as receiver, closing(open_receiver(LOCAL)) as asking:
        with Sender(Destination((receiver.getsockname(),))) as sender:
            sender.send_nowait([lost.heartbeat(1, commit, EpochStart()), *lost.packets(1, 1, commit, commit)])
            sender.send_nowait([common.heartbeat(2, len(common.messages), common.start, owner=3)])
        with pytest.raises(StreamForked):
            await read_stream(
                Reader(1, past=Past()), receiver, asking, (), delivered.extend, lambda *told: epochs.append(told)
            )
    assert epochs[-1] == (2, 3)
    assert len(delivered) == commit


async def test_after_a_fork_nothing_is_read_before_the_reader_was_told_to_go_back():
    """Both sockets have something when the first of them shows the fork."""
    history = History()
    history.add(b"common")
    lost = History(other=history)
    lost.add(b"lost")
    start = history.start
    history.add(b"true")
    reader = Reader(1, past=Past())
    feed(reader, [lost.heartbeat(1, 6, EpochStart()), *lost.packets(1, 1, 6, 6)])
    delivered: list[object] = []
    with closing(open_receiver(LOCAL)) as receiver, closing(open_receiver(LOCAL)) as asking:
        with Sender(Destination((receiver.getsockname(), asking.getsockname()))) as sender:
            sender.send_nowait([history.heartbeat(2, 6, start), *history.packets(2, 4, 6, 6)])
        with pytest.raises(StreamForked) as caught:
            await read_stream(reader, receiver, asking, (), delivered.extend)
    assert delivered == []
    reader.go_back()
    assert reader.position == caught.value.fork == Position(start.seq, start.digest)


async def test_messages_that_nobody_gives_are_told_with_who_is_asked_and_again_when_they_come(
    nursery, caplog, monkeypatch
):
    monkeypatch.setattr(stall, "STALL", 0)
    monkeypatch.setattr(stream, "STALL_LOOK_SECONDS", 0.001)
    history = History()
    history.add(b"one")
    history.add(b"two")
    commit = len(history.messages)
    delivered: list[object] = []

    async def told(text: str) -> str:
        with trio.fail_after(10):
            while not (found := [each.getMessage() for each in caplog.records if text in each.getMessage()]):
                await trio.lowlevel.checkpoint()
        (said,) = found
        return said

    caplog.set_level(logging.INFO)
    with closing(open_receiver(LOCAL)) as receiver, closing(open_receiver(LOCAL)) as asking:
        nursery.start_soon(read_stream, Reader(1), receiver, asking, (("127.0.0.1", 9),), delivered.extend)
        with Sender(Destination((receiver.getsockname(),))) as sender:
            sender.send_nowait([history.heartbeat(1, commit, EpochStart())])
            assert (await told("nothing is passed on")).endswith(
                f": messages 1 to {commit} are missing, and nobody gives them (127.0.0.1:9)"
            )
            assert delivered == []
            sender.send_nowait(history.packets(1, 1, commit, commit))
            assert (await told("goes on")).startswith("shard 1: goes on: message 1 came after ")
            assert len(delivered) == commit
        nursery.cancel_scope.cancel()
