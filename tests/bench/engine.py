"""The matching engine alone: commands applied per second, their event objects made, in one process without I/O.

    ./run bench engine

Each flow is made beforehand by playing random orders against an engine of its own, so that cancels and replaces name
orders that live; then the same commands are applied to a fresh engine, several times, and the median counts. Time is
the process's own, so a busy machine disturbs little. The book is filled before the clock starts.

Collection of reference cycles runs as in a shard: what stands at the start is frozen and not looked at again.
"""

import gc
import statistics
import time
from collections.abc import Callable
from random import Random
from typing import Final

from matching.codes import OrdType, Side, TimeInForce
from matching.commands import (
    CancelOrder,
    Command,
    DefineInstrument,
    NewOrder,
    ReplaceOrder,
    StartDay,
)
from matching.engine import Engine
from matching.events import OrderBooked, OrderCanceled, OrderExecuted, OrderReplaced
from matching.shard import Shard
from matching.wire import encode
from tests.bench.figures import Figure, machine

COMMANDS: Final = 100_000
RUNS: Final = 5
RESTING: Final = 2_000
PARTICIPANTS: Final = 20
MID: Final = 10_000_000
TICK: Final = 100

OPENING: Final[list[Command]] = [
    DefineInstrument(1, b"ACME", TICK, 1, 100),
    StartDay(20250102, b"S250102001", 0),
]


class Flow:
    """Commands of random participants, made one by one against an engine that says which orders live."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.commands: list[Command] = []
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
            self.order(Side.BUY, MID - away * TICK, self.random.randrange(100, 1_000, 100))
        else:
            self.order(Side.SELL, MID + away * TICK, self.random.randrange(100, 1_000, 100))

    def cross(self, quantity: int) -> None:
        """An order that trades with the best of the other side, as far as it goes."""
        buys = self.random.random() < 0.5
        self.order(Side.BUY if buys else Side.SELL, MID + (100 if buys else -100) * TICK, quantity, TimeInForce.IOC)

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
            price = MID - away if terms.side == Side.BUY else MID + away
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

    def fill(self, levels: int, resting: int = RESTING) -> int:
        """Build the book; gives how many commands that took."""
        for _ in range(resting):
            self.passive(levels)
        return len(self.commands)


def mixed(flow: Flow) -> int:
    """Adds 43 %, cancels 27 %, replaces 15 %, crossing 15 %, over 50 levels a side."""
    start = flow.fill(50)
    while len(flow.commands) < start + COMMANDS:
        drawn = flow.random.random()
        if drawn < 0.15:
            flow.cross(flow.random.randrange(100, 1_000, 100))
        elif drawn < 0.30:
            flow.replace()
        elif len(flow.live) < RESTING:
            flow.passive(50)
        else:
            flow.cancel()
    return start


def cancels(flow: Flow) -> int:
    """Adds and cancels in turn, over 50 levels a side."""
    start = flow.fill(50)
    while len(flow.commands) < start + COMMANDS:
        flow.passive(50)
        flow.cancel()
    return start


def trades(flow: Flow) -> int:
    """Buys and sells of one size alternate at one price: every second order trades."""
    start = len(flow.commands)
    while len(flow.commands) < start + COMMANDS:
        flow.order(Side.BUY, MID, 100)
        flow.order(Side.SELL, MID, 100)
    return start


def sweeps(flow: Flow) -> int:
    """Every eleventh order takes ten resting ones at ten prices."""
    start = len(flow.commands)
    while len(flow.commands) < start + COMMANDS:
        for level in range(10):
            flow.order(Side.SELL, MID + level * TICK, 100)
        flow.order(Side.BUY, MID + 10 * TICK, 1_000)
    return start


def levels(flow: Flow) -> int:
    """As mixed, over 20,000 levels a side: most orders open a level of their own, most cancels close one."""
    start = flow.fill(20_000)
    while len(flow.commands) < start + COMMANDS:
        if flow.random.random() < 0.15:
            flow.order(Side.BUY, flow.engine.book(1).best_ask or MID, 100, TimeInForce.IOC)
        elif len(flow.live) < RESTING:
            flow.passive(20_000)
        else:
            flow.cancel()
    return start


FLOWS: Final[dict[str, Callable[[Flow], int]]] = {
    "mixed": mixed,
    "cancels": cancels,
    "trades": trades,
    "sweeps": sweeps,
    "levels": levels,
}


def made(name: str) -> tuple[list[Command], int]:
    """The commands of a flow, the opening of the day included, and the first that is timed."""
    flow = Flow(7)
    start = FLOWS[name](flow)
    return OPENING + flow.commands, start + len(OPENING)


def engine_rate(commands: list[Command], start: int) -> float:
    """Commands per second of an engine, from `start` on."""
    engine = Engine(1)
    apply = engine.apply
    sessions = [getattr(command, "participant_id", 0) for command in commands]
    for command, session_id in zip(commands[:start], sessions, strict=False):
        apply(command, 0, session_id)
    timed = list(zip(commands[start:], sessions[start:], strict=True))
    gc.collect()
    gc.freeze()
    before = time.process_time()
    for command, session_id in timed:
        apply(command, 0, session_id)
    spent = time.process_time() - before
    gc.unfreeze()
    return len(timed) / spent


def shard_rate(commands: list[Command], start: int) -> float:
    """Commands per second of a shard, bytes in and bytes out, from `start` on."""
    shard = Shard(1)
    apply = shard.apply
    rows = [(*encode(command), getattr(command, "participant_id", 0)) for command in commands]
    for kind, body, session_id in rows[:start]:
        apply(kind, body, 0, 1, 1, session_id)
    timed = rows[start:]
    gc.collect()
    gc.freeze()
    before = time.process_time()
    for kind, body, session_id in timed:
        apply(kind, body, 0, 1, 1, session_id)
    spent = time.process_time() - before
    gc.unfreeze()
    return len(timed) / spent


def figures() -> list[Figure]:
    """The rate of each flow through the engine, and of the mixed one through a shard."""
    shared = f"{COMMANDS:,} commands, median of {RUNS} runs, CPU time, {machine()}"
    found: list[Figure] = []
    for name, make in FLOWS.items():
        commands, start = made(name)
        what = " ".join((make.__doc__ or "").split())
        rate = statistics.median(engine_rate(commands, start) for _ in range(RUNS))
        found.append(Figure(f"engine.{name}.ops_per_s", rate, "/s", f"{what} {shared}"))
        if name == "mixed":
            rate = statistics.median(shard_rate(commands, start) for _ in range(RUNS))
            conditions = f"Decode, apply, encode; the mixed flow. {shared}"
            found.append(Figure("shard.apply.commands_per_s", rate, "/s", conditions))
    return found


if __name__ == "__main__":
    for figure in figures():
        print(f"{figure.name:28} {figure.value:>12,.0f} {figure.unit}  {figure.conditions}")
