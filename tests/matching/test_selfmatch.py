"""Self-match prevention: what happens instead of a trade, and who counts as one's own."""

import pytest

from matching.commands import Conditions, DefineParticipant
from tests.matching.sitting import BUY, SELL, Sitting
from tests.matching.told import FOK, opened, told

CANCEL_INCOMING, CANCEL_RESTING, CANCEL_BOTH, DECREMENT = 1, 2, 3, 4


def met(mode: int, conditions: Conditions | None = None) -> Sitting:
    """One's own 5 stand before somebody else's 10."""
    sitting = opened()
    sitting(DefineParticipant(1, 0, mode))
    sitting.order(SELL, 5, 100, conditions=conditions)
    sitting.order(SELL, 10, 100, participant_id=2)
    return sitting


def test_the_incoming_order_is_canceled() -> None:
    assert told(met(CANCEL_INCOMING).order(BUY, 7, 100)) == [("canceled", b"o3", 7, "SELF_MATCH")]


def test_the_resting_order_is_canceled() -> None:
    events = told(met(CANCEL_RESTING).order(BUY, 7, 100))
    assert events == [("canceled", b"o1", 5, "SELF_MATCH"), ("trade", b"o2", b"o3", 7, 100)]


def test_both_are_canceled() -> None:
    events = told(met(CANCEL_BOTH).order(BUY, 7, 100))
    assert events == [("canceled", b"o1", 5, "SELF_MATCH"), ("canceled", b"o3", 7, "SELF_MATCH")]


def test_both_lose_the_smaller_quantity() -> None:
    sitting = met(DECREMENT)
    assert told(sitting.order(BUY, 3, 100)) == [("restated", b"o1", 3, 2), ("canceled", b"o3", 3, "SELF_MATCH")]
    assert told(sitting.order(BUY, 3, 100)) == [
        ("canceled", b"o1", 2, "SELF_MATCH"),
        ("restated", b"o4", 2, 1),
        ("trade", b"o2", b"o4", 1, 100),
    ]


def test_a_reserve_loses_what_is_displayed_and_shows_more() -> None:
    sitting = met(DECREMENT, Conditions(display_qty=2))
    assert told(sitting.order(BUY, 2, 100)) == [
        ("restated", b"o1", 2, 3),
        ("canceled", b"o3", 2, "SELF_MATCH"),
        ("booked", 1, 2, 100),
    ]


def test_who_allows_it_trades_with_himself() -> None:
    assert told(met(0).order(BUY, 1, 100)) == [("trade", b"o1", b"o3", 1, 100)]


def test_a_group_is_one_and_the_incoming_order_decides() -> None:
    sitting = opened()
    sitting(DefineParticipant(1, 9, CANCEL_RESTING))
    sitting(DefineParticipant(2, 9, 0))
    sitting.order(SELL, 5, 100, participant_id=2)
    assert told(sitting.order(BUY, 1, 100)) == [("canceled", b"o1", 5, "SELF_MATCH"), ("booked", 2, 1, 100)]
    assert told(sitting.order(SELL, 1, 100, participant_id=2)) == [("trade", b"o2", b"o3", 1, 100)]


@pytest.mark.parametrize(
    ("mode", "quantity", "traded"),
    [
        (CANCEL_RESTING, 10, 10),
        (CANCEL_RESTING, 11, 0),
        (CANCEL_INCOMING, 1, 0),
        (CANCEL_BOTH, 1, 0),
        (DECREMENT, 1, 0),
    ],
)
def test_ones_own_orders_fill_no_fok(mode: int, quantity: int, traded: int) -> None:
    events = told(met(mode).order(BUY, quantity, 100, FOK))
    assert sum(said[3] for said in events if said[0] == "trade") == traded  # type: ignore[misc]
    if not traded:
        assert events == [("canceled", b"o3", quantity, "FILL_OR_KILL")]


def test_what_a_reserve_hides_behind_ones_own_order_fills_no_fok() -> None:
    sitting = opened()
    sitting(DefineParticipant(1, 0, CANCEL_INCOMING))
    sitting.order(SELL, 9, 100, conditions=Conditions(display_qty=4), participant_id=2)
    sitting.order(SELL, 5, 100)
    assert told(sitting.order(BUY, 5, 100, FOK)) == [("canceled", b"o3", 5, "FILL_OR_KILL")]
    assert told(sitting.order(BUY, 4, 100, FOK))[0] == ("trade", b"o1", b"o4", 4, 100)
