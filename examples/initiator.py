"""The initiator's side of a FIX session, FIX.4.2 and FIX.4.4, on trio and simplefix.

The idea: a session is two numbered streams of messages that outlive their TCP connections. `Numbers` are where the two
streams stand; everything else here is what to do when a number is not the expected one.

    async with initiator.session(await trio.open_tcp_stream(host, port)):    # Logon before the block, Logout after it
        await initiator.send(b"D", [(11, "order-1"), …])

Rules (FIX 4.4 with Errata, Volume 2):

* our number is stored before its message is sent, the venue's after its message was handled: a number of ours is never
  used twice, a message of the venue may come twice but is never lost;
* a number too high is a gap: ask for everything from the expected one on, once, and drop what comes meanwhile, since it
  comes again; too low is ignored when flagged PossDupFlag(43), and otherwise ends the session;
* asked to resend, we fill the gap: an order that did not arrive when it was meant to is better decided on anew;
* HeartBtInt(108) of silence from us sends a Heartbeat; 1.2 times that from the venue a TestRequest, 2.4 times the end.

Two things simplefix does not do: it checks no BodyLength and no CheckSum on what it reads (TCP has done that), and it
writes an SOH inside a value as it stands, which would forge fields; `send` refuses such a value.
"""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import simplefix
import trio

HEARTBEAT, TEST_REQUEST, RESEND_REQUEST, REJECT, SEQUENCE_RESET, LOGOUT, LOGON = (
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"A",
)

#: Bytes read at a time; simplefix's parser gets slower the more it has buffered.
READ_BYTES = 4096
#: No message of any venue is longer.
MAX_MESSAGE_BYTES = 65536
LOGON_SECONDS = 10.0
LOGOUT_SECONDS = 5.0
SEND_SECONDS = 5.0

#: What the owner does with an application message (and with a Reject): it, and when it was read (perf_counter_ns).
Handler = Callable[[simplefix.FixMessage, int], Awaitable[None]]
Fields = Iterable[tuple[int, object]]


class SessionEnded(Exception):
    """The session is over and it was not we who ended it; the text says why."""


class Settings(NamedTuple):
    """Who logs on to whom. Its representation leaves the password out, so that no log ever shows it."""

    sender_comp_id: str
    target_comp_id: str
    username: str
    password: str
    begin_string: str = "FIX.4.4"
    heartbeat_seconds: int = 10

    def __repr__(self) -> str:
        return f"Settings({self.begin_string}:{self.sender_comp_id}->{self.target_comp_id})"


class Numbers:
    """The next MsgSeqNum(34) of ours and of the venue's; in a file if they are to outlive this process."""

    def __init__(self, path: Path | None = None) -> None:
        self.next_out = self.next_in = 1
        self.kept = path is not None
        self._file = -1
        if path is not None:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            stored = os.pread(self._file, 64, 0).split()
            if len(stored) == 2:
                self.next_out, self.next_in = map(int, stored)

    def save(self) -> None:
        if self._file >= 0:
            os.pwrite(self._file, b"%012d %012d\n" % (self.next_out, self.next_in), 0)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def number(message: simplefix.FixMessage, tag: int) -> int:
    """A number that must be there. Raises SessionEnded: a venue that leaves it out cannot be talked to."""
    value = message.get(tag)
    if value is None or not value.isdigit():
        raise SessionEnded(f"the venue's message of type {message.message_type!r} has no number in tag {tag}")
    return int(value)


def text_of(message: simplefix.FixMessage) -> str:
    return (message.get(58) or b"").decode("ascii", "replace")


