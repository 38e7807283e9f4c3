#!/usr/bin/env python3
"""A market data vendor: joins the feed, rebuilds every book, shows the top of them live.

    python examples/vendor.py --config conf/exchange.yaml --record recordings
    python examples/vendor.py --channel s1,239.192.2.1:7201,239.192.3.1:7301,127.0.0.1:7211,127.0.0.1:7311

In the table stands, for each stock, what its book shows, its trading state, and what an auction would do now (NOII) and
between which prices it may end (LULD collar).

A channel is a numbered stream of ITCH messages that comes twice, on lines A and B; what both lost is asked for at a
request server. `Channel` is the part to take home. Datagrams of any of the three ways go into one
`marketdata.receiver.Receiver`, which gives every message once and in order; each is decoded, put into the book and kept
if `--record` says so. Everything below it is sockets and drawing.

On a terminal the table is redrawn four times a second; elsewhere a line comes each second. `--json` writes at the end
what was received and every book, prices in 1/10,000. SIGINT and SIGTERM end it, once what is missing was fetched.
"""

import argparse
import ipaddress
import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import trio

# The checkout this file is in, for those who have not installed the packages.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from marketdata import capture, itch
from marketdata.book import BookBuilder, BookError, Collar, Indicative, Level, OrderBook
from marketdata.receiver import Receiver, SequencedMessage, SessionEnded, SessionStarted

#: Bytes the kernel keeps while we are busy: some 3,000 full datagrams.
RECEIVE_BUFFER = 4 << 20
MAX_DATAGRAM = 65536
#: Datagrams read before other tasks get their turn.
BATCH = 64
#: Seconds that the end waits for what is missing.
SETTLE_SECONDS = 3.0
REDRAW_SECONDS = 0.25

Address = tuple[str, int]


class Source(NamedTuple):
    """Where a channel comes from: groups of lines A and B, and the servers that are asked for what was lost."""

    name: str
    lines: tuple[Address, ...]
    servers: tuple[Address, ...]


class Channel:
    """One channel's messages and books. Opens no socket and reads no clock: `now` is in ns."""

    def __init__(self, source: Source, directory: Path | None = None) -> None:
        """With a directory, every session of the channel is recorded there as a BinaryFILE."""
        self.source = source
        self.receiver = Receiver(max(len(source.servers), 1))
        self.books = BookBuilder()
        self.ended = False
        self.broken: str | None = None  # why the books cannot be believed, if so
        self.late_joins = 0  # sessions whose beginning was not heard but fetched; no gaps of the feed
        self.gaps_filled = 0
        self._directory = directory
        self._recording: BinaryIO | None = None

    def receive(self, datagrams: Iterable[bytes], now: int) -> None:
        """Datagrams came, by whichever way."""
        messages: list[bytes] = []
        for datagram in datagrams:
            for event in self.receiver.receive_datagram(datagram, now):
                if isinstance(event, SequencedMessage):
                    messages.append(event.message)
                    self._apply(event.message)
                elif isinstance(event, SessionStarted):
                    self._record(messages)
                    messages = []
                    self._start_session(event.session)
                    self.late_joins += self.receiver.statistics().missing > 0
                elif isinstance(event, SessionEnded):
                    self.ended = True
        self._record(messages)
        statistics = self.receiver.statistics()
        if not statistics.missing:
            self.gaps_filled = statistics.gaps - self.late_joins

    def _apply(self, message: bytes) -> None:
        if self.broken is None:
            try:
                self.books.receive_message(itch.decode(message))
            except (itch.ItchError, BookError) as error:
                self.broken = f"message {self.receiver.next_sequence_number - 1} or before: {error}"

    def _start_session(self, session: bytes) -> None:
        self.books = BookBuilder()
        self.ended, self.broken = False, None
        if self._directory is not None:
            self.close()
            # the name comes from the network; only letters and digits of it go into a path
            name = "".join(letter if letter.isalnum() else "_" for letter in session.decode("latin-1").strip())
            self._recording = (self._directory / f"{self.source.name}-{name}.itch").open("wb")

    def _record(self, messages: list[bytes]) -> None:
        if self._recording is not None and messages:
            capture.write_messages(self._recording, messages)

    def close(self) -> None:
        """Finish the recording."""
        if self._recording is not None:
            self._recording.close()
            self._recording = None

    def summary(self) -> dict[str, Any]:
        """Counts of messages since the start. `gaps_filled` are those seen before the last time nothing was missing."""
        statistics = self.receiver.statistics()
        return {
            "session": (statistics.session or b"").decode("latin-1").strip(),
            "state": statistics.state.value,
            "next_sequence_number": statistics.next_sequence_number,
            "itch_messages": statistics.delivered,
            "datagrams": statistics.datagrams,
            "gaps_found": statistics.gaps - self.late_joins,
            "gaps_filled": self.gaps_filled,
            "late_joins": self.late_joins,
            "requests": statistics.requests,
            "missing": statistics.missing,
            "duplicates": statistics.duplicates,
            "corruptions": statistics.corruptions,
            "garbled": statistics.garbled,
            "lost": statistics.lost,
            "ended": self.ended,
            "broken": self.broken,
        }


