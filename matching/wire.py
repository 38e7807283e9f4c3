"""Byte layouts of the commands and events in `messages.py`.

Big-endian, fixed length, fields in the order of their class; text is padded with NUL on the right. A body's kind
stands in the header of the message that carries it. Kinds 16..95 are commands, 96..255 events (0..15 belong to the
stream itself). A kind, once used, never means anything else: journals outlive programs.

    H u16   I u32   Q u64   q i64   B u8   Ns N bytes of text

`OrderTerms` stand inside the events that carry them as if their fields were the event's own.

Theory of the code: one table, `LAYOUTS`, is the specification. Encoding an event is one `Struct.pack` over the fields
of the object (and of its terms), decoding is one `Struct.unpack` and one constructor.
"""

from collections.abc import Callable
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812
from typing import Any, Final, cast

from msgspec import Struct
from msgspec.structs import astuple

from matching.messages import (
    CancelOrder,
    CancelRejected,
    Command,
    CommandRefused,
    Continue,
    DayEnded,
    DayStarted,
    DefineInstrument,
    EndDay,
    Event,
    InstrumentListed,
    NewOrder,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderTerms,
    ReplaceOrder,
    SetTradingState,
    StartDay,
    SystemEventOccurred,
    TradingStateChanged,
)

#: order_id, participant_id, session_id, instrument_id, side, ord_type, time_in_force, price, order_qty, texts.
_TERMS: Final = "QIIHBBBqI20s16s"

#: kind: (class, layout). `{terms}` is replaced by the layout of `OrderTerms`.
LAYOUTS: Final[dict[int, tuple[type[Struct], str]]] = {
    16: (StartDay, "I10sQ"),
    17: (EndDay, "I"),
    18: (DefineInstrument, "H8sIII"),
    19: (SetTradingState, "HB4s"),
    20: (NewOrder, "IHBBBqIQ20s16s"),
    21: (CancelOrder, "IHBQQ20s20s"),
    22: (ReplaceOrder, "IHBBBqIQQ20s20s16s"),
    23: (Continue, ""),
    96: (CommandRefused, "BB"),
    97: (DayStarted, "I10sQ"),
    98: (DayEnded, "I"),
    99: (InstrumentListed, "H8sIIIB"),
    100: (SystemEventOccurred, "B"),
    101: (TradingStateChanged, "HB4s"),
    102: (OrderAccepted, "{terms}Q"),
    103: (OrderRejected, "{terms}QB"),
    104: (OrderBooked, "QQIHBqI"),
    105: (OrderExecuted, "QqI{terms}QQIIQ{terms}QIIQ"),
    106: (OrderReduced, "{terms}20sQIQIIQ"),
    107: (OrderReplaced, "{terms}20sQQQIIQ"),
    108: (OrderCanceled, "{terms}20sQIBQIQ"),
    109: (OrderExpired, "{terms}QIQIQ"),
    110: (CancelRejected, "IIQQ20s20sBBB"),
}

FIRST_EVENT_KIND: Final = 96

_Encoder = Callable[[Any], tuple[int, bytes]]
_Decoder = Callable[[bytes], Any]


class WireError(ValueError):
    """Bytes that are no command or event: an unknown kind, or a body that does not have its layout."""


def _layout(text: str) -> Layout:
    return Layout(">" + text.format(terms=_TERMS))


def _text_places(layout: str, offset: int) -> list[int]:
    """Which unpacked values are text."""
    kinds = [c for c in layout if c.isalpha()]
    return [offset + place for place, kind in enumerate(kinds) if kind == "s"]


def _plain(kind: int, cls: type[Struct], text: str) -> tuple[_Encoder, _Decoder]:
    """A class whose fields are numbers and text."""
    layout = _layout(text)
    pack, unpack = layout.pack, layout.unpack
    places = _text_places(text, 0)

    def encode(message: Struct) -> tuple[int, bytes]:
        return kind, pack(*astuple(message))

    def decode(body: bytes) -> Struct:
        values = list(unpack(body))
        for place in places:
            values[place] = values[place].rstrip(b"\0")
        return cls(*values)

    return encode, decode


