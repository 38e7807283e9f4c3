"""What a new order is refused for, each reason once and in their order."""

import pytest

from matching.codes import Peg, Phase, RejectReason
from matching.commands import Conditions, DefineInstrument, DefineRules, NewOrder, SetPhase
from matching.engine import Engine
from matching.events import OrderRejected
from matching.ids import MAX_PRICE, MAX_QUANTITY
from tests.matching.sitting import ATC, BUY, DAY, GFA, GTC, GTD, IOC, LIMIT, MARKET, NOON, OPG, SELL, STOP
from tests.matching.told import FOK, LEFTOVER, PEGGED, STOP_LIMIT, new, opened

RESTING = {DAY, GTC, GTD}
AUCTIONS = {OPG, ATC, GFA}
TIMES = {
    LIMIT: {*RESTING, IOC, FOK, *AUCTIONS},
    MARKET: {DAY, IOC, FOK, *AUCTIONS},
    LEFTOVER: RESTING,
    STOP: RESTING,
    STOP_LIMIT: {*RESTING, IOC, FOK},
    PEGGED: RESTING,
}
PRIMARY = int(Peg.PRIMARY)


def refusal(command: NewOrder, phase: int = Phase.CONTINUOUS) -> str:
    """Why a shard with an instrument of tick 10 and lot 5 refuses an order; "" when it does not."""
    sitting = opened()
    sitting(DefineInstrument(1, b"ACME", 10, 5, 100))
    sitting(DefineRules(1, 0, 0, 0, 1_000, 1_000_000, 0, 0))
    sitting.order(SELL, 5, 1_000, participant_id=2)
    if phase != Phase.CONTINUOUS:
        sitting(SetPhase(1, phase, b""))
    event = sitting(command, 1)[0]
    return RejectReason(event.reason).name if isinstance(event, OrderRejected) else ""


def sound(ord_type: int, time_in_force: int, **fields: object) -> NewOrder:
    """An order of this kind of which every other field is right."""
    conditions = Conditions(
        stop_price=2_000 if ord_type in (STOP, STOP_LIMIT) else 0,
        peg=PRIMARY if ord_type == PEGGED else 0,
        expire_at=NOON + 1 if time_in_force == GTD else 0,
    )
    price = 900 if ord_type in (LIMIT, STOP_LIMIT) else 0
    kind = {
        "ord_type": ord_type,
        "time_in_force": time_in_force,
        "conditions": conditions,
        "price": price,
        "quantity": 10,
    }
    return new(**(kind | fields))


@pytest.mark.parametrize("ord_type", [*TIMES, 5, 0])
@pytest.mark.parametrize("time_in_force", [*TIMES[LIMIT], 5, 9])
def test_types_and_times_in_force(ord_type: int, time_in_force: int) -> None:
    phase = Phase.OPENING_AUCTION if time_in_force == OPG else Phase.CONTINUOUS
    expected = "" if time_in_force in TIMES.get(ord_type, ()) else "UNSUPPORTED_TIME_IN_FORCE"
    assert refusal(sound(ord_type, time_in_force), phase) == (expected if ord_type in TIMES else "UNSUPPORTED_ORD_TYPE")


@pytest.mark.parametrize("ord_type", TIMES)
@pytest.mark.parametrize("phase", Phase)
def test_which_phase_takes_which_orders(ord_type: int, phase: Phase) -> None:
    for time_in_force in TIMES[ord_type]:
        if phase in (Phase.CLOSED, Phase.POST_CLOSE, Phase.HALTED):
            expected = "INSTRUMENT_HALTED" if phase == Phase.HALTED else "NOT_IN_THIS_PHASE"
        elif time_in_force == OPG:
            expected = "" if phase in (Phase.PRE_OPEN, Phase.OPENING_AUCTION) else "NOT_IN_THIS_PHASE"
        else:
            must_wait = phase != Phase.CONTINUOUS and time_in_force in (IOC, FOK) and ord_type != STOP_LIMIT
            expected = "NOT_IN_THIS_PHASE" if must_wait else ""
        assert refusal(sound(ord_type, time_in_force), phase) == expected


