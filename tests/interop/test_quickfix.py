"""A foreign FIX engine trades through the exchange: QuickFIX (C++), one broker on FIX.4.4 and one on FIX.4.2.

Every part of the exchange is a process of its own, killed without warning where a test says so. What must hold whatever
happens: every report comes exactly once (by ExecID(17)) and in the order of its numbers, what was acknowledged is still
there, and QuickFIX finds nothing to complain about in anything it is sent.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import pytest

from tests.interop.quickfix_broker import BUY, EXECUTION_REPORT, PATIENCE, SELL, QuickFixBroker, is_type, report
from tests.venue import ROOT, Venue, running

pytestmark = pytest.mark.interop


#: One for each test below, so that they share a venue and nothing in it. A letter names its symbols, on either shard.
PAIRS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ROLES = [("shard", "s1"), ("shard", "s2"), ("retransmitter", "r1"), ("gateway", "g1")]


class Desk(NamedTuple):
    """Two brokers, and two symbols that nobody else trades: the first on shard s1, the second on s2."""

    amber: QuickFixBroker  # FIX.4.4
    birch: QuickFixBroker  # FIX.4.2
    one: str
    two: str


@pytest.fixture(scope="module")
def venue(tmp_path_factory):
    instruments = [
        {"symbol": f"{name}{letter}", "id": number, "shard": shard, "tick_size": 0.01, "lot_size": 1}
        for number, (letter, (name, shard)) in enumerate(product(PAIRS, [("ONE", "s1"), ("TWO", "s2")]), start=1)
    ]
    sessions = [
        session for letter in PAIRS for session in ((f"AMBER{letter}", "FIX.4.4"), (f"BIRCH{letter}", "FIX.4.2"))
    ]
    participants = [
        {"id": number, "name": f"FIRM{number}", "mpid": f"F{number}"} for number in range(1, len(sessions) + 1)
    ]
    overrides = {"instruments": instruments, "participants": participants}
    with running(Venue(tmp_path_factory.mktemp("venue"), sessions=sessions, overrides=overrides), feed=False) as venue:
        yield venue


@pytest.fixture(scope="module")
def letters():
    return iter(PAIRS)


@pytest.fixture
def desk(venue, letters, tmp_path):
    """Two brokers logged on; at the end, what must be true of every session."""
    for role in ROLES:
        if role not in venue.processes:  # killed by a test that failed before it was started again
            venue.start(*role)
    letter = next(letters)
    pair = [
        QuickFixBroker(
            tmp_path / name,
            venue.fix_port,
            sender=f"{name}{letter}",
            target=venue.comp_id,
            username=f"{name}{letter}".lower(),
            password=venue.password,
            begin_string=begin_string,
        )
        for name, begin_string in (("AMBER", "FIX.4.4"), ("BIRCH", "FIX.4.2"))
    ]
    try:
        for broker in pair:
            broker.start()
        for broker in pair:
            broker.wait_until(lambda broker=broker: broker.logged_on, "a Logon")
        yield Desk(*pair, f"ONE{letter}", f"TWO{letter}")
    finally:
        stop_all(pair)
    for broker in pair:
        assert broker.complaints() == []
        exec_ids = [message[17] for message in reports(broker)]
        assert len(set(exec_ids)) == len(exec_ids), broker.history()


def stop_all(brokers):
    """Rudely, and side by side: each waits up to a second for QuickFIX's own thread, and another to log out."""
    with ThreadPoolExecutor() as threads:
        for stopped in [threads.submit(broker.stop, rudely=True) for broker in brokers]:
            stopped.result()


def reports(broker, cl_ord_id=None):
    """The ExecutionReports a broker has, about one ClOrdID(11) or all."""
    wanted = is_type(EXECUTION_REPORT) if cl_ord_id is None else report(cl_ord_id)
    return [message for message in broker.received if wanted(message)]


def rest(broker, symbol, quantity, price):
    """A sell order that was acknowledged."""
    order = broker.send_order(symbol, SELL, quantity, price)
    broker.wait_for(report(order, t150="0", t39="0", t151=str(quantity), t14="0"))
    return order


