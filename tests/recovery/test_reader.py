"""The reader against primaries that are late, deposed, wrong, and networks that lose, repeat and reorder."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery import gaps, packet, reader, record
from recovery.outbox import Outbox
from recovery.packet import EpochStart, PacketHeader, Request
from recovery.reader import Reader, StreamDiverged, StreamForked
from recovery.record import Message, Position, Sequencer
from recovery.retransmitter import Retransmitter
from tests.recovery.adder import Shard
from tests.recovery.history import History, feed, requests

MS = 1_000_000


@pytest.fixture
def history() -> History:
    history = History()
    for n in range(4):
        history.add(b"%d" % n)
    return history  # four transactions of three messages


def test_it_gives_committed_transactions_as_they_come():
    shard = Shard()
    target = Reader(1)
    released: list[Message] = []
    for number in range(5):
        shard.add(number)
        for data in shard.say():
            released += target.receive_datagram(data, 0)
    assert [m.seq for m in released] == list(range(1, 17))
    assert released == [
        record.parse(1, m.seq, d) for m, d in zip(released, shard.primary.store.messages(1, 10**6), strict=True)
    ]
    assert target.position == Position(17, shard.primary._sequencer.digest)
    assert target.next_deadline() is None


def test_nothing_above_the_commit_and_no_part_of_a_transaction_is_released(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart())])
    assert feed(target, history.packets(1, 1, 8, commit=0)) == []
    assert feed(target, history.packets(1, 9, 9, commit=3)) == [1, 2, 3]
    assert feed(target, history.packets(1, 10, 11, commit=12)) == [4, 5, 6, 7, 8, 9]
    assert target.position.next_seq == 10
    assert feed(target, history.packets(1, 12, 12, commit=12)) == [10, 11, 12]


def test_an_empty_packet_releases_what_was_held_back():
    shard = Shard()
    target = Reader(1)
    feed(target, shard.say())
    shard.add(1)
    assert feed(target, shard.say(commit=False)) == []
    assert feed(target, shard.say()) == [2, 3, 4]


def test_nothing_is_released_before_the_epochs_start_is_known(history):
    target = Reader(1)
    assert feed(target, history.packets(1, 1, 12, commit=12)) == []
    assert feed(target, [history.heartbeat(1, 12, EpochStart())]) == list(range(1, 13))


def test_order_is_restored_and_duplicates_are_dropped(history):
    target = Reader(1)
    packets = history.packets(1, 1, 12, commit=12)
    shuffled = packets * 2
    random.Random(5).shuffle(shuffled)
    assert feed(target, [history.heartbeat(1, 0, EpochStart()), *shuffled]) == list(range(1, 13))
    assert target.statistics().duplicates == 12
    assert requests(target) == []


def test_wrong_checksums_foreign_shards_and_lower_epochs_are_counted_and_dropped(history):
    target = Reader(1)
    feed(target, [history.heartbeat(2, 0, EpochStart())])
    good = history.packets(2, 1, 3, commit=3)
    bad = bytearray(good[1])
    bad[40] ^= 4
    foreign = packet.pack_messages(9, 2, 0, 1, 3, History(9).messages or [b"x" * 8])
    stale = history.packets(1, 2, 2, commit=3)
    assert feed(target, [good[0], bytes(bad), *foreign, *stale, good[2]]) == []
    statistics = target.statistics()
    assert (statistics.garbled, statistics.foreign, statistics.stale) == (1, 1, 1)
    assert feed(target, good[1:2]) == [1, 2, 3]


def test_a_packet_whose_checksum_is_right_and_whose_message_is_not_is_garbled(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart())])
    damaged = history.messages[0][:-1] + b"\0"
    assert feed(target, packet.pack_messages(1, 1, 0, 1, 3, [damaged])) == []
    assert target.statistics().garbled == 1
    assert feed(target, history.packets(1, 1, 3, commit=3)) == [1, 2, 3]


# Gaps


def test_a_gap_is_asked_for_after_a_grace_then_of_the_next_server_and_of_all_again_with_back_off(history):
    target = Reader(1, server_count=2)
    feed(target, [history.heartbeat(1, 0, EpochStart())])
    feed(target, history.packets(1, 5, 6, commit=6), now=0)
    assert requests(target) == []
    due = target.next_deadline()
    assert due == gaps.GRACE
    target.handle_deadline(due)
    assert requests(target) == [(0, 1, 4)]
    waits = []
    for server in (1, 0, 1, 0):
        asked = target.next_deadline()
        target.handle_deadline(asked)
        assert requests(target) == [(server, 1, 4)]
        waits.append(asked - due)
        due = asked
    assert waits == [10 * MS, 10 * MS, 20 * MS, 20 * MS]
    assert feed(target, history.packets(1, 1, 4, 6, packet.RETRANSMITTED), due) == list(range(1, 7))
    assert target.next_deadline() is None
    statistics = target.statistics()
    assert (statistics.gaps_found, statistics.gaps_filled, statistics.requests, statistics.timeouts) == (1, 1, 5, 4)


def test_back_off_has_a_ceiling(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 12, EpochStart())])
    now = 0
    for _ in range(20):
        now = target.next_deadline()
        target.handle_deadline(now)
    assert target.next_deadline() - now == gaps.MAX_TIMEOUT


def not_kept(epoch: int, first_seq: int) -> bytes:
    """A server's word that it does not have `first_seq`; a commit is not in it, but might be if it were forged."""
    return packet.make_packet(PacketHeader(1, epoch, packet.RETRANSMITTED, 0, first_seq, 12))


