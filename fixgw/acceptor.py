"""The gateway's side to the brokers: accept connections, log sessions on, carry their bytes.

A connection goes through three hands. As a *stranger* it has ten seconds to send one Logon(A), and costs a bounded
buffer. Who it claims to be is then checked: the session must exist, its network must be allowed, nobody may be logged
on to it already, its password must be right; until that is done nothing has touched the session. From then on it is the
session's connection, and what it says goes to the router.

What is refused, and how (FIX 4.4 Volume 2, test cases 1S and 2): a first message that is no Logon, CompIDs that name no
session, an address that is not allowed, a session that is connected already: closed without a word, since an answer
would have to use a session's number. A wrong password: Logout with a text. What is wrong later is the session's to say.
"""

import logging
import socket
from collections import Counter
from typing import Final

import trio

from fixgw import connection as tcp
from fixgw.auth import Account, Accounts, LogonGuard
from fixgw.codec import Decoder, FixMessage, FixProtocolError, Framer, decode
from fixgw.connection import Connection, PeerGone
from fixgw.gateway import Gateway
from fixgw.logon import LOGON_TIMEOUT, credentials, identify
from fixgw.router import Seat
from fixgw.session_state import State
from fixgw.timestamps import SECOND
from recovery.alarm import now_ns
from recovery.journal_reader import JournalError

_log: Final = logging.getLogger("fixgw.acceptor")

#: Connections that have not logged on yet, over all peers: a flood of them costs no memory worth mentioning. And from
#: one address: such a flood keeps nobody else out.
MAX_STRANGERS: Final = 256
MAX_STRANGERS_OF_HOST: Final = 32

#: How long a peer has to read our last words after we have stopped sending.
LINGER_SECONDS: Final = 2.0

#: Password checks at a time: each takes some 20 MiB and 40 ms of a core, on purpose.
PASSWORD_CHECKS: Final = 2

_BACKLOG: Final = 128