def buy(broker, symbol, quantity, price):
    """A buy order that was filled at once, whole."""
    order = broker.send_order(symbol, BUY, quantity, price)
    filled = broker.wait_for(report(order, t39="2"))
    assert (filled[150], filled[151], filled[14]) == (trade(broker, "2"), "0", str(quantity))
    assert filled.get(20) == ("0" if broker.begin_string == "FIX.4.2" else None)
    return order


def wait_taken(broker, symbol):
    """Until the market takes an order: a gateway refuses them after a silence of the shard as long as a slow start."""
    deadline = time.monotonic() + PATIENCE
    while broker.wait_for(report(broker.send_order(symbol, BUY, 1, "0.01")))[39] == "8":
        assert time.monotonic() < deadline, broker.history()
        time.sleep(0.1)


def trade(broker, in_4_2="1"):
    """ExecType(150) of a trade: FIX.4.2 tells a partial fill (1) from a fill (2), FIX.4.4 does not."""
    return in_4_2 if broker.begin_string == "FIX.4.2" else "F"


def test_an_order_is_filled_in_part_replaced_and_canceled(desk):
    amber, birch, symbol, _ = desk
    first = rest(amber, symbol, 300, "10.00")
    buy(birch, symbol, 100, "10.00")
    partial = amber.wait_for(report(first, t150="F"))
    assert {tag: partial[tag] for tag in (39, 32, 31, 151, 14, 54, 55)} == {
        39: "1", 32: "100", 31: "10.00", 151: "200", 14: "100", 54: "2", 55: symbol,
    }  # fmt: skip

    second = amber.replace(first, symbol, SELL, 500, "10.50")
    replaced = amber.wait_for(report(second, t150="5"))
    assert {tag: replaced[tag] for tag in (41, 38, 44, 151, 14, 37)} == {
        41: first, 38: "500", 44: "10.50", 151: "400", 14: "100", 37: partial[37],
    }  # fmt: skip

    third = amber.cancel(second, symbol, SELL, 500)
    canceled = amber.wait_for(report(third, t150="4"))
    assert (canceled[39], canceled[41], canceled[151], canceled[14]) == ("4", second, "0", "100")


@pytest.mark.parametrize("at", [0, 1], ids=["FIX.4.4", "FIX.4.2"])
def test_what_makes_no_sense_is_refused_in_words(desk, at):
    broker, symbol = desk[at], desk.one
    rest(broker, symbol, 100, "10.00")
    unknown = broker.send_order("NOPE", BUY, 100, "10.00")
    refused = broker.wait_for(report(unknown, t150="8", t39="8", t103="1", t151="0"))
    assert "Symbol(55)" in refused[58]
    off_tick = broker.send_order(symbol, BUY, 100, "10.005")
    assert "tick size" in broker.wait_for(report(off_tick, t150="8"))[58]
    cancel = broker.cancel("never-sent", symbol, BUY, 100)
    rejected = broker.wait_for(is_type("9", t11=cancel, t41="never-sent", t434="1", t102="1"))
    assert rejected[58]
    replace = broker.replace("never-sent", symbol, BUY, 100, "10.00")
    broker.wait_for(is_type("9", t11=replace, t434="2", t102="1"))


@pytest.mark.parametrize("rudely", [False, True], ids=["logged out", "cut off"])
@pytest.mark.parametrize("at", [0, 1], ids=["FIX.4.4", "FIX.4.2"])
def test_a_fill_missed_while_away_comes_by_resend(desk, at, rudely):
    away, other, symbol = desk[at], desk[1 - at], desk.one
    order = rest(away, symbol, 300, "10.00")
    away.stop(rudely=rudely)
    buy(other, symbol, 200, "10.00")
    assert len(reports(away, order)) == 1
    away.start()
    missed = away.wait_for(report(order, t150=trade(away), t39="1", t32="200", t151="100"))
    assert missed[43] == "Y"
    assert missed[122] <= missed[52]
    away.cancel(order, symbol, SELL, 300)
    away.wait_for(is_type(EXECUTION_REPORT, t41=order, t150="4", t14="200"))


