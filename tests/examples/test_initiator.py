"""The broker's side of a FIX session, against a venue that says exactly what the test wants."""

import pytest
import trio
import trio.testing
from initiator import Initiator, Numbers, SessionEnded, Settings

from tests.examples.scripted_venue import ScriptedVenue

SETTINGS = Settings("BROKER", "VENUE", "user", "secret")


class Line:
    """An initiator and the venue at the other end, with what came of each."""

    def __init__(self, path=None):
        self.received = []
        self.numbers = Numbers(path)
        self.initiator = Initiator(SETTINGS, self._receive, self.numbers)
        self.logged_on = trio.Event()
        self.log_out = trio.Event()
        self.ended = ""
        self.finished = trio.Event()

    async def _receive(self, message, read_at):
        assert read_at > 0
        self.received.append((message.message_type, int(message.get(34)), message.get(58)))

    async def run(self, stream):
        try:
            async with self.initiator.session(stream):
                self.logged_on.set()
                await self.log_out.wait()
        except SessionEnded as ended:
            self.ended = str(ended)
        self.finished.set()


@pytest.fixture
async def start(nursery):
    def _start(line, **options):
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(line.run, ours)
        return ScriptedVenue(theirs, **options)

    return _start


@pytest.fixture
def line():
    return Line()


async def reason(line, venue):
    """Why the session ended, once the connection is closed."""
    await venue.expect_closed()
    await line.finished.wait()
    return line.ended


async def end(line, venue):
    line.log_out.set()
    await venue.log_out()
    assert await reason(line, venue) == ""


async def test_logon_messages_and_logout(line, start):
    venue = start(line)
    await venue.expect("8=FIX.4.4|35=A|34=1|49=BROKER|56=VENUE|98=0|108=10|141=Y|553=user|554=secret")
    await venue.send("35=A|98=0|108=10|141=Y")
    await line.logged_on.wait()
    await line.initiator.send(b"D", [(11, "a"), (38, 100)])
    await venue.expect("35=D|34=2|11=a|38=100")
    await venue.send("35=8|58=one")
    await venue.send("35=3|58=two")
    await end(line, venue)
    assert line.received == [(b"8", 2, b"one"), (b"3", 3, b"two")]
    assert (line.numbers.next_out, line.numbers.next_in) == (4, 5)


async def test_a_refused_logon_says_why(line, start):
    venue = start(line)
    await venue.expect("35=A")
    await venue.send("35=5|58=wrong password")
    assert await reason(line, venue) == "the venue refused the Logon: wrong password"
    assert not line.logged_on.is_set()


async def test_a_logon_that_is_not_answered(line, start, autojump_clock):
    venue = start(line)
    await venue.expect("35=A")
    assert await reason(line, venue) == "the venue did not answer the Logon"


async def test_heartbeats_test_requests_and_the_end_of_patience(line, start, autojump_clock):
    venue = start(line)
    await venue.log_on()
    began = trio.current_time()
    await venue.expect("35=0")
    assert trio.current_time() == pytest.approx(began + 10)
    test_request = await venue.expect("35=1")
    assert trio.current_time() == pytest.approx(began + 12)
    await venue.send(f"35=0|112={test_request[112]}")
    await venue.expect("35=0")
    await venue.expect("35=1")
    assert trio.current_time() == pytest.approx(began + 24)
    await venue.expect("35=0")
    assert await reason(line, venue) == "nothing came from the venue in 24 seconds"
    assert trio.current_time() == pytest.approx(began + 36)


async def test_a_test_request_is_answered_with_its_text(line, start):
    venue = start(line)
    await venue.log_on()
    await venue.send("35=1|112=are you there")
    await venue.expect("35=0|112=are you there")
    await end(line, venue)


async def test_a_gap_is_asked_for_once_and_every_message_comes_in_order(line, start):
    venue = start(line)
    await venue.log_on()
    await venue.send("35=8|58=4", number=4)
    await venue.expect("35=2|7=2|16=0")
    await venue.send("35=8|58=5", number=5)
    await venue.send("35=8|43=Y|122=20261121-11:00:00.000|58=2", number=2)
    await venue.send("35=4|43=Y|123=Y|36=4", number=3)
    await venue.send("35=8|43=Y|122=20261121-11:00:00.000|58=4", number=4)
    await venue.send("35=8|43=Y|122=20261121-11:00:00.000|58=5", number=5)
    venue.next_out = 6
    await venue.send("35=8|58=6")
    await end(line, venue)
    assert [number for _, number, _ in line.received] == [2, 4, 5, 6]


async def test_a_second_gap_is_asked_for_again(line, start):
    venue = start(line)
    await venue.log_on()
    await venue.send("35=8", number=3)
    await venue.expect("35=2|7=2|16=0")
    await venue.send("35=4|43=Y|123=Y|36=4", number=2)
    await venue.send("35=8", number=6)
    await venue.expect("35=2|7=4|16=0")
    await venue.send("35=4|43=Y|123=Y|36=7", number=4)
    venue.next_out = 7
    await end(line, venue)


