"""Shards alone and with replicas, and their coordinator: what a file may say of them, and what everybody else sees."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fixgw import config
from fixgw.config import Config, ConfigError
from tests.zookeeper import TIMES

REPLICATED = """\
venue:
  comp_id: FIXGW
  data: var
  interface: 127.0.0.1
  link_key_file: link.key
  trading_day: {time_zone: UTC, rolls_at: 17:30}
coordinator: {kind: zookeeper, hosts: [127.0.0.1:2181, zoo2:2181, zoo3:2181], root: /ex/fixgw}
shards:
  - {name: s1, id: 1, link: 127.0.0.1:1, stream: 239.0.0.1:1, retransmit: 127.0.0.1:11, sync: disk}
  - name: s2
    id: 2
    stream: 239.0.0.2:1
    replication: {mode: async, durability: memory, snapshot_every: 5000}
    replicas:
      - {id: 3, link: 127.0.0.1:23, control: 127.0.0.1:33, retransmit: 127.0.0.1:43}
      - {id: 1, link: 127.0.0.1:21, control: 127.0.0.1:31, retransmit: 127.0.0.1:41, stream: 239.0.9.9:1}
      - {id: 2, link: 127.0.0.1:22, control: 127.0.0.1:32, retransmit: 127.0.0.1:42}
instruments:
  - {symbol: A, id: 1, shard: s1, tick_size: 0.01}
  - {symbol: B, id: 2, shard: s2, tick_size: 0.01}
retransmitters:
  - {name: r1, shards: [s1, s2], address: 127.0.0.1:50}
gateways:
  - {name: g1, source_id: 1, fix: 127.0.0.1:9}
participants:
  - {id: 1, name: amber, mpid: AMBR}
sessions:
  - id: 7
    sender_comp_id: AMBER1
    participant: amber
    gateway: g1
    begin_string: FIX.4.4
    username: amber1
    password_hash: null
