"""The feed of a running exchange, judged by others: itchfeed reads the recording, tshark the packets.

A venue of real processes trades for a moment. What a listener records of its feed goes to itchfeed (PyPI), which must
read every message and write the same bytes again; its packets, captured from the loopback by dumpcap where that is
permitted and else by the listener itself, go to tshark, whose dissector must see the same sessions, numbers, counts and
lengths as the specification's offsets give. The book that the independent reader makes of the recording is the one the
brokers' reports make, and that of a demo's recording the one its engine had (`books_equal`).
"""

import contextlib
import json
import shutil
import signal
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import trio

from tests.integration.exchange_file import write_exchange
from tests.integration.feed_tap import HEADER, Packet
from tests.integration.market import feed_lines, open_market
from tests.venue import ROOT, Venue

itch_parser = pytest.importorskip("itch.parser")

pytestmark = pytest.mark.interop

REQUESTS_PER_BROKER = 300


def pcap(packets: list[Packet]) -> bytes:
    """A capture file (libpcap 2.4, raw IPv4) of datagrams as they left: addresses, ports and payload."""
    records = [struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)]
    for second, packet in enumerate(packets):
        host, port = packet.line
        udp = struct.pack(">HHHH", 40000, port, 8 + len(packet.data), 0) + packet.data
        fixed = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(udp), 0, 0x4000, 1, 17)
        addresses = bytes([127, 0, 0, 1]) + bytes(map(int, host.split(".")))
        total = sum(struct.unpack(">10H", fixed + bytes(2) + addresses))
        total = (total & 0xFFFF) + (total >> 16)
        frame = fixed + struct.pack(">H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + addresses + udp
        records.append(struct.pack(">IIII", second, 0, len(frame), len(frame)) + frame)
    return b"".join(records)


@contextlib.contextmanager
def captured(file: Path, ports: set[int]):
    """Have dumpcap write everything for these ports to the file. Gives False where capturing is not permitted."""
    dumpcap = shutil.which("dumpcap")
    if dumpcap is None:
        yield False
        return
    wanted = " or ".join(f"udp dst port {port}" for port in sorted(ports))
    # Room for what comes while dumpcap waits for a processor: the kernel begins a block of it several times a second,
    # and a block has room for some whole packets, however long these may be.
    command = [dumpcap, "-i", "lo", "-q", "-B", "64", "-s", "4096", "-f", wanted, "-w", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        # It names the file when it captures, and ends with a reason when it may not.
        permitted = any(line.startswith("File:") for line in iter(process.stderr.readline, ""))
        try:
            yield permitted
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
        finally:
            process.kill()


def all_in(file: Path, packets: list[Packet]) -> bool:
    """Whether a capture file that is being written has got as far as these packets, heartbeats aside."""
    captured = file.read_bytes()
    return all(packet.data in captured for packet in packets[-100:] if len(packet.data) > HEADER.size)


def dissect(tshark: Path, file: Path, ports: set[int]) -> list[dict[str, str]]:
    """Each packet as tshark's MoldUDP64 dissector sees it: fields as text, repeated ones separated by commas."""
    names = ("ip.dst", "udp.dstport", "moldudp64.session", "moldudp64.sequence", "moldudp64.count")
    names += ("moldudp64.msgseq", "moldudp64.msglen", "_ws.malformed", "_ws.expert.severity")
    command = [str(tshark), "-r", str(file), "-T", "fields", "-E", "separator=|"]
    for port in sorted(ports):
        command += ["-d", f"udp.port=={port},moldudp64"]
    for name in names:
        command += ["-e", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [dict(zip(names, line.split("|"), strict=True)) for line in output.splitlines()]


def expected(packet: Packet) -> dict[str, str]:
    """What tshark must say of this packet, by the specification's offsets."""
    session, number, count = HEADER.unpack_from(packet.data)
    lengths = [len(message) for message in packet.messages()]
    return {
        "ip.dst": packet.line[0],
        "udp.dstport": str(packet.line[1]),
        "moldudp64.session": session.decode(),
        "moldudp64.sequence": str(number),
        "moldudp64.count": str(count),
        "moldudp64.msgseq": ",".join(str(number + index) for index in range(len(lengths))),
        "moldudp64.msglen": ",".join(map(str, lengths)),
        "_ws.malformed": "",
        "_ws.expert.severity": "",
    }


def check_with_itchfeed(file: Path) -> Counter[str]:
    """Read by itchfeed without an error and written again, the file is the same. Gives the messages by type."""
    data = file.read_bytes()
    again, types = bytearray(), Counter()
    for message in itch_parser.MessageParser().parse_stream(data):
        encoded = message.to_bytes()
        again += len(encoded).to_bytes(2, "big") + encoded
        types[chr(encoded[0])] += 1
    assert bytes(again) == data
    return types


def as_tuple(row: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(row.items()))


async def test_itchfeed_and_tshark_read_what_a_running_exchange_says(tshark, tmp_path):
    venue = Venue(tmp_path / "venue")
    ports = {port for _, port in feed_lines(venue)}
    file = tmp_path / "feed.pcapng"
    with captured(file, ports) as permitted:
        async with open_market(venue) as market:
            async with trio.open_nursery() as nursery:
                for broker in market.brokers:
                    nursery.start_soon(broker.trade, 9, REQUESTS_PER_BROKER)
            await market.come_to_rest()
            market.check(tmp_path / "recordings")
            packets = list(market.tap.packets)
            if permitted:  # what dumpcap has not written when it is told to end is lost
                await market.wait(lambda: all_in(file, packets), "dumpcap to write down what was heard")
    if not permitted:
        file.write_bytes(pcap(packets))

    types = Counter()
    for recording in (tmp_path / "recordings").iterdir():
        types += check_with_itchfeed(recording)
    assert types.keys() >= set("SRHAEDU"), types

    dissected = dissect(tshark, file, ports)
    wanted = [expected(packet) for packet in packets]
    assert len(wanted) > 100
    assert {packet.header[2] for packet in packets} >= {0, 1, 2}
    # The capture began before the listener and ended after it; what both have is the same, packet for packet.
    unseen = Counter(map(as_tuple, wanted)) - Counter(map(as_tuple, dissected))
    assert not unseen, f"{unseen.total()} of {len(wanted)}, such as {next(iter(unseen))}"
    for row in dissected:
        assert row["_ws.malformed"] == row["_ws.expert.severity"] == ""
        assert len(row["moldudp64.session"]) == 10


@pytest.mark.slow
def test_the_recording_of_a_demo_is_what_itchfeed_and_the_engine_say(tmp_path):
    exchange = write_exchange(tmp_path)
    command = [sys.executable, "-m", "fixgw", "demo", str(exchange), "--seconds", "3"]
    command += ["--record", str(tmp_path / "recordings"), "--json", str(tmp_path / "summary.json")]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, timeout=60)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["books_equal"] is True
    types = Counter()
    for recording in summary["recordings"]:
        types += check_with_itchfeed(Path(recording))
    assert types.total() == summary["itch_messages"]
    assert types["E"] + types["C"] + types["P"] == summary["trades"]
