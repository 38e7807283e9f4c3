"""Frames on a TCP link: cutting them out of the bytes, collecting what is to be sent, heartbeats and silence.

A frame is `length u16 (bytes after this field) · type u8 · payload`, big-endian; `recovery.link` says what the types
mean.
"""

from enum import IntEnum
from struct import Struct
from typing import Final

from recovery.record import MAX_COMMAND_BYTES

HEARTBEAT_INTERVAL = 1_000_000_000
"""ns without another frame before a HEARTBEAT goes out."""
SILENCE_LIMIT = 3_000_000_000
"""ns without a frame before the peer is given up: two heartbeats may be late."""

_FRAME = Struct(">HB")

COMMAND_NUMBERS = Struct(">QIQB")
"""What a COMMAND frame says ahead of the command's body: source_seq, session_id, session_seq, kind."""
_FRAME_BYTES: Final = _FRAME.size
_unpack_frame: Final = _FRAME.unpack_from
MAX_FRAME_BYTES: Final = _FRAME.size + COMMAND_NUMBERS.size + MAX_COMMAND_BYTES
_MAX_LENGTH: Final = MAX_FRAME_BYTES - 2


class FrameType(IntEnum):
    CHALLENGE = 1
    LOGIN = 2
    ACCEPTED = 3
    REJECTED = 4
    COMMAND = 5
    HEARTBEAT = 6
    REFUSED = 7
    LEAVING = 8


class LinkError(Exception):
    """The peer broke the protocol, is who it says it is not, went silent, or ended the link itself. Close it."""


def packed(frame_type: FrameType, payload: bytes) -> bytes:
    return _FRAME.pack(len(payload) + 1, frame_type) + payload


class Frames:
    """One connection's frames, either way."""

    def __init__(self, now: int) -> None:
        self._buffer = b""
        self._to_send: list[bytes] = []
        self._send_deadline = now + HEARTBEAT_INTERVAL
        self._silence_deadline = now + SILENCE_LIMIT
        self._reads = True

    def stop_reading(self) -> None:
        """What the peer says is left in the socket until `read_on`: its silence is not its own."""
        self._reads = False

    def read_on(self, now: int) -> None:
        self._reads = True
        self._silence_deadline = now + SILENCE_LIMIT

    def cut(self, data: bytes, now: int) -> list[tuple[int, bytes]]:
        """The whole frames (type, payload) that have come."""
        self._silence_deadline = now + SILENCE_LIMIT
        data = self._buffer + data if self._buffer else data
        frames = []
        offset, size = 0, len(data)
        while size - offset >= _FRAME_BYTES:
            length, frame_type = _unpack_frame(data, offset)
            if not 1 <= length <= _MAX_LENGTH:
                raise LinkError(f"a frame of {length} bytes")
            end = offset + 2 + length
            if end > size:
                break
            frames.append((frame_type, data[offset + 3 : end]))
            offset = end
        self._buffer = data[offset:]
        return frames

    def put(self, frame_type: FrameType, payload: bytes, now: int) -> None:
        self._to_send.append(packed(frame_type, payload))
        self._send_deadline = now + HEARTBEAT_INTERVAL

    @property
    def has_data_to_send(self) -> bool:
        return bool(self._to_send)

    def data_to_send(self) -> bytes:
        if not self._to_send:
            return b""
        data = b"".join(self._to_send)
        self._to_send.clear()
        return data

    def next_deadline(self) -> int:
        return min(self._send_deadline, self._silence_deadline) if self._reads else self._send_deadline

    def handle_deadline(self, now: int) -> None:
        if self._reads and now >= self._silence_deadline:
            raise LinkError("silent for 3 s")
        if now >= self._send_deadline:
            self.put(FrameType.HEARTBEAT, b"", now)
