from itertools import combinations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from recovery import query
from recovery.member import Role
from recovery.query import Ask, NoQuorum, QuorumRead, TooLong
from recovery.service_frames import Answer, AskPosition, Position, Read, Refused

MS = 1_000_000
SECOND = 1_000 * MS
PRIMARY, BACKUP = Role.PRIMARY, Role.BACKUP


class Reading:
    """A read of three replicas, told in short: `p(1, complete=2, safe=30)`, `a(1, 30)`."""

    def __init__(self, count: int = 3, timeout: int = 5 * SECOND) -> None:
        self.core = QuorumRead(range(1, count + 1), b"what", 0, timeout)
        self.asked: dict[int, Ask] = {}
        self.now = 0
        self.look()

    def look(self) -> None:
        for ask in self.core.asks():
            self.asked[ask.replica_id] = ask

    def position(
        self,
        replica_id: int,
        complete: int,
        safe: int,
        commit: int = 0,
        role: Role = BACKUP,
        *,
        recovering: bool = False,
    ) -> None:
        position = Position(complete, complete, safe, recovering, commit, role, replica_id)
        self.core.replied(self.asked[replica_id], position, self.now)
        self.look()

    def reply(self, replica_id: int, reply: Answer | Refused) -> None:
        self.core.replied(self.asked[replica_id], reply, self.now)
        self.look()

    def fail(self, replica_id: int, text: str = "connection refused") -> None:
        self.core.failed(self.asked[replica_id], text, self.now)
        self.look()

    def wait(self, until: int) -> None:
        while self.core.failure is None and (deadline := self.core.next_deadline()) is not None and deadline <= until:
            self.now = deadline
            self.core.handle_deadline(deadline)
            self.look()
        self.now = until

    @property
    def reads(self) -> dict[int, int]:
        """Who is asked to read in this round: the min_tx it was given."""
        newest = max(ask.round for ask in self.asked.values())
        return {
            ask.replica_id: ask.request.min_tx
            for ask in self.asked.values()
            if isinstance(ask.request, Read) and ask.round == newest
        }


@pytest.fixture
def reading() -> Reading:
    return Reading()


def test_all_are_asked_and_a_majority_is_enough(reading):
    assert [ask.request for ask in reading.asked.values()] == [AskPosition()] * 3
    reading.position(1, 2, 30)
    assert reading.reads == {}
    reading.position(3, 2, 31)
    assert list(reading.reads.values()) == [31]
    reading.reply(next(iter(reading.reads)), Answer(33, b"that"))
    assert reading.core.answer == Answer(33, b"that")
    assert reading.core.next_deadline() is None


def test_the_highest_is_by_epoch_before_length(reading):
    reading.position(1, 2, 90)
    reading.position(2, 3, 40)
    assert list(reading.reads.values()) == [40]


def test_the_commit_of_nobody_is_asked_for(reading):
    """What was acknowledged last may be above every commit that a majority knows."""
    reading.position(1, 2, 30, commit=10)
    reading.position(2, 2, 28, commit=25)
    assert list(reading.reads.values()) == [30]


def test_who_may_have_forgotten_does_not_count_but_may_answer(reading):
    reading.position(1, 9, 90, recovering=True)
    reading.position(2, 2, 30, role=PRIMARY)
    assert reading.reads == {}
    reading.position(3, 2, 29, role=Role.CATCHING_UP)
    assert list(reading.reads.values()) == [30]
    for replica_id in (1, 2):  # backup, then primary, then who catches up
        assert replica_id in reading.reads
        reading.fail(replica_id)
    assert 3 in reading.reads


@pytest.mark.parametrize(("commit", "read"), [(28, 1), (30, 2)])
def test_a_backup_is_preferred_unless_it_would_have_to_wait(reading, commit, read):
    reading.position(1, 2, 30, 30, PRIMARY)
    reading.position(2, 2, 30, commit, BACKUP)
    reading.position(3, 2, 30, 27, BACKUP)
    assert reading.reads == {read: 30}


