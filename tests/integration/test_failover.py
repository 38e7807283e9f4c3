"""The primary of three replicas dies, hangs, or all of them lose power, under load; what brokers were told stays true.

Each test ends with the whole account (`Market.check`), and with replicas that have made the same messages.
"""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from recovery.member import Role
from tests.integration.failover import OFFERED_GENTLY, Replicated, StreamTap, one_shard, open_replicated
from tests.venue import ROOT, ProcessFailed


@pytest.mark.parametrize("durability", ["disk", pytest.param("memory", marks=pytest.mark.slow)])
async def test_primaries_killed_under_load_lose_nothing(tmp_path, durability):
    async with open_replicated(one_shard(tmp_path / "venue", durability=durability)) as market:
        async with market.trading(OFFERED_GENTLY):
            for _ in range(2):
                await kill_primary(market)
        await market.come_to_rest()
        assert [broker.logons for broker in market.brokers] == [1, 1, 1]
        market.check(tmp_path / "recordings")


async def kill_primary(market: Replicated) -> float:
    """Kill it, and start it again when another one leads; gives the outage in seconds."""
    name = market.name(await market.primary())

    async def kill() -> None:
        market.venue.kill("shard", name, signal.SIGKILL)

    outage = await market.outage(kill)
    await market.start("shard", name)
    await market.all_follow()
    return outage


async def test_a_primary_that_was_paused_is_heard_by_nobody_when_it_goes_on_and_follows(tmp_path, nursery):
    venue = one_shard(tmp_path / "venue")
    tap = StreamTap(venue)
    async with open_replicated(venue) as market:
        await nursery.start(tap.run)
        async with market.trading(OFFERED_GENTLY):
            await pause_primary(market)
        await market.come_to_rest()
        assert tap.epoch >= 2
        market.check(tmp_path / "recordings")
    nursery.cancel_scope.cancel()


async def pause_primary(market: Replicated, seconds: float = 3.0) -> float:
    """It stands still for so long, with its sockets and all it was about to say; gives the outage in seconds."""
    number = await market.primary()
    name = market.name(number)

    async def pause() -> None:
        market.venue.pause("shard", name)

    outage = await market.outage(pause)
    epoch, _ = await market.leader()
    await trio.sleep(max(0.0, seconds - outage))
    market.venue.resume("shard", name)
    await market.all_follow()
    found = await market.position(number)
    assert found.role is Role.BACKUP or found.epoch > epoch
    return outage


@pytest.mark.slow
async def test_everything_killed_at_once_comes_back_from_the_disks(tmp_path):
    async with open_replicated(one_shard(tmp_path / "venue")) as market:
        async with market.trading(OFFERED_GENTLY):
            killed = list(market.venue.processes)
            for role, name in killed:
                market.venue.kill(role, name)
            async with trio.open_nursery() as nursery:
                for role, name in killed:
                    nursery.start_soon(market.start, role, name)
            for broker in market.brokers:
                await broker.wait_until(lambda broker=broker: broker.logons == 2, "its second Logon", 30)
            before = len(market.acknowledged())
            await market.wait(lambda: len(market.acknowledged()) > before + 200, "trading after it")
        await market.come_to_rest()
        market.check(tmp_path / "recordings")


@pytest.mark.slow
async def test_a_replica_with_one_flipped_bit_refuses_and_is_rebuilt_by_one_command(tmp_path):
    async with open_replicated(one_shard(tmp_path / "venue")) as market:
        async with market.trading(OFFERED_GENTLY):
            number = next(each for each, said in (await market.positions()).items() if said.role is Role.BACKUP)
            name = market.name(number)
            market.venue.kill("shard", name)
            file = flip_a_bit(market.venue.directory / "var" / f"shard-{name}")
            with pytest.raises(ProcessFailed, match=rf"{re.escape(str(file))} at byte \d+: record \d+ is damaged"):
                await market.start("shard", name)
            rebuild = [sys.executable, "-m", "fixgw", "rebuild", name, str(market.venue.file)]
            await trio.run_process(rebuild, cwd=ROOT, stdout=subprocess.DEVNULL)
            await market.start("shard", name)
            await market.all_follow()
        await market.come_to_rest()
        assert [broker.logons for broker in market.brokers] == [1, 1, 1]
        market.check(tmp_path / "recordings")


def flip_a_bit(journal: Path) -> Path:
    """In the middle of what a replica has written: in a record that was safe long ago."""
    file = min(journal.glob("*.segment"), default=None) or min(each for each in journal.iterdir() if each.is_file())
    data = bytearray(file.read_bytes())
    written = len(data.rstrip(b"\0"))
    data[written // 2] ^= 1
    file.write_bytes(data)
    return file
