"""Cancel on disconnect: who wants its orders gone when its connection is, and what becomes of them whatever dies. And
what others are told: a cancel that comes too late, a session whose order another one cancels."""

import pytest

from fixgw import tags
from fixgw.entries import Forwarded
from matching.commands import CancelSession
from matching.wire import decode_command
from recovery import link
from tests.fixgw.test_router import trading, written
from tests.fixgw.venue_in_memory import Venue

GONE = "58=Cancel on disconnect: the session was disconnected"


def test_the_orders_of_a_session_that_wants_it_are_canceled_on_all_shards_when_its_connection_is_lost() -> None:
    venue = Venue(shard_count=2, cancel_on_disconnect={"AMBER"})
    amber, birch = trading(venue)
    amber.order("a1", "buy", 10, "1")
    amber.order("a2", "buy", 10, "1", symbol="GAMMA")
    birch.order("b1", "buy", 10, "1")
    venue.settle()
    amber.take()
    birch.take()
    venue.disconnect("BIRCH")
    venue.disconnect("AMBER")
    venue.settle()
    venue.connect("AMBER")
    venue.connect("BIRCH")
    venue.settle()
    assert sorted(amber.take()[1:3]) == [f"8 11=a{n} 150=4 39=4 151=0 14=0 {GONE}" for n in (1, 2)]
    amber.order("a3", "buy", 10, "1")
    venue.settle()
    assert amber.take() == ["8 11=a3 150=0 39=0 151=10 14=0"]
    assert [order.terms.cl_ord_id for order in venue.machines[1].engine.orders()] == [b"b1", b"a3"]


def test_a_cancel_on_disconnect_is_written_as_nobodys_message_before_it_is_sent() -> None:
    venue = Venue(cancel_on_disconnect={"AMBER"})
    trading(venue)
    before = len(venue.gateway.batches)
    venue.disconnect("AMBER")
    [batch] = venue.gateway.batches[before:]
    [forwarded] = written(batch)
    assert isinstance(forwarded, Forwarded)
    assert forwarded[2:4] == (0, 0)
    assert decode_command(forwarded.kind, forwarded.body) == CancelSession(1)
    assert [shard_id for shard_id, _ in batch.commands] == [1]


def test_who_is_back_before_its_cancel_could_be_sent_is_canceled_and_what_it_sends_then_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = Venue(cancel_on_disconnect={"AMBER"})
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "1")
    venue.settle()
    monkeypatch.setattr(link, "MAX_UNSEEN", 0)
    venue.disconnect("AMBER")
    assert venue.router.shards[1].to_cancel == {1}
    monkeypatch.undo()
    venue.connect("AMBER")
    amber.order("a2", "buy", 10, "1")
    venue.settle()
    assert [order.terms.cl_ord_id for order in venue.machines[1].engine.orders()] == [b"a2"]


def test_a_cancel_that_had_to_wait_goes_out_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = Venue(cancel_on_disconnect={"AMBER"})
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "1")
    venue.settle()
    monkeypatch.setattr(link, "MAX_UNSEEN", 0)
    venue.disconnect("AMBER")
    venue.settle()
    assert list(venue.machines[1].engine.orders())
    monkeypatch.undo()
    venue.wait(0.1)
    assert not venue.router.shards[1].to_cancel
    assert list(venue.machines[1].engine.orders()) == []


@pytest.mark.parametrize("down", ["shard", "gateway"])
def test_a_cancel_on_disconnect_outlives_the_processes(down: str) -> None:
    venue = Venue(cancel_on_disconnect={"AMBER"})
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "1")
    venue.settle()
    if down == "shard":
        venue.kill_shard(1)
        venue.disconnect("AMBER")
        venue.settle()
        venue.start_shard(1)
        venue.wait(0.1)
    else:
        venue.restart_gateway()
    assert list(venue.machines[1].engine.orders()) == []


