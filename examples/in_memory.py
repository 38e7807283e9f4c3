"""The exchange on one page: bytes in, bytes out. No sockets, no files, no clock, one thread.

    python examples/in_memory.py

Everything that decides anything in this exchange is a plain object that takes bytes and a time and gives bytes back.
Here they are put together the way the processes put them together, with the network left out:

    FIX ─► Router ─► link ─► LinkServer ─► Primary(Shard) ─► datagrams ─► Reader ─► Router ─► FIX
                                                                            └─────► Feed ─► MoldUDP64

This is the place to start reading. `Exchange.pump` is the whole path of an order; a process does the same with a
journal, sockets and a clock around it. `main` is a day of two brokers and a vendor.
"""

import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

# The checkout this file is in, for those who have not installed the packages.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from fixgw.codec import Encoder, Framer, decode
from fixgw.logon import Identity
from fixgw.reports import DIALECTS
from fixgw.router import Router, Seat
from fixgw.session import Session
from fixgw.throttle import TokenBucket
from fixgw.timestamps import SECOND, format_timestamp
from fixgw.translate import TradedInstrument
from marketdata import itch
from marketdata.book import BookBuilder
from marketdata.feed import Feed
from marketdata.receiver import Receiver, SequencedMessage
from matching.commands import Command, DefineInstrument, StartDay
from matching.shard import Shard
from matching.wire import encode
from recovery.link import LinkServer, Login
from recovery.primary import Primary
from recovery.reader import Reader

SHARD: Final = 1
SOURCE: Final = 1
KEY: Final = bytes(32)
ALPHA: Final = TradedInstrument(instrument_id=1, symbol=b"ALPHA", shard_id=SHARD, tick_size=100, lot_size=1)
#: 23 November 2026, 09:30 UTC, in nanoseconds; and that day's midnight.
NOW: Final = 1_795_426_200 * SECOND
MIDNIGHT: Final = NOW - 34_200 * SECOND


class Exchange:
    """One shard, one gateway, one feed channel. `sessions`: FIX version and CompID of each broker, numbered from 1."""

    def __init__(self, sessions: list[tuple[bytes, bytes]]) -> None:
        self.primary = Primary(SHARD, Shard(SHARD))
        self.primary.lead(1, NOW)
        self.link = LinkServer(SHARD, {SOURCE: KEY}, bytes(32), NOW)
        seats = [
            Seat(
                session_id,
                session_id,  # each broker is a participant of its own
                Session(Identity(version, b"FIXGW", comp_id)),
                DIALECTS[version],
                TokenBucket(1000, 1000, NOW),
                TokenBucket(1000, 1000, NOW),
            )
            for session_id, (version, comp_id) in enumerate(sessions, start=1)
        ]
        self.router = Router(SOURCE, KEY, seats, [ALPHA], [SHARD])
        self.router.begin(NOW)
        self.router.shards[SHARD].link.connected(bytes(32), NOW)
        self.reader = Reader(SHARD)
        self.feed = Feed()
        self.feed.go_live(NOW)
        #: What has left: FIX bytes by session, and MoldUDP64 datagrams.
        self.to_brokers: defaultdict[int, bytes] = defaultdict(bytes)
        self.to_vendors: list[bytes] = []
        self.operate(DefineInstrument(1, ALPHA.symbol, ALPHA.tick_size, ALPHA.lot_size, 100))
        self.operate(StartDay(20261123, b"261123A001", MIDNIGHT))

    def operate(self, command: Command) -> None:
        """What an operator's configuration makes a shard do."""
        self.primary.command(*encode(command), NOW)
        self.pump()

    def receive(self, session_id: int, data: bytes) -> None:
        """FIX bytes from a broker, whole messages."""
        seat = self.router.seats[session_id]
        for message in map(decode, Framer().receive_data(data)):
            if message.msg_type == b"A":
                self.router.handle_events(seat, seat.session.accept_logon(message, NOW), NOW)
            else:
                self.router.receive(seat, message, NOW)
        self.pump()

    def pump(self) -> None:
        """Carry bytes from core to core until nobody has any."""
        while True:
            # The gateway. A process writes batch.record to its journal here, before anything of the batch leaves.
            batch = self.router.take_batch()
            for session_id, data in batch.sends:
                self.to_brokers[session_id] += data
            for _, data in batch.commands:
                self.to_shard(data)
            self.router.shards[SHARD].link.receive_data(self.link.data_to_send(), NOW)
            # The shard. A process writes these entries to its journal here, before it tells that they are committed.
            self.primary.take_entries()
            self.primary.committed(self.primary.last_tx)
            # The stream: one multicast, read by gateways, publishers, retransmitters and backups alike.
            datagrams = self.primary.datagrams_to_send()
            for datagram in datagrams:
                before = self.reader.position
                released = self.reader.receive_datagram(datagram, NOW)
                self.router.deliver(SHARD, released, self.reader.position, NOW)
                self.feed.receive_messages(released, before, NOW)
            self.to_vendors += self.feed.datagrams_to_send()
            if not batch.commands and not datagrams:
                return

    def to_shard(self, data: bytes) -> None:
        """Bytes of the gateway's link: its login, then numbered commands, each taken once."""
        for event in self.link.receive_data(data, NOW):
            if isinstance(event, Login):
                last = self.primary.open_source(event.source_id, event.incarnation, NOW)
                assert last is not None, "a gateway of the past"
                self.link.accept(last, NOW)
            else:
                self.primary.submit(SOURCE, self.router.incarnation, *event, NOW)


