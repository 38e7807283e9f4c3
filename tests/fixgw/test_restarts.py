"""When a process that ended is started again."""

from itertools import pairwise

from fixgw.restarts import FIRST_PAUSE, LAST_PAUSE, SECOND, STEADY, WRONG_CONFIGURATION, Restarts


def test_the_first_death_costs_no_pause_and_the_next_ones_more_and_more() -> None:
    restarts = Restarts()
    pauses = [restarts.ended(-9, now=number) for number in range(10)]
    assert pauses[0] == 0
    assert pauses[1] == FIRST_PAUSE
    assert all(later == min(2 * earlier, LAST_PAUSE) for earlier, later in pairwise(pauses[1:]))
    assert pauses[-1] == LAST_PAUSE
    assert restarts.deaths == 10


def test_the_pause_is_bounded_however_often_it_dies() -> None:
    restarts = Restarts()
    assert max(restarts.ended(1, now=0) for _ in range(10_000)) == LAST_PAUSE


def test_who_served_for_a_while_dies_for_the_first_time_again() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.ended(1, now=0)
    restarts.served(now=SECOND)
    assert restarts.ended(-9, now=SECOND + STEADY) == 0
    assert restarts.deaths == 1


def test_who_dies_soon_after_it_served_has_not_served_for_a_while() -> None:
    restarts = Restarts()
    restarts.ended(1, now=0)
    restarts.served(now=0)
    assert restarts.ended(1, now=STEADY - 1) == FIRST_PAUSE
    assert restarts.ended(1, now=10 * STEADY) > FIRST_PAUSE, "an earlier life's serving does not count"


def test_a_wrong_configuration_is_no_hurry() -> None:
    assert Restarts().ended(WRONG_CONFIGURATION, now=0) == LAST_PAUSE
