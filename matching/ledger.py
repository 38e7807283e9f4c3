"""What a participant has been told by a shard, as rows for a ledger: one for each event and participant.

The idea: a ledger is a list to which the stream is the only author. A row says what one event means to one participant
and holds the figures as they are after it. All else is a question to this list: a participant's fills are its rows of
trades, an order's history is its rows in their order, and an order as it is now is the last of them. So nothing is ever
changed in a ledger, and what turns out not to be history is taken away from its end.

| event | rows |
|---|---|
| `OrderAccepted`, `OrderRejected`, `OrderTriggered`, `OrderRestated`, `OrderReduced`, `OrderReplaced`, `OrderCanceled`, `OrderExpired` | one |
| `OrderExecuted` | two `TRADE`: part 0 the resting side, part 1 the incoming |
| `AuctionExecuted` | two `TRADE`: part 0 the buyer, part 1 the seller |
| `TradeBusted` | two `TRADE_CANCEL`, as of an auction |
| `CancelRejected`, `MassCancelDone`, `MassCancelRejected` | one, of no figures |
| all others | none |

`participant_seq` counts a participant's rows of a shard from 1 without a hole: a ledger that holds 1..n holds
everything. What the operator's own commands report to nobody has the number 0 and no row.
"""  # noqa: E501 - a table's row is one line

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from matching import wire
from matching.codes import OrdStatus
from matching.commands import Conditions
from matching.events import (
    AuctionExecuted,
    CancelRejected,
    Event,
    MassCancelDone,
    MassCancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderTerms,
    OrderTriggered,
    TradeBusted,
)

NEW: Final = "NEW"
REJECTED: Final = "REJECTED"
TRADE: Final = "TRADE"
TRIGGERED: Final = "TRIGGERED"
RESTATED: Final = "RESTATED"
REPLACED: Final = "REPLACED"
CANCELED: Final = "CANCELED"
EXPIRED: Final = "EXPIRED"
TRADE_CANCEL: Final = "TRADE_CANCEL"
CANCEL_REJECTED: Final = "CANCEL_REJECTED"
REPLACE_REJECTED: Final = "REPLACE_REJECTED"
MASS_CANCELED: Final = "MASS_CANCELED"
MASS_CANCEL_REJECTED: Final = "MASS_CANCEL_REJECTED"

#: Of rows that show an order as it is after them.
OF_ORDERS: Final = (NEW, REJECTED, TRADE, TRIGGERED, RESTATED, REPLACED, CANCELED, EXPIRED, TRADE_CANCEL)

ADDED: Final = "ADDED"
REMOVED: Final = "REMOVED"
AUCTION: Final = "AUCTION"

_NO_CONDITIONS: Final = Conditions()
_TO_A_CANCEL: Final = 1


class Row(NamedTuple):
    """What an event means to one participant. 0, and an empty text, are nothing."""

    #: 1: the second of an event's two.
    part: int
    event: str
    participant_id: int
    participant_seq: int
    session_id: int
    #: 0: of no order.
    order_id: int
    cl_ord_id: bytes
    orig_cl_ord_id: bytes
    account: bytes
    instrument_id: int
    side: int
    ord_type: int
    time_in_force: int
    price: int
    order_qty: int
    stop_price: int
    display_qty: int
    min_qty: int
    exec_inst: int
    peg: int
    peg_offset: int
    expire_at: int
    #: Of a trade, or one that is undone.
    match_number: int
    last_px: int
    last_qty: int
    liquidity: str
    cum_qty: int
    leaves_qty: int
    cum_notional: int
    #: `OrdStatus`.
    ord_status: int
    #: `RejectReason`, `CancelReason` or `RestatementReason`, as the event has it.
    reason: int