def book_summary(book: OrderBook) -> dict[str, Any]:
    """A book with all its levels as [price, quantity], best first; prices in 1/10,000."""
    bids, asks = ([[level.price, level.shares] for level in side.depth(len(side))] for side in (book.bids, book.asks))
    return {
        "best_bid": bids[0] if bids else None,
        "best_ask": asks[0] if asks else None,
        "depth": [len(bids), len(asks)],
        "state": book.trading_state.decode("latin-1"),
        "indicative": indicative_summary(book.indicative),
        "collar": book.collar._asdict() if book.collar else None,
        "trades": book.trades,
        "broken_trades": book.broken_trades,
        "volume": book.volume,
        "last_trade": [book.last_trade.price, book.last_trade.shares] if book.last_trade else None,
        "bids": bids,
        "asks": asks,
    }


def indicative_summary(indicative: Indicative | None) -> dict[str, Any] | None:
    """What an auction would do now, its codes as text."""
    if indicative is None:
        return None
    return {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in indicative._asdict().items()
    }


def summary(channels: Sequence[Channel], seconds: float) -> dict[str, Any]:
    books = sorted(
        (book for channel in channels for book in channel.books.books.values()), key=lambda book: book.symbol
    )
    return {
        "seconds": round(seconds, 3),
        "channels": {channel.source.name: channel.summary() for channel in channels},
        "symbols": {book.symbol: book_summary(book) for book in books},
    }


# --- drawing ----------------------------------------------------------------------------------------------------------


def price_text(price: int) -> str:
    """1/10,000 as people read it: two decimals, four where they are needed."""
    whole, fraction = divmod(price, 10_000)
    return f"{whole}.{fraction:04}" if fraction % 100 else f"{whole}.{fraction // 100:02}"


def level_text(level: Level | None) -> tuple[str, str]:
    return (f"{level.shares:,}", price_text(level.price)) if level else ("", "")


STATES = {b"T": "trading", b"H": "halted", b"P": "paused", b"Q": "quoting"}


def auction_text(indicative: Indicative | None, collar: Collar | None) -> str:
    """Such as `1,200 at 100.25, 300 more to buy, within 95.00-105.00`."""
    parts = []
    if indicative is not None:
        met = indicative.near_price != 0
        parts.append(
            f"{indicative.paired_shares:,} at {price_text(indicative.near_price)}" if met else "no price in the auction"
        )
        side = {b"B": "buy", b"S": "sell"}.get(indicative.imbalance_direction)
        if side:
            parts.append(f"{indicative.imbalance_shares:,} more to {side}")
    if collar is not None:
        parts.append(f"within {price_text(collar.lower_price)}-{price_text(collar.upper_price)}")
    return ", ".join(parts)


