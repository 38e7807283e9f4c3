"""A log of commands as messages and packets, made without a primary; and how a test feeds them to a reader."""

from recovery import packet
from recovery.packet import EpochStart
from recovery.reader import Reader
from recovery.record import Sequencer, pack_command_header


class History:
    """A log of commands as messages: `add` makes a transaction of `events` events whose bytes depend on `text`."""

    def __init__(self, shard_id: int = 1, other: "History | None" = None) -> None:
        self.messages: list[bytes] = [] if other is None else list(other.messages)
        self.sequencer = Sequencer(shard_id)
        if other is not None:
            self.sequencer = Sequencer(shard_id, other.sequencer.next_tx, other.sequencer.position)

    def add(self, text: bytes, events: int = 2) -> int:
        """Gives the seq of the transaction's END."""
        header = pack_command_header(self.sequencer.next_tx, 0, 1, 1, self.sequencer.next_tx, 0, 0)
        self.messages += self.sequencer.messages(16, header + text, [(96, text)] * events)
        return self.sequencer.next_seq - 1

    @property
    def start(self) -> EpochStart:
        return EpochStart(self.sequencer.next_tx - 1, *self.sequencer.position)

    def packets(self, epoch: int, first: int, last: int, commit: int, flags: int = 0) -> list[bytes]:
        """One packet for each message first … last."""
        return [
            data
            for seq in range(first, last + 1)
            for data in packet.pack_messages(1, epoch, flags, seq, commit, [self.messages[seq - 1]])
        ]

    def heartbeat(self, epoch: int, commit: int, start: EpochStart, owner: int = 0) -> bytes:
        return packet.make_heartbeat(1, epoch, len(self.messages) + 1, commit, start, owner)


def feed(target: Reader, datagrams: list[bytes], now: int = 0) -> list[int]:
    return [message.seq for data in datagrams for message in target.receive_datagram(data, now)]


def requests(target: Reader) -> list[tuple[int, int, int]]:
    """(server, first_seq, count) of what the reader asks for."""
    asked = [(server, packet.parse_request(data)) for server, data in target.datagrams_to_send()]
    return [(server, request.first_seq, request.message_count) for server, request in asked]