def _row(
    event: str,
    terms: OrderTerms,
    participant_seq: int,
    cum_qty: int,
    leaves_qty: int,
    cum_notional: int,
    ord_status: int,
    *,
    part: int = 0,
    cl_ord_id: bytes | None = None,
    orig_cl_ord_id: bytes = b"",
    match_number: int = 0,
    last_px: int = 0,
    last_qty: int = 0,
    liquidity: str = "",
    reason: int = 0,
) -> Row:
    conditions = terms.conditions if terms.conditions is not None else _NO_CONDITIONS
    return Row(
        part,
        event,
        terms.participant_id,
        participant_seq,
        terms.session_id,
        terms.order_id,
        terms.cl_ord_id if cl_ord_id is None else cl_ord_id,
        orig_cl_ord_id,
        terms.account,
        terms.instrument_id,
        terms.side,
        terms.ord_type,
        terms.time_in_force,
        terms.price,
        terms.order_qty,
        conditions.stop_price,
        conditions.display_qty,
        conditions.min_qty,
        conditions.exec_inst,
        conditions.peg,
        conditions.peg_offset,
        conditions.expire_at,
        match_number,
        last_px,
        last_qty,
        liquidity,
        cum_qty,
        leaves_qty,
        cum_notional,
        ord_status,
        reason,
    )


def _open(cum_qty: int) -> int:
    return OrdStatus.PARTIALLY_FILLED if cum_qty else OrdStatus.NEW


def _order_accepted(event: OrderAccepted) -> list[Row]:
    return [_row(NEW, event.terms, event.participant_seq, 0, event.terms.order_qty, 0, OrdStatus.NEW)]


def _order_rejected(event: OrderRejected) -> list[Row]:
    return [_row(REJECTED, event.terms, event.participant_seq, 0, 0, 0, OrdStatus.REJECTED, reason=event.reason)]


def _order_triggered(event: OrderTriggered) -> list[Row]:
    return [
        _row(
            TRIGGERED,
            event.terms,
            event.participant_seq,
            event.cum_qty,
            event.leaves_qty,
            event.cum_notional,
            _open(event.cum_qty),
        )
    ]


def _order_restated(event: OrderRestated) -> list[Row]:
    return [
        _row(
            RESTATED,
            event.terms,
            event.participant_seq,
            event.cum_qty,
            event.leaves_qty,
            event.cum_notional,
            _open(event.cum_qty),
            reason=event.reason,
        )
    ]


def _order_replaced(event: OrderReduced | OrderReplaced) -> list[Row]:
    return [
        _row(
            REPLACED,
            event.terms,
            event.participant_seq,
            event.cum_qty,
            event.leaves_qty,
            event.cum_notional,
            _open(event.cum_qty),
            orig_cl_ord_id=event.orig_cl_ord_id,
        )
    ]


def _order_canceled(event: OrderCanceled) -> list[Row]:
    asked = event.cl_ord_id != event.terms.cl_ord_id
    return [
        _row(
            CANCELED,
            event.terms,
            event.participant_seq,
            event.cum_qty,
            0,
            event.cum_notional,
            OrdStatus.CANCELED,
            cl_ord_id=event.cl_ord_id,
            orig_cl_ord_id=event.terms.cl_ord_id if asked else b"",
            reason=event.reason,
        )
    ]


def _order_expired(event: OrderExpired) -> list[Row]:
    return [_row(EXPIRED, event.terms, event.participant_seq, event.cum_qty, 0, event.cum_notional, OrdStatus.EXPIRED)]


def _trade(
    part: int,
    event: OrderExecuted | AuctionExecuted,
    liquidity: str,
    terms: OrderTerms,
    participant_seq: int,
    cum_qty: int,
    leaves_qty: int,
    cum_notional: int,
) -> Row:
    return _row(
        TRADE,
        terms,
        participant_seq,
        cum_qty,
        leaves_qty,
        cum_notional,
        OrdStatus.PARTIALLY_FILLED if leaves_qty else OrdStatus.FILLED,
        part=part,
        match_number=event.match_number,
        last_px=event.price,
        last_qty=event.quantity,
        liquidity=liquidity,
    )


