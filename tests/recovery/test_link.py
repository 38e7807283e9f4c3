import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery import frames, link
from recovery.frames import MAX_FRAME_BYTES, FrameType, LinkError
from recovery.link import Command, LinkClient, LinkForked, LinkFull, LinkServer, Login, ServerState
from recovery.record import MAX_COMMAND_BYTES, NOOP
from recovery.versions import VERSION

KEY = b"the key of gateway 7"
SECOND = 1_000_000_000


class Pair:
    """Both ends of one connection, joined in memory."""

    def __init__(self, client: LinkClient, now: int = 0, keys: dict[int, bytes] | None = None) -> None:
        self.client = client
        self.server = LinkServer(1, {7: KEY} if keys is None else keys, b"s" * 32, now)
        self.events: list[Login | Command] = []
        client.connected(b"c" * 32, now)

    def exchange(self, now: int = 0) -> None:
        """Carry bytes both ways until neither has any left; every frame is split across two reads."""
        while True:
            to_client, to_server = self.server.data_to_send(), self.client.data_to_send()
            if not to_client and not to_server:
                return
            for data in halves(to_server):
                self.events += self.server.receive_data(data, now)
            for data in halves(to_client):
                self.client.receive_data(data, now)

    def log_in(self, last_source_seq: int = 0, now: int = 0) -> None:
        self.exchange(now)
        assert self.server.state is ServerState.PROVED
        self.server.accept(last_source_seq, now)
        self.exchange(now)
        assert self.client.open


def halves(data: bytes) -> list[bytes]:
    middle = len(data) // 2
    return [part for part in (data[:middle], data[middle:]) if part]


def frame(frame_type: int, payload: bytes) -> bytes:
    return (len(payload) + 1).to_bytes(2, "big") + bytes([frame_type]) + payload


@pytest.fixture
def client() -> LinkClient:
    return LinkClient(1, 7, 3, KEY)


@pytest.fixture
def pair(client) -> Pair:
    pair = Pair(client)
    pair.log_in()
    return pair


def test_login_then_commands_in_order(client):
    pair = Pair(client)
    pair.log_in()
    assert pair.events == [Login(7, 3)]
    assert [client.forward(41, n, 16, b"order %d" % n, 0) for n in (5, 6)] == [1, 2]
    pair.exchange()
    assert pair.events[1:] == [Command(1, 41, 5, 16, b"order 5"), Command(2, 41, 6, 16, b"order 6")]


def test_what_has_not_come_by_is_sent_again_from_where_the_server_is(pair):
    for _ in range(5):
        pair.client.forward(0, 0, 16, b"", 0)
    pair.exchange()
    pair.client.seen(2)
    assert pair.client.unseen == 3
    pair.client.disconnected()
    assert pair.client.forward(0, 0, 16, b"meanwhile", 0) == 6
    assert pair.client.data_to_send() == b""
    again = Pair(pair.client)
    again.log_in(last_source_seq=4)
    assert [event.source_seq for event in again.events[1:]] == [5, 6]


def test_a_restarted_gateway_takes_the_servers_count_when_it_lost_its_own():
    client = LinkClient(1, 7, 4, KEY, next_source_seq=7, unseen=[Command(6, 41, 9, 16, b"six")])
    assert client.room == 0
    with pytest.raises(LinkFull):  # its next number may be taken: it learns which at login
        client.forward(0, 0, 16, b"", 0)
    pair = Pair(client)
    pair.log_in(last_source_seq=8)
    assert pair.events == [Login(7, 4)]
    assert client.forward(0, 0, 16, b"", 0) == 9


def test_a_restarted_gateway_sends_what_its_journal_says_was_not_seen():
    client = LinkClient(1, 7, 4, KEY, next_source_seq=7, unseen=[Command(6, 41, 9, 16, b"six")])
    pair = Pair(client)
    pair.log_in(last_source_seq=5)
    assert pair.events[1:] == [Command(6, 41, 9, 16, b"six")]
    assert client.forward(0, 0, 16, b"", 0) == 7


