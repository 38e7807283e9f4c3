"""What a configuration must be as a whole, and how its errors are told.

The checks read the plain document, not the models, so that they run however many single values are wrong: an operator
sees every error of a file at once. They are tables of patterns: a pattern is a path in which ``*`` stands for any
index or key, and a pattern that ends in ``{}`` means the keys of that mapping rather than its values.

``explain`` turns pydantic's errors into our words and places. No message repeats a value under a key that may hold a
secret.
"""

import difflib
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from fixgw.config_values import Address
from fixgw.strict_yaml import Document, Mark, Path, Problem, in_order

UNIQUE = (
    "shards.*.name",
    "shards.*.id",
    "instruments.*.symbol",
    "instruments.*.id",
    "retransmitters.*.name",
    "gateways.*.name",
    "gateways.*.source_id",
    "feed.channels.*.shard",
    "feed.publishers.*.name",
    "participants.*.id",
    "participants.*.name",
    "participants.*.mpid",
    "sessions.*.id",
    "sessions.*.sender_comp_id",
)

REFERENCES = (  # what is named here, must be there
    ("instruments.*.shard", "shard", "shards.*.name"),
    ("retransmitters.*.shards.*", "shard", "shards.*.name"),
    ("retransmitters.*.streams.{}", "shard", "shards.*.name"),
    ("gateways.*.streams.{}", "shard", "shards.*.name"),
    ("feed.channels.*.shard", "shard", "shards.*.name"),
    ("feed.publishers.*.streams.{}", "shard", "shards.*.name"),
    ("feed.publishers.*.requests.{}", "channel", "feed.channels.*.shard"),
    ("sessions.*.participant", "participant", "participants.*.name"),
    ("sessions.*.gateway", "gateway", "gateways.*.name"),
)

NEVER_EMPTY = ("shards", "retransmitters.*.shards", "feed.channels.*.lines")

TCP_ADDRESSES = ("shards.*.link", "gateways.*.fix")
UDP_ADDRESSES = (
    "shards.*.stream",
    "shards.*.stream.*",
    "shards.*.retransmit",
    "retransmitters.*.address",
    "feed.channels.*.lines.*",
    "feed.publishers.*.requests.*",
)
# Where readers listen instead. Several may share a group; a host's port belongs to one of them.
READER_STREAMS = ("retransmitters.*.streams.*", "gateways.*.streams.*", "feed.publishers.*.streams.*")


class Found(NamedTuple):
    """A value of the document, or a key of it (then ``value`` is the key)."""

    path: Path
    value: Any
    mark: Mark


def cross_check(document: Document) -> list[Problem]:
    """Everything that does not fit together, in no order."""
    return [
        *_empty(document),
        *_repeated(document),
        *_dangling(document),
        *_clashing(document, TCP_ADDRESSES, "TCP"),
        *_clashing(document, UDP_ADDRESSES, "UDP"),
        *_clashing(document, READER_STREAMS, "UDP", groups_too=False),
        *_deaf(document),
        *_unserved(document),
        *_scattered(document),
    ]


def doubts(document: Document) -> list[Problem]:
    """What is allowed and probably not meant: warnings, in file order."""
    found = [
        Problem(item.mark, item.path, "has no password yet, so every logon is refused (fixgw hash-password)")
        for item in find(document, "sessions.*.password_hash")
        if item.value is None
    ]
    for pattern, lack in (
        ("instruments.*.shard", "has no instrument"),
        ("feed.channels.*.shard", "has no feed channel"),
    ):
        used = {item.value for item in find(document, pattern)}
        found += [
            Problem(item.mark, item.path, f"shard {item.value} {lack}")
            for item in find(document, "shards.*.name")
            if item.value not in used
        ]
    return in_order(found)


def find(document: Document, pattern: str) -> list[Found]:
    """Every scalar that the pattern matches, in file order. What has another shape is the models' business."""
    return [item for item in _match(document, pattern) if not isinstance(item.value, dict | list)]


def _match(document: Document, pattern: str) -> Iterator[Found]:
    def walk(value: object, parts: list[str], path: Path) -> Iterator[Found]:
        if not parts:
            yield Found(path, value, document.mark(path))
        elif isinstance(value, dict) and parts[0] == "{}":
            for key in value:
                yield Found((*path, key), key, document.key_mark((*path, key)))
        elif isinstance(value, dict):
            for key in value if parts[0] == "*" else value.keys() & {parts[0]}:
                yield from walk(value[key], parts[1:], (*path, key))
        elif isinstance(value, list) and parts[0] == "*":
            for index, item in enumerate(value):
                yield from walk(item, parts[1:], (*path, index))

    return walk(document.value, pattern.split("."), ())


def _empty(document: Document) -> Iterator[Problem]:
    for pattern in NEVER_EMPTY:
        for item in _match(document, pattern):
            if item.value in ([], {}):
                yield Problem(item.mark, item.path, "must hold at least one entry")


def _repeated(document: Document) -> Iterator[Problem]:
    for pattern in UNIQUE:
        first: dict[object, Found] = {}
        for item in find(document, pattern):
            other = first.setdefault((type(item.value), item.value), item)
            if other is not item and item.value is not None:
                yield Problem(item.mark, item.path, f"{item.value} is taken already, on line {other.mark.line}")


