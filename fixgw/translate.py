"""FIX order messages → the exchange's commands.

One of the two places where FIX and the exchange's language meet (`reports.py` is the other). The message has passed
the dictionary: required fields are there and enumerated ones have a listed value. What is checked here is what only
this venue can know: its symbols, its number formats, the room its fields have.

A request that makes no sense is `Refused`, never dropped: the gateway answers with an ExecutionReport Rejected or an
OrderCancelReject carrying the text.

Deviations from FIX, said in the rules of engagement: ClOrdID(11) and OrigClOrdID(41) have at most 20 characters,
Account(1) at most 16; Price(44) has at most four decimals; quantities are whole numbers.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol

from msgspec import Struct

from fixgw import tags
from matching.codes import OrdType, RejectReason, TimeInForce
from matching.commands import CancelOrder, NewOrder, ReplaceOrder
from matching.ids import ACCOUNT_LENGTH, CL_ORD_ID_LENGTH, MAX_PRICE, MAX_QUANTITY, PRICE_SCALE

_LIMIT: Final = int(OrdType.LIMIT)
_DECIMALS: Final = 4

#: Prices and quantities come back again and again; parsing one costs ten times what finding it does.
_NUMBERS_KEPT: Final = 1 << 16

_SIDES: Final = {b"1": 1, b"2": 2}
_ORD_TYPES: Final = {b"1": 1, b"2": 2}
#: TimeInForce(59) absent means Day (FIX 4.2 and 4.4, field definition).
_TIMES_IN_FORCE: Final = {None: int(TimeInForce.DAY), b"0": 0, b"3": 3, b"4": 4}


class Fields(Protocol):
    """A FIX message: the value of a tag, or None."""

    def get(self, tag: int, /) -> bytes | None: ...


class TradedInstrument(Struct, frozen=True):
    """What a gateway knows of an instrument: where it trades and what the broker calls it."""

    instrument_id: int
    symbol: bytes
    shard_id: int
    tick_size: int
    lot_size: int


class Refused(Struct, frozen=True):
    """The venue does not take this request; `text` becomes Text(58)."""

    reason: int
    text: str


class _Refusal(Exception):
    def __init__(self, reason: RejectReason, text: str) -> None:
        self.refused = Refused(int(reason), text)


@lru_cache(_NUMBERS_KEPT)
def parse_price(text: bytes) -> int:
    """A FIX price as an integer of 1/10,000. Raises ValueError saying what is wrong."""
    whole, _, fraction = text.partition(b".")
    digits = whole + fraction
    if not digits.isdigit():
        raise ValueError("is not a positive decimal number")
    kept, rest = fraction[:_DECIMALS], fraction[_DECIMALS:]
    if rest.strip(b"0"):
        raise ValueError(f"has more than {_DECIMALS} decimals")
    price = int(whole or b"0") * PRICE_SCALE + int(kept.ljust(_DECIMALS, b"0"))
    if not 0 < price <= MAX_PRICE:
        raise ValueError(f"is not above 0 and at most {MAX_PRICE // PRICE_SCALE}")
    return price


@lru_cache(_NUMBERS_KEPT)
def parse_quantity(text: bytes) -> int:
    """A FIX quantity, a whole number. Raises ValueError saying what is wrong."""
    whole, _, fraction = text.partition(b".")
    if not whole.isdigit() or fraction.strip(b"0"):
        raise ValueError("is not a whole positive number")
    quantity = int(whole)
    if not 0 < quantity <= MAX_QUANTITY:
        raise ValueError(f"is not in 1..{MAX_QUANTITY}")
    return quantity


def _shown(value: bytes) -> str:
    return value.decode("ascii", "backslashreplace")


def _price(message: Fields, ord_type: int) -> int:
    text = message.get(tags.Price)
    if ord_type != _LIMIT:
        return 0  # a market order's Price(44), if some engine sends one, means nothing
    if text is None:
        raise _Refusal(RejectReason.PRICE_OUT_OF_RANGE, "Price(44) is missing in a limit order")
    try:
        return parse_price(text)
    except ValueError as error:
        raise _Refusal(RejectReason.PRICE_OUT_OF_RANGE, f"Price(44) {_shown(text)} {error}") from None


def _quantity(message: Fields) -> int:
    text = message.get(tags.OrderQty)
    if text is None:
        raise _Refusal(RejectReason.QUANTITY_OUT_OF_RANGE, "OrderQty(38) is missing")
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise _Refusal(RejectReason.QUANTITY_OUT_OF_RANGE, f"OrderQty(38) {_shown(text)} {error}") from None


def _text(message: Fields, tag: int, name: str, room: int) -> bytes:
    value = message.get(tag) or b""
    if len(value) > room:
        raise _Refusal(
            RejectReason.TERMS_MISMATCH,
            f"{name}({tag}) has {len(value)} characters, more than the {room} this venue keeps",
        )
    return value


def _side(message: Fields) -> int:
    side = _SIDES.get(message.get(tags.Side) or b"")
    if side is None:
        raise _Refusal(RejectReason.UNSUPPORTED_SIDE, "Side(54) is neither 1 (buy) nor 2 (sell)")
    return side


def _ord_type(message: Fields) -> int:
    ord_type = _ORD_TYPES.get(message.get(tags.OrdType) or b"")
    if ord_type is None:
        raise _Refusal(RejectReason.UNSUPPORTED_ORD_TYPE, "OrdType(40) is neither 1 (market) nor 2 (limit)")
    return ord_type


def _time_in_force(message: Fields) -> int:
    time_in_force = _TIMES_IN_FORCE.get(message.get(tags.TimeInForce))
    if time_in_force is None:
        raise _Refusal(
            RejectReason.UNSUPPORTED_TIME_IN_FORCE,
            "TimeInForce(59) is none of 0 (day), 3 (immediate or cancel), 4 (fill or kill)",
        )
    return time_in_force


def _order_id(message: Fields) -> int:
    """OrderID(37) of a request; what is not one of our numbers is no order of ours."""
    text = message.get(tags.OrderID)
    if text is None or not text.isdigit() or len(text) > 19:
        return 0
    return int(text)


def _instrument(message: Fields, instruments: Mapping[bytes, TradedInstrument]) -> TradedInstrument:
    symbol = message.get(tags.Symbol) or b""
    instrument = instruments.get(symbol)
    if instrument is None:
        raise _Refusal(RejectReason.UNKNOWN_INSTRUMENT, f"Symbol(55) {_shown(symbol)} is not traded here")
    return instrument


class Translator:
    """Turns the three order messages into commands. Holds the instruments by symbol, and nothing else.

    `expires_at`: a shard that numbers the command later refuses it.
    """

    def __init__(self, instruments: Mapping[bytes, TradedInstrument]) -> None:
        self._instruments = instruments

    def new_order(self, message: Fields, participant_id: int, expires_at: int) -> tuple[int, NewOrder] | Refused:
        """(shard_id, command) for a NewOrderSingle(D), or why not."""
        try:
            instrument = _instrument(message, self._instruments)
            ord_type = _ord_type(message)
            return instrument.shard_id, NewOrder(
                participant_id,
                instrument.instrument_id,
                _side(message),
                ord_type,
                _time_in_force(message),
                _price(message, ord_type),
                _quantity(message),
                expires_at,
                _text(message, tags.ClOrdID, "ClOrdID", CL_ORD_ID_LENGTH),
                _text(message, tags.Account, "Account", ACCOUNT_LENGTH),
            )
        except _Refusal as refusal:
            return refusal.refused

    def cancel_order(self, message: Fields, participant_id: int, _expires_at: int) -> tuple[int, CancelOrder] | Refused:
        """(shard_id, command) for an OrderCancelRequest(F), or why not. It never expires: a late one does no harm."""
        try:
            instrument = _instrument(message, self._instruments)
            return instrument.shard_id, CancelOrder(
                participant_id,
                instrument.instrument_id,
                _side(message),
                _order_id(message),
                0,
                _text(message, tags.ClOrdID, "ClOrdID", CL_ORD_ID_LENGTH),
                _text(message, tags.OrigClOrdID, "OrigClOrdID", CL_ORD_ID_LENGTH),
            )
        except _Refusal as refusal:
            return refusal.refused

    def replace_order(
        self, message: Fields, participant_id: int, expires_at: int
    ) -> tuple[int, ReplaceOrder] | Refused:
        """(shard_id, command) for an OrderCancelReplaceRequest(G), or why not."""
        try:
            instrument = _instrument(message, self._instruments)
            ord_type = _ord_type(message)
            return instrument.shard_id, ReplaceOrder(
                participant_id,
                instrument.instrument_id,
                _side(message),
                ord_type,
                _time_in_force(message),
                _price(message, ord_type),
                _quantity(message),
                _order_id(message),
                expires_at,
                _text(message, tags.ClOrdID, "ClOrdID", CL_ORD_ID_LENGTH),
                _text(message, tags.OrigClOrdID, "OrigClOrdID", CL_ORD_ID_LENGTH),
                _text(message, tags.Account, "Account", ACCOUNT_LENGTH),
            )
        except _Refusal as refusal:
            return refusal.refused
