"""`fixgw ledger`: a firm's fills, orders and history out of the file, as tables and for programs."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fixgw import cli
from fixgw.config import Config, load
from fixgw.ledger_file import Batch, Entry, LedgerFile, open_ledger
from fixgw.ledger_query import parse_day
from matching import events, ledger
from matching.codes import CancelReason, OrdStatus, OrdType, RejectReason, RestatementReason, Side, TimeInForce
from matching.commands import Conditions
from recovery.record import Position
from tests.venue import Venue

DAY, NEXT_DAY = 20251121, 20251122
NOON = 1_763_726_400_000_000_000
SHARD = 1
ALPHA, BETA = 1, 2

Show = Callable[..., list[dict[str, Any]]]


def terms(order_id: int, firm: int, side: Side, quantity: int, **other: Any) -> events.OrderTerms:
    given: dict[str, Any] = {
        "instrument_id": ALPHA,
        "ord_type": OrdType.LIMIT,
        "time_in_force": TimeInForce.GOOD_TILL_CANCEL,
        "price": 100_2500,
        "cl_ord_id": b"C%d" % order_id,
    } | other
    return events.OrderTerms(
        order_id,
        firm,
        firm,
        given["instrument_id"],
        side,
        given["ord_type"],
        given["time_in_force"],
        given["price"],
        quantity,
        given["cl_ord_id"],
        b"",
        given.get("conditions"),
    )


SELL = terms(11, 1, Side.SELL, 300)
BUY = terms(12, 2, Side.BUY, 100)
OTHER = terms(13, 1, Side.BUY, 50, instrument_id=BETA)
STOP = terms(14, 1, Side.BUY, 70, ord_type=OrdType.STOP, price=0, instrument_id=BETA, conditions=Conditions(101_0000))

#: (day, event), each at a number of its own.
STREAM: Sequence[tuple[int, events.Event]] = (
    (DAY, events.OrderAccepted(SELL, 1)),
    (DAY, events.OrderAccepted(BUY, 1)),
    (DAY, events.OrderExecuted(91, 100_2500, 100, SELL, 5, 2, 100, 200, 100_250_000, BUY, 2, 100, 0, 100_250_000)),
    (DAY, events.OrderAccepted(OTHER, 3)),
    (DAY, events.OrderCanceled(OTHER, b"X1", 6, 50, CancelReason.REQUESTED, 4, 0, 0)),
    (DAY, events.CancelRejected(1, 1, 5, 13, b"X2", b"C13", 1, RejectReason.TOO_LATE, OrdStatus.CANCELED)),
    (DAY, events.OrderRejected(terms(0, 1, Side.BUY, 10, cl_ord_id=b"R\x1b1"), 6, RejectReason.PRICE_NOT_ON_TICK)),
    (NEXT_DAY, events.OrderRestated(SELL, 5, 0, RestatementReason.GT_RENEWAL, 7, 100, 200, 100_250_000)),
    (NEXT_DAY, events.OrderAccepted(STOP, 8)),
    (NEXT_DAY, events.MassCancelDone(1, 1, 9, b"M1", 1, 0, 0, 0)),
)
BUST = events.TradeBusted(91, 100_2500, 100, SELL, 10, 0, 200, 0, BUY, 3, 0, 0, 0)


def write(file: LedgerFile, happened: Sequence[tuple[int, events.Event]], first: int = 1) -> None:
    entries = [
        Entry(seq, day, NOON + seq, row)
        for seq, (day, event) in enumerate(happened, start=first)
        for row in ledger.rows(event)
    ]
    file.write([Batch(SHARD, entries, (), Position(first + len(happened), 0), 1)])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(Venue(tmp_path / "venue", overrides={"ledgers": [{"name": "l1"}, {"name": "l2"}]}).file)


@pytest.fixture
def file(config: Config) -> Iterator[LedgerFile]:
    with open_ledger(config.directory("ledger", "l1"), "write") as opened:
        write(opened, STREAM)
        yield opened


@pytest.fixture
def show(tmp_path: Path, file: LedgerFile, capsys: pytest.CaptureFixture[str]) -> Show:
    """The rows that the command prints for programs."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        assert cli.main(["ledger", str(tmp_path / "venue" / "exchange.yaml"), *arguments, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["up_to_seq"]["s1"] >= len(STREAM)
        return list(shown["rows"])

    return run


def test_fills_of_both_sides(show: Show) -> None:
    (sold,) = show("fills", "FIRM1")
    assert sold == {
        "day": DAY,
        "shard": "s1",
        "match_number": 91,
        "time": "20251121-12:00:00.000",
        "price": "100.25",
        "quantity": 100,
        "liquidity": "ADDED",
        "busted": "",
        "order_id": 11,
        "cl_ord_id": "C11",
        "participant": "FIRM1",
        "session": "BROKER1",
        "symbol": "ALPHA",
        "side": "SELL",
    }
    (bought,) = show("fills", "FIRM2")
    assert (bought["liquidity"], bought["side"], bought["order_id"]) == ("REMOVED", "BUY", 12)
    assert show("fills", "FIRM3") == []


def test_a_trade_that_was_undone_is_marked_and_its_orders_have_other_figures(show: Show, file: LedgerFile) -> None:
    write(file, [(NEXT_DAY, BUST)], len(STREAM) + 1)
    assert [row["busted"] for row in show("fills", "FIRM1")] == ["BUSTED"]
    (bought,) = show("orders", "FIRM2")
    assert (bought["status"], bought["cum_qty"], bought["leaves_qty"]) == ("CANCELED", 0, 0)
    sold = show("orders", "FIRM1")[0]
    assert (sold["status"], sold["cum_qty"], sold["leaves_qty"]) == ("NEW", 0, 200)


