"""The numbers that commands and events carry, and what they stand for.

Where FIX or ITCH has a code for it, that is the number. Numbers are for ever: they stand in journals.
"""

from enum import IntEnum


class Side(IntEnum):
    """Side(54)."""

    BUY = 1
    SELL = 2


class OrdType(IntEnum):
    """OrdType(40); a letter of FIX is its ASCII code."""

    MARKET = 1
    LIMIT = 2
    STOP = 3
    STOP_LIMIT = 4
    #: What a market order leaves rests as a limit order at the price of its last trade.
    MARKET_WITH_LEFTOVER_AS_LIMIT = ord("K")
    PEGGED = ord("P")


class TimeInForce(IntEnum):
    """TimeInForce(59); a letter of FIX is its ASCII code."""

    DAY = 0
    GOOD_TILL_CANCEL = 1
    AT_THE_OPENING = 2
    IOC = 3
    FOK = 4
    GOOD_TILL_DATE = 6
    AT_THE_CLOSE = 7
    #: For the next auction of whatever kind.
    GOOD_FOR_AUCTION = ord("B")


class ExecInst(IntEnum):
    """What of ExecInst(18) an order may carry besides a peg. 0 is nothing."""

    NONE = 0
    #: 6, participate don't initiate: it is refused where it would trade at once.
    POST_ONLY = 6


class Peg(IntEnum):
    """What a pegged order's price follows: the code of ExecInst(18) as a byte. 0 is nothing."""

    NONE = 0
    #: The best price of its own side.
    PRIMARY = ord("R")
    #: The best price of the other side.
    MARKET = ord("P")
    #: The middle of both.
    MIDPOINT = ord("M")


class Phase(IntEnum):
    """What an instrument's book does with orders. How the public sees it: `TradingState`."""

    #: Cancels only.
    CLOSED = 0
    #: Orders are collected and do not trade; nothing is said of a price yet.
    PRE_OPEN = 1
    #: Orders are collected; the indicative price is published; it ends in an uncross.
    OPENING_AUCTION = 2
    CONTINUOUS = 3
    CLOSING_AUCTION = 4
    #: Cancels only.
    POST_CLOSE = 5
    #: Cancels only, until somebody resumes it.
    HALTED = 6
    #: An auction after a halt.
    REOPENING_AUCTION = 7
    #: An auction because a trade would have been outside of a price band.
    VOLATILITY_AUCTION = 8
    #: Orders are collected and do not trade, until somebody ends it.
    QUOTE_ONLY = 9


class CrossType(IntEnum):
    """The code of ITCH 5.0's Cross Trade (section 4.5.2) as a byte."""

    OPENING = ord("O")
    CLOSING = ord("C")
    #: After a halt or a pause.
    HALTED = ord("H")


class ImbalanceDirection(IntEnum):
    """The code of ITCH 5.0's Net Order Imbalance Indicator (section 4.7) as a byte."""

    BUY = ord("B")
    SELL = ord("S")
    NONE = ord("N")
    #: There are not enough orders for a price.
    INSUFFICIENT = ord("O")


class SelfMatch(IntEnum):
    """What happens instead of a trade within a group that wants none; the incoming order's participant decides."""

    #: They trade.
    ALLOWED = 0
    CANCEL_INCOMING = 1
    CANCEL_RESTING = 2
    CANCEL_BOTH = 3
    #: Both lose the smaller of the two quantities; what has none left is canceled.
    DECREMENT = 4


class RestatementReason(IntEnum):
    """Why an order was changed that nobody asked to change: ExecRestatementReason(378)."""

    #: It goes over into a new day.
    GT_RENEWAL = 1
    #: It lost quantity instead of trading within its own group.
    SELF_MATCH_DECREMENT = 5
    #: Another session of its participant replaces it, and has it from then on. 99 is FIX's for others.
    TAKEN_OVER = 99


class TradingState(IntEnum):
    """The code of ITCH 5.0's Stock Trading Action (section 4.2.2) as a byte."""

    TRADING = ord("T")
    HALTED = ord("H")
    #: In a volatility auction.
    PAUSED = ord("P")
    #: Orders are taken and do not trade.
    QUOTATION_ONLY = ord("Q")


class SystemEventCode(IntEnum):
    """The code of ITCH 5.0's System Event (section 4.1) as a byte; 'O' is said by `DayStarted`."""

    START_OF_SYSTEM_HOURS = ord("S")
    START_OF_MARKET_HOURS = ord("Q")
    END_OF_MARKET_HOURS = ord("M")
    END_OF_SYSTEM_HOURS = ord("E")
    END_OF_MESSAGES = ord("C")


class OrdStatus(IntEnum):
    """OrdStatus(39) of an order that a cancel or replace request named, as a byte."""

    NEW = ord("0")
    PARTIALLY_FILLED = ord("1")
    FILLED = ord("2")
    CANCELED = ord("4")
    REJECTED = ord("8")
    EXPIRED = ord("C")


