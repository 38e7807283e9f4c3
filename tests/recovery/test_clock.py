from recovery.clock import MAX_JUMP, StampClock

SECOND = 1_000_000_000


class Clocks:
    def __init__(self) -> None:
        self.wall = 1_700_000_000 * SECOND
        self.monotonic = 5 * SECOND
        self.stamps = StampClock(lambda: self.wall, lambda: self.monotonic)

    def advance(self, ns: int) -> None:
        self.wall += ns
        self.monotonic += ns


def test_stamps_are_the_wall_clock_while_it_runs_evenly():
    clocks = Clocks()
    clocks.advance(3600 * SECOND)
    assert clocks.stamps.now() == clocks.wall


def test_small_corrections_are_followed_both_ways():
    clocks = Clocks()
    for correction in (MAX_JUMP, -MAX_JUMP, 1, -1):
        clocks.wall += correction
        assert clocks.stamps.now() == clocks.wall
    assert (clocks.stamps.refused, clocks.stamps.jump) == (0, 0)


def test_a_jump_is_refused_and_counted_once_and_over_when_the_clock_is_back():
    for jump in (MAX_JUMP + 1, -MAX_JUMP - 1, 3600 * SECOND):
        clocks = Clocks()
        before = clocks.stamps.now()
        clocks.wall += jump
        clocks.advance(SECOND)
        assert clocks.stamps.now() == before + SECOND
        assert clocks.stamps.now() == before + SECOND
        assert (clocks.stamps.refused, clocks.stamps.jump) == (1, jump)
        clocks.wall -= jump
        assert clocks.stamps.now() == clocks.wall
        assert (clocks.stamps.refused, clocks.stamps.jump) == (1, 0)
