"""What a shard answers to the questions in `queries`, from its state and changing nothing.

An order of the day is found wherever it is: resting, closed, or between two transactions with more to trade. While a
day begins, those that are yet to be carried over into it do not stand by order id: a few are looked through, and where
there are many the question is refused until all are carried over.
"""

from bisect import bisect_right
from collections.abc import Iterator
from heapq import nsmallest
from operator import attrgetter
from typing import Final

from matching.book import BookSide
from matching.codes import OrdStatus
from matching.events import OrderTerms
from matching.order import Order, PriceLevel
from matching.outcomes import ClosedOrder, Trade
from matching.queries import (
    MAX_ITEMS,
    Answer,
    BookDepth,
    BookFound,
    DigestFound,
    Fill,
    Fills,
    FillsFound,
    Level,
    OpenOrders,
    OrderByClOrdId,
    OrderById,
    OrderFound,
    OrdersFound,
    OrderStatus,
    Query,
    QueryRefused,
    StateDigest,
)
from matching.snapshot import digest
from matching.state import Participant, State, Sweep

#: A trade with oneself gives two rows.
_MAX_TRADES: Final = MAX_ITEMS // 2
_MAX_LEVELS: Final = MAX_ITEMS // 2
#: A firm with at most so many orders has them sorted, otherwise so many of the day's orders are looked at: 1 or 2 ms.
_MAX_SORTED: Final = 4 * MAX_ITEMS
_MAX_LOOKED_AT: Final = 16 * MAX_ITEMS

#: Whoever never came has no orders and no trades.
_NOBODY: Final = Participant(0)

_DAY_BEGINS: Final = QueryRefused("a day begins and its many orders are not all carried over yet: ask again in seconds")

_match_number: Final = attrgetter("match_number")


def answer(state: State, query: Query) -> Answer:
    """The answer to a question; one that makes no sense is refused."""
    if isinstance(query, OpenOrders):
        return _open_orders(state, query)
    if isinstance(query, OrderById):
        return _order_by_id(state, query.order_id)
    if isinstance(query, OrderByClOrdId):
        return OrderFound(_order_by_cl_ord_id(state, query))
    if isinstance(query, Fills):
        return _fills(state, query)
    if isinstance(query, BookDepth):
        return _book(state, query)
    assert isinstance(query, StateDigest)
    return DigestFound(
        digest(state),
        state.day,
        state.last_day,
        state.last_order_id,
        state.last_match_number,
        _order_count(state) + len(state.sweeps()),
    )


def _order_count(state: State) -> int:
    """Of all orders that rest."""
    return sum(participant.order_count() for participant in state.participants.values())


# --- orders -----------------------------------------------------------------------------------------------------------


def _open_orders(state: State, query: OpenOrders) -> OrdersFound | QueryRefused:
    """A page costs what it may hold, however many orders there are: a query stops what it asks for that long."""
    participant = state.participants.get(query.participant_id, _NOBODY)
    if participant.order_count() > _MAX_SORTED:
        return _DAY_BEGINS if state.is_renewing() else _open_orders_of_many(state, query)
    live: dict[int, Order | Sweep] = {each.terms.order_id: each for each in participant.orders()}
    live.update(
        {each.terms.order_id: each for each in state.sweeps() if each.terms.participant_id == query.participant_id}
    )
    page = nsmallest(MAX_ITEMS + 1, (order_id for order_id in live if order_id > query.after_order_id))
    found = [live[order_id] for order_id in page[:MAX_ITEMS]]
    return OrdersFound([_open(each.terms, each) for each in found], len(page) > MAX_ITEMS)


def _open_orders_of_many(state: State, query: OpenOrders) -> OrdersFound:
    """Those among the day's next orders, which stand by order id."""
    looked_at = state.terms_after(query.after_order_id, _MAX_LOOKED_AT)
    found: list[OrderStatus] = []
    for terms in looked_at:
        if terms.participant_id == query.participant_id:
            order = _open_order(state, terms)
            if order is not None:
                found.append(order)
                if len(found) == MAX_ITEMS:
                    return OrdersFound(found, terms is not looked_at[-1] or _goes_on(state, looked_at), terms.order_id)
    more = _goes_on(state, looked_at)
    return OrdersFound(found, more, looked_at[-1].order_id if more else 0)


