"""What another version of the protocol says is dropped by whoever hears it, and told once."""

import logging
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio

from recovery.checksum import crc32c
from recovery.control import GarbledControl, Wait, make_control, parse_control
from recovery.coordinator import FileCoordinator
from recovery.frames import FrameType, LinkError, packed
from recovery.link import LinkClient
from recovery.multicast import Destination, Sender, open_receiver, send_to
from recovery.node import ReplicaAddresses, ReplicaConfig, run_replica
from recovery.packet import (
    EpochStart,
    GarbledPacket,
    PacketHeader,
    Request,
    make_heartbeat,
    make_packet,
    make_request,
    parse_packet,
    parse_request,
)
from recovery.reader import Reader
from recovery.retransmission_server import answer_requests
from recovery.retransmitter import Drop, Retransmitter
from recovery.service import ServiceClient
from recovery.stream import read_stream
from recovery.versions import MAX_TOLD, VERSION, OtherVersion, OtherVersions
from tests.recovery.adder import Adder
from tests.recovery.history import feed
from tests.venue import free_ports

LOCAL = ("127.0.0.1", 0)
OLD = VERSION - 1

PACKET = make_packet(PacketHeader(1, 1, 0, 1, 1, 1), b"message")
REQUEST = make_request(Request(1, 0, 1, 1))
CONTROL = make_control(1, Wait(2, 1))


def of_version(data: bytes, version: int, checksum_at: int) -> bytes:
    """The same as another version would say it."""
    data = data[:2] + bytes([version]) + data[3:]
    before, after = data[:checksum_at], data[checksum_at + 4 :]
    return before + crc32c(before + bytes(4) + after).to_bytes(4, "big") + after


def old_heartbeat(next_seq: int = 1) -> bytes:
    """Of the version before, which did not say whose the epoch is."""
    return of_version(make_heartbeat(1, 1, next_seq, 0, EpochStart())[:-4], 1, 28)


@pytest.mark.parametrize(
    ("data", "checksum_at", "parse", "garbled", "what"),
    [
        (PACKET, 28, parse_packet, GarbledPacket, "a process speaks version {} of the stream"),
        (REQUEST, 20, parse_request, GarbledPacket, "a process speaks version {} of requests"),
        (
            CONTROL,
            12,
            lambda data: parse_control(1, data),
            GarbledControl,
            "replica 2 speaks version {} of the control",
        ),
    ],
    ids=["packet", "request", "control"],
)
def test_another_version_is_told_from_noise(
    data: bytes, checksum_at: int, parse: Callable[[bytes], object], garbled: type[Exception], what: str
) -> None:
    assert of_version(data, VERSION, checksum_at) == data
    parse(data)
    for version in (0, OLD, VERSION + 1, 255):
        other = of_version(data, version, checksum_at)
        with pytest.raises(OtherVersion, match=what.format(version)) as caught:
            parse(other)
        assert f"this program version {VERSION}: all processes of a venue must be of one version" in str(caught.value)
        with pytest.raises(garbled):
            parse(other[:-1] + bytes([other[-1] ^ 1]))


def test_a_heartbeat_of_the_version_before_is_of_another_version_and_not_one_of_the_wrong_size() -> None:
    with pytest.raises(OtherVersion):
        parse_packet(old_heartbeat())


def test_a_reader_takes_nothing_of_another_version_and_tells_each_once() -> None:
    target = Reader(1)
    feed(target, [old_heartbeat(), old_heartbeat(2), of_version(PACKET, 9, 28), old_heartbeat(3)])
    assert (target.epoch, target.statistics().garbled) == (0, 4)
    first, second = target.other_versions.take_untold()
    assert "speaks version 1 of the stream" in first
    assert "speaks version 9 of the stream" in second
    feed(target, [old_heartbeat(4)])
    assert target.other_versions.take_untold() == []


def test_a_request_of_another_version_is_dropped_and_counted_over_either_protocol() -> None:
    retransmitter = Retransmitter({})
    other = of_version(REQUEST, OLD, 20)
    assert retransmitter.receive_request(other, LOCAL, 0) == []
    assert retransmitter.receive_long_request(other, LOCAL[0]) is None
    assert retransmitter.dropped[Drop.OTHER_VERSION] == 2
    assert len(retransmitter.other_versions.take_untold()) == 1


def test_each_who_speaks_another_version_is_named_once() -> None:
    heard = OtherVersions()
    for _ in range(2):
        for replica, version in ((2, OLD), (3, OLD), (3, 9)):
            heard.hear(OtherVersion(version, "the control messages", f"replica {replica}"))
    for host in ("10.0.0.1", "10.0.0.2", "10.0.0.1"):
        heard.hear(OtherVersion(OLD, "requests"), host)
    assert [text.partition(" of ")[0] for text in heard.take_untold()] == [
        "replica 2 speaks version 1",
        "replica 3 speaks version 1",
        "replica 3 speaks version 9",
        "a process on 10.0.0.1 speaks version 1",
        "a process on 10.0.0.2 speaks version 1",
    ]


