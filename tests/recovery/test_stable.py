import pytest

from recovery.command_log import COMMAND_RECORD, make_entry
from recovery.record import pack_command_header
from recovery.stable import Stable


def entry(tx: int, epoch: int = 1) -> bytes:
    return make_entry(epoch, 0, 16, pack_command_header(tx, 0, 1, 1, tx, 0, 0))


def opened(durability="disk", records=()) -> Stable:
    stable = Stable(durability)
    for kind, payload in records:
        stable.replay(kind, payload, 0)
    stable.opened()
    return stable


def test_nothing_is_safe_before_it_is_synced():
    stable = opened()
    stable.promise(1)
    stable.complete(1)
    stable.append(entry(1))
    count = len(stable.records_to_write())
    assert (stable.promised_epoch, stable.complete_epoch, stable.log.last_tx) == (1, 1, 1)
    assert (stable.safe_promise, stable.safe_complete, stable.safe_tx) == (0, 0, 0)
    stable.synced(count)
    assert (stable.safe_promise, stable.safe_complete, stable.safe_tx) == (1, 1, 1)


def test_entries_taken_together_are_written_one_by_one_and_safe_together():
    stable = opened()
    stable.extend([entry(1), entry(2)])
    assert stable.records_to_write() == [(COMMAND_RECORD, entry(1)), (COMMAND_RECORD, entry(2))]
    stable.extend([entry(3)])
    stable.synced(2)
    assert (stable.safe_tx, stable.log.last_tx) == (2, 3)


def test_with_memory_entries_are_safe_at_once_and_promises_are_not():
    stable = opened("memory")
    stable.promise(1)
    stable.append(entry(1))
    assert stable.needs_sync
    assert (stable.safe_tx, stable.safe_promise) == (1, 0)
    stable.synced(len(stable.records_to_write()))
    assert (stable.needs_sync, stable.safe_promise) == (False, 1)
    stable.append(entry(2))
    stable.records_to_write()
    assert not stable.needs_sync


def test_a_sync_that_ends_after_a_cut_counts_nothing_that_was_cut():
    stable = opened()
    stable.promise(1)
    for tx in (1, 2, 3):
        stable.append(entry(tx))
    first = len(stable.records_to_write())
    stable.cut(1)
    stable.append(entry(2, epoch=2))
    stable.records_to_write()
    stable.synced(first)
    assert stable.safe_tx == 1
    stable.synced(stable.written)
    assert stable.safe_tx == 2


def test_replay_makes_the_same_again():
    stable = opened()
    stable.promise(1)
    stable.complete(1)
    for tx in (1, 2, 3):
        stable.append(entry(tx))
    stable.promise(4)
    stable.cut(2)
    stable.append(entry(3, epoch=4))
    records = stable.records_to_write()
    again = opened(records=records)
    assert (again.promised_epoch, again.complete_epoch, again.safe_tx) == (4, 1, 3)
    assert [again.log.entry(tx) for tx in (1, 2, 3)] == [stable.log.entry(tx) for tx in (1, 2, 3)]


def test_a_replica_that_forgot_recovers_over_restarts_until_it_is_complete():
    stable = opened()
    stable.recover(5)
    assert stable.recovering
    records = stable.records_to_write()
    again = opened(records=records)
    assert again.recovering
    assert again.promised_epoch == 5
    again.promise(7)
    again.complete(7)
    assert not again.recovering


@pytest.mark.parametrize(("durability", "waiting"), [("memory", 0), ("disk", 1_000)])
def test_batches_wait_for_a_sync_only_where_one_comes(durability, waiting):
    stable = opened(durability)
    for tx in range(1, 1_001):
        stable.append(entry(tx))
        stable.records_to_write()
    assert len(stable._marks) == waiting
