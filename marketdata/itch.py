"""NASDAQ TotalView-ITCH 5.0: every message as a table, and the code that packs and unpacks them.

The idea: a wire format is a table, and here the table is the list of classes below. Each class is one message, each
annotation one field in wire order, each annotation's type one column of the specification's table (kind and width).
Structs, `decode` and `encode` are made from it; nothing else in the package knows an offset.

Rules of the format (specification section 3):

* all integers are big-endian and unsigned; prices are integers with four implied decimals (Price(4)), the market-wide
  circuit breaker levels with eight (Price(8));
* alphanumeric fields are ASCII, left justified, padded on the right with spaces. They are `bytes` here, exactly as on
  the wire: `b"AAPL    "`, `b"B"`; `alpha` pads;
* `timestamp` is nanoseconds since midnight, in 48 bits; it always follows `tracking_number`, so the two are packed and
  unpacked as one 64-bit integer;
* messages have no length of their own: the transport says how long one is (MoldUDP64, SoupBinTCP, BinaryFILE).

Two ways to encode: `encode(message)` for any message, checked field by field, and one function for each of the eight
messages that make the volume of a day, which trusts its caller and makes no object. Both give the same bytes.

Source: "Nasdaq TotalView-ITCH 5.0", section 4 (message formats); field names as there, in snake case.
"""

import operator
import struct
from collections.abc import Callable  # noqa: TC003
from typing import Annotated, Any, ClassVar, Final, NamedTuple, get_type_hints

import msgspec


class ItchError(Exception):
    """Bytes that are no ITCH 5.0 message, or a message whose fields do not fit their places."""


class Kind(NamedTuple):
    """One column type of the specification's tables: its name, its `struct` format, its width in bytes."""

    name: str
    format: str
    width: int


Char = Annotated[bytes, Kind("char", "1s", 1)]
Alpha2 = Annotated[bytes, Kind("alpha", "2s", 2)]
Alpha4 = Annotated[bytes, Kind("alpha", "4s", 4)]
Alpha8 = Annotated[bytes, Kind("alpha", "8s", 8)]
U16 = Annotated[int, Kind("u16", "H", 2)]
U32 = Annotated[int, Kind("u32", "I", 4)]
U48 = Annotated[int, Kind("u48", "", 6)]  # only ever the timestamp, which shares one "Q" with the tracking number
U64 = Annotated[int, Kind("u64", "Q", 8)]
Price4 = Annotated[int, Kind("price4", "I", 4)]
Price8 = Annotated[int, Kind("price8", "Q", 8)]


class Message(msgspec.Struct, frozen=True, gc=False):
    """What every message begins with, after its one-byte type. Prices, shares and times are plain integers."""

    message_type: ClassVar[bytes]
    stock_locate: U16
    tracking_number: U16
    timestamp: U48


# 4.1 System event


class SystemEvent(Message, frozen=True):
    message_type = b"S"
    event_code: Char


# 4.2 Stock related


class StockDirectory(Message, frozen=True):
    message_type = b"R"
    stock: Alpha8
    market_category: Char
    financial_status_indicator: Char
    round_lot_size: U32
    round_lots_only: Char
    issue_classification: Char
    issue_sub_type: Alpha2
    authenticity: Char
    short_sale_threshold_indicator: Char
    ipo_flag: Char
    luld_reference_price_tier: Char
    etp_flag: Char
    etp_leverage_factor: U32
    inverse_indicator: Char


class StockTradingAction(Message, frozen=True):
    message_type = b"H"
    stock: Alpha8
    trading_state: Char
    reserved: Char
    reason: Alpha4


class RegSHORestriction(Message, frozen=True):
    message_type = b"Y"
    stock: Alpha8
    reg_sho_action: Char


class MarketParticipantPosition(Message, frozen=True):
    message_type = b"L"
    mpid: Alpha4
    stock: Alpha8
    primary_market_maker: Char
    market_maker_mode: Char
    market_participant_state: Char


class MWCBDeclineLevel(Message, frozen=True):
    message_type = b"V"
    level_1: Price8
    level_2: Price8
    level_3: Price8


class MWCBStatus(Message, frozen=True):
    message_type = b"W"
    breached_level: Char


class IPOQuotingPeriodUpdate(Message, frozen=True):
    message_type = b"K"
    stock: Alpha8
    ipo_quotation_release_time: U32
    ipo_quotation_release_qualifier: Char
    ipo_price: Price4


class LULDAuctionCollar(Message, frozen=True):
    message_type = b"J"
    stock: Alpha8
    auction_collar_reference_price: Price4
    upper_auction_collar_price: Price4
    lower_auction_collar_price: Price4
    auction_collar_extension: U32


class OperationalHalt(Message, frozen=True):
    message_type = b"h"
    stock: Alpha8
    market_code: Char
    operational_halt_action: Char


# 4.3 Add order


class AddOrder(Message, frozen=True):
    message_type = b"A"
    order_reference_number: U64
    buy_sell_indicator: Char
    shares: U32
    stock: Alpha8
    price: Price4


