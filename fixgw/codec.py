"""FIX tag=value on the wire: finding messages in a byte stream, reading their fields, writing messages.

Framing (FIX 4.4 Volume 2, "Message integrity", test cases 2d, 2m, 2t, 3b, 3c). A message is
`8=FIX…|9=length|35=…|10=sum|`, where | is SOH. BodyLength(9), zero-padded or not, counts from `35=` to the SOH
before `10=`; CheckSum(10) is the sum of all bytes before `10=` modulo 256. What does not look so is *garbled*: it
is skipped without an answer, counted, and reading goes on at the next `8=FIX`. Every byte is searched and summed
at most once, however small the pieces it arrives in, and what is kept is bounded: a peer that announces more than
MAX_BODY_LENGTH, or sends more than MAX_MESSAGE_LENGTH bytes without one good message in them, gets a
FixProtocolError, after which its connection can only be closed.

Fields. `decode` never raises on what the `Framer` lets through: what is wrong with a well-framed message is its
`fault`, to be answered with Reject(3). The common message (tags in a sequence seen before, each value free of "=",
no data field) is taken apart by C code alone; whatever is unusual goes the slow, careful way. Data fields (96, 213,
355 …) may hold SOH: they are read by the length that the field before them announces, and a length that does not
fit is a fault.

Writing. Header fields always come in the order 8, 9, 35, 34, 49, 52, 56, which is what most engines log and
expect. Values cannot smuggle in a field: a `Template` replaces control characters, SOH first of all.
"""

import re
import zlib
from functools import lru_cache
from typing import Final

import msgspec

from fixgw import tags
from fixgw.values import Fault, SessionRejectReason

SOH: Final = b"\x01"
MSG_TYPE: Final = tags.MsgType
MSG_SEQ_NUM: Final = tags.MsgSeqNum

#: The largest order or session message is under 1 KiB; 8 KiB leaves room for every optional field and text.
MAX_BODY_LENGTH: Final = 8 * 1024

#: `8=FIXT.1.1|9=0000008192|` before the body and `10=000|` after it, with some room.
MAX_MESSAGE_LENGTH: Final = MAX_BODY_LENGTH + 64

#: BeginString(8), BodyLength(9) and the start of MsgType(35): first, second and third, or the message is garbled.
HEADER: Final = re.compile(rb"8=FIXT?\.[0-9]\.[0-9]\x019=([0-9]{1,10})\x01(?=35=)")
LONGEST_HEADER: Final = len(b"8=FIXT.1.1|9=0123456789|35=")
TRAILERS: Final = {b"\x0110=%03d\x01" % total: total for total in range(256)}
TRAILER_LENGTH: Final = len(b"10=000|")

BEGIN: Final = b"8=FIX"

#: Adler-32's low half is 1 + the sum of the bytes, modulo 65521: exact for what is short enough not to reach that.
EXACT_ADLER_LENGTH: Final = 256

#: Each data field may hold any byte; the length field right before it tells how many.
LENGTH_TAGS: Final = {
    90: 91, 93: 89, 95: 96, 212: 213, 348: 349, 350: 351, 352: 353, 354: 355, 356: 357, 358: 359, 360: 361,
    362: 363, 364: 365, 445: 446, 618: 619, 621: 622,
}  # fmt: skip
DATA_TAGS: Final = frozenset(LENGTH_TAGS.values())

#: Digits of the longest tag and number read: enough for any real one, and no work for absurd ones.
MAX_TAG_LENGTH: Final = 9
MAX_NUMBER_LENGTH: Final = 18

#: A MsgSeqNum has 32 bits wherever it meets others. At 10,000 messages a second without a reset: five days.
MAX_MSG_SEQ_NUM: Final = 2**32 - 1

#: The sequence of tags of a message, as written, and as numbers. A broker's messages come in the same few layouts all
#: day, so each is looked at closely once and remembered; when there are too many, all are forgotten.
LAYOUTS: Final[dict[bytes, tuple[int, ...]]] = {}
MAX_LAYOUTS: Final = 4096
MAX_FIELDS_OF_LAYOUT: Final = 64

#: A message's "=" and SOH alternate strictly if each field has one "=": the number of fields by that pattern.
FIELD_COUNTS: Final = {b"=\x01" * count: count for count in range(1, 256)}
NOT_DELIMITERS: Final = bytes(byte for byte in range(256) if byte not in b"=\x01")

CONTROLS: Final = bytes(range(32)) + b"\x7f"
CONTROLS_REPLACED: Final = bytes.maketrans(CONTROLS, b"?" * len(CONTROLS))

