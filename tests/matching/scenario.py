"""The little language of the golden scenarios: what participants ask, what the engine says, what the book looks like.

    # Text from '#' on is a comment. A line at the margin is a command; the indented lines below it are what came of it.
    alice: buy a1 300 @ 100.00
      accepted a1 as order 1: buy 300 ACME @ 100.00 day  [alice 1]
      booked order 1 as ref 1: buy 300 ACME @ 100.00
    book
              bids |  price | asks
            a1 300 | 100.00 |

Commands, with what may be left out in brackets:

    NAME: buy|sell CLORDID QTY [SYMBOL] @ PRICE|market [day|ioc|fok] [until TIME]
    NAME: cancel ORIG as CLORDID [order N] [buy|sell] [SYMBOL] [until TIME]
    NAME: replace ORIG as CLORDID QTY [SYMBOL] @ PRICE [order N] [buy|sell] [ioc|fok] [until TIME]
    book [SYMBOL]          draw a book: the queues with the first order nearest to the price
    time N                 the shard's stamp of the commands that follow
    define SYMBOL tick PRICE lot QTY [as ID]
    start DAY | end DAY | halt SYMBOL | resume SYMBOL | continue
    session NAME from SOURCE [cancel]    say which gateway a session comes from, and if it wants cancel on disconnect
    lost SOURCE | disconnected NAME      a gateway is lost, or only a session
    closed                 at the top: nothing is listed and no day is open; else ACME (tick 0.01, lot 1) trades already
    bound N                at the top: transactions of at most N events

NAME is a participant, or PARTICIPANT/N another of its sessions. Ids are shown without the shard in their high bits.
`run` gives a text's commands with the indented lines made anew, so a scenario passes if it comes out as it went in.
"""

from matching.book import BookSide
from matching.codes import (
    CancelReason,
    OrdStatus,
    OrdType,
    RefusalReason,
    RejectReason,
    Side,
    TimeInForce,
    TradingState,
)
from matching.commands import (
    CancelOrder,
    CancelSession,
    Command,
    Continue,
    DefineInstrument,
    DefineSession,
    EndDay,
    NewOrder,
    ReplaceOrder,
    SetTradingState,
    SourceLost,
    StartDay,
)
from matching.engine import Engine
from matching.events import (
    CancelRejected,
    CommandRefused,
    DayEnded,
    DayStarted,
    Event,
    InstrumentListed,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderTerms,
    SystemEventOccurred,
    TradingStateChanged,
)
from matching.ids import COUNTER_MASK
from matching.state import MAX_EVENTS_PER_TRANSACTION
from matching.wire import LAYOUTS

# FIX's good till cancel, stop and sell short besides: what the engine does not take must be sayable too.
_TIMES_IN_FORCE = {"day": 0, "gtc": 1, "ioc": 3, "fok": 4}
_ORD_TYPES = {"market": 1, "stop": 3}
_SIDES = {"buy": 1, "sell": 2, "short": 5}


def price_of(text: str) -> int:
    """ "100.01" in units of 1/10,000."""
    units, _, fraction = text.partition(".")
    sign = -1 if units.startswith("-") else 1
    return sign * (abs(int(units)) * 10_000 + int(fraction.ljust(4, "0")))


def shown(price: int) -> str:
    """A price with two decimals, or as many as it needs."""
    units, fraction = divmod(price, 10_000)
    text = f"{fraction:04}"
    return f"{units}.{text[:2]}{text[2:].rstrip('0')}"


def run(text: str) -> str:
    """A scenario's text as it should be."""
    return Scenario().run(text)


