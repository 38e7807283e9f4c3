#!/usr/bin/env python3
"""A broker: logs on, sends a believable flow of orders, and says how fast the venue answered.

    FIXGW_PASSWORD=… python examples/broker.py --port 9001 --sender AMBER2 --target FIXGW --username amber2 \\
        --symbol ALFA:100.00 --symbol DELTA:25.50 --orders 1000 --rate 200

`Broker` is the part to take home: `new_order`, `cancel`, `replace`, and what became of them. It keeps the open orders
by their ClOrdID(11), which changes with every replace, and the position by symbol; both follow from the reports alone.
The session below it is `initiator.py`. `Flow` decides what to send: limit orders around a price that walks at random,
some crossing, some canceled or replaced, all of it from one seed.

Differences between FIX.4.2 and FIX.4.4 that a broker meets: a trade is ExecType(150) 1 or 2 in 4.2 and F in 4.4;
HandlInst(21) is required in 4.2, so it is always sent. A trade that is undone is ExecTransType(20) 1 in 4.2 and
ExecType(150) H in 4.4.
"""

import argparse
import getpass
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import simplefix
import trio
from initiator import REJECT, Initiator, Numbers, SessionEnded, Settings, text_of

NEW_ORDER_SINGLE, ORDER_CANCEL_REQUEST, ORDER_CANCEL_REPLACE_REQUEST = b"D", b"F", b"G"
EXECUTION_REPORT, ORDER_CANCEL_REJECT, BUSINESS_MESSAGE_REJECT = b"8", b"9", b"j"
BUY, SELL = "1", "2"
MARKET, LIMIT = "1", "2"
TRADES = ("1", "2", "F")  # ExecType(150) of a trade
REPLACED, REJECTED = "5", "8"
TRADE_CANCEL, CANCEL = "H", "1"  # of a trade that is undone: ExecType(150) in 4.4, ExecTransType(20) in 4.2


class Report(NamedTuple):
    """An ExecutionReport(8), an OrderCancelReject(9), or a reject of a whole message (3, j): `msg_type` says which."""

    msg_type: bytes
    cl_ord_id: str
    orig_cl_ord_id: str
    order_id: str
    exec_type: str
    ord_status: str
    symbol: str
    side: str
    price: Decimal
    quantity: int
    last_qty: int
    last_px: Decimal
    leaves_qty: int
    cum_qty: int
    text: str
    undoes: bool = False
    """It takes back a trade that was told before: ExecRefID(19) names that report."""

    @property
    def is_trade(self) -> bool:
        return self.msg_type == EXECUTION_REPORT and self.exec_type in TRADES and not self.undoes

    @classmethod
    def parse(cls, message: simplefix.FixMessage) -> "Report":
        def get(tag: int, default: str = "") -> str:
            return (message.get(tag) or default.encode()).decode("ascii", "replace")

        msg_type = message.message_type
        # a BusinessMessageReject names the request it is about in BusinessRejectRefID(379)
        cl_ord_id = get(379) if msg_type == BUSINESS_MESSAGE_REJECT else get(11)
        last_qty, leaves_qty, cum_qty, quantity = (int(Decimal(get(tag, "0"))) for tag in (32, 151, 14, 38))
        return cls(
            msg_type, cl_ord_id, get(41), get(37), get(150), get(39), get(55), get(54), Decimal(get(44, "0")), quantity,
            last_qty, Decimal(get(31, "0")), leaves_qty, cum_qty, text_of(message),
            get(150) == TRADE_CANCEL or get(20) == CANCEL,
        )  # fmt: skip


@dataclass(slots=True)
class Order:
    """An order that is not over. `pending` is the ClOrdID of a request about it that was not answered yet."""

    cl_ord_id: str
    symbol: str
    side: str
    quantity: int
    price: Decimal | None
    leaves_qty: int
    cum_qty: int = 0
    pending: str = ""