class Acceptor:
    """Accepts the brokers of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        sessions = gateway.config.sessions_of(gateway.settings.name)
        self._accounts = Accounts(
            {
                each.sender_comp_id.encode(): Account(
                    each.username.encode(), each.password_hash, tuple(map(str, each.allow))
                )
                for each in sessions
                if each.password_hash is not None  # without one nobody can log on
            }
        )
        self._guard = LogonGuard()
        self._seats = {seat.session.identity: seat for seat in gateway.router.seats.values()}
        self._password_checks = trio.CapacityLimiter(PASSWORD_CHECKS)
        self._strangers: Counter[str] = Counter()

    async def run(self, host: str, port: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until canceled. Raises OSError when the address cannot be listened on."""
        with tcp.listen(host, port, _BACKLOG) as listener:
            async with trio.open_nursery() as nursery:
                task_status.started()
                await self._accept(listener, nursery)

    async def _accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        while True:
            connection, host = await tcp.accept(listener)
            if self._strangers.total() >= MAX_STRANGERS or self._strangers[host] >= MAX_STRANGERS_OF_HOST:
                connection.close()
            else:
                nursery.start_soon(self._serve, connection, host)

    async def _serve(self, connection: Connection, host: str) -> None:
        """One connection from its first byte to its last. Whatever happens here stays here."""
        who = f"stranger from {host}"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.run_writer)
                nursery.start_soon(_see_out, connection)
                framer = Framer()
                seat, rest = await self._log_on(connection, host, framer)
                if seat is not None:
                    who = f"{seat.session.identity.target_comp_id.decode()} from {host}"
                    if seat.session.state is not State.DISCONNECTED:
                        _log.info("%s: logged on", who)
                        await self._carry(connection, seat, framer, rest)
                    # The session's last words leave with their batch, which then finishes the connection.
                else:
                    connection.finish()
                await _linger(connection)
                nursery.cancel_scope.cancel()
        except* (PeerGone, FixProtocolError) as ends:
            _log.info("%s: the connection ends: %s", who, ends.exceptions[0])
        except* (JournalError, AssertionError):
            raise  # nothing can be promised any more: the process must stop
        except* Exception:
            _log.exception("%s: the connection ends by a fault of ours", who)
        finally:
            connection.close()
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        """The connection is gone; if a session was logged on over it, that is free again."""
        connections = self._gateway.connections
        for session_id in [each for each, used in connections.items() if used is connection]:
            self._gateway.left(session_id)

    # --- logging on ---------------------------------------------------------------------------------------------------

    async def _log_on(self, connection: Connection, host: str, framer: Framer) -> tuple[Seat | None, list[bytes]]:
        """(the seat it is logged on to, what it sent beyond its Logon), or (None, …) when it is to be closed."""
        self._strangers[host] += 1
        try:
            with trio.move_on_after(LOGON_TIMEOUT / SECOND):
                messages: list[bytes] = []
                while not messages:
                    messages = framer.receive_data(await connection.receive())
                logon = decode(messages[0])
                seat = self._find_seat(logon, host)
                if seat is not None and await self._proves_itself(connection, seat, logon, host):
                    return self._take_seat(connection, seat, logon), messages[1:]
        finally:
            self._strangers[host] -= 1
            self._strangers += Counter()  # forgets whoever has none
        return None, []

    def _find_seat(self, logon: FixMessage, host: str) -> Seat | None:
        """The seat that a Logon may try for. Raises FixProtocolError."""
        identity = identify(logon)
        comp_id = identity.target_comp_id
        seat = self._seats.get(identity)
        if seat is None or not self._accounts.allows(comp_id, host):
            raise FixProtocolError("BeginString(8) and the CompIDs name no session that may come from there")
        if self._guard.refused_until(comp_id, host, now_ns()):
            raise FixProtocolError("refused for a while after too many failed logons")
        if seat.session.state is not State.DISCONNECTED:
            raise FixProtocolError(f"{comp_id.decode()} is connected already")
        return seat

    async def _proves_itself(self, connection: Connection, seat: Seat, logon: FixMessage, host: str) -> bool:
        """Whether Username(553) and Password(554) are right; says so to the peer if not."""
        comp_id = seat.session.identity.target_comp_id
        offered = credentials(logon)
        if await trio.to_thread.run_sync(
            self._accounts.verify, comp_id, offered.username, offered.password, limiter=self._password_checks
        ):
            self._guard.succeeded(comp_id, host)
            return True
        self._guard.failed(comp_id, host, now_ns())
        _log.warning("%s from %s: wrong Username(553) or Password(554)", comp_id.decode(), host)
        connection.send(seat.session.refuse_logon("Username(553) or Password(554) is wrong", self._gateway.now()))
        return False

    def _take_seat(self, connection: Connection, seat: Seat, logon: FixMessage) -> Seat | None:
        """The password was right: the session judges the rest of the Logon."""
        if seat.session.state is not State.DISCONNECTED:
            return None  # another connection was quicker while the password was checked
        now = self._gateway.now()
        self._gateway.connections[seat.session_id] = connection
        self._gateway.router.handle_events(seat, seat.session.accept_logon(logon, now), now)
        self._gateway.flush()
        return seat

    # --- logged on ----------------------------------------------------------------------------------------------------

    async def _carry(self, connection: Connection, seat: Seat, framer: Framer, messages: list[bytes]) -> None:
        """Give the router what the session's peer sends, until one of them ends it.

        Raises PeerGone, FixProtocolError.
        """
        error: FixProtocolError | None = None
        decoder = Decoder()
        while not connection.finishing and self._handle(seat, decoder, messages):
            if error is not None:
                raise error
            await self._gateway.wait_room()
            data = await connection.receive()
            try:
                messages = framer.receive_data(data)
            except FixProtocolError as fault:
                messages, error = fault.messages, fault

    def _handle(self, seat: Seat, decoder: Decoder, messages: list[bytes]) -> bool:
        """Whether the session goes on after them."""
        now = self._gateway.now()
        receive = self._gateway.router.receive
        goes_on = True
        for raw in messages:
            if not receive(seat, decoder.decode(raw), now):
                goes_on = False
                break
        self._gateway.flush()
        return goes_on


async def _see_out(connection: Connection) -> None:
    """Close what was finished while nobody but the peer could end it: one that hangs, and neither talks nor closes."""
    await connection.finished.wait()
    await trio.sleep(LINGER_SECONDS)
    connection.close()


async def _linger(connection: Connection) -> None:
    """Read on for a moment, so that the peer can read to the end."""
    with trio.move_on_after(LINGER_SECONDS):
        while True:
            await connection.receive()
