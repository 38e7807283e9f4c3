"""Which replica of a shard to try for the link, and when: the primary may be another one at any moment.

A gateway has three hints, and none of them is the truth; the truth is that a replica accepts the login, which only the
primary does.

    the coordinator's word   the owner of the highest epoch it gave out. A hung coordinator's word grows stale.
    the stream               shows the highest epoch anybody serves, and in its heartbeats whose it is
    the members              the shard's replicas, one of which must be it

The rules:

- Every second attempt is for the owner of the highest epoch, if the coordinator or the stream has said who that is; the
  others walk through the members. So no hint that is wrong can keep us from the primary.
- Attempts follow each other fast while the news is fresh, for somebody is just taking over: FAST_RETRY for a second,
  SLOW_RETRY up to five, LAST_RETRY from then on. News (a loss, a new owner, a higher epoch) make them fast again. The
  stream's higher epoch says that one of the members serves already: a round through them goes without a pause.
- A replica that does not answer, since its process hangs or its host is gone, must not hold up the search: an attempt
  gets FIRST_PATIENCE, and twice as much in each round through the members. Who says on the stream that it leads gets
  LAST_PATIENCE at once: on a busy machine it may need that, and once it is gone a higher epoch ends the attempt.
- A link belongs to the epoch in which it was opened. When the stream shows a higher one, the link's replica is not the
  primary any more and may be gone without a word: the link is dropped at once, unless the new epoch is said to be that
  very replica's.

Times are ns of any monotonic clock.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

Address = tuple[str, int]

SECOND: Final = 1_000_000_000

#: For so long after news, attempts follow each other after FAST_RETRY; a failover takes less.
FAST_FOR: Final = 1 * SECOND
FAST_RETRY: Final = SECOND // 50
SLOW_FOR: Final = 5 * SECOND
SLOW_RETRY: Final = SECOND // 10
LAST_RETRY: Final = 1 * SECOND

#: How long an attempt may take, from connecting to the accepted login. A primary needs some milliseconds.
FIRST_PATIENCE: Final = SECOND // 10
LAST_PATIENCE: Final = 2 * SECOND


class Attempt(NamedTuple):
    """Try this replica, and give it up after `patience`."""

    replica: int
    address: Address
    patience: int


class PrimarySearch:
    """The search for one shard's primary. `members`: replica → where its links are."""

    def __init__(self, members: Mapping[int, Address], now: int) -> None:
        assert members, "a shard has at least one replica"
        self._members = dict(members)
        #: The next to be walked to is the first.
        self._walk = deque(sorted(members))
        self._told_epoch = 0
        self._told_owner = 0
        self._heard_epoch = 0
        #: Who says the stream in that epoch; 0: not told yet.
        self._saying = 0
        self._news_at = now
        self._attempts = 0
        #: Attempts that may follow each other without a pause.
        self._at_once = 0
        self._target = 0
        self._open = False
        self._opened_at = 0
        self._link_epoch = 0

    @property
    def owner(self) -> int:
        """The primary as far as it is known whose the highest epoch is; 0: not known."""
        return self._told_owner if self._told_epoch >= self._heard_epoch else 0

    # Hints; each says whether the present attempt or link is to be dropped for it

    def told(self, epoch: int, owner: int, address: Address | None, now: int) -> bool:
        """The coordinator's word; `address` where its record has one, for a replica we do not know."""
        if epoch <= self._told_epoch:
            return False
        self._told_epoch, self._told_owner = epoch, owner
        if owner not in self._members:
            if address is None:
                self._told_owner = 0
                return False
            self._members[owner] = address
            self._walk.appendleft(owner)
        self._news(now)
        # Who owns an epoch does not serve it yet: a link that stands is left alone until the stream shows the epoch.
        return not self._open and bool(self._target) and self.owner not in (0, self._target)

    def heard(self, epoch: int, owner: int, now: int) -> bool:
        """The stream shows this epoch, and says whose it is, unless `owner` is 0."""
        pointless = owner in self._members and self.told(epoch, owner, None, now)
        if epoch >= self._heard_epoch:
            self._saying = owner
        if epoch <= self._heard_epoch:
            return pointless
        self._heard_epoch = epoch
        self._news(now)
        self._at_once = len(self._members)
        if len(self._members) == 1 or self._target in (0, self.owner):
            self._link_epoch = epoch
            return False
        if self._open and not self._link_epoch:
            self._link_epoch = epoch  # the first that we hear, and a replica has just proved that it leads
            return False
        return not self._open or self._link_epoch < epoch

    # Attempts

    def next_attempt(self) -> Attempt:
        """Whom to try now."""
        rounds = self._attempts // (2 * len(self._members))
        believed = self.owner
        if believed and self._attempts % 2 == 0:
            self._target = believed
        else:
            self._walk.rotate(-1)
            if self._walk[-1] == believed:
                self._walk.rotate(-1)
            self._target = self._walk[-1]
        self._attempts += 1
        certain = len(self._members) == 1 or self._target == self._saying
        patience = LAST_PATIENCE if certain else min(FIRST_PATIENCE << min(rounds, 8), LAST_PATIENCE)
        return Attempt(self._target, self._members[self._target], patience)

    def opened(self, now: int) -> None:
        """The replica has accepted the login: it is the primary, or was a moment ago."""
        self._open = True
        self._opened_at = now
        self._link_epoch = self._heard_epoch
        if self.owner == self._target:
            self._link_epoch = self._told_epoch

    def failed(self, now: int) -> int:
        """The attempt has failed, or the link is lost. The time of the next attempt: wait for it, or for news."""
        if self._open:
            self._open = False
            self._news(now)
            self._target = 0
            return max(now, self._opened_at + FAST_RETRY)
        self._target = 0
        if self._at_once:
            self._at_once -= 1
            return now
        since = now - self._news_at
        return now + (FAST_RETRY if since < FAST_FOR else SLOW_RETRY if since < SLOW_FOR else LAST_RETRY)

    def _news(self, now: int) -> None:
        self._news_at = now
        self._attempts = 0
