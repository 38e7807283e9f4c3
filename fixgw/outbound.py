"""The numbered stream from us to the peer: numbers, what is in line for the socket, and an open resend.

`Session` decides what is said and when; here is how it gets its number and its place in line.
"""

from collections.abc import Iterable
from typing import Final

from fixgw import tags, values
from fixgw.awake import SteadyClock
from fixgw.codec import Encoder, FixMessage, clean
from fixgw.logon import Identity
from fixgw.resend import Resend
from fixgw.timestamps import format_timestamp
from fixgw.values import BusinessRejectReason, Fault

#: SessionRejectReason(373) ends here in FIX 4.2; it is left out where it would not be understood.
LAST_REASON_OF_42: Final = 11


class Outbound:
    """The outgoing half of a session. `next_out_seq`: the MsgSeqNum(34) that the next message gets. `last_sent`: when
    by `clock` something was said last."""

    def __init__(self, identity: Identity, next_out_seq: int) -> None:
        self.next_out_seq = next_out_seq
        self.clock = SteadyClock()
        self.last_sent = 0
        self.resend: Resend | None = None
        self.encoder = Encoder(*identity)
        self._output: list[bytes] = []
        self._stamped = -1  # the time that `_stamp` shows: all messages of a batch share it
        self._stamp = b""

    def number(self, msg_type: bytes, body: bytes, now: int, *, live: bool) -> tuple[int, bytes]:
        """Number a message that the owner stores. It gets in line if the session is `live` and no resend is open:
        otherwise a resend will come to it."""
        number = self.next_out_seq
        raw = self.encoder.encode(msg_type, number, self._sending_time(now), body)
        self.next_out_seq = number + 1
        if live and self.resend is None:
            self._output.append(raw)
            self.last_sent = self.clock.time
        return number, raw

    def send_admin(self, msg_type: bytes, body: bytes, now: int) -> None:
        """Number and send a message that nobody stores."""
        number = self.next_out_seq
        raw = self.encoder.encode(msg_type, number, self._sending_time(now), body)
        self.next_out_seq = number + 1
        self.last_sent = self.clock.time
        if self.resend is None:
            self._output.append(raw)
        else:
            self.resend.hold(number, raw)

    def send_logout(self, text: str, now: int) -> None:
        """Logout(5) goes out before anything else: an open resend ends, and what it has not sent can be asked for
        again."""
        self.resend = None
        self.send_admin(values.LOGOUT, b"58=%b\x01" % clean(text.encode()) if text else b"", now)

    def open_resend(self, first: int, last: int) -> None:
        """Serve a ResendRequest; one that is open is widened by it."""
        if self.resend is None:
            self.resend = Resend(first, last, self.next_out_seq)
        else:
            self.resend.widen(first, last)

    def pump(self, first: int, last: int, stored: Iterable[tuple[int, bytes]], now: int, *, live: bool) -> None:
        """Go on with the open resend. If the session is not `live`, only with what was asked for."""
        resend = self.resend
        if resend is None or first != resend.cursor:
            return
        self._output += resend.write(last, stored, self.encoder, self._sending_time(now))
        self.last_sent = self.clock.time
        if resend.wanted(self.next_out_seq) is None or (resend.answered and not live):
            self.resend = None

    def _sending_time(self, now: int) -> bytes:
        if now != self._stamped:
            self._stamped = now
            self._stamp = format_timestamp(now)
        return self._stamp

    def drain(self) -> bytes:
        """Everything in line, which is then empty."""
        if not self._output:
            return b""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def disconnect(self) -> None:
        """Forget what belonged to the connection."""
        self._output.clear()
        self.resend = None


def reject_body(message: FixMessage, fault: Fault, begin_string: bytes) -> tuple[bytes, bytes]:
    """MsgType and body of the Reject(3) or BusinessMessageReject(j) that answers `fault`."""
    reason = fault.reason
    number, text = message.msg_seq_num, clean(fault.text.encode())
    msg_type = clean(message.msg_type)
    if isinstance(reason, BusinessRejectReason):
        cl_ord_id = message.fields.get(tags.ClOrdID)
        reference = b"379=%b\x01" % clean(cl_ord_id) if cl_ord_id else b""
        body = b"45=%d\x01372=%b\x01%b380=%d\x0158=%b\x01" % (number, msg_type, reference, reason, text)
        return values.BUSINESS_MESSAGE_REJECT, body
    tag = b"371=%d\x01" % fault.tag if fault.tag else b""
    code = b"373=%d\x01" % reason if reason <= LAST_REASON_OF_42 or begin_string != b"FIX.4.2" else b""
    return values.REJECT, b"45=%d\x01%b372=%b\x01%b58=%b\x01" % (number, tag, msg_type, code, text)
