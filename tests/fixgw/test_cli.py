"""The command line: what each sub-command prints, what it returns, and what it does not load."""

import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import argon2
import pytest

from fixgw import __version__, cli
from fixgw.config import Config
from fixgw.restarts import WRONG_CONFIGURATION

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "conf" / "exchange.yaml")

Output = pytest.CaptureFixture[str]


def test_check_of_a_right_file(capsys: Output) -> None:
    assert cli.main(["check", EXAMPLE]) == 0
    output = capsys.readouterr().out
    assert output.endswith("exchange.yaml: ok: 2 shards, 4 instruments, 1 gateway, 4 sessions\n")
    assert ": warning: sessions[0].password_hash: has no password yet" in output


def test_check_of_a_wrong_file(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("venu: 1\n")
    assert cli.main(["check", str(file)]) == 1
    output = capsys.readouterr().out
    assert f"{file}:1:1: venu: is not a key here; did you mean venue?\n" in output
    assert output.endswith("errors\n")


def test_check_loads_neither_trio_nor_an_exchange() -> None:
    code = (
        "import sys; from fixgw import cli; cli.main(['check', sys.argv[1]]);"
        "sys.exit(not {'trio', 'fixgw.up', 'fixgw.demo'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code, EXAMPLE], cwd=ROOT, check=False).returncode == 0


def hash_password(monkeypatch: pytest.MonkeyPatch, text: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return cli.main(["hash-password"])


def test_hash_password_from_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    assert hash_password(monkeypatch, "correct horse\n") == 0
    made = capsys.readouterr().out.strip()
    assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert argon2.PasswordHasher().verify(made, "correct horse")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "is empty"), ("\n", "is empty"), ("x" * 129, "longer than 128 bytes"), ("a\x01b", "printable ASCII")],
)
def test_a_password_that_cannot_be(monkeypatch: pytest.MonkeyPatch, capsys: Output, text: str, complaint: str) -> None:
    assert hash_password(monkeypatch, text) == 1
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(("second", "code"), [("secret", 0), ("other", 1)])
def test_a_password_from_a_terminal_is_asked_twice(monkeypatch: pytest.MonkeyPatch, second: str, code: int) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    answers = iter(["secret", second])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(answers))
    assert cli.main(["hash-password"]) == code


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Stand-ins for the modules that run things; what they were called with."""
    made: list[tuple[object, ...]] = []

    def note(name: str, result: int) -> object:
        def function(config: Config, *arguments: object, **options: object) -> int:
            made.append((name, config.venue.comp_id, *arguments, options))
            return result

        return function

    up, demo = ModuleType("fixgw.up"), ModuleType("fixgw.demo")
    supervisor, rebuild = ModuleType("fixgw.supervisor"), ModuleType("fixgw.rebuild")
    vars(up).update(up=note("up", 0), run=note("run", 7))
    vars(demo).update(demo=note("demo", 0))
    vars(supervisor).update(supervise=note("supervise", 1))
    vars(rebuild).update(rebuild=note("rebuild", 0))
    for module in (up, demo, supervisor, rebuild):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


def test_up(calls: list[tuple[object, ...]]) -> None:
    assert cli.main(["up", EXAMPLE]) == 0
    assert calls == [("up", "FIXGW", {})]


def test_up_in_processes(calls: list[tuple[object, ...]]) -> None:
    assert cli.main(["up", "--processes", EXAMPLE]) == 1
    assert calls == [("supervise", "FIXGW", Path(EXAMPLE), {})], "they read the file themselves"


def test_rebuild(calls: list[tuple[object, ...]]) -> None:
    assert cli.main(["rebuild", "s1.2", EXAMPLE]) == 0
    assert calls == [("rebuild", "FIXGW", "s1.2", {})]


def test_run_hands_on_the_role_and_its_exit_code(calls: list[tuple[object, ...]]) -> None:
    assert cli.main(["run", "publisher", "--name", "feed-a", EXAMPLE]) == 7
    assert cli.main(["run", "shard", "--supervised", "--name", "s1", EXAMPLE]) == 7
    assert calls == [
        ("run", "FIXGW", "publisher", "feed-a", {"supervised": False}),
        ("run", "FIXGW", "shard", "s1", {"supervised": True}),
    ]


def test_run_of_a_name_that_is_not_there(calls: list[tuple[object, ...]], capsys: Output) -> None:
    assert cli.main(["run", "shard", "--name", "s9", EXAMPLE]) == WRONG_CONFIGURATION
    assert capsys.readouterr().err == "fixgw: no shard process is named 's9'; there are: s1, s2\n"
    assert calls == []


def test_demo_takes_the_example_when_nothing_is_said(calls: list[tuple[object, ...]], tmp_path: Path) -> None:
    assert cli.main(["demo"]) == 0
    assert cli.main(["demo", "--seconds", "2.5", "--json", "s.json", "--record", "r", EXAMPLE]) == 0
    assert calls == [
        ("demo", "FIXGW", {"seconds": None, "json_file": None, "record": None}),
        ("demo", "FIXGW", {"seconds": 2.5, "json_file": Path("s.json"), "record": Path("r")}),
    ]


@pytest.mark.parametrize(
    "arguments", [["up"], ["up", "--processes"], ["run", "shard", "--name", "s1"], ["rebuild", "s1.2"], ["demo"]]
)
def test_a_wrong_configuration_starts_nothing(
    calls: list[tuple[object, ...]], tmp_path: Path, capsys: Output, arguments: list[str]
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("shards: 1\n")
    assert cli.main([*arguments, str(file)]) == WRONG_CONFIGURATION
    assert "x.yaml:1:9: shards: must be a list, not 1" in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["run", "engine", "--name", "s1", "f"], ["demo", "--seconds", "-1"]]
)
def test_arguments_that_make_no_sense(arguments: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: fixgw" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("operate x.yaml bust T5", "argument MATCH: 'T5' is not a whole number above 0"),
        ("operate x.yaml reference-price ALFA 0", "'0' is not a number above 0 with at most 4 decimals"),
        ("operate x.yaml reference-price ALFA NaN", "'NaN' is not a number above 0 with at most 4 decimals"),
        ("operate x.yaml breaker-levels 3 2 -", "LEVEL: '-' is not a number above 0 with at most 8 decimals"),
        ("operate x.yaml halt ALFA --timeout soon", "'soon' is not a number of seconds above 0, a day's at most"),
        ("query x.yaml book ALFA --levels 0", "argument --levels: '0' is not a whole number from 1 to 500\n"),
        ("query x.yaml book ALFA --levels 501", "argument --levels: '501' is not a whole number from 1 to 500\n"),
        ("check x.yaml --day 2026-13-24", "'2026-13-24' is no day: write it as 2025-11-21"),
    ],
)
def test_it_is_said_what_an_argument_must_be(words: str, complaint: str, capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words.split())
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_ctrl_c_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_up", interrupted)
    assert cli.main(["up", EXAMPLE]) == 130


def test_python_m_fixgw_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fixgw", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"fixgw {__version__}\n"
