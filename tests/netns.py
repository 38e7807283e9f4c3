"""Hosts for tests: network namespaces joined by a bridge, which can be cut off one way or both ways.

    with Network("a", "b", "c") as network:
        network.command("a", [...])         what to execute so that it runs on host a
        network.partition("a", "in")        a hears nobody any more, and is heard
        network.cut_between("a", "b")       a and b do not hear each other
        network.heal("a")

The bridge is in a namespace of its own, so this machine's network is not touched but for one interface with which it is
on the bridge too: the tests' own brokers and vendors sit there. Cuts are in the bridge's ports, as if a wire of a cable
were broken: no kernel tells a sender, and addresses are not resolved across them either. One nft waits beside the
bridge for what is to be cut, so that it is done within milliseconds and not when a program has been started. Needs
root, iproute2 and nftables.
"""

import ipaddress
import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from typing import Literal, Self

import pytest

Direction = Literal["in", "out", "both"]

#: The test's own number on the network; hosts count from 1.
HERE = 250
#: nft says no word on what is done: so it is asked for an empty table after each request, and gives these two lines.
DONE = ["table bridge done {", "}"]


def need_hosts() -> None:
    """Skips the test where hosts cannot be made; on a build server that is a failure, as for every judge."""
    missing = [program for program in ("ip", "nft") if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"hosts for tests need root and {' and '.join(missing or ['the programs ip and nft'])}")


def _do(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr or done.stdout}"


class Network:
    """So many hosts, each with an address on one Ethernet."""

    def __init__(self, *hosts: str) -> None:
        self._tag = secrets.token_hex(2)
        self.network = ipaddress.ip_network(f"10.{100 + secrets.randbelow(100)}.{secrets.randbelow(256)}.0/24")
        self.addresses = {host: str(self.network[number]) for number, host in enumerate(hosts, 1)}
        self.here = str(self.network[HERE])
        self._bridge = f"fx{self._tag}hub"
        self._made: list[str] = []
        self._nft: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        need_hosts()
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._nft is not None:
            self._nft.communicate()
        for namespace in self._made:  # what is in them, and the other ends, go with them
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)

    def _make(self) -> None:
        self._add(self._bridge)
        self._in(self._bridge, "ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self._in(self._bridge, "ip", "link", "set", "br0", "up")
        for host, address in self.addresses.items():
            namespace = self._namespace(host)
            self._add(namespace)
            self._plug(host, address, namespace)
            self._in(namespace, "ip", "link", "set", "lo", "up")
            self._in(namespace, "ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
        self._plug("here", self.here, None)
        nft = ["ip", "netns", "exec", self._bridge, "nft", "--interactive"]
        pipe = subprocess.PIPE
        self._nft = subprocess.Popen(nft, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        self._filter("create table bridge done")

    def _add(self, namespace: str) -> None:
        _do("ip", "netns", "add", namespace)
        self._made.append(namespace)

    def _plug(self, host: str, address: str, namespace: str | None) -> None:
        """A cable from the bridge to the host."""
        near, far = _port(host), f"fx{self._tag}{len(self._made)}" if namespace is None else "eth0"
        owner = ["netns", namespace] if namespace else ["netns", "1"]
        self._in(self._bridge, "ip", "link", "add", near, "type", "veth", "peer", "name", far, *owner)
        self._in(self._bridge, "ip", "link", "set", near, "master", "br0", "up")
        for command in (("addr", "add", f"{address}/24", "dev", far), ("link", "set", far, "up")):
            if namespace:
                self._in(namespace, "ip", *command)
            else:
                _do("ip", *command)

    def _namespace(self, host: str) -> str:
        return f"fx{self._tag}{host}"

    def _in(self, namespace: str, *command: str) -> None:
        _do("ip", "netns", "exec", namespace, *command)

    def command(self, host: str, arguments: Sequence[str]) -> list[str]:
        """What runs `arguments` on the host. The process that is started is theirs: a signal reaches it."""
        return ["ip", "netns", "exec", self._namespace(host), *arguments]

    def partition(self, host: str, direction: Direction = "both") -> None:
        """From now on the host hears nobody ("in"), is heard by nobody ("out"), or both; itself it hears."""
        ways = {"in": ("oifname",), "out": ("iifname",), "both": ("oifname", "iifname")}[direction]
        self._cut((host,), [f'{way} "{_port(host)}"' for way in ways])

    def cut_between(self, one: str, other: str) -> None:
        """From now on these two do not hear each other; everybody else hears both."""
        ways = (one, other), (other, one)
        self._cut((one, other), [f'iifname "{_port(a)}" oifname "{_port(b)}"' for a, b in ways])

    def heal(self, *hosts: str) -> None:
        """Undo the `partition` of one host, or the `cut_between` two."""
        self._filter(f"delete table bridge {_cut_name(hosts)}")

    def _cut(self, hosts: tuple[str, ...], frames: Sequence[str]) -> None:
        """Each cut is a table of its own; all of it begins at once."""
        table = f"bridge {_cut_name(hosts)}"
        rules = [f"create table {table}", f"add chain {table} wires {{ type filter hook forward priority 0; }}"]
        rules += [f"add rule {table} wires {which} drop" for which in frames]
        self._filter("; ".join(rules))

    def _filter(self, request: str) -> None:
        """Have nft do it, and wait until it is done."""
        assert self._nft is not None, "the network is not open"
        assert self._nft.stdin is not None
        assert self._nft.stdout is not None
        self._nft.stdin.write(f"{request}\nlist table bridge done\n")
        self._nft.stdin.flush()
        told: list[str] = []
        while told[-1:] != DONE[1:]:
            line = self._nft.stdout.readline()
            assert line, f"nft ended: {told}"
            told.append(line.rstrip())
        assert told == DONE, "\n".join(told)


def _port(host: str) -> str:
    """Where the bridge ends the host's cable."""
    return f"p{host}"


def _cut_name(hosts: Sequence[str]) -> str:
    return "_".join(("cut", *sorted(hosts)))