def test_a_server_that_has_nothing_of_it_is_not_waited_for(history):
    target = Reader(1, server_count=3)
    feed(target, [history.heartbeat(1, 0, EpochStart())])
    feed(target, history.packets(1, 5, 6, commit=6), now=0)
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 1, 4)]
    assert feed(target, [not_kept(1, 1)], gaps.GRACE + 1) == []
    assert requests(target) == [(1, 1, 4)]
    assert feed(target, [not_kept(1, 1)], gaps.GRACE + 2) == []
    assert requests(target) == [(2, 1, 4)]
    assert target.statistics().timeouts == 0


def test_a_servers_word_that_it_has_nothing_moves_nothing_else(history):
    target = Reader(1, server_count=3)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 6, commit=3)])
    before = target.position, target.epoch, target.commit_seq, target.start
    assert feed(target, [not_kept(epoch, seq) for epoch in (1, 2) for seq in (1, 4, 7, 2**64 - 1)]) == []
    assert (target.position, target.epoch, target.commit_seq, target.start) == before
    assert (requests(target), target.next_deadline()) == ([], None)


def test_a_lost_tail_is_found_by_the_heartbeat(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 9, commit=9)])
    feed(target, [history.heartbeat(1, 12, EpochStart())])
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 10, 3)]


def test_nothing_above_the_commit_is_asked_for(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart())])
    feed(target, history.packets(1, 8, 9, commit=3))
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 1, 3)]
    assert feed(target, history.packets(1, 1, 3, 3, packet.RETRANSMITTED), gaps.GRACE) == [1, 2, 3]
    assert target.next_deadline() is None
    feed(target, [history.heartbeat(1, 9, EpochStart())], gaps.GRACE)
    target.handle_deadline(2 * gaps.GRACE)
    assert requests(target) == [(0, 4, 4)]


def test_a_lost_part_of_an_answer_is_asked_for_again_after_a_grace(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 12, EpochStart())])
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 1, 12)]
    now = gaps.GRACE + MS
    feed(target, history.packets(1, 4, 12, 12, packet.RETRANSMITTED), now)
    assert target.next_deadline() == now + gaps.GRACE
    target.handle_deadline(now + gaps.GRACE)
    assert requests(target) == [(0, 1, 3)]


def test_an_answer_at_its_limit_is_followed_at_once_by_the_next_request():
    history = History()
    for n in range(20):
        history.add(b"%d" % n)
    target = Reader(1)
    feed(target, [history.heartbeat(1, 60, EpochStart())])
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 1, 60)]
    feed(target, history.packets(1, 1, packet.MAX_ANSWER_DATAGRAMS, 60, packet.RETRANSMITTED), gaps.GRACE)
    assert requests(target) == [(0, packet.MAX_ANSWER_DATAGRAMS + 1, 60 - packet.MAX_ANSWER_DATAGRAMS)]


def test_a_reader_without_servers_only_waits(history):
    target = Reader(1, server_count=0)
    feed(target, [history.heartbeat(1, 12, EpochStart())])
    assert target.next_deadline() is None
    target.handle_deadline(10**12)
    assert requests(target) == []


def test_what_lies_beyond_the_buffer_is_asked_for_later(history, monkeypatch):
    monkeypatch.setattr(reader, "MAX_BUFFERED", 6)
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart())])
    feed(target, history.packets(1, 4, 12, commit=12))
    assert len(target._ahead) == 3
    assert target.statistics().postponed == 6
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 1, 3)]
    assert feed(target, history.packets(1, 1, 3, 12, packet.RETRANSMITTED), gaps.GRACE) == [1, 2, 3, 4, 5, 6]
    target.handle_deadline(2 * gaps.GRACE)
    assert requests(target) == [(0, 7, 6)]


