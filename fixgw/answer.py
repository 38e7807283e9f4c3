"""The course of one answer: which questions go to which shard, and what is told of each reply. No input or output.

    question()  ─► (shard, query)  ─► asked of a majority of the shard's replicas  ─► receive(reply) ─► reports
                                                             nobody answers        ─► failed()       ─► reports

An order status is one question, and so is a trading status. The open orders and the fills of a firm are asked of one
shard after the other, page by page, each page going on after the last row of the one before: what is told is true for
each page at its own moment, and no order or fill that was there when the request came is missed. The last row is held
back until it is known whether another follows, since the last report says that it is the last.
"""

from collections.abc import Mapping

from fixgw import history, trading_status, values
from fixgw.inquiries import NO_QUORUM, NOT_LISTED, Declined, Inquiry, refused
from fixgw.reports import Dialect, Report, Reporter
from matching import queries
from matching.ids import shard_of

Row = queries.OrderStatus | queries.Fill


class Answer:
    """One inquiry that is being answered."""

    def __init__(self, inquiry: Inquiry, reporters: Mapping[int, Reporter], dialect: Dialect) -> None:
        self.inquiry = inquiry
        #: By shard: what a trade is called is theirs; all describe an order alike.
        self._reporters = reporters
        self._reporter = reporters[inquiry.shard_ids[0]]
        self._dialect = dialect
        #: The shards that are still to be asked; none: the answer is complete.
        self._shard_ids = list(inquiry.shard_ids)
        self._after = 0
        self._held: Row | None = None
        #: What a trading status was answered: `codes.Phase`.
        self.phase: int | None = None

    def question(self) -> tuple[int, bytes] | None:
        """What to ask next: the shard and the query; None when the answer is complete."""
        if not self._shard_ids:
            return None
        return self._shard_ids[0], queries.encode(self._query())

    def _query(self) -> queries.Query:
        inquiry = self.inquiry
        if inquiry.msg_type == values.ORDER_STATUS_REQUEST:
            return history.status_query(inquiry)
        if inquiry.msg_type == values.ORDER_MASS_STATUS_REQUEST:
            return queries.OpenOrders(inquiry.participant_id, self._after)
        if inquiry.msg_type == values.SECURITY_STATUS_REQUEST:
            return queries.BookDepth(inquiry.instrument_id, levels=1)
        return queries.Fills(inquiry.participant_id, self._after)

    def receive(self, reply: bytes, now: int) -> list[Report]:
        """What the question was answered: the reports that come of it, in order."""
        try:
            found = queries.decode_answer(reply)
        except queries.QueryError:
            return self.failed(now)
        if isinstance(found, queries.OrderFound):
            self._shard_ids.clear()
            return [history.status(self.inquiry, found.order, self._reporter, self._dialect, now)]
        if isinstance(found, queries.OrdersFound):
            return self._page(found.orders, found.next_after() if found.more else 0, now)
        if isinstance(found, queries.FillsFound):
            last = found.fills[-1].match_number if found.fills else 0
            return self._page(found.fills, last if found.more else 0, now)
        if isinstance(found, queries.BookFound):
            self._shard_ids.clear()
            self.phase = found.phase
            return [trading_status.answer(self.inquiry, found.phase, self._dialect, now)]
        if isinstance(found, queries.QueryRefused):
            unlisted = self.inquiry.msg_type == values.SECURITY_STATUS_REQUEST
            return self._declined(NOT_LISTED if unlisted else refused(found.text), now)
        return self.failed(now)

    def failed(self, now: int) -> list[Report]:
        """Nobody could be asked."""
        return self._declined(NO_QUORUM, now)

    def _declined(self, declined: Declined, now: int) -> list[Report]:
        """The broker is told that there is no more, after what it was told already."""
        self._shard_ids.clear()
        told = self._tell([self._held], now, end=False) if self._held is not None else []
        return [*told, history.declined(self.inquiry, declined, self._dialect, now)]

    def _page(self, rows: list[queries.OrderStatus] | list[queries.Fill], after: int, now: int) -> list[Report]:
        self._after = after
        if not after:
            del self._shard_ids[0]
        found: list[Row] = [row for row in rows if history.wanted(self.inquiry, row)]
        if self._held is not None:
            found.insert(0, self._held)
        if self._shard_ids:
            self._held = found.pop() if found else None
            return self._tell(found, now, end=False)
        return self._tell(found, now, end=True) if found else [history.nothing(self.inquiry, self._dialect, now)]

    def _tell(self, rows: list[Row], now: int, *, end: bool) -> list[Report]:
        last = rows[-1] if rows and end else None
        return [
            history.order_status(self.inquiry, row, self._reporter, self._dialect, now, last=row is last)
            if isinstance(row, queries.OrderStatus)
            else history.trade(self.inquiry, row, self._reporters[shard_of(row.match_number)], last=row is last)
            for row in rows
        ]
