"""Whom a gateway tries for its link, in which order and how soon."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from fixgw.primaries import FAST_RETRY, FIRST_PATIENCE, LAST_PATIENCE, LAST_RETRY, SECOND, SLOW_RETRY, PrimarySearch

MEMBERS = {1: ("a", 1), 2: ("b", 2), 3: ("c", 3)}
NEW = ("d", 4)


def tried(search: PrimarySearch, count: int, now: int = 0) -> list[int]:
    replicas = []
    for _ in range(count):
        replicas.append(search.next_attempt().replica)
        now = search.failed(now)
    return replicas


def linked(replica: int, *, told: int = 0, heard: int = 0) -> PrimarySearch:
    """A link with this replica stands, and the coordinator has told or the stream has shown these epochs before."""
    search = PrimarySearch(MEMBERS, 0)
    search.told(told, replica, None, 0)
    search.heard(heard, 0, 0)
    while search.next_attempt().replica != replica:
        search.failed(0)
    search.opened(0)
    return search


def test_without_a_word_of_the_coordinator_the_members_are_walked_through() -> None:
    assert tried(PrimarySearch(MEMBERS, 0), 6) == [1, 2, 3, 1, 2, 3]


def test_the_coordinators_owner_comes_first_and_every_second_time() -> None:
    search = PrimarySearch(MEMBERS, 0)
    assert not search.told(4, 3, None, 0)
    replicas = tried(search, 6)
    assert replicas[::2] == [3, 3, 3]
    assert set(replicas[1::2]) == {1, 2}


def test_the_coordinators_word_is_not_believed_once_the_stream_shows_a_later_epoch() -> None:
    search = PrimarySearch(MEMBERS, 0)
    search.told(4, 3, None, 0)
    search.heard(5, 0, 0)
    assert search.owner == 0
    assert sorted(tried(search, 3)) == [1, 2, 3]
    search.told(5, 2, None, 0)
    assert search.next_attempt().replica == 2


def test_an_owner_that_is_not_configured_is_tried_where_the_record_has_it() -> None:
    search = PrimarySearch(MEMBERS, 0)
    search.told(4, 4, NEW, 0)
    assert search.next_attempt()[:2] == (4, NEW)
    assert not search.told(5, 9, None, 0)
    assert search.owner == 0


def test_attempts_are_fast_first_and_fast_again_after_news() -> None:
    search = PrimarySearch(MEMBERS, 0)
    for now, pause in ((0, FAST_RETRY), (SECOND, SLOW_RETRY), (5 * SECOND, LAST_RETRY)):
        search.next_attempt()
        assert search.failed(now) == now + pause
    search.told(1, 2, None, 9 * SECOND)
    search.next_attempt()
    assert search.failed(9 * SECOND) == 9 * SECOND + FAST_RETRY


def test_a_lost_link_is_tried_again_without_a_pause() -> None:
    search = linked(2)
    assert search.failed(7 * SECOND) == 7 * SECOND
    search.next_attempt()
    assert search.failed(7 * SECOND) == 7 * SECOND + FAST_RETRY


def test_when_the_stream_shows_that_somebody_leads_all_are_asked_without_a_pause() -> None:
    search = PrimarySearch(MEMBERS, 0)
    search.heard(4, 0, 0)
    for _ in MEMBERS:
        search.next_attempt()
        assert search.failed(5) == 5
    search.next_attempt()
    assert search.failed(5) == 5 + FAST_RETRY


def test_a_link_that_ends_as_soon_as_it_stands_is_not_tried_in_a_tight_loop() -> None:
    search = PrimarySearch(MEMBERS, 0)
    search.next_attempt()
    search.opened(SECOND)
    assert search.failed(SECOND + 1) == SECOND + FAST_RETRY


def test_who_does_not_answer_gets_more_time_in_each_round() -> None:
    search = PrimarySearch(MEMBERS, 0)
    patience = [search.next_attempt().patience for _ in range(60)]
    assert patience[0] == patience[5] == FIRST_PATIENCE
    assert patience[6] == 2 * FIRST_PATIENCE
    assert patience == sorted(patience)
    assert patience[-1] == LAST_PATIENCE
    assert PrimarySearch({1: ("a", 1)}, 0).next_attempt().patience == LAST_PATIENCE


def test_who_says_the_stream_gets_time_to_answer_as_long_as_nobody_says_a_later_one() -> None:
    search = PrimarySearch(MEMBERS, 0)
    search.heard(5, 2, 0)
    assert search.next_attempt() == (2, MEMBERS[2], LAST_PATIENCE)
    search.failed(0)
    assert search.next_attempt().patience == FIRST_PATIENCE
    search.heard(4, 3, 0)
    assert search.next_attempt() == (2, MEMBERS[2], LAST_PATIENCE)
    assert search.heard(6, 0, 0)
    search.failed(0)
    assert {search.next_attempt().patience for _ in MEMBERS} == {FIRST_PATIENCE}


def test_a_higher_epoch_drops_the_link() -> None:
    search = linked(1, told=4, heard=4)
    assert search.heard(5, 0, 0)
    assert not search.heard(5, 0, 0), "it is told once"


def test_a_higher_epoch_of_the_linked_replica_drops_nothing() -> None:
    search = linked(1, told=4, heard=4)
    assert not search.told(5, 1, None, 0)
    assert not search.heard(5, 0, 0)
    assert search.heard(6, 0, 0)


def test_who_says_on_the_stream_that_it_leads_is_tried_first() -> None:
    for replica in (2, 3):
        search = linked(1, told=4, heard=4)
        assert search.heard(5, replica, 0)
        search.failed(0)
        assert search.next_attempt().replica == replica


def test_an_attempt_is_given_up_for_who_says_later_that_it_leads() -> None:
    search = linked(1, told=4, heard=4)
    assert search.heard(5, 0, 0)
    search.failed(0)
    leads = 3 if search.next_attempt().replica == 2 else 2
    assert search.heard(5, leads, 0)
    assert not search.heard(5, leads, 0)
    search.failed(0)
    assert search.next_attempt().replica == leads


def test_a_link_with_who_says_that_it_leads_the_higher_epoch_too_stays() -> None:
    assert not linked(1, told=4, heard=4).heard(5, 1, 0)


def test_of_a_replica_that_is_not_configured_the_coordinator_has_the_address() -> None:
    search = PrimarySearch(MEMBERS, 0)
    search.heard(5, 4, 0)
    assert search.owner == 0
    search.told(5, 4, NEW, 0)
    assert search.next_attempt()[:2] == (4, NEW)


def test_a_link_that_was_opened_ahead_of_the_stream_stays() -> None:
    search = linked(2, told=5, heard=4)
    assert not search.heard(5, 0, 0)


def test_the_first_epoch_that_is_heard_is_the_links_own() -> None:
    search = linked(2)
    assert not search.heard(5, 0, 0)
    assert search.heard(6, 0, 0)


def test_an_owner_that_does_not_serve_yet_costs_nobody_the_link() -> None:
    search = linked(1, told=4, heard=4)
    assert not search.told(5, 2, None, 0)
    assert search.heard(5, 0, 0)
    search.failed(0)
    assert search.next_attempt().replica == 2


def test_an_attempt_is_given_up_for_a_better_one() -> None:
    search = PrimarySearch(MEMBERS, 0)
    search.told(4, 1, None, 0)
    assert search.next_attempt().replica == 1
    assert not search.told(4, 1, None, 0)
    assert search.told(5, 2, None, 0)
    search.failed(0)
    assert search.next_attempt().replica == 2
    assert search.heard(6, 0, 0), "somebody else leads"


def test_a_lone_shard_keeps_its_link_in_any_epoch() -> None:
    search = PrimarySearch({1: ("a", 1)}, 0)
    search.next_attempt()
    search.opened(0)
    assert not search.heard(4, 0, 0)
    assert not search.heard(5, 0, 0)


Hint = Callable[[PrimarySearch, int], object]
HINTS: st.SearchStrategy[Hint] = st.one_of(
    st.builds(
        lambda epoch, owner: lambda search, now: search.told(epoch, owner, None, now),
        st.integers(1, 9),
        st.integers(0, 4),
    ),
    st.builds(
        lambda epoch, owner: lambda search, now: search.heard(epoch, owner, now),
        st.integers(1, 9),
        st.integers(0, 4),
    ),
)


@given(st.lists(HINTS, max_size=20), st.sampled_from(sorted(MEMBERS)))
def test_whatever_the_hints_were_the_primary_is_found_within_two_rounds(hints: list[Hint], primary: int) -> None:
    search, now = PrimarySearch(MEMBERS, 0), 0
    for hint in hints:
        hint(search, now)
        search.next_attempt()
        now = search.failed(now)
    assert primary in tried(search, 2 * len(MEMBERS), now)