"""
ZOOKEEPER = "{kind: zookeeper, hosts: [127.0.0.1:2181, zoo2:2181, zoo3:2181], root: /ex/fixgw}"
THREE = REPLICATED[REPLICATED.index("    replicas:\n") : REPLICATED.index("instruments:")]
ONE = "    replicas: [{id: 1, link: 127.0.0.1:21, control: 127.0.0.1:31, retransmit: 127.0.0.1:41}]\n"
TWO = ONE.replace("}]", "}, {id: 2, link: 127.0.0.1:22, control: 127.0.0.2:32, retransmit: 127.0.0.1:42}]")

CONF = Path(__file__).resolve().parents[2] / "conf"

Check = Callable[[str], config.Report]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    def check(text: str) -> config.Report:
        file = tmp_path / "x.yaml"
        file.write_text(text)
        return config.check(file)

    return check


@pytest.fixture
def made(check: Check) -> Config:
    report = check(REPLICATED)
    assert report.config is not None, report.errors
    return report.config


def changed(old: str, new: str) -> str:
    assert REPLICATED.count(old) == 1, old
    return REPLICATED.replace(old, new)


def test_a_shard_alone_is_a_set_of_one_replica(made: Config) -> None:
    alone = made.shard("s1")
    assert alone.members == {
        1: (("127.0.0.1", 1), ("127.0.0.1", 11), ("127.0.0.1", 11), ("239.0.0.1", 1)),
    }, "queries are answered at the TCP port with the number of retransmit"
    assert (alone.mode, alone.durability, alone.snapshot_every) == ("quorum", "disk", 0)
    assert alone.processes == {"s1": 1}


def test_a_shard_alone_may_say_where_it_answers_queries(check: Check) -> None:
    report = check(changed("link: 127.0.0.1:1,", "link: 127.0.0.1:1, control: 127.0.0.1:8,"))
    assert report.config is not None
    assert report.config.shard("s1").members[1].control == ("127.0.0.1", 8)
    report = check(changed("link: 127.0.0.1:1,", "link: 127.0.0.1:1, control: 127.0.0.1:11,"))
    assert report.errors == (), "what is done when it is left out may be said"


def test_replicas(made: Config) -> None:
    shard = made.shard("s2")
    assert list(shard.members) == [1, 2, 3]
    assert shard.members[3] == (("127.0.0.1", 23), ("127.0.0.1", 33), ("127.0.0.1", 43), ("239.0.0.2", 1))
    assert shard.members[1].stream == ("239.0.9.9", 1), "its own"
    assert (shard.mode, shard.durability, shard.snapshot_every) == ("async", "memory", 5000)


def test_what_is_left_out_of_replication_is_the_safe_choice(check: Check) -> None:
    report = check(changed("    replication: {mode: async, durability: memory, snapshot_every: 5000}\n", ""))
    assert report.config is not None
    shard = report.config.shard("s2")
    assert (shard.mode, shard.durability) == ("quorum", "disk")
    assert shard.snapshot_every > 0


def test_every_replica_is_a_process_with_files_of_its_own(made: Config) -> None:
    assert made.processes() == (
        ("shard", "s1"),
        ("shard", "s2.1"),
        ("shard", "s2.2"),
        ("shard", "s2.3"),
        ("retransmitter", "r1"),
        ("gateway", "g1"),
    )
    shard, replica_id = made.replica("s2.3")
    assert (shard.name, replica_id) == ("s2", 3)
    assert made.replica("s1") == (made.shard("s1"), 1)
    assert made.directory("shard", "s2.3") == made.venue.data / "shard-s2.3"
    for wrong in ("s2", "s2.4", "s1.1", "s9"):
        with pytest.raises(LookupError, match=rf"no shard process is named '{wrong}'; there are: s1, s2\.1, s2\.2, s2"):
            made.require("shard", wrong)
    made.require("gateway", "g1")
    with pytest.raises(LookupError, match="no gateway is named 's1'; there are: g1"):
        made.require("gateway", "s1")


def test_every_replica_repeats_what_was_missed(made: Config) -> None:
    assert made.retransmit_servers("s2") == tuple(("127.0.0.1", port) for port in (50, 41, 42, 43))


def test_the_coordinator(made: Config, check: Check) -> None:
    assert made.coordinator.kind == "zookeeper"
    assert made.coordinator.hosts[1] == ("zoo2", 2181)
    assert made.coordinator.root == "/ex/fixgw"
    report = check(changed(f"coordinator: {ZOOKEEPER}\n", ""))
    assert report.config is not None
    assert report.config.coordinator.kind == "file"


def test_secrets_of_the_coordinator_are_files(check: Check, tmp_path: Path) -> None:
    more = ", username: exchange, password_file: secret/zoo, tls: {ca: ca.pem, certificate: c.pem, key: k.pem}}"
    report = check(changed(ZOOKEEPER, ZOOKEEPER.replace("}", more)))
    assert report.config is not None, report.errors
    coordinator = report.config.coordinator
    assert coordinator.password_file == tmp_path / "secret" / "zoo"
    assert coordinator.tls is not None
    assert coordinator.tls.key == tmp_path / "k.pem"


def test_cancel_on_disconnect_is_for_those_who_ask(made: Config, check: Check) -> None:
    assert not made.sessions[0].cancel_on_disconnect
    report = check(REPLICATED + "    cancel_on_disconnect: true\n")
    assert report.config is not None
    assert report.config.sessions[0].cancel_on_disconnect


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    id: 2\n", "    id: 2\n    link: 127.0.0.1:2\n", "12:5: shards[1].link: is of a shard alone; this one is"),
        (
            "    id: 2\n",
            "    id: 2\n    sync: disk\n",
            "12:5: shards[1].sync: is of a shard alone; this one is replica",
        ),
        (THREE, "", "13:5: shards[1].replication: is of a shard with replicas; say who they are: replicas"),
        (THREE, "    replicas: []\n", "14:15: shards[1].replicas: must hold at least one entry"),
        (THREE, "    replicas: 3\n", "14:15: shards[1].replicas: must be a list, not 3"),
        ("link: 127.0.0.1:1, ", "", "9:5: shards[0].link: is missing; a shard alone has link and retransmit"),
        ("127.0.0.1:11, sync: disk", "null", "9:75: shards[0].retransmit: is missing; a shard alone has link and"),
        ("{mode: async", "{mode: fast", "13:25: shards[1].replication.mode: should be 'quorum' or 'async', not fast"),
        ("memory", "ram", "13:44: shards[1].replication.durability: should be 'memory' or 'disk', not ram"),
        ("every: 5000", "every: -1", "13:68: shards[1].replication.snapshot_every: should be greater than or equal"),
        ("- {id: 1, link", "- {id: 3, link", "16:14: shards[1].replicas[1].id: 3 is taken already, on line 15"),
        ("- {id: 1, link", "- {id: 0, link", "16:14: shards[1].replicas[1].id: should be greater than or equal to 1"),
        ("127.0.0.1:22, control: 127.0.0.1:32", "127.0.0.1:22", "17:9: shards[1].replicas[2].control: is missing"),
        ("127.0.0.1:23", "0.0.0.0:23", "15:23: shards[1].replicas[0].link: others cannot reach 0.0.0.0; write the"),
        ("127.0.0.1:23", "127.0.0.1:9", "24:35: gateways[0].fix: TCP 127.0.0.1:9 is taken already, on line 15"),
        ("control: 127.0.0.1:32", "control: 127.0.0.1:22", "17:46: shards[1].replicas[2].control: TCP 127.0.0.1:22 is"),
        ("127.0.0.1:43", "127.0.0.1:33", "15:72: shards[1].replicas[0].retransmit: UDP 127.0.0.1:33 is taken already"),
        # missed messages are asked for over TCP, too
        ("127.0.0.1:11,", "127.0.0.1:1,", "9:75: shards[0].retransmit: TCP 127.0.0.1:1 is taken already, on line 9"),
        ("0.0.1:11,", "0.0.1:1, control: 127.0.0.1:8,", "9:75: shards[0].retransmit: TCP 127.0.0.1:1 is taken already"),
        ("127.0.0.1:43", "127.0.0.1:21", "16:23: shards[1].replicas[1].link: TCP 127.0.0.1:21 is taken already"),
        ("127.0.0.1:50", "127.0.0.1:9", "24:35: gateways[0].fix: TCP 127.0.0.1:9 is taken already, on line 22"),
        ("239.0.0.2:1", "[127.0.0.1:8]", "15:9: shards[1].replicas[0]: the shard has no multicast group; say where"),
        (ZOOKEEPER, "{kind: zoo}", "7:21: coordinator.kind: should be 'file' or 'zookeeper', not zoo"),
        (ZOOKEEPER, "{hosts: [zoo:1]}", "7:15: coordinator.hosts: is of kind: zookeeper; files need nothing but"),
        (ZOOKEEPER, "{kind: zookeeper}", "7:14: coordinator.hosts: is missing; say where ZooKeeper's servers are"),
        (ZOOKEEPER, "{kind: zookeeper, hosts: [zoo]}", "7:40: coordinator.hosts[0]: must be host:port, not 'zoo'"),
        ("/ex/fixgw", "fixgw", "7:85: coordinator.root: must be a ZooKeeper path such as /fixgw, not 'fixgw'"),
        ("/ex/fixgw", "/f, username: u", "7:89: coordinator.username: means nothing without password_file"),
        ("/ex/fixgw", "/f, tls: {ca: c, key: k}", "7:102: coordinator.tls.key: means nothing without certificate"),
        ("null\n", "null\n    cancel_on_disconnect: 'yes'\n", "35:27: sessions[0].cancel_on_disconnect: should be a"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(check: Check, old: str, new: str, expected: str) -> None:
    report = check(changed(old, new))
    found = [error.partition("x.yaml:")[2] for error in report.errors]
    assert any(error.startswith(expected) for error in found), "\n".join(found)
    assert report.config is None


@pytest.mark.parametrize(
    ("replicas", "coordinator", "expected"),
    [
        (ONE, ZOOKEEPER, ["shard s2 has one replica: nobody takes over from it"]),
        (TWO, ZOOKEEPER, ["2 replicas survive the loss of 0, as 1 do: have 3"]),
        (THREE, ZOOKEEPER, []),
        (THREE, "{kind: file}", []),
        (THREE.replace("0.0.1:33", "0.0.2:33"), ZOOKEEPER, []),
        (
            THREE.replace("0.0.1:33", "0.0.2:33"),
            "{kind: file}",
            ["are on 2 hosts; a coordinator in files is for one: coordinator: {kind: zookeeper, …}"],
        ),
    ],
)
def test_replicas_that_do_not_give_what_they_are_for_are_doubted(
    check: Check, replicas: str, coordinator: str, expected: list[str]
) -> None:
    report = check(REPLICATED.replace(THREE, replicas).replace(ZOOKEEPER, coordinator))
    assert report.errors == ()
    prefix = "warning: shards[1].replicas: "
    assert [each.partition(prefix)[2] for each in report.warnings if prefix in each] == expected


def test_another_shape_is_errors_too(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    for text in ("coordinator: 3", "shards: [{replicas: [1, {}]}]", "shards: [{replication: 1, replicas: {a: b}}]"):
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            config.load(file)
        assert all("x.yaml:" in error for error in caught.value.errors)


def test_the_cluster_of_the_handbook_is_right() -> None:
    report = config.check(CONF / "cluster.yaml")
    assert report.errors == ()
    assert report.config is not None
    assert all("has no password yet" in warning for warning in report.warnings)
    for shard in report.config.shards:
        assert len(shard.members) == 3
        assert len({member.link.host for member in shard.members.values()}) == 3, "each on a host of its own"
        assert (shard.mode, shard.durability) == ("quorum", "disk")


def test_the_ensemble_of_the_handbook_is_the_one_that_the_cluster_asks() -> None:
    cluster = config.load(CONF / "cluster.yaml")
    lines = (line.partition("=") for line in (CONF / "zoo.cfg").read_text().splitlines() if not line.startswith("#"))
    settings = {key: value for key, _, value in lines if key}
    assert TIMES.items() <= settings.items(), "the times that failover is tested with"
    servers = {value.partition(":")[0] for key, value in settings.items() if key.startswith("server.")}
    assert servers == {host for host, _ in cluster.coordinator.hosts}
    assert {port for _, port in cluster.coordinator.hosts} == {int(settings["clientPort"])}
