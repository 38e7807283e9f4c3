"""Thousands who wait and of whom there is nothing to say: no transaction looks at more of them than it may."""

from matching import advance, day, phases
from matching.codes import Phase
from matching.commands import Conditions, SetPhase
from matching.events import OrderExpired
from tests.matching.sitting import ATC, BUY, GFA, GTC, GTD, NOON, SECOND, SELL, Sitting, kinds

MANY = 5_000


def opened() -> Sitting:
    sitting = Sitting()
    sitting.start_day()
    return sitting


def transactions(sitting: Sitting, before: int) -> int:
    return sitting.transactions - before


def test_parked_orders_join_an_auction_in_parts() -> None:
    assert phases.MAX_LOOKED_AT < MANY
    sitting = opened()
    for number in range(MANY):
        sitting.order(SELL, 1, 100 + number % 3, (GFA, ATC)[number % 2])
    before, sitting.restored = sitting.transactions, True
    assert kinds(sitting(SetPhase(1, Phase.OPENING_AUCTION, b""))) == ["PhaseChanged", "TradingStateChanged"]
    assert transactions(sitting, before) == 2
    instrument = sitting.engine.instruments()[0]
    assert sum(1 for _ in instrument.book.asks.orders()) == MANY // 2
    assert [order.terms.order_id for order in instrument.parked.orders()] == sorted(
        order.terms.order_id for order in instrument.parked.orders()
    )
    assert {order.terms.time_in_force for order in instrument.parked.orders()} == {ATC}


def test_a_day_ends_in_parts_where_most_orders_live_on() -> None:
    assert day.MAX_LOOKED_AT < MANY
    sitting = opened()
    for _ in range(MANY):
        sitting.order(BUY, 1, 100, GTC)
    sitting.order(BUY, 1, 100)
    before, sitting.restored = sitting.transactions, True
    events = sitting.end_day()
    assert [event.terms.cl_ord_id for event in events if isinstance(event, OrderExpired)] == [b"o%d" % (MANY + 1)]
    assert transactions(sitting, before) == 2


def test_reminders_that_came_to_nothing_are_dropped_in_parts() -> None:
    assert advance.MAX_LOOKED_AT < MANY
    sitting = opened()
    for number in range(1, MANY + 1):
        sitting.order(BUY, 1, 100, GTD, Conditions(expire_at=NOON + SECOND))
        sitting.cancel(number, BUY)
    sitting.order(BUY, 1, 100, GTD, Conditions(expire_at=NOON + SECOND))
    before, sitting.restored = sitting.transactions, True
    assert kinds(sitting.advance(1)) == ["OrderExpired"]
    assert transactions(sitting, before) == 2
    assert sitting.engine.next_due() is None
