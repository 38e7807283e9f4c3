"""The link that carries a gateway's commands to a primary over TCP: frames, login, and both ends as pure cores.

    frame                                        types
    ──────────────────────────────────────       ──────────────────────────────────────────────────────────────
    length   u16  bytes after this field         1 CHALLENGE  version u8 · shard_id u16 · nonce 32      server
    type     u8                                  2 LOGIN      source_id u16 · incarnation u32 ·
    payload  …                                                nonce 32 · proof 32                       client
                                                 3 ACCEPTED   last_source_seq u64 · proof 32            server
                                                 4 REJECTED   text                                      server
                                                 5 COMMAND    source_seq u64 · session_id u32 ·
                                                              session_seq u64 · kind u8 · body          client
                                                 6 HEARTBEAT                                            both
                                                 7 REFUSED    text                                      server
                                                 8 LEAVING                                              client

The rules:

- Both sides prove that they hold the source's key, neither sends it. proof = HMAC-SHA256(key, role · version ·
  shard_id · server's nonce · client's nonce · source_id · incarnation [· last_source_seq]), role being b"client" or
  b"server". The nonces are fresh random bytes, so that a proof overheard once is worth nothing. (The link is not
  encrypted, and after the login not signed frame by frame: it belongs on a network of the venue's own.)
- ACCEPTED tells the last command taken from this source; the client sends on from the next. There are no
  acknowledgements: the client sees its own commands come by on the shard's stream, and keeps them until then.
- LEAVING says that the client's process ends because somebody asked it to: what follows is no failure of anything. It
  changes nothing else, the link lives until it is closed.
- Each side says HEARTBEAT after a second in which it said nothing else, and closes after three without a word. Not
  counted is the time in which a primary that cannot take commands leaves what comes in the socket (`stop_reading`).
- A frame is at most MAX_FRAME_BYTES, so that a peer can make us hold no more than that. Whatever breaks a rule is
  LinkError; the server says why in REFUSED, and the link is closed. Nothing is repaired within a link: the next one
  does.
- source_seq never restarts, over incarnations neither. A client that lost its own count takes the server's word: so it
  numbers nothing before its first login in a new incarnation.
- A primary may have lost commands that were seen to come by: a fork of its stream (`recovery.reader`). They are not
  kept any more and are not to take effect later, so the client uses up their numbers with NOOPs, goes on with what it
  keeps, and tells its owner which they were (`take_lost`).
"""

import hashlib
import hmac
from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum
from struct import Struct
from typing import Final, NamedTuple

from recovery.frames import COMMAND_NUMBERS, SILENCE_LIMIT, Frames, FrameType, LinkError, packed
from recovery.record import MAX_COMMAND_BYTES, NOOP
from recovery.versions import VERSION, speaks_other

NONCE_BYTES = 32
PROOF_BYTES = 32

MAX_TEXT_BYTES = 200
MAX_UNSEEN = 65_536
"""Commands forwarded and not yet seen to come by: several seconds' worth; then the gateway refuses new ones."""

FIRST_COMMAND_KIND, LAST_COMMAND_KIND = 16, 95
"""What may come over a link, beside a NOOP that fills a number. 0–15 are the primary's own, above are events."""

_CHALLENGE = Struct(">BH32s")
_LOGIN = Struct(">HI32s32s")
_ACCEPTED = Struct(">Q32s")
_PROVEN = Struct(">BH32s32sHI")


class LinkForked(Exception):
    """The primary has lost more than MAX_UNSEEN commands that were seen to come by: no tail, but its memory."""


class LinkFull(Exception):
    """MAX_UNSEEN commands are forwarded and not seen to come by; refuse new ones."""


class Login(NamedTuple):
    """A source has proved itself. Answer with `accept` or `reject`."""

    source_id: int
    incarnation: int


class Command(NamedTuple):
    """A command from the source that is logged in."""

    source_seq: int
    session_id: int
    session_seq: int
    kind: int
    body: bytes


#: Called for every command: `Command._make` without the way there, and constants by names of their own, for before
#: Python 3.12 a member of an Enum is looked up slowly.
_make_tuple: Final = tuple.__new__
_unpack_numbers: Final = COMMAND_NUMBERS.unpack_from
_NUMBERS_BYTES: Final = COMMAND_NUMBERS.size
_COMMAND: Final = int(FrameType.COMMAND)

_FILLER = (0, 0, NOOP, b"")
"""What a command that was lost is replaced by, but for its number."""


