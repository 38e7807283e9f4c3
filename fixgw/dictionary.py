"""What the venue supports of FIX.4.2 and FIX.4.4: the rules of engagement as tables, and the check against them.

A message is judged in this order, and the first fault found is the answer:

1. what `decode` found (odd tags, empty values …), and tags the venue reads that come twice (373=13);
2. MsgType(35): none of the version's → Reject 373=11; the version's but not ours → BusinessMessageReject 380=3;
3. its tags: unknown to the version (373=0), header, body and trailer mixed up (14), third-party addressing (9), a
   required one missing (1), an order without OrderQty(38) → BusinessMessageReject 380=5;
4. the values of the tags we read: not of the type (6), not among the enumerated values (5), a limit order without
   Price(44) → BusinessMessageReject 380=5.

How strict: brokers' engines send many optional fields. Every tag in the version's range is accepted, read or not,
in whatever message and group (a range test: gaps in the numbering count as known); so is every user-defined tag
(5000 and up). 373=2, 15 and 16 are therefore never given: groups are not read. Enumerated values are the
specification's, not the venue's: that the venue has no stop orders is for an ExecutionReport to say.

The tags of a broker's messages come in the same few layouts all day. What depends on the layout alone (rule 3, and
which values to look at) is worked out once per layout and remembered.

Source: FIX 4.2 with Errata 20010501 and FIX 4.4 with Errata 20030618, Volumes 2–4 (messages), 6 (fields); the
tests compare every table with QuickFIX's data dictionaries.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from fixgw import tags, values
from fixgw.codec import MAX_FIELDS_OF_LAYOUT, FixMessage
from fixgw.timestamps import is_timestamp
from fixgw.values import BusinessRejectReason, Fault, SessionRejectReason

#: Layouts remembered per message type. A firm's engine uses a handful; the bound is for those who play.
MAX_LAYOUTS: Final = 1_000

#: First tag number for private use.
FIRST_USER_DEFINED: Final = 5_000

HEADER: Final = frozenset(
    (8, 9, 34, 35, 43, 49, 50, 52, 56, 57, 90, 91, 97, 115, 116, 122, 128, 129, 142, 143, 144, 145, 212, 213, 347, 369)
)
TRAILER: Final = frozenset((89, 93, 10))
#: A message for or from somebody behind the CompIDs: the venue routes for nobody (test case 18).
THIRD_PARTY: Final = (tags.OnBehalfOfCompID, tags.DeliverToCompID)
REQUIRED_HEADER: Final = (8, 9, 35, 49, 56, 34, 52)

#: Tags we read or write, by their type in FIX 4.4.
TYPES: Final[dict[str, tuple[int, ...]]] = {
    "BOOLEAN": (43, 97, 123, 141, 464, 570, 912),
    "CHAR": (20, 21, 39, 40, 54, 59, 150, 263, 327, 388, 434, 530, 531, 532),
    "FLOAT": (211, 389),
    "INT": (98, 102, 103, 108, 326, 371, 373, 378, 380, 423, 533, 569, 585, 748, 749, 750, 835, 836, 840),
    "LOCALMKTDATE": (75, 432),
    "MULTIPLEVALUESTRING": (18,),
    "NUMINGROUP": (33, 552),
    "PRICE": (6, 31, 44, 99),
    "QTY": (14, 32, 38, 110, 111, 151, 210, 1138),
    "SEQNUM": (7, 16, 34, 36, 45, 789),
    "STRING": (
        *(1, 11, 17, 19, 35, 37, 41, 49, 55, 56, 58, 112, 148, 324, 336, 372, 379),
        *(527, 553, 554, 568, 571, 584, 790, 880, 925, 5530),
    ),
    "UTCTIMESTAMP": (52, 60, 122, 126, 168),
}
READ: Final = frozenset(tag for members in TYPES.values() for tag in members) | {8, 9, 10}

#: The highest tag of each version.
LAST_TAG_42: Final = 446
LAST_TAG_44: Final = 956

#: What the venue takes of later versions, and of its own: fields and values that a version does not have.
CUSTOM_42: Final = frozenset(
    (
        *(530, 531, 532, 533, 553, 554, 925, tags.DisplayQty),
        *(552, 568, 569, 570, 571, 584, 585, 748, 749, 750, 880, 912),  # of inquiries and their answers
    )
)
CUSTOM_44: Final = frozenset((tags.DisplayQty,))
#: Market with leftover as limit is FIX 4.3's; at the close is FIX 4.3's, for the next auction FIX 5.0 SP2's.
LATER_VALUES_42: Final = {40: " K", 59: " 7 B"}
LATER_VALUES_44: Final = {59: " B"}

#: Enumerated values by tag. FIX 4.4 first; then what differs in FIX 4.2.
VALUES_44: Final[dict[int, str]] = {
    18: "0 1 2 3 4 5 6 7 8 9 A B C D E F G H I J K L M N O P Q R S U V W X Y Z a b c d e",
    21: "1 2 3",
    39: "0 1 2 3 4 6 7 8 9 A B C D E",
    40: "1 2 3 4 6 7 8 9 D E G I J K L M P",
    54: "1 2 3 4 5 6 7 8 9 A B C D E F G",
    59: "0 1 2 3 4 5 6 7",
    98: "0 1 2 3 4 5 6",
    102: "0 1 2 3 4 5 6 99",
    103: "0 1 2 3 4 5 6 7 8 9 10 11 13 14 15 99",
    150: "0 3 4 5 6 7 8 9 A B C D E F G H I",
    263: "0 1 2",
    326: "1 2 3 4 5 6 7 8 9 10 12 13 14 15 16 17 18 19 20 21 22 23",
    327: "D E I M P X",
    373: "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 99",
    378: "0 1 2 3 4 5 6 7 8 9 10 99",
    380: "0 1 2 3 4 5 6 7",
    388: "0 1 2 3 4 5 6",
    423: "1 2 3 4 5 6 7 8 9 10 11",
    434: "1 2",
    530: "1 2 3 4 5 6 7",
    531: "0 1 2 3 4 5 6 7",
    532: "0 1 2 3 4 5 6 99",
    552: "1 2",
    569: "0 1 2 3 4",
    585: "1 2 3 4 5 6 7 8",
    749: "0 1 2 3 4 5 8 9 99",
    750: "0 1 2",
    835: "0 1",
    836: "0 1 2 3",
    840: "1 2 3 4",
}
VALUES_42: Final[dict[int, str]] = {
    tag: listed for tag, listed in VALUES_44.items() if tag <= LAST_TAG_42 or tag in CUSTOM_42
} | {
    18: "0 1 2 3 4 5 6 7 8 9 A B C D E F G I L M N O P R S T U V W",
    20: "0 1 2 3",
    39: "0 1 2 3 4 5 6 7 8 9 A B C D E",
    40: "1 2 3 4 5 6 7 8 9 A B C D E F G H I P",
    54: "1 2 3 4 5 6 7 8 9",
    59: "0 1 2 3 4 5 6",
    102: "0 1 2 3",
    103: "0 1 2 3 4 5 6 7 8",
    150: "0 1 2 3 4 5 6 7 8 9 A B C D E",
    326: "1 2 3 4 5 6 7 8 9 10 12 13 14 15 16 17 18 19 20",
    373: "0 1 2 3 4 5 6 7 8 9 10 11",
    378: "0 1 2 3 4 5",
    380: "0 1 2 3 4 5",
    388: "0 1 2 3 4 5",
    423: "1 2 3",
}

#: Required body tags by MsgType(35).
MESSAGES_44: Final[dict[bytes, tuple[int, ...]]] = {
    values.HEARTBEAT: (),
    values.TEST_REQUEST: (112,),
    values.RESEND_REQUEST: (7, 16),
    values.REJECT: (45,),
    values.SEQUENCE_RESET: (36,),
    values.LOGOUT: (),
    values.LOGON: (98, 108),
    values.NEW_ORDER_SINGLE: (11, 55, 54, 60, 40),
    values.ORDER_CANCEL_REQUEST: (41, 11, 55, 54, 60),
    values.ORDER_CANCEL_REPLACE_REQUEST: (41, 11, 55, 54, 60, 40),
    values.ORDER_STATUS_REQUEST: (11, 55, 54),
    values.SECURITY_STATUS_REQUEST: (324, 55, 263),
    values.SECURITY_STATUS: (55,),
    values.ORDER_MASS_CANCEL_REQUEST: (11, 530, 60),
    values.ORDER_MASS_CANCEL_REPORT: (37, 530, 531),
    values.ORDER_MASS_STATUS_REQUEST: (584, 585),
    values.TRADE_CAPTURE_REPORT_REQUEST: (568, 569),
    values.TRADE_CAPTURE_REPORT: (571, 570, 55, 32, 31, 75, 60),
    values.TRADE_CAPTURE_REPORT_REQUEST_ACK: (568, 569, 749, 750, 55),
    values.EXECUTION_REPORT: (37, 17, 150, 39, 55, 54, 151, 14, 6),
    values.ORDER_CANCEL_REJECT: (37, 11, 41, 39, 434),
    values.BUSINESS_MESSAGE_REJECT: (372, 380),
    values.NEWS: (148,),
}
MESSAGES_42: Final[dict[bytes, tuple[int, ...]]] = MESSAGES_44 | {
    values.NEW_ORDER_SINGLE: (11, 21, 55, 54, 60, 40),
    values.ORDER_CANCEL_REPLACE_REQUEST: (41, 11, 21, 55, 54, 60, 40),
    values.EXECUTION_REPORT: (37, 17, 20, 150, 39, 55, 54, 151, 14, 6),
}

#: Every message type of the version: what is not among them is no MsgType at all. FIX 4.2 has no mass cancel, and asks
#: for one order only: the venue takes FIX 4.3's mass cancel and FIX 4.4's inquiries.
KNOWN_42: Final = "0 1 2 3 4 5 6 7 8 9 A B C D E F G H J K L M N P Q R S T V W X Y Z a b c d e f g h i j k l m"
KNOWN_44: Final = (
    KNOWN_42
    + " n o p q r s t u v w x y z AA AB AC AD AE AF AG AH AI AJ AK AL AM AN AO AP AQ AR AS AT AU AV AW AX AY AZ"
    " BA BB BC BD BE BF BG BH"
)

#: What a broker may send us, and what we send, if its version has it. A BusinessMessageReject of ours is for the
#: broker's people to answer.
INBOUND: Final = values.ADMIN | {
    values.NEW_ORDER_SINGLE,
    values.ORDER_CANCEL_REQUEST,
    values.ORDER_CANCEL_REPLACE_REQUEST,
    values.ORDER_STATUS_REQUEST,
    values.ORDER_MASS_STATUS_REQUEST,
    values.TRADE_CAPTURE_REPORT_REQUEST,
    values.SECURITY_STATUS_REQUEST,
    values.ORDER_MASS_CANCEL_REQUEST,
    values.BUSINESS_MESSAGE_REJECT,
}
OUTBOUND: Final = values.ADMIN | {
    values.EXECUTION_REPORT,
    values.ORDER_CANCEL_REJECT,
    values.ORDER_MASS_CANCEL_REPORT,
    values.TRADE_CAPTURE_REPORT,
    values.TRADE_CAPTURE_REPORT_REQUEST_ACK,
    values.SECURITY_STATUS,
    values.BUSINESS_MESSAGE_REJECT,
    values.NEWS,
}

#: Orders need a quantity; FIX 4.4 makes it optional (CashOrderQty), the venue does not.
ORDERS: Final = (values.NEW_ORDER_SINGLE, values.ORDER_CANCEL_REPLACE_REQUEST)
PRICED: Final = frozenset((b"2", b"4"))  # OrdType(40): Limit, Stop limit

FLOAT_DIGITS: Final = 15
FLOAT: Final = re.compile(rb"-?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})")

Check = Callable[[bytes], Any]
"""Is this value right? True or false, or what counts as such."""


def _is_date(value: bytes) -> bool:
    return is_timestamp(value + b"-00:00:00")


def _is_float(value: bytes) -> bool:
    return (value.isdigit() and len(value) <= FLOAT_DIGITS) or FLOAT.fullmatch(value) is not None


FORMATS: Final[dict[str, Check]] = {
    "BOOLEAN": re.compile(rb"[YN]").fullmatch,
    "FLOAT": _is_float,
    "INT": re.compile(rb"-?[0-9]{1,18}").fullmatch,
    "LOCALMKTDATE": _is_date,
    "NUMINGROUP": re.compile(rb"[0-9]{1,4}").fullmatch,
    "PRICE": _is_float,
    "QTY": _is_float,
    "SEQNUM": re.compile(rb"[0-9]{1,18}").fullmatch,
    "UTCTIMESTAMP": is_timestamp,
}


def _missing(tag: int) -> Fault:
    return Fault(SessionRejectReason.REQUIRED_TAG_MISSING, tag, f"Required tag missing: {tags.label(tag)}")


def _conditionally_missing(tag: int) -> Fault:
    reason = BusinessRejectReason.CONDITIONALLY_REQUIRED_FIELD_MISSING
    return Fault(reason, tag, f"Conditionally required field missing: {tags.label(tag)}")


UNSUPPORTED: Final = Fault(BusinessRejectReason.UNSUPPORTED_MESSAGE_TYPE, 35, "Unsupported message type")
UNKNOWN: Final = Fault(SessionRejectReason.INVALID_MSGTYPE, 35, "Invalid MsgType(35)")


class Layout:
    """What one sequence of tags is worth: a fault, or the checks its values must pass."""

    def __init__(self, fault: Fault | None, checks: list[tuple[int, Check, Fault]]) -> None:
        self.fault = fault
        self.checks = checks


class Dictionary:
    """The rules of one FIX version. `last_tag`: its highest tag; `custom`: tags beyond it that we allow."""

    def __init__(
        self,
        last_tag: int,
        custom: frozenset[int],
        known: str,
        messages: dict[bytes, tuple[int, ...]],
        enumerated: dict[int, str],
    ) -> None:
        self.messages = messages
        self.inbound = INBOUND.intersection(messages)
        self.enumerated = enumerated
        self.known = frozenset(known.encode().split())
        self._last_tag = last_tag
        self._custom = custom
        self._checks = self._value_checks()
        self._layouts: dict[bytes, dict[bytes, Layout]] = {msg_type: {} for msg_type in messages}

    def check(self, message: FixMessage, supported: frozenset[bytes] | None = None) -> Fault | None:
        """What is wrong with `message`, or None. `supported`: message types that may come; if not the brokers'."""
        if message.fault is not None:
            return message.fault
        if message.msg_type not in (supported or self.inbound):
            return UNSUPPORTED if message.msg_type in self.known else UNKNOWN
        if message.repeated:
            for tag in message.repeated:
                if tag in READ or tag in HEADER:
                    reason = SessionRejectReason.TAG_APPEARS_MORE_THAN_ONCE
                    return Fault(reason, tag, f"{tags.label(tag)} appears more than once")
        layout = self._layouts[message.msg_type].get(message.layout) or self._remember(message)
        fields = message.fields
        for tag, is_right, fault in layout.checks:
            if not is_right(fields[tag]):
                return fault
        return layout.fault

    def _remember(self, message: FixMessage) -> Layout:
        msg_type, layout_tags = message.msg_type, tuple(message.fields)
        fault = self._check_tags(msg_type, layout_tags)
        layout = Layout(fault, [] if fault else self._plan(msg_type, layout_tags))
        layouts = self._layouts[msg_type]
        if len(layout_tags) <= MAX_FIELDS_OF_LAYOUT:
            if len(layouts) >= MAX_LAYOUTS:
                layouts.clear()
            layouts[message.layout] = layout
        return layout

    def _check_tags(self, msg_type: bytes, layout_tags: tuple[int, ...]) -> Fault | None:
        part = 0  # of the message: 0 header, 1 body, 2 trailer
        for tag in layout_tags:
            if self._last_tag < tag < FIRST_USER_DEFINED and tag not in self._custom:
                return Fault(SessionRejectReason.INVALID_TAG_NUMBER, tag, f"Invalid tag number: {tags.label(tag)}")
            belongs = 0 if tag in HEADER else 2 if tag in TRAILER else 1
            if belongs < part:
                reason = SessionRejectReason.TAG_SPECIFIED_OUT_OF_REQUIRED_ORDER
                return Fault(reason, tag, f"{tags.label(tag)} is out of required order")
            part = belongs
            if tag in THIRD_PARTY:
                return Fault(SessionRejectReason.COMPID_PROBLEM, tag, f"{tags.label(tag)} is not configured")
        for tag in REQUIRED_HEADER + self.messages[msg_type]:
            if tag not in layout_tags:
                return _missing(tag)
        if msg_type in ORDERS and tags.OrderQty not in layout_tags:
            return _conditionally_missing(tags.OrderQty)
        return None

    def _plan(self, msg_type: bytes, layout_tags: tuple[int, ...]) -> list[tuple[int, Check, Fault]]:
        checks = [(tag, *self._checks[tag]) for tag in layout_tags if tag in self._checks]
        if msg_type in ORDERS and tags.Price not in layout_tags:
            unpriced = frozenset(self.enumerated[tags.OrdType].encode().split()) - PRICED
            checks.append((tags.OrdType, unpriced.__contains__, _conditionally_missing(tags.Price)))
        return checks

    def _value_checks(self) -> dict[int, tuple[Check, Fault]]:
        checks: dict[int, tuple[Check, Fault]] = {}
        for kind, members in TYPES.items():
            for tag in members:
                enumerated = frozenset(self.enumerated.get(tag, "").encode().split())
                if kind == "MULTIPLEVALUESTRING":
                    checks[tag] = (_all_among(enumerated), _incorrect(tag))
                elif enumerated:
                    checks[tag] = (enumerated.__contains__, _incorrect(tag))
                elif kind in FORMATS:
                    reason = SessionRejectReason.INCORRECT_DATA_FORMAT
                    checks[tag] = (
                        FORMATS[kind],
                        Fault(reason, tag, f"Incorrect data format for value: {tags.label(tag)}"),
                    )
        for checked_by_session in (tags.MsgSeqNum, tags.SendingTime):
            del checks[checked_by_session]
        return checks


def _incorrect(tag: int) -> Fault:
    reason = SessionRejectReason.VALUE_IS_INCORRECT
    return Fault(reason, tag, f"Value is incorrect (out of range) for {tags.label(tag)}")


def _all_among(enumerated: frozenset[bytes]) -> Check:
    def check(value: bytes) -> bool:
        return enumerated.issuperset(value.split(b" "))

    return check


def _with(enumerated: dict[int, str], later: dict[int, str]) -> dict[int, str]:
    return enumerated | {tag: enumerated[tag] + listed for tag, listed in later.items()}


#: FIX 4.2 has no tags for credentials; its brokers send FIX 4.4's.
FIX42: Final = Dictionary(LAST_TAG_42, CUSTOM_42, KNOWN_42, MESSAGES_42, _with(VALUES_42, LATER_VALUES_42))
FIX44: Final = Dictionary(LAST_TAG_44, CUSTOM_44, KNOWN_44, MESSAGES_44, _with(VALUES_44, LATER_VALUES_44))

#: The versions the venue speaks, by BeginString(8).
DICTIONARIES: Final = {b"FIX.4.2": FIX42, b"FIX.4.4": FIX44}
