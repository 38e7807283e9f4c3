"""Stop orders: what elects them, in which order, and what they set off in turn."""

import pytest

from matching.codes import Phase
from matching.commands import Conditions, DefineRules, SetPhase
from tests.matching.sitting import BUY, GTC, IOC, SELL, Sitting
from tests.matching.told import FOK, STOP, STOP_LIMIT, opened, told


def stop(sitting: Sitting, side: int, quantity: int, stop_price: int, limit: int = 0, time_in_force: int = 0) -> list:  # type: ignore[type-arg]
    ord_type = STOP_LIMIT if limit else STOP
    return told(sitting.order(side, quantity, limit, time_in_force, Conditions(stop_price=stop_price), ord_type, 2))


def sale(sitting: Sitting, price: int, quantity: int = 1) -> list:  # type: ignore[type-arg]
    """A sell order of participant 3 is hit by a buyer."""
    sitting.order(SELL, quantity, price, participant_id=3)
    return told(sitting.order(BUY, quantity, price, participant_id=3))


def test_a_stop_waits_unseen_until_a_sale_reaches_it() -> None:
    sitting = opened()
    assert stop(sitting, BUY, 5, 105) == []
    assert sitting.engine.book(1).is_empty()
    assert sale(sitting, 104) == [("trade", b"o2", b"o3", 1, 104)]
    sitting.order(SELL, 9, 106)
    assert sale(sitting, 105) == [
        ("trade", b"o5", b"o6", 1, 105),
        ("triggered", b"o1"),
        ("trade", b"o4", b"o1", 5, 106),
    ]


def test_an_elected_stop_limit_rests_with_what_it_cannot_trade() -> None:
    sitting = opened()
    stop(sitting, SELL, 5, 100, 98)
    assert sale(sitting, 100)[1:] == [("triggered", b"o1"), ("booked", 1, 5, 98)]


@pytest.mark.parametrize(("time_in_force", "reason"), [(IOC, "IMMEDIATE_OR_CANCEL"), (FOK, "FILL_OR_KILL")])
def test_a_time_in_force_of_a_stop_limit_holds_when_it_is_elected(time_in_force: int, reason: str) -> None:
    sitting = opened()
    sitting.order(BUY, 2, 97)
    stop(sitting, SELL, 5, 100, 98, time_in_force)
    assert sale(sitting, 100)[1:] == [("triggered", b"o2"), ("canceled", b"o2", 5, reason)]


def test_a_stop_whose_price_was_reached_already_is_elected_at_once() -> None:
    sitting = opened()
    sale(sitting, 100)
    sitting.order(BUY, 3, 99)
    assert stop(sitting, SELL, 2, 100) == [("triggered", b"o4"), ("trade", b"o3", b"o4", 2, 99)]
    assert stop(sitting, SELL, 2, 98) == []


def test_buys_by_the_lowest_price_then_sells_by_the_highest_then_time() -> None:
    sitting = opened()
    for side, price in [(SELL, 100), (SELL, 103), (BUY, 104), (BUY, 101), (BUY, 104)]:
        stop(sitting, side, 1, price)
    sitting.order(SELL, 1, 100)
    sitting.order(SELL, 1, 104)
    events = told(sitting.order(BUY, 2, 104))
    assert [said[1] for said in events if said[0] == "triggered"] == [b"o4", b"o3", b"o5", b"o2", b"o1"]


def test_those_that_a_triggered_order_elects_come_after_those_that_wait_already() -> None:
    sitting = opened()
    stop(sitting, BUY, 1, 100)
    stop(sitting, BUY, 1, 100)
    stop(sitting, BUY, 1, 105)
    for price in (105, 106, 107):
        sitting.order(SELL, 1, price)
    assert sale(sitting, 100)[1:] == [
        ("triggered", b"o1"),
        ("trade", b"o4", b"o1", 1, 105),
        ("triggered", b"o2"),
        ("trade", b"o5", b"o2", 1, 106),
        ("triggered", b"o3"),
        ("trade", b"o6", b"o3", 1, 107),
    ]


@pytest.mark.parametrize("restored", [False, True])
def test_a_cascade_is_the_same_however_small_the_transactions_are(restored: bool) -> None:
    def cascade(sitting: Sitting) -> list[object]:
        for price in range(101, 131):
            stop(sitting, BUY, 2, price)
            sitting.order(SELL, 2, price)
        before = sitting.transactions
        events = sitting.order(BUY, 1, 101, participant_id=3)
        assert sitting.max_events == 128 or sitting.transactions > before + 20
        assert sitting.engine._state.instruments.by_id[1].elected.best is None
        return told(events)

    assert cascade(opened(7, restored)) == cascade(opened())


def test_more_stops_than_one_step_elects(monkeypatch: pytest.MonkeyPatch) -> None:
    def cascade() -> list[object]:
        sitting = opened()
        for number in range(10):
            stop(sitting, BUY if number % 3 else SELL, 1, 100)
        return sale(sitting, 100)

    at_once = cascade()
    monkeypatch.setattr("matching.stops.MAX_ELECTED", 3)
    assert cascade() == at_once


def test_call_phases_elect_nobody_and_continuous_trading_holds_stops_against_the_last_sale() -> None:
    sitting = opened()
    sale(sitting, 100)
    sitting(SetPhase(1, Phase.REOPENING_AUCTION, b""))
    assert stop(sitting, SELL, 1, 100) == []
    sitting.order(BUY, 1, 99)
    events = told(sitting(SetPhase(1, Phase.CONTINUOUS, b"")))
    assert events == [("phase", "CONTINUOUS"), ("triggered", b"o3"), ("trade", b"o4", b"o3", 1, 99)]


def test_those_elected_before_a_volatility_auction_take_part_in_it() -> None:
    sitting = opened()
    sale(sitting, 100)
    sitting(DefineRules(1, 0, 500, 0, 0, 0, 10**9, 0))
    stop(sitting, BUY, 1, 102)
    stop(sitting, BUY, 2, 103, 110)
    stop(sitting, BUY, 3, 103, 110, IOC)
    sitting.order(SELL, 1, 103)
    sitting.order(SELL, 1, 120)
    assert told(sitting.order(BUY, 2, 120)) == [
        ("trade", b"o6", b"o8", 1, 103),
        ("booked", 8, 1, 120),
        ("phase", "VOLATILITY_AUCTION"),
        ("triggered", b"o3"),
        ("triggered", b"o4"),
        ("booked", 4, 2, 110),
        ("triggered", b"o5"),
        ("canceled", b"o5", 3, "IMMEDIATE_OR_CANCEL"),
    ]


def test_a_stop_that_lives_on_is_elected_on_another_day() -> None:
    sitting = opened()
    stop(sitting, BUY, 1, 100, time_in_force=GTC)
    sitting.end_day()
    sitting.start_day()
    assert sale(sitting, 100)[1:] == [("triggered", b"o1"), ("canceled", b"o1", 1, "MARKET_REMAINDER")]
