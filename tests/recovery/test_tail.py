"""Mode "async": what a server kept of a lost primary's last words, and a candidate that takes it."""

import pytest

from recovery import packet
from recovery.packet import RETRANSMITTED, Request
from recovery.reader import Reader
from recovery.record import COMMAND_HEADER_BYTES, FIRST, CommandHeader, Position, parse, remake
from recovery.replica import SERVERS, STREAM, Replica, Role
from recovery.retransmitter import Retransmitter
from recovery.store import MemoryStore
from recovery.tail import ASK_INTERVAL, PATIENCE, QUIET, REQUEST_MESSAGES, Tail
from tests.recovery.adder import ADD, Adder, Shard

MS = 1_000_000
HELD = 4
"""Transactions in the candidate's log."""


@pytest.fixture
def shard() -> Shard:
    """Epoch 1: OPEN_SOURCE, then 200 additions of three messages each."""
    shard = Shard()
    for number in range(200):
        shard.add(number)
    shard.say()
    return shard


def position_after(shard: Shard, tx: int) -> Position:
    """The chain behind a transaction; the first is one message, all others three."""
    position, digest = Position(), 0
    for seq in range(1, 3 * tx - 1):
        (_, digest) = remake(1, [parse(1, seq, shard.primary.store.messages(seq, 1)[0])], position.digest)
        position = Position(seq + 1, digest)
    return position


def tail_of(shard: Shard, epoch: int = 1) -> Tail:
    return Tail(1, HELD, epoch, position_after(shard, HELD), 0)


def give(tail: Tail, datagrams: list[bytes]) -> None:
    for data in datagrams:
        header = packet.parse_packet(data)
        tail.receive(header.epoch, header.first_seq, header.message_count, data)


def packets(shard: Shard, first_seq: int, last_seq: int, epoch: int = 1) -> list[bytes]:
    messages = shard.primary.store.messages(first_seq, 10**6)[: last_seq - first_seq + 1]
    return packet.pack_messages(1, epoch, RETRANSMITTED, first_seq, 0, messages)


def numbers(tail: Tail) -> list[int]:
    """What the commands that were found add."""
    commands = tail.commands()
    assert [tx for tx, *_ in commands] == list(range(HELD + 1, HELD + 1 + len(commands)))
    return [int(command[COMMAND_HEADER_BYTES:]) for *_, command in commands]


def test_the_commands_that_follow_on_the_log_with_the_chain_before_each(shard):
    tail = tail_of(shard)
    give(tail, packets(shard, 11, 601)[::-1])
    assert numbers(tail) == list(range(HELD - 1, 200))
    tx, chain, kind, command = tail.commands()[7]
    assert (tx, chain, kind) == (HELD + 8, position_after(shard, HELD + 7).digest, ADD)
    assert command == parse(1, 3 * tx - 4, shard.primary.store.messages(3 * tx - 4, 1)[0]).body
    assert CommandHeader.unpack_from(command).source_id == 7


def test_nothing_behind_a_hole_and_no_half_transaction_is_taken(shard):
    tail = tail_of(shard)
    give(tail, [*packets(shard, 11, 18), *packets(shard, 20, 100)])
    assert numbers(tail) == [3, 4]


def test_what_does_not_continue_this_log_is_not_taken(shard):
    other = Shard()
    for number in range(200):
        other.add(number + (number == 1))
    other.say()
    tail = tail_of(shard)
    give(tail, packets(other, 11, 100))
    assert numbers(tail) == []


def test_only_the_highest_epoch_counts(shard):
    other = Shard()
    for number in range(200):
        other.add(number + 1000 * (number > 5))
    other.say()
    stray = Shard()
    for number in range(200):
        stray.add(number + 1)
    stray.say()
    tail = tail_of(shard, epoch=2)
    give(tail, packets(shard, 11, 100, epoch=1))
    assert numbers(tail) == []
    give(tail, packets(shard, 11, 100, epoch=2))
    give(tail, packets(other, 11, 28, epoch=3))
    assert numbers(tail) == [3, 4, 5, 1006, 1007, 1008]
    give(tail, packets(stray, 11, 100, epoch=4))
    assert numbers(tail) == []


