"""A fork in the exchange in memory: a shard comes back without the end of its journal, and its gateway tells of it."""

from collections.abc import Callable, Iterable

from fixgw.forks import VoidReports, VoidReportSearch, news
from recovery.reader import Reader, StreamForked
from tests.fixgw.venue_in_memory import Venue

SHARD = 1


def void_reports(
    read: Callable[[int, int], Iterable[bytes]], next_number: int, fork_seq: int, match_number: int = 0
) -> VoidReports:
    """The whole search."""
    search = VoidReportSearch(read, next_number, SHARD, fork_seq, match_number)
    while search.read_block():
        pass
    return search.found()


def make_readers(venue: Venue) -> None:
    """The gateway's readers, with a past."""
    for shard_id, state in venue.router.shards.items():
        venue.gateway.readers[shard_id] = Reader(shard_id, state.position, epoch=state.epoch, past=state.past)


def lose_end(venue: Venue, entries: int) -> None:
    """The shard's machine dies with the last so many entries; the shard begins its next epoch without them."""
    venue.kill_shard(SHARD)
    del venue.shard_entries[SHARD][-entries:]
    venue.settle()
    venue.start_shard(SHARD)


def tell_fork(venue: Venue) -> list[str]:
    """What the gateway's shell does; gives the ExecIDs that it says are void."""
    fork = None
    try:
        venue.settle()
    except StreamForked as forked:
        fork = forked.fork
    assert fork is not None
    reader = venue.gateway.readers[SHARD]
    records = venue.gateway_records
    last_trade = venue.router.last_trade(SHARD, fork)
    void = void_reports(
        lambda first, count: records[first - 1 : first - 1 + count], len(records) + 1, fork[0], last_trade
    )
    reader.go_back()
    venue.router.tell(news(void), venue.now)
    venue.router.forked(SHARD, reader.position, reader.proven_epoch)
    venue.flush()
    venue.settle()
    return [each.exec_id.decode() for reports in void.values() for each in reports]
