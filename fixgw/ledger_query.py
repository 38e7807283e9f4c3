"""``fixgw ledger``: a participant's fills, orders and their history over all days, out of the ledger's database.

It reads the file and asks nobody, so the exchange need not run. What is shown is as of the places in the streams that
stand below the table: the ledger is a reader, and may be a moment behind. A trade that was undone is shown as busted.
"""

import argparse
import json
import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date
from enum import IntEnum
from typing import Final, NamedTuple

from fixgw.config import Config
from fixgw.ledger_file import LedgerFailed, read_back, read_ledger
from fixgw.query_tables import Names, Row, conditions_row, fill_row, named, order_row, price, printable, table
from fixgw.reports import format_average
from fixgw.timestamps import format_timestamp
from matching import ledger
from matching.codes import CancelReason, OrdStatus, OrdType, RejectReason, RestatementReason, Side, TimeInForce
from matching.commands import Conditions
from matching.events import OrderTerms
from matching.queries import Fill, OrderStatus

_REASONS: Final[dict[str, type[IntEnum]]] = {
    ledger.CANCELED: CancelReason,
    ledger.RESTATED: RestatementReason,
    ledger.REJECTED: RejectReason,
    ledger.CANCEL_REJECTED: RejectReason,
    ledger.REPLACE_REJECTED: RejectReason,
    ledger.MASS_CANCEL_REJECTED: RejectReason,
}

_SIDES: Final = {int(side): side.name for side in Side}

_OF_ORDERS: Final = ", ".join(f"'{event}'" for event in ledger.OF_ORDERS)

_IN_ORDER: Final = "ORDER BY timestamp, shard_id, seq, part"

#: The trades of a participant, and whether each was undone.
_FILLS: Final = f"""
SELECT *, EXISTS (
    SELECT 1 FROM history AS undone
    WHERE undone.match_number = history.match_number AND undone.match_number != 0
    AND undone.event = '{ledger.TRADE_CANCEL}'
) AS busted
FROM history WHERE event = '{ledger.TRADE}' AND {{where}} {_IN_ORDER}
"""
_HISTORY: Final = f"SELECT * FROM history WHERE {{where}} {_IN_ORDER}"
#: The last row of each order that something happened to.
_ORDERS: Final = f"""
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY order_id ORDER BY seq DESC, part DESC) AS newest FROM history
    WHERE order_id IN (SELECT order_id FROM history WHERE order_id != 0 AND {{where}}) AND event IN ({_OF_ORDERS})
) WHERE newest = 1 ORDER BY order_id
"""


class Question(NamedTuple):
    """Of whom, and within what."""

    participant_id: int
    day: int | None
    instrument_id: int | None

    def where(self) -> tuple[str, list[int]]:
        """A condition of SQL and its parameters."""
        conditions = {"participant_id": self.participant_id, "day": self.day, "instrument_id": self.instrument_id}
        given = {name: value for name, value in conditions.items() if value is not None}
        return " AND ".join(f"{name} = ?" for name in given), list(given.values())


def _conditions(row: sqlite3.Row) -> Conditions:
    return Conditions(
        row["stop_price"],
        row["display_qty"],
        row["min_qty"],
        row["exec_inst"],
        row["peg"],
        row["peg_offset"],
        read_back(row["expire_at"]),
    )


def _terms(row: sqlite3.Row) -> OrderTerms:
    """The order's, as they were when the row was written."""
    conditions = _conditions(row)
    canceled_by_request = row["event"] == ledger.CANCELED and row["orig_cl_ord_id"]
    cl_ord_id = row["orig_cl_ord_id"] if canceled_by_request else row["cl_ord_id"]
    return OrderTerms(
        read_back(row["order_id"]),
        row["participant_id"],
        row["session_id"],
        row["instrument_id"],
        row["side"],
        row["ord_type"],
        row["time_in_force"],
        row["price"],
        row["order_qty"],
        cl_ord_id.encode("latin-1"),
        row["account"].encode("latin-1"),
        conditions if conditions != Conditions() else None,
    )


