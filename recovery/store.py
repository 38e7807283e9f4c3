"""Where messages are kept to be given again: the interface, and the kept-in-memory form of it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from recovery.record import MAX_MESSAGE_BYTES, MIN_MESSAGE_BYTES

MESSAGE_OVERHEAD_BYTES = 41
"""What Python adds to each kept message: 33 bytes of object, 8 of reference."""
LARGEST_BYTES = MAX_MESSAGE_BYTES + MESSAGE_OVERHEAD_BYTES
COUNTED_TOGETHER = 1024
"""Messages, at most: some 50 µs."""
FREED_PART = 1024
"""What is freed of a full store in one go; of 256 MB some 2,000 messages, less than a ms."""


class MessageStore(Protocol):
    """The messages first_seq … next_seq - 1 of one stream, in order, without holes."""

    @property
    def first_seq(self) -> int: ...

    @property
    def next_seq(self) -> int: ...

    def messages(self, first_seq: int, max_bytes: int) -> list[bytes]:
        """Messages from `first_seq` on, in order, while they add up to at most `max_bytes`.

        Empty when the store does not have `first_seq`; otherwise at least one.
        """


class MemoryStore:
    """The latest messages of a stream, at most `max_bytes` of them, interpreter's overhead included.

    They are counted some at a time: as many as would still have fitted, had each been as large as can be. So a full
    store frees a small part at once.
    """

    def __init__(self, max_bytes: int, next_seq: int = 1) -> None:
        self.max_bytes = max_bytes
        self.next_seq = next_seq
        self._messages: list[bytes] = []
        self._dropped = 0  # entries at the head of the list that are let go, kept until it is worth moving the rest
        self._bytes = 0  # of those before _counted_seq
        self._counted_seq = next_seq
        self._trusted_seq = next_seq  # up to here they fit for certain

    @property
    def first_seq(self) -> int:
        return self.next_seq - len(self._messages) + self._dropped

    def append(self, messages: Sequence[bytes]) -> None:
        """The messages from next_seq on."""
        self._messages += messages
        self.next_seq += len(messages)
        if self.next_seq > self._trusted_seq:
            self._count()

    def _count(self) -> None:
        kept = self._messages
        uncounted = self.next_seq - self._counted_seq
        self._bytes += sum(map(len, kept[-uncounted:])) + MESSAGE_OVERHEAD_BYTES * uncounted
        self._counted_seq = self.next_seq
        if self._bytes > self.max_bytes:
            self._drop()
        self._trusted_seq = self.next_seq + min((self.max_bytes - self._bytes) // LARGEST_BYTES, COUNTED_TOGETHER)

    def _drop(self) -> None:
        kept, dropped, size = self._messages, self._dropped, self._bytes
        most = self.max_bytes - self.max_bytes // FREED_PART
        while size > most:
            size -= len(kept[dropped]) + MESSAGE_OVERHEAD_BYTES
            kept[dropped] = b""
            dropped += 1
        if dropped * 2 > len(kept):
            del kept[:dropped]
            dropped = 0
        self._dropped, self._bytes = dropped, size

    def messages(self, first_seq: int, max_bytes: int) -> list[bytes]:
        if not self.first_seq <= first_seq < self.next_seq:
            return []
        index = len(self._messages) - (self.next_seq - first_seq)
        # A slice, for an iterator would walk to the index: millions of messages for each answer.
        return take(self._messages[index : index + max_bytes // MIN_MESSAGE_BYTES + 1], max_bytes)


def take(messages: Iterable[bytes], max_bytes: int) -> list[bytes]:
    """The first of `messages`, and those after it while all add up to at most `max_bytes`."""
    taken: list[bytes] = []
    for data in messages:
        max_bytes -= len(data)
        if max_bytes < 0 and taken:
            break
        taken.append(data)
    return taken
