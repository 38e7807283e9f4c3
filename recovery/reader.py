"""Reads a shard's stream: datagrams in any order, any number of times, from any epoch in; committed transactions out.

Everything downstream of a shard (gateway, feed, console, retransmitter) is a reader. It promises its owner whole
committed transactions, each once, in order, and the bytes the log of commands dictates; or an exception.

Theory of operation. Messages pass three stages:

    ahead       seq > next         received, but something before them is missing
    collected   position … next    in order, the chained digest followed; uncommitted, or an unfinished transaction
    released    < position         whole, committed, handed over: never taken back

The rules:

- A datagram with a wrong checksum, another shard or a lower epoch is dropped and counted. What it should have carried
  is a gap, and asked for again (`recovery.gaps`).
- On a higher epoch everything not released is discarded and collected again, and the commit is unknown again: a
  commit_seq covers only bytes received in, or fetched under, its own epoch. A deposed primary may have said a command
  under a number that its successor gives to another one.
- Nothing of an epoch is released before a heartbeat has told where it began (EpochStart). Then a reader that has
  released beyond it, or another chain up to it, knows that the tail it acted on was lost: StreamForked.
- The digest of an END message must be the chain this reader has followed itself. When it is not, and nothing of this
  epoch had matched, then what was released before came from another history: StreamForked. Within one epoch it means
  that somebody's bytes are not what the commands dictate: StreamDiverged, which nothing can repair.
- A reader that keeps its `past` finds the last place where its chain is the stream's before it raises StreamForked, and
  can `go_back` there: what it released beyond is not history, and reading on gives what is.
- At most MAX_BUFFERED numbers beyond the position are kept; what lies further is dropped, and asked for later. So a
  late joiner at number 1 of a stream at number ten million catches up in bounded memory.
- A server's word that it does not keep something (an empty RETRANSMITTED packet) says who is asked next, and no more.
- Who is FAR_BEHIND can have the answer to one long request over TCP instead of many short ones (`begin_catch_up`). Its
  packets come in here like all others. Until it ends no gap is asked for, and what is ahead is not kept.
"""

from collections import deque
from typing import NamedTuple

from recovery import packet
from recovery.checksum import crc32c_extend
from recovery.gaps import Gaps
from recovery.packet import HEARTBEAT, RETRANSMITTED, EpochStart, GarbledPacket, Request
from recovery.past import ForkSearch, Past
from recovery.record import (
    END,
    FIRST,
    PACKET_HEADER_BYTES,
    GarbledMessage,
    Message,
    Position,
    Received,
    StreamError,
    parse_all,
)
from recovery.versions import OtherVersion, OtherVersions

MAX_BUFFERED = 65_536
"""Messages beyond the position: a second at 65,000 a second, some 25 MB at worst."""
FAR_BEHIND = 8192
"""Committed messages not released: twice what is in flight of short requests, which cope with all that is less."""


class StreamForked(StreamError):
    """What this reader has released is not part of the stream any more: a tail that nobody else had was lost.

    `fork` is where the reader's history and the stream's part; None for a reader without a past, which is of no more
    use. The other one's position is not moved before its `go_back`, so that what it released can still be handed on.
    """

    def __init__(self, text: str, fork: Position | None = None) -> None:
        super().__init__(text)
        self.fork = fork


class StreamDiverged(StreamError):
    """The stream contradicts itself within one epoch: somebody makes other bytes than the commands dictate."""


class ReaderStatistics(NamedTuple):
    """Counts since the reader was made."""

    packets: int
    bytes: int
    garbled: int
    foreign: int
    stale: int
    duplicates: int
    postponed: int
    gaps_found: int
    gaps_filled: int
    requests: int
    timeouts: int
    epochs: int

    def __str__(self) -> str:
        """For the log."""
        return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in self._asdict().items())


class _Transaction(NamedTuple):
    """A collected, unreleased transaction, and where a reader stands after it."""

    last_seq: int
    digest: int
    messages: list[Message]