class RejectReason(IntEnum):
    """Why an order, a cancel or a replace was refused. Numbers are for ever: they stand in journals."""

    UNKNOWN_INSTRUMENT = 1
    MARKET_CLOSED = 2
    INSTRUMENT_HALTED = 3
    DUPLICATE_CL_ORD_ID = 4
    PRICE_NOT_ON_TICK = 5
    PRICE_OUT_OF_RANGE = 6
    QUANTITY_NOT_ON_LOT = 7
    QUANTITY_OUT_OF_RANGE = 8
    UNSUPPORTED_SIDE = 9
    UNSUPPORTED_ORD_TYPE = 10
    UNSUPPORTED_TIME_IN_FORCE = 11
    #: The command's `expires_at` had passed when the shard numbered it.
    COMMAND_EXPIRED = 12
    #: The order existed and is filled, canceled, replaced or expired.
    TOO_LATE = 13
    UNKNOWN_ORDER = 14
    #: Symbol(55), Side(54), OrdType(40), TimeInForce(59), ExecInst(18) or MinQty(110) of a request is not its order's.
    TERMS_MISMATCH = 15
    #: A replace asked for no more than was executed or taken away already.
    QUANTITY_ALREADY_EXECUTED = 16
    #: ExecInst(18) is not served, or not with this type or time in force.
    UNSUPPORTED_INSTRUCTION = 17
    #: StopPx(99) is missing, out of range, off tick, or where there may be none.
    BAD_STOP_PRICE = 18
    #: The displayed quantity is above the order's, off lot, or where there may be none.
    BAD_DISPLAY_QUANTITY = 19
    BAD_MINIMUM_QUANTITY = 20
    #: The end of a good-till-date order is missing, has passed, or stands where there may be none.
    BAD_EXPIRE_TIME = 21
    BAD_PEG = 22
    #: The instrument's phase takes no such order.
    NOT_IN_THIS_PHASE = 23
    QUANTITY_ABOVE_MAXIMUM = 24
    VALUE_ABOVE_MAXIMUM = 25
    PRICE_FAR_FROM_REFERENCE = 26
    #: The participant, or its session, is blocked.
    ENTRY_BLOCKED = 27
    #: A post-only order that would have traded.
    WOULD_TRADE = 28


class CancelReason(IntEnum):
    """Why the rest of an order was canceled."""

    REQUESTED = 1
    #: What an IOC order could not execute at once.
    IMMEDIATE_OR_CANCEL = 2
    #: A FOK order that could not be filled whole.
    FILL_OR_KILL = 3
    #: A market order never rests.
    MARKET_REMAINDER = 4
    #: The gateway of the order's session was lost, and the session wants its orders canceled then.
    SOURCE_LOST = 5
    #: The order's session was disconnected, and wants its orders canceled then.
    SESSION_LOST = 6
    #: Instead of a trade within its own group.
    SELF_MATCH = 7
    #: By a mass cancel request.
    MASS_CANCEL = 8
    KILL_SWITCH = 9
    #: Less than MinQty(110) could be executed at once.
    MINIMUM_QUANTITY = 10
    #: The auction that it was for did not fill it.
    AUCTION_REMAINDER = 11
    #: The next price is outside of the price band, and it may not wait.
    PRICE_BAND = 12
    #: By the operator.
    OPERATOR = 13


class RefusalReason(IntEnum):
    """Why a command was refused before it meant anything to an order."""

    UNKNOWN_KIND = 1
    UNDECODABLE = 2
    DAY_NOT_LATER = 3
    DAY_OPEN = 4
    DAY_NOT_OPEN = 5
    UNKNOWN_INSTRUMENT = 6
    BAD_INSTRUMENT = 7
    #: An instrument with resting orders keeps its tick and lot size; a symbol keeps its id, and over a day its symbol.
    INSTRUMENT_IN_USE = 8
    BAD_TRADING_STATE = 9
    NOTHING_TO_CONTINUE = 10
    OTHER_WORK_PENDING = 11
    #: Operators' commands are refused from a FIX session.
    NOT_AN_OPERATOR = 12
    #: The feed session is not one to ten printable ASCII characters.
    BAD_FEED_SESSION = 13
    #: Session 0 is the operators', and `cancel_on_disconnect` is 0 or 1.
    BAD_SESSION = 14
    #: The self-match prevention of a participant is none of `SelfMatch`, or the participant is 0.
    BAD_PARTICIPANT = 15
    #: A band is not in 0..10,000, or a duration is too long.
    BAD_RULES = 16
    #: A row of the tick-size table that no price could be right under, or one row too many.
    BAD_TICK = 17
    BAD_PRICE = 18
    BAD_PHASE = 19
    #: There is no trade of the day with this match number.
    UNKNOWN_TRADE = 20
    ALREADY_BUSTED = 21
    #: Circuit breaker levels are prices, the first the highest; a breach names 1, 2 or 3.
    BAD_LEVEL = 22
