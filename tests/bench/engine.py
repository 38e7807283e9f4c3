"""The matching engine alone: commands applied per second, their event objects made, in one process without I/O.

    ./run bench engine

Five flows of a million commands (`flows`), each applied to a fresh engine in a process of its own, several times, by
the interpreted modules and by the same ones compiled (`./run compile`) in turn; medians count. `engine.worst` is the
worst flow's, `engine.median` the third of the five. The shard's loop adds what is around the engine: decode a command,
encode its events, checksum and number them, pack them into datagrams.

Time is the processes' own, so a busy machine disturbs little; it does slow down memory, on which an engine with a day's
orders depends.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from fixgw.compiled import ROOT, compiled_tree, environment
from matching.commands import Command
from tests.bench.engine_run import write_rows
from tests.bench.figures import Figure, machine
from tests.bench.flows import FLOWS, OPENING, Flow, made, rows, steady

COMMANDS: Final = 1_000_000
RUNS: Final = 3
#: A flow in steady state with as many orders on as many levels; the time of an operation is compared.
FEW: Final = (1_000, 50)
MANY: Final = (1_000_000, 5_000)
TIMED_AMONG_MANY: Final = 200_000

#: Of which modules a figure is, its name says.
IN_TURN: Final = "interpreted and .compiled in turn"


class Bench:
    """Measures in processes of its own, interpreted and compiled."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trees = {"": ROOT, ".compiled": compiled_tree()}

    def file(self, name: str, commands_and_start: tuple[list[Command], int]) -> tuple[Path, int]:
        """A flow as a file."""
        commands, start = commands_and_start
        path = self.directory / name
        write_rows(path, rows(commands))
        return path, start

    def run(self, what: str, flow: tuple[Path, int]) -> dict[str, dict[str, float]]:
        """The median of each figure of some runs, by variant; the variants take turns."""
        found: dict[str, list[dict[str, float]]] = {variant: [] for variant in self.trees}
        for _ in range(RUNS):
            for variant, runs in found.items():
                runs.append(self._once(what, flow, variant))
        return {
            variant: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            for variant, runs in found.items()
        }

    def _once(self, what: str, flow: tuple[Path, int], variant: str) -> dict[str, float]:
        path, start = flow
        command = [sys.executable, "-P", "-m", "tests.bench.engine_run", what, str(path), str(start)]
        done = subprocess.run(
            command, env=environment(self.trees[variant]), stdout=subprocess.PIPE, check=True, text=True
        )
        measured: dict[str, float] = json.loads(done.stdout)
        if bool(measured["compiled"]) != bool(variant):
            raise RuntimeError(f"{self.trees[variant]} gave a process the wrong modules")
        return measured


def figures() -> list[Figure]:
    """All of them; some ten minutes."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        return [*_flows(bench), *_resting(bench)]


def _flows(bench: Bench) -> list[Figure]:
    shared = f"{COMMANDS:,} commands, median of {RUNS} runs, CPU time, {machine(IN_TURN)}"
    rates: dict[str, list[float]] = {variant: [] for variant in bench.trees}
    found: list[Figure] = []
    for name, make in FLOWS.items():
        flow = bench.file(name, made(name, COMMANDS))
        what = " ".join((make.__doc__ or "").split())
        for variant, measured in bench.run("engine", flow).items():
            rates[variant].append(measured["per_second"])
            found.append(Figure(f"engine.{name}.ops_per_s{variant}", measured["per_second"], "/s", f"{what} {shared}"))
        if make is steady:
            for variant, measured in bench.run("loop", flow).items():
                conditions = f"Decode, apply, encode, checksum, pack; the steady flow. {shared}"
                found.append(Figure(f"shard.loop.commands_per_s{variant}", measured["per_second"], "/s", conditions))
        flow[0].unlink()
    for variant, all_rates in rates.items():
        found.append(Figure(f"engine.worst.ops_per_s{variant}", min(all_rates), "/s", f"The worst flow. {shared}"))
        middle = statistics.median(all_rates)
        found.append(Figure(f"engine.median.ops_per_s{variant}", middle, "/s", f"The middle flow. {shared}"))
    return found


def _resting(bench: Bench) -> list[Figure]:
    """What many resting orders cost: memory, pauses for garbage, time per operation."""
    among_few, among_many = (
        bench.run("engine", bench.file(f"steady-{resting}", _steady(resting, levels)))
        for resting, levels in (FEW, MANY)
    )
    shared = f"median of {RUNS} runs, {machine(IN_TURN)}"
    found = []
    for variant in bench.trees:
        ratio = among_few[variant]["per_second"] / among_many[variant]["per_second"]
        conditions = f"Time per operation among {MANY[0]:,} resting orders by that among {FEW[0]:,}; {shared}"
        found.append(Figure(f"engine.growth{variant}", ratio, "times", conditions))
        pause = among_many[variant]["longest_pause_ms"]
        conditions = f"Of the collector of garbage, among {MANY[0]:,} resting orders; {shared}"
        found.append(Figure(f"engine.longest_pause_ms{variant}", pause, "ms", conditions))
    filling = bench.file("filling", _filling())
    for variant, measured in bench.run("memory", filling).items():
        conditions = f"{measured['orders']:,.0f} resting orders with their ClOrdIDs; {shared}"
        found.append(Figure(f"engine.bytes_per_order{variant}", measured["bytes_per_order"], "bytes", conditions))
    return found


def _steady(resting: int, levels: int) -> tuple[list[Command], int]:
    flow = Flow(7)
    start = steady(flow, TIMED_AMONG_MANY, resting, levels)
    return [*OPENING, *flow.commands], start + len(OPENING)


def _filling() -> tuple[list[Command], int]:
    flow = Flow(7)
    flow.fill(MANY[1], MANY[0])
    return [*OPENING, *flow.commands], len(OPENING)


if __name__ == "__main__":
    for figure in figures():
        print(f"{figure.name:36} {figure.value:>12,.1f} {figure.unit}  {figure.conditions}")
