"""A market for tests of what operators do: engines in a known state, and orders in one line."""

from matching.commands import Command, Conditions, Continue, DefineInstrument, NewOrder, StartDay
from matching.engine import Engine
from matching.events import Event

BUY, SELL = 1, 2
MARKET, LIMIT, STOP, PEGGED = 1, 2, 3, ord("P")
DAY, GTC, ATC = 0, 1, 7
PRICE = 1_000


def opened(max_events: int = 128) -> Engine:
    """A day with instruments 1 and 2, of which all prices are multiples of 50."""
    engine = Engine(1, max_events)
    for command in (DefineInstrument(1, b"ACME", 50, 1, 1), DefineInstrument(2, b"BETA", 50, 1, 1)):
        say(engine, command)
    say(engine, StartDay(1, b"S000000001", 0))
    return engine


def say(engine: Engine, command: Command, session_id: int = 0, now: int = 0) -> list[Event]:
    """All that a command leads to, in however many transactions."""
    events = engine.apply(command, now, session_id)
    while engine.pending:
        events += engine.apply(Continue(), now, 0)
    return events


def order(
    engine: Engine,
    name: str,
    side: int,
    quantity: int,
    price: int = PRICE,
    *,
    who: int = 1,
    session_id: int = 0,
    instrument_id: int = 1,
    ord_type: int = LIMIT,
    time_in_force: int = DAY,
    conditions: Conditions | None = None,
) -> list[Event]:
    """Enter an order; its ClOrdID is `name`, its session ten times its participant where none is given."""
    command = NewOrder(
        who, instrument_id, side, ord_type, time_in_force, price, quantity, 0, name.encode(), b"", conditions
    )
    return say(engine, command, session_id or who * 10)


def open_names(engine: Engine) -> list[str]:
    """The ClOrdIDs of all orders that are open, wherever they stand."""
    return sorted(order.terms.cl_ord_id.decode() for order in engine.orders())
