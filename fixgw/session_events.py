"""What a `Session` tells its owner. The owner handles them in order; see the duties at the head of `session`."""

import msgspec

from fixgw.codec import FixMessage


class Application(msgspec.Struct, frozen=True, gc=False):
    """An application message, checked and in order. Its number is consumed: it must now be handled."""

    message: FixMessage
    session_seq: int
    """run << 32 | MsgSeqNum: grows over the whole life of the session, resets included."""


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """The session answered `message` with a Reject(3) or BusinessMessageReject(j), which the owner must store like
    an application message: these are resent, not gap-filled."""

    message: FixMessage
    msg_seq_num: int
    raw: bytes


class LoggedOn(msgspec.Struct, frozen=True, gc=False):
    """The session is established."""


class LoggedOut(msgspec.Struct, frozen=True, gc=False):
    """Logouts were exchanged. The connection ends when the peer closes it, or by a later Disconnect."""


class SequenceNumbersReset(msgspec.Struct, frozen=True, gc=False):
    """ResetSeqNumFlag(141)=Y was obeyed: both numbers began again at 1 in `run`. Stored messages of earlier runs
    will never be asked for again."""

    run: int


class ResendRequested(msgspec.Struct, frozen=True, gc=False):
    """The peer wants `first` to `last` again. Pump `Session.resend` while `Session.resend_wanted()` is not None."""

    first: int
    last: int


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """Send what `data_to_send()` still gives, close the connection, call `connection_lost`. Give nothing more."""

    reason: str


Event = Application | Rejected | LoggedOn | LoggedOut | SequenceNumbersReset | ResendRequested | Disconnect
