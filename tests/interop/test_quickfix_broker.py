"""The driver itself, against QuickFIX's own acceptor: what it says it saw is what happened."""

import pytest

from tests.interop.quickfix_broker import (
    BUY,
    EXECUTION_REPORT,
    SELL,
    QuickFixBroker,
    is_type,
    parse,
    report,
    shown,
)
from tests.interop.quickfix_venue import running_venue

pytestmark = pytest.mark.interop


@pytest.fixture
def begin_string(request):
    return getattr(request, "param", "FIX.4.4")


@pytest.fixture
def venue_and_port(tmp_path, begin_string):
    with running_venue(tmp_path / "venue", {"AMBER1": "secret"}, begin_string) as running:
        yield running


@pytest.fixture
def broker(tmp_path, begin_string, venue_and_port):
    broker = QuickFixBroker(
        tmp_path / "broker",
        venue_and_port[1],
        sender="AMBER1",
        target="VENUE",
        username="amber",
        password="secret",
        begin_string=begin_string,
    )
    yield broker
    broker.stop(rudely=True)


@pytest.mark.parametrize("begin_string", ["FIX.4.2", "FIX.4.4"], indirect=True)
def test_it_logs_on_with_its_password_trades_and_logs_out(broker, venue_and_port):
    with broker:
        small = broker.send_order("ABCD", BUY, 100, "10.00")
        broker.wait_for(report(small, t39="2"))
        assert [message[39] for message in broker.about(small)] == ["0", "2"]
        large = broker.send_order("ABCD", SELL, 500, "11.00", t1="ACCOUNT")
        broker.wait_for(report(large, t39="0"))
        changed = broker.replace(large, "ABCD", SELL, 400, "11.50")
        assert broker.wait_for(report(changed, t150="5"))[41] == large
        canceled = broker.cancel(changed, "ABCD", SELL, 400)
        assert broker.wait_for(report(canceled, t150="4"))[41] == changed
        refused = broker.send_order("ZZZ", BUY, 100, "1.00")
        assert broker.wait_for(report(refused, t39="8"))[58] == "unknown symbol"
    assert broker.complaints() == []
    (logon,) = venue_and_port[0].logons
    assert (logon[553], logon[554]) == ("amber", "secret")
    assert broker.received[-1][35] == "5"
    assert not broker.logged_on


def test_a_fill_missed_while_away_comes_by_resend(broker, venue_and_port):
    venue, _ = venue_and_port
    with broker:
        order = broker.send_order("ABCD", BUY, 500, "10.00")
        broker.wait_for(report(order, t39="0"))
        sent = next(message for message in broker.sent if message.get(11) == order)
    venue.fill(sent, venue.session_ids["AMBER1"])
    assert len(broker.about(order)) == 1
    with broker:
        fill = broker.wait_for(report(order, t39="2"))
    assert fill[43] == "Y"
    assert [message[16] for message in broker.sent if message[35] == "2"] == ["0"]


def test_a_rude_end_keeps_the_numbers(broker):
    with broker:
        order = broker.send_order("ABCD", BUY, 500, "10.00")
        broker.wait_for(report(order))
        before = broker.next_numbers
        broker.stop(rudely=True)
        assert "5" not in [message[35] for message in broker.sent]
        broker.start()
        broker.wait_until(lambda: broker.logged_on, "a Logon")
        assert all(now > then for now, then in zip(broker.next_numbers, before, strict=True))


def test_a_wait_in_vain_says_what_came_instead(broker):
    with broker:
        order = broker.send_order("ABCD", BUY, 500, "10.00")
        broker.wait_for(report(order))
        with pytest.raises(AssertionError, match=f"(?s)waited 0.01 s.*received .*35=8.*11={order}.*sent .*35=D"):
            broker.wait_for(is_type(EXECUTION_REPORT, t39="2"), timeout=0.01)
        assert "secret" not in broker.history()


def test_a_wrong_password_is_no_session(tmp_path, begin_string, venue_and_port):
    venue, port = venue_and_port
    broker = QuickFixBroker(
        tmp_path / "other",
        port,
        sender="AMBER1",
        target="VENUE",
        username="amber",
        password="guessed",
        begin_string=begin_string,
    )
    broker.start()
    broker.wait_for(is_type("5", t58="wrong password"))
    assert venue.refused.is_set()
    broker.stop(rudely=True)


def test_messages_are_dicts_and_hide_passwords_when_shown():
    message = parse("8=FIX.4.4\x0135=A\x01553=me\x01554=secret\x0158=a=b\x01")
    assert message == {8: "FIX.4.4", 35: "A", 553: "me", 554: "secret", 58: "a=b"}
    assert shown(message) == "8=FIX.4.4|35=A|553=me|554=…|58=a=b"