@pytest.mark.parametrize("conditions", [Conditions(min_qty=5), Conditions(exec_inst=6)])
def test_what_must_trade_at_once_or_must_not_is_for_continuous_trading(conditions: Conditions) -> None:
    assert refusal(new(BUY, 10, 900, conditions=conditions), Phase.QUOTE_ONLY) == "NOT_IN_THIS_PHASE"


STOPS_AT = Conditions(stop_price=2_000)
GOOD_PEG = Conditions(peg=PRIMARY, peg_offset=-7)


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("PRICE_OUT_OF_RANGE", sound(STOP_LIMIT, DAY, price=0)),
        ("PRICE_OUT_OF_RANGE", sound(STOP, DAY, price=900)),
        ("PRICE_OUT_OF_RANGE", sound(LEFTOVER, DAY, price=900)),
        ("PRICE_OUT_OF_RANGE", sound(PEGGED, DAY, price=MAX_PRICE + 10)),
        ("PRICE_NOT_ON_TICK", sound(PEGGED, DAY, price=905)),
        ("QUANTITY_OUT_OF_RANGE", sound(PEGGED, DAY, quantity=MAX_QUANTITY + 1)),
        ("QUANTITY_NOT_ON_LOT", sound(STOP, DAY, quantity=7)),
        ("UNSUPPORTED_INSTRUCTION", new(BUY, 10, 900, conditions=Conditions(exec_inst=1))),
        ("UNSUPPORTED_INSTRUCTION", new(BUY, 10, 900, time_in_force=IOC, conditions=Conditions(exec_inst=6))),
        ("UNSUPPORTED_INSTRUCTION", new(BUY, 10, 0, ord_type=MARKET, conditions=Conditions(exec_inst=6))),
        ("BAD_STOP_PRICE", new(BUY, 10, 900, conditions=STOPS_AT)),
        ("BAD_STOP_PRICE", sound(STOP, DAY, conditions=None)),
        ("BAD_STOP_PRICE", sound(STOP, DAY, conditions=Conditions(stop_price=2_005))),
        ("BAD_STOP_PRICE", sound(STOP_LIMIT, DAY, conditions=Conditions(stop_price=MAX_PRICE + 10))),
        ("BAD_DISPLAY_QUANTITY", new(BUY, 10, 900, conditions=Conditions(display_qty=10))),
        ("BAD_DISPLAY_QUANTITY", new(BUY, 10, 900, conditions=Conditions(display_qty=3))),
        ("BAD_DISPLAY_QUANTITY", new(BUY, 10, 900, time_in_force=IOC, conditions=Conditions(display_qty=5))),
        ("BAD_DISPLAY_QUANTITY", sound(STOP, DAY, conditions=Conditions(stop_price=2_000, display_qty=5))),
        ("BAD_MINIMUM_QUANTITY", new(BUY, 10, 900, conditions=Conditions(min_qty=15))),
        ("BAD_MINIMUM_QUANTITY", new(BUY, 10, 900, conditions=Conditions(min_qty=3))),
        ("BAD_MINIMUM_QUANTITY", new(BUY, 10, 900, time_in_force=FOK, conditions=Conditions(min_qty=5))),
        ("BAD_MINIMUM_QUANTITY", new(BUY, 10, 900, time_in_force=ATC, conditions=Conditions(min_qty=5))),
        ("BAD_MINIMUM_QUANTITY", sound(STOP, DAY, conditions=Conditions(stop_price=2_000, min_qty=5))),
        ("BAD_MINIMUM_QUANTITY", sound(PEGGED, DAY, conditions=Conditions(peg=PRIMARY, min_qty=5))),
        ("BAD_PEG", sound(PEGGED, DAY, conditions=None)),
        ("BAD_PEG", sound(PEGGED, DAY, conditions=Conditions(peg=1))),
        ("BAD_PEG", sound(PEGGED, DAY, conditions=Conditions(peg=int(Peg.MIDPOINT), peg_offset=10))),
        ("BAD_PEG", sound(PEGGED, DAY, conditions=Conditions(peg=PRIMARY, display_qty=5))),
        ("BAD_PEG", new(BUY, 10, 900, conditions=Conditions(peg=PRIMARY))),
        ("BAD_PEG", new(BUY, 10, 900, conditions=Conditions(peg_offset=10))),
        ("", sound(PEGGED, DAY, conditions=GOOD_PEG)),
        ("BAD_EXPIRE_TIME", sound(LIMIT, GTD, conditions=None)),
        ("BAD_EXPIRE_TIME", sound(LIMIT, GTD, conditions=Conditions(expire_at=NOON))),
        ("BAD_EXPIRE_TIME", sound(LIMIT, GTC, conditions=Conditions(expire_at=NOON + 1))),
        ("QUANTITY_ABOVE_MAXIMUM", new(BUY, 1_005, 10)),
        ("VALUE_ABOVE_MAXIMUM", new(BUY, 1_000, 1_010)),
        ("VALUE_ABOVE_MAXIMUM", new(BUY, 1_000, 1_010, conditions=Conditions(exec_inst=6))),
        ("WOULD_TRADE", new(BUY, 10, 1_000, conditions=Conditions(exec_inst=6))),
        ("", new(BUY, 10, 990, conditions=Conditions(exec_inst=6))),
        ("", new(BUY, 10, 990, conditions=Conditions())),
    ],
)
def test_what_an_order_asks_for(reason: str, command: NewOrder) -> None:
    assert refusal(command) == reason


