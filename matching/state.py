"""Everything a shard's engine remembers: what it does next depends on this and the command alone.

All of it is replicated: each replica holds the same, `snapshot` writes it down, and the digest of what is written
proves it. Nothing is ever done in the order of a hash table, so two processes that were given the same commands hold
the same state whatever their hash seeds are.

A `Session` is a FIX session's memory: what rests, by the ClOrdID it has now, and every ClOrdID of the day with the id
of its order. The first of these tables is small and asked for by every request, the second is as large as the day was
long, and all that most commands do with it is to see that a ClOrdID is new: see `cl_ord_ids`. A ClOrdID stays there
from when its order was accepted, whatever becomes of that; who looks for the order finds out what it is called now. A
session belongs to one participant, the gateway sees to that; should one ever come with another participant, it is
another session, and the first one's is kept among the `former`.

Order ids count up, so a list of the day's orders finds each by its id: its latest terms or, when it is closed, the
`ClosedOrder` that tells what became of it. Most closed orders need none: of one that was canceled before it traded its
terms say all, of one that a single trade filled that trade does. Each trade is remembered with the `Participant`s of
its sides. All this is what a broker asks about after the events have gone by; it is kept after the day's end, for late
questions and late cancels, and forgotten when the next day starts. Then what still lives is carried over: one order at
a time gets its ClOrdID and its place among the `carried` again.

A million orders are not forgotten in one moment: to free them takes more than a second, in which a shard would seem
dead. They become garbage, which no snapshot holds, and each command after it frees a few.

Work that is too large for one transaction stands in `work` and is drained by `Continue` commands, the first item first.
An item that has more to do, or that others must wait for, is put in front again.
"""

from collections.abc import Iterator
from heapq import heappush
from itertools import islice
from typing import TYPE_CHECKING, Final

from sortedcontainers import SortedDict

from matching.cl_ord_ids import ClOrdIds
from matching.events import OrderTerms
from matching.ids import first_id
from matching.instruments import Instruments
from matching.order import Boxed, Order
from matching.outcomes import CANCELED, FILLED, ClosedOrder, Entry, Trade, terms_of

if TYPE_CHECKING:
    from matching.commands import DefineSession

#: Bounds what one command can make a shard do and send before it looks at anything else: about 25 KB of events.
MAX_EVENTS_PER_TRANSACTION: Final = 128
#: The most events that end a piece of work: each transaction keeps room for them.
CLOSING_EVENTS: Final = 3

#: What may be due: see `advance`.
DUE_PHASE: Final = 0
DUE_AUCTION_END: Final = 1
DUE_EXPIRY: Final = 2
DUE_INDICATION: Final = 3

#: As `Cancellation.asked_by`: no session's number.
NOBODY: Final = 1 << 32

#: Freeing as many costs about as much as a command.
FREED_PER_COMMAND: Final = 8


class Participant:
    """What the shard knows of a firm."""

    __slots__ = ("avoided_group", "self_match", "self_match_group", "seq", "sessions", "trades")

    def __init__(self, participant_id: int) -> None:
        #: Its last `participant_seq`.
        self.seq: int = 0
        #: Whose orders are one firm's to it: above 0 a group that was given a number, below 0 the firm alone; never 0.
        self.self_match_group: int = -participant_id
        #: `SelfMatch`: what its incoming orders do where they meet one of that group.
        self.self_match: int = 0
        #: The group with which its incoming orders do not trade; 0, which is nobody's, where they trade with all.
        self.avoided_group: int = 0
        #: By id, the former ones too.
        self.sessions: dict[int, Session] = {}
        #: By match number; a trade with itself stands here once.
        self.trades: list[Trade] = []

    def orders(self) -> Iterator[Order]:
        """What rests of the participant's orders, in no order that means anything."""
        for session in self.sessions.values():
            yield from session.orders.values()

    def order_count(self) -> int:
        """How many rest."""
        return sum(len(session.orders) for session in self.sessions.values())

    def avoid(self, group: int, self_match: int) -> None:
        """Say whose orders are its own, and what happens where its incoming ones meet them."""
        self.self_match_group = group
        self.self_match = self_match
        self.avoided_group = group if self_match else 0


class Session:
    """A FIX session, its orders and its ClOrdIDs of the day."""

    __slots__ = ("blocked", "cl_ord_ids", "orders", "participant", "participant_id")

    def __init__(self, participant_id: int, participant: Participant) -> None:
        #: Whether new orders and replaces are refused: it, or its participant, stands among the `State.blocks`.
        self.blocked: bool = False
        self.participant_id: int = participant_id
        self.participant: Participant = participant
        #: ClOrdID → what rests under it.
        self.orders: dict[bytes, Order] = {}
        #: Every ClOrdID of the day, with the id of the order that it names or named, or was to cancel.
        self.cl_ord_ids = ClOrdIds()


