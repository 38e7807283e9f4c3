"""The hot modules as machine code: they are what is imported, and they do what the source says."""

import subprocess
import sys

import pytest

from fixgw.compiled import MODULES, ROOT, compiled_tree, environment

#: They replace a constant, which compiled code has taken in.
REPLACES = "only_so_many_pegs_are_taken"


@pytest.mark.parametrize("module", MODULES)
def test_every_module_that_is_to_be_compiled_is_there(module):
    assert (ROOT / module).is_file()


@pytest.mark.slow
def test_the_compiled_engine_passes_the_tests_of_the_engine():
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
    command += ["-k", f"not {REPLACES}", "-o", f"pythonpath={tree} {ROOT}", "tests/matching", "tests/marketdata"]
    done = subprocess.run(command, cwd=ROOT, env=environment(tree), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
