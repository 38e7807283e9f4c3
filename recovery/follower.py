"""A replica that is not the primary: it finds where its log and the primary's are one, and goes on from there.

What it lacks comes in three ways: the stream's own packets; the primary's answers to pulls; and, when it is far behind,
another backup's answers, so that the primary is not slowed. Why those may be believed: who is BACKUP in an epoch has
proven that its log is the beginning of that epoch's log, and appends only what follows there. An epoch's log is one
(its primary makes each entry once), so an entry is the same whoever gives it. But what a backup's log *ends* with says
nothing about the end of the primary's; so only the primary's own answer settles the match, makes a BACKUP of a
follower, and cuts what lies beyond it.

When the other's log begins above all that ours agrees with, what is between is in snapshots only: `snapshot_wanted`.
"""

from recovery.command_log import Point
from recovery.control import Ack, Batch, Listening, Pull, StateDigest
from recovery.election import Election
from recovery.history import ReplicaDiverged
from recovery.member import MAX_BATCHES, Role
from recovery.snapshot import Snapshot, take
from recovery.view_change import Phase

PULL_GRACE = 2_000_000
"""ns to wait for what may only have been overtaken."""
PULL_TIMEOUT = 10_000_000
"""ns to wait for the answer to a pull, or twice as long as the last answer took …"""
MAX_PULL_TIMEOUT = 100_000_000
"""… but never longer, ns: who was asked may be gone."""
SNAPSHOT_PULL_INTERVAL = 100_000_000
"""ns between two pulls while a snapshot is awaited: it may turn out that none is needed any more."""
FAR_BEHIND = 4096
"""Entries: from here on another backup is asked. As many as a primary keeps uncommitted: below, one is hardly late."""
TELLINGS = 5
"""How often a digest is told, a heartbeat apart: datagrams get lost."""


