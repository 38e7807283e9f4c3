import trio

from recovery.alarm import Alarm, now_ns

SECOND = 1_000_000_000


class Timer:
    def __init__(self) -> None:
        self.deadline: int | None = None
        self.rung: list[int] = []

    def ring(self, now: int) -> None:
        assert self.deadline is not None
        assert now >= self.deadline
        self.rung.append(now)
        self.deadline = None


async def test_it_rings_at_the_deadline_wherever_that_moves(autojump_clock, nursery):
    timer = Timer()
    alarm = Alarm(lambda: timer.deadline, timer.ring)
    nursery.start_soon(alarm.run)
    await trio.testing.wait_all_tasks_blocked()
    start = now_ns()
    timer.deadline = start + 5 * SECOND
    alarm.moved()
    await trio.sleep(1)
    timer.deadline = start + 2 * SECOND
    alarm.moved()
    await trio.sleep(10)
    assert len(timer.rung) == 1
    assert abs(timer.rung[0] - start - 2 * SECOND) < 1000


async def test_a_deadline_that_moved_away_without_a_word_does_not_ring_early(autojump_clock, nursery):
    timer = Timer()
    start = now_ns()
    timer.deadline = start + SECOND
    nursery.start_soon(Alarm(lambda: timer.deadline, timer.ring).run)
    await trio.testing.wait_all_tasks_blocked()
    timer.deadline = start + 3 * SECOND
    await trio.sleep(2)
    assert timer.rung == []
    await trio.sleep(2)
    assert len(timer.rung) == 1


async def test_a_deadline_that_is_always_over_rings_on_and_leaves_the_others_their_turns(autojump_clock, nursery):
    rung: list[int] = []
    nursery.start_soon(Alarm(lambda: 0, rung.append).run)
    for _ in range(100):
        await trio.lowlevel.checkpoint()
    assert 98 <= len(rung) <= 102
