"""The rules of engagement, `fixgw/README.md`, and the data dictionaries in `conf/` say what the code does.

FIXGW_REWRITE=1 writes the README's messages and the dictionaries anew from what happens. Commit such a change only if
you know why it came.
"""

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from fixgw import (
    acceptor,
    auth,
    codec,
    connection,
    history,
    inquiries,
    logon,
    router,
    session,
    shard_state,
    tags,
    trading_status,
    values,
)
from fixgw.codec import FixMessage, decode
from fixgw.config import RateLimit
from fixgw.dictionary import DICTIONARIES, INBOUND, ORDERS, OUTBOUND, TYPES
from fixgw.reports import DIALECTS
from fixgw.timestamps import SECOND
from tests.fixgw.engagement import SCENES, V42, V44, Stage
from tests.fixgw.fixtalk import wire
from tests.fixgw.refused import Refusal, provoked
from tests.test_tidy import PURE, SHELL

PACKAGE = Path(session.__file__).parent
ROOT = PACKAGE.parent
PAGE = PACKAGE / "README.md"
README = PAGE.read_text(encoding="utf-8")
VERSIONS = pytest.mark.parametrize("version", [V42, V44])
needs_quickfix = pytest.mark.skipif(sys.version_info >= (3, 12), reason="QuickFIX has no wheel for this Python")
#: MsgType(35) of the sample of what is not supported.
UNSUPPORTED = b"R"
REWRITE = os.environ.get("FIXGW_REWRITE") == "1"

# The messages


def told_anew(block: re.Match[str]) -> str:
    return f"```fix {block[1]}\n" + "".join(f"{line}\n" for line in SCENES[block[1]]()) + "```"


def test_the_messages_are_those_of_the_code() -> None:
    anew = re.sub(r"```fix ([\w-]+)\n.*?```", told_anew, README, flags=re.DOTALL)
    if REWRITE:
        PAGE.write_text(anew, encoding="utf-8")
        return
    assert anew == README


def test_every_scene_is_shown_once() -> None:
    assert sorted(re.findall(r"```fix ([\w-]+)", README)) == sorted(SCENES)


@cache
def heard(version: str) -> list[FixMessage]:
    """Every message of the README's blocks in this version."""
    lines = [line[2:] for line in README.splitlines() if line.startswith(("→ ", "← "))]
    messages = [decode(line.replace("|", "\x01").encode()) for line in lines]
    return [message for message in messages if message.fields[tags.BeginString] == version.encode()]


def test_reports_table() -> None:
    rows = re.findall(r"^\| [^|]+ \| (.) \| (.) \| (.) \| (.) \|$", section("### 8 ExecutionReport"), re.MULTILINE)
    for version, first in ((V42, 0), (V44, 2)):
        reports = [message.fields for message in heard(version) if message.msg_type == values.EXECUTION_REPORT]
        reports = [fields for fields in reports if fields[tags.ExecID] != b"0"]
        seen = {(fields[tags.ExecType].decode(), fields[tags.OrdStatus].decode()) for fields in reports}
        assert seen == {(row[first], row[first + 1]) for row in rows}


# The fields of each message


class Field(NamedTuple):
    """One row of a message's table."""

    tag: int
    name: str
    kind: str
    #: By version: Y, C, N or –.
    required: dict[str, str]
    #: It stands in the group above it.
    in_group: bool


def section(heading: str) -> str:
    """The text under a heading, up to the next."""
    return README.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]


def fields_of(heading: str) -> list[Field]:
    rows = re.findall(r"^\| (↳ )?(\d+) \| (\w+) \| (\w+) \| (.) \| (.) \|", section(heading), re.MULTILINE)
    return [Field(int(tag), name, kind, {V42: old, V44: new}, bool(mark)) for mark, tag, name, kind, old, new in rows]


HEADER = fields_of("### Header and trailer")
#: By MsgType: the message's name and its fields.
MESSAGES = {
    letter: (name, fields_of(f"### {letter} {name}"))
    for letter, name in re.findall(r"^### (\w{1,2}) (\w+)$", README, re.MULTILINE)
}
ALL_FIELDS = {field.tag: field for _, fields in [("", HEADER), *MESSAGES.values()] for field in fields}


