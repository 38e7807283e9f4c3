"""Every object that can be reached from an engine's state, as lines: what two equal states have in common.

It walks whatever fields the classes have, so it knows nothing of what a snapshot holds. Which objects are one and the
same is part of it: an object that was met before is named by the number it was met under.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from sortedcontainers import SortedList

from matching.commands import Conditions

#: No state: what was forgotten and is not yet freed; what is found out again whenever it is not known.
LEFT_OUT = {("State", "garbage"), ("Instrument", "calm")}
#: Nothing ever goes through these in their own order.
UNORDERED = {
    ("State", "participants"),
    ("State", "sessions"),
    ("State", "former"),
    ("State", "definitions"),
    ("State", "schedule"),
    ("Participant", "sessions"),
    ("Session", "orders"),
    ("BookSide", "levels"),
    ("Instruments", "by_id"),
    ("Instruments", "_ids"),
}
#: Values: whether two of them are one object means nothing.
PLAIN = (int, bytes, str, type(None), Conditions)


def fields(cls: type) -> tuple[str, ...]:
    """The names of the fields of a class; a compiled one has no `__slots__`, but a table of its own."""
    if issubclass(cls, Struct):
        return cls.__struct_fields__
    return tuple(
        sorted(
            name
            for each in cls.__mro__
            for name in getattr(each, "__mypyc_attrs__", None) or getattr(each, "__slots__", ())
        )
    )


def graph(root: object) -> list[str]:
    """The object and all it leads to, one line a value; without recursion, for queues are long."""
    met: dict[int, int] = {}
    lines: list[str] = []
    todo: list[tuple[str, Any, bool]] = [("", root, False)]
    while todo:
        path, thing, unordered = todo.pop()
        if isinstance(thing, PLAIN):
            lines.append(f"{path} = {thing!r}")
            continue
        if id(thing) in met:
            lines.append(f"{path} is #{met[id(thing)]}")
            continue
        met[id(thing)] = len(met)
        lines.append(f"{path}: {type(thing).__name__} #{met[id(thing)]}")
        todo += reversed(list(inside(path, thing, unordered)))
    return lines


def inside(path: str, thing: Any, unordered: bool) -> Iterator[tuple[str, Any, bool]]:
    """(path, value, whether its order means nothing) of what an object directly leads to."""
    if isinstance(thing, dict):
        items = sorted(thing.items()) if unordered else thing.items()
        yield from ((f"{path}[{key!r}]", value, unordered) for key, value in items)
    elif isinstance(thing, list | tuple | SortedList):
        yield from ((f"{path}[{place}]", value, False) for place, value in enumerate(thing))
    elif isinstance(thing, set):
        yield from ((f"{path}[{place}]", value, False) for place, value in enumerate(sorted(thing)))
    else:
        names = fields(type(thing))
        assert names, f"{path}: no fields are known of {thing!r}"
        kind = type(thing).__name__
        for name in names:
            if (kind, name) not in LEFT_OUT:
                yield f"{path}.{name}", getattr(thing, name, None), (kind, name) in UNORDERED
