"""The session beyond the conversations of tests/scenarios/fix: continuity, resends in pieces, restarts, hard cases."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixgw import tags
from fixgw.codec import FixProtocolError, Framer, decode
from fixgw.logon import Credentials, Identity, credentials, identify
from fixgw.resend import MAX_HELD, RESEND_CHUNK
from fixgw.session import LOGOUT_TIMEOUT, Session
from fixgw.session_events import Application, Disconnect, LoggedOn, LoggedOut, Rejected, SequenceNumbersReset
from fixgw.session_state import TRANSITIONS, State, Trigger
from fixgw.timestamps import SECOND
from fixgw.values import BusinessRejectReason, Fault
from tests.fixgw.fixtalk import NOW, Talk, told, wire

HOUR = 3600 * SECOND
ORDER = "11=A|55=ABCD|54=1|60=20261122-09:30:00|40=1|38=100"


def field(message: str, tag: int) -> str:
    return next(text.split("=", 1)[1] for text in message.split("|") if text.startswith(f"{tag}="))


# Who is it


def test_identify_turns_the_comp_ids_round() -> None:
    message = decode(wire("35=A|34=1|49=BROKER|52=x|56=VENUE|98=0|108=30|553=u|554=p|"))
    assert identify(message) == Identity(b"FIX.4.4", b"VENUE", b"BROKER")
    assert credentials(message) == Credentials(b"u", b"p")


@pytest.mark.parametrize("fields", ["35=0|34=1|49=BROKER|56=VENUE|", "35=A|34=1|56=VENUE|", "35=A|34=1|49=BROKER|"])
def test_who_is_nobody_is_told_nothing(fields: str) -> None:
    with pytest.raises(FixProtocolError):
        identify(decode(wire(fields)))


def test_credentials_may_be_missing() -> None:
    assert credentials(decode(wire("35=A|34=1|"))) == Credentials(b"", b"")


# Numbers


def test_a_logon_whose_credentials_are_wrong_leaves_the_session_as_it_was() -> None:
    talk = Talk(next_in_seq=5, next_out_seq=7)
    refusal = told(talk.session.refuse_logon("wrong\x01password", talk.now))
    assert refusal == "35=5|34=7|49=VENUE|52=20261122-09:30:00.000|56=BROKER|58=wrong?password|"
    assert (talk.session.next_in_seq, talk.session.next_out_seq, talk.session.state) == (5, 7, State.DISCONNECTED)
    assert talk.session.data_to_send() == b""
    assert talk.session.next_deadline() is None


def test_session_seq_grows_over_resets() -> None:
    talk = Talk(run=3)
    seen = []
    for _ in range(3):
        talk.logon("35=A|34=1|98=0|108=30|141=Y")
        for number in (2, 3):
            talk.receive(f"35=D|34={number}|{ORDER}")
            seen += [event.session_seq for event in talk.events if isinstance(event, Application)]
        talk.session.connection_lost()
    assert len(seen) == 6
    assert all(first < second for first, second in pairwise(seen))


def test_a_run_grows_even_if_the_clock_does_not() -> None:
    far = 4_000_000_000
    session = Session(Identity(b"FIX.4.4", b"VENUE", b"BROKER"), 9, 9, run=far)
    assert session.reset(NOW) == SequenceNumbersReset(far + 1)
    assert (session.next_in_seq, session.next_out_seq, session.run) == (1, 1, far + 1)


def test_numbers_are_bounded() -> None:
    talk = Talk()
    talk.logon()
    talk.receive("35=4|34=2|123=Y|36=4294967296")
    assert isinstance(talk.events[0], Rejected)
    assert talk.session.next_in_seq == 3
    talk.receive("35=0|34=4294967296")
    assert isinstance(talk.events[0], Disconnect)


def test_messages_without_a_logon_are_the_owners_to_refuse() -> None:
    talk = Talk()
    with pytest.raises(AssertionError, match="accept_logon"):
        talk.receive("35=0|34=1")


def test_a_second_connection_is_the_owners_to_refuse() -> None:
    talk = Talk()
    talk.logon()
    with pytest.raises(AssertionError, match=r"1S\.b"):
        talk.session.accept_logon(talk.message("35=A|34=2|98=0|108=30"), talk.now)
    with pytest.raises(AssertionError):
        talk.session.reset(talk.now)


# Rejects


def test_business_rejects_carry_the_order() -> None:
    talk = Talk()
    talk.logon()
    fault = Fault(BusinessRejectReason.NOT_AUTHORIZED, 0, "not\nyours")
    number, raw = talk.session.reject(talk.message(f"35=D|34=2|{ORDER}"), fault, talk.now)
    assert number == 2
    assert told(raw).endswith("|45=2|372=D|379=A|380=6|58=not?yours|")


def test_a_passwords_fault_does_not_show_it() -> None:
    talk = Talk()
    [refusal] = talk.logon("35=A|34=1|98=0|108=30|554=s3cret|554=s3cret")
    assert "s3cret" not in refusal
    assert field(refusal, tags.Text) == "Password(554) appears more than once"


# Logging out


def test_the_logout_deadline() -> None:
    talk = Talk()
    talk.logon()
    talk.session.send_logout("", talk.now)
    assert talk.session.next_deadline() == talk.clock.time + LOGOUT_TIMEOUT
    talk.sleep(LOGOUT_TIMEOUT - 1)
    assert talk.session.handle_deadline(talk.now) == []
    talk.sleep(1)
    assert talk.session.handle_deadline(talk.now) == [Disconnect("no answer to Logout(5)")]


def test_logging_out_twice_or_while_away_says_nothing() -> None:
    talk = Talk()
    talk.session.send_logout("", talk.now)
    assert talk.session.data_to_send() == b""
    talk.logon()
    talk.session.send_logout("", talk.now)
    assert len(talk.sent()) == 1
    talk.session.send_logout("", talk.now)
    assert talk.sent() == []


def test_nothing_breaks_after_our_logout() -> None:
    talk = Talk()
    talk.logon()
    talk.session.send_logout("", talk.now)
    talk.sent()
    assert talk.receive("35=0|34=9") == []  # a gap is a matter for the next Logon
    assert talk.receive("35=A|34=1|98=0|108=30|141=Y") == []
    assert field(talk.receive("35=1|34=2|112=x")[0], tags.TestReqID) == "x"
    assert talk.receive("35=0|34=2|") == []
    assert isinstance(talk.events[0], Disconnect)


def test_a_disconnected_session_has_nothing_due() -> None:
    talk = Talk()
    assert talk.session.handle_deadline(talk.now) == []


def test_a_deadline_before_its_time_does_nothing() -> None:
    talk = Talk()
    talk.logon()
    assert talk.session.handle_deadline(talk.now) == []
    assert talk.sent() == []


# Resends


def test_new_messages_wait_for_an_open_resend_and_lose_nothing() -> None:
    """A resend larger than a chunk, with reports and TestRequests coming in between."""
    talk = Talk()
    talk.logon()
    count = 2 * RESEND_CHUNK
    for i in range(count):
        talk.send(f"35=8|37={i}|")
    session = talk.session
    session.receive(talk.message("35=2|34=2|7=1|16=0"), talk.now)
    sent: list[str] = []
    chunks = 0
    while (wanted := session.resend_wanted()) is not None:
        first, last = wanted
        assert last - first < RESEND_CHUNK
        if chunks < 2:
            number, raw = session.send_application(b"8", b"37=new\x01", talk.now)
            talk.store[number] = raw
            session.receive(talk.message(f"35=1|34={3 + chunks}|112=t{chunks}"), talk.now)
        assert session.data_to_send() == b""
        session.resend(first, last, [(n, raw) for n, raw in talk.store.items() if first <= n <= last], talk.now)
        sent += [told(raw) for raw in Framer().receive_data(session.data_to_send())]
        chunks += 1
    assert chunks == 4
    numbers = [int(field(message, tags.MsgSeqNum)) for message in sent]
    assert numbers == list(range(1, count + 6))
    assert all("|43=Y|" in message for message in sent[: count + 1])
    assert ["|43=Y|" in message for message in sent[count + 1 :]] == [False] * 4
    assert [field(message, tags.MsgType) for message in sent[count + 1 :]] == ["8", "0", "8", "0"]
    assert talk.send("35=8|37=after|") != []


def test_a_gap_fill_is_one_message_across_chunks() -> None:
    talk = Talk()
    talk.logon("35=A|34=1|98=0|108=1")
    for i in range(2 * RESEND_CHUNK):
        talk.receive(f"35=1|34={2 + i}|112=x")
    [gap_fill] = talk.receive(f"35=2|34={2 + 2 * RESEND_CHUNK}|7=1|16=0")
    assert field(gap_fill, tags.NewSeqNo) == str(2 + 2 * RESEND_CHUNK)


def open_resend(talk: Talk, request: str) -> None:
    talk.session.receive(talk.message(request), talk.now)


def test_a_second_request_widens_an_open_resend() -> None:
    talk = Talk()
    talk.logon()
    for i in range(9):
        talk.send(f"35=8|37={i}|")
    open_resend(talk, "35=2|34=2|7=5|16=6")
    open_resend(talk, "35=2|34=3|7=3|16=8")
    assert talk.session.resend_wanted() == (3, 8)
    numbers = [int(field(message, tags.MsgSeqNum)) for message in talk.sent()]
    assert numbers == [3, 4, 5, 6, 7, 8]
    assert talk.session.resend_wanted() is None


def test_a_request_for_what_the_resend_has_just_sent_first() -> None:
    talk = Talk()
    talk.logon()
    session = talk.session
    talk.send("35=8|37=1|")
    open_resend(talk, "35=2|34=2|7=1|16=0")
    for _ in range(2 * RESEND_CHUNK):
        number, raw = session.send_application(b"8", b"37=new\x01", talk.now)
        talk.store[number] = raw
    for _ in range(2):  # what was asked for, then a first piece of what is new
        first, last = session.resend_wanted() or (0, 0)
        session.resend(first, last, [(n, talk.store[n]) for n in range(first, last + 1) if n in talk.store], talk.now)
    session.data_to_send()
    open_resend(talk, "35=2|34=3|7=3|16=0")
    sent = talk.sent()
    assert [int(field(message, tags.MsgSeqNum)) for message in sent] == list(range(3, 3 + 2 * RESEND_CHUNK))
    assert [("|43=Y|" in message) for message in sent] == [True] * RESEND_CHUNK + [False] * RESEND_CHUNK


def test_an_answer_for_a_range_no_longer_wanted_is_ignored() -> None:
    talk = Talk()
    talk.logon()
    talk.send("35=8|37=1|")
    talk.session.resend(1, 2, [], talk.now)
    assert talk.session.data_to_send() == b""
    open_resend(talk, "35=2|34=2|7=2|16=0")
    talk.session.resend(1, 2, [], talk.now)
    assert talk.session.data_to_send() == b""
    assert talk.session.resend_wanted() == (2, 2)


def test_admin_messages_held_back_are_bounded() -> None:
    talk = Talk()
    talk.logon()
    talk.send("35=8|37=1|")
    open_resend(talk, "35=2|34=2|7=2|16=0")
    for i in range(MAX_HELD + 10):
        talk.session.receive(talk.message(f"35=1|34={3 + i}|112={i}"), talk.now)
    sent = talk.sent()
    assert [field(message, tags.MsgType) for message in sent] == ["8"] + ["0"] * MAX_HELD + ["4"]
    assert field(sent[-1], tags.NewSeqNo) == str(talk.session.next_out_seq)


def test_our_logout_ends_an_open_resend_and_only_what_is_asked_for_follows() -> None:
    talk = Talk()
    talk.logon()
    talk.send("35=8|37=1|")
    open_resend(talk, "35=2|34=2|7=1|16=0")
    talk.session.send_logout("", talk.now)
    assert [field(message, tags.MsgType) for message in talk.sent()] == ["5"]
    open_resend(talk, "35=2|34=3|7=2|16=2")
    assert talk.send("35=8|37=late|") != []  # the resend; the late one is numbered and no more
    assert talk.sent() == []
    assert talk.session.next_out_seq == 5


def test_a_reset_ends_an_open_resend_and_a_gap() -> None:
    talk = Talk()
    talk.logon()
    talk.send("35=8|37=1|")
    open_resend(talk, "35=2|34=9|7=1|16=0")
    assert talk.session.state is State.AWAITING_RESEND
    [answer] = talk.receive("35=A|34=1|98=0|108=30|141=Y")
    assert field(answer, tags.MsgSeqNum) == "1"
    assert talk.session.state is State.ACTIVE
    assert talk.session.resend_wanted() is None


@pytest.mark.parametrize("fields", ["98=1|108=30|141=Y", "98=0|141=Y"])
def test_a_wrong_reset_in_mid_session_ends_it(fields: str) -> None:
    talk = Talk()
    talk.logon()
    talk.receive(f"35=A|34=1|{fields}")
    assert isinstance(talk.events[-1], Disconnect)


# Gaps


def test_a_number_never_to_come_does_not_keep_the_gap_open() -> None:
    talk = Talk()
    talk.logon()
    talk.receive("35=0|34=4000000000")
    assert talk.session.state is State.AWAITING_RESEND
    talk.receive(f"35=D|34=2|{ORDER}")
    assert talk.session.state is State.ACTIVE


def test_progress_puts_off_asking_again() -> None:
    talk = Talk()
    talk.logon("35=A|34=1|98=0|108=0")
    talk.receive("35=0|34=9")
    for number in range(2, 9):
        assert talk.wait(29) == []
        assert talk.receive(f"35=0|34={number}|43=Y|122=20261122-09:30:00") == []
    talk.receive("35=0|34=9|43=Y|122=20261122-09:30:00")
    assert talk.session.state is State.ACTIVE


# Time


@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["set back", "set ahead"])
def test_a_wall_clock_that_is_set_moves_no_heartbeat_and_no_end(step: int) -> None:
    talk = Talk()
    talk.logon()
    talk.wait(10)
    talk.now += step
    assert talk.wait(19.9) == []
    assert [field(each, tags.MsgType) for each in talk.wait(0.1)] == ["0"], "30 s after the Logon's answer"
    assert talk.wait(5.9) == []
    assert [field(each, tags.MsgType) for each in talk.wait(0.1)] == ["1"], "36 s after the Logon"
    talk.now += step
    assert [field(each, tags.MsgType) for each in talk.wait(35.9)] == ["0"]
    assert talk.session.state is State.AWAITING_TEST_RESPONSE
    talk.wait(0.1)
    assert talk.events == [Disconnect("no message for 2.4 × HeartBtInt(108)")]


@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["set back", "set ahead"])
def test_a_wall_clock_that_is_set_moves_no_request_for_a_gap(step: int) -> None:
    talk = Talk()
    talk.logon("35=A|34=1|98=0|108=0")
    talk.receive("35=0|34=3")
    talk.now += step
    assert talk.wait(29.9) == []
    assert [field(each, tags.MsgType) for each in talk.wait(0.1)] == ["2"]


@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["set back", "set ahead"])
def test_a_wall_clock_that_is_set_moves_no_end_after_a_logout(step: int) -> None:
    talk = Talk()
    talk.logon()
    talk.session.send_logout("", talk.now)
    talk.now += step
    talk.wait(9.9)
    assert talk.session.state is State.LOGOUT_SENT
    assert talk.events == [LoggedOn()]
    talk.wait(0.1)
    assert talk.events == [Disconnect("no answer to Logout(5)")]


def test_what_messages_say_and_are_judged_by_is_the_wall_clock() -> None:
    talk = Talk()
    talk.logon("35=A|34=1|98=0|108=1")
    talk.now += HOUR
    [heartbeat] = talk.wait(1)
    assert field(heartbeat, tags.SendingTime) == "20261122-10:30:01.000"
    talk.receive("35=0|34=2|52=20261122-09:30:01.000")
    assert talk.events[-1] == Disconnect("SendingTime(52) accuracy problem")


def test_who_was_asleep_gives_its_peer_the_time_to_answer() -> None:
    """A machine that froze finds every peer silent for longer than it allows: what they said is still to be read."""
    talk = Talk()
    talk.logon()
    talk.sleep(HOUR)
    assert talk.session.handle_deadline(talk.now) == []
    assert [field(each, tags.MsgType) for each in talk.sent()] == ["1"]
    assert [field(each, tags.MsgType) for each in talk.wait(35.9)] == ["0"]
    assert talk.session.state is State.AWAITING_TEST_RESPONSE
    talk.receive("35=0|34=2")
    assert talk.session.state is State.ACTIVE


# The whole


def test_every_transition_is_one_of_the_table() -> None:
    assert set(TRANSITIONS) == set(State)
    for state, transitions in TRANSITIONS.items():
        assert transitions[Trigger.CONNECTION_LOST] is State.DISCONNECTED
        assert all(target in State for target in transitions.values()), state


class Broker:
    """A naive counterpart: counts what comes in order, asks for gaps, keeps reports by number."""

    def __init__(self) -> None:
        self.next_in = 1
        self.next_out = 1
        self.reports: list[str] = []

    def take(self, message: str) -> list[str]:
        """What the broker answers to a message of the venue's."""
        number = int(field(message, tags.MsgSeqNum))
        if number > self.next_in:
            return [self.said(f"35=2|34=%d|7={self.next_in}|16=0")] if "|43=Y|" not in message else []
        if number < self.next_in:
            assert "|43=Y|" in message
            return []
        kind = field(message, tags.MsgType)
        self.next_in = int(field(message, tags.NewSeqNo)) if kind == "4" else number + 1
        if kind == "8":
            self.reports.append(field(message, tags.OrderID))
        return []

    def said(self, fields: str) -> str:
        self.next_out += 1
        return fields % (self.next_out - 1)


