import pytest

from recovery.record import NOOP, OPEN_SOURCE
from recovery.sources import Sources, Verdict


@pytest.fixture
def sources() -> Sources:
    sources = Sources()
    sources.apply(OPEN_SOURCE, 7, 2, 0, 0, 0)
    sources.apply(16, 7, 2, 1, 41, 10)
    sources.apply(16, 7, 2, 2, 0, 0)
    return sources


@pytest.mark.parametrize(
    ("incarnation", "source_seq", "session_id", "session_seq", "verdict"),
    [
        (2, 3, 41, 11, Verdict.TAKE),
        (2, 3, 41, 100, Verdict.TAKE),  # a session's numbers may skip: not every message is a command
        (2, 3, 42, 1, Verdict.TAKE),
        (2, 3, 0, 0, Verdict.TAKE),
        (2, 3, 41, 0, Verdict.TAKE),
        (2, 3, 41, 10, Verdict.DUPLICATE),
        (2, 3, 41, 1, Verdict.DUPLICATE),
        (2, 2, 41, 11, Verdict.REPEATED),
        (2, 1, 41, 10, Verdict.REPEATED),
        (2, 4, 41, 11, Verdict.GAP),
        (1, 3, 41, 11, Verdict.FENCED),
        (3, 3, 41, 11, Verdict.UNOPENED),
    ],
)
def test_the_table_of_verdicts(sources, incarnation, source_seq, session_id, session_seq, verdict):
    assert sources.check(7, incarnation, source_seq, session_id, session_seq) is verdict


def test_a_source_never_heard_of_is_not_open(sources):
    assert sources.check(8, 1, 1, 0, 0) is Verdict.UNOPENED
    assert (sources.incarnation(8), sources.last_source_seq(8)) == (0, 0)


def test_a_new_incarnation_goes_on_with_the_numbers(sources):
    sources.apply(OPEN_SOURCE, 7, 3, 0, 0, 0)
    assert sources.check(7, 3, 3, 0, 0) is Verdict.TAKE
    assert sources.check(7, 3, 1, 0, 0) is Verdict.REPEATED
    assert sources.check(7, 2, 3, 0, 0) is Verdict.FENCED


def test_a_noop_uses_up_its_source_seq_and_leaves_the_session_alone(sources):
    sources.apply(NOOP, 7, 2, 3, 41, 4)
    assert sources.last_source_seq(7) == 3
    assert sources.last_session_seq(41) == 10


def test_the_primarys_own_commands_leave_no_trace(sources):
    sources.apply(16, 0, 0, 0, 0, 0)
    assert sources.last_source_seq(0) == 0


def test_an_incarnation_opens_once(sources):
    with pytest.raises(AssertionError):
        sources.apply(OPEN_SOURCE, 7, 2, 0, 0, 0)
