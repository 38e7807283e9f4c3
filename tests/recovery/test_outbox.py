import pytest

from recovery import packet
from recovery.outbox import HEARTBEAT_INTERVAL, Outbox
from recovery.packet import HEARTBEAT, EpochStart, PacketHeader

START = EpochStart(4, 11, 0xABC)


def headers(datagrams: list[bytes]) -> list[tuple[int, int, int, int]]:
    """(flags, message_count, first_seq, commit_seq) of each."""
    parsed = [packet.parse_packet(data) for data in datagrams]
    assert all((header.shard_id, header.epoch) == (3, 2) for header in parsed)
    return [(header.flags, header.message_count, header.first_seq, header.commit_seq) for header in parsed]


@pytest.fixture
def outbox() -> Outbox:
    outbox = Outbox(3, 2, START, now=0, owner=6)
    outbox.datagrams_to_send()
    outbox.handle_deadline(0)
    outbox.datagrams_to_send()
    return outbox


def test_the_first_thing_said_is_where_the_epoch_began():
    (data,) = Outbox(3, 2, START, now=0).datagrams_to_send()
    assert headers([data]) == [(HEARTBEAT, 0, 11, 10)]
    assert packet.epoch_start_of(data) == START


def test_a_batch_is_packed_and_carries_the_commit_of_its_end(outbox):
    outbox.append([b"x" * 600] * 3)
    outbox.commit(13)
    assert headers(outbox.datagrams_to_send()) == [(0, 2, 11, 13), (0, 1, 13, 13)]
    assert outbox.datagrams_to_send() == []


def test_a_commit_alone_is_an_empty_packet_once(outbox):
    outbox.append([b"x" * 20] * 2)
    assert headers(outbox.datagrams_to_send()) == [(0, 2, 11, 10)]
    outbox.commit(12)
    assert headers(outbox.datagrams_to_send()) == [(0, 0, 13, 12)]
    assert outbox.datagrams_to_send() == []


def test_heartbeats_go_out_in_silence_and_out_of_it(outbox):
    assert outbox.next_deadline() == HEARTBEAT_INTERVAL
    outbox.append([b"x" * 20])
    outbox.handle_deadline(HEARTBEAT_INTERVAL + 7)
    assert headers(outbox.datagrams_to_send()) == [(0, 1, 11, 10), (HEARTBEAT, 0, 12, 10)]
    assert outbox.next_deadline() == 2 * HEARTBEAT_INTERVAL + 7
    outbox.commit(11)
    outbox.handle_deadline(2 * HEARTBEAT_INTERVAL + 7)
    assert headers(outbox.datagrams_to_send()) == [(HEARTBEAT, 0, 12, 11)]  # no empty packet beside it


def test_a_heartbeat_says_what_was_told_when_it_was_due(outbox):
    outbox.handle_deadline(HEARTBEAT_INTERVAL - 1, 7_000_000)
    assert outbox.datagrams_to_send() == []
    outbox.handle_deadline(HEARTBEAT_INTERVAL, 8_000_000)
    outbox.handle_deadline(HEARTBEAT_INTERVAL + 1, 9_000_000)
    (data,) = outbox.datagrams_to_send()
    assert packet.primary_of(data) == (6, 8_000_000)


def test_a_new_epoch_begins_with_the_uncommitted_tail():
    outbox = Outbox(3, 2, START, now=0, tail=[b"a" * 20, b"b" * 20, b"c" * 20])
    assert headers(outbox.datagrams_to_send()) == [(0, 3, 8, 7), (HEARTBEAT, 0, 11, 7)]
    outbox.commit(10)
    assert headers(outbox.datagrams_to_send()) == [(0, 0, 11, 10)]


def test_a_commit_never_goes_back_or_ahead(outbox):
    outbox.append([b"x" * 20])
    outbox.commit(11)
    for seq in (10, 12):
        with pytest.raises(AssertionError):
            outbox.commit(seq)
    assert packet.parse_packet(outbox.datagrams_to_send()[0]) == PacketHeader(3, 2, 0, 1, 11, 11)
