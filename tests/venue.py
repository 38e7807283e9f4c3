"""A whole exchange as real processes, for tests and benchmarks: made in a directory, started, killed, started again.

Every role is `python -m fixgw run ROLE --name NAME exchange.yaml`, as an operator would run it: with `replicas=3` the
shard s1 is the processes s1.1, s1.2 and s1.3. Ports are asked of the kernel, so several venues live side by side.
"""

import contextlib
import fcntl
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import argon2
import yaml

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60
STOP_SECONDS = 20

#: Below Linux's own range for outgoing connections (net.ipv4.ip_local_port_range, 32768 and up).
PORTS = range(12_000, 32_000)

#: For tests alone: the weakest setting there is, so that a logon costs no 40 ms of a shared core.
_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class ProcessFailed(AssertionError):
    """A role ended, or did not begin to serve in time; the text holds what it printed."""


#: Of these the latest of a process are promised to it, in use or not; with them it can start anything again.
PROMISED_PORTS = 1_000


class _Promises:
    """Ports that were free when they were given to somebody, and are in use only later: nobody else is given them.

    A promise is a lock on one byte of a file that all test processes of this user share: the port's number is the
    byte's. The kernel takes it back when the process ends, however it ends.
    """

    def __init__(self) -> None:
        file = Path(tempfile.gettempdir(), f"fixgw-test-ports-{os.geteuid()}")
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._ports: deque[int] = deque()

    def promise(self, port: int) -> bool:
        """False when it is promised already."""
        if port in self._ports:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        self._ports.append(port)
        if len(self._ports) > PROMISED_PORTS:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._ports.popleft())
        return True


_promises = _Promises()


def free_ports(count: int) -> list[int]:
    """Port numbers that nobody uses or is going to, for TCP and UDP, and none that the kernel gives by itself."""
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(PORTS)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            contextlib.suppress(OSError),
        ):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            if _promises.promise(port):
                ports.append(port)
    return ports


