"""Days in which everything happens, as the public is told of them: the book that a vendor builds is the engine's, after
each transaction and in every phase, and an independent judge and decoder find nothing wrong."""

from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from itch import messages as itchfeed

from marketdata import capture, itch
from marketdata.book import BookBuilder
from marketdata.translate import PUBLIC_KINDS, Translator
from matching import commands, events, wire
from matching.codes import OrdType, Phase, Side
from matching.engine import Engine
from tests.matching import reference
from tests.matching.random_market import RandomMarket
from tests.matching.reference import Market
from tests.matching.scenario import Scenario
from tests.matching.stories import Opening, Play, Teller, numbers, opened, openings

ROOT = Path(__file__).resolve().parents[2]
SHARD_ID = 1
SEEDS, DAYS, ORDERS = range(5), 3, 200

#: What the public sees of a phase.
STATES = {
    Phase.CLOSED: b"H",
    Phase.PRE_OPEN: b"Q",
    Phase.OPENING_AUCTION: b"Q",
    Phase.CONTINUOUS: b"T",
    Phase.CLOSING_AUCTION: b"Q",
    Phase.POST_CLOSE: b"H",
    Phase.HALTED: b"H",
    Phase.REOPENING_AUCTION: b"Q",
    Phase.VOLATILITY_AUCTION: b"P",
    Phase.QUOTE_ONLY: b"Q",
}


