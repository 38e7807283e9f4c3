"""Refusals as messages: of the market's, for `reports`, and of the gateway's own."""

from typing import Final, NamedTuple

from fixgw.dialects import MASS_CANCEL_REASONS, OTHER_MASS_CANCEL_REASON, Dialect
from fixgw.fields import Refused
from fixgw.timestamps import format_timestamp
from fixgw.values import (
    BUSINESS_MESSAGE_REJECT,
    EXECUTION_REPORT,
    NEW_ORDER_SINGLE,
    ORDER_CANCEL_REJECT,
    ORDER_CANCEL_REPLACE_REQUEST,
    ORDER_CANCEL_REQUEST,
    ORDER_MASS_CANCEL_REPORT,
    ORDER_MASS_CANCEL_REQUEST,
    BusinessRejectReason,
)
from matching.codes import OrdStatus
from matching.commands import CancelOrder, MassCancel, NewOrder, ReplaceOrder
from matching.wire import decode
from recovery.link import Command

USED_NUMBER: Final = (
    b"not taken: the market has had this MsgSeqNum(34) of yours before; log on with ResetSeqNumFlag(141)=Y, and ask "
    b"for your orders"
)

_MSG_TYPES: Final[dict[type, bytes]] = {
    NewOrder: NEW_ORDER_SINGLE,
    CancelOrder: ORDER_CANCEL_REQUEST,
    ReplaceOrder: ORDER_CANCEL_REPLACE_REQUEST,
    MassCancel: ORDER_MASS_CANCEL_REQUEST,
}

_REJECTION: Final = b"37=NONE\x0111=%b\x0117=%b\x01%b150=8\x0139=8\x01%b" + b"151=0\x0114=0\x016=0\x0160=%b\x01%b"


class Report(NamedTuple):
    """One FIX message to one session, without its header and trailer."""

    session_id: int
    msg_type: bytes
    body: bytes


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


def used_number_rejection(command: Command) -> Report:
    """BusinessMessageReject of a request, as it was forwarded, whose MsgSeqNum(34) the market had before. It says
    nothing about an order: whoever had the number first may have had the ClOrdID(11), too."""
    request = decode(command.kind, command.body)
    assert isinstance(request, NewOrder | CancelOrder | ReplaceOrder | MassCancel), "only these have a session's number"
    body = b"45=%d\x01372=%b\x01379=%b\x01380=%d\x0158=%b\x01" % (
        command.session_seq & 0xFFFF_FFFF,
        _MSG_TYPES[type(request)],
        request.cl_ord_id,
        BusinessRejectReason.OTHER,
        USED_NUMBER,
    )
    return Report(command.session_id, BUSINESS_MESSAGE_REJECT, body)


def mass_cancel_rejection(
    session_id: int, order_id: bytes, repeated: bytes, request_type: bytes, refused: Refused, timestamp: int
) -> Report:
    """OrderMassCancelReport of a request, or of its part for one shard, that the gateway refuses.

    `repeated` are the request's fields as they came, each ended by SOH.
    """
    body = b"37=%b\x01530=%b\x01531=0\x01532=%d\x01%b60=%b\x0158=%b\x01" % (
        order_id,
        request_type,
        MASS_CANCEL_REASONS.get(refused.reason, OTHER_MASS_CANCEL_REASON),
        repeated,
        format_timestamp(timestamp),
        refused.text.encode(),
    )
    return Report(session_id, ORDER_MASS_CANCEL_REPORT, body)
