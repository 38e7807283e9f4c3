"""Who may log on: passwords, and what guessing them costs.

Passwords are kept as argon2id hashes with OWASP's parameters (19 MiB, 2 passes, 1 lane): about 40 ms of work, so
`Accounts.verify` is called in a thread, and by few threads at a time. It tells nothing by its answer or its time:
an unknown CompID is checked against a hash nobody has the password of, which costs what `fixgw hash-password` makes.

`LogonGuard` counts wrong passwords by CompID and by address. After a few free ones each further failure doubles the
time in which the CompID, or the address, is refused without a look at the password. The rule is harsh to the owner of
a CompID that strangers guess at; so networks are checked first (`Account.networks`), and what is refused before its
password was looked at is not counted. An address has more free failures: one engine with a wrong password, whose
CompID is soon refused, must not keep out the other engines behind the same address.

All it counts is how long ago something was, so its times are ns of any monotonic clock: a wall clock that is set back
must lock nobody out until the old time comes again, and one that is set ahead must forgive nothing.

Source: OWASP Password Storage Cheat Sheet; RFC 9106 (argon2); NIST SP 800-63B §5.2.2 (rate limiting).
"""

import hmac
from ipaddress import ip_address, ip_network
from typing import Final

import msgspec
from argon2 import PasswordHasher, Type
from argon2.exceptions import VerificationError

from fixgw.timestamps import SECOND

HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)

#: Verified for unknown CompIDs, so that they take as long as known ones. Its password was random and is forgotten.
DECOY_HASH: Final = "$argon2id$v=19$m=19456,t=2,p=1$rojyEEZs7dfKubFCmvGLsw$qgIXQhjRjN1Qg539U7gsk0Dj2Dnr4oIZeqpbwgnwXV4"

#: Failures that cost nothing: a typing error or a forgotten change is no attack.
FREE_FAILURES: Final = 3

#: The same for an address: nobody gets there by mistake, since a CompID is refused, uncounted, long before.
FREE_FAILURES_OF_ADDRESS: Final = 30

#: The first back-off, doubled by each further failure up to the last (ns): a minute of guesses becomes a day.
FIRST_BACK_OFF: Final = 1 * SECOND
LAST_BACK_OFF: Final = 15 * 60 * SECOND

#: Failures are forgotten after so much quiet (ns).
FORGIVEN_AFTER: Final = 60 * 60 * SECOND

#: CompIDs and addresses remembered. When full, the ones longest quiet are forgotten first.
MAX_REMEMBERED: Final = 10_000


class Account(msgspec.Struct, frozen=True):
    """What a Logon for one CompID must offer. `networks`: CIDR texts it may come from."""

    username: bytes
    password_hash: str
    networks: tuple[str, ...]


class Accounts:
    """The accounts of a gateway by CompID. Nothing here changes after it is made: safe to use from threads."""

    def __init__(self, accounts: dict[bytes, Account]) -> None:
        self._accounts = accounts
        self._networks = {
            comp_id: [ip_network(network) for network in account.networks] for comp_id, account in accounts.items()
        }

    def allows(self, comp_id: bytes, address: str) -> bool:
        """May this CompID come from this address?"""
        peer = ip_address(address)
        return any(peer in network for network in self._networks.get(comp_id, ()))

    def verify(self, comp_id: bytes, username: bytes, password: bytes) -> bool:
        """Are the credentials right? Takes about 40 ms whatever the answer: call it in a thread."""
        account = self._accounts.get(comp_id)
        try:
            HASHER.verify(account.password_hash if account is not None else DECOY_HASH, password)
        except VerificationError:  # a mismatch is one of these
            return False
        return account is not None and hmac.compare_digest(account.username, username)


class Failures(msgspec.Struct):
    """What is remembered of one CompID or address."""

    count: int = 0
    last: int = 0
    """When the last failure was (ns)."""
    refused_until: int = 0


class LogonGuard:
    """Back-off and lock-out, by CompID and by address."""

    def __init__(self) -> None:
        self._failures: dict[bytes | str, Failures] = {}

    def refused_until(self, comp_id: bytes, address: str, now: int) -> int:
        """0 if a Logon may be tried now, else when it may be tried again (ns)."""
        known = (self._failures.get(comp_id), self._failures.get(address))
        until = max([failures.refused_until for failures in known if failures is not None], default=0)
        return until if until > now else 0

    def failed(self, comp_id: bytes, address: str, now: int) -> None:
        """A password was wrong."""
        self._count(comp_id, FREE_FAILURES, now)
        self._count(address, FREE_FAILURES_OF_ADDRESS, now)

    def succeeded(self, comp_id: bytes, address: str) -> None:
        """The password was right: what went before was its owner's mistake."""
        self._failures.pop(comp_id, None)
        self._failures.pop(address, None)

    def _count(self, key: bytes | str, free: int, now: int) -> None:
        failures = self._failures.pop(key, None)
        if failures is None or now - failures.last > FORGIVEN_AFTER:
            failures = Failures()
        failures.count += 1
        failures.last = now
        doublings = failures.count - free - 1
        if doublings >= 0:
            failures.refused_until = now + min(FIRST_BACK_OFF << min(doublings, 40), LAST_BACK_OFF)
        while len(self._failures) >= MAX_REMEMBERED:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = failures  # last in the dict: the order is that of the last failure
