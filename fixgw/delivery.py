"""A shard's committed messages on their way to the router: in portions, and between two of them everybody has a turn.

After a change of the primary a reader may release at once what has piled up, thousands of messages. In one go the first
of their reports would leave when the last one is made, and whatever the disk and the links have to say meanwhile would
not be noticed. So the first portion of a release, mostly all of it, is taken at once, and the rest by a task. Until
that is done the stream is left in its socket (`wait_taken`).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import trio

from recovery.record import Message, Position

#: Messages delivered at a time, as one batch: some two milliseconds' work, after which others have a turn. A reader
#: that has caught up may release 65,000; after a change of the primary it is thousands.
MAX_PORTION: Final = 128

#: Takes a portion; where the reader stands after it (None: that is in a later one), and its epoch there.
Take = Callable[[Sequence[Message], Position | None, int], None]


class Delivery:
    """Of one shard. `run` must run beside the reader."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._waiting: deque[tuple[Sequence[Message], Position | None, int]] = deque()
        self._wake = trio.Event()
        self._taken = trio.Event()

    def give(self, messages: Sequence[Message], position: Position, epoch: int) -> None:
        """A release of the reader, which stands at `position` after it, in `epoch`."""
        at_once = not self._waiting
        if at_once and len(messages) <= MAX_PORTION:
            self._take(messages, position, epoch)
            return
        self._waiting.extend((portion, end, epoch) for portion, end in portions(messages, position))
        if at_once:
            self._take(*self._waiting.popleft())
        self._wake.set()

    async def wait_taken(self) -> None:
        """Until nothing waits. Mostly at once."""
        while self._waiting:
            await self._taken.wait()

    async def run(self) -> None:
        """Take what waits, for ever."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._waiting:
                await trio.lowlevel.checkpoint()
                self._take(*self._waiting.popleft())
            self._taken.set()
            self._taken = trio.Event()


def portions(messages: Sequence[Message], position: Position) -> Iterator[tuple[Sequence[Message], Position | None]]:
    """A reader's release, cut for `Router.deliver` so that each portion makes a record that a journal takes."""
    for start in range(0, len(messages), MAX_PORTION):
        end = start + MAX_PORTION
        yield messages[start:end], position if end >= len(messages) else None
