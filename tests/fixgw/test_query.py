"""``fixgw query`` as an operator sees it: its tables, its JSON, its exit codes; the shards are played."""

import json
from functools import partial
from pathlib import Path

import pytest
import trio

from fixgw import cli, config
from fixgw.link_key import link_key
from matching import queries
from matching.codes import OrdStatus, OrdType, Phase, Side, TimeInForce, TradingState
from matching.events import OrderTerms
from matching.ids import first_id
from matching.queries import BookFound, DigestFound, Fill, FillsFound, Level, OrderFound, OrdersFound, OrderStatus
from recovery.member import Role
from recovery.service_host import Service
from tests.recovery.served import FakeReplica
from tests.venue import Venue

ORDER_ID = first_id(2) + 6


def status(order_id: int = ORDER_ID, cl_ord_id: bytes = b"A-1") -> OrderStatus:
    terms = OrderTerms(order_id, 1, 1, 3, Side.SELL, OrdType.LIMIT, TimeInForce.DAY, 1_002_500, 300, cl_ord_id, b"ACCT")
    return OrderStatus(terms, OrdStatus.PARTIALLY_FILLED, 200, 100, 100_250_000)


def fill(match_number: int) -> Fill:
    return Fill(match_number, 1_795_000_000_123_000_000, 1_002_500, 100, status().terms, True)


def found(question: queries.Query, shard_id: int) -> queries.Answer:
    """Shard 2 has two pages of orders, and one before them without any, and two of fills; shard 1 has nothing."""
    match question:
        case queries.OpenOrders(1, after):
            later = status(ORDER_ID + 1, b"two\x1b")
            none_yet = OrdersFound([], more=True, after=5)
            pages = {0: none_yet, 5: OrdersFound([status()], more=True), ORDER_ID: OrdersFound([later], more=False)}
            return pages[after] if shard_id == 2 else OrdersFound([], more=False)
        case queries.Fills(1, after):
            pages = {0: FillsFound([fill(11), fill(12)], more=True), 12: FillsFound([fill(13)], more=False)}
            return pages[after] if shard_id == 2 else FillsFound([], more=False)
        case queries.OrderById(order_id):
            return OrderFound(status() if order_id == ORDER_ID else None)
        case queries.OrderByClOrdId(1, b"A-1"):
            return OrderFound(status() if shard_id == 2 else None)
        case queries.BookDepth(3, levels):
            bids, asks = [Level(1_002_400, 500, 2), Level(1_002_300, 10, 1)], [Level(1_002_500, 200, 1)]
            return BookFound(3, b"GAMMA", TradingState.TRADING, Phase.CONTINUOUS, bids[:levels], asks, False, False)
        case queries.StateDigest():
            return DigestFound(0xABC, 5, 5, ORDER_ID, 13, 2)
    return queries.QueryRefused("no such question is played here")


class PlayedReplica(FakeReplica):
    def __init__(self, shard_id: int, replica_id: int) -> None:
        super().__init__(replica_id, 812, Role.PRIMARY if replica_id == 1 else Role.BACKUP)
        self.shard_id = shard_id

    def read(self, request: bytes) -> bytes:
        return queries.encode(found(queries.decode_query(request), self.shard_id))


class Exchange:
    """Of the shards' processes only their services, which `stop` ends."""

    def __init__(self, venue: Venue, nursery: trio.Nursery) -> None:
        self.file = venue.file
        self.config = config.load(venue.file)
        self._nursery = nursery
        self._scopes: dict[tuple[str, int], trio.CancelScope] = {}
        self._ended: dict[tuple[str, int], trio.Event] = {}

    async def start(self) -> None:
        key = link_key(self.config.venue.link_key_file)
        for shard in self.config.shards:
            for number, member in shard.members.items():
                listeners = await trio.open_tcp_listeners(member.control.port, host=member.control.host)
                service = Service(PlayedReplica(shard.id, number), key)
                scope = self._scopes[shard.name, number] = trio.CancelScope()
                ended = self._ended[shard.name, number] = trio.Event()
                self._nursery.start_soon(self._run, service, listeners, scope, ended)

    async def _run(
        self, service: Service, listeners: list[trio.SocketListener], scope: trio.CancelScope, ended: trio.Event
    ) -> None:
        with scope:
            await service.run(listeners)
        ended.set()

    async def stop(self, shard: str, *numbers: int) -> None:
        """End some, and see that nobody listens there any more."""
        for number in numbers:
            self._scopes[shard, number].cancel()
            await self._ended[shard, number].wait()

    async def query(self, *arguments: str) -> int:
        return await trio.to_thread.run_sync(partial(cli.main, ["query", str(self.file), *arguments]))


