"""The engine against the market that is written for reading: the same events and the same books after every command.

Stories are told in the language of the scenarios: what a failing test prints can be kept as one.

    STORY_SEED=7 ./run test --full tests/matching/test_reference.py -k long        another long run
"""

import os
from collections import Counter
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import matching.instruments
from matching.commands import Command, Continue
from matching.events import CircuitBreakerSet, Event, OrderAccepted, OrderExecuted, OrderRejected
from tests.matching import reference
from tests.matching.books import Ledger
from tests.matching.reference import Instrument, Market, Order, Place
from tests.matching.scenario import Scenario
from tests.matching.stories import THEMES, Opening, Play, Teller, numbers, opened, openings

BUY, SELL = 1, 2


class Both:
    """The engine and the reference, given the same commands; a ledger takes what the engine says."""

    def __init__(self) -> None:
        self.market = Market()
        self.ledger = Ledger()
        self.lines: list[str] = []
        self.events: list[Event] = []
        self.restored = False
        self.scenario = Scenario(self.compare)

    def play(self, opening: Opening, plays: list[Play]) -> None:
        self.lines = opened(opening)
        self.scenario.run("\n".join(self.lines))
        self.restored = opening.restored
        teller = Teller(opening, self.market)
        for play in plays:
            for line in teller.lines(play):
                self.lines.append(line)
                try:
                    self.scenario.outcome(line.split())
                except Exception as error:
                    raise AssertionError(f"{self.told()}\n# {type(error).__name__}: {error}") from error

    def compare(self, command: Command, timestamp: int, session_id: int, events: list[Event]) -> None:
        """What the engine said of a command, and what the reference says."""
        events = list(events)
        continued = 0
        self.restore()
        while self.scenario.engine.pending:
            events += self.scenario.engine.apply(Continue(), timestamp, 0)
            self.restore()
            continued += 1
            assert continued < 1_000, "it goes on for ever"
        expected = reference.apply(self.market, command, timestamp, session_id)
        assert events == expected, self.difference(events, expected)
        self.events += events
        for event in events:
            self.ledger.take(event)
        engine = self.scenario.engine
        self.ledger.check(engine)
        for instrument in engine.instruments():
            found = self.market.instrument(instrument.definition.instrument_id)
            assert found is not None
            assert drawn(instrument) == self.drawn(found)

    def restore(self) -> None:
        """Go on from what a snapshot says."""
        if self.restored:
            self.scenario.engine.restore(self.scenario.engine.snapshot())

    def told(self) -> str:
        """The story so far, as a scenario."""
        return "\n".join(["", *self.lines])

    def difference(self, events: list[Event], expected: list[Event]) -> str:
        """What came of the last line, here and there."""
        told = [self.scenario.told(event) for event in events]
        other = [self.scenario.told(event) for event in expected]
        if told == other:
            told, other = [repr(event) for event in events], [repr(event) for event in expected]
        return "\n".join(["the engine:", *told, "the reference:", *other])

    def drawn(self, instrument: Instrument) -> object:
        """The reference's orders of an instrument, queue by queue."""
        queues = [
            [figures(order) for order in self.market.at(instrument, place, side)]
            for place in (Place.BOOK, Place.STOP, Place.PEG)
            for side in (BUY, SELL)
        ]
        parked = [order for side in (BUY, SELL) for order in self.market.at(instrument, Place.PARKED, side)]
        queues.append([figures(order) for order in sorted(parked, key=lambda order: order.arrived)])
        return instrument.phase, instrument.last, instrument.reference, queues


def figures(order: Order) -> tuple[object, ...]:
    return order.terms, order.price, order.displayed, order.hidden, order.order_ref, order.cum, order.notional


def drawn(instrument: matching.instruments.Instrument) -> object:
    """The engine's orders of an instrument, queue by queue."""
    book, stops, pegs = instrument.book, instrument.stops, instrument.pegs
    queues = [
        [
            (
                order.terms,
                order.level.price if side in (book.bids, book.asks) else 0,
                order.displayed_qty,
                order.hidden_qty,
                order.order_ref,
                order.cum_qty,
                order.cum_notional,
            )
            for order in side.orders()
        ]
        for side in (book.bids, book.asks, stops.bids, stops.asks, pegs.bids, pegs.asks, instrument.parked)
    ]
    return instrument.phase, instrument.last_price, instrument.reference_price, queues


@given(openings, st.lists(numbers, min_size=20, max_size=60))
@settings(max_examples=150)
def test_the_engine_does_what_the_reference_does(opening: Opening, plays: list[Play]) -> None:
    Both().play(opening, plays)


class Lot:
    """Draws numbers from a seed. Python's own generator may draw others in its next version."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, count: int) -> int:
        self.state = (self.state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % (1 << 64)
        return (self.state >> 33) % count


def drawn_by_lot(seed: int, count: int) -> tuple[Opening, list[Play]]:
    """An opening and plays from a seed, without hypothesis; the themes one after the other."""
    lot = Lot(seed)
    opening = Opening(
        sorted(THEMES)[seed % len(THEMES)],
        (128, 8, 9)[lot.below(3)],
        lot.below(6),
        (lot.below(7), lot.below(7)),
        *(lot.below(2) == 1 for _ in ("grouped", "ticks", "other")),
        restored=lot.below(5) == 0,
    )
    counts = (128, 4, 2, 6, 9, 8, 10, 8, 16)
    plays = [tuple(lot.below(each) + (place == 4) for place, each in enumerate(counts)) for _ in range(count)]
    return opening, plays


@pytest.mark.slow
@pytest.mark.parametrize("theme", range(len(THEMES)))
def test_long_stories(theme: int) -> None:
    seed = int(os.environ.get("STORY_SEED", "0"))
    for number in range(40):
        Both().play(*drawn_by_lot((seed * 1000 + number) * len(THEMES) + theme, 400))


#: By theme.
DIGESTS = {
    "auctions": 4020472741,
    "bands": 3414783880,
    "conditions": 1135134597,
    "days": 2911856194,
    "operators": 2192727620,
    "pegs": 3249938036,
    "plain": 151224884,
    "stops": 2315971299,
    "uncrosses": 3452544044,
    "vacancies": 2943896899,
}


def test_the_digest_of_a_fixed_story_is_the_same_everywhere() -> None:
    """In any process, under any hash seed, with any Python. These numbers change only with what a snapshot holds, what
    orders do, or the stories: say which, when you write down new ones."""
    digests = {}
    for theme in range(len(THEMES)):
        both = Both()
        both.play(*drawn_by_lot(theme, 120))
        digests[sorted(THEMES)[theme]] = both.scenario.engine.digest()
    assert digests == DIGESTS


def test_a_story_is_about_something() -> None:
    """Most of what is asked in the stories is taken, and every kind of event is met."""
    said: Counter[type] = Counter()
    for seed in range(4 * len(THEMES)):
        both = Both()
        both.play(*drawn_by_lot(seed, 100))
        for event in both.events:
            said[type(event)] += 1
    assert said[OrderAccepted] > 2 * said[OrderRejected]
    assert said[OrderExecuted] > said[OrderAccepted] // 4
    assert set(get_args(Event)) - said.keys() <= {CircuitBreakerSet}
