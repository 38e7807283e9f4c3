"""The YAML reader: what plain text means, where everything stands, and what is refused."""

import json
from decimal import Decimal
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from fixgw import strict_yaml
from fixgw.strict_yaml import Mark, StrictYamlError


@pytest.fixture(params=[yaml.SafeLoader, yaml.CSafeLoader], ids=["python", "libyaml"])
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers: which one is there depends on how it was installed."""
    monkeypatch.setattr(strict_yaml, "_LOADER", request.param)


pytestmark = pytest.mark.usefixtures("_parser")


def problems(text: str) -> list[str]:
    with pytest.raises(StrictYamlError) as caught:
        strict_yaml.parse(text)
    return [problem.describe("f") for problem in caught.value.problems]


TWISTED = """
ON NO Yes y True FALSE Null ~ 012 0x10 0o17 1_000 +1 17:00:00 9:30 2026-01-31 .5 1. .inf .NaN 1e = << 127.0.0.1
"""


@pytest.mark.parametrize("text", TWISTED.split())
def test_what_yaml_1_1_would_twist_stays_text(text: str) -> None:
    assert strict_yaml.parse(f"key: {text}").value == {"key": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("null", None),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-12", -12),
        ("9" * 40, 10**40 - 1),
        ("9" * 41, "9" * 41),
        ("'12'", "12"),
        ('"true"', "true"),
        ("''", ""),
        ("|\n  12", "12"),
    ],
)
def test_the_few_plain_values(text: str, value: object) -> None:
    assert strict_yaml.parse(f"key: {text}").value == {"key": value}


@pytest.mark.parametrize("text", ["0.01", "0.10", "-2.5", "1e3", "1.0000000000000000000000000000000001"])
def test_a_decimal_is_exactly_what_was_written(text: str) -> None:
    value = strict_yaml.parse(text).value
    assert isinstance(value, Decimal)
    assert value.as_tuple() == Decimal(text).as_tuple()


def test_lists_and_mappings_with_their_places() -> None:
    document = strict_yaml.parse("# first\nshards:\n  - {name: s1, id: 1}\n  - name: s2\nempty:\n")
    assert document.value == {"shards": [{"name": "s1", "id": 1}, {"name": "s2"}], "empty": None}
    assert document.mark(("shards", 0, "id")) == Mark(3, 20)
    assert document.key_mark(("shards", 0, "id")) == Mark(3, 16)
    assert document.key_mark(("shards", 1)) == Mark(4, 5)
    assert document.mark(("shards", 1, "id")) == Mark(4, 5), "what is missing is told at its parent"


@pytest.mark.parametrize("text", ["", "# only a comment\n"])
def test_nothing_is_none(text: str) -> None:
    document = strict_yaml.parse(text)
    assert document.value is None
    assert document.mark(("venue", "data")) == Mark(1, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", ["f:3:1: a: stands twice; the first is on line 1"]),
        ("- {b: 1, b: [2, {c: 1, c: 1}]}", ["f:1:10: [0].b: stands twice; the first is on line 1"]),
        ("a: &x 1", ["f:1:4: a: anchor &x: anchors and aliases are not taken"]),
        ("a: !!int 1", ["f:1:4: a: tag tag:yaml.org,2002:int: tags are not taken"]),
        ("? [a]\n: 1", ["f:1:3: a key here is not plain text"]),
        ("a: 1\n---\nb: 1", ["f:2:1: a second document begins; a file holds one"]),
        ("a: 1\nb: \x07", ["f:2:4: holds the character U+0007, which YAML forbids"]),
    ],
)
def test_refused_with_its_place(text: str, expected: list[str]) -> None:
    assert problems(text)[:1] == expected


def test_every_problem_is_told_at_once() -> None:
    found = problems("a: &x 1\nb: *x\na: 1\nc: }")
    assert [line.split(":")[1] for line in found] == ["1", "2", "3", "4"]
    assert "is not YAML" in found[3]


@pytest.mark.parametrize("text", ["a: b: c", "a: [1", "a: 'x", "\ta: 1", "a: }", "%YAML 9.9 x\n---\na"])
def test_bad_syntax_is_one_problem(text: str) -> None:
    assert len(problems(text)) == 1
    assert "is not YAML" in problems(text)[0]


def test_deep_nesting_is_refused_before_python_minds() -> None:
    assert "nested deeper than" in problems("[" * 5_000)[0]
    fits = "[" * strict_yaml.MAX_DEPTH + "]" * strict_yaml.MAX_DEPTH
    assert strict_yaml.parse(fits).value is not None


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: \xc3\xa9\r\n")
    assert strict_yaml.read(file).value == {"name": "é"}


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"a: 1\nb: \xff")
    with pytest.raises(StrictYamlError, match="yaml:2:4: is not UTF-8 text"):
        strict_yaml.read(file)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_yaml, "MAX_FILE_BYTES", 9)
    file = tmp_path / "x.yaml"
    file.write_bytes(b"a: 123456")
    assert strict_yaml.read(file).value == {"a": 123456}
    file.write_bytes(b"a: 1234567")
    with pytest.raises(StrictYamlError, match="larger than 9 bytes"):
        strict_yaml.read(file)


TEXT = st.text(st.characters(exclude_categories=["C"]), max_size=20)
PLAIN_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
YAMLISH = st.text("ab:-[]{},'\"#&*!|>%@ \n\t?", max_size=60)


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(PLAIN_DATA)
def test_json_means_what_it_means_as_json(value: object) -> None:
    assert strict_yaml.parse(json.dumps(value, ensure_ascii=False)).value == value


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(st.text(st.characters(codec="utf-8"), max_size=60) | YAMLISH)
def test_any_text_is_a_document_or_problems_with_places(text: str) -> None:
    try:
        marks = [strict_yaml.parse(text).mark(())]
    except StrictYamlError as error:
        marks = [problem.mark for problem in error.problems]
    lines = 1 + sum(text.count(end) for end in "\n\r\x85\u2028\u2029")
    assert marks
    assert all(1 <= mark.line <= lines + 1 and mark.column >= 1 for mark in marks)
