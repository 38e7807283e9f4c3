"""A replica's disk is full while it serves: it leaves loudly, the venue goes on, and with room it comes back."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from recovery.member import Role
from tests.integration.failover import OFFERED_GENTLY, Replicated, one_shard, open_replicated

#: Room for a segment of a journal and the start of the next.
DISK = "48m"


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A file system of its own, in memory, under a replica's files."""
    if os.geteuid() != 0:
        pytest.skip("to mount a file system needs root")
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """Take all the room there is; gives what took it."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@pytest.mark.slow
@pytest.mark.parametrize("role", [Role.BACKUP, Role.PRIMARY])
async def test_a_replica_whose_disk_is_full_ends_and_says_so_and_trading_goes_on(tmp_path, role):
    venue = one_shard(tmp_path / "venue")
    name, files = "s1.2", venue.directory / "var" / "shard-s1.2"
    with small_disk(files):
        async with open_replicated(venue) as market:
            async with market.trading(OFFERED_GENTLY):
                while (await market.position(2)).role is not role:
                    await another_primary(market)
                filler = fill(files)
                process = venue.processes[("shard", name)]
                with trio.fail_after(20):
                    assert await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True) == 1
                assert re.search(r"No space left on device|it is full", venue.log("shard", name))
                venue.kill("shard", name)
                before = len(market.acknowledged())
                await market.wait(lambda: len(market.acknowledged()) > before + 1_000, "trading without it")
                filler.unlink()
                await market.start("shard", name)
                await market.all_follow()
            await market.come_to_rest()
            assert [broker.logons for broker in market.brokers] == [1, 1, 1]
            market.check(tmp_path / "recordings")


async def another_primary(market: Replicated) -> None:
    """Depose the primary: it is killed and started again."""
    name = market.name(await market.primary())
    market.venue.kill("shard", name)
    await market.start("shard", name)
    await market.all_follow()
