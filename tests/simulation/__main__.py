"""Run whole simulated clusters from seeds. One seed tells its story; many are counted, and the failing ones named.

./run simulate --seed N                       what happened in this run, line by line
./run simulate --count N [--first N] [--jobs 2] [--commands 520]
"""

import argparse
import sys
import time
from collections.abc import Iterable

from tests.simulation.runs import COMMANDS, Result, run_seed, run_seeds, shape_of

PROGRESS_SECONDS = 10


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "./run simulate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="run this one and tell its story")
    parser.add_argument("--count", type=int, default=100, help="run so many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="at a time")
    parser.add_argument("--commands", type=int, default=COMMANDS, help="in each run, at least")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _tell(options.seed, options.commands)
    seeds = range(options.first, options.first + options.count)
    return _count(run_seeds(seeds, options.jobs, options.commands), options.count)


def _tell(seed: int, commands: int) -> int:
    shape = shape_of(seed, commands)
    print(
        f"seed {seed}: {shape.replicas} replicas, mode {shape.mode}, durability {shape.durability}, "
        f"{shape.gateways} gateways, {shape.readers} readers, {commands} commands to a {shape.workload.__name__}"
    )
    result = run_seed(seed, commands=commands, tell=True)
    print("\n".join(result.story))
    print(_figures([result]))
    print(result.failure or "every invariant held")
    return bool(result.failure)


def _count(results: Iterable[Result], count: int) -> int:
    started = told = time.monotonic()
    done: list[Result] = []
    for result in results:
        done.append(result)
        if result.failure:
            print(f"seed {result.seed}: {result.failure}\n    ./run simulate --seed {result.seed}", flush=True)
        if time.monotonic() > told + PROGRESS_SECONDS:
            told = time.monotonic()
            print(f"{len(done)} of {count} seeds in {told - started:.0f} s", flush=True)
    seconds = time.monotonic() - started
    failed = [result.seed for result in done if result.failure]
    print(f"{len(done)} seeds in {seconds:.0f} s: {_figures(done)}")
    print(f"{len(failed)} failed: {failed}" if failed else "every invariant held")
    return bool(failed)


def _figures(results: list[Result]) -> str:
    names = ("transactions", "elections", "deaths", "reads", "snapshots", "installed", "stale", "forks")
    totals = {name: sum(getattr(result, name) for result in results) for name in names}
    return (
        "{transactions} transactions, {elections} elections, {deaths} deaths of replicas, {reads} quorum reads, "
        "{snapshots} snapshots and {installed} installed, {stale} packets of deposed primaries, {forks} forks"
    ).format_map(totals)


if __name__ == "__main__":
    sys.exit(main())
