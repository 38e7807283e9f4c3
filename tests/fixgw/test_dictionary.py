"""The rules of engagement against QuickFIX's data dictionaries, and the check against tables of cases."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fixgw import tags
from fixgw.codec import LENGTH_TAGS, decode
from fixgw.dictionary import (
    DICTIONARIES,
    FIX42,
    FIX44,
    HEADER,
    INBOUND,
    LATER_VALUES_42,
    LATER_VALUES_44,
    MAX_LAYOUTS,
    OUTBOUND,
    TRAILER,
    TYPES,
    Dictionary,
)
from fixgw.values import (
    ORDER_MASS_CANCEL_REPORT,
    ORDER_MASS_CANCEL_REQUEST,
    ORDER_MASS_STATUS_REQUEST,
    TRADE_CAPTURE_REPORT,
    TRADE_CAPTURE_REPORT_REQUEST,
    TRADE_CAPTURE_REPORT_REQUEST_ACK,
    BusinessRejectReason,
    SessionRejectReason,
)
from tests.fixgw.fixtalk import wire

BUSINESS = BusinessRejectReason
SESSION = SessionRejectReason

#: Tags that have another name in FIX 4.2, or are not in it.
RENAMED_42 = {22: "IDSource", 32: "LastShares", 33: "LinesOfText", 211: "PegDifference", 389: "DiscretionOffset"}

#: FIX 4.2 has no SEQNUM; tags that have grown another type since.
SAME_TYPE_42 = {"SEQNUM": "INT", "NUMINGROUP": "INT", "FLOAT": "PRICEOFFSET"}

#: What the venue took from FIX.4.3 and FIX.4.4, so that brokers of FIX.4.2 can have it too.
LATER_MESSAGES = {
    b"FIX.4.2": {
        ORDER_MASS_CANCEL_REQUEST,
        ORDER_MASS_CANCEL_REPORT,
        ORDER_MASS_STATUS_REQUEST,
        TRADE_CAPTURE_REPORT_REQUEST,
        TRADE_CAPTURE_REPORT,
        TRADE_CAPTURE_REPORT_REQUEST_ACK,
    },
    b"FIX.4.4": set(),
}
LATER_VALUES = {b"FIX.4.2": LATER_VALUES_42, b"FIX.4.4": LATER_VALUES_44}


class Judge:
    """One of QuickFIX's dictionaries."""

    def __init__(self, version: str) -> None:
        path = Path(sys.prefix) / "share" / "quickfix" / f"FIX{version}.xml"
        self.root = ET.parse(path).getroot()
        self.fields = {int(field.attrib["number"]): field.attrib for field in self.root.iterfind("fields/field")}
        self.numbers = {field["name"]: number for number, field in self.fields.items()}
        self.values = {
            int(field.attrib["number"]): {value.attrib["enum"] for value in field.iterfind("value")}
            for field in self.root.iterfind("fields/field")
        }
        self.components = {
            component.attrib["name"]: component for component in self.root.iterfind("components/component")
        }

    def members(self, path: str) -> set[int]:
        return {self.numbers[field.attrib["name"]] for field in self.root.iterfind(f"{path}/field")}

    def required(self, msg_type: str) -> set[int]:
        """Required tags of a message; of a required component those that are required in it."""
        message = self.root.find(f"messages/message[@msgtype='{msg_type}']")
        assert message is not None
        found = set()
        for member in message:
            if member.attrib.get("required") == "Y" and member.tag == "field":
                found.add(self.numbers[member.attrib["name"]])
            elif member.attrib.get("required") == "Y" and member.tag == "component":
                for field in self.components[member.attrib["name"]].iterfind("field[@required='Y']"):
                    found.add(self.numbers[field.attrib["name"]])
        return found


JUDGES = {b"FIX.4.2": Judge("42"), b"FIX.4.4": Judge("44")}
VERSIONS = pytest.mark.parametrize("version", [b"FIX.4.2", b"FIX.4.4"], ids=lambda version: version.decode())


@VERSIONS
def test_tag_names(version: bytes) -> None:
    judge = JUDGES[version]
    checked = 0
    for number, name in tags.NAMES.items():
        if number in judge.fields:
            expected = RENAMED_42.get(number, name) if version == b"FIX.4.2" else name
            assert judge.fields[number]["name"] == expected
            checked += 1
    assert checked > 70


