"""Processes die at every point, datagrams are lost, connections break: afterwards nothing is lost and nothing is twice.

Each seed is another history: two brokers trade on two shards while the gateway and the shards are dropped and started
again from what they had written (before their record, after it, or at any moment), and everything between them goes as
it likes. Then all is brought up again, and the books are balanced: what the brokers hold must be what the logs of the
shards say, report for report.
"""

from collections import deque
from collections.abc import Container
from random import Random

import pytest

from fixgw import delivery, tags
from fixgw.reports import DIALECTS, Reporter
from fixgw.timestamps import SECOND
from matching.commands import NewOrder
from matching.shard import Shard
from matching.wire import KINDS, decode_command, decode_event
from recovery.primary import Primary
from recovery.record import COMMAND_HEADER_BYTES, FIRST, CommandHeader, Message, parse_all
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.venue_in_memory import INSTRUMENTS, Crash, Venue
from tests.recovery.adder import replay

Content = dict[int, bytes]


class History:
    """One seed's history."""

    def __init__(self, seed: int, cancel_on_disconnect: Container[str] = ()) -> None:
        self.random = Random(seed)
        self.venue = Venue(shard_count=2, cancel_on_disconnect=cancel_on_disconnect)
        self.venue.wait(0.1)
        self.count = 0
        #: What was asked for: (CompID, ClOrdID) → MsgType(35).
        self.asked: dict[tuple[str, str], str] = {}
        self.happened: dict[str, int] = {}

    def live(self, steps: int) -> None:
        """So many things happen."""
        acts = {
            self.trade: 30,
            self.carry: 60,
            self.inquire: 3,
            self.answer: 3,
            self.pass_time: 6,
            self.log_on: 6,
            self.break_connection: 1,
            self.spoil_stream: 4,
            self.link: 6,
            self.stop_gateway: 1,
            self.start_gateway: 4,
            self.stop_shard: 1,
            self.start_shard: 4,
        }
        for act in self.random.choices(list(acts), list(acts.values()), k=steps):
            if act():
                self.happened[act.__name__] = self.happened.get(act.__name__, 0) + 1

    def heal(self) -> None:
        """Everything is brought up, and given the time it needs."""
        venue = self.venue
        venue.gateway_crash = venue.shard_crash = None
        self.start_all_shards()
        if not venue.gateway_is_up:
            venue.start_gateway()
        venue.settle()
        for comp_id, broker in venue.brokers.items():
            if not broker.connected:
                venue.connect(comp_id)
        venue.wait(3)

    def start_all_shards(self) -> None:
        for shard_id in self.venue.shard_ids:
            if shard_id not in self.venue.primaries:
                self.venue.start_shard(shard_id)

    # What happens; each says whether it did

    def trade(self) -> bool:
        comp_id = self.random.choice(list(self.venue.brokers))
        broker = self.venue.brokers[comp_id]
        if not broker.logged_on and self.random.random() < 0.9:
            return False
        self.count += 1
        cl_ord_id = f"{comp_id[0]}{self.count}"
        symbol = self.random.choice(list(INSTRUMENTS))
        side = self.random.choice(["buy", "sell"])
        quantity = self.random.randint(1, 5) * 10
        price = str(self.random.randint(99, 101))
        earlier = [known for (owner, known), kind in self.asked.items() if owner == comp_id and kind != "F"]
        kind = self.random.choice("DDDFG") if earlier else "D"
        self.asked[comp_id, cl_ord_id] = kind
        if kind == "D":
            broker.order(cl_ord_id, side, quantity, price, symbol)
        elif kind == "F":
            broker.cancel(cl_ord_id, self.random.choice(earlier[-8:]), side, symbol)
        else:
            broker.replace(cl_ord_id, self.random.choice(earlier[-8:]), side, quantity, price, symbol)
        return True

    def inquire(self) -> bool:
        """A broker asks about an order of its own; the answer may be lost with its gateway or its connection."""
        comp_id, cl_ord_id = self.random.choice(list(self.asked) or [("", "")])
        if not comp_id or not self.venue.brokers[comp_id].logged_on:
            return False
        symbol = self.random.choice(list(INSTRUMENTS))
        self.venue.brokers[comp_id].send("H", f"11={cl_ord_id}|55={symbol}|54=1|")
        return True

    def answer(self) -> bool:
        if not self.venue.asked or not self.venue.gateway_is_up:
            return False
        self.venue.answer()
        return True

    def carry(self) -> bool:
        busy = self.venue.busy()
        if busy:
            self.venue.step(*self.random.choice(busy))
        return bool(busy)

    def pass_time(self) -> bool:
        self.venue.now += 50_000_000
        self.venue.tick()
        return True

    def log_on(self) -> bool:
        away = [each for each, broker in self.venue.brokers.items() if not broker.connected]
        if not away or not self.venue.gateway_is_up:
            return False
        self.venue.connect(self.random.choice(away))
        return True

    def break_connection(self) -> bool:
        self.venue.disconnect(self.random.choice(list(self.venue.brokers)))
        return True

    def spoil_stream(self) -> bool:
        stream = self.venue.stream[self.random.choice(self.venue.shard_ids)]
        if not stream:
            return False
        datagram = stream.popleft()
        if self.random.random() < 0.5:
            stream.append(datagram)
        return True

    def link(self) -> bool:
        return self.venue.link(self.random.choice(self.venue.shard_ids))

    def stop_gateway(self) -> bool:
        venue = self.venue
        if not venue.gateway_is_up:
            return False
        crash = self.random.choice([None, *Crash])
        if crash is None:
            venue.kill_gateway()
        venue.gateway_crash = crash
        return True

    def start_gateway(self) -> bool:
        if self.venue.gateway_is_up:
            return False
        self.venue.start_gateway()
        return True

    def stop_shard(self) -> bool:
        venue = self.venue
        shard_id = self.random.choice(venue.shard_ids)
        if shard_id not in venue.primaries:
            return False
        crash = self.random.choice([None, *Crash])
        if crash is None:
            venue.kill_shard(shard_id)
        else:
            venue.shard_crash = crash
        return True

    def start_shard(self) -> bool:
        shard_id = self.random.choice(self.venue.shard_ids)
        if shard_id in self.venue.primaries:
            return False
        self.venue.start_shard(shard_id)
        return True


