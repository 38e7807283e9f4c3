"""The frames of a replica's service: what may be asked of it over TCP, and what it answers.

    frame                                      types
    ─────────────────────────────────────      ───────────────────────────────────────────────────────────────────
    length   u32  bytes after this field        1 CHALLENGE      version u8 · shard_id u16 · replica_id u16 ·
    type     u8                                                  nonce 32                                  replica
    payload  …                                  2 LOGIN          nonce 32 · proof 32                       asker
                                                3 ACCEPTED       proof 32                                  replica
                                                4 ENDED          text; then it closes                      replica
                                                5 ASK_POSITION                                             asker
                                                6 POSITION       epoch u32 · complete_epoch u32 ·
                                                                 safe_tx u64 · commit_tx u64 ·
                                                                 recovering u8 · role u8 · replica_id u16  replica
                                                7 READ           min_tx u64 · request                      asker
                                                8 ANSWER         tx u64 · answer                           replica
                                                9 ASK_SNAPSHOT   min_tx u64                                asker
                                               10 SNAPSHOT       tx u64 · size u64; then CHUNKs            replica
                                               11 CHUNK          bytes, until there were `size`            replica
                                               12 TAKE_SNAPSHOT                                            asker
                                               13 TAKEN          tx u64                                    replica
                                               14 REFUSED        text: not now, or not here                replica
                                               15 BEGIN_OPERATING                                          asker
                                               16 OPERATING      incarnation u32 · last source_seq u64     replica
                                               17 OPERATE        incarnation u32 · source_seq u64 ·
                                                                 continued_by u8 · kind u8 · body          asker
                                               18 OPERATED       tx u64 · left_out u32 ·
                                                                 (length u16 · kind u8 · body) each        replica

`recovery.service` has the rules. Of what a peer says nothing is believed: a length, a type, a size that does not fit is
LinkError.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from recovery.frames import LinkError
from recovery.link import FIRST_COMMAND_KIND, LAST_COMMAND_KIND
from recovery.member import Role
from recovery.record import MAX_COMMAND_BYTES

MAX_REQUEST_BYTES = 4_096
"""Of a read's request: a query names what it wants, it carries no data."""
MAX_ANSWER_BYTES = 1_048_576
"""Of a read's answer: what is longer is asked for in parts."""
CHUNK_BYTES = 262_144
"""Of a snapshot's chunk: large enough that frames cost nothing, small enough that others get their turn between two."""
MAX_SNAPSHOT_BYTES = 4 * 1024**3
"""What an asker believes of a size: a hundred bytes for each of 40 million orders."""
MAX_TEXT_BYTES = 400

_LENGTH = Struct(">I")
_POSITION = Struct(">IIQQBBH")
_U64 = Struct(">Q")
_U64_PAIR = Struct(">QQ")
_OPERATING = Struct(">IQ")
_OPERATE = Struct(">IQBB")
_OPERATED = Struct(">QI")
_EVENT = Struct(">HB")

MAX_REQUEST_PAYLOAD = _U64.size + MAX_REQUEST_BYTES
MAX_ANSWER_PAYLOAD = _U64.size + MAX_ANSWER_BYTES

_ROLES = (Role.FENCED, Role.CATCHING_UP, Role.BACKUP, Role.PRIMARY)


class FrameType(IntEnum):
    CHALLENGE = 1
    LOGIN = 2
    ACCEPTED = 3
    ENDED = 4
    ASK_POSITION = 5
    POSITION = 6
    READ = 7
    ANSWER = 8
    ASK_SNAPSHOT = 9
    SNAPSHOT = 10
    CHUNK = 11
    TAKE_SNAPSHOT = 12
    TAKEN = 13
    REFUSED = 14
    BEGIN_OPERATING = 15
    OPERATING = 16
    OPERATE = 17
    OPERATED = 18


# Requests


class AskPosition(NamedTuple):
    """How far are you?"""


class Read(NamedTuple):
    """Answer this from a committed state that holds the transactions up to `min_tx`."""

    min_tx: int
    request: bytes


