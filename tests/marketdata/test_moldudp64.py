"""MoldUDP64 packets and the sender that makes them."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata import moldudp64
from marketdata.moldudp64 import DownstreamPacket, DownstreamSender, MoldUDP64Error

SECOND = 1_000_000_000
SESSION = b"261121A001"
sessions = st.binary(min_size=10, max_size=10)
messages = st.lists(st.binary(max_size=60), max_size=20)


def sender(now: int = 0, **options: int) -> DownstreamSender:
    return DownstreamSender(SESSION, now=now, **options)


def sent(sender: DownstreamSender) -> list[DownstreamPacket]:
    return [moldudp64.decode_downstream(datagram) for datagram in sender.datagrams_to_send()]


# --- packets ----------------------------------------------------------------------------------------------------------


def test_the_header_is_the_specifications() -> None:
    with (Path(__file__).parent / "transport_layout.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == "MoldUDP64" and row["packet"] == "downstream"]
    fields = {row["field"]: slice(int(row["offset"]), int(row["offset"]) + int(row["length"])) for row in rows}
    data = moldudp64.encode_downstream(SESSION, 0x0102030405060708, [b"x", b"yz"])
    assert data[fields["session"]] == SESSION
    assert data[fields["sequence_number"]] == bytes(range(1, 9))
    assert data[fields["message_count"]] == b"\x00\x02"
    assert data[moldudp64.HEADER_LENGTH :] == b"\x00\x01x\x00\x02yz"


def test_a_request_is_twenty_bytes() -> None:
    data = moldudp64.encode_request(SESSION, 5, 7)
    assert data == SESSION + bytes(7) + b"\x05\x00\x07"
    assert moldudp64.decode_request(data) == (SESSION, 5, 7)
    for wrong in (data[:-1], data + b"\x00", b""):
        with pytest.raises(MoldUDP64Error, match="must be 20"):
            moldudp64.decode_request(wrong)


@given(sessions, st.integers(1, 1 << 63), messages)
def test_round_trip(session: bytes, first: int, blocks: list[bytes]) -> None:
    data = moldudp64.encode_downstream(session, first, blocks)
    assert moldudp64.decode_downstream(data) == (session, first, len(blocks), blocks)


@given(messages.filter(bool), st.data())
def test_a_packet_that_is_cut_or_continued_is_refused(blocks: list[bytes], data: st.DataObject) -> None:
    packet = moldudp64.encode_downstream(SESSION, 1, blocks)
    cut = data.draw(st.integers(0, len(packet) - 1))
    for wrong in (packet[:cut], packet + b"\x00"):
        with pytest.raises(MoldUDP64Error):
            moldudp64.decode_downstream(wrong)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_packet_or_an_error(data: bytes) -> None:
    try:
        packet = moldudp64.decode_downstream(data)
    except MoldUDP64Error:
        return
    header = moldudp64.encode_header(packet.session, packet.sequence_number, packet.message_count)
    assert header + moldudp64.encode_downstream(SESSION, 1, packet.messages)[20:] == data


@pytest.mark.parametrize(("first", "count"), [(0, 0), (0, 0xFFFF), ((1 << 64) - 1, 2)])
def test_numbers_that_cannot_be_are_refused(first: int, count: int) -> None:
    with pytest.raises(MoldUDP64Error, match="held"):
        moldudp64.decode_downstream(moldudp64.encode_header(SESSION, first, count))


def test_session_names() -> None:
    assert moldudp64.session_name("261121A001") == SESSION
    assert moldudp64.session_name("DEMO") == b"DEMO      "
    for wrong in ("", "ELEVEN CHARS", "ÄÖÜ", "A\x00"):
        with pytest.raises(MoldUDP64Error):
            moldudp64.session_name(wrong)


# --- the sender -------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_datagram() -> None:
    feed = sender()
    assert [feed.send_message(m) for m in (b"one", b"two", b"three")] == [1, 2, 3]
    assert feed.datagrams_to_send() == []
    feed.flush(0)
    assert sent(feed) == [(SESSION, 1, 3, [b"one", b"two", b"three"])]
    feed.flush(0)
    assert sent(feed) == []


@given(st.lists(st.one_of(st.none(), st.binary(max_size=80)), max_size=60), st.integers(110, 300))
def test_datagrams_are_full_but_never_too_long(batches: list[bytes | None], max_payload: int) -> None:
    """None stands for the end of a batch."""
    feed = sender(max_payload=max_payload)
    for message in batches:
        if message is None:
            feed.flush(0)
        else:
            feed.send_message(message)
    feed.flush(0)
    datagrams = feed.datagrams_to_send()
    assert all(len(datagram) <= max_payload for datagram in datagrams)
    packets = [moldudp64.decode_downstream(datagram) for datagram in datagrams]
    assert [m for packet in packets for m in packet.messages] == [m for m in batches if m is not None]
    expected = 1
    for packet in packets:
        assert packet.sequence_number == expected
        expected += packet.message_count
    assert feed.next_sequence_number == expected


def test_a_message_that_fills_a_datagram_to_the_byte() -> None:
    feed = sender()
    feed.send_message(bytes(moldudp64.MAX_MESSAGE_LENGTH))
    feed.flush(0)
    assert [len(datagram) for datagram in feed.datagrams_to_send()] == [moldudp64.MAX_PAYLOAD]
    with pytest.raises(AssertionError, match="fits no datagram"):
        feed.send_message(bytes(moldudp64.MAX_MESSAGE_LENGTH + 1))


def test_heartbeats_fill_silence_with_the_next_number() -> None:
    feed = sender()
    assert feed.next_deadline() == 0
    feed.handle_deadline(0)
    assert sent(feed) == [(SESSION, 1, 0, [])]
    assert feed.next_deadline() == SECOND
    feed.send_message(b"m")
    feed.flush(SECOND // 2)
    assert feed.next_deadline() == SECOND + SECOND // 2
    feed.datagrams_to_send()
    feed.handle_deadline(SECOND)
    assert sent(feed) == []
    feed.handle_deadline(SECOND + SECOND // 2)
    assert sent(feed) == [(SESSION, 2, 0, [])]


def test_a_heartbeat_does_not_promise_what_waits_to_be_flushed() -> None:
    feed = sender()
    feed.send_message(b"m")
    feed.handle_deadline(0)
    assert sent(feed) == [(SESSION, 1, 0, [])]


def test_the_end_of_session_is_repeated_for_a_minute() -> None:
    feed = sender()
    feed.send_message(b"last")
    feed.end_session(0)
    now, ends = 0, 0
    assert [packet.message_count for packet in sent(feed)] == [1, 0xFFFF]
    while (deadline := feed.next_deadline()) is not None:
        now = deadline
        feed.handle_deadline(now)
        assert sent(feed) == [(SESSION, 2, 0xFFFF, [])]
        ends += 1
    assert (now, ends) == (60 * SECOND, 60)
    feed.handle_deadline(now + SECOND)
    assert sent(feed) == []
    with pytest.raises(AssertionError):
        feed.send_message(b"late")


def test_a_new_session_numbers_from_one_while_the_old_one_says_it_is_over() -> None:
    feed = sender()
    feed.send_message(b"old")
    feed.start_session(b"261121A002", 0)
    feed.send_message(b"new")
    feed.flush(0)
    assert sent(feed) == [
        (SESSION, 1, 1, [b"old"]),
        (SESSION, 2, 0xFFFF, []),
        (b"261121A002", 1, 1, [b"new"]),
    ]
    feed.handle_deadline(SECOND)
    assert sent(feed) == [(SESSION, 2, 0xFFFF, []), (b"261121A002", 2, 0, [])]
    with pytest.raises(AssertionError):
        feed.start_session(b"261121A002", SECOND)


def test_ending_twice_is_ending_once() -> None:
    feed = sender()
    feed.end_session(0)
    feed.end_session(0)
    assert len(feed.datagrams_to_send()) == 1


def test_a_restarted_sender_skips_what_was_sent() -> None:
    feed = sender()
    feed.skip_messages(41)
    assert feed.send_message(b"m") == 42
    feed.flush(0)
    assert sent(feed) == [(SESSION, 42, 1, [b"m"])]
