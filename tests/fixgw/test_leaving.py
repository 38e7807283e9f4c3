"""A gateway that ends: a failure if nobody asked it to, and none if somebody did."""

import logging
import signal
import time
from pathlib import Path

import pytest
import trio

from matching import host
from tests.fixgw.venue_on_sockets import PATIENCE, Exchange
from tests.venue import Venue, running

ENDED, LOST = "has ended as it was asked to", "is lost: it has no link"


@pytest.mark.parametrize(("asked", "level", "what"), [(True, logging.INFO, ENDED), (False, logging.ERROR, LOST)])
async def test_each_shard_tells_once_why_a_gateway_is_gone(
    nursery: trio.Nursery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    asked: bool,
    level: int,
    what: str,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(host, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(host, "LINK_GRACE", 50_000_000)
    exchange = Exchange(tmp_path, nursery)
    await exchange.start("s1", "s2", "g1")
    for _ in range(2):  # who came back and goes again has to say so again
        caplog.clear()
        if asked:
            exchange.gateway.leave()
        await exchange.stop("g1")

        def told() -> list[tuple[int, str]]:
            return [(each.levelno, each.message) for each in caplog.records if "source_id 1 " in each.message]

        with trio.fail_after(PATIENCE):
            while len(told()) < 2:
                await trio.lowlevel.checkpoint()
        assert sorted(told()) == [(level, f"shard {number}: the gateway with source_id 1 {what}") for number in (1, 2)]
        await exchange.start("g1")
    nursery.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "what"), [(signal.SIGTERM, ENDED), (signal.SIGKILL, LOST)])
def test_who_is_terminated_was_asked_to_end(tmp_path: Path, number: signal.Signals, what: str) -> None:
    with running(Venue(tmp_path), feed=False, retransmitter=False) as venue:
        venue.kill("gateway", "g1", number)
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up and what not in venue.log("shard", "s1"):
            time.sleep(0.1)
        assert what in venue.log("shard", "s1")
        assert (" ERROR " in venue.log("shard", "s1")) == (number is signal.SIGKILL)
