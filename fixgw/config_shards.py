"""How a shard and its coordinator are written down: alone, or as replicas of which one leads.

    - {name: s1, id: 1, link: …, stream: …, retransmit: …, sync: write}      alone: one process, called s1
    - name: s2                                                               replicated: processes s2.1, s2.2, s2.3
      …
      replicas: [{id: 1, link: …, control: …, retransmit: …}, …]

Everybody else sees one form: `members`, `mode` and `durability`. A shard alone is a set of one replica, whose number
is 1; what its ``sync`` says is its durability. `fixgw.config_checks` sees to it that a shard is of one form.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from fixgw.config_values import (
    Address,
    AnyAddress,
    Destinations,
    FilePath,
    HostAddress,
    Id16,
    Name,
    Sync,
    Username,
    ZooKeeperPath,
)

MAX_REPLICAS = 9
"""Each acknowledges to the primary, and each repairs from it: more cost the primary and add nothing to five."""
SNAPSHOT_EVERY = 100_000
"""Transactions: some seconds of trading at full speed, and some seconds to execute them again."""

Mode = Literal["quorum", "async"]
Durability = Literal["memory", "disk"]


class Model(BaseModel):
    """What every part of a configuration is: frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(NamedTuple):
    """Where one replica of a shard is found; of a shard alone too."""

    link: Address
    control: Address
    retransmit: Address
    stream: Address


class Replica(Model):
    """One of the replicas that hold the same shard."""

    id: Id16  # never used again for another replica of this shard
    link: HostAddress  # TCP: gateways bring commands here while this one leads
    control: HostAddress  # UDP: from replica to replica. TCP: snapshots, queries, the operator
    retransmit: HostAddress  # UDP and TCP: its own server of retransmissions, asked last
    stream: AnyAddress | None = None  # where it hears the shard's stream, when that is no group


class Replication(Model):
    """When a command counts as done. What is left out is the safe choice."""

    mode: Mode = "quorum"
    durability: Durability = "disk"
    snapshot_every: Annotated[int, Field(strict=True, ge=0, le=10**9)] = SNAPSHOT_EVERY  # transactions; 0: never


class Shard(Model):
    """A matching engine with its own stream; a symbol lives on exactly one."""

    name: Name
    id: Id16
    stream: Destinations  # UDP: one multicast group, or each reader's own address
    # alone
    link: HostAddress | None = None  # TCP: gateways bring commands here
    control: HostAddress | None = None  # TCP: queries; when left out, the TCP port with the number of `retransmit`
    retransmit: HostAddress | None = None  # UDP, and TCP for long ranges: its own server of retransmissions, asked last
    sync: Sync | None = None
    # replicated
    replication: Replication | None = None
    replicas: Annotated[tuple[Replica, ...], Field(max_length=MAX_REPLICAS)] = ()

    @property
    def members(self) -> Mapping[int, Member]:
        """Its replicas by id."""
        if not self.replicas:
            assert self.link is not None
            assert self.retransmit is not None
            return {1: Member(self.link, self.control or self.retransmit, self.retransmit, self.stream[0])}
        return {
            each.id: Member(each.link, each.control, each.retransmit, each.stream or self.stream[0])
            for each in sorted(self.replicas, key=lambda replica: replica.id)
        }

    @property
    def mode(self) -> Mode:
        return self.replication.mode if self.replication is not None else "quorum"

    @property
    def durability(self) -> Durability:
        """Of a shard alone: what ``sync`` says. Of replicas: as their `Replication`."""
        if self.replicas:
            return (self.replication or Replication()).durability
        return "disk" if self.sync == "disk" else "memory"

    @property
    def snapshot_every(self) -> int:
        """Transactions between two snapshots; 0: none are made. A shard alone has its whole journal instead."""
        return (self.replication or Replication()).snapshot_every if self.replicas else 0

    @property
    def processes(self) -> Mapping[str, int]:
        """What its processes are called → which replica each is."""
        if not self.replicas:
            return {self.name: 1}
        return {f"{self.name}.{replica_id}": replica_id for replica_id in self.members}


class Tls(Model):
    """How ZooKeeper's servers are known, and how we show them who we are."""

    ca: FilePath
    certificate: FilePath | None = None
    key: FilePath | None = None


class Coordination(Model):
    """Where it is kept who leads each shard: in files (one machine), or in ZooKeeper (any number)."""

    kind: Literal["file", "zookeeper"] = "file"
    # zookeeper
    hosts: tuple[HostAddress, ...] = ()
    root: ZooKeeperPath = "/fixgw"
    username: Username | None = None
    password_file: FilePath | None = None
    tls: Tls | None = None
