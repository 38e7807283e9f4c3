"""Where the application messages that were sent stand in the gateway's journal.

FIX asks for messages again by session and MsgSeqNum(34). The messages themselves stay in the journal; kept here is, per
session and journal record, the number of the first message that the record holds: sixteen bytes for a batch, however
many messages it said. Numbers that admin messages used are in no record: a resend fills them with a
SequenceReset-GapFill.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable

from fixgw import entries
from fixgw.entries import Outbound


class _Run:
    """The messages of one session since its numbers last began at 1."""

    def __init__(self, run: int) -> None:
        self.run = run
        self.first_numbers = array("Q")
        self.records = array("Q")


class SentIndex:
    """The journal records that hold the messages of each session, under its latest run of numbers."""

    def __init__(self) -> None:
        self._runs: dict[int, _Run] = {}

    def add(self, session_id: int, run: int, msg_seq_num: int, record_number: int) -> None:
        """A message of the session stands in this record; only the first of a record need be told.

        Numbers and records grow; a new run forgets the one before it.
        """
        current = self._runs.get(session_id)
        if current is None or current.run != run:
            current = self._runs[session_id] = _Run(run)
        if not current.records or current.records[-1] != record_number:
            current.first_numbers.append(msg_seq_num)
            current.records.append(record_number)

    def messages(
        self, session_id: int, run: int, first: int, last: int, read: Callable[[int], bytes]
    ) -> list[tuple[int, bytes]]:
        """(MsgSeqNum, raw message) of the application messages from `first` to `last`, both included.

        `read` gives a journal record's payload by its number.
        """
        current = self._runs.get(session_id)
        if current is None or current.run != run:
            return []
        found: list[tuple[int, bytes]] = []
        index = max(bisect_right(current.first_numbers, first) - 1, 0)
        while index < len(current.records) and current.first_numbers[index] <= last:
            found += [
                (entry.msg_seq_num, entry.message)
                for entry in entries.decode(read(current.records[index]))
                if isinstance(entry, Outbound)
                and (entry.session_id, entry.run) == (session_id, run)
                and first <= entry.msg_seq_num <= last
            ]
            index += 1
        return found
