"""The receiver: one situation per test, then everything at once with a sender, two bad lines and a request server."""

import random
from ipaddress import ip_network
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata import receiver as receiver_module
from marketdata.moldudp64 import (
    END_OF_SESSION,
    DownstreamSender,
    decode_request,
    encode_downstream,
    encode_header,
)
from marketdata.receiver import (
    GRACE,
    HISTORY,
    MAX_PAST_SESSIONS,
    MAX_RETRY,
    RETRY,
    Event,
    Receiver,
    SequencedMessage,
    SessionEnded,
    SessionStarted,
    State,
)
from marketdata.requests import RequestServer, SessionStore

MS = 1_000_000
SESSION = b"261121A001"
NEXT_SESSION = b"261121A002"
MAX_STEPS = 10_000


def body(number: int) -> bytes:
    return b"message %d" % number


def packet(first: int, last: int, session: bytes = SESSION) -> bytes:
    return encode_downstream(session, first, [body(n) for n in range(first, last + 1)])


def heartbeat(number: int, session: bytes = SESSION) -> bytes:
    return encode_header(session, number, 0)


def end_of_session(number: int, session: bytes = SESSION) -> bytes:
    return encode_header(session, number, END_OF_SESSION)


def numbers(events: list[Event]) -> list[int]:
    """The numbers delivered; every message is checked to be the one of its number."""
    delivered = [event for event in events if isinstance(event, SequencedMessage)]
    assert all(event.message == body(event.sequence_number) for event in delivered)
    return [event.sequence_number for event in delivered]


def requested(receiver: Receiver) -> list[tuple[int, int, int]]:
    """Requests waiting to be sent, as (server, first, count)."""
    requests = []
    for server, datagram in receiver.datagrams_to_send():
        request = decode_request(datagram)
        assert request.session == receiver.session
        requests.append((server, request.sequence_number, request.message_count))
    return requests


def test_messages_in_order_are_delivered_at_once() -> None:
    receiver = Receiver()
    assert receiver.receive_datagram(packet(1, 2), 0) == [
        SessionStarted(SESSION),
        SequencedMessage(1, body(1)),
        SequencedMessage(2, body(2)),
    ]
    assert numbers(receiver.receive_datagram(packet(3, 3), 0)) == [3]
    assert receiver.state is State.SYNCHRONIZED
    assert receiver.next_deadline() is None


def test_the_other_lines_copy_is_a_duplicate() -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 3), 0)
    assert receiver.receive_datagram(packet(1, 3), 0) == []
    assert receiver.statistics().duplicates == 3


def test_a_copy_that_overlaps_brings_only_what_is_new() -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 3), 0)
    assert numbers(receiver.receive_datagram(packet(2, 5), 0)) == [4, 5]
    assert receiver.statistics().duplicates == 2


def test_reordered_packets_are_put_right_without_a_request() -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 1), 0)
    assert receiver.receive_datagram(packet(3, 4), 0) == []
    assert receiver.state is State.GAP_FILL
    assert numbers(receiver.receive_datagram(packet(2, 2), 1 * MS)) == [2, 3, 4]
    assert receiver.state is State.SYNCHRONIZED
    assert requested(receiver) == []


def test_a_gap_is_requested_when_its_grace_is_over() -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 1), 0)
    receiver.receive_datagram(packet(5, 6), 0)
    receiver.handle_deadline(GRACE - 1)
    assert requested(receiver) == []
    assert receiver.next_deadline() == GRACE
    receiver.handle_deadline(GRACE)
    assert requested(receiver) == [(0, 2, 3)]
    assert numbers(receiver.receive_datagram(packet(2, 4), GRACE + MS)) == [2, 3, 4, 5, 6]
    assert receiver.next_deadline() is None


@pytest.mark.parametrize("later", [heartbeat(3), end_of_session(3)])
def test_the_loss_of_the_last_messages_shows_in_silence(later: bytes) -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 1), 0)
    assert receiver.receive_datagram(later, 0) == []
    receiver.handle_deadline(GRACE)
    assert requested(receiver) == [(0, 2, 1)]


def test_an_unanswered_request_is_repeated_ever_more_slowly_at_the_next_server() -> None:
    receiver = Receiver(servers=3)
    receiver.receive_datagram(heartbeat(2), 0)
    times, servers = [], []
    while len(times) < 10:
        now = receiver.next_deadline()
        assert now is not None
        receiver.handle_deadline(now)
        times.append(now)
        servers += [server for server, _, _ in requested(receiver)]
    waits = [b - a for a, b in pairwise(times)]
    assert waits == [min(RETRY << n, MAX_RETRY) for n in range(9)]
    assert servers == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


