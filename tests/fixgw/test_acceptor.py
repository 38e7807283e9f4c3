"""One bad peer disturbs nobody: whatever a connection does, another session trades on as if it was not there."""

import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from fixgw import acceptor, connection
from fixgw.acceptor import MAX_STRANGERS_OF_HOST
from fixgw.codec import MAX_BODY_LENGTH, MAX_MESSAGE_LENGTH, FixMessage
from fixgw.router import Router, Seat
from fixgw.timestamps import SECOND
from tests.fixgw.fixtalk import wire
from tests.fixgw.venue_on_sockets import Exchange, Peer, open_exchange

GARBAGE = b"GET / HTTP/1.1\r\n\r\n8=FIX.4.4\x019=5\x0135=0\x0110=000\x018=FIX.4.4\x01\x00\xff" * 3


@pytest.fixture(params=["write", "disk"])
async def exchange(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Exchange]:
    async with open_exchange(tmp_path, sync=request.param) as exchange:
        yield exchange


@pytest.fixture
async def witness(exchange: Exchange) -> AsyncIterator[Peer]:
    """A session that trades, and must be on its first connection when the test is over."""
    peer = exchange.peer("BROKER2")
    await peer.connect()
    await peer.log_on()
    await peer.trade(2)
    yield peer
    await peer.trade(2)
    await peer.close()