class View:
    """The table and the line; remembers the last counts, for the rates."""

    def __init__(self, channels: Sequence[Channel], now: int) -> None:
        self._channels = channels
        self._rates: dict[str, float] = {}
        self._counted = {channel.source.name: (0, now) for channel in channels}

    def measure(self, now: int) -> None:
        """Messages per second since the last time."""
        for channel in self._channels:
            name = channel.source.name
            delivered = channel.receiver.statistics().delivered
            before, then = self._counted[name]
            self._rates[name] = (delivered - before) * 1e9 / max(now - then, 1)
            self._counted[name] = delivered, now

    def table(self) -> list[str]:
        lines = [
            f"{'channel':9}{'session':12}{'state':14}{'messages':>11}{'per s':>9}{'gaps':>6}{'filled':>8}{'twice':>9}"
        ]
        for channel in self._channels:
            counts, name = channel.summary(), channel.source.name
            lines.append(
                f"{name:9}{counts['session']:12}{'BROKEN' if channel.broken else counts['state']:14}"
                f"{counts['itch_messages']:>11,}{self._rates.get(name, 0):>9,.0f}"
                f"{counts['gaps_found']:>6,}{counts['gaps_filled']:>8,}{counts['duplicates']:>9,}"
            )
        header = f"{'symbol':9}{'quantity':>9}{'bid':>10}  {'ask':<10}{'quantity':<9}"
        lines += ["", f"{header}{'last':>10}{'quantity':>9}{'trades':>9}{'volume':>12}  state    auction"]
        for channel in self._channels:
            lines += [self._row(book) for book in channel.books.books.values()]
        return lines

    def _row(self, book: OrderBook) -> str:
        (bid_quantity, bid), (ask_quantity, ask) = level_text(book.best_bid), level_text(book.best_ask)
        last, last_quantity = "", ""
        if book.last_trade:
            last, last_quantity = price_text(book.last_trade.price), f"{book.last_trade.shares:,}"
        quote = f"{book.symbol:9}{bid_quantity:>9}{bid:>10}  {ask:<10}{ask_quantity:<9}"
        state = STATES.get(book.trading_state, "")
        market = f"{last:>10}{last_quantity:>9}{book.trades:>9,}{book.volume:>12,}  {state:9}"
        return f"{quote}{market}{auction_text(book.indicative, book.collar)}".rstrip()

    def line(self) -> str:
        parts = []
        for channel in self._channels:
            name, statistics = channel.source.name, channel.receiver.statistics()
            parts.append(f"{name}: {statistics.delivered:,} messages, {self._rates.get(name, 0):,.0f}/s")
            for book in channel.books.books.values():
                (_, bid), (_, ask) = level_text(book.best_bid), level_text(book.best_ask)
                text = f"{book.symbol} {bid or '-'}/{ask or '-'} {book.trades:,} trades"
                state = STATES.get(book.trading_state)
                if state not in (None, "trading"):
                    auction = auction_text(book.indicative, book.collar)
                    text += f" ({state}{': ' if auction else ''}{auction})"
                parts.append(text)
        return " · ".join(parts)


async def show(view: View) -> None:
    """Draw until canceled."""
    on_terminal = sys.stdout.isatty()
    shown = 0
    while True:
        await trio.sleep(REDRAW_SECONDS if on_terminal else 1)
        view.measure(time.monotonic_ns())
        if on_terminal:
            lines = view.table()
            up = f"\x1b[{shown}A" if shown else ""
            text = up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J"
            shown = len(lines)
        else:
            text = view.line() + "\n"
        sys.stdout.write(text)
        sys.stdout.flush()


# --- sockets ----------------------------------------------------------------------------------------------------------


