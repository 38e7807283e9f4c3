"""One channel of the feed: the messages of a shard's stream in, MoldUDP64 datagrams out.

The idea: a feed has no state that it could lose. Everything it says is translated from the committed stream since the
`StartDay` that names the session, and message n of the session is the same bytes in whichever process makes it. So the
two lines are two feeds that know nothing of each other, and a request server's store is filled by a third one.

Rules:

* a session begins at `DayStarted`, under the name it says; its numbers begin at 1. What comes before the first
  `DayStarted` is passed over. After `DayEnded` the session's end is repeated for a while;
* a feed starts *catching up*: it numbers the messages and keeps them for the request server, but sends none of them,
  since they were sent before, by this line's last life or by the other line. `go_live` ends that, once its owner has
  read all that was committed when it started; the next heartbeat tells listeners where the session stands;
* the store takes a message when `datagrams_to_send` hands it out: no answer runs ahead of the multicast;
* `resume_position` is where to begin reading after a restart: before the batch in which the session's day started;
* after a fork of the shard's stream, what was said may be untrue: `begin_again` ends the session, and the day is read
  again and said under another name, which the present epoch gives (`session_in_epoch`). A shard that may lose what it
  has released (mode async) has its feeds do so at every epoch that begins within a day: a feed remembers nothing, and
  does not know what its last life or the other line has said. So all lines have one name, whenever they were started.
  And a day that starts in a later epoch than the first has that epoch's name from the beginning: an earlier epoch may
  have started the same day, and said other things in it.

Pure: the owner reads the stream, sends, tells the time and calls `handle_deadline` when it is due.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from marketdata import moldudp64
from marketdata.moldudp64 import DownstreamSender
from marketdata.requests import SessionStore
from marketdata.translate import PUBLIC_KINDS, Translator
from matching import events, wire
from recovery.record import FIRST, CommandHeader, Message, Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from marketdata.requests import RequestServer

_DAY_ENDED: Final = wire.KINDS[events.DayEnded]
#: Sessions the request server goes on answering about: today's and the one before.
SESSIONS_KEPT: Final = 2


_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS: Final = 26
#: Nothing was lost before it.
FIRST_EPOCH: Final = 1


class Epoch(NamedTuple):
    """An epoch of the shard's stream, and its first message number."""

    number: int
    first_seq: int


def session_in_epoch(session: bytes, epoch: int) -> bytes:
    """What a day's session is called when it is said again, or only, in this epoch: a letter and a digit or letter for
    the year.

    Another name for each of 936 epochs in a row, and none of them a day's own.
    """
    first, second = divmod(epoch % (_LETTERS * len(_DIGITS)), len(_DIGITS))
    return bytes((_DIGITS[10 + first], _DIGITS[second])) + session[2:]


class FeedStatistics(NamedTuple):
    """Where the feed stands, and what happened since the start."""

    session: bytes | None
    next_sequence_number: int
    live: bool
    messages: int
    datagrams: int
    bytes: int


