"""The secret by which the processes of an exchange know each other: a file that only its owner may read."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

LINK_KEY_BYTES: Final = 32


def link_key(path: Path) -> bytes:
    """The secret between gateways and shards, made when there is none. Raises OSError, also for a bad file."""
    if not path.exists():
        _make_link_key(path)
    try:
        key = bytes.fromhex(path.read_text())
    except ValueError:
        key = b""
    if len(key) != LINK_KEY_BYTES:
        raise OSError(f"{path}: the link key is not {2 * LINK_KEY_BYTES} hexadecimal digits")
    if path.stat().st_mode & 0o077:
        raise OSError(f"{path}: others may read the link key: chmod 600 it")
    return key


def _make_link_key(path: Path) -> None:
    """All processes of an exchange may start at once: the first key that has its name is everybody's, and is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # readable by its owner alone
    try:
        with open(descriptor, "w") as file:
            file.write(secrets.token_hex(LINK_KEY_BYTES) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        os.unlink(made)