STEPS = st.lists(st.sampled_from(["report", "order", "test", "lose", "restart", "faulty", "wait"]), max_size=40)


@settings(deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_no_report_is_lost_or_doubled_over_lost_connections_and_restarts(steps: list[str], random: object) -> None:
    """Connections break with part of what was sent delivered; the gateway restarts from its three numbers and its
    store. At the end the broker has every report once, in order, and the venue every order."""
    talk = Talk()
    broker = Broker()
    made = orders = taken = 0

    def exchange(sent: list[str], lose: bool = False) -> None:
        nonlocal taken
        if lose:
            sent = sent[: random.randint(0, len(sent))]  # type: ignore[attr-defined]
        for message in sent:
            for answer in broker.take(message):
                exchange(talk.receive(answer))

    def connect() -> None:
        if talk.session.state is State.DISCONNECTED:
            sent = talk.logon(broker.said("35=A|34=%d|98=0|108=30"))
            assert talk.events == [LoggedOn()]
            exchange(sent)

    for step in [*steps, "report"]:
        connect()
        if step == "report":
            exchange(talk.send(f"35=8|37={made}|"))
            made += 1
        elif step in ("lose", "restart"):
            exchange(talk.send(f"35=8|37={made}|"), lose=True)
            made += 1
            talk.session.connection_lost()
            if step == "restart":
                old = talk.session
                talk.session = Session(old.identity, old.next_in_seq, old.next_out_seq, old.run)
                talk.session.keep_time_by(talk.clock)
            talk.send(f"35=8|37={made}|")
            made += 1
        elif step == "wait":
            for message in talk.wait(31):
                exchange([message])
            exchange(talk.receive(broker.said("35=0|34=%d")))
        else:
            fields = {"order": f"35=D|34=%d|{ORDER}", "test": "35=1|34=%d|112=x", "faulty": "35=D|34=%d|11=A"}[step]
            answer = talk.receive(broker.said(fields))
            taken += sum(isinstance(event, Application) for event in talk.events)
            orders += step == "order"
            exchange(answer)
    assert broker.reports == [str(i) for i in range(made)]
    assert taken == orders
    assert talk.session.next_in_seq == broker.next_out
    assert talk.session.next_out_seq == broker.next_in


PARTS = (
    *("43=Y|", "43=N|", "122=20261122-09:29:00|", "36=3|", "36=x|", "123=Y|", "7=1|", "16=0|", "112=t|", "141=Y|"),
    *("98=0|", "108=5|", "789=1|", f"{ORDER}|", "58=|", "-52|", "49=OTHER|", "45=1|", "372=D|380=0|", "8=FIX.4.2|"),
)


@given(st.lists(st.sampled_from(["0", "1", "2", "3", "4", "5", "A", "D", "8", "j", "ZZ"]), max_size=12), st.data())
@settings(deadline=None)
def test_no_message_of_a_peer_raises(kinds: list[str], data: st.DataObject) -> None:
    """Any fields in any order of messages; numbers never fall except by a reset."""
    talk = Talk(next_out_seq=4)
    talk.logon("35=A|34=1|98=0|108=30")
    for kind in kinds:
        number = data.draw(st.integers(0, 6))
        fields = "".join(data.draw(st.lists(st.sampled_from(PARTS), max_size=5, unique=True)))
        before = (talk.session.run, talk.session.next_in_seq, talk.session.next_out_seq)
        talk.receive(f"35={kind}|34={number}|{fields}")
        assert (talk.session.run, talk.session.next_in_seq, talk.session.next_out_seq) >= before
        if any(isinstance(event, Disconnect) for event in talk.events):
            talk.session.connection_lost()
            break
        if any(isinstance(event, LoggedOut) for event in talk.events):
            assert talk.session.state is State.LOGOUT_SENT
        talk.wait(data.draw(st.sampled_from([0, 1, 40])))


def test_heartbeats_stop_with_the_connection() -> None:
    talk = Talk()
    talk.logon("35=A|34=1|98=0|108=1")
    assert talk.session.next_deadline() == talk.clock.time + SECOND
    talk.session.connection_lost()
    assert talk.session.next_deadline() is None
