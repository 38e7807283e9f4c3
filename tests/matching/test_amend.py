"""Replaces: what keeps its place, what comes in again, and what is refused."""

import pytest

from matching.codes import Phase
from matching.commands import Conditions, DefineParticipant, SetEntryBlock, SetPhase
from tests.matching.sitting import BUY, GFA, GTC, MARKET, SELL, Sitting
from tests.matching.told import LEFTOVER, STOP_LIMIT, opened, replace, told

SHOWS_2 = Conditions(display_qty=2)
POST_ONLY = Conditions(exec_inst=6)


def reserve() -> Sitting:
    """o1 offers 10 of which it shows 2."""
    sitting = opened()
    sitting.order(SELL, 10, 100, conditions=SHOWS_2)
    return sitting


def test_a_reserve_is_reduced_in_its_hidden_part_first() -> None:
    assert told(replace(reserve(), 1, SELL, 5, 100, SHOWS_2)) == [("reduced", b"r1", 0, 5)]
    sitting = reserve()
    sitting.order(BUY, 9, 100)
    sitting.order(BUY, 7, 90)
    assert sitting.engine.order(1 << 48 | 1).leaves_qty == 1  # type: ignore[union-attr]
    assert told(replace(sitting, 1, SELL, 9, 100, SHOWS_2)) == [("rejected", "QUANTITY_ALREADY_EXECUTED")]


def test_what_is_displayed_shrinks_when_nothing_is_hidden() -> None:
    sitting = reserve()
    sitting.order(BUY, 6, 100)
    assert told(replace(sitting, 1, SELL, 7, 100, SHOWS_2)) == [("reduced", b"r1", 1, 1)]
    asks = sitting.engine.book(1).asks
    assert (asks.best.quantity, asks.best.hidden, asks.hidden) == (1, 0, 0)  # type: ignore[union-attr]


def test_another_displayed_quantity_loses_the_place() -> None:
    events = told(replace(reserve(), 1, SELL, 10, 100, Conditions(display_qty=3)))
    assert events == [("replaced", b"r1", 0, 10), ("booked", 1, 3, 100)]


@pytest.mark.parametrize(
    ("conditions", "ord_type", "time_in_force"),
    [(None, 2, 0), (Conditions(exec_inst=6, min_qty=1), 2, 0), (POST_ONLY, MARKET, 0), (POST_ONLY, 2, GTC)],
)
def test_terms_that_a_replace_cannot_change(conditions: Conditions | None, ord_type: int, time_in_force: int) -> None:
    sitting = opened()
    sitting.order(BUY, 5, 100, conditions=POST_ONLY)
    events = told(replace(sitting, 1, BUY, 5, 101, conditions, ord_type, time_in_force))
    assert events == [("rejected", "TERMS_MISMATCH")]


def test_a_post_only_order_is_not_replaced_into_a_trade() -> None:
    sitting = opened()
    sitting.order(SELL, 5, 102)
    sitting.order(BUY, 5, 100, conditions=POST_ONLY)
    assert told(replace(sitting, 2, BUY, 5, 102, POST_ONLY)) == [("rejected", "WOULD_TRADE")]
    assert told(replace(sitting, 2, BUY, 5, 101, POST_ONLY)) == [("replaced", b"r2", 3, 5)]


def test_a_minimum_quantity_is_for_the_first_time_only() -> None:
    sitting = opened()
    sitting.order(SELL, 2, 100)
    sitting.order(BUY, 5, 100, conditions=Conditions(min_qty=2))
    sitting.order(SELL, 1, 101)
    events = told(replace(sitting, 2, BUY, 6, 101, Conditions(min_qty=2)))
    assert events == [("replaced", b"r2", 0, 4), ("trade", b"o3", b"r2", 1, 101), ("booked", 2, 3, 101)]


def test_a_waiting_stop_gets_another_price_and_may_be_elected() -> None:
    sitting = opened()
    sitting.order(SELL, 1, 100)
    sitting.order(BUY, 1, 100)
    sitting.order(BUY, 2, 110, conditions=Conditions(stop_price=105), ord_type=STOP_LIMIT)
    events = told(replace(sitting, 3, BUY, 2, 110, Conditions(stop_price=104), STOP_LIMIT))
    assert events == [("replaced", b"r3", 0, 2)]
    sitting.orders = 3
    events = told(sitting.order(SELL, 1, 104)) + told(sitting.order(BUY, 1, 104))
    assert events[-2:] == [("triggered", b"r3"), ("booked", 3, 2, 110)]


