"""Byte layouts: what goes in comes out, and the table says how many bytes it took."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from matching import wire
from matching.commands import CancelOrder, Command, Conditions, Continue, NewOrder
from matching.events import Event, OrderAccepted, OrderExecuted, OrderTerms
from tests.matching.strategies import of_kind

TERMS = OrderTerms(1 << 48 | 1, 2, 3, 4, 1, 2, 0, 1_000_000, 500, b"a1", b"ACC")
OTHER = OrderTerms(1 << 48 | 2, 5, 6, 4, 2, 2, 3, 990_000, 100, b"b1", b"")


@given(st.sampled_from(sorted(wire.LAYOUTS)).flatmap(of_kind))
def test_whatever_a_layout_can_carry_comes_back(message: Command | Event) -> None:
    kind, body = wire.encode(message)
    assert wire.LAYOUTS[kind][0] is type(message)
    assert wire.decode(kind, body) == message


def plain(kind: int) -> Any:
    """A message of a kind, of zeros and without conditions."""
    cls, layout = wire.LAYOUTS[kind]
    return cls(*map(_zero, wire.codes(layout)))


def _zero(code: str) -> Any:
    if code == "{terms}":
        return OrderTerms(*map(_zero, wire.codes(wire.TERMS_LAYOUT)))
    if code == "{conditions}":
        return None
    return b"" if code.endswith("s") else 0


@pytest.mark.parametrize("kind", sorted(wire.LAYOUTS))
def test_a_body_that_is_longer_or_shorter_than_its_layout_is_refused(kind: int) -> None:
    size = len(wire.encode(plain(kind))[1])
    wire.decode(kind, bytes(size))
    for wrong in {size - 1, size + 1} - {-1}:
        with pytest.raises(wire.WireError):
            wire.decode(kind, bytes(wrong))


@given(st.sampled_from(sorted(wire.LAYOUTS)), st.data())
def test_any_bytes_of_the_right_length_mean_one_message_and_are_its_only_spelling(kind: int, data: Any) -> None:
    size = len(wire.encode(plain(kind))[1])
    body = data.draw(st.binary(min_size=size, max_size=size))
    assert wire.encode(wire.decode(kind, body)) == (kind, body)


def test_a_new_order_byte_by_byte() -> None:
    order = NewOrder(7, 3, 1, 2, 0, 1_000_100, 300, 9, b"a1", b"ACC")
    assert wire.encode(order) == (
        20,
        b"\0\0\0\x07"  # participant_id
        b"\0\x03"  # instrument_id
        b"\x01\x02\0"  # side, ord_type, time_in_force
        b"\0\0\0\0\0\x0f\x42\xa4"  # price
        b"\0\0\x01\x2c"  # quantity
        b"\0\0\0\0\0\0\0\x09" + b"a1".ljust(20, b"\0") + b"ACC".ljust(16, b"\0"),  # expires_at
    )


def test_terms_stand_inside_an_event_as_if_their_fields_were_its_own() -> None:
    kind, accepted = wire.encode(OrderAccepted(TERMS, 17))
    terms = struct.pack(">QIIHBBBqI", 1 << 48 | 1, 2, 3, 4, 1, 2, 0, 1_000_000, 500) + b"a1".ljust(20, b"\0")
    terms += b"ACC".ljust(16, b"\0")
    assert (kind, accepted) == (102, terms + struct.pack(">Q", 17))
    trade = OrderExecuted(9, 1_000_000, 100, TERMS, 11, 12, 13, 14, 15, OTHER, 16, 17, 18, 19)
    kind, executed = wire.encode(trade)
    assert kind == 105
    assert executed.startswith(
        struct.pack(">QqI", 9, 1_000_000, 100) + terms + struct.pack(">QQIIQ", 11, 12, 13, 14, 15)
    )
    assert executed.endswith(struct.pack(">QIIQ", 16, 17, 18, 19))


@pytest.mark.parametrize("kind", [0, 15, 27, 95, 111, 255])
def test_a_kind_that_is_not_in_the_table_is_refused(kind: int) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(kind, b"")


def test_commands_are_no_events_and_events_no_commands() -> None:
    cancel = wire.encode(CancelOrder(1, 1, 1, 0, 0, b"a2", b"a1"))
    accepted = wire.encode(OrderAccepted(TERMS, 1))
    assert wire.decode_command(*cancel) == wire.decode(*cancel)
    assert wire.decode_event(*accepted) == wire.decode(*accepted)
    with pytest.raises(wire.WireError):
        wire.decode_event(*cancel)
    with pytest.raises(wire.WireError):
        wire.decode_command(*accepted)


def test_the_events_of_a_transaction_are_encoded_as_each_of_them_is() -> None:
    events: list[Event] = [OrderAccepted(TERMS, 1), OrderExecuted(9, 8, 7, TERMS, 6, 5, 4, 3, 2, OTHER, 1, 2, 3, 4)]
    assert wire.encode_all(events) == [wire.encode(event) for event in events]
    assert wire.encode_all([]) == []


def test_an_empty_body_is_a_message_too() -> None:
    assert wire.encode(Continue()) == (23, b"")


def test_a_kind_never_changes_its_meaning() -> None:
    assert {kind: cls.__name__ for kind, (cls, _) in wire.LAYOUTS.items()} == {
        16: "StartDay",
        17: "EndDay",
        18: "DefineInstrument",
        19: "SetTradingState",
        20: "NewOrder",
        21: "CancelOrder",
        22: "ReplaceOrder",
        23: "Continue",
        24: "DefineSession",
        25: "SourceLost",
        26: "CancelSession",
        27: "DefineParticipant",
        28: "DefineRules",
        29: "DefineTick",
        30: "SetReferencePrice",
        31: "SchedulePhase",
        32: "SetPhase",
        33: "Advance",
        34: "MassCancel",
        35: "SetEntryBlock",
        36: "BustTrade",
        37: "SetCircuitBreaker",
        38: "BreachCircuitBreaker",
        96: "CommandRefused",
        97: "DayStarted",
        98: "DayEnded",
        99: "InstrumentListed",
        100: "SystemEventOccurred",
        101: "TradingStateChanged",
        102: "OrderAccepted",
        103: "OrderRejected",
        104: "OrderBooked",
        105: "OrderExecuted",
        106: "OrderReduced",
        107: "OrderReplaced",
        108: "OrderCanceled",
        109: "OrderExpired",
        110: "CancelRejected",
        111: "PhaseChanged",
        112: "OrderTriggered",
        113: "OrderRestated",
        114: "AuctionExecuted",
        115: "CrossExecuted",
        116: "ImbalancePublished",
        117: "CollarSet",
        118: "MassCancelDone",
        119: "MassCancelRejected",
        120: "TradeBusted",
        121: "EntryBlockChanged",
        122: "CircuitBreakerSet",
        123: "CircuitBreakerBreached",
    }


def test_the_longest_command_leaves_room_in_a_packet() -> None:
    # 1400 bytes of datagram, less 32 of packet header and 54 of the message that carries the command.
    assert wire.MAX_COMMAND_BYTES <= 1400 - 32 - 54


@pytest.mark.parametrize("tail", [b"\x00", b"\x04" + bytes(34), b"\x01" + bytes(33), b"\x03" + bytes(34)])
def test_conditions_that_are_no_conditions_are_refused(tail: bytes) -> None:
    kind, body = wire.encode(plain(105))
    with pytest.raises(wire.WireError, match="conditions of 2 orders"):
        wire.decode(kind, body + tail)


def test_a_message_without_conditions_is_as_long_as_before_there_were_any() -> None:
    order = plain(20)
    assert len(wire.encode(order)[1]) == 65
    assert len(wire.encode(structs.replace(order, conditions=Conditions(stop_price=5)))[1]) == 65 + 1 + 34
