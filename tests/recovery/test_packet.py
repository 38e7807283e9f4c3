import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery import packet, record
from recovery.packet import HEARTBEAT, EpochStart, GarbledPacket, PacketHeader, Request
from recovery.record import MAX_PACKET_BYTES, PACKET_HEADER_BYTES

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)


@given(
    st.builds(PacketHeader, u16, u32, st.sampled_from([0, packet.RETRANSMITTED]), u16, u64, u64),
    st.binary(max_size=100),
)
def test_a_packet_reads_back(header, payload):
    data = packet.make_packet(header, payload)
    assert packet.parse_packet(data) == header
    assert data[PACKET_HEADER_BYTES:] == payload


@given(u16, u32, u64, u64, st.builds(EpochStart, u64, u64, u32), u16, u16)
def test_a_heartbeat_reads_back(shard_id, epoch, next_seq, commit_seq, start, owner, unanswered):
    data = packet.make_heartbeat(shard_id, epoch, next_seq, commit_seq, start, owner, unanswered * 1_000_000)
    assert packet.parse_packet(data) == PacketHeader(shard_id, epoch, HEARTBEAT, 0, next_seq, commit_seq)
    assert packet.epoch_start_of(data) == start
    assert packet.primary_of(data) == (owner, unanswered * 1_000_000)


@pytest.mark.parametrize(("unanswered", "told"), [(999_999, 0), (1_999_999, 1), (65_536_000_000, 65_535)])
def test_a_heartbeat_says_whole_milliseconds_up_to_a_minute(unanswered, told):
    data = packet.make_heartbeat(1, 1, 1, 0, EpochStart(), 3, unanswered)
    assert packet.primary_of(data) == (3, told * 1_000_000)
    assert data[packet.PACKET_HEADER_BYTES + 20 :] == b"\0\3" + told.to_bytes(2, "big")


@given(st.builds(Request, u16, u32, st.integers(1, 2**64 - 1), st.integers(1, 0xFFFF)))
def test_a_request_reads_back(request):
    data = packet.make_request(request)
    assert len(data) == packet.REQUEST_BYTES == 24
    assert packet.parse_request(data) == request


def test_headers_are_the_bytes_of_the_table():
    data = packet.make_packet(PacketHeader(3, 5, 2, 1, 41, 44), b"")
    assert data[:28].hex() == "4658020200030001000000050000000000000029000000000000002c"
    assert len(data) == 32
    request = packet.make_request(Request(3, 5, 41, 9))
    assert request[:20].hex() == "4652020000030009000000050000000000000029"


@pytest.mark.parametrize("which", ["packet", "heartbeat", "request"])
def test_any_changed_bit_and_any_cut_is_found(which):
    data, parse = {
        "packet": (packet.make_packet(PacketHeader(1, 1, 0, 1, 1, 1), b"message"), packet.parse_packet),
        "heartbeat": (packet.make_heartbeat(1, 1, 1, 0, EpochStart()), packet.parse_packet),
        "request": (packet.make_request(Request(1, 0, 1, 1)), packet.parse_request),
    }[which]
    parse(data)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(GarbledPacket):
            parse(bytes(changed))
    for size in range(len(data)):
        with pytest.raises(GarbledPacket):
            parse(data[:size])


@pytest.mark.parametrize("header", [PacketHeader(1, 1, HEARTBEAT, 1, 1, 1), PacketHeader(1, 1, HEARTBEAT, 0, 1, 1)])
def test_a_heartbeat_of_the_wrong_shape_is_garbled(header):
    with pytest.raises(GarbledPacket, match="heartbeat"):
        packet.parse_packet(packet.make_packet(header, bytes(19)))


@pytest.mark.parametrize("request_", [Request(1, 0, 0, 1), Request(1, 0, 1, 0)])
def test_a_request_for_nothing_is_garbled(request_):
    with pytest.raises(GarbledPacket, match="nothing"):
        packet.parse_request(packet.make_request(request_))


@given(st.lists(st.integers(record.MIN_MESSAGE_BYTES, record.MAX_MESSAGE_BYTES), max_size=40))
def test_packing_keeps_order_and_bounds(sizes):
    messages = [bytes([i]) * size for i, size in enumerate(sizes)]
    datagrams = packet.pack_messages(1, 2, 0, 10, 5, messages)
    payload, next_seq = b"", 10
    for data in datagrams:
        header = packet.parse_packet(data)
        assert len(data) <= MAX_PACKET_BYTES
        assert header.first_seq == next_seq
        assert header.message_count > 0
        next_seq += header.message_count
        payload += data[PACKET_HEADER_BYTES:]
    assert payload == b"".join(messages)
    assert next_seq == 10 + len(messages)
    for left, right in itertools.pairwise(datagrams):  # no packet has room for the next one's first
        index = packet.parse_packet(right).first_seq - 10
        assert len(left) + sizes[index] > MAX_PACKET_BYTES


@given(st.lists(st.binary(min_size=PACKET_HEADER_BYTES, max_size=100), max_size=8), st.integers(1, 50))
def test_what_tcp_carries_is_cut_into_packets_however_it_comes(datagrams, step):
    data = packet.with_lengths(datagrams)
    found: list[bytes] = []
    rest = b""
    for start in range(0, len(data), step):
        packets, rest = packet.cut_packets(rest + data[start : start + step])
        found += packets
    assert (found, rest) == (datagrams, b"")


@pytest.mark.parametrize("length", [0, 31, 1401, 0xFFFF])
def test_a_length_that_no_packet_has_ends_it(length):
    with pytest.raises(GarbledPacket, match=f"{length} bytes"):
        packet.cut_packets(length.to_bytes(2, "big"))


def test_where_a_packet_says_it_is_from_is_read_before_its_checksum():
    data = packet.make_packet(PacketHeader(7, 3, 0, 1, 10, 9), b"messages")
    assert packet.place(data) == packet.place(data[:-1] + b"?") == (7, 3)
    assert packet.place(data[:31]) is None
    assert packet.place(b"\0" + data[1:]) is None
