"""What operators ask, and what is canceled for whoever cannot or may not."""

from matching.codes import CancelReason, OrdStatus, Phase, RefusalReason, RejectReason, SelfMatch, Side, TradingState
from matching.commands import (
    BreachCircuitBreaker,
    BustTrade,
    CancelSession,
    DefineInstrument,
    DefineParticipant,
    DefineRules,
    DefineSession,
    DefineTick,
    EndDay,
    MassCancel,
    SchedulePhase,
    SetCircuitBreaker,
    SetEntryBlock,
    SetPhase,
    SetReferencePrice,
    SetTradingState,
    SourceLost,
    StartDay,
)
from matching.events import (
    CircuitBreakerBreached,
    CircuitBreakerSet,
    EntryBlockChanged,
    MassCancelDone,
    MassCancelRejected,
    TradeBusted,
)
from matching.ids import MAX_PRICE
from tests.matching.reference import phases, trading
from tests.matching.reference.market import Market
from tests.matching.reference.orders import Instrument, Order

Refusal = RefusalReason

# --- what is defined


def define_instrument(market: Market, command: DefineInstrument) -> RefusalReason | None:
    known = market.instrument(command.instrument_id)
    if not (command.instrument_id and command.symbol and command.tick_size and command.lot_size):
        return Refusal.BAD_INSTRUMENT
    if any(one.symbol == command.symbol and one is not known for one in market.instruments):
        return Refusal.INSTRUMENT_IN_USE
    if known is None:
        known = Instrument(*define_fields(command))
        market.instruments.append(known)
        market.instruments.sort(key=lambda one: one.instrument_id)
        if market.day_is_open:
            known.phase = phases.first_phase(market, known)
            if known.phase == Phase.CONTINUOUS and "Q" not in market.hours:
                market.say(phases.listed(known))
                phases.hour(market, "Q")
                return None
    else:
        fixed = (known.symbol, known.tick_size, known.lot_size)
        in_use = known.symbol != command.symbol or any(market.of(order) is known for order in market.orders)
        if in_use and fixed != (command.symbol, command.tick_size, command.lot_size):
            return Refusal.INSTRUMENT_IN_USE
        (_, known.symbol, known.tick_size, known.lot_size, known.round_lot_size) = define_fields(command)
    if market.day_is_open:
        market.say(phases.listed(known))
    return None


def define_fields(command: DefineInstrument) -> tuple[int, bytes, int, int, int]:
    return (
        command.instrument_id,
        command.symbol,
        command.tick_size,
        command.lot_size,
        command.round_lot_size,
    )


def define_session(market: Market, command: DefineSession) -> RefusalReason | None:
    if not command.session_id or command.cancel_on_disconnect not in (0, 1):
        return Refusal.BAD_SESSION
    market.sessions[command.session_id] = command
    return None


def define_participant(market: Market, command: DefineParticipant) -> RefusalReason | None:
    if not command.participant_id or command.self_match not in tuple(SelfMatch):
        return Refusal.BAD_PARTICIPANT
    number = command.self_match_group
    group = ("group", number) if number else ("alone", command.participant_id)
    market.groups[command.participant_id] = group, command.self_match
    return None


def define_rules(market: Market, command: DefineRules) -> RefusalReason | None:
    instrument = market.instrument(command.instrument_id)
    if instrument is None:
        return Refusal.UNKNOWN_INSTRUMENT
    if max(command.static_band, command.dynamic_band, command.fat_finger) > 10_000:
        return Refusal.BAD_RULES
    instrument.rules = command
    return None


def define_tick(market: Market, command: DefineTick) -> RefusalReason | None:
    instrument = market.instrument(command.instrument_id)
    if instrument is None:
        return Refusal.UNKNOWN_INSTRUMENT
    if not 0 < command.from_price <= MAX_PRICE:
        return Refusal.BAD_TICK
    if not command.tick_size:
        instrument.ticks.pop(command.from_price, None)
    elif command.from_price not in instrument.ticks and len(instrument.ticks) == 16:
        return Refusal.BAD_TICK
    else:
        instrument.ticks[command.from_price] = command.tick_size
    return None


def set_reference(market: Market, command: SetReferencePrice) -> RefusalReason | None:
    instrument = market.instrument(command.instrument_id)
    if instrument is None:
        return Refusal.UNKNOWN_INSTRUMENT
    if not 0 < command.price <= MAX_PRICE:
        return Refusal.BAD_PRICE
    instrument.reference = command.price
    return None


# --- days, phases and halts


def start_day(market: Market, command: StartDay) -> RefusalReason | None:
    if market.day_is_open:
        return Refusal.DAY_OPEN
    if command.day <= market.day:
        return Refusal.DAY_NOT_LATER
    phases.start_day(market, command)
    return None


def end_day(market: Market, command: EndDay) -> RefusalReason | None:
    if not market.day_is_open or command.day != market.day:
        return Refusal.DAY_NOT_OPEN
    phases.end_day(market, command)
    return None


def set_trading_state(market: Market, command: SetTradingState) -> RefusalReason | None:
    instrument = market.instrument(command.instrument_id)
    if instrument is None:
        return Refusal.UNKNOWN_INSTRUMENT
    leads_to = {TradingState.HALTED: Phase.HALTED, TradingState.QUOTATION_ONLY: Phase.QUOTE_ONLY}
    if command.state == TradingState.TRADING:
        phases.resume(market, instrument, command.reason)
    elif command.state in leads_to:
        phases.change(market, instrument, leads_to[TradingState(command.state)], command.reason)
    else:
        return Refusal.BAD_TRADING_STATE
    return None


