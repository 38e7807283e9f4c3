"""The router with everything around it but sockets: who is told what, under which number, and what is written first."""

import pytest

from fixgw import entries, tags
from fixgw.codec import Framer, decode
from fixgw.entries import Entry, Forwarded, Incarnation, Outbound, SessionNumbers, StreamPosition
from fixgw.router import ORDER_LIFETIME, Batch
from fixgw.session_state import State
from fixgw.timestamps import SECOND, format_timestamp
from matching.events import OrderAccepted
from matching.ids import first_id
from matching.wire import KINDS, decode_event
from recovery.link import MAX_UNSEEN
from recovery.segment import MAX_PAYLOAD_BYTES
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.fixtalk import NOW
from tests.fixgw.venue_in_memory import Venue


def trading(venue: Venue) -> tuple[Broker, Broker]:
    """Both brokers logged on, their Logons taken."""
    for comp_id in venue.brokers:
        venue.connect(comp_id)
    venue.settle()
    for broker in venue.brokers.values():
        assert broker.take() == ["A"]
    amber, birch = venue.brokers.values()
    return amber, birch


def written(batch: Batch) -> list[Entry]:
    return list(entries.decode(batch.record))


def names(batch: Batch) -> list[str]:
    return [type(entry).__name__ for entry in written(batch)]


# --- trading ----------------------------------------------------------------------------------------------------------


def test_two_versions_trade_with_each_other_each_in_its_own_words() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    amber.order("a1", "sell", 300, "100.00")
    venue.settle()
    birch.order("b1", "buy", 500, "100.01")
    venue.settle()
    assert amber.take() == [
        "8 11=a1 150=0 39=0 151=300 14=0",
        "8 11=a1 150=F 39=2 32=300 31=100.00 151=0 14=300",
    ]
    first, fill = birch.reports()
    assert birch.take() == [
        "8 11=b1 150=0 39=0 151=500 14=0",
        "8 11=b1 150=1 39=1 32=300 31=100.00 151=200 14=300",
    ]
    assert fill[tags.ExecTransType] == b"0"
    assert first[tags.OrderID] == fill[tags.OrderID]
    assert fill[tags.Symbol] == b"ALPHA"
    assert tags.ExecTransType not in amber.reports()[0]
    bought, sold = fill[tags.ExecID], amber.reports()[1][tags.ExecID]
    assert (bought[-1:], sold[-1:]) == (b"B", b"S")
    assert bought[:-1] == sold[:-1]


def test_cancel_and_replace() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    amber.order("a1", "buy", 100, "10")
    amber.replace("a2", "a1", "buy", 60, "10")
    amber.replace("a3", "a2", "buy", 60, "11")
    amber.cancel("a4", "a3", "buy")
    amber.cancel("a5", "a3", "buy")
    birch.replace("b1", "none", "sell", 1, "1")
    venue.settle()
    assert amber.take() == [
        "8 11=a1 150=0 39=0 151=100 14=0",
        "8 11=a2 41=a1 150=5 39=0 151=60 14=0",
        "8 11=a3 41=a2 150=5 39=0 151=60 14=0",
        "8 11=a4 41=a3 150=4 39=4 151=0 14=0",
        "9 11=a5 41=a3 39=4 102=0 434=1 58=the order is no longer open",
    ]
    assert birch.take() == ["9 11=b1 41=none 39=8 102=1 434=2 58=OrigClOrdID(41) names no order of this session"]