class Broker:
    """Order entry over one FIX session."""

    def __init__(
        self,
        settings: Settings,
        numbers: Numbers | None = None,
        on_report: Callable[[Report], None] | None = None,
    ) -> None:
        self.initiator = Initiator(settings, self._receive, numbers)
        #: Log on, and out at the end: `async with broker.session(stream):`. Raises SessionEnded.
        self.session = self.initiator.session
        self.orders: dict[str, Order] = {}
        self.positions: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        #: Why requests were refused: the venue's Text(58), and how often.
        self.reasons: Counter[str] = Counter()
        #: When each request (by its ClOrdID) was sent that was not answered yet, and how long the others took, in ns.
        self.unanswered: dict[str, int] = {}
        self.latencies: list[int] = []
        self._on_report = on_report
        self._changed = trio.Event()
        # ClOrdID must never come again on this session today, not even from a restarted process: at most 20 characters
        self._id_prefix = f"{time.time_ns() // 1_000_000:x}"
        self._ids = 0

    async def new_order(self, symbol: str, side: str, quantity: int, price: Decimal | None = None) -> str:
        """A Day order, at the market if it has no price. Returns its ClOrdID once sent."""
        cl_ord_id = self._next_id()
        order = Order(cl_ord_id, symbol, side, quantity, price, quantity, pending=cl_ord_id)
        self.orders[cl_ord_id] = order
        await self._request(NEW_ORDER_SINGLE, cl_ord_id, order, [])
        self.counts["orders"] += 1
        return cl_ord_id

    async def cancel(self, cl_ord_id: str) -> str:
        """Cancel what is left of an open order. Returns the request's own ClOrdID. Raises KeyError."""
        order = self.orders[cl_ord_id]
        order.pending = self._next_id()
        self.counts["cancels"] += 1
        return await self._request(ORDER_CANCEL_REQUEST, order.pending, order, [(41, cl_ord_id)])

    async def replace(self, cl_ord_id: str, quantity: int, price: Decimal) -> str:
        """Change an open order; `quantity` includes what was executed. Returns its ClOrdID if the venue agrees."""
        order = self.orders[cl_ord_id]
        order.pending = self._next_id()
        changed = Order(order.pending, order.symbol, order.side, quantity, price, quantity)
        self.counts["replaces"] += 1
        return await self._request(ORDER_CANCEL_REPLACE_REQUEST, order.pending, changed, [(41, cl_ord_id)])

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; it is looked at after every report."""
        while not condition():
            await self._changed.wait()

    async def _request(self, msg_type: bytes, cl_ord_id: str, order: Order, fields: list[tuple[int, object]]) -> str:
        fields = [*fields, (11, cl_ord_id), (55, order.symbol), (54, order.side), (38, order.quantity)]
        if msg_type != ORDER_CANCEL_REQUEST:
            fields += [(21, 1), (40, MARKET if order.price is None else LIMIT), (59, 0)]
            if order.price is not None:
                fields.append((44, order.price))
        now = simplefix.FixMessage()
        now.append_utc_timestamp(60, precision=3)
        fields.append((60, now.get(60)))
        await self.initiator.send(msg_type, fields, partial(self._about_to_send, cl_ord_id))
        return cl_ord_id

    def _about_to_send(self, cl_ord_id: str) -> None:
        self.unanswered[cl_ord_id] = time.perf_counter_ns()

    def _next_id(self) -> str:
        self._ids += 1
        return f"{self._id_prefix}-{self._ids}"

    # --- what comes back ----------------------------------------------------------------------------------------------

    async def _receive(self, message: simplefix.FixMessage, read_at: int) -> None:
        if message.message_type not in (EXECUTION_REPORT, ORDER_CANCEL_REJECT, BUSINESS_MESSAGE_REJECT, REJECT):
            return
        report = Report.parse(message)
        sent_at = self.unanswered.pop(report.cl_ord_id, None)
        if sent_at is not None and message.get(43) != b"Y":
            self.latencies.append(read_at - sent_at)
        if report.msg_type == EXECUTION_REPORT:
            self._apply_execution_report(report)
        else:
            self._apply_reject(report)
        if self._on_report is not None:
            self._on_report(report)
        self._changed.set()
        self._changed = trio.Event()

    def _apply_execution_report(self, report: Report) -> None:
        if report.is_trade:
            self.counts["fills"] += 1
            self.counts["filled_quantity"] += report.last_qty
            self._move(report, report.last_qty)
        elif report.undoes:
            self.counts["undone"] += 1
            self._move(report, -report.last_qty)
        elif report.exec_type in ("0", REJECTED):
            self.counts["acks"] += 1
            self.counts["rejects"] += report.exec_type == REJECTED
            if report.exec_type == REJECTED:
                self.reasons[report.text] += 1
        order = self.orders.get(report.orig_cl_ord_id) or self.orders.get(report.cl_ord_id)
        if order is None:
            return
        if report.cl_ord_id == order.pending:
            order.pending = ""
        if report.exec_type == REPLACED:
            del self.orders[order.cl_ord_id]
            order.cl_ord_id, order.quantity, order.price = report.cl_ord_id, report.quantity, report.price
            self.orders[order.cl_ord_id] = order
        order.cum_qty, order.leaves_qty = report.cum_qty, report.leaves_qty
        if report.leaves_qty == 0:
            del self.orders[order.cl_ord_id]

    def _move(self, report: Report, quantity: int) -> None:
        self.positions[report.symbol] += quantity if report.side == BUY else -quantity

    def _apply_reject(self, report: Report) -> None:
        self.counts["cancel_rejects" if report.msg_type == ORDER_CANCEL_REJECT else "message_rejects"] += 1
        self.reasons[report.text] += 1
        order = self.orders.get(report.orig_cl_ord_id)
        if order is not None:
            order.pending = ""
        elif report.msg_type == BUSINESS_MESSAGE_REJECT:
            self.orders.pop(report.cl_ord_id, None)  # it never became an order

    # --- at the end ---------------------------------------------------------------------------------------------------

    async def cancel_all(self, seconds: float = 5.0) -> None:
        """Cancel every open order and wait for the answers, at most so long."""
        with trio.move_on_after(seconds):
            await self.wait_for(lambda: not self.unanswered)
            for cl_ord_id in list(self.orders):
                if cl_ord_id in self.orders:  # it may be filled while others are sent
                    await self.cancel(cl_ord_id)
            await self.wait_for(lambda: not self.unanswered)

    def summary(self) -> dict[str, Any]:
        """Counts, and the time from a request to its answer. Times in µs; None when nothing was answered."""
        names = ("orders", "cancels", "replaces", "acks", "fills", "filled_quantity", "rejects", "cancel_rejects")
        return {
            "sender": self.initiator.settings.sender_comp_id,
            "version": self.initiator.settings.begin_string,
            **{name: self.counts[name] for name in (*names, "message_rejects")},
            "reasons": dict(self.reasons.most_common()),
            "unanswered": len(self.unanswered),
            "open_orders": len(self.orders),
            "positions": dict(sorted(self.positions.items())),
            "ack_us_p50": percentile(self.latencies, 50),
            "ack_us_p99": percentile(self.latencies, 99),
        }


def percentile(nanoseconds: Sequence[int], percent: int) -> float | None:
    """The smallest value that `percent` of them do not exceed, in µs."""
    if not nanoseconds:
        return None
    rank = -(-len(nanoseconds) * percent // 100)
    return sorted(nanoseconds)[max(rank, 1) - 1] / 1000


class Walk:
    """A price in ticks that walks at random and is drawn back to where it began, so that brokers stay within reach."""

    def __init__(self, randomness: random.Random, listing: "Listing") -> None:
        self._random = randomness
        self._start = round(listing.start / listing.tick)
        self._tick = listing.tick
        self.ticks = float(self._start)

    def step(self) -> int:
        self.ticks += self._random.gauss(0, 1) + 0.02 * (self._start - self.ticks)
        return max(round(self.ticks), 10)

    def price(self, ticks: int) -> Decimal:
        return max(ticks, 1) * self._tick


class Listing(NamedTuple):
    """A symbol, the price its walk begins at, and the step that prices there have."""

    symbol: str
    start: Decimal
    tick: Decimal


#: Open orders beyond which the flow cancels before it adds.
MAX_OPEN_ORDERS = 100


class Flow:
    """What a broker does next; a function of the seed and of the orders that are open."""

    def __init__(self, seed: object, listings: Sequence[Listing], lot: int) -> None:
        self._random = random.Random(str(seed))
        self._walks = {listing.symbol: Walk(self._random, listing) for listing in listings}
        self._lot = lot

    async def act(self, broker: Broker) -> None:
        """Send one request."""
        randomness = self._random
        symbol = randomness.choice(list(self._walks))
        walk = self._walks[symbol]
        fair = walk.step()
        idle = [order for order in broker.orders.values() if not order.pending and order.symbol == symbol]
        choice = randomness.random()
        if idle and (choice < 0.15 or len(broker.orders) > MAX_OPEN_ORDERS):
            await broker.cancel(idle[0].cl_ord_id)
        elif idle and choice < 0.3:
            order = randomness.choice(idle)
            quantity = order.cum_qty + self._lot * randomness.randint(1, 5)
            await broker.replace(order.cl_ord_id, quantity, walk.price(self._limit(fair, order.side)))
        else:
            side = randomness.choice((BUY, SELL))
            price = walk.price(self._limit(fair, side))
            await broker.new_order(symbol, side, self._lot * randomness.randint(1, 5), price)

    def _limit(self, fair: int, side: str) -> int:
        """Mostly a price that rests, sometimes one that crosses."""
        away = self._random.randint(-2, 1) if self._random.random() < 0.35 else self._random.randint(1, 8)
        return fair - away if side == BUY else fair + away


# --- the command ------------------------------------------------------------------------------------------------------


def parse_listing(text: str) -> Listing:
    symbol, price, tick, *_ = [*text.split(":"), "", ""]
    return Listing(symbol, Decimal(price or "100.00"), Decimal(tick or "0.05"))


def common_options(description: str) -> argparse.ArgumentParser:
    """What every example that trades is told on its command line."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, required=True)
    add("--sender", required=True, help="our SenderCompID(49)")
    add("--target", required=True, help="the venue's, our TargetCompID(56)")
    add("--username", required=True)
    add("--password", help="better: the environment variable FIXGW_PASSWORD, or a line on standard input")
    add("--version", choices=("FIX.4.2", "FIX.4.4"), default="FIX.4.4")
    add("--heartbeat", type=int, default=10, metavar="SECONDS")
    add(
        "--numbers",
        type=Path,
        metavar="FILE",
        help="keep sequence numbers here, and go on from them; without it Logon resets them",
    )
    add("--symbol", type=parse_listing, action="append", required=True, metavar="NAME[:PRICE[:TICK]]")
    add("--lot", type=int, default=100)
    add("--seed", default="0")
    add("--rate", type=float, default=100.0, metavar="R", help="requests a second; 0: as fast as the window allows")
    add("--seconds", type=float, metavar="N", help="stop after so long")
    add("--wait", type=float, default=10.0, metavar="SECONDS", help="keep trying to connect for so long")
    add("--cancel-at-end", action="store_true", help="leave no open orders in the market")
    add("--json", nargs="?", const="-", metavar="FILE", help="the summary as one JSON line, printed or to a file")
    return parser


