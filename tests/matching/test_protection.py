"""Rules, tick sizes and reference prices: what is taken, what is refused, and what they let through."""

import pytest

from matching.book import MARKET_RANK
from matching.codes import RefusalReason, RejectReason
from matching.commands import DefineInstrument, DefineRules, DefineTick, NewOrder, SetReferencePrice, StartDay
from matching.engine import Engine
from matching.ids import MAX_PRICE
from matching.instruments import Instrument
from matching.protection import MAX_DURATION, MAX_TICKS, band, collar, define_rules, define_tick, order_fault
from matching.state import State

BUY, SELL = 1, 2
UNSET = 0


def listed() -> State:
    state = State(1, 128)
    state.instruments.define(DefineInstrument(1, b"ACME", 5, 1, 100))
    return state


def ruled(
    static_band: int = 0, dynamic_band: int = 0, fat_finger: int = 0, max_quantity: int = 0, max_value: int = 0
) -> Instrument:
    state = listed()
    rules = DefineRules(1, static_band, dynamic_band, fat_finger, max_quantity, max_value, 0, 0)
    assert define_rules(state, rules) == 0
    return state.instruments.by_id[1]


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (DefineRules(2, 0, 0, 0, 0, 0, 0, 0), RefusalReason.UNKNOWN_INSTRUMENT),
        (DefineRules(1, 10_001, 0, 0, 0, 0, 0, 0), RefusalReason.BAD_RULES),
        (DefineRules(1, 0, 10_001, 0, 0, 0, 0, 0), RefusalReason.BAD_RULES),
        (DefineRules(1, 0, 0, 10_001, 0, 0, 0, 0), RefusalReason.BAD_RULES),
        (DefineRules(1, 0, 0, 0, 0, 0, MAX_DURATION + 1, 0), RefusalReason.BAD_RULES),
        (DefineRules(1, 0, 0, 0, 0, 0, 0, MAX_DURATION + 1), RefusalReason.BAD_RULES),
        (DefineRules(1, 10_000, 10_000, 10_000, 1, 1, MAX_DURATION, MAX_DURATION), 0),
    ],
)
def test_rules_are_within_bounds(rules: DefineRules, reason: int) -> None:
    state = listed()
    assert define_rules(state, rules) == reason
    assert (state.instruments.by_id[1].rules == rules) == (reason == 0)


def test_rules_switch_protection_on_and_off() -> None:
    instrument = ruled(static_band=1, max_value=1)
    assert (instrument.banded, instrument.protected) == (True, True)
    instrument.take_rules(DefineRules(1, 0, 0, 0, 0, 0, 5, 5))
    assert (instrument.banded, instrument.protected) == (False, False)


@pytest.mark.parametrize(
    ("tick", "reason"),
    [
        (DefineTick(2, 100, 10), RefusalReason.UNKNOWN_INSTRUMENT),
        (DefineTick(1, 0, 10), RefusalReason.BAD_TICK),
        (DefineTick(1, MAX_PRICE + 1, 0), RefusalReason.BAD_TICK),
        (DefineTick(1, MAX_PRICE - 1, 7), RefusalReason.BAD_TICK),
        (DefineTick(1, 1, MAX_PRICE), 0),
        (DefineTick(1, 100, 0), 0),
    ],
)
def test_a_row_of_the_tick_size_table_has_a_price(tick: DefineTick, reason: int) -> None:
    assert define_tick(listed(), tick) == reason


def test_the_tick_size_is_that_of_the_last_row_that_has_begun() -> None:
    state = listed()
    instrument = state.instruments.by_id[1]
    for row in (DefineTick(1, 1_000, 50), DefineTick(1, 100, 10), DefineTick(1, 500, 20), DefineTick(1, 500, 0)):
        assert define_tick(state, row) == 0
    assert instrument.ticks == ((100, 10), (1_000, 50))
    assert [instrument.tick_at(price) for price in (1, 99, 100, 500, 999, 1_000, MAX_PRICE)] == [
        5,
        5,
        10,
        10,
        10,
        50,
        50,
    ]


def test_the_tick_size_table_has_a_bound() -> None:
    state = listed()
    for row in range(MAX_TICKS):
        assert define_tick(state, DefineTick(1, 100 + row, 10)) == 0
    assert define_tick(state, DefineTick(1, 1_000, 10)) == RefusalReason.BAD_TICK
    assert define_tick(state, DefineTick(1, 100, 20)) == 0


