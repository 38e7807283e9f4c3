"""The relay does to datagrams what it was told, no more, and counts it."""

import json
import socket
import subprocess
import sys

import pytest

from tests.integration.relay import Faults, Link, is_multicast, parse_arguments

DATAGRAMS = [b"%d" % number for number in range(1000)]


def run(faults, seed="1"):
    link = Link(faults, seed)
    out = [datagram for sent in DATAGRAMS for datagram in link.relay(sent)] + link.release()
    assert link.received == len(DATAGRAMS)
    assert link.sent == len(out)
    return link, out


def test_without_faults_everything_passes_in_order():
    link, out = run(Faults())
    assert out == DATAGRAMS
    assert link.counts() == {"received": 1000, "sent": 1000, "dropped": 0, "duplicated": 0, "reordered": 0}


def test_loss_drops_about_that_part_and_keeps_the_order():
    link, out = run(Faults(loss=0.05))
    assert 25 <= link.dropped <= 75
    assert len(out) == 1000 - link.dropped
    assert out == sorted(out, key=int)


def test_duplicates_follow_each_other():
    link, out = run(Faults(duplicate=0.1))
    assert 60 <= link.duplicated <= 140
    assert len(out) == 1000 + link.duplicated
    assert sorted(set(out), key=int) == DATAGRAMS


def test_a_datagram_out_of_order_is_overtaken_by_the_next_ones_and_comes():
    link, out = run(Faults(reorder=0.1, reorder_depth=3))
    assert link.reordered > 0
    assert out != DATAGRAMS
    assert sorted(out, key=int) == DATAGRAMS
    assert max(position - int(datagram) for position, datagram in enumerate(out)) <= 3


def test_the_seed_decides():
    faults = Faults(0.1, 0.1, 0.1)
    assert run(faults, "1")[1] == run(faults, "1")[1]
    assert run(faults, "1")[1] != run(faults, "2")[1]


def test_each_in_needs_its_out(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["--in", "127.0.0.1:1", "--in", "127.0.0.1:2", "--out", "127.0.0.1:3"])
    assert "each --in needs its --out" in capsys.readouterr().err


def test_multicast_is_told_from_unicast():
    assert [is_multicast(host) for host in ("223.1.1.1", "224.0.0.1", "239.9.9.9", "240.0.0.1")] == [0, 1, 1, 0]


def test_as_a_process_it_loses_exactly_what_it_says():
    """Every datagram that the relay did not count as dropped arrives, over multicast on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener, socket.socket(type=socket.SOCK_DGRAM) as sender:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("239.255.77.1", 0))
            group = probe.getsockname()
        into, out = "{}:{}".format(*group), "{}:{}".format(*listener.getsockname())
        command = [sys.executable, "tests/integration/relay.py", "--in", into, "--out", out, "--loss", "0.2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
            assert relay.stdout is not None
            assert json.loads(relay.stdout.readline()) == {"ready": True}
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            for datagram in DATAGRAMS[:200]:
                sender.sendto(datagram, group)
            # 199 passes under this seed, so it is the last to arrive.
            arrived = []
            while not arrived or arrived[-1] != DATAGRAMS[199]:
                arrived.append(listener.recv(100))
            relay.terminate()
            (counts,) = json.loads(relay.stdout.readline())
            assert relay.wait(10) == 0
    assert counts["in"] == into
    assert (counts["received"], counts["sent"], counts["dropped"]) == (200, len(arrived), 200 - len(arrived))
    assert 20 <= counts["dropped"] <= 60
