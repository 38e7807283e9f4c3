"""The listener's end of a MoldUDP64 feed: lines A and B and request servers in, every message once and in order out.

The idea: all datagrams are equal. Whether one came by line A, by line B or as the answer to a request, it holds
numbered messages of a session; the receiver keeps what is new, drops what it has, asks for what is missing, and
delivers the messages 1, 2, 3, … A late joiner is a receiver whose first gap is long.

    BACKFILL       nothing heard of the session yet, or its beginning is still being fetched
    SYNCHRONIZED   everything that was sent, as far as we know, is delivered
    GAP_FILL       was synchronized; something is missing and later messages wait for it

Rules:

* a gap shows itself by the number of a later packet, a heartbeat or an end of session; `gaps.py` says when it is asked
  for. Nothing is ever given up: without an answer it is asked for again at the longest interval, and delivery waits;
* what waits for a gap is bounded: messages more than `window` ahead of delivery are not kept but added to the last gap,
  and so fetched later;
* the same number with different bytes is a corruption. The first bytes stay; it is counted, and should wake somebody;
* a packet of another session begins that session: what was not delivered of the old one is lost (counted), the book
  built from it is void. Packets of sessions left behind are dropped;
* a session has ended well (`SessionEnded`) only when its end was announced *and* every message before it is delivered.

Pure: the owner passes datagrams and the time, sends `datagrams_to_send`, and calls `handle_deadline` when it is due.
"""

from enum import Enum
from typing import Final, NamedTuple

from marketdata import moldudp64
from marketdata.gaps import Gap, GapList

#: Nanoseconds between the sight of a gap and the first request: two lines differ by less than that in one plant.
GRACE: Final = 3_000_000
#: Nanoseconds until an unanswered request is repeated: first, and at most.
RETRY: Final = 20_000_000
MAX_RETRY: Final = 1_000_000_000
#: Keeps the shift small when a gap stays open for hours; `max_retry` is reached long before.
MAX_DOUBLINGS: Final = 16
#: Messages ahead of delivery that are kept: about a second of a busy feed, 10 MB of Python objects.
WINDOW: Final = 65_536
#: Delivered messages that later copies are compared with; line B is never seconds behind line A.
HISTORY: Final = 4096
#: Sessions left behind that are remembered: some incarnations of one day.
MAX_PAST_SESSIONS: Final = 16


class State(Enum):
    """Where the receiver stands in its session."""

    BACKFILL = "backfill"
    SYNCHRONIZED = "synchronized"
    GAP_FILL = "gap_fill"


class SessionStarted(NamedTuple):
    """Numbers begin anew; whatever was built from an earlier session is void."""

    session: bytes


class SequencedMessage(NamedTuple):
    """The next message of the session."""

    sequence_number: int
    message: bytes


class SessionEnded(NamedTuple):
    """The session is over and every message of it was delivered."""

    session: bytes


Event = SessionStarted | SequencedMessage | SessionEnded


class ReceiverStatistics(NamedTuple):
    """What happened since the start; messages unless said otherwise."""

    state: State
    session: bytes | None
    next_sequence_number: int
    #: Numbers known to be missing now.
    missing: int
    datagrams: int
    delivered: int
    #: Came again, by the other line or a server.
    duplicates: int
    #: Gaps seen, and requests sent for those that the grace did not close.
    gaps: int
    requests: int
    #: Messages not kept because they were too far ahead; they are fetched later.
    overflows: int
    corruptions: int
    #: Datagrams that were no MoldUDP64 packet, or of a session left behind.
    garbled: int
    stale: int
    #: Messages of earlier sessions that never came.
    lost: int