def test_a_gateway_killed_while_a_broker_is_away(venue, desk):
    """Numbers, missed reports and orders outlive the gateway; the other broker's engine comes back by itself."""
    amber, birch, symbol, _ = desk
    order = rest(amber, symbol, 300, "10.00")
    amber.stop(rudely=True)
    buy(birch, symbol, 100, "10.00")
    venue.kill("gateway", "g1")
    birch.wait_until(lambda: not birch.logged_on, "the loss of the connection")
    venue.start("gateway", "g1")
    birch.wait_until(lambda: birch.logged_on, "a Logon at the new gateway")
    buy(birch, symbol, 150, "10.00")
    amber.start()
    fills = [amber.wait_for(report(order, t150="F", t32=quantity)) for quantity in ("100", "150")]
    assert [(fill[43], fill[14], fill[151]) for fill in fills] == [("Y", "100", "200"), ("Y", "250", "50")]
    amber.cancel(order, symbol, SELL, 300)
    amber.wait_for(is_type(EXECUTION_REPORT, t41=order, t150="4", t14="250"))


def test_an_order_sent_while_there_is_no_gateway_takes_effect_once(venue, desk):
    """QuickFIX keeps it, and resends it with PossDupFlag(43) when the gateway asks."""
    amber, birch, symbol, _ = desk
    order = rest(amber, symbol, 300, "10.00")
    venue.kill("gateway", "g1")
    birch.wait_until(lambda: not birch.logged_on, "the loss of the connection")
    late = birch.send_order(symbol, BUY, 100, "10.00")
    venue.start("gateway", "g1")
    birch.wait_for(report(late, t39="2", t14="100"))
    amber.wait_for(report(order, t150="F", t14="100", t151="200"))
    assert [message[39] for message in reports(birch, late)] == ["0", "2"]


def test_a_shard_killed_keeps_every_acknowledged_order(venue, desk):
    """The sessions notice a pause: an order sent while the shard was down is answered when it is back."""
    amber, birch, symbol, _ = desk
    orders = [rest(amber, symbol, 100, f"10.0{number}") for number in range(3)]
    other = rest(amber, desk.two, 100, "20.00")
    buy(birch, symbol, 50, "10.00")
    venue.kill("shard", "s1")
    buy(birch, desk.two, 100, "20.00")  # the other shard does not mind
    amber.wait_for(report(other, t150="F"))
    meanwhile = birch.send_order(symbol, BUY, 200, "10.02")  # right before the start: it is good for 10 s
    venue.start("shard", "s1")
    filled = birch.wait_for(report(meanwhile, t39="2"))
    assert (filled[14], filled[151]) == ("200", "0")
    trades = [(message[32], message[31]) for message in reports(birch, meanwhile) if message[150] in "12"]
    assert trades == [("50", "10.00"), ("100", "10.01"), ("50", "10.02")]
    assert amber.wait_for(report(orders[2], t150="F"))[151] == "50"
    assert amber.logged_on
    assert birch.logged_on


def test_a_fill_missed_while_away_survives_the_shard(venue, desk):
    amber, birch, symbol, _ = desk
    order = rest(amber, symbol, 300, "10.00")
    amber.stop()
    buy(birch, symbol, 100, "10.00")
    venue.kill("shard", "s1")
    venue.start("shard", "s1")
    wait_taken(birch, symbol)
    buy(birch, symbol, 100, "10.00")
    amber.start()
    amber.wait_for(report(order, t150="F", t14="100"))
    amber.wait_for(report(order, t150="F", t14="200"))


# The market model

EITHER = pytest.mark.parametrize("at", [0, pytest.param(1, marks=pytest.mark.slow)], ids=["FIX.4.4", "FIX.4.2"])


def operate(venue, *arguments):
    """What the market's operator types."""
    line = [sys.executable, "-m", "fixgw", "operate", str(venue.file), *arguments]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)


@EITHER
def test_a_stop_waits_is_triggered_and_rests_as_a_limit_order(desk, at):
    broker, other, symbol = desk[at], desk[1 - at], desk.one
    stop = broker.send_order(symbol, SELL, 100, "9.80", time_in_force="1", t40="4", t99="9.90")
    accepted = broker.wait_for(report(stop, t150="0", t39="0", t151="100"))
    assert {tag: accepted[tag] for tag in (40, 44, 59, 99)} == {40: "4", 44: "9.80", 59: "1", 99: "9.90"}
    rest(other, symbol, 50, "9.90")
    buy(other, symbol, 50, "9.90")
    triggered = broker.wait_for(report(stop, t150="D", t39="0", t151="100"))
    assert triggered[378] == ("99" if at == 0 else "4")
    buy(other, symbol, 60, "9.80")
    broker.wait_for(report(stop, t150=trade(broker), t39="1", t31="9.80", t151="40"))
    cancel = broker.cancel(stop, symbol, SELL, 100)
    broker.wait_for(report(cancel, t150="4", t14="60"))


