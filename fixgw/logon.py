"""The first message of a connection: whose session is it, and is its content in order?

FIX 4.4 Volume 2, Logon(A); test cases 1S. The steps, of which the gateway owns the order:

1. `identify`: the first message must be a Logon and names the session. What does not, is closed without a word
   (1S.c): an answer would need a sequence number, and numbers belong to sessions.
2. A session that is connected already keeps its connection; the new one is closed without a word (1S.b).
3. `credentials`: checked in a thread, see `fixgw.auth`. Nothing has touched the session so far, so a failed
   Logon consumes nothing.
4. `Session.accept_logon` asks `check_logon` and answers: Logon, or Logout with a text (1S.d).
"""

from typing import Final, NamedTuple

from fixgw import tags, values
from fixgw.codec import FixMessage, FixProtocolError, sequence_number
from fixgw.timestamps import SECOND, parse_timestamp

#: A connection that has not logged on within this is closed (ns).
LOGON_TIMEOUT: Final = 10 * SECOND

#: The longest HeartBtInt(108) taken (seconds): beyond it a dead peer would be noticed too late to matter.
MAX_HEART_BT_INT: Final = 3600

#: How far SendingTime(52) may be from our clock, either way (ns); test case 2o.
SENDING_TIME_TOLERANCE: Final = 120 * SECOND


class Identity(NamedTuple):
    """Which session a message belongs to, seen from us: the sender is the venue, the target its peer."""

    begin_string: bytes
    sender_comp_id: bytes
    target_comp_id: bytes


class Credentials(NamedTuple):
    """What a Logon offers as proof; empty where it offers nothing. Never to be logged or stored."""

    username: bytes
    password: bytes


def identify(message: FixMessage) -> Identity:
    """The session that `message`, the first of a connection, wants. Raises FixProtocolError."""
    if message.msg_type != values.LOGON:
        raise FixProtocolError("first message is not a Logon(A)")
    fields = message.fields
    theirs, ours = fields.get(tags.SenderCompID), fields.get(tags.TargetCompID)
    if not theirs or not ours:
        raise FixProtocolError("Logon(A) without SenderCompID(49) or TargetCompID(56)")
    return Identity(fields[tags.BeginString], ours, theirs)


def credentials(message: FixMessage) -> Credentials:
    """Username(553) and Password(554) of a Logon."""
    fields = message.fields
    return Credentials(fields.get(tags.Username, b""), fields.get(tags.Password, b""))


def check_logon(message: FixMessage, now: int, *, test_traffic: bool) -> str | None:
    """Why the content of a Logon, found right by the dictionary, cannot be accepted; None if it can."""
    fields = message.fields
    if not is_current(fields[tags.SendingTime], now):
        return "SendingTime(52) accuracy problem"
    if message.msg_seq_num == 0:
        return "MsgSeqNum(34) is missing or not a number above 0"
    if fields[tags.EncryptMethod] != b"0":
        return "EncryptMethod(98) must be 0, none"
    if not 0 <= int(fields[tags.HeartBtInt]) <= MAX_HEART_BT_INT:
        return f"HeartBtInt(108) must be 0 to {MAX_HEART_BT_INT}"
    if fields.get(tags.TestMessageIndicator) == b"Y" and not test_traffic:
        return "TestMessageIndicator(464)=Y on a production session"
    if wants_reset(message) and message.msg_seq_num != 1:
        return "ResetSeqNumFlag(141)=Y requires MsgSeqNum(34)=1"
    return None


def wants_reset(message: FixMessage) -> bool:
    """Does the Logon ask for both numbers to begin at 1 again?"""
    return message.fields.get(tags.ResetSeqNumFlag) == b"Y"


def next_expected(message: FixMessage) -> int:
    """NextExpectedMsgSeqNum(789) of a Logon; 0 if the peer does not use it."""
    return sequence_number(message.fields.get(tags.NextExpectedMsgSeqNum))


def is_current(sending_time: bytes, now: int) -> bool:
    """Is this a UTCTimestamp close enough to `now`?"""
    sent = parse_timestamp(sending_time)
    return sent is not None and -SENDING_TIME_TOLERANCE <= sent - now <= SENDING_TIME_TOLERANCE
