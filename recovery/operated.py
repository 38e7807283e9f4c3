"""What came of an operator's command, out of the messages that a replica keeps.

A command of the operator's is numbered like a gateway's, so it is taken once; and whoever asks again, after a lost
connection or a failover, is told the same: the transaction is looked for by its numbers among the latest messages.
"""

from collections import deque
from collections.abc import Iterator

from recovery.record import DIGEST_BYTES, END, FIRST, CommandHeader
from recovery.service_frames import Operate, Operated
from recovery.sources import OPERATOR_SOURCE
from recovery.store import MessageStore

MAX_SEARCHED = 100_000
"""Messages that are looked at for a command: some seconds of a busy shard, and some hundredths of a second's work."""
MAX_TOLD = 64
"""Events from the beginning of what a command did, and as many from its end."""

_BODY, _CHECKSUM = 4, 4
_PAGE_BYTES = 131_072
"""Read between two looks at what else is to be done: a thousand events, and a millisecond."""


def find(store: MessageStore, request: Operate) -> int | None:
    """The number of the message that is this command; None: it is not kept, or was not taken."""
    wanted = (OPERATOR_SOURCE, request.incarnation, request.source_seq)
    seq = max(store.first_seq, store.next_seq - MAX_SEARCHED)
    for message in _messages(store, seq):
        if message[3] & FIRST and CommandHeader.unpack_from(message, _BODY)[2:5] == wanted:
            return seq
        seq += 1
    return None


class Outcome:
    """Collects the events of the command at `seq`, and of the transactions that only went on with its work."""

    def __init__(self, seq: int, continued_by: int) -> None:
        self.tx = 0
        """Of the command."""
        self.last_tx = 0
        """Of the last transaction that belongs to it."""
        self.ended = False
        """What follows is another command."""
        self._seq = seq
        self._continued_by = continued_by
        self._first: list[tuple[int, bytes]] = []
        self._last: deque[tuple[int, bytes]] = deque(maxlen=MAX_TOLD)
        self._count = 0

    def read(self, store: MessageStore) -> bool:
        """Read some of what has been made; False: there is no more of it now."""
        page = [] if self.ended else store.messages(self._seq, _PAGE_BYTES)
        for message in page:
            kind, flags = message[2], message[3]
            if flags & FIRST:
                header = CommandHeader.unpack_from(message, _BODY)
                if self.tx and (kind != self._continued_by or header.source_id):
                    self.ended = True
                    break
                self.tx, self.last_tx = self.tx or header.tx, header.tx
            else:
                end = len(message) - _CHECKSUM - (DIGEST_BYTES if flags & END else 0)
                self._tell(kind, message[_BODY:end])
        self._seq += len(page)
        return bool(page)

    def _tell(self, kind: int, body: bytes) -> None:
        self._count += 1
        if len(self._first) < MAX_TOLD:
            self._first.append((kind, body))
        else:
            self._last.append((kind, body))

    def operated(self) -> Operated:
        told = (*self._first, *self._last)
        return Operated(self.tx, self._count - len(told), told)


def _messages(store: MessageStore, seq: int) -> Iterator[bytes]:
    while page := store.messages(seq, _PAGE_BYTES):
        yield from page
        seq += len(page)
