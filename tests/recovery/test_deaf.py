"""A primary that is heard and hears nobody: it says so in its heartbeats, and its backups judge it by that.

And what follows from a judgement, whether the primary is deaf or silent.
"""

from itertools import pairwise

import pytest

from recovery.control import (
    Ack,
    Batch,
    Canvass,
    Control,
    Listening,
    Prepare,
    Pull,
    Silent,
    is_control,
    make_control,
    parse_control,
)
from recovery.history import Mode
from recovery.member import SILENCE
from recovery.outbox import HEARTBEAT_INTERVAL
from recovery.packet import (
    HEARTBEAT,
    EpochStart,
    PacketHeader,
    make_heartbeat,
    make_packet,
    parse_packet,
    primary_of,
)
from recovery.replica import MAJORITY_TIMEOUT, STREAM, Replica, Role
from recovery.settings import settings_of
from recovery.view_change import CANVASS_TIMEOUT, FIRST_TRY, RESEND_INTERVAL, Phase
from tests.recovery.adder import ADD, Adder

MILLI = 1_000_000
SPREAD = 7 * MILLI
#: Until then the primary is heard and answered; time begins with its epoch.
CUT = 20 * HEARTBEAT_INTERVAL


class Backup:
    """Replica 1 of three; 2 is the primary, and the test plays it, and 3."""

    def __init__(self) -> None:
        self.spread = SPREAD
        self.replica = Replica(1, 1, (1, 2, 3), Adder, mode="quorum", durability="disk", draw=lambda _: self.spread)
        self.replica.start(0)
        self.hear(make_heartbeat(1, 1, 1, 0, EpochStart()), 0)
        self.hear(make_control(1, Batch(2, 1, 0, 0, 0, 0, 0, 0, True, [])), 0)
        assert self.replica.role is Role.BACKUP
        for now in range(0, CUT, HEARTBEAT_INTERVAL):
            self.beat(now, HEARTBEAT_INTERVAL)

    def turn(self, now: int, *, sync: bool = True) -> list[Control]:
        """What a host does after a batch; gives the control messages that were said."""
        replica = self.replica
        said: list[tuple[int, bytes]] = []
        for _ in range(2):
            replica.records_to_write()
            said += replica.datagrams_to_send(now)
            if sync:
                replica.synced(replica.stable.written, now)
        return [parse_control(1, data) for _, data in said if is_control(data)]

    def hear(self, data: bytes, now: int, *, sync: bool = True) -> list[Control]:
        self.replica.receive_datagram(data, now)
        return self.turn(now, sync=sync)

    def beat(self, now: int, unanswered: int) -> list[Control]:
        """The primary says that for so long nobody has answered it."""
        return self.hear(make_heartbeat(1, 1, 1, 0, EpochStart(), 2, unanswered), now)

    def grow_deaf(self, until: int) -> None:
        """The primary goes on, and hears nothing from CUT on."""
        for now in range(CUT, until, HEARTBEAT_INTERVAL):
            self.beat(now, now - CUT)

    def wake(self, now: int) -> list[Control]:
        """The timer's turn, if it is time for one."""
        if self.replica.next_deadline() <= now:
            self.replica.handle_deadline(now)
        return self.turn(now)

    def agrees(self, now: int) -> bool:
        """Whether it agrees with another backup that canvasses."""
        return any(isinstance(said, Silent) for said in self.hear(make_control(1, Canvass(3, 1)), now))


def test_a_deaf_primary_is_missed_as_soon_as_a_dead_one():
    backup = Backup()
    backup.grow_deaf(CUT + SILENCE)
    assert backup.replica.next_deadline() == CUT + SILENCE + SPREAD
    assert backup.wake(CUT + SILENCE + SPREAD - 1) == []
    assert Canvass(1, 1) in backup.wake(CUT + SILENCE + SPREAD)


def test_who_is_asked_about_a_deaf_primary_judges_by_the_same_rule():
    backup = Backup()
    backup.grow_deaf(CUT + SILENCE)
    assert not backup.agrees(CUT + SILENCE - 1)
    assert backup.agrees(CUT + SILENCE)


