"""The rules of engagement as they are: scenes played on a whole exchange in memory, told in complete messages.

Each scene gives the lines of one block of `fixgw/README.md`: → is what the broker AMBER sends, ← what it gets, |
stands for SOH, and what is between brackets happens without a message.
"""

from collections.abc import Callable
from functools import partial

from fixgw.codec import FixMessage, Framer, decode
from fixgw.timestamps import parse_timestamp
from matching.codes import Phase, TradingState
from matching.commands import (
    BustTrade,
    Command,
    EndDay,
    SetPhase,
    SetTradingState,
    StartDay,
)
from matching.ids import first_id
from matching.wire import encode
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.fixtalk import wire
from tests.fixgw.fork_in_memory import lose_end, make_readers, tell_fork
from tests.fixgw.venue_in_memory import Venue

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


def mass_status(version: str) -> list[str]:
    stage = Stage(version).log_on()
    stage.order("a1", 2, 300, "10.00")
    stage.order("a2", 1, 50, "9.50")
    start = len(stage.lines)
    stage.send("AF", "584=m1|585=7|")
    stage.send("AF", "584=m2|585=1|55=GAMMA|")
    return stage.told(start)


def trades(version: str) -> list[str]:
    stage = Stage(version).log_on()
    stage.order("a1", 2, 300, "10.00")
    stage.counter("b1", "buy", 100, "10.00")
    stage.counter("b2", "buy", 50, "10.00")
    start = len(stage.lines)
    stage.send("AD", "568=t1|569=0|")
    stage.send("AD", "568=t2|569=1|55=GAMMA|")
    return stage.told(start)


def trading_status(stage: Stage) -> None:
    stage.send("e", "324=s1|55=ALPHA|263=1|")
    stage.say("news are pending, and come; trading is resumed in an auction; the day ends")
    stage.operate(SetTradingState(1, TradingState.HALTED, b"T1"))
    stage.operate(SetPhase(1, Phase.REOPENING_AUCTION, b"R4"))
    stage.operate(SetPhase(1, Phase.CONTINUOUS, b"R4"))
    stage.operate(EndDay(20261122))
    stage.send("e", "324=s1|55=ALPHA|263=2|")
    stage.send("e", "324=s2|55=ALPHA|263=0|")
    stage.send("e", "324=s3|55=OMEGA|263=0|")
    stage.send("e", "324=s1|55=ALPHA|263=2|")


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
        "trading-status": trading_status,
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
    "mass-status-42": lambda: mass_status(V42),
    "mass-status-44": lambda: mass_status(V44),
    "trades-42": lambda: trades(V42),
    "trades-44": lambda: trades(V44),
    "reports-42": lambda: reports(V42),
    "reports-44": lambda: reports(V44),
}
