"""Answers requests for messages that were missed: bounded, rate-limited, and silent to what it should not answer.

An answer is ordinary packets with RETRANSMITTED set, under the server's epoch and with its commit. The rules:

- Never above the commit, and never under an epoch in which what is stored is not proven to be the stream's own history.
- At most MAX_ANSWER_DATAGRAMS per request; the asker comes again for the rest.
- A request is 24 bytes and its answer up to 44 kB, so every asker has a token bucket, counted in datagrams. The
  number of askers remembered is bounded; the longest silent is forgotten first. (Whoever can forge source addresses
  on the network can still aim answers at others: the port belongs on a network of the venue's own.)
- Whatever is not answered is dropped and counted by reason. Nobody is told: the asker asks again, elsewhere. Only when
  what is asked for is history and not kept here any more, or never was, the answer says so (an empty packet, of 32
  bytes, out of the same bucket): for as long as this server lives, it would be asked in vain.
- A server that does not know yet that something is committed (one that is late, or a backup, whom nobody wakes for a
  bare commit) is silent, too, and costs its asker `gaps.FIRST_TIMEOUT` before the next one is asked. It will have it by
  then, or soon: to send askers on at once would bring all of them to the primary, the last in their list, whenever a
  retransmitter is busy. Who has been answered is asked first the next time, so it is one such wait and not one a gap.
- The answer to a request over TCP (`LongAnswer`) is all that follows, up to the commit as it was when it was asked for,
  piece by piece; it ends early when the epoch changes.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from recovery import packet
from recovery.packet import MAX_ANSWER_DATAGRAMS, RETRANSMITTED, GarbledPacket, PacketHeader, Request
from recovery.record import MAX_PACKET_BYTES, PACKET_HEADER_BYTES
from recovery.store import MessageStore
from recovery.versions import OtherVersion, OtherVersions

ANSWER_RATE = 20_000
"""Datagrams a second and asker: 28 MB/s, some 300,000 messages a second; a late joiner's speed."""
ANSWER_BURST = 1_024
"""Datagrams at once: four times what a reader has in flight."""
MAX_ASKERS = 1_024

PIECE_BYTES = 128 * 1024
"""Of a long answer at a time: two milliseconds' work."""

_NANO = 1_000_000_000
_MAX_ANSWER_BYTES = MAX_ANSWER_DATAGRAMS * (MAX_PACKET_BYTES - PACKET_HEADER_BYTES)

Address = tuple[str, int]


class Drop(Enum):
    """Why a request was not answered with messages."""

    GARBLED = "garbled"
    OTHER_VERSION = "other version"
    UNKNOWN_SHARD = "unknown shard"
    OVER_LIMIT = "over limit"
    LOWER_EPOCH = "lower epoch here"
    ABOVE_COMMIT = "above commit"
    NOT_KEPT = "not kept"


class Kept(Protocol):
    """One shard's messages as a server has them."""

    @property
    def store(self) -> MessageStore: ...

    @property
    def proven_epoch(self) -> int:
        """The epoch in which the store is known to be the stream's history; 0 for none."""

    @property
    def commit_seq(self) -> int:
        """Up to here the store may be told from."""