def test_symbols_trade_on_their_shards_and_ids_tell_which() -> None:
    venue = Venue(shard_count=2)
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "5", symbol="ALPHA")
    amber.order("a2", "buy", 10, "5", symbol="GAMMA")
    venue.settle()
    reports = {report[tags.ClOrdID]: report for report in amber.reports()}
    assert int(reports[b"a1"][tags.OrderID]) >> 48 == 1
    assert int(reports[b"a2"][tags.OrderID]) >> 48 == 2
    assert reports[b"a2"][tags.ExecID].startswith(b"2-")


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("11=a1|55=OMEGA|54=1|60=NOW|38=1|40=2|44=1|", "103=1 58=Symbol(55) OMEGA is not traded here"),
        (
            "11=a1|55=ALPHA|54=5|60=NOW|38=1|40=2|44=1|",
            "103=99 58=Side(54) is neither 1 (buy) nor 2 (sell)",
        ),
        (
            "11=a1|55=ALPHA|54=1|60=NOW|38=1|40=7|44=1|",
            "103=11 58=OrdType(40) is none of 1, 2, 3, 4, K, P",
        ),
        (
            "11=a1|55=ALPHA|54=1|60=NOW|38=1.5|40=2|44=1|",
            "103=13 58=OrderQty(38) 1.5 is not a whole positive number",
        ),
        (
            "11=a1|55=ALPHA|54=1|60=NOW|38=1|40=2|44=1.00001|",
            "103=99 58=Price(44) 1.00001 has more than 4 decimals",
        ),
        (
            "11=a1|55=ALPHA|54=1|60=NOW|38=1|40=2|44=0.005|",
            "103=99 58=Price(44) is not a multiple of the tick size 0.01",
        ),
    ],
)
def test_an_order_that_makes_no_sense_is_rejected_with_a_reason(fields: str, told: str) -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.send("D", fields)
    venue.settle()
    assert amber.take() == [f"8 11=a1 150=8 39=8 151=0 14=0 {told}"]
    [report] = amber.reports()
    assert report[tags.OrderID] == b"NONE"
    assert report[tags.Symbol] == fields.encode().split(b"55=")[1][:5]


def test_a_rejection_by_the_gateway_repeats_what_the_order_asked_for() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    conditions = {tags.ExecInst: b"G", tags.StopPx: b"1.00", tags.MinQty: b"5", tags.MaxFloor: b"10"}
    told = "".join(f"{tag}={value.decode()}|" for tag, value in conditions.items())
    amber.send("D", f"11=a1|55=ALPHA|54=1|60=NOW|38=100|40=4|44=1.00|59=1|{told}")
    venue.settle()
    [report] = amber.reports()
    assert {tag: report[tag] for tag in conditions} == conditions


@pytest.mark.parametrize(("msg_type", "response_to"), [("F", "1"), ("G", "2")])
def test_a_cancel_for_an_unknown_symbol_is_rejected(msg_type: str, response_to: str) -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.send(msg_type, "11=a2|41=a1|55=OMEGA|54=1|60=NOW|38=1|40=2|44=1|")
    venue.settle()
    assert amber.take() == [
        f"9 11=a2 41=a1 39=8 102=99 434={response_to} 58=Symbol(55) OMEGA is not traded here",
    ]


def test_what_the_venue_does_not_do_gets_a_business_message_reject_and_is_resent_like_a_report() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.send("V", "262=x|263=0|264=0|267=1|269=0|146=1|55=ALPHA|")
    amber.send("D", "11=a1|55=ALPHA|54=1|60=NOW|38=1|40=2|")
    venue.settle()
    assert amber.take() == [
        "j 380=3 58=Unsupported message type",
        "j 380=5 58=Conditionally required field missing: Price(44)",
    ]
    amber.ask_again(2, 3)
    venue.settle()
    assert [message.fields[tags.PossDupFlag] for message in amber.heard] == [b"Y", b"Y"]


def test_a_brokers_own_business_message_reject_is_only_counted() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.send("j", "372=8|380=0|")
    amber.order("a1", "buy", 1, "1")
    venue.settle()
    assert amber.take() == ["8 11=a1 150=0 39=0 151=1 14=0"]