class Receiver:
    """Orders, repairs and delivers one feed channel."""

    def __init__(
        self,
        servers: int = 1,
        *,
        session: bytes | None = None,
        next_sequence_number: int = 1,
        grace: int = GRACE,
        retry: int = RETRY,
        max_retry: int = MAX_RETRY,
        window: int = WINDOW,
    ) -> None:
        """`servers`: how many request servers there are; `datagrams_to_send` names them by index, 0 to servers - 1.

        `session` and `next_sequence_number` say where to go on, for a receiver that has a part already; without a
        session the first one heard is taken from its beginning. Times are nanoseconds.
        """
        assert servers >= 1
        assert window >= 1
        self.servers = servers
        self.grace = grace
        self.retry = retry
        self.max_retry = max_retry
        self.window = window
        self._server = 0
        self._requests: list[tuple[int, bytes]] = []
        self._past_sessions: dict[bytes, None] = {}
        self._counts = dict.fromkeys(ReceiverStatistics._fields[4:], 0)
        self._begin(session, next_sequence_number)

    def _begin(self, session: bytes | None, next_sequence_number: int) -> None:
        self.state = State.BACKFILL
        self.session = session
        self.next_sequence_number = next_sequence_number  # to be delivered
        self._horizon = next_sequence_number  # to be sent, as far as we know
        self._end: int | None = None  # the session's last number plus one, once announced
        self.ended = False
        self._waiting: dict[int, bytes] = {}
        self._gaps = GapList()
        self._history: list[bytes | None] = [None] * HISTORY

    # --- what comes in ------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, now: int) -> list[Event]:
        """A datagram came, by whichever way. Returns what can be delivered now, in order."""
        self._counts["datagrams"] += 1
        try:
            session, first, count = moldudp64.decode_header(data)
            messages = moldudp64.decode_blocks(data, count)
        except moldudp64.MoldUDP64Error:
            self._counts["garbled"] += 1
            return []
        events: list[Event] = []
        if session != self.session:
            if session in self._past_sessions:
                self._counts["stale"] += 1
                return []
            self._start_session(session)
            events.append(SessionStarted(session))
        if first > self._horizon:
            self._see_gap(first - 1, now)
        if count == moldudp64.END_OF_SESSION:
            self._announce_end(first)
        elif first == self.next_sequence_number == self._horizon:
            self._take_next(messages, events)
        else:
            self._take(first, messages, now)
            self._deliver_waiting(events)
        self._settle(events, now)
        return events

    def _start_session(self, session: bytes) -> None:
        if self.session is not None:
            self._counts["lost"] += max(self._horizon, self._end or 0) - self.next_sequence_number
            self._past_sessions[self.session] = None
            if len(self._past_sessions) > MAX_PAST_SESSIONS:
                del self._past_sessions[next(iter(self._past_sessions))]
        self._begin(session, 1)

    def _see_gap(self, last: int, now: int) -> None:
        """The numbers from the horizon to `last` were sent, and are not here."""
        if self._gaps.add(self._horizon, last, now + self.grace):
            self._counts["gaps"] += 1
        self._horizon = last + 1

    def _announce_end(self, end: int) -> None:
        if end < self._horizon or self._end not in (None, end):
            self._counts["corruptions"] += 1
            return
        self._end = end

    def _take_next(self, messages: list[bytes], events: list[Event]) -> None:
        """The common case: nothing is missing, and these come next."""
        number = self.next_sequence_number
        history = self._history
        for message in messages:
            history[number % HISTORY] = message
            events.append(SequencedMessage(number, message))
            number += 1
        self._counts["delivered"] += len(messages)
        self.next_sequence_number = self._horizon = number

    def _take(self, first: int, messages: list[bytes], now: int) -> None:
        """Keep the new ones of these messages, compare the others with what we have of them."""
        kept = messages[: max(0, self.next_sequence_number + self.window - first)]
        for number, message in enumerate(kept, first):
            if number >= self.next_sequence_number and number not in self._waiting:
                self._waiting[number] = message
            else:
                self._counts["duplicates"] += 1
                if self._known(number) not in (None, message):
                    self._counts["corruptions"] += 1
        if kept:
            self._gaps.fill(first, first + len(kept) - 1, now)
            self._horizon = max(self._horizon, first + len(kept))
        self._counts["overflows"] += len(messages) - len(kept)
        if first + len(messages) > self._horizon:
            self._see_gap(first + len(messages) - 1, now)

    def _known(self, number: int) -> bytes | None:
        """The bytes we have under a number; None when they were delivered long ago."""
        if number >= self.next_sequence_number:
            return self._waiting[number]
        return self._history[number % HISTORY] if self.next_sequence_number - number <= HISTORY else None

    def _deliver_waiting(self, events: list[Event]) -> None:
        number = self.next_sequence_number
        while (message := self._waiting.pop(number, None)) is not None:
            self._history[number % HISTORY] = message
            events.append(SequencedMessage(number, message))
            number += 1
        self._counts["delivered"] += number - self.next_sequence_number
        self.next_sequence_number = number

    def _settle(self, events: list[Event], now: int) -> None:
        """After every datagram: the state, the session's end, and what is to be asked for at once."""
        if self._gaps:
            if self.state is State.SYNCHRONIZED:
                self.state = State.GAP_FILL
            self.handle_deadline(now)
            return
        self.state = State.SYNCHRONIZED
        if self._end == self.next_sequence_number and not self.ended and self.session is not None:
            self.ended = True
            events.append(SessionEnded(self.session))

    # --- what goes out ------------------------------------------------------------------------------------------------

    def datagrams_to_send(self) -> list[tuple[int, bytes]]:
        """Requests as (index of the server, datagram); drained."""
        requests, self._requests = self._requests, []
        return requests

    def next_deadline(self) -> int | None:
        """When `handle_deadline` is due, in nanoseconds; None while nothing is missing."""
        return self._gaps.next_due()

    def handle_deadline(self, now: int) -> None:
        """Ask for the gaps that are due. A server that did not answer is left for the next one."""
        for gap in self._gaps.due(now):
            if gap.attempts:
                self._server = (self._server + 1) % self.servers
            self._requests.append((self._server, self._request(gap)))
            self._counts["requests"] += 1
            gap.due = now + min(self.retry << min(gap.attempts, MAX_DOUBLINGS), self.max_retry)
            gap.attempts += 1

    def _request(self, gap: Gap) -> bytes:
        assert self.session is not None
        count = min(gap.last - gap.first + 1, moldudp64.MAX_MESSAGE_COUNT)
        return moldudp64.encode_request(self.session, gap.first, count)

    def statistics(self) -> ReceiverStatistics:
        return ReceiverStatistics(
            self.state, self.session, self.next_sequence_number, self._gaps.missing(), **self._counts
        )