def _goes_on(state: State, looked_at: list[OrderTerms]) -> bool:
    """Whether the day has orders behind these."""
    return len(looked_at) == _MAX_LOOKED_AT and bool(state.terms_after(looked_at[-1].order_id, 1))


def _open_order(state: State, terms: OrderTerms) -> OrderStatus | None:
    sweep = state.sweep(terms.order_id)
    if sweep is not None:
        return _open(terms, sweep)
    order = state.resting(terms)
    return None if order is None else _open(terms, order)


def _order_by_cl_ord_id(state: State, query: OrderByClOrdId) -> OrderStatus | None:
    for sweep in state.sweeps():
        if sweep.terms.session_id == query.session_id and sweep.terms.cl_ord_id == query.cl_ord_id:
            return _open(sweep.terms, sweep)
    session = state.sessions.get(query.session_id)
    if session is None:
        return None
    order = session.orders.get(query.cl_ord_id)
    if order is not None:
        return _told(order)
    named = session.cl_ord_ids.get(query.cl_ord_id)
    return None if named is None else _order(state, named)


def _order_by_id(state: State, order_id: int) -> OrderFound | QueryRefused:
    found = _order(state, order_id)
    if found is None and state.is_renewing():
        if _order_count(state) > _MAX_SORTED:
            return _DAY_BEGINS
        orders = (order for participant in state.participants.values() for order in participant.orders())
        found = _told(next((order for order in orders if order.terms.order_id == order_id), None))
    return OrderFound(found)


def _order(state: State, order_id: int) -> OrderStatus | None:
    """What is or became of an order."""
    sweep = state.sweep(order_id)
    if sweep is not None:
        return _open(sweep.terms, sweep)
    return _told(state.outcome(order_id))


def _told(order: Order | ClosedOrder | None) -> OrderStatus | None:
    if order is None:
        return None
    if isinstance(order, ClosedOrder):
        return OrderStatus(order.terms, order.status, 0, order.cum_qty, order.cum_notional)
    return _open(order.terms, order)


def _open(terms: OrderTerms, order: Order | Sweep) -> OrderStatus:
    status = OrdStatus.PARTIALLY_FILLED if order.cum_qty else OrdStatus.NEW
    return OrderStatus(terms, int(status), order.leaves_qty, order.cum_qty, order.cum_notional)


# --- trades and books -------------------------------------------------------------------------------------------------


def _fills(state: State, query: Fills) -> FillsFound:
    trades = state.participants.get(query.participant_id, _NOBODY).trades
    first = bisect_right(trades, query.after_match, key=_match_number)
    page = trades[first : first + _MAX_TRADES]
    fills = [fill for trade in page for fill in _sides(trade, query.participant_id)]
    return FillsFound(fills, first + len(page) < len(trades))


def _sides(trade: Trade, participant_id: int) -> Iterator[Fill]:
    for terms, resting in ((trade.resting, True), (trade.incoming, False)):
        if terms.participant_id == participant_id:
            yield Fill(
                trade.match_number,
                trade.timestamp,
                trade.price,
                trade.quantity,
                terms,
                resting,
                trade.auction,
                trade.busted,
            )


def _book(state: State, query: BookDepth) -> Answer:
    instrument = state.instruments.by_id.get(query.instrument_id)
    if instrument is None:
        return QueryRefused(f"instrument {query.instrument_id} is not traded on this shard")
    count = min(max(query.levels, 1), _MAX_LEVELS)
    bids = _levels(instrument.book.bids, count, query.after_bid)
    asks = _levels(instrument.book.asks, count, query.after_ask)
    return BookFound(
        query.instrument_id,
        instrument.definition.symbol,
        instrument.state,
        instrument.phase,
        bids[:count],
        asks[:count],
        len(bids) > count,
        len(asks) > count,
    )


def _levels(side: BookSide, count: int, after: int) -> list[Level]:
    """What is displayed, and one level more than asked for, if there is one."""
    found: list[Level] = []
    for level in side.queues():
        if level.quantity and not (after and level.rank >= side.sign * after):
            found.append(Level(level.price, level.quantity, _displayed(level)))
            if len(found) > count:
                break
    return found


def _displayed(level: PriceLevel) -> int:
    """How many orders of a level the public sees."""
    count = 0
    order = level.first
    while order is not None:
        if order.displayed_qty:
            count += 1
        order = order.behind
    return count
