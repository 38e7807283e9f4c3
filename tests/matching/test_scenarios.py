"""Golden scenarios: the market model in text, one rule a file. README.md's are played too, so what it says is so; and
the reference plays all of them and must say the same.

`REWRITE=1 ./run test tests/matching/test_scenarios.py` writes down what the engine says now. Commit such a change only
if you can say which line of code caused it.
"""

import os
import re
from pathlib import Path

import pytest

import matching
from matching.codes import RefusalReason
from matching.commands import Command, Continue
from matching.events import CommandRefused, Event
from tests.matching import reference
from tests.matching.reference import Market
from tests.matching.scenario import run

FOLDER = Path(__file__).parent.parent / "scenarios" / "matching"
README = Path(matching.__file__).parent / "README.md"
BLOCK = re.compile(r"(?<=^```scenario\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
REWRITE = os.environ.get("REWRITE") == "1"

FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario(path: Path) -> None:
    text = path.read_text()
    played = run(text)
    if REWRITE:
        path.write_text(played)
    else:
        assert played == text


def test_the_market_model_in_the_readme_is_what_the_engine_does() -> None:
    text = README.read_text()
    played = BLOCK.sub(lambda block: run(block.group()), text)
    assert len(BLOCK.findall(text)) >= 30
    if REWRITE:
        README.write_text(played)
    else:
        assert played == text


class Referee:
    """Plays along with the reference. That has no bounds: what the engine continues, it has said at once."""

    def __init__(self) -> None:
        self.market = Market()
        self.said: list[Event] = []
        self.expected: list[Event] = []

    def tap(self, command: Command, timestamp: int, session_id: int, events: list[Event]) -> None:
        match events:
            case [CommandRefused(_, RefusalReason.OTHER_WORK_PENDING)]:
                return
            case [CommandRefused(_, RefusalReason.NOTHING_TO_CONTINUE)]:
                assert self.said == self.expected
                return
        self.said += events
        if not isinstance(command, Continue):
            self.expected += reference.apply(self.market, command, timestamp, session_id)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_reference_says_the_same(path: Path) -> None:
    referee = Referee()
    run(path.read_text(), referee.tap)
    assert referee.said == referee.expected


def test_the_reference_says_the_same_in_the_readme() -> None:
    for block in BLOCK.findall(README.read_text()):
        referee = Referee()
        run(block, referee.tap)
        assert referee.said == referee.expected


def test_there_is_something_to_play() -> None:
    assert len(FILES) >= 150
