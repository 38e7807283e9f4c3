"""The judge reads right what is right, and refuses what no exchange may publish.

Messages are packed here by hand, by the specification's tables: a judge is not tested with the tools of the judged.
"""

import ast
import sys
from itertools import count
from pathlib import Path
from struct import pack

import pytest
from itch_judge import BadFeed, read_books

LOCATE = 7


def head(kind, locate=LOCATE):
    return kind + pack(">HH", locate, 0) + (34_200_000_000_000).to_bytes(6, "big")


def directory(name=b"ABCD", locate=LOCATE):
    return head(b"R", locate) + name.ljust(8) + b"QN" + pack(">I", 100) + b"NC  PNN1N" + pack(">I", 0) + b"N"


def add(reference, side, shares, price, locate=LOCATE):
    return head(b"A", locate) + pack(">QcI8sI", reference, side, shares, b"ABCD    ", price)


def add_with_mpid(reference, side, shares, price):
    return head(b"F") + pack(">QcI8sI4s", reference, side, shares, b"ABCD    ", price, b"FIRM")


def executed(reference, shares, match):
    return head(b"E") + pack(">QIQ", reference, shares, match)


def executed_with_price(reference, shares, match, printable, price=1_000_000):
    return head(b"C") + pack(">QIQcI", reference, shares, match, printable, price)


def state(code):
    return head(b"H") + b"ABCD    " + code + b"     "


def reduced(reference, shares):
    return head(b"X") + pack(">QI", reference, shares)


def deleted(reference):
    return head(b"D") + pack(">Q", reference)


def replaced(old, new, shares, price):
    return head(b"U") + pack(">QQII", old, new, shares, price)


def hidden_trade(shares, match):
    return head(b"P") + pack(">QcI8sIQ", 0, b"B", shares, b"ABCD    ", 1_000_000, match)


def cross(shares, match):
    return head(b"Q") + pack(">Q8sIQc", shares, b"ABCD    ", 1_000_000, match, b"O")


def broken(match):
    return head(b"B") + pack(">Q", match)


@pytest.fixture
def read(tmp_path):
    numbers = count()

    def _read(*messages, tail=b""):
        path = tmp_path / f"feed{next(numbers)}.itch"
        path.write_bytes(b"".join(pack(">H", len(message)) + message for message in messages) + tail)
        return read_books(path)

    return _read


def test_levels_add_up_best_first(read):
    books = read(
        directory(),
        add(1, b"B", 300, 999_900),
        add(2, b"B", 200, 1_000_000),
        add_with_mpid(3, b"B", 50, 999_900),
        add(4, b"S", 10, 1_000_200),
        add(5, b"S", 20, 1_000_100),
    )
    assert books == {
        "ABCD": {
            "bids": [[1_000_000, 200], [999_900, 350]],
            "asks": [[1_000_100, 20], [1_000_200, 10]],
            "trades": 0,
            "volume": 0,
        }
    }


def test_every_way_in_which_an_order_shrinks(read):
    books = read(
        directory(),
        add(1, b"B", 300, 1_000_000),
        reduced(1, 100),
        executed(1, 50, 1),
        add(2, b"B", 40, 1_000_000),
        deleted(2),
        add(3, b"B", 70, 999_900),
        executed_with_price(3, 70, 2, b"Y"),
    )
    assert books["ABCD"] == {"bids": [[1_000_000, 150]], "asks": [], "trades": 2, "volume": 120}


def test_a_replace_keeps_side_and_stock_under_the_new_number(read):
    books = read(directory(), add(1, b"S", 300, 1_000_000), replaced(1, 2, 250, 1_000_100), executed(2, 50, 9))
    assert books["ABCD"] == {"bids": [], "asks": [[1_000_100, 200]], "trades": 1, "volume": 50}


def test_hidden_trades_crosses_and_broken_trades_count(read):
    books = read(directory(), hidden_trade(100, 1), cross(500, 2), cross(0, 3), hidden_trade(30, 4), broken(4))
    assert (books["ABCD"]["trades"], books["ABCD"]["volume"]) == (2, 600)


def test_what_is_not_printable_leaves_the_book_and_is_not_volume(read):
    books = read(directory(), add(1, b"B", 100, 1_000_000), executed_with_price(1, 100, 5, b"N"), cross(100, 5))
    assert books["ABCD"] == {"bids": [], "asks": [], "trades": 1, "volume": 100}


AUCTION = [
    add(1, b"B", 100, 1_010_000),
    add(2, b"S", 150, 990_000),
    executed_with_price(1, 100, 5, b"N"),
    executed_with_price(2, 100, 5, b"N"),
]


