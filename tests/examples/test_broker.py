"""Order entry of the example broker: what it sends, and what it makes of the reports."""

from collections import Counter
from decimal import Decimal
from types import SimpleNamespace

import broker as broker_module
import pytest
import trio
import trio.testing
from broker import BUY, SELL, Broker, Flow, Listing, Order, Pace, Walk, common_options, parse_listing, percentile
from initiator import Settings

from tests.examples.scripted_venue import ScriptedVenue

ORDER_FIELDS = "37=X|17=E|55=ABCD|54=1|6=0"


@pytest.fixture
def reports():
    return []


@pytest.fixture
def broker(reports):
    return Broker(Settings("BROKER", "VENUE", "user", "secret"), on_report=reports.append)


@pytest.fixture
async def venue(broker, nursery):
    ours, theirs = trio.testing.memory_stream_pair()
    logged_on = trio.Event()

    async def run():
        async with broker.session(ours):
            logged_on.set()
            await trio.sleep_forever()

    nursery.start_soon(run)
    venue = ScriptedVenue(theirs)
    await venue.log_on()
    await logged_on.wait()
    return venue


async def accepted_order(broker, venue, quantity=300):
    """The ClOrdID of a buy order at 10.00 that rests."""
    cl_ord_id = await broker.new_order("ABCD", BUY, quantity, Decimal("10.00"))
    await venue.expect(f"35=D|11={cl_ord_id}")
    await venue.send(f"35=8|{ORDER_FIELDS}|11={cl_ord_id}|150=0|39=0|38={quantity}|44=10|151={quantity}|14=0")
    await broker.wait_for(lambda: not broker.unanswered)
    return cl_ord_id


async def test_a_limit_order_says_everything_both_versions_want(broker, venue):
    cl_ord_id = await broker.new_order("ABCD", SELL, 100, Decimal("10.05"))
    message = await venue.expect(f"35=D|11={cl_ord_id}|55=ABCD|54=2|38=100|40=2|44=10.05|59=0|21=1")
    assert len(message[60]) == len("20261121-12:00:00.000")
    assert len(cl_ord_id) <= 20


async def test_a_market_order_has_no_price(broker, venue):
    await broker.new_order("ABCD", BUY, 100)
    assert 44 not in await venue.expect("35=D|40=1")


@pytest.mark.parametrize("trade", ["1", "F"])
async def test_an_order_lives_until_it_is_filled(broker, venue, reports, trade):
    first = await accepted_order(broker, venue)
    assert broker.orders[first] == Order(first, "ABCD", BUY, 300, Decimal("10.00"), 300)
    await venue.send(f"35=8|{ORDER_FIELDS}|11={first}|150={trade}|39=1|32=100|31=9.99|151=200|14=100")
    await broker.wait_for(lambda: broker.positions["ABCD"] == 100)
    assert (broker.orders[first].leaves_qty, broker.orders[first].cum_qty) == (200, 100)
    last = "2" if trade == "1" else "F"
    await venue.send(f"35=8|{ORDER_FIELDS}|11={first}|150={last}|39=2|32=200|31=10|151=0|14=300")
    await broker.wait_for(lambda: not broker.orders)
    assert broker.positions["ABCD"] == 300
    assert broker.counts == Counter(orders=1, acks=1, rejects=0, fills=2, filled_quantity=300)
    assert [(report.is_trade, report.last_qty, report.last_px) for report in reports][1:] == [
        (True, 100, Decimal("9.99")),
        (True, 200, Decimal(10)),
    ]


async def test_sales_make_the_position_smaller(broker, venue):
    cl_ord_id = await broker.new_order("ABCD", SELL, 100, Decimal(10))
    await venue.send(f"35=8|37=X|17=E|55=ABCD|54=2|11={cl_ord_id}|150=F|39=2|32=100|31=10|151=0|14=100")
    await broker.wait_for(lambda: not broker.orders)
    assert broker.positions == {"ABCD": -100}


@pytest.mark.parametrize(("traded", "undone"), [("150=F", "150=H"), ("20=0|150=1", "20=1|150=0")], ids=["4.4", "4.2"])
async def test_a_trade_that_is_undone_is_taken_back(broker, venue, traded, undone):
    cl_ord_id = await accepted_order(broker, venue)
    await venue.send(f"35=8|{ORDER_FIELDS}|11={cl_ord_id}|{traded}|39=1|38=300|44=10|32=100|31=10|151=200|14=100")
    await broker.wait_for(lambda: broker.positions["ABCD"] == 100)
    await venue.send(f"35=8|{ORDER_FIELDS}|11={cl_ord_id}|19=E|{undone}|39=0|38=300|44=10|32=100|31=10|151=200|14=0")
    await broker.wait_for(lambda: broker.positions["ABCD"] == 0)
    assert (broker.counts["fills"], broker.counts["undone"]) == (1, 1)
    assert broker.orders[cl_ord_id].leaves_qty == 200


