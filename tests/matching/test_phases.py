"""How an instrument comes from one phase to another, and what that does to those who wait."""

import pytest

from matching.codes import Phase, RefusalReason, TradingState
from matching.commands import Conditions, DefineRules, SchedulePhase, SetPhase, SetTradingState
from matching.events import (
    CommandRefused,
    CrossExecuted,
    OrderBooked,
    OrderRejected,
    OrderTriggered,
    PhaseChanged,
    SystemEventOccurred,
    TradingStateChanged,
)
from matching.instruments import STATE_OF
from matching.phases import AUCTIONS, CALL_PHASES, TAKES_ORDERS, goes_with
from tests.matching.sitting import ATC, BUY, DAY, GFA, GTC, OPG, SECOND, SELL, STOP, Sitting, kinds

TABLE = {
    # phase: the state that the public sees, whether orders are taken, whether they are collected, whether it is an
    # auction
    Phase.CLOSED: ("H", False, False, False),
    Phase.PRE_OPEN: ("Q", True, True, False),
    Phase.OPENING_AUCTION: ("Q", True, True, True),
    Phase.CONTINUOUS: ("T", True, False, False),
    Phase.CLOSING_AUCTION: ("Q", True, True, True),
    Phase.POST_CLOSE: ("H", False, False, False),
    Phase.HALTED: ("H", False, False, False),
    Phase.REOPENING_AUCTION: ("Q", True, True, True),
    Phase.VOLATILITY_AUCTION: ("P", True, True, True),
    Phase.QUOTE_ONLY: ("Q", True, True, False),
}
CROSS_OF = {
    Phase.PRE_OPEN: "O",
    Phase.OPENING_AUCTION: "O",
    Phase.CLOSING_AUCTION: "C",
    Phase.REOPENING_AUCTION: "H",
    Phase.VOLATILITY_AUCTION: "H",
    Phase.QUOTE_ONLY: "H",
}


def opened(max_events: int = 128, restored: bool = False) -> Sitting:
    sitting = Sitting(max_events, restored)
    sitting.start_day()
    return sitting


@pytest.mark.parametrize("phase", Phase)
def test_the_tables_say_what_a_phase_is(phase: Phase) -> None:
    state, takes_orders, collects, auction = TABLE[phase]
    assert chr(STATE_OF[phase]) == state
    assert (TAKES_ORDERS[phase], CALL_PHASES[phase], AUCTIONS[phase]) == (takes_orders, collects, auction)


@pytest.mark.parametrize("phase", Phase)
def test_orders_are_taken_when_the_phase_takes_them(phase: Phase) -> None:
    sitting = opened()
    sitting(SetPhase(1, phase, b""))
    rejected = any(isinstance(event, OrderRejected) for event in sitting.order(BUY, 1, 100))
    assert rejected == (not TAKES_ORDERS[phase])


@pytest.mark.parametrize("before", Phase)
@pytest.mark.parametrize("after", Phase)
def test_any_phase_may_follow_any_other(before: Phase, after: Phase) -> None:
    sitting = opened()
    sitting(SetPhase(1, before, b""))
    events = sitting(SetPhase(1, after, b"why"))
    if before == after:
        assert events == []
        return
    crosses = CALL_PHASES[before] and after in (Phase.CONTINUOUS, Phase.POST_CLOSE, Phase.CLOSED)
    expected: list[object] = [CrossExecuted(1, 0, 0, 0, ord(CROSS_OF[before]))] if crosses else []
    expected.append(PhaseChanged(1, after))
    if STATE_OF[before] != STATE_OF[after]:
        expected.append(TradingStateChanged(1, STATE_OF[after], b"why"))
    assert events == expected


@pytest.mark.parametrize(
    ("time_in_force", "phases"),
    [
        (OPG, {Phase.PRE_OPEN, Phase.OPENING_AUCTION}),
        (ATC, {Phase.CLOSING_AUCTION}),
        (
            GFA,
            {
                Phase.PRE_OPEN,
                Phase.OPENING_AUCTION,
                Phase.CLOSING_AUCTION,
                Phase.REOPENING_AUCTION,
                Phase.VOLATILITY_AUCTION,
            },
        ),
    ],
)
def test_with_which_phases_an_auction_order_goes(time_in_force: int, phases: set[Phase]) -> None:
    assert {phase for phase in Phase if goes_with(time_in_force, phase)} == phases


