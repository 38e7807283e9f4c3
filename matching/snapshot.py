"""The complete state of a shard's engine as bytes, and back. What is not in here is not state.

    "FIXGWENG" · version u16 · shard u16 · max_events u32 · body: MessagePack of `_Body`, big-endian header

The same state gives the same bytes, on every replica and in an engine that was itself restored, so the CRC-32C of the
body is the state's digest. Everything stands in an order that the state defines: books in price-time priority, tables
by their id, ClOrdIDs and closed orders in the order in which they came, trades by match number. An `OrderTerms` stands
in one table however many orders and trades refer to it, and each by its place there, so a restored engine shares them
as the first one did.

What follows from the rest is not written: levels and links from the queues, the live entries of ClOrdIDs from their
orders, a participant's trades from all trades. `restore` makes them anew. It takes only its own version: an engine
that remembers something else needs another number, and replicas of one shard run one version.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from struct import Struct as Layout
from typing import Final

import google_crc32c
from msgspec import MsgspecError, Struct
from msgspec.msgpack import Decoder, Encoder

from matching.instruments import Instrument
from matching.messages import DefineInstrument, DefineSession, OrderTerms
from matching.order import Order
from matching.state import (
    ORDER_ID_MASK,
    STATUS_SHIFT,
    Cancellation,
    ClosedOrder,
    Expiry,
    Listing,
    Participant,
    Session,
    State,
    Sweep,
    Trade,
)
from matching.trade import BUY, rest

MAGIC: Final = b"FIXGWENG"
VERSION: Final = 1

_HEADER: Final = Layout(">8sHHI")

#: An `OrderTerms`' place in the table, order_ref, leaves_qty, cum_qty, cum_notional.
_Resting = tuple[int, int, int, int, int]
#: ClOrdID, OrdStatus (0: it lives), order_id.
_Entry = tuple[bytes, int, int]


class _Body(Struct, array_like=True, forbid_unknown_fields=True):
    last_order_id: int
    last_order_ref: int
    last_match_number: int
    day: int
    last_day: int
    terms: list[OrderTerms]
    #: By id: definition, trading state, bids, asks.
    instruments: list[tuple[DefineInstrument, int, list[_Resting], list[_Resting]]]
    #: By id: participant_id, seq, and of each closed order the place of its terms, cum_qty and cum_notional.
    participants: list[tuple[int, int, list[tuple[int, int, int]]]]
    #: By id: session_id, participant_id, its ClOrdIDs; then the former ones.
    sessions: list[tuple[int, int, list[_Entry]]]
    former: list[tuple[int, int, list[_Entry]]]
    definitions: list[DefineSession]
    #: match_number, timestamp, price, quantity, the places of both terms.
    trades: list[tuple[int, int, int, int, int, int]]
    #: Which, and its figures.
    work: tuple[str, list[int]] | None


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
    except (MsgspecError, LookupError) as error:
        raise ValueError(f"the snapshot of shard {shard_id} is damaged: {error!r}") from None


# --- writing ----------------------------------------------------------------------------------------------------------


class _Table:
    """Each object once, in the order in which they are first asked for."""

    def __init__(self) -> None:
        self.terms: list[OrderTerms] = []
        self._places: dict[int, int] = {}

    def place(self, terms: OrderTerms) -> int:
        """Where these terms stand. They are told apart by identity: an engine never copies any."""
        place = self._places.setdefault(id(terms), len(self.terms))
        if place == len(self.terms):
            self.terms.append(terms)
        return place


def _body(state: State) -> _Body:
    table = _Table()
    place = table.place
    by_id = state.instruments.by_id
    instruments = [
        (each.definition, each.state, _queues(each.book.bids.orders(), place), _queues(each.book.asks.orders(), place))
        for each in (by_id[instrument_id] for instrument_id in state.instruments.sorted_ids())
    ]
    participants = [
        (
            participant_id,
            each.seq,
            [(place(order.terms), order.cum_qty, order.cum_notional) for order in each.closed.values()],
        )
        for participant_id, each in sorted(state.participants.items())
    ]
    trades = [
        (each.match_number, each.timestamp, each.price, each.quantity, place(each.resting), place(each.incoming))
        for each in _trades(state)
    ]
    return _Body(
        state.last_order_id,
        state.last_order_ref,
        state.last_match_number,
        state.day,
        state.last_day,
        table.terms,
        instruments,
        participants,
        [(number, each.participant_id, _entries(each)) for number, each in sorted(state.sessions.items())],
        [(number, each.participant_id, _entries(each)) for (number, _), each in sorted(state.former.items())],
        [each for _, each in sorted(state.definitions.items())],
        trades,
        _work(state, table),
    )


def _queues(orders: Iterable[Order], place: Callable[[OrderTerms], int]) -> list[_Resting]:
    return [(place(each.terms), each.order_ref, each.leaves_qty, each.cum_qty, each.cum_notional) for each in orders]


def _trades(state: State) -> list[Trade]:
    """All trades of the day by match number: each stands with its resting side's participant, and perhaps another."""
    return sorted(
        (
            trade
            for participant_id, participant in state.participants.items()
            for trade in participant.trades
            if trade.resting.participant_id == participant_id
        ),
        key=attrgetter("match_number"),
    )


