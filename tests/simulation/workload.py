"""What a simulated shard computes and what is asked of it: the tape (see `tape.py`), or the real exchange.

The exchange is the real matching engine with real orders, cancels and replaces; its operator's part lists the
instruments and opens the day at each new primary, as the real host does. In the end its books must balance
(`tests.simulation.accounts`).
"""

from collections.abc import Hashable, Sequence
from datetime import time
from random import Random
from typing import Protocol
from zoneinfo import ZoneInfo

from matching.codes import OrdType, Side, TimeInForce
from matching.commands import CancelOrder, Command, DefineInstrument, NewOrder, ReplaceOrder
from matching.operations import Market, TradingDay, due_commands
from matching.queries import StateDigest
from matching.queries import encode as encode_query
from matching.shard import Shard
from matching.wire import encode
from recovery.execution import StateMachine
from recovery.record import Message
from tests.simulation.tape import REGISTERS, WRITE, WRITTEN, Tape

SHARD = 1


class Workload(Protocol):
    """One run's. Whatever chance decides comes from the run's own generator."""

    questions: Sequence[bytes]
    """What readers ask."""
    registers: bool
    """Whether its answers are those of registers."""

    def make_state_machine(self) -> StateMachine: ...

    def due(self, state_machine: StateMachine) -> list[tuple[int, bytes]]:
        """What a new primary's operator sequences first."""

    def command(self, rng: Random, source_id: int, session_seq: int) -> tuple[int, bytes]:
        """(kind, body) of a gateway's next command."""


class TapeWork:
    questions = tuple(bytes([register]) for register in range(REGISTERS))
    registers = True

    def make_state_machine(self) -> StateMachine:
        return Tape()

    def due(self, state_machine: StateMachine) -> list[tuple[int, bytes]]:
        return []

    def command(self, rng: Random, source_id: int, session_seq: int) -> tuple[int, bytes]:
        """A value written once, into a register that follows from it: sent again it is the same call."""
        size = rng.choice((0, 2, 10, 100))
        steps = rng.choice((0,) * 30 + (1, 3))
        events = rng.choice((1, 2, 4)) if rng.random() < 0.96 else 0  # a few are answered nothing: see `linear.py`
        head = bytes((events, size, steps, register_of(session_seq)))
        return WRITE, head + value_of(source_id, session_seq)


def register_of(session_seq: int) -> int:
    return session_seq % REGISTERS


def value_of(source_id: int, session_seq: int) -> bytes:
    return b"%d of %d" % (session_seq, source_id)


def value_before(events: Sequence[Message]) -> Hashable:
    """What a WRITE was answered: the value it replaced; None where it was answered nothing."""
    return bytes(events[0].body).split(b"|", 3)[2] if events and events[0].kind == WRITTEN else None


class ExchangeWork:
    """Two participants that trade three instruments around one price, change their minds, and make mistakes."""

    questions = (encode_query(StateDigest()),)
    registers = False

    INSTRUMENTS = tuple(DefineInstrument(number, b"SIM%d" % number, 100, 1, 100) for number in (1, 2, 3))
    MARKET = Market(INSTRUMENTS, ZoneInfo("UTC"), time())
    TODAY = TradingDay(20261122, 0)
    PRICE = 500_000
    TICK = 100

    def make_state_machine(self) -> StateMachine:
        return Shard(SHARD)

    def due(self, state_machine: StateMachine) -> list[tuple[int, bytes]]:
        assert isinstance(state_machine, Shard)
        return [encode(command) for command in due_commands(state_machine.engine, SHARD, self.MARKET, self.TODAY)]

    def command(self, rng: Random, source_id: int, session_seq: int) -> tuple[int, bytes]:
        return encode(self._order(rng, source_id, session_seq))

    def _order(self, rng: Random, source_id: int, session_seq: int) -> Command:
        kind = rng.random()
        meant = max(session_seq - rng.randint(1, 12), 1) if kind < 0.3 else session_seq
        instrument_id, side = _place_of(meant)
        price = self.PRICE + self.TICK * rng.randint(-6, 6)
        quantity = rng.randint(1, 20) * 10
        cl_ord_id, earlier = b"%d" % session_seq, b"%d" % meant
        if kind < 0.15:
            return CancelOrder(source_id, instrument_id, side, 0, 0, cl_ord_id, earlier)
        if kind < 0.3:
            terms = (side, OrdType.LIMIT, TimeInForce.DAY, price, quantity, 0, 0, cl_ord_id, earlier, b"sim")
            return ReplaceOrder(source_id, instrument_id, *terms)
        ord_type, price = (OrdType.MARKET, 0) if kind > 0.95 else (OrdType.LIMIT, price)
        time_in_force = rng.choice((TimeInForce.DAY,) * 6 + (TimeInForce.IOC, TimeInForce.FOK))
        return NewOrder(source_id, instrument_id, side, ord_type, time_in_force, price, quantity, 0, cl_ord_id, b"sim")


def _place_of(session_seq: int) -> tuple[int, Side]:
    """The instrument and side of the order that a session's message enters, so that later ones can name it."""
    return session_seq % 3 + 1, Side.BUY if session_seq * 7 // 5 % 2 else Side.SELL
