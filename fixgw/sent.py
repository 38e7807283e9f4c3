"""Where every application message that was ever sent stands in the gateway's journal.

FIX asks for messages again by session and MsgSeqNum(34). The messages themselves stay in the journal; here is eight
bytes for each: the record and the offset of its entry in it. Numbers that admin messages used hold nothing: a resend
fills them with a SequenceReset-GapFill.
"""

from array import array
from collections.abc import Callable
from typing import Final

from fixgw import entries

#: A record is a batch, bounded far below this many bytes; what is left of 64 bits numbers records.
_OFFSET_BITS: Final = 26
MAX_RECORD_BYTES: Final = 1 << _OFFSET_BITS
_OFFSET_MASK: Final = MAX_RECORD_BYTES - 1
_NOTHING: Final = 0


class SentIndex:
    """The places of the messages of all sessions, each under its latest run of numbers."""

    def __init__(self) -> None:
        self._runs: dict[int, int] = {}
        self._places: dict[int, array[int]] = {}

    def add(self, session_id: int, run: int, msg_seq_num: int, record_number: int, offset: int) -> None:
        """Remember one message. Numbers of a session grow; a new run forgets the one before it."""
        if self._runs.get(session_id) != run:
            self._runs[session_id] = run
            self._places[session_id] = array("Q")
        places = self._places[session_id]
        missing = msg_seq_num - 1 - len(places)
        if missing > 0:
            places.extend([_NOTHING] * missing)
        place = record_number << _OFFSET_BITS | offset
        if missing < 0:
            # A number is used twice only after its first use was lost with the machine that made it.
            places[msg_seq_num - 1] = place
        else:
            places.append(place)

    def messages(
        self, session_id: int, run: int, first: int, last: int, read: Callable[[int], bytes]
    ) -> list[tuple[int, bytes]]:
        """(MsgSeqNum, raw message) of the application messages from `first` to `last`, both included.

        `read` gives a journal record's payload by its number; records in a row are read once.
        """
        if self._runs.get(session_id) != run:
            return []
        found = []
        payload, loaded = b"", 0
        for at, place in enumerate(self._places[session_id][first - 1 : last], start=first):
            if place == _NOTHING:
                continue
            number = place >> _OFFSET_BITS
            if number != loaded:
                payload, loaded = read(number), number
            found.append((at, entries.outbound_message(payload, place & _OFFSET_MASK)))
        return found
