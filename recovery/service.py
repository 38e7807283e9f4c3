"""The service of a replica: what it answers over TCP to its peers, to gateways and to operators; both ends, pure.

`recovery.service_frames` is the table of what is said; the rules:

- Both sides prove that they hold the venue's key, neither sends it: proof = HMAC-SHA256(key, role · version · shard_id
  · replica_id · replica's nonce · asker's nonce), role being b"service asker" or b"service replica", which no link
  (`recovery.link`) ever proves. As there, nothing is encrypted, and nothing signed after the login.
- An asker asks one thing at a time; a second request before the answer ends the connection. So one connection costs
  one request's work, and its backlog is its own.
- Requests are small and answers bounded; only a snapshot is long, and comes in chunks. A stranger has 3 s to log in and
  may send nothing but a login; who has logged in and asks nothing for a minute is closed.
- A connection's requests have a rate: `pause` says how long the next one has to wait before it is answered.
- Whatever breaks a rule is LinkError; the replica says why in ENDED, and closes.
"""

import hashlib
import hmac
from enum import Enum
from struct import Struct

from recovery.frames import LinkError
from recovery.service_frames import (
    MAX_ANSWER_PAYLOAD,
    MAX_REQUEST_PAYLOAD,
    MAX_SNAPSHOT_BYTES,
    Answer,
    AskPosition,
    AskSnapshot,
    BeginOperating,
    Chunk,
    FrameType,
    Operate,
    Operated,
    Operating,
    Position,
    Read,
    Refused,
    Reply,
    Request,
    ServiceFrames,
    SnapshotHead,
    Taken,
    TakeSnapshot,
    make_reply,
    make_request,
    parse_reply,
    parse_request,
    text_of,
    text_payload,
)
from recovery.versions import VERSION, speaks_other

NONCE_BYTES = 32
PROOF_BYTES = 32

LOGIN_LIMIT = 3_000_000_000
"""ns in which a stranger must have logged in, whatever else it says."""
IDLE_LIMIT = 60_000_000_000
"""ns without a request after which a connection is closed: askers come back by themselves."""
REQUEST_INTERVAL = 5_000_000
"""ns of rate that one request costs its connection: 200 a second."""
REQUEST_BURST = 100_000_000
"""ns of rate that a connection may have saved up: 20 requests at once."""

_CHALLENGE = Struct(">BHH32s")
_LOGIN = Struct(">32s32s")
_PROVEN = Struct(">BHH32s32s")


def _prove(key: bytes, role: bytes, proven: bytes) -> bytes:
    return hmac.digest(key, role + proven, hashlib.sha256)


class ServerState(Enum):
    CHALLENGED = "challenged"
    IDLE = "idle"
    ANSWERING = "answering"
    ENDED = "ended"


class ServiceServer:
    """The replica's end of one connection. `nonce`: 32 fresh random bytes."""

    def __init__(self, shard_id: int, replica_id: int, key: bytes, nonce: bytes, now: int) -> None:
        assert len(nonce) == NONCE_BYTES
        self.state = ServerState.CHALLENGED
        self._place = (VERSION, shard_id, replica_id)
        self._key = key
        self._nonce = nonce
        self._frames = ServiceFrames(_LOGIN.size)
        self._deadline = now + LOGIN_LIMIT
        self._saved = REQUEST_BURST  # ns of rate
        self._saved_at = now
        self._rest = 0  # bytes of a snapshot
        self._frames.put(FrameType.CHALLENGE, _CHALLENGE.pack(*self._place, nonce))

    @property
    def logged_in(self) -> bool:
        return self.state in (ServerState.IDLE, ServerState.ANSWERING)

    def receive_data(self, data: bytes, now: int) -> Request | None:
        """Bytes from the asker: the request that is to be answered now. Raises LinkError: send, then close."""
        request = None
        try:
            for frame_type, payload in self._frames.cut(data):
                if self.state is ServerState.CHALLENGED:
                    self._log_in(frame_type, payload, now)
                elif self.state is ServerState.ANSWERING:
                    raise LinkError("a request before the answer to the last one")
                elif self.state is ServerState.IDLE:
                    request = parse_request(frame_type, payload)
                    self.state = ServerState.ANSWERING
        except LinkError as error:
            self.end(str(error))
            raise
        return request

    def _log_in(self, frame_type: int, payload: bytes, now: int) -> None:
        if frame_type != FrameType.LOGIN or len(payload) != _LOGIN.size:
            raise LinkError("no login")
        nonce, proof = _LOGIN.unpack(payload)
        proven = _PROVEN.pack(*self._place, self._nonce, nonce)
        if not hmac.compare_digest(_prove(self._key, b"service asker", proven), proof):
            raise LinkError("login refused: the asker does not hold the venue's key")
        self.state = ServerState.IDLE
        self._deadline = now + IDLE_LIMIT
        self._frames.limit = MAX_REQUEST_PAYLOAD
        self._frames.put(FrameType.ACCEPTED, _prove(self._key, b"service replica", proven))

    def pause(self, now: int) -> int:
        """ns to wait before the request that has come is answered; takes its cost."""
        self._saved = min(self._saved + now - self._saved_at, REQUEST_BURST) - REQUEST_INTERVAL
        self._saved_at = now
        return max(0, -self._saved)

    def reply(self, reply: Reply, now: int) -> None:
        """Answer the request: one reply, but that a SnapshotHead is followed by its size in Chunks."""
        if self.state is ServerState.ENDED:
            return
        assert self.state is ServerState.ANSWERING, "answers a request, once"
        if isinstance(reply, SnapshotHead):
            self._rest = reply.size
        elif isinstance(reply, Chunk):
            self._rest -= len(reply.data)
            assert self._rest >= 0
        else:
            assert not self._rest, "the rest of a snapshot"
        self._frames.put(*make_reply(reply))
        if not self._rest:
            self.state = ServerState.IDLE
            self._deadline = now + IDLE_LIMIT

    def end(self, text: str) -> None:
        """The connection ends for a reason; send, then close."""
        if self.state is not ServerState.ENDED:
            self.state = ServerState.ENDED
            self._frames.put(FrameType.ENDED, text_payload(text))

    @property
    def has_data_to_send(self) -> bool:
        return self._frames.has_data_to_send

    def data_to_send(self) -> bytes:
        return self._frames.data_to_send()

    def next_deadline(self) -> int | None:
        return self._deadline if self.state in (ServerState.CHALLENGED, ServerState.IDLE) else None

    def handle_deadline(self, now: int) -> None:
        """Raises LinkError when the asker did not log in in time, or has asked nothing for long."""
        deadline = self.next_deadline()
        if deadline is not None and now >= deadline:
            text = "no login within 3 s" if self.state is ServerState.CHALLENGED else "no request for a minute"
            self.end(text)
            raise LinkError(text)