#: A message as `Encoder.encode` writes it.
OWN_MESSAGE: Final = re.compile(
    rb"8=[^\x01]+\x019=\d+\x01(35=[^\x01]+\x0134=\d+\x0149=[^\x01]+\x01)52=([^\x01]+)\x01(56=[^\x01]+\x01)(.*)10=\d{3}\x01",
    re.DOTALL,
)


class FixProtocolError(Exception):
    """The peer broke the protocol so that its connection must be closed.

    `messages`: complete messages that came before the fault in the same data, still to be handled.
    """

    def __init__(self, text: str, messages: list[bytes] | None = None) -> None:
        super().__init__(text)
        self.messages: list[bytes] = messages or []


def checksum(data: bytes) -> int:
    """CheckSum(10) of `data`: the sum of its bytes modulo 256."""
    if len(data) <= EXACT_ADLER_LENGTH:
        return (zlib.adler32(data) - 1) & 255
    total = 0
    for start in range(0, len(data), EXACT_ADLER_LENGTH):
        total += zlib.adler32(data[start : start + EXACT_ADLER_LENGTH]) - 1
    return total & 255


class Framer:
    """Cuts a stream of bytes into complete messages. One per connection.

    `garbled` counts what was skipped: each false start of a message, and each run of bytes that begins none.
    """

    def __init__(self) -> None:
        self.garbled = 0
        self._pieces: list[bytes] = []  # received and not yet cut
        self._held = 0  # bytes in them
        self._needed = 1  # bytes they must hold before looking at them again can tell anything new
        self._skipped = 0  # bytes dropped since the last complete message
        self._in_garbage = False  # the bytes just dropped are already counted

    def receive_data(self, data: bytes) -> list[bytes]:
        """The complete messages that `data` ends, in order. Raises FixProtocolError (see `messages` there)."""
        self._pieces.append(data)
        self._held += len(data)
        messages: list[bytes] = []
        if self._held >= self._needed:
            buffer = b"".join(self._pieces)
            rest = buffer[self._cut(buffer, messages) :]
            self._pieces = [rest]
            self._held = len(rest)
        self._check_progress(self._held, messages)
        return messages

    def _cut(self, buffer: bytes, messages: list[bytes]) -> int:
        """Move messages from the front of `buffer` to `messages`; returns where the unfinished rest starts."""
        start = 0
        size = len(buffer)
        while start < size:
            header = HEADER.match(buffer, start)
            if header is None:
                if size - start < LONGEST_HEADER and buffer.startswith(BEGIN[: size - start], start):
                    self._needed = size - start + 1
                    return start
                start = self._skip(buffer, start)
                continue
            body_length = int(header[1])
            if body_length > MAX_BODY_LENGTH:
                raise FixProtocolError(f"BodyLength(9) {body_length} is over {MAX_BODY_LENGTH}", messages)
            body_end = header.end() + body_length
            end = body_end + TRAILER_LENGTH
            if end > size:
                self._needed = end - start
                return start
            total = TRAILERS.get(buffer[body_end - 1 : end])
            if total is None:
                start = self._skip(buffer, start)
                continue
            self._check_progress(end - start, messages)
            if checksum(buffer[start:body_end]) == total:
                messages.append(buffer[start:end])
                self._skipped = 0
            else:
                # Both ends are where they should be, so the frame is believed and dropped as a whole. Searching in
                # it for another start would let a peer have the same bytes summed over and over.
                self.garbled += 1
                self._skipped += end - start
            self._in_garbage = False
            start = end
        self._needed = 1
        return start

    def _skip(self, buffer: bytes, start: int) -> int:
        """Where the next message may begin after what is garbled at `start`."""
        if not self._in_garbage or buffer.startswith(BEGIN, start):
            self.garbled += 1
            self._in_garbage = True
        following = buffer.find(BEGIN, start + 1)
        if following < 0:
            following = max(start + 1, len(buffer) - len(BEGIN) + 1)
            while not BEGIN.startswith(buffer[following:]):  # the last bytes may be the first of another message
                following += 1
        self._skipped += following - start
        return following

    def _check_progress(self, unfinished: int, messages: list[bytes]) -> None:
        if self._skipped + unfinished > MAX_MESSAGE_LENGTH:
            raise FixProtocolError(f"no complete message in {MAX_MESSAGE_LENGTH} bytes", messages)


#: Matches no message.
NO_SHAPE: Final = re.compile(rb"(?!)")


class FixMessage(msgspec.Struct, frozen=True, gc=False):
    """A decoded message. Its header and trailer fields are in `fields` like all others."""

    raw: bytes
    msg_type: bytes
    msg_seq_num: int
    """MsgSeqNum(34); 0 where it is missing or no number in range."""
    fields: dict[int, bytes]
    """Values by tag, in the order of the message. Of a repeated tag the first value."""
    layout: bytes
    """The tags of `fields` in their order, joined by "=": equal for messages of the same shape."""
    repeated: tuple[int, ...] = ()
    """Tags that appear again: members of repeating groups, or a fault of the sender's."""
    fault: Fault | None = None
    """The first thing wrong with the fields as such, or None."""


