"""A trade of the day undone: TradeBusted.

Both orders lose what they executed in it; the quantity does not come back to them, what is open stays as it is. An
order that was done, filled or expired, ends as canceled. What the trade set off stands, the last sale and the reference
price, too. The trade stays among the day's, marked. Refused are a trade that the day does not know (UNKNOWN_TRADE) or
that was busted before (ALREADY_BUSTED), and any while no day is open:
nobody would hear of it.
"""

from bisect import bisect_left
from operator import attrgetter
from typing import Final

import msgspec

from matching.codes import RefusalReason
from matching.commands import BustTrade
from matching.events import Event, OrderTerms, TradeBusted
from matching.order import Order
from matching.outcomes import CANCELED, Trade, remembered
from matching.state import Participant, State
from matching.trade import BUY

_match_number: Final = attrgetter("match_number")


def bust_trade(state: State, command: BustTrade, events: list[Event]) -> int:
    """Undo a trade. Gives a RefusalReason, or 0."""
    if not state.day:
        return RefusalReason.DAY_NOT_OPEN
    number = command.match_number
    places = [
        (participant, place)
        for participant in state.participants.values()
        if (place := _place(participant, number)) >= 0
    ]
    if not places:
        return RefusalReason.UNKNOWN_TRADE
    participant, place = places[0]
    trade = participant.trades[place]
    if trade.busted:
        return RefusalReason.ALREADY_BUSTED
    busted = msgspec.structs.replace(trade, busted=True)
    for participant, place in places:
        participant.trades[place] = busted
    events.append(_undo(state, trade))
    return 0


def _place(participant: Participant, match_number: int) -> int:
    """Where a trade stands among the participant's, -1 if it is none of these."""
    trades = participant.trades
    place = bisect_left(trades, match_number, key=_match_number)
    return place if place < len(trades) and trades[place].match_number == match_number else -1


def _undo(state: State, trade: Trade) -> TradeBusted:
    buy, sell = trade.resting, trade.incoming
    if buy.side != BUY:
        buy, sell = sell, buy
    return TradeBusted(
        trade.match_number,
        trade.price,
        trade.quantity,
        *_undo_side(state, buy.order_id, trade),
        *_undo_side(state, sell.order_id, trade),
    )


def _undo_side(state: State, order_id: int, trade: Trade) -> tuple[OrderTerms, int, int, int, int]:
    """(terms, participant_seq, cum_qty, leaves_qty, cum_notional) of an order that has lost a trade."""
    order = state.outcome(order_id)
    assert order is not None, "who traded today is an order of the day, and nothing else is pending"
    order.cum_qty -= trade.quantity
    order.cum_notional -= trade.price * trade.quantity
    leaves_qty = 0
    if isinstance(order, Order):
        leaves_qty = order.leaves_qty
    else:
        order.status = CANCELED
        state.remember(order_id, remembered(order))
    participant = state.participants[order.terms.participant_id]
    participant.seq += 1
    return order.terms, participant.seq, order.cum_qty, leaves_qty, order.cum_notional
