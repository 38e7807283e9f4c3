"""Whether an instrument trades: what brokers ask, what they are answered, and what they are told of changes."""

from collections.abc import Container

import pytest

from fixgw import tags
from fixgw.dialects import DIALECTS
from fixgw.inquiries import MAX_OPEN, Inquiry
from fixgw.phases import Phases, no_calendar
from fixgw.trading_status import MAX_WATCHED, NOT_WATCHED, PHASES_OF, TOO_MANY_WATCHED, Watches
from matching.codes import Phase, TradingState
from matching.commands import Command, DefineInstrument, DefineRules, EndDay, SetPhase, SetTradingState, StartDay
from matching.events import Event, PhaseChanged, TradingStateChanged
from matching.ids import first_id
from matching.instruments import STATE_OF
from matching.wire import KINDS, encode
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.fork_in_memory import lose_end, make_readers, tell_fork
from tests.fixgw.venue_in_memory import Venue

HALTED, TRADING = TradingState.HALTED, TradingState.TRADING


class Desk:
    """A venue of two shards, and its two brokers logged on: AMBER speaks FIX.4.4, BIRCH FIX.4.2."""

    def __init__(self, unlisted: Container[bytes] = ()) -> None:
        self.venue = Venue(shard_count=2, unlisted=unlisted)
        self.venue.settle()
        self.amber, self.birch = self.venue.brokers.values()
        for comp_id in self.venue.brokers:
            self.venue.connect(comp_id)
        self.venue.settle()
        self._read = dict.fromkeys(self.venue.brokers, 0)

    def ask(self, broker: Broker, kind: int, symbol: str = "ALPHA", name: str = "q") -> list[str]:
        broker.send("e", f"324={name}|55={symbol}|263={kind}|")
        self.venue.settle()
        return self.told(broker)

    def operate(self, *commands: Command, shard_id: int = 1) -> None:
        for command in commands:
            self.venue.primaries[shard_id].command(*encode(command), self.venue.now)
        self.venue.flush_shard(shard_id)
        self.venue.settle()

    def told(self, broker: Broker) -> list[str]:
        """What the broker was told since the last time: "f q ALPHA 17 continuous"."""
        reports = broker.reports()
        start, self._read[broker.comp_id] = self._read[broker.comp_id], len(reports)
        return [told(fields) for fields in reports[start:]]


SHOWN = (324, 379, 55, 326, 380, 336, 327, 58)


def told(fields: dict[int, bytes]) -> str:
    return b" ".join([fields[tags.MsgType], *(fields[tag] for tag in SHOWN if tag in fields)]).decode()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_snapshot_is_one_answer(desk: Desk) -> None:
    assert desk.ask(desk.amber, 0, name="q1") == ["f q1 ALPHA 17 continuous"]
    assert desk.amber.reports()[-1][tags.TransactTime] == b"20261122-09:30:00.000"
    desk.operate(SetTradingState(1, HALTED, b"T1"))
    assert desk.told(desk.amber) == []
    assert desk.ask(desk.amber, 0) == ["f q ALPHA 2 halted"]
    assert desk.ask(desk.amber, 0, "GAMMA") == ["f q GAMMA 17 continuous"]


@pytest.mark.parametrize(
    ("phase", "in_42", "in_44"),
    [
        (Phase.CLOSED, 18, 18),
        (Phase.PRE_OPEN, 18, 21),
        (Phase.OPENING_AUCTION, 5, 22),
        (Phase.CONTINUOUS, 17, 17),
        (Phase.CLOSING_AUCTION, 5, 5),
        (Phase.POST_CLOSE, 18, 18),
        (Phase.HALTED, 2, 2),
        (Phase.REOPENING_AUCTION, 5, 5),
        (Phase.VOLATILITY_AUCTION, 5, 5),
        (Phase.QUOTE_ONLY, 18, 18),
    ],
)
def test_every_phase_has_a_status_and_a_name(desk: Desk, phase: Phase, in_42: int, in_44: int) -> None:
    desk.operate(SetPhase(1, phase, b""))
    assert desk.ask(desk.amber, 0) == [f"f q ALPHA {in_44} {phase.name.lower()}"]
    assert desk.ask(desk.birch, 0) == [f"f q ALPHA {in_42} {phase.name.lower()}"]


def test_what_the_public_sees_of_each_phase_is_the_engines() -> None:
    assert {phase: state for state, phases in PHASES_OF.items() for phase in phases} == {
        phase: STATE_OF[phase] for phase in Phase
    }


