"""What the replicas answered to an inquiry → FIX: status reports, TradeCaptureReports, and why there is no answer.

    asked                          answered                                   nothing found
    OrderStatusRequest(H)          ExecutionReport(8), a status               the same, with 39=8
    OrderMassStatusRequest(AF)     the same, one for each open order          the same, with 39=8
    TradeCaptureReportRequest(AD)  TradeCaptureReport(AE), one for each fill  TradeCaptureReportRequestAck(AQ)
    SecurityStatusRequest(e)       SecurityStatus(f), see `trading_status`    the same, with 326=20

A request that is not answered gets what stands on the right with a text, but an OrderMassStatusRequest and a
SecurityStatusRequest get a BusinessMessageReject(j).

A status report is an ExecutionReport that tells no event: ExecType(150) I in FIX 4.4, ExecTransType(20) 3 and the
status again as ExecType in FIX 4.2, and ExecID(17) 0 in both (FIX 4.2 and 4.4, field 17). The last report of several
has LastRptRequested(912)=Y: it is made when it is known to be the last, so the caller holds one row back.

A fill is told as the side that the session's firm had in it, in a group NoSides(552) of one. ExecID(17) is that of the
ExecutionReport that told of it first, and both have the trade's number, TrdMatchID(880) here and SecondaryExecID(527)
there.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from fixgw import trading_status, values
from fixgw.inquiries import NO_ORDERS, REQUEST_IDS, UNKNOWN_ORDER, Declined, Inquiry, Why
from fixgw.reports import Dialect, Report, Reporter, format_average, format_price
from fixgw.timestamps import format_timestamp
from fixgw.values import BusinessRejectReason
from matching import queries

#: Reports that are told at a time, and bytes of their bodies: a record of the journal holds twice as much, although the
#: headers are not counted.
MAX_TOLD: Final = 500
MAX_TOLD_BYTES: Final = 256 * 1024

_NO_SYMBOL: Final = b"[N/A]"
#: A request's name, where it is required and must not be repeated.
_NO_NAME: Final = b"[N/A]"
#: Side(54) is required where there is no order to have one: undisclosed.
_NO_SIDE: Final = b"7"
_BUY: Final = 1
#: TradeRequestType(569) of a request whose own is not to be repeated.
_ALL_TRADES: Final = b"0"

#: OrdRejReason(103).
ORD_REASONS: Final = {Why.UNKNOWN_SYMBOL: 1, Why.UNKNOWN_ORDER: 5}
_BUSINESS_REASONS: Final = {
    Why.UNKNOWN_SYMBOL: BusinessRejectReason.UNKNOWN_SECURITY,
    Why.UNKNOWN_REQUEST: BusinessRejectReason.UNKNOWN_ID,
    Why.NOT_AVAILABLE: BusinessRejectReason.APPLICATION_NOT_AVAILABLE,
}
#: TradeRequestResult(749).
_TRADE_RESULTS: Final = {Why.UNKNOWN_SYMBOL: 1, Why.UNSUPPORTED: 8}
_OTHER_TRADE_RESULT: Final = 99

_STATUS: Final = (
    b"37=%d\x0111=%b\x0117=0\x01%b39=%b\x01%b%b151=%d\x0114=%d\x016=%b\x0160=%b\x01%b"  # 20 and 150; identifiers; terms
)
_NO_STATUS: Final = b"37=NONE\x01%b17=0\x01%b39=8\x01%b55=%b\x0154=%b\x01151=0\x0114=0\x016=0\x0160=%b\x01%b"


def status_query(inquiry: Inquiry) -> queries.Query:
    """What to ask a shard for an OrderStatusRequest."""
    if inquiry.order_id:
        return queries.OrderById(inquiry.order_id)
    return queries.OrderByClOrdId(inquiry.session_id, inquiry.cl_ord_id)


def status(
    inquiry: Inquiry, order: queries.OrderStatus | None, reporter: Reporter, dialect: Dialect, now: int
) -> Report:
    """The answer to an OrderStatusRequest. An order of another firm is as unknown as one that never was."""
    if order is None or order.terms.participant_id != inquiry.participant_id:
        return declined(inquiry, UNKNOWN_ORDER, dialect, now)
    return order_status(inquiry, order, reporter, dialect, now, last=False)


def wanted(inquiry: Inquiry, row: queries.OrderStatus | queries.Fill) -> bool:
    """Whether the request asks for this order or fill. A trade that was undone is none."""
    terms = row.terms
    return (
        not (isinstance(row, queries.Fill) and row.busted)
        and terms.participant_id == inquiry.participant_id
        and inquiry.instrument_id in (0, terms.instrument_id)
        and inquiry.side in (b"", b"%d" % terms.side)
        and inquiry.order_id in (0, terms.order_id)
        and (not inquiry.cl_ord_id or (inquiry.session_id, inquiry.cl_ord_id) == (terms.session_id, terms.cl_ord_id))
    )


def portions(reports: Sequence[Report]) -> Iterator[Sequence[Report]]:
    """Reports in portions of MAX_TOLD and MAX_TOLD_BYTES at most; one that is larger alone."""
    start = size = 0
    for end, report in enumerate(reports):
        size += len(report.body)
        if end > start and (end - start >= MAX_TOLD or size > MAX_TOLD_BYTES):
            yield reports[start:end]
            start, size = end, len(report.body)
    if reports:
        yield reports[start:]


def nothing(inquiry: Inquiry, dialect: Dialect, now: int) -> Report:
    """There is no open order, or no fill, that the request asks for."""
    if inquiry.msg_type == values.TRADE_CAPTURE_REPORT_REQUEST:
        return _acknowledged(inquiry, 0, b"750=1\x01", b"58=no fill is like that\x01")
    return declined(inquiry, NO_ORDERS, dialect, now)


def declined(inquiry: Inquiry, why: Declined, dialect: Dialect, now: int) -> Report:
    """The inquiry is not answered, and this is why."""
    text = b"58=%b\x01" % why.text.encode()
    if inquiry.msg_type == values.TRADE_CAPTURE_REPORT_REQUEST:
        return _acknowledged(inquiry, _TRADE_RESULTS.get(why.why, _OTHER_TRADE_RESULT), b"750=2\x01", text)
    if inquiry.msg_type == values.SECURITY_STATUS_REQUEST:
        if why.why is Why.UNKNOWN_SYMBOL:
            return trading_status.unknown(inquiry, why, dialect, now)
        return _business_reject(inquiry, why, text)
    if inquiry.msg_type == values.ORDER_MASS_STATUS_REQUEST and why is not NO_ORDERS:
        return _business_reject(inquiry, why, text)
    ord_reason = ORD_REASONS.get(why.why, dialect.other_ord_rej_reason)
    body = _NO_STATUS % (
        b"11=%b\x01" % inquiry.cl_ord_id if inquiry.cl_ord_id else b"",
        _kind(dialect, b"8"),
        _names(inquiry),
        inquiry.symbol or _NO_SYMBOL,
        inquiry.side or _NO_SIDE,
        format_timestamp(now),
        b"103=%d\x01%b" % (ord_reason, text),
    )
    end = b"912=Y\x01" if why is NO_ORDERS else b""
    return Report(inquiry.session_id, values.EXECUTION_REPORT, body + end)


def _business_reject(inquiry: Inquiry, why: Declined, text: bytes) -> Report:
    reason = _BUSINESS_REASONS.get(why.why, BusinessRejectReason.OTHER)
    name = b"379=%b\x01" % inquiry.request_id if inquiry.request_id else b""
    body = b"45=%d\x01372=%b\x01%b380=%d\x01%b" % (inquiry.msg_seq_num, inquiry.msg_type, name, reason, text)
    return Report(inquiry.session_id, values.BUSINESS_MESSAGE_REJECT, body)


def order_status(
    inquiry: Inquiry, order: queries.OrderStatus, reporter: Reporter, dialect: Dialect, now: int, *, last: bool
) -> Report:
    """A status report. `last`: of several, no other follows."""
    terms = order.terms
    ord_status = b"%c" % order.ord_status
    body = _STATUS % (
        terms.order_id,
        terms.cl_ord_id,
        _kind(dialect, ord_status),
        ord_status,
        _names(inquiry),
        reporter.described(terms),
        order.leaves_qty,
        order.cum_qty,
        format_average(order.cum_notional, order.cum_qty),
        format_timestamp(now),
        b"912=Y\x01" if last else b"",
    )
    return Report(inquiry.session_id, values.EXECUTION_REPORT, body)


def _kind(dialect: Dialect, ord_status: bytes) -> bytes:
    """What says that this is a status: ExecType(150) I, or ExecTransType(20) 3 where the version has that."""
    return b"20=3\x01150=%b\x01" % ord_status if dialect.exec_trans_type else b"150=I\x01"


def _names(inquiry: Inquiry) -> bytes:
    """The request's own name, repeated."""
    if not inquiry.request_id:
        return b""
    return b"%d=%b\x01" % (REQUEST_IDS[inquiry.msg_type], inquiry.request_id)