# --- what the logs of the shards say ----------------------------------------------------------------------------------


class Truth:
    """One shard as its log of commands makes it, with no gateway in between."""

    def __init__(self, venue: Venue, shard_id: int) -> None:
        shard = Shard(shard_id)
        primary = Primary(shard_id, shard)
        replay(primary, venue.shard_entries[shard_id])
        self.shard_id = shard_id
        self.epoch = venue.primaries[shard_id].epoch
        self.digest = shard.digest()
        self.orders = {order.terms.order_id: order for order in shard.engine.orders()}
        messages = primary.store.messages(1, 1 << 30)
        parsed = parse_all(shard_id, 1, len(messages), b"".join(messages), 0)
        self.messages: list[Message] = [message for message, _, _ in parsed]

    def reports(self, venue: Venue) -> dict[int, deque[Content]]:
        """By session: the content of its reports, in order."""
        dialects = {broker.session_id: DIALECTS[broker.version.encode()] for broker in venue.brokers.values()}
        reporter = Reporter(self.shard_id, dialects, {each.instrument_id: each for each in venue.instruments})
        found: dict[int, deque[Content]] = {session_id: deque() for session_id in dialects}
        timestamp = 0
        for message in self.messages:
            if message.flags & FIRST:
                timestamp = CommandHeader.unpack_from(message.body, 0).timestamp
            else:
                for report in reporter.reports(decode_event(message.kind, message.body), message.seq, timestamp):
                    fields = [field.split(b"=", 1) for field in report.body.split(b"\x01")[:-1]]
                    content = {int(tag): value for tag, value in fields} | {tags.MsgType: report.msg_type}
                    found[report.session_id].append(content)
        return found

    def orders_taken(self) -> list[tuple[int, bytes]]:
        """(session_id, ClOrdID) of every new order that was executed."""
        taken = []
        for message in self.messages:
            if message.flags & FIRST and message.kind == KINDS[NewOrder]:
                header = CommandHeader.unpack_from(message.body, 0)
                command = decode_command(message.kind, message.body[COMMAND_HEADER_BYTES:])
                assert isinstance(command, NewOrder)
                taken.append((header.session_id, command.cl_ord_id))
        return taken