def read_password(option: str | None) -> str:
    """From the command line, the environment, the terminal (unseen) or a line of standard input, in this order."""
    password = option or os.environ.get("FIXGW_PASSWORD")
    if not password:
        password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    return password


async def connect(host: str, port: int, seconds: float) -> trio.SocketStream:
    """A connection to the venue, which may still be starting. Raises OSError after so long."""
    deadline = trio.current_time() + seconds
    while True:
        try:
            return await trio.open_tcp_stream(host, port)
        except OSError:
            if trio.current_time() > deadline:
                raise
            await trio.sleep(0.1)


class Pace:
    """Not more than `rate` requests a second, and not more than `window` of them unanswered."""

    def __init__(self, rate: float, window: int) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._window = window
        self._next = trio.current_time()

    async def turn(self, broker: Broker) -> None:
        """Wait for the next turn. A turn missed is not made up for: a burst would measure our own backlog."""
        await trio.sleep_until(self._next)
        self._next = max(self._next + self._interval, trio.current_time())
        await broker.wait_for(lambda: len(broker.unanswered) < self._window)


Strategy = Callable[[Broker], Awaitable[None]]


def run(options: argparse.Namespace, strategy: Strategy) -> int:
    """Log on, trade, log out, print the summary. Returns the exit code: 1 when the session did not end by our will."""
    settings = Settings(
        options.sender,
        options.target,
        options.username,
        read_password(options.password),
        options.version,
        options.heartbeat,
    )
    numbers = Numbers(options.numbers)
    broker = Broker(settings, numbers)
    started = time.monotonic()
    error = trio.run(trade, broker, options, strategy)
    numbers.close()
    summary = {**broker.summary(), "seconds": round(time.monotonic() - started, 3), "error": error}
    if options.json == "-":
        print(json.dumps(summary), flush=True)
    elif options.json:
        # in a file there is room for every sample, so that several brokers' can be put together
        samples = [nanoseconds / 1000 for nanoseconds in broker.latencies]
        Path(options.json).write_text(json.dumps({**summary, "ack_us": samples}) + "\n")
    else:
        print("\n".join(f"{name:16} {value}" for name, value in summary.items()), flush=True)
    return 0 if error is None else 1


