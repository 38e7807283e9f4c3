"""`fixgw record`: a shard's record at the coordinator, made again after it was lost.

The record says which epochs were given out; without it one would be given out twice, so replicas that have promised
more than it says end themselves (`recovery.coordinator.RecordLost`). What they say names the least epoch that will do.
"""

import sys

import trio

from fixgw.config import Config
from fixgw.coordinators import open_coordinators
from recovery.coordinator import Address, CoordinatorUnavailable, make_record

CONNECT_SECONDS = 10.0


def record(config: Config, shard_name: str, epoch: int) -> int:
    """Make the record of this shard, with this epoch as the last that was given out. Returns the exit code."""
    try:
        made = trio.run(_make, config, shard_name, epoch)
    except (LookupError, CoordinatorUnavailable, OSError) as error:
        print(f"fixgw: {error}", file=sys.stderr)
        return 1
    if not made:
        print(f"fixgw: shard {shard_name} has a record with epoch {epoch} or a later one: it stays", file=sys.stderr)
        return 1
    print(f"shard {shard_name}: epochs are given out from {epoch + 1} on; start its replicas")
    return 0


async def _make(config: Config, shard_name: str, epoch: int) -> bool:
    shard = config.shard(shard_name)
    links = {number: Address(*member.link) for number, member in shard.members.items()}
    async with open_coordinators(config) as coordinator_of:
        deadline = trio.current_time() + CONNECT_SECONDS
        while True:
            try:
                return await make_record(coordinator_of(shard.id), links, epoch)
            except CoordinatorUnavailable:
                if trio.current_time() > deadline:
                    raise
                await trio.sleep(0.2)