def test_an_order_that_had_expired_is_canceled_when_a_trade_of_it_is_undone(show: Show, file: LedgerFile) -> None:
    expired = events.OrderExpired(SELL, 5, 200, 10, 100, 100_250_000)
    bust = events.TradeBusted(91, 100_2500, 100, SELL, 11, 0, 0, 0, BUY, 3, 0, 0, 0)
    write(file, [(NEXT_DAY, expired), (NEXT_DAY, bust)], len(STREAM) + 1)
    sold = show("orders", "FIRM1")[0]
    assert (sold["status"], sold["cum_qty"]) == ("CANCELED", 0)


def test_orders_are_as_they_are_now(show: Show) -> None:
    orders = {row["order_id"]: row for row in show("orders", "FIRM1")}
    assert sorted(orders) == [11, 13, 14]
    assert orders[11]["status"] == "PARTIALLY_FILLED"
    assert (orders[11]["day"], orders[11]["leaves_qty"], orders[11]["avg_px"]) == (NEXT_DAY, 200, "100.25")
    assert (orders[13]["status"], orders[13]["cl_ord_id"]) == ("CANCELED", "C13")
    assert (orders[14]["type"], orders[14]["status"]) == ("STOP", "NEW")


def test_history_is_everything_that_was_told(show: Show) -> None:
    history = show("history", "FIRM1")
    assert [(row["event"], row["reason"]) for row in history] == [
        ("NEW", ""),
        ("TRADE", ""),
        ("NEW", ""),
        ("CANCELED", "REQUESTED"),
        ("CANCEL_REJECTED", "TOO_LATE"),
        ("REJECTED", "PRICE_NOT_ON_TICK"),
        ("RESTATED", "GT_RENEWAL"),
        ("NEW", ""),
        ("MASS_CANCELED", ""),
    ]
    canceled = history[3]
    assert (canceled["cl_ord_id"], canceled["orig_cl_ord_id"], canceled["seq"]) == ("X1", "C13", 5)
    assert history[5]["cl_ord_id"] == "R\\x1b1"
    assert (history[4]["cum_qty"], history[4]["symbol"], history[4]["status"]) == ("", "", "CANCELED")


def test_history_shows_what_an_order_asked_for(show: Show, file: LedgerFile) -> None:
    """Also of one that was refused for a code that nobody has."""
    conditions = Conditions(99_0000, 5, peg=ord("?"))
    odd = terms(0, 1, Side.SELL, 10, ord_type=OrdType.STOP_LIMIT, time_in_force=77, conditions=conditions)
    rejected = events.OrderRejected(odd, 10, RejectReason.UNSUPPORTED_TIME_IN_FORCE)
    write(file, [(NEXT_DAY, rejected)], len(STREAM) + 1)
    asked = ("type", "price", "time_in_force", "stop_price", "display_qty", "peg")
    rows = {row["cl_ord_id"]: tuple(row.get(each, "-") for each in asked) for row in show("history", "FIRM1")}
    assert rows["C11"] == ("LIMIT", "100.25", "GOOD_TILL_CANCEL", "-", "-", "-")
    assert rows["X1"] == rows["C11"], "a cancel shows the order that it took away"
    assert rows["C14"] == ("STOP", "", "GOOD_TILL_CANCEL", "101.00", "-", "-")
    assert rows["C0"] == ("STOP_LIMIT", "100.25", "77", "99.00", 5, "63")
    assert rows["X2"] == rows["M1"] == ("", "", "", "-", "-", "-")


def test_a_day_and_a_symbol(show: Show) -> None:
    assert [row["event"] for row in show("history", "FIRM1", "--day", "2025-11-22")] == [
        "RESTATED",
        "NEW",
        "MASS_CANCELED",
    ]
    assert [row["order_id"] for row in show("orders", "FIRM1", "--day", "20251121", "--symbol", "BETA")] == [13]
    assert show("fills", "FIRM1", "--symbol", "BETA") == []


def test_people_see_a_table_and_how_far_it_goes(
    tmp_path: Path, file: LedgerFile, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["ledger", str(tmp_path / "venue" / "exchange.yaml")]
    assert cli.main([*arguments, "fills", "FIRM2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["day", "shard", "match_number", "time", "price"]
    assert lines[2].split()[:3] == [str(DAY), "s1", "91"]
    assert lines[-1] == f"s1 up to message {len(STREAM)}"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("fills", "NOBODY"), "no participant is named 'NOBODY'"),
        (("fills", "FIRM1", "--symbol", "IBM"), "no instrument is called 'IBM'"),
        (("fills", "FIRM1", "--day", "yesterday"), "'yesterday' is no day: write it as 2025-11-21"),
        (("fills", "FIRM1", "--ledger", "l9"), "no ledger is named 'l9'; there are: l1, l2"),
        (("fills", "FIRM1", "--ledger", "l2"), "there is no ledger: none has run from this file"),
    ],
)
def test_what_cannot_be_answered_is_told(
    tmp_path: Path,
    file: LedgerFile,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    what: str,
) -> None:
    assert cli.main(["ledger", str(tmp_path / "venue" / "exchange.yaml"), *arguments]) == 1
    assert what in capsys.readouterr().err


def test_a_configuration_without_a_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ledger", str(Venue(tmp_path / "venue").file), "fills", "FIRM1"]) == 1
    assert "the configuration has no ledger" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "day"), [("2025-11-21", 20251121), ("20251121", 20251121)])
def test_days(text: str, day: int) -> None:
    assert parse_day(text) == day


@pytest.mark.parametrize("text", ["today", "2025-11-31", "2025-13-01", "2025-W47-5", "20251121 "])
def test_what_is_no_day(text: str) -> None:
    with pytest.raises(ValueError, match="is no day: write it as 2025-11-21"):
        parse_day(text)
