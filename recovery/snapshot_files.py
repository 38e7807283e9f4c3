"""The snapshots of one replica on its disk: `<directory>/<tx, 20 digits>.snapshot`, whole or not there at all.

A file is written under another name, synced, and renamed; then the directory is synced. So a crash leaves what was
there before, and perhaps a file of the other name, which the next `save` replaces.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from recovery.snapshot import Snapshot, SnapshotDamaged, decode_snapshot

SUFFIX = ".snapshot"
_UNFINISHED = "unfinished"


def snapshot_path(directory: Path, tx: int) -> Path:
    return directory / f"{tx:020d}{SUFFIX}"


def snapshot_txs(directory: Path) -> list[int]:
    """Of the files there are, the newest last."""
    return sorted(int(path.stem) for path in directory.glob(f"*{SUFFIX}"))


def save(directory: Path, data: bytes, tx: int) -> Path:
    """The encoded snapshot of `tx` is safe when this returns. Raises OSError; then nothing has changed."""
    if not directory.is_dir():
        directory.mkdir(parents=True)
        _sync_directory(directory.parent)
    unfinished = directory / f"{tx:020d}.{_UNFINISHED}"
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path = snapshot_path(directory, tx)
    unfinished.rename(path)
    _sync_directory(directory)
    return path


def newest(directory: Path) -> Path | None:
    """The newest file, not looked into."""
    txs = snapshot_txs(directory)
    return snapshot_path(directory, txs[-1]) if txs else None


def load(path: Path) -> Snapshot:
    """Raises SnapshotDamaged with the file's name; also when it cannot be read: as good as a damaged one."""
    try:
        return decode_snapshot(path.read_bytes())
    except (OSError, SnapshotDamaged) as error:
        raise SnapshotDamaged(f"{path}: {error}") from error


def load_at_most(directory: Path, tx: int) -> Snapshot | None:
    """The newest whole snapshot of at most `tx`; damaged ones are passed over."""
    return next(load_all(directory, tx), None)


def load_all(directory: Path, tx: int | None = None) -> Iterator[Snapshot]:
    """The whole snapshots, newest first, of at most `tx` when that is said; damaged ones are passed over."""
    for each in reversed(snapshot_txs(directory)):
        if tx is None or each <= tx:
            try:
                yield load(snapshot_path(directory, each))
            except SnapshotDamaged:
                continue


def load_for_start(directory: Path) -> Iterator[Snapshot]:
    """The whole snapshots, the older of the newest two first; damaged ones are passed over."""
    newest_first = snapshot_txs(directory)[::-1]
    for tx in (*newest_first[1:2], *newest_first[:1], *newest_first[2:]):
        with suppress(SnapshotDamaged):
            yield load(snapshot_path(directory, tx))


def prune(directory: Path, keep: int = 2) -> None:
    """Delete all but the newest, and what crashes have left."""
    assert keep >= 1
    _delete(directory, [snapshot_path(directory, tx) for tx in snapshot_txs(directory)[:-keep]])


def drop_above(directory: Path, tx: int) -> None:
    """Delete those of what has turned out not to be history (mode "async")."""
    _delete(directory, [snapshot_path(directory, each) for each in snapshot_txs(directory) if each > tx])


def drop(directory: Path, tx: int) -> None:
    """Delete one that is not what it should be."""
    _delete(directory, [snapshot_path(directory, tx)])


def _delete(directory: Path, paths: list[Path]) -> None:
    if not directory.is_dir():
        return
    for path in [*paths, *directory.glob(f"*.{_UNFINISHED}")]:
        path.unlink(missing_ok=True)
    _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
