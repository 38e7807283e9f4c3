"""What comes from outside and makes no sense disturbs nobody: processes, brokers and feed go on as if it was not there.

Three brokers trade all the while. The first test is about FIX connections, from strangers and from a fourth session
that misbehaves once it is logged on; the second about datagrams and links: garbage on the shards' streams, at every
server that answers requests, at the shards' doors. In the end each test makes up the brokers' accounts, and every
process must end as a healthy one does.
"""

import random
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from recovery import packet
from recovery.packet import PacketHeader, Request
from tests.integration.feed_tap import Address
from tests.integration.market import SESSIONS, Market, address, feed_servers, open_market
from tests.venue import Venue

BAD = "BROKER4"
REQUESTS_MEANWHILE = 100
PATIENCE = 15.0
SEED = 20261122
FEED_REQUEST_BYTES = 20


@asynccontextmanager
async def trading(market: Market) -> AsyncIterator[None]:
    """Brokers trade before, during and after what the block does, each on its first connection."""

    def made() -> int:
        return sum(len(broker.requests) for broker in market.brokers)

    async with trio.open_nursery() as nursery:
        for broker in market.brokers:
            nursery.start_soon(broker.trade, 1)
        await market.wait(lambda: made() > REQUESTS_MEANWHILE, "trading before")
        yield
        before = made()
        await market.wait(lambda: made() > before + REQUESTS_MEANWHILE, "trading after")
        nursery.cancel_scope.cancel()
    await market.come_to_rest()
    assert [broker.logons for broker in market.brokers] == [1, 1, 1]


# --- FIX --------------------------------------------------------------------------------------------------------------


def fix(sender: str, msg_type: str, number: int, fields: str) -> bytes:
    """A whole message to the venue, | for SOH."""
    now = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())
    text = f"35={msg_type}|34={number}|49={sender}|52={now}|56=FIXGW|{fields.replace('NOW', now)}".replace("|", "\x01")
    data = f"8=FIX.4.4\x019={len(text)}\x01{text}".encode()
    return data + b"10=%03d\x01" % (sum(data) % 256)


def logon(venue: Venue, number: int = 1, sender: str = BAD, password: str = "", extra: str = "") -> bytes:
    return fix(sender, "A", number, f"98=0|108=30|553={sender.lower()}|554={password or venue.password}|{extra}")


def order(number: int, symbol: str = "ALPHA") -> bytes:
    return fix(BAD, "D", number, f"11=bad-{number}|55={symbol}|54=1|60=NOW|38=1|40=2|44=0.01|")


async def connected(venue: Venue, receive_buffer: int = 0) -> trio.SocketStream:
    sock = trio.socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await sock.connect(("127.0.0.1", venue.fix_port))
    return trio.SocketStream(sock)


async def heard_until(stream: trio.SocketStream, wanted: bytes) -> bytes:
    """What comes, up to and with `wanted`."""
    heard = b""
    with trio.fail_after(PATIENCE):
        while wanted not in heard:
            data = await stream.receive_some()
            assert data, f"the connection ended after {heard!r}"
            heard += data
    return heard


async def last_words(stream: trio.SocketStream) -> bytes:
    """What comes before the gateway closes the connection."""
    heard = b""
    with trio.fail_after(PATIENCE):
        try:
            while data := await stream.receive_some():
                heard += data
        except trio.BrokenResourceError:
            pass  # a reset is a close too
    await stream.aclose()
    return heard


async def answer_to(venue: Venue, data: bytes) -> bytes:
    """All that a stranger hears who says this and waits."""
    stream = await connected(venue)
    await stream.send_all(data)
    return await last_words(stream)


TOO_LONG = b"8=FIX.4.4\x019=99999\x0135=D\x01"
NOTHING = b"8=FIX.4.4\x019=12\x0135=0\x01 no end" * 400
GARBLED = b"\x00\xff8=FIX.4.4\x019=3\x0135=0\x0110=999\x01GET / HTTP/1.1\r\n"


async def misbehave_before_the_logon(venue: Venue) -> None:
    assert await answer_to(venue, order(1)) == b""
    assert await answer_to(venue, TOO_LONG) == b""
    assert await answer_to(venue, NOTHING) == b""
    assert await answer_to(venue, logon(venue, sender="NOBODY")) == b""
    assert await answer_to(venue, logon(venue, sender=SESSIONS[0][0])) == b""  # it is logged on
    refused = await answer_to(venue, logon(venue, password="a guess"))
    assert b"\x0135=5\x01" in refused
    assert b"Password(554) is wrong" in refused


async def misbehave_after_the_logon(venue: Venue) -> None:
    stream = await connected(venue)
    await stream.send_all(logon(venue) + GARBLED + order(2, "OMEGA"))
    await heard_until(stream, b"Symbol(55) OMEGA is not traded here")
    assert await answer_to(venue, logon(venue)) == b""  # a second connection, which is not the session's
    await stream.send_all(order(3, "OMEGA") + TOO_LONG)
    await last_words(stream)
    for number, nothing in ((4, NOTHING), (5, order(1)), (6, fix("BROKER1", "0", 6, ""))):
        stream = await connected(venue)
        await stream.send_all(logon(venue, number) + nothing)
        await last_words(stream)


