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
        self._chains: dict[int, int] = {}  # seq of a FIRST → the chain before it

    def clear(self) -> None:
        self._firsts.clear()
        self._chains.clear()

    def begin(self, start: EpochStart) -> None:
        """The epoch's heartbeat said where it began."""
        self._chains[start.seq] = start.digest

    def receive(self, commands: list[HeardCommand], chains: list[tuple[int, int]]) -> None:
        """What `parse_commands` finds in new packets, in any order."""
        if len(self._firsts) + len(self._chains) > MAX_HEARD:
            self.clear()
        for tx, seq, kind, command in commands:
            self._firsts[tx] = (seq, kind, command)
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
        """Whether anything later than `tx` was heard: then what lies between is missing. Forgets what is not later."""
        for old in [heard for heard in self._firsts if heard <= tx]:
            del self._firsts[old]
        return bool(self._firsts)
