"""`fixgw record`: a lost record is made again, and one that is there stays."""

from pathlib import Path

import pytest
import trio

from fixgw.cli import main
from recovery.coordinator import FileCoordinator
from tests.venue import Venue


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return Venue(tmp_path, replicas=3)


def test_a_record_is_made_above_all_that_was_promised(venue: Venue, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "s1", "--epoch", "17", str(venue.file)]) == 0
    assert capsys.readouterr().out == "shard s1: epochs are given out from 18 on; start its replicas\n"
    record, _ = trio.run(FileCoordinator(venue.directory / "var" / "coordinator" / "shard-1.json").read)
    assert (record.epoch, record.owner, record.joined) == (17, 0, (1, 2, 3))
    assert list(record.replicas) == ["1", "2", "3"]


def test_a_record_that_is_there_stays(venue: Venue, capsys: pytest.CaptureFixture[str]) -> None:
    main(["record", "s1", "--epoch", "17", str(venue.file)])
    assert main(["record", "s1", "--epoch", "17", str(venue.file)]) == 1
    assert "has a record with epoch 17 or a later one: it stays" in capsys.readouterr().err
    assert main(["record", "s9", "--epoch", "17", str(venue.file)]) == 1
    assert "no shard is named 's9'" in capsys.readouterr().err
