"""The rules of engagement as they are: scenes played on a whole exchange in memory, told in complete messages.

Each scene gives the lines of one block of `fixgw/README.md`: → is what the broker AMBER sends, ← what it gets, |
stands for SOH, and what is between brackets happens without a message. `provoked` gives every refusal.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from msgspec import structs

from fixgw import tags
from fixgw.codec import FixMessage, Framer, decode
from fixgw.inquiries import INQUIRY_BURST, MAX_OPEN
from fixgw.router import ORDER_LIFETIME
from fixgw.timestamps import parse_timestamp
from matching.codes import CancelReason, OrdStatus, Phase, RejectReason, RestatementReason, TradingState
from matching.commands import (
    BustTrade,
    CancelSession,
    Command,
    DefineSession,
    EndDay,
    SetPhase,
    SetTradingState,
    SourceLost,
    StartDay,
)
from matching.events import (
    CancelRejected,
    Event,
    OrderCanceled,
    OrderRejected,
    OrderRestated,
    OrderTerms,
    OrderTriggered,
    TradeBusted,
)
from matching.ids import first_id
from matching.wire import encode
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.fixtalk import Talk, wire
from tests.fixgw.fork_in_memory import lose_end, make_readers, tell_fork
from tests.fixgw.venue_in_memory import SOURCE, Venue

V42, V44 = "FIX.4.2", "FIX.4.4"
CREDENTIALS = "553=amber1|554=secret|"
WRONG_PASSWORD = "Username(553) or Password(554) is wrong"


class Stage:
    """AMBER speaks `version` and is overheard; BIRCH is whoever trades with it."""

    def __init__(self, version: str, *, orders_per_second: int = 1_000_000) -> None:
        sessions = (("AMBER", version), ("BIRCH", V44))
        self.venue = Venue(sessions, shard_count=2, orders_per_second=orders_per_second)
        self.venue.settle()
        self.amber = self.venue.brokers["AMBER"]
        self.birch = self.venue.brokers["BIRCH"]
        self.lines: list[str] = []
        self.heard: list[FixMessage] = []
        self._overhear(self.amber)
        self.venue.connect("BIRCH")
        self.venue.settle()

    def _overhear(self, broker: Broker) -> None:
        send_bytes, receive = broker.send_bytes, broker.receive

        def overhear_sent(data: bytes) -> None:
            self._note("→", data)
            send_bytes(data)

        def overhear_heard(data: bytes) -> None:
            self._note("←", data)
            receive(data)

        broker.send_bytes = overhear_sent
        broker.receive = overhear_heard  # type: ignore[method-assign]

    def _note(self, arrow: str, data: bytes) -> None:
        for raw in Framer().receive_data(data):
            self.lines.append(f"{arrow} {raw.decode()}".replace("\x01", "|"))
            self.heard.append(decode(raw))

    def log_on(self, extra: str = CREDENTIALS) -> "Stage":
        """AMBER connects."""
        self.venue.connect("AMBER", extra)
        self.venue.settle()
        return self

    def say(self, what: str) -> None:
        """A line between the messages."""
        self.lines.append(f"[{what}]")

    def later(self) -> None:
        """Settle, and half a second passes: so that a reader sees which messages belong together."""
        self.venue.settle()
        self.venue.now += 500_000_000

    def send(self, msg_type: str, fields: str) -> None:
        """AMBER sends a message, and gets what comes of it."""
        self.amber.send(msg_type, fields)
        self.later()

    def order(self, cl_ord_id: str, side: int, quantity: int, price: str, more: str = "59=0|") -> None:
        """AMBER's limit order in ALPHA, in the words of its version."""
        hand = "21=1|" if self.amber.version == V42 else ""
        terms = f"11={cl_ord_id}|{hand}55=ALPHA|54={side}|60=NOW|38={quantity}|40=2|44={price}|{more}"
        self.send("D", terms)

    def enter(self, cl_ord_id: str, side: int, quantity: int, more: str) -> None:
        """AMBER's order in ALPHA of any type."""
        hand = "21=1|" if self.amber.version == V42 else ""
        self.send("D", f"11={cl_ord_id}|{hand}55=ALPHA|54={side}|60=NOW|38={quantity}|{more}")

    def replace(self, cl_ord_id: str, orig: str, side: int, quantity: int, price: str) -> None:
        hand = "21=1|" if self.amber.version == V42 else ""
        terms = f"55=ALPHA|54={side}|60=NOW|38={quantity}|40=2|44={price}|59=0|"
        self.send("G", f"41={orig}|11={cl_ord_id}|{hand}{terms}")

    def cancel(self, cl_ord_id: str, orig: str, side: int) -> None:
        self.send("F", f"41={orig}|11={cl_ord_id}|55=ALPHA|54={side}|60=NOW|")

    def counter(self, cl_ord_id: str, side: str, quantity: int, price: str) -> None:
        """BIRCH's order, unheard."""
        self.birch.order(cl_ord_id, side, quantity, price)
        self.later()

    def operate(self, command: Command) -> None:
        """What the market's operator does."""
        self.venue.primaries[1].command(*encode(command), self.venue.now)
        self.venue.flush_shard(1)
        self.later()

    def told(self, start: int = 0) -> list[str]:
        """The lines from this one on."""
        return self.lines[start:]


