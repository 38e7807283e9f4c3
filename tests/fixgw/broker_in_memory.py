"""A broker's FIX engine for tests: it numbers, stores, resends and asks again, and it never forgets.

It obeys FIX 4.4 Volume 2 as an initiator, and is stricter than any real one: a number that comes with two contents, an
ExecID(17) that comes under two numbers, or a message before the Logon's answer fails the test at once.
"""

from collections.abc import Callable

from fixgw import tags
from fixgw.codec import Encoder, FixMessage, Framer, decode
from fixgw.timestamps import format_timestamp
from fixgw.values import EXECUTION_REPORT

_HEADER = frozenset((8, 9, 10, 34, 35, 43, 49, 52, 56, 122))
_SHOWN = (571, 11, 41, 150, 39, 32, 31, 151, 14, 103, 102, 434, 749, 380, 373, 912, 58)


class Broker:
    """One FIX session's other end. `send_bytes` puts bytes on its connection."""

    def __init__(
        self,
        session_id: int,
        comp_id: str,
        version: str,
        clock: Callable[[], int],
        send_bytes: Callable[[bytes], None],
    ) -> None:
        self.session_id = session_id
        self.comp_id = comp_id
        self.version = version
        self.next_out_seq = 1
        self.next_in_seq = 1
        #: MsgSeqNum → fields of the application messages and Rejects that came, without their headers.
        self.inbox: dict[int, dict[int, bytes]] = {}
        #: Every message as it came, duplicates and admin messages too, since the test last took them.
        self.heard: list[FixMessage] = []
        self.connected = False
        self.logged_on = False
        self.send_bytes = send_bytes
        #: A broker whose operator has agreed to go on with the lower numbers of a gateway that lost some.
        self.takes_lower_numbers = False
        self._clock = clock
        self._encoder = Encoder(version.encode(), comp_id.encode(), b"FIXGW")
        self._sent: dict[int, tuple[bytes, bytes, bytes]] = {}
        self._framer = Framer()
        self._asked = 0
        self._logon = 0
        self._exec_ids: dict[bytes, int] = {}

    # Saying

    def connect(self, extra: str = "") -> None:
        """A connection stands: log on. `extra`: further fields, "141=Y|"."""
        self.connected = True
        self._framer = Framer()
        self._asked = 0
        if "141=Y" in extra:
            self.next_out_seq = self.next_in_seq = 1
            self.inbox.clear()
            self._sent.clear()
        self._logon = self.next_out_seq
        self._admin(b"A", f"98=0|108=30|{extra}")

    def disconnected(self) -> None:
        self.connected = self.logged_on = False

    def send(self, msg_type: str, fields: str) -> None:
        """An application message, "11=a1|55=ALPHA|…".

        Made before the connection, it is sent when the venue asks for it; made before the Logon's answer, after that.
        """
        number = self.next_out_seq
        self.next_out_seq += 1
        body = fields.replace("|", "\x01").replace("NOW", self._now().decode()).encode()
        self._sent[number] = (msg_type.encode(), body, self._now())
        if self.logged_on:
            self.send_bytes(self._encoder.encode(msg_type.encode(), number, self._now(), body))

    def order(
        self, cl_ord_id: str, side: str, quantity: int, price: str, symbol: str = "ALPHA", time_in_force: int = 0
    ) -> None:
        self.send(
            "D",
            f"11={cl_ord_id}|21=1|55={symbol}|54={1 if side == 'buy' else 2}|60=NOW|38={quantity}|40=2|44={price}|"
            f"59={time_in_force}|",
        )

    def cancel(self, cl_ord_id: str, orig_cl_ord_id: str, side: str, symbol: str = "ALPHA") -> None:
        self.send("F", f"11={cl_ord_id}|41={orig_cl_ord_id}|55={symbol}|54={1 if side == 'buy' else 2}|60=NOW|")

    def replace(
        self, cl_ord_id: str, orig_cl_ord_id: str, side: str, quantity: int, price: str, symbol: str = "ALPHA"
    ) -> None:
        self.send(
            "G",
            f"11={cl_ord_id}|41={orig_cl_ord_id}|21=1|55={symbol}|54={1 if side == 'buy' else 2}|60=NOW|"
            f"38={quantity}|40=2|44={price}|",
        )

    def ask_again(self, first: int, last: int = 0) -> None:
        self._admin(b"2", f"7={first}|16={last}|")

    def test_request(self, text: str) -> None:
        self._admin(b"1", f"112={text}|")

    def log_out(self) -> None:
        self._admin(b"5", "")

    def _now(self) -> bytes:
        return format_timestamp(self._clock())

    def _admin(self, msg_type: bytes, fields: str) -> None:
        number = self.next_out_seq
        self.next_out_seq += 1
        self.send_bytes(self._encoder.encode(msg_type, number, self._now(), fields.replace("|", "\x01").encode()))

    # Hearing

    def receive(self, data: bytes) -> None:
        for raw in self._framer.receive_data(data):
            message = decode(raw)
            assert message.fault is None, raw
            self.heard.append(message)
            self._hear(message)

    def _hear(self, message: FixMessage) -> None:
        fields = message.fields
        number = message.msg_seq_num
        resent = fields.get(tags.PossDupFlag) == b"Y"
        if not self.logged_on:
            assert message.msg_type in (b"A", b"5"), f"{message.raw!r} before the Logon's answer"
            self._log_on(message)
            if self.takes_lower_numbers:
                self.next_in_seq = min(self.next_in_seq, number)
        if message.msg_type == b"2":  # served before anything is asked for (test case 20)
            self._resend(int(fields[tags.BeginSeqNo]))
        if number > self.next_in_seq:
            if not self._asked:
                self._asked = number
                self.ask_again(self.next_in_seq)
            return
        if number < self.next_in_seq:
            assert resent, f"number {number} again without PossDupFlag, {self.next_in_seq} expected"
            self._keep(number, message)
            return
        self.next_in_seq = number + 1
        if message.msg_type == b"4":
            self.next_in_seq = int(fields[tags.NewSeqNo])
        else:
            self._keep(number, message)
        if message.msg_type == b"1":
            self._admin(b"0", f"112={fields[tags.TestReqID].decode()}|")
        if self.next_in_seq > self._asked:
            self._asked = 0

    def _log_on(self, message: FixMessage) -> None:
        self.logged_on = message.msg_type == b"A"
        if self.logged_on:
            for number in sorted(each for each in self._sent if each > self._logon):
                msg_type, body, time = self._sent[number]
                self.send_bytes(self._encoder.encode(msg_type, number, time, body))

    def _keep(self, number: int, message: FixMessage) -> None:
        if message.msg_type in b"0 1 2 4 5 A".split():
            return
        content = {tag: value for tag, value in message.fields.items() if tag not in _HEADER}
        content[tags.MsgType] = message.msg_type
        if self.takes_lower_numbers:
            self._keep_by_name(content)
            return
        assert self.inbox.setdefault(number, content) == content, f"number {number} has two contents"
        exec_id = content.get(tags.ExecID)
        if message.msg_type == EXECUTION_REPORT and exec_id != b"0":  # 0: a status
            first = self._exec_ids.setdefault(exec_id, number)
            assert first == number, f"ExecID(17) {exec_id!r} came under {first} and under {number}"

    def _keep_by_name(self, content: dict[int, bytes]) -> None:
        """Numbers have become unreliable: a report is known by its ExecID(17), an OrderCancelReject by its ClOrdID."""
        names = (tags.MsgType, tags.ExecID if tags.ExecID in content else tags.ClOrdID)
        for known in self.inbox.values():
            if all(known.get(tag) == content[tag] for tag in names):
                assert known == content
                return
        self.inbox[max(self.inbox, default=0) + 1] = content

    def _resend(self, first: int) -> None:
        """Application messages again, everything else filled."""
        for number in range(first, self.next_out_seq):
            if number in self._sent:
                msg_type, body, time = self._sent[number]
                again = b"43=Y\x01122=%b\x01%b" % (time, body)
                self.send_bytes(self._encoder.encode(msg_type, number, self._now(), again))
            else:
                fill = b"43=Y\x01122=%b\x01123=Y\x0136=%d\x01" % (self._now(), number + 1)
                self.send_bytes(self._encoder.encode(b"4", number, self._now(), fill))

    # What tests look at

    def take(self) -> list[str]:
        """What came since the last time, each message in one line: "8 11=a1 150=0 39=0 …"."""
        heard, self.heard = self.heard, []
        return [shown(message) for message in heard]

    def reports(self) -> list[dict[int, bytes]]:
        """All application messages in the order of their numbers."""
        return [self.inbox[number] for number in sorted(self.inbox)]


def shown(message: FixMessage) -> str:
    """MsgType(35) and the fields that tell what happened."""
    values = [f"{tag}={message.fields[tag].decode()}" for tag in _SHOWN if tag in message.fields]
    return " ".join([message.msg_type.decode(), *values])
