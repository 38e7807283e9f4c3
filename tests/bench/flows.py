"""What the engine's benchmarks are made of: flows of commands as they come to a busy book.

A flow is made by playing random orders, from a fixed seed, against an engine of its own, so that cancels and replaces
name orders that live. Each is a function that says how many commands come before those that count: they fill the book.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from matching.codes import OrdType, Side, TimeInForce
from matching.commands import CancelOrder, Command, DefineInstrument, NewOrder, ReplaceOrder, StartDay
from matching.engine import Engine
from matching.events import OrderBooked, OrderCanceled, OrderExecuted, OrderReplaced
from matching.wire import encode

#: Orders on the book while a flow runs, where it does not say otherwise.
RESTING: Final = 2_000
PARTICIPANTS: Final = 20
MID: Final = 10_000_000
TICK: Final = 100
#: Of `wide_swings`: how far the middle goes in one step.
SWING: Final = 40

OPENING: Final[list[Command]] = [
    DefineInstrument(1, b"ACME", TICK, 1, 100),
    StartDay(20250102, b"S250102001", 0),
]

Row = tuple[int, bytes, int]
"""A command as a shard gets it: kind, body, session."""


class Flow:
    """Commands of random participants, made one by one against an engine that says which orders live."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.commands: list[Command] = []
        #: What the prices lie around.
        self.middle = MID
        self.engine = Engine(1)
        for command in OPENING:
            self.engine.apply(command, 0, 0)
        self.count = 0
        #: The resting orders' ids, in no order, and where each stands in the list.
        self.live: list[int] = []
        self.places: dict[int, int] = {}

    def say(self, command: NewOrder | CancelOrder | ReplaceOrder) -> None:
        """Add a command, and learn what became of it."""
        self.commands.append(command)
        for event in self.engine.apply(command, 0, command.participant_id):
            if isinstance(event, OrderBooked):
                self.places[event.order_id] = len(self.live)
                self.live.append(event.order_id)
            elif isinstance(event, OrderExecuted) and event.resting_leaves_qty == 0:
                self.forget(event.resting.order_id)
            elif (isinstance(event, OrderCanceled) and event.order_ref) or (
                isinstance(event, OrderReplaced) and not event.order_ref
            ):
                self.forget(event.terms.order_id)
        assert not self.engine.pending, "the flows stay within one transaction"

    def forget(self, order_id: int) -> None:
        place = self.places.pop(order_id)
        last = self.live.pop()
        if last != order_id:
            self.live[place] = last
            self.places[last] = place

    def cl_ord_id(self) -> bytes:
        self.count += 1
        return b"%012d" % self.count

    def order(self, side: int, price: int, quantity: int, time_in_force: int = TimeInForce.DAY) -> None:
        participant_id = self.random.randint(1, PARTICIPANTS)
        self.say(
            NewOrder(
                participant_id,
                1,
                side,
                int(OrdType.LIMIT),
                int(time_in_force),
                price,
                quantity,
                0,
                self.cl_ord_id(),
                b"",
            )
        )

    def passive(self, levels: int) -> None:
        """An order that rests, within so many ticks of the middle; more often near it."""
        away = 1 + min(self.random.randrange(levels), self.random.randrange(levels))
        if self.random.random() < 0.5:
            self.order(Side.BUY, self.middle - away * TICK, self.random.randrange(100, 1_000, 100))
        else:
            self.order(Side.SELL, self.middle + away * TICK, self.random.randrange(100, 1_000, 100))

    def cross(self, quantity: int) -> None:
        """An order that trades with the best of the other side, as far as it goes."""
        buys = self.random.random() < 0.5
        self.order(
            Side.BUY if buys else Side.SELL, self.middle + (100 if buys else -100) * TICK, quantity, TimeInForce.IOC
        )

    def cancel(self) -> None:
        terms = self.engine.order(self.random.choice(self.live)).terms  # type: ignore[union-attr]
        cl_ord_id = self.cl_ord_id()
        self.say(CancelOrder(terms.participant_id, 1, terms.side, 0, 0, cl_ord_id, terms.cl_ord_id))

    def replace(self) -> None:
        """Half of them take a third away and keep their place; half go to another price."""
        order = self.engine.order(self.random.choice(self.live))
        assert order is not None
        terms = order.terms
        price, quantity = terms.price, terms.order_qty
        if self.random.random() < 0.5 and order.leaves_qty > 3:
            quantity -= order.leaves_qty // 3
        else:
            away = self.random.randrange(1, 51) * TICK
            price = self.middle - away if terms.side == Side.BUY else self.middle + away
        self.say(
            ReplaceOrder(
                terms.participant_id,
                1,
                terms.side,
                terms.ord_type,
                terms.time_in_force,
                price,
                quantity,
                0,
                0,
                self.cl_ord_id(),
                terms.cl_ord_id,
                b"",
            )
        )

    def fill(self, levels: int, resting: int) -> int:
        """Build the book; gives how many commands that took."""
        for _ in range(resting):
            self.passive(levels)
        return len(self.commands)

    def run(self, start: int, count: int, turn: Callable[[], None]) -> int:
        """Take turns until there are `count` commands behind `start`."""
        while len(self.commands) < start + count:
            turn()
        del self.commands[start + count :]
        return start


