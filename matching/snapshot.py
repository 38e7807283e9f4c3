"""The complete state of a shard's engine as bytes, and back. What is not in here is not state.

    "FIXGWENG" · version u16 · shard u16 · max_events u32 · body: MessagePack of `_Body`, big-endian header

The same state gives the same bytes, on every replica and in an engine that was itself restored, so the CRC-32C of the
body is the state's digest. Everything stands in an order that the state defines: books in price-time priority, tables
by their id, ClOrdIDs as a session keeps them, trades by match number. Long tables are written
by columns: a million rows are a few lists then, and a list of integers costs a third of a list of tuples. An
`OrderTerms` stands in one column however many orders and trades refer to it by its place there, so a restored engine
shares them as the first one did; those of the resting orders come first, in the order of the books.

What follows from the rest is not written: levels and links from the queues, the live entries of ClOrdIDs and the latest
terms from the orders, a participant's trades from all trades. `restore` makes them anew. It takes only its own version:
an engine that remembers something else needs another number, and replicas of one shard run one version.
"""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter
from struct import Struct as Layout
from typing import Any, Final, Generic, TypeVar

import google_crc32c
from msgspec import MsgspecError, Struct
from msgspec.msgpack import Decoder, Encoder
from sortedcontainers import SortedDict

from matching.book import BookSide
from matching.commands import DefineInstrument, DefineRules, DefineSession
from matching.events import OrderTerms
from matching.ids import shard_of
from matching.instruments import Instrument
from matching.order import Order, PriceLevel
from matching.outcomes import FILLED, ClosedOrder, Trade, remembered
from matching.state import (
    Advancing,
    Cancellation,
    Cascade,
    Expiry,
    Joining,
    Listing,
    Moving,
    Renewal,
    Session,
    State,
    Sweep,
    Uncross,
    Work,
)
from matching.trade import place

MAGIC: Final = b"FIXGWENG"
VERSION: Final = 6

_T = TypeVar("_T")

_HEADER: Final = Layout(">8sHHI")

#: Columns of the levels: rank, price, how many orders. Columns of the orders: order_ref, displayed_qty, hidden_qty,
#: cum_qty, cum_notional.
_Queue = tuple[list[int], list[int], list[int], list[int], list[int], list[int], list[int], list[int]]
#: Columns: places of terms, OrdStatus, cum_qty, cum_notional.
_Closed = tuple[list[int], bytes, list[int], list[int]]
#: Columns: ClOrdID; 0, or the place of a closed order counted from 1, or the id of one that
#: lives under another or has more to trade.
_Entries = tuple[list[bytes], list[int]]
#: Columns: match_number, timestamp, price, quantity, places of both terms, 1 of an auction and 2 busted.
_Trades = tuple[list[int], list[int], list[int], list[int], list[int], list[int], bytes]


class _Instrument(Struct, array_like=True, forbid_unknown_fields=True):
    definition: DefineInstrument
    rules: DefineRules | None
    ticks: list[tuple[int, int]]
    collar: tuple[int, int, int] | None
    #: See `_FIGURES`.
    figures: list[int]
    #: Of each of its sides, in the order of `Instrument.sides`.
    queues: list[_Queue]


class _Body(Struct, array_like=True, forbid_unknown_fields=True):
    last_order_id: int
    last_order_ref: int
    last_match_number: int
    day: int
    last_day: int
    market_is_open: bool
    #: Of the circuit breaker.
    levels: list[int]
    #: By id: instrument_id, times and phases.
    schedule: list[tuple[int, list[tuple[int, int]]]]
    due: list[list[tuple[int, int]]]
    terms: list[OrderTerms]
    #: By id.
    instruments: list[_Instrument]
    #: By id: participant_id, seq, its self-match group (0: it alone), `SelfMatch`.
    participants: list[tuple[int, int, int, int]]
    #: By ids.
    blocks: list[tuple[int, int]]
    #: How many orders the day has accepted, and the ids of those that it took over.
    accepted: int
    carried: list[int]
    #: In the order of the ClOrdIDs that name them.
    closed: _Closed
    #: By id: session_id, participant_id, its ClOrdIDs; then the former ones.
    sessions: list[tuple[int, int, _Entries]]
    former: list[tuple[int, int, _Entries]]
    definitions: list[DefineSession]
    trades: _Trades
    #: The first one is next: its name and its fields, see `_WORKS`.
    work: list[tuple[str, list[list[int]]]]