def required(fields: list[Field], version: str) -> set[int]:
    return {field.tag for field in fields if field.required[version] == "Y"}


def test_messages_are_those_the_venue_takes_and_sends() -> None:
    assert {letter.encode() for letter in MESSAGES} == INBOUND | OUTBOUND


def test_fields_have_their_names_and_types() -> None:
    types = {tag: kind for kind, members in TYPES.items() for tag in members} | {8: "STRING", 9: "LENGTH", 10: "STRING"}
    for _, fields in [("", HEADER), *MESSAGES.values()]:
        for field in fields:
            assert (field.name, field.kind) == (tags.NAMES[field.tag], types[field.tag])


@VERSIONS
def test_required_fields_are_the_dictionarys(version: str) -> None:
    for letter, (_, fields) in MESSAGES.items():
        msg_type = letter.encode()
        if msg_type not in DICTIONARIES[version.encode()].messages:
            assert {field.required[version] for field in fields} == {"–"}, letter
            continue
        needed = set(DICTIONARIES[version.encode()].messages[msg_type])
        if msg_type in ORDERS:
            needed.add(tags.OrderQty)
        told = required(fields, version)
        if msg_type in INBOUND:
            assert told == needed, letter
        else:
            assert told >= needed, letter


@VERSIONS
def test_messages_have_the_fields_that_are_told(version: str) -> None:
    in_header = {field.tag for field in HEADER}
    for message in heard(version):
        if message.msg_type == UNSUPPORTED:
            continue
        _, fields = MESSAGES[message.msg_type.decode()]
        known = {field.tag for field in fields if field.required[version] != "–"}
        assert set(message.fields) - in_header <= known
        if b"38=ten" not in message.raw and b"11=a2|55=ALPHA|54=1|" not in message.raw:
            assert required(HEADER, version) | required(fields, version) <= set(message.fields)


# The texts


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head and without backticks."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("…"))))


def told_refusals(version: str) -> set[Refusal]:
    """What the tables say is refused, with which code, in this version."""
    later = version == V44
    found = set()
    for text, ord_42, ord_44, cxl_42, cxl_44, _ in rows_of("### Orders and requests that are refused"):
        found |= {Refusal("8", ord_44 if later else ord_42, text), Refusal("9", cxl_44 if later else cxl_42, text)}
    found = {refusal for refusal in found if refusal.code != "–"}
    for text, _ in rows_of("### Cancels that nobody asked for"):
        found.add(Refusal("8", "", text))
    for text, old, new, _ in rows_of("### Changes that nobody asked for"):
        found.add(Refusal("8", new if later else old, text))
    found.add(Refusal("8", "", "The trade is undone"))
    for text, code, _ in rows_of("### Mass cancels that are refused"):
        found.add(Refusal("r", code, text))
    for text, msg_type, old, new, _ in rows_of("### Messages that are rejected"):
        found.add(Refusal(msg_type, (new if later else old).replace("–", ""), text))
    for text, ord_42, ord_44, business, trade, _ in rows_of("### Inquiries that are not answered"):
        codes = [("8", ord_44 if later else ord_42), ("j", business), ("AQ", trade)]
        found |= {Refusal(msg_type, code, text) for msg_type, code in codes if code != "–"}
    for text, code, _ in rows_of("### Security status requests that are not answered"):
        if code != "–":
            found.add(Refusal("j", code, text))
        elif later:
            found.add(Refusal("f", "", text))
    for text, _ in rows_of("### Logouts"):
        found.add(Refusal("5", "", text))
    return found


#: Texts about fields that FIX.4.2 does not have.
NOT_IN_42 = ("TestMessageIndicator(464)", "NextExpectedMsgSeqNum(789)")


@VERSIONS
def test_every_refusal_is_told_and_every_told_one_happens(version: str) -> None:
    told = {each for each in told_refusals(version) if version == V44 or not each.text.startswith(NOT_IN_42)}
    happened = set()
    for refusal in provoked(version):
        matching = {
            each for each in told if each[:2] == refusal[:2] and pattern(each.text).fullmatch(refusal.text) is not None
        }
        assert matching, refusal
        happened |= matching
    assert told == happened


