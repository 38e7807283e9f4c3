"""What few orders ask for besides side, price and quantity: FIX fields → `Conditions`.

    StopPx(99)                          stop_price
    DisplayQty(1138) or MaxFloor(111)   display_qty
    MinQty(110)                         min_qty
    ExecInst(18) 6                      exec_inst: post only
    ExecInst(18) R, P, M                peg
    PegOffsetValue(211)                 peg_offset; PegDifference in FIX 4.2
    ExpireTime(126) or ExpireDate(432)  expire_at

Whether they make sense together is the market's to say. What is refused here is what it cannot be asked for: a number
that is none, any other ExecInst(18), and the fields of `_UNSERVED` where they ask for anything, for an order must not
be taken as if it had asked for less.

An ExpireDate(432) is a trading day, and the order lives to its end. A trading day bears the date on which it begins,
and ends where the next begins (`matching.operations`).
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from fixgw import tags
from fixgw.fields import Fields, Refusal, number, parse_offset, parse_price, parse_quantity, shown
from fixgw.timestamps import SECOND, parse_timestamp
from matching.codes import ExecInst, Peg, RejectReason
from matching.commands import Conditions


def _in_effect(message: Fields) -> bool:
    """Whether the order had come into effect when it was sent, by its sender's clock."""
    effective = parse_timestamp(message[tags.EffectiveTime])
    sent = parse_timestamp(message.get(tags.SendingTime, b""))
    return effective is not None and sent is not None and effective <= sent


def _all_shown(message: Fields) -> bool:
    try:
        return parse_quantity(message[tags.MaxShow]) >= parse_quantity(message[tags.OrderQty])
    except ValueError:
        return False


def _no_discretion(message: Fields) -> bool:
    """0: related to the displayed price. At an offset of nothing that is the price it says."""
    try:
        offset = parse_offset(message.get(tags.DiscretionOffsetValue, b"0"))
    except ValueError:
        return False
    return message[tags.DiscretionInst] == b"0" and offset == 0


#: What would make another order of it: later, hidden otherwise, at a better price than it says, not priced in currency,
#: worked by an algorithm, or pegged otherwise. By tag: whether it says what the order is anyway (in effect, shown
#: whole, per unit, floating, to the prices of this market), so that no harm is done.
_UNSERVED: Final[dict[int, Callable[[Fields], bool]]] = {
    tags.EffectiveTime: _in_effect,
    tags.MaxShow: _all_shown,
    tags.DiscretionInst: _no_discretion,
    tags.PriceType: lambda message: message[tags.PriceType] == b"2",
    tags.PegMoveType: lambda message: message[tags.PegMoveType] == b"0",
    tags.PegScope: lambda message: message[tags.PegScope] == b"1",
    tags.TargetStrategy: lambda _: False,
}

#: An order has conditions if it has one of these.
CONDITIONAL: Final = frozenset(
    (
        *_UNSERVED,
        tags.ExecInst,
        tags.StopPx,
        tags.MinQty,
        tags.MaxFloor,
        tags.ExpireTime,
        tags.PegOffsetValue,
        tags.ExpireDate,
        tags.PegOffsetType,
        tags.DisplayQty,
    )
)

_POST_ONLY: Final = b"6"
_ALL_OR_NONE: Final = b"G"
_PEGS: Final = {b"R": int(Peg.PRIMARY), b"P": int(Peg.MARKET), b"M": int(Peg.MIDPOINT)}
#: PegOffsetType(836): a price.
_PRICE_OFFSET: Final = b"0"

#: 2262: FIX can write later times, which nobody means; a command has room for them until 2554.
_END_OF_TIME: Final = (1 << 63) - 1
_DATES_KEPT: Final = 1024