class Sweep:
    """An incoming order, and what it has done so far. As work: one that has more to trade with."""

    __slots__ = (
        "best_ask",
        "best_bid",
        "cum_notional",
        "cum_qty",
        "first_price",
        "last_price",
        "leaves_qty",
        "limit",
        "session",
        "terms",
    )

    def __init__(
        self,
        session: Session,
        terms: OrderTerms,
        limit: int,
        leaves_qty: int,
        cum_qty: int,
        cum_notional: int,
        first_price: int = 0,
        last_price: int = 0,
        best_bid: int = 0,
        best_ask: int = 0,
    ) -> None:
        self.session = session
        self.terms = terms
        #: The worst price at which it trades; 0: none, and of a pegged order that it has no price.
        self.limit: int = limit
        self.leaves_qty: int = leaves_qty
        self.cum_qty: int = cum_qty
        self.cum_notional: int = cum_notional
        #: Of its trades since it came in; 0: it has made none.
        self.first_price: int = first_price
        self.last_price: int = last_price
        #: What the pegged orders followed when it came in; 0: nothing was there.
        self.best_bid: int = best_bid
        self.best_ask: int = best_ask


class Cascade:
    """What an order has set off in an instrument: stops that its sales reach, and pegged orders that meet."""

    __slots__ = ("highest", "instrument_id", "lowest")

    def __init__(self, instrument_id: int, lowest: int, highest: int) -> None:
        self.instrument_id: int = instrument_id
        #: The prices of the sales that are still to be held against the waiting stops; 0: of none.
        self.lowest: int = lowest
        self.highest: int = highest


class Listing:
    """The instruments that a new day has yet to list."""

    __slots__ = ("ids", "started_at")

    def __init__(self, ids: list[int], started_at: int) -> None:
        #: Descending: the next one is the last.
        self.ids = ids
        #: When the day started.
        self.started_at = started_at


class Expiry:
    """The instruments whose orders have yet to expire at the day's end."""

    __slots__ = ("ids", "next_order_id", "until")

    def __init__(self, ids: list[int], until: int, next_order_id: int = 0) -> None:
        #: Descending: the next one is the last.
        self.ids = ids
        #: When the day ended.
        self.until = until
        #: The order of that instrument with which to go on; 0: its first one.
        self.next_order_id = next_order_id


class Renewal:
    """The orders that have yet to be told that they live on in a new day."""

    __slots__ = ("ids", "next_order_id")

    def __init__(self, ids: list[int], next_order_id: int) -> None:
        #: The instruments, descending: the next one is the last.
        self.ids = ids
        #: The order of that instrument with which to go on; 0: its first one.
        self.next_order_id = next_order_id


class Cancellation:
    """The orders that have yet to be canceled, and who is told when they are."""

    __slots__ = (
        "after",
        "asked_by",
        "canceled",
        "cl_ord_id",
        "instrument_id",
        "participant_id",
        "reason",
        "session_ids",
        "side",
    )

    def __init__(
        self,
        reason: int,
        participant_id: int,
        session_ids: list[int],
        instrument_id: int = 0,
        side: int = 0,
        asked_by: int = NOBODY,
        cl_ord_id: bytes = b"",
        after: int = 0,
        canceled: int = 0,
    ) -> None:
        self.reason = reason
        #: Whose orders; 0: everybody's.
        self.participant_id = participant_id
        #: Those of these sessions, ascending; none: of all.
        self.session_ids = session_ids
        #: 0: all instruments, both sides.
        self.instrument_id = instrument_id
        self.side = side
        #: The session that asked and is told when it is done; 0: an operator.
        self.asked_by = asked_by
        self.cl_ord_id = cl_ord_id
        #: The order id up to which it is done, and how many orders were canceled.
        self.after = after
        self.canceled = canceled


class Moving:
    """Instruments that have yet to come into a phase."""

    __slots__ = ("ids", "phase", "reason")

    def __init__(self, ids: list[int], phase: int, reason: bytes) -> None:
        #: Descending: the next one is the last.
        self.ids = ids
        self.phase = phase
        self.reason = reason


