"""OrderMassCancelRequest: a command for each shard, at most once whatever dies; each shard answers, or is told of."""

from fixgw.entries import Forwarded
from matching.commands import BustTrade, MassCancel
from matching.ids import first_id
from matching.wire import decode_command, encode
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.test_router import trading, written
from tests.fixgw.venue_in_memory import Venue


def answers(broker: Broker) -> list[tuple[str, str, str]]:
    """OrderID(37) up to its hyphen, MassCancelResponse(531) and TotalAffectedOrders(533) of each answer."""
    found = [message.fields for message in broker.heard if message.msg_type == b"r"]
    broker.heard = []
    return sorted((each[37].decode().split("-")[0], each[531].decode(), each.get(533, b"-").decode()) for each in found)


def test_each_shard_cancels_and_answers() -> None:
    venue = Venue(shard_count=2)
    amber, birch = trading(venue)
    for broker, names in ((amber, ("a1", "a2", "a3")), (birch, ("b1",))):
        for name in names:
            broker.order(name, "buy", 10, "1", symbol="GAMMA" if name == "a3" else "ALPHA")
    venue.settle()
    amber.send("q", "11=m1|530=7|60=NOW|")
    venue.settle()
    assert answers(amber) == [("1", "7", "2"), ("2", "7", "1")]
    assert [order.terms.cl_ord_id for order in venue.machines[1].engine.orders()] == [b"b1"]
    amber.send("q", "11=m2|530=1|55=GAMMA|60=NOW|")
    venue.settle()
    assert answers(amber) == [("2", "1", "0")]


def test_its_commands_are_one_record_with_its_number() -> None:
    venue = Venue(shard_count=2)
    amber, _ = trading(venue)
    before = len(venue.gateway.batches)
    amber.send("q", "11=m1|530=7|54=2|60=NOW|")
    venue.step("to_gateway", 1)
    [batch] = venue.gateway.batches[before:]
    forwarded = [entry for entry in written(batch) if isinstance(entry, Forwarded)]
    assert [each.shard_id for each in forwarded] == [1, 2]
    assert {decode_command(each.kind, each.body) for each in forwarded} == {MassCancel(1, 1, 0, 2, b"m1")}
    assert {each[2:4] for each in forwarded} == {(1, forwarded[0].session_seq)}


def test_a_shard_that_is_away_is_answered_for() -> None:
    venue = Venue(shard_count=2)
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "1")
    venue.settle()
    venue.router.link_lost(2, venue.now)
    venue.listen(10)
    amber.send("q", "11=m1|530=7|60=NOW|")
    venue.settle()
    assert answers(amber) == [("1", "7", "1"), ("2", "0", "-")]


def test_a_gateway_that_dies_cancels_once() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "1")
    venue.settle()
    amber.send("q", "11=m1|530=7|60=NOW|")
    venue.step("to_gateway", 1)
    venue.restart_gateway()
    venue.connect("AMBER")
    venue.settle()
    assert answers(amber) == [("1", "7", "1")]


def test_a_trade_keeps_its_name_over_the_gateways_lives() -> None:
    """What undoes it is reported by a gateway that never heard of it in this life."""
    venue = Venue()
    amber, birch = trading(venue)
    amber.order("a1", "buy", 10, "1")
    birch.order("b1", "sell", 10, "1")
    venue.settle()
    traded = [fields[17] for broker in (amber, birch) for fields in broker.reports() if 32 in fields]
    venue.restart_gateway()
    for name in ("AMBER", "BIRCH"):
        venue.connect(name)
    venue.settle()
    venue.primaries[1].command(*encode(BustTrade(first_id(1))), venue.now)
    venue.flush_shard(1)
    venue.settle()
    undone = [fields[19] for broker in (amber, birch) for fields in broker.reports() if 19 in fields]
    assert undone == traded == [b"1-T1B", b"1-T1S"]
