"""ITCH 5.0 layouts, judged by the specification's table (itch50_layout.csv) and by an independent decoder."""

import csv
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itch import messages as itchfeed

from marketdata import itch

HERE = Path(__file__).parent

with (HERE / "itch50_layout.csv").open() as file:
    ROWS = [row for row in csv.DictReader(file) if row["msg_type"] != "G"]  # G is GLIMPSE's, not the feed's
TYPES = sorted({row["msg_type"] for row in ROWS})

RANGES = {"u16": 16, "u32": 32, "u48": 48, "u64": 64, "price4": 32, "price8": 64}


def rows_of(message_type: str) -> list[dict[str, str]]:
    return [row for row in ROWS if row["msg_type"] == message_type]


def a_value(kind: itch.Kind) -> st.SearchStrategy[int | bytes]:
    if kind.name in RANGES:
        return st.integers(0, (1 << RANGES[kind.name]) - 1)
    return st.binary(min_size=kind.width, max_size=kind.width)


def a_message(layout: itch.Layout) -> st.SearchStrategy[itch.Message]:
    return st.builds(layout.message_class, *(a_value(kind) for kind in layout.fields.values()))


any_message = st.one_of([a_message(layout) for layout in itch.LAYOUTS.values()])


def test_every_message_of_the_specification_has_a_layout() -> None:
    assert sorted(chr(code) for code in itch.LAYOUTS) == TYPES


@pytest.mark.parametrize("message_type", TYPES)
def test_fields_kinds_offsets_and_lengths_are_the_specifications(message_type: str) -> None:
    layout = itch.LAYOUTS[ord(message_type)]
    rows = rows_of(message_type)
    offset = 1
    ours = [("message_type", 0, 1, "char")]
    for name, kind in layout.fields.items():
        ours.append((name, offset, kind.width, kind.name))
        offset += kind.width
    assert ours == [(row["field"], int(row["offset"]), int(row["length"]), row["kind"]) for row in rows]
    assert {layout.length} == {int(row["total_length"]) for row in rows}


@pytest.mark.parametrize("message_type", TYPES)
def test_each_field_stands_at_its_offset(message_type: str) -> None:
    """Marks every byte of the message with its own offset, then reads the fields back by the specification's table."""
    rows = rows_of(message_type)
    data = message_type.encode() + bytes(range(1, int(rows[0]["total_length"])))
    message = itch.decode(data)
    for row in rows[1:]:
        place = data[int(row["offset"]) : int(row["offset"]) + int(row["length"])]
        expected = place if row["kind"] in ("char", "alpha") else int.from_bytes(place, "big")
        assert getattr(message, row["field"]) == expected, row["field"]
    assert itch.encode(message) == data


@given(any_message)
def test_round_trip(message: itch.Message) -> None:
    assert itch.decode(itch.encode(message)) == message


@given(any_message)
def test_an_independent_decoder_reads_and_writes_the_same_bytes(message: itch.Message) -> None:
    data = itch.encode(message)
    foreign = itchfeed.messages[message.message_type](data)
    assert foreign.to_bytes() == data
    assert (foreign.stock_locate, foreign.tracking_number, foreign.timestamp) == (
        message.stock_locate,
        message.tracking_number,
        message.timestamp,
    )


def test_the_independent_decoder_knows_no_message_that_we_do_not() -> None:
    assert {code[0] for code in itchfeed.messages} == set(itch.LAYOUTS)


@pytest.mark.parametrize("message_type", TYPES)
def test_fields_mean_the_same_to_the_independent_decoder(message_type: str) -> None:
    data = message_type.encode() + bytes(range(1, itch.LAYOUTS[ord(message_type)].length))
    ours = itch.decode(data)
    foreign = itchfeed.messages[message_type.encode()](data)
    shared = set(ours.__struct_fields__) & set(vars(foreign))
    assert len(shared) >= 3
    for name in shared:
        assert getattr(ours, name) == getattr(foreign, name), name


@pytest.mark.parametrize("message_type", TYPES)
def test_a_wrong_length_is_refused(message_type: str) -> None:
    data = message_type.encode() + bytes(itch.LAYOUTS[ord(message_type)].length)
    for wrong in (data, data[:-2], data[:1]):
        with pytest.raises(itch.ItchError, match="layout says"):
            itch.decode(wrong)


@pytest.mark.parametrize("data", [b"", b"Z", b"\x00" * 36, b"a" + bytes(35)])
def test_an_unknown_type_is_refused(data: bytes) -> None:
    with pytest.raises(itch.ItchError, match="no ITCH"):
        itch.decode(data)


def test_an_exact_message() -> None:
    message = itch.AddOrder(7, 0, 0x0102030405, 0x0001000000000009, b"B", 300, b"AAPL    ", 1_500_000)
    assert itch.encode(message).hex(" ", 1) == (
        "41 00 07 00 00 00 01 02 03 04 05 00 01 00 00 00 00 00 09 42 00 00 01 2c 41 41 50 4c 20 20 20 20 00 16 e3 60"
    )


@pytest.mark.parametrize(
    "message",
    [
        itch.OrderDelete(1, 0, 1 << 48, 5),
        itch.OrderDelete(1, 0, -1, 5),
        itch.OrderDelete(1 << 16, 0, 0, 5),
        itch.OrderDelete(1, 1 << 16, 0, 5),
        itch.OrderDelete(1, 0, 0, 1 << 64),
        itch.OrderCancel(1, 0, 0, 5, -1),
        itch.RegSHORestriction(1, 0, 0, b"AAPL", b"0"),
        itch.RegSHORestriction(1, 0, 0, b"TOO LONG ", b"0"),
        itch.RegSHORestriction(1, 0, 0, b"AAPL    ", b""),
    ],
)
def test_what_does_not_fit_is_refused(message: itch.Message) -> None:
    with pytest.raises(itch.ItchError):
        itch.encode(message)


def test_alpha_pads_on_the_right() -> None:
    assert itch.alpha("AAPL") == b"AAPL    "
    assert itch.alpha("", 4) == b"    "
    assert itch.alpha("LUDP", 4) == b"LUDP"


@pytest.mark.parametrize("text", ["NINECHARS", "ÄPFEL", "A\x00B", "A\nB"])
def test_alpha_refuses_what_is_no_alphanumeric_field(text: str) -> None:
    with pytest.raises(itch.ItchError):
        itch.alpha(text)


ENCODERS = {
    itch.AddOrder: itch.encode_add_order,
    itch.AddOrderWithMPID: itch.encode_add_order_with_mpid,
    itch.OrderExecuted: itch.encode_order_executed,
    itch.OrderExecutedWithPrice: itch.encode_order_executed_with_price,
    itch.OrderCancel: itch.encode_order_cancel,
    itch.OrderDelete: itch.encode_order_delete,
    itch.OrderReplace: itch.encode_order_replace,
    itch.Trade: itch.encode_trade,
}


@given(st.one_of([a_message(itch.LAYOUTS[message.message_type[0]]) for message in ENCODERS]))
def test_the_fast_encoders_make_the_same_bytes(message: itch.Message) -> None:
    values = {name: getattr(message, name) for name in message.__struct_fields__}
    del values["tracking_number"]
    plain = type(message)(tracking_number=0, **values)
    assert ENCODERS[type(message)](**values) == itch.encode(plain)


def test_field_types_are_the_ones_the_table_is_made_of() -> None:
    hints = get_type_hints(itch.StockDirectory)
    assert hints["round_lot_size"] is int
    assert hints["stock"] is bytes
