"""The README tells the truth about what is in the tree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
LINKS = sorted(set(re.findall(r"\]\(([^)#:]+)\)", README)))
LISTED = re.findall(r"^\| \[([^\]]+)\]\(\1\) \| (\d+) \|", README, re.MULTILINE)

#: Line counts drift with every change; a reader wants to know what awaits him.
TOLERANCE = 0.15


@pytest.mark.parametrize("link", LINKS)
def test_what_the_readme_links_to_is_there(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize(("name", "lines"), LISTED)
def test_a_file_is_about_as_long_as_the_reading_order_says(name: str, lines: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) == pytest.approx(int(lines), rel=TOLERANCE)


def test_the_reading_order_was_found() -> None:
    assert len(LISTED) > 10


def test_the_readme_was_finished() -> None:
    assert not re.findall(r"^[A-Z_]{6,}$", README, re.MULTILINE)
