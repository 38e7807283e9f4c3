"""How a replica becomes the primary of an epoch, and how it helps another one to: canvassing, promises, the best log.

Each answer is checked against the attempt it belongs to (`recovery.view_change`): late, repeated and lost ones do no
harm. Three rules keep the peace: nobody campaigns while a majority hears the primary; who has agreed with another that
it is missed leaves that one the first try; and whoever has promised an epoch that nobody serves tells the living
primary so, which then asks for a higher one itself.
"""

from recovery.command_log import make_entry
from recovery.control import Batch, Canvass, Control, Prepare, Promise, Pull, Reject, Silent, Wait
from recovery.member import MAX_BATCHES, SERVERS, SILENCE, SILENCE_SPREAD, Member, Role
from recovery.tail import Tail
from recovery.view_change import CAMPAIGN_TIMEOUT, FIRST_TRY, RESEND_INTERVAL, Campaign, Phase


class Election(Member):
    """The part of a replica that changes the primary."""

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
        elif self.role is not Role.PRIMARY and now - self._missed_since >= SILENCE:
            self._tell([canvass.sender], Silent(self.replica_id, canvass.epoch))
            # Counted from when the primary was missed: who canvasses again and again in vain keeps nobody waiting.
            self._silent_at = max(self._silent_at, self._missed_since + SILENCE + FIRST_TRY)
        elif canvass.epoch > self.epoch:
            # A later epoch was served, out of our hearing, and its primary is gone: without us nobody may follow it.
            self._step_reject(Reject(canvass.sender, canvass.epoch), now)

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
        self._spread = self._draw(SILENCE_SPREAD)
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
        if epoch <= self._known_epoch:
            self.epoch_not_raised(now)  # somebody has promised a later one meanwhile: nobody would follow us in it
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
            self._has_best(campaign, now)
        else:
            campaign.resend_at = now

    def _fetched(self, given: Batch, campaign: Campaign, last_tx: int, now: int) -> None:
        history = self.history
        if last_tx < history.log.base.tx or history.contradicts_base(given):
            self.campaign = None  # it lacks what we know to be committed: a later epoch has been, and ours is over
            self._silent_at = now + SILENCE + self._draw(SILENCE_SPREAD)
            return
        batch = history.trim(given)
        if batch is None:
            return
        if not history.merge(batch):
            if batch.tx == batch.base_tx > 0:
                self._wanted_tx = batch.base_tx
            elif batch.tx <= self.last_tx and self._probes_lower(tx := history.probe(batch)):
                self._pull_from(batch.sender, tx)
        elif batch.tx + len(batch.entries) >= last_tx:
            history.cut(last_tx)
            self._has_best(campaign, now)
        else:
            self._fetch_on(batch, campaign, now)

    def _fetch_on(self, batch: Batch, campaign: Campaign, now: int) -> None:
        """Pull what follows, once all datagrams of this answer have come."""
        matched = batch.tx + len(batch.entries)
        if self.last_tx < self._matched_tx:
            self._matched_tx = batch.tx  # what we had named was contradicted, and cut
        if matched <= self._matched_tx:
            return  # repeated, for we asked again: it must not count, or each answer would bring one more
        self._matched_tx = matched
        self._probed_tx = None
        campaign.resend_at = now + RESEND_INTERVAL
        campaign.deadline = now + CAMPAIGN_TIMEOUT  # it goes on
        self._batches += 1
        if self._batches >= MAX_BATCHES:
            self._pull_from(batch.sender, matched)

    def _pull_from(self, sender: int, tx: int) -> None:
        self._batches = 0
        self._matched_tx = tx
        self._tell([sender], Pull(self.replica_id, self.epoch, tx, self.stable.log.epoch_at(tx)))

    def _has_best(self, campaign: Campaign, now: int) -> None:
        if self._mode == "async" and self.peers:
            campaign.advance(Phase.LENGTHENING)
            self._apply_at = now
        else:
            self._complete(campaign)

    def _complete(self, campaign: Campaign) -> None:
        campaign.advance(Phase.COMPLETING)
        self.stable.complete(self.epoch)

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
            self._probed_tx = None
            self._pull_from(campaign.best.sender, self.last_tx)

    def _may_lead(self, campaign: Campaign, now: int) -> bool:
        """The epoch is ours, and so is its log: most of that is applied before we lead, in parts; the others wait."""
        if self.history.apply_some():
            return True
        campaign.deadline = now + CAMPAIGN_TIMEOUT
        self._tell(self.peers, Wait(self.replica_id, self.epoch))
        self._apply_at = now
        return False

    def _add_tail(self, campaign: Campaign, now: int) -> None:
        """Mode "async": the log is applied; ask for what is beyond its end, and append that (`recovery.tail`)."""
        tail = campaign.tail
        if tail is None or tail.tx != self.last_tx:
            assert campaign.best is not None
            self.history.apply_all()
            log, position = self.stable.log, self.execution.sequencer.position
            epoch = max(log.last_epoch, campaign.best.complete_epoch)
            tail = campaign.tail = Tail(self.shard_id, log.last_tx, epoch, position, now)
        for request in tail.requests(now):
            self._tell(self.peers, Wait(self.replica_id, self.epoch))
            self._outgoing.append((SERVERS, request))
        if tail.ended(now):
            for _, chain, kind, command in tail.commands():
                self.stable.append(make_entry(self.epoch, chain, kind, command))
            self._complete(campaign)
            self._apply_at = now  # so that it is written at once
        else:
            self._apply_at = tail.next_deadline()
            campaign.deadline = now + CAMPAIGN_TIMEOUT

    def _promise(self) -> Promise:
        stable = self.stable
        return Promise(self.replica_id, self.epoch, stable.safe_complete, stable.safe_tx, stable.recovering)
