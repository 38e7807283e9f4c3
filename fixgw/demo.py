"""`fixgw demo`: a whole exchange on this machine, brokers that trade through FIX, a vendor that watches the feed.

The exchange runs in this process, exactly as `fixgw up` runs it. Two brokers, a market maker and the vendor are the
example programs, each a process of its own that reaches the exchange the way anybody would: TCP and multicast. When it
ends, the books that an independent reader rebuilds from the recorded feed are compared with the engines' own.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final, NamedTuple

import trio

from fixgw import up
from fixgw.auth import HASHER
from fixgw.config import Config, Session
from fixgw.interface import interface_of
from fixgw.overview import table

EXAMPLES: Final = Path(__file__).resolve().parents[1] / "examples"
_SECOND: Final = 1_000_000_000

#: How long the programs may take to begin, on a busy machine.
_BEGIN_SECONDS: Final = 15
#: How long what is under way at the end may take: brokers log out, the feed becomes silent.
_LOGOUT_SECONDS: Final = 10
_SETTLE_SECONDS: Final = 10
_POLL_SECONDS: Final = 0.05

NEXT_STEPS: Final = """\
Brokers trade and a vendor watches; Ctrl-C ends it and judges the books. Afterwards, for your own broker:
  mkdir -p var && cp conf/exchange.yaml var/     a file of your own
  ./run fixgw hash-password                      a password for a session in it
  ./run fixgw up var/exchange.yaml               the exchange alone"""

#: Orders per second of one example broker: lively to watch, and far from what the exchange can do.
_BROKER_RATE: Final = 60
_QUOTE_RATE: Final = 40


class _Program(NamedTuple):
    name: str
    process: subprocess.Popen[bytes]


class DemoFailed(Exception):
    """The demo could not be run; the text says why and what to do."""


def demo(config: Config, *, seconds: float | None, json_file: Path | None, record: Path | None) -> int:
    """Run the demo for so many seconds, or until Ctrl-C. Returns the exit code."""
    if not EXAMPLES.is_dir():
        print(f"the demo needs the example programs, expected in {EXAMPLES}: run it from a checkout", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="fixgw-demo-") as directory:
        summary: dict[str, Any] = {}
        try:
            summary = trio.run(_demo, config, Path(directory), seconds, record)
        except* (DemoFailed, OSError) as failures:
            for failure in up.leaves(failures):
                print(f"fixgw demo: {failure}", file=sys.stderr)
        if not summary:
            return 1
    _print_summary(summary)
    if json_file is not None:
        json_file.write_text(json.dumps(summary, indent=1) + "\n")
    return 0 if summary["books_equal"] else 1


async def _demo(config: Config, directory: Path, seconds: float | None, record: Path | None) -> dict[str, Any]:
    passwords = {session.sender_comp_id: secrets.token_urlsafe(12) for session in config.sessions}
    config = _demo_config(config, directory / "data", passwords)
    recordings = record or directory / "recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    summary: dict[str, Any] = {}
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            exchange: up.Exchange = await nursery.start(up.run_exchange, config)
            print(f"{table(config)}\n\n{NEXT_STEPS}\n", flush=True)
            began = time.time()
            vendor = _start_vendor(config, recordings, directory)
            brokers = _start_brokers(config, passwords, directory)
            try:
                with trio.move_on_after(seconds if seconds is not None else float("inf")):
                    await _until_signal_or_end(signals, [*brokers, vendor])
                await _until_begun(exchange, recordings, began)
                summary = await _finish(exchange, brokers, vendor, recordings, directory)
            finally:
                for program in (*brokers, vendor):
                    if program.process.poll() is None:
                        program.process.kill()
                        program.process.wait()
            nursery.cancel_scope.cancel()
    return summary


def _demo_config(config: Config, data: Path, passwords: Mapping[str, str]) -> Config:
    """The configuration with a directory, a link key and passwords that live as long as the demo."""
    data.mkdir(parents=True)
    venue = config.venue.model_copy(update={"data": data, "link_key_file": data / "link.key"})
    hashes = {name: HASHER.hash(password) for name, password in passwords.items()}
    return config.model_copy(update={"venue": venue}).with_passwords(hashes)


async def _until_signal_or_end(signals: Any, programs: Sequence[_Program]) -> None:
    """Returns at a signal. Raises DemoFailed when a program ends by itself."""

    async def watch() -> None:
        while True:
            for program in programs:
                if program.process.poll() is not None:
                    raise DemoFailed(f"{program.name} ended with exit code {program.process.returncode}")
            await trio.sleep(_POLL_SECONDS)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async for _ in signals:
            nursery.cancel_scope.cancel()
            return


async def _until_begun(exchange: "up.Exchange", recordings: Path, began: float) -> None:
    """Every broker is logged on and the vendor hears the feed: what has not begun cannot end in order."""

    def begun() -> bool:
        logged_on = sum(len(gateway.connections) for gateway in exchange.gateways.values())
        recorded = sum(path.stat().st_mtime >= began for path in recordings.iterdir())
        return logged_on == len(exchange.config.sessions) and recorded >= len(exchange.config.feed.channels)

    with trio.move_on_after(_BEGIN_SECONDS):
        while not begun():  # noqa: ASYNC110 - no event tells what other processes do
            await trio.sleep(_POLL_SECONDS)


def _start_vendor(config: Config, recordings: Path, directory: Path) -> _Program:
    command: list[str] = [sys.executable, str(EXAMPLES / "vendor.py"), "--interface", interface_of(config)]
    for channel in config.feed.channels:
        lines = [str(channel.lines[line]) for line in sorted(channel.lines)]
        requests = [
            str(each.requests[channel.shard]) for each in config.feed.publishers if channel.shard in each.requests
        ]
        command += ["--channel", ",".join([channel.shard, *lines, *requests])]
    command += ["--record", str(recordings), "--json", str(directory / "vendor.json")]
    return _Program("the vendor", _spawn(command, None))


def _start_brokers(config: Config, passwords: Mapping[str, str], directory: Path) -> list[_Program]:
    """One program per session: the first makes markets in everything, the others trade."""
    if len(config.sessions) < 3:
        raise DemoFailed("the demo wants at least three sessions in the configuration")
    symbols = [instrument.symbol for instrument in config.instruments]
    programs = []
    for at, session in enumerate(config.sessions):
        name = "market_maker.py" if at == 0 else "broker.py"
        command = _broker_command(config, session, EXAMPLES / name)
        for symbol in symbols:
            command += ["--symbol", symbol]
        command += ["--rate", str(_QUOTE_RATE if at == 0 else _BROKER_RATE), "--seed", str(at)]
        command += ["--json", str(directory / f"{session.sender_comp_id}.json")]
        programs.append(_Program(session.sender_comp_id, _spawn(command, passwords[session.sender_comp_id])))
    return programs


def _broker_command(config: Config, session: Session, program: Path) -> list[str]:
    address = config.gateway(session.gateway).fix
    return [
        sys.executable,
        str(program),
        *("--host", address.host, "--port", str(address.port)),
        *("--sender", session.sender_comp_id, "--target", config.venue.comp_id),
        *("--username", session.username, "--version", session.begin_string),
    ]


def _spawn(command: Sequence[str], password: str | None) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    environment.pop("PYTHONSAFEPATH", None)  # set where our packages are compiled; the programs import one another
    if password is not None:
        environment["FIXGW_PASSWORD"] = password
    # A session of its own: Ctrl-C is for the demo, which ends its programs in order.
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


async def _finish(
    exchange: "up.Exchange", brokers: Sequence[_Program], vendor: _Program, recordings: Path, directory: Path
) -> dict[str, Any]:
    """Brokers log out, the streams run dry, the vendor writes its summary; then everything is compared."""
    for program in brokers:
        program.process.terminate()
    await _wait_for(brokers, _LOGOUT_SECONDS)
    with trio.move_on_after(_SETTLE_SECONDS):
        await exchange.wait_quiet()
    vendor.process.terminate()
    await _wait_for([vendor], _LOGOUT_SECONDS)
    results = [json.loads((directory / f"{program.name}.json").read_text()) for program in brokers]
    watched = json.loads((directory / "vendor.json").read_text())
    books = exchange.books()
    recorded = [recordings / f"{name}-{channel['session']}.itch" for name, channel in watched["channels"].items()]
    return {
        **_totals(results),
        "itch_messages": sum(channel["itch_messages"] for channel in watched["channels"].values()),
        "gaps_found": sum(channel["gaps_found"] for channel in watched["channels"].values()),
        "gaps_filled": sum(channel["gaps_filled"] for channel in watched["channels"].values()),
        "books_equal": _judged(recorded) == books,
        "price_levels": sum(len(levels) for book in books.values() for levels in book.values()),
        "trades": exchange.trades(),
        "recordings": sorted(str(path) for path in recorded),
    }


async def _wait_for(programs: Sequence[_Program], seconds: float) -> None:
    """Until all have ended. Raises DemoFailed when one does not, or ended badly."""
    deadline = time.monotonic() + seconds
    for program in programs:
        while program.process.poll() is None:
            if time.monotonic() > deadline:
                raise DemoFailed(f"{program.name} did not end within {seconds} s of being asked to")
            await trio.sleep(_POLL_SECONDS)
        if program.process.returncode != 0:
            raise DemoFailed(f"{program.name} ended with exit code {program.process.returncode}")


def _totals(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    latencies = sorted(value for result in results for value in result["ack_us"])
    return {
        "orders": sum(result["orders"] for result in results),
        "rejects": sum(result["rejects"] for result in results),
        "fills": sum(result["fills"] for result in results),
        "ack_us_p50": latencies[len(latencies) // 2] if latencies else None,
        "ack_us_p99": latencies[len(latencies) * 99 // 100] if latencies else None,
    }


def _judged(recordings: Sequence[Path]) -> dict[str, dict[str, list[list[int]]]]:
    """The books as the independent reader among the examples finds them in the recordings, by symbol."""
    spec = spec_from_file_location("itch_judge", EXAMPLES / "itch_judge.py")
    assert spec is not None
    assert spec.loader is not None
    judge = module_from_spec(spec)
    spec.loader.exec_module(judge)
    books: dict[str, dict[str, list[list[int]]]] = {}
    for path in recordings:
        for symbol, book in judge.read_books(path).items():
            books[symbol] = {
                "bids": [list(level) for level in book["bids"]],
                "asks": [list(level) for level in book["asks"]],
            }
    return books


def _time(microseconds: float | None) -> str:
    return "no time" if microseconds is None else f"{microseconds:,.0f} µs"


def _print_summary(summary: Mapping[str, Any]) -> None:
    print(
        f"\n{summary['orders']:,} orders, {summary['trades']:,} trades, {summary['itch_messages']:,} feed messages"
        f"\nacknowledged in {_time(summary['ack_us_p50'])} (median), {_time(summary['ack_us_p99'])} (99 of 100)"
        f"\ngaps in the feed: {summary['gaps_found']} found, {summary['gaps_filled']} filled"
        f"\nbooks rebuilt from the recorded feed equal the engines': {'yes' if summary['books_equal'] else 'NO'}"
    )