def test_every_name_is_known_to_a_version() -> None:
    later = {tags.ApplID, tags.ApplSeqNum, tags.DisplayQty, tags.MassCancelSession}
    known = set(JUDGES[b"FIX.4.2"].fields) | set(JUDGES[b"FIX.4.4"].fields)
    assert set(tags.NAMES) - known == later


@VERSIONS
def test_types(version: bytes) -> None:
    judge = JUDGES[version]
    for kind, members in TYPES.items():
        expected = SAME_TYPE_42.get(kind, kind) if version == b"FIX.4.2" else kind
        for tag in members:
            if tag in judge.fields:
                assert judge.fields[tag]["type"] == expected, tags.label(tag)


@VERSIONS
def test_enumerated_values(version: bytes) -> None:
    judge = JUDGES[version]
    enumerated = DICTIONARIES[version].enumerated
    for tag, listed in enumerated.items():
        later = LATER_VALUES[version].get(tag, "").split()
        judged = judge.values[tag] if tag in judge.fields else JUDGES[b"FIX.4.4"].values[tag]
        assert set(listed.split()) == judged | set(later), tags.label(tag)
        assert not judged & set(later), tags.label(tag)
    for tag in {tag for members in TYPES.values() for tag in members} & set(judge.fields):
        if judge.values[tag] and tag not in TYPES["BOOLEAN"] and tag != tags.MsgType:
            assert tag in enumerated, tags.label(tag)


@VERSIONS
def test_required_tags(version: bytes) -> None:
    """FIX 4.4 lets SecurityID(48) stand for Symbol(55) in its Instrument block; the venue goes by symbols."""
    for msg_type, required in DICTIONARIES[version].messages.items():
        judged = JUDGES[b"FIX.4.4" if msg_type in LATER_MESSAGES[version] else version].required(msg_type.decode())
        assert set(required) == judged | ({tags.Symbol} & set(required)), msg_type


@VERSIONS
def test_message_types(version: bytes) -> None:
    known = {message.attrib["msgtype"].encode() for message in JUDGES[version].root.iterfind("messages/message")}
    assert DICTIONARIES[version].known == known
    assert set(DICTIONARIES[version].messages) == (INBOUND | OUTBOUND) & (known | LATER_MESSAGES[version])


@VERSIONS
def test_header_and_trailer(version: bytes) -> None:
    judge = JUDGES[version]
    assert judge.members("header") - HEADER <= {370}  # OnBehalfOfSendingTime, of FIX 4.2 alone
    if version == b"FIX.4.4":
        assert judge.members("header") == HEADER
    assert judge.members("trailer") == TRAILER


@VERSIONS
def test_ranges_and_data_fields(version: bytes) -> None:
    judge = JUDGES[version]
    assert DICTIONARIES[version]._last_tag == max(judge.fields)
    data = {tag for tag, field in judge.fields.items() if field["type"] in ("DATA", "XMLDATA")}
    assert data <= set(LENGTH_TAGS.values())
    for length_tag, data_tag in LENGTH_TAGS.items():
        if data_tag in judge.fields:
            assert judge.fields[length_tag]["type"] in ("LENGTH", "INT"), length_tag
    if version == b"FIX.4.4":
        assert data == set(LENGTH_TAGS.values())


# The check

HEAD = "34=2|49=BROKER|52=20261122-09:30:00|56=VENUE|"
ORDER = "11=A|21=1|55=ABCD|54=1|60=20261122-09:30:00|38=100|40=2|44=10.5|"


def check(body: str, msg_type: str = "D", dictionary: Dictionary = FIX44) -> tuple[int, int] | None:
    fault = dictionary.check(decode(wire(f"35={msg_type}|{HEAD}{body}")))
    return None if fault is None else (fault.reason, fault.tag)


def without(tag: str) -> str:
    return "".join(f"{field}|" for field in ORDER.split("|")[:-1] if not field.startswith(f"{tag}="))


def changed(tag: str, value: str) -> str:
    return "".join(f"{tag}={value}|" if f.startswith(f"{tag}=") else f"{f}|" for f in ORDER.split("|")[:-1])


@pytest.mark.parametrize("dictionary", [FIX42, FIX44])
def test_a_good_order(dictionary: Dictionary) -> None:
    assert check(ORDER, dictionary=dictionary) is None
    assert check(ORDER, dictionary=dictionary) is None  # its layout remembered


