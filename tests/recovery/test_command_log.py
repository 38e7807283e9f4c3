import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery.command_log import (
    ENTRY_HEADER_BYTES,
    CommandLog,
    Point,
    entry_epoch,
    entry_tx,
    make_entry,
    read_entry,
    unpack_entry,
)
from recovery.quorum import held_by_majority, majority
from recovery.record import CommandHeader, pack_command_header


def log_of(epochs: list[int]) -> CommandLog:
    log = CommandLog()
    for tx, epoch in enumerate(epochs, 1):
        log.append(make_entry(epoch, 0, 16, pack_command_header(tx, 0, 1, 1, tx, 0, 0) + b"body"))
    return log


def test_an_entry_says_its_place():
    header = CommandHeader(12, 99, 7, 1, 3, 41, 5)
    entry = make_entry(4, 0xABCD, 17, pack_command_header(*header) + b"body")
    assert (entry_epoch(entry), entry_tx(entry)) == (4, 12)
    assert read_entry(entry) == (0xABCD, 17, pack_command_header(*header) + b"body")
    assert unpack_entry(entry) == (entry_epoch(entry), 0xABCD, 17, *header)
    assert entry[ENTRY_HEADER_BYTES:] == b"body"


def test_a_log_is_cut_and_goes_on():
    log = log_of([1, 1, 2])
    log.cut(1)
    assert (log.last_tx, log.epoch_at(1), log.epoch_at(0)) == (1, 1, 0)
    log.append(make_entry(3, 0, 16, pack_command_header(2, 0, 1, 1, 2, 0, 0)))
    assert log.epoch_at(2) == 3


def test_entries_taken_together_are_as_good_as_one_by_one_and_leave_no_hole_either():
    whole, log = log_of([1, 1, 2, 4]), log_of([1])
    entries = whole.entries_after(1, 10_000)
    log.extend(entries)
    assert (log.last_tx, log.last_epoch) == (4, 4)
    assert log.entries_after(0, 10_000) == whole.entries_after(0, 10_000)
    for wrong in (entries[1:], [entries[0], entries[0]], log_of([1, 1]).entries_after(1, 10_000)):
        cut = log_of([2])
        with pytest.raises(AssertionError):
            cut.extend(wrong)
        assert (cut.last_tx, len(cut.entries_after(0, 10_000))) == (1, 1)


epoch_lists = st.lists(st.integers(1, 6), max_size=30).map(sorted)


@given(epoch_lists, st.integers(0, 7), st.integers(0, 40))
def test_the_last_at_or_below_is_the_one_a_walk_back_finds(epochs, epoch, tx):
    log = log_of(epochs)
    expected = min(tx, log.last_tx)
    while expected and log.epoch_at(expected) > epoch:
        expected -= 1
    assert log.last_at_or_below(epoch, tx) == expected


@given(epoch_lists, st.integers(0, 30), st.integers(0, 7), st.integers(0, 40))
def test_a_log_that_has_dropped_its_beginning_says_the_same_above_its_base(epochs, base_tx, epoch, tx):
    whole, log = log_of(epochs), log_of(epochs)
    base_tx = min(base_tx, log.last_tx)
    log.drop(base_tx)
    assert log.base == Point(base_tx, whole.epoch_at(base_tx))
    assert log.last_tx == whole.last_tx
    assert log.last_at_or_below(epoch, tx) == max(whole.last_at_or_below(epoch, tx), base_tx)
    for each in range(base_tx, log.last_tx + 1):
        assert log.epoch_at(each) == whole.epoch_at(each)
        assert log.entries_after(each, 200) == whole.entries_after(each, 200)
        assert log.has(Point(each, whole.epoch_at(each)))
        assert not log.has(Point(each, whole.epoch_at(each) + 1))
    assert [log.entry(each) for each in range(base_tx + 1, log.last_tx + 1)] == [
        whole.entry(each) for each in range(base_tx + 1, log.last_tx + 1)
    ]
    assert CommandLog(log.base, log.entries_after(base_tx, 1 << 20)).last_tx == log.last_tx
    cut = max(base_tx, log.last_tx - 3)
    log.cut(cut)
    assert log.last_tx == cut


def test_below_its_base_a_log_says_nothing_and_is_not_cut():
    log = log_of([1, 1, 2, 2])
    log.drop(3)
    assert (log.base, log.last_tx, log.last_at_or_below(1, 4)) == (Point(3, 2), 4, 3)
    assert not log.has(Point(2, 1))
    for ask in (log.entry, log.epoch_at, log.cut):
        with pytest.raises(AssertionError):
            ask(2)
    with pytest.raises(AssertionError):
        log.entry(3)
    log.begin_at(Point(90, 7))
    with pytest.raises(AssertionError, match="epochs"):
        log.append(make_entry(6, 0, 16, pack_command_header(91, 0, 1, 1, 1, 0, 0)))
    log.append(make_entry(7, 0, 16, pack_command_header(91, 0, 1, 1, 1, 0, 0)))
    assert log.last_tx == 91


def test_entries_are_given_as_far_as_they_fit_and_at_least_one():
    log = log_of([1] * 5)
    size = len(log.entry(1)) + 2
    assert len(log.entries_after(1, 3 * size)) == 3
    assert log.entries_after(4, 1) == [log.entry(5)]
    assert log.entries_after(5, 1000) == []


def test_majorities():
    assert [majority(count) for count in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]
    assert held_by_majority([7], 1) == 7
    assert held_by_majority([7, 4], 2) == 4
    assert held_by_majority([7], 2) == 0
    assert held_by_majority([7, 4, 9], 3) == 7
    assert held_by_majority([7, 4, 9, 2], 5) == 4


@given(st.lists(st.integers(0, 20), min_size=1, max_size=7))
def test_a_majority_holds_what_is_said_and_not_one_more(positions):
    tx = held_by_majority(positions, len(positions))
    needed = majority(len(positions))
    assert sum(position >= tx for position in positions) >= needed
    assert sum(position > tx for position in positions) < needed
