"""``fixgw operate`` as an operator sees it: which command goes to which shard, what is printed, the exit codes."""

import json
from datetime import time
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import trio

from fixgw import cli, config, market
from fixgw.link_key import link_key
from fixgw.operate import UNTOLD
from fixgw.operator_commands import Teller, plan
from matching import events
from matching.codes import OrdType, Phase, RestatementReason, Side, TimeInForce, TradingState
from matching.commands import (
    BreachCircuitBreaker,
    BustTrade,
    Command,
    Conditions,
    Continue,
    MassCancel,
    NewOrder,
    SetCircuitBreaker,
    SetEntryBlock,
    SetPhase,
    SetReferencePrice,
    SetTradingState,
)
from matching.engine import Engine
from matching.ids import first_id
from matching.operations import Market, TradingDay, due_commands
from matching.wire import decode_command, encode
from recovery.member import Role
from recovery.service_frames import Operate, Operated, Operating
from recovery.service_host import Service
from tests.recovery.served import FakeReplica
from tests.venue import Venue

TRADE = first_id(2)


@pytest.mark.parametrize(
    ("words", "shards", "command"),
    [
        ("halt ALPHA --reason T1", "s1", SetTradingState(1, TradingState.HALTED, b"T1")),
        ("resume GAMMA", "s2", SetTradingState(3, TradingState.TRADING, b"")),
        ("quote-only BETA", "s1", SetTradingState(2, TradingState.QUOTATION_ONLY, b"")),
        ("phase BETA closing_auction", "s1", SetPhase(2, Phase.CLOSING_AUCTION, b"")),
        ("phase all continuous --reason O", "s1 s2", SetPhase(0, Phase.CONTINUOUS, b"O")),
        ("cancel --all", "s1 s2", MassCancel(0, 0, 0, 0, b"")),
        ("cancel --participant FIRM2", "s1 s2", MassCancel(2, 0, 0, 0, b"")),
        ("cancel --session BROKER2 --side sell", "s1 s2", MassCancel(2, 2, 0, Side.SELL, b"")),
        ("cancel --symbol DELTA --side buy", "s2", MassCancel(0, 0, 4, Side.BUY, b"")),
        ("block FIRM1", "s1 s2", SetEntryBlock(1, 0, 1)),
        ("unblock FIRM1 --session BROKER1", "s1 s2", SetEntryBlock(1, 1, 0)),
        (f"bust {TRADE}", "s2", BustTrade(TRADE)),
        ("reference-price ALPHA 12.3456", "s1", SetReferencePrice(1, 123_456)),
        ("breaker 2", "s1 s2", BreachCircuitBreaker(2)),
        (
            "breaker-levels 4650.25 4350 4000.00000001",
            "s1 s2",
            SetCircuitBreaker(465_025_000_000, 435_000_000_000, 400_000_000_001),
        ),
    ],
)
def test_words_are_a_command_for_each_shard_concerned(
    tmp_path: Path, words: str, shards: str, command: Command
) -> None:
    venue = Venue(tmp_path)
    options = cli.parser().parse_args(["operate", str(venue.file), *words.split()])
    tasks = plan(config.load(venue.file), options)
    assert [task.shard.name for task in tasks] == shards.split()
    assert {task.command for task in tasks} == {command}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("halt OMEGA", "no instrument is called 'OMEGA'; there are: ALPHA, BETA, GAMMA, DELTA"),
        ("halt ALPHA --reason TOO-LONG", "a reason is a code of ITCH, at most 4 printable ASCII characters"),
        ("phase ALPHA lunch", "no phase is called 'lunch'; there are: closed, pre_open, opening_auction"),
        ("cancel", "say whose or which orders are to be canceled, or --all for every order there is"),
        ("cancel --all --side buy", "say whose or which orders are to be canceled, or --all for every order there is"),
        ("cancel --session BROKER1 --participant FIRM2", "session BROKER1 is of FIRM1, not of FIRM2"),
        ("cancel --session NOBODY", "no session is called 'NOBODY'; there are: BROKER1, BROKER2, BROKER3"),
        ("block FIRM2 --session BROKER1", "session BROKER1 is of FIRM1, not of FIRM2"),
        ("block FIRM9", "no participant is named 'FIRM9'; there are: FIRM1, FIRM2, FIRM3"),
        ("bust 12", "trade 12 would be of shard 0, which there is not"),
        ("snapshot --shard s9", "no shard is named 's9'; there are: s1, s2"),
    ],
)
def test_words_that_make_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, text: str) -> None:
    venue = Venue(tmp_path)
    assert cli.main(["operate", str(venue.file), *words.split()]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"fixgw: {text}")


@pytest.mark.parametrize(
    "words", ["breaker 4", "reference-price ALPHA 0.00001", "reference-price ALPHA x", "bust 0", ""]
)
def test_words_that_are_no_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["operate", str(tmp_path / "x.yaml"), *words.split()])
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


