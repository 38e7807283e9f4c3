"""The values a configuration is written in: addresses, prices, names, hashes, times of day.

Each validator takes what strict_yaml gives (text, int, Decimal, list) and returns the value as the code uses it, or
raises ValueError with the words an operator reads after ``file:line:column: path: ``.
"""

import contextlib
import datetime
import ipaddress
import re
import zoneinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import argon2
import argon2.exceptions
from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo

PRICE_SCALE = 10_000
MAX_PRICE = 200_000 * PRICE_SCALE  # the greatest Price(4) that ITCH 5.0 allows
LEVEL_SCALE = 100_000_000  # of ITCH 5.0's circuit breaker levels, Price(8)
MAX_VALUE = 10**15  # of one order, in the currency: no order that can be written is above it
MAX_SECONDS = 86_400  # of an auction: a day
MAX_QUANTITY = 2**31 - 1  # ITCH shares are 32 bits unsigned; one bit less keeps foreign signed readers right


class Address(NamedTuple):
    """A host (IPv4 or a name) and a port; being a pair it is what socket calls take as it stands."""

    host: str
    port: int

    @property
    def is_multicast(self) -> bool:
        """True when the host is a multicast group (224.0.0.0/4)."""
        return _is_ipv4(self.host) and ipaddress.IPv4Address(self.host).is_multicast

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: object) -> "Address":
        """Read ``host:port``. Raises ValueError that says what is wrong."""
        if isinstance(text, Address):
            return text
        if not isinstance(text, str):
            raise ValueError("must be host:port")
        host, colon, port = text.rpartition(":")
        if not colon or not host:
            raise ValueError(f"must be host:port, not {text!r}")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
            raise ValueError(f"port must be 1 to 65535, not {port!r}")
        if not _is_ipv4(host) and not _is_host_name(host):
            raise ValueError(f"{host!r} is neither an IPv4 address nor a host name")
        return cls(host, int(port))


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_host_name(host: str) -> bool:
    """RFC 1123 section 2.1; a name of digits and dots alone is a mistyped address."""
    labels = host.split(".")
    letters = host.isascii() and host.replace("-", "").replace(".", "").isalnum()
    return letters and len(host) <= 253 and not labels[-1].isdigit() and all(0 < len(label) < 64 for label in labels)


def _spelled(pattern: str, words: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"must be {words}, not {text!r}")
        return text

    return AfterValidator(check)


def _unicast(address: Address) -> Address:
    if address.is_multicast:
        raise ValueError(f"{address.host} is a multicast group; here it must be one host's address")
    return address


def _destinations(value: object) -> tuple[Address, ...]:
    addresses = tuple(Address.parse(item) for item in value) if isinstance(value, list) else (Address.parse(value),)
    if not addresses:
        raise ValueError("must name one multicast group, or a list of host:port")
    if isinstance(value, list) and any(address.is_multicast for address in addresses):
        raise ValueError("is either one multicast group or a list of hosts, not a list of groups")
    if not isinstance(value, list) and not addresses[0].is_multicast:
        raise ValueError(f"{value} is not multicast; write hosts as a list, [{value}]")
    return addresses