class Uncross:
    """An auction that ends, and the phase that comes after it."""

    __slots__ = ("cross_type", "instrument_id", "open_qty", "phase", "price", "reason", "stage", "total")

    def __init__(
        self,
        instrument_id: int,
        cross_type: int,
        phase: int,
        reason: bytes,
        stage: int = 0,
        price: int = 0,
        total: int = 0,
        open_qty: int = 0,
    ) -> None:
        self.instrument_id = instrument_id
        self.cross_type = cross_type
        self.phase = phase
        self.reason = reason
        #: What is next, see `uncross`.
        self.stage = stage
        #: At which price how much trades, and how much of that has yet to.
        self.price = price
        self.total = total
        self.open_qty = open_qty


class Joining:
    """Parked orders that have yet to join the auction for which they waited."""

    __slots__ = ("instrument_id", "next_order_id")

    def __init__(self, instrument_id: int, next_order_id: int) -> None:
        self.instrument_id = instrument_id
        #: With which to go on; 0: the first one.
        self.next_order_id = next_order_id


class Advancing:
    """What is due and has yet to be done."""

    __slots__ = ("left", "until")

    def __init__(self, until: int, left: list[int]) -> None:
        self.until = until
        #: The instruments, ascending, that orders of a date have left while others of that date have yet to.
        self.left = left


Work = Sweep | Cascade | Listing | Renewal | Expiry | Cancellation | Moving | Uncross | Joining | Advancing