#: The fields of an instrument that are numbers.
_FIGURES: Final = (
    "phase",
    "ends_at",
    "extension",
    "indicates_at",
    "scheduled_at",
    "scheduled_phase",
    "last_price",
    "reference_price",
)

_SWEEP_FIELDS: Final = (
    "session:session terms:terms limit leaves_qty cum_qty cum_notional first_price last_price best_bid best_ask"
)
#: Every kind of work under the name it has in a snapshot, with the fields that its constructor takes, in that order.
#: Behind the colon stands how a field is written; that of one without is a number. So a new kind is a line here.
_WORKS: Final[dict[str, tuple[type[Work], str]]] = {
    "sweep": (Sweep, _SWEEP_FIELDS),
    "cascade": (Cascade, "instrument_id lowest highest"),
    "listing": (Listing, "ids:numbers started_at"),
    "expiry": (Expiry, "ids:numbers until next_order_id"),
    "moving": (Moving, "ids:numbers phase reason:text"),
    "uncross": (Uncross, "instrument_id cross_type phase reason:text stage price total open_qty"),
    "joining": (Joining, "instrument_id next_order_id"),
    "advancing": (Advancing, "until left:numbers"),
    "renewal": (Renewal, "ids:numbers next_order_id"),
    "cancellation": (
        Cancellation,
        "reason participant_id session_ids:numbers instrument_id side asked_by cl_ord_id:text after canceled",
    ),
}
_NAMES: Final = {cls: name for name, (cls, _) in _WORKS.items()}


_encode: Final = Encoder().encode
_decode: Final = Decoder(_Body).decode


def snapshot(state: State, shard_id: int) -> bytes:
    """The complete state."""
    return _HEADER.pack(MAGIC, VERSION, shard_id, state.max_events) + _encode(_body(state))


def digest(state: State) -> int:
    """CRC-32C of the complete state: two engines that differ in anything differ in this."""
    return int(google_crc32c.value(_encode(_body(state))))


def restore(data: bytes, shard_id: int, max_events: int) -> State:
    """The state that `snapshot` wrote.

    Raises ValueError when the bytes are no snapshot of this version, or not one of this shard.
    """
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise ValueError(f"{len(data)} bytes that begin with {data[:8]!r} are no snapshot of an engine")
    _, version, of_shard, of_events = _HEADER.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"the snapshot has version {version}, this engine reads {VERSION}: replay the journal instead")
    if of_shard != shard_id:
        raise ValueError(f"the snapshot is of shard {of_shard}, this is shard {shard_id}")
    if of_events != max_events:
        raise ValueError(f"the snapshot's transactions have at most {of_events} events, this engine's {max_events}")
    try:
        return _state(_decode(memoryview(data)[_HEADER.size :]), State(shard_id, max_events))
    except (MsgspecError, LookupError, ValueError) as error:
        raise ValueError(f"the snapshot of shard {shard_id} is damaged: {error!r}") from None


# --- writing ----------------------------------------------------------------------------------------------------------


class _Table(Generic[_T]):
    """Things, each once. They are told apart by identity: an engine never copies any."""

    def __init__(self) -> None:
        self.things: list[_T] = []
        self.places: dict[int, int] = {}

    def place(self, thing: _T) -> int:
        """Where it stands; at the end when it is new."""
        place = self.places.setdefault(id(thing), len(self.things))
        if place == len(self.things):
            self.things.append(thing)
        return place


