"""Continuous trading: an incoming order meets what rests; stop orders and pegs follow."""

from matching.codes import CancelReason, OrdType, Peg, Phase, RestatementReason, SelfMatch, TimeInForce
from matching.events import OrderExecuted, OrderTriggered
from tests.matching.reference import phases
from tests.matching.reference.market import Market
from tests.matching.reference.orders import BUY, RESTING, SELL, Instrument, Order, Place, opposite

#: For an order without a limit.
ANY_PRICE = {BUY: 1 << 62, SELL: 0}


def enter(market: Market, instrument: Instrument, order: Order) -> None:
    """An order comes in: it trades, or waits for an auction."""
    if instrument.phase == Phase.CONTINUOUS:
        come_in(market, instrument, order)
    elif order.terms.time_in_force == TimeInForce.IOC:
        market.cancel(order, CancelReason.IMMEDIATE_OR_CANCEL)
    elif order.terms.time_in_force == TimeInForce.FOK:
        market.cancel(order, CancelReason.FILL_OR_KILL)
    else:
        phases.stand(market, instrument, order)


def come_in(market: Market, instrument: Instrument, order: Order, min_qty: int = 0) -> None:
    """Trade what can be traded now; what is left rests or is canceled."""
    if min_qty and reach(market, instrument, order) < min_qty:
        return market.cancel(order, CancelReason.MINIMUM_QUANTITY)
    if order.terms.time_in_force == TimeInForce.FOK and reach(market, instrument, order) < order.leaves:
        return market.cancel(order, CancelReason.FILL_OR_KILL)
    stopped, last_price = trade(market, instrument, order)
    if order.leaves:
        leave(market, instrument, order, stopped, last_price)
    if stopped and instrument.rules.pause:
        phases.pause(market, instrument)
    return None


def leave(market: Market, instrument: Instrument, order: Order, stopped: bool, last_price: int) -> None:
    """What becomes of the rest of an order that has traded what it could."""
    may_rest = order.terms.time_in_force in RESTING and not (stopped and not instrument.rules.pause)
    if may_rest and order.ord_type == OrdType.LIMIT:
        market.book(order, order.terms.price)
    elif may_rest and order.ord_type == OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT and (last_price or order.price):
        market.book(order, last_price or order.price)
    elif may_rest and order.ord_type == OrdType.PEGGED:
        market.put(order, Place.PEG)
    elif stopped:
        market.cancel(order, CancelReason.PRICE_BAND)
    elif order.terms.time_in_force == TimeInForce.IOC:
        market.cancel(order, CancelReason.IMMEDIATE_OR_CANCEL)
    else:
        market.cancel(order, CancelReason.MARKET_REMAINDER)


# --- the match


def trade(market: Market, instrument: Instrument, order: Order) -> tuple[bool, int]:
    """Trade with one offer after the other. Whether a price band ended that, and the price of the last trade."""
    pegs = peg_prices(market, instrument)
    low, high = band(instrument)
    last_price = 0
    while order.leaves and (offers := agreeing(market, instrument, order, pegs)):
        price, resting = offers[0]
        if not low <= price <= high:
            return True, last_price
        mode = self_match(market, order, resting)
        if mode != SelfMatch.ALLOWED:
            prevent(market, order, resting, mode)
        else:
            execute(market, instrument, resting, order, price)
            last_price = price
    return False, last_price


def agreeing(
    market: Market, instrument: Instrument, order: Order, pegs: dict[Order, int | None]
) -> list[tuple[int, Order]]:
    """What of the other side an order may trade with, each with its price: the best price first; of one price what is
    displayed, then pegged orders; of these the one that came first."""
    side = opposite(order.side)
    offers = [(resting.price, resting) for resting in market.at(instrument, Place.BOOK, side)]
    for peg in market.at(instrument, Place.PEG, side):
        price = pegs[peg]
        if price is not None:
            offers.append((price, peg))
    limit = limit_of(market, instrument, order, pegs)
    within = [
        (price, resting) for price, resting in offers if (price <= limit if order.side == BUY else price >= limit)
    ]
    sign = 1 if side == SELL else -1
    return sorted(within, key=lambda offer: (sign * offer[0], offer[1].place is Place.PEG, offer[1].arrived))