class Follower(Election):
    """The part of a replica that follows a primary, and takes snapshots."""

    # Roles

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
        self._end_tx = self._relay = 0
        self._pulled_at = None
        self._patience = PULL_TIMEOUT
        self._pull_at = now
        self._apply_at = None
        self._begin_listening(now)

    def become_backup(self) -> None:
        """Our log is the beginning of the primary's, from before its epoch on."""
        assert self.role is Role.CATCHING_UP
        self.role = Role.BACKUP
        self._told_tx = -1
        self._wanted_tx = 0
        if self.stable.complete_epoch < self.epoch:
            self.stable.complete(self.epoch)

    def _hear(self, epoch: int, now: int, unanswered: int | None = None) -> None:
        """A sign of life of the primary of `epoch`, which is not lower than the promised one. See `_listen`."""
        if epoch > self.epoch or self.role is Role.FENCED:
            self.become_catching_up(epoch, now)
        self._listen(now, unanswered)
        if not self._is_deaf:
            self.campaign = None

    # Following

    def _follow(self, now: int) -> None:
        """A backup puts what it has heard into its log, and applies what is committed."""
        history = self.history
        history.take_heard(self.epoch)
        if history.heard.beyond(self.last_tx) and self._pull_at is None:
            self._pull_at = now + PULL_GRACE
        if self._apply_at is None:  # else there is more than one go takes, and the timer goes on with it
            self._apply_at = now if history.apply_committed(self._commit_seq, self.last_tx) else None

    def _step_batch(self, batch: Batch, now: int) -> None:
        """The primary gives a part of its log."""
        if batch.epoch < self.epoch or (batch.epoch == self.epoch and self._owner == self.replica_id):
            return
        self._hear(batch.epoch, now)
        self._owner = batch.sender
        self._end_tx = max(self._end_tx, batch.last_tx)
        matched = self._merge(batch, now)
        if matched is None:
            return
        self._commit_seq = max(self._commit_seq, batch.commit_seq)
        if self.role is Role.CATCHING_UP and matched >= batch.start_tx:
            self._cut_unmatched(matched)
            self.become_backup()
        if self.role is Role.BACKUP:
            self._follow(now)
            matched = self.last_tx
        self._go_on(batch, matched, now)

    def _step_relayed(self, batch: Batch, now: int) -> None:
        """A backup of the same epoch gives a part of its log. It settles nothing."""
        if batch.sender != self._relay:
            return
        matched = self._merge(batch, now)
        if matched is None:
            self._relay = 0
        elif self.role is Role.BACKUP:
            self._follow(now)
        if matched is not None:
            self._go_on(batch, matched, now)

    def _merge(self, given: Batch, now: int) -> int | None:
        """How far our log is now the one that the batch is from; None when that is still to be found out."""
        history = self.history
        if history.contradicts_base(given):
            if self._mode == "async":
                self._begin_anew(now)
            return None
        batch = history.trim(given)
        if batch is None:
            self._await_answer(now)
            return None
        if history.merge(batch):
            self._probed_tx = None
            return batch.tx + len(batch.entries)
        if batch.tx == batch.base_tx > 0 and batch.serving:
            self._wanted_tx = batch.base_tx
            self._pull_at = now + SNAPSHOT_PULL_INTERVAL
        elif batch.tx <= self.last_tx:
            if self._probes_lower(tx := history.probe(batch)):
                self._pull(tx, now)
        else:  # it has overtaken one before it
            self._await_answer(now)
        return None

    def _go_on(self, batch: Batch, matched: int, now: int) -> None:
        """Pull what follows, once all datagrams of this answer have come."""
        if self.last_tx < self._matched_tx:
            self._matched_tx = batch.tx  # what we had named was contradicted, and cut
        behind = matched < max(batch.last_tx, self._end_tx if self._relay else 0)
        if behind and matched <= self._matched_tx:
            # Of an answer that was given up for lost. It must not count: a second pull for what is on its way would
            # bring all of it twice, and again at the end of both answers, for as long as we are behind.
            self._await_answer(now)
            return
        if self._pulled_at is not None:
            self._patience = min(max(PULL_TIMEOUT, 2 * (now - self._pulled_at)), MAX_PULL_TIMEOUT)
            self._pulled_at = None
        if not behind:
            self._pull_at = None
            return
        self._matched_tx = matched
        self._batches += 1
        self._pull_at = now + self._patience
        if self._relay and matched >= batch.last_tx:
            self._relay = self._end_tx = 0  # it has no more; ask the primary again
            self._pull(matched, now)
        elif self._batches >= MAX_BATCHES:
            self._pull(matched, now)

    def _await_answer(self, now: int) -> None:
        """Nothing follows from what has come: go on waiting, or begin to."""
        if self._pull_at is None:
            self._pull_at = now + self._patience

    def _cut_unmatched(self, matched: int) -> None:
        """The first match in an epoch settles where our log ends.

        Once complete in it, a batch that ends earlier is old: what lies beyond it may have been acknowledged, and
        committed, by this replica's life before.
        """
        if self.stable.complete_epoch < self.epoch:
            self.history.cut(matched)

    def _pull(self, tx: int, now: int) -> None:
        tx = max(tx, self.stable.log.base.tx)
        pull = Pull(self.replica_id, self.epoch, tx, self.stable.log.epoch_at(tx))
        others = [peer for peer in self.peers if peer != self._owner]
        if self._owner and others and self._end_tx - tx > FAR_BEHIND:
            self._relay = self._relay or others[self._draw(len(others))]
        else:
            self._relay = 0
        self._tell([self._relay or self._owner] if self._owner else self.peers, pull)
        self._batches = 0
        self._matched_tx = tx
        self._pulled_at = now
        self._pull_at = now + self._patience

    def _pull_again(self, now: int) -> None:
        """Nobody has answered: the backup that was asked may be none, or gone. The primary knows."""
        self._probed_tx = None
        if self._relay:
            self._relay = self._end_tx = 0
        if self._pulled_at is not None:  # nothing at all has come: it may only be slow
            self._patience = min(2 * self._patience, MAX_PULL_TIMEOUT)
        self._pull(self.last_tx, now)

    def _acknowledge(self) -> None:
        """Tell the primary how much of its log is safe here, if it is its log that we have, and this is news."""
        if self.stable.safe_tx != self._told_tx and self._may_acknowledge():
            self._tell_ack()

    def _answer_heartbeat(self) -> None:
        """Also where there is no news: a primary that no majority answers is deaf."""
        if self._may_acknowledge():
            self._tell_ack()
        else:
            self._tell([self._owner] if self._owner else self.peers, Listening(self.replica_id, self.epoch))

    def _tell_ack(self) -> None:
        self._told_tx = self.stable.safe_tx
        ack = Ack(self.replica_id, self.epoch, self._told_tx)
        self._tell([self._owner] if self._owner else self.peers, ack)

    def _may_acknowledge(self) -> bool:
        return self.role is Role.BACKUP and self.stable.safe_complete == self.stable.safe_promise == self.epoch

    # Snapshots

    @property
    def snapshot_due(self) -> int | None:
        """The tx of which a snapshot is to be taken now; applying waits. Then `snapshot_begun`, taken or not."""
        return self.history.snapshot_due if self.role is Role.BACKUP else None

    @property
    def can_snapshot(self) -> bool:
        """Not while a part of what is applied is not committed, and never a primary that others follow."""
        execution = self.execution
        alone = self.role is not Role.PRIMARY or not self.peers
        return alone and 0 < self.commit_tx == execution.last_tx

    def snapshot(self) -> Snapshot | None:
        """Of what is applied, if that `can_snapshot`."""
        execution = self.execution
        if not self.can_snapshot:
            return None
        return take(execution, self.stable.log.epoch_at(execution.last_tx))

    def snapshot_begun(self) -> Point:
        """What `snapshot` gives now, which is of this point, is being saved; or it is not, this time. Applying goes on.

        The host keeps the point: until `snapshot_saved` the log may have come to the same tx in another way.
        """
        if self.role is Role.BACKUP:
            self._apply_at = self._heard_at
        return self.history.snapshot_begun()

    def snapshot_saved(self, point: Point, digest: int | None = None) -> None:
        """The snapshot that was begun there is on the disk, or one of another replica is, which we need not install.

        `digest` is the state's, in the one that was begun. Raises ReplicaDiverged when others have another one there.
        """
        tx, log = point.tx, self.stable.log
        if tx < log.base.tx:
            return  # another replica's, of a later tx, was installed meanwhile
        if not log.has(point):
            self._void_above = min(log.last_tx, tx - 1)  # it is of another branch (mode "async")
            return
        assert tx <= max(self.history.committed_tx, self.commit_tx)
        self.stable.snapshot_saved(tx)
        if digest is not None:
            self._digest_to_tell = StateDigest(self.replica_id, point.epoch, tx, digest)
            self._tellings = TELLINGS
            self._compare(self._digest_to_tell)

    def _compare(self, told: StateDigest) -> None:
        point = Point(told.tx, told.epoch)
        if told.sender != self.replica_id:
            self._offered = max(self._offered, point, key=lambda each: (each.epoch, each.tx))
        wrong = self._state_digests.say(told.sender, point, told.digest)
        if wrong is not None:
            raise ReplicaDiverged(f"shard {self.shard_id}: {wrong}")

    def _tell_digest(self) -> None:
        """With each heartbeat that is heard, a few times, while it is of our history."""
        told, log = self._digest_to_tell, self.stable.log
        if told is None or (told.tx >= log.base.tx and not log.has(Point(told.tx, told.epoch))):
            self._digest_to_tell = None
        elif self._tellings:
            self._tellings -= 1
            self._tell(self.peers, told)

    def snapshot_wanted(self) -> int | None:
        """Not None: what we lack is in no log. Get a snapshot of at least this tx of a peer; save and `install` it."""
        return self._wanted_tx if self._wanted_tx and self._wanted_tx > self.history.committed_tx else None

    def snapshot_offered(self) -> int | None:
        """Not None, at a primary, which takes none itself: a peer has a snapshot of this tx.

        With a copy of it (`snapshot_saved`) the primary's log and journal may begin later, too.
        """
        points, offered = self.stable.points, self._offered
        if offered.tx <= (points[-1].tx if points else 0) or self.role is not Role.PRIMARY:
            return None
        return offered.tx if offered.tx <= self.commit_tx and self.stable.log.has(offered) else None

    def install(self, snapshot: Snapshot, now: int) -> bool:
        """Go on from a peer's snapshot, which is saved. False: it is not needed (any more). Raises SnapshotDamaged.

        Nothing but committed history is in it, so it may be taken in any role but the primary's. What it says about
        epochs is history too: we hear, and match, the present primary anew.
        """
        assert snapshot.shard_id == self.shard_id
        self.history.note_commit()
        if self.role is Role.PRIMARY or snapshot.tx <= self.history.committed_tx:
            return False
        self.history.install(snapshot)
        self._wanted_tx = 0
        if snapshot.epoch > self.epoch:
            self._promise_epoch(snapshot.epoch, 0)
            self.become_fenced(now)
        elif self.campaign is not None and self.campaign.phase is Phase.FETCHING:
            self.campaign.resend_at = now
        elif self.role is not Role.FENCED:
            self.become_fenced(now)
        return True

    def _begin_anew(self, now: int) -> None:
        self.history.begin_anew()
        self._void_above = 0
        self._wanted_tx = 0
        self.become_fenced(now)

    @property
    def snapshots_are_void(self) -> bool:
        """Some of ours are: ask `snapshots_void_above`."""
        return self._void_above is not None

    def snapshots_void_above(self) -> int | None:
        """Not None: delete our snapshots of later tx than this; they are not history (mode "async")."""
        above, self._void_above = self._void_above, None
        return above

    @property
    def needed_number(self) -> int:
        """The journal's records before this one may go."""
        return self.stable.needed_number