def test_only_what_is_written_down_goes_at_once_on_the_next_connection_and_the_rest_behind_it(pair):
    for text in (b"1", b"2", b"3", b"4"):
        pair.client.forward(70, int(text), 16, text, 0)
    pair.client.written(3)
    pair.client.seen(1)
    again = Pair(pair.client)
    again.server.receive_data(b"", 0)
    again.client.receive_data(again.server.data_to_send(), 0)
    again.server.receive_data(again.client.data_at_once(), 0)  # the login
    again.server.accept(1, 0)
    again.client.receive_data(again.server.data_to_send(), 0)
    assert [each.source_seq for each in again.server.receive_data(again.client.data_at_once(), 0)] == [2, 3]
    assert again.client.data_at_once() == b""
    again.client.forward(70, 5, 16, b"5", 0)
    assert again.client.data_at_once() == b""
    assert [each.source_seq for each in again.server.receive_data(again.client.data_to_send(), 0)] == [4, 5]


def test_what_goes_at_once_goes_first_in_any_case_and_only_on_its_own_connection(pair):
    pair.client.forward(70, 1, 16, b"1", 0)
    pair.client.written(1)
    pair.client.forward(70, 2, 16, b"2", 0)
    again = Pair(pair.client)
    again.exchange()
    again.server.accept(0, 0)
    again.client.receive_data(again.server.data_to_send(), 0)
    third = Pair(pair.client)
    assert third.client.data_to_send() == b""
    third.log_in()
    assert [event.source_seq for event in third.events[1:]] == [1, 2]


def test_what_a_primary_has_lost_is_told_and_its_numbers_are_filled(pair):
    for text in (b"1", b"2", b"3", b"4"):
        pair.client.forward(70, int(text), 16, text, 0)
    pair.client.seen(3)
    again = Pair(pair.client)
    again.exchange()
    again.server.accept(1, 0)
    again.exchange()
    fillers = [Command(seq, 0, 0, NOOP, b"") for seq in (2, 3)]
    assert again.events[1:] == [*fillers, Command(4, 70, 4, 16, b"4")]
    assert pair.client.take_lost() == range(2, 4)
    assert not pair.client.take_lost()
    assert pair.client.forward(70, 5, 16, b"5", 0) == 5

    # What fills the numbers is kept until it comes by, like any command.
    third = Pair(pair.client)
    third.log_in(last_source_seq=2)
    assert [event.source_seq for event in third.events[1:] if isinstance(event, Command)] == [3, 4, 5]
    assert not pair.client.take_lost()


def test_only_an_empty_noop_of_no_session_fills_a_number(pair):
    for session, session_seq, body in ((70, 0, b""), (0, 1, b""), (0, 0, b"x")):
        server = Pair(LinkClient(1, 7, 3, KEY))
        server.log_in()
        payload = frames.COMMAND_NUMBERS.pack(1, session, session_seq, NOOP) + body
        with pytest.raises(LinkError, match="kind 0 is no command"):
            server.server.receive_data(frame(FrameType.COMMAND, payload), 0)


def test_a_primary_that_has_forgotten_everything_is_another_market(monkeypatch):
    monkeypatch.setattr(link, "MAX_UNSEEN", 10)
    client = LinkClient(1, 7, 3, KEY, next_source_seq=12)
    pair = Pair(client)
    pair.exchange()
    pair.server.accept(0, 0)
    with pytest.raises(LinkForked, match="shard 1 has 0 commands of ours, and 11 have come by"):
        pair.exchange()


def test_a_primary_with_commands_that_were_never_sent_is_not_believed(pair):
    again = Pair(pair.client)
    again.exchange()
    again.server.accept(4, 0)
    with pytest.raises(LinkError, match="never sent"):
        again.exchange()