def test_what_a_later_epoch_began_without_is_void(shard):
    tail = tail_of(shard)
    give(tail, packets(shard, 11, 100, epoch=1))
    give(tail, packets(shard, 10, 10, epoch=2))  # it has what the log has, and nothing more
    assert numbers(tail) == []


def test_what_comes_behind_a_hole_is_reason_to_ask_on(shard):
    tail = tail_of(shard)
    asked(tail, 0)
    give(tail, packets(shard, 14, 19))
    asked(tail, 30 * MS)
    assert not tail.ended(QUIET)
    give(tail, packets(shard, 11, 13))
    assert numbers(tail) == [3, 4, 5]


def test_a_command_of_another_tx_under_the_next_number_is_not_taken(shard):
    tail = Tail(1, HELD + 1, 1, position_after(shard, HELD), 0)
    give(tail, packets(shard, 11, 100))
    assert tail.commands() == []


def test_the_second_half_of_a_transaction_first_is_not_taken(shard):
    tail = Tail(1, HELD, 1, Position(12, 0), 0)
    give(tail, packets(shard, 12, 100))
    assert tail.commands() == []


def asked(tail: Tail, now: int) -> list[Request]:
    return [packet.parse_request(data) for data in tail.requests(now)]


def test_a_silence_ends_it(shard):
    tail = tail_of(shard)
    times = []
    now = 0
    while not tail.ended(now):
        for request in asked(tail, now):
            assert request == Request(1, 1, 10, REQUEST_MESSAGES)
            times.append(now)
        now = tail.next_deadline()
    assert times == [0, ASK_INTERVAL, 2 * ASK_INTERVAL]
    assert now == QUIET


def test_the_rest_is_asked_for_at_once_and_what_is_lost_a_little_later(shard):
    tail = tail_of(shard)
    assert len(asked(tail, 0)) == 1
    give(tail, packets(shard, 10, 9 + REQUEST_MESSAGES))
    assert asked(tail, 1) == [Request(1, 1, 9 + REQUEST_MESSAGES, REQUEST_MESSAGES)]
    give(tail, packets(shard, 9 + REQUEST_MESSAGES, 580))
    assert asked(tail, 2) == []
    assert asked(tail, 1 + ASK_INTERVAL) == [Request(1, 1, 580, REQUEST_MESSAGES)]


def test_it_never_takes_longer_than_there_is_patience(shard):
    tail = tail_of(shard)
    now = 0
    for seq in range(11, 500):
        now = tail.next_deadline()
        if tail.ended(now):
            break
        give(tail, packets(shard, seq, seq))
        tail.requests(now)
    assert now == PATIENCE


class Server:
    """A retransmission server in memory."""

    def __init__(self) -> None:
        self.reader = Reader(1)
        self.store = MemoryStore(1 << 20)
        self.retransmitter = Retransmitter({1: self})

    @property
    def proven_epoch(self) -> int:
        return self.reader.proven_epoch

    @property
    def commit_seq(self) -> int:
        return self.store.next_seq - 1

    def hear(self, data: bytes, now: int) -> None:
        digest = self.reader.position.digest
        if released := self.reader.receive_datagram(data, now):
            self.store.append(remake(1, released, digest)[0])


