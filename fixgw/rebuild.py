"""`fixgw rebuild`: a replica whose files are lost or damaged begins anew, from what the others hold.

Its directory is moved aside, under the lock that a running replica holds; nothing is deleted. When it starts it finds
no journal where the coordinator says that there was one, so it does not vote until it has fetched everything again
(`recovery.replica`). That is why a replica may be rebuilt while the shard trades, and why one at a time: what the
others have forgotten too is gone.
"""

import os
import sys
import time
from pathlib import Path

from fixgw.config import Config
from recovery.journal import JournalLocked, open_journal


class CannotRebuild(Exception):
    """Why not, and what to do."""


def move_aside(config: Config, name: str) -> Path | None:
    """Where the files of this replica are now; None when it had none. Raises LookupError, CannotRebuild, OSError."""
    shard, _ = config.replica(name)
    if len(shard.members) == 1:
        raise CannotRebuild(f"shard {shard.name} has one replica: there is nobody to fetch its trades from")
    directory = config.directory("shard", name)
    if not directory.is_dir():
        return None
    try:
        with open_journal(directory, sync="write"):
            aside = _free_name(directory)
            directory.rename(aside)
    except JournalLocked:
        raise CannotRebuild(f"shard {name} runs here: stop it first, for its files are in use") from None
    _sync(directory.parent)
    return aside


def _free_name(directory: Path) -> Path:
    made = directory.with_name(f"{directory.name}.aside-{time.strftime('%Y%m%d-%H%M%S')}")
    number = 1
    while made.exists():
        number += 1
        made = made.with_name(f"{made.name.partition('~')[0]}~{number}")
    return made


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rebuild(config: Config, name: str) -> int:
    """Move a replica's files aside and say what comes next. Returns the exit code."""
    try:
        aside = move_aside(config, name)
    except (LookupError, CannotRebuild, OSError) as error:
        print(f"fixgw: {error}", file=sys.stderr)
        return 1
    print(f"shard {name}: its files are in {aside} now" if aside else f"shard {name} has no files here")
    print("start it: it fetches everything from the others; delete the old files once it says that it is a backup")
    return 0
