"""Somebody sets the wall clock, ahead or back, or a machine's is fast: orders are taken as before, and live as long."""

from collections import deque

import pytest

from fixgw.router import ORDER_LIFETIME
from fixgw.timestamps import SECOND
from tests.fixgw.test_router import trading
from tests.fixgw.venue_in_memory import Venue

HOUR = 3600 * SECOND
STEPS = pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["set back", "set ahead"])


@STEPS
def test_an_order_after_it_is_taken(step: int) -> None:
    """Set back, the market's stamps, which never go back, are an hour ahead of the clock."""
    venue = Venue()
    amber, birch = trading(venue)
    venue.set_clock(step)
    for at, broker in enumerate((amber, birch)):
        broker.order(f"o{at}", "buy", 1, "1")
        venue.settle()
        assert broker.take() == [f"8 11=o{at} 150=0 39=0 151=1 14=0"]


@STEPS
@pytest.mark.parametrize(("late", "taken"), [(0, True), (1, False)])
def test_an_order_that_is_under_way_too_long_is_refused(step: int, late: int, taken: bool) -> None:
    """By the market's stamps, which do not follow a clock that is set (`recovery.clock`)."""
    venue = Venue()
    amber, _ = trading(venue)
    venue.set_clock(step)
    amber.order("a1", "buy", 1, "1")
    venue.step("to_gateway", amber.session_id)
    held, venue.up[1] = venue.up[1], deque()
    venue.set_clock(-step)
    venue.now += ORDER_LIFETIME + late
    venue.up[1].extendleft(reversed(held))
    venue.settle()
    text = "58=the request reached the market too late"
    line = "8 11=a1 150=0 39=0 151=1 14=0" if taken else f"8 11=a1 150=8 39=8 151=0 14=0 103=4 {text}"
    assert amber.take() == [line]


def test_a_gateway_that_begins_with_its_clock_behind_learns_the_markets_time() -> None:
    """From the first stamp that it hears, that of its own login."""
    venue = Venue()
    trading(venue)
    venue.wait(20)
    venue.set_clock(-HOUR)
    venue.restart_gateway()
    venue.connect("AMBER")
    amber = venue.brokers["AMBER"]
    amber.order("a1", "buy", 1, "1")
    venue.settle()
    assert amber.take()[-1] == "8 11=a1 150=0 39=0 151=1 14=0"


def test_a_gateway_that_begins_with_its_clock_ahead_does_not_go_by_that_when_it_is_put_right() -> None:
    """Its orders would live an hour longer as long as it runs."""
    venue = Venue()
    trading(venue)
    venue.wait(20)
    venue.set_clock(HOUR)
    venue.restart_gateway()
    venue.set_clock(-HOUR)
    venue.wait(1)
    venue.connect("AMBER")
    amber = venue.brokers["AMBER"]
    venue.settle()
    amber.take()
    amber.order("a1", "buy", 1, "1")
    venue.step("to_gateway", amber.session_id)
    held, venue.up[1] = venue.up[1], deque()
    venue.now += ORDER_LIFETIME + SECOND
    venue.up[1].extendleft(reversed(held))
    venue.settle()
    assert amber.take() == ["8 11=a1 150=8 39=8 151=0 14=0 103=4 58=the request reached the market too late"]


@pytest.mark.parametrize(("late", "taken"), [(0, True), (1, False)])
@pytest.mark.parametrize("symbol", ["ALPHA", "GAMMA"])
def test_an_order_lives_as_long_by_the_clock_of_its_own_shard_as_by_any(symbol: str, late: int, taken: bool) -> None:
    """GAMMA's is five minutes ahead of the gateway's and of ALPHA's."""
    venue = Venue(shard_count=2)
    venue.fast[2] = 300 * SECOND
    amber, _ = trading(venue)
    for each in ("ALPHA", "GAMMA"):
        amber.order(f"first-{each}", "buy", 10, "1", each)
        venue.settle()
    assert amber.take() == [f"8 11=first-{each} 150=0 39=0 151=10 14=0" for each in ("ALPHA", "GAMMA")]
    amber.order("a1", "buy", 10, "1", symbol)
    venue.step("to_gateway", amber.session_id)
    held = {shard_id: venue.up[shard_id] for shard_id in venue.shard_ids}
    venue.up.update((shard_id, deque()) for shard_id in venue.shard_ids)
    venue.now += ORDER_LIFETIME + late
    for shard_id, waiting in held.items():
        venue.up[shard_id].extendleft(reversed(waiting))
    venue.settle()
    text = "58=the request reached the market too late"
    line = "8 11=a1 150=0 39=0 151=10 14=0" if taken else f"8 11=a1 150=8 39=8 151=0 14=0 103=4 {text}"
    assert amber.take() == [line]