def test_one_request_per_gap_is_outstanding() -> None:
    receiver = Receiver()
    for first in (2, 4, 6):
        receiver.receive_datagram(packet(first, first), 0)
    receiver.handle_deadline(GRACE)
    receiver.handle_deadline(GRACE)
    receiver.receive_datagram(packet(8, 8), GRACE)
    assert requested(receiver) == [(0, 1, 1), (0, 3, 1), (0, 5, 1)]


def test_a_long_gap_is_fetched_answer_by_answer() -> None:
    """The late joiner: it hears of number 101 first."""
    receiver = Receiver()
    receiver.receive_datagram(packet(101, 101), 0)
    assert receiver.state is State.BACKFILL
    receiver.handle_deadline(GRACE)
    assert requested(receiver) == [(0, 1, 100)]
    assert numbers(receiver.receive_datagram(packet(1, 40), 4 * MS)) == list(range(1, 41))
    assert requested(receiver) == [(0, 41, 60)]
    receiver.receive_datagram(packet(102, 102), 4 * MS)
    receiver.receive_datagram(packet(41, 80), 5 * MS)
    assert receiver.state is State.BACKFILL
    assert numbers(receiver.receive_datagram(packet(81, 100), 6 * MS)) == list(range(81, 103))
    assert receiver.state is State.SYNCHRONIZED


def test_what_is_too_far_ahead_is_fetched_later() -> None:
    receiver = Receiver(window=10)
    receiver.receive_datagram(packet(5, 20), 0)
    assert numbers(receiver.receive_datagram(packet(1, 4), 0)) == list(range(1, 11))
    assert receiver.statistics().overflows == 10
    receiver.receive_datagram(packet(31, 32), 0)
    receiver.handle_deadline(GRACE)
    assert requested(receiver) == [(0, 11, 22)]
    assert numbers(receiver.receive_datagram(packet(11, 32), GRACE)) == list(range(11, 21))
    assert requested(receiver) == [(0, 21, 12)]


def test_the_same_number_with_other_bytes_is_a_corruption_and_the_first_bytes_stay() -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 1), 0)
    receiver.receive_datagram(packet(3, 3), 0)
    receiver.receive_datagram(encode_downstream(SESSION, 1, [b"forged 1"]), 0)
    receiver.receive_datagram(encode_downstream(SESSION, 3, [b"forged 3"]), 0)
    assert numbers(receiver.receive_datagram(packet(2, 2), 0)) == [2, 3]
    assert receiver.statistics().corruptions == 2


def test_copies_of_long_ago_are_not_compared() -> None:
    receiver = Receiver()
    for first in range(1, HISTORY + 2, 97):
        receiver.receive_datagram(packet(first, first + 96), 0)
    last = receiver.next_sequence_number - 1
    receiver.receive_datagram(encode_downstream(SESSION, last - HISTORY, [b"forged"]), 0)
    assert receiver.statistics().corruptions == 0
    receiver.receive_datagram(encode_downstream(SESSION, last - HISTORY + 1, [b"forged"]), 0)
    assert receiver.statistics().corruptions == 1


def test_the_end_of_a_session_is_an_event_once() -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 2), 0)
    assert receiver.receive_datagram(end_of_session(3), 0) == [SessionEnded(SESSION)]
    assert receiver.receive_datagram(end_of_session(3), 0) == []
    assert receiver.ended


def test_an_end_with_open_gaps_is_no_success() -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 1), 0)
    assert receiver.receive_datagram(end_of_session(4), 0) == []
    assert not receiver.ended
    assert receiver.receive_datagram(packet(2, 3), 0)[-1] == SessionEnded(SESSION)


def test_an_end_before_what_was_sent_already_is_a_corruption() -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 2), 0)
    assert receiver.receive_datagram(end_of_session(2), 0) == []
    assert receiver.statistics().corruptions == 1


def test_a_new_session_discards_the_old_one() -> None:
    receiver = Receiver()
    receiver.receive_datagram(packet(1, 1), 0)
    receiver.receive_datagram(packet(4, 4), 0)
    events = receiver.receive_datagram(packet(1, 1, NEXT_SESSION), 0)
    assert events == [SessionStarted(NEXT_SESSION), SequencedMessage(1, body(1))]
    assert receiver.receive_datagram(packet(2, 3), 0) == []
    statistics = receiver.statistics()
    assert (statistics.lost, statistics.stale, statistics.missing) == (3, 1, 0)


def test_sessions_left_behind_are_forgotten_in_time() -> None:
    receiver = Receiver()
    for n in range(MAX_PAST_SESSIONS + 2):
        receiver.receive_datagram(heartbeat(1, b"%010d" % n), 0)
    assert receiver.receive_datagram(heartbeat(1, b"%010d" % 1), 0) == []
    assert receiver.receive_datagram(heartbeat(1, b"%010d" % 0), 0) == [SessionStarted(b"%010d" % 0)]