async def test_garbled_bytes_are_skipped_and_the_session_goes_on(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    await peer.connect()
    await peer.log_on()
    await peer.stream.send_all(GARBAGE)
    await witness.trade()
    await peer.trade()
    await peer.close()


async def test_a_first_message_that_is_no_logon_is_refused_without_a_word(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    await peer.connect()
    await peer.stream.send_all(peer.message("35=D|34=1|11=a|55=ALPHA|54=1|60=NOW|38=1|40=2|44=1|"))
    assert await peer.read_to_end() == []


@pytest.mark.parametrize(
    "logon",
    [
        "35=A|34=1|49=BROKER9|56=FIXGW|",
        "35=A|34=1|49=BROKER1|56=OTHER|",
        "35=A|34=1|56=FIXGW|",
    ],
)
async def test_comp_ids_that_name_no_session_are_refused_without_a_word(
    exchange: Exchange, witness: Peer, logon: str
) -> None:
    peer = exchange.peer("BROKER1")
    await peer.connect()
    right = peer.message(f"35=A|34=1|98=0|108=30|{peer.credentials}")
    _, _, theirs = logon.partition("34=1|")
    body = right.split(b"\x0135=", 1)[1].rsplit(b"10=", 1)[0].decode().replace("\x01", "|")
    msg_type, number, *rest = [each for each in body.split("|") if not each.startswith(("49=", "56="))]
    await peer.stream.send_all(wire("|".join([f"35={msg_type}", f"{number}|{theirs}".rstrip("|"), *rest])))
    assert await peer.read_to_end() == []


async def test_the_wrong_version_of_a_session_is_refused_without_a_word(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    await peer.connect()
    peer.broker.version = "FIX.4.2"
    await peer.stream.send_all(peer.message(f"35=A|34=1|98=0|108=30|{peer.credentials}"))
    assert await peer.read_to_end() == []


async def test_a_wrong_password_gets_a_logout_that_costs_no_number(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    await peer.connect()
    await peer.stream.send_all(peer.message("35=A|34=1|98=0|108=30|553=broker1|554=wrong|"))
    assert await peer.read_to_end() == ["5 58=Username(553) or Password(554) is wrong"]
    peer.broker.next_in_seq = 1
    await peer.connect()
    await peer.log_on()
    assert peer.broker.heard[-1].msg_seq_num == 1
    await peer.trade()
    await peer.close()


async def test_a_password_is_never_logged(exchange: Exchange, witness: Peer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    peer = exchange.peer("BROKER1")
    for password in ("secret-wrong", exchange.venue.password):
        await peer.connect()
        await peer.stream.send_all(peer.message(f"35=A|34=1|98=9|108=30|553=broker1|554={password}|"))
        assert [line[0] for line in await peer.read_to_end()] == ["5"]
        peer.broker.next_in_seq = 1  # the first refusal cost no number
        assert password not in caplog.text
    assert "BROKER1" in caplog.text


async def test_guessing_at_a_password_stops_being_answered(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    answers = []
    for _ in range(6):
        await peer.connect(source="127.0.0.7")
        await peer.stream.send_all(peer.message("35=A|34=1|98=0|108=30|553=broker1|554=guess|"))
        answers.append(len(await peer.read_to_end()))
        peer.broker.next_in_seq = 1
    assert answers == [1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("step", [-2 * 3600, 2 * 3600], ids=["set back", "set ahead"])
async def test_a_wall_clock_that_is_set_forgives_no_guess(
    exchange: Exchange, witness: Peer, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    peer = exchange.peer("BROKER1")
    answers = []
    for attempt in range(5):
        if attempt == 4:
            monkeypatch.setattr(time, "time_ns", lambda: time.clock_gettime_ns(time.CLOCK_REALTIME) + step * SECOND)
        await peer.connect(source="127.0.0.7")
        await peer.stream.send_all(peer.message("35=A|34=1|98=0|108=30|553=broker1|554=guess|"))
        answers.append(len(await peer.read_to_end()))
        peer.broker.next_in_seq = 1
    monkeypatch.undo()
    assert answers == [1, 1, 1, 1, 0]


async def test_a_logon_with_wrong_content_is_told_what_is_wrong(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    await peer.connect()
    await peer.stream.send_all(peer.message(f"35=A|34=1|98=1|108=30|{peer.credentials}"))
    assert await peer.read_to_end() == ["5 58=EncryptMethod(98) must be 0, none"]
    await peer.connect()
    await peer.log_on()
    await peer.trade()
    await peer.close()


async def test_an_announced_length_beyond_the_limit_ends_the_connection(exchange: Exchange, witness: Peer) -> None:
    too_long = b"8=FIX.4.4\x019=%d\x0135=D\x01" % (MAX_BODY_LENGTH + 1)
    stranger = exchange.peer("BROKER3")
    await stranger.connect()
    await stranger.stream.send_all(too_long)
    assert await stranger.read_to_end() == []
    peer = exchange.peer("BROKER1")
    await peer.connect()
    await peer.log_on()
    last = peer.message("35=D|34=2|11=last|55=OMEGA|54=1|60=NOW|38=1|40=2|44=1|")
    peer.broker.next_out_seq += 1
    await peer.stream.send_all(last + too_long)
    assert await peer.read_to_end() in ([], [REFUSED.format("last")])  # a reset may overtake what was said
    await peer.connect()
    await peer.log_on()
    await peer.until(lambda: len(peer.broker.reports()) == 1)
    await peer.trade()
    await peer.close()


REFUSED = "8 11={} 150=8 39=8 151=0 14=0 103=1 58=Symbol(55) OMEGA is not traded here"


async def test_eight_kib_without_a_message_end_the_connection(exchange: Exchange, witness: Peer) -> None:
    nothing = b"8=FIX.4.4\x01" * (MAX_MESSAGE_LENGTH // 10 + 1)
    stranger = exchange.peer("BROKER3")
    await stranger.connect()
    await stranger.stream.send_all(nothing)
    assert await stranger.read_to_end() == []
    peer = exchange.peer("BROKER1")
    await peer.connect()
    await peer.log_on()
    await peer.stream.send_all(nothing)
    assert await peer.read_to_end() == []
    await peer.connect()
    await peer.log_on()
    await peer.trade()
    await peer.close()


async def test_a_second_connection_of_a_session_is_refused_and_the_first_goes_on(
    exchange: Exchange, witness: Peer
) -> None:
    first, second = exchange.peer("BROKER1"), exchange.peer("BROKER1")
    await first.connect()
    await first.log_on()
    await second.connect()
    await second.stream.send_all(second.message(f"35=A|34=1|98=0|108=30|{second.credentials}"))
    assert await second.read_to_end() == []
    await first.trade()
    await first.close()


async def test_two_logons_at_once_make_one_session(exchange: Exchange, witness: Peer) -> None:
    peers = [exchange.peer("BROKER1") for _ in range(2)]
    for peer in peers:
        await peer.connect()
        await peer.stream.send_all(peer.message(f"35=A|34=1|98=0|108=30|{peer.credentials}"))
    heard: list[bytes] = []
    with trio.fail_after(5):
        for peer in peers:
            heard.append(bytes(await peer.stream.receive_some()))  # noqa: PERF401
    assert sorted(b"35=A" in data for data in heard) == [False, True]
    assert sorted(map(len, heard))[0] == 0
    for peer in peers:
        await peer.close()


async def test_whoever_says_nothing_is_closed(
    exchange: Exchange, witness: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert acceptor.LOGON_TIMEOUT == 10 * SECOND
    monkeypatch.setattr(acceptor, "LOGON_TIMEOUT", SECOND // 20)
    silent, slow = exchange.peer("BROKER1"), exchange.peer("BROKER3")
    await silent.connect()
    await slow.connect()
    await slow.stream.send_all(b"8=FIX.4.4\x019=")
    await witness.trade()
    assert await silent.read_to_end() == []
    assert await slow.read_to_end() == []


async def test_a_flood_of_silent_connections_keeps_nobody_out(exchange: Exchange, witness: Peer) -> None:
    flood = [exchange.peer("BROKER1") for _ in range(MAX_STRANGERS_OF_HOST)]
    for peer in flood:
        await peer.connect(source="127.0.0.9")
    beyond = exchange.peer("BROKER1")
    await beyond.connect(source="127.0.0.9")
    assert await beyond.read_to_end() == []
    other = exchange.peer("BROKER3")
    await other.connect()
    await other.log_on()
    await other.trade()
    for peer in [*flood, other]:
        await peer.close()
    again = exchange.peer("BROKER1")
    await again.connect(source="127.0.0.9")
    await again.log_on()
    await again.close()


async def test_a_peer_that_does_not_read_loses_its_connection_and_nothing_else(
    exchange: Exchange, witness: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_BACKLOG_BYTES", 1 << 18)
    peer = exchange.peer("BROKER1")
    await peer.connect(receive_buffer=4096)
    await peer.log_on()
    session = exchange.gateway.connections[peer.broker.session_id]
    session._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    count = 0
    with trio.fail_after(10):
        try:
            while not session.closed:
                for _ in range(50):
                    count += 1
                    peer.broker.order(f"o{count}", "buy", 1, "1", symbol="OMEGA")
                await peer.flush()
                await witness.trade()
        except trio.BrokenResourceError:
            pass
    await peer.close()
    await peer.connect()
    await peer.log_on()
    await peer.until(lambda: len(peer.broker.reports()) == count)


async def test_a_peer_that_hangs_makes_room_for_its_next_connection(
    exchange: Exchange, witness: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor, "LINGER_SECONDS", 0.5)
    caplog.set_level(logging.INFO)
    hanging = exchange.peer("BROKER1")
    await hanging.connect()
    await hanging.log_on()
    gateway = exchange.gateway
    gateway.router.seats[hanging.broker.session_id].session._heart_bt_int = SECOND // 10
    with trio.fail_after(5):
        while hanging.broker.session_id in gateway.connections:
            await witness.trade()
            await trio.sleep(0.01)
    assert len([each for each in caplog.messages if "2.4 × HeartBtInt" in each]) <= 2  # told once, not at every tick
    old = hanging.stream
    hanging.broker.disconnected()
    await hanging.connect()
    await hanging.log_on()
    await hanging.trade()
    await hanging.close()
    await old.aclose()


async def test_half_a_message_and_a_reset_leave_nothing_behind(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    for _ in range(3):
        await peer.connect()
        await peer.log_on()
        await peer.stream.send_all(peer.message("35=D|34=9|11=a|55=ALPHA|54=1|60=NOW|38=1|40=2|44=1|")[:40])
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await peer.close()
        await _until_free(exchange, peer)
    await peer.connect()
    await peer.log_on()
    await peer.trade()
    await peer.close()


async def _until_free(exchange: Exchange, peer: Peer) -> None:
    with trio.fail_after(5):
        while peer.broker.session_id in exchange.gateway.connections:
            await trio.testing.wait_all_tasks_blocked(0.001)


async def test_a_fault_of_ours_ends_the_connection_that_met_it_and_no_other(
    exchange: Exchange, witness: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    receive = Router.receive

    def faulty(self: Router, seat: Seat, message: FixMessage, now: int) -> bool:
        if message.fields.get(11) == b"boom":
            raise RuntimeError("a bug")
        return receive(self, seat, message, now)

    monkeypatch.setattr(Router, "receive", faulty)
    peer = exchange.peer("BROKER1")
    await peer.connect()
    await peer.log_on()
    peer.broker.order("boom", "buy", 1, "1")
    await peer.flush()
    assert await peer.read_to_end() == []
    assert "BROKER1 from 127.0.0.1: the connection ends by a fault of ours" in caplog.text
    await witness.trade()
    monkeypatch.undo()
    await peer.connect()
    await peer.log_on()
    await peer.trade()
    assert len(peer.broker.reports()) == 2
    await peer.close()


async def test_orders_right_behind_the_logon_are_taken(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    await peer.connect()
    data = peer.message(f"35=A|34=1|98=0|108=30|{peer.credentials}")
    data += peer.message("35=D|34=2|11=a1|55=ALPHA|54=1|60=NOW|38=1|40=2|44=1|")
    peer.broker.next_out_seq = 3
    peer.broker.connected = True
    await peer.stream.send_all(data)
    await peer.until(lambda: len(peer.broker.reports()) == 1)
    await peer.close()


async def test_logging_out_in_good_order(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    await peer.connect()
    await peer.log_on()
    peer.broker.take()
    peer.broker.log_out()
    await peer.until(lambda: bool(peer.broker.heard))
    assert peer.broker.take() == ["5"]
    await peer.close()
    await _until_free(exchange, peer)
    await peer.connect()
    await peer.log_on()
    await peer.trade()
    await peer.close()


async def test_a_number_too_low_ends_with_a_logout(exchange: Exchange, witness: Peer) -> None:
    peer = exchange.peer("BROKER1")
    await peer.connect()
    await peer.log_on()
    await peer.trade(2)
    await peer.stream.send_all(peer.message("35=0|34=1|"))
    assert await peer.read_to_end() == ["5 58=MsgSeqNum(34) too low, expected 4 but received 1"]
    await peer.connect()
    await peer.log_on()
    await peer.trade()
    await peer.close()
