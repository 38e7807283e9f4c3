"""The end of an auction: all who agree trade at one price.

    AuctionExecuted      the best buy order with the best sell order, until one side has none left who agrees
    CrossExecuted        all of it together; zeros where nothing met
    OrderCanceled        of orders that were for this auction, and of what market orders leave
    OrderBooked          of reserve orders whose displayed part was used up, last in the queue of their price; of a
                         MARKET_WITH_LEFTOVER_AS_LIMIT order that traded, at the auction's price
    PhaseChanged …       the phase that comes after it

The best is the market order, then the better price, then the earlier order. A reserve order takes part with all it has
in its place; its displayed part trades first, by itself, so that every trade is of displayed or of hidden quantity.
Self-match prevention does not hold in auctions: who meets whom there is nobody's decision. The price becomes the last
sale's and the reference price.

It is done in steps, `Uncross.stage`, each of which may go on in further transactions.
"""

from typing import Final

from matching.auction import clearing_now, is_for_auction, is_market, unseen
from matching.book import join, unlink
from matching.codes import CancelReason, OrdType
from matching.events import AuctionExecuted, CrossExecuted, Event, OrderBooked
from matching.instruments import Instrument
from matching.order import Order
from matching.outcomes import Trade
from matching.phases import EVENTS_PER_CHANGE, enter
from matching.state import State, Uncross
from matching.trade import cancel, fill, refill

FIND_PRICE: Final = 0
TRADE: Final = 1
SETTLE: Final = 2
CHANGE_PHASE: Final = 3

MARKET_WITH_LEFTOVER_AS_LIMIT: Final = int(OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT)


def go_on_uncrossing(state: State, work: Uncross, events: list[Event], timestamp: int) -> None:
    """Do as much of an uncross as one transaction may say."""
    instrument = state.instruments.by_id[work.instrument_id]
    if work.stage == FIND_PRICE:
        work.price, buys, sells = clearing_now(instrument)
        work.total = work.open_qty = min(buys, sells)
        work.stage = TRADE
    if work.stage == TRADE and _trade(state, instrument, work, events, timestamp):
        work.stage = SETTLE
    if work.stage == SETTLE and _settle(state, instrument, work, events):
        work.stage = CHANGE_PHASE
    if work.stage == CHANGE_PHASE and len(events) <= state.max_events - EVENTS_PER_CHANGE:
        enter(state, instrument, work.phase, work.reason, events, timestamp)
    else:
        state.work.insert(0, work)


def _trade(state: State, instrument: Instrument, work: Uncross, events: list[Event], timestamp: int) -> bool:
    """Let the best trade with the best. Gives whether all of it is done and said."""
    bids, asks = instrument.book.bids, instrument.book.asks
    while work.open_qty:
        if len(events) >= state.max_events:
            return False
        assert bids.best is not None, "as much is bought as trades"
        assert asks.best is not None, "as much is sold as trades"
        buy, sell = bids.best.first, asks.best.first
        assert buy is not None
        assert sell is not None
        work.open_qty -= _meet(state, buy, sell, work.price, events, timestamp)
    if len(events) >= state.max_events:
        return False
    match_number = 0
    if work.total:
        state.last_match_number = match_number = state.last_match_number + 1
        instrument.last_price = instrument.reference_price = work.price
    events.append(CrossExecuted(work.instrument_id, match_number, work.price, work.total, work.cross_type))
    return True


def _meet(state: State, buy: Order, sell: Order, price: int, events: list[Event], timestamp: int) -> int:
    """A trade between two orders. Gives how much that was."""
    quantity = min(buy.displayed_qty or buy.hidden_qty, sell.displayed_qty or sell.hidden_qty)
    state.last_match_number = match_number = state.last_match_number + 1
    buyer, seller = buy.session.participant, sell.session.participant
    buyer.seq = buy_seq = buyer.seq + 1
    seller.seq = sell_seq = seller.seq + 1
    traded = Trade(match_number, timestamp, price, quantity, buy.terms, sell.terms, auction=True)
    buyer.trades.append(traded)
    if seller is not buyer:
        seller.trades.append(traded)
    buy_ref, sell_ref = _taken(buy, price, quantity), _taken(sell, price, quantity)
    events.append(
        AuctionExecuted(
            match_number,
            price,
            quantity,
            buy.terms,
            buy_ref,
            buy_seq,
            buy.cum_qty,
            buy.leaves_qty,
            buy.cum_notional,
            sell.terms,
            sell_ref,
            sell_seq,
            sell.cum_qty,
            sell.leaves_qty,
            sell.cum_notional,
        )
    )
    for order in (buy, sell):
        if not order.leaves_qty:
            fill(state, order, traded)
    return quantity


def _taken(order: Order, price: int, quantity: int) -> int:
    """Take what traded from an order's displayed part, or else from its hidden one. Gives the reference under which it
    was displayed."""
    order.cum_qty += quantity
    order.cum_notional += price * quantity
    order_ref: int = order.order_ref
    if order.displayed_qty:
        order.displayed_qty -= quantity
        order.level.quantity -= quantity
        if not order.displayed_qty:
            order.order_ref = 0
        return order_ref
    order.hidden_qty -= quantity
    order.level.hidden -= quantity
    order.level.side.hidden -= quantity
    return 0


def _settle(state: State, instrument: Instrument, work: Uncross, events: list[Event]) -> bool:
    """Cancel or display what is left of orders that are not displayed. Gives whether that was all."""
    for side in (instrument.book.bids, instrument.book.asks):
        room = state.max_events - len(events)
        orders = unseen(side, room + 1)
        for order in orders[:room]:
            if is_for_auction(order.terms.time_in_force):
                events.append(cancel(state, order, int(CancelReason.AUCTION_REMAINDER)))
            elif not is_market(order):
                events.append(refill(state, order))
            elif order.terms.ord_type == MARKET_WITH_LEFTOVER_AS_LIMIT and order.cum_qty and work.price:
                events.append(_book(state, order, work.price))
            else:
                events.append(cancel(state, order, int(CancelReason.MARKET_REMAINDER)))
        if len(orders) > room:
            return False
    return True


def _book(state: State, order: Order, price: int) -> OrderBooked:
    """A market order becomes a limit order at the price at which it traded."""
    side = order.level.side
    unlink(order)
    join(order, side, side.sign * price, price)
    return refill(state, order)