def test_a_receiver_that_has_a_part_goes_on_behind_it() -> None:
    receiver = Receiver(session=SESSION, next_sequence_number=50)
    assert numbers(receiver.receive_datagram(packet(49, 51), 0)) == [50, 51]


@pytest.mark.parametrize("data", [b"", b"x" * 19, packet(1, 3)[:-1], packet(1, 3) + b"x", heartbeat(0)])
def test_garbage_is_counted_and_begins_no_session(data: bytes) -> None:
    receiver = Receiver()
    assert receiver.receive_datagram(data, 0) == []
    assert (receiver.session, receiver.statistics().garbled) == (None, 1)


class World:
    """A sender, two lines that lose, double and overtake, one request server in between, and a receiver.

    Datagrams in flight stand in one list with their time of arrival; everything is drawn from one seed.
    """

    def __init__(self, seed: int, loss: float, joins_at: int, window: int) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.now = 0
        self.sender = DownstreamSender(SESSION, now=0, max_payload=200, end_of_session_duration=2_000 * MS)
        self.store = SessionStore()
        self.server = RequestServer([ip_network("10.0.0.0/8")], max_payload=200, source_rate=500, source_burst=5)
        self.server.add_session(SESSION, self.store)
        self.receiver = Receiver(servers=2, window=window)
        self.joins_at = joins_at
        self.flying: list[tuple[int, int, str, bytes]] = []
        self.events: list[Event] = []
        self.sent = 0

    def fly(self, way: str, data: bytes) -> None:
        for _ in range(self.random.choice([1, 1, 1, 2])):
            if self.random.random() >= self.loss:
                arrival = self.now + self.random.randrange(5 * MS)
                self.flying.append((arrival, self.random.randrange(1 << 30), way, data))

    def publish(self) -> None:
        """Send what the sender has over both lines; only then may it be asked for."""
        for datagram in self.sender.datagrams_to_send():
            self.fly("line", datagram)
            self.fly("line", datagram)

    def arrive(self, way: str, data: bytes) -> None:
        if way == "request":
            answer = self.server.receive_request(data, "10.0.0.1", self.now)
            if answer is not None:
                self.fly("line", answer)
        elif self.sent >= self.joins_at:
            self.events += self.receiver.receive_datagram(data, self.now)

    def pass_time(self, until: int) -> None:
        """Let everything happen that is due up to `until`."""
        for _ in range(MAX_STEPS):
            for _server, request in self.receiver.datagrams_to_send():
                self.fly("request", request)
            due = [d for d in (self.receiver.next_deadline(), self.sender.next_deadline()) if d is not None]
            due += [arrival for arrival, *_ in self.flying]
            if not due or min(due) > until:
                self.now = until
                return
            self.now = max(self.now, min(due))
            self.flying.sort()
            while self.flying and self.flying[0][0] <= self.now:
                _, _, way, data = self.flying.pop(0)
                self.arrive(way, data)
            self.receiver.handle_deadline(self.now)
            self.sender.handle_deadline(self.now)
            self.publish()
        raise AssertionError("time stands still: some deadline is always due")

    def send_batch(self, count: int) -> None:
        batch = [body(self.sent + n + 1) for n in range(count)]
        for message in batch:
            self.sender.send_message(message)
        self.sender.flush(self.now)
        self.publish()
        for message in batch:
            self.store.append(message)
        self.sent += count


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    loss=st.sampled_from([0.0, 0.05, 0.3, 0.6]),
    batches=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20 * MS)), min_size=1, max_size=25),
    joins_at=st.integers(0, 200),
    window=st.sampled_from([5, 50, receiver_module.WINDOW]),
)
def test_everything_arrives_in_order_over_bad_lines(
    seed: int, loss: float, batches: list[tuple[int, int]], joins_at: int, window: int
) -> None:
    world = World(seed, loss, joins_at, window)
    for count, silence in batches:
        world.send_batch(count)
        world.pass_time(world.now + silence)
    world.joins_at = 0
    world.loss = min(loss, 0.3)
    for _ in range(60):  # heartbeats go on, and so does the repair
        world.pass_time(world.now + 1_000 * MS)
        if world.receiver.next_sequence_number > world.sent:
            break
    world.loss = 0.0
    world.sender.end_session(world.now)
    world.publish()
    world.pass_time(world.now + 3_000 * MS)
    assert world.events[0] == SessionStarted(SESSION)
    assert numbers(world.events) == list(range(1, world.sent + 1))
    assert world.events[-1] == SessionEnded(SESSION)
    statistics = world.receiver.statistics()
    assert (statistics.missing, statistics.corruptions, statistics.garbled, statistics.lost) == (0, 0, 0, 0)
    assert not world.receiver._waiting