# Session messages


def logon(version: str) -> list[str]:
    return Stage(version).log_on().lines


def logon_refused() -> list[str]:
    stage = Stage(V44)
    seat = stage.venue.seat("AMBER")
    stage._note("→", _logon(stage.venue, "553=amber1|554=guess|"))
    stage._note("←", seat.session.refuse_logon(WRONG_PASSWORD, stage.venue.now))
    return stage.lines


def _logon(venue: Venue, extra: str) -> bytes:
    time = "20261122-09:30:00.000"
    return wire(f"35=A|34=1|49=AMBER|52={time}|56=FIXGW|98=0|108=30|{extra}")


def heartbeats() -> list[str]:
    stage = Stage(V44).log_on()
    start = len(stage.lines)
    stage.venue.wait(30)
    stage.say("36 seconds after the broker's last message")
    stage.venue.wait(6.1)
    return stage.told(start)


def test_request() -> list[str]:
    stage = Stage(V44).log_on()
    start = len(stage.lines)
    stage.amber.test_request("are you there")
    stage.venue.settle()
    return stage.told(start)


def logout() -> list[str]:
    stage = Stage(V44).log_on()
    start = len(stage.lines)
    stage.amber.log_out()
    stage.venue.settle()
    return stage.told(start)


def reject() -> list[str]:
    stage = Stage(V44).log_on()
    start = len(stage.lines)
    stage.send("D", "11=a1|55=ALPHA|54=1|60=NOW|38=ten|40=2|44=9.50|")
    return stage.told(start)


def business_message_reject() -> list[str]:
    stage = Stage(V44).log_on()
    start = len(stage.lines)
    stage.send("R", "131=q1|146=1|55=ALPHA|")
    stage.send("D", "11=a2|55=ALPHA|54=1|60=NOW|38=100|40=2|")
    return stage.told(start)


def sequence_reset() -> list[str]:
    """The broker jumps over numbers it will never send."""
    stage = Stage(V44).log_on()
    start = len(stage.lines)
    stage.amber._admin(b"4", "123=N|36=100|")
    stage.amber.next_out_seq = 100
    stage.amber.test_request("after the jump")
    stage.venue.settle()
    return stage.told(start)


def reconnect() -> list[str]:
    """A fill while the broker is away, and the gateway killed besides."""
    stage = Stage(V44).log_on()
    stage.order("a1", 2, 300, "10.00")
    stage.say("the connection breaks; somebody buys 100 of the 300; the gateway is killed and started again")
    stage.venue.disconnect("AMBER")
    stage.counter("b1", "buy", 100, "10.00")
    stage.venue.restart_gateway()
    stage.venue.now += 60_000_000_000
    stage.say("a minute later")
    stage.log_on()
    stage.venue.settle()
    stage.say("both sides are up to date; the session goes on")
    stage.cancel("a2", "a1", 2)
    return stage.lines


def void_reports() -> list[str]:
    """The market loses the end of what it has told."""
    stage = Stage(V44)
    make_readers(stage.venue)
    stage.venue.wait(0.1)
    stage.log_on()
    stage.order("a1", 2, 300, "10.00")
    stage.counter("b1", "buy", 100, "10.00")
    stage.say("the market's primary dies, and the trade with it: nobody else had heard of it")
    lose_end(stage.venue, 1)
    tell_fork(stage.venue)
    stage.later()
    stage.say("the order is there with all of its 300 shares, and trades")
    stage.counter("b2", "buy", 300, "10.00")
    return stage.lines


