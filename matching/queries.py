"""Questions about a shard's state and what is answered, as values and as MessagePack.

Part of the exchange's language, like `commands` and `events`: who asks knows this module and not the engine. A question
changes nothing and takes no number of the stream. `answers` gives the answers.

    question                            answer
    OpenOrders, of a participant        OrdersFound: by order id; what waits for its price or auction, too
    OrderById, OrderByClOrdId           OrderFound: open, or closed since the day started
    Fills, of a participant             FillsFound: of the day, by match number, busted ones marked
    BookDepth, of an instrument         BookFound: best level first
    StateDigest                         DigestFound
    anything else                       QueryRefused

An answer has at most `MAX_ITEMS` rows. Where `more` is true, ask again *after* the last row: rows are in an order that
never changes under them, so going on misses nothing that was there and repeats nothing. A page of open orders may have
fewer rows, or none, and more to come: it says itself `after` which order id to ask on. What a participant may ask is
for the asker to decide: a shard answers about anybody.

While a day begins with very many orders that go over into it, some questions about one order or about the orders of one
participant are refused: they are to be asked again, in seconds.
"""

from typing import Final

from msgspec import MsgspecError, Struct
from msgspec.msgpack import Decoder, Encoder

from matching.events import OrderTerms

#: Some 120 KB of orders: a page that takes a shard a few milliseconds.
MAX_ITEMS: Final = 1_000


class QueryError(ValueError):
    """Bytes that are no question, or no answer."""


# --- questions --------------------------------------------------------------------------------------------------------


class OpenOrders(Struct, frozen=True, tag=True):
    participant_id: int
    #: Go on after this one.
    after_order_id: int = 0


class OrderById(Struct, frozen=True, tag=True):
    order_id: int


class OrderByClOrdId(Struct, frozen=True, tag=True):
    """By any ClOrdID that the session gave the order today, a request's to cancel it, too, or that the order had when
    the day began."""

    session_id: int
    cl_ord_id: bytes


class Fills(Struct, frozen=True, tag=True):
    participant_id: int
    #: Go on after this one.
    after_match: int = 0


class BookDepth(Struct, frozen=True, tag=True):
    instrument_id: int
    #: Of each side.
    levels: int = 10
    #: Go on below this bid and above this ask; 0: from the best.
    after_bid: int = 0
    after_ask: int = 0


class StateDigest(Struct, frozen=True, tag=True):
    """Reads the complete state: for comparing replicas, not for every second."""


Query = OpenOrders | OrderById | OrderByClOrdId | Fills | BookDepth | StateDigest


# --- answers ----------------------------------------------------------------------------------------------------------


class OrderStatus(Struct, frozen=True):
    """An order as it is now, or as it ended."""

    terms: OrderTerms
    #: `codes.OrdStatus`.
    ord_status: int
    leaves_qty: int
    cum_qty: int
    #: AvgPx(6) is this by `cum_qty`.
    cum_notional: int


class Fill(Struct, frozen=True):
    """One side of a trade."""

    match_number: int
    timestamp: int
    price: int
    quantity: int
    #: As they were when it traded.
    terms: OrderTerms
    #: Whether this side was on the book, or came and met it. Of an auction's trade it means nothing.
    resting: bool
    auction: bool = False
    #: The trade was undone and counts no more.
    busted: bool = False


class Level(Struct, frozen=True):
    price: int
    quantity: int
    orders: int


class OrdersFound(Struct, frozen=True, tag=True):
    orders: list[OrderStatus]
    more: bool
    #: Where there is more: go on after this one, up to which all were looked at. 0: after the last row.
    after: int = 0

    def next_after(self) -> int:
        """The `after_order_id` to ask on with, when there is more."""
        return self.orders[-1].terms.order_id if self.orders and not self.after else self.after


class OrderFound(Struct, frozen=True, tag=True):
    #: None: this shard knows no such order, or forgot it when the day started.
    order: OrderStatus | None


class FillsFound(Struct, frozen=True, tag=True):
    """Both rows of a trade with oneself stand on one page, the resting side's first."""

    fills: list[Fill]
    more: bool


class BookFound(Struct, frozen=True, tag=True):
    instrument_id: int
    symbol: bytes
    #: `codes.TradingState`, as the public sees it, and the `codes.Phase` behind it.
    state: int
    phase: int
    #: What is displayed.
    bids: list[Level]
    asks: list[Level]
    more_bids: bool
    more_asks: bool


class DigestFound(Struct, frozen=True, tag=True):
    digest: int
    #: The open day, 0 when none is, and the last one that was opened.
    day: int
    last_day: int
    last_order_id: int
    last_match_number: int
    open_orders: int


class QueryRefused(Struct, frozen=True, tag=True):
    text: str


Answer = OrdersFound | OrderFound | FillsFound | BookFound | DigestFound | QueryRefused

_encode: Final = Encoder().encode
_QUERIES: Final[Decoder[Query]] = Decoder(Query)
_ANSWERS: Final[Decoder[Answer]] = Decoder(Answer)


def encode(message: Query | Answer) -> bytes:
    """A question or answer as bytes."""
    return _encode(message)


def decode_query(data: bytes) -> Query:
    """The question in these bytes. Raises QueryError when there is none."""
    try:
        return _QUERIES.decode(data)
    except (MsgspecError, RecursionError) as error:
        raise QueryError(f"{len(data)} bytes are no question to a shard: {error}") from None


def decode_answer(data: bytes) -> Answer:
    """The answer in these bytes. Raises QueryError when there is none."""
    try:
        return _ANSWERS.decode(data)
    except (MsgspecError, RecursionError) as error:
        raise QueryError(f"{len(data)} bytes are no answer of a shard: {error}") from None