def test_beyond_its_rate_a_session_is_refused_orders_but_may_still_cancel() -> None:
    venue = Venue(orders_per_second=2)
    amber, birch = trading(venue)
    for number in range(1, 4):
        amber.order(f"a{number}", "buy", 1, "1")
    amber.replace("a4", "a1", "buy", 1, "2")
    amber.cancel("a5", "a1", "buy")
    birch.order("b1", "buy", 1, "1")
    venue.settle()
    assert sorted(amber.take()) == [
        "8 11=a1 150=0 39=0 151=1 14=0",
        "8 11=a2 150=0 39=0 151=1 14=0",
        "8 11=a3 150=8 39=8 151=0 14=0 103=99 58=rate limit exceeded",
        "8 11=a5 41=a1 150=4 39=4 151=0 14=0",
        "9 11=a4 41=a1 39=8 102=99 434=2 58=rate limit exceeded",
    ]
    assert birch.take() == ["8 11=b1 150=0 39=0 151=1 14=0"]
    venue.now += 500_000_000
    amber.order("a6", "buy", 1, "1")
    venue.settle()
    assert amber.take() == ["8 11=a6 150=0 39=0 151=1 14=0"]


def test_before_the_first_login_to_a_shard_its_orders_are_refused_and_others_trade() -> None:
    venue = Venue(shard_count=2)
    venue.kill_shard(2)
    amber, _ = trading(venue)
    amber.order("a1", "buy", 10, "1", symbol="GAMMA")
    amber.order("a2", "buy", 10, "1", symbol="ALPHA")
    venue.settle()
    assert sorted(amber.take()) == [
        "8 11=a1 150=8 39=8 151=0 14=0 103=99 58=the market is not reachable yet: this gateway has just started",
        "8 11=a2 150=0 39=0 151=10 14=0",
    ]


@pytest.mark.parametrize(("late", "taken"), [(0, True), (1, False)])
def test_what_comes_to_its_shard_after_its_life_is_refused_there_but_a_cancel_is_good(late: int, taken: bool) -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.order("a1", "buy", 5, "1")
    amber.order("a2", "buy", 5, "1")
    venue.settle()
    amber.take()
    venue.kill_shard(1)
    amber.order("a3", "buy", 1, "1")
    amber.replace("a4", "a1", "buy", 7, "1")
    amber.cancel("a5", "a2", "buy")
    venue.settle()
    venue.now += ORDER_LIFETIME + late
    venue.start_shard(1)
    venue.settle()
    text = "58=the request reached the market too late"
    assert [line for line in amber.take() if line[0] in "89"] == [
        "8 11=a3 150=0 39=0 151=1 14=0" if taken else f"8 11=a3 150=8 39=8 151=0 14=0 103=4 {text}",
        "8 11=a4 41=a1 150=5 39=0 151=7 14=0" if taken else f"9 11=a4 41=a1 39=0 102=99 434=2 {text}",
        "8 11=a5 41=a2 150=4 39=4 151=0 14=0",
    ]


def test_an_order_that_asks_for_what_it_is_anyway_is_taken() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    terms = "21=1|55=ALPHA|54=1|60=NOW|38=5|40=2|44=1|"
    amber.send("D", f"11=a1|{terms}168=NOW|210=5|388=0|389=0|423=2|")
    amber.send("D", f"11=a2|{terms}168=20261122-16:00:00|")
    venue.settle()
    assert sorted(amber.take()) == [
        "8 11=a1 150=0 39=0 151=5 14=0",
        "8 11=a2 150=8 39=8 151=0 14=0 103=11 58=EffectiveTime(168) 20261122-16:00:00 is not served: leave it out",
    ]


def test_more_than_a_shard_answers_is_not_taken() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    venue.kill_shard(1)
    venue.settle()
    link = venue.router.shards[1].link
    for number in range(MAX_UNSEEN - 1):
        link.forward(1, 0, 20, b"", number)
    amber.order("a1", "buy", 1, "1")
    amber.order("a2", "buy", 1, "1")
    venue.settle()
    assert amber.take() == [
        "8 11=a2 150=8 39=8 151=0 14=0 103=99 58=the market does not answer now: too many requests wait for it"
    ]