@EITHER
def test_good_till_date_and_its_replacement(desk, at):
    broker, symbol = desk[at], desk.one
    tomorrow = time.strftime("%Y%m%d", time.gmtime(time.time() + 86_400))
    after = time.strftime("%Y%m%d", time.gmtime(time.time() + 2 * 86_400))
    order = broker.send_order(symbol, SELL, 100, "10.00", time_in_force="6", t432=tomorrow)
    assert broker.wait_for(report(order, t150="0"))[126] == f"{after}-00:00:00.000"
    until = f"{after}-12:00:00"
    later = broker.replace(order, symbol, SELL, 100, "10.01", t59="6", t126=until)
    assert broker.wait_for(report(later, t150="5", t44="10.01"))[126] == f"{until}.000"
    past = broker.send_order(symbol, SELL, 100, "10.00", time_in_force="6", t126="20200101-00:00:00")
    assert "ExpireTime(126)" in broker.wait_for(report(past, t150="8"))[58]


@EITHER
def test_a_reserve_trades_more_than_it_shows(desk, at):
    broker, other, symbol = desk[at], desk[1 - at], desk.one
    order = broker.send_order(symbol, SELL, 300, "10.00", t111="100")
    assert broker.wait_for(report(order, t150="0", t151="300"))[111] == "100"
    crowd = buy_in_parts(other, symbol, 250, "10.00", parts=3)
    fills = [broker.wait_for(report(order, t150=trade(broker), t151=leaves)) for leaves in ("200", "100", "50")]
    assert [fill[32] for fill in fills] == ["100", "100", "50"]
    assert [message[32] for message in reports(other, crowd)[1:]] == ["100", "100", "50"]


def buy_in_parts(broker, symbol, quantity, price, parts):
    order = broker.send_order(symbol, BUY, quantity, price)
    broker.wait_for(report(order, t39="2", t14=str(quantity)))
    assert len(reports(broker, order)) == 1 + parts
    return order


@EITHER
def test_minimum_quantity_post_only_and_pegs(desk, at):
    broker, other, symbol = desk[at], desk[1 - at], desk.one
    rest(other, symbol, 100, "10.02")
    minimum = broker.send_order(symbol, BUY, 200, "10.02", time_in_force="3", t110="150")
    assert "MinQty(110)" in broker.wait_for(report(minimum, t150="4", t14="0"))[58]
    post_only = broker.send_order(symbol, BUY, 200, "10.02", t18="6")
    assert "post-only" in broker.wait_for(report(post_only, t150="8"))[58]
    bid = broker.send_order(symbol, BUY, 10, "10.00", t18="6")
    assert broker.wait_for(report(bid, t150="0"))[18] == "6"
    peg = broker.send_order(symbol, BUY, 30, None, t40="P", t18="M")
    assert broker.wait_for(report(peg, t150="0", t40="P"))[18] == "M"
    sell = other.send_order(symbol, SELL, 30, "10.01")
    assert other.wait_for(report(sell, t39="2"))[31] == "10.01"
    broker.wait_for(report(peg, t39="2", t31="10.01"))
    all_or_none = broker.send_order(symbol, BUY, 10, "10.00", t18="G")
    assert "all or none" in broker.wait_for(report(all_or_none, t150="8"))[58]


def test_a_mass_cancel_is_answered_by_each_shard(desk):
    amber, birch, one, two = desk
    orders = [rest(amber, one, 10, "10.00"), rest(amber, one, 10, "10.01"), rest(amber, two, 10, "10.00")]
    kept = rest(birch, one, 10, "10.02")
    only_buys = amber._send("q", {530: "7", 54: "1"}, {})
    for shard in ("1", "2"):
        answer = amber.wait_for(answer_of(shard, only_buys))
        assert (answer[531], answer[533]) == ("7", "0")
    of_symbol = amber._send("q", {530: "1", 55: two}, {})
    amber.wait_for(report(orders[2], t150="4"))
    assert amber.wait_for(is_type("r", t11=of_symbol, t531="1", t533="1"))[55] == two
    everything = amber._send("q", {530: "7"}, {})
    for shard, count in (("1", "2"), ("2", "0")):
        assert amber.wait_for(answer_of(shard, everything))[533] == count
    for order in orders:
        assert "mass cancel" in amber.wait_for(report(order, t150="4"))[58]
    buy(amber, one, 10, "10.02")
    birch.wait_for(report(kept, t39="2"))
    refused = amber._send("q", {530: "3"}, {})
    assert amber.wait_for(is_type("r", t11=refused, t531="0", t532="0"))[37].startswith("G")


