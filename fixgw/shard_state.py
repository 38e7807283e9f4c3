"""What a gateway's router knows of one shard. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from fixgw.timestamps import SECOND
from fixgw.trading_status import Watches
from recovery.past import Past
from recovery.record import Position

if TYPE_CHECKING:
    from fixgw.entries import Forwarded
    from fixgw.reports import Reporter
    from recovery.link import LinkClient

#: A pause of a shard shorter than this (ns) is no reason to refuse a request: it waits for the link, or goes over it. A
#: change of the primary takes half of it.
PAUSE: Final = 1 * SECOND

#: The same for a shard that has one replica: there is nobody to take over, but it may be started again.
PAUSE_ALONE: Final = 5 * SECOND


class ShardState:
    """What the router knows of one shard."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.watches = Watches(reporter.phases)
        reporter.makers.update(self.watches.makers)
        self.position = Position()
        #: Where the reader has stood, so that it can go on after a fork.
        self.past = Past()
        #: The reader's `proven_epoch` there.
        self.epoch = 0
        #: Everything below it is handled; in the middle of a large release this is more than the position says.
        self.handled_seq = 1
        #: Of the transaction that the last handled message belongs to.
        self.timestamp = 0
        #: What to add to the router's clock for the shard's time: what its stamps have proved in this life, at most.
        self.stamps_lead = 0
        self.seen_source_seq = 0
        #: How long it may take or confirm nothing before requests for it are refused (ns).
        self.pause = PAUSE
        #: Since when there is no link, by the gateway's `AwakeClock`; 0 while there is one.
        self.lost_at = 0
        #: By the same clock: when the oldest of the commands that have not come by was forwarded, or the last one
        #: before it came by.
        self.waiting_since = 0
        #: What the journal said was forwarded and not seen to come by; the link's from `begin` on.
        self.forwarded: deque[Forwarded] = deque()
        #: Commands of messages with PossDupFlag(43)=Y: their first life is answered, if they had one.
        self.sent_again: set[int] = set()
        #: Sessions whose connection was lost, and whose cancel the link could not take yet.
        self.to_cancel: set[int] = set()
        self.link: LinkClient

    def missing(self, awake: int) -> str:
        """What has been missing for too long at this time of the gateway's `AwakeClock`; empty: nothing."""
        if self.lost_at and awake - self.lost_at > self.pause:
            return "has no primary"
        if self.link.unseen and awake - self.waiting_since > self.pause:
            return "confirms nothing"
        return ""
