"""What a primary says on its stream: messages into packets, commits, heartbeats.

One outbox is one epoch: a new epoch is a new outbox, which first sends again, under its own epoch, everything above the
commit (`tail`). The rules of the stream it keeps:

- whole messages are packed up to the packet size, and the rest is flushed at the end of a batch: whoever calls
  `datagrams_to_send()` ends the batch;
- a batch that only advances the commit sends one empty packet at once; a commit that comes with messages rides on them;
- a heartbeat goes out at once and every 50 ms from then on, in silence or not: a reader may release nothing of an epoch
  before a heartbeat has told it where the epoch began, and learns from the next one what it has missed. It also says
  whose epoch this is, so that sources find the primary, and for how long no majority has answered, as the primary
  knows: one that is heard may be deaf.
"""

from collections.abc import Sequence

from recovery import packet
from recovery.packet import EpochStart, PacketHeader
from recovery.record import MAX_PACKET_BYTES

HEARTBEAT_INTERVAL = 50_000_000
"""ns. A backup takes 200–250 ms of silence for death: four heartbeats may be lost in a row."""


class Outbox:
    """Packs the stream of one shard in one epoch.

    `owner` is the replica that says it. `tail` is what was numbered before the epoch began but not committed: the
    messages commit_seq + 1 … start.seq - 1.
    """

    def __init__(
        self,
        shard_id: int,
        epoch: int,
        start: EpochStart,
        *,
        now: int,
        owner: int = 0,
        tail: Sequence[bytes] = (),
        max_packet_bytes: int = MAX_PACKET_BYTES,
    ) -> None:
        self.shard_id = shard_id
        self.epoch = epoch
        self.start = start
        self.owner = owner
        self.next_seq = start.seq
        self.commit_seq = start.seq - 1 - len(tail)
        self._commit_sent = self.commit_seq
        self._queue = list(tail)
        self._max_packet_bytes = max_packet_bytes
        self._heartbeat_at = now
        self._heartbeat_due = True
        self._unanswered = 0

    def append(self, messages: Sequence[bytes]) -> None:
        """The next messages of the stream, in order; they may go out before they are committed."""
        self._queue += messages
        self.next_seq += len(messages)

    def commit(self, seq: int) -> None:
        """Everything up to `seq`, which ends a transaction, is committed."""
        assert self.commit_seq <= seq < self.next_seq, f"commit {seq} outside {self.commit_seq}…{self.next_seq - 1}"
        self.commit_seq = seq

    def datagrams_to_send(self) -> list[bytes]:
        """End the batch: the packets that say all that is new."""
        datagrams = []
        if self._queue:
            first_seq = self.next_seq - len(self._queue)
            datagrams = packet.pack_messages(
                self.shard_id, self.epoch, 0, first_seq, self.commit_seq, self._queue, self._max_packet_bytes
            )
            self._queue = []
        elif self.commit_seq != self._commit_sent and not self._heartbeat_due:
            header = PacketHeader(self.shard_id, self.epoch, 0, 0, self.next_seq, self.commit_seq)
            datagrams = [packet.make_packet(header)]
        if self._heartbeat_due:
            self._heartbeat_due = False
            place = self.shard_id, self.epoch, self.next_seq, self.commit_seq, self.start
            datagrams.append(packet.make_heartbeat(*place, self.owner, self._unanswered))
        self._commit_sent = self.commit_seq
        return datagrams

    def next_deadline(self) -> int:
        """When the next heartbeat is due, ns."""
        return self._heartbeat_at

    def handle_deadline(self, now: int, unanswered: int = 0) -> None:
        """`unanswered`: ns since a majority last answered, for the heartbeat."""
        if now >= self._heartbeat_at:
            self._heartbeat_due = True
            self._unanswered = unanswered
            self._heartbeat_at = now + HEARTBEAT_INTERVAL
