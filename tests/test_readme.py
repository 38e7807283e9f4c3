"""The READMEs tell the truth about what is in the tree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted((ROOT / "README.md", *ROOT.glob("[a-z]*/README.md")))
README = (ROOT / "README.md").read_text()
LINKS = sorted(
    {
        (str(path.relative_to(ROOT)), link)
        for path in READMES
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    }
)
LISTED = re.findall(r"^\| \[([^\]]+)\]\(\1\) \| (\d+) \|", README, re.MULTILINE)

#: Line counts drift with every change; a reader wants to know what awaits him.
TOLERANCE = 0.15


def anchors(path: Path) -> set[str]:
    """What a page's headings are called in links, by the rule of the places that show such pages."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_what_a_readme_links_to_is_there(page: str, link: str) -> None:
    name, _, anchor = link.partition("#")
    target = (ROOT / page).parent / name if name else ROOT / page
    assert target.exists()
    assert not anchor or anchor in anchors(target)


@pytest.mark.parametrize(("name", "lines"), LISTED)
def test_a_file_is_about_as_long_as_the_reading_order_says(name: str, lines: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) == pytest.approx(int(lines), rel=TOLERANCE)


def test_the_reading_order_was_found() -> None:
    assert len(LISTED) > 10


def test_the_links_were_found() -> None:
    assert {page for page, _ in LINKS} > {"README.md", "conf/README.md", "fixgw/README.md"}


def test_the_readme_was_finished() -> None:
    assert not re.findall(r"^[A-Z_]{6,}$", README, re.MULTILINE)