class OperatedReplica(FakeReplica):
    """A primary whose engine is real: its day is open, and two firms have traded."""

    def __init__(self, shard_id: int, made: config.Config) -> None:
        super().__init__(1, 10, Role.PRIMARY)
        self.shard_id = shard_id
        self.engine = Engine(shard_id)
        shard = made.shards[shard_id - 1].name
        wanted = Market(market.instruments(made, shard), ZoneInfo("UTC"), time(), market.sessions(made))
        for command in due_commands(self.engine, shard_id, wanted, TradingDay(20261122, 0)):
            self.apply(command)
        instrument_id = wanted.instruments[0].instrument_id
        for session, side, quantity in ((1, Side.BUY, 100), (2, Side.SELL, 300)):
            order = (OrdType.LIMIT, TimeInForce.DAY, 100_000, quantity, 0, b"A", b"")
            self.engine.apply(NewOrder(session, instrument_id, side, *order), 1, session)

    def apply(self, command: Command) -> list[tuple[int, bytes]]:
        events = self.engine.apply(command, 1, 0)
        while self.engine.pending:
            events += self.engine.apply(Continue(), 1, 0)
        self.applied_tx += 1
        return [encode(event) for event in events]

    async def begin_operating(self) -> Operating:
        return Operating(1, 0)

    async def operate(self, request: Operate) -> Operated:
        told = self.apply(decode_command(request.kind, request.body))
        return Operated(self.applied_tx, 0, tuple(told))


class Exchange:
    """Of the shards' processes only their services."""

    def __init__(self, directory: Path, nursery: trio.Nursery) -> None:
        self.file = Venue(directory).file
        self.config = config.load(self.file)
        self.replicas = {shard.name: OperatedReplica(shard.id, self.config) for shard in self.config.shards}
        self._nursery = nursery

    async def start(self, *shards: str) -> None:
        key = link_key(self.config.venue.link_key_file)
        for name in shards:
            control = self.config.shard(name).members[1].control
            listeners = await trio.open_tcp_listeners(control.port, host=control.host)
            self._nursery.start_soon(Service(self.replicas[name], key).run, listeners)

    async def operate(self, *arguments: str) -> int:
        return await trio.to_thread.run_sync(partial(cli.main, ["operate", str(self.file), *arguments]))


@pytest.fixture
async def exchange(nursery: trio.Nursery, tmp_path: Path) -> Exchange:
    exchange = Exchange(tmp_path, nursery)
    await exchange.start("s1", "s2")
    return exchange


Output = pytest.CaptureFixture[str]


async def said(exchange: Exchange, capsys: Output, words: str, code: int = 0) -> list[str]:
    assert await exchange.operate(*words.split()) == code
    return capsys.readouterr().out.splitlines()


async def test_a_halt_and_its_end_are_told(exchange: Exchange, capsys: Output) -> None:
    first, *changes = await said(exchange, capsys, "halt ALPHA --reason T1")
    assert first.startswith("s1: transaction ")
    assert first.endswith(": done")
    assert changes == ["  ALPHA: halted", "  ALPHA: the public sees halted, reason T1"]
    (again,) = await said(exchange, capsys, "halt ALPHA")
    assert again.endswith(f": {UNTOLD}")
    _, *changes = await said(exchange, capsys, "resume ALPHA")
    assert changes == ["  ALPHA: continuous", "  ALPHA: the public sees trading"]


async def test_what_is_canceled_is_told_shard_by_shard(exchange: Exchange, capsys: Output) -> None:
    lines = await said(exchange, capsys, "block FIRM2")
    assert lines[0] == "one command for each of 2 shards:"
    assert [line for line in lines if line.startswith("  ")] == [
        "  FIRM2: orders are refused",
        f"  ALPHA: order {first_id(1) + 1} of FIRM2: 200 canceled (kill switch)",
        "  FIRM2: orders are refused",
        f"  GAMMA: order {first_id(2) + 1} of FIRM2: 200 canceled (kill switch)",
    ]
    (_, _, lifted, *_) = await said(exchange, capsys, "unblock FIRM2")
    assert lifted == "  FIRM2: the firm's block is lifted, not those of its sessions if there are any"
    (_, _, lifted, *_) = await said(exchange, capsys, "unblock FIRM2 --session BROKER2")
    assert lifted == "  FIRM2 at BROKER2: the session's block is lifted, not the firm's if there is one"
    lines = await said(exchange, capsys, "cancel --all")
    assert [line for line in lines if line.startswith("  ")] == ["  0 orders canceled", "  0 orders canceled"]