async def test_a_replaced_order_goes_on_under_its_new_name(broker, venue):
    first = await accepted_order(broker, venue)
    second = await broker.replace(first, 500, Decimal("10.10"))
    assert broker.orders[first].pending == second
    await venue.expect(f"35=G|11={second}|41={first}|54=1|38=500|44=10.10|40=2|21=1")
    await venue.send(f"35=8|{ORDER_FIELDS}|11={second}|41={first}|150=5|39=0|38=500|44=10.10|151=500|14=0")
    await broker.wait_for(lambda: not broker.unanswered)
    assert broker.orders == {second: Order(second, "ABCD", BUY, 500, Decimal("10.10"), 500)}


async def test_a_canceled_order_is_gone(broker, venue):
    first = await accepted_order(broker, venue)
    second = await broker.cancel(first)
    assert 44 not in await venue.expect(f"35=F|11={second}|41={first}|55=ABCD|54=1|38=300")
    await venue.send(f"35=8|{ORDER_FIELDS}|11={second}|41={first}|150=4|39=4|38=300|151=0|14=0")
    await broker.wait_for(lambda: not broker.unanswered)
    assert broker.orders == {}
    with pytest.raises(KeyError):
        await broker.cancel(first)


async def test_a_cancel_that_is_refused_leaves_the_order(broker, venue):
    first = await accepted_order(broker, venue)
    second = await broker.cancel(first)
    await venue.send(f"35=9|37=X|11={second}|41={first}|39=0|434=1|102=0|58=too late")
    await broker.wait_for(lambda: not broker.unanswered)
    assert broker.orders[first].pending == ""
    assert broker.counts["cancel_rejects"] == 1


async def test_rejected_orders_are_counted_and_gone(broker, venue):
    first = await broker.new_order("ZZZ", BUY, 100, Decimal(10))
    await venue.send(f"35=8|37=0|17=E|55=ZZZ|54=1|11={first}|150=8|39=8|38=100|151=0|14=0|103=1|58=unknown symbol")
    second = await broker.new_order("ABCD", BUY, 100, Decimal(10))
    await venue.send(f"35=j|45=3|372=D|379={second}|380=4|58=not now")
    await broker.wait_for(lambda: not broker.unanswered)
    assert broker.orders == {}
    assert (broker.counts["rejects"], broker.counts["message_rejects"]) == (1, 1)
    assert broker.summary()["reasons"] == {"unknown symbol": 1, "not now": 1}


async def test_the_time_to_the_first_answer_is_measured_once(broker, venue):
    first = await accepted_order(broker, venue)
    await venue.send(f"35=8|{ORDER_FIELDS}|11={first}|150=F|39=2|32=300|31=10|151=0|14=300")
    await broker.wait_for(lambda: not broker.orders)
    assert len(broker.latencies) == 1
    assert 0 < broker.latencies[0] < 60_000_000_000
    summary = broker.summary()
    assert summary["ack_us_p50"] == summary["ack_us_p99"] == broker.latencies[0] / 1000
    assert (summary["orders"], summary["acks"], summary["fills"], summary["unanswered"]) == (1, 1, 1, 0)
    assert summary["positions"] == {"ABCD": 300}
    assert "secret" not in str(summary)


async def test_cancel_all_leaves_nothing(broker, venue, nursery):
    orders = [await accepted_order(broker, venue) for _ in range(3)]
    nursery.start_soon(broker.cancel_all)
    for cl_ord_id in orders:
        request = await venue.expect(f"35=F|41={cl_ord_id}")
        await venue.send(f"35=8|{ORDER_FIELDS}|11={request[11]}|41={cl_ord_id}|150=4|39=4|38=300|151=0|14=0")
    await broker.wait_for(lambda: not broker.unanswered)
    assert broker.orders == {}


async def test_the_pace_is_kept_and_the_window_too(broker, venue, autojump_clock):
    pace = Pace(rate=10, window=1)
    began = trio.current_time()
    for _ in range(4):
        await pace.turn(broker)
    assert trio.current_time() - began == pytest.approx(0.3)
    await broker.new_order("ABCD", BUY, 100, Decimal(10))
    with trio.move_on_after(5) as waiting:
        await pace.turn(broker)
    assert waiting.cancelled_caught


