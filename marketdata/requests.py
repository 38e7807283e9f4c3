"""The MoldUDP64 request server: a listener that missed messages asks for them by number.

The idea is that an answer is an ordinary downstream packet, the same bytes for the same messages as the live feed, but
sent to the asker alone. The server remembers nothing of its askers but their rate, so any number of servers can stand
side by side.

Rules, in the order they are applied (anything else is dropped and counted under the reason in capitals):

1. SOURCE_NOT_ALLOWED: the asker is in an allow-listed network. Twenty bytes of request make up to 1,400 of answer, and
   UDP does not prove who sent it: an open server is an amplifier for whoever forges addresses.
2. SOURCE_RATE: at most 1,000 requests a second per address, in bursts of at most 200; garbage counts too.
3. NOT_A_REQUEST: exactly twenty bytes.
4. UNKNOWN_SESSION: one of the sessions we hold.
5. BAD_COUNT: 0 and 0xFFFF messages cannot be asked for.
6. OUT_OF_RANGE: the first message asked for is one we hold. What is in the store has been published: an answer never
   runs ahead of the multicast.
7. TOTAL_RATE: all answers together stay within a number of bytes per second.

The answer is ONE datagram with as many of the messages asked for as it holds; the asker asks again for the rest.

Source: "MoldUDP64 Protocol Specification" V 1.00, section 4; the limits are our own.
"""

from array import array
from bisect import bisect_right
from collections import Counter, deque
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from marketdata import moldudp64

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Network = IPv4Network | IPv6Network

NS_PER_SECOND: Final = 1_000_000_000
#: Requests per second and address: at forty messages per answer a listener catches up on 40,000 messages a second.
SOURCE_RATE: Final = 1000
#: Requests at once: the gaps of one bad moment, asked for together.
SOURCE_BURST: Final = 200
#: Bytes of answers per second over all askers: 100 Mbit/s, a tenth of a small host's link.
TOTAL_RATE: Final = 12_500_000
#: Bytes of answers at once: 50 ms of the above.
TOTAL_BURST: Final = 625_000
#: Addresses remembered for their limit. A plant has a few hundred listeners.
MAX_SOURCES: Final = 4096
#: Messages per chunk of a store: 2 to 3 MB, dropped as one.
CHUNK_MESSAGES: Final = 65_536
#: Chunks per store by default: 67 million messages, more than 2 GB.
MAX_CHUNKS: Final = 1024

_LENGTH: Final = Struct(">H")


class Drop(Enum):
    """Why a request got no answer."""

    SOURCE_NOT_ALLOWED = "source_not_allowed"
    SOURCE_RATE = "source_rate"
    NOT_A_REQUEST = "not_a_request"
    UNKNOWN_SESSION = "unknown_session"
    BAD_COUNT = "bad_count"
    OUT_OF_RANGE = "out_of_range"
    TOTAL_RATE = "total_rate"


class MessageStore(Protocol):
    """The published messages of one session, `first` to `last` without a hole; empty when `last` < `first`."""

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...

    def blocks(self, first: int, count: int, max_bytes: int) -> tuple[int, bytes]:
        """(n, n message blocks from number `first` on), the blocks at most `max_bytes` long and 1 ≤ n ≤ `count`.

        `first` is held, and its block fits. Fewer than `count` is no sign of the store's end.
        """


class _Chunk:
    """Message blocks one after the other, and where each begins; `offsets` has the end as its last element."""

    def __init__(self) -> None:
        self.blocks = bytearray()
        self.offsets = array("I", [0])


class SessionStore:
    """A `MessageStore` in memory: the blocks as they go on the wire, so an answer is a slice.

    Holds at least the last `(max_chunks - 1) * CHUNK_MESSAGES` messages; older ones go a chunk at a time.
    """

    def __init__(self, max_chunks: int = MAX_CHUNKS) -> None:
        self._chunks: deque[_Chunk] = deque([_Chunk()], maxlen=max_chunks)
        self.first = 1
        self.last = 0

    def append(self, message: bytes) -> None:
        """Hold the next message of the session. Call it after the message has gone out."""
        chunk = self._chunks[-1]
        if len(chunk.offsets) > CHUNK_MESSAGES:
            if len(self._chunks) == self._chunks.maxlen:
                self.first += CHUNK_MESSAGES
            chunk = _Chunk()
            self._chunks.append(chunk)
        chunk.blocks += _LENGTH.pack(len(message))
        chunk.blocks += message
        chunk.offsets.append(len(chunk.blocks))
        self.last += 1

    def blocks(self, first: int, count: int, max_bytes: int) -> tuple[int, bytes]:
        assert self.first <= first <= self.last
        number, place = divmod(first - self.first, CHUNK_MESSAGES)
        chunk = self._chunks[number]
        start = chunk.offsets[place]
        end_place = bisect_right(chunk.offsets, start + max_bytes, place + 1) - 1
        end_place = min(end_place, place + count)
        return end_place - place, bytes(chunk.blocks[start : chunk.offsets[end_place]])


