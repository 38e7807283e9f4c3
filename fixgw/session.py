"""A FIX session as the acceptor sees it: numbers, gaps, heartbeats, logging on and out. No input or output.

Theory of operation
-------------------
A session is two numbered streams of messages, one each way, that outlive connections. Its durable state is three
numbers: `next_in_seq`, the MsgSeqNum(34) expected from the peer; `next_out_seq`, the one our next message gets;
and `run`, which grows at every reset to 1, so that (run, MsgSeqNum) only ever grows. Everything else is forgotten
when the connection ends.

    DISCONNECTED ──Logon──► ACTIVE ◄──gap filled──── AWAITING_RESEND     Logout, either way,
         ▲                    │  └────gap found──────────►▲               from any connected state
         │                    ├──peer silent──► AWAITING_TEST_RESPONSE         │
         └──connection lost───┴───── (peer heard: back to where it was) ◄──────▼
                                                                          LOGOUT_SENT

Receiving. `receive` takes one decoded message. The header is judged first (FIX 4.4 Volume 2, test cases 2), then
the number: as expected, the message is consumed, checked by the dictionary, and acted upon; too high, it is
dropped and a ResendRequest(expected, 0) asks for everything again (dropping is what bounds the memory of a gap:
whatever the peer sends before it has seen the request, it will send again); too low, it is a PossDup to be
ignored, or the end of the connection. A message that is refused is consumed like any other.

Sending. Every message takes its number at once, connected or not. Numbered while disconnected, it waits in the
owner's store for the ResendRequest that follows the next Logon; numbered while a resend is open, it goes out when
the resend comes to it (`fixgw.resend`).

Time. `now` is the wall clock's: what SendingTime(52) says and is judged by, what a TestReqID(112) shows, what `run` is
taken from. How long something lasts (heartbeats, silence, a gap, a Logout without an answer) goes by the `SteadyClock`
that the owner brings up to date before each call: to set the wall clock ends no session, and none falls silent by it.

Duties of the owner, per batch: feed `receive`, handle its events; store what `send_application`, `reject` and
`Rejected` events give, together with the three numbers, and make them durable; only then drain `data_to_send` to
the socket, and pump `resend` while `resend_wanted` asks for more; re-arm its timer from `next_deadline`. After
`Disconnect`, flush with a bound on the time, close, and call `connection_lost`: a close with unread input makes
TCP throw away what we said last, so shut down sending first and read on for a moment.

Choices where engines differ: RefTagID(371) is given for header faults too. A TestRequest goes out after 1.2 ×
HeartBtInt of silence and the connection ends after 2.4 ×, without a Logout: 1.2 × after the TestRequest, so that the
silence of our own machine, if it froze, is not the end of everybody's connection. OrigSendingTime(122) later than
SendingTime(52) is rejected, but does not end the session (test case 2f makes that optional).

An initiator would add one state, LOGON_SENT, one method that sends the Logon and one transition to ACTIVE; all
that is after the Logon is the same for both roles.

Source: FIX 4.4 with Errata 20030618, Volume 2, and the session-layer test cases there, cited as "2b" and so on.
"""

from collections.abc import Iterable
from typing import Final

from fixgw import logon, tags, values
from fixgw.awake import SteadyClock
from fixgw.codec import FixMessage, clean, sequence_number
from fixgw.dictionary import DICTIONARIES
from fixgw.header import (
    NO_NUMBER,
    NO_SENDING_TIME,
    WRONG_BEGIN_STRING,
    header_fault,
    poss_dup_fault,
)
from fixgw.logon import Identity
from fixgw.outbound import Outbound, reject_body
from fixgw.session_events import (
    Application,
    Disconnect,
    Event,
    LoggedOn,
    LoggedOut,
    Rejected,
    ResendRequested,
    SequenceNumbersReset,
)
from fixgw.session_state import LIVE, TRANSITIONS, State, Trigger
from fixgw.timestamps import SECOND, format_timestamp
from fixgw.values import Fault, SessionRejectReason

#: How long after our Logout the peer has to answer it or to close (ns); 12, 13b.
LOGOUT_TIMEOUT: Final = 10 * SECOND

#: A gap in which nothing moves for this long (ns) is asked for again, so many times in all.
RESEND_TIMEOUT: Final = 30 * SECOND
MAX_RESEND_REQUESTS: Final = 3