class Initiator:
    """One FIX session. `numbers` without a file, or with a new one, begin it anew: Logon says ResetSeqNumFlag(141)."""

    def __init__(self, settings: Settings, on_message: Handler, numbers: Numbers | None = None) -> None:
        self.settings = settings
        self.numbers = numbers or Numbers()
        self._on_message = on_message
        self._stream: trio.abc.Stream | None = None
        self._lock = trio.Lock()

    @asynccontextmanager
    async def session(self, stream: trio.abc.Stream) -> AsyncIterator[None]:
        """Log on over this connection, keep the session alive while the block runs, log out, close the connection.

        Raises SessionEnded when the venue refuses the Logon, or ends the session while the block runs (which is then
        canceled).
        """
        self._stream = stream
        self._logged_on, self._logged_out = trio.Event(), trio.Event()
        self._resend_until = 0  # the highest number seen above a gap that was asked for
        self._heard_at = self._sent_at = trio.current_time()
        self._tested = self._ending = False
        self._failure: Exception | None = None
        failure: Exception | None = None
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._until_ended, self._read, nursery.cancel_scope)
            try:
                await self._log_on()
                nursery.start_soon(self._until_ended, self._keep_alive, nursery.cancel_scope)
                yield
                await self._log_out()
            except Exception as error:  # raised again below; here the nursery would wrap it into a group
                failure = error
            nursery.cancel_scope.cancel()
        self._stream = None
        if self._failure or failure:
            raise self._failure or failure

    async def send(self, msg_type: bytes, fields: Fields, about_to_send: Callable[[], None] | None = None) -> None:
        """Number a message and send it. Raises ValueError for a value that FIX cannot carry, SessionEnded."""
        body = [(tag, value if isinstance(value, bytes) else str(value).encode("ascii")) for tag, value in fields]
        for tag, value in body:
            if not value or b"\x01" in value:
                raise ValueError(f"tag {tag} cannot have the value {value!r}")
        async with self._lock:
            msg_seq_num = self.numbers.next_out
            self.numbers.next_out = msg_seq_num + 1
            self.numbers.save()
            await self._transmit(msg_type, msg_seq_num, body, about_to_send)

    async def _transmit(
        self, msg_type: bytes, msg_seq_num: int, body: Fields, about_to_send: Callable[[], None] | None = None
    ) -> None:
        message = simplefix.FixMessage()
        message.append_pair(8, self.settings.begin_string)
        message.append_pair(35, msg_type)
        message.append_pair(34, msg_seq_num)
        message.append_pair(49, self.settings.sender_comp_id)
        message.append_utc_timestamp(52, precision=3)
        message.append_pair(56, self.settings.target_comp_id)
        for tag, value in body:
            message.append_pair(tag, value)
        data = message.encode()
        if self._stream is None:
            raise SessionEnded("there is no session")
        if about_to_send is not None:
            about_to_send()
        try:
            with trio.fail_after(SEND_SECONDS, shield=True):  # half a message would be the end of the session
                await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise SessionEnded("the connection is lost") from error
        self._sent_at = trio.current_time()

    # --- beginning and end --------------------------------------------------------------------------------------------

    async def _log_on(self) -> None:
        settings = self.settings
        fields: list[tuple[int, object]] = [(98, 0), (108, settings.heartbeat_seconds)]
        if not self.numbers.kept or self.numbers.next_in == 1:  # never logged on: there is nothing to go on from
            self.numbers.next_out = self.numbers.next_in = 1
            fields.append((141, "Y"))
        await self.send(LOGON, [*fields, (553, settings.username), (554, settings.password)])
        with trio.move_on_after(LOGON_SECONDS):
            await self._logged_on.wait()
            return
        raise SessionEnded("the venue did not answer the Logon")

    async def _log_out(self) -> None:
        self._ending = True
        with trio.move_on_after(LOGOUT_SECONDS):
            await self.send(LOGOUT, [])
            await self._logged_out.wait()

    async def _until_ended(self, task: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        try:
            await task()
        except SessionEnded as ended:
            if self._ending:
                self._logged_out.set()  # gone without an answer to our Logout: gone all the same
                return
            self._failure = ended
            scope.cancel()

    # --- the two tasks ------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Handle what the venue sends, until Logout or the end of the connection."""
        assert self._stream is not None
        parser = simplefix.FixParser()
        while not self._logged_out.is_set():
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except trio.BrokenResourceError as error:
                raise SessionEnded("the connection is lost") from error
            read_at = time.perf_counter_ns()
            if not data:
                raise SessionEnded("the venue closed the connection")
            self._heard_at = trio.current_time()
            self._tested = False
            parser.append_buffer(bytes(data))  # any trio stream will do, and some give bytearrays
            try:
                while (message := parser.get_message()) is not None:
                    await self._handle(message, read_at)
            except simplefix.errors.ParsingError as error:
                raise SessionEnded(f"what the venue sent is no FIX: {error!r}") from error
            if len(parser.buf) > MAX_MESSAGE_BYTES:
                raise SessionEnded("what the venue sent is no FIX message, or one without end")

    async def _keep_alive(self) -> None:
        """Heartbeats of ours, and an eye on the venue's."""
        interval = self.settings.heartbeat_seconds
        while True:
            silence = 2.4 * interval if self._tested else 1.2 * interval
            await trio.sleep_until(min(self._sent_at + interval, self._heard_at + silence))
            now = trio.current_time()
            if now >= self._heard_at + 2.4 * interval:
                raise SessionEnded(f"nothing came from the venue in {2.4 * interval:g} seconds")
            if now >= self._heard_at + 1.2 * interval and not self._tested:
                self._tested = True
                await self.send(TEST_REQUEST, [(112, f"test-{self.numbers.next_out}")])
            if now >= self._sent_at + interval:
                await self.send(HEARTBEAT, [])

    # --- one message --------------------------------------------------------------------------------------------------

    async def _handle(self, message: simplefix.FixMessage, read_at: int) -> None:
        msg_type, numbers = message.message_type, self.numbers
        gap_fill = message.get(123) == b"Y"
        if msg_type == SEQUENCE_RESET and not gap_fill:
            numbers.next_in = number(message, 36)  # Reset mode: its own MsgSeqNum means nothing
        elif (received := number(message, 34)) > numbers.next_in:
            await self._handle_gap(message, received)
        elif received < numbers.next_in:
            if message.get(43) != b"Y":
                raise SessionEnded(f"MsgSeqNum(34) too low, expecting {numbers.next_in}, received {received}")
            return
        elif msg_type == SEQUENCE_RESET:
            numbers.next_in = max(received + 1, number(message, 36))
        else:
            await self._act_on(message, read_at)
            numbers.next_in = received + 1
        numbers.save()

    async def _handle_gap(self, message: simplefix.FixMessage, received: int) -> None:
        """Something before this message is missing. What cannot wait is answered; all of it comes again."""
        if message.message_type in (LOGON, LOGOUT):
            await self._act_on(message, 0)
        elif message.message_type == RESEND_REQUEST:
            await self._fill_gap(message)
        expected = self.numbers.next_in
        if self._resend_until < expected and not self._logged_out.is_set():
            await self.send(RESEND_REQUEST, [(7, expected), (16, 0)])
        self._resend_until = max(self._resend_until, received)

    async def _act_on(self, message: simplefix.FixMessage, read_at: int) -> None:
        msg_type = message.message_type
        if msg_type == LOGON:
            self._logged_on.set()
        elif msg_type == TEST_REQUEST:
            await self.send(HEARTBEAT, [(112, message.get(112) or b"?")])
        elif msg_type == RESEND_REQUEST:
            await self._fill_gap(message)
        elif msg_type == LOGOUT:
            await self._handle_logout(message)
        elif msg_type not in (HEARTBEAT, SEQUENCE_RESET):
            await self._on_message(message, read_at)

    async def _handle_logout(self, message: simplefix.FixMessage) -> None:
        self._logged_out.set()
        if not self._logged_on.is_set():
            raise SessionEnded(f"the venue refused the Logon: {text_of(message)}")
        if self._ending:
            return
        await self.send(LOGOUT, [])
        self.numbers.next_in += 1
        self.numbers.save()
        raise SessionEnded(f"the venue logged us out: {text_of(message)}")

    async def _fill_gap(self, request: simplefix.FixMessage) -> None:
        """One SequenceReset-GapFill over everything asked for: nothing we said is worth saying late."""
        begin = number(request, 7)
        sent = simplefix.FixMessage()
        sent.append_utc_timestamp(122, precision=3)
        async with self._lock:
            if begin < self.numbers.next_out:
                fields = [(43, b"Y"), (122, sent.get(122)), (123, b"Y"), (36, self.numbers.next_out)]
                await self._transmit(SEQUENCE_RESET, begin, fields)
