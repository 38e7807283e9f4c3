"""The command ``fixgw``.

Each sub-command is one function of its arguments that returns the exit code: 0 it went well, 1 it did not, 2 the
arguments make no sense, 78 the configuration it was to run is wrong. What a sub-command needs is imported when it runs:
``check`` is done before trio would have been loaded, and a machine that only runs the exchange never loads the demo.
"""

import argparse
import getpass
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from fixgw import __version__
from fixgw.restarts import WRONG_CONFIGURATION

if TYPE_CHECKING:
    from fixgw.config import Config

ROLES = ("shard", "gateway", "publisher", "ledger", "retransmitter")

DEMO_FILE = Path(__file__).resolve().parents[1] / "conf" / "exchange.yaml"

MAX_LEVELS = 500  # of each side of a book, in one answer

MAX_PASSWORD_BYTES = 128  # what a gateway takes from Password(554)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        return 130  # the shell's number for a program ended by Ctrl-C


def parser() -> argparse.ArgumentParser:
    """Every sub-command and its arguments; ``command`` is the function that does it."""
    top = argparse.ArgumentParser(prog="fixgw", description="An exchange: FIX in, matched, multicast out, ITCH out.")
    top.add_argument("--version", action="version", version=f"fixgw {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="is this configuration right? every error, with its line")
    check.add_argument("--market", action="store_true", help="show calendars, protections and ticks as they hold")
    check.add_argument("--day", type=_date, metavar="YYYY-MM-DD", help="on this trading day, not today's")
    check.add_argument("file", type=Path, metavar="FILE", help="such as conf/exchange.yaml")
    check.set_defaults(command=_check)

    hash_password = commands.add_parser("hash-password", help="make a password_hash for the configuration")
    hash_password.set_defaults(command=_hash_password)

    up = commands.add_parser("up", help="run a whole exchange, in this process or in many")
    up.add_argument("--processes", action="store_true", help="each role as a process that is started again if it ends")
    up.add_argument("file", type=Path, metavar="FILE")
    up.set_defaults(command=_up)

    run = commands.add_parser("run", help="run one role as its own process")
    run.add_argument("role", choices=ROLES, metavar="ROLE", help=", ".join(ROLES))
    run.add_argument("--name", required=True, help="which one of that role, as the configuration names it")
    run.add_argument("--supervised", action="store_true", help="end when standard input ends")
    run.add_argument("file", type=Path, metavar="FILE")
    run.set_defaults(command=_run)

    rebuild = commands.add_parser("rebuild", help="let a replica fetch everything from the others at its next start")
    rebuild.add_argument("name", metavar="NAME", help="of a shard's process, such as s1.2")
    rebuild.add_argument("file", type=Path, metavar="FILE")
    rebuild.set_defaults(command=_rebuild)

    record = commands.add_parser("record", help="make a shard's record at the coordinator again, after it was lost")
    record.add_argument("shard", metavar="SHARD", help="all of whose replicas are stopped")
    record.add_argument("--epoch", type=_positive, required=True, metavar="N", help="the highest that any has promised")
    record.add_argument("file", type=Path, metavar="FILE")
    record.set_defaults(command=_record)

    _add_query(commands.add_parser("query", help="what a running exchange holds, from a majority of its replicas"))
    _add_operate(
        commands.add_parser("operate", help="halt, resume, cancel, block, bust: commands to a running exchange")
    )

    _add_ledger(commands.add_parser("ledger", help="a participant's fills, orders and their history over all days"))

    demo = commands.add_parser("demo", help="a whole exchange with brokers trading and a vendor watching")
    demo.add_argument("file", type=Path, nargs="?", metavar="FILE", help="instead of conf/exchange.yaml")
    demo.add_argument("--seconds", type=_seconds, metavar="N", help="stop after so long instead of at Ctrl-C")
    demo.add_argument("--json", type=Path, metavar="FILE", help="write the summary here")
    demo.add_argument("--record", type=Path, metavar="DIR", help="keep every feed channel here as a BinaryFILE")
    demo.set_defaults(command=_demo)
    return top


def _add_query(query: argparse.ArgumentParser) -> None:
    """``fixgw query FILE WHAT …``."""
    query.add_argument("file", type=Path, metavar="FILE")
    query.set_defaults(command=_query)
    questions = query.add_subparsers(required=True, dest="what", metavar="WHAT")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="for programs")
    common.add_argument("--timeout", type=_seconds, default=5.0, metavar="SECONDS", help="for each answer of a shard")

    for what, text in (("orders", "a participant's open orders"), ("fills", "a participant's trades of the day")):
        of_participant = questions.add_parser(what, parents=[common], help=text)
        of_participant.add_argument("--participant", required=True, metavar="NAME")
    order = questions.add_parser("order", parents=[common], help="one order, open or closed today")
    order.add_argument("id", metavar="ID", help="OrderID(37); with --session a ClOrdID(11)")
    order.add_argument("--session", metavar="SENDER", help="the SenderCompID(49) whose ClOrdID(11) it is")
    book = questions.add_parser("book", parents=[common], help="the best levels of a symbol's book")
    book.add_argument("symbol", metavar="SYMBOL")
    book.add_argument("--levels", type=_levels, default=10, metavar="N", help=f"of each side; 10, at most {MAX_LEVELS}")
    for what, text in (("digest", "a number for all that a shard holds"), ("position", "how far each replica is")):
        of_shard = questions.add_parser(what, parents=[common], help=text)
        of_shard.add_argument("--shard", metavar="NAME", help="this shard alone")