def steady(flow: Flow, count: int, resting: int = RESTING, levels: int = 50) -> int:
    """Adds 43 %, cancels 27 %, replaces 15 %, crossing 15 %, over 50 levels a side."""

    def turn() -> None:
        drawn = flow.random.random()
        if drawn < 0.15:
            flow.cross(flow.random.randrange(100, 1_000, 100))
        elif drawn < 0.30:
            flow.replace()
        elif len(flow.live) < resting:
            flow.passive(levels)
        else:
            flow.cancel()

    return flow.run(flow.fill(levels, resting), count, turn)


def cancel_heavy(flow: Flow, count: int) -> int:
    """Adds and cancels in turn, 2 % crossing, over 50 levels a side."""

    def turn() -> None:
        if flow.random.random() < 0.02:
            flow.cross(100)
        flow.passive(50)
        if len(flow.live) >= RESTING:
            flow.cancel()

    return flow.run(flow.fill(50, RESTING), count, turn)


def deep_sweep(flow: Flow, count: int) -> int:
    """Every eleventh order takes ten resting ones at ten prices."""

    def turn() -> None:
        for level in range(10):
            flow.order(Side.SELL, MID + level * TICK, 100)
        flow.order(Side.BUY, MID + 10 * TICK, 1_000)

    return flow.run(0, count, turn)


def wide_swings(flow: Flow, count: int) -> int:
    """As steady, while the middle goes up or down 40 ticks every 500 commands: orders that stood are run over."""

    def turn() -> None:
        if flow.random.random() < 0.002:
            flow.middle += flow.random.choice((-SWING, SWING)) * TICK
            flow.middle = min(max(flow.middle, MID // 2), 2 * MID)
        drawn = flow.random.random()
        if drawn < 0.15 or not flow.live:
            flow.cross(flow.random.randrange(100, 1_000, 100))
        elif drawn < 0.30:
            flow.replace()
        elif len(flow.live) < RESTING:
            flow.passive(50)
        else:
            flow.cancel()

    return flow.run(flow.fill(50, RESTING), count, turn)


def many_levels(flow: Flow, count: int) -> int:
    """Over 20,000 levels a side, 10,000 orders: most orders open a level of their own, most cancels close one."""

    def turn() -> None:
        if flow.random.random() < 0.15:
            flow.order(Side.BUY, flow.engine.book(1).best_ask or MID, 100, TimeInForce.IOC)
        elif len(flow.live) < 10_000:
            flow.passive(20_000)
        else:
            flow.cancel()

    return flow.run(flow.fill(20_000, 10_000), count, turn)


FLOWS: Final[dict[str, Callable[[Flow, int], int]]] = {
    each.__name__: each for each in (steady, cancel_heavy, deep_sweep, wide_swings, many_levels)
}


def made(name: str, count: int) -> tuple[list[Command], int]:
    """The commands of a flow, the opening of the day included, and the first of the `count` that matter."""
    flow = Flow(7)
    start = FLOWS[name](flow, count)
    return OPENING + flow.commands, start + len(OPENING)


def rows(commands: list[Command]) -> list[Row]:
    """The commands as bytes, each from its participant's session."""
    return [(*encode(command), getattr(command, "participant_id", 0)) for command in commands]
