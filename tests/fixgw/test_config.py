"""The configuration: the example is right, every kind of error is told with its place, and look-ups find."""

import datetime
import ipaddress
from collections.abc import Callable
from pathlib import Path

import argon2
import pytest

from fixgw import config
from fixgw.config import Address, Config, ConfigError

EXAMPLE = Path(__file__).resolve().parents[2] / "conf" / "exchange.yaml"
HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x")

SMALL = """\
venue:
  comp_id: FIXGW
  data: ../var
  interface: 127.0.0.1
  link_key_file: link.key
  trading_day: {time_zone: UTC, rolls_at: 17:30}
shards:
  - {name: s1, id: 1, link: 127.0.0.1:1, stream: 239.0.0.1:1, retransmit: 127.0.0.1:11}
  - {name: s2, id: 2, link: 127.0.0.1:2, stream: 239.0.0.2:1, retransmit: 127.0.0.1:12}
instruments:
  - {symbol: "ON", id: 1, shard: s1, tick_size: 0.01}
  - {symbol: NO, id: 2, shard: s2, tick_size: 1}
retransmitters:
  - {name: r1, shards: [s1], address: 127.0.0.1:13}
gateways:
  - {name: gw1, source_id: 1, fix: 127.0.0.1:3, streams: {s2: 239.9.9.9:9}}
  - {name: gw2, source_id: 2, fix: 127.0.0.1:4}
feed:
  channels:
    - {shard: s1, lines: {A: 239.0.1.1:1, B: 239.0.2.1:1}}
  publishers:
    - {name: feed-a, line: A, requests: {s1: 127.0.0.1:5}}
participants:
  - {id: 1, name: amber, mpid: AMBR}
sessions:
  - id: 7
    sender_comp_id: AMBER1
    participant: amber
    gateway: gw1
    begin_string: FIX.4.4
    username: amber1
    password_hash: null
"""

Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str) -> Config:
        file = tmp_path / "conf" / "x.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return config.load(file)

    return load


def errors(load: Load, old: str, new: str) -> list[str]:
    """What is told of SMALL with one piece changed, without the file's name."""
    assert SMALL.count(old) == 1, old
    with pytest.raises(ConfigError) as caught:
        load(SMALL.replace(old, new))
    return [error.partition("x.yaml:")[2] for error in caught.value.errors]


def test_the_example_is_right() -> None:
    report = config.check(EXAMPLE)
    assert report.errors == ()
    assert report.config is not None
    assert len(report.warnings) == len(report.config.sessions), "only the passwords that nobody set"
    assert len(report.config.shards) >= 2
    assert len(report.config.instruments) >= 4
    assert len({session.participant for session in report.config.sessions}) >= 3
    assert {session.begin_string for session in report.config.sessions} == {"FIX.4.2", "FIX.4.4"}
    assert {publisher.line for publisher in report.config.feed.publishers} == {"A", "B"}
    assert all(session.allows("127.0.0.1") for session in report.config.sessions)
    assert not any(session.allows("192.0.2.1") for session in report.config.sessions)


def test_values_and_defaults(load: Load, tmp_path: Path) -> None:
    made = load(SMALL)
    assert made.venue.data == tmp_path / "var", "taken from the file's directory"
    assert made.venue.link_key_file == tmp_path / "conf" / "link.key"
    assert made.venue.trading_day.rolls_at == datetime.time(17, 30)
    on, no = made.instruments
    assert (on.symbol, on.tick_size, on.lot_size, on.round_lot) == ("ON", 100, 1, 100)
    assert (no.symbol, no.tick_size) == ("NO", 10_000)
    assert made.shards[0].stream == (("239.0.0.1", 1),)
    assert made.shards[0].stream[0].is_multicast
    assert made.shards[0].sync is None
    assert made.shards[0].durability == "memory"
    (session,) = made.sessions
    assert session.password_hash is None
    assert session.allow == (ipaddress.IPv4Network("127.0.0.0/8"),)
    assert not session.allows("not an address")


