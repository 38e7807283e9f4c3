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
- The same holds for what a primary counts for itself: it leads at once, and counts itself when its completion is safe.
- Only what is safe is acknowledged, and only acknowledgements of the primary's own epoch count.
- A replica that may have forgotten (its memory, or its disk, is lost) promises an epoch above all it may have promised,
  and does not vote until it is complete in that one or a later one. So nothing it once said can still count.
- Each entry carries the chain before it. A replica whose own messages have another one stops: ReplicaDiverged.

In mode "async" everything is the same, except that a primary counts a command as committed when it is said, and that
a new one asks the retransmission servers for what its log lacks of that (`recovery.tail`).

- A snapshot is of committed history only. It may take the place of any log that does not reach it or contradicts it;
  nothing that contradicts it is believed (`recovery.history`).

The host, after each batch of calls: begins a snapshot that is due; writes `records_to_write()` as one batch, then sends
`datagrams_to_send(now)`; syncs what it wrote (at once when `needs_sync`) and says `synced`; asks the coordinator for
`epoch_to_raise()`; gets a snapshot that is wanted; and deletes what is void or no longer needed (`recovery.follower`).
"""

from recovery import packet
from recovery.control import (
    Ack,
    Batch,
    Canvass,
    Control,
    GarbledControl,
    Listening,
    Prepare,
    Pull,
    Reject,
    Silent,
    StateDigest,
    Wait,
    is_control,
    parse_control,
    told_settings,
)
from recovery.follower import Follower
from recovery.history import ReplicaDiverged
from recovery.member import MAX_BATCHES, SERVERS, STREAM, Role
from recovery.outbox import HEARTBEAT_INTERVAL
from recovery.packet import HEARTBEAT, RETRANSMITTED, GarbledPacket
from recovery.primary import Primary
from recovery.quorum import held_by_majority, majority
from recovery.record import PACKET_HEADER_BYTES, GarbledMessage, parse_commands
from recovery.store import MemoryStore
from recovery.versions import OtherVersion
from recovery.view_change import Phase

MAJORITY_TIMEOUT = 300_000_000
"""ns without an answer of a majority after which a primary is silent: it may be that it is heard and does not hear. Its
heartbeats say so before, and others who hear each other do not wait for this. Who pulls answers, too: it has promised
this epoch, and while it fetches what it lacks, which may take longer, another epoch would only make it begin again."""
MAX_CATCH_UP = 4 * MAX_BATCHES
"""Datagrams that a primary gives to followers between two heartbeats: some 30 µs each, less than a tenth of its time. A
follower that is far behind asks a backup instead (`recovery.follower`)."""
__all__ = ["SERVERS", "STREAM", "Replica", "ReplicaDiverged", "Role"]


class Replica(Follower):
    """One replica of one shard; see `Member` for how it is made."""

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

    # Roles

    def become_primary(self, now: int) -> None:
        """Our log is the best of a majority: apply all of it, which finishes what a predecessor had half said."""
        assert self.role is Role.FENCED
        assert self._owner == self.replica_id
        assert self.stable.complete_epoch == self.stable.safe_promise == self.epoch
        self.history.apply_all()  # which may show that we have diverged: then we lead nobody
        self.role = Role.PRIMARY
        self.campaign = None
        self._apply_at = None
        self._wanted_tx = 0
        self.primary = Primary(self.shard_id, self.execution.state_machine, self.execution)
        self.primary.lead(self.epoch, now, self.replica_id)
        self._acks = {}
        self._answer_times = dict.fromkeys(self.peers, now)
        self._tx_at_heartbeat = self.last_tx
        self._answered = 0

    # Datagrams

    def receive_datagrams(self, datagrams: list[bytes], now: int) -> bool:
        """All that has come at once, as `receive_datagram`; our own words, and acknowledgements that are overtaken by
        the same replica's, are left out; not where something is garbled, which may be what has overtaken them."""
        if self.primary is not None:
            datagrams = [data for data in datagrams if not self.says(data)]
        latest = self._ack_reader.latest(datagrams) if len(datagrams) > 1 else datagrams
        garbled, something = self.garbled, False
        for data in latest:
            something = self.receive_datagram(data, now) or something
        if self.garbled != garbled:
            for data in datagrams:
                if data not in latest:
                    something = self.receive_datagram(data, now) or something
        return something

    def says(self, data: bytes) -> bool:
        """Whether this is of our own stream, come back to us: it may be left out."""
        return self.primary is not None and packet.place(data) == (self.shard_id, self.epoch)

    def receive_datagram(self, data: bytes, now: int) -> bool:
        """A packet of the stream, or a control message. Raises ReplicaDiverged, SettingsDiffer.

        False: there is nothing to be done about it, as about an acknowledgement that more than a majority have given.
        """
        try:
            if is_control(data):
                return self._receive_control(data, now)
            self._receive_packet(data, now)
        except (GarbledControl, GarbledPacket, GarbledMessage):
            self.garbled += 1
        except OtherVersion as other:
            self.garbled += 1
            self.other_versions.hear(other)
        return True

    def _receive_control(self, data: bytes, now: int) -> bool:
        if self._ack_reader.is_like(data):
            sender, epoch, tx = self._ack_reader.read(data)
            return sender in self.peers and self._step_ack(sender, epoch, tx, now)
        message = parse_control(self.shard_id, data)
        sender = message.sender
        if sender not in self.peers:
            return False
        leads = isinstance(message, Wait) and message.epoch >= self.epoch  # it has won this epoch
        if self.others_settings.agree(sender, told_settings(data), leads=leads):
            if isinstance(message, Ack):
                return self._step_ack(*message, now)
            self._step(message, now)
        elif self.role is Role.PRIMARY and (isinstance(message, Pull) or message.epoch > self.epoch):
            self._tell([sender], Wait(self.replica_id, self.epoch))  # it is not served, and told who we are
        return True

    def _step(self, message: Control, now: int) -> None:
        """What holds in every role; then what is this role's."""
        if isinstance(message, Prepare):
            self._step_prepare(message, now)
        elif isinstance(message, Canvass):
            self._step_canvass(message, now)
        elif isinstance(message, Reject):
            self._step_reject(message, now)
        elif isinstance(message, Batch) and message.serving:
            self._step_batch(message, now)
        elif isinstance(message, StateDigest):
            self._compare(message)
        elif message.epoch != self.epoch and not isinstance(message, Silent):
            return
        elif self.role is Role.PRIMARY:
            self._step_primary(message, now)
        elif self.campaign is not None:
            self._step_campaign(message, self.campaign, now)
        elif self.role is Role.FENCED:
            self._step_fenced(message, now)
        elif isinstance(message, Batch):
            self._step_relayed(message, now)
        elif isinstance(message, Pull) and self.role is Role.BACKUP:
            self._answer(message, datagrams=MAX_BATCHES)

    def _step_fenced(self, message: Control, now: int) -> None:
        """A candidate that we have promised its epoch is at work: be patient."""
        if message.sender == self._owner and isinstance(message, Pull | Wait):
            self._listen(now)
            if isinstance(message, Pull):
                self._answer(message, datagrams=MAX_BATCHES)

    def _receive_packet(self, data: bytes, now: int) -> None:
        """What a primary says to everybody."""
        shard_id, epoch, flags, count, first_seq, commit_seq = packet.parse_packet(data)
        if shard_id != self.shard_id:
            return
        if flags & RETRANSMITTED:
            if self.campaign is not None and self.campaign.tail is not None:
                self.campaign.tail.receive(epoch, first_seq, count, data)
            return
        if epoch < self.epoch:
            self._reject_stream(now)
            return
        if epoch == self.epoch and self._owner == self.replica_id:
            return  # our own words
        heard = parse_commands(shard_id, first_seq, count, data, PACKET_HEADER_BYTES) if count else None
        self._hear(epoch, now, packet.primary_of(data)[1] if flags & HEARTBEAT else None)
        if flags & HEARTBEAT:
            self.history.heard.begin(packet.epoch_start_of(data))
        if heard is not None:
            self.history.heard.receive(*heard)
        self._commit_seq = max(self._commit_seq, commit_seq)
        if self.role is Role.BACKUP:
            self._follow(now)
        if flags & HEARTBEAT:
            self._answer_heartbeat()
            self._tell_digest()

    # Leading

    def _step_ack(self, sender: int, epoch: int, tx: int, now: int) -> bool:
        """Gives whether anything comes of it: a commit, or an answer to one who is late."""
        if self.primary is None or epoch != self.epoch:
            return False
        self._answer_times[sender] = now
        self._acks[sender] = max(self._acks.get(sender, 0), tx)
        advanced = self._advance_commit()
        if tx >= self._tx_at_heartbeat:
            return advanced
        log = self.stable.log
        tx_epoch = log.epoch_at(tx) if tx >= log.base.tx else 0
        self._answer(Pull(sender, epoch, tx, tx_epoch), datagrams=1)
        return True

    def _step_primary(self, message: Control, now: int) -> None:
        if isinstance(message, Listening | Pull):
            self._answer_times[message.sender] = now
        if isinstance(message, Pull):
            self._answer(message, datagrams=MAX_BATCHES)

    def _answer(self, pull: Pull, datagrams: int) -> None:
        """Give a part of our log: to a follower of this epoch, or to a candidate that we have promised its epoch."""
        serving = self.primary is not None
        if serving:
            datagrams = min(datagrams, MAX_CATCH_UP - self._answered)
            self._answered += datagrams
        start_tx = self.primary.outbox.start.tx if self.primary is not None else 0
        for batch in self.history.batches(self.replica_id, pull, start_tx, serving=serving, datagrams=datagrams):
            self._tell([pull.sender], batch)

    def _advance_commit(self) -> bool:
        """Whether anything more is committed now."""
        primary = self.primary
        assert primary is not None
        if not primary.uncommitted or (tx := self._committed_tx()) <= self.commit_tx:
            return False
        primary.committed(tx)
        return True

    def _committed_tx(self) -> int:
        """What a majority holds safely, ourselves included; in mode "async", all there is."""
        if self._mode == "async":
            return self.last_tx
        held = self.stable.safe_tx if self._is_complete else 0
        return min(self.last_tx, held_by_majority([held, *self._acks.values()], self._replica_count))

    @property
    def _is_complete(self) -> bool:
        """Whether it is safe here that our log is complete in its epoch."""
        return self.stable.safe_complete == self.epoch

    def _majority_heard_at(self) -> int:
        """When a majority, ourselves not included in the waiting, had last answered."""
        times = sorted(self._answer_times.values(), reverse=True)
        return times[majority(self._replica_count) - 2] if times else 0

    # Safety, output, time

    def records_to_write(self) -> list[tuple[int, bytes]]:
        """(kind, payload) for the journal, in order: one batch."""
        self._collect()
        self.stable.committed(self.commit_tx)
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
            elif campaign is not None and campaign.phase is Phase.LENGTHENING:
                if self._may_lead(campaign, now):
                    self._add_tail(campaign, now)
            elif campaign is not None and campaign.phase is Phase.COMPLETING:
                if (self._mode == "quorum" or self._is_complete) and self._may_lead(campaign, now):
                    self.become_primary(now)
            elif self._owner not in (0, self.replica_id) and not self._promise_told:
                self._promise_told = True
                self._tell([self._owner], self._promise())

    def datagrams_to_send(self, now: int) -> list[tuple[int, bytes]]:
        """(STREAM, SERVERS or a replica's id, datagram). What was to be written before is in the journal's hands."""
        self._settle(now)
        outgoing, self._outgoing = self._outgoing, []
        if self.primary is not None:
            for data in self.primary.datagrams_to_send():
                outgoing.append((STREAM, data))
        return outgoing

    def next_deadline(self) -> int:
        if self.primary is not None:
            return self.primary.next_deadline()  # comes often enough for the rest of a primary's patience
        deadline = self._silent_at
        if self.campaign is not None:
            deadline = min(self.campaign.deadline, self.campaign.resend_at)
        if self._pull_at is not None and self._pull_at < deadline:
            deadline = self._pull_at
        if self._apply_at is not None and self._apply_at < deadline:
            deadline = self._apply_at
        return deadline

    def handle_deadline(self, now: int) -> None:
        if self.primary is not None:
            self._lead_on(self.primary, now)
        if self._apply_at is not None:
            self._apply_at = None
            if self.role is Role.BACKUP:
                self._follow(now)
        if self._pull_at is not None and now >= self._pull_at:
            self._pull_again(now)
        if self.campaign is not None:
            self._campaign_on(self.campaign, now)
        elif self.role is not Role.PRIMARY and now >= self._silent_at:
            self._begin_campaign(Phase.CANVASSING if self.peers else Phase.RAISING, now)

    def _lead_on(self, primary: Primary, now: int) -> None:
        late = now - primary.next_deadline()
        if late > HEARTBEAT_INTERVAL:  # we were busy, with taking over for one; what was said to us may not be read yet
            self._answer_times = {peer: min(at + late, now) for peer, at in self._answer_times.items()}
        unanswered = now - self._majority_heard_at() if self._mode == "quorum" and self.peers else 0
        if unanswered > MAJORITY_TIMEOUT:
            self.become_fenced(now)
            return
        primary.handle_deadline(now, unanswered)
        self._tx_at_heartbeat = self.last_tx
        self._answered = 0