class _Outcomes:
    """What ClOrdIDs name that do not rest under these: the closed orders, each once."""

    def __init__(self, state: State) -> None:
        self.orders: list[ClosedOrder] = []
        self._state = state
        self._numbers: dict[int, int] = {}
        self._between = {sweep.terms.order_id for sweep in state.sweeps()}

    def number(self, order_id: int) -> int:
        """Where a closed order stands, counted from 1; the id itself of one that rests or has more to trade."""
        number = self._numbers.get(order_id, 0)
        if not number:
            became = None if order_id in self._between else self._state.outcome(order_id)
            if isinstance(became, ClosedOrder):
                self.orders.append(became)
                number = len(self.orders)
            else:
                number = order_id
            self._numbers[order_id] = number
        return number


def _body(state: State) -> _Body:
    table: _Table[OrderTerms] = _Table()
    closed = _Outcomes(state)
    by_id = state.instruments.by_id
    trades = _sorted_trades(state)
    all_places = bool(state.work) or any(each.busted for each in trades)
    instruments = [
        _instrument(by_id[instrument_id], table, all_places) for instrument_id in state.instruments.sorted_ids()
    ]
    sessions = [(key, each.participant_id, _entries(each, closed)) for key, each in sorted(state.sessions.items())]
    former = [(key, each.participant_id, _entries(each, closed)) for (key, _), each in sorted(state.former.items())]
    return _Body(
        state.last_order_id,
        state.last_order_ref,
        state.last_match_number,
        state.day,
        state.last_day,
        state.market_is_open,
        list(state.levels),
        [(number, sorted(entries.items())) for number, entries in sorted(state.schedule.items())],
        state.due,
        table.things,
        instruments,
        [
            (number, each.seq, max(each.self_match_group, 0), each.self_match)
            for number, each in sorted(state.participants.items())
        ],
        sorted(state.blocks),
        len(state.accepted),
        list(state.carried),
        _closed(closed.orders, table),
        sessions,
        former,
        [each for _, each in sorted(state.definitions.items())],
        _trades(trades, table),
        [_work(each, table) for each in state.work],
    )


def _instrument(instrument: Instrument, table: _Table[OrderTerms], all_places: bool) -> _Instrument:
    return _Instrument(
        instrument.definition,
        instrument.rules,
        list(instrument.ticks),
        instrument.collar,
        [getattr(instrument, name) for name in _FIGURES],
        [_queue(side, table, all_places) for side in instrument.sides()],
    )


def _queue(side: BookSide, table: _Table[OrderTerms], all_places: bool) -> _Queue:
    """A side's orders in price-time priority, their terms in the same order in the table.

    Only trades, and perhaps work, ask where the terms of a resting order stand: of those that never traded nobody need
    know.
    """
    levels = list(side.queues())
    orders = list(side.orders())
    at = len(table.things)
    table.places.update({id(each.terms): place for place, each in enumerate(orders, at) if each.cum_qty or all_places})
    table.things += [each.terms for each in orders]
    return (
        [each.rank for each in levels],
        [each.price for each in levels],
        _lengths(orders, levels),
        [each.order_ref for each in orders],
        [each.displayed_qty for each in orders],
        [each.hidden_qty for each in orders],
        [each.cum_qty for each in orders],
        [each.cum_notional for each in orders],
    )


def _lengths(orders: list[Order], levels: list[PriceLevel]) -> list[int]:
    """How many of the orders stand on each level."""
    counts = Counter(each.level.rank for each in orders)
    return [counts[each.rank] for each in levels]


def _entries(session: Session, closed: _Outcomes) -> _Entries:
    names, numbers = [], []
    for cl_ord_id, order_id in session.cl_ord_ids.items():
        names.append(cl_ord_id)
        numbers.append(0 if cl_ord_id in session.orders else closed.number(order_id))
    return names, numbers