def lost_orders() -> list[str]:
    """Orders that the broker numbered and the venue never got."""
    stage = Stage(V44).log_on()
    stage.venue.disconnect("AMBER")
    stage.say("the connection breaks; the broker numbers an order that nobody gets")
    stage.amber.order("a1", "sell", 300, "10.00")
    stage.later()
    stage.log_on()
    return stage.lines


# Orders


def new_order(version: str) -> list[str]:
    stage = Stage(version).log_on()
    start = len(stage.lines)
    hand = "21=1|" if version == V42 else ""
    stage.send("D", f"11=a1|1=HOUSE-7|{hand}55=ALPHA|54=1|60=NOW|38=500|40=2|44=9.75|59=0|")
    return stage.told(start)


def cancel(version: str) -> list[str]:
    stage = Stage(version).log_on()
    stage.order("a1", 1, 500, "9.75")
    start = len(stage.lines)
    stage.cancel("a2", "a1", 1)
    stage.cancel("a3", "a1", 1)
    return stage.told(start)


def replace(version: str) -> list[str]:
    stage = Stage(version).log_on()
    stage.order("a1", 1, 500, "9.75")
    start = len(stage.lines)
    stage.replace("a2", "a1", 1, 400, "9.80")
    return stage.told(start)


def reports(version: str) -> list[str]:
    """Every kind of ExecutionReport."""
    stage = Stage(version).log_on()
    start = len(stage.lines)
    stage.say("a sell of 300 at 10.00")
    stage.order("a1", 2, 300, "10.00")
    stage.say("somebody buys 100 at 10.02: it trades at the resting price")
    stage.counter("b1", "buy", 100, "10.02")
    stage.say("a replace: 400 at 10.01; what was executed counts, so 300 are open")
    stage.replace("a2", "a1", 2, 400, "10.01")
    stage.say("somebody buys 300 at 10.01")
    stage.counter("b2", "buy", 300, "10.01")
    stage.say("an order that comes twice")
    stage.order("a2", 2, 300, "10.00")
    stage.say("immediate or cancel, nothing to trade with")
    stage.order("a3", 2, 50, "10.00", "59=3|")
    stage.say("a day order is replaced before it trades, and canceled")
    stage.order("a4", 2, 50, "10.00")
    stage.replace("a5", "a4", 2, 40, "10.00")
    stage.cancel("a6", "a5", 2)
    stage.say("a day order lives to the end of the day")
    stage.order("a7", 2, 50, "10.00")
    stage.operate(EndDay(20261122))
    return stage.told(start)


# The market model


def played(version: str, play: Callable[[Stage], None]) -> list[str]:
    stage = Stage(version).log_on()
    start = len(stage.lines)
    play(stage)
    return stage.told(start)


def stop(stage: Stage) -> None:
    stage.enter("a1", 2, 100, "40=4|44=9.80|99=9.90|59=1|")
    stage.say("somebody buys 50 at 9.85; somebody else 100 at 9.90, and gets them")
    stage.counter("b1", "buy", 50, "9.85")
    stage.counter("b2", "buy", 100, "9.90")
    stage.counter("b3", "sell", 100, "9.90")


def conditions(stage: Stage) -> None:
    stage.say("300 of which 100 are displayed; somebody buys 150")
    stage.enter("a1", 2, 300, "40=2|44=10.00|59=0|111=100|")
    stage.counter("b1", "buy", 150, "10.00")
    stage.say("at least 200 at once, where there are 150 to sell")
    stage.counter("b2", "sell", 150, "9.95")
    stage.enter("a2", 1, 300, "40=2|44=9.95|59=3|110=200|")
    stage.say("not at once")
    stage.enter("a3", 1, 300, "40=2|44=9.95|59=0|18=6|")
    stage.say("a cent below the best bid, 9.90 at most; and half way between bid and ask")
    stage.enter("a4", 1, 100, "40=P|44=9.90|59=0|18=R|211=-0.01|")
    stage.enter("a5", 1, 100, "40=P|59=0|18=M|")


