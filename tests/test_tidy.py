"""Style as tests: who imports whom, which modules are pure, how long things are, which words do not occur.

The rules are tables on top; a new module of the four packages fails the first test until it is declared pure or shell.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("recovery", "matching", "marketdata", "fixgw")

# A pure module takes bytes, messages and `now`, and gives back events and bytes; see FORBIDDEN_IN_PURE.
PURE = {
    "recovery": """
        checksum clock command_log control election execution follower frames gaps heard history intake link member
        operated outbox packet past primary query quorum reader record replayed_log replica retransmitter
        segment service service_frames settings snapshot sources stable stall state_digests store tail versions
        view_change
    """,
    "matching": """
        admission advance amend answers auction book bust circuit cl_ord_ids codes commands conditions constructors day
        engine entry events expiry ids incoming instruments ledger mass_cancel operations order outcomes pegs phases
        protection queries renewal selfmatch sessions shard snapshot state stops trade uncross walk wire words
    """,
    "marketdata": """
        book capture feed gaps itch moldudp64 receiver requests translate
    """,
    "fixgw": """
        answer auth awake codec conditions config config_checks config_explain config_market config_market_checks
        config_shards config_values dialects dictionary entries fields forks header history inquiries logon
        market market_overview operator_commands outbound overview phases primaries query_tables rejections reports
        resend restarts router sent session session_events session_state shard_state strict_yaml tags throttle
        timestamps trade_numbers trading_status translate values
    """,
}
# A shell does the reading, sending, sleeping and telling for a core.
SHELL = {
    "recovery": """
        alarm catch_up coordinator disk_thread forked journal journal_reader journal_store links multicast node
        operating pump retransmission_server served service_client service_host snapshot_files snapshots socket_filter
        stream zookeeper zookeeper_client
    """,
    "matching": """
        host
    """,
    "marketdata": """
        publisher
    """,
    "fixgw": """
        __main__ acceptor answering cli compiled connection coordinators delivery demo gateway interface ledger
        ledger_file ledger_query link_key operate query rebuild record shard_link supervisor up
    """,
}

FORBIDDEN_IN_PURE = (
    "asyncio fcntl logging multiprocessing os random secrets select selectors signal socket ssl subprocess tempfile "
    "threading time trio uuid"
)

LANGUAGE = {
    f"matching{name}"
    for name in ("", ".codes", ".commands", ".events", ".ids", ".instruments", ".ledger", ".queries", ".wire", ".words")
}
COMPOSITION = ("fixgw/up.py", "fixgw/demo.py", "fixgw/console/")  # may import everything of ours

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70

# Joined here so that this file does not hold them itself.
BANNED_WORDS = re.compile(
    "|".join(
        [
            *(rf"\b{first}{second}\b" for first, second in [("TO", "DO"), ("FIX", "ME"), ("X", "XX"), ("HA", "CK")]),
            *(rf"(?<![\w.])/{first}{second}/" for first, second in [("wo", "rk"), ("ro", "ot"), ("ho", "me")]),
            *("py" + "pi" + ending for ending in (r"\.org", r"\.python")),
            "python" + "hosted",
        ]
    )
)
TWO_L = "cancel" + "led"
TRIO_SPELLS = {TWO_L.capitalize(), f"{TWO_L}_caught"}
TEXT_SUFFIXES = {"", ".py", ".md", ".yaml", ".toml", ".txt", ".cfg", ".csv"}
NOT_OURS = {"LICENSE"}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def python_files() -> Iterator[Path]:
    yield ROOT / "run"
    yield from modules()
    for folder in ("examples", "tests"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def text_files() -> Iterator[Path]:
    for top in sorted(ROOT.iterdir()):
        if top.is_file():
            yield top
        elif top.name in {".ci", "conf", "examples", "tests", "docs", *PACKAGES}:
            yield from sorted(path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), name_of(path))


def offenders(paths: Iterator[Path], offences: Callable[[Path], object]) -> dict[str, object]:
    """By file, what each that breaks a rule has of what the rule forbids.

    One test looks at all files: two thousand tests of a file each would cost several times what the looking does.
    """
    return {name_of(path): found for path in paths if (found := offences(path))}


def imports(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative to this module's package
                parents = path.relative_to(ROOT).parts[: -node.level]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if is_module(inner) else base)
    return found


def is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def declared(path: Path) -> tuple[str, str]:
    """A module's package and the name it is declared by: a sub-package is declared as a whole."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0], parts[1]


def is_pure(path: Path) -> bool:
    package, name = declared(path)
    return name in PURE[package].split()


def test_every_module_is_declared_pure_or_shell() -> None:
    assert not offenders(modules(), undeclared), "declare them in tests/test_tidy.py, as pure or as shell"