@pytest.mark.parametrize("at", [0, 1], ids=["FIX.4.4", "FIX.4.2"])
def test_a_request_by_a_former_name_is_told_how_the_order_stands(at: int) -> None:
    """A broker's engine takes OrdStatus(39) for the order's: a filled one must not seem to be open."""
    venue = Venue()
    brokers = trading(venue)
    buyer, seller = brokers[at], brokers[1 - at]
    buyer.order("a1", "buy", 100, "10")
    buyer.replace("a2", "a1", "buy", 90, "10")
    venue.settle()
    told = []
    for sold in (0, 40, 50):
        if sold:
            seller.order(f"s{sold}", "sell", sold, "10")
            venue.settle()
        buyer.cancel(f"c{sold}", "a1", "buy")
        venue.settle()
        told.append(buyer.take()[-1])
    former = "58=OrigClOrdID(41) was replaced: the order goes by a newer ClOrdID(11)"
    assert told == [
        f"9 11=c0 41=a1 39=0 102=0 434=1 {former}",
        f"9 11=c40 41=a1 39=1 102=0 434=1 {former}",
        "9 11=c50 41=a1 39=2 102=0 434=1 58=the order is no longer open",
    ]


@pytest.mark.parametrize("at", [0, 1], ids=["FIX.4.4", "FIX.4.2"])
def test_both_sessions_are_told_when_one_cancels_the_others_order(at: int) -> None:
    """Who asked is answered, and who entered it does not see a ClOrdID(11) that it never sent."""
    venue = Venue()
    brokers = trading(venue)
    owner, asker = brokers[at], brokers[1 - at]
    venue.router.seats[asker.session_id].participant_id = owner.session_id
    owner.order("a1", "buy", 10, "1")
    venue.settle()
    order_id = owner.reports()[-1][tags.OrderID].decode()
    owner.take()
    asker.send("F", f"11=b1|41=unknown|37={order_id}|55=ALPHA|54=1|60=NOW|")
    venue.settle()
    assert asker.take() == ["8 11=b1 41=a1 150=4 39=4 151=0 14=0"]
    assert owner.take() == ["8 11=a1 150=4 39=4 151=0 14=0 58=Canceled by another session of your firm"]
    answer, told = asker.reports()[-1], owner.reports()[-1]
    assert answer[tags.ExecID] == told[tags.ExecID] + b"R"
    owner.order("a2", "buy", 10, "1")
    owner.cancel("a3", "a2", "buy")
    venue.settle()
    assert owner.take()[-1] == "8 11=a3 41=a2 150=4 39=4 151=0 14=0"
    assert asker.take() == []


@pytest.mark.parametrize("at", [0, 1], ids=["FIX.4.4", "FIX.4.2"])
def test_a_session_is_told_that_another_one_has_replaced_its_order(at: int) -> None:
    venue = Venue()
    brokers = trading(venue)
    owner, other = brokers[at], brokers[1 - at]
    venue.router.seats[other.session_id].participant_id = owner.session_id
    owner.order("a1", "buy", 10, "1")
    venue.settle()
    order_id = owner.reports()[-1][tags.OrderID].decode()
    owner.take()
    other.send("G", f"11=b1|21=1|41=x|37={order_id}|55=ALPHA|54=1|60=NOW|38=10|40=2|44=2|59=0|")
    other.cancel("b2", "b1", "buy")
    venue.settle()
    taken = "58=Replaced by another session of your firm: the order is that one's now"
    assert owner.take() == [f"8 11=a1 150=D 39=0 151=10 14=0 {taken}"]
    assert owner.reports()[-1][tags.ExecRestatementReason] == (b"4" if at else b"99")
    replaced = "5" if at == 0 else "0"
    assert other.take() == [
        f"8 11=b1 41=a1 150=5 39={replaced} 151=10 14=0",
        "8 11=b2 41=b1 150=4 39=4 151=0 14=0",
    ]
