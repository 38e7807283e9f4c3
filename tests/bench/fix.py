"""The FIX side of an order in one process, without I/O: codec, session, and the whole router.

    ./run bench fix

The flow is that of the end-to-end figures: buys and sells of 100 alternate at one price, so every second order trades
and an order makes two reports on average. Orders come in pieces of 64, as a socket would give them. What the market
does is worked out beforehand or outside the clock; time is the process's own, so a busy machine disturbs little.
"""

import gc
import statistics
import time
from collections.abc import Callable
from typing import Final

from fixgw.codec import Encoder, Framer, decode
from fixgw.logon import Identity
from fixgw.reports import DIALECTS, Reporter
from fixgw.router import Router, Seat
from fixgw.session import Session
from fixgw.throttle import TokenBucket
from fixgw.timestamps import SECOND, format_timestamp
from fixgw.translate import TradedInstrument
from fixgw.up import GC_ALLOCATIONS
from matching.commands import DefineInstrument, StartDay
from matching.events import OrderAccepted, OrderTerms
from matching.shard import Shard
from matching.wire import encode
from recovery.link import LinkServer, Login
from recovery.primary import Primary
from recovery.reader import Reader
from recovery.record import Message
from tests.bench.figures import Figure, machine

ORDERS: Final = 20_000
PIECE: Final = 64
RUNS: Final = 5
NOW: Final = 1_795_426_200 * SECOND
VERSION: Final = b"FIX.4.4"
KEY: Final = bytes(32)
ALPHA: Final = TradedInstrument(1, b"ALPHA", 1, 100, 1)


def orders() -> list[bytes]:
    """The bytes of NewOrderSingles, in pieces."""
    encoder = Encoder(VERSION, b"BROKER", b"FIXGW")
    stamp = format_timestamp(NOW)
    terms = b"11=%d\x0121=1\x0155=ALPHA\x0154=%d\x0160=" + stamp + b"\x0138=100\x0140=2\x0144=100.25\x0159=0\x01"
    raw = [encoder.encode(b"D", 2 + at, stamp, terms % (1_000_000 + at, 1 + at % 2)) for at in range(ORDERS)]
    return [b"".join(raw[start : start + PIECE]) for start in range(0, ORDERS, PIECE)]


def session() -> Session:
    """A session that is logged on."""
    made = Session(Identity(VERSION, b"FIXGW", b"BROKER"))
    logon = Encoder(VERSION, b"BROKER", b"FIXGW").encode(b"A", 1, format_timestamp(NOW), b"98=0\x01108=30\x01")
    made.accept_logon(decode(logon), NOW)
    made.data_to_send()
    return made


def decode_encode(pieces: list[bytes]) -> float:
    """Find and take apart every order, and write its ExecutionReport New. CPU seconds."""
    framer = Framer()
    encoder = Encoder(VERSION, b"FIXGW", b"BROKER")
    reports = Reporter(1, {1: DIALECTS[VERSION]}, {1: ALPHA}).reports
    accepted = OrderAccepted(OrderTerms(1 << 48, 1, 1, 1, 1, 2, 0, 1_002_500, 100, b"1000000", b""), 1)
    begin = time.process_time()
    for at, piece in enumerate(pieces):
        now = NOW + at * 1_000_000
        for raw in framer.receive_data(piece):
            message = decode(raw)
            for report in reports(accepted, message.msg_seq_num, now):
                encoder.encode(report.msg_type, message.msg_seq_num, format_timestamp(now), report.body)
    return time.process_time() - begin


def through_session(pieces: list[bytes]) -> float:
    """Check and count every order, number and send a report of 150 bytes for it. CPU seconds."""
    framer = Framer()
    messages = [[decode(raw) for raw in framer.receive_data(piece)] for piece in pieces]
    body = b"58=" + b"x" * 146 + b"\x01"
    talk = session()
    begin = time.process_time()
    for batch in messages:
        for message in batch:
            events = talk.receive(message, NOW)
            assert len(events) == 1
            talk.send_application(b"8", body, NOW)
        talk.data_to_send()
    return time.process_time() - begin


