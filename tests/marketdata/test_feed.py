"""One channel: sessions, two lines that agree, restarts, and a listener at the other end."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata import itch
from marketdata.feed import Epoch, Feed, session_in_epoch
from marketdata.moldudp64 import DownstreamPacket, decode_downstream, encode_request
from marketdata.receiver import Receiver, SequencedMessage, SessionEnded, SessionStarted, State
from marketdata.requests import RequestServer
from matching import commands, events
from matching.codes import Side
from recovery.record import Position
from tests.marketdata.stream import MIDNIGHT, SECOND, ShardStream

SESSION = b"251121A001"
VENDOR = "10.0.0.1"


@pytest.fixture
def stream() -> ShardStream:
    """A day with two resting orders and a trade."""
    stream = ShardStream()
    stream.start_day()
    stream.enter(Side.BUY, 300, 100_0000)
    stream.enter(Side.SELL, 200, 101_0000)
    stream.enter(Side.SELL, 100, 100_0000)
    return stream


def server() -> RequestServer:
    return RequestServer([ip_network("10.0.0.0/8")])


def live_feed(request_server: RequestServer | None = None) -> Feed:
    feed = Feed(request_server=request_server)
    feed.go_live(0)
    return feed


def read(feed: Feed, stream: ShardStream, first: int = 0, now: int = 0) -> None:
    for released, before in stream.released(first):
        feed.receive_messages(released, before, now)


def sent(feed: Feed) -> list[DownstreamPacket]:
    return [decode_downstream(datagram) for datagram in feed.datagrams_to_send()]


def said(packets: list[DownstreamPacket]) -> str:
    """The types of all messages in packets, in order."""
    return "".join(message[:1].decode() for packet in packets for message in packet.messages)


def test_a_day_from_its_start(stream: ShardStream) -> None:
    feed = live_feed()
    read(feed, stream)
    packets = sent(feed)
    assert said(packets) == "SRHYRHYSSAAE"
    assert {packet.session for packet in packets} == {SESSION}
    assert packets[0].sequence_number == 1
    assert feed.statistics()[:4] == (SESSION, 13, True, 12)


def test_a_batch_is_one_datagram(stream: ShardStream) -> None:
    feed = live_feed()
    read(feed, stream)
    feed.datagrams_to_send()
    before = len(stream.transactions)
    stream.enter(Side.BUY, 100, 99_0000)
    stream.enter(Side.BUY, 100, 98_0000)
    batch = [message for released, _ in stream.released(before) for message in released]
    feed.receive_messages(batch, Position(), 0)
    assert [packet.message_count for packet in sent(feed)] == [2]


def test_two_lines_say_the_same_under_the_same_numbers(stream: ShardStream) -> None:
    """One reads transaction by transaction, the other everything at once; a third began in the middle of the day."""
    a, b, late = live_feed(), live_feed(), Feed()
    read(a, stream)
    everything = [message for released, _ in stream.released() for message in released]
    b.receive_messages(everything, Position(), 0)
    read(late, stream)
    late.go_live(0)
    count = len(stream.transactions)
    stream.enter(Side.BUY, 100, 99_0000)
    for feed in (a, b, late):
        read(feed, stream, count)

    def numbered(feed: Feed) -> dict[int, bytes]:
        return {
            number: message
            for packet in sent(feed)
            for number, message in enumerate(packet.messages, packet.sequence_number)
        }

    from_a = numbered(a)
    assert sorted(from_a) == list(range(1, 14))
    assert numbered(b) == from_a
    assert numbered(late) == {13: from_a[13]}


def test_catching_up_is_silent_and_then_says_where_it_stands(stream: ShardStream) -> None:
    requests = server()
    feed = Feed(request_server=requests)
    read(feed, stream)
    assert (feed.datagrams_to_send(), feed.next_deadline()) == ([], None)
    feed.handle_deadline(5 * SECOND)
    assert feed.datagrams_to_send() == []
    assert requests.receive_request(encode_request(SESSION, 12, 1), VENDOR, 0) is not None
    feed.go_live(5 * SECOND)
    assert sent(feed) == [(SESSION, 13, 0, [])]
    assert feed.next_deadline() == 6 * SECOND


def test_no_answer_runs_ahead_of_the_multicast(stream: ShardStream) -> None:
    requests = server()
    feed = live_feed(requests)
    read(feed, stream)
    request = encode_request(SESSION, 1, 100)
    assert requests.receive_request(request, VENDOR, 0) is None
    packets = sent(feed)
    answer = requests.receive_request(request, VENDOR, 0)
    assert answer is not None
    assert decode_downstream(answer).messages == [message for packet in packets for message in packet.messages]


def test_the_days_end_is_the_sessions_end(stream: ShardStream) -> None:
    feed = live_feed()
    stream.command(commands.EndDay(20251121))
    read(feed, stream)
    packets = sent(feed)
    assert said(packets) == "SRHYRHYSSAAESDDSS"
    assert packets[-1] == (SESSION, 18, 0xFFFF, [])
    assert [itch.decode(m) for m in packets[-2].messages][-1] == itch.SystemEvent(0, 0, stream.now - MIDNIGHT, b"C")
    feed.handle_deadline(SECOND)
    assert sent(feed) == [(SESSION, 18, 0xFFFF, [])]


def test_what_is_canceled_at_night_is_not_said(stream: ShardStream) -> None:
    feed = live_feed()
    good_till_canceled = commands.NewOrder(1, 1, Side.BUY, 2, 1, 99_0000, 100, 0, b"gtc", b"")
    stream.command(good_till_canceled, 1)
    stream.command(commands.EndDay(20251121))
    read(feed, stream)
    feed.datagrams_to_send()
    before = len(stream.transactions)
    [canceled, _] = stream.command(commands.MassCancel(0, 0, 0, 0, b""))
    assert isinstance(canceled, events.OrderCanceled)
    read(feed, stream, before)
    assert said(sent(feed)) == ""


def test_the_next_day_is_a_new_session(stream: ShardStream) -> None:
    requests = server()
    feed = live_feed(requests)
    stream.command(commands.EndDay(20251121))
    second_day = len(stream.transactions)
    stream.start_day(20251122, b"251122A001")
    stream.command(commands.EndDay(20251122))
    third_day = len(stream.transactions)
    stream.start_day(20251123, b"251123A001")
    read(feed, stream)
    assert [(p.session, p.sequence_number) for p in sent(feed) if p.sequence_number == 1] == [
        (SESSION, 1),
        (b"251122A001", 1),
        (b"251123A001", 1),
    ]
    answers = [
        requests.receive_request(encode_request(session, 1, 1), VENDOR, 0) is not None
        for session in (SESSION, b"251122A001", b"251123A001")
    ]
    assert answers == [False, True, True]
    assert feed.resume_position == stream.transactions[third_day][0] != stream.transactions[second_day][0]


def test_a_feed_restarted_at_the_days_start_goes_on_with_the_session(stream: ShardStream) -> None:
    stream.command(commands.EndDay(20251121))
    stream.start_day(20251122, b"251122A001")
    first_life = live_feed()
    read(first_life, stream)
    positions = [before for before, _ in stream.transactions]
    resumed = Feed()
    read(resumed, stream, positions.index(first_life.resume_position))
    assert resumed.statistics()[:2] == first_life.statistics()[:2]
    assert resumed.resume_position == first_life.resume_position


def test_what_comes_before_the_first_day_is_passed_over() -> None:
    """A reader may begin in the middle of a day that is none of ours."""
    stream = ShardStream()
    stream.start_day()
    stream.enter(Side.BUY, 300, 100_0000)
    stream.command(commands.EndDay(20251121))
    middle = len(stream.transactions) - 2
    stream.start_day(20251122, b"251122A001")
    feed = live_feed()
    read(feed, stream, middle)
    packets = sent(feed)
    assert {packet.session for packet in packets} == {b"251122A001"}
    assert said(packets) == "SRHYRHYSS"


def test_after_a_fork_the_day_is_said_again_under_a_new_name(stream: ShardStream) -> None:
    requests = server()
    feed = live_feed(requests)
    read(feed, stream)
    feed.datagrams_to_send()
    epoch = Epoch(40, stream.sequencer.next_seq)
    again = b"B41121A001"
    feed.begin_again(epoch, SECOND)
    assert sent(feed) == [(SESSION, 13, 0xFFFF, [])]
    assert feed.next_deadline() is None
    read(feed, stream, now=SECOND)
    assert sent(feed) == []
    feed.go_live(2 * SECOND)
    assert sent(feed) == [(SESSION, 13, 0xFFFF, []), (again, 13, 0, [])]
    answer = requests.receive_request(encode_request(again, 1, 1), VENDOR, 0)
    assert answer is not None
    assert said([decode_downstream(answer)]) == "S"

    # Whoever is started after it finds the same name: the epoch began after the day.
    restarted = Feed()
    assert not restarted.enter_epoch(epoch, 0)
    read(restarted, stream)
    assert restarted.statistics()[:2] == (again, 13)


def test_an_epoch_within_the_day_begins_the_session_again_and_one_before_it_does_not(stream: ShardStream) -> None:
    feed = Feed(may_fork=True)
    feed.go_live(0)
    assert not feed.enter_epoch(Epoch(1, 1), 0)
    read(feed, stream)
    assert not feed.enter_epoch(Epoch(1, 1), 0)
    assert feed.statistics().session == SESSION
    assert feed.enter_epoch(Epoch(2, stream.sequencer.next_seq), 0)
    assert not feed.enter_epoch(Epoch(2, stream.sequencer.next_seq), 0)
    read(feed, stream)
    assert feed.statistics()[:2] == (b"A21121A001", 13)

    middle = len(stream.transactions)
    stream.command(commands.EndDay(20251121))
    stream.start_day(20251122, b"251122A001")
    read(feed, stream, middle)
    assert feed.statistics().session == b"A21122A001"


def test_a_day_that_is_started_again_after_a_fork_has_another_name_on_every_line() -> None:
    """The fork lies before the day's start: the day of the first epoch is lost whole."""
    lost, true = ShardStream(), ShardStream()
    fork = true.sequencer.next_seq
    lost.start_day()
    lost.enter(Side.BUY, 300, 100_0000)
    true.start_day()
    true.enter(Side.SELL, 700, 102_0000)
    saw_it, started_later = Feed(may_fork=True), Feed(may_fork=True)
    assert not saw_it.enter_epoch(Epoch(1, 1), 0)
    read(saw_it, lost)
    assert saw_it.statistics().session == SESSION
    saw_it.begin_again(Epoch(2, fork), 0)
    assert not started_later.enter_epoch(Epoch(2, fork), 0)
    for feed in (saw_it, started_later):
        read(feed, true)
        assert feed.statistics().session == b"A21121A001"