def _price(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a price such as 0.01")
    scaled = Fraction(value) * PRICE_SCALE
    if scaled.denominator != 1:
        raise ValueError(f"has more than four decimals: {value}")
    if not 0 < scaled <= MAX_PRICE:
        raise ValueError(f"must be above 0 and at most {MAX_PRICE // PRICE_SCALE}, not {value}")
    return int(scaled)


def _exact(value: object, scale: int, most: int, what: str) -> int:
    """A number above 0 in units of 1/`scale`. Never rounded: what has more decimals than there are is an error."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"must be {what}")
    scaled = Fraction(value) * scale
    if scaled.denominator != 1:
        raise ValueError(f"has more than {len(str(scale)) - 1} decimals: {value}")
    if not 0 < scaled <= most * scale:
        raise ValueError(f"must be above 0 and at most {most}, not {value}")
    return int(scaled)


def _percent(value: object) -> int:
    return _exact(value, 100, 100, "a percentage such as 2.5")


def _money(value: object) -> int:
    return _exact(value, PRICE_SCALE, MAX_VALUE, "an amount of money such as 5000000")


def _seconds(value: object) -> int:
    return _exact(value, 10**9, MAX_SECONDS, "a number of seconds such as 120")


def _level(value: object) -> int:
    return _exact(value, LEVEL_SCALE, 2**63 // LEVEL_SCALE, "an index level such as 4650.25")


def _password_hash(value: object) -> str | None:
    # Nothing here repeats the value: it may be a password written by mistake.
    if value is None:
        return None
    try:
        parameters = argon2.extract_parameters(value if isinstance(value, str) else "")
    except argon2.exceptions.InvalidHashError:
        raise ValueError("is not an argon2 hash; make one with: fixgw hash-password") from None
    if parameters.type is not argon2.Type.ID:
        raise ValueError("is not an argon2id hash; make one with: fixgw hash-password")
    return str(value)


def _network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if not isinstance(value, str):
        raise ValueError("must be a network such as 10.1.2.0/24")
    return ipaddress.ip_network(value)


def _interface(value: object) -> str:
    """An address of this host, or, where one file serves many hosts, the network in which each has one."""
    if isinstance(value, str) and _is_ipv4(value) and not ipaddress.IPv4Address(value).is_multicast:
        return value
    if isinstance(value, str) and "/" in value:
        return str(ipaddress.IPv4Network(value))
    raise ValueError(
        "must be the IPv4 address of one of this host's interfaces, such as 127.0.0.1, or the network it is on, such "
        "as 10.1.2.0/24"
    )


def _time_zone(value: object) -> str:
    try:
        zoneinfo.ZoneInfo(value if isinstance(value, str) else "")
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        raise ValueError(f"{value!r} is not a time zone known here, such as Europe/London or UTC") from None
    return str(value)


def _wall_clock(value: object) -> datetime.time:
    try:
        return datetime.datetime.strptime(value if isinstance(value, str) else "", "%H:%M").time()
    except ValueError:
        raise ValueError(f"must be a time of day such as 17:00, not {value!r}") from None


def _phase_time(value: object) -> datetime.time:
    """One way to write each time, so that none stands twice in a timetable: 09:00, and 09:00:30 with seconds only."""
    text = value if isinstance(value, str) else ""
    if re.fullmatch(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?", text) and not text.endswith(":00", 5):
        with contextlib.suppress(ValueError):
            return datetime.time.fromisoformat(text)
    raise ValueError(f"must be a time of day such as 09:00 or 09:00:30, not {value!r}")


def _date(value: object) -> datetime.date:
    text = value if isinstance(value, str) else ""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        with contextlib.suppress(ValueError):
            return datetime.date.fromisoformat(text)
    raise ValueError(f"must be a date such as 2026-12-24, not {value!r}")


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a path")
    directory = (info.context or {}).get("directory", Path.cwd())
    return Path(directory, Path(value).expanduser()).resolve()


Name = Annotated[str, _spelled(r"[A-Za-z][A-Za-z0-9_-]{0,31}", "up to 32 letters, digits, - and _, a letter first")]
Symbol = Annotated[str, _spelled(r"[A-Z]{1,8}", "one to eight capitals A-Z")]  # ITCH Stock
Mpid = Annotated[
    str, _spelled(r"[A-Z][A-Z0-9]{0,3}", "up to four capitals and digits, a capital first")
]  # ITCH Attribution
CompId = Annotated[str, _spelled(r"[!-<>-~]{1,32}", "1 to 32 printable ASCII characters without blank and =")]
Username = Annotated[str, _spelled(r"[!-<>-~]{1,64}", "1 to 64 printable ASCII characters without blank and =")]
ZooKeeperPath = Annotated[str, _spelled(r"(/[A-Za-z0-9_-]{1,64}){1,8}", "a ZooKeeper path such as /fixgw")]
Id16 = Annotated[int, Field(strict=True, ge=1, le=2**16 - 1)]
GatewayId = Annotated[int, Field(strict=True, ge=1, le=2**16 - 2)]  # the last one is the operator's
Id32 = Annotated[int, Field(strict=True, ge=1, le=2**32 - 1)]
Quantity = Annotated[int, Field(strict=True, ge=1, le=MAX_QUANTITY)]
Price = Annotated[int, PlainValidator(_price)]
Percent = Annotated[int, PlainValidator(_percent)]  # in 1/10,000
Money = Annotated[int, PlainValidator(_money)]  # in 1/10,000 of the currency
Seconds = Annotated[int, PlainValidator(_seconds)]  # in ns
Level = Annotated[int, PlainValidator(_level)]  # in 1/10^8
PhaseTime = Annotated[datetime.time, PlainValidator(_phase_time)]
Date = Annotated[datetime.date, PlainValidator(_date)]
AnyAddress = Annotated[Address, PlainValidator(Address.parse)]
HostAddress = Annotated[AnyAddress, AfterValidator(_unicast)]
Interface = Annotated[str, PlainValidator(_interface)]
Destinations = Annotated[tuple[Address, ...], PlainValidator(_destinations)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, PlainValidator(_network)]
PasswordHash = Annotated[str | None, PlainValidator(_password_hash)]
TimeZone = Annotated[str, PlainValidator(_time_zone)]
WallClock = Annotated[datetime.time, PlainValidator(_wall_clock)]
FilePath = Annotated[Path, PlainValidator(_path)]
Sync = Literal["write", "disk"]
"""What an answer waits for: ``write`` survives the process (the kernel has the bytes), ``disk`` the machine."""
Line = Literal["A", "B"]