class TradingDays:
    """When trading days end: where `zone`'s clocks show `rolls_at`."""

    def __init__(self, zone: tzinfo = UTC, rolls_at: time = time()) -> None:
        self._zone = zone
        self._rolls_at = rolls_at
        self.end = lru_cache(_DATES_KEPT)(self._end)

    def _end(self, day: bytes) -> int:
        """The end (ns since the epoch) of the day with this date, yyyymmdd. Raises ValueError saying what is wrong."""
        try:
            following = date(int(day[:4]), int(day[4:6]), int(day[6:8])) + timedelta(days=1)
            return int(datetime.combine(following, self._rolls_at, self._zone).timestamp()) * SECOND
        except (ValueError, OverflowError):
            raise ValueError("is not a date that a trading day may have") from None


def conditions(message: Fields, days: TradingDays) -> Conditions | None:
    """What an order with any of the `CONDITIONAL` fields asks for. Raises Refusal."""
    for tag, is_harmless in _UNSERVED.items():
        if tag in message and not is_harmless(message):
            text = f"{tags.label(tag)} {shown(message[tag])} is not served: leave it out"
            raise Refusal(RejectReason.UNSUPPORTED_INSTRUCTION, text)
    exec_inst, peg = _instructions(message)
    if message.get(tags.PegOffsetType, _PRICE_OFFSET) != _PRICE_OFFSET:
        raise Refusal(RejectReason.BAD_PEG, "PegOffsetType(836) is not 0 (price)")
    asked = Conditions(
        number(message, tags.StopPx, parse_price, RejectReason.BAD_STOP_PRICE),
        number(message, tags.DisplayQty, parse_quantity, RejectReason.BAD_DISPLAY_QUANTITY)
        or number(message, tags.MaxFloor, parse_quantity, RejectReason.BAD_DISPLAY_QUANTITY),
        number(message, tags.MinQty, _parse_minimum, RejectReason.BAD_MINIMUM_QUANTITY),
        exec_inst,
        peg,
        number(message, tags.PegOffsetValue, parse_offset, RejectReason.BAD_PEG),
        _expire_at(message, days),
    )
    return asked if asked != _NOTHING else None


_NOTHING: Final = Conditions()


def _parse_minimum(text: bytes) -> int:
    """MinQty(110): 0 is none."""
    return parse_quantity(text) if text.strip(b"0.") else 0


def _instructions(message: Fields) -> tuple[int, int]:
    """(`ExecInst`, `Peg`) of ExecInst(18), several values with spaces between them. Raises Refusal."""
    text = message.get(tags.ExecInst)
    if text is None:
        return 0, 0
    exec_inst = peg = 0
    for value in text.split(b" "):
        if value == _POST_ONLY:
            exec_inst = int(ExecInst.POST_ONLY)
        elif value in _PEGS and peg in (0, _PEGS[value]):
            peg = _PEGS[value]
        elif value == _ALL_OR_NONE:
            text_of_refusal = "ExecInst(18) G (all or none) is not served: MinQty(110) or 59=4 may do instead"
            raise Refusal(RejectReason.UNSUPPORTED_INSTRUCTION, text_of_refusal)
        else:
            text_of_refusal = f"ExecInst(18) {shown(text)} is none of 6 (post only), R, P, M (pegs)"
            raise Refusal(RejectReason.UNSUPPORTED_INSTRUCTION, text_of_refusal)
    return exec_inst, peg


def _expire_at(message: Fields, days: TradingDays) -> int:
    """When the order ends, 0 if it says nothing of that. Raises Refusal."""
    at = number(message, tags.ExpireTime, _parse_time, RejectReason.BAD_EXPIRE_TIME)
    if not at:
        at = number(message, tags.ExpireDate, days.end, RejectReason.BAD_EXPIRE_TIME)
        if not at:
            return 0
    return min(max(at, 1), _END_OF_TIME)


def _parse_time(text: bytes) -> int:
    time_of_expiry = parse_timestamp(text)
    if time_of_expiry is None:
        raise ValueError("is not a time")
    return time_of_expiry
