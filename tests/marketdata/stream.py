"""A shard's stream for tests of the feed: commands go in, the released messages of whole transactions come out."""

from collections.abc import Iterator

from matching import codes, commands, events, wire
from matching.engine import Engine
from recovery.record import Message, Position, Sequencer, pack_command_header, parse_all

SECOND = 1_000_000_000
MIDNIGHT = 1_763_679_600 * SECOND
SHARD_ID = 1
AAPL, MSFT = 1, 2


class ShardStream:
    """An engine whose every transaction is numbered, encoded and read back as a reader gives it."""

    def __init__(self, max_events: int = 64) -> None:
        self.engine = Engine(SHARD_ID, max_events)
        self.sequencer = Sequencer(SHARD_ID)
        self.now = MIDNIGHT
        self.requests = 0
        self.transactions: list[tuple[Position, list[Message]]] = []

    def command(self, command: commands.Command, session_id: int = 0) -> list[events.Event]:
        """Apply a command, and what it leaves pending; gives its events."""
        before = self.sequencer.position
        self.now += 1000
        events = self.engine.apply(command, self.now, session_id)
        kind, body = wire.encode(command)
        header = pack_command_header(self.sequencer.next_tx, self.now, 0, 0, 0, session_id, 0)
        data = self.sequencer.messages(kind, header + body, [wire.encode(event) for event in events])
        released = [message for message, _, _ in parse_all(SHARD_ID, before.next_seq, len(data), b"".join(data))]
        self.transactions.append((before, released))
        if self.engine.pending:
            events += self.command(commands.Continue())
        return events

    def start_day(self, day: int = 20251121, feed_session: bytes = b"251121A001") -> None:
        if not self.engine.instruments():
            for instrument_id, symbol in ((AAPL, b"AAPL"), (MSFT, b"MSFT")):
                self.command(commands.DefineInstrument(instrument_id, symbol, 100, 1, 100))
        self.command(commands.StartDay(day, feed_session, MIDNIGHT))

    def enter(
        self,
        side: codes.Side,
        quantity: int,
        price: int,
        *,
        instrument_id: int = AAPL,
        time_in_force: codes.TimeInForce = codes.TimeInForce.DAY,
    ) -> bytes:
        """A limit order of participant 7; gives its ClOrdID."""
        cl_ord_id = self._cl_ord_id()
        limit = codes.OrdType.LIMIT
        order = commands.NewOrder(7, instrument_id, side, limit, time_in_force, price, quantity, 0, cl_ord_id, b"")
        self.command(order, session_id=70)
        return cl_ord_id

    def cancel(self, order: events.OrderTerms) -> None:
        request = commands.CancelOrder(
            7, order.instrument_id, order.side, order.order_id, 0, self._cl_ord_id(), order.cl_ord_id
        )
        self.command(request, session_id=70)

    def replace(self, order: events.OrderTerms, quantity: int, price: int) -> list[events.Event]:
        request = commands.ReplaceOrder(
            7,
            order.instrument_id,
            order.side,
            order.ord_type,
            order.time_in_force,
            price,
            quantity,
            order.order_id,
            0,
            self._cl_ord_id(),
            order.cl_ord_id,
            b"",
        )
        return self.command(request, session_id=70)

    def _cl_ord_id(self) -> bytes:
        self.requests += 1
        return b"C%d" % self.requests

    def released(self, first: int = 0) -> Iterator[tuple[list[Message], Position]]:
        """What a reader gives for each transaction from the `first` on, and the position before it."""
        for before, transaction in self.transactions[first:]:
            yield transaction, before
