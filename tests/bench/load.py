"""A FIX load generator: one session, as little work per order as Python allows.

It keeps a window of orders in flight (how much can be done), or offers so many orders a second whether they are
answered or not (how long one takes); then an order's round trip begins when it was due, so that a late load tells.

The flow of the end-to-end figures: buys and sells of 100 alternate at one price, so every second order trades whole
with the one before it. Two reports per order on average: each order's New, and each trade's fill for both sides (both
are this session's own). An order's round trip ends with its first report.
"""

import json
import re
import select
import selectors
import socket
import sys
import time
from argparse import ArgumentParser
from datetime import UTC, datetime

_REPORT = re.compile(rb"\x0111=(\d+)\x01[^\n]*?\x01150=(.)\x01")
_REFUSAL = re.compile(rb"\x01150=8\x01[^\n]*?\x0158=([^\x01]*)\x01|\x0158=([^\x01]*)\x01[^\n]*?\x01150=8\x01")
_SETTLE_SECONDS = 20.0


def _stamp() -> bytes:
    return datetime.now(UTC).strftime("%Y%m%d-%H:%M:%S.%f")[:-3].encode()


def _frame(body: bytes, version: bytes) -> bytes:
    head = b"8=%b\x019=%d\x01" % (version, len(body))
    return b"%b%b10=%03d\x01" % (head, body, sum(head + body) & 255)


