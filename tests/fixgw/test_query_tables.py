"""Rows of what a shard answered: what few orders ask for besides, and tables whose rows are not alike."""

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from fixgw.query import Found, as_json
from fixgw.query_tables import Names, Row, order_row, table
from matching.codes import ExecInst, OrdStatus, OrdType, Peg, Side, TimeInForce
from matching.commands import Conditions
from matching.events import OrderTerms
from matching.queries import OrderStatus

if TYPE_CHECKING:
    from fixgw.config import Config

NOBODY = cast("Config", SimpleNamespace(instruments=(), sessions=(), participants=(), shard=lambda _: NOBODY, mode="x"))
COLUMNS = (
    *("order_id", "cl_ord_id", "participant", "session", "symbol", "side", "type", "price", "time_in_force"),
    *("order_qty", "leaves_qty", "cum_qty", "avg_px", "status"),
)


def row(conditions: Conditions | None) -> Row:
    terms = OrderTerms(
        7, 1, 1, 1, Side.BUY, OrdType.LIMIT, TimeInForce.GOOD_TILL_DATE, 100_000, 300, b"a1", b"", conditions
    )
    return order_row(Names(NOBODY), OrderStatus(terms, OrdStatus.NEW, 300, 0, 0))


def test_an_order_without_conditions_says_nothing_of_them() -> None:
    assert tuple(row(None)) == COLUMNS
    assert tuple(row(Conditions())) == COLUMNS


@pytest.mark.parametrize(
    ("conditions", "shown"),
    [
        (Conditions(stop_price=99_000), {"stop_price": "9.90"}),
        (Conditions(display_qty=100), {"display_qty": 100}),
        (Conditions(min_qty=200), {"min_qty": 200}),
        (Conditions(exec_inst=ExecInst.POST_ONLY), {"exec_inst": "POST_ONLY"}),
        (Conditions(peg=Peg.MIDPOINT), {"peg": "MIDPOINT"}),
        (Conditions(peg=Peg.PRIMARY, peg_offset=-100), {"peg": "PRIMARY", "peg_offset": "-0.01"}),
        (Conditions(expire_at=1_795_000_000_123_000_000), {"expires_at": "20261118-11:06:40.123"}),
    ],
)
def test_each_condition_is_shown_after_the_rest(conditions: Conditions, shown: Row) -> None:
    found = row(conditions)
    assert list(found.items())[len(COLUMNS) :] == list(shown.items())
    answered = json.loads(as_json(NOBODY, [Found("s1", 9, [found])]))["shards"]
    assert answered[0]["rows"] == [found], "programs are told the same"


def test_a_table_has_a_column_for_what_any_row_has() -> None:
    rows: list[Row] = [{"id": 1}, {"id": 20, "peg_offset": "-0.01", "peg": "PRIMARY"}, {"id": 3, "min_qty": 5}]
    assert table(rows).splitlines() == [
        "id  peg_offset  peg      min_qty",
        "--  ----------  -------  -------",
        " 1",
        "20       -0.01  PRIMARY",
        " 3                             5",
    ]
