"""Virtual time, chance and the network: everything that a run's seed decides."""

import heapq
import random
from collections.abc import Callable
from typing import NamedTuple, Protocol

MICRO = 1_000
MILLI = 1_000_000
SECOND = 1_000_000_000


class World:
    """Events in the order of their time; chance from one seed; and, when wanted, the story of the run."""

    def __init__(self, seed: int, *, tell: bool = False) -> None:
        self.seed = seed
        self.now = 0
        self.rng = random.Random(seed)
        self.story: list[str] | None = [] if tell else None
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, delay: int, action: Callable[[], None]) -> None:
        """`action` happens `delay` ns from now."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, action))

    def run_until(self, until: int, done: Callable[[], bool] = lambda: False) -> None:
        queue = self._queue
        while queue and queue[0][0] <= until and not done():
            self.now, _, action = heapq.heappop(queue)
            action()
        self.now = max(self.now, until) if not done() else self.now

    def tell(self, text: str, *values: object) -> None:
        if self.story is not None:
            self.story.append(f"{self.now / MILLI:10.3f} ms  {text % values if values else text}")

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability

    def between(self, low: int, high: int) -> int:
        return low if high <= low else self.rng.randrange(low, high)


class Node(Protocol):
    """Whatever has an address."""

    address: int

    def receive(self, source: int, data: bytes) -> None: ...


class Weather(NamedTuple):
    """What the network does to a datagram, chances between 0 and 1, times in ns."""

    loss: float = 0.0
    duplication: float = 0.0
    delay: int = 100 * MICRO
    jitter: int = 100 * MICRO
    stray: float = 0.0
    """The chance that a datagram is late by up to two seconds."""


class Network:
    """Datagrams, and connections that keep order or break. Paths can be blocked one way; nodes can be slow."""

    def __init__(self, world: World, weather: Weather) -> None:
        self.world = world
        self.weather = weather
        self.nodes: dict[int, Node] = {}
        self.groups: dict[int, list[int]] = {}
        self.blocked: set[tuple[int, int]] = set()
        self.slow: dict[int, int] = {}

    def delay(self, source: int, target: int) -> int:
        weather, world = self.weather, self.world
        delay = weather.delay + world.between(0, weather.jitter)
        if world.chance(weather.stray):
            delay += world.between(0, 2 * SECOND)
        return delay + self.slow.get(source, 0) + self.slow.get(target, 0)

    def send(self, source: int, target: int, data: bytes) -> None:
        weather, world = self.weather, self.world
        if (source, target) in self.blocked or world.chance(weather.loss):
            return
        for _ in range(2 if world.chance(weather.duplication) else 1):
            world.after(self.delay(source, target), lambda: self._arrive(source, target, data))

    def carry(self, source: int, target: int, action: Callable[[], None]) -> None:
        """What goes over a connection: late at most, or not at all where the path is blocked."""
        self.world.after(self.delay(source, target), lambda: None if (source, target) in self.blocked else action())

    def multicast(self, source: int, group: int, data: bytes) -> None:
        for target in self.groups[group]:
            if target != source:
                self.send(source, target, data)

    def _arrive(self, source: int, target: int, data: bytes) -> None:
        if (source, target) not in self.blocked:
            self.nodes[target].receive(source, data)

    def heal(self) -> None:
        self.blocked.clear()
        self.slow.clear()
        self.weather = Weather()


class Connection:
    """A TCP connection: `ends` are addresses. What cannot be delivered breaks it, and both ends are told in time."""

    def __init__(
        self,
        network: Network,
        ends: tuple[int, int],
        receive: dict[int, Callable[[bytes], None]],
        broken: dict[int, Callable[[], None]],
    ) -> None:
        self.network = network
        self.ends = ends
        self.open = True
        self._receive = receive
        self._broken = broken
        self._last = dict.fromkeys(ends, 0)

    def send(self, source: int, data: bytes) -> None:
        if not self.open or not data:
            return
        target = self.ends[self.ends[0] == source]
        world = self.network.world
        arrival = max(self._last[target], world.now + min(self.network.delay(source, target), 300 * MILLI))
        self._last[target] = arrival
        world.after(arrival - world.now, lambda: self._arrive(source, target, data))

    def _arrive(self, source: int, target: int, data: bytes) -> None:
        if not self.open:
            return
        if (source, target) in self.network.blocked:
            self.close()
        else:
            self._receive[target](data)

    def close(self) -> None:
        """Each end learns of it a little later."""
        if self.open:
            self.open = False
            for end in self.ends:
                self.network.world.after(self.network.world.between(1, 50 * MILLI), self._broken[end])
