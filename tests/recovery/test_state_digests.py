from recovery.command_log import Point
from recovery.state_digests import MAX_KEPT, StateDigests


def test_one_digest_satisfies_everybody():
    digests = StateDigests(1, 3)
    assert digests.say(2, Point(100, 1), 7) is None
    assert digests.say(1, Point(100, 1), 7) is None
    assert digests.say(3, Point(100, 1), 7) is None


def test_of_two_against_each_other_the_higher_id_stops():
    for ours, other, stops in ((2, 3, False), (3, 2, True)):
        digests = StateDigests(ours, 3)
        assert digests.say(ours, Point(100, 1), 7) is None
        assert (digests.say(other, Point(100, 1), 8) is not None) is stops


def test_of_five_the_one_whose_digest_fewer_have_stops_and_waits_for_a_majority_to_speak():
    digests = StateDigests(5, 5)
    assert digests.say(1, Point(100, 1), 8) is None
    assert digests.say(5, Point(100, 1), 7) is None
    assert digests.say(4, Point(100, 1), 7) is None
    wrong = StateDigests(1, 5)
    for replica_id, digest in ((1, 8), (5, 7)):
        assert wrong.say(replica_id, Point(100, 1), digest) is None
    text = wrong.say(4, Point(100, 1), 7)
    assert text is not None
    assert "after tx 100: replica 1: 0x8, replica 4: 0x7, replica 5: 0x7" in text


def test_other_transactions_are_not_compared_and_old_ones_forgotten():
    digests = StateDigests(3, 3)
    for tx in range(100, 100 * (MAX_KEPT + 3), 100):
        assert digests.say(3, Point(tx, 1), 7) is None
        assert digests.say(2, Point(tx + 1, 1), 8) is None
    assert digests.say(2, Point(100, 1), 8) is None


def test_another_branch_of_the_log_has_other_states_and_is_forgotten_first():
    digests = StateDigests(3, 3)
    for tx in range(500, 500 + MAX_KEPT):
        assert digests.say(3, Point(tx, 1), 7) is None
    for tx in (500, 501):
        assert digests.say(2, Point(tx, 2), 8) is None
    assert digests.say(3, Point(501, 2), 8) is None
    assert digests.say(3, Point(500, 2), 7) is not None
