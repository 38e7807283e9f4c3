"""The little language of the golden scenarios: what participants ask, what the engine says, what the book looks like.

    # Text from '#' on is a comment. A line at the margin is a command; the indented lines below it are what came of it.
    alice: buy a1 300 @ 100.00
      accepted a1 as order 1: buy 300 ACME @ 100.00 day  [alice 1]
      booked order 1 as ref 1: buy 300 ACME @ 100.00
    book
              bids |  price | asks
            a1 300 | 100.00 |

Commands, with what may be left out in brackets:

    NAME: buy|sell CLORDID QTY [SYMBOL] TYPE [TIME IN FORCE] [display N] [least N] [passive] [until TIME]
          TYPE            @ PRICE | market | leftover | stop PRICE [@ PRICE]
                          | peg primary|market|midpoint [+PRICE|-PRICE] [@ PRICE]
          TIME IN FORCE   day | gtc | gtd TIME | ioc | fok | opening | closing | auction
    NAME: cancel ORIG as CLORDID [order N] [buy|sell] [SYMBOL] [until TIME]
    NAME: replace ORIG as CLORDID QTY [...]       what is not said is as it was asked for last
    NAME: mass CLORDID [of NAME/N] [SYMBOL] [buy|sell]       cancel all of one's own, or of one session
    book [SYMBOL]          draw a book: the queues with the first order nearest to the price
    waiting [SYMBOL]       who waits beside the book: stops, pegs, orders for an auction to come
    time TIME              the shard's stamp of the commands that follow: ns, or hh:mm[:ss] since the first midnight
    define SYMBOL tick PRICE lot QTY [as ID]
    tick SYMBOL from PRICE PRICE                  a row of its tick-size table; 0: no longer
    rules SYMBOL [static|dynamic|fat PERCENT] [quantity N] [value N] [pause SECONDS] [reopening SECONDS]
    reference SYMBOL PRICE
    start DAY | end DAY | continue | advance
    halt SYMBOL [REASON] | quote SYMBOL | resume SYMBOL
    phase SYMBOL|all PHASE [REASON] | schedule SYMBOL|all PHASE at TIME
    session NAME from SOURCE [cancel]    say which gateway a session comes from, and if it wants cancel on disconnect
    participant NAME [group N] allowed|incoming|resting|both|decrement       self-match prevention
    lost SOURCE | disconnected NAME      a gateway is lost, or only a session
    mass [NAME] [of NAME/N] [SYMBOL] [buy|sell]                the operator cancels
    block NAME | block session NAME | unblock ...             the kill switch
    bust N | breaker PRICE PRICE PRICE | breach LEVEL
    closed                 at the top: nothing is listed and no day is open; else ACME (tick 0.01, lot 1) trades already
    bound N                at the top: transactions of at most N events

NAME is a participant, or PARTICIPANT/N another of its sessions. Ids are shown without the shard in their high bits.
`run` gives a text's commands with the indented lines made anew, so a scenario passes if it comes out as it went in.
"""

import re
from collections.abc import Callable

from matching.codes import OrdType, Peg, Phase, SelfMatch, TimeInForce, TradingState
from matching.commands import (
    Advance,
    BreachCircuitBreaker,
    BustTrade,
    CancelOrder,
    CancelSession,
    Command,
    Conditions,
    Continue,
    DefineInstrument,
    DefineParticipant,
    DefineRules,
    DefineSession,
    DefineTick,
    EndDay,
    MassCancel,
    NewOrder,
    ReplaceOrder,
    SchedulePhase,
    SetCircuitBreaker,
    SetEntryBlock,
    SetPhase,
    SetReferencePrice,
    SetTradingState,
    SourceLost,
    StartDay,
)
from matching.engine import Engine
from matching.events import Event
from matching.state import MAX_EVENTS_PER_TRANSACTION
from tests.matching.telling import SECOND, TIMES_IN_FORCE, Teller, drawn, waiting

# What the engine does not take must be sayable too: sell short, forex orders, a time in force 9, a peg to the last.
_SIDES = {"buy": 1, "sell": 2, "short": 5}
_ORD_TYPES = {"market": OrdType.MARKET, "leftover": OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT, "forex": ord("F")}
_TIMES_IN_FORCE = {word: int(code) for code, word in TIMES_IN_FORCE.items()} | {"never": 9}
_PEGS = {peg.name.lower(): int(peg) for peg in Peg if peg} | {"last": ord("L")}
_SELF_MATCH = {
    "allowed": SelfMatch.ALLOWED,
    "incoming": SelfMatch.CANCEL_INCOMING,
    "resting": SelfMatch.CANCEL_RESTING,
    "both": SelfMatch.CANCEL_BOTH,
    "decrement": SelfMatch.DECREMENT,
}
_STATES = {"halt": TradingState.HALTED, "resume": TradingState.TRADING, "quote": TradingState.QUOTATION_ONLY}
DRAWINGS = {"book": drawn, "waiting": waiting}
#: A tap on what is played: the command, its stamp, its session, and what came of it.
Tap = Callable[[Command, int, int, list[Event]], None]


