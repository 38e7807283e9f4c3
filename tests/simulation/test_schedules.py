"""Schedules that random search does not find in thousands of runs, written out; each catches the mutant it is for."""

import pytest

from recovery.control import Ack, Batch
from recovery.replica import Role
from tests.simulation.mutants import MUTANTS
from tests.simulation.schedule import Trio


def forgotten_promise() -> None:
    """2 promises epoch 2 to 3 and loses its power before that is safe. It must not follow epoch 1 again if 3 leads."""
    trio = Trio()
    assert trio.lead(1, 2, 3)
    trio.beat(1)
    trio.write(1, b"first")
    trio.deliver(trio.among(1, 2, 3))
    candidate = trio.campaign(3)
    trio.deliver(lambda mail: mail.source == 3 and mail.target == 2, sync=False)
    trio.deliver(lambda mail: (mail.source, mail.target) in ((2, 3), (3, 2)) and mail.target == 3)
    trio.restart(2, power=True)
    trio.beat(1)
    trio.write(1, b"second")
    trio.deliver(trio.among(1, 2))
    trio.deliver(trio.among(2, 3))
    if candidate.role is Role.PRIMARY:
        trio.write(3, b"another second")
        trio.beat(3)
        trio.deliver(trio.among(2, 3))
    trio.check()


def late_acknowledgement() -> None:
    """An acknowledgement of epoch 1 arrives in epoch 2, in which its tx is another command."""
    trio = Trio()
    assert trio.lead(1, 2, 3)
    trio.write(1, b"first")
    trio.deliver(trio.among(1, 2, 3))
    trio.write(1, b"second, which only 3 hears")
    trio.deliver(lambda mail: (mail.source, mail.target) == (1, 3))
    late = [mail for mail in trio.mail if mail.source == 3 and isinstance(mail.control, Ack)]
    assert late[-1].control.tx == 2
    trio.mail.clear()
    trio.restart(1, power=True)
    assert trio.replicas[1].last_tx == 1
    assert trio.lead(1, 2)
    trio.write(1, b"another second")
    trio.sync(1)
    for mail in late:
        trio.replicas[1].receive_datagram(mail.data, trio.now)
    trio.say(1)
    trio.check()
    assert trio.replicas[1].commit_tx == 1


def late_sync() -> None:
    """A sync of epoch 1's tx 2 ends at 3 when epoch 2 has put another command there, which is not yet safe."""
    trio = Trio()
    assert trio.lead(1, 2, 3)
    trio.write(1, b"first")
    trio.deliver(trio.among(1, 2, 3))
    trio.write(1, b"second, lost by 1, not yet synced at 3")
    trio.deliver(lambda mail: (mail.source, mail.target) == (1, 3), sync=False)
    assert trio.replicas[3].last_tx == 2
    trio.mail.clear()
    trio.restart(1, power=True)
    assert trio.lead(2, 1)
    trio.beat(2)
    trio.deliver(trio.among(2, 3), sync=False)  # 3 cuts its tx 2 and completes the epoch
    assert trio.replicas[3].last_tx == 1
    complete = len(trio.disks[3])
    trio.write(2, b"another second")
    trio.deliver(lambda mail: (mail.source, mail.target) == (2, 3), sync=False)
    assert trio.replicas[3].last_tx == 2
    trio.sync(3, up_to=complete)  # the late one: it knows nothing of the new tx 2
    trio.sync(2)
    trio.deliver(lambda mail: (mail.source, mail.target) == (3, 2))
    trio.check()
    assert trio.replicas[2].commit_tx == 1


def long_log_of_an_old_epoch() -> None:
    """1 has said much that nobody heard; 2 and 3 have committed less in a later epoch. 1's promise comes with 3's."""
    trio = Trio()
    assert trio.lead(1, 2, 3)
    for text in (b"first", b"second", b"third"):
        trio.write(1, text)
    trio.sync(1)
    trio.mail.clear()
    assert trio.lead(2, 3)
    trio.write(2, b"another first")
    trio.beat(2)
    trio.deliver(trio.among(2, 3))
    trio.sync(2)
    assert trio.replicas[2].commit_tx == 1
    trio.mail.clear()
    assert trio.lead(3, 1)
    trio.beat(3)
    trio.deliver(trio.among(1, 3))
    trio.check()
    assert trio.replicas[3].commit_tx == 1


