"""The reader when history changes: forks, and going on; stale primaries; and long answers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery import gaps, packet, reader, record
from recovery.packet import EpochStart, Request
from recovery.past import Past
from recovery.reader import Reader, StreamForked
from recovery.record import Position
from tests.recovery.history import History, feed, requests

MS = 1_000_000


@pytest.fixture
def history() -> History:
    history = History()
    for n in range(4):
        history.add(b"%d" % n)
    return history  # four transactions of three messages


# Forks, and going on from them


def answer_all(target: Reader, history: History, epoch: int, start: EpochStart) -> tuple[Position, list[int]]:
    """A server answers what is asked for until the reader raises StreamForked; gives the fork, and what comes then."""
    commit = len(history.messages)
    now = 0
    fork = None
    released: list[int] = []
    try:
        feed(target, [history.heartbeat(epoch, commit, start)], now)
    except StreamForked as forked:
        fork = forked.fork
        target.go_back()
    for _ in range(200):
        now += 3 * MS
        target.handle_deadline(now)
        asked = requests(target)
        for _, first, count in asked or [(0, target.position.next_seq, 1)]:
            last = min(first + count - 1, commit)
            for data in history.packets(epoch, first, last, commit, packet.RETRANSMITTED):
                try:
                    released += [message.seq for message in target.receive_datagram(data, now)]
                except StreamForked as forked:
                    assert fork is None, "one fork is told once"
                    fork = forked.fork
                    target.go_back()
        feed_again = target.receive_datagram(history.heartbeat(epoch, commit, start), now)
        released += [message.seq for message in feed_again]
        if fork is not None and target.position.next_seq > commit:
            break
    assert fork is not None
    return fork, released


def forked_histories(common: int, mine_more: int, theirs_more: int) -> tuple[History, History, list[Position]]:
    mine = History()
    ends = []
    for n in range(common):
        mine.add(b"common %d" % n)
        ends.append(mine.sequencer.position)
    theirs = History(other=mine)
    for n in range(mine_more):
        mine.add(b"mine %d" % n)
    for n in range(theirs_more):
        theirs.add(b"theirs %d" % n)
    return mine, theirs, ends


@pytest.mark.parametrize("common", [0, 1, 5, 40])
def test_a_reader_with_a_past_goes_on_from_where_the_epoch_began(common):
    mine, theirs, ends = forked_histories(common, mine_more=3, theirs_more=0)
    start = theirs.start
    theirs.add(b"what is true")
    target = Reader(1, past=Past())
    feed(target, [mine.heartbeat(1, len(mine.messages), EpochStart())])
    feed(target, mine.packets(1, 1, len(mine.messages), commit=len(mine.messages)))
    stood = target.position
    with pytest.raises(StreamForked, match="began at seq") as caught:
        feed(target, [theirs.heartbeat(2, start.seq - 1, start)])
    assert caught.value.fork == ([Position(), *ends][-1])
    assert (target.position, target.proven_epoch) == (stood, 0)
    target.go_back()
    assert (target.position, target.proven_epoch) == (caught.value.fork, 2)
    commit = len(theirs.messages)
    assert feed(target, theirs.packets(2, start.seq, commit, commit)) == [commit - 2, commit - 1, commit]
    assert target.proven_epoch == 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 40), st.integers(2, 60), st.data())
def test_a_fork_that_nobody_announced_is_found_by_halving(common, mine_more, theirs_more, data):
    """The reader slept through the epoch that forked; the present one began somewhere on the other branch."""
    mine, theirs, ends = forked_histories(common, mine_more, theirs_more)
    starts = [EpochStart()]
    history = History()
    history.messages = theirs.messages
    for n in range(len(theirs.messages) // 3):
        end = Position(3 * n + 4, digest_after(theirs.messages[: 3 * n + 3]))
        starts.append(EpochStart(n + 1, *end))
    start = starts[data.draw(st.integers(common + 1, len(starts) - 1))]
    target = Reader(1, past=Past())
    feed(target, [mine.heartbeat(1, len(mine.messages), EpochStart())])
    feed(target, mine.packets(1, 1, len(mine.messages), commit=len(mine.messages)))
    fork, released = answer_all(target, history, 3, start)
    assert fork == [Position(), *ends][-1]
    assert released == list(range(fork.next_seq, len(theirs.messages) + 1))


def digest_after(messages: list[bytes]) -> int:
    digest = 0
    for data in messages:
        digest = record.chain(digest, data)
    return digest


def test_a_restarted_reader_finds_the_fork_in_the_past_that_it_is_given():
    mine, theirs, ends = forked_histories(10, mine_more=5, theirs_more=6)
    end = mine.sequencer.position
    written_down = [ends[2], ends[6], ends[9], end]
    target = Reader(1, end, epoch=1, past=Past(written_down))
    fork, released = answer_all(target, theirs, 2, EpochStart(10, *ends[9]))
    assert fork == ends[9]
    sparse = Reader(1, end, past=Past([ends[2], ends[6], end]))
    fork, released = answer_all(sparse, theirs, 2, EpochStart(10, *ends[9]))
    assert (fork, released[0]) == (ends[6], ends[6].next_seq)  # earlier than the truth, never later


def test_a_higher_epoch_ends_the_search_for_a_fork(history):
    """The epoch that lacked what was released is followed by one whose primary has it."""
    target = Reader(1, past=Past())
    feed(target, [history.heartbeat(1, 12, EpochStart()), *history.packets(1, 1, 12, commit=12)])
    stranger = History()
    for n in range(5):
        stranger.add(b"stranger %d" % n)
    assert feed(target, [stranger.heartbeat(2, 15, stranger.start)]) == []
    assert feed(target, stranger.packets(2, 13, 15, commit=15)) == []  # contradicted: it looks further back
    start = history.start
    history.add(b"more")
    assert feed(target, [history.heartbeat(3, 15, start), *history.packets(3, 13, 15, commit=15)]) == [13, 14, 15]
    assert target.proven_epoch == 3


def test_what_was_released_in_the_same_breath_as_a_fork_is_handed_on_where_it_was(history):
    """The position moves when the owner says so: what it is handed before is written down with where it came from."""
    target = Reader(1, past=Past())
    feed(target, [history.heartbeat(1, 12, EpochStart()), *history.packets(1, 1, 9, commit=9)])
    assert feed(target, history.packets(1, 10, 12, commit=12)) == [10, 11, 12]
    shorter = History()
    shorter.add(b"0")
    with pytest.raises(StreamForked):
        feed(target, [shorter.heartbeat(2, 3, shorter.start)])
    assert target.position == history.sequencer.position
    target.go_back()
    assert target.position == shorter.sequencer.position


# Stale datagrams


def test_a_primary_that_stood_still_is_not_heard_after_a_higher_epoch(history):
    """It wakes up and says what it had ready: packets, commits, heartbeats, and answers under its own epoch."""
    successor = History(other=history)
    start = successor.start
    for n in range(3):
        successor.add(b"successor %d" % n)
    for n in range(3):
        history.add(b"stale %d" % n)
    target = Reader(1)
    feed(target, [history.heartbeat(1, 12, EpochStart()), *history.packets(1, 1, 12, commit=12)])
    feed(target, [successor.heartbeat(2, 12, start)])
    stale = [
        *history.packets(1, 13, 21, commit=21),
        *history.packets(1, 13, 21, 21, packet.RETRANSMITTED),
        packet.make_packet(packet.PacketHeader(1, 1, 0, 0, 22, 21)),
        history.heartbeat(1, 21, EpochStart()),
    ]
    assert feed(target, stale) == []
    assert target.statistics().stale == len(stale)
    assert (target.commit_seq, target.epoch, target.next_deadline()) == (12, 2, None)
    mixed = [data for pair in zip(stale, successor.packets(2, 13, 21, commit=21), strict=False) for data in pair]
    released = [message for data in mixed for message in target.receive_datagram(data, 0)]
    assert [message.seq for message in released] == list(range(13, 22))
    assert all(b"successor" in message.body for message in released)


def test_a_fresh_reader_that_hears_the_stale_primary_first_is_led_by_the_new_one(history):
    """Committed history of the old epoch is released; its tail, which was never committed, is the new primary's."""
    successor = History(other=history)
    start = successor.start
    successor.add(b"successor")
    history.add(b"stale")
    target = Reader(1)
    feed(target, [history.heartbeat(1, 12, EpochStart())])
    assert feed(target, history.packets(1, 1, 15, commit=12)) == list(range(1, 13))
    assert feed(target, successor.packets(2, 13, 15, commit=15)) == []  # not before its start is known
    assert feed(target, history.packets(1, 13, 15, commit=15)) == []
    assert feed(target, [successor.heartbeat(2, 15, start)]) == [13, 14, 15]
    assert target.proven_epoch == 2


