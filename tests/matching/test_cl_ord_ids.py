"""The ClOrdIDs of a session, against a table that takes them as they come."""

from hypothesis import given
from hypothesis import strategies as st

from matching.cl_ord_ids import ClOrdIds
from matching.ids import CL_ORD_ID_LENGTH

#: Counted up, with and without leading zeros; drawn by lot; few, so that some come twice; as short and long as can be.
NAMES = st.lists(
    st.one_of(
        st.integers(0, 300).map(lambda number: b"%d" % number),
        st.integers(0, 300).map(lambda number: b"%06d" % number),
        st.tuples(st.sampled_from([b"A-", b"B-"]), st.integers(0, 50)).map(lambda parts: b"%s%03d" % parts),
        st.binary(max_size=2),
        st.binary(min_size=CL_ORD_ID_LENGTH, max_size=CL_ORD_ID_LENGTH),
    )
)


@given(NAMES, st.booleans())
def test_each_name_stands_for_the_first_order_that_it_was_given_to(names: list[bytes], in_order: bool) -> None:
    found, expected = ClOrdIds(), dict[bytes, int]()
    for order_id, name in enumerate(sorted(names) if in_order else names, 1):
        assert found.get(name) == expected.get(name)
        assert found.add(name, order_id) == (name not in expected)
        expected.setdefault(name, order_id)
    for name in names:
        assert found.get(name) == expected[name]
        assert not found.add(name, 1_000_000)
        assert found.get(name[:-1] + b"~") == expected.get(name[:-1] + b"~")
    assert dict(found.items()) == expected
    again = ClOrdIds()
    for name, order_id in found.items():
        assert again.add(name, order_id)
    assert list(again.items()) == list(found.items())
    assert sum(map(len, found.heaps())) == 2 * len(expected) - len(found.others)


def test_a_name_that_is_given_to_the_same_order_again_is_not_new() -> None:
    """Also one that came out of order, and with the very same number."""
    names, order_id = ClOrdIds(), 1 << 48
    assert [names.add(name, order_id) for name in (b"2", b"1", b"1", b"2")] == [True, True, False, False]


def test_names_that_count_up_are_in_rows_and_random_ones_are_not() -> None:
    names = ClOrdIds()
    for number in range(1_200):
        assert names.add(b"%d" % number, number)
    assert not names.others
    assert [row and len(row.names) for row in names.rows[:6]] == [None, 10, 90, 900, 200, None]
    for number in range(1_200):
        assert names.add(b"%04d" % (1 + number * 7_919 % 10_000) + b"x", number)
    assert len(names.others) > 1_100
