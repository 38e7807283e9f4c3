"""The exchange on one page: bytes in, bytes out. No sockets, no files, no clock, one thread.

    python examples/in_memory.py

Everything that decides anything in this exchange is a plain object that takes bytes and a time and gives bytes back.
Here they are put together the way the processes put them together, with the network left out:

    FIX bytes ─► Router ─► link bytes ─► LinkServer ─► Primary(Shard) ─► datagrams ─► Reader ─► Router ─► FIX bytes
                                                                          └─► Reader ─► Feed ─► MoldUDP64 datagrams

This is the place to start reading: `Exchange.pump` is the whole path of an order.
"""

from collections.abc import Sequence
from typing import Final

from marketdata.feed import Feed

from fixgw.codec import Encoder, Framer, decode
from fixgw.logon import Identity
from fixgw.reports import DIALECTS
from fixgw.router import Router, Seat
from fixgw.session import Session
from fixgw.throttle import TokenBucket
from fixgw.timestamps import format_timestamp
from fixgw.translate import TradedInstrument
from marketdata import itch
from marketdata.moldudp64 import DownstreamPacket
from matching.messages import DefineInstrument, StartDay
from matching.shard import Shard
from matching.wire import encode
from recovery.link import LinkServer, Login
from recovery.primary import Primary
from recovery.reader import Reader

SHARD: Final = 1
SOURCE: Final = 1
KEY: Final = bytes(32)
ALPHA: Final = TradedInstrument(1, b"ALPHA", SHARD, 100, 1)

#: 2026-11-23 09:30:00 UTC, and that day's midnight; nanoseconds.
NOW: Final = 1_795_426_200_000_000_000
MIDNIGHT: Final = NOW - (9 * 60 + 30) * 60_000_000_000


class Exchange:
    """One shard, one gateway, one feed channel, and the sessions named at its making."""

    def __init__(self, sessions: Sequence[tuple[int, bytes, bytes]]) -> None:
        """`sessions`: (session id, FIX version, the broker's CompID); each is a participant of its own."""
        self.now = NOW
        self.shard = Shard(SHARD)
        self.primary = Primary(SHARD, self.shard)
        self.primary.start(self.now)
        seats = [
            Seat(
                session_id,
                session_id,
                Session(Identity(version, b"FIXGW", comp_id)),
                DIALECTS[version],
                TokenBucket(1000, 1000, self.now),
                TokenBucket(1000, 1000, self.now),
            )
            for session_id, version, comp_id in sessions
        ]
        self.router = Router(SOURCE, KEY, seats, [ALPHA], [SHARD])
        self.router.begin()
        self.link = LinkServer(SHARD, {SOURCE: KEY}, bytes(32), self.now)
        self.router.shards[SHARD].link.connected(bytes(32), self.now)
        self.reader = Reader(SHARD)
        self.feed = Feed(SHARD)
        self.feed_datagrams: list[bytes] = []
        self.operate(DefineInstrument(ALPHA.instrument_id, ALPHA.symbol, ALPHA.tick_size, ALPHA.lot_size, 100))
        self.operate(StartDay(20261123, b"2611230001", MIDNIGHT))

    def operate(self, command: DefineInstrument | StartDay) -> None:
        """What an operator's configuration makes the shard do."""
        self.primary.command(*encode(command), self.now)
        self.pump()

    def fix(self, session_id: int, data: bytes) -> bytes:
        """FIX bytes from a broker; gives the FIX bytes that all of it sends back to that broker."""
        seat = self.router.seats[session_id]
        for raw in Framer().receive_data(data):
            message = decode(raw)
            if message.msg_type == b"A":
                self.router.handle_events(seat, seat.session.accept_logon(message, self.now), self.now)
            else:
                self.router.receive(seat, message, self.now)
        return self.pump().get(session_id, b"")

    def pump(self) -> dict[int, bytes]:
        """Carry bytes from core to core until nobody has any; gives what came out for each broker."""
        to_brokers: dict[int, bytes] = {}
        busy = True
        while busy:
            busy = False
            # The gateway: a process would write batch.record to its journal here, before anything leaves.
            batch = self.router.take_batch()
            for session_id, data in batch.sends:
                to_brokers[session_id] = to_brokers.get(session_id, b"") + data
            for _, data in batch.commands:
                busy = True
                self._to_shard(data)
            to_gateway = self.link.data_to_send()
            if to_gateway:
                busy = True
                self.router.shards[SHARD].link.receive_data(to_gateway, self.now)
            # The shard: a process would write these records to its journal here, before anything is committed.
            self.primary.records_to_write()
            self.primary.committed(self.primary.last_tx)
            for datagram in self.primary.datagrams_to_send():
                busy = True
                released = self.reader.receive_datagram(datagram, self.now)
                self.router.deliver(SHARD, released, self.reader.position, self.now)
                self.feed.receive(released, self.now)
            self.feed_datagrams += self.feed.datagrams_to_send()
        return to_brokers

    def _to_shard(self, data: bytes) -> None:
        for event in self.link.receive_data(data, self.now):
            if isinstance(event, Login):
                last = self.primary.open_source(event.source_id, event.incarnation, self.now)
                assert last is not None
                self.link.accept(last, self.now)
            else:
                self.primary.submit(SOURCE, self.router.incarnation, *event, self.now)


class Broker:
    """The other end of a session, just enough of it to write messages."""

    def __init__(self, exchange: Exchange, session_id: int, version: bytes, comp_id: bytes) -> None:
        self._exchange = exchange
        self._session_id = session_id
        self._encoder = Encoder(version, comp_id, b"FIXGW")
        self._next_seq = 1

    def send(self, msg_type: bytes, body: str) -> bytes:
        """Send one message, its body written like "11=o1|55=ALPHA|"; gives the bytes that come back."""
        time = format_timestamp(self._exchange.now)
        fields = body.replace("|", "\x01").replace("NOW", time.decode()).encode()
        data = self._encoder.encode(msg_type, self._next_seq, time, fields)
        self._next_seq += 1
        print(f"\n→ {shown(data)}")
        answer = self._exchange.fix(self._session_id, data)
        for raw in Framer().receive_data(answer):
            print(f"← {shown(raw)}")
        return answer


def shown(raw: bytes) -> str:
    """A FIX message as people write it."""
    return raw.decode().replace("\x01", "|")


def main() -> None:
    """Two brokers trade, and the vendor hears of it."""
    sessions = [(1, b"FIX.4.4", b"AMBER"), (2, b"FIX.4.2", b"BIRCH")]
    exchange = Exchange(sessions)
    amber, birch = (Broker(exchange, *each) for each in sessions)
    amber.send(b"A", "98=0|108=30|")
    birch.send(b"A", "98=0|108=30|")
    amber.send(b"D", "11=a1|55=ALPHA|54=2|60=NOW|38=300|40=2|44=100.00|")
    birch.send(b"D", "11=b1|21=1|55=ALPHA|54=1|60=NOW|38=500|40=2|44=100.01|")
    print("\nand on the feed:")
    for datagram in exchange.feed_datagrams:
        for block in DownstreamPacket.decode(datagram).message_blocks:
            print(f"  {itch.decode(block)}")


if __name__ == "__main__":
    main()
