"""The vendor: what a channel makes of datagrams, what is drawn, and the whole program over real multicast with loss."""

import json
import socket
import struct
import subprocess
import sys
import time
from ipaddress import IPv4Network

import itch_judge
import pytest
import vendor
from vendor import Channel, Source, View, parse_arguments, parse_source, price_text, summary

from marketdata import itch, moldudp64
from marketdata.moldudp64 import DownstreamSender, encode_downstream, encode_header
from marketdata.requests import RequestServer, SessionStore

SESSION = moldudp64.session_name("261121A001")
SOURCE = Source("s1", (("239.192.2.1", 7201), ("239.192.3.1", 7301)), (("127.0.0.1", 7211),))
HEAD = (7, 0, 34_200_000_000_000)
STOCK = b"ALFA    "


def directory(stock=STOCK, locate=7):
    codes = (b"Q", b"N", 100, b"N", b"C", b"  ", b"P", b"N", b"N", b"1", b"N", 0, b"N")
    return itch.StockDirectory(locate, *HEAD[1:], stock, *codes)


FEED = [
    itch.encode(message)
    for message in (
        itch.SystemEvent(0, *HEAD[1:], b"O"),
        directory(),
        itch.AddOrder(*HEAD, 1, b"B", 300, STOCK, 999_500),
        itch.AddOrder(*HEAD, 2, b"S", 1200, STOCK, 1_000_500),
        itch.AddOrder(*HEAD, 3, b"S", 50, STOCK, 1_001_000),
        itch.OrderExecuted(*HEAD, 2, 200, 1),
    )
]
BOOK = {"bids": [[999_500, 300]], "asks": [[1_000_500, 1000], [1_001_000, 50]], "trades": 1, "volume": 200}


def of_book(book):
    return {name: book[name] for name in BOOK}


def test_both_lines_make_one_book():
    channel = Channel(SOURCE)
    for first in (1, 3, 5):
        datagram = encode_downstream(SESSION, first, FEED[first - 1 : first + 1])
        channel.receive([datagram, datagram], 0)
    result = summary([channel], 1.5)
    assert of_book(result["symbols"]["ALFA"]) == BOOK
    assert result["symbols"]["ALFA"]["best_bid"] == [999_500, 300]
    assert result["symbols"]["ALFA"]["best_ask"] == [1_000_500, 1000]
    assert result["symbols"]["ALFA"]["depth"] == [1, 2]
    assert result["symbols"]["ALFA"]["last_trade"] == [1_000_500, 200]
    counts = result["channels"]["s1"]
    assert (counts["itch_messages"], counts["duplicates"], counts["next_sequence_number"]) == (6, 6, 7)
    assert (counts["session"], counts["state"], counts["gaps_found"]) == ("261121A001", "synchronized", 0)
    json.dumps(result)


def test_a_gap_is_found_asked_for_and_filled():
    channel = Channel(SOURCE)
    channel.receive([encode_downstream(SESSION, 1, FEED[:2])], 0)
    channel.receive([encode_downstream(SESSION, 5, FEED[4:])], 0)
    assert (channel.summary()["gaps_found"], channel.summary()["gaps_filled"]) == (1, 0)
    assert channel.summary()["missing"] == 2
    channel.receiver.handle_deadline(channel.receiver.next_deadline())
    assert channel.receiver.datagrams_to_send() == [(0, encode_header(SESSION, 3, 2))]
    channel.receive([encode_downstream(SESSION, 3, FEED[2:4])], 0)
    assert (channel.summary()["gaps_found"], channel.summary()["gaps_filled"]) == (1, 1)
    assert of_book(summary([channel], 1)["symbols"]["ALFA"]) == BOOK


def test_what_was_sent_before_it_came_is_fetched_and_is_no_gap_of_the_feed():
    channel = Channel(SOURCE)
    channel.receive([encode_downstream(SESSION, 5, FEED[4:])], 0)
    assert channel.summary()["missing"] == 4
    channel.receive([encode_downstream(SESSION, 1, FEED[:4]), encode_downstream(SESSION, 8, FEED[:1])], 0)
    assert (channel.summary()["late_joins"], channel.summary()["gaps_found"], channel.summary()["gaps_filled"]) == (
        1,
        1,
        0,
    )
    channel.receive([encode_downstream(SESSION, 7, FEED[:1])], 0)
    assert (channel.summary()["late_joins"], channel.summary()["gaps_found"], channel.summary()["gaps_filled"]) == (
        1,
        1,
        1,
    )