def test_tick_sizes_stay_while_orders_stand() -> None:
    engine = Engine(1)
    engine.apply(DefineInstrument(1, b"ACME", 5, 1, 100), 0, 0)
    engine.apply(DefineTick(1, 100, 10), 0, 0)
    engine.apply(StartDay(20250101, b"S", 0), 0, 0)
    engine.apply(NewOrder(1, 1, BUY, 2, 0, 100, 1, 0, b"a", b""), 0, 1)
    assert [event.reason for event in engine.apply(DefineTick(1, 100, 20), 0, 0)] == [  # type: ignore[union-attr]
        RefusalReason.INSTRUMENT_IN_USE
    ]
    assert engine.apply(DefineTick(1, 100, 10), 0, 0) == []  # as it is


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (SetReferencePrice(2, 100), RefusalReason.UNKNOWN_INSTRUMENT),
        (SetReferencePrice(1, 0), RefusalReason.BAD_PRICE),
        (SetReferencePrice(1, MAX_PRICE + 1), RefusalReason.BAD_PRICE),
    ],
)
def test_a_reference_price_is_a_price(command: SetReferencePrice, reason: int) -> None:
    engine = Engine(1)
    engine.apply(DefineInstrument(1, b"ACME", 5, 1, 100), 0, 0)
    assert [event.reason for event in engine.apply(command, 0, 0)] == [reason]  # type: ignore[union-attr]
    assert engine.apply(SetReferencePrice(1, 100), 0, 0) == []
    assert engine.instruments()[0].reference_price == 100


# --- what an order may ask for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instrument", "reference", "price", "quantity", "reason"),
    [
        (ruled(max_quantity=10), UNSET, 100, 10, 0),
        (ruled(max_quantity=10), UNSET, 100, 11, RejectReason.QUANTITY_ABOVE_MAXIMUM),
        (ruled(max_value=1_000), UNSET, 100, 10, 0),
        (ruled(max_value=1_000), UNSET, 100, 11, RejectReason.VALUE_ABOVE_MAXIMUM),
        (ruled(max_value=1_000), 100, 0, 11, RejectReason.VALUE_ABOVE_MAXIMUM),
        (ruled(max_value=1_000), UNSET, 0, 11, 0),
        (ruled(fat_finger=500), 1_000, 1_050, 1, 0),
        (ruled(fat_finger=500), 1_000, 1_055, 1, RejectReason.PRICE_FAR_FROM_REFERENCE),
        (ruled(fat_finger=500), 1_000, 950, 1, 0),
        (ruled(fat_finger=500), 1_000, 945, 1, RejectReason.PRICE_FAR_FROM_REFERENCE),
        (ruled(fat_finger=500), UNSET, 945, 1, 0),
        (ruled(fat_finger=500), 1_000, 0, 1, 0),
        (ruled(max_quantity=1, max_value=1), UNSET, 5, 2, RejectReason.QUANTITY_ABOVE_MAXIMUM),
        (ruled(fat_finger=1, max_value=1), 100, 5, 2, RejectReason.VALUE_ABOVE_MAXIMUM),
    ],
)
def test_what_an_order_may_ask_for(
    instrument: Instrument, reference: int, price: int, quantity: int, reason: int
) -> None:
    instrument.reference_price = reference
    assert order_fault(instrument, price, quantity) == reason


# --- bands ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instrument", "reference", "last", "expected"),
    [
        (ruled(max_quantity=1), 1_000, 1_000, (0, MARKET_RANK)),
        (ruled(static_band=100), 1_000, UNSET, (990, 1_010)),
        (ruled(static_band=100), UNSET, 1_000, (0, MARKET_RANK)),
        (ruled(dynamic_band=100), UNSET, 999, (990, 1_008)),
        (ruled(static_band=100, dynamic_band=100), 1_000, 1_010, (1_000, 1_010)),
        (ruled(static_band=10_000), 1_000, UNSET, (0, 2_000)),
    ],
)
def test_a_trade_must_be_inside_of_all_bands(
    instrument: Instrument, reference: int, last: int, expected: tuple[int, int]
) -> None:
    instrument.reference_price, instrument.last_price = reference, last
    assert band(instrument) == expected


@pytest.mark.parametrize(
    ("instrument", "reference", "last", "widened", "expected"),
    [
        (ruled(static_band=100, dynamic_band=50), 1_000, 1_010, 1, (1_000, 990, 1_010)),
        (ruled(static_band=100, dynamic_band=50), 1_000, 1_010, 3, (1_000, 970, 1_030)),
        (ruled(static_band=100, dynamic_band=50), UNSET, 1_010, 1, (1_010, 1_005, 1_015)),
        (ruled(dynamic_band=50), 1_000, 1_010, 2, (1_010, 1_000, 1_020)),
        (ruled(static_band=9_000), 1_000, UNSET, 2, (1_000, 0, 2_800)),
        (ruled(static_band=9_000), MAX_PRICE, UNSET, 1, (MAX_PRICE, MAX_PRICE // 10, MAX_PRICE)),
        (ruled(static_band=100), UNSET, UNSET, 1, None),
        (ruled(max_value=1), 1_000, 1_000, 1, None),
    ],
)
def test_the_collar_is_the_first_band_there_is(
    instrument: Instrument, reference: int, last: int, widened: int, expected: tuple[int, int, int] | None
) -> None:
    instrument.reference_price, instrument.last_price = reference, last
    assert collar(instrument, widened) == expected
