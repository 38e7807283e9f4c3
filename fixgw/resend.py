"""The answer to a ResendRequest(2), in pieces.

FIX 4.4 Volume 2, "Message recovery", test cases 8 and 20. Application messages and Rejects are sent again under
their old numbers with PossDupFlag(43)=Y, OrigSendingTime(122) and a new SendingTime(52); each run of numbers
without a stored message (admin messages) becomes one SequenceReset-GapFill.

A resend may be large, so it is made in chunks: the owner fetches a range from its store, gives it to `write`,
flushes, and asks for the next. Meanwhile new messages get their numbers but may not overtake the old ones.
Nothing needs to be kept for that: the resend's cursor simply runs on, past the numbers asked for, through those
not sent yet, until it meets the next number to be given. Only admin messages, which no store has, are held back
here until the cursor passes them: an answer to a TestRequest, our own ResendRequest (test case 20: theirs first).
"""

from collections.abc import Iterable
from typing import Final

from fixgw import values
from fixgw.codec import Encoder

#: Numbers fetched and written at a time: about 64 KiB of reports, one good-sized write to a socket.
RESEND_CHUNK: Final = 256

#: Admin messages held back. A peer that provokes more of them without reading what it asked for gets the rest
#: gap-filled: it has other messages of ours to know us alive by.
MAX_HELD: Final = 64


class Resend:
    """One open resend. `first` to `last` were asked for; `first_unsent` is the next number given from now on."""

    def __init__(self, first: int, last: int, first_unsent: int) -> None:
        self.cursor = first
        self._held: dict[int, bytes] = {}
        self._last = last
        self._first_unsent = first_unsent
        self._gap_first: int | None = None  # first number of the current run of admin messages

    def widen(self, first: int, last: int) -> None:
        """The peer asks again before it has everything: serve what both requests cover."""
        self._first_unsent = max(self._first_unsent, self.cursor)
        if first < self.cursor:
            self.cursor = first
            self._gap_first = None
        self._last = max(self._last, min(last, self._first_unsent - 1))

    def hold(self, number: int, raw: bytes) -> None:
        """An admin message numbered meanwhile: it goes out when the cursor comes to it."""
        if len(self._held) < MAX_HELD:
            self._held[number] = raw

    @property
    def answered(self) -> bool:
        """Is everything written that was asked for?"""
        return self.cursor > self._last

    def wanted(self, next_out_seq: int) -> tuple[int, int] | None:
        """The numbers to fetch next, first and last; None when the cursor has met `next_out_seq`."""
        last = self._last if self.cursor <= self._last else next_out_seq - 1
        if self.cursor > last:
            return None
        return self.cursor, min(last, self.cursor + RESEND_CHUNK - 1)

    def write(
        self, last: int, stored: Iterable[tuple[int, bytes]], encoder: Encoder, sending_time: bytes
    ) -> list[bytes]:
        """Messages for the socket from the cursor to `last`. `stored`: (MsgSeqNum, raw) of that range in order."""
        written: list[bytes] = []
        messages = dict(stored)
        for number in range(self.cursor, last + 1):
            raw = messages.get(number) or self._held.pop(number, None)
            if raw is None:
                self._gap_first = self._gap_first or number
                continue
            self._fill_gap(number, written, encoder, sending_time)
            written.append(raw if number >= self._first_unsent else encoder.encode_resent(raw, sending_time))
        self.cursor = last + 1
        if self.cursor > self._last:
            self._fill_gap(self.cursor, written, encoder, sending_time)
            self.cursor = max(self.cursor, self._first_unsent)
        return written

    def _fill_gap(self, until: int, written: list[bytes], encoder: Encoder, sending_time: bytes) -> None:
        if self._gap_first is None:
            return
        body = b"43=Y\x01122=%b\x01123=Y\x0136=%d\x01" % (sending_time, until)
        written.append(encoder.encode(values.SEQUENCE_RESET, self._gap_first, sending_time, body))
        self._gap_first = None
