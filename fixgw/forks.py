"""What a fork of a shard's stream means to brokers: reports that they hold are void, and a News(B) tells them so.

A shard that replicates asynchronously may lose the end of what it has released (`recovery.reader`, StreamForked). A
gateway has told its brokers of it by then. It finds in its own journal which ExecutionReports it sent of events at or
above the fork, tells each session of its own by News(B), one line each, and reads on from the fork: what is true after
all (an event that is history and lies above the fork) is reported again, under another ExecID(17).

- The latest report is named first: who takes them back one by one, over several News(B), undoes what came last, and
  after each line holds what was once told.
- An entry in the journal says that a fork was told; reports that it made void are not told of again.
- The journal is read from its end, block by block, back to one that begins below the fork: a tail is short.
- OrderCancelReject(9) has no ExecID(17) and is not told of: it changes no order.

Source: FIX.4.2 and FIX.4.4, News(B): Headline(148), NoLinesOfText(33) with Text(58).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from fixgw import entries, values
from fixgw.entries import Entry, Outbound, StreamFork, StreamPosition
from fixgw.reports import EXECUTION_REPORT, Report

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


#: session_id → what it holds, in the order in which it was sent.
VoidReports = Mapping[int, list[VoidReport]]


def void_reports(
    read: Callable[[int, int], Iterable[bytes]], next_number: int, shard_id: int, fork_seq: int
) -> VoidReports:
    """The reports of a shard's events from `fork_seq` on that stand in the journal and are not known to be void.

    `read(first, count)` gives the payloads of these records; `next_number` is the one after the last.
    """
    blocks: list[list[Entry]] = []
    end = next_number
    while end > 1:
        first = max(end - BLOCK_RECORDS, 1)
        block = [entry for payload in read(first, end - first) for entry in entries.decode(payload)]
        blocks.append(block)
        if _begins_below(block, shard_id, fork_seq):
            break
        end = first
    return _collect((entry for block in reversed(blocks) for entry in block), shard_id, fork_seq)


def _begins_below(block: list[Entry], shard_id: int, fork_seq: int) -> bool:
    """Whether all that was sent before the block is below the fork, or told to be void already."""
    for entry in block:
        if isinstance(entry, StreamPosition) and entry.shard_id == shard_id:
            return entry.handled_seq <= fork_seq
    return False


def _collect(found: Iterator[Entry], shard_id: int, fork_seq: int) -> VoidReports:
    exec_id_of = re.compile(rb"\x0117=(%d(?:F\d+)?-(\d+)[A-Z]?)\x01" % shard_id)
    void: dict[int, dict[VoidReport, int]] = {}
    for entry in found:
        if isinstance(entry, StreamFork) and entry.shard_id == shard_id:
            for reports in void.values():
                for report in [each for each, seq in reports.items() if seq >= entry.fork_seq]:
                    del reports[report]
        elif isinstance(entry, Outbound) and _EXECUTION_REPORT in entry.message:
            named = exec_id_of.search(entry.message)
            if named is not None and int(named[2]) >= fork_seq:
                cl_ord_id = _CL_ORD_ID.search(entry.message)
                report = VoidReport(named[1], cl_ord_id[1] if cl_ord_id is not None else b"NONE")
                void.setdefault(entry.session_id, {})[report] = int(named[2])
    return {session_id: list(reports) for session_id, reports in void.items() if reports}


def news(void: VoidReports) -> Iterator[Report]:
    """What each session is told, the latest first."""
    headline = b"148=Reports are void: the market has lost what they told, and goes on without it\x01"
    for session_id in sorted(void):
        reports = void[session_id][::-1]
        for start in range(0, len(reports), MAX_LINES):
            part = reports[start : start + MAX_LINES]
            lines = b"".join(b"58=ExecID(17) %b of ClOrdID(11) %b is void\x01" % report for report in part)
            yield Report(session_id, values.NEWS, b"%b33=%d\x01%b" % (headline, len(part), lines))