class Market:
    """A shard and its link, outside the clock: commands in, what its readers get out."""

    def __init__(self) -> None:
        self.primary = Primary(1, Shard(1))
        self.primary.lead(1, NOW)
        self.link = LinkServer(1, {1: KEY}, bytes(32), NOW)
        self.reader = Reader(1)
        self.incarnation = 0
        self.primary.command(*encode(DefineInstrument(1, b"ALPHA", 100, 1, 100)), NOW)
        self.primary.command(*encode(StartDay(20261123, b"261123A001", NOW)), NOW)

    def take(self, data: bytes) -> list[Message]:
        """The gateway's bytes; gives whole committed transactions."""
        for event in self.link.receive_data(data, NOW):
            if isinstance(event, Login):
                self.incarnation = event.incarnation
                last = self.primary.open_source(event.source_id, event.incarnation, NOW)
                assert last is not None
                self.link.accept(last, NOW)
            else:
                self.primary.submit(1, self.incarnation, *event, NOW)
        self.primary.take_entries()
        self.primary.committed(self.primary.last_tx)
        datagrams = self.primary.datagrams_to_send()
        return [message for each in datagrams for message in self.reader.receive_datagram(each, NOW)]


def through_router(pieces: list[bytes]) -> float:
    """From an order's bytes to its command and its journal entry, from its events to its reports. CPU seconds."""
    million = TokenBucket(1_000_000, 1_000_000, NOW)
    seat = Seat(1, 1, session(), DIALECTS[VERSION], million, million)
    router = Router(1, KEY, [seat], [ALPHA], [1])
    router.begin(NOW)
    market = Market()
    link = router.shards[1].link
    link.connected(bytes(32), NOW)
    for _ in range(3):  # challenge, login, acceptance
        link.receive_data(market.link.data_to_send(), NOW)
        router.deliver(1, market.take(link.data_to_send()), market.reader.position, NOW)
    router.take_batch()
    framer = Framer()
    spent = 0.0
    reports = records = 0
    for piece in pieces:
        begin = time.process_time()
        for raw in framer.receive_data(piece):
            router.receive(seat, decode(raw), NOW)
        batch = router.take_batch()
        records += 1
        router.written(records, batch)
        spent += time.process_time() - begin
        released = market.take(b"".join(data for _, data in batch.commands))
        begin = time.process_time()
        router.deliver(1, released, market.reader.position, NOW)
        batch = router.take_batch()
        records += 1
        router.written(records, batch)
        spent += time.process_time() - begin
        reports += sum(data.count(b"\x0135=8\x01") for _, data in batch.sends)
    assert reports == 2 * ORDERS
    return spent


def figures() -> list[Figure]:
    """CPU time per order: codec alone, session alone, and all a gateway does but reading, writing and sending."""
    pieces = orders()
    flow = f"{ORDERS:,} NewOrderSingles of {len(pieces[0]) // PIECE} bytes in pieces of {PIECE}"
    conditions = f"{flow}; FIX.4.4, median of {RUNS} runs, CPU time, {machine()}"

    def figure(name: str, run: Callable[[list[bytes]], float], what: str) -> Figure:
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS, 20, 100)  # as a process of the exchange does
        seconds = statistics.median(run(pieces) for _ in range(RUNS))
        gc.unfreeze()
        return Figure(name, round(seconds / ORDERS * 1e6, 2), "µs", f"{what}; {conditions}")

    return [
        figure("fix.decode_encode.us_per_order", decode_encode, "frame and decode an order, write and frame its New"),
        figure("fix.session.us_per_order", through_session, "check and count an order, number and frame a report"),
        figure("router.us_per_order", through_router, "an order to its command and journal entry, two reports back"),
    ]