class Scenario:
    """One play of a scenario against an engine of its own."""

    def __init__(self) -> None:
        self.participants: dict[str, int] = {}
        self.symbols: dict[str, int] = {}
        #: By session and ClOrdID: what was asked, so that a cancel need not repeat it.
        self.asked: dict[tuple[int, str], NewOrder | ReplaceOrder] = {}
        self.time = 0
        self.engine = Engine(1)

    def run(self, text: str) -> str:
        lines = [line for line in text.splitlines() if not line.startswith(" ")]
        said = [line.partition("#")[0].split() for line in lines]
        commands = [words for words in said if words]
        bounds = [int(words[1]) for words in commands if words[0] == "bound"]
        self.engine = Engine(1, bounds[0] if bounds else MAX_EVENTS_PER_TRANSACTION)
        if ["closed"] not in commands:
            self.symbols["ACME"] = 1
            self.apply(DefineInstrument(1, b"ACME", 100, 1, 100), 0)
            self.apply(StartDay(20250101, b"S250101001", 0), 0)
        out: list[str] = []
        for line, words in zip(lines, said, strict=True):
            out.append(line.rstrip())
            out += ["  " + said for said in self.outcome(words)]
        return "\n".join(out) + "\n"

    def outcome(self, words: list[str]) -> list[str]:
        """What one command line gives."""
        if not words or words[0] in ("closed", "bound"):
            return []
        if words[0] == "book":
            return self.drawn(words[1] if len(words) > 1 else "ACME")
        if words[0] == "time":
            self.time = int(words[1])
            return []
        if words[0].endswith(":"):
            return self.apply(*self.requested(words[0][:-1], words[1:]))
        return self.apply(self.operated(words), 0)

    def apply(self, command: Command, session_id: int) -> list[str]:
        return [self.told(event) for event in self.engine.apply(command, self.time, session_id)] or ["nothing said"]

    # --- reading

    def requested(self, who: str, words: list[str]) -> tuple[Command, int]:
        """A participant's command and its session."""
        participant_id, session_id = self.session(who)
        verb, cl_ord_id, *rest = words
        options = _Options(rest)
        orig_cl_ord_id = ""
        if verb in ("cancel", "replace"):
            orig_cl_ord_id, cl_ord_id = cl_ord_id, options.after("as")
        asked = self.asked.get((session_id, orig_cl_ord_id))
        side = _SIDES.get(verb) or options.among(_SIDES, asked.side if asked else 1)
        symbol = options.symbol()
        instrument_id = self.symbols.get(symbol, 0) if symbol else asked.instrument_id if asked else 1
        order_id = 1 << 48 | int(options.after("order")) if "order" in options.words else 0
        expires_at = int(options.after("until")) if "until" in options.words else 0
        ids = cl_ord_id.encode(), orig_cl_ord_id.encode()
        if verb == "cancel":
            return CancelOrder(participant_id, instrument_id, side, order_id, expires_at, *ids), session_id
        time_in_force = options.among(_TIMES_IN_FORCE, 0)
        ord_type = options.among(_ORD_TYPES, 2)
        price = price_of(options.after("@")) if "@" in options.words else 0
        terms = (
            participant_id,
            instrument_id,
            int(side),
            int(ord_type),
            int(time_in_force),
            price,
            int(options.number()),
        )
        command: NewOrder | ReplaceOrder
        if verb == "replace":
            command = ReplaceOrder(*terms, order_id, expires_at, *ids, b"")
        else:
            command = NewOrder(*terms, expires_at, ids[0], b"")
        self.asked.setdefault((session_id, cl_ord_id), command)
        return command, session_id

    def session(self, who: str) -> tuple[int, int]:
        """(participant_id, session_id) of NAME or PARTICIPANT/N."""
        name, _, session = who.partition("/")
        participant_id = self.participants.setdefault(name, len(self.participants) + 1)
        return participant_id, participant_id * 10 + int(session or 1)

    def operated(self, words: list[str]) -> Command:
        """An operator's command."""
        verb = words[0]
        if verb == "session":
            participant_id, session_id = self.session(words[1])
            return DefineSession(session_id, participant_id, int(words[3]), int("cancel" in words))
        if verb == "lost":
            return SourceLost(int(words[1]))
        if verb == "disconnected":
            return CancelSession(self.session(words[1])[1])
        if verb == "define":
            options = _Options(words)
            instrument_id = int(options.after("as")) if "as" in words else len(self.symbols) + 1
            self.symbols.setdefault(words[1], instrument_id)
            tick = price_of(options.after("tick"))
            return DefineInstrument(instrument_id, words[1].encode(), tick, int(options.after("lot")), 100)
        if verb == "start":
            return StartDay(int(words[1]), b"S%s001" % words[1][2:].encode(), 0)
        if verb == "end":
            return EndDay(int(words[1]))
        if verb in ("halt", "resume"):
            state = TradingState.HALTED if verb == "halt" else TradingState.TRADING
            return SetTradingState(self.symbols.get(words[1], 0), int(state), b"")
        assert verb == "continue", f"no command is called {verb!r}"
        return Continue()

    # --- telling

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
            case OrderReduced(terms, orig, ref, canceled, seq, cum, leaves, _):
                what = f"by {canceled}, keeps ref {low(ref)}, {figures(cum, leaves)}"
                return f"reduced {orig.decode()} to {cl(terms)}: {what}  {self.seqs(terms, seq)}"
            case OrderReplaced(terms, orig, orig_ref, ref, seq, cum, leaves, _):
                place = (
                    f"ref {low(orig_ref)} becomes {low(ref)}"
                    if ref
                    else f"ref {low(orig_ref)} leaves the book to trade"
                )
                what = f"{self.wish(terms)}, {place}, {figures(cum, leaves)}"
                return f"replaced {orig.decode()} by {cl(terms)}: {what}  {self.seqs(terms, seq)}"
            case OrderCanceled(terms, cl_ord_id, ref, quantity, reason, seq, cum, _):
                asked = f" by {cl_ord_id.decode()}" if cl_ord_id != terms.cl_ord_id else ""
                what = f"{quantity} of {where(ref)}, cum {cum}, {CancelReason(reason).name}"
                return f"canceled {cl(terms)}{asked}: {what}  {self.seqs(terms, seq)}"
            case OrderExpired(terms, ref, quantity, seq, cum, _):
                return f"expired {cl(terms)}: {quantity} of {where(ref)}, cum {cum}  {self.seqs(terms, seq)}"
            case CancelRejected():
                return self.cancel_rejected(event)
            case _:
                return self.administered(event)

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
            case TradingStateChanged(instrument_id, state):
                return f"{self.symbol(instrument_id)} is {TradingState(state).name}"
        raise AssertionError(event)

    def drawn(self, symbol: str) -> list[str]:
        """A book: bids to the left, asks to the right, the first order of a queue nearest to its price."""
        book = self.engine.book(self.symbols[symbol])
        rows = [("bids", "price", "asks")]
        rows += [("", shown(price), ", ".join(queue)) for price, queue in reversed(queues(book.asks))]
        rows += [(", ".join(reversed(queue)), shown(price), "") for price, queue in queues(book.bids)]
        left, middle = (max(len(row[column]) for row in rows) for column in (0, 1))
        return [f"{bids:>{max(left, 12)}} | {price:>{middle}} | {asks}".rstrip() for bids, price, asks in rows]

    def wish(self, terms: OrderTerms) -> str:
        price = "market" if terms.ord_type == OrdType.MARKET else f"@ {shown(terms.price)}"
        side = Side(terms.side).name.lower()
        time_in_force = TimeInForce(terms.time_in_force).name.lower()
        return f"{side} {terms.order_qty} {self.symbol(terms.instrument_id)} {price} {time_in_force}"

    def symbol(self, instrument_id: int) -> str:
        return next(symbol for symbol, known in self.symbols.items() if known == instrument_id)

    def name(self, participant_id: int) -> str:
        return next(name for name, known in self.participants.items() if known == participant_id)

    def seqs(self, terms: OrderTerms, seq: int, other: OrderTerms | None = None, other_seq: int = 0) -> str:
        second = f", {self.name(other.participant_id)} {other_seq}" if other else ""
        return f"[{self.name(terms.participant_id)} {seq}{second}]"


class _Options:
    """The words of a command in any order."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def after(self, keyword: str) -> str:
        return self.words[self.words.index(keyword) + 1]

    def among(self, choices: dict[str, int], default: int) -> int:
        return next((choices[word] for word in self.words if word in choices), default)

    def symbol(self) -> str:
        return next((word for word in self.words if word.isalpha() and word.isupper()), "")

    def number(self) -> str:
        """The first bare number: the quantity."""
        return next(word for word in self.words if word.isdigit())


def cl(terms: OrderTerms) -> str:
    return terms.cl_ord_id.decode()


def low(identifier: int) -> int:
    return identifier & COUNTER_MASK


def where(ref: int) -> str:
    return f"ref {low(ref)}" if ref else "no ref"


def figures(cum_qty: int, leaves_qty: int) -> str:
    return f"cum {cum_qty} leaves {leaves_qty}"


def queues(side: BookSide) -> list[tuple[int, list[str]]]:
    """(price, "ClOrdID quantity" of each order), best price first."""
    found: dict[int, list[str]] = {}
    for order in side.orders():
        found.setdefault(order.terms.price, []).append(f"{cl(order.terms)} {order.leaves_qty}")
    return list(found.items())
