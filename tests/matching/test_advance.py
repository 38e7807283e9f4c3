"""What happens by itself, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.advance import MAX_EXTENSIONS
from matching.codes import ImbalanceDirection, Phase
from matching.commands import (
    Conditions,
    DefineRules,
    ReplaceOrder,
    SchedulePhase,
    SetPhase,
    SetReferencePrice,
)
from matching.events import (
    CollarSet,
    CrossExecuted,
    Event,
    ImbalancePublished,
    OrderExecuted,
    OrderExpired,
    PhaseChanged,
)
from tests.matching.sitting import BUY, DAY, GFA, GTD, LIMIT, NOON, OPG, PEGGED, SECOND, SELL, Sitting, kinds

PAUSE = 10


def phases(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.instrument_id, event.phase) for event in events if isinstance(event, PhaseChanged)]


def planned(*entries: tuple[int, int, int], instruments: int = 1) -> Sitting:
    """An open day with a schedule: (instrument, phase, seconds from now)."""
    sitting = Sitting()
    for number in range(2, instruments + 1):
        sitting.define(number, b"S%d" % number)
    for instrument_id, phase, seconds in entries:
        assert sitting(SchedulePhase(instrument_id, phase, sitting.now + seconds * SECOND)) == []
    sitting.start_day()
    return sitting


# --- the schedule -----------------------------------------------------------------------------------------------------


def test_a_day_from_its_schedule() -> None:
    sitting = planned(
        (0, Phase.PRE_OPEN, 0),
        (0, Phase.OPENING_AUCTION, 10),
        (0, Phase.CONTINUOUS, 20),
        (0, Phase.CLOSING_AUCTION, 30),
        (0, Phase.POST_CLOSE, 40),
        (0, Phase.CLOSED, 50),
    )
    assert sitting.phase() == Phase.PRE_OPEN
    seen = []
    while (due := sitting.engine.next_due()) is not None:
        sitting.now = due
        seen += [(due // SECOND - NOON // SECOND, phase) for _, phase in phases(sitting.advance())]
    assert seen == [
        (10, Phase.OPENING_AUCTION),
        (20, Phase.CONTINUOUS),
        (30, Phase.CLOSING_AUCTION),
        (40, Phase.POST_CLOSE),
        (50, Phase.CLOSED),
    ]


def test_nothing_due_is_nothing_done() -> None:
    sitting = planned((0, Phase.CONTINUOUS, 0), (0, Phase.CLOSED, 10))
    before = sitting.engine.digest()
    assert sitting.advance(9) == []
    assert sitting.engine.digest() == before
    assert sitting.engine.next_due() == sitting.now + SECOND


def test_what_is_said_of_one_instrument_replaces_what_is_said_of_all() -> None:
    sitting = planned(
        (0, Phase.CONTINUOUS, 0),
        (2, Phase.PRE_OPEN, 5),
        (0, Phase.CLOSED, 10),
        (2, Phase.QUOTE_ONLY, 10),
        instruments=3,
    )
    assert [sitting.phase(number) for number in (1, 2, 3)] == [Phase.CONTINUOUS, Phase.CLOSED, Phase.CONTINUOUS]
    assert phases(sitting.advance(5)) == [(2, Phase.PRE_OPEN)]
    assert phases(sitting.advance(5)) == [(1, Phase.CLOSED), (2, Phase.QUOTE_ONLY), (3, Phase.CLOSED)]


def test_entries_are_done_by_time_then_instrument() -> None:
    sitting = planned(
        (2, Phase.PRE_OPEN, 0),
        (1, Phase.PRE_OPEN, 0),
        (2, Phase.HALTED, 2),
        (1, Phase.HALTED, 2),
        (2, Phase.QUOTE_ONLY, 1),
        instruments=2,
    )
    assert phases(sitting.advance(5)) == [(2, Phase.QUOTE_ONLY), (1, Phase.HALTED), (2, Phase.HALTED)]


def test_without_a_schedule_an_instrument_trades_all_day() -> None:
    sitting = planned()
    assert sitting.phase() == Phase.CONTINUOUS
    assert sitting.engine.next_due() is None


def test_before_its_first_entry_an_instrument_is_closed() -> None:
    assert planned((1, Phase.PRE_OPEN, 1)).phase() == Phase.CLOSED


def test_the_schedule_said_again_changes_nothing() -> None:
    sitting = planned((0, Phase.PRE_OPEN, 0), (0, Phase.OPENING_AUCTION, 5))
    sitting.advance(5)
    sitting(SetPhase(1, Phase.CONTINUOUS, b""))
    for phase, seconds in ((Phase.PRE_OPEN, 0), (Phase.OPENING_AUCTION, 5)):
        assert sitting(SchedulePhase(0, phase, NOON + seconds * SECOND)) == []
    assert sitting.advance() == []
    assert sitting.phase() == Phase.CONTINUOUS


def test_an_entry_that_is_said_again_with_another_phase_is_replaced() -> None:
    sitting = planned((0, Phase.PRE_OPEN, 0), (0, Phase.OPENING_AUCTION, 5))
    sitting(SchedulePhase(0, Phase.QUOTE_ONLY, NOON + 5 * SECOND))
    assert phases(sitting.advance(5)) == [(1, Phase.QUOTE_ONLY)]


def test_an_instrument_that_is_listed_during_the_day_is_where_its_schedule_is() -> None:
    sitting = planned((0, Phase.OPENING_AUCTION, 0), (0, Phase.CLOSED, 10))
    sitting.now += 5 * SECOND
    sitting.define(2, b"LATE")
    assert sitting.phase(2) == Phase.OPENING_AUCTION
    assert kinds(sitting.advance()) == ["ImbalancePublished"]
    assert kinds(sitting.advance(1)) == ["ImbalancePublished", "ImbalancePublished"]
    assert phases(sitting.advance(5)) == [(1, Phase.CLOSED), (2, Phase.CLOSED)]


def test_the_schedule_is_forgotten_with_the_day() -> None:
    sitting = planned((0, Phase.CONTINUOUS, 0), (0, Phase.CLOSED, 10))
    sitting.end_day()
    assert sitting.engine.next_due() is None
    assert sitting.advance(20) == []
    sitting.start_day()
    assert sitting.phase() == Phase.CONTINUOUS
    assert sitting.advance() == []


def test_a_schedule_may_halt() -> None:
    sitting = planned((0, Phase.CONTINUOUS, 0), (0, Phase.HALTED, 1), (0, Phase.CLOSING_AUCTION, 2))
    sitting.advance(1)
    sitting.advance(1)
    assert sitting.phase() == Phase.HALTED
    sitting.state("T")
    assert sitting.phase() == Phase.CLOSING_AUCTION


# --- indicative prices ------------------------------------------------------------------------------------------------


def indications(events: list[Event]) -> list[ImbalancePublished]:
    return [event for event in events if isinstance(event, ImbalancePublished)]


def test_an_auction_is_told_once_each_second() -> None:
    sitting = planned()
    sitting.now += SECOND // 2
    sitting(SetPhase(1, Phase.OPENING_AUCTION, b""))
    assert sitting.engine.next_due() == NOON + SECOND
    assert sitting.advance() == []
    sitting.now = NOON + SECOND
    assert len(indications(sitting.advance())) == 1
    assert sitting.advance() == []
    assert len(indications(sitting.advance(10))) == 1
    assert sitting.engine.next_due() == NOON + 12 * SECOND


@pytest.mark.parametrize("phase", [Phase.PRE_OPEN, Phase.QUOTE_ONLY, Phase.CONTINUOUS, Phase.HALTED])
def test_no_other_phase_is_told(phase: Phase) -> None:
    sitting = planned()
    sitting(SetPhase(1, phase, b""))
    assert sitting.engine.next_due() is None


def test_the_near_price_is_of_all_orders_and_the_far_price_of_those_for_auctions() -> None:
    sitting = planned()
    sitting(SetReferencePrice(1, 100))
    sitting(SetPhase(1, Phase.OPENING_AUCTION, b""))
    sitting.order(BUY, 10, 105)
    sitting.order(SELL, 4, 99)
    sitting.order(BUY, 3, 103, OPG)
    sitting.order(SELL, 2, 102, GFA)
    sitting.order(SELL, 7, 200, GFA)
    assert indications(sitting.advance(1)) == [
        ImbalancePublished(1, 6, 4, ImbalanceDirection.BUY, 103, 105, 100, ord("O"))
    ]


def test_where_nobody_meets_there_is_no_price() -> None:
    sitting = planned()
    sitting(SetPhase(1, Phase.CLOSING_AUCTION, b""))
    sitting.order(BUY, 10, 105)
    assert indications(sitting.advance(1)) == [
        ImbalancePublished(1, 0, 0, ImbalanceDirection.INSUFFICIENT, 0, 0, 0, ord("C"))
    ]


# --- volatility auctions ----------------------------------------------------------------------------------------------


def paused(static_band: int = 100) -> Sitting:
    """An instrument whose buyer at 1,030 met a band around 1,000."""
    sitting = planned()
    sitting(DefineRules(1, static_band, 0, 0, 0, 0, PAUSE * SECOND, 0))
    sitting(SetReferencePrice(1, 1_000))
    sitting.order(SELL, 10, 1_005)
    sitting.order(SELL, 10, 1_025)
    events = sitting.order(BUY, 15, 1_030)
    assert kinds(events) == [
        "OrderAccepted",
        "OrderExecuted",
        "OrderBooked",
        "PhaseChanged",
        "TradingStateChanged",
        "CollarSet",
    ]
    assert events[5] == CollarSet(1, 1_000, 1_000 + static_band // 10, 1_000 - static_band // 10, 0)
    return sitting


def test_a_volatility_auction_whose_price_is_inside_of_its_collar_ends() -> None:
    sitting = paused()
    sitting.order(SELL, 10, 1_010)
    sitting.cancel(2, SELL)
    sitting.cancel(3, BUY)
    sitting.order(BUY, 5, 1_010)
    assert "CrossExecuted" not in kinds(sitting.advance(PAUSE - 1))
    assert kinds(sitting.advance(1)) == ["AuctionExecuted", "CrossExecuted", "PhaseChanged", "TradingStateChanged"]
    assert sitting.engine.instruments()[0].last_price == 1_010


def test_one_whose_price_is_outside_is_extended_and_its_collar_widened() -> None:
    sitting = paused()
    collars: list[Event] = []
    for _ in range(MAX_EXTENSIONS):
        events = sitting.advance(PAUSE)
        collars += [event for event in events if isinstance(event, CollarSet)]
        if sitting.phase() != Phase.VOLATILITY_AUCTION:
            break
    # It would trade at 1,030 or 1,025: inside of the collar once it is three bands wide.
    assert collars == [CollarSet(1, 1_000, 1_020, 980, 1), CollarSet(1, 1_000, 1_030, 970, 2)]
    assert sitting.phase() == Phase.CONTINUOUS


def test_after_the_last_extension_it_ends_wherever() -> None:
    sitting = paused(static_band=50)
    for _ in range(MAX_EXTENSIONS):
        sitting.advance(PAUSE)
        assert sitting.phase() == Phase.VOLATILITY_AUCTION
    assert "CrossExecuted" in kinds(sitting.advance(PAUSE))
    assert sitting.engine.instruments()[0].extension == 0


def test_one_in_which_nobody_meets_ends() -> None:
    sitting = paused()
    sitting.cancel(3, BUY)
    assert "CrossExecuted" in kinds(sitting.advance(PAUSE))
    assert sitting.phase() == Phase.CONTINUOUS


def test_one_that_the_operator_ends_is_not_extended() -> None:
    sitting = paused()
    assert "CrossExecuted" in kinds(sitting(SetPhase(1, Phase.CONTINUOUS, b"")))
    assert kinds(sitting.advance(2 * PAUSE)) == []


def test_one_that_was_halted_does_not_end_by_itself() -> None:
    sitting = paused()
    sitting.state("H")
    assert sitting.advance(2 * PAUSE) == []


# --- expiry -----------------------------------------------------------------------------------------------------------


def until(seconds: int) -> Conditions:
    return Conditions(expire_at=NOON + seconds * SECOND)


def expired(events: list[Event]) -> list[bytes]:
    return [event.terms.cl_ord_id for event in events if isinstance(event, OrderExpired)]


def test_orders_expire_by_their_date_then_their_id() -> None:
    sitting = planned()
    sitting.order(BUY, 10, 100, GTD, until(3))
    sitting.order(BUY, 10, 100, GTD, until(5))
    sitting.order(BUY, 10, 90, GTD, until(3))
    sitting.order(BUY, 10, 90, GTD, until(9))
    sitting.cancel(2, BUY)
    assert sitting.engine.next_due() == NOON + 3 * SECOND
    assert sitting.advance(2) == []
    assert expired(sitting.advance(1)) == [b"o1", b"o3"]
    assert expired(sitting.advance(2)) == []
    assert expired(sitting.advance(4)) == [b"o4"]
    assert sitting.engine.next_due() is None


def test_a_replace_may_change_the_date() -> None:
    sitting = planned()
    sitting.order(BUY, 10, 100, GTD, until(3))
    command = ReplaceOrder(1, 1, BUY, LIMIT, GTD, 100, 10, 0, 0, b"r", b"o1", b"", until(6))
    assert kinds(sitting(command, 1)) in (["OrderReplaced"], ["OrderReduced"])
    assert expired(sitting.advance(3)) == []
    assert expired(sitting.advance(3)) == [b"r"]


def test_whatever_waits_expires_too() -> None:
    sitting = planned()
    conditions = Conditions(stop_price=120, expire_at=NOON + 3 * SECOND)
    sitting.order(BUY, 10, conditions=conditions, time_in_force=GTD, ord_type=3)
    assert expired(sitting.advance(3)) == [b"o1"]


def test_an_order_that_was_carried_over_expires() -> None:
    sitting = planned()
    sitting.order(BUY, 10, 100, GTD, until(100))
    assert expired(sitting.end_day()) == []
    sitting.start_day()
    assert sitting.engine.next_due() == NOON + 100 * SECOND
    assert expired(sitting.advance(100)) == [b"o1"]


@pytest.mark.parametrize("max_events", [7, 12])
def test_what_is_due_in_parts_is_the_same(max_events: int) -> None:
    told = []
    for sitting in (Sitting(10_000), Sitting(max_events, restored=True)):
        for number in range(2, 8):
            sitting.define(number, b"S%d" % number)
        for phase, seconds in ((Phase.OPENING_AUCTION, 0), (Phase.CONTINUOUS, 5), (Phase.CLOSING_AUCTION, 9)):
            sitting(SchedulePhase(0, phase, NOON + seconds * SECOND))
        sitting(SchedulePhase(3, Phase.OPENING_AUCTION, NOON))
        sitting(SchedulePhase(3, Phase.CLOSED, NOON + 7 * SECOND))
        events = sitting.start_day()
        for number in range(1, 8):
            for price in (100, 101, 102):
                sitting.order(BUY, 5, price, GTD, until(price - 96), instrument_id=number)
                sitting.order(SELL, 4, 201 - price, GTD, until(price - 98), instrument_id=number)
            sitting.order(BUY, 9, time_in_force=GFA, instrument_id=number)
        for seconds in (1, 4, 4, 0, 1):
            events += sitting.advance(seconds)
        told.append(events + sitting.end_day() + sitting.start_day())
    assert told[1] == told[0]
    assert len(told[0]) > 100


# --- what comes late --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "told"),
    [
        (4, ["OrderExpired", "CrossExecuted", "PhaseChanged", "TradingStateChanged", "SystemEventOccurred"]),
        (5, ["AuctionExecuted", "CrossExecuted", "PhaseChanged", "TradingStateChanged", "SystemEventOccurred"]),
        (6, ["AuctionExecuted", "CrossExecuted", "PhaseChanged", "TradingStateChanged", "SystemEventOccurred"]),
    ],
)
def test_an_order_is_in_the_uncrosses_up_to_its_date(date: int, told: list[str]) -> None:
    sitting = planned((0, Phase.OPENING_AUCTION, 0), (0, Phase.CONTINUOUS, 5))
    sitting.order(BUY, 10, 100, GTD, until(date))
    sitting.order(SELL, 10, 100)
    assert kinds(sitting.advance(3600)) == told


def test_an_auction_that_ended_by_itself_is_uncrossed_before_the_next_one_begins() -> None:
    sitting = planned((0, Phase.CONTINUOUS, 0), (0, Phase.CLOSING_AUCTION, 20), (0, Phase.POST_CLOSE, 30))
    sitting(DefineRules(1, 0, 0, 0, 0, 0, 0, 10 * SECOND))
    sitting.state("H")
    sitting.state("T")
    events = sitting.advance(60)
    assert phases(events) == [(1, Phase.CONTINUOUS), (1, Phase.CLOSING_AUCTION), (1, Phase.POST_CLOSE)]
    assert [chr(event.cross_type) for event in events if isinstance(event, CrossExecuted)] == ["H", "C"]


@pytest.mark.parametrize("seconds", [20, 30])
def test_an_auction_that_another_phase_has_followed_does_not_end_by_itself(seconds: int) -> None:
    sitting = planned((0, Phase.CONTINUOUS, 0), (0, Phase.CLOSING_AUCTION, 20))
    sitting(DefineRules(1, 0, 0, 0, 0, 0, 0, seconds * SECOND))
    sitting.state("H")
    sitting.state("T")
    assert phases(sitting.advance(60)) == [(1, Phase.CLOSING_AUCTION)]


def test_a_late_extension_lasts_its_whole_time() -> None:
    sitting = paused()
    assert kinds(sitting.advance(100 * PAUSE)) == ["CollarSet", "ImbalancePublished"]
    assert kinds(sitting.advance(PAUSE - 1)) == ["ImbalancePublished"]
    assert kinds(sitting.advance(1)) == ["CollarSet", "ImbalancePublished"]


def test_an_indication_is_of_the_auction_as_it_is_when_all_else_is_done() -> None:
    sitting = planned((2, Phase.OPENING_AUCTION, 0), (2, Phase.CONTINUOUS, 30), (1, Phase.CLOSED, 60), instruments=2)
    sitting(SetPhase(1, Phase.OPENING_AUCTION, b""))
    sitting.order(BUY, 10, 100, GTD, until(40))
    sitting.order(BUY, 4, 100)
    sitting.order(SELL, 10, 100)
    assert indications(sitting.advance(50)) == [
        ImbalancePublished(1, 4, 6, ImbalanceDirection.SELL, 0, 100, 0, ord("O"))
    ]
    assert indications(sitting.advance(50)) == []


def test_what_is_due_while_halted_is_done_but_for_the_phase() -> None:
    sitting = planned((0, Phase.CONTINUOUS, 0), (0, Phase.CLOSING_AUCTION, 20), (0, Phase.POST_CLOSE, 30))
    sitting.order(BUY, 10, 100, GTD, until(25))
    sitting.state("H")
    assert kinds(sitting.advance(60)) == ["OrderExpired"]
    sitting.state("T")
    assert sitting.phase() == Phase.POST_CLOSE


@pytest.mark.parametrize("max_events", [7, 128])
@pytest.mark.parametrize("apart", [False, True])
def test_pegs_meet_when_all_orders_of_a_date_are_gone(max_events: int, apart: bool) -> None:
    """Of two dates that come late, those of the second one are there when the first one's are gone."""
    sitting = Sitting(max_events, restored=True)
    sitting.define(2, b"BETA")
    sitting.start_day()
    for instrument_id in (2, 1):
        sitting.order(BUY, 1, 1_000, instrument_id=instrument_id)
        sitting.order(SELL, 1, 1_100, GTD, until(5), instrument_id=instrument_id)
        sitting.order(SELL, 1, 1_200, instrument_id=instrument_id)
        midpoint = Conditions(peg=ord("M"))
        sitting.order(SELL, 1, 1_070, DAY, midpoint, PEGGED, 2, instrument_id)
        for seconds in (5, 6 if apart else 5, 9):
            dated = Conditions(peg=ord("M"), expire_at=NOON + seconds * SECOND)
            sitting.order(BUY, 1, 0, GTD, dated, PEGGED, 3, instrument_id)
    events = sitting.advance(7)
    expired_at_once, met = ["OrderExpired"] * 4, ["OrderExecuted"] * 2
    assert kinds(events) == (
        expired_at_once + met if apart else [*expired_at_once, "OrderExpired", "OrderExpired", *met]
    )
    assert [event.incoming.cl_ord_id for event in events if isinstance(event, OrderExecuted)] == (
        [b"o13", b"o6"] if apart else [b"o14", b"o7"]
    )