class Retransmitter:
    """Answers requests for the shards it is given, `shards`: shard_id → what is kept of it."""

    def __init__(self, shards: Mapping[int, Kept]) -> None:
        self.dropped = dict.fromkeys(Drop, 0)
        self.answered = 0
        self.other_versions = OtherVersions()
        self._shards = shards
        self._askers: dict[Address, tuple[int, int]] = {}  # address → (tokens in ns, when), longest silent first

    def receive_request(self, data: bytes, address: Address, now: int) -> list[bytes]:
        """The datagrams that answer a request, to be sent to `address`; none when it is dropped."""
        datagrams, drop = self._answer(data, address, now)
        if drop is None:
            self.answered += 1
        else:
            self.dropped[drop] += 1
        return datagrams

    def receive_long_request(self, data: bytes, host: str) -> "LongAnswer | None":
        """What a request over TCP is to be answered by; None when it is dropped. Whoever serves it bounds its rate."""
        answer = self._begin_long_answer(data, host)
        if isinstance(answer, Drop):
            self.dropped[answer] += 1
            return None
        self.answered += 1
        return answer

    def _parse(self, data: bytes, host: str) -> Request | Drop:
        try:
            return packet.parse_request(data)
        except GarbledPacket:
            return Drop.GARBLED
        except OtherVersion as other:
            self.other_versions.hear(other, host)
            return Drop.OTHER_VERSION

    def _begin_long_answer(self, data: bytes, host: str) -> "LongAnswer | Drop":
        request = self._parse(data, host)
        if isinstance(request, Drop):
            return request
        kept = self._shards.get(request.shard_id)
        if kept is None:
            return Drop.UNKNOWN_SHARD
        if not kept.proven_epoch or kept.proven_epoch < request.epoch:
            return Drop.LOWER_EPOCH
        if request.first_seq > kept.commit_seq:
            return Drop.ABOVE_COMMIT
        if not kept.store.messages(request.first_seq, 1):
            return Drop.NOT_KEPT
        return LongAnswer(request.shard_id, request.first_seq, kept)

    def _answer(self, data: bytes, address: Address, now: int) -> tuple[list[bytes], Drop | None]:
        request = self._parse(data, address[0])
        if isinstance(request, Drop):
            return [], request
        kept = self._shards.get(request.shard_id)
        if kept is None:
            return [], Drop.UNKNOWN_SHARD
        tokens = self._tokens(address, now)
        if tokens < MAX_ANSWER_DATAGRAMS * _NANO // ANSWER_RATE:
            return [], Drop.OVER_LIMIT
        datagrams, drop = self._collect(kept, request)
        self._askers[address] = (tokens - len(datagrams) * _NANO // ANSWER_RATE, now)
        return datagrams, drop

    def _collect(self, kept: Kept, request: Request) -> tuple[list[bytes], Drop | None]:
        shard_id, epoch, first_seq, count = request
        if not kept.proven_epoch or kept.proven_epoch < epoch:
            return [], Drop.LOWER_EPOCH
        count = min(count, kept.commit_seq - first_seq + 1)
        if count <= 0:
            return [], Drop.ABOVE_COMMIT
        messages = kept.store.messages(first_seq, _MAX_ANSWER_BYTES)[:count]
        if not messages:
            refusal = PacketHeader(shard_id, kept.proven_epoch, RETRANSMITTED, 0, first_seq, 0)
            return [packet.make_packet(refusal)], Drop.NOT_KEPT
        datagrams = packet.pack_messages(
            shard_id, kept.proven_epoch, RETRANSMITTED, first_seq, kept.commit_seq, messages
        )
        return datagrams[:MAX_ANSWER_DATAGRAMS], None

    def _tokens(self, address: Address, now: int) -> int:
        """What the asker may spend now, in ns of its rate; it is the latest one heard from here on."""
        full = ANSWER_BURST * _NANO // ANSWER_RATE
        tokens, then = self._askers.pop(address, (full, now))
        tokens = min(tokens + now - then, full)
        if len(self._askers) >= MAX_ASKERS:
            del self._askers[next(iter(self._askers))]
        self._askers[address] = (tokens, now)
        return tokens


class LongAnswer:
    """All messages of one stream from `next_seq` on, up to the commit as it is now."""

    def __init__(self, shard_id: int, next_seq: int, kept: Kept) -> None:
        self.shard_id = shard_id
        self.next_seq = next_seq
        self.last_seq = kept.commit_seq
        self._kept = kept
        self._epoch = kept.proven_epoch

    def next_piece(self) -> bytes:
        """Packets for TCP; empty at the end, and when what is kept is not known to be history any more."""
        kept = self._kept
        count = self.last_seq - self.next_seq + 1
        if count <= 0 or kept.proven_epoch != self._epoch:
            return b""
        messages = kept.store.messages(self.next_seq, PIECE_BYTES)[:count]
        first_seq, self.next_seq = self.next_seq, self.next_seq + len(messages)
        commit_seq = kept.commit_seq
        return packet.with_lengths(
            packet.pack_messages(self.shard_id, self._epoch, RETRANSMITTED, first_seq, commit_seq, messages)
        )