class Venue:
    """One exchange: shards s1 (ALPHA, BETA) and s2 (GAMMA, DELTA), retransmitter r1, gateway g1, publishers A, B.

    With more than one of `replicas`, both shards are replicated, in `mode` and with `durability`; the coordinator is in
    files unless `coordinator` is that section of the configuration.
    """

    def __init__(
        self,
        directory: Path,
        *,
        sync: str = "write",
        replicas: int = 1,
        mode: str = "quorum",
        durability: str = "memory",
        snapshot_every: int = 100_000,
        coordinator: Mapping[str, object] | None = None,
        sessions: Sequence[tuple[str, str]] = (("BROKER1", "FIX.4.4"), ("BROKER2", "FIX.4.2"), ("BROKER3", "FIX.4.4")),
        overrides: Mapping[str, object] | None = None,
        orders_per_second: int = 1_000_000,
        cancel_on_disconnect: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.password = secrets.token_hex(8)
        ports = free_ports(10 + 6 * replicas)
        tcp, udp, replica_ports = ports[:1], ports[1:10], ports[10:]
        group = f"239.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}"
        #: Where brokers connect, and the address of ours at which we hear the feed.
        self.fix_host, self.here = "127.0.0.1", "127.0.0.1"
        #: (role, name) → makes of a command what runs it on that process's host; who has none runs on this one.
        self.hosts: dict[tuple[str, str], Callable[[Sequence[str]], list[str]]] = {}
        self.fix_port = tcp[0]
        self.comp_id = "FIXGW"
        self.config: dict[str, Any] = {
            "venue": {
                "comp_id": self.comp_id,
                "data": "var",
                "interface": "127.0.0.1",
                "link_key_file": "var/link.key",
                "trading_day": {"time_zone": "UTC", "rolls_at": "00:00"},
            },
            "shards": [
                {"name": f"s{number}", "id": number, "stream": f"{group}.{number}:{udp[number]}"} for number in (1, 2)
            ],
            "instruments": [
                {"symbol": symbol, "id": number, "shard": shard, "tick_size": 0.01, "lot_size": 1}
                for number, (symbol, shard) in enumerate(
                    [("ALPHA", "s1"), ("BETA", "s1"), ("GAMMA", "s2"), ("DELTA", "s2")], start=1
                )
            ],
            "retransmitters": [{"name": "r1", "shards": ["s1", "s2"], "address": f"127.0.0.1:{udp[3]}"}],
            "gateways": [{"name": "g1", "source_id": 1, "fix": f"127.0.0.1:{self.fix_port}", "sync": sync}],
            "feed": {
                "channels": [
                    {
                        "shard": f"s{number}",
                        "lines": {"A": f"{group}.{10 + number}:{udp[0]}", "B": f"{group}.{20 + number}:{udp[4]}"},
                    }
                    for number in (1, 2)
                ],
                "publishers": [
                    {
                        "name": name,
                        "line": name,
                        "requests": {"s1": f"127.0.0.1:{udp[5 + 2 * at]}", "s2": f"127.0.0.1:{udp[6 + 2 * at]}"},
                    }
                    for at, name in enumerate("AB")
                ],
            },
            "participants": [
                {"id": number, "name": f"FIRM{number}", "mpid": f"FRM{number}"}
                for number, _ in enumerate(sessions, start=1)
            ],
            "sessions": [
                {
                    "id": number,
                    "sender_comp_id": sender,
                    "participant": f"FIRM{number}",
                    "gateway": "g1",
                    "begin_string": version,
                    "username": sender.lower(),
                    "password_hash": _HASHER.hash(self.password),
                    "rate_limit": {"orders_per_second": orders_per_second, "burst": orders_per_second},
                    "cancel_on_disconnect": sender in cancel_on_disconnect,
                }
                for number, (sender, version) in enumerate(sessions, start=1)
            ],
        }
        if coordinator is not None:
            self.config["coordinator"] = dict(coordinator)
        addresses = [f"127.0.0.1:{port}" for port in replica_ports]
        for shard in self.config["shards"]:
            if replicas == 1:
                link, control, retransmit = (addresses.pop() for _ in range(3))
                shard.update(link=link, control=control, retransmit=retransmit, sync=sync)
                continue
            shard["replication"] = {"mode": mode, "durability": durability, "snapshot_every": snapshot_every}
            shard["replicas"] = [
                {"id": number, "link": addresses.pop(), "control": addresses.pop(), "retransmit": addresses.pop()}
                for number in range(1, replicas + 1)
            ]
        #: Shard → the names of its processes.
        self.shards = {
            f"s{number}": [f"s{number}"] if replicas == 1 else [f"s{number}.{each}" for each in range(1, replicas + 1)]
            for number in (1, 2)
        }
        self.config.update(overrides or {})
        self.file = directory / "exchange.yaml"
        self.write()
        self.processes: dict[tuple[str, str], subprocess.Popen[bytes]] = {}

    def write(self) -> None:
        """Write the configuration again, after a test changed `config`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "var").mkdir(exist_ok=True)
        key = self.directory / "var" / "link.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_text(secrets.token_hex(32) + "\n")
        self.file.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def start(self, role: str, name: str) -> subprocess.Popen[bytes]:
        """Start one role and wait until it says that it serves. Raises ProcessFailed."""
        process = self._spawn(role, name)
        self._wait_ready(role, name)
        return process

    def _spawn(self, role: str, name: str) -> subprocess.Popen[bytes]:
        log = (self.directory / f"{role}-{name}.log").open("ab")
        command = [sys.executable, "-m", "fixgw", "run", role, "--name", name, str(self.file)]
        on_its_host = self.hosts.get((role, name), list)
        process = subprocess.Popen(
            on_its_host(command),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        log.close()
        self.processes[role, name] = process
        return process

    def _wait_ready(self, role: str, name: str) -> None:
        process = self.processes[role, name]
        assert process.stdout is not None
        if b"ready" not in _line(process.stdout, START_SECONDS):
            self.kill(role, name)
            raise ProcessFailed(f"{role} {name} did not begin to serve: {self.log(role, name)}")

    def start_all(self, *, feed: bool = True, retransmitter: bool = True) -> None:
        """Everything, side by side; any order works. The gateway comes last, so that it finds its shards."""
        roles = [("shard", name) for names in self.shards.values() for name in names]
        if retransmitter:
            roles.append(("retransmitter", "r1"))
        if feed:
            roles += [("publisher", "A"), ("publisher", "B")]
        for role, name in roles:
            self._spawn(role, name)
        for role, name in roles:
            self._wait_ready(role, name)
        self.start("gateway", "g1")

    def pause(self, role: str, name: str) -> None:
        """As if its machine hung: it does nothing, and its connections stay."""
        self.processes[role, name].send_signal(signal.SIGSTOP)

    def resume(self, role: str, name: str) -> None:
        self.processes[role, name].send_signal(signal.SIGCONT)

    def owner(self, shard: str) -> str:
        """The process that the latest epoch of a shard belongs to, as a coordinator in files says; "" before the first.

        It may not serve yet, or not any more.
        """
        number = next(each["id"] for each in self.config["shards"] if each["name"] == shard)
        file = self.directory / "var" / "coordinator" / f"shard-{number}.json"
        if not file.exists():
            return ""
        owner = json.loads(file.read_bytes())["record"]["owner"]
        return "" if not owner else shard if len(self.shards[shard]) == 1 else f"{shard}.{owner}"

    def kill(self, role: str, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """As if its machine's power went: no word, no clean-up."""
        process = self.processes.pop((role, name))
        process.send_signal(number)
        process.wait(STOP_SECONDS)
        if process.stdout is not None:
            process.stdout.close()

    def log(self, role: str, name: str) -> str:
        file = self.directory / f"{role}-{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def stop(self) -> None:
        """Ask every process to end. Raises ProcessFailed when one did not end well."""
        failed = []
        for process in self.processes.values():
            process.terminate()
            process.send_signal(signal.SIGCONT)  # one that is paused takes no other signal
        for (role, name), process in self.processes.items():
            try:
                code = process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            if process.stdout is not None:
                process.stdout.close()
            if code != 0:
                failed.append(f"{role} {name} ended with {code}: {self.log(role, name)}")
        self.processes.clear()
        if failed:
            raise ProcessFailed("\n".join(failed))


def _line(stream: IO[bytes], seconds: float) -> bytes:
    """The next line of a pipe, or what came of it in time."""
    deadline = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            break
        byte = os.read(stream.fileno(), 1)
        if not byte:
            break
        line += byte
    return line


@contextlib.contextmanager
def running(venue: Venue, *, feed: bool = True, retransmitter: bool = True) -> Iterator[Venue]:
    """A venue that runs inside the block and is stopped after it, whatever happens."""
    try:
        venue.start_all(feed=feed, retransmitter=retransmitter)
        yield venue
    except BaseException:
        for process in venue.processes.values():
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        raise
    venue.stop()