def test_an_auction_counts_as_one_trade_of_which_each_part_can_be_broken_once(read):
    traded = [directory(), state(b"Q"), *AUCTION, cross(130, 7), state(b"T")]
    assert read(*traded)["ABCD"] == {"bids": [], "asks": [[990_000, 50]], "trades": 1, "volume": 130}
    assert read(*traded, broken(5))["ABCD"]["volume"] == 30
    assert read(*traded, broken(6))["ABCD"]["volume"] == 130  # of the 30 shares that nobody displayed


def test_a_book_may_be_crossed_while_its_stock_does_not_trade(read):
    books = read(directory(), state(b"Q"), *AUCTION[:2])
    assert (books["ABCD"]["bids"], books["ABCD"]["asks"]) == ([[1_010_000, 100]], [[990_000, 150]])
    with pytest.raises(BadFeed, match="ABCD trades, and its best bid 1010000 meets its best ask 990000"):
        read(directory(), state(b"Q"), *AUCTION[:2], state(b"T"))


def test_stocks_are_kept_apart_and_named(read):
    books = read(directory(), directory(b"XY", 8), add(1, b"B", 100, 5), add(2, b"B", 200, 5, locate=8))
    assert (books["ABCD"]["bids"], books["XY"]["bids"]) == ([[5, 100]], [[5, 200]])


def test_a_record_of_length_zero_ends_the_reading(read):
    assert read(directory(), tail=b"\0\0junk") == {"ABCD": {"bids": [], "asks": [], "trades": 0, "volume": 0}}


BAD = {
    "executed beyond its quantity": [add(1, b"B", 100, 5), executed(1, 101, 1)],
    "executed without an order": [executed(1, 1, 1)],
    "nothing executed": [add(1, b"B", 100, 5), executed(1, 0, 1)],
    "match number used twice": [add(1, b"B", 100, 5), executed(1, 1, 1), executed(1, 1, 1)],
    "reference used twice": [add(1, b"B", 100, 5), add(1, b"B", 100, 5)],
    "reference comes back": [add(1, b"B", 100, 5), deleted(1), add(1, b"B", 100, 5)],
    "deleted twice": [add(1, b"B", 100, 5), deleted(1), deleted(1)],
    "reduced beyond its quantity": [add(1, b"B", 100, 5), reduced(1, 200)],
    "replaced without an order": [replaced(1, 2, 100, 5)],
    "replaced by itself": [add(1, b"B", 100, 5), replaced(1, 1, 100, 5)],
    "an order of no shares": [add(1, b"B", 0, 5)],
    "an order of no side": [add(1, b"?", 100, 5)],
    "a stock nobody listed": [add(1, b"B", 100, 5, locate=9)],
    "an order of another stock": [directory(b"XY", 8), add(1, b"B", 100, 5, locate=8), executed(1, 1, 1)],
    "a trade broken that was not made": [broken(1)],
    "an auction's trade broken twice": [*AUCTION, cross(100, 7), broken(5), broken(5)],
    "an auction of fewer shares than its executions": [*AUCTION, cross(99, 7)],
    "an execution that is not at its auction's price": [
        add(1, b"B", 100, 5),
        executed_with_price(1, 100, 5, b"N", 999_999),
        cross(100, 7),
    ],
    "an auction's trade of three sides": [*AUCTION, add(3, b"S", 100, 5), executed_with_price(3, 100, 5, b"N")],
    "sides of an auction's trade that differ": [*AUCTION[:3], executed_with_price(2, 99, 5, b"N")],
    "an auction's match number used again": [
        *AUCTION,
        cross(100, 7),
        add(3, b"S", 100, 5),
        executed_with_price(3, 100, 5, b"N"),
    ],
    "an unknown type": [b"z" + bytes(18)],
    "a length that is not its type's": [deleted(1) + b"\0"],
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_exchange_may_publish(read, name):
    with pytest.raises(BadFeed, match=r"^message \d+"):
        read(directory(), *BAD[name])


def test_a_file_that_ends_within_a_record(read):
    with pytest.raises(BadFeed, match="message 2: the file ends within it"):
        read(directory(), tail=pack(">H", 19) + deleted(1)[:5])
    with pytest.raises(BadFeed, match="message 2: the file ends within it"):
        read(directory(), tail=b"\0")


def test_it_imports_nothing_but_the_standard_library():
    source = Path("examples/itch_judge.py").read_text()
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules.add((node.module or "").partition(".")[0])
    assert modules
    assert modules <= sys.stdlib_module_names
