"""What a shard answered as rows, the same for people and for programs: one dictionary each, from a column to its value.

Prices are text such as 100.25, times UTCTimestamps, ids and quantities numbers. What few orders have (`conditions_row`)
stands in the rows that have it. A broker's own text (ClOrdID) is shown with what is not printable escaped: it goes to a
terminal.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final

from fixgw.config import Config
from fixgw.reports import format_average, format_offset, format_price
from fixgw.timestamps import format_timestamp
from matching.codes import ExecInst, OrdStatus, OrdType, Peg, Phase, Side, TimeInForce, TradingState
from matching.commands import Conditions
from matching.events import OrderTerms
from matching.queries import BookFound, DigestFound, Fill, OrderStatus
from recovery.service_frames import Position

Row = dict[str, str | int]

PRICES: Final = frozenset({"price", "avg_px", "bid", "ask", "stop_price", "peg_offset"})
"""Columns of text that is a number."""


class Names:
    """What ids are called in the configuration; an id that is not in it stays a number."""

    def __init__(self, config: Config) -> None:
        self._symbols = {each.id: each.symbol for each in config.instruments}
        self._sessions = {each.id: each.sender_comp_id for each in config.sessions}
        self._participants = {each.id: each.name for each in config.participants}

    def of_order(self, terms: OrderTerms) -> Row:
        return {
            "order_id": terms.order_id,
            "cl_ord_id": printable(terms.cl_ord_id),
            "participant": self._participants.get(terms.participant_id, str(terms.participant_id)),
            "session": self._sessions.get(terms.session_id, str(terms.session_id)),
            "symbol": self._symbols.get(terms.instrument_id, str(terms.instrument_id)),
            "side": Side(terms.side).name,
        }


def order_row(names: Names, status: OrderStatus) -> Row:
    terms = status.terms
    return {
        **names.of_order(terms),
        "type": OrdType(terms.ord_type).name,
        "price": price(terms.price) if terms.price else "",
        "time_in_force": TimeInForce(terms.time_in_force).name,
        "order_qty": terms.order_qty,
        "leaves_qty": status.leaves_qty,
        "cum_qty": status.cum_qty,
        "avg_px": format_average(status.cum_notional, status.cum_qty).decode(),
        "status": OrdStatus(status.ord_status).name,
        **(conditions_row(terms.conditions) if terms.conditions is not None else {}),
    }


def conditions_row(conditions: Conditions) -> Row:
    """What the order asks for besides, and nothing of what it does not."""
    row: Row = {
        "stop_price": price(conditions.stop_price) if conditions.stop_price else "",
        "display_qty": conditions.display_qty,
        "min_qty": conditions.min_qty,
        "exec_inst": named(ExecInst, conditions.exec_inst) if conditions.exec_inst else "",
        "peg": named(Peg, conditions.peg) if conditions.peg else "",
        "peg_offset": format_offset(conditions.peg_offset).decode() if conditions.peg_offset else "",
        "expires_at": format_timestamp(conditions.expire_at).decode() if conditions.expire_at else "",
    }
    return {name: value for name, value in row.items() if value}


def fill_row(names: Names, fill: Fill) -> Row:
    return {
        "match_number": fill.match_number,
        "time": format_timestamp(fill.timestamp).decode(),
        "price": price(fill.price),
        "quantity": fill.quantity,
        "liquidity": "AUCTION" if fill.auction else "ADDED" if fill.resting else "REMOVED",
        "busted": "BUSTED" if fill.busted else "",
        **names.of_order(fill.terms),
    }


def book_rows(book: BookFound) -> list[Row]:
    """One row per level, the best first: bids on the left, asks on the right."""
    rows: list[Row] = []
    for at in range(max(len(book.bids), len(book.asks))):
        row: Row = dict.fromkeys(("bid_orders", "bid_qty", "bid", "ask", "ask_qty", "ask_orders"), "")
        if at < len(book.bids):
            bid = book.bids[at]
            row |= {"bid_orders": bid.orders, "bid_qty": bid.quantity, "bid": price(bid.price)}
        if at < len(book.asks):
            ask = book.asks[at]
            row |= {"ask": price(ask.price), "ask_qty": ask.quantity, "ask_orders": ask.orders}
        rows.append(row)
    return rows


def trading_state(book: BookFound) -> str:
    """What the public is told, and the phase behind it where that says more."""
    state, phase = TradingState(book.state).name, Phase(book.phase).name
    return state if phase in (state, "CONTINUOUS") else f"{state}, {phase}"


def digest_row(found: DigestFound) -> Row:
    return {
        "digest": f"{found.digest:08x}",
        "day": found.day,
        "open_orders": found.open_orders,
        "last_order_id": found.last_order_id,
        "last_match_number": found.last_match_number,
    }


def position_row(replica_id: int, position: Position | str) -> Row:
    """A replica that does not say where it is says why."""
    if isinstance(position, str):
        unknown: Row = dict.fromkeys(("epoch", "complete", "safe_tx", "commit_tx"), "")
        return {"replica": replica_id, "role": position, **unknown}
    return {
        "replica": replica_id,
        "role": position.role.value + (", recovering" if position.recovering else ""),
        "epoch": position.epoch,
        "complete": position.complete_epoch,
        "safe_tx": position.safe_tx,
        "commit_tx": position.commit_tx,
    }


def named(codes: type[IntEnum], code: int) -> str:
    """What a code is called; one that nobody has, of a request that was refused for it, stays a number."""
    try:
        return codes(code).name
    except ValueError:
        return str(code)


def price(price: int) -> str:
    return format_price(price).decode()


def printable(text: bytes) -> str:
    return text.decode("latin-1").encode("unicode_escape").decode("ascii")


def table(rows: Iterable[Mapping[str, str | int]]) -> str:
    """A column for each name that any row has, in the order in which they come."""
    rows = list(rows)
    if not rows:
        return "nothing"
    names = dict.fromkeys(name for row in rows for name in row)
    rows = [{name: row.get(name, "") for name in names} for row in rows]
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in names}
    right = {name for name in names if name in PRICES or any(isinstance(row[name], int) for row in rows)}
    lines = [{name: name for name in widths}, {name: "-" * width for name, width in widths.items()}, *rows]
    return "\n".join(
        "  ".join(f"{row[name]!s:{'>' if name in right else '<'}{width}}" for name, width in widths.items()).rstrip()
        for row in lines
    )