async def read_nothing(venue: Venue) -> None:
    """Ask for much, and do not read the answers: in the end the connection is closed."""
    stream = await connected(venue, receive_buffer=4096)
    await stream.send_all(logon(venue, extra="141=Y|"))
    with trio.fail_after(4 * PATIENCE):
        try:
            for first in range(2, 1_000_000, 200):
                await stream.send_all(b"".join(order(number, "OMEGA") for number in range(first, first + 200)))
        except trio.BrokenResourceError:
            await stream.aclose()
            return
    pytest.fail("the gateway keeps what is not read, without end")


async def test_bad_fix_peers_disturb_nobody(tmp_path: Path) -> None:
    venue = Venue(tmp_path / "venue", sessions=(*SESSIONS, (BAD, "FIX.4.4")))
    async with open_market(venue) as market:
        async with trading(market):
            await misbehave_before_the_logon(venue)
            await misbehave_after_the_logon(venue)
            await read_nothing(venue)
        market.check(tmp_path / "recordings")
        again = await connected(venue)
        await again.send_all(logon(venue, extra="141=Y|") + order(2, "OMEGA"))
        await heard_until(again, b"Symbol(55) OMEGA is not traded here")
        await again.aclose()
    said = venue.log("gateway", "g1")
    assert "fault of ours" not in said
    assert "a guess" not in said
    assert venue.password not in said


# --- datagrams and links ----------------------------------------------------------------------------------------------


def garbage(valid: bytes) -> Iterator[bytes]:
    """Datagrams that are no packet: noise, and a good one that is cut, lengthened, or has one bit wrong."""
    noise = random.Random(SEED)
    yield from (noise.randbytes(length) for length in (0, 1, 7, 20, 24, 32, 52, 1400, 60_000))
    yield from (valid[:length] for length in range(1, len(valid), 5))
    yield valid + b"\x00"
    for at in range(0, 8 * len(valid), 7):
        changed = bytearray(valid)
        changed[at // 8] ^= 1 << at % 8
        yield bytes(changed)


def send(datagrams: Iterator[bytes], *to: Address) -> int:
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for data in datagrams:
            for each in to:
                sender.sendto(data, each)
                sent += 1
    return sent


def answered(server: Address, request: bytes) -> bytes:
    """The first datagram that answers a request, asked a few times as a reader would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.bind(("127.0.0.1", 0))
        asker.settimeout(1.0)
        for _ in range(10):
            asker.sendto(request, server)
            try:
                return asker.recv(65_536)
            except TimeoutError:
                continue
    raise AssertionError(f"{server} does not answer")


def servers_of_streams(venue: Venue) -> list[tuple[int, Address]]:
    """(shard_id, address) of whoever gives messages of the shards' streams again."""
    config: Any = venue.config
    shards: Sequence[Any] = config["shards"]
    found = [(shard["id"], address(shard["retransmit"])) for shard in shards]
    return found + [(shard["id"], address(config["retransmitters"][0]["address"])) for shard in shards]


async def test_garbage_on_streams_at_servers_and_at_links_disturbs_nobody(tmp_path: Path) -> None:
    venue = Venue(tmp_path / "venue")
    config: Any = venue.config
    streams = [address(shard["stream"]) for shard in config["shards"]]
    links = [address(shard["link"]) for shard in config["shards"]]
    async with open_market(venue) as market:
        async with trading(market):
            stale = packet.make_packet(PacketHeader(1, 0, 0, 0, 1, 0))  # an epoch that was never
            send(garbage(stale), *streams)
            for shard_id, server in servers_of_streams(venue):
                send(garbage(packet.make_request(Request(shard_id, 0, 1, 5))), server)
                for refused in (Request(99, 0, 1, 5), Request(shard_id, 9999, 1, 5), Request(shard_id, 0, 1 << 60, 5)):
                    send(iter([packet.make_request(refused)]), server)
            for server in feed_servers(venue):
                send(garbage(bytes(FEED_REQUEST_BYTES)), server)
            for host, port in links:
                for data in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\xff" * 3000, b"\x00\x4a\x05" + bytes(200)):
                    stream = await trio.open_tcp_stream(host, port)
                    await stream.send_all(data)
                    await stream.aclose()
            for shard_id, server in servers_of_streams(venue):
                answer = answered(server, packet.make_request(Request(shard_id, 0, 1, 5)))
                assert packet.parse_packet(answer)[4] == 1
        market.check(tmp_path / "recordings")
    for role, name in (("gateway", "g1"), ("retransmitter", "r1"), ("publisher", "A"), ("publisher", "B")):
        garbled = re.findall(r"garbled (\d+)", venue.log(role, name))
        assert garbled, f"{role} {name} does not tell what it read"
        assert all(int(count) > 0 for count in garbled), f"{role} {name} has not counted what was garbled"
