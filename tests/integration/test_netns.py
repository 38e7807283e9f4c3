"""The hosts that tests make out of network namespaces hear one another, by multicast too, unless they are cut off."""

import socket
import subprocess
import sys

import pytest

from tests.netns import Network

pytestmark = pytest.mark.interop

HEAR = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("239.7.7.7", 7777))
s.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.7.7.7") + socket.inet_aton(sys.argv[1]))
print("listening", flush=True)
s.settimeout(float(sys.argv[2]))
try:
    print(s.recv(99).decode(), flush=True)
except TimeoutError:
    print("nothing", flush=True)
"""
SAY = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
s.sendto(b"hello", ("239.7.7.7", 7777))
"""


def heard(network: Network, seconds: float) -> str:
    """What b hears when a says hello."""
    a, b = network.addresses["a"], network.addresses["b"]
    listening = network.command("b", [sys.executable, "-c", HEAR, b, str(seconds)])
    with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"
        subprocess.run(network.command("a", [sys.executable, "-c", SAY, a]), check=True)
        return listener.stdout.readline().strip()


@pytest.mark.parametrize(("cut", "direction"), [("a", "out"), ("b", "in"), ("a", "both")])
def test_a_host_hears_multicast_unless_it_is_cut_off(cut, direction):
    with Network("a", "b") as network:
        assert heard(network, 5.0) == "hello"
        network.partition(cut, direction)
        assert heard(network, 0.3) == "nothing"
        network.heal(cut)
        assert heard(network, 5.0) == "hello"


def test_one_way_is_one_way():
    with Network("a", "b") as network:
        network.partition("a", "in")
        assert heard(network, 5.0) == "hello"


def test_two_that_are_cut_from_each_other_are_heard_by_everybody_else():
    with Network("a", "b", "c") as network:
        network.cut_between("c", "b")
        assert heard(network, 5.0) == "hello"
        network.cut_between("a", "b")
        assert heard(network, 0.3) == "nothing"
        network.heal("b", "a")
        assert heard(network, 5.0) == "hello"


def test_this_machine_is_on_the_network_too():
    with Network("a") as network:
        program = "import socket; s = socket.create_server(('', 7001)); print('up', flush=True); s.accept()"
        server = network.command("a", [sys.executable, "-c", program])
        with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            socket.create_connection((network.addresses["a"], 7001), timeout=5).close()
