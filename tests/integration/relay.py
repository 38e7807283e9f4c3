#!/usr/bin/env python3
"""A bad network between a sender and its listeners: a process that relays UDP datagrams and loses some.

    python tests/integration/relay.py --in 239.1.1.1:5000 --out 239.1.2.1:5000 --loss 0.05 --seed 1

Datagrams that come to `--in` (a multicast group or an address of this host) go on to `--out`; `--loss`, `--duplicate`
and `--reorder` are the probabilities of each misfortune. A datagram out of order is held back until `--reorder-depth`
later ones have passed it, or until nothing has come for `--hold` milliseconds. The same seed and the same datagrams
give the same misfortunes. Several `--in A --out B` pairs make several links; each has its own numbers drawn.

It prints one line `{"ready": true}` when it listens, and one JSON line of counts at SIGTERM or SIGINT:
`[{"in": …, "received": n, "sent": n, "dropped": n, "duplicated": n, "reordered": n}, …]`.

Standard library only, and nothing of the exchange: it is outside of what it disturbs. The counts and the drawing are
in `Link`, which opens no socket.
"""

import argparse
import json
import random
import selectors
import signal
import socket
from typing import NamedTuple

#: Bytes the kernel keeps for us while we are not running; asked for, the system may grant less.
RECEIVE_BUFFER = 4 << 20
#: Datagrams read in a row before the other links get their turn.
BATCH = 64


class Faults(NamedTuple):
    """What happens to a datagram, each with its probability."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_depth: int = 3


class Link:
    """One direction between two addresses: what came in, what goes out, what happened in between."""

    def __init__(self, faults: Faults, seed: str) -> None:
        self._faults = faults
        self._random = random.Random(seed)
        self._held: list[tuple[int, bytes]] = []  # (number of the datagram after which it goes on, datagram)
        self.received = self.sent = self.dropped = self.duplicated = self.reordered = 0

    def relay(self, datagram: bytes) -> list[bytes]:
        """What goes out now that this datagram came in."""
        self.received += 1
        # Three draws for each datagram whatever comes of them, so that one probability does not change another's luck.
        lost, doubled, late = (self._random.random() for _ in range(3))
        out = []
        if lost < self._faults.loss:
            self.dropped += 1
        elif late < self._faults.reorder:
            self.reordered += 1
            self._held.append((self.received + self._faults.reorder_depth, datagram))
        elif doubled < self._faults.duplicate:
            self.duplicated += 1
            out += [datagram, datagram]
        else:
            out.append(datagram)
        out += [held for due, held in self._held if due <= self.received]
        self._held = [(due, held) for due, held in self._held if due > self.received]
        self.sent += len(out)
        return out

    def release(self) -> list[bytes]:
        """Everything held back: nothing comes any more that could overtake it."""
        out = [datagram for _, datagram in self._held]
        self._held.clear()
        self.sent += len(out)
        return out

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("received", "sent", "dropped", "duplicated", "reordered")}


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def is_multicast(host: str) -> bool:
    return 224 <= int(host.partition(".")[0]) <= 239


def open_receiver(at: tuple[str, int], interface: str) -> socket.socket:
    """A socket that hears one group (or one address of this host), and nothing else on that port."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    receiver.bind(at)
    if is_multicast(at[0]):
        membership = socket.inet_aton(at[0]) + socket.inet_aton(interface)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    receiver.setblocking(False)
    return receiver


def open_sender(to: tuple[str, int], interface: str) -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
    sender.connect(to)
    return sender


def send(sender: socket.socket, datagrams: list[bytes]) -> None:
    for datagram in datagrams:
        try:
            sender.send(datagram)
        except ConnectionRefusedError:
            # A unicast listener is not there (yet): the network would not care either. The refusal is that of an
            # earlier datagram and stands in for this send, which is therefore made again.
            sender.send(datagram)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Relay UDP datagrams, and lose some.")
    parser.add_argument("--in", dest="inputs", metavar="HOST:PORT", type=address, action="append", required=True)
    parser.add_argument("--out", dest="outputs", metavar="HOST:PORT", type=address, action="append", required=True)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--duplicate", type=float, default=0.0)
    parser.add_argument("--reorder", type=float, default=0.0)
    parser.add_argument("--reorder-depth", type=int, default=3)
    parser.add_argument("--hold", metavar="MILLISECONDS", type=float, default=20.0)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--interface", default="127.0.0.1")
    options = parser.parse_args(arguments)
    if len(options.inputs) != len(options.outputs):
        parser.error("each --in needs its --out")
    return options


def main() -> None:
    options = parse_arguments()
    faults = Faults(options.loss, options.duplicate, options.reorder, options.reorder_depth)
    # Signals wake the selector through a socket, so that none is missed between two looks.
    wake_in, wake_out = socket.socketpair()
    wake_out.setblocking(False)
    signal.set_wakeup_fd(wake_out.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(wake_in, selectors.EVENT_READ)
    links = []
    for index, (source, target) in enumerate(zip(options.inputs, options.outputs, strict=True)):
        link = Link(faults, f"{options.seed}/{index}")
        sender = open_sender(target, options.interface)
        selector.register(open_receiver(source, options.interface), selectors.EVENT_READ, (link, sender))
        links.append((source, link, sender))
    print(json.dumps({"ready": True}), flush=True)
    while pump(selector, options.hold / 1000, [(link, sender) for _, link, sender in links]):
        pass
    print(json.dumps([{"in": "{}:{}".format(*source), **link.counts()} for source, link, _ in links]), flush=True)


def pump(selector: selectors.BaseSelector, hold: float, links: list[tuple[Link, socket.socket]]) -> bool:
    """Relay what has come; after `hold` seconds of nothing let go what was held back. False when a signal came."""
    ready = selector.select(hold)
    for key, _ in ready:
        if key.data is None:
            return False
        link, sender = key.data
        receiver = key.fileobj
        assert isinstance(receiver, socket.socket)
        try:
            for _ in range(BATCH):
                send(sender, link.relay(receiver.recv(65536)))
        except BlockingIOError:
            pass
    if not ready:
        for link, sender in links:
            send(sender, link.release())
    return True


if __name__ == "__main__":
    main()