@pytest.mark.parametrize(
    "optional", ["1=ACC|", "15=USD|47=A|", "100=XNAS|", "114=N|", "453=1|448=X|447=D|452=1|", "5001=x|", "98765=x|"]
)
def test_optional_fields_are_accepted_unread(optional: str) -> None:
    assert check(ORDER + optional) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (without("11"), (SESSION.REQUIRED_TAG_MISSING, 11)),
        (without("55"), (SESSION.REQUIRED_TAG_MISSING, 55)),
        (without("60"), (SESSION.REQUIRED_TAG_MISSING, 60)),
        (without("38"), (BUSINESS.CONDITIONALLY_REQUIRED_FIELD_MISSING, 38)),
        (without("44"), (BUSINESS.CONDITIONALLY_REQUIRED_FIELD_MISSING, 44)),
        (changed("54", "H"), (SESSION.VALUE_IS_INCORRECT, 54)),
        (changed("40", "0"), (SESSION.VALUE_IS_INCORRECT, 40)),
        (changed("38", "1e3"), (SESSION.INCORRECT_DATA_FORMAT, 38)),
        (changed("44", "+1"), (SESSION.INCORRECT_DATA_FORMAT, 44)),
        (changed("44", "."), (SESSION.INCORRECT_DATA_FORMAT, 44)),
        (changed("44", "1_0"), (SESSION.INCORRECT_DATA_FORMAT, 44)),
        (changed("60", "20261322-09:30:00"), (SESSION.INCORRECT_DATA_FORMAT, 60)),
        (ORDER + "18=1 Ж|", (SESSION.VALUE_IS_INCORRECT, 18)),
        (ORDER + "432=20260230|", (SESSION.INCORRECT_DATA_FORMAT, 432)),
        (ORDER + "957=x|", (SESSION.INVALID_TAG_NUMBER, 957)),
        (ORDER + "58=a|58=b|", (SESSION.TAG_APPEARS_MORE_THAN_ONCE, 58)),
        (ORDER + "34=2|", (SESSION.TAG_APPEARS_MORE_THAN_ONCE, 34)),
        (ORDER + "43=N|", (SESSION.TAG_SPECIFIED_OUT_OF_REQUIRED_ORDER, 43)),
        ("93=1|89=x|" + ORDER, (SESSION.TAG_SPECIFIED_OUT_OF_REQUIRED_ORDER, 11)),
        ("97=maybe|" + ORDER, (SESSION.INCORRECT_DATA_FORMAT, 97)),
        ("128=X|" + ORDER, (SESSION.COMPID_PROBLEM, 128)),
    ],
)
def test_faults(body: str, expected: tuple[int, int]) -> None:
    assert check(body) == expected


@pytest.mark.parametrize("price", ["1", "-1", "1.", ".5", "00023.230", "999999999999999.123456789012345"])
def test_floats_as_the_specification_writes_them(price: str) -> None:
    assert check(changed("44", price)) is None


def test_market_orders_need_no_price() -> None:
    assert check(changed("40", "1").replace("44=10.5|", "")) is None


def test_versions_differ() -> None:
    assert check(without("21"), dictionary=FIX44) is None
    assert check(without("21"), dictionary=FIX42) == (SESSION.REQUIRED_TAG_MISSING, 21)
    assert check(changed("54", "G"), dictionary=FIX44) is None
    assert check(changed("54", "G"), dictionary=FIX42) == (SESSION.VALUE_IS_INCORRECT, 54)
    assert check(ORDER + "581=1|", dictionary=FIX42) == (SESSION.INVALID_TAG_NUMBER, 581)
    assert check("98=0|108=30|553=u|554=p|", "A", FIX42) is None


def test_message_types_that_are_refused() -> None:
    assert check("", "R") == (BUSINESS.UNSUPPORTED_MESSAGE_TYPE, 35)
    assert check("", "8") == (BUSINESS.UNSUPPORTED_MESSAGE_TYPE, 35)
    assert check("", "BH", FIX42) == (SESSION.INVALID_MSGTYPE, 35)
    assert check("", "ZZ") == (SESSION.INVALID_MSGTYPE, 35)


def test_faults_do_not_tell_values() -> None:
    fault = FIX44.check(decode(wire(f"35=A|{HEAD}98=0|108=30|554=s3cret|554=s3cret|")))
    assert fault is not None
    assert "s3cret" not in fault.text


def test_what_is_remembered_is_bounded() -> None:
    dictionary = Dictionary(956, frozenset(), "D", {b"D": (11,)}, {40: "1"})
    for tag in range(5000, 5001 + MAX_LAYOUTS):
        assert check(f"11=A|38=1|44=1|{tag}=x|", dictionary=dictionary) is None
    assert 0 < len(dictionary._layouts[b"D"]) <= MAX_LAYOUTS