def test_where_nothing_can_be_lost_a_day_has_its_own_name_in_every_epoch(stream: ShardStream) -> None:
    feed = live_feed()
    feed.begin_again(Epoch(2, 1), 0)
    read(feed, stream)
    assert feed.statistics().session == SESSION


@given(st.integers(0, 0xFFFFFFFF))
def test_no_epochs_name_is_a_days_own_nor_the_next_epochs(epoch: int) -> None:
    name = session_in_epoch(SESSION, epoch)
    assert len(name) == len(SESSION)
    assert name[2:] == SESSION[2:]
    assert name.decode().isalnum()
    assert name[:1].isalpha()
    assert name != session_in_epoch(SESSION, epoch + 1)


def test_a_listener_that_joins_late_has_the_whole_day(stream: ShardStream) -> None:
    requests = server()
    feed = live_feed(requests)
    read(feed, stream)
    feed.datagrams_to_send()
    stream.enter(Side.BUY, 100, 99_0000)
    read(feed, stream, len(stream.transactions) - 1)
    receiver = Receiver()
    events = [event for datagram in feed.datagrams_to_send() for event in receiver.receive_datagram(datagram, 0)]
    assert (events, receiver.state) == ([SessionStarted(SESSION)], State.BACKFILL)
    while (deadline := receiver.next_deadline()) is not None:
        receiver.handle_deadline(deadline)
        for _, request in receiver.datagrams_to_send():
            answer = requests.receive_request(request, VENDOR, deadline)
            assert answer is not None
            events += receiver.receive_datagram(answer, deadline)
    stream.command(commands.EndDay(20251121))
    read(feed, stream, len(stream.transactions) - 1)
    events += [event for datagram in feed.datagrams_to_send() for event in receiver.receive_datagram(datagram, 0)]
    delivered = [event for event in events if isinstance(event, SequencedMessage)]
    assert [event.sequence_number for event in delivered] == list(range(1, len(delivered) + 1))
    assert "".join(event.message[:1].decode() for event in delivered) == "SRHYRHYSSAAEASDDDSS"
    assert events[-1] == SessionEnded(SESSION)


def test_a_feed_without_a_day_is_silent() -> None:
    feed = live_feed()
    feed.handle_deadline(SECOND)
    assert (feed.datagrams_to_send(), feed.next_deadline()) == ([], None)
    assert feed.statistics() == (None, 1, True, 0, 0, 0)
