"""What the FIX versions say differently, and the venue's reasons in words and codes.

Where the versions differ (FIX 4.2, volume 1, ExecutionReport; FIX 4.4, volume 4):

| | FIX.4.2 | FIX.4.4 |
|---|---|---|
| ExecTransType(20) | 0 (new) | does not exist |
| ExecType(150) of a trade | 1 partial fill, 2 fill | F trade |
| OrdStatus(39) after a replace, nothing executed | 5 replaced | 0 new |
| an order that is triggered or taken over, ExecRestatementReason(378) | D, 4 (option of the exchange) | D, 99 |
| a trade that is undone | ExecTransType(20) 1, ExecType(150) as OrdStatus(39) | ExecType H |
| OrdRejReason(103) | 0..8 | also 11, 13, 99 |
| CxlRejReason(102) | 0..3 | also 6, 99 |
| SecondaryExecID(527) of a trade | does not exist | the trade's number |
| SecurityTradingStatus(326) before the opening auction, and in it | 18 not available, 5 price indication | 21, 22 |
| Text(58) of a SecurityStatus | does not exist | the reason |

ExecType L (triggered) is FIX 5.0's: neither version has it, and an engine that checks what it gets would reject it. So
a trigger is told as what it is to the order, a change that nobody asked for at that moment: Restated.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from matching.codes import CancelReason, Phase, RejectReason, RestatementReason


class Dialect(NamedTuple):
    """What one FIX version says differently."""

    exec_trans_type: bytes
    partial_fill: bytes
    fill: bytes
    replaced_status: bytes
    #: Of a trade that is undone: ExecTransType(20), and ExecType(150) where that is not OrdStatus(39).
    undo_trans_type: bytes
    undo: bytes
    #: ExecRestatementReason(378) of a stop order that is triggered, and of what else FIX has no reason for.
    other_restatement_reason: int
    ord_rej_reasons: Mapping[int, int]
    cxl_rej_reasons: Mapping[int, int]
    other_ord_rej_reason: int
    other_cxl_rej_reason: int
    #: Reports of trades have SecondaryExecID(527).
    names_trades: bool
    #: SecurityTradingStatus(326) by `codes.Phase`.
    trading_statuses: Mapping[int, int]
    status_has_text: bool


_R = RejectReason
_OLD_ORD_REASONS: Final = {
    int(_R.UNKNOWN_INSTRUMENT): 1,
    int(_R.MARKET_CLOSED): 2,
    int(_R.INSTRUMENT_HALTED): 2,
    int(_R.COMMAND_EXPIRED): 4,
    int(_R.DUPLICATE_CL_ORD_ID): 6,
    int(_R.NOT_IN_THIS_PHASE): 2,
    int(_R.QUANTITY_ABOVE_MAXIMUM): 3,
    int(_R.VALUE_ABOVE_MAXIMUM): 3,
    int(_R.PRICE_FAR_FROM_REFERENCE): 3,
}
#: 2 trading halt, 5 price indication, 17 ready to trade, 18 not available for trading.
_OLD_STATUSES: Final = {
    int(Phase.CLOSED): 18,
    int(Phase.PRE_OPEN): 18,
    int(Phase.OPENING_AUCTION): 5,
    int(Phase.CONTINUOUS): 17,
    int(Phase.CLOSING_AUCTION): 5,
    int(Phase.POST_CLOSE): 18,
    int(Phase.HALTED): 2,
    int(Phase.REOPENING_AUCTION): 5,
    int(Phase.VOLATILITY_AUCTION): 5,
    int(Phase.QUOTE_ONLY): 18,
}
#: Besides, 21 pre-open, 22 opening rotation.
_NEW_STATUSES: Final = {
    int(Phase.PRE_OPEN): 21,
    int(Phase.OPENING_AUCTION): 22,
}
_OLD_CXL_REASONS: Final = {int(_R.TOO_LATE): 0, int(_R.QUANTITY_ALREADY_EXECUTED): 0, int(_R.UNKNOWN_ORDER): 1}

DIALECTS: Final = {
    b"FIX.4.2": Dialect(
        b"20=0\x01",
        b"1",
        b"2",
        b"5",
        b"20=1\x01",
        b"",
        4,
        _OLD_ORD_REASONS,
        _OLD_CXL_REASONS,
        0,
        2,
        names_trades=False,
        trading_statuses=_OLD_STATUSES,
        status_has_text=False,
    ),
    b"FIX.4.4": Dialect(
        b"",
        b"F",
        b"F",
        b"0",
        b"",
        b"H",
        99,
        _OLD_ORD_REASONS
        | {
            int(_R.UNSUPPORTED_ORD_TYPE): 11,
            int(_R.UNSUPPORTED_TIME_IN_FORCE): 11,
            int(_R.QUANTITY_NOT_ON_LOT): 13,
            int(_R.QUANTITY_OUT_OF_RANGE): 13,
            int(_R.UNSUPPORTED_INSTRUCTION): 11,
            int(_R.BAD_PEG): 11,
            int(_R.BAD_DISPLAY_QUANTITY): 13,
            int(_R.BAD_MINIMUM_QUANTITY): 13,
        },
        _OLD_CXL_REASONS | {int(_R.DUPLICATE_CL_ORD_ID): 6},
        99,
        99,
        names_trades=True,
        trading_statuses=_OLD_STATUSES | _NEW_STATUSES,
        status_has_text=True,
    ),
}

#: MassCancelRejectReason(532). FIX 4.4 has 99 for others too, but makes the field one character: engines reject that.
MASS_CANCEL_REASONS: Final = {int(_R.UNKNOWN_INSTRUMENT): 1}
OTHER_MASS_CANCEL_REASON: Final = 0

CANCEL_TEXTS: Final = {
    int(CancelReason.REQUESTED): b"",
    int(CancelReason.IMMEDIATE_OR_CANCEL): b"58=Immediate or cancel: the rest could not be executed at once\x01",
    int(CancelReason.FILL_OR_KILL): b"58=Fill or kill: the order could not be filled whole\x01",
    int(CancelReason.MARKET_REMAINDER): b"58=Market orders do not rest: nothing left to execute against\x01",
    int(CancelReason.SOURCE_LOST): b"58=Cancel on disconnect: the session's gateway was lost\x01",
    int(CancelReason.SESSION_LOST): b"58=Cancel on disconnect: the session was disconnected\x01",
    int(CancelReason.SELF_MATCH): b"58=Self-match prevention: it would have traded within its own firm or group\x01",
    int(CancelReason.MASS_CANCEL): b"58=Canceled by a mass cancel request\x01",
    int(CancelReason.KILL_SWITCH): b"58=Kill switch: order entry was blocked, and what was open canceled\x01",
    int(CancelReason.MINIMUM_QUANTITY): b"58=MinQty(110): less than that could be executed at once\x01",
    int(CancelReason.AUCTION_REMAINDER): b"58=The auction that the order was for did not fill it\x01",
    int(CancelReason.PRICE_BAND): b"58=Price band: the next price is outside of it\x01",
    int(CancelReason.OPERATOR): b"58=Canceled by the market's operator\x01",
}

CANCELED_BY_ANOTHER: Final = b"58=Canceled by another session of your firm\x01"

REASON_TEXTS: Final = {
    _R.UNKNOWN_INSTRUMENT: "Symbol(55) is not traded here",
    _R.MARKET_CLOSED: "the market is closed",
    _R.INSTRUMENT_HALTED: "trading in this instrument is halted; cancels are accepted",
    _R.DUPLICATE_CL_ORD_ID: "ClOrdID(11) was used on this session today, or by an order that is still open",
    _R.PRICE_NOT_ON_TICK: "Price(44) is not a multiple of the tick size {tick}",
    _R.PRICE_OUT_OF_RANGE: "Price(44) is out of range",
    _R.QUANTITY_NOT_ON_LOT: "OrderQty(38) is not a multiple of the lot size {lot}",
    _R.QUANTITY_OUT_OF_RANGE: "OrderQty(38) is out of range",
    _R.UNSUPPORTED_SIDE: "Side(54) is not supported",
    _R.UNSUPPORTED_ORD_TYPE: "OrdType(40) is not supported",
    _R.UNSUPPORTED_TIME_IN_FORCE: "TimeInForce(59) is not for this OrdType(40)",
    _R.COMMAND_EXPIRED: "the request reached the market too late",
    _R.TOO_LATE: "the order is no longer open",
    _R.UNKNOWN_ORDER: "OrigClOrdID(41) names no order of this session",
    _R.TERMS_MISMATCH: (
        "Symbol(55), Side(54), OrdType(40), TimeInForce(59), ExecInst(18) or MinQty(110) is not the order's"
    ),
    _R.QUANTITY_ALREADY_EXECUTED: "OrderQty(38) is not above what was executed or taken away already",
    _R.UNSUPPORTED_INSTRUCTION: "ExecInst(18) is not served, or not with this OrdType(40) and TimeInForce(59)",
    _R.BAD_STOP_PRICE: "StopPx(99) is missing, off tick, out of range, or not for this OrdType(40)",
    _R.BAD_DISPLAY_QUANTITY: (
        "MaxFloor(111) or DisplayQty(1138) is not below OrderQty(38), not a multiple of the lot size {lot}, "
        "or not for such an order"
    ),
    _R.BAD_MINIMUM_QUANTITY: (
        "MinQty(110) is above OrderQty(38), not a multiple of the lot size {lot}, or not for such an order"
    ),
    _R.BAD_EXPIRE_TIME: "ExpireDate(432) or ExpireTime(126) is missing, has passed, or is not for this TimeInForce(59)",
    _R.BAD_PEG: (
        "40=P and ExecInst(18) R, P or M go together, without MaxFloor(111), with M without PegOffsetValue(211); "
        "or too many such orders wait"
    ),
    _R.NOT_IN_THIS_PHASE: "the market is in a phase that takes no such order",
    _R.QUANTITY_ABOVE_MAXIMUM: "OrderQty(38) is above the most that an order may have",
    _R.VALUE_ABOVE_MAXIMUM: "price times OrderQty(38) is above the most that an order may be worth",
    _R.PRICE_FAR_FROM_REFERENCE: "Price(44) is too far from the reference price",
    _R.ENTRY_BLOCKED: "order entry is blocked: ask the market's operator",
    _R.WOULD_TRADE: "a post-only order would have traded at once",
}
REPLACED_TEXT: Final = "OrigClOrdID(41) was replaced: the order goes by a newer ClOrdID(11)"

#: Where FIX has no reason for it, it is the dialect's for others.
RESTATEMENTS: Final = {
    int(RestatementReason.TAKEN_OVER): (
        b"378=%d\x0158=Replaced by another session of your firm: the order is that one's now\x01"
    ),
    int(RestatementReason.GT_RENEWAL): b"378=1\x0158=The order goes over into a new day\x01",
    int(RestatementReason.SELF_MATCH_DECREMENT): (
        b"378=5\x0158=Self-match prevention: quantity was taken away in place of a trade within the firm or group\x01"
    ),
}
TRIGGERED: Final = b"378=%d\x0158=StopPx(99) was reached: the order is in the market now\x01"