class Feed:
    """Translates one shard's stream and packs it for one line."""

    def __init__(
        self,
        *,
        request_server: "RequestServer | None" = None,
        attributions: "Mapping[int, bytes] | None" = None,
        may_fork: bool = False,
        max_payload: int = moldudp64.MAX_PAYLOAD,
        heartbeat_interval: int = moldudp64.HEARTBEAT_INTERVAL,
        end_of_session_duration: int = moldudp64.END_OF_SESSION_DURATION,
    ) -> None:
        """`request_server` is given a store for every session; `attributions` are the translator's; times in ns.

        `may_fork`: the shard may lose what it has released; `enter_epoch` comes ahead of an epoch's messages.
        """
        self.live = False
        self.sender: DownstreamSender | None = None
        #: Before the batch in which the session's day started; the beginning of the stream before any day.
        self.resume_position = Position()
        #: A day that began before this epoch is said under a name of its own.
        self._epoch = Epoch(0, 0)
        self._day_seq = 0  # of the day's `DayStarted`; 0 before any day
        self._day_session = b""
        self._request_server = request_server
        self._attributions = attributions
        self._may_fork = may_fork
        self._max_payload = max_payload
        self._heartbeat_interval = heartbeat_interval
        self._end_of_session_duration = end_of_session_duration
        self._translator: Translator | None = None  # made anew at every day's start
        self._timestamp = 0
        self._store = SessionStore()
        self._sessions: deque[bytes] = deque()
        self._unpublished: list[tuple[SessionStore, bytes]] = []
        self._datagrams: list[bytes] = []
        self._count_messages = self._count_datagrams = self._count_bytes = 0

    # --- what comes in ------------------------------------------------------------------------------------------------

    def receive_messages(self, released: "Sequence[Message]", before: Position, now: int) -> None:
        """A batch of the shard's stream: whole committed transactions, read from the position `before` on."""
        for message in released:
            if message.flags & FIRST:
                self._timestamp = CommandHeader.unpack_from(message.body).timestamp
            elif message.kind in PUBLIC_KINDS:
                event = wire.decode_event(message.kind, message.body)
                if type(event) is events.DayStarted:
                    self._start_day(event, message.seq, before, now)
                if self._translator is not None:
                    self._say(self._translator.translate(event, self._timestamp))
            elif message.kind == _DAY_ENDED and self.sender is not None:
                self.sender.end_session(now)
                self._translator = None  # orders that live over the night may be canceled in it; the next day tells
        if self.sender is not None:
            self.sender.flush(now)

    def _start_day(self, event: events.DayStarted, seq: int, before: Position, now: int) -> None:
        self._day_seq = seq
        self._day_session = event.feed_session.ljust(moldudp64.SESSION_LENGTH)
        session = self._day_session
        if seq < self._epoch.first_seq or (self._may_fork and self._epoch.number > FIRST_EPOCH):
            session = session_in_epoch(session, self._epoch.number)
        self._translator = Translator(self._attributions)
        if self.sender is None or session != self.sender.session or self.sender.ended:
            self._open_session(session, now)
        self.resume_position = before

    def _open_session(self, session: bytes, now: int) -> None:
        if self.sender is not None and self.live:
            self.sender.start_session(session, now)
        else:
            self.sender = DownstreamSender(
                session,
                now=now,
                max_payload=self._max_payload,
                heartbeat_interval=self._heartbeat_interval,
                end_of_session_duration=self._end_of_session_duration,
            )
        self._store = SessionStore()
        if self._request_server is not None:
            self._request_server.add_session(session, self._store)
            self._sessions.append(session)
            if len(self._sessions) > SESSIONS_KEPT:
                self._request_server.drop_session(self._sessions.popleft())

    def _say(self, said: list[bytes]) -> None:
        sender, store = self.sender, self._store
        assert sender is not None
        self._count_messages += len(said)
        if self.live:
            for message in said:
                sender.send_message(message)
        else:
            sender.skip_messages(len(said))
        if self._request_server is not None:
            self._unpublished += [(store, message) for message in said]

    def go_live(self, now: int) -> None:
        """All that others have sent is read: from here on messages go out, and a heartbeat says where we stand."""
        self.live = True
        self.handle_deadline(now)

    def enter_epoch(self, epoch: Epoch, now: int) -> bool:
        """The shard's stream is in this epoch. True: it began within the day, so `begin_again` was done."""
        if epoch.number == self._epoch.number:
            return False
        if self._day_seq and self._day_seq < epoch.first_seq:
            self.begin_again(epoch, now)
            return True
        self._epoch = epoch
        return False

    def begin_again(self, epoch: Epoch, now: int) -> None:
        """What was said may be untrue: end the session, and catch up again, from before the day, under another name."""
        self._epoch = epoch
        if self._day_seq:
            self._open_session(session_in_epoch(self._day_session, epoch.number), now)
            self._datagrams += self._drain()
        self._day_seq = 0
        self._translator = None
        self.live = False

    # --- what goes out ------------------------------------------------------------------------------------------------

    def datagrams_to_send(self) -> list[bytes]:
        """What is to go out, in order; drained. From here on the request server answers about what is in it."""
        datagrams, self._datagrams = self._datagrams + self._drain(), []
        for store, message in self._unpublished:
            store.append(message)
        self._unpublished.clear()
        self._count_datagrams += len(datagrams)
        self._count_bytes += sum(map(len, datagrams))
        return datagrams

    def _drain(self) -> list[bytes]:
        """While catching up nothing is said, not even where we are: it would be the past."""
        datagrams = self.sender.datagrams_to_send() if self.sender is not None else []
        return datagrams if self.live else []

    def next_deadline(self) -> int | None:
        """When `handle_deadline` is due, in nanoseconds."""
        return self.sender.next_deadline() if self.sender is not None and self.live else None

    def handle_deadline(self, now: int) -> None:
        """Heartbeats and ends of session that are due."""
        if self.sender is not None and self.live:
            self.sender.handle_deadline(now)

    def statistics(self) -> FeedStatistics:
        sender = self.sender
        return FeedStatistics(
            sender.session if sender is not None else None,
            sender.next_sequence_number if sender is not None else 1,
            self.live,
            self._count_messages,
            self._count_datagrams,
            self._count_bytes,
        )
