"""Whether an instrument trades: SecurityStatus(f), which SecurityStatusRequest(e) asks for.

No answer is made of the phases that a gateway has heard of (`fixgw.phases`: for the texts of refusals), so there is
nothing that its restart, or a fork of a shard's stream, could make wrong: it is read from a majority of the shard's
replicas, like that of any inquiry (`fixgw.answer`). What changes after it is taken from the shard's stream, as long as
the connection lasts that asked.

    request taken ─► begin       the replicas answer ─► answered        connection lost, or 263=2 ─► left, end
                       │ changes are held: the last  │ changes are told
                       └─────────────────────────────┘

A change that was held may be older than the answer, if the replicas were ahead of this gateway's stream: then it is
told although the answer knew better, and what follows it in the stream is told, too. So what a session heard last is
always what the stream said last, and TransactTime(60) says when that was.

A phase that begins is told by `PhaseChanged`, with the reason in the `TradingStateChanged` behind it, if the public
sees another state. A day begins and ends without the first of them: then only what the public sees is known.

Source: FIX 4.2, volume 1 and FIX 4.4, volume 3 (the two messages). FIX 4.2 has no Text(58) in its SecurityStatus, and
of SecurityTradingStatus(326) no 21 and 22.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from fixgw import values
from fixgw.dialects import Dialect
from fixgw.inquiries import Declined, Inquiry, Why
from fixgw.phases import Phases
from fixgw.rejections import Report
from fixgw.timestamps import format_timestamp
from matching.codes import Phase, TradingState
from matching.events import DayEnded, InstrumentListed, PhaseChanged, TradingStateChanged
from matching.wire import KINDS

#: Instruments of a shard whose changes a session is told of. At the end of a day all of them change in one moment; who
#: wants more reads the feed, which tells everybody once.
MAX_WATCHED: Final = 100

#: SecurityTradingStatus(326).
RESUME, UNKNOWN_INSTRUMENT = 3, 20

#: After these, trading does not begin but is resumed.
_STOPPED: Final = frozenset((Phase.HALTED, Phase.REOPENING_AUCTION, Phase.VOLATILITY_AUCTION))

#: ITCH's code of a halt's reason → HaltReasonChar(327): news pending, news released, additional information asked for.
_HALT_REASONS: Final = {b"T1": b"P", b"T2": b"D", b"T12": b"M"}

#: What the public sees → the phases that it may be; the first of them stands for all where no more is known.
PHASES_OF: Final[Mapping[int, tuple[Phase, ...]]] = {
    TradingState.TRADING: (Phase.CONTINUOUS,),
    TradingState.HALTED: (Phase.CLOSED, Phase.POST_CLOSE, Phase.HALTED),
    TradingState.PAUSED: (Phase.VOLATILITY_AUCTION,),
    TradingState.QUOTATION_ONLY: (
        *(Phase.PRE_OPEN, Phase.OPENING_AUCTION, Phase.CLOSING_AUCTION, Phase.REOPENING_AUCTION, Phase.QUOTE_ONLY),
    ),
}

TOO_MANY_WATCHED: Final = Declined(
    Why.OVER_LIMIT, f"{MAX_WATCHED} instruments of their shard are watched by this session already"
)
NOT_WATCHED: Final = Declined(Why.UNKNOWN_REQUEST, "SecurityStatusReqID(324) names no request that is told of changes")


class Status(Struct):
    """What an instrument is in since a moment."""

    instrument_id: int
    phase: int
    timestamp: int
    #: ITCH's code; empty: none was given.
    reason: bytes = b""
    #: Only what the public sees is known: the phase is one that may be.
    public_only: bool = False

    def says_more(self, phase: int) -> bool:
        """Whether who knows of this phase learns anything."""
        if not self.public_only:
            return phase != self.phase
        return not any(phase in phases and self.phase in phases for phases in PHASES_OF.values())


class _Watched(Struct, eq=False):
    """An instrument that a session is told of."""

    inquiry: Inquiry
    #: As the session heard last; None: the answer is under way.
    phase: int | None = None
    #: The last change since the request was taken, while the answer is under way.
    held: Status | None = None


class Watches:
    """Which sessions are told of which instruments of one shard, and what there is to tell them."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases
        #: By instrument, by session.
        self._watched: dict[int, dict[int, _Watched]] = {}
        self._changes: list[Status] = []
        makers: dict[type[Any], Callable[[Any, int, int], list[Report]]] = {
            PhaseChanged: self._phase_changed,
            TradingStateChanged: self._state_changed,
            InstrumentListed: self._listed,
            DayEnded: self._day_ended,
        }
        #: As `Reporter.makers`, which these join. Their reports come by `take`: a phase is told with its reason.
        self.makers = {KINDS[event]: maker for event, maker in makers.items()}

    # --- requests -----------------------------------------------------------------------------------------------------

    def begin(self, inquiry: Inquiry) -> Declined | None:
        """The session wants to be told of an instrument's changes, or why it is not. A second request takes the place
        of the first."""
        session_id, instrument_id = inquiry.session_id, inquiry.instrument_id
        others = sum(session_id in sessions for each, sessions in self._watched.items() if each != instrument_id)
        if others >= MAX_WATCHED:
            return TOO_MANY_WATCHED
        self._watched.setdefault(instrument_id, {})[session_id] = _Watched(inquiry)
        return None

    def end(self, inquiry: Inquiry) -> Declined | None:
        """No more of what was asked for under this name, or why not."""
        watched = self._watched.get(inquiry.instrument_id, {}).get(inquiry.session_id)
        if watched is None or watched.inquiry.request_id != inquiry.request_id:
            return NOT_WATCHED
        self._forget(watched)
        return None

    def left(self, session_id: int) -> None:
        """The session's connection is gone."""
        for sessions in list(self._watched.values()):
            if session_id in sessions:
                self._forget(sessions[session_id])

    def answered(self, inquiry: Inquiry, phase: int | None, dialect: Dialect) -> list[Report]:
        """The session was told of this phase, or (None) that there is no answer. What it is to be told besides."""
        watched = self._watched.get(inquiry.instrument_id, {}).get(inquiry.session_id)
        if watched is None or watched.inquiry is not inquiry:
            return []
        if phase is None:
            self._forget(watched)
            return []
        watched.phase = phase
        held, watched.held = watched.held, None
        return _told(watched, held, dialect) if held is not None else []

    def fork(self) -> list[Inquiry]:
        """What was told, or is held, may be void: the requests that are to be answered again."""
        again: list[Inquiry] = []
        for watched in (each for sessions in self._watched.values() for each in sessions.values()):
            if watched.phase is not None:
                again.append(watched.inquiry)
            watched.phase = watched.held = None
        return again

    def _forget(self, watched: _Watched) -> None:
        inquiry = watched.inquiry
        sessions = self._watched[inquiry.instrument_id]
        del sessions[inquiry.session_id]
        if not sessions:
            del self._watched[inquiry.instrument_id]

    # --- changes ------------------------------------------------------------------------------------------------------

    @property
    def changed(self) -> bool:
        """Whether there is anything to `take`."""
        return bool(self._changes)

    def take(self, dialects: Callable[[int], Dialect]) -> list[Report]:
        """What comes of the changes since the last call. `dialects` gives a session's."""
        changes, self._changes = self._changes, []
        reports: list[Report] = []
        for change in changes:
            for session_id, watched in self._watched.get(change.instrument_id, {}).items():
                if watched.phase is None:
                    watched.held = change
                else:
                    reports += _told(watched, change, dialects(session_id))
        return reports

    def _phase_changed(self, event: PhaseChanged, _seq: int, timestamp: int) -> list[Report]:
        self._phases.hear(event.instrument_id, event.phase)
        if event.instrument_id in self._watched:
            self._changes.append(Status(event.instrument_id, event.phase, timestamp))
        return []

    def _state_changed(self, event: TradingStateChanged, _seq: int, _timestamp: int) -> list[Report]:
        if self._changes and self._changes[-1].instrument_id == event.instrument_id:
            reason = event.reason.strip()
            self._changes[-1].reason = reason if reason.isalnum() else b""
        return []

    def _listed(self, event: InstrumentListed, _seq: int, timestamp: int) -> list[Report]:
        phase = PHASES_OF[event.state][0]
        # Closed may also be halted, but then a refusal has a reason of its own.
        known = len(PHASES_OF[event.state]) == 1 or phase == Phase.CLOSED
        self._phases.hear(event.instrument_id, phase if known else None)
        if event.instrument_id in self._watched:
            self._changes.append(Status(event.instrument_id, phase, timestamp, public_only=True))
        return []

    def _day_ended(self, _event: DayEnded, _seq: int, timestamp: int) -> list[Report]:
        self._changes += [Status(each, Phase.CLOSED, timestamp, public_only=True) for each in self._watched]
        return []