_TERMS_COUNT: Final = 11


def _terms(v: tuple[Any, ...], i: int) -> OrderTerms:
    """The terms whose eleven values start at `v[i]`."""
    return OrderTerms(
        v[i],
        v[i + 1],
        v[i + 2],
        v[i + 3],
        v[i + 4],
        v[i + 5],
        v[i + 6],
        v[i + 7],
        v[i + 8],
        v[i + 9].rstrip(b"\0"),
        v[i + 10].rstrip(b"\0"),
    )


def _with_terms(kind: int, cls: type[Struct], text: str) -> tuple[_Encoder, _Decoder]:
    """A class whose first field is an order's terms."""
    layout = _layout(text)
    pack, unpack = layout.pack, layout.unpack
    places = _text_places(text.removeprefix("{terms}"), 0)

    def encode(event: OrderAccepted) -> tuple[int, bytes]:
        return kind, pack(*astuple(event.terms), *astuple(event)[1:])

    def decode(body: bytes) -> Struct:
        values = unpack(body)
        rest = list(values[_TERMS_COUNT:])
        for place in places:
            rest[place] = rest[place].rstrip(b"\0")
        return cls(_terms(values, 0), *rest)

    return encode, decode


_EXECUTED_KIND: Final = 105
_EXECUTED: Final = _layout(LAYOUTS[_EXECUTED_KIND][1])


def _encode_executed(event: OrderExecuted) -> tuple[int, bytes]:
    v = astuple(event)
    return _EXECUTED_KIND, _EXECUTED.pack(
        v[0], v[1], v[2], *astuple(event.resting), *v[4:9], *astuple(event.incoming), *v[10:]
    )


def _decode_executed(body: bytes) -> OrderExecuted:
    v = _EXECUTED.unpack(body)
    return OrderExecuted(
        v[0], v[1], v[2], _terms(v, 3), v[14], v[15], v[16], v[17], v[18], _terms(v, 19), v[30], v[31], v[32], v[33]
    )


def _codec(kind: int, cls: type[Struct], text: str) -> tuple[_Encoder, _Decoder]:
    if cls is OrderExecuted:
        return _encode_executed, _decode_executed
    if text.startswith("{terms}"):
        return _with_terms(kind, cls, text)
    return _plain(kind, cls, text)


_CODECS: Final = {kind: _codec(kind, cls, text) for kind, (cls, text) in LAYOUTS.items()}
_ENCODERS: Final = {cls: _CODECS[kind][0] for kind, (cls, _) in LAYOUTS.items()}
_DECODERS: Final = {kind: codec[1] for kind, codec in _CODECS.items()}

#: The kind of each class, for readers that look at a message's kind before they decode its body.
KINDS: Final = {cls: kind for kind, (cls, _) in LAYOUTS.items()}

#: The longest command body; it leaves room for the message's envelope within one packet.
MAX_COMMAND_BYTES: Final = max(_layout(text).size for kind, (_, text) in LAYOUTS.items() if kind < FIRST_EVENT_KIND)


def encode(message: Command | Event) -> tuple[int, bytes]:
    """(kind, body) of a command or event. Its numbers fit their fields and its texts are not too long: engines and
    gateways have checked that."""
    return _ENCODERS[type(message)](message)


def decode(kind: int, body: bytes) -> Command | Event:
    """The command or event that stands in these bytes.

    Raises WireError when there is no such kind or the body is not as long as its layout.
    """
    try:
        return cast("Command | Event", _DECODERS[kind](body))
    except (KeyError, LayoutError) as error:
        raise WireError(f"kind {kind} with {len(body)} bytes is no command or event: {error}") from None


def decode_command(kind: int, body: bytes) -> Command:
    """As `decode`, for commands alone. Raises WireError."""
    if kind >= FIRST_EVENT_KIND:
        raise WireError(f"kind {kind} is not a command's")
    return cast("Command", decode(kind, body))


def decode_event(kind: int, body: bytes) -> Event:
    """As `decode`, for events alone. Raises WireError."""
    if kind < FIRST_EVENT_KIND:
        raise WireError(f"kind {kind} is not an event's")
    return cast("Event", decode(kind, body))