def good_till_date(stage: Stage) -> None:
    stage.enter("a1", 2, 300, "40=2|44=10.00|59=6|432=20261123|")
    stage.counter("b1", "buy", 100, "10.00")
    stage.say("the day ends and another begins; then that ends, too")
    stage.operate(EndDay(20261122))
    stage.venue.now = _at("20261123-09:00:00")
    stage.operate(StartDay(20261123, b"2611230001", _at("20261123-00:00:00")))
    stage.venue.now = _at("20261124-00:00:00")
    stage.operate(EndDay(20261123))


def _at(time: str) -> int:
    found = parse_timestamp(time.encode())
    assert found is not None
    return found


def auction(stage: Stage) -> None:
    stage.operate(SetPhase(1, Phase.OPENING_AUCTION, b""))
    stage.enter("a1", 2, 300, "40=1|59=2|")
    stage.enter("a2", 2, 300, "40=2|44=10.00|59=3|")
    stage.say("somebody buys 100 at 10.00; the auction ends")
    stage.counter("b1", "buy", 100, "10.00")
    stage.operate(SetPhase(1, Phase.CONTINUOUS, b""))


def mass_cancel(stage: Stage) -> None:
    stage.order("a1", 2, 300, "10.00")
    stage.order("a2", 1, 300, "9.00")
    stage.say("all buys, on all of two shards")
    stage.send("q", "11=m1|530=7|54=1|60=NOW|")
    stage.say("all in ALPHA")
    stage.send("q", "11=m2|530=1|55=ALPHA|60=NOW|")
    stage.send("q", "11=m3|530=3|60=NOW|")


def undone(stage: Stage) -> None:
    stage.order("a1", 2, 300, "10.00")
    stage.say("somebody buys 100, and 100")
    stage.counter("b1", "buy", 100, "10.00")
    stage.counter("b2", "buy", 100, "10.00")
    stage.say("the second trade is undone, then the first")
    stage.operate(BustTrade(first_id(1) + 1))
    stage.operate(BustTrade(first_id(1)))
    stage.say("an order that trades whole at once, and its trade is undone")
    stage.order("a2", 1, 50, "10.00")
    stage.counter("b3", "sell", 50, "10.00")
    stage.operate(BustTrade(first_id(1) + 2))


# Asking about the past


def order_status(version: str) -> list[str]:
    stage = Stage(version).log_on()
    stage.order("a1", 2, 300, "10.00")
    stage.counter("b1", "buy", 100, "10.00")
    start = len(stage.lines)
    stage.send("H", "11=a1|55=ALPHA|54=2|" + ("790=q1|" if version == V44 else ""))
    stage.send("H", "11=a9|55=ALPHA|54=2|" + ("790=q2|" if version == V44 else ""))
    return stage.told(start)


def mass_status() -> list[str]:
    stage = Stage(V44).log_on()
    stage.order("a1", 2, 300, "10.00")
    stage.order("a2", 1, 50, "9.50")
    start = len(stage.lines)
    stage.send("AF", "584=m1|585=7|")
    stage.send("AF", "584=m2|585=1|55=GAMMA|")
    return stage.told(start)


def trades() -> list[str]:
    stage = Stage(V44).log_on()
    stage.order("a1", 2, 300, "10.00")
    stage.counter("b1", "buy", 100, "10.00")
    stage.counter("b2", "buy", 50, "10.00")
    start = len(stage.lines)
    stage.send("AD", "568=t1|569=0|")
    stage.send("AD", "568=t2|569=1|55=GAMMA|")
    return stage.told(start)


SCENES: dict[str, Callable[[], list[str]]] = {
    f"{name}-{version[4]}{version[6]}": partial(played, version, play)
    for version in (V42, V44)
    for name, play in {
        "stop": stop,
        "conditions": conditions,
        "good-till-date": good_till_date,
        "auction": auction,
        "mass-cancel": mass_cancel,
        "undone": undone,
    }.items()
} | {
    "logon-42": lambda: logon(V42),
    "logon-44": lambda: logon(V44),
    "logon-refused": logon_refused,
    "heartbeats": heartbeats,
    "test-request": test_request,
    "logout": logout,
    "reject": reject,
    "business-message-reject": business_message_reject,
    "sequence-reset": sequence_reset,
    "reconnect": reconnect,
    "lost-orders": lost_orders,
    "void-reports": void_reports,
    "new-order-42": lambda: new_order(V42),
    "new-order-44": lambda: new_order(V44),
    "cancel-42": lambda: cancel(V42),
    "cancel-44": lambda: cancel(V44),
    "replace-42": lambda: replace(V42),
    "replace-44": lambda: replace(V44),
    "order-status-42": lambda: order_status(V42),
    "order-status-44": lambda: order_status(V44),
    "mass-status": mass_status,
    "trades": trades,
    "reports-42": lambda: reports(V42),
    "reports-44": lambda: reports(V44),
}


