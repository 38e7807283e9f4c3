"""Random days at the market, told in the language of the golden scenarios, so that a failure can be read and kept.

A *play* is a few small numbers; what line it becomes depends on who has which orders open. Hypothesis shrinks numbers
well, so a failing story ends up short and its orders plain.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

from matching.codes import Phase
from tests.matching.reference import Market, Order
from tests.matching.telling import SECOND, clock, shown

#: kind, who, side, price, quantity, type, time in force, condition, order.
Play = tuple[int, int, int, int, int, int, int, int, int]

PLAIN = "new " * 24 + "cancel " * 3 + "replace " * 5 + "mass lost"
THEMES = {
    "plain": PLAIN,
    "conditions": PLAIN + " any" * 20,
    "stops": PLAIN + " stop" * 16 + " any" * 4,
    "pegs": PLAIN + " peg" * 16 + " any" * 8,
    "auctions": PLAIN + " any" * 16 + " phase" * 4 + " advance" * 2 + " stop" * 4 + " peg",
    "uncrosses": "small " * 12 + "any " * 3 + "toggle " * 3 + "reference cancel replace",
    "bands": PLAIN + " any" * 8 + " stop" * 8 + " advance" * 5 + " reference rules",
    "days": PLAIN + " any" * 12 + " night phase dated dated" * 3 + " advance schedule stop peg" * 2 + " late",
    "operators": PLAIN + " any" * 8 + " halt" * 3 + " block bust bust bust everything breach advance advance",
    # Nobody leads for minutes or hours, and then much is due at once.
    "vacancies": "small planned dated dated " * 6 + "phase halt halt peg peg stop any late late advance night",
}
WHO = ("alice", "bob", "carol", "alice/2")
LIMIT_TIMES = ("", "", "", "gtc", "ioc", "fok", "gtd", "opening", "closing", "auction")
PHASES = (
    "CONTINUOUS",
    "OPENING_AUCTION",
    "CLOSING_AUCTION",
    "REOPENING_AUCTION",
    "OPENING_AUCTION",
    "CLOSING_AUCTION",
    "PRE_OPEN",
    "QUOTE_ONLY",
    "VOLATILITY_AUCTION",
    "HALTED",
    "POST_CLOSE",
    "CLOSED",
)
PEGS = ("primary", "market", "midpoint", "primary -0.01", "primary +0.01", "market -0.02", "market +0.02")
RULES = (
    "",
    "static 1% pause 10",
    "dynamic 0.5% pause 10 reopening 5",
    "static 2% dynamic 1% pause 20",
    "static 1%",
    "fat 2% quantity 8 value 900 reopening 10",
)
#: In seconds: how long nobody leads, and how long a night is.
VACANCIES = (30, 60, 300, 900, 3600, 7200)
NIGHTS = (10, 60, 3600, 36_000, 40_000, 54_000)
#: In seconds: dates and phases come after so many times one of these.
STEPS = (1, 10, 60, 600)
MODES = ("allowed", "incoming", "resting", "both", "decrement", "allowed", "allowed")

numbers = st.tuples(
    st.integers(0, 127),
    st.integers(0, 3),
    st.integers(0, 1),
    st.integers(0, 5),
    st.integers(1, 9),
    st.integers(0, 7),
    st.integers(0, 9),
    st.integers(0, 7),
    st.integers(0, 15),
)


@dataclass
class Opening:
    """How a story begins."""

    theme: str = "plain"
    max_events: int = 128
    rules: int = 0
    modes: tuple[int, int] = (0, 0)
    grouped: bool = False
    ticks: bool = False
    #: A second instrument.
    other: bool = False
    #: The engine is restored from its snapshot after each transaction.
    restored: bool = False


openings = st.builds(
    Opening,
    st.sampled_from(list(THEMES)),
    st.sampled_from([128, 128, 8, 11]),
    st.integers(0, len(RULES) - 1),
    st.tuples(st.integers(0, 6), st.integers(0, 6)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([False, False, False, True]),
)


def opened(opening: Opening) -> list[str]:
    """The lines before the first play."""
    lines = [f"bound {opening.max_events}", "time 09:00:00"]
    lines += [f"session {who} from {1 + place % 2} cancel" for place, who in enumerate(WHO)]
    for who, mode in zip(("alice", "bob"), opening.modes, strict=True):
        if mode:
            lines.append(f"participant {who}{' group 7' if opening.grouped else ''} {MODES[mode]}")
    if opening.other:
        lines.append("define OTHR tick 0.01 lot 1")
    if opening.ticks:
        lines.append("tick ACME from 100.04 0.02")
    if opening.theme not in ("plain", "conditions"):
        lines.append("reference ACME 100.00")
    if opening.theme == "bands":
        lines.append(f"rules ACME {RULES[opening.rules % 4 + 1]}")
    elif opening.rules and opening.theme in ("auctions", "operators", "days", "vacancies"):
        lines.append(f"rules ACME {RULES[opening.rules]}")
    if opening.theme in ("auctions", "uncrosses"):
        lines.append("phase ACME OPENING_AUCTION")
    return lines


class Teller:
    """Makes lines of plays: it knows whose orders are open, and counts names, time and days."""

    def __init__(self, opening: Opening, market: Market) -> None:
        self.kinds = THEMES[opening.theme].split()
        self.wide = opening.theme in ("bands", "vacancies")
        self.symbols = ("", " OTHR") if opening.other else ("", "")
        self.market = market
        self.names = 0
        self.time = 9 * 3600
        self.day = 20250101

    def lines(self, play: Play) -> list[str]:
        if not play[0]:
            return []  # so that hypothesis can leave it out without making the list shorter
        kind = self.kinds[play[0] % len(self.kinds)]
        made = getattr(self, kind)(*play[1:])
        return made if isinstance(made, list) else [made]

    def name(self) -> str:
        self.names += 1
        return f"x{self.names}"

    def who(self, who: int, side: int, quantity: int) -> str:
        """Who buys or sells how many of what: every third quantity is of the other instrument."""
        return f"{WHO[who]}: {('buy', 'sell')[side]} {self.name()} {quantity}{self.symbols[quantity % 3 == 0]}"

    def price(self, step: int) -> str:
        return f"{100 + step * (0.5 if self.wide else 0.01):.2f}"

    def open_order(self, which: int) -> Order | None:
        orders = self.market.orders
        return orders[which % len(orders)] if orders else None

    # --- participants

    def new(self, who: int, side: int, price: int, quantity: int, *_: int) -> str:
        return f"{self.who(who, side, quantity)} @ {self.price(price)}"

    def small(self, who: int, side: int, price: int, quantity: int, *_: int) -> str:
        return self.new(who, side, price, 1 + quantity % 2)

    def any(self, who: int, side: int, price: int, quantity: int, kind: int, times: int, condition: int, _: int) -> str:
        times_in_force = LIMIT_TIMES[times]
        if times_in_force == "gtd":
            times_in_force += f" {clock((self.time + 5 * condition) * SECOND)}"
        wish = f"@ {self.price(price)}"
        if kind == 1:
            wish = "market"
        elif kind == 2:
            wish = "leftover"
        if kind > 2:
            wish += ("", f" display {max(quantity // 3, 1)}", " passive", f" least {max(quantity // 2, 1)}", "")[
                condition % 5
            ]
        return f"{self.who(who, side, quantity)} {wish} {times_in_force}".rstrip()

    def dated(self, who: int, side: int, price: int, quantity: int, kind: int, times: int, steps: int, _: int) -> str:
        """An order of any type that is good till a date that is near or far."""
        wish = f"@ {self.price(price)}"
        if kind == 1:
            wish = "leftover"
        elif kind == 2:
            wish = f"stop {self.price(price)}"
        elif kind in (3, 4, 5):
            wish = f"peg {PEGS[(price + steps) % len(PEGS)]}" + f" @ {self.price(price)}" * (kind > 3)
        return f"{self.who(who, side, quantity)} {wish} gtd {self.after(steps, times)}"

    def after(self, steps: int, length: int) -> str:
        """A time to come."""
        return clock((self.time + (1 + steps) * STEPS[length % len(STEPS)]) * SECOND)

    def stop(self, who: int, side: int, price: int, quantity: int, kind: int, times: int, step: int, _: int) -> str:
        times_in_force = ("", "gtc", "ioc", "fok")[times % 4] if kind % 2 else ("", "gtc")[times % 2]
        limit = f" @ {self.price(step % 6)}" if kind % 2 else ""
        wish = f"stop {self.price(price)}{limit} {times_in_force}"
        return f"{self.who(who, side, quantity)} {wish}".rstrip()

    def peg(self, who: int, side: int, price: int, quantity: int, kind: int, times: int, limited: int, _: int) -> str:
        limit = f" @ {self.price(price)}" if limited % 2 else ""
        wish = f"peg {PEGS[kind % len(PEGS)]}{limit} {('', 'gtc')[times % 2]}"
        return f"{self.who(who, side, quantity)} {wish}".rstrip()

    def cancel(self, who: int, side: int, price: int, quantity: int, kind: int, *rest: int) -> str:
        order = self.open_order(rest[-1])
        if order is None or kind == 0:
            return f"{WHO[who]}: cancel x{rest[-1]} as {self.name()}"
        return f"{self.owner(order)}: cancel {order.terms.cl_ord_id.decode()} as {self.name()}"

    def replace(self, who: int, side: int, price: int, quantity: int, kind: int, times: int, *rest: int) -> str:
        order = self.open_order(rest[-1])
        if order is None or kind == 0:
            return f"{WHO[who]}: replace x{rest[-1]} as {self.name()} {quantity} @ {self.price(price)}"
        terms, wants = order.terms, order.wants
        limit = self.price(price) if times % 2 else shown(terms.price)
        words = [str(quantity), f"@ {limit}"] if terms.price else [str(quantity)]
        if wants.stop_price and times % 3 == 0:
            words.insert(1, f"stop {self.price(price)}")
        if wants.display_qty and times % 3 == 0:
            words.append("display 1")
        orig = terms.cl_ord_id.decode()
        return f"{self.owner(order)}: replace {orig} as {self.name()} {' '.join(words)}"

    def owner(self, order: Order) -> str:
        return {11: "alice", 12: "alice/2", 21: "bob", 31: "carol"}[order.terms.session_id]

    def mass(self, who: int, side: int, price: int, *_: int) -> str:
        scope = ("", " ACME", f" of {WHO[who]}", " of bob")[price % 4]
        return f"{WHO[who]}: mass {self.name()}{scope}{('', ' buy')[side]}"

    # --- operators

    def lost(self, who: int, side: int, *_: int) -> str:
        return f"lost {1 + who % 2}" if side else f"disconnected {WHO[who]}"

    def phase(self, who: int, side: int, price: int, quantity: int, kind: int, times: int, *_: int) -> str:
        closed = any(one.phase in (Phase.CLOSED, Phase.POST_CLOSE, Phase.HALTED) for one in self.market.instruments)
        phase = "CONTINUOUS" if side or closed else PHASES[(times + kind) % len(PHASES)]
        return f"phase {('ACME', 'all')[price == 5 or closed]} {phase}"

    def toggle(self, who: int, side: int, *_: int) -> str:
        phase = self.market.instruments[0].phase
        return f"phase all {'CONTINUOUS' if phase != Phase.CONTINUOUS else PHASES[1 + side]}"

    def advance(self, who: int, side: int, price: int, *_: int) -> list[str]:
        self.time += (1, 5, 10, 20, 3, 0)[price]
        return [f"time {clock(self.time * SECOND)}", "advance"]

    def late(self, who: int, side: int, price: int, *_: int) -> list[str]:
        """Time comes in after nobody has led for a while."""
        self.time += VACANCIES[price]
        return [f"time {clock(self.time * SECOND)}", "advance"]

    def planned(self, who: int, side: int, price: int, quantity: int, kind: int, times: int, steps: int, _: int) -> str:
        """A phase is to begin, soon or in hours."""
        phase = PHASES[(times + kind) % len(PHASES)]
        return f"schedule {('all', 'ACME')[side]} {phase} at {self.after(steps, quantity)}"

    def schedule(self, who: int, side: int, price: int, quantity: int, kind: int, times: int, *_: int) -> str:
        at = clock((self.time + (1, 5, 10, 20, 3, 2)[price]) * SECOND)
        return f"schedule {('all', 'ACME')[side]} {PHASES[(times + kind) % len(PHASES)]} at {at}"

    def night(self, who: int, side: int, price: int, quantity: int, kind: int, *_: int) -> list[str]:
        """A night, in which the operator may say something and nobody can trade; then a day that begins with trading,
        or one with a timetable of which the first phases are past or near."""
        ended, self.day = self.day, self.day + 1
        self.time += NIGHTS[price]
        opens = self.time - 30 + 60 * side
        timetable = [("OPENING_AUCTION", opens), ("CONTINUOUS", opens + 60), ("CLOSING_AUCTION", opens + 3600)]
        planned = [f"schedule all {phase} at {clock(at * SECOND)}" for phase, at in timetable] if who == 0 else []
        order = f"{self.who(who, side, quantity)} @ {self.price(price)}"
        said = [self.halt(who, side, price), order] if kind < 4 else []
        return [f"end {ended}", *said, *planned, f"time {clock(self.time * SECOND)}", f"start {self.day}"]

    def halt(self, who: int, side: int, price: int, *_: int) -> str:
        return f"{('resume', 'halt', 'resume', 'quote', 'resume', 'resume')[price]} ACME"

    def reference(self, who: int, side: int, price: int, *_: int) -> str:
        return f"reference ACME {self.price(price)}"

    def rules(self, who: int, side: int, price: int, *_: int) -> str:
        return f"rules ACME {RULES[price % len(RULES)]}".rstrip()

    def block(self, who: int, side: int, price: int, *_: int) -> str:
        return f"{('unblock', 'block')[side]} {('', 'session ')[price % 2]}{WHO[who]}"

    def bust(self, *numbers: int) -> str:
        trades = self.market.trades
        which = numbers[-1]
        return f"bust {trades[which % len(trades)].match_number & 0xFFFF if trades else which}"

    def everything(self, who: int, side: int, price: int, *_: int) -> str:
        whose = WHO[who].partition("/")[0] if price % 2 else ""
        return " ".join(["mass", whose, ("ACME", "")[price % 3 > 0], ("", "sell")[side]])

    def breach(self, who: int, side: int, price: int, *_: int) -> str:
        return f"breach {price}"