def limit_of(market: Market, instrument: Instrument, order: Order, pegs: dict[Order, int | None]) -> int:
    """The worst price at which an order trades."""
    if order.ord_type == OrdType.LIMIT:
        return order.terms.price
    if order.ord_type == OrdType.PEGGED:
        price = pegs[order] if order in pegs else peg_price(market, instrument, order)
        pegs[order] = price
        return ANY_PRICE[SELL if order.side == BUY else BUY] if price is None else price
    # What was left of a market order and was booked has the price at which it was; a market order has none.
    return order.price or ANY_PRICE[order.side]


def execute(market: Market, instrument: Instrument, resting: Order, incoming: Order, price: int) -> None:
    quantity = min(incoming.leaves, resting.displayed or resting.hidden)
    match_number, ref, _ = market.trade(price, quantity, resting, incoming)
    instrument.last = price
    instrument.sales.append(price)
    market.say(
        OrderExecuted(
            match_number,
            price,
            quantity,
            resting.terms,
            ref,
            market.seq(resting.terms.participant_id),
            resting.cum,
            resting.leaves,
            resting.notional,
            incoming.terms,
            market.seq(incoming.terms.participant_id),
            incoming.cum,
            incoming.leaves,
            incoming.notional,
        )
    )
    market.refill(resting)


def reach(market: Market, instrument: Instrument, order: Order) -> int:
    """How much of an order could be executed at once."""
    low, high = band(instrument)
    found = 0
    for price, resting in agreeing(market, instrument, order, peg_prices(market, instrument)):
        mode = self_match(market, order, resting)
        if not low <= price <= high or mode not in (SelfMatch.ALLOWED, SelfMatch.CANCEL_RESTING):
            break
        found += resting.leaves if mode == SelfMatch.ALLOWED else 0
    return min(found, order.leaves)


def would_trade(market: Market, instrument: Instrument, order: Order) -> bool:
    return bool(agreeing(market, instrument, order, peg_prices(market, instrument)))