def test_each_session_is_recorded_in_its_own_file_and_the_judge_reads_it(tmp_path):
    channel = Channel(SOURCE, tmp_path)
    channel.receive([encode_downstream(SESSION, 1, FEED), encode_header(SESSION, 7, 0xFFFF)], 0)
    assert channel.ended
    channel.receive([encode_downstream(b"../X/..   ", 1, FEED[:2])], 0)
    assert not channel.ended
    channel.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s1-261121A001.itch", "s1-___X___.itch"]
    assert itch_judge.read_books(tmp_path / "s1-261121A001.itch") == {"ALFA": BOOK}
    assert (tmp_path / "s1-___X___.itch").read_bytes() == b"".join(struct.pack(">H", len(m)) + m for m in FEED[:2])


@pytest.mark.parametrize("bad", [b"z", itch.encode(itch.OrderDelete(*HEAD, 99))])
def test_a_message_that_cannot_be_true_voids_the_books_until_the_next_session(bad):
    channel = Channel(SOURCE)
    channel.receive([encode_downstream(SESSION, 1, [*FEED, bad, *FEED])], 0)
    assert channel.summary()["broken"]
    assert channel.summary()["itch_messages"] == 13
    assert "BROKEN" in "\n".join(View([channel], 0).table())
    channel.receive([encode_downstream(moldudp64.session_name("261121A002"), 1, FEED)], 0)
    assert channel.summary()["broken"] is None


def test_the_table_and_the_line_show_the_top():
    channel = Channel(SOURCE)
    view = View([channel], 0)
    channel.receive([encode_downstream(SESSION, 1, [*FEED, itch.encode(directory(b"BRAVO   ", 8))])], 0)
    view.measure(500_000_000)
    assert view.table() == [
        "channel  session     state            messages    per s  gaps  filled    twice",
        "s1       261121A001  synchronized            7       14     0       0        0",
        "",
        "symbol    quantity       bid  ask       quantity       last quantity   trades      volume  state    auction",
        "ALFA           300     99.95  100.05    1,000        100.05      200        1         200",
        "BRAVO                                                                       0           0",
    ]
    assert view.line() == "s1: 7 messages, 14/s · ALFA 99.95/100.05 1 trades · BRAVO -/- 0 trades"


def test_a_stock_in_an_auction_shows_what_would_happen():
    channel = Channel(SOURCE)
    view = View([channel], 0)
    paused = itch.StockTradingAction(*HEAD, STOCK, b"P", b" ", b"LUDP")
    collar = itch.LULDAuctionCollar(*HEAD, STOCK, 1_000_000, 1_050_000, 950_000, 0)
    noii = itch.NetOrderImbalance(*HEAD, 1200, 300, b"B", STOCK, 0, 1_002_500, 1_000_000, b"H", b"L")
    auction = [itch.encode(message) for message in (paused, collar, noii)]
    channel.receive([encode_downstream(SESSION, 1, [*FEED, *auction])], 0)
    told = "1,200 at 100.25, 300 more to buy, within 95.00-105.00"
    assert view.table()[-1].endswith(f"  paused   {told}")
    assert view.line().endswith(f"(paused: {told})")
    book = summary([channel], 1)["symbols"]["ALFA"]
    assert (book["state"], book["collar"]["upper_price"]) == ("P", 1_050_000)
    assert book["indicative"] == {
        "paired_shares": 1200,
        "imbalance_shares": 300,
        "imbalance_direction": "B",
        "far_price": 0,
        "near_price": 1_002_500,
        "reference_price": 1_000_000,
        "cross_type": "H",
    }


def test_an_auction_without_a_price_and_one_of_which_nothing_was_said():
    noii = vendor.Indicative(0, 0, b"O", 0, 0, 1_000_000, b"O")
    assert vendor.auction_text(noii, None) == "no price in the auction"
    assert vendor.auction_text(None, None) == ""


@pytest.mark.parametrize(("price", "text"), [(1_000_000, "100.00"), (1, "0.0001"), (10_050, "1.0050"), (9_900, "0.99")])
def test_prices_as_people_read_them(price, text):
    assert price_text(price) == text


def test_channels_are_told_on_the_command_line():
    text = "s1,239.192.2.1:7201,239.192.3.1:7301,127.0.0.1:7211"
    assert parse_source(text) == SOURCE
    assert parse_arguments(["--channel", text, "--channel", "s2,239.1.1.1:1"]).channel[1] == Source(
        "s2", (("239.1.1.1", 1),), ()
    )
    for arguments in ([], ["--channel", "s1"], ["--channel", "s1,127.0.0.1:1"], ["--channel", "s1,239.1.1.1:x"]):
        with pytest.raises(SystemExit):
            parse_arguments(arguments)


