"""Everything that the venue refuses or does by itself with a text, provoked by anything that a version can do wrong."""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import structs

from fixgw import tags
from fixgw.codec import FixMessage, decode
from fixgw.inquiries import INQUIRY_BURST, MAX_OPEN, Inquiry
from fixgw.router import ORDER_LIFETIME
from fixgw.trading_status import MAX_WATCHED
from matching.codes import CancelReason, OrdStatus, Phase, RejectReason, RestatementReason, TradingState
from matching.commands import (
    CancelSession,
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
from matching.queries import MAX_ITEMS
from tests.fixgw.engagement import V42, V44, WRONG_PASSWORD, Stage
from tests.fixgw.fixtalk import Talk, wire
from tests.fixgw.venue_in_memory import SOURCE
from tests.matching.market import BUY, GTC, opened, order, say


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
    "18=6 G", "18=1", "99=-1", "111=0", "211=0.00001|18=R|40=P", "211=200001|18=R|40=P",
    "432=99991231|59=6", "40=1|59=1", "210=5",
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
    stage.operate(SetPhase(1, Phase.CLOSED, b""))
    stage.order("h2", 1, 10, "10.00")
    stage.operate(SetPhase(1, Phase.CONTINUOUS, b""))
    stage.operate(DefineSession(stage.amber.session_id, stage.amber.session_id, SOURCE, 1))
    stage.operate(CancelSession(stage.amber.session_id))
    stage.order("l1", 1, 10, "10.00")
    stage.operate(SourceLost(SOURCE))
    stage.order("y1", 1, 10, "1.00", "59=1|")
    stage.operate(EndDay(20261122))
    stage.order("z1", 1, 10, "10.00")
    stage.cancel("z2", "y1", 1)
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


INQUIRIES = {
    "H": "11=a|54=1|55=", "AF": "584=m|585=7|55=", "AD": "568=t|569=1|55=", "e": "324=s|263=0|55=",
}  # fmt: skip


def _inquiries_not_answered(version: str) -> set[Refusal]:
    stage = Stage(version).log_on()

    def ask(count: int, symbol: str = "ALPHA") -> None:
        for msg_type in [*INQUIRIES] * count:
            stage.amber.send(msg_type, f"{INQUIRIES[msg_type]}{symbol}|")
        stage.venue.settle()
        stage.venue.now += 5_000_000_000

    ask(1)
    ask(1, "OMEGA")
    for msg_type in INQUIRIES:
        stage.send(msg_type, INQUIRIES[msg_type].replace("=", f"={'n' * 65}", 1) + "ALPHA|")
    ask(MAX_OPEN + 1)
    stage.venue.kill_shard(1)
    ask(1)
    stage.send("AF", "584=m|585=8|")
    stage.send("AD", "568=t|569=3|")
    stage.send("AD", "568=t|569=1|263=1|")
    stage.send("AD", "568=t|569=1|37=none|")
    stage.send("e", "324=s|55=ALPHA|263=2|")
    watches = stage.venue.router.shards[1].watches
    for instrument_id in range(2, MAX_WATCHED + 2):
        watches.begin(Inquiry(b"e", 0, stage.amber.session_id, 0, (1,), b"s", instrument_id=instrument_id))
    stage.send("e", "324=s|55=ALPHA|263=1|")
    ask(INQUIRY_BURST + 1)
    return refusals(stage.heard) | _not_answered_while_a_day_begins(version)


def _not_answered_while_a_day_begins(version: str) -> set[Refusal]:
    stage = Stage(version).log_on()
    engine = stage.venue.machines[1].engine = opened()
    for number in range(4 * MAX_ITEMS + 1):
        order(engine, f"{number}", BUY, 1, who=stage.amber.session_id, time_in_force=GTC)
    say(engine, EndDay(1))
    engine.apply(StartDay(2, b"S000000002", 0), 0, 0)
    stage.send("AF", "584=m|585=7|")
    stage.send("H", f"37={first_id(1) + 4 * MAX_ITEMS}|11=a|55=ALPHA|54=1|")
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
        stage.venue.listen(5)
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
    router.shards[1].reporter.phases.hear(1, None)  # as when a day begins with an auction
    router.shards[1].reporter.asked_by = amber + 1
    events.append(OrderCanceled(terms, b"b1", 0, 10, CancelReason.REQUESTED, 1, 0, 0))
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


def _used_numbers(version: str) -> set[Refusal]:
    """The gateway and the broker have lost their last number, and the market has not."""
    stage = Stage(version).log_on()
    stage.order("a1", 1, 10, "10.00")
    stage.venue.router.seats[stage.amber.session_id].session.next_in_seq -= 1
    stage.amber.next_out_seq -= 1
    stage.order("a2", 1, 10, "10.00")
    return refusals(stage.heard)


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
    return found | _used_numbers(version) | {Refusal("5", "", WRONG_PASSWORD)}
