"""How a configuration says what the market does besides matching: calendars, protections, tick-size tables.

Each is a section of named entries; an instrument names the ones that hold for it, and `venue` those for all
instruments that name none. With none of it the market is open all day, and nothing protects it. `fixgw.config_checks`
sees to it that what is named is there.

Units of the values: bands and limits of prices in 1/10,000 of what they refer to, money in 1/10,000 of the currency,
times in ns, circuit breaker levels in 1/10^8.
"""

from collections.abc import Mapping
from datetime import date, time
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from fixgw.config_shards import Model
from fixgw.config_values import Date, Id32, Level, Money, Name, Percent, PhaseTime, Price, Quantity, Seconds

MAX_PHASES: Final = 32
"""Of a day: a shard's stream has them all, for each instrument that has a calendar of its own."""
MAX_TICK_ROWS: Final = 16

PhaseName = Literal[
    "closed", "pre_open", "opening_auction", "continuous", "closing_auction", "post_close", "quote_only"
]
DayName = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
EVERY_DAY: Final[tuple[DayName, ...]] = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
SelfMatchMode = Literal["allowed", "cancel_incoming", "cancel_resting", "cancel_both", "decrement"]

_CALLS: Final = ("pre_open", "opening_auction", "closing_auction")


def _ends(timetable: dict[time, PhaseName]) -> dict[time, PhaseName]:
    last = list(timetable.values())[-1:]
    if last and last[0] in _CALLS:
        raise ValueError(f"ends in {last[0]}, which nothing ends: say what follows, such as closed")
    return timetable


Timetable = Annotated[dict[PhaseTime, PhaseName], Field(max_length=MAX_PHASES), AfterValidator(_ends)]
"""When each phase begins, local time, in the order of the trading day: from `rolls_at` on."""


class Calendar(Model):
    """The phases of a trading day."""

    name: Name
    phases: Timetable
    days: tuple[DayName, ...] = EVERY_DAY  # on others the instrument is closed
    special_days: Mapping[Date, Timetable] = Field(default_factory=dict)  # instead of `phases`; {} is a day off

    def phases_on(self, day: date) -> Mapping[time, PhaseName]:
        """The timetable of the trading day that begins on this date; an empty one: closed all day."""
        if day in self.special_days:
            return self.special_days[day]
        return self.phases if EVERY_DAY[day.weekday()] in self.days else {}


class Protection(Model):
    """What keeps orders and trades from prices and sizes that nobody meant. What is left out does not protect."""

    name: Name
    static_band: Percent = 0  # trades outside of reference price ± so much pause the instrument
    dynamic_band: Percent = 0  # the same around the last trade
    fat_finger: Percent = 0  # limits further from the reference price are refused
    max_quantity: Quantity | None = None  # of one order
    max_value: Money = 0  # price × quantity of one order
    pause: Seconds = 0  # a volatility auction; without it what would trade outside of a band is canceled
    reopening: Seconds = 0  # the auction after a halt; without it trading goes on at once


class TickRow(Model):
    """From this price on, prices are multiples of this tick size."""

    from_price: Price
    tick_size: Price


class TickTable(Model):
    """Tick sizes by price; below the first row the instrument's own tick_size holds."""

    name: Name
    rows: Annotated[tuple[TickRow, ...], Field(max_length=MAX_TICK_ROWS)]


class SelfMatch(Model):
    """What happens instead of a trade of a firm with itself, or with another one of its group."""

    mode: SelfMatchMode
    group: Id32 | None = None  # firms with the same number are one; None: the firm alone


class CircuitBreaker(Model):
    """The levels of an index at which the whole market is halted."""

    level_1: Level
    level_2: Level
    level_3: Level
