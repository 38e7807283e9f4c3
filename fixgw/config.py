"""What an exchange is made of: one YAML file, read strictly into frozen models.

``load(file)`` gives a Config or raises ConfigError with every error at once, each as
``file:line:column: path: what is wrong``. Three sieves, in this order: strict_yaml (the text), the models here (each
value by itself), config_checks (what must hold between values). The last two both run whatever the other finds.

Units: prices are int in 1/10,000 of the currency (``tick_size: 0.01`` is 100), quantities int shares, times as named.
Paths in the file are taken from the file's own directory, so it does not matter where a process is started.
What each key means to an operator is in conf/README.md; a worked file is conf/exchange.yaml.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Protocol, TypeVar

from pydantic import Field, ValidationError

from fixgw import config_checks, config_explain, config_market_checks, strict_yaml
from fixgw.config_market import Calendar, CircuitBreaker, Protection, SelfMatch, TickTable
from fixgw.config_shards import Coordination, Model, Shard
from fixgw.config_values import (
    Address as Address,  # part of what this module offers
)
from fixgw.config_values import (
    AnyAddress,
    CompId,
    FilePath,
    GatewayId,
    HostAddress,
    Id16,
    Id32,
    Interface,
    Line,
    Mpid,
    Name,
    Network,
    PasswordHash,
    Price,
    Quantity,
    Symbol,
    Sync,
    TimeZone,
    Username,
    WallClock,
)


class TradingDay(Model):
    """When one trading day ends and the next begins."""

    time_zone: TimeZone
    rolls_at: WallClock


class Venue(Model):
    """The exchange as a whole."""

    comp_id: CompId  # SenderCompID(49) of everything we send
    data: FilePath  # directory of all journals
    interface: Interface  # multicast is sent and received here: an address of this host, or the network it is on
    link_key_file: FilePath  # the secret by which gateways log in to shards
    trading_day: TradingDay
    # of every instrument that names none
    calendar: Name | None = None
    protection: Name | None = None
    tick_table: Name | None = None
    circuit_breaker: CircuitBreaker | None = None  # with which a day begins


class Instrument(Model):
    """A symbol, its shard, and the steps of its prices and quantities."""

    symbol: Symbol
    id: Id16  # ITCH Stock Locate
    shard: Name
    tick_size: Price
    lot_size: Quantity = 1
    round_lot: Quantity = 100  # ITCH R Round Lot Size: told to vendors, enforced by nobody
    # None: the venue's
    calendar: Name | None = None
    protection: Name | None = None
    tick_table: Name | None = None
    reference_price: Price | None = None  # until the first auction has made one


class _Reader(Model):
    """A process that reads shard streams; ``streams`` says where, when not at the shard's own group."""

    name: Name
    streams: dict[Name, AnyAddress] = Field(default_factory=dict)


class Retransmitter(_Reader):
    """Keeps the messages of the day of some shards and answers whoever missed some."""

    shards: tuple[Name, ...]
    address: HostAddress


class Gateway(_Reader):
    """Where brokers connect; reads every shard's stream."""

    source_id: GatewayId
    fix: HostAddress
    sync: Sync = "write"


class Ledger(_Reader):
    """Keeps what every participant was told, over all days, in a database; reads every shard's stream."""

    sync: Sync = "write"


class Channel(Model):
    """One shard's market data: an ITCH stream on one or two lines that carry the same."""

    shard: Name
    lines: dict[Line, AnyAddress]


class Publisher(_Reader):
    """Sends one line of every channel and serves its MoldUDP64 requests, per shard at an address of its own."""

    line: Line
    requests: dict[Name, HostAddress]
    allow: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"),)  # who may ask: an open server amplifies


class Feed(Model):
    """Market data: which channels exist and who publishes them."""

    channels: tuple[Channel, ...]
    publishers: tuple[Publisher, ...]


class Participant(Model):
    """A firm that trades."""

    id: Id32
    name: Name
    mpid: Mpid
    attributed: bool = False  # show the mpid with its orders on the feed (ITCH F instead of A)
    self_match: SelfMatch | None = None  # None: its orders trade with each other