#: Modules whose sentences a broker or its operator may see.
SPEAKING = (
    "acceptor codec conditions connection dialects dictionary fields forks header history inquiries logon outbound "
    "phases rejections reports router session "
    "trading_status translate"
)
#: Sentences that guard what another check catches first, or that speak of our own bugs.
UNSEEN = (
    "Price(44) is missing in a limit order", "OrderQty(38) is missing",
    "Price(44) is out of range", "OrderQty(38) is out of range", "Side(54) is not supported",
    "OrdType(40) is not supported", "is not a time",
    "cannot connect to ", "cannot listen on ", "stranger from ",
)  # fmt: skip


def sentences(module: ast.Module) -> Iterator[str]:
    """The texts of a module that hold a space, without docstrings, asserts and log formats."""
    skipped = {
        id(node)
        for parent in ast.walk(module)
        if isinstance(parent, ast.Assert)
        or (isinstance(parent, ast.Expr) and isinstance(parent.value, ast.Constant))
        or (isinstance(parent, ast.Expr) and ast.unparse(parent.value).startswith("_log."))
        for node in ast.walk(parent)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in skipped:
            text = node.value.decode(errors="replace") if isinstance(node.value, bytes) else node.value
            if re.search(r"[a-z]{2} [a-z]{2}|\) [a-z]{2}|[a-z]{2} $", text):
                yield text


@pytest.mark.parametrize("name", SPEAKING.split())
def test_every_sentence_of_the_code_is_told(name: str) -> None:
    told = list(map(pattern, re.findall("`(.+?)`", README)))
    for text in sentences(ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))):
        for part in re.split(r"\{\w+\}|58=|\x01", text):
            known = part.startswith(UNSEEN) or part.strip() in README
            assert known or any(each.fullmatch(part) for each in told), part


# Limits, and the map of the code


def test_limits_are_the_codes() -> None:
    limits = RateLimit()
    for told in (
        f"complete within {logon.LOGON_TIMEOUT // SECOND} seconds",
        f"no Logon within {logon.LOGON_TIMEOUT // SECOND} s; {acceptor.MAX_STRANGERS} other connections",
        f"after {auth.FREE_FAILURES} free ones for a CompID, {auth.FREE_FAILURES_OF_ADDRESS} for an address, "
        f"each doubles a wait of {auth.FIRST_BACK_OFF // SECOND} second, "
        f"up to {auth.LAST_BACK_OFF // SECOND // 60} minutes",
        f"at most {codec.MAX_BODY_LENGTH:,} |",
        f"A BodyLength over {codec.MAX_BODY_LENGTH:,}, or {codec.MAX_MESSAGE_LENGTH:,} bytes",
        f"1 to {codec.MAX_MSG_SEQ_NUM:,}",
        f"within {logon.SENDING_TIME_TOLERANCE // SECOND} s of the venue's clock",
        f"seconds, 0 to {logon.MAX_HEART_BT_INT}",
        f"If you have not after {session.LOGOUT_TIMEOUT // SECOND} seconds",
        f"after {session.RESEND_TIMEOUT // SECOND} s without progress, three times in all",
        f"{limits.orders_per_second:,} and {limits.burst:,} unless told otherwise",
        f"| {connection.MAX_BACKLOG_BYTES:,} bytes |",
        f"for {shard_state.PAUSE // SECOND} s; it was not sent on",
        f"without replicas after {shard_state.PAUSE_ALONE // SECOND} s",
        f"within {router.ORDER_LIFETIME // SECOND} s",
        f"older than {router.ORDER_LIFETIME // SECOND} s",
        f"for longer than {shard_state.PAUSE // SECOND} s",
        f"{inquiries.INQUIRIES_PER_SECOND} per second, {inquiries.INQUIRY_BURST} at once",
        f"at once; {inquiries.MAX_OPEN} of a session that wait",
        f"is longer than {inquiries.MAX_NAME_BYTES} characters",
        f"the changes of {trading_status.MAX_WATCHED} instruments of each shard at most",
    ):
        assert told in README, told
    assert session.MAX_RESEND_REQUESTS == 3
    assert auth.FORGIVEN_AFTER == 3600 * SECOND