def test_who_forges_speakers_fills_neither_memory_nor_the_log() -> None:
    heard = OtherVersions()
    for replica in range(2 * MAX_TOLD):
        heard.hear(OtherVersion(OLD, "the control messages", f"replica {replica}"))
    assert len(heard.take_untold()) == len(heard.heard) == MAX_TOLD


def test_who_connects_to_a_process_of_another_version_is_told_so() -> None:
    challenge = bytes([OLD]) + (1).to_bytes(2, "big") + bytes(32)
    link = LinkClient(1, 7, 1, b"key")
    link.connected(b"c" * 32, 0)
    with pytest.raises(LinkError, match=f"speaks version {OLD} of the link, this program version {VERSION}"):
        link.receive_data(packed(FrameType.CHALLENGE, challenge), 0)
    payload = bytes([1]) + challenge[:3] + b"\0\2" + challenge[3:]
    with pytest.raises(LinkError, match=f"speaks version {OLD} of the service, this program version {VERSION}"):
        ServiceClient(1, 2, b"key", b"c" * 32).receive_data(len(payload).to_bytes(4, "big") + payload)


# In the logs of those who hear it


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.lowlevel.checkpoint()


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.ERROR]


async def test_whoever_reads_a_stream_says_once_that_it_is_of_another_version(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_receiver(LOCAL)) as receiver, closing(open_receiver(LOCAL)) as asking:
        reader = Reader(1)
        nursery.start_soon(read_stream, reader, receiver, asking, (), lambda _: None)
        with Sender(Destination((receiver.getsockname(),))) as sender:
            for count in (2, 3):
                sender.send_nowait([old_heartbeat()] * (count - reader.statistics().garbled))
                await until(lambda count=count: reader.statistics().garbled == count)  # type: ignore[misc]
        nursery.cancel_scope.cancel()
    (text,) = errors(caplog)
    assert text.startswith("shard 1: a process speaks version 1 of the stream, this program version")


async def test_a_server_says_once_who_asks_in_another_version(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_receiver(LOCAL)) as requests, closing(open_receiver(LOCAL)) as asker:
        retransmitter = Retransmitter({})
        nursery.start_soon(partial(answer_requests, retransmitter, requests, over_tcp=False))
        send_to(asker, [of_version(REQUEST, OLD, 20)] * 3, requests.getsockname())
        await until(lambda: retransmitter.dropped[Drop.OTHER_VERSION] == 3)
        nursery.cancel_scope.cancel()
    (text,) = errors(caplog)
    assert text.startswith(f"a request: a process on 127.0.0.1 speaks version {OLD} of requests")


async def test_a_server_says_at_once_who_asks_over_tcp_in_another_version(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """Said with the next request over UDP, it would be said of another process."""
    with closing(open_receiver(LOCAL)) as requests:
        await nursery.start(answer_requests, Retransmitter({}), requests)
        async with await trio.open_tcp_stream(*requests.getsockname()) as asker:
            await asker.send_all(of_version(REQUEST, OLD, 20))
            assert await asker.receive_some() == b""
        nursery.cancel_scope.cancel()
    (text,) = errors(caplog)
    assert text.startswith(f"a long request: a process on 127.0.0.1 speaks version {OLD} of requests")


@pytest.mark.parametrize("who", ["a process", "replica 2"])
async def test_a_replica_says_once_that_others_are_of_another_version(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, tmp_path: Path, who: str
) -> None:
    ports = iter(free_ports(6))
    replicas = {number: ReplicaAddresses(LOCAL, *(("127.0.0.1", next(ports)) for _ in range(3))) for number in (1, 2)}
    other = {"a process": old_heartbeat(), "replica 2": of_version(CONTROL, OLD, 12)}[who]
    here = replicas[1]
    config = ReplicaConfig(1, 1, replicas, tmp_path / "r1", "quorum", "disk", {}, b"a key", Destination((here.stream,)))
    node = await nursery.start(run_replica, config, FileCoordinator(tmp_path / "coordinator"), Adder)
    with closing(open_receiver(LOCAL)) as sender:
        send_to(sender, [other] * 3, here.stream if who == "a process" else here.control)
        await until(lambda: node.replica.garbled == 3)
    nursery.cancel_scope.cancel()
    (text,) = errors(caplog)
    assert text.startswith(f"shard 1 replica 1: {who} speaks version {OLD} of the ")