class Load:
    """One session of the load."""

    def __init__(self, port: int, sender: str, target: str, username: str, password: str, version: str) -> None:
        self._version = version.encode()
        self._names = b"49=%b\x0156=%b\x01" % (sender.encode(), target.encode())
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seq = 1
        self._tail = b""
        self._refused = 0
        self._first_refusal = ""
        logon = b"98=0\x01108=60\x01141=Y\x01553=%b\x01554=%b\x01" % (username.encode(), password.encode())
        self._socket.sendall(self._message(b"A", logon))
        if b"\x0135=A\x01" not in self._socket.recv(65536):
            raise SystemExit("logon was refused")

    def _message(self, msg_type: bytes, body: bytes) -> bytes:
        seq, self._seq = self._seq, self._seq + 1
        return _frame(b"35=%b\x0134=%d\x01%b52=%b\x01%b" % (msg_type, seq, self._names, _stamp(), body), self._version)

    def _orders(self, first: int, count: int, symbols: list[bytes]) -> bytes:
        """`count` orders from number `first`, ready to send; pairs (buy, sell) take the symbols in turn."""
        stamp = _stamp()
        parts = []
        for number in range(first, first + count):
            seq, self._seq = self._seq, self._seq + 1
            parts.append(
                _frame(
                    b"35=D\x0134=%d\x01%b52=%b\x0111=%d\x0121=1\x0155=%b\x0154=%d\x0160=%b\x0138=100\x0140=2\x01"
                    b"44=100.25\x0159=0\x01"
                    % (
                        seq,
                        self._names,
                        stamp,
                        number,
                        symbols[number // 2 % len(symbols)],
                        1 + number % 2,
                        stamp,
                    ),
                    self._version,
                )
            )
        return b"".join(parts)

    def run(self, orders: int, window: int, first: int, symbols: list[bytes]) -> dict[str, object]:
        """Send `orders` orders with at most `window` of them unanswered. Times are seconds."""
        sent_at = [0.0] * orders
        round_trips: list[float] = []
        sent = acked = reports = 0
        selector = selectors.DefaultSelector()
        selector.register(self._socket, selectors.EVENT_READ)
        begin = time.perf_counter()
        deadline = begin + _SETTLE_SECONDS + orders / 500
        while reports < 2 * orders:
            room = min(window - (sent - acked), orders - sent)
            # A wide window is refilled in steps, so that a send carries many orders.
            if room > 0 and (room >= window // 8 or sent == acked):
                data = self._orders(first + sent, room, symbols)
                now = time.perf_counter()
                sent_at[sent : sent + room] = [now] * room
                self._socket.sendall(data)
                sent += room
            if not selector.select(1.0) and time.perf_counter() > deadline:
                raise SystemExit(self._missing(reports, orders))
            now = time.perf_counter()
            for number, exec_type in self._reports(self._socket.recv(1 << 18)):
                reports += 1
                if exec_type == b"0":
                    acked += 1
                    round_trips.append(now - sent_at[int(number) - first])
        seconds = time.perf_counter() - begin
        return self._result(round_trips, seconds)

    def offer(self, orders: int, rate: int, first: int, symbols: list[bytes]) -> dict[str, object]:
        """Send `orders` orders, `rate` a second. Times are seconds."""
        round_trips: list[float] = []
        sent = reports = 0
        begin = time.perf_counter()
        deadline = begin + orders / rate + _SETTLE_SECONDS
        while reports < 2 * orders:
            now = time.perf_counter()
            due = min(int((now - begin) * rate) + 1, orders)
            if due > sent:
                self._socket.sendall(self._orders(first + sent, due - sent, symbols))
                sent = due
            patience = begin + sent / rate - time.perf_counter() if sent < orders else 1.0
            # Not epoll, which counts in milliseconds.
            if not select.select([self._socket], [], [], max(patience, 0.0))[0]:
                if now > deadline:
                    raise SystemExit(self._missing(reports, orders))
                continue
            now = time.perf_counter()
            for number, exec_type in self._reports(self._socket.recv(1 << 18)):
                reports += 1
                if exec_type == b"0":
                    round_trips.append(now - begin - (int(number) - first) / rate)
        return self._result(round_trips, time.perf_counter() - begin)

    def _reports(self, data: bytes) -> list[tuple[bytes, bytes]]:
        if not data:
            raise SystemExit("the gateway closed the connection")
        data = self._tail + data
        end = data.rfind(b"\x0110=")
        if end < 0 or len(data) < end + 8:
            end = data.rfind(b"\x0110=", 0, end)
        cut = end + 8 if end >= 0 else 0
        self._tail = data[cut:]
        messages = data[:cut].replace(b"\x018=FIX", b"\n\x018=FIX")
        if b"\x01150=8\x01" in messages:
            texts = [first or second for first, second in _REFUSAL.findall(messages)]
            self._refused += messages.count(b"\x01150=8\x01")
            self._first_refusal = self._first_refusal or b"".join(texts[:1]).decode()
        return _REPORT.findall(messages)

    def _missing(self, reports: int, orders: int) -> str:
        """One that is refused has one report, and none has the order that would have traded with it."""
        return f"only {reports} of {2 * orders} reports came; {self._refusals()}"

    def _refusals(self) -> str:
        text = f", the first with {self._first_refusal!r}" if self._first_refusal else ""
        return f"{self._refused} orders were refused{text}"

    def _result(self, round_trips: list[float], seconds: float) -> dict[str, object]:
        if self._refused:
            raise SystemExit(self._refusals())
        round_trips.sort()
        return {
            "seconds": seconds,
            "orders": len(round_trips),
            "p50_us": round_trips[len(round_trips) // 2] * 1e6,
            "p99_us": round_trips[len(round_trips) * 99 // 100] * 1e6,
        }


def main() -> None:
    """Read one JSON line per run from standard input, answer each with one JSON line."""
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sender", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--version", default="FIX.4.4")
    args = parser.parse_args()
    password = sys.stdin.readline().strip()
    load = Load(args.port, args.sender, args.target, args.sender.lower(), password, args.version)
    print("logged on", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        symbols = [each.encode() for each in job["symbols"]]
        if job["rate"]:
            result = load.offer(job["orders"], job["rate"], job["first"], symbols)
        else:
            result = load.run(job["orders"], job["window"], job["first"], symbols)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
