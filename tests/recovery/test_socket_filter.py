"""What a replica's stream socket lets through, on real sockets."""

import socket
import sys

import pytest

from recovery import packet
from recovery.multicast import drain, open_receiver
from recovery.packet import RETRANSMITTED, EpochStart, PacketHeader
from recovery.socket_filter import hear_what_matters

HERE = "127.0.0.1"
COMMIT = packet.make_packet(PacketHeader(1, 7, 0, 0, 20, 19))
MESSAGES = packet.make_packet(PacketHeader(1, 7, 0, 2, 20, 19), b"two messages")
MANY = packet.make_packet(PacketHeader(1, 7, 0, 256, 20, 19), b"as many as leave the low byte of the count zero")
HEARTBEAT = packet.make_heartbeat(1, 7, 20, 19, EpochStart(3, 10, 5))
NOT_KEPT = packet.make_packet(PacketHeader(1, 7, RETRANSMITTED, 0, 20, 19))
NEXT_EPOCH = packet.make_packet(PacketHeader(1, 8, 0, 1, 20, 19), b"a message")
ALL = [COMMIT, MESSAGES, MANY, HEARTBEAT, NOT_KEPT, NEXT_EPOCH]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")


@pytest.fixture
def heard():
    """A function that says what comes through of ALL, to a socket on which some filters were set."""
    with open_receiver((HERE, 0)) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def say(*epochs: int) -> list[bytes]:
            for epoch in epochs:
                hear_what_matters(receiver, epoch)
            for data in ALL:
                sender.sendto(data, receiver.getsockname())
            return drain(receiver)

        yield say


def test_without_a_filter_all_is_heard(heard):
    assert heard() == ALL


def test_a_backup_hears_no_bare_commits(heard):
    assert heard(0) == [MESSAGES, MANY, HEARTBEAT, NOT_KEPT, NEXT_EPOCH]


def test_a_primary_does_not_hear_itself_but_hears_who_deposes_it(heard):
    assert heard(0, 7) == [NEXT_EPOCH]


def test_who_leads_no_more_hears_its_old_epoch_again(heard):
    assert heard(7, 0) == [MESSAGES, MANY, HEARTBEAT, NOT_KEPT, NEXT_EPOCH]


@pytest.mark.parametrize("data", [b"", b"x", MESSAGES[:11]])
def test_what_is_too_short_for_a_packet_is_dropped(data):
    with open_receiver((HERE, 0)) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        hear_what_matters(receiver)
        for each in (data, MESSAGES):
            sender.sendto(each, receiver.getsockname())
        assert drain(receiver) == [MESSAGES]


def test_a_kernel_without_it_lets_all_through():
    class Refusing(socket.socket):
        def setsockopt(self, *_: object) -> None:
            raise PermissionError(1, "no filters in this sandbox")

    with Refusing(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        hear_what_matters(receiver)
