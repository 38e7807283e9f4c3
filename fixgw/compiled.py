"""The hot modules as machine code: the same source through mypyc, in a tree of its own.

    ./run compile                       make it, or bring it up to date
    FIXGW_COMPILED=1 ./run fixgw …      run with it

`.compiled/` holds all packages: a compiled module stands beside its source there and is found first, everything else is
a copy. So the checkout itself stays as it is, and a stale extension cannot be imported by accident: the tree knows of
which sources and which Python it is made, and is made anew when these change. Needs mypy and a C compiler.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
TREE: Final = ROOT / ".compiled"
PACKAGES: Final = ("fixgw", "matching", "marketdata", "recovery")
BESIDE: Final = ("conf", "examples")
"""What the packages look for beside themselves: the demo needs both."""

#: What a shard and a gateway spend their time in. Not among them: definitions of messages and of what is remembered,
#: which are machine code already (msgspec), `wire`, whose functions are made at import, what waits (`async`), whose
#: time is trio's, and everything that is asked seldom.
MODULES: Final = (
    "fixgw/awake.py",
    "fixgw/codec.py",
    "fixgw/dictionary.py",
    "fixgw/entries.py",
    "fixgw/fields.py",
    "fixgw/header.py",
    "fixgw/logon.py",
    "fixgw/outbound.py",
    "fixgw/reports.py",
    "fixgw/router.py",
    "fixgw/sent.py",
    "fixgw/session.py",
    "fixgw/shard_state.py",
    "fixgw/throttle.py",
    "fixgw/timestamps.py",
    "fixgw/trade_numbers.py",
    "fixgw/translate.py",
    "matching/admission.py",
    "matching/amend.py",
    "matching/auction.py",
    "matching/book.py",
    "matching/cl_ord_ids.py",
    "matching/conditions.py",
    "matching/constructors.py",
    "matching/engine.py",
    "matching/entry.py",
    "matching/incoming.py",
    "matching/instruments.py",
    "matching/order.py",
    "matching/pegs.py",
    "matching/protection.py",
    "matching/selfmatch.py",
    "matching/shard.py",
    "matching/state.py",
    "matching/stops.py",
    "matching/trade.py",
    "matching/uncross.py",
    "matching/walk.py",
    "recovery/checksum.py",
    "recovery/clock.py",
    "recovery/command_log.py",
    "recovery/control.py",
    "recovery/election.py",
    "recovery/execution.py",
    "recovery/follower.py",
    "recovery/frames.py",
    "recovery/gaps.py",
    "recovery/heard.py",
    "recovery/history.py",
    "recovery/intake.py",
    "recovery/link.py",
    "recovery/member.py",
    "recovery/outbox.py",
    "recovery/packet.py",
    "recovery/past.py",
    "recovery/primary.py",
    "recovery/quorum.py",
    "recovery/reader.py",
    "recovery/record.py",
    "recovery/replica.py",
    "recovery/segment.py",
    "recovery/settings.py",
    "recovery/sources.py",
    "recovery/stable.py",
    "recovery/store.py",
)


class CompileError(Exception):
    """The tree cannot be made; the text says why."""


def compiled_tree() -> Path:
    """The tree, made or brought up to date where needed. Raises CompileError."""
    wanted = _hash()
    if (TREE / "stamp").exists() and (TREE / "stamp").read_text() == wanted:
        return TREE
    if shutil.which("cc") is None:
        raise CompileError("there is no C compiler; install one, such as: apt-get install gcc libc6-dev")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-dev"
        raise CompileError(f"Python.h is missing; Debian has it in a package of its own: apt-get install {package}")
    print("fixgw: compiling the hot modules; it takes some minutes", file=sys.stderr, flush=True)
    shutil.rmtree(TREE, ignore_errors=True)
    lay_out(TREE)
    # Beside none of our own project file, whose settings are not for this build.
    # And with mypyc's settings for the C compiler. A seventh of an engine's time is in what is compiled here, the rest
    # in Python's own code and msgspec's: hidden symbols, -O2, the machine's own instructions and a profile of the very
    # flows that were measured gave some 2 % or nothing, less than runs differ; a profile takes three times as long.
    command = [sys.executable, "-m", "mypyc", "--ignore-missing-imports", *MODULES]
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"mypyc failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    shutil.rmtree(TREE / "build", ignore_errors=True)
    (TREE / "stamp").write_text(wanted)
    return TREE


def lay_out(tree: Path) -> None:
    """The packages as they are, and links to what they look for beside themselves."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in BESIDE:
        (tree / name).symlink_to(ROOT / name)


def environment(tree: Path) -> dict[str, str]:
    """For a process that is to import its packages from this tree; tests and examples come from the checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)]), "PYTHONSAFEPATH": "1"}


def _hash() -> str:
    """Of the sources and the Python."""
    whole = hashlib.sha256(repr((sys.version, MODULES, BESIDE)).encode())
    for path in _sources():
        content = path.read_bytes()
        whole.update(b"%s:%d:%s" % (str(path.relative_to(ROOT)).encode(), len(content), content))
    return whole.hexdigest()


def _sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted(path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix != ".pyc")


def main() -> None:
    try:
        print(compiled_tree())
    except CompileError as error:
        sys.exit(f"fixgw: {error}")


if __name__ == "__main__":
    main()