class RateLimit(Model):
    """A token bucket: so many orders a second on average, so many at once."""

    orders_per_second: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1_000
    burst: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 2_000


class Session(Model):
    """A FIX session: the pair (sender_comp_id, venue.comp_id) of one participant on one gateway."""

    id: Id32  # never used again for another session: the shards remember it
    sender_comp_id: CompId  # the broker's SenderCompID(49)
    participant: Name
    gateway: Name
    begin_string: Literal["FIX.4.2", "FIX.4.4"]
    username: Username
    password_hash: PasswordHash  # None: every logon is refused
    cancel_on_disconnect: Annotated[bool, Field(strict=True)] = False  # when the session or its gateway is lost
    rate_limit: RateLimit = RateLimit()
    allow: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"),)

    def allows(self, host: str) -> bool:
        """May the peer at this IP address log on? False too for what is not an IP address."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.allow)


Role = Literal["shard", "retransmitter", "publisher", "ledger", "gateway"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def _find(items: Iterable[_T], kind: str, name: str) -> _T:
    found = {item.name: item for item in items}
    if name not in found:
        raise LookupError(f"no {kind} is named {name!r}; there are: {', '.join(found) or 'none'}")
    return found[name]


class Config(Model):
    """The whole exchange. Look-ups by name raise LookupError, whose text names what there is."""

    venue: Venue
    coordinator: Coordination = Coordination()
    shards: tuple[Shard, ...]
    instruments: tuple[Instrument, ...]
    calendars: tuple[Calendar, ...] = ()
    protections: tuple[Protection, ...] = ()
    tick_tables: tuple[TickTable, ...] = ()
    retransmitters: tuple[Retransmitter, ...] = ()
    ledgers: tuple[Ledger, ...] = ()
    gateways: tuple[Gateway, ...]
    feed: Feed = Feed(channels=(), publishers=())
    participants: tuple[Participant, ...]
    sessions: tuple[Session, ...]

    def shard(self, name: str) -> Shard:
        return _find(self.shards, "shard", name)

    def replica(self, process: str) -> tuple[Shard, int]:
        """Whose process is called so, ``s1`` or ``s2.3``: the shard, and which replica of it."""
        for shard in self.shards:
            if process in shard.processes:
                return shard, shard.processes[process]
        there = [name for shard in self.shards for name in shard.processes]
        raise LookupError(f"no shard process is named {process!r}; there are: {', '.join(there)}")

    def gateway(self, name: str) -> Gateway:
        return _find(self.gateways, "gateway", name)

    def retransmitter(self, name: str) -> Retransmitter:
        return _find(self.retransmitters, "retransmitter", name)

    def ledger(self, name: str) -> Ledger:
        return _find(self.ledgers, "ledger", name)

    def publisher(self, name: str) -> Publisher:
        return _find(self.feed.publishers, "publisher", name)

    def participant(self, name: str) -> Participant:
        return _find(self.participants, "participant", name)

    def instrument(self, symbol: str) -> Instrument:
        found = {instrument.symbol: instrument for instrument in self.instruments}
        if symbol not in found:
            raise LookupError(f"no instrument is called {symbol!r}; there are: {', '.join(found) or 'none'}")
        return found[symbol]

    def session(self, sender_comp_id: str) -> Session:
        found = {session.sender_comp_id: session for session in self.sessions}
        if sender_comp_id not in found:
            raise LookupError(f"no session is called {sender_comp_id!r}; there are: {', '.join(found) or 'none'}")
        return found[sender_comp_id]

    def calendar_of(self, instrument: Instrument) -> Calendar | None:
        """Its own, or the venue's; None: it is open all day."""
        name = instrument.calendar or self.venue.calendar
        return _find(self.calendars, "calendar", name) if name else None

    def protection_of(self, instrument: Instrument) -> Protection | None:
        name = instrument.protection or self.venue.protection
        return _find(self.protections, "protection", name) if name else None

    def tick_table_of(self, instrument: Instrument) -> TickTable | None:
        name = instrument.tick_table or self.venue.tick_table
        return _find(self.tick_tables, "tick table", name) if name else None

    def instruments_of(self, shard: str) -> tuple[Instrument, ...]:
        """The instruments that live on this shard, in file order."""
        return tuple(instrument for instrument in self.instruments if instrument.shard == shard)

    def sessions_of(self, gateway: str) -> tuple[Session, ...]:
        """The sessions that log on at this gateway, in file order."""
        return tuple(session for session in self.sessions if session.gateway == gateway)

    def channel_of(self, shard: str) -> Channel | None:
        """The market data channel of this shard, if it has one."""
        return next((channel for channel in self.feed.channels if channel.shard == shard), None)

    def retransmit_servers(self, shard: str) -> tuple[Address, ...]:
        """Whom to ask for what was missed, in this order: the retransmitters first, the shard's own replicas last."""
        servers = [server.address for server in self.retransmitters if shard in server.shards]
        return (*servers, *(member.retransmit for member in self.shard(shard).members.values()))

    def stream_address(self, reader: Retransmitter | Gateway | Publisher | Ledger, shard: str) -> Address:
        """Where this reader hears this shard's stream: its own entry in ``streams``, else the shard's group."""
        return reader.streams.get(shard) or self.shard(shard).stream[0]

    def processes(self) -> tuple[tuple[Role, str], ...]:
        """Every process of the exchange by role and name, in an order that is good to start them in."""
        named: list[tuple[Role, str]] = [("shard", name) for shard in self.shards for name in shard.processes]
        named += [("retransmitter", each.name) for each in self.retransmitters]
        named += [("publisher", each.name) for each in self.feed.publishers]
        named += [("ledger", each.name) for each in self.ledgers]
        named += [("gateway", each.name) for each in self.gateways]
        return tuple(named)

    def require(self, role: Role, name: str) -> None:
        """Raises LookupError when the exchange has no such process."""
        if role == "shard":
            self.replica(name)
        else:
            getattr(self, role)(name)

    def directory(self, role: Role, name: str) -> Path:
        """Where the process of this role and name keeps its files."""
        return self.venue.data / f"{role}-{name}"

    def with_passwords(self, hashes: Mapping[str, str]) -> "Config":
        """A copy in which these sessions (by sender_comp_id) have these argon2id hashes. Raises LookupError."""
        unknown = hashes.keys() - {session.sender_comp_id for session in self.sessions}
        if unknown:
            raise LookupError(f"no session has the sender_comp_id {', '.join(sorted(unknown))}")
        sessions = tuple(
            session.model_copy(update={"password_hash": hashes.get(session.sender_comp_id, session.password_hash)})
            for session in self.sessions
        )
        return self.model_copy(update={"sessions": sessions})


