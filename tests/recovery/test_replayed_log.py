"""A replica's journal is pruned anywhere it may be, its newest snapshot lost, and the same log comes out."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery.command_log import (
    BEGIN_RECORD,
    COMMAND_RECORD,
    COMMITTED_RECORD,
    CUT_RECORD,
    EPOCH_RECORD,
    ORIGIN,
    PROMISE_RECORD,
    SNAPSHOT_RECORD,
    Point,
    make_entry,
)
from recovery.record import pack_command_header
from recovery.replayed_log import SNAPSHOT_FIELDS, LogIncomplete, ReplayedLog
from recovery.stable import NUMBERED_INTERVAL, Stable


def entry(tx: int, epoch: int = 1) -> bytes:
    return make_entry(epoch, 0, 16, pack_command_header(tx, 0, 1, 1, tx, 0, 0))


def whole_log(stable: Stable) -> list[bytes]:
    return [stable.log.entry(tx) for tx in range(stable.log.base.tx + 1, stable.log.last_tx + 1)]


Step = tuple[str, int]
step = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 8)),
    st.tuples(st.just("cut"), st.integers(1, 5)),
    st.tuples(st.just("save"), st.integers(0, 6)),
    st.tuples(st.just("install"), st.integers(1, 6)),
    st.tuples(st.just("install instead"), st.integers(0, 6)),
)
steps = st.lists(step, max_size=30)
restarts = st.tuples(st.just("restart"), st.integers(0, 30))


class Life:
    """A replica's durable state through any sequence of changes, with its journal and the files of its snapshots."""

    def __init__(self) -> None:
        self.stable = Stable("disk")
        self.stable.opened()
        self.epoch = 1
        self.stable.promise(1)
        self.stable.complete(1)
        self.journal = self.stable.records_to_write()
        self.first_number = 1
        self.files: list[Point] = []
        self.committed_tx = 0

    def do(self, step: Step) -> None:
        kind, amount = step
        stable = self.stable
        last_tx = stable.log.last_tx
        if kind == "append":
            for tx in range(last_tx + 1, last_tx + 1 + amount):
                stable.append(entry(tx, self.epoch))
        elif kind == "cut":
            if (tx := max(self.committed_tx, last_tx - amount)) < last_tx:
                stable.cut(tx)
            self._next_epoch()
        elif kind == "save":
            self.committed_tx = max(self.committed_tx, last_tx - amount)
            if self.committed_tx > 0 and self.committed_tx >= stable.log.base.tx:
                self._keep(Point(self.committed_tx, stable.log.epoch_at(self.committed_tx)))
                stable.snapshot_saved(self.committed_tx)
        elif kind == "restart":
            self.stable = stable = self._restart_anyhow(max(self.first_number, stable.needed_number - amount))
        else:
            self._next_epoch()
            ahead = amount if kind == "install" else -amount
            point = Point(max(last_tx + ahead, self.committed_tx + 1), self.epoch)
            self._keep(point)
            stable.begin_at(point)
            self.committed_tx = point.tx
        self.journal += stable.records_to_write()
        stable.synced(stable.written)

    def _restart_anyhow(self, first: int) -> Stable:
        """From the older snapshot, or from the newer one, if an installed one lies between them."""
        if self.files[1:]:
            with suppress(LogIncomplete):
                return self.restart(first, self.files[0])
        return self.restart(first, self.files[-1] if self.files else None)

    def _next_epoch(self) -> None:
        self.epoch += 1
        self.stable.promise(self.epoch)

    def _keep(self, point: Point) -> None:
        if point not in self.files:
            self.files = [*self.files, point][-2:]

    def restart(self, first: int, snapshot: Point | None) -> Stable:
        """From what is left of the journal when all before the record `first` is gone."""
        again = Stable("disk")
        for number, (kind, payload) in enumerate(self.journal[first - 1 :], first):
            again.replay(kind, payload, number)
        again.opened(snapshot, next_number=len(self.journal) + 1)
        self.first_number = first
        return again