class AddOrderWithMPID(Message, frozen=True):
    message_type = b"F"
    order_reference_number: U64
    buy_sell_indicator: Char
    shares: U32
    stock: Alpha8
    price: Price4
    attribution: Alpha4


# 4.4 Modify order


class OrderExecuted(Message, frozen=True):
    message_type = b"E"
    order_reference_number: U64
    executed_shares: U32
    match_number: U64


class OrderExecutedWithPrice(Message, frozen=True):
    message_type = b"C"
    order_reference_number: U64
    executed_shares: U32
    match_number: U64
    printable: Char
    execution_price: Price4


class OrderCancel(Message, frozen=True):
    message_type = b"X"
    order_reference_number: U64
    canceled_shares: U32


class OrderDelete(Message, frozen=True):
    message_type = b"D"
    order_reference_number: U64


class OrderReplace(Message, frozen=True):
    message_type = b"U"
    original_order_reference_number: U64
    new_order_reference_number: U64
    shares: U32
    price: Price4


# 4.5 Trades


class Trade(Message, frozen=True):
    message_type = b"P"
    order_reference_number: U64
    buy_sell_indicator: Char
    shares: U32
    stock: Alpha8
    price: Price4
    match_number: U64


class CrossTrade(Message, frozen=True):
    message_type = b"Q"
    cross_shares: U64
    stock: Alpha8
    cross_price: Price4
    match_number: U64
    cross_type: Char


class BrokenTrade(Message, frozen=True):
    message_type = b"B"
    match_number: U64


# 4.6 to 4.8 Imbalance, retail interest, direct listing


class NetOrderImbalance(Message, frozen=True):
    message_type = b"I"
    paired_shares: U64
    imbalance_shares: U64
    imbalance_direction: Char
    stock: Alpha8
    far_price: Price4
    near_price: Price4
    current_reference_price: Price4
    cross_type: Char
    price_variation_indicator: Char


class RetailPriceImprovement(Message, frozen=True):
    message_type = b"N"
    stock: Alpha8
    interest_flag: Char


class DirectListingPriceDiscovery(Message, frozen=True):
    message_type = b"O"
    stock: Alpha8
    open_eligibility_status: Char
    minimum_allowable_price: Price4
    maximum_allowable_price: Price4
    near_execution_price: Price4
    near_execution_time: U64
    lower_price_range_collar: Price4
    upper_price_range_collar: Price4


MESSAGES: Final[tuple[type[Message], ...]] = (
    SystemEvent,
    StockDirectory,
    StockTradingAction,
    RegSHORestriction,
    MarketParticipantPosition,
    MWCBDeclineLevel,
    MWCBStatus,
    IPOQuotingPeriodUpdate,
    LULDAuctionCollar,
    OperationalHalt,
    AddOrder,
    AddOrderWithMPID,
    OrderExecuted,
    OrderExecutedWithPrice,
    OrderCancel,
    OrderDelete,
    OrderReplace,
    Trade,
    CrossTrade,
    BrokenTrade,
    NetOrderImbalance,
    RetailPriceImprovement,
    DirectListingPriceDiscovery,
)

HEADER_FIELDS: Final = 3  # stock_locate, tracking_number, timestamp
TIMESTAMP_MASK: Final = (1 << 48) - 1


class Layout:
    """One message on the wire: its whole `length` in bytes, its `struct`, and the kind of each field in order."""

    def __init__(self, message_class: type[Message]) -> None:
        hints = get_type_hints(message_class, include_extras=True)
        self.message_class: Callable[..., Message] = message_class
        self.fields: dict[str, Kind] = {name: hints[name].__metadata__[0] for name in message_class.__struct_fields__}
        body = list(self.fields.items())[HEADER_FIELDS:]
        self.struct = struct.Struct(">cHQ" + "".join(kind.format for _, kind in body))
        self.length = self.struct.size
        self.unpack: Callable[[bytes], tuple[Any, ...]] = self.struct.unpack
        self.text_fields = [(name, kind.width) for name, kind in body if kind.format.endswith("s")]
        # attrgetter gives a tuple only for two names or more; the timestamp in front makes sure of two
        self.body_values: Callable[[Message], tuple[Any, ...]] = operator.attrgetter(
            "timestamp", *(name for name, _ in body)
        )


LAYOUTS: Final[dict[int, Layout]] = {message.message_type[0]: Layout(message) for message in MESSAGES}


def decode(data: bytes) -> Message:
    """Decode one whole message. Raises `ItchError` on an unknown type or a wrong length; codes are not judged."""
    layout = LAYOUTS.get(data[0]) if data else None
    if layout is None:
        raise ItchError(f"no ITCH 5.0 message begins with {data[:1]!r}")
    if len(data) != layout.length:
        raise ItchError(f"message {data[:1]!r} was {len(data)} bytes long, its layout says {layout.length}")
    _, stock_locate, tracking_and_timestamp, *body = layout.unpack(data)
    return layout.message_class(
        stock_locate, tracking_and_timestamp >> 48, tracking_and_timestamp & TIMESTAMP_MASK, *body
    )


