import hypothesis.strategies as st
import pytest
from hypothesis import given

from recovery import service, service_frames
from recovery.frames import LinkError
from recovery.link import LinkClient
from recovery.member import Role
from recovery.service import ServerState, ServiceClient, ServiceServer
from recovery.service_frames import (
    Answer,
    AskPosition,
    AskSnapshot,
    Chunk,
    Position,
    Read,
    Refused,
    Reply,
    Request,
    SnapshotHead,
    Taken,
    TakeSnapshot,
)
from recovery.versions import VERSION

KEY = b"the venue's key"
SECOND = 1_000_000_000
POSITION = Position(7, 6, 812, True, 809, Role.CATCHING_UP, 2)


class Pair:
    """Both ends of one connection, joined in memory; every delivery is cut into two reads."""

    def __init__(self, server_key: bytes = KEY, client_key: bytes = KEY, *, shard_id: int = 1, expects: int | None = 2):
        self.server = ServiceServer(1, 2, server_key, b"s" * 32, 0)
        self.client = ServiceClient(shard_id, expects, client_key, b"c" * 32)
        self.requests: list[Request] = []
        self.replies: list[Reply] = []

    def exchange(self, now: int = 0) -> None:
        while True:
            to_client, to_server = self.server.data_to_send(), self.client.data_to_send()
            if not to_client and not to_server:
                return
            for data in halves(to_server):
                request = self.server.receive_data(data, now)
                self.requests += [] if request is None else [request]
            for data in halves(to_client):
                self.replies += self.client.receive_data(data)

    def ask(self, request: Request, *replies: Reply, now: int = 0) -> list[Reply]:
        self.replies.clear()
        self.client.ask(request)
        self.exchange(now)
        for reply in replies:
            self.server.reply(reply, now)
        self.exchange(now)
        return self.replies


def halves(data: bytes) -> list[bytes]:
    middle = len(data) // 2
    return [part for part in (data[:middle], data[middle:]) if part]


def frame(frame_type: int, payload: bytes) -> bytes:
    return (len(payload) + 1).to_bytes(4, "big") + bytes([frame_type]) + payload


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    pair.exchange()
    assert pair.server.logged_in
    return pair


def test_questions_and_answers_one_after_the_other(pair):
    assert pair.ask(AskPosition(), POSITION) == [POSITION]
    assert pair.ask(Read(5, b"what"), Answer(9, b"this")) == [Answer(9, b"this")]
    assert pair.ask(Read(0, b""), Refused("not now")) == [Refused("not now")]
    assert pair.ask(TakeSnapshot(), Taken(11)) == [Taken(11)]
    assert pair.requests == [AskPosition(), Read(5, b"what"), Read(0, b""), TakeSnapshot()]
    assert [type(request) for request in pair.requests] == [AskPosition, Read, Read, TakeSnapshot]
    assert pair.server.state is ServerState.IDLE
    assert not pair.client.waiting


def test_a_snapshot_comes_in_chunks_and_then_the_next_question(pair):
    chunks = [Chunk(b"a" * service_frames.CHUNK_BYTES), Chunk(b"b")]
    head = SnapshotHead(80, service_frames.CHUNK_BYTES + 1)
    assert pair.ask(AskSnapshot(70), head, chunks[0]) == [head, chunks[0]]
    assert pair.client.waiting
    assert pair.server.state is ServerState.ANSWERING
    pair.server.reply(chunks[1], 0)
    pair.exchange()
    assert pair.replies == [head, *chunks]
    assert pair.ask(AskPosition(), POSITION) == [POSITION]


def test_an_empty_snapshot_is_whole_at_once(pair):
    assert pair.ask(AskSnapshot(0), SnapshotHead(0, 0)) == [SnapshotHead(0, 0)]
    assert not pair.client.waiting


def test_a_question_before_the_login_waits_for_it():
    pair = Pair()
    pair.client.ask(AskPosition())
    pair.exchange()
    assert pair.requests == [AskPosition()]


def test_an_asker_without_the_key_is_turned_away():
    pair = Pair(client_key=b"another")
    with pytest.raises(LinkError, match="does not hold the venue's key"):
        pair.exchange()
    assert pair.server.state is ServerState.ENDED
    with pytest.raises(LinkError, match="replica says: login refused"):
        pair.client.receive_data(pair.server.data_to_send())