LOWERING: Final = Fault(
    SessionRejectReason.VALUE_IS_INCORRECT, 36, "Attempt to lower sequence number, invalid NewSeqNo(36)"
)
NOTHING_TO_RESEND: Final = Fault(
    SessionRejectReason.VALUE_IS_INCORRECT, 7, "BeginSeqNo(7) and EndSeqNo(16) are not a range of sent messages"
)


class Session:
    """One FIX session. Its numbers (see the head of this file) are its public, durable state.

    `identity`: the venue is the sender. `test_traffic`: take Logons with TestMessageIndicator(464)=Y. `now` is ns since
    the epoch.
    """

    def __init__(
        self,
        identity: Identity,
        next_in_seq: int = 1,
        next_out_seq: int = 1,
        run: int = 0,
        *,
        test_traffic: bool = False,
    ) -> None:
        self.identity = identity
        self.next_in_seq = next_in_seq
        self.run = run
        self.state = State.DISCONNECTED
        self._test_traffic = test_traffic
        self._dictionary = DICTIONARIES[identity.begin_string]
        self._out = Outbound(identity, next_out_seq)
        self._clock = self._out.clock  # all times below are its
        self._heart_bt_int = 0  # ns; 0: no heartbeats
        self._last_received = 0
        self._test_requested = 0
        self._logout_deadline = 0
        self._gap_last = 0  # the highest number known to be missing or dropped; 0: no gap
        self._gap_progress = 0  # when the gap last got smaller, or was asked for
        self._gap_requests = 0

    @property
    def next_out_seq(self) -> int:
        """MsgSeqNum(34) of our next message."""
        return self._out.next_out_seq

    def keep_time_by(self, clock: SteadyClock) -> None:
        """Measure by the owner's clock: before the first Logon, for what was measured by another means nothing then."""
        self._clock = self._out.clock = clock

    # Logging on

    def accept_logon(self, message: FixMessage, now: int) -> list[Event]:
        """Answer the first message of a connection: `identify` found this session, credentials are good.

        A Logon whose content is wrong is answered by Logout; its own number is not consumed, that of the Logout
        is: engines count a Logout they receive, whatever number it has.
        """
        assert self.state is State.DISCONNECTED, "a connected session keeps its connection (1S.b)"
        fault = self._dictionary.check(message)
        text = fault.text if fault else logon.check_logon(message, now, test_traffic=self._test_traffic)
        if text is not None:
            return self._refuse(text, now)
        reset = logon.wants_reset(message)
        if not reset and message.msg_seq_num < self.next_in_seq:
            return self._refuse(self._too_low(message.msg_seq_num), now)
        next_expected = logon.next_expected(message)
        if next_expected > (1 if reset else self.next_out_seq):
            text = f"NextExpectedMsgSeqNum(789) too high, expected {self.next_out_seq} but received {next_expected}"
            return self._refuse(text, now)
        self._last_received = self._clock.time
        self._move(Trigger.LOGON_ACCEPTED)
        return [*self._establish(message, now), LoggedOn()]

    def refuse_logon(self, text: str, now: int) -> bytes:
        """A Logout for a peer that has not proved who it is. The session is untouched: the Logout's MsgSeqNum is the
        one that our next message will have. An engine that counts it all the same (QuickFIX does) finds that next
        message too low and needs another try; closing without a word (1S.c allows both) spares it that.
        """
        body = b"58=%b\x01" % clean(text.encode())
        return self._out.encoder.encode(values.LOGOUT, self.next_out_seq, format_timestamp(now), body)

    def reset(self, now: int) -> SequenceNumbersReset:
        """Begin both numbers at 1 again: a new trading day, or the operator's word. Not while connected."""
        assert self.state is State.DISCONNECTED
        return self._reset_numbers(now)

    def connection_lost(self) -> None:
        """The connection is gone, whoever closed it."""
        self._move(Trigger.CONNECTION_LOST)
        self._out.disconnect()
        self._gap_last = 0

    # Sending

    def send_application(self, msg_type: bytes, body: bytes, now: int) -> tuple[int, bytes]:
        """Number a message and, if the session is ready for it, put it in line for the socket. The owner stores the
        number and the bytes before it drains `data_to_send`."""
        return self._out.number(msg_type, body, now, live=self.state in LIVE)

    def reject(self, message: FixMessage, fault: Fault, now: int) -> tuple[int, bytes]:
        """Send Reject(3) or BusinessMessageReject(j) for `message`, as the fault's reason says; store the result."""
        msg_type, body = reject_body(message, fault, self.identity.begin_string)
        return self.send_application(msg_type, body, now)

    def send_logout(self, text: str, now: int) -> None:
        """Log out in good order (12). An open resend ends here: what it has not sent can be asked for again."""
        if self.state is State.DISCONNECTED or self.state is State.LOGOUT_SENT:
            return
        self._logout(text, now)

    def data_to_send(self) -> bytes:
        """Everything for the socket since the last call."""
        return self._out.drain()

    # Resending

    def resend_wanted(self) -> tuple[int, int] | None:
        """First and last number the open resend needs next from the store; None when no resend is open."""
        resend = self._out.resend
        return resend.wanted(self._out.next_out_seq) if resend is not None else None

    def resend(self, first: int, last: int, stored: Iterable[tuple[int, bytes]], now: int) -> None:
        """Go on with the open resend: `stored` are the messages kept for the range that `resend_wanted` gave, in
        order; numbers it lacks were admin messages. A range that is no longer wanted is ignored. After our Logout
        nothing goes out but what was asked for."""
        self._out.pump(first, last, stored, now, live=self.state in LIVE)

    # Receiving

    def receive(self, message: FixMessage, now: int) -> list[Event]:
        """One message from the peer, any but the Logon that opened the connection."""
        self._last_received = self._clock.time
        number = message.msg_seq_num
        fields = message.fields
        if (
            number == self.next_in_seq
            and self.state is State.ACTIVE
            and message.msg_type not in values.ADMIN
            and tags.PossDupFlag not in fields
            and header_fault(message, self.identity, now) is None
            and self._dictionary.check(message) is None
        ):
            self.next_in_seq = number + 1
            return [Application(message, self.run << 32 | number)]
        return self._receive_carefully(message, now)

    def _receive_carefully(self, message: FixMessage, now: int) -> list[Event]:
        """Whatever is not the next application message of a session in order."""
        assert self.state is not State.DISCONNECTED, "the first message is for accept_logon"
        if self.state is State.AWAITING_TEST_RESPONSE:
            self._move(Trigger.PEER_HEARD)
            if self._gap_last:
                self._move(Trigger.GAP_FOUND)
        fault = header_fault(message, self.identity, now)
        if fault is not None:
            return self._refuse_header(message, fault, now)
        if message.msg_type == values.SEQUENCE_RESET and message.fields.get(tags.GapFillFlag) != b"Y":
            return self._receive_reset(message, now)
        if message.msg_type == values.LOGON and message.msg_seq_num == 1 and logon.wants_reset(message):
            return self._receive_reset_logon(message, now)
        if message.msg_seq_num > self.next_in_seq:
            return self._receive_too_high(message, now)
        if message.msg_seq_num < self.next_in_seq:
            return self._receive_too_low(message, now)
        return self._receive_expected(message, now)

    def _refuse_header(self, message: FixMessage, fault: Fault, now: int) -> list[Event]:
        events: list[Event] = []
        if fault is not WRONG_BEGIN_STRING and fault is not NO_NUMBER:
            if message.msg_seq_num == self.next_in_seq:
                self._advance(self.next_in_seq + 1)
            events += self._rejected(message, fault, now)
        if fault is not NO_SENDING_TIME:
            events += self._fatal(fault.text, now)
        return events

    def _receive_too_high(self, message: FixMessage, now: int) -> list[Event]:
        """2b. A ResendRequest is served before our own goes out (20), a Logout is answered after it (13b); all else
        is dropped, to come again."""
        events: list[Event] = []
        if message.msg_type == values.RESEND_REQUEST and self._dictionary.check(message) is None:
            events = self._receive_resend_request(message, now)
        if self.state is not State.LOGOUT_SENT:  # then it is a matter for the next Logon
            self._gap_found(message.msg_seq_num, now, ask=True)
        if message.msg_type == values.LOGOUT:
            events += self._receive_logout(now)
        return events

    def _receive_too_low(self, message: FixMessage, now: int) -> list[Event]:
        """2c, 2e: seen before, or the end of the connection."""
        if message.fields.get(tags.PossDupFlag) != b"Y":
            return self._fatal(self._too_low(message.msg_seq_num), now)
        fault = poss_dup_fault(message)
        return self._rejected(message, fault, now) if fault is not None else []

    def _receive_expected(self, message: FixMessage, now: int) -> list[Event]:
        number = message.msg_seq_num
        msg_type = message.msg_type
        resent = message.fields.get(tags.PossDupFlag) == b"Y"
        self._advance(number + 1)
        fault = (poss_dup_fault(message) if resent else None) or self._dictionary.check(message)
        if fault is not None:
            return self._rejected(message, fault, now)
        if msg_type not in values.ADMIN:
            if not resent and self._gap_last:  # the peer is done resending, whatever number we thought was missing
                self._close_gap()
            return [Application(message, self.run << 32 | number)]
        if msg_type == values.SEQUENCE_RESET:
            return self._receive_gap_fill(message, now)
        if resent:  # an admin message that should have been gap-filled is only counted
            return []
        if msg_type == values.TEST_REQUEST:
            self._out.send_admin(values.HEARTBEAT, b"112=%b\x01" % clean(message.fields[tags.TestReqID]), now)
        elif msg_type == values.RESEND_REQUEST:
            return self._receive_resend_request(message, now)
        elif msg_type == values.LOGOUT:
            return self._receive_logout(now)
        elif msg_type == values.LOGON:
            return self._fatal("Logon(A) in mid-session without ResetSeqNumFlag(141)=Y and MsgSeqNum(34)=1", now)
        return []  # Heartbeat and Reject: being counted was all

    def _receive_gap_fill(self, message: FixMessage, now: int) -> list[Event]:
        """10: the number is the expected one, and consumed; jump to NewSeqNo(36)."""
        new_seq_no = sequence_number(message.fields[tags.NewSeqNo])
        if new_seq_no < self.next_in_seq:
            return self._rejected(message, LOWERING, now)
        self._advance(new_seq_no)
        return []

    def _receive_reset(self, message: FixMessage, now: int) -> list[Event]:
        """11, SequenceReset-Reset: its own MsgSeqNum(34) means nothing."""
        fault = self._dictionary.check(message)
        new_seq_no = sequence_number(message.fields.get(tags.NewSeqNo))
        if fault is None and new_seq_no < self.next_in_seq:
            fault = LOWERING
        if fault is not None:
            return self._rejected(message, fault, now)
        self._advance(new_seq_no)
        return []

    def _receive_reset_logon(self, message: FixMessage, now: int) -> list[Event]:
        """ResetSeqNumFlag(141)=Y in mid-session: how sessions that never end begin at 1 again. It must be obeyed."""
        if self.state is State.LOGOUT_SENT:
            return []
        fault = self._dictionary.check(message)
        text = fault.text if fault else logon.check_logon(message, now, test_traffic=self._test_traffic)
        if text is not None:
            return self._fatal(text, now)
        self._close_gap()
        self._out.resend = None
        return self._establish(message, now)

    def _receive_resend_request(self, message: FixMessage, now: int) -> list[Event]:
        """8: serve what was sent; 0, or a number beyond the last one, means to the end."""
        first = sequence_number(message.fields[tags.BeginSeqNo])
        last = sequence_number(message.fields[tags.EndSeqNo])
        if not 0 < first < self.next_out_seq or 0 < last < first:
            return self._rejected(message, NOTHING_TO_RESEND, now)
        return self._open_resend(first, last if 0 < last < self.next_out_seq else self.next_out_seq - 1)

    def _receive_logout(self, now: int) -> list[Event]:
        """13a: the answer to ours ends the connection. 13b: the peer's own is answered, then the peer closes."""
        if self.state is State.LOGOUT_SENT:
            return [LoggedOut(), Disconnect("Logout(5) exchanged")]
        self._logout("", now)
        return [LoggedOut()]

    # Timers

    def next_deadline(self) -> int | None:
        """When by the session's clock `handle_deadline` has something to do, or None."""
        if self.state is State.DISCONNECTED:
            return None
        if self.state is State.LOGOUT_SENT:
            return self._logout_deadline
        deadlines = []
        if self._heart_bt_int:
            deadlines = [self._out.last_sent + self._heart_bt_int, self._silence_deadline()]
        if self.state is State.AWAITING_RESEND:
            deadlines.append(self._gap_progress + RESEND_TIMEOUT)
        return min(deadlines, default=None)

    def handle_deadline(self, now: int) -> list[Event]:
        """Do what is due: Heartbeat (4a), TestRequest (6), asking again for a gap, giving up."""
        time = self._clock.time
        if self.state is State.DISCONNECTED:
            return []
        if self.state is State.LOGOUT_SENT:
            return [Disconnect("no answer to Logout(5)")] if time >= self._logout_deadline else []
        if self.state is State.AWAITING_RESEND and time >= self._gap_progress + RESEND_TIMEOUT:
            if self._gap_requests >= MAX_RESEND_REQUESTS:
                return self._fatal("ResendRequest(2) was not answered", now)
            self._ask_for_gap(now)
        if not self._heart_bt_int:
            return []
        if time >= self._silence_deadline():
            if self.state is State.AWAITING_TEST_RESPONSE:
                return [Disconnect("no message for 2.4 × HeartBtInt(108)")]
            self._move(Trigger.PEER_SILENT)
            self._test_requested = time
            self._out.send_admin(values.TEST_REQUEST, b"112=%b\x01" % format_timestamp(now), now)
        if time >= self._out.last_sent + self._heart_bt_int:
            self._out.send_admin(values.HEARTBEAT, b"", now)
        return []

    def _silence_deadline(self) -> int:
        since = self._test_requested if self.state is State.AWAITING_TEST_RESPONSE else self._last_received
        return since + self._heart_bt_int * 12 // 10

    # Steps

    def _move(self, trigger: Trigger) -> None:
        self.state = TRANSITIONS[self.state][trigger]

    def _establish(self, message: FixMessage, now: int) -> list[Event]:
        """Count an accepted Logon, answer it, and see to what either side has missed."""
        events: list[Event] = []
        fields = message.fields
        reset = logon.wants_reset(message)
        if reset:
            events.append(self._reset_numbers(now))
        self._heart_bt_int = int(fields[tags.HeartBtInt]) * SECOND
        next_expected = logon.next_expected(message)
        missed = message.msg_seq_num > self.next_in_seq
        if not missed:
            self.next_in_seq += 1
        body = b"98=0\x01108=%d\x01" % (self._heart_bt_int // SECOND)
        body += b"141=Y\x01" if reset else b""
        body += b"789=%d\x01" % self.next_in_seq if next_expected else b""
        answer = self.next_out_seq
        self._out.send_admin(values.LOGON, body, now)
        if missed:  # a peer that knows 789 resends by itself
            self._gap_found(message.msg_seq_num, now, ask=not next_expected)
        if 0 < next_expected < answer:
            events += self._open_resend(next_expected, answer)
        return events

    def _reset_numbers(self, now: int) -> SequenceNumbersReset:
        """`run` takes the clock's seconds where that is more: it grows even if the stored one was lost."""
        self.next_in_seq = self._out.next_out_seq = 1
        self.run = max(self.run + 1, now // SECOND)
        return SequenceNumbersReset(self.run)

    def _advance(self, next_in_seq: int) -> None:
        self.next_in_seq = next_in_seq
        self._gap_progress = self._clock.time
        if self._gap_last < next_in_seq:
            self._close_gap()

    def _gap_found(self, number: int, now: int, *, ask: bool) -> None:
        """One ResendRequest per gap: more that is too high while it is open only makes it longer."""
        self._gap_last = max(self._gap_last, number)
        if self.state is State.AWAITING_RESEND:
            return
        self._move(Trigger.GAP_FOUND)
        self._gap_progress = self._clock.time
        self._gap_requests = 0
        if ask:
            self._ask_for_gap(now)

    def _ask_for_gap(self, now: int) -> None:
        self._gap_progress = self._clock.time
        self._gap_requests += 1
        self._out.send_admin(values.RESEND_REQUEST, b"7=%d\x0116=0\x01" % self.next_in_seq, now)

    def _close_gap(self) -> None:
        self._gap_last = 0
        if self.state is State.AWAITING_RESEND:
            self._move(Trigger.GAP_FILLED)

    def _open_resend(self, first: int, last: int) -> list[Event]:
        self._out.open_resend(first, last)
        return [ResendRequested(first, last)]

    def _rejected(self, message: FixMessage, fault: Fault, now: int) -> list[Event]:
        """7: a Reject is never rejected."""
        if message.msg_type == values.REJECT:
            return []
        number, raw = self.reject(message, fault, now)
        return [Rejected(message, number, raw)]

    def _logout(self, text: str, now: int) -> None:
        self._out.send_logout(text, now)
        self._move(Trigger.LOGOUT)
        self._logout_deadline = self._clock.time + LOGOUT_TIMEOUT

    def _fatal(self, text: str, now: int) -> list[Event]:
        """The peer broke a rule that ends the connection: Logout with the reason, then close."""
        if self.state is not State.LOGOUT_SENT:
            self._logout(text, now)
        return [Disconnect(text)]

    def _refuse(self, text: str, now: int) -> list[Event]:
        self._out.send_logout(text, now)
        return [Disconnect(text)]

    def _too_low(self, number: int) -> str:
        return f"MsgSeqNum(34) too low, expected {self.next_in_seq} but received {number}"
