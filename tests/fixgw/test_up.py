"""The secret that the processes of an exchange share, and an exchange in one process."""

import errno
import gc
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import trio

from fixgw.config import load
from fixgw.link_key import LINK_KEY_BYTES, link_key
from fixgw.up import HANDBOOK, IN_HANDBOOK, Exchange, run, run_exchange, told
from recovery.journal_reader import JournalCorrupted
from tests.venue import ROOT, Venue


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


async def test_an_exchange_with_replicas_lives_in_one_process_and_has_a_leader_for_each_shard(tmp_path: Path) -> None:
    config = load(Venue(tmp_path / "venue", replicas=3).file)
    async with trio.open_nursery() as nursery:
        exchange: Exchange = await nursery.start(run_exchange, config)
        with trio.fail_after(20):
            for name in ("s1", "s2"):
                while (furthest := exchange.shard(name)).node.replica.primary is None:
                    await furthest.node.wait_role_change()
            await exchange.wait_quiet()
        for name in ("s1", "s2"):
            assert exchange.shard(name).engine.last_day, "its operator has opened the day"
            assert len(exchange.replicas[name]) == 3
        assert exchange.books()["ALPHA"] == {"bids": [], "asks": []}
        assert exchange.trades() == 0
        nursery.cancel_scope.cancel()


def test_a_full_disk_ends_a_retransmitter_with_exit_code_1_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def truncate(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    config = load(Venue(tmp_path / "venue").file)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(os, "ftruncate", truncate)
    assert run(config, "retransmitter", config.retransmitters[0].name) == 1
    error = capsys.readouterr().err
    assert "fixgw: JournalFailed: " in error, "the name that the operator's handbook knows it by"
    assert "next segment: [Errno 28] No space left on device" in error


def test_who_cannot_go_on_says_where_it_is_written_what_to_do() -> None:
    text = told(JournalCorrupted(Path("var/s1.2/1.journal"), 4711, "record 9 is damaged"))
    assert text.startswith("JournalCorrupted: var/s1.2/1.journal at byte 4711: record 9 is damaged (")
    handbook = (ROOT / HANDBOOK).read_text()
    assert HANDBOOK in text
    assert all(f"`{each.__name__}`" in handbook for each in IN_HANDBOOK)
