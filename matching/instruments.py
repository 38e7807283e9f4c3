"""The instruments of a shard and the rules an instrument's definition keeps.

An instrument's id is unique over the venue (it is the feed's stock locate), its symbol on the shard. What orders were
accepted under must not change below them: tick size, lot size and symbol are fixed while orders rest.
"""

from typing import Final

from matching.book import OrderBook
from matching.codes import RefusalReason, TradingState
from matching.commands import DefineInstrument
from matching.events import InstrumentListed
from matching.ids import MAX_INSTRUMENT_ID, MAX_PRICE, MAX_QUANTITY, SYMBOL_LENGTH

TRADING: Final = int(TradingState.TRADING)
_STATES: Final = frozenset(int(state) for state in TradingState)


class Instrument:
    """One instrument: its definition, its trading state and its book."""

    __slots__ = ("book", "definition", "lot_size", "state", "tick_size")

    def __init__(self, definition: DefineInstrument) -> None:
        self.state: int = TRADING
        self.book = OrderBook()
        self.define(definition)

    def define(self, definition: DefineInstrument) -> None:
        """Take over a definition."""
        self.definition = definition
        #: Beside it, because every order is held against them.
        self.tick_size: int = definition.tick_size
        self.lot_size: int = definition.lot_size

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
        if instrument is None or instrument.book.is_empty():
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


def is_trading_state(state: int) -> bool:
    """Whether this byte is a `TradingState`."""
    return state in _STATES