def encode(message: Message) -> bytes:
    """Encode any message. Raises `ItchError` on a number that does not fit, or text that is not its field's width."""
    layout = LAYOUTS[message.message_type[0]]
    for name, width in layout.text_fields:
        text = getattr(message, name)
        if len(text) != width:  # struct would pad with NUL or cut, and say nothing
            raise ItchError(f"{name} was {text!r}, must be {width} bytes")
    timestamp, *body = layout.body_values(message)
    if not 0 <= timestamp <= TIMESTAMP_MASK:
        raise ItchError(f"timestamp was {timestamp}, must fit in 48 bits")
    try:
        return layout.struct.pack(
            message.message_type, message.stock_locate, message.tracking_number << 48 | timestamp, *body
        )
    except struct.error as error:
        raise ItchError(f"{type(message).__name__} does not fit its layout: {error}") from error


def alpha(text: str, width: int = 8) -> bytes:
    """Text as an alphanumeric field: left justified, padded with spaces. Raises `ItchError` if it does not fit."""
    if len(text) > width or not text.isascii() or not (text.isprintable() or not text):
        raise ItchError(f"{text!r} is no alphanumeric field of {width} characters")
    return text.encode("ascii").ljust(width)


# The volume of a day. Arguments are the message's fields without `tracking_number`, which is 0 here: it is "Nasdaq
# internal" in the specification, and zero keeps the bytes a function of the stream alone. `stock` is already padded.
# Numbers that do not fit raise struct.error: the engine's bounds make that our own bug, not a message to handle.

_ADD_ORDER: Final = LAYOUTS[ord("A")].struct
_ADD_ORDER_WITH_MPID: Final = LAYOUTS[ord("F")].struct
_ORDER_EXECUTED: Final = LAYOUTS[ord("E")].struct
_ORDER_EXECUTED_WITH_PRICE: Final = LAYOUTS[ord("C")].struct
_ORDER_CANCEL: Final = LAYOUTS[ord("X")].struct
_ORDER_DELETE: Final = LAYOUTS[ord("D")].struct
_ORDER_REPLACE: Final = LAYOUTS[ord("U")].struct
_TRADE: Final = LAYOUTS[ord("P")].struct


def encode_add_order(
    stock_locate: int,
    timestamp: int,
    order_reference_number: int,
    buy_sell_indicator: bytes,
    shares: int,
    stock: bytes,
    price: int,
) -> bytes:
    return _ADD_ORDER.pack(
        b"A", stock_locate, timestamp, order_reference_number, buy_sell_indicator, shares, stock, price
    )


def encode_add_order_with_mpid(
    stock_locate: int,
    timestamp: int,
    order_reference_number: int,
    buy_sell_indicator: bytes,
    shares: int,
    stock: bytes,
    price: int,
    attribution: bytes,
) -> bytes:
    return _ADD_ORDER_WITH_MPID.pack(
        b"F", stock_locate, timestamp, order_reference_number, buy_sell_indicator, shares, stock, price, attribution
    )


def encode_order_executed(
    stock_locate: int, timestamp: int, order_reference_number: int, executed_shares: int, match_number: int
) -> bytes:
    return _ORDER_EXECUTED.pack(b"E", stock_locate, timestamp, order_reference_number, executed_shares, match_number)


def encode_order_executed_with_price(
    stock_locate: int,
    timestamp: int,
    order_reference_number: int,
    executed_shares: int,
    match_number: int,
    printable: bytes,
    execution_price: int,
) -> bytes:
    return _ORDER_EXECUTED_WITH_PRICE.pack(
        b"C",
        stock_locate,
        timestamp,
        order_reference_number,
        executed_shares,
        match_number,
        printable,
        execution_price,
    )


def encode_order_cancel(stock_locate: int, timestamp: int, order_reference_number: int, canceled_shares: int) -> bytes:
    return _ORDER_CANCEL.pack(b"X", stock_locate, timestamp, order_reference_number, canceled_shares)


def encode_order_delete(stock_locate: int, timestamp: int, order_reference_number: int) -> bytes:
    return _ORDER_DELETE.pack(b"D", stock_locate, timestamp, order_reference_number)


def encode_order_replace(
    stock_locate: int,
    timestamp: int,
    original_order_reference_number: int,
    new_order_reference_number: int,
    shares: int,
    price: int,
) -> bytes:
    return _ORDER_REPLACE.pack(
        b"U", stock_locate, timestamp, original_order_reference_number, new_order_reference_number, shares, price
    )


def encode_trade(
    stock_locate: int,
    timestamp: int,
    order_reference_number: int,
    buy_sell_indicator: bytes,
    shares: int,
    stock: bytes,
    price: int,
    match_number: int,
) -> bytes:
    return _TRADE.pack(
        b"P", stock_locate, timestamp, order_reference_number, buy_sell_indicator, shares, stock, price, match_number
    )