def test_the_map_names_every_module_and_what_it_is() -> None:
    told: dict[str, str] = {}
    for names, kind in re.findall(r"^\| (`[^|]+) \| (pure|shell) \|", section("## Reading the code"), re.MULTILINE):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), kind)
    declared = dict.fromkeys(PURE["fixgw"].split(), "pure") | dict.fromkeys(SHELL["fixgw"].split(), "shell")
    present = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert told == {name: declared[name] for name in present}


# The data dictionaries

#: What only the venue sends is listed as it sends it. What brokers send is listed as the version has it, since a
#: rejection repeats the order's values, and the broker's engine must be able to read that.
SENT = {
    V42: {20: "0 1 3", 39: "0 1 2 4 5 8 C", 98: "0", 150: "0 1 2 4 5 8 C D", 378: "1 4 5", 434: "1 2"},
    V44: {39: "0 1 2 4 8 C", 98: "0", 150: "0 4 5 8 C D F H I", 378: "1 5 99", 434: "1 2"},
}
for sent in SENT.values():
    sent |= {327: "D M P", 531: "0 1 7", 532: "0 1", 552: "1", 749: "0 1 8 99", 750: "1 2"}
SENT[V42] |= {326: "2 3 5 17 18 20"}
SENT[V44] |= {326: "2 3 5 17 18 20 21 22"}
NAMES_42 = {32: "LastShares", 33: "LinesOfText", 211: "PegDifference", 389: "DiscretionOffset"}
TYPES_42 = {"SEQNUM": "INT", "LENGTH": "INT", "NUMINGROUP": "INT", "FLOAT": "PRICEOFFSET"}

#: What the venue has of later versions and of its own: fields, messages, and values with their names.
CUSTOM = {
    V42: {"Username", "Password", "DisplayQty", "MassCancelSession"},
    V44: {"DisplayQty", "MassCancelSession"},
}
LATER_FIELDS = {
    V42: {530, 531, 532, 533, 552, 568, 569, 570, 571, 584, 585, 748, 749, 750, 880, 912},
    V44: set[int](),
}
LATER_MESSAGES = {V42: {"q", "r", "AF", "AD", "AE", "AQ"}, V44: set[str]()}
LATER_VALUES = {
    (40, "K"): "MARKET_WITH_LEFTOVER_AS_LIMIT", (59, "7"): "AT_THE_CLOSE", (59, "B"): "GOOD_FOR_AUCTION",
    (35, "q"): "ORDER_MASS_CANCEL_REQUEST", (35, "r"): "ORDER_MASS_CANCEL_REPORT",
    (35, "AF"): "ORDER_MASS_STATUS_REQUEST", (35, "AD"): "TRADE_CAPTURE_REPORT_REQUEST",
    (35, "AE"): "TRADE_CAPTURE_REPORT", (35, "AQ"): "TRADE_CAPTURE_REPORT_REQUEST_ACK",
}  # fmt: skip


class Judge:
    """QuickFIX's own dictionary of a version: names, types, and what its values are called."""

    def __init__(self, version: str) -> None:
        path = Path(sys.prefix) / "share" / "quickfix" / f"{version.replace('.', '')}.xml"
        self.root = ET.parse(path).getroot()
        self.fields = {int(field.attrib["number"]): field for field in self.root.iterfind("fields/field")}

    def value_names(self, tag: int) -> dict[str, str]:
        if tag not in self.fields:
            return {}
        return {each.attrib["enum"]: each.attrib["description"] for each in self.fields[tag].iterfind("value")}


def values_of(version: str, tag: int) -> list[str]:
    dialect = DIALECTS[version.encode()]
    if tag == tags.MsgType:
        return [letter for letter in MESSAGES if letter.encode() in DICTIONARIES[version.encode()].messages]
    if tag == tags.OrdRejReason:
        reasons = {*dialect.ord_rej_reasons.values(), dialect.other_ord_rej_reason, *history.ORD_REASONS.values()}
        return [str(each) for each in sorted(reasons)]
    if tag == tags.CxlRejReason:
        return [str(each) for each in sorted({*dialect.cxl_rej_reasons.values(), dialect.other_cxl_rej_reason})]
    return SENT[version].get(tag, DICTIONARIES[version.encode()].enumerated.get(tag, "")).split()