def test_who_agrees_with_another_leaves_it_the_first_try_once():
    backup = Backup()
    last = CUT - HEARTBEAT_INTERVAL  # then the primary is killed
    first_try_ends = last + SILENCE + FIRST_TRY
    assert not backup.agrees(last + SILENCE - 1)
    assert backup.replica.next_deadline() == last + SILENCE + SPREAD
    for now in (0, FIRST_TRY // 2, FIRST_TRY - 1):
        assert backup.agrees(last + SILENCE + now)
        assert backup.replica.next_deadline() == first_try_ends
    assert Canvass(1, 1) in backup.wake(first_try_ends)


def test_who_agrees_with_another_canvasses_no_sooner_for_it():
    backup = Backup()
    last = CUT - HEARTBEAT_INTERVAL
    backup.spread = 30 * MILLI
    now = last + SILENCE + SPREAD
    for _ in range(2):
        assert Canvass(1, 1) in backup.wake(now)
        now += CANVASS_TIMEOUT
        backup.wake(now)  # in vain
        now += 30 * MILLI
    assert now > last + SILENCE + FIRST_TRY
    assert backup.agrees(now - MILLI)
    assert backup.replica.next_deadline() == now


@pytest.mark.parametrize("unanswered", [0, HEARTBEAT_INTERVAL, SILENCE - HEARTBEAT_INTERVAL - MILLI])
def test_a_primary_that_is_answered_now_and_then_is_missed_by_nobody(unanswered):
    backup = Backup()
    for now in range(CUT, 2 * CUT, HEARTBEAT_INTERVAL):
        backup.beat(now, unanswered)
        assert not backup.agrees(now + HEARTBEAT_INTERVAL)
        assert backup.wake(now + HEARTBEAT_INTERVAL) == []


def test_the_words_of_a_deaf_primary_end_no_canvass():
    backup = Backup()
    backup.grow_deaf(CUT + SILENCE + 1)
    backup.wake(CUT + SILENCE + SPREAD)
    backup.hear(make_packet(PacketHeader(1, 1, 0, 0, 1, 0)), CUT + SILENCE + SPREAD + 1)
    backup.beat(CUT + SILENCE + HEARTBEAT_INTERVAL, SILENCE + HEARTBEAT_INTERVAL)
    assert backup.replica.campaign is not None
    assert backup.replica.campaign.phase is Phase.CANVASSING
    backup.hear(make_control(1, Silent(3, 1)), CUT + SILENCE + HEARTBEAT_INTERVAL)
    assert backup.replica.epoch_to_raise() == 1


def test_a_primary_that_hears_again_is_left_in_peace():
    backup = Backup()
    backup.grow_deaf(CUT + SILENCE + 1)
    backup.wake(CUT + SILENCE + SPREAD)
    now = CUT + SILENCE + HEARTBEAT_INTERVAL
    backup.beat(now, 3 * MILLI)
    assert backup.replica.campaign is None
    assert not backup.agrees(now)
    assert backup.replica.next_deadline() == now + SILENCE + SPREAD


def test_whom_nobody_agrees_with_asks_again_after_a_pause_and_raises_nothing():
    backup = Backup()
    backup.spread = 30 * MILLI
    asked = [0]
    for now in range(CUT, 2 * CUT, MILLI):
        if (now - CUT) % HEARTBEAT_INTERVAL == 0:
            backup.beat(now, now - CUT)
        asked += [now for said in backup.wake(now) if isinstance(said, Canvass)]
        assert backup.replica.epoch_to_raise() is None
    begun = [now for before, now in pairwise(asked) if now - before > RESEND_INTERVAL]
    assert begun[0] == CUT + SILENCE + SPREAD
    assert {now - before for before, now in pairwise(begun)} == {CANVASS_TIMEOUT + 30 * MILLI}


def test_who_was_asleep_does_not_take_the_answers_it_did_not_give_for_deafness():
    backup = Backup()
    woken = CUT + 6 * HEARTBEAT_INTERVAL
    said: list[Control] = []
    for sent in range(CUT, woken, HEARTBEAT_INTERVAL):
        said += backup.beat(woken, sent - CUT)
    assert Ack(1, 1, 0) in said
    assert not backup.agrees(woken)
    assert not any(isinstance(each, Canvass) for each in backup.wake(woken))


def test_what_was_said_before_it_fell_asleep_does_not_tell_a_backup_how_it_is_now():
    backup = Backup()
    backup.beat(CUT + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL)
    woken = CUT + 20 * HEARTBEAT_INTERVAL
    backup.hear(make_packet(PacketHeader(1, 1, 0, 0, 1, 0)), woken)  # more waits to be read
    assert not backup.agrees(woken)


def test_what_a_primary_could_not_be_answered_for_want_of_its_heartbeats_is_no_deafness():
    """A network that is cut for three heartbeats, both ways: it is answered as soon as it is heard again."""
    backup = Backup()
    healed = CUT + 3 * HEARTBEAT_INTERVAL
    assert Ack(1, 1, 0) in backup.beat(healed, 4 * HEARTBEAT_INTERVAL - MILLI)
    assert not backup.agrees(healed + HEARTBEAT_INTERVAL - 1)
    assert backup.wake(healed + HEARTBEAT_INTERVAL - 1) == []


@pytest.mark.parametrize(
    ("interval", "forgiven"),
    [
        (HEARTBEAT_INTERVAL + 20 * MILLI, False),
        (2 * HEARTBEAT_INTERVAL, False),  # one was lost on its way
        (2 * HEARTBEAT_INTERVAL + MILLI, True),
    ],
)
def test_only_a_heartbeat_that_is_late_by_more_than_an_interval_shows_that_there_was_nothing_to_answer(
    interval, forgiven
):
    backup = Backup()
    now = CUT - HEARTBEAT_INTERVAL
    while now + HEARTBEAT_INTERVAL < CUT + SILENCE:
        now += interval
        backup.beat(now, now - CUT)
    missed_since = now if forgiven else CUT
    assert backup.replica.next_deadline() == missed_since + SILENCE + SPREAD


def test_a_primary_that_was_deaf_before_its_heartbeats_were_lost_is_deaf_for_as_long_after():
    backup = Backup()
    backup.grow_deaf(CUT + 3 * HEARTBEAT_INTERVAL)  # the last one is heard an interval before
    healed = CUT + 6 * HEARTBEAT_INTERVAL
    backup.beat(healed, healed - CUT)
    assert backup.replica.next_deadline() == CUT + 3 * HEARTBEAT_INTERVAL + SILENCE + SPREAD


def test_a_primary_that_others_answered_while_its_heartbeats_were_lost_has_nothing_to_its_credit():
    backup = Backup()
    healed = CUT + 10 * HEARTBEAT_INTERVAL
    for now in range(healed, healed + SILENCE, HEARTBEAT_INTERVAL):
        backup.beat(now, now - healed)
    assert backup.replica.next_deadline() == healed + SILENCE + SPREAD


def test_a_primary_is_judged_from_its_first_packet_on_whatever_it_says_of_the_time_before():
    backup = Backup()
    begun = CUT + 20 * HEARTBEAT_INTERVAL
    backup.hear(make_packet(PacketHeader(1, 2, 0, 0, 1, 0)), begun)
    for now in range(begun + HEARTBEAT_INTERVAL, begun + SILENCE, HEARTBEAT_INTERVAL):
        backup.hear(make_heartbeat(1, 2, 1, 0, EpochStart(), 3, now - begun + HEARTBEAT_INTERVAL), now)
    assert backup.replica._silent_at == begun + SILENCE + SPREAD


def test_a_candidate_does_not_answer_for_the_deaf_primary_before_it():
    backup = Backup()
    backup.grow_deaf(CUT + SILENCE + 1)
    now = CUT + SILENCE + 1
    backup.hear(make_control(1, Prepare(3, 2)), now)
    assert backup.replica.next_deadline() == now + SILENCE + SPREAD
    assert backup.hear(make_control(1, Canvass(3, 2)), now + SILENCE - 1) == []


def test_who_may_not_acknowledge_yet_says_that_it_listens():
    backup = Backup()
    heartbeat = make_heartbeat(1, 2, 1, 0, EpochStart())
    assert Listening(1, 2) in backup.hear(heartbeat, CUT)
    assert backup.replica.role is Role.CATCHING_UP
    answers = make_control(1, Batch(2, 2, 0, 0, 0, 0, 0, 0, True, []))
    backup.hear(answers, CUT, sync=False)
    assert backup.replica.role is Role.BACKUP
    said = backup.hear(heartbeat, CUT + 1, sync=False)
    assert said == [Listening(1, 2)]  # its promise and its completion are not safe
    assert Ack(1, 2, 0) in backup.turn(CUT + 2) + backup.hear(heartbeat, CUT + 3)


# The primary


class Primary:
    """Replica 1 leads; the test plays the others."""

    def __init__(self, mode: Mode = "quorum", replica_ids: tuple[int, ...] = (1, 2, 3), begun: int = 0) -> None:
        self.replica = replica = Replica(1, 1, replica_ids, Adder, mode=mode, durability="disk", draw=lambda _: 0)
        replica.start(0)
        replica._owner = 1
        replica._promise_epoch(1, 1)
        replica.stable.complete(1)
        replica.records_to_write()
        replica.synced(replica.stable.written, 0)
        replica.become_primary(begun)
        replica.datagrams_to_send(begun)

    def beat(self, now: int) -> int | None:
        """What its heartbeat says, if there is one."""
        self.replica.handle_deadline(now)
        said = [data for target, data in self.replica.datagrams_to_send(now) if target == STREAM]
        beats = [data for data in said if parse_packet(data).flags & HEARTBEAT]
        if not beats:
            return None
        owner, unanswered = primary_of(beats[-1])
        assert owner == 1
        return unanswered


def test_a_primary_says_for_how_long_no_majority_has_answered():
    primary = Primary()
    told = []
    for turn in range(8):
        now = turn * HEARTBEAT_INTERVAL
        told.append(primary.beat(now))
        if turn < 3:
            answer = (Ack(3, 1, 0), Listening(2, 1), Pull(3, 1, 0, 0))[turn]
            primary.replica.receive_datagram(make_control(1, answer), now + 2 * MILLI)
    assert told == [each * MILLI for each in (0, 48, 48, 48, 98, 148, 198, 248)]


def test_an_acknowledgement_that_nobody_waited_for_is_counted_and_nothing_more():
    primary = Primary(replica_ids=(1, 2, 3, 4, 5))
    replica = primary.replica
    assert replica.primary is not None
    replica.primary.command(ADD, b"1", 0)
    replica.records_to_write()
    replica.synced(replica.stable.written, 0)

    def acknowledge(sender: int, epoch: int, tx: int) -> bool:
        return replica.receive_datagram(make_control(1, Ack(sender, epoch, tx)), HEARTBEAT_INTERVAL)

    assert [acknowledge(2, 1, 1), replica.commit_tx] == [False, 0]
    assert [acknowledge(2, 1, 1), acknowledge(3, 2, 1), acknowledge(9, 1, 1), replica.commit_tx] == [False] * 3 + [0]
    assert [acknowledge(3, 1, 1), replica.commit_tx] == [True, 1]
    assert [data for _, data in replica.datagrams_to_send(HEARTBEAT_INTERVAL)]
    assert not acknowledge(4, 1, 1)
    assert replica.datagrams_to_send(HEARTBEAT_INTERVAL) == []
    primary.beat(2 * HEARTBEAT_INTERVAL)
    assert acknowledge(5, 1, 0)  # it is late, and given what it lacks
    assert [target for target, _ in replica.datagrams_to_send(2 * HEARTBEAT_INTERVAL)] == [5]
    assert replica.receive_datagram(make_control(1, Listening(5, 1)), 2 * HEARTBEAT_INTERVAL)


@pytest.mark.parametrize("garbled", [0, 1, 2])
def test_an_acknowledgement_counts_if_the_later_ones_that_came_with_it_are_garbled(garbled: int):
    primary = Primary()
    replica = primary.replica
    assert replica.primary is not None
    for _ in range(3):
        replica.primary.command(ADD, b"1", 0)
    replica.records_to_write()
    replica.synced(replica.stable.written, 0)
    heard = [make_control(1, Ack(2, 1, tx), settings_of("quorum", "disk")) for tx in (1, 2, 3)]
    heard[3 - garbled :] = [data[:-1] + bytes([data[-1] ^ 4]) for data in heard[3 - garbled :]]
    assert replica.receive_datagrams(heard, MILLI)
    assert [replica.commit_tx, replica.garbled] == [3 - garbled, garbled]


def test_a_primary_on_a_busy_machine_is_not_the_less_deaf():
    primary = Primary()
    told = [primary.beat(turn * (HEARTBEAT_INTERVAL + 20 * MILLI)) for turn in range(4)]
    assert told == [each * MILLI for each in (0, 70, 140, 210)]


def test_a_primary_that_was_asleep_does_not_take_that_for_deafness():
    primary = Primary()
    primary.beat(0)
    assert primary.beat(HEARTBEAT_INTERVAL + 10 * MAJORITY_TIMEOUT) == HEARTBEAT_INTERVAL


def test_a_new_primary_waits_for_answers_from_its_beginning_on_and_misses_nobody():
    primary = Primary(begun=CUT)
    assert [primary.beat(CUT), primary.beat(CUT + HEARTBEAT_INTERVAL)] == [0, HEARTBEAT_INTERVAL]
    primary.replica.receive_datagram(make_control(1, Canvass(2, 1)), CUT + SILENCE)
    said = primary.replica.datagrams_to_send(CUT + SILENCE)
    assert not any(is_control(data) for _, data in said)


@pytest.mark.parametrize(("answering", "deaf"), [([2], True), ([2, 4], False)])
def test_two_of_five_are_no_majority(answering, deaf):
    primary = Primary(replica_ids=(1, 2, 3, 4, 5))
    for now in range(0, 5 * HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL):
        told = primary.beat(now)
        for peer in answering:
            primary.replica.receive_datagram(make_control(1, Ack(peer, 1, 0)), now)
    assert told == (4 if deaf else 1) * HEARTBEAT_INTERVAL


@pytest.mark.parametrize(
    ("late", "told"), [(HEARTBEAT_INTERVAL, 2 * HEARTBEAT_INTERVAL), (HEARTBEAT_INTERVAL + MILLI, HEARTBEAT_INTERVAL)]
)
def test_a_primary_leaves_out_only_a_sleep_of_more_than_an_interval(late, told):
    primary = Primary()
    primary.beat(0)
    assert primary.beat(HEARTBEAT_INTERVAL + late) == told


def test_a_primary_that_was_asleep_and_has_read_an_answer_since_was_answered_no_later_than_now():
    primary = Primary()
    primary.beat(0)
    woken = HEARTBEAT_INTERVAL + 10 * MAJORITY_TIMEOUT
    primary.replica.receive_datagram(make_control(1, Ack(3, 1, 0)), woken)
    assert primary.beat(woken) == 0


def test_a_primary_that_no_majority_answers_says_so_for_as_long_as_it_may_and_then_nothing():
    primary = Primary()
    told = [primary.beat(now) for now in range(0, MAJORITY_TIMEOUT + 1, HEARTBEAT_INTERVAL)]
    assert told[-1] == MAJORITY_TIMEOUT
    assert primary.beat(MAJORITY_TIMEOUT + HEARTBEAT_INTERVAL) is None
    assert primary.replica.role is Role.FENCED


def test_a_primary_without_peers_needs_nobodys_answer():
    primary = Primary(replica_ids=(1,))
    assert {primary.beat(turn * HEARTBEAT_INTERVAL) for turn in range(20)} == {0}


def test_a_primary_in_mode_async_needs_nobodys_answer():
    primary = Primary("async")
    assert {primary.beat(turn * HEARTBEAT_INTERVAL) for turn in range(20)} == {0}
