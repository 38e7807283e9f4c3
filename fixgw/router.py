"""The gateway's core: from FIX messages to commands, from committed events to FIX messages. No I/O.

One router orders everything of all its sessions; that is what takes the place of a lock per participant. Whatever
comes of one piece of input is gathered in a `Batch`; the shell writes the batch's record to the journal, and only then
lets anything of it leave the process: commands to the shards, messages to the brokers.

    receive (a FIX message)  ─► session ─► rate limit ─► translate ─► Forwarded ─► the shard's link
    deliver (a transaction)  ─► own command seen ─► reports ─► session numbers them ─► the broker's socket

What survives a crash is what the records say (`entries`): on restart `restore` is given every one of them, and the
router is where it was. The commands it had forwarded and not yet seen come by are forwarded again under their old
numbers (`recovery.link`); the shard takes each once.

A session that wants its orders canceled when it is gone has every shard told so (`CancelSession`) when its connection
ends, and when a life begins, since all connections ended with the one before. Such a command is nobody's message: it
has no session and no session_seq. It goes ahead of whatever the session sends when it is back; what it had sent before
is canceled even if it is back already.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple

from fixgw import entries, history, tags, values
from fixgw.answer import Answer
from fixgw.awake import AwakeClock, SteadyClock
from fixgw.codec import FixMessage
from fixgw.conditions import TradingDays
from fixgw.entries import (
    Entry,
    Forwarded,
    Incarnation,
    Outbound,
    PhaseHeard,
    SessionNumbers,
    StreamFork,
    StreamPosition,
)
from fixgw.fields import Refused
from fixgw.inquiries import NO_MORE_UPDATES, REQUEST_IDS, WITH_UPDATES, Declined, Inquiries, Inquiry
from fixgw.phases import NextOpening, no_calendar
from fixgw.rejections import cancel_rejection, mass_cancel_rejection, rejection, used_number_rejection
from fixgw.reports import Dialect, Report, Reporter
from fixgw.sent import SentIndex
from fixgw.session import Session
from fixgw.session_events import Application, Disconnect, Event, Rejected
from fixgw.session_state import State
from fixgw.shard_state import ShardState
from fixgw.throttle import TokenBucket
from fixgw.timestamps import SECOND
from fixgw.translate import TradedInstrument, Translator
from matching.codes import OrdStatus
from matching.commands import CancelSession, Command
from matching.wire import decode, encode
from recovery.link import Command as LinkCommand
from recovery.link import LinkClient
from recovery.record import COMMAND_HEADER, FIRST, NOOP, Message, Position

#: Fields of an order that a rejection by the gateway itself repeats as they came.
_REPEATED: Final = (
    *(tags.Account, tags.Symbol, tags.Side, tags.OrderQty, tags.OrdType, tags.Price, tags.TimeInForce),
    *(tags.ExecInst, tags.StopPx, tags.MinQty, tags.MaxFloor, tags.ExpireTime, tags.PegOffsetValue),
)

_REPEATED_OF_MASS_CANCEL: Final = (tags.ClOrdID, tags.Symbol, tags.Side)

_CANCEL: Final = 1
_REPLACE: Final = 2

OVER_LIMIT: Final = Refused(0, "rate limit exceeded")

#: An order or replace that a shard numbers later than this (ns) after it came here is refused by the shard: the broker
#: has long stopped reckoning with it. By the clocks of two machines, so it leaves several seconds for their difference;
#: more than that is learned from the shard's stamps. A cancel is good at any time.
ORDER_LIFETIME: Final = 10 * SECOND

#: (shard_id, command) for the fields of an order message and its participant, or why not.
Translation = Callable[[Mapping[int, bytes], int], tuple[int, Command] | Refused]


class Seat(Struct, eq=False):
    """One FIX session as the router holds it."""

    session_id: int
    participant_id: int
    session: Session
    dialect: Dialect
    throttle: TokenBucket
    #: Cancels have their own: a session that sent too much must still be able to get out.
    cancel_throttle: TokenBucket
    #: Its orders are canceled when its connection is lost.
    cancel_on_disconnect: bool = False


class Batch(Struct, frozen=True):
    """What comes of one piece of input. Nothing of it may leave before `record` is in the journal."""

    #: The payload of one journal record; empty: nothing to write down.
    record: bytes
    #: (shard_id, bytes) for links.
    commands: list[tuple[int, bytes]]
    #: shard_id → the last command in the record that is forwarded to it, over the link there is or a later one.
    forwarded: dict[int, int]
    #: (session_id, bytes) for sockets.
    sends: list[tuple[int, bytes]]
    #: (session_id, reason): close these connections after sending.
    closes: list[tuple[int, str]]
    #: session_id → its run, and the number its next message gets, for every session the batch touched.
    next_out_seqs: dict[int, tuple[int, int]]
    #: session_id → (run, MsgSeqNum) of the first application message in the record.
    said: dict[int, tuple[int, int]]
    #: What brokers asked: to be answered once the record is written.
    inquiries: list[Inquiry]


class Router:
    """One gateway's core. `incarnation` is this life's number, known once `restore` is done.

    `now` is the wall clock's time, ns since the epoch. `clock` is the caller's to bring up to date with it: sessions
    and links measure by that how long something lasts.
    """

    def __init__(
        self,
        source_id: int,
        link_key: bytes,
        seats: Sequence[Seat],
        instruments: Iterable[TradedInstrument],
        shard_ids: Iterable[int],
        days: TradingDays | None = None,
        next_opening: NextOpening = no_calendar,
        clock: SteadyClock | None = None,
    ) -> None:
        traded = list(instruments)
        self.clock = clock or SteadyClock()
        self.source_id = source_id
        self.link_key = link_key
        self.incarnation = 1
        self.seats = {seat.session_id: seat for seat in seats}
        self.index = SentIndex()
        dialects: Mapping[int, Dialect] = {seat.session_id: seat.dialect for seat in seats}
        by_id = {each.instrument_id: each for each in traded}
        self.shards = {
            shard_id: ShardState(Reporter(shard_id, dialects, by_id, next_opening)) for shard_id in shard_ids
        }
        self._awake = AwakeClock()
        #: What to add to `clock` for the wall clock's time, at least since this life began: one that was ahead then and
        #: is put right later proves nothing.
        self._wall_lead = 0
        self._numbers: dict[int, SessionNumbers] = {}
        self._record = bytearray()
        self._touched: dict[int, Seat] = {}
        self._moved: set[int] = set()
        self._forwarded: dict[int, int] = {}
        self._closes: list[tuple[int, str]] = []
        self._said: dict[int, tuple[int, int]] = {}
        #: Sessions whose numbers the market had before: this gateway has lost its journal. To be told to the operator.
        self.used_numbers: set[int] = set()
        self.inquiries = Inquiries(traded, self.shards)
        self._asked: list[Inquiry] = []
        self._translator = translator = Translator({each.symbol: each for each in traded}, self._expires_at, days)
        #: Where there may be orders.
        self._trading_shards = sorted({each.shard_id for each in traded})
        #: By MsgType(35): the translation, and CxlRejResponseTo(434) of a refusal; 0 where that is an ExecutionReport.
        self._requests: dict[bytes, tuple[Translation, int]] = {
            values.NEW_ORDER_SINGLE: (translator.new_order, 0),
            values.ORDER_CANCEL_REQUEST: (translator.cancel_order, _CANCEL),
            values.ORDER_CANCEL_REPLACE_REQUEST: (translator.replace_order, _REPLACE),
        }

    # --- restart ------------------------------------------------------------------------------------------------------

    def restore(self, record_number: int, payload: bytes) -> None:
        """One record of the journal, in order. Raises EntryError."""
        for entry in entries.decode(payload):
            self._restore_entry(entry, record_number)

    def _restore_entry(self, entry: Entry, record_number: int) -> None:
        if isinstance(entry, Outbound):
            self.index.add(entry.session_id, entry.run, entry.msg_seq_num, record_number)
        elif isinstance(entry, SessionNumbers):
            self._numbers[entry.session_id] = entry
        elif isinstance(entry, Forwarded):
            shard = self.shards.get(entry.shard_id)
            if shard is not None:
                shard.forwarded.append(entry)
        elif isinstance(entry, StreamPosition):
            shard = self.shards.get(entry.shard_id)
            if shard is not None:
                if entry.next_seq > shard.position.next_seq:
                    shard.past.remember(Position(entry.next_seq, entry.digest))
                    shard.reporter.trades.add(entry.next_seq - 1, entry.match_number)
                shard.position = Position(entry.next_seq, entry.digest)
                shard.epoch = entry.epoch
                shard.seen_source_seq = entry.seen_source_seq
                shard.handled_seq = entry.handled_seq
                while shard.forwarded and shard.forwarded[0].source_seq <= entry.seen_source_seq:
                    shard.forwarded.popleft()
        elif isinstance(entry, StreamFork):
            shard = self.shards.get(entry.shard_id)
            if shard is not None:
                shard.past.cut(entry.fork_seq)
                shard.reporter.fork(entry.fork_seq, entry.match_number)
        elif isinstance(entry, PhaseHeard):
            shard = self.shards.get(entry.shard_id)
            if shard is not None:
                shard.reporter.phases.restore(entry.instrument_id, entry.phase)
        else:
            self.incarnation = entry.incarnation + 1

    def begin(self, now: int) -> None:
        """The journal is read: a new life begins, and links may connect. Leaves the first batch.

        The incarnation takes the clock's seconds where that is more: it grows even if the stored one was lost, and a
        shard that knows a later one would take no command of ours any more.
        """
        self._awake.tick(now)
        self._wall_lead = now - self.clock.time
        self.incarnation = max(self.incarnation, now // SECOND)
        self._record += Incarnation(self.incarnation).encode()
        for session_id, numbers in self._numbers.items():
            seat = self.seats.get(session_id)
            if seat is not None:
                _, run, next_in_seq, next_out_seq = numbers
                seat.session = Session(seat.session.identity, next_in_seq, next_out_seq, run)
        for seat in self.seats.values():
            seat.session.keep_time_by(self.clock)
        for shard_id, shard in self.shards.items():
            unseen = shard.forwarded
            shard.link = LinkClient(
                shard_id,
                self.source_id,
                self.incarnation,
                self.link_key,
                next_source_seq=unseen[-1].source_seq + 1 if unseen else shard.seen_source_seq + 1,
                unseen=[LinkCommand(*each[1:]) for each in unseen],
            )
            shard.lost_at = shard.waiting_since = self._awake.at(now)
            shard.stamps_lead = -self.clock.time
            shard.forwarded = deque()
            shard.to_cancel = {seat.session_id for seat in self.seats.values() if seat.cancel_on_disconnect}

    # --- links --------------------------------------------------------------------------------------------------------

    def link_lost(self, shard_id: int, now: int) -> None:
        """There is no link to the shard until `link_opened`."""
        self.shards[shard_id].lost_at = self._awake.at(now)

    def link_opened(self, shard_id: int) -> None:
        """A primary has accepted our link."""
        self.shards[shard_id].lost_at = 0

    # --- from brokers -------------------------------------------------------------------------------------------------

    def receive(self, seat: Seat, message: FixMessage, now: int) -> bool:
        """A message of a session that is logged on. False: the connection ends, give nothing more of it."""
        return self.handle_events(seat, seat.session.receive(message, now), now)

    def handle_events(self, seat: Seat, events: Iterable[Event], now: int) -> bool:
        """What a session told: by `receive`, by its timers, or by its logon. False: the connection ends."""
        self._touched[seat.session_id] = seat
        goes_on = True
        for event in events:
            if isinstance(event, Application):
                self._request(seat, event, now)
            elif isinstance(event, Rejected):
                self._store(seat, event.msg_seq_num, event.raw)
            elif isinstance(event, Disconnect):
                self._closes.append((seat.session_id, event.reason))
                goes_on = False
        return goes_on

    def _request(self, seat: Seat, event: Application, now: int) -> None:
        """An order message: it is forwarded to its shard, or refused with a report."""
        message = event.message
        request = self._requests.get(message.msg_type)
        if request is None:
            if message.msg_type == values.ORDER_MASS_CANCEL_REQUEST:
                self._mass_cancel(seat, event, now)
            elif message.msg_type in REQUEST_IDS:
                self._inquire(seat, message, now)
            return  # a BusinessMessageReject of the broker's is for its people to see to
        translate, response_to = request
        throttle = seat.cancel_throttle if response_to == _CANCEL else seat.throttle
        refused: Refused | None = OVER_LIMIT
        if throttle.take(now):
            translated = translate(message.fields, seat.participant_id)
            if isinstance(translated, Refused):
                refused = translated
            else:
                shard_id, command = translated
                refused = self._forward(seat, shard_id, command, event.session_seq, now)
                if message.fields.get(tags.PossDupFlag) == b"Y" and refused is None:
                    shard = self.shards[shard_id]
                    shard.sent_again.add(shard.link.next_source_seq - 1)
        if refused is None:
            return
        if response_to:
            self._reject_cancel(seat, event, response_to, refused, now)
        else:
            self._reject_order(seat, event, refused, now)

    def _expires_at(self, shard_id: int) -> int:
        """Until when this shard may number an order that came now. By its own stamps, as far as they are known: they do
        not follow a clock that is set (`recovery.clock`), so by the wall clock alone, one that is set back would have
        every order refused as too late; and by another shard's, whose clock is fast, it would live longer."""
        return self.clock.time + max(self._wall_lead, self.shards[shard_id].stamps_lead) + ORDER_LIFETIME

    def _mass_cancel(self, seat: Seat, event: Application, now: int) -> None:
        """A command for every shard that it concerns; each answers for itself."""
        if not seat.cancel_throttle.take(now):
            self._reject_mass_cancel(seat, event, OVER_LIMIT, b"", now)
            return
        firm = {
            each.session.identity.target_comp_id: each.session_id
            for each in self.seats.values()
            if each.participant_id == seat.participant_id
        }
        fields = event.message.fields
        translated = self._translator.mass_cancel(fields, seat.participant_id, seat.session_id, firm)
        if isinstance(translated, Refused):
            self._reject_mass_cancel(seat, event, translated, b"", now)
            return
        only, command = translated
        for shard_id in [only] if only else self._trading_shards:
            refused = self._forward(seat, shard_id, command, event.session_seq, now)
            if refused is not None:
                self._reject_mass_cancel(seat, event, refused, b"%d-" % shard_id, now)

    def left(self, seat: Seat, now: int) -> None:
        """The connection that the session had is gone. Leaves a batch if the session wants its orders canceled."""
        if seat.cancel_on_disconnect and seat.session.state is not State.DISCONNECTED:
            for shard_id, shard in self.shards.items():
                shard.to_cancel.add(seat.session_id)
                self._forward_cancels(shard_id, now)
        for shard in self.shards.values():
            shard.watches.left(seat.session_id)
        seat.session.connection_lost()

    def _forward_cancels(self, shard_id: int, now: int) -> None:
        """Tell the shard which sessions are gone, as far as its link takes it; it keeps that while there is none."""
        shard = self.shards[shard_id]
        while shard.to_cancel and shard.link.room:
            if not shard.link.unseen:
                shard.waiting_since = self._awake.at(now)
            kind, body = encode(CancelSession(shard.to_cancel.pop()))
            source_seq = shard.link.forward(0, 0, kind, body, self.clock.time)
            self._forwarded[shard_id] = source_seq
            self._record += entries.encode_forwarded(shard_id, source_seq, 0, 0, kind, body)

    def _forward(self, seat: Seat, shard_id: int, command: Command, session_seq: int, now: int) -> Refused | None:
        shard = self.shards[shard_id]
        link = shard.link
        if shard.to_cancel:
            self._forward_cancels(shard_id, now)
        if not link.ready:
            return Refused(0, "the market is not reachable yet: this gateway has just started")
        awake = self._awake.at(now)
        if missing := shard.missing(awake):
            return Refused(0, f"the market pauses: shard {shard_id} {missing} now; nothing was sent to it")
        if not link.unseen:
            shard.waiting_since = awake
        if not link.room:
            return Refused(0, "the market does not answer now: too many requests wait for it")
        kind, body = encode(command)
        source_seq = link.forward(seat.session_id, session_seq, kind, body, self.clock.time)
        self._forwarded[shard_id] = source_seq
        self._record += entries.encode_forwarded(shard_id, source_seq, seat.session_id, session_seq, kind, body)
        return None

    def _reject_order(self, seat: Seat, event: Application, refused: Refused, now: int) -> None:
        fields = event.message.fields
        described = b"".join(b"%d=%b\x01" % (tag, fields[tag]) for tag in _REPEATED if tag in fields)
        exec_id = b"G%d-%d" % (seat.session_id, event.session_seq)
        cl_ord_id = fields[tags.ClOrdID]
        self._say(seat, rejection(seat.dialect, seat.session_id, cl_ord_id, described, refused, exec_id, now), now)

    def _reject_cancel(self, seat: Seat, event: Application, response_to: int, refused: Refused, now: int) -> None:
        fields = event.message.fields
        report = cancel_rejection(
            seat.dialect,
            seat.session_id,
            b"NONE",
            fields[tags.ClOrdID],
            fields[tags.OrigClOrdID],
            response_to,
            OrdStatus.REJECTED,
            refused,
            now,
        )
        self._say(seat, report, now)

    def _reject_mass_cancel(self, seat: Seat, event: Application, refused: Refused, shard: bytes, now: int) -> None:
        """`shard`: which one it is for, as OrderID(37) begins with it; empty: for none."""
        fields = event.message.fields
        repeated = b"".join(b"%d=%b\x01" % (tag, fields[tag]) for tag in _REPEATED_OF_MASS_CANCEL if tag in fields)
        order_id = b"%bG%d-%d" % (shard, seat.session_id, event.session_seq)
        kind = fields[tags.MassCancelRequestType]
        self._say(seat, mass_cancel_rejection(seat.session_id, order_id, repeated, kind, refused, now), now)

    def _inquire(self, seat: Seat, message: FixMessage, now: int) -> None:
        """A question: it is for others to answer, or declined at once."""
        inquiry, declined = self.inquiries.take(
            message.msg_type, message.msg_seq_num, message.fields, seat.session_id, seat.participant_id, now
        )
        if declined is None and message.msg_type == values.SECURITY_STATUS_REQUEST:
            declined = self._watch(inquiry)
            if declined is not None or inquiry.request_type == NO_MORE_UPDATES:
                self.inquiries.done(seat.session_id)
        if declined is not None:
            self._say(seat, history.declined(inquiry, declined, seat.dialect, now), now)
        elif inquiry.request_type != NO_MORE_UPDATES:
            self._asked.append(inquiry)

    def _watch(self, inquiry: Inquiry) -> Declined | None:
        watches = self.shards[inquiry.shard_ids[0]].watches
        if inquiry.request_type == NO_MORE_UPDATES:
            return watches.end(inquiry)
        return watches.begin(inquiry) if inquiry.request_type == WITH_UPDATES else None

    def answer_of(self, inquiry: Inquiry) -> Answer:
        """The answer to an inquiry, for the caller to go through with; what it reports is for `tell`."""
        reporters = {shard_id: shard.reporter for shard_id, shard in self.shards.items()}
        return Answer(inquiry, reporters, self.seats[inquiry.session_id].dialect)

    def answered(self, answer: Answer) -> list[Report]:
        """All of this answer is told. What the session that asked is to be told besides."""
        inquiry = answer.inquiry
        if inquiry.msg_type != values.SECURITY_STATUS_REQUEST:
            return []
        watches = self.shards[inquiry.shard_ids[0]].watches
        return watches.answered(inquiry, answer.phase, self.seats[inquiry.session_id].dialect)

    def status_reports(self, shard_id: int) -> list[Report]:
        """What sessions are to be told of the shard's instruments after a release was delivered whole."""
        watches = self.shards[shard_id].watches
        return watches.take(lambda session_id: self.seats[session_id].dialect) if watches.changed else []

    def tell(self, reports: Iterable[Report], now: int) -> None:
        """Say what comes of an answer. Leaves a batch."""
        for report in reports:
            self._say(self.seats[report.session_id], report, now)

    def _say(self, seat: Seat, report: Report, now: int) -> None:
        """A report gets its number, and its place in the record."""
        _, msg_type, body = report
        msg_seq_num, raw = seat.session.send_application(msg_type, body, now)
        self._store(seat, msg_seq_num, raw)

    def _store(self, seat: Seat, msg_seq_num: int, raw: bytes) -> None:
        session_id, run = seat.session_id, seat.session.run
        said = self._said.get(session_id)
        if said is None or said[0] != run:
            self._said[session_id] = run, msg_seq_num
            self._touched[session_id] = seat
        self._record += entries.encode_outbound(session_id, run, msg_seq_num, raw)

    # --- from shards --------------------------------------------------------------------------------------------------

    def deliver(self, shard_id: int, messages: Sequence[Message], position: Position | None, now: int) -> None:
        """The next committed messages of one shard: a whole release of its reader, or a portion of one (`delivery`).

        `position` is where the reader stands after them, None if that is in a later portion.
        """
        shard = self.shards[shard_id]
        makers, seats = shard.reporter.makers, self.seats
        handled_seq, timestamp, awake = shard.handled_seq, shard.timestamp, self._awake.at(now)
        for seq, kind, flags, body in map(astuple, messages):
            make = makers.get(kind)
            if make is not None:
                if seq >= handled_seq:
                    for report in make(decode(kind, body), seq, timestamp):
                        self._say(seats[report.session_id], report, now)
                else:
                    shard.reporter.pass_over(decode(kind, body), seq)
            elif flags & FIRST:
                _, timestamp, source_id, _, source_seq, session_id, _ = COMMAND_HEADER.unpack_from(body)
                shard.reporter.asked_by = session_id
                if source_id == self.source_id and source_seq:
                    if kind == NOOP and seq >= handled_seq:
                        self._tell_used_number(shard, source_seq, now)
                    elif shard.sent_again:
                        shard.sent_again.discard(source_seq)
                    shard.seen_source_seq = source_seq
                    shard.link.seen(source_seq)
                    shard.waiting_since = awake
        shard.timestamp = timestamp
        stamps_lead = timestamp - self.clock.time
        if stamps_lead > shard.stamps_lead:
            shard.stamps_lead = stamps_lead
        if messages:
            shard.handled_seq = max(handled_seq, messages[-1].seq + 1)
        if position is not None:
            shard.position = position
            if shard.reporter.trades.many:
                shard.reporter.trades.thin(end.next_seq for end in shard.past.up_to(position.next_seq))
        self._moved.add(shard_id)

    def _tell_used_number(self, shard: ShardState, source_seq: int, now: int) -> None:
        """A command of ours was no news to the market, by its session's number. If it was not sent again as such, the
        numbers have begun anew here and not there, and nobody else would answer it."""
        command = shard.link.oldest()
        sent_again = source_seq in shard.sent_again
        shard.sent_again.discard(source_seq)
        if sent_again or command is None or command.source_seq != source_seq:
            return
        seat = self.seats.get(command.session_id)
        if seat is not None and command.session_seq >> 32 == seat.session.run:
            self._say(seat, used_number_rejection(command), now)
            self.used_numbers.add(seat.session_id)

    def last_trade(self, shard_id: int, fork: Position) -> int:
        """The number of the last trade before a fork, of those that this gateway was told of."""
        return self.shards[shard_id].reporter.trades.before(fork.next_seq)

    def forked(self, shard_id: int, fork: Position, epoch: int) -> None:
        """The shard's stream is another one from `fork` on, and it is told who holds void reports (`tell`)."""
        shard = self.shards[shard_id]
        shard.position, shard.epoch, shard.handled_seq = fork, epoch, fork.next_seq
        match_number = self.last_trade(shard_id, fork)
        shard.reporter.fork(fork.next_seq, match_number)
        self._record += StreamFork(shard_id, fork.next_seq, match_number).encode()
        for inquiry in shard.watches.fork():
            self.inquiries.again(inquiry.session_id)
            self._asked.append(inquiry)
        self._moved.add(shard_id)

    # --- time, resends, output ----------------------------------------------------------------------------------------

    def handle_deadline(self, now: int) -> None:
        """Timers of all sessions that are due: heartbeats, test requests, time-outs. And cancels that had to wait."""
        self._awake.tick(now)
        self._wall_lead = min(self._wall_lead, now - self.clock.time)
        for shard_id in self.shards:
            self._forward_cancels(shard_id, now)
        for seat in self.seats.values():
            deadline = seat.session.next_deadline()
            if deadline is not None and deadline <= self.clock.time:
                self.handle_events(seat, seat.session.handle_deadline(now), now)

    def resend(self, seat: Seat, below: int, read: Callable[[int], bytes], now: int) -> bytes:
        """The next piece of the session's open resend, for its socket; empty when there is none.

        `below`: numbers from it on are not written down yet and must not be said. `read` gives the payload of a
        journal record. What is sent again changes no number and needs no record.
        """
        wanted = seat.session.resend_wanted()
        if wanted is None or wanted[0] >= below:
            return b""
        first, last = wanted[0], min(wanted[1], below - 1)
        stored = self.index.messages(seat.session_id, seat.session.run, first, last, read)
        seat.session.resend(first, last, stored, now)
        return seat.session.data_to_send()

    def take_batch(self) -> Batch:
        """What came of the input since the last call. The caller writes `record` down and tells `written`."""
        record, touched, moved = self._record, self._touched, self._moved
        sends, next_out_seqs = [], {}
        for session_id, seat in touched.items():
            session = seat.session
            run, next_out_seq = session.run, session.next_out_seq
            record += entries.encode_session_numbers(session_id, run, session.next_in_seq, next_out_seq)
            next_out_seqs[session_id] = run, next_out_seq
            if data := session.data_to_send():
                sends.append((session_id, data))
        for shard_id in sorted(moved):
            shard = self.shards[shard_id]
            if news := shard.reporter.phases.news:
                record += b"".join(PhaseHeard(shard_id, *each).encode() for each in news.items())
                news.clear()
            match_number = shard.reporter.trades.before(shard.position.next_seq)
            next_seq, digest = shard.position
            record += entries.encode_stream_position(
                shard_id, next_seq, digest, shard.epoch, shard.seen_source_seq, shard.handled_seq, match_number
            )
        commands = [(shard_id, data) for shard_id, shard in self.shards.items() if (data := shard.link.data_to_send())]
        batch = Batch(
            bytes(record), commands, self._forwarded, sends, self._closes, next_out_seqs, self._said, self._asked
        )
        record.clear()
        touched.clear()
        moved.clear()
        self._forwarded, self._said = {}, {}
        self._closes, self._asked = [], []
        return batch

    def written(self, record_number: int, batch: Batch) -> None:
        """The batch's record has this number in the journal: what it says can be found there again."""
        for session_id, (run, msg_seq_num) in batch.said.items():
            self.index.add(session_id, run, msg_seq_num, record_number)
