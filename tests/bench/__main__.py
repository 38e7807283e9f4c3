"""Run benchmarks and print their figures: `./run bench [NAME …] [--json FILE]`."""

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.figures import Figure

#: Module of this package: what it measures. Each has `figures()`.
BENCHMARKS = {
    "engine": "the matching engine alone",
    "fix": "the FIX codec and session",
    "feed": "events to ITCH to datagrams",
    "e2e": "orders through real processes",
    "replication": "what a shard's replicas cost, and how they catch up",
    "failover": "primaries killed and paused under load",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if none is given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    args = parser.parse_args()
    unknown = set(args.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    found: list[Figure] = []
    for name in args.names or BENCHMARKS:
        figures: Callable[[], list[Figure]] = import_module(f"tests.bench.{name}").figures
        print(f"{name}: {BENCHMARKS[name]}", flush=True)
        rows = figures()
        found += rows
        for row in rows:
            print(f"  {row.name:34} {row.value:>14,.1f} {row.unit:10} {row.conditions}", flush=True)
    if args.json:
        args.json.write_text(json.dumps([row._asdict() for row in found], indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