# --- what is written before anything leaves ---------------------------------------------------------------------------


def test_the_first_record_tells_that_a_new_life_begins() -> None:
    venue = Venue()
    [first, *_] = venue.gateway.batches
    seconds = NOW // SECOND
    assert written(first) == [Incarnation(seconds)]
    venue.restart_gateway()
    venue.restart_gateway()
    assert venue.router.incarnation == seconds + 2
    del venue.gateway_records[1:]
    venue.now += 10 * SECOND
    venue.restart_gateway()
    assert venue.router.incarnation == seconds + 10


def test_an_order_is_written_with_its_number_before_it_is_forwarded() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    before = len(venue.gateway.batches)
    amber.order("a1", "buy", 1, "1")
    venue.step("to_gateway", 1)
    [batch] = venue.gateway.batches[before:]
    forwarded, numbers = written(batch)
    assert isinstance(forwarded, Forwarded)
    assert forwarded[:4] == (1, 1, 1, 2)
    assert numbers == SessionNumbers(1, 0, 3, 2)
    assert [(shard_id, forwarded.body in data) for shard_id, data in batch.commands] == [(1, True)]
    assert batch.sends == []


def test_a_batch_tells_of_the_commands_in_its_own_record_alone() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    before = len(venue.gateway.batches)
    for number in range(1, 4):
        amber.order(f"a{number}", "buy", 1, "1", symbol="OMEGA" if number == 2 else "ALPHA")
        venue.step("to_gateway", 1)
    assert [batch.forwarded for batch in venue.gateway.batches[before:]] == [{1: 1}, {}, {1: 2}]


def test_a_refusal_is_written_before_it_is_said() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    before = len(venue.gateway.batches)
    amber.order("a1", "buy", 1, "1", symbol="OMEGA")
    venue.step("to_gateway", 1)
    [batch] = venue.gateway.batches[before:]
    outbound, numbers = written(batch)
    assert isinstance(outbound, Outbound)
    assert outbound[:3] == (1, 0, 2)
    assert batch.sends == [(1, outbound.message)]
    assert numbers == SessionNumbers(1, 0, 3, 3)
    assert batch.commands == []


def test_reports_their_numbers_and_the_streams_position_are_one_record() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    amber.order("a1", "sell", 1, "1")
    venue.settle()
    birch.order("b1", "buy", 1, "1")
    before = len(venue.gateway.batches)
    venue.settle()
    [batch] = [each for each in venue.gateway.batches[before:] if "StreamPosition" in names(each)]
    found = written(batch)
    assert [type(entry) for entry in found[:3]] == [Outbound] * 3
    assert sorted(found[3:5]) == [SessionNumbers(1, 0, 3, 4), SessionNumbers(2, 0, 3, 4)]
    position = venue.gateway.readers[1].position
    outbounds = [entry for entry in found if isinstance(entry, Outbound)]
    assert found[5:] == [StreamPosition(1, *position, 0, 2, position.next_seq, first_id(1))]
    said = {session_id: Framer().receive_data(data) for session_id, data in batch.sends}
    assert said == {each: [entry.message for entry in outbounds if entry.session_id == each] for each in (1, 2)}
    assert batch.said == {1: (0, 3), 2: (0, 2)}


def test_whatever_leaves_is_in_a_record_written_before() -> None:
    venue = Venue(shard_count=2)
    amber, birch = trading(venue)
    for number in range(5):
        amber.order(f"a{number}", "sell", 10, "1", symbol="GAMMA" if number % 2 else "ALPHA")
        birch.order(f"b{number}", "buy", 10, "1", symbol="GAMMA" if number % 2 else "ALPHA")
        birch.order(f"c{number}", "buy", 10, "1", symbol="OMEGA")
    birch.test_request("ping")
    venue.settle()
    for batch in venue.gateway.batches:
        found = written(batch)
        outbound = {entry.message for entry in found if isinstance(entry, Outbound)}
        numbers = {entry.session_id: entry for entry in found if isinstance(entry, SessionNumbers)}
        for session_id, data in batch.sends:
            for raw in Framer().receive_data(data):
                assert raw in outbound or decode(raw).msg_type in (b"A", b"0")
                assert decode(raw).msg_seq_num < numbers[session_id].next_out_seq