def test_of_those_who_would_have_to_wait_the_first_is_asked(reading):
    for replica_id, role, commit in ((1, PRIMARY, 29), (2, BACKUP, 28)):
        reading.position(replica_id, 2, 30, commit, role)
    assert reading.reads == {2: 30}
    reading = Reading(5)
    for replica_id, commit in ((1, 28), (2, 30), (3, 29)):
        reading.position(replica_id, 2, 30, commit)
    assert reading.reads == {2: 30}


def test_who_refuses_is_followed_by_the_next_also_by_one_heard_late(reading):
    reading.position(1, 2, 30)
    reading.position(2, 2, 30)
    reading.reply(1, Refused("deposed"))
    reading.reply(2, Refused("deposed"))
    assert 3 not in reading.reads
    reading.position(3, 2, 35, role=PRIMARY)
    assert reading.reads[3] == 30


def test_what_does_not_come_in_time_is_begun_anew_with_more_patience_and_another_reader(reading):
    reading.position(1, 2, 30)
    reading.position(2, 2, 30)
    assert reading.reads == {1: 30}
    late = reading.asked[1]
    reading.wait(query.FIRST_PATIENCE)
    assert [ask.request for ask in reading.asked.values()] == [AskPosition()] * 3
    assert reading.core.next_deadline() == 3 * query.FIRST_PATIENCE
    reading.core.replied(late, Answer(30, b"of the round before"), reading.now)
    assert reading.core.answer is None
    reading.position(1, 3, 29)
    reading.position(2, 3, 29)
    assert reading.reads == {2: 29}


def test_an_uncommitted_end_that_the_next_primary_has_not_is_not_waited_for_for_ever(reading):
    reading.position(1, 2, 30)
    reading.position(2, 2, 30)
    reading.wait(query.FIRST_PATIENCE)
    reading.position(2, 3, 27)
    reading.position(3, 3, 28)
    assert list(reading.reads.values()) == [28]


def test_no_majority_and_the_text_says_who_and_why(reading):
    reading.position(1, 2, 30, role=PRIMARY)
    for _ in range(100):
        for replica_id in (2, 3):
            if isinstance(reading.asked[replica_id].request, AskPosition):
                reading.fail(replica_id)
        reading.wait(reading.now + 50 * MS)
    assert isinstance(reading.core.failure, NoQuorum)
    assert reading.now == 5 * SECOND
    assert str(reading.core.failure) == (
        "no answer from 2 of 3 replicas within 5 s; replica 1: no answer; replicas 2 and 3: connection refused"
    )


def refuse_all(reading, *absent):
    """No replica answers, and `absent` have no process, for as long as the read goes on."""
    while reading.core.failure is None:
        for replica_id in (1, 2, 3):
            reading.core.failed(reading.asked[replica_id], "refused", reading.now, absent=replica_id in absent)
        if reading.core.failure is None:
            reading.wait(reading.now + query.RETRY_PAUSE)


def test_a_shard_that_does_not_run_is_not_waited_for(reading):
    refuse_all(reading, 1, 2, 3)
    assert reading.now == query.ABSENCE
    assert str(reading.core.failure) == "no replica is running; replicas 1, 2 and 3: refused"


def test_a_shard_of_which_one_process_is_there_is_waited_for(reading):
    refuse_all(reading, 1, 3)
    assert reading.now == 5 * SECOND
    assert str(reading.core.failure) == "no answer from 2 of 3 replicas within 5 s; replicas 1, 2 and 3: refused"


def test_who_comes_back_within_the_second_is_asked(reading):
    for replica_id in (1, 2, 3):
        reading.core.failed(reading.asked[replica_id], "refused", 0, absent=True)
    reading.wait(query.RETRY_PAUSE)
    reading.position(1, 2, 30)
    reading.position(2, 2, 30)
    assert list(reading.reads.values()) == [30]


def test_a_round_that_cannot_succeed_is_not_waited_out(reading):
    reading.fail(1)
    reading.fail(2)
    assert reading.core.next_deadline() == query.RETRY_PAUSE
    reading.wait(query.RETRY_PAUSE)
    assert {ask.round for ask in reading.asked.values()} == {2}


