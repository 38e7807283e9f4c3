"""The example brokers as a user starts them, against a venue on QuickFIX's acceptor."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.interop.quickfix_venue import running_venue

pytestmark = pytest.mark.interop

PASSWORDS = {"BROKER1": "secret one"}


@pytest.fixture
def begin_string(request):
    return getattr(request, "param", "FIX.4.4")


@pytest.fixture
def venue_and_port(tmp_path, begin_string):
    with running_venue(tmp_path / "venue", PASSWORDS, begin_string) as running:
        yield running


@pytest.fixture
def start(begin_string, venue_and_port):
    processes = []

    def _start(script, *options, password=PASSWORDS["BROKER1"]):
        command = [
            *(sys.executable, f"examples/{script}", f"--port={venue_and_port[1]}", f"--version={begin_string}"),
            *("--sender=BROKER1", "--target=VENUE", "--username=broker1", "--symbol=ABCD", "--json"),
            *options,
        ]
        environment = os.environ | {"FIXGW_PASSWORD": password}
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield _start
    for process in processes:
        process.kill()
        process.communicate()


def summary_of(process):
    output, _ = process.communicate(timeout=30)
    return process.returncode, json.loads(output)


@pytest.mark.parametrize("begin_string", ["FIX.4.2", "FIX.4.4"], indirect=True)
def test_the_broker_trades_and_accounts_for_everything(start, venue_and_port):
    code, summary = summary_of(start("broker.py", "--orders=150", "--rate=0", "--window=10", "--cancel-at-end"))
    assert (code, summary["error"]) == (0, None)
    assert summary["orders"] == summary["acks"] == 150
    assert (summary["rejects"], summary["cancel_rejects"], summary["message_rejects"]) == (0, 0, 0)
    assert (summary["unanswered"], summary["open_orders"]) == (0, 0)
    assert min(summary["fills"], summary["cancels"], summary["replaces"]) > 0
    assert 0 < summary["ack_us_p50"] <= summary["ack_us_p99"]
    (logon,) = venue_and_port[0].logons
    assert (logon[553], logon[554], logon[141]) == ("broker1", "secret one", "Y")


def test_a_signal_ends_the_market_maker_in_order(start, venue_and_port):
    process = start("market_maker.py", "--symbol=EFGH:25.50:0.01", "--rate=200")
    for _ in range(20):
        venue_and_port[0].requests.get(timeout=20)
    process.send_signal(signal.SIGTERM)
    code, summary = summary_of(process)
    assert (code, summary["error"]) == (0, None)
    assert summary["replaces"] > 0
    assert summary["open_orders"] == 4


def test_numbers_in_a_file_let_it_come_back(start, tmp_path, venue_and_port):
    numbers = tmp_path / "numbers"
    for _ in range(2):
        code, summary = summary_of(start("broker.py", "--orders=3", "--rate=0", f"--numbers={numbers}"))
        assert (code, summary["acks"]) == (0, 3)
    first, second = venue_and_port[0].logons
    assert int(first[34]) == 1
    assert int(second[34]) > 4
    assert 141 not in second


def test_a_wrong_password_is_told_and_is_a_failure(start):
    code, summary = summary_of(start("broker.py", "--orders=3", password="guessed"))
    assert code == 1
    assert "wrong password" in summary["error"]


def test_no_venue_is_told_and_is_a_failure(start):
    code, summary = summary_of(start("broker.py", "--orders=3", "--wait=0", "--port=1"))
    assert code == 1
    assert summary["orders"] == 0
    assert summary["error"]


def test_a_summary_in_a_file_has_every_sample(start, tmp_path):
    process = start("broker.py", "--orders=5", "--rate=0", f"--json={tmp_path / 'summary.json'}")
    assert process.wait(30) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert len(summary["ack_us"]) == summary["orders"] + summary["cancels"] + summary["replaces"]
