"""How the golden scenarios tell what happened: each event in one line, each book drawn."""

from collections.abc import Iterator

from matching.book import BookSide
from matching.codes import (
    CancelReason,
    CrossType,
    ExecInst,
    ImbalanceDirection,
    OrdStatus,
    OrdType,
    Peg,
    Phase,
    RefusalReason,
    RejectReason,
    RestatementReason,
    Side,
    TimeInForce,
    TradingState,
)
from matching.commands import Conditions
from matching.events import (
    AuctionExecuted,
    CancelRejected,
    CircuitBreakerBreached,
    CircuitBreakerSet,
    CollarSet,
    CommandRefused,
    CrossExecuted,
    DayEnded,
    DayStarted,
    EntryBlockChanged,
    Event,
    ImbalancePublished,
    InstrumentListed,
    MassCancelDone,
    MassCancelRejected,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderTerms,
    OrderTriggered,
    PhaseChanged,
    SystemEventOccurred,
    TradeBusted,
    TradingStateChanged,
)
from matching.ids import COUNTER_MASK
from matching.instruments import Instrument
from matching.order import Order, PriceLevel
from matching.wire import LAYOUTS

SECOND = 1_000_000_000
TIMES_IN_FORCE = {
    TimeInForce.DAY: "day",
    TimeInForce.GOOD_TILL_CANCEL: "gtc",
    TimeInForce.AT_THE_OPENING: "opening",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.GOOD_TILL_DATE: "gtd",
    TimeInForce.AT_THE_CLOSE: "closing",
    TimeInForce.GOOD_FOR_AUCTION: "auction",
}


def shown(price: int) -> str:
    """A price with two decimals, or as many as it needs."""
    if price < 0:
        return "-" + shown(-price)
    units, fraction = divmod(price, 10_000)
    text = f"{fraction:04}"
    return f"{units}.{text[:2]}{text[2:].rstrip('0')}"


def clock(time: int) -> str:
    """A time of day, or the nanoseconds where that says more."""
    seconds, rest = divmod(time, SECOND)
    if rest or not seconds:
        return str(time)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def low(identifier: int) -> int:
    return identifier & COUNTER_MASK


def where(ref: int) -> str:
    return f"ref {low(ref)}" if ref else "no ref"


def cl(terms: OrderTerms) -> str:
    return terms.cl_ord_id.decode()


def figures(cum_qty: int, leaves_qty: int) -> str:
    return f"cum {cum_qty} leaves {leaves_qty}"


