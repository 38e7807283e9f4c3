"""A shard for tests of what it does over several transactions: one call is a command and all that comes of it.

With `restored` set, each transaction happens in an engine that was just restored from the snapshot of the one before:
whatever a test asks for is asked of an engine that was interrupted there.
"""

from matching.commands import (
    Advance,
    CancelOrder,
    Command,
    Conditions,
    Continue,
    DefineInstrument,
    EndDay,
    NewOrder,
    SetTradingState,
    StartDay,
)
from matching.engine import Engine
from matching.events import Event
from matching.state import MAX_EVENTS_PER_TRANSACTION

BUY, SELL = 1, 2
MARKET, LIMIT, STOP, PEGGED = 1, 2, 3, ord("P")
DAY, GTC, OPG, IOC, GTD, ATC, GFA = 0, 1, 2, 3, 6, 7, ord("B")
SECOND = 1_000_000_000
NOON = 43_200 * SECOND


class Sitting:
    def __init__(self, max_events: int = MAX_EVENTS_PER_TRANSACTION, restored: bool = False) -> None:
        self.engine = Engine(1, max_events)
        self.restored = restored
        self.max_events = max_events
        self.now = NOON
        self.day = 20250100
        self.transactions = 0
        self.orders = 0
        self.define(1, b"ACME")

    def __call__(self, command: Command, session_id: int = 0) -> list[Event]:
        events = self._apply(command, session_id)
        while self.engine.pending:
            events += self._apply(Continue(), 0)
        return events

    def _apply(self, command: Command, session_id: int) -> list[Event]:
        if self.restored:
            before, self.engine = self.engine, Engine(1, self.max_events)
            self.engine.restore(before.snapshot())
            assert self.engine.digest() == before.digest()
        self.transactions += 1
        events = self.engine.apply(command, self.now, session_id)
        assert len(events) <= self.max_events
        return events

    def define(self, instrument_id: int, symbol: bytes) -> list[Event]:
        return self(DefineInstrument(instrument_id, symbol, 1, 1, 100))

    def start_day(self) -> list[Event]:
        self.day += 1
        return self(StartDay(self.day, b"S%09d" % self.day, 0))

    def end_day(self) -> list[Event]:
        return self(EndDay(self.day))

    def order(
        self,
        side: int,
        quantity: int,
        price: int = 0,
        time_in_force: int = DAY,
        conditions: Conditions | None = None,
        ord_type: int = 0,
        participant_id: int = 1,
        instrument_id: int = 1,
    ) -> list[Event]:
        """A market order without a price, a limit order with one. Its ClOrdID is a, b, c …, and so is its session."""
        self.orders += 1
        name = b"o%d" % self.orders
        ord_type = ord_type or (LIMIT if price else MARKET)
        command = NewOrder(
            participant_id,
            instrument_id,
            side,
            ord_type,
            time_in_force,
            price,
            quantity,
            0,
            name,
            b"",
            conditions,
        )
        return self(command, participant_id)

    def cancel(self, number: int, side: int, participant_id: int = 1) -> list[Event]:
        return self(CancelOrder(participant_id, 1, side, 0, 0, b"c%d" % number, b"o%d" % number), participant_id)

    def state(self, code: str, reason: bytes = b"", instrument_id: int = 1) -> list[Event]:
        return self(SetTradingState(instrument_id, ord(code), reason))

    def advance(self, seconds: int = 0) -> list[Event]:
        self.now += seconds * SECOND
        return self(Advance())

    def phase(self, instrument_id: int = 1) -> int:
        return self.engine._state.instruments.by_id[instrument_id].phase


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]
