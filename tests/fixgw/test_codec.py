"""Framing, fields and writing, judged by hand-made cases and by simplefix."""

import re

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from fixgw import tags
from fixgw.codec import (
    LENGTH_TAGS,
    MAX_BODY_LENGTH,
    MAX_MESSAGE_LENGTH,
    Decoder,
    Encoder,
    FixProtocolError,
    Framer,
    Template,
    checksum,
    clean,
    decode,
    encode_fields,
)
from fixgw.values import SessionRejectReason
from tests.fixgw.fixtalk import wire

ORDER = wire("35=D|34=2|49=BROKER|52=20261122-09:30:00.000|56=VENUE|11=A1|55=ABCD|54=1|38=100|40=2|44=10.5|")
HEARTBEAT = wire("35=0|34=3|49=BROKER|52=20261122-09:30:00.000|56=VENUE|", "FIX.4.2")
ENCODER = Encoder(b"FIX.4.4", b"VENUE", b"BROKER")

TEXT = st.binary(min_size=1, max_size=40).filter(lambda value: b"\x01" not in value)
#: simplefix knows the data fields of later FIX versions too.
DATA_TAGS = {*LENGTH_TAGS, *LENGTH_TAGS.values(), *range(1184, 1186), *simplefix.FixParser().raw_len_tags}
BODY_TAGS = st.integers(1, 12_000).filter(lambda tag: tag not in DATA_TAGS)
FIELDS = st.lists(st.tuples(BODY_TAGS.filter(lambda tag: tag not in (8, 9, 10, 34, 35)), TEXT), max_size=30)


def framed(data: bytes) -> tuple[list[bytes], int, str]:
    """Messages, garbled count and error text; the same whole and byte by byte."""
    results = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        framer = Framer()
        messages: list[bytes] = []
        error = ""
        try:
            for piece in pieces:
                messages += framer.receive_data(piece)
        except FixProtocolError as failure:
            messages += failure.messages
            error = str(failure)
        results.append((messages, framer.garbled, error))
    assert results[0] == results[1]
    return results[0]


def good(data: bytes) -> tuple[list[bytes], int]:
    """As `framed`, where no error is expected."""
    messages, garbled, error = framed(data)
    assert error == ""
    return messages, garbled


def with_sum(text: str) -> bytes:
    """`text` up to the body's end, with a right CheckSum(10)."""
    data = text.encode().replace(b"|", b"\x01")
    return data + b"10=%03d\x01" % (sum(data) % 256)


# Framing


def test_messages_come_out_as_they_went_in() -> None:
    assert good(ORDER) == ([ORDER], 0)
    assert good(ORDER + HEARTBEAT + ORDER) == ([ORDER, HEARTBEAT, ORDER], 0)
    assert good(ORDER + HEARTBEAT[:-1]) == ([ORDER], 0)


def test_body_length_may_be_zero_padded() -> None:
    padded = with_sum("8=FIX.4.4|9=0000005|35=0|")
    assert good(padded + ORDER) == ([padded, ORDER], 0)


