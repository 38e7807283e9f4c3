import pytest

from recovery import packet, record, retransmitter
from recovery.packet import MAX_ANSWER_DATAGRAMS, RETRANSMITTED, PacketHeader, Request
from recovery.record import PACKET_HEADER_BYTES
from recovery.retransmitter import ANSWER_BURST, ANSWER_RATE, MAX_ASKERS, Drop, Retransmitter
from tests.recovery.adder import Shard

ASKER = ("10.0.0.1", 5)


@pytest.fixture
def shard() -> Shard:
    shard = Shard()
    for number in range(1000):
        shard.add(number)
    shard.say()
    return shard  # seqs 1 … 3001


@pytest.fixture
def server(shard) -> Retransmitter:
    return Retransmitter({1: shard.primary})


def ask(
    server: Retransmitter, first_seq: int, count: int, epoch: int = 0, shard_id: int = 1, now: int = 0
) -> list[bytes]:
    return server.receive_request(packet.make_request(Request(shard_id, epoch, first_seq, count)), ASKER, now)


def dropped(server: Retransmitter) -> dict[Drop, int]:
    return {drop: count for drop, count in server.dropped.items() if count}


def test_an_answer_is_the_original_bytes_marked_as_retransmitted(server, shard):
    datagrams = ask(server, 100, 50, epoch=1)
    payload, next_seq = b"", 100
    for data in datagrams:
        header = packet.parse_packet(data)
        assert (header.flags, header.epoch, header.commit_seq) == (RETRANSMITTED, 1, 3001)
        assert header.first_seq == next_seq
        next_seq += header.message_count
        payload += data[PACKET_HEADER_BYTES:]
    assert record.split(payload) == shard.primary.store.messages(100, 10**6)[:50]
    assert (server.answered, dropped(server)) == (1, {})


def test_an_answer_is_bounded(server):
    assert len(ask(server, 1, 0xFFFF)) == MAX_ANSWER_DATAGRAMS


def test_nothing_above_the_commit_is_told(server, shard):
    shard.add(1)
    shard.say(commit=False)
    assert ask(server, 3002, 1) == []
    assert dropped(server) == {Drop.ABOVE_COMMIT: 1}
    (data,) = ask(server, 3000, 10)
    assert packet.parse_packet(data).message_count == 2


def test_what_is_not_answered_is_counted_by_reason(server, shard):
    for data in (b"", b"noise", bytes(24)):
        assert server.receive_request(data, ASKER, 0) == []
    assert ask(server, 1, 1, shard_id=2) == []
    assert ask(server, 1, 1, epoch=2) == []
    assert dropped(server) == {Drop.GARBLED: 3, Drop.UNKNOWN_SHARD: 1, Drop.LOWER_EPOCH: 1}


def forget_old(shard: Shard) -> None:
    """Of what was said only the end is kept."""
    store = shard.primary.store
    store.max_bytes = 1000
    while store.first_seq == 1:
        shard.add(1)
    shard.say()


def test_that_something_is_not_kept_is_said_in_an_empty_packet(server, shard):
    forget_old(shard)
    (data,) = ask(server, 7, 500, epoch=1)
    # Without a commit: whoever does not know what this means learns nothing from it.
    assert packet.parse_packet(data) == PacketHeader(1, 1, RETRANSMITTED, 0, 7, 0)
    assert len(data) == PACKET_HEADER_BYTES
    assert (server.answered, dropped(server)) == (0, {Drop.NOT_KEPT: 1})


def test_that_something_is_not_kept_is_said_at_a_bounded_rate(server, shard):
    forget_old(shard)
    said = 0
    while ask(server, 1, 1):
        said += 1
    assert said == ANSWER_BURST - MAX_ANSWER_DATAGRAMS + 1


class Unproven:
    """A server that has heard of a new epoch and not yet whether its history is that epoch's."""

    proven_epoch = 0
    commit_seq = 3001

    def __init__(self, shard: Shard) -> None:
        self.store = shard.primary.store


def test_a_history_that_is_not_proven_is_not_told(shard):
    server = Retransmitter({1: Unproven(shard)})
    assert ask(server, 1, 1) == []
    assert dropped(server) == {Drop.LOWER_EPOCH: 1}


def test_each_asker_has_a_rate(server):
    answers = 0
    while ask(server, 1, 0xFFFF):
        answers += 1
    assert answers == ANSWER_BURST // MAX_ANSWER_DATAGRAMS
    assert dropped(server) == {Drop.OVER_LIMIT: 1}
    assert server.receive_request(packet.make_request(Request(1, 0, 1, 1)), ("10.0.0.2", 5), 0)
    second = 1_000_000_000
    wait = MAX_ANSWER_DATAGRAMS * second // ANSWER_RATE
    assert not ask(server, 1, 0xFFFF, now=wait - 1)
    assert ask(server, 1, 0xFFFF, now=wait)
    assert not ask(server, 1, 0xFFFF, now=wait)
    answers = 0
    while ask(server, 1, 0xFFFF, now=1000 * second):
        answers += 1
    assert answers == ANSWER_BURST // MAX_ANSWER_DATAGRAMS


def test_the_askers_remembered_are_bounded(server, monkeypatch):
    monkeypatch.setattr(retransmitter, "MAX_ASKERS", 10)
    assert MAX_ASKERS > 10
    request = packet.make_request(Request(1, 0, 1, 1))
    for n in range(50):
        server.receive_request(request, ("10.0.0.3", n), n)
    assert [port for _, port in server._askers] == list(range(40, 50))