def undeclared(path: Path) -> bool:
    """Neither pure nor shell, or both."""
    package, name = declared(path)
    return name != "__init__" and (name in PURE[package].split()) == (name in SHELL[package].split())


def test_a_pure_module_has_no_way_to_block_or_to_read_a_clock() -> None:
    assert not offenders(filter(is_pure, modules()), ways_out)


def ways_out(path: Path) -> set[str]:
    """What a module imports that blocks, reads a clock, or is a shell."""
    forbidden = FORBIDDEN_IN_PURE.split()
    shells = {f"{package}.{name}" for package in PACKAGES for name in SHELL[package].split()}
    return {
        name for name in imports(path) if name.partition(".")[0] in forbidden or ".".join(name.split(".")[:2]) in shells
    }


def test_packages_import_only_what_stands_below_them() -> None:
    assert not offenders(
        modules(), lambda path: {each for each in imports(path) if not may_import(name_of(path), each)}
    )


def may_import(importer: str, name: str) -> bool:
    package, imported = importer.partition("/")[0], name.partition(".")[0]
    if imported in ("tests", "examples"):
        return False
    if imported not in PACKAGES or imported == package:
        return True
    if package == "recovery":
        return False
    if package == "matching":
        return imported == "recovery" and importer == "matching/host.py"
    if package == "fixgw" and importer.startswith(COMPOSITION):
        return True
    return imported == "recovery" or name in LANGUAGE


@pytest.mark.parametrize(
    ("importer", "name", "allowed"),
    [
        ("recovery/reader.py", "matching.events", False),
        ("matching/engine.py", "recovery.record", False),
        ("matching/host.py", "recovery.record", True),
        ("marketdata/translate.py", "matching.events", True),
        ("marketdata/translate.py", "matching.engine", False),
        ("fixgw/gateway.py", "recovery.reader", True),
        ("fixgw/gateway.py", "marketdata.itch", False),
        ("fixgw/up.py", "matching.host", True),
        ("fixgw/cli.py", "tests.bench", False),
    ],
)
def test_the_table_of_imports_is_the_one_that_is_meant(importer: str, name: str, allowed: bool) -> None:
    assert may_import(importer, name) == allowed


def test_files_can_be_read_in_one_go() -> None:
    assert not offenders(python_files(), lambda path: len(path.read_text().splitlines()) > MAX_FILE_LINES)


def test_functions_can_be_read_in_one_go() -> None:
    # In tests a long table or set-up may stand in one piece.
    files = (path for path in python_files() if path.relative_to(ROOT).parts[0] != "tests")
    assert not offenders(files, lambda path: too_long(tree(path)))


def too_long(module: ast.AST) -> list[str]:
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES]


def test_the_engine_knows_no_float() -> None:
    files = (path for path in modules() if declared(path)[0] == "matching")
    assert not offenders(files, lambda path: floats(tree(path)))


def floats(module: ast.AST) -> list[int]:
    """The lines with a float literal, the name float, or a division that makes one."""
    return sorted(
        getattr(node, "lineno", 0)
        for node in ast.walk(module)
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
    )


def test_canceled_has_one_l() -> None:
    files = (path for path in python_files() if TWO_L in path.read_text().lower())  # few: the others are not parsed
    assert not offenders(files, lambda path: two_l(tree(path)))


def two_l(module: ast.AST) -> set[str]:
    """Names that spell it with two, except trio's own."""
    names = set()
    for node in ast.walk(module):
        for field in ("id", "attr", "name", "arg"):
            name = getattr(node, field, None)
            if isinstance(name, str) and TWO_L in name.lower():
                names.add(name)
    return names - TRIO_SPELLS


def test_no_banned_word() -> None:
    assert not offenders(text_files(), banned_lines)


def banned_lines(path: Path) -> dict[int, str]:
    if path.suffix not in TEXT_SUFFIXES or path.name in NOT_OURS:
        return {}
    lines = path.read_text().splitlines()
    return {at: line for at, line in enumerate(lines, 1) if BANNED_WORDS.search(line)}


def test_the_rules_see_what_they_forbid() -> None:
    assert floats(ast.parse("a = 1.5\nb = float(3)\nc = 1 / 2\nd = 7 // 2\nc /= 2")) == [1, 2, 3, 5]
    assert two_l(ast.parse(f"is_{TWO_L} = trio.{TWO_L.capitalize()}")) == {f"is_{TWO_L}"}
    body = "    pass\n" * MAX_FUNCTION_LINES
    assert too_long(ast.parse(f"def long():\n{body}")) == ["long"]
    assert not too_long(ast.parse(f"def fits():\n{body.removesuffix('    pass' + chr(10))}"))
    for word in ("TO" + "DO: later", "see /wo" + "rk/main", "https://py" + "pi.org/simple"):
        assert BANNED_WORDS.search(word)
    assert not BANNED_WORDS.search("the network/work/load of a hackathon")