@pytest.mark.parametrize(
    "garbled",
    [
        pytest.param(with_sum("9=5|35=0|"), id="BeginString not first"),
        pytest.param(with_sum("8=FIX.44|9=5|35=0|"), id="BeginString of no FIX"),
        pytest.param(with_sum("8=FIX.4.4|35=0|9=5|"), id="BodyLength not second"),
        pytest.param(with_sum("8=FIX.4.4|9=5|34=1|35=0|"), id="MsgType not third"),
        pytest.param(with_sum("8=FIX.4.4|9=4|35=0|"), id="BodyLength too short"),
        pytest.param(with_sum("8=FIX.4.4|9=6|35=0|"), id="BodyLength too long by one"),
        pytest.param(with_sum("8=FIX.4.4|9=60|35=0|"), id="BodyLength into the next message"),
        pytest.param(with_sum("8=FIX.4.4|9=0|35=0|"), id="BodyLength zero"),
        pytest.param(with_sum("8=FIX.4.4|9=-5|35=0|"), id="BodyLength negative"),
        pytest.param(with_sum("8=FIX.4.4|9=5 |35=0|"), id="BodyLength with a blank"),
        pytest.param(with_sum("8=FIX.4.4|9=00000000005|35=0|"), id="BodyLength of eleven digits"),
        pytest.param(b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01", id="CheckSum wrong"),
        pytest.param(b"8=FIX.4.4\x019=5\x0135=0\x0110=16\x01", id="CheckSum of two digits"),
        pytest.param(b"8=FIX.4.4\x019=5\x0135=0\x0111=163\x01", id="CheckSum not last"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
        pytest.param(b"8=FIX", id="a start without a message"),
        pytest.param(b"\x00", id="one byte"),
    ],
)
def test_garbled_messages_are_skipped_and_counted(garbled: bytes) -> None:
    messages, count = good(garbled + ORDER + HEARTBEAT)
    assert messages == [ORDER, HEARTBEAT]
    assert count == 1


def test_bytes_before_a_false_start_are_counted_apart() -> None:
    assert good(with_sum("9=5|8=FIX.4.4|35=0|") + ORDER) == ([ORDER], 2)


def test_each_garbled_message_is_counted() -> None:
    broken = b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01"
    short = with_sum("8=FIX.4.4|9=4|35=0|")
    assert good(broken + broken + ORDER + short + short + HEARTBEAT) == ([ORDER, HEARTBEAT], 4)


def test_soh_and_checksum_inside_a_data_field_do_not_end_the_message() -> None:
    raw = wire("35=B|34=2|148=x|95=11|96=a|10=123|b=|58=t|")
    assert good(raw + ORDER) == ([raw, ORDER], 0)


def test_body_length_over_the_bound_is_an_error_and_what_came_before_it_is_kept() -> None:
    messages, _, error = framed(ORDER + b"8=FIX.4.4\x019=8193\x0135=0\x01")
    assert messages == [ORDER]
    assert error == f"BodyLength(9) 8193 is over {MAX_BODY_LENGTH}"


def test_the_longest_message_passes() -> None:
    longest = wire("35=0|58=" + "x" * (MAX_BODY_LENGTH - 9) + "|")
    assert b"\x019=8192\x01" in longest
    assert good(longest + ORDER) == ([longest, ORDER], 0)


def test_bytes_without_a_message_in_them_are_an_error() -> None:
    messages, _, error = framed(ORDER + b"x" * (MAX_MESSAGE_LENGTH + 1))
    assert messages == [ORDER]
    assert error == f"no complete message in {MAX_MESSAGE_LENGTH} bytes"
    assert good(ORDER + b"x" * MAX_MESSAGE_LENGTH)[0] == [ORDER]


def test_garbled_messages_are_no_progress() -> None:
    broken = b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01"
    assert framed(broken * (MAX_MESSAGE_LENGTH // len(broken)))[2] == ""
    assert framed(broken * (MAX_MESSAGE_LENGTH // len(broken) + 1))[2] != ""


@given(
    st.lists(st.one_of(st.just(ORDER), st.just(HEARTBEAT), st.binary(max_size=60), st.just(b"8=FIX.4.4\x019=20\x01")))
)
def test_any_bytes_give_the_same_however_they_are_cut(parts: list[bytes]) -> None:
    framed(b"".join(parts))


@given(st.integers(0, len(ORDER) - 1), st.integers(1, 255))
def test_a_changed_byte_never_passes_and_never_hides_what_follows(position: int, change: int) -> None:
    changed = bytearray(ORDER)
    changed[position] ^= change
    messages, _ = good(bytes(changed) + HEARTBEAT + ORDER * 60)
    assert ORDER in messages
    assert bytes(changed) not in messages
    assert all(message in (ORDER, HEARTBEAT) for message in messages)


def test_a_drip_fed_message_is_looked_at_once() -> None:
    """Cost: the framer does not join its pieces before the announced length has come."""
    long = wire("35=0|58=" + "x" * 8000 + "|")
    framer = Framer()
    joined = 0
    for i in range(len(long)):
        before = len(framer._pieces)
        framer.receive_data(long[i : i + 1])
        joined += len(framer._pieces) <= before
    assert joined < 40


@given(st.binary(max_size=2000))
def test_checksum_is_the_sum_modulo_256(data: bytes) -> None:
    assert checksum(data) == sum(data) % 256


# Fields


def decoded(fields: str) -> dict[int, bytes]:
    message = decode(wire(fields))
    assert message.fault is None
    return message.fields


def fault_of(fields: str) -> tuple[SessionRejectReason, int]:
    fault = decode(wire(fields)).fault
    assert fault is not None
    assert isinstance(fault.reason, SessionRejectReason)
    return fault.reason, fault.tag


def test_decode() -> None:
    message = decode(ORDER)
    assert message.raw is ORDER
    assert message.msg_type == b"D"
    assert message.msg_seq_num == 2
    assert message.fields[tags.BeginString] == b"FIX.4.4"
    assert message.fields[tags.Price] == b"10.5"
    assert list(message.fields) == [8, 9, 35, 34, 49, 52, 56, 11, 55, 54, 38, 40, 44, 10]
    assert message.repeated == ()
    assert message.fault is None


def test_values_may_hold_equals_signs() -> None:
    assert decoded("35=A|34=1|554=a=b==c|58==|")[554] == b"a=b==c"
    # Two fields that would look right if "=" were all that is counted.
    assert fault_of("35=A|34=1|58=a=11|55|")[0] == SessionRejectReason.NON_DATA_VALUE_INCLUDES_FIELD_DELIMITER


@pytest.mark.parametrize("number", ["", "0", "x", "-1", "+1", "1_0", " 1", "1.5", "4294967296", "9" * 5000])
def test_what_is_no_sequence_number_is_zero(number: str) -> None:
    assert decode(wire(f"35=0|34={number}|")).msg_seq_num == 0


def test_sequence_numbers() -> None:
    assert decode(wire("35=0|34=007|")).msg_seq_num == 7
    assert decode(wire("35=0|34=4294967295|")).msg_seq_num == 4294967295
    assert decode(wire("35=0|58=x|")).msg_seq_num == 0


@pytest.mark.parametrize("tag", ["+35", "3_4", " 34", "034", "x", "", "0", "-1", "1" * 10, "9" * 5000])
def test_odd_tags_are_a_fault(tag: str) -> None:
    assert fault_of(f"35=0|34=1|{tag}=x|") == (SessionRejectReason.INVALID_TAG_NUMBER, 0)


def test_empty_values_are_a_fault() -> None:
    assert fault_of("35=0|34=1|58=|") == (SessionRejectReason.TAG_SPECIFIED_WITHOUT_A_VALUE, 58)
    assert fault_of("35=|34=1|") == (SessionRejectReason.TAG_SPECIFIED_WITHOUT_A_VALUE, 35)


def test_only_the_first_fault_is_told() -> None:
    assert fault_of("35=0|34=1|58=|x=1|") == (SessionRejectReason.TAG_SPECIFIED_WITHOUT_A_VALUE, 58)


def test_soh_in_a_value_is_a_fault_of_the_field_before() -> None:
    assert fault_of("35=0|34=1|58=one|two|11=A|") == (SessionRejectReason.NON_DATA_VALUE_INCLUDES_FIELD_DELIMITER, 58)


def test_repeated_tags_keep_the_first_value() -> None:
    message = decode(wire("35=D|34=1|448=X|452=1|448=Y|452=3|"))
    assert message.fields[448] == b"X"
    assert message.repeated == (448, 452)


@pytest.mark.parametrize(("length_tag", "data_tag"), sorted(LENGTH_TAGS.items()))
def test_data_fields_are_read_by_their_length(length_tag: int, data_tag: int) -> None:
    fields = decoded(f"35=B|34=1|{length_tag}=8|{data_tag}=a|11=A|=|58=t|")
    assert fields[data_tag] == b"a\x0111=A\x01="
    assert tags.ClOrdID not in fields
    assert fields[tags.Text] == b"t"


@pytest.mark.parametrize(
    "pair", ["95=4|96=abc", "95=2|96=abc", "95=x|96=abc", "95=3|97=abc", "95=999999|96=abc", "95=3"]
)
def test_a_length_that_does_not_fit_is_a_fault(pair: str) -> None:
    assert fault_of(f"35=B|34=1|{pair}|58=t|") == (SessionRejectReason.VALUE_IS_INCORRECT, 95)


def test_data_without_its_length_is_a_fault() -> None:
    expected = (SessionRejectReason.TAG_SPECIFIED_OUT_OF_REQUIRED_ORDER, 96)
    assert fault_of("35=B|34=1|96=abc|58=t|") == expected


@given(st.binary(max_size=120))
def test_decode_never_raises_on_what_is_framed(body: bytes) -> None:
    content = b"35=" + body + b"\x01"
    message = b"8=FIX.4.4\x019=%d\x01" % len(content) + content
    raw = message + b"10=%03d\x01" % (sum(message) % 256)
    assert Framer().receive_data(raw) == [raw]
    decode(raw)


@given(FIELDS)
def test_simplefix_messages_are_read_as_meant(fields: list[tuple[int, bytes]]) -> None:
    theirs = simplefix.FixMessage()
    for tag, value in [(8, b"FIX.4.2"), (35, b"D"), (34, b"7"), *fields]:
        theirs.append_pair(tag, value, header=tag in (8, 35, 34))
    raw = theirs.encode()
    assert Framer().receive_data(raw) == [raw]
    message = decode(raw)
    assert message.fault is None
    assert (message.msg_type, message.msg_seq_num) == (b"D", 7)
    expected: dict[int, bytes] = {}
    for tag, value in fields:
        expected.setdefault(tag, value)
    assert {tag: value for tag, value in message.fields.items() if tag not in (8, 9, 10, 34, 35)} == expected
    assert len(message.fields) + len(message.repeated) == len(fields) + 5


# Writing


def parsed(raw: bytes) -> list[tuple[int, bytes]]:
    """The fields of one message as simplefix reads them; framing as we judge it."""
    assert Framer().receive_data(raw) == [raw]
    parser = simplefix.FixParser()
    parser.append_buffer(raw)
    message = parser.get_message()
    assert message is not None
    assert parser.get_message() is None
    return [(int(tag), bytes(value)) for tag, value in message.pairs]


@given(FIELDS, st.integers(1, 2**32 - 1))
def test_our_messages_are_read_by_simplefix(fields: list[tuple[int, bytes]], number: int) -> None:
    raw = ENCODER.encode(b"8", number, b"20261122-09:30:00.000", encode_fields(list(fields)))
    pairs = parsed(raw)
    assert [tag for tag, _ in pairs[:7]] == [8, 9, 35, 34, 49, 52, 56]
    assert pairs[3] == (34, b"%d" % number)
    assert pairs[7:-1] == [(tag, clean(value)) for tag, value in fields]


def test_encode_fields_takes_numbers_and_cleans_text() -> None:
    assert encode_fields([(34, 7), (58, b"a\x01b\nc\x7f")]) == b"34=7\x0158=a?b?c?\x01"


def test_comp_ids_are_taken_as_they_are() -> None:
    raw = Encoder(b"FIX.4.2", b"100%d", b"B\x01=").encode(b"0", 1, b"20261122-09:30:00.000", b"")
    pairs = dict(parsed(raw))
    assert (pairs[49], pairs[56]) == (b"100%d", b"B?=")


def test_templates() -> None:
    template = Template("37=%d|11=%b|58=%b|")
    assert template.fill((5, b"A", b"t")) == b"37=5\x0111=A\x0158=t\x01"


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_no_value_gets_a_field_through_a_template(cl_ord_id: bytes, text: bytes) -> None:
    body = Template("11=%b|37=%d|58=%b|").fill((cl_ord_id, 5, text))
    assert body.count(b"\x01") == 3
    assert not re.search(rb"[\x00\x02-\x1f\x7f]", body)
    if clean(cl_ord_id) == cl_ord_id and clean(text) == text:
        assert body == b"11=%b\x0137=5\x0158=%b\x01" % (cl_ord_id, text)


@given(FIELDS)
def test_resent_messages_differ_in_their_header_only(fields: list[tuple[int, bytes]]) -> None:
    raw = ENCODER.encode(b"8", 12, b"20261122-09:30:00.000", encode_fields(list(fields)))
    pairs = parsed(ENCODER.encode_resent(raw, b"20261122-10:00:00.000"))
    assert pairs[2:9] == [
        (35, b"8"),
        (34, b"12"),
        (49, b"VENUE"),
        (52, b"20261122-10:00:00.000"),
        (56, b"BROKER"),
        (43, b"Y"),
        (122, b"20261122-09:30:00.000"),
    ]
    assert pairs[9:-1] == parsed(raw)[7:-1]


SHAPES = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from((11, 55, 38, 44, 58, 95, 96, 5001)), st.from_regex(rb"[A-Za-z0-9=]{0,4}", fullmatch=True)
        ),
        max_size=5,
    ),
    min_size=1,
    max_size=8,
)


@given(SHAPES)
def test_a_connections_decoder_says_what_decode_says(bodies: list[list[tuple[int, bytes]]]) -> None:
    encoder, decoder = Encoder(b"FIX.4.4", b"BROKER", b"VENUE"), Decoder()
    for number, body in enumerate([each for each in bodies for _ in range(3)], start=1):
        fields = b"".join(b"%d=%b\x01" % field for field in body)
        raw = encoder.encode(b"D", number, b"20261122-00:00:00.123", fields)
        assert decoder.decode(raw) == decode(raw)
