"""Plain orders go by a shorter way than others: it leads to the same."""

from random import Random

import pytest
from msgspec import structs

from matching.codes import Phase, RejectReason
from matching.commands import (
    CancelOrder,
    Command,
    DefineInstrument,
    DefineRules,
    DefineTick,
    EndDay,
    NewOrder,
    ReplaceOrder,
    SetEntryBlock,
    SetPhase,
    StartDay,
)
from matching.engine import Engine
from matching.events import CancelRejected, OrderRejected
from matching.ids import MAX_PRICE, MAX_QUANTITY

TICK, LOT = 50, 2
#: Later than some commands want to be numbered.
NOW = 10
PRICES = (1_000, 1_000, 1_050, 1_050, 1_100, 1_025, 0, -50, 50, MAX_PRICE, MAX_PRICE + TICK)
QUANTITIES = (2, 4, 4, 6, 8, 3, 0, -2, MAX_QUANTITY - 1, MAX_QUANTITY + 1)
#: Limit orders for the day mostly: (OrdType, TimeInForce).
SHAPES = [(2, 0)] * 8 + [(2, 3), (2, 4), (2, 1), (1, 0), (1, 3), (ord("K"), 0), (9, 0), (2, 5)]


def commands(seed: int, count: int) -> list[Command]:
    """Orders, cancels and replaces of two participants, of which many are refused."""
    random = Random(seed)
    entered: list[NewOrder] = []
    made: list[Command] = []
    for number in range(count):
        ord_type, time_in_force = random.choice(SHAPES)
        name = b"%d" % random.choice((number, number, number, number - 1))
        who, where, side = random.randint(1, 2), random.choice((1,) * 20 + (2,)), random.choice((1, 1, 1, 2, 2, 2, 3))
        price = 0 if ord_type != 2 and random.random() < 0.8 else random.choice(PRICES)
        expires_at = random.choice((0, 0, 0, NOW - 1, NOW, NOW + 1))
        order = NewOrder(
            who, where, side, ord_type, time_in_force, price, random.choice(QUANTITIES), expires_at, name, b""
        )
        drawn = random.random()
        if drawn < 0.6 or not entered:
            entered.append(order)
            made.append(order)
            continue
        named = random.choice(entered[-8:])
        if random.random() < 0.9:
            order = structs.replace(order, instrument_id=named.instrument_id, side=named.side)
        if random.random() < 0.7:
            order = structs.replace(order, ord_type=named.ord_type, time_in_force=named.time_in_force)
        if drawn < 0.75:
            made.append(
                CancelOrder(named.participant_id, order.instrument_id, order.side, 0, expires_at, name, named.cl_ord_id)
            )
        else:
            order = structs.replace(order, participant_id=named.participant_id)
            entered.append(order)
            *terms, _, _, _ = structs.astuple(order)[:10]
            made.append(ReplaceOrder(*terms, 0, expires_at, name, named.cl_ord_id, b""))
        if random.random() < 0.02:
            made += random.choice(
                (
                    [SetEntryBlock(1, 0, 1), *made[-3:], SetEntryBlock(1, 0, 0)],
                    [SetPhase(1, Phase.HALTED, b""), *made[-3:], SetPhase(1, Phase.CONTINUOUS, b"")],
                    [DefineRules(1, 0, 0, 0, 5, 0, 0, 0), *made[-3:], DefineRules(1, 0, 0, 0, 0, 0, 0, 0)],
                )
            )
    return made


@pytest.mark.parametrize("seed", range(12))
def test_the_short_way_and_the_careful_one_say_the_same(seed: int) -> None:
    """A table of tick sizes that says what the instrument's own tick size says sends every order the careful way."""
    engines = [Engine(1), Engine(1)]
    for engine in engines:
        engine.apply(DefineInstrument(1, b"ACME", TICK, LOT, 100), 0, 0)
        engine.apply(StartDay(20250102, b"S250102001", 0), 0, 0)
    short, careful = engines
    careful.apply(DefineTick(1, 1, TICK), 0, 0)
    assert careful.instruments()[0].ticks
    assert not short.instruments()[0].ticks
    reasons = set()
    for command in commands(seed, 2_000):
        session_id = getattr(command, "participant_id", 0) if not isinstance(command, SetEntryBlock) else 0
        events = short.apply(command, NOW, session_id)
        assert events == careful.apply(command, NOW, session_id), command
        reasons |= {event.reason for event in events if isinstance(event, OrderRejected | CancelRejected)}
    assert [order.order_ref for order in short.orders()] == [order.order_ref for order in careful.orders()]
    for order in short.orders():
        assert (order.order_id, order.cl_ord_id) == (order.terms.order_id, order.terms.cl_ord_id)
    assert len(reasons) >= 14


def test_an_instrument_of_which_the_night_says_that_it_trades_takes_no_orders() -> None:
    engine = Engine(1)
    engine.apply(DefineInstrument(1, b"ACME", TICK, LOT, 100), 0, 0)
    engine.apply(StartDay(20250102, b"S250102001", 0), 0, 0)
    engine.apply(EndDay(20250102), 0, 0)
    engine.apply(SetPhase(1, Phase.CONTINUOUS, b""), 0, 0)
    [rejected] = engine.apply(NewOrder(1, 1, 1, 2, 0, 1_000, 2, 0, b"a1", b""), NOW, 1)
    assert isinstance(rejected, OrderRejected)
    assert rejected.reason == RejectReason.MARKET_CLOSED