def test_uncommitted_messages_in_order_are_bounded_too(history, monkeypatch):
    monkeypatch.setattr(reader, "MAX_BUFFERED", 6)
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart())])
    feed(target, history.packets(1, 1, 12, commit=0))
    assert target._next == 7
    assert feed(target, [history.heartbeat(1, 12, EpochStart())]) == [1, 2, 3, 4, 5, 6]
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 7, 6)]


# Epochs


def test_a_higher_epoch_discards_what_was_not_released_and_collects_it_again(history):
    """Numbers 4 … 6 were said by the old primary, never committed, and are given to another command by the new one."""
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 6, commit=3)])
    assert target.position.next_seq == 4
    other = History()
    other.messages = history.messages[:3]
    other.sequencer = Sequencer(1, 2, target.position)
    start = other.start
    other.add(b"another command", events=4)
    assert feed(target, [other.heartbeat(2, 3, start)]) == []
    assert feed(target, other.packets(2, 4, 7, commit=3)) == []
    bodies = [m.body for data in other.packets(2, 8, 8, commit=8) for m in target.receive_datagram(data, 0)]
    assert bodies[1:] == [b"another command"] * 4


def test_a_commit_covers_only_what_came_under_its_own_epoch(history):
    """Had the reader kept 4 … 6 of epoch 1, the commit of epoch 2 would release bytes that were never committed."""
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 6, commit=3)])
    other = History()
    other.messages, other.sequencer = history.messages[:3], Sequencer(1, 2, target.position)
    start = other.start
    other.add(b"another command")
    assert feed(target, [other.heartbeat(2, 6, start)]) == []
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 4, 3)]
    released = [m for data in other.packets(2, 4, 6, 6, packet.RETRANSMITTED) for m in target.receive_datagram(data, 0)]
    assert released[1].body == b"another command"


def other_history(history: History, target: Reader) -> tuple[History, EpochStart]:
    """As `history` up to where the reader stands, then another command's three messages; and where it begins."""
    other = History()
    other.messages = history.messages[: target.position.next_seq - 1]
    other.sequencer = Sequencer(1, 2, target.position)
    start = other.start
    other.add(b"another command")
    return other, start


def test_what_was_received_out_of_order_is_discarded_too(history):
    """Numbers 5 and 6 of epoch 1 wait for 4 when epoch 2 begins, in which all three are another command's."""
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 3, commit=3)])
    feed(target, history.packets(1, 5, 6, commit=3))
    other, start = other_history(history, target)
    assert feed(target, [other.heartbeat(2, 3, start)]) == []
    shuffled = [other.packets(2, seq, seq, commit=6)[0] for seq in (6, 4, 5)]
    released = [m for data in shuffled for m in target.receive_datagram(data, 0)]
    assert [m.body for m in released[1:]] == [b"another command"] * 2


def test_half_a_transaction_is_discarded_too(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 5, commit=3)])
    other, start = other_history(history, target)
    assert feed(target, [other.heartbeat(2, 3, start), *other.packets(2, 4, 6, commit=6)]) == [4, 5, 6]


def test_the_owner_of_an_epoch_is_known_from_its_heartbeats():
    history = History()
    history.add(b"one")
    target = Reader(1)
    feed(target, history.packets(1, 1, 3, commit=0))
    assert target.owner == 0
    feed(target, [history.heartbeat(1, 0, EpochStart(), owner=2)])
    assert target.owner == 2
    feed(target, history.packets(2, 1, 3, commit=0))
    assert (target.epoch, target.owner) == (2, 0)
    feed(target, [history.heartbeat(1, 0, EpochStart(), owner=2)])
    assert target.owner == 0


def test_the_commit_of_an_older_epoch_is_forgotten(history):
    """Epoch 1 said that 6 is committed, but nobody else had it: epoch 2's 4 … 6 are another command's, uncommitted."""
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 3, commit=6)])
    other, start = other_history(history, target)
    assert feed(target, [other.heartbeat(2, 3, start), *other.packets(2, 4, 6, commit=3)]) == []
    assert feed(target, [other.heartbeat(2, 6, start)]) == [4, 5, 6]


def test_the_gaps_of_an_older_epoch_are_forgotten(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 3, commit=3)])
    feed(target, history.packets(1, 8, 9, commit=9))
    feed(target, [history.heartbeat(2, 12, EpochStart(1, 4, target.position.digest))])
    target.handle_deadline(gaps.GRACE)
    assert requests(target) == [(0, 4, 9)]