class Reader:
    """Reads the stream of one shard from `position` on; `server_count` retransmitters can be asked for gaps.

    `epoch` is the `proven_epoch` at which `position` was written down. Without it (0) a reader that was released beyond
    a fork in an earlier life finds that out at the first digest, and not at the first heartbeat. `past`: where it has
    stood before, for one that is to survive a fork.
    """

    def __init__(
        self,
        shard_id: int,
        position: Position = Position(),  # noqa: B008
        server_count: int = 1,
        *,
        epoch: int = 0,
        past: Past | None = None,
    ) -> None:
        self.shard_id = shard_id
        self.position = position
        """After the last released transaction."""
        self.epoch = epoch
        """The highest heard; 0 before the first datagram."""
        self.owner = 0
        """The replica that the epoch belongs to; 0 before its first heartbeat."""
        self.commit_seq = 0
        """The highest commit heard in this epoch."""
        self.start: EpochStart | None = None
        self.catching_up = False
        """The answer to a long request is coming."""
        self.other_versions = OtherVersions()
        self._past = past
        self._search: ForkSearch | None = None
        self._base = position  # what is collected follows on it: the position, or while a fork is looked for one before
        self._reason = ""
        self._proven = epoch > 0
        self._position_epoch = 0  # an epoch before the present one in which the position was history; 0 = unknown
        self._next, self._digest = position
        self._open: list[Message] = []
        self._complete: deque[_Transaction] = deque()
        self._ahead: dict[int, Received] = {}
        self._frontier = self._next  # all below is released, collected, ahead or in a gap
        self._gaps = Gaps(max(server_count, 1))
        self._can_ask = server_count > 0
        self._requests: list[tuple[int, bytes]] = []
        self._packets = self._bytes = self._garbled = self._foreign = self._stale = 0
        self._duplicates = self._postponed = self._epochs = 0

    @property
    def proven_epoch(self) -> int:
        """The epoch in which what is released is known to be the stream's own history; 0 when not known yet."""
        return self.epoch if self._proven else 0

    @property
    def next_seq(self) -> int:
        """The first number that has not come."""
        return self._next

    def receive_datagram(self, data: bytes, now: int) -> list[Message]:
        """Take one datagram; gives the messages it releases. Raises StreamForked or StreamDiverged.

        After StreamForked with a `fork`, `go_back` and go on with the next datagram.
        """
        self._packets += 1
        self._bytes += len(data)
        try:
            shard_id, epoch, flags, count, first_seq, commit_seq = packet.parse_packet(data)
            if shard_id != self.shard_id:
                self._foreign += 1
                return []
            if epoch < self.epoch:
                self._stale += 1
                return []
            if self.catching_up and first_seq > self._next:
                self._postponed += count
                messages = []
            else:
                messages = parse_all(shard_id, first_seq, count, data, PACKET_HEADER_BYTES) if count else []
        except (GarbledPacket, GarbledMessage):
            self._garbled += 1
            return []
        except OtherVersion as other:
            self._garbled += 1
            self.other_versions.hear(other)
            return []
        if flags & RETRANSMITTED and not count:
            self._gaps.refuse(first_seq, now)
            self._ask(now)
            return []
        if epoch > self.epoch:
            self._enter_epoch(epoch)
        if commit_seq > self.commit_seq:
            self.commit_seq = commit_seq
        try:
            if flags & HEARTBEAT:
                self.owner, _ = packet.primary_of(data)
                self._learn_start(packet.epoch_start_of(data))
            if messages:
                end, limit = first_seq + count, self._base.next_seq + MAX_BUFFERED
                if first_seq == self._next and self._frontier == first_seq and end <= limit:
                    self._collect(messages)
                    self._frontier = end
                else:
                    self._place(first_seq, messages, bool(flags & RETRANSMITTED), now)
        except StreamForked as forked:
            if self._past is None:
                raise
            self._contradicted(self._past, forked)
        if self._search is not None:
            self._look_for_fork(self._search)
        released = self._release()
        if self.commit_seq >= self._frontier and (not count or flags & RETRANSMITTED) and not self.catching_up:
            self._find_tail(now)
        if self._gaps:
            self._ask(now)
        return released

    def datagrams_to_send(self) -> list[tuple[int, bytes]]:
        """Requests to be sent: (index of the server, datagram)."""
        requests, self._requests = self._requests, []
        return requests

    def next_deadline(self) -> int | None:
        return self._gaps.next_deadline(self.commit_seq) if self._can_ask and self._gaps else None

    def handle_deadline(self, now: int) -> None:
        self._ask(now)

    def statistics(self) -> ReaderStatistics:
        gaps = self._gaps
        return ReaderStatistics(
            self._packets,
            self._bytes,
            self._garbled,
            self._foreign,
            self._stale,
            self._duplicates,
            self._postponed,
            gaps.found,
            gaps.filled,
            gaps.asked,
            gaps.timeouts,
            self._epochs,
        )

    # Epochs

    def _enter_epoch(self, epoch: int) -> None:
        self._position_epoch = self.proven_epoch or self._position_epoch
        self.epoch = epoch
        self.owner = 0
        self._epochs += 1
        self.commit_seq = 0
        self.start = None
        self._search = None  # another history: it may even have what the last one had not
        self.catching_up = False
        self._collect_from(self.position)

    def _collect_from(self, base: Position) -> None:
        """Forget all that is not released, and collect what the epoch has from here on."""
        self._base = base
        self._proven = False
        self._next, self._digest = base
        self._frontier = self._next
        self._open = []
        self._complete.clear()
        self._ahead.clear()
        self._gaps.clear()

    def _learn_start(self, start: EpochStart) -> None:
        if self.start is not None:
            if start != self.start:
                raise StreamDiverged(f"epoch {self.epoch} began at {self.start} and at {start}")
            return
        self.start = start
        if not self._proven:
            self._compare_with(start)

    def _compare_with(self, start: EpochStart) -> None:
        """What the start of the epoch says of the position."""
        next_seq, digest = self._base
        if next_seq > start.seq and self._position_epoch:
            raise StreamForked(f"released up to seq {next_seq - 1}, but epoch {self.epoch} began at seq {start.seq}")
        if next_seq == start.seq:
            if digest != start.digest:
                raise StreamForked(f"chain {digest:#010x} before seq {next_seq}, epoch {self.epoch} has {start}")
            self._proven = True

    def _contradiction(self, what: str) -> StreamError:
        """Whose history is wrong: the one released in earlier epochs, or this epoch's own?"""
        if not self._proven and not self._complete and self._base.next_seq > 1:
            return StreamForked(f"{what}: what was released before epoch {self.epoch} is not its history")
        return StreamDiverged(f"{what} in epoch {self.epoch}")

    # Forks

    def go_back(self) -> None:
        """After StreamForked with a `fork`: stand there, and read on."""
        self.position = self._base
        self._proven = True

    def _contradicted(self, past: Past, forked: StreamForked) -> None:
        """What we stand on is not history: look among the places before it."""
        if self._search is None:
            self._reason = str(forked)
            before = self.position.next_seq - 1
            self._search = ForkSearch(past.up_to(before if self.start is None else min(before, self.start.seq)))
            self.catching_up = False
        else:
            self._search.tell(history=False)
        self._collect_from(self._search.probe)

    def _look_for_fork(self, search: ForkSearch) -> None:
        """Try one place after the other, as far as what is known goes. Raises StreamForked when the fork is found."""
        assert self._past is not None
        while not search.found:
            try:
                if self.start is not None and not self._complete:
                    self._compare_with(self.start)
                if not self._proven and not self._complete:
                    return  # the next transaction will tell
                search.tell(history=True)
            except StreamForked:
                search.tell(history=False)
            self._collect_from(search.probe)
        self._search = None
        fork = search.probe
        self._collect_from(fork)
        self._past.cut(fork.next_seq)
        raise StreamForked(f"{self._reason}; history is up to seq {fork.next_seq - 1}", fork)

    # The three stages

    def _place(self, first_seq: int, messages: list[Received], answer: bool, now: int) -> None:
        """Messages that are not simply the next ones."""
        ahead = self._ahead
        next_seq = self._next
        limit = self._base.next_seq + MAX_BUFFERED
        for received in messages:
            seq = received[0].seq
            if seq < next_seq or seq in ahead:
                self._duplicates += 1
            elif seq < limit:
                ahead[seq] = received
            else:
                self._postponed += 1
        end = min(first_seq + len(messages), limit)
        if first_seq < end:
            if first_seq > self._frontier:
                self._gaps.add(self._frontier, first_seq - 1, now)
            elif self._gaps:
                self._gaps.fill(first_seq, end - 1, answer, now)
            self._frontier = max(self._frontier, end)
        run: list[Received] = []
        while (found := ahead.pop(next_seq + len(run), None)) is not None:
            run.append(found)
        self._collect(run)

    def _collect(self, messages: list[Received]) -> None:
        """The next messages in order: follow the chain and put transactions together."""
        digest = self._digest
        transaction = self._open
        for message, checksum, field in messages:
            flags = message.flags
            if bool(flags & FIRST) == bool(transaction):
                raise self._contradiction(f"seq {message.seq} is out of place in its transaction")
            transaction.append(message)
            if flags & END:
                if field != digest:
                    raise self._contradiction(
                        f"digest {field:#010x} at seq {message.seq} where the chain is {digest:#010x}"
                    )
                digest = crc32c_extend(digest, checksum)
                self._complete.append(_Transaction(message.seq, digest, transaction))
                transaction = []
            else:
                digest = crc32c_extend(digest, checksum)
        self._open = transaction
        self._digest = digest
        self._next += len(messages)

    def _release(self) -> list[Message]:
        complete = self._complete
        commit_seq = self.commit_seq
        start = self.start
        if start is None or not complete or complete[0].last_seq > commit_seq or self._search is not None:
            return []
        past = self._past
        released: list[Message] = []
        before_start = self._base.next_seq < start.seq
        last_seq, digest = 0, 0
        while complete and complete[0][0] <= commit_seq:
            last_seq, digest, messages = complete[0]
            if before_start:
                before_start = self._check_start(start, last_seq, digest)
            complete.popleft()
            released += messages
            if past is not None:
                past.remember(Position(last_seq + 1, digest))
        self.position = self._base = Position(last_seq + 1, digest)
        self._proven = True
        return released

    def _check_start(self, start: EpochStart, last_seq: int, digest: int) -> bool:
        """Whether the transaction that ends at `last_seq` is still before the epoch's start. It must fit to it."""
        if last_seq + 1 < start.seq:
            return True
        if last_seq + 1 > start.seq or digest != start.digest:
            raise StreamDiverged(
                f"seq {last_seq} ends at chain {digest:#010x}, but epoch {self.epoch} began at {start}"
            )
        return False

    # Asking again

    def far_behind(self) -> bool:
        """Whether a long request is worth a connection."""
        behind = self.commit_seq - self._next
        return behind > FAR_BEHIND and self._can_ask and self.start is not None and self._search is None

    def begin_catch_up(self) -> bytes:
        """The long request: all that follows. Its answer's packets go to `receive_datagram`, until it ends."""
        self.catching_up = True
        self._gaps.clear()
        self._ahead.clear()
        self._frontier = self._next
        return packet.make_request(Request(self.shard_id, self.epoch, self._next, 1))

    def end_catch_up(self, now: int) -> None:
        """The answer has ended, for whatever reason: what is still missing is asked for the short way."""
        self.catching_up = False
        self._find_tail(now)

    def _find_tail(self, now: int) -> None:
        """Committed numbers that have not come are missing.

        Not looked for when a packet of new messages says so: the commit it carries is its batch's, and the rest of that
        batch is right behind it. If that is lost, the next packet or heartbeat tells.
        """
        end = min(self.commit_seq + 1, self._base.next_seq + MAX_BUFFERED)
        if end > self._frontier:
            self._gaps.add(self._frontier, end - 1, now)
            self._frontier = end

    def _ask(self, now: int) -> None:
        if not self._can_ask:
            return
        for server, first_seq, count in self._gaps.asks(now, self.commit_seq):
            request = packet.make_request(Request(self.shard_id, self.epoch, first_seq, count))
            self._requests.append((server, request))
