"""The launcher: when it sets up, when it does not, what survives an interruption, and what it asks Debian for."""

import importlib.machinery
import importlib.util
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("launcher", str(ROOT / "run"))
    spec = importlib.util.spec_from_loader("launcher", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    write_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = write_bytecode
    return module


class Steps:
    """What the launcher did; the environment it fills is one symbolic link and one file."""

    def __init__(self, run: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run = run
        self.root = root
        self.done: list[str] = []
        self.failing: set[str] = set()
        (root / "requirements.txt").write_text("trio==0.35.0\n")
        (root / "pyproject.toml").write_text("[project]\n")
        monkeypatch.setattr(run, "succeeds", self.succeeds)
        monkeypatch.setattr(run.shutil, "which", {}.get)
        monkeypatch.setattr(run, "DISTRIBUTIONS", str(root / "no-python{version}"))
        monkeypatch.setattr(run.Environment, "_add_project", lambda _environment: None)

    def environment(self) -> Any:
        return self.run.Environment(self.root)

    def succeeds(self, command: list[str | Path], *_arguments: object, **_options: object) -> bool:
        words = [str(word) for word in command]
        step = next(
            (name for name in ("venv", "install", "--version", "-c") if name in words),
            words[0],
        )
        if step == "venv":
            (self.root / ".venv" / "bin").mkdir(exist_ok=True)
            (self.root / ".venv" / "pyvenv.cfg").write_text("version = 3.11.7\n")
            (self.root / ".venv" / "bin" / "python").symlink_to(sys.executable)
        if step in ("venv", "install"):
            self.done.append(Path(words[0]).name.replace(Path(sys.executable).name, "python") + " " + step)
        return step not in self.failing


@pytest.fixture
def steps(run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(run, tmp_path, monkeypatch)


WHOLE = ["python venv", "python install"]


def test_the_second_start_does_nothing(steps: Steps) -> None:
    steps.environment().ensure()
    assert steps.done == WHOLE
    steps.environment().ensure()
    assert steps.done == WHOLE
    assert steps.environment().is_ready()


@pytest.mark.parametrize("file", ["requirements.txt", "pyproject.toml", ".venv/pyvenv.cfg"])
def test_what_changed_is_installed_over(steps: Steps, file: str) -> None:
    steps.environment().ensure()
    (steps.root / file).write_text("other\n")
    assert not steps.environment().is_ready()
    steps.environment().ensure()
    assert steps.done == [*WHOLE, "python install"]


def test_an_interrupted_set_up_is_begun_anew(steps: Steps) -> None:
    steps.failing = {"install"}
    with pytest.raises(steps.run.SetUpError, match="pip could not install"):
        steps.environment().ensure()
    leftover = steps.root / ".venv" / "half-installed"
    leftover.touch()
    steps.failing = set()
    steps.environment().ensure()
    assert steps.done == WHOLE * 2
    assert not leftover.exists()


def test_an_environment_made_by_hand_is_filled_up(steps: Steps) -> None:
    environment = steps.environment()
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    environment.ensure()
    assert steps.done == ["python install"]
    assert environment.is_ready()


def test_one_made_by_hand_that_is_of_no_use_is_replaced(steps: Steps) -> None:
    environment = steps.environment()
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to("/nowhere/python")
    environment.ensure()
    assert steps.done == WHOLE


def test_a_checkout_that_was_moved_gets_a_new_one(steps: Steps, tmp_path: Path) -> None:
    steps.environment().ensure()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("requirements.txt", "pyproject.toml", ".venv"):
        shutil.move(steps.root / name, moved / name)
    steps.root = moved
    steps.environment().ensure()
    assert steps.done == WHOLE * 2


def test_a_python_that_went_away_gets_a_new_one(steps: Steps) -> None:
    steps.environment().ensure()
    steps.environment().python.unlink()
    steps.environment().ensure()
    assert steps.done == WHOLE * 2


def test_uv_is_taken_where_it_is(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.run.shutil, "which", {"uv": "/usr/bin/uv"}.get)
    steps.environment().ensure()
    assert steps.done == ["uv venv", "uv install"]


def test_where_uv_fails_pip_is_tried(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.run.shutil, "which", {"uv": "/usr/bin/uv"}.get)
    plain = steps.succeeds

    def succeeds(command: list[str | Path], *arguments: object, **options: object) -> bool:
        return plain(command, *arguments, **options) and command[0] != "/usr/bin/uv"

    monkeypatch.setattr(steps.run, "succeeds", succeeds)
    steps.environment().ensure()
    assert steps.done == ["uv venv", *WHOLE]


def test_starts_at_the_same_time_set_up_once(steps: Steps) -> None:
    starts = [threading.Thread(target=steps.environment().ensure) for _ in range(4)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert steps.done == WHOLE


@pytest.mark.parametrize(
    ("of_the_other", "usable", "taken"),
    [(0.7, True, True), (0.95, True, False), (float("inf"), True, False), (0.7, False, False)],
)
def test_the_quicker_build_of_the_same_python_is_taken(
    steps: Steps, monkeypatch: pytest.MonkeyPatch, of_the_other: float, usable: bool, taken: bool
) -> None:
    other = steps.root / f"optimised{sys.version_info[0]}.{sys.version_info[1]}"
    shutil.copy(sys.executable, other)
    monkeypatch.setattr(steps.run, "DISTRIBUTIONS", str(steps.root / "optimised{version}"))
    monkeypatch.setattr(steps.run, "seconds", {str(other): of_the_other, sys.executable: 1.0}.__getitem__)
    if not usable:
        steps.failing.add("-c")  # it has no ensurepip
    assert steps.run.quickest_python(sys.executable) == (str(other) if taken else sys.executable)
    steps.environment().ensure()
    assert steps.done == [f"{other.name} venv" if taken else "python venv", "python install"]


@pytest.mark.parametrize(("of_the_other", "is_told"), [(0.7, True), (0.95, False)])
def test_of_an_environment_with_a_slower_python_it_is_said_at_each_start_and_measured_once(
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    of_the_other: float,
    is_told: bool,
) -> None:
    """It was made before the distribution's was there, or by hand."""
    environment = steps.environment()
    environment.ensure()
    capsys.readouterr()
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    other = steps.root / name
    shutil.copy(sys.executable, other)
    monkeypatch.setattr(steps.run, "DISTRIBUTIONS", str(steps.root / "python{version}"))
    measured = []

    def seconds(python: str) -> float:
        measured.append(python)
        return of_the_other if python == str(other) else 1.0

    monkeypatch.setattr(steps.run, "seconds", seconds)
    environment.ensure()
    assert capsys.readouterr().err == "", "it has a Python of another version"
    (environment.directory / "lib" / name).mkdir(parents=True)
    for _ in range(2):
        environment.ensure()
        told = capsys.readouterr().err.splitlines()
        assert [line.split(" is quicker")[0] for line in told] == ([f"run: {other}"] if is_told else [])
    assert measured.count(str(other)) == steps.run.SPEED_TRIES
    assert environment.is_ready()
    assert steps.done == WHOLE


def test_how_quick_a_python_is_is_measured(run: ModuleType, tmp_path: Path) -> None:
    assert 0 < run.seconds(sys.executable) < float("inf")
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert run.seconds(str(broken)) == float("inf")


def test_without_ensurepip_a_user_is_told_the_one_command(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.run.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(steps.run.SetUpError, match=r"sudo apt-get install -y python3\.\d+-venv$"):
        steps.environment().ensure()
    assert not (steps.root / ".venv").exists()


@pytest.mark.parametrize(
    ("user", "failures", "calls", "installed"),
    [
        (0, [], ["install"], True),
        (0, ["install"], ["install", "update", "install"], True),
        (0, ["install", "update"], ["install", "update"], False),
        (1000, [], [], False),
    ],
)
def test_only_root_installs_packages(
    run: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    failures: list[str],
    calls: list[str],
    installed: bool,
) -> None:
    made: list[str] = []

    def succeeds(command: list[str], environment: dict[str, str], *, quiet: bool = False) -> bool:
        assert environment["DEBIAN_FRONTEND"] == "noninteractive"
        made.append(command[1])
        if command[1] in failures:
            failures.remove(command[1])
            return False
        return True

    monkeypatch.setattr(run.os, "geteuid", lambda: user)
    monkeypatch.setattr(run.shutil, "which", {"apt-get": "/usr/bin/apt-get"}.get)
    monkeypatch.setattr(run, "succeeds", succeeds)
    assert run.apt_install(["tshark"]) is installed
    assert made == calls


@pytest.mark.parametrize("installs", [True, False])
def test_test_brings_what_is_missing_in_one_go(
    run: ModuleType,
    commands: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    installs: bool,
) -> None:
    asked: list[list[str]] = []

    def apt_install(packages: list[str]) -> bool:
        asked.append(packages)
        return installs

    there = tmp_path / "there.jar"
    there.touch()
    judges = {"tshark": "tshark", str(there): "there", str(tmp_path / "zookeeper.jar"): "zookeeper", "ip": "iproute2"}
    monkeypatch.setattr(run, "JUDGES", judges)
    monkeypatch.setattr(run.shutil, "which", {"ip": "/usr/bin/ip"}.get)
    monkeypatch.setattr(run, "apt_install", apt_install)
    run.main(["test", "tests/matching"])
    assert asked == [["tshark", "zookeeper"]]
    told = "apt-get install -y --no-install-recommends tshark zookeeper" in capsys.readouterr().err
    assert told is not installs


def test_alone_it_tells_what_there_is(run: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([]) == 0
    output = capsys.readouterr().out
    for command in ("demo", "test", "bench", "fixgw"):
        assert f"./run {command}" in output
    assert run.main(["fly"]) == 2


def test_the_launcher_is_a_program(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / "run"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("./run COMMAND")


class Ran(Exception):
    """Stands for the process that a command became."""


def test_commands_become_modules_of_the_checkout(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def execv(program: Path, arguments: list[str]) -> None:
        raise Ran([program == run.ROOT / ".venv" / "bin" / "python", *arguments[1:], run.os.environ["PYTHONPATH"]])

    monkeypatch.setenv("PYTHONPATH", "other")
    monkeypatch.setattr(run.Environment, "ensure", lambda _environment: None)
    monkeypatch.setattr(run.os, "execv", execv)
    for arguments, module in [
        (["demo", "--seconds", "3"], ["fixgw", "demo", "--seconds", "3"]),
        (["bench", "engine"], ["tests.bench", "engine"]),
        (["fixgw", "check", "f"], ["fixgw", "check", "f"]),
    ]:
        with pytest.raises(Ran) as caught:
            run.main(arguments)
        assert caught.value.args[0][:-1] == [True, "-m", *module]
        assert caught.value.args[0][-1].startswith(f"{ROOT}:")
        monkeypatch.setenv("PYTHONPATH", "other")


@pytest.fixture
def commands(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What `./run test` runs; whatever names mypy fails."""
    made: list[list[str]] = []

    def record(command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        made.append(command[2:])
        return subprocess.CompletedProcess(command, int("mypy" in command))

    monkeypatch.setattr(run.Environment, "ensure", lambda _environment: None)
    monkeypatch.setattr(run.subprocess, "run", record)
    monkeypatch.setattr(run.os, "chdir", lambda _directory: None)
    monkeypatch.setattr(run, "JUDGES", {})
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "")
    return made


def test_test_runs_every_step_even_after_a_failure(
    run: ModuleType, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["test"]) == 1
    assert [command[0] for command in commands[:4]] == ["ruff", "ruff", "mypy", "pytest"]
    assert all(command[:3] == ["pytest", "-m", "not slow"] for command in commands[3:])
    assert capsys.readouterr().err.endswith("run: FAILED: mypy\n")


def test_what_tests_import_is_compiled_once_and_not_beside_the_sources(
    run: ModuleType, commands: list[list[str]]
) -> None:
    run.main(["test", "tests/matching"])
    code = "import sys; print(sys.dont_write_bytecode, sys.pycache_prefix)"
    told = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).communicate()[0]
    assert told.split() == ["False", str(ROOT / ".venv" / "bytecode")]


def test_test_full_leaves_nothing_out(run: ModuleType, commands: list[list[str]]) -> None:
    run.main(["test", "--full"])
    assert all("not slow" not in command for command in commands)
    assert "--hypothesis-profile=full" in commands[3]


def test_test_with_arguments_is_pytest_alone(run: ModuleType, commands: list[list[str]]) -> None:
    assert run.main(["test", "tests/matching", "-k", "cancel"]) == 0
    assert commands == [["pytest", "-m", "not slow", "tests/matching", "-k", "cancel"]]


@pytest.mark.slow
def test_a_fresh_checkout_sets_itself_up(tmp_path: Path) -> None:
    """The whole way, from the package index to the command; twice, the second time without installing."""
    for name in ("run", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "fixgw", tmp_path / "fixgw")
    first, second = (
        subprocess.run([tmp_path / "run", "fixgw", "--version"], capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert first.stdout == second.stdout
    assert "setting up" in first.stderr
    assert second.stderr == ""