def _dangling(document: Document) -> Iterator[Problem]:
    for pattern, kind, target in REFERENCES:
        known = _texts(dict.fromkeys(item.value for item in find(document, target)))
        for item in find(document, pattern):
            if isinstance(item.value, str) and item.value not in known:
                hint = suggestion(item.value, known) or f"; there are: {', '.join(known) or 'none'}"
                yield Problem(item.mark, item.path, f"no {kind} is named {item.value!r}{hint}")


def _addresses(document: Document, patterns: tuple[str, ...]) -> Iterator[tuple[Found, Address]]:
    for pattern in patterns:
        for item in find(document, pattern):
            try:
                yield item, Address.parse(item.value)
            except ValueError:
                continue  # told by the models


def _clashing(
    document: Document, patterns: tuple[str, ...], protocol: str, *, groups_too: bool = True
) -> Iterator[Problem]:
    first: dict[Address, Found] = {}
    for item, address in sorted(_addresses(document, patterns), key=lambda pair: pair[0].mark):
        if address.is_multicast and not groups_too:
            continue
        other = first.setdefault(address, item)
        if other is not item:
            text = f"{protocol} {address} is taken already, on line {other.mark.line}"
            yield Problem(item.mark, item.path, text)


def _entries(document: Document, section: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The entries of a section that is a list of mappings, with their paths."""
    value, path = document.value, tuple(section.split("."))
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    for index, entry in enumerate(value if isinstance(value, list) else []):
        if isinstance(entry, dict):
            yield (*path, index), entry


def _texts(value: object) -> list[str]:
    """The texts among the items of a list or the keys of a mapping; of anything else none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list | dict) else []


def _deaf(document: Document) -> Iterator[Problem]:
    """A shard that sends to hosts one by one reaches a reader only at an address of the reader's own."""
    shards = list(_entries(document, "shards"))
    unicast = [str(shard.get("name")) for _, shard in shards if isinstance(shard.get("stream"), list)]
    channels = [str(item.value) for item in find(document, "feed.channels.*.shard")]
    for section in ("retransmitters", "gateways", "feed.publishers"):
        for path, reader in _entries(document, section):
            heard = {"retransmitters": _texts(reader.get("shards")), "gateways": unicast}.get(section, channels)
            for shard in unicast:
                if shard in heard and shard not in _texts(reader.get("streams")):
                    text = f"shard {shard} has no multicast group; say where this one hears it: streams: {{{shard}: …}}"
                    yield Problem(document.mark(path), path, text)


def _unserved(document: Document) -> Iterator[Problem]:
    """A publisher answers requests for every channel: a vendor finds the same service at A and at B."""
    for path, publisher in _entries(document, "feed.publishers"):
        requests = publisher.get("requests")
        if not isinstance(requests, dict):
            continue
        for item in find(document, "feed.channels.*.shard"):
            if item.value not in requests:
                here = (*path, "requests")
                yield Problem(document.key_mark(here), here, f"has no address for channel {item.value}")


def _scattered(document: Document) -> Iterator[Problem]:
    """The sessions of one participant share a gateway, for one task there puts all its orders in order."""
    first: dict[str, tuple[str, Mark]] = {}
    for path, session in _entries(document, "sessions"):
        participant, gateway = session.get("participant"), session.get("gateway")
        if not isinstance(participant, str) or not isinstance(gateway, str):
            continue
        here = (*path, "gateway")
        home, mark = first.setdefault(participant, (gateway, document.mark(here)))
        if gateway != home:
            text = f"a participant's sessions share one gateway; line {mark.line} has {participant} at {home}"
            yield Problem(document.mark(here), here, text)


# ---- the words of pydantic's errors ----


def explain(document: Document, error: ValidationError, root: type[BaseModel]) -> list[Problem]:
    """Each error of the models at its place, in our words."""
    return [_explain_one(document, dict(detail), root) for detail in error.errors(include_url=False)]


def _explain_one(document: Document, detail: dict[str, Any], root: type[BaseModel]) -> Problem:
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return Problem(document.mark(path), path, "is missing")
    if kind == "extra_forbidden":
        hint = suggestion(str(path[-1]), _fields_at(root, path[:-1]))
        return Problem(document.key_mark(path), path, f"is not a key here{hint}")
    mark = document.key_mark(path) if "[key]" in detail["loc"] else document.mark(path)
    if kind == "value_error":
        return Problem(mark, path, str(detail["ctx"]["error"]))
    if kind in ("model_type", "dict_type"):
        return Problem(mark, path, f"must be a mapping of keys to values{_instead(value)}")
    if kind == "tuple_type":
        return Problem(mark, path, f"must be a list{_instead(value)}")
    if kind == "string_type":
        return Problem(mark, path, f"must be text{_instead(value)}; text that looks like a number goes in quotes")
    return Problem(mark, path, detail["msg"].replace("Input should", "should", 1) + _instead(value))


def _instead(value: object) -> str:
    if value is None:
        return ", not nothing"
    return "" if isinstance(value, dict | list) else f", not {value}"


def _fields_at(root: type[BaseModel], path: Path) -> list[str]:
    """The keys that the model at this path knows."""
    model: type[BaseModel] | None = root
    for part in path:
        if isinstance(part, str) and model is not None:
            field = model.model_fields.get(part)
            model = _model_in(field.annotation) if field is not None else None
    return list(model.model_fields) if model is not None else []


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model inside ``Model``, ``tuple[Model, ...]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner)) is not None), None)


def suggestion(word: str, known: list[str]) -> str:
    """``; did you mean …?`` when one of the known words is close, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
