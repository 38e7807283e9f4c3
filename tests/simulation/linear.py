"""Is a history of calls what one machine, taking them one at a time, could have answered? A search that knows nothing
of transactions, epochs or commits: only when each call began, when it ended, and what it was answered.

`Calls` writes down; `linearizable` judges, by the search of Wing and Gong with Lowe's memory: of the calls that began
before any of those left has ended, each may be the next; take one whose answer fits, go on, and come back when that
leads nowhere. What was tried (a set of calls and the state they lead to) is not tried again. Histories of independent
objects are judged one object at a time, which is the same and far cheaper (Herlihy and Wing, locality).

The objects here are registers: a swap writes a value and is answered with the one before it (or, where the answer says
nothing, with None, which fits whatever was there); a read is answered with the value. No value is written twice.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

MAX_TRIED = 200_000
"""Some seconds: a search that comes so far is told of, and does not pass for an answer."""


class Call(NamedTuple):
    """One that ended. Between `began` and `ended`, in the counting of `Calls`, it took effect."""

    began: int
    ended: int
    object: Hashable
    asked: Hashable
    answered: Hashable


class Calls:
    """The calls of one run, in the order in which they began and ended: no two at once."""

    def __init__(self) -> None:
        self.ended: list[Call] = []
        self._count = 0
        self._open: dict[Hashable, tuple[int, Hashable, Hashable]] = {}

    def begin(self, name: Hashable, target: Hashable, asked: Hashable) -> None:
        """A call that is made again under its name, because its caller has forgotten it, began when it first did."""
        if name not in self._open:
            self._count += 1
            self._open[name] = (self._count, target, asked)

    def end(self, name: Hashable, answered: Hashable) -> None:
        began, target, asked = self._open.pop(name)
        self._count += 1
        self.ended.append(Call(began, self._count, target, asked, answered))

    def unanswered(self) -> list[Hashable]:
        return list(self._open)


class Swap(NamedTuple):
    value: Hashable


class Read(NamedTuple):
    pass


def first_unlinearizable(calls: Sequence[Call], initial: Hashable) -> Hashable | None:
    """An object whose calls no register could have answered so; None when there is none."""
    objects: dict[Hashable, list[Call]] = {}
    for call in calls:
        objects.setdefault(call.object, []).append(call)
    return next((each for each, history in objects.items() if not linearizable(history, initial)), None)


def linearizable(calls: Sequence[Call], initial: Hashable) -> bool:
    """Whether there is an order of the calls of a register, in which none comes before one that had ended when it
    began, and each is answered with what the one before it left. Every value is swapped in once at most."""
    values = [initial, *(call.asked.value for call in calls if isinstance(call.asked, Swap))]
    assert len(set(values)) == len(values), "a value that comes back would make a search of this kind unsound"
    calls = sorted(calls, key=lambda call: call.ended)  # nearly the order in which they took effect, so tried first
    expecting = Counter(call.answered for call in calls)  # of those left
    left = list(range(len(calls)))
    state, taken, place = initial, 0, 0
    tried: set[tuple[int, Hashable]] = set()
    path: list[tuple[int, int, Hashable]] = []  # place in `left`, call, state before it
    while left:
        found = _next_fitting(calls, left, place, state, expecting[state])
        if found is not None:
            call = calls[left[found]]
            after = call.asked.value if isinstance(call.asked, Swap) else state
            key = (taken | 1 << left[found], after)
            place = found + 1
            if key in tried:
                continue
            assert len(tried) < MAX_TRIED, f"undecided after {MAX_TRIED} tries: {len(calls)} calls, too many at a time"
            tried.add(key)
            path.append((found, left.pop(found), state))
            expecting[call.answered] -= 1
            taken, state, place = key[0], after, 0
        elif path:
            place, index, state = path.pop()
            left.insert(place, index)
            expecting[calls[index].answered] += 1
            taken ^= 1 << index
            place += 1
        else:
            return False
    return True


def _next_fitting(
    calls: Sequence[Call], left: Sequence[int], place: int, state: Hashable, expecting: int
) -> int | None:
    """The place in `left`, from `place` on, of a call that may come next and fits.

    A swap must be the last of those that are answered with what it replaces: no later one would ever find that again.
    """
    first_end = calls[left[0]].ended
    for there in range(place, len(left)):
        call = calls[left[there]]
        if call.began < first_end and call.answered in (None, state):
            others = expecting - (call.answered is not None)
            if not others or isinstance(call.asked, Read):
                return there
    return None
