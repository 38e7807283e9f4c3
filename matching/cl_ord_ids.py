"""The ClOrdIDs that a session has used in a day: each names an order, or the one that it was to cancel.

Every request brings a new one, and all that is mostly asked is whether it is new. Most brokers count them up. So those
of one length stand in a row that ascends, as long as each is higher than all before it: to see that, and to add one to
the row's end, costs the same however long the day has been, and touches nothing of what came before. A hash table would
be asked at a random place each time, which is in no cache; it would take three times the memory, and be built anew as
it grows. What comes out of order stands in such a table nevertheless: random ClOrdIDs all but a few.

    rows      by length: the names that came in ascending order, and their orders beside them
    others    the names that were lower than one of their length before them

A name is in one place only, and which that is depends on nothing but the order in which names came.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from matching.ids import CL_ORD_ID_LENGTH
from matching.order import Boxed

#: A constant for compiled code, as in `constructors`.
_bisect_left: Final = bisect_left


class Row:
    """Names of one length, ascending, and the ids of their orders. It has at least one."""

    __slots__ = ("highest", "names", "order_ids")

    def __init__(self, name: bytes, order_id: Boxed) -> None:
        #: The last of the names.
        self.highest: bytes = name
        self.names: list[bytes] = [name]
        self.order_ids: list[Boxed] = [order_id]


class ClOrdIds:
    """ClOrdID → order id."""

    __slots__ = ("others", "rows")

    def __init__(self) -> None:
        self.rows: list[Row | None] = [None] * (CL_ORD_ID_LENGTH + 1)
        self.others: dict[bytes, Boxed] = {}

    def add(self, name: bytes, order_id: Boxed) -> bool:
        """Let a name stand for an order. False: it is used already."""
        row = self.rows[len(name)]
        if row is None:
            self.rows[len(name)] = Row(name, order_id)
            return True
        if name > row.highest:
            row.highest = name
            row.names.append(name)
            row.order_ids.append(order_id)
            return True
        if row.names[_bisect_left(row.names, name)] == name:
            return False
        others = self.others
        before = len(others)
        others.setdefault(name, order_id)
        return len(others) > before

    def get(self, name: bytes) -> Boxed | None:
        """The id of the order that a name stands for; None: the name is new."""
        row = self.rows[len(name)]
        if row is None or name > row.highest:
            return None
        place = _bisect_left(row.names, name)
        return row.order_ids[place] if row.names[place] == name else self.others.get(name)

    def items(self) -> Iterator[tuple[bytes, Boxed]]:
        """All of them, so that who adds them in this order to an empty table has the same."""
        for row in self.rows:
            if row is not None:
                yield from zip(row.names, row.order_ids, strict=True)
        yield from self.others.items()

    def heaps(self) -> "list[list[bytes] | list[Boxed] | dict[bytes, Boxed]]":
        """All that it consists of, for who frees it bit by bit."""
        rows = [row for row in self.rows if row is not None]
        return [*(row.names for row in rows), *(row.order_ids for row in rows), self.others]