def set_phase(market: Market, command: SetPhase) -> RefusalReason | None:
    if command.instrument_id and market.instrument(command.instrument_id) is None:
        return Refusal.UNKNOWN_INSTRUMENT
    if command.phase not in tuple(Phase):
        return Refusal.BAD_PHASE
    chosen = [one for one in market.instruments if command.instrument_id in (0, one.instrument_id)]
    for instrument in chosen:
        instrument.due_phase = Phase.CONTINUOUS  # the operator knows better than the schedule
    for instrument in chosen:
        phases.change(market, instrument, command.phase, command.reason)
    return None


def schedule_phase(market: Market, command: SchedulePhase) -> RefusalReason | None:
    if command.instrument_id and market.instrument(command.instrument_id) is None:
        return Refusal.UNKNOWN_INSTRUMENT
    if command.phase not in tuple(Phase):
        return Refusal.BAD_PHASE
    market.schedule.setdefault(command.instrument_id, {})[command.at] = command.phase
    return None


def set_circuit_breaker(market: Market, command: SetCircuitBreaker) -> RefusalReason | None:
    if not command.level_1 > command.level_2 > command.level_3 > 0:
        return Refusal.BAD_LEVEL
    market.say(CircuitBreakerSet(command.level_1, command.level_2, command.level_3))
    return None


def breach_circuit_breaker(market: Market, command: BreachCircuitBreaker) -> RefusalReason | None:
    if command.level not in (1, 2, 3):
        return Refusal.BAD_LEVEL
    market.say(CircuitBreakerBreached(command.level))
    for instrument in market.instruments:
        phases.change(market, instrument, Phase.HALTED, b"MWC%d" % command.level)
    return None


# --- cancels for others


def source_lost(market: Market, command: SourceLost) -> None:
    gone = [one for one in market.sessions.values() if one.source_id == command.source_id]
    cancel_sessions(market, gone, CancelReason.SOURCE_LOST)


def cancel_session(market: Market, command: CancelSession) -> None:
    gone = [one for one in market.sessions.values() if one.session_id == command.session_id]
    cancel_sessions(market, gone, CancelReason.SESSION_LOST)


def cancel_sessions(market: Market, gone: list[DefineSession], reason: CancelReason) -> None:
    wants = {one.session_id for one in gone if one.cancel_on_disconnect}
    cancel_all(market, [order for order in market.orders if order.terms.session_id in wants], reason)


def cancel_all(market: Market, orders: list[Order], reason: CancelReason) -> int:
    """Cancel them, and let pegged orders follow the books that are other than before."""
    count = market.cancel_all(orders, reason)
    for instrument in market.instruments:
        trading.settle(market, instrument)
    return count


def mass_cancel(market: Market, command: MassCancel, session_id: int) -> None:
    """By a participant, or by an operator (session 0)."""
    head = command.participant_id, session_id
    scope = command.cl_ord_id, command.target_session_id, command.instrument_id, command.side
    if reason := mass_cancel_fault(market, command, session_id):
        market.say(MassCancelRejected(*head, told(market, command, session_id), *scope, reason))
        return
    found = [
        order
        for order in market.orders
        if command.participant_id in (0, order.terms.participant_id)
        and command.target_session_id in (0, order.terms.session_id)
        and command.instrument_id in (0, order.terms.instrument_id)
        and command.side in (0, order.terms.side)
    ]
    count = market.cancel_all(found, CancelReason.MASS_CANCEL if session_id else CancelReason.OPERATOR)
    market.say(MassCancelDone(*head, told(market, command, session_id), *scope, count))
    cancel_all(market, [], CancelReason.MASS_CANCEL)


def told(market: Market, command: MassCancel, session_id: int) -> int:
    return market.seq(command.participant_id) if session_id else 0


def mass_cancel_fault(market: Market, command: MassCancel, session_id: int) -> RejectReason | None:
    if command.instrument_id and market.instrument(command.instrument_id) is None:
        return RejectReason.UNKNOWN_INSTRUMENT
    if command.side not in (0, *Side):
        return RejectReason.UNSUPPORTED_SIDE
    if session_id and not command.participant_id:
        return RejectReason.TERMS_MISMATCH
    target = market.sessions.get(command.target_session_id)
    if command.target_session_id not in (0, session_id) and (
        target is None or target.participant_id != command.participant_id
    ):
        return RejectReason.TERMS_MISMATCH
    return None


def set_entry_block(market: Market, command: SetEntryBlock) -> RefusalReason | None:
    if not command.participant_id or command.blocked not in (0, 1):
        return Refusal.BAD_PARTICIPANT
    who = command.participant_id, command.session_id
    market.say(EntryBlockChanged(*who, command.blocked))
    if not command.blocked:
        market.blocked.discard(who)
        return None
    market.blocked.add(who)
    found = [
        order
        for order in market.orders
        if order.terms.participant_id == who[0] and who[1] in (0, order.terms.session_id)
    ]
    cancel_all(market, found, CancelReason.KILL_SWITCH)
    return None


# --- trades that are undone


def bust_trade(market: Market, command: BustTrade) -> RefusalReason | None:
    trade = next((one for one in market.trades if one.match_number == command.match_number), None)
    if trade is None:
        return Refusal.UNKNOWN_TRADE
    if trade.busted:
        return Refusal.ALREADY_BUSTED
    trade.busted = True
    sides: list[object] = []
    for order in (trade.buyer, trade.seller):
        order.cum -= trade.quantity
        order.notional -= trade.quantity * trade.price
        order.busted += trade.quantity
        if order not in market.orders:
            order.status = OrdStatus.CANCELED
        seq = market.seq(order.terms.participant_id)
        sides += [order.terms, seq, order.cum, order.leaves, order.notional]
    market.say(TradeBusted(trade.match_number, trade.price, trade.quantity, *sides))
    return None
