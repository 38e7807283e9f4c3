"""DayOrderQty(424), DayCumQty(425) and DayAvgPx(426) are not sent; a broker has them from what is."""

from decimal import Decimal

import pytest

from fixgw import tags
from matching.commands import EndDay, StartDay
from tests.fixgw.engagement import V42, V44, Stage


@pytest.mark.parametrize("version", [V42, V44])
def test_the_days_figures_follow_from_the_report_of_the_renewal(version: str) -> None:
    stage = Stage(version).log_on()
    stage.order("a1", 2, 300, "10.00", "59=1|")
    stage.counter("b1", "buy", 100, "10.00")
    stage.operate(EndDay(20261122))
    stage.operate(StartDay(20261123, b"2611230001", stage.venue.now))
    stage.counter("b2", "buy", 50, "10.00")
    reports = [fields for fields in stage.amber.reports() if fields.get(tags.OrderID, b"NONE") != b"NONE"]
    renewed = next(fields for fields in reports if fields.get(tags.ExecRestatementReason) == b"1")
    last = reports[-1]

    day_cum_qty = int(last[tags.CumQty]) - int(renewed[tags.CumQty])
    paid = int(last[tags.CumQty]) * Decimal(last[tags.AvgPx].decode())
    paid -= int(renewed[tags.CumQty]) * Decimal(renewed[tags.AvgPx].decode())
    assert (int(renewed[tags.LeavesQty]), day_cum_qty, paid / day_cum_qty) == (200, 50, Decimal(10))
    assert not {424, 425, 426} & {tag for fields in reports for tag in fields}
