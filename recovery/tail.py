"""Mode "async": what retransmission servers have beyond the end of a candidate's log.

There, a primary's word is a commit, and readers act on it. When it is lost, no promising replica may have heard the
last of it, but a retransmission server may have: it keeps what was said, and only what was said. A candidate that has
the best log of its promises asks for what follows, and takes the commands, before its epoch begins: so the epoch begins
behind them, and nobody who has released them stands on a fork.

Which answers may be believed. A server answers under an epoch in which its history is proven, so all answers under one
epoch are parts of one history, whoever gives them. Only those of the highest epoch count: where a later one has begun,
what an older one had beyond is void, and was told so. (Each request begins with the log's own last message, so that a
server that has nothing more says its epoch, too; and none counts below that in which the log is complete.) The chained
digest is followed from the log's own end: what does not continue exactly this log is not taken, nor what is not whole.
The commands are entries of the candidate's *own* epoch, as if it had been the first to hear them: nothing about
whose entries they were has to be known, and no entry of an older epoch is made twice. Applying them makes the same
bytes, by the chain in each entry; it is the same check as for any other entry. All this comes before the log is said to
be complete in the epoch: if the candidate dies before, the next one asks for the same.

There is not always more, and then nobody answers: who asks waits for QUIET, and never longer than PATIENCE.
"""

from recovery import packet
from recovery.checksum import crc32c_extend
from recovery.packet import Request
from recovery.record import (
    COMMAND_HEADER_BYTES,
    END,
    FIRST,
    PACKET_HEADER_BYTES,
    HeardCommand,
    Position,
    Received,
    parse_all,
)

ASK_INTERVAL = 15_000_000
"""ns between two attempts to be heard."""
QUIET = 40_000_000
"""ns without anything new: three attempts; there is no more."""
PATIENCE = 100_000_000
"""ns in all: longer is worse than what may be lost."""
REQUEST_MESSAGES = 512
MAX_TAIL = 65_536
"""Messages, in each epoch."""


class _Answers:
    """Of one epoch: the messages, and up to where they have no hole."""

    def __init__(self, next_seq: int) -> None:
        self.messages: dict[int, Received] = {}
        self.next_seq = next_seq


class Tail:
    """Asks for what follows on a log that ends with the entry `tx` at `position`, and with nothing below `epoch`."""

    def __init__(self, shard_id: int, tx: int, epoch: int, position: Position, now: int) -> None:
        self._shard_id = shard_id
        self.tx = tx
        self._epoch = epoch
        self._position = position
        self._answers = {epoch: _Answers(position.next_seq)}
        self._ask_at = now
        self._asked_to = position.next_seq
        self._progress = False
        self._quiet_at = now + QUIET
        self._deadline = now + PATIENCE

    def receive(self, epoch: int, first_seq: int, count: int, data: bytes) -> None:
        """An answer, whose header was read. Raises GarbledMessage."""
        begin = self._position.next_seq
        if epoch < self._epoch or not count:
            return
        received = parse_all(self._shard_id, first_seq, count, data, PACKET_HEADER_BYTES)
        answers = self._answers.setdefault(epoch, _Answers(begin))
        for each in received:
            if begin <= each[0].seq < begin + MAX_TAIL:
                self._progress |= each[0].seq not in answers.messages
                answers.messages[each[0].seq] = each
        while answers.next_seq in answers.messages:
            answers.next_seq += 1

    def requests(self, now: int) -> list[bytes]:
        """What to ask of every server now: at once for what follows on a whole answer, else for what may be lost."""
        if self._progress:
            self._progress = False
            self._quiet_at = now + QUIET
        next_seq = self._best.next_seq
        if now < self._ask_at and next_seq < self._asked_to:
            return []
        first_seq = max(next_seq - 1, 1)
        self._ask_at = now + ASK_INTERVAL
        self._asked_to = first_seq + REQUEST_MESSAGES
        return [packet.make_request(Request(self._shard_id, self._epoch, first_seq, REQUEST_MESSAGES))]

    @property
    def _best(self) -> _Answers:
        return self._answers[max(self._answers)]

    def next_deadline(self) -> int:
        return min(self._ask_at, self._ended_at)

    @property
    def _ended_at(self) -> int:
        return min(self._quiet_at, self._deadline)

    def ended(self, now: int) -> bool:
        return now >= self._ended_at

    def commands(self) -> list[HeardCommand]:
        """(tx, chain before it, kind, command: header and body) of each whole transaction that follows on the log."""
        answers = self._best
        begin, digest = self._position
        commands: list[HeardCommand] = []
        first: HeardCommand | None = None
        for seq in range(begin, answers.next_seq):
            message, checksum, field = answers.messages[seq]
            if bool(message.flags & FIRST) != (first is None):
                break
            if first is None:
                tx = self.tx + 1 + len(commands)
                if len(message.body) < COMMAND_HEADER_BYTES or int.from_bytes(message.body[:8], "big") != tx:
                    break
                first = (tx, digest, message.kind, message.body)
            if message.flags & END:
                if field != digest:
                    break
                commands.append(first)
                first = None
            digest = crc32c_extend(digest, checksum)
        return commands