class Teller:
    """Knows everybody by name."""

    def __init__(self) -> None:
        self.participants: dict[str, int] = {}
        self.symbols: dict[str, int] = {}

    # --- names

    def symbol(self, instrument_id: int) -> str:
        return next(symbol for symbol, known in self.symbols.items() if known == instrument_id)

    def name(self, participant_id: int) -> str:
        return next((name for name, known in self.participants.items() if known == participant_id), "everybody")

    def session_name(self, session_id: int) -> str:
        name, number = self.name(session_id // 10), session_id % 10
        return name if number == 1 else f"{name}/{number}"

    def seqs(self, terms: OrderTerms, seq: int, other: OrderTerms | None = None, other_seq: int = 0) -> str:
        second = f", {self.name(other.participant_id)} {other_seq}" if other else ""
        return f"[{self.name(terms.participant_id)} {seq}{second}]"

    def wish(self, terms: OrderTerms) -> str:
        """What an order asks for, in the words in which it can be asked for."""
        wants = terms.conditions or Conditions()
        side = Side(terms.side).name.lower()
        time_in_force = TIMES_IN_FORCE[TimeInForce(terms.time_in_force)]
        words = [side, str(terms.order_qty), self.symbol(terms.instrument_id), *self.price_of(terms, wants)]
        words.append(time_in_force)
        if wants.expire_at:
            words.append(clock(wants.expire_at))
        if wants.display_qty:
            words.append(f"display {wants.display_qty}")
        if wants.min_qty:
            words.append(f"least {wants.min_qty}")
        if wants.exec_inst == ExecInst.POST_ONLY:
            words.append("passive")
        return " ".join(words)

    def price_of(self, terms: OrderTerms, wants: Conditions) -> list[str]:
        limit = f"@ {shown(terms.price)}"
        match terms.ord_type:
            case OrdType.MARKET:
                return ["market"]
            case OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT:
                return ["leftover"]
            case OrdType.STOP:
                return [f"stop {shown(wants.stop_price)}"]
            case OrdType.STOP_LIMIT:
                return [f"stop {shown(wants.stop_price)}", limit]
            case OrdType.PEGGED:
                offset = [f"{'+' if wants.peg_offset > 0 else ''}{shown(wants.peg_offset)}"] if wants.peg_offset else []
                return ["peg", Peg(wants.peg).name.lower(), *offset, *([limit] if terms.price else [])]
        return [limit]

    # --- events

    def told(self, event: Event) -> str:
        """An event in one line."""
        match event:
            case OrderAccepted(terms, seq):
                return (
                    f"accepted {cl(terms)} as order {low(terms.order_id)}: {self.wish(terms)}  {self.seqs(terms, seq)}"
                )
            case OrderRejected(terms, seq, reason):
                return f"rejected {cl(terms)}: {RejectReason(reason).name}  {self.seqs(terms, seq)}"
            case OrderBooked(ref, order_id, _, instrument_id, side, price, quantity):
                what = f"{Side(side).name.lower()} {quantity} {self.symbol(instrument_id)} @ {shown(price)}"
                return f"booked order {low(order_id)} as ref {low(ref)}: {what}"
            case OrderExecuted():
                return self.executed(event)
            case OrderTriggered(terms, seq, cum, leaves, _):
                return f"triggered {cl(terms)}: {figures(cum, leaves)}  {self.seqs(terms, seq)}"
            case OrderRestated(terms, ref, quantity, reason, seq, cum, leaves, _):
                what = f"{quantity} of {where(ref)} less" if quantity else where(ref)
                why = RestatementReason(reason).name
                return f"restated {cl(terms)}: {what}, {figures(cum, leaves)}, {why}  {self.seqs(terms, seq)}"
            case OrderReduced(terms, orig, ref, canceled, seq, cum, leaves, _):
                what = f"by {canceled}, keeps {where(ref)}, {figures(cum, leaves)}"
                return f"reduced {orig.decode()} to {cl(terms)}: {what}  {self.seqs(terms, seq)}"
            case OrderReplaced(terms, orig, orig_ref, ref, seq, cum, leaves, _):
                what = f"{self.wish(terms)}, {moved(orig_ref, ref)}, {figures(cum, leaves)}"
                return f"replaced {orig.decode()} by {cl(terms)}: {what}  {self.seqs(terms, seq)}"
            case OrderCanceled(terms, cl_ord_id, ref, quantity, reason, seq, cum, _):
                asked = f" by {cl_ord_id.decode()}" if cl_ord_id != terms.cl_ord_id else ""
                what = f"{quantity} of {where(ref)}, cum {cum}, {CancelReason(reason).name}"
                return f"canceled {cl(terms)}{asked}: {what}  {self.seqs(terms, seq)}"
            case OrderExpired(terms, ref, quantity, seq, cum, _):
                return f"expired {cl(terms)}: {quantity} of {where(ref)}, cum {cum}  {self.seqs(terms, seq)}"
            case CancelRejected():
                return self.cancel_rejected(event)
        return self.of_an_auction(event)

    def executed(self, event: OrderExecuted) -> str:
        resting, incoming = event.resting, event.incoming
        first = figures(event.resting_cum_qty, event.resting_leaves_qty)
        second = figures(event.incoming_cum_qty, event.incoming_leaves_qty)
        return (
            f"match {low(event.match_number)}: {event.quantity} @ {shown(event.price)}, "
            f"{cl(resting)} ({where(event.resting_order_ref)}) {first}, {cl(incoming)} {second}  "
            + self.seqs(resting, event.resting_participant_seq, incoming, event.incoming_participant_seq)
        )

    def cancel_rejected(self, event: CancelRejected) -> str:
        verb = {1: "cancel", 2: "replace"}[event.response_to]
        order = f"order {low(event.order_id)} is {OrdStatus(event.ord_status).name}" if event.order_id else "no order"
        name = self.name(event.participant_id)
        reason = RejectReason(event.reason).name
        return f"{verb} {event.cl_ord_id.decode()} rejected: {reason}, {order}  [{name} {event.participant_seq}]"

    def of_an_auction(self, event: Event) -> str:
        match event:
            case AuctionExecuted():
                buy, sell = event.buy, event.sell
                first = figures(event.buy_cum_qty, event.buy_leaves_qty)
                second = figures(event.sell_cum_qty, event.sell_leaves_qty)
                return (
                    f"match {low(event.match_number)}: {event.quantity} @ {shown(event.price)}, "
                    f"buy {cl(buy)} ({where(event.buy_order_ref)}) {first}, "
                    f"sell {cl(sell)} ({where(event.sell_order_ref)}) {second}  "
                    + self.seqs(buy, event.buy_participant_seq, sell, event.sell_participant_seq)
                )
            case CrossExecuted(instrument_id, match_number, price, quantity, cross_type):
                what = f"{quantity} @ {shown(price)} as match {low(match_number)}" if quantity else "nothing"
                return f"{CrossType(cross_type).name.lower()} cross of {self.symbol(instrument_id)}: {what}"
            case ImbalancePublished(instrument_id, paired, imbalance, direction, far, near, reference, cross_type):
                prices = f"near {price_or_none(near)}, far {price_or_none(far)}, reference {price_or_none(reference)}"
                what = f"{paired} paired, {imbalance} left ({ImbalanceDirection(direction).name}), {prices}"
                return f"{CrossType(cross_type).name.lower()} indication of {self.symbol(instrument_id)}: {what}"
            case CollarSet(instrument_id, reference, upper, lower, extension):
                what = f"{shown(lower)} to {shown(upper)} around {shown(reference)}, extension {extension}"
                return f"collar of {self.symbol(instrument_id)}: {what}"
            case TradeBusted():
                buy, sell = event.buy, event.sell
                first = figures(event.buy_cum_qty, event.buy_leaves_qty)
                second = figures(event.sell_cum_qty, event.sell_leaves_qty)
                return (
                    f"bust of match {low(event.match_number)}: {event.quantity} @ {shown(event.price)}, "
                    f"{cl(buy)} {first}, {cl(sell)} {second}  "
                    + self.seqs(buy, event.buy_participant_seq, sell, event.sell_participant_seq)
                )
        return self.administered(event)

    def administered(self, event: Event) -> str:
        match event:
            case CommandRefused(kind, reason):
                return f"{LAYOUTS[kind][0].__name__} refused: {RefusalReason(reason).name}"
            case DayStarted(day):
                return f"day {day} started"
            case DayEnded(day):
                return f"day {day} ended"
            case InstrumentListed(_, symbol, tick, lot, _, state):
                what = f"tick {shown(tick)} lot {lot}, {TradingState(state).name}"
                return f"listed {symbol.decode()}: {what}"
            case SystemEventOccurred(code):
                return f"system event {chr(code)}"
            case PhaseChanged(instrument_id, phase):
                return f"{self.symbol(instrument_id)} begins {Phase(phase).name}"
            case TradingStateChanged(instrument_id, state, reason):
                why = f" ({reason.decode()})" if reason else ""
                return f"{self.symbol(instrument_id)} is {TradingState(state).name}{why}"
            case CircuitBreakerSet():
                levels = event.level_1, event.level_2, event.level_3
                return f"circuit breaker at {', '.join(shown(level // 10_000) for level in levels)}"
            case CircuitBreakerBreached(level):
                return f"circuit breaker: level {level} was reached"
            case EntryBlockChanged(participant_id, session_id, blocked):
                who = f"session {self.session_name(session_id)}" if session_id else self.name(participant_id)
                return f"entry of {who} is {'blocked' if blocked else 'open'}"
        return self.mass_canceled(event)

    def mass_canceled(self, event: Event) -> str:
        assert isinstance(event, MassCancelDone | MassCancelRejected), event
        who = f"  [{self.name(event.participant_id)} {event.participant_seq}]" if event.participant_seq else ""
        which = f"mass cancel {event.cl_ord_id.decode()}".rstrip()
        if isinstance(event, MassCancelDone):
            return f"{which}: {event.canceled} canceled{who}"
        return f"{which} rejected: {RejectReason(event.reason).name}{who}"


def moved(orig_ref: int, ref: int) -> str:
    """What a replace did to an order's place."""
    if not orig_ref and not ref:
        return "at the end of its queue"
    return f"ref {low(orig_ref)} becomes {low(ref)}" if ref else f"ref {low(orig_ref)} leaves the book to trade"


def price_or_none(price: int) -> str:
    return shown(price) if price else "none"


# --- drawings


def drawn(instrument: Instrument) -> list[str]:
    """A book: bids to the left, asks to the right, the first order of a queue nearest to its price. What is not
    displayed stands behind a plus."""
    book = instrument.book
    rows = [("bids", "price", "asks")]
    asks, bids = queues(book.asks), queues(book.bids)
    rows += [("", price, ", ".join(queue)) for price, queue in reversed(asks)]
    rows += [(", ".join(reversed(queue)), price, "") for price, queue in bids]
    left, middle = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"{bids:>{max(left, 12)}} | {price:>{middle}} | {asks}".rstrip() for bids, price, asks in rows]