def _entries(session: Session) -> list[_Entry]:
    return [
        (cl_ord_id, entry >> STATUS_SHIFT, entry & ORDER_ID_MASK)
        if isinstance(entry, int)
        else (cl_ord_id, 0, entry.terms.order_id)
        for cl_ord_id, entry in session.cl_ord_ids.items()
    ]


def _work(state: State, table: _Table) -> tuple[str, list[int]] | None:
    work = state.work
    if work is None:
        return None
    if isinstance(work, Sweep):
        return "sweep", [table.place(work.terms), work.leaves_qty, work.cum_qty, work.cum_notional]
    if isinstance(work, Listing):
        return "listing", work.ids
    if isinstance(work, Expiry):
        return "expiry", work.ids
    return "cancellation", [work.reason, *work.ids]


# --- reading ----------------------------------------------------------------------------------------------------------


def _state(body: _Body, state: State) -> State:
    terms = body.terms
    for participant_id, seq, closed in body.participants:
        participant = state.participants[participant_id] = Participant()
        participant.seq = seq
        for place, cum_qty, cum_notional in closed:
            participant.closed[terms[place].order_id] = ClosedOrder(terms[place], cum_qty, cum_notional)
    for session_id, participant_id, entries in body.sessions:
        state.sessions[session_id] = _session(state, participant_id, entries)
    for session_id, participant_id, entries in body.former:
        state.former[session_id, participant_id] = _session(state, participant_id, entries)
    for definition, trading_state, bids, asks in body.instruments:
        state.instruments.define(definition)
        instrument = state.instruments.by_id[definition.instrument_id]
        instrument.state = trading_state
        _fill(state, instrument, terms, bids)
        _fill(state, instrument, terms, asks)
    for match_number, timestamp, price, quantity, resting, incoming in body.trades:
        _record(state, Trade(match_number, timestamp, price, quantity, terms[resting], terms[incoming]))
    state.definitions = {each.session_id: each for each in body.definitions}
    state.work = _pending(body, state)
    state.last_order_id = body.last_order_id
    state.last_order_ref = body.last_order_ref
    state.last_match_number = body.last_match_number
    state.day = body.day
    state.last_day = body.last_day
    return state


def _session(state: State, participant_id: int, entries: list[_Entry]) -> Session:
    """A session with its ClOrdIDs in their places; those that live get their orders when these come to rest."""
    session = Session(participant_id, state.participants[participant_id])
    session.cl_ord_ids = {cl_ord_id: status << STATUS_SHIFT | order_id for cl_ord_id, status, order_id in entries}
    return session


def _owner(state: State, terms: OrderTerms) -> Session:
    session = state.find_session(terms.session_id, terms.participant_id)
    if session is None:
        raise LookupError(f"no session {terms.session_id} of participant {terms.participant_id}")
    return session


def _fill(state: State, instrument: Instrument, terms: list[OrderTerms], queue: list[_Resting]) -> None:
    """Let the orders of a side come to rest again, each under its own order reference."""
    book = instrument.book
    for place, order_ref, leaves_qty, cum_qty, cum_notional in queue:
        each = terms[place]
        state.last_order_ref = order_ref - 1
        side = book.bids if each.side == BUY else book.asks
        rest(state, _owner(state, each), side, each, leaves_qty, cum_qty, cum_notional)


def _record(state: State, trade: Trade) -> None:
    """Give a trade to both its sides."""
    participant = state.participants[trade.incoming.participant_id]
    participant.trades.append(trade)
    other = state.participants[trade.resting.participant_id]
    if other is not participant:
        other.trades.append(trade)


def _pending(body: _Body, state: State) -> Sweep | Listing | Expiry | Cancellation | None:
    if body.work is None:
        return None
    name, figures = body.work
    if name == "sweep":
        place, leaves_qty, cum_qty, cum_notional = figures
        terms = body.terms[place]
        return Sweep(_owner(state, terms), terms, leaves_qty, cum_qty, cum_notional)
    if name == "cancellation":
        return Cancellation(figures[0], figures[1:])
    return Listing(figures) if name == "listing" else Expiry(figures)