class Book:
    """The rows of one ledger, as `fixgw query` shows such rows."""

    def __init__(self, config: Config, db: sqlite3.Connection) -> None:
        self._db = db
        self._names = Names(config)
        self._shards = {shard.id: shard.name for shard in config.shards}
        self._sessions = {each.id: each.sender_comp_id for each in config.sessions}
        self._symbols = {each.id: each.symbol for each in config.instruments}

    def _place(self, row: sqlite3.Row) -> Row:
        return {"day": row["day"], "shard": self._shards.get(row["shard_id"], str(row["shard_id"]))}

    def _rows(self, statement: str, question: Question) -> Iterator[sqlite3.Row]:
        where, parameters = question.where()
        with closing(self._db.execute(statement.format(where=where), parameters)) as cursor:
            yield from cursor

    def fills(self, question: Question) -> list[Row]:
        found = []
        for row in self._rows(_FILLS, question):
            fill = Fill(
                read_back(row["match_number"]),
                read_back(row["timestamp"]),
                row["last_px"],
                row["last_qty"],
                _terms(row),
                row["liquidity"] == ledger.ADDED,
                row["liquidity"] == ledger.AUCTION,
                bool(row["busted"]),
            )
            found.append({**self._place(row), **fill_row(self._names, fill)})
        return found

    def orders(self, question: Question) -> list[Row]:
        found = []
        for row in self._rows(_ORDERS, question):
            status = OrderStatus(
                _terms(row), row["ord_status"], row["leaves_qty"], row["cum_qty"], read_back(row["cum_notional"])
            )
            found.append({**self._place(row), **order_row(self._names, status)})
        return found

    def history(self, question: Question) -> list[Row]:
        found = []
        for row in self._rows(_HISTORY, question):
            of_order = row["event"] in ledger.OF_ORDERS
            trade = row["match_number"] != 0
            shown: Row = {
                **self._place(row),
                "time": format_timestamp(read_back(row["timestamp"])).decode(),
                "seq": row["seq"],
                "event": row["event"],
                "order_id": read_back(row["order_id"]),
                "cl_ord_id": printable(row["cl_ord_id"].encode("latin-1")),
                "orig_cl_ord_id": printable(row["orig_cl_ord_id"].encode("latin-1")),
                "session": self._sessions.get(row["session_id"], str(row["session_id"])),
                "symbol": self._symbols.get(row["instrument_id"], str(row["instrument_id"] or "")),
                "side": _SIDES.get(row["side"], ""),
                "type": named(OrdType, row["ord_type"]) if of_order else "",
                "price": price(row["price"]) if row["price"] else "",
                "time_in_force": named(TimeInForce, row["time_in_force"]) if of_order else "",
                "order_qty": row["order_qty"] if of_order else "",
                "match_number": read_back(row["match_number"]) if trade else "",
                "last_qty": row["last_qty"] if trade else "",
                "last_px": price(row["last_px"]) if trade else "",
                "cum_qty": row["cum_qty"] if of_order else "",
                "leaves_qty": row["leaves_qty"] if of_order else "",
                "avg_px": format_average(read_back(row["cum_notional"]), row["cum_qty"]).decode() if of_order else "",
                "status": OrdStatus(row["ord_status"]).name if row["ord_status"] else "",
                "reason": _reason(row["event"], row["reason"]),
                **conditions_row(_conditions(row)),
            }
            found.append(shown)
        return found

    def places(self) -> dict[str, int]:
        """By shard: the last message that is in the ledger."""
        rows = self._db.execute("SELECT shard_id, next_seq FROM positions ORDER BY shard_id")
        return {self._shards.get(row["shard_id"], str(row["shard_id"])): row["next_seq"] - 1 for row in rows}


def _reason(event: str, reason: int) -> str:
    codes = _REASONS.get(event)
    return named(codes, reason) if codes is not None else ""


def parse_day(text: str) -> int:
    """20251121 or 2025-11-21 as the number of a day. Raises ValueError."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or re.fullmatch(r"\d{8}|\d{4}-\d\d-\d\d", text) is None:  # it would also take weeks
        raise ValueError(f"{text!r} is no day: write it as 2025-11-21")
    return day.year * 10_000 + day.month * 100 + day.day


def question_of(config: Config, options: argparse.Namespace) -> Question:
    """Raises LookupError for a name that is not in the configuration, ValueError for what is no day."""
    instrument_id = None
    if options.symbol is not None:
        instruments = {each.symbol: each.id for each in config.instruments}
        if options.symbol not in instruments:
            raise LookupError(f"no instrument is called {options.symbol!r}; there are: {', '.join(instruments)}")
        instrument_id = instruments[options.symbol]
    day = parse_day(options.day) if options.day is not None else None
    return Question(config.participant(options.participant).id, day, instrument_id)


def _name(config: Config, name: str | None) -> str:
    """The ledger that is meant: the first when none is said. Raises LookupError."""
    if name is None and not config.ledgers:
        raise LookupError("the configuration has no ledger: add ledgers: [{name: l1}]")
    return config.ledgers[0].name if name is None else config.ledger(name).name


def show(rows: Sequence[Row], places: dict[str, int], *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"rows": list(rows), "up_to_seq": places}, indent=2)
    up_to = ", ".join(f"{shard} up to message {seq}" for shard, seq in places.items()) or "it has read nothing yet"
    return f"{table(rows)}\n\n{up_to}"


def query(config: Config, options: argparse.Namespace) -> int:
    """Read, and print. Returns the exit code."""
    try:
        question = question_of(config, options)
        with read_ledger(config.directory("ledger", _name(config, options.ledger))) as db:
            db.execute("BEGIN")  # one moment for all that is read
            book = Book(config, db)
            read = {"fills": book.fills, "orders": book.orders, "history": book.history}[options.what]
            text = show(read(question), book.places(), as_json=options.json)
    except (LookupError, ValueError, LedgerFailed) as error:
        print(f"fixgw: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0
