"""Calendars, protections, tick tables and self-match prevention in a configuration: values, look-ups, every error."""

import re
from datetime import date, time
from pathlib import Path

import pytest

from fixgw import cli, config
from fixgw.config import Config

EXAMPLE = Path(__file__).resolve().parents[2] / "conf" / "exchange.yaml"

FILE = """\
venue:
  comp_id: FIXGW
  data: ../var
  interface: 127.0.0.1
  link_key_file: link.key
  trading_day: {time_zone: Europe/London, rolls_at: 17:45}
  calendar: shares
  circuit_breaker: {level_1: 4650.25, level_2: 4350, level_3: 4000.00000001}
shards:
  - {name: s1, id: 1, link: 127.0.0.1:1, stream: 239.0.0.1:1, retransmit: 127.0.0.1:11}
instruments:
  - {symbol: ALFA, id: 1, shard: s1, tick_size: 0.01, protection: normal, tick_table: euro, reference_price: 12.5}
  - {symbol: BRAVO, id: 2, shard: s1, tick_size: 0.01, calendar: all-night}
calendars:
  - name: shares
    phases:
      18:00: closed
      07:00: pre_open
      08:50: opening_auction
      09:00: continuous
      16:30: closing_auction
      16:35:30: closed
    days: [monday, tuesday, wednesday, thursday, friday]
    special_days:
      2026-12-24: {09:00: continuous, 12:30: closed}
      2026-12-25: {}
  - {name: all-night, phases: {17:45: continuous}}
protections:
  - name: normal
    static_band: 10
    dynamic_band: 2.25
    fat_finger: 25.5
    max_quantity: 100000
    max_value: 5000000.50
    pause: 120
    reopening: 0.5
tick_tables:
  - name: euro
    rows:
      - {from_price: 10, tick_size: 0.05}
      - {from_price: 50, tick_size: 0.10}
gateways:
  - {name: gw1, source_id: 1, fix: 127.0.0.1:3}
feed: {channels: [], publishers: []}
participants:
  - {id: 1, name: amber, mpid: AMBR, self_match: {mode: cancel_resting, group: 7}}
  - {id: 2, name: birch, mpid: BRCH}
sessions: []
"""


def loaded(tmp_path: Path, text: str = FILE) -> Config:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    return config.load(file)


