"""YAML without surprises, and with the place of everything.

PyYAML reads YAML 1.1, in which the ticker ON is true, NO is false, 17:00:00 is the number 61200, 012 is ten and
a key that stands twice silently wins. An operator's file must not be read like that. So we take PyYAML's parser
(the syntax) and leave its constructors (the meaning) alone; the meaning is this short table, the plain scalars
of YAML 1.2's JSON schema (§10.2), which is a subset of its core schema (§10.3):

    null, or nothing at all            None
    true  false                        bool
    0  12  -3                          int
    0.01  -2.5  1e3                    decimal.Decimal, exactly as written: prices are never a float
    everything else                    text: ON, NO, True, ~, 012, 0x10, 1_000, 17:00:00, 2026-01-31
    anything in quotes                 text

Errors, each with its line and column: a key twice in one mapping; a key that is not text; an anchor, an alias or a tag
(one line should say one thing, and aliases are how a small file becomes a huge one); a second document; nesting
deeper than MAX_DEPTH; a file above MAX_FILE_BYTES; what is not UTF-8 or not YAML.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import yaml

MAX_FILE_BYTES = 4 * 1024 * 1024  # 50,000 instruments at 80 bytes a line
MAX_DEPTH = 16  # four levels are in use; the bound keeps our recursion far from Python's

INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?")
MAX_NUMBER_LENGTH = 40  # longer digits are text: int() of a million digits is a way to stop a process

Path = tuple[str | int, ...]
"""The way from the root to a value: keys of mappings and indexes (from 0) of lists."""

# libyaml's parser, which PyYAML's wheels carry, is 20 times faster (4 ms for 200 lines) and gives the same marks.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Mark(NamedTuple):
    """A place in the file; line and column are counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that is wrong, where, and at which path of the document (empty: the document itself)."""

    mark: Mark
    path: Path
    text: str

    def describe(self, file: str, severity: str = "") -> str:
        """``file:line:column: path: what is wrong``, the form that editors and compilers share."""
        path = f"{path_text(self.path)}: " if self.path else ""
        return f"{file}:{self.mark.line}:{self.mark.column}: {severity}{path}{self.text}"


class StrictYamlError(ValueError):
    """The text is not the YAML we take. ``problems`` holds every one that was found, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(problem.describe("yaml") for problem in problems))
        self.problems = problems


class Document(NamedTuple):
    """Plain data (dict, list, str, int, Decimal, bool, None) and where its parts stand."""

    value: object
    values: dict[Path, Mark]
    keys: dict[Path, Mark]

    def mark(self, path: Path) -> Mark:
        """Where the value at ``path`` stands; of a path that is not in the file, where its nearest parent stands."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values[path]

    def key_mark(self, path: Path) -> Mark:
        """Where the key that ends ``path`` stands; an item of a list has none, so there it is the value's place."""
        return self.keys.get(path) or self.mark(path)


def path_text(path: Path) -> str:
    """``('shards', 0, 'link')`` as ``shards[0].link``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each once, as the reader of the file meets them."""
    return sorted(set(problems), key=lambda problem: (problem.mark, path_text(problem.path), problem.text))


def read(file: FilePath) -> Document:
    """Read a file. Raises OSError, or StrictYamlError."""
    with file.open("rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise StrictYamlError([Problem(Mark(1, 1), (), f"is larger than {MAX_FILE_BYTES} bytes")])
    try:
        return parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise StrictYamlError([Problem(Mark(line, column), (), "is not UTF-8 text")]) from None


def parse(text: str) -> Document:
    """Read a text. Raises StrictYamlError."""
    try:
        builder = _Builder(text)
    except yaml.reader.ReaderError as error:  # PyYAML's own parser reads ahead; libyaml's does not
        raise StrictYamlError([_unreadable(text, error)]) from None
    try:
        value = builder.document()
    except yaml.reader.ReaderError as error:
        raise StrictYamlError([_unreadable(text, error)]) from None
    except yaml.MarkedYAMLError as error:
        raise StrictYamlError([*builder.problems, _syntax_problem(error)]) from None
    except _TooDeepError:
        raise StrictYamlError(builder.problems) from None
    if builder.problems:
        raise StrictYamlError(builder.problems)
    return Document(value, builder.values, builder.keys)


def plain_scalar(text: str) -> str | int | Decimal | bool | None:
    """What an unquoted scalar means: the table on top of this file."""
    if text in ("", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if len(text) <= MAX_NUMBER_LENGTH:
        if INTEGER.fullmatch(text):
            return int(text)
        if DECIMAL.fullmatch(text):
            return Decimal(text)
    return text


class _TooDeepError(Exception):
    """Ends a document that is nested too deeply; its problem is already noted."""


class _Builder:
    """Builds plain data from the parser's events, and notes where everything stands."""

    def __init__(self, text: str) -> None:
        self.values: dict[Path, Mark] = {}
        self.keys: dict[Path, Mark] = {}
        self.problems: list[Problem] = []
        self._events = yaml.parse(text, Loader=_LOADER)

    def document(self) -> object:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            self.values[()] = Mark(1, 1)
            return None
        value = self._node(next(self._events), ())
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._note(event, (), "a second document begins; a file holds one")
        return value

    def _node(self, event: Any, path: Path) -> object:
        self.values[path] = _mark(event)
        if isinstance(event, yaml.AliasEvent):
            self._note(event, path, f"alias *{event.anchor}: write the value out; anchors and aliases are not taken")
            return None
        if event.anchor is not None:
            self._note(event, path, f"anchor &{event.anchor}: anchors and aliases are not taken")
        if event.tag is not None:
            self._note(event, path, f"tag {event.tag}: tags are not taken")
        if isinstance(event, yaml.ScalarEvent):
            return plain_scalar(event.value) if event.implicit[0] else event.value
        if len(path) >= MAX_DEPTH:
            self._note(event, path, f"is nested deeper than {MAX_DEPTH} levels")
            raise _TooDeepError
        return self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._sequence(path)

    def _sequence(self, path: Path) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, object]:
        items: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, mark = self._key(event, path), _mark(event)
            here = (*path, key)
            if key in items:
                line = self.keys[here].line
                self._note(event, here, f"stands twice; the first is on line {line}")
                self._node(next(self._events), (*here, "(again)"))  # read past it; a place of its own, never looked up
                continue
            self.keys[here] = mark
            items[key] = self._node(next(self._events), here)
        return items

    def _key(self, event: Any, path: Path) -> str:
        """A key is its text, whatever it would mean as a value: a map keyed by symbol may hold 1 or null."""
        if isinstance(event, yaml.ScalarEvent) and event.anchor is None and event.tag is None:
            return str(event.value)
        self._note(event, path, "a key here is not plain text")
        self._node(event, (*path, "(key)"))
        return "(key)"

    def _note(self, event: Any, path: Path, text: str) -> None:
        self.problems.append(Problem(_mark(event), path, text))


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    place = error.problem_mark or error.context_mark
    mark = Mark(place.line + 1, place.column + 1) if place is not None else Mark(1, 1)
    context = f" {error.context}" if error.context else ""
    return Problem(mark, (), f"is not YAML: {error.problem}{context}")


def _unreadable(text: str, error: yaml.reader.ReaderError) -> Problem:
    """The parser's own position counts bytes, and counts from its buffer: so we look for the character ourselves."""
    character = chr(error.character) if isinstance(error.character, int) else str(error.character)
    before, _, _ = text.partition(character)
    mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Problem(mark, (), f"holds the character U+{ord(character):04X}, which YAML forbids")
