"""One replica of a shard: follows its primary, or is it, or becomes it. Commands survive it; what they make is remade.

Theory of operation. A shard has n replicas, of which a majority (2 of 3, 3 of 5) must live. One is the PRIMARY of an
*epoch*; the others listen to what it says on the shard's stream, log the commands they hear, and acknowledge them once
their log is safe. What a majority has acknowledged in the present epoch is committed; the primary says so in every
packet, and nobody acts on anything above it. Events are not replicated: they are made again from the commands.

               hears the epoch's primary               log matches, up to where the epoch began
        FENCED ─────────────────────────► CATCHING_UP ──────────────────────────────────────────► BACKUP
          │ ▲ ▲                                │                                                     │
          │ │ └────────────────────────────────┴─────────── promises a higher epoch ◄────────────────┘
          │ └─────────────────────────── promises a higher epoch, or no majority answers ◄──┐
          └──── wins a majority's promises, has the best of their logs ──────────────► PRIMARY

    PRIMARY       sequences commands in its own epoch; commits what a majority acknowledged
    BACKUP        its log is the beginning of the primary's; acknowledges, and applies what is committed
    CATCHING_UP   hears a primary whose log it does not have yet; pulls, and acknowledges nothing
    FENCED        has promised an epoch whose primary it does not hear: serves nobody, and waits, or campaigns

The rules on which everything rests:

- A promise is safe on disk before it is told. Who promised an epoch takes nothing from a lower one, ever again.
- An epoch belongs to one replica: the coordinator raises it by compare-and-set. Time plays no part in safety.
- A new primary has the best log of a majority that promised (`recovery.view_change`), and says all of it that it does
  not know to be committed again in its own epoch. Old entries are committed by acknowledgements of the new epoch.
- A backup acknowledges in an epoch only when its log is, up to where that epoch began, the primary's; and that fact
  ("complete in the epoch") is safe too. Until then it keeps the old end of its log: it may be all that is left of it.
- Only what is safe is acknowledged, and only acknowledgements of the primary's own epoch count.
- A replica that may have forgotten (its memory, or its disk, is lost) promises an epoch above all it may have promised,
  and does not vote until it is complete in that one or a later one. So nothing it once said can still count.
- Each entry carries the chain before it. A replica whose own messages have another one stops: ReplicaDiverged.

In mode "async" everything is the same, except that a primary counts a command as committed when it is said.

The host, after each batch of calls: writes `records_to_write()` as one batch, then sends `datagrams_to_send(now)`;
syncs what it wrote (at once when `needs_sync`) and says `synced`; asks the coordinator for `epoch_to_raise()`.
"""

from collections.abc import Callable, Sequence
from enum import Enum

from recovery import packet
from recovery.control import (
    Ack,
    Batch,
    Canvass,
    Control,
    GarbledControl,
    Prepare,
    Promise,
    Pull,
    Reject,
    Silent,
    is_control,
    make_control,
    parse_control,
)
from recovery.execution import Execution, StateMachine
from recovery.history import History, Mode
from recovery.packet import HEARTBEAT, RETRANSMITTED, GarbledPacket
from recovery.primary import Primary
from recovery.quorum import held_by_majority, majority
from recovery.record import PACKET_HEADER_BYTES, GarbledMessage, parse_all
from recovery.stable import Durability
from recovery.store import MemoryStore
from recovery.view_change import RESEND_INTERVAL, Campaign, Phase

SILENCE = 200_000_000
"""ns without a word of the primary that a backup takes for its death: four heartbeats."""
SILENCE_SPREAD = 50_000_000
"""ns; drawn anew each time, so that two backups seldom campaign at once."""
MAJORITY_TIMEOUT = 300_000_000
"""ns without a majority's acknowledgement after which a primary is silent, so that others who hear each other may lead:
it may be that it is heard and does not hear."""
PULL_GRACE = 2_000_000
"""ns to wait for what may only have been overtaken."""
PULL_TIMEOUT = 10_000_000
"""ns to wait for the answer to a pull."""
MAX_BATCHES = 32
"""Datagrams that answer one pull: some 45 kB, which any receive buffer holds."""

STREAM = 0
"""As a destination: everybody who listens to the shard. Others are replica ids, which begin at 1."""