def test_look_ups(load: Load) -> None:
    made = load(SMALL)
    assert made.shard("s2").id == 2
    assert made.gateway("gw2").source_id == 2
    assert made.retransmitter("r1").shards == ("s1",)
    assert made.publisher("feed-a").requests == {"s1": ("127.0.0.1", 5)}
    assert made.participant("amber").mpid == "AMBR"
    assert [instrument.symbol for instrument in made.instruments_of("s2")] == ["NO"]
    assert [session.id for session in made.sessions_of("gw1")] == [7]
    assert made.sessions_of("gw2") == ()
    channel = made.channel_of("s1")
    assert channel is not None
    assert channel.lines["B"] == ("239.0.2.1", 1)
    assert made.channel_of("s2") is None
    assert made.directory("shard", "s1") == made.venue.data / "shard-s1"
    with pytest.raises(LookupError, match="no shard is named 's3'; there are: s1, s2"):
        made.shard("s3")


def test_whom_to_ask_and_where_to_listen(load: Load) -> None:
    made = load(SMALL)
    assert made.retransmit_servers("s1") == (("127.0.0.1", 13), ("127.0.0.1", 11)), "the shard itself last"
    assert made.retransmit_servers("s2") == (("127.0.0.1", 12),)
    assert made.stream_address(made.gateway("gw1"), "s1") == ("239.0.0.1", 1)
    assert made.stream_address(made.gateway("gw1"), "s2") == ("239.9.9.9", 9), "its own entry in streams"
    assert made.stream_address(made.gateway("gw2"), "s2") == ("239.0.0.2", 1)


