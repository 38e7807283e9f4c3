"""FIX in tests: messages as "35=D|34=2|…", and a session with a peer that fills in what every message has."""

from fixgw.awake import SteadyClock
from fixgw.codec import FixMessage, Framer, decode
from fixgw.logon import Identity
from fixgw.session import Session
from fixgw.session_events import Application, Event, Rejected
from fixgw.timestamps import SECOND, format_timestamp

#: 22 November 2026, 09:30 UTC.
NOW = 1_795_339_800 * SECOND
#: The steady clock then: far from the other, as it is.
STEADY = 5_000 * SECOND


def wire(fields: str, begin_string: str = "FIX.4.4") -> bytes:
    """Bytes of the message whose fields, from 35= on, are given with | for SOH."""
    body = fields.encode().replace(b"|", b"\x01")
    message = b"8=%b\x019=%d\x01%b" % (begin_string.encode(), len(body), body)
    return message + b"10=%03d\x01" % (sum(message) % 256)


def told(raw: bytes) -> str:
    """The message as tests write it, without BodyLength(9) and CheckSum(10), which are checked here."""
    message = decode(raw)
    assert Framer().receive_data(raw) == [raw]
    assert message.fault is None
    return raw.decode().replace("\x01", "|").split("|", 2)[2].rsplit("10=", 1)[0]


class Talk:
    """A session of the venue's with a peer, a store, a wall clock (`now`) and a steady one. Both go on by `wait`."""

    def __init__(
        self, begin_string: str = "FIX.4.4", next_in_seq: int = 1, next_out_seq: int = 1, run: int = 1
    ) -> None:
        self.begin_string = begin_string
        identity = Identity(begin_string.encode(), b"VENUE", b"BROKER")
        self.session = Session(identity, next_in_seq, next_out_seq, run)
        self.clock = SteadyClock(STEADY)
        self.session.keep_time_by(self.clock)
        self.now = NOW
        self.store: dict[int, bytes] = {}
        self.events: list[Event] = []

    def message(self, fields: str) -> FixMessage:
        """`fields` with CompIDs and SendingTime put after MsgSeqNum unless they are given; "-52" leaves 52 out."""
        left_out = [field for field in fields.split("|") if field.startswith("-")]
        given = [field for field in fields.split("|") if field and not field.startswith("-")]
        named = {field.split("=")[0] for field in given} | {field[1:] for field in left_out}
        begin_string = next((field[2:] for field in given if field.startswith("8=")), self.begin_string)
        given = [field for field in given if not field.startswith("8=")]
        sending_time = format_timestamp(self.now).decode()
        standard = (("49", "BROKER"), ("52", sending_time), ("56", "VENUE"))
        header = [f"{tag}={value}" for tag, value in standard if tag not in named]
        at = 2 if len(given) > 1 and given[1].startswith("34=") else 1
        [raw] = Framer().receive_data(wire("|".join([*given[:at], *header, *given[at:], ""]), begin_string))
        return decode(raw)

    def logon(self, fields: str = "35=A|34=1|98=0|108=30") -> list[str]:
        """Connect with a Logon; what the session sends."""
        return self._handled(self.session.accept_logon(self.message(fields), self.now))

    def receive(self, *messages: str) -> list[str]:
        """The peer sends messages; what the session sends."""
        return [
            sent for fields in messages for sent in self._handled(self.session.receive(self.message(fields), self.now))
        ]

    def wait(self, seconds: float) -> list[str]:
        """Let time pass, with all deadlines on the way."""
        sent = []
        end = self.clock.time + round(seconds * SECOND)
        while (deadline := self.session.next_deadline()) is not None and deadline <= end:
            self.sleep(max(deadline - self.clock.time, 0))
            sent += self._handled(self.session.handle_deadline(self.now))
            if any(type(event).__name__ == "Disconnect" for event in self.events):
                break
        self.sleep(end - self.clock.time)
        return sent

    def sleep(self, duration: int) -> None:
        """Let time pass (ns) in which nobody is there to see what is due."""
        self.now += duration
        self.clock.time += duration

    def send(self, fields: str) -> list[str]:
        """The venue sends an application message, "35=8|…"."""
        msg_type, _, body = fields.partition("|")
        number, raw = self.session.send_application(
            msg_type[3:].encode(), body.encode().replace(b"|", b"\x01"), self.now
        )
        self.store[number] = raw
        return self.sent()

    def sent(self) -> list[str]:
        """What the session puts on the socket, resends included."""
        data = self.session.data_to_send()
        while (wanted := self.session.resend_wanted()) is not None:
            first, last = wanted
            stored = [(number, raw) for number, raw in sorted(self.store.items()) if first <= number <= last]
            self.session.resend(first, last, stored, self.now)
            data += self.session.data_to_send()
        return [told(raw) for raw in Framer().receive_data(data)]

    def _handled(self, events: list[Event]) -> list[str]:
        self.events = events
        for event in events:
            if isinstance(event, Rejected):
                self.store[event.msg_seq_num] = event.raw
        return self.sent()


def event_line(event: Event) -> str:
    """An event in one line."""
    name = type(event).__name__
    if isinstance(event, Application):
        number = f"{event.session_seq >> 32}/{event.session_seq & 0xFFFFFFFF}"
        return f"{name} 35={event.message.msg_type.decode()} {number}"
    if isinstance(event, Rejected):
        return f"{name} 34={event.message.msg_seq_num} by {event.msg_seq_num}"
    values = " ".join(str(getattr(event, field)) for field in event.__struct_fields__)
    return f"{name} {values}".rstrip()
