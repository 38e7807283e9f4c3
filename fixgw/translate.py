"""FIX order messages → the exchange's commands.

One of the two places where FIX and the exchange's language meet (`reports.py` is the other). The message has passed
the dictionary: required fields are there and enumerated ones have a listed value. What is checked here is what only
this venue can know: its symbols, its number formats, the room its fields have.

A request that makes no sense is `Refused`, never dropped: the gateway answers with an ExecutionReport Rejected or an
OrderCancelReject carrying the text.

Deviations from FIX, said in the rules of engagement: ClOrdID(11) and OrigClOrdID(41) have at most 20 characters,
Account(1) at most 16; Price(44) has at most four decimals; quantities are whole numbers.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from fixgw import tags
from fixgw.conditions import CONDITIONAL, TradingDays, conditions
from fixgw.fields import Fields, Refusal, Refused, number, parse_price, parse_quantity, shown
from matching.codes import OrdType, RejectReason, Side, TimeInForce
from matching.commands import CancelOrder, Conditions, MassCancel, NewOrder, ReplaceOrder
from matching.ids import ACCOUNT_LENGTH, CL_ORD_ID_LENGTH

_LIMIT: Final = int(OrdType.LIMIT)
#: Orders that may have a limit, besides limit orders.
_LIMITED: Final = frozenset((int(OrdType.STOP_LIMIT), int(OrdType.PEGGED)))

_SIDES: Final[Mapping[bytes | None, int]] = {b"1": int(Side.BUY), b"2": int(Side.SELL)}
_ORD_TYPES: Final[Mapping[bytes | None, int]] = {b"1": 1, b"2": 2, b"3": 3, b"4": 4, b"K": ord("K"), b"P": ord("P")}
#: TimeInForce(59) absent means Day (FIX 4.2 and 4.4, field definition).
_TIMES_IN_FORCE: Final[Mapping[bytes | None, int]] = {
    None: int(TimeInForce.DAY), b"0": 0, b"1": 1, b"2": 2, b"3": 3, b"4": 4, b"6": 6, b"7": 7, b"B": ord("B"),
}  # fmt: skip

#: MassCancelRequestType(530).
_OF_SECURITY, _ALL = b"1", b"7"
#: MassCancelSession(5530): the whole firm's.
_EVERY_SESSION: Final = b"*"


class TradedInstrument(Struct, frozen=True):
    """What a gateway knows of an instrument: where it trades and what the broker calls it."""

    instrument_id: int
    symbol: bytes
    shard_id: int
    tick_size: int
    lot_size: int
    #: From which price on which tick size holds, in order; below the first row `tick_size` does.
    ticks: tuple[tuple[int, int], ...] = ()

    def tick_at(self, price: int) -> int:
        """What a price there must be a multiple of."""
        return max(((0, self.tick_size), *(row for row in self.ticks if row[0] <= price)))[1]


_Order = tuple[TradedInstrument, int, int, int, int, int, bytes, bytes, Conditions | None]
"""What NewOrderSingle(D) and OrderCancelReplaceRequest(G) have in common: instrument, side, ord_type, time_in_force,
price, quantity, cl_ord_id, account, conditions."""


def _too_long(name: str, tag: int, value: bytes, room: int) -> Refusal:
    return Refusal(
        RejectReason.TERMS_MISMATCH,
        f"{name}({tag}) has {len(value)} characters, more than the {room} this venue keeps",
    )


def _cl_ord_id(message: Fields, tag: int, name: str) -> bytes:
    value = message.get(tag, b"")
    if len(value) > CL_ORD_ID_LENGTH:
        raise _too_long(name, tag, value, CL_ORD_ID_LENGTH)
    return value


def _side(message: Fields) -> int:
    side = _SIDES.get(message.get(tags.Side))
    if side is None:
        raise Refusal(RejectReason.UNSUPPORTED_SIDE, "Side(54) is neither 1 (buy) nor 2 (sell)")
    return side


def _order_id(message: Fields) -> int:
    """OrderID(37) of a request; what is not one of our numbers is no order of ours."""
    text = message.get(tags.OrderID)
    if text is None or not text.isdigit() or len(text) > 19:
        return 0
    return int(text)


class Translator:
    """Turns the order messages into commands. Holds the instruments by symbol, and when days end.

    `expires_at`: for a shard_id, until when that shard may number what is translated now; it refuses what comes later.
    """

    def __init__(
        self,
        instruments: Mapping[bytes, TradedInstrument],
        expires_at: Callable[[int], int],
        days: TradingDays | None = None,
    ) -> None:
        self._instruments = instruments
        self._expires_at = expires_at
        self._days = days or TradingDays()

    def new_order(self, message: Fields, participant_id: int) -> tuple[int, NewOrder] | Refused:
        """(shard_id, command) for a NewOrderSingle(D), or why not."""
        try:
            instrument, side, ord_type, time_in_force, price, quantity, cl_ord_id, account, asked = self._order(message)
        except Refusal as refusal:
            return refusal.refused
        return instrument.shard_id, NewOrder(
            participant_id,
            instrument.instrument_id,
            side,
            ord_type,
            time_in_force,
            price,
            quantity,
            self._expires_at(instrument.shard_id),
            cl_ord_id,
            account,
            asked,
        )

    def replace_order(self, message: Fields, participant_id: int) -> tuple[int, ReplaceOrder] | Refused:
        """(shard_id, command) for an OrderCancelReplaceRequest(G), or why not."""
        try:
            instrument, side, ord_type, time_in_force, price, quantity, cl_ord_id, account, asked = self._order(message)
            orig_cl_ord_id = _cl_ord_id(message, tags.OrigClOrdID, "OrigClOrdID")
        except Refusal as refusal:
            return refusal.refused
        return instrument.shard_id, ReplaceOrder(
            participant_id,
            instrument.instrument_id,
            side,
            ord_type,
            time_in_force,
            price,
            quantity,
            _order_id(message),
            self._expires_at(instrument.shard_id),
            cl_ord_id,
            orig_cl_ord_id,
            account,
            asked,
        )

    def cancel_order(self, message: Fields, participant_id: int) -> tuple[int, CancelOrder] | Refused:
        """(shard_id, command) for an OrderCancelRequest(F), or why not. It never expires: a late one does no harm."""
        try:
            instrument = self._instrument(message)
            return instrument.shard_id, CancelOrder(
                participant_id,
                instrument.instrument_id,
                _side(message),
                _order_id(message),
                0,
                _cl_ord_id(message, tags.ClOrdID, "ClOrdID"),
                _cl_ord_id(message, tags.OrigClOrdID, "OrigClOrdID"),
            )
        except Refusal as refusal:
            return refusal.refused

    def mass_cancel(
        self, message: Fields, participant_id: int, session_id: int, sessions: Mapping[bytes, int]
    ) -> tuple[int, MassCancel] | Refused:
        """(shard_id, command) for an OrderMassCancelRequest(q), or why not; shard 0: it is for all of them.

        `sessions` are the firm's, by their SenderCompID(49).
        """
        try:
            instrument = self._instrument(message) if tags.Symbol in message else None
            kind = message.get(tags.MassCancelRequestType)
            if kind != _ALL and (kind != _OF_SECURITY or instrument is None):
                text = "MassCancelRequestType(530) is neither 7 (all orders) nor 1 (of a security) with Symbol(55)"
                raise Refusal(RejectReason.UNSUPPORTED_INSTRUCTION, text)
            named = message.get(tags.MassCancelSession)
            target = session_id if named is None else 0 if named == _EVERY_SESSION else sessions.get(named)
            if target is None:
                text = f"MassCancelSession(5530) {shown(named or b'')} is neither * nor a session of your firm"
                raise Refusal(RejectReason.TERMS_MISMATCH, text)
            return instrument.shard_id if instrument is not None else 0, MassCancel(
                participant_id,
                target,
                instrument.instrument_id if instrument is not None else 0,
                _side(message) if tags.Side in message else 0,
                _cl_ord_id(message, tags.ClOrdID, "ClOrdID"),
            )
        except Refusal as refusal:
            return refusal.refused

    def _instrument(self, message: Fields) -> TradedInstrument:
        symbol = message.get(tags.Symbol, b"")
        instrument = self._instruments.get(symbol)
        if instrument is None:
            raise Refusal(RejectReason.UNKNOWN_INSTRUMENT, f"Symbol(55) {shown(symbol)} is not traded here")
        return instrument

    def _order(self, message: Fields) -> _Order:
        """The fields of an order, all at once: a call for each would cost as much as the rest. Raises Refusal."""
        get = message.get
        instrument = self._instruments.get(get(tags.Symbol, b"")) or self._instrument(message)
        ord_type = _ORD_TYPES.get(get(tags.OrdType))
        if ord_type is None:
            raise Refusal(RejectReason.UNSUPPORTED_ORD_TYPE, "OrdType(40) is none of 1, 2, 3, 4, K, P")
        side = _SIDES.get(get(tags.Side)) or _side(message)
        time_in_force = _TIMES_IN_FORCE.get(get(tags.TimeInForce))
        if time_in_force is None:
            text = "TimeInForce(59) is none of 0, 1, 2, 3, 4, 6, 7, B"
            raise Refusal(RejectReason.UNSUPPORTED_TIME_IN_FORCE, text)
        price = 0  # a market order's Price(44), if some engine sends one, means nothing
        if ord_type == _LIMIT or ord_type in _LIMITED:
            price = number(message, tags.Price, parse_price, RejectReason.PRICE_OUT_OF_RANGE)
            if not price and ord_type == _LIMIT:
                raise Refusal(RejectReason.PRICE_OUT_OF_RANGE, "Price(44) is missing in a limit order")
        quantity = number(message, tags.OrderQty, parse_quantity, RejectReason.QUANTITY_OUT_OF_RANGE)
        if not quantity:
            raise Refusal(RejectReason.QUANTITY_OUT_OF_RANGE, "OrderQty(38) is missing")
        cl_ord_id = get(tags.ClOrdID, b"")
        if len(cl_ord_id) > CL_ORD_ID_LENGTH:
            raise _too_long("ClOrdID", tags.ClOrdID, cl_ord_id, CL_ORD_ID_LENGTH)
        account = get(tags.Account, b"")
        if len(account) > ACCOUNT_LENGTH:
            raise _too_long("Account", tags.Account, account, ACCOUNT_LENGTH)
        asked = None if message.keys().isdisjoint(CONDITIONAL) else conditions(message, self._days)
        return instrument, side, ord_type, time_in_force, price, quantity, cl_ord_id, account, asked