def test_passwords_come_by_a_copy(load: Load) -> None:
    made = load(SMALL)
    changed = made.with_passwords({"AMBER1": HASH})
    assert changed.sessions[0].password_hash == HASH
    assert made.sessions[0].password_hash is None
    assert changed.sessions[0].model_copy(update={"password_hash": None}) == made.sessions[0]
    with pytest.raises(LookupError, match="NOBODY"):
        made.with_passwords({"NOBODY": HASH})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  comp_id: FIXGW\n", "", "2:3: venue.comp_id: is missing"),
        ("  data: ../var", "  dta: ../var", "3:3: venue.dta: is not a key here; did you mean data?"),
        ("retransmitters:", "retransmiters:", "13:1: retransmiters: is not a key here; did you mean retransmitters?"),
        ("FIXGW", "FIX=GW", "2:12: venue.comp_id: must be 1 to 32 printable ASCII characters without blank and =, not"),
        ("FIXGW", "null", "2:12: venue.comp_id: must be text, not nothing"),
        ("FIXGW", "12", "2:12: venue.comp_id: must be text, not 12; text that looks like a number goes in quotes"),
        ("interface: 127.0.0.1", "interface: lo", "4:14: venue.interface: must be the IPv4 address"),
        ("UTC", "Mars", "6:28: venue.trading_day.time_zone: 'Mars' is not a time zone"),
        ("17:30", "25:00", "6:43: venue.trading_day.rolls_at: must be a time of day such as 17:00, not '25:00'"),
        ("name: s1, id: 1", "name: 1s, id: 1", "8:12: shards[0].name: must be up to 32 letters"),
        ("name: s2", "name: s1", "9:12: shards[1].name: s1 is taken already, on line 8"),
        ("name: s2, id: 2", "name: s2, id: 65536", "9:20: shards[1].id: should be less than or equal to 65535"),
        ("name: s2, id: 2", "name: s2, id: '2'", "9:20: shards[1].id: should be a valid integer, not 2"),
        ("link: 127.0.0.1:1", "link: 127.0.0.1", "8:29: shards[0].link: must be host:port, not '127.0.0.1'"),
        ("link: 127.0.0.1:1", "link: 127.0.0.1:0", "8:29: shards[0].link: port must be 1 to 65535, not '0'"),
        ("link: 127.0.0.1:1", "link: 127.0.0.256:1", "8:29: shards[0].link: '127.0.0.256' is neither"),
        ("link: 127.0.0.1:1", "link: 239.1.1.1:1", "8:29: shards[0].link: 239.1.1.1 is a multicast group"),
        (
            "link: 127.0.0.1:2",
            "link: 127.0.0.1:4",
            "17:36: gateways[1].fix: TCP 127.0.0.1:4 is taken already, on line 9",
        ),
        ("239.0.0.2:1", "127.0.0.1:8", "9:50: shards[1].stream: 127.0.0.1:8 is not multicast; write hosts as a list"),
        ("239.0.0.2:1", "[239.0.0.2:1]", "9:50: shards[1].stream: is either one multicast group or a list of hosts"),
        ("239.0.0.2:1", "[127.0.0.1:8]", "17:5: gateways[1]: shard s2 has no multicast group; say where this one"),
        ("239.0.0.2:1", "239.0.0.1:1", "9:50: shards[1].stream: UDP 239.0.0.1:1 is taken already, on line 8"),
        ('"ON"', "on", "11:14: instruments[0].symbol: must be one to eight capitals A-Z, not 'on'"),
        ('"ON"', "ABCDEFGHI", "11:14: instruments[0].symbol: must be one to eight capitals"),
        ("symbol: NO", "symbol: 'ON'", "12:14: instruments[1].symbol: ON is taken already, on line 11"),
        (
            "shard: s2, tick",
            "shard: s3, tick",
            "12:32: instruments[1].shard: no shard is named 's3'; there are: s1, s2",
        ),
        ("tick_size: 0.01", "tick_size: 0.00001", "11:49: instruments[0].tick_size: has more than four decimals"),
        (
            "tick_size: 0.01",
            "tick_size: 0",
            "11:49: instruments[0].tick_size: must be above 0 and at most 200000, not 0",
        ),
        ("tick_size: 0.01", "tick_size: a", "11:49: instruments[0].tick_size: must be a price such as 0.01"),
        (
            "tick_size: 1",
            "tick_size: 1, lot_size: 0",
            "12:60: instruments[1].lot_size: should be greater than or equal",
        ),
        ("shards: [s1]", "shards: []", "14:24: retransmitters[0].shards: must hold at least one entry"),
        ("shards: [s1]", "shards: s1", "14:24: retransmitters[0].shards: must be a list, not s1"),
        ("{s2: 239.9.9.9:9}", "{x: 239.9.9.9:9}", "16:59: gateways[0].streams.x: no shard is named 'x'"),
        ("{A: 239.0.1.1:1, B", "{C: 239.0.1.1:1, B", "20:27: feed.channels[0].lines.C: should be 'A' or 'B', not C"),
        ("requests: {s1: 127.0.0.1:5}", "requests: {}", "22:31: feed.publishers[0].requests: has no address for"),
        ("mpid: AMBR", "mpid: AMBER", "24:32: participants[0].mpid: must be up to four capitals and digits"),
        ("participant: amber", "participant: ember", "28:18: sessions[0].participant: no participant is named 'ember'"),
        ("gateway: gw1", "gateway: gw3", "29:14: sessions[0].gateway: no gateway is named 'gw3'; did you mean gw2?"),
        ("FIX.4.4", "FIX.4.3", "30:19: sessions[0].begin_string: should be 'FIX.4.2' or 'FIX.4.4', not FIX.4.3"),
        ("username: amber1", "allow: [10.0.0.1/8]", "31:13: sessions[0].allow[0]: 10.0.0.1/8 has host bits set"),
        ("data: ../var", "data: ../var\n  data: x", "4:3: venue.data: stands twice; the first is on line 3"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(load: Load, old: str, new: str, expected: str) -> None:
    found = errors(load, old, new)
    assert any(error.startswith(expected) for error in found), "\n".join(found)


def test_a_ledger_is_a_reader_of_all_shards(load: Load) -> None:
    loaded = load(
        SMALL.replace("gateways:", "ledgers:\n  - {name: l1, streams: {s2: 239.9.9.9:9}, sync: disk}\ngateways:")
    )
    ledger = loaded.ledger("l1")
    assert ledger.sync == "disk"
    assert loaded.stream_address(ledger, "s2") == Address("239.9.9.9", 9)
    assert ("ledger", "l1") in loaded.processes()
    assert loaded.directory("ledger", "l1").name == "ledger-l1"
    with pytest.raises(LookupError, match="no ledger is named 'l2'; there are: l1"):
        loaded.require("ledger", "l2")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ("{name: l1}, {name: l1}", "ledgers[1].name: l1 is taken already"),
        ("{name: l1, streams: {s3: 239.9.9.9:9}}", "no shard is named 's3'"),
        ("{name: l1, shards: [s1]}", "ledgers[0].shards: is not a key here"),
    ],
)
def test_what_is_wrong_with_a_ledger(load: Load, entries: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(SMALL.replace("gateways:", f"ledgers: [{entries}]\ngateways:"))
    assert expected in str(caught.value)


def test_a_ledger_hears_a_shard_without_a_group_at_an_address_of_its_own(load: Load) -> None:
    text = SMALL.replace("stream: 239.0.0.1:1", "stream: [127.0.0.1:7, 127.0.0.1:8]")
    with pytest.raises(ConfigError, match=r"ledgers\[0\]: shard s1 has no multicast group"):
        load(text.replace("gateways:", "ledgers: [{name: l1}]\ngateways:"))


def test_a_participant_has_one_gateway(load: Load) -> None:
    second = SMALL.partition("sessions:\n")[2].replace("7", "8").replace("AMBER1", "AMBER2").replace("gw1", "gw2")
    with pytest.raises(
        ConfigError, match=r"sessions\[1\]\.gateway: a participant's sessions share one gateway; line 29"
    ):
        load(SMALL + second)
    assert len(load(SMALL + second.replace("gw2", "gw1")).sessions) == 2


def test_a_secret_is_never_repeated(load: Load) -> None:
    for wrong in ("hunter2", "[hunter2]", "$argon2id$hunter2", HASH.replace("argon2id", "argon2i") + " # hunter2"):
        found = errors(load, "password_hash: null", f"password_hash: {wrong}")
        assert len(found) == 1
        assert "fixgw hash-password" in found[0]
        assert "hunter2" not in found[0]
    assert "hunter2" not in "\n".join(errors(load, "password_hash: null", "password: hunter2"))


def test_all_errors_come_at_once_in_file_order(load: Load) -> None:
    text = (
        SMALL.replace("FIXGW", "A B").replace("name: s2", "name: s1").replace("FIX.4.4", "4.4").replace("gw1\n", "x\n")
    )
    with pytest.raises(ConfigError) as caught:
        load(text)
    lines = [int(error.partition("x.yaml:")[2].partition(":")[0]) for error in caught.value.errors]
    assert lines == sorted(lines)
    assert {2, 9, 12, 29, 30} <= set(lines)


@pytest.mark.parametrize("text", ["", "12", "[]", "venue:", "shards: [1]\nfeed: {channels: 3}", "sessions: {a: b}"])
def test_another_shape_is_errors_too(load: Load, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert all("x.yaml:" in error for error in caught.value.errors)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.yaml:1:1: cannot be read: No such file"):
        config.load(tmp_path / "nothing.yaml")


def test_doubtful_things_are_warnings(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(SMALL.replace("shard: s2, tick", "shard: s1, tick"))
    report = config.check(file)
    assert report.config is not None
    assert [warning.partition("x.yaml:")[2] for warning in report.warnings] == [
        "9:12: warning: shards[1].name: shard s2 has no feed channel",
        "9:12: warning: shards[1].name: shard s2 has no instrument",
        "32:20: warning: sessions[0].password_hash: has no password yet, so every logon is refused "
        "(fixgw hash-password)",
    ]


def test_frozen(load: Load) -> None:
    made = load(SMALL)
    with pytest.raises(ValueError, match="frozen"):
        made.venue.comp_id = "OTHER"


@pytest.mark.parametrize("text", ["localhost:1", "exchange-1.example.org:65535", "10.0.0.1:80", "239.1.1.1:5"])
def test_addresses(text: str) -> None:
    address = Address.parse(text)
    assert str(address) == text
    assert Address.parse(address) is address
    assert address.is_multicast == text.startswith("239")


@pytest.mark.parametrize(
    "text",
    ["", ":1", "host", "host:", "host:x", "host:-1", "host:65536", "host:٣", "a b:1", "1.2.3:1", "x..y:1", "-.1:1", 5],
)
def test_what_is_no_address(text: object) -> None:
    with pytest.raises(ValueError, match=r"host|port"):
        Address.parse(text)