def dictionary_file(version: str) -> Path:
    return ROOT / "conf" / f"{version.replace('.', '')}.xml"


def dictionary_text(version: str) -> str:
    """The data dictionary that says what the README's tables say."""
    judge, of_later = Judge(version), Judge(V44)

    def name(tag: int) -> str:
        return NAMES_42.get(tag, tags.NAMES[tag]) if version == V42 else tags.NAMES[tag]

    def members(fields: list[Field], indent: str) -> Iterator[str]:
        group = False
        for field in fields:
            if field.required[version] != "–":
                needed = "Y" if field.required[version] == "Y" else "N"
                kind = "group" if field.kind == "NUMINGROUP" else "field"
                if group and not field.in_group:
                    yield f"{indent}</group>"
                    group = False
                step = "  " if field.in_group else ""
                end = "" if kind == "group" else "/"
                yield f'{indent}{step}<{kind} name="{name(field.tag)}" required="{needed}"{end}>'
                group = group or kind == "group"
        if group:
            yield f"{indent}</group>"

    def lines() -> Iterator[str]:
        yield f"<!-- {version} as this exchange speaks it: what fixgw/README.md says, in QuickFIX's format. -->"
        yield f'<fix type="FIX" major="4" minor="{version[-1]}" servicepack="0">'
        yield "  <header>"
        yield from members([field for field in HEADER if field.tag != tags.CheckSum], "    ")
        yield "  </header>"
        yield "  <messages>"
        for letter, (message, fields) in MESSAGES.items():
            if letter.encode() not in DICTIONARIES[version.encode()].messages:
                continue
            category = "admin" if letter.encode() in values.ADMIN else "app"
            yield f'    <message name="{message}" msgtype="{letter}" msgcat="{category}">'
            yield from members(fields, "      ")
            yield "    </message>"
        yield "  </messages>"
        yield "  <trailer>"
        yield from members([field for field in HEADER if field.tag == tags.CheckSum], "    ")
        yield "  </trailer>"
        yield "  <components/>"
        yield "  <fields>"
        for tag, field in sorted(ALL_FIELDS.items()):
            if any(each.required[version] != "–" for each in rows_with(tag)):
                kind = TYPES_42.get(field.kind, field.kind) if version == V42 else field.kind
                later = {value: about for (field_tag, value), about in LATER_VALUES.items() if field_tag == tag}
                names = later | of_later.value_names(tag) | judge.value_names(tag)
                listed = [(value, names[value]) for value in values_of(version, tag)]
                yield f'    <field number="{tag}" name="{name(tag)}" type="{kind}"{"" if listed else "/"}>'
                yield from (f'      <value enum="{value}" description="{about}"/>' for value, about in listed)
                if listed:
                    yield "    </field>"
        yield "  </fields>"
        yield "</fix>"

    return "".join(f"{line}\n" for line in lines())


def rows_with(tag: int) -> list[Field]:
    return [field for _, fields in [("", HEADER), *MESSAGES.values()] for field in fields if field.tag == tag]


@VERSIONS
def test_dictionaries_say_what_the_tables_say(version: str) -> None:
    text = dictionary_text(version)
    if REWRITE:
        dictionary_file(version).write_text(text, encoding="utf-8")
        return
    assert dictionary_file(version).read_text(encoding="utf-8") == text


@VERSIONS
def test_dictionaries_have_nothing_that_quickfixs_own_have_not(version: str) -> None:
    """Fields, types, values, and which message has which field, but for what the venue has of its own."""
    of_version, of_later = Judge(version), Judge(V44)
    ours = ET.parse(dictionary_file(version)).getroot()
    custom = CUSTOM[version]
    for field in ours.iterfind("fields/field"):
        if field.attrib["name"] not in custom:
            number = int(field.attrib["number"])
            is_later = number in LATER_FIELDS[version]
            theirs = (of_later if is_later else of_version).fields[number]
            kind = theirs.attrib["type"]
            assert field.attrib == theirs.attrib | {"type": TYPES_42.get(kind, kind) if is_later else kind}
            known = {each.attrib["enum"] for each in theirs}
            later = {(number, each) for field_tag, each in LATER_VALUES if field_tag == number and each not in known}
            kept = [value for value in field if (number, value.attrib["enum"]) not in later]
            assert [each.attrib for each in kept] == [
                each.attrib for value in field for each in theirs if each.attrib["enum"] == value.attrib["enum"]
            ]
    for message in ours.iterfind("messages/message"):
        judge = of_later if message.attrib["msgtype"] in LATER_MESSAGES[version] else of_version
        theirs_too = judge.root.find(f"messages/message[@msgtype='{message.attrib['msgtype']}']")
        assert theirs_too is not None
        assert message.attrib == theirs_too.attrib
        known = set(names_in(theirs_too, judge)) | {tags.NAMES[tag] for tag in LATER_FIELDS[version]}
        if judge is not of_version:
            known |= set(NAMES_42.values())
        for member in list(message.iter())[1:]:
            assert member.attrib["name"] in known | custom, message.attrib["name"]