def test_the_uncommitted_tail_is_said_again_under_the_new_epoch(history):
    """The new primary has the tail: the same bytes, committed in its epoch; the reader sees each once."""
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 12, commit=6)])
    outbox = Outbox(1, 2, history.start, now=0, tail=history.messages[6:])
    assert outbox.commit_seq == 6
    assert feed(target, outbox.datagrams_to_send()) == []
    outbox.commit(12)
    assert feed(target, outbox.datagrams_to_send()) == [7, 8, 9, 10, 11, 12]


def test_an_epoch_is_kept_until_a_higher_one_comes(history):
    target = Reader(1)
    feed(target, [history.heartbeat(3, 0, EpochStart())])
    assert feed(target, history.packets(2, 1, 12, commit=12)) == []
    assert target.statistics().stale == 12
    assert target.epoch == 3


def test_a_reader_that_released_what_the_new_epoch_does_not_have_is_forked(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 12, EpochStart()), *history.packets(1, 1, 12, commit=12)])
    shorter = History()
    shorter.add(b"0")
    with pytest.raises(StreamForked, match="released up to seq 12, but epoch 2 began at seq 4"):
        feed(target, [shorter.heartbeat(2, 3, shorter.start)])


def test_the_same_length_with_another_chain_is_a_fork(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 12, EpochStart()), *history.packets(1, 1, 12, commit=12)])
    start = history.start._replace(digest=history.start.digest ^ 1)
    with pytest.raises(StreamForked, match="chain"):
        feed(target, [history.heartbeat(2, 12, start)])


def test_a_fork_below_the_start_shows_at_the_first_digest():
    """The reader slept through an epoch that forked before where it stands, and hears only the next one."""
    mine, theirs = History(), History()
    for n in range(2):
        mine.add(b"mine %d" % n)
        theirs.add(b"theirs %d" % n)
    target = Reader(1)
    feed(target, [mine.heartbeat(1, 6, EpochStart()), *mine.packets(1, 1, 6, commit=6)])
    theirs.add(b"more")
    start = theirs.start
    assert feed(target, [theirs.heartbeat(3, 9, start)]) == []
    assert target.proven_epoch == 0
    with pytest.raises(StreamForked, match="not its history"):
        feed(target, theirs.packets(3, 7, 9, commit=9))


def test_a_wrong_digest_within_an_epoch_is_a_divergence(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 3, commit=3)])
    wrong = History()
    wrong.messages = list(history.messages[:3])
    wrong.sequencer = Sequencer(1, 2, Position(4, 12345))
    wrong.add(b"x")
    with pytest.raises(StreamDiverged, match="digest"):
        feed(target, wrong.packets(1, 4, 6, commit=6))


def test_a_wrong_digest_after_a_right_one_is_a_divergence_in_a_later_epoch_too(history):
    target = Reader(1, position=Position(1, 0))
    feed(target, [history.heartbeat(1, 0, EpochStart()), *history.packets(1, 1, 3, commit=3)])
    good, bad = History(), History()
    good.messages, good.sequencer = list(history.messages[:3]), Sequencer(1, 2, target.position)
    start = good.start
    good.add(b"good")
    bad.messages, bad.sequencer = list(good.messages), Sequencer(1, 3, Position(7, 99))
    bad.add(b"bad")
    feed(target, [good.heartbeat(2, 3, start), *good.packets(2, 4, 6, commit=3)])
    with pytest.raises(StreamDiverged):
        feed(target, bad.packets(2, 7, 9, commit=3))


def test_transactions_out_of_shape_are_a_divergence(history):
    for first in (2, 3):
        target = Reader(1, Position(first, 0))
        with pytest.raises((StreamDiverged, StreamForked), match="out of place"):
            feed(target, history.packets(1, first, first, commit=0))


def test_a_start_that_the_history_does_not_meet_is_a_divergence(history):
    for start in (EpochStart(2, 6, 0), EpochStart(2, 7, 1)):  # inside a transaction; another chain
        target = Reader(1)
        feed(target, [history.heartbeat(1, 0, start)])
        with pytest.raises(StreamDiverged, match="began at"):
            feed(target, history.packets(1, 1, 12, commit=12))


def test_an_epoch_with_two_beginnings_is_a_divergence(history):
    target = Reader(1)
    feed(target, [history.heartbeat(1, 0, EpochStart())])
    with pytest.raises(StreamDiverged, match="epoch 1 began at"):
        feed(target, [history.heartbeat(1, 0, EpochStart(1, 4, 0))])


