"""What every role of a replica stands on: its history, its promise, the roles' names, and its voice.

`recovery.replica` is the theory; `recovery.election` is how one becomes the primary.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from recovery.command_log import ORIGIN
from recovery.control import AckReader, Control, StateDigest, make_control
from recovery.execution import Execution, StateMachine
from recovery.history import History, LoadSnapshot, Mode, no_snapshot
from recovery.outbox import HEARTBEAT_INTERVAL
from recovery.settings import OthersSettings, settings_of
from recovery.snapshot import Snapshot
from recovery.stable import Durability
from recovery.state_digests import StateDigests
from recovery.versions import OtherVersions

if TYPE_CHECKING:
    from recovery.primary import Primary
    from recovery.view_change import Campaign

SILENCE = 200_000_000
"""ns without a word of the primary that a backup takes for its death: four heartbeats. A primary that says for as long
that no majority answers it might as well be dead: it is deaf."""
SILENCE_SPREAD = 50_000_000
"""ns; drawn anew for each campaign, so that two backups seldom begin at once."""

MAX_BATCHES = 32
"""Datagrams that answer one pull: some 45 kB, which any receive buffer holds."""

STREAM = 0
"""As a destination: everybody who listens to the shard. Others are replica ids, which begin at 1."""
SERVERS = -1
"""As a destination: every retransmission server (but for the replicas themselves); answers come in as datagrams."""


class Role(Enum):
    PRIMARY = "primary"
    BACKUP = "backup"
    CATCHING_UP = "catching up"
    FENCED = "fenced"


class Member:
    """`draw(n)` gives a random number below n; `load_snapshot(tx)` the newest whole snapshot there is of at most tx.

    First `restore` the newest snapshot, if any, then `replay` the journal, then `start`.
    """

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
        snapshot_every: int = 0,
        load_snapshot: LoadSnapshot = no_snapshot,
    ) -> None:
        assert replica_id in replica_ids
        assert STREAM not in replica_ids
        self.shard_id = shard_id
        self.replica_id = replica_id
        self.peers = [peer for peer in replica_ids if peer != replica_id]
        self.role = Role.FENCED
        self.history = History(shard_id, make_state_machine, mode, durability, snapshot_every, load_snapshot)
        self.stable = self.history.stable
        self.primary: Primary | None = None
        self.campaign: Campaign | None = None
        self.garbled = 0
        self.other_versions = OtherVersions()
        self.others_settings = OthersSettings(settings_of(mode, durability))
        self._ack_reader = AckReader(shard_id, self.others_settings.ours)
        self._replica_count = len(replica_ids)
        self._mode = mode
        self._draw = draw
        self._outgoing: list[tuple[int, bytes]] = []
        self._owner = 0  # of the promised epoch; 0 = not known
        self._known_epoch = 0
        self._commit_seq = 0  # as the primary of the promised epoch says it
        self._heard_at = 0
        self._told_at = 0  # when its last heartbeat was heard
        self._answered_at = 0  # when, as far as it has told us, a majority last answered it
        self._silent_at = 0
        self._spread = 0
        self._fenced_at = 0
        self._rejected_at = 0
        self._promise_told = False
        self._raise_above: int | None = None
        self._pull_at: int | None = None
        self._apply_at: int | None = None
        self._batches = 0  # that have come of the answer to the latest pull
        self._matched_tx = 0  # how far they agree with our log, or that pull named it
        self._pulled_at: int | None = None  # when we sent it; None once its answer has begun to come
        self._patience = 0
        self._probed_tx: int | None = None  # where we last asked whether the logs agree, since they last did
        self._end_tx = 0  # of the primary's log, the highest that it has said
        self._relay = 0  # another backup that gives its log, so that the primary need not
        self._answered = 0  # datagrams given to followers since the last heartbeat
        self._told_tx = -1
        self._wanted_tx = 0
        self._offered = ORIGIN  # where a peer has a snapshot of, the newest
        self._void_above: int | None = None
        self._state_digests = StateDigests(replica_id, len(replica_ids))
        self._digest_to_tell: StateDigest | None = None
        self._tellings = 0
        self._acks: dict[int, int] = {}
        self._answer_times: dict[int, int] = {}
        self._tx_at_heartbeat = 0

    @property
    def epoch(self) -> int:
        """The promised one: nothing of a lower one is taken or said."""
        return self.stable.promised_epoch

    @property
    def owner(self) -> int:
        """The replica that the promised epoch belongs to; 0 = not known."""
        return self._owner

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

    def restore(self, snapshot: Snapshot) -> None:
        """The newest snapshot, before anything is replayed. Raises SnapshotDamaged."""
        self.history.restore(snapshot)

    def replay(self, kind: int, payload: bytes, number: int = 0) -> None:
        """One record of the journal, in order, with its number. Raises LogIncomplete."""
        self.stable.replay(kind, payload, number)

    def start(self, now: int, *, forgot: bool = False, highest_epoch: int = 0, next_number: int = 1) -> None:
        """The journal is replayed; `next_number` is its next record's. Applies what is known to be committed.

        `forgot`: it may lack what was acknowledged once, because it is new where it should not be, was damaged, or was
        written with durability "memory". `highest_epoch` is then the coordinator's, read after the start, unless the
        journal's promises are known to be all there.

        Raises LogIncomplete when the snapshot does not fit the journal: then an older one may, with a new Replica.
        """
        self.history.opened(next_number)
        self._known_epoch = highest_epoch
        if forgot:
            self.stable.recover(max(self.epoch, highest_epoch) + 1)
        self.become_fenced(now)
        if not self.peers:
            self._silent_at = now

    def become_fenced(self, now: int) -> None:
        """Serve nobody. What was applied stays applied until the log says otherwise."""
        self._collect()
        self.role = Role.FENCED
        self.primary = None
        self.campaign = None
        self._promise_told = False
        self._pull_at = self._apply_at = None
        self._fenced_at = now
        self._begin_listening(now)

    def _promise_epoch(self, epoch: int, owner: int) -> None:
        self._collect()
        self.stable.promise(epoch)
        self._owner = owner

    def _collect(self) -> None:
        """What the primary has sequenced is in the log, too."""
        if self.primary is not None:
            self.stable.extend(self.primary.take_entries())

    def _probes_lower(self, tx: int) -> bool:
        """Whether to ask at `tx` whether the logs agree: all datagrams of an answer may say that they do not, and one
        question for each of them would bring as many answers again."""
        lower = self._probed_tx is None or tx < self._probed_tx
        if lower:
            self._probed_tx = tx
        return lower

    def _begin_listening(self, now: int) -> None:
        """To another primary than before, or to a candidate. It answers for nothing that was before."""
        self._told_at = self._answered_at = now
        self._spread = self._draw(SILENCE_SPREAD)
        self._listen(now)

    def _listen(self, now: int, unanswered: int | None = None) -> None:
        """The primary, or a promise, was heard just now: it is missed from the end of its patience on.

        `unanswered` is what a heartbeat says: ns since a majority had last answered the primary. Several heartbeats may
        be read at once by who was asleep, and gave no answer meanwhile: the best of what they say counts.
        """
        was_deaf = self._is_deaf
        self._heard_at = now
        if unanswered is None:  # most of the stream, and it tells no more than that
            if not was_deaf:
                self._silent_at = now + SILENCE + self._spread
            return
        late = now - self._told_at - HEARTBEAT_INTERVAL
        if late > HEARTBEAT_INTERVAL:  # nothing came that we could have answered: that is no sign of deafness
            unanswered = max(0, unanswered - late)
        self._told_at = now
        self._answered_at = max(self._answered_at, now - unanswered)
        if not (was_deaf and self._is_deaf):
            self._silent_at = self._missed_since + SILENCE + self._spread

    @property
    def _is_deaf(self) -> bool:
        """No majority has answered the primary, it says; by its next heartbeat that will have been so for SILENCE.

        Not later: what it said long ago, before we fell asleep perhaps, does not tell how it is now.
        """
        return self._told_at + HEARTBEAT_INTERVAL - self._answered_at >= SILENCE

    @property
    def _missed_since(self) -> int:
        """Since when the primary has said nothing, or has heard nothing."""
        return self._answered_at if self._is_deaf else self._heard_at

    def _tell(self, receivers: Sequence[int], message: Control) -> None:
        data = make_control(self.shard_id, message, self.others_settings.ours)
        for receiver in receivers:
            self._outgoing.append((receiver, data))
