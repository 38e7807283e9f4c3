import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery.command_log import make_entry
from recovery.control import (
    MAX_CONTROL_BYTES,
    Ack,
    AckReader,
    Batch,
    Canvass,
    GarbledControl,
    Listening,
    Prepare,
    Promise,
    Pull,
    Reject,
    Silent,
    StateDigest,
    Wait,
    is_control,
    make_control,
    parse_control,
)
from recovery.packet import EpochStart, make_heartbeat
from recovery.record import MAX_COMMAND_BYTES, pack_command_header
from recovery.settings import Settings, settings_of

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))


def entries(tx: int, bodies: list[bytes]) -> list[bytes]:
    headers = [(tx + index, 9, 1, 1, 1, 0, 0) for index in range(1, len(bodies) + 1)]
    return [
        make_entry(3, 7, 16, pack_command_header(*header) + body) for header, body in zip(headers, bodies, strict=True)
    ]


batches = st.builds(
    lambda sender, epoch, tx, tx_epoch, place, serving, bodies: Batch(
        sender, epoch, tx, tx_epoch, *place, serving, entries(tx, bodies)
    ),
    u16,
    u32,
    st.integers(0, 2**40),
    u32,
    st.tuples(u64, u64, u64, u64),
    st.booleans(),
    st.lists(st.binary(max_size=100), max_size=5),
)
messages = st.one_of(
    *(st.builds(kind, u16, u32) for kind in (Canvass, Silent, Reject, Prepare, Wait, Listening)),
    st.builds(StateDigest, u16, u32, u64, u64),
    st.builds(Promise, u16, u32, u32, u64, st.booleans()),
    st.builds(Pull, u16, u32, u64, u32),
    st.builds(Ack, u16, u32, u64),
    batches,
)


@given(messages)
def test_what_is_made_is_parsed(message):
    data = make_control(5, message)
    assert is_control(data)
    parsed = parse_control(5, data)
    assert type(parsed) is type(message)
    assert parsed == message


@given(messages, st.data())
def test_a_changed_bit_or_length_is_found(message, data):
    good = make_control(5, message)
    at = data.draw(st.integers(0, 8 * len(good) - 1))
    bad = bytearray(good)
    bad[at // 8] ^= 1 << at % 8
    for garbled in (bytes(bad), good[:-1], good + b"\0"):
        with pytest.raises(GarbledControl):
            parse_control(5, garbled)
    with pytest.raises(GarbledControl, match="shard 5, not 6"):
        parse_control(6, good)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_without_another_error(data):
    with pytest.raises(GarbledControl):
        parse_control(5, data)


def test_the_largest_entry_fits_one_datagram():
    batch = Batch(1, 1, 0, 0, 0, 1, 0, 0, True, entries(0, [bytes(MAX_COMMAND_BYTES)]))
    assert len(make_control(5, batch)) == MAX_CONTROL_BYTES < 1500 - 28


def test_a_batch_with_an_entry_out_of_place_is_garbled():
    batch = Batch(1, 1, 4, 1, 0, 9, 0, 0, True, entries(7, [b"x"]))
    with pytest.raises(GarbledControl, match="out of place"):
        parse_control(5, make_control(5, batch))


def test_a_packet_is_no_control_message():
    assert not is_control(make_heartbeat(5, 1, 1, 0, EpochStart()))


OURS = settings_of("quorum", "memory")


@given(sender=u16, epoch=u32, tx=u64, settings=st.sampled_from([OURS, settings_of("async", "memory"), Settings(0, 0)]))
def test_an_acknowledgement_is_read_as_any_message_is_if_its_sender_is_configured_alike(sender, epoch, tx, settings):
    reader = AckReader(5, OURS)
    data = make_control(5, Ack(sender, epoch, tx), settings)
    assert reader.is_like(data) == (settings == OURS)
    if settings == OURS:
        assert reader.read(data) == parse_control(5, data) == (sender, epoch, tx)
    assert not reader.is_like(make_control(6, Ack(sender, epoch, tx), OURS))
    assert not reader.is_like(make_control(5, Silent(sender, epoch), OURS))
    assert not reader.is_like(make_control(5, StateDigest(sender, epoch, tx, 1), OURS))


def test_an_acknowledgement_with_a_wrong_bit_is_garbled():
    reader = AckReader(5, OURS)
    data = make_control(5, Ack(2, 3, 1_000), OURS)
    for place in range(6, len(data)):
        wrong = bytearray(data)
        wrong[place] ^= 1
        if reader.is_like(bytes(wrong)):
            with pytest.raises(GarbledControl):
                reader.read(bytes(wrong))


def test_of_acknowledgements_that_come_together_each_replicas_last_counts():
    reader = AckReader(5, OURS)
    pull = make_control(5, Pull(2, 3, 7, 1), OURS)
    of_2, of_3, later_of_2, of_2_before = (
        make_control(5, ack, OURS) for ack in (Ack(2, 3, 7), Ack(3, 3, 7), Ack(2, 3, 9), Ack(2, 2, 8))
    )
    assert reader.latest([of_2, pull, of_3, pull, of_2_before, later_of_2]) == [
        pull,
        of_3,
        pull,
        of_2_before,
        later_of_2,
    ]
