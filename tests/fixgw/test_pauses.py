"""A shard that takes or confirms nothing: how long its orders wait, when they are refused, and whose silence it was."""

from collections import deque

import pytest

from fixgw.awake import LONGEST_TICK, AwakeClock
from fixgw.shard_state import PAUSE
from fixgw.timestamps import SECOND
from tests.fixgw.test_router import trading
from tests.fixgw.venue_in_memory import Venue

TICK = SECOND // 10
HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        ([], 0),
        ([TICK, 2 * TICK], 0),
        ([LONGEST_TICK, 2 * LONGEST_TICK, 3 * LONGEST_TICK], 0),
        ([TICK, TICK + LONGEST_TICK + 5], 5),
        ([9 * LONGEST_TICK, 20 * LONGEST_TICK], 18 * LONGEST_TICK),
        ([TICK - HOUR, 2 * TICK - HOUR], -HOUR + TICK),
        ([TICK + HOUR, 2 * TICK + HOUR], HOUR + TICK - LONGEST_TICK),
    ],
    ids=["none yet", "in time", "just in time", "one that was late", "two that were late", "set back", "set ahead"],
)
def test_the_clock_of_who_is_awake_leaves_out_what_was_slept(ticks: list[int], told: int) -> None:
    clock, start = AwakeClock(), 1_000 * SECOND
    clock.tick(start)
    began = clock.at(start)
    for tick in ticks:
        clock.tick(start + tick)
    now = start + (ticks[-1] if ticks else 0)
    assert clock.at(now) - began == now - start - told
    assert clock.at(now + TICK) - clock.at(now) == TICK
    assert clock.at(now + LONGEST_TICK) == clock.at(now + 100 * LONGEST_TICK), "it stands still until the next tick"


def test_an_order_for_a_shard_that_pauses_waits_and_one_for_a_lost_shard_is_refused() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    venue.kill_shard(1)
    amber.order("a1", "buy", 1, "1")
    venue.settle()
    assert amber.take() == []
    venue.wait(PAUSE / SECOND + 0.1)
    amber.order("a2", "buy", 1, "1")
    venue.settle()
    assert amber.take() == [
        "8 11=a2 150=8 39=8 151=0 14=0 103=99 58=the market pauses: shard 1 has no primary now; nothing was sent to it"
    ]
    venue.start_shard(1)
    venue.settle()
    amber.order("a3", "buy", 1, "1")
    venue.settle()
    assert amber.take() == ["8 11=a1 150=0 39=0 151=1 14=0", "8 11=a3 150=0 39=0 151=1 14=0"]


def test_while_a_shard_confirms_nothing_no_more_is_forwarded_to_it_and_what_was_goes_on() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.order("a1", "buy", 1, "1")
    venue.step("to_gateway", amber.session_id)
    held, venue.up[1] = venue.up[1], deque()
    venue.listen(PAUSE / SECOND)
    amber.order("a2", "buy", 1, "1")
    venue.step("to_gateway", amber.session_id)
    assert amber.take() == []
    venue.now += 1
    amber.order("a3", "buy", 1, "1")
    venue.step("to_gateway", amber.session_id)
    venue.step("to_broker", amber.session_id)
    [refusal] = amber.take()
    assert refusal.startswith("8 11=a3 150=8 39=8 ")
    assert refusal.endswith(" 58=the market pauses: shard 1 confirms nothing now; nothing was sent to it")
    venue.up[1].extendleft(reversed(held))
    venue.settle()
    amber.order("a4", "buy", 1, "1")
    venue.settle()
    assert [line[:7] for line in amber.take()] == ["8 11=a1", "8 11=a2", "8 11=a4"]


def test_a_shard_that_was_asked_nothing_for_long_is_not_waited_for() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    for name in ("a1", "a2"):
        venue.wait(2 * PAUSE / SECOND)
        amber.order(name, "buy", 1, "1")
        venue.settle()
        assert amber.take()[-1] == f"8 11={name} 150=0 39=0 151=1 14=0"


@pytest.mark.parametrize("link", ["lost", "silent"])
@pytest.mark.parametrize("ticked", [False, True], ids=["before its timer", "after its timer"])
def test_who_was_asleep_refuses_nothing_for_what_it_could_not_hear(link: str, ticked: bool) -> None:
    """A machine that froze for longer than the pause: orders that came meanwhile go to the market."""
    venue = Venue()
    amber, _ = trading(venue)
    amber.order("a1", "buy", 1, "1")
    venue.step("to_gateway", amber.session_id)
    held, venue.up[1] = venue.up[1], deque()
    if link == "lost":
        venue.gateway.router.link_lost(1, venue.now)
    venue.listen(PAUSE / SECOND / 2)
    venue.now += 10 * PAUSE
    if ticked:
        venue.gateway.router.handle_deadline(venue.now)
    amber.order("a2", "buy", 1, "1")
    venue.step("to_gateway", amber.session_id)
    assert amber.take() == []
    if link == "lost":
        venue.gateway.router.link_opened(1)
    venue.up[1].extendleft(reversed(held))
    venue.settle()
    assert [line[:7] for line in amber.take()] == ["8 11=a1", "8 11=a2"]


@pytest.mark.parametrize(("link", "why"), [("lost", "has no primary"), ("silent", "confirms nothing")])
def test_after_a_sleep_the_patience_goes_on_where_it_was(link: str, why: str) -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.order("a1", "buy", 1, "1")
    venue.step("to_gateway", amber.session_id)
    venue.up[1] = deque()
    if link == "lost":
        venue.gateway.router.link_lost(1, venue.now)
    venue.listen(PAUSE / SECOND / 2)
    venue.now += 10 * PAUSE
    venue.listen(PAUSE / SECOND / 2)
    amber.order("a2", "buy", 1, "1")
    venue.step("to_gateway", amber.session_id)
    venue.step("to_broker", amber.session_id)
    [refusal] = amber.take()
    assert refusal.endswith(f" 58=the market pauses: shard 1 {why} now; nothing was sent to it")
