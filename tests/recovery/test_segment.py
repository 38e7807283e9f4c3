from hypothesis import given
from hypothesis import strategies as st

from recovery import segment
from recovery.segment import Record


@given(st.integers(0, 255), st.integers(1, 2**63), st.integers(0, 2**63), st.binary(max_size=60))
def test_a_record_reads_back(kind, number, synced, payload):
    data = segment.make_record(kind, number, synced, payload)
    found = segment.find_record(b"xx" + data + b"yy", 2)
    assert found == (Record(number, kind, payload), synced, 2 + len(data))
    assert segment.size_at(data, 0) == len(data)
    assert len(data) == segment.RECORD_OVERHEAD_BYTES + len(payload)


@given(st.binary(max_size=40), st.data())
def test_any_changed_bit_and_any_cut_is_found(payload, data):
    record = segment.make_record(1, 7, 3, payload)
    bit = data.draw(st.integers(0, len(record) * 8 - 1))
    changed = bytearray(record)
    changed[bit // 8] ^= 1 << bit % 8
    assert segment.find_record(bytes(changed), 0) is None
    assert segment.find_record(record[: data.draw(st.integers(0, len(record) - 1))], 0) is None


def test_zeros_are_no_record():
    assert segment.find_record(bytes(1000), 0) is None
    assert segment.size_at(bytes(10), 0) == 0


@given(st.binary(max_size=50), st.integers(1, 2**40), st.integers(0, 1000), st.binary(max_size=50))
def test_a_later_record_is_found_wherever_it_stands(noise, number, ahead, payload):
    record = segment.make_record(1, number + ahead, 77, payload)
    assert segment.highest_synced(noise + record + noise, 0, number) == 77
    assert segment.highest_synced(noise + record + bytes(100), 0, number + ahead + 1) == 0


def test_numbers_must_follow_on():
    data = b"".join(segment.make_record(1, number, 0, b"") for number in (5, 6, 8))
    assert [found.record.number for found in segment.find_records(data, 0, 5)] == [5, 6]


def test_a_segment_header_names_its_first_number():
    assert segment.first_number(segment.make_segment_header(99) + b"more") == 99
    assert segment.first_number(bytes(16)) is None
    assert segment.first_number(b"FXJOURN1") is None
