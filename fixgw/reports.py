"""The exchange's events → FIX ExecutionReport(8) and OrderCancelReject(9), for FIX.4.2 and FIX.4.4.

Everything a report says stands in its event, so a gateway keeps no order state and a report is the same however often
it is made. ExecID(17) is the shard and the event's number in the shard's stream, hence the same on every replay; a
trade is one event and two reports, told apart by the side. After a fork (`forks`) numbers of lost events are given
again: then the shard is followed by F and how many forks began at or below the event.

Where the versions differ (FIX 4.2, volume 1, ExecutionReport; FIX 4.4, volume 4):

| | FIX.4.2 | FIX.4.4 |
|---|---|---|
| ExecTransType(20) | 0 (new) | does not exist |
| ExecType(150) of a trade | 1 partial fill, 2 fill | F trade |
| OrdStatus(39) after a replace, nothing executed, or of a ClOrdID that was replaced | 5 replaced | 0 new |
| OrdRejReason(103) | 0..8 | also 11, 13, 99 |
| CxlRejReason(102) | 0..3 | also 6, 99 |
| SecondaryExecID(527) of a trade | does not exist | the trade's number |
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from fixgw.fields import Refused
from fixgw.timestamps import format_timestamp
from fixgw.translate import TradedInstrument
from matching.codes import CancelReason, OrdStatus, OrdType, RejectReason
from matching.events import (
    CancelRejected,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderTerms,
)
from matching.ids import PRICE_SCALE
from matching.wire import KINDS

EXECUTION_REPORT: Final = b"8"
ORDER_CANCEL_REJECT: Final = b"9"

_LIMIT: Final = int(OrdType.LIMIT)
_BUY: Final = 1
_PRICES_KEPT: Final = 1 << 16
#: Orders whose description is at hand: a second or two of the busiest trading.
_TERMS_KEPT: Final = 1 << 14
#: AvgPx(6) that is no whole number of 1/10,000 is rounded half up to this many decimals.
_AVERAGE_DECIMALS: Final = 8
_AVERAGE_SCALE: Final = 10 ** (_AVERAGE_DECIMALS - 4)


class Dialect(NamedTuple):
    """What one FIX version says differently."""

    exec_trans_type: bytes
    partial_fill: bytes
    fill: bytes
    replaced_status: bytes
    ord_rej_reasons: Mapping[int, int]
    cxl_rej_reasons: Mapping[int, int]
    other_ord_rej_reason: int
    other_cxl_rej_reason: int
    #: Reports of trades have SecondaryExecID(527).
    names_trades: bool


_R = RejectReason
_OLD_ORD_REASONS: Final = {
    int(_R.UNKNOWN_INSTRUMENT): 1,
    int(_R.MARKET_CLOSED): 2,
    int(_R.INSTRUMENT_HALTED): 2,
    int(_R.COMMAND_EXPIRED): 4,
    int(_R.DUPLICATE_CL_ORD_ID): 6,
    int(_R.NOT_IN_THIS_PHASE): 2,
    int(_R.QUANTITY_ABOVE_MAXIMUM): 3,
    int(_R.VALUE_ABOVE_MAXIMUM): 3,
    int(_R.PRICE_FAR_FROM_REFERENCE): 3,
}
_OLD_CXL_REASONS: Final = {int(_R.TOO_LATE): 0, int(_R.QUANTITY_ALREADY_EXECUTED): 0, int(_R.UNKNOWN_ORDER): 1}

DIALECTS: Final = {
    b"FIX.4.2": Dialect(b"20=0\x01", b"1", b"2", b"5", _OLD_ORD_REASONS, _OLD_CXL_REASONS, 0, 2, names_trades=False),
    b"FIX.4.4": Dialect(
        b"",
        b"F",
        b"F",
        b"0",
        _OLD_ORD_REASONS
        | {
            int(_R.UNSUPPORTED_ORD_TYPE): 11,
            int(_R.UNSUPPORTED_TIME_IN_FORCE): 11,
            int(_R.QUANTITY_NOT_ON_LOT): 13,
            int(_R.QUANTITY_OUT_OF_RANGE): 13,
            int(_R.UNSUPPORTED_INSTRUCTION): 11,
            int(_R.BAD_PEG): 11,
            int(_R.BAD_DISPLAY_QUANTITY): 13,
            int(_R.BAD_MINIMUM_QUANTITY): 13,
        },
        _OLD_CXL_REASONS | {int(_R.DUPLICATE_CL_ORD_ID): 6},
        99,
        99,
        names_trades=True,
    ),
}

_CANCEL_TEXTS: Final = {
    int(CancelReason.REQUESTED): b"",
    int(CancelReason.IMMEDIATE_OR_CANCEL): b"58=Immediate or cancel: the rest could not be executed at once\x01",
    int(CancelReason.FILL_OR_KILL): b"58=Fill or kill: the order could not be filled whole\x01",
    int(CancelReason.MARKET_REMAINDER): b"58=Market orders do not rest: nothing left to execute against\x01",
    int(CancelReason.SOURCE_LOST): b"58=Cancel on disconnect: the session's gateway was lost\x01",
    int(CancelReason.SESSION_LOST): b"58=Cancel on disconnect: the session was disconnected\x01",
    int(CancelReason.SELF_MATCH): b"58=Self-match prevention: it would have traded within its own firm or group\x01",
    int(CancelReason.MASS_CANCEL): b"58=Canceled by a mass cancel request\x01",
    int(CancelReason.KILL_SWITCH): b"58=Kill switch: order entry was blocked, and what was open canceled\x01",
    int(CancelReason.MINIMUM_QUANTITY): b"58=MinQty(110): less than that could be executed at once\x01",
    int(CancelReason.AUCTION_REMAINDER): b"58=The auction that the order was for did not fill it\x01",
    int(CancelReason.PRICE_BAND): b"58=Price band: the next price is outside of it\x01",
    int(CancelReason.OPERATOR): b"58=Canceled by the market's operator\x01",
}

_REASON_TEXTS: Final = {
    _R.UNKNOWN_INSTRUMENT: "Symbol(55) is not traded here",
    _R.MARKET_CLOSED: "the market is closed",
    _R.INSTRUMENT_HALTED: "trading in this instrument is halted; cancels are accepted",
    _R.DUPLICATE_CL_ORD_ID: "ClOrdID(11) was used before on this session today",
    _R.PRICE_NOT_ON_TICK: "Price(44) is not a multiple of the tick size {tick}",
    _R.PRICE_OUT_OF_RANGE: "Price(44) is out of range",
    _R.QUANTITY_NOT_ON_LOT: "OrderQty(38) is not a multiple of the lot size {lot}",
    _R.QUANTITY_OUT_OF_RANGE: "OrderQty(38) is out of range",
    _R.UNSUPPORTED_SIDE: "Side(54) is not supported",
    _R.UNSUPPORTED_ORD_TYPE: "OrdType(40) is not supported",
    _R.UNSUPPORTED_TIME_IN_FORCE: "TimeInForce(59) is not supported",
    _R.COMMAND_EXPIRED: "the request reached the market too late",
    _R.TOO_LATE: "the order is no longer open",
    _R.UNKNOWN_ORDER: "OrigClOrdID(41) names no order of this session",
    _R.TERMS_MISMATCH: "Symbol(55), Side(54), OrdType(40), TimeInForce(59) or ExecInst(18) is not the order's",
    _R.QUANTITY_ALREADY_EXECUTED: "OrderQty(38) is not above what has been executed already",
    _R.UNSUPPORTED_INSTRUCTION: "ExecInst(18) is not served, or not with this OrdType(40) and TimeInForce(59)",
    _R.BAD_STOP_PRICE: "StopPx(99) is missing, off tick, out of range, or not for this OrdType(40)",
    _R.BAD_DISPLAY_QUANTITY: (
        "MaxFloor(111) or DisplayQty(1138) is not below OrderQty(38), not a multiple of the lot size {lot}, "
        "or not for such an order"
    ),
    _R.BAD_MINIMUM_QUANTITY: (
        "MinQty(110) is above OrderQty(38), not a multiple of the lot size {lot}, or not for such an order"
    ),
    _R.BAD_EXPIRE_TIME: "ExpireDate(432) or ExpireTime(126) is missing, has passed, or is not for this TimeInForce(59)",
    _R.BAD_PEG: "40=P and ExecInst(18) R, P or M go together; with M there is no offset",
    _R.NOT_IN_THIS_PHASE: "the market is in a phase that takes no such order",
    _R.QUANTITY_ABOVE_MAXIMUM: "OrderQty(38) is above the most that an order may have",
    _R.VALUE_ABOVE_MAXIMUM: "price times OrderQty(38) is above the most that an order may be worth",
    _R.PRICE_FAR_FROM_REFERENCE: "Price(44) is too far from the reference price",
    _R.ENTRY_BLOCKED: "order entry is blocked: ask the market's operator",
    _R.WOULD_TRADE: "a post-only order would have traded at once",
}
_REPLACED_TEXT: Final = "OrigClOrdID(41) was replaced: the order goes by a newer ClOrdID(11)"


class Report(NamedTuple):
    """One FIX message to one session, without its header and trailer."""

    session_id: int
    msg_type: bytes
    body: bytes


@lru_cache(_PRICES_KEPT)
def format_price(price: int) -> bytes:
    """1/10,000 as FIX writes it, without needless zeros: 100250 → 10.025."""
    whole, fraction = divmod(price, PRICE_SCALE)
    return b"%d.%04d" % (whole, fraction) if fraction % 100 else b"%d.%02d" % (whole, fraction // 100)


def format_average(notional: int, quantity: int) -> bytes:
    """AvgPx(6): what was paid by what was executed; 0 before the first trade."""
    if quantity == 0:
        return b"0"
    price, rest = divmod(notional, quantity)
    if rest == 0:
        return format_price(price)
    scaled = (2 * notional * _AVERAGE_SCALE + quantity) // (2 * quantity)
    whole, fraction = divmod(scaled, PRICE_SCALE * _AVERAGE_SCALE)
    return b"%d.%08d" % (whole, fraction)


@lru_cache(_TERMS_KEPT)
def _terms(
    account: bytes, symbol: bytes, side: int, order_qty: int, ord_type: int, price: int, time_in_force: int
) -> bytes:
    """What the participant asked for, as every report repeats it. Several reports about an order come soon after one
    another."""
    fields = b"55=%b\x0154=%d\x0138=%d\x0140=%d\x01" % (symbol, side, order_qty, ord_type)
    if account:
        fields = b"1=%b\x01%b" % (account, fields)
    if ord_type == _LIMIT:
        fields += b"44=%b\x01" % format_price(price)
    return b"%b59=%d\x01" % (fields, time_in_force)


_EXECUTION: Final = b"151=%d\x0114=%d\x016=%b\x0160=%b\x01%b"
_REPORT: Final = b"37=%d\x0111=%b\x01%b17=%b-%d%b\x01%b150=%b\x0139=%b\x01%b%b" + _EXECUTION
_REJECTION: Final = b"37=NONE\x0111=%b\x0117=%b\x01%b150=8\x0139=8\x01%b" + _EXECUTION


class Reporter:
    """Makes the reports of one gateway's sessions from one shard's events.

    `dialects` maps a session id to its FIX version; sessions of other gateways are not in it and get nothing here.
    """

    def __init__(
        self, shard_id: int, dialects: Mapping[int, Dialect], instruments: Mapping[int, TradedInstrument]
    ) -> None:
        self._name = b"%d" % shard_id
        #: Where forks of the shard's stream began: numbers from there on were given to other events before.
        self.forks: list[int] = []
        self._dialects = dialects
        self._instruments = instruments
        self._symbols = {each.instrument_id: each.symbol for each in instruments.values()}
        makers: dict[type[Any], Callable[[Any, int, int], list[Report]]] = {
            OrderAccepted: self._accepted,
            OrderRejected: self._rejected,
            OrderExecuted: self._executed,
            OrderReduced: self._replaced,
            OrderReplaced: self._replaced,
            OrderCanceled: self._canceled,
            OrderExpired: self._expired,
            CancelRejected: self._cancel_rejected,
        }
        #: By kind: makes the reports of an event, its number in the shard's stream and its transaction's timestamp.
        self.makers = {KINDS[event]: maker for event, maker in makers.items()}

    def reports(self, event: Event, seq: int, timestamp: int) -> list[Report]:
        """The messages that this event means for sessions of this gateway, often none.

        `seq` is the event's number in the shard's stream, `timestamp` its transaction's.
        """
        maker = self.makers.get(KINDS[type(event)])
        return maker(event, seq, timestamp) if maker is not None else []

    def symbol(self, instrument_id: int) -> bytes:
        """Symbol(55) of an instrument; its number where we do not know it."""
        return self._symbols.get(instrument_id) or b"%d" % instrument_id

    def described(self, terms: OrderTerms) -> bytes:
        """What the participant asked for, as fields."""
        return _terms(
            terms.account,
            self.symbol(terms.instrument_id),
            terms.side,
            terms.order_qty,
            terms.ord_type,
            terms.price,
            terms.time_in_force,
        )

    def _shard_name(self, seq: int) -> bytes:
        """What an ExecID(17) begins with: no two events have one ExecID, whatever was lost between them."""
        forks = sum(1 for fork_seq in self.forks if seq >= fork_seq) if self.forks else 0
        return b"%bF%d" % (self._name, forks) if forks else self._name

    def _report(
        self,
        dialect: Dialect,
        terms: OrderTerms,
        exec_id: tuple[int, bytes],
        exec_type: bytes,
        ord_status: bytes,
        figures: tuple[int, int, int],
        timestamp: int,
        *,
        cl_ord_id: bytes = b"",
        orig: bytes = b"",
        last: bytes = b"",
        text: bytes = b"",
    ) -> Report:
        """An ExecutionReport about a known order.

        `exec_id` is the event's number and what tells two reports of it apart; `figures` are leaves and cumulative
        quantity and notional; `cl_ord_id` the request's where it is not the order's; `orig`, `last` and `text` whole
        fields.
        """
        leaves, cum, notional = figures
        seq, suffix = exec_id
        body = _REPORT % (
            terms.order_id,
            cl_ord_id or terms.cl_ord_id,
            orig,
            self._shard_name(seq),
            seq,
            suffix,
            dialect.exec_trans_type,
            exec_type,
            ord_status,
            self.described(terms),
            last,
            leaves,
            cum,
            format_average(notional, cum),
            format_timestamp(timestamp),
            text,
        )
        return Report(terms.session_id, EXECUTION_REPORT, body)

    def _accepted(self, event: OrderAccepted, seq: int, timestamp: int) -> list[Report]:
        terms = event.terms
        dialect = self._dialects.get(terms.session_id)
        if dialect is None:
            return []
        figures = (terms.order_qty, 0, 0)
        return [self._report(dialect, terms, (seq, b""), b"0", b"0", figures, timestamp)]

    def _rejected(self, event: OrderRejected, seq: int, timestamp: int) -> list[Report]:
        terms = event.terms
        dialect = self._dialects.get(terms.session_id)
        if dialect is None:
            return []
        refused = Refused(event.reason, self._reason_text(event.reason, terms.instrument_id))
        described = self.described(terms)
        exec_id = b"%b-%d" % (self._shard_name(seq), seq)
        return [rejection(dialect, terms.session_id, terms.cl_ord_id, described, refused, exec_id, timestamp)]

    def _executed(self, event: OrderExecuted, seq: int, timestamp: int) -> list[Report]:
        reports = []
        last = b"32=%d\x0131=%b\x01" % (event.quantity, format_price(event.price))
        named = b"%b527=%d\x01" % (last, event.match_number)
        terms = event.resting
        dialect = self._dialects.get(terms.session_id)
        if dialect is not None:
            figures = (event.resting_leaves_qty, event.resting_cum_qty, event.resting_cum_notional)
            told = named if dialect.names_trades else last
            reports.append(self._trade(dialect, terms, figures, told, seq, timestamp))
        terms = event.incoming
        dialect = self._dialects.get(terms.session_id)
        if dialect is not None:
            figures = (event.incoming_leaves_qty, event.incoming_cum_qty, event.incoming_cum_notional)
            told = named if dialect.names_trades else last
            reports.append(self._trade(dialect, terms, figures, told, seq, timestamp))
        return reports

    def _trade(
        self, dialect: Dialect, terms: OrderTerms, figures: tuple[int, int, int], last: bytes, seq: int, timestamp: int
    ) -> Report:
        exec_id = (seq, b"B" if terms.side == _BUY else b"S")
        if figures[0]:
            return self._report(dialect, terms, exec_id, dialect.partial_fill, b"1", figures, timestamp, last=last)
        return self._report(dialect, terms, exec_id, dialect.fill, b"2", figures, timestamp, last=last)

    def _replaced(self, event: OrderReduced | OrderReplaced, seq: int, timestamp: int) -> list[Report]:
        terms = event.terms
        dialect = self._dialects.get(terms.session_id)
        if dialect is None:
            return []
        status = b"1" if event.cum_qty else dialect.replaced_status
        figures = (event.leaves_qty, event.cum_qty, event.cum_notional)
        orig = b"41=%b\x01" % event.orig_cl_ord_id
        return [self._report(dialect, terms, (seq, b""), b"5", status, figures, timestamp, orig=orig)]

    def _canceled(self, event: OrderCanceled, seq: int, timestamp: int) -> list[Report]:
        terms = event.terms
        dialect = self._dialects.get(terms.session_id)
        if dialect is None:
            return []
        return [
            self._report(
                dialect,
                terms,
                (seq, b""),
                b"4",
                b"4",
                (0, event.cum_qty, event.cum_notional),
                timestamp,
                cl_ord_id=event.cl_ord_id,
                orig=b"41=%b\x01" % terms.cl_ord_id if event.cl_ord_id != terms.cl_ord_id else b"",
                text=_CANCEL_TEXTS.get(event.reason, b""),
            )
        ]

    def _expired(self, event: OrderExpired, seq: int, timestamp: int) -> list[Report]:
        dialect = self._dialects.get(event.terms.session_id)
        if dialect is None:
            return []
        figures = (0, event.cum_qty, event.cum_notional)
        return [self._report(dialect, event.terms, (seq, b""), b"C", b"C", figures, timestamp)]

    def _cancel_rejected(self, event: CancelRejected, _seq: int, timestamp: int) -> list[Report]:
        dialect = self._dialects.get(event.session_id)
        if dialect is None:
            return []
        replaced = event.ord_status == OrdStatus.REPLACED
        refused = Refused(event.reason, _REPLACED_TEXT if replaced else self._reason_text(event.reason, 0))
        return [
            cancel_rejection(
                dialect,
                event.session_id,
                b"%d" % event.order_id if event.order_id else b"NONE",
                event.cl_ord_id,
                event.orig_cl_ord_id,
                event.response_to,
                event.ord_status,
                refused,
                timestamp,
            )
        ]

    def _reason_text(self, reason: int, instrument_id: int) -> str:
        text = _REASON_TEXTS[RejectReason(reason)]
        instrument = self._instruments.get(instrument_id)
        if instrument is None:
            return text.replace(" {tick}", "").replace(" {lot}", "")
        return text.format(tick=format_price(instrument.tick_size).decode(), lot=instrument.lot_size)


def rejection(
    dialect: Dialect,
    session_id: int,
    cl_ord_id: bytes,
    described: bytes,
    refused: Refused,
    exec_id: bytes,
    timestamp: int,
) -> Report:
    """ExecutionReport Rejected: from the engine's refusal, or the gateway's own.

    `described` are the order's fields as they are to be repeated, each ended by SOH.
    """
    reason = dialect.ord_rej_reasons.get(refused.reason, dialect.other_ord_rej_reason)
    body = _REJECTION % (
        cl_ord_id,
        exec_id,
        dialect.exec_trans_type,
        described,
        0,
        0,
        b"0",
        format_timestamp(timestamp),
        b"103=%d\x0158=%b\x01" % (reason, refused.text.encode()),
    )
    return Report(session_id, EXECUTION_REPORT, body)


def cancel_rejection(
    dialect: Dialect,
    session_id: int,
    order_id: bytes,
    cl_ord_id: bytes,
    orig_cl_ord_id: bytes,
    response_to: int,
    ord_status: int,
    refused: Refused,
    timestamp: int,
) -> Report:
    """OrderCancelReject: from the engine's refusal, or the gateway's own."""
    reason = dialect.cxl_rej_reasons.get(refused.reason, dialect.other_cxl_rej_reason)
    if ord_status == OrdStatus.REPLACED:
        status = dialect.replaced_status
    else:
        status = b"%c" % (ord_status or OrdStatus.REJECTED)
    body = b"37=%b\x0111=%b\x0141=%b\x0139=%b\x01434=%d\x01102=%d\x0160=%b\x0158=%b\x01" % (
        order_id,
        cl_ord_id,
        orig_cl_ord_id,
        status,
        response_to,
        reason,
        format_timestamp(timestamp),
        refused.text.encode(),
    )
    return Report(session_id, ORDER_CANCEL_REJECT, body)
