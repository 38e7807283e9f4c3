"""Pegged orders: where they stand, whom they meet, and what it takes."""

import pytest

from matching import pegs
from matching.codes import Peg, Phase
from matching.commands import Conditions, DefineInstrument, DefineParticipant, DefineRules, DefineTick, SetPhase
from matching.engine import Engine
from matching.events import OrderTerms
from matching.ids import MAX_PRICE
from matching.pegs import peg_price
from tests.matching.sitting import BUY, SELL, Sitting
from tests.matching.told import PEGGED, opened, replace, told

PRIMARY, MARKET, MIDPOINT = Peg.PRIMARY, Peg.MARKET, Peg.MIDPOINT


def peg(sitting: Sitting, side: int, quantity: int, what: int, offset: int = 0, limit: int = 0) -> list[object]:
    conditions = Conditions(peg=int(what), peg_offset=offset)
    return list(told(sitting.order(side, quantity, limit, 0, conditions, PEGGED, 2)))


def spread(bid: int = 100, ask: int = 110) -> Sitting:
    """o1 bids 50, o2 offers 50."""
    sitting = opened()
    sitting.order(BUY, 50, bid)
    sitting.order(SELL, 50, ask)
    return sitting


@pytest.mark.parametrize(
    ("side", "what", "offset", "limit", "price"),
    [
        (BUY, PRIMARY, 0, 0, 1_000),
        (BUY, PRIMARY, -15, 0, 980),  # down to the tick
        (SELL, PRIMARY, -15, 0, 1_090),  # up to the tick
        (BUY, PRIMARY, 500, 0, 1_090),  # a tick away from the other side
        (SELL, PRIMARY, -500, 0, 1_010),
        (BUY, MARKET, -30, 0, 1_070),
        (SELL, MARKET, 30, 0, 1_030),
        (BUY, MARKET, 0, 0, 1_090),
        (BUY, MIDPOINT, 0, 0, 1_050),
        (SELL, MIDPOINT, 0, 0, 1_050),
        (BUY, MIDPOINT, 0, 1_020, 1_020),
        (SELL, MIDPOINT, 0, 1_080, 1_080),
        (BUY, PRIMARY, -2_000, 0, 0),
        (SELL, PRIMARY, MAX_PRICE, 0, 0),
    ],
)
def test_the_price_of_a_peg(side: int, what: int, offset: int, limit: int, price: int) -> None:
    assert price_of(side, what, offset, limit, 1_000, 1_100) == price


def price_of(side: int, what: int, offset: int, limit: int, bid: int, ask: int) -> int:
    engine = Engine(1)
    engine.apply(DefineInstrument(1, b"ACME", 10, 1, 1), 0, 0)
    conditions = Conditions(peg=int(what), peg_offset=offset)
    terms = OrderTerms(1, 1, 1, 1, side, PEGGED, 0, limit, 1, b"", b"", conditions)
    return peg_price(engine.instruments()[0], terms, bid, ask)


@pytest.mark.parametrize(
    ("what", "bid", "ask", "price"),
    [
        (PRIMARY, 0, 1_100, 0),
        (PRIMARY, 1_000, 0, 1_000),
        (MARKET, 1_000, 0, 0),
        (MARKET, 0, 1_100, 1_090),
        (MIDPOINT, 1_000, 0, 0),
        (MIDPOINT, 0, 1_100, 0),
        (MIDPOINT, 1_000, 1_001, 1_000),
    ],
)
def test_a_peg_has_a_price_where_there_is_something_to_follow(what: int, bid: int, ask: int, price: int) -> None:
    assert price_of(BUY, what, 0, 0, bid, ask) == price


def test_the_tick_is_the_one_at_the_price() -> None:
    engine = Engine(1)
    engine.apply(DefineInstrument(1, b"ACME", 10, 1, 1), 0, 0)
    engine.apply(DefineTick(1, 1_000, 100), 0, 0)
    terms = OrderTerms(1, 1, 1, 1, BUY, PEGGED, 0, 0, 1, b"", b"", Conditions(peg=int(PRIMARY), peg_offset=-55))
    assert peg_price(engine.instruments()[0], terms, 1_200, 1_500) == 1_100
    assert peg_price(engine.instruments()[0], terms, 1_000, 1_500) == 940


def test_a_peg_stands_behind_what_is_displayed_at_its_price_and_before_what_is_worse() -> None:
    sitting = spread()
    sitting.order(SELL, 5, 112)
    peg(sitting, SELL, 5, PRIMARY)
    peg(sitting, SELL, 5, PRIMARY)
    events = sitting.order(BUY, 61, 112)
    assert told(events) == [
        ("trade", b"o2", b"o6", 50, 110),
        ("trade", b"o4", b"o6", 5, 110),
        ("trade", b"o5", b"o6", 5, 110),
        ("trade", b"o3", b"o6", 1, 112),
    ]
    assert [event.resting_order_ref & 0xFFFF for event in events[1:]] == [2, 0, 0, 3]  # type: ignore[union-attr]


def test_a_peg_with_a_better_price_comes_first() -> None:
    sitting = spread()
    peg(sitting, SELL, 5, MIDPOINT)
    assert told(sitting.order(BUY, 8, 110)) == [("trade", b"o3", b"o4", 5, 105), ("trade", b"o2", b"o4", 3, 110)]