def judge() -> ModuleType:
    spec = spec_from_file_location("itch_judge", ROOT / "examples" / "itch_judge.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tape:
    """An engine, what the public is told of it, and the books that a vendor has by that."""

    def __init__(self) -> None:
        self.engine = Engine(SHARD_ID)
        self.translator = Translator()
        self.builder = BookBuilder()
        #: The messages of each session.
        self.sessions: list[list[bytes]] = []
        self.said: Counter[str] = Counter()
        #: By stock, of the day: shares that traded and were not busted, as far as the public can know.
        self.traded: Counter[int] = Counter()
        #: Shares by the match numbers that the public was told; and the last trade of all.
        self.told: dict[int, int] = {}
        self.last_match = 0

    def apply(self, command: commands.Command, now: int, session_id: int) -> None:
        while True:
            for event in self.engine.apply(command, now, session_id):
                self._hear(event, now)
            if not self.engine.pending:
                break
            command, session_id = commands.Continue(), 0
        if self.engine.day_is_open:
            self.check()

    def _hear(self, event: events.Event, now: int) -> None:
        if isinstance(event, events.DayStarted):
            self.builder = BookBuilder()
            self.sessions.append([])
            self.traded.clear()
            self.told.clear()
        elif isinstance(event, events.OrderExecuted):
            self._trade(event.match_number, event.resting.instrument_id, event.quantity, told=True)
        elif isinstance(event, events.AuctionExecuted):
            told = event.buy_order_ref or event.sell_order_ref
            self._trade(event.match_number, event.buy.instrument_id, event.quantity, told=told != 0)
        elif isinstance(event, events.TradeBusted):
            self.traded[event.buy.instrument_id] -= self.told.pop(event.match_number, 0)
        if wire.KINDS[type(event)] not in PUBLIC_KINDS:
            return
        for data in self.translator.translate(event, now):
            message = itch.decode(data)
            assert itch.encode(message) == data
            assert itchfeed.messages[data[:1]](data).to_bytes() == data
            self.builder.receive_message(message)
            self.sessions[-1].append(data)
            self.said[chr(data[0])] += 1

    def _trade(self, match_number: int, instrument_id: int, quantity: int, *, told: bool) -> None:
        self.last_match = match_number
        self.traded[instrument_id] += quantity
        if told:
            self.told[match_number] = quantity

    def replace_one(self, cl_ord_id: bytes, now: int, *, quantity: int) -> None:
        """The last of the displayed limit orders wants this much more, or one less."""
        orders = [order for order in self.engine.orders() if order.order_ref and order.terms.ord_type == OrdType.LIMIT]
        if not orders:
            return
        terms = orders[-1].terms
        more = terms.order_qty + quantity if quantity % 2 else max(terms.order_qty - 1, 1)
        request = commands.ReplaceOrder(
            terms.participant_id,
            terms.instrument_id,
            terms.side,
            terms.ord_type,
            terms.time_in_force,
            terms.price,
            more,
            terms.order_id,
            0,
            cl_ord_id,
            terms.cl_ord_id,
            b"",
            terms.conditions,
        )
        self.apply(request, now, terms.session_id)

    def check(self) -> None:
        """What is displayed, where everybody can see it."""
        shown = {
            (locate, ref): (order.side, order.shares, order.price)
            for locate, book in self.builder.books.items()
            for ref, order in book.orders.items()
        }
        assert shown == {
            (order.terms.instrument_id, order.order_ref): (
                b"B" if order.terms.side == Side.BUY else b"S",
                order.displayed_qty,
                order.level.price,
            )
            for order in self.engine.orders()
            if order.order_ref
        }
        for instrument in self.engine.instruments():
            book = self.builder.books[instrument.definition.instrument_id]
            assert book.trading_state == STATES[Phase(instrument.phase)]
            bid, ask = book.best_bid, book.best_ask
            assert book.volume == self.traded[instrument.definition.instrument_id]
            if instrument.phase == Phase.CONTINUOUS and bid is not None and ask is not None:
                assert bid.price < ask.price


def days_of(seed: int, directory: Path) -> Counter[str]:
    """Live through some days, and have every session judged. Gives how often each message was said."""
    tape = Tape()
    for number, (command, now, session_id) in enumerate(RandomMarket(seed).days(DAYS, ORDERS)):
        tape.apply(command, now, session_id)
        if tape.engine.day_is_open:
            if number % 5 == 0:
                tape.replace_one(b"R%d" % number, now, quantity=1 + number % 7)
            if number % 20 == 0:
                tape.apply(commands.BustTrade(tape.last_match), now, 0)
            if number == ORDERS:
                tape.apply(commands.SetCircuitBreaker(30, 20, 10), now, 0)
                tape.apply(commands.BreachCircuitBreaker(1), now, 0)
    assert len(tape.sessions) == DAYS
    built = {book.symbol: book for book in tape.builder.books.values()}
    judged = [read_books(session, directory / f"{number}.itch") for number, session in enumerate(tape.sessions)]
    for symbol, book in judged[-1].items():
        ours = built[symbol].snapshot()
        assert book["volume"] == built[symbol].volume
        assert book["bids"] == [[level.price, level.shares] for level in ours.bids]
        assert book["asks"] == [[level.price, level.shares] for level in ours.asks]
    return tape.said


def read_books(session: list[bytes], file: Path) -> dict[str, Any]:
    with file.open("wb") as recording:
        capture.write_messages(recording, session)
    books: dict[str, Any] = judge().read_books(file)
    return books


def test_a_vendor_knows_the_book_through_everything_that_can_happen(tmp_path: Path) -> None:
    said: Counter[str] = Counter()
    for seed in SEEDS:
        said += days_of(seed, tmp_path)
    assert said.keys() == set("SRHYAEXDUCPQBIJVW")


class Vendor:
    """What is displayed, as one who only hears the feed knows it; he throws his books away when a session ends."""

    def __init__(self) -> None:
        self.translator = Translator()
        self.builder = BookBuilder()

    def hear(self, said: list[events.Event], now: int) -> None:
        for event in said:
            if isinstance(event, events.DayStarted):
                self.builder = BookBuilder()
            if wire.KINDS[type(event)] in PUBLIC_KINDS:
                for data in self.translator.translate(event, now):
                    self.builder.receive_message(itch.decode(data))

    def shown(self) -> dict[int, tuple[bytes, int, int]]:
        return {
            ref: (order.side, order.shares, order.price)
            for book in self.builder.books.values()
            for ref, order in book.orders.items()
        }


class Story:
    """A random story; its vendor is asked after each transaction. The teller knows by the reference who may do what."""

    def __init__(self) -> None:
        self.market = Market()
        self.scenario = Scenario(self.tap)
        self.vendor = Vendor()
        #: The day has begun, and orders that go over into it are yet to be told.
        self.dawns = False

    def play(self, opening: Opening, plays: list[Play]) -> None:
        self.scenario.run("\n".join(opened(opening)))
        teller = Teller(opening, self.market)
        for play in plays:
            for line in teller.lines(play):
                self.scenario.outcome(line.split())

    def tap(self, command: commands.Command, now: int, session_id: int, said: list[events.Event]) -> None:
        engine = self.scenario.engine
        self.dawns = isinstance(command, commands.StartDay)
        self.hear(said, now)
        while engine.pending:
            self.hear(engine.apply(commands.Continue(), now, 0), now)
        reference.apply(self.market, command, now, session_id)
        self.dawns = False
        self.check()

    def hear(self, said: list[events.Event], now: int) -> None:
        self.vendor.hear(said, now)
        self.check()

    def check(self) -> None:
        engine = self.scenario.engine
        if not engine.day_is_open:
            return  # the session has ended: who dies in the night is never told of again
        shown = self.vendor.shown()
        displayed = {
            order.order_ref: (
                b"B" if order.terms.side == Side.BUY else b"S",
                order.displayed_qty,
                order.level.price,
            )
            for order in engine.orders()
            if order.order_ref
        }
        if self.dawns:
            assert shown.items() <= displayed.items()
        else:
            assert shown == displayed


@given(openings, st.lists(numbers, min_size=20, max_size=60))
@settings(max_examples=40)
def test_a_vendor_knows_the_book_after_each_transaction_of_any_story(opening: Opening, plays: list[Play]) -> None:
    Story().play(opening, plays)