# Refusals


class Refusal(NamedTuple):
    """One message that refuses something. `code`: 103, 102, 373, 380 or 749, whichever it has."""

    msg_type: str
    code: str
    text: str


CODES = (
    tags.OrdRejReason,
    tags.CxlRejReason,
    tags.SessionRejectReason,
    tags.BusinessRejectReason,
    tags.TradeRequestResult,
    tags.ExecRestatementReason,
    tags.MassCancelRejectReason,
)


def refusals(messages: Iterable[FixMessage]) -> set[Refusal]:
    """What the venue refused or did by itself among these messages, with the text of each."""
    found = set()
    for message in messages:
        text = message.fields.get(tags.Text)
        if message.fields.get(tags.MassCancelResponse, b"0") != b"0":
            continue  # its text says which shard
        if text is not None and message.fields[tags.SenderCompID] in (b"FIXGW", b"VENUE"):
            code = next((message.fields[tag].decode() for tag in CODES if tag in message.fields), "")
            found.add(Refusal(message.msg_type.decode(), code, text.decode()))
    return found


#: Orders that make no sense: what is different from a good one.
BAD_ORDERS = (
    "55=OMEGA", "44=-1", "44=10.12345", "44=200001", "44=10.005", "38=10.5", "38=0", "54=5", "40=7", "59=5",
    "11=a-name-longer-than-twenty", "1=an-account-longer-than-16", "55=GAMMA|38=15",
    "18=6 G", "18=1", "99=-1", "111=0", "211=0.00001|18=R|40=P", "432=99991231|59=6",
)  # fmt: skip
GOOD_ORDER = {"21": "1", "55": "ALPHA", "54": "1", "60": "NOW", "38": "10", "40": "2", "44": "10.00", "59": "0"}


def _changed(fields: dict[str, str], change: str) -> str:
    changed = fields | dict(field.split("=") for field in change.split("|"))
    return "".join(f"{tag}={value}|" for tag, value in changed.items())


def _refused_orders(version: str) -> set[Refusal]:
    stage = Stage(version).log_on()
    for number, change in enumerate((*BAD_ORDERS, *(["211=1|836=2"] if version == V44 else []))):
        stage.send("D", _changed({"11": f"o{number}"} | GOOD_ORDER, change))
        stage.send("G", _changed({"11": f"r{number}", "41": "o"} | GOOD_ORDER, change))
    stage.order("a1", 1, 100, "10.00")
    stage.order("a1", 1, 100, "10.00")
    stage.counter("b1", "sell", 60, "10.00")
    stage.cancel("a2", "never", 1)
    stage.cancel("a1", "a1", 1)
    stage.cancel("a2", "a1", 2)
    stage.replace("a2", "a1", 1, 60, "10.00")
    stage.replace("a2", "a1", 1, 200, "10.005")
    stage.replace("a2", "a1", 1, 200, "10.01")
    stage.cancel("a3", "a1", 1)
    stage.cancel("a4", "a2", 1)
    stage.cancel("a5", "a2", 1)
    stage.send("D", _changed({"11": "g1"} | GOOD_ORDER, "55=GAMMA"))
    stage.send("G", _changed({"11": "g2", "41": "g1"} | GOOD_ORDER, "55=GAMMA|38=25"))
    for time_in_force in (3, 4):
        stage.order(f"i{time_in_force}", 1, 10, "1.00", f"59={time_in_force}|")
    stage.send("D", _changed({"11": "m1"} | GOOD_ORDER, "40=1"))
    stage.order("a6", 1, 10, "10.00")
    stage.operate(SetTradingState(1, TradingState.HALTED, b""))
    stage.order("h1", 1, 10, "10.00")
    stage.replace("a7", "a6", 1, 20, "10.00")
    stage.operate(SetTradingState(1, TradingState.TRADING, b""))
    stage.operate(DefineSession(stage.amber.session_id, stage.amber.session_id, SOURCE, 1))
    stage.operate(CancelSession(stage.amber.session_id))
    stage.order("l1", 1, 10, "10.00")
    stage.operate(SourceLost(SOURCE))
    stage.operate(EndDay(20261122))
    stage.order("z1", 1, 10, "10.00")
    return refusals(stage.heard)


