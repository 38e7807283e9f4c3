"""The journal against crashes at every byte, flipped bits, and disks that fail."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recovery import segment
from recovery.journal import Journal, JournalCorrupted, JournalFailed, JournalLocked, Sync, open_journal
from recovery.journal_reader import JournalReader, segment_firsts, segment_path
from recovery.segment import MARK, Record

SMALL = 4096


def records(directory: Path, segment_bytes: int = SMALL) -> list[Record]:
    with open_journal(directory, sync="write", segment_bytes=segment_bytes) as journal:
        return list(journal.replay())


def payload(n: int) -> bytes:
    return b"record %d " % n + b"x" * (n % 50)


def fill(journal: Journal, first: int, last: int, batch: int = 1) -> None:
    """Append records whose payload is known from their count, a write after every `batch`."""
    for n in range(first, last + 1):
        journal.append(1, payload(n))
        if n % batch == 0:
            journal.write_nowait()
    journal.write_nowait()


def crash(directory: Path, copy: Path) -> Path:
    """The files as they are while the writer is still at it."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for first in segment_firsts(directory):
        shutil.copy(segment_path(directory, first), copy)
    return copy


@pytest.mark.parametrize("sync", ["write", "disk"])
async def test_what_was_committed_is_there_again(tmp_path, sync: Sync):
    with open_journal(tmp_path, sync=sync, segment_bytes=SMALL) as journal:
        assert list(journal.replay()) == []
        assert [journal.append(1, b"a"), journal.append(2, b"b")] == [1, 2]
        await journal.commit()
        assert journal.synced_number == 2
    with open_journal(tmp_path, sync=sync, segment_bytes=SMALL) as journal:
        assert list(journal.replay()) == [Record(1, 1, b"a"), Record(2, 2, b"b")]
        assert journal.append(3, b"c") == 4  # 3 is the MARK of the clean end
        await journal.commit()
    assert records(tmp_path) == [Record(1, 1, b"a"), Record(2, 2, b"b"), Record(4, 3, b"c")]


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_numbers_go_on_over_segments(tmp_path, batch):
    with open_journal(tmp_path, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 300, batch)
        assert [journal.read(n) for n in (1, 64, 65, 150, 300)] == [
            Record(n, 1, payload(n)) for n in (1, 64, 65, 150, 300)
        ]
        assert [r.number for r in journal.read_from(250)] == list(range(250, 301))
        for missing in (0, 301):
            with pytest.raises(KeyError):
                journal.read(missing)
    assert len(segment_firsts(tmp_path)) > 3
    assert records(tmp_path) == [Record(n, 1, payload(n)) for n in range(1, 301)]


async def test_records_given_together_are_numbered_one_by_one_also_over_a_segments_end(tmp_path):
    given_together = [(1 + n % 3, payload(n)) for n in range(1, 201)]
    with open_journal(tmp_path, sync="disk", segment_bytes=SMALL) as journal:
        assert list(journal.replay()) == []
        journal.append(7, b"first")
        journal.extend(given_together)
        assert journal.append(7, b"last") == 202
        await journal.commit()
        assert journal.synced_number == 202
    assert len(segment_firsts(tmp_path)) > 1
    expected = [Record(n + 1, *each) for n, each in enumerate(given_together, 1)]
    assert records(tmp_path) == [Record(1, 7, b"first"), *expected, Record(202, 7, b"last")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90), st.floats(0, 1), st.integers(-3, 80)), max_size=30))
def test_any_record_is_read_in_any_order_while_more_are_written(tmp_path_factory, turns):
    directory = tmp_path_factory.mktemp("journal")
    with open_journal(directory, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 1)
        written = last = 1
        for more, place, step in turns:
            fill(journal, written + 1, written + more)
            written += more
            for number in (1 + int(place * (written - 1)), last + step):
                if 1 <= number <= written:
                    assert journal.read(number) == Record(number, 1, payload(number))
                    last = number
        with pytest.raises(KeyError):
            journal.read(written + 1)