def names_in(element: ET.Element, judge: Judge) -> Iterator[str]:
    for member in element:
        if member.tag == "component":
            component = judge.root.find(f"components/component[@name='{member.attrib['name']}']")
            assert component is not None
            yield from names_in(component, judge)
        else:
            yield member.attrib["name"]
            yield from names_in(member, judge)


#: A fault that it finds ends QuickFIX's process, hence one of its own. Messages come in lines, | for SOH.
QUICKFIX = """
import sys, quickfix
dictionary = quickfix.DataDictionary(sys.argv[1])
for line in sys.stdin:
    print(line, flush=True)
    dictionary.validate(quickfix.Message(line.strip().replace("|", "\\1"), dictionary, True))
print("all good")
"""


def judged(version: str, messages: list[FixMessage]) -> subprocess.CompletedProcess[str]:
    lines = "".join(f"{message.raw.decode()}\n" for message in messages).replace("\x01", "|")
    command = (sys.executable, "-c", QUICKFIX, str(dictionary_file(version)))
    return subprocess.run(command, input=lines, text=True, capture_output=True, check=False)


@needs_quickfix
@VERSIONS
def test_quickfix_reads_every_message_by_them(version: str) -> None:
    messages = [*heard(version), *_rejections(version), *_defaults(version)]
    good = [message for message in messages if message.msg_type != UNSUPPORTED and b"38=ten" not in message.raw]
    assert len(good) > 25
    result = judged(version, good)
    assert result.stdout.endswith("all good\n"), result.stdout[-1000:] + result.stderr


@needs_quickfix
@VERSIONS
@pytest.mark.parametrize("wrong", ["35=D|34=2|11=a|847=1|", "35=1|34=2|", "35=R|34=2|131=a|", "35=8|34=2|150=Z|"])
def test_quickfix_finds_by_them_what_is_not_supported(version: str, wrong: str) -> None:
    msg_type, number, rest = wrong.split("|", 2)
    header = f"{msg_type}|{number}|49=FIXGW|52=20261122-09:30:00.000|56=AMBER|"
    result = judged(version, [decode(wire(header + rest, version))])
    assert result.returncode != 0
    assert "FIX::" in result.stderr


def _rejections(version: str) -> list[FixMessage]:
    """Rejections that repeat what the venue does not take."""
    stage = Stage(version).log_on()
    for number, odd in enumerate(("54=5|40=2|59=0", "54=1|40=7|59=0", "54=1|40=2|59=5")):
        stage.send("D", f"11=o{number}|21=1|55=ALPHA|60=NOW|38=10|44=10.00|{odd}|")
    return [message for message in stage.heard if message.msg_type == values.EXECUTION_REPORT]


def _defaults(version: str) -> list[FixMessage]:
    """An order and its replacement that ask by every field that there is for what they are anyway; they are taken."""
    stage = Stage(version).log_on()
    terms = "21=1|55=ALPHA|54=1|60=NOW|38=10|40=2|44=10.00|168=NOW|210=10|388=0|389=0|"
    terms += "423=2|835=0|836=0|840=1|" if version == V44 else ""
    stage.send("D", f"11=o1|{terms}")
    stage.send("G", f"11=o2|41=o1|{terms}")
    *_, placed, new, replace, replaced = stage.heard
    assert [message.fields[tags.ExecType] for message in (new, replaced)] == [b"0", b"5"]
    return [placed, replace]