def test_an_admin_message_moves_the_written_numbers_too() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    before = len(venue.gateway.batches)
    amber.test_request("ping")
    venue.settle()
    assert [written(batch) for batch in venue.gateway.batches[before:] if batch.record] == [
        [SessionNumbers(1, 0, 3, 3)]
    ]
    assert amber.take() == ["0"]


def test_a_large_release_is_written_in_records_that_a_journal_takes() -> None:
    venue = Venue([("A" * 32, "FIX.4.4"), ("B" * 32, "FIX.4.4")])
    amber, birch = trading(venue)
    for number in range(2000):
        amber.send("D", f"11=a{number:019}|1={'x' * 16}|55=ALPHA|54=2|60=NOW|38=1|40=2|44=199999.55|")
    venue.settle()
    for number in range(40):
        birch.order(f"b{number:019}", "buy", 50, "199999.55")
    for way in ("to_gateway", "up"):
        for each in (1, 2) if way == "to_gateway" else (1,):
            if getattr(venue, way)[each]:
                venue.step(way, each)
    venue.stream[1].popleft()
    before = len(venue.gateway.batches)
    venue.wait(1)
    records = [batch.record for batch in venue.gateway.batches[before:]]
    assert sum(map(len, records)) > MAX_PAYLOAD_BYTES
    assert max(map(len, records)) < MAX_PAYLOAD_BYTES
    assert len(birch.reports()) == 40 + 2000
    reports = birch.reports()
    venue.restart_gateway()
    venue.connect("B" * 32)
    venue.wait(1)
    assert birch.reports() == reports


# --- sessions that are away -------------------------------------------------------------------------------------------


def test_reports_to_a_session_that_is_away_are_numbered_and_come_when_it_asks() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    amber.order("a1", "sell", 300, "100")
    amber.order("a2", "sell", 10, "200")
    venue.settle()
    amber.take()
    venue.disconnect("AMBER")
    sent_at = format_timestamp(venue.now)
    birch.order("b1", "buy", 100, "100")
    venue.settle()
    venue.now += 10**9
    birch.order("b2", "buy", 200, "100")
    venue.settle()
    assert venue.seat("AMBER").session.next_out_seq == 6
    venue.now += 10**9
    venue.connect("AMBER")
    venue.settle()
    logon, first, second, fill = amber.heard
    assert (logon.msg_type, logon.msg_seq_num) == (b"A", 6)
    assert (first.msg_seq_num, second.msg_seq_num, fill.msg_seq_num) == (4, 5, 6)
    assert first.fields[tags.PossDupFlag] == second.fields[tags.PossDupFlag] == b"Y"
    assert first.fields[tags.OrigSendingTime] == sent_at
    assert first.fields[tags.SendingTime] == format_timestamp(venue.now)
    assert (fill.msg_type, fill.fields[tags.GapFillFlag], fill.fields[tags.NewSeqNo]) == (b"4", b"Y", b"7")
    assert amber.take()[1:3] == [
        "8 11=a1 150=F 39=1 32=100 31=100.00 151=200 14=100",
        "8 11=a1 150=F 39=2 32=200 31=100.00 151=0 14=300",
    ]
    amber.order("a3", "sell", 1, "300")
    venue.settle()
    assert amber.heard[-1].msg_seq_num == 7
    assert tags.PossDupFlag not in amber.heard[-1].fields