def test_a_phase_of_all_instruments_begins_by_their_id() -> None:
    sitting = Sitting()
    sitting.define(3, b"THRD")
    sitting.define(2, b"SCND")
    sitting.start_day()
    sitting(SetPhase(2, Phase.HALTED, b""))
    assert sitting(SetPhase(0, Phase.HALTED, b"")) == [
        PhaseChanged(1, Phase.HALTED),
        TradingStateChanged(1, ord("H"), b""),
        PhaseChanged(3, Phase.HALTED),
        TradingStateChanged(3, ord("H"), b""),
    ]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (SetPhase(1, 10, b""), RefusalReason.BAD_PHASE),
        (SetPhase(2, Phase.HALTED, b""), RefusalReason.UNKNOWN_INSTRUMENT),
        (SetTradingState(2, TradingState.HALTED, b""), RefusalReason.UNKNOWN_INSTRUMENT),
        (SetTradingState(1, TradingState.PAUSED, b""), RefusalReason.BAD_TRADING_STATE),
        (SetTradingState(1, 0, b""), RefusalReason.BAD_TRADING_STATE),
        (SchedulePhase(1, 10, 0), RefusalReason.BAD_PHASE),
        (SchedulePhase(2, Phase.HALTED, 0), RefusalReason.UNKNOWN_INSTRUMENT),
    ],
)
def test_commands_without_a_meaning_are_refused(command: SetPhase | SetTradingState, reason: int) -> None:
    sitting = opened()
    before = sitting.engine.digest()
    (refusal,) = sitting(command)
    assert isinstance(refusal, CommandRefused)
    assert refusal.reason == reason
    assert sitting.engine.digest() == before


# --- halts ------------------------------------------------------------------------------------------------------------


def test_a_halt_lasts_over_the_night() -> None:
    sitting = opened()
    sitting.state("H")
    sitting.end_day()
    assert kinds(sitting.start_day()) == ["DayStarted", "InstrumentListed", "SystemEventOccurred"]
    assert sitting.phase() == Phase.HALTED
    # It opens the market, since nobody else has.
    assert sitting.state("T") == [
        PhaseChanged(1, Phase.CONTINUOUS),
        TradingStateChanged(1, ord("T"), b""),
        SystemEventOccurred(ord("Q")),
    ]


def test_while_no_day_is_open_an_instrument_is_closed_or_halted() -> None:
    sitting = Sitting()
    assert sitting.state("H") == []
    assert sitting.phase() == Phase.HALTED
    assert sitting(SetPhase(0, Phase.CONTINUOUS, b"")) == []
    assert sitting.phase() == Phase.CLOSED, "it is resumed, and trades when a day begins"
    assert sitting.state("T") == []
    assert sitting.phase() == Phase.CLOSED


def test_a_halt_keeps_an_auction_as_it_is_and_a_resume_ends_it() -> None:
    sitting = opened()
    sitting(SetPhase(1, Phase.OPENING_AUCTION, b""))
    sitting.order(BUY, 10, 101)
    sitting.order(SELL, 10, 100)
    assert kinds(sitting.state("H", b"T1")) == ["PhaseChanged", "TradingStateChanged"]
    events = sitting.state("T", b"T3")
    assert kinds(events) == ["AuctionExecuted", "CrossExecuted", "PhaseChanged", "TradingStateChanged"]
    assert isinstance(events[1], CrossExecuted)
    assert (events[1].price, events[1].quantity, chr(events[1].cross_type)) == (101, 10, "H")
    assert events[3] == TradingStateChanged(1, ord("T"), b"T3")


def test_after_a_halt_comes_an_auction_where_the_rules_want_one() -> None:
    sitting = opened()
    sitting(DefineRules(1, 0, 0, 0, 0, 0, 0, 30 * SECOND))
    sitting.state("H")
    assert sitting.state("T") == [PhaseChanged(1, Phase.REOPENING_AUCTION), TradingStateChanged(1, ord("Q"), b"")]
    sitting.order(BUY, 10, 100)
    assert kinds(sitting.advance(29)) == ["ImbalancePublished"]
    assert kinds(sitting.advance(1)) == ["CrossExecuted", "PhaseChanged", "TradingStateChanged"]
    assert sitting.phase() == Phase.CONTINUOUS