#: Mass cancels that make no sense.
BAD_MASS_CANCELS = (
    "530=3", "530=7|5530=BIRCH", "530=1|55=OMEGA", "530=7|54=5", "530=7|11=a-name-longer-than-twenty",
)  # fmt: skip


def _refused_mass_cancels(version: str) -> set[Refusal]:
    stage = Stage(version).log_on()
    for change in BAD_MASS_CANCELS:
        stage.send("q", _changed({"11": "m1", "530": "7", "60": "NOW"}, change))
    return refusals(stage.heard)


INQUIRIES = {"H": "11=a|54=1|55=", "AF": "584=m|585=7|55=", "AD": "568=t|569=1|55="}


def _inquiries_not_answered(version: str) -> set[Refusal]:
    stage = Stage(version).log_on()
    types = [each for each in INQUIRIES if version == V44 or each == "H"]

    def ask(count: int, symbol: str = "ALPHA") -> None:
        for msg_type in types * count:
            stage.amber.send(msg_type, f"{INQUIRIES[msg_type]}{symbol}|")
        stage.venue.settle()
        stage.venue.now += 5_000_000_000

    ask(1)
    ask(1, "OMEGA")
    for msg_type in types:
        stage.send(msg_type, INQUIRIES[msg_type].replace("=", f"={'n' * 65}", 1) + "ALPHA|")
    ask(MAX_OPEN + 1)
    stage.venue.kill_shard(1)
    ask(1)
    if version == V44:
        stage.send("AF", "584=m|585=8|")
        stage.send("AD", "568=t|569=3|")
        stage.send("AD", "568=t|569=1|263=1|")
    ask(INQUIRY_BURST + 1)
    return refusals(stage.heard)


def _refused_by_the_gateway(version: str) -> set[Refusal]:
    stage = Stage(version, orders_per_second=3).log_on()
    for number in range(4):
        stage.amber.order(f"a{number}", "buy", 10, "10.00")
        stage.amber.cancel(f"c{number}", f"a{number}", "buy")
    stage.amber.send("q", "11=m|530=7|60=NOW|")
    stage.later()
    stage.venue.now += 5_000_000_000
    router = stage.venue.router
    link = router.shards[1].link

    def order_and_cancel(name: str) -> None:
        stage.venue.now += 5_000_000_000
        stage.order(f"{name}1", 1, 10, "10.00")
        stage.cancel(f"{name}2", "a1", 1)
        stage.send("q", f"11={name}3|530=1|55=ALPHA|60=NOW|")

    router.link_lost(1, stage.venue.now)
    order_and_cancel("b")
    router.link_opened(1)
    link.ready = False
    order_and_cancel("c")
    link.ready = True
    stage.venue.kill_shard(1)
    stage.order("d1", 1, 10, "10.00")
    router.link_opened(1)
    order_and_cancel("e")
    for number in range(link.room):
        link.forward(1, 0, 20, b"", number)
    router.shards[1].waiting_since = stage.venue.now + 5_000_000_000
    order_and_cancel("f")
    return refusals(stage.heard) | _too_late(version)


#: Of these the market tells; what makes it do so is the engine's.
MARKET_REASONS = [each for each in RejectReason if each >= RejectReason.UNSUPPORTED_INSTRUCTION]


def _refused_by_the_market(version: str) -> set[Refusal]:
    """Whatever an engine may say."""
    stage = Stage(version).log_on()
    router, amber = stage.venue.router, stage.amber.session_id
    terms = OrderTerms(0, amber, amber, 1, 1, 2, 0, 100_000, 10, b"a1", b"")
    events: list[Event] = [OrderCanceled(terms, b"a1", 0, 10, reason, 1, 0, 0) for reason in list(CancelReason)[6:]]
    events += [OrderRestated(terms, 0, 0, reason, 1, 0, 10, 0) for reason in RestatementReason]
    events.append(OrderTriggered(terms, 1, 0, 10, 0))
    events.append(TradeBusted(first_id(1), 1, 1, terms, 1, 0, 0, 0, structs.replace(terms, side=2), 1, 0, 0, 0))
    for reason in MARKET_REASONS:
        events.append(OrderRejected(terms, 1, reason))
        events.append(CancelRejected(amber, amber, 1, 0, b"a2", b"a1", 2, reason, OrdStatus.REJECTED))
    for seq, event in enumerate(events):
        router.tell(router.shards[1].reporter.reports(event, seq, stage.venue.now), stage.venue.now)
    stage.venue.flush()
    stage.later()
    return refusals(stage.heard)