class ConfigError(ValueError):
    """The file does not describe an exchange. ``errors`` holds every reason, each with its place, in file order."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class Report(NamedTuple):
    """What ``check`` found: ``config`` is None exactly when there are errors."""

    config: Config | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def load(file: Path) -> Config:
    """Read a configuration. Raises ConfigError, also when the file cannot be read."""
    report = check(file)
    if report.config is None:
        raise ConfigError(report.errors)
    return report.config


def check(file: Path) -> Report:
    """Read a configuration and say everything that is wrong or doubtful about it, with places. Never raises."""
    try:
        document = strict_yaml.read(file)
    except OSError as error:
        return Report(None, (f"{file}:1:1: cannot be read: {error.strerror}",), ())
    except strict_yaml.StrictYamlError as error:
        return Report(None, tuple(problem.describe(str(file)) for problem in error.problems), ())
    config, problems = None, [*config_checks.cross_check(document), *config_market_checks.cross_check(document)]
    try:
        config = Config.model_validate(document.value, context={"directory": file.resolve().parent})
    except ValidationError as error:
        problems += config_explain.explain(document, error, Config)
    errors = tuple(problem.describe(str(file)) for problem in strict_yaml.in_order(problems))
    doubts = strict_yaml.in_order([*config_checks.doubts(document), *config_market_checks.doubts(document)])
    warnings = tuple(problem.describe(str(file), "warning: ") for problem in doubts)
    return Report(None if errors else config, errors, warnings)
