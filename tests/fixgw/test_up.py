"""The secret that the processes of an exchange share."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from fixgw.up import LINK_KEY_BYTES, link_key


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "var" / "link.key"
    key = link_key(path)
    assert len(key) == LINK_KEY_BYTES
    assert link_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["link.key"]


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    starters = 8
    for turn in range(20):
        barrier = Barrier(starters)

        def start(_: int, path: Path = tmp_path / f"{turn}.key", barrier: Barrier = barrier) -> bytes:
            barrier.wait()
            return link_key(path)

        with ThreadPoolExecutor(starters) as pool:
            assert len(set(pool.map(start, range(starters)))) == 1


def test_a_key_that_is_none_or_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "link.key"
    path.write_text("secret")
    with pytest.raises(OSError, match="is not 64 hexadecimal digits"):
        link_key(path)
    path.write_text("00" * LINK_KEY_BYTES)
    path.chmod(0o644)
    with pytest.raises(OSError, match="chmod 600"):
        link_key(path)
