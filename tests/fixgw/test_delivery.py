"""A release is given to the router in portions: the first at once, the rest with a turn for everybody between two."""

import pytest
import trio
import trio.testing

from fixgw import delivery as module
from fixgw.delivery import Delivery
from recovery.record import Message, Position

END = Position(9, 77)
EPOCH = 3


def messages(count: int, first: int = 1) -> list[Message]:
    return [Message(seq, 0, 0, b"") for seq in range(first, first + count)]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], Position | None, int]]:
    monkeypatch.setattr(module, "MAX_PORTION", 2)
    return []


@pytest.fixture
def delivery(taken: list[tuple[list[int], Position | None, int]]) -> Delivery:
    return Delivery(lambda portion, end, epoch: taken.append(([each.seq for each in portion], end, epoch)))


def test_a_small_release_is_taken_at_once(delivery: Delivery, taken: list[object]) -> None:
    delivery.give(messages(2), END, EPOCH)
    assert taken == [([1, 2], END, EPOCH)]


async def test_a_large_one_leaves_turns_to_others_and_only_its_end_is_the_readers_position(
    delivery: Delivery, taken: list[object], nursery: trio.Nursery
) -> None:
    nursery.start_soon(delivery.run)
    await trio.testing.wait_all_tasks_blocked()
    seen = [1]

    async def look() -> None:
        while True:
            seen.append(len(taken))
            await trio.lowlevel.checkpoint()

    delivery.give(messages(9), END, EPOCH)
    assert taken == [([1, 2], None, EPOCH)]
    nursery.start_soon(look)
    await delivery.wait_taken()
    assert taken == [([1, 2], None, EPOCH), *(([seq, seq + 1], None, EPOCH) for seq in (3, 5, 7)), ([9], END, EPOCH)]
    # trio's scheduler gives each task one turn in a pass, in random order: between two of one, two of another.
    assert all(later - earlier <= 2 for earlier, later in zip(seen, [*seen[1:], len(taken)], strict=True))
    nursery.cancel_scope.cancel()


async def test_what_is_released_meanwhile_follows_with_its_own_position_and_epoch(
    delivery: Delivery, taken: list[object], nursery: trio.Nursery
) -> None:
    delivery.give(messages(3), Position(4, 1), EPOCH)
    delivery.give(messages(1, 4), Position(5, 2), EPOCH + 1)
    assert taken == [([1, 2], None, EPOCH)]
    nursery.start_soon(delivery.run)
    await delivery.wait_taken()
    assert taken[1:] == [([3], Position(4, 1), EPOCH), ([4], Position(5, 2), EPOCH + 1)]
    await delivery.wait_taken()  # nothing waits: at once
    nursery.cancel_scope.cancel()
