"""A broker that runs QuickFIX (C++): the foreign engine that our gateway is judged by.

The idea: everything that a test wants to know is in two lists of dicts, tag to text: `received` and `sent`, session and
application messages alike, in order. A test sends and then waits for what it expects; a wait that fails says all that
came instead.

    broker = QuickFixBroker(tmp_path / "a", port, sender="A", target="VENUE", username="a", password="…")
    with broker:                                            # logs on; logs out at the end
        order = broker.send_order("ABCD", BUY, 100, "10.00")
        broker.wait_for(report(order, ord_status="0"))

The directory holds QuickFIX's own file store, so sequence numbers survive `stop` and `start`, and its message logs.

Traps of QuickFIX's Python binding, avoided here: an exception in a callback ends the process (so callbacks only note
things down); settings are read from a file; factories and the application must outlive the initiator; numbers of a
session that is still referenced somewhere are not read again from the store.
"""

import gc
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import quickfix

BUY, SELL = "1", "2"
MARKET, LIMIT = "1", "2"
DAY, IOC, FOK = "0", "3", "4"
LOGON, LOGOUT, REJECT, BUSINESS_MESSAGE_REJECT = "A", "5", "3", "j"
EXECUTION_REPORT, ORDER_CANCEL_REJECT = "8", "9"

#: Seconds after which what has not come will not come.
PATIENCE = 40.0

Message = dict[int, str]
Condition = Callable[[Message], bool]

DICTIONARIES = Path(sys.prefix) / "share" / "quickfix"


def parse(text: str) -> Message:
    """A message as a dict; of a tag that comes twice the last one."""
    return {int(tag): value for tag, _, value in (field.partition("=") for field in text.split("\x01")[:-1])}


def shown(message: Message) -> str:
    """As people write FIX messages; without a password."""
    return "|".join(f"{tag}={'…' if tag == 554 else value}" for tag, value in message.items())


def is_type(msg_type: str, **fields: str) -> Condition:
    """The condition that a message is of this type and has these fields, named by tag as in `t58="…"`."""
    wanted = {int(name.removeprefix("t")): value for name, value in fields.items()}
    return lambda message: message[35] == msg_type and all(message.get(tag) == wanted[tag] for tag in wanted)


def report(cl_ord_id: str, **fields: str) -> Condition:
    """The condition that a message is an ExecutionReport about this ClOrdID(11), with these fields besides."""
    return is_type(EXECUTION_REPORT, t11=cl_ord_id, **fields)


class _Application(quickfix.Application):  # type: ignore[misc]
    """QuickFIX calls these from threads of its own."""

    def __init__(self, broker: "QuickFixBroker") -> None:
        super().__init__()
        self._broker = broker

    def onCreate(self, session_id: Any) -> None:  # noqa: N802
        self._broker._session_id = session_id

    def onLogon(self, session_id: Any) -> None:  # noqa: N802
        self._broker._note_logged_on(True)

    def onLogout(self, session_id: Any) -> None:  # noqa: N802
        self._broker._note_logged_on(False)

    def toAdmin(self, message: Any, session_id: Any) -> None:  # noqa: N802
        if parse(message.toString())[35] == LOGON:
            message.setField(quickfix.Username(self._broker.username))
            message.setField(quickfix.Password(self._broker.password))
        self._broker._note(self._broker.sent, message)

    def toApp(self, message: Any, session_id: Any) -> None:  # noqa: N802
        self._broker._note(self._broker.sent, message)

    def fromAdmin(self, message: Any, session_id: Any) -> None:  # noqa: N802
        self._broker._note(self._broker.received, message)

    def fromApp(self, message: Any, session_id: Any) -> None:  # noqa: N802
        self._broker._note(self._broker.received, message)


