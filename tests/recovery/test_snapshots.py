import pytest

from recovery import snapshot_files
from recovery.command_log import COMMAND_RECORD, PROMISE_RECORD, make_entry
from recovery.record import CommandHeader
from recovery.replica import Replica
from recovery.snapshot import encode_snapshot, take
from recovery.snapshots import ReplicaUnusable, started_replica
from tests.recovery.adder import Adder, Shard


def made() -> Replica:
    return Replica(1, 1, [1, 2, 3], Adder, mode="quorum", durability="disk", draw=lambda _: 0)


def entry(tx: int) -> bytes:
    return make_entry(1, 0, 16, CommandHeader(tx, 0, 1, 1, tx, 0, 0).pack())


def test_a_journal_of_which_no_log_can_be_made_is_told_to_the_operator_once(tmp_path):
    directory = tmp_path / "shard-s1.1" / "snapshots"
    shard = Shard()
    for number in (1, 2):
        shard.add(number)
        shard.say()
        snapshot = take(shard.primary.execution, 1)
        snapshot_files.save(directory, encode_snapshot(snapshot), snapshot.tx)
    promise = (7, PROMISE_RECORD, bytes(4))
    records = [promise, (8, COMMAND_RECORD, entry(1)), (9, COMMAND_RECORD, entry(3))]
    with pytest.raises(ReplicaUnusable) as caught:
        started_replica(directory, records, made, lambda replica: None)
    text = "record 9: the journal has the entry 3 where the log ends with 1. Rebuild it from the other replicas"
    assert str(caught.value) == f"{directory.parent}: {text}"
    started = started_replica(directory, [promise], made, lambda replica: replica.start(0))
    assert started.last_tx == snapshot.tx - 1, "the older one is preferred"
