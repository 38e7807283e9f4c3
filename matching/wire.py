"""Byte layouts of the commands in `commands.py` and the events in `events.py`.

Big-endian, fields in the order of their class; text is padded with NUL on the right. A body's kind stands in the header
of the message that carries it. Kinds 16..95 are commands, 96..255 events (0..15 belong to the
stream itself). A kind, once used, never means anything else: journals outlive programs.

    H u16   I u32   Q u64   q i64   B u8   Ns N bytes of text

`OrderTerms` stand inside the events that carry them as if their fields were the event's own. `Conditions`, which few
orders have, stand behind everything else, and only where there are any: a byte with one bit for each place where a
message may have some (1 the first, 2 the second), and the conditions of those places. So a body has its layout's fixed
length, or is longer by that.

Theory of the code: the table `LAYOUTS` is the specification and the code is made from it at import: an encoder is one
`Struct.pack` over the fields of the object (and of its terms), a decoder one `Struct.unpack` and one constructor.
"""

import re
from collections.abc import Callable, Iterable
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812
from typing import Any, Final

from msgspec import Struct

from matching.commands import (
    Advance,
    BreachCircuitBreaker,
    BustTrade,
    CancelOrder,
    CancelSession,
    Command,
    Conditions,
    Continue,
    DefineInstrument,
    DefineParticipant,
    DefineRules,
    DefineSession,
    DefineTick,
    EndDay,
    MassCancel,
    NewOrder,
    ReplaceOrder,
    SchedulePhase,
    SetCircuitBreaker,
    SetEntryBlock,
    SetPhase,
    SetReferencePrice,
    SetTradingState,
    SourceLost,
    StartDay,
)
from matching.events import (
    AuctionExecuted,
    CancelRejected,
    CircuitBreakerBreached,
    CircuitBreakerSet,
    CollarSet,
    CommandRefused,
    CrossExecuted,
    DayEnded,
    DayStarted,
    EntryBlockChanged,
    Event,
    ImbalancePublished,
    InstrumentListed,
    MassCancelDone,
    MassCancelRejected,
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderTerms,
    OrderTriggered,
    PhaseChanged,
    SystemEventOccurred,
    TradeBusted,
    TradingStateChanged,
)

#: order_id, participant_id, session_id, instrument_id, side, ord_type, time_in_force, price, order_qty, texts, and
#: conditions.
TERMS_LAYOUT: Final = "QIIHBBBqI20s16s{conditions}"
#: Of `Conditions`.
CONDITIONS_LAYOUT: Final = "qIIBBqQ"

#: kind: (class, layout). `{terms}` is replaced by the layout of `OrderTerms`, `{conditions}` stands behind the rest.
LAYOUTS: Final[dict[int, tuple[type[Struct], str]]] = {
    16: (StartDay, "I10sQ"),
    17: (EndDay, "I"),
    18: (DefineInstrument, "H8sIII"),
    19: (SetTradingState, "HB4s"),
    20: (NewOrder, "IHBBBqIQ20s16s{conditions}"),
    21: (CancelOrder, "IHBQQ20s20s"),
    22: (ReplaceOrder, "IHBBBqIQQ20s20s16s{conditions}"),
    23: (Continue, ""),
    24: (DefineSession, "IIHB"),
    25: (SourceLost, "H"),
    26: (CancelSession, "I"),
    27: (DefineParticipant, "IIB"),
    28: (DefineRules, "HIIIIQQQ"),
    29: (DefineTick, "HqI"),
    30: (SetReferencePrice, "Hq"),
    31: (SchedulePhase, "HBQ"),
    32: (SetPhase, "HB4s"),
    33: (Advance, ""),
    34: (MassCancel, "IIHB20s"),
    35: (SetEntryBlock, "IIB"),
    36: (BustTrade, "Q"),
    37: (SetCircuitBreaker, "QQQ"),
    38: (BreachCircuitBreaker, "B"),
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
    111: (PhaseChanged, "HB"),
    112: (OrderTriggered, "{terms}QIIQ"),
    113: (OrderRestated, "{terms}QIBQIIQ"),
    114: (AuctionExecuted, "QqI{terms}QQIIQ{terms}QQIIQ"),
    115: (CrossExecuted, "HQqQB"),
    116: (ImbalancePublished, "HQQBqqqB"),
    117: (CollarSet, "HqqqI"),
    118: (MassCancelDone, "IIQ20sIHBI"),
    119: (MassCancelRejected, "IIQ20sIHBB"),
    120: (TradeBusted, "QqI{terms}QIIQ{terms}QIIQ"),
    121: (EntryBlockChanged, "IIB"),
    122: (CircuitBreakerSet, "QQQ"),
    123: (CircuitBreakerBreached, "B"),
}

