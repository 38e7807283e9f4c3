"""FIX order messages become commands, or are refused with a text that says what is wrong."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixgw.conditions import CONDITIONAL, TradingDays
from fixgw.fields import Refused, parse_price, parse_quantity
from fixgw.translate import TradedInstrument, Translator
from matching.codes import RejectReason
from matching.commands import CancelOrder, Conditions, MassCancel, NewOrder, ReplaceOrder
from matching.ids import MAX_PRICE
from matching.operations import trading_day
from matching.wire import decode, encode

ALPHA = TradedInstrument(1, b"ALPHA", 7, 100, 1)
#: By shard_id.
EXPIRES_AT = {7: 9}.__getitem__


class Fields(dict[int, bytes]):
    """A message as the translator sees it, written as `"11=a|55=ALPHA"`."""

    def __init__(self, text: str) -> None:
        pairs = (field.split("=", 1) for field in text.split("|"))
        super().__init__((int(tag), value.encode()) for tag, value in pairs)


@pytest.fixture
def translator() -> Translator:
    return Translator({b"ALPHA": ALPHA}, EXPIRES_AT)


def test_a_limit_order(translator: Translator) -> None:
    message = Fields("11=o1|1=acct|55=ALPHA|54=1|38=300|40=2|44=100.25|59=3")
    assert translator.new_order(message, 5) == (7, NewOrder(5, 1, 1, 2, 3, 1_002_500, 300, 9, b"o1", b"acct"))


def test_a_market_order_has_no_price_and_is_good_for_the_day(translator: Translator) -> None:
    message = Fields("11=o1|55=ALPHA|54=2|38=300|40=1|44=9")
    assert translator.new_order(message, 5) == (7, NewOrder(5, 1, 2, 1, 0, 0, 300, 9, b"o1", b""))


def test_a_cancel(translator: Translator) -> None:
    message = Fields("11=c1|41=o1|37=281474976710657|55=ALPHA|54=1")
    assert translator.cancel_order(message, 5) == (7, CancelOrder(5, 1, 1, 281474976710657, 0, b"c1", b"o1"))


def test_an_order_id_that_is_not_ours_finds_nothing(translator: Translator) -> None:
    result = translator.cancel_order(Fields("11=c1|41=o1|37=NONE|55=ALPHA|54=1"), 5)
    assert isinstance(result, tuple)
    assert result[1].order_id == 0


def test_a_replace(translator: Translator) -> None:
    message = Fields("11=r1|41=o1|55=ALPHA|54=1|38=200|40=2|44=.5|59=0")
    assert translator.replace_order(message, 5) == (
        7,
        ReplaceOrder(5, 1, 1, 2, 0, 5_000, 200, 0, 9, b"r1", b"o1", b""),
    )


@pytest.mark.parametrize(
    ("change", "reason", "text"),
    [
        ("55=OMEGA", RejectReason.UNKNOWN_INSTRUMENT, "Symbol(55) OMEGA is not traded here"),
        ("54=5", RejectReason.UNSUPPORTED_SIDE, "Side(54) is neither 1 (buy) nor 2 (sell)"),
        ("40=7", RejectReason.UNSUPPORTED_ORD_TYPE, "OrdType(40) is none of 1, 2, 3, 4, K, P"),
        ("59=5", RejectReason.UNSUPPORTED_TIME_IN_FORCE, "TimeInForce(59) is none of"),
        ("44=1.00001", RejectReason.PRICE_OUT_OF_RANGE, "Price(44) 1.00001 has more than 4 decimals"),
        ("44=-1", RejectReason.PRICE_OUT_OF_RANGE, "Price(44) -1 is not a positive decimal number"),
        ("44=0", RejectReason.PRICE_OUT_OF_RANGE, "Price(44) 0 is not above 0"),
        ("44=1e3", RejectReason.PRICE_OUT_OF_RANGE, "Price(44) 1e3 is not a positive decimal number"),
        ("44=200000.0001", RejectReason.PRICE_OUT_OF_RANGE, "at most 200000"),
        ("38=1.5", RejectReason.QUANTITY_OUT_OF_RANGE, "OrderQty(38) 1.5 is not a whole positive number"),
        ("38=0", RejectReason.QUANTITY_OUT_OF_RANGE, "OrderQty(38) 0 is not in 1..4294967295"),
        ("38=4294967296", RejectReason.QUANTITY_OUT_OF_RANGE, "is not in 1..4294967295"),
        ("99=0", RejectReason.BAD_STOP_PRICE, "StopPx(99) 0 is not above 0 and at most 200000"),
        ("111=1.5", RejectReason.BAD_DISPLAY_QUANTITY, "MaxFloor(111) 1.5 is not a whole positive number"),
        ("1138=0", RejectReason.BAD_DISPLAY_QUANTITY, "DisplayQty(1138) 0 is not in 1..4294967295"),
        ("110=-1", RejectReason.BAD_MINIMUM_QUANTITY, "MinQty(110) -1 is not a whole positive number"),
        ("18=6 G", RejectReason.UNSUPPORTED_INSTRUCTION, "ExecInst(18) G (all or none) is not served"),
        ("18=1", RejectReason.UNSUPPORTED_INSTRUCTION, "ExecInst(18) 1 is none of 6 (post only), R, P, M (pegs)"),
        ("18=R M", RejectReason.UNSUPPORTED_INSTRUCTION, "ExecInst(18) R M is none of"),
        (
            "168=20261122-16:30:00",
            RejectReason.UNSUPPORTED_INSTRUCTION,
            "EffectiveTime(168) 20261122-16:30:00 is",
        ),
        (
            "52=20261122-16:29:59.999|168=20261122-16:30:00",
            RejectReason.UNSUPPORTED_INSTRUCTION,
            "EffectiveTime(168) 20261122-16:30:00 is not served",
        ),
        ("52=20261122-16:29:59|168=x", RejectReason.UNSUPPORTED_INSTRUCTION, "EffectiveTime(168) x is not served"),
        ("210=100", RejectReason.UNSUPPORTED_INSTRUCTION, "MaxShow(210) 100 is not served: leave it out"),
        ("210=299", RejectReason.UNSUPPORTED_INSTRUCTION, "MaxShow(210) 299 is not served"),
        ("210=0", RejectReason.UNSUPPORTED_INSTRUCTION, "MaxShow(210) 0 is not served"),
        ("210=300.5", RejectReason.UNSUPPORTED_INSTRUCTION, "MaxShow(210) 300.5 is not served"),
        ("388=1", RejectReason.UNSUPPORTED_INSTRUCTION, "DiscretionInst(388) 1 is not served"),
        ("388=0|389=-0.01", RejectReason.UNSUPPORTED_INSTRUCTION, "DiscretionInst(388) 0 is not served"),
        ("388=0|389=none", RejectReason.UNSUPPORTED_INSTRUCTION, "DiscretionInst(388) 0 is not served"),
        ("388=2|389=0", RejectReason.UNSUPPORTED_INSTRUCTION, "DiscretionInst(388) 2 is not served"),
        ("423=1", RejectReason.UNSUPPORTED_INSTRUCTION, "PriceType(423) 1 is not served"),
        ("18=R|835=1", RejectReason.UNSUPPORTED_INSTRUCTION, "PegMoveType(835) 1 is not served"),
        ("18=R|840=2", RejectReason.UNSUPPORTED_INSTRUCTION, "PegScope(840) 2 is not served"),
        ("847=1", RejectReason.UNSUPPORTED_INSTRUCTION, "TargetStrategy(847) 1 is not served"),
        ("18=R|211=--1", RejectReason.BAD_PEG, "PegOffsetValue(211) --1 is not a decimal number"),
        ("18=R|211=-200000.01", RejectReason.BAD_PEG, "PegOffsetValue(211) -200000.01 is not from -200000 to 200000"),
        ("18=R|211=0.00001", RejectReason.BAD_PEG, "PegOffsetValue(211) 0.00001 has more than 4 decimals"),
        ("18=R|211=1|836=2", RejectReason.BAD_PEG, "PegOffsetType(836) is not 0 (price)"),
        ("126=20261122-16:30:00.5", RejectReason.BAD_EXPIRE_TIME, "ExpireTime(126) 20261122-16:30:00.5 is not a time"),
        ("432=99991231", RejectReason.BAD_EXPIRE_TIME, "ExpireDate(432) 99991231 is not a date that a trading day"),
        ("11=123456789012345678901", RejectReason.TERMS_MISMATCH, "ClOrdID(11) has 21 characters, more than the 20"),
        ("1=12345678901234567", RejectReason.TERMS_MISMATCH, "Account(1) has 17 characters, more than the 16"),
    ],
)
def test_what_makes_no_sense_is_refused(translator: Translator, change: str, reason: RejectReason, text: str) -> None:
    message = Fields("11=o1|55=ALPHA|54=1|38=300|40=2|44=100.25")
    message.update(Fields(change))
    refused = translator.new_order(message, 5)
    assert isinstance(refused, Refused)
    assert refused.reason == reason
    assert text in refused.text


@pytest.mark.parametrize(("tag", "text"), [(44, "Price(44) is missing"), (38, "OrderQty(38) is missing")])
def test_what_is_missing_is_named(translator: Translator, tag: int, text: str) -> None:
    message = Fields("11=o1|55=ALPHA|54=1|38=300|40=2|44=100.25")
    del message[tag]
    refused = translator.new_order(message, 5)
    assert isinstance(refused, Refused)
    assert text in refused.text


# Conditions


def asked(text: str, translator: Translator) -> Conditions | None:
    translated = translator.new_order(Fields(f"11=o1|55=ALPHA|54=1|38=300|{text}"), 5)
    assert isinstance(translated, tuple)
    return translated[1].conditions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("40=2|44=1", None),
        ("40=2|44=1|423=2", None),
        ("40=2|44=1|210=300", None),
        ("40=2|44=1|210=300.0", None),
        ("40=2|44=1|210=301", None),
        ("40=2|44=1|210=300|111=100", Conditions(display_qty=100)),
        ("40=2|44=1|388=0", None),
        ("40=2|44=1|388=0|389=-0.00", None),
        ("40=2|44=1|52=20261122-16:30:00|168=20261122-16:30:00", None),
        ("40=2|44=1|52=20261122-16:30:00.001|168=20261121-20:00:00", None),
        ("40=3|99=9.5", Conditions(stop_price=95_000)),
        ("40=2|44=1|111=100", Conditions(display_qty=100)),
        ("40=2|44=1|1138=50|111=100", Conditions(display_qty=50)),
        ("40=2|44=1|110=100", Conditions(min_qty=100)),
        ("40=2|44=1|110=0", None),
        ("40=2|44=1|18=6", Conditions(exec_inst=6)),
        ("40=P|18=R|211=-0.01", Conditions(peg=ord("R"), peg_offset=-100)),
        ("40=P|18=R|211=-0.0", Conditions(peg=ord("R"))),
        ("40=P|18=R|835=0|840=1", Conditions(peg=ord("R"))),
        ("40=P|18=P P|211=.5", Conditions(peg=ord("P"), peg_offset=5_000)),
        ("40=P|44=9|18=M 6|211=-0.00", Conditions(exec_inst=6, peg=ord("M"))),
        ("40=2|44=1|59=6|126=20261122-16:30:00.500", Conditions(expire_at=1_795_365_000_500_000_000)),
        ("40=2|44=1|59=6|126=19691231-23:00:00", Conditions(expire_at=1)),
        ("40=2|44=1|59=6|126=99991231-23:00:00", Conditions(expire_at=2**63 - 1)),
        ("40=2|44=1|59=6|126=20261122-16:30:00|432=20261231", Conditions(expire_at=1_795_365_000_000_000_000)),
    ],
)
def test_conditions(translator: Translator, text: str, expected: Conditions | None) -> None:
    assert asked(text, translator) == expected


@pytest.mark.parametrize(
    ("zone", "rolls_at", "end"),
    [
        ("UTC", time(0), "2026-11-23T00:00:00+00:00"),
        ("America/New_York", time(17, 30), "2026-11-23T17:30:00-05:00"),
        ("Asia/Tokyo", time(6), "2026-11-23T06:00:00+09:00"),
    ],
)
def test_an_expire_date_is_the_end_of_that_trading_day(zone: str, rolls_at: time, end: str) -> None:
    translator = Translator({b"ALPHA": ALPHA}, EXPIRES_AT, TradingDays(ZoneInfo(zone), rolls_at))
    found = asked("40=2|44=1|59=6|432=20261122", translator)
    assert found is not None
    at = found.expire_at
    assert at == int(datetime.fromisoformat(end).timestamp()) * 10**9
    assert trading_day(at - 1, ZoneInfo(zone), rolls_at).day == 20261122
    assert trading_day(at, ZoneInfo(zone), rolls_at).day == 20261123


@pytest.mark.parametrize(
    ("text", "ord_type", "price"),
    [("40=4|44=1|99=2", 4, 10_000), ("40=K", 75, 0), ("40=P|44=3", 80, 30_000), ("40=P", 80, 0)],
)
def test_types_that_may_have_a_limit(translator: Translator, text: str, ord_type: int, price: int) -> None:
    translated = translator.new_order(Fields(f"11=o1|55=ALPHA|54=1|38=300|{text}"), 5)
    assert isinstance(translated, tuple)
    assert (translated[1].ord_type, translated[1].price) == (ord_type, price)


@pytest.mark.parametrize(("value", "code"), [("1", 1), ("2", 2), ("6", 6), ("7", 7), ("B", 66)])
def test_times_in_force(translator: Translator, value: str, code: int) -> None:
    translated = translator.new_order(Fields(f"11=o1|55=ALPHA|54=1|38=300|40=2|44=1|59={value}"), 5)
    assert isinstance(translated, tuple)
    assert translated[1].time_in_force == code


def test_a_replace_has_conditions_too(translator: Translator) -> None:
    message = Fields("11=r1|41=o1|55=ALPHA|54=1|38=200|40=4|44=.5|99=1|59=1")
    translated = translator.replace_order(message, 5)
    assert translated == (7, ReplaceOrder(5, 1, 1, 4, 1, 5_000, 200, 0, 9, b"r1", b"o1", b"", Conditions(10_000)))


@given(
    st.dictionaries(
        st.sampled_from(sorted(CONDITIONAL)),
        st.sampled_from(
            [b"0", b"1", b"-1.5", b"6", b"R", b"20261122", b"99991231", b"20261122-10:00:00", b"4294967295"]
        )
        | st.binary(max_size=12),
    )
)
def test_whatever_an_order_asks_for_is_a_command_that_can_be_sent_or_refused(extra: dict[int, bytes]) -> None:
    message = Fields("11=o1|55=ALPHA|54=1|38=300|40=2|44=1") | extra
    translated = Translator({b"ALPHA": ALPHA}, EXPIRES_AT).new_order(message, 5)
    if isinstance(translated, tuple):
        assert decode(*encode(translated[1])) == translated[1]


# Mass cancels

SESSIONS = {b"AMBER1": 41, b"AMBER2": 42}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("530=7", (0, MassCancel(5, 41, 0, 0, b"m1"))),
        ("530=7|54=2", (0, MassCancel(5, 41, 0, 2, b"m1"))),
        ("530=1|55=ALPHA", (7, MassCancel(5, 41, 1, 0, b"m1"))),
        ("530=7|55=ALPHA", (7, MassCancel(5, 41, 1, 0, b"m1"))),
        ("530=7|5530=AMBER2", (0, MassCancel(5, 42, 0, 0, b"m1"))),
        ("530=7|5530=*", (0, MassCancel(5, 0, 0, 0, b"m1"))),
        ("530=1", "MassCancelRequestType(530) is neither 7 (all orders) nor 1 (of a security) with Symbol(55)"),
        ("530=3", "MassCancelRequestType(530) is neither 7 (all orders) nor 1 (of a security) with Symbol(55)"),
        ("530=1|55=OMEGA", "Symbol(55) OMEGA is not traded here"),
        ("530=7|54=5", "Side(54) is neither 1 (buy) nor 2 (sell)"),
        ("530=7|5530=BIRCH", "MassCancelSession(5530) BIRCH is neither * nor a session of your firm"),
    ],
)
def test_mass_cancels(translator: Translator, text: str, expected: object) -> None:
    found = translator.mass_cancel(Fields(f"11=m1|{text}"), 5, 41, SESSIONS)
    assert (found.text if isinstance(found, Refused) else found) == expected


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