def price_of(text: str) -> int:
    """ "100.01" in units of 1/10,000."""
    units, _, fraction = text.lstrip("+-").partition(".")
    return (-1 if text.startswith("-") else 1) * (int(units) * 10_000 + int(fraction.ljust(4, "0")))


def time_of(text: str) -> int:
    """ "09:30:00" in ns; without a colon they are ns already."""
    if ":" not in text:
        return int(text)
    hours, minutes, seconds = (int(part) for part in f"{text}:0".split(":")[:3])
    return ((hours * 60 + minutes) * 60 + seconds) * SECOND


def run(text: str, tap: Tap | None = None) -> str:
    """A scenario's text as it should be."""
    return Scenario(tap).run(text)


class Scenario(Teller):
    """One play of a scenario against an engine of its own."""

    def __init__(self, tap: Tap | None = None) -> None:
        super().__init__()
        #: By session and ClOrdID: what was asked, so that a cancel need not repeat it.
        self.asked: dict[tuple[int, str], NewOrder | ReplaceOrder] = {}
        self.time = 0
        self.engine = Engine(1)
        self.tap = tap

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
        if words[0] in DRAWINGS:
            instrument_id = self.symbols[words[1] if len(words) > 1 else "ACME"]
            shown = next(one for one in self.engine.instruments() if one.definition.instrument_id == instrument_id)
            return DRAWINGS[words[0]](shown)
        if words[0] == "time":
            self.time = time_of(words[1])
            return []
        if words[0].endswith(":"):
            return self.apply(*self.requested(words[0][:-1], words[1:]))
        return self.apply(self.operated(words[0], words[1:]), 0)

    def apply(self, command: Command, session_id: int) -> list[str]:
        events = self.engine.apply(command, self.time, session_id)
        if self.tap:
            self.tap(command, self.time, session_id, events)
        return [self.told(event) for event in events] or ["nothing said"]

    # --- what participants ask

    def requested(self, who: str, words: list[str]) -> tuple[Command, int]:
        """A participant's command and its session."""
        participant_id, session_id = self.session(who)
        verb, cl_ord_id, *rest = words
        options = _Options(rest)
        if verb == "mass":
            return self.mass_cancel(participant_id, options, cl_ord_id), session_id
        orig_cl_ord_id = ""
        if verb in ("cancel", "replace"):
            orig_cl_ord_id, cl_ord_id = cl_ord_id, options.after("as")
        asked = self.asked.get((session_id, orig_cl_ord_id))
        side = _SIDES.get(verb) or options.among(_SIDES, asked.side if asked else 1)
        symbol = options.symbol()
        instrument_id = self.symbols.get(symbol, 0) if symbol else asked.instrument_id if asked else 1
        order_id = 1 << 48 | int(options.after("order")) if "order" in options.words else 0
        expires_at = time_of(options.after("until", "0"))
        ids = cl_ord_id.encode(), orig_cl_ord_id.encode()
        if verb == "cancel":
            return CancelOrder(participant_id, instrument_id, side, order_id, expires_at, *ids), session_id
        kind, price, conditions = wanted(options, asked)
        terms = (participant_id, instrument_id, side, *kind, price, int(options.number()))
        command: NewOrder | ReplaceOrder
        if verb == "replace":
            command = ReplaceOrder(*terms, order_id, expires_at, *ids, b"", conditions)
        else:
            command = NewOrder(*terms, expires_at, ids[0], b"", conditions)
        self.asked.setdefault((session_id, cl_ord_id), command)
        return command, session_id

    def session(self, who: str) -> tuple[int, int]:
        """(participant_id, session_id) of NAME or PARTICIPANT/N."""
        name, _, session = who.partition("/")
        participant_id = self.participants.setdefault(name, len(self.participants) + 1)
        return participant_id, participant_id * 10 + int(session or 1)

    def mass_cancel(self, participant_id: int, options: "_Options", cl_ord_id: str = "") -> MassCancel:
        target = self.session(options.after("of"))[1] if "of" in options.words else 0
        symbol = options.symbol()
        instrument_id = self.symbols.get(symbol, 999) if symbol else 0
        return MassCancel(participant_id, target, instrument_id, options.among(_SIDES, 0), cl_ord_id.encode())

    # --- what operators do

    def operated(self, verb: str, words: list[str]) -> Command:
        """An operator's command."""
        options = _Options(words)
        match verb:
            case "start":
                return StartDay(int(words[0]), b"S%s001" % words[0][2:].encode(), 0)
            case "end":
                return EndDay(int(words[0]))
            case "continue":
                return Continue()
            case "advance":
                return Advance()
            case "bust":
                return BustTrade(1 << 48 | int(words[0]))
            case "breaker":
                level_1, level_2, level_3 = (price_of(word) * 10_000 for word in words)
                return SetCircuitBreaker(level_1, level_2, level_3)
            case "breach":
                return BreachCircuitBreaker(int(words[0]))
            case "halt" | "resume" | "quote":
                reason = words[1].encode() if len(words) > 1 else b""
                return SetTradingState(self.symbols.get(words[0], 0), int(_STATES[verb]), reason)
            case "phase":
                reason = words[2].encode() if len(words) > 2 else b""
                return SetPhase(self.one_or_all(words[0]), phase_of(words[1]), reason)
            case "schedule":
                at = time_of(options.after("at"))
                return SchedulePhase(self.one_or_all(words[0]), phase_of(words[1]), at)
        return self.defined(verb, words, options)

    def one_or_all(self, symbol: str) -> int:
        return 0 if symbol == "all" else self.symbols.get(symbol, 999)

    def defined(self, verb: str, words: list[str], options: "_Options") -> Command:
        """An operator's command that says how somebody or something is from now on."""
        match verb:
            case "session":
                participant_id, session_id = self.session(words[0])
                return DefineSession(session_id, participant_id, int(words[2]), int("cancel" in words))
            case "participant":
                group = int(options.after("group", "0"))
                return DefineParticipant(self.session(words[0])[0], group, options.among(_SELF_MATCH, 9))
            case "lost":
                return SourceLost(int(words[0]))
            case "disconnected":
                return CancelSession(self.session(words[0])[1])
            case "mass":
                named = bool(words) and words[0] != "of" and words[0] not in _SIDES and not words[0].isupper()
                return self.mass_cancel(self.session(words[0])[0] if named else 0, options)
            case "block" | "unblock":
                participant_id, session_id = self.session(words[-1])
                return SetEntryBlock(participant_id, session_id if "session" in words else 0, int(verb == "block"))
            case "define":
                instrument_id = int(options.after("as", str(len(self.symbols) + 1)))
                self.symbols.setdefault(words[0], instrument_id)
                tick = price_of(options.after("tick"))
                return DefineInstrument(instrument_id, words[0].encode(), tick, int(options.after("lot")), 100)
            case "tick":
                return DefineTick(self.symbols.get(words[0], 0), price_of(words[2]), price_of(words[3]))
            case "reference":
                return SetReferencePrice(self.symbols.get(words[0], 0), price_of(words[1]))
        assert verb == "rules", f"no command is called {verb!r}"
        bands = (price_of(options.after(name, "0").rstrip("%")) // 100 for name in ("static", "dynamic", "fat"))
        value = price_of(options.after("value", "0"))
        times = (int(options.after(name, "0")) * SECOND for name in ("pause", "reopening"))
        quantity = int(options.after("quantity", "0"))
        return DefineRules(self.symbols.get(words[0], 0), *bands, quantity, value, *times)


def phase_of(text: str) -> int:
    return int(Phase[text]) if text in Phase.__members__ else 99


def wanted(
    options: "_Options", asked: NewOrder | ReplaceOrder | None
) -> tuple[tuple[int, int], int, Conditions | None]:
    """(type, time in force), price and conditions that the words ask for; a replace repeats what it does not say."""
    price = price_of(options.after("@", "0"))
    before = (asked.conditions if asked else None) or Conditions()
    default = asked.ord_type if asked else OrdType.LIMIT
    ord_type = options.among(_ORD_TYPES, default)
    if "stop" in options.words:
        ord_type = OrdType.STOP_LIMIT if "@" in options.words else OrdType.STOP
    if "peg" in options.words:
        ord_type = OrdType.PEGGED
    time_in_force = options.among(_TIMES_IN_FORCE, asked.time_in_force if asked else TimeInForce.DAY)
    offset = next((word for word in options.words if re.fullmatch(r"[+-][0-9.]+", word)), None)
    conditions = Conditions(
        price_of(options.after("stop")) if "stop" in options.words else before.stop_price,
        int(options.after("display", str(before.display_qty))),
        int(options.after("least", str(before.min_qty))),
        6 if "passive" in options.words else before.exec_inst,
        _PEGS[options.after("peg")] if "peg" in options.words else before.peg,
        price_of(offset) if offset else before.peg_offset,
        time_of(options.after("gtd")) if "gtd" in options.words else before.expire_at,
    )
    return (int(ord_type), int(time_in_force)), price, None if conditions == Conditions() else conditions


class _Options:
    """The words of a command in any order."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def after(self, keyword: str, default: str | None = None) -> str:
        if default is not None and keyword not in self.words:
            return default
        return self.words[self.words.index(keyword) + 1]

    def among(self, choices: dict[str, int], default: int) -> int:
        return next((int(choices[word]) for word in self.words if word in choices), int(default))

    def symbol(self) -> str:
        return next((word for word in self.words if word.isalpha() and word.isupper()), "")

    def number(self) -> str:
        """The first bare number: the quantity."""
        return next(word for word in self.words if word.isdigit())
