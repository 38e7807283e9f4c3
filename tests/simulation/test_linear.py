"""The judge of histories, judged: by hand-made histories, and by trying every order."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.linear import Call, Calls, Read, Swap, first_unlinearizable, linearizable

A, B, C = b"a", b"b", b"c"


def swap(began: int, ended: int, value: bytes, before: bytes | None) -> Call:
    return Call(began, ended, "x", Swap(value), before)


def read(began: int, ended: int, value: bytes) -> Call:
    return Call(began, ended, "x", Read(), value)


@pytest.mark.parametrize(
    "calls",
    [
        [],
        [read(1, 2, b"")],
        [swap(1, 2, A, b""), read(3, 4, A)],
        [swap(1, 4, A, b""), read(2, 3, b"")],
        [swap(1, 4, A, b""), read(2, 3, A)],
        [swap(1, 6, A, B), swap(2, 5, B, b""), read(3, 4, B)],
        [swap(1, 8, A, None), swap(2, 7, B, None), read(3, 4, B), read(5, 6, A)],
        [swap(1, 8, A, None), swap(2, 7, B, None), read(3, 4, A), read(5, 6, B)],
    ],
)
def test_what_a_register_could_have_answered(calls):
    assert linearizable(calls, b"")


@pytest.mark.parametrize(
    "calls",
    [
        [read(1, 2, A)],
        [swap(1, 2, A, b""), read(3, 4, b"")],
        [swap(1, 6, A, b""), read(2, 3, A), read(4, 5, b"")],
        [swap(1, 2, A, b""), swap(3, 4, B, b"")],
        [swap(1, 4, A, B), swap(2, 3, B, A)],
        [swap(1, 2, A, None), swap(3, 4, B, None), read(5, 6, A)],
        [swap(1, 10, A, None), swap(2, 9, B, None), read(3, 4, A), read(5, 6, B), read(7, 8, A)],
    ],
    ids=["never written", "stale", "back again", "lost", "circle", "overwritten", "there and back"],
)
def test_what_no_register_could_have_answered(calls):
    assert not linearizable(calls, b"")
    assert first_unlinearizable([Call(1, 2, "y", Read(), b""), *calls], b"") == "x"


def by_trying_all(calls: list[Call]) -> bool:
    return any(_answers(order) for order in permutations(calls))


def _answers(order: tuple[Call, ...]) -> bool:
    state: object = b""
    for place, call in enumerate(order):
        if call.answered not in (None, state) or any(later.ended < call.began for later in order[place + 1 :]):
            return False
        state = call.asked.value if isinstance(call.asked, Swap) else state
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Call]:
    count = draw(st.integers(1, 5))
    times = draw(st.permutations(range(2 * count)))
    calls = []
    for index in range(count):
        began, ended = sorted(times[2 * index : 2 * index + 2])
        answer = draw(st.sampled_from((b"", b"0", b"1", b"2")))
        before = draw(st.sampled_from((None, answer)))
        calls.append(read(began, ended, answer) if draw(st.booleans()) else swap(began, ended, b"%d" % index, before))
    return calls


@given(histories())
def test_the_search_finds_what_trying_all_orders_finds(calls):
    assert linearizable(calls, b"") == by_trying_all(calls)


def test_calls_are_written_down_in_their_order():
    calls = Calls()
    calls.begin(1, "x", Swap(A))
    calls.begin(2, "x", Read())
    calls.begin(1, "x", Swap(A))
    calls.end(1, b"")
    assert calls.ended == [Call(1, 3, "x", Swap(A), b"")]
    assert calls.unanswered() == [2]
