"""Fields of an order message as the exchange's numbers and texts, or why one of them makes no sense.

What a number of FIX is here: prices are integers of 1/10,000, quantities whole numbers. A field that cannot be one is
`Refusal`, which is caught in one place (`translate`) and becomes the text of a report.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from fixgw import tags
from matching.codes import RejectReason
from matching.ids import MAX_PRICE, MAX_QUANTITY, PRICE_SCALE

_DECIMALS: Final = 4

#: Prices and quantities come back again and again; parsing one costs ten times what finding it does.
_NUMBERS_KEPT: Final = 1 << 16

Fields = Mapping[int, bytes]
"""A FIX message: tag → value."""


class Refused(Struct, frozen=True):
    """The venue does not take this request; `text` becomes Text(58)."""

    reason: int
    text: str


class Refusal(Exception):
    """A request makes no sense."""

    def __init__(self, reason: RejectReason, text: str) -> None:
        self.refused = Refused(int(reason), text)


@lru_cache(_NUMBERS_KEPT)
def parse_price(text: bytes) -> int:
    """A FIX price as an integer of 1/10,000. Raises ValueError saying what is wrong."""
    price = _scaled(text, "is not a positive decimal number")
    if not 0 < price <= MAX_PRICE:
        raise ValueError(f"is not above 0 and at most {MAX_PRICE // PRICE_SCALE}")
    return price


def _scaled(text: bytes, otherwise: str) -> int:
    """A decimal number without a sign as an integer of 1/10,000. Raises ValueError: `otherwise` if it is none."""
    whole, _, fraction = text.partition(b".")
    digits = whole + fraction
    if not digits.isdigit():
        raise ValueError(otherwise)
    kept, rest = fraction[:_DECIMALS], fraction[_DECIMALS:]
    if rest.strip(b"0"):
        raise ValueError(f"has more than {_DECIMALS} decimals")
    return int(whole or b"0") * PRICE_SCALE + int(kept.ljust(_DECIMALS, b"0"))


@lru_cache(_NUMBERS_KEPT)
def parse_quantity(text: bytes) -> int:
    """A FIX quantity, a whole number. Raises ValueError saying what is wrong."""
    whole, _, fraction = text.partition(b".")
    if not whole.isdigit() or fraction.strip(b"0"):
        raise ValueError("is not a whole positive number")
    quantity = int(whole)
    if not 0 < quantity <= MAX_QUANTITY:
        raise ValueError(f"is not in 1..{MAX_QUANTITY}")
    return quantity


def parse_offset(text: bytes) -> int:
    """A price offset, signed, as an integer of 1/10,000. Raises ValueError saying what is wrong."""
    digits = text.removeprefix(b"-")
    offset = _scaled(digits, "is not a decimal number")
    if offset > MAX_PRICE:
        limit = MAX_PRICE // PRICE_SCALE
        raise ValueError(f"is not from -{limit} to {limit}")
    return offset if digits == text else -offset


def number(message: Fields, tag: int, parse: Callable[[bytes], int], reason: RejectReason) -> int:
    """The number in a field, 0 if it is not there. Raises Refusal."""
    text = message.get(tag)
    if text is None:
        return 0
    try:
        return parse(text)
    except ValueError as error:
        raise Refusal(reason, f"{tags.label(tag)} {shown(text)} {error}") from None


def shown(value: bytes) -> str:
    """What a broker sent, for a text."""
    return value.decode("ascii", "backslashreplace")
