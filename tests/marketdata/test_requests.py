"""The request server: what it answers, and what it does not."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata import moldudp64, requests
from marketdata.moldudp64 import END_OF_SESSION, decode_downstream, encode_request
from marketdata.requests import CHUNK_MESSAGES, Drop, RequestServer, SessionStore

SECOND = 1_000_000_000
SESSION = b"261121A001"
VENDOR = "10.1.2.3"


def store_of(messages: list[bytes]) -> SessionStore:
    store = SessionStore()
    for message in messages:
        store.append(message)
    return store


MESSAGES = [b"message %d" % n for n in range(1, 101)]


def server(**options: int) -> RequestServer:
    server = RequestServer([ip_network("10.0.0.0/8"), ip_network("fd00::/8")], **options)
    server.add_session(SESSION, store_of(MESSAGES))
    return server


def test_a_range_comes_back_as_an_ordinary_packet() -> None:
    answer = server().receive_request(encode_request(SESSION, 3, 2), VENDOR, 0)
    assert answer == moldudp64.encode_downstream(SESSION, 3, MESSAGES[2:4])


def test_the_answer_ends_where_the_session_ends() -> None:
    answer = server().receive_request(encode_request(SESSION, 99, 50), VENDOR, 0)
    assert answer == moldudp64.encode_downstream(SESSION, 99, MESSAGES[98:])


@given(st.lists(st.binary(max_size=90), min_size=1, max_size=80), st.data())
def test_the_answer_is_one_datagram_as_full_as_it_can_be(messages: list[bytes], data: st.DataObject) -> None:
    server = RequestServer([ip_network("10.0.0.0/8")], max_payload=200)
    server.add_session(SESSION, store_of(messages))
    first = data.draw(st.integers(1, len(messages)))
    count = data.draw(st.integers(1, 100))
    answer = server.receive_request(encode_request(SESSION, first, count), VENDOR, 0)
    assert answer is not None
    assert len(answer) <= 200
    packet = decode_downstream(answer)
    wanted = messages[first - 1 : first - 1 + count]
    got = packet.messages
    assert (packet.sequence_number, got) == (first, wanted[: len(got)])
    assert len(got) == len(wanted) or len(answer) + 2 + len(wanted[len(got)]) > 200


@pytest.mark.parametrize(
    ("data", "address", "reason"),
    [
        (encode_request(SESSION, 1, 1), "192.168.0.1", Drop.SOURCE_NOT_ALLOWED),
        (encode_request(SESSION, 1, 1), "::1", Drop.SOURCE_NOT_ALLOWED),
        (encode_request(SESSION, 1, 1), "vendor.example", Drop.SOURCE_NOT_ALLOWED),
        (b"", VENDOR, Drop.NOT_A_REQUEST),
        (encode_request(SESSION, 1, 1)[:-1], VENDOR, Drop.NOT_A_REQUEST),
        (encode_request(SESSION, 1, 1) + b"\x00", VENDOR, Drop.NOT_A_REQUEST),
        (encode_request(b"261120A001", 1, 1), VENDOR, Drop.UNKNOWN_SESSION),
        (encode_request(SESSION, 1, 0), VENDOR, Drop.BAD_COUNT),
        (encode_request(SESSION, 1, END_OF_SESSION), VENDOR, Drop.BAD_COUNT),
        (encode_request(SESSION, 0, 1), VENDOR, Drop.OUT_OF_RANGE),
        (encode_request(SESSION, 101, 1), VENDOR, Drop.OUT_OF_RANGE),
        (encode_request(SESSION, (1 << 64) - 1, 1), VENDOR, Drop.OUT_OF_RANGE),
    ],
)
def test_everything_else_is_dropped_and_counted(data: bytes, address: str, reason: Drop) -> None:
    asked = server()
    assert asked.receive_request(data, address, 0) is None
    assert asked.statistics() == (0, 0, {reason: 1})


def test_ipv6_networks_are_allowed_as_well() -> None:
    assert server().receive_request(encode_request(SESSION, 1, 1), "fd00::7", 0) is not None


def test_an_address_has_a_burst_and_a_rate() -> None:
    asked = server(source_rate=1000, source_burst=200)
    request = encode_request(SESSION, 1, 1)

    def answers(count: int, now: int, address: str = VENDOR) -> int:
        return sum(asked.receive_request(request, address, now) is not None for _ in range(count))

    assert answers(300, 0) == 200
    assert answers(10, 0, "10.9.9.9") == 10
    assert answers(300, SECOND // 100) == 10
    assert answers(300, SECOND) == 200
    assert asked.statistics().dropped == {Drop.SOURCE_RATE: 100 + 290 + 100}


def test_garbage_uses_the_rate_up_too() -> None:
    asked = server(source_rate=1, source_burst=2)
    asked.receive_request(b"x", VENDOR, 0)
    asked.receive_request(b"x", VENDOR, 0)
    assert asked.receive_request(encode_request(SESSION, 1, 1), VENDOR, 0) is None
    assert asked.statistics().dropped == {Drop.NOT_A_REQUEST: 2, Drop.SOURCE_RATE: 1}


def test_all_answers_together_have_a_rate() -> None:
    asked = server(total_rate=1000, total_burst=100)
    request = encode_request(SESSION, 1, 1)
    answer = asked.receive_request(request, VENDOR, SECOND)
    assert answer is not None
    # the bucket may go below zero by one answer: three answers of 31 bytes are within 100 bytes, a fourth begins within
    granted = 1 + sum(asked.receive_request(request, f"10.0.0.{n}", SECOND) is not None for n in range(20))
    assert granted == 100 // len(answer) + 1
    assert asked.statistics().dropped == {Drop.TOTAL_RATE: 21 - granted}
    assert asked.receive_request(request, VENDOR, 2 * SECOND) is not None


def test_addresses_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_SOURCES", 3)
    asked = server(source_rate=1, source_burst=1)
    request = encode_request(SESSION, 1, 1)
    assert [asked.receive_request(request, f"10.0.0.{n}", 0) is not None for n in range(5)] == [True] * 3 + [False] * 2
    # a second later the others' buckets are full again, and need no memory
    assert [asked.receive_request(request, f"10.0.0.{n}", SECOND) is not None for n in range(3, 6)] == [True] * 3


def test_a_session_that_was_dropped_is_unknown() -> None:
    asked = server()
    asked.drop_session(SESSION)
    asked.drop_session(SESSION)
    assert asked.receive_request(encode_request(SESSION, 1, 1), VENDOR, 0) is None
    assert asked.statistics().dropped == {Drop.UNKNOWN_SESSION: 1}


def test_a_store_is_cut_in_chunks_and_forgets_the_oldest() -> None:
    store = SessionStore(max_chunks=2)
    for n in range(1, 2 * CHUNK_MESSAGES + 2):
        store.append(b"%d" % n)
    assert (store.first, store.last) == (CHUNK_MESSAGES + 1, 2 * CHUNK_MESSAGES + 1)
    assert store.blocks(store.first, 1, 100) == (1, b"\x00\x05%d" % store.first)
    # an answer ends where its chunk ends
    assert store.blocks(2 * CHUNK_MESSAGES, 5, 100) == (1, b"\x00\x06%d" % (2 * CHUNK_MESSAGES))
    assert store.blocks(store.last, 5, 100) == (1, b"\x00\x06%d" % store.last)
