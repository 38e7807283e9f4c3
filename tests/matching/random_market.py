"""Random days of a market in which everything happens: long ones, from a seed, in milliseconds.

Where hypothesis looks for the short story that goes wrong, this tells long ones: books are filled, auctions have
something to uncross, stops wait until a price comes, orders live over several days. Most commands make sense; some are
anything.
"""

from random import Random
from typing import Any

from msgspec import structs

from matching.codes import OrdType, Peg, Phase, TimeInForce
from matching.commands import (
    Advance,
    BreachCircuitBreaker,
    BustTrade,
    CancelOrder,
    CancelSession,
    Command,
    Conditions,
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
from matching.wire import decode_command, encode

SECOND = 1_000_000_000
FIRST_ID = 1 << 48
INSTRUMENTS = (1, 2)
PARTICIPANTS = (1, 2, 3, 4)

#: A command, when, from which session.
Call = tuple[Command, int, int]

_DAY, _GTC = TimeInForce.DAY, TimeInForce.GOOD_TILL_CANCEL
_PLAIN = [(OrdType.LIMIT, _DAY)] * 6 + [(OrdType.LIMIT, TimeInForce.IOC), (OrdType.LIMIT, TimeInForce.FOK)]
_SHAPES = [
    *_PLAIN,
    (OrdType.LIMIT, _GTC),
    (OrdType.LIMIT, TimeInForce.GOOD_TILL_DATE),
    (OrdType.LIMIT, TimeInForce.AT_THE_OPENING),
    (OrdType.LIMIT, TimeInForce.AT_THE_CLOSE),
    (OrdType.LIMIT, TimeInForce.GOOD_FOR_AUCTION),
    (OrdType.MARKET, _DAY),
    (OrdType.MARKET, TimeInForce.IOC),
    (OrdType.MARKET, TimeInForce.AT_THE_CLOSE),
    (OrdType.MARKET, TimeInForce.GOOD_FOR_AUCTION),
    (OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT, _DAY),
    (OrdType.MARKET_WITH_LEFTOVER_AS_LIMIT, _GTC),
    (OrdType.STOP, _DAY),
    (OrdType.STOP, _GTC),
    (OrdType.STOP_LIMIT, _DAY),
    (OrdType.STOP_LIMIT, TimeInForce.IOC),
    (OrdType.PEGGED, _DAY),
    (OrdType.PEGGED, _GTC),
]
_STOPS = (OrdType.STOP, OrdType.STOP_LIMIT)
_CALLS = (Phase.PRE_OPEN, Phase.OPENING_AUCTION, Phase.CLOSING_AUCTION, Phase.QUOTE_ONLY, Phase.VOLATILITY_AUCTION)


class RandomMarket:
    """Commands of a venue with few participants and instruments, from the first listing on."""

    def __init__(self, seed: int, *, levels: int = 4) -> None:
        self.random = Random(seed)
        self.now = 0
        self.orders = 0
        #: All orders, each again under every name and with the terms that a replace asked for.
        self.entered: list[NewOrder] = []
        #: Prices on each side of the middle: many make orders rest, few make them trade.
        self.levels = levels

    def days(self, count: int, orders: int) -> list[Call]:
        """So many days with about so many commands each, as they come from the wire."""
        calls = self._opening()
        for day in range(1, count + 1):
            calls += self._day(day, orders)
        return [(decode_command(*encode(command)), now, session_id) for command, now, session_id in calls]

    def _opening(self) -> list[Call]:
        calls: list[Command] = [DefineInstrument(each, b"I%d" % each, 50, each, 100) for each in INSTRUMENTS]
        calls += [DefineSession(who * 10 + n, who, 1 + who % 2, n) for who in PARTICIPANTS for n in (0, 1)]
        return [(each, 0, 0) for each in calls]

    def _day(self, day: int, orders: int) -> list[Call]:
        random = self.random
        calls: list[Call] = []
        self.now += SECOND
        scheduled = random.random() < 0.7
        if scheduled:
            timetable = (Phase.PRE_OPEN, Phase.OPENING_AUCTION, Phase.CONTINUOUS, Phase.CLOSING_AUCTION, Phase.CLOSED)
            at = self.now
            for phase, share in zip(timetable, (1, 4, 10, 60, 20), strict=True):
                calls.append((SchedulePhase(random.choice((0, 0, 0, 1)), phase, at), self.now, 0))
                at += share * orders * SECOND // 400
        calls.append((StartDay(day, b"S%09d" % day, 0), self.now, 0))
        for _ in range(orders):
            self.now += random.choice((0, SECOND // 10, SECOND // 4, SECOND))
            calls.append(self._call())
            if random.random() < 0.2:
                calls.append((Advance(), self.now, 0))
        if not scheduled:
            calls += [(SetPhase(0, phase, b""), self.now, 0) for phase in (Phase.CLOSING_AUCTION, Phase.POST_CLOSE)]
        calls.append((EndDay(day), self.now, 0))
        return calls + [self._call() for _ in range(4)]  # at night

    def _call(self) -> Call:
        drawn = self.random.random()
        if drawn < 0.66:
            return self._from(self._order())
        if drawn < 0.76:
            return self._from(self._cancel())
        if drawn < 0.90:
            return self._from(self._replace())
        if drawn < 0.91:
            return self._from(self._mass_cancel())
        return self._operation(), self.now, 0

    def _from(self, command: NewOrder | CancelOrder | ReplaceOrder | MassCancel) -> Call:
        return command, self.now, command.participant_id * 10 + (self.random.random() < 0.15)

    def _price(self) -> int:
        return 1_000 + 50 * self.random.randint(-self.levels, self.levels)

    def _shape(self) -> tuple[int, int, int, Conditions | None]:
        """Type, time in force, price, conditions: sound in themselves."""
        random = self.random
        ord_type, time_in_force = random.choice(_SHAPES)
        price = self._price() if ord_type in (OrdType.LIMIT, OrdType.STOP_LIMIT) else 0
        wanted: dict[str, int] = {}
        if ord_type in _STOPS:
            wanted["stop_price"] = self._price()
        if ord_type == OrdType.PEGGED:
            wanted["peg"] = random.choice((Peg.PRIMARY, Peg.MARKET, Peg.MIDPOINT, Peg.MIDPOINT))
            if wanted["peg"] != Peg.MIDPOINT:
                wanted["peg_offset"] = random.choice((0, 0, 50, -50))
            price = random.choice((0, 0, self._price()))
        if time_in_force == TimeInForce.GOOD_TILL_DATE:
            wanted["expire_at"] = self.now + random.randint(1, 300) * SECOND
        if ord_type == OrdType.LIMIT and time_in_force in (_DAY, _GTC):
            special = random.random()
            if special < 0.15:
                wanted["display_qty"] = random.randint(1, 5)
            elif special < 0.22:
                wanted["min_qty"] = random.randint(1, 10)
            elif special < 0.30:
                wanted["exec_inst"] = 6
        if random.random() < 0.02:
            wanted[random.choice(("stop_price", "display_qty", "min_qty", "peg", "expire_at"))] = random.randint(0, 100)
        return int(ord_type), int(time_in_force), price, Conditions(**wanted) if wanted else None

    def _order(self) -> NewOrder:
        random = self.random
        self.orders += 1
        ord_type, time_in_force, price, conditions = self._shape()
        order = NewOrder(
            random.choice(PARTICIPANTS),
            random.choice((1, 1, 1, 2)),
            random.randint(1, 2),
            ord_type,
            time_in_force,
            price,
            random.randint(1, 20),
            0,
            b"x%d" % self.orders,
            b"ACC",
            conditions,
        )
        if random.random() < 0.05:
            return structs.replace(order, **self._wrong())
        self.entered.append(order)
        return order

    def _wrong(self) -> dict[str, Any]:
        """A field that some rule speaks against."""
        return self.random.choice(
            (
                {"side": 3},
                {"ord_type": 9},
                {"time_in_force": 5},
                {"price": 1_025},
                {"price": -50},
                {"quantity": 0},
                {"instrument_id": 9},
                {"expires_at": 1},
                {"cl_ord_id": b"x1"},
                {"conditions": Conditions(exec_inst=7)},
            )
        )

    def _named(self) -> NewOrder:
        """An order that was entered lately and may be open; now and then one that never was."""
        if self.random.random() < 0.1 or not self.entered:
            return self._order()
        return self.random.choice(self.entered[-60:])

    def _cancel(self) -> CancelOrder:
        order = self._named()
        self.orders += 1
        order_id = self.random.choice((0, 0, FIRST_ID + self.random.randint(1, self.orders)))
        name = b"x%d" % self.orders
        return CancelOrder(order.participant_id, order.instrument_id, order.side, order_id, 0, name, order.cl_ord_id)

    def _replace(self) -> ReplaceOrder:
        random = self.random
        order = self._named()
        self.orders += 1
        price, conditions = order.price, order.conditions
        if price and random.random() < 0.5:
            price = self._price()
        if random.random() < 0.1:
            _, _, price, conditions = self._shape()
        quantity = random.choice((order.quantity, order.quantity - 1, 1, 2, random.randint(1, 25)))
        name = b"x%d" % self.orders
        self.entered.append(
            structs.replace(order, cl_ord_id=name, price=price, quantity=quantity, conditions=conditions)
        )
        return ReplaceOrder(
            order.participant_id,
            order.instrument_id,
            order.side,
            order.ord_type,
            order.time_in_force,
            price,
            max(quantity, 0),
            0,
            0,
            name,
            order.cl_ord_id,
            b"",
            conditions,
        )

    def _mass_cancel(self) -> MassCancel:
        random = self.random
        self.orders += 1
        who = random.choice(PARTICIPANTS)
        target = random.choice((0, 0, who * 10, who * 10 + 1, 10))
        return MassCancel(who, target, random.choice((0, 1, 2, 3)), random.randint(0, 3), b"x%d" % self.orders)

    def _operation(self) -> Command:
        random = self.random
        instrument_id = random.choice(INSTRUMENTS)
        who = random.choice(PARTICIPANTS)
        bands = random.choice((0, 300, 1_000)), random.choice((0, 300, 1_000))
        limits = random.choice((0, 2_000)), random.choice((0, 18)), random.choice((0, 20_000))
        lasting = random.choice((0, SECOND, 5 * SECOND)), random.choice((0, 3 * SECOND))
        some_time = self.now + random.randint(0, 20) * SECOND
        return random.choices(
            (
                SetPhase(random.choice((0, 1, 2)), Phase.CONTINUOUS, b""),
                SetPhase(random.choice((0, 1, 2)), random.choice(_CALLS), b"T1"),
                SetPhase(instrument_id, random.choice(list(Phase)), b""),
                SetTradingState(instrument_id, random.choice(b"TTHQP"), b"T12"),
                SchedulePhase(random.choice((0, 1, 2)), random.choice(list(Phase)), some_time),
                DefineRules(instrument_id, *bands, *limits, *lasting),
                DefineTick(instrument_id, random.choice((0, 900, 1_000, 1_100)), random.choice((0, 10, 50, 100))),
                SetReferencePrice(instrument_id, self._price()),
                BustTrade(FIRST_ID + random.randint(1, max(self.orders // 3, 1))),
                DefineParticipant(who, random.choice((0, 0, 7)), random.randint(0, 4)),
                SetEntryBlock(who, random.choice((0, who * 10)), random.choice((0, 0, 0, 1))),
                SourceLost(random.randint(1, 2)),
                CancelSession(who * 10 + 1),
                SetCircuitBreaker(30, 20, 10),
                BreachCircuitBreaker(random.randint(1, 3)),
                DefineInstrument(instrument_id, b"I%d" % instrument_id, 50, instrument_id, random.choice((1, 100))),
                DefineInstrument(3, b"LATE", 50, 1, 100),
                MassCancel(0, 0, instrument_id, 0, b""),
                Advance(),
            ),
            (8, 5, 2, 3, 2, 3, 2, 2, 4, 3, 3, 1, 1, 1, 0.3, 1, 0.3, 0.5, 4),
        )[0]
