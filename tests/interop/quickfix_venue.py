"""A venue of a few lines on QuickFIX's own acceptor, to test brokers with before they meet the real one.

It acknowledges every order, fills at once what is for 100 shares or less, cancels and replaces whatever it is asked to,
and refuses orders in a symbol beginning with Z. `fill_while_away` makes reports while nobody is connected; the broker
gets them by ResendRequest when it comes back.
"""

import gc
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import quickfix

from tests.interop.quickfix_broker import DICTIONARIES, Message, parse
from tests.venue import free_ports

FILLED_AT_ONCE = 100


class Venue(quickfix.Application):  # type: ignore[misc]
    """Sessions of QuickFIX's acceptor; `passwords` by SenderCompID of the broker."""

    def __init__(self, passwords: dict[str, str]) -> None:
        super().__init__()
        self._passwords = passwords
        self.logons: list[Message] = []
        self.session_ids: dict[str, Any] = {}
        self.requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.refused = threading.Event()
        self._execs = 0

    def onCreate(self, session_id: Any) -> None:  # noqa: N802
        self.session_ids[session_id.getTargetCompID().getString()] = session_id

    def onLogon(self, session_id: Any) -> None:  # noqa: N802
        pass

    def onLogout(self, session_id: Any) -> None:  # noqa: N802
        pass

    def toAdmin(self, message: Any, session_id: Any) -> None:  # noqa: N802
        pass

    def toApp(self, message: Any, session_id: Any) -> None:  # noqa: N802
        pass

    def fromAdmin(self, message: Any, session_id: Any) -> None:  # noqa: N802
        fields = parse(message.toString())
        if fields[35] == "A":
            self.logons.append(fields)
            if self._passwords[fields[49]] != fields.get(554):
                self.refused.set()
                quickfix.Session.lookupSession(session_id).logout("wrong password")

    def fromApp(self, message: Any, session_id: Any) -> None:  # noqa: N802
        order = parse(message.toString())
        self.requests.put(order)
        if order[35] == "D" and order[55].startswith("Z"):
            self.send_report(order, session_id, "8", "8", {103: "1", 58: "unknown symbol"})
        elif order[35] == "D":
            self.send_report(order, session_id, "0", "0", {151: order[38]})
            if int(order[38]) <= FILLED_AT_ONCE:
                self.fill(order, session_id)
        elif order[35] == "G":
            status = "5" if session_id.getBeginString().getString() == "FIX.4.2" else "0"
            self.send_report(order, session_id, "5", status, {151: order[38], 41: order[41]})
        elif order[35] == "F":
            self.send_report(order, session_id, "4", "4", {41: order[41]})

    def fill(self, order: Message, session_id: Any) -> None:
        trade = "2" if session_id.getBeginString().getString() == "FIX.4.2" else "F"
        self.send_report(order, session_id, trade, "2", {32: order[38], 31: order[44], 14: order[38], 6: order[44]})

    def send_report(
        self, order: Message, session_id: Any, exec_type: str, ord_status: str, fields: Message | None = None
    ) -> None:
        """An ExecutionReport about an order; quantities are 0 unless `fields` say otherwise."""
        self._execs += 1
        message = quickfix.Message()
        message.getHeader().setField(quickfix.MsgType("8"))
        echoed = {tag: order[tag] for tag in (11, 55, 54, 38, 44) if tag in order}
        new = {37: f"o{self._execs}", 17: f"e{self._execs}", 150: exec_type, 39: ord_status, 151: "0", 14: "0", 6: "0"}
        if session_id.getBeginString().getString() == "FIX.4.2":
            new[20] = "0"
        more: Message = fields or {}
        for tag, value in (echoed | new | more).items():
            message.setField(quickfix.StringField(tag, value))
        quickfix.Session.sendToTarget(message, session_id)


@contextmanager
def running_venue(directory: Path, passwords: dict[str, str], begin_string: str) -> Iterator[tuple[Venue, int]]:
    """The venue, and the port where it listens."""
    [port] = free_ports(1)
    directory.mkdir(parents=True, exist_ok=True)
    dictionary = DICTIONARIES / f"{begin_string.replace('.', '')}.xml"
    lines = [
        "[DEFAULT]", "ConnectionType=acceptor", f"SocketAcceptPort={port}", f"BeginString={begin_string}",
        "SenderCompID=VENUE", "StartTime=00:00:00", "EndTime=00:00:00", f"DataDictionary={dictionary}",
        "AllowUnknownMsgFields=Y", f"FileStorePath={directory / 'store'}", f"FileLogPath={directory / 'log'}",
    ]  # fmt: skip
    for sender in passwords:
        lines += ["[SESSION]", f"TargetCompID={sender}"]
    (directory / "venue.cfg").write_text("\n".join(lines) + "\n")
    settings = quickfix.SessionSettings(str(directory / "venue.cfg"))
    venue = Venue(passwords)
    store, log = quickfix.FileStoreFactory(settings), quickfix.FileLogFactory(settings)
    acceptor = quickfix.SocketAcceptor(venue, store, settings, log)
    acceptor.start()
    try:
        yield venue, port
    finally:
        acceptor.stop(True)
        venue.session_ids.clear()
        del acceptor
        gc.collect()
