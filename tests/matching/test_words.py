"""Commands and events as an operator reads them."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from matching.codes import CancelReason, Phase, SelfMatch, TradingState
from matching.commands import (
    Advance,
    BustTrade,
    Command,
    Conditions,
    DefineInstrument,
    DefineParticipant,
    DefineRules,
    DefineSession,
    DefineTick,
    NewOrder,
    SchedulePhase,
    SetCircuitBreaker,
    SetEntryBlock,
    SetPhase,
    SetTradingState,
    StartDay,
)
from matching.events import Event, OrderCanceled, OrderTerms
from matching.words import in_words

NS = 1_000_000_000
SEVEN = 1_795_330_800 * NS


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Advance(), "advance"),
        (BustTrade(17), "bust trade: match number 17"),
        (
            DefineInstrument(1, b"ALPHA", 100, 1, 100),
            "define instrument: instrument ALPHA, symbol ALPHA, tick size 0.01, lot size 1, round lot size 100",
        ),
        (
            StartDay(20261122, b"2611220001", SEVEN),
            "start day: day 20261122, feed session 2611220001, midnight 2026-11-22 07:00:00 UTC",
        ),
        (
            SchedulePhase(0, Phase.PRE_OPEN, SEVEN),
            "schedule phase: all instruments, phase pre_open, at 2026-11-22 07:00:00 UTC",
        ),
        (SetPhase(1, Phase.HALTED, b""), "set phase: instrument ALPHA, phase halted"),
        (
            SetTradingState(9, TradingState.HALTED, b"T1"),
            "set trading state: instrument 9, state halted, reason T1",
        ),
        (
            DefineRules(1, 500, 1_050, 0, 10, 12_345, 120 * NS, NS // 2),
            "define rules: instrument ALPHA, static band 5 %, dynamic band 10.5 %, fat finger 0 %, max quantity 10, "
            "max value 1.2345, pause 120 s, reopening 0.5 s",
        ),
        (DefineTick(1, 1_000_000, 500), "define tick: instrument ALPHA, from price 100.00, tick size 0.05"),
        (
            DefineParticipant(4, 0, SelfMatch.CANCEL_RESTING),
            "define participant: participant id 4, self match group 0, self match cancel_resting",
        ),
        (
            DefineSession(3, 4, 1, 1),
            "define session: session id 3, participant id 4, source id 1, cancel on disconnect yes",
        ),
        (SetEntryBlock(4, 0, 0), "set entry block: participant id 4, session id 0, blocked no"),
        (
            SetCircuitBreaker(465_025_000_000, 435_000_000_000, 1),
            "set circuit breaker: level 1 4650.25, level 2 4350.00, level 3 0.00000001",
        ),
        (
            NewOrder(1, 1, 1, 2, 6, 100_050, 5, 0, b"a\x01", b"", Conditions(peg_offset=-50)),
            "new order: participant id 1, instrument ALPHA, side buy, ord type limit, time in force good_till_date, "
            "price 10.005, quantity 5, expires at never, cl ord id a\\x01, conditions (conditions: stop price 0.00, "
            "display qty 0, min qty 0, exec inst 0, peg 0, peg offset -0.005, expire at never)",
        ),
    ],
)
def test_a_command_is_one_line_of_words(message: Struct, words: str) -> None:
    assert in_words(message, lambda each: "ALPHA" if each == 1 else str(each)) == words


def test_a_reason_is_the_events_own() -> None:
    terms = OrderTerms(1, 1, 1, 1, 1, 2, 0, 100_000, 10, b"a", b"")
    assert "reason price_band" in in_words(OrderCanceled(terms, b"a", 0, 10, CancelReason.PRICE_BAND, 1, 0, 0))


@given(st.one_of(*(st.from_type(each) for each in (*get_args(Command), *get_args(Event)))))
def test_whatever_it_is_it_has_words_on_one_line(message: Any) -> None:
    assert in_words(message).isprintable()
