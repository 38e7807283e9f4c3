import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery.record import MAX_MESSAGE_BYTES
from recovery.store import FREED_PART, LARGEST_BYTES, MESSAGE_OVERHEAD_BYTES, MemoryStore

batches = st.lists(st.lists(st.binary(min_size=1, max_size=20), max_size=8), max_size=20)


@given(batches, st.integers(50, 600))
def test_it_keeps_the_latest_within_its_bound(batches, max_bytes):
    store = MemoryStore(max_bytes, next_seq=5)
    everything = []
    for batch in batches:
        store.append(batch)
        everything += batch
        kept = everything[store.first_seq - 5 :]
        assert store.next_seq == 5 + len(everything)
        assert sum(len(data) + MESSAGE_OVERHEAD_BYTES for data in kept) <= max_bytes
        for seq in range(store.first_seq, store.next_seq):
            assert store.messages(seq, 10**6) == everything[seq - 5 :]
        assert store.messages(store.first_seq - 1, 10**6) == []
        assert store.messages(store.next_seq, 10**6) == []
        dropped = everything[: store.first_seq - 5]
        if dropped:  # and lets go of no more than it must
            assert sum(len(data) + MESSAGE_OVERHEAD_BYTES for data in [dropped[-1], *kept]) > max_bytes


@pytest.mark.parametrize("size", [1, 140, MAX_MESSAGE_BYTES])
def test_a_full_one_frees_a_small_part_of_it_and_no_more(size):
    max_bytes = 1 << 20
    store = MemoryStore(max_bytes)
    full = False
    while store.first_seq < 10_000:
        store.append([bytes(size)] * 3)
        kept = (size + MESSAGE_OVERHEAD_BYTES) * (store.next_seq - store.first_seq)
        assert kept <= max_bytes
        full = full or store.first_seq > 1
        assert not full or kept > max_bytes - max_bytes // FREED_PART - 3 * LARGEST_BYTES


def test_an_answer_is_bounded_but_never_empty():
    store = MemoryStore(10**6)
    store.append([b"aaaa", b"bbbb", b"cccc"])
    assert store.messages(1, 8) == [b"aaaa", b"bbbb"]
    assert store.messages(1, 11) == [b"aaaa", b"bbbb"]
    assert store.messages(2, 1) == [b"bbbb"]