class Venue:
    """Three replicas in mode "async" and a server; `down` hear and say nothing, `deaf` hear no stream."""

    def __init__(self) -> None:
        self.now = self.epoch = 0
        self.down: set[int] = set()
        self.deaf: set[int] = set()
        self.said: list[tuple[int, bytes]] = []
        self.server = Server()
        options = {"mode": "async", "durability": "disk", "draw": lambda _: 0}
        self.replicas = {each: Replica(1, each, (1, 2, 3), Adder, **options) for each in (1, 2, 3)}
        for replica in self.replicas.values():
            replica.start(0)

    def turn(self, each: int) -> None:
        replica = self.replicas[each]
        if replica.records_to_write():
            replica.synced(replica.stable.written, self.now)
        for target, data in replica.datagrams_to_send(self.now):
            if each in self.down:
                continue
            if target == STREAM:
                self.server.hear(data, self.now)
                self.said += [(other, data) for other in self.replicas if other != each and other not in self.deaf]
            elif target == SERVERS:
                answers = self.server.retransmitter.receive_request(data, ("", each), self.now)
                self.said += [(each, answer) for answer in answers]
            else:
                self.said.append((target, data))
        above = replica.epoch_to_raise()
        if above is not None and each not in self.down:
            self.epoch = max(self.epoch, above) + 1
            replica.epoch_raised(self.epoch, self.now)

    def run(self, duration: int) -> None:
        end = self.now + duration
        while self.now < end:
            self.now += MS
            for each, replica in self.replicas.items():
                if replica.next_deadline() <= self.now:
                    replica.handle_deadline(self.now)
                self.turn(each)
            while self.said:
                target, data = self.said.pop(0)
                if target not in self.down:
                    self.replicas[target].receive_datagram(data, self.now)
                    self.turn(target)

    @property
    def leader(self) -> Replica:
        (leader,) = [
            replica for each, replica in self.replicas.items() if replica.role is Role.PRIMARY and each not in self.down
        ]
        return leader

    def lose_the_primary(self, count: int) -> Replica:
        """It says `count` additions that the server hears and no replica, and is gone."""
        lost = self.leader
        self.deaf = set(self.replicas)
        for _ in range(count):
            assert lost.primary is not None
            lost.primary.command(ADD, b"1", self.now)
        self.turn(lost.replica_id)
        self.said.clear()
        self.down.add(lost.replica_id)
        self.deaf = set()
        return lost


@pytest.mark.parametrize("count", [0, 1, 5, 1500])
def test_a_tail_that_only_a_server_heard_is_not_lost(count):
    venue = Venue()
    venue.run(600 * MS)
    before = venue.leader.last_tx
    lost = venue.lose_the_primary(count)
    assert [each.last_tx for each in venue.replicas.values() if each is not lost] == [before, before]
    venue.run(1500 * MS)
    leader = venue.leader
    assert leader.last_tx == lost.last_tx == before + count
    assert leader.epoch > lost.epoch
    assert leader.execution.state_machine.digest() == lost.execution.state_machine.digest()
    assert leader.primary is not None
    assert leader.primary.outbox.start == lost.execution.here()
    # Who had released the tail does not stand on a fork, and reads on; and the others have it, too.
    leader.primary.command(ADD, b"1", venue.now)
    venue.down.clear()
    venue.run(1000 * MS)
    assert {replica.commit_tx for replica in venue.replicas.values()} == {before + count + 1}
    assert venue.server.proven_epoch == leader.epoch
    assert venue.server.reader.position == leader.execution.sequencer.position


def test_a_candidate_that_dies_while_it_asks_is_as_if_it_had_not_begun():
    venue = Venue()
    venue.run(600 * MS)
    venue.lose_the_primary(5)
    before = {each: replica.stable.complete_epoch for each, replica in venue.replicas.items()}
    while not any(replica.campaign and replica.campaign.tail for replica in venue.replicas.values()):
        venue.run(MS)
    # An epoch that it were complete in would make the tail void to whoever tries next.
    assert {each: replica.stable.complete_epoch for each, replica in venue.replicas.items()} == before


def test_an_answer_that_nobody_waits_for_changes_nothing():
    venue = Venue()
    venue.run(600 * MS)
    lost = venue.lose_the_primary(3)
    request = packet.make_request(Request(1, 0, 1, 100))
    (answer,) = venue.server.retransmitter.receive_request(request, ("", 9), venue.now)
    assert parse(1, 1, venue.server.store.messages(1, 1)[0]).flags & FIRST
    for replica in venue.replicas.values():
        before = (replica.last_tx, replica.role, replica.epoch)
        replica.receive_datagram(answer, venue.now)
        assert (replica.last_tx, replica.role, replica.epoch) == before
    assert lost.last_tx == 3
