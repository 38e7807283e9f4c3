"""python -m tests.simulation --seed N | --count N [--first N]: run seeds; a failing one tells its story."""

import argparse
import sys
import time

from tests.simulation.runs import run_seed, shape_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed and tell its story")
    parser.add_argument("--count", type=int, default=100, help="run so many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        result = run_seed(arguments.seed, tell=True)
        print(f"seed {arguments.seed}: {shape_of(arguments.seed)}")
        print("\n".join(result.story))
        print(result.failure or "every invariant held")
        return bool(result.failure)
    started = time.monotonic()
    failures, transactions, elections = [], 0, 0
    for seed in range(arguments.first, arguments.first + arguments.count):
        result = run_seed(seed)
        transactions += result.transactions
        elections += result.elections
        if result.failure:
            failures.append(seed)
            print(f"seed {seed}: {result.failure}", flush=True)
    seconds = time.monotonic() - started
    print(f"{arguments.count} seeds, {transactions} transactions, {elections} elections in {seconds:.0f} s")
    print(f"{len(failures)} failed: {failures}" if failures else "every invariant held")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