def _prove(key: bytes, role: bytes, proven: bytes) -> bytes:
    return hmac.digest(key, role + proven, hashlib.sha256)


def _text(text: str) -> bytes:
    return text.encode()[:MAX_TEXT_BYTES]


class ServerState(Enum):
    CHALLENGED = "challenged"
    PROVED = "proved"
    OPEN = "open"
    CLOSED = "closed"


_OPEN: Final = ServerState.OPEN


class LinkServer:
    """The primary's end of one connection. `keys`: source_id → key. `nonce`: 32 fresh random bytes."""

    def __init__(self, shard_id: int, keys: Mapping[int, bytes], nonce: bytes, now: int) -> None:
        assert len(nonce) == NONCE_BYTES
        self.state = ServerState.CHALLENGED
        self.login: Login | None = None
        self.leaving = False
        """The source has said that its process is about to end."""
        self._shard_id = shard_id
        self._keys = keys
        self._nonce = nonce
        self._key = b""
        self._proven = b""
        self._frames = Frames(now)
        # A stranger has SILENCE_LIMIT to prove itself, whatever else it says: this deadline does not move.
        self._login_deadline = now + SILENCE_LIMIT
        self._frames.put(FrameType.CHALLENGE, _CHALLENGE.pack(VERSION, shard_id, nonce), now)

    def receive_data(self, data: bytes, now: int) -> list[Login | Command]:
        """Bytes from the gateway. Raises LinkError: send what is left to send, then close."""
        events: list[Login | Command] = []
        try:
            for frame_type, payload in self._frames.cut(data, now):
                if frame_type == _COMMAND:
                    events.append(self._command(payload))
                elif frame_type == FrameType.LOGIN:
                    events.append(self._login(payload, now))
                elif frame_type == FrameType.LEAVING and not payload and self.state is ServerState.OPEN:
                    self.leaving = True
                elif frame_type != FrameType.HEARTBEAT or payload:
                    raise LinkError(f"frame type {frame_type} from a gateway")
        except LinkError as error:
            if not self.closed:
                self.refuse(str(error), now)
            raise
        return events

    @property
    def closed(self) -> bool:
        return self.state is ServerState.CLOSED

    def _command(self, payload: bytes) -> Command:
        if self.state is not _OPEN:
            raise LinkError("a command before the login is accepted")
        if len(payload) < _NUMBERS_BYTES:
            raise LinkError("a command cut short")
        source_seq, session_id, session_seq, kind = _unpack_numbers(payload)
        numbers = (source_seq, session_id, session_seq, kind, payload[_NUMBERS_BYTES:])
        if not FIRST_COMMAND_KIND <= kind <= LAST_COMMAND_KIND and numbers[1:] != _FILLER:
            raise LinkError(f"kind {kind} is no command")
        return _make_tuple(Command, numbers)

    def _login(self, payload: bytes, now: int) -> Login:
        if self.state is not ServerState.CHALLENGED or len(payload) != _LOGIN.size:
            raise LinkError("a login out of place")
        source_id, incarnation, nonce, proof = _LOGIN.unpack(payload)
        proven = _PROVEN.pack(VERSION, self._shard_id, self._nonce, nonce, source_id, incarnation)
        # An unknown source costs and says the same as a wrong key.
        key = self._keys.get(source_id, b"")
        expected = _prove(key, b"client", proven)
        if not hmac.compare_digest(expected, proof) or source_id not in self._keys:
            self.reject("login refused", now)
            raise LinkError(f"login refused for source {source_id}")
        self._key, self._proven = key, proven
        self.login = Login(source_id, incarnation)
        self.state = ServerState.PROVED
        return self.login

    def accept(self, last_source_seq: int, now: int) -> None:
        """The source may send on from last_source_seq + 1."""
        assert self.state is ServerState.PROVED
        self.state = ServerState.OPEN
        proof = _prove(self._key, b"server", self._proven + last_source_seq.to_bytes(8, "big"))
        self._frames.put(FrameType.ACCEPTED, _ACCEPTED.pack(last_source_seq, proof), now)

    def reject(self, text: str, now: int) -> None:
        """The login is not accepted; send, then close."""
        assert self.state in (ServerState.CHALLENGED, ServerState.PROVED)
        self.state = ServerState.CLOSED
        self._frames.put(FrameType.REJECTED, _text(text), now)

    def refuse(self, text: str, now: int) -> None:
        """The link ends for a reason; send, then close."""
        self.state = ServerState.CLOSED
        self._frames.put(FrameType.REFUSED, _text(text), now)

    @property
    def has_data_to_send(self) -> bool:
        return self._frames.has_data_to_send

    def data_to_send(self) -> bytes:
        return self._frames.data_to_send()

    def next_deadline(self) -> int:
        deadline = self._frames.next_deadline()
        return min(deadline, self._login_deadline) if self.state is ServerState.CHALLENGED else deadline

    def stop_reading(self) -> None:
        """What was received is worked on, and nothing more is until `read_on`: the peer may seem silent meanwhile."""
        self._frames.stop_reading()

    def read_on(self, now: int) -> None:
        self._frames.read_on(now)

    def handle_deadline(self, now: int) -> None:
        """Raises LinkError when the peer was silent, or did not log in in time."""
        if self.state is ServerState.CHALLENGED and now >= self._login_deadline:
            raise LinkError("no login within 3 s")
        self._frames.handle_deadline(now)