def queues(side: BookSide) -> list[tuple[str, list[str]]]:
    """(price, "ClOrdID quantity" of each order), best price first."""
    return [
        (shown(level.price) if level.price else "market", [quantities(order) for order in standing(level)])
        for level in side.queues()
    ]


def standing(level: PriceLevel) -> Iterator[Order]:
    """A level's orders, the first in front."""
    order = level.first
    while order is not None:
        yield order
        order = order.behind


def quantities(order: Order) -> str:
    hidden = f"+{order.hidden_qty}" if order.hidden_qty else ""
    return f"{cl(order.terms)} {order.displayed_qty}{hidden}"


def waiting(instrument: Instrument) -> list[str]:
    """The orders that are not on the book, a line each queue, the first in front."""
    lines = []
    for name, book in (("stops", instrument.stops), ("pegs", instrument.pegs)):
        for who, side in (("buy", book.bids), ("sell", book.asks)):
            for level in side.queues():
                queue = ", ".join(f"{cl(order.terms)} {order.leaves_qty}" for order in standing(level))
                lines.append(f"{name}, {who}{f' {shown(level.price)}' if level.price else ''}: {queue}")
    parked = ", ".join(f"{cl(order.terms)} {order.leaves_qty}" for order in instrument.parked.orders())
    return lines + ([f"parked: {parked}"] if parked else []) or ["nobody waits"]
