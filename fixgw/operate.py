"""``fixgw operate``: commands of the people who run a running exchange, and what came of them.

A command goes to whoever leads the shard, is in the shard's stream like any other, and is done once, also when the
primary is lost meanwhile (`recovery.operating` says how). What is printed is committed. A command that concerns several
shards is one command for each of them: there is no moment that two shards share, and one may do it and another not.
"""

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

import trio

from fixgw.config import Config
from fixgw.config_shards import Shard
from fixgw.link_key import link_key
from fixgw.operator_commands import Task, Teller, plan, refusal
from matching.commands import Continue
from matching.wire import KINDS, WireError, decode_event, encode
from recovery.multicast import Address
from recovery.operating import NotOperated, operate, take_snapshot
from recovery.service_frames import Operated

_CONTINUED_BY: Final = KINDS[Continue]

UNTOLD: Final = "done; nothing that anybody is told has changed"
"""No event came of it: it was so before, or it is known to the shard alone, as a reference price is."""


class Outcome(NamedTuple):
    """Of one shard."""

    shard: str
    done: bool
    tx: int
    """In which the command was done; 0: in none, or one that is not known."""
    text: str
    events: tuple[str, ...] = ()


def _controls(shard: Shard) -> dict[int, Address]:
    return {number: member.control for number, member in shard.members.items()}


class Operator:
    """Commands the shards of one exchange."""

    def __init__(self, config: Config, timeout: float) -> None:
        if not config.venue.link_key_file.exists():
            raise OSError(f"{config.venue.link_key_file}: there is no link key: no exchange has run from this file")
        self._key = link_key(config.venue.link_key_file)
        self._timeout = timeout
        self._teller = Teller(config)

    async def do(self, task: Task) -> Outcome:
        """Have one shard do it."""
        shard = task.shard
        try:
            operated = await operate(
                shard.id,
                _controls(shard),
                self._key,
                *encode(task.command),
                continued_by=_CONTINUED_BY,
                timeout=self._timeout,
            )
        except NotOperated as error:
            doubt = "; it may have been done, or be done yet: look before you repeat it" if error.sent else ""
            return Outcome(shard.name, False, 0, f"{error}{doubt}")
        return self._outcome(shard.name, operated)

    def _outcome(self, shard: str, operated: Operated) -> Outcome:
        if not operated.tx:
            return Outcome(shard, True, 0, "was taken, and what came of it is not kept any more: look with fixgw query")
        try:
            told = [decode_event(kind, body) for kind, body in operated.events]
        except WireError as error:
            return Outcome(shard, True, operated.tx, f"was taken; the shard runs another release: {error}")
        refused = refusal(told)
        if refused is not None:
            return Outcome(shard, False, operated.tx, f"refused: {refused}")
        lines = [self._teller.tell(event) for event in told]
        if operated.left_out:
            lines.insert(len(lines) // 2, f"… and {operated.left_out} more events …")
        return Outcome(shard, True, operated.tx, "done" if told else UNTOLD, tuple(lines))

    async def snapshot(self, shard: Shard) -> Outcome:
        """Have one replica of a shard make a snapshot."""
        if not shard.replicas:  # and what a snapshot stands for would be pruned from the only journal
            return Outcome(
                shard.name, False, 0, "is alone: it comes back from its whole journal, and makes no snapshots"
            )
        try:
            number, tx = await take_snapshot(shard.id, _controls(shard), self._key, timeout=self._timeout)
        except NotOperated as error:
            return Outcome(shard.name, False, 0, str(error))
        return Outcome(shard.name, True, tx, f"replica {number} has a snapshot of all up to there")


async def _all(work: list[Callable[[], Awaitable[Outcome]]]) -> list[Outcome]:
    """All of it at once; in the order of the file."""
    outcomes: dict[int, Outcome] = {}

    async def one(at: int) -> None:
        outcomes[at] = await work[at]()

    async with trio.open_nursery() as nursery:
        for at in range(len(work)):
            nursery.start_soon(one, at)
    return [outcomes[at] for at in range(len(work))]


def as_text(outcomes: list[Outcome]) -> str:
    """For people."""
    lines = [f"one command for each of {len(outcomes)} shards:"] if len(outcomes) > 1 else []
    for each in outcomes:
        where = f"{each.shard}: transaction {each.tx}: " if each.tx else f"{each.shard}: "
        lines += [where + each.text, *(f"  {event}" for event in each.events)]
    return "\n".join(lines)


def as_json(outcomes: list[Outcome]) -> str:
    """For programs."""
    return json.dumps({"shards": [each._asdict() for each in outcomes]}, indent=2)


def run(config: Config, options: argparse.Namespace) -> int:
    """Have it done, and print what came of it. Returns the exit code: 0 when all shards have done it."""
    work: list[Callable[[], Awaitable[Outcome]]]
    try:
        operator = Operator(config, options.timeout)
        if options.what == "snapshot":
            shards = [config.shard(options.shard)] if options.shard else config.shards
            work = [partial(operator.snapshot, shard) for shard in shards]
        else:
            work = [partial(operator.do, task) for task in plan(config, options)]
        outcomes = trio.run(_all, work)
    except (LookupError, ValueError, OSError) as error:
        print(f"fixgw: {error}", file=sys.stderr)
        return 1
    print(as_json(outcomes) if options.json else as_text(outcomes))
    return 0 if all(each.done for each in outcomes) else 1