class LinkClient:
    """A source's end, over all its connections to one shard: numbers commands and keeps them until they come by.

    `next_source_seq` and `unseen` are what a restarted gateway has in its journal: the number after the last that it
    forwarded, and the commands it has not seen come by.
    """

    def __init__(
        self,
        shard_id: int,
        source_id: int,
        incarnation: int,
        key: bytes,
        *,
        next_source_seq: int = 1,
        unseen: Iterable[Command] = (),
    ) -> None:
        self.shard_id = shard_id
        self.source_id = source_id
        self.incarnation = incarnation
        self.next_source_seq = next_source_seq
        self.open = False
        """Logged in on the present connection."""
        self.ready = False
        """Has been logged in in this incarnation, so that numbers may be given out."""
        self._key = key
        self._unseen: deque[tuple[int, bytes]] = deque()  # (source_seq, payload)
        for command in unseen:
            self._unseen.append((command.source_seq, COMMAND_NUMBERS.pack(*command[:4]) + command.body))
        self._written_seq = next_source_seq - 1  # up to here commands are in the source's journal, whence `unseen` is
        self._at_once = b""
        self._lost = range(0)
        self._nonce = b""
        self._proven = b""
        self._frames: Frames | None = None

    # Commands

    @property
    def room(self) -> int:
        """How many commands may be forwarded now."""
        return max(MAX_UNSEEN - len(self._unseen), 0) if self.ready else 0

    def forward(self, session_id: int, session_seq: int, kind: int, body: bytes, now: int) -> int:
        """Number a command, keep it, and send it now or on the next connection; gives its source_seq.

        Raises LinkFull when `room` is 0. Write it down before you send what `data_to_send` gives.
        """
        if not self.room:
            raise LinkFull(f"{len(self._unseen)} commands to shard {self.shard_id} are under way")
        assert len(body) <= MAX_COMMAND_BYTES
        source_seq = self.next_source_seq
        self.next_source_seq = source_seq + 1
        payload = COMMAND_NUMBERS.pack(source_seq, session_id, session_seq, kind) + body
        self._unseen.append((source_seq, payload))
        if self.open and self._frames is not None:
            self._frames.put(FrameType.COMMAND, payload, now)
        return source_seq

    def written(self, source_seq: int) -> None:
        """The commands up to this one are written down: on another connection they may be sent `at_once`."""
        self._written_seq = max(self._written_seq, source_seq)

    def oldest(self) -> Command | None:
        """The oldest command that was not seen to come by; None: there is none."""
        if not self._unseen:
            return None
        payload = self._unseen[0][1]
        return Command._make((*COMMAND_NUMBERS.unpack_from(payload), payload[COMMAND_NUMBERS.size :]))

    def seen(self, source_seq: int) -> None:
        """This source's command came by on the stream; so did all before it."""
        unseen = self._unseen
        while unseen and unseen[0][0] <= source_seq:
            unseen.popleft()

    @property
    def unseen(self) -> int:
        return len(self._unseen)

    def take_lost(self) -> range:
        """The source_seqs that were filled since, their commands having come by; mostly none. Told once.

        A hint for a log: a primary that is deposed and does not know it yet has not heard of them either. What is lost
        for good is said by the stream (`StreamForked`). Fillers that were not needed do no harm.
        """
        lost, self._lost = self._lost, range(0)
        return lost

    # Connection

    def connected(self, nonce: bytes, now: int) -> None:
        """A new connection stands. `nonce`: 32 fresh random bytes."""
        assert len(nonce) == NONCE_BYTES
        self.open = False
        self._nonce = nonce
        self._proven = b""
        self._at_once = b""
        self._frames = Frames(now)

    def disconnected(self) -> None:
        self.open = False
        self._at_once = b""
        self._frames = None

    def receive_data(self, data: bytes, now: int) -> None:
        """Bytes from the primary. Raises LinkError, and LinkForked when the primary has forgotten us."""
        assert self._frames is not None
        for frame_type, payload in self._frames.cut(data, now):
            if frame_type == FrameType.CHALLENGE:
                self._challenge(payload, now)
            elif frame_type == FrameType.ACCEPTED:
                self._accepted(payload, now)
            elif frame_type in (FrameType.REJECTED, FrameType.REFUSED):
                raise LinkError(f"shard {self.shard_id} says: {payload[:MAX_TEXT_BYTES].decode(errors='replace')}")
            elif frame_type != FrameType.HEARTBEAT or payload:
                raise LinkError(f"frame type {frame_type} from a primary")

    def _challenge(self, payload: bytes, now: int) -> None:
        assert self._frames is not None
        if self._proven or len(payload) != _CHALLENGE.size:
            raise LinkError("a challenge out of place")
        version, shard_id, nonce = _CHALLENGE.unpack(payload)
        if version != VERSION:
            raise LinkError(speaks_other("it", version, "the link"))
        if shard_id != self.shard_id:
            raise LinkError(f"it is shard {shard_id}'s, not shard {self.shard_id}'s: the addresses are mixed up")
        self._proven = _PROVEN.pack(VERSION, shard_id, nonce, self._nonce, self.source_id, self.incarnation)
        proof = _prove(self._key, b"client", self._proven)
        login = _LOGIN.pack(self.source_id, self.incarnation, self._nonce, proof)
        self._frames.put(FrameType.LOGIN, login, now)

    def _accepted(self, payload: bytes, now: int) -> None:
        assert self._frames is not None
        if self.open or not self._proven or len(payload) != _ACCEPTED.size:
            raise LinkError("an acceptance out of place")
        last, proof = _ACCEPTED.unpack(payload)
        if not hmac.compare_digest(_prove(self._key, b"server", self._proven + payload[:8]), proof):
            raise LinkError("the primary does not hold our key")
        oldest = self._unseen[0][0] if self._unseen else self.next_source_seq
        if last + 1 < oldest:
            self._fill(range(last + 1, oldest))
        if not self.ready:
            self.next_source_seq = max(self.next_source_seq, last + 1)
        elif last >= self.next_source_seq:
            raise LinkError(f"shard {self.shard_id} has command {last} of ours, which was never sent")
        self.open = self.ready = True
        again = [each for each in self._unseen if each[0] > last]
        for source_seq, command in again:
            if source_seq <= self._written_seq:
                self._frames.put(FrameType.COMMAND, command, now)
        self._at_once = self._frames.data_to_send()
        for source_seq, command in again:
            if source_seq > self._written_seq:
                self._frames.put(FrameType.COMMAND, command, now)

    def _fill(self, lost: range) -> None:
        """Commands that had come by are no more: their numbers are used up."""
        if len(lost) > MAX_UNSEEN:
            raise LinkForked(f"shard {self.shard_id} has {lost[0] - 1} commands of ours, and {lost[-1]} have come by")
        self._unseen.extendleft((seq, COMMAND_NUMBERS.pack(seq, *_FILLER[:3])) for seq in reversed(lost))
        self._lost = lost

    def leaving(self) -> bytes:
        """What to send at once, ahead of anything that waits, when our process is about to end as it was asked to."""
        return packed(FrameType.LEAVING, b"") if self.open else b""

    def data_at_once(self) -> bytes:
        """What need not wait for the source's journal: logins, and after one the commands that it has (`written`)."""
        if not self.open:
            return self.data_to_send()
        data, self._at_once = self._at_once, b""
        return data

    @property
    def has_data_to_send(self) -> bool:
        return bool(self._at_once) or (self._frames is not None and self._frames.has_data_to_send)

    def data_to_send(self) -> bytes:
        """All there is. Commands must be written down before it is sent."""
        data, self._at_once = self._at_once, b""
        return data + self._frames.data_to_send() if self._frames is not None else b""

    def next_deadline(self) -> int | None:
        return self._frames.next_deadline() if self._frames is not None else None

    def handle_deadline(self, now: int) -> None:
        """Raises LinkError when the primary was silent."""
        if self._frames is not None:
            self._frames.handle_deadline(now)
