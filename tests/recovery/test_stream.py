"""What whoever reads a stream is told beside its messages."""

from contextlib import closing

import pytest

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