class RequestStatistics(NamedTuple):
    """What happened since the start."""

    answered: int
    answered_bytes: int
    dropped: "Mapping[Drop, int]"


class RequestServer:
    """Answers requests over any number of sessions. Pure: the owner sends what `receive_request` returns."""

    def __init__(
        self,
        networks: "Iterable[Network]",
        *,
        max_payload: int = moldudp64.MAX_PAYLOAD,
        source_rate: int = SOURCE_RATE,
        source_burst: int = SOURCE_BURST,
        total_rate: int = TOTAL_RATE,
        total_burst: int = TOTAL_BURST,
    ) -> None:
        """Rates are per second: requests for a source, bytes for the total; bursts in the same units."""
        self.networks = tuple(networks)
        self.max_payload = max_payload
        self._sessions: dict[bytes, MessageStore] = {}
        self._sources = _SourceLimits(source_rate, source_burst)
        self._ns_per_byte = NS_PER_SECOND // total_rate
        self._total_slack = total_burst * self._ns_per_byte
        self._total_paid_until = 0
        self._answered = 0
        self._answered_bytes = 0
        self._dropped: Counter[Drop] = Counter()

    def add_session(self, session: bytes, store: MessageStore) -> None:
        self._sessions[session] = store

    def drop_session(self, session: bytes) -> None:
        """Answer no more about a session; a little after its end-of-session packets have stopped."""
        self._sessions.pop(session, None)

    def receive_request(self, data: bytes, address: str, now: int) -> bytes | None:
        """The answer to send to the asker, or None. `address` is its IP address as text, without the port."""
        answer = self._answer(data, address, now)
        if isinstance(answer, Drop):
            self._dropped[answer] += 1
            return None
        self._answered += 1
        self._answered_bytes += len(answer)
        return answer

    def _answer(self, data: bytes, address: str, now: int) -> bytes | Drop:
        if not self._sources.known(address) and not self._is_allowed(address):
            return Drop.SOURCE_NOT_ALLOWED
        if not self._sources.take(address, now):
            return Drop.SOURCE_RATE
        try:
            request = moldudp64.decode_request(data)
        except moldudp64.MoldUDP64Error:
            return Drop.NOT_A_REQUEST
        store = self._sessions.get(request.session)
        if store is None:
            return Drop.UNKNOWN_SESSION
        if not 1 <= request.message_count <= moldudp64.MAX_MESSAGE_COUNT:
            return Drop.BAD_COUNT
        if not store.first <= request.sequence_number <= store.last:
            return Drop.OUT_OF_RANGE
        paid_until = max(self._total_paid_until, now)
        if paid_until > now + self._total_slack:
            return Drop.TOTAL_RATE
        count, blocks = store.blocks(
            request.sequence_number, request.message_count, self.max_payload - moldudp64.HEADER_LENGTH
        )
        answer = moldudp64.encode_header(request.session, request.sequence_number, count) + blocks
        self._total_paid_until = paid_until + len(answer) * self._ns_per_byte
        return answer

    def _is_allowed(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.networks)

    def statistics(self) -> RequestStatistics:
        return RequestStatistics(self._answered, self._answered_bytes, dict(self._dropped))


class _SourceLimits:
    """A token bucket per address, kept as one number: the time until which the address has used its rate up.

    A bucket is full when that time is past, so an address that is quiet needs no memory; the dict is in order of last
    use, and its oldest entry makes room when it is full.
    """

    def __init__(self, rate: int, burst: int) -> None:
        assert rate > 0
        assert burst > 0
        self._interval = NS_PER_SECOND // rate
        self._slack = (burst - 1) * self._interval
        self._paid_until: dict[str, int] = {}

    def known(self, address: str) -> bool:
        """True of an address that has passed here lately, and so is allowed."""
        return address in self._paid_until

    def take(self, address: str, now: int) -> bool:
        """One request of this address; False when it is over its rate, or there is no room to remember it."""
        paid_until = max(self._paid_until.pop(address, 0), now)
        allowed = paid_until <= now + self._slack
        if len(self._paid_until) >= MAX_SOURCES:
            oldest = next(iter(self._paid_until))
            if self._paid_until[oldest] > now:
                return False
            del self._paid_until[oldest]
        self._paid_until[address] = paid_until + self._interval if allowed else paid_until
        return allowed