@pytest.fixture
async def exchange(nursery: trio.Nursery, tmp_path: Path) -> Exchange:
    exchange = Exchange(Venue(tmp_path, replicas=3), nursery)
    await exchange.start()
    return exchange


Output = pytest.CaptureFixture[str]


async def test_orders_of_all_shards_and_all_pages(exchange: Exchange, capsys: Output) -> None:
    assert await exchange.query("orders", "--participant", "FIRM1") == 0
    assert capsys.readouterr().out == (
        "shard         order_id  cl_ord_id  participant  session  symbol  side  type    price  time_in_force  "
        "order_qty  leaves_qty  cum_qty  avg_px  status\n"
        "-----  ---------------  ---------  -----------  -------  ------  ----  -----  ------  -------------  "
        "---------  ----------  -------  ------  ----------------\n"
        f"s2     {ORDER_ID}  A-1        FIRM1        BROKER1  GAMMA   SELL  LIMIT  100.25  DAY            "
        "      300         200      100  100.25  PARTIALLY_FILLED\n"
        f"s2     {ORDER_ID + 1}  two\\x1b    FIRM1        BROKER1  GAMMA   SELL  LIMIT  100.25  DAY            "
        "      300         200      100  100.25  PARTIALLY_FILLED\n"
        "\n"
        "s1 as of transaction 812\n"
        "s2 as of transaction 812\n"
    )


async def test_fills_as_json(exchange: Exchange, capsys: Output) -> None:
    assert await exchange.query("fills", "--participant", "FIRM1", "--json") == 0
    shards = json.loads(capsys.readouterr().out)["shards"]
    assert [(each["shard"], each["tx"], each["mode"]) for each in shards] == [
        ("s1", 812, "quorum"),
        ("s2", 812, "quorum"),
    ]
    assert [row["match_number"] for row in shards[1]["rows"]] == [11, 12, 13]
    assert shards[1]["rows"][0] | {"symbol": "GAMMA", "price": "100.25", "quantity": 100} == shards[1]["rows"][0]
    assert shards[1]["rows"][0]["time"] == "20261118-11:06:40.123"


@pytest.mark.parametrize(
    ("arguments", "shards"),
    [([str(ORDER_ID)], ["s2"]), (["A-1", "--session", "BROKER1"], ["s1", "s2"])],
)
async def test_one_order(exchange: Exchange, capsys: Output, arguments: list[str], shards: list[str]) -> None:
    assert await exchange.query("order", *arguments, "--json") == 0
    answered = json.loads(capsys.readouterr().out)["shards"]
    assert [each["shard"] for each in answered] == shards
    assert [row["order_id"] for each in answered for row in each["rows"]] == [ORDER_ID]


async def test_an_order_that_there_is_not(exchange: Exchange, capsys: Output) -> None:
    assert await exchange.query("order", str(ORDER_ID + 9)) == 0
    assert capsys.readouterr().out == "nothing\n\ns2 as of transaction 812\n"


async def test_book(exchange: Exchange, capsys: Output) -> None:
    assert await exchange.query("book", "GAMMA") == 0
    assert capsys.readouterr().out == (
        "shard  bid_orders  bid_qty     bid     ask  ask_qty  ask_orders\n"
        "-----  ----------  -------  ------  ------  -------  ----------\n"
        "s2              2      500  100.24  100.25      200           1\n"
        "s2              1       10  100.23\n"
        "\n"
        "GAMMA: TRADING\n"
        "s2 as of transaction 812\n"
    )


async def test_digest_of_one_shard(exchange: Exchange, capsys: Output) -> None:
    assert await exchange.query("digest", "--shard", "s1", "--json") == 0
    (answered,) = json.loads(capsys.readouterr().out)["shards"]
    assert answered["rows"] == [
        {"digest": "00000abc", "day": 5, "open_orders": 2, "last_order_id": ORDER_ID, "last_match_number": 13}
    ]


