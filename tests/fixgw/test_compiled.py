"""The hot modules as machine code: they are what is imported, and they do what the source says."""

import subprocess
import sys

import pytest

from fixgw import cli, demo
from fixgw.compiled import MODULES, ROOT, compiled_tree, environment, lay_out

#: They replace what compiled code has taken in: a constant; and the simulation's mutants methods and functions.
REPLACES = ("only_so_many_pegs_are_taken", "mutant", "story_ends", "test_simulation and makes_other_bytes")

#: Of `interop`'s those with a venue of ours.
OF_INTEROP = ("quickfix", "recording")
TESTS = (
    *("tests/matching", "tests/marketdata", "tests/recovery", "tests/simulation", "tests/fixgw"),
    *(f"tests/interop/test_{name}.py" for name in OF_INTEROP),
)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_that_is_to_be_compiled_is_there(module):
    assert (ROOT / module).is_file()


def test_the_demo_finds_beside_the_compiled_packages_what_it_needs(tmp_path):
    lay_out(tmp_path)
    for needed in (cli.DEMO_FILE, demo.EXAMPLES / "broker.py"):
        assert (tmp_path / needed.relative_to(ROOT)).samefile(needed)


@pytest.mark.slow
def test_compiled_modules_pass_the_tests_of_their_packages():
    tree = compiled_tree()
    names = [module.removesuffix(".py").replace("/", ".") for module in MODULES]
    asked = f"import importlib; print(*(importlib.import_module(name).__file__ for name in {names}), sep='\\n')"
    told = subprocess.run(
        [sys.executable, "-c", asked], env=environment(tree), capture_output=True, text=True, check=True
    )
    files = told.stdout.split()
    assert len(files) == len(MODULES)
    assert all(file.startswith(str(tree)) and file.endswith(".so") for file in files), files
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "-m", "not slow", "-p", "no:cacheprovider"]
    command += ["-k", f"not ({' or '.join(REPLACES)})", "-o", f"pythonpath={tree} {ROOT}", *TESTS]
    done = subprocess.run(command, cwd=ROOT, env=environment(tree), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