def test_a_journal_has_one_writer(tmp_path):
    with open_journal(tmp_path, sync="write"), pytest.raises(JournalLocked), open_journal(tmp_path, sync="write"):
        pass
    assert records(tmp_path) == []


def test_a_forked_child_that_lives_on_does_not_keep_the_journal_locked(tmp_path):
    """One whose work nobody wants any more takes its time to die, and may not have begun to close what it inherited."""
    with open_journal(tmp_path, sync="write"):
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        with open_journal(tmp_path, sync="write"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_every_cut_of_the_last_write_leaves_what_was_safe_before(tmp_path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    with open_journal(source, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 10)
        safe = journal._end
        fill(journal, 11, 13, batch=1000)
        end = journal._end
        crash(source, copy)
    whole = segment_path(copy, 1).read_bytes()
    for cut in range(safe, end):
        torn = whole[:cut] + bytes(len(whole) - cut)
        segment_path(copy, 1).write_bytes(torn)
        found = records(copy)
        assert found[:10] == [Record(n, 1, payload(n)) for n in range(1, 11)]
        assert found == [Record(n, 1, payload(n)) for n in range(1, 1 + len(found))]
        assert len(found) < 13
        with open_journal(copy, sync="write", segment_bytes=SMALL) as journal:  # and it can be gone on with
            list(journal.replay())
            journal.append(1, b"next")
            journal.write_nowait()
        assert [r.payload for r in records(copy)] == [*(r.payload for r in found), b"next"]


def test_pages_of_the_last_write_that_reached_the_disk_out_of_order_are_cut_too(tmp_path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    with open_journal(source, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 10)
        at = journal._end
        fill(journal, 11, 13, batch=1000)
        crash(source, copy)
    path = segment_path(copy, 1)
    data = bytearray(path.read_bytes())
    data[at : at + 30] = bytes(30)  # the beginning of record 11 is missing, 12 and 13 are whole
    path.write_bytes(bytes(data))
    assert len(records(copy)) == 10
    assert path.read_bytes().count(b"record 12") == 0


def test_any_flipped_bit_in_what_was_safe_is_refused_with_its_place(tmp_path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    with open_journal(source, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 8)
        end = journal._end
    crash(source, copy)
    path = segment_path(copy, 1)
    whole = path.read_bytes()
    for at in range(end):
        data = bytearray(whole)
        data[at] ^= 0x10
        path.write_bytes(bytes(data))
        with pytest.raises(JournalCorrupted) as caught:
            records(copy)
        assert caught.value.path == path
        assert caught.value.offset <= at
        assert path.read_bytes() == bytes(data)  # evidence is left alone


def test_a_missing_segment_is_refused(tmp_path):
    with open_journal(tmp_path, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 300)
    firsts = segment_firsts(tmp_path)
    segment_path(tmp_path, firsts[1]).unlink()
    with pytest.raises(JournalCorrupted, match=f"record {firsts[1]} is damaged"):
        records(tmp_path)


def test_a_segment_begun_and_not_written_is_begun_again(tmp_path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    with open_journal(source, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        n = 0
        while len(segment_firsts(source)) < 2:
            n += 1
            crash(source, copy)
            fill(journal, n, n)
    segment_path(copy, n).write_bytes(bytes(SMALL))
    assert [r.number for r in records(copy)] == list(range(1, n))
    with open_journal(copy, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        journal.append(1, payload(n))
        journal.write_nowait()
    assert records(copy)[-1].payload == payload(n)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_a_crash_leaves_of_the_unsafe_part_the_safe_part_is_whole(tmp_path, data):
    """Writes in write mode: all but the last batch is safe. Any of the last batch's bytes may be missing."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    shutil.rmtree(source, ignore_errors=True)
    batches = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=12))
    last = data.draw(st.integers(1, 40))
    with open_journal(source, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        n = 0
        for size in batches:
            fill(journal, n + 1, n + size, batch=1000)
            n += size
        before = {first: segment_path(source, first).read_bytes() for first in segment_firsts(source)}
        fill(journal, n + 1, n + last, batch=1000)
        crash(source, copy)
    for first in segment_firsts(copy):
        path = segment_path(copy, first)
        old, new = before.get(first, bytes(SMALL)), bytearray(path.read_bytes())
        changed = [at for at in range(SMALL) if old[at] != new[at]]
        if changed:
            holes = data.draw(st.lists(st.sampled_from(changed), max_size=3))
            for hole in holes:
                new[hole : hole + 64] = old[hole : hole + 64]
            path.write_bytes(bytes(new))
    found = records(copy)
    assert len(found) >= n
    assert found == [Record(i, 1, payload(i)) for i in range(1, len(found) + 1)]


async def test_commits_that_come_while_one_runs_share_the_next(tmp_path, monkeypatch):
    synced: list[int] = []
    real = os.fdatasync
    with open_journal(tmp_path, sync="disk", segment_bytes=SMALL) as journal:
        list(journal.replay())
        monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(fd), real(fd))[1])
        numbers: list[int] = []

        async def commit_one(n: int) -> None:
            number = journal.append(1, payload(n))
            await journal.commit()
            assert journal.synced_number >= number
            numbers.append(number)

        async with trio.open_nursery() as nursery:
            for n in range(30):
                nursery.start_soon(commit_one, n)
        assert sorted(numbers) == list(range(1, 31))
        assert len(synced) < 10


async def test_segments_are_filled_ahead_and_used(tmp_path):
    with open_journal(tmp_path, sync="disk", segment_bytes=SMALL) as journal:
        list(journal.replay())
        for n in range(1, 301):
            journal.append(1, payload(n))
            if n % 10 == 0:
                await journal.commit()
                while journal._preparing:
                    await trio.lowlevel.checkpoint()
        assert journal._dirty == []
    assert records(tmp_path) == [Record(n, 1, payload(n)) for n in range(1, 301)]


async def test_a_failed_sync_is_final(tmp_path, monkeypatch):
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with open_journal(tmp_path, sync="disk", segment_bytes=SMALL) as journal:
        list(journal.replay())
        journal.append(1, b"a")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", broken)
            with pytest.raises(JournalFailed, match="Input/output error"):
                await journal.commit()
        with pytest.raises(JournalFailed):
            await journal.commit()
        journal.append(1, b"b")
        with pytest.raises(JournalFailed):
            await journal.commit()


@pytest.mark.parametrize("written", [None, 7])
def test_a_full_disk_and_a_short_write_are_final(tmp_path, monkeypatch, written):
    def full(fd: int, data: bytes, offset: int) -> int:
        if written is None:
            raise OSError(28, "No space left on device")
        return written

    with open_journal(tmp_path, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        journal.append(1, b"a" * 20)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(JournalFailed, match="write: "):
                journal.write_nowait()
        with pytest.raises(JournalFailed):
            journal.write_nowait()
    assert records(tmp_path) == []


# Reading from another process


def test_a_reader_follows_the_writer_over_segments(tmp_path):
    reader = JournalReader(tmp_path)
    assert reader.poll() == []
    with open_journal(tmp_path, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        assert reader.poll() == []
        found = []
        for n in range(1, 301):
            fill(journal, n, n)
            if n % 3 == 0:
                found += reader.poll()
                assert reader.next_number == n + 1
    found += reader.poll()
    assert found == [*(Record(n, 1, payload(n)) for n in range(1, 301)), Record(301, MARK, b"")]
    assert JournalReader(tmp_path, 250).poll(max_records=5) == [Record(n, 1, payload(n)) for n in range(250, 255)]


def test_a_reader_waits_for_a_record_that_is_half_written(tmp_path):
    path = segment_path(tmp_path, 1)
    record = segment.make_record(1, 1, 0, b"payload")
    for size in range(len(record)):
        path.write_bytes(segment.make_segment_header(1) + record[:size] + bytes(200 - size))
        reader = JournalReader(tmp_path)
        assert reader.poll() == []
        path.write_bytes(segment.make_segment_header(1) + record + bytes(200))
        assert reader.poll() == [Record(1, 1, b"payload")]


def test_a_reader_says_when_the_writer_is_past_a_bad_record(tmp_path):
    with open_journal(tmp_path, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 300)
    path = segment_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(bytes(data))
    reader = JournalReader(tmp_path)
    with pytest.raises(JournalCorrupted, match="is bad, and segment"):
        reader.poll()
    path.unlink()
    with pytest.raises(JournalCorrupted, match="record 1 is gone"):
        JournalReader(tmp_path).poll()


def test_a_large_record_is_read_in_one_piece(tmp_path):
    large = bytes(range(256)) * 4000
    with open_journal(tmp_path, sync="write") as journal:
        list(journal.replay())
        journal.append(1, large)
        journal.append(2, b"after")
        journal.write_nowait()
        assert journal.read(1).payload == large
        assert journal.read(2).payload == b"after"


async def pruned(directory: Path, number: int) -> list[int]:
    """A journal of 300 records without the segments before `number`; the first numbers of its segments before."""
    with open_journal(directory, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 300)
        firsts = segment_firsts(directory)
        await journal.prune(number)
        assert [record.number for record in journal.read_from(number)] == list(range(number, 301))
        with pytest.raises(KeyError):
            journal.read(1)
        fill(journal, 301, 310)
    return firsts


async def test_a_pruned_journal_begins_with_a_whole_segment_and_goes_on(tmp_path):
    firsts = await pruned(tmp_path, 200)
    left = segment_firsts(tmp_path)
    assert left[0] == max(first for first in firsts if first <= 200)
    assert records(tmp_path) == [Record(n, 1, payload(n)) for n in range(left[0], 311)]
    reader = JournalReader(tmp_path)
    with pytest.raises(JournalCorrupted, match="record 1 is gone"):
        reader.poll()
    assert JournalReader(tmp_path, left[0]).poll()[0].number == left[0]


@pytest.mark.parametrize("number", [1, 2])
async def test_the_segment_that_is_written_is_never_pruned(tmp_path, number):
    with open_journal(tmp_path, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 1)
        await journal.prune(number)
    assert records(tmp_path) == [Record(1, 1, payload(1))]
    with open_journal(tmp_path, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        with pytest.raises(AssertionError, match="safe first"):
            await journal.prune(journal.next_number + 1)


async def test_a_crash_anywhere_in_pruning_leaves_a_journal(tmp_path, monkeypatch):
    source, copies = tmp_path / "source", []

    def sync_directory(directory: Path) -> None:
        if segment_firsts(directory)[0] > 1:
            copies.append(crash(directory, tmp_path / f"copy{len(copies)}"))

    monkeypatch.setattr("recovery.journal._sync_directory", sync_directory)
    source.mkdir()
    firsts = await pruned(source, 250)
    gone = [first for first in firsts if first < segment_firsts(source)[0]]
    assert len(copies) == len(gone) >= 3
    for copy, first in zip(copies, firsts[1:], strict=False):
        assert records(copy) == [Record(n, 1, payload(n)) for n in range(first, 301)]


async def test_a_segment_that_is_missing_in_the_middle_is_damage(tmp_path):
    await pruned(tmp_path, 100)
    segment_path(tmp_path, segment_firsts(tmp_path)[1]).unlink()
    with pytest.raises(JournalCorrupted):
        records(tmp_path)


async def test_a_disk_that_fails_while_pruning_ends_the_journal(tmp_path, monkeypatch):
    def fail(self: Path, *, missing_ok: bool = False) -> None:
        raise OSError(5, "Input/output error")

    with open_journal(tmp_path, sync="write", segment_bytes=SMALL) as journal:
        list(journal.replay())
        fill(journal, 1, 300)
        monkeypatch.setattr(Path, "unlink", fail)
        with pytest.raises(JournalFailed, match="prune"):
            await journal.prune(250)
        monkeypatch.undo()
        with pytest.raises(JournalFailed):
            journal.write_nowait()