def test_nothing_of_one_instrument_depends_on_what_is_due_of_another() -> None:
    told = []
    for other in ([], [(2, Phase.PRE_OPEN, 0), (2, Phase.CONTINUOUS, 6)]):
        sitting = planned((1, Phase.CONTINUOUS, 0), *other, instruments=2)
        sitting.order(BUY, 1, 1_000)
        sitting.order(SELL, 1, 1_100, GTD, until(5))
        sitting.order(SELL, 1, 1_200)
        sitting.order(SELL, 1, 1_070, DAY, Conditions(peg=ord("M")), PEGGED, 2)
        sitting.order(BUY, 1, 0, GTD, Conditions(peg=ord("M"), expire_at=NOON + 7 * SECOND), PEGGED, 3)
        events = sitting.advance(9)
        told.append([each for each in kinds(events) if each in ("OrderExpired", "OrderExecuted")])
    assert told[0] == told[1] == ["OrderExpired", "OrderExecuted"]


#: An instrument, a side, a price, a type, a date.
_Wish = tuple[int, int, int, int, int]
_wishes = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.integers(1, 2),
        st.integers(98, 102),
        st.sampled_from([LIMIT, LIMIT, PEGGED]),
        st.integers(1, 9),
    ),
    max_size=12,
)
_entries = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(sorted(Phase)), st.integers(1, 9)), max_size=6)


