"""The exchange's events → FIX ExecutionReport(8), OrderCancelReject(9) and OrderMassCancelReport(r), for FIX.4.2 and
FIX.4.4.

Everything a report says stands in its event, so a gateway keeps no order state and a report is the same however often
it is made. ExecID(17) is the shard and the event's number in the shard's stream, hence the same on every replay. That
of a trade has T and the trade's number in its place: so who undoes the trade can say which report it was,
ExecRefID(19). A trade is one event and two reports, told apart by the side. After a fork (`forks`) numbers of lost
events and trades are given again: then the shard is followed by F and how many forks began at or below the event.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from fixgw.dialects import (
    CANCEL_TEXTS,
    CANCELED_BY_ANOTHER,
    MASS_CANCEL_REASONS,
    OTHER_MASS_CANCEL_REASON,
    REASON_TEXTS,
    REPLACED_TEXT,
    RESTATEMENTS,
    TRIGGERED,
)
from fixgw.dialects import DIALECTS as DIALECTS
from fixgw.dialects import Dialect as Dialect
from fixgw.fields import Refused
from fixgw.phases import NextOpening, Phases, no_calendar
from fixgw.rejections import Report as Report
from fixgw.rejections import cancel_rejection as cancel_rejection
from fixgw.rejections import rejection as rejection
from fixgw.timestamps import format_timestamp
from fixgw.trade_numbers import TradeNumbers
from fixgw.translate import TradedInstrument
from fixgw.values import EXECUTION_REPORT as EXECUTION_REPORT
from fixgw.values import ORDER_MASS_CANCEL_REPORT
from matching.codes import CancelReason, OrdStatus, OrdType, RejectReason, RestatementReason, Side, TimeInForce
from matching.commands import Conditions
from matching.events import (
    AuctionExecuted,
    CancelRejected,
    Event,
    MassCancelDone,
    MassCancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExecuted,
    OrderExpired,
    OrderReduced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderTerms,
    OrderTriggered,
    TradeBusted,
)
from matching.ids import COUNTER_MASK, PRICE_SCALE
from matching.wire import KINDS

_BUY: Final = int(Side.BUY)
_REQUESTED: Final = int(CancelReason.REQUESTED)
#: OrdStatus(39) of a request that came too late for the ClOrdID it named, and not for the order.
_OPEN: Final = (int(OrdStatus.NEW), int(OrdStatus.PARTIALLY_FILLED))
#: Codes as FIX writes them: a letter is its ASCII code in the market's language.
_LETTERS: Final = {int(each): b"%c" % each for each in (*OrdType, *TimeInForce) if each > 9}
_DIGITS: Final = {each: b"%d" % each for each in range(256)}
_CODES: Final = _DIGITS | _LETTERS
_PRICES_KEPT: Final = 1 << 16
#: Orders whose description is at hand: a second or two of the busiest trading.
_TERMS_KEPT: Final = 1 << 14
#: AvgPx(6) that is no whole number of 1/10,000 is rounded half up to this many decimals.
_AVERAGE_DECIMALS: Final = 8
_AVERAGE_SCALE: Final = 10 ** (_AVERAGE_DECIMALS - 4)


@lru_cache(_PRICES_KEPT)
def format_price(price: int) -> bytes:
    """1/10,000 as FIX writes it, without needless zeros: 100250 → 10.025."""
    whole, fraction = divmod(price, PRICE_SCALE)
    return b"%d.%04d" % (whole, fraction) if fraction % 100 else b"%d.%02d" % (whole, fraction // 100)


def format_offset(offset: int) -> bytes:
    """A price with a sign."""
    return format_price(offset) if offset >= 0 else b"-%b" % format_price(-offset)


def format_average(notional: int, quantity: int) -> bytes:
    """AvgPx(6): what was paid by what was executed; 0 before the first trade."""
    if quantity == 0:
        return b"0"
    price, rest = divmod(notional, quantity)
    if rest == 0:
        return format_price(price)
    scaled = (2 * notional * _AVERAGE_SCALE + quantity) // (2 * quantity)
    whole, fraction = divmod(scaled, PRICE_SCALE * _AVERAGE_SCALE)
    return b"%d.%08d" % (whole, fraction)


@lru_cache(_TERMS_KEPT)
def _terms(
    account: bytes,
    symbol: bytes,
    side: int,
    order_qty: int,
    ord_type: int,
    price: int,
    time_in_force: int,
    conditions: Conditions | None,
) -> bytes:
    """What the participant asked for, as every report repeats it. Several reports about an order come soon after one
    another."""
    fields = b"55=%b\x0154=%d\x0138=%d\x0140=%b\x01" % (symbol, side, order_qty, _CODES[ord_type])
    if account:
        fields = b"1=%b\x01%b" % (account, fields)
    if price:
        fields += b"44=%b\x01" % format_price(price)
    fields = b"%b59=%b\x01" % (fields, _CODES[time_in_force])
    return fields if conditions is None else fields + _conditions(conditions)


def _conditions(conditions: Conditions) -> bytes:
    exec_inst = b"%d" % conditions.exec_inst if conditions.exec_inst else b""
    peg = b"%c" % conditions.peg if conditions.peg else b""
    return b"".join(
        (
            b"18=%b\x01" % b" ".join(filter(None, (exec_inst, peg))) if exec_inst or peg else b"",
            b"99=%b\x01" % format_price(conditions.stop_price) if conditions.stop_price else b"",
            b"110=%d\x01" % conditions.min_qty if conditions.min_qty else b"",
            b"111=%d\x01" % conditions.display_qty if conditions.display_qty else b"",
            b"126=%b\x01" % format_timestamp(conditions.expire_at) if conditions.expire_at else b"",
            b"211=%b\x01" % format_offset(conditions.peg_offset) if conditions.peg_offset else b"",
        )
    )


_EXECUTION: Final = b"151=%d\x0114=%d\x016=%b\x0160=%b\x01%b"
_MASS_CANCEL_REPORT: Final = b"11=%b\x0137=%b\x01530=%b\x01%b%b60=%b\x01%b"
_REPORT: Final = b"37=%d\x0111=%b\x01%b17=%b%d%b\x01%b150=%b\x0139=%b\x01%b%b" + _EXECUTION


#: ExecTransType(20) is the dialect's.
_UNCHANGED: Final = b""
#: (what comes before the number, the number, what comes after it).
_ExecID = tuple[bytes, int, bytes]


class Reporter:
    """Makes the reports of one gateway's sessions from one shard's events.

    `dialects` maps a session id to its FIX version; sessions of other gateways are not in it and get nothing here.
    """

    def __init__(
        self,
        shard_id: int,
        dialects: Mapping[int, Dialect],
        instruments: Mapping[int, TradedInstrument],
        next_opening: NextOpening = no_calendar,
    ) -> None:
        self._event_prefix = b"%d-" % shard_id
        self._trade_prefix = b"%d-T" % shard_id
        self._shard_id = shard_id
        #: Where forks of the shard's stream began, and the last trade before: numbers above were given before, too.
        self._forks: list[tuple[int, int]] = []
        #: The session that asked for what the events tell; 0: an operator, or nobody.
        self.asked_by = 0
        #: What was heard of.
        self.trades = TradeNumbers()
        self.phases = Phases(next_opening)
        self._dialects = dialects
        self._instruments = instruments
        self._symbols = {each.instrument_id: each.symbol for each in instruments.values()}
        shard_ids = sorted({each.shard_id for each in instruments.values()})
        #: Of an OrderMassCancelReport about all that the request went to.
        self._one_of_all = b"58=shard %d of %b\x01" % (shard_id, b", ".join(b"%d" % each for each in shard_ids))
        makers: dict[type[Any], Callable[[Any, int, int], list[Report]]] = {
            OrderAccepted: self._accepted,
            OrderRejected: self._rejected,
            OrderExecuted: self._executed,
            OrderReduced: self._replaced,
            OrderReplaced: self._replaced,
            OrderCanceled: self._canceled,
            OrderExpired: self._expired,
            CancelRejected: self._cancel_rejected,
            OrderTriggered: self._triggered,
            OrderRestated: self._restated,
            AuctionExecuted: self._auction_executed,
            TradeBusted: self._busted,
            MassCancelDone: self._mass_canceled,
            MassCancelRejected: self._mass_cancel_rejected,
        }
        #: By kind: makes the reports of an event, its number in the shard's stream and its transaction's timestamp.
        self.makers = {KINDS[event]: maker for event, maker in makers.items()}

    def reports(self, event: Event, seq: int, timestamp: int) -> list[Report]:
        """The messages that this event means for sessions of this gateway, often none.

        `seq` is the event's number in the shard's stream, `timestamp` its transaction's.
        """
        maker = self.makers.get(KINDS[type(event)])
        return maker(event, seq, timestamp) if maker is not None else []

    def pass_over(self, event: object, seq: int) -> None:
        """An event that was reported in an earlier life: its trade is remembered."""
        if isinstance(event, OrderExecuted | AuctionExecuted):
            self.trades.add(seq, event.match_number)

    def fork(self, seq: int, match_number: int) -> None:
        """The shard's stream is another one from `seq` on; `match_number` is that of the last trade before."""
        self._forks.append((seq, match_number))
        self.phases.fork()
        self.trades.cut(seq)

    def symbol(self, instrument_id: int) -> bytes:
        """Symbol(55) of an instrument; its number where we do not know it."""
        return self._symbols.get(instrument_id) or b"%d" % instrument_id

    def described(self, terms: OrderTerms) -> bytes:
        """What the participant asked for, as fields."""
        return _terms(
            terms.account,
            self.symbol(terms.instrument_id),
            terms.side,
            terms.order_qty,
            terms.ord_type,
            terms.price,
            terms.time_in_force,
            terms.conditions,
        )

    def trade_exec_id(self, match_number: int, side: int) -> bytes:
        """ExecID(17) of a trade's report to this side of it."""
        return b"%b%d%b" % self._trade_id(match_number, side)

    def _event_id(self, seq: int, suffix: bytes = b"") -> _ExecID:
        """No two events have one ExecID(17), whatever was lost between them."""
        if self._forks:
            forks = sum(seq >= fork_seq for fork_seq, _ in self._forks)
            if forks:
                return b"%dF%d-" % (self._shard_id, forks), seq, suffix
        return self._event_prefix, seq, suffix

    def _trade_id(self, match_number: int, side: int) -> _ExecID:
        prefix = self._trade_prefix
        if self._forks:
            forks = sum(match_number > last for _, last in self._forks)
            if forks:
                prefix = b"%dF%d-T" % (self._shard_id, forks)
        return prefix, match_number & COUNTER_MASK, b"B" if side == _BUY else b"S"

    def _report(
        self,
        dialect: Dialect,
        terms: OrderTerms,
        exec_id: _ExecID,
        exec_type: bytes,
        ord_status: bytes,
        figures: tuple[int, int, int],
        timestamp: int,
        *,
        trans_type: bytes = _UNCHANGED,
        cl_ord_id: bytes = b"",
        orig: bytes = b"",
        last: bytes = b"",
        text: bytes = b"",
    ) -> Report:
        """An ExecutionReport about a known order.

        `figures` are leaves and cumulative quantity and notional; `cl_ord_id` the request's where it is not the
        order's; `orig`, `last` and `text` whole fields, so is `trans_type` where it is not the dialect's.
        """
        leaves, cum, notional = figures
        prefix, number, suffix = exec_id
        body = _REPORT % (
            terms.order_id,
            cl_ord_id or terms.cl_ord_id,
            orig,
            prefix,
            number,
            suffix,
            trans_type or dialect.exec_trans_type,
            exec_type,
            ord_status,
            self.described(terms),
            last,
            leaves,
            cum,
            format_average(notional, cum),
            format_timestamp(timestamp),
            text,
        )
        return Report(terms.session_id, EXECUTION_REPORT, body)

    def _accepted(self, event: OrderAccepted, seq: int, timestamp: int) -> list[Report]:
        terms = event.terms
        dialect = self._dialects.get(terms.session_id)
        if dialect is None:
            return []
        figures = (terms.order_qty, 0, 0)
        exec_id = self._event_id(seq) if self._forks else (self._event_prefix, seq, b"")
        return [self._report(dialect, terms, exec_id, b"0", b"0", figures, timestamp)]

    def _rejected(self, event: OrderRejected, seq: int, timestamp: int) -> list[Report]:
        terms = event.terms
        dialect = self._dialects.get(terms.session_id)
        if dialect is None:
            return []
        if event.reason == RejectReason.NOT_IN_THIS_PHASE:
            text = self.phases.refusal(terms.instrument_id, self.symbol(terms.instrument_id), timestamp)
        else:
            text = self._reason_text(event.reason, terms.instrument_id, terms.price)
        refused = Refused(event.reason, text)
        described = self.described(terms)
        exec_id = b"%b%d%b" % self._event_id(seq)
        return [rejection(dialect, terms.session_id, terms.cl_ord_id, described, refused, exec_id, timestamp)]

    def _executed(self, event: OrderExecuted, seq: int, timestamp: int) -> list[Report]:
        resting = (event.resting_leaves_qty, event.resting_cum_qty, event.resting_cum_notional)
        incoming = (event.incoming_leaves_qty, event.incoming_cum_qty, event.incoming_cum_notional)
        return self._traded(event, event.resting, resting, event.incoming, incoming, seq, timestamp)

    def _auction_executed(self, event: AuctionExecuted, seq: int, timestamp: int) -> list[Report]:
        buy = (event.buy_leaves_qty, event.buy_cum_qty, event.buy_cum_notional)
        sell = (event.sell_leaves_qty, event.sell_cum_qty, event.sell_cum_notional)
        return self._traded(event, event.buy, buy, event.sell, sell, seq, timestamp)

    def _traded(
        self,
        event: OrderExecuted | AuctionExecuted,
        first: OrderTerms,
        first_figures: tuple[int, int, int],
        second: OrderTerms,
        second_figures: tuple[int, int, int],
        seq: int,
        timestamp: int,
    ) -> list[Report]:
        """Both sides of a trade, the one whose `participant_seq` comes first before the other."""
        match_number = event.match_number
        self.trades.add(seq, match_number)
        prefix = self._trade_prefix if not self._forks else self._trade_id(match_number, _BUY)[0]
        number = match_number & COUNTER_MASK
        last = b"32=%d\x0131=%b\x01" % (event.quantity, format_price(event.price))
        named = b"%b527=%d\x01" % (last, match_number)
        reports = []
        dialect = self._dialects.get(first.session_id)
        if dialect is not None:
            told = named if dialect.names_trades else last
            reports.append(self._trade(dialect, first, first_figures, told, prefix, number, timestamp))
        dialect = self._dialects.get(second.session_id)
        if dialect is not None:
            told = named if dialect.names_trades else last
            reports.append(self._trade(dialect, second, second_figures, told, prefix, number, timestamp))
        return reports

    def _trade(
        self,
        dialect: Dialect,
        terms: OrderTerms,
        figures: tuple[int, int, int],
        last: bytes,
        prefix: bytes,
        number: int,
        timestamp: int,
    ) -> Report:
        exec_id = (prefix, number, b"B" if terms.side == _BUY else b"S")
        if figures[0]:
            return self._report(dialect, terms, exec_id, dialect.partial_fill, b"1", figures, timestamp, last=last)
        return self._report(dialect, terms, exec_id, dialect.fill, b"2", figures, timestamp, last=last)

    def _busted(self, event: TradeBusted, seq: int, timestamp: int) -> list[Report]:
        """A trade is undone. What is closed counts as canceled, what is open is as it was before."""
        reports = []
        last = b"32=%d\x0131=%b\x01" % (event.quantity, format_price(event.price))
        buy = (event.buy_leaves_qty, event.buy_cum_qty, event.buy_cum_notional)
        sell = (event.sell_leaves_qty, event.sell_cum_qty, event.sell_cum_notional)
        for terms, figures in ((event.buy, buy), (event.sell, sell)):
            dialect = self._dialects.get(terms.session_id)
            if dialect is not None:
                status = _open_status(figures[1]) if figures[0] else b"4"
                undone = b"19=%b\x01%b" % (self.trade_exec_id(event.match_number, terms.side), last)
                reports.append(
                    self._report(
                        dialect,
                        terms,
                        self._event_id(seq, b"B" if terms.side == _BUY else b"S"),
                        dialect.undo or status,
                        status,
                        figures,
                        timestamp,
                        trans_type=dialect.undo_trans_type,
                        last=b"%b527=%d\x01" % (undone, event.match_number) if dialect.names_trades else undone,
                        text=b"58=The trade is undone\x01",
                    )
                )
        return reports

    def _replaced(self, event: OrderReduced | OrderReplaced, seq: int, timestamp: int) -> list[Report]:
        terms = event.terms
        dialect = self._dialects.get(terms.session_id)
        if dialect is None:
            return []
        status = b"1" if event.cum_qty else dialect.replaced_status
        figures = (event.leaves_qty, event.cum_qty, event.cum_notional)
        orig = b"41=%b\x01" % event.orig_cl_ord_id
        return [self._report(dialect, terms, self._event_id(seq), b"5", status, figures, timestamp, orig=orig)]

    def _triggered(self, event: OrderTriggered, seq: int, timestamp: int) -> list[Report]:
        dialect = self._dialects.get(event.terms.session_id)
        if dialect is None:
            return []
        return [self._changed(dialect, event, seq, timestamp, TRIGGERED % dialect.other_restatement_reason)]

    def _restated(self, event: OrderRestated, seq: int, timestamp: int) -> list[Report]:
        dialect = self._dialects.get(event.terms.session_id)
        if dialect is None:
            return []
        text = RESTATEMENTS[event.reason]
        if event.reason == RestatementReason.TAKEN_OVER:
            text %= dialect.other_restatement_reason
        return [self._changed(dialect, event, seq, timestamp, text)]

    def _changed(
        self, dialect: Dialect, event: OrderTriggered | OrderRestated, seq: int, timestamp: int, text: bytes
    ) -> Report:
        figures = (event.leaves_qty, event.cum_qty, event.cum_notional)
        status = _open_status(event.cum_qty)
        return self._report(dialect, event.terms, self._event_id(seq), b"D", status, figures, timestamp, text=text)

    def _canceled(self, event: OrderCanceled, seq: int, timestamp: int) -> list[Report]:
        terms = event.terms
        if event.reason == _REQUESTED and self.asked_by not in (0, terms.session_id):
            return self._canceled_by_another(event, seq, timestamp)
        dialect = self._dialects.get(terms.session_id)
        if dialect is None:
            return []
        return [
            self._report(
                dialect,
                terms,
                self._event_id(seq),
                b"4",
                b"4",
                (0, event.cum_qty, event.cum_notional),
                timestamp,
                cl_ord_id=event.cl_ord_id,
                orig=b"41=%b\x01" % terms.cl_ord_id if event.cl_ord_id != terms.cl_ord_id else b"",
                text=CANCEL_TEXTS.get(event.reason, b""),
            )
        ]

    def _canceled_by_another(self, event: OrderCanceled, seq: int, timestamp: int) -> list[Report]:
        """A session of the firm had another one's order canceled: both are told, who asked first."""
        terms, figures = event.terms, (0, event.cum_qty, event.cum_notional)
        reports = []
        dialect = self._dialects.get(self.asked_by)
        if dialect is not None:
            answer = self._report(
                dialect,
                terms,
                self._event_id(seq, b"R"),
                b"4",
                b"4",
                figures,
                timestamp,
                cl_ord_id=event.cl_ord_id,
                orig=b"41=%b\x01" % terms.cl_ord_id,
            )
            reports.append(answer._replace(session_id=self.asked_by))
        dialect = self._dialects.get(terms.session_id)
        if dialect is not None:
            reports.append(
                self._report(
                    dialect, terms, self._event_id(seq), b"4", b"4", figures, timestamp, text=CANCELED_BY_ANOTHER
                )
            )
        return reports

    def _expired(self, event: OrderExpired, seq: int, timestamp: int) -> list[Report]:
        dialect = self._dialects.get(event.terms.session_id)
        if dialect is None:
            return []
        figures = (0, event.cum_qty, event.cum_notional)
        return [self._report(dialect, event.terms, self._event_id(seq), b"C", b"C", figures, timestamp)]

    def _cancel_rejected(self, event: CancelRejected, _seq: int, timestamp: int) -> list[Report]:
        dialect = self._dialects.get(event.session_id)
        if dialect is None:
            return []
        replaced = event.reason == RejectReason.TOO_LATE and event.ord_status in _OPEN
        refused = Refused(event.reason, REPLACED_TEXT if replaced else self._reason_text(event.reason, 0))
        return [
            cancel_rejection(
                dialect,
                event.session_id,
                b"%d" % event.order_id if event.order_id else b"NONE",
                event.cl_ord_id,
                event.orig_cl_ord_id,
                event.response_to,
                event.ord_status,
                refused,
                timestamp,
            )
        ]

    def _mass_canceled(self, event: MassCancelDone, seq: int, timestamp: int) -> list[Report]:
        if event.session_id not in self._dialects:
            return []
        result = b"531=%b\x01533=%d\x01" % (_mass_cancel_type(event.instrument_id), event.canceled)
        return [
            self._mass_cancel_report(event, seq, timestamp, result, b"" if event.instrument_id else self._one_of_all)
        ]

    def _mass_cancel_rejected(self, event: MassCancelRejected, seq: int, timestamp: int) -> list[Report]:
        if event.session_id not in self._dialects:
            return []
        reason = MASS_CANCEL_REASONS.get(event.reason, OTHER_MASS_CANCEL_REASON)
        text = b"58=%b\x01" % self._reason_text(event.reason, 0).encode()
        return [self._mass_cancel_report(event, seq, timestamp, b"531=0\x01532=%d\x01" % reason, text)]

    def _mass_cancel_report(
        self, event: MassCancelDone | MassCancelRejected, seq: int, timestamp: int, result: bytes, text: bytes
    ) -> Report:
        """OrderID(37), the venue's number of the request, is this event's: it begins with the shard that answers."""
        terms = b"55=%b\x01" % self.symbol(event.instrument_id) if event.instrument_id else b""
        if event.side:
            terms = b"%b54=%d\x01" % (terms, event.side)
        body = _MASS_CANCEL_REPORT % (
            event.cl_ord_id,
            b"%b%d%b" % self._event_id(seq),
            _mass_cancel_type(event.instrument_id),
            result,
            terms,
            format_timestamp(timestamp),
            text,
        )
        return Report(event.session_id, ORDER_MASS_CANCEL_REPORT, body)

    def _reason_text(self, reason: int, instrument_id: int, price: int = 0) -> str:
        text = REASON_TEXTS[RejectReason(reason)]
        instrument = self._instruments.get(instrument_id)
        if instrument is None:
            return text.replace(" {tick}", "").replace(" {lot}", "")
        return text.format(tick=format_price(instrument.tick_at(price)).decode(), lot=instrument.lot_size)


def _open_status(cum_qty: int) -> bytes:
    """OrdStatus(39) of an open order."""
    return b"1" if cum_qty else b"0"


def _mass_cancel_type(instrument_id: int) -> bytes:
    """MassCancelRequestType(530) and, if all went well, MassCancelResponse(531)."""
    return b"1" if instrument_id else b"7"