def test_a_fresh_reader_that_hears_only_the_tail_of_both_has_the_new_ones(history):
    successor = History(other=history)
    start = successor.start
    successor.add(b"successor")
    history.add(b"stale")
    target = Reader(1)
    feed(target, [*history.packets(1, 13, 15, commit=12), successor.heartbeat(2, 15, start)])
    answers = successor.packets(2, 1, 15, 15, packet.RETRANSMITTED)
    late = history.packets(1, 13, 15, 15, packet.RETRANSMITTED)
    assert feed(target, late + answers[:14] + late + answers[14:]) == list(range(1, 16))


# Long requests


def test_a_reader_that_is_far_behind_asks_once_and_takes_what_comes(history, monkeypatch):
    monkeypatch.setattr(reader, "FAR_BEHIND", 5)
    target = Reader(1)
    assert not target.far_behind()
    feed(target, history.packets(1, 12, 12, commit=12))
    assert not target.far_behind()  # the start of the epoch is not known yet
    feed(target, [history.heartbeat(1, 12, EpochStart())])
    assert target.far_behind()
    assert packet.parse_request(target.begin_catch_up()) == Request(1, 1, 1, 1)
    target.handle_deadline(gaps.GRACE)
    assert (requests(target), target.next_deadline()) == ([], None)
    history.add(b"live")
    assert feed(target, history.packets(1, 13, 15, commit=15)) == []  # comes again
    assert feed(target, history.packets(1, 1, 12, 15, packet.RETRANSMITTED)) == list(range(1, 13))
    target.end_catch_up(0)
    assert target.next_deadline() == gaps.GRACE
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 13, 3)]
    assert feed(target, history.packets(1, 13, 15, 15, packet.RETRANSMITTED)) == [13, 14, 15]
    assert not target.far_behind()


def test_a_long_answer_that_breaks_off_is_asked_for_the_short_way(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 12, EpochStart())])
    target.begin_catch_up()
    feed(target, history.packets(1, 1, 4, 12, packet.RETRANSMITTED))
    target.end_catch_up(0)
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 5, 8)]


def test_a_higher_epoch_ends_a_long_answer(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 12, EpochStart())])
    target.begin_catch_up()
    feed(target, [history.heartbeat(2, 12, EpochStart())])
    assert not target.catching_up
    assert feed(target, history.packets(1, 1, 12, 12, packet.RETRANSMITTED)) == []
    assert feed(target, history.packets(2, 1, 12, 12, packet.RETRANSMITTED)) == list(range(1, 13))


def test_a_reader_without_servers_is_never_far_behind(history, monkeypatch):
    monkeypatch.setattr(reader, "FAR_BEHIND", 5)
    target = Reader(1, server_count=0)
    feed(target, [history.heartbeat(1, 12, EpochStart())])
    assert not target.far_behind()
