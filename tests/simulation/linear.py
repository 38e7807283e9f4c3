"""Is a history of calls what one machine, taking them one at a time, could have answered? A search that knows nothing
of transactions, epochs or commits: only when each call began, when it ended, and what it was answered.

`Calls` writes down; `linearizable` judges, by the search of Wing and Gong with Lowe's memory: of the calls that began
before any of those left has ended, each may be the next; take one whose answer fits, go on, and come back when that
leads nowhere. What was tried (a set of calls and the state they lead to) is not tried again. Histories of independent
objects are judged one object at a time, which is the same and far cheaper (Herlihy and Wing, locality).

The objects here are registers: a swap writes a value and is answered with the one before it (or, where the answer says
nothing, with None, which fits whatever was there); a read is answered with the value.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

State = TypeVar("State", bound=Hashable)


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


def step_register(state: Hashable, call: Call) -> tuple[bool, Hashable]:
    """(whether the answer fits a register with this value, its value then)."""
    if isinstance(call.asked, Read):
        return call.answered == state, state
    assert isinstance(call.asked, Swap)
    return call.answered is None or call.answered == state, call.asked.value


def first_unlinearizable(calls: Sequence[Call], initial: Hashable) -> Hashable | None:
    """An object whose calls no register could have answered so; None when there is none."""
    objects: dict[Hashable, list[Call]] = {}
    for call in calls:
        objects.setdefault(call.object, []).append(call)
    for each, history in objects.items():
        if not linearizable(history, initial, step_register):
            return each
    return None


def linearizable(calls: Sequence[Call], initial: State, step: Callable[[State, Call], tuple[bool, State]]) -> bool:
    """Whether there is an order of the calls, in which none comes before one that had ended when it began, that `step`
    (does the answer fit this state? and the state after it) agrees with from the first to the last."""
    calls = sorted(calls)
    left = list(range(len(calls)))  # by `began`
    state = initial
    taken = 0
    tried: set[tuple[int, State]] = set()
    path: list[tuple[int, int, State]] = []  # place in `left`, call, state before it
    place = 0
    while left:
        found = _next_fitting(calls, left, place, state, step)
        while found is not None:
            place, after = found
            key = (taken | 1 << left[place], after)
            if key not in tried:
                break
            found = _next_fitting(calls, left, place + 1, state, step)
        if found is not None:
            tried.add(key)
            index = left.pop(place)
            path.append((place, index, state))
            taken |= 1 << index
            state, place = after, 0
        elif path:
            place, index, state = path.pop()
            left.insert(place, index)
            taken ^= 1 << index
            place += 1
        else:
            return False
    return True


def _next_fitting(
    calls: Sequence[Call],
    left: Sequence[int],
    place: int,
    state: State,
    step: Callable[[State, Call], tuple[bool, State]],
) -> tuple[int, State] | None:
    """(place in `left`, state after it) of the next call, from `place` on, that may come first and fits."""
    first_end = min((calls[index].ended for index in left[:place]), default=1 << 62)
    for there in range(place, len(left)):
        call = calls[left[there]]
        if call.began > first_end:
            return None
        first_end = min(first_end, call.ended)
        fits, after = step(state, call)
        if fits:
            return there, after
    return None