def _add_ledger(ledger: argparse.ArgumentParser) -> None:
    """``fixgw ledger FILE WHAT PARTICIPANT …``."""
    ledger.add_argument("file", type=Path, metavar="FILE")
    ledger.set_defaults(command=_ledger)
    questions = ledger.add_subparsers(required=True, dest="what", metavar="WHAT")
    for what, text in (
        ("fills", "every trade, also those that were undone"),
        ("orders", "every order, as it is or as it ended"),
        ("history", "everything the participant was told"),
    ):
        question = questions.add_parser(what, help=text)
        question.add_argument("participant", metavar="PARTICIPANT")
        question.add_argument("--day", metavar="D", help="of this day, such as 2025-11-21")
        question.add_argument("--symbol", metavar="S", help="of this symbol")
        question.add_argument("--ledger", metavar="NAME", help="another than the first of the configuration")
        question.add_argument("--json", action="store_true", help="for programs")


def _add_operate(operate: argparse.ArgumentParser) -> None:
    """``fixgw operate FILE WHAT …``."""
    operate.add_argument("file", type=Path, metavar="FILE")
    operate.set_defaults(command=_operate)
    tasks = operate.add_subparsers(required=True, dest="what", metavar="WHAT")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="for programs")
    common.add_argument("--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="for a shard to confirm it")
    reason = argparse.ArgumentParser(add_help=False)
    reason.add_argument(
        "--reason", default="", metavar="CODE", help="told to vendors: a reason code of ITCH, such as T1"
    )

    def add(what: str, text: str, *positional: str, why: bool = False) -> argparse.ArgumentParser:
        task = tasks.add_parser(what, parents=[common, reason] if why else [common], help=text)
        for name in positional:
            task.add_argument(name, metavar=name.upper())
        return task

    add("halt", "no orders, no trades; cancels only", "symbol", why=True)
    add("resume", "trade again, after an auction where there is one after halts", "symbol", why=True)
    add("quote-only", "take orders and trade none", "symbol", why=True)
    phase = add("phase", "begin a phase now; an auction that is on ends in its uncross", why=True)
    phase.add_argument("symbol", metavar="SYMBOL|all")
    phase.add_argument("phase", metavar="PHASE", help="such as continuous or closing_auction")
    cancel = add("cancel", "cancel open orders")
    for name, text in (
        ("participant", "a firm's"),
        ("session", "a session's, by SenderCompID(49)"),
        ("symbol", "of it"),
    ):
        cancel.add_argument(f"--{name}", metavar=name.upper(), help=text)
    cancel.add_argument("--side", choices=("buy", "sell"))
    cancel.add_argument("--all", action="store_true", help="every order there is")
    for what, text in (("block", "refuse a firm's orders and cancel what it has open"), ("unblock", "take them again")):
        add(what, text, "participant").add_argument("--session", metavar="SENDER", help="this session's alone")
    add("bust", "undo a trade of the day").add_argument(
        "match", type=_positive, metavar="MATCH", help="its match number"
    )
    add("reference-price", "what bands and fat-finger limits refer to", "symbol").add_argument("price", type=_price)
    breaker = add("breaker", "a level of the circuit breaker is reached: halt everything")
    breaker.add_argument("level", type=int, choices=(1, 2, 3))
    levels = add("breaker-levels", "say the levels of the circuit breaker for today")
    levels.add_argument("levels", type=_level, nargs=3, metavar="LEVEL", help="the highest first")
    add("snapshot", "have a backup make a snapshot now").add_argument("--shard", metavar="NAME", help="this one alone")


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: write it as 2025-11-21") from None


def _price(text: str) -> int:
    """In 1/10,000."""
    return _scaled(text, 10_000)


def _level(text: str) -> int:
    """In 1/10^8."""
    return _scaled(text, 100_000_000)


def _scaled(text: str, scale: int) -> int:
    try:
        scaled = Decimal(text) * scale
        if scaled == scaled.to_integral_value() and 0 < scaled < 2**63:
            return int(scaled)
    except InvalidOperation:  # or a number without end
        pass
    decimals = len(str(scale)) - 1
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 with at most {decimals} decimals")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(text)) <= 86_400:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, a day's at most")