def test_a_reader_goes_on_from_where_it_stood(history):
    first = Reader(1)
    feed(first, [history.heartbeat(1, 6, EpochStart()), *history.packets(1, 1, 6, commit=6)])
    for epoch in (0, first.proven_epoch):
        second = Reader(1, first.position, epoch=epoch)
        feed(second, [history.heartbeat(1, 12, EpochStart())])
        assert feed(second, history.packets(1, 1, 12, commit=12)) == [7, 8, 9, 10, 11, 12]


def test_a_fork_between_two_lives_of_a_reader_is_found(history):
    first = Reader(1)
    feed(first, [history.heartbeat(1, 12, EpochStart()), *history.packets(1, 1, 12, commit=12)])
    shorter = History()
    shorter.add(b"0")
    start = shorter.start
    knows = Reader(1, first.position, epoch=first.proven_epoch)
    with pytest.raises(StreamForked, match="began at seq 4"):
        feed(knows, [shorter.heartbeat(2, 3, start)])
    for n in range(4):
        shorter.add(b"other %d" % n)
    does_not = Reader(1, first.position)
    assert feed(does_not, [shorter.heartbeat(2, 15, start)]) == []
    with pytest.raises(StreamForked, match="not its history"):
        feed(does_not, shorter.packets(2, 13, 15, commit=15))


# The whole of it


class Network:
    """A primary, a server and a reader; a seed drops, repeats and delays what passes between them."""

    def __init__(self, seed: int, loss: float, jitter: int = 3 * MS) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.jitter = jitter
        self.shard = Shard()
        self.server = Retransmitter({1: self.shard.primary})
        self.reader = Reader(1, server_count=2)
        self.released: list[Message] = []
        self.under_way: list[tuple[int, int, bytes]] = []
        self.count = 0

    def send(self, datagrams: list[bytes], now: int) -> None:
        for data in datagrams:
            if self.random.random() < self.loss:
                continue
            for _ in range(1 + (self.random.random() < 0.05)):
                self.count += 1
                self.under_way.append((now + self.random.randrange(self.jitter), self.count, data))

    def run(self, now: int) -> None:
        arrived = sorted(item for item in self.under_way if item[0] <= now)
        self.under_way = [item for item in self.under_way if item[0] > now]
        for _, _, data in arrived:
            self.released += self.reader.receive_datagram(data, now)
        deadline = self.reader.next_deadline()
        if deadline is not None and deadline <= now:
            self.reader.handle_deadline(now)
        for server, data in self.reader.datagrams_to_send():
            if server == 0 and self.random.random() >= self.loss:  # the other server is dead
                self.send(self.server.receive_request(data, ("reader", 1), now), now)

    def finish(self, now: int) -> int:
        """Heartbeats only, until the reader has everything; gives the time it took."""
        end = self.shard.primary.next_seq
        began = now
        while self.reader.position.next_seq < end:
            now += MS
            assert now - began < 60_000 * MS, self.reader.statistics()
            if now % (50 * MS) == 0:
                self.send(self.shard.heartbeat(), now)
            self.run(now)
        return now - began


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 0.3), st.integers(0, 3))
def test_whatever_the_network_does_everything_comes_once_and_in_order(seed, loss, hold):
    network = Network(seed, loss)
    for step in range(120):
        for number in range(network.random.randrange(6)):
            network.shard.add(number, step)
        network.send(network.shard.say(commit=step % (hold + 1) == 0), step * MS)
        network.run(step * MS)
    network.send(network.shard.say(), 120 * MS)
    network.finish(150 * MS)
    stored = network.shard.primary.store.messages(1, 10**9)
    assert network.released == [record.parse(1, n + 1, data) for n, data in enumerate(stored)]


def test_a_late_joiner_catches_up_at_the_speed_of_requests_while_the_stream_goes_on():
    network = Network(1, 0.0, jitter=1)
    for number in range(5000):
        network.shard.add(number)
        if network.shard.primary.uncommitted > 1000:
            network.shard.say()
    network.shard.say()
    for step in range(100):
        network.shard.add(step)
        network.send(network.shard.say(), step * MS)
        network.run(step * MS)
    network.finish(100 * MS)
    assert [m.seq for m in network.released] == list(range(1, network.shard.primary.next_seq))
    statistics = network.reader.statistics()
    assert statistics.timeouts == 0
    assert statistics.requests < 40  # 15,000 messages by 512, and the odd split


def test_a_request_says_which_epoch_may_answer(history):
    target = Reader(1)
    feed(target, [history.heartbeat(4, 12, EpochStart())])
    target.handle_deadline(gaps.GRACE)
    ((_, data),) = target.datagrams_to_send()
    assert packet.parse_request(data) == Request(1, 4, 1, 12)