def test_channels_are_found_in_an_exchange_configuration():
    first, second = vendor.sources_of(vendor.Path("conf/exchange.yaml"))
    assert (first.name, second.name) == ("s1", "s2")
    assert len(first.lines) == len(first.servers) == 2
    assert vendor.ipaddress.ip_address(first.lines[0][0]).is_multicast


class Exchange:
    """A feed of some thousand messages on two lines that lose datagrams, and its request server."""

    def __init__(self):
        self.messages = [FEED[0], FEED[1]]
        for number in range(2000):
            side = b"BS"[number % 2 :][:1]
            price = 1_000_000 + (1 if side == b"S" else -1) * (100 + number % 7 * 100)
            add = itch.AddOrder(*HEAD, number + 1, side, 100 + number, STOCK, price)
            self.messages.append(itch.encode(add))
            if number % 3 == 0:
                self.messages.append(itch.encode(itch.OrderExecuted(*HEAD, number + 1, 50, number + 1)))
            elif number % 3 == 1:
                self.messages.append(itch.encode(itch.OrderDelete(*HEAD, number)))
        self.server = RequestServer([IPv4Network("127.0.0.0/8")])
        store = SessionStore()
        self.server.add_session(SESSION, store)
        self.requests = socket.socket(type=socket.SOCK_DGRAM)
        self.requests.bind(("127.0.0.1", 0))
        self.requests.setblocking(False)
        self.line = socket.socket(type=socket.SOCK_DGRAM)
        self.line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        self.groups = []
        for host in ("239.255.77.11", "239.255.77.12"):
            with socket.socket(type=socket.SOCK_DGRAM) as probe:
                probe.bind((host, 0))
                self.groups.append(probe.getsockname())
        self.sender = DownstreamSender(SESSION, now=0, max_payload=500)
        self.datagrams = []
        for message in self.messages:
            self.sender.send_message(message)
            store.append(message)
        self.sender.flush(0)
        self.datagrams = self.sender.datagrams_to_send()
        self.sender.end_session(1)
        self.end = self.sender.datagrams_to_send()[-1]

    def answer(self):
        while True:
            try:
                request, asker = self.requests.recvfrom(100)
            except BlockingIOError:
                return
            answer = self.server.receive_request(request, asker[0], time.monotonic_ns())
            if answer is not None:
                self.requests.sendto(answer, asker)

    def channel(self):
        return ",".join(["s1", *("{}:{}".format(*address) for address in (*self.groups, self.requests.getsockname()))])

    def close(self):
        self.requests.close()
        self.line.close()


@pytest.fixture
def exchange():
    exchange = Exchange()
    yield exchange
    exchange.close()


def test_the_program_rebuilds_the_book_from_lines_that_lose_datagrams(exchange, tmp_path):
    command = [sys.executable, "examples/vendor.py", "--until-end", "--json", f"--record={tmp_path}"]
    with subprocess.Popen([*command, "--channel", exchange.channel()], stdout=subprocess.PIPE, text=True) as program:
        deadline = time.monotonic() + 30
        number = 0
        while program.poll() is None:
            assert time.monotonic() < deadline
            for line, group in enumerate(exchange.groups):
                if number % 5 not in (line, 4):  # each line loses some, and every fifth is lost on both
                    exchange.line.sendto(exchange.datagrams[number % len(exchange.datagrams)], group)
                elif number > len(exchange.datagrams):
                    exchange.line.sendto(exchange.end, group)
            exchange.answer()
            number += 1
        assert program.stdout is not None
        result = json.loads(program.stdout.read().splitlines()[-1])
    assert program.returncode == 0
    counts = result["channels"]["s1"]
    assert counts["itch_messages"] == len(exchange.messages)
    assert counts["gaps_found"] == counts["gaps_filled"]
    assert counts["gaps_found"] + counts["late_joins"] > 0
    assert counts["requests"] > 0
    assert (counts["missing"], counts["corruptions"], counts["garbled"], counts["ended"]) == (0, 0, 0, True)
    judged = itch_judge.read_books(tmp_path / "s1-261121A001.itch")
    assert of_book(result["symbols"]["ALFA"]) == judged["ALFA"]
    assert judged["ALFA"]["volume"] == 50 * judged["ALFA"]["trades"] == 50 * 667
