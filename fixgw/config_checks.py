"""What a configuration must be as a whole, and how its errors are told.

The checks read the plain document, not the models, so that they run however many single values are wrong: an operator
sees every error of a file at once. They are tables of patterns: a pattern is a path in which ``*`` stands for any
index or key, and a pattern that ends in ``{}`` means the keys of that mapping rather than its values.

No message repeats a value under a key that may hold a secret.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fixgw.config_explain import suggestion
from fixgw.config_values import Address
from fixgw.strict_yaml import Document, Mark, Path, Problem, in_order

UNIQUE = (
    "shards.*.name",
    "shards.*.id",
    "instruments.*.symbol",
    "instruments.*.id",
    "retransmitters.*.name",
    "ledgers.*.name",
    "gateways.*.name",
    "gateways.*.source_id",
    "feed.channels.*.shard",
    "feed.publishers.*.name",
    "participants.*.id",
    "participants.*.name",
    "participants.*.mpid",
    "sessions.*.id",
    "sessions.*.sender_comp_id",
    "calendars.*.name",
    "protections.*.name",
    "tick_tables.*.name",
)

REFERENCES = (  # what is named here, must be there
    ("instruments.*.shard", "shard", "shards.*.name"),
    ("retransmitters.*.shards.*", "shard", "shards.*.name"),
    ("retransmitters.*.streams.{}", "shard", "shards.*.name"),
    ("ledgers.*.streams.{}", "shard", "shards.*.name"),
    ("gateways.*.streams.{}", "shard", "shards.*.name"),
    ("feed.channels.*.shard", "shard", "shards.*.name"),
    ("feed.publishers.*.streams.{}", "shard", "shards.*.name"),
    ("feed.publishers.*.requests.{}", "channel", "feed.channels.*.shard"),
    ("sessions.*.participant", "participant", "participants.*.name"),
    ("sessions.*.gateway", "gateway", "gateways.*.name"),
    ("venue.calendar", "calendar", "calendars.*.name"),
    ("venue.protection", "protection", "protections.*.name"),
    ("venue.tick_table", "tick table", "tick_tables.*.name"),
    ("instruments.*.calendar", "calendar", "calendars.*.name"),
    ("instruments.*.protection", "protection", "protections.*.name"),
    ("instruments.*.tick_table", "tick table", "tick_tables.*.name"),
)

NEVER_EMPTY = ("shards", "shards.*.replicas", "retransmitters.*.shards", "feed.channels.*.lines")

TCP_ADDRESSES = (
    "shards.*.link",
    "shards.*.control",
    "shards.*.retransmit",  # long ranges
    "shards.*.replicas.*.link",
    "shards.*.replicas.*.control",
    "shards.*.replicas.*.retransmit",
    "retransmitters.*.address",
    "gateways.*.fix",
)
UDP_ADDRESSES = (
    "shards.*.stream",
    "shards.*.stream.*",
    "shards.*.retransmit",
    "shards.*.replicas.*.control",
    "shards.*.replicas.*.retransmit",
    "retransmitters.*.address",
    "feed.channels.*.lines.*",
    "feed.publishers.*.requests.*",
)
# Where readers listen instead. Several may share a group; a host's port belongs to one of them.
READER_STREAMS = (
    "shards.*.replicas.*.stream",
    "retransmitters.*.streams.*",
    "ledgers.*.streams.*",
    "gateways.*.streams.*",
    "feed.publishers.*.streams.*",
)

ALONE = {  # keys of a shard alone, and where that is said of one with replicas
    "link": "each of its replicas has its own",
    "control": "each of its replicas has its own",
    "retransmit": "each of its replicas has its own",
    "sync": "say replication: {durability: memory} or {durability: disk}",
}
REPLICATED = ("replication", "replicas")
ZOOKEEPER = ("hosts", "root", "username", "password_file", "tls")


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
        *_two_forms(document),
        *_repeated_replicas(document),
        *_unreachable(document),
        *_coordination(document),
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
    return in_order([*found, *_weak_shards(document)])


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
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if parts[0] in ("*", str(index)):
                    yield from walk(item, parts[1:], (*path, index))

    return walk(document.value, pattern.split("."), ())


def _empty(document: Document) -> Iterator[Problem]:
    for pattern in NEVER_EMPTY:
        for item in _match(document, pattern):
            if item.value in ([], {}):
                yield Problem(item.mark, item.path, "must hold at least one entry")


def _repeated(document: Document, patterns: tuple[str, ...] = UNIQUE) -> Iterator[Problem]:
    for pattern in patterns:
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
        if other is not item and not (protocol == "TCP" and _one_server(item, other)):
            text = f"{protocol} {address} is taken already, on line {other.mark.line}"
            yield Problem(item.mark, item.path, text)


def _one_server(one: Found, other: Found) -> bool:
    """A shard alone may answer queries where it is asked for missed messages: it does when `control` is left out."""
    return one.path[:-1] == other.path[:-1] and {one.path[-1], other.path[-1]} == {"control", "retransmit"}


def entries(document: Document, section: str) -> Iterator[tuple[Path, dict[str, Any]]]:
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


def _two_forms(document: Document) -> Iterator[Problem]:
    """A shard is alone, or has replicas."""
    for path, shard in entries(document, "shards"):
        if any(key in shard for key in REPLICATED):
            if "replicas" not in shard:
                here = (*path, "replication")
                text = "is of a shard with replicas; say who they are: replicas, or leave this out"
                yield Problem(document.key_mark(here), here, text)
            for key in ALONE.keys() & shard.keys():
                text = f"is of a shard alone; this one is replicated: {ALONE[key]}"
                yield Problem(document.key_mark((*path, key)), (*path, key), text)
        else:
            for key in ("link", "retransmit"):
                if shard.get(key) is None:
                    text = "is missing; a shard alone has link and retransmit, any other has replicas"
                    yield Problem(document.mark((*path, key)), (*path, key), text)


def _replicas(document: Document) -> Iterator[tuple[Path, dict[str, Any], list[Any]]]:
    """The shards that have replicas, with their paths."""
    for path, shard in entries(document, "shards"):
        if isinstance(shard.get("replicas"), list):
            yield path, shard, shard["replicas"]


def _repeated_replicas(document: Document) -> Iterator[Problem]:
    for path, _, _ in _replicas(document):
        yield from _repeated(document, (f"shards.{path[-1]}.replicas.*.id",))


def _unreachable(document: Document) -> Iterator[Problem]:
    """A replica's addresses are told to others: the address that stands for all of a host's is none for them."""
    patterns = tuple(f"shards.*.replicas.*.{key}" for key in ("link", "control", "retransmit"))
    for item, address in _addresses(document, patterns):
        if address.host == "0.0.0.0":
            yield Problem(item.mark, item.path, "others cannot reach 0.0.0.0; write the address of its host")


def _coordination(document: Document) -> Iterator[Problem]:
    """What belongs to ZooKeeper stands beside ``kind: zookeeper``, and that has what it needs."""
    section = document.value.get("coordinator") if isinstance(document.value, dict) else None
    if not isinstance(section, dict):
        return
    path: Path = ("coordinator",)
    if section.get("kind") != "zookeeper":
        for key in section.keys() & set(ZOOKEEPER):
            text = "is of kind: zookeeper; files need nothing but the data directory"
            yield Problem(document.key_mark((*path, key)), (*path, key), text)
        return
    if not section.get("hosts"):
        text = "is missing; say where ZooKeeper's servers are: [host:2181, …]"
        yield Problem(document.mark((*path, "hosts")), (*path, "hosts"), text)
    tls = section.get("tls")
    pairs = [(path, section, "username", "password_file")]
    if isinstance(tls, dict):
        pairs.append(((*path, "tls"), tls, "certificate", "key"))
    for at, mapping, one, other in pairs:
        for here, lacking in ((one, other), (other, one)):
            if mapping.get(here) is not None and mapping.get(lacking) is None:
                yield Problem(document.key_mark((*at, here)), (*at, here), f"means nothing without {lacking}")


def _weak_shards(document: Document) -> Iterator[Problem]:
    """Replicas that do not give what replicas are for."""
    section = document.value.get("coordinator") if isinstance(document.value, dict) else None
    in_files = not isinstance(section, dict) or section.get("kind", "file") == "file"
    for path, shard, replicas in _replicas(document):
        here = (*path, "replicas")
        count, name = len(replicas), shard.get("name")
        if count % 2 == 0:
            text = f"{count} replicas survive the loss of {(count - 1) // 2}, as {count - 1} do: have {count + 1}"
            yield Problem(document.key_mark(here), here, text)
        elif count == 1:
            yield Problem(document.key_mark(here), here, f"shard {name} has one replica: nobody takes over from it")
        hosts = {address.host for _, address in _addresses(document, (f"shards.{path[-1]}.replicas.*.control",))}
        if in_files and len(hosts) > 1:
            text = f"are on {len(hosts)} hosts; a coordinator in files is for one: coordinator: {{kind: zookeeper, …}}"
            yield Problem(document.key_mark(here), here, text)


def _deaf(document: Document) -> Iterator[Problem]:
    """A shard that sends to hosts one by one reaches a reader only at an address of the reader's own."""
    shards = list(entries(document, "shards"))
    unicast = [str(shard.get("name")) for _, shard in shards if isinstance(shard.get("stream"), list)]
    channels = [str(item.value) for item in find(document, "feed.channels.*.shard")]
    for section in ("retransmitters", "ledgers", "gateways", "feed.publishers"):
        for path, reader in entries(document, section):
            heard = {"retransmitters": _texts(reader.get("shards")), "feed.publishers": channels}.get(section, unicast)
            for name in unicast:
                if name in heard and name not in _texts(reader.get("streams")):
                    text = f"shard {name} has no multicast group; say where this one hears it: streams: {{{name}: …}}"
                    yield Problem(document.mark(path), path, text)
    for path, shard, replicas in _replicas(document):
        for index, replica in enumerate(replicas):
            if shard.get("name") in unicast and isinstance(replica, dict) and replica.get("stream") is None:
                here = (*path, "replicas", index)
                text = "the shard has no multicast group; say where this replica hears it: stream: …"
                yield Problem(document.mark(here), here, text)


def _unserved(document: Document) -> Iterator[Problem]:
    """A publisher answers requests for every channel: a vendor finds the same service at A and at B."""
    for path, publisher in entries(document, "feed.publishers"):
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
    for path, session in entries(document, "sessions"):
        participant, gateway = session.get("participant"), session.get("gateway")
        if not isinstance(participant, str) or not isinstance(gateway, str):
            continue
        here = (*path, "gateway")
        home, mark = first.setdefault(participant, (gateway, document.mark(here)))
        if gateway != home:
            text = f"a participant's sessions share one gateway; line {mark.line} has {participant} at {home}"
            yield Problem(document.mark(here), here, text)
