import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery.checksum import crc32c
from recovery.command_log import read_entry
from recovery.snapshot import SnapshotDamaged, decode_snapshot, encode_snapshot, restore_execution, take
from tests.recovery.adder import ADD, Adder, Shard


def shard_of(count: int) -> Shard:
    shard = Shard()
    for number in range(count):
        shard.add(number, now=1000 + number)
    shard.say()
    return shard


@given(st.integers(0, 40))
def test_what_is_restored_goes_on_as_if_nothing_had_happened(count):
    shard = shard_of(count)
    execution = shard.primary.execution
    snapshot = take(execution, shard.primary.epoch)
    again = restore_execution(decode_snapshot(encode_snapshot(snapshot)), Adder)
    assert again.here() == execution.here()
    assert (again.commit_tx, again.commit_seq) == (execution.commit_tx, execution.commit_seq)
    assert again.last_timestamp == execution.last_timestamp
    assert again.sources.tables() == execution.sources.tables()
    assert take(again, shard.primary.epoch) == snapshot
    shard.primary.submit(7, 1, shard.next_source_seq, 41, 5, ADD, b"12", 5000)
    *_, entry = shard.primary.take_entries()
    _, kind, command = read_entry(entry)
    messages = again.apply(kind, command)
    assert messages == execution.store.messages(snapshot.position.next_seq, 1 << 20)


def test_nothing_is_taken_of_what_is_not_committed():
    shard = Shard()
    shard.add(3)
    with pytest.raises(AssertionError, match="committed history"):
        take(shard.primary.execution, 1)


def test_every_flipped_bit_is_found():
    data = encode_snapshot(take(shard_of(5).primary.execution, 1))
    for index in range(len(data)):
        for bit in range(8):
            damaged = data[:index] + bytes([data[index] ^ (1 << bit)]) + data[index + 1 :]
            with pytest.raises(SnapshotDamaged, match="at byte"):
                decode_snapshot(damaged)


def test_every_cut_and_every_appendix_is_found():
    data = encode_snapshot(take(shard_of(5).primary.execution, 1))
    for size in range(len(data)):
        with pytest.raises(SnapshotDamaged):
            decode_snapshot(data[:size])
    with pytest.raises(SnapshotDamaged, match="after the end"):
        decode_snapshot(data + b"\0")


def test_a_version_of_another_program_is_told_from_damage():
    data = encode_snapshot(take(shard_of(1).primary.execution, 1))
    header = data[:8] + b"\0\3" + data[10:52]
    with pytest.raises(SnapshotDamaged, match="version 3; this program reads version 2"):
        decode_snapshot(header + crc32c(header).to_bytes(4, "big") + data[56:])


class ForgetfulAdder(Adder):
    """Does not read all that it writes."""

    def restore(self, data: bytes) -> None:
        super().restore(data)
        self.total = 0


def test_a_state_that_is_not_read_as_it_was_written_is_refused():
    snapshot = take(shard_of(5).primary.execution, 1)
    assert restore_execution(snapshot, Adder).state_machine.snapshot() == snapshot.state
    with pytest.raises(SnapshotDamaged, match="does not read all that was written"):
        restore_execution(snapshot, ForgetfulAdder)


def test_a_state_that_is_not_what_was_taken_is_refused():
    snapshot = take(shard_of(5).primary.execution, 1)
    with pytest.raises(SnapshotDamaged, match="digest"):
        restore_execution(snapshot._replace(state=b"11 0"), Adder)
    with pytest.raises(SnapshotDamaged, match="state of tx"):
        restore_execution(snapshot._replace(state=b"nonsense"), Adder)