@given(steps, st.data())
def test_the_same_comes_out_of_a_pruned_journal(taken, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recovery.stable.NUMBERED_INTERVAL", 1)
        life = Life()
        for each in taken:
            life.do(each)
        stable = life.stable
        first = data.draw(st.integers(1, stable.needed_number))
        again = life.restart(first, life.files[-1] if life.files else None)
    assert again.log.base == stable.log.base
    assert whole_log(again) == whole_log(stable)
    assert again.points == stable.points
    assert again.safe_tx == stable.safe_tx
    state = (stable.promised_epoch, stable.complete_epoch, stable.recovering_epoch)
    assert (again.promised_epoch, again.complete_epoch, again.recovering_epoch) == state
    assert not again.records_to_write()


@pytest.mark.parametrize(
    "taken",
    [
        [("append", 11), ("save", 1), ("append", 1), ("install", 1), ("append", 2)],
        [("install", 1), ("append", 1), ("save", 0)],
        [("append", 5), ("save", 0), ("append", 4), ("save", 0)],
        [("append", 5), ("save", 1), ("append", 4), ("save", 1), ("append", 3), ("cut", 2)],
        [("append", 9), ("install instead", 4), ("append", 9), ("save", 8), ("append", 1), ("save", 0)],
    ],
)
def test_the_same_comes_out_wherever_the_journal_begins(taken, monkeypatch):
    monkeypatch.setattr("recovery.stable.NUMBERED_INTERVAL", 1)
    life = Life()
    for each in taken:
        life.do(each)
    stable = life.stable
    assert stable.needed_number > 1
    for first in range(1, stable.needed_number + 1):
        again = life.restart(first, life.files[-1])
        assert (again.log.base, whole_log(again), again.points) == (stable.log.base, whole_log(stable), stable.points)


@given(st.lists(st.one_of(step, step, restarts), max_size=30), st.data())
def test_the_same_comes_out_over_any_restarts(taken, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recovery.stable.NUMBERED_INTERVAL", 2)
        life = Life()
        for each in taken:
            life.do(each)
        stable = life.stable
        first = data.draw(st.integers(life.first_number, max(life.first_number, stable.needed_number)))
        newest = life.files[-1] if life.files else None
        again = life.restart(first, newest)
    assert again.points[-1:] == life.files[-1:]
    base_tx = max(again.log.base.tx, stable.log.base.tx)
    assert base_tx <= (newest or ORIGIN).tx
    assert again.log.epoch_at(base_tx) == stable.log.epoch_at(base_tx)
    assert again.log.entries_after(base_tx, 1 << 20) == stable.log.entries_after(base_tx, 1 << 20)
    assert again.safe_tx == stable.safe_tx
    state = (stable.promised_epoch, stable.complete_epoch, stable.recovering_epoch)
    assert (again.promised_epoch, again.complete_epoch, again.recovering_epoch) == state


@given(steps, st.data())
def test_without_its_newest_snapshot_the_one_before_has_a_longer_tail(taken, data):
    life = Life()
    for each in [*taken, ("append", 5), ("save", 1), ("append", 4), ("save", 2)]:
        life.do(each)
    first = data.draw(st.integers(1, life.stable.needed_number))
    older = life.files[0]
    again = life.restart(first, older)
    assert again.log.base.tx <= older.tx
    assert again.log.last_tx == life.stable.log.last_tx
    assert (
        whole_log(again)[older.tx - again.log.base.tx :] == whole_log(life.stable)[older.tx - life.stable.log.base.tx :]
    )


@given(steps, st.integers(1, 20))
def test_a_snapshot_whose_journal_was_cut_by_the_power_wins(taken, ahead):
    life = Life()
    for each in taken:
        life.do(each)
    point = Point(life.stable.log.last_tx + ahead, life.epoch + 1)
    again = life.restart(1, point)
    assert (again.log.base, again.log.last_tx, again.safe_tx) == (point, point.tx, point.tx)
    assert again.promised_epoch == life.epoch + 1
    again.append(entry(point.tx + 1, point.epoch))
    life.journal += again.records_to_write()
    once_more = life.restart(1, point)
    assert (once_more.log.base, whole_log(once_more)) == (point, whole_log(again))


def replayed(*entries: bytes) -> ReplayedLog:
    log = ReplayedLog()
    for each in entries:
        log.append(each)
    return log


def test_in_mode_async_the_journal_wins():
    for point in (Point(4, 1), Point(2, 2)):
        with pytest.raises(LogIncomplete, match="in the snapshot and not in the log"):
            replayed(entry(1), entry(2), entry(3)).join(point, trust_snapshot=False)
        joined = replayed(entry(1), entry(2), entry(3)).join(point, trust_snapshot=True)
        assert (joined.log.base, joined.log.last_tx, joined.ahead) == (point, point.tx, True)
    assert replayed(entry(1), entry(2)).join(Point(2, 1), trust_snapshot=False).log.base == ORIGIN


def test_what_makes_no_log_together_is_refused():
    with pytest.raises(LogIncomplete, match="begins with tx 5, and no snapshot"):
        replayed(entry(5)).join(None, trust_snapshot=True)
    with pytest.raises(LogIncomplete, match="begins with tx 5, the snapshot ends with tx 3"):
        replayed(entry(5)).join(Point(3, 1), trust_snapshot=True)


def fields(tx: int, epoch: int) -> bytes:
    return SNAPSHOT_FIELDS.pack(tx, epoch, 9, 9, 0)


FOREIGN = {
    "the entry 3 where the log ends with 1": [(COMMAND_RECORD, entry(1)), (COMMAND_RECORD, entry(3))],
    "the entry 5 where the log ends with 3": [(CUT_RECORD, (3).to_bytes(8, "big")), (COMMAND_RECORD, entry(5))],
    "the entry 9 where the log ends with 7": [(BEGIN_RECORD, fields(7, 1)), (COMMAND_RECORD, entry(9))],
    "of an epoch below": [(COMMAND_RECORD, entry(1, 2)), (COMMAND_RECORD, entry(2, 1))],
    "cuts the log to 4, which ends with 1": [(COMMAND_RECORD, entry(1)), (CUT_RECORD, (4).to_bytes(8, "big"))],
    "tx 2, epoch 1, and no such entry": [(COMMAND_RECORD, entry(1)), (SNAPSHOT_RECORD, fields(2, 1))],
    "tx 1, epoch 2, and no such entry": [(COMMAND_RECORD, entry(1)), (SNAPSHOT_RECORD, fields(1, 2))],
    "an entry of 50 bytes": [(PROMISE_RECORD, bytes(4)), (COMMAND_RECORD, entry(1)[:-1])],
    "kind 3 cannot have 0 bytes": [(COMMAND_RECORD, entry(1)), (PROMISE_RECORD, b"")],
    "kind 2 cannot have 3 bytes": [(COMMAND_RECORD, entry(1)), (EPOCH_RECORD, bytes(3))],
    "kind 8 cannot have 7 bytes": [(COMMAND_RECORD, entry(1)), (COMMITTED_RECORD, bytes(7))],
    "its kind 77 is unknown": [(COMMAND_RECORD, entry(1)), (77, b"")],
}


@pytest.mark.parametrize("text", FOREIGN)
def test_records_that_no_replica_has_written_so_are_refused_and_not_asserted(text):
    stable = Stable("disk")
    (kind, payload), wrong = FOREIGN[text]
    stable.replay(kind, payload, 41)
    with pytest.raises(LogIncomplete, match=f"record 42.*{text}"):
        stable.replay(*wrong, 42)


def test_a_snapshot_whose_record_the_power_took_gets_one():
    life = Life()
    life.do(("append", 5))
    again = life.restart(1, Point(4, 1))
    ((kind, payload),) = again.records_to_write()
    assert (kind, payload[:12]) == (SNAPSHOT_RECORD, fields(4, 1)[:12])


def test_entries_that_were_cut_in_a_part_that_is_gone_do_no_harm():
    log = replayed(entry(105), entry(106))
    log.cut(95)
    log.append(entry(96, 2))
    log.append(entry(97, 2))
    joined = log.join(Point(96, 2), trust_snapshot=True)
    assert (joined.log.base, joined.log.last_tx) == (Point(96, 2), 97)


def test_records_are_needed_from_the_older_snapshot_on():
    stable = Stable("disk")
    stable.opened(next_number=1)
    stable.promise(1)
    count = 3 * NUMBERED_INTERVAL
    for tx in range(1, count + 1):
        stable.append(entry(tx))
    for saved in (2 * NUMBERED_INTERVAL + 10, count):
        assert stable.needed_number == 1
        stable.snapshot_saved(saved)
        assert stable.needs_sync
        stable.records_to_write()
        assert stable.needed_number == 1
        stable.synced(stable.written)
    assert stable.log.base.tx == 2 * NUMBERED_INTERVAL + 10
    assert stable.needed_number == 2 + 2 * NUMBERED_INTERVAL


def test_a_sync_that_ends_late_takes_nothing_back_from_a_snapshot():
    stable = Stable("disk")
    stable.opened()
    stable.promise(1)
    for tx in (1, 2, 3):
        stable.append(entry(tx))
    first = len(stable.records_to_write())
    stable.begin_at(Point(50, 1))
    assert stable.safe_tx == 50
    stable.synced(first)
    assert stable.safe_tx == 50
    stable.begin_anew()
    assert (stable.safe_tx, stable.log.last_tx, stable.points) == (0, 0, [])
