"""Why an order is not taken in its instrument's phase, in words. Pure.

A refusal says that the phase was the reason, and not which phase it was. This gateway knows which from what it has
heard in the shard's stream, and writes that down (`news`), for after a restart it reads only what came since. What a
day begins with is known where the public sees no more than one phase by it. What comes next stands in the instrument's
calendar; an operator may do otherwise, so the text says whose word it is.
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
        #: By instrument: what the stream said last; not there where that is not known.
        self.heard: dict[int, int] = {}
        #: What of it is to be written down; None: that it is not known.
        self.news: dict[int, int | None] = {}

    def hear(self, instrument_id: int, phase: int | None) -> None:
        """The stream says that the instrument is in this phase from now on, or (None) in one of several."""
        if self.heard.get(instrument_id) != phase:
            self.restore(instrument_id, phase)
            self.news[instrument_id] = phase

    def restore(self, instrument_id: int, phase: int | None) -> None:
        """As `hear`, of what is written down."""
        if phase is not None:
            self.heard[instrument_id] = phase
        else:
            self.heard.pop(instrument_id, None)

    def fork(self) -> None:
        """What was heard last may be void."""
        self.heard.clear()
        self.news.clear()

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