def test_a_replica_without_the_key_is_not_believed(pair):
    client = ServiceClient(1, 2, KEY, b"C" * 32)
    liar = ServiceServer(1, 2, b"another", b"s" * 32, 0)
    client.receive_data(liar.data_to_send())
    with pytest.raises(LinkError, match="an answer before the login"):
        client.receive_data(frame(6, bytes(28)))
    client = ServiceClient(1, 2, KEY, b"C" * 32)
    client.receive_data(ServiceServer(1, 2, KEY, b"s" * 32, 0).data_to_send())
    with pytest.raises(LinkError, match="the replica does not hold"):
        client.receive_data(frame(3, bytes(32)))


def test_a_proof_heard_once_opens_nothing():
    pair = Pair()
    pair.client.receive_data(pair.server.data_to_send())
    overheard = pair.client.data_to_send()
    with pytest.raises(LinkError, match="login refused"):
        ServiceServer(1, 2, KEY, b"t" * 32, 0).receive_data(overheard, 0)
    with pytest.raises(LinkError, match="login refused"):  # nor another replica of the same nonce
        ServiceServer(1, 3, KEY, b"s" * 32, 0).receive_data(overheard, 0)


def test_what_a_gateway_proves_on_its_link_opens_no_service():
    link = LinkClient(1, 7, 1, KEY)
    link.connected(b"c" * 32, 0)
    link.receive_data((36).to_bytes(2, "big") + bytes([1]) + bytes([VERSION]) + b"\x00\x01" + b"s" * 32, 0)
    proof = link.data_to_send()[-32:]
    with pytest.raises(LinkError, match="login refused"):
        ServiceServer(1, 2, KEY, b"s" * 32, 0).receive_data(frame(2, b"c" * 32 + proof), 0)


@pytest.mark.parametrize(
    ("shard_id", "expects", "text"), [(3, 2, "it is shard 1.s, not shard 3.s"), (1, 1, "addresses are mixed up")]
)
def test_an_asker_notices_that_it_talks_to_somebody_else(shard_id, expects, text):
    with pytest.raises(LinkError, match=text):
        Pair(shard_id=shard_id, expects=expects).exchange()


def test_who_expects_nobody_in_particular_learns_who_it_is():
    pair = Pair(expects=None)
    assert pair.ask(AskPosition(), POSITION) == [POSITION]
    assert pair.client.replica_id == 2


def test_a_second_question_before_the_answer_ends_the_connection(pair):
    with pytest.raises(LinkError, match="before the answer"):
        pair.server.receive_data(frame(5, b"") + frame(5, b""), 0)
    pair.server.reply(POSITION, 0)  # comes too late, and is not sent
    with pytest.raises(LinkError, match="replica says: a request before the answer"):
        pair.client.receive_data(pair.server.data_to_send())


@pytest.mark.parametrize(
    "data",
    [
        frame(5, b"x"),
        frame(7, b"short"),
        frame(9, b"short"),
        frame(12, b"x"),
        frame(6, b""),
        frame(99, b""),
        frame(7, bytes(service_frames.MAX_REQUEST_PAYLOAD + 1)),
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
    ],
)
def test_what_is_no_request_ends_the_connection(pair, data):
    with pytest.raises(LinkError):
        pair.server.receive_data(data, 0)
    assert pair.server.state is ServerState.ENDED


def test_the_longest_request_and_the_longest_answer_pass(pair):
    longest = Answer(1, bytes(service_frames.MAX_ANSWER_BYTES))
    assert pair.ask(Read(1, bytes(service_frames.MAX_REQUEST_BYTES)), longest) == [longest]


def test_a_stranger_may_send_no_more_than_a_login():
    server = ServiceServer(1, 2, KEY, b"s" * 32, 0)
    with pytest.raises(LinkError, match="66 bytes, where 65 is the most"):
        server.receive_data((66).to_bytes(4, "big"), 0)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (AskPosition(), Answer(1, b"")),
        (AskPosition(), POSITION._replace(replica_id=3)),
        (Read(5, b""), POSITION),
        (Read(5, b""), Answer(4, b"older than was asked for")),
        (AskSnapshot(5), SnapshotHead(4, 1)),
        (AskSnapshot(5), SnapshotHead(5, service_frames.MAX_SNAPSHOT_BYTES + 1)),
        (AskSnapshot(5), Taken(5)),
        (TakeSnapshot(), SnapshotHead(5, 1)),
    ],
)
def test_an_answer_to_something_else_is_not_taken(pair, request_, reply):
    with pytest.raises(LinkError, match="as an answer to"):
        pair.ask(request_, reply)