async def test_one_replica_of_each_is_not_missed_and_two_are(exchange: Exchange, capsys: Output) -> None:
    await exchange.stop("s1", 1)
    await exchange.stop("s2", 3)
    assert await exchange.query("digest") == 0
    capsys.readouterr()
    await exchange.stop("s2", 2)
    assert await exchange.query("digest", "--timeout", "0.3") == 1
    told = capsys.readouterr()
    assert told.out == ""  # not a part of the answer either
    # Between the two stands that replica 1 did not answer either, where the machine is too busy for it.
    assert told.err.startswith("fixgw: shard s2 has no quorum: no answer from 2 of 3 replicas within 0.3 s; ")
    assert told.err.endswith("replicas 2 and 3: Connection refused\n")


async def test_an_exchange_that_does_not_run_is_told_in_one_line_for_each_shard(
    exchange: Exchange, capsys: Output
) -> None:
    for shard in ("s1", "s2"):
        await exchange.stop(shard, 1, 2, 3)
    assert await exchange.query("digest", "--timeout", "60") == 1
    assert capsys.readouterr() == (
        "",
        "fixgw: shard s1 has no quorum: no replica is running; replicas 1, 2 and 3: Connection refused\n"
        "fixgw: shard s2 has no quorum: no replica is running; replicas 1, 2 and 3: Connection refused\n",
    )


async def test_positions_tell_why_there_is_no_quorum(exchange: Exchange, capsys: Output) -> None:
    assert await exchange.query("position", "--shard", "s1") == 0
    capsys.readouterr()
    await exchange.stop("s1", 2, 3)
    assert await exchange.query("position", "--shard", "s1") == 1
    assert capsys.readouterr().out == (
        "shard  replica  role                epoch  complete  safe_tx  commit_tx\n"
        "-----  -------  ------------------  -----  --------  -------  ---------\n"
        "s1           1  primary                 1         1      812        812\n"
        "s1           2  Connection refused\n"
        "s1           3  Connection refused\n"
        "\n"
        "shard s1 has no quorum: 1 of 3 replicas can vote\n"
        "s1 as of transaction 812\n"
    )
    await exchange.stop("s1", 1)
    assert await exchange.query("position", "--shard", "s1") == 1
    assert capsys.readouterr().out.endswith("\n\nshard s1 has no quorum: 0 of 3 replicas can vote\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["orders", "--participant", "FIRM9"], "no participant is named 'FIRM9'; there are: FIRM1, FIRM2, FIRM3"),
        (["book", "OMEGA"], "no instrument is called 'OMEGA'; there are: ALPHA, BETA, GAMMA, DELTA"),
        (["digest", "--shard", "s9"], "no shard is named 's9'; there are: s1, s2"),
        (["order", "A-1"], "'A-1' is no OrderID(37): for a ClOrdID(11) say --session, too"),
        (["order", "12"], "order 12 would be of shard 0, which there is not"),
        (["order", "A-1", "--session", "X"], "no session is called 'X'; there are: BROKER1, BROKER2, BROKER3"),
        (["fills", "--participant", "FIRM2"], "shard s1 has no answer: no such question is played here"),
    ],
)
async def test_what_cannot_be_answered(exchange: Exchange, capsys: Output, arguments: list[str], text: str) -> None:
    assert await exchange.query(*arguments) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[0] == f"fixgw: {text}"


def test_an_exchange_that_never_ran_has_no_key(tmp_path: Path, capsys: Output) -> None:
    venue = Venue(tmp_path)
    (tmp_path / "var" / "link.key").unlink()
    assert cli.main(["query", str(venue.file), "digest"]) == 1
    assert "there is no link key" in capsys.readouterr().err
    assert not (tmp_path / "var" / "link.key").exists()


async def test_mode_async_is_told(nursery: trio.Nursery, tmp_path: Path, capsys: Output) -> None:
    exchange = Exchange(Venue(tmp_path, replicas=2, mode="async"), nursery)
    await exchange.start()
    assert await exchange.query("digest", "--shard", "s1") == 0
    assert "transaction 812, which may still be lost with its primary (mode async)" in capsys.readouterr().out