def _levels(text: str) -> int:
    with suppress(ValueError):
        if 1 <= (levels := int(text)) <= MAX_LEVELS:
            return levels
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MAX_LEVELS}")


def _positive(text: str) -> int:
    with suppress(ValueError):
        if (number := int(text)) > 0:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")


def _check(options: argparse.Namespace) -> int:
    from fixgw import config

    report = config.check(options.file)
    for line in (*report.errors, *report.warnings):
        print(line)
    if report.config is None:
        print(f"{options.file}: {_count(len(report.errors), 'error')}")
        return 1
    counts = (
        _count(len(report.config.shards), "shard"),
        _count(len(report.config.instruments), "instrument"),
        _count(len(report.config.gateways), "gateway"),
        _count(len(report.config.sessions), "session"),
    )
    print(f"{options.file}: ok: {', '.join(counts)}")
    if options.market or options.day is not None:
        from fixgw.market_overview import overview

        print(overview(report.config, options.day or _today(report.config)))
    return 0


def _today(config: "Config") -> date:
    """The date of the trading day that is on."""
    trading_day = config.venue.trading_day
    now = datetime.now(ZoneInfo(trading_day.time_zone))
    return now.date() if now.time() >= trading_day.rolls_at else now.date() - timedelta(days=1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _hash_password(_options: argparse.Namespace) -> int:
    from fixgw.auth import HASHER

    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            return _complain("the two passwords differ")
    else:
        password = sys.stdin.readline().removesuffix("\n")
    if not password:
        return _complain("the password is empty")
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        return _complain(f"the password is longer than {MAX_PASSWORD_BYTES} bytes")
    if not password.isascii() or not password.isprintable():
        return _complain("the password holds characters that FIX cannot carry everywhere: use printable ASCII")
    print(HASHER.hash(password))
    return 0


def _up(options: argparse.Namespace) -> int:
    config = _load(options.file)
    if config is None:
        return WRONG_CONFIGURATION
    if options.processes:
        return int(_function("fixgw.supervisor", "supervise")(config, options.file))
    return int(_function("fixgw.up", "up")(config))


def _run(options: argparse.Namespace) -> int:
    config = _load(options.file)
    if config is None:
        return WRONG_CONFIGURATION
    try:
        config.require(options.role, options.name)
    except LookupError as error:
        _complain(str(error))
        return WRONG_CONFIGURATION
    return int(_function("fixgw.up", "run")(config, options.role, options.name, supervised=options.supervised))


def _rebuild(options: argparse.Namespace) -> int:
    config = _load(options.file)
    return WRONG_CONFIGURATION if config is None else int(_function("fixgw.rebuild", "rebuild")(config, options.name))


def _record(options: argparse.Namespace) -> int:
    config = _load(options.file)
    if config is None:
        return WRONG_CONFIGURATION
    return int(_function("fixgw.record", "record")(config, options.shard, options.epoch))


def _query(options: argparse.Namespace) -> int:
    config = _load(options.file)
    return 1 if config is None else int(_function("fixgw.query", "query")(config, options))


def _ledger(options: argparse.Namespace) -> int:
    config = _load(options.file)
    return 1 if config is None else int(_function("fixgw.ledger_query", "query")(config, options))


def _operate(options: argparse.Namespace) -> int:
    config = _load(options.file)
    return 1 if config is None else int(_function("fixgw.operate", "run")(config, options))


def _demo(options: argparse.Namespace) -> int:
    config = _load(options.file or DEMO_FILE)
    if config is None:
        return WRONG_CONFIGURATION
    demo = _function("fixgw.demo", "demo")
    return int(demo(config, seconds=options.seconds, json_file=options.json, record=options.record))


def _function(module: str, name: str) -> Callable[..., Any]:
    """A function of a module that is loaded only now."""
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _load(file: Path) -> "Config | None":
    """The configuration; None after its errors were told."""
    from fixgw import config

    try:
        return config.load(file)
    except config.ConfigError as error:
        print(*error.errors, sep="\n", file=sys.stderr)
        return None


def _complain(text: str) -> int:
    print(f"fixgw: {text}", file=sys.stderr)
    return 1
