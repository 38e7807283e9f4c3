"""The commands that a backup has heard on its primary's stream and not yet put into its log.

A backup is no reader: the FIRST message of a transaction is the whole command, and enough. So it waits for no events
and asks for none. What it needs beside the command is the chain before it, which the END message before it gives; the
two may come in any order, and anything may be missing: then the command is pulled from the primary instead.
"""

from recovery.packet import EpochStart
from recovery.record import HeardCommand

MAX_HEARD = 8192
"""Twice the primary's window of uncommitted transactions; what is dropped beyond it is pulled."""


class Heard:
    """Of one epoch. `clear` begins another."""

    def __init__(self) -> None:
        self._firsts: dict[int, tuple[int, int, bytes]] = {}  # tx → (seq, kind, command)
        self._last_tx = 0  # of what was heard
        self._logged_tx = 0  # what is not later is in the log
        self._chains: dict[int, int] = {}  # seq of a FIRST → the chain before it

    def clear(self) -> None:
        self._firsts.clear()
        self._chains.clear()
        self._last_tx = 0

    def begin(self, start: EpochStart) -> None:
        """The epoch's heartbeat said where it began."""
        self._chains[start.seq] = start.digest

    def receive(self, commands: list[HeardCommand], chains: list[tuple[int, int]]) -> None:
        """What `parse_commands` finds in new packets, in any order."""
        if len(self._firsts) + len(self._chains) > MAX_HEARD:
            self._make_room()
        for tx, seq, kind, command in commands:
            self._firsts[tx] = (seq, kind, command)
            self._last_tx = max(self._last_tx, tx)
        self._chains.update(chains)

    def take(self, tx: int) -> tuple[int, int, bytes] | None:
        """(kind, chain before, command: header and body) of the command `tx`, once it is all there."""
        first = self._firsts.get(tx)
        if first is None:
            return None
        seq, kind, command = first
        chain = self._chains.get(seq)
        if chain is None:
            return None
        del self._firsts[tx], self._chains[seq]
        return kind, chain, command

    def beyond(self, tx: int) -> bool:
        """Whether anything later than `tx`, the end of the log, was heard: then what lies between is missing."""
        self._logged_tx = tx
        return self._last_tx > tx

    def _make_room(self) -> None:
        """Forget what came into the log in another way; if that is not much, everything."""
        for tx in [heard for heard in self._firsts if heard <= self._logged_tx]:
            seq, _, _ = self._firsts.pop(tx)
            self._chains.pop(seq, None)
        if len(self._firsts) + len(self._chains) > MAX_HEARD // 2:
            self.clear()