def _order_executed(event: OrderExecuted) -> list[Row]:
    return [
        _trade(
            0,
            event,
            ADDED,
            event.resting,
            event.resting_participant_seq,
            event.resting_cum_qty,
            event.resting_leaves_qty,
            event.resting_cum_notional,
        ),
        _trade(
            1,
            event,
            REMOVED,
            event.incoming,
            event.incoming_participant_seq,
            event.incoming_cum_qty,
            event.incoming_leaves_qty,
            event.incoming_cum_notional,
        ),
    ]


def _auction_executed(event: AuctionExecuted) -> list[Row]:
    return [
        _trade(
            0,
            event,
            AUCTION,
            event.buy,
            event.buy_participant_seq,
            event.buy_cum_qty,
            event.buy_leaves_qty,
            event.buy_cum_notional,
        ),
        _trade(
            1,
            event,
            AUCTION,
            event.sell,
            event.sell_participant_seq,
            event.sell_cum_qty,
            event.sell_leaves_qty,
            event.sell_cum_notional,
        ),
    ]


def _trade_busted(event: TradeBusted) -> list[Row]:
    sides = (
        (event.buy, event.buy_participant_seq, event.buy_cum_qty, event.buy_leaves_qty, event.buy_cum_notional),
        (event.sell, event.sell_participant_seq, event.sell_cum_qty, event.sell_leaves_qty, event.sell_cum_notional),
    )
    rows = []
    for part, (terms, participant_seq, cum_qty, leaves_qty, cum_notional) in enumerate(sides):
        rows.append(
            _row(
                TRADE_CANCEL,
                terms,
                participant_seq,
                cum_qty,
                leaves_qty,
                cum_notional,
                _open(cum_qty) if leaves_qty else OrdStatus.CANCELED,
                part=part,
                match_number=event.match_number,
                last_px=event.price,
                last_qty=event.quantity,
            )
        )
    return rows


def _cancel_rejected(event: CancelRejected) -> list[Row]:
    terms = OrderTerms(event.order_id, event.participant_id, event.session_id, 0, 0, 0, 0, 0, 0, event.cl_ord_id, b"")
    return [
        _row(
            CANCEL_REJECTED if event.response_to == _TO_A_CANCEL else REPLACE_REJECTED,
            terms,
            event.participant_seq,
            0,
            0,
            0,
            event.ord_status,
            orig_cl_ord_id=event.orig_cl_ord_id,
            reason=event.reason,
        )
    ]


def _mass_cancel(event: MassCancelDone | MassCancelRejected) -> list[Row]:
    if event.participant_seq == 0:
        return []
    done = isinstance(event, MassCancelDone)
    terms = OrderTerms(
        0,
        event.participant_id,
        event.session_id,
        event.instrument_id,
        event.side,
        0,
        0,
        0,
        0,
        event.cl_ord_id,
        b"",
    )
    return [
        _row(
            MASS_CANCELED if done else MASS_CANCEL_REJECTED,
            terms,
            event.participant_seq,
            0,
            0,
            0,
            0,
            reason=0 if isinstance(event, MassCancelDone) else event.reason,
        )
    ]


_ROWS: Final[dict[type, Callable[[Any], list[Row]]]] = {
    OrderAccepted: _order_accepted,
    OrderRejected: _order_rejected,
    OrderTriggered: _order_triggered,
    OrderRestated: _order_restated,
    OrderReduced: _order_replaced,
    OrderReplaced: _order_replaced,
    OrderCanceled: _order_canceled,
    OrderExpired: _order_expired,
    OrderExecuted: _order_executed,
    AuctionExecuted: _auction_executed,
    TradeBusted: _trade_busted,
    CancelRejected: _cancel_rejected,
    MassCancelDone: _mass_cancel,
    MassCancelRejected: _mass_cancel,
}

#: Wire kinds of the events that have rows; a ledger leaves all others undecoded.
LEDGER_KINDS: Final = frozenset(wire.KINDS[event] for event in _ROWS)


def rows(event: Event) -> Sequence[Row]:
    """What the event means to participants."""
    made = _ROWS.get(type(event))
    return made(event) if made is not None else ()
