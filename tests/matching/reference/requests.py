"""What participants ask of their orders: enter, cancel, replace."""

import msgspec

from matching.codes import CancelReason, Phase, RejectReason, RestatementReason
from matching.commands import CancelOrder, NewOrder, ReplaceOrder
from matching.events import OrderReduced, OrderReplaced, OrderTerms
from tests.matching.reference import checks, phases, trading
from tests.matching.reference.market import Market, terms_of
from tests.matching.reference.orders import FOR_AUCTIONS, NO_CONDITIONS, Instrument, Order, Place


def new_order(market: Market, command: NewOrder, session_id: int) -> None:
    reason = checks.new_order(market, command, session_id)
    if reason:
        return market.reject(terms_of(command, 0, session_id), reason)
    instrument = market.instrument(command.instrument_id)
    assert instrument is not None
    order = Order(terms_of(command, market.count("order"), session_id), hidden=command.quantity)
    market.accept(order)
    place(market, instrument, order, order.wants.min_qty)
    return None


def place(market: Market, instrument: Instrument, order: Order, min_qty: int = 0) -> None:
    """An order that is new, or as good as new, goes where it belongs."""
    if order.ord_type in checks.STOPS:
        trading.wait(market, instrument, order)
    elif order.terms.time_in_force in FOR_AUCTIONS or instrument.phase != Phase.CONTINUOUS:
        phases.stand(market, instrument, order)
    else:
        trading.come_in(market, instrument, order, min_qty)
    trading.settle(market, instrument)


def find(market: Market, command: CancelOrder | ReplaceOrder, session_id: int) -> Order | None:
    """By the name that the session gave it, or by its order id if it is the same participant's."""
    order = market.names.get((session_id, command.orig_cl_ord_id))
    if order is None:
        order = market.known.get(command.order_id)
    return order if order is not None and order.terms.participant_id == command.participant_id else None


def fault(
    market: Market, command: CancelOrder | ReplaceOrder, session_id: int, order: Order | None
) -> RejectReason | None:
    if command.expires_at and market.now > command.expires_at:
        return RejectReason.COMMAND_EXPIRED
    if order is None:
        return RejectReason.UNKNOWN_ORDER
    if order not in market.orders or (session_id, command.orig_cl_ord_id) in market.former:
        return RejectReason.TOO_LATE
    if (session_id, command.cl_ord_id) in market.names:
        return RejectReason.DUPLICATE_CL_ORD_ID
    if (command.instrument_id, command.side) != (order.terms.instrument_id, order.terms.side):
        return RejectReason.TERMS_MISMATCH
    return None


def cancel_order(market: Market, command: CancelOrder, session_id: int) -> None:
    order = find(market, command, session_id)
    reason = fault(market, command, session_id, order)
    if reason or order is None:
        return market.reject_request(command, session_id, order, reason or RejectReason.UNKNOWN_ORDER)
    market.names[session_id, command.cl_ord_id] = order
    market.cancel(order, CancelReason.REQUESTED, command.cl_ord_id)
    trading.settle(market, market.of(order))
    return None


def replace_order(market: Market, command: ReplaceOrder, session_id: int) -> None:
    order = find(market, command, session_id)
    reason = fault(market, command, session_id, order)
    if order is not None and not reason:
        reason = checks.replace(market, command, session_id, order)
    if reason or order is None:
        return market.reject_request(command, session_id, order, reason or RejectReason.UNKNOWN_ORDER)
    if order.terms.session_id != session_id:
        market.restate(order, 0, 0, RestatementReason.TAKEN_OVER)
    before, after = order.terms, terms_of(command, order.terms.order_id, session_id)
    market.former.add((before.session_id, before.cl_ord_id))
    market.names[session_id, command.cl_ord_id] = order
    if keeps_place(before, after):
        reduce(market, order, after)
    else:
        requeue(market, order, after)
    trading.settle(market, market.of(order))
    return None


def keeps_place(before: OrderTerms, after: OrderTerms) -> bool:
    """Nothing but quantity went down, and names are new. What had to trade at once means nothing any more."""
    now, then = after.conditions or NO_CONDITIONS, before.conditions or NO_CONDITIONS
    return (
        after.price == before.price
        and after.order_qty <= before.order_qty
        and msgspec.structs.replace(now, min_qty=0) == msgspec.structs.replace(then, min_qty=0)
    )


def reduce(market: Market, order: Order, after: OrderTerms) -> None:
    orig, order.terms, less = order.terms.cl_ord_id, after, order.terms.order_qty - after.order_qty
    hidden = min(less, order.hidden)
    order.hidden -= hidden
    order.displayed -= less - hidden
    seq = market.seq(after.participant_id)
    market.say(OrderReduced(after, orig, order.order_ref, less - hidden, seq, order.cum, order.leaves, order.notional))


def requeue(market: Market, order: Order, after: OrderTerms) -> None:
    """The order leaves its place and comes again. It has a new reference at once if all of it is displayed, at its
    limit, and it trades with nobody."""
    instrument = market.of(order)
    orig, orig_ref, more = order.terms.cl_ord_id, order.order_ref, after.order_qty - order.terms.order_qty
    order.terms, order.place = after, Place.NOWHERE
    order.hidden, order.displayed, order.order_ref = order.leaves + more, 0, 0
    continuous = instrument.phase == Phase.CONTINUOUS
    stays = orig_ref and after.price and not order.wants.display_qty and after.time_in_force not in FOR_AUCTIONS
    if stays and not (continuous and trading.would_trade(market, instrument, order)):
        market.put(order, Place.BOOK, after.price)
        market.display(order)
    seq = market.seq(after.participant_id)
    figures = order.cum, order.leaves, order.notional
    market.say(OrderReplaced(after, orig, orig_ref, order.order_ref, seq, *figures))
    if not order.order_ref:
        place(market, instrument, order)