FIRST_EVENT_KIND: Final = 96

_Encoder = Callable[[Any], tuple[int, bytes]]
_Decoder = Callable[[bytes], Any]


class WireError(ValueError):
    """Bytes that are no command or event: an unknown kind, or a body that does not have its layout."""


def codes(layout: str) -> list[str]:
    """A layout's values, one by one: of "Q{terms}20s", Q and {terms} and 20s."""
    return re.findall(r"\{\w+\}|\d*[a-zA-Z]", layout)


def _layout(text: str) -> Layout:
    """Of the fixed part."""
    return Layout(">" + text.replace("{terms}", TERMS_LAYOUT).replace("{conditions}", ""))


_CONDITIONS: Final = _layout(CONDITIONS_LAYOUT)


def _tail(*conditions: Conditions | None) -> bytes:
    """The conditions behind a body's fixed part."""
    given = 0
    blocks = [b""]
    for place, each in enumerate(conditions):
        if each is not None:
            given |= 1 << place
            blocks.append(
                _CONDITIONS.pack(
                    each.stop_price,
                    each.display_qty,
                    each.min_qty,
                    each.exec_inst,
                    each.peg,
                    each.peg_offset,
                    each.expire_at,
                )
            )
    blocks[0] = bytes([given])
    return b"".join(blocks)


def _conditions(body: bytes, size: int, places: int) -> list[Conditions | None]:
    """What stands behind the fixed part. Raises LayoutError when it is not what `_tail` writes."""
    if len(body) == size:
        return [None] * places
    given = body[size] if len(body) > size else 0
    if not 0 < given < 1 << places or len(body) != size + 1 + given.bit_count() * _CONDITIONS.size:
        raise LayoutError(f"the body has neither {size} bytes nor conditions of {places} orders behind them")
    found: list[Conditions | None] = []
    at = size + 1
    for place in range(places):
        if given & 1 << place:
            found.append(Conditions(*_CONDITIONS.unpack_from(body, at)))
            at += _CONDITIONS.size
        else:
            found.append(None)
    return found


def _spelled(path: str, cls: type[Struct], layout: str) -> tuple[list[str], list[str], str]:
    """(where an object's values stand, as seen from `path`; where its conditions stand; the expression that makes it
    from all of them)."""
    places: list[str] = []
    conditions: list[str] = []
    made: list[str] = []
    for field, code in zip(cls.__struct_fields__, codes(layout), strict=True):
        place = f"{path}.{field}"
        if code == "{terms}":
            terms_places, terms_conditions, terms_made = _spelled(place, OrderTerms, TERMS_LAYOUT)
            places += terms_places
            conditions += terms_conditions
            made.append(terms_made)
        elif code == "{conditions}":
            conditions.append(place)
            made.append(_variable(place))
        else:
            places.append(place)
            made.append(_variable(place) + ('.rstrip(b"\\0")' if code.endswith("s") else ""))
    return places, conditions, f"{cls.__name__}({', '.join(made)})"


def _variable(place: str) -> str:
    return place.replace(".", "_")