def test_after_quote_only_comes_an_auction_where_the_rules_want_one() -> None:
    sitting = opened()
    sitting.state("Q")
    assert sitting.phase() == Phase.QUOTE_ONLY
    assert kinds(sitting.state("T")) == ["CrossExecuted", "PhaseChanged", "TradingStateChanged"]
    sitting(DefineRules(1, 0, 0, 0, 0, 0, 0, SECOND))
    sitting.state("Q")
    assert sitting.state("T") == [PhaseChanged(1, Phase.REOPENING_AUCTION)]  # the public sees no other state
    assert kinds(sitting.state("T")) == ["CrossExecuted", "PhaseChanged", "TradingStateChanged"]


def test_a_resume_leads_to_where_the_schedule_is() -> None:
    sitting = Sitting()
    sitting(SchedulePhase(1, Phase.PRE_OPEN, sitting.now - SECOND))
    sitting(SchedulePhase(1, Phase.OPENING_AUCTION, sitting.now + SECOND))
    sitting(SchedulePhase(1, Phase.CONTINUOUS, sitting.now + 2 * SECOND))
    sitting.start_day()
    sitting.state("H")
    sitting.state("T")
    assert sitting.phase() == Phase.PRE_OPEN
    sitting.state("H")
    assert sitting.advance(1) == []
    assert sitting.state("T") == [PhaseChanged(1, Phase.OPENING_AUCTION), TradingStateChanged(1, ord("Q"), b"")]
    sitting.state("H")
    assert sitting.advance(1) == []
    sitting.state("T")
    assert sitting.phase() == Phase.CONTINUOUS


def test_the_operator_overrules_the_schedule() -> None:
    sitting = Sitting()
    sitting(SchedulePhase(1, Phase.PRE_OPEN, sitting.now))
    sitting.start_day()
    sitting(SetPhase(1, Phase.CONTINUOUS, b""))
    sitting.state("H")
    sitting.state("T")
    assert sitting.phase() == Phase.CONTINUOUS


# --- those who wait ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_events", "restored"), [(128, False), (8, True)])
def test_parked_orders_join_the_auction_with_which_they_go(max_events: int, restored: bool) -> None:
    sitting = opened(max_events, restored)
    assert kinds(sitting.order(SELL, 10, 100, GFA)) == ["OrderAccepted"]
    sitting.order(BUY, 10, 101, ATC)
    sitting.order(SELL, 5, time_in_force=GFA)
    instrument = sitting.engine.instruments()[0]
    assert instrument.book.is_empty()
    sitting(SetPhase(1, Phase.VOLATILITY_AUCTION, b""))
    instrument = sitting.engine.instruments()[0]
    assert [order.terms.cl_ord_id for order in instrument.book.asks.orders()] == [b"o3", b"o1"]
    assert [order.terms.cl_ord_id for order in instrument.parked.orders()] == [b"o2"]
    sitting(SetPhase(1, Phase.CLOSING_AUCTION, b""))
    instrument = sitting.engine.instruments()[0]
    assert [order.terms.cl_ord_id for order in instrument.book.bids.orders()] == [b"o2"]
    assert instrument.parked.best is None
    events = sitting(SetPhase(1, Phase.POST_CLOSE, b""))
    assert kinds(events) == [
        "AuctionExecuted",
        "AuctionExecuted",
        "CrossExecuted",
        "OrderCanceled",
        "PhaseChanged",
        "TradingStateChanged",
    ]


def test_stops_are_held_against_an_auctions_price_when_trading_begins() -> None:
    sitting = opened()
    sitting(SetPhase(1, Phase.OPENING_AUCTION, b""))
    sitting.order(BUY, 10, 100, GTC, Conditions(stop_price=101), ord_type=4)
    sitting.order(SELL, 5, conditions=Conditions(stop_price=99), ord_type=STOP)
    sitting.order(BUY, 10, 102)
    sitting.order(SELL, 10, 102)
    events = sitting(SetPhase(1, Phase.CONTINUOUS, b""))
    assert kinds(events) == [
        "AuctionExecuted",
        "CrossExecuted",
        "PhaseChanged",
        "TradingStateChanged",
        "OrderTriggered",
        "OrderBooked",
    ]
    assert isinstance(events[4], OrderTriggered)
    assert events[4].terms.cl_ord_id == b"o1"


def test_displayed_orders_are_told_at_once_though_they_do_not_trade() -> None:
    sitting = opened()
    sitting(SetPhase(1, Phase.PRE_OPEN, b""))
    sitting.order(BUY, 10, 102)
    events = sitting.order(SELL, 10, 100, DAY)
    assert isinstance(events[1], OrderBooked)
    assert not sitting.engine.trade_count