class QuickFixBroker:
    """One FIX session of one broker, as initiator."""

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        sender: str,
        target: str,
        username: str,
        password: str,
        begin_string: str = "FIX.4.4",
        heartbeat_seconds: int = 5,
        settings: dict[str, str] | None = None,
    ) -> None:
        """`settings` are further lines of QuickFIX's own, such as `{"ResetOnLogon": "Y"}`."""
        self.directory = directory
        self.name = f"{begin_string}:{sender}"
        self.begin_string = begin_string
        self.username = username
        self.password = password
        self.received: list[Message] = []
        self.sent: list[Message] = []
        self.logged_on = False
        self._ends = 0
        self._changed = threading.Condition()
        self._session_id: Any = None
        self._initiator: Any = None
        self._parts: tuple[Any, ...] = ()  # what the initiator refers to without owning it
        self._ids = 0
        directory.mkdir(parents=True, exist_ok=True)
        lines = {
            "ConnectionType": "initiator",
            "BeginString": begin_string,
            "SenderCompID": sender,
            "SocketConnectHost": "127.0.0.1",
            "SocketConnectPort": str(port),
            "HeartBtInt": str(heartbeat_seconds),
            "ReconnectInterval": "1",
            "StartTime": "00:00:00",
            "EndTime": "00:00:00",
            "UseDataDictionary": "Y",
            "DataDictionary": str(DICTIONARIES / f"{begin_string.replace('.', '')}.xml"),
            "FileStorePath": str(directory / "store"),
            "FileLogPath": str(directory / "log"),
            **(settings or {}),
        }
        text = "[DEFAULT]\n" + "".join(f"{name}={value}\n" for name, value in lines.items())
        text += f"[SESSION]\nTargetCompID={target}\n"
        (directory / "quickfix.cfg").write_text(text)

    # --- the connection -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        self.wait_until(lambda: self.logged_on, "a Logon")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to connect, again and again until it succeeds."""
        assert self._initiator is None
        application = _Application(self)
        settings = quickfix.SessionSettings(str(self.directory / "quickfix.cfg"))
        store = quickfix.FileStoreFactory(settings)
        log = quickfix.FileLogFactory(settings)
        self._initiator = quickfix.SocketInitiator(application, store, settings, log)
        self._parts = (application, store, settings, log)
        self._initiator.start()

    def stop(self, *, rudely: bool = False) -> None:
        """Log out and disconnect; rudely: disconnect without a Logout. Numbers stay in the file store."""
        if self._initiator is None:
            return
        ends = self._ends  # counted, for QuickFIX may be logged on again before this thread looks
        try:
            if self.logged_on:
                session = quickfix.Session.lookupSession(self._session_id)
                session.logout()  # QuickFIX's own thread says so within a second, and connects no more
                if rudely:
                    session.disconnect()  # which leaves it nobody to say it to
                self.wait_until(lambda: self._ends > ends, "the end of the session")
        finally:  # an initiator that is collected while its thread runs ends the process
            self._initiator.stop(True)
            self._session_id = None
            self._initiator = None
            gc.collect()  # the initiator's sessions close their stores and logs, so these go after it
            self._parts = ()
            self._note_logged_on(False)

    @property
    def next_numbers(self) -> tuple[int, int]:
        """(ours, theirs): the MsgSeqNum(34) of the next message each way, as QuickFIX has it while it runs."""
        session = quickfix.Session.lookupSession(self._session_id)
        return session.getExpectedSenderNum(), session.getExpectedTargetNum()

    # --- orders -------------------------------------------------------------------------------------------------------

    def send_order(
        self, symbol: str, side: str, quantity: int, price: str | None, time_in_force: str = DAY, **fields: str
    ) -> str:
        """A NewOrderSingle(D), a market order without a price. Returns its ClOrdID. More `fields` as in `t1="…"`."""
        terms = {55: symbol, 54: side, 38: str(quantity), 40: MARKET if price is None else LIMIT, 59: time_in_force}
        if price is not None:
            terms[44] = price
        return self._send("D", terms, fields)

    def cancel(self, orig_cl_ord_id: str, symbol: str, side: str, quantity: int, **fields: str) -> str:
        """An OrderCancelRequest(F). Returns its own ClOrdID."""
        return self._send("F", {41: orig_cl_ord_id, 55: symbol, 54: side, 38: str(quantity)}, fields)

    def replace(self, orig_cl_ord_id: str, symbol: str, side: str, quantity: int, price: str, **fields: str) -> str:
        """An OrderCancelReplaceRequest(G) of a limit order. Returns the ClOrdID that the order has afterwards."""
        terms = {41: orig_cl_ord_id, 55: symbol, 54: side, 38: str(quantity), 40: LIMIT, 44: price, 59: DAY}
        return self._send("G", terms, fields)

    def _send(self, msg_type: str, terms: Message, fields: dict[str, str]) -> str:
        self._ids += 1
        cl_ord_id = f"{self.username}-{self._ids}"
        message = quickfix.Message()
        message.getHeader().setField(quickfix.MsgType(msg_type))
        now = quickfix.TransactTime()
        now.setString(time.strftime("%Y%m%d-%H:%M:%S", time.gmtime()))
        message.setField(now)
        given = {int(name.removeprefix("t")): value for name, value in fields.items()}
        handling = {} if msg_type == "F" else {21: "1"}
        for tag, value in {11: cl_ord_id, **handling, **terms, **given}.items():
            message.setField(quickfix.StringField(tag, value))
        assert quickfix.Session.sendToTarget(message, self._session_id)
        return given.get(11, cl_ord_id)

    # --- what came ----------------------------------------------------------------------------------------------------

    def wait_for(self, condition: Condition, timeout: float = PATIENCE, *, count: int = 1) -> Message:
        """The `count`th message received that meets the condition. Raises AssertionError with all that came."""
        found: list[Message] = []

        def enough() -> bool:
            found[:] = [message for message in self.received if condition(message)]
            return len(found) >= count

        self.wait_until(enough, f"{count} such messages, came {len(found)}", timeout)
        return found[count - 1]

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
        """Returns when the condition holds, looked at whenever a message comes or the session begins or ends."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise AssertionError(f"{self.name} waited {timeout} s for {what}\n{self.history()}")

    def history(self) -> str:
        """Everything received and sent, for a failure's text."""
        lines = [f"  received {shown(message)}" for message in self.received]
        lines += [f"  sent     {shown(message)}" for message in self.sent]
        return "\n".join(lines) or "  nothing received, nothing sent"

    def about(self, cl_ord_id: str) -> list[Message]:
        """Every ExecutionReport and OrderCancelReject received with this ClOrdID(11), in order."""
        return [message for message in self.received if message.get(11) == cl_ord_id]

    def complaints(self) -> list[str]:
        """What QuickFIX itself refused of what it received: its Rejects(3) and BusinessMessageRejects(j)."""
        return [shown(message) for message in self.sent if message[35] in (REJECT, BUSINESS_MESSAGE_REJECT)]

    def _note(self, messages: list[Message], message: Any) -> None:
        with self._changed:
            messages.append(parse(message.toString()))
            self._changed.notify_all()

    def _note_logged_on(self, logged_on: bool) -> None:
        with self._changed:
            self.logged_on = logged_on
            self._ends += not logged_on
            self._changed.notify_all()
