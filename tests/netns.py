"""Hosts for tests: network namespaces joined by a bridge, which can be cut off one way or both ways.

    with Network("a", "b", "c") as network:
        network.command("a", [...])         what to execute so that it runs on host a
        network.partition("a", "in")        a hears nobody any more, and is heard
        network.heal("a")

The bridge is in a namespace of its own, so this machine's network is not touched but for one interface with which it is
on the bridge too: the tests' own brokers and vendors sit there. Needs root, iproute2 and nftables.
"""

import ipaddress
import secrets
import subprocess
from collections.abc import Sequence
from typing import Literal, Self

Direction = Literal["in", "out", "both"]

#: The test's own number on the network; hosts count from 1.
HERE = 250


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

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
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

    def _add(self, namespace: str) -> None:
        _do("ip", "netns", "add", namespace)
        self._made.append(namespace)

    def _plug(self, host: str, address: str, namespace: str | None) -> None:
        """A cable from the bridge to the host."""
        near, far = f"p{host}", f"fx{self._tag}{len(self._made)}" if namespace is None else "eth0"
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
        hooks = {"in": ("input",), "out": ("output",), "both": ("input", "output")}[direction]
        rules = ["add table inet cut"]
        for hook in hooks:
            rules.append(f"add chain inet cut {hook} {{ type filter hook {hook} priority 0; policy drop; }}")
            interface = "iif" if hook == "input" else "oif"
            rules.append(f'add rule inet cut {hook} {interface} "lo" accept')
        self._in(self._namespace(host), "nft", "; ".join(rules))

    def heal(self, host: str) -> None:
        self._in(self._namespace(host), "nft", "delete", "table", "inet", "cut")
