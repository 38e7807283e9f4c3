"""The page to start reading runs, from anywhere, and what it says of itself is so."""

import subprocess
import sys
from pathlib import Path

import pytest

from fixgw.codec import FixMessage, Framer, decode
from marketdata import itch

PAGE = Path(__file__).resolve().parents[2] / "examples" / "in_memory.py"


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines that the example prints, started where nothing of the checkout is."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    run = subprocess.run((sys.executable, str(PAGE)), cwd=elsewhere, text=True, capture_output=True, check=True)
    assert run.stderr == ""
    return run.stdout.splitlines()


def messages(printed: list[str], broker: str, arrow: str) -> list[FixMessage]:
    """The complete FIX messages that a broker sent (→) or got (←)."""
    head = f"  {broker} {arrow} "
    raw = [line.removeprefix(head).replace("|", "\x01").encode() for line in printed if line.startswith(head)]
    assert [each for message in raw for each in Framer().receive_data(message)] == raw
    return [decode(each) for each in raw]


def told(message: FixMessage) -> str:
    """MsgType, and what became of which order."""
    values = [message.fields.get(tag, b"-").decode() for tag in (11, 150, 39, 31, 32, 151)]
    return " ".join([message.msg_type.decode(), *values])


def test_both_brokers_are_told_what_happened(printed: list[str]) -> None:
    assert [told(message) for message in messages(printed, "AMBER", "←")] == [
        "A - - - - - -",
        "8 a1 0 0 - - 300",
        "8 a1 F 2 100.00 300 0",
    ]
    assert [told(message) for message in messages(printed, "BIRCH", "←")] == [
        "A - - - - - -",
        "8 b1 0 0 - - 500",
        "8 b1 1 1 100.00 300 200",
        "8 b2 4 4 - - 0",
        "9 b3 - 4 - - -",
    ]


def test_numbers_run_without_a_hole(printed: list[str]) -> None:
    for broker in ("AMBER", "BIRCH"):
        for arrow in "→←":
            numbers = [message.msg_seq_num for message in messages(printed, broker, arrow)]
            assert numbers == list(range(1, len(numbers) + 1))


def test_the_vendor_sees_the_book_the_brokers_made(printed: list[str]) -> None:
    heard = [line.split() for line in printed[printed.index("") :] if line.strip()[:1].isdigit()]
    assert [int(number) for number, *_ in heard] == list(range(1, len(heard) + 1))
    letters = {message.__name__: message.message_type.decode() for message in itch.MESSAGES}
    assert all(letters[name] == letter for _, letter, name, *_ in heard)
    book = [(letter, " ".join(words).endswith) for _, letter, *words in heard[-4:]]
    tops = ("– × 300 at 100.00", "– × –", "200 at 100.01 × –", "– × –")
    assert [letter for letter, _ in book] == list("AEAD")
    assert all(endswith(top) for (_, endswith), top in zip(book, tops, strict=True))


def test_it_is_one_page() -> None:
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 200