def test_a_resend_longer_than_a_chunk_comes_whole_with_what_happened_meanwhile() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    venue.disconnect("AMBER")
    for number in range(700):
        amber.order(f"a{number}", "sell", 1, "5")
    venue.connect("AMBER")
    venue.settle()
    assert len(amber.reports()) == 700
    venue.disconnect("AMBER")
    birch.order("b1", "buy", 650, "5")
    venue.settle()
    venue.connect("AMBER")
    venue.settle()
    assert len(amber.reports()) == 1350
    assert sum(report[tags.ExecType] == b"F" for report in amber.reports()) == 650


def test_a_session_that_resets_its_numbers_begins_a_new_run() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    amber.order("a1", "sell", 10, "5")
    venue.settle()
    venue.disconnect("AMBER")
    birch.order("b1", "buy", 4, "5")
    venue.settle()
    venue.connect("AMBER", "141=Y|")
    amber.take()
    venue.settle()
    [logon] = amber.heard
    assert (logon.msg_seq_num, logon.fields[tags.ResetSeqNumFlag]) == (1, b"Y")
    birch.order("b2", "buy", 6, "5")
    venue.settle()
    amber.cancel("a2", "a1", "sell")
    venue.settle()
    assert amber.take()[1:] == [
        "8 11=a1 150=F 39=2 32=6 31=5.00 151=0 14=10",
        "9 11=a2 41=a1 39=2 102=0 434=1 58=the order is no longer open",
    ]
    assert sorted(amber.inbox) == [2, 3]
    amber.ask_again(1)
    venue.settle()
    assert [message.msg_seq_num for message in amber.heard] == [1, 2, 3]
    for again in range(2):
        venue.restart_gateway()
        venue.connect("AMBER")
        amber.order(f"a{3 + again}", "sell", 10, "5")
        venue.settle()
        assert amber.take()[-1] == f"8 11=a{3 + again} 150=0 39=0 151=10 14=0"


def test_a_message_that_comes_again_is_not_executed_again() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    amber.order("a1", "sell", 10, "5")
    venue.settle()
    amber._resend(2)
    venue.settle()
    assert amber.take() == ["8 11=a1 150=0 39=0 151=10 14=0"]
    assert len(accepted(venue)) == 1


def test_orders_made_offline_are_asked_for_and_executed_in_order() -> None:
    venue = Venue()
    amber, _ = trading(venue)
    venue.disconnect("AMBER")
    amber.order("a1", "sell", 10, "5")
    amber.order("a2", "sell", 10, "5")
    venue.connect("AMBER")
    amber.order("a3", "sell", 10, "5")
    venue.settle()
    assert accepted(venue) == [b"a1", b"a2", b"a3"]


def accepted(venue: Venue) -> list[bytes]:
    """ClOrdIDs of the orders that shard 1 accepted, over its whole life."""
    venue.kill_shard(1)
    venue.start_shard(1)
    store = venue.primaries[1].store
    found = []
    for data in store.messages(1, 1 << 30):
        if data[2] == KINDS[OrderAccepted]:
            event = decode_event(data[2], data[4:-4] if not data[3] & 2 else data[4:-8])
            assert isinstance(event, OrderAccepted)
            found.append(event.terms.cl_ord_id)
    return found


def test_timers_of_all_sessions_are_served() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    venue.wait(30)
    assert amber.take() == birch.take() == ["0"]
    venue.wait(6)
    assert amber.take() == birch.take() == ["1"]
    birch.connected = False  # it does not answer any more
    venue.to_broker[2].clear()
    venue.wait(80)
    assert venue.seat("AMBER").session.state is State.ACTIVE
    assert venue.seat("BIRCH").session.state is State.DISCONNECTED


def test_a_gateways_own_refusals_have_ids_that_never_come_again() -> None:
    venue = Venue()
    amber, birch = trading(venue)
    for broker in (amber, birch):
        broker.order("x1", "buy", 1, "1", symbol="OMEGA")
        broker.order("x2", "buy", 1, "1", symbol="OMEGA")
    venue.settle()
    exec_ids = {report[tags.ExecID] for broker in (amber, birch) for report in broker.reports()}
    assert len(exec_ids) == 4
