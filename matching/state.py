"""Everything a shard's engine remembers: what it does next depends on this and the command alone.

All of it is replicated: each replica holds the same, and `digest` proves it. Nothing is ever done in the order of a
hash table, so two processes that were given the same commands hold the same state whatever their hash seeds are.

A `Session` is a FIX session's memory of the day: under each ClOrdID that is live, its resting `Order`; under one whose
order is closed, and under that of an accepted cancel, `OrdStatus << 64 | order_id`. One look-up tells what is new, what
lives and what is gone. A session belongs to one participant, the gateway sees to that; should one ever come with
another participant, it is another session.

Work that is too large for one transaction stands in `work` and is drained by `Continue` commands.
"""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Final

import google_crc32c
import msgspec
from msgspec.structs import astuple

from matching.ids import first_id
from matching.instruments import Instruments
from matching.messages import OrderTerms
from matching.order import Order

#: Bounds what one command can make a shard do and send before it looks at anything else: about 25 KB of events.
MAX_EVENTS_PER_TRANSACTION: Final = 128
#: The most events that end a piece of work: each transaction keeps room for them.
CLOSING_EVENTS: Final = 3

#: A closed ClOrdID's entry holds its OrdStatus above its order id.
STATUS_SHIFT: Final = 64
ORDER_ID_MASK: Final = (1 << STATUS_SHIFT) - 1


class Participant:
    """What the shard knows of a firm."""

    __slots__ = ("seq",)

    def __init__(self) -> None:
        #: Its last `participant_seq`.
        self.seq: int = 0


class Session:
    """A FIX session and its ClOrdIDs of the day."""

    __slots__ = ("cl_ord_ids", "participant", "participant_id")

    def __init__(self, participant_id: int, participant: Participant) -> None:
        self.participant_id: int = participant_id
        self.participant: Participant = participant
        #: ClOrdID → the live order, or the status and id of a closed one.
        self.cl_ord_ids: dict[bytes, Order | int] = {}


class Sweep:
    """An incoming order that has more to trade with."""

    __slots__ = ("cum_notional", "cum_qty", "leaves_qty", "session", "terms")

    def __init__(self, session: Session, terms: OrderTerms, leaves_qty: int, cum_qty: int, cum_notional: int) -> None:
        self.session = session
        self.terms = terms
        self.leaves_qty = leaves_qty
        self.cum_qty = cum_qty
        self.cum_notional = cum_notional


class Listing:
    """The instruments that a new day has yet to list."""

    __slots__ = ("ids",)

    def __init__(self, ids: list[int]) -> None:
        #: Descending: the next one is the last.
        self.ids = ids


class Expiry:
    """The instruments whose orders have yet to expire at the day's end."""

    __slots__ = ("ids",)

    def __init__(self, ids: list[int]) -> None:
        #: Descending: the next one is the last.
        self.ids = ids


class State:
    """The state of one shard."""

    __slots__ = (
        "day",
        "instruments",
        "last_day",
        "last_match_number",
        "last_order_id",
        "last_order_ref",
        "max_events",
        "orders",
        "participants",
        "sessions",
        "work",
    )

    def __init__(self, shard_id: int, max_events: int) -> None:
        assert max_events > 2 * CLOSING_EVENTS, "a transaction must do more than close a piece of work"
        self.last_order_id: int = first_id(shard_id) - 1
        self.last_order_ref: int = first_id(shard_id) - 1
        self.last_match_number: int = first_id(shard_id) - 1
        #: The open day, 0 when none is, and the last one that was opened.
        self.day: int = 0
        self.last_day: int = 0
        self.instruments = Instruments()
        #: order_id → what rests of it.
        self.orders: dict[int, Order] = {}
        self.participants: dict[int, Participant] = {}
        self.sessions: dict[int, Session] = {}
        self.work: Sweep | Listing | Expiry | None = None
        self.max_events: int = max_events

    def session(self, session_id: int, participant_id: int) -> Session:
        """This participant's session; made when it first comes."""
        session = self.sessions.get(session_id)
        if session is None or session.participant_id != participant_id:
            participant = self.participants.setdefault(participant_id, Participant())
            session = self.sessions[session_id] = Session(participant_id, participant)
        return session

    def digest(self) -> int:
        """CRC-32C of the complete state in a canonical order. Reads everything: not for every command."""
        crc = 0
        for part in self._parts():
            crc = google_crc32c.extend(crc, msgspec.msgpack.encode(part))
        return crc

    def _parts(self) -> Iterator[Any]:
        yield self.last_order_id, self.last_order_ref, self.last_match_number, self.day, self.last_day
        yield sorted((participant_id, participant.seq) for participant_id, participant in self.participants.items())
        for instrument_id in self.instruments.sorted_ids():
            instrument = self.instruments.by_id[instrument_id]
            yield astuple(instrument.listed())
            for side in (instrument.book.bids, instrument.book.asks):
                for order in side.orders():
                    yield astuple(order.terms), order.order_ref, order.leaves_qty, order.cum_qty, order.cum_notional
        for session_id, session in sorted(self.sessions.items()):
            yield session_id, session.participant_id
            for cl_ord_id, entry in sorted(session.cl_ord_ids.items(), key=itemgetter(0)):
                if isinstance(entry, Order):
                    yield cl_ord_id, entry.terms.order_id, 0
                else:
                    yield cl_ord_id, entry & ORDER_ID_MASK, entry >> STATUS_SHIFT
        work = self.work
        if isinstance(work, Sweep):
            yield "sweep", astuple(work.terms), work.leaves_qty, work.cum_qty, work.cum_notional
        elif work is not None:
            yield type(work).__name__, work.ids
