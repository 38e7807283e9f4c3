"""Why an order is not taken in its instrument's phase, in words. Pure.

A refusal says that the phase was the reason, and not which phase it was. This gateway knows which since it has heard of
a change in the shard's stream: after a restart not before the next one, and when a day begins only if it is closed.
What comes next stands in the instrument's calendar; an operator may do otherwise, so the text says whose word it is.
"""

from collections.abc import Callable

from fixgw.timestamps import SECOND, format_timestamp
from matching.codes import Phase
from matching.commands import SchedulePhase

#: For an instrument and a time (ns, whole seconds): the next phase that takes orders, by its calendar. None: it has no
#: calendar, or one is on, or none comes soon.
NextOpening = Callable[[int, int], SchedulePhase | None]


def no_calendar(_instrument_id: int, _now: int) -> None:
    """Of a market that trades all day."""


class Phases:
    """Of the instruments of one shard."""

    def __init__(self, next_opening: NextOpening) -> None:
        self._next_opening = next_opening
        #: By instrument: what the stream said last; not there where it has said nothing yet.
        self.heard: dict[int, int] = {}

    def refusal(self, instrument_id: int, symbol: bytes, timestamp: int) -> str:
        """Why an order was not taken at this time (ns), for reason NOT_IN_THIS_PHASE."""
        phase = self.heard.get(instrument_id)
        text = "the market is in a phase that takes no such order"
        if phase is not None:
            text = f"{symbol.decode()} is in phase {_name(phase)}, which takes no such order"
        opening = self._next_opening(instrument_id, timestamp // SECOND * SECOND)
        if opening is None:
            return text
        return f"{text}; by its calendar {_name(opening.phase)} begins at {format_timestamp(opening.at)[:17].decode()}"


def _name(phase: int) -> str:
    """As in TradingSessionID(336)."""
    return Phase(phase).name.lower()
