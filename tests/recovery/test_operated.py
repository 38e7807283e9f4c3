"""What came of an operator's command, out of the messages that are kept."""

from recovery.operated import MAX_TOLD, Outcome, find
from recovery.primary import Primary
from recovery.service_frames import Operate, Operated
from recovery.sources import OPERATOR_SOURCE, Verdict
from tests.recovery.adder import ADD, COUNTDOWN, STEP, STEPPED, TOTAL, Adder


def leading() -> Primary:
    primary = Primary(1, Adder())
    primary.lead(1, 0)
    primary.open_source(OPERATOR_SOURCE, 1, 0)
    return primary


def submit(primary: Primary, request: Operate) -> Verdict:
    numbers = (OPERATOR_SOURCE, request.incarnation, request.source_seq, 0, 0)
    return primary.submit(*numbers, request.kind, request.body, 0)


def outcome(primary: Primary, request: Operate) -> Operated:
    seq = find(primary.store, request)
    assert seq is not None
    found = Outcome(seq, STEP)
    while found.read(primary.store):
        pass
    return found.operated()


def test_a_command_is_found_by_its_numbers_among_others() -> None:
    primary = leading()
    requests = [Operate(1, number, STEP, ADD, b"%d" % number) for number in (1, 2, 3)]
    for request in requests:
        primary.command(ADD, b"100", 0)
        assert submit(primary, request) is Verdict.TAKE
    assert [(told.tx, told.events[0]) for told in (outcome(primary, request) for request in requests)] == [
        (3, (TOTAL, b"101")),
        (5, (TOTAL, b"203")),
        (7, (TOTAL, b"306")),
    ]
    assert find(primary.store, Operate(2, 2, STEP, ADD, b"2")) is None
    assert submit(primary, requests[1]) is Verdict.REPEATED


def test_work_that_took_many_transactions_belongs_to_its_command_and_what_follows_does_not() -> None:
    primary = leading()
    request = Operate(1, 1, STEP, COUNTDOWN, b"5")
    submit(primary, request)
    primary.command(COUNTDOWN, b"3", 0)
    assert outcome(primary, request) == Operated(2, 0, tuple((STEPPED, b"%d" % left) for left in range(4, -1, -1)))


def test_of_very_much_the_beginning_and_the_end_are_told() -> None:
    primary = leading()
    request = Operate(1, 1, STEP, COUNTDOWN, b"1000")
    submit(primary, request)
    while primary.pending:
        primary.work(0)
    told = outcome(primary, request)
    assert told.left_out == 1000 - 2 * MAX_TOLD
    assert [int(body) for _, body in told.events] == [*range(999, 999 - MAX_TOLD, -1), *range(MAX_TOLD - 1, -1, -1)]