def test_who_asks_for_changes_is_told_of_each_until_it_wants_no_more(desk: Desk) -> None:
    assert desk.ask(desk.amber, 1) == ["f q ALPHA 17 continuous"]
    assert desk.ask(desk.birch, 1, "GAMMA") == ["f q GAMMA 17 continuous"]
    desk.venue.now += 1_000_000_000
    desk.operate(SetTradingState(1, HALTED, b"T1"))
    assert desk.told(desk.amber) == ["f q ALPHA 2 halted P T1"]
    assert desk.amber.reports()[-1][tags.TransactTime] == b"20261122-09:30:01.000", "the market's time"
    desk.operate(SetPhase(1, Phase.CLOSING_AUCTION, b""), SetPhase(1, Phase.CLOSED, b""))
    assert desk.told(desk.amber) == ["f q ALPHA 5 closing_auction", "f q ALPHA 18 closed"]
    assert desk.told(desk.birch) == [], "of another instrument"
    assert desk.ask(desk.amber, 2) == []
    desk.operate(SetPhase(1, Phase.CONTINUOUS, b""))
    assert desk.told(desk.amber) == []


def test_after_a_halt_trading_is_resumed_and_after_the_night_it_is_not(desk: Desk) -> None:
    desk.operate(DefineRules(1, 0, 0, 0, 0, 0, 0, 60_000_000_000))
    desk.ask(desk.amber, 1)
    desk.operate(SetTradingState(1, HALTED, b"T12"), SetTradingState(1, TRADING, b"R4"))
    assert desk.told(desk.amber) == ["f q ALPHA 2 halted M T12", "f q ALPHA 5 reopening_auction R4"]
    desk.operate(SetPhase(1, Phase.CONTINUOUS, b"R4"))
    assert desk.told(desk.amber) == ["f q ALPHA 3 continuous"]
    assert desk.ask(desk.amber, 0) == ["f q ALPHA 17 continuous"], "asked anew, it simply trades"
    desk.operate(SetPhase(1, Phase.PRE_OPEN, b""), SetPhase(1, Phase.CONTINUOUS, b""))
    assert desk.told(desk.amber)[-1] == "f q ALPHA 17 continuous"


def test_a_reason_stands_in_no_field_that_the_version_has_not(desk: Desk) -> None:
    desk.ask(desk.birch, 1)
    desk.operate(SetTradingState(1, HALTED, b"T2  "), SetTradingState(1, TRADING, b""))
    desk.operate(SetTradingState(1, HALTED, b"MWC1"), SetPhase(1, Phase.CLOSED, b""))
    assert desk.told(desk.birch) == [
        "f q ALPHA 2 halted D",
        "f q ALPHA 3 continuous",
        "f q ALPHA 2 halted",
        "f q ALPHA 18 closed",
    ]


def test_a_reason_that_would_break_the_message_is_left_out(desk: Desk) -> None:
    desk.ask(desk.amber, 1)
    desk.operate(SetTradingState(1, HALTED, b"\x0110="))
    assert desk.told(desk.amber) == ["f q ALPHA 2 halted"]


def test_the_days_end_and_beginning_are_told_as_the_public_sees_them(desk: Desk) -> None:
    desk.ask(desk.amber, 1)
    desk.ask(desk.birch, 1, "GAMMA")
    desk.operate(EndDay(20261122))
    assert desk.told(desk.amber) == ["f q ALPHA 18"]
    assert desk.told(desk.birch) == [], "of another shard"
    desk.operate(StartDay(20261123, b"2611230001", desk.venue.now))
    assert desk.told(desk.amber) == ["f q ALPHA 17"]
    desk.operate(SetPhase(1, Phase.CLOSED, b""), EndDay(20261123))
    assert desk.told(desk.amber) == ["f q ALPHA 18 closed"], "the end changes nothing"
    desk.operate(StartDay(20261124, b"2611240001", desk.venue.now), SetTradingState(1, HALTED, b"T1"))
    assert desk.told(desk.amber) == ["f q ALPHA 17", "f q ALPHA 2 halted P T1"]
    desk.operate(EndDay(20261124), StartDay(20261125, b"2611250001", desk.venue.now))
    assert desk.told(desk.amber) == [], "a halt goes over the night"
    desk.operate(EndDay(20261125), SetTradingState(1, TRADING, b""))
    desk.told(desk.amber)
    desk.operate(StartDay(20261126, b"2611260001", desk.venue.now))
    assert desk.told(desk.amber) == ["f q ALPHA 17"], "it was lifted by night: a new day begins, and resumes nothing"


