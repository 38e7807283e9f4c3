"""What a refusal says of the phase that was its reason."""

from pathlib import Path

from fixgw import config, tags
from fixgw.phases import Phases
from fixgw.timestamps import SECOND
from fixgw.up import make_router
from matching.codes import Phase
from matching.commands import Command, EndDay, SchedulePhase, SetPhase, StartDay
from matching.wire import encode
from tests.fixgw.fixtalk import NOW
from tests.fixgw.venue_in_memory import Venue
from tests.venue import Venue as VenueFile

UNKNOWN = "the market is in a phase that takes no such order"
CLOSED = "ALPHA is in phase closed, which takes no such order"
POST_CLOSE = "ALPHA is in phase post_close, which takes no such order"


def test_what_was_heard_is_named_and_what_the_calendar_says_is_told_as_its_word() -> None:
    asked = []

    def next_opening(instrument_id: int, now: int) -> SchedulePhase | None:
        asked.append((instrument_id, now))
        return SchedulePhase(1, Phase.PRE_OPEN, NOW) if len(asked) < 3 else None

    phases = Phases(next_opening)
    opens = "; by its calendar pre_open begins at 20261122-09:30:00"
    assert phases.refusal(1, b"ALPHA", NOW - 1) == UNKNOWN + opens
    phases.heard[1] = Phase.CLOSED
    assert phases.refusal(1, b"ALPHA", NOW + 5) == CLOSED + opens
    phases.heard[1] = Phase.CLOSING_AUCTION
    assert phases.refusal(1, b"ALPHA", 0) == "ALPHA is in phase closing_auction, which takes no such order"
    assert asked == [(1, NOW - SECOND), (1, NOW), (1, 0)]


class Desk:
    """AMBER is logged on to a venue."""

    def __init__(self) -> None:
        self.venue = Venue()
        self.venue.settle()
        self.amber = self.venue.brokers["AMBER"]
        self.log_on()

    def log_on(self) -> None:
        self.venue.connect("AMBER")
        self.venue.settle()

    def operate(self, *commands: Command) -> None:
        for command in commands:
            self.venue.primaries[1].command(*encode(command), self.venue.now)
        self.venue.flush_shard(1)
        self.venue.settle()

    def refused(self, name: str, time_in_force: int = 0) -> str:
        """The text with which an order is."""
        self.amber.order(name, "buy", 10, "10", time_in_force=time_in_force)
        self.venue.settle()
        return self.amber.reports()[-1][tags.Text].decode()


def test_a_phase_that_the_stream_told_is_named_also_after_a_restart() -> None:
    desk = Desk()
    desk.operate(SetPhase(0, Phase.CLOSED, b""))
    assert desk.refused("a1") == CLOSED
    desk.operate(SetPhase(0, Phase.POST_CLOSE, b""))
    assert desk.refused("a2") == POST_CLOSE
    for name in ("a3", "a4"):
        desk.venue.wait(1)
        desk.venue.restart_gateway()
        desk.log_on()
        assert desk.refused(name) == POST_CLOSE


def test_a_phase_that_began_while_the_gateway_was_gone_is_read_in_the_stream() -> None:
    desk = Desk()
    desk.operate(SetPhase(0, Phase.CLOSED, b""))
    desk.venue.wait(1)
    desk.venue.kill_gateway()
    desk.operate(SetPhase(0, Phase.POST_CLOSE, b""))
    desk.venue.start_gateway()
    desk.venue.wait(1)
    desk.log_on()
    assert desk.refused("a1") == POST_CLOSE


def test_what_a_fork_makes_void_is_not_brought_back_by_a_restart() -> None:
    desk = Desk()
    desk.operate(SetPhase(0, Phase.POST_CLOSE, b""))
    desk.venue.wait(1)
    router = desk.venue.router
    router.forked(1, router.shards[1].position, 1)
    desk.venue.flush()
    assert desk.refused("a1") == UNKNOWN
    desk.venue.restart_gateway()
    desk.log_on()
    assert desk.refused("a2") == UNKNOWN


def test_a_day_that_begins_closed_is_told_as_that() -> None:
    desk = Desk()
    desk.operate(EndDay(20261122), SchedulePhase(0, Phase.CLOSED, desk.venue.now))
    desk.operate(StartDay(20261123, b"2611230001", desk.venue.now))
    assert desk.refused("a1") == CLOSED


def test_a_day_that_begins_in_one_of_several_phases_is_not_guessed_also_after_a_restart() -> None:
    desk = Desk()
    desk.operate(SetPhase(0, Phase.CLOSED, b""))
    assert desk.refused("a1") == CLOSED
    desk.operate(EndDay(20261122), SchedulePhase(0, Phase.OPENING_AUCTION, desk.venue.now))
    desk.operate(StartDay(20261123, b"2611230001", desk.venue.now))
    assert desk.refused("a2", time_in_force=3) == UNKNOWN
    desk.venue.wait(1)
    desk.venue.restart_gateway()
    desk.log_on()
    assert desk.refused("a3", time_in_force=3) == UNKNOWN


def test_a_day_that_begins_with_trading_is_told_as_that() -> None:
    assert Desk().refused("a1", time_in_force=2) == "ALPHA is in phase continuous, which takes no such order"


def test_a_gateway_knows_the_calendars_of_its_configuration(tmp_path: Path) -> None:
    file = VenueFile(tmp_path).file
    text = file.read_text().replace("symbol: ALPHA\n", "symbol: ALPHA\n  calendar: shares\n")
    phases = "{07:00: pre_open, 09:00: continuous, 17:30: closed}"
    file.write_text(f"{text}calendars:\n- {{name: shares, phases: {phases}}}\n")
    found = config.load(file)
    router = make_router(found, found.gateways[0])
    ids = {each.symbol: each.id for each in found.instruments}
    told = {
        name: router.shards[1].reporter.phases.refusal(ids[name], name.encode(), NOW + 9 * 3600 * SECOND)
        for name in ("ALPHA", "BETA")
    }
    assert told == {"ALPHA": f"{UNKNOWN}; by its calendar pre_open begins at 20261123-07:00:00", "BETA": UNKNOWN}