def main() -> None:
    """Two brokers trade, one in FIX 4.4, one in FIX 4.2; a vendor rebuilds the book from the feed."""
    names = {1: "AMBER", 2: "BIRCH"}
    versions = {1: b"FIX.4.4", 2: b"FIX.4.2"}
    exchange = Exchange([(versions[each], names[each].encode()) for each in names])
    next_seqs = dict.fromkeys(names, 1)

    def send(session_id: int, msg_type: bytes, body: str) -> None:
        """One message of a broker, and everything that comes of it."""
        time = format_timestamp(NOW)
        fields = body.replace("|", "\x01").encode().replace(b"NOW", time)
        encoder = Encoder(versions[session_id], names[session_id].encode(), b"FIXGW")
        data = encoder.encode(msg_type, next_seqs[session_id], time, fields)
        next_seqs[session_id] += 1
        print(f"  {names[session_id]} → {shown(data)}")
        exchange.receive(session_id, data)
        for receiver, answer in sorted(exchange.to_brokers.items()):
            for raw in Framer().receive_data(answer):
                print(f"  {names[receiver]} ← {shown(raw)}")
        exchange.to_brokers.clear()

    print("Two brokers log on. Every message is complete, | stands for SOH.")
    send(1, b"A", "98=0|108=30|")
    send(2, b"A", "98=0|108=30|")
    print("\nAMBER sells 300 at 100.00; the order rests.")
    send(1, b"D", "11=a1|55=ALPHA|54=2|60=NOW|38=300|40=2|44=100.00|")
    print("\nBIRCH buys 500 at 100.01: 300 trade at AMBER's price, both are told, 200 rest.")
    send(2, b"D", "11=b1|21=1|55=ALPHA|54=1|60=NOW|38=500|40=2|44=100.01|")
    print("\nBIRCH cancels what is left, and changes its mind too late.")
    send(2, b"F", "11=b2|41=b1|55=ALPHA|54=1|60=NOW|")
    send(2, b"G", "11=b3|41=b1|21=1|55=ALPHA|54=1|60=NOW|38=600|40=2|44=100.01|")

    print("\nA vendor hears of it: ITCH 5.0 in MoldUDP64, and the book it makes of that, best bid × best ask.")
    receiver, books = Receiver(), BookBuilder()
    for datagram in exchange.to_vendors:
        for event in receiver.receive_datagram(datagram, NOW):
            if isinstance(event, SequencedMessage):
                message = itch.decode(event.message)
                books.receive_message(message)
                print(f"  {event.sequence_number:>2} {told(message):<86}{top(books)}")


def shown(raw: bytes) -> str:
    """A FIX message as people write it."""
    return raw.decode().replace("\x01", "|")


def told(message: itch.Message) -> str:
    """An ITCH message by its letter, its name and its own fields."""
    own = message.__struct_fields__[3:]  # after stock locate, tracking number and timestamp
    values = [getattr(message, field) for field in own]
    texts = [value.decode().strip() if isinstance(value, bytes) else str(value) for value in values]
    return f"{message.message_type.decode()} {type(message).__name__}  {' '.join(text for text in texts if text)}"


def top(books: BookBuilder) -> str:
    """Quantity and price of the best bid and the best ask."""
    book = books.books.get(ALPHA.instrument_id)
    sides = [None, None] if book is None else [book.best_bid, book.best_ask]
    return " × ".join(f"{side.shares} at {side.price / 10_000:.2f}" if side else "–" for side in sides)


if __name__ == "__main__":
    main()
