"""The feed in one process, without I/O: a shard's stream to datagrams, and a vendor's end of it.

    ./run bench feed

The stream is that of the steady flow (adds, cancels, replaces, crossing), one batch of 64 commands at a time;
figures count the ITCH messages that come of it. Time is the process's own, so a busy machine disturbs little.
"""

import gc
import statistics
import time
from typing import Final

from fixgw.up import GC_ALLOCATIONS
from marketdata import itch
from marketdata.book import BookBuilder
from marketdata.feed import Feed
from marketdata.receiver import Receiver, SequencedMessage
from matching.shard import Shard
from matching.wire import encode
from recovery.primary import Primary
from recovery.reader import Reader
from recovery.record import Message, Position
from tests.bench.figures import Figure, machine
from tests.bench.flows import OPENING, made

COMMANDS: Final = 60_000
BATCH: Final = 64
RUNS: Final = 5
NOW: Final = 1_795_426_200_000_000_000

Batch = tuple[list[Message], Position]
"""What a reader gives for one batch of the shard, and the position before it."""


def stream() -> list[Batch]:
    """The released messages of the flow's first commands."""
    primary = Primary(1, Shard(1))
    primary.lead(1, NOW)
    for command in OPENING:
        primary.command(*encode(command), NOW)
    primary.open_source(1, 1, NOW)
    reader = Reader(1)
    commands = made("steady", COMMANDS)[0][len(OPENING) :][:COMMANDS]
    batches = []
    for start in range(0, COMMANDS, BATCH):
        before = reader.position
        for number, command in enumerate(commands[start : start + BATCH], start=start + 1):
            session_id = getattr(command, "participant_id", 0)
            primary.submit(1, 1, number, session_id, number, *encode(command), NOW + start)
        primary.take_entries()
        primary.committed(primary.last_tx)
        datagrams = primary.datagrams_to_send()
        released = [message for each in datagrams for message in reader.receive_datagram(each, NOW + start)]
        batches.append((released, before))
    return batches


def publish(batches: list[Batch]) -> tuple[float, list[bytes]]:
    """Translate the stream and pack it, as a publisher does for one line. CPU seconds, and the datagrams."""
    feed = Feed()
    feed.go_live(NOW)
    datagrams: list[bytes] = []
    begin = time.process_time()
    for released, before in batches:
        feed.receive_messages(released, before, NOW)
        datagrams += feed.datagrams_to_send()
    return time.process_time() - begin, datagrams


def receive(datagrams: list[bytes]) -> tuple[float, int]:
    """Both lines into the receiver, every message into the book, as a vendor does. CPU seconds, and the messages."""
    receiver, books = Receiver(), BookBuilder()
    begin = time.process_time()
    for datagram in datagrams:
        for event in receiver.receive_datagram(datagram, NOW):
            if isinstance(event, SequencedMessage):
                books.receive_message(itch.decode(event.message))
        receiver.receive_datagram(datagram, NOW)  # line B, a moment later
    return time.process_time() - begin, books.messages


def figures() -> list[Figure]:
    """ITCH messages per second of CPU time: sent on one line, and received on two."""
    batches = stream()
    datagrams = publish(batches)[1]
    messages = receive(datagrams)[1]
    conditions = (
        f"{messages:,} ITCH messages in {len(datagrams):,} datagrams, of {COMMANDS:,} commands of the engine's mixed "
        f"flow in batches of {BATCH}; median of {RUNS} runs, CPU time, {machine()}"
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 100)  # as a process of the exchange does
    sent = statistics.median(publish(batches)[0] for _ in range(RUNS))
    received = statistics.median(receive(datagrams)[0] for _ in range(RUNS))
    gc.unfreeze()
    return [
        Figure(
            "feed.messages_per_s",
            round(messages / sent),
            "/s",
            f"committed messages to MoldUDP64, one line; {conditions}",
        ),
        Figure(
            "feed.receive.messages_per_s",
            round(messages / received),
            "/s",
            f"lines A and B to the receiver, decoded, into the book; {conditions}",
        ),
    ]