def told(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    """Errors and warnings, without the file's name."""
    text = FILE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = tmp_path / "x.yaml"
    file.write_text(text)
    report = config.check(file)
    return [line.partition("x.yaml:")[2] for line in (*report.errors, *report.warnings) if "feed channel" not in line]


def test_values_are_exact_and_in_the_units_of_the_engine(tmp_path: Path) -> None:
    made = loaded(tmp_path)
    alfa, bravo = made.instruments
    normal = made.protection_of(alfa)
    assert normal is not None
    assert (normal.static_band, normal.dynamic_band, normal.fat_finger) == (1_000, 225, 2_550)
    assert (normal.max_quantity, normal.max_value) == (100_000, 50_000_005_000)
    assert (normal.pause, normal.reopening) == (120_000_000_000, 500_000_000)
    assert alfa.reference_price == 125_000
    table = made.tick_table_of(alfa)
    assert table is not None
    assert [(row.from_price, row.tick_size) for row in table.rows] == [(100_000, 500), (500_000, 1_000)]
    breaker = made.venue.circuit_breaker
    assert breaker is not None
    assert (breaker.level_1, breaker.level_2, breaker.level_3) == (465_025_000_000, 435_000_000_000, 400_000_000_001)
    amber, birch = made.participants
    assert amber.self_match is not None
    assert (amber.self_match.mode, amber.self_match.group) == ("cancel_resting", 7)
    assert birch.self_match is None
    assert (made.protection_of(bravo), made.tick_table_of(bravo), bravo.reference_price) == (None, None, None)


def test_an_instrument_has_its_own_calendar_or_the_venues(tmp_path: Path) -> None:
    made = loaded(tmp_path)
    calendars = [made.calendar_of(instrument) for instrument in made.instruments]
    assert [calendar.name for calendar in calendars if calendar is not None] == ["shares", "all-night"]


def test_without_a_word_of_it_nothing_is_there(tmp_path: Path) -> None:
    made = config.load(EXAMPLE)
    instrument = made.instruments[0]
    assert (made.calendar_of(instrument), made.protection_of(instrument)) == (None, None)
    assert (made.tick_table_of(instrument), made.venue.circuit_breaker) == (None, None)


def test_what_is_commented_out_in_the_example_is_right(tmp_path: Path) -> None:
    text = EXAMPLE.read_text().partition("\n\n")[2]
    file = tmp_path / "x.yaml"
    file.write_text(re.sub(r"(?m)^( *)# (?=[a-z_]+:( |$)|  )", r"\1", text))
    made = config.load(file)
    for instrument in made.instruments:
        calendar = made.calendar_of(instrument)
        assert calendar is not None
        assert list(calendar.phases.values())[:3] == ["pre_open", "opening_auction", "continuous"]
        protection = made.protection_of(instrument)
        assert protection is not None
        assert all(value for _, value in protection)
        assert made.tick_table_of(instrument) is not None
    assert made.venue.circuit_breaker is not None


@pytest.mark.parametrize(
    ("day", "first"),
    [
        ("2026-12-23", (time(18), "closed")),
        ("2026-12-24", (time(9), "continuous")),
        ("2026-12-25", None),
        ("2026-12-26", None),  # a Saturday
        ("2026-12-28", (time(18), "closed")),
    ],
)
def test_the_phases_of_a_date(tmp_path: Path, day: str, first: tuple[time, str] | None) -> None:
    calendar = loaded(tmp_path).calendars[0]
    assert next(iter(calendar.phases_on(date.fromisoformat(day)).items()), None) == first


@pytest.mark.parametrize(
    ("old", "new", "errors"),
    [
        (
            "calendar: shares\n",
            "calendar: share\n",
            [
                "7:13: venue.calendar: no calendar is named 'share'; did you mean shares?",
                "15:11: warning: calendars[0].name: is used by no instrument",
            ],
        ),
        (
            "protection: normal,",
            "protection: none,",
            [
                "12:67: instruments[0].protection: no protection is named 'none'; there are: normal",
                "29:11: warning: protections[0].name: is used by no instrument",
            ],
        ),
        ("08:50: opening", "8:50: opening", ["19:7: calendars[0].phases.8:50: must be a time of day such as 09:00"]),
        ("08:50: op", "08:50:00: op", ["19:7: calendars[0].phases.08:50:00: must be a time of day such as 09:00"]),
        (
            "08:50: opening_auction",
            "08:50: halted",
            ["19:14: calendars[0].phases.08:50: should be 'closed', 'pre_open', 'opening_auction'"],
        ),
        (
            "07:00: pre_open",
            "09:30: pre_open",
            [
                "19:7: calendars[0].phases.08:50: stands after 09:30, which is not earlier in the trading day",
                "20:7: calendars[0].phases.09:00: stands after 09:30, which is not earlier in the trading day",
            ],
        ),
        (
            "16:35:30: closed",
            "16:35:30: pre_open",
            ["17:7: calendars[0].phases: ends in pre_open, which nothing ends: say what follows, such as closed"],
        ),
        ("[monday,", "[mondays,", ["23:12: calendars[0].days[0]: should be 'monday', 'tuesday'"]),
        ("2026-12-25:", "2026-13-25:", ["26:7: calendars[0].special_days.2026-13-25: must be a date such as"]),
        ("dynamic_band: 2.25", "dynamic_band: 2.255", ["31:19: protections[0].dynamic_band: has more than 2 decimals"]),
        ("static_band: 10\n", "static_band: 101\n", ["30:18: protections[0].static_band: must be above 0 and at most"]),
        ("pause: 120", "pause: 0", ["35:12: protections[0].pause: must be above 0 and at most 86400, not 0"]),
        ("pause: 120", "pauses: 120", ["35:5: protections[0].pauses: is not a key here; did you mean pause?"]),
        (
            "from_price: 50",
            "from_price: 10",
            ["41:22: tick_tables[0].rows[1].from_price: 10 stands after 10: rows go up, and no price stands twice"],
        ),
        (
            "level_2: 4350",
            "level_2: 4700",
            ["8:48: venue.circuit_breaker.level_2: 4700 is not below the level before it, 4650.25"],
        ),
        ("mode: cancel_resting", "mode: cancel", ["46:57: participants[0].self_match.mode: should be 'allowed'"]),
        ("source_id: 1,", "source_id: 65535,", ["43:28: gateways[0].source_id: should be less than or equal to 65534"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, old: str, new: str, errors: list[str]) -> None:
    lines = told(tmp_path, (old, new))
    assert len(lines) == len(errors), lines
    for line, begins in zip(lines, errors, strict=True):
        assert line.startswith(begins), line


def test_a_day_can_be_seen_as_it_will_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(FILE)
    assert cli.main(["check", "--day", "2026-12-23", str(file)]) == 0
    assert capsys.readouterr().out.partition("Wednesday")[2].splitlines() == [
        " 2026-12-23, from 17:45, Europe/London:",
        "  calendar shares: 18:00 closed, 07:00 pre_open, 08:50 opening_auction, 09:00 continuous, "
        "16:30 closing_auction, 16:35:30 closed",
        "  calendar all-night: 17:45 continuous",
        "  protection normal: static_band 10 %, dynamic_band 2.25 %, fat_finger 25.5 %, max_quantity 100000, "
        "max_value 5000000.5, pause 120 s, reopening 0.5 s",
        "  tick table euro: 0.05 from 10, 0.1 from 50",
        "  circuit breaker: 4650.25, 4350, 4000.00000001",
        "  ALFA: calendar shares, protection normal, tick table euro, begins at 12.5",
        "  BRAVO: calendar all-night, not protected, tick size 0.01",
        "  amber: orders that would meet its own: cancel_resting in group 7",
    ]
    assert cli.main(["check", "--day", "2026-12-25", str(file)]) == 0
    assert "  calendar shares: closed all day\n" in capsys.readouterr().out
    assert cli.main(["check", "--market", str(file)]) == 0
    assert "ALFA: calendar shares" in capsys.readouterr().out
