"""What can be wrong with the header of a message in a session: FIX 4.4 Volume 2, test cases 2.

The faults are values: most of them end the connection, and `Session` tells them apart by identity.
"""

from typing import Final

from fixgw import tags, values
from fixgw.codec import FixMessage
from fixgw.logon import Identity, is_current
from fixgw.timestamps import parse_timestamp
from fixgw.values import Fault, SessionRejectReason

WRONG_BEGIN_STRING: Final = Fault(SessionRejectReason.VALUE_IS_INCORRECT, 8, "Incorrect BeginString(8)")
WRONG_SENDER: Final = Fault(SessionRejectReason.COMPID_PROBLEM, 49, "Incorrect SenderCompID(49)")
WRONG_TARGET: Final = Fault(SessionRejectReason.COMPID_PROBLEM, 56, "Incorrect TargetCompID(56)")
NO_NUMBER: Final = Fault(
    SessionRejectReason.REQUIRED_TAG_MISSING, 34, "MsgSeqNum(34) is missing or not a number above 0"
)
NO_SENDING_TIME: Final = Fault(SessionRejectReason.REQUIRED_TAG_MISSING, 52, "Required tag missing: SendingTime(52)")
WRONG_SENDING_TIME: Final = Fault(
    SessionRejectReason.SENDINGTIME_ACCURACY_PROBLEM, 52, "SendingTime(52) accuracy problem"
)
NO_ORIG_SENDING_TIME: Final = Fault(
    SessionRejectReason.REQUIRED_TAG_MISSING, 122, "Required tag missing: OrigSendingTime(122)"
)
WRONG_ORIG_SENDING_TIME: Final = Fault(
    SessionRejectReason.SENDINGTIME_ACCURACY_PROBLEM, 122, "OrigSendingTime(122) later than SendingTime(52)"
)


def header_fault(message: FixMessage, identity: Identity, now: int) -> Fault | None:
    """2i, 2k, 2o, and a MsgSeqNum(34) that is none: the faults for which the number itself does not matter."""
    fields = message.fields
    begin_string, ours, theirs = identity
    if fields.get(tags.SenderCompID) != theirs:
        return WRONG_SENDER
    if fields.get(tags.TargetCompID) != ours:
        return WRONG_TARGET
    if fields[tags.BeginString] != begin_string:
        return WRONG_BEGIN_STRING
    if message.msg_seq_num == 0:
        return NO_NUMBER
    sending_time = fields.get(tags.SendingTime)
    if sending_time is None:
        return NO_SENDING_TIME
    return None if is_current(sending_time, now) else WRONG_SENDING_TIME


def poss_dup_fault(message: FixMessage) -> Fault | None:
    """2f, 2g, for a message with PossDupFlag(43)=Y. Engines leave 122 out of a SequenceReset."""
    if message.msg_type == values.SEQUENCE_RESET:
        return None
    orig_sending_time = message.fields.get(tags.OrigSendingTime)
    if orig_sending_time is None:
        return NO_ORIG_SENDING_TIME
    first_sent, sent = parse_timestamp(orig_sending_time), parse_timestamp(message.fields[tags.SendingTime])
    return None if first_sent is not None and sent is not None and first_sent <= sent else WRONG_ORIG_SENDING_TIME