def end_beyond_the_match() -> None:
    """1 comes back with a log longer than the primary's, and nothing contradicts its end yet."""
    trio = Trio()
    assert trio.lead(1, 2, 3)
    trio.write(1, b"first")
    trio.deliver(trio.among(1, 2, 3))
    trio.write(1, b"second, which nobody hears")
    trio.sync(1)
    trio.mail.clear()
    assert trio.lead(2, 3)
    trio.mail.clear()
    trio.beat(2)
    trio.deliver(trio.among(1, 2))
    assert trio.replicas[1].role is Role.BACKUP
    trio.mail.clear()
    trio.write(2, b"another second")
    trio.sync(2)
    trio.mail.clear()
    trio.beat(2)
    trio.deliver(lambda mail: mail.target == 1 and mail.source == 2 and mail.control is None)
    trio.deliver(lambda mail: mail.target == 2 and mail.source == 1 and isinstance(mail.control, Ack))
    trio.check()


def old_batch() -> None:
    """2 has acknowledged tx 2 and starts again; then an answer of the same epoch arrives that ends with tx 1.

    (Found by a seed, some 1,100 seeds after the first.)
    """
    trio = Trio()
    assert trio.lead(1, 2, 3)
    trio.beat(1)
    trio.write(1, b"first")
    trio.deliver(trio.among(1, 2, 3))
    trio.replicas[2]._pull(0, trio.now)
    trio.say(2)
    trio.deliver(lambda mail: mail.target == 1)
    late = [mail for mail in trio.mail if mail.target == 2 and isinstance(mail.control, Batch)]
    trio.mail.clear()
    trio.write(1, b"second")
    trio.sync(1)
    trio.deliver(lambda mail: 3 not in (mail.source, mail.target))
    assert trio.replicas[1].commit_tx == 2
    trio.restart(2, power=True)
    for mail in late:
        trio.replicas[2].receive_datagram(mail.data, trio.now)
    trio.sync(2)
    trio.check()
    assert trio.replicas[2].last_tx == 2


def unsafe_completion() -> None:
    """2 leads epoch 3 while it is not yet safe that its log is complete in it, 1 acknowledges its tx 2, and 2 loses its
    power. For 3, which led epoch 2 unheard, tx 2 is another command, and the next majority is 2 and 3.
    """
    trio = Trio()
    assert trio.lead(1, 2, 3)
    trio.write(1, b"first")
    trio.deliver(trio.among(1, 2, 3))
    trio.write(1, b"second, lost by 1")
    trio.deliver(lambda mail: (mail.source, mail.target) == (1, 2))
    trio.mail.clear()
    trio.restart(1, power=True)
    third = trio.campaign(3)
    trio.deliver(lambda mail: mail.target != 2 and mail.control is not None)
    assert third.role is Role.PRIMARY
    trio.write(3, b"another second")
    trio.sync(3)
    trio.mail.clear()
    second = trio.campaign(2)
    for _ in range(6):  # 1 promises, hears of the new epoch, pulls, and acknowledges; 2's disk is slow
        trio.deliver(lambda mail: (mail.source, mail.target) == (2, 1))
        trio.deliver(lambda mail: (mail.source, mail.target) == (1, 2), sync=False)
    assert second.role is Role.PRIMARY
    assert second.stable.safe_complete == 1
    assert trio.replicas[1].stable.safe_tx == 2
    trio.check()
    trio.mail.clear()
    committed = [second.stable.log.entry(tx) for tx in range(1, second.commit_tx + 1)]
    trio.restart(2, power=True)
    assert trio.lead(3, 2)
    trio.beat(3)
    trio.deliver(trio.among(2, 3))
    assert third.commit_tx == 2
    assert committed == [third.stable.log.entry(tx) for tx in range(1, len(committed) + 1)]


SCHEDULES = {
    "old batch": old_batch,
    "unsafe completion": unsafe_completion,
    "M2": forgotten_promise,
    "M7": late_acknowledgement,
    "M11": long_log_of_an_old_epoch,
    "M13": end_beyond_the_match,
    "M15": late_sync,
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=lambda schedule: schedule.__name__)
def test_the_protocol_survives_the_schedule(schedule):
    schedule()


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_schedule_catches_its_mutant(name):
    with MUTANTS[name].applied(), pytest.raises(AssertionError):
        SCHEDULES[name]()


def test_a_primary_that_an_epoch_passed_by_learns_of_it_from_who_waits():
    """3 led with 2, unheard by 1, and is gone for good. 2 cannot follow 1 again, and nobody else can be elected.

    (Found by seed 201146.)
    """
    trio = Trio()
    assert trio.lead(1, 2, 3)
    trio.deliver(trio.among(1, 2, 3))
    assert trio.lead(3, 2)
    trio.deliver(trio.among(2, 3))
    trio.mail.clear()
    first, second = trio.replicas[1], trio.replicas[2]
    assert first.role is Role.PRIMARY
    assert (first.epoch, second.epoch) == (1, 2)
    while second.campaign is None:
        trio.beat(2)
    trio.deliver(lambda mail: (mail.source, mail.target) == (2, 1))
    assert first.epoch_to_raise() == 2