def test_what_pegs_follow_stands_still_while_an_order_trades() -> None:
    sitting = spread(100, 110)
    sitting.order(SELL, 5, 130)
    peg(sitting, SELL, 5, PRIMARY, offset=15)
    events = told(sitting.order(BUY, 60, 130))
    assert events == [
        ("trade", b"o2", b"o5", 50, 110),
        ("trade", b"o4", b"o5", 5, 125),
        ("trade", b"o3", b"o5", 5, 130),
    ]


def test_an_incoming_peg_meets_those_of_the_other_side() -> None:
    sitting = spread()
    peg(sitting, SELL, 5, MIDPOINT)
    assert peg(sitting, BUY, 7, MIDPOINT) == [("trade", b"o3", b"o4", 5, 105)]
    assert sitting.engine.order(1 << 48 | 4).leaves_qty == 2  # type: ignore[union-attr]


def test_pegs_that_the_book_lets_agree_trade_at_the_price_of_the_one_that_came_first() -> None:
    sitting = spread(100, 110)
    peg(sitting, BUY, 5, PRIMARY, offset=4)
    peg(sitting, SELL, 7, PRIMARY, offset=-4)
    assert told(sitting.order(BUY, 1, 103)) == [("booked", 5, 1, 103), ("trade", b"o3", b"o4", 5, 107)]


def test_a_cancel_may_let_pegs_agree() -> None:
    sitting = spread(100, 110)
    sitting.order(SELL, 1, 104)
    peg(sitting, BUY, 5, PRIMARY, offset=6)
    peg(sitting, SELL, 5, MARKET, offset=4, limit=106)
    assert told(sitting.cancel(3, SELL))[1:] == [("trade", b"o4", b"o5", 5, 106)]


@pytest.mark.parametrize(("mode", "left"), [(1, (5, 0)), (2, (0, 7)), (3, (0, 0)), (4, (0, 2))])
def test_pegs_of_one_group_do_not_trade(mode: int, left: tuple[int, int]) -> None:
    sitting = spread(100, 110)
    sitting(DefineParticipant(2, 0, mode))
    peg(sitting, BUY, 5, PRIMARY, offset=4)
    peg(sitting, SELL, 7, PRIMARY, offset=-4)
    sitting.order(BUY, 1, 103)
    found = [sitting.engine.order(1 << 48 | number) for number in (3, 4)]
    assert tuple(0 if order is None else order.leaves_qty for order in found) == left


def test_pegs_do_not_agree_outside_of_a_band() -> None:
    sitting = spread(100, 110)
    peg(sitting, BUY, 5, PRIMARY, offset=4)
    peg(sitting, SELL, 7, PRIMARY, offset=-4)
    sitting.order(SELL, 1, 100)
    sitting(DefineRules(1, 0, 100, 0, 0, 0, 0, 0))
    assert told(sitting.order(BUY, 1, 103)) == [("booked", 6, 1, 103)]


def test_pegs_wait_in_call_phases() -> None:
    sitting = spread()
    sitting(SetPhase(1, Phase.QUOTE_ONLY, b""))
    assert peg(sitting, BUY, 5, MIDPOINT) == peg(sitting, SELL, 5, MIDPOINT) == []
    assert told(sitting(SetPhase(1, Phase.CONTINUOUS, b"")))[-1] == ("trade", b"o3", b"o4", 5, 105)


def test_a_replaced_peg_comes_in_again() -> None:
    sitting = spread()
    peg(sitting, BUY, 5, MIDPOINT, limit=101)
    peg(sitting, SELL, 5, MIDPOINT)
    events = told(replace(sitting, 3, BUY, 5, 108, Conditions(peg=int(MIDPOINT)), PEGGED, participant_id=2))
    assert events == [("replaced", b"r3", 0, 5), ("trade", b"o4", b"r3", 5, 105)]


def test_only_so_many_pegs_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pegs, "MAX_PEGS", 2)
    sitting = spread()
    assert peg(sitting, BUY, 5, PRIMARY) == peg(sitting, BUY, 5, PRIMARY) == []
    assert peg(sitting, BUY, 5, PRIMARY) == [("rejected", "BAD_PEG")]
    assert peg(sitting, SELL, 5, PRIMARY) == []


def test_a_post_only_order_does_not_meet_a_peg_either() -> None:
    sitting = spread()
    peg(sitting, SELL, 5, MIDPOINT)
    assert told(sitting.order(BUY, 1, 105, conditions=Conditions(exec_inst=6))) == [("rejected", "WOULD_TRADE")]
    assert told(sitting.order(BUY, 1, 104, conditions=Conditions(exec_inst=6))) == [("booked", 4, 1, 104)]


@pytest.mark.parametrize("restored", [False, True])
def test_pegs_meet_the_same_however_small_the_transactions_are(restored: bool) -> None:
    def meeting(sitting: Sitting) -> list[object]:
        sitting.order(BUY, 50, 100)
        sitting.order(SELL, 50, 110)
        for number in range(20):
            peg(sitting, BUY, 2 + number, PRIMARY, offset=4)
            peg(sitting, SELL, 3, PRIMARY, offset=-4)
        return list(told(sitting.order(BUY, 1, 103)))

    assert meeting(opened(7, restored)) == meeting(opened())
