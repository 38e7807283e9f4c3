import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery import record
from recovery.checksum import crc32c
from recovery.record import END, FIRST, CommandHeader, GarbledMessage, Message, Position, Sequencer, pack_command_header

HEADER = CommandHeader(1, 1_700_000_000_000_000_000, 7, 2, 17, 41, 5)
PACKED = pack_command_header(*HEADER)
u64 = st.integers(0, 2**64 - 1)
headers = st.builds(
    CommandHeader,
    st.just(1),
    u64,
    st.integers(0, 0xFFFF),
    st.integers(0, 2**32 - 1),
    u64,
    st.integers(0, 2**32 - 1),
    u64,
)
events = st.lists(st.tuples(st.integers(96, 255), st.binary(max_size=60)), max_size=6)


def test_the_checksum_is_the_castagnoli_polynomial():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of every catalogue of CRCs


def test_a_message_is_the_bytes_of_the_table():
    (data,) = Sequencer(3).messages(16, PACKED + b"buy", [])
    assert data[:4] == bytes.fromhex("0037 10 03")  # 6 + 42 + 3 + 4 bytes follow, kind 16, FIRST|END
    assert data[4:46] == PACKED
    assert data[46:49] == b"buy"
    assert data[49:53] == bytes(4)  # the chain before seq 1
    covered = bytes.fromhex("0003 0000000000000001") + data[2:53]
    assert data[53:] == crc32c(covered).to_bytes(4, "big")


def test_limits_add_up_to_one_packet():
    body = bytes(record.MAX_COMMAND_BYTES)
    (data,) = Sequencer(1).messages(16, PACKED + body, [])
    assert len(data) == record.MAX_MESSAGE_BYTES
    with pytest.raises(AssertionError):
        Sequencer(1).messages(16, PACKED + body + b"!", [])
    with pytest.raises(AssertionError):
        Sequencer(1).messages(16, PACKED, [(96, bytes(record.MAX_EVENT_BYTES + 1)), (97, b"")])


@given(headers, st.binary(max_size=60), events)
def test_a_transaction_reads_back_as_it_was_written(header, body, events):
    sequencer = Sequencer(9, header.tx, Position(100, 0xABCD))
    messages = sequencer.messages(20, pack_command_header(*header) + body, events)
    received = record.parse_all(9, 100, len(messages), b"".join(messages))
    expected = [(20, pack_command_header(*header) + body), *events]
    assert [(m.kind, m.body) for m, _, _ in received] == expected
    assert [m.seq for m, _, _ in received] == list(range(100, 100 + len(expected)))
    assert [m.flags for m, _, _ in received] == [
        (FIRST if i == 0 else 0) | (END if i == len(events) else 0) for i in range(len(expected))
    ]
    assert CommandHeader.unpack_from(received[0][0].body) == header
    assert record.split(b"".join(messages)) == messages

    digest = 0xABCD
    for (message, checksum, field), data in zip(received, messages, strict=True):
        assert checksum == data[-4:]
        assert record.make(9, message.seq, message.kind, message.flags, message.body, digest) == data
        if message.flags & END:
            assert field == digest
        digest = record.chain(digest, data)
    assert sequencer.position == Position(100 + len(messages), digest)
    assert sequencer.next_tx == 2


@given(st.binary(max_size=40), st.data())
def test_any_changed_bit_is_found(body, data):
    (message,) = Sequencer(1).messages(16, PACKED + body, [])
    bit = data.draw(st.integers(0, len(message) * 8 - 1))
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(GarbledMessage):
        record.parse(1, 1, bytes(changed))


@given(st.binary(max_size=80), st.integers(0, 5))
def test_noise_is_garbled_and_nothing_else(noise, count):
    try:
        messages = record.parse_all(1, 1, count, noise)
    except GarbledMessage:
        return
    assert len(messages) == count


def test_every_cut_and_every_extra_byte_is_garbled():
    (message,) = Sequencer(1).messages(16, PACKED + b"body", [])
    for size in range(len(message)):
        with pytest.raises(GarbledMessage):
            record.parse(1, 1, message[:size])
    for size in range(1, len(message)):
        with pytest.raises(GarbledMessage):
            record.split(message + message[:size])
    with pytest.raises(GarbledMessage, match="1 bytes after the last"):
        record.parse(1, 1, message + b"\0")
    assert record.parse(1, 1, message) == Message(1, 16, FIRST | END, PACKED + b"body")


@pytest.mark.parametrize(("shard_id", "seq"), [(2, 1), (1, 2)])
def test_a_message_of_another_shard_or_number_does_not_check(shard_id, seq):
    (message,) = Sequencer(1).messages(16, PACKED + b"", [])
    with pytest.raises(GarbledMessage, match="wrong checksum"):
        record.parse(shard_id, seq, message)


def test_an_end_message_without_room_for_its_digest_is_garbled():
    # Only a writer with another idea of the format can make this: the checksum is right.
    covered = b"\0\1" + (1).to_bytes(8, "big") + bytes([100, END])
    data = b"\0\6" + covered[10:] + crc32c(covered).to_bytes(4, "big")
    with pytest.raises(GarbledMessage, match="no room for its digest"):
        record.parse(1, 1, data)


def test_the_chain_remembers_every_message():
    # A CRC over data and its own CRC would be the same for all: this is why the chain takes the checksum alone.
    digests = {record.chain(0, Sequencer(1).messages(16, PACKED + bytes([n]), [])[0]) for n in range(50)}
    assert len(digests) == 50


def test_a_short_command_header_is_garbled():
    with pytest.raises(GarbledMessage, match="41 of 42"):
        CommandHeader.unpack_from(bytes(41))


@given(headers, st.binary(max_size=60), events)
def test_a_log_takes_the_command_and_the_chain_after_its_events(header, body, events):
    sequencer = Sequencer(9, header.tx, Position(100, 0xABCD))
    messages = sequencer.messages(20, pack_command_header(*header) + body, events)
    commands, chains = record.parse_commands(9, 100, len(messages), b"?" + b"".join(messages), 1)
    assert commands == [(header.tx, 100, 20, pack_command_header(*header) + body)]
    assert chains == [sequencer.position]


def test_a_log_takes_no_command_of_another_place_and_no_broken_shape():
    messages = Sequencer(9).messages(16, PACKED + b"buy", [(96, b"bought")])
    whole = b"".join(messages)
    for shard_id, seq in ((8, 1), (9, 2)):
        with pytest.raises(GarbledMessage, match="wrong checksum"):
            record.parse_commands(shard_id, seq, 2, whole, 0)
    for size in range(len(whole)):
        with pytest.raises(GarbledMessage):
            record.parse_commands(9, 1, 2, whole[:size], 0)
    with pytest.raises(GarbledMessage, match="1 bytes after"):
        record.parse_commands(9, 1, 2, whole + b"!", 0)
    with pytest.raises(GarbledMessage, match="length 13 is wrong"):  # no room for a command header
        record.parse_commands(9, 1, 1, record.make(9, 1, 16, FIRST, b"no room", 0), 0)
