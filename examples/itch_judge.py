#!/usr/bin/env python3
"""An independent reader of ITCH 5.0: a BinaryFILE recording in, the books at its end out, as JSON.

It judges what the exchange published, so it shares nothing with it: the standard library only, and the few offsets it
needs taken straight from the specification's tables. It is strict. An unknown message type, a wrong length, an order
that does not exist, more executed than was left, a number used twice, an auction whose trades are not at its price or
more than it says, bids above asks where a stock trades: each ends the reading with `BadFeed`, naming the message.

    python examples/itch_judge.py feed.itch        {"ABCD": {"bids": [[price, quantity], …], "asks": …}, …}

Prices are integers in 1/10,000 as on the wire; bids and asks are price levels, best first. `trades` and `volume` count
printable executions, hidden ones (P) and crosses, less what was broken (B). The executions of an auction are told as
C, not printable, for each displayed side, and then printed together by the cross (Q).

Sources: "Nasdaq TotalView-ITCH 5.0", section 4; "BinaryFILE" V 1.00: a two-byte big-endian length before each message.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import unpack
from typing import Any

# Bytes of each message, its one-byte type included (section 4).
_LENGTHS_BY_TYPE = "S12 R39 H25 Y20 L26 V35 W12 K28 J35 h21 A36 F40 E31 C36 X23 D19 U35 P44 Q40 B19 I50 N20 O48"
LENGTHS = {entry[0]: int(entry[1:]) for entry in _LENGTHS_BY_TYPE.split()}


class BadFeed(Exception):
    """The recording breaks a rule of ITCH, or of its own books."""


def messages(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """(number, message) for each record. Raises BadFeed when the file ends within one."""
    with open(path, "rb") as file:
        number = 0
        while prefix := file.read(2):
            length = int.from_bytes(prefix, "big")
            message = file.read(length)
            number += 1
            if len(prefix) < 2 or len(message) < length:
                raise BadFeed(f"message {number}: the file ends within it")
            if not message:
                return  # a record of length zero is the end of the session
            if LENGTHS.get(chr(message[0])) != length:
                raise BadFeed(f"message {number}: type {message[:1]!r} cannot be {length} bytes long")
            yield number, message


class Books:
    """Every order that rests, and what was traded, by stock locate code."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}  # locate -> stock
        self.orders: dict[int, list[Any]] = {}  # order reference number -> [locate, side, shares, price]
        self.used: set[int] = set()  # order reference numbers; none comes back
        self.matches: dict[int, tuple[int, int]] = {}  # match number -> (locate, shares) of trades that count
        self.states: dict[int, bytes] = {}  # locate -> trading state
        self.waiting: dict[int, dict[int, list[int]]] = {}  # locate -> match number -> [shares, price, sides]
        self.crossed: dict[int, tuple[int, int]] = {}  # match number of an auction's trade -> (its cross, shares)
        self.undisplayed: dict[int, int] = {}  # locate -> shares of crosses that no displayed order had

    def add(self, reference: int, locate: int, side: bytes, shares: int, price: int) -> None:
        if reference in self.used or not shares or side not in (b"B", b"S"):
            raise BadFeed(f"order {reference} cannot be added: {shares} shares, side {side!r}")
        self.used.add(reference)
        self.orders[reference] = [locate, side, shares, price]

    def reduce(self, reference: int, locate: int, shares: int) -> list[Any]:
        order = self.orders.get(reference)
        if order is None or order[0] != locate or not 0 < shares <= order[2]:
            raise BadFeed(f"order {reference} is {order}, {shares} shares cannot leave it")
        order[2] -= shares
        if not order[2]:
            del self.orders[reference]
        return order

    def trade(self, match: int, locate: int, shares: int) -> None:
        if match in self.matches:
            raise BadFeed(f"match number {match} is used twice")
        self.matches[match] = locate, shares

    def wait_for_cross(self, match: int, locate: int, shares: int, price: int) -> None:
        """One displayed side of an auction's trade; both sides say the same."""
        known = self.waiting.setdefault(locate, {}).setdefault(match, [shares, price, 0])
        known[2] += 1
        if known != [shares, price, min(known[2], 2)] or match in self.crossed:
            raise BadFeed(f"match number {match} of an auction is used twice")

    def cross(self, match: int, locate: int, shares: int, price: int) -> None:
        waiting = self.waiting.pop(locate, {})
        if any(each[1] != price for each in waiting.values()):
            raise BadFeed(f"cross {match} is at {price}, and its executions are not")
        undisplayed = shares - sum(each[0] for each in waiting.values())
        if undisplayed < 0:
            raise BadFeed(f"cross {match} is of {shares} shares, and its executions of {shares - undisplayed}")
        if not shares:
            return  # nothing met
        self.trade(match, locate, shares)
        self.crossed.update((each, (match, waiting[each][0])) for each in waiting)
        self.undisplayed[locate] = self.undisplayed.get(locate, 0) + undisplayed

    def bust(self, match: int, locate: int) -> None:
        if match in self.crossed:
            cross, shares = self.crossed.pop(match)
            self.matches[cross] = locate, self.matches[cross][1] - shares
        elif self.matches.pop(match, None) is None and not self.undisplayed.get(locate):
            raise BadFeed(f"the trade {match} is broken that was not made")

    def apply(self, message: bytes) -> None:
        kind, locate = chr(message[0]), int.from_bytes(message[1:3], "big")
        body = message[11:]
        if kind == "R":
            self.names[locate] = body[:8].decode("ascii").rstrip()
        elif kind == "H":
            self.states[locate] = body[8:9]
        elif kind in "AF":
            reference, side, shares, _, price = unpack(">QcI8sI", body[:25])
            self.add(reference, locate, side, shares, price)
        elif kind in "EC":
            reference, shares, match = unpack(">QIQ", body[:20])
            self.reduce(reference, locate, shares)
            if kind == "E" or body[20:21] == b"Y":
                self.trade(match, locate, shares)
            else:
                self.wait_for_cross(match, locate, shares, *unpack(">I", body[21:25]))
        elif kind == "X":
            reference, shares = unpack(">QI", body)
            self.reduce(reference, locate, shares)
        elif kind == "D":
            (reference,) = unpack(">Q", body)
            self.reduce(reference, locate, self.orders.get(reference, [0, 0, 0])[2])
        elif kind == "U":
            old, new, shares, price = unpack(">QQII", body)
            order = self.reduce(old, locate, self.orders.get(old, [0, 0, 0])[2])
            self.add(new, locate, order[1], shares, price)
        elif kind == "P":
            (shares,), (match,) = unpack(">I", body[9:13]), unpack(">Q", body[25:33])
            self.trade(match, locate, shares)
        elif kind == "Q":
            shares, _, price, match = unpack(">Q8sIQ", body[:28])
            self.cross(match, locate, shares, price)
        elif kind == "B":
            (match,) = unpack(">Q", body)
            self.bust(match, locate)

    def result(self) -> dict[str, dict[str, Any]]:
        sides: dict[int, tuple[dict[int, int], ...]] = {locate: ({}, {}) for locate in self.names}
        for locate, side, shares, price in self.orders.values():
            levels = sides[locate][side == b"S"]
            levels[price] = levels.get(price, 0) + shares
        result = {}
        for locate, name in sorted(self.names.items(), key=lambda item: item[1]):
            bids, asks = (sorted(map(list, levels.items())) for levels in sides[locate])
            traded = [shares for at, shares in self.matches.values() if at == locate and shares]
            if self.states.get(locate) == b"T" and bids and asks and bids[-1][0] >= asks[0][0]:
                raise BadFeed(f"{name} trades, and its best bid {bids[-1][0]} meets its best ask {asks[0][0]}")
            result[name] = {"bids": bids[::-1], "asks": asks, "trades": len(traded), "volume": sum(traded)}
        return result


def read_books(path: str | Path) -> dict[str, dict[str, Any]]:
    """{stock: {"bids": [[price, quantity], …], "asks": …, "trades": n, "volume": n}}. Raises BadFeed, OSError."""
    books = Books()
    for number, message in messages(path):
        try:
            books.apply(message)
            if message[1:3] != b"\0\0" and int.from_bytes(message[1:3], "big") not in books.names:
                raise BadFeed("its stock has no Stock Directory message")
        except BadFeed as error:
            raise BadFeed(f"message {number}, type {message[:1]!r}: {error}") from None
    return books.result()


if __name__ == "__main__":
    print(json.dumps(read_books(sys.argv[1]), indent=1))
