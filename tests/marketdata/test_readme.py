"""The feed specification says what the code does."""

import re
from pathlib import Path

from marketdata import itch, moldudp64, requests
from marketdata.feed import session_in_epoch
from matching import events
from matching.codes import Side
from matching.operations import feed_session
from tests.marketdata.stream import ShardStream

README = (Path(itch.__file__).parent / "README.md").read_text(encoding="utf-8")


def described() -> dict[str, tuple[str, int, list[tuple[str, int, int, str]]]]:
    """Letter: (name, length, [(field, offset, length, kind)]), as the headings and tables say."""
    found = {}
    for section in README.split("\n### ")[1:]:
        heading = re.match(r"(\w) (\w+), (\d+) bytes\n", section)
        assert heading is not None, section[:40]
        rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\w+) \|", section, re.MULTILINE)
        fields = [(name, int(offset), int(length), kind) for name, offset, length, kind in rows]
        found[heading[1]] = (heading[2], int(heading[3]), fields)
    return found


def test_layouts_are_the_codes() -> None:
    for letter, (name, length, fields) in described().items():
        layout = itch.LAYOUTS[ord(letter)]
        offset = 1
        ours = []
        for field, kind in layout.fields.items():
            ours.append((field, offset, kind.width, kind.name))
            offset += kind.width
        assert (name, length, fields) == (layout.message_class.__name__, layout.length, ours[itch.HEADER_FIELDS :])


def test_examples_are_what_their_bytes_say() -> None:
    for section in README.split("\n### ")[1:]:
        told = re.search(r"^Example: ((?:.+\n)+)\n    ([0-9a-f ]+)$", section, re.MULTILINE)
        assert told is not None, section[:40]
        message = itch.decode(bytes.fromhex(told[2]))
        assert message.message_type.decode() == section[0]
        layout = itch.LAYOUTS[ord(section[0])]
        widths = [1, *(kind.width for kind in layout.fields.values())]
        assert [len(field) // 2 for field in told[2].split()] == widths
        values = {}
        for name in list(layout.fields)[itch.HEADER_FIELDS :]:
            value = getattr(message, name)
            values[name] = (value.decode().rstrip() or "space") if isinstance(value, bytes) else str(value)
        assert dict(re.findall(r"`(\w+)`\s([^,\s]+)", told[1])) == values


def test_every_message_that_can_be_sent_is_described() -> None:
    translator = (Path(itch.__file__).parent / "translate.py").read_text(encoding="utf-8")
    classes = {message.__name__: message.message_type.decode() for message in itch.MESSAGES}
    snake = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): letter for name, letter in classes.items()}
    named = {classes[name] for name in re.findall(r"itch\.(\w+)\(", translator) if name in classes}
    named |= {snake[name] for name in re.findall(r"itch\.encode_(\w+)\(", translator)}
    assert named == set(described())


def test_limits_are_the_codes() -> None:
    for limit in (
        f"source address | {requests.SOURCE_RATE:,}, in bursts of at most {requests.SOURCE_BURST} |",
        f"| {requests.TOTAL_RATE:,} bytes per second, in bursts of {requests.TOTAL_BURST:,} |",
        f"| 1 to {moldudp64.MAX_MESSAGE_COUNT:,} |",
        f"at most {moldudp64.MAX_PAYLOAD:,} bytes of payload",
        f"every second for {moldudp64.END_OF_SESSION_DURATION // moldudp64.HEARTBEAT_INTERVAL} s",
    ):
        assert limit in README, limit


def test_sessions_are_called_as_told() -> None:
    session = feed_session(20251121, 1)
    assert f"hexadecimal digits, `{session.decode()}`" in README
    assert f"(`{session.decode()}` in epoch 2: `{session_in_epoch(session, 2).decode()}`;" in README


def test_a_replace_that_trades_is_told_as_described() -> None:
    """D, then E for what it hits, then A for the rest: in the stream it is made of."""
    stream = ShardStream()
    stream.start_day()
    stream.enter(Side.SELL, 100, 101_0000)
    stream.enter(Side.BUY, 300, 100_0000)
    buy = next(order.terms for order in stream.engine.orders() if order.terms.side == Side.BUY)
    public = [type(event) for event in stream.replace(buy, 300, 101_0000)]
    assert public == [events.OrderReplaced, events.OrderExecuted, events.OrderBooked]