def is_the_gateways_own(content: Content) -> bool:
    """A refusal that no shard knows of."""
    return content.get(tags.ExecID, b"").startswith(b"G") or content.get(tags.Text, b"").startswith(b"the market ")


def is_a_status(content: Content) -> bool:
    """What was asked for, at its own time: neither an event nor an answer to an order."""
    return content.get(tags.ExecID) == b"0"


def check_reports(broker: Broker, expected: list[deque[Content]]) -> list[Content]:
    """Everything the shards say came, in each shard's order, and nothing else; gives the gateway's own refusals."""
    own = []
    for content in broker.reports():
        if is_the_gateways_own(content):
            own.append(content)
        if is_the_gateways_own(content) or is_a_status(content):
            continue
        shard = next((each for each in expected if each and each[0] == content), None)
        assert shard is not None, f"{content} was not to come, or not now"
        shard.popleft()
    assert not any(expected), "reports are missing"
    return own


def check_answers(history: History, broker: Broker) -> None:
    """Every request has exactly one answer."""
    answers: dict[bytes, int] = {}
    for content in broker.reports():
        if is_a_status(content) or content.get(tags.Text, b"").startswith(b"Cancel on disconnect"):
            continue
        if content[tags.MsgType] == b"9" or content[tags.ExecType] in (b"0", b"4", b"5", b"8"):
            answers[content[tags.ClOrdID]] = answers.get(content[tags.ClOrdID], 0) + 1
    asked = {cl_ord_id.encode(): 1 for owner, cl_ord_id in history.asked if owner == broker.comp_id}
    assert answers == asked


def open_orders(broker: Broker) -> dict[int, tuple[bytes, int, int]]:
    """What a broker that reads its reports in order believes to be open: OrderID → ClOrdID, LeavesQty, CumQty."""
    believed = {}
    for content in broker.reports():
        if content[tags.MsgType] == b"8" and content[tags.OrderID] != b"NONE" and not is_a_status(content):
            cl_ord_id, leaves, cum = content[tags.ClOrdID], content[tags.LeavesQty], content[tags.CumQty]
            believed[int(content[tags.OrderID])] = cl_ord_id, int(leaves), int(cum)
    return {order_id: view for order_id, view in believed.items() if view[1]}


def check_inquiries(history: History, rested: dict[int, tuple[bytes, int, int]]) -> None:
    """What was told about orders was of orders there are; and who asks for all that are open now is told just these."""
    amber = history.venue.brokers["AMBER"]
    statuses = [report for report in amber.reports() if is_a_status(report) and report[tags.OrderID] != b"NONE"]
    own = {report[tags.OrderID] for report in amber.reports() if not is_a_status(report) and tags.OrderID in report}
    assert {report[tags.OrderID] for report in statuses} <= own
    known = len(amber.reports())
    amber.send("AF", "584=all|585=7|")
    history.venue.settle()
    told = {
        int(report[tags.OrderID]): (report[tags.ClOrdID], int(report[tags.LeavesQty]), int(report[tags.CumQty]))
        for report in amber.reports()[known:]
        if report[tags.OrderID] != b"NONE"
    }
    assert told == {order_id: view for order_id, view in rested.items() if view[0].startswith(b"A")}


