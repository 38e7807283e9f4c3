"""A replica's files are moved aside, whole, and only when nobody needs or uses them."""

from pathlib import Path

import pytest

from fixgw.config import Config, load
from fixgw.rebuild import CannotRebuild, move_aside, rebuild
from recovery.journal import open_journal
from tests.venue import Venue

Output = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(Venue(tmp_path / "venue", replicas=3).file)


def test_all_files_are_moved_and_none_is_lost(config: Config) -> None:
    directory = config.directory("shard", "s1.2")
    for _ in range(3):
        (directory / "snapshots").mkdir(parents=True)
        (directory / "snapshots" / "7.snapshot").write_text("x")
        aside = move_aside(config, "s1.2")
        assert aside is not None
        assert aside.parent == directory.parent
        assert (aside / "snapshots" / "7.snapshot").read_text() == "x"
        assert not directory.exists()
    assert len(list(directory.parent.glob("shard-s1.2.aside-*"))) == 3


def test_it_is_said_what_comes_next(config: Config, capsys: Output) -> None:
    config.directory("shard", "s1.2").mkdir(parents=True)
    assert rebuild(config, "s1.2") == 0
    output = capsys.readouterr().out
    assert "shard-s1.2.aside-" in output
    assert "start it" in output
    assert rebuild(config, "s1.2") == 0
    assert "shard s1.2 has no files here\n" in capsys.readouterr().out


def test_a_replica_that_runs_is_left_alone(config: Config, capsys: Output) -> None:
    directory = config.directory("shard", "s1.2")
    with open_journal(directory, sync="write"):
        assert rebuild(config, "s1.2") == 1
    assert "shard s1.2 runs here: stop it first" in capsys.readouterr().err
    assert directory.is_dir()


def test_a_shard_alone_has_the_only_copy(tmp_path: Path) -> None:
    config = load(Venue(tmp_path / "venue").file)
    config.directory("shard", "s1").mkdir(parents=True)
    with pytest.raises(CannotRebuild, match="shard s1 has one replica: there is nobody to fetch its trades from"):
        move_aside(config, "s1")
    assert config.directory("shard", "s1").is_dir()


def test_a_name_that_is_not_there(config: Config, capsys: Output) -> None:
    assert rebuild(config, "s1") == 1
    assert "no shard process is named 's1'; there are: s1.1, s1.2, s1.3" in capsys.readouterr().err
