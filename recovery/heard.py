"""The commands that a backup has heard on its primary's stream and not yet put into its log.

A backup is no reader: the FIRST message of a transaction is the whole command, and enough. So it waits for no events
and asks for none. What it needs beside the command is the chain before it, which the END message before it gives; the
two may come in any order, and anything may be missing: then the command is pulled from the primary instead.
"""

from recovery.command_log import make_entry
from recovery.packet import EpochStart
from recovery.record import HeardCommand

MAX_HEARD = 8192
"""Twice the primary's window of uncommitted transactions; what is dropped beyond it is pulled."""


class Heard:
    """Of one epoch. `clear` begins another."""

    def __init__(self) -> None:
        self._firsts: dict[int, HeardCommand] = {}  # tx → the command
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
        """What `parse_commands` finds in a new packet, in order; packets come in any order."""
        if len(self._firsts) + len(self._chains) > MAX_HEARD:
            self._make_room()
        for command in commands:
            self._firsts[command[0]] = command
        if commands:
            self._last_tx = max(self._last_tx, commands[-1][0])
        self._chains.update(chains)

    def take(self, tx: int, epoch: int) -> list[bytes]:
        """The entries of the log from `tx` on, as far as nothing of them is missing."""
        firsts, chains = self._firsts, self._chains
        entries = []
        while (first := firsts.get(tx)) is not None:
            _, seq, kind, command = first
            chain = chains.pop(seq, None)
            if chain is None:
                break
            del firsts[tx]
            entries.append(make_entry(epoch, chain, kind, command))
            tx += 1
        return entries

    def beyond(self, tx: int) -> bool:
        """Whether anything later than `tx`, the end of the log, was heard: then what lies between is missing."""
        self._logged_tx = tx
        return self._last_tx > tx

    def _make_room(self) -> None:
        """Forget what came into the log in another way; if that is not much, everything."""
        for tx in [heard for heard in self._firsts if heard <= self._logged_tx]:
            self._chains.pop(self._firsts.pop(tx)[1], None)
        if len(self._firsts) + len(self._chains) > MAX_HEARD // 2:
            self.clear()
