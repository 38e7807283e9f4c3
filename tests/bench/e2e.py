"""Orders end to end: a FIX session over TCP, gateway, shard, multicast back, reports; each role its own process.

    ./run bench e2e

Figures: orders/s and round trip (order sent → its New report read) with 1, 64 and 1000 orders in flight; CPU time per
order of the gateway and of the shard, from the kernel's own account of each process; with `sync: write`, and `disk`
beside it. Medians of several runs against one running venue.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.figures import Figure, machine
from tests.venue import ROOT, Venue, running

WINDOWS = (1, 64, 1000)
ORDERS = {1: 3_000, 64: 30_000, 1000: 60_000}
RUNS = 3
WARM_UP = 4_000
#: The load's ClOrdIDs; what one run used is never used again.
FIRST_CL_ORD_ID = 1_000_000


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, from the scheduler's account."""
    return (
        sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
        / 1e9
    )


class LoadProcess:
    """The load generator, in a process of its own."""

    def __init__(self, venue: Venue) -> None:
        self._next = FIRST_CL_ORD_ID
        self._process = subprocess.Popen(
            (
                sys.executable,
                *("-m", "tests.bench.load"),
                *("--port", str(venue.fix_port)),
                *("--sender", "BROKER1"),
                *("--target", venue.comp_id),
            ),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say(venue.password)

    def _say(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the load generator ended with {self._process.wait()}")
        return answer

    def run(self, orders: int, window: int = 0, *, rate: int = 0) -> dict[str, float]:
        """With `window` orders unanswered at most, or `rate` orders a second, answered or not."""
        job = {"orders": orders, "window": window, "rate": rate, "first": self._next, "symbols": ["ALPHA"]}
        self._next += orders
        answer: dict[str, float] = json.loads(self._say(json.dumps(job)))
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def measure(sync: str) -> list[Figure]:
    """Every end-to-end figure with this `sync` of gateway and shard."""
    with tempfile.TemporaryDirectory() as directory:
        venue = Venue(Path(directory), sync=sync)
        with running(venue, feed=False, retransmitter=False):
            load = LoadProcess(venue)
            load.run(WARM_UP, 64)
            figures = [figure for window in WINDOWS for figure in _window(venue, load, window, sync)]
            load.close()
            return figures


def _window(venue: Venue, load: LoadProcess, window: int, sync: str) -> list[Figure]:
    gateway = venue.processes["gateway", "g1"].pid
    shard = venue.processes["shard", "s1"].pid
    orders = ORDERS[window]
    rows = []
    for _ in range(RUNS):
        before = cpu_seconds(gateway), cpu_seconds(shard)
        result = load.run(orders, window)
        after = cpu_seconds(gateway), cpu_seconds(shard)
        rows.append((result, (after[0] - before[0]) / orders, (after[1] - before[1]) / orders))
    conditions = (
        f"{machine()}; {RUNS} runs of {orders} orders, median; one FIX.4.4 session, window {window}, sync: {sync}; "
        "every second order trades; shard, gateway and load are processes on one machine; no feed, no retransmitter"
    )
    suffix = "" if sync == "write" else f".{sync}"
    name = f"e2e.w{window}"

    def figure(label: str, values: list[float], unit: str) -> Figure:
        return Figure(label + suffix, round(statistics.median(values), 1), unit, conditions)

    figures = [
        figure(f"{name}.orders_per_s", [orders / row["seconds"] for row, _, _ in rows], "orders/s"),
        figure(f"{name}.p50_us", [row["p50_us"] for row, _, _ in rows], "µs"),
        figure(f"{name}.p99_us", [row["p99_us"] for row, _, _ in rows], "µs"),
    ]
    if window == max(WINDOWS):
        figures += [
            figure("gateway.cpu_us_per_order", [cpu * 1e6 for _, cpu, _ in rows], "µs"),
            figure("shard.cpu_us_per_order", [cpu * 1e6 for _, _, cpu in rows], "µs"),
        ]
    return figures


def figures() -> list[Figure]:
    """All of it, `sync: write` first."""
    return measure("write") + measure("disk")