@pytest.mark.parametrize("keys", [{7: b"another key"}, {8: KEY}, {}])
def test_a_wrong_key_and_an_unknown_source_are_refused_alike(client, keys):
    pair = Pair(client, keys=keys)
    with pytest.raises(LinkError, match="login refused for source 7"):
        pair.exchange()
    assert pair.server.state is ServerState.CLOSED
    with pytest.raises(LinkError, match="says: login refused"):
        client.receive_data(pair.server.data_to_send(), 0)


def test_a_server_without_the_key_is_refused(client):
    pair = Pair(client)
    pair.exchange()
    pair.server._key = b"another key"
    pair.server.accept(0, 0)
    with pytest.raises(LinkError, match="does not hold our key"):
        pair.exchange()
    assert not client.open


def test_a_login_overheard_does_not_open_the_next_connection(client):
    first = Pair(client)
    client.receive_data(first.server.data_to_send(), 0)
    overheard = client.data_to_send()
    second = LinkServer(1, {7: KEY}, b"t" * 32, 0)
    with pytest.raises(LinkError, match="login refused"):
        second.receive_data(overheard, 0)


def test_a_rejected_login_says_why(client):
    pair = Pair(client)
    pair.exchange()
    pair.server.reject("incarnation 3 is over", 0)
    with pytest.raises(LinkError, match="says: incarnation 3 is over"):
        pair.exchange()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (frame(FrameType.COMMAND, bytes(20)), "cut short"),
        (frame(FrameType.COMMAND, bytes(20) + b"\x01"), "kind 1 is no command"),
        (frame(FrameType.COMMAND, bytes(20) + b"\x60"), "kind 96 is no command"),
        (frame(FrameType.LOGIN, bytes(70)), "login out of place"),
        (frame(FrameType.CHALLENGE, bytes(35)), "frame type 1"),
        (frame(FrameType.HEARTBEAT, b"!"), "frame type 6"),
        (frame(FrameType.LEAVING, b"!"), "frame type 8"),
        (frame(99, b""), "frame type 99"),
        (b"\0\0", "0 bytes"),
        ((MAX_FRAME_BYTES - 1).to_bytes(2, "big"), "a frame of"),
    ],
)
def test_a_gateway_that_breaks_the_rules_hears_why(pair, data, says):
    data = data if len(data) > 2 else data + b"\x05"
    with pytest.raises(LinkError, match=says):
        pair.server.receive_data(data, 0)
    with pytest.raises(LinkError, match="shard 1 says: .*" + says):
        pair.client.receive_data(pair.server.data_to_send(), 0)


def test_a_gateway_says_that_it_goes_ahead_of_what_waits(pair):
    pair.client.forward(0, 0, 16, b"1", 0)
    pair.server.receive_data(pair.client.leaving(), 0)
    assert pair.server.leaving
    pair.exchange()
    assert [event.body for event in pair.events if isinstance(event, Command)] == [b"1"]
    pair.client.disconnected()
    assert pair.client.leaving() == b"", "there is nobody to tell"


def test_a_stranger_does_not_leave(client):
    server = LinkServer(1, {7: KEY}, b"s" * 32, 0)
    with pytest.raises(LinkError, match="frame type 8"):
        server.receive_data(frame(FrameType.LEAVING, b""), 0)
    assert not server.leaving


def test_a_command_before_login_is_refused(client):
    server = LinkServer(1, {7: KEY}, b"s" * 32, 0)
    with pytest.raises(LinkError, match="before the login"):
        server.receive_data(frame(FrameType.COMMAND, bytes(20) + b"\x10"), 0)


@pytest.mark.parametrize(
    "data",
    [
        frame(FrameType.CHALLENGE, bytes(35)),
        frame(FrameType.ACCEPTED, bytes(40)),
        frame(FrameType.COMMAND, bytes(21)),
        frame(FrameType.HEARTBEAT, b"!"),
    ],
)
def test_a_primary_that_breaks_the_rules_is_left(pair, data):
    with pytest.raises(LinkError):
        pair.client.receive_data(data, 0)


