"""The protocol's page, `recovery/README.md`, says what the code does: formats, figures, names of tests and mutants."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import recovery
from recovery import command_log, control, frames, link, packet, record, service, service_frames, snapshot
from recovery.member import Role
from recovery.replayed_log import SNAPSHOT_FIELDS
from recovery.versions import VERSION
from tests.simulation.faults import Swarm
from tests.simulation.mutants import MUTANTS

README = Path(recovery.__file__).parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
TESTS = Path(__file__).parent.parent

WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
UNITS = {"ms": 10**6, "s": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "": 1}


def section(title: str) -> str:
    """The text under a heading, up to the next one."""
    _, found, rest = TEXT.partition(f"# {title}\n")
    assert found, title
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in re.findall(r"^\|( .+)\|$", text, re.MULTILINE):
        yield [cell.strip() for cell in line.split(" | ")]


def width(fields: str) -> int:
    """The bytes of fields with types of a fixed width: "a u32 · b u64", "nonce 32", "u16, u8", "8 bytes"."""
    return sum(WIDTHS[word] if word in WIDTHS else int(word) for word in re.findall(r"\b(u\d+|\d+)\b", fields))


# Formats


@pytest.mark.parametrize(
    ("title", "size"), [("3. Packets", record.PACKET_HEADER_BYTES), ("Snapshots", snapshot._HEADER_BYTES)]
)
def test_headers_have_the_size_of_their_table(title: str, size: int) -> None:
    assert sum(width(cells[1]) for cells in rows(section(title)) if re.match(r"u\d|8 bytes", cells[1])) == size


def test_headers_in_the_text_have_their_size() -> None:
    for begins, size in {
        "`tx u64 · timestamp u64": record.COMMAND_HEADER_BYTES,
        "`magic u16 0x4652": packet.REQUEST_BYTES,
        "`magic u16 0x4643": control._HEADER.size,
        "`epoch u32 · chain before\nu32 · kind u8": command_log.ENTRY_PLACE.size,
    }.items():
        fields = TEXT[TEXT.index(begins) :].split("`")[1]
        assert width(re.sub(r"0x\w+|(?<=u8) \d\b", "", fields)) == size, begins
    heartbeat = section("3. Packets").partition("**EpochStart**")[2].partition("(65,535")[0]
    assert width(heartbeat) == packet.HEARTBEAT_BYTES - record.PACKET_HEADER_BYTES
    assert f"Command header ({record.COMMAND_HEADER_BYTES} bytes)" in TEXT
    assert f"at most {record.MAX_MESSAGE_BYTES:,} bytes, so that any fits a packet alone" in TEXT
    assert f"a command's own body at most {record.MAX_COMMAND_BYTES:,}" in TEXT
    assert f"payload`, at most {frames.MAX_FRAME_BYTES:,} bytes" in TEXT
    assert f"| {packet.PACKET_MAGIC:#06x}, {VERSION} |" in TEXT
    for magic in (packet.REQUEST_MAGIC, control.CONTROL_MAGIC):
        assert f"`magic u16 {magic:#06x} · version u8 {VERSION} ·" in TEXT
    assert TEXT.count(f" CHALLENGE | primary | version u8 = {VERSION} ·") == 1
    assert TEXT.count(f" CHALLENGE | replica | version u8 = {VERSION} ·") == 1


def numbered(text: str) -> dict[int, tuple[str, str]]:
    """Type number: (name, fields) of a table whose first cell is "7 BATCH"; the fields are the last such cell."""
    found = {}
    for cells in rows(text):
        if type_ := re.fullmatch(r"(\d+) ([A-Z_]+)", cells[0]):
            fields = next((cell for cell in cells[1:] if re.search(r"\b(u\d+|nonce|proof)\b", cell)), "")
            found[int(type_[1])] = type_[2], re.sub(r" = \d+|\(.*?\)", "", fields).partition(" · entries")[0]
    return found


def test_control_messages_are_the_codes() -> None:
    told = numbered(section("Control messages"))
    names = {"StateDigest": "DIGEST"}
    assert [told[number][0] for number in sorted(told)] == [
        names.get(kind.__name__, kind.__name__.upper()) for kind in control._TYPES
    ]
    layouts = {"PROMISE": control._PROMISE, "PULL": control._PULL, "BATCH": control._BATCH, "ACK": control._ACK}
    for name, fields in told.values():
        layout = (layouts | {"DIGEST": control._DIGEST}).get(name)
        assert width(fields) == (layout.size if layout else 0), name


@pytest.mark.parametrize(
    ("title", "types", "layouts"),
    [
        (
            "5. The link",
            frames.FrameType,
            {"CHALLENGE": link._CHALLENGE, "LOGIN": link._LOGIN, "ACCEPTED": link._ACCEPTED},
        ),
        (
            "10. Service and quorum reads",
            service_frames.FrameType,
            {"CHALLENGE": service._CHALLENGE, "LOGIN": service._LOGIN, "POSITION": service_frames._POSITION},
        ),
    ],
)
def test_frames_are_the_codes(title: str, types: type, layouts: dict[str, object]) -> None:
    told = numbered(section(title))
    assert {number: name for number, (name, _) in told.items()} == {each.value: each.name for each in types}  # type: ignore[attr-defined]
    for name, fields in told.values():
        if name in layouts:
            assert width(fields) == layouts[name].size, name  # type: ignore[attr-defined]


def test_records_of_a_replicas_journal_are_the_codes() -> None:
    told = {}
    for cells in rows(section("7. Replication")):
        if len(cells) == 3 and cells[1].isdecimal():
            told[cells[0]] = int(cells[1]), cells[2]
    ours = {name[:-7]: value for name, value in vars(command_log).items() if name.endswith("_RECORD")}
    assert {name: number for name, (number, _) in told.items()} == ours
    assert width(re.sub(r"\(.*?\)", "", told["SNAPSHOT"][1]).partition(":")[0]) == SNAPSHOT_FIELDS.size


def test_roles_are_the_codes() -> None:
    told = {cells[0] for cells in rows(section("7. Replication")) if cells[0].isupper()}
    assert {role.name for role in Role} <= told
    order = re.findall(r"(\d) ([A-Z_]+)", TEXT[TEXT.index("role: 0 FENCED") :].partition(".")[0])
    assert [(int(number), name) for number, name in order] == [
        (number, role.name) for number, role in enumerate(service_frames._ROLES)
    ]


# Times and bounds


def module(name: str) -> ModuleType:
    return importlib.import_module(f"recovery.{name}")


def test_times_and_bounds_are_the_codes() -> None:
    told = [cells for cells in rows(section("12. Times and bounds")) if cells[0].startswith("`")]
    assert len(told) > 40
    for name, figure, _ in told:
        holder, _, constant = name.strip("`").partition(".")
        value = getattr(module(holder), constant)
        number, _, unit = figure.replace(",", "").partition(" ")
        unit_size = UNITS[unit]
        if unit in ("s", "ms") and isinstance(value, float | int) and value < 1_000:
            unit_size = {"s": 1, "ms": 0.001}[unit]  # shells count in seconds
        assert value == int(number) * unit_size, name


def test_the_text_uses_the_figures_of_the_table() -> None:
    heading = section("9. What survives what") + section("Promises by mode")
    heading += section("One process, machine or disk") + section("The network")
    silence, spread = (getattr(module("member"), name) // 10**6 for name in ("SILENCE", "SILENCE_SPREAD"))
    assert f"after {silence}–{silence + spread} ms of silence" in heading
    assert f"silent after {module('replica').MAJORITY_TIMEOUT // 10**6} ms" in heading


# Tests, faults, mutants, and places in the code


def test_every_test_that_is_named_is_there_and_every_short_name_is_explained() -> None:
    text = section("The tests")
    known: set[str] = set()
    for names, where in (cells for cells in rows(text) if "`tests/" in cells[1]):
        short = names.split(", ")
        known |= set(short)
        for file, found in re.findall(r"`(tests/[\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)", where):
            code = (TESTS.parent / file).read_text(encoding="utf-8")
            for name in re.findall(r"`(test_\w+)`", found):
                assert re.search(rf"^(async )?def {name}\(", code, re.MULTILINE), f"{file}: {name}"
    tables = "".join(map(section, ("One process, machine or disk", "Two at once", "The network")))
    used = [cell for cell in re.findall(r"\[([^\]]+)\]", tables) if cell != "–"]
    assert used
    for each in used:
        name, _, faults = each.partition(": ")
        assert name in known, each
        for fault in faults.split(", ") if faults else []:
            assert hasattr(Swarm, f"_{fault.replace(' ', '_')}"), each
    assert known <= {each.partition(": ")[0] for each in used}


def test_each_invariant_is_there_and_every_mutant_is_named() -> None:
    told = [cells for cells in rows(section("11. Why it holds: invariants")) if re.fullmatch(r"I\d+", cells[0])]
    assert [cells[0] for cells in told] == [f"I{number}" for number in range(1, 15)]
    named = {name for cells in told for name in cells[5].split(", ")} - {"–", "each that hangs"}
    assert named == set(MUTANTS)
    for cells in told:
        for file in re.findall(r"`(\w+\.py)`", cells[4]):
            assert (TESTS / "simulation" / file).exists(), file


def test_places_in_the_code_are_there() -> None:
    places = re.findall(r"`([a-z_]+)\.([A-Z]\w+|[a-z_]+)(?:\.(\w+))?`", section("11. Why it holds: invariants"))
    places = [place for place in places if place[1] != "py"]
    assert len(places) > 20
    for holder, name, member in places:
        found = getattr(module(holder), name)
        assert not member or hasattr(found, member), (holder, name, member)


def test_the_reading_order_names_every_module() -> None:
    named = re.findall(r"^    (\w[\w, ]*?) {2,}", recovery.__doc__ or "", re.MULTILINE)
    told = [name for names in named for name in names.split(", ")]
    assert sorted(told) == sorted({path.stem for path in README.parent.glob("*.py")} - {"__init__"})