class Role(Enum):
    PRIMARY = "primary"
    BACKUP = "backup"
    CATCHING_UP = "catching up"
    FENCED = "fenced"


class Replica:
    """`draw(n)` gives a random number below n. First `replay` the journal, then `start`."""

    def __init__(
        self,
        shard_id: int,
        replica_id: int,
        replica_ids: Sequence[int],
        make_state_machine: Callable[[], StateMachine],
        *,
        mode: Mode,
        durability: Durability,
        draw: Callable[[int], int],
    ) -> None:
        assert replica_id in replica_ids
        assert STREAM not in replica_ids
        self.shard_id = shard_id
        self.replica_id = replica_id
        self.peers = [peer for peer in replica_ids if peer != replica_id]
        self.role = Role.FENCED
        self.history = History(shard_id, make_state_machine, mode, durability)
        self.stable = self.history.stable
        self.primary: Primary | None = None
        self.campaign: Campaign | None = None
        self.garbled = 0
        self._replica_count = len(replica_ids)
        self._mode = mode
        self._draw = draw
        self._outgoing: list[tuple[int, bytes]] = []
        self._owner = 0  # of the promised epoch; 0 = not known
        self._known_epoch = 0
        self._commit_seq = 0  # as the primary of the promised epoch says it
        self._heard_at = 0
        self._silent_at = 0
        self._fenced_at = 0
        self._rejected_at = 0
        self._promise_told = False
        self._raise_above: int | None = None
        self._pull_at: int | None = None
        self._batches = 0
        self._told_tx = -1
        self._acks: dict[int, int] = {}
        self._ack_times: dict[int, int] = {}
        self._tx_at_heartbeat = 0

    # What is seen from outside

    @property
    def epoch(self) -> int:
        """The promised one: nothing of a lower one is taken or said."""
        return self.stable.promised_epoch

    @property
    def execution(self) -> Execution:
        return self.history.execution

    @property
    def last_tx(self) -> int:
        return self.stable.log.last_tx

    @property
    def commit_tx(self) -> int:
        return self.execution.commit_tx

    @property
    def needs_sync(self) -> bool:
        return self.stable.needs_sync

    @property
    def store(self) -> MemoryStore:
        """With the next two: what a retransmitter may serve from this replica."""
        return self.execution.store

    @property
    def proven_epoch(self) -> int:
        return self.epoch if self.role in (Role.PRIMARY, Role.BACKUP) else 0

    @property
    def commit_seq(self) -> int:
        return self.execution.commit_seq

    # Start

    def replay(self, kind: int, payload: bytes) -> None:
        """One record of the journal, in order."""
        self.stable.replay(kind, payload)

    def start(self, now: int, *, forgot: bool = False, highest_epoch: int = 0) -> None:
        """The journal is replayed.

        `forgot`: it may lack what was acknowledged once, because it is new where it should not be, was damaged, or was
        written with durability "memory". `highest_epoch` is then the coordinator's, read after the start, unless the
        journal's promises are known to be all there.
        """
        self.stable.opened()
        self._known_epoch = highest_epoch
        if forgot:
            self.stable.recover(max(self.epoch, highest_epoch) + 1)
        self.become_fenced(now)
        if not self.peers:
            self._silent_at = now

    # Roles

    def become_fenced(self, now: int) -> None:
        """Serve nobody. What was applied stays applied until the log says otherwise."""
        self._collect()
        self.role = Role.FENCED
        self.primary = None
        self.campaign = None
        self._promise_told = False
        self._pull_at = None
        self._fenced_at = now
        self._listen(now)

    def become_catching_up(self, epoch: int, now: int) -> None:
        """A primary of `epoch` is heard: find out what its log has that ours has not."""
        assert epoch > self.epoch or (epoch == self.epoch and self.role is Role.FENCED)
        if epoch > self.epoch:
            self._promise_epoch(epoch, 0)
        self.role = Role.CATCHING_UP
        self.primary = None
        self.campaign = None
        self.history.heard.clear()
        self._commit_seq = 0
        self._pull_at = now
        self._listen(now)

    def become_backup(self) -> None:
        """Our log is the beginning of the primary's, from before its epoch on."""
        assert self.role is Role.CATCHING_UP
        self.role = Role.BACKUP
        self._told_tx = -1
        if self.stable.complete_epoch < self.epoch:
            self.stable.complete(self.epoch)

    def become_primary(self, now: int) -> None:
        """Our log is the best of a majority: apply all of it, which finishes what a predecessor had half said."""
        assert self.role is Role.FENCED
        assert self._owner == self.replica_id
        assert self.stable.safe_complete == self.stable.safe_promise == self.epoch
        self.role = Role.PRIMARY
        self.campaign = None
        self.history.apply_all()
        self.primary = Primary(self.shard_id, self.execution.state_machine, self.execution)
        self.primary.lead(self.epoch, now)
        self._acks = {}
        self._ack_times = dict.fromkeys(self.peers, now)
        self._tx_at_heartbeat = self.last_tx

    def _promise_epoch(self, epoch: int, owner: int) -> None:
        self._collect()
        self.stable.promise(epoch)
        self._owner = owner

    def _collect(self) -> None:
        """What the primary has sequenced is in the log, too."""
        if self.primary is not None:
            for _, entry in self.primary.records_to_write():
                self.stable.append(entry)

    def _listen(self, now: int) -> None:
        """The primary, or a promise, was heard just now: wait for its silence from here on."""
        self._heard_at = now
        self._silent_at = now + SILENCE + self._draw(SILENCE_SPREAD)

    # Datagrams

    def receive_datagram(self, data: bytes, now: int) -> None:
        """A packet of the stream, or a control message. Raises ReplicaDiverged."""
        try:
            if is_control(data):
                self._step(parse_control(self.shard_id, data), now)
            else:
                self._receive_packet(data, now)
        except (GarbledControl, GarbledPacket, GarbledMessage):
            self.garbled += 1

    def _step(self, message: Control, now: int) -> None:
        """What holds in every role; then what is this role's."""
        if message.sender not in self.peers:
            return
        if isinstance(message, Prepare):
            self._step_prepare(message, now)
        elif isinstance(message, Canvass):
            self._step_canvass(message, now)
        elif isinstance(message, Reject):
            self._step_reject(message, now)
        elif isinstance(message, Batch) and message.serving:
            self._step_batch(message, now)
        elif message.epoch != self.epoch and not isinstance(message, Silent):
            return
        elif self.role is Role.PRIMARY:
            self._step_primary(message, now)
        elif self.campaign is not None:
            self._step_campaign(message, self.campaign, now)
        elif isinstance(message, Pull) and self.role is Role.FENCED and message.sender == self._owner:
            self._answer(message, datagrams=MAX_BATCHES)

    def _receive_packet(self, data: bytes, now: int) -> None:
        """What a primary says to everybody."""
        shard_id, epoch, flags, count, first_seq, commit_seq = packet.parse_packet(data)
        if shard_id != self.shard_id or flags & RETRANSMITTED:
            return
        if epoch < self.epoch:
            self._reject_stream(now)
            return
        if epoch == self.epoch and self._owner == self.replica_id:
            return  # our own words
        messages = parse_all(shard_id, first_seq, count, data, PACKET_HEADER_BYTES) if count else []
        self._hear(epoch, now)
        if flags & HEARTBEAT:
            self.history.heard.begin(packet.epoch_start_of(data))
        self.history.heard.receive(messages)
        self._commit_seq = max(self._commit_seq, commit_seq)
        if self.role is Role.BACKUP:
            self._follow(now)
        if flags & HEARTBEAT:
            self._acknowledge(even_if_told=True)

    def _hear(self, epoch: int, now: int) -> None:
        """A sign of life of the primary of `epoch`, which is not lower than the promised one."""
        if epoch > self.epoch or self.role is Role.FENCED:
            self.become_catching_up(epoch, now)
        self.campaign = None
        self._listen(now)

    # Following

    def _follow(self, now: int) -> None:
        """A backup puts what it has heard into its log, and applies what is committed."""
        history = self.history
        history.take_heard(self.epoch)
        if history.heard.beyond(self.last_tx) and self._pull_at is None:
            self._pull_at = now + PULL_GRACE
        history.apply_committed(self._commit_seq)

    def _step_batch(self, batch: Batch, now: int) -> None:
        """The primary gives a part of its log."""
        if batch.epoch < self.epoch or (batch.epoch == self.epoch and self._owner == self.replica_id):
            return
        self._hear(batch.epoch, now)
        self._owner = batch.sender
        if not self.history.merge(batch):
            if batch.tx <= self.last_tx:
                self._pull(self.history.probe(batch), now)
            else:  # it has overtaken one before it
                self._pull_at = now + PULL_TIMEOUT if self._pull_at is None else self._pull_at
            return
        matched = batch.tx + len(batch.entries)
        self._commit_seq = max(self._commit_seq, batch.commit_seq)
        if self.role is Role.CATCHING_UP and matched >= batch.start_tx:
            self.history.cut(matched)
            self.become_backup()
        if self.role is Role.BACKUP:
            self._follow(now)
            matched = self.last_tx
        self._batches += 1
        self._pull_at = None
        if matched < batch.last_tx:
            self._pull_at = now + PULL_TIMEOUT
            if self._batches >= MAX_BATCHES:
                self._pull(matched, now)

    def _pull(self, tx: int, now: int) -> None:
        pull = Pull(self.replica_id, self.epoch, tx, self.stable.log.epoch_at(tx))
        self._tell([self._owner] if self._owner else self.peers, pull)
        self._batches = 0
        self._pull_at = now + PULL_TIMEOUT

    def _acknowledge(self, *, even_if_told: bool = False) -> None:
        """Tell the primary how much of its log is safe here, if it is its log that we have."""
        tx = self.stable.safe_tx
        if self.role is Role.BACKUP and self._may_acknowledge() and (even_if_told or tx != self._told_tx):
            self._told_tx = tx
            self._tell([self._owner] if self._owner else self.peers, Ack(self.replica_id, self.epoch, tx))

    def _may_acknowledge(self) -> bool:
        return self.stable.safe_complete == self.stable.safe_promise == self.epoch

    # Leading

    def _step_primary(self, message: Control, now: int) -> None:
        if isinstance(message, Ack):
            self._acks[message.sender] = max(self._acks.get(message.sender, 0), message.tx)
            self._ack_times[message.sender] = now
            self._advance_commit()
            if message.tx < self._tx_at_heartbeat:
                tx = message.tx
                self._answer(Pull(message.sender, self.epoch, tx, self.stable.log.epoch_at(tx)), datagrams=1)
        elif isinstance(message, Pull):
            self._answer(message, datagrams=MAX_BATCHES)

    def _answer(self, pull: Pull, datagrams: int) -> None:
        """Give a part of our log: to a follower, or to a candidate that we have promised its epoch."""
        serving = self.primary is not None
        start_tx = self.primary.outbox.start.tx if self.primary is not None else 0
        for batch in self.history.batches(self.replica_id, pull, start_tx, serving=serving, datagrams=datagrams):
            self._tell([pull.sender], batch)

    def _advance_commit(self) -> None:
        assert self.primary is not None
        tx = self._committed_tx()
        if tx > self.commit_tx:
            self.primary.committed(tx)

    def _committed_tx(self) -> int:
        """What a majority holds safely, ourselves included; in mode "async", all there is."""
        if self._mode == "async":
            return self.last_tx
        return min(self.last_tx, held_by_majority([self.stable.safe_tx, *self._acks.values()], self._replica_count))

    def _majority_heard_at(self) -> int:
        """When a majority, ourselves not included in the waiting, had last acknowledged."""
        times = sorted(self._ack_times.values(), reverse=True)
        return times[majority(self._replica_count) - 2] if times else 0

    # Changing the primary

    def _step_prepare(self, prepare: Prepare, now: int) -> None:
        """A replica owns a higher epoch: promise it. The promise is told when it is safe."""
        if prepare.epoch < self.epoch:
            self._tell([prepare.sender], Reject(self.replica_id, self.epoch))
        elif prepare.epoch > self.epoch:
            self._promise_epoch(prepare.epoch, prepare.sender)
            self.become_fenced(now)
        elif self.role is Role.FENCED and self._owner in (0, prepare.sender):
            self._owner = prepare.sender
            self._promise_told = False  # it asks again: the promise was lost

    def _step_canvass(self, canvass: Canvass, now: int) -> None:
        if canvass.epoch < self.epoch:
            self._tell([canvass.sender], Reject(self.replica_id, self.epoch))
        elif self.role is not Role.PRIMARY and now - self._heard_at >= SILENCE:
            self._tell([canvass.sender], Silent(self.replica_id, canvass.epoch))

    def _step_reject(self, reject: Reject, now: int) -> None:
        """Somebody has promised a higher epoch: whoever leads, or wants to, needs a still higher one."""
        if reject.epoch <= max(self.epoch, self._known_epoch) and self.role is not Role.PRIMARY:
            return
        self._known_epoch = max(self._known_epoch, reject.epoch)
        if self.role is Role.PRIMARY:
            if self.campaign is None and reject.epoch > self.epoch:
                self._begin_campaign(Phase.RAISING, now)
        elif self.campaign is not None:
            self.campaign = None
            self._silent_at = now + self._draw(SILENCE_SPREAD)

    def _reject_stream(self, now: int) -> None:
        """A primary we cannot follow is alive. It may not know yet that we have promised a higher epoch."""
        patient = self.role is not Role.FENCED or now - self._fenced_at < SILENCE // 2
        if not patient and self.campaign is None and now - self._rejected_at >= RESEND_INTERVAL:
            self._rejected_at = now
            self._tell(self.peers, Reject(self.replica_id, self.epoch))

    def _begin_campaign(self, phase: Phase, now: int) -> None:
        epoch = max(self.epoch, self._known_epoch)
        self.campaign = Campaign(phase, epoch, self.replica_id, self._replica_count, now)
        if phase is Phase.RAISING:
            self._raise_above = epoch
        self._campaign_on(self.campaign, now)

    def epoch_to_raise(self) -> int | None:
        """Not None: raise the coordinator's epoch above this one, for us; then `epoch_raised` or `epoch_not_raised`."""
        above, self._raise_above = self._raise_above, None
        return above

    def epoch_raised(self, epoch: int, now: int) -> None:
        """`epoch` is ours alone. An answer that nobody waits for any more is let go: an epoch may stay without use."""
        campaign = self.campaign
        if campaign is None or campaign.phase is not Phase.RAISING or epoch <= self.epoch:
            return
        self._promise_epoch(epoch, self.replica_id)
        self.become_fenced(now)
        self._begin_campaign(Phase.PREPARING, now)

    def epoch_not_raised(self, now: int) -> None:
        """Somebody else was first, or the coordinator does not answer."""
        if self.campaign is not None and self.campaign.phase is Phase.RAISING:
            self.campaign = None
            self._silent_at = now + SILENCE + self._draw(SILENCE_SPREAD)

    def _step_campaign(self, message: Control, campaign: Campaign, now: int) -> None:
        phase = campaign.phase
        if isinstance(message, Silent) and phase is Phase.CANVASSING and message.epoch == campaign.epoch:
            if campaign.silent(message.sender):
                self._begin_campaign(Phase.RAISING, now)
        elif isinstance(message, Promise) and phase is Phase.PREPARING:
            if campaign.promised(message):
                self._fetch(campaign, now)
        elif isinstance(message, Batch) and phase is Phase.FETCHING:
            assert campaign.best is not None
            if message.sender == campaign.best.sender:
                self._fetched(message, campaign, campaign.best.last_tx, now)

    def _fetch(self, campaign: Campaign, now: int) -> None:
        """A majority has promised: the best log of theirs is to be ours."""
        best = campaign.choose()
        campaign.advance(Phase.FETCHING)
        if best.sender == self.replica_id:
            self._complete(campaign)
        else:
            campaign.resend_at = now

    def _fetched(self, batch: Batch, campaign: Campaign, last_tx: int, now: int) -> None:
        if not self.history.merge(batch):
            if batch.tx <= self.last_tx:
                self._pull_from(batch.sender, self.history.probe(batch))
        elif batch.tx + len(batch.entries) >= last_tx:
            self.history.cut(last_tx)
            self._complete(campaign)
        else:
            campaign.resend_at = now + RESEND_INTERVAL
            self._batches += 1
            if self._batches >= MAX_BATCHES:
                self._pull_from(batch.sender, batch.tx + len(batch.entries))

    def _pull_from(self, sender: int, tx: int) -> None:
        self._batches = 0
        self._tell([sender], Pull(self.replica_id, self.epoch, tx, self.stable.log.epoch_at(tx)))

    def _complete(self, campaign: Campaign) -> None:
        campaign.advance(Phase.COMPLETING)
        self.stable.complete(self.epoch)

    # Safety, output, time

    def records_to_write(self) -> list[tuple[int, bytes]]:
        """(kind, payload) for the journal, in order: one batch."""
        self._collect()
        return self.stable.records_to_write()

    def synced(self, number: int, now: int) -> None:
        """The first `number` records given in this life are safe; see `stable.written`."""
        self.stable.synced(number)
        self._settle(now)

    def _settle(self, now: int) -> None:
        """Tell what may be told of what has become safe."""
        campaign = self.campaign
        if self.role is Role.PRIMARY:
            self._advance_commit()
        elif self.role is Role.BACKUP:
            self._acknowledge()
        elif self.role is Role.FENCED and self.stable.safe_promise == self.epoch:
            if campaign is not None and campaign.phase is Phase.PREPARING:
                if campaign.promised(self._promise()):
                    self._fetch(campaign, now)
            elif campaign is not None and campaign.phase is Phase.COMPLETING:
                if self.stable.safe_complete == self.epoch:
                    self.become_primary(now)
            elif self._owner not in (0, self.replica_id) and not self._promise_told:
                self._promise_told = True
                self._tell([self._owner], self._promise())

    def _promise(self) -> Promise:
        stable = self.stable
        return Promise(self.replica_id, self.epoch, stable.safe_complete, stable.safe_tx, stable.recovering)

    def _tell(self, receivers: Sequence[int], message: Control) -> None:
        data = make_control(self.shard_id, message)
        for receiver in receivers:
            self._outgoing.append((receiver, data))

    def datagrams_to_send(self, now: int) -> list[tuple[int, bytes]]:
        """(STREAM or a replica's id, datagram). What was to be written before has been handed to the journal."""
        self._settle(now)
        outgoing, self._outgoing = self._outgoing, []
        if self.primary is not None:
            outgoing += [(STREAM, data) for data in self.primary.datagrams_to_send()]
        return outgoing

    def next_deadline(self) -> int:
        if self.primary is not None:
            return self.primary.next_deadline()  # comes often enough for the rest of a primary's patience
        deadline = self._silent_at
        if self.campaign is not None:
            deadline = min(self.campaign.deadline, self.campaign.resend_at)
        return deadline if self._pull_at is None else min(deadline, self._pull_at)

    def handle_deadline(self, now: int) -> None:
        if self.primary is not None:
            self._lead_on(self.primary, now)
        if self._pull_at is not None and now >= self._pull_at:
            self._pull(self.last_tx, now)
        if self.campaign is not None:
            self._campaign_on(self.campaign, now)
        elif self.role is not Role.PRIMARY and now >= self._silent_at:
            self._begin_campaign(Phase.CANVASSING if self.peers else Phase.RAISING, now)

    def _lead_on(self, primary: Primary, now: int) -> None:
        if self._mode == "quorum" and self.peers and now - self._majority_heard_at() > MAJORITY_TIMEOUT:
            self.become_fenced(now)
            return
        primary.handle_deadline(now)
        self._tx_at_heartbeat = self.last_tx

    def _campaign_on(self, campaign: Campaign, now: int) -> None:
        """Say again what may have been lost, or give up this attempt."""
        if now >= campaign.deadline:
            self.campaign = None
            self._silent_at = now + self._draw(SILENCE_SPREAD)
            return
        if now < campaign.resend_at:
            return
        campaign.resend_at = now + RESEND_INTERVAL
        if campaign.phase is Phase.CANVASSING:
            self._tell(self.peers, Canvass(self.replica_id, campaign.epoch))
        elif campaign.phase is Phase.PREPARING:
            self._tell(self.peers, Prepare(self.replica_id, campaign.epoch))
        elif campaign.phase is Phase.FETCHING and campaign.best is not None:
            self._pull_from(campaign.best.sender, self.last_tx)