async def test_what_an_uncross_sets_off_is_told(exchange: Exchange, capsys: Output) -> None:
    """Its price elects a stop, which trades with a reserve's first part; the next one is displayed."""
    await said(exchange, capsys, "phase ALPHA closing_auction")
    apply = exchange.replicas["s1"].engine.apply
    stop, reserve = Conditions(stop_price=100_500), Conditions(display_qty=50)
    for session, side, ord_type, price, quantity, conditions in (
        (1, Side.BUY, OrdType.LIMIT, 100_500, 200, None),  # meets the 200 that are left of the day's first sell
        (1, Side.BUY, OrdType.STOP, 0, 50, stop),
        (2, Side.SELL, OrdType.LIMIT, 101_000, 90, reserve),
    ):
        order = (ord_type, TimeInForce.DAY, price, quantity, 0, b"B%d" % price, b"", conditions)
        apply(NewOrder(session, 1, side, *order), 1, session)
    apply(SetReferencePrice(1, 100_500), 1, 0)
    _, *changes = await said(exchange, capsys, "phase ALPHA continuous")
    resting, auctioned, stopped, reserved = (first_id(1) + number for number in range(1, 5))
    assert changes == [
        f"  trade {first_id(1) + 1}: 200 at 10.05; bought by FIRM1, order {auctioned}, sold by FIRM2, order {resting}",
        "  ALPHA: the auction traded 200 at 10.05",
        "  ALPHA: continuous",
        "  ALPHA: the public sees trading",
        f"  ALPHA: order {stopped} of FIRM1: its stop price was reached",
        f"  trade {first_id(1) + 3}: 50 at 10.10; bought by FIRM1, order {stopped}, sold by FIRM2, order {reserved}",
        f"  ALPHA: order {reserved} displays 40 at 10.10",
    ]


def test_what_else_may_come_of_it_is_told(tmp_path: Path) -> None:
    teller = Teller(config.load(Venue(tmp_path).file))
    terms = events.OrderTerms(7, 1, 1, 1, Side.SELL, OrdType.LIMIT, TimeInForce.DAY, 100_000, 300, b"A", b"")
    restated = events.OrderRestated(terms, 1, 100, RestatementReason.SELF_MATCH_DECREMENT, 1, 0, 200, 0)
    assert teller.tell(restated) == "ALPHA: order 7 of FIRM1: 200 open (self match decrement)"
    collar = events.CollarSet(1, 100_000, 105_000, 95_000, 0)
    assert teller.tell(collar) == "ALPHA: the auction is to end from 9.50 to 10.50"


async def test_the_levels_of_the_circuit_breaker_are_told_as_they_were_said(exchange: Exchange, capsys: Output) -> None:
    lines = await said(exchange, capsys, "breaker-levels 4650.25 4350 4000.00000001")
    assert lines[2] == lines[4] == "  the circuit breaker's levels are 4650.25, 4350, 4000.00000001"


async def test_a_bust_is_told_and_a_second_one_refused(exchange: Exchange, capsys: Output) -> None:
    _, change = await said(exchange, capsys, f"bust {TRADE}")
    assert change == (
        f"  trade {TRADE}: 100 at 10.00 is undone; "
        f"bought by FIRM1, order {first_id(2)}, sold by FIRM2, order {first_id(2) + 1}"
    )
    (line,) = await said(exchange, capsys, f"bust {TRADE}", 1)
    assert line.endswith(": refused: the trade is busted already")


async def test_json_is_for_programs(exchange: Exchange, capsys: Output) -> None:
    assert await exchange.operate("reference-price", "ALPHA", "10.5", "--json") == 0
    tx = exchange.replicas["s1"].applied_tx
    assert json.loads(capsys.readouterr().out) == {
        "shards": [{"shard": "s1", "done": True, "tx": tx, "text": UNTOLD, "events": []}]
    }


async def test_a_shard_that_is_away_does_not_keep_the_others_from_it(
    nursery: trio.Nursery, tmp_path: Path, capsys: Output
) -> None:
    exchange = Exchange(tmp_path, nursery)
    await exchange.start("s2")
    lines = await said(exchange, capsys, "breaker 1 --timeout 0.3", 1)
    assert lines[1] == "s1: not confirmed within 0.3 s: replica 1: Connection refused"
    assert lines[2].startswith("s2: transaction ")
    assert lines[3] == "  the circuit breaker is breached at level 1"


async def test_a_snapshot_is_made_by_a_backup_where_there_is_one(
    nursery: trio.Nursery, tmp_path: Path, capsys: Output
) -> None:
    file = Venue(tmp_path, replicas=2).file
    made = config.load(file)
    primary, backup = FakeReplica(1, 10, Role.PRIMARY), FakeReplica(2, 10, Role.BACKUP)
    backup.snapshot = tmp_path / "0.snapshot"
    for replica in (primary, backup):
        control = made.shard("s1").members[replica.replica_id].control
        listeners = await trio.open_tcp_listeners(control.port, host=control.host)
        nursery.start_soon(Service(replica, link_key(made.venue.link_key_file)).run, listeners)
    assert await trio.to_thread.run_sync(partial(cli.main, ["operate", str(file), "snapshot", "--shard", "s1"])) == 0
    assert capsys.readouterr().out == "s1: transaction 10: replica 2 has a snapshot of all up to there\n"


async def test_a_shard_alone_makes_no_snapshot(exchange: Exchange, capsys: Output) -> None:
    (line,) = await said(exchange, capsys, "snapshot --shard s2", 1)
    assert line == "s2: is alone: it comes back from its whole journal, and makes no snapshots"


def test_an_exchange_that_never_ran_has_no_key(tmp_path: Path, capsys: Output) -> None:
    venue = Venue(tmp_path)
    (tmp_path / "var" / "link.key").unlink()
    assert cli.main(["operate", str(venue.file), "cancel", "--all"]) == 1
    assert "there is no link key" in capsys.readouterr().err