def test_the_first_reason_that_holds_is_given() -> None:
    wrong = Conditions(9, 99, 99, 9, 9, 9, 9)
    order = {"instrument_id": 2, "time_in_force": 99, "ord_type": 99, "conditions": wrong, "expires_at": 1}
    engine = Engine(1)
    [event] = engine.apply(new(9, 0, 0, **order), 2, 1)
    assert isinstance(event, OrderRejected)
    assert event.reason == RejectReason.COMMAND_EXPIRED
    expected = [
        ("expires_at", 0, "UNKNOWN_INSTRUMENT"),
        ("instrument_id", 1, "UNSUPPORTED_SIDE"),
        ("side", BUY, "UNSUPPORTED_ORD_TYPE"),
        ("ord_type", LIMIT, "UNSUPPORTED_TIME_IN_FORCE"),
        ("time_in_force", DAY, "PRICE_OUT_OF_RANGE"),
        ("price", 990, "QUANTITY_OUT_OF_RANGE"),
        ("quantity", 2_005, "UNSUPPORTED_INSTRUCTION"),
        ("conditions", Conditions(9, 9_999, 9_999, 0, 9, 9, 9), "BAD_STOP_PRICE"),
        ("conditions", Conditions(0, 9_999, 9_999, 0, 0, 9, 9), "BAD_DISPLAY_QUANTITY"),
        ("conditions", Conditions(0, 0, 9_999, 0, 9, 9, 9), "BAD_MINIMUM_QUANTITY"),
        ("conditions", Conditions(0, 0, 0, 0, 9, 9, 9), "BAD_PEG"),
        ("conditions", Conditions(0, 0, 0, 0, 0, 0, 9), "BAD_EXPIRE_TIME"),
        ("conditions", Conditions(), "QUANTITY_ABOVE_MAXIMUM"),
        ("quantity", 10, ""),
    ]
    order |= {"side": 9, "price": 0, "quantity": 0}
    for field, value, reason in expected:
        order[field] = value
        assert refusal(new(**order)) == reason  # type: ignore[arg-type]