def test_by_night_nothing_trades_whatever_the_operator_says(desk: Desk) -> None:
    desk.operate(SetTradingState(1, HALTED, b"T1"), EndDay(20261122), SetTradingState(1, TRADING, b""))
    assert desk.ask(desk.amber, 1) == ["f q ALPHA 18 closed"]
    desk.operate(StartDay(20261123, b"2611230001", desk.venue.now))
    assert desk.told(desk.amber) == ["f q ALPHA 17"]


def test_an_instrument_that_is_defined_anew_has_not_changed(desk: Desk) -> None:
    desk.operate(SetPhase(1, Phase.CLOSING_AUCTION, b""))
    desk.ask(desk.amber, 1)
    desk.operate(DefineInstrument(1, b"ALPHA", 100, 1, 100))
    assert desk.told(desk.amber) == []


def test_a_connections_end_is_the_end_of_what_it_asked_for(desk: Desk) -> None:
    desk.ask(desk.amber, 1)
    desk.venue.disconnect("AMBER")
    desk.operate(SetTradingState(1, HALTED, b""))
    desk.venue.connect("AMBER")
    desk.venue.settle()
    desk.operate(SetTradingState(1, TRADING, b""))
    assert desk.told(desk.amber) == []
    assert desk.ask(desk.amber, 2)[0].startswith("j q 1 ")
    assert desk.ask(desk.amber, 1) == ["f q ALPHA 17 continuous"]


def test_after_a_restart_of_the_gateway_the_answer_is_as_good_as_before(desk: Desk) -> None:
    desk.ask(desk.amber, 1)
    desk.operate(SetTradingState(1, HALTED, b""))
    desk.venue.restart_gateway()
    desk.venue.connect("AMBER")
    desk.venue.settle()
    desk.told(desk.amber)
    assert desk.ask(desk.amber, 1) == ["f q ALPHA 2 halted"]
    desk.operate(SetTradingState(1, TRADING, b""))
    assert desk.told(desk.amber) == ["f q ALPHA 3 continuous"]


def test_the_last_request_for_an_instrument_is_the_one_that_counts(desk: Desk) -> None:
    desk.ask(desk.amber, 1, name="q1")
    desk.ask(desk.amber, 1, name="q2")
    desk.operate(SetTradingState(1, HALTED, b""))
    assert desk.told(desk.amber) == ["f q2 ALPHA 2 halted"]
    assert desk.ask(desk.amber, 2, name="q1") == [
        "j q1 1 SecurityStatusReqID(324) names no request that is told of changes"
    ]
    assert desk.ask(desk.amber, 2, name="q2") == []


def test_what_is_not_traded_is_unknown(desk: Desk) -> None:
    assert desk.ask(desk.amber, 1, "OMEGA") == ["f q OMEGA 20 Symbol(55) OMEGA is not traded here"]
    assert desk.ask(desk.birch, 0, "OMEGA") == ["f q OMEGA 20"]


def test_what_the_gateway_knows_and_the_market_does_not_yet_is_unknown() -> None:
    """An instrument that was added to the configuration in the middle of a day."""
    desk = Desk(unlisted=(b"ALPHA",))
    assert desk.ask(desk.amber, 1) == ["f q ALPHA 20 not traded yet: the market lists it when its next day starts"]
    assert desk.ask(desk.birch, 0) == ["f q ALPHA 20"]
    assert desk.ask(desk.amber, 2) == ["j q 1 SecurityStatusReqID(324) names no request that is told of changes"]


def test_a_field_that_the_request_has_not_does_not_choose_the_shard(desk: Desk) -> None:
    desk.amber.send("e", f"324=q|55=GAMMA|263=0|37={first_id(1)}|")
    desk.venue.settle()
    assert desk.told(desk.amber) == ["f q GAMMA 17 continuous"]


def test_without_a_majority_there_is_no_answer_and_nothing_more(desk: Desk) -> None:
    desk.venue.kill_shard(1)
    for broker in (desk.amber, desk.birch):
        [answer] = desk.ask(broker, 1)
        assert answer.startswith("j q 4 not answered: no majority")
    desk.venue.start_shard(1)
    desk.venue.settle()
    desk.operate(SetTradingState(1, HALTED, b""))
    assert desk.told(desk.amber) == []


def test_requests_without_an_answer_do_not_stay_open(desk: Desk) -> None:
    for _ in range(MAX_OPEN):
        assert desk.ask(desk.amber, 2)[0].startswith("j q 1 ")
    assert desk.ask(desk.amber, 0) == ["f q ALPHA 17 continuous"]


def test_a_status_comes_again_by_resend_as_it_was(desk: Desk) -> None:
    desk.ask(desk.amber, 1)
    desk.operate(SetTradingState(1, HALTED, b"T1"))
    before = desk.amber.reports()
    desk.amber.ask_again(1)
    desk.venue.settle()
    assert desk.amber.reports() == before


