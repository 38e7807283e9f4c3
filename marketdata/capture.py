"""BinaryFILE: a feed session as a file of length-prefixed messages.

    record   message_length u16 big-endian · message

The idea is that message number n of the session is record n of the file, so a file is a session without its transport.
The specification ends a file with a record of length zero. We never write it, and stop at it when we read: common
readers raise on it, and a session that is complete ends with System Event 'C' anyhow.

Source: "BinaryFILE" V 1.00 of Nasdaq. Functions work on any binary file object; opening, compressing and syncing are
the owner's.
"""

from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LENGTH: Final = Struct(">H")
MAX_MESSAGE_LENGTH: Final = 0xFFFF


class CaptureError(Exception):
    """A file that ends within a record; `offset` is where that record begins."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the file ends within the record at byte {offset}")
        self.offset = offset


def encode_record(message: bytes) -> bytes:
    """One record. An empty message would be the end marker: it is an assertion failure."""
    assert 0 < len(message) <= MAX_MESSAGE_LENGTH, f"a record holds 1 to {MAX_MESSAGE_LENGTH} bytes"
    return _LENGTH.pack(len(message)) + message


def write_messages(file: BinaryIO, messages: "Iterable[bytes]") -> None:
    """Append records, in one write."""
    file.write(b"".join(map(encode_record, messages)))


def read_messages(file: BinaryIO) -> "Iterator[bytes]":
    """The messages of a file, up to its end or an end marker. Raises `CaptureError` at a record that is cut off."""
    offset = 0
    while prefix := file.read(2):
        length = int.from_bytes(prefix, "big")
        message = file.read(length)
        if len(prefix) < 2 or len(message) < length:
            raise CaptureError(offset)
        if length == 0:
            return
        yield message
        offset += 2 + length