class NotedBroker:
    """Notes down what a flow asks for, and agrees to everything at once."""

    def __init__(self):
        self.orders = {}
        self.asked = []
        self.positions = Counter()

    async def new_order(self, symbol, side, quantity, price):
        name = f"o{len(self.asked)}"
        self.asked.append(("new", symbol, side, quantity, price))
        self.orders[name] = Order(name, symbol, side, quantity, price, quantity)

    async def cancel(self, cl_ord_id):
        self.asked.append(("cancel", cl_ord_id))
        del self.orders[cl_ord_id]

    async def replace(self, cl_ord_id, quantity, price):
        self.asked.append(("replace", cl_ord_id, quantity, price))
        order = self.orders[cl_ord_id]
        order.quantity, order.price, order.leaves_qty = quantity, price, quantity - order.cum_qty


LISTINGS = [Listing("ABCD", Decimal(100), Decimal("0.05")), Listing("EFGH", Decimal("25.50"), Decimal("0.01"))]


async def flow_of(seed, steps=2000):
    noted = NotedBroker()
    flow = Flow(seed, LISTINGS, 100)
    for _ in range(steps):
        await flow.act(noted)
    return noted


async def test_the_flow_is_a_function_of_its_seed():
    assert (await flow_of("1")).asked == (await flow_of("1")).asked
    assert (await flow_of("1")).asked != (await flow_of("2")).asked


async def test_the_flow_is_believable():
    noted = await flow_of("1")
    kinds = Counter(asked[0] for asked in noted.asked)
    assert min(kinds["new"], kinds["cancel"], kinds["replace"]) > 100
    assert len(noted.orders) <= broker_module.MAX_OPEN_ORDERS + 1
    new = [asked[1:] for asked in noted.asked if asked[0] == "new"]
    assert all(quantity % 100 == 0 and 100 <= quantity <= 500 for _, _, quantity, _ in new)
    for listing in LISTINGS:
        prices = {side: [p for s, at, _, p in new if (s, at) == (listing.symbol, side)] for side in (BUY, SELL)}
        assert all(price % listing.tick == 0 and price > 0 for side in prices.values() for price in side)
        assert sum(prices[BUY]) / len(prices[BUY]) < sum(prices[SELL]) / len(prices[SELL])
        assert max(prices[BUY]) > min(prices[SELL])


def test_a_walk_stays_within_reach_and_above_nothing():
    walk = Walk(broker_module.random.Random(1), Listing("ABCD", Decimal("0.10"), Decimal("0.01")))
    assert all(10 <= walk.step() < 60 for _ in range(1000))
    assert walk.price(-5) == Decimal("0.01")


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 0.001), (50, 0.002), (51, 0.003), (75, 0.003), (99, 0.004), (100, 0.004)]
)
def test_percentiles_are_values_that_occurred(percent, expected):
    assert percentile([4, 1, 3, 2], percent) == expected


def test_no_percentile_of_nothing():
    assert percentile([], 50) is None


def test_listings_have_defaults():
    assert parse_listing("ABCD") == Listing("ABCD", Decimal(100), Decimal("0.05"))
    assert parse_listing("ABCD:25.50") == Listing("ABCD", Decimal("25.50"), Decimal("0.05"))
    assert parse_listing("ABCD:25.50:0.01") == Listing("ABCD", Decimal("25.50"), Decimal("0.01"))


def test_the_password_comes_from_option_environment_or_input(monkeypatch):
    monkeypatch.setenv("FIXGW_PASSWORD", "from environment")
    assert broker_module.read_password("from option") == "from option"
    assert broker_module.read_password(None) == "from environment"
    monkeypatch.delenv("FIXGW_PASSWORD")
    monkeypatch.setattr(
        broker_module.sys, "stdin", SimpleNamespace(isatty=lambda: False, readline=lambda: "from input\n")
    )
    assert broker_module.read_password(None) == "from input"


def test_the_command_line_has_what_every_trader_needs():
    arguments = ["--port=1", "--sender=A", "--target=B", "--username=u", "--symbol=ABCD", "--symbol=EFGH:1", "--json"]
    options = common_options("test").parse_args(arguments)
    assert [listing.symbol for listing in options.symbol] == ["ABCD", "EFGH"]
    assert (options.json, options.version, options.password) == ("-", "FIX.4.4", None)