class AskSnapshot(NamedTuple):
    """Give me your newest snapshot, if it holds the transactions up to `min_tx`."""

    min_tx: int


class TakeSnapshot(NamedTuple):
    """Make one of what is committed now."""


class BeginOperating(NamedTuple):
    """I have a command of the operator's: under which number?"""


class Operate(NamedTuple):
    """Sequence this command, if its number is the next one, and tell what came of it."""

    incarnation: int
    source_seq: int
    continued_by: int
    """The kind of command that goes on with work which was too large for one transaction."""
    kind: int
    body: bytes


Request = AskPosition | Read | AskSnapshot | TakeSnapshot | BeginOperating | Operate

# Answers


class Position(NamedTuple):
    """How far a replica is: in `complete_epoch`, `safe_tx` and `recovering` only what is safe there counts.

    A replica that forgot is `recovering` until its completion is safe, not only written: till then its complete_epoch
    is that of a former life, and would make a majority believe that it knows less than it does.
    """

    epoch: int
    complete_epoch: int
    safe_tx: int
    recovering: bool
    commit_tx: int
    role: Role
    replica_id: int


class Answer(NamedTuple):
    """To a read. `tx`: what the answer was made of is the state after this transaction, which is committed."""

    tx: int
    answer: bytes


class SnapshotHead(NamedTuple):
    """A snapshot of this transaction follows, `size` bytes in chunks."""

    tx: int
    size: int


class Chunk(NamedTuple):
    data: bytes


class Taken(NamedTuple):
    """A snapshot of this transaction lies on the replica's disk."""

    tx: int


class Refused(NamedTuple):
    """Not now, or not here."""

    text: str


class Operating(NamedTuple):
    """In force: who operates has this incarnation, and his last command this number.

    Also the answer to an Operate that was not taken, for its incarnation or its number is not the one in force.
    """

    incarnation: int
    source_seq: int


class Operated(NamedTuple):
    """The command is committed, with all that it made the shard do."""

    tx: int
    """0: it was taken before, so long ago that its events are not kept here any more."""
    left_out: int
    """Events in the middle of what follows."""
    events: tuple[tuple[int, bytes], ...]
    """(kind, body) each."""


Reply = Position | Answer | SnapshotHead | Chunk | Taken | Refused | Operating | Operated


def make_request(request: Request) -> tuple[FrameType, bytes]:
    match request:
        case AskPosition():
            return FrameType.ASK_POSITION, b""
        case Read(min_tx, data):
            assert len(data) <= MAX_REQUEST_BYTES
            return FrameType.READ, _U64.pack(min_tx) + data
        case AskSnapshot(min_tx):
            return FrameType.ASK_SNAPSHOT, _U64.pack(min_tx)
        case TakeSnapshot():
            return FrameType.TAKE_SNAPSHOT, b""
        case BeginOperating():
            return FrameType.BEGIN_OPERATING, b""
        case Operate(incarnation, source_seq, continued_by, kind, body):
            assert len(body) <= MAX_COMMAND_BYTES
            return FrameType.OPERATE, _OPERATE.pack(incarnation, source_seq, continued_by, kind) + body


def parse_request(frame_type: int, payload: bytes) -> Request:
    if frame_type == FrameType.READ and len(payload) >= _U64.size:
        return Read(_u64(payload), payload[_U64.size :])
    if frame_type == FrameType.ASK_SNAPSHOT and len(payload) == _U64.size:
        return AskSnapshot(*_U64.unpack(payload))
    if frame_type == FrameType.ASK_POSITION and not payload:
        return AskPosition()
    if frame_type == FrameType.TAKE_SNAPSHOT and not payload:
        return TakeSnapshot()
    if frame_type == FrameType.BEGIN_OPERATING and not payload:
        return BeginOperating()
    if frame_type == FrameType.OPERATE and _OPERATE.size <= len(payload) <= _OPERATE.size + MAX_COMMAND_BYTES:
        operate = Operate._make((*_OPERATE.unpack_from(payload), payload[_OPERATE.size :]))
        if FIRST_COMMAND_KIND <= operate.kind <= LAST_COMMAND_KIND:
            return operate
    raise LinkError(f"a frame of type {frame_type} with {len(payload)} bytes is no request")


