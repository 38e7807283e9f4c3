"""One measurement of the engine in a process of its own: `python -m tests.bench.engine_run WHAT FILE [START]`.

Prints one JSON object. FILE holds a flow's commands as `write_rows` writes them; the first START are not timed. The
process imports whatever `matching` comes first on its path, interpreted or compiled. Commands are decoded some at a
time outside of the timed part, as a shard decodes what has just come, and time is the process's own.
"""

import gc
import json
import resource
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from fixgw.up import settle_garbage_collector
from matching import trade
from matching.engine import Engine
from matching.shard import Shard
from matching.wire import decode_command
from recovery.execution import Execution
from recovery.packet import pack_messages
from recovery.record import pack_command_header
from tests.bench.flows import Row

#: Commands decoded at a time: few enough to be in the processor's cache when they are applied, as in a shard.
DECODED: Final = 512
#: Commands whose messages go out in one go.
BATCH: Final = 64


def write_rows(path: Path, rows: list[Row]) -> None:
    """Kinds, lengths and sessions as columns, then the bodies."""
    kinds, sessions = array("H", [row[0] for row in rows]), array("I", [row[2] for row in rows])
    lengths = array("H", [len(row[1]) for row in rows])
    with path.open("wb") as file:
        array("Q", [len(rows)]).tofile(file)
        for column in (kinds, sessions, lengths):
            column.tofile(file)
        file.writelines(row[1] for row in rows)


def read_rows(path: Path) -> list[Row]:
    """What `write_rows` wrote."""
    count, kinds, sessions, lengths = array("Q"), array("H"), array("I"), array("H")
    with path.open("rb") as file:
        count.fromfile(file, 1)
        for column in (kinds, sessions, lengths):
            column.fromfile(file, count[0])
        return [
            (kind, file.read(length), session) for kind, length, session in zip(kinds, lengths, sessions, strict=True)
        ]


def decoded(rows: list[Row]) -> Iterator[list[tuple[Any, int]]]:
    """The commands, some at a time."""
    for first in range(0, len(rows), DECODED):
        yield [(decode_command(kind, body), session) for kind, body, session in rows[first : first + DECODED]]


def filled(rows: list[Row]) -> Engine:
    """An engine that has applied these; its collector of garbage is set as a shard's."""
    engine = Engine(1)
    for commands in decoded(rows):
        for command, session in commands:
            engine.apply(command, 0, session)
    settle_garbage_collector(keeps_orders=True)
    return engine


def engine(rows: list[Row], start: int) -> dict[str, float]:
    """Commands applied per second, their events made; and the longest pause for garbage in it, in ms."""
    apply = filled(rows[:start]).apply
    pauses = Pauses()
    spent = 0.0
    for commands in decoded(rows[start:]):
        before = time.process_time()
        for command, session in commands:
            apply(command, 0, session)
        spent += time.process_time() - before
    return {"per_second": (len(rows) - start) / spent, "longest_pause_ms": pauses.longest_ms}


def loop(rows: list[Row], start: int) -> dict[str, float]:
    """Commands per second through a shard's whole loop: decode, apply, encode, checksum, pack into datagrams."""
    execution = Execution(1, Shard(1))
    for first in range(0, start, BATCH):
        _batch(execution, rows[first : min(first + BATCH, start)])
    settle_garbage_collector(keeps_orders=True)
    before = time.process_time()
    for first in range(start, len(rows), BATCH):
        _batch(execution, rows[first : first + BATCH])
    return {"per_second": (len(rows) - start) / (time.process_time() - before)}


def _batch(execution: Execution, rows: list[Row]) -> list[bytes]:
    first_seq = execution.sequencer.next_seq
    messages: list[bytes] = []
    for kind, body, session in rows:
        tx = execution.last_tx + 1
        messages += execution.apply(kind, pack_command_header(tx, 0, 1, 1, tx, session, tx) + body)
    execution.commit(execution.last_tx)
    return pack_messages(1, 1, 0, first_seq, first_seq - 1, messages)


def memory(rows: list[Row], start: int) -> dict[str, float]:
    """Bytes of memory that each resting order takes, with all that is remembered of it."""
    first = filled(rows[:start])
    gc.collect()
    before, resting = _resident_bytes(), _resting(first)
    for commands in decoded(rows[start:]):
        for command, session in commands:
            first.apply(command, 0, session)
    gc.collect()
    orders = _resting(first)
    return {"orders": orders, "bytes_per_order": (_resident_bytes() - before) / (orders - resting)}


def _resting(engine: Engine) -> int:
    return sum(1 for _ in engine.orders())


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Pauses:
    """How long collections of garbage take."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._begin = 0.0
        gc.callbacks.append(self._watch)

    def _watch(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._begin = time.perf_counter()
        else:
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - self._begin) * 1e3)


MEASUREMENTS: Final[dict[str, Callable[[list[Row], int], dict[str, float]]]] = {
    "engine": engine,
    "loop": loop,
    "memory": memory,
}


def main() -> None:
    what, file, *start = sys.argv[1:]
    found = MEASUREMENTS[what](read_rows(Path(file)), int(start[0]) if start else 0)
    print(json.dumps({**found, "compiled": not str(trade.__file__).endswith(".py")}))


if __name__ == "__main__":
    main()
