"""Order books rebuilt from ITCH messages: what a vendor does with the feed.

The idea: the public book is a function of the messages alone. `BookBuilder` takes decoded messages in feed order and
keeps, per stock, the resting orders by reference number, the price levels of both sides, the last trade, and of an
auction what it would do now. Bids may be above asks: orders that wait for an auction do not trade before it.

| message | what it does to the book |
|---|---|
| R | the stock exists |
| H | its trading state; halted or trading, there is no auction |
| A, F | an order rests |
| E, C | shares of a resting order traded (C: at its own price; `printable` N: not for the tape) |
| X | a resting order got smaller and kept its place |
| D | a resting order is gone |
| U | a resting order is gone, a new one of the same side and stock rests |
| P | a trade that touches no displayed order |
| Q | an auction is over: its trades together. The displayed orders among them were told by C, not printable |
| I | what the auction would do now |
| J | between which prices a volatility auction may end |
| B | a trade is broken: its shares do not count as volume any more; the book stays as it is |
| V, W | the levels of the circuit breaker, and the one that was breached |

A message that cannot be true of the book (a reference number nobody added, more shares than rest) raises `BookError`
and changes nothing. It means that messages are missing or the feed is wrong: the book is void from there on.

Source: "Nasdaq TotalView-ITCH 5.0", sections 4.2 to 4.7.
"""

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sortedcontainers import SortedDict

from marketdata import itch

if TYPE_CHECKING:
    from collections.abc import Callable

BUY: Final = b"B"
SELL: Final = b"S"
TRADING: Final = b"T"
HALTED: Final = b"H"


class BookError(Exception):
    """A message that contradicts the book it is about."""


class RestingOrder:
    """One displayed order; `shares` is what is left of it."""

    __slots__ = ("price", "shares", "side")

    def __init__(self, side: bytes, shares: int, price: int) -> None:
        self.side = side
        self.shares = shares
        self.price = price


class Level(NamedTuple):
    """All orders of one side at one price."""

    price: int
    shares: int
    orders: int


class Print(NamedTuple):
    """A trade as the tape shows it."""

    match_number: int
    price: int
    shares: int
    timestamp: int


class Indicative(NamedTuple):
    """What an auction would do now, as its last NOII message says; prices are 0 where there is none."""

    paired_shares: int
    imbalance_shares: int
    imbalance_direction: bytes
    far_price: int
    near_price: int
    reference_price: int
    cross_type: bytes


class Collar(NamedTuple):
    """Where a volatility auction may end, and how often that was extended."""

    reference_price: int
    upper_price: int
    lower_price: int
    extension: int


class BookSnapshot(NamedTuple):
    """A book as a value: equal books have equal snapshots. Levels from best to worst; orders by reference number."""

    symbol: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    orders: tuple[tuple[int, bytes, int, int], ...]


class BookSide:
    """The price levels of one side, best first."""

    def __init__(self, side: bytes) -> None:
        # a SortedDict rises; bids are kept under their negative price so that the best comes first on either side
        self._sign = -1 if side == BUY else 1
        self._levels: SortedDict = SortedDict()

    def add(self, price: int, shares: int) -> None:
        """One order more."""
        level = self._levels.get(self._sign * price)
        if level is None:
            self._levels[self._sign * price] = [shares, 1]
        else:
            level[0] += shares
            level[1] += 1

    def reduce(self, price: int, shares: int, *, gone: bool) -> None:
        """Shares of one order leave, the order with them if it is `gone`."""
        key = self._sign * price
        level = self._levels[key]
        level[0] -= shares
        if gone:
            level[1] -= 1
            if level[1] == 0:
                del self._levels[key]

    def best(self) -> Level | None:
        return next(iter(self.depth(1)), None)

    def depth(self, count: int) -> tuple[Level, ...]:
        """The best `count` levels."""
        return tuple(
            Level(self._sign * key, *self._levels[key]) for key in self._levels.islice(0, min(count, len(self._levels)))
        )

    def __len__(self) -> int:
        return len(self._levels)


