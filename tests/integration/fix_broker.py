"""A broker that believes nothing: a FIX session over any number of connections, and an account of all that it is told.

Nothing of the exchange is imported: frames, numbers, resends and the account are all done here, plainly. `run` keeps
the session connected for as long as it may; a request made while there is no connection is numbered and kept, and given
when the venue asks for it, as a real engine does. Whatever must hold is checked as it is read, so a fault shows where
it happens:

* a number that comes again brings the same content; a gap is asked for and filled; nothing is said twice (ExecID);
* what an order has traded only grows, by just what each report says, and what is left is what is left;
* every request is answered, once (`check_answers`).
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

SOH = b"\x01"
ADMIN = frozenset(b"012345A")
NEW_ORDER, CANCEL, REPLACE = b"D", b"F", b"G"
RETRY_SECONDS = 0.05
LOGON_SECONDS = 5.0
#: A broker that offers a rate sends so many requests at a time.
PACED = 5
#: What has not come by then will not come.
PATIENCE = 40.0

Fields = dict[int, bytes]


def _stamp() -> bytes:
    now = time.time_ns()
    seconds = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(now // 10**9))
    return b"%b.%03d" % (seconds.encode(), now // 10**6 % 1000)


def take_message(buffer: bytearray) -> Fields | None:
    """Cut the first whole message off the buffer. BodyLength and CheckSum must be right.

    What a repeating group says several times is one value, with SOH between.
    """
    at = buffer.find(SOH, 12)
    if at < 0:
        return None
    begin, length = bytes(buffer[:at]).split(SOH)
    assert begin.startswith(b"8=FIX"), buffer
    assert length.startswith(b"9="), buffer
    end = at + 1 + int(length[2:])
    if len(buffer) < end + 7:
        return None
    raw = bytes(buffer[: end + 7])
    assert raw[end:] == b"10=%03d\x01" % (sum(raw[:end]) % 256), raw
    del buffer[: end + 7]
    fields: Fields = {}
    for pair in raw.split(SOH)[:-1]:
        name, _, value = pair.partition(b"=")
        tag = int(name)
        fields[tag] = fields[tag] + SOH + value if tag in fields else value
    return fields


@dataclass
class Order:
    """An order as its last report tells it."""

    cl_ord_id: bytes
    symbol: str
    side: bytes
    quantity: int
    price: int  # in 1/10,000
    leaves: int
    cum: int = 0
    asked: bool = False  # a cancel or replace is under way


@dataclass
class Broker:
    """One session. `sender` is its SenderCompID(49)."""

    port: int
    sender: str
    target: str
    password: str
    begin_string: str = "FIX.4.4"
    host: str = "127.0.0.1"
    next_out: int = 1
    next_in: int = 1
    logons: int = 0
    #: Requests by ClOrdID(11): their MsgType, and how often they were answered.
    requests: dict[bytes, bytes] = field(default_factory=dict)
    answers: Counter[bytes] = field(default_factory=Counter)
    unanswered: set[bytes] = field(default_factory=set)
    #: What was refused, by Text(58).
    refusals: Counter[str] = field(default_factory=Counter)
    #: By OrderID(37); those with something left.
    open: dict[bytes, Order] = field(default_factory=dict)
    #: (symbol, side) → shares bought or sold.
    traded: Counter[tuple[str, bytes]] = field(default_factory=Counter)
    exec_ids: set[bytes] = field(default_factory=set)
    #: When the last of them that an engine acknowledged were sent, and acknowledged: seconds of the monotonic clock.
    acknowledged: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=20_000))
    #: Every application message, by MsgSeqNum(34), without what a resend changes.
    told: dict[int, Fields] = field(default_factory=dict)
    repeated: int = 0
    resends_asked: int = 0
    resent: int = 0

    def __post_init__(self) -> None:
        self._sent: dict[int, tuple[bytes, bytes, bytes]] = {}  # number → (type, stamp, body), admin messages left out
        self._sent_at: dict[bytes, float] = {}
        self._stream: trio.SocketStream | None = None
        self._outbox: deque[bytes] = deque()
        self._to_send = trio.Event()
        self._changed = trio.Event()
        self._gap_until = 0

    # --- the connection -----------------------------------------------------------------------------------------------

    @property
    def logged_on(self) -> bool:
        return self._stream is not None

    async def run(self) -> None:
        """Be connected, again and again, until canceled."""
        while True:
            try:
                stream = await trio.open_tcp_stream(self.host, self.port)
                async with stream:
                    await self._converse(stream)
            except (OSError, trio.BrokenResourceError):
                pass
            await trio.sleep(RETRY_SECONDS)

    async def _converse(self, stream: trio.SocketStream) -> None:
        """Log on and read until the connection ends."""
        self._outbox.clear()
        self._gap_until = 0
        user = self.sender.lower().encode()
        self._say(b"A", b"98=0\x01108=30\x01553=%b\x01554=%b\x01" % (user, self.password.encode()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, stream, nursery.cancel_scope)
            deadline = trio.current_time() + LOGON_SECONDS
            try:
                buffer = bytearray()
                while True:
                    with trio.move_on_at(deadline if self._stream is None else float("inf")) as timer:
                        data = await stream.receive_some(65536)
                    if timer.cancelled_caught or not data:
                        break
                    buffer += data
                    while (message := take_message(buffer)) is not None:
                        if message[35] == b"A":
                            self._stream = stream
                            self.logons += 1
                        self._receive(message)
                    self._wake()
            except trio.BrokenResourceError:
                pass
            finally:
                self._stream = None
                self._wake()
            nursery.cancel_scope.cancel()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _write(self, stream: trio.SocketStream, scope: trio.CancelScope) -> None:
        """Send what was said, as much as there is at a time."""
        try:
            while True:
                if not self._outbox:
                    self._to_send = trio.Event()
                    await self._to_send.wait()
                data = b"".join(self._outbox)
                self._outbox.clear()
                await stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            scope.cancel()

    async def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Looked at whenever something came. Raises AssertionError."""
        with trio.move_on_after(seconds):
            while not condition():
                await self._changed.wait()
            return
        raise AssertionError(f"{self.sender} waited {seconds} s for {what}")

    # --- what is said -------------------------------------------------------------------------------------------------

    def _say(self, msg_type: bytes, body: bytes) -> None:
        number, self.next_out = self.next_out, self.next_out + 1
        stamp = _stamp()
        if msg_type[0] not in ADMIN:
            self._sent[number] = msg_type, stamp, body
            if self._stream is None:
                return  # the venue will ask for it
        self._put(msg_type, number, stamp, body)

    def _put(self, msg_type: bytes, number: int, stamp: bytes, body: bytes) -> None:
        names = self.sender.encode(), stamp, self.target.encode()
        text = b"35=%b\x0134=%d\x0149=%b\x0152=%b\x0156=%b\x01%b" % (msg_type, number, *names, body)
        text = b"8=%b\x019=%d\x01%b" % (self.begin_string.encode(), len(text), text)
        self._outbox.append(text + b"10=%03d\x01" % (sum(text) % 256))
        self._to_send.set()

    def _request(self, msg_type: bytes, fields: bytes) -> bytes:
        cl_ord_id = b"%b-%d" % (self.sender.encode(), len(self.requests) + 1)
        self.requests[cl_ord_id] = msg_type
        self._sent_at[cl_ord_id] = time.monotonic()
        self.unanswered.add(cl_ord_id)
        self._say(msg_type, b"11=%b\x0160=%b\x01%b" % (cl_ord_id, _stamp(), fields))
        return cl_ord_id

    def new_order(self, symbol: str, side: bytes, quantity: int, price: int, time_in_force: bytes = b"0") -> bytes:
        """A limit order, its price in cents. Returns its ClOrdID."""
        terms = symbol.encode(), side, quantity, price // 100, price % 100, time_in_force
        return self._request(NEW_ORDER, b"21=1\x0155=%b\x0154=%b\x0138=%d\x0140=2\x0144=%d.%02d\x0159=%b\x01" % terms)

    def cancel(self, order: Order) -> bytes:
        order.asked = True
        terms = order.cl_ord_id, order.symbol.encode(), order.side, order.quantity
        return self._request(CANCEL, b"41=%b\x0155=%b\x0154=%b\x0138=%d\x01" % terms)

    def replace(self, order: Order, quantity: int, price: int) -> bytes:
        """`quantity` counts what was executed; the price is in cents."""
        order.asked = True
        terms = order.cl_ord_id, order.symbol.encode(), order.side, quantity, price // 100, price % 100
        return self._request(REPLACE, b"21=1\x0141=%b\x0155=%b\x0154=%b\x0138=%d\x0140=2\x0144=%d.%02d\x01" % terms)

    async def trade(
        self,
        seed: int,
        count: int | None = None,
        window: int = 20,
        rate: float | None = None,
        symbols: Sequence[str] = ("ALPHA", "BETA", "GAMMA", "DELTA"),
    ) -> None:
        """Add, cross, move and cancel: so many requests, or until canceled, with at most `window` unanswered.

        `rate`: offered, in requests a second, come what may.
        """
        randomness = random.Random(f"{self.sender}/{seed}")
        made = 0
        begin = trio.current_time()
        while count is None or made < count:
            if rate is not None and made % PACED == 0:
                await trio.sleep_until(begin + made / rate)
            await self.wait_until(lambda: len(self.unanswered) < window, f"answers to {sorted(self.unanswered)[:5]}")
            idle = [order for order in self.open.values() if not order.asked]
            choice = randomness.random()
            price = 1000 + randomness.randint(-6, 6)
            quantity = 100 * randomness.randint(1, 5)
            if idle and choice < 0.25:
                self.cancel(randomness.choice(idle))
            elif idle and choice < 0.4:
                order = randomness.choice(idle)
                self.replace(order, order.cum + quantity, price)
            else:
                symbol = randomness.choice(symbols)
                immediate = b"3" if choice > 0.95 else b"0"
                self.new_order(symbol, randomness.choice((b"1", b"2")), quantity, price, immediate)
            made += 1
            await trio.lowlevel.checkpoint()

    # --- what is heard ------------------------------------------------------------------------------------------------

    def _receive(self, message: Fields) -> None:
        number, msg_type = int(message[34]), message[35]
        resent = message.get(43) == b"Y"
        assert (message[49], message[56]) == (self.target.encode(), self.sender.encode())
        assert msg_type not in (b"3", b"5"), f"{self.sender} was told {message}"
        if msg_type == b"A":
            assert message.get(141) != b"Y", "the venue began its numbers again"
        if number > self.next_in:
            self._miss(number, message)
        elif number < self.next_in:
            assert resent, f"{self.sender} expected {self.next_in}: {message}"
            self.repeated += 1
            if msg_type[0] not in ADMIN:
                assert self.told[number] == _content(message)
        else:
            self.next_in = int(message[36]) if msg_type == b"4" else number + 1
            self._act(message, number)

    def _miss(self, number: int, message: Fields) -> None:
        """Something before it is missing: ask once, drop this one, for it comes again."""
        if message[35] == b"2":
            self._resend(int(message[7]))
        if self._gap_until < self.next_in:
            self.resends_asked += 1
            self._say(b"2", b"7=%d\x0116=0\x01" % self.next_in)
        self._gap_until = max(self._gap_until, number)

    def _act(self, message: Fields, number: int) -> None:
        msg_type = message[35]
        if msg_type == b"1":
            self._say(b"0", b"112=%b\x01" % message[112])
        elif msg_type == b"2":
            self._resend(int(message[7]))
        elif msg_type[0] not in ADMIN:
            self.told[number] = _content(message)
            if msg_type == b"8":
                self._account(message)
            else:
                assert msg_type in (b"9", b"j"), message
                self._answered(message[11] if msg_type == b"9" else message[379], message)
                for order in self.open.values():
                    if order.cl_ord_id == message.get(41):
                        order.asked = False

    def _resend(self, first: int) -> None:
        """Everything from `first` on once more; what need not be said again is skipped in one step."""
        skipped = 0
        for number in range(first, self.next_out):
            sent = self._sent.get(number)
            if sent is None:
                skipped = skipped or number
                continue
            if skipped:
                self._gap_fill(skipped, number)
                skipped = 0
            msg_type, stamp, body = sent
            self._put(msg_type, number, _stamp(), b"43=Y\x01122=%b\x01%b" % (stamp, body))
            self.resent += 1
        if skipped:
            self._gap_fill(skipped, self.next_out)

    def _gap_fill(self, first: int, new_seq_no: int) -> None:
        self._put(b"4", first, _stamp(), b"43=Y\x01122=%b\x01123=Y\x0136=%d\x01" % (_stamp(), new_seq_no))

    # --- the account --------------------------------------------------------------------------------------------------

    def _answered(self, cl_ord_id: bytes, message: Fields) -> None:
        self.answers[cl_ord_id] += 1
        self.unanswered.discard(cl_ord_id)
        if 58 in message:
            self.refusals[message[58].decode()] += 1

    def _account(self, report: Fields) -> None:
        assert report[17] not in self.exec_ids, f"{self.sender} was told twice: {report}"
        self.exec_ids.add(report[17])
        exec_type, cl_ord_id = report[150], report[11]
        request = self.requests[cl_ord_id]
        if (request, exec_type) in ((NEW_ORDER, b"0"), (NEW_ORDER, b"8"), (CANCEL, b"4"), (REPLACE, b"5")):
            self._answered(cl_ord_id, report)
        if exec_type == b"8":
            return
        if (sent_at := self._sent_at.pop(cl_ord_id, None)) is not None:
            self.acknowledged.append((sent_at, time.monotonic()))
        leaves, cum = int(report[151]), int(report[14])
        if exec_type == b"0":
            price = round(float(report[44]) * 10_000)
            symbol = report[55].decode()
            self.open[report[37]] = Order(cl_ord_id, symbol, report[54], int(report[38]), price, leaves)
        order = self.open[report[37]]
        if exec_type in b"12F":
            order.cum += int(report[32])
            self.traded[order.symbol, order.side] += int(report[32])
        elif exec_type == b"5":
            assert report[41] == order.cl_ord_id
            order.cl_ord_id, order.quantity = cl_ord_id, int(report[38])
            order.price, order.asked = round(float(report[44]) * 10_000), False
        assert cum == order.cum, f"{self.sender} counts {order}: {report}"
        is_over = exec_type in b"4C"  # canceled, or its day has ended: midnight may come while a test runs
        assert leaves == (0 if is_over else order.quantity - cum), f"{self.sender} counts {order}: {report}"
        order.leaves = leaves
        if leaves == 0:
            del self.open[report[37]]

    async def wait_answered(self, seconds: float = PATIENCE) -> None:
        """Until nothing that was asked is without its answer."""
        await self.wait_until(lambda: not self.unanswered, f"answers to {len(self.unanswered)} requests", seconds)

    def check_answers(self) -> None:
        """Every request has its answer, and only one."""
        assert not self.unanswered, f"{self.sender} has no answer to {sorted(self.unanswered)}"
        assert {cl_ord_id: self.answers[cl_ord_id] for cl_ord_id in self.requests} == dict.fromkeys(self.requests, 1)
        # What was said has no holes but where admin messages were.
        assert max(self.told, default=0) < self.next_in


def _content(message: Fields) -> Fields:
    """What must not change when a message is sent again (8, 9, 10, 43, 52 and 122 do)."""
    return {tag: value for tag, value in message.items() if tag not in (8, 9, 10, 43, 52, 122)}


def books(brokers: list[Broker]) -> dict[str, dict[str, list[list[int]]]]:
    """What the brokers' open orders make together: by symbol, levels [price in 1/10,000, quantity], best first."""
    sides: dict[tuple[str, bytes], Counter[int]] = {}
    for broker in brokers:
        for order in broker.open.values():
            sides.setdefault((order.symbol, order.side), Counter())[order.price] += order.leaves
    symbols = {symbol for symbol, _ in sides}
    return {
        symbol: {
            "bids": sorted(map(list, sides.get((symbol, b"1"), {}).items()), reverse=True),
            "asks": sorted(map(list, sides.get((symbol, b"2"), {}).items())),
        }
        for symbol in symbols
    }
