"""The instruments of a shard and the rules an instrument's definition keeps.

An instrument's id is unique over the venue (it is the feed's stock locate), its symbol on the shard. What orders were
accepted under must not change below them: tick sizes, lot size and symbol are fixed while orders stand anywhere.
"""

from bisect import bisect_right
from typing import Final

from matching.book import BookSide, OrderBook
from matching.codes import Phase, RefusalReason, TradingState
from matching.commands import DefineInstrument, DefineRules
from matching.events import InstrumentListed
from matching.ids import MAX_INSTRUMENT_ID, MAX_PRICE, MAX_QUANTITY, SYMBOL_LENGTH

# Plain numbers: looking at an enumeration's member costs more than the comparison it is for.
CLOSED: Final = int(Phase.CLOSED)
PRE_OPEN: Final = int(Phase.PRE_OPEN)
OPENING_AUCTION: Final = int(Phase.OPENING_AUCTION)
CONTINUOUS: Final = int(Phase.CONTINUOUS)
CLOSING_AUCTION: Final = int(Phase.CLOSING_AUCTION)
POST_CLOSE: Final = int(Phase.POST_CLOSE)
HALTED: Final = int(Phase.HALTED)
REOPENING_AUCTION: Final = int(Phase.REOPENING_AUCTION)
VOLATILITY_AUCTION: Final = int(Phase.VOLATILITY_AUCTION)
QUOTE_ONLY: Final = int(Phase.QUOTE_ONLY)
TRADING: Final = int(TradingState.TRADING)

#: By `Phase`: how the public sees it.
STATE_OF: Final = tuple(
    int(state)
    for state in (
        TradingState.HALTED,  # CLOSED
        TradingState.QUOTATION_ONLY,  # PRE_OPEN
        TradingState.QUOTATION_ONLY,  # OPENING_AUCTION
        TradingState.TRADING,  # CONTINUOUS
        TradingState.QUOTATION_ONLY,  # CLOSING_AUCTION
        TradingState.HALTED,  # POST_CLOSE
        TradingState.HALTED,  # HALTED
        TradingState.QUOTATION_ONLY,  # REOPENING_AUCTION
        TradingState.PAUSED,  # VOLATILITY_AUCTION
        TradingState.QUOTATION_ONLY,  # QUOTE_ONLY
    )
)


