"""What a broker asks: OrderStatusRequest(H), OrderMassStatusRequest(AF), TradeCaptureReportRequest(AD) about the past,
SecurityStatusRequest(e) about an instrument.

Such a request is a message like any other: it consumes its number and is written down. Its answer is not made from
anything the gateway knows, for it knows no orders; it is read from a majority of the shard's replicas
(`fixgw.answering`), and what comes of it is numbered and written down as every report is (`fixgw.history`,
`fixgw.trading_status`).

So that nobody's curiosity costs another one's orders: a session may ask INQUIRIES_PER_SECOND and have MAX_OPEN
unanswered at a time. Its answers come in the order of its requests. An inquiry changes nothing, hence it is not
repeated after the gateway has died before it answered: the broker asks again.

What a broker calls its request is repeated in every report of the answer, and there may be thousands: a name longer
than MAX_NAME_BYTES is declined, and not repeated at all.

Orders and fills that are asked about are always the session's own firm's: its participant stands in the inquiry, and
nothing of the message can name another.

Source: FIX 4.2, volume 1 and FIX 4.4, volumes 3 and 4 (the messages and their answers). FIX 4.2 has H and e; the venue
takes AF and AD in it all the same.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from msgspec import Struct

from fixgw import tags, values
from fixgw.fields import shown
from fixgw.throttle import TokenBucket
from fixgw.translate import TradedInstrument
from matching.ids import CL_ORD_ID_LENGTH, shard_of

#: By session. A broker that comes back asks once or twice for everything, and then seldom.
INQUIRIES_PER_SECOND: Final = 10
INQUIRY_BURST: Final = 20
MAX_OPEN: Final = 8

#: Of a request's own name, and of what it says that it asks about. Engines use some 20.
MAX_NAME_BYTES: Final = 64

#: MassStatusReqType(585) and TradeRequestType(569) that are understood.
_OF_SYMBOL, _ALL_ORDERS = b"1", b"7"
_ALL_TRADES, _MATCHING_TRADES = b"0", b"1"
#: SubscriptionRequestType(263).
SNAPSHOT, WITH_UPDATES, NO_MORE_UPDATES = b"0", b"1", b"2"

#: The field that names a request of this type, for its answers.
REQUEST_IDS: Final = {
    values.ORDER_STATUS_REQUEST: tags.OrdStatusReqID,
    values.ORDER_MASS_STATUS_REQUEST: tags.MassStatusReqID,
    values.TRADE_CAPTURE_REPORT_REQUEST: tags.TradeRequestID,
    values.SECURITY_STATUS_REQUEST: tags.SecurityStatusReqID,
}

#: The field that says what is asked for, where there is a choice.
_REQUEST_TYPES: Final = {
    values.ORDER_MASS_STATUS_REQUEST: tags.MassStatusReqType,
    values.TRADE_CAPTURE_REPORT_REQUEST: tags.TradeRequestType,
    values.SECURITY_STATUS_REQUEST: tags.SubscriptionRequestType,
}

#: They may name an order. The others have no ClOrdID(11) and no OrderID(37), and a stray one, which some engines send
#: with everything, must not choose orders or the shard.
_ABOUT_ONE_ORDER: Final = (values.ORDER_STATUS_REQUEST, values.TRADE_CAPTURE_REPORT_REQUEST)

#: The other fields that answers repeat.
_REPEATED: Final = (tags.ClOrdID, tags.Symbol, tags.Side, tags.MassStatusReqType, tags.TradeRequestType)


class Why(Enum):
    """Why an inquiry is not answered; what each message says for it is `fixgw.history`'s."""

    UNKNOWN_SYMBOL = "unknown symbol"
    UNKNOWN_ORDER = "unknown order"
    UNKNOWN_REQUEST = "unknown request"
    UNSUPPORTED = "unsupported"
    TOO_LONG = "too long"
    OVER_LIMIT = "over limit"
    NOT_AVAILABLE = "not available"


class Declined(Struct, frozen=True):
    why: Why
    text: str


OVER_RATE: Final = Declined(Why.OVER_LIMIT, "rate limit of inquiries exceeded")
TOO_MANY: Final = Declined(Why.OVER_LIMIT, f"{MAX_OPEN} inquiries of this session wait for their answers")
UNKNOWN_ORDER: Final = Declined(Why.UNKNOWN_ORDER, "ClOrdID(11) or OrderID(37) names no order of this session")
NO_QUORUM: Final = Declined(Why.NOT_AVAILABLE, "not answered: no majority of the market's replicas can be asked now")
NOT_LISTED: Final = Declined(Why.UNKNOWN_SYMBOL, "not traded yet: the market lists it when its next day starts")
NO_ORDERS: Final = Declined(Why.UNKNOWN_ORDER, "no open order is like that")


def refused(text: str) -> Declined:
    """A majority could be asked, and the shard does not answer this now: in its own words."""
    return Declined(Why.NOT_AVAILABLE, f"not answered: {text}")


class Inquiry(Struct, frozen=True):
    """A request that is to be answered. Fields that it does not have are empty; empty ones select everything."""

    msg_type: bytes
    msg_seq_num: int
    session_id: int
    participant_id: int
    #: The shards to be asked, one after the other.
    shard_ids: tuple[int, ...]
    request_id: bytes
    request_type: bytes = b""
    cl_ord_id: bytes = b""
    order_id: int = 0
    symbol: bytes = b""
    instrument_id: int = 0
    side: bytes = b""


