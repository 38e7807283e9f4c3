"""Stop orders, and everything else that one order sets off: the cascade.

A sale elects the stop orders whose price it reaches: buys at or above their stop price, sells at or below it. When an
incoming order is done, all its sales are held against the waiting stops: the buys by the lowest stop price, then the
sells by the highest, then time. So an instrument has a queue of those *elected*. One after the other is triggered: it
comes in as a market or limit order, and those that its own sales elect stand in the queue behind the others. When
nobody is left in it, pegged orders of both sides that agree trade, and their sales elect in their turn.

Auctions elect nobody while they last; when continuous trading begins, the stops are held against the last sale. What
was elected before a volatility auction began is triggered all the same, and takes part in it.

A cascade is as long as there are orders to set off; it goes on at the next `Continue` when a transaction is full.
"""

from typing import Final

from matching.admission import arrive, has_reached
from matching.book import BookSide, join, take, unlink
from matching.events import Event, OrderTriggered
from matching.incoming import ROOM, STOP_LIMIT, meet
from matching.instruments import CONTINUOUS, Instrument
from matching.order import Order
from matching.pegs import crossing_pegs
from matching.state import Cascade, State, Sweep
from matching.trade import stir

#: Stop orders that one step elects: less than a millisecond's worth.
MAX_ELECTED: Final = 256


def stir_all(state: State) -> None:
    """Orders are gone from any books: the pegged orders that agree now are to meet."""
    for instrument_id in state.instruments.sorted_ids()[::-1]:
        stir(state, state.instruments.by_id[instrument_id], 0, 0)


def go_on_cascading(state: State, work: Cascade, events: list[Event], timestamp: int) -> None:
    """One step: elect, then let one elected order come in, or a pair of pegged ones meet. More steps are work again."""
    instrument = state.instruments.by_id[work.instrument_id]
    if len(events) > state.max_events - ROOM or (work.highest and not _elect(instrument, work)):
        state.work.insert(0, work)
        return
    queue = instrument.elected.best
    if queue is not None:
        assert queue.first is not None, "a queue has an order"
        arrive(state, events, instrument, _triggered(queue.first, events), timestamp)
    elif instrument.phase == CONTINUOUS:
        found = crossing_pegs(instrument)
        if found is not None:
            resting, incoming, price = found
            _meet_pegged(state, events, instrument, resting, incoming, price, timestamp)


def _elect(instrument: Instrument, work: Cascade) -> bool:
    """Let the stops that the sales have reached queue up. Whether these are all."""
    stops = instrument.stops
    room = MAX_ELECTED
    for side in (stops.bids, stops.asks):
        room = _elect_side(instrument, side, work, room)
    if not room:
        return False
    work.lowest = work.highest = 0
    return True


def _elect_side(instrument: Instrument, side: BookSide, work: Cascade, room: int) -> int:
    """Gives what is left of the room."""
    level = side.best
    while room and level is not None:
        order = level.first
        assert order is not None
        if not has_reached(order.terms.side, level.price, work.lowest, work.highest):
            break
        unlink(order)
        join(order, instrument.elected, 0, 0)
        room -= 1
        level = side.best
    return room


def _triggered(order: Order, events: list[Event]) -> Sweep:
    """A stop order that was elected becomes an incoming order."""
    unlink(order)
    session, terms = order.session, order.terms
    participant = session.participant
    del session.orders[terms.cl_ord_id]
    participant.seq += 1
    leaves_qty = order.hidden_qty
    events.append(OrderTriggered(terms, participant.seq, order.cum_qty, leaves_qty, order.cum_notional))
    limit = terms.price if terms.ord_type == STOP_LIMIT else 0
    return Sweep(session, terms, limit, leaves_qty, order.cum_qty, order.cum_notional)


def _meet_pegged(
    state: State,
    events: list[Event],
    instrument: Instrument,
    resting: Order,
    incoming: Order,
    price: int,
    timestamp: int,
) -> None:
    """Let two pegged orders meet that both wait; the rest of either keeps its place."""
    session, terms = incoming.session, incoming.terms
    leaves_qty = incoming.hidden_qty
    sweep = Sweep(session, terms, 0, leaves_qty, incoming.cum_qty, incoming.cum_notional)
    meet(state, events, sweep, resting, price, timestamp)
    if sweep.leaves_qty:
        take(incoming, leaves_qty - sweep.leaves_qty)
        incoming.cum_qty = sweep.cum_qty
        incoming.cum_notional = sweep.cum_notional
    else:
        unlink(incoming)
        del session.orders[terms.cl_ord_id]
    if sweep.last_price:
        instrument.last_price = sweep.last_price
    stir(state, instrument, sweep.first_price, sweep.last_price)