class OrderBook:
    """The public book of one stock."""

    def __init__(self, stock_locate: int, symbol: str) -> None:
        self.stock_locate = stock_locate
        self.symbol = symbol
        self.trading_state = b""
        self.orders: dict[int, RestingOrder] = {}
        self.bids = BookSide(BUY)
        self.asks = BookSide(SELL)
        self.last_trade: Print | None = None
        self.trades = 0
        self.volume = 0
        self.broken_trades = 0
        self.indicative: Indicative | None = None
        self.collar: Collar | None = None
        self._executions: dict[int, int] = {}  # match number -> shares, of the trades that are not broken

    @property
    def best_bid(self) -> Level | None:
        return self.bids.best()

    @property
    def best_ask(self) -> Level | None:
        return self.asks.best()

    def depth(self, count: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """(bids, asks), the best `count` levels of each, best first."""
        return self.bids.depth(count), self.asks.depth(count)

    def snapshot(self) -> BookSnapshot:
        orders = sorted((ref, order.side, order.shares, order.price) for ref, order in self.orders.items())
        return BookSnapshot(
            self.symbol, self.bids.depth(len(self.bids)), self.asks.depth(len(self.asks)), tuple(orders)
        )

    def _side(self, side: bytes) -> BookSide:
        return self.bids if side == BUY else self.asks

    def order(self, reference: int) -> RestingOrder:
        """Raises `BookError` for a reference number that does not rest here."""
        order = self.orders.get(reference)
        if order is None:
            raise BookError(f"{self.symbol}: no order {reference} rests")
        return order

    def add(self, reference: int, side: bytes, shares: int, price: int) -> None:
        """Raises `BookError` for a reference number used already, an unknown side, or no shares."""
        if reference in self.orders:
            raise BookError(f"{self.symbol}: order {reference} rests already")
        if side not in (BUY, SELL) or shares == 0:
            raise BookError(f"{self.symbol}: order {reference} was {shares} shares of side {side!r}")
        self.orders[reference] = RestingOrder(side, shares, price)
        self._side(side).add(price, shares)

    def reduce(self, reference: int, shares: int) -> RestingOrder:
        """Shares leave a resting order, which is gone with the last of them. Raises `BookError`."""
        order = self.order(reference)
        if not 0 < shares <= order.shares:
            raise BookError(f"{self.symbol}: {shares} shares leave order {reference}, which has {order.shares}")
        order.shares -= shares
        self._side(order.side).reduce(order.price, shares, gone=order.shares == 0)
        if order.shares == 0:
            del self.orders[reference]
        return order

    def delete(self, reference: int) -> RestingOrder:
        """Raises `BookError` for an unknown reference number."""
        order = self.order(reference)
        self._side(order.side).reduce(order.price, order.shares, gone=True)
        del self.orders[reference]
        return order

    def replace(self, original: int, reference: int, shares: int, price: int) -> None:
        """Side and stock stay. Raises `BookError`, before it changes anything."""
        side = self.order(original).side
        if reference in self.orders or shares == 0:
            raise BookError(f"{self.symbol}: order {original} cannot become {shares} shares under {reference}")
        self.delete(original)
        self.add(reference, side, shares, price)

    def execute(self, match_number: int, shares: int) -> None:
        """Shares of a trade that may be broken later. A trade of an auction is told once for each displayed side."""
        self._executions[match_number] = shares

    def trade(self, match_number: int, price: int, shares: int, timestamp: int) -> None:
        """A trade for the tape."""
        self.last_trade = Print(match_number, price, shares, timestamp)
        self.trades += 1
        self.volume += shares

    def break_trade(self, match_number: int) -> None:
        """Nobody told the number of an auction's trade between two orders that were not displayed: its shares stay."""
        self.broken_trades += 1
        self.volume -= self._executions.pop(match_number, 0)

    def enter_state(self, state: bytes) -> None:
        self.trading_state = state
        if state in (TRADING, HALTED):
            self.indicative = self.collar = None


class Phase(Enum):
    """The last System Event, by its code."""

    BEFORE_MESSAGES = b""
    START_OF_MESSAGES = b"O"
    START_OF_SYSTEM_HOURS = b"S"
    START_OF_MARKET_HOURS = b"Q"
    END_OF_MARKET_HOURS = b"M"
    END_OF_SYSTEM_HOURS = b"E"
    END_OF_MESSAGES = b"C"


class BookBuilder:
    """The books of one feed channel. Make a new one for every session."""

    def __init__(self) -> None:
        self.books: dict[int, OrderBook] = {}
        self.phase = Phase.BEFORE_MESSAGES
        self.messages = 0
        #: Of the circuit breaker, in 1/10^8; empty when none were told.
        self.decline_levels: tuple[int, ...] = ()
        self.breached_level = b""
        self._apply: dict[type[itch.Message], Callable[[Any], None]] = {
            itch.SystemEvent: self._system_event,
            itch.StockDirectory: self._stock_directory,
            itch.StockTradingAction: self._stock_trading_action,
            itch.AddOrder: self._add_order,
            itch.AddOrderWithMPID: self._add_order,
            itch.OrderExecuted: self._order_executed,
            itch.OrderExecutedWithPrice: self._order_executed_with_price,
            itch.OrderCancel: self._order_cancel,
            itch.OrderDelete: self._order_delete,
            itch.OrderReplace: self._order_replace,
            itch.Trade: self._trade,
            itch.CrossTrade: self._cross_trade,
            itch.BrokenTrade: self._broken_trade,
            itch.NetOrderImbalance: self._net_order_imbalance,
            itch.LULDAuctionCollar: self._luld_auction_collar,
            itch.MWCBDeclineLevel: self._mwcb_decline_level,
            itch.MWCBStatus: self._mwcb_status,
        }

    def receive_message(self, message: itch.Message) -> None:
        """Apply the next message of the feed; those that say nothing about books are only counted.

        Raises `BookError` when it contradicts the books.
        """
        apply = self._apply.get(type(message))
        if apply is not None:
            apply(message)
        self.messages += 1

    def by_symbol(self, symbol: str) -> OrderBook:
        """Raises KeyError for a symbol that was not listed."""
        for book in self.books.values():
            if book.symbol == symbol:
                return book
        raise KeyError(symbol)

    def snapshot(self) -> tuple[BookSnapshot, ...]:
        """All books as one value, by symbol."""
        return tuple(sorted(book.snapshot() for book in self.books.values()))

    def _book(self, message: itch.Message) -> OrderBook:
        book = self.books.get(message.stock_locate)
        if book is None:
            raise BookError(f"no stock directory message listed stock locate {message.stock_locate}")
        return book

    def _system_event(self, message: itch.SystemEvent) -> None:
        try:
            self.phase = Phase(message.event_code)
        except ValueError:
            raise BookError(f"system event code was {message.event_code!r}") from None

    def _stock_directory(self, message: itch.StockDirectory) -> None:
        symbol = message.stock.decode("latin-1").rstrip()
        book = self.books.get(message.stock_locate)
        if book is None:
            self.books[message.stock_locate] = OrderBook(message.stock_locate, symbol)
        elif book.symbol != symbol:
            raise BookError(f"stock locate {message.stock_locate} was {book.symbol}, now {symbol}")

    def _stock_trading_action(self, message: itch.StockTradingAction) -> None:
        self._book(message).enter_state(message.trading_state)

    def _add_order(self, message: itch.AddOrder | itch.AddOrderWithMPID) -> None:
        self._book(message).add(
            message.order_reference_number, message.buy_sell_indicator, message.shares, message.price
        )

    def _order_executed(self, message: itch.OrderExecuted) -> None:
        book = self._book(message)
        order = book.reduce(message.order_reference_number, message.executed_shares)
        book.execute(message.match_number, message.executed_shares)
        book.trade(message.match_number, order.price, message.executed_shares, message.timestamp)

    def _order_executed_with_price(self, message: itch.OrderExecutedWithPrice) -> None:
        book = self._book(message)
        book.reduce(message.order_reference_number, message.executed_shares)
        book.execute(message.match_number, message.executed_shares)
        if message.printable != b"N":  # N: a later cross message prints it, counting it here would count it twice
            book.trade(message.match_number, message.execution_price, message.executed_shares, message.timestamp)

    def _order_cancel(self, message: itch.OrderCancel) -> None:
        self._book(message).reduce(message.order_reference_number, message.canceled_shares)

    def _order_delete(self, message: itch.OrderDelete) -> None:
        self._book(message).delete(message.order_reference_number)

    def _order_replace(self, message: itch.OrderReplace) -> None:
        self._book(message).replace(
            message.original_order_reference_number,
            message.new_order_reference_number,
            message.shares,
            message.price,
        )

    def _trade(self, message: itch.Trade) -> None:
        book = self._book(message)
        book.execute(message.match_number, message.shares)
        book.trade(message.match_number, message.price, message.shares, message.timestamp)

    def _cross_trade(self, message: itch.CrossTrade) -> None:
        book = self._book(message)
        book.indicative = None
        if message.cross_shares:  # a cross without shares says that nothing crossed
            book.trade(message.match_number, message.cross_price, message.cross_shares, message.timestamp)

    def _broken_trade(self, message: itch.BrokenTrade) -> None:
        self._book(message).break_trade(message.match_number)

    def _net_order_imbalance(self, message: itch.NetOrderImbalance) -> None:
        self._book(message).indicative = Indicative(
            message.paired_shares,
            message.imbalance_shares,
            message.imbalance_direction,
            message.far_price,
            message.near_price,
            message.current_reference_price,
            message.cross_type,
        )

    def _luld_auction_collar(self, message: itch.LULDAuctionCollar) -> None:
        self._book(message).collar = Collar(
            message.auction_collar_reference_price,
            message.upper_auction_collar_price,
            message.lower_auction_collar_price,
            message.auction_collar_extension,
        )

    def _mwcb_decline_level(self, message: itch.MWCBDeclineLevel) -> None:
        self.decline_levels = (message.level_1, message.level_2, message.level_3)

    def _mwcb_status(self, message: itch.MWCBStatus) -> None:
        self.breached_level = message.breached_level