def test_an_elected_stop_is_replaced_as_the_limit_order_it_has_become() -> None:
    sitting = opened()
    sitting.order(SELL, 1, 100)
    sitting.order(BUY, 1, 100)
    wants = Conditions(stop_price=99)
    sitting.order(BUY, 2, 98, conditions=wants, ord_type=STOP_LIMIT)
    assert told(replace(sitting, 3, BUY, 2, 97, wants, STOP_LIMIT)) == [("replaced", b"r3", 3, 2)]


def test_what_was_left_of_a_market_order_keeps_its_price() -> None:
    sitting = opened()
    sitting.order(SELL, 1, 100)
    sitting.order(BUY, 3, ord_type=LEFTOVER)
    assert told(replace(sitting, 2, BUY, 3, 101, ord_type=LEFTOVER)) == [("rejected", "PRICE_OUT_OF_RANGE")]
    events = told(replace(sitting, 2, BUY, 5, ord_type=LEFTOVER))
    assert events == [("replaced", b"r2", 0, 4), ("booked", 2, 4, 100)]


def test_what_was_left_of_a_market_order_does_not_become_a_limit_order() -> None:
    sitting = opened()
    sitting.order(SELL, 1, 100)
    sitting.order(BUY, 3, ord_type=LEFTOVER)
    assert told(replace(sitting, 2, BUY, 3, 100)) == [("rejected", "TERMS_MISMATCH")]


def test_quantity_that_was_lost_does_not_come_back() -> None:
    sitting = opened()
    sitting(DefineParticipant(1, 0, 4))
    sitting.order(SELL, 5, 100)
    sitting.order(BUY, 2, 100)
    assert told(replace(sitting, 1, SELL, 2, 100)) == [("rejected", "QUANTITY_ALREADY_EXECUTED")]
    assert told(replace(sitting, 1, SELL, 6, 100)) == [("replaced", b"r1", 2, 4)]


def test_in_a_call_phase_a_replaced_order_is_queued_again_and_does_not_trade() -> None:
    sitting = opened()
    sitting(SetPhase(1, Phase.CLOSING_AUCTION, b""))
    sitting.order(SELL, 5, 100)
    sitting.order(BUY, 5, 99)
    sitting.order(BUY, 5, 99, GFA)
    assert told(replace(sitting, 2, BUY, 5, 101)) == [("replaced", b"r2", 3, 5)]
    assert told(replace(sitting, 3, BUY, 6, 101, time_in_force=GFA)) == [("replaced", b"r3", 0, 6)]


def test_a_parked_order_is_replaced_where_it_waits() -> None:
    sitting = opened()
    sitting.order(BUY, 5, 100, GFA)
    assert told(replace(sitting, 1, BUY, 6, 101, time_in_force=GFA)) == [("replaced", b"r1", 0, 6)]
    assert sitting.engine.instruments()[0].parked.hidden == 6


@pytest.mark.parametrize(
    ("phase", "reason"),
    [(Phase.HALTED, "INSTRUMENT_HALTED"), (Phase.CLOSED, "NOT_IN_THIS_PHASE"), (Phase.POST_CLOSE, "NOT_IN_THIS_PHASE")],
)
def test_a_phase_without_entry_takes_no_replaces_but_cancels(phase: int, reason: str) -> None:
    sitting = opened()
    sitting.order(BUY, 5, 100)
    sitting(SetPhase(1, phase, b""))
    assert told(replace(sitting, 1, BUY, 4, 100)) == [("rejected", reason)]
    assert told(sitting.cancel(1, BUY)) == [("canceled", b"o1", 5, "REQUESTED")]


def test_who_is_blocked_replaces_nothing() -> None:
    sitting = opened()
    sitting(SetEntryBlock(1, 0, 1))
    assert told(sitting.order(BUY, 5, 100)) == [("rejected", "ENTRY_BLOCKED")]
    sitting(SetEntryBlock(1, 0, 0))
    sitting.order(BUY, 5, 100)
    sitting.engine._state.session(1, 1).blocked = True
    assert told(replace(sitting, 2, BUY, 4, 100)) == [("rejected", "ENTRY_BLOCKED")]


def test_an_order_that_lives_on_is_left_alone_while_no_day_is_open() -> None:
    sitting = opened()
    sitting.order(BUY, 5, 100, GTC)
    sitting.end_day()
    assert told(sitting.cancel(1, BUY)) == [("rejected", "MARKET_CLOSED")]
    assert told(replace(sitting, 1, BUY, 4, 100, time_in_force=GTC)) == [("rejected", "MARKET_CLOSED")]
    sitting.start_day()
    assert told(sitting.cancel(1, BUY)) == [("canceled", b"o1", 5, "REQUESTED")]