class State:
    """The state of one shard."""

    __slots__ = (
        "accepted",
        "blocks",
        "carried",
        "day",
        "definitions",
        "due",
        "former",
        "garbage",
        "instruments",
        "last_day",
        "last_match_number",
        "last_order_id",
        "last_order_ref",
        "levels",
        "market_is_open",
        "max_events",
        "participants",
        "schedule",
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
        #: Whether the public was told that market hours have begun, and not that they have ended.
        self.market_is_open: bool = False
        #: The circuit breaker's, as they were said today; empty: they were not.
        self.levels: tuple[int, ...] = ()
        #: Instrument id, 0 for all → when which phase is to begin. Kept until the day ends.
        self.schedule: dict[int, dict[int, int]] = {}
        #: What is to be done when, by kind, each kind in a heap: see `advance`. It may hold what has come to nothing.
        self.due: list[list[tuple[int, int]]] = [[], [], [], []]
        #: Each order that the day accepted, as `Entry` says: the last one's order id is `last_order_id`.
        self.accepted: list[Entry] = []
        #: Order id → each order that the day took over from the one before, open or closed.
        self.carried: SortedDict[int, Entry] = SortedDict()
        self.instruments = Instruments()
        self.participants: dict[int, Participant] = {}
        self.sessions: dict[int, Session] = {}
        #: (session_id, participant_id) → a session whose number has come with another participant since.
        self.former: dict[tuple[int, int], Session] = {}
        #: session_id → what the operator says of it.
        self.definitions: dict[int, DefineSession] = {}
        #: (participant_id, session_id) that may enter nothing; session_id 0: none of the participant's.
        self.blocks: set[tuple[int, int]] = set()
        #: The first one is next.
        self.work: list[Work] = []
        self.max_events: int = max_events
        #: What was forgotten and is not yet freed: no state, nothing depends on it.
        self.garbage: list[
            dict[bytes, Boxed]
            | SortedDict[int, Entry]
            | list[bytes]
            | list[Boxed]
            | list[Entry]
            | list[Trade]
            | list[tuple[int, int]]
        ] = []

    def session(self, session_id: int, participant_id: int) -> Session:
        """This participant's session; made when it first comes."""
        session = self.sessions.get(session_id)
        if session is not None:
            if session.participant_id == participant_id:
                return session
            self.former[session_id, session.participant_id] = session
        found = self.former.pop((session_id, participant_id), None)
        if found is None:
            participant = self.participant(participant_id)
            found = participant.sessions[session_id] = Session(participant_id, participant)
            found.blocked = self.is_blocked(session_id, participant_id)
        self.sessions[session_id] = found
        return found

    def participant(self, participant_id: int) -> Participant:
        """A participant; made when it first comes."""
        found = self.participants.get(participant_id)
        if found is None:
            found = self.participants[participant_id] = Participant(participant_id)
        return found

    def is_blocked(self, session_id: int, participant_id: int) -> bool:
        """Whether this participant's session may enter nothing."""
        return (participant_id, 0) in self.blocks or (participant_id, session_id) in self.blocks

    def sweep(self, order_id: int) -> Sweep | None:
        """The order with this id, if it is between two transactions with more to trade."""
        for work in self.work:
            if isinstance(work, Sweep) and work.terms.order_id == order_id:
                return work
        return None

    def sweeps(self) -> list[Sweep]:
        """The orders that are between two transactions."""
        return [work for work in self.work if isinstance(work, Sweep)]

    def find_session(self, session_id: int, participant_id: int) -> Session | None:
        """This participant's session, if it ever came."""
        session = self.sessions.get(session_id)
        if session is not None and session.participant_id == participant_id:
            return session
        return self.former.get((session_id, participant_id))

    def all_sessions(self) -> Iterator[tuple[int, Session]]:
        """(session_id, session) of all there are, the former ones last."""
        yield from self.sessions.items()
        for (session_id, _), session in self.former.items():
            yield session_id, session

    def is_renewing(self) -> bool:
        """Whether a day has begun and orders that live on in it are not all carried over: they are live, and may have
        no ClOrdID and no place among the day's orders yet."""
        return any(isinstance(work, Renewal) for work in self.work)

    def order(self, order_id: int) -> Order | None:
        """The resting order with this id, whosever it is; not while it is yet to be carried over into a new day."""
        terms = self.terms(order_id)
        return None if terms is None else self.resting(terms)

    def resting(self, terms: OrderTerms) -> Order | None:
        """The order with these latest terms, if it rests."""
        session = self.find_session(terms.session_id, terms.participant_id)
        return None if session is None else session.orders.get(terms.cl_ord_id)

    def outcome(self, order_id: int) -> Order | ClosedOrder | None:
        """What is or became of an order of the day that is not between two transactions."""
        entry = self._entry(order_id)
        if entry is None or isinstance(entry, ClosedOrder):
            return entry
        if isinstance(entry, Trade):
            return ClosedOrder(terms_of(order_id, entry), FILLED, entry.quantity, entry.price * entry.quantity)
        order = self.resting(entry)
        return ClosedOrder(entry, CANCELED, 0, 0) if order is None else order

    def terms(self, order_id: int) -> OrderTerms | None:
        """The latest terms of an order of the day, be it open or closed."""
        entry = self._entry(order_id)
        return None if entry is None else terms_of(order_id, entry)

    def terms_after(self, order_id: int, count: int) -> list[OrderTerms]:
        """Of the orders of the day with higher ids than this the first ones, open or closed."""
        found = [terms_of(each, self.carried[each]) for each in islice(self.carried.irange(order_id + 1), count)]
        before = self.last_order_id - len(self.accepted)
        first = max(order_id - before, 0) + 1
        entries = self.accepted[first - 1 : first - 1 + count - len(found)]
        found += [terms_of(before + place, entry) for place, entry in enumerate(entries, first)]
        return found

    def _entry(self, order_id: int) -> Entry | None:
        place = order_id - self.last_order_id - 1
        return self.accepted[place] if -len(self.accepted) <= place < 0 else self.carried.get(order_id)

    def remember(self, order_id: int, entry: Entry) -> None:
        """An order of the day has got new terms, or is closed."""
        place = order_id - self.last_order_id - 1
        if place < -len(self.accepted):
            self.carried[order_id] = entry
        else:
            self.accepted[place] = entry

    def carry(self, order: Order) -> None:
        """An order lives on in the new day, for which all that was remembered of the day before was forgotten."""
        terms = order.terms
        self.carried[terms.order_id] = terms
        if terms.conditions is not None and terms.conditions.expire_at:
            self.remember_expiry(terms)
        order.session.cl_ord_ids.add(terms.cl_ord_id, terms.order_id)

    def remind(self, kind: int, at: int, number: int) -> None:
        """Something is to be done at a time, with the instrument or the order of this number."""
        heappush(self.due[kind], (at, number))

    def remember_expiry(self, terms: OrderTerms) -> None:
        """An order came to rest that lives until a date, or got another one."""
        assert terms.conditions is not None, "the date is one of the conditions"
        self.remind(DUE_EXPIRY, terms.conditions.expire_at, terms.order_id)

    def forget_day(self) -> None:
        """Drop what is kept of a day when the next one starts: each order that lives on is to be carried over."""
        self.garbage.append(self.accepted)
        self.accepted = []
        self.garbage.append(self.carried)
        self.carried = SortedDict()
        for _, session in self.all_sessions():
            self.garbage += session.cl_ord_ids.heaps()
            session.cl_ord_ids = ClOrdIds()
        for participant in self.participants.values():
            self.garbage.append(participant.trades)
            participant.trades = []

    def free_some(self) -> None:
        """Free a little of the garbage, of which there is some."""
        heap = self.garbage[-1]
        for _ in range(min(FREED_PER_COMMAND, len(heap))):
            if isinstance(heap, list):
                heap.pop()
            else:
                heap.popitem()
        if not heap:
            self.garbage.pop()