def band(instrument: Instrument) -> tuple[int, int]:
    """The lowest and the highest price at which a trade may happen now."""
    low, high = 0, 1 << 62
    for around, width in (
        (instrument.reference, instrument.rules.static_band),
        (instrument.last, instrument.rules.dynamic_band),
    ):
        if around and width:
            low = max(low, around - around * width // 10_000)
            high = min(high, around + around * width // 10_000)
    return low, high


# --- self-match prevention


def self_match(market: Market, incoming: Order, resting: Order) -> int:
    """What happens between these two instead of a trade."""
    own, mode = group(market, incoming)
    other, _ = group(market, resting)
    return mode if own == other else SelfMatch.ALLOWED


def group(market: Market, order: Order) -> tuple[tuple[str, int], int]:
    participant_id = order.terms.participant_id
    return market.groups.get(participant_id, (("alone", participant_id), SelfMatch.ALLOWED))


def prevent(market: Market, incoming: Order, resting: Order, mode: int) -> None:
    if mode == SelfMatch.DECREMENT:
        quantity = min(incoming.leaves, resting.displayed or resting.hidden)
        lose(market, resting, quantity)
        lose(market, incoming, quantity)
        market.refill(resting)
    if mode in (SelfMatch.CANCEL_RESTING, SelfMatch.CANCEL_BOTH):
        market.cancel(resting, CancelReason.SELF_MATCH)
    if mode in (SelfMatch.CANCEL_INCOMING, SelfMatch.CANCEL_BOTH):
        market.cancel(incoming, CancelReason.SELF_MATCH)


def lose(market: Market, order: Order, quantity: int) -> None:
    if quantity == order.leaves:
        market.cancel(order, CancelReason.SELF_MATCH)
    else:
        ref = market.taken(order, quantity)
        order.canceled += quantity
        market.restate(order, ref, quantity, RestatementReason.SELF_MATCH_DECREMENT)


# --- pegs


def peg_prices(market: Market, instrument: Instrument) -> dict[Order, int | None]:
    """Where the pegged orders stand as the book is now."""
    pegs = [peg for side in (BUY, SELL) for peg in market.at(instrument, Place.PEG, side)]
    return {peg: peg_price(market, instrument, peg) for peg in pegs}


def peg_price(market: Market, instrument: Instrument, peg: Order) -> int | None:
    """Where a pegged order would trade; None: nowhere, for there is nothing that it could follow."""
    own, other = market.best(instrument, peg.side), market.best(instrument, opposite(peg.side))
    buys = peg.side == BUY
    if peg.wants.peg == Peg.MIDPOINT:
        if not own or not other:
            return None
        price = (own + other) // 2
    else:
        follows = own if peg.wants.peg == Peg.PRIMARY else other
        if not follows:
            return None
        price = follows + peg.wants.peg_offset
        tick = instrument.tick_at(price)
        price = price // tick * tick if buys else -(-price // tick) * tick
        if other:
            tick = instrument.tick_at(other)
            price = min(price, other - tick) if buys else max(price, other + tick)
    if peg.terms.price:
        price = min(price, peg.terms.price) if buys else max(price, peg.terms.price)
    return price if price > 0 else None


def pegs_meet(market: Market, instrument: Instrument) -> bool:
    """Let the best two pegged orders trade if they agree: at the price of the one that was entered first."""
    prices = peg_prices(market, instrument)
    best: list[tuple[int, Order]] = []
    for side, sign in ((BUY, -1), (SELL, 1)):
        priced = [(price, peg) for peg, price in prices.items() if price is not None and peg.side == side]
        best += sorted(priced, key=lambda found: (sign * found[0], found[1].arrived))[:1]
    if len(best) < 2 or best[0][0] < best[1][0]:
        return False
    (price, resting), (_, incoming) = sorted(best, key=lambda found: found[1].terms.order_id)
    low, high = band(instrument)
    if not low <= price <= high:
        return False
    mode = self_match(market, incoming, resting)
    if mode != SelfMatch.ALLOWED:
        prevent(market, incoming, resting, mode)
    else:
        execute(market, instrument, resting, incoming, price)
    return True


# --- stops


def settle(market: Market, instrument: Instrument) -> None:
    """Elect stop orders until no sale elects any more, and let pegged orders meet."""
    while True:
        elect(market, instrument)
        if instrument.elected:
            order = instrument.elected.pop(0)
            trigger(market, order)
            enter(market, instrument, order)
        elif instrument.phase != Phase.CONTINUOUS or not pegs_meet(market, instrument):
            return


def elect(market: Market, instrument: Instrument) -> None:
    """Find the stop orders that the sales since the last look have reached: buys by the lowest stop price, sells by the
    highest, then time."""
    sales, instrument.sales = instrument.sales, []
    for side in (BUY, SELL):
        for order in market.at(instrument, Place.STOP, side):
            if any(reached(order, price) for price in sales):
                order.place = Place.ELECTED
                instrument.elected.append(order)


def reached(order: Order, price: int) -> bool:
    return bool(price) and (price >= order.wants.stop_price if order.side == BUY else price <= order.wants.stop_price)


def trigger(market: Market, order: Order) -> None:
    order.triggered, order.place = True, Place.NOWHERE
    terms = order.terms
    seq = market.seq(terms.participant_id)
    market.say(OrderTriggered(terms, seq, order.cum, order.leaves, order.notional))


def wait(market: Market, instrument: Instrument, order: Order) -> None:
    """A stop order waits, unless its price was reached already."""
    market.put(order, Place.STOP)
    if instrument.phase == Phase.CONTINUOUS and reached(order, instrument.last):
        order.place = Place.ELECTED
        instrument.elected.append(order)
