from recovery.stall import STALL, Stall

SECOND = 1_000_000_000


def test_what_nobody_gives_is_told_once_and_once_when_it_is_over():
    stall = Stall()
    assert stall.look(7, 9, 0) == ""
    assert stall.look(7, 10, STALL - 1) == ""
    assert stall.look(7, 12, STALL) == "nothing is passed on: messages 7 to 12 are missing, and nobody gives them"
    assert stall.is_on
    assert stall.look(7, 14, 2 * STALL) == ""
    assert stall.look(15, 14, 60 * SECOND) == "goes on: message 7 came after 60 s"
    assert not stall.is_on
    assert stall.look(15, 14, 600 * SECOND) == ""
    assert stall.look(15, 15, 600 * SECOND + STALL - 1) == "", "it was not committed before"


def test_who_comes_forward_however_slowly_does_not_stall():
    stall = Stall()
    for number in range(100):
        assert stall.look(7 + number, 900, number * (STALL - 1)) == ""


def test_a_second_stall_is_told_as_the_first_was():
    stall = Stall()
    stall.look(7, 9, 0)
    assert stall.look(7, 9, STALL)
    assert stall.look(8, 9, STALL + SECOND).startswith("goes on: message 7")
    assert stall.look(8, 9, 2 * STALL + SECOND).startswith("nothing is passed on: messages 8 to 9")


def test_another_epoch_whose_commit_is_not_known_yet_ends_no_stall():
    stall = Stall()
    stall.look(7, 9, 0)
    assert stall.look(7, 9, STALL)
    assert stall.look(6, 0, STALL + SECOND) == ""  # what was not released is collected again
    assert stall.look(7, 9, STALL + 2 * SECOND) == ""
    assert stall.look(8, 9, 60 * SECOND) == "goes on: message 7 came after 60 s"