def check(history: History) -> None:
    venue = history.venue
    truths = [Truth(venue, shard_id) for shard_id in venue.shard_ids]
    taken = [each for truth in truths for each in truth.orders_taken()]
    assert len(set(taken)) == len(taken), "an order was executed twice"
    reports = [truth.reports(venue) for truth in truths]
    rested = {}
    for broker in venue.brokers.values():
        own = check_reports(broker, [each[broker.session_id] for each in reports])
        check_answers(history, broker)
        refused = {(broker.session_id, content[tags.ClOrdID]) for content in own}
        assert not refused.intersection(taken), "an order was refused and executed"
        rested |= open_orders(broker)
    engine = {
        order_id: (order.terms.cl_ord_id, order.leaves_qty, order.cum_qty)
        for truth in truths
        for order_id, order in truth.orders.items()
    }
    assert rested == engine
    check_inquiries(history, rested)
    for truth in truths:
        assert venue.primaries[truth.shard_id].state_machine.digest() == truth.digest
        assert venue.gateway.readers[truth.shard_id].epoch == truth.epoch


@pytest.mark.parametrize("seed", range(30))
def test_whatever_dies_nothing_is_lost_and_nothing_is_twice(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_PORTION", 1 + seed % 5)  # so that it also dies in the middle of a release
    history = History(seed)
    history.live(600)
    history.heal()
    check(history)


@pytest.mark.parametrize("seed", range(100, 110))
def test_whatever_dies_who_is_gone_has_no_order_left(seed: int) -> None:
    history = History(seed, cancel_on_disconnect={"AMBER"})
    history.live(600)
    history.heal()
    check(history)
    venue = history.venue
    venue.disconnect("AMBER")
    venue.wait(0.2)
    left = {order.terms.session_id for each in venue.machines.values() for order in each.engine.orders()}
    assert venue.brokers["AMBER"].session_id not in left
    assert venue.brokers["BIRCH"].session_id in left


def test_the_histories_are_worth_their_name() -> None:
    """Together they have everything in them that they are about."""
    happened: dict[str, int] = {}
    lives = orders = 0
    for seed in range(5):
        history = History(seed)
        history.live(600)
        history.heal()
        lives += history.happened.get("start_gateway", 0)
        for act, count in history.happened.items():
            happened[act] = happened.get(act, 0) + count
        orders += len(history.asked)
    assert lives > 5
    assert orders > 200
    assert {"inquire", "answer", "stop_shard", "break_connection", "spoil_stream", "log_on"} <= happened.keys()


# --- a machine dies with what its disk had not yet --------------------------------------------------------------------


def lose_tail(history: History) -> None:
    """The gateway's machine dies with `sync: write`: its last records are gone, and each broker's people are told.

    They take the lower numbers it goes on with, and have everything again.
    """
    venue = history.venue
    venue.kill_gateway()
    venue.now += 5 * SECOND
    lost = history.random.randint(1, len(venue.gateway_records))
    del venue.gateway_records[-lost:]
    venue.settle()
    venue.start_gateway()
    venue.wait(0.1)
    for comp_id, broker in venue.brokers.items():
        broker.takes_lower_numbers = True
        if not broker.connected:
            venue.connect(comp_id)
        venue.settle()
        broker.ask_again(1)
    venue.wait(1)


@pytest.mark.parametrize("seed", range(15))
def test_a_gateway_that_lost_the_tail_of_its_journal_executes_nothing_twice(seed: int) -> None:
    history = History(seed)
    venue = history.venue
    history.heal()
    for _ in range(2):
        for act in history.random.choices([history.trade, history.carry, history.pass_time], [6, 10, 1], k=200):
            act()
        lose_tail(history)
    truths = [Truth(venue, shard_id) for shard_id in venue.shard_ids]
    taken = [each for truth in truths for each in truth.orders_taken()]
    assert len(taken) > 30
    assert len(set(taken)) == len(taken), "an order was executed twice"
    reports = [truth.reports(venue) for truth in truths]
    for broker in venue.brokers.values():
        expected = [content for each in reports for content in each[broker.session_id]]
        came = broker.reports()
        assert not [content for content in came if is_the_gateways_own(content)]
        assert len(came) == len(expected)
        assert all(content in came for content in expected)
        check_answers(history, broker)
