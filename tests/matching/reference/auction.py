"""Auctions: one price for all, found by the usual order of rules, and what is left of those who came for it."""

from matching.codes import CancelReason, CrossType, ImbalanceDirection, OrdType, Phase
from matching.events import AuctionExecuted, CrossExecuted, ImbalancePublished
from tests.matching.reference.market import Market
from tests.matching.reference.orders import BUY, FOR_AUCTIONS, SELL, Instrument, Order, Place

CROSS_TYPES = {
    Phase.OPENING_AUCTION: CrossType.OPENING,
    Phase.CLOSING_AUCTION: CrossType.CLOSING,
    Phase.REOPENING_AUCTION: CrossType.HALTED,
    Phase.VOLATILITY_AUCTION: CrossType.HALTED,
    Phase.QUOTE_ONLY: CrossType.HALTED,
    Phase.HALTED: CrossType.HALTED,
}


def willing(orders: list[Order], price: int) -> list[Order]:
    """Those who would trade at a price."""
    return [
        order
        for order in orders
        if not order.price or (order.price >= price if order.side == BUY else order.price <= price)
    ]


def wanted(orders: list[Order], price: int) -> int:
    return sum(order.leaves for order in willing(orders, price))


def clearing_price(buys: list[Order], sells: list[Order], reference: int) -> int:
    """The price of an auction of these orders; 0: nothing would trade at any."""
    candidates = {order.price for order in buys + sells if order.price} or {reference}
    volumes = {price: (wanted(buys, price), wanted(sells, price)) for price in candidates if price}
    # 1. The most is traded.
    most = max((min(volume) for volume in volumes.values()), default=0)
    if not most:
        return 0
    prices = [price for price, volume in volumes.items() if min(volume) == most]
    # 2. The least is left over.
    surplus = {price: volumes[price][0] - volumes[price][1] for price in prices}
    least = min(abs(left) for left in surplus.values())
    prices = [price for price in prices if abs(surplus[price]) == least]
    # 3. If what is left over would buy at all of these prices, the highest; if it would sell, the lowest.
    if all(surplus[price] > 0 for price in prices):
        return max(prices)
    if all(surplus[price] < 0 for price in prices):
        return min(prices)
    # 4. The one nearest to the reference price, then the higher.
    if not reference:
        return max(prices)
    return min(prices, key=lambda price: (abs(price - reference), -price))


def sides(market: Market, instrument: Instrument) -> tuple[list[Order], list[Order]]:
    """Those who take part: market orders first, then by price, then by time."""
    return market.at(instrument, Place.BOOK, BUY), market.at(instrument, Place.BOOK, SELL)


def price_now(market: Market, instrument: Instrument) -> int:
    return clearing_price(*sides(market, instrument), instrument.reference)


def uncross(market: Market, instrument: Instrument, cross_type: int) -> None:
    """End an auction: all who agree trade at one price, the best with the best."""
    price = price_now(market, instrument)
    total = 0
    while price:
        buys, sells = (willing(side, price) for side in sides(market, instrument))
        if not buys or not sells:
            break
        total += meet(market, buys[0], sells[0], price)
    number = market.count("match") if total else 0
    market.say(CrossExecuted(instrument.instrument_id, number, price, total, cross_type))
    if total:
        instrument.last = instrument.reference = price
    for order in (order for side in sides(market, instrument) for order in side):
        settle_rest(market, order, price)


def meet(market: Market, buy: Order, sell: Order, price: int) -> int:
    """A trade of two: at most what is displayed of each, or else what is hidden."""
    quantity = min(buy.displayed or buy.hidden, sell.displayed or sell.hidden)
    match_number, buy_ref, sell_ref = market.trade(price, quantity, buy, sell)
    market.say(
        AuctionExecuted(
            match_number,
            price,
            quantity,
            buy.terms,
            buy_ref,
            market.seq(buy.terms.participant_id),
            buy.cum,
            buy.leaves,
            buy.notional,
            sell.terms,
            sell_ref,
            market.seq(sell.terms.participant_id),
            sell.cum,
            sell.leaves,
            sell.notional,
        )
    )
    return quantity


def settle_rest(market: Market, order: Order, price: int) -> None:
    """What becomes of an order when the auction is over that it stood in."""
    if order.terms.time_in_force in FOR_AUCTIONS:
        market.cancel(order, CancelReason.AUCTION_REMAINDER)
    elif order.price:
        market.refill(order)
    elif order.ord_type == OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT and order.cum:
        market.book(order, price)
    else:
        market.cancel(order, CancelReason.MARKET_REMAINDER)


def must_uncross(market: Market, instrument: Instrument) -> bool:
    """Whether the book is one that may not be in continuous trading."""
    buys, sells = sides(market, instrument)
    if any(not order.price or order.terms.time_in_force in FOR_AUCTIONS for order in buys + sells):
        return True
    return bool(buys and sells) and buys[0].price >= sells[0].price


def publish(market: Market, instrument: Instrument) -> None:
    """Say what the auction would do if it ended now."""
    buys, sells = sides(market, instrument)
    near = clearing_price(buys, sells, instrument.reference)
    only = [[order for order in side if order.terms.time_in_force in FOR_AUCTIONS] for side in (buys, sells)]
    far = clearing_price(only[0], only[1], instrument.reference)
    bought, sold = (wanted(buys, near), wanted(sells, near)) if near else (0, 0)
    direction = ImbalanceDirection.INSUFFICIENT
    if near:
        direction = ImbalanceDirection.NONE
        if bought != sold:
            direction = ImbalanceDirection.BUY if bought > sold else ImbalanceDirection.SELL
    market.say(
        ImbalancePublished(
            instrument.instrument_id,
            min(bought, sold),
            abs(bought - sold),
            direction,
            far,
            near,
            instrument.reference,
            CROSS_TYPES[Phase(instrument.phase)],
        )
    )
