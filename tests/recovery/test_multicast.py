import pytest
import trio

from recovery.multicast import (
    DRAIN_DATAGRAMS,
    Destination,
    Sender,
    drain,
    drain_with_addresses,
    is_multicast,
    open_receiver,
    send_to,
)

GROUP = "239.77.1.1"


async def receive(receiver, count: int) -> list[bytes]:
    datagrams: list[bytes] = []
    with trio.fail_after(5):
        while len(datagrams) < count:
            await trio.lowlevel.wait_readable(receiver)
            datagrams += drain(receiver)
    return datagrams


async def test_a_group_is_heard_by_all_who_joined_it_and_by_nobody_else():
    with open_receiver((GROUP, 0)) as first:
        port = first.getsockname()[1]
        with (
            open_receiver((GROUP, port)) as second,
            open_receiver(("239.77.1.2", port)) as other,
            Sender(Destination(((GROUP, port),))) as sender,
        ):
            sent = [b"%d" % n for n in range(100)]
            assert sender.send_nowait(sent) == 100
            assert await receive(first, 100) == sent
            assert await receive(second, 100) == sent
            assert drain(other) == []


async def test_a_list_of_addresses_gets_it_in_rotating_order():
    with open_receiver(("127.0.0.1", 0)) as first, open_receiver(("127.0.0.1", 0)) as second:
        addresses = (first.getsockname(), second.getsockname())
        with Sender(Destination(addresses)) as sender:
            for n in range(3):
                assert sender.send_nowait([b"%d" % n]) == 1
                assert sender._addresses[0] == addresses[(n + 1) % 2]
        for receiver in (first, second):
            assert await receive(receiver, 3) == [b"0", b"1", b"2"]


async def test_one_wake_up_reads_a_bounded_number():
    with open_receiver(("127.0.0.1", 0)) as receiver, Sender(Destination((receiver.getsockname(),))) as sender:
        sender.send_nowait([b"x"] * (DRAIN_DATAGRAMS + 5))
        assert len(drain(receiver)) == DRAIN_DATAGRAMS
        assert len(drain(receiver)) == 5


async def test_answers_go_back_to_where_the_request_came_from():
    with open_receiver(("127.0.0.1", 0)) as server, open_receiver(("127.0.0.1", 0)) as asker:
        assert send_to(asker, [b"request"], server.getsockname()) == 1
        ((data, address),) = drain_with_addresses(server)
        assert (data, address) == (b"request", asker.getsockname())
        assert send_to(server, [b"one", b"two"], address) == 2
        assert await receive(asker, 2) == [b"one", b"two"]


class FullSocket:
    """A socket whose send buffer has room for so many datagrams, or whose network refuses."""

    def __init__(self, room: int, error: OSError | None = None) -> None:
        self.room = room
        self.error = error
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        if self.error:
            raise self.error
        if len(self.sent) >= self.room:
            raise BlockingIOError
        self.sent.append(data)

    def close(self) -> None:
        pass


def test_a_full_send_buffer_says_how_far_it_got():
    with Sender(Destination((("127.0.0.1", 9),))) as sender:
        sender._socket.close()
        sender._socket = FullSocket(2)
        assert sender.send_nowait([b"a", b"b", b"c"]) == 2
        assert send_to(sender._socket, [b"d"], ("127.0.0.1", 9)) == 0
        assert sender.lost == 0


def test_a_network_that_refuses_for_now_costs_datagrams_and_not_the_process():
    with Sender(Destination((("127.0.0.1", 9),))) as sender:
        sender._socket.close()
        sender._socket = FullSocket(9, OSError(101, "Network is unreachable"))
        assert sender.send_nowait([b"a", b"b"]) == 2
        assert sender.lost == 2
        assert send_to(sender._socket, [b"a"], ("127.0.0.1", 9)) == 1
        sender._socket = FullSocket(9, OSError(90, "Message too long"))
        with pytest.raises(OSError, match="too long"):
            sender.send_nowait([b"a"])


def test_which_addresses_are_groups():
    assert is_multicast("239.1.2.3")
    assert not is_multicast("10.1.2.3")


@pytest.mark.parametrize("address", [("127.0.0.1", 0), ("255.255.255.255", 9)])
def test_an_answer_to_where_nothing_can_be_sent_is_lost(address):
    """A forged request may name port 0 as its own: that must end no server."""
    with open_receiver(("127.0.0.1", 0)) as sender:
        assert send_to(sender, [b"answer", b"another"], address) == 2


def test_an_address_that_is_taken_or_is_not_ours_is_named():
    with open_receiver(("127.0.0.1", 0)) as taken:
        host, port = taken.getsockname()
        with pytest.raises(OSError, match=rf"cannot hear UDP {host}:{port}: Address already in use"):
            open_receiver((host, port))
    with pytest.raises(OSError, match=rf"cannot hear UDP {GROUP}:7111 on 198\.51\.100\.1: No such device"):
        open_receiver((GROUP, 7111), "198.51.100.1")
