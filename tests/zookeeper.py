"""A real ZooKeeper for tests: one server or an ensemble on loopback, each a JVM to be killed, paused and restarted.

Debian's own start script takes no configuration of ours, so the JVM is started directly.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from fixgw.up import NICENESS
from tests.venue import free_ports

# The first names what it needs itself, but for what TLS needs.
NAMES = ("zookeeper.jar", "slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar")
JARS = tuple(Path("/usr/share/java", name) for name in NAMES)
JAVA_OPTIONS = (
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
)
#: As conf/README.md has it: who shares a machine with shards goes with them, where that is permitted, or a busy one has
#: no primary for as long as its ZooKeeper has no leader.
PRIORITY = ("nice", "-n", str(NICENESS["shard"]))
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"

# A hung leader is given up after syncLimit ticks; a session of 4 s is within what the server allows (2 to 20 ticks).
TIMES = {"tickTime": "500", "initLimit": "20", "syncLimit": "4"}
POLL_SECONDS = 0.02
START_SECONDS = 60.0


def need_zookeeper() -> None:
    """Skips the test where it is not installed; on a build server that is a failure, as for every judge."""
    if shutil.which("java") is None or not all(jar.exists() for jar in JARS):
        pytest.skip("ZooKeeper is not installed (Debian: apt-get install --no-install-recommends zookeeper)")


class Host(NamedTuple):
    """Where a server runs: its address, and what makes of a command one that runs there."""

    address: str = "127.0.0.1"
    command: Callable[[Sequence[str]], list[str]] = list


HERE = Host()


class Server:
    """One server's process."""

    def __init__(
        self, directory: Path, port: int, secure_port: int, settings: Mapping[str, str], host: Host = HERE
    ) -> None:
        self.address = f"{host.address}:{port}"
        self.secure_address = f"{host.address}:{secure_port}"
        self._host = host
        self._port = port
        self._file = directory / "zoo.cfg"
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        classes = ":".join(map(str, JARS))
        command = [*PRIORITY, "java", *JAVA_OPTIONS, "-cp", classes, MAIN, str(self._file)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._host.command(command), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def kill(self) -> None:
        """As kill -9 does, paused or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.pause()
        try:
            yield
        finally:
            self.go_on()

    async def mode(self) -> str:
        """leader, follower or standalone; empty while it does not serve."""
        try:
            with trio.fail_after(2):
                async with await trio.open_tcp_stream(self._host.address, self._port) as stream:
                    await stream.send_all(b"srvr")
                    answer = b"".join([data async for data in stream]).decode()
        except (OSError, trio.BrokenResourceError, trio.TooSlowError):
            return ""
        return next((line[6:] for line in answer.splitlines() if line.startswith("Mode: ")), "")

    async def wait_serving(self) -> None:
        with trio.move_on_after(START_SECONDS):
            while not await self.mode():
                assert self._process is not None, "not started"
                assert self._process.poll() is None, self._log.read_text()
                await trio.sleep(POLL_SECONDS)
            return
        raise AssertionError(f"not serving after {START_SECONDS:g} s:\n{self._log.read_text()}")


class Ensemble:
    """Servers that know each other, or one alone."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(server.address for server in self.servers)

    async def wait_serving(self) -> None:
        """Until all serve; those that were killed are started again first."""
        for server in self.servers:
            if not server.is_running:
                server.start()
        for server in self.servers:
            await server.wait_serving()

    def kill(self) -> None:
        for server in self.servers:
            server.kill()

    async def leader(self) -> Server:
        with trio.fail_after(START_SECONDS):
            while True:
                for server in self.servers:
                    if await server.mode() in ("leader", "standalone"):
                        return server
                await trio.sleep(POLL_SECONDS)


def start_ensemble(
    directory: Path,
    count: int = 1,
    *,
    settings: Mapping[str, str] | None = None,
    secure: bool = False,
    hosts: Sequence[Host] = (),
) -> Ensemble:
    """`count` servers, started but maybe not serving yet. `settings` go into each one's zoo.cfg.

    `secure`: clients come with TLS, to `Server.secure_address`. `hosts`: where each runs, if not all here.
    """
    need_zookeeper()
    free = free_ports(4 * count)
    ports = [free[start : start + 4] for start in range(0, 4 * count, 4)]
    hosts = hosts or [HERE] * count
    numbered = list(enumerate(zip(hosts, ports, strict=True), 1))
    peers = {f"server.{number}": f"{host.address}:{own[1]}:{own[2]}" for number, (host, own) in numbered}
    ensemble = Ensemble([])
    for number, (host, (client, _, _, secure_client)) in numbered:
        home = directory / f"zookeeper{number}"
        (home / "data").mkdir(parents=True)
        (home / "data" / "myid").write_text(f"{number}\n")
        own = {
            **TIMES,
            "dataDir": str(home / "data"),
            "clientPort": str(client),
            "clientPortAddress": host.address,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "srvr",
            **(peers if count > 1 else {}),
            **({"secureClientPort": str(secure_client), "secureClientPortAddress": host.address} if secure else {}),
            **(settings or {}),
        }
        ensemble.servers.append(Server(home, client, secure_client, own, host))
    for server in ensemble.servers:
        server.start()
    return ensemble


@asynccontextmanager
async def open_ensemble(directory: Path, count: int = 1, hosts: Sequence[Host] = ()) -> AsyncIterator[Ensemble]:
    """`count` servers that serve; killed at the end."""
    ensemble = start_ensemble(directory, count, hosts=hosts)
    try:
        await ensemble.wait_serving()
        yield ensemble
    finally:
        ensemble.kill()