def decode(raw: bytes) -> FixMessage:
    """Take a message apart that a `Framer` has found. Never raises; see `FixMessage.fault`."""
    count = FIELD_COUNTS.get(raw.translate(None, NOT_DELIMITERS))
    if count is None:
        return _decode_carefully(raw)
    pieces = raw.replace(SOH, b"=").split(b"=")
    layout = b"=".join(pieces[:-1:2])
    values = pieces[1::2]
    layout_tags = LAYOUTS.get(layout)
    if layout_tags is not None and b"" not in values:
        fields = dict(zip(layout_tags, values, strict=True))
        return FixMessage(raw, fields[MSG_TYPE], sequence_number(fields.get(MSG_SEQ_NUM)), fields, layout)
    message = _decode_carefully(raw)
    if message.fault is None and len(message.fields) == count <= MAX_FIELDS_OF_LAYOUT and message.layout == layout:
        if len(LAYOUTS) >= MAX_LAYOUTS:
            LAYOUTS.clear()
        LAYOUTS[layout] = tuple(message.fields)
    return message


class Decoder:
    """`decode` for one connection. Its messages come in few shapes, mostly many of one in a row, so the shape of the
    last one is tried first, by a pattern made for it: the same result in two thirds of the time."""

    def __init__(self) -> None:
        self._pattern = NO_SHAPE
        self._layout = b""
        self._tags: tuple[int, ...] = ()

    def decode(self, raw: bytes) -> FixMessage:
        """As `decode`."""
        found = self._pattern.fullmatch(raw)
        if found is not None:
            fields = dict(zip(self._tags, found.groups(), strict=True))
            return FixMessage(raw, fields[MSG_TYPE], sequence_number(fields.get(MSG_SEQ_NUM)), fields, self._layout)
        message = decode(raw)
        layout_tags = LAYOUTS.get(message.layout)
        if layout_tags is not None and message.fault is None and not message.repeated:
            self._layout, self._tags = message.layout, layout_tags
            self._pattern = _shape(layout_tags)
        return message


@lru_cache(MAX_LAYOUTS)
def _shape(layout_tags: tuple[int, ...]) -> re.Pattern[bytes]:
    return re.compile(b"".join(b"%d=([^\x01]+)\x01" % tag for tag in layout_tags))


def sequence_number(value: bytes | None) -> int:
    """A SeqNum value; 0, which is none, where it is missing, not all digits, or above MAX_MSG_SEQ_NUM."""
    if value is None or not value.isdigit() or len(value) > MAX_NUMBER_LENGTH:
        return 0
    number = int(value)
    return number if number <= MAX_MSG_SEQ_NUM else 0


def _decode_carefully(raw: bytes) -> FixMessage:
    """Field by field: for values with "=", data fields, repeated or odd tags, and faults of all kinds."""
    fields: dict[int, bytes] = {}
    repeated: list[int] = []
    fault: Fault | None = None
    position = 0
    tag = 0
    while position < len(raw):
        previous = tag
        end = raw.index(SOH, position)
        equals = raw.find(b"=", position, end)
        if equals < 0:
            reason = SessionRejectReason.NON_DATA_VALUE_INCLUDES_FIELD_DELIMITER
            fault = fault or Fault(reason, previous, "Non-data value includes field delimiter (SOH character)")
            position = end + 1
            continue
        tag = _parse_tag(raw[position:equals])
        if tag in LENGTH_TAGS:
            data_end = _end_of_data(raw, end, LENGTH_TAGS[tag], raw[equals + 1 : end])
            if data_end is None:
                text = f"{tags.label(tag)} does not fit the data field after it"
                fault = fault or Fault(SessionRejectReason.VALUE_IS_INCORRECT, tag, text)
            else:
                data_tag = LENGTH_TAGS[tag]
                fields.setdefault(data_tag, raw[end + 2 + len(str(data_tag)) : data_end])
                fields.setdefault(tag, raw[equals + 1 : end])
                position = data_end + 1
                continue
        fault = fault or _field_fault(tag, equals + 1 == end)
        if tag in fields:
            repeated.append(tag)
        else:
            fields[tag] = raw[equals + 1 : end]
        position = end + 1
    number = sequence_number(fields.get(MSG_SEQ_NUM))
    layout = b"=".join([b"%d" % tag for tag in fields])
    return FixMessage(raw, fields[MSG_TYPE], number, fields, layout, tuple(repeated), fault)


