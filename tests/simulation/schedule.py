"""Replicas driven by hand, one datagram and one sync at a time: for schedules that chance does not find.

Nothing happens by itself: `say` collects what a replica wants to send, `deliver` lets a part of it arrive, `sync` makes
what a replica has written safe, `restart` kills it (and its unsynced records, when its power is cut).
"""

from collections.abc import Callable
from typing import NamedTuple

from recovery.command_log import COMMAND_RECORD, CUT_RECORD
from recovery.control import Control, is_control, parse_control
from recovery.replica import STREAM, Replica, Role
from recovery.view_change import Phase
from tests.simulation.tape import WRITE, Tape


class Mail(NamedTuple):
    source: int
    target: int
    data: bytes

    @property
    def control(self) -> Control | None:
        return parse_control(1, self.data) if is_control(self.data) else None


class Trio:
    """Three replicas, 1, 2 and 3, in mode "quorum" with durability "disk"."""

    def __init__(self) -> None:
        self.now = 0
        self.epoch = 0
        self.mail: list[Mail] = []
        self.disks: dict[int, list[tuple[int, bytes]]] = {1: [], 2: [], 3: []}
        self.synced = {1: 0, 2: 0, 3: 0}
        self.bases = {1: 0, 2: 0, 3: 0}
        """Records that were there when the present process of a replica started."""
        self.replicas = {number: self._start(number) for number in self.disks}

    def _start(self, number: int) -> Replica:
        replica = Replica(1, number, (1, 2, 3), Tape, mode="quorum", durability="disk", draw=lambda _: 0)
        for record, (kind, payload) in enumerate(self.disks[number], 1):
            replica.replay(kind, payload, record)
        self.synced[number] = self.bases[number] = len(self.disks[number])
        replica.start(self.now, next_number=len(self.disks[number]) + 1)
        return replica

    def restart(self, number: int, *, power: bool) -> Replica:
        """The process ends and starts again; with `power`, without what was not synced."""
        if power:
            del self.disks[number][self.synced[number] :]
        self.mail = [mail for mail in self.mail if mail.source != number]
        self.replicas[number] = self._start(number)
        return self.replicas[number]

    def say(self, number: int) -> None:
        """A replica's turn ends: what it wrote is on the disk, unsynced; what it says is on its way."""
        replica = self.replicas[number]
        self.disks[number] += replica.records_to_write()
        for target, data in replica.datagrams_to_send(self.now):
            targets = [other for other in self.replicas if other != number] if target == STREAM else [target]
            self.mail += [Mail(number, other, data) for other in targets]

    def sync(self, number: int, *, up_to: int | None = None) -> None:
        """What a replica has written (or its first `up_to` records) is safe."""
        self.say(number)
        self.synced[number] = len(self.disks[number]) if up_to is None else up_to
        self.replicas[number].synced(self.synced[number] - self.bases[number], self.now)
        self.say(number)

    def deliver(self, wanted: Callable[[Mail], bool], *, sync: bool = True) -> None:
        """Let what is wanted arrive, and what is said on it, until nothing is left. `sync`: all disks keep up."""
        for _ in range(100):
            arriving = [mail for mail in self.mail if wanted(mail)]
            if not arriving:
                return
            self.mail = [mail for mail in self.mail if not wanted(mail)]
            for mail in arriving:
                self.replicas[mail.target].receive_datagram(mail.data, self.now)
                if sync:
                    self.sync(mail.target)
                else:
                    self.say(mail.target)
                if self.replicas[mail.target].role is not Role.PRIMARY:
                    self.replicas[mail.target].handle_deadline(self.now)
                    self.say(mail.target)
        raise AssertionError("they talk without end")

    def among(self, *numbers: int) -> Callable[[Mail], bool]:
        return lambda mail: mail.source in numbers and mail.target in numbers

    def campaign(self, number: int) -> Replica:
        """The coordinator gives a replica the next epoch, which it promises and asks the others to; not delivered."""
        self.epoch += 1
        replica = self.replicas[number]
        replica._begin_campaign(Phase.RAISING, self.now)
        replica.epoch_raised(self.epoch, self.now)
        self.sync(number)
        return replica

    def lead(self, number: int, *others: int) -> bool:
        """Let a replica win the next epoch with the promises of `others`; whether it leads now."""
        replica = self.campaign(number)
        self.deliver(self.among(number, *others))
        return replica.role is Role.PRIMARY

    def write(self, number: int, text: bytes) -> int:
        """A command to the primary, said and not delivered; its tx."""
        primary = self.replicas[number].primary
        assert primary is not None
        primary.command(WRITE, bytes((1, 1, 0)) + text, self.now)
        self.say(number)
        return primary.last_tx

    def beat(self, number: int) -> None:
        """Time passes to the replica's next heartbeat."""
        replica = self.replicas[number]
        self.now = max(self.now + 1, replica.next_deadline())
        replica.handle_deadline(self.now)
        self.say(number)

    def held(self, tx: int, entry: bytes) -> int:
        """On how many disks an entry would survive a power cut."""
        return sum(self._safe_log(number)[tx - 1 : tx] == [entry] for number in self.disks)

    def _safe_log(self, number: int) -> list[bytes]:
        log: list[bytes] = []
        for kind, payload in self.disks[number][: self.synced[number]]:
            if kind == COMMAND_RECORD:
                log.append(payload)
            elif kind == CUT_RECORD:
                del log[int.from_bytes(payload, "big") :]
        return log

    def check(self) -> None:
        """What anybody knows to be committed is one history, and on a majority of disks."""
        history: dict[int, bytes] = {}
        for replica in self.replicas.values():
            for tx in range(1, replica.commit_tx + 1):
                entry = replica.stable.log.entry(tx)
                assert history.setdefault(tx, entry) == entry, f"two committed transactions {tx}"
                assert self.held(tx, entry) >= 2, f"committed tx {tx} is on {self.held(tx, entry)} disks"