class ServiceClient:
    """An asker's end of one connection. `replica_id`: who must answer there; None for anybody of the shard."""

    def __init__(self, shard_id: int, replica_id: int | None, key: bytes, nonce: bytes) -> None:
        assert len(nonce) == NONCE_BYTES
        self.replica_id = replica_id
        self._shard_id = shard_id
        self._key = key
        self._nonce = nonce
        self._frames = ServiceFrames(MAX_ANSWER_PAYLOAD)
        self._proven = b""
        self._open = False
        self._asked: Request | None = None
        self._rest = 0  # bytes of a snapshot

    def ask(self, request: Request) -> None:
        """One request; it goes out as soon as the login is done. The next may follow when this one is answered."""
        assert self._asked is None, "one request at a time"
        self._asked = request
        if self._open:
            self._frames.put(*make_request(request))

    @property
    def waiting(self) -> bool:
        """For an answer, or the rest of it."""
        return self._asked is not None

    def receive_data(self, data: bytes) -> list[Reply]:
        """Bytes from the replica. Raises LinkError, also when it says that the connection ends."""
        replies = []
        for frame_type, payload in self._frames.cut(data):
            if frame_type == FrameType.ENDED:
                text = text_of(payload)
                raise LinkError(f"shard {self._shard_id}'s replica says: {text}")
            if self._open:
                replies.append(self._reply(frame_type, payload))
            elif not self._proven:
                self._challenge(frame_type, payload)
            else:
                self._accepted(frame_type, payload)
        return replies

    def _challenge(self, frame_type: int, payload: bytes) -> None:
        if frame_type != FrameType.CHALLENGE or len(payload) != _CHALLENGE.size:
            raise LinkError("no challenge: is this the control port of a replica?")
        version, shard_id, replica_id, nonce = _CHALLENGE.unpack(payload)
        if version != VERSION:
            raise LinkError(speaks_other("it", version, "the service"))
        if shard_id != self._shard_id:
            raise LinkError(f"it is shard {shard_id}'s, not shard {self._shard_id}'s: the addresses are mixed up")
        if self.replica_id not in (None, replica_id):
            raise LinkError(f"replica {replica_id}, not replica {self.replica_id}: the addresses are mixed up")
        self.replica_id = replica_id
        self._proven = _PROVEN.pack(VERSION, shard_id, replica_id, nonce, self._nonce)
        self._frames.put(FrameType.LOGIN, self._nonce + _prove(self._key, b"service asker", self._proven))

    def _accepted(self, frame_type: int, payload: bytes) -> None:
        if frame_type != FrameType.ACCEPTED or len(payload) != PROOF_BYTES:
            raise LinkError("an answer before the login is accepted")
        if not hmac.compare_digest(_prove(self._key, b"service replica", self._proven), payload):
            raise LinkError("the replica does not hold the venue's key")
        self._open = True
        if self._asked is not None:
            self._frames.put(*make_request(self._asked))

    def _reply(self, frame_type: int, payload: bytes) -> Reply:
        reply = parse_reply(frame_type, payload)
        if not self._fits(reply):
            raise LinkError(f"{type(reply).__name__} as an answer to {type(self._asked).__name__}")
        if isinstance(reply, SnapshotHead):
            self._rest = reply.size
        elif isinstance(reply, Chunk):
            self._rest -= len(reply.data)
        if not self._rest:
            self._asked = None
        return reply

    def _fits(self, reply: Reply) -> bool:
        """Whether this may answer what was asked. After SnapshotHead nothing but chunks of its size."""
        if self._rest or isinstance(reply, Chunk):
            return isinstance(reply, Chunk) and 0 < len(reply.data) <= self._rest
        if self._asked is None:
            return False
        if isinstance(reply, Refused):
            return True
        match self._asked:
            case AskPosition():
                return isinstance(reply, Position) and reply.replica_id == self.replica_id
            case Read(min_tx, _):
                return isinstance(reply, Answer) and reply.tx >= min_tx
            case AskSnapshot(min_tx):
                return isinstance(reply, SnapshotHead) and reply.tx >= min_tx and reply.size <= MAX_SNAPSHOT_BYTES
            case TakeSnapshot():
                return isinstance(reply, Taken)
            case BeginOperating():
                return isinstance(reply, Operating)
            case Operate():
                return isinstance(reply, Operated | Operating)

    def data_to_send(self) -> bytes:
        return self._frames.data_to_send()
