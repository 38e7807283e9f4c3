"""What keeps prices and orders within bounds: tick-size table, price bands, maximum quantity and value, fat fingers.

    DefineRules          bands, limits to what an order may ask for, and how long the auctions are that they call
    DefineTick           a row of the tick-size table
    SetReferencePrice    what the static band, the fat-finger limit and uncrosses refer to

A band is a share of the price that it surrounds, in 1/10,000, rounded down; a price on its edge is inside. The static
band surrounds the reference price, the dynamic band the price of the last sale; a trade must be inside of both. Where
there is no such price there is no such band.
"""

from typing import Final

from matching.book import MARKET_RANK
from matching.codes import RefusalReason, RejectReason
from matching.commands import DefineRules, DefineTick, SetReferencePrice
from matching.ids import MAX_PRICE
from matching.instruments import Instrument
from matching.state import State

#: Bands count in it: 10,000 is 100 %.
WHOLE: Final = 10_000
#: An auction that a halt or a band calls ends on the same day.
MAX_DURATION: Final = 86_400_000_000_000
#: Rows of a tick-size table; MiFID II's have 19 classes of price, of which a share sees a few in its life.
MAX_TICKS: Final = 16


def define_rules(state: State, command: DefineRules) -> int:
    """Take over an instrument's rules. Gives a RefusalReason, or 0."""
    instrument = state.instruments.by_id.get(command.instrument_id)
    if instrument is None:
        return RefusalReason.UNKNOWN_INSTRUMENT
    bands = max(command.static_band, command.dynamic_band, command.fat_finger)
    if bands > WHOLE or max(command.pause, command.reopening) > MAX_DURATION:
        return RefusalReason.BAD_RULES
    instrument.take_rules(command)
    return 0


def define_tick(state: State, command: DefineTick) -> int:
    """Take over a row of an instrument's tick-size table. Gives a RefusalReason, or 0."""
    instrument = state.instruments.by_id.get(command.instrument_id)
    if instrument is None:
        return RefusalReason.UNKNOWN_INSTRUMENT
    from_price, tick_size = command.from_price, command.tick_size
    first_price = -(-from_price // tick_size) * tick_size if tick_size else from_price
    if not 1 <= from_price <= MAX_PRICE or first_price > MAX_PRICE:
        return RefusalReason.BAD_TICK
    rows = dict(instrument.ticks)
    rows[from_price] = tick_size
    ticks = tuple((price, rows[price]) for price in sorted(rows) if rows[price])
    if len(ticks) > MAX_TICKS:
        return RefusalReason.BAD_TICK
    if ticks != instrument.ticks and not instrument.is_empty():
        return RefusalReason.INSTRUMENT_IN_USE
    instrument.take_ticks(ticks)
    return 0


def set_reference_price(state: State, command: SetReferencePrice) -> int:
    """Take over a reference price. Gives a RefusalReason, or 0."""
    instrument = state.instruments.by_id.get(command.instrument_id)
    if instrument is None:
        return RefusalReason.UNKNOWN_INSTRUMENT
    if not 1 <= command.price <= MAX_PRICE:
        return RefusalReason.BAD_PRICE
    instrument.reference_price = command.price
    return 0


def order_fault(instrument: Instrument, price: int, quantity: int) -> int:
    """The first RejectReason by which the rules refuse an order, or 0. `price`: 0 without a limit. For instruments that
    are `protected`."""
    rules = instrument.rules
    assert rules is not None, "rules protect an instrument"
    reference = instrument.reference_price
    if rules.max_quantity and quantity > rules.max_quantity:
        return RejectReason.QUANTITY_ABOVE_MAXIMUM
    if rules.max_value and (price or reference) * quantity > rules.max_value:
        return RejectReason.VALUE_ABOVE_MAXIMUM
    if rules.fat_finger and price and reference and abs(price - reference) > reference * rules.fat_finger // WHOLE:
        return RejectReason.PRICE_FAR_FROM_REFERENCE
    return 0


def band(instrument: Instrument) -> tuple[int, int]:
    """The lowest and the highest price at which trades may happen; (0, MARKET_RANK) where there is no band."""
    lower, upper = 0, MARKET_RANK
    rules = instrument.rules
    if rules is not None:
        for price, share in (
            (instrument.reference_price, rules.static_band),
            (instrument.last_price, rules.dynamic_band),
        ):
            if price and share:
                width = price * share // WHOLE
                lower = max(lower, price - width)
                upper = min(upper, price + width)
    return lower, upper


def collar(instrument: Instrument, widened: int) -> tuple[int, int, int] | None:
    """Between which prices a volatility auction may end: their middle, the lower, the upper one. The static band this
    many times as wide, or else the dynamic one; None where there is neither."""
    rules = instrument.rules
    if rules is None:
        return None
    price, share = instrument.reference_price, rules.static_band
    if not price or not share:
        price, share = instrument.last_price, rules.dynamic_band
    if not price or not share:
        return None
    width = price * share // WHOLE * widened
    return price, max(price - width, 0), min(price + width, MAX_PRICE)
