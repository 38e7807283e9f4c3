"""What a fork of a shard's stream means to brokers: reports that they hold are void, and a News(B) tells them so.

A shard that replicates asynchronously may lose the end of what it has released (`recovery.reader`, StreamForked). A
gateway has told its brokers of it by then. It finds in its own journal which ExecutionReports it sent of events at or
above the fork, and of trades above the last one before it (`trade_numbers`), tells each session of its own by News(B),
one line each, and reads on from the fork: what is true after all (an event that is history and lies above the fork) is
reported again, under another ExecID(17).

- The latest report is named first: who takes them back one by one, over several News(B), undoes what came last, and
  after each line holds what was once told.
- An entry in the journal says that a fork was told; reports that it made void are not told of again.
- The journal is read from its end, block by block, back to one that begins below the fork. A tail is short, but it may
  lie far back where other shards traded on: so the owner may do something else between two blocks.
- OrderCancelReject(9) has no ExecID(17) and is not told of: it changes no order.

Source: FIX.4.2 and FIX.4.4, News(B): Headline(148), NoLinesOfText(33) with Text(58).
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from fixgw import entries, values
from fixgw.entries import Outbound, StreamFork, StreamPosition
from fixgw.reports import EXECUTION_REPORT, Report
from matching.ids import COUNTER_MASK

#: Lines of one News(B): 10 KB, which every engine takes.
MAX_LINES: Final = 100
#: Records read at a time, going back.
BLOCK_RECORDS: Final = 1024

_EXECUTION_REPORT: Final = b"\x0135=" + EXECUTION_REPORT + b"\x01"
_CL_ORD_ID: Final = re.compile(rb"\x0111=([^\x01]*)\x01")


class VoidReport(NamedTuple):
    """An ExecutionReport that a session holds and that is not true."""

    exec_id: bytes
    cl_ord_id: bytes


class _Found(NamedTuple):
    session_id: int
    report: VoidReport
    #: Of its event, or of its trade.
    number: int
    is_trade: bool


#: session_id → what it holds, in the order in which it was sent.
VoidReports = Mapping[int, list[VoidReport]]


class VoidReportSearch:
    """Finds the reports of a shard's events from `fork_seq` on, and of its trades above `match_number`, that stand in
    the journal and are not known to be void.

    `read(first, count)` gives the payloads of these records; `next_number` is the one after the last. Nothing is kept
    but what is found: a shard that was quiet while others traded has its last reports far back.
    """

    def __init__(
        self,
        read: Callable[[int, int], Iterable[bytes]],
        next_number: int,
        shard_id: int,
        fork_seq: int,
        match_number: int,
    ) -> None:
        self._read = read
        self._end = next_number
        self._shard_id = shard_id
        self._fork_seq = fork_seq
        self._match_number = match_number
        self._exec_id = re.compile(rb"\x0117=(%d(?:F\d+)?-(T?)(\d+)[A-Z]?)\x01" % shard_id)
        #: What stands further back and is of events from here on, or of trades from here on, was told to be void.
        self._told_from = math.inf
        self._told_from_trade = math.inf
        #: The latest first.
        self._found: dict[int, list[VoidReport]] = {}

    def read_block(self) -> bool:
        """Read the next block, going back. False: there is no other that matters."""
        first = max(self._end - BLOCK_RECORDS, 1)
        relevant: list[_Found | StreamFork] = []
        handled_seq: int | None = None
        for payload in self._read(first, self._end - first):
            for entry in entries.decode(payload):
                if isinstance(entry, Outbound):
                    relevant += self._above(entry)
                elif isinstance(entry, StreamFork | StreamPosition) and entry.shard_id == self._shard_id:
                    if isinstance(entry, StreamFork):
                        relevant.append(entry)
                    elif handled_seq is None:
                        handled_seq = entry.handled_seq
        self._end = first
        for each in reversed(relevant):
            if isinstance(each, StreamFork):
                self._told_from = min(self._told_from, each.fork_seq)
                self._told_from_trade = min(self._told_from_trade, (each.match_number & COUNTER_MASK) + 1)
            elif each.number < (self._told_from_trade if each.is_trade else self._told_from):
                self._found.setdefault(each.session_id, []).append(each.report)
        begins_below = handled_seq is not None and handled_seq <= self._fork_seq
        return first > 1 and not begins_below and self._told_from > self._fork_seq

    def _above(self, entry: Outbound) -> Iterator[_Found]:
        """The report, if it is of one of the shard's events from the fork on."""
        if _EXECUTION_REPORT not in entry.message:
            return
        named = self._exec_id.search(entry.message)
        if named is None:
            return
        is_trade, number = bool(named[2]), int(named[3])
        if number > (self._match_number & COUNTER_MASK) if is_trade else number >= self._fork_seq:
            cl_ord_id = _CL_ORD_ID.search(entry.message)
            report = VoidReport(named[1], cl_ord_id[1] if cl_ord_id is not None else b"NONE")
            yield _Found(entry.session_id, report, number, is_trade)

    def found(self) -> VoidReports:
        """What was found so far."""
        return {session_id: reports[::-1] for session_id, reports in self._found.items()}


def news(void: VoidReports) -> Iterator[Report]:
    """What each session is told, the latest first."""
    headline = b"148=Reports are void: the market has lost what they told, and goes on without it\x01"
    for session_id in sorted(void):
        reports = void[session_id][::-1]
        for start in range(0, len(reports), MAX_LINES):
            part = reports[start : start + MAX_LINES]
            lines = b"".join(b"58=ExecID(17) %b of ClOrdID(11) %b is void\x01" % report for report in part)
            yield Report(session_id, values.NEWS, b"%b33=%d\x01%b" % (headline, len(part), lines))
