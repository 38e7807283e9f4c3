"""Answers requests for messages that were missed: bounded, rate-limited, and silent to what it should not answer.

An answer is ordinary packets with RETRANSMITTED set, under the server's epoch and with its commit. The rules:

- Never above the commit, and never under an epoch in which what is stored is not proven to be the stream's own history.
- At most MAX_ANSWER_DATAGRAMS per request; the asker comes again for the rest.
- A request is 24 bytes and its answer up to 44 kB, so every asker has a token bucket, counted in datagrams. The
  number of askers remembered is bounded; the longest silent is forgotten first. (Whoever can forge source addresses
  on the network can still aim answers at others: the port belongs on a network of the venue's own.)
- Whatever is not answered is dropped and counted by reason. Nobody is told: the asker asks again, elsewhere.
"""

from enum import Enum
from typing import Protocol

from recovery import packet
from recovery.packet import MAX_ANSWER_DATAGRAMS, RETRANSMITTED, GarbledPacket, Request
from recovery.record import MAX_PACKET_BYTES, PACKET_HEADER_BYTES
from recovery.store import MessageStore

ANSWER_RATE = 20_000
"""Datagrams a second and asker: 28 MB/s, some 300,000 messages a second; a late joiner's speed."""
ANSWER_BURST = 1_024
"""Datagrams at once: four times what a reader has in flight."""
MAX_ASKERS = 1_024

_NANO = 1_000_000_000
_MAX_ANSWER_BYTES = MAX_ANSWER_DATAGRAMS * (MAX_PACKET_BYTES - PACKET_HEADER_BYTES)

Address = tuple[str, int]


class Drop(Enum):
    """Why a request was not answered."""

    GARBLED = "garbled"
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

    def __init__(self, shards: dict[int, Kept]) -> None:
        self.dropped = dict.fromkeys(Drop, 0)
        self.answered = 0
        self._shards = shards
        self._askers: dict[Address, tuple[int, int]] = {}  # address → (tokens in ns, when), longest silent first

    def receive_request(self, data: bytes, address: Address, now: int) -> list[bytes]:
        """The datagrams that answer a request, to be sent to `address`; none when it is dropped."""
        answer = self._answer(data, address, now)
        if isinstance(answer, Drop):
            self.dropped[answer] += 1
            return []
        self.answered += 1
        return answer

    def _answer(self, data: bytes, address: Address, now: int) -> list[bytes] | Drop:
        try:
            request = packet.parse_request(data)
        except GarbledPacket:
            return Drop.GARBLED
        kept = self._shards.get(request.shard_id)
        if kept is None:
            return Drop.UNKNOWN_SHARD
        tokens = self._tokens(address, now)
        if tokens < MAX_ANSWER_DATAGRAMS * _NANO // ANSWER_RATE:
            return Drop.OVER_LIMIT
        answer = self._collect(kept, request)
        if not isinstance(answer, Drop):
            self._askers[address] = (tokens - len(answer) * _NANO // ANSWER_RATE, now)
        return answer

    def _collect(self, kept: Kept, request: Request) -> list[bytes] | Drop:
        shard_id, epoch, first_seq, count = request
        if not kept.proven_epoch or kept.proven_epoch < epoch:
            return Drop.LOWER_EPOCH
        count = min(count, kept.commit_seq - first_seq + 1)
        if count <= 0:
            return Drop.ABOVE_COMMIT
        messages = kept.store.messages(first_seq, _MAX_ANSWER_BYTES)[:count]
        if not messages:
            return Drop.NOT_KEPT
        datagrams = packet.pack_messages(
            shard_id, kept.proven_epoch, RETRANSMITTED, first_seq, kept.commit_seq, messages
        )
        return datagrams[:MAX_ANSWER_DATAGRAMS]

    def _tokens(self, address: Address, now: int) -> int:
        """What the asker may spend now, in ns of its rate; it is the latest one heard from here on."""
        full = ANSWER_BURST * _NANO // ANSWER_RATE
        tokens, then = self._askers.pop(address, (full, now))
        tokens = min(tokens + now - then, full)
        if len(self._askers) >= MAX_ASKERS:
            del self._askers[next(iter(self._askers))]
        self._askers[address] = (tokens, now)
        return tokens
