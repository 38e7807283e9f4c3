"""Values of enumerated FIX fields that the session layer speaks with: message types and reason codes.

Source: FIX 4.4 with Errata 20030618, Volume 2 (session) and Volume 6 (fields 35, 373, 380). A `Fault` is what a
check found wrong with a message of the peer: everything a Reject(3) or a BusinessMessageReject(j) needs, and
nothing of the offending value, which might be a password.
"""

from enum import IntEnum
from typing import Final

import msgspec

HEARTBEAT: Final = b"0"
TEST_REQUEST: Final = b"1"
RESEND_REQUEST: Final = b"2"
REJECT: Final = b"3"
SEQUENCE_RESET: Final = b"4"
LOGOUT: Final = b"5"
EXECUTION_REPORT: Final = b"8"
ORDER_CANCEL_REJECT: Final = b"9"
LOGON: Final = b"A"
NEW_ORDER_SINGLE: Final = b"D"
ORDER_CANCEL_REQUEST: Final = b"F"
ORDER_CANCEL_REPLACE_REQUEST: Final = b"G"
NEWS: Final = b"B"
ORDER_STATUS_REQUEST: Final = b"H"
SECURITY_STATUS_REQUEST: Final = b"e"
SECURITY_STATUS: Final = b"f"
BUSINESS_MESSAGE_REJECT: Final = b"j"
ORDER_MASS_CANCEL_REQUEST: Final = b"q"
ORDER_MASS_CANCEL_REPORT: Final = b"r"
TRADE_CAPTURE_REPORT_REQUEST: Final = b"AD"
TRADE_CAPTURE_REPORT: Final = b"AE"
ORDER_MASS_STATUS_REQUEST: Final = b"AF"
TRADE_CAPTURE_REPORT_REQUEST_ACK: Final = b"AQ"

#: Admin messages belong to the session; all others are application messages.
ADMIN: Final = frozenset((HEARTBEAT, TEST_REQUEST, RESEND_REQUEST, REJECT, SEQUENCE_RESET, LOGOUT, LOGON))


class SessionRejectReason(IntEnum):
    """SessionRejectReason(373)."""

    INVALID_TAG_NUMBER = 0
    REQUIRED_TAG_MISSING = 1
    TAG_NOT_DEFINED_FOR_THIS_MESSAGE_TYPE = 2
    UNDEFINED_TAG = 3
    TAG_SPECIFIED_WITHOUT_A_VALUE = 4
    VALUE_IS_INCORRECT = 5
    INCORRECT_DATA_FORMAT = 6
    COMPID_PROBLEM = 9
    SENDINGTIME_ACCURACY_PROBLEM = 10
    INVALID_MSGTYPE = 11
    TAG_APPEARS_MORE_THAN_ONCE = 13
    TAG_SPECIFIED_OUT_OF_REQUIRED_ORDER = 14
    NON_DATA_VALUE_INCLUDES_FIELD_DELIMITER = 17


class BusinessRejectReason(IntEnum):
    """BusinessRejectReason(380)."""

    OTHER = 0
    UNKNOWN_ID = 1
    UNKNOWN_SECURITY = 2
    UNSUPPORTED_MESSAGE_TYPE = 3
    APPLICATION_NOT_AVAILABLE = 4
    CONDITIONALLY_REQUIRED_FIELD_MISSING = 5
    NOT_AUTHORIZED = 6


class Fault(msgspec.Struct, frozen=True, gc=False):
    """What is wrong with a message. `reason` tells by its type which reject answers it: Reject(3) or
    BusinessMessageReject(j). `tag` is the offending tag, 0 where there is none."""

    reason: SessionRejectReason | BusinessRejectReason
    tag: int
    text: str