def _told(watched: _Watched, status: Status, dialect: Dialect) -> list[Report]:
    before = watched.phase
    assert before is not None, "the answer was told"
    if not status.says_more(before):
        return []
    watched.phase = status.phase
    stopped = before in _STOPPED and not status.public_only  # a new day resumes nothing
    resumed = stopped and status.phase == Phase.CONTINUOUS
    code = RESUME if resumed else dialect.trading_statuses[status.phase]
    return [_report(watched.inquiry, code, status, dialect)]


def answer(inquiry: Inquiry, phase: int, dialect: Dialect, now: int) -> Report:
    """The answer to a request. Its time (ns) is the answer's."""
    status = Status(inquiry.instrument_id, phase, now)
    return _report(inquiry, dialect.trading_statuses[phase], status, dialect)


def unknown(inquiry: Inquiry, why: Declined, dialect: Dialect, now: int) -> Report:
    """The answer to a request for what is not traded here."""
    text = why.text.encode() if dialect.status_has_text else b""
    body = b"324=%b\x0155=%b\x01326=%d\x0160=%b\x01%b" % (
        inquiry.request_id,
        inquiry.symbol,
        UNKNOWN_INSTRUMENT,
        format_timestamp(now),
        b"58=%b\x01" % text if text else b"",
    )
    return Report(inquiry.session_id, values.SECURITY_STATUS, body)


def _report(inquiry: Inquiry, code: int, status: Status, dialect: Dialect) -> Report:
    reason = status.reason if status.phase != Phase.CONTINUOUS else b""
    halt = _HALT_REASONS.get(reason, b"") if status.phase == Phase.HALTED else b""
    body = b"324=%b\x0155=%b\x01%b326=%d\x01%b60=%b\x01%b" % (
        inquiry.request_id,
        inquiry.symbol,
        b"" if status.public_only else b"336=%b\x01" % Phase(status.phase).name.lower().encode(),
        code,
        b"327=%b\x01" % halt if halt else b"",
        format_timestamp(status.timestamp),
        b"58=%b\x01" % reason if reason and dialect.status_has_text else b"",
    )
    return Report(inquiry.session_id, values.SECURITY_STATUS, body)
