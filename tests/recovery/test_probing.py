"""Logs that do not agree are compared by one question at a time, however many datagrams say that they do not.

And a candidate asks for the log that is to be its own once per answer, however late or often that comes.
"""

from recovery.command_log import COMMAND_RECORD, make_entry
from recovery.control import Batch, Prepare, Promise, Pull, Reject, is_control, make_control, parse_control
from recovery.member import MAX_BATCHES
from recovery.record import pack_command_header
from recovery.replica import Replica
from recovery.view_change import RESEND_INTERVAL, Phase
from tests.recovery.adder import ADD, Adder


def entry(tx: int, epoch: int) -> bytes:
    return make_entry(epoch, 0, ADD, pack_command_header(tx, 0, 7, 1, tx, 0, 0) + b"1")


class Alone:
    """Replica 1 of three with twenty entries of epoch 1; the test plays the others."""

    def __init__(self) -> None:
        self.replica = Replica(1, 1, (1, 2, 3), Adder, mode="quorum", durability="disk", draw=lambda _: 0)
        for tx in range(1, 21):
            self.replica.replay(COMMAND_RECORD, entry(tx, 1), tx)
        self.replica.start(0, next_number=21)

    def turn(self, now: int) -> list[Pull]:
        """What a host does after a batch; gives the pulls that were said."""
        replica = self.replica
        said = []
        for _ in range(2):
            replica.records_to_write()
            replica.synced(replica.stable.written, now)
            said += [parse_control(1, data) for _, data in replica.datagrams_to_send(now) if is_control(data)]
        return [message for message in said if isinstance(message, Pull)]

    def hear(self, message: Batch | Promise | Prepare, now: int) -> list[Pull]:
        self.replica.receive_datagram(make_control(1, message), now)
        return self.turn(now)

    def answer(self, epoch: int, now: int, *, serving: bool) -> list[Pull]:
        """Seven datagrams of another log, whose entries are of epoch 3 from tx 1 on and begin above a base."""
        pulls = []
        for tx in range(8, 15):
            given = Batch(2, epoch, tx, 3, 0, 30, 0, 7, serving, [entry(tx + 1, 3)])
            pulls += self.hear(given, now)
        return pulls


def test_a_follower_asks_once_for_all_that_does_not_agree():
    alone = Alone()
    assert len(alone.answer(5, 0, serving=True)) == 1
    assert alone.answer(5, 0, serving=True) == []


def test_a_candidate_asks_once_and_again_after_a_while():
    alone = Alone()
    replica = alone.replica
    replica.handle_deadline(replica.next_deadline())
    replica._begin_campaign(Phase.RAISING, 0)
    replica.epoch_raised(5, 0)
    alone.turn(0)
    asked = alone.hear(Promise(2, 5, 3, 30, False), 0)
    replica.handle_deadline(replica.next_deadline())
    asked += alone.turn(0)
    assert len(asked) == 1
    assert len(alone.answer(5, 0, serving=False)) == 1
    assert alone.answer(5, 0, serving=False) == []
    replica.handle_deadline(RESEND_INTERVAL)
    assert len(alone.turn(RESEND_INTERVAL)) == 1
    assert len(alone.answer(5, RESEND_INTERVAL, serving=False)) == 1


def fetching() -> Alone:
    """A candidate of epoch 5 that lacks what follows tx 20 of the best log, and has asked for it at time 0."""
    alone = Alone()
    replica = alone.replica
    replica.handle_deadline(replica.next_deadline())
    replica._begin_campaign(Phase.RAISING, 0)
    replica.epoch_raised(5, 0)
    alone.turn(0)
    asked = alone.hear(Promise(2, 5, 1, 1000, False), 0)
    replica.handle_deadline(0)
    assert asked + alone.turn(0) == [Pull(1, 5, 20, 1)]
    return alone


def part(tx: int) -> Batch:
    """One entry that follows `tx` in the best log."""
    return Batch(2, 5, tx, 1, 0, 1000, 0, 0, False, [entry(tx + 1, 1)])


def test_an_answer_that_comes_late_and_again_brings_one_pull():
    alone = fetching()
    late = 2 * RESEND_INTERVAL + 1
    for now in (RESEND_INTERVAL, 2 * RESEND_INTERVAL):
        alone.replica.handle_deadline(now)
        assert alone.turn(now) == [Pull(1, 5, 20, 1)]  # it may have been lost
    for expected in ([Pull(1, 5, 20 + MAX_BATCHES, 1)], [], []):  # the answers to all three
        pulls = []
        for tx in range(20, 20 + MAX_BATCHES):
            pulls += alone.hear(part(tx), late)
        assert pulls == expected


def test_a_candidate_whose_longer_log_is_contradicted_goes_on_below():
    alone = fetching()
    for tx in range(15, 15 + MAX_BATCHES - 1):  # another history, from below the end of ours
        given = Batch(2, 5, tx, 1 if tx == 15 else 3, 0, 1000, 0, 0, False, [entry(tx + 1, 3)])
        assert alone.hear(given, 1) == []
    last = 15 + MAX_BATCHES - 1
    assert alone.hear(Batch(2, 5, last, 3, 0, 1000, 0, 0, False, [entry(last + 1, 3)]), 1) == [Pull(1, 5, last + 1, 3)]


def test_an_epoch_that_came_too_late_is_left_to_nobody():
    alone = Alone()
    replica = alone.replica
    replica._begin_campaign(Phase.RAISING, 0)
    replica.receive_datagram(make_control(1, Reject(2, 9)), 0)
    replica._begin_campaign(Phase.RAISING, 0)
    replica.epoch_raised(5, 0)
    alone.turn(0)
    assert replica.campaign is None
    assert replica.epoch == 1