def test_after_a_fork_the_request_is_answered_again(desk: Desk) -> None:
    make_readers(desk.venue)
    desk.venue.wait(0.1)
    desk.ask(desk.amber, 1)
    desk.operate(SetTradingState(1, HALTED, b"T1"))
    assert desk.told(desk.amber) == ["f q ALPHA 2 halted P T1"]
    lose_end(desk.venue, 1)
    tell_fork(desk.venue)
    desk.venue.settle()
    assert desk.told(desk.amber) == ["f q ALPHA 17 continuous"], "the halt was lost"
    desk.operate(SetTradingState(1, HALTED, b"T2"))
    assert desk.told(desk.amber) == ["f q ALPHA 2 halted D T2"]


# --- while the answer is under way ------------------------------------------------------------------------------------

V44 = DIALECTS[b"FIX.4.4"]


def asked(instrument_id: int = 1, session_id: int = 1) -> Inquiry:
    return Inquiry(b"e", 2, session_id, 1, (1,), b"q", b"1", symbol=b"ALPHA", instrument_id=instrument_id)


def changes(watches: Watches, *events: Event) -> list[str]:
    """What is told of them."""
    for event in events:
        assert watches.makers[KINDS[type(event)]](event, 1, 0) == []
    return [report.body.decode().split("326=")[1].partition("\x01")[0] for report in watches.take(lambda _: V44)]


def test_changes_wait_for_the_answer_and_the_last_is_told_after_it() -> None:
    watches = Watches(Phases(no_calendar))
    inquiry = asked()
    assert watches.begin(inquiry) is None
    halt, resume = PhaseChanged(1, Phase.HALTED), PhaseChanged(1, Phase.CONTINUOUS)
    assert changes(watches, resume, halt) == []
    [report] = watches.answered(inquiry, Phase.CONTINUOUS, V44)
    assert b"326=2" in report.body
    assert changes(watches, resume) == ["3"]


def test_a_change_that_the_answer_told_already_is_not_told_again() -> None:
    watches = Watches(Phases(no_calendar))
    inquiry = asked()
    watches.begin(inquiry)
    assert changes(watches, PhaseChanged(1, Phase.HALTED)) == []
    assert watches.answered(inquiry, Phase.HALTED, V44) == []
    assert changes(watches, PhaseChanged(1, Phase.HALTED)) == []


def test_what_was_held_before_a_fork_is_not_told_after_it() -> None:
    watches = Watches(Phases(no_calendar))
    inquiry = asked()
    watches.begin(inquiry)
    assert changes(watches, PhaseChanged(1, Phase.HALTED)) == []
    assert watches.fork() == [], "its answer is still to come"
    assert watches.answered(inquiry, Phase.CONTINUOUS, V44) == []
    assert watches.fork() == [inquiry]


def test_an_answer_to_a_request_that_another_took_the_place_of_begins_nothing() -> None:
    watches = Watches(Phases(no_calendar))
    first, second = asked(), asked()
    watches.begin(first)
    watches.begin(second)
    assert watches.answered(first, None, V44) == []
    assert watches.answered(first, Phase.CLOSED, V44) == []
    assert changes(watches, PhaseChanged(1, Phase.HALTED)) == []
    assert len(watches.answered(second, Phase.CONTINUOUS, V44)) == 1, "the halt, which was held"


def test_a_session_watches_so_many_instruments_of_a_shard() -> None:
    watches = Watches(Phases(no_calendar))
    for instrument_id in range(1, MAX_WATCHED + 1):
        assert watches.begin(asked(instrument_id)) is None
    assert watches.begin(asked(MAX_WATCHED + 1)) is TOO_MANY_WATCHED
    assert watches.begin(asked(1)) is None, "in place of the one before"
    assert watches.begin(asked(MAX_WATCHED + 1, session_id=2)) is None
    assert watches.end(asked(2)) is None
    assert watches.end(asked(2)) is NOT_WATCHED
    assert watches.begin(asked(MAX_WATCHED + 1)) is None


def test_nothing_is_kept_of_instruments_that_nobody_watches() -> None:
    watches = Watches(Phases(no_calendar))
    inquiry = asked()
    watches.begin(inquiry)
    watches.left(1)
    assert changes(watches, PhaseChanged(1, Phase.HALTED), TradingStateChanged(1, HALTED, b"T1")) == []
    watches.begin(inquiry)
    assert watches.answered(inquiry, Phase.HALTED, V44) == [], "what came before is in the answer"
