"""One connection to a ZooKeeper ensemble for a whole process: kazoo's threads on one side, trio on the other.

- Every `ask` has an answer within its deadline, or raises CoordinatorUnavailable. What was asked may be done all the
  same, also later: kazoo keeps a request that it could not send, and sends it to the next server. So what is asked must
  do no harm when it comes late, which a compare-and-set does not: its version has moved on by then, or nothing has.
- Nothing is asked while there is no connection: it is waited for first. What is asked then has the whole deadline for
  its answer, however long that took: a new leader's first answers are its slowest, and a question that is given up when
  it has just been sent is asked again only a campaign later.
- A connection is looked for for ever, in rounds through all servers with short pauses. They do not grow: a shard that
  has lost its primary with ZooKeeper's leader trades again no sooner than its replicas are connected again.
- kazoo finds a hung server only when it has nothing to ask: every request counts as a ping, and only a ping's answer is
  waited for. So a server that has left an `ask` unanswered for a whole deadline is hung up on; kazoo then goes to the
  next one.
- No session is relied upon: kazoo says that one has expired only after it is connected again, however long that takes.
- kazoo's callbacks come in its own threads and block there whoever comes next: here they only pass on to trio. Its
  `stop` may hang: it is given a second, then the connection is cut under it, then it is left to itself.
- What kazoo logs is kept back below ERROR: at DEBUG it tells the password, and at WARNING it repeats itself every
  second of an outage. Why there is no connection stands in the text of CoordinatorUnavailable.
"""

import contextlib
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import trio
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException, NoAuthError, NodeExistsError, NoNodeError
from kazoo.handlers.threading import AsyncResult, SequentialThreadingHandler
from kazoo.protocol.states import KazooState
from kazoo.security import make_digest_acl

from recovery.coordinator import CoordinatorUnavailable

RECONNECTED_SECONDS = 1.5
"""An ensemble that lost its leader has another, and us as its client again, within this; on a busy machine, too."""
ANSWER_SECONDS = 1.0
"""An answer takes 2 ms; after a change of the leader, or with a slow disk, some 100."""
SESSION_SECONDS = 4.0
"""How long ephemeral znodes outlive their process, and a part of it is how soon a silent server is noticed."""
CONNECT_SECONDS = 1.0
PAUSE_SECONDS = 0.1
"""Between two rounds. One in which all servers refuse takes half a millisecond of the processor."""
STOP_SECONDS = 1.0
RESTART_SECONDS = 1.0

REFUSALS = (BadVersionError, NoNodeError, NodeExistsError)

_log = logging.getLogger(__name__)
_kazoo_log = logging.getLogger(f"{__name__}.kazoo")
_kazoo_log.setLevel(logging.ERROR)


class TlsFiles(NamedTuple):
    """Files in PEM. The server's name, as in `hosts`, must be in its certificate."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class ZooKeeperSettings:
    hosts: tuple[str, ...]
    """`host:port` of each server."""
    root: str = "/fixgw"
    """The znode that everything of this venue is kept under."""
    username: str = ""
    """Not empty: znodes are made so that only who knows the password can read and write them."""
    password: str = field(default="", repr=False)
    tls: TlsFiles | None = None

    def __post_init__(self) -> None:
        if not self.hosts:
            raise ValueError("zookeeper: no hosts; name one server at least, as host:port")
        if not re.fullmatch("(/[^/]+)+", self.root):
            raise ValueError(f"zookeeper: root {self.root!r} is no path such as /fixgw")


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads and sockets, in our sight: the socket in use can be cut, and the end of a thread is told."""

    def __init__(self, tls: ssl.SSLContext | None, ended: Callable[[], None]) -> None:
        super().__init__()
        self._tls = tls
        self._ended = ended
        self.connection: socket.socket | None = None
        self.failure = ""

    def create_connection(self, address: tuple[str, int], hostname: str, **_options: Any) -> socket.socket:
        """kazoo's own trusts all authorities that the machine does, and leaves sockets of failed handshakes open."""
        try:
            connection = socket.create_connection(address, CONNECT_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=hostname)
        except OSError as error:
            self.failure = str(error)
            raise
        self.connection = connection
        return connection

    def select(self, readers: list[Any], writers: list[Any], *others: Any) -> Any:
        """What TLS has decrypted already is not to be seen in the socket: kazoo would wait for the next packet."""
        decrypted = [each for each in readers if isinstance(each, ssl.SSLSocket) and each.pending()]
        return (decrypted, [], []) if decrypted else super().select(readers, writers, *others)

    def spawn(self, function: Callable[..., object], *arguments: Any, **options: Any) -> Any:
        def run() -> None:
            try:
                function(*arguments, **options)
            except Exception as error:  # nobody catches what ends a thread of kazoo's; we begin anew
                self.failure = repr(error)
            finally:
                self._ended()

        return super().spawn(run)

    def cut(self, connection: socket.socket | None) -> None:
        """End this connection, if it is still the one in use."""
        if connection is None or connection is not self.connection:
            return
        with contextlib.suppress(OSError):  # closed already
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not SSLSocket's, which takes the reader's state away