def open_line(address: Address, interface: str) -> socket.socket:
    """A socket that hears one multicast group (or one address of this host)."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    line.setblocking(False)
    line.bind(address)  # to the group itself, or we would hear all groups of this port
    if ipaddress.ip_address(address[0]).is_multicast:
        membership = socket.inet_aton(address[0]) + socket.inet_aton(interface)
        line.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return line


class Plug:
    """A channel plugged into the network: two lines, a socket for requests and their answers, a timer."""

    def __init__(self, channel: Channel, interface: str, on_news: Callable[[], object]) -> None:
        self.channel = channel
        self._on_news = on_news
        self._interface = interface
        self._requests = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._requests.setblocking(False)
        self._requests.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._requests.bind(("", 0))
        self._rearm = trio.Event()

    async def run(self) -> None:
        source = self.channel.source
        lines = [open_line(address, self._interface) for address in source.lines]
        try:
            async with trio.open_nursery() as nursery:
                for line in lines:
                    nursery.start_soon(self._read, line, None)
                # an answer counts only from the server that was asked
                nursery.start_soon(self._read, self._requests, set(source.servers))
                nursery.start_soon(self._watch_deadlines)
        finally:
            for opened in (*lines, self._requests):
                opened.close()

    async def _read(self, sock: socket.socket, senders: set[Address] | None) -> None:
        while True:
            await trio.lowlevel.wait_readable(sock)
            datagrams: list[bytes] = []
            try:
                while len(datagrams) < BATCH:
                    datagram, sender = sock.recvfrom(MAX_DATAGRAM)
                    if senders is None or sender in senders:
                        datagrams.append(datagram)
            except BlockingIOError:
                pass
            deadline = self.channel.receiver.next_deadline()
            self.channel.receive(datagrams, time.monotonic_ns())
            if self.channel.receiver.next_deadline() != deadline:
                self._rearm.set()
            self._on_news()

    async def _watch_deadlines(self) -> None:
        """Ask for what is missing when its time has come."""
        receiver, servers = self.channel.receiver, self.channel.source.servers
        while True:
            self._rearm = trio.Event()
            deadline = receiver.next_deadline()
            wait = float("inf") if deadline is None else (deadline - time.monotonic_ns()) / 1e9
            with trio.move_on_after(max(wait, 0)):
                await self._rearm.wait()
                continue
            receiver.handle_deadline(time.monotonic_ns())
            for server, request in receiver.datagrams_to_send():
                if servers:
                    self._requests.sendto(request, servers[server])


async def watch(channels: Sequence[Channel], options: argparse.Namespace) -> None:
    """Receive and show until a signal, the time, or the end of all sessions; then until nothing is missing."""
    news = trio.lowlevel.ParkingLot()  # whoever waits here is woken by every batch of datagrams
    async with trio.open_nursery() as nursery:
        for channel in channels:
            nursery.start_soon(Plug(channel, options.interface, news.unpark_all).run)
        nursery.start_soon(show, View(channels, time.monotonic_ns()))
        with trio.move_on_after(options.seconds or float("inf")):
            await _until_told(channels, news, until_end=options.until_end)
        with trio.move_on_after(SETTLE_SECONDS):
            await trio.sleep(0.1)  # what the kernel already has is read in this time
            while any(channel.receiver.statistics().missing for channel in channels):
                await news.park()
        nursery.cancel_scope.cancel()


async def _until_told(channels: Sequence[Channel], news: trio.lowlevel.ParkingLot, *, until_end: bool) -> None:
    """Until a signal, or the end of every channel's session."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def wait_for_signal() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(wait_for_signal)
            while not (until_end and all(channel.ended for channel in channels)):
                await news.park()
            nursery.cancel_scope.cancel()


# --- the command ------------------------------------------------------------------------------------------------------


def parse_address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def parse_source(text: str) -> Source:
    """`name,address,…`: multicast groups are lines, other addresses request servers."""
    name, *addresses = text.split(",")
    parsed = [parse_address(address) for address in addresses]
    lines = tuple(address for address in parsed if ipaddress.ip_address(address[0]).is_multicast)
    if not lines:
        raise ValueError("a channel needs a multicast group")
    return Source(name, lines, tuple(address for address in parsed if address not in lines))


def sources_of(file: Path) -> list[Source]:
    """The channels of an exchange's configuration."""
    from fixgw import config

    feed = config.load(file).feed
    sources = []
    for channel in feed.channels:
        lines = [channel.lines[line] for line in sorted(channel.lines)]
        servers = [publisher.requests[channel.shard] for publisher in feed.publishers]
        sources.append(Source(channel.shard, tuple(lines), tuple(servers)))
    return sources


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Rebuild the books of an exchange from its market data feed.")
    add = parser.add_argument
    add("--channel", type=parse_source, action="append", metavar="NAME,GROUP:PORT,…,HOST:PORT,…")
    add("--config", type=Path, metavar="FILE", help="take the channels from an exchange's configuration")
    add("--interface", default="127.0.0.1", help="the network card for multicast, by its IPv4 address")
    add("--record", type=Path, metavar="DIR", help="keep every session of every channel here as a BinaryFILE")
    add("--seconds", type=float, metavar="N", help="stop after so long")
    add("--until-end", action="store_true", help="stop when the session of every channel has ended")
    add("--json", nargs="?", const="-", metavar="FILE", help="the summary as one JSON line, printed or to a file")
    options = parser.parse_args(arguments)
    if not options.channel and not options.config:
        parser.error("say which channels: --channel or --config")
    return options


def main() -> int:
    options = parse_arguments()
    sources = (options.channel or []) + (sources_of(options.config) if options.config else [])
    if options.record:
        options.record.mkdir(parents=True, exist_ok=True)
    channels = [Channel(source, options.record) for source in sources]
    started = time.monotonic()
    try:
        trio.run(watch, channels, options)
    finally:
        for channel in channels:
            channel.close()
    result = json.dumps(summary(channels, time.monotonic() - started))
    if options.json == "-":
        print(result, flush=True)
    elif options.json:
        Path(options.json).write_text(result + "\n")
    return 1 if any(channel.broken for channel in channels) else 0


if __name__ == "__main__":
    sys.exit(main())