def answer_of(shard, cl_ord_id):
    """The condition that a message is this shard's answer to a mass cancel request."""
    return lambda message: is_type("r", t11=cl_ord_id)(message) and message[37].startswith(f"{shard}-")


@EITHER
def test_an_auction_fills_at_one_price_and_cancels_the_rest(venue, desk, at):
    broker, other, symbol = desk[at], desk[1 - at], desk.one
    operate(venue, "phase", symbol, "opening_auction")
    order = broker.send_order(symbol, SELL, 100, None, time_in_force="2")
    broker.wait_for(report(order, t150="0", t151="100"))
    bids = [other.send_order(symbol, BUY, quantity, price) for quantity, price in ((30, "10.05"), (40, "10.00"))]
    for bid in bids:
        other.wait_for(report(bid, t150="0"))
    hasty = other.send_order(symbol, BUY, 10, "10.00", time_in_force="3")
    assert "phase" in other.wait_for(report(hasty, t150="8"))[58]
    operate(venue, "phase", symbol, "continuous")
    assert [other.wait_for(report(bid, t39="2"))[31] for bid in bids] == ["10.00", "10.00"]
    rest_canceled = broker.wait_for(report(order, t150="4", t14="70"))
    assert "auction" in rest_canceled[58]
    assert {message[31] for message in reports(broker, order) if 31 in message} == {"10.00"}


@EITHER
def test_a_trade_that_is_undone_names_its_report(venue, desk, at):
    """Both sides are told; QuickFIX finds the reports right, in either version."""
    broker, other, symbol = desk[at], desk[1 - at], desk.one
    order = rest(broker, symbol, 100, "10.00")
    bought = buy(other, symbol, 40, "10.00")
    traded = broker.wait_for(report(order, t39="1"))
    match_number = traded.get(527) or other.wait_for(report(bought, t39="2"))[527]
    operate(venue, "bust", match_number)
    undone = broker.wait_for(report(order, t14="0", t19=traded[17]))
    assert (undone[39], undone[151], undone[32], undone[31]) == ("0", "60", "40", "10.00")
    assert (undone[150], undone.get(20)) == (("H", None) if at == 0 else ("0", "1"))
    assert other.wait_for(report(bought, t14="0", t39="4"))[19] == reports(other, bought)[1][17]


@EITHER
def test_whether_an_instrument_trades_and_each_change(venue, desk, at):
    broker, symbol = desk[at], desk.one

    def status(name, **fields):
        return is_type("f", t324=name, t55=symbol, **fields)

    broker._send("e", {324: "once", 55: symbol, 263: "0"}, {})
    broker._send("e", {324: "all", 55: symbol, 263: "1"}, {})
    broker.wait_for(status("once", t326="17", t336="continuous"))
    broker.wait_for(status("all", t326="17", t336="continuous"))
    operate(venue, "halt", symbol, "--reason", "T1")
    halted = broker.wait_for(status("all", t326="2", t336="halted", t327="P"))
    assert halted.get(58) == ("T1" if at == 0 else None)
    venue.kill("gateway", "g1")
    broker.wait_until(lambda: not broker.logged_on, "the loss of the connection")
    venue.start("gateway", "g1")
    broker.wait_until(lambda: broker.logged_on, "a Logon at the new gateway")
    broker._send("e", {324: "again", 55: symbol, 263: "1"}, {})
    broker.wait_for(status("again", t326="2", t336="halted"))
    operate(venue, "resume", symbol)
    broker.wait_for(status("again", t326="3", t336="continuous"))
    broker._send("e", {324: "nope", 55: "NOPE", 263: "0"}, {})
    broker.wait_for(is_type("f", t324="nope", t55="NOPE", t326="20"))
    assert sum(status("once")(message) for message in broker.received) == 1