def _too_late(version: str) -> set[Refusal]:
    stage = Stage(version).log_on()
    stage.order("a1", 1, 10, "10.00")
    stage.venue.kill_shard(1)
    stage.order("a2", 1, 10, "10.00")
    stage.replace("a3", "a1", 1, 20, "10.00")
    stage.venue.now += ORDER_LIFETIME
    stage.venue.start_shard(1)
    stage.later()
    return refusals(stage.heard)


#: After a Logon of the number 1: the peer's next messages, and each is refused.
FAULTS = (
    "35=D|34=2|9999999999=x", "35=D|34=2|4000=x", "35=1|34=2", "35=1|34=2|112=", "35=1|34=2|97=maybe|112=x",
    "35=D|34=2|11=a|21=1|55=A|54=1|60=NOW|38=1|40=0|44=1", "35=1|34=2|49=OTHER|112=x", "35=1|34=2|56=OTHER|112=x",
    "35=1|34=2|52=20200101-00:00:00|112=x", "35=1|34=2|43=Y|112=x", "35=1|34=2|43=Y|122=20301231-00:00:00|112=x",
    "35=ZZ|34=2", "35=R|34=2", "35=D|34=2|11=a|21=1|55=A|54=1|60=NOW|40=2|44=1",
    "35=D|34=2|11=a|21=1|55=A|54=1|60=NOW|38=1|40=2", "35=1|34=2|112=x|112=y", "35=1|34=2|112=x|97=N",
    "35=1|34=2|128=X|112=x", "35=1|34=2|112=x|58=a\x01b", "35=1|34=2|96=x|112=x", "35=1|34=2|95=9|96=x|112=x",
    "35=4|34=2|123=Y|36=1", "35=2|34=2|7=9|16=0", "35=1|112=x", "35=1|34=2|-52|112=x", "8=FIX.4.3|35=1|34=2|112=x",
    "35=1|34=1|112=x", "35=A|34=2|98=0|108=30",
)  # fmt: skip
#: Logons, each refused, by a session that expects the number 5 and will send its number 5 next.
LOGONS = (
    "34=5|98=1|108=30", "34=5|98=0|108=-1", "34=5|52=20200101-00:00:00|98=0|108=30", "34=5|98=0|108=30|464=Y",
    "34=5|98=0|108=30|141=Y", "34=5|98=0|108=30|789=7", "34=5|98=0", "34=0|98=0|108=30", "34=3|98=0|108=30",
    "34=5|98=0|108=30|4000=x",
)  # fmt: skip


def _refused_by_the_session(version: str) -> set[Refusal]:
    found: set[Refusal] = set()
    for fault in FAULTS:
        talk = Talk(version)
        talk.logon("35=A|34=1|98=0|108=30|553=u|554=p")
        found |= _told(talk.receive(fault.replace("NOW", "20261122-09:30:00")))
    for content in LOGONS:
        if "464" in content and version == V42:
            continue  # FIX.4.2 does not have it
        talk = Talk(version, next_in_seq=5, next_out_seq=5)
        found |= _told(talk.logon(f"35=A|{content}"))
    talk = Talk(version)
    talk.logon()
    found |= _told(talk.receive("35=0|34=9"))
    for number in range(10, 30):
        found |= _told(talk.wait(20))
        if talk.session.state.name == "LOGOUT_SENT":
            break
        found |= _told(talk.receive(f"35=0|34={number}"))
    return found


def _told(sent: list[str]) -> set[Refusal]:
    return refusals(decode(wire(message)) for message in sent)


def provoked(version: str) -> set[Refusal]:
    """Everything that is refused with a text, by anything this version can do wrong."""
    found = _refused_orders(version) | _refused_by_the_gateway(version) | _refused_by_the_session(version)
    found |= _inquiries_not_answered(version) | _refused_by_the_market(version) | _refused_mass_cancels(version)
    return found | {Refusal("5", "", WRONG_PASSWORD)}
