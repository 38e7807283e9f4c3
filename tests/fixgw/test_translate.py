"""FIX order messages become commands, or are refused with a text that says what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixgw.translate import Refused, TradedInstrument, Translator, parse_price, parse_quantity
from matching.codes import RejectReason
from matching.commands import CancelOrder, NewOrder, ReplaceOrder
from matching.ids import MAX_PRICE

ALPHA = TradedInstrument(1, b"ALPHA", 7, 100, 1)


class Fields(dict[int, bytes]):
    """A message as the translator sees it, written as `"11=a|55=ALPHA"`."""

    def __init__(self, text: str) -> None:
        pairs = (field.split("=", 1) for field in text.split("|"))
        super().__init__((int(tag), value.encode()) for tag, value in pairs)


@pytest.fixture
def translator() -> Translator:
    return Translator({b"ALPHA": ALPHA})


def test_a_limit_order(translator: Translator) -> None:
    message = Fields("11=o1|1=acct|55=ALPHA|54=1|38=300|40=2|44=100.25|59=3")
    assert translator.new_order(message, 5, 9) == (7, NewOrder(5, 1, 1, 2, 3, 1_002_500, 300, 9, b"o1", b"acct"))


def test_a_market_order_has_no_price_and_is_good_for_the_day(translator: Translator) -> None:
    message = Fields("11=o1|55=ALPHA|54=2|38=300|40=1|44=9")
    assert translator.new_order(message, 5, 9) == (7, NewOrder(5, 1, 2, 1, 0, 0, 300, 9, b"o1", b""))


def test_a_cancel(translator: Translator) -> None:
    message = Fields("11=c1|41=o1|37=281474976710657|55=ALPHA|54=1")
    assert translator.cancel_order(message, 5, 9) == (7, CancelOrder(5, 1, 1, 281474976710657, 0, b"c1", b"o1"))


def test_an_order_id_that_is_not_ours_finds_nothing(translator: Translator) -> None:
    result = translator.cancel_order(Fields("11=c1|41=o1|37=NONE|55=ALPHA|54=1"), 5, 9)
    assert isinstance(result, tuple)
    assert result[1].order_id == 0


def test_a_replace(translator: Translator) -> None:
    message = Fields("11=r1|41=o1|55=ALPHA|54=1|38=200|40=2|44=.5|59=0")
    assert translator.replace_order(message, 5, 0) == (
        7,
        ReplaceOrder(5, 1, 1, 2, 0, 5_000, 200, 0, 0, b"r1", b"o1", b""),
    )


@pytest.mark.parametrize(
    ("change", "reason", "text"),
    [
        ("55=OMEGA", RejectReason.UNKNOWN_INSTRUMENT, "Symbol(55) OMEGA is not traded here"),
        ("54=5", RejectReason.UNSUPPORTED_SIDE, "Side(54) is neither 1 (buy) nor 2 (sell)"),
        ("40=3", RejectReason.UNSUPPORTED_ORD_TYPE, "OrdType(40) is neither 1 (market) nor 2 (limit)"),
        ("59=1", RejectReason.UNSUPPORTED_TIME_IN_FORCE, "TimeInForce(59) is none of"),
        ("44=1.00001", RejectReason.PRICE_OUT_OF_RANGE, "Price(44) 1.00001 has more than 4 decimals"),
        ("44=-1", RejectReason.PRICE_OUT_OF_RANGE, "Price(44) -1 is not a positive decimal number"),
        ("44=0", RejectReason.PRICE_OUT_OF_RANGE, "Price(44) 0 is not above 0"),
        ("44=1e3", RejectReason.PRICE_OUT_OF_RANGE, "Price(44) 1e3 is not a positive decimal number"),
        ("44=200000.0001", RejectReason.PRICE_OUT_OF_RANGE, "at most 200000"),
        ("38=1.5", RejectReason.QUANTITY_OUT_OF_RANGE, "OrderQty(38) 1.5 is not a whole positive number"),
        ("38=0", RejectReason.QUANTITY_OUT_OF_RANGE, "OrderQty(38) 0 is not in 1..4294967295"),
        ("38=4294967296", RejectReason.QUANTITY_OUT_OF_RANGE, "is not in 1..4294967295"),
        ("11=123456789012345678901", RejectReason.TERMS_MISMATCH, "ClOrdID(11) has 21 characters, more than the 20"),
        ("1=12345678901234567", RejectReason.TERMS_MISMATCH, "Account(1) has 17 characters, more than the 16"),
    ],
)
def test_what_makes_no_sense_is_refused(translator: Translator, change: str, reason: RejectReason, text: str) -> None:
    message = Fields("11=o1|55=ALPHA|54=1|38=300|40=2|44=100.25")
    message.update(Fields(change))
    refused = translator.new_order(message, 5, 0)
    assert isinstance(refused, Refused)
    assert refused.reason == reason
    assert text in refused.text


@pytest.mark.parametrize(("tag", "text"), [(44, "Price(44) is missing"), (38, "OrderQty(38) is missing")])
def test_what_is_missing_is_named(translator: Translator, tag: int, text: str) -> None:
    message = Fields("11=o1|55=ALPHA|54=1|38=300|40=2|44=100.25")
    del message[tag]
    refused = translator.new_order(message, 5, 0)
    assert isinstance(refused, Refused)
    assert text in refused.text


@given(st.integers(1, MAX_PRICE), st.integers(0, 3), st.integers(0, 3))
def test_a_price_is_read_exactly(price: int, leading: int, trailing: int) -> None:
    text = "0" * leading + f"{price // 10_000}.{price % 10_000:04d}" + "0" * trailing
    assert parse_price(text.encode()) == price


@given(st.binary(max_size=12))
def test_any_bytes_are_a_quantity_or_a_value_error(text: bytes) -> None:
    try:
        quantity = parse_quantity(text)
    except ValueError:
        return
    assert quantity == float(text)
