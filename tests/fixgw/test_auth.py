"""Passwords and back-off. A real hash takes some 40 ms, so there are few of them."""

from types import SimpleNamespace

import pytest
from argon2 import extract_parameters

from fixgw import auth
from fixgw.auth import (
    DECOY_HASH,
    FIRST_BACK_OFF,
    FORGIVEN_AFTER,
    FREE_FAILURES,
    FREE_FAILURES_OF_ADDRESS,
    HASHER,
    LAST_BACK_OFF,
    MAX_REMEMBERED,
    Account,
    Accounts,
    LogonGuard,
)
from fixgw.timestamps import SECOND

NOW = 1_795_339_800 * SECOND


@pytest.fixture(scope="module")
def accounts() -> Accounts:
    return Accounts({b"BROKER": Account(b"broker", HASHER.hash(b"s3cret"), ("127.0.0.0/8", "2001:db8::/32"))})


def test_the_right_password(accounts: Accounts) -> None:
    assert accounts.verify(b"BROKER", b"broker", b"s3cret")


@pytest.mark.parametrize(
    ("comp_id", "username", "password"),
    [
        (b"BROKER", b"broker", b"wrong"),
        (b"BROKER", b"other", b"s3cret"),
        (b"BROKER", b"broker", b""),
        (b"NOBODY", b"broker", b"s3cret"),
    ],
)
def test_wrong_credentials(accounts: Accounts, comp_id: bytes, username: bytes, password: bytes) -> None:
    assert not accounts.verify(comp_id, username, password)


def test_every_answer_costs_one_verification_of_the_same_cost(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []

    def verify(password_hash: str, password: bytes) -> bool:
        verified.append(password_hash)
        return HASHER.verify(password_hash, password)

    monkeypatch.setattr(auth, "HASHER", SimpleNamespace(verify=verify))
    accounts.verify(b"BROKER", b"broker", b"s3cret")
    accounts.verify(b"BROKER", b"other", b"s3cret")
    accounts.verify(b"NOBODY", b"broker", b"s3cret")
    assert len(verified) == 3
    assert verified[2] == DECOY_HASH
    assert len({str(extract_parameters(password_hash)) for password_hash in verified}) == 1


def test_networks(accounts: Accounts) -> None:
    assert accounts.allows(b"BROKER", "127.0.0.1")
    assert accounts.allows(b"BROKER", "2001:db8::1")
    assert not accounts.allows(b"BROKER", "192.0.2.1")
    assert not accounts.allows(b"NOBODY", "127.0.0.1")


def test_back_off_doubles_after_the_free_failures() -> None:
    guard = LogonGuard()
    waits = []
    now = NOW
    for _ in range(FREE_FAILURES + 13):
        guard.failed(b"BROKER", "127.0.0.1", now)
        until = guard.refused_until(b"BROKER", "127.0.0.1", now)
        waits.append(until - now if until else 0)
        now = max(now, until)
    assert waits[:FREE_FAILURES] == [0] * FREE_FAILURES
    assert waits[FREE_FAILURES : FREE_FAILURES + 4] == [FIRST_BACK_OFF << i for i in range(4)]
    assert waits[-1] == LAST_BACK_OFF


def fail(guard: LogonGuard, comp_id: bytes, address: str, times: int) -> None:
    for _ in range(times):
        guard.failed(comp_id, address, NOW)


def test_guesses_at_a_comp_id_are_counted_wherever_they_come_from() -> None:
    guard = LogonGuard()
    for host in range(FREE_FAILURES + 1):
        guard.failed(b"BROKER", f"192.0.2.{host}", NOW)
    assert guard.refused_until(b"BROKER", "192.0.2.99", NOW) == NOW + FIRST_BACK_OFF


def test_one_wrong_engine_does_not_keep_its_neighbours_out() -> None:
    guard = LogonGuard()
    now = NOW
    for _ in range(FREE_FAILURES + 5):
        now = max(now, guard.refused_until(b"BROKER", "192.0.2.1", now))
        guard.failed(b"BROKER", "192.0.2.1", now)
        assert guard.refused_until(b"OTHER", "192.0.2.1", now) == 0


def test_an_address_that_guesses_at_many_comp_ids_is_refused() -> None:
    guard = LogonGuard()
    for number in range(FREE_FAILURES_OF_ADDRESS + 1):
        guard.failed(b"BROKER%d" % number, "192.0.2.1", NOW)
    assert guard.refused_until(b"OTHER", "192.0.2.1", NOW) == NOW + FIRST_BACK_OFF
    assert guard.refused_until(b"OTHER", "192.0.2.2", NOW) == 0


def test_the_wait_ends_exactly_when_told() -> None:
    guard = LogonGuard()
    fail(guard, b"BROKER", "192.0.2.1", FREE_FAILURES + 1)
    until = guard.refused_until(b"BROKER", "192.0.2.1", NOW)
    assert guard.refused_until(b"BROKER", "192.0.2.1", until - 1) == until
    assert guard.refused_until(b"BROKER", "192.0.2.1", until) == 0


def test_success_forgets_failures() -> None:
    guard = LogonGuard()
    fail(guard, b"BROKER", "192.0.2.1", FREE_FAILURES)
    guard.succeeded(b"BROKER", "192.0.2.1")
    fail(guard, b"BROKER", "192.0.2.1", FREE_FAILURES)
    assert guard.refused_until(b"BROKER", "192.0.2.1", NOW) == 0


def test_quiet_forgets_failures() -> None:
    guard = LogonGuard()
    fail(guard, b"BROKER", "192.0.2.1", 50)
    later = NOW + FORGIVEN_AFTER + 1
    guard.failed(b"BROKER", "192.0.2.1", later)
    assert guard.refused_until(b"BROKER", "192.0.2.1", later) == 0


def test_memory_is_bounded_and_the_longest_quiet_are_forgotten() -> None:
    guard = LogonGuard()
    fail(guard, b"first", "a", FREE_FAILURES + 1)
    fail(guard, b"second", "a", FREE_FAILURES + 1)
    fail(guard, b"first", "a", 1)
    for i in range(MAX_REMEMBERED - 2):  # beside them the first CompID and the address they all come from
        guard.failed(b"BROKER%d" % i, "a", NOW)
    assert len(guard._failures) == MAX_REMEMBERED
    assert guard.refused_until(b"second", "b", NOW) == 0
    assert guard.refused_until(b"first", "b", NOW) > 0
