"""`fixgw demo` as a user runs it, on ports of its own: it trades, it ends when asked to, and it says what was."""

import json
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.integration.exchange_file import write_exchange
from tests.integration.market import example
from tests.venue import ROOT

SUMMARY_KEYS = {
    "orders",
    "trades",
    "itch_messages",
    "gaps_found",
    "gaps_filled",
    "ack_us_p50",
    "ack_us_p99",
    "books_equal",
}
SECONDS = 3


@pytest.fixture
def demo(tmp_path):
    """Starts a demo with these options."""
    processes = []

    def start(*options):
        file = write_exchange(tmp_path)
        command = [sys.executable, "-m", "fixgw", "demo", str(file), "--json", str(tmp_path / "summary.json"), *options]
        processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def check_summary(directory, output):
    summary = json.loads((directory / "summary.json").read_text())
    assert summary.keys() >= SUMMARY_KEYS
    assert summary["books_equal"] is True
    assert summary["gaps_found"] == summary["gaps_filled"]
    assert summary["rejects"] == 0
    assert min(summary["orders"], summary["trades"], summary["itch_messages"]) > 0
    assert 0 < summary["ack_us_p50"] <= summary["ack_us_p99"]
    assert f"{summary['orders']:,} orders, {summary['trades']:,} trades" in output
    return summary


def test_it_ends_by_itself_and_keeps_the_feed(demo, tmp_path):
    process = demo("--seconds", str(SECONDS), "--record", str(tmp_path / "recordings"))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    summary = check_summary(tmp_path, output)
    for what in ("gateway gw1", "shard s1", "shard s2", "retransmitter r1", "feed s2 line B", "requests feed-a s1"):
        assert what in output
    recordings = sorted((tmp_path / "recordings").iterdir())
    assert [str(file) for file in recordings] == summary["recordings"]
    judge = example("itch_judge")
    books = {symbol: book for file in recordings for symbol, book in judge.read_books(file).items()}
    assert books.keys() == {"ALFA", "BRAVO", "CHARLIE", "DELTA"}
    assert sum(book["trades"] for book in books.values()) == summary["trades"]
    assert sum(1 for file in recordings for _ in judge.messages(file)) == summary["itch_messages"]


def test_ctrl_c_ends_it_with_the_summary(demo, tmp_path):
    process = demo()
    output = read_until(process.stdout, lambda text: re.search(r"[1-9]\d* trades", text))
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output + rest
    check_summary(tmp_path, rest)
    assert "Traceback" not in output + rest


@pytest.mark.slow
def test_ctrl_c_at_the_very_start_is_no_failure_either(demo, tmp_path):
    process = demo()
    output = read_until(process.stdout, lambda text: "requests feed-b s2" in text)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output + rest
    assert json.loads((tmp_path / "summary.json").read_text())["books_equal"] is True


def read_until(stream, condition, seconds=30.0):
    """What a process printed until the condition held of it. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    text = ""
    while not condition(text):
        ready, _, _ = select.select([stream], [], [], max(deadline - time.monotonic(), 0))
        line = stream.readline() if ready else ""
        assert line, f"nothing like it came in {seconds} s: {text}"
        text += line
    return text