class ZooKeeperClient:
    """Asks an ensemble. `run` must be running, in the run of trio in which this is made."""

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self._settings = settings
        self._tls = None if settings.tls is None else _tls_context(settings.tls)
        self._token = trio.lowlevel.current_trio_token()
        self._connected = trio.Event()
        self._start_kazoo()

    @property
    def session_id(self) -> int | None:
        """The owner of the ephemeral znodes that are made now."""
        return None if self._kazoo.client_id is None else self._kazoo.client_id[0]

    async def ask(self, *requests: Callable[[KazooClient], AsyncResult]) -> tuple[Any, ...]:
        """The answers to requests such as `lambda kazoo: kazoo.get_async(path)`, sent in this order, in one session.

        An answer is what kazoo's call returns, or one of REFUSALS. Raises CoordinatorUnavailable for all else.
        """
        await self._wait_connected()
        kazoo, handler = self._kazoo, self._handler
        connection = handler.connection
        with trio.move_on_after(ANSWER_SECONDS):
            session = kazoo.client_id
            results = [request(kazoo) for request in requests]
            for result in results:
                await self._wait_answered(result)
            answers = tuple(map(self._answer, results))
            if kazoo.client_id != session:
                raise CoordinatorUnavailable("ZooKeeper: the session changed meanwhile")
            return answers
        handler.cut(connection)  # it had the whole deadline
        raise CoordinatorUnavailable(self._no_answer(ANSWER_SECONDS))

    async def _wait_connected(self) -> None:
        """Raises CoordinatorUnavailable."""
        handler = self._handler
        attempt = handler.connection
        with trio.move_on_after(RECONNECTED_SECONDS):
            await self._connected.wait()
            return
        handler.cut(attempt)  # it had the whole deadline, unless another was made meanwhile
        raise CoordinatorUnavailable(self._no_answer(RECONNECTED_SECONDS))

    async def _wait_answered(self, result: AsyncResult) -> None:
        answered = trio.Event()
        result.rawlink(lambda _result: self.in_trio(answered.set))
        await answered.wait()

    def _answer(self, result: AsyncResult) -> Any:
        try:
            return result.get_nowait()
        except REFUSALS as refusal:
            return refusal
        except NoAuthError as error:
            who = f"user {self._settings.username}" if self._settings.username else "who gives no user"
            raise CoordinatorUnavailable(f"ZooKeeper: {who} may not do this; is the password the one?") from error
        except (KazooException, RuntimeError) as error:
            what = f"{type(error).__name__} {error}".strip()
            raise CoordinatorUnavailable(f"ZooKeeper: {what}; what was asked may be done nevertheless") from error

    def _no_answer(self, seconds: float) -> str:
        state = "connected" if self._connected.is_set() else f"not connected; {self._handler.failure or 'no answer'}"
        hosts = ", ".join(self._settings.hosts)
        return f"ZooKeeper ({hosts}) did not answer within {seconds:g} s ({state})"

    async def run(self) -> None:
        """Keep a connection, for ever."""
        while True:
            try:
                await trio.to_thread.run_sync(self._kazoo.start_async)
                await self._ended.wait()
            finally:
                await self._stop()
            _log.error("the ZooKeeper client ended (%s); a new one is begun", self._handler.failure)
            await trio.sleep(RESTART_SECONDS)
            self._start_kazoo()

    def _start_kazoo(self) -> None:
        settings, ended = self._settings, trio.Event()
        self._ended = ended
        self._stopping = False
        self._handler = _Handler(self._tls, lambda: self.in_trio(ended.set))
        self._kazoo = kazoo = KazooClient(
            hosts=",".join(settings.hosts),
            timeout=SESSION_SECONDS,
            handler=self._handler,
            logger=_kazoo_log,
            connection_retry={"max_tries": -1, "delay": PAUSE_SECONDS, "backoff": 1, "max_jitter": 0},
            **_credentials(settings),
        )
        kazoo.add_listener(lambda state: self.in_trio(self._note_state, kazoo, state))

    async def _stop(self) -> None:
        """Closed as it should be, so that ephemeral znodes go at once; else by force; else not waited for."""
        kazoo, handler = self._kazoo, self._handler
        self._stopping = True

        def stop() -> None:
            force = threading.Timer(STOP_SECONDS, lambda: handler.cut(handler.connection))
            force.start()
            try:
                kazoo.stop()
                kazoo.close()
            except Exception as error:  # whatever it is: it is over
                _log.warning("the ZooKeeper client did not stop as it should: %r", error)
            finally:
                force.cancel()

        if self._connected.is_set():
            self._connected = trio.Event()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * STOP_SECONDS):
            await trio.to_thread.run_sync(stop, abandon_on_cancel=True)

    def in_trio(self, function: Callable[..., object], *arguments: object) -> None:
        """From one of kazoo's threads. It may outlive the run."""
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function, *arguments)

    def _note_state(self, kazoo: KazooClient, state: str) -> None:
        """An event that somebody waits for is never replaced: only one that has happened."""
        if kazoo is not self._kazoo or self._stopping:  # it may connect yet, only to be closed
            return
        if state == KazooState.CONNECTED:
            _log.info("ZooKeeper: connected")
            self._connected.set()
        elif self._connected.is_set():
            _log.warning("ZooKeeper: the connection is lost; another is looked for")
            self._connected = trio.Event()


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Servers that this authority vouches for by name, and nobody else."""
    try:
        context = ssl.create_default_context(cafile=files.ca)
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
    except OSError as error:
        raise ValueError(f"zookeeper: tls: {', '.join(str(file) for file in files if file)}: {error}") from error
    return context


def _credentials(settings: ZooKeeperSettings) -> dict[str, object]:
    if not settings.username:
        return {}
    return {
        "auth_data": [("digest", f"{settings.username}:{settings.password}")],
        "default_acl": [make_digest_acl(settings.username, settings.password, all=True)],
    }
