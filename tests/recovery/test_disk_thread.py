"""The thread that waits for the disk: what it is asked, in order, and what becomes of errors and of being canceled."""

import signal
import threading
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from recovery.disk_thread import DiskThread


class Held:
    """A call that ends when it is let."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.done_by: list[int] = []

    def __call__(self) -> None:
        assert self.gate.wait(10)
        self.done_by.append(threading.get_ident())


@pytest.fixture
def disk() -> Iterator[DiskThread]:
    thread = DiskThread()
    yield thread
    thread.close()


async def test_a_call_is_done_beside_trio_and_waited_for(disk):
    held = Held()

    async def ask() -> None:
        await disk.run(held)
        assert held.done_by

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert not held.done_by
        held.gate.set()
    await disk.run(held)
    first, second = held.done_by
    assert first == second != threading.get_ident()


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("a mistake of ours")])
async def test_what_a_call_raises_is_raised_and_the_next_one_goes_on(disk, error):
    def fail() -> None:
        raise error

    done: list[int] = []
    with pytest.raises(type(error), match=str(error.args[-1])):
        await disk.run(fail)
    await disk.run(lambda: done.append(1))
    assert done == [1]


async def test_who_is_canceled_waits_for_the_end_of_the_call(disk):
    held, scope = Held(), trio.CancelScope()

    async def ask() -> None:
        with scope:
            await disk.run(held)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        held.gate.set()
    assert held.done_by


async def test_a_signal_does_not_end_the_thread(disk):
    threads: list[threading.Thread] = []
    handled: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: handled.append(number))
    try:
        await disk.run(lambda: threads.append(threading.current_thread()))
        assert threads[0].ident is not None
        signal.pthread_kill(threads[0].ident, signal.SIGUSR1)
        threads[0].join(0.05)  # one that ends has ended by then
        assert threads[0].is_alive()
        await disk.run(lambda: threads.append(threading.current_thread()))
        assert handled == [signal.SIGUSR1]
        assert threads[0] is threads[1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_to_close_one_that_was_never_asked_is_nothing():
    DiskThread().close()


async def test_to_close_ends_the_thread():
    thread = DiskThread()
    before = threading.active_count()
    await thread.run(lambda: None)
    assert threading.active_count() == before + 1
    thread.close()
    assert threading.active_count() == before
    thread.close()
