"""Where an accepted order goes: it comes in and trades, or it stands where it waits.

                                          in continuous trading         in a call phase
    stop, stop limit                      waits for its price           waits for its price
    for an auction (OPG, ATC, GFA)        is parked                     takes part, or is parked if it is for another
    pegged                                comes in                      waits
    limit                                 comes in                      rests on the book
    market, market with leftover          comes in                      rests on the book, before every limit

What takes part in an auction alone, or has no limit, is never displayed. A stop order whose price the last sale has
reached already is elected at once, in continuous trading.
"""

from typing import Final

from matching.book import MARKET_RANK
from matching.codes import CancelReason, OrdType, TimeInForce
from matching.events import Event
from matching.incoming import PEGGED, STOP_LIMIT, come_in, side_of, stand_pegged
from matching.instruments import CONTINUOUS, Instrument
from matching.phases import goes_with
from matching.state import State, Sweep
from matching.trade import BUY, FOK, IOC, book, cancel_rest, hide, stir

STOP: Final = int(OrdType.STOP)
AT_THE_OPENING: Final = int(TimeInForce.AT_THE_OPENING)
AT_THE_CLOSE: Final = int(TimeInForce.AT_THE_CLOSE)
GOOD_FOR_AUCTION: Final = int(TimeInForce.GOOD_FOR_AUCTION)


def admit(
    state: State, events: list[Event], instrument: Instrument, sweep: Sweep, min_qty: int, timestamp: int
) -> None:
    """Let an order that is new, or as good as new, go where it belongs."""
    terms = sweep.terms
    if terms.ord_type == STOP or terms.ord_type == STOP_LIMIT:
        _wait_for_price(state, instrument, sweep)
        stir(state, instrument, 0, 0)
    elif is_for_auctions(terms.time_in_force) or instrument.phase != CONTINUOUS:
        _stand(state, events, instrument, sweep)
        stir(state, instrument, 0, 0)
    else:
        come_in(state, events, instrument, sweep, min_qty, timestamp)


def arrive(state: State, events: list[Event], instrument: Instrument, sweep: Sweep, timestamp: int) -> None:
    """Let a stop order that was elected, or an order that was on the book already, go where any other would."""
    time_in_force = sweep.terms.time_in_force
    if instrument.phase == CONTINUOUS:
        come_in(state, events, instrument, sweep, 0, timestamp)
        return
    if time_in_force == IOC:
        events.append(cancel_rest(state, sweep, int(CancelReason.IMMEDIATE_OR_CANCEL)))
    elif time_in_force == FOK:
        events.append(cancel_rest(state, sweep, int(CancelReason.FILL_OR_KILL)))
    else:
        _stand(state, events, instrument, sweep)
    stir(state, instrument, 0, 0)


def is_for_auctions(time_in_force: int) -> bool:
    """Whether an order with this time in force trades in an auction and nowhere else."""
    return time_in_force in (AT_THE_OPENING, AT_THE_CLOSE, GOOD_FOR_AUCTION)


def has_reached(side: int, stop_price: int, lowest: int, highest: int) -> bool:
    """Whether sales at these prices elect a stop order; 0: there was no sale."""
    return 0 < stop_price <= highest if side == BUY else 0 < lowest <= stop_price


def _wait_for_price(state: State, instrument: Instrument, sweep: Sweep) -> None:
    terms = sweep.terms
    assert terms.conditions is not None, "the stop price is one of the conditions"
    stop_price = terms.conditions.stop_price
    last = instrument.last_price
    if instrument.phase == CONTINUOUS and has_reached(terms.side, stop_price, last, last):
        hide(state, sweep, instrument.elected, 0)
        return
    side = instrument.stops.bids if terms.side == BUY else instrument.stops.asks
    hide(state, sweep, side, side.sign * stop_price, stop_price)


def _stand(state: State, events: list[Event], instrument: Instrument, sweep: Sweep) -> None:
    """Let an order wait while nothing trades, or for its auction."""
    terms = sweep.terms
    side = side_of(instrument, terms.side)
    limit = sweep.limit
    if is_for_auctions(terms.time_in_force):
        if not goes_with(terms.time_in_force, instrument.phase):
            hide(state, sweep, instrument.parked, 0)
        else:
            hide(state, sweep, side, side.sign * limit if limit else MARKET_RANK, limit)
    elif terms.ord_type == PEGGED:
        stand_pegged(state, instrument, sweep)
    elif limit:
        events.append(book(state, sweep, side, limit))
    else:
        hide(state, sweep, side, MARKET_RANK)