def _parse_tag(text: bytes) -> int:
    """The tag number; 0, which is none, if `text` is not a positive number in plain digits."""
    if not text.isdigit() or text.startswith(b"0") or len(text) > MAX_TAG_LENGTH:
        return 0
    return int(text)


def _end_of_data(raw: bytes, length_end: int, data_tag: int, length: bytes) -> int | None:
    """Where the SOH after the data stands that must follow the length field ending at `length_end`, or None."""
    prefix = b"\x01%d=" % data_tag
    if not length.isdigit() or len(length) > MAX_NUMBER_LENGTH or not raw.startswith(prefix, length_end):
        return None
    data_end = length_end + len(prefix) + int(length)
    return data_end if raw[data_end : data_end + 1] == SOH else None


def _field_fault(tag: int, empty: bool) -> Fault | None:
    if tag == 0:
        return Fault(SessionRejectReason.INVALID_TAG_NUMBER, 0, "Invalid tag number")
    if tag in DATA_TAGS:
        text = f"{tags.label(tag)} does not follow its length"
        return Fault(SessionRejectReason.TAG_SPECIFIED_OUT_OF_REQUIRED_ORDER, tag, text)
    if empty:
        return Fault(SessionRejectReason.TAG_SPECIFIED_WITHOUT_A_VALUE, tag, f"{tags.label(tag)} has no value")
    return None


def clean(value: bytes) -> bytes:
    """`value` with "?" for every control character: fit to be a field's value."""
    return value.translate(CONTROLS_REPLACED)


def encode_fields(fields: list[tuple[int, bytes | int]]) -> bytes:
    """The fields, in this order, as a message's body. Control characters in values become "?"."""
    return b"".join(
        [
            b"%d=%d\x01" % (tag, value) if isinstance(value, int) else b"%d=%b\x01" % (tag, clean(value))
            for tag, value in fields
        ]
    )


class Template:
    """A body whose tags are known beforehand: `Template("37=%d|11=%b|58=%b|")`, | for SOH, % as bytes know it.

    No value can add a field: if the filled text holds a control character that the template has not, they are
    all replaced.
    """

    def __init__(self, text: str) -> None:
        assert text.endswith("|"), f"{text} does not end its last field"
        self._text = text.replace("|", "\x01").encode()
        self._separators = text.count("|")

    def fill(self, values: tuple[bytes | int, ...]) -> bytes:
        """The body with `values` in their places."""
        body = self._text % values
        if len(body) - len(body.translate(None, CONTROLS)) == self._separators:
            return body
        return self._text % tuple([value if isinstance(value, int) else clean(value) for value in values])


#: CheckSum(10), by its value.
CHECK_SUMS: Final = tuple(b"10=%03d\x01" % total for total in range(256))


class Encoder:
    """Writes the messages of one session: header and trailer around a body."""

    def __init__(self, begin_string: bytes, sender_comp_id: bytes, target_comp_id: bytes) -> None:
        ours = clean(sender_comp_id).replace(b"%", b"%%")
        theirs = clean(target_comp_id).replace(b"%", b"%%")
        self._content = b"35=%b\x0134=%d\x0149=" + ours + b"\x0152=%b\x0156=" + theirs + b"\x01%b"
        self._begin = b"8=" + begin_string + b"\x019=%d\x01"
        self._heads: dict[int, tuple[bytes, int]] = {}

    def encode(self, msg_type: bytes, msg_seq_num: int, sending_time: bytes, body: bytes) -> bytes:
        """A complete message. `body`: whole fields, each ended by SOH; further header fields may lead it."""
        return self._framed(self._content % (msg_type, msg_seq_num, sending_time, body))

    def encode_resent(self, raw: bytes, sending_time: bytes) -> bytes:
        """`raw`, once written by `encode`, as sent again: PossDupFlag(43)=Y, OrigSendingTime(122), new SendingTime."""
        own = OWN_MESSAGE.fullmatch(raw)
        assert own is not None, "a stored message is not one that was sent"
        head, orig_sending_time, target, body = own.groups()
        resent = b"%b52=%b\x01%b43=Y\x01122=%b\x01%b" % (head, sending_time, target, orig_sending_time, body)
        return self._framed(resent)

    def _framed(self, content: bytes) -> bytes:
        length = len(content)
        head, head_sum = self._heads.get(length) or self._head(length)
        return b"".join((head, content, CHECK_SUMS[(head_sum + checksum(content)) & 255]))

    def _head(self, length: int) -> tuple[bytes, int]:
        """BeginString(8) and BodyLength(9), and their share of the checksum; a session's messages come in few sizes."""
        head = self._begin % length
        if length <= MAX_BODY_LENGTH:
            self._heads[length] = head, checksum(head)
        return head, checksum(head)
