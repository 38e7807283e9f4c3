import pytest

from recovery import packet, record
from recovery.command_log import entry_epoch, read_entry
from recovery.primary import MAX_CONTINUATIONS, MAX_UNCOMMITTED, Primary
from recovery.record import NOOP, OPEN_SOURCE, PACKET_HEADER_BYTES, CommandHeader, pack_command_header
from recovery.sources import Verdict
from tests.recovery.adder import ADD, COUNTDOWN, STEP, STEPPED, Adder, Shard, replay


def messages_in(datagrams: list[bytes]) -> list[record.Message]:
    messages = []
    for data in datagrams:
        header = packet.parse_packet(data)
        if header.message_count:
            received = record.parse_all(
                header.shard_id, header.first_seq, header.message_count, data, PACKET_HEADER_BYTES
            )
            messages += [message for message, _, _ in received]
    return messages


def test_a_command_becomes_a_transaction_and_an_entry():
    shard = Shard()
    shard.say()
    assert shard.primary.submit(7, 1, 1, 41, 5, ADD, b"12", now=99) is Verdict.TAKE
    (entry,) = shard.primary.take_entries()
    shard.primary.committed(shard.primary.last_tx)
    command, total, echo = messages_in(shard.primary.datagrams_to_send())
    header = CommandHeader.unpack_from(command.body)
    assert header == CommandHeader(2, 99, 7, 1, 1, 41, 5)
    assert (command.kind, command.body[42:]) == (ADD, b"12")
    assert [total.body, echo.body] == [b"12", b"tx 2 from 7: 12"]
    _, kind, logged = read_entry(entry)
    assert (kind, logged) == (ADD, pack_command_header(*header) + b"12")


def test_the_first_datagrams_tell_where_the_epoch_began():
    shard = Shard()
    datagrams = shard.say()
    header = packet.parse_packet(datagrams[-1])
    assert header.flags == packet.HEARTBEAT
    assert packet.epoch_start_of(datagrams[-1]) == packet.EpochStart(0, 1, 0)
    assert [message.kind for message in messages_in(datagrams)] == [OPEN_SOURCE]
    assert [entry_epoch(entry) for entry in shard.journal] == [1]


def test_stamps_never_go_back():
    shard = Shard(now=1000)
    for now in (2000, 1500, 3000):
        shard.add(1, now)
    stamps = [CommandHeader.unpack_from(m.body).timestamp for m in messages_in(shard.say()) if m.flags & record.FIRST]
    assert stamps == [1000, 2000, 2000, 3000]


def test_what_is_repeated_changes_nothing_and_a_duplicate_is_a_noop():
    shard = Shard()
    primary = shard.primary
    primary.submit(7, 1, 1, 41, 5, ADD, b"1", 0)
    shard.say()
    assert primary.submit(7, 1, 1, 41, 5, ADD, b"1", 0) is Verdict.REPEATED
    assert shard.say() == []
    assert primary.submit(7, 1, 2, 41, 5, ADD, b"1", 0) is Verdict.DUPLICATE
    (noop,) = messages_in(shard.say())
    assert (noop.kind, CommandHeader.unpack_from(noop.body).source_seq) == (NOOP, 2)
    assert primary.submit(7, 1, 4, 41, 6, ADD, b"1", 0) is Verdict.GAP
    assert primary.submit(7, 1, 3, 41, 6, ADD, b"1", 0) is Verdict.TAKE
    assert primary.state_machine.total == 2


def test_an_older_incarnation_is_fenced():
    shard = Shard()
    assert shard.primary.open_source(7, 5, 0) == 0
    shard.next_source_seq = 1
    shard.add(1)
    assert shard.primary.open_source(7, 5, 0) == 1
    assert shard.primary.open_source(7, 4, 0) is None
    assert shard.primary.submit(7, 1, 2, 0, 0, ADD, b"1", 0) is Verdict.FENCED


def test_continuations_come_before_anything_else_in_bounded_parts():
    shard = Shard()
    shard.say()
    steps = MAX_CONTINUATIONS + 3
    shard.primary.command(COUNTDOWN, b"%d" % steps, 0)
    assert not shard.primary.ready
    with pytest.raises(AssertionError):
        shard.add(1)
    first = messages_in(shard.say())
    assert [m.kind for m in first] == [COUNTDOWN] + [STEP, STEPPED] * MAX_CONTINUATIONS
    shard.primary.work(0)
    assert shard.primary.ready
    assert [m.kind for m in messages_in(shard.say())] == [STEP, STEPPED] * 3


def test_the_window_of_uncommitted_transactions_is_bounded():
    shard = Shard()
    while shard.primary.ready:
        shard.add(1)
    assert shard.primary.uncommitted == MAX_UNCOMMITTED
    shard.say()
    assert shard.primary.ready


def test_a_restart_makes_the_same_bytes_and_the_next_epoch():
    before = Shard()
    for number in range(20):
        before.add(number, now=number)
    before.primary.command(COUNTDOWN, b"3", 30)
    before.primary.submit(7, 1, 21, 41, 5, ADD, b"x", 31)
    before.say()
    after = Shard(journal=list(before.journal))
    assert after.primary.epoch == 2
    assert after.primary.state_machine.digest() == before.primary.state_machine.digest()
    count = before.primary.next_seq - 1
    assert after.primary.store.messages(1, 10**6)[:count] == before.primary.store.messages(1, 10**6)
    assert after.primary.outbox.start.seq == before.primary.next_seq
    assert after.primary.commit_seq == count
    assert after.primary.last_timestamp == 31
    assert after.primary.sources.last_session_seq(41) == 5
    assert after.primary.sources.check(7, 2, 22, 41, 5) is Verdict.DUPLICATE
    assert after.primary.submit(7, 2, 21, 0, 0, ADD, b"1", 0) is Verdict.REPEATED


def test_a_restart_in_the_middle_of_continuations_goes_on_with_them():
    before = Shard()
    before.primary.command(COUNTDOWN, b"5", 0)
    before.say()
    entries = before.journal[:-2]  # the last two steps never reached the disk
    primary = Primary(1, Adder())
    replay(primary, entries)
    primary.lead(2, 0)
    assert not primary.ready
    primary.work(0)
    assert primary.ready
    assert primary.store.messages(1, 10**6) == before.primary.store.messages(1, 10**6)


def test_a_heartbeat_is_due_every_fifty_milliseconds():
    shard = Shard()
    shard.say()
    due = shard.primary.next_deadline()
    shard.primary.handle_deadline(due - 1)
    assert shard.say() == []
    (beat,) = shard.heartbeat()
    assert packet.parse_packet(beat).flags == packet.HEARTBEAT
    assert shard.primary.next_deadline() == due + 50_000_000