def _told(wishes: list[_Wish], entries: list[tuple[int, int, int]], halted: bool, late: bool) -> list[Event]:
    """What is said of all that is due within ten seconds: each at its time, or all of it late."""
    sitting = planned((0, Phase.PRE_OPEN, 0), *entries, instruments=2)
    sitting(DefineRules(1, 0, 0, 0, 0, 0, 0, 4 * SECOND))
    for instrument_id, side, price, ord_type, date in wishes:
        conditions = Conditions(peg=ord("M") if ord_type == PEGGED else 0, expire_at=NOON + date * SECOND)
        sitting.order(side, 10, price, GTD, conditions, ord_type, 1, instrument_id)
    if halted:
        sitting(SetPhase(1, Phase.HALTED, b""))
        sitting(SetPhase(1, Phase.CONTINUOUS, b""))
        sitting.state("Q")
        sitting.state("T")
    events = [event for _ in range(1 if late else 10) for event in sitting.advance(10 if late else 1)]
    return [event for event in events if not isinstance(event, ImbalancePublished)]


@given(_wishes, _entries, st.booleans())
def test_late_is_as_in_time(wishes: list[_Wish], entries: list[tuple[int, int, int]], halted: bool) -> None:
    assert _told(wishes, entries, halted, late=True) == _told(wishes, entries, halted, late=False)