def _closed(orders: list[ClosedOrder], table: _Table[OrderTerms]) -> _Closed:
    return (
        [table.place(each.terms) for each in orders],
        bytes([each.status for each in orders]),
        [each.cum_qty for each in orders],
        [each.cum_notional for each in orders],
    )


def _sorted_trades(state: State) -> list[Trade]:
    """The day's trades by match number: each stands with its resting side's participant, and perhaps another."""
    return sorted(
        (
            trade
            for participant_id, participant in state.participants.items()
            for trade in participant.trades
            if trade.resting.participant_id == participant_id
        ),
        key=attrgetter("match_number"),
    )


def _trades(trades: list[Trade], table: _Table[OrderTerms]) -> _Trades:
    return (
        [each.match_number for each in trades],
        [each.timestamp for each in trades],
        [each.price for each in trades],
        [each.quantity for each in trades],
        [table.place(each.resting) for each in trades],
        [table.place(each.incoming) for each in trades],
        bytes([each.auction | each.busted << 1 for each in trades]),
    )


def _work(work: Work, table: _Table[OrderTerms]) -> tuple[str, list[list[int]]]:
    name = _NAMES[type(work)]
    return name, [_written(getattr(work, field), form, table) for field, form in _fields(name)]


def _fields(work: str) -> list[tuple[str, str]]:
    """(name, form) of what a kind of work consists of."""
    fields = (field.partition(":") for field in _WORKS[work][1].split())
    return [(name, form or "number") for name, _, form in fields]


def _written(value: Any, form: str, table: _Table[OrderTerms]) -> list[int]:
    """A field of work as numbers."""
    if form == "number":
        return [int(value)]
    if form == "terms":
        return [table.place(value)]
    if form == "session":
        return []  # the owner of the terms, which every such work has
    assert form in ("numbers", "text"), f"no field of work is written as {form}"
    return list(value)


# --- reading ----------------------------------------------------------------------------------------------------------


def _state(body: _Body, state: State) -> State:
    terms = body.terms
    for participant_id, seq, group, self_match in body.participants:
        participant = state.participant(participant_id)
        participant.seq = seq
        participant.avoid(group or -participant_id, self_match)
    state.blocks = set(body.blocks)
    closed = [ClosedOrder(terms[place], *figures) for place, *figures in zip(*body.closed, strict=True)]
    for session_id, participant_id, _ in body.sessions:
        state.sessions[session_id] = _session(state, session_id, participant_id)
    for session_id, participant_id, _ in body.former:
        state.former[session_id, participant_id] = _session(state, session_id, participant_id)
    resting = iter(terms)
    for written in body.instruments:
        _restore_instrument(state, written, resting)
    for session_id, participant_id, entries in body.sessions + body.former:
        _name(state.participants[participant_id].sessions[session_id], entries, closed)
    for number, at, price, quantity, ours, theirs, flags in zip(*body.trades, strict=True):
        sides = terms[ours], terms[theirs]
        _record(state, Trade(number, at, price, quantity, *sides, auction=bool(flags & 1), busted=bool(flags & 2)))
    state.definitions = {each.session_id: each for each in body.definitions}
    state.work = [_pending(state, terms, name, fields) for name, fields in body.work]
    state.last_order_id = body.last_order_id
    state.last_order_ref = body.last_order_ref
    state.last_match_number = body.last_match_number
    state.day = body.day
    state.last_day = body.last_day
    state.market_is_open = body.market_is_open
    state.levels = tuple(body.levels)
    state.schedule = {number: dict(entries) for number, entries in body.schedule}
    state.due = body.due
    _recall(state, body, closed)
    return state


def _session(state: State, session_id: int, participant_id: int) -> Session:
    participant = state.participants[participant_id]
    session = participant.sessions[session_id] = Session(participant_id, participant)
    session.blocked = state.is_blocked(session_id, participant_id)
    return session


