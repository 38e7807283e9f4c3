"""The coordinator of a simulated cluster, and its bad days."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.world import MILLI

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


class CoordinatorFake:
    """The epoch of one shard, with a version; answers late, or never, even when the change was made."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster
        self.epoch = 0
        self.version = 0
        self.delay = 2 * MILLI
        self.reachable = True
        self.lose_answers = False

    def raise_epoch(self, above: int, answer: Callable[[int | None], None]) -> None:
        world = self.cluster.world

        def read() -> None:
            if not self.reachable:
                world.after(1000 * MILLI, lambda: answer(None))
                return
            epoch, version = max(self.epoch, above) + 1, self.version
            world.after(world.between(self.delay // 2, self.delay), lambda: write(epoch, version))

        def write(epoch: int, version: int) -> None:
            faster = version != self.version or not self.reachable
            if not faster:
                self.epoch, self.version = epoch, version + 1
            if self.lose_answers and world.chance(0.5):
                world.after(world.between(0, 3000 * MILLI), lambda: answer(None if faster else epoch))
            else:
                world.after(world.between(self.delay // 2, self.delay), lambda: answer(None if faster else epoch))

        world.after(world.between(self.delay // 2, self.delay), read)

    def calm(self) -> None:
        self.reachable, self.delay, self.lose_answers = True, 2 * MILLI, False
