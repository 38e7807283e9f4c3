"""Identifiers of the exchange: which numbers exist, how wide they are, who makes them.

Order ids, order references and match numbers are made by a shard's engine from counters that are part of its
replicated state, so every replica makes the same ones and none is ever used twice. The shard stands in the high
sixteen bits: an id alone tells which shard to ask, and no two shards can make the same one.
"""

from typing import Final

SHARD_SHIFT: Final = 48
COUNTER_MASK: Final = (1 << SHARD_SHIFT) - 1

MAX_SHARD_ID: Final = 0xFFFF
#: An instrument's id is its ITCH Stock Locate, an unsigned 16-bit number.
MAX_INSTRUMENT_ID: Final = 0xFFFF

#: Bytes. ClOrdID(11) and Account(1) have fixed room on the wire; a longer one is refused at the gateway.
CL_ORD_ID_LENGTH: Final = 20
ACCOUNT_LENGTH: Final = 16
SYMBOL_LENGTH: Final = 8
FEED_SESSION_LENGTH: Final = 10

#: Prices count 1/10,000 of the currency, as ITCH's Price(4) does.
PRICE_SCALE: Final = 10_000
#: 200,000.0000, the highest price an ITCH 5.0 Price(4) field may carry (section 2, "Data Types").
MAX_PRICE: Final = 2_000_000_000
#: Shares in ITCH are unsigned 32-bit numbers.
MAX_QUANTITY: Final = 0xFFFF_FFFF


def first_id(shard_id: int) -> int:
    """The first id of a shard; the following ones count up from it."""
    assert 1 <= shard_id <= MAX_SHARD_ID, f"shard id {shard_id} is not in 1..{MAX_SHARD_ID}"
    return shard_id << SHARD_SHIFT | 1


def shard_of(identifier: int) -> int:
    """The shard whose engine made this order id, order reference or match number."""
    return identifier >> SHARD_SHIFT
