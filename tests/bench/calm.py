"""How often a healthy primary is deposed while others saturate every core: `python -m tests.bench.calm --seconds 600`.

Three replicas, quorum, disk, a file as coordinator; brokers offer a few hundred orders a second; beside them one busy
loop for each core. It is no benchmark of its own because it takes ten minutes to say one number. Where that is not 0,
what the replicas logged is printed.
"""

import argparse
import multiprocessing
import os
import tempfile
from pathlib import Path

import trio

from tests.integration.failover import Replicated, one_shard, open_replicated

OFFERED = 200
LOOK_SECONDS = 10.0


def burn() -> None:
    """All of one core that it can get."""
    while True:
        pass


async def watch(market: Replicated, seconds: float) -> list[int]:
    """The epochs that were seen, one after another."""
    epochs: list[int] = []
    deadline = trio.current_time() + seconds
    while trio.current_time() < deadline:
        await trio.sleep(LOOK_SECONDS)
        epoch = max(each.epoch for each in (await market.positions(5.0)).values())
        if epoch not in epochs:
            epochs.append(epoch)
            print(f"epoch {epoch}", flush=True)
    return epochs


async def run(seconds: float, loops: int) -> int:
    """How many changes of the primary there were; all is accounted for in the end."""
    burners = [multiprocessing.Process(target=burn, daemon=True) for _ in range(loops)]
    with tempfile.TemporaryDirectory() as directory:
        async with open_replicated(one_shard(Path(directory) / "venue")) as market:
            for burner in burners:
                burner.start()
            try:
                async with market.trading(OFFERED):
                    epochs = await watch(market, seconds)
            finally:
                for burner in burners:
                    burner.kill()
            await market.come_to_rest()
            if len(epochs) > 1:
                for name in market.venue.shards["s1"]:
                    print(f"--- {name}\n{market.venue.log('shard', name)}")
            market.check(Path(directory) / "recordings")
    return len(epochs) - 1


def main() -> None:
    """Print the number."""
    parser = argparse.ArgumentParser(prog="calm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--loops", type=int, default=os.cpu_count() or 1, help="busy loops beside it")
    args = parser.parse_args()
    changes = trio.run(run, args.seconds, args.loops)
    print(f"{changes} changes of the primary in {args.seconds:.0f} s beside {args.loops} busy loops")


if __name__ == "__main__":
    main()
