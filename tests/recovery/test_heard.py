"""What a backup has heard and not yet logged: in any order, with holes, and bounded."""

from recovery import heard
from recovery.command_log import make_entry
from recovery.heard import Heard


def say(backup: Heard, *txs: int) -> None:
    """The FIRST messages of these transactions, one message each, and the chains before them."""
    backup.receive([(tx, tx, 16, b"%d" % tx) for tx in txs], [(tx, tx * 10) for tx in txs])


def test_commands_are_taken_in_order_and_a_hole_shows():
    backup = Heard()
    say(backup, 1, 3)
    assert backup.take(1, 4) == [make_entry(4, 10, 16, b"1")]
    assert backup.take(2, 4) == []
    assert backup.beyond(1)
    assert not backup.beyond(3)
    backup.clear()
    assert not backup.beyond(1)
    assert backup.take(3, 4) == []


def test_what_came_into_the_log_in_another_way_makes_room_for_what_did_not(monkeypatch):
    monkeypatch.setattr(heard, "MAX_HEARD", 16)
    backup = Heard()
    say(backup, *range(5, 14))
    assert not backup.beyond(20)
    say(backup, 21, 22)
    assert backup.beyond(20)
    assert backup.take(21, 4) == [make_entry(4, 210, 16, b"21"), make_entry(4, 220, 16, b"22")]
    assert backup.take(5, 4) == []


def test_where_nothing_can_be_forgotten_everything_is(monkeypatch):
    monkeypatch.setattr(heard, "MAX_HEARD", 16)
    backup = Heard()
    say(backup, *range(5, 14))
    assert backup.beyond(3)
    say(backup, 14)
    assert backup.take(5, 4) == []
    assert backup.take(14, 4) == [make_entry(4, 140, 16, b"14")]
    assert backup.beyond(3)