def trade(inquiry: Inquiry, fill: queries.Fill, reporter: Reporter, *, last: bool) -> Report:
    """A TradeCaptureReport. `last`: no other follows."""
    terms = fill.terms
    time = format_timestamp(fill.timestamp)
    body = (
        b"571=%d%b\x01568=%b\x01%b570=N\x0117=%b\x01880=%d\x0155=%b\x0132=%d\x0131=%b\x0175=%b\x0160=%b\x01"
        b"552=1\x0154=%d\x0137=%d\x0111=%b\x01%b"
    ) % (
        fill.match_number,
        b"B" if terms.side == _BUY else b"S",
        inquiry.request_id,
        b"912=Y\x01" if last else b"",
        reporter.trade_exec_id(fill.match_number, terms.side),
        fill.match_number,
        reporter.symbol(terms.instrument_id),
        fill.quantity,
        format_price(fill.price),
        time[:8],
        time,
        terms.side,
        terms.order_id,
        terms.cl_ord_id,
        b"1=%b\x01" % terms.account if terms.account else b"",
    )
    return Report(inquiry.session_id, values.TRADE_CAPTURE_REPORT, body)


def _acknowledged(inquiry: Inquiry, result: int, state: bytes, text: bytes) -> Report:
    body = b"568=%b\x01569=%b\x01748=0\x01749=%d\x01%b55=%b\x01%b" % (
        inquiry.request_id or _NO_NAME,
        inquiry.request_type or _ALL_TRADES,
        result,
        state,
        inquiry.symbol or _NO_SYMBOL,
        text,
    )
    return Report(inquiry.session_id, values.TRADE_CAPTURE_REPORT_REQUEST_ACK, body)
