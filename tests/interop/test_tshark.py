"""Wireshark's own MoldUDP64 dissector reads our packets as we mean them."""

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from marketdata import itch, moldudp64
from marketdata.moldudp64 import DownstreamPacket, DownstreamSender, decode_downstream

pytestmark = pytest.mark.interop

PORT = 26400
SECOND = 1_000_000_000
GROUP, SOURCE = bytes([239, 0, 1, 1]), bytes([10, 77, 0, 1])


def checksum(data: bytes) -> int:
    """The internet checksum, RFC 1071, of an even number of bytes."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(payload: bytes) -> bytes:
    """A datagram to the group as it stands on an Ethernet (RFC 791, 768, 1112); the UDP checksum is left out."""
    udp = struct.pack(">HHHH", 40000, PORT, 8 + len(payload), 0) + payload
    fixed = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(udp), 0, 0x4000, 1, 17)
    ip = fixed + struct.pack(">H", checksum(fixed + bytes(2) + SOURCE + GROUP)) + SOURCE + GROUP
    ethernet = bytes.fromhex("01005e000101 020000000001 0800")
    return ethernet + ip + udp


def pcap(payloads: list[bytes]) -> bytes:
    """A capture file (libpcap 2.4, nanoseconds, Ethernet) with one datagram a second."""
    records = [struct.pack(">IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)]
    for second, payload in enumerate(payloads):
        data = frame(payload)
        records.append(struct.pack(">IIII", second, 0, len(data), len(data)) + data)
    return b"".join(records)


def run(tshark: str, file: Path, *options: str) -> str:
    command = [tshark, "-r", str(file), "-d", f"udp.port=={PORT},moldudp64", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def dissect(tshark: str, file: Path) -> list[dict[str, Any]]:
    """The MoldUDP64 layer of each packet as tshark tells it; keys that repeat are lists."""
    packets = json.loads(run(tshark, file, "-T", "json", "--no-duplicate-keys"))
    return [packet["_source"]["layers"]["moldudp64"] for packet in packets]


def expected_blocks(packet: DownstreamPacket) -> list[dict[str, str]]:
    return [
        {
            "moldudp64.msgseq": str(number),
            "moldudp64.msglen": str(len(message)),
            "moldudp64.msgdata": message.hex(":"),
        }
        for number, message in enumerate(packet.messages, packet.sequence_number)
    ]


def meaning(packet: DownstreamPacket) -> str:
    return {0: "Heartbeat", moldudp64.END_OF_SESSION: "End Of Session"}.get(packet.message_count, "Messages")


@pytest.fixture
def tshark() -> str:
    found = shutil.which("tshark")
    if found is None:
        pytest.skip("tshark is not installed (Debian: apt-get install --no-install-recommends tshark)")
    return found


def a_day() -> list[bytes]:
    """The datagrams of a small session: heartbeats, one message, several, full ones, one of each type, and the end."""
    sender = DownstreamSender(moldudp64.session_name("261121A001"), now=0, end_of_session_duration=2 * SECOND)
    sender.handle_deadline(0)
    sender.send_message(itch.encode(itch.SystemEvent(0, 0, 1, b"O")))
    sender.flush(0)
    for count in (2, 90):
        for n in range(count):
            sender.send_message(itch.encode_add_order(1, n, (1 << 48) + n, b"B", 100, b"AAPL    ", 1_000_000))
            sender.send_message(itch.encode_order_delete(1, n, (1 << 48) + n))
        sender.flush(0)
    for code, layout in itch.LAYOUTS.items():
        sender.send_message(bytes([code, *range(1, layout.length)]))
    sender.flush(0)
    sender.handle_deadline(SECOND)
    sender.end_session(2 * SECOND)
    while (deadline := sender.next_deadline()) is not None:
        sender.handle_deadline(deadline)
    return sender.datagrams_to_send()


def test_tshark_agrees_on_every_packet(tshark: str, tmp_path: Path) -> None:
    datagrams = a_day()
    packets = [decode_downstream(datagram) for datagram in datagrams]
    assert {packet.message_count for packet in packets} >= {0, 1, 4, len(itch.LAYOUTS), 0xFFFF}
    file = tmp_path / "day.pcap"
    file.write_bytes(pcap(datagrams))
    dissected = dissect(tshark, file)
    for layer, packet in zip(dissected, packets, strict=True):
        assert layer["moldudp64.session"] == packet.session.decode()
        assert layer["moldudp64.sequence"] == str(packet.sequence_number)
        assert layer["moldudp64.count"] == str(packet.message_count)
        blocks = layer.get("moldudp64.msgblock", [])
        assert (blocks if isinstance(blocks, list) else [blocks]) == expected_blocks(packet)
    summary = run(tshark, file).splitlines()
    assert [line.partition("MoldUDP64 ")[2].partition("MoldUDP64 ")[2] for line in summary] == list(
        map(meaning, packets)
    )