@pytest.mark.parametrize(
    ("challenge", "text"),
    [
        (bytes([VERSION + 1]) + b"\0\x01" + bytes(32), f"version {VERSION + 1}"),
        (bytes([VERSION]) + b"\0\x02" + bytes(32), "it is shard 2's, not shard 1's"),
        (b"", "out of place"),
    ],
)
def test_another_version_or_shard_is_left(client, challenge, text):
    client.connected(b"c" * 32, 0)
    with pytest.raises(LinkError, match=text):
        client.receive_data(frame(FrameType.CHALLENGE, challenge), 0)


def test_both_sides_are_heard_each_second_and_three_of_silence_end_the_link(pair):
    now = frames.HEARTBEAT_INTERVAL
    for end in (pair.client, pair.server):
        assert end.next_deadline() == now
        end.handle_deadline(now)
    pair.exchange(now)
    for end in (pair.client, pair.server):
        for _ in range(2):
            end.handle_deadline(end.next_deadline())
        assert end.next_deadline() == now + frames.SILENCE_LIMIT
        with pytest.raises(LinkError, match="silent"):
            end.handle_deadline(end.next_deadline())


def test_a_stranger_has_three_seconds_however_much_it_says(client):
    server = LinkServer(1, {7: KEY}, b"s" * 32, 0)
    for second in (1, 2):
        server.receive_data(frame(FrameType.HEARTBEAT, b""), second * SECOND)
        server.handle_deadline(second * SECOND)
    assert server.next_deadline() == 3 * SECOND
    with pytest.raises(LinkError, match="no login"):
        server.handle_deadline(3 * SECOND)


def test_what_is_under_way_is_bounded(pair, monkeypatch):
    monkeypatch.setattr(link, "MAX_UNSEEN", 3)
    for _ in range(3):
        pair.client.forward(0, 0, 16, b"", 0)
    with pytest.raises(LinkFull):
        pair.client.forward(0, 0, 16, b"", 0)
    pair.client.seen(1)
    assert pair.client.room == 1


def test_the_largest_command_passes(pair):
    pair.client.forward(0, 0, 16, bytes(MAX_COMMAND_BYTES), 0)
    pair.exchange()
    assert len(pair.events[-1].body) == MAX_COMMAND_BYTES


@given(st.binary(max_size=200))
def test_noise_is_refused_and_nothing_else(noise):
    server = LinkServer(1, {7: KEY}, b"s" * 32, 0)
    client = LinkClient(1, 7, 3, KEY)
    client.connected(b"c" * 32, 0)
    for end in (server, client):
        try:
            events = end.receive_data(noise, 0)
        except LinkError:
            continue
        assert not events


@given(st.data())
def test_bytes_arrive_in_any_pieces(data):
    pair = Pair(LinkClient(1, 7, 3, KEY))
    pair.log_in()
    for n in range(4):
        pair.client.forward(1, n + 1, 16, bytes(n * 7), 0)
    stream = pair.client.data_to_send()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    received = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += pair.server.receive_data(stream[start:end], 0)
    assert received == [Command(n + 1, 1, n + 1, 16, bytes(n * 7)) for n in range(4)]


def test_the_silence_of_who_is_not_listened_to_ends_no_link(pair):
    server = pair.server
    server.stop_reading()
    for second in range(1, 8):
        assert server.next_deadline() == second * SECOND
        server.handle_deadline(second * SECOND)  # heard each second itself
    server.read_on(8 * SECOND)
    server.handle_deadline(11 * SECOND - 1)
    with pytest.raises(LinkError, match="silent"):
        server.handle_deadline(11 * SECOND)


def test_who_has_proved_itself_is_no_stranger_however_long_the_primary_takes(client):
    pair = Pair(client)
    pair.exchange()
    assert pair.server.state is ServerState.PROVED
    pair.server.stop_reading()
    pair.server.handle_deadline(9 * SECOND)
    pair.server.accept(0, 9 * SECOND)
    pair.exchange(9 * SECOND)
    assert client.open
