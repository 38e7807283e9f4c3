"""Golden scenarios: the market model in text. README.md's are played too, so what it says is so.

`REWRITE=1 ./run test tests/matching/test_scenarios.py` writes down what the engine says now. Commit such a change only
if you can say which line of code caused it.
"""

import os
import re
from pathlib import Path

import pytest

import matching
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
    assert len(BLOCK.findall(text)) >= 12
    if REWRITE:
        README.write_text(played)
    else:
        assert played == text


def test_there_is_something_to_play() -> None:
    assert len(FILES) >= 24