def make_reply(reply: Reply) -> tuple[FrameType, bytes]:
    match reply:
        case Position(epoch, complete, safe_tx, recovering, commit_tx, role, replica_id):
            code = _ROLES.index(role)
            return FrameType.POSITION, _POSITION.pack(epoch, complete, safe_tx, commit_tx, recovering, code, replica_id)
        case Answer(tx, answer):
            assert len(answer) <= MAX_ANSWER_BYTES
            return FrameType.ANSWER, _U64.pack(tx) + answer
        case SnapshotHead(tx, size):
            return FrameType.SNAPSHOT, _U64_PAIR.pack(tx, size)
        case Chunk(data):
            assert 0 < len(data) <= CHUNK_BYTES
            return FrameType.CHUNK, data
        case Taken(tx):
            return FrameType.TAKEN, _U64.pack(tx)
        case Refused(text):
            return FrameType.REFUSED, text_payload(text)
        case Operating(incarnation, source_seq):
            return FrameType.OPERATING, _OPERATING.pack(incarnation, source_seq)
        case Operated(tx, left_out, events):
            told = b"".join(_EVENT.pack(len(body), kind) + body for kind, body in events)
            return FrameType.OPERATED, _OPERATED.pack(tx, left_out) + told


def parse_reply(frame_type: int, payload: bytes) -> Reply:
    try:
        match frame_type:
            case FrameType.POSITION:
                epoch, complete, safe_tx, commit_tx, recovering, code, replica_id = _POSITION.unpack(payload)
                return Position(epoch, complete, safe_tx, bool(recovering), commit_tx, _ROLES[code], replica_id)
            case FrameType.ANSWER:
                return Answer(_u64(payload), payload[_U64.size :])
            case FrameType.SNAPSHOT:
                return SnapshotHead(*_U64_PAIR.unpack(payload))
            case FrameType.CHUNK:
                return Chunk(payload)
            case FrameType.TAKEN:
                return Taken(*_U64.unpack(payload))
            case FrameType.REFUSED:
                return Refused(text_of(payload))
            case FrameType.OPERATING:
                return Operating(*_OPERATING.unpack(payload))
            case FrameType.OPERATED:
                return Operated._make((*_OPERATED.unpack_from(payload), tuple(_events(payload))))
    except (struct.error, IndexError):
        pass
    raise LinkError(f"a frame of type {frame_type} with {len(payload)} bytes is no answer")


def _events(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Of an OPERATED. Raises struct.error when they do not fill it."""
    at = _OPERATED.size
    while at < len(payload):
        length, kind = _EVENT.unpack_from(payload, at)
        at += _EVENT.size + length
        if at > len(payload):
            raise struct.error
        yield kind, payload[at - length : at]


def text_payload(text: str) -> bytes:
    return text.encode()[:MAX_TEXT_BYTES]


def text_of(payload: bytes) -> str:
    return payload[:MAX_TEXT_BYTES].decode(errors="replace")


def _u64(payload: bytes) -> int:
    """What the payload begins with."""
    number: int = _U64.unpack_from(payload)[0]
    return number


class ServiceFrames:
    """One connection's frames, either way. `limit`: the longest payload that is taken, which may change between two."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._to_send: list[bytes] = []

    def cut(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The whole frames (type, payload) that have come."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            if not 1 <= length <= self.limit + 1:
                raise LinkError(f"a frame of {length} bytes, where {self.limit + 1} is the most")
            end = _LENGTH.size + length
            if len(buffer) < end:
                return
            frame = bytes(buffer[_LENGTH.size : end])
            del buffer[:end]
            yield frame[0], frame[1:]

    def put(self, frame_type: FrameType, payload: bytes) -> None:
        self._to_send.append(_LENGTH.pack(len(payload) + 1) + bytes([frame_type]) + payload)

    @property
    def has_data_to_send(self) -> bool:
        return bool(self._to_send)

    def data_to_send(self) -> bytes:
        data = b"".join(self._to_send)
        self._to_send.clear()
        return data