def test_a_round_that_the_end_cuts_short_hides_nothing_that_was_said_before(reading):
    last = 5 * SECOND - query.RETRY_PAUSE // 2
    reading.wait(last - query.RETRY_PAUSE)
    for replica_id in (1, 2, 3):
        reading.fail(replica_id, "login refused")
    reading.wait(last)
    assert reading.core.failure is None  # a round has begun, and nobody has had the time to answer
    reading.wait(5 * SECOND)
    assert str(reading.core.failure).endswith("replicas 1, 2 and 3: login refused")


def test_a_majority_that_does_not_commit_is_told_as_such(reading):
    for _ in range(10):
        if isinstance(reading.asked[1].request, AskPosition):
            reading.position(1, 2, 30)
            reading.position(2, 2, 30)
        reading.wait(reading.now + SECOND)
    assert "no replica has committed transaction 30 within 5 s" in str(reading.core.failure)


def test_who_has_the_commit_has_half_of_the_time_to_make_the_answer(reading):
    """What takes long would be begun at one replica after the other, each time in vain, and at the primary too."""
    reading.position(1, 2, 30, commit=30)
    reading.position(2, 2, 30, commit=30)
    reading.wait(2 * SECOND)
    assert reading.reads == {1: 30}
    reading.wait(5 * SECOND // 2)
    assert reading.reads == {}
    reading.position(1, 2, 30, commit=30)
    reading.position(2, 2, 30, commit=30)
    assert reading.reads == {2: 30}
    reading.reply(2, Answer(30, b"at last"))
    assert reading.core.answer == Answer(30, b"at last")


def test_the_time_of_a_reader_that_fails_is_not_left_to_who_is_silent(reading):
    reading.position(1, 2, 30, commit=30)
    reading.position(2, 2, 30, commit=30)
    reading.fail(1)
    reading.fail(2)
    reading.wait(SECOND)
    assert isinstance(reading.asked[1].request, AskPosition)
    reading.position(1, 2, 30, commit=30)
    reading.position(2, 2, 30, commit=30)
    assert reading.reads == {1: 30}


def test_what_takes_too_long_is_told_as_such(reading):
    while reading.core.failure is None:
        if isinstance(reading.asked[2].request, AskPosition):
            reading.position(1, 2, 30, commit=30)
            reading.position(2, 2, 30, commit=30)
        reading.wait(reading.now + 50 * MS)
    assert isinstance(reading.core.failure, TooLong)
    assert str(reading.core.failure) == (
        "no replica has made the answer within 5 s; replica 1: making the answer takes long; replica 3: no answer"
    )


def test_one_replica_is_its_own_majority():
    reading = Reading(1)
    reading.position(1, 1, 12, role=PRIMARY)
    assert reading.reads == {1: 12}


def test_what_comes_after_the_end_changes_nothing(reading):
    reading.wait(5 * SECOND)
    failure = reading.core.failure
    reading.position(1, 2, 30)
    reading.fail(2)
    reading.wait(9 * SECOND)
    assert reading.core.failure is failure
    assert reading.core.asks() == []


# What was acknowledged is in what is read, whoever of the replicas answers.


@given(st.data())
def test_no_majority_leads_to_a_read_that_misses_what_was_acknowledged(data):
    """An acknowledged transaction is safe in a majority in its epoch, or in a later epoch's log, and others lag."""
    count = data.draw(st.sampled_from([1, 3, 5]))
    epoch, tx = data.draw(st.integers(1, 5)), data.draw(st.integers(10, 20))
    holders = data.draw(st.sampled_from(list(combinations(range(1, count + 1), count // 2 + 1))))
    positions = {}
    for replica_id in range(1, count + 1):
        holds = replica_id in holders
        complete = data.draw(st.integers(epoch, 7) if holds else st.integers(0, 7))
        # In a later epoch everybody who is complete has it; in the same or a lower one only who acknowledged it.
        lowest = tx if holds or complete > epoch else 0
        positions[replica_id] = (complete, data.draw(st.integers(lowest, 30)))
    reading = Reading(count)
    for replica_id in data.draw(st.permutations(list(positions))):
        reading.position(replica_id, *positions[replica_id])
        if reading.reads:
            break
    assert min(reading.reads.values()) >= tx
