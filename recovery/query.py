"""A quorum read: whom to ask what, so that the answer has all that was acknowledged, and nothing that may be lost.

One round of it:

1. Ask every replica how far it is. Wait for a majority of answers; a replica that is recovering (it may have forgotten
   what it acknowledged) does not count. `min_tx` is the safe_tx of the highest of them by (complete_epoch, safe_tx).
2. Ask one replica to answer from a committed state that holds `min_tx`: any will do, whatever its role, as soon as its
   commit has got there. Who is there is preferred, for a backup may learn of the last commit by a heartbeat only; and
   then backups are, since the primary has more to do.

If either does not come in time, everything is done again, positions too, with twice the patience. Who is asked to read
and has the commit already lacks nothing but the time to make the answer: it has half of what the asker has left.

Why it is linearizable in mode quorum. Let t be a transaction that was acknowledged, or seen by a read, before this
read began: it was committed, in some epoch e, so a majority was complete in e and held it safely. One of that majority,
R, is among those whose positions we have, and has told its position since.

- If R still says complete_epoch e: it has cut nothing since but what a later primary contradicts, and t is in every
  later primary's log. So its safe_tx ≥ t.
- If R says a later epoch: the log with which that one began holds t, and was safe at R before R called itself complete.
- The highest position is R's or above it. If it says R's epoch, its safe_tx is no less than R's; if it says a later
  one, that epoch, too, began with t in its log. So min_tx ≥ t.

The answer is made from a committed state that holds min_tx, so t is in it; and what is committed is never lost nor
taken back, so no later read misses what this one saw. `min_tx` itself may be the end of a log that the next primary
does not have: then no commit may reach it for a while, and the next round learns a lower one. Three shortcuts are
wrong: reading at the highest position without waiting for its commit (it may still be lost); the highest commit instead
of the highest position (what was acknowledged last may be above every commit that a majority knows); asking only who
believes itself the primary (it may have been deposed).

In mode async a transaction is acknowledged before any other replica has it. A read then shows a state that the primary
was in. It may lack what was acknowledged last, unless the primary is among the majority that answered; and it may show
what is lost with the primary afterwards, as does everything that is released in that mode (`StreamForked`).
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from recovery.member import Role
from recovery.quorum import majority
from recovery.service_frames import Answer, AskPosition, Position, Read, Refused

FIRST_PATIENCE = 400_000_000
"""ns for the first round, which a healthy shard needs a few milliseconds for; each next round has twice as long."""
RETRY_PAUSE = 50_000_000
"""ns between a round that cannot succeed any more and the next: about what a failover needs to make progress."""
ABSENCE = 1_000_000_000
"""ns after which a read ends early if at no address of any replica a process listens: a shard that does not run."""

_SLOW = "making the answer takes long"
_READ_AT_FIRST = (Role.BACKUP, Role.PRIMARY, Role.CATCHING_UP, Role.FENCED)


class NoQuorum(Exception):
    """No majority of the shard's replicas answered in time, or none of them could answer from what is committed.

    The text says of each replica why; which shard it is, the asker knows.
    """


class TooLong(NoQuorum):
    """There is a majority, and what was asked of it takes longer than the asker waits."""


class Ask(NamedTuple):
    """What a replica is to be asked. A later one to the same replica makes this one void."""

    replica_id: int
    round: int
    request: AskPosition | Read


class QuorumRead:
    """One read. Make `asks()` whenever something was fed or a deadline handled; stop at `answer` or `failure`."""

    def __init__(self, replica_ids: Sequence[int], request: bytes, now: int, timeout: int) -> None:
        assert replica_ids
        self.answer: Answer | None = None
        self.failure: NoQuorum | None = None
        self._replica_ids = sorted(replica_ids)
        self._request = request
        self._timeout = timeout
        self._deadline = now + timeout
        self._absence_ends = now + ABSENCE
        self._patience = FIRST_PATIENCE
        self._round = 0
        self._round_deadline = now
        self._min_tx: int | None = None
        """Of this round, once a majority has answered."""
        self._positions: dict[int, Position] = {}
        self._unheard: set[int] = set()
        self._tried: set[int] = set()
        """Asked to read in this round."""
        self._reading: int | None = None
        self._let_down = dict.fromkeys(self._replica_ids, 0)
        """How often each was asked to read and did not."""
        self._said: dict[int, str] = {}
        """Why each is of no help, for the text of the failure."""
        self._absent: set[int] = set()
        """At whose addresses nobody listened in this round."""
        self._asks: list[Ask] = []
        self._begin_round(now)

    def asks(self) -> list[Ask]:
        asks, self._asks = self._asks, []
        return asks

    # What comes back

    def replied(self, ask: Ask, reply: object, now: int) -> None:
        """The answer to `ask`; it does not matter how late."""
        if ask.round != self._round or self._done:
            return
        if isinstance(reply, Position) and isinstance(ask.request, AskPosition):
            self._position(ask.replica_id, reply, now)
        elif isinstance(reply, Answer) and isinstance(ask.request, Read):
            assert self._min_tx is not None
            assert reply.tx >= self._min_tx
            self.answer = reply
        elif isinstance(reply, Refused):
            self.failed(ask, reply.text, now)

    def failed(self, ask: Ask, text: str, now: int, *, absent: bool = False) -> None:
        """No answer to `ask` will come; `text` says why. `absent`: no process listens there."""
        if ask.round != self._round or self._done:
            return
        if absent:
            self._absent.add(ask.replica_id)
        self._said[ask.replica_id] = text
        self._unheard.discard(ask.replica_id)
        if self._reading == ask.replica_id:
            self._let_down[ask.replica_id] += 1
            self._reading = None
            # It was given time to make the answer: who is silent, or lacks the commit, needs no more than ever.
            self._round_deadline = min(self._round_deadline, now + self._patience)
        self._go_on(now)

    def _position(self, replica_id: int, position: Position, now: int) -> None:
        self._unheard.discard(replica_id)
        self._positions[replica_id] = position
        self._said.pop(replica_id, None)
        if position.recovering:
            self._said[replica_id] = "recovering what may be forgotten"
        self._go_on(now)

    def _go_on(self, now: int) -> None:
        """After every word: a majority may be there, or out of reach; the one that reads may have to be another."""
        if self._min_tx is None:
            votes = [each for each in self._positions.values() if not each.recovering]
            if len(votes) >= majority(len(self._replica_ids)):
                self._min_tx = max((each.complete_epoch, each.safe_tx) for each in votes)[1]
            elif len(votes) + len(self._unheard) < majority(len(self._replica_ids)):
                self._give_up_round(now)
        if self._min_tx is not None and self._reading is None:
            self._read(self._min_tx, now)

    def _read(self, min_tx: int, now: int) -> None:
        readers = self._positions.keys() - self._tried
        if readers:
            self._reading = min(readers, key=partial(self._preference, min_tx=min_tx))
            self._tried.add(self._reading)
            if self._has_commit(self._reading):
                self._round_deadline = max(self._round_deadline, now + (self._deadline - now) // 2)
            self._asks.append(Ask(self._reading, self._round, Read(min_tx, self._request)))
        elif not self._unheard:
            self._give_up_round(now)

    def _preference(self, replica_id: int, min_tx: int) -> tuple[int, bool, int, int, int]:
        """The lowest is asked: who would have to wait for the commit only if nobody has it."""
        position = self._positions[replica_id]
        rank, lacks_it = _READ_AT_FIRST.index(position.role), position.commit_tx < min_tx
        return self._let_down[replica_id], lacks_it, rank, -position.commit_tx, replica_id

    # Rounds

    @property
    def _done(self) -> bool:
        return self.answer is not None or self.failure is not None

    def _begin_round(self, now: int) -> None:
        self._round += 1
        self._round_deadline = now + self._patience
        self._patience *= 2
        self._min_tx = self._reading = None
        self._positions.clear()
        self._tried.clear()
        self._absent.clear()
        self._unheard = set(self._replica_ids)
        self._asks = [Ask(replica_id, self._round, AskPosition()) for replica_id in self._replica_ids]

    def _give_up_round(self, now: int) -> None:
        """Nothing can come of it any more. What its patience was is left to the next."""
        if now >= self._absence_ends and len(self._absent) == len(self._replica_ids):
            self.failure = NoQuorum(f"no replica is running; {self._sayings()}")
        elif self._round_deadline > now + RETRY_PAUSE:
            self._patience = max(FIRST_PATIENCE, self._patience // 2)
            self._round_deadline = now + RETRY_PAUSE

    def next_deadline(self) -> int | None:
        return None if self._done else min(self._round_deadline, self._deadline)

    def handle_deadline(self, now: int) -> None:
        if self._done:
            return
        if now < min(self._deadline, self._round_deadline):
            return
        for replica_id in self._unheard:
            if now >= self._round_deadline or replica_id not in self._said:  # else it had no time, but has said more
                self._said[replica_id] = "no answer"
        if self._reading is not None:
            self._let_down[self._reading] += 1
            lacking = f"transaction {self._min_tx} is not committed"
            self._said[self._reading] = _SLOW if self._has_commit(self._reading) else lacking
        if now >= self._deadline:
            self.failure = self._failure()
        else:
            self._begin_round(now)

    def _has_commit(self, replica_id: int) -> bool:
        assert self._min_tx is not None
        return self._positions[replica_id].commit_tx >= self._min_tx

    def _failure(self) -> NoQuorum:
        seconds = self._timeout / 1e9
        needed, of = majority(len(self._replica_ids)), len(self._replica_ids)
        kind, text = NoQuorum, f"no answer from {needed} of {of} replicas within {seconds:g} s"
        if _SLOW in self._said.values():
            kind, text = TooLong, f"no replica has made the answer within {seconds:g} s"
        elif self._min_tx is not None:
            text = f"no replica has committed transaction {self._min_tx} within {seconds:g} s"
        return kind(f"{text}; {self._sayings()}")

    def _sayings(self) -> str:
        """What each replica said, or is said of it; what several have in common once."""
        saying: dict[str, list[int]] = {}
        for replica_id, why in sorted(self._said.items()):
            saying.setdefault(why, []).append(replica_id)
        return "; ".join(f"{_replicas(replica_ids)}: {why}" for why, replica_ids in saying.items())


def _replicas(replica_ids: list[int]) -> str:
    *others, last = map(str, replica_ids)
    return f"replicas {', '.join(others)} and {last}" if others else f"replica {last}"