async def trade(broker: Broker, options: argparse.Namespace, strategy: Strategy) -> str | None:
    """Log on and trade until the strategy ends, the time is over or a signal comes. Returns what went wrong, if any.

    The first SIGINT or SIGTERM ends the strategy and logs out; the second ends at once.
    """
    trading = trio.CancelScope()
    error: str | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(_end_on_signals, trading, nursery.cancel_scope)
        try:
            stream = await connect(options.host, options.port, options.wait)
            async with broker.session(stream):
                with trading:
                    trading.deadline = trio.current_time() + (options.seconds or float("inf"))
                    await strategy(broker)
                if options.cancel_at_end:
                    await broker.cancel_all()
        except (OSError, SessionEnded) as ended:
            error = str(ended)
        nursery.cancel_scope.cancel()
    return error


async def _end_on_signals(*scopes: trio.CancelScope, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        remaining = iter(scopes)
        async for _ in signals:
            next(remaining).cancel()


def main() -> int:
    parser = common_options("Send a flow of orders to a venue over FIX, and measure its answers.")
    parser.add_argument("--orders", type=int, metavar="N", help="stop after so many orders; without it at --seconds")
    parser.add_argument("--window", type=int, default=100, metavar="N", help="at most so many requests unanswered")
    options = parser.parse_args()
    flow = Flow(options.seed, options.symbol, options.lot)

    async def send_flow(broker: Broker) -> None:
        pace = Pace(options.rate, options.window)
        while options.orders is None or broker.counts["orders"] < options.orders:
            await pace.turn(broker)
            await flow.act(broker)
        await broker.wait_for(lambda: not broker.unanswered)

    return run(options, send_flow)


if __name__ == "__main__":
    sys.exit(main())
