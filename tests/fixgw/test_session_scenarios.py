"""Golden conversations, tests/scenarios/fix/*.txt, named by the FIX session test case they show.

A file is comments (#), commands, and under each command, indented, what came of it:

    session FIX.4.4 in=1 out=1     a new session with these numbers
    logon 35=A|34=1|…              a connection whose first message this is
    < 35=0|34=2|                   the peer sends (49, 52, 56 are added; "8=…" sets, "-52" leaves out)
    send 35=8|…                    the venue sends an application message
    wait 30                        seconds pass
    logout text                    the venue logs out
    lost                           the connection ends
        > 35=A|34=1|…              the session sends
        ! LoggedOn                 the session tells its owner
        = ACTIVE in=2 out=2        where it stands; only when that has changed

FIXGW_REWRITE=1 writes the files anew from what happens. Commit such a change only if you know why it came.
"""

import os
from pathlib import Path

import pytest

from tests.fixgw.fixtalk import Talk, event_line

FILES = sorted((Path(__file__).parent.parent / "scenarios" / "fix").glob("*.txt"))


def perform(line: str, talk: Talk) -> list[str]:
    command, _, rest = line.partition(" ")
    talk.events = []
    if command == "logon":
        sent = talk.logon(rest)
    elif command == "<":
        sent = talk.receive(rest)
    elif command == "send":
        sent = talk.send(rest)
    elif command == "wait":
        sent = talk.wait(float(rest))
    elif command == "logout":
        talk.session.send_logout(rest, talk.now)
        sent = talk.sent()
    elif command == "lost":
        talk.session.connection_lost()
        sent = talk.sent()
    else:
        raise AssertionError(f"unknown command: {line}")
    return [f"    > {message}" for message in sent] + [f"    ! {event_line(event)}" for event in talk.events]


def standing(talk: Talk) -> str:
    session = talk.session
    return f"    = {session.state.name} in={session.next_in_seq} out={session.next_out_seq}"


def narrated(text: str) -> str:
    """`text` with the results of its commands as they are now."""
    lines: list[str] = []
    talk = Talk()
    before = ""
    for line in text.splitlines():
        if line.startswith("    "):
            continue
        lines.append(line)
        if line.startswith("session "):
            begin_string, *numbers = line.split()[1:]
            given = dict(number.split("=") for number in numbers)
            talk = Talk(begin_string, int(given.get("in", 1)), int(given.get("out", 1)))
            before = standing(talk)
        elif line and not line.startswith("#"):
            lines += perform(line, talk)
            if standing(talk) != before:
                before = standing(talk)
                lines.append(before)
    return "\n".join(lines) + "\n"


def test_there_are_scenarios() -> None:
    assert len(FILES) > 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conversation(path: Path) -> None:
    text = path.read_text()
    if os.environ.get("FIXGW_REWRITE") == "1":
        path.write_text(narrated(text))
        return
    assert narrated(text) == text