class Instrument:
    """One instrument: its definition, its phase, its rules, and where its orders stand."""

    __slots__ = (
        "banded",
        "book",
        "calm",
        "collar",
        "definition",
        "elected",
        "ends_at",
        "extension",
        "indicates_at",
        "last_price",
        "lot_size",
        "parked",
        "pegs",
        "phase",
        "protected",
        "reference_price",
        "rules",
        "scheduled_at",
        "scheduled_phase",
        "stops",
        "tick_size",
        "ticks",
    )

    def __init__(self, definition: DefineInstrument) -> None:
        #: `codes.Phase`.
        self.phase: int = CLOSED
        #: When the auction that is on ends by itself, ns since the epoch; 0: it does not.
        self.ends_at: int = 0
        #: How often the volatility auction that is on was extended.
        self.extension: int = 0
        #: Between which prices it may end: the price in their middle, the lower, the upper one.
        self.collar: tuple[int, int, int] | None = None
        #: When the indicative price of the auction that is on is told next.
        self.indicates_at: int = 0
        #: The entry of the schedule that was done last: its time, 0 if none was, and its phase, to which a halt leads
        #: back; CONTINUOUS where there was none or the operator has decided otherwise since.
        self.scheduled_at: int = 0
        self.scheduled_phase: int = CONTINUOUS
        #: Of the last sale, the auctions' included, on whatever day; 0: there was none.
        self.last_price: int = 0
        #: Of the last auction, or what the operator set since; 0: there is none.
        self.reference_price: int = 0
        self.book = OrderBook()
        #: Stop orders that wait for their price: bids at the rank of the lowest stop price first, asks of the highest.
        self.stops = OrderBook()
        self.stops.bids.sign = -1
        self.stops.asks.sign = 1
        #: Stop orders that a sale has reached and whose turn has not come, at rank 0: none, unless work is pending.
        self.elected = BookSide(1)
        #: Orders for an auction that has not begun, first come first served: all at rank 0.
        self.parked = BookSide(1)
        #: Pegged orders, which have no price of their own: all at rank 0.
        self.pegs = OrderBook()
        self.rules: DefineRules | None = None
        #: Whether there is a price band, and whether there is a limit to what an order may ask for.
        self.banded: bool = False
        self.protected: bool = False
        #: Whether it is known that nothing but tick and lot can keep a limit order from trading or resting: continuous
        #: trading, one tick size, no limit to what is asked for, no pegged order. Whoever changes any of it says False.
        self.calm: bool = False
        #: The tick-size table: (from_price, tick_size), ascending. Mostly there is none.
        self.ticks: tuple[tuple[int, int], ...] = ()
        self.define(definition)

    def define(self, definition: DefineInstrument) -> None:
        """Take over a definition."""
        self.definition = definition
        #: Beside it, because every order is held against them.
        self.tick_size: int = definition.tick_size
        self.lot_size: int = definition.lot_size

    def take_rules(self, rules: DefineRules) -> None:
        """Protect prices as these rules say."""
        self.rules = rules
        self.banded = rules.static_band != 0 or rules.dynamic_band != 0
        self.protected = rules.fat_finger != 0 or rules.max_quantity != 0 or rules.max_value != 0
        self.calm = False

    def take_ticks(self, ticks: tuple[tuple[int, int], ...]) -> None:
        """Let prices be multiples of what this table says."""
        self.ticks = ticks
        self.calm = False

    def be_in(self, phase: int) -> None:
        """Be in a phase from now on."""
        self.phase = phase
        self.calm = False

    def look(self) -> None:
        """See whether it is calm."""
        pegs = self.pegs
        self.calm = self.phase == CONTINUOUS and not self.protected and not self.ticks and pegs.is_empty()

    @property
    def state(self) -> int:
        """How the public sees the phase: `codes.TradingState`."""
        return STATE_OF[self.phase]

    def tick_at(self, price: int) -> int:
        """What this price must be a multiple of. Without a table, `tick_size` says it faster."""
        row = bisect_right(self.ticks, (price, MAX_PRICE + 1))
        return self.ticks[row - 1][1] if row else self.tick_size

    def is_empty(self) -> bool:
        """Whether no order stands anywhere."""
        return self.book.is_empty() and self.stops.is_empty() and self.pegs.is_empty() and self.parked.best is None

    def sides(self) -> list[BookSide]:
        """Every queue of it: the book, then what waits beside it."""
        return [
            self.book.bids,
            self.book.asks,
            self.stops.bids,
            self.stops.asks,
            self.elected,
            self.parked,
            self.pegs.bids,
            self.pegs.asks,
        ]

    def listed(self) -> InstrumentListed:
        """What the public is told about it."""
        d = self.definition
        return InstrumentListed(d.instrument_id, d.symbol, d.tick_size, d.lot_size, d.round_lot_size, self.state)


class Instruments:
    """All instruments of a shard, by id and by symbol."""

    __slots__ = ("_ids", "by_id")

    def __init__(self) -> None:
        self.by_id: dict[int, Instrument] = {}
        #: symbol → id.
        self._ids: dict[bytes, int] = {}

    def sorted_ids(self) -> list[int]:
        """Every instrument's id, ascending."""
        return sorted(self.by_id)

    def define(self, definition: DefineInstrument) -> int:
        """List an instrument, or change one. Gives a RefusalReason, 0 when it is done."""
        reason = self._fault(definition)
        if reason:
            return reason
        instrument = self.by_id.get(definition.instrument_id)
        if instrument is None:
            self.by_id[definition.instrument_id] = Instrument(definition)
        else:
            del self._ids[instrument.definition.symbol]
            instrument.define(definition)
        self._ids[definition.symbol] = definition.instrument_id
        return 0

    def _fault(self, definition: DefineInstrument) -> int:
        if not _is_sound(definition):
            return RefusalReason.BAD_INSTRUMENT
        if self._ids.get(definition.symbol, definition.instrument_id) != definition.instrument_id:
            return RefusalReason.INSTRUMENT_IN_USE
        instrument = self.by_id.get(definition.instrument_id)
        if instrument is None or instrument.is_empty():
            return 0
        same_rules = (
            definition.symbol == instrument.definition.symbol
            and definition.tick_size == instrument.tick_size
            and definition.lot_size == instrument.lot_size
        )
        return 0 if same_rules else RefusalReason.INSTRUMENT_IN_USE


def _is_sound(definition: DefineInstrument) -> bool:
    """Whether an order could ever be right under this definition, and the feed could say it."""
    symbol = definition.symbol
    return (
        1 <= definition.instrument_id <= MAX_INSTRUMENT_ID
        and 1 <= len(symbol) <= SYMBOL_LENGTH
        and all(0x21 <= character <= 0x7E for character in symbol)  # the feed pads with blanks
        and 1 <= definition.tick_size <= MAX_PRICE
        and 1 <= definition.lot_size <= MAX_QUANTITY
        and 1 <= definition.round_lot_size <= MAX_QUANTITY
    )