class Inquiries:
    """Reads the requests of all sessions of a gateway, and counts those that wait for their answers."""

    def __init__(self, instruments: Iterable[TradedInstrument], shard_ids: Iterable[int]) -> None:
        self._instruments = {each.symbol: each for each in instruments}
        self._shard_ids = tuple(sorted(shard_ids))
        self._throttles: dict[int, TokenBucket] = {}
        self._open: dict[int, int] = {}

    def take(
        self,
        msg_type: bytes,
        msg_seq_num: int,
        fields: Mapping[int, bytes],
        session_id: int,
        participant_id: int,
        now: int,
    ) -> tuple[Inquiry, Declined | None]:
        """The request, and why it is not to be answered if so. Otherwise say `done` when it has been."""
        inquiry, declined = self._read(msg_type, msg_seq_num, fields, session_id, participant_id)
        throttle = self._throttles.get(session_id)
        if throttle is None:
            throttle = self._throttles[session_id] = TokenBucket(INQUIRIES_PER_SECOND, INQUIRY_BURST, now)
        if not throttle.take(now):
            declined = OVER_RATE
        elif declined is None and self._open.get(session_id, 0) >= MAX_OPEN:
            declined = TOO_MANY
        if declined is None:
            self.again(session_id)
        return inquiry, declined

    def again(self, session_id: int) -> None:
        """One inquiry of the session that had its answer is to have another."""
        self._open[session_id] = self._open.get(session_id, 0) + 1

    def done(self, session_id: int) -> None:
        """One inquiry of the session has its answer, or will never have it."""
        self._open[session_id] -= 1

    def _read(
        self, msg_type: bytes, msg_seq_num: int, fields: Mapping[int, bytes], session_id: int, participant_id: int
    ) -> tuple[Inquiry, Declined | None]:
        if msg_type not in _ABOUT_ONE_ORDER:
            fields = {tag: value for tag, value in fields.items() if tag not in (tags.ClOrdID, tags.OrderID)}
        fields, too_long = _short(msg_type, fields)
        symbol = fields.get(tags.Symbol, b"")
        instrument = self._instruments.get(symbol)
        order_id = _number(fields.get(tags.OrderID, b""))
        inquiry = Inquiry(
            msg_type,
            msg_seq_num,
            session_id,
            participant_id,
            self._shards(instrument, order_id),
            fields.get(REQUEST_IDS[msg_type], b""),
            fields.get(_REQUEST_TYPES.get(msg_type, 0), b""),
            fields.get(tags.ClOrdID, b""),
            order_id,
            symbol,
            instrument.instrument_id if instrument is not None else 0,
            fields.get(tags.Side, b""),
        )
        if too_long is not None:
            return inquiry, too_long
        if symbol and instrument is None:
            return inquiry, Declined(Why.UNKNOWN_SYMBOL, f"Symbol(55) {shown(symbol)} is not traded here")
        return inquiry, _CHECKS[msg_type](inquiry, fields)

    def _shards(self, instrument: TradedInstrument | None, order_id: int) -> tuple[int, ...]:
        if shard_of(order_id) in self._shard_ids:
            return (shard_of(order_id),)
        return (instrument.shard_id,) if instrument is not None else self._shard_ids


def _short(msg_type: bytes, fields: Mapping[int, bytes]) -> tuple[Mapping[int, bytes], Declined | None]:
    """The fields without what is too long to be repeated, and that something is."""
    long = [tag for tag in (REQUEST_IDS[msg_type], *_REPEATED) if len(fields.get(tag, b"")) > MAX_NAME_BYTES]
    if not long:
        return fields, None
    text = f"{tags.label(long[0])} is longer than {MAX_NAME_BYTES} characters"
    return {tag: value for tag, value in fields.items() if tag not in long}, Declined(Why.TOO_LONG, text)


def _number(text: bytes) -> int:
    """OrderID(37); what is not one of our numbers is no order of ours."""
    return int(text) if text.isdigit() and len(text) <= 19 else 0


def _check_status(inquiry: Inquiry, _fields: Mapping[int, bytes]) -> Declined | None:
    return UNKNOWN_ORDER if not inquiry.order_id and len(inquiry.cl_ord_id) > CL_ORD_ID_LENGTH else None


def _check_mass_status(inquiry: Inquiry, _fields: Mapping[int, bytes]) -> Declined | None:
    if inquiry.request_type == _OF_SYMBOL and inquiry.symbol:
        return None
    if inquiry.request_type == _ALL_ORDERS:
        return None
    text = "MassStatusReqType(585) is neither 7 (all orders) nor 1 (of a security) with Symbol(55)"
    return Declined(Why.UNSUPPORTED, text)


def _check_trades(inquiry: Inquiry, fields: Mapping[int, bytes]) -> Declined | None:
    if inquiry.request_type not in (_ALL_TRADES, _MATCHING_TRADES):
        return Declined(Why.UNSUPPORTED, "TradeRequestType(569) is neither 0 (all trades) nor 1 (those that match)")
    if fields.get(tags.SubscriptionRequestType, SNAPSHOT) != SNAPSHOT:
        text = "SubscriptionRequestType(263) must be 0 (snapshot): fills come as ExecutionReports by themselves"
        return Declined(Why.UNSUPPORTED, text)
    if tags.OrderID in fields and not inquiry.order_id:  # as if it was not there, all fills would be told
        return Declined(Why.UNKNOWN_ORDER, f"OrderID(37) {shown(fields[tags.OrderID])} is not an order's number")
    return None


def _accept(_inquiry: Inquiry, _fields: Mapping[int, bytes]) -> Declined | None:
    return None


_CHECKS: Final = {
    values.ORDER_STATUS_REQUEST: _check_status,
    values.ORDER_MASS_STATUS_REQUEST: _check_mass_status,
    values.TRADE_CAPTURE_REPORT_REQUEST: _check_trades,
    values.SECURITY_STATUS_REQUEST: _accept,
}