def _codec(kind: int, cls: type[Struct], text: str) -> tuple[_Encoder, _Decoder]:
    """A class's encoder and decoder: its row of the table, spelled out. Naming each field is twice as fast as walking
    over them, and a new kind is still one line."""
    layout = _layout(text)
    places, conditions, made = _spelled("m", cls, text)
    packed = f"pack({', '.join(places)})"
    unpacked = f"[{', '.join(map(_variable, places))}]"
    if not conditions:
        source = (
            f"def encode(m): return {kind}, {packed}\n"
            f"def decode(body):\n"
            f"    {unpacked} = unpack(body)\n"
            f"    return {made}\n"
        )
    else:
        variables = ", ".join(map(_variable, conditions))
        source = (
            f"def encode(m):\n"
            f"    if {' is None and '.join(conditions)} is None: return {kind}, {packed}\n"
            f"    return {kind}, {packed} + tail({', '.join(conditions)})\n"
            f"def decode(body):\n"
            f"    if len(body) == {layout.size}: {' = '.join(map(_variable, conditions))} = None\n"
            f"    else: [{variables}] = read_tail(body, {layout.size}, {len(conditions)})\n"
            f"    {unpacked} = unpack_from(body)\n"
            f"    return {made}\n"
        )
    names: dict[str, Any] = {
        "pack": layout.pack,
        "unpack": layout.unpack,
        "unpack_from": layout.unpack_from,
        "tail": _tail,
        "read_tail": _conditions,
        cls.__name__: cls,
        "OrderTerms": OrderTerms,
    }
    exec(compile(source, f"<codec of {cls.__name__}>", "exec"), names)
    return names["encode"], names["decode"]


_CODECS: Final = {kind: _codec(kind, cls, text) for kind, (cls, text) in LAYOUTS.items()}
_ENCODERS: Final[dict[type[Struct], _Encoder]] = {cls: _CODECS[kind][0] for kind, (cls, _) in LAYOUTS.items()}
_COMMAND_DECODERS: Final[dict[int, Callable[[bytes], Command]]] = {
    kind: decoder for kind, (_, decoder) in _CODECS.items() if kind < FIRST_EVENT_KIND
}
_EVENT_DECODERS: Final[dict[int, Callable[[bytes], Event]]] = {
    kind: decoder for kind, (_, decoder) in _CODECS.items() if kind >= FIRST_EVENT_KIND
}

#: The kind of each class, for readers that look at a message's kind before they decode its body.
KINDS: Final = {cls: kind for kind, (cls, _) in LAYOUTS.items()}
COMMAND_KINDS: Final = frozenset(_COMMAND_DECODERS)

#: The longest command body; it leaves room for the message's envelope within one packet.
MAX_COMMAND_BYTES: Final = max(_layout(LAYOUTS[kind][1]).size for kind in COMMAND_KINDS) + 1 + _CONDITIONS.size


def encode(message: Command | Event) -> tuple[int, bytes]:
    """(kind, body) of a command or event. Its numbers fit their fields and its texts are not too long: engines and
    gateways have checked that."""
    return _ENCODERS[type(message)](message)


def encode_all(events: Iterable[Event]) -> list[tuple[int, bytes]]:
    """Each as `encode` gives it, in one call: a shard makes one for each command."""
    return [_ENCODERS[type(event)](event) for event in events]


def decode_command(kind: int, body: bytes) -> Command:
    """The command that stands in these bytes.

    Raises WireError when the kind is no command's or the body is not as long as its layout.
    """
    try:
        return _COMMAND_DECODERS[kind](body)
    except (KeyError, LayoutError) as error:
        raise WireError(f"kind {kind} with {len(body)} bytes is no command: {error}") from None


def decode_event(kind: int, body: bytes) -> Event:
    """The event that stands in these bytes.

    Raises WireError when the kind is no event's or the body is not as long as its layout.
    """
    try:
        return _EVENT_DECODERS[kind](body)
    except (KeyError, LayoutError) as error:
        raise WireError(f"kind {kind} with {len(body)} bytes is no event: {error}") from None


def decode(kind: int, body: bytes) -> Command | Event:
    """The command or event that stands in these bytes. Raises WireError as the two above do."""
    return decode_command(kind, body) if kind < FIRST_EVENT_KIND else decode_event(kind, body)