@pytest.mark.parametrize(
    "data",
    [frame(11, b"x"), frame(14, b"unasked"), frame(6, bytes(27)), frame(6, bytes(25) + b"\x04\x00\x02"), frame(8, b"")],
)
def test_an_answer_that_is_none_ends_the_connection(pair, data):
    if data[4] in (6, 8):
        pair.client.ask(AskPosition() if data[4] == 6 else Read(0, b""))
    with pytest.raises(LinkError):
        pair.client.receive_data(data)


def test_chunks_beyond_the_size_are_not_taken(pair):
    pair.ask(AskSnapshot(0), SnapshotHead(1, 3))
    with pytest.raises(LinkError, match="Chunk as an answer"):
        pair.client.receive_data(frame(11, b"four"))


def test_a_stranger_has_three_seconds_whatever_it_says():
    server = ServiceServer(1, 2, KEY, b"s" * 32, 0)
    server.receive_data(b"\x00", 2 * SECOND)
    assert server.next_deadline() == service.LOGIN_LIMIT
    server.handle_deadline(service.LOGIN_LIMIT - 1)
    with pytest.raises(LinkError, match="no login within 3 s"):
        server.handle_deadline(service.LOGIN_LIMIT)


def test_who_asks_nothing_is_closed_and_who_waits_for_an_answer_is_not(pair):
    pair.client.ask(AskPosition())
    pair.exchange(5 * SECOND)
    assert pair.server.next_deadline() is None
    pair.server.handle_deadline(1_000 * SECOND)
    pair.server.reply(POSITION, 10 * SECOND)
    assert pair.server.next_deadline() == 10 * SECOND + service.IDLE_LIMIT
    with pytest.raises(LinkError, match="no request for a minute"):
        pair.server.handle_deadline(10 * SECOND + service.IDLE_LIMIT)


def test_requests_have_a_rate(pair):
    burst = service.REQUEST_BURST // service.REQUEST_INTERVAL
    assert [pair.server.pause(0) for _ in range(burst)] == [0] * burst
    assert pair.server.pause(0) == service.REQUEST_INTERVAL
    assert pair.server.pause(service.REQUEST_INTERVAL) == service.REQUEST_INTERVAL
    assert pair.server.pause(SECOND) == 0


texts = st.text(max_size=80)
numbers = st.integers(0, 2**64 - 1)
sendable = st.one_of(
    st.builds(Answer, numbers, st.binary(max_size=99)),
    st.builds(Taken, numbers),
    st.builds(Refused, texts),
    st.builds(SnapshotHead, numbers, numbers),
    st.builds(Chunk, st.binary(min_size=1, max_size=99)),
    st.builds(
        Position,
        *(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), numbers, st.booleans(), numbers),
        st.sampled_from(Role),
        st.integers(0, 2**16 - 1),
    ),
)


@given(sendable)
def test_every_reply_comes_out_as_it_went_in(reply):
    parsed = service_frames.parse_reply(*service_frames.make_reply(reply))
    assert (type(parsed), parsed) == (type(reply), reply)


@given(st.lists(st.binary(max_size=200) | st.builds(frame, st.integers(0, 20), st.binary(max_size=80)), max_size=8))
def test_whatever_bytes_come_a_server_ends_with_a_link_error_or_waits(chunks):
    for logged_in in (False, True):
        pair = Pair()
        if logged_in:
            pair.exchange()
        try:
            for data in chunks:
                if pair.server.receive_data(data, 0) is not None:
                    pair.server.reply(Refused("no"), 0)
        except LinkError:
            assert pair.server.state is ServerState.ENDED
        assert logged_in or not pair.server.logged_in


@given(st.lists(st.binary(max_size=200) | st.builds(frame, st.integers(0, 20), st.binary(max_size=80)), max_size=8))
def test_whatever_bytes_come_an_asker_ends_with_a_link_error_or_waits(chunks):
    for request in (AskPosition(), Read(3, b""), AskSnapshot(3), TakeSnapshot()):
        pair = Pair()
        pair.exchange()
        pair.client.ask(request)
        try:
            for data in chunks:
                pair.client.receive_data(data)
        except LinkError:
            continue