async def test_a_resend_request_is_answered_by_one_gap_fill(line, start):
    venue = start(line)
    await venue.log_on()
    await line.logged_on.wait()
    for _ in range(3):
        await line.initiator.send(b"D", [(11, "a")])
        await venue.receive()
    await venue.send("35=2|7=2|16=0")
    gap_fill = await venue.expect("35=4|34=2|43=Y|123=Y|36=5")
    assert gap_fill[122]
    await venue.send("35=2|7=5|16=0")  # nothing was sent from there on: nothing to answer
    await venue.send("35=1|112=next")
    await venue.expect("35=0|34=5|112=next")
    await end(line, venue)


async def test_what_was_seen_already_is_ignored_only_if_it_says_so(line, start):
    venue = start(line)
    await venue.log_on()
    await venue.send("35=8|58=two")
    await venue.send("35=8|43=Y|58=again", number=2)
    await venue.send("35=8|58=not again", number=2)
    assert await reason(line, venue) == "MsgSeqNum(34) too low, expecting 3, received 2"
    assert [text for _, _, text in line.received] == [b"two"]


async def test_sequence_reset_sets_the_expected_number(line, start):
    venue = start(line)
    await venue.log_on()
    await venue.send("35=4|36=100", number=1)
    venue.next_out = 100
    await venue.send("35=8")
    await end(line, venue)
    assert line.received == [(b"8", 100, None)]


async def test_a_logout_of_the_venue_is_answered_and_told(line, start):
    venue = start(line)
    await venue.log_on()
    await venue.send("35=5|58=good night")
    await venue.expect("35=5")
    assert await reason(line, venue) == "the venue logged us out: good night"


async def test_numbers_in_a_new_file_begin_the_session_anew_until_a_logon_was_answered(tmp_path, start):
    first = Line(tmp_path / "numbers")
    venue = start(first)
    await venue.expect("35=A|34=1|141=Y")
    await venue.send("35=5|58=wrong password")
    assert await reason(first, venue) == "the venue refused the Logon: wrong password"
    first.numbers.close()

    second = Line(tmp_path / "numbers")
    venue = start(second)
    await venue.log_on()
    await end(second, venue)


async def test_numbers_in_a_file_outlive_the_connection_and_what_was_missed_comes(tmp_path, start):
    first = Line(tmp_path / "numbers")
    venue = start(first)
    await venue.log_on()
    await end(first, venue)
    first.numbers.close()

    second = Line(tmp_path / "numbers")
    venue = start(second, next_out=5)
    assert 141 not in await venue.expect("35=A|34=3")
    await venue.send("35=A|98=0|108=10")  # number 5: 3 and 4 were sent while we were away
    await venue.expect("35=2|34=4|7=3|16=0")
    await second.logged_on.wait()
    await venue.send("35=8|43=Y|58=missed", number=3)
    await venue.send("35=8|43=Y|58=missed too", number=4)
    await venue.send("35=4|43=Y|123=Y|36=6", number=5)
    await end(second, venue)
    second.numbers.close()
    assert [number for _, number, _ in second.received] == [3, 4]
    assert (tmp_path / "numbers").read_text() == "000000000006 000000000007\n"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"8=FIX.4.4\x019=5\x01abc=1\x01", "what the venue sent is no FIX"),
        (b"x" * 70_000, "what the venue sent is no FIX message"),
        (b"8=FIX.4.4\x019=5\x0135=8\x0110=000\x01", "no number in tag 34"),
    ],
)
async def test_garbage_ends_the_session_and_is_told(line, start, data, why):
    venue = start(line)
    await venue.log_on()
    await venue.send_raw(data)
    assert why in await reason(line, venue)


async def test_a_value_that_would_forge_fields_is_not_sent(line, start):
    venue = start(line)
    await venue.log_on()
    await line.logged_on.wait()
    for value in ("a\x0154=2", ""):
        with pytest.raises(ValueError, match="tag 11 cannot have the value"):
            await line.initiator.send(b"D", [(11, value)])
    await end(line, venue)
    assert line.numbers.next_out == 3


async def test_an_error_of_the_owner_ends_the_session_and_comes_out_as_it_is(start):
    ours, theirs = trio.testing.memory_stream_pair()
    line = Line()
    venue = ScriptedVenue(theirs)

    async def trade():
        with pytest.raises(ZeroDivisionError):
            async with line.initiator.session(ours):
                raise ZeroDivisionError

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trade)
        await venue.log_on()
        await venue.expect_closed()


def test_settings_do_not_show_the_password():
    assert repr(SETTINGS) == "Settings(FIX.4.4:BROKER->VENUE)"