def _name(session: Session, entries: _Entries, closed: list[ClosedOrder]) -> None:
    """Give a session, whose orders rest, its ClOrdIDs."""
    for cl_ord_id, number in zip(*entries, strict=True):
        if not number:
            order_id = session.orders[cl_ord_id].order_id
        else:
            order_id = number if shard_of(number) else closed[number - 1].terms.order_id
        if not session.cl_ord_ids.add(cl_ord_id, order_id):
            raise LookupError(f"{cl_ord_id!r} names two orders")


def _recall(state: State, body: _Body, closed: list[ClosedOrder]) -> None:
    """Find the latest terms of the day's orders: each is closed, or rests, or has more to trade."""
    found = {each.terms.order_id: remembered(each) for each in closed}
    for trade in (each for each in _sorted_trades(state) if not each.busted):
        for terms in (trade.resting, trade.incoming):
            became = found.get(terms.order_id)
            if isinstance(became, ClosedOrder) and became.status == FILLED and became.cum_qty == trade.quantity:
                found[terms.order_id] = trade
    for participant in state.participants.values():
        found.update({each.terms.order_id: each.terms for each in participant.orders()})
    found.update({sweep.terms.order_id: sweep.terms for sweep in state.sweeps()})
    accepted = range(state.last_order_id - body.accepted + 1, state.last_order_id + 1)
    state.accepted = [found[order_id] for order_id in accepted]
    state.carried = SortedDict({order_id: found[order_id] for order_id in body.carried})


def _owner(state: State, terms: OrderTerms) -> Session:
    session = state.find_session(terms.session_id, terms.participant_id)
    if session is None:
        raise LookupError(f"no session {terms.session_id} of participant {terms.participant_id}")
    return session


def _restore_instrument(state: State, written: _Instrument, terms: Iterator[OrderTerms]) -> None:
    state.instruments.define(written.definition)
    instrument = state.instruments.by_id[written.definition.instrument_id]
    if written.rules is not None:
        instrument.take_rules(written.rules)
    instrument.take_ticks(tuple(written.ticks))
    instrument.collar = written.collar
    for name, figure in zip(_FIGURES, written.figures, strict=True):
        setattr(instrument, name, figure)
    for side, queue in zip(instrument.sides(), written.queues, strict=True):
        _fill(state, side, terms, queue)


def _fill(state: State, side: BookSide, terms: Iterator[OrderTerms], queue: _Queue) -> None:
    """Let the orders of a side come to rest again, each in its place and under its own order reference."""
    ranks, prices, counts, *columns = queue
    orders = zip(*columns, strict=True)
    for rank, price, count in zip(ranks, prices, counts, strict=True):
        for _ in range(count):
            each = next(terms, None)
            figures = next(orders, None)
            if each is None or figures is None:
                raise LookupError("more orders rest than have terms or figures")
            owner = _owner(state, each)
            place(owner, side, rank, price, each, *figures)
    if next(orders, None) is not None:
        raise LookupError("more orders have figures than rest")


def _record(state: State, trade: Trade) -> None:
    """Give a trade to both its sides."""
    participant = state.participants[trade.incoming.participant_id]
    participant.trades.append(trade)
    other = state.participants[trade.resting.participant_id]
    if other is not participant:
        other.trades.append(trade)


def _pending(state: State, terms: list[OrderTerms], name: str, written: list[list[int]]) -> Work:
    """The work that `_work` wrote."""
    cls, _ = _WORKS[name]
    fields = list(zip(_fields(name), written, strict=True))
    places = [numbers[0] for (_, form), numbers in fields if form == "terms"]
    return cls(*[_read(state, terms, places, form, numbers) for (_, form), numbers in fields])


def _read(state: State, terms: list[OrderTerms], places: list[int], form: str, numbers: list[int]) -> Any:
    """A field of work from its numbers."""
    if form == "session":
        return _owner(state, terms[places[0]])
    if form == "numbers":
        return numbers
    if form == "text":
        return bytes(numbers)
    [number] = numbers
    return terms[number] if form == "terms" else number
